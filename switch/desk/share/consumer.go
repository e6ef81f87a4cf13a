package share

import (
	"context"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Consumer is a unit that may use data about holders (ZS7, ZS8, HD32, SY10, SY11, ZZ13).
type Consumer struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Approval is the number of the approval, Agreement that of the agreement on secrecy.
	Approval  string `json:"approval"`
	Agreement string `json:"agreement"`
	// From and Until are the first and the last day of the agreement; none is open-ended.
	From  txn.BusinessDate `json:"from"`
	Until txn.BusinessDate `json:"until"`
	// Role is the role of the scheme's policy as which it asks about one person.
	Role string `json:"role"`
	// Purposes are those of the scheme that were agreed, Fields what it may be told.
	Purposes []string `json:"purposes"`
	Fields   []string `json:"fields"`
}

// ConsumersMax bounds the registered units.
const ConsumersMax = 1000

const consumerPrefix = "share/consumer/"

// PutConsumer registers a unit, or changes it from the next access on. The error wraps
// ErrConfig where something is missing or is no purpose of the scheme.
func (s *Service) PutConsumer(ctx context.Context, c Consumer) error {
	if err := s.checkConsumer(&c); err != nil {
		return err
	}
	keys, err := s.keys(ctx, consumerPrefix)
	if err != nil {
		return err
	}
	if len(keys) >= ConsumersMax && !slices.Contains(keys, consumerPrefix+c.Name) {
		return fmt.Errorf("%w: %d units are registered, remove one first", ErrConfig, len(keys))
	}
	return s.replace(ctx, consumerPrefix+c.Name, &c)
}

func (s *Service) checkConsumer(c *Consumer) error {
	switch {
	case !plainName(c.Name):
		return fmt.Errorf("%w: name: want 1 to 24 of a-z, 0-9, _ and dot", ErrConfig)
	case c.Approval == "" || c.Agreement == "":
		return fmt.Errorf("%w: %s: the number of the approval and of the agreement are needed",
			ErrConfig, c.Name)
	case !c.From.Valid() || !c.Until.Valid() || c.Until < c.From:
		return fmt.Errorf("%w: %s: first and last day of the agreement are needed", ErrConfig, c.Name)
	case len(c.Purposes) == 0 || len(c.Fields) == 0:
		return fmt.Errorf("%w: %s: purposes and fields are needed", ErrConfig, c.Name)
	}
	for _, p := range c.Purposes {
		if rule := s.purpose(p); rule == nil || !slices.Contains(rule.Roles, c.Role) {
			return fmt.Errorf("%w: %s: purpose %q is not the scheme's for role %q", ErrConfig, c.Name, p,
				c.Role)
		}
	}
	for _, f := range c.Fields {
		if !slices.Contains(FieldNames(), f) {
			return fmt.Errorf("%w: %s: no field %q, choose from %v", ErrConfig, c.Name, f, FieldNames())
		}
	}
	return nil
}

// RemoveConsumer ends a unit's use: queries at once, open streams within ten seconds. One
// that is not registered is no error.
func (s *Service) RemoveConsumer(ctx context.Context, name string) error {
	return s.remove(ctx, consumerPrefix+name)
}

// Consumers lists the registered units with their agreements.
func (s *Service) Consumers(ctx context.Context) ([]Consumer, error) {
	keys, err := s.keys(ctx, consumerPrefix)
	if err != nil {
		return nil, err
	}
	all := make([]Consumer, 0, len(keys))
	for _, key := range keys {
		var c Consumer
		version, err := s.read(ctx, key, &c)
		if err != nil {
			return nil, err
		}
		if version > 0 {
			all = append(all, c)
		}
	}
	return all, nil
}

// Admit judges whether a unit may use fields for a purpose today; with no fields it may have
// all that were agreed. It leaves no trace: whoever tells something does.
func (s *Service) Admit(ctx context.Context, name, purpose string, fields []string) (*Consumer, Refusal, error) {
	if !plainName(name) {
		return nil, ConsumerUnknown, nil
	}
	c := new(Consumer)
	version, err := s.read(ctx, consumerPrefix+name, c)
	if err != nil {
		return nil, RefusalNone, err
	}
	if version == 0 {
		return nil, ConsumerUnknown, nil
	}
	return c, c.admit(s.today(), purpose, fields), nil
}

func (c *Consumer) admit(today txn.BusinessDate, purpose string, fields []string) Refusal {
	switch {
	case today < c.From:
		return AgreementNotYet
	case today > c.Until:
		return AgreementEnded
	case !slices.Contains(c.Purposes, purpose):
		return PurposeNotAgreed
	case slices.ContainsFunc(fields, func(f string) bool { return !slices.Contains(c.Fields, f) }):
		return FieldNotAgreed
	default:
		return RefusalNone
	}
}

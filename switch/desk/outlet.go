package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/store"
)

// The registry of outlets: where cards are served, who runs the place, when it is open and what
// it does. From the first registered outlet on, every command that names one must name one that
// is registered and open; before that, and in documents that are older, a name is any text.

// Outlet is a place where the desk serves people.
type Outlet struct {
	// Name is how commands name it: letters, digits, '-', '_' and '.'.
	Name    string `json:"name"`
	Title   string `json:"title"`
	Party   string `json:"party"` // who runs it: the agency, a bank, an operator, a street office
	Address string `json:"address"`
	Hours   string `json:"hours"`
	// Services are ids of the published list of services; "all" for every one.
	Services []string `json:"services"`
	Closed   bool     `json:"closed,omitempty"` // no longer serves; its name stays readable
}

// Bounds of an outlet's texts, and of how many there are.
const (
	OutletsMax    = 2000
	outletTextMax = 200
	outletPrefix  = "outlet/"
)

// Errors of outlets; their texts name the field.
var (
	ErrOutlet        = errors.New("outlet")
	ErrOutletUnknown = errors.New("no such outlet")
)

// Check reports every field that is missing or bad at once. services are the ids that the city
// publishes.
func (o *Outlet) Check(services []string) error {
	var bad []string
	if !outletName(o.Name) {
		bad = append(bad, "name (letters, digits, '-', '_' and '.', at most 64)")
	}
	for _, f := range []struct{ name, value string }{{"title", o.Title}, {"party", o.Party},
		{"address", o.Address}, {"hours", o.Hours}} {
		if strings.TrimSpace(f.value) == "" || len(f.value) > outletTextMax {
			bad = append(bad, fmt.Sprintf("%s (1 to %d bytes)", f.name, outletTextMax))
		}
	}
	unknown := func(id string) bool { return id != "all" && !slices.Contains(services, id) }
	if len(o.Services) == 0 || slices.ContainsFunc(o.Services, unknown) {
		bad = append(bad, "services (all, or some of "+strings.Join(services, ", ")+")")
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w: want %s", ErrOutlet, strings.Join(bad, "; "))
	}
	return nil
}

func outletName(name string) bool {
	return name != "" && len(name) <= account.NameMax && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c)
	})
}

// PutOutlet registers an outlet or changes it; the caller has checked it. Durable on return.
func (s *Service) PutOutlet(ctx context.Context, o Outlet) error {
	keys, err := s.o.Registry.Keys(ctx, outletPrefix)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	key := outletPrefix + o.Name
	if len(keys) >= OutletsMax && !slices.Contains(keys, key) {
		return fmt.Errorf("%w: %d are registered, which is the most", ErrOutlet, OutletsMax)
	}
	value, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("outlet %s: %w", o.Name, err)
	}
	for range triesMax {
		_, version, err := s.o.Registry.Get(ctx, key)
		if err == nil {
			err = s.o.Registry.Put(ctx, key, value, version)
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, store.ErrConflict):
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
	}
	return fmt.Errorf("%w: outlet %s changes too often", ErrStore, o.Name)
}

// OutletOf returns a registered outlet, or ErrOutletUnknown.
func (s *Service) OutletOf(ctx context.Context, name string) (*Outlet, error) {
	if !outletName(name) {
		return nil, ErrOutletUnknown
	}
	value, version, err := s.o.Registry.Get(ctx, outletPrefix+name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	case version == 0 || len(value) == 0:
		return nil, ErrOutletUnknown
	}
	o := new(Outlet)
	if err := json.Unmarshal(value, o); err != nil {
		return nil, fmt.Errorf("outlet %s in the registry: %w", name, err)
	}
	return o, nil
}

// Outlets lists the outlets by name, the closed ones too.
func (s *Service) Outlets(ctx context.Context) ([]Outlet, error) {
	keys, err := s.o.Registry.Keys(ctx, outletPrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	all := make([]Outlet, 0, len(keys))
	for _, key := range keys {
		o, err := s.OutletOf(ctx, strings.TrimPrefix(key, outletPrefix))
		if errors.Is(err, ErrOutletUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b Outlet) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// MayServe tells whether a command may name the outlet: ErrOutletUnknown when outlets are
// registered and this is none of them, or is closed. A command without an outlet may.
func (s *Service) MayServe(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	o, err := s.OutletOf(ctx, name)
	switch {
	case errors.Is(err, ErrOutletUnknown):
		keys, fault := s.o.Registry.Keys(ctx, outletPrefix)
		if fault != nil {
			return fmt.Errorf("%w: %w", ErrStore, fault)
		}
		if len(keys) == 0 {
			return nil // none is registered yet
		}
		return err
	case err != nil:
		return err
	case o.Closed:
		return ErrOutletUnknown
	}
	return nil
}

package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Options of New. Desk, Policy, Cards, Registry and Tokenizer are needed.
type Options struct {
	Desk      *desk.Service
	Policy    *scheme.Policy
	Cards     store.Cards
	Registry  store.Registry
	Tokenizer *pan.Tokenizer
	Logger    *slog.Logger
}

// Service is the package's service.
type Service struct {
	o   Options
	log *slog.Logger
}

// New returns a service.
func New(o Options) (*Service, error) {
	if o.Desk == nil || o.Policy == nil || o.Cards == nil || o.Registry == nil || o.Tokenizer == nil {
		return nil, errors.New("share: desk, policy, cards, registry and tokenizer are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{o: o, log: o.Logger}, nil
}

// ErrConfig reports a consumer, supplier or topic that cannot be registered; the text says why.
var ErrConfig = errors.New("share: not a registration")

// triesMax bounds the rounds of one change against other writers.
const triesMax = 16

// Refusal says why something was not shared; zero: it was. Codes never change.
type Refusal uint8

// The refusals, in order of precedence.
const (
	RefusalNone Refusal = iota
	ConsumerUnknown
	AgreementNotYet
	AgreementEnded
	PurposeNotAgreed
	FieldNotAgreed
	SupplierUnknown
	SignatureWrong
	BatchInvalid
	KindNotAgreed
	BatchReused
	// ByAccount: the account's own rules refused; the answer names its refusal.
	ByAccount
	refusalEnd
)

// Text is a refusal for people.
type Text struct{ Code, English, Chinese string }

var refusalTexts = [refusalEnd]Text{
	RefusalNone:      {"none", "Done", "已办理"},
	ConsumerUnknown:  {"consumer_unknown", "The unit is not approved to use data", "单位未经批准使用数据"},
	AgreementNotYet:  {"agreement_not_yet", "The agreement on secrecy is not in force yet", "保密协议尚未生效"},
	AgreementEnded:   {"agreement_ended", "The agreement on secrecy has ended", "保密协议已到期"},
	PurposeNotAgreed: {"purpose_not_agreed", "The purpose was not agreed with the unit", "使用目的不在协议范围内"},
	FieldNotAgreed:   {"field_not_agreed", "A field was not agreed with the unit", "数据项不在协议范围内"},
	SupplierUnknown:  {"supplier_unknown", "The supplier is not registered", "数据提供单位未登记"},
	SignatureWrong:   {"signature_wrong", "The batch does not bear the supplier's signature", "批次签名有误"},
	BatchInvalid:     {"batch_invalid", "The batch cannot be read", "批次内容有误"},
	KindNotAgreed:    {"kind_not_agreed", "The supplier does not supply this kind", "该单位不提供此类数据"},
	BatchReused:      {"batch_reused", "Another batch had this number", "批次号已被使用"},
	ByAccount:        {"account_refused", "The account's rules do not permit it", "账户规则不允许"},
}

// Text returns the code and a sentence in each language.
func (r Refusal) Text() Text {
	if r >= refusalEnd {
		return Text{Code: "unknown"}
	}
	return refusalTexts[r]
}

// String returns the stable code.
func (r Refusal) String() string { return r.Text().Code }

func (s *Service) now() txn.Millis { return s.o.Desk.Now() }

// today is the local day of the scheme.
func (s *Service) today() txn.BusinessDate { return s.o.Desk.Today() }

// dayOf is the local day of an instant.
func (s *Service) dayOf(at txn.Millis) txn.BusinessDate {
	return s.o.Desk.Rules().Calendar.Date(at)
}

// read fills v from a registry key; version 0 says that there is none.
func (s *Service) read(ctx context.Context, key string, v any) (version uint64, err error) {
	value, version, err := s.o.Registry.Get(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", desk.ErrStore, err)
	}
	if version == 0 {
		return 0, nil
	}
	if err := json.Unmarshal(value, v); err != nil {
		return 0, fmt.Errorf("registry %s cannot be read: %w", key, err)
	}
	return version, nil
}

// write puts v at a key that stands at version.
func (s *Service) write(ctx context.Context, key string, v any, version uint64) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("registry %s: %w", key, err)
	}
	if err := s.o.Registry.Put(ctx, key, value, version); err != nil {
		return fmt.Errorf("%w: registry %s: %w", desk.ErrStore, key, err)
	}
	return nil
}

// replace writes v whatever stood there, and remove takes a key away.
func (s *Service) replace(ctx context.Context, key string, v any) error {
	for range triesMax {
		_, version, err := s.o.Registry.Get(ctx, key)
		if err == nil {
			err = s.write(ctx, key, v, version)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%w: registry %s changes too often", desk.ErrStore, key)
}

func (s *Service) remove(ctx context.Context, key string) error {
	_, version, err := s.o.Registry.Get(ctx, key)
	if err == nil && version > 0 {
		err = s.o.Registry.Put(ctx, key, nil, version)
	}
	if err != nil {
		return fmt.Errorf("%w: registry %s: %w", desk.ErrStore, key, err)
	}
	return nil
}

// keys lists the registry keys of a prefix.
func (s *Service) keys(ctx context.Context, prefix string) ([]string, error) {
	keys, err := s.o.Registry.Keys(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", desk.ErrStore, err)
	}
	return keys, nil
}

// plainName reports whether s may name a unit: it becomes part of keys, of topics and of
// the account's records.
func plainName(s string) bool {
	if s == "" || len(s) > account.NameMax {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// instant writes an instant as a text.
func instant(at txn.Millis) string { return at.Time().UTC().Format(time.RFC3339) }

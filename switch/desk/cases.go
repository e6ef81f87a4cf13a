package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The index of open cases: one registry key a case. It is written before the document that
// opens the case and removed after the one that ends it, so it may name too many, never too
// few; who reads it drops what has ended.

const casePrefix = "case/open/"

// CasesMax bounds the open cases that one list shows.
const CasesMax = 10_000

// caseEntry is an entry of the index.
type caseEntry struct {
	Document string     `json:"document"`
	At       txn.Millis `json:"at"`
}

func caseKey(token pan.Token, ref account.CaseRef) string {
	return fmt.Sprintf("%s%s/%s-%d", casePrefix, ref.Kind, token, ref.No)
}

func (s *Service) openIndex(ctx context.Context, token pan.Token, out *account.Outcome) error {
	for _, ref := range out.Opened {
		value, err := json.Marshal(caseEntry{Document: token.String(), At: s.o.Now()})
		if err != nil {
			return fmt.Errorf("index of cases: %w", err)
		}
		err = s.o.Registry.Put(ctx, caseKey(token, ref), value, 0)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
	}
	return nil
}

// closeIndex removes entries of ended cases. What fails is removed by the next reader.
func (s *Service) closeIndex(ctx context.Context, token pan.Token, out *account.Outcome) {
	for _, ref := range out.Ended {
		s.dropCase(ctx, caseKey(token, ref))
	}
}

func (s *Service) dropCase(ctx context.Context, key string) {
	_, version, err := s.o.Registry.Get(ctx, key)
	if err == nil && version > 0 {
		err = s.o.Registry.Put(ctx, key, nil, version)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.log.Warn("index of cases", "error", err)
	}
}

// OpenCase is an open case with the account that it is about.
type OpenCase struct {
	Document pan.Token
	Last4    pan.Last4
	Case     account.Case
	Overdue  bool
}

// CaseFilter chooses open cases; zero fields choose all.
type CaseFilter struct {
	Kind    account.CaseKind
	Owner   string // outlet or department
	Overdue bool
}

// Cases lists open cases, those with the earliest legal date first, at most CasesMax.
func (s *Service) Cases(ctx context.Context, f CaseFilter) ([]OpenCase, error) {
	prefix := casePrefix
	if f.Kind != account.CaseNone {
		prefix += f.Kind.String() + "/"
	}
	keys, err := s.o.Registry.Keys(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	now := s.o.Now()
	var all []OpenCase
	for _, key := range keys {
		c, open, err := s.openCase(ctx, key)
		if err != nil {
			return nil, err
		}
		if !open {
			s.forget(ctx, key, now)
			continue
		}
		c.Overdue = c.Case.Overdue(now)
		if (f.Owner == "" || f.Owner == c.Case.Owner) && (!f.Overdue || c.Overdue) && len(all) < CasesMax {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b OpenCase) int { return int(min(1, max(-1, a.Case.Due-b.Case.Due))) })
	return all, nil
}

// openCase reads the case that an entry names.
func (s *Service) openCase(ctx context.Context, key string) (c OpenCase, open bool, err error) {
	_, rest, _ := strings.Cut(strings.TrimPrefix(key, casePrefix), "/")
	text, number, _ := strings.Cut(rest, "-")
	token, err := pan.ParseToken(text)
	var no uint32
	if _, scan := fmt.Sscan(number, &no); err != nil || scan != nil {
		return c, false, nil // not an entry of ours: dropped
	}
	doc, _, err := s.Load(ctx, token)
	if err != nil || doc == nil {
		return c, false, err
	}
	k := doc.Case(no)
	if k == nil {
		return c, false, nil
	}
	c = OpenCase{Document: token, Case: *k}
	for _, carrier := range doc.Carriers {
		if carrier.Kind == account.Chip || c.Last4 == (pan.Last4{}) {
			c.Last4 = carrier.Last4
		}
	}
	return c, true, nil
}

// graceOfIndex is how long an entry may be ahead of its document.
const graceOfIndex txn.Millis = 60_000

// forget drops an entry whose case is not open, unless it was made a moment ago by a command
// that is on its way.
func (s *Service) forget(ctx context.Context, key string, now txn.Millis) {
	value, version, err := s.o.Registry.Get(ctx, key)
	var e caseEntry
	if err != nil || version == 0 || json.Unmarshal(value, &e) == nil && now-e.At < graceOfIndex {
		return
	}
	if err := s.o.Registry.Put(ctx, key, nil, version); err != nil && !errors.Is(err, store.ErrConflict) {
		s.log.Warn("index of cases", "error", err)
	}
}

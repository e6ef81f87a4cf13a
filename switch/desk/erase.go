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

// closedPrefix is the index of cancelled accounts that still hold something about a person.
// An entry is written before the account is closed and removed after it was erased.
const closedPrefix = "account/closed/"

// closedEntry is an entry of it.
type closedEntry struct {
	At txn.Millis `json:"at"`
}

// noteClosed enters an account that next closes.
func (s *Service) noteClosed(ctx context.Context, token pan.Token, doc, next *account.Account) error {
	if next.Closed == 0 || doc.Closed != 0 {
		return nil
	}
	value, err := json.Marshal(closedEntry{next.Closed})
	if err != nil {
		return fmt.Errorf("index of closed accounts: %w", err)
	}
	err = s.o.Registry.Put(ctx, closedPrefix+token.String(), value, 0)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// ClosedAccounts lists the accounts that were cancelled and not erased, and perhaps some that
// are about to be cancelled.
func (s *Service) ClosedAccounts(ctx context.Context) ([]pan.Token, error) {
	keys, err := s.o.Registry.Keys(ctx, closedPrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	var all []pan.Token
	for _, key := range keys {
		if token, err := pan.ParseToken(strings.TrimPrefix(key, closedPrefix)); err == nil {
			all = append(all, token)
		}
	}
	return all, nil
}

// Erasure says what of a cancelled account is forgotten. Nil functions forget nothing.
type Erasure struct {
	// Holder forgets the holder, the unit, the printed identifiers and what they are found by.
	Holder  bool
	Ended   func(*account.Ended) bool
	Consent func(*account.Consent) bool
}

// ErrNotErasable reports an account that lives, or that something is still to be done about.
var ErrNotErasable = errors.New("the account cannot be erased yet")

// Erase forgets. What stays are the dead card numbers as keyed tokens, since none of them may
// ever be approved or given out again, and the settled records, which are never edited; with
// the holder forgotten nothing leads from a person to them. It returns whether anything was
// forgotten; the step is a record of the audit trail.
func (s *Service) Erase(ctx context.Context, token pan.Token, e Erasure, by string) (bool, error) {
	defer s.lock(token)()
	for range triesMax {
		doc, version, err := s.Load(ctx, token)
		switch {
		case err != nil:
			return false, err
		case doc == nil:
			return false, ErrNoAccount
		case doc.Closed == 0 || len(doc.ToDo) > 0 || len(doc.Cases) > 0:
			return false, ErrNotErasable
		}
		next, what := e.apply(doc)
		if what == "" {
			return false, s.forgetClosed(ctx, token, doc)
		}
		if e.Holder {
			if err := s.unindex(ctx, token, doc); err != nil {
				return false, err
			}
		}
		out := account.Outcome{Next: next,
			Record: account.Record{Step: "erase", Actor: by, Note: what}}
		c := s.commitOf(token, version, &out, s.o.Now())
		if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
			return false, fmt.Errorf("%w: %w", ErrStore, err)
		}
		if c.Status == store.Committed {
			return true, s.forgetClosed(ctx, token, next)
		}
	}
	return false, fmt.Errorf("%w: document %s changes too often", ErrStore, token)
}

// apply returns the document without what is forgotten, and what that was.
func (e *Erasure) apply(doc *account.Account) (next *account.Account, what string) {
	next = doc.Clone()
	if e.Holder && (!doc.Holder.IsZero() || len(doc.Numbers) > 0 || doc.Unit != "") {
		next.Holder, next.Unit, next.Numbers, next.Recent = pan.Token{}, "", nil, nil
		next.Rider = account.Rider{}
		what += " holder"
	}
	if e.Ended != nil {
		next.Ended = slices.DeleteFunc(next.Ended, func(l account.Ended) bool { return e.Ended(&l) })
	}
	if e.Consent != nil {
		next.Consents = slices.DeleteFunc(next.Consents, func(g account.Consent) bool { return e.Consent(&g) })
	}
	if n := len(doc.Ended) - len(next.Ended); n > 0 {
		what += fmt.Sprintf(" cases %d", n)
	}
	if n := len(doc.Consents) - len(next.Consents); n > 0 {
		what += fmt.Sprintf(" consents %d", n)
	}
	return next, strings.TrimSpace(what)
}

// unindex makes an account unfindable by the identifiers that it forgets.
func (s *Service) unindex(ctx context.Context, token pan.Token, doc *account.Account) error {
	for _, n := range doc.Numbers {
		at, version, err := s.indexed(ctx, n.Token)
		if err != nil {
			return err
		}
		if at != token {
			continue
		}
		c := &store.Commit{Card: s.indexToken(n.Token), Version: version,
			State: append([]byte{indexVersion}, make([]byte, pan.TokenSize)...)}
		if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		if c.Status != store.Committed {
			return fmt.Errorf("%w: the index changed, ask again", ErrStore)
		}
	}
	return nil
}

// forgetClosed takes an account off the index once there is nothing left to forget.
func (s *Service) forgetClosed(ctx context.Context, token pan.Token, doc *account.Account) error {
	if !doc.Holder.IsZero() || len(doc.Numbers)+len(doc.Ended)+len(doc.Consents) > 0 {
		return nil
	}
	key := closedPrefix + token.String()
	_, version, err := s.o.Registry.Get(ctx, key)
	if err == nil && version > 0 {
		err = s.o.Registry.Put(ctx, key, nil, version)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

package desk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Money that waits for a person: a number died without the desk, no card follows it, and what it
// holds goes nowhere before the holder applies for a card or has the account closed. Each such
// number is a key of the registry, written before the document says that it is dead, so that
// none is missed; who reads drops what waits no longer.

const waitingPrefix = "waiting/"

// WaitingMax bounds the numbers that one list shows.
const WaitingMax = 10_000

// Waiting is a dead number whose money waits for a person.
type Waiting struct {
	Document pan.Token
	Card     pan.Token
	Last4    pan.Last4
	Since    txn.Millis // when the account learned that the number is dead
	Balance  txn.Minor
	Journey  bool // one is open, and goes to the next card as well
}

// noteWaiting puts a number on the list. It can be repeated.
func (s *Service) noteWaiting(ctx context.Context, token, carrier pan.Token) error {
	err := s.o.Registry.Put(ctx, waitingPrefix+token.String()+"/"+carrier.String(), []byte("1"), 0)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// WaitingMoney lists the dead numbers that hold money for which a person must act.
func (s *Service) WaitingMoney(ctx context.Context) ([]Waiting, error) {
	keys, err := s.o.Registry.Keys(ctx, waitingPrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	all := []Waiting{}
	for _, key := range keys {
		w, over, err := s.waiting(ctx, key)
		switch {
		case err != nil:
			return nil, err
		case over:
			s.dropCase(ctx, key)
		case (w.Balance > 0 || w.Journey) && len(all) < WaitingMax:
			all = append(all, w)
		}
	}
	return all, nil
}

// waiting reads what a key of the list is about; over when nothing of it can wait any more.
func (s *Service) waiting(ctx context.Context, key string) (w Waiting, over bool, err error) {
	document, carrier, _ := strings.Cut(strings.TrimPrefix(key, waitingPrefix), "/")
	token, bad := pan.ParseToken(document)
	of, worse := pan.ParseToken(carrier)
	if bad != nil || worse != nil {
		return w, true, nil
	}
	doc, _, err := s.Load(ctx, token)
	if err != nil || doc == nil {
		return w, false, err
	}
	f := doc.Gone(of)
	if f == nil {
		return w, false, nil // the command that buries it is on its way
	}
	if !f.Successor.IsZero() || f.Kind == account.BankPAN {
		return w, true, nil
	}
	state, err := s.card(ctx, of)
	w = Waiting{token, of, f.Last4, f.At, state.Balance, state.Journey.Open()}
	return w, err == nil && doc.Closed != 0 && w.Balance <= 0, err
}

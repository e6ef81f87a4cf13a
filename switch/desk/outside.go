package desk

import (
	"context"
	"errors"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Known is what the desk and the card state say of a card.
type Known struct {
	Home   bool     // a living account bears it, or one did
	Issuer string   // the institution that it is enrolled for; "" for none
	Mark   txn.Mark // what the account closes
}

// Known looks a card up.
func (s *Service) Known(ctx context.Context, card pan.Token) (Known, error) {
	var k Known
	_, doc, err := s.Find(ctx, card)
	switch {
	case errors.Is(err, ErrNoAccount):
	case err != nil:
		return k, err
	default:
		k.Home, k.Mark = true, doc.MarkOf(card)
	}
	state, err := s.card(ctx, card)
	k.Issuer = state.Issuer
	return k, err
}

// Release decides a release that was asked for beside the desk. What an account closes is
// lifted at the desk only, by who may lift it: such a release is declined as HeldElsewhere and
// changes nothing. No command on the account comes between the look and the release, and one
// of another process that did is made good before the answer leaves.
func (s *Service) Release(ctx context.Context, r *txn.Request) engine.Answer {
	token, _, err := s.Find(ctx, r.Card)
	switch {
	case errors.Is(err, ErrNoAccount):
		return s.o.Engine.Authorize(ctx, r)
	case err != nil:
		return engine.Answer{Err: errors.Join(engine.ErrInDoubt, err)}
	}
	a := s.releaseLocked(ctx, token, r)
	if a.Err != nil || a.Decision.Outcome == txn.Approved {
		if _, err := s.Reconcile(ctx, token); err != nil && a.Err == nil {
			a.Err = errors.Join(engine.ErrInDoubt, err)
		}
	}
	return a
}

// releaseLocked holds the document while the engine decides.
func (s *Service) releaseLocked(ctx context.Context, token pan.Token, r *txn.Request) engine.Answer {
	defer s.lock(token)()
	doc, _, err := s.Load(ctx, token)
	if err != nil {
		return engine.Answer{Err: errors.Join(engine.ErrInDoubt, err)}
	}
	if doc != nil {
		if mark := doc.MarkOf(r.Card); mark.Reason != txn.NotFrozen && !mark.Reason.Terminal() {
			return engine.Answer{Decision: txn.Decision{Outcome: txn.Declined, Reason: txn.HeldElsewhere}}
		}
	}
	return s.o.Engine.Authorize(ctx, r)
}

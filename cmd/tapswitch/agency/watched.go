package agency

import (
	"context"
	"errors"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Watched is the engine as the gate and imports ask it: the tracker hears of the epochs that
// taps show, and what accounts and other cities hold closed is not opened beside them.
func (a *Agency) Watched(e *engine.Engine) Watched { return Watched{e, a} }

// Watched is made by Agency.Watched.
type Watched struct {
	*engine.Engine
	agency *Agency
}

// Authorize decides one request, as the engine does.
func (w Watched) Authorize(ctx context.Context, r *txn.Request) engine.Answer {
	w.seen(r)
	if r.Kind != txn.Freeze && r.Kind != txn.Release {
		return w.Engine.Authorize(ctx, r)
	}
	if err := w.claim(ctx, []*txn.Request{r}); err != nil {
		return engine.Answer{Err: errors.Join(engine.ErrInDoubt, err)}
	}
	if r.Kind == txn.Freeze {
		return w.Engine.Authorize(ctx, r)
	}
	held, err := w.agency.foreign.Held(ctx, r.Card)
	switch {
	case err != nil:
		return engine.Answer{Err: errors.Join(engine.ErrInDoubt, err)}
	case len(held) > 0:
		return engine.Answer{Decision: txn.Decision{Outcome: txn.Declined, Reason: txn.HeldElsewhere}}
	}
	return w.agency.Desk.Release(ctx, r)
}

// AuthorizeAll decides a list, as the engine does. Releases never come in lists from outside;
// one that does is decided by itself.
func (w Watched) AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer {
	for _, r := range requests {
		w.seen(r)
	}
	if slices.ContainsFunc(requests, func(r *txn.Request) bool { return r.Kind == txn.Release }) {
		answers := make([]engine.Answer, len(requests))
		for i, r := range requests {
			answers[i] = w.Authorize(ctx, r)
		}
		return answers
	}
	if err := w.claim(ctx, requests); err != nil {
		answers := make([]engine.Answer, len(requests))
		for i := range answers {
			answers[i].Err = errors.Join(engine.ErrInDoubt, err)
		}
		return answers
	}
	return w.Engine.AuthorizeAll(ctx, requests)
}

// claim notes freezes of cards that another city holds, before they are made.
func (w Watched) claim(ctx context.Context, requests []*txn.Request) error {
	var cards []pan.Token
	for _, r := range requests {
		if r.Kind == txn.Freeze {
			cards = append(cards, r.Card)
		}
	}
	if len(cards) == 0 {
		return nil
	}
	held, err := w.agency.foreign.Held(ctx, cards...)
	if err != nil || len(held) == 0 {
		return err
	}
	for _, r := range requests {
		if len(held[r.Card]) > 0 && r.Kind == txn.Freeze {
			if err := w.agency.foreign.Claim(ctx, r.Card, r.Listing.Mark); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w Watched) seen(r *txn.Request) {
	if r.ListEpoch != 0 {
		w.agency.Tracker.Seen(r.ID.Terminal, list.Epoch(r.ListEpoch), r.ReceivedAt)
	}
}

package redress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of one look at the ledger.
const (
	// CardsMax bounds the cards that were charged since an order began; an order of 72 hours in
	// a city with two million incomplete journeys a day is beyond what a person can judge.
	CardsMax = 200_000
	// JourneysMax bounds one run; what is beyond is the next run's.
	JourneysMax = 5000
	// clockSlack is how far a card's memory of a journey may differ from the record.
	clockSlack = txn.Millis(5 * 60 * 1000)
	day        = txn.Millis(24 * 60 * 60 * 1000)
)

var errTooMany = errors.New("redress: too many cards were charged since the order began")

// look is what was found: the journeys that can be given back, oldest first, and those of
// which the holder could name the missing station himself.
type look struct {
	trails map[pan.Token]*trail
	open   map[pan.Token]price.Journey
	at     txn.Millis // when the question was asked
}

// cardsOf returns the cards that were charged for what orders may forgive, since an instant.
func (s *Service) cardsOf(ctx context.Context, since txn.Millis) (map[pan.Token]*trail, error) {
	cards := map[pan.Token]*trail{}
	err := s.o.Ledger.Since(ctx, s.o.Date(since), func(r *txn.Record) error {
		if back, _ := surcharge(r); back > 0 && r.ServiceAt >= since {
			cards[r.Card] = &trail{}
		}
		if len(cards) > CardsMax {
			return fmt.Errorf("%w: more than %d; end it, and order parts of it", errTooMany, CardsMax)
		}
		return nil
	})
	return cards, err
}

// look reads what the cards and the ledger have, in an order that leaves no hole: what a holder
// corrects after his card was read the engine sees, and what was before it the ledger shows.
func (s *Service) look(ctx context.Context, cards map[pan.Token]*trail, since txn.Millis) (*look, error) {
	l := &look{trails: cards, open: map[pan.Token]price.Journey{}, at: s.o.Now()}
	for token := range cards {
		known, err := s.incompleteOf(ctx, token)
		if err != nil {
			return nil, err
		}
		if known.At != 0 {
			l.open[token] = known
		}
	}
	if err := s.o.Ledger.Settled(ctx); err != nil {
		return nil, fmt.Errorf("redress: the ledger: %w", err)
	}
	return l, s.o.Ledger.Since(ctx, s.o.Date(since-day), func(r *txn.Record) error {
		if t := cards[r.Card]; t != nil {
			t.take(r)
		}
		return nil
	})
}

// incompleteOf returns the journey that the card's holder may still correct.
func (s *Service) incompleteOf(ctx context.Context, token pan.Token) (j price.Journey, err error) {
	var state card.State
	var rides price.State
	loaded, err := s.o.Cards.Load(ctx, token, nil)
	if err == nil && loaded.Version > 0 {
		if err = state.Decode(loaded.State); err == nil {
			err = rides.Decode(state.Rides)
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", store.ErrDamaged, err)
		}
	}
	if err != nil {
		return j, fmt.Errorf("redress: card %s: %w", token, err)
	}
	return rides.Incomplete(), nil
}

// isOpen reports whether the holder may still correct the journey himself.
func (l *look) isOpen(j *Journey) bool {
	known, ok := l.open[j.token()]
	return ok && j.Known != "" && known.Station == price.NameOf(j.Known) && known.At >= j.At &&
		known.At <= j.At+clockSlack
}

// forgiven returns what the order forgives of what was found, oldest first.
func (l *look) forgiven(o *disruption.Order) []Journey {
	var all []Journey
	for _, token := range slices.SortedFunc(maps.Keys(l.trails), func(a, b pan.Token) int {
		return slices.Compare(a[:], b[:])
	}) {
		t := l.trails[token]
		for i := range t.charges {
			c := &t.charges[i]
			if !c.forgiven(o) {
				continue
			}
			j := c.Journey
			j.State, j.Back, j.Reason = t.judge(i, "")
			all = append(all, j)
		}
	}
	slices.SortStableFunc(all, func(a, b Journey) int { return int(a.At - b.At) })
	return all
}

// find returns all journeys that the order forgives, with what became of them.
func (s *Service) find(ctx context.Context, o *disruption.Order) ([]Journey, error) {
	if err := s.o.Ledger.Settled(ctx); err != nil {
		return nil, fmt.Errorf("redress: the ledger: %w", err)
	}
	cards, err := s.cardsOf(ctx, o.From)
	if err != nil {
		return nil, err
	}
	l, err := s.look(ctx, cards, o.From)
	if err != nil {
		return nil, err
	}
	return l.forgiven(o), nil
}

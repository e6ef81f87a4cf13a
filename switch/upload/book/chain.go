package book

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// chain looks at the cards of what is to be booked, in the order of their counters.
func (w *work) chain(ctx context.Context) error {
	w.order = w.order[:0]
	for i := range w.items {
		if s := w.items[i].fate; s.State == upload.Taken || s.Reason == upload.Torn && s.State == upload.Held {
			w.order = append(w.order, int32(i))
		}
	}
	w.sort()
	w.parts = slices.Grow(w.parts[:0], w.s.workers+1)[:w.s.workers+1]
	clear(w.parts)
	size := len(w.order)/w.s.workers + 1
	w.s.split(len(w.order), size, func(from, to int) {
		p := &w.parts[from/size]
		p.err = w.chainPart(ctx, w.cardStart(from), w.cardStart(to), p)
	})
	for i := range w.parts {
		if w.parts[i].err != nil {
			return w.parts[i].err
		}
		w.resolved = append(w.resolved, w.parts[i].solve...)
	}
	return nil
}

// rank is where an item stands in the order.
type rank struct {
	card    uint64
	counter uint16
	item    int32
}

// sort brings the order to cards and their counters; of the same counter the first comes first.
func (w *work) sort() {
	w.ranks = w.ranks[:0]
	for _, i := range w.order {
		it := &w.items[i]
		w.ranks = append(w.ranks, rank{binary.BigEndian.Uint64(it.token[:]), it.record.Counter(), i})
	}
	slices.SortFunc(w.ranks, func(a, b rank) int {
		if c := cmp.Compare(a.card, b.card); c != 0 {
			return c
		}
		if a.counter != b.counter {
			return int(a.counter) - int(b.counter)
		}
		return int(a.item) - int(b.item)
	})
	for k := range w.ranks {
		w.order[k] = w.ranks[k].item
	}
}

// cardStart moves an index into the order to where its card begins.
func (w *work) cardStart(i int) int {
	for i > 0 && i < len(w.order) && w.items[w.order[i]].token == w.items[w.order[i-1]].token {
		i--
	}
	return i
}

// chainPart looks at whole cards of the order.
func (w *work) chainPart(ctx context.Context, from, to int, p *part) error {
	var state card.State
	var loaded []byte
	for from < to {
		end := from + 1
		for end < to && w.items[w.order[end]].token == w.items[w.order[from]].token {
			end++
		}
		token := w.items[w.order[from]].token
		l, err := w.s.o.Cards.Load(ctx, token, loaded)
		if err != nil {
			return fmt.Errorf("card of a record: %w", err)
		}
		loaded = l.State
		if l.Version > 0 {
			if err := state.Decode(l.State); err != nil {
				return fmt.Errorf("%w: card %s: %w", store.ErrDamaged, token, err)
			}
			line, err := w.s.lines.find(ctx, token)
			if err != nil {
				return err
			}
			w.chainCard(w.order[from:end], &state, &line, p)
		}
		from = end
	}
	return nil
}

// chainCard looks at the records of one card, the lowest counter first.
func (w *work) chainCard(of []int32, state *card.State, line *upload.Line, p *part) {
	account, window := upload.AccountOf(state), state.Counter
	quiet, changed := line.Quiet(), false
	for _, i := range of {
		it := &w.items[i]
		fact := factOf(it)
		if it.fate.State == upload.Held {
			if line.Grey == nil {
				line.Await(&account, fact.Counter)
				line.Grey = &upload.Grey{Fact: fact, PSAM: it.record.PSAM(), Seq: it.record.TermSeq(),
					Digest: it.digest}
				changed = true
			}
			continue
		}
		switch window.Check(fact.Counter) {
		case card.CounterBooked:
			if !it.retry {
				it.fate = upload.Fate{State: upload.Held, Reason: upload.CounterUsed}
			}
			continue
		case card.CounterTooOld:
			if !it.retry {
				it.fate = upload.Fate{State: upload.Held, Reason: upload.CounterOld}
			}
			continue
		}
		if g := line.Grey; g != nil {
			solved, paid := w.solve(it, line, state, p)
			changed = changed || solved
			if paid {
				line.See(&g.Fact, &account, upload.LaterOf(state, g.At))
				account.Balance -= g.Amount
			}
		}
		place, off := line.See(&fact, &account, upload.LaterOf(state, it.at))
		changed = changed || place != upload.Next && place != upload.First || off != 0
		switch {
		case place == upload.Rolled:
			it.fate = upload.Fate{State: upload.Held, Reason: upload.RolledBack}
			continue
		case off != 0 && w.s.o.HoldBroken:
			it.fate = upload.Fate{State: upload.Held, Reason: upload.ChainBroken}
			line.NotBooked(fact.Amount)
			continue
		}
		it.seen, window = true, window.Mark(fact.Counter)
		account = upload.Account{Seen: true, High: max(account.High, fact.Counter),
			Balance: account.Balance - fact.Amount}
	}
	if changed || !quiet {
		line.Last4 = w.items[of[0]].last4
		p.lines = append(p.lines, *line)
	}
}

func factOf(it *item) upload.Fact {
	return upload.Fact{Counter: uint32(it.record.Counter()), Before: txn.Minor(it.record.Before()),
		Amount: txn.Minor(it.record.Amount()), At: it.at}
}

// solve asks a good record about the card's torn one, and tells whether that had been paid.
func (w *work) solve(it *item, line *upload.Line, state *card.State, p *part) (solved, paid bool) {
	g := line.Grey
	if it.proves && it.torn == g.Digest {
		line.Grey = nil
		return true, false
	}
	fact := factOf(it)
	credited := upload.LaterOf(state, it.at) - upload.LaterOf(state, g.At)
	fate := g.Resolve(&fact, max(0, credited))
	if fate.State == upload.Held {
		return false, false
	}
	p.solve = append(p.solve, resolution{heldID(g.PSAM, g.Seq, g.Digest), fate})
	line.Grey = nil
	return true, fate.State == upload.Accepted
}

package engine

import (
	"context"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// shareMin is the length of list that is worth one goroutine more.
const shareMin = 512

// AuthorizeAll decides requests as a list: one durable write for all whose cards differ,
// and as many rounds as the busiest card has requests, which keep their order. A long list
// is shared among Options.Shares goroutines, each of which takes whole cards. Answers are in the
// order of the requests.
func (e *Engine) AuthorizeAll(ctx context.Context, requests []*txn.Request) []Answer {
	answers := make([]Answer, len(requests))
	shares := max(1, min(e.shares, len(requests)/shareMin))
	if shares == 1 {
		e.authorizeShare(ctx, requests, answers, 0, 1)
		return answers
	}
	var group sync.WaitGroup
	for i := range shares {
		group.Go(func() { e.authorizeShare(ctx, requests, answers, i, shares) })
	}
	group.Wait()
	return answers
}

// authorizeShare decides the requests of those cards whose bucket falls to the share.
func (e *Engine) authorizeShare(ctx context.Context, requests []*txn.Request, answers []Answer,
	share, shares int) {
	l := e.lots.Get().(*lot)
	l.reserve(len(requests)/shares + 1)
	for i, r := range requests {
		if int(txn.BucketOf(r.Card))%shares == share {
			l.add(e, r, &answers[i])
		}
	}
	for len(l.open) > 0 {
		e.round(ctx, l)
	}
	if l.end() {
		e.lots.Put(l)
	}
}

// lot is the memory of a list on its way.
type lot struct {
	scratch scratch
	works   []*work
	used    int
	open    []*work // the first request of every card that is not done
	taken   []*work
	commits []*store.Commit
	last    map[pan.Token]*work
}

// reserve makes n works in one piece, unless there are as many.
func (l *lot) reserve(n int) {
	if missing := n - len(l.works); missing > 0 {
		more := make([]work, missing)
		for i := range more {
			l.works = append(l.works, &more[i])
		}
	}
}

// add takes one more request up, behind those of its card.
func (l *lot) add(e *Engine, r *txn.Request, a *Answer) {
	if l.used == len(l.works) {
		l.works = append(l.works, new(work))
	}
	w := l.works[l.used]
	l.used++
	w.begin(e, r, a)
	if before, ok := l.last[r.Card]; ok {
		before.next = w
	} else {
		l.open = append(l.open, w)
	}
	l.last[r.Card] = w
}

// end empties the lot and reports whether its memory is free.
func (l *lot) end() bool {
	free := true
	for _, w := range l.works[:l.used] {
		free = w.end() && free
	}
	l.used = 0
	clear(l.last)
	return free
}

// round takes the first request of every card one step further, as many as one call of
// the store takes. What is open then stands in the lot.
func (e *Engine) round(ctx context.Context, l *lot) {
	n := min(len(l.open), store.CommitListMax)
	l.commits, l.taken = l.commits[:0], l.taken[:0]
	l.scratch.now = e.now() // of the round: reading the clock takes as long as a tenth of a decision
	for _, w := range l.open[:n] {
		for w != nil && !e.prepare(ctx, &l.scratch, w) {
			w = e.following(w)
		}
		if w != nil {
			l.commits, l.taken = append(l.commits, &w.commit), append(l.taken, w)
		}
	}
	if e.cards.Commit(ctx, l.commits) != nil { // the faults stand in the commits
		l.commits = nil // an abandoned call may still read it
	}
	l.open = l.open[:copy(l.open, l.open[n:])]
	for _, w := range l.taken {
		e.conclude(ctx, w)
		if w.done {
			w = e.following(w)
		}
		if w != nil {
			l.open = append(l.open, w)
		}
	}
}

// following returns the next request of the card of w, nil when there is none.
func (e *Engine) following(w *work) *work {
	next := w.next
	if next != nil {
		next.mark = e.blacklist.Mark(next.request.Card)
	}
	return next
}

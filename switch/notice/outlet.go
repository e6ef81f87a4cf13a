package notice

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// PartyQueueMax bounds what waits in memory for one party. More stays in the due queue and
// comes again.
const PartyQueueMax = 4096

// errand is one party to be told of one notice.
type errand struct {
	document pan.Token
	card     pan.Token
	party    string
}

// reservation is what became of a wish to try.
type reservation uint8

const (
	reserved reservation = iota
	flying               // under way already, or waiting
	full                 // no room with the party
)

// outlets are the queues of all parties. Each has workers of its own, started when there is
// something to send and gone when there is not.
type outlets struct {
	s    *Service
	work sync.WaitGroup

	mu      sync.Mutex
	parties map[string]*outlet
	closed  bool
}

// outlet is the queue of one party, under the lock of outlets.
type outlet struct {
	queue   []errand
	known   map[pan.Token]bool // documents reserved, waiting or under way
	cards   map[pan.Token]bool // cards under way: one try a card at a time
	workers int
}

// reserve keeps a place for an errand: reserved must be followed by send or release.
func (o *outlets) reserve(e errand) reservation {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.parties[e.party]
	if t == nil {
		t = &outlet{known: map[pan.Token]bool{}, cards: map[pan.Token]bool{}}
		o.parties[e.party] = t
	}
	switch {
	case t.known[e.document]:
		return flying
	case len(t.known) >= PartyQueueMax || o.closed:
		return full
	}
	t.known[e.document] = true
	return reserved
}

// release gives the place of an errand back.
func (o *outlets) release(e errand) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.parties[e.party]
	delete(t.known, e.document)
	if len(t.known) == 0 && t.workers == 0 {
		delete(o.parties, e.party)
	}
}

// send queues a reserved errand.
func (o *outlets) send(e errand) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.parties[e.party]
	if o.closed {
		delete(t.known, e.document)
		return
	}
	t.queue = append(t.queue, e)
	if t.workers < o.s.o.PerParty {
		t.workers++
		o.work.Go(func() { o.run(t) })
	}
}

// next takes the first errand of a card that no other worker is about; false ends the
// worker. A card that is passed over is found by the worker that is about it.
func (o *outlets) next(t *outlet, last *errand) (errand, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last != nil {
		delete(t.cards, last.card)
	}
	i := slices.IndexFunc(t.queue, func(e errand) bool { return !t.cards[e.card] })
	if i < 0 || o.closed {
		t.workers--
		return errand{}, false
	}
	e := t.queue[i]
	t.queue = slices.Delete(t.queue, i, i+1)
	t.cards[e.card] = true
	return e, true
}

func (o *outlets) run(t *outlet) {
	e, ok := o.next(t, nil)
	for ok {
		o.deliver(e)
		e, ok = o.next(t, &e)
	}
}

// stop takes no more errands and returns a channel that is closed when no try is under way.
func (o *outlets) stop() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	idle := make(chan struct{})
	go func() {
		o.work.Wait()
		close(idle)
	}()
	return idle
}

// waiting returns how many errands all parties have.
func (o *outlets) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, t := range o.parties {
		n += len(t.known)
	}
	return n
}

// deliver tells a party once and has the outcome written. The document is read again first:
// the party may have answered meanwhile, or the notice may be void.
func (o *outlets) deliver(e errand) {
	s := o.s
	d, _, err := s.load(s.ctx, e.document)
	i := -1
	if err == nil && d != nil {
		i = d.row(e.party)
	}
	if i < 0 || !d.Rows[i].wantsTry() {
		o.release(e)
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.o.Timeout)
	err = s.tell(ctx, d, e.party)
	cancel()
	if err != nil && s.ctx.Err() != nil {
		o.release(e) // cut off by Close: it comes again when its claim ends
		return
	}
	ev := Event{Kind: Delivered, Party: e.party, At: s.o.Now()}
	s.figures.sent.Add(1)
	if err != nil {
		s.figures.failed.Add(1)
		ev.Kind, ev.Failure, ev.Jitter = Failed, err.Error(), rand.Float64()
	}
	s.scribe.submit(e.document, []Event{ev}, func(outcome) { o.release(e) })
}

// tell sends a document to a party over its channel, as the party stands now.
func (s *Service) tell(ctx context.Context, d *Document, party string) error {
	m, err := s.roster.member(ctx, party)
	if err != nil {
		return err
	}
	body := bodyOf(d, party)
	msg := Message{Card: d.Card, Body: body, ID: d.ID + "/" + party}
	if len(m.keys) > 0 {
		at := time.UnixMilli(int64(s.o.Now()))
		msg.Signature = Sign(m.keys[0].id, m.keys[0].secret, at, "", body)
	}
	return s.channel.send(ctx, m, msg)
}

package notice

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// DuePrefix is the first byte of the due keys of this package: it is followed by the token
// of the document. A document has one entry, at the earliest of what is due in it.
const DuePrefix = 'n'

// DuesMax bounds what waits to be looked at. More stays in the due queue and comes again.
const DuesMax = 8192

// dueWorkers is how many documents are looked at side by side.
const dueWorkers = 4

// Pauses of a row that cannot be tried now, in milliseconds: under way already, and no room
// with its party.
const (
	flyingPauseMS = 60_000
	fullPauseMS   = 30_000
)

func dueKey(token pan.Token) []byte { return append([]byte{DuePrefix}, token[:]...) }

// dueChange sets the due entry of a document to what is next, or removes it.
func dueChange(token pan.Token, d *Document) []store.DueChange {
	at, any := DueAt(d)
	return []store.DueChange{{Key: dueKey(token), At: at, Remove: !any}}
}

// dues are the documents that wait to be looked at.
type dues struct {
	s     *Service
	queue chan pan.Token

	mu    sync.Mutex
	known map[pan.Token]bool // queued or being looked at
}

// Due takes due entries whose key begins with DuePrefix; see engine.Clockwork. It does not
// block: what finds no room comes again with the next tick.
func (s *Service) Due(_ context.Context, entries []store.Due) {
	for _, e := range entries {
		if len(e.Key) != 1+pan.TokenSize || e.Key[0] != DuePrefix {
			s.log.Error("due entry of an unknown form", "key", fmt.Sprintf("%x", e.Key))
			continue
		}
		var token pan.Token
		copy(token[:], e.Key[1:])
		s.dues.add(token)
	}
}

func (d *dues) add(token pan.Token) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[token] {
		return
	}
	select {
	case d.queue <- token:
		d.known[token] = true
	default:
	}
}

func (d *dues) done(token pan.Token) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, token)
}

// run looks at documents until the service is closed. A document is known until what was
// found is written, so that the next tick does not find it again.
func (d *dues) run() {
	for {
		select {
		case token := <-d.queue:
			if err := d.look(token); err != nil {
				d.done(token)
				if d.s.ctx.Err() == nil {
					d.s.figures.faults.Add(1)
					d.s.log.Error("due notice", "document", token.String(), "error", err)
				}
			}
		case <-d.s.ctx.Done():
			return
		}
	}
}

// look does what is due about a document.
func (d *dues) look(token pan.Token) error {
	s := d.s
	doc, _, err := s.load(s.ctx, token)
	switch {
	case err != nil:
		return err
	case doc == nil:
		defer d.done(token)
		return s.dropDue(token)
	}
	now := s.o.Now()
	events, ready, err := s.prepare(doc, now)
	if err != nil {
		return err
	}
	var errands []errand
	if ready {
		events = append(events, Overdues(doc, now)...)
		errands, events = s.claim(token, doc, now, events)
	}
	s.scribe.submit(token, events, func(o outcome) {
		d.done(token)
		for _, e := range errands {
			if o.err != nil {
				s.outlets.release(e)
			} else {
				s.outlets.send(e)
			}
		}
	})
	return nil
}

// dropDue removes the due entry of a document that does not exist.
func (s *Service) dropDue(token pan.Token) error {
	c := &store.Commit{Card: token, Due: []store.DueChange{{Key: dueKey(token), Remove: true}}}
	if err := s.o.Cards.Commit(s.ctx, []*store.Commit{c}); err != nil {
		return fmt.Errorf("cannot remove a due entry: %w", err)
	}
	return nil
}

// claim reserves what is to be tried now, and says until when others leave it alone.
func (s *Service) claim(
	token pan.Token, d *Document, now txn.Millis, events []Event,
) ([]errand, []Event) {
	var errands []errand
	for i := range d.Rows {
		r := &d.Rows[i]
		if !r.wantsTry() || r.Next > now {
			continue
		}
		e, next := errand{token, d.Card, r.Party}, now+s.lease()
		switch s.outlets.reserve(e) {
		case reserved:
			errands = append(errands, e)
		case flying:
			next = now + flyingPauseMS
		default:
			next = now + fullPauseMS
		}
		events = append(events, Event{Kind: Claimed, Party: r.Party, Next: next})
	}
	return errands, events
}

// prepare makes sure that a document may be sent: its head exists, and what it supersedes
// is stopped. It returns false while there is no head; after orphanAfter the part is closed.
func (s *Service) prepare(d *Document, now txn.Millis) (events []Event, ready bool, err error) {
	if d.Ready || d.ClosedAt != 0 {
		return nil, true, nil
	}
	if d.Part > 0 {
		head, _, err := s.load(s.ctx, s.vault.token(d.ID, 0))
		if err != nil {
			return nil, false, err
		}
		if head == nil || d.Part >= head.Parts {
			return s.orphan(d, now), false, nil
		}
	}
	if err := s.stop(d.Supersedes); err != nil {
		return nil, false, err
	}
	return []Event{{Kind: Prepared}}, true, nil
}

// orphan puts off a part whose head is not there, and closes it when none will come.
func (s *Service) orphan(d *Document, now txn.Millis) []Event {
	kind := Claimed
	if now-d.CreatedAt > millis(orphanAfter) {
		kind = Voided
	}
	var events []Event
	for i := range d.Rows {
		events = append(events, Event{Kind: kind, Party: d.Rows[i].Party, Next: now + fullPauseMS})
	}
	return events
}

// stop voids all rows of a notice that are not done; none is no error.
func (s *Service) stop(id string) error {
	if id == "" {
		return nil
	}
	parts, err := s.parts(s.ctx, id)
	if errors.Is(err, ErrNoNotice) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("superseded notice: %w", err)
	}
	for _, d := range parts {
		var events []Event
		for i := range d.Rows {
			events = append(events, Event{Kind: Voided, Party: d.Rows[i].Party})
		}
		if _, err := s.scribe.write(s.ctx, s.vault.token(id, d.Part), events); err != nil {
			return fmt.Errorf("superseded notice: %w", err)
		}
	}
	return nil
}

package notice

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of the scribe. What waits for it is bounded by who sends: the outlets, the queue
// of what is due, and AcksMax answers.
const (
	scribeWorkers   = 4
	scribeBatchMax  = 64 // documents that one worker writes in one go
	scribeRoundsMax = 6  // tries of a write against other writers and a store in trouble
	scribePause     = 50 * time.Millisecond
	scribeTimeout   = 10 * time.Second
)

// letter is a list of events of one document, to be committed together, and who is told.
type letter struct {
	events []Event
	done   func(outcome) // may be nil; must not block
}

// outcome is what became of a letter. Changes are those of its last event.
type outcome struct {
	document *Document
	changes  Changes
	err      error
}

// scribe writes what happened into the documents. What gathers for one document while it is
// being written is written together; one document is written by one worker at a time.
type scribe struct {
	s    *Service
	work sync.WaitGroup
	wake chan struct{}
	quit chan struct{}
	// ctx ends some time after stop: a store in trouble does not hold up the end.
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	pending map[pan.Token][]letter
	busy    map[pan.Token]bool
	order   []pan.Token // with letters and not busy
}

func newScribe(s *Service) *scribe {
	w := &scribe{s: s, wake: make(chan struct{}, 1), quit: make(chan struct{}),
		pending: map[pan.Token][]letter{}, busy: map[pan.Token]bool{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *scribe) start() {
	for range scribeWorkers {
		w.work.Go(w.run)
	}
}

// stop ends the scribe when everything is written that was given to it before, or when ctx
// ends.
func (w *scribe) stop(ctx context.Context) {
	cut := context.AfterFunc(ctx, w.cancel)
	defer cut()
	end := time.AfterFunc(stopGrace, w.cancel)
	close(w.quit)
	w.work.Wait()
	end.Stop()
	w.cancel()
}

// submit has events written; done, when not nil, is told once.
func (w *scribe) submit(token pan.Token, events []Event, done func(outcome)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending[token]) == 0 && !w.busy[token] {
		w.order = append(w.order, token)
	}
	w.pending[token] = append(w.pending[token], letter{events, done})
	w.rouse()
}

// write is submit, and waits.
func (w *scribe) write(ctx context.Context, token pan.Token, events []Event) (outcome, error) {
	done := make(chan outcome, 1)
	w.submit(token, events, func(o outcome) { done <- o })
	select {
	case o := <-done:
		return o, o.err
	case <-ctx.Done():
		return outcome{}, fmt.Errorf("notice document in doubt: %w", ctx.Err())
	}
}

func (w *scribe) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take hands a worker the documents that it is to write.
func (w *scribe) take() []*sheet {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.order), scribeBatchMax)
	sheets := make([]*sheet, n)
	for i, token := range w.order[:n] {
		sheets[i] = &sheet{token: token, letters: w.pending[token]}
		delete(w.pending, token)
		w.busy[token] = true
	}
	w.order = append(w.order[:0], w.order[n:]...)
	if len(w.order) > 0 {
		w.rouse()
	}
	return sheets
}

// release gives documents back.
func (w *scribe) release(sheets []*sheet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range sheets {
		delete(w.busy, h.token)
		if len(w.pending[h.token]) > 0 {
			w.order = append(w.order, h.token)
			w.rouse()
		}
	}
}

func (w *scribe) run() {
	for {
		sheets := w.take()
		if len(sheets) > 0 {
			w.writeAll(sheets)
			w.release(sheets)
			continue
		}
		select {
		case <-w.wake:
		case <-w.quit:
			if w.empty() {
				return
			}
		}
	}
}

// empty reports whether no document waits; those that are being written rouse their worker
// again if they must be.
func (w *scribe) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.order) == 0
}

// sheet is a document that is being written.
type sheet struct {
	token    pan.Token
	letters  []letter
	document *Document // after all events
	each     []Changes // of the letters
	all      Changes
	commit   store.Commit
	settled  bool
	err      error
}

// writeAll writes documents until each is settled or the rounds are over, and tells.
func (w *scribe) writeAll(sheets []*sheet) {
	ctx, cancel := context.WithTimeout(w.ctx, scribeTimeout)
	defer cancel()
	for round := range scribeRoundsMax {
		if w.round(ctx, sheets) == 0 {
			break
		}
		w.pause(ctx, round)
	}
	for _, h := range sheets {
		if !h.settled && h.err == nil {
			h.err = fmt.Errorf("notice document %s changed too often: %w", h.token, ErrBusy)
		}
		w.tell(h)
	}
}

// pause waits before another round; not at all before the second, which a conflict with
// another process needs most often.
func (w *scribe) pause(ctx context.Context, round int) {
	if round == 0 {
		return
	}
	t := time.NewTimer(scribePause << round)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// round tries once and returns how many are not settled.
func (w *scribe) round(ctx context.Context, sheets []*sheet) int {
	var list []*store.Commit
	var open []*sheet
	for _, h := range sheets {
		if h.settled {
			continue
		}
		open = append(open, h)
		if h.err = w.draw(ctx, h); h.err == nil && !h.settled {
			list = append(list, &h.commit)
		}
	}
	if err := w.s.indexLate(ctx, open); err != nil {
		list = nil
		fail(open, err)
	}
	if len(list) > 0 {
		_ = w.s.o.Cards.Commit(ctx, list) // each commit bears its own fault
	}
	left := 0
	for _, h := range open {
		switch {
		case h.settled:
		case h.err == nil && h.commit.Status == store.Committed:
			h.settled = true
		default:
			if h.err == nil {
				h.err = h.commit.Err
			}
			left++
		}
	}
	return left
}

func fail(sheets []*sheet, err error) {
	for _, h := range sheets {
		if h.err == nil {
			h.err = err
		}
	}
}

// draw loads a document and applies all events, making the commit.
func (w *scribe) draw(ctx context.Context, h *sheet) error {
	d, version, err := w.s.load(ctx, h.token)
	if err != nil {
		h.settled = errors.Is(err, ErrDocument) || errors.Is(err, ErrVersion)
		return err
	}
	if d == nil {
		h.settled = true
		return ErrNoNotice
	}
	now := w.s.o.Now()
	h.all, h.each = Changes{}, h.each[:0]
	touched := false
	for _, l := range h.letters {
		var last Changes
		touched = touched || len(l.events) == 0
		for _, e := range l.events {
			d, last = Apply(d, e, now)
			h.all.add(last)
		}
		h.each = append(h.each, last)
	}
	h.document = d
	h.commit = store.Commit{Card: h.token, Version: version, Reserve: true}
	if h.all.Changed {
		h.commit.State = AppendDocument(nil, d)
		h.commit.Record = w.record(h, version+1, now)
	}
	if h.all.Changed || touched {
		h.commit.Due = dueChange(h.token, d)
	}
	return nil
}

// record makes the settled record of what changed, if it is worth one.
func (w *scribe) record(h *sheet, version uint64, now txn.Millis) []byte {
	c := &h.all
	if len(c.Late) == 0 && len(c.Lifted) == 0 && !c.Completed {
		return nil
	}
	return w.s.o.Record(&Fact{At: now, Document: h.document, Token: h.token, Version: version,
		Late: c.Late, Lifted: c.Lifted, Completed: c.Completed})
}

// tell counts what was written and tells everybody concerned.
func (w *scribe) tell(h *sheet) {
	if h.err != nil {
		w.s.figures.faults.Add(1)
		w.s.log.Error("notice document not written", "document", h.token.String(), "error", h.err)
	} else {
		w.s.observe(h.document, &h.all)
	}
	for i, l := range h.letters {
		if l.done == nil {
			continue
		}
		o := outcome{document: h.document, err: h.err}
		if h.err == nil {
			o.changes = h.each[i]
		}
		l.done(o)
	}
}

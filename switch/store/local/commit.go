package local

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Load reads a card from memory, or from Pebble when it is cold. What it returns may
// be not yet durable; whatever is decided on it is committed after it.
func (s *Store) Load(ctx context.Context, token pan.Token, dst []byte) (store.Loaded, error) {
	b := &s.buckets[txn.BucketOf(token)]
	b.mu.Lock()
	if c := b.states.find(&token); c != nil && s.usable() {
		is := s.viewLocked(c, &token, dst)
		b.mu.Unlock()
		return is, nil
	}
	b.mu.Unlock()
	if err := s.enter(); err != nil {
		return store.Loaded{}, err
	}
	defer s.leave()
	return s.loadCold(b, &token, dst)
}

// loadCold reads a card that was not in memory a moment ago, and keeps it there when
// there is room.
func (s *Store) loadCold(b *bucket, token *pan.Token, dst []byte) (store.Loaded, error) {
	for {
		b.mu.Lock()
		evicted := b.evicted
		if c := b.states.find(token); c != nil || !b.cold {
			defer b.mu.Unlock()
			return s.viewLocked(c, token, dst), nil
		}
		b.mu.Unlock()
		state, version, err := s.fetch(token, dst)
		if err != nil {
			return store.Loaded{}, fmt.Errorf("local store: cannot read card: %w", err)
		}
		b.mu.Lock()
		if b.states.find(token) != nil || b.evicted != evicted {
			b.mu.Unlock()
			continue // what was read may be old by now
		}
		defer b.mu.Unlock()
		if version > 0 && !b.fullLocked() {
			b.insertLocked(token, version, state, 0)
		}
		return store.Loaded{State: state, Version: version, Mark: s.listed.Get(*token)}, nil
	}
}

// usable reports whether answers may be given from memory.
func (s *Store) usable() bool { return s.fault.Load() == nil && !s.shut.Load() }

// viewLocked copies a card for a caller; a nil card is absent.
func (s *Store) viewLocked(c card, token *pan.Token, dst []byte) store.Loaded {
	is := store.Loaded{State: dst[:0], Mark: s.listed.Get(*token)}
	if c != nil {
		is.State, is.Version = append(is.State, c.state()...), c.version()
	}
	return is
}

// lockWarm locks the bucket with the card in memory and returns it; nil means that
// the store has no such card. On an error the bucket is not locked.
func (s *Store) lockWarm(ctx context.Context, b *bucket, token *pan.Token) (card, error) {
	b.mu.Lock()
	for {
		if c := b.states.find(token); c != nil {
			return c, nil
		}
		if b.fullLocked() {
			b.evictLocked(1)
		}
		full, cold, evicted := b.fullLocked(), b.cold, b.evicted
		if !full && !cold {
			return nil, nil
		}
		b.mu.Unlock()
		if full {
			if err := s.checkpoints.waitFor(ctx); err != nil {
				return nil, err
			}
			b.mu.Lock()
			continue
		}
		state, version, err := s.fetch(token, nil)
		if err != nil {
			return nil, fmt.Errorf("local store: cannot read card: %w", err)
		}
		b.mu.Lock()
		if c := b.states.find(token); c != nil || b.evicted != evicted {
			continue // somebody was faster, or what was read may be old by now
		}
		if version == 0 {
			return nil, nil
		}
		b.insertLocked(token, version, state, 0)
		return b.states.find(token), nil
	}
}

// lockForWrite is lockWarm for a commit: it waits when the next checkpoint has more to
// write already than it should.
func (s *Store) lockForWrite(ctx context.Context, b *bucket, token *pan.Token) (card, error) {
	for {
		c, err := s.lockWarm(ctx, b, token)
		if err != nil || !b.fresh.overdue() {
			return c, err
		}
		b.mu.Unlock()
		if err := s.checkpoints.waitFor(ctx); err != nil {
			return nil, err
		}
	}
}

// fullLocked reports whether no further card gets into memory before a checkpoint.
func (b *bucket) fullLocked() bool { return b.states.count() >= 2*b.hotMax }

// insertLocked puts a card into memory and forgets others for it when there are
// enough. The look for them is short; the checkpointer does the rest.
func (b *bucket) insertLocked(token *pan.Token, version uint64, state []byte, flags byte) {
	if b.states.count() >= b.hotMax && b.states.find(token) == nil {
		b.evictLocked(2)
	}
	b.states.put(token, version, state, flags)
}

// evictLocked forgets up to want cards that look clean in one block.
func (b *bucket) evictLocked(want int) {
	if gone := b.states.evict(want); gone > 0 {
		b.evicted += uint64(gone)
		b.cold = true
	}
}

// Commit applies each commit of the list; see store.Cards. All of a list share one
// wait for the disk.
func (s *Store) Commit(ctx context.Context, commits []*store.Commit) error {
	if len(commits) == 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return failAll(commits, err)
	}
	defer s.leave()
	if len(commits) > store.CommitListMax {
		return failAll(commits, fmt.Errorf("%w: %d commits in one list, limit %d",
			store.ErrTooLarge, len(commits), store.CommitListMax))
	}
	var last *batch
	for _, c := range commits {
		c.Status, c.Err = store.Unanswered, nil
		c.Position, c.Date, c.ListSeq = txn.Position{}, 0, 0
		c.Current = store.Loaded{State: c.Current.State[:0]}
		after, err := s.commit(ctx, c)
		if err != nil {
			c.Err = err
		}
		if after != nil && (last == nil || after.lsn > last.lsn) {
			last = after
		}
	}
	return s.settle(commits, s.journal.wait(ctx, last))
}

func failAll(commits []*store.Commit, err error) error {
	for _, c := range commits {
		c.Status, c.Err = store.Unanswered, err
	}
	return err
}

// settle hands the answers out once everything is durable, or, with err, takes those
// back that depend on what may not be.
func (s *Store) settle(commits []*store.Commit, err error) error {
	s.opts.Failpoint(FailBeforeReply)
	var first error
	for _, c := range commits {
		if err != nil && (c.Status == store.Committed || c.Status == store.ListClosed) {
			c.Status, c.Err = store.Unanswered, err
		}
		if c.Err != nil && first == nil {
			first = c.Err
		}
	}
	return first
}

// commit applies one commit in memory and gathers its entry. It returns the batch
// that the answer has to wait for.
func (s *Store) commit(ctx context.Context, c *store.Commit) (*batch, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if l := c.List; l != nil && (len(l.Entry.Actor) > actorMax || len(l.Entry.Note) > noteMax) {
		return nil, fmt.Errorf("%w: actor of %d and note of %d bytes, limits %d and %d",
			store.ErrTooLarge, len(l.Entry.Actor), len(l.Entry.Note), actorMax, noteMax)
	}
	if !s.writer.Load() {
		return nil, fmt.Errorf("%w: this handle has opened no epoch yet", store.ErrFenced)
	}
	if s.journal.starved.Load() && !c.Reserve {
		return nil, fmt.Errorf("%w: the disk has no room for the next journal segment",
			store.ErrUnavailable)
	}
	b := &s.buckets[c.Bucket()]
	now, err := s.lockForWrite(ctx, b, &c.Card)
	if err != nil {
		return nil, err
	}
	defer b.mu.Unlock()
	switch c.Status = s.judgeLocked(b, c, now); c.Status {
	case store.Committed:
		return s.applyLocked(b, c)
	case store.ListClosed:
		return b.appended, nil // the terminal entry may not be durable yet
	default:
		return nil, nil // whoever tries again is ordered after what he was shown
	}
}

// judgeLocked says what becomes of a commit and fills Current on a conflict.
func (s *Store) judgeLocked(b *bucket, c *store.Commit, now card) store.Status {
	mark := s.listed.Get(c.Card)
	version := uint64(0)
	if now != nil {
		version = now.version()
	}
	switch {
	case c.Deadline != 0 && s.opts.Now() > c.Deadline:
		return store.DeadlinePassed
	case !c.AnyVersion && version != c.Version:
		c.Current = s.viewLocked(now, &c.Card, c.Current.State)
		return store.VersionConflict
	case mark != c.Mark:
		c.Current = s.viewLocked(now, &c.Card, c.Current.State)
		return store.MarkConflict
	case c.List != nil && !c.List.Allowed(mark):
		return store.ListClosed
	case len(c.Record) > 0 && !c.Reserve && b.outbox.pending() >= s.opts.OutboxMax:
		return store.OutboxFull
	}
	return store.Committed
}

// applyLocked gathers the entry of a commit that passed, then changes memory. Should
// the journal refuse, memory stays as it was.
func (s *Store) applyLocked(b *bucket, c *store.Commit) (*batch, error) {
	if len(c.State)+len(c.Record)+len(c.Due) == 0 && c.List == nil {
		return b.appended, nil
	}
	e := entry{bucket: c.Bucket(), card: c.Card, state: c.State, record: c.Record, due: c.Due}
	if len(c.State) > 0 {
		e.flags |= hasState
		e.version = c.Version + 1
	}
	if len(c.Record) > 0 {
		e.placeLocked(b)
	}
	if c.List != nil {
		e.flags |= hasList
		e.listSeq, e.list = b.listSeq+1, c.List.Entry
	}
	if err := s.gatherLocked(b, &e); err != nil {
		c.Status = store.Unanswered
		return nil, err
	}
	if e.has(hasRecord) {
		c.Position, c.Date = e.position(), e.date
	}
	if e.has(hasList) {
		c.ListSeq = e.listSeq
	}
	return b.appended, nil
}

// placeLocked makes e the next outbox entry of its bucket.
func (e *entry) placeLocked(b *bucket) {
	p := b.outbox.next()
	e.flags |= hasRecord
	e.epoch, e.seq, e.date = p.Epoch, p.Seq, b.date
}

// gatherLocked hands the entry to the journal and, when that took it, enters it in
// memory.
func (s *Store) gatherLocked(b *bucket, e *entry) error {
	after, err := s.journal.append(e)
	if err != nil {
		return err
	}
	b.appended = after
	if e.has(hasList) {
		b.listed = after
	}
	if err := s.enterLocked(b, e); err != nil {
		panic("local: internal error: " + err.Error())
	}
	if b.fresh.large() {
		s.checkpoints.kick()
	}
	return nil
}

// enterLocked changes memory as a new entry says.
func (s *Store) enterLocked(b *bucket, e *entry) error {
	if e.has(hasRecord) {
		if err := b.outbox.advance(e.position()); err != nil {
			return err
		}
	}
	if e.has(hasNextDate) {
		b.date = e.nextDate
	}
	if e.has(hasState) {
		b.insertLocked(&e.card, e.version, e.state, slotDirty)
	}
	if e.has(hasList) {
		b.changeListLocked(s.listed, e)
	}
	if len(e.due) > 0 {
		b.changeDueLocked(e.due)
	}
	return nil
}

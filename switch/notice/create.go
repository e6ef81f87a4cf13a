package notice

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of making notices known.
const (
	NotifyWaitMax  = 1024 // calls of Notify that wait; more wait outside, until their ctx ends
	NotifyBatchMax = 128  // notices that are made in one go, sharing their syncs
)

// createMax is how long after its creation the head of a notice may still be written, by
// the clock of the store; orphanAfter is when a part without a head is given up. The first
// is well below the second, so that no notice loses a part.
const (
	createMax   = 30 * time.Second
	orphanAfter = 10 * time.Minute
)

// proposal is a Notify under way.
type proposal struct {
	notice  Notice
	members []*member
	done    chan error // takes one
}

// Notify makes a notice known to every party that it concerns. It is durable on return, and
// sending has begun. The same notice again is no error and changes nothing; ErrOther means
// that the id belongs to another, ErrNotice that it cannot be. Any other error leaves it in
// doubt: call again with the same notice.
func (s *Service) Notify(ctx context.Context, n Notice) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := n.check(s.o.Now()); err != nil {
		return err
	}
	members, err := s.concerned(ctx, &n)
	if err != nil {
		return err
	}
	n.Only = nil
	p := &proposal{n, members, make(chan error, 1)}
	select {
	case s.proposals <- p:
	case <-ctx.Done():
		return fmt.Errorf("notice %s not begun: %w", n.ID, ctx.Err())
	case <-s.ctx.Done():
		return ErrClosed
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("notice %s in doubt: %w", n.ID, ctx.Err())
	case <-s.ctx.Done():
		return fmt.Errorf("notice %s in doubt: %w", n.ID, ErrClosed)
	}
}

// concerned returns the parties of a notice in order of their names.
func (s *Service) concerned(ctx context.Context, n *Notice) ([]*member, error) {
	known, err := s.roster.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("notice %s: %w", n.ID, err)
	}
	now := s.o.Now()
	var members []*member
	for _, m := range known {
		if m.Concerns(n.Scope, now) && (n.Only == nil || slices.Contains(n.Only, m.Name)) {
			members = append(members, m)
		}
	}
	for _, name := range n.Only {
		if known[name] == nil {
			return nil, fmt.Errorf("%w: notice %s: %w: %q", ErrNotice, n.ID, ErrNoParty, name)
		}
	}
	if len(members) > PartiesMax {
		return nil, fmt.Errorf("%w: %d parties, at most %d", ErrNotice, len(members), PartiesMax)
	}
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.Name, b.Name) })
	return members, nil
}

// make makes the notices that are proposed until the service is closed: as many at once as
// have gathered while the last were being written.
func (s *Service) make() {
	for {
		select {
		case p := <-s.proposals:
			batch := []*proposal{p}
			for len(batch) < NotifyBatchMax && len(s.proposals) > 0 {
				batch = append(batch, <-s.proposals)
			}
			s.create(batch)
		case <-s.ctx.Done():
			return
		}
	}
}

// birth is a notice that is being written.
type birth struct {
	*proposal
	documents []*Document
	commits   []*store.Commit // one a document
	err       error
}

// create writes a batch of notices and answers each: first the index, then all parts but
// the heads, then the heads.
func (s *Service) create(batch []*proposal) {
	ctx, cancel := context.WithTimeout(s.ctx, createMax)
	defer cancel()
	var births []*birth
	first := map[string]*birth{}
	var twins []*proposal
	for _, p := range batch {
		if first[p.notice.ID] != nil {
			twins = append(twins, p)
			continue
		}
		b := &birth{proposal: p}
		first[p.notice.ID] = b
		births = append(births, b)
	}
	s.conceive(ctx, births)
	s.register(ctx, births)
	s.commitParts(ctx, births, func(part int) bool { return part > 0 })
	s.commitParts(ctx, births, func(part int) bool { return part == 0 })
	for _, b := range births {
		s.answer(b)
	}
	for _, p := range twins {
		b := first[p.notice.ID]
		if b.err == nil && !p.notice.same(&b.notice) {
			p.done <- fmt.Errorf("%w: %s", ErrOther, p.notice.ID)
			continue
		}
		p.done <- b.err
	}
}

// conceive makes the documents of those that do not exist yet.
func (s *Service) conceive(ctx context.Context, births []*birth) {
	now := s.o.Now()
	for _, b := range births {
		head, _, err := s.load(ctx, s.vault.token(b.notice.ID, 0))
		switch {
		case err != nil:
			b.err = err
		case head == nil:
			b.documents = documentsOf(&b.notice, b.members, now, s.lease())
			b.err = s.commitsOf(ctx, b, now)
		case !head.same(&b.notice):
			b.err = fmt.Errorf("%w: %s", ErrOther, b.notice.ID)
		}
	}
}

// documentsOf divides the parties of a notice into documents. One that can be sent at once
// is claimed by its maker for the time of a lease.
func documentsOf(n *Notice, members []*member, now, lease txn.Millis) []*Document {
	parts := max(1, (len(members)+RowsMax-1)/RowsMax)
	ready := parts == 1 && n.Supersedes == ""
	documents := make([]*Document, parts)
	for i := range documents {
		d := &Document{Notice: *n, Part: uint8(i), Parts: uint8(parts), CreatedAt: now, Ready: ready}
		for _, m := range members[i*RowsMax : min(len(members), (i+1)*RowsMax)] {
			row := Row{Party: m.Name, Channel: m.channel(), Answer: m.answer()}
			if row.Next = now; ready {
				row.Next += lease
			}
			if row.Channel == Manual {
				row.Next = 0
			}
			d.Rows = append(d.Rows, row)
		}
		if len(d.Rows) == 0 {
			d.ClosedAt = now
		}
		documents[i] = d
	}
	return documents
}

// commitsOf makes the commits of the documents of a notice. A part that an earlier try left
// without a head is written over.
func (s *Service) commitsOf(ctx context.Context, b *birth, now txn.Millis) error {
	for _, d := range b.documents {
		token := s.vault.token(d.ID, d.Part)
		c := &store.Commit{Card: token, Reserve: true, State: AppendDocument(nil, d),
			Due: dueChange(token, d)}
		if d.Part == 0 {
			c.Deadline = now + millis(createMax)
			c.Record = s.o.Record(&Fact{At: now, Document: d, Token: token, Version: 1,
				Created: true, Completed: d.ClosedAt != 0})
		} else {
			is, err := s.o.Cards.Load(ctx, token, nil)
			if err != nil {
				return fmt.Errorf("notice %s: %w", d.ID, err)
			}
			c.Version = is.Version
		}
		b.commits = append(b.commits, c)
	}
	return nil
}

// commitParts writes the parts that are chosen, of all notices that are well so far.
func (s *Service) commitParts(ctx context.Context, births []*birth, chosen func(int) bool) {
	var list []*store.Commit
	for _, b := range births {
		for i, c := range b.commits {
			if b.err == nil && chosen(i) {
				list = append(list, c)
			}
		}
	}
	for chunk := range slices.Chunk(list, store.CommitListMax) {
		if err := s.o.Cards.Commit(ctx, chunk); err != nil {
			s.log.Error("notice not written", "error", err)
		}
	}
	for _, b := range births {
		for i, c := range b.commits {
			switch {
			case b.err != nil || !chosen(i) || c.Status == store.Committed:
			case c.Err != nil:
				b.err = fmt.Errorf("notice %s in doubt: %w", b.notice.ID, c.Err)
			case c.Status == store.VersionConflict && i == 0:
				b.err = s.rival(b, c)
			default:
				b.err = fmt.Errorf("notice %s not written: %s: %w", b.notice.ID, c.Status, ErrBusy)
			}
		}
	}
}

// rival compares with the head that another process wrote in the meantime.
func (s *Service) rival(b *birth, c *store.Commit) error {
	b.documents = nil // not ours to send
	head, err := DecodeDocument(c.Current.State)
	switch {
	case err != nil:
		return fmt.Errorf("notice %s: %w", b.notice.ID, err)
	case !head.same(&b.notice):
		return fmt.Errorf("%w: %s", ErrOther, b.notice.ID)
	}
	return nil
}

// answer tells the caller, and has the notice sent.
func (s *Service) answer(b *birth) {
	if b.err == nil {
		for _, d := range b.documents {
			s.launch(s.vault.token(d.ID, d.Part), d)
		}
	}
	b.done <- b.err
}

// launch begins to send a new document; what must be prepared first goes the way of what
// is due.
func (s *Service) launch(token pan.Token, d *Document) {
	if !d.Ready {
		s.dues.add(token)
		return
	}
	for i := range d.Rows {
		if r := &d.Rows[i]; r.wantsTry() {
			e := errand{token, d.Card, r.Party}
			if s.outlets.reserve(e) == reserved {
				s.outlets.send(e)
			}
		}
	}
}

// lease is how long a claimed try is left to its claimer.
func (s *Service) lease() txn.Millis { return millis(s.o.Timeout + 5*time.Second) }

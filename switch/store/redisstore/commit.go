package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// dueMillisMax bounds due times and deadlines to what a sorted set and Lua hold exactly.
const dueMillisMax = 1<<53 - 1

// headSize is the length of an item's head: four bytes that steer the script, then the
// item's number, which the reply echoes.
const headSize = 12

// What the head says of a list change.
const (
	listNone = iota
	listSet
	listRemove
	listSetTerminal
)

// item is one commit on its way. It holds copies of everything, so that a caller who gave
// up may reuse what it passed.
type item struct {
	owner  *batch
	bucket txn.Bucket
	epoch  uint64 // that it was sent with

	// The arguments of the script. They are passed as pointers, which are not boxed.
	head, version, mark, deadline, token, state, record, entry string
	due                                                        []string
	card                                                       string

	// The answer, written by one goroutine before answered is set.
	answered atomic.Bool
	status   store.Status
	err      error
	current  store.Loaded
	position txn.Position
	date     txn.BusinessDate
	listSeq  store.ListSeq
}

// batch is what one call of Commit brought.
type batch struct {
	items     []item
	left      atomic.Int32
	abandoned atomic.Bool   // the caller has gone: do not start what has not started
	done      chan struct{} // closed when left reaches zero
}

// finish marks an item as answered. The answer must be written before.
func (it *item) finish() {
	b := it.owner
	it.answered.Store(true)
	if b.left.Add(-1) == 0 {
		close(b.done)
	}
}

func (it *item) fail(err error) {
	it.err = err
	it.finish()
}

// Commit implements store.Cards. Each commit is answered by the deadline of ctx at the
// latest, and within the queue's time plus ReadTimeout without one; those that are not
// answered then are in doubt and say ErrUnavailable.
func (s *Store) Commit(ctx context.Context, commits []*store.Commit) error {
	if len(commits) == 0 {
		return nil
	}
	if err := s.begin(); err != nil {
		return failAll(commits, fmt.Errorf("redisstore: commit: %w", err))
	}
	defer s.end()
	if len(commits) > store.CommitListMax {
		return failAll(commits, fmt.Errorf("redisstore: %w: %d commits in a call, limit %d",
			store.ErrTooLarge, len(commits), store.CommitListMax))
	}
	if err := ctx.Err(); err != nil {
		return failAll(commits, fmt.Errorf("redisstore: commit: %w: not begun: %w",
			store.ErrUnavailable, err))
	}
	b := s.newBatch(commits)
	s.enqueue(b)
	select {
	case <-b.done:
	case <-ctx.Done():
		b.abandoned.Store(true)
	}
	return b.collect(ctx, commits)
}

func failAll(commits []*store.Commit, err error) error {
	for _, c := range commits {
		reset(c)
		c.Err = err
	}
	return err
}

func reset(c *store.Commit) {
	c.Status, c.Err = store.Unanswered, nil
	c.Current, c.Position, c.Date, c.ListSeq = store.Loaded{}, txn.Position{}, 0, 0
}

// newBatch copies the commits into items; those that break a limit are answered at once.
func (s *Store) newBatch(commits []*store.Commit) *batch {
	b := &batch{items: make([]item, len(commits)), done: make(chan struct{})}
	b.left.Store(int32(len(commits)))
	first := s.items.Add(uint64(len(commits))) - uint64(len(commits))
	for i, c := range commits {
		it := &b.items[i]
		it.owner, it.bucket = b, c.Bucket()
		if err := checkCommit(c); err != nil {
			it.fail(fmt.Errorf("redisstore: commit: %w", err))
			continue
		}
		s.encode(it, c, first+uint64(i))
	}
	return b
}

func checkCommit(c *store.Commit) error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.List != nil {
		e := &c.List.Entry
		if len(e.Actor) > actorMax || len(e.Note) > noteMax {
			return fmt.Errorf("%w: blacklist entry with actor of %d and note of %d bytes, "+
				"limits %d and %d", store.ErrTooLarge, len(e.Actor), len(e.Note), actorMax, noteMax)
		}
	}
	for _, d := range c.Due {
		if d.At < -dueMillisMax || d.At > dueMillisMax {
			return fmt.Errorf("%w: due at %d", store.ErrTooLarge, d.At)
		}
	}
	return nil
}

// encode copies a commit into one string and cuts the arguments out of it.
func (s *Store) encode(it *item, c *store.Commit, number uint64) {
	size := headSize + 2*versionSize + markSize + len(c.Card) + len(c.State) + len(c.Record) +
		len(s.keys.bucket[it.bucket].card) + 2*len(c.Card)
	var text strings.Builder
	text.Grow(size)
	var cuts [7]int
	var scratch [headSize]byte
	text.Write(appendHead(scratch[:0], c, number))
	cuts[0] = text.Len()
	if c.Version != 0 && !c.AnyVersion {
		text.Write(binary.BigEndian.AppendUint64(scratch[:0], c.Version))
	}
	cuts[1] = text.Len()
	text.Write(binary.BigEndian.AppendUint32(scratch[:0], c.Mark.Uint32()))
	cuts[2] = text.Len()
	text.Write(c.Card[:])
	cuts[3] = text.Len()
	if len(c.State) > 0 {
		text.Write(binary.BigEndian.AppendUint64(scratch[:0], c.Version+1))
		text.Write(c.State)
	}
	cuts[4] = text.Len()
	text.Write(c.Record)
	cuts[5] = text.Len()
	text.WriteString(s.keys.bucket[it.bucket].card)
	writeHex(&text, c.Card[:])
	cuts[6] = text.Len()

	all := text.String()
	it.head, it.version = all[:cuts[0]], all[cuts[0]:cuts[1]]
	it.mark, it.token = all[cuts[1]:cuts[2]], all[cuts[2]:cuts[3]]
	it.state, it.record = all[cuts[3]:cuts[4]], all[cuts[4]:cuts[5]]
	it.card = all[cuts[5]:cuts[6]]
	it.deadline = "0"
	if c.Deadline != 0 {
		it.deadline = strconv.FormatInt(min(int64(c.Deadline), dueMillisMax), 10)
	}
	encodeRest(it, c)
}

func encodeRest(it *item, c *store.Commit) {
	if c.List != nil {
		it.entry = string(appendEntry(nil, &c.List.Entry))
	}
	for _, d := range c.Due {
		at := ""
		if !d.Remove {
			at = strconv.FormatInt(int64(d.At), 10)
		}
		it.due = append(it.due, at, string(d.Key))
	}
}

func appendHead(dst []byte, c *store.Commit, number uint64) []byte {
	dst = append(dst, boolByte(c.AnyVersion), boolByte(c.Reserve), listKind(c.List), byte(len(c.Due)))
	return binary.BigEndian.AppendUint64(dst, number)
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func listKind(l *store.ListChange) byte {
	switch {
	case l == nil:
		return listNone
	case l.Removes():
		return listRemove
	case l.Entry.Mark.Reason.Terminal():
		return listSetTerminal
	default:
		return listSet
	}
}

func writeHex(text *strings.Builder, b []byte) {
	const digits = "0123456789abcdef"
	for _, c := range b {
		text.WriteByte(digits[c>>4])
		text.WriteByte(digits[c&15])
	}
}

// collect copies the answers to the caller's commits and returns the first fault.
func (b *batch) collect(ctx context.Context, commits []*store.Commit) error {
	var first error
	for i, c := range commits {
		reset(c)
		it := &b.items[i]
		switch {
		case !it.answered.Load():
			c.Err = fmt.Errorf("redisstore: commit: %w: no answer in time: %w",
				store.ErrUnavailable, context.Cause(ctx))
		case it.err != nil:
			c.Err = it.err
		default:
			c.Status, c.Current, c.Position = it.status, it.current, it.position
			c.Date, c.ListSeq = it.date, it.listSeq
		}
		if first == nil {
			first = c.Err
		}
	}
	return first
}

var errReply = errors.New("reply not understood")

// take reads the script's answer to one item: head, letter, rest.
func (it *item) take(reply string) {
	if len(reply) <= headSize || reply[:headSize] != it.head {
		it.fail(fmt.Errorf("redisstore: commit: %w: %w", store.ErrUnavailable, errShifted))
		return
	}
	if err := it.takeStatus(reply[headSize], reply[headSize+1:]); err != nil {
		it.fail(fmt.Errorf("redisstore: commit in %s: %w", it.bucket, err))
		return
	}
	it.finish()
}

func (it *item) takeStatus(letter byte, rest string) error {
	switch letter {
	case 'C':
		it.status = store.Committed
		return it.takeCommitted(rest)
	case 'V', 'M':
		it.status = store.VersionConflict
		if letter == 'M' {
			it.status = store.MarkConflict
		}
		return it.takeCurrent(rest)
	case 'P':
		it.status = store.DeadlinePassed
	case 'T':
		it.status = store.ListClosed
	case 'O':
		it.status = store.OutboxFull
	case 'F':
		return fenced(it.epoch, rest)
	case 'D':
		return fmt.Errorf("%w: %s", store.ErrDamaged, rest)
	default:
		return fmt.Errorf("%w: %w: %q", store.ErrUnavailable, errReply, letter)
	}
	return nil
}

// fenced tells a later epoch, which fences, from an earlier one, which is a database that
// went back in time.
func fenced(ours uint64, theirs string) error {
	if epoch, err := strconv.ParseUint(theirs, 10, 64); err == nil && epoch > ours {
		return fmt.Errorf("%w (epoch %d, ours is %d)", store.ErrFenced, epoch, ours)
	}
	return fmt.Errorf("%w: epoch %q in meta, this handle writes in %d", store.ErrDamaged, theirs,
		ours)
}

// takeCommitted reads "20261121 3-42 7": date, outbox id or -, list sequence.
func (it *item) takeCommitted(rest string) error {
	date, rest, _ := strings.Cut(rest, " ")
	id, list, _ := strings.Cut(rest, " ")
	day, err1 := strconv.ParseUint(date, 10, 32)
	seq, err2 := strconv.ParseUint(list, 10, 64)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("%w: date %q, list sequence %q", store.ErrDamaged, date, list)
	}
	it.listSeq = store.ListSeq(seq)
	if id == "-" {
		return nil
	}
	it.date = txn.BusinessDate(day)
	var err error
	it.position, err = parseID(it.bucket, id)
	return err
}

// takeCurrent reads mark and stored value.
func (it *item) takeCurrent(rest string) error {
	if len(rest) < markSize {
		return fmt.Errorf("%w: %w: conflict", store.ErrUnavailable, errReply)
	}
	version, state, err := decodeState(rest[markSize:])
	if err != nil {
		return err
	}
	it.current = store.Loaded{Version: version, Mark: markOf(rest)}
	if state != "" {
		it.current.State = []byte(state)
	}
	return nil
}

// parseID reads an outbox id "3-42".
func parseID(b txn.Bucket, id string) (txn.Position, error) {
	epoch, seq, _ := strings.Cut(id, "-")
	e, err1 := strconv.ParseUint(epoch, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if err1 != nil || err2 != nil {
		return txn.Position{}, fmt.Errorf("%w: outbox id %q", store.ErrDamaged, id)
	}
	return txn.Position{Bucket: b, Epoch: txn.Epoch(e), Seq: txn.Seq(n)}, nil
}

package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// RunModel runs random operations on a store and on a model made of plain maps, and
// compares every answer and all content. It opens a store for each run; the flags of
// package rapid say how many and from which seed.
func RunModel(t *testing.T, f Factory) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(newWorld(rt, t, f, Options{}))
		defer func() {
			_ = m.s.Close()
			if f.Drop != nil {
				f.Drop(t, m.s)
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"commit":    m.commitSome,
			"commit2":   m.commitSome, // as often as all others together
			"freeze":    m.freeze,
			"confirm":   m.confirm,
			"cutOver":   m.cutOver,
			"openEpoch": m.newEpoch,
			"registry":  m.register,
			"audit":     func(*rapid.T) { m.audit() },
			"reopen": func(*rapid.T) {
				m.reopen()
				m.newEpoch(nil)
			},
		})
		m.audit()
	})
}

// modelBuckets are few, so that operations meet.
const (
	modelBuckets = 2
	modelCards   = 6
)

// model is what the store must contain.
type model struct {
	*world
	pool     []pan.Token
	cards    map[pan.Token]store.Loaded
	entries  map[pan.Token]store.Entry
	buckets  [modelBuckets]modelBucket
	registry map[string]modelValue
	records  int
}

type modelBucket struct {
	last, confirmed txn.Position
	date            txn.BusinessDate
	changes         []store.Change
	due             map[string]txn.Millis
	outbox          []store.OutboxEntry // unconfirmed
}

type modelValue struct {
	value   string
	version uint64
}

func newModel(w *world) *model {
	m := &model{world: w, cards: map[pan.Token]store.Loaded{},
		entries: map[pan.Token]store.Entry{}, registry: map[string]modelValue{}}
	for i := range modelCards {
		m.pool = append(m.pool, w.cardIn(txn.Bucket(i%modelBuckets)))
	}
	for i := range m.buckets {
		b := &m.buckets[i]
		b.due = map[string]txn.Millis{}
		b.outbox = w.bucketEntries(txn.Bucket(i))
		b.last = b.outbox[len(b.outbox)-1].Position
		b.confirmed = w.info(txn.Bucket(i)).Confirmed
	}
	for i := range m.buckets { // the first date has no marker to be compared with
		m.check(m.s.CutOver(m.ctx, txn.Bucket(i), 20260101, testAt))
		m.buckets[i].outbox = w.bucketEntries(txn.Bucket(i))
		m.buckets[i].last, m.buckets[i].date = w.info(txn.Bucket(i)).Last, 20260101
	}
	return m
}

// commitSome commits a list of random commits, some of them wrong on purpose.
func (m *model) commitSome(rt *rapid.T) {
	var list []*store.Commit
	for range rapid.IntRange(1, 5).Draw(rt, "commits") {
		list = append(list, m.drawCommit(rt))
	}
	m.check(m.s.Commit(m.ctx, list))
	for i, c := range list {
		m.expect(i, c)
	}
}

var modelMarks = []txn.Mark{notFrozen, notFrozen, lost, risk, replaced}

func (m *model) drawCommit(rt *rapid.T) *store.Commit {
	card := rapid.SampledFrom(m.pool).Draw(rt, "card")
	now := m.cards[card]
	c := &store.Commit{Card: card, Version: now.Version, Mark: now.Mark}
	one := func(label string, in int) bool { return rapid.IntRange(1, in).Draw(rt, label) == in }
	if one("wrong version", 8) {
		c.Version += rapid.Uint64Range(1, 3).Draw(rt, "ahead")
	}
	if one("wrong mark", 12) {
		c.Mark = rapid.SampledFrom(modelMarks).Draw(rt, "assumed")
	}
	if one("late", 15) {
		c.Deadline = 1
	}
	if !one("no state", 4) {
		c.State = fmt.Appendf(nil, "%d:%s", c.Version+1,
			strings.Repeat("s", rapid.IntRange(0, 300).Draw(rt, "size")))
	}
	if !one("no record", 3) {
		m.records++
		c.Record = recordOf(card, m.records)
	}
	if one("list", 6) {
		c.List = m.drawChange(rt, now.Mark)
	}
	for range rapid.IntRange(0, 2).Draw(rt, "dues") {
		c.Due = append(c.Due, store.DueChange{Remove: one("remove", 3),
			Key: []byte{byte(rapid.IntRange('a', 'f').Draw(rt, "key"))},
			At:  txn.Millis(rapid.IntRange(1, 50).Draw(rt, "at"))})
	}
	return c
}

// drawChange draws a change of a card with the mark; a card that is not listed is not
// taken off.
func (m *model) drawChange(rt *rapid.T, mark txn.Mark) *store.ListChange {
	to := rapid.SampledFrom(modelMarks).Draw(rt, "to")
	if to == notFrozen && mark == notFrozen {
		to = lost
	}
	return &store.ListChange{Entry: entryOf(to)}
}

// freeze changes a card's entry as the desk does, whatever the version.
func (m *model) freeze(rt *rapid.T) {
	card := rapid.SampledFrom(m.pool).Draw(rt, "card")
	c := &store.Commit{Card: card, AnyVersion: true, Mark: m.cards[card].Mark, Reserve: true}
	c.List = m.drawChange(rt, c.Mark)
	m.check(m.s.Commit(m.ctx, []*store.Commit{c}))
	m.expect(0, c)
}

// expect compares a commit's answer with the model's, and applies it there.
func (m *model) expect(i int, c *store.Commit) {
	now := m.cards[c.Card]
	version := !c.AnyVersion && c.Version != now.Version
	mark := c.Mark != now.Mark
	closed := c.List != nil && !c.List.Allowed(now.Mark)
	var may []store.Status
	for status, wrong := range map[store.Status]bool{store.VersionConflict: version,
		store.MarkConflict: mark, store.DeadlinePassed: c.Deadline != 0, store.ListClosed: closed} {
		if wrong {
			may = append(may, status)
		}
	}
	if len(may) == 0 {
		may = []store.Status{store.Committed}
	}
	if c.Err != nil || !slices.Contains(may, c.Status) {
		m.Fatalf("commit %d: status %s, error %v, want one of %v", i, c.Status, c.Err, may)
	}
	switch c.Status {
	case store.Committed:
		m.apply(c)
	case store.VersionConflict, store.MarkConflict:
		m.same(now, c.Current)
	}
}

// apply changes the model as a committed commit must have changed the store.
func (m *model) apply(c *store.Commit) {
	b, now := &m.buckets[c.Bucket()], m.cards[c.Card]
	if len(c.State) > 0 {
		now.State, now.Version = c.State, c.Version+1
	}
	var position txn.Position
	var date txn.BusinessDate
	if len(c.Record) > 0 {
		b.last.Seq++
		position, date = b.last, b.date
		b.outbox = append(b.outbox, store.OutboxEntry{Position: b.last, Date: date, Record: c.Record})
	}
	if c.List != nil {
		now.Mark = c.List.Entry.Mark
		m.entries[c.Card] = c.List.Entry
		b.changes = append(b.changes, store.Change{Card: c.Card, Mark: now.Mark,
			Seq: store.ListSeq(len(b.changes) + 1)})
		if c.ListSeq != store.ListSeq(len(b.changes)) {
			m.Fatalf("list change %d has sequence %d", len(b.changes), c.ListSeq)
		}
	}
	if c.Position != position || c.Date != date {
		m.Fatalf("record at %s of %d, want %s of %d", c.Position, c.Date, position, date)
	}
	for _, d := range c.Due {
		if b.due[string(d.Key)] = d.At; d.Remove {
			delete(b.due, string(d.Key))
		}
	}
	m.cards[c.Card] = now
}

func (m *model) confirm(rt *rapid.T) {
	i := rapid.IntRange(0, modelBuckets-1).Draw(rt, "bucket")
	b := &m.buckets[i]
	if len(b.outbox) == 0 {
		return
	}
	n := rapid.IntRange(1, len(b.outbox)).Draw(rt, "entries")
	b.confirmed = b.outbox[n-1].Position
	b.outbox = b.outbox[n:]
	m.check(m.s.Confirm(m.ctx, []txn.Position{b.confirmed}))
}

func (m *model) cutOver(rt *rapid.T) {
	i := rapid.IntRange(0, modelBuckets-1).Draw(rt, "bucket")
	b := &m.buckets[i]
	date := txn.BusinessDate(20260101 + rapid.Uint32Range(0, 27).Draw(rt, "day"))
	m.check(m.s.CutOver(m.ctx, txn.Bucket(i), date, testAt))
	if date > b.date {
		b.last.Seq++
		b.outbox = append(b.outbox, store.OutboxEntry{Position: b.last, Date: b.date,
			Record: store.DayRecord(txn.Bucket(i), b.date, testAt)})
		b.date = date
	}
}

func (m *model) newEpoch(*rapid.T) {
	m.openEpoch()
	for i := range m.buckets {
		b := &m.buckets[i]
		record := store.EpochRecord(b.last, testAt)
		b.last.Epoch, b.last.Seq = b.last.Epoch+1, 0
		b.outbox = append(b.outbox, store.OutboxEntry{Position: b.last, Date: b.date, Record: record})
	}
}

func (m *model) register(rt *rapid.T) {
	key := rapid.SampledFrom([]string{"a", "a/b", "c"}).Draw(rt, "key")
	now := m.registry[key]
	value := rapid.SampledFrom([]string{"", "one", "two"}).Draw(rt, "value")
	if now.version == 0 && value == "" {
		value = "one"
	}
	if rapid.IntRange(1, 4).Draw(rt, "wrong version") == 4 {
		m.putConflict(key, value, now.version+1)
		return
	}
	m.put(key, value, now.version)
	if m.registry[key] = (modelValue{value, now.version + 1}); value == "" {
		delete(m.registry, key)
	}
}

// audit compares all content.
func (m *model) audit() {
	for _, card := range m.pool {
		m.same(m.cards[card], m.load(card))
		if e, _ := m.entry(card); e != m.entries[card] {
			m.Fatalf("entry %+v, want %+v", e, m.entries[card])
		}
	}
	for i := range m.buckets {
		m.auditBucket(txn.Bucket(i), &m.buckets[i])
	}
	keys, err := m.s.Keys(m.ctx, "")
	m.check(err)
	if want := slices.Sorted(maps.Keys(m.registry)); !slices.Equal(keys, want) {
		m.Fatalf("registry has %q, want %q", keys, want)
	}
	for key, v := range m.registry {
		m.get(key, v.value, v.version)
	}
}

func (m *model) auditBucket(i txn.Bucket, b *modelBucket) {
	listed := map[pan.Token]txn.Mark{}
	for card, now := range m.cards {
		if txn.BucketOf(card) == i && now.Mark != notFrozen {
			listed[card] = now.Mark
		}
	}
	want := store.BucketInfo{Bucket: i, Last: b.last, Confirmed: b.confirmed, Date: b.date,
		ListSeq: store.ListSeq(len(b.changes)), Frozen: len(listed), Due: len(b.due),
		Pending: len(b.outbox)}
	if got := m.info(i); got != want {
		m.Fatalf("bucket is %+v, want %+v", got, want)
	}
	if got := m.follow(i); !maps.Equal(got, listed) {
		m.Fatalf("list is %v, want %v", got, listed)
	}
	if got := m.changes(i, 0, len(b.changes)+1); !slices.Equal(got, b.changes) {
		m.Fatalf("changes are %v, want %v", got, b.changes)
	}
	due := m.due(i, 25, store.Page{Max: 100})
	n := 0
	for _, at := range b.due {
		if at <= 25 {
			n++
		}
	}
	for k, d := range due {
		if d.At != b.due[string(d.Key)] || k > 0 && d.At < due[k-1].At || len(due) != n {
			m.Fatalf("due are %+v, want of %v", due, b.due)
		}
	}
	m.auditOutbox(i, b)
}

// auditOutbox compares the unconfirmed entries; confirmed ones may still be there.
func (m *model) auditOutbox(i txn.Bucket, b *modelBucket) {
	if len(b.outbox) == 0 {
		return
	}
	got := m.bucketEntries(i)
	if len(got) < len(b.outbox) {
		m.Fatalf("outbox has %d entries, want %d", len(got), len(b.outbox))
	}
	got = got[len(got)-len(b.outbox):]
	for k, want := range b.outbox {
		if got[k].Position != want.Position || got[k].Date != want.Date ||
			!bytes.HasPrefix(got[k].Record, want.Record) {
			m.Fatalf("outbox entry %s of %d, want %s of %d with its record", got[k].Position,
				got[k].Date, want.Position, want.Date)
		}
	}
}

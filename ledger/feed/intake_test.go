package feed

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// inlet is an intake over a Memory, with what it confirmed.
type inlet struct {
	*intake
	m         *warehousetest.Memory
	confirmed warehouse.Positions
}

func newInlet(t *testing.T) *inlet {
	i := &inlet{m: warehousetest.NewMemory()}
	i.intake = newIntake(intakeOptions{warehouse: i.m, log: testLog(t),
		confirm: func(_ context.Context, upTo []txn.Position) error {
			for _, p := range upTo {
				i.confirmed[p.Bucket] = p
			}
			return nil
		}})
	must(i.begin(context.Background()))
	return i
}

// give offers records as a source would.
func (i *inlet) give(records ...txn.Record) (last outcome) {
	for _, r := range records {
		e := store.OutboxEntry{Position: r.Position, Date: r.BusinessDate,
			Record: txn.AppendRecord(nil, &r)}
		it := entryItem(txn.NewRecordReader(), &e)
		var err error
		last, err = i.take(context.Background(), &it)
		must(err)
	}
	return last
}

func (i *inlet) settleAll() {
	must(i.flush(context.Background()))
	must(i.confirmHeld(context.Background()))
}

// TestIntakeHeals: a bucket that is stopped takes nothing but the record it waits for, and
// then goes on by itself.
func TestIntakeHeals(t *testing.T) {
	in := newInlet(t)
	c := warehousetest.NewChain(1)
	first, lost, after, later := c.Epoch(1), c.Next(1), c.Next(1), c.Next(1)
	other := []txn.Record{c.Epoch(2), c.Next(2)}
	if got := in.give(first, after); got != stoppedNow {
		t.Fatalf("a record behind a hole: %d, want stoppedNow", got)
	}
	if got := in.give(later); got != waiting {
		t.Fatalf("the next one: %d, want waiting", got)
	}
	if got := in.give(other...); got != passed {
		t.Fatalf("another bucket: %d, want passed", got)
	}
	in.settleAll()
	if in.confirmed[1] != first.Position || in.confirmed[2] != other[1].Position {
		t.Fatalf("confirmed %s and %s", in.confirmed[1], in.confirmed[2])
	}
	if !in.stoppedBucket(1) || in.stoppedBucket(2) {
		t.Fatal("the wrong bucket is stopped")
	}
	if got := in.give(first, lost, after, later); got != passed {
		t.Fatalf("the missing one and those behind it: %d, want passed", got)
	}
	in.settleAll()
	if in.stoppedBucket(1) || in.confirmed[1] != later.Position {
		t.Fatalf("still stopped, confirmed %s", in.confirmed[1])
	}
	warehousetest.CheckFigures(t, in.m, []txn.Record{first, other[0], other[1], lost, after, later})
	if in.counters.Gaps.Load() != 1 || in.counters.StoppedBuckets.Load() != 0 ||
		in.counters.Skipped.Load() != 2 {
		t.Errorf("gaps %d, stopped %d, skipped %d", in.counters.Gaps.Load(),
			in.counters.StoppedBuckets.Load(), in.counters.Skipped.Load())
	}
}

// TestIntakeNeverConfirmsUnflushed: what waits for a flush is not confirmed.
func TestIntakeNeverConfirmsUnflushed(t *testing.T) {
	in := newInlet(t)
	c := warehousetest.NewChain(2)
	in.give(c.Epoch(1), c.Next(1))
	in.m.SetFault(func(string) warehousetest.Fault { return warehousetest.NotApplied })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := in.flush(ctx); err == nil {
		t.Fatal("flush with a dead warehouse succeeded")
	}
	if in.confirmed[1].Epoch != 0 || len(in.rows) != 2 {
		t.Fatalf("confirmed %s, %d rows wait", in.confirmed[1], len(in.rows))
	}
	in.m.SetFault(nil)
	in.settleAll()
	if in.confirmed[1] != c.Last(1) {
		t.Errorf("confirmed %s, want %s", in.confirmed[1], c.Last(1))
	}
}

// TestIntakeBadRecords: what can be read and must not be booked goes aside.
func TestIntakeBadRecords(t *testing.T) {
	for name, spoil := range map[string]func(*txn.Record){
		"postings":   func(r *txn.Record) { r.Postings = []txn.Posting{{Account: "a", Amount: 1}} },
		"no outcome": func(r *txn.Record) { r.Outcome = txn.OutcomeNone },
		"overflow": func(r *txn.Record) {
			r.Postings = []txn.Posting{{Account: "a", Amount: txn.MinorMax}, {Account: "b",
				Amount: 1}}
		},
	} {
		in := newInlet(t)
		c := warehousetest.NewChain(3)
		first, bad, after := c.Epoch(1), c.Next(1), c.Next(1)
		spoil(&bad)
		in.give(first, bad, after)
		in.settleAll()
		letters, err := in.m.DeadLetters(context.Background())
		if err != nil || len(letters) != 1 || letters[0].Position != bad.Position {
			t.Errorf("%s: dead letters %v, %v", name, letters, err)
		}
		if in.confirmed[1] != after.Position {
			t.Errorf("%s: confirmed %s, want %s", name, in.confirmed[1], after.Position)
		}
	}
}

// TestIntakeFullDeadLetters: beyond the limit of dead letters the bucket stops; nothing is
// dropped.
func TestIntakeFullDeadLetters(t *testing.T) {
	in := newInlet(t)
	in.warehouse = fullOfLetters{in.m}
	c := warehousetest.NewChain(4)
	first, bad := c.Epoch(1), c.Next(1)
	bad.Outcome = txn.OutcomeNone
	if got := in.give(first, bad); got != stoppedNow {
		t.Errorf("a letter beyond the limit: %d, want stoppedNow", got)
	}
	in.settleAll()
	if in.confirmed[1] != first.Position {
		t.Errorf("confirmed %s", in.confirmed[1])
	}
}

type fullOfLetters struct{ *warehousetest.Memory }

// DeadLetter implements warehouse.Appender.
func (fullOfLetters) DeadLetter(context.Context, warehouse.DeadLetter) error {
	return warehouse.ErrTooMany
}

func TestMessageItem(t *testing.T) {
	c := warehousetest.NewChain(5)
	c.Epoch(9)
	r := c.Next(9)
	key := appendKey(nil, r.Position, r.BusinessDate)
	value := txn.AppendRecord(nil, &r)
	later := r
	later.Version = txn.RecordVersion + 1
	newer := txn.AppendRecord(nil, &later)
	tests := []struct {
		name      string
		m         kafka.Message
		fault     bool
		placed    bool
		laterThan bool
	}{
		{"good", kafka.Message{Partition: 9, Key: key, Value: value}, false, true, false},
		{"no key is no fault", kafka.Message{Partition: 9, Value: value}, false, true, false},
		{"wrong partition", kafka.Message{Partition: 8, Key: key, Value: value}, true, false,
			false},
		{"garbage with key", kafka.Message{Partition: 9, Key: key, Value: []byte("x")}, true,
			true, false},
		{"garbage, key of another", kafka.Message{Partition: 8, Key: key, Value: []byte("x")},
			true, false, false},
		{"garbage", kafka.Message{Partition: 9, Key: []byte("k"), Value: []byte("x")}, true,
			false, false},
		{"later version", kafka.Message{Partition: 9, Key: key, Value: newer}, true, true, true},
		{"later version, strange key", kafka.Message{Partition: 9, Key: []byte("k"), Value: newer},
			true, true, true},
	}
	for _, tt := range tests {
		it := messageItem(&tt.m)
		if (it.fault != nil) != tt.fault || it.placed() != tt.placed || it.later() != tt.laterThan {
			t.Errorf("%s: fault %v, placed %v, later %v", tt.name, it.fault, it.placed(),
				it.later())
		}
	}
	strange := messageItem(&tests[7].m)
	if strange.position.Epoch != math.MaxUint64 || strange.position.Bucket != 9 {
		t.Errorf("a later version with a strange key stands at %s", strange.position)
	}
}

// FuzzMessageItem: no message makes the sink panic or books money that does not balance.
func FuzzMessageItem(f *testing.F) {
	c := warehousetest.NewChain(6)
	c.Epoch(9)
	r := c.Next(9)
	f.Add(appendKey(nil, r.Position, r.BusinessDate), txn.AppendRecord(nil, &r), 9)
	full := warehousetest.Full()
	f.Add([]byte("b063-1-1/1"), txn.AppendRecord(nil, &full), 63)
	f.Add([]byte{}, []byte{}, 0)
	f.Fuzz(func(t *testing.T, key, value []byte, partition int) {
		partition &= txn.BucketCount - 1
		it := messageItem(&kafka.Message{Topic: "t", Partition: partition, Key: key, Value: value})
		if it.fault == nil {
			if it.record.CheckPostings() != nil || int(it.record.Position.Bucket) != partition {
				t.Fatalf("accepted %+v in partition %d", it.record, partition)
			}
			return
		}
		letter := it.letter(1)
		if err := letter.Check(); err != nil && len(value) <= warehouse.DeadLetterMax &&
			!it.later() {
			t.Fatalf("dead letter refused: %v", err)
		}
	})
}

// TestRetry: faults are tried again, fatal ones and final ones are not.
func TestRetry(t *testing.T) {
	log := testLog(t)
	n := 0
	err := retry(context.Background(), log, "cannot do it", func() error {
		if n++; n < 3 {
			return errors.New("again")
		}
		return nil
	})
	if err != nil || n != 3 {
		t.Errorf("retry: %v after %d", err, n)
	}
	for _, fatal := range []error{store.ErrFenced, store.ErrDamaged, store.ErrClosed,
		warehouse.ErrDamaged, warehouse.ErrClosed, final{ErrTopic}} {
		n = 0
		err := retry(context.Background(), log, "cannot do it", func() error { n++; return fatal })
		if n != 1 || err == nil {
			t.Errorf("%v was tried %d times: %v", fatal, n, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := retry(ctx, log, "cannot do it", func() error { return ErrTopic }); !errors.Is(err,
		ErrTopic) {
		t.Errorf("retry with an ended context: %v", err)
	}
}

// TestSavedCursor: a cursor is read back, begins anew when asked, and survives another
// relay's save.
func TestSavedCursor(t *testing.T) {
	ctx := context.Background()
	c := newCity(t, 1)
	open := func(fromOldest bool) *savedCursor {
		s := &savedCursor{registry: c.store, key: "relay/b017", counters: &Counters{},
			log: testLog(t)}
		must(s.load(ctx, fromOldest))
		return s
	}
	a := open(false)
	if (a.at != store.Cursor{}) {
		t.Fatalf("first cursor %v", a.at)
	}
	a.move(ctx, store.Cursor{Hi: 3, Lo: 1 << 60})
	b := open(false)
	if b.at != a.at {
		t.Fatalf("read back %v, want %v", b.at, a.at)
	}
	if oldest := open(true); (oldest.at != store.Cursor{}) {
		t.Fatalf("from the oldest: %v", oldest.at)
	}
	b.move(ctx, store.Cursor{Hi: 3, Lo: 1<<60 + 5})
	a.savedAt = time.Time{}
	a.move(ctx, store.Cursor{Hi: 3, Lo: 1<<60 + 2}) // conflicts: b was there
	a.savedAt = time.Time{}
	a.move(ctx, store.Cursor{Hi: 3, Lo: 1<<60 + 3})
	if got := open(false); got.at.Lo != 1<<60+3 {
		t.Errorf("after the conflict %v", got.at)
	}
	soonAgain := a.counters.CursorSaves.Load()
	a.move(ctx, store.Cursor{Hi: 3, Lo: 1<<60 + 4})
	if a.counters.CursorSaves.Load() != soonAgain {
		t.Error("saved twice within a second")
	}
}

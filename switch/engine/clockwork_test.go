package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// shenzhen begins its business day at 03:00.
var shenzhen = engine.Calendar{Zone: time.FixedZone("", 8*3600), CutOff: 3 * time.Hour}

func TestCalendar(t *testing.T) {
	at := func(hour, min int) txn.Millis {
		return txn.MillisOf(time.Date(2026, 11, 21, hour, min, 0, 0, shenzhen.Zone))
	}
	for _, tt := range []struct {
		at   txn.Millis
		want txn.BusinessDate
	}{
		{at(2, 59), 20261120}, {at(3, 0), 20261121}, {at(23, 59), 20261121},
		{at(26, 59), 20261121}, {at(27, 0), 20261122},
	} {
		if got := shenzhen.Date(tt.at); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.at.Time(), got, tt.want)
		}
	}
}

// checkClockwork proves that no journey is open, none is due, each lapsed once, and every
// bucket has today's date.
func (r *rig) checkClockwork(journeys int) {
	r.t.Helper()
	lapses := map[txn.RequestID]int{}
	for _, rec := range r.records() {
		if rec.Kind == txn.JourneyLapse {
			lapses[rec.Original]++
		}
	}
	if len(lapses) != journeys {
		r.t.Errorf("%d journeys lapsed, want %d", len(lapses), journeys)
	}
	for id, n := range lapses {
		if n != 1 {
			r.t.Errorf("journey %s lapsed %d times", id, n)
		}
	}
	buckets, err := r.store.Buckets(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, b := range buckets {
		if b.Due != 0 || b.Date != shenzhen.Date(r.now()) {
			r.t.Fatalf("%s: %d due, date %s", b.Bucket, b.Due, b.Date)
		}
	}
}

// Journeys that lapsed while nobody was there are closed at the first Tick after the
// restart, and only those.
func TestLapseAfterRestart(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	for n := range byte(3) {
		r.enrol(n, 1000)
		r.must(r.maker.entry("Futian"))
	}
	r.must(r.maker.exit("Luohu")) // card 2 has left
	r.pass(5*hour - 1)
	r.enrol(3, 1000)
	r.must(r.maker.entry("Futian"))
	clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
	done, err := clockwork.Tick(t.Context())
	if err != nil || done.Lapsed != 0 || done.CutOver != txn.BucketCount {
		t.Fatalf("too early: %+v, %v", done, err)
	}
	r.open()
	r.pass(1)
	clockwork = engine.NewClockwork(r.engine, r.store, shenzhen)
	done, err = clockwork.Tick(t.Context())
	if err != nil || done != (engine.Ticked{Lapsed: 2}) {
		t.Fatalf("%+v, %v; want 2 lapsed", done, err)
	}
	if done, err = clockwork.Tick(t.Context()); err != nil || done != (engine.Ticked{}) {
		t.Fatalf("again: %+v, %v", done, err)
	}
	if state, _ := r.state(token(3)); !state.Journey.Open() {
		t.Fatal("a journey that was not due was closed")
	}
	r.checkAll()
}

// The business date goes forward with the clock, never back, and each day is closed by one
// marker in every bucket.
func TestCutOver(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
	for _, tt := range []struct {
		pass    txn.Millis
		cutOver int
	}{
		{0, txn.BucketCount}, {minute, 0}, {day, txn.BucketCount}, {-2 * day, 0},
		{3 * day, txn.BucketCount}, {0, 0},
	} {
		r.pass(tt.pass)
		done, err := clockwork.Tick(t.Context())
		if err != nil || done.CutOver != tt.cutOver {
			t.Fatalf("after %d ms: %+v, %v; want %d", tt.pass, done, err, tt.cutOver)
		}
	}
	closed := map[txn.BusinessDate]int{}
	for shard := range r.store.Shards() {
		entries, _, err := r.store.Read(t.Context(), shard, store.Cursor{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if rec, err := txn.DecodeRecord(e.Record); err == nil && rec.Kind == txn.DayMarker {
				closed[rec.ClosedDate]++
			}
		}
	}
	for _, date := range []txn.BusinessDate{20261121, 20261122} {
		if closed[date] != txn.BucketCount {
			t.Errorf("%s was closed in %d buckets: %v", date, closed[date], closed)
		}
	}
}

// A full outbox closes no journey: the due entry stays, and the journey with it.
func TestLapseWithAFullOutbox(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{OutboxMax: 3})
	r.enrol(1, 0)
	r.must(r.maker.entry("Futian"))
	r.pass(6 * hour)
	clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
	done, err := clockwork.Tick(t.Context())
	if err == nil || done.Lapsed != 0 || done.Dropped != 0 {
		t.Fatalf("%+v, %v; want an error and nothing done", done, err)
	}
	if state, _ := r.state(token(1)); !state.Journey.Open() {
		t.Fatal("closed without a record")
	}
	due, err := r.store.DueBefore(t.Context(), txn.BucketOf(token(1)), r.now(), store.Page{Max: 10})
	if err != nil || len(due) != 1 {
		t.Fatalf("due %v, %v", due, err)
	}
}

// A due entry that somebody else made, or a later version, does not hold up the others of
// its bucket.
func TestUnknownDueKey(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 0)
	r.must(r.maker.entry("Futian"))
	strange := &store.Commit{Card: token(1), AnyVersion: true, Due: []store.DueChange{
		{Key: []byte("z: a later version knows"), At: 1}, {Key: []byte("j"), At: 2}}}
	if err := r.store.Commit(t.Context(), []*store.Commit{strange}); err != nil {
		t.Fatal(err)
	}
	r.pass(6 * hour)
	done, err := engine.NewClockwork(r.engine, r.store, shenzhen).Tick(t.Context())
	if err == nil || done.Lapsed != 1 {
		t.Fatalf("%+v, %v; want the journey closed and the strange key named", done, err)
	}
	due, _ := r.store.DueBefore(t.Context(), txn.BucketOf(token(1)), r.now(), store.Page{Max: 10})
	if len(due) != 2 {
		t.Fatalf("%d due entries left, want the two strange ones", len(due))
	}
}

// Two processes tick at once: each journey lapses once.
func TestTwoClockworks(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	for n := range byte(20) {
		r.enrol(n, 0)
		r.must(r.maker.entry("Futian"))
	}
	r.pass(20 * hour)
	results := make(chan engine.Ticked)
	for range 2 {
		go func() {
			e := r.engineOn(engine.NewCache(r.store, 100), &replica{marks: nil})
			done, err := engine.NewClockwork(e, r.store, shenzhen).Tick(t.Context())
			if err != nil {
				t.Error(err)
			}
			results <- done
		}()
	}
	a, b := <-results, <-results
	if a.Lapsed+b.Lapsed != 20 {
		t.Errorf("%d and %d journeys closed, want 20", a.Lapsed, b.Lapsed)
	}
	r.checkClockwork(20)
	r.checkAll()
}

// A bank that cannot be told leaves its transactions due. More of them than one Tick reads do
// not hold up a journey of their bucket, nor what is due at another bank, and all are told of.
func TestBankBacklogHoldsUpNothing(t *testing.T) {
	const backlog = 2500
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 0)
	r.must(r.maker.entry("Futian"))
	r.fillDue(token(1), backlog)
	r.pass(6 * hour)
	clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
	told := map[txn.RequestID]int{}
	clockwork.OnBank(func(due []engine.BankDue) {
		for _, d := range due {
			told[d.ID]++
		}
	})
	lapsed := 0
	for range 3 {
		done, err := clockwork.Tick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lapsed += done.Lapsed
	}
	if lapsed != 1 || len(told) != backlog {
		t.Fatalf("%d journeys closed, the bank edge told of %d; want 1 and %d", lapsed, len(told),
			backlog)
	}
	for range 3 { // and again from the first on
		if _, err := clockwork.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for id, n := range told {
		if n != 2 {
			t.Fatalf("%s told %d times, want 2", id, n)
		}
	}
}

// fillDue puts n entries of bank transactions into the due queue of the card's bucket, due
// before everything else.
func (r *rig) fillDue(card pan.Token, n int) {
	r.t.Helper()
	terminal, err := txn.ParseTerminalID("POS00001")
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range n {
		id := txn.RequestID{Terminal: terminal, Boot: 1, Counter: uint32(i + 1)}
		key := id.AppendBinary(append([]byte{'b'}, card[:]...))
		c := &store.Commit{Card: card, AnyVersion: true, Due: []store.DueChange{{Key: key, At: 1}}}
		if err := r.store.Commit(r.t.Context(), []*store.Commit{c}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// What is due for another part goes to it and stays until that part's commit; what belongs
// to a part that this process does not have is left alone.
func TestDueOfOtherParts(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	for _, key := range []string{"n-notice", "a-document", "t-move"} {
		c := &store.Commit{Card: token(1), AnyVersion: true,
			Due: []store.DueChange{{Key: []byte(key), At: 1}}}
		if err := r.store.Commit(t.Context(), []*store.Commit{c}); err != nil {
			t.Fatal(err)
		}
	}
	r.pass(hour)
	clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
	told := map[string]int{}
	for _, owner := range []byte{engine.DueNotice, engine.DueMove} {
		clockwork.OnDue(owner, func(due []store.Due) {
			for _, d := range due {
				if d.Key[0] != owner {
					t.Errorf("%c is told of %q", owner, d.Key)
				}
				told[string(d.Key)]++
			}
		})
	}
	for range 2 {
		if _, err := clockwork.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 2 || told["n-notice"] != 2 || told["t-move"] != 2 {
		t.Errorf("told %v", told)
	}
}

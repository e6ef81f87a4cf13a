package feed

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func newTestDirect(t *testing.T, c *city, w warehouse.Appender, counters *Counters) *Direct {
	return NewDirect(DirectOptions{Source: c.store, Warehouse: w, FlushEvery: 20 * time.Millisecond,
		FlushRows: 500, Counters: counters, Log: testLog(t)})
}

func TestDirect(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := newCity(t, 1)
	w, err := local.Open(local.Options{Dir: t.TempDir()})
	must(err)
	var counters Counters
	d := newTestDirect(t, c, w, &counters)
	c.tap(3000)
	r := start(t, d.Run)
	must(d.Drain(soon(t, 20*time.Second)))
	c.check(w)
	for range 3 { // more while it runs, over cut-offs and restarts of the switch
		c.tap(500)
		c.day = c.day.Next()
		c.cutOver(c.day)
		c.openEpoch()
	}
	must(d.Drain(soon(t, 20*time.Second)))
	c.check(w)
	totals, err := w.Totals(context.Background(), warehousetest.Day)
	if err != nil || !totals.Complete() || !totals.Clean() {
		t.Errorf("first day: complete %v, clean %v, %v", totals.Complete(), totals.Clean(), err)
	}
	c.tap(10)
	r.stop(t) // the last flush takes what is there
	must(w.Close())
	if got := counters.Gaps.Load() + counters.DeadLetters.Load(); got != 0 {
		t.Errorf("%d alarms", got)
	}
}

// TestDirectRestarts ends Direct at random moments, without order, as a crash does.
func TestDirectRestarts(t *testing.T) {
	c := newCity(t, 2)
	m := warehousetest.NewMemory()
	for i := range 15 {
		d := newTestDirect(t, c, m, nil)
		r := start(t, d.Run)
		c.tap(200)
		if i%3 == 0 {
			must(d.Drain(soon(t, 20*time.Second)))
		}
		r.stop(t)
	}
	d := newTestDirect(t, c, m, nil)
	r := start(t, d.Run)
	must(d.Drain(soon(t, 20*time.Second)))
	r.stop(t)
	c.check(m)
}

// TestDirectFaults fails every effect in both ways, again and again: the totals must be
// exact at the end.
func TestDirectFaults(t *testing.T) {
	for _, fault := range []warehousetest.Fault{warehousetest.NotApplied,
		warehousetest.AppliedUnreported} {
		for _, op := range []string{"Append", "Positions"} {
			c := newCity(t, 3)
			m := warehousetest.NewMemory()
			var n atomic.Int64
			m.SetFault(func(o string) warehousetest.Fault {
				if o == op && n.Add(1)%2 == 1 {
					return fault
				}
				return warehousetest.NoFault
			})
			var counters Counters
			d := newTestDirect(t, c, m, &counters)
			r := start(t, d.Run)
			c.tap(2000)
			must(d.Drain(soon(t, 20*time.Second)))
			m.SetFault(nil)
			c.check(m)
			r.stop(t)
			if n.Load() == 0 {
				t.Errorf("no fault of %s happened", op)
			}
			if op == "Append" && counters.FlushErrors.Load() == 0 {
				t.Errorf("faults of %s were not counted", op)
			}
		}
	}
}

// TestDirectStoreFaults does the same to the outbox.
func TestDirectStoreFaults(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
		for _, op := range []storetest.Op{storetest.OpRead, storetest.OpConfirm} {
			c := newCity(t, 4)
			c.tap(1000)
			m := warehousetest.NewMemory()
			var n atomic.Int64
			// Every second call fails, until each of the 64 shards has had its share: with no end
			// one of them may meet nothing but faults for as long as the test waits.
			c.store.SetFault(func(o storetest.Op) storetest.Fault {
				if o == op && n.Load() < 4*txn.BucketCount && n.Add(1)%2 == 1 {
					return fault
				}
				return storetest.NoFault
			})
			d := newTestDirect(t, c, m, nil)
			r := start(t, d.Run)
			must(d.Drain(soon(t, 20*time.Second)))
			r.stop(t)
			if n.Load() < 2 {
				t.Errorf("no fault of %s happened", op)
			}
			c.store.SetFault(nil)
			c.check(m)
		}
	}
}

func TestDirectFatal(t *testing.T) {
	c := newCity(t, 5)
	c.tap(10)
	m := warehousetest.NewMemory()
	must(m.Close())
	if err := start(t, newTestDirect(t, c, m, nil).Run).wait(t); !errors.Is(err,
		warehouse.ErrClosed) {
		t.Errorf("Run on a closed warehouse: %v", err)
	}
	m.Reopen()
	must(c.store.Close())
	if err := start(t, newTestDirect(t, c, m, nil).Run).wait(t); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Run on a closed store: %v", err)
	}
}

// TestDirectGap loses entries of one bucket: it stops, the others go on, nothing of it
// is confirmed, Drain says so.
func TestDirectGap(t *testing.T) {
	c := newCity(t, 6)
	c.tap(640)
	m := warehousetest.NewMemory()
	infos := c.infos()
	lost := infos[5].Last
	lost.Seq = 2
	// Somebody trimmed what the warehouse never had.
	must(c.store.Confirm(context.Background(), []txn.Position{lost}))
	var counters Counters
	d := newTestDirect(t, c, m, &counters)
	r := start(t, d.Run)
	if err := d.Drain(soon(t, 20*time.Second)); !errors.Is(err, ErrStopped) {
		t.Fatalf("Drain = %v, want ErrStopped", err)
	}
	eventually(t, "the other buckets go on", func() bool {
		for _, b := range c.infos() {
			if b.Bucket != 5 && b.Confirmed != b.Last {
				return false
			}
		}
		return true
	})
	r.stop(t)
	if got := c.infos()[5].Confirmed; got != lost {
		t.Errorf("stopped bucket confirmed up to %s", got)
	}
	if counters.Gaps.Load() != 1 || counters.StoppedBuckets.Load() != 1 {
		t.Errorf("gaps %d, stopped %d, want 1 and 1", counters.Gaps.Load(),
			counters.StoppedBuckets.Load())
	}
	for _, rec := range m.All() {
		if rec.Position.Bucket == 5 {
			t.Fatalf("record %s of the stopped bucket was kept", rec.Position)
		}
	}
}

// TestDirectPoison: what cannot be read goes aside and the bucket goes on; the day stays
// open until it is repaired.
func TestDirectPoison(t *testing.T) {
	ctx := context.Background()
	c := newCity(t, 7)
	m := warehousetest.NewMemory()
	d := newTestDirect(t, c, m, nil)
	c.tap(200)
	bad := c.spoil(9, []byte{0xff, 0xff, 0xff})
	r := c.chain.Next(9)
	r.Postings = []txn.Posting{{Account: "purse", Amount: -1}}
	unbalanced := c.spoil(9, txn.AppendRecord(nil, &r))
	c.tap(200)
	c.cutOver(c.day.Next())
	run := start(t, d.Run)
	must(d.Drain(soon(t, 20*time.Second)))
	letters, err := m.DeadLetters(ctx)
	if err != nil || len(letters) != 2 || letters[0].Position != bad ||
		letters[1].Position != unbalanced {
		t.Fatalf("dead letters: %+v, %v", letters, err)
	}
	if totals, err := m.Totals(ctx, warehousetest.Day); err != nil || totals.Complete() {
		t.Fatalf("the day is complete with dead letters open (%v)", err)
	}
	repair := func(p txn.Position) txn.Record {
		fixed := c.chain.Next(9)
		fixed.Position, fixed.BusinessDate = p, warehousetest.Day
		return fixed
	}
	must(m.Append(ctx, []txn.Record{repair(bad), repair(unbalanced)}))
	if totals, err := m.Totals(ctx, warehousetest.Day); err != nil || !totals.Complete() {
		t.Fatalf("the day is not complete after the repair (%v)", err)
	}
	run.stop(t)
}

// TestDirectLaterVersion: a record of a later version is never skipped.
func TestDirectLaterVersion(t *testing.T) {
	c := newCity(t, 8)
	m := warehousetest.NewMemory()
	d := newTestDirect(t, c, m, nil)
	c.tap(100)
	later := c.chain.Next(9)
	later.Version = txn.RecordVersion + 1
	c.spoil(9, txn.AppendRecord(nil, &later))
	c.tap(100)
	run := start(t, d.Run)
	if err := d.Drain(soon(t, 20*time.Second)); !errors.Is(err, ErrStopped) {
		t.Fatalf("Drain = %v, want ErrStopped", err)
	}
	run.stop(t)
	if letters, err := m.DeadLetters(context.Background()); err != nil || len(letters) != 0 {
		t.Fatalf("a later version was put aside: %v, %v", letters, err)
	}
}

// TestDirectResync: another writer went on with the warehouse; Direct asks again and
// goes on from there.
func TestDirectResync(t *testing.T) {
	c := newCity(t, 9)
	m := warehousetest.NewMemory()
	var once atomic.Bool
	behind := &lying{Memory: m, lie: &once}
	d := newTestDirect(t, c, behind, nil)
	c.tap(500)
	run := start(t, d.Run)
	must(d.Drain(soon(t, 20*time.Second)))
	run.stop(t)
	c.check(m)
	if !once.Load() {
		t.Fatal("the lie was not told")
	}
}

// lying says once that records are missing, as a warehouse restored from a copy does.
type lying struct {
	*warehousetest.Memory
	lie *atomic.Bool
}

// Append implements warehouse.Appender.
func (l *lying) Append(ctx context.Context, records []txn.Record) error {
	if l.lie.CompareAndSwap(false, true) {
		return warehouse.ErrGap
	}
	return l.Memory.Append(ctx, records)
}

func TestKey(t *testing.T) {
	p := txn.Position{Bucket: 17, Epoch: 1<<64 - 1, Seq: 1<<64 - 2}
	key := appendKey(nil, p, 20260301)
	got, date, err := parseKey(key)
	if err != nil || got != p || date != 20260301 {
		t.Errorf("parseKey(%s) = %v, %v, %v", key, got, date, err)
	}
	for _, bad := range []string{"", "b017-3-42", "b017-3/1", "x017-3-4/1", "b064-3-4/1",
		"b017-0-4/1",
		"b017-3-4-5/1", "b017--1-4/1", "b017-3-4/x", "b-3-4/1"} {
		if _, _, err := parseKey([]byte(bad)); err == nil {
			t.Errorf("parseKey(%q) took it", bad)
		}
	}
}

func TestFlushRowsMax(t *testing.T) {
	in := newIntake(intakeOptions{flushRows: 10 * FlushRowsMax})
	if in.flushRows != FlushRowsMax {
		t.Errorf("flushRows = %d, want at most %d", in.flushRows, FlushRowsMax)
	}
	n := 0
	in.counters.Each(func(name string, value int64) {
		n++
		if name == "" || value != 0 {
			t.Errorf("counter %q = %d", name, value)
		}
	})
	if n != 19 {
		t.Errorf("%d counters", n)
	}
}

package tally_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// books are a ledger in memory with one bucket.
type books struct {
	records []txn.Record
	now     txn.Millis
}

func (b *books) add(n uint32, charged txn.Minor) {
	r := record(n, txn.BankPurchase, charged, 0)
	r.BusinessDate = 20261122
	b.records = append(b.records, r)
}

func (b *books) Buckets(context.Context) ([]store.BucketInfo, error) {
	last := txn.Position{Bucket: 3}
	for _, r := range b.records {
		last = r.Position
	}
	return []store.BucketInfo{{Bucket: 3, Last: last}}, nil
}

func (b *books) read(_ context.Context, from, to txn.BusinessDate, yield func(*txn.Record) error) error {
	for _, r := range b.records {
		if r.BusinessDate >= from && r.BusinessDate <= to {
			if err := yield(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

func reconciler(t *testing.T) (*tally.Reconciler, *books) {
	t.Helper()
	zone := time.FixedZone("", 8*3600)
	b := &books{now: txn.MillisOf(time.Date(2026, 11, 22, 12, 0, 0, 0, zone))}
	return &tally.Reconciler{Registry: storetest.NewMemory(storetest.MemoryOptions{}), Clock: b,
		Records: b.read, Calendar: engine.Calendar{Zone: zone}, Now: func() txn.Millis { return b.now }}, b
}

func all(*txn.Record) bool { return true }

func sales(count, amount int64) tally.Gross {
	return tally.Gross{Debits: tally.Side{Count: count, Amount: amount}}
}

// A claim is compared with what came since the one before; its repeat gets its answer again and
// ends no period.
func TestSettle(t *testing.T) {
	r, b := reconciler(t)
	b.add(1, 100)
	b.add(2, 200)
	settle := func(stan uint32, claimed tally.Gross, agrees bool, date string) tally.Batch {
		t.Helper()
		got, err := r.Settle(t.Context(), "acquirer@1", tally.Claim{STAN: stan, Sent: "1122040000",
			Gross: claimed, Agrees: agrees, Date: date}, all)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := settle(10, sales(2, 300), true, "")
	if first.Verdict != tally.Balanced || first.Number != 1 || first.Ours.DebitAmount != 300 {
		t.Errorf("%+v", first)
	}
	b.add(3, 50)
	if again := settle(10, sales(2, 300), true, ""); again.Number != 1 || again.Verdict != tally.Balanced {
		t.Errorf("a repeat: %+v", again)
	}
	// The whole date, while the period goes on.
	if d := settle(11, sales(3, 350), true, "1122"); d.Verdict != tally.Balanced || d.Date != "1122" {
		t.Errorf("a date: %+v", d)
	}
	if short := settle(12, sales(1, 49), true, ""); short.Verdict != tally.Unbalanced ||
		short.Ours.DebitAmount != 50 || short.Theirs.DebitAmount != 49 {
		t.Errorf("an amount that differs: %+v", short)
	}
	if net := settle(13, sales(0, 0), false, ""); net.Verdict != tally.Unbalanced {
		t.Errorf("a net sum that is none: %+v", net)
	}
	if other := settle(14, sales(0, 0), true, ""); other.Verdict != tally.Balanced {
		t.Errorf("nothing twice: %+v", other)
	}
	if _, err := r.Settle(t.Context(), "acquirer@1", tally.Claim{STAN: 15, Date: "1340"},
		all); !errors.Is(err, tally.ErrDate) {
		t.Errorf("%v", err)
	}
	r.Records = nil
	if _, err := r.Settle(t.Context(), "acquirer@1", tally.Claim{STAN: 16}, all); !errors.Is(err,
		tally.ErrNoLedger) {
		t.Errorf("%v", err)
	}
}

// A bank is told the same until it answers, whatever happens meanwhile.
func TestTell(t *testing.T) {
	r, b := reconciler(t)
	b.add(1, 100)
	stan := uint32(40)
	tell := func() tally.Telling {
		t.Helper()
		got, err := r.Tell(t.Context(), "bank@icbc", tally.Asking{Of: all, Number: func() (uint32, string, error) {
			stan++
			return stan, "1122040000", nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := tell()
	b.add(2, 900)
	second := tell()
	if first.STAN != second.STAN || first.Ours != sales(1, 100) || second.Ours != first.Ours ||
		first.Tries != 1 || second.Tries != 2 {
		t.Errorf("%+v, then %+v", first, second)
	}
	for _, c := range []struct {
		reply tally.Reply
		want  string
	}{
		{tally.Reply{Said: "1", Gross: sales(1, 100), Known: true, Agrees: true}, tally.Balanced},
		{tally.Reply{Said: "1"}, tally.Balanced},
		{tally.Reply{Said: "1", Gross: sales(1, 99), Known: true, Agrees: true}, tally.Unbalanced},
		{tally.Reply{Said: "2", Gross: sales(2, 1000), Known: true, Agrees: true}, tally.Unbalanced},
		{tally.Reply{Said: "3"}, tally.Failed},
		{tally.Reply{}, tally.Failed},
	} {
		telling := tell()
		if c.reply.Known && c.reply.Said == "1" && c.want == tally.Balanced {
			telling = second
		}
		got, err := r.Told(t.Context(), "bank@icbc", telling, c.reply)
		if err != nil || got.Verdict != c.want || got.Said != c.reply.Said ||
			(got.TheirGross != nil) != c.reply.Known {
			t.Errorf("%+v: %+v %v", c.reply, got, err)
		}
		if _, err := r.Told(t.Context(), "bank@icbc", telling, c.reply); !errors.Is(err, tally.ErrCut) {
			t.Errorf("told twice: %v", err)
		}
		if next := tell(); next.STAN == telling.STAN || next.Tries != 1 {
			t.Errorf("the next period: %+v", next)
		}
	}
	batches, err := tally.Batches(t.Context(), r.Registry, "bank@icbc")
	if err != nil || len(batches) != 6 || batches[1].Ours.DebitAmount != 900 ||
		batches[2].Ours.DebitAmount != 0 {
		t.Errorf("%+v %v", batches, err)
	}
}

package tally_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func id(n uint32) txn.RequestID {
	terminal, _ := txn.ParseTerminalID("T1")
	return txn.RequestID{Terminal: terminal, Boot: 1, Counter: n}
}

// record is an approved one; of is its original, 0 for none.
func record(n uint32, kind txn.Kind, charged txn.Minor, of uint32) txn.Record {
	r := txn.Record{Request: id(n), Kind: kind, Charged: charged, Outcome: txn.Approved,
		Application: txn.AppBank, Issuer: "ICBC",
		Position: txn.Position{Bucket: 3, Epoch: 1, Seq: txn.Seq(n)}}
	if of != 0 {
		r.Original = id(of)
	}
	return r
}

// day has one of everything: two sales, one of them reversed, a completion that is voided, a
// void that is reversed, two refunds of which one is reversed, a hold and its void, a decline.
func day() []txn.Record {
	declined := record(20, txn.BankPurchase, 999, 0)
	declined.Outcome = txn.Declined
	return []txn.Record{
		record(2, txn.BankReversal, -200, 1), // before its original
		record(1, txn.BankPurchase, 200, 0), record(3, txn.BankPurchase, 100, 0),
		record(4, txn.BankCompletion, 50, 0), record(5, txn.BankVoid, -50, 4),
		record(6, txn.BankVoid, -100, 3), record(7, txn.BankReversal, 100, 6),
		record(8, txn.BankRefund, -30, 0), record(9, txn.BankRefund, -20, 0),
		record(10, txn.BankReversal, 20, 9), record(11, txn.BankPreAuth, 0, 0),
		record(12, txn.BankVoid, 0, 11), record(13, txn.BankLoad, 500, 0), declined,
	}
}

func TestGross(t *testing.T) {
	var c tally.Counter
	records := day()
	for i := range records {
		c.Add(&records[i])
	}
	g := c.Gross()
	want := tally.Gross{Debits: tally.Side{Count: 4, Amount: 850, ReversedCount: 2,
		ReversedAmount: 250}, Credits: tally.Side{Count: 2, Amount: 50, ReversedCount: 1,
		ReversedAmount: 20}}
	if g != want {
		t.Errorf("got %+v, want %+v", g, want)
	}
	if net := g.Net(); net != tally.Total(records) {
		t.Errorf("net %+v is not what the batch makes: %+v", net, tally.Total(records))
	}
	// Both sides of the wire mean the same.
	fields := map[int]string{}
	last := 0
	for _, f := range g.Fields() {
		if f.Number <= last {
			t.Errorf("field %d behind %d", f.Number, last)
		}
		last = f.Number
		fields[f.Number] = f.Digits
	}
	if fields[97] != "D0000000000000570" || fields[76] != "0000000004" {
		t.Errorf("%v", fields)
	}
	back, ok, agrees := tally.ReadGross(func(n int) string { return fields[n] })
	if !ok || !agrees || back != g {
		t.Errorf("%v %v %+v", ok, agrees, back)
	}
	fields[97] = "C0000000000000570"
	if _, _, agrees := tally.ReadGross(func(n int) string { return fields[n] }); agrees {
		t.Error("a net sum with the wrong sign agrees")
	}
	if _, ok, _ := tally.ReadGross(func(int) string { return "" }); ok {
		t.Error("no totals are totals")
	}
	if _, ok, _ := tally.ReadGross(func(int) string { return "12x" }); ok {
		t.Error("letters are totals")
	}
}

// What a bank refused after the switch approved it is not in the bank's books; the acquirer has
// it all the same.
func TestGrossOfWhatTheBankRefused(t *testing.T) {
	sale, refused := record(1, txn.BankPurchase, 700, 0), record(2, txn.BankAdjustment, 0, 1)
	refused.Postings = []txn.Posting{{Account: "issuer/ICBC", Amount: 700},
		{Account: "suspense", Amount: -700}}
	tip := record(3, txn.BankAdjustment, -100, 1)
	for _, c := range []struct {
		bank bool
		want tally.Side
	}{{false, tally.Side{Count: 1, Amount: 600}}, {true, tally.Side{Amount: -100}}} {
		count := tally.Counter{OfBank: c.bank}
		for _, r := range []txn.Record{refused, sale, tip} {
			count.Add(&r)
		}
		if g := count.Gross(); g.Debits != c.want || g.Credits != (tally.Side{}) {
			t.Errorf("of a bank %v: %+v", c.bank, g)
		}
	}
}

// Each record is in one period, also across an epoch.
func TestCutsDivideRecords(t *testing.T) {
	at := func(epoch, seq uint64) txn.Position {
		return txn.Position{Bucket: 3, Epoch: txn.Epoch(epoch), Seq: txn.Seq(seq)}
	}
	marks := func(epoch, seq uint64) tally.Marks {
		return tally.MarksOf([]store.BucketInfo{{Bucket: 3, Last: at(epoch, seq)}})
	}
	ends := []tally.Marks{marks(1, 5), marks(1, 5), marks(2, 2), marks(3, 9)}
	for _, p := range []txn.Position{at(1, 1), at(1, 5), at(1, 6), at(2, 2), at(2, 3), at(3, 9)} {
		var cut tally.Cut
		held := 0
		for _, until := range ends {
			if cut.Holds(p, &until) {
				held++
			}
			cut.Marks = until
		}
		if held != 1 {
			t.Errorf("%v is in %d periods", p, held)
		}
	}
	var cut tally.Cut
	if cut.Holds(at(3, 10), &ends[3]) {
		t.Error("a record of after the cut is in the period")
	}
}

// A cut survives a restart, and whoever is slower must look again.
func TestCutIsKept(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	party := tally.AcquirerParty("10000001")
	c, version, err := tally.LastCut(t.Context(), m, party)
	if err != nil || c.Repeats(0, "") {
		t.Fatalf("%+v %v", c, err)
	}
	c.Number, c.STAN, c.Sent = 1, 7, "1122040000"
	c.Telling = &tally.Telling{STAN: 9, Ours: tally.Gross{Debits: tally.Side{Count: 3}}}
	if err := c.Put(t.Context(), m, party, version); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), m, party, version); !errors.Is(err, tally.ErrCut) {
		t.Errorf("the slower one: %v", err)
	}
	got, _, err := tally.LastCut(t.Context(), m, party)
	if err != nil || !reflect.DeepEqual(got, c) || !got.Repeats(7, "1122040000") ||
		got.Repeats(7, "1122040001") || got.Repeats(8, "1122040000") {
		t.Errorf("%+v %v", got, err)
	}
}

func TestBatches(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	for _, party := range []string{"T0000001.A3G", tally.BankParty("icbc"), "T0000001.A3G"} {
		if err := tally.Keep(t.Context(), m, party, 4, func(b *tally.Batch) {
			b.Uploaded++
			b.Verdict = tally.Balanced
		}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := tally.Batches(t.Context(), m, "")
	if err != nil || len(all) != 2 || all[0].Terminal != "T0000001.A3G" || all[0].Uploaded != 2 ||
		all[1].Terminal != "bank@icbc" || all[1].Number != 4 {
		t.Errorf("%+v %v", all, err)
	}
	if b, ok, err := tally.Find(t.Context(), m, "bank@icbc", 4); !ok || err != nil || b.Uploaded != 1 {
		t.Errorf("%+v %v", b, err)
	}
	if _, ok, err := tally.Find(t.Context(), m, "bank@icbc", 5); ok || err != nil {
		t.Errorf("found what there is not: %v", err)
	}
}

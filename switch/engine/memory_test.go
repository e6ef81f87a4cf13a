package engine_test

import (
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// FAULTS.md row 1: a terminal that lost the reply sends the same bytes again.
func TestReplayGivesTheSameAnswer(t *testing.T) {
	w := enrolled(t, 1000)
	w.must(w.entry("Futian"))
	w.now += hour
	for _, r := range []*txn.Request{
		w.exit("Luohu"), w.purchase(100), w.load(50), w.purchase(90_000), w.board("M1"),
	} {
		first := w.do(r)
		records, version := len(w.records), w.version
		again := *r
		again.ReceivedAt += 900
		again.Deadline, again.ListEpoch = w.now+10, 77
		w.now += second
		second := w.do(&again)
		if !second.Replay {
			t.Fatalf("%s: the copy was executed", r.Kind)
		}
		second.Replay = false
		if second != first {
			t.Fatalf("%s: first %+v, then %+v", r.Kind, first, second)
		}
		if len(w.records) != records || w.version != version || w.result.Final {
			t.Fatalf("%s: the copy left something, or was not compared", r.Kind)
		}
	}
}

// A refusal stays a refusal for its id, also when the cause has gone.
func TestRefusalIsReplayed(t *testing.T) {
	w := enrolled(t, 0)
	r := w.purchase(100)
	w.refused(r, txn.InsufficientFunds)
	w.must(w.load(1000))
	if d := w.refused(r, txn.InsufficientFunds); !d.Replay {
		t.Fatal("decided again")
	}
	w.must(w.purchase(100))
}

// FAULTS.md row 3: the same id for something else is an error, never a replay.
func TestIDReused(t *testing.T) {
	w := enrolled(t, 1000)
	first := w.purchase(100)
	w.must(first)
	for name, change := range map[string]func(*txn.Request){
		"amount":   func(r *txn.Request) { r.Amount++ },
		"kind":     func(r *txn.Request) { r.Kind = txn.Load },
		"time":     func(r *txn.Request) { r.ServiceAt-- },
		"merchant": func(r *txn.Request) { r.Place.Merchant = "other" },
		"stan":     func(r *txn.Request) { r.STAN = 5 },
		"original": func(r *txn.Request) { r.Original.Counter = 5 },
	} {
		other := *first
		change(&other)
		records := len(w.records)
		w.refused(&other, txn.IDReused)
		if len(w.records) != records || w.result.Final {
			t.Errorf("%s: an id used again left a record, or was not compared", name)
		}
	}
	if d := w.do(first); !d.Replay || d.Outcome != txn.Approved {
		t.Fatalf("the first after all: %+v", d)
	}
	w.wantBalance(900)
}

// An enrolment with other content under the same id is no replay either.
func TestIDReusedByAnEnrolment(t *testing.T) {
	w := newWallet(t)
	first := w.request(txn.Enrol, func(r *txn.Request) { r.Enrolment.Apps = txn.AppTransit })
	w.must(first)
	for name, change := range map[string]func(*txn.Enrolment){
		"apps":   func(e *txn.Enrolment) { e.Apps = txn.AppAll },
		"rider":  func(e *txn.Enrolment) { e.Rider = txn.RiderSenior },
		"expiry": func(e *txn.Enrolment) { e.ExpiresOn = 20301231 },
		"issuer": func(e *txn.Enrolment) { e.Issuer = "SZT" },
	} {
		other := *first
		change(&other.Enrolment)
		if d := w.do(&other); d.Reason != txn.IDReused {
			t.Errorf("%s: %+v, want %s", name, d, txn.IDReused)
		}
	}
}

// FAULTS.md row 4: what has left the memory is refused, never executed as new.
func TestIDOlderThanTheMemory(t *testing.T) {
	w := enrolled(t, 1000)
	first := w.board("FREE")
	w.must(first)
	for range card.RecentKeep {
		w.now += card.RecentYoung + 1
		w.must(w.board("FREE"))
	}
	w.now += card.RecentYoung + 1
	w.must(w.board("FREE"))
	if left := w.card(); left.Find(first.ID) >= 0 {
		t.Fatal("still remembered")
	}
	w.refused(first, txn.IDTooOld)
	w.wantBalance(1000)
	w.refused(w.request(txn.Purchase, amountOf(1), serviceAt(w.card().Floor)), txn.IDTooOld)
	w.must(w.request(txn.Purchase, amountOf(1), serviceAt(w.card().Floor+1)))
}

// A request that comes late is remembered like any other: a gate that was cut off sends
// its taps an hour later, and sends them again when the reply is lost.
func TestLateRequestIsRemembered(t *testing.T) {
	w := enrolled(t, 5000)
	for range card.RecentKeep {
		w.now += 10 * minute
		w.must(w.board("M1"))
	}
	for _, late := range []*txn.Request{
		w.request(txn.Purchase, amountOf(10), serviceAt(w.now-75*minute)),
		w.request(txn.Purchase, amountOf(10), serviceAt(w.now-79*minute), offline(7)),
	} {
		first := w.must(late)
		again := w.do(late)
		if !again.Replay {
			t.Fatalf("offline %v: first approved, then %s with %s", late.Offline, again.Outcome,
				again.Reason)
		}
		again.Replay = false
		if again != first {
			t.Fatalf("first %+v, then %+v", first, again)
		}
	}
}

// At RecentMax the memory forgets requests although they are young, and refuses what it
// can no longer tell from a repeat.
func TestMemoryIsFull(t *testing.T) {
	w := enrolled(t, 5000)
	var first *txn.Request
	for i := range 2 * card.RecentMax {
		w.now += 10
		r := w.board("FREE")
		if i == 0 {
			first = r
		}
		w.must(r)
	}
	if n := len(w.card().Recent); n != card.RecentMax {
		t.Fatalf("%d remembered, want %d", n, card.RecentMax)
	}
	w.refused(first, txn.IDTooOld)
	w.now += 2 * card.RecentYoung
	w.must(w.board("FREE"))
	if n := len(w.card().Recent); n != card.RecentKeep+1 { // and the load
		t.Fatalf("%d remembered later, want %d", n, card.RecentKeep+1)
	}
}

// A commuter brings something back to the shop: taps do not push purchases and loads out of
// the memory, only later purchases and loads do.
func TestRefundDaysLater(t *testing.T) {
	w := enrolled(t, 5000)
	bought := w.purchase(700)
	w.must(bought)
	ride := func(n int) {
		for range n {
			w.now += hour
			w.must(w.board("FREE"))
		}
	}
	ride(50)
	w.must(w.refund(bought, 200))
	ride(50)
	w.must(w.refund(bought, 500))
	w.wantBalance(5000)
	for range card.RefundableKeep {
		w.now += hour
		w.must(w.purchase(1))
	}
	w.refused(w.refund(bought, 1), txn.OriginalUnknown)
	if n := len(w.card().Recent); n > card.RecentKeep+card.RefundableKeep {
		t.Errorf("%d remembered", n)
	}
}

// What is refused for its time or id does not push real requests out of the memory.
func TestRefusedRequestIsNotRemembered(t *testing.T) {
	w := enrolled(t, 1000)
	before := w.card()
	records := len(w.records)
	w.refused(w.request(txn.Purchase, amountOf(1), serviceAt(w.now+day)), txn.TimeInFuture)
	w.refused(w.request(txn.Purchase, amountOf(1), serviceAt(w.now-40*day)), txn.TimeTooOld)
	w.refused(w.request(txn.Purchase, amountOf(-1)), txn.InvalidAmount)
	if after := w.card(); !reflect.DeepEqual(after, before) || len(w.records) != records {
		t.Fatalf("state %+v, before %+v", after, before)
	}
}

// An unknown card has nothing to compare: the answer is final. It can be enrolled after.
func TestUnknownCard(t *testing.T) {
	w := newWallet(t)
	w.refused(w.purchase(1), txn.UnknownCard)
	if !w.result.Final || len(w.records) != 0 {
		t.Fatal("an unknown card must leave nothing")
	}
	w.refused(w.reversal(w.purchase(1)), txn.UnknownCard)
}

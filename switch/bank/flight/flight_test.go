package flight_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/flight"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// One id belongs to one card; the same card may come with it again.
func TestAnIDBelongsToOneCard(t *testing.T) {
	f := flight.New()
	a, b := pan.Token{1}, pan.Token{2}
	for n := range uint32(1000) {
		id := txn.RequestID{Terminal: txn.TerminalID{'T'}, Boot: 1, Counter: n}
		if !f.First(id, a) || !f.First(id, a) {
			t.Fatalf("%v: the first card was refused", id)
		}
		if f.First(id, b) {
			t.Fatalf("%v: another card was taken", id)
		}
		if !f.First(id, a) {
			t.Fatalf("%v: the first card was refused after another", id)
		}
	}
}

// A copy waits for the first one, and only for that.
func TestCopiesWait(t *testing.T) {
	f := flight.New()
	id, other := txn.RequestID{Counter: 1}, txn.RequestID{Counter: 2}
	if f.Enter(id) != nil || !f.Busy(id) || f.Busy(other) {
		t.Fatal("the first one waits")
	}
	done := f.Enter(id)
	if done == nil || f.Enter(id) != done || f.Enter(other) != nil {
		t.Fatal("a copy does not wait")
	}
	select {
	case <-done:
		t.Fatal("the copy was let go")
	default:
	}
	f.Leave(id)
	<-done
	if f.Busy(id) || f.Enter(id) != nil {
		t.Fatal("the id is still taken")
	}
}

// An answer is recalled for the same id and content, for its time, and as long as there is
// room.
func TestRecall(t *testing.T) {
	var r flight.Recall[string]
	id := func(n int) txn.RequestID { return txn.RequestID{Counter: uint32(n)} }
	find := func(n int, sum uint64, now txn.Millis) string {
		a, ok := r.Find(id(n), sum, now)
		if ok == (a == "") {
			t.Fatalf("%q, %v", a, ok)
		}
		return a
	}
	if find(1, 7, 0) != "" {
		t.Fatal("found in an empty memory")
	}
	r.Keep(id(1), 7, 1000, "one")
	for _, c := range []struct {
		n    int
		sum  uint64
		now  txn.Millis
		want string
	}{
		{1, 7, 1000, "one"}, {1, 7, 999 + flight.RecallFor, "one"}, {1, 7, 1000 + flight.RecallFor, ""},
		{1, 8, 1000, ""}, {2, 7, 1000, ""},
	} {
		if got := find(c.n, c.sum, c.now); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	r.Keep(id(1), 9, 2000, "later")
	if find(1, 9, 2000) != "later" || find(1, 7, 2000) != "" {
		t.Error("a later answer does not take the place of the first")
	}
	for n := 2; n <= flight.RecallMax; n++ {
		r.Keep(id(n), 7, 2000, "x")
	}
	if find(1, 9, 2000) != "later" {
		t.Error("forgotten before the memory is full")
	}
	r.Keep(id(flight.RecallMax+1), 7, 2000, "x")
	if find(1, 9, 2000) != "" || find(2, 7, 2000) != "x" || find(flight.RecallMax+1, 7, 2000) != "x" {
		t.Error("not the oldest was forgotten")
	}
}

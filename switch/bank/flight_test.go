package bank

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// One id belongs to one card; the same card may come with it again.
func TestAnIDBelongsToOneCard(t *testing.T) {
	f := newFlights()
	a, b := pan.Token{1}, pan.Token{2}
	for n := range uint32(1000) {
		id := txn.RequestID{Terminal: txn.TerminalID{'T'}, Boot: 1, Counter: n}
		if !f.first(id, a) || !f.first(id, a) {
			t.Fatalf("%v: the first card was refused", id)
		}
		if f.first(id, b) {
			t.Fatalf("%v: another card was taken", id)
		}
		if !f.first(id, a) {
			t.Fatalf("%v: the first card was refused after another", id)
		}
	}
}

// A copy waits for the first one, and only for that.
func TestCopiesWait(t *testing.T) {
	f := newFlights()
	id, other := txn.RequestID{Counter: 1}, txn.RequestID{Counter: 2}
	if f.enter(id) != nil || !f.busy(id) || f.busy(other) {
		t.Fatal("the first one waits")
	}
	done := f.enter(id)
	if done == nil || f.enter(id) != done || f.enter(other) != nil {
		t.Fatal("a copy does not wait")
	}
	select {
	case <-done:
		t.Fatal("the copy was let go")
	default:
	}
	f.leave(id)
	<-done
	if f.busy(id) || f.enter(id) != nil {
		t.Fatal("the id is still taken")
	}
}

package advice_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/advice"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const day txn.Millis = 24 * 3600 * 1000

// book is a book on a registry with a clock that stands.
func book(now txn.Millis) (advice.Book, store.Registry) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	return advice.Book{Registry: m, Now: func() txn.Millis { return now }}, m
}

func fresh(stan uint32, at txn.Millis) func() (advice.Numbers, error) {
	return func() (advice.Numbers, error) {
		return advice.Numbers{STAN: stan, Sent: "1122040000", At: at}, nil
	}
}

// Every try has the numbers of the first, also in another process, until the bank answered.
func TestRepeatsHaveTheSameNumbers(t *testing.T) {
	b, r := book(60 * day)
	first, err := b.Of(t.Context(), "b0", "n1.bank", fresh(7, 60*day))
	if err != nil || first.Again || first.STAN != 7 {
		t.Fatalf("%+v %v", first, err)
	}
	again, err := advice.Book{Registry: r, Now: b.Now}.Of(t.Context(), "b0", "n1.bank", fresh(8, 0))
	if err != nil || !again.Again || again.STAN != 7 || again.Sent != "1122040000" {
		t.Fatalf("%+v %v", again, err)
	}
	other, err := b.Of(t.Context(), "b1", "n1.bank", fresh(9, 60*day))
	if err != nil || other.Again || other.STAN != 9 {
		t.Fatalf("another link: %+v %v", other, err)
	}
	if err := b.Done(t.Context(), &again); err != nil {
		t.Fatal(err)
	}
	anew, err := b.Of(t.Context(), "b0", "n1.bank", fresh(10, 60*day))
	if err != nil || anew.Again || anew.STAN != 10 {
		t.Fatalf("after the answer: %+v %v", anew, err)
	}
	if err := b.Done(t.Context(), &anew); err != nil {
		t.Fatal(err)
	}
}

// Two that begin at once do not both send: the second is told to come again.
func TestOneOfTwoBegins(t *testing.T) {
	b, _ := book(60 * day)
	_, err := b.Of(t.Context(), "b0", "n1", func() (advice.Numbers, error) {
		if _, err := b.Of(t.Context(), "b0", "n1", fresh(1, 60*day)); err != nil {
			t.Fatal(err)
		}
		return advice.Numbers{STAN: 2}, nil
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Fatalf("%v", err)
	}
	n, err := b.Of(t.Context(), "b0", "n1", fresh(3, 60*day))
	if err != nil || n.STAN != 1 || !n.Again {
		t.Fatalf("%+v %v", n, err)
	}
}

// What was never answered is forgotten when it is old, and nothing else.
func TestOldNumbersAreForgotten(t *testing.T) {
	b, r := book(60 * day)
	for id, at := range map[string]txn.Millis{"old": 14 * day, "young": 16 * day} {
		if _, err := b.Of(t.Context(), "b0", id, fresh(1, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Put(t.Context(), "bank/dead/x", []byte("{}"), 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"old": false, "young": true} {
		if n, err := b.Of(t.Context(), "b0", id, fresh(2, 60*day)); err != nil || n.Again != want {
			t.Errorf("%s: %+v %v", id, n, err)
		}
	}
	if v, _, err := r.Get(t.Context(), "bank/dead/x"); err != nil || len(v) == 0 {
		t.Errorf("a key of others is gone: %v", err)
	}
}

// Nothing is sent under numbers that are not durable.
func TestNoNumbersWithoutTheStore(t *testing.T) {
	b, r := book(60 * day)
	b.Registry = sick{r}
	if _, err := b.Of(t.Context(), "b0", "n", fresh(1, 1)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	b.Registry = r
	boom := errors.New("no number")
	if _, err := b.Of(t.Context(), "b0", "n", func() (advice.Numbers, error) {
		return advice.Numbers{}, boom
	}); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if err := r.Put(t.Context(), "bank/advice/b0/n", []byte("{"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Of(t.Context(), "b0", "n", fresh(1, 1)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("%v", err)
	}
}

type sick struct{ store.Registry }

func (sick) Put(context.Context, string, []byte, uint64) error { return store.ErrUnavailable }

// The longest text fits field 48.
func TestTextFits(t *testing.T) {
	card, err := pan.ParseToken(strings.Repeat("ab", 16))
	if err != nil {
		t.Fatal(err)
	}
	c := advice.Card{Kind: "release", Notice: strings.Repeat("n", 64), Card: card, Last4: "1234",
		Scope: txn.App(255).Names(), Reason: "pre_reported", AcceptedAt: "2026-11-22T08:00:00.000+08:00"}
	if text := c.Text(); len(text) > 512 || !strings.HasPrefix(text, "card="+card.String()+";last4=1234;kind=release;") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	c.Scope = []string{"transit", "purse", "bank", "identity", "library", "campus", "parking", "social"}
	if n := len(c.Text()); n > 512 {
		t.Errorf("%d bytes", n)
	}
}

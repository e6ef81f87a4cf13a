package notice_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/notice"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func id(n uint32) txn.RequestID {
	terminal, _ := txn.ParseTerminalID("T1")
	return txn.RequestID{Terminal: terminal, Boot: 1, Counter: n}
}

func letter(n uint32, due txn.Millis) notice.Letter {
	return notice.Letter{Request: id(n), Card: "c", Link: "icbc", Key: "k", Sealed: []byte{1, 2},
		Due: due}
}

func open(t *testing.T, r store.Registry) *notice.Box {
	t.Helper()
	b, err := notice.Open(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A letter stays with its numbers until it is removed, over restarts; repeats add nothing.
func TestLettersSurvive(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	b := open(t, m)
	for _, l := range []notice.Letter{letter(1, 30), letter(2, 10), letter(2, 99), letter(3, 50)} {
		if err := b.Add(t.Context(), l, 10); err != nil {
			t.Fatal(err)
		}
	}
	if b.Waiting("icbc") != 3 {
		t.Errorf("%d wait", b.Waiting("icbc"))
	}
	if _, err := b.Change(t.Context(), id(2), func(l *notice.Letter) {
		l.STAN, l.Sent, l.Tries, l.Due = 77, "1122040000", 1, 40
	}); err != nil {
		t.Fatal(err)
	}
	b = open(t, m)
	due := b.Due(49, 10)
	if len(due) != 2 || due[0].Request != id(1) || due[1].STAN != 77 || due[1].Tries != 1 ||
		string(due[1].Sealed) != "\x01\x02" {
		t.Errorf("%+v", due)
	}
	if got := b.Due(100, 1); len(got) != 1 || got[0].Request != id(1) {
		t.Errorf("%+v", got)
	}
	// A letter that the bank refused waits for a person, and not for the bank.
	if _, err := b.Change(t.Context(), id(1), func(l *notice.Letter) { l.Dead = true }); err != nil {
		t.Fatal(err)
	}
	if b.Waiting("icbc") != 2 || len(b.Due(100, 10)) != 2 {
		t.Errorf("%d wait, %d due", b.Waiting("icbc"), len(b.Due(100, 10)))
	}
	if err := b.Remove(t.Context(), id(2)); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Find(id(2)); ok || !errors.Is(b.Remove(t.Context(), id(2)), notice.ErrNone) {
		t.Error("a letter was not removed")
	}
	b = open(t, m)
	if l, ok := b.Find(id(1)); !ok || !l.Dead || b.Waiting("icbc") != 1 {
		t.Errorf("%+v, %d wait", l, b.Waiting("icbc"))
	}
}

// At the limit a notice is not acknowledged; what a registry does not take is not in the box.
func TestBoxFull(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	b := open(t, m)
	for n := range uint32(2) {
		if err := b.Add(t.Context(), letter(n+1, 0), 2); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Add(t.Context(), letter(3, 0), 2); !errors.Is(err, notice.ErrFull) {
		t.Errorf("%v", err)
	}
	if err := b.Add(t.Context(), letter(2, 0), 2); err != nil {
		t.Errorf("a repeat at the limit: %v", err)
	}
	other := letter(4, 0)
	other.Link = "ccb"
	if err := b.Add(t.Context(), other, 2); err != nil {
		t.Errorf("another bank: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	sick := open(t, sick{m})
	if err := sick.Add(gone, letter(9, 0), 9); err == nil || sick.Waiting("icbc") != 2 {
		t.Errorf("%v, %d wait", err, sick.Waiting("icbc"))
	}
}

type sick struct{ store.Registry }

func (sick) Put(context.Context, string, []byte, uint64) error { return store.ErrUnavailable }

func TestNoticeIsKept(t *testing.T) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	key := notice.Key("T1", "20261122", 7)
	for _, said := range []string{"", "00"} {
		if err := notice.Keep(t.Context(), m, key, func(old notice.Notice) notice.Notice {
			old.STAN, old.Said = old.STAN+1, said
			return old
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := notice.Read(t.Context(), m, key); err != nil || n.STAN != 2 || n.Said != "00" {
		t.Errorf("%+v %v", n, err)
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TestE2EBankBatchOneAgain: a till that lost its memory begins again at batch 1 and trace
// number 1. The same card buys for the same amount: an approval of another day is not repeated,
// and nothing happens under its number. The next batch goes to the bank.
func TestE2EBankBatchOneAgain(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, nil)
	fake.answer(func(m *message.Message) []byte {
		return fake.reply(m, func(*message.Message) error { return nil })
	})
	clock := filepath.Join(w.dir, "clock")
	at := func(hours int) {
		t.Helper()
		text := fmt.Sprintf("%dh\n", hours)
		if err := os.WriteFile(clock, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at(0)
	w.start(clockFileEnv + "=" + clock)
	l := w.till(1)
	s := l.sale(pos.Purchase, 1, 700, nil)
	first := l.frames(l.request(s))
	at(23)
	if got := l.frames(l.request(s)); !bytes.Equal(got, first) {
		t.Errorf("a repeat of the next morning: %x, want %x", got, first)
	}
	at(25)
	old := func(when string) {
		t.Helper()
		if a := l.ask(l.request(s)); a.ResponseCode() != "94" || a.Has(38) {
			t.Errorf("%s: answered %s, field 38 %v; want 94", when, a.ResponseCode(), a.Has(38))
		}
	}
	old("after 25 hours")
	w.node.kill()
	l.hangUp()
	w.start(clockFileEnv + "=" + clock)
	old("after 25 hours and kill -9")
	if n := fake.seen(message.Financial); n != 1 {
		t.Errorf("the bank was asked %d times, want once", n)
	}
	next := l.sale(pos.Purchase, 1, 700, nil)
	l.want(next, "00")
	if n := fake.seen(message.Financial); n != 2 {
		t.Errorf("the bank was asked %d times, want for the next number as well", n)
	}
	at(9 * 24)
	l.undo(s, "94") // its reversal would give back what was paid a week ago
	l.undo(next, "94")
	if n := fake.seen(message.Reversal); n != 0 {
		t.Errorf("the bank was told of %d reversals, want none", n)
	}
}

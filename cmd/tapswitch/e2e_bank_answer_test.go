package main

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TestE2EBankAnswerWithoutCode: an answer that has no response code does not say that the bank
// refused. Nobody knows what it did, so it is told to undo it.
func TestE2EBankAnswerWithoutCode(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, nil)
	w.start()
	mute := 2 // answers without a code to the reversal, which is then repeated
	fake.answer(func(m *message.Message) []byte {
		if m.MTI().Class() == message.Reversal {
			if mute--; mute < 0 {
				return fake.approve(m)
			}
		}
		a, _ := m.Reply()
		if err := a.Copy(m, 2, 3, 4, 7, 11, 32, 33, 37, 41, 42, 49); err != nil {
			t.Error(err)
		}
		frame, err := a.Append(nil)
		if err != nil {
			t.Error(err)
		}
		return wire(t, message.Framing{Form: message.ASCII4}, frame)
	})
	l := w.till(1)
	l.want(l.sale(pos.Purchase, 0, 1_000, nil), "98")
	w.settled()
	if n := fake.seen(message.Reversal); n != 3 {
		t.Errorf("told %d times to undo it, want 3", n)
	}
	if dead := w.dead(); len(dead) != 0 {
		t.Errorf("%d dead letters", len(dead))
	}
}

// TestE2EBankOfflineCode: the authorization code that a shop got by telephone reaches the bank
// with the advice, and is that of the answer.
func TestE2EBankOfflineCode(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, nil)
	w.start()
	told := make(chan string, 4)
	fake.answer(func(m *message.Message) []byte {
		code, _ := m.Text(38)
		told <- code
		return fake.approve(m)
	})
	l := w.till(1)
	for i, code := range []string{"T1E2L3", "      "} {
		s := l.sale(pos.OfflineSale, i, 1_000, nil)
		s.change = func(m *message.Message) { l.no(m.SetText(38, code)) }
		l.want(s, "00")
		if got := <-told; got != s.auth || i == 0 && got != code || i == 1 && got == code {
			t.Errorf("code %q: the bank was told %q, the terminal %q", code, got, s.auth)
		}
	}
}

// TestE2EBankTwoNumbers: a message whose track 2 has another card number than field 2 goes to no
// bank: the switch would look up one, and the bank take the other. Of an enciphered track only
// the bank knows the number.
func TestE2EBankTwoNumbers(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, nil)
	w.start()
	l := w.till(1)
	for i, c := range []struct {
		track         int // the card that the track is of
		control, code string
	}{{0, "", "00"}, {5, "", "14"}, {6, "2600000000000000", "14"}, {7, "2610000000000000", "00"}} {
		s := l.sale(pos.Purchase, 0, int64(1_000+i), nil)
		s.change = func(m *message.Message) {
			l.no(m.SetText(35, w.cards[c.track].Digits()+"D30121010000012345"))
			if c.control != "" {
				l.no(m.SetDigits(53, c.control))
			}
		}
		l.want(s, c.code)
	}
	if n := fake.seen(message.Financial); n != 2 {
		t.Errorf("%d messages went to the bank, want 2", n)
	}
}

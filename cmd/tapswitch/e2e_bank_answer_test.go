package main

import (
	"testing"
	"time"

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

// TestE2EBankAnswerOfAnother: an approval of another card, currency or processing code answers
// nothing. It is dropped and counted, and the bank is told to undo what it may have done; one
// that does not repeat them is an answer.
func TestE2EBankAnswerOfAnother(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, func(f *bankFile) { f.links[0]["timeout"] = "1s" })
	w.start()
	says := map[int64]func(*message.Message) error{
		100: func(a *message.Message) error { return a.SetPAN(w.cards[200]) },
		200: func(a *message.Message) error { return a.SetText(49, "840") },
		300: func(a *message.Message) error { return a.SetDigits(3, "200000") },
		400: func(a *message.Message) error {
			for _, n := range []int{2, 3, 49} {
				a.Unset(n)
			}
			return nil
		},
	}
	fake.answer(func(m *message.Message) []byte {
		if m.MTI().Class() == message.Reversal {
			return fake.approve(m)
		}
		amount, _ := m.Amount()
		return fake.reply(m, says[amount])
	})
	l := w.till(1)
	for i, minor := range []int64{100, 200, 300} {
		before := w.link("b0").Figures.Wrong
		l.want(l.sale(pos.Purchase, i, minor, nil), "98")
		if n := w.link("b0").Figures.Wrong; n != before+1 {
			t.Errorf("%d: %d wrong answers were counted, want %d", minor, n, before+1)
		}
	}
	l.want(l.sale(pos.Purchase, 3, 400, nil), "00")
	w.settled()
	if n := fake.seen(message.Reversal); n != 3 {
		t.Errorf("told %d times to undo it, want 3", n)
	}
}

// TestE2EBankAdministrativeRequest: what asks for something that nobody defined is refused; it
// is not thanked for as the notice of a chip's script is.
func TestE2EBankAdministrativeRequest(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{})
	l := w.till(1)
	s := l.sale(pos.Purchase, 1, 1_000, nil)
	l.want(s, "00")
	m := l.notice(500, s.card, s)
	m.SetMTI(0x0600)
	if a := l.ask(m); a.MTI() != 0x0610 || a.ResponseCode() != "12" {
		t.Errorf("0600: %v %s, want 0610 with 12", a.MTI(), a.ResponseCode())
	}
}

// TestE2EBankRefundOfAnother: the bank is told how the terminal names the original of a refund
// that the switch does not remember, also when the refund is told again.
func TestE2EBankRefundOfAnother(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, func(f *bankFile) {
		f.links[0]["originals"], f.links[0]["timeout"] = 63, "1s"
	})
	w.start()
	told := make(chan string, 8)
	first := true
	fake.answer(func(m *message.Message) []byte {
		named, _ := m.Text(63)
		told <- named
		if first {
			first = false
			return nil // the switch tells it again
		}
		return fake.approve(m)
	})
	l := w.till(1)
	s := l.sale(pos.Refund, 1, 1_000, nil)
	s.change = func(m *message.Message) {
		digits, err := message.Original{Batch: "000042", STAN: "000317", Date: "0301"}.Digits()
		l.no(err, m.SetText(37, "506009000317"), m.SetDigits(61, digits))
	}
	l.say(l.request(s))
	for i := range 2 {
		select {
		case got := <-told:
			if want := "506009000317" + "0000420003170301"; got != want {
				t.Errorf("message %d names %q, want %q", i, got, want)
			}
		case <-time.After(tillMax):
			t.Fatal("the bank was not told")
		}
	}
	w.settled()
}

package main

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// FAULTS.md rows 11 to 14: the bank that does not answer, or answers wrong.

// bankRules are bankhost.DefaultRules with times that a test can wait for.
func bankRules() bankhost.Behaviour {
	return bankhost.Behaviour{Rules: bankhost.DefaultRules(),
		DelayFrom: bankhost.Span(50 * time.Millisecond), DelayTo: bankhost.Span(100 * time.Millisecond),
		LateAfter: bankhost.Span(bankTimeout + 300*time.Millisecond),
		StallFor:  bankhost.Span(2 * bankTimeout)}
}

// TestFault11NoBankReply: what the bank does not answer in time is reversed, at once and for
// good. The terminal is told 98 after the reversal is due, and never anything else.
func TestFault11NoBankReply(t *testing.T) {
	t.Parallel()
	b := bankRules()
	b.Rules = append([]bankhost.Rule{
		{AmountEnds: "974", Kind: "reversal", Times: 1, Effect: bankhost.LoseRequest},
		{AmountEnds: "974", Times: 1, Effect: bankhost.LoseAnswer}}, b.Rules...)
	w := newBankTown(t, bankPlan{behaviour: b})
	l := w.till(1)
	const lost = 6
	var gone []*sale
	for i := range lost {
		s := l.sale(pos.Purchase, i, int64(10_074-i%2), nil) // lose_answer and lose_request
		l.want(s, "98")
		gone = append(gone, s)
	}
	// Killed before the bank has heard of it: the reversal that 98 stands for is durable.
	s := l.sale(pos.Purchase, 9, 20_974, nil)
	l.want(s, "98")
	w.node.kill()
	l.hangUp()
	w.start()
	w.reconcile()
	c := w.counts()
	if c.Reversed+c.ReversalsOfUnknown != lost+1 || c.Approved[bankhost.Purchase] != lost/2+1 {
		t.Errorf("%d reversed and %d of unknown, want %d together; %d approved",
			c.Reversed, c.ReversalsOfUnknown, lost+1, c.Approved[bankhost.Purchase])
	}
	for _, s := range append(gone, s) {
		l.want(s, "98") // never approved later
	}
	if again := w.counts(); again.Requests != c.Requests {
		t.Error("a repeat of what was reversed went to the bank")
	}
}

// TestFault12ReplyAtTimeout: an answer that comes within 5 ms of the time-out is taken or is
// late. Both sides say the same, and the terminal gets one answer.
func TestFault12ReplyAtTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	w := newBankTown(t, bankPlan{
		behaviour: bankhost.Behaviour{
			Rules:     []bankhost.Rule{{Kind: "purchase", Effect: bankhost.Delay}},
			DelayFrom: bankhost.Span(timeout - 5*time.Millisecond),
			DelayTo:   bankhost.Span(timeout + 5*time.Millisecond)},
		file: func(f *bankFile) { f.links[0]["timeout"] = timeout.String() },
	})
	const tills, tries = 8, 15
	codes := make(chan string, tills*tries)
	for i := range tills {
		l := w.till(i + 1)
		go func() {
			for n := range tries {
				s := l.sale(pos.Purchase, i*tries+n, int64(1000+n), nil)
				m := l.request(s)
				if err := l.raw(wire(t, message.Framing{}, l.frame(m))); err != nil {
					codes <- err.Error()
					continue
				}
				a := l.hear(tillMax)
				if a == nil {
					codes <- "none"
					continue
				}
				if got, _ := a.STAN(); got != s.stan {
					codes <- "a second answer"
					continue
				}
				codes <- a.ResponseCode()
			}
			if l.nc != nil && l.hear(50*time.Millisecond) != nil {
				t.Error("one answer too many")
			}
		}()
	}
	got := map[string]int{}
	for range tills * tries {
		got[<-codes]++
	}
	t.Logf("%v", got)
	if got["00"]+got["98"] != tills*tries {
		t.Errorf("answers %v", got)
	}
	w.reconcile()
	if c := w.counts(); c.Reversed != int64(got["98"]) {
		t.Errorf("%d reversed, %d terminals were told 98", c.Reversed, got["98"])
	}
	late := w.link("b0").Figures.Late
	if got["98"] > 0 && late == 0 {
		t.Error("no late answer was counted")
	}
}

// TestFault14WrongAnswer: an answer for another number, terminal, reference or amount is
// dropped and counted, and the transaction is reversed. A second answer is dropped.
func TestFault14WrongAnswer(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{behaviour: bankRules()})
	l := w.till(1)
	dropped := func() uint64 {
		f := w.link("b0").Figures
		return f.Wrong + f.Unmatched + f.BadMessages + f.Late
	}
	reversed := int64(0)
	for i, end := range []int64{75, 76, 77, 78, 79, 81, 82} {
		before := dropped()
		l.want(l.sale(pos.Purchase, i, 30_000+end, nil), "98")
		reversed++
		if end < 80 && dropped() == before {
			t.Errorf("…%d: the answer was not counted", end)
		}
	}
	if err := w.up(); err != nil {
		t.Fatal(err)
	}
	before := dropped()
	l.want(l.sale(pos.Purchase, 9, 30_072, nil), "00") // twice
	if extra := l.hear(100 * time.Millisecond); extra != nil {
		t.Error("the second answer of the bank reached the terminal")
	}
	w.eventually("the second answer to be counted", func() bool { return dropped() > before })
	// A delayed one is just slow, a refused one is just refused.
	l.want(l.sale(pos.Purchase, 10, 30_070, nil), "00")
	l.want(l.sale(pos.Purchase, 10, 30_005, nil), "51")
	l.want(l.sale(pos.Purchase, 10, 30_071, nil), "98") // late
	w.reconcile()
	if c := w.counts(); c.Reversed != reversed+1 {
		t.Errorf("%d reversed, want %d", c.Reversed, reversed+1)
	}
}

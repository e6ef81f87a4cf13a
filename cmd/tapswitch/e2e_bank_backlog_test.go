package main

import (
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// FAULTS.md row 19 and what is done while a bank cannot be asked: backlog, failover, stand-in.

// TestFault19BankMute: a bank that answers no reversal gets no new transactions once its
// backlog is full, and is told everything in the order of each card when it speaks again.
func TestFault19BankMute(t *testing.T) {
	t.Parallel()
	const backlog = 12 // more than the tellers of a link
	var line *faultproxy.Proxy
	w := newBankTown(t, bankPlan{terminals: 40,
		via: func(_ int, address string) string {
			line = e2eProxy(t, address)
			return line.Addr()
		},
		file: func(f *bankFile) { f.links[0]["backlog"] = backlog },
	})
	l := w.till(1)
	// Two of one card, done already: they are reversed by the till in the mute.
	first, second := l.sale(pos.Purchase, 100, 100, nil), l.sale(pos.Purchase, 100, 200, nil)
	l.want(first, "00")
	l.want(second, "00")
	line.Inject(faultproxy.Fault{Kind: faultproxy.Stall})
	l.undo(first, "00")
	l.undo(second, "00")
	unanswered := 0
	for i := range 30 {
		code := l.do(l.sale(pos.Purchase, i, 1_000, nil))
		if code == "91" {
			break
		}
		if code != "98" {
			t.Fatalf("sale %d: code %s", i, code)
		}
		unanswered++
	}
	if unanswered != backlog-2 {
		t.Errorf("%d sales were sent to the mute bank, want %d", unanswered, backlog-2)
	}
	if b := w.link("b0"); !b.Up || b.Telling != backlog {
		t.Errorf("up %v, backlog %d", b.Up, b.Telling)
	}
	requests := w.counts().Requests
	l.want(l.sale(pos.Purchase, 50, 1_000, nil), "91")
	l.undo(l.sale(pos.Purchase, 51, 1, nil), "25") // reversals are always taken
	line.Clear()
	w.settled()
	l.want(l.sale(pos.Purchase, 52, 1_000, nil), "00")
	w.reconcile()
	if n := w.link("b0").Telling; n != 0 {
		t.Errorf("a backlog of %d is left", n)
	}
	if now := w.counts().Requests; now <= requests {
		t.Error("nothing was told")
	}
	// One after the other: no repeat of the second before the first was answered.
	var at []uint64
	for _, e := range w.banks[0].Book().Entries {
		if e.Kind == bankhost.Reversal && (e.Minor == 100 || e.Minor == 200) {
			at = append(at, uint64(e.Minor))
		}
	}
	if !slices.Equal(at, []uint64{100, 200}) {
		t.Errorf("the reversals of one card came in the order %v", at)
	}
}

// TestE2EBankFailover: what did not leave goes another way; what may have left does not.
func TestE2EBankFailover(t *testing.T) {
	t.Parallel()
	var lines []*faultproxy.Proxy
	w := newBankTown(t, bankPlan{hosts: 2, behaviour: bankRules(),
		via: func(_ int, address string) string {
			p := e2eProxy(t, address)
			lines = append(lines, p)
			return p.Addr()
		}})
	l := w.till(1)
	at := func() [2]int64 {
		return [2]int64{w.banks[0].Summary().Counts.Requests, w.banks[1].Summary().Counts.Requests}
	}
	l.want(l.sale(pos.Purchase, 1, 1_000, nil), "00")
	if at() != [2]int64{1, 0} {
		t.Errorf("the first bank is not the first: %v", at())
	}
	lines[0].Down()
	w.eventually("the first link to be down", func() bool { return !w.link("b0").Up })
	kept := l.sale(pos.Purchase, 2, 2_000, nil)
	l.want(kept, "00")
	if at() != [2]int64{1, 1} {
		t.Errorf("not taken over: %v", at())
	}
	lines[0].Up()
	if err := w.up(); err != nil {
		t.Fatal(err)
	}
	// Nobody knows what the first bank did: the second one is not asked.
	l.want(l.sale(pos.Purchase, 3, 3_074, nil), "98")
	l.want(l.sale(pos.Purchase, 4, 3_073, nil), "98")
	if n := w.banks[1].Summary().Counts.Requests; n != 1 {
		t.Errorf("the second bank was asked %d times", n)
	}
	lines[0].Down()
	lines[1].Down()
	w.eventually("both links to be down", func() bool { return !w.link("b0").Up && !w.link("b1").Up })
	l.want(l.sale(pos.Purchase, 5, 4_000, nil), "91")
	l.undo(kept, "00")
	lines[0].Up()
	lines[1].Up()
	w.reconcile()
	if c := w.banks[1].Summary().Counts; c.Reversed != 1 {
		t.Errorf("the reversal went to the wrong bank: %d", c.Reversed)
	}
}

// TestE2EBankStandIn: while the bank is away small sales are approved within the limits of
// the card, and the bank is told of each when it is back; a restart in between loses none.
func TestE2EBankStandIn(t *testing.T) {
	t.Parallel()
	var line *faultproxy.Proxy
	w := newBankTown(t, bankPlan{
		via: func(_ int, address string) string {
			line = e2eProxy(t, address)
			return line.Addr()
		},
		file: func(f *bankFile) {
			f.routes[0]["stand_in"] = bankDoc{"classes": []string{"purchase"}, "amount_max": 1_000,
				"count_max": 3, "total_max": 2_500}
		}})
	l := w.till(1)
	line.Down()
	w.eventually("the link to be down", func() bool { return !w.link("b0").Up })
	l.want(l.sale(pos.Purchase, 1, 1_001, nil), "91") // above the limit of one
	l.want(l.sale(pos.PreAuth, 1, 500, nil), "91")    // not in the classes
	back := l.sale(pos.Purchase, 1, 1_000, nil)
	l.want(back, "00")
	l.want(l.sale(pos.Purchase, 1, 900, nil), "00")
	l.want(l.sale(pos.Purchase, 1, 601, nil), "91") // above the total
	l.want(l.sale(pos.Purchase, 1, 100, nil), "00")
	l.want(l.sale(pos.Purchase, 1, 1, nil), "91") // above the count
	l.want(l.sale(pos.Purchase, 2, 1_000, nil), "00")
	offline := l.sale(pos.OfflineSale, 3, 90_000, nil)
	l.want(offline, "00") // it has happened: no limit
	repeat := l.request(back)
	if a := l.ask(repeat); a.ResponseCode() != "00" || a.RRN() != back.rrn {
		t.Errorf("the repeat gets %s %s", a.ResponseCode(), a.RRN())
	}
	l.undo(back, "00") // before the bank heard of it
	w.node.kill()
	l.hangUp()
	if err := w.node.start(); err != nil {
		t.Fatal(err)
	}
	line.Up()
	if err := w.up(); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	c := w.counts()
	if c.Kinds[bankhost.OfflineSale] != 4 && c.Kinds[bankhost.OfflineSale] != 5 {
		t.Errorf("%d advices reached the bank", c.Kinds[bankhost.OfflineSale])
	}
	_, theirs := w.theirs()
	sum := int64(0)
	for _, n := range theirs {
		sum += n
	}
	if sum != 900+100+1_000+90_000 {
		t.Errorf("the bank has %d", sum)
	}
	// A refund of what the switch approved finds its original at the bank.
	l.want(l.sale(pos.Refund, 0, 500, offline), "00")
	w.reconcile()
}

// TestE2EBankCopies: two copies of a request at once are one transaction and one answer;
// another content under the same number is refused.
func TestE2EBankCopies(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{behaviour: bankRules()})
	l, copyist := w.till(1), w.till(1)
	for i := range 20 {
		s := l.sale(pos.Purchase, i, int64(5_000+70*(i%2)), nil) // some are slow
		frame := wire(t, message.Framing{}, l.frame(l.request(s)))
		l.no(l.raw(frame), copyist.raw(frame), l.raw(frame))
		var rrn string
		for n, from := range []*till{l, copyist, l} {
			a := from.hear(tillMax)
			if a == nil || a.ResponseCode() != "00" || n > 0 && a.RRN() != rrn {
				t.Fatalf("copy %d of sale %d: %v", n, i, a)
			}
			rrn = a.RRN()
		}
		s.minor++
		if a := l.ask(l.request(s)); a.ResponseCode() != "94" {
			t.Errorf("another amount under the same number: %s", a.ResponseCode())
		}
	}
	w.reconcile()
	if c := w.counts(); c.Requests != 20 || c.Repeats != 0 {
		t.Errorf("the bank got %d requests and %d repeats, want 20 and none", c.Requests, c.Repeats)
	}
}

package main

import (
	"path/filepath"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/store/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// stans gives the number that a link gives out next, while the switch does not run.
func (w *bankTown) stans(name, next string) {
	w.t.Helper()
	s, err := local.Open(w.t.Context(), local.Options{Dir: filepath.Join(w.node.dir, "store"),
		Date: txn.BusinessDate(20261122)})
	if err != nil {
		w.t.Fatal(err)
	}
	_, version, err := s.Get(w.t.Context(), "bank/stan/"+name)
	if err == nil {
		err = s.Put(w.t.Context(), "bank/stan/"+name, []byte(next), version)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// TestE2EBankNumbersWrap: trace number 1 follows 999999 while sales with both wait for their
// answers, and the switch is killed while some still do: each ends once, and the right one, with a
// bank of either dialect.
func TestE2EBankNumbersWrap(t *testing.T) {
	for _, name := range []string{"cups", "cup_pos"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrapNumbers(t, name)
		})
	}
}

func wrapNumbers(t *testing.T, name string) {
	const tills = 12
	w := newBankTown(t, bankPlan{terminals: tills,
		behaviour: bankhost.Behaviour{Rules: []bankhost.Rule{
			{Kind: "purchase", AmountEnds: "74", Effect: bankhost.LoseAnswer},
			{Kind: "purchase", Effect: bankhost.Delay}},
			DelayFrom: bankhost.Span(bankTimeout), DelayTo: bankhost.Span(2 * bankTimeout)},
		host: func(_ int, o *bankhost.Options) {
			o.Spec, o.Framing = bankSpec(t, name), dialectFraming(name)
		},
		file: func(f *bankFile) { f.links[0]["spec"], f.links[0]["timeout"] = name, "20s" }})
	w.node.kill()
	w.stans("b0", "999993")
	w.start()
	all := make([]*till, tills)
	for i := range all {
		l := w.till(i + 1)
		s := l.sale(pos.Purchase, i, int64(1_000+100*i), nil)
		if i%2 == 1 {
			s.minor += 74 // its answer is lost
		}
		l.say(l.request(s))
		all[i] = l
	}
	for i := 0; i < tills; i += 2 {
		if a := all[i].hear(tillMax); a == nil || a.ResponseCode() != "00" {
			t.Fatalf("till %d is answered %v", i+1, a)
		} else if minor, _ := a.Amount(); minor != int64(1_000+100*i) {
			t.Errorf("till %d is answered for %d", i+1, minor)
		}
	}
	w.eventually("every sale at the bank", func() bool {
		return w.counts().Kinds[bankhost.Purchase] == tills
	})
	w.node.kill()
	w.start()
	w.settled()
	seen := map[uint32]bool{}
	low, high := uint32(link.STANMax), uint32(0)
	for _, e := range w.banks[0].Book().Entries {
		if e.Kind != bankhost.Purchase {
			continue
		}
		if seen[e.STAN] || e.Reversed != (e.Minor%100 == 74) {
			t.Errorf("number %d of %d: seen before %v, reversed %v", e.STAN, e.Minor, seen[e.STAN],
				e.Reversed)
		}
		seen[e.STAN] = true
		low, high = min(low, e.STAN), max(high, e.STAN)
	}
	if low != 1 || high != link.STANMax {
		t.Errorf("numbers from %d to %d did not wrap", low, high)
	}
	w.reconcile()
}

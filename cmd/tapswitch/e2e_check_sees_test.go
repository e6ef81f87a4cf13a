package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// e2eCheckSees spoils good evidence in every way that the check is there for, and expects
// the check to see it.
func e2eCheckSees(t *testing.T, good *e2eEvidence) {
	find := func(wanted func(*txn.Record) bool) int {
		i := slices.IndexFunc(good.records, func(r txn.Record) bool { return wanted(&r) })
		if i < 0 {
			t.Fatal("the evidence has no record to spoil")
		}
		return i
	}
	paid := find(func(r *txn.Record) bool { return r.Kind == txn.Purchase && r.Charged > 0 })
	refused := find(func(r *txn.Record) bool { return r.Reason == txn.CardFrozen && r.Kind == txn.BusBoarding })
	for _, c := range []struct {
		name  string
		spoil func(*e2eEvidence)
		want  []string
	}{
		{"a record is lost", func(e *e2eEvidence) { e.records = slices.Delete(e.records, paid, paid+1) },
			[]string{"approvals", "figures", "sequence", "balance"}},
		{"a record stands twice", func(e *e2eEvidence) { e.records = append(e.records, e.records[paid]) },
			[]string{"approvals", "figures", "request ids", "sequence", "balance"}},
		{"an approval was booked again under the next number", func(e *e2eEvidence) {
			r := e.records[paid]
			last := e.records[len(e.records)-1].Position
			r.Position.Bucket, r.Position.Epoch, r.Position.Seq = last.Bucket, last.Epoch, last.Seq+1
			e.records = append(e.records, r)
		}, []string{"approvals", "request ids"}},
		{"an amount differs", func(e *e2eEvidence) { e.records[paid].Charged++ },
			[]string{"approvals", "figures", "balance"}},
		{"a record does not balance", func(e *e2eEvidence) {
			r := &e.records[paid]
			r.Postings = slices.Clone(r.Postings)
			r.Postings[0].Amount--
		}, []string{"postings", "balance"}},
		{"a frozen card was let through", func(e *e2eEvidence) {
			e.records[refused].Outcome, e.records[refused].Reason = txn.Approved, txn.ReasonNone
		}, []string{"approvals", "figures", "freeze"}},
		{"the client saw an approval more", func(e *e2eEvidence) {
			o := *e.outcome
			o.Approvals = append(slices.Clone(o.Approvals), sim.Approval{Kind: txn.Purchase, Charged: 1})
			e.outcome = &o
		}, []string{"approvals"}},
		{"the client saw an approval less", func(e *e2eEvidence) {
			o := *e.outcome
			o.Approvals = o.Approvals[1:]
			e.outcome = &o
		}, []string{"approvals"}},
		{"a copy was executed", func(e *e2eEvidence) {
			o := *e.outcome
			o.Absorbed--
			e.outcome = &o
		}, []string{"client"}},
		{"the store's balance differs", func(e *e2eEvidence) { e.cards[0].Balance++ }, []string{"balance"}},
		{"two decisions on one version", func(e *e2eEvidence) { e.records[paid].CardVersion-- },
			[]string{"balance"}},
		{"a freeze was forgotten", func(e *e2eEvidence) {
			for i := range e.cards {
				e.cards[i].Frozen = nil
			}
		}, []string{"freeze"}},
	} {
		bad := &e2eEvidence{plan: good.plan, outcome: good.outcome, cards: slices.Clone(good.cards),
			records: slices.Clone(good.records)}
		c.spoil(bad)
		faults := bad.faults()
		for _, name := range c.want {
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, name+": ") }) {
				t.Errorf("%s: no fault of %q in %q", c.name, name, faults)
			}
		}
	}
}

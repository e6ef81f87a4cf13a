package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// e2eEvidence is what a run left: the plan's expectation, what the client saw, what the
// ledger holds and what the store says. The four must tell one story.
type e2eEvidence struct {
	plan    *sim.Plan
	outcome *sim.Outcome
	cards   []e2eCard // in the order of the plan
	records []txn.Record
}

// require fails the test when the evidence does not hold together.
func (e *e2eEvidence) require(t testing.TB) {
	t.Helper()
	o := e.outcome
	t.Logf("seed %d: %d steps, %d approvals, %d records, %d copies absorbed, %d lost replies "+
		"resolved, %d frozen refused, %d interrupted, longest %s, figures %s", e.plan.Seed,
		e.plan.Steps, len(o.Approvals), len(e.records), o.Absorbed, o.Resolved, o.FrozenRefused,
		o.Interrupted, o.LongestOutage.Round(1e6), e.ledger().Digest())
	for _, fault := range e.faults() {
		t.Errorf("seed %d: %s", e.plan.Seed, fault)
	}
}

// faults proves every promise again and returns what is broken, one line each.
func (e *e2eEvidence) faults() []string {
	var all []string
	for _, check := range []struct {
		name string
		run  func() []string
	}{
		{"client", e.clientFaults}, {"approvals", e.approvalFaults}, {"figures", e.figureFaults},
		{"request ids", e.idFaults}, {"sequence", e.sequenceFaults},
		{"postings", e.postingFaults}, {"balance", e.balanceFaults}, {"freeze", e.freezeFaults},
	} {
		found := check.run()
		for i, fault := range found {
			if i == e2eFaultsMax {
				all = append(all, fmt.Sprintf("%s: and %d more", check.name, len(found)-i))
				break
			}
			all = append(all, check.name+": "+fault)
		}
	}
	return all
}

// clientFaults: every answer was as planned, every copy absorbed, every lost reply
// resolved, every use of a frozen card and every bad request refused.
func (e *e2eEvidence) clientFaults() []string {
	o := e.outcome
	faults := slices.Clone(o.Mismatches)
	for _, pair := range []struct {
		what      string
		got, want int
	}{
		{"unexpected answers", o.MismatchCount, 0}, {"copies absorbed", o.Absorbed, o.Copies},
		{"lost replies resolved", o.Resolved, o.Lost},
		{"uses of frozen cards refused", o.FrozenRefused, o.FrozenTried},
		{"bad requests refused", o.BadRefused, o.BadTried},
	} {
		if pair.got != pair.want {
			faults = append(faults, fmt.Sprintf("%s: %d, want %d", pair.what, pair.got, pair.want))
		}
	}
	return faults
}

// e2eCustomer reports whether a kind is a request of a terminal.
func e2eCustomer(k txn.Kind) bool {
	return k.IsTap() || k == txn.Purchase || k == txn.Load || k == txn.Refund || k == txn.Reversal
}

// approvalFaults: the approvals that the client saw are the approved records of the ledger,
// one for one, with the same amounts.
func (e *e2eEvidence) approvalFaults() []string {
	var faults []string
	booked := map[txn.RequestID][]*txn.Record{}
	for i := range e.records {
		r := &e.records[i]
		if e2eCustomer(r.Kind) && r.Outcome == txn.Approved {
			booked[r.Request] = append(booked[r.Request], r)
		}
	}
	for _, a := range e.outcome.Approvals {
		rows := booked[a.ID]
		delete(booked, a.ID)
		switch {
		case len(rows) == 0:
			faults = append(faults, fmt.Sprintf("%s %s was approved and is not in the ledger", a.ID, a.Kind))
		case len(rows) > 1:
			faults = append(faults, fmt.Sprintf("%s %s is in the ledger %d times: %s, %s", a.ID, a.Kind,
				len(rows), rows[0].Position, rows[1].Position))
		case rows[0].Charged != a.Charged || rows[0].Kind != a.Kind:
			faults = append(faults, fmt.Sprintf("%s: client %s %d, ledger %s %d", a.ID, a.Kind, a.Charged,
				rows[0].Kind, rows[0].Charged))
		}
	}
	for id, rows := range booked {
		faults = append(faults, fmt.Sprintf("%s is in the ledger at %s and no client saw it approved",
			id, rows[0].Position))
	}
	return faults
}

// ledger sums the records as the plan counts them.
func (e *e2eEvidence) ledger() *sim.Figures {
	f := sim.NewFigures()
	for i := range e.records {
		if r := &e.records[i]; !r.Kind.IsMarker() && !e2eRepeatedDesk(r) {
			f.Add(sim.Item{Kind: r.Kind, Outcome: r.Outcome, Reason: r.Reason,
				Operator: r.Place.Operator, FullFare: r.FullFare, Charged: r.Charged})
		}
	}
	return f
}

// e2eRepeatedDesk reports a desk call that was sent again after its answer was lost: it is
// declined because the first was done.
func e2eRepeatedDesk(r *txn.Record) bool {
	return r.Kind == txn.Freeze && r.Reason == txn.AlreadyListed ||
		r.Kind == txn.Release && r.Reason == txn.NotListed
}

// figureFaults: plan, client and ledger come to the same figures.
func (e *e2eEvidence) figureFaults() []string {
	seen := sim.NewFigures()
	seen.Merge(e.outcome.Figures)
	for range e.plan.Cards {
		seen.Add(sim.Item{Kind: txn.Enrol, Outcome: txn.Approved})
	}
	var faults []string
	for _, line := range e.plan.Want.Diff(seen) {
		faults = append(faults, "plan (-) against client (+): "+line)
	}
	for _, line := range e.plan.Want.Diff(e.ledger()) {
		faults = append(faults, "plan (-) against ledger (+): "+line)
	}
	return faults
}

// idFaults: no request stands in the ledger twice.
func (e *e2eEvidence) idFaults() []string {
	var faults []string
	first := map[txn.RequestID]txn.Position{}
	for i := range e.records {
		r := &e.records[i]
		if r.Request.IsZero() || r.Reason == txn.IDReused {
			continue
		}
		if at, twice := first[r.Request]; twice {
			faults = append(faults, fmt.Sprintf("%s stands at %s and %s", r.Request, at, r.Position))
		}
		first[r.Request] = r.Position
	}
	return faults
}

// sequenceFaults: (bucket, epoch, seq) has no hole and no repetition, and each epoch names
// the end of the one before.
func (e *e2eEvidence) sequenceFaults() []string {
	var faults []string
	seq := warehouse.NewSequence(warehouse.Positions{})
	for _, r := range e.ordered() {
		if v := seq.Take(r); v != warehouse.Next {
			faults = append(faults, fmt.Sprintf("%s is no next record after %s: %s", r.Position,
				seq.At(r.Position.Bucket), v))
		}
	}
	for b, at := range seq.Held() {
		if at.Epoch == 0 {
			faults = append(faults, fmt.Sprintf("bucket %d has no record, not even its first marker", b))
		}
	}
	return faults
}

// ordered returns the records in the order of their commits, bucket by bucket.
func (e *e2eEvidence) ordered() []*txn.Record {
	all := make([]*txn.Record, len(e.records))
	for i := range e.records {
		all[i] = &e.records[i]
	}
	slices.SortStableFunc(all, func(a, b *txn.Record) int {
		switch {
		case a.Position.Bucket != b.Position.Bucket:
			return int(a.Position.Bucket) - int(b.Position.Bucket)
		case a.Position.Before(b.Position):
			return -1
		case b.Position.Before(a.Position):
			return 1
		default:
			return 0
		}
	})
	return all
}

// postingFaults: every record balances.
func (e *e2eEvidence) postingFaults() []string {
	var faults []string
	for i := range e.records {
		if err := e.records[i].CheckPostings(); err != nil {
			faults = append(faults, err.Error())
		}
	}
	return faults
}

// e2ePurse is the account that stands for what cards hold.
const e2ePurse txn.Account = "purse"

// e2eHistory is one card as its records tell it.
type e2eHistory struct {
	balance  txn.Minor // after the last record
	postings txn.Minor // of the purse account
	version  uint64
	records  int
}

// balanceFaults: for each card the store's balance is the plan's, the last of an unbroken
// chain of balances in the ledger, and the sum of its postings; and no two records were
// decided on the same version of the card.
func (e *e2eEvidence) balanceFaults() []string {
	var faults []string
	cards := map[string]*e2eHistory{}
	for _, r := range e.ordered() {
		if r.Kind.IsMarker() {
			continue
		}
		h := cards[r.Card.String()]
		if h == nil {
			h = &e2eHistory{}
			cards[r.Card.String()] = h
		}
		faults = append(faults, h.take(r)...)
	}
	for i, c := range e.cards {
		h := cards[c.Token]
		if h == nil {
			faults = append(faults, fmt.Sprintf("card %d has no record", i))
			continue
		}
		if want := e.plan.Cards[i].Balance; c.Balance != want || h.balance != want || h.postings != want {
			faults = append(faults, fmt.Sprintf("card %d: store %d, ledger's last balance %d, postings %d, "+
				"plan %d", i, c.Balance, h.balance, h.postings, want))
		}
	}
	if len(cards) != len(e.cards) {
		faults = append(faults, fmt.Sprintf("the ledger knows %d cards, the plan %d", len(cards), len(e.cards)))
	}
	return faults
}

func (h *e2eHistory) take(r *txn.Record) []string {
	var faults []string
	for _, p := range r.Postings {
		if p.Account == e2ePurse {
			h.postings += p.Amount
		}
	}
	if r.Kind == txn.Freeze || r.Kind == txn.Release {
		return nil // they change the blacklist, not the card
	}
	if want := h.balance - r.Charged; r.BalanceAfter != want {
		faults = append(faults, fmt.Sprintf("%s at %s: balance %d after a charge of %d from %d",
			r.Request, r.Position, r.BalanceAfter, r.Charged, h.balance))
	}
	if r.CardVersion <= h.version {
		faults = append(faults, fmt.Sprintf("%s at %s: card version %d after %d", r.Request,
			r.Position, r.CardVersion, h.version))
	}
	h.balance, h.version = r.BalanceAfter, r.CardVersion
	h.records++
	return faults
}

// e2eUses returns the application that a kind needs; 0 where none is asked.
func e2eUses(k txn.Kind) txn.App {
	switch {
	case k.IsTap(): // a ride is paid from the purse
		return txn.AppTransit | txn.AppPurse
	case k == txn.Purchase || k == txn.Load || k == txn.Refund:
		return txn.AppPurse
	default:
		return 0
	}
}

// freezeFaults: between a freeze and a release, in the order of the commits, nothing of the
// card was approved within the freeze's scope; and at the end the store lists exactly the
// cards that the plan leaves frozen.
func (e *e2eEvidence) freezeFaults() []string {
	var faults []string
	marks := map[string]txn.Mark{}
	for _, r := range e.ordered() {
		card := r.Card.String()
		switch {
		case r.Outcome != txn.Approved:
		case r.Kind == txn.Freeze || r.Kind == txn.Release:
			marks[card] = r.Listing.Mark
		case marks[card].Frozen(e2eUses(r.Kind)):
			faults = append(faults, fmt.Sprintf("%s %s at %s was approved on a frozen card (%s)", r.Request,
				r.Kind, r.Position, marks[card].Reason))
		}
	}
	for i, c := range e.cards {
		want, got := e2eFrozen(&e.plan.Cards[i]), txn.NotFrozen.String()
		if c.Frozen != nil {
			got = c.Frozen.Reason
		}
		if got != want.String() || marks[c.Token].Reason != want {
			faults = append(faults, fmt.Sprintf("card %d: store %s, ledger %s, plan %s", i, got,
				marks[c.Token].Reason, want))
		}
	}
	return faults
}

// e2eFrozen returns how a card's script leaves it.
func e2eFrozen(c *sim.Card) txn.FreezeReason {
	last := txn.NotFrozen
	for i := range c.Steps {
		switch c.Steps[i].Action {
		case sim.Freeze:
			last = c.Steps[i].Reason
		case sim.Release:
			last = txn.NotFrozen
		default:
		}
	}
	return last
}

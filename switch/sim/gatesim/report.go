package gatesim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Report is what a gate did, in all its lives. Served = Settled + Rejected + Held + Waiting +
// Undebited, in number and in money. Settled is what the switch must have booked, each record once.
type Report struct {
	Gate  string `json:"gate,omitempty"`
	Boots uint32 `json:"boots"`
	Taps  int    `json:"taps"` // of the plan that were shown

	Served    int            `json:"served"`
	ServedFen txn.Minor      `json:"served_fen"`
	Passed    map[string]int `json:"passed"` // taps without a debit, by reason
	Torn      int            `json:"torn"`   // found by asking the card later
	Voided    int            `json:"voided"` // begun, and the card was not debited
	Greys     int            `json:"greys"`  // of the served: the card was away before it answered

	Settled     int            `json:"settled"`
	SettledFen  txn.Minor      `json:"settled_fen"`
	Known       int            `json:"known"` // of the settled: the switch had it already
	Rejected    int            `json:"rejected"`
	RejectedFen txn.Minor      `json:"rejected_fen"`
	Held        int            `json:"held"`
	HeldFen     txn.Minor      `json:"held_fen"`
	Reasons     map[string]int `json:"reasons"` // of what was rejected or held
	Waiting     int            `json:"waiting"`
	WaitingFen  txn.Minor      `json:"waiting_fen"`
	// Undebited are grey records of which the switch learned that the card had not paid. Grey
	// records of which it has learned nothing are Held.
	Undebited    int       `json:"not_debited"`
	UndebitedFen txn.Minor `json:"not_debited_fen"`

	ListEpoch  uint64 `json:"list_epoch,omitempty"`
	Parameters string `json:"parameters,omitempty"` // version
	Tariff     string `json:"tariff,omitempty"`
	Did        Did    `json:"this_life"`
}

// Report returns what the gate did.
func (g *Gate) Report() *Report {
	b := g.book
	r := &Report{Gate: g.id.ID, Boots: b.Boot, Taps: b.Next, Served: b.Served,
		ServedFen: b.ServedFen, Passed: maps.Clone(b.Passed), Torn: b.Torn, Voided: b.Voided,
		Settled:    b.Fates[fateAccepted] + b.Fates[fateKnown],
		SettledFen: b.FatesFen[fateAccepted] + b.FatesFen[fateKnown], Known: b.Fates[fateKnown],
		Rejected: b.Fates[fateRejected], RejectedFen: b.FatesFen[fateRejected],
		Held: b.Fates[fateHeld], HeldFen: b.FatesFen[fateHeld], Reasons: maps.Clone(b.Reasons),
		Waiting: len(b.Waiting), Parameters: g.rules.version, Did: g.did}
	for i := range b.Waiting {
		r.WaitingFen += b.Waiting[i].Amount
	}
	r.Greys, r.Undebited, r.UndebitedFen = b.Greys, b.Fates[fateUndebited], b.FatesFen[fateUndebited]
	for i := range b.Doubts {
		r.Held, r.HeldFen = r.Held+1, r.HeldFen+b.Doubts[i].Amount
		r.Reasons[reasonTorn]++
	}
	if g.list != nil {
		r.ListEpoch = uint64(g.list.Epoch())
	}
	if g.rules.tariff != nil {
		r.Tariff = g.rules.tariff.Version()
	}
	return r
}

// Total adds up the reports of several gates.
func Total(all []*Report) *Report {
	t := &Report{Passed: map[string]int{}, Reasons: map[string]int{}}
	for _, r := range all {
		t.Boots += r.Boots
		t.Taps += r.Taps
		t.Served += r.Served
		t.ServedFen += r.ServedFen
		t.Torn += r.Torn
		t.Voided += r.Voided
		t.Greys += r.Greys
		t.Undebited += r.Undebited
		t.UndebitedFen += r.UndebitedFen
		t.Settled += r.Settled
		t.SettledFen += r.SettledFen
		t.Known += r.Known
		t.Rejected += r.Rejected
		t.RejectedFen += r.RejectedFen
		t.Held += r.Held
		t.HeldFen += r.HeldFen
		t.Waiting += r.Waiting
		t.WaitingFen += r.WaitingFen
		for why, n := range r.Passed {
			t.Passed[why] += n
		}
		for why, n := range r.Reasons {
			t.Reasons[why] += n
		}
		t.Did.add(&r.Did)
	}
	return t
}

func (d *Did) add(o *Did) {
	d.Polls += o.Polls
	d.FullLists += o.FullLists
	d.Deltas += o.Deltas
	d.Batches += o.Batches
	d.Repeats += o.Repeats
	d.Faults += o.Faults
	d.Asked += o.Asked
	d.ClockSets += o.ClockSets
}

// Balanced reports whether the report adds up.
func (r *Report) Balanced() bool {
	return r.Served == r.Settled+r.Rejected+r.Held+r.Waiting+r.Undebited &&
		r.ServedFen == r.SettledFen+r.RejectedFen+r.HeldFen+r.WaitingFen+r.UndebitedFen
}

// Run plays several gates of a world at once and returns their reports in the order of gates: also
// of those that failed, as far as they came. Each gate has a goroutine and the gates of the city
// one for all; they have ended when Run returns. The city's run all or none.
func Run(ctx context.Context, gates []int, o Options) ([]*Report, error) {
	own, city := split(o.World, gates)
	if len(city) != 0 && len(city) != o.World.Metro {
		return nil, fmt.Errorf("%w: the gates %d to %d are the city's and run together", ErrSetup,
			o.World.Gates-o.World.Metro+1, o.World.Gates)
	}
	reports, errs := make([]*Report, len(own)), make([]error, len(own)+1)
	var ofCity []*Report
	var wg sync.WaitGroup
	if len(city) > 0 {
		wg.Go(func() { ofCity, errs[len(own)] = runCity(ctx, city, o) })
	}
	for i, gate := range own {
		of := o
		of.Gate = gate
		wg.Go(func() {
			g, err := OpenGate(of)
			if err == nil {
				err = g.Run(ctx)
				reports[i] = g.Report()
			}
			errs[i] = errors.Join(err, g.Close())
		})
	}
	wg.Wait()
	reports = slices.DeleteFunc(append(reports, ofCity...), func(r *Report) bool { return r == nil })
	return reports, errors.Join(errs...)
}

// split tells gates with cards of their own from the city's.
func split(w *World, gates []int) (own, city []int) {
	for _, gate := range gates {
		if w.inCity(gate) {
			city = append(city, gate)
		} else {
			own = append(own, gate)
		}
	}
	return own, city
}

package day

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/ledger/person"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The kinds of events of adjustments.
const (
	eventProposed = "adjustment_proposed"
	eventApproved = "adjustment_approved"
	eventRejected = "adjustment_rejected"
)

var (
	// ErrSamePerson reports a checker who is the maker.
	ErrSamePerson = errors.New("maker and checker are the same person")
	// ErrAdjustment reports an adjustment that lacks something, or is for a day that nothing
	// settles.
	ErrAdjustment = errors.New("adjustment refused")
	// ErrUnknown reports an adjustment that is not there or was decided before.
	ErrUnknown = errors.New("no such adjustment waits")
)

// Adjustment is an entry that one person proposes and another approves. Nothing is corrected but
// by one: a record is never edited.
type Adjustment struct {
	Seq      uint64           `json:"seq"`
	Date     txn.BusinessDate `json:"-"`
	Day      string           `json:"business_date"`
	Maker    string           `json:"maker"`
	Checker  string           `json:"checker,omitempty"`
	State    string           `json:"state"` // proposed, approved, rejected
	Text     string           `json:"text"`
	Currency txn.Currency     `json:"currency"`
	Postings []txn.Posting    `json:"postings"`
	// Original is the record that it corrects; empty for none.
	Original string `json:"original,omitempty"`
}

// decision is the body of an approval or rejection.
type decision struct {
	Of uint64 `json:"of"`
}

// Adjustments returns all adjustments with their state, in order.
func Adjustments(events []journal.Event) []Adjustment {
	var all []Adjustment
	at := map[uint64]int{}
	for _, e := range events {
		switch e.Kind {
		case eventProposed:
			var a Adjustment
			_ = json.Unmarshal(e.Body, &a) // the journal's checksums vouch for it
			a.Seq, a.Date, a.Day, a.Maker, a.State = e.Seq, e.Date, e.Date.String(), e.Actor, "proposed"
			at[e.Seq] = len(all)
			all = append(all, a)
		case eventApproved, eventRejected:
			var of decision
			_ = json.Unmarshal(e.Body, &of)
			a := &all[at[of.Of]]
			a.Checker, a.State = e.Actor, "approved"
			if e.Kind == eventRejected {
				a.State = "rejected"
			}
		}
	}
	return all
}

// adjustmentsOf returns the entries of a day that are approved, and those of bank statements.
func adjustmentsOf(events []journal.Event, date txn.BusinessDate) []clearing.Entry {
	var entries []clearing.Entry
	for _, a := range Adjustments(events) {
		if a.Date == date && a.State == "approved" {
			entries = append(entries, clearing.Entry{ID: fmt.Sprintf("adjustment %d", a.Seq), Text: a.Text,
				Currency: a.Currency, Postings: a.Postings})
		}
	}
	for _, e := range events {
		if e.Kind == eventStatement && e.Date == date {
			entries = append(entries, statementOf(e).Entries...)
		}
	}
	return entries
}

// Propose keeps an adjustment for another person to approve. It refuses one that does not sum to
// zero, names an account outside the chart, or is for a day that is certified.
func (d *Desk) Propose(ctx context.Context, a Adjustment) (Adjustment, error) {
	var err error
	if a.Maker, err = person.Name(a.Maker); err != nil {
		return a, fmt.Errorf("adjustment: maker: %w", err)
	}
	var sum txn.Minor
	for _, p := range a.Postings {
		if _, err := d.Chart.ClassOf(p.Account); err != nil {
			return a, err
		}
		if sum, err = sum.Add(p.Amount); err != nil {
			return a, fmt.Errorf("adjustment: %w", err)
		}
	}
	switch {
	case sum != 0 || len(a.Postings) < 2:
		return a, fmt.Errorf("%w: %w: %d postings that sum to %d", ErrAdjustment, chart.ErrUnbalanced,
			len(a.Postings), sum)
	case a.Text == "" || !a.Date.Valid() || a.Currency == 0:
		return a, fmt.Errorf("%w: it needs a text that says why, a business date and a currency", ErrAdjustment)
	case stateOf(d.journal.Events(), a.Date) == Certified:
		return a, fmt.Errorf("%w: %s is certified; take a later day", ErrState, a.Date)
	}
	if err := d.settles(ctx, a.Date); err != nil {
		return a, err
	}
	body, err := json.Marshal(a)
	if err != nil {
		return a, err
	}
	e, err := d.journal.Append(journal.Event{At: txn.MillisOf(d.Now()), Kind: eventProposed,
		Actor: a.Maker, Date: a.Date, Body: body})
	a.Seq, a.State, a.Day = e.Seq, "proposed", a.Date.String()
	return a, err
}

// settles refuses a day that no run will ever settle, or none that anybody could mean: one that
// has not begun, and one that is over without a record.
func (d *Desk) settles(ctx context.Context, date txn.BusinessDate) error {
	today := d.DateOf(txn.MillisOf(d.Now()))
	if date > today {
		return fmt.Errorf("%w: %s has not begun, today is %s", ErrAdjustment, date, today)
	}
	if date == today {
		return nil
	}
	t, err := d.Reader.Totals(ctx, date)
	if err != nil {
		return fmt.Errorf("adjustment for %s: %w", date, err)
	}
	if t.Rows == 0 {
		return fmt.Errorf("%w: %s has no records and is never settled; take a day that was worked", ErrAdjustment,
			date)
	}
	return nil
}

// Decide approves or rejects an adjustment that waits. The checker is not the maker, and the day
// must still be uncertified.
func (d *Desk) Decide(seq uint64, checker string, approve bool) (Adjustment, error) {
	checker, err := person.Name(checker)
	if err != nil {
		return Adjustment{}, fmt.Errorf("adjustment: checker: %w", err)
	}
	for _, a := range Adjustments(d.journal.Events()) {
		if a.Seq != seq || a.State != "proposed" {
			continue
		}
		switch {
		case person.Same(checker, a.Maker):
			return a, fmt.Errorf("%w: %q", ErrSamePerson, checker)
		case approve && stateOf(d.journal.Events(), a.Date) == Certified:
			return a, fmt.Errorf("%w: %s was certified meanwhile; reject it and take a later day", ErrState,
				a.Date)
		}
		kind := eventRejected
		a.State = "rejected"
		if approve {
			kind, a.State = eventApproved, "approved"
		}
		a.Checker = checker
		return a, d.note(kind, checker, a.Date, decision{seq})
	}
	return Adjustment{}, fmt.Errorf("%w: %d", ErrUnknown, seq)
}

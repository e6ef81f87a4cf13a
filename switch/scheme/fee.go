package scheme

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The refusals of fees.
var (
	// ErrNoFee reports an event that the tariff does not price: nothing can be booked for it.
	ErrNoFee = errors.New("the tariff has no such fee")
	// ErrNoWaiver reports a reason for which the fee cannot be waived.
	ErrNoWaiver = errors.New("the tariff does not waive the fee for this reason")
)

// Fee is what an event costs on a day.
type Fee struct {
	Event account.Event
	// Amount is in fen, 0 for what is free.
	Amount txn.Minor
	// Tariff is the version that sets it, kept with the fee.
	Tariff string
	// Income is the ledger account of the income.
	Income string
	// Waivers are the reasons for which it may be waived.
	Waivers []Waiver
	Source
}

// FeeOf returns the fee of an event by the tariff that holds on a day. ErrNoFee where no
// tariff does, or the tariff does not name the event.
func (p *Policy) FeeOf(event account.Event, at txn.BusinessDate) (Fee, error) {
	t, ok := p.tariff(at)
	if !ok {
		return Fee{}, fmt.Errorf("%w: %s on %v, before the first tariff of %s", ErrNoFee, event,
			at, p.City)
	}
	for _, f := range t.Fees {
		if f.Event == event {
			return Fee{Event: event, Amount: f.Amount, Tariff: t.Version, Income: t.Income,
				Waivers: slices.Clone(f.Waivers.V), Source: f.Source}, nil
		}
	}
	return Fee{}, fmt.Errorf("%w: %s in version %s of %s", ErrNoFee, event, t.Version, p.City)
}

// Waive returns the fee at nothing, or ErrNoWaiver.
func (f Fee) Waive(reason Waiver) (Fee, error) {
	if !slices.Contains(f.Waivers, reason) {
		return f, fmt.Errorf("%w: %s for %s", ErrNoWaiver, reason, f.Event)
	}
	f.Amount = 0
	return f, nil
}

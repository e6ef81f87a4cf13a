package engine

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/passback"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Policy is what a scheme decides and the engine obeys. It is read only; a changed
// policy is a new value.
type Policy struct {
	Currency txn.Currency
	// ZoneOffset is how far the scheme's local time is ahead of UTC; cards expire at
	// local midnight.
	ZoneOffset txn.Millis
	// Tariff prices the rides whose fare the switch computes, each by the version in force when
	// it was served.
	Tariff *fare.Tariff
	// AcceptTerminalFare lets a terminal send the fare that it computed.
	AcceptTerminalFare bool

	// FutureMax is how far the service time may lie ahead of the switch's clock.
	FutureMax txn.Millis
	// AgeMax is how old an on-line request may be; OfflineAgeMax an off-line record.
	AgeMax        txn.Millis
	OfflineAgeMax txn.Millis

	// PurchaseMax, LoadMax and BalanceMax bound one purchase, one load, and the purse.
	PurchaseMax txn.Minor
	LoadMax     txn.Minor
	BalanceMax  txn.Minor

	// Lease is how long a purse may be served off line after the switch saw it; none by default.
	Lease lease.Terms

	// PostPaid is riding on credit; none by default.
	PostPaid PostPaid

	// PassBackWindow refuses a second entry within it; after it the open journey is
	// given up as incomplete.
	PassBackWindow txn.Millis
	// PassBack are the narrower windows of the rule and who is exempt; its Network is
	// PassBackWindow.
	PassBack passback.Rules
	// JourneyMax is the longest ride; JourneyLapse is when an open journey is closed by
	// the switch itself.
	JourneyMax   txn.Millis
	JourneyLapse txn.Millis

	// Orders are the degraded modes that are ordered or were, oldest first; nobody changes them.
	Orders []disruption.Order
}

const (
	minute = 60 * 1000
	hour   = 60 * minute
	day    = 24 * hour
)

// DefaultPolicy returns the limits that the switch starts with, in fen, with tariff.
func DefaultPolicy(tariff *fare.Tariff) Policy {
	return Policy{
		Currency:           txn.CNY,
		ZoneOffset:         8 * hour,
		Tariff:             tariff,
		AcceptTerminalFare: true,
		FutureMax:          5 * minute,
		AgeMax:             1 * day,
		OfflineAgeMax:      30 * day,
		PurchaseMax:        100_000,
		LoadMax:            200_000,
		BalanceMax:         1_000_000,
		PassBackWindow:     10 * minute,
		JourneyMax:         4 * hour,
		JourneyLapse:       5 * hour,
	}
}

// Check reports the first value that makes no sense, by its name.
func (p *Policy) Check() error {
	if p.Tariff == nil {
		return fmt.Errorf("policy: tariff: missing")
	}
	if p.Currency == 0 {
		return fmt.Errorf("policy: currency: missing")
	}
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"future_max", int64(p.FutureMax)}, {"age_max", int64(p.AgeMax)},
		{"offline_age_max", int64(p.OfflineAgeMax)}, {"purchase_max", int64(p.PurchaseMax)},
		{"load_max", int64(p.LoadMax)}, {"balance_max", int64(p.BalanceMax)},
		{"journey_max", int64(p.JourneyMax)}, {"journey_lapse", int64(p.JourneyLapse)},
	} {
		if v.value <= 0 || !txn.Minor(v.value).Valid() {
			return fmt.Errorf("policy: %s: %d must be above zero and below 2^53", v.name, v.value)
		}
	}
	if p.JourneyLapse < p.JourneyMax {
		return fmt.Errorf("policy: journey_lapse: %d is below journey_max %d",
			p.JourneyLapse, p.JourneyMax)
	}
	if err := p.Lease.Check(); err != nil {
		return err
	}
	return p.PostPaid.check()
}

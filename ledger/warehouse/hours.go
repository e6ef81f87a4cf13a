package warehouse

import (
	"context"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// HoursOfDay is how many hours a business date has in Hours.
const HoursOfDay = 24

// hourMS is an hour in milliseconds.
const hourMS = 60 * 60 * 1000

// Hourly is what both warehouses offer besides Reader: how a business date spread over its
// hours. Safe for concurrent use.
type Hourly interface {
	// Hours counts the volume of date (see Volume) by the hour of service after begin, the
	// instant at which the date began. It reads three columns and no record.
	Hours(ctx context.Context, date txn.BusinessDate, begin txn.Millis) (Hours, error)
}

// Volume reports whether records of a kind are what a city means by its volume: what moves money
// or opens a ride. Markers, cards opened or amended, freezes, steps of the desk, free uses of a
// card and journeys that nobody ended are none.
func Volume(k txn.Kind) bool {
	switch k {
	case txn.Balance, txn.Enrol, txn.Freeze, txn.Release, txn.DayMarker, txn.EpochMarker,
		txn.JourneyLapse, txn.Amend, txn.Liable, txn.Verify, txn.Desk:
		return false
	}
	return k.Valid()
}

// HourCount counts the records of an hour.
type HourCount struct {
	Approved int64 `json:"approved"`
	Declined int64 `json:"declined"`
}

// Hours is a business date by hours. Outside are records that were served before or after its
// 24 hours and are booked on it: off-line records that came late, clocks that are wrong.
type Hours struct {
	Hour    [HoursOfDay]HourCount `json:"hour"`
	Outside HourCount             `json:"outside"`
}

// At returns the count to which a record served at belongs.
func (h *Hours) At(served, begin txn.Millis) *HourCount {
	since := served - begin
	if since < 0 || since >= HoursOfDay*hourMS {
		return &h.Outside
	}
	return &h.Hour[since/hourMS]
}

// Add counts one record, or many with equal words.
func (c *HourCount) Add(outcome string, n int64) {
	switch outcome {
	case txn.Approved.String():
		c.Approved += n
	case txn.Declined.String():
		c.Declined += n
	}
}

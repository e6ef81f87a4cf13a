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
	// Hours counts the records of date by the hour of service after begin, the instant at
	// which the date began; markers are left out. It reads three columns and no record.
	Hours(ctx context.Context, date txn.BusinessDate, begin txn.Millis) (Hours, error)
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

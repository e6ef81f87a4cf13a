package txn

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Minor is an amount in minor units (fen) of the currency that goes with it.
// Redis scripts compute in doubles, so amounts stay below MinorMax everywhere.
type Minor int64

// MinorMax bounds every amount and balance: 2^53-1, the greatest integer that a
// Redis script or a JSON number holds exactly (DESIGN.md rule 3).
const MinorMax Minor = 1<<53 - 1

// ErrOverflow reports a sum that leaves the range of amounts.
var ErrOverflow = errors.New("amount out of range")

// Add returns a+b, or ErrOverflow when the sum leaves [-MinorMax, MinorMax].
func (a Minor) Add(b Minor) (Minor, error) {
	if !a.Valid() || !b.Valid() || !(a + b).Valid() {
		return 0, fmt.Errorf("%w: %d + %d", ErrOverflow, a, b)
	}
	return a + b, nil
}

// Valid reports whether a lies in [-MinorMax, MinorMax].
func (a Minor) Valid() bool { return a >= -MinorMax && a <= MinorMax }

// Currency is an ISO 4217 numeric code.
type Currency uint16

// CNY is the renminbi yuan, ISO 4217 code 156.
const CNY Currency = 156

// Millis is an instant in milliseconds since the Unix epoch, UTC.
type Millis int64

// MillisOf returns t as Millis.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time returns m as a time in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// BusinessDate is a settlement day of the scheme as YYYYMMDD, 0 when not yet
// decided. Ordering by number is ordering by date.
type BusinessDate uint32

// DateOf returns the business date of instant at under a calendar whose day
// starts cutOff after local midnight in loc.
func DateOf(at time.Time, loc *time.Location, cutOff time.Duration) BusinessDate {
	y, m, d := at.In(loc).Add(-cutOff).Date()
	return BusinessDate(y*10000 + int(m)*100 + d)
}

// ParseBusinessDate reads "2006-01-02" or "20060102".
func ParseBusinessDate(s string) (BusinessDate, error) {
	layout := time.DateOnly
	if len(s) == len("20060102") {
		layout = "20060102"
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return 0, fmt.Errorf("business date %q: want YYYY-MM-DD", s)
	}
	return DateOf(t, time.UTC, 0), nil
}

// String returns the date as "2006-01-02", or "" when not decided.
func (d BusinessDate) String() string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d/10000, d/100%100, d%100)
}

// Time returns midnight UTC of the date.
func (d BusinessDate) Time() time.Time {
	return time.Date(int(d/10000), time.Month(d/100%100), int(d%100), 0, 0, 0, 0, time.UTC)
}

// Next returns the following calendar day.
func (d BusinessDate) Next() BusinessDate {
	return DateOf(d.Time().AddDate(0, 0, 1), time.UTC, 0)
}

// Valid reports whether d is a day of the calendar.
func (d BusinessDate) Valid() bool {
	return d > 0 && d <= math.MaxInt32 && DateOf(d.Time(), time.UTC, 0) == d
}

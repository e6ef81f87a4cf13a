package price

import "github.com/tapswitch/tapswitch/switch/txn"

const (
	msPerMinute = 60_000
	msPerDay    = 24 * 60 * msPerMinute
)

// Days are counted from 1970-01-01, a Thursday.

// weekOf returns the number of the week, which begins on Monday.
func weekOf(day int32) int32 { return floorDiv(day+3, 7) }

// monthOf returns the number of the month: year times twelve, and the month from 0.
func monthOf(day int32) int32 {
	y, m, _ := civil(day)
	return y*12 + m - 1
}

// dateOf returns the day as a date.
func dateOf(day int32) txn.BusinessDate {
	y, m, d := civil(day)
	return txn.BusinessDate(y*10000 + m*100 + d)
}

// dayOf returns the number of a date's day.
func dayOf(d txn.BusinessDate) int32 { return int32(d.Time().Unix() / (24 * 60 * 60)) }

func floorDiv(a, b int32) int32 {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}

// civil is the Gregorian calendar in eras of 400 years that begin on 1 March.
func civil(day int32) (year, month, dayOfMonth int32) {
	z := day + 719_468
	era := floorDiv(z, 146_097)
	doe := z - era*146_097
	yoe := (doe - doe/1460 + doe/36_524 - doe/146_096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	year, month, dayOfMonth = yoe+era*400, mp+3, doy-(153*mp+2)/5+1
	if mp >= 10 {
		month -= 12
		year++
	}
	return year, month, dayOfMonth
}

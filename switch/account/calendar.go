package account

import "github.com/tapswitch/tapswitch/switch/txn"

// calendarSpan is the greatest number of days that a limit of working days is looked for
// in: four times DaysMax, so that only a calendar without working days is cut off.
const calendarSpan = 4 * DaysMax

// due returns the first instant after a limit that begins at from. The day of from does not
// count.
func (r *Rules) due(from txn.Millis, limit Days) txn.Millis {
	if limit.N == 0 {
		return 0
	}
	day := r.Calendar.Date(from)
	if !limit.Working {
		return r.Calendar.Start(addDays(day, limit.N+1))
	}
	for left, span := limit.N, calendarSpan; left > 0 && span > 0; span-- {
		day = day.Next()
		if r.Calendar.Working(day) {
			left--
		}
	}
	return r.Calendar.Start(day.Next())
}

// addDays returns the day n calendar days after d, before it when n is negative.
func addDays(d txn.BusinessDate, n int) txn.BusinessDate {
	t := d.Time().AddDate(0, 0, n)
	return txn.DateOf(t, t.Location(), 0)
}

// addYears returns the same day n years later; the 28th for a 29 February that is not.
func addYears(d txn.BusinessDate, n int) txn.BusinessDate {
	later := d + txn.BusinessDate(n)*10000
	if !later.Valid() {
		later--
	}
	return later
}

// end returns the first instant after the last day of validity, 0 when there is none.
func (r *Rules) end(last txn.BusinessDate) txn.Millis {
	if last == 0 {
		return 0
	}
	return r.Calendar.Start(last.Next())
}

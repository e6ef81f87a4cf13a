package price

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// Days, weeks and months are those of the calendar, before 1970 too.
func TestCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.Int32Range(-200_000, 200_000).Draw(t, "day")
		at := time.Unix(int64(day)*86_400, 0).UTC()
		want := txn.DateOf(at, time.UTC, 0)
		if dateOf(day) != want || want.Valid() && dayOf(want) != day {
			t.Fatalf("day %d is %v, want %v", day, dateOf(day), want)
		}
		if got, want := monthOf(day), int32(at.Year()*12+int(at.Month())-1); got != want {
			t.Fatalf("month %d, want %d", got, want)
		}
		monday := day - (int32(at.Weekday())+6)%7
		if weekOf(day) != weekOf(monday) || weekOf(monday-1) == weekOf(day) {
			t.Fatalf("week of %v", want)
		}
		tariff := Tariff{offset: txn.Millis(rapid.Int64Range(-14, 14).Draw(t, "h")) * 60 * msPerMinute}
		local := at.Add(time.Duration(tariff.offset) * time.Millisecond)
		if got := tariff.ServiceDay(txn.Millis(at.UnixMilli())); got != txn.DateOf(local, time.UTC, 0) {
			t.Fatalf("service day %v", got)
		}
	})
}

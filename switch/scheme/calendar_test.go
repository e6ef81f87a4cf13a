package scheme

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/switch/txn"
)

func calendar(t *testing.T) *Calendar {
	t.Helper()
	c, err := BuiltInCalendar()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Thirteen days of a year are holidays by law; the moved weekends cancel out. So a year has as
// many working days as days from Monday to Friday, less thirteen.
func TestYearsHaveThirteenHolidays(t *testing.T) {
	c := calendar(t)
	first, last := c.Years()
	if first != 2025 || last != 2027 {
		t.Errorf("years %d to %d", first, last)
	}
	for year := first; year <= last; year++ {
		working, weekdays := 0, 0
		for d := txn.BusinessDate(year*10000 + 101); yearOf(d) == year; d = d.Next() {
			works, err := c.IsWorkingDay(d)
			if err != nil {
				t.Fatal(err)
			}
			if works {
				working++
			}
			if !weekend(d) {
				weekdays++
			}
		}
		if working != weekdays-13 {
			t.Errorf("%d has %d working days of %d from Monday to Friday", year, working, weekdays)
		}
		if c.Provisional(txn.BusinessDate(year*10000+601)) != (year == 2027) {
			t.Errorf("%d: provisional %v", year, year != 2027)
		}
	}
	off, work := c.Exceptions(2026)
	if len(work) != 6 || work[0] != 20260104 || len(off) != 19 {
		t.Errorf("exceptions of 2026: rest on %v, work on %v", off, work)
	}
}

func TestWorkingDays(t *testing.T) {
	c := calendar(t)
	for _, x := range []struct {
		from txn.BusinessDate
		n    int
		want txn.BusinessDate
	}{
		{20261120, 0, 20261120}, // a Friday
		{20261120, 1, 20261123},
		{20261120, 15, 20261211},
		{20260213, 1, 20260214}, // a Saturday on which work is made up
		{20260214, 1, 20260224}, // across the Spring Festival
		{20260930, 1, 20261008},
		{20260930, 3, 20261010}, // made up
		{20250926, 1, 20250928}, // a Sunday
		{20251231, 1, 20260104}, // into another year
	} {
		got, err := c.AddWorkingDays(x.from, x.n)
		if err != nil || got != x.want {
			t.Errorf("%v + %d working days: %v, %v, want %v", x.from, x.n, got, err, x.want)
		}
	}
	if d, err := c.Add(20260930, Term{30, Days}); err != nil || d != 20261030 {
		t.Errorf("30 days: %v, %v", d, err)
	}
	if d, err := c.Add(20260930, Term{3, WorkingDays}); err != nil || d != 20261010 {
		t.Errorf("3 working days: %v, %v", d, err)
	}
	if d, err := AddDays(20280301, -1); err != nil || d != 20280229 {
		t.Errorf("a leap day: %v, %v", d, err)
	}
}

// What the calendar does not know is an error that says what to do.
func TestBeyondTheCalendar(t *testing.T) {
	c := calendar(t)
	for name, err := range map[string]error{
		"before": second(c.AddWorkingDays(20241231, 1)),
		"at":     second(c.AddWorkingDays(20271231, 1)),
		"after":  second(c.AddWorkingDays(20280101, 0)),
		"is":     second(c.IsWorkingDay(20280103)),
		"count":  second(c.WorkingDays(20270101, 20280101)),
		"begins": second(c.WorkingDays(20240101, 20250101)),
		"term":   second(c.Add(20271230, Term{30, WorkingDays})),
	} {
		if !errors.Is(err, ErrBeyondCalendar) || !strings.Contains(err.Error(), "add the year") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"no date":   second(c.AddWorkingDays(20260230, 1)),
		"negative":  second(c.AddWorkingDays(20260202, -1)),
		"too many":  second(c.AddWorkingDays(20260202, periodMax+1)),
		"days":      second(AddDays(20260230, 1)),
		"many days": second(AddDays(20260228, periodMax*10+1)),
		"backwards": second(c.WorkingDays(20260202, 20260201)),
		"no unit":   second(c.Add(20260202, Term{})),
	} {
		if err == nil || errors.Is(err, ErrBeyondCalendar) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Adding is counting the other way round, ends on a working day, grows with the number of days,
// and may be done in two parts.
func TestWorkingDaysProperties(t *testing.T) {
	c := calendar(t)
	rapid.Check(t, func(t *rapid.T) {
		from, err := AddDays(20250101, rapid.IntRange(0, 950).Draw(t, "from"))
		if err != nil {
			t.Fatal(err)
		}
		a, b := rapid.IntRange(0, 50).Draw(t, "a"), rapid.IntRange(0, 50).Draw(t, "b")
		mid, err := c.AddWorkingDays(from, a)
		if err != nil {
			t.Fatal(err)
		}
		to, err := c.AddWorkingDays(mid, b)
		if err != nil {
			t.Fatal(err)
		}
		if whole, err := c.AddWorkingDays(from, a+b); err != nil || whole != to {
			t.Fatalf("%v + %d + %d = %v, in one %v, %v", from, a, b, to, whole, err)
		}
		if n, err := c.WorkingDays(from, to); err != nil || n != a+b {
			t.Fatalf("%v to %v are %d working days, %v, want %d", from, to, n, err, a+b)
		}
		if works, err := c.IsWorkingDay(to); err != nil || a+b > 0 && !works {
			t.Fatalf("%v + %d ends on %v, %v", from, a+b, to, err)
		}
		plain, err := AddDays(from, a+b)
		if err != nil || to < plain {
			t.Fatalf("%v + %d working days end on %v, before the %d calendar days", from, a+b, to, a+b)
		}
	})
}

func TestCalendarRefusals(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "schemes", "calendar.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct{ old, new, key, what string }{
		"gap":       {"year: 2026", "year: 2028", "years[1].year", "follow each other"},
		"backwards": {"from: 2025-01-28, to: 2025-02-04", "from: 2025-01-28, to: 2025-01-27", "years[0].holidays[1]", "correct it"},
		"elsewhere": {"from: 2025-01-28", "from: 2024-01-28", "years[0].holidays[1]", "correct it"},
		"weekday":   {"2025-01-26,", "2025-01-27,", "years[0].working[0]", "no weekend day"},
		"both":      {"2025-01-26,", "2025-02-01,", "years[0].working[0]", "stands twice"},
		"unknown":   {"provisional: true", "provisional: true\n    draft: true", "years[2].draft", "not a known key"},
		"no basis":  {"    basis: \"Statutory", "    bases: \"Statutory", "years[2].basis", "is missing"},
		"no years":  {"years:", "years: []\nold:", "old", "not a known key"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(text), x.old) {
				t.Fatalf("the file does not hold %q", x.old)
			}
			_, err := ReadCalendar("x.yaml", []byte(strings.Replace(string(text), x.old, x.new, 1)))
			checkRefusal(t, err, x.key, x.what)
		})
	}
	_, err = ReadCalendar("x.yaml", []byte("years: []\n"))
	checkRefusal(t, err, "years", "is empty")
}

// A file adds years, and replaces those that both have; what lies between is not made up.
func TestExtend(t *testing.T) {
	c, err := calendar(t).Extend("own.yaml", []byte("years: [{year: 2018, provisional: false, basis: x, working: [], holidays: [{holiday: "+
		"{zh: 国庆节, en: National Day}, from: 2018-10-01, to: 2018-10-07}]}, "+
		"{year: 2019, provisional: true, basis: x, holidays: [], working: []}]"))
	if err != nil {
		t.Fatal(err)
	}
	for day, want := range map[txn.BusinessDate]txn.BusinessDate{20180831: 20180903, 20180930: 20181008,
		20261008: 20261009} {
		if got, err := c.AddWorkingDays(day, 1); err != nil || got != want {
			t.Errorf("%v: %v %v, want %v", day, got, err, want)
		}
	}
	if _, err := c.AddWorkingDays(20200102, 1); !errors.Is(err, ErrBeyondCalendar) {
		t.Errorf("a year between: %v", err)
	}
	c, err = calendar(t).Extend("own.yaml", []byte(
		"years: [{year: 2026, provisional: true, basis: x, holidays: [], working: []}]"))
	if err != nil {
		t.Fatal(err)
	}
	if works, err := c.IsWorkingDay(20261001); err != nil || !works {
		t.Errorf("a year that is replaced keeps its holidays: %v", err)
	}
	if _, err := calendar(t).Extend("own.yaml", []byte("years: []")); err == nil {
		t.Error("a file without a year is taken")
	}
}

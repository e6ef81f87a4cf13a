package scheme

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Calendar knows the working days of mainland China: weekends, statutory holidays and the
// weekend days on which work is made up. It knows the years of its file and no other.
type Calendar struct {
	// days holds a year's exceptions: true works though it is a weekend, false rests.
	days        map[txn.BusinessDate]bool
	first, last int
	provisional map[int]bool // of the years that it knows
}

// calendarDoc is the file.
type calendarDoc struct {
	Years []calendarYear `yaml:"years"`
}

// calendarYear is one year of the file.
type calendarYear struct {
	Year int `yaml:"year"`
	// Provisional says that the State Council had not published the year's arrangement.
	Provisional bool      `yaml:"provisional"`
	Basis       string    `yaml:"basis"`
	Holidays    []holiday `yaml:"holidays"`
	// Working are weekend days on which work is made up.
	Working []txn.BusinessDate `yaml:"working"`
}

// holiday is one holiday with its first and last day.
type holiday struct {
	Name Words            `yaml:"holiday"`
	From txn.BusinessDate `yaml:"from"`
	To   txn.BusinessDate `yaml:"to"`
}

// ErrBeyondCalendar reports a day of a year that the calendar does not know. The file has to
// be extended; nothing is guessed.
var ErrBeyondCalendar = errors.New("beyond the calendar of working days")

// periodMax is the longest period in days that is counted. It bounds a loop.
const periodMax = 3660

// BuiltInCalendar returns the calendar that the binary carries.
func BuiltInCalendar() (*Calendar, error) {
	text, err := fs.ReadFile(deploy.Schemes(), calendarFile)
	if err != nil {
		return nil, fmt.Errorf("calendar of working days: %w", err)
	}
	return ReadCalendar(calendarFile, text)
}

// ReadCalendar reads a calendar from the text of a file; errors are as Read's.
func ReadCalendar(file string, text []byte) (*Calendar, error) {
	var doc calendarDoc
	d := decode(file, text, &doc)
	c := &Calendar{days: map[txn.BusinessDate]bool{}, provisional: map[int]bool{}}
	if len(d.errors) == 0 {
		for i := range doc.Years {
			d.year(c, &doc.Years[i], fmt.Sprintf("years[%d]", i))
		}
		if len(doc.Years) == 0 {
			d.wrong("years", "is empty; add the years that periods reach")
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Extend returns the calendar with the years of a file of the same form, which stand instead of its
// own where both have a year. Years between are not made up: a day in them stays beyond it.
// Errors are as ReadCalendar's.
func (c *Calendar) Extend(file string, text []byte) (*Calendar, error) {
	more, err := ReadCalendar(file, text)
	if err != nil {
		return nil, err
	}
	both := &Calendar{days: more.days, provisional: more.provisional,
		first: min(c.first, more.first), last: max(c.last, more.last)}
	own := map[int]bool{}
	for year, provisional := range c.provisional {
		if _, replaced := more.provisional[year]; !replaced {
			own[year] = true
			both.provisional[year] = provisional
		}
	}
	for day, works := range c.days {
		if own[yearOf(day)] {
			both.days[day] = works
		}
	}
	return both, nil
}

// year takes one year into the calendar; years follow each other without a gap.
func (d *decoder) year(c *Calendar, y *calendarYear, key string) {
	if c.last != 0 && y.Year != c.last+1 {
		d.wrong(key+".year", "%d after %d; years follow each other", y.Year, c.last)
	}
	if c.first == 0 {
		c.first = y.Year
	}
	c.last = y.Year
	c.provisional[y.Year] = y.Provisional
	for i, h := range y.Holidays {
		at := fmt.Sprintf("%s.holidays[%d]", key, i)
		if h.To < h.From || yearOf(h.From) != y.Year || yearOf(h.To) != y.Year {
			d.wrong(at, "%v to %v is no time within %d; correct it", h.From, h.To, y.Year)
			continue
		}
		for day := h.From; day <= h.To; day = day.Next() {
			d.except(c, day, false, at)
		}
	}
	for i, day := range y.Working {
		at := fmt.Sprintf("%s.working[%d]", key, i)
		if yearOf(day) != y.Year || !weekend(day) {
			d.wrong(at, "%v is no weekend day of %d; correct it", day, y.Year)
		}
		d.except(c, day, true, at)
	}
}

func (d *decoder) except(c *Calendar, day txn.BusinessDate, works bool, key string) {
	if _, twice := c.days[day]; twice {
		d.wrong(key, "%v stands twice; keep one", day)
	}
	c.days[day] = works
}

func yearOf(d txn.BusinessDate) int { return int(d / 10000) }

func weekend(d txn.BusinessDate) bool {
	w := d.Time().Weekday()
	return w == time.Saturday || w == time.Sunday
}

// Years returns the first and the last year that the calendar knows.
func (c *Calendar) Years() (first, last int) { return c.first, c.last }

// Provisional reports whether a day lies in a year whose arrangement was not published when
// the file was written: a legal date in it may still move.
func (c *Calendar) Provisional(day txn.BusinessDate) bool { return c.provisional[yearOf(day)] }

// IsWorkingDay reports whether people work on a day. ErrBeyondCalendar for an unknown year.
func (c *Calendar) IsWorkingDay(day txn.BusinessDate) (bool, error) {
	if err := c.known(day); err != nil {
		return false, err
	}
	if works, special := c.days[day]; special {
		return works, nil
	}
	return !weekend(day), nil
}

func (c *Calendar) known(day txn.BusinessDate) error {
	if !day.Valid() {
		return fmt.Errorf("%d is no date", uint32(day))
	}
	if _, known := c.provisional[yearOf(day)]; !known {
		return fmt.Errorf("%v is %w, which has years of %d to %d: add the year in a file of the form of %s",
			day, ErrBeyondCalendar, c.first, c.last, "deploy/schemes/"+calendarFile)
	}
	return nil
}

// AddWorkingDays returns the n-th working day after a day. The day itself is not counted, so
// that a case received on a Friday with 1 working day is due on Monday; with n = 0 it is the
// day itself. ErrBeyondCalendar where the period leaves the calendar.
func (c *Calendar) AddWorkingDays(day txn.BusinessDate, n int) (txn.BusinessDate, error) {
	if n < 0 || n > periodMax {
		return 0, fmt.Errorf("%d working days: want 0 to %d", n, periodMax)
	}
	if err := c.known(day); err != nil {
		return 0, err
	}
	for n > 0 {
		day = day.Next()
		works, err := c.IsWorkingDay(day)
		if err != nil {
			return 0, err
		}
		if works {
			n--
		}
	}
	return day, nil
}

// AddDays returns the day that is n calendar days after a day; the day itself is not counted.
// A last day that falls on a holiday is not moved to the next working day: the earlier date is
// the one that cannot be wrong. Negative n goes back.
func AddDays(day txn.BusinessDate, n int) (txn.BusinessDate, error) {
	if !day.Valid() || n < -periodMax*10 || n > periodMax*10 {
		return 0, fmt.Errorf("%d days after %d: no such date", n, uint32(day))
	}
	return txn.DateOf(day.Time().AddDate(0, 0, n), time.UTC, 0), nil
}

// Add returns the last day of a legal period that begins on a day.
func (c *Calendar) Add(day txn.BusinessDate, t Term) (txn.BusinessDate, error) {
	switch t.Unit {
	case WorkingDays:
		return c.AddWorkingDays(day, t.N)
	case Days:
		return AddDays(day, t.N)
	default:
		return 0, fmt.Errorf("%v: unknown unit, want days or working days", t)
	}
}

// WorkingDays returns how many working days lie after from, up to and with to. It is the age
// of a case in the unit of its deadline.
func (c *Calendar) WorkingDays(from, to txn.BusinessDate) (int, error) {
	if to < from {
		return 0, fmt.Errorf("working days from %v to %v: the end comes first", from, to)
	}
	if err := errors.Join(c.known(from), c.known(to)); err != nil {
		return 0, err
	}
	n := 0
	for day := from; day < to; {
		day = day.Next()
		works, err := c.IsWorkingDay(day)
		if err != nil {
			return 0, err
		}
		if works {
			n++
		}
	}
	return n, nil
}

// Exceptions returns the days of a year that differ from the week, sorted: holidays that fall
// on weekdays, and weekend days on which people work.
func (c *Calendar) Exceptions(year int) (off, work []txn.BusinessDate) {
	for day, works := range c.days {
		switch {
		case yearOf(day) != year:
		case works:
			work = append(work, day)
		case !weekend(day):
			off = append(off, day)
		}
	}
	slices.Sort(off)
	slices.Sort(work)
	return off, work
}

package price

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Problem is one thing that is wrong in a tariff: the line, what it is about, and what to do.
type Problem struct {
	Line int
	Key  string
	What string
}

// Error returns "line 12: fares.metro: what".
func (p *Problem) Error() string {
	where := p.Key + ": " + p.What
	if p.Line == 0 {
		return where
	}
	return "line " + strconv.Itoa(p.Line) + ": " + where
}

// ErrTariff reports a tariff that contradicts itself or leaves a gap.
var ErrTariff = errors.New("the tariff cannot be used")

// problemsMax bounds what one compilation reports; a file with more is wrong as a whole.
const problemsMax = 50

// Compile checks f and makes the tariff. What it refuses it returns as an error that wraps
// ErrTariff and one Problem for each thing that is wrong, in order of lines.
func Compile(f File) (*Tariff, error) {
	c := compiler{names: map[Name]string{}, t: &Tariff{file: f, roundTo: 1,
		byLine: map[selector]int16{}, byOp: map[selector]int16{},
		operators: map[Name]operatorRule{}}}
	c.head()
	c.fares()
	c.persons()
	c.discounts()
	c.limits()
	c.journeys()
	if len(c.problems) == 0 {
		return c.t, nil
	}
	slices.SortStableFunc(c.problems, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
	all := []error{ErrTariff}
	for _, p := range c.problems[:min(len(c.problems), problemsMax)] {
		all = append(all, p)
	}
	return nil, errors.Join(all...)
}

// compiler gathers what is wrong while it compiles.
type compiler struct {
	t        *Tariff
	names    map[Name]string
	problems []*Problem
	modes    uint8 // that have a fare
}

func (c *compiler) fail(line int, key, format string, args ...any) {
	c.problems = append(c.problems, &Problem{Line: line, Key: key,
		What: fmt.Sprintf(format, args...)})
}

func (c *compiler) head() {
	f, t := &c.t.file, c.t
	if f.Tariff == "" || f.Version == "" {
		c.fail(f.Line, "tariff", "tariff and version must be named")
	}
	e := f.Effective
	switch {
	case !e.From.Valid():
		c.fail(e.Line, "effective.from", "%v is no date; write 2026-09-01", e.From)
	case e.Until != 0 && !e.Until.Valid():
		c.fail(e.Line, "effective.until", "%v is no date", e.Until)
	case e.Until != 0 && e.Until < e.From:
		c.fail(e.Line, "effective", "ends on %v, before it begins on %v", e.Until, e.From)
	default:
		t.from, t.until = max(dayOf(e.From), 0), dayEnd-1
		if e.Until != 0 {
			t.until = dayOf(e.Until)
		}
	}
	if f.UTCOffset < -14*time.Hour || f.UTCOffset > 14*time.Hour {
		c.fail(f.Line, "utc_offset", "%v is not within 14h", f.UTCOffset)
	}
	if f.DayStarts < 0 || f.DayStarts >= 12*time.Hour {
		c.fail(f.Line, "day_starts", "%v is not from 0h to 12h", f.DayStarts)
	}
	t.offset = txn.Millis((f.UTCOffset - f.DayStarts).Milliseconds())
	c.rounding()
}

func (c *compiler) rounding() {
	r, t := c.t.file.Rounding, c.t
	if r.To < 0 || r.To > 1000 {
		c.fail(r.Line, "rounding.to", "%d is not in 1 to 1000", r.To)
		return
	}
	if t.roundTo = max(r.To, 1); r.Mode == "nearest" {
		t.roundUp = int64(Whole) * int64(t.roundTo) / 2
	}
	if r.Mode == "up" {
		t.roundUp = int64(Whole)*int64(t.roundTo) - 1
	}
	if r.Mode != "" && r.Mode != "down" && r.Mode != "nearest" && r.Mode != "up" {
		c.fail(r.Line, "rounding.mode", "%q is not down, nearest or up", r.Mode)
	}
}

// name returns the Name of s and refuses one that stands for another text too.
func (c *compiler) name(line int, key, s string) Name {
	n := NameOf(s)
	if old, ok := c.names[n]; ok && old != s || s == "" {
		c.fail(line, key, "%q cannot be told from %q; write another name", s, old)
	}
	c.names[n] = s
	return n
}

func (c *compiler) mode(line int, key, s string) Mode {
	m, ok := ParseMode(s)
	if !ok {
		c.fail(line, key, "%q is no mode; choose one of %v", s, modeNames)
	}
	return m
}

// modeBits reads a list of modes; an empty one is all of them. A mode without a fare would
// be a rule for nothing.
func (c *compiler) modeBits(line int, key string, list []string) (bits uint8) {
	if len(list) == 0 {
		return 1<<modeEnd - 1
	}
	for _, s := range list {
		m := c.mode(line, key, s)
		if bits&(1<<m) != 0 {
			c.fail(line, key, "%s stands twice", s)
		}
		if c.modes&(1<<m) == 0 {
			c.fail(line, key, "no fare is for %s", s)
		}
		bits |= 1 << m
	}
	return bits
}

func (c *compiler) rider(line int, key, s string) txn.RiderCategory {
	r, ok := txn.ParseRiderCategory(s)
	if !ok || r >= ridersN {
		c.fail(line, key, "%q is no rider category", s)
		return 0
	}
	return r
}

func (c *compiler) riderBits(line int, key string, list []string) (bits uint8) {
	if len(list) == 0 {
		return 1<<ridersN - 1
	}
	for _, s := range list {
		bits |= 1 << c.rider(line, key, s)
	}
	return bits
}

func (c *compiler) amount(line int, key string, a txn.Minor) {
	if a < 0 || a > fareMax {
		c.fail(line, key, "%d is not in 0 to %d", a, fareMax)
	}
}

func (c *compiler) atMost(line int, key string, n, limit int) bool {
	if n > limit {
		c.fail(line, key, "%d entries, at most %d", n, limit)
	}
	return n <= limit
}

func (c *compiler) word(line int, key, s string, known ...string) {
	if s != "" && !slices.Contains(known, s) {
		c.fail(line, key, "%q is not known here; choose one of %q", s, known)
	}
}

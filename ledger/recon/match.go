package recon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Side is one of the two that are matched.
type Side uint8

// The sides.
const (
	Ours Side = iota
	Theirs
)

// String returns the side's name in reports.
func (s Side) String() string { return [...]string{"ours", "theirs"}[s] }

// Other returns the other side.
func (s Side) Other() Side { return 1 - s }

// ErrWeakKey reports a key under which too many rows come together.
var ErrWeakKey = errors.New("key tells too little apart")

// ErrOverflow reports a sum that int64 minor units do not hold.
var ErrOverflow = errors.New("sum out of range")

// Matcher applies one rule to rows of both sides. The zero Matcher with a Rule is ready; used
// again it needs little new memory.
type Matcher struct {
	Rule *Rule
	// Matched is told of every match; both slices are valid during the call. Under Cancel one
	// of them is empty.
	Matched func(ours, theirs []*Row)

	arena  []byte
	ends   []int
	groups []group
	index  map[string]int32
	pick   [2][]*Row
}

// group is the rows under one key.
type group struct{ rows [2][]*Row }

// Match consumes what matches, and returns the rows of each side that are left in the order in which
// they came. Rows must come in the order of their places; equal input gives an equal result.
func (m *Matcher) Match(ours, theirs []*Row) (left [2][]*Row, err error) {
	m.gather([2][]*Row{ours, theirs})
	for i := range m.groups {
		if err := m.group(&m.groups[i]); err != nil {
			return left, err
		}
	}
	left[Ours], left[Theirs] = unconsumed(ours), unconsumed(theirs)
	return left, nil
}

func unconsumed(rows []*Row) []*Row {
	left := rows[:0:0]
	for _, r := range rows {
		if !r.consumed {
			left = append(left, r)
		}
	}
	return left
}

// gather puts the rows into groups by key. Keys of the first side lie in one text.
func (m *Matcher) gather(sides [2][]*Row) {
	m.groups, m.arena = m.groups[:0], m.arena[:0]
	ends := m.ends[:0]
	for side := range sides {
		for _, r := range sides[side] {
			start := len(m.arena)
			var ok bool
			if m.arena, ok = r.AppendKey(m.arena, m.Rule.Key); !ok {
				m.arena = m.arena[:start]
			}
			ends = append(ends, len(m.arena))
		}
	}
	m.ends = ends
	text, start, n := string(m.arena), 0, 0
	if m.index == nil {
		m.index = make(map[string]int32, len(sides[Ours])+len(sides[Theirs])/4)
	}
	clear(m.index)
	for side := range sides {
		for _, r := range sides[side] {
			key := text[start:ends[n]]
			start = ends[n]
			n++
			if key == "" || r.consumed {
				continue
			}
			i, known := m.index[key]
			if !known {
				i = int32(len(m.groups))
				m.index[key] = i
				m.addGroup()
			}
			m.groups[i].rows[side] = append(m.groups[i].rows[side], r)
		}
	}
}

// addGroup appends an empty group; one of an earlier call gives its memory.
func (m *Matcher) addGroup() {
	n := len(m.groups)
	if n == cap(m.groups) {
		m.groups = append(m.groups, group{})
		return
	}
	m.groups = m.groups[:n+1]
	g := &m.groups[n]
	g.rows[Ours], g.rows[Theirs] = g.rows[Ours][:0], g.rows[Theirs][:0]
}

func (m *Matcher) group(g *group) error {
	ours, theirs := g.rows[Ours], g.rows[Theirs]
	switch {
	case m.Rule.Shape == Cancel:
		return errors.Join(m.cancel(Ours, ours), m.cancel(Theirs, theirs))
	case len(ours) == 0 || len(theirs) == 0:
		return nil
	case m.Rule.Shape == OneToMany && len(ours) == 1, m.Rule.Shape == ManyToOne && len(theirs) == 1:
		return m.sums(ours, theirs)
	case m.Rule.Shape != OneToOne:
		return nil
	case len(ours) == 1 && len(theirs) == 1:
		if m.fits(ours[0], theirs[0]) {
			m.take(ours, theirs)
		}
		return nil
	case len(ours)*len(theirs) > PairsMax:
		return fmt.Errorf("%w: %d of ours and %d of theirs share one key of rule %s; add a field to it",
			ErrWeakKey, len(ours), len(theirs), m.Rule.Name)
	}
	m.pairs(ours, theirs, true)
	m.pairs(ours, theirs, false)
	return nil
}

// take consumes rows.
func (m *Matcher) take(ours, theirs []*Row) {
	for _, r := range ours {
		r.consumed = true
	}
	for _, r := range theirs {
		r.consumed = true
	}
	if m.Matched != nil {
		m.Matched(ours, theirs)
	}
}

// cancel takes rows of one side that sum to zero.
func (m *Matcher) cancel(side Side, rows []*Row) error {
	if len(rows) < 2 {
		return nil
	}
	sum, err := sumOf(rows)
	if err != nil || sum != 0 {
		return err
	}
	if side == Ours {
		m.take(rows, nil)
	} else {
		m.take(nil, rows)
	}
	return nil
}

// sums matches one row with many.
func (m *Matcher) sums(ours, theirs []*Row) error {
	a, err := sumOf(ours)
	if err != nil {
		return err
	}
	b, err := sumOf(theirs)
	if err != nil {
		return err
	}
	if distance(a, b) > uint64(m.Rule.Amount) {
		return nil
	}
	for _, o := range ours {
		for _, t := range theirs {
			if !m.alike(o, t) {
				return nil
			}
		}
	}
	m.take(ours, theirs)
	return nil
}

// pairs matches one to one: each of ours in order of time takes the nearest of theirs. Exact
// pairs come first, so that a tolerance never takes a row from the one that it fits exactly.
func (m *Matcher) pairs(ours, theirs []*Row, exact bool) {
	m.pick[Ours] = append(m.pick[Ours][:0], unconsumed(ours)...)
	m.pick[Theirs] = append(m.pick[Theirs][:0], unconsumed(theirs)...)
	for side := range m.pick {
		slices.SortFunc(m.pick[side], byTime)
	}
	for _, o := range m.pick[Ours] {
		var best *Row
		for _, t := range m.pick[Theirs] {
			if t.consumed || exact && (o.Amount != t.Amount || o.Date != t.Date || o.At != t.At) ||
				!m.fits(o, t) {
				continue
			}
			if best == nil || nearer(o, t, best) {
				best = t
			}
		}
		if best != nil {
			m.take([]*Row{o}, []*Row{best})
		}
	}
}

func byTime(a, b *Row) int {
	if c := cmp.Compare(a.At, b.At); c != 0 {
		return c
	}
	return byPlace(a, b)
}

func byPlace(a, b *Row) int {
	if c := cmp.Compare(a.Source, b.Source); c != 0 {
		return c
	}
	return cmp.Compare(a.Line, b.Line)
}

// nearer reports whether a is nearer to o than b: by amount, then by time, then by place.
func nearer(o, a, b *Row) bool {
	da, db := distance(o.Amount, a.Amount), distance(o.Amount, b.Amount)
	if da != db {
		return da < db
	}
	ta, tb := distance(int64(o.At), int64(a.At)), distance(int64(o.At), int64(b.At))
	if ta != tb {
		return ta < tb
	}
	return a.Place.Before(b.Place)
}

// fits reports whether two rows match under the rule.
func (m *Matcher) fits(o, t *Row) bool {
	return distance(o.Amount, t.Amount) <= uint64(m.Rule.Amount) && m.alike(o, t)
}

// alike is fits without the amount.
func (m *Matcher) alike(o, t *Row) bool {
	return statusAgrees(o, t) && (o.Currency == t.Currency || o.Currency == 0 || t.Currency == 0) &&
		daysApart(o.Date, t.Date) <= m.Rule.Days &&
		(m.Rule.Time == 0 || timesApart(o, t) <= m.Rule.Time)
}

func statusAgrees(a, b *Row) bool {
	return a.Text[Status] == b.Text[Status] || a.Text[Status] == "" || b.Text[Status] == ""
}

// timesApart is 0 where a side gives no time.
func timesApart(a, b *Row) time.Duration {
	if a.At == 0 || b.At == 0 {
		return 0
	}
	d := distance(int64(a.At), int64(b.At))
	return time.Duration(min(d, 1<<40)) * time.Millisecond
}

// daysApart is 0 where a side gives no date.
func daysApart(a, b txn.BusinessDate) int {
	if a == b || a == 0 || b == 0 {
		return 0
	}
	return int(a.Time().Sub(b.Time()).Abs() / (24 * time.Hour))
}

// distance is |a-b| without overflow.
func distance(a, b int64) uint64 {
	if a < b {
		a, b = b, a
	}
	return uint64(a) - uint64(b)
}

func sumOf(rows []*Row) (sum int64, err error) {
	for _, r := range rows {
		if sum, err = add(sum, r.Amount); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

func add(a, b int64) (int64, error) {
	s := a + b
	if b > 0 && s < a || b < 0 && s > a {
		return 0, fmt.Errorf("%w: %d and %d", ErrOverflow, a, b)
	}
	return s, nil
}

package price

import (
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

func (c *compiler) fares() {
	t := c.t
	for m := range t.byMode {
		t.byMode[m] = -1
	}
	if len(t.file.Fares) == 0 {
		c.fail(t.file.Line, "fares", "none; a tariff without fares prices nothing")
	}
	if !c.atMost(t.file.Line, "fares", len(t.file.Fares), faresMax) {
		return
	}
	first := map[string]int{}
	for i := range t.file.Fares {
		f := &t.file.Fares[i]
		key := fmt.Sprintf("fares.%s", f.Name)
		if line, ok := first[f.Name]; ok || f.Name == "" {
			c.fail(f.Line, key, "the name is missing or that of line %d too", line)
		}
		first[f.Name] = f.Line
		mode := c.mode(f.Line, key, f.Mode)
		c.modes |= 1 << mode
		c.place(f, key, mode, int16(i))
		t.fares = append(t.fares, c.fare(f, key))
	}
	for m := range modeEnd {
		if c.modes&(1<<m) != 0 && t.byMode[m] < 0 {
			i := slices.IndexFunc(t.file.Fares, func(f Fare) bool { return f.Mode == m.String() })
			if i < 0 {
				continue // no fare names it: one with an unknown mode, which is told already
			}
			c.fail(t.file.Fares[i].Line, "fares."+t.file.Fares[i].Name,
				"leaves a gap: %s of other lines has no fare; add one without lines and operators", m)
		}
	}
}

// place says for which rides fare i holds; two fares for the same ones contradict.
func (c *compiler) place(f *Fare, key string, mode Mode, i int16) {
	twice := func(other int16, what string) {
		c.fail(f.Line, key, "%s has the fare of line %d already; keep one", what,
			c.t.file.Fares[other].Line)
	}
	if len(f.Lines) > 0 && len(f.Operators) > 0 {
		c.fail(f.Line, key, "is for lines or for operators, not both")
	}
	c.atMost(f.Line, key+".lines", len(f.Lines)+len(f.Operators), namesMax)
	for _, s := range f.Lines {
		k := selector{mode, c.name(f.Line, key+".lines", s)}
		if other, ok := c.t.byLine[k]; ok {
			twice(other, "line "+s)
		}
		c.t.byLine[k] = i
	}
	for _, s := range f.Operators {
		k := selector{mode, c.name(f.Line, key+".operators", s)}
		if other, ok := c.t.byOp[k]; ok {
			twice(other, "operator "+s)
		}
		c.t.byOp[k] = i
	}
	if len(f.Lines)+len(f.Operators) > 0 {
		return
	}
	if other := c.t.byMode[mode]; other >= 0 {
		twice(other, f.Mode)
	}
	c.t.byMode[mode] = i
}

func (c *compiler) fare(f *Fare, key string) (rule fareRule) {
	ways := 0
	way := func(given bool, compile func()) {
		if given {
			ways++
			compile()
		}
	}
	way(f.Flat != nil, func() {
		c.amount(f.Line, key+".flat", *f.Flat)
		rule = fareRule{kind: flatFare, flat: *f.Flat, max: *f.Flat}
	})
	way(f.Zones != nil, func() { rule = c.zones(f.Zones, key+".zones") })
	way(f.Matrix != nil, func() { rule = c.matrix(f.Matrix, key+".matrix") })
	way(f.Pairs != nil, func() { rule = c.pairs(f.Pairs, key+".pairs") })
	way(f.Distance != nil, func() {
		rule = c.steps(f.Distance, key+".distance", distanceFare)
		rule.posts = map[Name]int{}
		for s, metres := range f.Distance.Posts {
			rule.posts[c.name(f.Distance.Line, key+".posts", s)] = metres
		}
	})
	way(f.Time != nil, func() { rule = c.steps(f.Time, key+".time", timeFare) })
	way(f.Given != nil, func() { rule = c.given(f.Given, key+".given") })
	if ways != 1 {
		c.fail(f.Line, key, "makes its fare in %d ways; give one of flat, zones, matrix, pairs, "+
			"distance, time and given", ways)
	}
	return rule
}

func (c *compiler) zones(z *Zones, key string) fareRule {
	rule := fareRule{kind: zoneFare, zones: map[Name]int{}, byZones: z.Fares}
	low, high := 1<<30, -1<<30
	for s, zone := range z.Stations {
		rule.zones[c.name(z.Line, key+".stations", s)] = zone
		low, high = min(low, zone), max(high, zone)
	}
	switch {
	case len(z.Stations) == 0:
		c.fail(z.Line, key, "no station has a zone")
	case high-low >= len(z.Fares):
		c.fail(z.Line, key, "leaves a gap: the stations lie in %d zones and there are fares for %d",
			high-low+1, len(z.Fares))
	}
	c.rising(z.Line, key, z.Fares)
	rule.max = slices.Max(append([]txn.Minor{0}, z.Fares...))
	return rule
}

// rising refuses a longer ride that is cheaper: riders would get off and tap again.
func (c *compiler) rising(line int, key string, fares []txn.Minor) {
	for i, a := range fares {
		c.amount(line, key, a)
		if i > 0 && a < fares[i-1] {
			c.fail(line, key, "contradicts itself: the longer ride costs %d, the shorter %d", a, fares[i-1])
		}
	}
}

func (c *compiler) matrix(m *Matrix, key string) fareRule {
	n := len(m.Stations)
	rule := fareRule{kind: matrixFare, index: map[Name]int{}}
	if !c.atMost(m.Line, key, n, namesMax) {
		return rule
	}
	rule.matrix = make([]txn.Minor, n*n)
	for i, s := range m.Stations {
		name := c.name(m.Line, key+".stations", s)
		if _, twice := rule.index[name]; twice {
			c.fail(m.Line, key, "station %s stands twice", s)
		}
		rule.index[name] = i
	}
	if len(m.Rows) != n || n == 0 {
		c.fail(m.Line, key, "leaves a gap: %d stations and %d rows", n, len(m.Rows))
		return rule
	}
	whole := len(m.Rows[n-1]) == n && n > 1
	for i, row := range m.Rows {
		want, from := n-i, i
		if whole {
			want, from = n, 0
		}
		if len(row) != want {
			c.fail(m.Line, key, "leaves a gap: the row of %s has %d fares, want %d", m.Stations[i],
				len(row), want)
			continue
		}
		for j, a := range row {
			c.amount(m.Line, key, a)
			rule.matrix[i*n+from+j] = a
			if !whole {
				rule.matrix[(from+j)*n+i] = a
			}
			rule.max = max(rule.max, a)
		}
	}
	return rule
}

func (c *compiler) steps(s *Steps, key string, kind fareKind) fareRule {
	rule := fareRule{kind: kind, steps: s, max: s.Max}
	if len(s.Steps) == 0 || len(s.Steps) > stepsMax {
		c.fail(s.Line, key, "%d steps, want 1 to %d", len(s.Steps), stepsMax)
		return rule
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		c.amount(step.Line, key, step.Fare)
		if i == 0 {
			continue
		}
		if step.Upto <= s.Steps[i-1].Upto {
			c.fail(step.Line, key, "leaves no room: %d does not follow %d", step.Upto,
				s.Steps[i-1].Upto)
		}
		if step.Fare < s.Steps[i-1].Fare {
			c.fail(step.Line, key, "contradicts itself: the longer ride costs %d, the shorter %d",
				step.Fare, s.Steps[i-1].Fare)
		}
	}
	last := s.Steps[len(s.Steps)-1]
	switch {
	case s.Every < 0 || s.Add < 0:
		c.fail(s.Line, key, "every and add cannot be below zero")
	case s.Every == 0 && (s.Add != 0 || s.Max != 0):
		c.fail(s.Line, key, "add and max mean nothing without every")
	case s.Every == 0:
		rule.max = last.Fare // the last step holds for all that is longer
	case s.Max < last.Fare:
		c.fail(s.Line, key, "contradicts itself: max %d is below the last step %d", s.Max, last.Fare)
	}
	return rule
}

func (c *compiler) pairs(p *Pairs, key string) fareRule {
	rule := fareRule{kind: pairFare, pairs: map[[2]Name]txn.Minor{}, others: p.Otherwise}
	if p.Otherwise != nil {
		c.amount(p.Line, key+".otherwise", *p.Otherwise)
		rule.max = *p.Otherwise
	}
	var stations []string
	for i := range p.Fares {
		e := &p.Fares[i]
		c.amount(e.Line, key, e.Fare)
		from, to := c.name(e.Line, key, e.From), c.name(e.Line, key, e.To)
		if old, twice := rule.pairs[[2]Name{from, to}]; twice && old != e.Fare {
			c.fail(e.Line, key, "contradicts itself: %s to %s costs %d here and %d before", e.From, e.To,
				e.Fare, old)
		}
		rule.pairs[[2]Name{from, to}], rule.pairs[[2]Name{to, from}] = e.Fare, e.Fare
		rule.max = max(rule.max, e.Fare)
		stations = append(stations, e.From, e.To)
	}
	if p.Otherwise == nil {
		slices.Sort(stations)
		c.everyPair(p, key, &rule, slices.Compact(stations))
	}
	return rule
}

// everyPair refuses a table of pairs that leaves one out.
func (c *compiler) everyPair(p *Pairs, key string, rule *fareRule, stations []string) {
	if len(stations) == 0 {
		c.fail(p.Line, key, "leaves a gap: no pair and no otherwise")
	}
	for i, from := range stations {
		for _, to := range stations[i:] {
			if _, ok := rule.pairs[[2]Name{NameOf(from), NameOf(to)}]; !ok {
				c.fail(p.Line, key, "leaves a gap: %s to %s has no fare; add it, or otherwise", from, to)
				return
			}
		}
	}
}

func (c *compiler) given(g *Given, key string) fareRule {
	c.amount(g.Line, key, g.Max)
	if g.Min < 0 || g.Min > g.Max || g.MultipleOf < 0 {
		c.fail(g.Line, key, "contradicts itself: from %d to %d", g.Min, g.Max)
	}
	return fareRule{kind: givenFare, given: g, max: g.Max}
}

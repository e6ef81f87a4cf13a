package price

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// persons compiles riders, operators and classes.
func (c *compiler) persons() {
	t := c.t
	for r := range t.riders {
		for m := range t.riders[r] {
			t.riders[r][m] = riderRule{entry: -1}
		}
	}
	for i := range t.file.Riders {
		c.riderRule(&t.file.Riders[i], int16(i))
	}
	lines := map[Name]int{}
	for i := range t.file.Operators {
		o := &t.file.Operators[i]
		key := "operators." + o.Operator
		c.word(o.Line, key+".discounts", o.Discounts, "none")
		c.word(o.Line, key+".transfers", o.Transfers, "none")
		name := c.name(o.Line, key, o.Operator)
		if line, twice := lines[name]; twice {
			c.fail(o.Line, key, "has rules in line %d already", line)
		}
		lines[name] = o.Line
		t.operators[name] = operatorRule{o.Discounts == "none", o.Transfers == "none"}
	}
	for m := range modeEnd {
		t.classes[Standard][m].times = 1
	}
	for i := range t.file.Classes {
		c.class(&t.file.Classes[i])
	}
}

func (c *compiler) class(e *ClassOf) {
	key := "classes." + e.Class
	mode := c.mode(e.Line, key, e.Mode)
	c.word(e.Line, key+".discounts", e.Discounts, "none")
	rule := &c.t.classes[Business][mode]
	switch {
	case e.Class != Business.String():
		c.fail(e.Line, key, "the class that can be sold is business")
	case e.Times < 1 || e.Times > 10:
		c.fail(e.Line, key, "times %d is not in 1 to 10", e.Times)
	case rule.times != 0:
		c.fail(e.Line, key, "stands twice for %s", mode)
	case c.modes&(1<<mode) == 0:
		c.fail(e.Line, key, "no fare is for %s", mode)
	}
	*rule = classRule{txn.Minor(e.Times), e.Discounts == "none"}
}

func (c *compiler) riderRule(r *Rider, entry int16) {
	key := "riders." + r.Rider
	rider := c.rider(r.Line, key, r.Rider)
	c.word(r.Line, key+".transfers", r.Transfers, "none")
	rule := riderRule{entry: entry, noTransfers: r.Transfers == "none", slices: r.Slices}
	if (r.Pays == nil) == (len(r.Slices) == 0) {
		c.fail(r.Line, key, "give pays or slices, one of them")
		return
	}
	if r.Pays != nil {
		rule.slices = []Slice{{Line: r.Line, Pays: *r.Pays}}
	}
	if !c.atMost(r.Line, key, len(rule.slices), rulesMax) {
		return
	}
	for i, s := range rule.slices {
		c.shareOf(s.Line, key, s.Pays)
		last := i == len(rule.slices)-1
		switch {
		case last && s.Upto != 0:
			c.fail(s.Line, key, "leaves a gap: fares above %d have no share; the last slice has no upto",
				s.Upto)
		case !last && (s.Upto <= 0 || i > 0 && s.Upto <= rule.slices[i-1].Upto):
			c.fail(s.Line, key, "upto %d does not follow the slice before", s.Upto)
		}
	}
	modes := c.modeBits(r.Line, key, r.Modes)
	for m := range modeEnd {
		if modes&(1<<m) == 0 {
			continue
		}
		if old := c.t.riders[rider][m].entry; old >= 0 {
			c.fail(r.Line, key, "contradicts line %d, which has a share for %s",
				c.t.file.Riders[old].Line, m)
		}
		c.t.riders[rider][m] = rule
	}
}

func (c *compiler) shareOf(line int, key string, s Share) {
	if s < 0 || s > shareMax {
		c.fail(line, key, "%s is not in 0%% to 200%%", s)
	}
}

// discounts compiles transfers and tiers.
func (c *compiler) discounts() {
	t := c.t
	c.atMost(t.file.Line, "transfers", len(t.file.Transfers), rulesMax)
	c.atMost(t.file.Line, "monthly_tiers", len(t.file.Tiers), rulesMax)
	lines := map[string]int{}
	for i := range t.file.Transfers {
		e := &t.file.Transfers[i]
		if line, twice := lines[e.Name]; twice || e.Name == "" {
			c.fail(e.Line, "transfers."+e.Name, "the name is missing or that of line %d too", line)
		}
		lines[e.Name] = e.Line
		rule := c.transfer(e)
		c.againstOthers(e, rule)
		t.transfers = append(t.transfers, rule)
		t.depth = max(t.depth, e.Legs, 1)
	}
	t.depth = min(t.depth, LegsMax)
	for i := range t.file.Tiers {
		e := &t.file.Tiers[i]
		c.shareOf(e.Line, "monthly_tiers", e.Pays)
		if e.From < 0 || i > 0 && e.From <= t.file.Tiers[i-1].From {
			c.fail(e.Line, "monthly_tiers", "from %d does not follow the tier before", e.From)
		}
	}
	t.tiers = t.file.Tiers
}

// againstOthers refuses a transfer that holds exactly where one before it does: which amount is
// meant cannot be told.
func (c *compiler) againstOthers(e *Transfer, rule transferRule) {
	rule.off, rule.pays = 0, 0
	for i, other := range c.t.transfers {
		if other.off, other.pays = 0, 0; other == rule {
			c.fail(e.Line, "transfers."+e.Name, "contradicts itself: %s in line %d is for the same change of "+
				"the same riders", c.t.file.Transfers[i].Name, c.t.file.Transfers[i].Line)
		}
	}
}

func (c *compiler) transfer(e *Transfer) transferRule {
	key := "transfers." + e.Name
	rule := transferRule{from: c.modeBits(e.Line, key+".from", e.From),
		to: c.modeBits(e.Line, key+".to", e.To), first: c.modeBits(e.Line, key+".first", e.First),
		riders: c.riderBits(e.Line, key+".riders", e.Riders),
		window: txn.Millis(e.Window.Milliseconds()), legs: e.Legs,
		otherLine: e.SameLine == "no", pays: Whole}
	c.word(e.Line, key+".same_line", e.SameLine, "yes", "no")
	c.word(e.Line, key+".measured_from", e.Measured, "last_exit", "last_entry", "first_entry")
	switch e.Measured {
	case "last_entry":
		rule.measured = lastEntry
	case "first_entry":
		rule.measured = firstEntry
	}
	if len(e.From) == 0 || len(e.To) == 0 {
		c.fail(e.Line, key, "from and to must name modes")
	}
	if e.Window <= 0 || e.Window > 24*time.Hour {
		c.fail(e.Line, key+".window", "%v is not above 0 and up to 24h", e.Window)
	}
	needsLegs := rule.measured == firstEntry || len(e.First) > 0
	switch {
	case e.Legs == 0 && needsLegs:
		c.fail(e.Line, key+".legs", "is missing: first and measured_from first_entry need the most rides "+
			"of a chain, 2 to %d", LegsMax)
	case e.Legs != 0 && (e.Legs < 2 || e.Legs > LegsMax):
		c.fail(e.Line, key+".legs", "%d is not in 2 to %d", e.Legs, LegsMax)
	}
	if (e.Off == nil) == (e.Pays == nil) {
		c.fail(e.Line, key, "give off or pays, one of them; pays: 0%% is a free transfer")
		return rule
	}
	if e.Off != nil {
		c.amount(e.Line, key+".off", *e.Off)
		rule.off = *e.Off
	}
	if e.Pays != nil {
		if rule.pays = *e.Pays; rule.pays < 0 || rule.pays > Whole {
			c.fail(e.Line, key+".pays", "%s is no discount", rule.pays)
		}
	}
	return rule
}

// limits compiles caps and passes.
func (c *compiler) limits() {
	t := c.t
	for r := range t.caps {
		for p := range t.caps[r] {
			t.caps[r][p] = never
		}
	}
	c.atMost(t.file.Line, "caps", len(t.file.Caps), rulesMax)
	for i := range t.file.Caps {
		c.cap(&t.file.Caps[i])
	}
	for i := range t.file.Caps {
		c.capOrder(&t.file.Caps[i])
	}
	c.groups()
	c.atMost(t.file.Line, "passes", len(t.file.Passes), rulesMax)
	for i := range t.file.Passes {
		t.passes = append(t.passes, c.pass(&t.file.Passes[i]))
	}
}

func (c *compiler) cap(e *Cap) {
	p := parsePeriod(e.Period)
	if p == NoPeriod {
		c.fail(e.Line, "caps", "%q is not day, week or month", e.Period)
		return
	}
	if c.amount(e.Line, "caps."+e.Period, e.Amount); e.Amount == 0 {
		c.fail(e.Line, "caps."+e.Period, "0 would make every ride free; give riders a share of 0%%")
	}
	riders := c.riderBits(e.Line, "caps."+e.Period, e.Riders)
	for r := range txn.RiderCategory(ridersN) {
		if riders&(1<<r) == 0 {
			continue
		}
		if c.t.caps[r][p] != never {
			c.fail(e.Line, "caps."+e.Period, "contradicts the cap of %d for %s riders",
				c.t.caps[r][p], r)
			return
		}
		c.t.caps[r][p] = e.Amount
	}
}

// capOrder refuses a longer period's cap below a shorter one's.
func (c *compiler) capOrder(e *Cap) {
	p := parsePeriod(e.Period)
	riders := c.riderBits(e.Line, "caps", e.Riders)
	for r := range ridersN {
		for shorter := Day; shorter < p; shorter++ {
			if low := c.t.caps[r][shorter]; riders&(1<<r) != 0 && low != never && low > e.Amount {
				c.fail(e.Line, "caps."+e.Period, "contradicts itself: %d a %s is above %d a %s", low,
					shorter, e.Amount, p)
				return
			}
		}
	}
}

func (c *compiler) pass(e *Pass) passRule {
	key := "passes." + e.Name
	rule := passRule{name: c.name(e.Line, key, e.Name), period: parsePeriod(e.Period),
		days: int32(e.Days), rides: int32(e.Rides), price: e.Price,
		modes:  c.modeBits(e.Line, key+".modes", e.Modes),
		riders: c.riderBits(e.Line, key+".riders", e.Riders)}
	if c.amount(e.Line, key+".price", e.Price); e.Rides == 0 {
		rule.rides = -1
	}
	for i := range c.t.passes {
		if c.t.passes[i].name == rule.name {
			c.fail(e.Line, key, "stands twice")
		}
	}
	switch {
	case e.Period != "" && rule.period == NoPeriod:
		c.fail(e.Line, key, "%q is not day, week or month", e.Period)
	case e.Period != "" && e.Days != 0:
		c.fail(e.Line, key, "contradicts itself: a period of the calendar or days, not both")
	case e.Period == "" && e.Days == 0 && e.Rides == 0:
		c.fail(e.Line, key, "never ends; give period, days or rides")
	case e.Days < 0 || e.Days > 3660 || e.Rides < 0 || e.Rides > 10_000:
		c.fail(e.Line, key, "days or rides out of range")
	}
	if c.t.file.BestPrice {
		c.bestPrice(e, &rule, key)
	}
	return rule
}

// bestPrice refuses a pass that caps cannot match: whoever bought it would pay less.
func (c *compiler) bestPrice(e *Pass, p *passRule, key string) {
	if p.period == NoPeriod || p.rides >= 0 {
		c.fail(e.Line, key, "best_price cannot hold: what it saves depends on rides to come; "+
			"sell passes for a day, week or month of the calendar")
		return
	}
	for r := range txn.RiderCategory(ridersN) {
		if limit := c.t.caps[r][p.period]; p.riders&(1<<r) != 0 && limit > p.price {
			c.fail(e.Line, key, "best_price does not hold: the pass costs %d, and %s riders have no %s "+
				"cap of that or less", p.price, r, p.period)
			return
		}
	}
}

const (
	// toldWithin is how late a missing end of a journey may be told where the file does not say:
	// gates upload once a day, and a week-end passes.
	toldWithin = txn.Millis(72 * 60 * msPerMinute)
	toldMax    = 31 * 24 * time.Hour
)

// journeys compiles what incomplete, long and circular journeys cost.
func (c *compiler) journeys() {
	t := c.t
	if e := t.file.Incomplete; e != nil {
		t.missing.exit = c.penalty(e.Line, "incomplete.missing_exit", e.MissingExit)
		t.missing.entry = c.penalty(e.Line, "incomplete.missing_entry", e.MissingEntry)
		t.missing.told = toldWithin
		if d := e.ToldWithin; d != nil {
			if t.missing.told = txn.Millis(d.Milliseconds()); *d < 0 || *d > toldMax {
				c.fail(e.Line, "incomplete.told_within", "%v is not in 0s to %v", *d, toldMax)
			}
		}
		if k := e.Correction; k != nil {
			t.missing.within, t.missing.perMonth = txn.Millis(k.Within.Milliseconds()), k.PerMonth
			if k.Within <= 0 || k.PerMonth < 1 {
				c.fail(k.Line, "incomplete.correction", "within and per_month must be above zero")
			}
		}
	}
	if e := t.file.Overtime; e != nil {
		if c.amount(e.Line, "overtime.charge", e.Charge); e.After <= 0 {
			c.fail(e.Line, "overtime.after", "must be above zero")
		}
	}
	if e := t.file.SameStation; e != nil {
		c.amount(e.Line, "same_station.charge", e.Charge)
		c.amount(e.Line, "same_station.later", e.Later)
		if e.Within < 0 || e.Later < e.Charge {
			c.fail(e.Line, "same_station", "contradicts itself: %d later is below %d", e.Later, e.Charge)
		}
	}
}

func (c *compiler) penalty(line int, key, s string) amount {
	switch s {
	case "maximum":
		return amount{set: true, dearest: true}
	case "none":
		return amount{set: true}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > fareMax {
		c.fail(line, key, "%q is not maximum, none or an amount", s)
	}
	return amount{set: true, sum: txn.Minor(n)}
}

// String returns the share as it is written: "95%", "33.33%".
func (s Share) String() string {
	if s%100 == 0 {
		return strconv.FormatInt(int64(s)/100, 10) + "%"
	}
	return fmt.Sprintf("%d.%02d%%", s/100, s%100)
}

// MarshalText returns the share as it is written.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "95%" or "66.67%".
func (s *Share) UnmarshalText(text []byte) error {
	whole, ok := strings.CutSuffix(string(text), "%")
	whole, part, _ := strings.Cut(whole, ".")
	n, err := strconv.ParseUint(whole+(part + "00")[:2], 10, 16)
	if !ok || err != nil || len(part) > 2 || whole == "" {
		return fmt.Errorf("%q is no share; write 95%% or 66.67%%", text)
	}
	*s = Share(n)
	return nil
}

// personsMax is how many persons may ride on one card at the most.
const personsMax = 8

// groups reads how many persons may ride on one card.
func (c *compiler) groups() {
	t := c.t
	c.atMost(t.file.Line, "groups", len(t.file.Groups), rulesMax)
	for i := range t.file.Groups {
		g := &t.file.Groups[i]
		if g.Persons < 2 || g.Persons > personsMax {
			c.fail(g.Line, "groups.persons", "%d is not in 2 to %d", g.Persons, personsMax)
			continue
		}
		bits := c.riderBits(g.Line, "groups.riders", g.Riders)
		for rider := range t.persons {
			if bits&(1<<rider) == 0 {
				continue
			}
			if t.persons[rider] != 0 {
				c.fail(g.Line, "groups.riders", "%s has a group already", txn.RiderCategory(rider))
				break
			}
			t.persons[rider] = uint8(g.Persons)
		}
	}
}

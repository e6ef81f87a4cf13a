package route

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// RulesMax bounds the rules of a table.
	RulesMax = 20_000
	// BINsMax bounds the BINs of all rules: all issuers of the world need some 100,000.
	BINsMax = 200_000
	// LinksMax bounds the links of a rule: more than a primary and a few others is a mistake.
	LinksMax = 16
	// CandidatesMax bounds the rules that one card number can meet, so that a query has a
	// bound too.
	CandidatesMax = 256
)

// Rule says who answers for some transactions. A field that is empty restricts nothing.
type Rule struct {
	// Name is shown to people and is that of one rule only.
	Name string
	// BINs are prefixes ("622600") and ranges, both ends within ("622600-622699"), of 1 to
	// 12 digits.
	BINs []string
	// PANLengths are numbers of digits of the card number.
	PANLengths []int
	// Family is a name of pan.Family. It is a form and no proof: a CJ/T 166 number and a
	// bank card of 16 digits look alike, so a BIN is the better rule.
	Family string
	// Classes are the classes of transaction.
	Classes []Class
	// AmountMin and AmountMax are limits in minor units, both within; AmountMax 0 is none.
	AmountMin, AmountMax txn.Minor
	// From and To are times of day since midnight in the zone of the table, in whole
	// minutes; To is not within, and may be 24 h. A To before From lies on the next day.
	// Both 0 are the whole day.
	From, To time.Duration
	// Weekdays are days. A time after midnight belongs to the day on which From was.
	Weekdays []time.Weekday
	// Issuer is who answers, as the ledger knows it.
	Issuer string
	// Links are tried in this order.
	Links []string
	// StandIn is what may be approved while no link is up; nil for nothing.
	StandIn *StandIn
}

// ErrRule is what every refusal of a table is; the error names the rules.
var ErrRule = errors.New("routing rule")

const (
	day           = 24 * time.Hour
	minutesPerDay = 24 * 60
	everyDay      = 1<<7 - 1
	anyLength     = 1<<32 - 1
)

// condition is what a rule asks for besides the BIN, as it is compared.
type condition struct {
	lengths  uint32 // a bit a number of digits
	classes  classes
	family   pan.Family // FamilyUnknown for any
	days     uint8      // a bit a weekday
	timed    bool       // days, from or to restrict
	from, to int32      // minutes of the day; equal for the whole day
	min, max txn.Minor
	// restrictions is how many of length, class, amount and time restrict.
	restrictions uint8
}

// compile reads the conditions of a rule.
func (r *Rule) compile() (c condition, err error) {
	if c.lengths, err = r.lengths(); err != nil {
		return c, err
	}
	if c.classes, err = setOf(r.Classes); err != nil {
		return c, err
	}
	if r.Family != "" {
		if c.family, err = pan.ParseFamily(r.Family); err != nil {
			return c, err
		}
	}
	if err := r.amounts(&c); err != nil {
		return c, err
	}
	if err := r.times(&c); err != nil {
		return c, err
	}
	amount := c.min > 0 || c.max < txn.MinorMax
	for _, restricts := range [...]bool{len(r.PANLengths) > 0, len(r.Classes) > 0, amount, c.timed} {
		if restricts {
			c.restrictions++
		}
	}
	return c, nil
}

func (r *Rule) lengths() (set uint32, err error) {
	for _, n := range r.PANLengths {
		if n < 8 || n > 20 {
			return 0, fmt.Errorf("no card number has %d digits, but 8 to 20", n)
		}
		set |= 1 << n
	}
	if set == 0 {
		set = anyLength
	}
	return set, nil
}

func (r *Rule) amounts(c *condition) error {
	c.min, c.max = r.AmountMin, r.AmountMax
	if c.max == 0 {
		c.max = txn.MinorMax
	}
	if c.min < 0 || c.max > txn.MinorMax || c.min > c.max {
		return fmt.Errorf("no amount lies between %d and %d", r.AmountMin, r.AmountMax)
	}
	return nil
}

func (r *Rule) times(c *condition) error {
	for _, d := range [...]time.Duration{r.From, r.To} {
		if d < 0 || d > day || d%time.Minute != 0 {
			return fmt.Errorf("%v is no time of day in whole minutes", d)
		}
	}
	if r.From == day || (r.From == r.To && r.From != 0) {
		return fmt.Errorf("no time lies between %v and %v", r.From, r.To)
	}
	c.from = int32(r.From / time.Minute)
	c.to = int32(r.To/time.Minute) % minutesPerDay
	for _, d := range r.Weekdays {
		if d < time.Sunday || d > time.Saturday {
			return fmt.Errorf("no weekday has the number %d", d)
		}
		c.days |= 1 << d
	}
	if c.days == 0 {
		c.days = everyDay
	}
	c.timed = c.days != everyDay || c.from != c.to
	return nil
}

// target checks what a rule leads to.
func (r *Rule) target(known []string) error {
	switch {
	case r.Issuer == "":
		return errors.New("has no issuer")
	case len(r.Links) == 0:
		return errors.New("has no link")
	case len(r.Links) > LinksMax:
		return fmt.Errorf("has more than %d links", LinksMax)
	}
	for i, l := range r.Links {
		if !slices.Contains(known, l) {
			return fmt.Errorf("leads to link %q, which is not configured", l)
		}
		if slices.Contains(r.Links[:i], l) {
			return fmt.Errorf("leads to link %q twice", l)
		}
	}
	return r.StandIn.check()
}

// covers reports whether whatever c2 takes, c takes too.
func (c *condition) covers(c2 *condition) bool {
	return c2.lengths&^c.lengths == 0 && c2.classes&^c.classes == 0 &&
		(c.family == pan.FamilyUnknown || c.family == c2.family) &&
		c.min <= c2.min && c2.max <= c.max && c.coversTimes(c2)
}

func (c *condition) coversTimes(c2 *condition) bool {
	if !c.timed {
		return true
	}
	// What c2 takes and c does not begins where c2's window opens or where c's closes.
	for d := range time.Saturday + 1 {
		for _, minute := range [...]int32{c2.from, c.to} {
			if c2.atTime(d, minute) && !c.atTime(d, minute) {
				return false
			}
		}
	}
	return true
}

// atTime reports whether the minute of that weekday lies in the window.
func (c *condition) atTime(d time.Weekday, minute int32) bool {
	switch {
	case c.from == c.to:
	case c.from < c.to:
		if minute < c.from || minute >= c.to {
			return false
		}
	case minute < c.to: // yesterday's window
		d = (d + 6) % 7
	case minute < c.from:
		return false
	}
	return c.days&(1<<d) != 0
}

// precedes says which of two rules of one BIN comes first, the order in the list apart.
func (c *condition) precedes(c2 *condition) int {
	if named, named2 := c.family != 0, c2.family != 0; named != named2 {
		if named {
			return -1
		}
		return 1
	}
	return int(c2.restrictions) - int(c.restrictions)
}

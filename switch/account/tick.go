package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Stage is how near an account is to its expiry.
type Stage uint8

// The stages (HD13, ZS26).
const (
	StageNone Stage = iota
	RenewalOpen
	RenewalOverdue
	StageExpired
	stageEnd
)

var stageNames = []string{"none", "renewal_open", "renewal_overdue", "expired"}

// String returns the stage's stable name.
func (s Stage) String() string { return nameOf(stageNames, s) }

// StageAt tells how near the account is to its expiry at now.
func (a *Account) StageAt(rules *Rules, now txn.Millis) Stage {
	stage := StageNone
	for s := RenewalOpen; s < stageEnd; s++ {
		if at := a.stageFrom(rules, s); at != 0 && now >= at {
			stage = s
		}
	}
	return stage
}

// stageFrom returns when a stage begins, 0 when it never does.
func (a *Account) stageFrom(rules *Rules, s Stage) txn.Millis {
	v := &rules.Validity
	switch {
	case a.ExpiresOn == 0:
		return 0
	case s == StageExpired:
		return rules.end(a.ExpiresOn)
	case s == RenewalOverdue && v.LeadDays > 0:
		// Applied for in time is applied for up to the end of the day LeadDays before.
		return rules.end(addDays(a.ExpiresOn, -v.LeadDays))
	case s == RenewalOpen && v.OpenDays > 0:
		return rules.Calendar.Start(addDays(a.ExpiresOn, -v.OpenDays))
	default:
		return 0
	}
}

// NextDue returns the next instant at which time alone changes something about the
// document, by a Tick; false when there is none. Effects that are not done are due at
// once, and are not part of it.
func (a *Account) NextDue(rules *Rules) (txn.Millis, bool) {
	var first txn.Millis
	consider := func(at txn.Millis) {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	for i := range a.Cases {
		if !a.Cases[i].Alarmed {
			consider(a.Cases[i].Due)
		}
	}
	for i := range a.Restrictions {
		consider(a.Restrictions[i].LapsesAt)
	}
	for i := range a.Carriers {
		consider(a.Carriers[i].EndsAt)
	}
	if a.Alive() {
		consider(rules.end(a.Rider.Until))
		consider(rules.end(a.Trust.Until))
		for s := a.Stage + 1; s < stageEnd; s++ {
			consider(a.stageFrom(rules, s))
		}
	}
	return first, first != 0
}

// Tick lets time do its work: alarms of overdue cases, the lapse of a pre-report, the end
// of a concession, of a trust flag or of a temporary credential, the stages before expiry. It comes from
// the due queue; too early it changes nothing.
type Tick struct{}

// Name returns the step's stable name.
func (Tick) Name() string { return "tick" }

func (Tick) decide(c *change) Refusal {
	if at, ok := c.next.NextDue(c.rules); !ok || at > c.now {
		c.out.Replay = true
		return RefusalNone
	}
	for c.lapse() {
		continue // each lapse ends one
	}
	c.alarm()
	for _, k := range c.next.outlived(c.now) {
		outlet := c.cmd.By.Outlet
		if open := c.next.Case(k.Case); outlet == "" && open != nil {
			outlet = open.Owner
		}
		c.retire(k.Token, outlet)
	}
	if c.next.Alive() {
		c.age()
	}
	return RefusalNone
}

// lapse ends a pre-report that nobody confirmed, where the scheme lets it lapse. It
// reports whether there was one.
func (c *change) lapse() bool {
	i := slices.IndexFunc(c.next.Restrictions, func(r Restriction) bool {
		return r.LapsesAt != 0 && r.LapsesAt <= c.now
	})
	if i < 0 {
		return false
	}
	no := c.next.Restrictions[i].Case
	c.next.Restrictions = slices.Delete(c.next.Restrictions, i, i+1)
	if k := c.next.Case(no); k != nil {
		c.end(k, Lapsed)
	}
	if k := c.next.openCase(CaseRelease); k != nil && !c.next.Lost() {
		c.end(k, Withdrawn)
	}
	c.out.Case = no
	c.statuses()
	c.marks()
	c.notify(NoticeLapse)
	c.note(NoticeLapse.String())
	return true
}

// alarm reports every case whose legal date has passed, once a date.
func (c *change) alarm() {
	for i := range c.next.Cases {
		k := &c.next.Cases[i]
		if k.Overdue(c.now) && !k.Alarmed {
			k.Alarmed = true
			c.push(Effect{Kind: Alarm, Case: k.No, Name: k.Owner, Since: k.Due})
			c.note("overdue", k.Kind.String())
		}
	}
}

// outlived returns the temporary credentials whose time has passed.
func (a *Account) outlived(now txn.Millis) []Carrier {
	var past []Carrier
	for i := range a.Carriers {
		if k := &a.Carriers[i]; k.EndsAt != 0 && k.EndsAt <= now {
			past = append(past, *k)
		}
	}
	return past
}

// age ends a concession and a trust flag and announces the stages before expiry, the latest only.
func (c *change) age() {
	a := c.next
	if end := c.rules.end(a.Rider.Until); end != 0 && end <= c.now {
		a.Rider = Rider{Category: txn.RiderOrdinary}
		c.note("concession_ended")
	}
	if end := c.rules.end(a.Trust.Until); end != 0 && end <= c.now {
		c.distrust()
		c.note("trust_ended")
	}
	stage := a.StageAt(c.rules, c.now)
	if stage <= a.Stage {
		return
	}
	a.Stage = stage
	c.note(stage.String())
	c.notify([stageEnd]Notice{NoticeNone, NoticeRenewalOpen, NoticeRenewalOverdue,
		NoticeExpired}[stage])
	if stage != StageExpired {
		return
	}
	for i := range a.Carriers {
		if k := &a.Carriers[i]; k.Status == Active {
			k.Status = Expired
		}
	}
}

package scheme

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// check looks for values that contradict each other in a policy that is complete.
func (d *decoder) check(p *Policy) {
	d.checkFreeze(p)
	d.checkLease(p)
	d.checkTerms(p)
	d.checkLiability(p)
	d.checkLife(p)
	d.checkFees(p)
	d.checkLists(p)
	d.checkNames(p)
	d.checkSilence(p)
}

// wrong reports what is wrong at a key, with the line on which it stands.
func (d *decoder) wrong(key, format string, args ...any) {
	d.fail(d.lines[key], key, fmt.Sprintf(format, args...))
}

func (d *decoder) checkFreeze(p *Policy) {
	f := &p.Freeze
	if f.Window.V <= 0 {
		d.wrong("freeze.window", "must be longer than nothing; say how long a party may take")
	}
	if p.Release.Window.V <= 0 {
		d.wrong("release.window", "must be longer than nothing; say how long a party may take")
	}
	for i, alarm := range f.Alarms.V {
		if alarm <= 0 || alarm >= f.Window.V || i > 0 && alarm <= f.Alarms.V[i-1] {
			d.wrong("freeze.alarms", "%v: alarms rise and lie within the window of %v", alarm,
				f.Window.V)
		}
	}
	if len(f.Alarms.V) == 0 {
		d.wrong("freeze.alarms", "no alarm; name at least one age")
	}
	for key, n := range map[string]int{"report.actors": len(p.Report.Actors.V),
		"report.channels": len(p.Report.Channels.V), "report.forms": len(p.Report.Forms.V),
		"query.purposes": len(p.Query.Purposes), "release.actors": len(p.Release.Actors.V),
		"release.id_kinds": len(p.Release.IDs.V), "parties": len(p.Parties),
		"claims.actors": len(p.Claims.Actors.V), "applying.actors": len(p.Applying.Actors.V)} {
		if n == 0 {
			d.wrong(key, "is empty; nobody could do it, name at least one")
		}
	}
}

// checkLease wants terms that the engine obeys, and a party that bears what is served after the
// end, by its contract.
func (d *decoder) checkLease(p *Policy) {
	terms := p.LeaseTerms()
	if err := terms.Check(); err != nil {
		d.wrong("freeze.lease", "%v; correct lease, lease_margin or lease_renewed_by", err)
	}
	bears := func(x Party) bool { return x.Kind == PartyTransit && x.Contract.V != "" }
	if !terms.None() && !slices.ContainsFunc(p.Parties, bears) {
		d.wrong("freeze.lease", "nobody bears what is served after its end; name a transit party "+
			"with its loss_contract, or write 0s")
	}
}

// checkTerms wants terms exactly where something is allowed.
func (d *decoder) checkTerms(p *Policy) {
	if p.PreReport.Allowed.V != (p.PreReport.Terms != nil) {
		d.wrong("pre_report.allowed", "terms stand exactly where it is true; add or remove them")
	}
	if p.Suspension.Allowed.V != (p.Suspension.Terms != nil) {
		d.wrong("suspension.allowed", "terms stand exactly where it is true; add or remove them")
	}
	if s := p.Suspension.Terms; s != nil && (s.App.V == txn.AppAll || s.Role.V == "") {
		d.wrong("suspension.terms.app",
			"a suspension closes one application by a named role; a freeze of all is a loss")
	}
	if p.Release.Closes.V == account.ClosedWhenApplied &&
		p.Release.Refused.V == account.ReleaseReopens {
		d.wrong("release.refused_replacement", "release_closes applied closes for ever, so a "+
			"refusal cannot reopen it; use stays_closed")
	}
}

func (d *decoder) checkLiability(p *Policy) {
	l := &p.Liability
	if l.Before.V == LateParty {
		d.wrong("liability.before", "no party is late before the boundary; use holder or agency")
	}
	if l.After.V == BearerHolder || l.Otherwise.V != BearerAgency {
		d.wrong("liability.after", "after the boundary the holder bears nothing; use late_party "+
			"or agency, and agency otherwise")
	}
	if l.Boundary.V == account.FreezeDue && p.Freeze.Window.IsProductRule() {
		d.wrong("liability.boundary", "freeze_due needs a window with a clause; a window of the "+
			"product's own cannot move a loss")
	}
}

func (d *decoder) checkLife(p *Policy) {
	l := &p.Life
	if l.ValidityYears.V < 1 || l.ValidityYears.V > 50 {
		d.wrong("life.validity_years", "%d years, want 1 to 50", l.ValidityYears.V)
	}
	for key, term := range map[string]Term{"life.renewal_open": l.RenewalOpen.V,
		"life.renewal_lead": l.RenewalLead.V} {
		if term.Unit != Days {
			d.wrong(key, "%v: want calendar days", term)
		}
	}
	if l.RenewalOpen.V.N <= l.RenewalLead.V.N {
		d.wrong("life.renewal_open", "%v before expiry is no earlier than the lead of %v",
			l.RenewalOpen.V, l.RenewalLead.V)
	}
	d.checkGrounds(p)
	if !slices.Contains(p.Replacement.Takes.V, account.Chip) {
		d.wrong("replacement.takes", "the number of the old chip card always dies; name chip")
	}
	for _, s := range p.Cancellation.Waivable.V {
		if !slices.Contains(p.Cancellation.Settled.V, s) {
			d.wrong("cancellation.waivable", "%v need not be settled, so it cannot be waived", s)
		}
	}
	d.checkDeadlines(p)
}

// checkGrounds wants every ground once, no loss among them, and one for what a correction of
// printed data opens.
func (d *decoder) checkGrounds(p *Policy) {
	var seen []account.Ground
	for i, g := range p.Life.Grounds {
		if g.Ground == account.AfterLoss || slices.Contains(seen, g.Ground) {
			d.wrong(fmt.Sprintf("life.grounds[%d]", i), "%v: a loss is replaced, not renewed, and "+
				"other grounds stand once", g.Ground)
		}
		seen = append(seen, g.Ground)
	}
	for i, c := range p.Corrections {
		if ground := p.surfaceGround(c.Field); c.Surface && !slices.Contains(seen, ground) {
			d.wrong(fmt.Sprintf("corrections[%d]", i), "opens a renewal for %v, which is none of "+
				"life.grounds; add it there", ground)
		}
	}
}

// checkDeadlines wants a date for every case, in calendar or working days.
func (d *decoder) checkDeadlines(p *Policy) {
	for _, s := range p.Settings() {
		if strings.HasPrefix(s.Key, "deadlines.") && s.Value == never {
			d.wrong(s.Key, "no case is open without a date; write a period")
		}
	}
}

// checkFees wants tariffs with rising dates that price every event, the first card at nothing.
func (d *decoder) checkFees(p *Policy) {
	if len(p.Tariffs) == 0 {
		d.wrong("tariffs", "is empty; add one, with first_issue at 0")
	}
	for i, t := range p.Tariffs {
		key := fmt.Sprintf("tariffs[%d]", i)
		if i > 0 && t.From <= p.Tariffs[i-1].From {
			d.wrong(key+".from", "%v is no later than the tariff before; sort by date", t.From)
		}
		var seen []account.Event
		for j, f := range t.Fees {
			at := fmt.Sprintf("%s.fees[%d]", key, j)
			if slices.Contains(seen, f.Event) {
				d.wrong(at, "%s stands twice; keep one", f.Event)
			}
			if f.Event == account.FirstIssue && f.Amount != 0 {
				d.wrong(at+".amount", "the first card is free; write 0")
			}
			seen = append(seen, f.Event)
		}
		for _, event := range []account.Event{account.FirstIssue, account.Renewal,
			account.Replacement} {
			if !slices.Contains(seen, event) {
				d.wrong(key+".fees", "%s is not priced; add it, 0 for what is free", event)
			}
		}
	}
}

// checkLists wants every name once, and legal bases where new families are issued.
func (d *decoder) checkLists(p *Policy) {
	once := map[string]string{}
	add := func(key, kind, name string) {
		if name == "" {
			return
		}
		if first, twice := once[kind+name]; twice {
			d.wrong(key, "%s %q stands at %s already; keep one", kind, name, first)
		}
		once[kind+name] = key
	}
	for i, x := range p.Parties {
		add(fmt.Sprintf("parties[%d]", i), "party", x.ID)
		for _, name := range x.Operators {
			add(fmt.Sprintf("parties[%d].operators", i), "operator", strings.ToLower(name))
		}
		if (x.Via.V == ViaIssuerLink) != (x.Kind == PartyBank) {
			d.wrong(fmt.Sprintf("parties[%d].via", i),
				"the issuer link is the way to banks, and to nobody else")
		}
	}
	for i, x := range p.Applications {
		add(fmt.Sprintf("applications[%d]", i), "application", fmt.Sprint(x.App.Names()))
		if len(x.App.Names()) != 1 || x.App == txn.AppAll {
			d.wrong(fmt.Sprintf("applications[%d].app", i), "name one application")
		}
	}
	for i, x := range p.Families {
		add(fmt.Sprintf("families[%d]", i), "family", x.Family.String())
		if x.Mode == Issue && x.Until.V != 0 {
			d.wrong(fmt.Sprintf("families[%d].until", i), "a family that is issued has no end")
		}
	}
	for i, x := range p.Services {
		add(fmt.Sprintf("services[%d]", i), "service", x.ID)
	}
	for i, x := range p.Retention {
		add(fmt.Sprintf("retention[%d]", i), "retention of", string(x.Data))
	}
	for i, x := range p.Corrections {
		add(fmt.Sprintf("corrections[%d]", i), "correction of", x.Field.String())
	}
}

// checkSilence refuses clauses where none of the texts says anything: who bears later losses,
// the refund of a balance, how long data is kept.
func (d *decoder) checkSilence(p *Policy) {
	silent := func(key string, s Source) {
		if s.Clause != "" {
			d.wrong(key, "no text says this, so %s cannot be its source; write product_rule",
				s.Clause)
		}
	}
	silent("liability.after", p.Liability.After.Source)
	silent("liability.otherwise", p.Liability.Otherwise.Source)
	silent("cancellation.refund", p.Cancellation.Refund.Source)
	for i, x := range p.Retention {
		silent(fmt.Sprintf("retention[%d]", i), x.Source)
	}
	for i, x := range p.Parties {
		silent(fmt.Sprintf("parties[%d].loss_contract", i), x.Contract.Source)
	}
}

package scheme

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// chinaTime is the local time of every scheme: UTC+8, without daylight saving.
const chinaTime = 8 * time.Hour

// AgencyParty is the party that bears what no other does, and may be claimed against.
const AgencyParty = "agency"

// Rules returns what the life of an account needs of the policy, as it is on a day: the tariff
// is the one of that day, so rules are made anew at each business date. ErrBeyondCalendar where
// a legal period that begins on the day would leave the calendar: with these rules, no date is
// a guess as long as they are used on their day.
func (p *Policy) Rules(c *Calendar, on txn.BusinessDate) (account.Rules, error) {
	r := account.Rules{Scheme: p.City, Version: p.Version, Calendar: LocalDays{c}}
	p.reportRules(&r)
	p.cardRules(&r)
	p.caseRules(&r)
	p.listRules(&r, on)
	if err := p.reach(c, on); err != nil {
		return account.Rules{}, fmt.Errorf("rules of %s on %v: %w", p.City, on, err)
	}
	if err := r.Check(); err != nil {
		return account.Rules{}, fmt.Errorf("policy of %s: %w", p.City, err)
	}
	return r, nil
}

// reach tries every period of working days from a day on.
func (p *Policy) reach(c *Calendar, on txn.BusinessDate) error {
	for _, t := range p.Deadlines.terms() {
		if _, err := c.Add(on, t); err != nil {
			return err
		}
	}
	if terms := p.PreReport.Terms; terms != nil && terms.Written.V.Unit == WorkingDays {
		_, err := c.Add(on, terms.Written.V)
		return err
	}
	return nil
}

func (d *Deadlines) terms() []Term {
	return []Term{d.ProductionData.V, d.FirstIssue.V, d.Renewal.V, d.Replacement.V,
		d.Refusal.V, d.Release.V, d.Cancellation.V, d.Suspension.V, d.Correction.V, d.Complaint.V, d.Claim.V, d.Finding.V}
}

func (p *Policy) reportRules(r *account.Rules) {
	r.Loss = account.LossRules{Access: p.access(p.Report.Access),
		Forms: account.SetOf(p.Report.Forms.V...), Boundary: p.Liability.Boundary.V,
		TellBank: p.Report.BankReport.V}
	r.PreReport.Allowed = p.PreReport.Allowed.V
	if t := p.PreReport.Terms; t != nil {
		r.PreReport = account.PreReportRules{Allowed: r.PreReport.Allowed,
			Access: p.access(t.Access), Impossible: t.OnlyWhenImpossible.V,
			Lapse: days(t.Lapse.V), Written: days(t.Written.V),
			MovesBoundary: t.MovesBoundary.V}
	}
	r.Release = account.ReleaseRules{Access: p.access(p.Release.Access),
		SecondPerson: p.Release.SecondPerson.V, Closes: p.Release.Closes.V,
		AfterRefusal: p.Release.Refused.V}
	if t := p.Suspension.Terms; t != nil {
		r.Suspensions = []account.SuspensionRule{{App: t.App.V, Role: t.Role.V,
			Faults: account.SetOf(t.Grounds.V...)}}
	}
}

func (p *Policy) cardRules(r *account.Rules) {
	r.Application = account.ApplicationRules{Access: p.access(p.Applying.Access),
		Checked: p.Applying.Checked.V, ECardMeanwhile: p.Applying.ECardMeanwhile.V}
	if !p.Applying.Employer.V {
		r.Application.Actors &^= account.SetOf(account.Employer)
	}
	r.Replacement = account.ReplacementRules{Access: p.access(p.Replacement.Access),
		Takes:          account.SetOf(p.Replacement.Takes.V...),
		TemporaryKinds: account.SetOf(p.Temporary.Kinds.V...),
		TemporaryDays:  days(p.Temporary.Valid.V)}
	for _, g := range p.Life.Grounds {
		r.Replacement.Grounds |= account.SetOf(g.Ground)
		if g.Must {
			r.Replacement.Duties |= account.SetOf(g.Ground)
		}
	}
	r.Validity = account.ValidityRules{Years: p.Life.ValidityYears.V,
		OpenDays: p.Life.RenewalOpen.V.N, LeadDays: p.Life.RenewalLead.V.N,
		ServesRenewing: p.Life.ServiceGoesOn.V}
	r.Cancellation = account.CancellationRules{Access: p.access(p.Cancellation.Access),
		ExOfficio: p.Cancellation.ExOfficio.V,
		Waivable:  account.SetOf(p.Cancellation.Waivable.V...), Refund: p.Cancellation.Refund.V}
}

func (p *Policy) caseRules(r *account.Rules) {
	d := &p.Deadlines
	r.Limits = account.Limits{ProductionData: days(d.ProductionData.V),
		FirstIssue: days(d.FirstIssue.V), Renewal: days(d.Renewal.V),
		Replacement: days(d.Replacement.V), RefuseWithin: days(d.Refusal.V),
		Release: days(d.Release.V), Cancellation: days(d.Cancellation.V),
		Suspension: days(d.Suspension.V), Correction: days(d.Correction.V),
		Complaint: days(d.Complaint.V), Claim: days(d.Claim.V), Finding: days(d.Finding.V)}
	r.Claims = account.ClaimRules{Access: p.access(p.Claims.Access),
		Faults:    account.SetOf(p.Liability.Findings.V...),
		AmountMax: p.Claims.AmountMax.V}
	if p.Claims.Compensation.V {
		r.Claims.Parties = []string{AgencyParty}
		for _, party := range p.Parties {
			r.Claims.Parties = append(r.Claims.Parties, party.ID)
		}
	}
}

func (p *Policy) listRules(r *account.Rules, on txn.BusinessDate) {
	for _, a := range p.Applications {
		r.Functions = append(r.Functions, account.FunctionRule{App: a.App,
			Channels: account.SetOf(a.Channels.V...), Outlets: slices.Clone(p.Outlets.V),
			From: a.Start.V, AfterBank: a.NeedsBank.V, AtIssue: a.AtIssue.V})
	}
	for _, f := range p.Families {
		r.Families = append(r.Families, account.FamilyRule{Name: f.Family.String(),
			Issue: f.Mode == Issue, Until: f.Until.V, Basis: f.Basis})
	}
	if t, ok := p.tariff(on); ok {
		for _, f := range t.Fees {
			r.Tariff = append(r.Tariff, account.FeeRule{Event: f.Event, Amount: f.Amount,
				Income: t.Income, Waivers: waivers(f.Waivers.V)})
		}
	}
	for _, c := range p.Corrections {
		f := account.FieldRule{Field: c.Field, Owner: c.Owner.V, Surface: c.Surface}
		if c.Surface {
			f.Ground = p.surfaceGround(c.Field)
		}
		r.Fields = append(r.Fields, f)
	}
	for _, q := range p.Query.Purposes {
		r.Purposes = append(r.Purposes, account.PurposeRule{Purpose: q.Purpose,
			Roles: slices.Clone(q.Roles), Consent: q.Consent})
	}
}

// surfaceGround returns the ground of the renewal that a corrected field opens: that of name
// and ID number where the scheme knows it, else changed surface data.
func (p *Policy) surfaceGround(f account.Field) account.Ground {
	named := f == account.HolderName || f == account.HolderID
	known := slices.ContainsFunc(p.Life.Grounds,
		func(g RenewalGround) bool { return g.Ground == account.NameChanged })
	if named && known {
		return account.NameChanged
	}
	return account.SurfaceChanged
}

// tariff returns the tariff of a day.
func (p *Policy) tariff(on txn.BusinessDate) (Tariff, bool) {
	for _, t := range slices.Backward(p.Tariffs) {
		if t.From <= on {
			return t, true
		}
	}
	return Tariff{}, false
}

func (p *Policy) access(a Access) account.Access {
	return account.Access{Actors: account.SetOf(a.Actors.V...),
		Channels: account.SetOf(a.Channels.V...), Outlets: slices.Clone(p.Outlets.V),
		IDs: account.SetOf(a.IDs.V...)}
}

func days(t Term) account.Days { return account.Days{N: t.N, Working: t.Unit == WorkingDays} }

func waivers(reasons []Waiver) []string {
	all := make([]string, len(reasons))
	for i, w := range reasons {
		all[i] = string(w)
	}
	return all
}

// LocalDays is a calendar as accounts ask it. Accounts cannot be told that a day is unknown,
// so beyond the calendar every day counts, which gives the earliest date that there can be;
// Policy.Rules refuses to be made where it would come to that.
type LocalDays struct{ *Calendar }

var _ account.WorkingDays = LocalDays{}

// Date returns the local calendar day of an instant.
func (l LocalDays) Date(at txn.Millis) txn.BusinessDate {
	return txn.DateOf(at.Time().Add(chinaTime), time.UTC, 0)
}

// Start returns the first instant of a local calendar day.
func (l LocalDays) Start(d txn.BusinessDate) txn.Millis {
	return txn.MillisOf(d.Time().Add(-chinaTime))
}

// Working reports whether a day counts as a working day.
func (l LocalDays) Working(d txn.BusinessDate) bool {
	works, err := l.IsWorkingDay(d)
	return works || err != nil
}

// checkNames wants the names that accounts and the ledger keep to be short and plain.
func (d *decoder) checkNames(p *Policy) {
	short := func(key, name string) {
		if len(name) > account.NameMax || strings.ContainsAny(name, " \t\n") {
			d.wrong(key, "%q: at most %d letters without spaces", name, account.NameMax)
		}
	}
	for i, x := range p.Parties {
		short(fmt.Sprintf("parties[%d].id", i), x.ID)
		if x.ID == AgencyParty {
			d.wrong(fmt.Sprintf("parties[%d].id", i), "%s is the agency itself; choose another",
				AgencyParty)
		}
	}
	for i, x := range p.Outlets.V {
		short(fmt.Sprintf("outlets[%d]", i), x)
	}
	for i, x := range p.Corrections {
		short(fmt.Sprintf("corrections[%d].owner", i), x.Owner.V)
	}
	for i, x := range p.Tariffs {
		short(fmt.Sprintf("tariffs[%d].income", i), x.Income)
	}
	for i, x := range p.Query.Purposes {
		short(fmt.Sprintf("query.purposes[%d].purpose", i), x.Purpose)
	}
}

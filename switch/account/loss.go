package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// PreReport is a report by telephone before the written one (ZS17, 预挂失). It freezes all
// carriers at once.
type PreReport struct {
	Who Who
	Why string // why writing is impossible, as a stable word
}

// Name returns the step's stable name.
func (PreReport) Name() string { return "pre_report" }

func (s PreReport) decide(c *change) Refusal {
	rule := &c.rules.PreReport
	if !rule.Allowed {
		return NotOffered
	}
	if r := c.allowed(&rule.Access, s.Who); r != RefusalNone {
		return r
	}
	switch {
	case long(s.Why):
		return InvalidCommand
	case rule.Impossible && s.Why == "":
		return NoReason
	case !c.next.unreported():
		return AlreadyReported
	case !c.room(CasePreReport):
		return TooManyCases
	}
	k := c.open(CasePreReport, Accepted, s.Who)
	r := c.restriction(txn.PreReported, k.No, s.Who)
	r.LapsesAt = c.rules.due(c.now, rule.Lapse)
	return c.freeze(r, s.Who.words(), s.Why)
}

// unreported reports whether a loss report would freeze anything: there is a living
// carrier that no loss reaches.
func (a *Account) unreported() bool {
	return slices.ContainsFunc(a.Carriers, func(k Carrier) bool {
		return !slices.ContainsFunc(a.Restrictions, func(r Restriction) bool {
			return r.loss() && r.reaches(&k)
		})
	})
}

// restriction makes a restriction of everything with the facts of the command.
func (c *change) restriction(why txn.FreezeReason, no uint32, who Who) Restriction {
	return Restriction{Reason: why, Scope: txn.AppAll, Case: no, Received: c.received, Since: c.now,
		Counts: c.now, Actor: who.Actor, ID: who.ID, Channel: who.Channel, By: c.cmd.By.ID,
		Outlet: c.cmd.By.Outlet, Role: c.cmd.By.Role}
}

// freeze puts a restriction in force, tells the carriers, and then the parties.
func (c *change) freeze(r Restriction, notes ...string) Refusal {
	if len(c.next.Restrictions) >= RestrictionsMax {
		return AccountFull
	}
	c.next.Restrictions = append(c.next.Restrictions, r)
	c.statuses()
	c.marks()
	notice := NoticeFreeze
	if r.Reason == txn.Suspended {
		notice = NoticeSuspended
	}
	c.push(Effect{Kind: Notify, Notice: notice, Case: r.Case, Since: c.received})
	c.note(notes...)
	return RefusalNone
}

// statuses lets carriers be reported lost while a loss reaches them.
func (c *change) statuses() {
	for i := range c.next.Carriers {
		k := &c.next.Carriers[i]
		lost := slices.ContainsFunc(c.next.Restrictions, func(r Restriction) bool {
			return r.loss() && r.reaches(k)
		})
		switch {
		case lost && (k.Status == Active || k.Status == Expired):
			k.Status = ReportedLost
		case !lost && k.Status == ReportedLost && c.next.Stage == StageExpired:
			k.Status = Expired
		case !lost && k.Status == ReportedLost:
			k.Status = Active
		}
	}
}

// ReportLoss is the loss report (HD18, ZS17, WZ16). It freezes all carriers at once, and
// takes the place of a pre-report.
type ReportLoss struct {
	Who      Who
	Form     Form
	FormNo   string // number of the form, or of the agent's authority
	BankTold bool   // the holder was told to report to the bank as well
}

// Name returns the step's stable name.
func (ReportLoss) Name() string { return "report_loss" }

func (s ReportLoss) decide(c *change) Refusal {
	rule := &c.rules.Loss
	if r := c.allowed(&rule.Access, s.Who); r != RefusalNone {
		return r
	}
	pre := c.next.find(txn.PreReported)
	switch {
	case long(s.FormNo):
		return InvalidCommand
	case !rule.Forms.Has(s.Form) || s.Form == FormNone || s.Form >= formEnd:
		return FormNotAllowed
	case s.Who.Actor == Agent && s.FormNo == "":
		return NoDecision
	case pre == nil && !c.next.unreported():
		return AlreadyReported
	case rule.TellBank && c.next.BankSince != 0 && !s.BankTold:
		return BankNotTold
	}
	r := c.restriction(txn.Lost, 0, s.Who)
	r.Form, r.Decision, r.BankTold = s.Form, s.FormNo, s.BankTold
	r.Case = c.instant(CaseLoss, s.Who)
	if pre != nil {
		c.confirm(&r, pre.Case)
	}
	c.out.Case = r.Case
	if c.charge(LossReport) != RefusalNone {
		c.note("no_fee") // no fee holds a freeze up
	}
	return c.freeze(r, s.Who.words(), s.Form.String(), bankWords(s.BankTold))
}

func bankWords(told bool) string {
	if told {
		return "bank_told"
	}
	return ""
}

// confirm lets the written report take over from the pre-report.
func (c *change) confirm(r *Restriction, preCase uint32) {
	i := slices.IndexFunc(c.next.Restrictions, func(o Restriction) bool { return o.Case == preCase })
	if pre := &c.next.Restrictions[i]; c.rules.PreReport.MovesBoundary {
		r.Counts, r.Effective = pre.Counts, pre.Effective
	}
	c.next.Restrictions = slices.Delete(c.next.Restrictions, i, i+1)
	if k := c.next.Case(preCase); k != nil {
		c.end(k, Completed)
	}
}

// RequestRelease asks for the end of a loss report (HD20, ZS18). Where a second person
// confirms, nothing is open until then.
type RequestRelease struct {
	Who     Who
	Carrier pan.Token // the card that was found again; zero: all
}

// Name returns the step's stable name.
func (RequestRelease) Name() string { return "request_release" }

func (s RequestRelease) decide(c *change) Refusal {
	if r := c.releasable(s.Carrier); r != RefusalNone {
		return r
	}
	if r := c.allowed(&c.rules.Release.Access, s.Who); r != RefusalNone {
		return r
	}
	if c.next.openCase(CaseRelease) != nil {
		return CaseOpen
	}
	if !c.room(CaseRelease) {
		return TooManyCases
	}
	c.note(s.Who.words())
	if c.rules.Release.SecondPerson {
		k := c.open(CaseRelease, Waiting, s.Who)
		k.Carrier = s.Carrier
		return RefusalNone
	}
	c.instant(CaseRelease, s.Who)
	return c.release()
}

// releasable tells whether a loss report may end. A number that is dead never comes back,
// whatever else is in force.
func (c *change) releasable(token pan.Token) Refusal {
	a := c.next
	switch {
	case a.Closed != 0 || a.Gone(token) != nil:
		return ReleaseClosed
	case !token.IsZero() && a.Carrier(token) == nil:
		return UnknownCarrier
	case !a.Lost():
		return NotReported
	case slices.ContainsFunc(a.Restrictions, func(r Restriction) bool { return r.loss() && r.Closed }):
		return ReleaseClosed
	default:
		return RefusalNone
	}
}

// ConfirmRelease is the second person's word.
type ConfirmRelease struct {
	Case uint32
	Deny bool // the release is refused; the freeze holds
}

// Name returns the step's stable name.
func (ConfirmRelease) Name() string { return "confirm_release" }

func (s ConfirmRelease) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseRelease)
	switch {
	case r != RefusalNone:
		return r
	case k.By == c.cmd.By.ID:
		return SamePerson
	case s.Deny:
		c.note("denied")
		c.end(k, Refused)
		return RefusalNone
	}
	// A replacement may have been done or applied for meanwhile.
	if r := c.releasable(k.Carrier); r != RefusalNone {
		return r
	}
	c.received = k.Received // the wait for the second person is part of the measure
	c.end(k, Completed)
	return c.release()
}

// release ends the losses, charges the fee and tells the parties. A replacement that was
// applied for is withdrawn by it: the card is there again. One whose new card is made
// belongs to an earlier loss.
func (c *change) release() Refusal {
	no := c.out.Case
	if k := c.next.openCase(CaseReplacement); k != nil && k.State != Made {
		forCase := k.No
		c.end(k, Withdrawn)
		c.out.Case = no
		c.retireTemporary(forCase)
	}
	c.unlose(c.next.LastCase+1, no)
	if r := c.charge(LossRelease); r != RefusalNone {
		return r
	}
	c.notify(NoticeRelease)
	return RefusalNone
}

// unlose ends the losses and pre-reports whose case came before the given one, with what
// hangs on them. A loss that was reported later is another one and stays.
func (c *change) unlose(before, no uint32) {
	c.next.Restrictions = slices.DeleteFunc(c.next.Restrictions, func(r Restriction) bool {
		return r.loss() && r.Case < before
	})
	if k := c.next.openCase(CasePreReport); k != nil && k.No < before {
		c.end(k, Completed)
	}
	if k := c.next.openCase(CaseRelease); k != nil && !c.next.Lost() {
		c.end(k, Withdrawn)
	}
	c.out.Case = no
	c.statuses()
	c.marks()
}

// FreezeRisk is the scheme's own freeze, for instance after a forged code.
type FreezeRisk struct {
	Scope  txn.App
	Ground string
}

// Name returns the step's stable name.
func (FreezeRisk) Name() string { return "freeze_risk" }

func (s FreezeRisk) decide(c *change) Refusal {
	switch {
	case s.Ground == "":
		return NoReason
	case s.Scope == 0 || long(s.Ground):
		return InvalidCommand
	case s.Scope&^c.next.risked() == 0:
		return AlreadyReported
	}
	r := c.restriction(txn.Risk, 0, Who{Actor: Agency})
	r.Scope, r.Decision = s.Scope, s.Ground
	r.Case = c.instant(CaseRisk, Who{Actor: Agency})
	return c.freeze(r, s.Ground)
}

// risked is what the scheme's own freezes close. One that closes more is added to it.
func (a *Account) risked() (scope txn.App) {
	for i := range a.Restrictions {
		if r := &a.Restrictions[i]; r.Reason == txn.Risk {
			scope |= r.Scope
		}
	}
	return scope
}

// NumberDied takes in that a number is dead which the account still bears: the blacklist says
// so for ever, by somebody else's freeze or from a time that the document has forgotten. What
// became of the number's successor is not known; another card may be applied for, and gets the
// money. A card that dies in production is made again under the same case. What a cancelled
// number holds goes to the living card of the account, for there is nothing to decide.
type NumberDied struct {
	Carrier   pan.Token
	Cancelled bool // and not replaced
}

// Name returns the step's stable name.
func (NumberDied) Name() string { return "number_died" }

func (s NumberDied) decide(c *change) Refusal {
	if c.next.Gone(s.Carrier) != nil {
		c.out.Replay = true
		return RefusalNone
	}
	if _, r := c.carrier(s.Carrier); r != RefusalNone {
		return r
	}
	how := Replaced
	if s.Cancelled {
		how = Cancelled
	}
	c.kill(s.Carrier, how)
	c.note(how.String())
	if c.makeAgain(s.Carrier) || !s.Cancelled {
		return RefusalNone
	}
	if to := c.next.main(); to != nil {
		c.cards()
		c.bequeath(s.Carrier, to.Token)
	}
	return RefusalNone
}

// makeAgain reopens the case under which a card was made that died before it was handed out:
// its next card gets what that one holds. It reports whether there is one.
func (c *change) makeAgain(died pan.Token) bool {
	k := c.next.openCase(CaseReplacement, CaseRenewal)
	if k == nil || k.State != Made || k.Next != died {
		return false
	}
	k.Carrier, k.Next, k.Made = died, pan.Token{}, 0
	c.move(k, Accepted)
	return true
}

// LiftRisk ends the scheme's own freezes; another person than made them must do it.
type LiftRisk struct{ Why string }

// Name returns the step's stable name.
func (LiftRisk) Name() string { return "lift_risk" }

func (s LiftRisk) decide(c *change) Refusal {
	r := c.next.find(txn.Risk)
	switch {
	case r == nil:
		return NotReported
	case s.Why == "":
		return NoReason
	case long(s.Why):
		return InvalidCommand
	case slices.ContainsFunc(c.next.Restrictions, func(r Restriction) bool {
		return r.Reason == txn.Risk && r.By == c.cmd.By.ID
	}):
		return SamePerson
	}
	c.out.Case = r.Case
	c.next.Restrictions = slices.DeleteFunc(c.next.Restrictions, func(r Restriction) bool {
		return r.Reason == txn.Risk
	})
	c.marks()
	c.notify(NoticeRelease)
	c.note(s.Why)
	return RefusalNone
}

// Suspend closes one application by decision of an authority (SY17). Everything else stays
// open.
type Suspend struct {
	App      txn.App
	Decision string
	Fault    Fault
}

// Name returns the step's stable name.
func (Suspend) Name() string { return "suspend_function" }

func (s Suspend) decide(c *change) Refusal {
	rule, r := c.suspension(s.App, s.Decision)
	switch {
	case r != RefusalNone:
		return r
	case rule.Faults != 0 && !rule.Faults.Has(s.Fault) || s.Fault >= faultEnd:
		return GroundNotAllowed
	case c.suspended(s.App) >= 0:
		return AlreadySuspended
	case !c.room(CaseSuspension):
		return TooManyCases
	}
	k := c.open(CaseSuspension, Accepted, Who{Actor: Authority})
	k.App, k.Decision, k.Fault = s.App, s.Decision, s.Fault
	what := c.restriction(txn.Suspended, k.No, Who{Actor: Authority})
	what.Scope, what.Decision, what.Fault = s.App, s.Decision, s.Fault
	return c.freeze(what, appWords(s.App), s.Decision)
}

// suspension finds the rule by which the role may suspend an application.
func (c *change) suspension(app txn.App, decision string) (*SuspensionRule, Refusal) {
	i := slices.IndexFunc(c.rules.Suspensions, func(r SuspensionRule) bool { return r.App == app })
	switch {
	case i < 0:
		return nil, NotOffered
	case c.rules.Suspensions[i].Role != c.cmd.By.Role:
		return nil, RoleNotAllowed
	case decision == "":
		return nil, NoDecision
	case long(decision):
		return nil, InvalidCommand
	default:
		return &c.rules.Suspensions[i], RefusalNone
	}
}

func (c *change) suspended(app txn.App) int {
	return slices.IndexFunc(c.next.Restrictions, func(r Restriction) bool {
		return r.Reason == txn.Suspended && r.Scope == app
	})
}

// Restore ends a suspension; the same role does it, by a decision of its own.
type Restore struct {
	App      txn.App
	Decision string
}

// Name returns the step's stable name.
func (Restore) Name() string { return "restore_function" }

func (s Restore) decide(c *change) Refusal {
	if _, r := c.suspension(s.App, s.Decision); r != RefusalNone {
		return r
	}
	i := c.suspended(s.App)
	if i < 0 {
		return NotSuspended
	}
	no := c.next.Restrictions[i].Case
	c.next.Restrictions = slices.Delete(c.next.Restrictions, i, i+1)
	if k := c.next.Case(no); k != nil {
		c.end(k, Completed)
	}
	c.out.Case = no
	c.marks()
	c.notify(NoticeRestored)
	c.note(appWords(s.App), s.Decision)
	return RefusalNone
}

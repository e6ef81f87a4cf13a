package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// CaseKind is what a case is about.
type CaseKind uint8

// The kinds of case.
const (
	CaseNone CaseKind = iota
	CaseApplication
	CasePreReport
	CaseLoss // ends as it is accepted; its facts stand in the restriction
	CaseRelease
	CaseReplacement
	CaseRenewal
	CaseCancellation
	CaseSuspension
	CaseCorrection
	CaseComplaint
	CaseClaim
	CaseFinding
	CaseRisk // ends as it is accepted, like CaseLoss
	caseEnd
)

var caseNames = []string{"none", "application", "pre_report", "loss", "release", "replacement",
	"renewal", "cancellation", "suspension", "correction", "complaint", "claim", "finding", "risk"}

// String returns the kind's stable name.
func (k CaseKind) String() string { return nameOf(caseNames, k) }

// ParseCaseKind reads a stable name.
func ParseCaseKind(s string) (CaseKind, error) { return parse[CaseKind](caseNames, "case kind", s) }

// CaseState is how far a case is.
type CaseState uint8

// The states. From Completed on a case has ended.
const (
	CaseStateNone CaseState = iota
	Received
	Accepted
	Waiting // for a second person
	Sent    // production data sent
	Made    // procedure done, card not handed out
	Completed
	Refused
	Withdrawn
	Lapsed
	caseStateEnd
)

var caseStateNames = []string{"none", "received", "accepted", "waiting", "sent", "made",
	"completed", "refused", "withdrawn", "lapsed"}

// String returns the state's stable name.
func (s CaseState) String() string { return nameOf(caseStateNames, s) }

// Ended reports whether nothing more is to be done.
func (s CaseState) Ended() bool { return s >= Completed }

// Case is an open case. It holds what is needed to end it, and its dates.
type Case struct {
	No    uint32
	Kind  CaseKind
	State CaseState

	Received txn.Millis // at the counter
	Accepted txn.Millis
	Sent     txn.Millis
	Made     txn.Millis
	Due      txn.Millis // the next legal date
	Alarmed  bool       // the date passed and was reported

	Owner    string // outlet or department
	By       string // who is to be another than the second person
	Actor    Actor
	Channel  Channel
	ID       IDKind
	Ground   Ground
	Fault    Fault
	Field    Field
	Undo     bool        // a finding that takes an earlier one back
	App      txn.App     // of a suspension
	Left     Set[Affair] // what a cancellation waits for
	Waived   Set[Affair]
	Carrier  pan.Token // the card that the case is about
	Next     pan.Token // its successor
	Party    string    // who is said to be liable
	Amount   txn.Minor
	Decision string // number of a decision or form, or where the proof is
	Txns     []txn.Position
	Lines    []Line
}

// Line is a line of a case's history.
type Line struct {
	At    txn.Millis
	State CaseState
	By    string
}

// Overdue reports whether the legal date of a case has passed at now.
func (k *Case) Overdue(now txn.Millis) bool { return k.Due != 0 && now >= k.Due }

// Case returns the open case of that number, or nil.
func (a *Account) Case(no uint32) *Case {
	for i := range a.Cases {
		if a.Cases[i].No == no {
			return &a.Cases[i]
		}
	}
	return nil
}

// EndedCase returns the line of an ended case, or nil when it is open or forgotten.
func (a *Account) EndedCase(no uint32) *Ended {
	for i := range a.Ended {
		if a.Ended[i].No == no {
			return &a.Ended[i]
		}
	}
	return nil
}

func (a *Account) openCase(kinds ...CaseKind) *Case {
	for i := range a.Cases {
		if slices.Contains(kinds, a.Cases[i].Kind) {
			return &a.Cases[i]
		}
	}
	return nil
}

// limit returns the limit that a case runs under and the instant from which it counts.
func (r *Rules) limit(k *Case) (txn.Millis, Days) {
	l := &r.Limits
	switch k.Kind {
	case CaseApplication:
		if k.Sent == 0 {
			return k.Accepted, l.ProductionData
		}
		return k.Accepted, l.FirstIssue
	case CaseReplacement, CaseRenewal:
		if k.Accepted == 0 {
			return k.Received, l.RefuseWithin
		}
		if k.Kind == CaseRenewal {
			return k.Accepted, l.Renewal
		}
		return k.Accepted, l.Replacement
	case CasePreReport:
		return k.Accepted, r.PreReport.Written
	case CaseRelease:
		return k.Received, l.Release
	case CaseCancellation:
		return k.Received, l.Cancellation
	case CaseSuspension:
		return k.Received, l.Suspension
	case CaseCorrection:
		return k.Received, l.Correction
	case CaseComplaint:
		return k.Received, l.Complaint
	case CaseClaim:
		return k.Received, l.Claim
	default:
		return k.Received, l.Finding
	}
}

// open adds a case that came in with the command. The caller has made sure that there is
// room.
func (c *change) open(kind CaseKind, state CaseState, who Who) *Case {
	c.next.LastCase++
	c.next.Cases = append(c.next.Cases, Case{No: c.next.LastCase, Kind: kind, State: state,
		Received: c.received, Actor: who.Actor, Channel: who.Channel, ID: who.ID,
		Owner: c.cmd.By.Outlet, By: c.cmd.By.ID})
	k := &c.next.Cases[len(c.next.Cases)-1]
	if state != Received {
		k.Accepted = c.now
	}
	c.out.Case = k.No
	c.out.Opened = append(c.out.Opened, CaseRef{Kind: kind, No: k.No})
	c.line(k)
	return k
}

// move takes a case to another state and sets its next legal date.
func (c *change) move(k *Case, state CaseState) {
	k.State = state
	switch state {
	case Accepted:
		if k.Accepted == 0 {
			k.Accepted = c.now
		}
	case Sent:
		k.Sent = c.now
	case Made:
		k.Made = c.now
	}
	c.line(k)
}

func (c *change) line(k *Case) {
	if len(k.Lines) == LinesMax {
		k.Lines = slices.Delete(k.Lines, 1, 2)
	}
	k.Lines = append(k.Lines, Line{At: c.now, State: k.State, By: c.cmd.By.ID})
	if due := c.rules.due(c.rules.limit(k)); due != k.Due {
		k.Due, k.Alarmed = due, false
	}
	c.out.Case = k.No
}

// end closes a case and keeps a line of it. k must not be used afterwards.
func (c *change) end(k *Case, state CaseState) {
	a, no := c.next, k.No
	if len(a.Ended) == EndedMax {
		a.Ended = slices.Delete(a.Ended, 0, 1)
	}
	line := Ended{No: no, Kind: k.Kind, State: state, From: k.Received, At: c.now}
	if c.out.Paper != nil {
		line.Paper = c.out.Paper.Digest()
	}
	a.Ended = append(a.Ended, line)
	c.out.Case = no
	c.out.Ended = append(c.out.Ended, CaseRef{Kind: k.Kind, No: no})
	a.Cases = slices.DeleteFunc(a.Cases, func(o Case) bool { return o.No == no })
}

// instant opens a case that ends as it is accepted, and returns its number.
func (c *change) instant(kind CaseKind, who Who) uint32 {
	k := c.open(kind, Accepted, who)
	no := k.No
	c.end(k, Completed)
	return no
}

// wanted returns the open case that a step names, of one of the kinds.
func (c *change) wanted(no uint32, kinds ...CaseKind) (*Case, Refusal) {
	k := c.next.Case(no)
	switch {
	case k == nil && c.next.EndedCase(no) != nil:
		return nil, CaseHasEnded
	case k == nil || !slices.Contains(kinds, k.Kind):
		return nil, UnknownCase
	default:
		return k, RefusalNone
	}
}

// Package liability judges who bears a transaction of a lost card: the holder before the
// boundary that the scheme names, and after it the party that was late where its contract
// says so. What was served off line after the end of the purse's lease is the party's that
// served it, whatever the boundary says; which that is stands in the record, judged once when it
// was booked.
//
// It is pure: values in, a verdict out; no clock, no network. Instants are Unix
// milliseconds, amounts minor units. What counts is when the card was served, never when the
// record was uploaded (HD18, HD19, ZS17, WZ17). A verdict says why in words that do not
// change, so that gate, desk and holder can be told the same.
package liability

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Bearer is whom the scheme lets bear a loss.
type Bearer uint8

// The bearers. LateParty is the party that served the card after it should have frozen it.
const (
	NoBearer Bearer = iota
	Holder
	LateParty
	Agency
	bearerEnd
)

var bearerNames = [bearerEnd]string{"none", "holder", "late_party", "agency"}

// String returns the bearer's stable name.
func (b Bearer) String() string {
	if b >= bearerEnd {
		return "unknown"
	}
	return bearerNames[b]
}

// Rules are what the scheme says: the boundary, who bears before and after it, who bears
// where no party can be charged, and how long a party may take.
type Rules struct {
	Boundary  account.Boundary
	Before    Bearer
	After     Bearer
	Otherwise Bearer
	Window    txn.Millis
}

// Check reports rules that judge nothing.
func (r *Rules) Check() error {
	switch {
	case r.Boundary == account.BoundaryNone:
		return fmt.Errorf("liability: no boundary")
	case r.Before == NoBearer || r.After == NoBearer || r.Otherwise == NoBearer:
		return fmt.Errorf("liability: bearers %s, %s, %s: none is missing", r.Before, r.After, r.Otherwise)
	case r.Otherwise == LateParty:
		return fmt.Errorf("liability: the late party cannot bear what no party is charged with")
	case r.Window <= 0:
		return fmt.Errorf("liability: a window of %d ms", r.Window)
	default:
		return nil
	}
}

// Freeze is what happened, as far as it has happened: zero for what has not.
type Freeze struct {
	Accepted  txn.Millis // the report, as the scheme counts it
	Effective txn.Millis // the report took effect: every carrier of the account was frozen
	Frozen    txn.Millis // the card was on the hot list
	Sent      txn.Millis // the first notice left
}

// Party is one that had to freeze, with its clock.
type Party struct {
	Name     string
	Kind     txn.Liability // operator, acquirer, issuer or agency
	Contract string        // clause by which later losses are booked to it; "" for none
	Sent     txn.Millis
	Received txn.Millis // zero while there is no proof
	Froze    txn.Millis // zero while it has not
}

// Due is when the party had to have frozen: its time from receipt, and from sending where
// there is no proof of receipt; zero when nothing was sent to it.
func (p *Party) Due(window txn.Millis) txn.Millis {
	switch {
	case p.Received != 0:
		return p.Received + window
	case p.Sent != 0:
		return p.Sent + window
	default:
		return 0
	}
}

// Verdict says who bears a transaction.
type Verdict struct {
	Bears txn.Liability
	// Party names who bears it, "" for the holder and the agency.
	Party string
	// Boundary is the moment that parted it, zero while it has not come.
	Boundary txn.Millis
	// Why is a stable word, Clause the contract that it rests on.
	Why    string
	Clause string
}

// The reasons of a verdict.
const (
	WhyBefore     = "served_before_the_boundary"
	WhyNoBoundary = "boundary_not_reached"
	WhyLate       = "party_was_late"
	WhyInTime     = "party_was_in_time"
	WhyNotTold    = "party_was_not_told"
	WhyNoContract = "no_contract_clause"
	WhyRule       = "rule_of_the_scheme"
	WhyLease      = "lease_ended"
)

// Boundary returns the moment from which a loss at p is no longer the holder's; zero while
// it has not come. With FreezeDue it is the earlier of the party's actual freeze and the end
// of its time (HD19); the others are the same for all parties.
func Boundary(r *Rules, f *Freeze, p *Party) txn.Millis {
	switch r.Boundary {
	case account.ReportAccepted:
		return f.Accepted
	case account.ReportEffective:
		return f.Effective
	case account.FreezeActual:
		return f.Frozen
	case account.FreezeDue:
		due := p.Due(r.Window)
		if p.Froze != 0 && (due == 0 || p.Froze < due) {
			return p.Froze
		}
		return due
	default:
		return 0
	}
}

// Judge says who bears a transaction that p served at an instant.
func Judge(r *Rules, f *Freeze, p *Party, servedAt txn.Millis) Verdict {
	v := Verdict{Boundary: Boundary(r, f, p)}
	switch {
	case v.Boundary == 0:
		return v.by(r.Before, p, WhyNoBoundary)
	case servedAt < v.Boundary:
		return v.by(r.Before, p, WhyBefore)
	case r.After != LateParty:
		return v.by(r.After, p, WhyRule)
	}
	due := p.Due(r.Window)
	switch {
	case due == 0:
		return v.by(r.Otherwise, p, WhyNotTold)
	case servedAt < due && (p.Froze == 0 || servedAt < p.Froze):
		return v.by(r.Otherwise, p, WhyInTime)
	case p.Contract == "":
		return v.by(r.Otherwise, p, WhyNoContract)
	default:
		return v.by(LateParty, p, WhyLate)
	}
}

func (v Verdict) by(b Bearer, p *Party, why string) Verdict {
	v.Why = why
	switch b {
	case Holder:
		v.Bears = txn.LiabilityHolder
	case LateParty:
		v.Bears, v.Party, v.Clause = p.Kind, p.Name, p.Contract
	default:
		v.Bears = txn.LiabilityAgency
	}
	return v
}

// Account is the loss account of who bears a verdict; "" for the holder, whose purse paid.
func (v *Verdict) Account() txn.Account {
	switch v.Bears {
	case txn.LiabilityHolder, txn.LiabilityNone:
		return ""
	case txn.LiabilityAgency:
		return "loss/agency"
	default:
		return txn.Account("loss/" + v.Party)
	}
}

// Entry is what books a change of who bears a transaction: Amount is credited to the holder
// and debited to Against; negative takes it back. Each move is an entry of its own, so the
// history of a transaction is the sum of its entries.
type Entry struct {
	Bears   txn.Liability
	Against txn.Account
	Amount  txn.Minor
}

// Move returns the entries that take a transaction of amount from one verdict to another:
// none when the same party bears it.
func Move(from, to *Verdict, amount txn.Minor) []Entry {
	a, b := from.Account(), to.Account()
	if a == b || amount == 0 {
		return nil
	}
	var entries []Entry
	if a != "" {
		entries = append(entries, Entry{Bears: to.Bears, Against: a, Amount: -amount})
	}
	if b != "" {
		entries = append(entries, Entry{Bears: to.Bears, Against: b, Amount: amount})
	}
	return entries
}

// Use is a transaction of a lost card as its record tells it.
type Use struct {
	At txn.Millis
	// LeaseEnded: the gate served the purse off line after the end of its lease.
	LeaseEnded bool
}

// UseOf reads a settled record.
func UseOf(r *txn.Record) Use {
	return Use{At: r.ServiceAt, LeaseEnded: r.Offline && r.Reason == txn.LeaseEnded}
}

// JudgeUse says who bears a transaction that p served: Judge, but for the lease. What was served
// after its end the party bears, on both sides of every boundary and with or without a contract
// that names later losses: it had to refuse the card on what the card itself said, whether or
// not anybody had reported a loss or told the party of it.
//
//	                     lease in force       lease ended
//	before the boundary  rule "before"        the party
//	after, party late    the party            the party
//	after, otherwise     rule "otherwise"     the party
func JudgeUse(r *Rules, f *Freeze, p *Party, u Use) Verdict {
	if !u.LeaseEnded {
		return Judge(r, f, p, u.At)
	}
	v := Verdict{Boundary: Boundary(r, f, p)}.by(LateParty, p, WhyLease)
	if v.Bears == txn.LiabilityNone || v.Bears == txn.LiabilityHolder {
		v.Bears = txn.LiabilityOperator // a party that the scheme does not know
	}
	if v.Party == "" {
		v.Party = unknownParty
	}
	return v
}

// unknownParty bears what a party served that the scheme has no name for.
const unknownParty = "operator"

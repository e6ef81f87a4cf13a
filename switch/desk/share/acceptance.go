package share

import (
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Ground says whose a decline is.
type Ground uint8

// The grounds.
const (
	// OfTheCard: the card, its account or its money, as the rules say.
	OfTheCard Ground = iota + 1
	// OfTheRequest: it was sent twice, late, or does not fit an earlier one.
	OfTheRequest
	// OfTheUnit: terminal, unit, bank or switch could not serve a card that is good. No rule
	// book knows such a refusal (WZ7).
	OfTheUnit
)

// grounds is every reason of a decline; what is missing is nobody's right.
var grounds = map[Ground][]txn.Reason{
	OfTheCard: {txn.CardReplaced, txn.CardCancelled, txn.CardFrozen, txn.UnknownCard, txn.CardExists,
		txn.CardNotActive, txn.CardExpired, txn.ApplicationClosed, txn.ApplicationSuspended,
		txn.BankNotActivated, txn.LeaseEnded, txn.PassBack, txn.CardJustUsed, txn.LimitExceeded,
		txn.BalanceTooHigh, txn.InsufficientFunds,
		txn.IssuerDeclined, txn.CounterSeen, txn.NoEntry, txn.JourneyTooLong, txn.CodeCertificate,
		txn.CodeIssuerSignature, txn.CodeUserSignature, txn.CodeExpired, txn.CodeNotYetValid, txn.CodeUsed,
		txn.CodeForgotten, txn.CodeOverLimit},
	OfTheRequest: {txn.IDReused, txn.IDTooOld, txn.TimeInFuture, txn.TimeTooOld, txn.UnknownCurrency,
		txn.InvalidAmount, txn.CodeMalformed, txn.OriginalUnknown, txn.OriginalDeclined, txn.OriginalReversed,
		txn.OriginalNotRefundable, txn.RefundTooLarge, txn.OriginalMismatch, txn.OriginalSettled,
		txn.ReleaseClosed, txn.NotListed, txn.AlreadyListed, txn.ListChanged, txn.NothingToMove,
		txn.HeldElsewhere},
	OfTheUnit: {txn.UnknownFare, txn.FareMismatch, txn.NoRoute, txn.IssuerUnavailable, txn.IssuerTimeout,
		txn.TooManyOpen, txn.PINUnreadable, txn.DeadlinePassed, txn.StoreUnavailable, txn.ListStale,
		txn.CodeNoCA, txn.CodeAccountType},
}

// GroundOf returns whose a decline for a reason is. A reason outside the list is the unit's.
func GroundOf(r txn.Reason) Ground {
	for _, g := range []Ground{OfTheCard, OfTheRequest} {
		if slices.Contains(grounds[g], r) {
			return g
		}
	}
	return OfTheUnit
}

// Accepted is how a terminal took cards in the time that was looked at (WZ7).
type Accepted struct {
	Terminal string `json:"terminal"`
	Operator string `json:"operator"`
	Place    string `json:"place"`
	Taken    int    `json:"taken"`
	Declined int    `json:"declined"`
	// Outside are declines that no rule book permits, by their reasons.
	Outside map[string]int `json:"outside,omitempty"`
	// Idle: the terminal was up and took no card at all.
	Idle bool `json:"idle"`
}

// Acceptance counts how terminals take cards. It is pure and for one goroutine: add the
// records of some days, then ask for the report.
type Acceptance struct{ rows map[string]*Accepted }

// Add counts one record of a terminal; what the desk or the clock made is passed over.
func (a *Acceptance) Add(r *txn.Record) {
	if !r.Kind.IsTap() && r.Kind != txn.Purchase && r.Kind != txn.Load && r.Kind != txn.Verify &&
		r.Kind != txn.BankPurchase && r.Kind != txn.BankLoad {
		return
	}
	if a.rows == nil {
		a.rows = map[string]*Accepted{}
	}
	id := r.Request.Terminal.String()
	row := a.rows[id]
	if row == nil {
		row = &Accepted{Terminal: id, Operator: r.Place.Operator}
		a.rows[id] = row
	}
	if r.Outcome == txn.Approved {
		row.Taken++
		return
	}
	row.Declined++
	if GroundOf(r.Reason) == OfTheUnit {
		if row.Outside == nil {
			row.Outside = map[string]int{}
		}
		row.Outside[r.Reason.String()]++
	}
}

// Report tells every terminal that refused outside the reasons that a rule book permits, and
// every one that was up and took nothing. up says which terminals were heard of.
func (a *Acceptance) Report(terminals []Terminal, up map[string]bool) []Accepted {
	all := []Accepted{}
	known := map[string]bool{}
	for i := range terminals {
		t := &terminals[i]
		known[t.ID] = true
		row := Accepted{Terminal: t.ID}
		if seen := a.rows[t.ID]; seen != nil {
			row = *seen
		}
		row.Operator, row.Place = t.Operator, t.Place()
		row.Idle = up[t.ID] && !t.Revoked && row.Taken == 0
		if row.Idle || len(row.Outside) > 0 {
			all = append(all, row)
		}
	}
	for id, row := range a.rows {
		if !known[id] && len(row.Outside) > 0 {
			all = append(all, *row)
		}
	}
	slices.SortFunc(all, func(a, b Accepted) int {
		return strings.Compare(a.Operator+"\x00"+a.Terminal, b.Operator+"\x00"+b.Terminal)
	})
	return all
}

// UnitAcceptance is the sum of a unit's terminals.
type UnitAcceptance struct {
	Operator string `json:"operator"`
	Taken    int    `json:"taken"`
	Declined int    `json:"declined"`
	Outside  int    `json:"outside"`
}

// Units sums what was added by unit.
func (a *Acceptance) Units() []UnitAcceptance {
	units := map[string]*UnitAcceptance{}
	for _, row := range a.rows {
		u := units[row.Operator]
		if u == nil {
			u = &UnitAcceptance{Operator: row.Operator}
			units[row.Operator] = u
		}
		u.Taken += row.Taken
		u.Declined += row.Declined
		for _, n := range row.Outside {
			u.Outside += n
		}
	}
	all := []UnitAcceptance{}
	for _, u := range units {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b UnitAcceptance) int { return strings.Compare(a.Operator, b.Operator) })
	return all
}

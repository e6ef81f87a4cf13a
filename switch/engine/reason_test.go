package engine_test

import (
	"fmt"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// situation is what one decision rests on, taken apart so that conditions can be put
// together: a card that may do everything, and a request that is approved.
type situation struct {
	state   card.State
	known   bool
	mark    txn.Mark
	request txn.Request
	policy  engine.Policy
	now     txn.Millis
}

const (
	boughtFor    txn.Minor = 800
	startBalance txn.Minor = 5000
)

var boughtID = txn.RequestID{Terminal: txn.TerminalID{'P', 'O', 'S'}, Boot: 1, Counter: 9}

// kindsOfTest are the kinds that a request may have.
var kindsOfTest = []txn.Kind{
	txn.MetroEntry, txn.MetroExit, txn.BusBoarding, txn.Purchase, txn.Load, txn.Refund,
	txn.Reversal, txn.Balance, txn.Enrol, txn.Freeze, txn.Release, txn.JourneyLapse,
}

// approved returns the situation in which a request of the kind is approved.
func approved(t tb, k txn.Kind) *situation {
	t.Helper()
	w := newWallet(t)
	s := &situation{policy: policy(t), now: morning, known: k != txn.Enrol}
	s.request = *w.request(k)
	if s.known {
		s.state = card.State{Status: card.Active, Apps: txn.AppTransit | txn.AppPurse,
			Currency: txn.CNY, Balance: startBalance, Recent: []card.Recent{{
				ID: boughtID, Kind: txn.Purchase, Charged: boughtFor, BalanceAfter: startBalance,
				ServiceAt: morning - hour,
			}}}
	}
	switch k {
	case txn.MetroExit:
		s.enteredAt(morning - hour)
		s.request.Place = at(metro, "Luohu")
	case txn.BusBoarding:
		s.request.Place = bus
	case txn.Purchase, txn.Load:
		s.request.Amount = 100
	case txn.Refund:
		s.request.Amount, s.request.Original = 100, boughtID
	case txn.Reversal:
		s.request.Original = boughtID
	case txn.Enrol:
		s.request.Enrolment.Apps = txn.AppTransit
	case txn.Freeze:
		s.request.Listing.Mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	case txn.Release:
		s.mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	case txn.JourneyLapse:
		s.enteredAt(morning - 6*hour)
		s.request.ID, s.request.Original = txn.RequestID{}, s.state.Journey.Request
	}
	return s
}

func (s *situation) enteredAt(m txn.Millis) {
	s.state.Journey = card.Journey{EnteredAt: m, Station: "Futian", Line: "L1",
		Operator: "metro", Request: txn.RequestID{Terminal: txn.TerminalID{'G'}, Boot: 1, Counter: 7}}
}

// decide decides on copies, so that a situation can be asked twice.
func (s *situation) decide() txn.Decision {
	view := engine.View{Known: s.known, Mark: s.mark}
	if s.known {
		view.Version = 3
		view.Card = s.state
		view.Card.Recent = append([]card.Recent(nil), s.state.Recent...)
	}
	var out engine.Result
	engine.Decide(&view, &s.request, &s.policy, s.now, &out)
	return out.Decision
}

// condition makes one reason apply and leaves everything else as it is. Conditions of
// one group exclude each other; notWith names groups whose conditions cannot hold at the
// same time.
type condition struct {
	reason  txn.Reason
	name    string
	group   string
	notWith []string
	kinds   []txn.Kind
	apply   func(*situation)
}

var (
	taps     = []txn.Kind{txn.MetroEntry, txn.MetroExit, txn.BusBoarding}
	rides    = []txn.Kind{txn.MetroExit, txn.BusBoarding}
	purse    = []txn.Kind{txn.Purchase, txn.Load, txn.Refund}
	spending = []txn.Kind{txn.MetroExit, txn.BusBoarding, txn.Purchase}
	uses     = append(append([]txn.Kind{txn.Balance}, taps...), purse...)
	timed    = append([]txn.Kind{txn.Enrol}, uses...)
	sent     = append([]txn.Kind{txn.Reversal}, timed...)
	undoing  = []txn.Kind{txn.Refund, txn.Reversal}
	offlines = []txn.Kind{txn.MetroEntry, txn.MetroExit, txn.BusBoarding, txn.Purchase,
		txn.Refund, txn.Reversal}
)

// conditions stand in order of precedence.
var conditions = []condition{
	{reason: txn.IDReused, group: "id", kinds: append([]txn.Kind{txn.Reversal}, uses...),
		apply: func(s *situation) {
			s.state.Recent = append(s.state.Recent, card.Recent{ID: s.request.ID,
				Kind: txn.Purchase, ServiceAt: s.request.ServiceAt})
		}},
	{reason: txn.IDTooOld, name: "floor", group: "floor", notWith: []string{"counter"},
		kinds: uses,
		apply: func(s *situation) { s.state.Floor = morning + day }},
	{reason: txn.IDTooOld, name: "counter", group: "counter", notWith: []string{"floor"},
		kinds: offlines,
		apply: func(s *situation) {
			s.request.Offline, s.request.OfflineCounter = true, 36
			s.state.Counter = card.CounterWindow{High: 100, Bits: 1}
		}},
	{reason: txn.TimeInFuture, group: "time", kinds: sent,
		apply: func(s *situation) {
			s.request.ServiceAt = s.now + s.policy.FutureMax + 1
			if s.state.Journey.Open() {
				s.state.Journey.EnteredAt += s.policy.FutureMax
			}
		}},
	{reason: txn.TimeTooOld, group: "time", kinds: uses,
		apply: func(s *situation) {
			s.request.ServiceAt = s.now - s.policy.OfflineAgeMax - 1
			if s.state.Journey.Open() {
				s.state.Journey.EnteredAt = s.request.ServiceAt - hour
			}
		}},
	{reason: txn.UnknownCurrency, name: "policy", group: "currency", kinds: kindsOfTest,
		apply: func(s *situation) { s.request.Currency = 840 }},
	{reason: txn.UnknownCurrency, name: "card", group: "currency", notWith: []string{"known"},
		kinds: uses,
		apply: func(s *situation) { s.state.Currency = 344 }},
	{reason: txn.InvalidAmount, name: "negative", group: "amount",
		kinds: append([]txn.Kind{txn.Purchase}, purse...),
		apply: func(s *situation) { s.request.Amount = -1 }},
	{reason: txn.InvalidAmount, name: "none", group: "amount", kinds: purse,
		apply: func(s *situation) { s.request.Amount = 0 }},
	{reason: txn.InvalidAmount, name: "above 2^53", group: "amount", kinds: purse,
		apply: func(s *situation) { s.request.Amount = txn.MinorMax + 1 }},
	{reason: txn.InvalidAmount, name: "fare", group: "fare", kinds: taps,
		apply: func(s *situation) { s.request.FareGiven, s.request.FullFare = true, -5 }},
	{reason: txn.CardReplaced, group: "mark", notWith: []string{"counter"}, kinds: timed,
		apply: func(s *situation) { s.mark = txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll} }},
	{reason: txn.CardCancelled, group: "mark", notWith: []string{"counter"}, kinds: timed,
		apply: func(s *situation) { s.mark = txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll} }},
	{reason: txn.CardFrozen, group: "mark", notWith: []string{"counter"}, kinds: timed,
		apply: func(s *situation) { s.mark = txn.Mark{Reason: txn.Risk, Scope: txn.AppAll} }},
	{reason: txn.UnknownCard, group: "known", notWith: []string{"id", "floor", "counter"},
		kinds: append([]txn.Kind{txn.Reversal}, uses...),
		apply: func(s *situation) { s.known = false }},
	{reason: txn.CardExists, group: "known", kinds: []txn.Kind{txn.Enrol},
		apply: func(s *situation) {
			s.known, s.state = true, card.State{Status: card.Active, Currency: txn.CNY}
		}},
	{reason: txn.CardNotActive, group: "status", kinds: uses,
		apply: func(s *situation) { s.state.Status = card.Inactive }},
	{reason: txn.CardExpired, group: "expiry", kinds: uses,
		apply: func(s *situation) { s.state.ExpiresAt = 1 }},
	{reason: txn.ApplicationClosed, group: "apps", kinds: uses,
		apply: func(s *situation) { s.state.Apps = txn.AppLibrary }},
	{reason: txn.OriginalUnknown, group: "original", kinds: undoing,
		apply: func(s *situation) { s.request.Original.Counter++ }},
	{reason: txn.OriginalDeclined, group: "original", kinds: undoing,
		apply: func(s *situation) { s.state.Recent[0].Reason = txn.InsufficientFunds }},
	{reason: txn.OriginalReversed, group: "original", kinds: undoing,
		apply: func(s *situation) { s.state.Recent[0].Reversed = true }},
	{reason: txn.OriginalNotRefundable, name: "balance", group: "original", kinds: undoing,
		apply: func(s *situation) { s.state.Recent[0].Kind = txn.Enrol }},
	{reason: txn.OriginalNotRefundable, name: "load", group: "original",
		kinds: []txn.Kind{txn.Refund},
		apply: func(s *situation) { s.state.Recent[0].Kind = txn.Load }},
	{reason: txn.OriginalNotRefundable, name: "refunded", group: "original",
		kinds: []txn.Kind{txn.Reversal},
		apply: func(s *situation) { s.state.Recent[0].Refunded = 1 }},
	{reason: txn.RefundTooLarge, group: "left", notWith: []string{"amount"},
		kinds: []txn.Kind{txn.Refund},
		apply: func(s *situation) { s.request.Amount = boughtFor + 1 }},
	{reason: txn.CounterSeen, group: "counter", kinds: offlines,
		apply: func(s *situation) {
			s.request.Offline, s.request.OfflineCounter = true, 100
			s.state.Counter = card.CounterWindow{High: 100, Bits: 1}
		}},
	{reason: txn.PassBack, group: "journey", notWith: []string{"fare", "time"},
		kinds: []txn.Kind{txn.MetroEntry},
		apply: func(s *situation) { s.enteredAt(s.request.ServiceAt - minute) }},
	{reason: txn.NoEntry, group: "journey", notWith: []string{"fare"},
		kinds: []txn.Kind{txn.MetroExit, txn.JourneyLapse},
		apply: func(s *situation) { s.state.Journey = card.Journey{} }},
	{reason: txn.JourneyTooLong, group: "journey", notWith: []string{"fare", "time"},
		kinds: []txn.Kind{txn.MetroExit},
		apply: func(s *situation) { s.enteredAt(s.request.ServiceAt - s.policy.JourneyMax - 1) }},
	{reason: txn.UnknownFare, name: "station", group: "quote", notWith: []string{"fare"},
		kinds: []txn.Kind{txn.MetroExit},
		apply: func(s *situation) { s.request.Place.Station = "Nowhere" }},
	{reason: txn.UnknownFare, name: "line", group: "quote", notWith: []string{"fare"},
		kinds: []txn.Kind{txn.BusBoarding},
		apply: func(s *situation) { s.policy.Tariff, _ = fare.Compile(fare.File{Version: "none"}) }},
	{reason: txn.FareMismatch, name: "above the full fare", group: "fare", kinds: rides,
		apply: func(s *situation) {
			s.request.FareGiven, s.request.FullFare, s.request.Amount = true, 500, 99_999
		}},
	{reason: txn.FareMismatch, name: "not accepted", group: "fare",
		notWith: []string{"journey"}, kinds: taps,
		apply: func(s *situation) {
			s.request.FareGiven, s.policy.AcceptTerminalFare = true, false
		}},
	{reason: txn.CardJustUsed, group: "journey", notWith: []string{"fare", "time"},
		kinds: []txn.Kind{txn.MetroEntry},
		apply: func(s *situation) {
			s.policy.PassBack.Station = hour
			s.enteredAt(s.request.ServiceAt - minute)
			s.request.Place.Station = s.state.Journey.Station
		}},
	{reason: txn.LimitExceeded, name: "purchase", group: "amount",
		kinds: []txn.Kind{txn.Purchase},
		apply: func(s *situation) { s.request.Amount = s.policy.PurchaseMax + 1 }},
	{reason: txn.LimitExceeded, name: "load", group: "amount", kinds: []txn.Kind{txn.Load},
		apply: func(s *situation) { s.request.Amount = s.policy.LoadMax + 1 }},
	{reason: txn.BalanceTooHigh, group: "full", kinds: []txn.Kind{txn.Load},
		apply: func(s *situation) { s.state.Balance = s.policy.BalanceMax }},
	{reason: txn.InsufficientFunds, group: "empty", notWith: []string{"counter"},
		kinds: spending,
		apply: func(s *situation) { s.state.Balance = 99 }},
	{reason: txn.ReleaseClosed, group: "mark", kinds: []txn.Kind{txn.Release},
		apply: func(s *situation) { s.mark = txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll} }},
	{reason: txn.NotListed, group: "mark", kinds: []txn.Kind{txn.Release},
		apply: func(s *situation) { s.mark = txn.Mark{} }},
	{reason: txn.AlreadyListed, group: "mark", kinds: []txn.Kind{txn.Freeze},
		apply: func(s *situation) { s.mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll} }},
}

// notDecided are the reasons that Decide never gives, and why.
var notDecided = map[txn.Reason]string{
	txn.ApplicationSuspended: "a suspended application is a blacklist entry with a scope and " +
		"answers card_frozen; no state holds a suspension",
	txn.BankNotActivated: "bank transactions have tests of their own",
	txn.LeaseEnded: "a gate refuses by it; the switch books what was taken, with the reason in the " +
		"record",
	txn.ListChanged:      "see TestReleaseOfWhatTheDeskDidNotSee",
	txn.NothingToMove:    "see the tests of transfers",
	txn.HeldElsewhere:    "the desk says so before it asks",
	txn.DeadlinePassed:   "Decide knows no deadline; the store compares it in Commit",
	txn.StoreUnavailable: "Engine says so when the outbox is full",
	txn.ListStale:        "the replica's age is the edge's to judge before it asks",

	txn.OriginalMismatch:  "bank transactions have tests of their own",
	txn.OriginalSettled:   "bank transactions have tests of their own",
	txn.NoRoute:           "bank transactions have tests of their own",
	txn.IssuerUnavailable: "bank transactions have tests of their own",
	txn.IssuerDeclined:    "bank transactions have tests of their own",
	txn.IssuerTimeout:     "bank transactions have tests of their own",
	txn.PINUnreadable:     "bank transactions have tests of their own",
	txn.TooManyOpen:       "bank transactions have tests of their own",

	txn.CodeMalformed:       "whoever reads the code says so before it asks",
	txn.CodeNoCA:            "whoever reads the code says so before it asks",
	txn.CodeCertificate:     "whoever reads the code says so before it asks",
	txn.CodeIssuerSignature: "whoever reads the code says so before it asks",
	txn.CodeUserSignature:   "whoever reads the code says so before it asks",
	txn.CodeExpired:         "whoever reads the code says so before it asks",
	txn.CodeNotYetValid:     "whoever reads the code says so before it asks",
	txn.CodeAccountType:     "whoever reads the code says so before it asks",
	txn.CodeUsed:            "see the tests of codes",
	txn.CodeForgotten:       "see the tests of codes",
	txn.CodeOverLimit:       "see the tests of codes",
}

func (c condition) has(k txn.Kind) bool {
	for _, own := range c.kinds {
		if own == k {
			return true
		}
	}
	return false
}

func (c condition) excludes(other condition) bool {
	if c.group == other.group {
		return true
	}
	for _, group := range c.notWith {
		if group == other.group {
			return true
		}
	}
	return false
}

// unless a condition says otherwise, a base situation must be approved, or the tests
// below show nothing.
func TestBaseSituationsAreApproved(t *testing.T) {
	for _, k := range kindsOfTest {
		if d := approved(t, k).decide(); d.Outcome != txn.Approved {
			t.Errorf("%s: %s, want approved", k, d.Reason)
		}
	}
	for _, k := range txn.Kinds() {
		known := false
		for _, own := range kindsOfTest {
			known = known || own == k
		}
		if !known && !k.IsMarker() && k != txn.Adjustment && !k.IsBank() &&
			!(k >= txn.Amend) { // see agency_test.go
			t.Errorf("kind %s is not tested", k)
		}
	}
}

func TestEveryReasonHasItsCase(t *testing.T) {
	cases := map[txn.Reason]int{}
	last := txn.ReasonNone
	for _, c := range conditions {
		if c.reason < last {
			t.Errorf("condition %s %s stands out of precedence", c.reason, c.name)
		}
		last = c.reason
		cases[c.reason]++
		for _, k := range c.kinds {
			t.Run(fmt.Sprintf("%s %s %s", c.reason, c.name, k), func(t *testing.T) {
				s := approved(t, k)
				c.apply(s)
				if d := s.decide(); d.Reason != c.reason {
					t.Errorf("got %s, want %s", d.Reason, c.reason)
				}
			})
		}
	}
	for _, r := range txn.Reasons() {
		if why := notDecided[r]; (why == "") == (cases[r] == 0) {
			t.Errorf("%s: %d cases, reason for none: %q", r, cases[r], why)
		}
	}
}

func TestOfTwoReasonsTheSmallerIsTheAnswer(t *testing.T) {
	pairs := 0
	for i, a := range conditions {
		for _, b := range conditions[i+1:] {
			if a.excludes(b) || b.excludes(a) {
				continue
			}
			for _, k := range kindsOfTest {
				if !a.has(k) || !b.has(k) {
					continue
				}
				pairs++
				for _, order := range [][2]condition{{a, b}, {b, a}} {
					s := approved(t, k)
					order[0].apply(s)
					order[1].apply(s)
					if d := s.decide(); d.Reason != a.reason {
						t.Errorf("%s with %s (%s) and %s (%s): got %s, want %s", k, order[0].reason,
							order[0].name, order[1].reason, order[1].name, d.Reason, a.reason)
					}
				}
			}
		}
	}
	if pairs < 500 {
		t.Errorf("only %d pairs were tried", pairs)
	}
}

// A kind that nobody can ask for is an invariant of the edges.
func TestDecideRefusesMarkersByPanic(t *testing.T) {
	for _, k := range []txn.Kind{txn.KindNone, txn.Adjustment, txn.DayMarker, txn.EpochMarker,
		txn.Desk} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was decided", k)
				}
			}()
			s := approved(t, txn.Freeze)
			s.request.Kind, s.state.Apps = k, txn.AppAll
			s.decide()
		}()
	}
}

// What the desk decided is done however long the switch was away in between.
func TestTheDeskIsNeverTooLate(t *testing.T) {
	for _, k := range []txn.Kind{txn.Enrol, txn.Freeze, txn.Release} {
		s := approved(t, k)
		s.request.ServiceAt = s.now - s.policy.AgeMax - s.policy.OfflineAgeMax - 1
		if d := s.decide(); d.Outcome != txn.Approved {
			t.Errorf("%s of long ago: %s", k, d.Reason)
		}
	}
}

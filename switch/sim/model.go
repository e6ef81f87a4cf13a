package sim

import (
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The model: what a card's requests should come to, in plain arithmetic. It is written
// from the rules that passengers and banks are told, not from the engine, and it is the
// yardstick that answers and ledger are held against.

// The limits that the plan plays with; those of a switch with default settings.
const (
	modelPurchaseMax = 100_000
	modelLoadMax     = 200_000
	modelBalanceMax  = 1_000_000
	modelPassBack    = 10 * time.Minute
	// modelMemory is how many requests a card remembers for certain, less a margin.
	modelMemory = 6
	// modelForgotten is after how many later requests a card may have forgotten one.
	modelForgotten = 10
)

// Want is the answer that a step should get.
type Want struct {
	Outcome  txn.Outcome
	Reason   txn.Reason
	FullFare txn.Minor
	Charged  txn.Minor
	Balance  txn.Minor
	// Recorded says that the ledger gets a record of it.
	Recorded bool
	// Code is the error code where the gate refuses the request itself, with Status.
	Code   string
	Status int
}

// memo is what the model keeps of a step.
type memo struct {
	step     int
	kind     txn.Kind
	approved bool
	fullFare txn.Minor
	charged  txn.Minor
	refunded txn.Minor
	reversed bool
}

// modelCard is one card.
type modelCard struct {
	transitOnly bool
	share       txn.Minor // of the full fare, in basis points
	balance     txn.Minor
	modelRide
	before  modelRide // as it was before the last tap, which step lastTap was
	lastTap int
	frozen  txn.FreezeReason
	scope   txn.App
	memory  []memo // oldest first
}

// modelRide is a metro ride, under way or not.
type modelRide struct {
	inside    bool
	entered   time.Duration
	entrance  string
	entryStep int
}

func (m *modelCard) find(step int) *memo {
	for i := range m.memory {
		if m.memory[i].step == step {
			return &m.memory[i]
		}
	}
	return nil
}

// rides are the applications that a ride needs: a ride is paid from the purse, so that a
// frozen purse closes it too.
const rides = txn.AppTransit | txn.AppPurse

// closed returns why the card may not use app; ReasonNone if it may.
func (m *modelCard) closed(app txn.App) txn.Reason {
	switch {
	case m.frozen == txn.NotFrozen || m.scope&app == 0:
	case m.frozen == txn.Cancelled:
		return txn.CardCancelled
	case m.frozen == txn.Replaced:
		return txn.CardReplaced
	default:
		return txn.CardFrozen
	}
	if app == txn.AppPurse && m.transitOnly {
		return txn.ApplicationClosed
	}
	return txn.ReasonNone
}

// price returns what the card pays of a full fare.
func (m *modelCard) price(full txn.Minor) txn.Minor { return full * m.share / 10_000 }

// take removes charge from the purse if it holds as much.
func (m *modelCard) take(full, charge txn.Minor) (Want, bool) {
	if charge > 0 && m.balance < charge {
		return Want{Reason: txn.InsufficientFunds}, false
	}
	m.balance -= charge
	return Want{FullFare: full, Charged: charge}, true
}

func (m *modelCard) enter(s *Step, station string) Want {
	if r := m.closed(rides); r != txn.ReasonNone {
		return Want{Reason: r}
	}
	if m.inside && s.At-m.entered < modelPassBack {
		return Want{Reason: txn.PassBack}
	}
	if m.balance < 0 {
		return Want{Reason: txn.InsufficientFunds}
	}
	m.before = m.modelRide
	m.modelRide = modelRide{true, s.At, station, s.Index}
	return Want{}
}

// leave ends a ride; full is the fare between entrance and exit.
func (m *modelCard) leave(full func(from string) txn.Minor) Want {
	if r := m.closed(rides); r != txn.ReasonNone {
		return Want{Reason: r}
	}
	if !m.inside {
		return Want{Reason: txn.NoEntry}
	}
	f := full(m.entrance)
	w, ok := m.take(f, m.price(f))
	if ok {
		m.before, m.inside = m.modelRide, false
	}
	return w
}

// board pays a bus; with given the validator has computed the charge.
func (m *modelCard) board(full txn.Minor, given bool, charge txn.Minor) Want {
	if r := m.closed(rides); r != txn.ReasonNone {
		return Want{Reason: r}
	}
	if !given {
		charge = m.price(full)
	}
	w, ok := m.take(full, charge)
	if ok {
		m.before = m.modelRide
	}
	return w
}

func (m *modelCard) purchase(amount txn.Minor) Want {
	if r := m.closed(txn.AppPurse); r != txn.ReasonNone {
		return Want{Reason: r}
	}
	if amount > modelPurchaseMax {
		return Want{Reason: txn.LimitExceeded}
	}
	w, _ := m.take(0, amount)
	return w
}

func (m *modelCard) load(amount txn.Minor) Want {
	if r := m.closed(txn.AppPurse); r != txn.ReasonNone {
		return Want{Reason: r}
	}
	switch {
	case amount > modelLoadMax:
		return Want{Reason: txn.LimitExceeded}
	case m.balance+amount > modelBalanceMax:
		return Want{Reason: txn.BalanceTooHigh}
	}
	w, _ := m.take(0, -amount)
	return w
}

// origin finds the original that a refund or reversal names.
func (m *modelCard) origin(step int) (*memo, txn.Reason) {
	o := m.find(step)
	switch {
	case o == nil:
		return nil, txn.OriginalUnknown
	case o.reversed:
		return nil, txn.OriginalReversed
	case !o.approved:
		return nil, txn.OriginalDeclined
	default:
		return o, txn.ReasonNone
	}
}

func (m *modelCard) refund(step int, amount txn.Minor) Want {
	if r := m.closed(txn.AppPurse); r != txn.ReasonNone {
		return Want{Reason: r}
	}
	o, r := m.origin(step)
	switch {
	case r != txn.ReasonNone:
		return Want{Reason: r}
	case o.kind != txn.Purchase && !o.kind.IsTap():
		return Want{Reason: txn.OriginalNotRefundable}
	case amount > o.charged-o.refunded:
		return Want{Reason: txn.RefundTooLarge}
	}
	o.refunded += amount
	w, _ := m.take(0, -amount)
	return w
}

// reverse undoes a step whatever became of the card since: also a frozen card gets back
// what was taken wrongly.
func (m *modelCard) reverse(step int) Want {
	o, r := m.origin(step)
	switch {
	case r != txn.ReasonNone:
		return Want{Reason: r}
	case o.refunded != 0 || o.kind == txn.Reversal:
		return Want{Reason: txn.OriginalNotRefundable}
	}
	if o.kind.IsTap() && m.lastTap == step {
		m.modelRide = m.before // nothing came after it
	} else if o.kind == txn.MetroEntry && m.inside && m.entryStep == step {
		m.inside = false
	}
	o.reversed = true
	m.balance += o.charged
	w := Want{Charged: -o.charged}
	if o.kind.IsTap() {
		w.FullFare = -o.fullFare
	}
	return w
}

func (m *modelCard) ask() Want {
	return Want{Reason: m.closed(txn.AppPurse)}
}

// settle completes w and keeps what the card remembers of the step.
func (m *modelCard) settle(s *Step, w Want) Want {
	w.Outcome, w.Status, w.Balance = txn.Approved, 200, m.balance
	if w.Reason != txn.ReasonNone {
		w.Outcome = txn.Declined
	}
	if s.Kind == txn.Balance {
		return w
	}
	w.Recorded = true
	if s.Kind.IsTap() && w.Outcome == txn.Approved {
		m.lastTap = s.Index
	}
	if w.Reason == txn.OriginalUnknown && s.Kind == txn.Reversal {
		// The card remembers that the original must not be executed any more.
		m.memory = append(m.memory, memo{step: s.Original, reversed: true})
	}
	m.memory = append(m.memory, memo{step: s.Index, kind: s.Kind,
		approved: w.Outcome == txn.Approved, fullFare: w.FullFare, charged: w.Charged})
	return w
}

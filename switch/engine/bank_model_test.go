package engine_test

import (
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// deal is what the model knows of one bank transaction: its life in the switch, and what
// the bank did. It is written down without a look at the memory of the card.
type deal struct {
	request  *txn.Request
	original *deal
	phase    card.Phase
	stone    bool // its reversal came before it
	standIn  bool
	booked   bool // its approval is in the ledger and was not reversed
	undone   bool // its approval was, and was reversed
	undoing  bool // it ends as reversed
	adjusted bool // the bank refuses to pay, and the ledger says so
	asked    bool // the bank may have got it
	said     bool // what the bank answered when it was asked
	executed bool // the bank moved the money
	auth     txn.AuthCode
	reason   txn.Reason // of its decline
}

// amount is what of the bank's money it moves.
func (m *deal) amount() txn.Minor {
	switch m.request.Kind {
	case txn.BankPurchase, txn.BankCompletion, txn.BankLoad:
		return m.request.Amount
	case txn.BankRefund:
		return -m.request.Amount
	case txn.BankVoid:
		return -m.original.amount()
	default:
		return 0
	}
}

// live reports whether it stands, or may yet.
func (m *deal) live() bool {
	return m.phase == card.Pending || m.phase == card.Approved || m.phase == card.Advising ||
		m.phase == card.Dead && !m.undoing
}

// street is one card, its terminals and its bank, driven at random.
type street struct {
	t     *rapid.T
	w     *wallet
	deals []*deal
}

// TestRandomBankHistories drives random bank transactions of one card against a model of the
// card and a bank with a memory of its own. Whatever is lost, late, repeated or frozen: each
// step ends where the model says, and in the end ledger and bank agree.
func TestRandomBankHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &street{t: t, w: newWallet(t)}
		if rapid.Bool().Draw(t, "own card") {
			s.w.must(s.w.request(txn.Enrol, func(r *txn.Request) {
				r.Enrolment.Apps = txn.AppPurse | txn.AppBank
			}))
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			s.w.now += rapid.SampledFrom([]txn.Millis{0, 0, second, answerTime, minute,
				3 * minute, hour, 2 * day}).Draw(t, "pass")
			s.act()
			s.check()
		}
		s.deliverAll()
		s.check()
		s.checkEnds()
	})
}

func (s *street) act() {
	switch rapid.IntRange(0, 15).Draw(s.t, "act") {
	case 0, 1, 2, 3:
		s.begin(s.draw())
	case 4, 5, 6, 7:
		s.forward()
	case 8:
		s.late()
	case 9, 10:
		s.reverse()
	case 11:
		s.repeat()
	case 12, 13:
		s.tellDue()
	case 14:
		s.freeze()
	default:
		s.resolve()
	}
}

// pick returns a transaction that the card remembers and that fits; nil when none does.
func (s *street) pick(label string, fits func(*deal) bool) *deal {
	state := s.w.card()
	var some []*deal
	for _, m := range s.deals {
		if state.FindBank(m.request.ID) >= 0 && fits(m) {
			some = append(some, m)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return rapid.SampledFrom(some).Draw(s.t, label)
}

func anyDeal(*deal) bool { return true }

func (s *street) draw() *deal {
	t := s.t
	kind := rapid.SampledFrom([]txn.Kind{txn.BankPurchase, txn.BankPurchase, txn.BankRefund,
		txn.BankPreAuth, txn.BankCompletion, txn.BankVoid, txn.BankVoid, txn.BankLoad}).
		Draw(t, "kind")
	m := &deal{request: s.w.bank(kind, amountOf(rapid.SampledFrom([]txn.Minor{100, 100, 100, 1,
		40, 60, 115, 116, 0, -1, txn.MinorMax + 1}).Draw(t, "amount")))}
	r := m.request
	if kind == txn.BankVoid || kind == txn.BankRefund || kind == txn.BankCompletion {
		if m.original = s.pick("original", s.original(kind)); m.original != nil {
			r.Original = m.original.request.ID
			if rapid.IntRange(0, 3).Draw(t, "whole") > 0 {
				r.Amount = m.original.request.Amount
			}
		}
		r.Bank.OriginalElsewhere = kind == txn.BankRefund
	}
	switch rapid.IntRange(0, 9).Draw(t, "mode") {
	case 0:
		r.Bank.Accept = true
	case 1:
		standIn(r)
	case 2:
		r.Bank.Reason = txn.NoRoute
	}
	return m
}

// original prefers what a transaction of the kind may refer to.
func (s *street) original(k txn.Kind) func(*deal) bool {
	if rapid.IntRange(0, 4).Draw(s.t, "any original") == 0 {
		return anyDeal
	}
	return func(m *deal) bool {
		switch own := m.request.Kind; k {
		case txn.BankCompletion:
			return own == txn.BankPreAuth
		case txn.BankRefund:
			return own == txn.BankPurchase || own == txn.BankCompletion
		default:
			return own == txn.BankPurchase || own == txn.BankCompletion || own == txn.BankPreAuth
		}
	}
}

func (s *street) frozen() bool { return s.w.mark.Frozen(txn.AppBank) }

// children are the transactions that refer to m and stand.
func (s *street) children(m *deal, kinds ...txn.Kind) (some []*deal) {
	for _, c := range s.deals {
		if c.original == m && c.live() && slices.Contains(kinds, c.request.Kind) {
			some = append(some, c)
		}
	}
	return some
}

// taken is what refunds and completions that are not voided themselves have of m.
func (s *street) taken(m *deal) (sum txn.Minor) {
	for _, c := range s.children(m, txn.BankRefund, txn.BankCompletion) {
		if !slices.ContainsFunc(s.children(c, txn.BankVoid), func(v *deal) bool { return v.booked }) {
			sum += c.request.Amount
		}
	}
	return sum
}

func (s *street) voiding(m *deal) bool { return len(s.children(m, txn.BankVoid)) > 0 }

// allowed says whether a transaction may be taken up.
func (s *street) allowed(m *deal) bool {
	r := m.request
	switch {
	case s.frozen(), r.Amount <= 0, r.Amount > txn.MinorMax, r.Bank.Reason != txn.ReasonNone:
		return false
	case r.Bank.StandIn != nil && !s.mayStandIn(m):
		return false
	case r.Kind != txn.BankVoid && r.Kind != txn.BankRefund && r.Kind != txn.BankCompletion:
		return true
	case m.original == nil:
		return r.Kind == txn.BankRefund
	}
	o := m.original
	if o.phase != card.Approved || o.stone || s.voiding(o) {
		return false
	}
	kind, amount, taken := o.request.Kind, o.request.Amount, s.taken(o)
	switch r.Kind {
	case txn.BankVoid:
		return (kind == txn.BankPurchase || kind == txn.BankPreAuth || kind == txn.BankCompletion) &&
			taken == 0 && r.Amount == amount
	case txn.BankRefund:
		return (kind == txn.BankPurchase || kind == txn.BankCompletion) && r.Amount <= amount-taken
	default:
		return kind == txn.BankPreAuth && taken == 0 && r.Amount*100 <= amount*115
	}
}

func (s *street) mayStandIn(m *deal) bool {
	state := s.w.card()
	count, total := 0, m.request.Amount
	for _, o := range s.deals {
		if o != m && o.standIn && o.booked && state.FindBank(o.request.ID) >= 0 {
			count++
			total += o.request.Amount
		}
	}
	return count < 3 && total <= 1000
}

// begin sends a new transaction.
func (s *street) begin(m *deal) {
	allowed := s.allowed(m)
	got := s.w.doBank(m.request)
	s.checkFrozen(got)
	if got.phase == card.PhaseNone { // refused without a trace
		if m.request.Bank.Accept && got.Reason == txn.IssuerUnavailable {
			if m.original == nil || m.original.phase != card.Advising {
				s.t.Fatalf("%s: %s, and nothing is on its way", m.request.Kind, got.Reason)
			}
			return // it is told again when the bank knows its original
		}
		state := s.w.card()
		open := 0
		for i := range state.Bank {
			if p := state.Bank[i].Phase; p.Open() || p == card.Dead {
				open++
			}
		}
		if open < card.BankOpenMax && len(state.Bank) < card.BankMax {
			s.t.Fatalf("%s refused for want of room: %s", m.request.Kind, got.Reason)
		}
		if got.Outcome != txn.Declined || allowed && got.Reason != txn.TooManyOpen {
			s.t.Fatalf("without room: %s %s", got.Outcome, got.Reason)
		}
		return
	}
	s.deals = append(s.deals, m)
	switch work := m.request.Bank; {
	case !allowed:
		m.phase, m.reason = card.Declined, got.Reason
	case work.Accept, work.StandIn != nil:
		m.phase, m.booked, m.standIn = card.Advising, true, !work.Accept
		m.auth = got.AuthCode
	default:
		m.phase = card.Pending
	}
	s.want(m, got)
}

// want proves that the switch is where the model is, with the answer that belongs there.
func (s *street) want(m *deal, got settling) {
	s.t.Helper()
	if got.phase != m.phase {
		s.t.Fatalf("%s %s is %s, want %s (%s %s)", m.request.Kind, m.request.ID, got.phase, m.phase,
			got.Outcome, got.Reason)
	}
	switch {
	case m.booked:
		if got.Outcome != txn.Approved || got.AuthCode != m.auth || got.Charged != m.amount() {
			s.t.Fatalf("%s: %+v, want an approval of %d with %s", m.phase, got.Decision, m.amount(), m.auth)
		}
	case m.phase == card.Pending, m.phase == card.Advising:
		if got.Outcome != txn.OutcomeNone {
			s.t.Fatalf("%s: %+v, want no answer yet", m.phase, got.Decision)
		}
	default:
		if m.reason == txn.ReasonNone {
			m.reason = got.Reason
		}
		if got.Outcome != txn.Declined || got.Reason != m.reason {
			s.t.Fatalf("%s: %+v, want declined with %s", m.phase, got.Decision, m.reason)
		}
	}
}

// step commits a step and moves the model on.
func (s *street) step(m *deal, step txn.BankStep) {
	s.t.Helper()
	r := s.w.bankStep(m.request, step, func(r *txn.Request) {
		if step == txn.BankAccept {
			standIn(r)
		}
		if m.phase == card.Advising {
			r.Bank.Auth = lastAuth
		}
	})
	s.expect(m, step, r)
	got := s.w.doBank(r)
	s.checkFrozen(got)
	s.want(m, got)
}

// expect moves the model on.
func (s *street) expect(m *deal, step txn.BankStep, r *txn.Request) {
	if step == txn.BankDone || step == txn.BankGiveUp || step == txn.BankRetry ||
		step == txn.BankClose {
		m.expectTold(step)
		return
	}
	gives := m.request.Kind == txn.BankRefund || m.request.Kind == txn.BankVoid
	switch {
	case step == txn.BankApprove && (m.phase == card.Pending || m.phase == card.Advising):
		if !m.booked && s.frozen() && !gives {
			m.phase, m.undoing = card.Reversing, true
			return
		}
		if !m.booked {
			m.auth = r.Bank.Auth
		}
		m.phase, m.booked, m.adjusted = card.Approved, true, false
	case step == txn.BankDecline && m.phase == card.Advising && m.booked:
		m.phase, m.adjusted = card.Dead, true
	case step == txn.BankDecline && (m.phase == card.Pending || m.phase == card.Advising):
		m.phase = card.Declined
	case step == txn.BankDoubt && m.phase == card.Pending && m.request.Kind == txn.BankRefund:
		m.phase = card.Advising
	case step == txn.BankDoubt && m.phase == card.Pending:
		m.phase, m.undoing = card.Reversing, true
	case step == txn.BankAccept && m.phase == card.Pending:
		if s.frozen() || !s.mayStandIn(m) {
			m.phase = card.Declined
			return
		}
		m.phase, m.booked, m.standIn = card.Advising, true, true
		m.auth = txn.AuthCodeOf(m.request.Fingerprint())
		if r.Bank.Auth != (txn.AuthCode{}) {
			m.auth = r.Bank.Auth
		}
	}
}

// expectTold moves the model on by what became of telling the bank.
func (m *deal) expectTold(step txn.BankStep) {
	telling := m.phase == card.Reversing || m.phase == card.Advising
	switch {
	case step == txn.BankDone && m.phase == card.Reversing:
		m.phase = card.Reversed
	case step == txn.BankGiveUp && telling:
		m.phase = card.Dead
	case step == txn.BankRetry && m.phase == card.Dead:
		m.phase, m.reason = card.Advising, txn.ReasonNone
		if m.undoing {
			m.phase = card.Reversing
		}
	case step == txn.BankClose && m.phase == card.Dead:
		m.phase = card.Declined
		if m.undoing {
			m.phase = card.Reversed
		} else if m.booked {
			m.phase = card.Approved
		}
		m.executed = m.booked && !m.adjusted // the two have settled it
	}
}

package engine_test

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// forward asks the bank of a pending transaction. The bank does it or not; its answer
// comes, or is lost, or the process dies before it is committed.
func (s *street) forward() {
	m := s.pick("pending", func(m *deal) bool { return m.phase == card.Pending && !m.asked })
	if m == nil {
		return
	}
	switch rapid.IntRange(0, 9).Draw(s.t, "way") {
	case 0:
		s.step(m, txn.BankRedirect)
		return
	case 1:
		s.step(m, txn.BankAccept)
		return
	case 2:
		s.step(m, txn.BankDecline) // nothing left
		return
	}
	m.asked = true
	m.said = rapid.IntRange(0, 3).Draw(s.t, "executed") > 0
	m.executed = m.said
	switch rapid.IntRange(0, 3).Draw(s.t, "answer") {
	case 0:
		s.step(m, txn.BankDoubt)
	case 1: // the process dies
	default:
		s.answer(m)
	}
}

// answer commits what the bank says to a request.
func (s *street) answer(m *deal) {
	step := txn.BankDecline
	if m.said {
		step = txn.BankApprove
	}
	s.step(m, step)
}

// late has a bank's answer come at any time, once more or for the first time.
func (s *street) late() {
	m := s.pick("late", func(m *deal) bool { return m.asked && m.phase != card.Advising })
	if m != nil {
		s.answer(m)
	}
}

// reverse sends a reversal, of what is remembered or of what has yet to come.
func (s *street) reverse() {
	m := s.pick("reversed", anyDeal)
	if m == nil || rapid.IntRange(0, 9).Draw(s.t, "early") == 0 {
		s.early()
		return
	}
	stays := m.phase
	answer := txn.Approved
	switch {
	case m.stone:
		answer = txn.Declined
	case m.phase == card.Declined, m.phase == card.Reversed, m.phase == card.Reversing,
		m.phase == card.Dead && m.undoing:
	case m.phase == card.Dead, m.adjusted, s.inUse(m):
		answer = txn.Declined
	default:
		stays = card.Reversing
		m.undoing, m.undone, m.booked, m.reason = true, m.booked, false, txn.OriginalReversed
	}
	m.phase = stays
	got := s.w.doBank(s.w.bankReversal(m.request))
	if got.phase != stays || got.Outcome != answer {
		s.t.Fatalf("reversal of %s: %s, %+v; want %s and %s", m.request.Kind, got.phase,
			got.Decision, stays, answer)
	}
}

// inUse reports whether others rest on m, so that it cannot be taken away from under them.
func (s *street) inUse(m *deal) bool {
	if s.taken(m) != 0 || s.voiding(m) {
		return true
	}
	if m.request.Kind != txn.BankVoid || !m.booked || m.original.original == nil {
		return false
	}
	held := m.original.original
	return held.phase != card.Approved || s.taken(held) != 0 || s.voiding(held)
}

// early reverses a transaction that has not come yet, and then sends it.
func (s *street) early() {
	m := &deal{request: s.w.bank(txn.BankPurchase), phase: card.Reversed, stone: true,
		reason: txn.OriginalReversed}
	got := s.w.doBank(s.w.bankReversal(m.request))
	if got.Outcome != txn.Declined {
		s.t.Fatalf("reversal of nothing: %+v", got.Decision)
	}
	if got.phase == card.PhaseNone {
		if got.Reason != txn.TooManyOpen {
			s.t.Fatalf("no tombstone: %s", got.Reason)
		}
		return
	}
	s.deals = append(s.deals, m)
	s.want(m, s.w.doBank(m.request))
}

// repeat sends a copy, or something else under the same id.
func (s *street) repeat() {
	m := s.pick("repeated", anyDeal)
	if m == nil {
		return
	}
	if rapid.Bool().Draw(s.t, "forged") {
		got := s.w.doBank(s.w.bankStep(m.request, txn.BankBegin, amountOf(m.request.Amount+1)))
		if want := txn.IDReused; got.Outcome != txn.Declined || got.wrote ||
			got.Reason != want && !m.stone {
			s.t.Fatalf("other content: %+v", got.Decision)
		}
		return
	}
	got := s.w.doBank(s.w.bankStep(m.request, txn.BankBegin))
	if got.wrote || got.settled || got.Replay == m.stone {
		s.t.Fatalf("a repeat: %+v", got)
	}
	s.want(m, got)
}

// tellDue does what the due queue asks for.
func (s *street) tellDue() {
	for _, m := range slices.Clone(s.deals) {
		if at, ok := s.w.due[bankKey(s.w, m.request.ID)]; ok && at <= s.w.now {
			s.tell(m, rapid.IntRange(0, 5).Draw(s.t, "told"))
		}
	}
}

// What becomes of what the bank is told.
const (
	toldLost    = iota // nothing arrives
	toldUnheard        // it arrives, the answer does not
	toldRefused
	toldTaken // and everything above
)

// tell tells the bank of a transaction once.
func (s *street) tell(m *deal, what int) {
	s.step(m, txn.BankAgain)
	if m.phase == card.Pending {
		s.step(m, txn.BankDoubt)
		s.step(m, txn.BankAgain)
	}
	reversing := m.phase == card.Reversing
	if what == toldRefused && reversing {
		s.step(m, txn.BankGiveUp)
		return
	}
	if what == toldRefused && !m.executed {
		s.step(m, txn.BankDecline)
		return
	}
	if what != toldLost {
		m.executed = !reversing
	}
	switch {
	case what < toldRefused:
	case reversing:
		s.step(m, txn.BankDone)
	default:
		s.step(m, txn.BankApprove)
	}
}

// deliverAll tells the bank of everything that is open, and the bank answers.
func (s *street) deliverAll() {
	for _, m := range s.deals {
		if m.phase == card.Pending || m.phase == card.Reversing || m.phase == card.Advising {
			s.tell(m, toldTaken)
		}
	}
}

func (s *street) freeze() {
	marks := []txn.Mark{{}, {}, {Reason: txn.Lost, Scope: txn.AppAll},
		{Reason: txn.Suspended, Scope: txn.AppBank}, {Reason: txn.Risk, Scope: txn.AppPurse},
		{Reason: txn.Cancelled, Scope: txn.AppAll}}
	s.w.mark = rapid.SampledFrom(marks).Draw(s.t, "mark")
}

// resolve is the person who decides about what is dead.
func (s *street) resolve() {
	if m := s.pick("dead", func(m *deal) bool { return m.phase == card.Dead }); m != nil {
		s.step(m, rapid.SampledFrom([]txn.BankStep{txn.BankRetry, txn.BankClose}).Draw(s.t, "how"))
	}
}

// checkFrozen proves that a frozen card was not given a new approval. What gives money back
// and was on its way already is none.
func (s *street) checkFrozen(got settling) {
	if !got.settled || got.record.Outcome != txn.Approved || !s.frozen() {
		return
	}
	switch got.record.Kind {
	case txn.BankPurchase, txn.BankPreAuth, txn.BankCompletion, txn.BankLoad:
		s.t.Fatalf("%s approved for a card that bears %+v", got.record.Kind, s.w.mark)
	}
}

// check proves what must hold after every step.
func (s *street) check() {
	t, state := s.t, s.w.card()
	var owed txn.Minor
	for _, m := range s.deals {
		if m.booked && !m.adjusted {
			owed += m.amount()
		}
		i := state.FindBank(m.request.ID)
		switch {
		case i >= 0 && state.Bank[i].Phase != m.phase:
			t.Fatalf("%s is %s, want %s", m.request.ID, state.Bank[i].Phase, m.phase)
		case i < 0 && (m.phase == card.Pending || m.phase == card.Reversing ||
			m.phase == card.Advising || m.phase == card.Dead):
			t.Fatalf("%s was forgotten, %s", m.request.ID, m.phase)
		}
		s.checkLedger(m)
		s.checkTaken(m)
	}
	if got := s.w.owed(); got != owed {
		t.Fatalf("the ledger says that the bank owes %d, the model %d", got, owed)
	}
	if len(state.Bank) > card.BankMax {
		t.Fatalf("%d remembered", len(state.Bank))
	}
}

// checkLedger proves that a transaction has the records that it must have, and no more.
func (s *street) checkLedger(m *deal) {
	approved, declined, reversed, adjusted := 0, 0, 0, 0
	ids := map[txn.RequestID]bool{}
	for i := range s.w.records {
		rec := &s.w.records[i]
		own := rec.Request == m.request.ID
		switch {
		case own && rec.Outcome == txn.Approved:
			approved++
		case own:
			declined++
		case rec.Kind == txn.BankReversal && rec.Original == m.request.ID:
			reversed++
		case rec.Kind == txn.BankAdjustment && rec.Original == m.request.ID:
			adjusted++
		}
		if rec.Outcome == txn.Approved && ids[rec.Request] {
			s.t.Fatalf("%s %s is approved twice in the ledger", rec.Kind, rec.Request)
		}
		ids[rec.Request] = ids[rec.Request] || rec.Outcome == txn.Approved
	}
	stands := m.booked || m.undone
	ends := m.phase == card.Declined || m.undoing && !m.undone
	if approved != count(stands) || reversed != count(m.undone) || declined != count(ends) ||
		adjusted%2 != count(m.adjusted) || adjusted > 2 {
		s.t.Fatalf("%s %s, %s: %d approved, %d declined, %d reversed, %d adjusted in the ledger",
			m.request.Kind, m.request.ID, m.phase, approved, declined, reversed, adjusted)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkTaken proves that what was given back of a transaction, or taken of what it holds, is
// never more than it was.
func (s *street) checkTaken(m *deal) {
	if !m.booked && !m.undone {
		return
	}
	var refunded, completed txn.Minor
	voids, completions := 0, 0
	for _, c := range s.deals {
		if c.original != m || !c.booked {
			continue
		}
		switch voided := slices.ContainsFunc(s.deals, func(v *deal) bool {
			return v.original == c && v.booked
		}); c.request.Kind {
		case txn.BankVoid:
			voids++
		case txn.BankRefund:
			refunded += c.request.Amount
		case txn.BankCompletion:
			if !voided {
				completed += c.request.Amount
				completions++
			}
		}
	}
	amount := m.request.Amount
	gone := voids + count(m.undone)
	if refunded+txn.Minor(gone)*amount > amount && refunded+txn.Minor(gone) > 0 || completions > 1 ||
		completed*100 > amount*115 || gone > 0 && completions > 0 {
		s.t.Fatalf("%s over %d: %d refunded, %d voids, reversed %v, %d taken in %d completions",
			m.request.Kind, amount, refunded, voids, m.undone, completed, completions)
	}
}

// checkEnds proves that everything has ended, and that ledger and bank agree but for what a
// person has to decide.
func (s *street) checkEnds() {
	if len(s.w.due) != 0 {
		s.t.Fatalf("%d still due", len(s.w.due))
	}
	for _, m := range s.deals {
		switch m.phase {
		case card.Dead:
		case card.Approved:
			if m.executed == m.adjusted {
				s.t.Fatalf("%s %s is approved; at the bank: %v", m.request.Kind, m.request.ID, m.executed)
			}
		case card.Declined, card.Reversed:
			if m.executed {
				s.t.Fatalf("%s %s is %s, and the bank has done it", m.request.Kind, m.request.ID, m.phase)
			}
		default:
			s.t.Fatalf("%s %s is still %s", m.request.Kind, m.request.ID, m.phase)
		}
	}
}

package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// bankScene is what a refund of 60, of a purchase of 100, is decided on.
type bankScene struct {
	state   card.State
	mark    txn.Mark
	request *txn.Request
}

func newBankScene(t *testing.T) *bankScene {
	w := newWallet(t)
	bought := w.bank(txn.BankPurchase)
	s := &bankScene{request: w.bank(txn.BankRefund, about(bought, 60))}
	s.state = card.State{Status: card.Active, Apps: txn.AppBank, Currency: txn.CNY,
		Bank: []card.BankTxn{{ID: bought.ID, Kind: txn.BankPurchase, Phase: card.Approved, Amount: 100,
			Booked: true, At: morning - hour, Issuer: "ICBC"}}}
	return s
}

func (s *bankScene) decide(t *testing.T, out *engine.Result) txn.Decision {
	p := policy(t)
	view := engine.View{Card: s.state, Known: true, Version: 3, Mark: s.mark}
	view.Card.Bank = slices.Clone(s.state.Bank)
	engine.Decide(&view, s.request, &p, morning, out)
	return out.Decision
}

// bankConditions make one reason apply, in order of precedence. Those of one group exclude
// each other.
var bankConditions = []struct {
	reason txn.Reason
	group  string
	apply  func(*bankScene)
}{
	{txn.UnknownCurrency, "", func(s *bankScene) { s.request.Currency = 840 }},
	{txn.InvalidAmount, "amount", func(s *bankScene) { s.request.Amount = 0 }},
	{txn.InvalidAmount, "amount", func(s *bankScene) { s.request.Amount = -60 }},
	{txn.InvalidAmount, "amount", func(s *bankScene) { s.request.Amount = txn.MinorMax + 1 }},
	{txn.InvalidAmount, "router", func(s *bankScene) { s.request.Bank.Reason = txn.InvalidAmount }},
	{txn.CardReplaced, "mark", marked(txn.Replaced, txn.AppAll)},
	{txn.CardCancelled, "mark", marked(txn.Cancelled, txn.AppAll)},
	{txn.CardFrozen, "mark", marked(txn.Lost, txn.AppAll)},
	{txn.CardFrozen, "mark", marked(txn.Suspended, txn.AppBank)},
	{txn.CardNotActive, "", func(s *bankScene) { s.state.Status = card.Inactive }},
	{txn.CardExpired, "", func(s *bankScene) { s.state.ExpiresAt = morning }},
	{txn.ApplicationClosed, "", func(s *bankScene) { s.state.Apps = txn.AppAll &^ txn.AppBank }},
	{txn.OriginalUnknown, "original", func(s *bankScene) { s.request.Original.Counter = 77 }},
	{txn.OriginalDeclined, "original", original0(func(b *card.BankTxn) { b.Phase = card.Declined })},
	{txn.OriginalDeclined, "original", original0(func(b *card.BankTxn) { b.Phase = card.Pending })},
	{txn.OriginalReversed, "original", original0(func(b *card.BankTxn) { b.Voided = true })},
	{txn.OriginalReversed, "original", original0(func(b *card.BankTxn) { b.Phase = card.Reversing })},
	{txn.OriginalReversed, "original", original0(func(b *card.BankTxn) { b.Phase = card.Reversed })},
	{txn.OriginalNotRefundable, "original", original0(func(b *card.BankTxn) { b.Kind = txn.BankLoad })},
	{txn.OriginalNotRefundable, "original", original0(func(b *card.BankTxn) {
		b.Kind = txn.BankPreAuth
	})},
	{txn.RefundTooLarge, "amount", func(s *bankScene) { s.request.Amount = 101 }},
	{txn.RefundTooLarge, "used", original0(func(b *card.BankTxn) { b.Used = 41 })},
	{txn.NoRoute, "router", func(s *bankScene) { s.request.Bank.Reason = txn.NoRoute }},
	{txn.IssuerUnavailable, "router", func(s *bankScene) {
		s.request.Bank.Reason = txn.IssuerUnavailable
	}},
	{txn.IssuerUnavailable, "stand-in", func(s *bankScene) {
		s.request.Bank.StandIn = &txn.StandInLimit{CountMax: 0, TotalMax: 1000}
	}},
	{txn.IssuerUnavailable, "stand-in", func(s *bankScene) {
		s.request.Bank.StandIn = &txn.StandInLimit{CountMax: 1, TotalMax: 59}
	}},
	{txn.TooManyOpen, "", func(s *bankScene) {
		for i := range card.BankOpenMax {
			s.state.Bank = append(s.state.Bank, card.BankTxn{ID: txn.RequestID{Boot: 9, Counter: uint32(i)},
				Kind: txn.BankPurchase, Phase: card.Pending, At: morning, Due: morning})
		}
	}},
}

func marked(r txn.FreezeReason, scope txn.App) func(*bankScene) {
	return func(s *bankScene) { s.mark = txn.Mark{Reason: r, Scope: scope} }
}

func original0(change func(*card.BankTxn)) func(*bankScene) {
	return func(s *bankScene) { change(&s.state.Bank[0]) }
}

// Every reason alone is the answer, and of two the smaller, whichever came about first.
// Nothing is pending then, and nothing is due.
func TestBankReasonsInPrecedence(t *testing.T) {
	var out engine.Result
	if d := newBankScene(t).decide(t, &out); d.Outcome != txn.OutcomeNone || !out.Write {
		t.Fatalf("the scene itself: %+v", d)
	}
	last := txn.ReasonNone
	for i, a := range bankConditions {
		if a.reason < last {
			t.Errorf("%s stands out of precedence", a.reason)
		}
		last = a.reason
		for _, b := range bankConditions[i:] {
			if a.group == b.group && a.group != "" && a.reason != b.reason {
				continue
			}
			for _, turned := range []bool{false, true} {
				s := newBankScene(t)
				first, second := a.apply, b.apply
				if turned {
					first, second = second, first
				}
				first(s)
				second(s)
				d := s.decide(t, &out)
				if d.Outcome != txn.Declined || d.Reason != a.reason || len(out.Due) != 0 {
					t.Errorf("%s and %s: %s, %d due", a.reason, b.reason, d.Reason, len(out.Due))
				}
			}
		}
	}
}

// A void of another amount is another void.
func TestBankVoidNeedsTheAmount(t *testing.T) {
	w := newWallet(t)
	bought := w.paid(txn.BankPurchase)
	w.wantBank(w.bank(txn.BankVoid, about(bought, 99)), card.Declined, txn.OriginalMismatch)
	reversal := w.bankReversal(bought)
	reversal.Amount = 99
	w.wantBank(reversal, card.Approved, txn.OriginalMismatch)
	w.wantBank(w.bank(txn.BankVoid, about(bought, 100)), card.Pending, txn.ReasonNone)
	w.wantBank(w.bank(txn.BankVoid, about(bought, 100)), card.Declined, txn.OriginalReversed)
	w.wantBank(w.bankReversal(bought), card.Approved, txn.OriginalNotRefundable)
}

// A completion takes 115 % of what was held and not a fen more, whatever the amount.
func TestCompletionBound(t *testing.T) {
	for _, tt := range []struct{ held, most txn.Minor }{
		{100, 115}, {101, 116}, {1, 1}, {7, 8}, {6, 6}, {99, 113}, {199, 228}, {100_000, 115_000},
		{txn.MinorMax / 2, (txn.MinorMax/2)/20*23 + (txn.MinorMax/2)%20*23/20},
	} {
		w := newWallet(t)
		held := w.paid(txn.BankPreAuth, amountOf(tt.held))
		w.wantBank(w.bank(txn.BankCompletion, about(held, tt.most+1)), card.Declined, txn.RefundTooLarge)
		w.paid(txn.BankCompletion, about(held, tt.most))
		w.wantBank(w.bank(txn.BankCompletion, about(held, 1)), card.Declined, txn.OriginalNotRefundable)
		if got := w.owed(); got != tt.most {
			t.Errorf("held %d: the bank owes %d, want %d", tt.held, got, tt.most)
		}
	}
}

// A completion that was voided leaves the pre-authorization as it was. Once that is used
// again, the void stands: taking it back would take the money twice.
func TestVoidOfACompletion(t *testing.T) {
	for _, used := range []txn.Kind{txn.KindNone, txn.BankCompletion, txn.BankVoid, txn.BankReversal} {
		w := newWallet(t)
		held := w.paid(txn.BankPreAuth)
		taken := w.paid(txn.BankCompletion, about(held, 100))
		w.wantBank(w.bank(txn.BankVoid, about(held, 100)), card.Declined, txn.OriginalNotRefundable)
		void := w.paid(txn.BankVoid, about(taken, 100))
		switch used {
		case txn.BankCompletion, txn.BankVoid:
			w.begun(used, about(held, 100)) // on its way is enough
		case txn.BankReversal:
			w.doBank(w.bankReversal(held))
		default:
			w.wantBank(w.bankReversal(void), card.Reversing, txn.ReasonNone)
			if w.owed() != 100 || w.bankTxn(held).Used != 100 || w.bankTxn(taken).Voided {
				t.Errorf("the bank owes %d, held %+v", w.owed(), w.bankTxn(held))
			}
			w.wantBank(w.bank(txn.BankCompletion, about(held, 1)), card.Declined,
				txn.OriginalNotRefundable)
			continue
		}
		w.wantBank(w.bankReversal(void), card.Approved, txn.OriginalNotRefundable)
		if w.owed() != 0 {
			t.Errorf("after a %s: the bank owes %d", used, w.owed())
		}
	}
}

// The original is found by its id, by the switch's reference and by its authorization code;
// a tombstone, or one of another kind, is not.
func TestBankOriginalFound(t *testing.T) {
	w := newWallet(t)
	held, bought := w.paid(txn.BankPreAuth), w.paid(txn.BankPurchase)
	gone := w.bank(txn.BankPurchase)
	w.doBank(w.bankReversal(gone))
	by := func(rrn [12]byte, auth txn.AuthCode) func(*txn.Request) {
		return func(r *txn.Request) { r.Bank.OriginalRRN, r.Bank.OriginalAuth = rrn, auth }
	}
	for _, tt := range []struct {
		name string
		kind txn.Kind
		by   func(*txn.Request)
		want *txn.Request
	}{
		{"refund by reference", txn.BankRefund, by(bought.Bank.RRN, txn.AuthCode{}), bought},
		{"refund by code", txn.BankRefund, by([12]byte{}, bankAuth), bought},
		{"completion by code", txn.BankCompletion, by([12]byte{}, bankAuth), held},
		{"void by reference", txn.BankVoid, by(held.Bank.RRN, txn.AuthCode{}), held},
		{"by an unknown reference", txn.BankVoid, by([12]byte{'9'}, txn.AuthCode{}), nil},
		{"by a tombstone's reference", txn.BankVoid, by(gone.Bank.RRN, txn.AuthCode{}), nil},
		{"by nothing", txn.BankVoid, by([12]byte{}, txn.AuthCode{}), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := w.bank(tt.kind, tt.by)
			if tt.want == nil {
				w.wantBank(r, card.Declined, txn.OriginalUnknown)
				return
			}
			w.wantBank(r, card.Pending, txn.ReasonNone)
			if got := w.bankTxn(r).Original; got != tt.want.ID {
				t.Errorf("original %s, want %s", got, tt.want.ID)
			}
			w.doBank(w.bankStep(r, txn.BankDecline))
		})
	}
	byRRN := w.bankReversal(bought)
	byRRN.Original, byRRN.Bank.OriginalRRN = txn.RequestID{}, bought.Bank.RRN
	w.doBank(byRRN)
	if got := w.bankTxn(bought).Phase; got != card.Reversing {
		t.Errorf("reversed by its reference: %s", got)
	}
}

// A refund of what only the bank remembers goes to the bank; a void does not.
func TestRefundOfAnOldPurchase(t *testing.T) {
	w := newWallet(t)
	old := w.bank(txn.BankPurchase)
	elsewhere := func(r *txn.Request) { r.Bank.OriginalElsewhere = true }
	w.paid(txn.BankRefund, about(old, 60), elsewhere)
	if w.owed() != -60 {
		t.Errorf("the bank owes %d", w.owed())
	}
	w.wantBank(w.bank(txn.BankRefund, about(old, 60)), card.Declined, txn.OriginalUnknown)
}

// Who is paid, from which bank, and who bears what the bank was not asked about.
func TestBankPostings(t *testing.T) {
	w := newWallet(t)
	w.paid(txn.BankPurchase, place(bus))
	if rec := w.last(); sumOf(&rec, "operator/bus") != 100 || sumOf(&rec, icbc) != -100 ||
		rec.Liability != txn.LiabilityNone || rec.Auth != bankAuth || rec.RRN == "" {
		t.Errorf("%+v", rec)
	}
	w.paid(txn.BankPurchase, place(txn.Place{}))
	if rec := w.last(); sumOf(&rec, engine.AccountSuspense) != 100 {
		t.Errorf("without a payee: %+v", rec.Postings)
	}
	first := w.begun(txn.BankPurchase, standIn)
	if rec := w.last(); rec.Liability != txn.LiabilityAcquirer ||
		rec.Auth != txn.AuthCodeOf(first.Fingerprint()) {
		t.Errorf("stood in: %+v", rec)
	}
	w.doBank(w.bankStep(first, txn.BankDecline, place(txn.Place{})))
	if rec := w.last(); rec.Kind != txn.BankAdjustment || sumOf(&rec, icbc) != 100 ||
		sumOf(&rec, engine.AccountSuspense) != -100 || rec.Original != first.ID ||
		rec.Request == first.ID {
		t.Errorf("refused: %+v", rec)
	}
	held := w.paid(txn.BankPreAuth)
	if rec := w.last(); rec.Charged != 0 || len(rec.Postings) != 0 {
		t.Errorf("held: %+v", rec)
	}
	w.paid(txn.BankVoid, about(held, 100))
	if rec := w.last(); rec.Charged != 0 || len(rec.Postings) != 0 {
		t.Errorf("the void of what was only held: %+v", rec)
	}
}

// The switch approves in the bank's place within count and sum of the day, and gives its own
// authorization code, which the bank's answer later does not change.
func TestStandIn(t *testing.T) {
	w := newWallet(t)
	limited := func(r *txn.Request) {
		r.Bank.StandIn = &txn.StandInLimit{CountMax: 2, TotalMax: 250, Since: w.now - hour}
	}
	first := w.bank(txn.BankPurchase, limited)
	said := w.wantBank(first, card.Advising, txn.ReasonNone)
	w.doBank(w.bankStep(first, txn.BankApprove))
	if again := w.doBank(first); !again.Replay || again.AuthCode != said.AuthCode {
		t.Errorf("the code was %s, is %s", said.AuthCode, again.AuthCode)
	}
	w.wantBank(w.bank(txn.BankPurchase, limited, amountOf(151)), card.Declined, txn.IssuerUnavailable)
	w.wantBank(w.bank(txn.BankPurchase, limited, amountOf(150)), card.Advising, txn.ReasonNone)
	w.wantBank(w.bank(txn.BankPurchase, limited, amountOf(1)), card.Declined, txn.IssuerUnavailable)
	// What goes another way does not count, nor does yesterday.
	for range 10 {
		w.now += 3 * minute
		w.paid(txn.BankPurchase)
	}
	w.wantBank(w.bank(txn.BankPurchase, limited, amountOf(1)), card.Declined, txn.IssuerUnavailable)
	w.now += 2 * hour
	w.wantBank(w.bank(txn.BankPurchase, limited), card.Advising, txn.ReasonNone)
}

// A full memory refuses, leaves no trace and loses nothing. When something has ended, the
// same request is taken up.
func TestBankMemoryFull(t *testing.T) {
	w := newWallet(t)
	var open []*txn.Request
	for range card.BankOpenMax {
		open = append(open, w.begun(txn.BankPurchase))
	}
	next := w.bank(txn.BankPurchase)
	records := len(w.records)
	for _, accept := range []bool{false, true} {
		next.Bank.Accept = accept
		if s := w.wantBank(next, card.PhaseNone, txn.TooManyOpen); s.wrote || len(w.records) != records {
			t.Fatal("a refusal for want of room left a trace")
		}
	}
	next.Bank.Accept = false
	stone := w.bankReversal(next)
	if s := w.doBank(stone); s.wrote || s.Reason != txn.TooManyOpen {
		t.Fatalf("a tombstone without room: %+v", s)
	}
	if s := w.doBank(open[0]); !s.Replay {
		t.Fatalf("what is known is not repeated: %+v", s)
	}
	w.wantBank(w.bankReversal(open[1]), card.Reversing, txn.ReasonNone)
	w.doBank(w.bankStep(open[0], txn.BankDecline))
	w.wantBank(next, card.Pending, txn.ReasonNone)
	w.mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	w.wantBank(w.bank(txn.BankPurchase), card.PhaseNone, txn.CardFrozen)
}

// BankMax young ones fill the memory as well; once the first is old, it makes room.
func TestBankMemoryOfTheYoung(t *testing.T) {
	w := newWallet(t)
	first := w.paid(txn.BankPurchase)
	w.now += second
	for range card.BankMax - 1 {
		w.paid(txn.BankPurchase)
	}
	next := w.bank(txn.BankPurchase)
	w.now += card.BankYoung - second - 1
	w.wantBank(next, card.PhaseNone, txn.TooManyOpen)
	w.now++
	w.wantBank(next, card.Pending, txn.ReasonNone)
	if s := w.card(); s.FindBank(first.ID) >= 0 || len(s.Bank) != card.BankMax {
		t.Fatalf("%d remembered", len(s.Bank))
	}
}

// What a void or refund refers to is the oldest of a full memory: it is not forgotten for it.
func TestOriginalInAFullMemory(t *testing.T) {
	for _, k := range []txn.Kind{txn.BankVoid, txn.BankRefund} {
		for _, of := range []txn.Kind{txn.BankPurchase, txn.BankPreAuth} {
			if k == txn.BankRefund && of == txn.BankPreAuth {
				continue
			}
			t.Run(fmt.Sprintf("%s of %s", k, of), func(t *testing.T) {
				w := newWallet(t)
				old := w.paid(of)
				for range card.BankMax - 1 {
					w.paid(of, amountOf(1))
				}
				w.now += 60 * day
				owed := w.owed()
				back := w.begun(k, about(old, 100))
				if got := w.bankTxn(back).Original; got != old.ID {
					t.Fatalf("original %q", got)
				}
				for range card.BankOpenMax - 1 {
					w.paid(of, amountOf(1)) // makes room meanwhile
				}
				w.wantBank(w.bankStep(back, txn.BankApprove), card.Approved, txn.ReasonNone)
				w.wantBank(w.bank(k, about(old, 100)), card.Declined, w.backTwice(k))
				paid := txn.Minor(0)
				if of == txn.BankPurchase {
					paid = card.BankOpenMax - 1 - 100
				}
				if got := w.owed() - owed; got != paid {
					t.Errorf("moved %d, want %d", got, paid)
				}
			})
		}
	}
}

func (w *wallet) backTwice(k txn.Kind) txn.Reason {
	if k == txn.BankVoid {
		return txn.OriginalReversed
	}
	return txn.RefundTooLarge
}

// A card of another issuer is a guest: its bank transactions are known, its purse is not.
// When it is enrolled it keeps them.
func TestGuest(t *testing.T) {
	w := newWallet(t)
	bought := w.paid(txn.BankPurchase)
	if s := w.card(); s.Status != card.Guest || s.Last4 != bought.Last4 || s.Issuer != "ICBC" {
		t.Fatalf("%+v", s)
	}
	version := w.version
	for _, q := range []*txn.Request{w.purchase(1), w.load(1), w.entry("Futian"), w.board("FREE"),
		w.request(txn.Balance), w.reversal(bought)} {
		view := engine.View{Version: w.version, Card: w.card()}
		var out engine.Result
		p := policy(t)
		engine.Decide(&view, q, &p, w.now, &out)
		if out.Decision.Reason != txn.UnknownCard || out.Write || out.Settle {
			t.Errorf("%s: %+v", q.Kind, out.Decision)
		}
	}
	enrol := w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment.Apps = txn.AppPurse | txn.AppBank
	})
	view := engine.View{Version: w.version, Card: w.card()}
	p := policy(t)
	engine.Decide(&view, enrol, &p, w.now, &w.result)
	w.commit()
	if s := w.card(); w.version != version+1 || s.Status != card.Active || s.FindBank(bought.ID) < 0 {
		t.Fatalf("version %d after %d, %+v", w.version, version, s)
	}
	w.must(w.load(500))
	w.paid(txn.BankVoid, about(bought, 100))
	w.wantBalance(500)
	if w.owed() != 0 {
		t.Errorf("the bank owes %d", w.owed())
	}
}

// The same through Engine, which decides who is known.
func TestGuestThroughTheEngine(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	bought := r.maker.bank(txn.BankPurchase)
	r.untilAnswered(bought)
	r.refused(r.maker.purchase(1), txn.UnknownCard)
	r.must(r.maker.request(txn.Enrol, func(q *txn.Request) { q.Enrolment.Apps = txn.AppAll }))
	r.refused(r.maker.request(txn.Enrol), txn.CardExists)
	r.must(r.maker.load(10))
	r.must(r.maker.bankStep(bought, txn.BankApprove))
	r.must(r.maker.bankReversal(bought))
	if s, _ := r.state(token(1)); s.Balance != 10 || s.Bank[0].Phase != card.Reversing {
		t.Errorf("%+v", s)
	}
	r.checkBank(bought, card.Reversing, 0)
}

// A guest that first came with a foreign currency is no foreign card: what it pays later is
// booked in the scheme's.
func TestGuestOfAForeignCurrency(t *testing.T) {
	w := newWallet(t)
	foreign := w.bank(txn.BankPurchase, func(r *txn.Request) { r.Currency = 840 })
	w.wantBank(foreign, card.Declined, txn.UnknownCurrency)
	w.paid(txn.BankPurchase)
	if rec := w.last(); rec.Currency != txn.CNY || w.card().Currency != txn.CNY {
		t.Errorf("booked in %d", rec.Currency)
	}
}

// A freeze closes the bank function where its scope says so, for what begins and for what is
// under way; what gives money back and is under way stands. A reversal is always taken.
func TestBankFrozen(t *testing.T) {
	for _, scope := range []txn.App{txn.AppAll, txn.AppBank, txn.AppPurse} {
		closed := txn.ReasonNone
		if scope.Has(txn.AppBank) {
			closed = txn.CardFrozen
		}
		w := newWallet(t)
		bought, other := w.paid(txn.BankPurchase), w.paid(txn.BankPurchase)
		asked, stood, back := w.begun(txn.BankPurchase), w.begun(txn.BankPurchase),
			w.begun(txn.BankRefund, about(other, 60))
		w.mark = txn.Mark{Reason: txn.Lost, Scope: scope}
		end := func(closedEnd, open card.Phase) card.Phase {
			if closed != 0 {
				return closedEnd
			}
			return open
		}
		w.wantBank(w.bank(txn.BankPreAuth), end(card.Declined, card.Pending), closed)
		w.wantBank(w.bank(txn.BankPurchase, accepted), end(card.Declined, card.Advising), closed)
		w.wantBank(w.bankStep(asked, txn.BankApprove), end(card.Reversing, card.Approved), closed)
		w.wantBank(w.bankStep(stood, txn.BankAccept, standIn), end(card.Declined, card.Advising), closed)
		w.wantBank(w.bankStep(back, txn.BankApprove), card.Approved, txn.ReasonNone)
		w.wantBank(w.bankReversal(bought), card.Reversing, txn.ReasonNone)
		if d := w.doBank(other); !d.Replay || d.Outcome != txn.Approved {
			t.Errorf("what was approved before: %+v", d.Decision)
		}
	}
}

// A due entry that has nothing behind it is taken away by whoever looks at it.
func TestBankDueOfNothing(t *testing.T) {
	w := newWallet(t)
	declined := w.begun(txn.BankPurchase, amountOf(0))
	for _, r := range []*txn.Request{w.bank(txn.BankPurchase), declined} {
		w.due[bankKey(w, r.ID)] = w.now
		if s := w.doBank(w.bankStep(r, txn.BankAgain)); s.wrote || len(w.due) != 0 {
			t.Errorf("%+v, due %v", s.Decision, w.due)
		}
	}
}

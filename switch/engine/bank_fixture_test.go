package engine_test

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	icbc = txn.Account("issuer/ICBC")
	// answerTime is how long a bank has to answer.
	answerTime = 20 * second
)

var (
	bankAuth = txn.AuthCode([]byte("BANK01"))
	lastAuth = txn.AuthCode([]byte("BANK02"))
)

// bank returns a request of the bank kind k over 100, as a terminal begins it.
func (w *wallet) bank(k txn.Kind, change ...func(*txn.Request)) *txn.Request {
	w.t.Helper()
	r := w.request(k, func(r *txn.Request) {
		r.Amount, r.STAN = 100, w.counter
		r.Bank = &txn.BankWork{Type: k.String(), LocalAt: "1121080000", Issuer: "ICBC",
			Link: "icbc", STAN: w.counter, Due: w.now + answerTime, Sealed: []byte("sealed")}
		copy(r.Bank.Sent[:], "1121080000")
		copy(r.Bank.RRN[:], fmt.Sprintf("%012d", w.counter))
		for _, c := range change {
			c(r)
		}
	})
	return r
}

// bankStep returns the request for a step of the transaction that first began.
func (w *wallet) bankStep(
	first *txn.Request, step txn.BankStep, change ...func(*txn.Request),
) *txn.Request {
	r, work := *first, *first.Bank
	work.Step, work.Accept, work.StandIn, work.Reason = step, false, nil, txn.ReasonNone
	work.Due = w.now + minute
	switch step {
	case txn.BankApprove:
		work.Auth, work.Code = bankAuth, [2]byte{'0', '0'}
	case txn.BankDecline, txn.BankGiveUp:
		work.Code = [2]byte{'0', '5'}
	}
	r.Bank, r.ReceivedAt = &work, w.now
	for _, c := range change {
		c(&r)
	}
	return &r
}

// bankReversal returns the reversal of first, as its terminal sends it.
func (w *wallet) bankReversal(first *txn.Request) *txn.Request {
	r := w.bankStep(first, txn.BankBegin)
	r.ID.Counter |= 1 << 31
	r.Kind, r.Original = txn.BankReversal, first.ID
	r.Bank.Due = w.now
	return r
}

// about makes a request refer to of.
func about(of *txn.Request, amount txn.Minor) func(*txn.Request) {
	return func(r *txn.Request) { r.Original, r.Amount = of.ID, amount }
}

func accepted(r *txn.Request) { r.Bank.Accept = true }

// standIn lets the switch approve up to three times and 1000.
func standIn(r *txn.Request) {
	r.Bank.StandIn = &txn.StandInLimit{CountMax: 3, TotalMax: 1000}
}

// settling is what a step did, taken apart.
type settling struct {
	txn.Decision
	wrote   bool
	settled bool
	record  txn.Record
	phase   card.Phase // after it; PhaseNone for a transaction that the card does not know
}

// doBank decides r, proves what holds for every step, and commits it.
func (w *wallet) doBank(r *txn.Request) settling {
	w.t.Helper()
	before := w.card()
	asked, work := *r, *r.Bank
	w.view.Version, w.view.Mark = w.version, w.mark
	w.view.Card = card.State{Recent: w.view.Card.Recent[:0], Bank: w.view.Card.Bank[:0]}
	if w.version > 0 {
		if err := w.view.Card.Decode(w.state); err != nil {
			w.t.Fatal(err)
		}
	}
	w.view.Known = w.version > 0 && w.view.Card.Status != card.Guest
	engine.Decide(&w.view, r, &w.policy, w.now, &w.result)
	if *r != asked || !reflect.DeepEqual(*r.Bank, work) {
		w.t.Fatalf("Decide changed the request: %+v", *r)
	}
	out := &w.result
	s := settling{Decision: out.Decision, wrote: out.Write, settled: out.Settle, record: out.Record}
	s.record.Postings = slices.Clone(out.Record.Postings)
	if out.Final || out.List != nil || out.Settle && !out.Write {
		w.t.Fatalf("final %v, list %v, record without state %v", out.Final, out.List, out.Settle)
	}
	if out.Write {
		checkState(w.t, &out.Next)
	}
	if out.Settle {
		w.checkBankRecord(r)
	}
	w.checkPurse(before)
	w.commit()
	after := w.card()
	if i := after.FindBank(subject(r)); i >= 0 {
		s.phase = after.Bank[i].Phase
	}
	w.checkOpen(after)
	return s
}

// subject is the id of the transaction that a request is about.
func subject(r *txn.Request) txn.RequestID {
	if r.Kind == txn.BankReversal {
		return r.Original
	}
	return r.ID
}

// checkPurse proves that a bank transaction leaves everything else of the card alone.
func (w *wallet) checkPurse(before card.State) {
	w.t.Helper()
	if !w.result.Write || w.version == 0 {
		return
	}
	next := w.result.Next
	next.Bank, before.Bank = nil, nil
	if len(next.Recent) == 0 {
		next.Recent, before.Recent = nil, nil
	}
	if !reflect.DeepEqual(next, before) {
		w.t.Fatalf("a bank transaction changed the card:\n got %+v\nwant %+v", next, before)
	}
}

// checkBankRecord proves what holds for each record of a bank transaction.
func (w *wallet) checkBankRecord(r *txn.Request) {
	w.t.Helper()
	rec := &w.result.Record
	if err := rec.CheckPostings(); err != nil {
		w.t.Fatal(err)
	}
	back, err := txn.DecodeRecord(txn.AppendRecord(nil, rec))
	if err != nil {
		w.t.Fatal(err)
	}
	back.Place.Payee, back.Place.Funding = rec.Place.Payee, rec.Place.Funding
	if len(rec.Postings) == 0 {
		back.Postings = rec.Postings
	}
	if !reflect.DeepEqual(back, *rec) {
		w.t.Fatalf("record changed in its encoding:\n got %+v\nwant %+v", back, *rec)
	}
	if rec.Card != w.token || rec.CardVersion != w.version+1 || rec.Application != txn.AppBank ||
		rec.Currency != txn.CNY || rec.Issuer != "ICBC" || rec.Request.IsZero() {
		w.t.Fatalf("record of %s: %+v", r.Kind, rec)
	}
	if rec.Outcome == txn.Declined && (len(rec.Postings) != 0 || rec.Charged != 0) {
		w.t.Fatalf("a decline moved money: %+v", rec)
	}
	if moved := sumOf(rec, icbc); rec.Kind != txn.BankAdjustment && moved != -rec.Charged {
		w.t.Fatalf("%s: charged %d, the bank's account moved by %d", rec.Kind, rec.Charged, moved)
	}
}

func sumOf(rec *txn.Record, account txn.Account) (sum txn.Minor) {
	for _, p := range rec.Postings {
		if p.Account == account {
			sum += p.Amount
		}
	}
	return sum
}

// checkOpen proves that a transaction is open if and only if it stands in the due queue, at
// its own time, and that it then knows what to tell.
func (w *wallet) checkOpen(s card.State) {
	w.t.Helper()
	open := 0
	for i := range s.Bank {
		b := &s.Bank[i]
		if !b.Phase.Open() {
			// A load that stands still knows whose purse it went to.
			knows := b.Phase == card.Dead || b.Phase == card.Approved && b.Kind == txn.BankLoad
			if b.Due != 0 || !knows && len(b.Sealed) != 0 {
				w.t.Fatalf("%s is %s with due time %d and %d sealed bytes", b.ID, b.Phase, b.Due,
					len(b.Sealed))
			}
			continue
		}
		open++
		at, ok := w.due[bankKey(w, b.ID)]
		if !ok || at != b.Due || at == 0 {
			w.t.Fatalf("%s is %s and due at %d; the queue says %v at %d", b.ID, b.Phase, b.Due, ok, at)
		}
		if len(b.Sealed) == 0 {
			w.t.Fatalf("%s is %s with nothing to tell the bank", b.ID, b.Phase)
		}
	}
	if len(w.due) != open {
		w.t.Fatalf("%d due entries for %d open transactions", len(w.due), open)
	}
}

func bankKey(w *wallet, id txn.RequestID) string {
	return string(id.AppendBinary(append([]byte{'b'}, w.token[:]...)))
}

// bankTxn returns the transaction as the card remembers it.
func (w *wallet) bankTxn(r *txn.Request) card.BankTxn {
	w.t.Helper()
	s := w.card()
	i := s.FindBank(r.ID)
	if i < 0 {
		w.t.Fatalf("%s %s is not remembered", r.Kind, r.ID)
	}
	return s.Bank[i]
}

// wantBank decides r and wants the phase and reason; ReasonNone with any outcome but a
// decline.
func (w *wallet) wantBank(r *txn.Request, phase card.Phase, reason txn.Reason) settling {
	w.t.Helper()
	s := w.doBank(r)
	if s.phase != phase || s.Reason != reason || (s.Outcome == txn.Declined) != (reason != 0) {
		w.t.Fatalf("%s %s: %s, %s with %s; want %s with %s", r.Kind, r.ID, s.phase, s.Outcome,
			s.Reason, phase, reason)
	}
	return s
}

// paid begins a transaction of the kind and has the bank approve it.
func (w *wallet) paid(k txn.Kind, change ...func(*txn.Request)) *txn.Request {
	w.t.Helper()
	r := w.bank(k, change...)
	w.wantBank(r, card.Pending, txn.ReasonNone)
	w.wantBank(w.bankStep(r, txn.BankApprove), card.Approved, txn.ReasonNone)
	return r
}

// owed is what the records say that the bank owes for the card.
func (w *wallet) owed() (sum txn.Minor) {
	for i := range w.records {
		sum -= sumOf(&w.records[i], icbc)
	}
	return sum
}

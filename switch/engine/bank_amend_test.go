package engine_test

import (
	"bytes"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// amend makes an adjustment of a sale to an amount.
func (w *wallet) amend(of *txn.Request, amount txn.Minor, change ...func(*txn.Request)) *txn.Request {
	w.t.Helper()
	return w.bank(txn.BankAdjustment, append([]func(*txn.Request){about(of, amount), accepted,
		func(r *txn.Request) {
			r.ID.Boot = of.ID.Boot
			r.Bank.Amend = txn.Amendment{RaiseMax: 50, OpenBatch: of.ID.Boot}
		}}, change...)...)
}

func tip(r *txn.Request) { r.Bank.Amend.RaiseOnly = true }

// An adjustment books the difference to what the sale has come to, with a link to it, and has
// the bank told of the difference.
func TestAdjustments(t *testing.T) {
	w := newWallet(t)
	sold := w.paid(txn.BankPurchase)
	for _, step := range []struct{ to, moves, owed txn.Minor }{
		{130, 30, 130}, {120, -10, 120}, {150, 30, 150}, {60, -90, 60},
	} {
		r := w.amend(sold, step.to)
		s := w.wantBank(r, card.Advising, txn.ReasonNone)
		if s.record.Kind != txn.BankAdjustment || s.record.Original != sold.ID ||
			s.record.Charged != step.moves || w.owed() != step.owed {
			t.Errorf("to %d: %+v, owed %d", step.to, s.record, w.owed())
		}
		if b := w.bankTxn(r); b.Amount != step.moves || len(b.Sealed) == 0 {
			t.Errorf("to %d: the bank is told %+v", step.to, b)
		}
		again := w.doBank(r)
		if !again.Replay || again.wrote || again.Outcome != txn.Approved {
			t.Errorf("again: %+v", again)
		}
		w.wantBank(w.bankStep(r, txn.BankApprove), card.Approved, txn.ReasonNone)
	}
	same := w.wantBank(w.amend(sold, 60), card.Approved, txn.ReasonNone)
	if same.record.Charged != 0 || len(same.record.Postings) != 0 || w.owed() != 60 {
		t.Errorf("to the same amount: %+v", same.record)
	}
	if b := w.bankTxn(sold); b.Amount != 100 || b.Total() != 60 {
		t.Errorf("the sale has come to %+v", b)
	}
}

// A tip may raise the amount within its limit, from what was sold and not from the last tip.
func TestTips(t *testing.T) {
	w := newWallet(t)
	sold := w.paid(txn.BankPurchase)
	w.wantBank(w.amend(sold, 151, tip), card.Declined, txn.LimitExceeded)
	w.wantBank(w.amend(sold, 99, tip), card.Declined, txn.InvalidAmount)
	w.wantBank(w.amend(sold, 140, tip), card.Advising, txn.ReasonNone)
	w.wantBank(w.amend(sold, 139, tip), card.Declined, txn.InvalidAmount)
	w.wantBank(w.amend(sold, 151, tip), card.Declined, txn.LimitExceeded)
	w.wantBank(w.amend(sold, 150, tip), card.Advising, txn.ReasonNone)
	if w.owed() != 150 {
		t.Errorf("owed %d", w.owed())
	}
}

// What cannot be adjusted is told, and moves nothing.
func TestAdjustmentsRefused(t *testing.T) {
	w := newWallet(t)
	sold, held := w.paid(txn.BankPurchase), w.paid(txn.BankPreAuth)
	unknown := w.bank(txn.BankPurchase)
	asked := w.begun(txn.BankPurchase)
	gone := w.paid(txn.BankPurchase)
	w.paid(txn.BankVoid, about(gone, 100))
	back := w.paid(txn.BankPurchase)
	w.paid(txn.BankRefund, about(back, 80))
	owed := w.owed()
	otherTerminal := func(r *txn.Request) { r.ID.Terminal[0] ^= 1 }
	settled := func(r *txn.Request) { r.Bank.Amend.OpenBatch++ }
	nextBatch := func(r *txn.Request) { r.ID.Boot++ }
	for _, c := range []struct {
		name   string
		of     *txn.Request
		reason txn.Reason
		change func(*txn.Request)
	}{
		{"not known", unknown, txn.OriginalUnknown, accepted},
		{"of another terminal", sold, txn.OriginalUnknown, otherTerminal},
		{"of a settled batch", sold, txn.OriginalSettled, settled},
		{"of the batch before", sold, txn.OriginalSettled, nextBatch},
		{"only held", held, txn.OriginalNotRefundable, accepted},
		{"not answered", asked, txn.OriginalDeclined, accepted},
		{"voided", gone, txn.OriginalReversed, accepted},
		{"given back", back, txn.RefundTooLarge, amountOf(79)},
	} {
		w.now += 3 * minute // so that the card may forget the last one
		r := w.amend(c.of, 120, c.change)
		if s := w.doBank(r); s.Reason != c.reason || w.owed() != owed {
			t.Errorf("%s: %s, owed %d", c.name, s.Reason, w.owed())
		}
	}
}

// What rests on an adjusted sale: it can be refunded up to what was sold, but neither voided
// nor reversed.
func TestAdjustedSale(t *testing.T) {
	w := newWallet(t)
	sold := w.paid(txn.BankPurchase)
	w.wantBank(w.amend(sold, 80), card.Advising, txn.ReasonNone)
	w.wantBank(w.bank(txn.BankVoid, about(sold, 100)), card.Declined, txn.OriginalNotRefundable)
	if s := w.doBank(w.bankReversal(sold)); s.Reason != txn.OriginalNotRefundable {
		t.Errorf("reversed: %+v", s.Decision)
	}
	w.wantBank(w.bank(txn.BankRefund, about(sold, 81)), card.Declined, txn.RefundTooLarge)
	w.paid(txn.BankRefund, about(sold, 80))
	if w.owed() != 0 {
		t.Errorf("owed %d", w.owed())
	}
}

// An adjustment that the bank refuses is finance's to place, and its own record.
func TestAdjustmentRefusedByTheBank(t *testing.T) {
	w := newWallet(t)
	sold := w.paid(txn.BankPurchase)
	r := w.amend(sold, 130)
	w.wantBank(r, card.Advising, txn.ReasonNone)
	w.doBank(w.bankStep(r, txn.BankDecline))
	if rec := w.last(); w.bankTxn(r).Phase != card.Dead || w.owed() != 100 || rec.Original != r.ID ||
		rec.Request == r.ID {
		t.Errorf("owed %d, %+v", w.owed(), rec)
	}
}

// A partial approval books what the bank approved; what it asked for still names it in a
// reversal, and more than was asked for is not believed.
func TestPartialApproval(t *testing.T) {
	partial := func(n txn.Minor) func(*txn.Request) {
		return func(r *txn.Request) { r.Bank.Partial, r.Bank.Code = n, [2]byte{'1', '0'} }
	}
	w := newWallet(t)
	sold := w.begun(txn.BankPurchase)
	s := w.wantBank(w.bankStep(sold, txn.BankApprove, partial(60)), card.Approved, txn.ReasonNone)
	if s.Charged != 60 || w.owed() != 60 {
		t.Errorf("charged %d, owed %d", s.Charged, w.owed())
	}
	if b := w.bankTxn(sold); b.Amount != 60 || b.Asked != 100 {
		t.Errorf("%+v", b)
	}
	if again := w.doBank(sold); !again.Replay || again.Charged != 60 {
		t.Errorf("again: %+v", again)
	}
	w.wantBank(w.bank(txn.BankVoid, about(sold, 100)), card.Declined, txn.OriginalMismatch)
	if s := w.doBank(w.bankReversal(sold)); s.Outcome != txn.Approved || w.owed() != 0 {
		t.Errorf("reversed: %+v, owed %d", s.Decision, w.owed())
	}
	more := w.begun(txn.BankPurchase)
	w.doBank(w.bankStep(more, txn.BankApprove, partial(101)))
	if w.owed() != 100 || w.bankTxn(more).Asked != 0 {
		t.Errorf("more than was asked for: owed %d", w.owed())
	}
}

// What of the bank's answer a repeat gets again is kept with the end, and goes with a
// reversal.
func TestAnswerIsKept(t *testing.T) {
	said := func(r *txn.Request) {
		r.Bank.Settled, r.Bank.Answer = [4]byte([]byte("1122")), bytes.Repeat([]byte{7}, 256)
	}
	w := newWallet(t)
	for step, phase := range map[txn.BankStep]card.Phase{txn.BankApprove: card.Approved,
		txn.BankDecline: card.Declined} {
		r := w.begun(txn.BankPurchase)
		w.doBank(w.bankStep(r, step, said))
		if b := w.bankTxn(r); b.Phase != phase || string(b.Settled[:]) != "1122" ||
			len(b.Answer) != 256 {
			t.Errorf("%s: %+v", phase, b)
		}
		if phase == card.Approved {
			w.doBank(w.bankReversal(r))
			if b := w.bankTxn(r); b.Settled != [4]byte{} || b.Answer != nil {
				t.Errorf("after its reversal: %+v", b)
			}
		}
	}
	// An answer beside what a load keeps must fit; one in the registry is told apart.
	load := w.begun(txn.BankLoad)
	w.doBank(w.bankStep(load, txn.BankApprove, said, func(r *txn.Request) {
		r.Bank.AnswerElsewhere = true
	}))
	if b := w.bankTxn(load); len(b.Sealed) == 0 || b.Answer != nil || !b.AnswerElsewhere {
		t.Errorf("a load: %+v", b)
	}
	// The terminal of an advice had its answer before.
	told := w.bank(txn.BankPurchase, accepted)
	w.doBank(told)
	again := w.bankStep(told, txn.BankAgain)
	w.doBank(again)
	w.doBank(w.bankStep(told, txn.BankApprove, said))
	if b := w.bankTxn(told); b.Advised && b.Answer != nil {
		t.Errorf("an advice: %+v", b)
	}
}

// An adjustment that comes before its bank has heard of the sale is refused without a trace: the
// terminal says it again, under the same number, and then it is taken.
func TestAdjustmentBeforeItsSaleIsTold(t *testing.T) {
	w := newWallet(t)
	sold := w.bank(txn.BankPurchase, accepted)
	w.wantBank(sold, card.Advising, txn.ReasonNone)
	early := w.amend(sold, 130)
	if s := w.doBank(early); s.wrote || s.Reason != txn.IssuerUnavailable || w.owed() != 100 {
		t.Errorf("before: %+v, written %t, owed %d", s.Decision, s.wrote, w.owed())
	}
	w.wantBank(w.bankStep(sold, txn.BankApprove), card.Approved, txn.ReasonNone)
	w.wantBank(early, card.Advising, txn.ReasonNone)
	if w.owed() != 130 {
		t.Errorf("owed %d", w.owed())
	}
}

package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The record of a transaction says what the bank answered, in its own words: also a refusal, and
// the refusal of what was approved in its place. Where no bank was heard there is nothing.
func TestBankAnswerInTheLedger(t *testing.T) {
	answered := func(code txn.ResponseCode, day txn.SettlementDay) func(*txn.Request) {
		return func(r *txn.Request) { r.Bank.Code, r.Bank.Settled = code, day }
	}
	yes, no := txn.ResponseCode{'0', '0'}, txn.ResponseCode{'5', '1'}
	day := txn.SettlementDay{'1', '1', '2', '2'}
	w := newWallet(t)
	first := w.begun(txn.BankPurchase)
	check := func(what string, s settling, code txn.ResponseCode, settled txn.SettlementDay) {
		t.Helper()
		if !s.settled || s.record.Response != code || s.record.Settled != settled {
			t.Errorf("%s: settled %v, response %q, settles %q", what, s.settled,
				s.record.Response, s.record.Settled)
		}
	}
	check("approval", w.doBank(w.bankStep(first, txn.BankApprove, answered(yes, day))), yes, day)
	check("reversal", w.doBank(w.bankReversal(first)), txn.ResponseCode{}, txn.SettlementDay{})

	second := w.begun(txn.BankPurchase)
	check("refusal", w.doBank(w.bankStep(second, txn.BankDecline, answered(no, day))), no, day)

	third := w.begun(txn.BankPurchase)
	check("time-out", w.doBank(w.bankStep(third, txn.BankDoubt)), txn.ResponseCode{},
		txn.SettlementDay{})

	advice := w.bank(txn.BankPurchase, accepted)
	check("advice", w.doBank(advice), txn.ResponseCode{}, txn.SettlementDay{})
	check("advice refused", w.doBank(w.bankStep(advice, txn.BankDecline,
		answered(no, txn.SettlementDay{}))), no, txn.SettlementDay{})
}

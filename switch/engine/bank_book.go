package engine

import (
	"bytes"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// charge is what the card pays by b when it is approved; negative is what it is given.
func charge(b *card.BankTxn) txn.Minor {
	switch b.Kind {
	case txn.BankPurchase, txn.BankCompletion, txn.BankLoad:
		return b.Amount
	case txn.BankRefund:
		return -b.Amount
	case txn.BankAdjustment:
		return b.Amount // a difference, negative when it lowers its original
	default:
		return 0
	}
}

// moved is charge, and for a void minus what its original moved.
func (d *bankDecider) moved(b *card.BankTxn) txn.Minor {
	if b.Kind != txn.BankVoid {
		return charge(b)
	}
	if i := d.out.Next.FindBank(b.Original); i >= 0 {
		return -charge(&d.out.Next.Bank[i])
	}
	return -b.Amount
}

// book settles the outcome of b.
func (d *bankDecider) book(b *card.BankTxn, outcome txn.Outcome) {
	d.record(b)
	r := &d.out.Record
	r.Request, r.Kind, r.Outcome, r.Reason = b.ID, b.Kind, outcome, b.Reason
	r.Original = b.Original
	d.out.Bank = b
	if outcome == txn.Declined {
		d.out.Decision = txn.Decision{Outcome: txn.Declined, Reason: b.Reason}
		return
	}
	r.Auth = b.Auth
	if b.StandIn {
		r.Liability = txn.LiabilityAcquirer
	}
	d.post(d.moved(b))
	d.out.Decision = txn.Decision{Outcome: txn.Approved, Charged: r.Charged, AuthCode: b.Auth}
}

// bookReversal settles that what b moved is undone.
func (d *bankDecider) bookReversal(b *card.BankTxn) {
	d.record(b)
	r := &d.out.Record
	r.Request, r.Kind, r.Outcome = d.r.ID, txn.BankReversal, txn.Approved
	r.Original, r.Auth = b.ID, b.Auth
	d.post(-d.moved(b))
}

// adjustmentBit makes the id of an adjustment of that of its original: counters of bank
// transactions are trace numbers, which leave the upper bits free.
const adjustmentBit = 1 << 30

// adjustedBackBit makes the id of what takes an adjustment back.
const adjustedBackBit = 1 << 28

// adjust settles that the bank refuses to pay what was approved for it: what it owed is
// for finance to place. Once adjusted, it takes that back: the bank pays after all.
func (d *bankDecider) adjust(b *card.BankTxn) {
	d.record(b)
	r := &d.out.Record
	r.Request, r.Kind, r.Outcome = b.ID, txn.BankAdjustment, txn.Approved
	r.Request.Counter |= adjustmentBit
	r.Original, r.Auth = b.ID, b.Auth
	r.Place.Payee = AccountSuspense
	amount := d.moved(b)
	if b.Adjusted {
		r.Request.Counter |= adjustedBackBit
		amount = -amount
	}
	b.Adjusted = !b.Adjusted
	if amount == 0 {
		return
	}
	d.out.postings[0] = txn.Posting{Account: issuerAccount(b), Amount: amount}
	d.out.postings[1] = txn.Posting{Account: AccountSuspense, Amount: -amount}
	r.Postings = d.out.postings[:2]
}

// record fills what all records of bank transactions have in common.
func (d *bankDecider) record(b *card.BankTxn) {
	r, out := d.r, d.out
	out.Settle, out.Write = true, true
	out.Record = txn.Record{
		Version: txn.RecordVersion, Position: txn.Position{Bucket: txn.BucketOf(r.Card)},
		Card: r.Card, Last4: out.Next.Last4, CardVersion: d.v.Version + 1,
		Application: txn.AppBank, Rider: out.Next.Rider, Place: r.Place, Issuer: b.Issuer,
		STAN: r.STAN, RRN: string(bytes.TrimRight(b.RRN[:], "\x00")), Currency: out.Next.Currency,
		BalanceAfter: out.Next.Balance, Offline: r.Offline, ListEpoch: r.ListEpoch,
		ServiceAt: r.ServiceAt, ReceivedAt: r.ReceivedAt, Response: d.w.Code, Settled: d.w.Settled,
	}
}

// post books amount from the issuer to the payee.
func (d *bankDecider) post(amount txn.Minor) {
	r := &d.out.Record
	r.Charged = amount
	if amount == 0 {
		return
	}
	payee := d.r.Place.Payee
	if payee == "" {
		payee = AccountSuspense
	}
	d.out.postings[0] = txn.Posting{Account: issuerAccount(d.out.Bank), Amount: -amount}
	d.out.postings[1] = txn.Posting{Account: payee, Amount: amount}
	r.Postings = d.out.postings[:2]
}

func issuerAccount(b *card.BankTxn) txn.Account {
	if b == nil || b.Issuer == "" {
		return AccountIssuer + "unknown"
	}
	return AccountIssuer + txn.Account(b.Issuer)
}

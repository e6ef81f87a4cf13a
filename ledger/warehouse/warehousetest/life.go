package warehousetest

import "github.com/tapswitch/tapswitch/switch/txn"

// lateMS is how long before its upload a late tap of Life was served: more than a day.
const lateMS = 30 * 60 * 60 * 1000

// Life returns records of one bucket, whose first epoch must be open, of every kind that moves
// money and of those whose figures are easily counted wrongly: refunds, reversals, rides that
// were forgiven, taps that were uploaded a day late, ends that were told late (three postings),
// journeys without an end, passes, what the desk and finance book, and all that a bank does.
func (c *Chain) Life(b txn.Bucket) []txn.Record {
	l := &life{chain: c, bucket: b}
	operator := func(name string) txn.Account { return txn.Account("operator/" + name) }
	ride := l.paid(txn.MetroExit, 420, "purse", operator("M1"))
	l.undone(txn.Reversal, ride, 420)
	sale := l.paid(txn.Purchase, 1999, "purse", "merchant/1")
	l.undone(txn.Refund, sale, 333)
	load := l.paid(txn.Load, -5000, "purse", "cash/AGENT1")
	l.undone(txn.Reversal, load, -5000)
	forgiven := l.add(txn.MetroExit)
	forgiven.FullFare, forgiven.Currency = 700, txn.CNY
	forgiven.Discounts = []txn.Discount{{Cause: "grace", Amount: 700}}
	forgiven.EntryStation, forgiven.EntryAt = forgiven.Place.Station, forgiven.ServiceAt-120_000
	late := l.paid(txn.BusBoarding, 160, "purse", operator("BUS-E"))
	late.ServiceAt, late.Offline, late.TAC = late.ReceivedAt-lateMS, true, txn.TACValid
	late.FullFare, late.Discounts = 200, []txn.Discount{{Cause: "rider", Amount: 40}}
	late.Rider, late.OfflineCounter = txn.RiderStudent, late.Request.Counter
	late.Ride = txn.Ride{Mode: txn.ModeRail, Business: true, Metres: 12_345, Degraded: 9}
	l.told(ride, -280, 700)
	l.told(ride, 0, 450)
	l.paid(txn.JourneyLapse, 900, "purse", operator("M5"))
	l.paid(txn.Correction, -350, "purse", operator("M5"))
	l.paid(txn.PassSale, 20000, "purse", operator("M5"))
	l.paid(txn.Fee, 1800, "cash/AGENT1", "income/cards")
	l.paid(txn.Compensation, -1234, "purse", "loss/M1")
	l.paid(txn.Liable, -160, "purse", "loss/M5")
	l.paid(txn.Payout, 77, "purse", "cash/AGENT1")
	l.paid(txn.TransferOut, 650, "purse", "transfer")
	l.paid(txn.TransferIn, -650, "purse", "transfer")
	l.bank()
	refused := l.add(txn.Purchase)
	refused.Outcome, refused.Reason, refused.Charged = txn.Declined, txn.InsufficientFunds, 0
	l.add(txn.Verify)
	l.add(txn.Desk)
	return l.records
}

// life is a bucket's records in the making.
type life struct {
	chain   *Chain
	bucket  txn.Bucket
	records []txn.Record
}

// add makes an approved record of a kind that moves nothing yet. The pointer is good until the
// next.
func (l *life) add(kind txn.Kind) *txn.Record {
	from := l.chain.Next(l.bucket)
	r := txn.Record{Version: from.Version, Position: from.Position, BusinessDate: from.BusinessDate,
		Request: from.Request, Card: from.Card, Last4: from.Last4, CardVersion: from.CardVersion,
		Kind: kind, Outcome: txn.Approved, Application: txn.AppTransit, Place: from.Place,
		Issuer: from.Issuer, STAN: from.STAN, BalanceAfter: from.BalanceAfter,
		ServiceAt: from.ServiceAt, ReceivedAt: from.ReceivedAt, ListEpoch: from.ListEpoch}
	l.records = append(l.records, r)
	return &l.records[len(l.records)-1]
}

// paid moves what is charged from own to other.
func (l *life) paid(kind txn.Kind, charged txn.Minor, own, other txn.Account) *txn.Record {
	r := l.add(kind)
	r.Charged, r.Currency = charged, txn.CNY
	if charged > 0 {
		r.FullFare = charged
	}
	r.Postings = []txn.Posting{{Account: own, Amount: -charged}, {Account: other, Amount: charged}}
	if kind.IsTap() {
		r.Liability = txn.LiabilityHolder
	}
	return r
}

// undone takes back an amount of an earlier record.
func (l *life) undone(kind txn.Kind, of *txn.Record, amount txn.Minor) {
	request, own, other := of.Request, of.Postings[0].Account, of.Postings[1].Account
	l.paid(kind, -amount, own, other).Original = request
}

// told is the end of a journey that was charged as incomplete: the difference, with what its
// operator gives back.
func (l *life) told(incomplete *txn.Record, charged, back txn.Minor) {
	request := incomplete.Request
	r := l.add(txn.MetroExit)
	r.Charged, r.Currency, r.FullFare, r.Original = charged, txn.CNY, charged+back+60, request
	r.Rider, r.Offline = txn.RiderStudent, true
	r.Discounts = []txn.Discount{{Cause: "rider", Amount: 60}, {Cause: "incomplete", Amount: back}}
	r.Postings = []txn.Posting{{Account: "purse", Amount: -charged},
		{Account: "operator/M5", Amount: charged + back}, {Account: "operator/M1", Amount: -back}}
}

// bank adds what a bank card does.
func (l *life) bank() {
	const issuer, merchant = "issuer/ICBC", "merchant/1"
	hold := l.add(txn.BankPreAuth)
	hold.Currency, hold.Response = txn.CNY, txn.ResponseCode{'0', '0'}
	for _, m := range []struct {
		kind   txn.Kind
		amount txn.Minor
	}{{txn.BankPurchase, 10100}, {txn.BankCompletion, 4900}, {txn.BankRefund, -1300},
		{txn.BankVoid, -10100}, {txn.BankLoad, 2000}, {txn.BankReversal, -4900}, {txn.BankAdjustment, 7}} {
		r := l.paid(m.kind, m.amount, issuer, merchant)
		r.Application, r.Issuer, r.Original = txn.AppBank, "ICBC", l.records[0].Request
		r.Settled, r.Response = txn.SettlementDay{'0', '3', '0', '2'}, txn.ResponseCode{'0', '0'}
	}
	abroad := l.paid(txn.BankPurchase, 8800, issuer, merchant)
	abroad.Application, abroad.Currency = txn.AppBank, 344
}

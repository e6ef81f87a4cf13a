package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Adjustments and tips of terminals (UnionPay 60.1 32 and 34): the new amount takes the place
// of the original's, and the difference is booked and told as a transaction of its own. An
// original counts its differences, so that adjusting twice to the same amount is adjusting
// once; it can no longer be voided or reversed, and a refund reaches to what was sold, not to
// what was tipped: an adjustment back comes first.

// amends tells why the adjustment does not go with its original.
func (d *bankDecider) amends(b *card.BankTxn) txn.Reason {
	taken, voiding := d.claimed(b)
	limit := &d.w.Amend
	raise := d.r.Amount - b.Amount
	switch {
	case b.ID.Terminal != d.r.ID.Terminal:
		return txn.OriginalUnknown
	case b.ID.Boot != d.r.ID.Boot || b.ID.Boot < limit.OpenBatch:
		return txn.OriginalSettled
	case voiding:
		return txn.OriginalReversed
	case b.Kind != txn.BankPurchase && b.Kind != txn.BankCompletion || b.Adjusted:
		return txn.OriginalNotRefundable
	case limit.RaiseOnly && d.r.Amount < b.Total():
		return txn.InvalidAmount
	case d.r.Amount < taken:
		return txn.RefundTooLarge
	case raise > percentOf(b.Amount, limit.RaiseMax):
		return txn.LimitExceeded
	default:
		return txn.ReasonNone
	}
}

// percentOf returns percent hundredths of amount, rounded down, without overflow for any
// amount that a message can hold.
func percentOf(amount txn.Minor, percent int64) txn.Minor {
	share := txn.Minor(percent)
	return amount/100*share + amount%100*share/100
}

// keep notes in b what of the bank's answer a repeat gets again.
func (d *bankDecider) keep(b *card.BankTxn) {
	if b.Advised || b.StandIn {
		return // the terminal had its answer before the bank was told
	}
	b.Settled, b.AnswerElsewhere = d.w.Settled, d.w.AnswerElsewhere
	if len(b.Sealed)+len(d.w.Answer) <= card.BankSealedMax {
		b.Answer = d.w.Answer
	}
}

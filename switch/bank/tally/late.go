package tally

import (
	"context"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// An 0500 comes between a transaction and its reversal, or its advice, in two ways. The ledger
// has what the bank has not heard of yet: that is carried to the period in which it hears of it,
// and no totals differ. Or the bank has a sale whose answer was lost, and undoes it later: its
// totals have what nobody here knew of, and the batch says so once the bank has said it.

// Explained is the verdict of a Batch whose two sides differ by what Late names and by nothing
// else.
const Explained = "explained"

// Late is a sale that a bank counted in a period and undid in a later one, and whose answer was
// lost: the ledger never had it.
type Late struct {
	Request string `json:"request"`
	Amount  int64  `json:"amount"`
}

// Carried is a record that is told in a later period than its own.
type Carried struct {
	Request  string    `json:"request"`
	Original string    `json:"original,omitempty"`
	Kind     txn.Kind  `json:"kind"`
	Charged  txn.Minor `json:"charged"`
}

// carriedMax bounds what is carried; more counts in its own period, and differs.
const carriedMax = 4096

// Open are the transactions that a bank has not heard of: true for one whose reversal it has not
// heard of, false for an advice.
type Open map[txn.RequestID]bool

// holds reports whether the bank has not heard of a record.
func (o Open) holds(r *txn.Record) bool {
	if r.Kind == txn.BankReversal {
		return o[r.Original]
	}
	back, open := o[r.Request]
	return open && !back && r.Kind != txn.BankAdjustment
}

// carry returns a record of the ledger as it is carried.
func carry(r *txn.Record) Carried {
	return Carried{Request: r.Request.String(), Original: r.Original.String(), Kind: r.Kind,
		Charged: r.Charged}
}

// record returns what Counter and Open look at.
func (c *Carried) record() *txn.Record {
	r := &txn.Record{Kind: c.Kind, Charged: c.Charged, Outcome: txn.Approved,
		Application: txn.AppBank}
	r.Request, _ = txn.ParseRequestID(c.Request) // written by carry
	r.Original, _ = txn.ParseRequestID(c.Original)
	return r
}

// Doubted reports whether the ledger knows nothing of b, which a bank that undid it had carried
// out: a sale that was never approved here. Of one that was, the ledger has sale and reversal.
func Doubted(b *card.BankTxn) bool {
	switch b.Kind {
	case txn.BankPurchase, txn.BankCompletion, txn.BankLoad:
		return b.Auth == txn.AuthCode{} && b.Code == [2]byte{}
	}
	return false
}

// Undid keeps that a bank undid a sale that the ledger does not have, once for each transaction
// however often it is said, and names it in the batch that it came too late for.
func (r *Reconciler) Undid(ctx context.Context, party string, b *card.BankTxn) error {
	err := KeepUndone(ctx, r.Registry, party, b.ID,
		Undone{Amount: int64(b.Amount), At: r.Now(), SaleAt: b.At})
	if err != nil {
		return err
	}
	return r.explain(ctx, party)
}

// explain names in the batches of a party what it undid after them.
func (r *Reconciler) explain(ctx context.Context, party string) error {
	cut, _, err := LastCut(ctx, r.Registry, party)
	if err != nil || cut.Number == 0 {
		return err
	}
	var late []Late
	var at []txn.Millis
	err = r.eachUndone(ctx, party, func(key string, u *Undone) bool {
		if u.before(cut.At) && u.At >= cut.At {
			late = append(late, Late{Request: key[strings.LastIndexByte(key, '/')+1:], Amount: u.Amount})
			at = append(at, u.SaleAt)
		}
		return true
	})
	for i := range late {
		if err == nil {
			err = r.nameLate(ctx, party, cut.Number, at[i], late[i])
		}
	}
	return err
}

// nameLate names a sale of a time in the batch of its period: the first that ended after it.
func (r *Reconciler) nameLate(ctx context.Context, party string, last uint32, at txn.Millis,
	late Late) error {
	for n := last; n > 0; n-- {
		before, ok, err := Find(ctx, r.Registry, party, n-1)
		if err != nil {
			return err
		}
		if ok && before.SettledAt > at {
			continue
		}
		return Keep(ctx, r.Registry, party, n, func(b *Batch) { b.name(late) })
	}
	return nil
}

// name adds a late sale, once, and judges the batch anew.
func (b *Batch) name(late Late) {
	if len(b.Late) < undoneMax && !slices.Contains(b.Late, late) {
		b.Late = append(b.Late, late)
	}
	if b.Verdict != Unbalanced || b.OurGross == nil || b.TheirGross == nil {
		return
	}
	with := *b.OurGross
	for _, l := range b.Late {
		with.Debits.Count++
		with.Debits.Amount += l.Amount
	}
	if with == *b.TheirGross {
		b.Verdict = Explained
	}
}

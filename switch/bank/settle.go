package bank

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/intent"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The end of a terminal's day: it sends its totals (0500), the switch compares them with
// what the ledger has of the batch, and when they differ the terminal uploads every
// transaction (0320). Both sides are kept in the registry for reconciliation.

// uploadRowsMax bounds what a terminal may upload for one batch: the counts of a settlement
// have three digits each.
const uploadRowsMax = 4 * 999

// Sums and Batch are those of package tally.
type (
	Sums  = tally.Sums
	Batch = tally.Batch
)

// Unbalanced is the verdict of a Batch whose two sides do not agree.
const Unbalanced = tally.Unbalanced

// UploadedRow is one transaction of a batch upload.
type UploadedRow struct {
	Type   string    `json:"type"`
	STAN   uint32    `json:"stan"`
	Card   string    `json:"card"` // the token
	Last4  pan.Last4 `json:"-"`
	Ending string    `json:"last4"`
	Amount int64     `json:"amount"`
}

func uploadKey(terminal txn.TerminalID, batch uint32, n int) string {
	return fmt.Sprintf("bank/upload/%s/%06d/%04d", terminal, batch, n)
}

// settle compares a terminal's totals with the ledger.
func (o *order) settle(ctx context.Context) answer {
	if o.in.spec.Dialect() != message.POS {
		return o.reconcile(ctx)
	}
	text := string(o.view.Append(nil, 48))
	theirs, err := message.ParseSettlement(text)
	if err != nil {
		return answer{code: codeFormat}
	}
	id, number := o.in.terminalID(o.sum.Terminal), number(o.sum.Batch[:])
	b := Batch{Terminal: id.String(), Merchant: trimmed(o.sum.Merchant[:]), Number: number,
		SettledAt: o.now, Theirs: sumsOf(theirs)}
	verdict := message.Failed
	if o.sw.o.Batch != nil {
		records, err := o.sw.o.Batch(ctx, id, number)
		if err != nil {
			o.sw.fault("settlement", err)
		} else {
			b.Ours = Total(records)
			verdict = message.Unbalanced
			if b.Ours == b.Theirs {
				verdict = message.Balanced
			}
		}
	}
	b.Verdict = map[message.Verdict]string{message.Balanced: "balanced",
		message.Unbalanced: "unbalanced", message.Failed: "failed"}[verdict]
	if err := o.sw.keepBatch(ctx, id, number, func(old *Batch) {
		uploaded, complete := old.Uploaded, old.Complete
		*old = b
		old.Uploaded, old.Complete = uploaded, complete
	}); err != nil {
		o.sw.fault("settlement", err)
		return answer{code: codeMalfunction}
	}
	if verdict != message.Failed {
		if _, err := o.sw.changeTerminal(ctx, id, func(t *terminalState) {
			if t.Batch <= number {
				t.Batch = number%batchMax + 1
			}
		}); err != nil {
			o.sw.fault("settlement", err)
			return answer{code: codeMalfunction}
		}
	}
	theirs.Domestic.Verdict, theirs.Foreign.Verdict = verdict, message.Balanced
	if theirs.Foreign != (message.Totals{Verdict: message.Balanced}) {
		theirs.Foreign.Verdict = verdict
	}
	digits, err := theirs.Digits()
	if err != nil {
		return answer{code: codeFormat}
	}
	return answer{code: codeApproved, rrn: o.sw.rrnOf(o.now, o.sum.STAN),
		fields: []field{{48, []byte(digits)}}}
}

// sumsOf adds domestic and foreign cards: the switch does not tell them apart.
func sumsOf(s message.Settlement) Sums {
	return Sums{DebitAmount: s.Domestic.DebitAmount + s.Foreign.DebitAmount,
		DebitCount:   s.Domestic.DebitCount + s.Foreign.DebitCount,
		CreditAmount: s.Domestic.CreditAmount + s.Foreign.CreditAmount,
		CreditCount:  s.Domestic.CreditCount + s.Foreign.CreditCount}
}

// Total returns the totals of a batch's settled records. Order does not matter.
func Total(records []txn.Record) Sums { return tally.Total(records) }

// keepBatch changes what is kept of a batch.
func (s *Switch) keepBatch(ctx context.Context, id txn.TerminalID, number uint32,
	change func(*Batch)) error {
	return tally.Keep(ctx, s.o.Registry, id.String(), number, change)
}

// upload keeps a part of a terminal's batch, or notes its end. A part that is sent again
// (same trace number) takes the place of the first.
func (o *order) upload(ctx context.Context) answer {
	id, batch := o.in.terminalID(o.sum.Terminal), number(o.sum.Batch[:])
	if o.ask.Action == intent.UploadEnd {
		err := o.sw.keepBatch(ctx, id, batch, func(b *Batch) { b.Complete = true })
		return o.kept(err)
	}
	rows, code := o.uploadRows()
	if code != "" {
		return answer{code: code}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return o.kept(err)
	}
	key := uploadKey(id, batch, int(o.sum.STAN))
	value, version, err := o.sw.o.Registry.Get(ctx, key)
	if err != nil {
		return o.kept(err)
	}
	if version > 0 && string(value) == string(text) {
		return o.kept(nil)
	}
	full := false
	err = o.sw.keepBatch(ctx, id, batch, func(b *Batch) {
		if full = b.Uploaded+len(rows) > uploadRowsMax; !full && version == 0 {
			b.Uploaded += len(rows)
		}
	})
	if err == nil && !full {
		err = o.sw.o.Registry.Put(ctx, key, text, version)
	}
	if full {
		return answer{code: txn.LimitExceeded.Text().Field39}
	}
	return o.kept(err)
}

func (o *order) kept(err error) answer {
	if err != nil {
		o.sw.fault("batch upload", err)
		return answer{code: codeMalfunction}
	}
	return answer{code: codeApproved, rrn: o.sw.rrnOf(o.now, o.sum.STAN)}
}

// uploadRows reads the rows of field 48, or the single transaction that the message is.
func (o *order) uploadRows() ([]UploadedRow, string) {
	if !o.view.Has(48) {
		if o.sum.PAN.IsZero() {
			return nil, codeFormat
		}
		return []UploadedRow{o.sw.row(string(o.sum.POSType[:]), o.sum.STAN, o.sum.PAN, o.sum.Amount)}, ""
	}
	parsed, err := message.ParseUpload(string(o.view.Append(nil, 48)))
	if err != nil {
		return nil, codeFormat
	}
	rows := make([]UploadedRow, 0, len(parsed))
	for _, r := range parsed {
		rows = append(rows, o.sw.row(r.Type, r.STAN, r.PAN, r.Amount))
	}
	return rows, ""
}

func (s *Switch) row(kind string, stan uint32, number pan.Number, amount int64) UploadedRow {
	last4 := number.Last4()
	return UploadedRow{Type: kind, STAN: stan, Card: s.tokens.Token(number).String(), Last4: last4,
		Ending: last4.String(), Amount: amount}
}

// Batches returns what is kept of the batches of a terminal, an acquirer or a bank (see package
// tally), or of all for "", in order.
func (s *Switch) Batches(ctx context.Context, party string) ([]Batch, error) {
	return tally.Batches(ctx, s.o.Registry, party)
}

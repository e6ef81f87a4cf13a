package bankhost

import "github.com/tapswitch/tapswitch/switch/bank/message"

// admit returns why the book refuses a request, "" when it does not. o is what the request
// refers to.
func (b *book) admit(q *request, o *entry) string {
	if q.kind != Balance && q.kind != Unknown && q.kind != Notice && q.amount == 0 {
		return "13"
	}
	if q.told() {
		return "" // whatever the book says of it: it has happened
	}
	switch q.kind {
	case Balance:
		return ""
	case Purchase, Load, PreAuth:
		if b.funds > 0 && q.amount > b.available(b.account(q.card)) {
			return "51"
		}
		return ""
	case Void:
		return b.admitWhole(q, o, Purchase, Load)
	case PreAuthVoid:
		return b.admitWhole(q, o, PreAuth)
	case CompletionVoid:
		return b.admitWhole(q, o, Completion)
	case Completion:
		return b.admitCompletion(q, o)
	case Refund:
		return b.admitRefund(q, o)
	}
	return "40"
}

// usable returns why o cannot be referred to, "" when it can.
func (b *book) usable(q *request, o *entry) string {
	switch {
	case o == nil || !o.approved() || !q.sameCard(o):
		return "25"
	case q.auth != [6]byte{} && q.auth != o.auth:
		return "25"
	case b.dialect == message.POS && q.sum.Has(37) && q.sum.RRN != o.rrn:
		return "25"
	case o.reversed || o.closed:
		return "12"
	}
	return ""
}

func (b *book) admitWhole(q *request, o *entry, kinds ...Kind) string {
	if code := b.usable(q, o); code != "" {
		return code
	}
	for _, k := range kinds {
		switch {
		case o.kind != k:
		case o.refunded > 0:
			return "12"
		case o.amount != q.amount:
			return "64"
		default:
			return ""
		}
	}
	return "12"
}

func (b *book) admitCompletion(q *request, o *entry) string {
	if code := b.usable(q, o); code != "" {
		return code
	}
	switch {
	case o.kind != PreAuth:
		return "12"
	case q.amount > o.amount/100*completionPercent+o.amount%100*completionPercent/100:
		return "64"
	}
	return ""
}

// admitRefund lets a refund without an original through on a bank's link: the sale may be of
// a day that this host has not seen. A refund that names one must fit it.
func (b *book) admitRefund(q *request, o *entry) string {
	if !q.refers && b.dialect != message.POS {
		return ""
	}
	if code := b.usable(q, o); code != "" {
		return code
	}
	switch {
	case o.kind != Purchase && o.kind != Load && o.kind != Completion && o.kind != OfflineSale:
		return "12"
	case q.amount > o.amount-o.refunded:
		return "64"
	}
	return ""
}

// apply moves the money of an approved entry; sign -1 takes it back. It never fails: what
// admit let through, or what was applied before, can be applied or taken back.
func (b *book) apply(e, o *entry, sign int64) {
	a := b.account(e.card)
	switch e.kind {
	case Purchase, Load, OfflineSale:
		a.posted += sign * e.amount
		b.debit(e, e.amount, sign)
	case PreAuth:
		a.held += sign * e.amount
	case Completion:
		a.posted += sign * e.amount
		b.debit(e, e.amount, sign)
		if o != nil {
			a.held -= sign * o.amount
			o.closed = sign > 0
		}
	case Refund:
		b.recon.credits.tell(e.amount, sign, b.reviving)
		a.posted -= sign * e.amount
		if o != nil {
			o.refunded += sign * e.amount
		}
		if t := b.batch(e.key.Terminal, e.key.Batch); t != nil {
			t.CreditAmount += sign * e.amount
			t.CreditCount += int(sign)
		}
	case Void, PreAuthVoid, CompletionVoid:
		b.applyVoid(e, o, sign)
	}
}

// applyVoid undoes what is voided, and the reversal of a void does it again: in the totals as
// if neither had been, or as a new debit where those of the void have been told.
func (b *book) applyVoid(e, o *entry, sign int64) {
	if o == nil {
		return
	}
	b.reviving = sign < 0 && e.period == b.period
	b.apply(o, b.at(o.original), -sign)
	b.reviving = false
	o.closed = sign > 0
}

// debit counts a sale into the batch of its terminal.
func (b *book) debit(e *entry, amount, sign int64) {
	b.recon.debits.tell(amount, sign, b.reviving)
	if t := b.batch(e.key.Terminal, e.key.Batch); t != nil {
		t.DebitAmount += sign * amount
		t.DebitCount += int(sign)
	}
}

// batch returns the totals of a batch; nil on a link that has none.
func (b *book) batch(terminal [8]byte, number [6]byte) *Batch {
	if b.dialect != message.POS {
		return nil
	}
	k := batchKey{terminal, number}
	t := b.batches[k]
	if t == nil {
		t = &Batch{Terminal: string(terminal[:]), Number: string(number[:])}
		b.batches[k] = t
	}
	return t
}

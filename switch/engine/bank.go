package engine

import (
	"cmp"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The life of a bank transaction. It is taken up as pending before anything leaves the
// switch, and ends as exactly one of approved, declined and reversed:
//
//	begin ──► pending ──► approved ──► reversing ──► reversed
//	   │         ├──────► declined         ▲ │
//	   │         ├─ doubt ─────────────────┘ └─► dead (a person decides)
//	   └─ accept ┴──────► advising ──► approved, declined, dead
//
// Every arrow is one commit. What the switch must do by itself stands in the due queue, put
// there by the commit that made it necessary.

// AccountIssuer begins the accounts of the banks that pay for their cards: "issuer/ICBC".
const AccountIssuer = "issuer/"

// completionPercent bounds a completion by the amount that was held (UnionPay: 115 %).
const completionPercent = 115

// bankDecider carries the arguments of one decision about a bank transaction.
type bankDecider struct {
	v   *View
	r   *txn.Request
	w   *txn.BankWork
	p   *Policy
	now txn.Millis
	out *Result
	fp  txn.Fingerprint
}

// decideBank is Decide for requests with BankWork.
func decideBank(v *View, r *txn.Request, p *Policy, now txn.Millis, out *Result) {
	*out = Result{Next: v.Card}
	if v.Version == 0 {
		out.Next = card.State{Status: card.Guest, Last4: r.Last4, Issuer: r.Bank.Issuer,
			Currency: p.Currency, Bank: v.Card.Bank[:0], Recent: v.Card.Recent[:0]}
	}
	d := bankDecider{v: v, r: r, w: r.Bank, p: p, now: now, out: out}
	switch {
	case d.w.Step != txn.BankBegin:
		d.step()
	case r.Kind == txn.BankReversal:
		d.reverse()
	default:
		d.begin()
	}
}

// begin takes a transaction up.
func (d *bankDecider) begin() {
	d.fp = d.r.Fingerprint()
	if i := d.out.Next.FindBank(d.r.ID); i >= 0 {
		d.repeated(&d.out.Next.Bank[i])
		return
	}
	reason := d.refusal()
	original := -1
	if reason == txn.ReasonNone {
		original, reason = d.original()
	}
	// What the router found, no way or a limit, comes after what the card says.
	if d.w.Reason != txn.ReasonNone && (reason == txn.ReasonNone || d.w.Reason < reason) {
		reason = d.w.Reason
	}
	if reason == txn.ReasonNone && d.w.StandIn != nil && !d.w.Accept && !d.mayStandIn(d.r.Amount) {
		reason = txn.IssuerUnavailable
	}
	if reason == txn.IssuerUnavailable && d.w.Accept {
		d.refuse(reason) // what is done already is told until it is taken: it leaves no trace
		return
	}
	var beside txn.RequestID
	if original >= 0 {
		beside = d.out.Next.Bank[original].ID
	}
	if !d.out.Next.RoomForBankBeside(d.now, beside) {
		d.refuse(cmp.Or(reason, txn.TooManyOpen))
		return
	}
	if original >= 0 {
		// Making room may have moved it.
		original, _ = d.original()
	}
	b := card.BankTxn{ID: d.r.ID, Fingerprint: d.fp, Kind: d.r.Kind, Phase: card.Pending,
		Amount: d.r.Amount, At: d.now, RRN: d.w.RRN, Issuer: d.w.Issuer, Link: d.w.Link,
		STAN: d.w.STAN, Sent: d.w.Sent, Due: d.w.Due, Sealed: d.w.Sealed}
	if original >= 0 {
		b.Original = d.out.Next.Bank[original].ID
		d.out.BankOriginal = d.out.Next.Bank[original]
		if b.Kind == txn.BankAdjustment {
			b.Amount -= d.out.BankOriginal.Total()
		}
	}
	d.out.Next.Bank = append(d.out.Next.Bank, b)
	i := len(d.out.Next.Bank) - 1
	switch {
	case reason != txn.ReasonNone:
		d.end(i, card.Declined, reason)
	case b.Kind == txn.BankAdjustment && b.Amount == 0:
		d.end(i, card.Approved, txn.ReasonNone) // nothing to book or to tell
	case d.w.Accept:
		d.advise(i)
	case d.w.StandIn != nil:
		d.advise(i)
	default:
		d.wait(i)
	}
}

// mayStandIn reports whether amount is within what the switch may still approve for the
// card in the bank's place.
func (d *bankDecider) mayStandIn(amount txn.Minor) bool {
	limit, count, total := d.w.StandIn, 0, amount
	for j := range d.out.Next.Bank {
		b := &d.out.Next.Bank[j]
		if b.StandIn && b.Booked && b.At >= limit.Since && b.ID != d.r.ID {
			count++
			total += b.Amount
		}
	}
	return count < limit.CountMax && total <= limit.TotalMax
}

// repeated answers a transaction that the card remembers.
func (d *bankDecider) repeated(b *card.BankTxn) {
	switch {
	case b.Tombstone:
		d.refuse(txn.OriginalReversed)
	case b.Fingerprint != d.fp:
		d.refuse(txn.IDReused)
	case tooOld(d.r, b.At, d.now):
		d.refuse(txn.IDTooOld)
	default:
		d.show(b)
		d.out.Decision.Replay = true
	}
}

// show answers with what b says, and commits nothing but that it is so.
func (d *bankDecider) show(b *card.BankTxn) {
	d.out.Bank = b
	d.out.Decision = d.decisionOf(b)
}

// decisionOf returns the answer that b holds; OutcomeNone while there is none.
func (d *bankDecider) decisionOf(b *card.BankTxn) txn.Decision {
	switch b.Phase {
	case card.Approved:
		return txn.Decision{Outcome: txn.Approved, Charged: d.moved(b), AuthCode: b.Auth}
	case card.Declined, card.Reversed, card.Reversing:
		return txn.Decision{Outcome: txn.Declined, Reason: b.Reason}
	case card.Advising, card.Dead:
		if b.Booked && b.Reason == txn.ReasonNone {
			return txn.Decision{Outcome: txn.Approved, Charged: d.moved(b), AuthCode: b.Auth}
		}
		if b.Phase == card.Dead {
			return txn.Decision{Outcome: txn.Declined, Reason: cmp.Or(b.Reason, txn.IssuerDeclined)}
		}
	}
	return txn.Decision{}
}

// refuse answers without a trace in the card.
func (d *bankDecider) refuse(reason txn.Reason) {
	d.out.Decision = txn.Decision{Outcome: txn.Declined, Reason: reason}
}

// refusal returns the first reason that needs no other transaction.
func (d *bankDecider) refusal() txn.Reason {
	c := &d.out.Next
	listed := d.listed()
	switch {
	case d.r.Currency != d.p.Currency:
		return txn.UnknownCurrency
	case d.r.Amount <= 0 || !d.r.Amount.Valid():
		return txn.InvalidAmount
	case listed != txn.ReasonNone:
		return listed
	case c.Status == card.Inactive:
		return txn.CardNotActive
	case c.Status == card.Active && !c.ServedAt(d.now):
		return txn.CardExpired
	case c.Status == card.Active && !c.Apps.Has(txn.AppBank):
		return txn.ApplicationClosed
	case c.Life.BankWaiting:
		return txn.BankNotActivated
	default:
		return txn.ReasonNone
	}
}

// original finds what a void, refund or completion refers to, and why it cannot; -1
// without a reason for a transaction that refers to none, or to one that only the bank knows.
func (d *bankDecider) original() (int, txn.Reason) {
	switch d.r.Kind {
	case txn.BankVoid, txn.BankRefund, txn.BankCompletion, txn.BankAdjustment:
	default:
		return -1, txn.ReasonNone
	}
	i := d.find()
	if i < 0 {
		if d.w.OriginalElsewhere {
			return -1, txn.ReasonNone
		}
		return -1, txn.OriginalUnknown
	}
	b := &d.out.Next.Bank[i]
	switch {
	case b.Voided || b.Phase == card.Reversing || b.Phase == card.Reversed:
		return i, txn.OriginalReversed
	case b.Phase == card.Advising && b.Booked:
		return i, txn.IssuerUnavailable // its bank must hear of it before it hears of this
	case b.Phase != card.Approved:
		return i, txn.OriginalDeclined
	}
	if d.r.Kind == txn.BankAdjustment {
		return i, d.amends(b)
	}
	return i, d.fits(b)
}

// find returns the original by its id, by the reference that the switch gave it, or by its
// authorization code.
func (d *bankDecider) find() int {
	if !d.r.Original.IsZero() {
		if i := d.out.Next.FindBank(d.r.Original); i >= 0 {
			return i
		}
	}
	for i := range d.out.Next.Bank {
		b := &d.out.Next.Bank[i]
		switch {
		case b.ID == d.r.ID || b.Tombstone:
		case d.w.OriginalRRN != [12]byte{} && b.RRN == d.w.OriginalRRN && voidable(b.Kind):
			return i
		case d.w.OriginalAuth != txn.AuthCode{} && b.Auth == d.w.OriginalAuth &&
			(b.Kind == txn.BankPreAuth) == (d.r.Kind == txn.BankCompletion):
			return i
		}
	}
	return -1
}

func voidable(k txn.Kind) bool {
	return k == txn.BankPurchase || k == txn.BankPreAuth || k == txn.BankCompletion
}

// claimed returns what refunds and completions have taken of b, and whether it is being
// voided. Those whose outcome is open count as if they were approved.
func (d *bankDecider) claimed(b *card.BankTxn) (taken txn.Minor, voiding bool) {
	taken = b.Used
	for i := range d.out.Next.Bank {
		o := &d.out.Next.Bank[i]
		undecided := o.Phase == card.Pending || o.Phase == card.Advising ||
			o.Phase == card.Dead && o.Reason == txn.ReasonNone
		if o.Original != b.ID || o.ID == d.r.ID || o.Booked || !undecided {
			continue
		}
		taken += o.Amount
		voiding = voiding || o.Kind == txn.BankVoid
	}
	return taken, voiding
}

// fits tells why the transaction does not go with its original.
func (d *bankDecider) fits(b *card.BankTxn) txn.Reason {
	taken, voiding := d.claimed(b)
	switch {
	case voiding:
		return txn.OriginalReversed
	case d.r.Kind == txn.BankVoid && !voidable(b.Kind):
		return txn.OriginalNotRefundable
	case d.r.Kind == txn.BankVoid && (taken != 0 || b.Amended != 0):
		return txn.OriginalNotRefundable
	case d.r.Kind == txn.BankVoid && d.r.Amount != b.Amount:
		return txn.OriginalMismatch
	case d.r.Kind == txn.BankRefund && b.Kind != txn.BankPurchase && b.Kind != txn.BankCompletion:
		return txn.OriginalNotRefundable
	case d.r.Kind == txn.BankRefund && d.r.Amount > min(b.Amount, b.Total())-taken:
		return txn.RefundTooLarge
	case d.r.Kind == txn.BankCompletion && (b.Kind != txn.BankPreAuth || taken != 0):
		return txn.OriginalNotRefundable
	case d.r.Kind == txn.BankCompletion && d.r.Amount > percentOf(b.Amount, completionPercent):
		return txn.RefundTooLarge
	default:
		return txn.ReasonNone
	}
}

// wait leaves transaction i pending: the bank is asked next.
func (d *bankDecider) wait(i int) {
	d.out.Write = true
	d.out.Bank = &d.out.Next.Bank[i]
	d.due(i)
}

// advise approves transaction i in the bank's place and has the bank told.
func (d *bankDecider) advise(i int) {
	b, i := d.enqueue(i)
	b.Phase, b.Booked, b.Due = card.Advising, true, d.w.Due
	b.STAN, b.Sent = 0, [10]byte{} // those of a request that never left
	b.StandIn = !d.w.Accept
	b.Auth = d.w.Auth
	if b.Auth == (txn.AuthCode{}) {
		b.Auth = txn.AuthCodeOf(b.Fingerprint)
	}
	d.take(b, +1)
	d.book(b, txn.Approved)
	d.due(i)
}

// enqueue moves transaction i behind the others of its card, since its bank is about to be
// told of it: a bank hears of a card's transactions in the order in which they came to be
// told. What is being told already keeps its place.
func (d *bankDecider) enqueue(i int) (*card.BankTxn, int) {
	bank, last := d.out.Next.Bank, len(d.out.Next.Bank)-1
	if b := bank[i]; !b.Phase.Telling() {
		copy(bank[i:], bank[i+1:])
		bank[last] = b
		i = last
	}
	if d.out.Bank != nil {
		d.out.Bank = &bank[i]
	}
	return &bank[i], i
}

// ahead returns the transaction that the bank of transaction i is still to hear of before it;
// nil for none.
func (d *bankDecider) ahead(i int) *card.BankTxn {
	bank := d.out.Next.Bank
	for j := range bank[:i] {
		if bank[j].Phase.Telling() && bank[j].Link == bank[i].Link {
			return &bank[j]
		}
	}
	return nil
}

// end gives transaction i its end.
func (d *bankDecider) end(i int, phase card.Phase, reason txn.Reason) {
	b := &d.out.Next.Bank[i]
	open := b.Phase.Open() && b.Due != 0 && d.w.Step != txn.BankBegin
	b.Phase, b.Reason = phase, reason
	b.Due = 0
	if b.Kind != txn.BankLoad || phase != card.Approved {
		b.Sealed = nil // a load's says whose purse to unload should it be reversed
	}
	if d.w.Step == txn.BankApprove || d.w.Step == txn.BankDecline {
		d.keep(b)
	}
	d.out.Write = true
	d.out.Bank = b
	d.out.Decision = d.decisionOf(b)
	if open {
		d.undue(b)
	}
	if phase == card.Approved {
		if !b.Booked {
			b.Booked = true
			d.take(b, +1)
			d.book(b, txn.Approved)
		}
		return
	}
	if phase == card.Declined {
		d.book(b, txn.Declined)
	}
}

// take books (sign +1) or unbooks (-1) in the original what b takes of it.
func (d *bankDecider) take(b *card.BankTxn, sign txn.Minor) {
	if b.Original.IsZero() {
		return
	}
	i := d.out.Next.FindBank(b.Original)
	if i < 0 {
		return
	}
	o := &d.out.Next.Bank[i]
	if b.Kind == txn.BankVoid {
		o.Voided = sign > 0
		// What the voided one took of its own original is free again.
		d.take(o, -sign)
		return
	}
	if b.Kind == txn.BankAdjustment {
		o.Amended += sign * b.Amount
		return
	}
	o.Used += sign * b.Amount
}

// due puts transaction i into the due queue.
func (d *bankDecider) due(i int) {
	b := &d.out.Next.Bank[i]
	key := appendBankKey(d.out.dueKeys[0][:0], d.r.Card, b.ID)
	d.out.due[0] = store.DueChange{Key: key, At: b.Due}
	d.out.Due = d.out.due[:1]
}

func (d *bankDecider) undue(b *card.BankTxn) {
	key := appendBankKey(d.out.dueKeys[0][:0], d.r.Card, b.ID)
	d.out.due[0] = store.DueChange{Key: key, Remove: true}
	d.out.Due = d.out.due[:1]
}

// step takes a transaction that was begun one step further. One that is past it stays as
// it is, and the answer says where it stands.
func (d *bankDecider) step() {
	i := d.out.Next.FindBank(d.r.ID)
	if i < 0 || d.out.Next.Bank[i].Tombstone {
		d.refuse(txn.OriginalUnknown)
		d.dropDue()
		return
	}
	b := &d.out.Next.Bank[i]
	if j := d.out.Next.FindBank(b.Original); j >= 0 {
		d.out.BankOriginal = d.out.Next.Bank[j]
	}
	d.show(b)
	switch d.w.Step {
	case txn.BankRedirect:
		if b.Phase == card.Pending {
			b.Link, b.STAN, b.Sent, b.Due = d.w.Link, d.w.STAN, d.w.Sent, d.w.Due
			d.wait(i)
		}
	case txn.BankApprove:
		d.approved(i)
	case txn.BankDecline:
		d.declined(i)
	case txn.BankDoubt:
		d.doubt(i)
	case txn.BankAccept:
		switch {
		case b.Phase != card.Pending:
		case d.listed() != txn.ReasonNone:
			d.end(i, card.Declined, d.listed())
		case d.w.StandIn == nil || !d.mayStandIn(b.Amount):
			d.end(i, card.Declined, txn.IssuerUnavailable)
		default:
			d.advise(i)
		}
	case txn.BankAgain, txn.BankDone, txn.BankGiveUp, txn.BankRetry, txn.BankClose:
		d.deliver(i)
	}
	if !d.out.Bank.Phase.Open() {
		d.dropDue()
	}
}

// dropDue takes a due entry away that has nothing behind it any more.
func (d *bankDecider) dropDue() {
	if len(d.out.Due) == 0 {
		d.undue(&card.BankTxn{ID: d.r.ID})
	}
}

// listed tells why the blacklist closes the card's bank function.
func (d *bankDecider) listed() txn.Reason { return card.Refusal(d.v.Mark, txn.AppBank) }

// approved ends a transaction that the bank approved. A card that was frozen while it was
// under way gets no approval: what would take its money is undone. What gives money back
// stands, and what the terminal has an approval of already.
func (d *bankDecider) approved(i int) {
	b := &d.out.Next.Bank[i]
	gives := b.Kind == txn.BankRefund || b.Kind == txn.BankVoid
	switch {
	case b.Phase != card.Pending && b.Phase != card.Advising:
		return
	case !b.Booked && !gives && d.listed() != txn.ReasonNone:
		b, i = d.enqueue(i)
		b.Phase, b.Reason, b.Due = card.Reversing, d.listed(), d.now
		d.book(b, txn.Declined)
		d.due(i)
		return
	case !b.Booked && d.w.Auth != (txn.AuthCode{}):
		b.Auth = d.w.Auth // a booked one keeps the code that the terminal has
	}
	if !b.Booked && d.w.RRN != [12]byte{} {
		b.RRN = d.w.RRN // some banks give it
	}
	b.Code = d.w.Code
	if !b.Booked && d.w.Partial > 0 && d.w.Partial < b.Amount {
		b.Asked, b.Amount = b.Amount, d.w.Partial
	}
	if b.Adjusted {
		d.adjust(b)
	}
	d.end(i, card.Approved, txn.ReasonNone)
}

// declined ends a transaction that the bank refused, or that never left.
func (d *bankDecider) declined(i int) {
	b := &d.out.Next.Bank[i]
	reason := d.w.Reason
	if reason == txn.ReasonNone {
		reason = txn.IssuerDeclined
	}
	switch {
	case b.Phase == card.Advising && b.Booked:
		// The terminal has the approval, the bank will not pay: finance must know.
		b.Phase, b.Code, b.Due = card.Dead, d.w.Code, 0
		d.out.Write = true
		if !b.Adjusted {
			d.adjust(b)
		}
		d.undue(b)
	case b.Phase == card.Pending || b.Phase == card.Advising:
		b.Code = d.w.Code
		d.end(i, card.Declined, reason)
	}
}

// doubt has a transaction reversed whose outcome nobody knows. A refund is told again
// instead: a bank that gave the money back must not be asked to take it again.
func (d *bankDecider) doubt(i int) {
	b := &d.out.Next.Bank[i]
	if b.Phase != card.Pending {
		return
	}
	b, i = d.enqueue(i)
	b.Due = d.w.Due
	d.out.Write = true
	if b.Kind == txn.BankRefund {
		b.Phase = card.Advising
		d.due(i)
		d.out.Decision = d.decisionOf(b)
		return
	}
	b.Phase, b.Reason = card.Reversing, cmp.Or(d.w.Reason, txn.IssuerTimeout)
	d.book(b, txn.Declined)
	d.due(i)
}

// deliver is what becomes of a message that tells the bank.
func (d *bankDecider) deliver(i int) {
	b := &d.out.Next.Bank[i]
	telling := b.Phase.Telling()
	switch {
	case d.w.Step == txn.BankAgain && telling && d.ahead(i) != nil:
		d.out.BankAhead, b.Due = true, max(d.w.Due, d.ahead(i).Due)
		d.wait(i)
	case d.w.Step == txn.BankAgain && telling:
		b.Tries = min(b.Tries, 1<<15) + 1
		b.Due = d.w.Due
		switch {
		case d.w.STAN == 0:
		case b.Phase == card.Advising:
			b.Link, b.STAN, b.Sent, b.Advised = d.w.Link, d.w.STAN, d.w.Sent, true
		default:
			b.ToldSTAN, b.ToldSent = d.w.STAN, d.w.Sent
		}
		d.wait(i)
	case d.w.Step == txn.BankDone && b.Phase == card.Reversing:
		d.end(i, card.Reversed, b.Reason)
	case d.w.Step == txn.BankGiveUp && telling:
		b.Phase, b.Code, b.Due = card.Dead, d.w.Code, 0
		d.out.Write = true
		d.out.Decision = d.decisionOf(b)
		d.undue(b)
	case d.w.Step == txn.BankRetry && b.Phase == card.Dead && len(b.Sealed) > 0:
		b, i = d.enqueue(i)
		b.Phase, b.Due = card.Advising, d.w.Due
		if b.Reason != txn.ReasonNone {
			b.Phase = card.Reversing
		}
		d.out.Decision = d.decisionOf(b)
		d.wait(i)
	case d.w.Step == txn.BankClose && b.Phase == card.Dead:
		switch {
		case b.Reason != txn.ReasonNone:
			d.end(i, card.Reversed, b.Reason)
		case b.Booked:
			d.end(i, card.Approved, txn.ReasonNone)
		default: // a refund that nobody knows to be given
			d.end(i, card.Declined, txn.IssuerDeclined)
		}
	}
}

// reverse undoes a transaction by the wish of its terminal or acquirer. It is never refused
// for what became of the card, and saying it twice is saying it once.
func (d *bankDecider) reverse() {
	i := d.find()
	if i < 0 {
		d.tombstone()
		return
	}
	b := &d.out.Next.Bank[i]
	d.out.Bank = b
	if d.r.Amount != 0 && d.r.Amount != b.Amount && d.r.Amount != b.Asked && !b.Tombstone {
		d.refuse(txn.OriginalMismatch)
		return
	}
	d.out.Decision = txn.Decision{Outcome: txn.Approved}
	switch {
	case b.Tombstone:
		d.refuse(txn.OriginalUnknown)
	case b.ID == d.r.Original && tooOld(d.r, b.At, d.now):
		d.refuse(txn.IDTooOld)
	case b.Phase == card.Declined, b.Phase == card.Reversed, b.Phase == card.Reversing,
		b.Phase == card.Dead && b.Reason != txn.ReasonNone:
		d.out.Decision.Replay = true // there is nothing to undo
	case b.Phase == card.Dead || b.Adjusted:
		d.refuse(txn.OriginalNotRefundable)
	case b.Voided:
		d.refuse(txn.OriginalReversed)
	case d.inUse(b):
		d.refuse(txn.OriginalNotRefundable)
	case b.Booked:
		d.take(b, -1)
		d.undo(i)
	default:
		d.undo(i)
	}
}

// inUse reports whether others rest on b: what has taken or is taking of it, and for a void
// of a completion what has used the pre-authorization since.
func (d *bankDecider) inUse(b *card.BankTxn) bool {
	taken, voiding := d.claimed(b)
	if taken != 0 || voiding || b.Amended != 0 {
		return true
	}
	if b.Kind != txn.BankVoid || !b.Booked {
		return false
	}
	i := d.out.Next.FindBank(b.Original)
	if i < 0 || d.out.Next.Bank[i].Original.IsZero() {
		return false
	}
	if i = d.out.Next.FindBank(d.out.Next.Bank[i].Original); i < 0 {
		return false
	}
	held := &d.out.Next.Bank[i]
	taken, voiding = d.claimed(held)
	return taken != 0 || voiding || held.Voided || held.Phase != card.Approved
}

// undo has the bank told to reverse transaction i.
func (d *bankDecider) undo(i int) {
	b, i := d.enqueue(i)
	booked := b.Booked
	b.Phase, b.Reason, b.Due, b.Tries = card.Reversing, txn.OriginalReversed, d.w.Due, 0
	b.Settled, b.Answer, b.AnswerElsewhere = [4]byte{}, nil, false
	if len(b.Sealed) == 0 { // what a reversal says of its original is less
		b.Sealed = d.w.Sealed
	}
	d.out.Write = true
	d.out.Reserve = true
	if booked {
		b.Booked = false
		d.bookReversal(b)
	} else {
		d.book(b, txn.Declined)
	}
	d.out.Decision = txn.Decision{Outcome: txn.Approved, Charged: d.out.Record.Charged}
	d.due(i)
}

// tombstone remembers a reversal that came before its original.
func (d *bankDecider) tombstone() {
	d.refuse(txn.OriginalUnknown)
	if d.r.Original.IsZero() {
		return
	}
	if !d.out.Next.RoomForBank(d.now) {
		d.refuse(txn.TooManyOpen)
		return
	}
	d.out.Next.Bank = append(d.out.Next.Bank, card.BankTxn{ID: d.r.Original, Kind: txn.BankReversal,
		Phase: card.Reversed, Reason: txn.OriginalUnknown, Tombstone: true, At: d.now})
	d.out.Write = true
}

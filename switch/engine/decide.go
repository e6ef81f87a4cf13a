package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// View is what a decision rests on: the card as loaded (Known false: absent, or a guest of
// another issuer), and its blacklist mark.
type View struct {
	Card    card.State
	Known   bool
	Version uint64
	Mark    txn.Mark
}

// Result is what Decide returns: the decision, and what to commit with it. A Result is
// reused from decision to decision; its slices are valid until the next one.
type Result struct {
	Decision txn.Decision
	// Next is the card's next state, with Write set.
	Next  card.State
	Write bool
	// Record is the settled record, with Settle set. Without it the commit only checks
	// that the view still holds (a replay, a balance query).
	Record txn.Record
	Settle bool
	// Final says that the answer needs no commit at all: the card is not known, so
	// there is neither state nor money to compare.
	Final bool
	List  *store.ListChange
	Due   []store.DueChange
	// Reserve lets the commit pass the outbox's high-water mark.
	Reserve bool
	// Damaged says that the card's rides cannot be read: nothing was decided.
	Damaged bool
	// Bank is the bank transaction that the request is about, as it is in Next.
	Bank *card.BankTxn
	// BankOriginal is what that one refers to, with Bank.Original set.
	BankOriginal card.BankTxn
	// BankAhead: Bank waits, since its bank is to hear of another one of the card before.
	BankAhead bool

	listing   store.ListChange
	discounts [discountsMax]txn.Discount
	postings  [4]txn.Posting
	dueKeys   [2][store.DueKeyMax]byte
	due       [2]store.DueChange
	rides     []byte // of Next
}

// reset empties a result for a decision on a card. What Record, discounts, postings and due point
// to is memory of before that nobody reads until it is written, and half of the whole.
func (r *Result) reset(c *card.State) {
	r.Decision, r.Next = txn.Decision{}, *c
	r.Write, r.Settle, r.Final, r.Reserve, r.Damaged, r.BankAhead = false, false, false, false, false, false
	r.List, r.Due, r.Bank = nil, nil, nil
	r.Record = txn.Record{}
	if !r.BankOriginal.ID.IsZero() {
		r.BankOriginal = card.BankTxn{}
	}
}

// discountsMax is how many causes one charge can have: those of price, what an incomplete or
// long journey costs, what of that is forgiven, what is given back of an incomplete one and of
// later taps, that the terminal judged, and that it came late.
const discountsMax = price.Causes + 7 + notesMax

// notesMax is how many causes without an amount a record can bear.
const notesMax = 3

// Decide decides r on the card as v shows it, under p, at instant now, and fills out.
// The guards stand in order of precedence: the first that applies is the answer.
// v.Card.Recent is taken over by out.Next and must not be used afterwards.
func Decide(v *View, r *txn.Request, p *Policy, now txn.Millis, out *Result) {
	if r.Bank != nil {
		decideBank(v, r, p, now, out)
		return
	}
	recent := out.Next.Recent
	out.reset(&v.Card)
	if v.Known {
		v.Card.Recent = recent // hand the old backing array back for the next decode
	} else {
		out.Next.Recent = recent[:0]
	}
	d := decider{v: v, r: r, p: p, now: now, out: out, fp: r.Fingerprint()}
	if d.replayed() {
		return
	}
	if reason := d.refusal(); reason != txn.ReasonNone {
		d.decline(reason)
		return
	}
	reason := d.apply()
	if reason == txn.ReasonNone {
		reason = d.withinCode()
	}
	if reason != txn.ReasonNone {
		d.unapply()
		d.decline(reason)
		return
	}
	d.countCredit()
	d.approve()
}

// unapply takes back what apply changed before it found a reason. The memory of requests
// is changed last of all and stands.
func (d *decider) unapply() {
	recent := d.out.Next.Recent
	d.out.Next = d.v.Card
	d.out.Next.Recent = recent
	d.out.Due, d.out.List = nil, nil
	d.fullFare, d.charged, d.ridden = 0, 0, card.Journey{}
	d.causes, d.undo, d.payee, d.grace = 0, card.Undo{}, "", disruption.Grace{}
	d.others = 0
	d.toldOf, d.toldPayee, d.toldBack = txn.RequestID{}, "", 0
	d.noted, d.companion, d.rodeBy, d.rodeBusiness = 0, false, txn.ModeOfKind, false
	if d.r.Kind == txn.Reversal && d.namesAnother() && d.out.Next.Find(d.r.Original) < 0 {
		d.tombstone()
	}
}

// namesAnother reports whether the original is a request, and another one than this.
func (d *decider) namesAnother() bool {
	return !d.r.Original.IsZero() && d.r.Original != d.r.ID
}

// decider carries the arguments of one decision.
type decider struct {
	v   *View
	r   *txn.Request
	p   *Policy
	now txn.Millis
	out *Result
	fp  txn.Fingerprint

	fullFare txn.Minor
	charged  txn.Minor
	refundOf txn.Fingerprint
	// again: the change was made before, or is no fact of its own; no record is made.
	again bool
	// ridden is the journey that an exit or a lapse closed.
	ridden card.Journey
	// causes counts the discounts that the price has, and undo is how the card was before.
	causes int
	undo   card.Undo
	// payee is who is paid where it is not the place: who ran an incomplete journey.
	payee txn.Account
	// grace is what an exit is not charged for.
	grace disruption.Grace
	// notes are what the record tells without an amount; unapply leaves none.
	notes [notesMax]string
	noted int
	// rodeBy and rodeBusiness are mode and class of the ride that ends, where its last tap names
	// others or none.
	rodeBy       txn.Mode
	rodeBusiness bool
	// companion: the tap is of one more person on the card.
	companion bool
	// others is how many persons are in the ride still when this one has left it.
	others int
	// toldOf is the end that was known of an incomplete journey that the tap completes; toldBack is
	// what that was charged, and toldPayee who got it.
	toldOf    txn.RequestID
	toldPayee txn.Account
	toldBack  txn.Minor
}

// closedBy returns the applications whose freeze closes a kind. A ride is paid from the
// purse, so a frozen purse closes it too.
func closedBy(k txn.Kind) txn.App {
	switch {
	case k == txn.Enrol:
		return txn.AppAll
	case k.IsTap() || k == txn.PassSale:
		return txn.AppTransit | txn.AppPurse
	default:
		return application(k)
	}
}

// application returns the application that a kind uses; zero for kinds that need none.
func application(k txn.Kind) txn.App {
	switch k {
	case txn.MetroEntry, txn.MetroExit, txn.BusBoarding, txn.PassSale:
		return txn.AppTransit
	case txn.Purchase, txn.Load, txn.Refund, txn.Balance, txn.Correction:
		return txn.AppPurse
	default:
		return 0
	}
}

// replayed answers a request that the card remembers: with the stored answer when it
// is the same request, with IDReused when it is another under the same id.
func (d *decider) replayed() bool {
	i := d.out.Next.Find(d.r.ID)
	if i < 0 || !d.v.Known {
		return false
	}
	m := &d.out.Next.Recent[i]
	switch {
	case m.Tombstone:
		d.out.Decision = txn.Decision{Outcome: txn.Declined, Reason: txn.OriginalReversed,
			BalanceAfter: d.v.Card.Balance, Replay: true}
	case m.Fingerprint != d.fp:
		d.out.Decision = txn.Decision{Outcome: txn.Declined, Reason: txn.IDReused}
	case tooOld(d.r, m.DecidedAt, d.now):
		d.out.Decision = txn.Decision{Outcome: txn.Declined, Reason: txn.IDTooOld}
	default:
		d.out.Decision = answer(m)
		d.out.Decision.Replay = true
		if m.Reason == txn.ReasonNone {
			d.tellLease()
			d.out.Decision.LeaseEnded = d.leaseEnded()
		}
	}
	return true
}

// tooOld reports whether what r names by its id was decided longer ago than r may refer to.
func tooOld(r *txn.Request, decided, now txn.Millis) bool {
	return r.RepeatMax > 0 && now-decided >= r.RepeatMax
}

// answer returns the decision that m stores.
func answer(m *card.Recent) txn.Decision {
	a := txn.Decision{Outcome: txn.Approved, Reason: m.Reason, FullFare: m.FullFare,
		Charged: m.Charged, BalanceAfter: m.BalanceAfter}
	if m.Reason != txn.ReasonNone {
		a.Outcome = txn.Declined
		return a
	}
	a.AuthCode = txn.AuthCodeOf(m.Fingerprint)
	return a
}

// refusal returns the first reason that does not depend on what the request would
// change.
func (d *decider) refusal() txn.Reason {
	r, c := d.r, &d.out.Next
	if reason := d.refuseRequest(); reason != txn.ReasonNone {
		return reason
	}
	app, closed := application(r.Kind), closedBy(r.Kind)
	if r.Kind == txn.Verify {
		app, closed = r.App, r.App
	}
	if reason := card.Refusal(d.v.Mark, closed); reason != txn.ReasonNone && !d.served() && !d.credited() {
		return reason
	}
	switch {
	case r.Kind == txn.Freeze || r.Kind == txn.Release:
		return txn.ReasonNone
	case r.Kind == txn.Enrol && d.v.Known:
		return txn.CardExists
	case r.Kind == txn.Enrol:
		return txn.ReasonNone
	case !d.v.Known:
		return txn.UnknownCard
	case r.Kind == txn.Reversal || r.Kind == txn.JourneyLapse:
		return txn.ReasonNone // what was done is undone whatever became of the card
	case r.Kind.IsAgency() || d.served():
		return txn.ReasonNone
	case r.Kind == txn.Refund && !c.Life.Successor.IsZero():
		return txn.ReasonNone // it goes to the successor
	case r.Forgiven != nil:
		return txn.ReasonNone // what was taken wrongly is owed whatever became of the card
	case c.Status != card.Active:
		return txn.CardNotActive
	case !c.ServedAt(r.ServiceAt):
		return txn.CardExpired
	case !c.Apps.Has(app):
		return txn.ApplicationClosed
	default:
		return txn.ReasonNone
	}
}

// served reports whether a terminal served the card off line before the switch knew of it:
// a frozen card has been debited all the same, and refusing the record would only lose who
// bears it. The record says that this is still to be judged.
func (d *decider) served() bool {
	return d.r.Offline && (d.r.Kind.IsTap() || d.r.Kind == txn.Purchase) &&
		d.v.Mark.Frozen(closedBy(d.r.Kind))
}

// credited reports whether the request lets nobody spend: what a replaced card is owed goes to
// its successor, what an order forgives is owed to a frozen card too, and a new carrier of an
// account is enrolled and stays frozen, or dead: its account's money passes through it.
func (d *decider) credited() bool {
	switch d.r.Kind {
	case txn.Refund:
		return !d.out.Next.Life.Successor.IsZero()
	case txn.Correction:
		return d.r.Forgiven != nil && d.v.Mark.Reason != txn.Cancelled
	case txn.Enrol:
		return !d.r.Enrolment.Account.IsZero()
	default:
		return false
	}
}

// forgotten reports whether the card can no longer tell the request from a repeat: an
// off-line record by its counter, any other by its service time.
func (d *decider) forgotten() bool {
	r, c := d.r, &d.out.Next
	switch {
	case !d.v.Known:
		return false
	case r.Offline && !r.Code.IsZero():
		return false // the code itself is used once
	case r.Offline:
		return c.Counter.Check(r.OfflineCounter) == card.CounterTooOld
	default:
		return c.Floor != 0 && r.ServiceAt <= c.Floor && !desk(r.Kind)
	}
}

// refuseRequest looks at the request alone, and at the card's memory of requests.
func (d *decider) refuseRequest() txn.Reason {
	r, c := d.r, &d.out.Next
	ageMax := d.p.AgeMax
	if r.Offline {
		ageMax = d.p.OfflineAgeMax
	}
	switch {
	case d.forgotten():
		return txn.IDTooOld
	case r.ServiceAt > d.now+d.p.FutureMax:
		return txn.TimeInFuture
	case r.ServiceAt < d.now-ageMax && !desk(r.Kind) && !r.Kind.IsAgency():
		// What the desk decided is done however long the switch was away.
		return txn.TimeTooOld
	case r.Currency != d.p.Currency || d.v.Known && r.Currency != c.Currency:
		return txn.UnknownCurrency
	case r.Amount < 0 && !credits(r.Kind) || !r.Amount.Valid() || r.FullFare < 0 || !r.FullFare.Valid():
		return txn.InvalidAmount
	case r.Amount == 0 && moves(r.Kind):
		return txn.InvalidAmount
	default:
		return r.Code.Refused
	}
}

// desk reports whether the kind is not bound to a terminal's clock: its own guards
// make a repeat harmless.
func desk(k txn.Kind) bool {
	return k == txn.Freeze || k == txn.Release || k == txn.JourneyLapse || k == txn.Reversal ||
		k == txn.Amend || k == txn.TransferOut || k == txn.TransferIn
}

// credits reports whether the kind's Amount may be below zero: what was given is taken back.
func credits(k txn.Kind) bool { return k == txn.Liable || k == txn.Compensation }

// moves reports whether the kind's Amount must be above zero.
func moves(k txn.Kind) bool {
	return k == txn.Purchase || k == txn.Load || k == txn.Refund || k >= txn.Fee && k <= txn.Compensation
}

// apply does what the request asks to out.Next, or returns why not.
func (d *decider) apply() txn.Reason {
	switch d.r.Kind {
	case txn.Refund:
		return d.refund()
	case txn.Reversal:
		return d.reverse()
	}
	if reason := d.bookCounter(); reason != txn.ReasonNone {
		return reason
	}
	if reason := d.useCode(); reason != txn.ReasonNone {
		return reason
	}
	d.claim()
	switch d.r.Kind {
	case txn.MetroEntry:
		return d.enter()
	case txn.MetroExit:
		return d.exit()
	case txn.BusBoarding:
		return d.board()
	case txn.Purchase:
		return d.purchase()
	case txn.Load:
		return d.load()
	case txn.JourneyLapse:
		return d.lapse()
	case txn.Balance:
		return txn.ReasonNone
	case txn.Enrol:
		return d.enrol()
	case txn.Freeze:
		return d.freeze()
	case txn.Release:
		return d.release()
	case txn.Verify:
		return txn.ReasonNone
	case txn.Correction:
		return d.correct()
	case txn.PassSale:
		return d.sellPass()
	default:
		return d.applyAgency()
	}
}

// applyAgency does what the card agency asks for.
func (d *decider) applyAgency() txn.Reason {
	switch d.r.Kind {
	case txn.Amend:
		return d.amend()
	case txn.TransferOut:
		return d.transferOut()
	case txn.TransferIn:
		return d.transferIn()
	case txn.Fee:
		return d.fee()
	case txn.Payout:
		return d.payout()
	case txn.Liable, txn.Compensation:
		return d.credit()
	default:
		panic("engine: internal error: cannot decide kind " + d.r.Kind.String())
	}
}

// bookCounter books the counter of an off-line record. Whether the counter is below the
// window was asked before.
func (d *decider) bookCounter() txn.Reason {
	if !d.r.Offline || !d.r.Code.IsZero() {
		return txn.ReasonNone
	}
	if d.out.Next.Counter.Check(d.r.OfflineCounter) != card.CounterNew {
		return txn.CounterSeen
	}
	d.out.Next.Counter = d.out.Next.Counter.Mark(d.r.OfflineCounter)
	return txn.ReasonNone
}

func (d *decider) enrol() txn.Reason {
	e := &d.r.Enrolment
	d.out.Next = card.State{
		Status: card.Active, Apps: e.Apps, Rider: e.Rider, Last4: d.r.Last4,
		Issuer: e.Issuer, Currency: d.r.Currency, Recent: d.out.Next.Recent,
		Bank: d.out.Next.Bank, Life: card.Life{Account: e.Account},
	}
	if e.ExpiresOn != 0 {
		d.out.Next.ExpiresAt = txn.MillisOf(e.ExpiresOn.Next().Time()) - d.p.ZoneOffset
	}
	return txn.ReasonNone
}

func (d *decider) freeze() txn.Reason {
	merged := card.Merge(d.v.Mark, d.r.Listing.Mark)
	if merged == d.v.Mark {
		return txn.AlreadyListed
	}
	d.list(merged)
	return txn.ReasonNone
}

// release takes the card off the list, or leaves what the desk says remains in force.
func (d *decider) release() txn.Reason {
	left := d.r.Listing.Mark
	if left.Reason == txn.NotFrozen {
		left = txn.Mark{}
	}
	switch from := d.r.Listing.From; {
	case left != txn.Mark{} && left == d.v.Mark:
		return txn.AlreadyListed
	case left.Reason.Terminal():
		return txn.ReleaseClosed
	case from != txn.Mark{} && from != d.v.Mark && d.v.Mark != txn.Mark{} && !d.v.Mark.Reason.Terminal():
		return txn.ListChanged
	}
	if reason := card.Release(d.v.Mark); reason != txn.ReasonNone {
		return reason
	}
	d.list(left)
	return txn.ReasonNone
}

func (d *decider) list(mark txn.Mark) {
	d.out.listing = store.ListChange{Entry: store.Entry{
		Mark: mark, Since: d.now, Actor: d.r.Listing.Actor, Note: d.r.Listing.Note,
	}}
	d.out.List = &d.out.listing
	d.out.Reserve = true
}

// decline completes out with a refusal. A known card remembers it, so that a retry
// gets the same answer, and the ledger shows it.
func (d *decider) decline(reason txn.Reason) {
	out := d.out
	out.Decision = txn.Decision{Outcome: txn.Declined, Reason: reason}
	if d.v.Known {
		out.Decision.BalanceAfter = d.v.Card.Balance
	}
	switch {
	case d.r.Kind == txn.JourneyLapse:
		// The journey ended otherwise; what is left is the due entry.
		d.changeDue(d.r.Original, store.DueChange{Remove: true})
	case !d.v.Known && (reason < txn.CardReplaced || reason == txn.UnknownCard):
		out.Final = true
	case !d.v.Known:
		// The answer rests on the blacklist, which the check-only commit compares.
	case reason < txn.CardReplaced:
		// The request itself is refused. Remembering it would let a wrong clock push real
		// requests out of the memory; the check-only commit proves that the card does not
		// know the request after all.
	case d.r.Kind == txn.Balance, d.r.Kind == txn.Freeze, d.r.Kind == txn.Release,
		d.r.Kind >= txn.Amend && d.r.Kind <= txn.Compensation:
		// Nothing happened that the card or the ledger must remember.
	default:
		d.remember()
		d.settle()
	}
}

// approve completes out with an approval.
func (d *decider) approve() {
	out := d.out
	out.Decision = txn.Decision{
		Outcome: txn.Approved, FullFare: d.fullFare, Charged: d.charged,
		BalanceAfter: out.Next.Balance, AuthCode: txn.AuthCodeOf(d.fp),
	}
	d.renewLease()
	out.Decision.LeaseEnded = d.leaseEnded()
	switch d.r.Kind {
	case txn.Balance:
		return
	case txn.Freeze, txn.Release:
		d.settle()
		return
	case txn.JourneyLapse:
		out.Write = true
		d.settle()
		return
	case txn.Amend, txn.TransferOut, txn.TransferIn:
		// Each can be asked for again by what it says, so the memory need not know it.
		out.Write = true
		if !d.again {
			d.settle()
		}
		return
	}
	d.remember()
	d.settle()
}

// remember puts the request and its answer into the card's memory.
func (d *decider) remember() {
	out := d.out
	out.Write = true
	out.Next.Remember(card.Recent{
		ID: d.r.ID, Fingerprint: d.fp, ServiceAt: d.r.ServiceAt, Kind: d.r.Kind,
		Reason: out.Decision.Reason, FullFare: out.Decision.FullFare,
		Charged: out.Decision.Charged, BalanceAfter: out.Decision.BalanceAfter,
		RefundOf: d.refundOf,
	}, d.now)
	if d.r.Kind.IsTap() && d.r.Gate != d.r.ID.Terminal {
		out.Next.Recent[len(out.Next.Recent)-1].Gate = d.r.Gate
	}
	if out.Decision.Outcome == txn.Approved && (d.r.Kind.IsTap() || d.undo.Set) {
		out.Next.KeepUndo(d.undo)
	}
}

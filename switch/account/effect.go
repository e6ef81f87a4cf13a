package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// EffectKind is what has to be done outside the document.
type EffectKind uint8

// The kinds of effect.
const (
	EffectNone EffectKind = iota
	// SetMark writes the mark of a carrier's blacklist entry; the zero mark removes it.
	SetMark
	// Enrol makes the card state of a carrier.
	Enrol
	// Amend brings the card state of a carrier to Card; with To it names its successor.
	Amend
	// Transfer moves balance and open journey from Carrier to To.
	Transfer
	// PostFee books a fee that was paid.
	PostFee
	// Payout pays the whole balance of a carrier out at the outlet.
	Payout
	// Notify tells every party; the clock of acceptance-to-sent begins at Since.
	Notify
	// Alarm tells the owner of a case that its legal date has passed.
	Alarm
	// Compensate books an approved claim: from the loss account of Name to the holder.
	Compensate
	// BookLiability moves a transaction's loss to the holder, or back with Undo.
	BookLiability
	// Widen tells a card the trust flag of the account: Amount until the end of Until.
	Widen
	effectEnd
)

var effectNames = []string{"none", "set_mark", "enrol", "amend", "transfer", "post_fee", "payout",
	"notify", "alarm", "compensate", "book_liability", "widen"}

// String returns the kind's stable name.
func (k EffectKind) String() string { return nameOf(effectNames, k) }

// Notice is what a notification says.
type Notice uint8

// The notices.
const (
	NoticeNone Notice = iota
	NoticeFreeze
	NoticeRelease
	NoticeLapse
	NoticeReplaced
	NoticeCancelled
	NoticeSuspended
	NoticeRestored
	NoticeRenewalOpen
	NoticeRenewalOverdue
	NoticeExpired
	noticeEnd
)

var noticeNames = []string{"none", "freeze", "release", "lapse", "replaced", "cancelled",
	"suspended", "restored", "renewal_open", "renewal_overdue", "expired"}

// String returns the notice's stable name.
func (n Notice) String() string { return nameOf(noticeNames, n) }

// WhyMax bounds the bytes of the word that says why an effect failed, TriesMax the count
// of its failures.
const (
	WhyMax   = 16
	TriesMax = 254
)

// Effect is one thing to be done, as data. An effect is carried out at least once, under
// a request id made of the document and Seq, so that a repeat changes nothing. What it
// says never changes while it stands in the list.
type Effect struct {
	Seq   uint32
	Kind  EffectKind
	Case  uint32
	Tries uint8  // failures so far, TriesMax at most
	Why   string // the last one

	Carrier pan.Token
	To      pan.Token  // of a Transfer; the successor in an Amend
	Mark    txn.Mark   // of a SetMark
	Card    CardState  // of an Enrol or Amend
	Last4   pan.Last4  // of an Enrol
	Issuer  string     // of an Enrol
	Since   txn.Millis // when it was decided; of a Notify: when the command was received
	Notice  Notice
	Amount  txn.Minor
	Name    string // the income account of a fee, the party of a claim, the owner of a case
	Outlet  string // where a fee was paid or a balance is paid out
	Txn     txn.Position
	Fault   Fault
	Undo    bool
	Until   txn.BusinessDate // last day of a Widen
}

// touches reports whether e changes something about a carrier.
func (e *Effect) touches(token pan.Token) bool {
	return !token.IsZero() && (e.Carrier == token || e.To == token)
}

// Ready returns the effects that may be carried out now, in any order among each other:
// those that no earlier one on the same carrier stands before. A mark waits only for
// earlier marks, and for an enrolment that was not tried yet: what cannot be done must not
// hold a freeze up. One worker at a time carries out the effects of a document.
func (a *Account) Ready() []Effect {
	var ready []Effect
	for i := range a.ToDo {
		e := &a.ToDo[i]
		if !slices.ContainsFunc(a.ToDo[:i], func(o Effect) bool { return o.before(e) }) {
			ready = append(ready, *e)
		}
	}
	return ready
}

// before reports whether e, which is earlier in the list, must be done before later.
func (e *Effect) before(later *Effect) bool {
	if !e.touches(later.Carrier) && !e.touches(later.To) {
		return false
	}
	if later.Kind != SetMark {
		return true
	}
	return e.Kind == SetMark || e.Kind == Enrol && e.Tries == 0
}

// push adds an effect of the command.
func (c *change) push(e Effect) {
	c.next.LastEffect++
	e.Seq = c.next.LastEffect
	if e.Case == 0 {
		e.Case = c.out.Case
	}
	if e.Since == 0 {
		e.Since = c.now // so that a request made of it is the same whenever it is made
	}
	c.next.ToDo = append(c.next.ToDo, e)
	c.out.Effects = append(c.out.Effects, e)
}

func (c *change) notify(n Notice) {
	c.push(Effect{Kind: Notify, Notice: n, Since: c.received})
}

// marks tells every living carrier whose mark has changed.
func (c *change) marks() {
	for i := range c.next.Carriers {
		k := &c.next.Carriers[i]
		if m := c.next.union(k); m != k.told.mark {
			k.told.mark = m
			c.push(Effect{Kind: SetMark, Carrier: k.Token, Mark: m})
		}
	}
}

// cards enrols the living carriers that are not, and amends those whose state has changed.
// A bank card has no card state of ours.
func (c *change) cards() {
	for i := range c.next.Carriers {
		k := &c.next.Carriers[i]
		if !k.purse() {
			continue
		}
		state := c.next.Card(k, c.rules)
		switch {
		case !k.told.enrolled:
			c.push(Effect{Kind: Enrol, Carrier: k.Token, Card: state, Last4: k.Last4,
				Issuer: k.Issuer})
			if c.next.Trust.Widen != 0 {
				c.widenOne(k)
			}
		case state != k.told.card:
			c.push(Effect{Kind: Amend, Carrier: k.Token, Card: state})
		}
		k.told.enrolled, k.told.card = true, state
	}
}

// Done reports that an effect was carried out. It may come twice.
type Done struct{ Seq uint32 }

// Failed reports that an effect could not be carried out; it stays in the list.
type Failed struct {
	Seq uint32
	Why string // a stable code; what is longer than WhyMax is cut
}

// Name returns the step's stable name.
func (Done) Name() string { return "effect_done" }

// Name returns the step's stable name.
func (Failed) Name() string { return "effect_failed" }

func (s Done) decide(c *change) Refusal {
	i := c.effect(s.Seq)
	if i < 0 {
		c.out.Replay = true
		return RefusalNone
	}
	c.out.Case = c.next.ToDo[i].Case
	c.next.ToDo = slices.Delete(c.next.ToDo, i, i+1)
	return RefusalNone
}

func (s Failed) decide(c *change) Refusal {
	i := c.effect(s.Seq)
	if i < 0 {
		c.out.Replay = true
		return RefusalNone
	}
	e := &c.next.ToDo[i]
	c.out.Case = e.Case
	e.Why = s.Why[:min(len(s.Why), WhyMax)]
	if e.Tries < TriesMax {
		e.Tries++
	}
	return RefusalNone
}

func (c *change) effect(seq uint32) int {
	return slices.IndexFunc(c.next.ToDo, func(e Effect) bool { return e.Seq == seq })
}

// effective notes when a freeze reached every carrier.
func (c *change) effective() {
	for i := range c.next.ToDo {
		if e := &c.next.ToDo[i]; e.Kind == SetMark && e.Mark.Reason != txn.NotFrozen {
			return
		}
	}
	for i := range c.next.Restrictions {
		if r := &c.next.Restrictions[i]; r.Effective == 0 {
			r.Effective = c.now
		}
	}
}

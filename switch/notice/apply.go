package notice

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// EventKind says what happened.
type EventKind uint8

// The events. All but Prepared are about one party.
const (
	// Prepared: the head exists and the superseded notice is stopped.
	Prepared EventKind = iota + 1
	// Claimed: somebody is about to try; others wait until Event.Next.
	Claimed
	// Delivered: the channel took the notice.
	Delivered
	// Failed: it did not.
	Failed
	// Acknowledged: the party, or a person for it, told of receipt or effect.
	Acknowledged
	// Passed: time has passed; alarms and lateness are judged.
	Passed
	// Voided: a later notice makes this one void.
	Voided
	// Revived: an operator wants a dead row tried again.
	Revived
)

// Event is one thing that happened to a document.
type Event struct {
	Kind  EventKind
	Party string
	// At is when it happened: the instant of a try, which also tells a repeat.
	At txn.Millis
	// Next is until when a claim holds.
	Next txn.Millis
	// Jitter, from 0 to 1, spreads the next try after a failure.
	Jitter  float64
	Failure string
	Ack     Ack
}

// Ack is what a party says, or a person for it. Instants are 0 where nothing is said.
type Ack struct {
	// Card, when set, must be the card of the notice.
	Card pan.Token
	// Sent is when a letter went out; only a person says so.
	Sent, Received, Effective txn.Millis
	Proof                     Proof
	By, Note                  string
}

// Refusal says why an acknowledgement changed nothing, in order of precedence.
type Refusal uint8

// The refusals.
const (
	Accepted Refusal = iota
	// UnknownParty: the notice has no row of the party.
	UnknownParty
	// OtherCard: the answer is about another card.
	OtherCard
	// NoTimes: it says nothing.
	NoTimes
	// InFuture: a time that has not come.
	InFuture
	// BeforeNotice: a receipt before the notice was made, or an effect before it was
	// accepted.
	BeforeNotice
	// NoReceipt: an effect of something that was never received.
	NoReceipt
	// Contradiction: another time was recorded before, and stays.
	Contradiction
	refusalEnd
)

// String returns the stable name.
func (r Refusal) String() string {
	if r >= refusalEnd {
		return "unknown"
	}
	return [refusalEnd]string{"accepted", "unknown_party", "other_card", "no_times",
		"in_future", "before_notice", "no_receipt", "contradiction"}[r]
}

// Alarm is a party whose effect is still missing so long after its clock started.
type Alarm struct {
	Notice string
	Kind   Kind
	Party  string
	Number int // from 1
	// Basis is NoClock when the party could not even be told.
	Basis Basis
	After txn.Millis // the length of time that the policy set
}

// Changes is what an event did.
type Changes struct {
	Changed bool
	Refused Refusal
	Alarms  []Alarm
	// Late and Lifted name the parties that became late, and those found not to be: the
	// proof of a timely effect came after the deadline.
	Late, Lifted []string
	// FirstSent are the lengths of time from acceptance to the first sending.
	FirstSent []txn.Millis
	Died      []string
	Completed bool
}

// add gathers the changes of events that are committed together.
func (c *Changes) add(o Changes) {
	c.Changed = c.Changed || o.Changed
	c.Completed = c.Completed || o.Completed
	c.Refused = o.Refused
	c.Alarms = append(c.Alarms, o.Alarms...)
	c.Late, c.Lifted = append(c.Late, o.Late...), append(c.Lifted, o.Lifted...)
	c.FirstSent = append(c.FirstSent, o.FirstSent...)
	c.Died = append(c.Died, o.Died...)
}

// Apply returns the document after an event, at instant now. It is pure: d is not changed.
// The same event twice changes nothing the second time.
func Apply(d *Document, e Event, now txn.Millis) (*Document, Changes) {
	var c Changes
	next := *d
	if e.Kind == Prepared {
		c.Changed, next.Ready = !d.Ready, true
		return &next, c
	}
	i := d.row(e.Party)
	if i < 0 {
		c.Refused = UnknownParty
		return d, c
	}
	row := d.Rows[i]
	c.Refused = next.change(&row, &e, now)
	next.judge(&row, &c, now)
	if row == d.Rows[i] {
		return d, c
	}
	c.Changed = true
	if row.SentFirst != 0 && d.Rows[i].SentFirst == 0 {
		c.FirstSent = append(c.FirstSent, max(0, row.SentFirst-d.AcceptedAt))
	}
	if row.Dead && !d.Rows[i].Dead {
		c.Died = append(c.Died, row.Party)
	}
	next.Rows = slices.Clone(d.Rows)
	next.Rows[i] = row
	if next.ClosedAt == 0 && next.complete() {
		next.ClosedAt, c.Completed = now, true
	}
	return &next, c
}

func (d *Document) complete() bool {
	for i := range d.Rows {
		if !d.Rows[i].done() {
			return false
		}
	}
	return true
}

// change does what the event says to its row.
func (d *Document) change(r *Row, e *Event, now txn.Millis) Refusal {
	switch e.Kind {
	case Claimed:
		if r.wantsTry() {
			r.Next = max(r.Next, e.Next)
		}
	case Delivered:
		d.delivered(r, e)
	case Failed:
		d.failed(r, e, now)
	case Acknowledged:
		return d.acknowledged(r, e.Ack, now)
	case Voided:
		if !r.done() {
			r.Superseded = now
		}
	case Revived:
		if r.Dead {
			r.Dead, r.Next = false, now
		}
	}
	return Accepted
}

// tried counts a try; false when it was counted before.
func (r *Row) tried(at txn.Millis) bool {
	if at <= r.TriedAt {
		return false
	}
	r.Tries, r.TriedAt = r.Tries+1, at
	return true
}

func (d *Document) delivered(r *Row, e *Event) {
	if !r.tried(e.At) {
		return
	}
	if r.SentFirst == 0 {
		r.SentFirst = e.At
	}
	r.SentLast, r.Next, r.Failure, r.Dead = e.At, 0, "", false
	if r.Answer == Response && r.Received == 0 {
		r.Received, r.Proof, r.AnsweredAt = e.At, ProofResponse, e.At
	}
}

func (d *Document) failed(r *Row, e *Event, now txn.Millis) {
	if !r.wantsTry() || !r.tried(e.At) {
		return
	}
	r.Failure = cut(e.Failure, FailureMax)
	if d.Policy.GiveUp > 0 && now-d.CreatedAt >= millis(d.Policy.GiveUp) {
		r.Dead, r.Next = true, 0
		return
	}
	r.Next = now + d.Policy.pause(r.Tries, e.Jitter)
}

// pause returns how long to wait after so many tries: doubling from RetryFirst to RetryMax,
// less up to a quarter, so that a party that comes back is not hit by all at once.
func (p *Policy) pause(tries uint32, jitter float64) txn.Millis {
	pause := p.RetryMax
	if n := tries - 1; tries > 0 && n < 32 && p.RetryFirst < p.RetryMax>>n {
		pause = p.RetryFirst << n
	}
	whole := millis(pause)
	return max(1, whole-txn.Millis(float64(whole)*min(max(jitter, 0), 1)/4))
}

// acknowledged records what a party said. What was recorded before stays.
func (d *Document) acknowledged(r *Row, a Ack, now txn.Millis) Refusal {
	skew := millis(clockSkewMax)
	switch {
	case !a.Card.IsZero() && a.Card != d.Card:
		return OtherCard
	case a.Received == 0 && a.Effective == 0 && a.Sent == 0:
		return NoTimes
	case max(a.Sent, a.Received, a.Effective) > now+skew:
		return InFuture
	case before(a.Received, d.CreatedAt-skew) || before(a.Effective, d.AcceptedAt-skew) ||
		before(a.Sent, d.AcceptedAt-skew):
		return BeforeNotice
	case a.Effective != 0 && a.Received == 0 && r.Received == 0:
		return NoReceipt
	}
	a.Received = within(a.Received, d.CreatedAt, now)
	a.Effective = within(a.Effective, d.AcceptedAt, now)
	a.Sent = within(a.Sent, d.AcceptedAt, now)
	if contradicts(r, &a) {
		r.Contradictions = min(r.Contradictions, 1<<16-2) + 1
		return Contradiction
	}
	r.take(&a, now)
	return Accepted
}

// contradicts reports whether an answer differs from an earlier one. A receipt that the
// response proved is ours to know, and what the party says of it later does not matter.
func contradicts(r *Row, a *Ack) bool {
	return a.Received != 0 && r.Received != 0 && a.Received != r.Received &&
		r.Proof != ProofResponse ||
		a.Effective != 0 && r.Effective != 0 && a.Effective != r.Effective ||
		a.Sent != 0 && r.SentFirst != 0 && r.Channel == Manual && a.Sent != r.SentFirst
}

// take records what is new in an answer.
func (r *Row) take(a *Ack, now txn.Millis) {
	if a.Sent != 0 && r.SentFirst == 0 {
		r.SentFirst, r.SentLast, r.AnsweredAt = a.Sent, a.Sent, now
	}
	if a.Received != 0 && r.Received == 0 {
		r.Received, r.Proof, r.ReceivedBy = a.Received, a.Proof, cut(a.By, ByMax)
		r.AnsweredAt = now
	}
	if a.Effective != 0 && r.Effective == 0 {
		r.Effective, r.EffectProof, r.EffectiveBy = a.Effective, a.Proof, cut(a.By, ByMax)
		r.AnsweredAt = now
	}
	if a.Note != "" && r.AnsweredAt == now {
		r.Note = cut(a.Note, NoteMax)
	}
}

func before(at, limit txn.Millis) bool { return at != 0 && at < limit }

// within cuts an instant to what is possible, keeping 0 as unknown.
func within(at, first, last txn.Millis) txn.Millis {
	if at == 0 {
		return 0
	}
	return max(min(at, last), first)
}

// judge fires the alarms of a row and says whether it is late. It is done after every event
// of the row, so that a proof that comes later may also lift what was judged before.
func (d *Document) judge(r *Row, c *Changes, now txn.Millis) {
	for {
		at := d.nextAlarm(r)
		if at == 0 || at > now {
			break
		}
		basis, _ := d.start(r)
		c.Alarms = append(c.Alarms, Alarm{Notice: d.ID, Kind: d.Kind, Party: r.Party,
			Number: int(r.Alarms) + 1, Basis: basis, After: millis(d.Policy.Alarms[r.Alarms])})
		r.Alarms++
	}
	end, until := d.deadline(r), now
	if r.Superseded != 0 {
		until = r.Superseded
	}
	if r.Effective != 0 {
		until = r.Effective
	}
	late := end != 0 && until > end
	switch {
	case late && !r.Late:
		c.Late = append(c.Late, r.Party)
	case !late && r.Late:
		c.Lifted = append(c.Lifted, r.Party)
	}
	r.Late = late
}

// Overdues returns the events that time makes of a document: a Passed for every row of
// which an alarm or the deadline has come.
func Overdues(d *Document, now txn.Millis) []Event {
	var events []Event
	for i := range d.Rows {
		r := &d.Rows[i]
		alarm, end := d.nextAlarm(r), d.deadline(r)
		if alarm != 0 && alarm <= now || !r.done() && !r.Late && end != 0 && end < now {
			events = append(events, Event{Kind: Passed, Party: r.Party, At: now})
		}
	}
	return events
}

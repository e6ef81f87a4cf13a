package notice

import (
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Channel says how a party is reached. Numbers go to disk: append only.
type Channel uint8

// The channels.
const (
	ChannelNone Channel = iota
	// Webhook is an HTTPS call with a signature.
	Webhook
	// Topic is a Kafka topic.
	Topic
	// IssuerLink is the link to a bank.
	IssuerLink
	// Manual is a person who calls or writes, and records it.
	Manual
	channelEnd
)

var channelNames = [channelEnd]string{"none", "webhook", "kafka", "issuer_link", "manual"}

// String returns the stable name.
func (c Channel) String() string {
	if c >= channelEnd {
		return "unknown"
	}
	return channelNames[c]
}

// Answer says what a party owes us. Numbers go to disk: append only.
type Answer uint8

// The answers.
const (
	// Explicit: the party calls back with the times of receipt and effect.
	Explicit Answer = iota
	// Response: its answer to the call (2xx) proves receipt; it calls back with the effect.
	Response
	// Informed: it only has to be told; no clock runs.
	Informed
	answerEnd
)

var answerNames = [answerEnd]string{"explicit", "response", "informed"}

// String returns the stable name.
func (a Answer) String() string {
	if a >= answerEnd {
		return "unknown"
	}
	return answerNames[a]
}

// Proof says how we know of a receipt or an effect. Numbers go to disk: append only.
type Proof uint8

// The proofs.
const (
	ProofNone Proof = iota
	// ProofResponse is the party's answer to the call, at the time we got it.
	ProofResponse
	// ProofCallback is a signed call-back with the party's own times.
	ProofCallback
	// ProofPerson is what an operator recorded of a call or a letter.
	ProofPerson
	proofEnd
)

// String returns the stable name.
func (p Proof) String() string {
	if p >= proofEnd {
		return "unknown"
	}
	return [proofEnd]string{"none", "response", "callback", "person"}[p]
}

// Row is what is known about one party. Instants are 0 while unknown.
type Row struct {
	Party   string
	Channel Channel
	Answer  Answer // as it was agreed when the notice was made

	Tries     uint32     // tries that ended, at least
	TriedAt   txn.Millis // the last of them
	Next      txn.Millis // the next, while one is wanted
	SentFirst txn.Millis
	SentLast  txn.Millis
	Failure   string // why the last try failed

	Received    txn.Millis // by the party's clock, or ours with ProofResponse
	Effective   txn.Millis
	AnsweredAt  txn.Millis // when we last learnt something, by our clock
	Proof       Proof      // of the receipt
	EffectProof Proof
	ReceivedBy  string
	EffectiveBy string
	Note        string // of the person who confirmed

	Alarms uint8 // how many fired
	Late   bool  // not effective within the window, as far as is known
	Dead   bool  // no more tries
	// Superseded is when a later notice made this one void for the party.
	Superseded txn.Millis
	// Contradictions counts answers that differ from what was recorded before.
	Contradictions uint16
}

// State is where a row stands.
type State uint8

// The states of a row, each later than the one before but dead and superseded.
const (
	Queued State = iota
	Dead
	Sent
	Received
	Effective
	Superseded
	stateEnd
)

// String returns the stable name.
func (s State) String() string {
	if s >= stateEnd {
		return "unknown"
	}
	return [stateEnd]string{"queued", "dead", "sent", "received", "effective", "superseded"}[s]
}

// State returns where the row stands.
func (r *Row) State() State {
	switch {
	case r.Effective != 0:
		return Effective
	case r.Superseded != 0:
		return Superseded
	case r.Received != 0:
		return Received
	case r.SentFirst != 0:
		return Sent
	case r.Dead:
		return Dead
	}
	return Queued
}

// done reports whether nothing more is expected of the party.
func (r *Row) done() bool {
	return r.Effective != 0 || r.Superseded != 0 || r.Answer == Informed && r.SentFirst != 0
}

// wantsTry reports whether the party is still to be told by us.
func (r *Row) wantsTry() bool {
	return r.Channel != Manual && !r.Dead && r.SentFirst == 0 && r.Superseded == 0 &&
		r.Received == 0 && r.Effective == 0
}

// Document is one part of a notice as it is stored. What Apply returns shares nothing that
// is written with what it was given.
type Document struct {
	Notice    // without Only
	Part      uint8
	Parts     uint8 // of the notice; part 0 is the head
	CreatedAt txn.Millis
	// Ready: the head exists and the superseded notice is stopped, so that tries may go out.
	Ready    bool
	ClosedAt txn.Millis // when nothing more was expected of any party here
	Rows     []Row
}

// row returns the index of a party, -1 when the document has no row of it.
func (d *Document) row(party string) int {
	for i := range d.Rows {
		if d.Rows[i].Party == party {
			return i
		}
	}
	return -1
}

// Basis says what started a clock.
type Basis uint8

// The bases of a clock.
const (
	// NoClock: the party has not been told as far as we know, or owes nothing.
	NoClock Basis = iota
	// BySending: sent, without proof of receipt. Shown apart.
	BySending
	// ByReceipt: receipt is proven.
	ByReceipt
	basisEnd
)

// String returns the stable name.
func (b Basis) String() string {
	if b >= basisEnd {
		return "unknown"
	}
	return [basisEnd]string{"none", "sending", "receipt"}[b]
}

// start returns what started the clock of a row, and when.
func (d *Document) start(r *Row) (Basis, txn.Millis) {
	switch {
	case r.Answer == Informed:
		return NoClock, 0
	case r.Received != 0:
		return ByReceipt, r.Received
	case r.SentFirst != 0:
		return BySending, r.SentFirst
	}
	return NoClock, 0
}

// deadline returns the last instant that is not late; 0 when there is none.
func (d *Document) deadline(r *Row) txn.Millis {
	basis, at := d.start(r)
	if basis == NoClock || d.Policy.Window == 0 {
		return 0
	}
	return at + millis(d.Policy.Window)
}

// nextAlarm returns when the next alarm of a row is due, 0 for none. A party that could not
// be told is alarmed from the acceptance, since somebody must call it.
func (d *Document) nextAlarm(r *Row) txn.Millis {
	if int(r.Alarms) >= len(d.Policy.Alarms) || r.done() {
		return 0
	}
	basis, at := d.start(r)
	if basis == NoClock {
		at = d.AcceptedAt
	}
	return at + millis(d.Policy.Alarms[r.Alarms])
}

// rowDue returns when something is next to be done about a row, 0 for never.
func (d *Document) rowDue(r *Row) txn.Millis {
	if r.done() {
		return 0
	}
	due := d.nextAlarm(r)
	if r.wantsTry() {
		due = earlier(due, r.Next)
	}
	if end := d.deadline(r); end != 0 && !r.Late {
		due = earlier(due, end+1)
	}
	return due
}

// DueAt returns when something is next to be done about the document; false for never.
func DueAt(d *Document) (txn.Millis, bool) {
	var due txn.Millis
	for i := range d.Rows {
		due = earlier(due, d.rowDue(&d.Rows[i]))
	}
	return due, due != 0
}

// earlier returns the earlier of two instants, 0 being never.
func earlier(a, b txn.Millis) txn.Millis {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Clock is the clock of one party, as desk, report and receipt show it.
type Clock struct {
	Notice string
	Kind   Kind
	Card   pan.Token
	State  State
	Basis  Basis
	// Start and Deadline are 0 without a clock, Deadline also without a window.
	Start, Deadline txn.Millis
	// AcceptedToSent is -1 while not sent.
	AcceptedToSent txn.Millis
	// Overdue: not effective and past the deadline; Late also when it came too late.
	Overdue bool
	Row     Row
}

// ClocksOf returns the clock of every party of a document at now.
func ClocksOf(d *Document, now txn.Millis) []Clock {
	clocks := make([]Clock, len(d.Rows))
	for i := range d.Rows {
		r := &d.Rows[i]
		basis, at := d.start(r)
		c := Clock{Notice: d.ID, Kind: d.Kind, Card: d.Card, State: r.State(), Basis: basis,
			Start: at, Deadline: d.deadline(r), AcceptedToSent: -1, Row: *r}
		if r.SentFirst != 0 {
			c.AcceptedToSent = max(0, r.SentFirst-d.AcceptedAt)
		}
		c.Overdue = !r.done() && c.Deadline != 0 && now > c.Deadline
		clocks[i] = c
	}
	return clocks
}

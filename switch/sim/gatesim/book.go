package gatesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Record is what a gate keeps of a tap that debited a card. It names the card by its number in
// the plan.
type Record struct {
	Seq  uint32 `json:"seq"` // of the gate's security module, for ever
	Boot uint32 `json:"boot"`
	Tap  int    `json:"tap"` // of the plan
	Card int    `json:"card"`
	// Counter and Before are the chip's before the debit.
	Counter uint16    `json:"counter"`
	Before  txn.Minor `json:"before"`
	Amount  txn.Minor `json:"amount"`
	Fare    txn.Minor `json:"fare"` // before what a mode waives
	// At is the gate's clock; Offset what it lay off at the last contact, seconds, in Known.
	At     txn.Millis       `json:"at"`
	Offset int32            `json:"offset,omitempty"`
	Known  bool             `json:"known,omitempty"`
	Epoch  uint64           `json:"epoch,omitempty"`
	Modes  disruption.Flags `json:"modes,omitempty"`
	Tariff string           `json:"tariff,omitempty"`

	// What a record of the city tells besides; Kind "" is a boarding of a bus.
	Kind     string     `json:"kind,omitempty"`
	Mode     string     `json:"mode,omitempty"`
	Business bool       `json:"business,omitempty"`
	Metres   uint32     `json:"metres,omitempty"`
	From     string     `json:"from,omitempty"` // the station of the entry
	FromAt   txn.Millis `json:"from_at,omitempty"`

	// Grey: the card was away before it answered, and has not been asked since.
	Grey   bool    `json:"grey,omitempty"`
	TAC    [4]byte `json:"tac,omitzero"`
	Proved bool    `json:"proved,omitempty"` // the TAC was asked for after a torn tap

	// Number and Sum count the gate's debits and their money up to this one.
	Number int       `json:"number,omitempty"`
	Sum    txn.Minor `json:"sum,omitempty"`
}

// fate is what became of a record at the switch.
type fate string

const (
	fateAccepted fate = "accepted"
	fateKnown    fate = "known" // it had it already: an answer was lost, or it was sent twice
	fateRejected fate = "rejected"
	fateHeld     fate = "held"
	// fateUndebited: a torn record of which the card's next one shows that it had not paid.
	fateUndebited fate = "not_debited"
)

// settled reports whether the switch has booked the record.
func (f fate) settled() bool { return f == fateAccepted || f == fateKnown }

// book is everything that a gate knows of itself: what its queue adds up to.
type book struct {
	Boot uint32 `json:"boot"`
	Seq  uint32 `json:"seq"`
	Next int    `json:"next"` // tap of the plan

	Served    int            `json:"served"`
	ServedFen txn.Minor      `json:"served_fen"`
	Passed    map[string]int `json:"passed"`
	Torn      int            `json:"torn"`
	Voided    int            `json:"voided"`

	Fates    map[fate]int       `json:"fates"`
	FatesFen map[fate]txn.Minor `json:"fates_fen"`
	Reasons  map[string]int     `json:"reasons"`

	Open    *Record  `json:"open,omitempty"` // an intent without its end
	Waiting []Record `json:"waiting,omitempty"`
	// Doubts are torn records that the switch holds: their proof may come, or what it learned
	// from the card's next record.
	Doubts []Record `json:"doubts,omitempty"`
	Greys  int      `json:"greys,omitempty"`
	// Sent and SentFen are Number and Sum of the last record that was answered.
	Sent    int       `json:"sent,omitempty"`
	SentFen txn.Minor `json:"sent_fen,omitempty"`
}

func newBook() *book {
	return &book{Passed: map[string]int{}, Fates: map[fate]int{}, FatesFen: map[fate]txn.Minor{},
		Reasons: map[string]int{}}
}

// apply moves the book on by an entry.
func (b *book) apply(e *entry) error {
	switch e.Kind {
	case entryLife:
		b.Boot = e.Boot
	case entryIntent:
		r := *e.Record
		b.Open, b.Seq, b.Next = &r, r.Seq, r.Tap+1
	case entryDone, entryVoid, entryGrey:
		return b.close(e)
	case entryProof:
		return b.prove(e)
	case entryPassed:
		b.Passed[e.Why]++
		b.Next = e.Tap + 1
	case entrySent:
		for _, a := range e.Acks {
			b.acknowledge(a)
		}
	case entrySum:
		*b = *e.Sum
		b.fill()
	default:
		return fmt.Errorf("%w: entry %.16q", ErrDamaged, e.Kind)
	}
	return nil
}

// fill makes the maps that JSON left out.
func (b *book) fill() {
	fresh := newBook()
	maps.Copy(fresh.Passed, b.Passed)
	maps.Copy(fresh.Fates, b.Fates)
	maps.Copy(fresh.FatesFen, b.FatesFen)
	maps.Copy(fresh.Reasons, b.Reasons)
	b.Passed, b.Fates, b.FatesFen, b.Reasons = fresh.Passed, fresh.Fates, fresh.FatesFen,
		fresh.Reasons
}

// close ends the open intent.
func (b *book) close(e *entry) error {
	if b.Open == nil || b.Open.Seq != e.Seq {
		return fmt.Errorf("%w: sequence number %d ends and has not begun", ErrDamaged, e.Seq)
	}
	r := *b.Open
	b.Open = nil
	if e.Kind == entryVoid {
		b.Voided++
		return nil
	}
	r.TAC, r.Proved, r.Grey = e.TAC, e.Proved, e.Kind == entryGrey
	if r.Grey {
		b.Greys++
	}
	b.Served++
	b.ServedFen += r.Amount
	r.Number, r.Sum = b.Served, b.ServedFen
	if r.Proved {
		b.Torn++
	}
	b.Waiting = append(b.Waiting, r)
	return nil
}

// prove turns a torn record into a proved one, which is sent, again if it was sent before.
func (b *book) prove(e *entry) error {
	b.Next = e.Tap + 1
	i := bySeq(b.Waiting, e.Seq)
	if i < 0 {
		at := bySeq(b.Doubts, e.Seq)
		if at < 0 {
			return fmt.Errorf("%w: sequence number %d is proved and is not torn", ErrDamaged, e.Seq)
		}
		b.Waiting = inOrder(b.Waiting, b.Doubts[at])
		b.Doubts = slices.Delete(b.Doubts, at, at+1)
		i = bySeq(b.Waiting, e.Seq)
	}
	r := &b.Waiting[i]
	r.Grey, r.Proved, r.TAC = false, true, e.TAC
	b.Torn++
	return nil
}

func bySeq(records []Record, seq uint32) int {
	return slices.IndexFunc(records, func(r Record) bool { return r.Seq == seq })
}

// inOrder puts a record at its place: what is sent at once is sent in the order of numbers.
func inOrder(records []Record, r Record) []Record {
	at, _ := slices.BinarySearchFunc(records, r.Seq, func(o Record, seq uint32) int {
		return cmp.Compare(o.Seq, seq)
	})
	return slices.Insert(records, at, r)
}

// acknowledge takes a record that the switch has answered out of those that wait, or of the
// doubts. One that is in neither has been counted.
func (b *book) acknowledge(a ack) {
	of := &b.Waiting
	i := bySeq(*of, a.Seq)
	if i < 0 {
		of = &b.Doubts
		if i = bySeq(*of, a.Seq); i < 0 {
			return
		}
	}
	r := (*of)[i]
	if r.Number > b.Sent {
		b.Sent, b.SentFen = r.Number, r.Sum
	}
	if r.Grey && a.Reason == reasonTorn {
		if of == &b.Waiting {
			b.Waiting, b.Doubts = slices.Delete(b.Waiting, i, i+1), inOrder(b.Doubts, r)
		}
		return
	}
	if a.Reason == reasonNotDebited {
		a.Fate = fateUndebited
	}
	b.Fates[a.Fate]++
	b.FatesFen[a.Fate] += r.Amount
	if a.Reason != "" {
		b.Reasons[a.Reason]++
	}
	*of = slices.Delete(*of, i, i+1)
}

// What the switch says of torn records.
const (
	reasonTorn       = "torn"
	reasonNotDebited = "not_debited"
)

// snapshot is the book as one entry.
func (b *book) snapshot() *book { return b }

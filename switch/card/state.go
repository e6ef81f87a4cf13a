// Package card holds a card's life as the switch keeps it: the state with its
// applications, balance, journey, request memory and offline counters, the state's
// encoded form, and the rules of the blacklist entry.
//
// It is pure: values in, values out, no clock, no network, no goroutine. Amounts are
// minor units, instants Unix milliseconds. It does not decide requests; the engine
// does.
package card

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The memory of requests keeps what is needed to answer a retry, and to refund. A card in
// ordinary use keeps RecentKeep, and beside them its last RefundableKeep purchases and
// loads, since those are given back days later; requests served or decided within
// RecentYoung are kept beyond that, up to RecentMax, so that a card used from many places
// at once still knows them all, and a late request is answered again like any other.
// RecentMax and BankMax are what fits the store's limit of a state when every amount is as
// long as it can be.
const (
	RecentKeep                = 8
	RefundableKeep            = 8
	RecentMax                 = 48
	RecentYoung    txn.Millis = 2 * 60 * 1000
	PlaceNameMax              = 48 // bytes of a station, line or operator name in a state
	IssuerMax                 = 16 // bytes of an issuer id; Append cuts what is longer
)

// Status is where a card stands in its life. Numbers go to disk: append only.
type Status uint8

// The statuses.
const (
	StatusNone Status = iota
	Active
	Inactive // enrolled, not yet handed out
	Guest    // of another issuer, known by its bank transactions only
	statusEnd
)

// String returns the status's stable name.
func (s Status) String() string {
	if s >= statusEnd {
		return "unknown"
	}
	return [statusEnd]string{"none", "active", "inactive", "guest"}[s]
}

// State is everything that the switch knows of a card and needs to decide. The
// zero State is an absent card.
type State struct {
	Status    Status
	Apps      txn.App // open applications
	Rider     txn.RiderCategory
	Last4     pan.Last4
	Issuer    string
	Currency  txn.Currency
	ExpiresAt txn.Millis // the first instant at which the card is no longer valid; 0 for none

	// Balance is the purse. It is negative only after the reversal of a load that was spent, what
	// was taken off line, and a journey that lapsed.
	Balance txn.Minor
	Journey Journey
	Counter CounterWindow

	// Recent is the memory of requests, oldest first. Floor is the latest service time
	// that has left it: a request at or before the floor that is not in Recent can no
	// longer be told from a repeat.
	Recent []Recent
	Floor  txn.Millis

	// Bank is the memory of bank transactions, oldest first.
	Bank []BankTxn

	// Life is what the agency decided about the card.
	Life Life

	// Rides is what the price of the next ride rests on, as package price encodes it; empty for
	// a card whose rides nothing depends on. It is never changed in place.
	Rides []byte
	// Undo is how it was before the last tap, for that tap's reversal.
	Undo Undo

	// Codes are the QR codes that were used; zero for a card that never showed one.
	Codes CodeWindow

	// Credit is what the card needs to ride now and pay later.
	Credit Credit

	// Lease is until when the purse may be served off line; zero for a card that never got one.
	Lease lease.Lease
}

// Undo is a card's rides and journey before the tap that Recent calls Undoable.
type Undo struct {
	Set     bool
	Rides   []byte
	Journey Journey
}

// RidesMax bounds the bytes of encoded rides.
const RidesMax = 640

// KeepUndo makes the last remembered request the one that u undoes.
func (s *State) KeepUndo(u Undo) {
	s.DropUndo()
	s.Undo, s.Recent[len(s.Recent)-1].Undoable = u, u.Set
}

// DropUndo forgets how it was before the last tap: something else has happened since.
func (s *State) DropUndo() {
	if !s.Undo.Set {
		return
	}
	s.Undo = Undo{}
	for i := range s.Recent {
		s.Recent[i].Undoable = false
	}
}

// Journey is a metro ride in progress; the zero Journey is none.
type Journey struct {
	EnteredAt txn.Millis
	Station   string
	Line      string
	Operator  string
	Request   txn.RequestID
}

// Open reports whether a ride is in progress.
func (j Journey) Open() bool { return j.EnteredAt != 0 }

// Recent is one remembered request with what is needed to answer it again.
type Recent struct {
	ID           txn.RequestID
	Fingerprint  txn.Fingerprint
	ServiceAt    txn.Millis
	Kind         txn.Kind
	Reason       txn.Reason // ReasonNone: approved
	Reversed     bool
	Tombstone    bool // the reversal came before the request, which must not be executed
	Undoable     bool // State.Undo is how it was before this request
	FullFare     txn.Minor
	Charged      txn.Minor
	BalanceAfter txn.Minor
	Refunded     txn.Minor // sum of refunds of this request
	// RefundOf is the fingerprint of the request that a Refund gave back a part of.
	RefundOf txn.Fingerprint
	// DecidedAt is when Remember was told.
	DecidedAt txn.Millis
	// Gate is the terminal that served the card where ID names another device; zero for none.
	Gate txn.TerminalID
}

// Terminal returns the terminal that served the card.
func (r *Recent) Terminal() txn.TerminalID {
	if r.Gate != (txn.TerminalID{}) {
		return r.Gate
	}
	return r.ID.Terminal
}

// young reports whether r may be asked for again any moment.
func (r *Recent) young(now txn.Millis) bool {
	return max(r.ServiceAt, r.DecidedAt) > now-RecentYoung
}

// Find returns the index of id in the memory, or -1.
func (s *State) Find(id txn.RequestID) int {
	// Newest first: retries and reversals follow closely.
	for i := len(s.Recent) - 1; i >= 0; i-- {
		if s.Recent[i].ID == id {
			return i
		}
	}
	return -1
}

// refundable reports whether r may be given back days later.
func (r *Recent) refundable() bool {
	return (r.Kind == txn.Purchase || r.Kind == txn.Load) && r.Reason == txn.ReasonNone &&
		!r.Reversed && !r.Tombstone
}

// Remember adds r to the memory at instant now and forgets what need not be kept: the
// earliest served first, which keeps the floor low.
func (s *State) Remember(r Recent, now txn.Millis) {
	r.DecidedAt = now
	s.Recent = append(s.Recent, r)
	for {
		full := len(s.Recent) > RecentMax
		i := s.surplus(full)
		if i < 0 || !full && s.Recent[i].young(now) {
			return
		}
		s.Floor = max(s.Floor, s.Recent[i].ServiceAt)
		if s.Recent[i].Undoable {
			s.DropUndo()
		}
		s.Recent = slices.Delete(s.Recent, i, i+1)
	}
}

// surplus returns the earliest served request of those that are more than need be kept,
// -1 when there is none. In a full memory there is one, and it is not the last.
func (s *State) surplus(full bool) int {
	kept, oldest := [2]int{}, [2]int{-1, -1} // the others and the refundable ones
	for i := range s.Recent {
		r := &s.Recent[i]
		class := 0
		if r.refundable() {
			class = 1
		}
		kept[class]++
		last := full && i == len(s.Recent)-1
		if o := oldest[class]; !last && (o < 0 || r.ServiceAt < s.Recent[o].ServiceAt) {
			oldest[class] = i
		}
	}
	switch {
	case kept[0] > RecentKeep:
		return oldest[0]
	case kept[1] > RefundableKeep:
		return oldest[1]
	default:
		return -1
	}
}

// counterSpan is how many offline counters below the highest are told apart.
const counterSpan = 64

// CounterWindow knows which offline counters of a card were booked: the highest, and
// a bit for each of the 64 from it downwards. DOMAIN.md 1.7.
type CounterWindow struct {
	High uint32
	Bits uint64 // bit i: counter High-i was booked
}

// CounterVerdict says whether an offline counter is new.
type CounterVerdict uint8

// The verdicts.
const (
	CounterNew CounterVerdict = iota
	CounterBooked
	CounterTooOld // below the window: cannot be told from a repeat
)

// Check tells whether counter n was booked.
func (w CounterWindow) Check(n uint32) CounterVerdict {
	switch {
	case w.Bits == 0 || n > w.High:
		return CounterNew
	case w.High-n >= counterSpan:
		return CounterTooOld
	case w.Bits>>(w.High-n)&1 == 1:
		return CounterBooked
	default:
		return CounterNew
	}
}

// Mark returns the window with n booked. It is for counters that Check calls new.
func (w CounterWindow) Mark(n uint32) CounterWindow {
	switch {
	case w.Bits == 0:
		return CounterWindow{High: n, Bits: 1}
	case n > w.High:
		shift := n - w.High
		if shift >= counterSpan {
			return CounterWindow{High: n, Bits: 1}
		}
		return CounterWindow{High: n, Bits: w.Bits<<shift | 1}
	case w.High-n >= counterSpan:
		return w
	default:
		return CounterWindow{High: w.High, Bits: w.Bits | 1<<(w.High-n)}
	}
}

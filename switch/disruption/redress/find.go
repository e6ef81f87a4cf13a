package redress

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Cause says what of a journey is forgiven.
type Cause string

// The causes, as records name them.
const (
	Incomplete Cause = "incomplete"
	Overtime   Cause = "overtime"
)

// State is what became of a journey.
type State string

// The states of a journey. The first two are open, the others final.
const (
	Waits     State = "waits"     // to be given back
	Doubtful  State = "doubtful"  // asked for, and nobody knows yet whether it was done
	Given     State = "given"     // given back by this run
	Elsewhere State = "elsewhere" // given back by another run or order
	BySelf    State = "corrected" // the holder has corrected it himself
	Undone    State = "reversed"  // the charge was taken back, or refunded
	Refused   State = "refused"   // the engine refuses; Reason says why
)

func (s State) open() bool { return s == Waits || s == Doubtful }

// Journey is one charge that an order forgives.
type Journey struct {
	Card  string `json:"card"` // token
	Last4 string `json:"last4"`
	Cause Cause  `json:"cause"`
	// Record is the charge's place in the ledger and Date its business date.
	Record string `json:"record"`
	Date   string `json:"date"`
	// Request was charged; where the switch closed the journey itself it is the one that began it.
	Request string     `json:"request"`
	Lapsed  bool       `json:"lapsed,omitempty"`
	At      txn.Millis `json:"at_ms"`
	// Known is the end that is known of an incomplete journey.
	Known    string      `json:"known,omitempty"`
	From     string      `json:"from,omitempty"`
	FromAt   txn.Millis  `json:"from_at_ms,omitempty"`
	To       string      `json:"to,omitempty"`
	Operator string      `json:"operator,omitempty"`
	Payee    txn.Account `json:"payee"`
	Charged  txn.Minor   `json:"charged"`
	Back     txn.Minor   `json:"back"`
	State    State       `json:"state"`
	Reason   string      `json:"reason,omitempty"`
}

// id returns the id of the journey's correction.
func (j *Journey) id() txn.RequestID {
	sum := sha256.Sum256([]byte(j.Card + j.Record))
	desk, err := txn.ParseTerminalID(txn.GraceDesk)
	if err != nil {
		panic("redress: internal error: " + err.Error())
	}
	return txn.RequestID{Terminal: desk, Boot: binary.BigEndian.Uint32(sum[:]),
		Counter: binary.BigEndian.Uint32(sum[4:])}
}

// token returns the card.
func (j *Journey) token() pan.Token {
	t, err := pan.ParseToken(j.Card)
	if err != nil {
		panic("redress: internal error: " + err.Error()) // it was written by String
	}
	return t
}

// surcharge returns what a record charges for an incomplete journey or for overtime, and why; 0
// for one that charges neither, or that was forgiven when it was made.
func surcharge(r *txn.Record) (back txn.Minor, cause Cause) {
	taps := r.Kind == txn.MetroExit || r.Kind == txn.MetroEntry || r.Kind == txn.JourneyLapse
	if !taps || r.Outcome != txn.Approved || r.Charged <= 0 {
		return 0, ""
	}
	for _, d := range r.Discounts {
		switch {
		case d.Cause == "grace":
			return 0, ""
		case d.Cause == string(Incomplete):
			back, cause = r.Charged, Incomplete
		case d.Cause == string(Overtime):
			back, cause = min(-d.Amount, r.Charged), Overtime
		}
	}
	return max(back, 0), cause
}

// trail is what the ledger has of one card since a day before the order.
type trail struct {
	entries []entry
	charges []charge
	// corrected are the holder's own corrections, by their ids, with the charge that each is of.
	corrected map[txn.RequestID]int
	// given are the corrections of the office, by their ids, with their notes.
	given map[txn.RequestID]string
	// refused are those that the engine refused, with its reasons.
	refused  map[txn.RequestID]txn.Reason
	reversed map[txn.RequestID]bool
	refunds  map[txn.RequestID]txn.Minor
}

type entry struct {
	request txn.RequestID
	at      txn.Millis
	place   disruption.Place
}

// charge is a surcharge with the journey that it is for.
type charge struct {
	Journey
	ridden  disruption.Journey
	request txn.RequestID
}

// take takes the next record of the card.
func (t *trail) take(r *txn.Record) {
	if r.Outcome != txn.Approved {
		if r.Kind == txn.Correction && r.Request.Terminal.String() == txn.GraceDesk {
			set(&t.refused, r.Request, r.Reason)
		}
		return
	}
	if back, cause := surcharge(r); back > 0 {
		t.charge(r, back, cause)
	}
	switch r.Kind {
	case txn.MetroEntry:
		t.entries = append(t.entries, entry{r.Request, r.ServiceAt, placeOf(r)})
	case txn.Correction:
		t.correction(r)
	case txn.Reversal:
		set(&t.reversed, r.Original, true)
		delete(t.corrected, r.Original)
	case txn.Refund:
		set(&t.refunds, r.Original, t.refunds[r.Original]-r.Charged)
	}
}

func set[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

func placeOf(r *txn.Record) disruption.Place {
	return disruption.Place{Line: r.Place.Line, Station: r.Place.Station,
		Terminal: r.Request.Terminal.String()}
}

// correction takes note of who corrected what: a holder corrects the last incomplete journey.
func (t *trail) correction(r *txn.Record) {
	if r.Request.Terminal.String() == txn.GraceDesk {
		set(&t.given, r.Request, r.Listing.Note)
		return
	}
	for i, c := range slices.Backward(t.charges) {
		if c.Cause == Incomplete {
			set(&t.corrected, r.Request, i)
			return
		}
	}
}

// charge keeps a surcharge with the journey that it is for.
func (t *trail) charge(r *txn.Record, back txn.Minor, cause Cause) {
	c := charge{request: r.Request, Journey: Journey{Card: r.Card.String(), Last4: r.Last4.String(),
		Cause: cause, Record: r.Position.String(), Date: r.BusinessDate.String(), At: r.ServiceAt,
		Operator: r.Place.Operator, Payee: payeeOf(r), Charged: r.Charged, Back: back, State: Waits}}
	switch r.Kind {
	case txn.MetroExit:
		c.ridden.Exit = disruption.Stop{Place: placeOf(r), At: r.ServiceAt}
		c.Known, c.To = r.Place.Station, r.Place.Station
		if r.EntryAt != 0 {
			c.ridden.Entry = t.began(r)
		}
	case txn.JourneyLapse:
		c.request, c.Lapsed = r.Original, true
		c.ridden.Entry, c.ridden.GivenUp = t.began(r), r.ServiceAt
		c.Known = r.EntryStation
	default: // an entry by which an older one was given up
		c.ridden.Entry, c.ridden.GivenUp = t.before(r.ServiceAt), r.ServiceAt
		c.Known = c.ridden.Entry.Place.Station
	}
	if cause == Overtime {
		c.Known = ""
	}
	c.From, c.FromAt = c.ridden.Entry.Place.Station, c.ridden.Entry.At
	c.Request = c.request.String()
	t.charges = append(t.charges, c)
}

// began returns where the journey of a record began: at the entry that the ledger has, or where
// the record says.
func (t *trail) began(r *txn.Record) disruption.Stop {
	for _, e := range slices.Backward(t.entries) {
		if e.request == r.Original || e.at == r.EntryAt && e.place.Station == r.EntryStation {
			return disruption.Stop{Place: e.place, At: e.at}
		}
	}
	return disruption.Stop{Place: disruption.Place{Station: r.EntryStation}, At: r.EntryAt}
}

// before returns the last entry before an instant.
func (t *trail) before(at txn.Millis) (s disruption.Stop) {
	for _, e := range t.entries {
		if e.at < at && e.at >= s.At {
			s = disruption.Stop{Place: e.place, At: e.at}
		}
	}
	return s
}

// payeeOf returns the account that a charge was paid to.
func payeeOf(r *txn.Record) txn.Account {
	for _, p := range r.Postings {
		if p.Amount > 0 {
			return p.Account
		}
	}
	return ""
}

// judge says what became of a charge for the run of a name, and what may be given back.
func (t *trail) judge(i int, run string) (s State, back txn.Minor, reason string) {
	c := &t.charges[i]
	if note, ok := t.given[c.id()]; ok {
		if run != "" && note == c.note(run) {
			return Given, c.Back, ""
		}
		return Elsewhere, 0, ""
	}
	for _, of := range t.corrected {
		if of == i {
			return BySelf, 0, ""
		}
	}
	back = min(c.Back, c.Charged-t.refunds[c.request])
	if !c.Lapsed && t.reversed[c.request] || back <= 0 {
		return Undone, 0, ""
	}
	if why, ok := t.refused[c.id()]; ok {
		return Refused, 0, why.Text().Code
	}
	return Waits, back, ""
}

// note is what the record of a correction says: run is the order's id, a colon, and the run's.
func (j *Journey) note(run string) string {
	return fmt.Sprintf("grace %s %s of %s %s", run, j.Cause, j.Date, j.Record)
}

// forgiven reports whether an order forgives the charge.
func (c *charge) forgiven(o *disruption.Order) bool {
	g := disruption.Forgive([]disruption.Order{*o}, c.ridden)
	return c.Cause == Incomplete && g.Incomplete || c.Cause == Overtime && g.Overtime
}

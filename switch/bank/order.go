package bank

import (
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/intent"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/till"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Bits of a request id's counter above the trace number.
const (
	counterReversal = 1 << 31 // a reversal, which has the trace number of its original
	counterLoad     = 1 << 29 // the load of a purse that a bank paid for
)

// How old a transaction may be that a message names by its id. A terminal counts batches and
// trace numbers from 1 again when it was exchanged or lost its memory: its ids are then those
// of other transactions. A till repeats what had no answer before its next transaction, at the
// latest when the shop opens the next morning: beyond repeatMax an equal id is another
// transaction, is answered 94 and goes to nobody. A reversal waits in a till that was switched
// off for a weekend or a holiday, and money is taken for nothing until it comes: reverseMax.
// By the switch's clock, against the time at which the card's state took it up.
const (
	repeatMax  = txn.Millis(24 * time.Hour / time.Millisecond)
	reverseMax = 7 * repeatMax
)

// order is one message on its way through the switch. It belongs to one goroutine at a time,
// and is used again.
type order struct {
	orderOf
	// view reads the fields of the message.
	view message.View
	// step and stepWork are the request of the step that is being committed.
	step     txn.Request
	stepWork txn.BankWork
	way      way
	// texts are those of the last message: many have the same.
	texts texts
	// plain is room for what is about to be sealed.
	plain [card.BankSealedMax]byte
}

// texts are what is read of messages as text.
type texts struct{ kind, local, merchant, mcc string }

// textOf returns b as text, which is last where the two are equal.
func textOf(last *string, b []byte) string {
	if string(b) != *last {
		*last = string(b)
	}
	return *last
}

// orderOf is what an order holds of one message.
type orderOf struct {
	sw    *Switch
	in    *listener
	req   *link.Request // nil for one that is told again out of the due queue
	ask   intent.Ask
	sum   message.Summary
	frame []byte // what view reads from

	terminal *till.Terminal // nil for an acquirer's
	place    txn.Place
	number   pan.Number
	token    pan.Token
	id       txn.RequestID
	original txn.RequestID
	received time.Time
	now      txn.Millis
	rrn      [12]byte
	work     txn.BankWork
	// extra are fields of the bank's answer that the terminal gets.
	extra extra
	// taken is when the engine took the order up, which its repeats must say as well.
	taken txn.Millis
}

// extra is what of a bank's answer is handed on.
type extra struct {
	settled [4]byte   // field 15
	balance []byte    // field 54
	chip    []byte    // field 55
	lease   []byte    // field 62: of the purse that was loaded, which the switch adds
	amount  txn.Minor // field 4 where the bank approved less than was asked for; else 0
}

// read fills the order from its message; the MAC has been verified. code is the answer to a
// message that cannot be taken up, "" otherwise.
func (o *order) read() (code string) {
	if o.number.IsZero() {
		if code := o.readCard(); code != "" {
			return code
		}
	}
	o.token = o.sw.tokens.Token(o.number)
	if o.sum.STAN == 0 {
		return codeFormat
	}
	o.readIDs()
	if o.sum.Has(37) && o.in.spec.Dialect() != message.POS {
		o.rrn = o.sum.RRN // a terminal's field 37 names the original
	}
	var room [16]byte
	b := append(append(room[:0], o.sum.ProcessingCode[:]...), o.sum.Condition[:]...)
	o.work.Type = textOf(&o.texts.kind, append(b, o.sum.POSType[:]...))
	b = append(append(room[:0], o.sum.LocalDate[:]...), o.sum.LocalTime[:]...)
	o.work.LocalAt = textOf(&o.texts.local, b)
	return ""
}

// readCard takes the card number from field 2, or from track 2 where the terminal sends
// none. Two numbers are refused: one would be looked up in the list of frozen cards, and the
// bank might take the other.
func (o *order) readCard() (code string) {
	o.number = o.sum.PAN
	sent := !o.number.IsZero()
	switch has := o.view.Has(35); {
	case !has && !sent:
		return codeFormat
	case !has || sent && o.trackEnciphered():
		return ""
	}
	var room [40]byte
	track, err := pan.ParseTrack2(o.view.Append(room[:0], 35))
	clear(room[:])
	switch {
	case sent && (err != nil || track.Number == o.number):
		return "" // what cannot be read is the bank's to judge
	case sent || err != nil:
		return codeCard
	}
	o.number = track.Number
	return ""
}

// trackEnciphered reports whether field 53 says that the tracks are enciphered (DOMAIN.md 2.2).
func (o *order) trackEnciphered() bool {
	var room [16]byte
	control := o.view.Append(room[:0], 53)
	return len(control) > 2 && control[2] == '1'
}

// readIDs makes the id of the message and that of what it refers to. A terminal of ours
// counts its batches, an acquirer tells the time.
func (o *order) readIDs() {
	o.id = txn.RequestID{Terminal: o.in.terminalID(o.sum.Terminal), Counter: o.sum.STAN}
	o.original.Terminal = o.id.Terminal
	if o.in.spec.Dialect() == message.POS {
		o.id.Boot = number(o.sum.Batch[:])
		o.original.Boot, o.original.Counter = o.readOriginal()
	} else {
		o.id.Boot = number(o.sum.Sent[:])
		if o.id.Boot == 0 {
			o.id.Boot = number(append(o.sum.LocalDate[:], o.sum.LocalTime[:]...))
		}
		o.original.Boot, o.original.Counter = o.readElements()
	}
	if o.ask.Action == intent.Reverse {
		if o.original.Counter == 0 { // a reversal repeats the trace number of its original
			o.original.Boot, o.original.Counter = o.id.Boot, o.id.Counter
		}
		o.id.Counter |= counterReversal
	} else if o.original.Counter == 0 {
		o.original = txn.RequestID{}
	}
	switch o.ask.Kind {
	case txn.BankVoid, txn.BankRefund, txn.BankCompletion, txn.BankAdjustment:
		if o.sum.Has(37) && !o.view.Has(90) {
			o.work.OriginalRRN = o.sum.RRN
		}
		var room [8]byte
		copy(o.work.OriginalAuth[:], o.view.Append(room[:0], 38))
	case txn.BankPurchase:
		var room [8]byte
		if code := o.view.Append(room[:0], 38); o.ask.Advice && trimmed(code) != "" {
			copy(o.work.Auth[:], code) // the bank gave it by telephone, and wants it back
		}
	}
}

// readOriginal reads field 61 of UnionPay terminals. A reversal of the batch's own needs none.
func (o *order) readOriginal() (batch, stan uint32) {
	if !o.view.Has(61) {
		return 0, 0
	}
	var room [40]byte
	ref, err := message.ParseOriginal(string(o.view.Append(room[:0], 61)))
	if err != nil || ref.STAN == "" {
		return 0, 0
	}
	return number([]byte(ref.Batch)), number([]byte(ref.STAN))
}

// readElements reads field 90.
func (o *order) readElements() (sent, stan uint32) {
	if !o.view.Has(90) {
		return 0, 0
	}
	var room [48]byte
	ref, err := message.ParseOriginalElements(string(o.view.Append(room[:0], 90)))
	if err != nil {
		return 0, 0
	}
	return number([]byte(ref.Sent)), number([]byte(ref.STAN))
}

// number reads digits; what is none, or too long, is 0.
func number(digits []byte) uint32 {
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return uint32(n)
}

// terminalID names a terminal in ids.
func (l *listener) terminalID(field41 [8]byte) txn.TerminalID { return till.ID(field41, l.code) }

// request returns the engine's request for a step of the order's transaction, until the next
// step.
func (o *order) request(kind txn.Kind, work txn.BankWork) *txn.Request {
	o.stepWork = work
	o.step = txn.Request{
		ID: o.id, Kind: kind, Card: o.token, Last4: o.number.Last4(), Place: o.place,
		Currency: o.currency(), Amount: txn.Minor(o.sum.Amount), Original: o.original,
		Offline: o.ask.Advice && o.ask.Kind == txn.BankPurchase,
		STAN:    o.sum.STAN, ServiceAt: o.now, ReceivedAt: o.now, Bank: &o.stepWork,
		RepeatMax: repeatMax,
	}
	if kind == txn.BankReversal {
		o.step.RepeatMax = reverseMax
	}
	return &o.step
}

// currency reads field 49; a message without one is in the scheme's.
func (o *order) currency() txn.Currency {
	if !o.view.Has(49) {
		return o.sw.currency
	}
	var room [8]byte
	return txn.Currency(number(o.view.Append(room[:0], 49)))
}

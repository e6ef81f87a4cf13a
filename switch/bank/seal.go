package bank

import (
	"crypto/rand"
	"errors"

	"github.com/tapswitch/tapswitch/switch/bank/intent"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// sealedFields are the fields of a message that are kept, sealed, until its transaction needs no more
// telling: what a reversal or advice says. No track, PIN block or chip data is among them.
var sealedFields = [...]int{2, 3, 4, 7, 11, 12, 13, 14, 18, 22, 23, 25, 32, 33, 37, 38, 41, 42, 49}

// errSealed reports a sealed message that cannot be opened.
var errSealed = errors.New("what was kept of the message cannot be opened: another master key, " +
	"another listener, or damaged")

// seal returns what must be kept of the order's message, enciphered and bound to the card;
// nil when it does not fit.
func (o *order) seal() []byte {
	w := o.in.writers.Get().(*message.Writer)
	defer o.in.writers.Put(w)
	name := o.in.cfg.Name
	plain := o.plain[:0]
	defer clear(o.plain[:])
	plain = append(append(plain, byte(len(name))), name...)
	w.Begin(plain, o.in.bare, o.undoneType())
	for _, n := range sealedFields {
		switch {
		case n == 2:
			w.Put(2, []byte(o.number.Digits()))
		case o.view.Has(n):
			w.Copy(&o.view, n)
		}
	}
	if o.ask.Kind == txn.BankLoad && o.view.Has(62) {
		w.Copy(&o.view, 62) // whose purse is loaded
	}
	if o.ask.Kind == txn.BankRefund { // it is told again, and how it names its original
		for _, n := range [...]int{61, 90} {
			if o.view.Has(n) {
				w.Copy(&o.view, n)
			}
		}
	}
	plain, err := w.Finish()
	if err != nil || len(plain)+o.sw.aead.NonceSize()+o.sw.aead.Overhead() > card.BankSealedMax {
		return nil
	}
	nonce := make([]byte, o.sw.aead.NonceSize(), card.BankSealedMax)
	_, _ = rand.Read(nonce) // never fails: the runtime ends the process instead
	sealed := o.sw.aead.Seal(nonce, nonce, plain, o.token[:])
	clear(plain)
	return sealed
}

// undoneType is the type of the order's message, and for a reversal that of its original.
func (o *order) undoneType() message.MTI {
	first := o.sum.MTI.First()
	if first.Class() != message.Reversal {
		return first
	}
	if o.in.spec.Dialect() == message.POS {
		return intent.TypeOf(&o.sum)
	}
	var room [48]byte
	ref, err := message.ParseOriginalElements(string(o.view.Append(room[:0], 90)))
	if err == nil {
		if mti, err := message.ParseMTI(ref.MTI); err == nil && !mti.IsResponse() {
			return mti.First()
		}
	}
	return message.FinancialRequest
}

// unseal makes the order again that a transaction was, for telling the bank of it.
func (s *Switch) unseal(t Transaction) (*order, error) {
	n := s.aead.NonceSize()
	if len(t.Sealed) < n {
		return nil, errSealed
	}
	plain, err := s.aead.Open(nil, t.Sealed[:n], t.Sealed[n:], t.Card[:])
	if err != nil || len(plain) == 0 || len(plain) < 1+int(plain[0]) {
		return nil, errSealed
	}
	name, frame := string(plain[1:1+plain[0]]), plain[1+plain[0]:]
	for _, l := range s.listeners {
		if l.cfg.Name == name {
			return l.again(t, frame)
		}
	}
	return nil, errSealed
}

// again makes the order of a kept message.
func (l *listener) again(t Transaction, frame []byte) (*order, error) {
	o := &order{orderOf: orderOf{sw: l.sw, in: l, frame: frame, token: t.Card, id: t.ID, rrn: t.RRN,
		now: l.sw.o.Now(), received: l.sw.clock(), original: t.Original}}
	if err := o.view.Open(l.bare, frame); err != nil {
		return nil, errSealed
	}
	var err error
	if t.Kind == txn.BankAdjustment {
		if err = o.tellDifference(t.Amount); err != nil {
			return nil, err
		}
	}
	if o.sum, err = o.view.Summary(); err != nil || o.sum.PAN.IsZero() {
		return nil, errSealed
	}
	o.number = o.sum.PAN
	o.ask = intent.Ask{Kind: t.Kind}
	if o.identify() != "" {
		o.place = txn.Place{Merchant: trimmed(o.sum.Merchant[:])} // the terminal is gone since
	}
	return o, nil
}

// tellDifference makes of an adjustment's message what the bank is told of it: an advice of the
// difference, a sale where the amount was raised and a refund where it was lowered.
func (o *order) tellDifference(difference txn.Minor) error {
	w := o.in.writers.Get().(*message.Writer)
	defer o.in.writers.Put(w)
	code := "000000"
	if difference < 0 {
		code, difference = "200000", -difference
	}
	w.Begin(make([]byte, 0, card.BankSealedMax), o.in.bare, o.view.MTI())
	for _, n := range sealedFields {
		switch {
		case n == 3:
			w.Put(3, []byte(code))
		case n == 4:
			w.PutNumber(4, int64(difference))
		default:
			w.Copy(&o.view, n)
		}
	}
	frame, err := w.Finish()
	if err != nil {
		return errSealed
	}
	o.frame = frame
	return o.view.Open(o.in.bare, frame)
}

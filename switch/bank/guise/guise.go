// Package guise words what a bank is told beside the fields that the message of a terminal or
// acquirer has already: field 90 for banks that speak ISO 8583:1987 or CUPS, and everything in
// which the messages of UnionPay terminals differ for a bank that speaks as terminals do
// (DOMAIN.md 2.2, 2.4). Before such a bank the switch stands as a terminal:
//
//   - The bank gives the reference number (field 37); a void, completion or refund names it.
//   - A batch is a day: field 60.2 is 00MMDD of the day on which the message was first sent, so
//     that a trace number names one transaction, also across its wrap.
//   - Field 61 names the original by batch, trace number and day.
//   - A reversal is an 0400 with the trace number and batch of its original, and its repeats 0401.
//   - There is no sign-on and no message of totals; an echo is an 0820.
//
// It is pure, knows no link, and is safe for concurrent use.
package guise

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// AdviceType is the message type that tells of b. What the switch approved in the bank's place
// is told as it would be by a terminal that was off line.
func AdviceType(b *card.BankTxn) message.MTI {
	if b.Kind == txn.BankPreAuth {
		return 0x0120
	}
	return message.FinancialAdvice
}

// Known reports whether the bank may have got the message that tells of b before.
func Known(b *card.BankTxn) bool {
	if b.Phase == card.Advising {
		return b.STAN != 0
	}
	return b.ToldSTAN != 0
}

// NotNow reports whether a bank says by a code that it has not done anything yet.
func NotNow(code string) bool {
	switch code {
	case "09", "19", "68", "90", "91", "92", "96", "98":
		return true
	}
	return false
}

// Parties are the institutions of field 90.
type Parties struct{ Acquirer, Forwarder []byte }

// Elements returns field 90 for a message of a class that refers to original; "" when it cannot
// be written.
func Elements(class message.Class, original *card.BankTxn, p Parties) string {
	mti := message.FinancialRequest
	switch {
	case original.Advised:
		mti = AdviceType(original)
	case original.Kind == txn.BankPreAuth,
		original.Kind == txn.BankVoid && class == message.Authorization:
		mti = message.AuthorizationRequest
	case original.Kind == txn.BankRefund:
		mti = message.FinancialAdvice
	}
	e := message.OriginalElements{MTI: mti.String(), STAN: fmt.Sprintf("%06d", original.STAN),
		Sent: string(original.Sent[:]), Acquirer: eleven(p.Acquirer), Forwarder: eleven(p.Forwarder)}
	digits, err := e.Digits()
	if err != nil {
		return ""
	}
	return digits
}

func eleven(id []byte) string {
	const zeros = "00000000000"
	return zeros[:max(0, len(zeros)-len(id))] + string(id)
}

// Leaves reports whether a terminal's message leaves field n out: what hosts tell each other.
func Leaves(n int) bool {
	switch n {
	case 7, 18, 32, 33, 43, 70, 90:
		return true
	}
	return false
}

// TypeOf is the type of a terminal's message in the place of t: there are no reversal advices and
// no authorization advices.
func TypeOf(t message.MTI) message.MTI {
	switch t {
	case message.ReversalAdvice:
		return message.ReversalRequest
	case 0x0120:
		return message.AuthorizationRequest
	}
	return t
}

// Message is what field 60 is made of.
type Message struct {
	MTI  message.MTI
	Kind txn.Kind // of the transaction; KindNone for a balance inquiry
	Sum  *message.Summary
	// Was is the type of the message that a reversal undoes; else MTI.
	Was  message.MTI
	Sent [10]byte // MMDDhhmmss
}

// scriptResult is field 60.3 of a notice.
const scriptResult = "951"

// Private returns field 60: type, batch and network code.
func Private(m *Message) []byte {
	network := "000"
	if m.MTI.Class() == message.Administrative {
		network = scriptResult
	}
	return append(append([]byte(m.kind()), batch(m.Sent)...), network...)
}

// batch is the batch that a message first sent at a time is in.
func batch(sent [10]byte) string { return "00" + string(sent[:4]) }

// kind is field 60.1.
func (m *Message) kind() string {
	advice := m.Was.First() == message.FinancialAdvice
	held := string(m.Sum.Condition[:]) == "06"
	code := string(m.Sum.ProcessingCode[:2])
	switch m.Kind {
	case txn.BankPurchase, txn.BankAdjustment:
		return pick(advice, pick(code == "20", "25", "30"), "22")
	case txn.BankVoid:
		return pick(m.Was.Class() == message.Authorization, "11", pick(held, "21", "23"))
	case txn.BankRefund:
		return "25"
	case txn.BankPreAuth:
		return "10"
	case txn.BankCompletion:
		return pick(advice, "24", "20")
	case txn.BankLoad:
		return pick(code == "62", "47", "45")
	case txn.KindNone:
		return pick(code == "31", "01", "00")
	}
	return "00"
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// Original returns field 61 of a message that refers to b.
func Original(b *card.BankTxn) []byte {
	return fmt.Appendf(nil, "%s%06d%s", batch(b.Sent), b.STAN, b.Sent[:4])
}

// OriginalOf returns field 61 for what an acquirer names in field 90 and this switch does not
// remember: trace number and day, and the batch 000000, which is unknown. nil for what is no
// field 90.
func OriginalOf(elements []byte) []byte {
	e, err := message.ParseOriginalElements(string(elements))
	if err != nil || len(e.Sent) < 4 {
		return nil
	}
	return []byte("000000" + e.STAN + e.Sent[:4])
}

// Reference returns field 37 of a message that refers to original, which the bank gave; nil for
// what it gave none.
func Reference(original *card.BankTxn) []byte {
	if original == nil || original.Advised || original.RRN == [12]byte{} {
		return nil
	}
	return original.RRN[:]
}

// Echo writes the echo of a terminal that has no transaction to name.
func Echo(w *message.Writer, spec *message.Spec, stan uint32, sent [10]byte) ([]byte, error) {
	w.TPDU, w.Header = message.NewTPDU(0, 0), Header
	w.Begin(nil, spec, message.NetworkAdvice)
	w.PutNumber(11, int64(stan))
	w.Put(60, []byte("00"+batch(sent)+"301"))
	return w.Finish()
}

// NoAnswer is field 39 of a terminal's reversal: why it reverses.
const NoAnswer = "98"

// Header is the header of the switch's own messages: a transaction of application class 60.
var Header = message.Header{0x60, 0x31, 0x00, 0x31, 0x10, 0x03}

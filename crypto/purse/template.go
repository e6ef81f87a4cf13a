package purse

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Field is a part of the data of a MAC.
type Field uint8

// The fields, with their lengths in bytes.
const (
	FieldBalance    Field = iota + 1 // 4, before the transaction
	FieldNewBalance                  // 4, after it
	FieldAmount                      // 4
	FieldType                        // 1
	FieldCounter                     // 2
	FieldTermSeq                     // 4
	FieldTerminal                    // 6
	FieldDate                        // 4
	FieldTime                        // 3
	FieldOldLimit                    // 3
	FieldNewLimit                    // 3
	FieldAuthCode                    // 9, CJ/T 166
	fieldEnd
)

// fields has the name and the length of each field.
var fields = [fieldEnd]struct {
	name string
	size int
}{
	FieldBalance:    {"balance", 4},
	FieldNewBalance: {"newbalance", 4},
	FieldAmount:     {"amount", 4},
	FieldType:       {"type", 1},
	FieldCounter:    {"counter", 2},
	FieldTermSeq:    {"termseq", 4},
	FieldTerminal:   {"terminal", 6},
	FieldDate:       {"date", 4},
	FieldTime:       {"time", 3},
	FieldOldLimit:   {"oldlimit", 3},
	FieldNewLimit:   {"newlimit", 3},
	FieldAuthCode:   {"authcode", 9},
}

// Message names a MAC of the protocol.
type Message uint8

// The MACs. Compound purchase uses those of purchase with its own type.
const (
	LoadMAC1      Message = iota // card to host, of INITIALIZE FOR LOAD
	LoadMAC2                     // host to card, of CREDIT FOR LOAD
	LoadTAC                      // card to clearing
	PurchaseMAC1                 // terminal to card, of DEBIT FOR PURCHASE
	PurchaseMAC2                 // card to terminal
	PurchaseTAC                  // card to clearing
	UnloadMAC1                   // card to host
	UnloadMAC2                   // host to card
	UnloadMAC3                   // card to host
	OverdraftMAC1                // card to host
	OverdraftMAC2                // host to card
	OverdraftTAC                 // card to clearing
	messageEnd
)

// Template is the data of one MAC: fields in order.
type Template []Field

// DataMax is the most bytes that the data of a MAC may have: all fields once, and some.
const DataMax = 64

// Templates has one template a message; an empty one stands for that of the standard.
type Templates [messageEnd]Template

// standard are the templates of PBOC 2.0 and JT/T 978; nobody changes them.
var standard = Templates{
	LoadMAC1: {FieldBalance, FieldAmount, FieldType, FieldTerminal},
	LoadMAC2: {FieldAmount, FieldType, FieldTerminal, FieldDate, FieldTime},
	LoadTAC: {FieldNewBalance, FieldCounter, FieldAmount, FieldType, FieldTerminal,
		FieldDate, FieldTime},
	PurchaseMAC1: {FieldAmount, FieldType, FieldTerminal, FieldDate, FieldTime},
	PurchaseMAC2: {FieldAmount},
	PurchaseTAC: {FieldAmount, FieldType, FieldTerminal, FieldTermSeq, FieldDate,
		FieldTime},
	UnloadMAC1: {FieldBalance, FieldAmount, FieldType, FieldTerminal},
	UnloadMAC2: {FieldAmount, FieldType, FieldTerminal, FieldDate, FieldTime},
	UnloadMAC3: {FieldNewBalance, FieldCounter, FieldAmount, FieldType, FieldTerminal,
		FieldDate, FieldTime},
	OverdraftMAC1: {FieldBalance, FieldOldLimit, FieldType, FieldTerminal},
	OverdraftMAC2: {FieldNewLimit, FieldType, FieldTerminal, FieldDate, FieldTime},
	OverdraftTAC: {FieldBalance, FieldCounter, FieldNewLimit, FieldType, FieldTerminal,
		FieldDate, FieldTime},
}

// Standard returns the template that PBOC 2.0 and JT/T 978 have for m, nil if there is no
// such message. The caller may change it.
func Standard(m Message) Template {
	if m >= messageEnd {
		return nil
	}
	return append(Template(nil), standard[m]...)
}

// ParseTemplate reads field names separated by commas, as String writes them: balance,
// newbalance, amount, type, counter, termseq, terminal, date, time, oldlimit, newlimit,
// authcode.
func ParseTemplate(s string) (Template, error) {
	var t Template
	for name := range strings.SplitSeq(s, ",") {
		f := FieldBalance
		for f < fieldEnd && fields[f].name != name {
			f++
		}
		t = append(t, f)
		if f == fieldEnd {
			return nil, fmt.Errorf("%w: unknown field %.16q in a MAC template", ErrScheme, name)
		}
		if t.Size() > DataMax {
			return nil, fmt.Errorf("%w: MAC template is longer than %d bytes", ErrScheme, DataMax)
		}
	}
	return t, nil
}

// String returns the template as ParseTemplate reads it.
func (t Template) String() string {
	var b strings.Builder
	for i, f := range t {
		if i > 0 {
			b.WriteByte(',')
		}
		if f < fieldEnd {
			b.WriteString(fields[f].name)
		}
	}
	return b.String()
}

// Size returns the length of the data in bytes.
func (t Template) Size() (n int) {
	for _, f := range t {
		if f < fieldEnd {
			n += fields[f].size
		}
	}
	return n
}

func (t Template) check() error {
	for _, f := range t {
		if f == 0 || f >= fieldEnd {
			return fmt.Errorf("%w: field %d of a MAC template is unknown", ErrScheme, f)
		}
	}
	if t.Size() > DataMax {
		return fmt.Errorf("%w: MAC template is longer than %d bytes", ErrScheme, DataMax)
	}
	return nil
}

// Append appends the data of the MAC to dst.
func (t Template) Append(dst []byte, v *Values) []byte {
	big := binary.BigEndian
	for _, f := range t {
		switch f {
		case FieldBalance:
			dst = big.AppendUint32(dst, v.Balance)
		case FieldNewBalance:
			dst = big.AppendUint32(dst, v.NewBalance)
		case FieldAmount:
			dst = big.AppendUint32(dst, v.Amount)
		case FieldType:
			dst = append(dst, byte(v.Type))
		case FieldCounter:
			dst = big.AppendUint16(dst, v.Counter)
		case FieldTermSeq:
			dst = big.AppendUint32(dst, v.TermSeq)
		case FieldTerminal:
			dst = append(dst, v.Terminal[:]...)
		case FieldDate:
			dst = append(dst, v.Date[:]...)
		case FieldTime:
			dst = append(dst, v.Time[:]...)
		case FieldOldLimit:
			dst = append24(dst, v.OldLimit)
		case FieldNewLimit:
			dst = append24(dst, v.NewLimit)
		case FieldAuthCode:
			dst = append(dst, v.AuthCode[:]...)
		}
	}
	return dst
}

// limitMax is the largest value of a field of three bytes.
const limitMax = 1<<24 - 1

func append24(dst []byte, v uint32) []byte {
	return append(dst, byte(v>>16), byte(v>>8), byte(v))
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

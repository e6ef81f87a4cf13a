package bank

import (
	"cmp"
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The response codes that the switch itself gives (DOMAIN.md 2.6).
const (
	codeApproved    = "00"
	codePartial     = "10"
	codeDuplicate   = "94"
	codeMerchant    = "03"
	codeInvalid     = "12"
	codeCard        = "14"
	codeUnknown     = "25"
	codeFormat      = "30"
	codeUnsupported = "40"
	codeUnavailable = "91"
	codeMalfunction = "96"
	codeTerminal    = "97"
	codePIN         = "99"
	codeMAC         = "A0"
)

// answer is what a message is answered with.
type answer struct {
	code string
	auth txn.AuthCode
	rrn  [12]byte
	// extra is what the bank added.
	extra extra
	// fields are further fields, in ascending order.
	fields []field
	key    maker
	// at is the time that it says where the request says none; zero is now.
	at txn.Millis
	// none: there is no answer, the terminal repeats or reverses.
	none bool
}

// field is a field of an answer with its content.
type field struct {
	number int
	value  []byte
}

// echoed are the fields of a request that its answer repeats, where they are there.
var echoed = [...]int{2, 3, 4, 7, 11, 12, 13, 14, 18, 22, 23, 25, 32, 33, 37, 38, 41, 42, 48, 49, 53,
	60, 61, 63, 70, 90, 100}

// posUnechoed are those that UnionPay terminals do not expect back.
var posUnechoed = map[int]bool{18: true, 22: true, 38: true, 48: true, 61: true, 63: true}

// replyMax is the room that an answer is given at first, in bytes.
const replyMax = 384

// reply writes the answer to the order's message.
func (o *order) reply(a answer) ([]byte, error) {
	mti, ok := o.sum.MTI.Answer()
	if !ok {
		return nil, fmt.Errorf("message type %v wants no answer", o.sum.MTI)
	}
	w := o.in.writers.Get().(*message.Writer)
	defer o.in.writers.Put(w)
	o.envelope(w)
	w.Begin(make([]byte, 0, replyMax), o.in.spec, mti)
	r := replier{o: o, a: &a, w: w, pos: o.in.spec.Dialect() == message.POS}
	r.write()
	if a.key != nil {
		return w.FinishSum(a.key)
	}
	return w.Finish()
}

// envelope turns round what stands in front of the message.
func (o *order) envelope(w *message.Writer) {
	w.TPDU, w.Header = o.sum.TPDU.Reply(), o.sum.Header
	if o.in.spec.Envelope() == message.CUPSHead {
		copy(w.CUPS[:], o.frame)
		w.CUPS = w.CUPS.Reply()
	}
}

// replier writes the fields of an answer in ascending order.
type replier struct {
	o     *order
	a     *answer
	w     *message.Writer
	pos   bool
	field int // index in echoed
	more  int // index in answer.fields
}

func (r *replier) write() {
	a, o := r.a, r.o
	local := cmp.Or(a.at, o.now).Time().In(o.sw.zone)
	var room [16]byte
	if a.extra.amount != 0 {
		r.upTo(4)
		r.w.PutNumber(4, int64(a.extra.amount))
		r.field++ // it stands in place of the request's
	}
	if !o.sum.Has(12) {
		r.put(12, local.AppendFormat(room[:0], "150405"))
	}
	if !o.sum.Has(13) {
		r.put(13, local.AppendFormat(room[:0], "0102"))
	}
	if a.extra.settled != [4]byte{} {
		r.put(15, a.extra.settled[:])
	}
	if !o.sum.Has(32) && r.pos && o.sw.o.Config.Acquirer != "" {
		r.put(32, []byte(o.sw.o.Config.Acquirer))
	}
	if a.rrn != [12]byte{} {
		r.put(37, a.rrn[:])
	}
	if a.auth != (txn.AuthCode{}) {
		r.put(38, a.auth[:])
	}
	r.put(39, []byte(a.code))
	for _, f := range [...]field{{54, a.extra.balance}, {55, a.extra.chip}, {62, a.extra.lease}} {
		if len(f.value) > 0 {
			r.put(f.number, f.value)
		}
	}
	r.upTo(129)
}

// put writes field n after everything that comes before it.
func (r *replier) put(n int, value []byte) {
	r.upTo(n)
	if _, ok := r.o.in.spec.Field(n); ok {
		r.w.Put(n, value)
	}
	if r.field < len(echoed) && echoed[r.field] == n {
		r.field++
	}
}

// upTo writes the fields below n: those of the answer, and those that it repeats.
func (r *replier) upTo(n int) {
	for {
		echo, own := 129, 129
		if r.field < len(echoed) {
			echo = echoed[r.field]
		}
		if r.more < len(r.a.fields) {
			own = r.a.fields[r.more].number
		}
		switch {
		case min(echo, own) >= n:
			return
		case own <= echo:
			r.w.Put(own, r.a.fields[r.more].value)
			r.more++
			if own == echo {
				r.field++
			}
		default:
			r.field++
			if r.o.view.Has(echo) && !(r.pos && posUnechoed[echo]) {
				r.w.Copy(&r.o.view, echo)
			}
		}
	}
}

// codeFor returns the response code of a refusal. A code of the bank is handed on, but none
// that asks to keep the card (SY11, SY16: nobody may hold a card back).
func codeFor(d txn.Decision, bank [2]byte) string {
	if d.Outcome == txn.Approved {
		if bank[0] != 0 && message.MeaningOf(string(bank[:])).Approved {
			return string(bank[:])
		}
		return codeApproved
	}
	if d.Reason == txn.IssuerDeclined && bank[0] != 0 {
		m := message.MeaningOf(string(bank[:]))
		if m.Known && !m.KeepCard && !m.Approved && m.Code != codeMAC && m.Code != codePIN {
			return m.Code
		}
	}
	return d.Reason.Text().Field39
}

// localTime formats now in the scheme's zone.
func (s *Switch) localTime(now txn.Millis, layout string) string {
	return now.Time().In(s.zone).Format(layout)
}

// referenceNumbers is what the numbers of field 37 are kept under; no link has this name.
const referenceNumbers = ".rrn"

// reference makes the retrieval reference number of a transaction.
func (s *Switch) reference(ctx context.Context, now txn.Millis) ([12]byte, error) {
	n, err := s.references.Next(ctx)
	if err != nil {
		return [12]byte{}, fmt.Errorf("reference number: %w", err)
	}
	return s.rrnOf(now, n), nil
}

// rrnOf makes a retrieval reference number: the last digit of the year, the day of the year,
// the hour, and a number.
func (s *Switch) rrnOf(now txn.Millis, stan uint32) (rrn [12]byte) {
	at := now.Time().In(s.zone)
	n := uint64(at.Year()%10)*100_000 + uint64(at.YearDay())*100 + uint64(at.Hour())
	n = n*1_000_000 + uint64(stan)
	for i := len(rrn) - 1; i >= 0; i-- {
		rrn[i] = '0' + byte(n%10)
		n /= 10
	}
	return rrn
}

// sentAt is field 7 of a message that is sent now: UTC, as ISO 8583:1987 has it.
func sentAt(now txn.Millis) (sent [10]byte) {
	copy(sent[:], now.Time().UTC().AppendFormat(make([]byte, 0, 16), "0102150405"))
	return sent
}

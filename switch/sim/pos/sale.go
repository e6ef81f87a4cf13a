package pos

import (
	"context"
	"errors"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// form is how a kind stands in a message (DOMAIN.md 2.4).
type form struct {
	mti        message.MTI
	processing string
	condition  string
	kind       string // 60.1
	// fallback is what is done instead when the book has no original, originals what the
	// kind refers to.
	fallback  Kind
	originals []Kind
}

func formOf(k Kind) form {
	sales := []Kind{Purchase, OfflineSale, Completion, CompletionAdvice}
	switch k {
	case Void:
		return form{0x0200, "200000", "00", "23", Purchase, []Kind{Purchase}}
	case Refund:
		return form{0x0220, "200000", "00", "25", Purchase, sales}
	case PreAuth:
		return form{0x0100, "030000", "06", "10", PreAuth, nil}
	case PreAuthVoid:
		return form{0x0100, "200000", "06", "11", PreAuth, []Kind{PreAuth}}
	case Completion:
		return form{0x0200, "000000", "06", "20", PreAuth, []Kind{PreAuth}}
	case CompletionVoid:
		return form{0x0200, "200000", "06", "21", PreAuth, []Kind{Completion}}
	case CompletionAdvice:
		return form{0x0220, "000000", "06", "24", PreAuth, []Kind{PreAuth}}
	case OfflineSale:
		return form{0x0220, "000000", "00", "30", OfflineSale, nil}
	case Balance:
		return form{0x0200, "310000", "00", "01", Balance, nil}
	case Adjust:
		return form{0x0220, "000000", "00", "32", Purchase, sales}
	case Tip:
		return form{0x0220, "000000", "00", "34", Purchase, sales}
	case Load:
		return form{0x0200, "600000", "91", "45", Load, nil}
	case CashLoad:
		return form{0x0200, "630000", "91", "46", CashLoad, nil}
	}
	return form{0x0200, "000000", "00", "22", Purchase, nil}
}

// advice reports whether the kind is told and repeated, not asked and reversed.
func (f *form) advice() bool { return f.mti == message.FinancialAdvice }

// transact makes one transaction of the mix and sees it through to its end.
func (t *terminal) transact(ctx context.Context, from time.Time) {
	r := t.choose()
	f := formOf(r.Kind)
	r.STAN, r.Batch = t.number(), t.report.Batch
	r.Date = t.o.Now().Format("0102")
	t.rows = append(t.rows, r)
	t.byStan[r.STAN] = r
	faults := t.draw()
	m, err := t.sale(r, &f)
	if err != nil {
		r.State = Unanswered
		t.contradict("number %d cannot be written: %v", r.STAN, err)
		return
	}
	e := t.expect(r, &f)
	e.twice, e.drop = faults.Duplicate > 0, faults.DropConnection > 0
	if e.twice {
		t.report.DuplicatesSent++
	}
	a, err := t.ask(ctx, m, e)
	switch {
	case err == nil:
		t.latency = append(t.latency, time.Since(from))
		t.book(r, a)
		if faults.Repeat > 0 {
			t.repeat(ctx, r, m, a)
		}
		t.runScript(ctx, r, &f, a)
	case r.Kind == Balance: // no money: nothing to take back
		r.State = Unanswered
	case f.advice(): // it has happened: the host must be told, never asked to forget
		t.repeatAdvice(ctx, r, &f)
	default:
		t.reverse(ctx, r, &f, reason(err))
	}
}

// reason is field 39 of a reversal: 98 no answer, A0 wrong MAC.
func reason(err error) string {
	if errors.Is(err, errMAC) {
		return "A0"
	}
	return "98"
}

// draw decides what goes wrong with a sale; a field above 0 does.
func (t *terminal) draw() (f Faults) {
	const all = 10_000
	hit := func(rate int) int {
		if t.random.IntN(all) < rate {
			return 1
		}
		return 0
	}
	f.DropConnection, f.Repeat = hit(t.o.Faults.DropConnection), hit(t.o.Faults.Repeat)
	f.Duplicate = hit(t.o.Faults.Duplicate)
	return f
}

// choose picks a kind of the mix, and an original where it needs one.
func (t *terminal) choose() *Row {
	sum := 0
	for k := range kindEnd {
		sum += t.o.Mix[k]
	}
	n, kind := t.random.IntN(sum), Purchase
	for k := range kindEnd {
		if n -= t.o.Mix[k]; n < 0 {
			kind = k
			break
		}
	}
	r := &Row{Kind: kind, Card: t.o.Cards[t.random.IntN(len(t.o.Cards))], Minor: t.amount()}
	f := formOf(kind)
	if f.originals == nil {
		switch kind {
		case Balance:
			r.Minor = 0
		case Load, CashLoad:
			r.Minor = 1 + r.Minor%t.o.LoadMax
			r.Purse = t.o.Purses[t.random.IntN(len(t.o.Purses))]
			if kind == CashLoad {
				r.Card = r.Purse
			}
		}
		return r
	}
	o := t.pick(f.originals)
	if o == nil {
		r.Kind = f.fallback
		return r
	}
	r.original, r.Card, r.Original = o, o.Card, o.STAN
	switch kind {
	case Refund:
		r.Minor = 1 + t.random.Int64N(o.left())
	case Completion, CompletionAdvice:
		r.Minor = 1 + t.random.Int64N(o.Minor)
	case Tip:
		most := o.Minor + o.Minor*t.o.TipPercent/100
		r.Minor = o.Minor + o.Amended
		r.Minor += t.random.Int64N(max(most-r.Minor, 0) + 1)
	case Adjust:
		r.Minor = max(o.Refunded, 1) + t.random.Int64N(o.Minor)
	default:
		r.Minor = o.Minor
	}
	return r
}

func (t *terminal) amount() int64 {
	if len(t.o.Amounts) > 0 {
		t.turn++
		return t.o.Amounts[(t.turn-1)%len(t.o.Amounts)]
	}
	return t.o.AmountMin + t.random.Int64N(t.o.AmountMax-t.o.AmountMin+1)
}

// pick takes one of the rows that can still be referred to.
func (t *terminal) pick(kinds []Kind) *Row {
	const lookBack = 200
	whole := len(kinds) == 1 // a void takes all of it, and cannot after a refund
	var fit []*Row
	for _, r := range t.rows[max(0, len(t.rows)-lookBack):] {
		for _, k := range kinds {
			if r.Kind == k && r.State == Approved && !r.Closed && r.left() > 0 &&
				(r.Refunded == 0 && r.Amended == 0 || !whole) {
				fit = append(fit, r)
			}
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[t.random.IntN(len(fit))]
}

// sale writes the request of a row.
func (t *terminal) sale(r *Row, f *form) (*message.Message, error) {
	m, err := t.message(f.mti, r.STAN, message.Private{Type: f.kind, Network: "000",
		ReadCapability: "6", ICCondition: "0"})
	if err != nil {
		return nil, err
	}
	entry := "072"
	var pinErr error
	if t.o.PIN != "" && t.keys.pin != nil && !f.advice() {
		entry, pinErr = "071", t.setPIN(m, r)
	}
	err = errors.Join(pinErr, m.SetPAN(r.Card), m.SetDigits(3, f.processing), m.SetDigits(22, entry),
		m.SetDigits(14, "3012"), m.SetDigits(25, f.condition), m.SetText(49, "156"))
	if r.Kind != Balance {
		err = errors.Join(err, m.SetAmount(r.Minor))
	}
	if r.Kind == Load {
		err = errors.Join(err, m.SetBytes(62, []byte(r.Purse.Digits())))
	}
	if o := r.original; o != nil {
		digits, e := message.Original{Batch: o.Batch, STAN: stanDigits(o.STAN), Date: o.Date}.Digits()
		err = errors.Join(err, e, m.SetDigits(61, digits), m.SetText(37, o.RRN))
		if o.Auth != "" {
			err = errors.Join(err, m.SetText(38, o.Auth))
		}
	}
	return m, err
}

// setPIN adds the PIN block of the card.
func (t *terminal) setPIN(m *message.Message, r *Row) error {
	b, err := pinblock.Encode(pinblock.Format0, []byte(t.o.PIN), r.Card.Digits(), nil)
	if err != nil {
		return err
	}
	t.keys.pin.Encrypt(b[:], b[:])
	return errors.Join(m.SetDigits(26, "12"), m.SetBytes(52, b[:]),
		m.SetDigits(53, message.Security{PINFormat: 2, KeyAlgorithm: 6}.Digits()))
}

func stanDigits(n uint32) string {
	var out [6]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = '0' + byte(n%10)
		n /= 10
	}
	return string(out[:])
}

func (t *terminal) expect(r *Row, f *form) *expectation {
	mti, _ := f.mti.Answer()
	return &expectation{mti: mti, stan: r.STAN, amount: r.Minor, card: r.Card,
		signed: t.keys.mac != nil}
}

// book writes the answer into the row, and what it does to the original.
func (t *terminal) book(r *Row, a *message.Message) {
	r.Code, r.RRN = a.ResponseCode(), a.RRN()
	r.Auth, _ = a.Text(38)
	meaning := message.MeaningOf(r.Code)
	t.stale = t.stale || meaning.SignOn
	if !meaning.Approved {
		r.State = Declined
		return
	}
	r.State = Approved
	o := r.original
	if o == nil {
		return
	}
	switch r.Kind {
	case Refund:
		o.Refunded += r.Minor
	case Adjust, Tip:
		r.Difference = r.Minor - o.Minor - o.Amended
		o.Amended = r.Minor - o.Minor
	default:
		o.Closed = true
		if r.Kind == CompletionVoid && o.original != nil {
			o.original.Closed = false
		}
	}
}

// repeat sends an answered request again and wants the same answer.
func (t *terminal) repeat(ctx context.Context, r *Row, m, first *message.Message) {
	if t.stale {
		return
	}
	t.report.RepeatsSent++
	f := formOf(r.Kind)
	a, err := t.ask(ctx, m, t.expect(r, &f))
	if err != nil {
		return
	}
	for n := range 64 { // up to the MAC, which is made anew
		was, had := first.Bytes(n)
		is, has := a.Bytes(n)
		if had != has || string(was) != string(is) {
			t.contradict("number %d was answered %q, its repeat %q: field %d differs", r.STAN, r.Code,
				a.ResponseCode(), n)
		}
	}
}

// repeatAdvice sends an advice until it is answered.
func (t *terminal) repeatAdvice(ctx context.Context, r *Row, f *form) {
	for range t.o.RetriesMax {
		if !t.pause(ctx, t.o.RetryDelay) || t.stale && t.signOn(ctx) != nil {
			break
		}
		m, err := t.sale(r, f)
		if err != nil {
			break
		}
		m.SetMTI(f.mti.Repeat())
		t.report.AdviceRepeats++
		a, err := t.ask(ctx, m, t.expect(r, f))
		if err != nil {
			continue
		}
		if message.MeaningOf(a.ResponseCode()).SignOn {
			t.stale = true
			continue
		}
		t.book(r, a)
		return
	}
	r.State = Unanswered
}

// reverse sends the reversal of a row until it is answered with 00 or 25.
func (t *terminal) reverse(ctx context.Context, r *Row, f *form, reason string) {
	for try := range t.o.RetriesMax {
		if try > 0 && !t.pause(ctx, t.o.RetryDelay) || t.stale && t.signOn(ctx) != nil {
			break
		}
		m, err := t.reversal(r, f, reason)
		if err != nil {
			t.contradict("the reversal of number %d cannot be written: %v", r.STAN, err)
			break
		}
		t.report.Reversals++
		a, err := t.ask(ctx, m, &expectation{mti: message.ReversalResponse, stan: r.STAN,
			amount: r.Minor, card: r.Card, signed: t.keys.mac != nil})
		if err != nil {
			continue
		}
		code := a.ResponseCode()
		if code == "00" || code == "25" {
			r.State = Reversed
			return
		}
		t.stale = t.stale || message.MeaningOf(code).SignOn
	}
	r.State = Unanswered
}

func (t *terminal) reversal(r *Row, f *form, reason string) (*message.Message, error) {
	m, err := t.message(message.ReversalRequest, r.STAN, message.Private{Type: f.kind,
		Network: "000"})
	if err != nil {
		return nil, err
	}
	digits, err := message.Original{Batch: r.Batch, STAN: stanDigits(r.STAN), Date: r.Date}.Digits()
	return m, errors.Join(err, m.SetPAN(r.Card), m.SetDigits(3, f.processing), m.SetAmount(r.Minor),
		m.SetDigits(22, "072"), m.SetDigits(25, f.condition), m.SetText(39, reason),
		m.SetText(49, "156"), m.SetDigits(61, digits))
}

package bankhost

import (
	"errors"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// atTerminal starts a host of terminals and connects one.
func atTerminal(t *testing.T, set func(*Options)) (*Host, *peer) {
	t.Helper()
	h := start(t, func(o *Options) {
		o.Spec, o.Framing = named(t, "cup_pos"), message.Framing{}
		if set != nil {
			set(o)
		}
	})
	return h, connect(t, h)
}

// slip is a message of a terminal.
func (p *peer) slip(mti message.MTI, stan uint32, sub message.Private,
	set ...func(*message.Message) error,
) *message.Message {
	p.t.Helper()
	m := message.New(p.o.Spec, mti)
	m.TPDU = message.NewTPDU(3, 1)
	if sub.Batch == "" {
		sub.Batch = "000001"
	}
	digits, err := sub.Digits()
	err = errors.Join(err, m.SetSTAN(stan), m.SetText(41, testTerminal), m.SetDigits(60, digits))
	for _, f := range set {
		err = errors.Join(err, f(m))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// sale adds what moves money.
func (p *peer) sale(code, condition string, amount int64) func(*message.Message) error {
	return func(m *message.Message) error {
		return errors.Join(m.SetPAN(p.card), m.SetDigits(3, code), m.SetAmount(amount),
			m.SetDigits(25, condition))
	}
}

func original(batch string, stan uint32, rrn string) func(*message.Message) error {
	return func(m *message.Message) error {
		digits, err := message.Original{Batch: batch, STAN: pad6(stan)}.Digits()
		return errors.Join(err, m.SetDigits(61, digits), m.SetText(37, rrn))
	}
}

func digitsOf(n int, digits string) func(*message.Message) error {
	return func(m *message.Message) error { return m.SetDigits(n, digits) }
}

// A terminal's void names batch, number and reference number, and all three must be right;
// the answer turns the TPDU round.
func TestTerminalOriginals(t *testing.T) {
	h, p := atTerminal(t, nil)
	sale := p.exchange(p.slip(0x0200, 1, message.Private{Type: "22"}, p.sale("000000", "00", 500)))
	if sale.ResponseCode() != "00" || sale.TPDU.Destination() != 1 || sale.TPDU.Source() != 3 ||
		!sale.Has(12) || !sale.Has(13) || !sale.Has(32) {
		t.Fatalf("%v %s", sale, sale.ResponseCode())
	}
	void := p.sale("200000", "00", 500)
	for i, step := range []struct {
		original func(*message.Message) error
		code     string
	}{
		{original("000002", 1, sale.RRN()), "25"}, {original("000001", 2, sale.RRN()), "25"},
		{original("000001", 1, "999999999999"), "25"}, {original("000001", 1, sale.RRN()), "00"},
		{original("000001", 1, sale.RRN()), "12"},
	} {
		m := p.slip(0x0200, uint32(10+i), message.Private{Type: "23"}, void, step.original)
		if got := p.exchange(m).ResponseCode(); got != step.code {
			t.Errorf("%d: %s, want %s", i, got, step.code)
		}
	}
	p.money(h, 0, 0)
	refund := p.slip(0x0220, 20, message.Private{Type: "25"}, p.sale("200000", "00", 1))
	if got := p.exchange(refund).ResponseCode(); got != "25" {
		t.Errorf("refund of nothing: %s", got)
	}
}

// A terminal's reversal has the number of the sale; it works once, and before the sale too.
func TestTerminalReversal(t *testing.T) {
	h, p := atTerminal(t, nil)
	sale, sub := p.sale("000000", "00", 500), message.Private{Type: "22"}
	for i, step := range []struct {
		mti    message.MTI
		stan   uint32
		code   string
		posted int64
	}{{0x0200, 1, "00", 500}, {0x0400, 1, "00", 0}, {0x0400, 1, "00", 0}, {0x0400, 2, "25", 0},
		{0x0200, 2, "12", 0}, {0x0400, 2, "25", 0}} {
		if got := p.exchange(p.slip(step.mti, step.stan, sub, sale)).ResponseCode(); got != step.code {
			t.Errorf("%d: %s, want %s", i, got, step.code)
		}
		p.money(h, step.posted, 0)
	}
}

// Settlement: what cannot be read is 30, equal totals are 1, others 2; an upload that is
// repeated counts once.
func TestTerminalSettlement(t *testing.T) {
	h, p := atTerminal(t, nil)
	p.exchange(p.slip(0x0200, 1, message.Private{Type: "22"}, p.sale("000000", "00", 500)))
	settle := message.Private{Type: "00", Network: "201"}
	if got := p.exchange(p.slip(0x0500, 2, settle, digitsOf(48, "12"))).ResponseCode(); got != "30" {
		t.Errorf("short totals: %s", got)
	}
	for i, step := range []struct {
		said message.Totals
		want message.Verdict
	}{
		{message.Totals{DebitAmount: 500, DebitCount: 2}, message.Unbalanced},
		{message.Totals{DebitAmount: 501, DebitCount: 1}, message.Unbalanced},
		{message.Totals{DebitAmount: 500, DebitCount: 1, CreditCount: 1}, message.Unbalanced},
		{message.Totals{DebitAmount: 500, DebitCount: 1}, message.Balanced},
	} {
		digits, err := message.Settlement{Domestic: step.said}.Digits()
		if err != nil {
			t.Fatal(err)
		}
		a := p.exchange(p.slip(0x0500, uint32(10+i), settle, digitsOf(48, digits)))
		digits, _ = a.Digits(48)
		if s, err := message.ParseSettlement(digits); err != nil || s.Domestic.Verdict != step.want {
			t.Errorf("%+v: %v %v", step.said, s.Domestic.Verdict, err)
		}
	}
	rows, err := message.UploadDigits([]message.UploadRow{{Type: "22", STAN: 1, PAN: p.card,
		Amount: 500}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		mti    message.MTI
		digits string
		code   string
	}{{0x0320, rows, "00"}, {0x0321, rows, "00"}, {0x0320, "07", "30"}} {
		m := p.slip(step.mti, 20, settle, digitsOf(48, step.digits))
		if got := p.exchange(m).ResponseCode(); got != step.code {
			t.Errorf("upload: %s, want %s", got, step.code)
		}
	}
	end := p.slip(0x0320, 21, message.Private{Type: "00", Network: "202"})
	if got := p.exchange(end).ResponseCode(); got != "00" {
		t.Errorf("end: %s", got)
	}
	b := h.Summary().Batch
	if len(b) != 1 || b[0].UploadedRows != 1 || b[0].UploadedMinor != 500 || !b[0].Ended {
		t.Errorf("%+v", b)
	}
	sign := p.exchange(p.slip(0x0800, 30, message.Private{Type: "00", Network: "001"}))
	digits, _ := sign.Digits(60)
	if sub, err := message.ParsePrivate(digits); err != nil || sub.Batch != "000002" {
		t.Errorf("the next batch is %q, %v", sub.Batch, err)
	}
}

// Where terminals have keys, one that has not signed on is told to.
func TestTerminalMustSignOn(t *testing.T) {
	h, p := atTerminal(t, func(o *Options) { o.MasterKey = []byte("0123456789abcdef") })
	a := p.exchange(p.slip(0x0200, 1, message.Private{Type: "22"}, p.sale("000000", "00", 500)))
	if a.ResponseCode() != "A0" || a.Header.Requirement() != message.SignOnAgain || a.Has(64) {
		t.Errorf("%v %s", a, a.ResponseCode())
	}
	p.money(h, 0, 0)
}

// The number of a card may stand in track 2 alone; a request without any is no request.
func TestCardFromTrack(t *testing.T) {
	h := start(t, nil)
	p := connect(t, h)
	m := p.message(purchase(1, 100))
	m.Unset(2)
	if got := p.exchange(m).ResponseCode(); got != "30" {
		t.Errorf("without a card: %s", got)
	}
	m = p.message(purchase(2, 100))
	m.Unset(2)
	if err := m.SetText(35, p.card.Digits()+"=30121010000000000"); err != nil {
		t.Fatal(err)
	}
	if got := p.exchange(m).ResponseCode(); got != "00" {
		t.Errorf("track: %s", got)
	}
	if e := h.Book().Find(2, testTerminal, false); e == nil || e.Card != h.Token(p.card).String() {
		t.Errorf("%+v", e)
	}
}

// A field 90 with another MTI than the original had finds nothing, and is counted apart.
func TestWrongOriginalMTI(t *testing.T) {
	h := start(t, nil)
	p := connect(t, h)
	p.code(order{mti: 0x0220, code: "000000", stan: 1, amount: 100})
	if got := p.code(reversal(2, 1, 100)); got != "25" {
		t.Errorf("code %s", got)
	}
	if c := h.Summary().Counts; c.WrongOriginalMTI != 1 || c.Reversed != 0 {
		t.Errorf("%+v", c)
	}
	p.money(h, 100, 0)
}

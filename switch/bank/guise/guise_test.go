package guise_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/guise"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func sum(code, condition string) *message.Summary {
	s := new(message.Summary)
	copy(s.ProcessingCode[:], code)
	copy(s.Condition[:], condition)
	return s
}

// Field 60 of every message of DOMAIN.md 2.4 that is told to a bank.
func TestPrivate(t *testing.T) {
	for _, c := range []struct {
		mti, was        message.MTI
		kind            txn.Kind
		code, condition string
		want            string
	}{
		{0x0200, 0, txn.BankPurchase, "000000", "00", "22"},
		{0x0220, 0, txn.BankPurchase, "000000", "00", "30"},
		{0x0200, 0, txn.BankVoid, "200000", "00", "23"},
		{0x0220, 0, txn.BankRefund, "200000", "00", "25"},
		{0x0100, 0, txn.BankPreAuth, "030000", "06", "10"},
		{0x0100, 0, txn.BankVoid, "200000", "06", "11"},
		{0x0200, 0, txn.BankCompletion, "000000", "06", "20"},
		{0x0200, 0, txn.BankVoid, "200000", "06", "21"},
		{0x0220, 0, txn.BankCompletion, "000000", "06", "24"},
		{0x0220, 0, txn.BankAdjustment, "000000", "00", "30"},
		{0x0220, 0, txn.BankAdjustment, "200000", "00", "25"},
		{0x0200, 0, txn.KindNone, "310000", "00", "01"},
		{0x0200, 0, txn.BankLoad, "600000", "91", "45"},
		{0x0200, 0, txn.BankLoad, "620000", "91", "47"},
		{0x0400, 0x0100, txn.BankPreAuth, "030000", "06", "10"},
		{0x0401, 0x0100, txn.BankVoid, "200000", "06", "11"},
		{0x0400, 0x0200, txn.BankVoid, "200000", "06", "21"},
	} {
		m := guise.Message{MTI: c.mti, Was: c.was, Kind: c.kind, Sum: sum(c.code, c.condition),
			Sent: [10]byte([]byte("1122040506"))}
		if m.Was == 0 {
			m.Was = m.MTI
		}
		if got, want := string(guise.Private(&m)), c.want+"001122000"; got != want {
			t.Errorf("%v %s of %v: %q, want %q", c.mti, c.code, c.was, got, want)
		}
	}
	m := guise.Message{MTI: 0x0620, Was: 0x0620, Sum: sum("", ""), Sent: [10]byte([]byte("1122040506"))}
	if got := string(guise.Private(&m)); got != "00001122951" {
		t.Errorf("a notice: %q", got)
	}
}

func TestTypeOf(t *testing.T) {
	for in, want := range map[message.MTI]message.MTI{0x0420: 0x0400, 0x0120: 0x0100,
		0x0200: 0x0200, 0x0220: 0x0220, 0x0620: 0x0620} {
		if got := guise.TypeOf(in); got != want {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
}

// What a message refers to, by field 61, 37 and 90.
func TestOriginal(t *testing.T) {
	b := &card.BankTxn{Kind: txn.BankPurchase, STAN: 317, Sent: [10]byte([]byte("0301101112")),
		RRN: [12]byte([]byte("506009000317"))}
	if got := string(guise.Original(b)); got != "0003010003170301" {
		t.Errorf("field 61: %q", got)
	}
	if got := string(guise.Reference(b)); got != "506009000317" {
		t.Errorf("field 37: %q", got)
	}
	own := *b
	own.Advised = true
	if got := guise.Reference(&own); got != nil {
		t.Errorf("the switch's own number is named to a bank: %q", got)
	}
	if guise.Reference(nil) != nil || guise.Reference(new(card.BankTxn)) != nil {
		t.Error("nothing has a reference")
	}
	parties := guise.Parties{Acquirer: []byte("48021234")}
	for _, c := range []struct {
		class message.Class
		kind  txn.Kind
		want  string
	}{{message.Financial, txn.BankPurchase, "0200"}, {message.Financial, txn.BankRefund, "0220"},
		{message.Reversal, txn.BankPreAuth, "0100"}, {message.Authorization, txn.BankVoid, "0100"},
		{message.Financial, txn.BankVoid, "0200"}} {
		b.Kind = c.kind
		want := c.want + "00031703011011120004802123400000000000"
		got := guise.Elements(c.class, b, parties)
		if got != want {
			t.Errorf("%v: %q, want %q", c.kind, got, want)
		}
		if named := string(guise.OriginalOf([]byte(got))); named != "0000000003170301" {
			t.Errorf("field 61 of field 90: %q", named)
		}
	}
	if guise.OriginalOf(nil) != nil || guise.OriginalOf([]byte("12")) != nil {
		t.Error("no field 90 names an original")
	}
	own.Kind = txn.BankPreAuth
	if got := guise.Elements(message.Authorization, &own, parties); got[:4] != "0120" {
		t.Errorf("an advised hold: %q", got)
	}
}

func TestEcho(t *testing.T) {
	spec, err := message.Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	frame, err := guise.Echo(new(message.Writer), spec, 42, [10]byte([]byte("1122040506")))
	if err != nil {
		t.Fatal(err)
	}
	m, err := message.Parse(spec, frame)
	if err != nil {
		t.Fatal(err)
	}
	if private, _ := m.Digits(60); m.MTI() != 0x0820 || private != "00001122301" ||
		m.Header != guise.Header {
		t.Errorf("%v with field 60 %s", m.MTI(), private)
	}
	for n, want := range map[int]bool{7: true, 32: true, 37: false, 41: false, 61: false} {
		if guise.Leaves(n) != want {
			t.Errorf("leaves field %d: %v", n, !want)
		}
	}
}

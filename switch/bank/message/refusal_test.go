package message_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// A frame that breaks off or holds nonsense is answered with what stands before the fault.
func TestRefusalRepeatsWhatCanBeRead(t *testing.T) {
	spec, err := message.Named("iso87_ascii")
	if err != nil {
		t.Fatal(err)
	}
	m := message.New(spec, message.FinancialRequest)
	number, err := pan.Parse("4000001234567899")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{m.SetPAN(number), m.SetDigits(3, "000000"), m.SetAmount(100),
		m.SetDigits(7, "1122093215"), m.SetSTAN(42), m.SetText(41, "T0000001"),
		m.SetText(42, "M00000000000001"), m.SetText(49, "156")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	answered := 0
	for n := range len(frame) {
		got, ok := message.Refusal(spec, frame[:n], "30")
		if _, typed := message.PeekType(spec, frame[:n]); typed != ok {
			t.Fatalf("cut to %d bytes: type %v, refusal %v", n, typed, ok)
		}
		if !ok {
			continue
		}
		answered++
		sum, err := message.Peek(spec, got)
		if err != nil || sum.MTI != message.FinancialResponse || string(sum.Response[:]) != "30" {
			t.Fatalf("cut to %d bytes: %v, %v", n, sum.MTI, err)
		}
		if n == len(frame)-1 && (sum.STAN != 42 || string(sum.Terminal[:]) != "T0000001" ||
			sum.Has(2) || sum.Has(49)) {
			t.Fatalf("refusal of all but the last byte: %+v", sum)
		}
	}
	if answered < len(frame)/2 {
		t.Fatalf("%d of %d were answered", answered, len(frame))
	}
	if _, ok := message.Refusal(spec, []byte("0210"+"8000000000000000"), "30"); ok {
		t.Error("an answer was answered")
	}
}

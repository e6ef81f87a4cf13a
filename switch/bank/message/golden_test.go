package message

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/mac"
)

// golden is one message of testdata/golden.json: of the test data of jPOS and moov, and
// synthetic ones that were not written by this package.
type golden struct {
	ID     string            `json:"id"`
	Spec   string            `json:"spec"`
	Hex    string            `json:"hex"`
	MTI    string            `json:"mti"`
	Fields map[string]string `json:"fields"`
	MAK    string            `json:"mak"`
}

func goldens(t testing.TB) []golden {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 17 {
		t.Fatalf("%d golden messages", len(all))
	}
	return all
}

func (g golden) open(t testing.TB) (*Spec, []byte) {
	t.Helper()
	s, err := Named(g.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return s, unhex(t, g.Hex)
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goldenFrame(t testing.TB, id string) (*Spec, []byte) {
	t.Helper()
	for _, g := range goldens(t) {
		if g.ID == id {
			return g.open(t)
		}
	}
	t.Fatalf("no golden message %s", id)
	return nil, nil
}

// Every golden message decodes to the fields that its source says and packs to the same
// bytes, by Parse and Append, by Peek, and by View and Writer.
func TestGolden(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.ID, func(t *testing.T) {
			s, frame := g.open(t)
			m, err := Parse(s, frame)
			if err != nil {
				t.Fatal(err)
			}
			if m.MTI().String() != g.MTI {
				t.Errorf("MTI %v, want %s", m.MTI(), g.MTI)
			}
			for key, want := range g.Fields {
				n, err := strconv.Atoi(key)
				if err != nil {
					t.Fatal(err)
				}
				if got, _ := m.Text(n); got != want {
					t.Errorf("field %d: %q, want %q", n, got, want)
				}
			}
			if got := m.Numbers(); len(got) != len(g.Fields) {
				t.Errorf("fields %v, want %d", got, len(g.Fields))
			}
			out, err := m.Append(nil)
			if err != nil || !bytes.Equal(out, frame) {
				t.Errorf("packed again: %X, %v", out, err)
			}
			sum, err := Peek(s, frame)
			if err != nil {
				t.Fatal(err)
			}
			sameValues(t, &sum, m)
			sameByView(t, s, frame, m)
			if g.MAK != "" {
				verifiesOnly(t, s, frame, g.MAK)
			}
		})
	}
}

// verifiesOnly: the MAC of the frame is right, and wrong after any change of a byte that it
// covers.
func verifiesOnly(t *testing.T, s *Spec, frame []byte, key string) {
	t.Helper()
	m, err := mac.New(mac.CUPTDES, unhex(t, key))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(s, frame, m); err != nil {
		t.Fatal(err)
	}
	for i := s.Envelope().Size(); i < len(frame); i++ {
		bad := bytes.Clone(frame)
		bad[i] ^= 1
		if Verify(s, bad, m) == nil {
			t.Errorf("byte %d changed and the MAC still holds", i)
		}
	}
}

// sameByView: a View shows what m holds, and a Writer that copies every field from it, or
// puts every value of m, writes what m packs to.
func sameByView(t *testing.T, s *Spec, frame []byte, m *Message) {
	t.Helper()
	var v View
	if err := v.Open(s, frame); err != nil {
		t.Fatal(err)
	}
	if v.MTI() != m.MTI() {
		t.Fatalf("view says %v", v.MTI())
	}
	sum, err := v.Summary()
	if err != nil {
		t.Fatal(err)
	}
	sameValues(t, &sum, m)
	copied, put := writerOf(m), writerOf(m)
	copied.Begin(nil, s, v.MTI())
	put.Begin([]byte("in front"), s, v.MTI())
	for n := range fieldMax + 2 {
		want, ok := m.Bytes(n)
		if ok != v.Has(n) || !bytes.Equal(v.Append(nil, n), want) {
			t.Fatalf("field %d by view differs", n)
		}
		copied.Copy(&v, n)
		if ok {
			put.Put(n, want)
		}
	}
	if m.body().second && m.body().set[1] == 0 {
		return // a Writer writes no empty bitmap
	}
	want, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := put.Finish()
	if err != nil || !bytes.Equal(got, append([]byte("in front"), want...)) {
		t.Fatalf("written: %X, %v, want %X", got, err, want)
	}
	got, err = copied.Finish()
	if err != nil || len(got) != len(want) {
		t.Fatalf("copied: %X, %v, want %X", got, err, want)
	}
	again, err := Parse(s, got)
	if err != nil {
		t.Fatal(err)
	}
	if packed, err := again.Append(nil); err != nil || !bytes.Equal(packed, want) {
		t.Fatalf("copied means another message: %v", err)
	}
}

func writerOf(m *Message) *Writer {
	return &Writer{TPDU: m.TPDU, Header: m.Header, CUPS: m.CUPS}
}

// What the fields of a purchase say, each by its own accessor.
func TestPurchaseByName(t *testing.T) {
	s, frame := goldenFrame(t, "pos-purchase-answer")
	m, err := Parse(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	amount, ok := m.Amount()
	stan, has := m.STAN()
	if amount != 250 || !ok || stan != 2 || !has || m.PAN().Digits() != "6225000000000000005" {
		t.Errorf("amount %d %v, STAN %d %v, PAN %v", amount, ok, stan, has, m.PAN())
	}
	if m.ProcessingCode() != "000000" || m.RRN() != "150615000002" || m.Terminal() != "00000001" ||
		m.Merchant() != "898310041110001" || m.ResponseCode() != "00" {
		t.Error("texts", m.ProcessingCode(), m.RRN(), m.Terminal(), m.Merchant(), m.ResponseCode())
	}
	if m.TPDU.Destination() != 0 || m.TPDU.Source() != 3 || m.Header.Requirement() != 0 {
		t.Errorf("TPDU %X, header %X", m.TPDU, m.Header)
	}
	if name, _ := m.Text(43); name[:15] != "城市一卡通" {
		t.Errorf("merchant name %q", name)
	}
	if _, ok := m.Digits(43); ok {
		t.Error("text given as digits")
	}
	if _, ok := m.Text(7); ok {
		t.Error("a field that is not there")
	}
	sum, err := Peek(s, frame)
	if err != nil {
		t.Fatal(err)
	}
	if string(sum.POSType[:]) != "22" || string(sum.Batch[:]) != "000001" ||
		string(sum.Network[:]) != "000" {
		t.Errorf("60: %s %s %s", sum.POSType, sum.Batch, sum.Network)
	}
}

package inspect

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Nothing that the spec hides stands in what is printed, whatever the form.
func TestDescribeHides(t *testing.T) {
	for _, g := range goldens(t) {
		o := formatOf(t, g.Spec)
		for _, asJSON := range []bool{false, true} {
			out, unread := describe(t, o, show{json: asJSON}, g.Hex+"\n")
			if unread > 0 || !strings.Contains(out, g.MTI) {
				t.Fatalf("%s: %s", g.ID, out)
			}
			for n, value := range g.Fields {
				var number int
				if _, err := fmt.Sscan(n, &number); err != nil {
					t.Fatal(err)
				}
				info, _ := o.Spec.Field(number)
				if info.Show == message.ShowAll || len(value) < 8 || number == 63 &&
					o.Spec.Dialect() == message.POS ||
					number == 48 {
					continue
				}
				if strings.Contains(out, value) || number == 2 && strings.Contains(out, value[6:]) {
					t.Errorf("%s: field %s is shown", g.ID, n)
				}
			}
			secrets := []string{g.Fields["2"], g.Fields["35"], g.Fields["52"]}
			if _, chip, ok := strings.Cut(g.Fields["55"], "9F2608"); ok {
				_, issuer, _ := strings.Cut(chip, "9F1013")
				secrets = append(secrets, chip[:16], issuer[:38])
			}
			for _, secret := range secrets {
				if secret != "" && strings.Contains(out, secret) {
					t.Errorf("%s: a secret is shown", g.ID)
				}
			}
		}
	}
}

// What is hidden is marked as such, with its length.
func TestDescribeMarksHidden(t *testing.T) {
	for _, g := range goldens(t) {
		o := formatOf(t, g.Spec)
		out, _ := describe(t, o, show{json: true}, g.Hex)
		var d Description
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		if !d.Masked || len(d.Details) != len(g.Fields) {
			t.Errorf("%s: masked %v, %d fields", g.ID, d.Masked, len(d.Details))
		}
		for _, f := range d.Details {
			info, _ := o.Spec.Field(f.Field)
			_, inFields := d.Fields[fmt.Sprint(f.Field)]
			hidden := info.Show == message.ShowHidden
			if f.Hidden != hidden || inFields == hidden || hidden && f.Value != "" || f.Name == "" {
				t.Errorf("%s: field %d: hidden %v", g.ID, f.Field, f.Hidden)
			}
		}
	}
}

// The sub-fields of a terminal's messages have names.
func TestDescribeParts(t *testing.T) {
	want := map[string][]string{
		"pos-sign-on-answer": {"PIN key", "(16 bytes not shown)", "network code", "approved"},
		"pos-purchase": {"financial request: purchase", "622500*********0005", "9F26",
			"(8 bytes)", "by", "chip"},
		"pos-purchase-answer": {"156 123.45", "城市一卡通", "financial answer: purchase"},
		"pos-settlement":      {"domestic debits", "foreign verdict", "operator"},
		"pos-upload":          {"row of type", "****"},
		"pos-void":            {"original trace number", "purchase void"},
		"cups-reversal":       {"original type", "0200", "reversal advice"},
	}
	for _, g := range goldens(t) {
		out, _ := describe(t, formatOf(t, g.Spec), show{}, g.Hex)
		for _, text := range want[g.ID] {
			if !strings.Contains(out, text) {
				t.Errorf("%s: no %q in\n%s", g.ID, text, out)
			}
		}
		delete(want, g.ID)
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
}

// isoTake describes and lints data in every format.
func take(t testing.TB, all []*Format, data []byte) (readable int) {
	t.Helper()
	for _, o := range all {
		d := o.Describe(Frame{Data: data}, false)
		_, ok := o.Lint(Frame{Data: data})
		if ok != (d.Error == "") {
			t.Error("describe and lint do not agree")
		}
		if ok {
			readable++
		}
		for _, asJSON := range []bool{false, true} {
			if err := d.Write(io.Discard, asJSON); err != nil {
				t.Error(err)
			}
		}
	}
	return readable
}

// Messages with a few bytes changed, cut or doubled are described, linted or refused, never
// a panic.
func TestTakesAnything(t *testing.T) {
	all, readable := formats(t), 0
	rng := rand.New(rand.NewPCG(8583, 1))
	samples := goldens(t)
	const rounds = 3000
	for range rounds {
		data, err := hex.DecodeString(samples[rng.IntN(len(samples))].Hex)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(3) {
			i := rng.IntN(len(data))
			switch rng.IntN(6) {
			case 0:
				data = append(data[:i:i], data[min(len(data), i+1+rng.IntN(4)):]...)
			case 1:
				data = append(data[:i:i], append([]byte{byte(rng.Uint32())}, data[i:]...)...)
			case 2:
				data[i] = byte(rng.Uint32())
			default:
				data[i] ^= 1 << rng.IntN(8)
			}
			if len(data) == 0 {
				break
			}
		}
		readable += take(t, all, data)
	}
	t.Logf("%d of %d could be read", readable, rounds)
	if readable < rounds/20 {
		t.Error("hardly one could be read")
	}
}

// Whatever arrives is described, linted or refused, never a panic.
func FuzzFrame(f *testing.F) {
	for _, g := range goldens(f) {
		frame, err := hex.DecodeString(g.Hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	all := formats(f)
	f.Fuzz(func(t *testing.T, data []byte) { take(t, all, data) })
}

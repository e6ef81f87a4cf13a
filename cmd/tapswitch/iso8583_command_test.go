package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// isoRun runs the command in this process.
func isoRun(t testing.TB, stdin string, args ...string) (out, problems string, code int) {
	t.Helper()
	c := iso8583Command()
	c.SilenceErrors, c.SilenceUsage = true, true
	var b, e bytes.Buffer
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&b)
	c.SetErr(&e)
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	var coded *exitError
	switch {
	case err == nil:
	case errors.As(err, &coded):
		code = coded.code
	default:
		code = exitFailed
	}
	if err != nil {
		e.WriteString(err.Error())
	}
	return b.String(), e.String(), code
}

// isoGolden is a message of the codec's tests.
type isoGolden struct {
	ID, Spec, Hex, MTI, MAK string
	Fields                  map[string]string
}

func isoGoldens(t testing.TB) []isoGolden {
	t.Helper()
	text, err := os.ReadFile("../../switch/bank/message/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []isoGolden
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func isoFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Nothing that the spec hides stands in what is printed, whatever the form.
func TestISODescribeHides(t *testing.T) {
	for _, g := range isoGoldens(t) {
		s, err := message.Named(g.Spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]string{nil, {"--json"}} {
			out, problems, code := isoRun(t, g.Hex+"\n", append([]string{"describe", "--spec",
				g.Spec}, form...)...)
			if code != 0 || !strings.Contains(out, g.MTI) {
				t.Fatalf("%s: %d %s", g.ID, code, problems)
			}
			for n, value := range g.Fields {
				var number int
				if _, err := fmt.Sscan(n, &number); err != nil {
					t.Fatal(err)
				}
				info, _ := s.Field(number)
				if info.Show == message.ShowAll || len(value) < 8 || number == 63 &&
					s.Dialect() == message.POS ||
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
func TestISODescribeMarksHidden(t *testing.T) {
	for _, g := range isoGoldens(t) {
		s, err := message.Named(g.Spec)
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ := isoRun(t, g.Hex, "describe", "--json", "--spec", g.Spec)
		var d isoMessage
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		if !d.Masked || len(d.Details) != len(g.Fields) {
			t.Errorf("%s: masked %v, %d fields", g.ID, d.Masked, len(d.Details))
		}
		for _, f := range d.Details {
			info, _ := s.Field(f.Field)
			_, inFields := d.Fields[fmt.Sprint(f.Field)]
			hidden := info.Show == message.ShowHidden
			if f.Hidden != hidden || inFields == hidden || hidden && f.Value != "" || f.Name == "" {
				t.Errorf("%s: field %d: hidden %v", g.ID, f.Field, f.Hidden)
			}
		}
	}
}

// What describe reveals, pack turns into the same bytes, from hex, base64 and raw, with a
// length and without.
func TestISORoundTrip(t *testing.T) {
	for _, g := range isoGoldens(t) {
		frame, err := hex.DecodeString(g.Hex)
		if err != nil {
			t.Fatal(err)
		}
		framed := append([]byte{byte(len(frame) >> 8), byte(len(frame))}, frame...)
		ascii := append([]byte(fmt.Sprintf("%04d", len(frame)+4)), frame...)
		for name, c := range map[string]struct {
			content string
			args    []string
			want    []byte
		}{
			"hex": {"# a message\n\n0x" + strings.ToLower(g.Hex) + "\n", nil, frame},
			"base64": {base64.StdEncoding.EncodeToString(frame) + "\n", []string{"--input",
				"base64"}, frame},
			"raw":    {string(frame), []string{"--input", "raw"}, frame},
			"length": {hex.EncodeToString(framed), nil, framed},
			"digits": {hex.EncodeToString(ascii), nil, ascii},
			"stream": {string(framed), []string{"--input", "raw", "--framing", "binary2"},
				framed},
			"digits stream": {string(ascii), []string{"--input", "raw", "--framing",
				"ascii4_inclusive"}, ascii},
		} {
			args := append([]string{"describe", "--json", "--reveal", "--spec", g.Spec}, c.args...)
			out, problems, code := isoRun(t, "", append(args, isoFile(t, "frames", c.content))...)
			if code != 0 || !strings.Contains(problems, "warning") {
				t.Fatalf("%s %s: %d %s", g.ID, name, code, problems)
			}
			back, problems, code := isoRun(t, out, "pack")
			if code != 0 || !strings.EqualFold(strings.TrimSpace(back),
				hex.EncodeToString(c.want)) {
				t.Fatalf("%s %s: %d %s", g.ID, name, code, problems)
			}
			raw, _, code := isoRun(t, out, "pack", "--raw", "--framing", "none")
			if code != 0 || raw != string(frame) {
				t.Errorf("%s %s: raw differs: %d", g.ID, name, code)
			}
		}
	}
}

// The sub-fields of a terminal's messages have names.
func TestISODescribeParts(t *testing.T) {
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
	for _, g := range isoGoldens(t) {
		out, _, _ := isoRun(t, g.Hex, "describe", "--spec", g.Spec)
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

// A frame that cannot be read is said with its line, the others are printed.
func TestISODescribeUnreadable(t *testing.T) {
	g := isoGoldens(t)[6]
	bad := g.Hex[:len(g.Hex)-4]
	text := g.Hex + "\n" + bad + "\nxyz\n# end\n" + g.Hex + "\n"
	out, problems, code := isoRun(t, text, "describe", "--spec", g.Spec, "--input", "hex")
	if code != exitFailed || strings.Count(out, "sign-on") != 2 || !strings.Contains(out,
		"stdin:2: cup_pos: field 63") ||
		!strings.Contains(out, "stdin:3: the line is not in hex") || !strings.Contains(problems,
		"2 frames") {
		t.Errorf("%d %s\n%s", code, problems, out)
	}
	for _, args := range [][]string{{"describe", "--spec", "none"}, {"describe", "--framing", "x"},
		{"describe", "--envelope", "x"}, {"describe", "no-such-file"}, {"lint", "--spec",
			"no-such.yaml"},
		{"describe", "--mac-scheme", "rot13", "--mac-key-file", "x"}, {"pack", "--mac-scheme",
			"x9.9"},
		{"pack", "--mac-scheme", "x9.9", "--mac-key-file", "no-such-file"}} {
		if _, _, code := isoRun(t, g.Hex, args...); code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
	long := strings.Repeat("60", isoLineMax)
	if out, _, code := isoRun(t, long+"\n"+g.Hex, "describe", "--input",
		"hex"); code != exitFailed ||
		!strings.Contains(out, "longer than any frame") {
		t.Errorf("%d %.200s", code, out)
	}
	if _, _, code := isoRun(t, long, "describe", "--input", "raw"); code != exitFailed {
		t.Errorf("a long file: %d", code)
	}
}

const isoTestKey = "0123456789ABCDEFFEDCBA9876543210"

func TestISOMAC(t *testing.T) {
	key := isoFile(t, "key", isoTestKey[:16]+"\n"+isoTestKey[16:]+"\n")
	other := isoFile(t, "key", strings.Repeat("11", 16))
	seen := 0
	for _, g := range isoGoldens(t) {
		if g.MAK == "" {
			continue
		}
		seen++
		for file, want := range map[string]string{key: "right", other: "wrong"} {
			flags := []string{"--spec", g.Spec, "--mac-scheme", "cup-tdes", "--mac-key-file", file}
			out, _, _ := isoRun(t, g.Hex, append([]string{"describe", "--json"}, flags...)...)
			if !strings.Contains(out, `"mac":"`+want+`"`) || strings.Contains(out, isoTestKey) {
				t.Errorf("%s: want %s", g.ID, want)
			}
			out, _, _ = isoRun(t, g.Hex, append([]string{"lint"}, flags...)...)
			if strings.Contains(out, "the MAC does not hold") != (want == "wrong") {
				t.Errorf("%s: lint, want %s: %s", g.ID, want, out)
			}
			doc, _, _ := isoRun(t, g.Hex, "describe", "--json", "--reveal", "--spec", g.Spec)
			without := strings.Replace(doc, `"64":"`+g.Fields["64"]+`"`, `"64":"0000000000000000"`,
				1)
			back, problems, code := isoRun(t, without, append([]string{"pack"}, flags...)...)
			if code != 0 || strings.EqualFold(strings.TrimSpace(back), g.Hex) != (want == "right") {
				t.Errorf("%s: packed with a MAC that is not %s: %d %s", g.ID, want, code, problems)
			}
		}
	}
	if seen == 0 {
		t.Error("no message with a MAC")
	}
	notHex := isoFile(t, "key", "C0FFEE-C0FFEE")
	_, problems, code := isoRun(t, "", "pack", "--mac-scheme", "cup-tdes", "--mac-key-file", notHex)
	if code != exitUsage || strings.Contains(problems, "C0FFEE") {
		t.Errorf("%d %s", code, problems)
	}
}

const isoEchoJSON = `{"tpdu":"6000030000","header":"603100310003","mti":"0820",
 "fields":{"11":"000213","41":"00000021","42":"898310041110001","60":"00000007301"}}`

const isoEchoYAML = `tpdu: "6000030000"
header: "603100310003"
mti: "0820"
fields:
  11: "000213"
  41: "00000021"
  42: "hex:383938333130303431313130303031"
  60: "00000007301"
`

func TestISOPack(t *testing.T) {
	const want = "600003000060310031000308200020000000C000100002133030303030303231383938333130303431" +
		"313130303031001100000007301" + "0\n"
	for name, text := range map[string]string{"JSON": isoEchoJSON, "list": "[" + isoEchoJSON + "]",
		"YAML": isoEchoYAML, "lines": " \n" + isoEchoJSON + "\n"} {
		if out, problems, code := isoRun(t, text, "pack"); code != 0 || out != want {
			t.Errorf("%s: %d %s %s", name, code, out, problems)
		}
	}
	out, _, _ := isoRun(t, isoEchoJSON, "pack", "--framing", "binary2")
	if out != "0037"+want {
		t.Errorf("with a length: %s", out)
	}
	out, _, code := isoRun(t, isoEchoJSON+isoEchoJSON, "pack", "--envelope", "tpdu")
	if code != 0 || out != strings.Repeat(want[:10]+want[22:], 2) {
		t.Errorf("without a header: %s", out)
	}
	out, problems, code := isoRun(t,
		`{"spec":"cups","header":{"destination":"00010000","source":"03060000"},`+
			`"mti":"0820","fields":{"7":"0615083000","11":"000001","70":"301"}}`, "pack",
		"--framing",
		"ascii4")
	if code != 0 || !strings.HasPrefix(out, "30303835") || !strings.Contains(out,
		"3033303630303030202020") {
		t.Errorf("cups: %d %s %s", code, out, problems)
	}
	if out, _, code := isoRun(t, "\n", "pack"); code != 0 || out != "" {
		t.Errorf("nothing: %d %s", code, out)
	}
}

// What is no message is refused without showing it.
func TestISOPackRefuses(t *testing.T) {
	const canary = "4000000000000002"
	for name, text := range map[string]string{
		"number":         `{"mti":"0800","fields":{"2":` + canary + `}}`,
		"type a number":  `{"mti":800,"fields":{"2":"` + canary + `"}}`,
		"no type":        `{"fields":{"2":"` + canary + `"}}`,
		"wrong type":     `{"mti":"8x00","fields":{"2":"` + canary + `"}}`,
		"unknown member": `{"mti":"0800","card":"` + canary + `"}`,
		"unknown field":  `{"mti":"0800","fields":{"65":"` + canary + `"}}`,
		"no field":       `{"mti":"0800","fields":{"two":"` + canary + `"}}`,
		"too long":       `{"mti":"0800","fields":{"2":"` + canary + canary + `"}}`,
		"letters":        `{"mti":"0800","fields":{"2":"` + canary + `x"}}`,
		"null":           `{"mti":"0800","fields":{"2":null,"41":"` + canary + `"}}`,
		"hex":            `{"mti":"0800","fields":{"2":"hex:` + canary + `x"}}`,
		"masked":         `{"masked":true,"mti":"0800","fields":{"11":"000001"}}`,
		"unread":         `{"error":"short"}`,
		"tpdu":           `{"tpdu":"` + canary + `","mti":"0800","fields":{"11":"000001"}}`,
		"header":         `{"header":"` + canary + `","mti":"0800","fields":{"11":"000001"}}`,
		"framing":        `{"framing":"morse","mti":"0800","fields":{"11":"000001"}}`,
		"spec file":      `{"spec":"../x.yaml","mti":"0800","fields":{"11":"000001"}}`,
		"spec":           `{"spec":"x","mti":"0800","fields":{"11":"000001"}}`,
		"syntax":         `{"mti":"0800","fields":{"2":"` + canary,
		"after it":       isoEchoJSON + "]",
		"open list":      "[" + isoEchoJSON,
		"no mapping":     canary,
		"YAML":           "mti: 0800\nfields: {2: " + canary + "}",
		"not YAML":       "mti: [",
	} {
		out, problems, code := isoRun(t, text, "pack")
		if code == 0 || strings.Contains(problems, canary) || problems == "" ||
			strings.Contains(out, canary) {
			t.Errorf("%s: %d %s", name, code, problems)
		}
	}
}

func TestISOCheck(t *testing.T) {
	const own = "../../switch/bank/vector/testdata/messages.json"
	out, problems, code := isoRun(t, "", "check", own)
	if code != 0 || !strings.Contains(out, "iso8583") {
		t.Fatalf("%d %s %s", code, out, problems)
	}
	text, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := bytes.Replace(text, []byte(`"000213"`), []byte(`"000214"`), 1)
	spoilt = append(bytes.TrimRight(spoilt, "]\n"),
		`,{"id":"m","area":"mac"},{"id":"x","area":"iso8583"}]`...)
	out, _, code = isoRun(t, string(spoilt), "check", "--json", "-")
	var report struct {
		Areas                                  map[string]struct{ Failed, Unsupported int }
		Passed, Failed, Unsupported, Elsewhere int
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if code != exitBreaks || report.Failed != 1 || report.Unsupported != 1 ||
		report.Elsewhere != 1 ||
		report.Areas["iso8583"].Failed != 1 || report.Passed < 20 {
		t.Errorf("%d %+v", code, report)
	}
	out, _, _ = isoRun(t, string(spoilt), "check", "-")
	if !strings.Contains(out, "1 of other areas are checked elsewhere") || !strings.Contains(out,
		"differs") {
		t.Error(out)
	}
	if _, _, code := isoRun(t, `{"pan":"4000000000000002"}`, "check", "-"); code != exitUsage {
		t.Errorf("no vectors: %d", code)
	}
}

func TestISOSpecs(t *testing.T) {
	out, _, code := isoRun(t, "", "specs")
	for _, name := range message.Names() {
		if code != 0 || !strings.Contains(out, name) {
			t.Errorf("no %s in %s", name, out)
		}
		table, _, code := isoRun(t, "", "specs", name)
		if code != 0 || !strings.Contains(table, "n8..19") || !strings.Contains(table,
			"first 6, last 4") {
			t.Errorf("%s: %d %s", name, code, table)
		}
	}
	own := isoFile(t, "own.yaml",
		"name: own\nbase: cup_pos\nfields:\n  63: ~\n  5: {name: mine, format: x+n8}\n")
	out, _, code = isoRun(t, "", "specs", "--json", own)
	if code != 0 || !strings.Contains(out, `"x+n8"`) || strings.Contains(out, `"field": 63`) {
		t.Errorf("%d %s", code, out)
	}
	if _, _, code := isoRun(t, "", "specs", "nothing"); code != exitNotFound {
		t.Errorf("unknown spec: %d", code)
	}
	if out, _, _ := isoRun(t, "", "specs", "--json"); !strings.HasPrefix(out, "[") {
		t.Error(out)
	}
}

// isoFormats are all built-in formats.
func isoFormats(t testing.TB) (all []*isoFormat) {
	t.Helper()
	for _, name := range message.Names() {
		o, err := (&isoFlags{spec: name, framing: "auto"}).open()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// isoTake describes and lints data in every format.
func isoTake(t testing.TB, formats []*isoFormat, data []byte) (readable int) {
	t.Helper()
	for _, o := range formats {
		d := o.describe(isoFrame{data: data}, false)
		_, ok := o.lint(isoFrame{data: data})
		if ok != (d.Error == "") {
			t.Error("describe and lint do not agree")
		}
		if ok {
			readable++
		}
		for _, asJSON := range []bool{false, true} {
			if err := isoPrintMessage(io.Discard, d, asJSON); err != nil {
				t.Error(err)
			}
		}
	}
	return readable
}

// Messages with a few bytes changed, cut or doubled are described, linted or refused, never
// a panic.
func TestISOTakesAnything(t *testing.T) {
	formats, readable := isoFormats(t), 0
	rng := rand.New(rand.NewPCG(8583, 1))
	goldens := isoGoldens(t)
	const rounds = 3000
	for range rounds {
		data, err := hex.DecodeString(goldens[rng.IntN(len(goldens))].Hex)
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
		readable += isoTake(t, formats, data)
	}
	t.Logf("%d of %d could be read", readable, rounds)
	if readable < rounds/20 {
		t.Error("hardly one could be read")
	}
}

// Whatever arrives is described, linted or refused, never a panic.
func FuzzISO(f *testing.F) {
	for _, g := range isoGoldens(f) {
		frame, err := hex.DecodeString(g.Hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	formats := isoFormats(f)
	f.Fuzz(func(t *testing.T, data []byte) { isoTake(t, formats, data) })
}

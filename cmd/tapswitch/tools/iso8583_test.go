package tools

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// isoRun runs the command and returns what it printed, what it complained of and its exit code.
func isoRun(t testing.TB, stdin string, args ...string) (out, problems string, code int) {
	t.Helper()
	var b, e bytes.Buffer
	code, err := execute(t.Context(), ISO8583(), strings.NewReader(stdin), &b, &e, args...)
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
	text, err := os.ReadFile("../../../switch/bank/message/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []isoGolden
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func isoTemp(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A frame that cannot be read is said with its line, the others are printed.
func TestISODescribeUnreadable(t *testing.T) {
	g := isoGoldens(t)[6]
	bad := g.Hex[:len(g.Hex)-4]
	text := g.Hex + "\n" + bad + "\nxyz\n# end\n" + g.Hex + "\n"
	out, problems, code := isoRun(t, text, "describe", "--spec", g.Spec, "--input", "hex")
	if code != cli.ExitFailed || strings.Count(out, "sign-on") != 2 || !strings.Contains(out,
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
		if _, _, code := isoRun(t, g.Hex, args...); code != cli.ExitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
	long := strings.Repeat("60", 4*message.FrameMax)
	if out, _, code := isoRun(t, long+"\n"+g.Hex, "describe", "--input",
		"hex"); code != cli.ExitFailed ||
		!strings.Contains(out, "longer than any frame") {
		t.Errorf("%d %.200s", code, out)
	}
	if _, _, code := isoRun(t, long, "describe", "--input", "raw"); code != cli.ExitFailed {
		t.Errorf("a long file: %d", code)
	}
}

// What describe reveals, pack turns into the same bytes; describe warns of it.
func TestISORoundTrip(t *testing.T) {
	for _, g := range isoGoldens(t) {
		frame, err := hex.DecodeString(g.Hex)
		if err != nil {
			t.Fatal(err)
		}
		framed := append([]byte{byte(len(frame) >> 8), byte(len(frame))}, frame...)
		for name, c := range map[string]struct {
			content string
			args    []string
			want    []byte
		}{
			"hex": {g.Hex + "\n", nil, frame},
			"stream": {string(framed), []string{"--input", "raw", "--framing", "binary2"},
				framed},
		} {
			args := append([]string{"describe", "--json", "--reveal", "--spec", g.Spec}, c.args...)
			out, problems, code := isoRun(t, "", append(args, isoTemp(t, "frames", c.content))...)
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

// A clean message is exit code 0, one with findings 6, one that cannot be read 1.
func TestISOLintExitCodes(t *testing.T) {
	const echo = "600003000060310031000308200020000000C000100002133030303030303231383938333130303431" +
		"3131303030310011000000073010"
	for frame, want := range map[string]int{echo: 0, echo[:len(echo)-1] + "F": cli.ExitBreaks,
		echo[:60]: cli.ExitFailed} {
		for _, form := range []string{"--json", "--json=false"} {
			out, problems, code := isoRun(t, frame+"\n", "lint", form)
			if code != want || (out == "") != (want == 0) || (problems == "") != (want == 0) {
				t.Errorf("want %d, is %d %s %s", want, code, out, problems)
			}
		}
	}
}

// A message that is refused is named with its file and number, and nothing of it is shown.
func TestISOPackRefuses(t *testing.T) {
	const canary = "4000000000000002"
	for _, text := range []string{`{"mti":"0800","fields":{"2":` + canary + `}}`, "mti: [",
		`{"mti":"0800","fields":{"2":"` + canary + `x"}}`} {
		out, problems, code := isoRun(t, text, "pack")
		if code != cli.ExitFailed || out != "" || strings.Contains(problems, canary) ||
			!strings.HasPrefix(problems, "stdin: message 1: ") {
			t.Errorf("%d %s %s", code, out, problems)
		}
	}
}

const isoTestKey = "0123456789ABCDEFFEDCBA9876543210"

func TestISOMAC(t *testing.T) {
	key := isoTemp(t, "key", isoTestKey[:16]+"\n"+isoTestKey[16:]+"\n")
	other := isoTemp(t, "key", strings.Repeat("11", 16))
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
	notHex := isoTemp(t, "key", "C0FFEE-C0FFEE")
	_, problems, code := isoRun(t, "", "pack", "--mac-scheme", "cup-tdes", "--mac-key-file", notHex)
	if code != cli.ExitUsage || strings.Contains(problems, "C0FFEE") {
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

func TestISOCheck(t *testing.T) {
	const own = "../../../switch/bank/vector/testdata/messages.json"
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
	if code != cli.ExitBreaks || report.Failed != 1 || report.Unsupported != 1 ||
		report.Elsewhere != 1 ||
		report.Areas["iso8583"].Failed != 1 || report.Passed < 20 {
		t.Errorf("%d %+v", code, report)
	}
	out, _, _ = isoRun(t, string(spoilt), "check", "-")
	if !strings.Contains(out, "1 of other areas are checked elsewhere") || !strings.Contains(out,
		"differs") {
		t.Error(out)
	}
	if _, _, code := isoRun(t, `{"pan":"4000000000000002"}`, "check", "-"); code != cli.ExitUsage {
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
	own := isoTemp(t, "own.yaml",
		"name: own\nbase: cup_pos\nfields:\n  63: ~\n  5: {name: mine, format: x+n8}\n")
	out, _, code = isoRun(t, "", "specs", "--json", own)
	if code != 0 || !strings.Contains(out, `"x+n8"`) || strings.Contains(out, `"field": 63`) {
		t.Errorf("%d %s", code, out)
	}
	if _, _, code := isoRun(t, "", "specs", "nothing"); code != cli.ExitNotFound {
		t.Errorf("unknown spec: %d", code)
	}
	if out, _, _ := isoRun(t, "", "specs", "--json"); !strings.HasPrefix(out, "[") {
		t.Error(out)
	}
}

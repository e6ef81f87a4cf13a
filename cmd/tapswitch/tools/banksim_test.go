package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// simulate runs a command and returns what it printed, with its error, and its exit code.
func simulate(ctx context.Context, c *cobra.Command, errOut io.Writer, args ...string) (string,
	int) {
	var out bytes.Buffer
	code, err := execute(ctx, c, strings.NewReader(""), &out, errOut, args...)
	if err != nil {
		out.WriteString(err.Error())
	}
	return out.String(), code
}

// simBank is a bank-sim that a test has started.
type simBank struct {
	address string
	stop    func() (out string, code int)
}

func startBankSim(t *testing.T, args ...string) simBank {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	type result struct {
		out  string
		code int
	}
	done := make(chan result, 1)
	go func() {
		out, code := simulate(ctx, BankSim(), w, append([]string{"--listen", "127.0.0.1:0"},
			args...)...)
		_ = w.CloseWithError(errors.New("bank-sim has ended: " + out))
		done <- result{out, code}
	}()
	line := make([]byte, 256)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(string(line[:n]))
	stop := func() (string, int) {
		cancel()
		got := <-done
		return got.out, got.code
	}
	t.Cleanup(cancel)
	return simBank{address, stop}
}

const simKey = "0123456789ABCDEFFEDCBA9876543210"

// The two simulators against each other: a day with MACs and PINs that balances, both reports
// as JSON, exit codes 0, and no card number in the bank's report.
func TestBankSimAndPOSSim(t *testing.T) {
	book := filepath.Join(t.TempDir(), "book.json")
	bank := startBankSim(t, "--spec", "cup_pos", "--framing", "binary2", "--master-key", simKey,
		"--pin", "1234",
		"--approve", "9000", "--codes", "51,54", "--twice", "100", "--report", book)
	out, code := simulate(t.Context(), POSSim(), io.Discard, "--target", bank.address,
		"--terminals", "3",
		"--transactions", "50", "--bins", "622260,400000", "--master-key", simKey, "--pin", "1234",
		"--json")
	var day struct {
		Kinds map[string]struct{ Approved, Declined int }
		Total struct {
			Contradictions int
			ExtraAnswers   int `json:"extra_answers"`
		}
	}
	if err := json.Unmarshal([]byte(out), &day); err != nil || code != 0 ||
		day.Kinds["purchase"].Approved == 0 ||
		day.Kinds["purchase"].Declined == 0 || day.Total.ExtraAnswers == 0 {
		t.Errorf("code %d, %v\n%s", code, err, out)
	}
	out, code = bank.stop()
	var sum struct {
		Counts struct {
			SignOns int            `json:"sign_ons"`
			Codes   map[string]int `json:"codes"`
		}
		Posted int64 `json:"posted_minor"`
	}
	if err := json.Unmarshal([]byte(out), &sum); err != nil || code != 0 || sum.Counts.SignOns != 3 ||
		sum.Posted <= 0 || sum.Counts.Codes["54"] == 0 {
		t.Errorf("code %d, %v\n%s", code, err, out)
	}
	text, err := os.ReadFile(book)
	if err != nil || !bytes.Contains(text, []byte(`"entries"`)) ||
		bytes.Contains(text, []byte(`622260`)) {
		t.Errorf("%v: %d bytes", err, len(text))
	}
}

// A bank that answers wrong is a contradiction: exit code 6, told in words.
func TestPOSSimContradiction(t *testing.T) {
	bank := startBankSim(t, "--spec", "cup_pos", "--framing", "binary2", "--wrong-amount", "5000")
	out, code := simulate(t.Context(), POSSim(), io.Discard, "--target", bank.address,
		"--transactions", "4",
		"--mix", "purchase=1", "--timeout", "30ms", "--retry-delay", "1ms", "--retries", "20")
	if code != cli.ExitBreaks || !strings.Contains(out, "another amount") ||
		!strings.Contains(out, "purchase") {
		t.Errorf("code %d\n%s", code, out)
	}
	bank.stop()
}

func TestBankSimBehaviourFile(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	text := "decline: 10000\ncodes: ['62']\nlate_after: 40s\nrates:\n  late: 1\n" +
		"rules:\n- {kind: balance, code: '57'}\n"
	if err := os.WriteFile(good, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := readBehaviour(good)
	if err != nil || b.Decline != 10000 || b.Codes[0] != "62" ||
		time.Duration(b.LateAfter) != 40*time.Second ||
		len(b.Rules) != 1 {
		t.Errorf("%v %+v", err, b)
	}
	bank := startBankSim(t, "--spec", "cup_pos", "--framing", "binary2", "--behaviour", good,
		"--late", "0")
	out, code := simulate(t.Context(), POSSim(), io.Discard, "--target", bank.address,
		"--transactions", "5",
		"--mix", "purchase=1", "--json")
	if code != 0 || !strings.Contains(out, `"62": 5`) {
		t.Errorf("code %d\n%s", code, out)
	}
	bank.stop()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("declin: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{bad, filepath.Join(dir, "none.yaml")} {
		out, code := simulate(t.Context(), BankSim(), io.Discard, "--behaviour", file)
		if code != cli.ExitUsage || !strings.Contains(out, file) {
			t.Errorf("code %d %s", code, out)
		}
	}
}

func TestBankSimRefuses(t *testing.T) {
	for _, args := range [][]string{{"--spec", "none"}, {"--framing", "none"}, {"--late", "10001"},
		{"--mac", "none:00"},
		{"--mac", "x9.19:" + simKey[:6] + "G"}, {"--mac", "x9.19:" + simKey[:8]}, {"--master-key",
			"xyz"},
		{"--pin-key", "xyz"}, {"--approve", "-1"}, {"argument"}} {
		out, code := simulate(t.Context(), BankSim(), io.Discard, append([]string{"--listen",
			"127.0.0.1:0"}, args...)...)
		if code != cli.ExitUsage || strings.Contains(out, simKey[:6]) {
			t.Errorf("%v: code %d %s", args, code, out)
		}
	}
	for name := range simSchemes() {
		key := simKey
		if name == "x9.9" || name == "cbc-des" || name == "cup-des" {
			key = simKey[:16]
		}
		if _, err := parseSchemeKey(name + ":" + key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

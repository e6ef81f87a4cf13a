package tools

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// The file that the switch reads, alone and together with a run.
func TestPOSSimTerminalsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "terminals.csv")
	out, code := simulate(t.Context(), POSSim(), io.Discard, "--terminals", "2",
		"--first-terminal", "7",
		"--terminals-file", file, "--master-key-name", "tmk-test")
	text, err := os.ReadFile(file)
	want := "terminal,merchant,mcc,payee,master_key\n00000007,"
	if code != 0 || out != "" || err != nil || !strings.HasPrefix(string(text), want) ||
		strings.Count(string(text), "tmk-test\n") != 2 {
		t.Errorf("code %d %v %q %s", code, err, out, text)
	}
	out, code = simulate(t.Context(), POSSim(), io.Discard, "--terminals-file",
		filepath.Join(file, "x"))
	if code != cli.ExitFailed || !strings.Contains(out, "terminals file") {
		t.Errorf("code %d %s", code, out)
	}
}

func TestPOSSimRefuses(t *testing.T) {
	for _, args := range [][]string{{}, {"--spec", "cups"}, {"--bins", "1"}, {"--mix", "gift=1"},
		{"--mix", "void"},
		{"--tpdu", "60"}, {"--master-key", "0G"}, {"--terminals", "0"}, {"--sign-on", "002"},
		{"argument"}} {
		if len(args) > 0 {
			args = append(args, "--target", "127.0.0.1:1")
		}
		if out, code := simulate(t.Context(), POSSim(), io.Discard, args...); code != cli.ExitUsage {
			t.Errorf("%v: code %d %s", args, code, out)
		}
	}
}

// A switch that is not there: exit code 1, and an interrupted run ends.
func TestPOSSimNobodyThere(t *testing.T) {
	args := []string{"--target", "127.0.0.1:1", "--retries", "2", "--retry-delay", "1ms"}
	if out, code := simulate(t.Context(), POSSim(), io.Discard, args...); code != cli.ExitFailed ||
		!strings.Contains(out, "sign-on of terminal 00000001") {
		t.Errorf("code %d\n%s", code, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, code := simulate(ctx, POSSim(), io.Discard, args...); code != cli.ExitFailed ||
		!strings.Contains(out, "canceled") {
		t.Errorf("code %d\n%s", code, out)
	}
}

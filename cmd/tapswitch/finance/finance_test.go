package finance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/ledger/settle/terms"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{{nil, 0}, {errors.New("x"), cli.ExitFailed}, {fmt.Errorf("x: %w", day.ErrBreaks), cli.ExitBreaks},
		{day.ErrOpen, cli.ExitConflict}, {day.ErrUnknown, cli.ExitNotFound}, {terms.ErrFile, cli.ExitUsage}} {
		if got := cli.Code(code(tt.err)); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestParsePosting(t *testing.T) {
	if p, err := parsePosting("operator/M5=-120"); err != nil ||
		p != (txn.Posting{Account: "operator/M5", Amount: -120}) {
		t.Errorf("%v %v", p, err)
	}
	for _, bad := range []string{"", "a", "a=", "a=1.5", "a=99999999999999999999", "a=9007199254740992"} {
		if _, err := parsePosting(bad); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestMoment(t *testing.T) {
	for _, tt := range []struct {
		day, at, position string
		good              bool
	}{{"2026-03-01", "", "", true}, {"", "2026-03-01T12:00:00+08:00", "", true},
		{"", "", "b017-3-42", true}, {"", "", "", false}, {"2026-03-01", "", "b017-3-42", false},
		{"", "noon", "", false}, {"", "", "17", false}, {"2026-02-30", "", "", false}} {
		if _, err := moment(&desk{day: tt.day}, tt.at, tt.position); (err == nil) != tt.good {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestAgreedFiles: a flag before the finance directory before what the binary carries.
func TestAgreedFiles(t *testing.T) {
	dir := t.TempDir()
	d := &desk{}
	_, _, builtIn, err := d.agreed(dir)
	if err != nil {
		t.Fatal(err)
	}
	of, err := terms.BuiltIn(terms.TermsFile)
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(of.Text), "bps: 30", "bps: 31", 1)
	if err := os.WriteFile(filepath.Join(dir, terms.TermsFile), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	_, with, hash, err := d.agreed(dir)
	if err != nil || with.Fees[0].BPS != 31 || hash == builtIn {
		t.Errorf("of the directory: %v", err)
	}
	d.terms = filepath.Join(dir, "none.yaml")
	if _, _, _, err := d.agreed(dir); cli.Code(err) != cli.ExitUsage {
		t.Errorf("a file that is not there: %v", err)
	}
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("scheme: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.terms = bad
	if _, _, _, err := d.agreed(dir); cli.Code(code(err)) != cli.ExitUsage {
		t.Errorf("a bad file: %v", err)
	}
}

// TestCertifier: the first certificate makes a key that only its owner may read, and others use it.
func TestCertifier(t *testing.T) {
	d, p := &desk{by: "a"}, &Place{Dir: t.TempDir()}
	first, err := d.certifier(p, "city")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.Dir, "certificate.key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v", err)
	}
	second, err := d.certifier(p, "city")
	if err != nil || string(second.Signer.PublicKey()) != string(first.Signer.PublicKey()) {
		t.Errorf("another key: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.certifier(p, "city"); err == nil {
		t.Error("a key that others may read was taken")
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "short"), []byte("00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.key = filepath.Join(p.Dir, "short")
	if _, err := d.certifier(p, "city"); err == nil {
		t.Error("a short key was taken")
	}
}

// A year beyond the built-in ones comes from a file, and the message says how.
func TestCalendarFile(t *testing.T) {
	built, err := calendar("")
	if err != nil {
		t.Fatal(err)
	}
	_, err = built.AddWorkingDays(20180901, 1)
	if err = code(fmt.Errorf("value date: %w", err)); cli.Code(err) != cli.ExitUsage ||
		!strings.Contains(err.Error(), "--set scheme.calendar_file=FILE") {
		t.Errorf("%d %v", cli.Code(err), err)
	}
	path := filepath.Join(t.TempDir(), "years.yaml")
	if err := os.WriteFile(path, []byte(smallestCalendar), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := calendar(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := own.AddWorkingDays(20180901, 1); err != nil || got != 20180903 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := calendar(path + "x"); cli.Code(err) != cli.ExitUsage {
		t.Errorf("a file that is not there: %v", err)
	}
}

// What a user wrote wrongly is a usage error in words of a user.
func TestUsageErrors(t *testing.T) {
	if _, err := moment(&desk{}, "yesterday", ""); err == nil ||
		!strings.Contains(err.Error(), `--at: "yesterday": want an instant such as`) {
		t.Errorf("%v", err)
	}
	for _, err := range []error{fmt.Errorf("%w: %w", day.ErrAdjustment, chart.ErrUnbalanced), chart.ErrAccount} {
		if got := cli.Code(code(err)); got != cli.ExitUsage {
			t.Errorf("%v: %d", err, got)
		}
	}
	c := trialCommand(noSource{})
	if f := c.Flags().Lookup("day"); strings.Contains(f.Usage, "must") {
		t.Error(f.Usage)
	}
}

// noSource has no flags and no switch.
type noSource struct{}

func (noSource) Add(*cobra.Command) {}

func (noSource) Open(context.Context) (*Place, error) { return nil, errors.New("no switch") }

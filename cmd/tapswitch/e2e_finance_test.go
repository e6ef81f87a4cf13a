package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/finance"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A business day of the real binary: it is cut over while traffic runs, closed, settled,
// certified, verified off line and tampered with.

const (
	e2eFinanceSeed = 8101
	// e2eUntilCutOff is longer than half the traffic takes, and shorter than the five minutes by
	// which clocks may differ.
	e2eUntilCutOff = 240 * time.Second
)

// e2eFinance is a switch with its finance desk.
type e2eFinance struct {
	t     *testing.T
	dir   string
	day   string
	extra []string // settings that finance's commands need too
}

// run runs a command of finance and expects an exit code.
func (f *e2eFinance) run(code int, env []string, args ...string) e2eResult {
	f.t.Helper()
	args = append(append(args, "--data", f.dir), f.extra...)
	r := e2eCommand(f.t, env, "", args...)
	if r.code != code {
		f.t.Fatalf("%v: exit code %d, want %d; said %s", args, r.code, code, r.short())
	}
	return r
}

// into reads what a command printed as JSON.
func (f *e2eFinance) into(r e2eResult, v any) {
	f.t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), v); err != nil {
		f.t.Fatalf("no JSON: %v: %s", err, r.short())
	}
}

// e2eCutOver are settings by which the business day ends some minutes from now by the switch's
// clock, and the file that moves that clock by less than a terminal's clock may be off. Noon is never far in the zone, so that no midnight
// comes between.
func e2eCutOver(t *testing.T) (settings []string, clock string, date txn.BusinessDate) {
	t.Helper()
	now := time.Now().UTC()
	offset := 12 - now.Hour()
	zone := time.FixedZone("", offset*3600)
	local := now.In(zone)
	passed := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute +
		time.Duration(local.Second())*time.Second
	cutOff := passed + e2eUntilCutOff
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	clock = filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(clock, []byte("0s"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--set", fmt.Sprintf("scheme.zone=%c%02d:00", sign, offset),
		"--set", "scheme.cut_off=" + cutOff.String(), "--set", "gate.clock_skew=300s"}, clock, txn.DateOf(now, zone, cutOff)
}

// TestE2EFinanceDay: the cut-over comes in the middle of the traffic; the day's certificate holds
// what the warehouse holds, and nothing of it can be changed unseen.
func TestE2EFinanceDay(t *testing.T) {
	t.Parallel()
	e2eBinary(t) // the minutes until the cut-off are not for building
	p := e2ePlan(t, e2eSeed(t, e2eFinanceSeed), 60)
	settings, clock, date := e2eCutOver(t)
	f := &e2eFinance{t: t, dir: filepath.Join(t.TempDir(), "switch"), day: date.String(), extra: settings}
	n := newE2ENode(t, f.dir, append(e2eFlags(t, p), settings...)...)
	if err := n.start(clockFileEnv + "=" + clock); err != nil {
		t.Fatal(err)
	}
	c := newE2ECity(t, p, n, true)
	f.run(cli.ExitConflict, nil, "day", "close", "--day", f.day).expect(t, "not closed")
	c.hook(0.3, func(context.Context) error {
		// Replies take their time while the day is cut over, so that traffic is left for after it.
		c.front.Inject(faultproxy.Fault{Kind: faultproxy.Delay, Wait: 100 * time.Millisecond})
		defer c.front.Clear()
		begun := func() (int, error) {
			text, err := os.ReadFile(n.logPath())
			return bytes.Count(text, []byte("business date begun")), err
		}
		before, err := begun()
		if err == nil {
			err = os.WriteFile(clock, []byte((e2eUntilCutOff + 10*time.Second).String()), 0o600)
		}
		return errors.Join(err, e2eAwait(e2eStopMax, func() (bool, error) {
			now, err := begun()
			return now > before, err
		}))
	})
	out := c.drive()
	if len(out.Mismatches) > 0 {
		t.Errorf("answers other than planned: %v", out.Mismatches)
	}
	f.run(0, nil, "day", "close", "--day", f.day, "--wait", "50s", "--by", "li.na").expect(t, "closed")
	f.killed()
	run := f.settled(n)
	f.certified(run)
	f.tampered(run)
	c.finish(out, n.parquet)
}

// killed ends the settlement in the middle: nothing of it is a run.
func (f *e2eFinance) killed() {
	f.t.Helper()
	args := append([]string{"settle", "run", "--day", f.day, "--data", f.dir}, f.extra...)
	r := e2eCommand(f.t, []string{failpointEnv + "=finance_file:5"}, "", args...)
	if r.code == 0 {
		f.t.Error("the run was not killed")
	}
	runs, err := filepath.Glob(filepath.Join(f.dir, "finance", "runs", f.day, "0*"))
	if err != nil || len(runs) > 0 {
		f.t.Errorf("half a run: %v %v", runs, err)
	}
}

// settled settles twice and holds the run against the warehouse.
func (f *e2eFinance) settled(n *e2eNode) *day.Run {
	f.t.Helper()
	var first, second day.Run
	f.into(f.run(0, nil, "settle", "run", "--day", f.day, "-o", "json"), &first)
	f.into(f.run(0, nil, "settle", "run", "--day", f.day, "-o", "json"), &second)
	if !first.Fresh || second.Fresh || first.Dir != second.Dir || first.Manifest.Breaks != 0 {
		f.t.Errorf("runs %+v %+v", first, second)
	}
	var records, approved int64
	after := 0
	for _, r := range n.parquet() {
		switch {
		case r.BusinessDate.String() != f.day:
			after++
		default:
			records++
			if r.Outcome == txn.Approved && !r.Kind.IsMarker() {
				approved++
			}
		}
	}
	if first.Manifest.Records != records || first.Manifest.Approved != approved || approved < 50 ||
		after < 20 {
		f.t.Errorf("run of %d records, %d approved; warehouse %d, %d, and %d of other days",
			first.Manifest.Records, first.Manifest.Approved, records, approved, after)
	}
	for _, s := range first.Manifest.Control {
		if s.Debit != s.Credit || s.OrderedPay-s.Collected != s.Net {
			f.t.Errorf("control totals %+v", s)
		}
	}
	f.run(cli.ExitBreaks, nil, "settle", "funds", "--day", f.day).expect(f.t, "statement")
	return &first
}

// verify are the arguments of an off-line verification.
func (f *e2eFinance) verify(files ...string) []string {
	at := filepath.Join(f.dir, "finance")
	return append([]string{"ledger", "verify", "--keys", filepath.Join(at, finance.KeysFile),
		filepath.Join(at, "certificates", f.day+".json")}, files...)
}

func (f *e2eFinance) certified(run *day.Run) {
	f.t.Helper()
	f.run(0, nil, "day", "certify", "--day", f.day, "--by", "wang.wei").expect(f.t, "certificate 1")
	f.run(0, nil, "day", "certify", "--day", f.day).expect(f.t, "certificate 1")
	f.run(0, nil, "day", "status", "--day", f.day).expect(f.t, "certified")
	chain := filepath.Join(run.Dir, "records.chain")
	e2eWant(f.t, 0, "every record", f.verify(chain)...)
	e2eWant(f.t, 0, "every file of the run", f.verify("--run", run.Dir)...)
	f.run(0, nil, append(f.verify(chain), "--compare")...).expect(f.t, "the warehouse holds the same")
	f.run(0, nil, "ledger", "trial-balance", "--day", f.day).expect(f.t, "purse")
	f.run(cli.ExitConflict, nil, "settle", "adjust", "--day", f.day, "--text", "x", "suspense=-1",
		"purse=1").expect(f.t, "certified")
}

// tampered changes, drops and cuts off records of copies of the file; each is named.
func (f *e2eFinance) tampered(run *day.Run) {
	f.t.Helper()
	good, err := os.ReadFile(filepath.Join(run.Dir, "records.chain"))
	if err != nil {
		f.t.Fatal(err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"changed": func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"cut off": func(b []byte) []byte { return b[:len(b)*2/3] },
		"longer":  func(b []byte) []byte { return append(b, b[len(b)-200:]...) },
	} {
		path := filepath.Join(f.t.TempDir(), "records.chain")
		if err := os.WriteFile(path, change(bytes.Clone(good)), 0o600); err != nil {
			f.t.Fatal(err)
		}
		r := e2eWant(f.t, cli.ExitBreaks, "first bad record b", f.verify(path)...)
		if !strings.Contains(r.stderr, "not what was certified") {
			f.t.Errorf("%s: %s", name, r.stderr)
		}
	}
}

package iso

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// requireJPOSEnv turns a missing jPOS from a skipped test into a failed one.
const requireJPOSEnv = "TAPSWITCH_REQUIRE_JPOS"

func needJPOS(t *testing.T) {
	t.Helper()
	needLinux(t)
	err := JPOSAvailable("")
	if err == nil {
		return
	}
	if os.Getenv(requireJPOSEnv) == "1" {
		t.Fatalf("not run: %v", err)
	}
	t.Skipf("not run: %v", err)
}

// A folder that is not complete is refused, and the error says what to do.
func TestJPOSAvailable(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"installed", "java/bin/java", "classes/Forwarder.class",
		"forwarder/30_front.xml"} {
		err := JPOSAvailable(dir)
		if !errors.Is(err, ErrNoJPOS) || !strings.Contains(err.Error(), "jpos_install.sh") {
			t.Fatalf("before %s: %v", file, err)
		}
		if _, err := StartJPOS(t.Context(), JPOSOptions{Dir: dir}); !errors.Is(err, ErrNoJPOS) {
			t.Errorf("started without %s: %v", file, err)
		}
		if _, err := StartJPOSBank(t.Context(), JPOSPeer{Dir: dir}); !errors.Is(err, ErrNoJPOS) {
			t.Errorf("bank started without %s: %v", file, err)
		}
		_, err = RunJPOSTerminal(t.Context(), JPOSLoad{JPOSPeer: JPOSPeer{Dir: dir}})
		if !errors.Is(err, ErrNoJPOS) {
			t.Errorf("terminal started without %s: %v", file, err)
		}
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := JPOSAvailable(dir); err != nil {
		t.Error(err)
	}
	t.Setenv("TAPSWITCH_STACK_DIR", dir)
	if got, err := JPOSDir(""); err != nil || got != filepath.Join(dir, "jpos") {
		t.Error(got, err)
	}
	if v := JPOSVersion(""); v != "" {
		t.Errorf("version %q of nothing", v)
	}
}

// jPOS forwards in both forms, and ends when told.
func TestJPOSForwards(t *testing.T) {
	needJPOS(t)
	for _, name := range []string{"ascii", "bcd", "bcd with a TPDU"} {
		t.Run(name, func(t *testing.T) {
			f := formats[name]
			bank := startTestBank(t, f)
			o := JPOSOptions{Bank: bank.addr(), Nagle: NagleBank, HeapMiB: 128,
				Binary: f.Spec == "iso87_bcd"}
			if f.Envelope == message.TPDUOnly {
				o.TPDU = "6000010002"
			}
			j, err := StartJPOS(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			l := testLoad(j.Addr)
			l.Format, l.InFlight, l.Duration = f, 12, 300*time.Millisecond
			r, err := RunLoad(t.Context(), l)
			if err != nil || r.AllGood() != nil {
				t.Error(err, r)
			}
			bank.stop()
			if err := j.Stop(); err != nil {
				t.Error(err)
			}
			if _, err := RunLoad(t.Context(), l); err == nil {
				t.Error("it forwards after its end")
			}
			if _, err := os.Stat(j.dir); !os.IsNotExist(err) {
				t.Errorf("scratch is left: %v", err)
			}
		})
	}
	if v := JPOSVersion(""); v != "3.0.1" {
		t.Errorf("version %q", v)
	}
}

// Without a bank jPOS does not get ready, and nothing of it stays.
func TestJPOSWithoutBank(t *testing.T) {
	needJPOS(t)
	addr, err := freeLoopback()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := StartJPOS(ctx, JPOSOptions{Bank: addr, HeapMiB: 64}); !errors.Is(err, errChild) {
		t.Error(err)
	}
}

// A terminal, a switch and a bank, all on jPOS: what the ends believe is the same, also
// after time-outs and reversals. The programs that the switch is tested with are right.
func TestJPOSEndToEnd(t *testing.T) {
	needJPOS(t)
	bank, err := StartJPOSBank(t.Context(), JPOSPeer{})
	if err != nil {
		t.Fatal(err)
	}
	j, err := StartJPOS(t.Context(), JPOSOptions{Bank: bank.Addr, HeapMiB: 64})
	if err != nil {
		_, _ = bank.Stop()
		t.Fatal(err)
	}
	seen, err := RunJPOSTerminal(t.Context(), JPOSLoad{Addr: j.Addr, Connections: 3, Requests: 200,
		ReverseEvery: 7, BalanceEvery: 11, SignOn: true, Timeout: time.Second})
	if err != nil {
		t.Error(err)
	}
	stopped := j.Stop()
	books, err := bank.Stop()
	if err != nil || stopped != nil {
		t.Fatal(err, stopped)
	}
	if len(seen.Wrong) > 0 || seen.Codes["0800 00"] != 6 || seen.Codes["0200 51"] == 0 {
		t.Errorf("terminal: %+v", seen)
	}
	if seen.Timeouts != 1 || books.Muted != 1 || books.Reversals != seen.Reversed+seen.Timeouts {
		t.Errorf("%d time-outs, %d reversed; bank %+v", seen.Timeouts, seen.Reversed, books)
	}
	if net := seen.ApprovedMinor - seen.ReversedMinor; net != books.NetMinor() || net <= 0 {
		t.Errorf("the terminal sold %d, the bank took %d", net, books.NetMinor())
	}
	if books.UnknownReversals+books.Duplicates > 0 || books.Messages["0200"] != 200 {
		t.Errorf("bank: %+v", books)
	}
}

// jPOS's terminal reads what our formats write, and writes what they read.
func TestJPOSTerminalAgainstOurFormats(t *testing.T) {
	needJPOS(t)
	for _, name := range []string{"ascii", "bcd", "bcd with a TPDU"} {
		t.Run(name, func(t *testing.T) {
			f := formats[name]
			peer := JPOSPeer{Binary: f.Spec == "iso87_bcd"}
			if f.Envelope == message.TPDUOnly {
				peer.TPDU = "6000010002"
			}
			seen, err := RunJPOSTerminal(t.Context(), JPOSLoad{JPOSPeer: peer, Requests: 50,
				Addr: startTestBank(t, f).addr(), SignOn: true, BalanceEvery: 5, ReverseEvery: 4})
			if err != nil {
				t.Fatal(err)
			}
			if len(seen.Wrong) > 0 || seen.Codes["0200 00"] != 50 || seen.Approved != 40 ||
				seen.Reversed == 0 {
				t.Errorf("%+v", seen)
			}
		})
	}
}

// What is wrong in answers is told: nothing listens, and a bank that echoes requests.
func TestJPOSTerminalTells(t *testing.T) {
	needJPOS(t)
	addr, err := freeLoopback()
	if err != nil {
		t.Fatal(err)
	}
	seen, err := RunJPOSTerminal(t.Context(), JPOSLoad{Addr: addr, Requests: 1})
	if err != nil || len(seen.Wrong) != 1 {
		t.Errorf("%v %+v", err, seen)
	}
	addr = serveFrames(t, func(_ int, frames [][]byte) [][]byte { return frames })
	seen, err = RunJPOSTerminal(t.Context(), JPOSLoad{Addr: addr, Requests: 2})
	if err != nil || len(seen.Wrong) == 0 || seen.Approved != 0 {
		t.Errorf("%v %+v", err, seen)
	}
	_, err = RunJPOSTerminal(t.Context(), JPOSLoad{JPOSPeer: JPOSPeer{Extra: []string{"--none", "1"}}})
	if !errors.Is(err, errChild) {
		t.Errorf("unknown option: %v", err)
	}
}

// tiny is a comparison that takes no time and needs no jPOS.
func tiny(targets ...Target) Options {
	return Options{Rounds: 2, Duration: 60 * time.Millisecond, Warmup: 20 * time.Millisecond,
		WarmFirst: 20 * time.Millisecond, Targets: targets,
		Modes: []Mode{{Connections: 2, InFlight: 4}, {Connections: 2, Rate: 1000}}}
}

// A comparison loads each target in each mode and round, leaves out what does not run here,
// and stops what it started in reverse.
func TestRun(t *testing.T) {
	needLinux(t)
	var ends []string
	target := func(name string, err error) Target {
		return Target{Name: name, Start: func(_ context.Context, bank string) (string,
			func() error, error) {
			return bank, func() error { ends = append(ends, name); return nil }, err
		}}
	}
	altered := target("altered", nil)
	altered.Load = func(l *Load) { l.Connections = 1 }
	o := tiny(Direct(), target("switch", nil), altered,
		target("elsewhere", fmt.Errorf("%w: no reason", ErrSkip)),
		ThroughJPOS(JPOSOptions{Dir: t.TempDir()}))
	var progress bytes.Buffer
	o.Progress = &progress
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 6 || len(r.Skipped) != 2 || strings.Join(ends, " ") != "altered switch" {
		t.Errorf("%d rows, skipped %q, ended %q", len(r.Rows), r.Skipped, ends)
	}
	for _, row := range r.Rows {
		if len(row.Rounds) != 2 || row.PerSecond()[1] <= 0 || row.Quantile(0.99)[0] <= 0 {
			t.Errorf("%s, %s: %v %v", row.Target, row.Mode, row.PerSecond(), row.Quantile(0.99))
		}
	}
	if r.Row("switch", o.Modes[1]) == nil || r.Row("jPOS", o.Modes[0]) != nil {
		t.Error("rows are not found by target and mode")
	}
	var text strings.Builder
	n, err := r.WriteTo(&text)
	if err != nil || n != int64(text.Len()) || !strings.Contains(text.String(), "skipped: jPOS") ||
		!strings.Contains(text.String(), "4 in flight on 2 connections") {
		t.Errorf("%d %v\n%s", n, err, text.String())
	}
	if strings.Count(progress.String(), "\n") != 12 {
		t.Errorf("progress:\n%s", progress.String())
	}
}

// A target that does not start, and answers that are not good, are errors and no figures.
func TestRunFails(t *testing.T) {
	needLinux(t)
	broken := errors.New("broken")
	stopped := 0
	start := func(addr string, err error) func(context.Context, string) (string, func() error,
		error) {
		return func(context.Context, string) (string, func() error, error) {
			return addr, func() error { stopped++; return broken }, err
		}
	}
	_, err := Run(t.Context(), tiny(Target{Name: "a", Start: start("", broken)}))
	if !errors.Is(err, broken) || stopped != 0 {
		t.Errorf("start: %v, stopped %d times", err, stopped)
	}
	addr := serveFrames(t, func(_ int, f [][]byte) [][]byte { return answersTo(t, f, "51") })
	o := tiny(Target{Name: "a", Start: start(addr, nil)})
	o.Modes = []Mode{{Connections: 1, InFlight: 1}}
	_, err = Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "refused") || !errors.Is(err, broken) ||
		stopped != 1 {
		t.Errorf("refusals: %v, stopped %d times", err, stopped)
	}
	o.StartBank = func(context.Context, Format) (string, func() error, error) {
		return "", nil, broken
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, broken) {
		t.Errorf("bank: %v", err)
	}
}

// A bank of another process is used as one of this, ends with its input, and is given up when
// it does not say where it is.
func TestBankProcess(t *testing.T) {
	needLinux(t)
	bank := startTestBank(t, ASCII())
	o := tiny(Direct())
	o.StartBank = BankProcess("sh", "-c", "echo "+bank.addr()+"; cat")
	if _, err := Run(t.Context(), o); err != nil {
		t.Error(err)
	}
	o.StartBank = BankProcess("sh", "-c", "echo nothing to say >&2; exit 3")
	if _, err := Run(t.Context(), o); !errors.Is(err, errChild) ||
		!strings.Contains(err.Error(), "nothing to say") {
		t.Error(err)
	}
	o.StartBank = BankProcess("sh", "-c", "echo "+bank.addr()+"; cat; exit 3")
	if _, err := Run(t.Context(), o); !errors.Is(err, errChild) {
		t.Error(err)
	}
	o.StartBank = BankProcess(filepath.Join(t.TempDir(), "none"))
	if _, err := Run(t.Context(), o); !errors.Is(err, errChild) {
		t.Error(err)
	}
}

func TestDefaults(t *testing.T) {
	var o Options
	o.fill()
	if len(o.Targets) != 3 || o.Targets[2].Name != "jPOS, Nagle" || len(o.Modes) != 3 ||
		o.Rounds != 3 || o.Duration <= o.Warmup ||
		o.Format.Spec != "iso87_ascii" {
		t.Errorf("%+v", o)
	}
	if middle(nil) != 0 || middle([]float64{3, 1, 2}) != 2 {
		t.Error("the middle is not the median")
	}
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/bench/iso"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The real switch between programs that are not ours: terminals, acquirers and banks on
// pyiso8583 (deploy/interop, over raw sockets) and on jPOS. After each run the books of both
// ends and of the switch have to agree.

const (
	// requirePythonEnv and requireJPOSEnv turn a missing Python or jPOS from a skipped test
	// into a failed one.
	requirePythonEnv = "TAPSWITCH_REQUIRE_PYTHON"
	requireJPOSEnv   = "TAPSWITCH_REQUIRE_JPOS"

	interopUpMax   = 20 * time.Second
	interopToldMax = 60 * time.Second
)

// interopPython returns the Python with pyiso8583.
func interopPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("TAPSWITCH_PYTHON")
	switch {
	case python == "" && os.Getenv(requirePythonEnv) == "1":
		t.Fatal("not run: TAPSWITCH_PYTHON names no Python with pyiso8583; " +
			"deploy/interop/install.sh DIR makes one")
	case python == "":
		t.Skip("not run: TAPSWITCH_PYTHON names no Python with pyiso8583; " +
			"deploy/interop/install.sh DIR makes one")
	}
	return python
}

// interopJPOS leaves the test out where jPOS is not installed.
func interopJPOS(t *testing.T) {
	t.Helper()
	err := iso.JPOSAvailable("")
	switch {
	case err != nil && os.Getenv(requireJPOSEnv) == "1":
		t.Fatalf("not run: %v", err)
	case err != nil:
		t.Skipf("not run: %v", err)
	}
}

// edge is a switch with a bank edge.
type edge struct {
	t    *testing.T
	node *e2eNode
	at   map[string]string // listener to address
}

// startEdge starts a switch with the listeners, links and routes of a bank file and waits
// until its links are up. Two terminals may use a cup_pos listener.
func startEdge(t *testing.T, file string) *edge {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "bank.yaml")
	head := "acquirer: '48025800'\nforwarder: '48025800'\nreversal_after: 300ms\n" +
		"reversal_max: 2s\n"
	if err := os.WriteFile(path, []byte(head+file), 0o600); err != nil {
		t.Fatal(err)
	}
	runSelf(t, "pos-sim", "--terminals", "2", "--terminals-file", filepath.Join(dir, "terminals.csv"))
	e := &edge{t: t, at: map[string]string{}}
	e.node = newE2ENode(t, filepath.Join(dir, "switch"), "--listen", "127.0.0.1:0",
		"--set", "bank.file="+path, "--set", "feed.flush_every=50ms")
	if err := e.node.start(); err != nil {
		t.Fatal(err)
	}
	e2eUntil(t, interopUpMax, "links", func() (bool, error) {
		s, err := e.status()
		up := err == nil
		for _, l := range s.Links {
			for _, k := range l.Connections {
				up = up && k.State == "up"
			}
		}
		for _, l := range s.Listeners {
			e.at[l.Name] = l.Address
		}
		return up, err
	})
	return e
}

func (e *edge) status() (s bank.Status, err error) {
	code, body, err := e2eGet("http://" + e.node.admin() + "/bank")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d %s", code, body)
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}

// finish waits until the banks have been told everything and all is in the warehouse, stops
// the switch, and returns what its ledger has.
func (e *edge) finish() ledgerSums {
	e.t.Helper()
	e2eUntil(e.t, interopToldMax, "telling the banks", func() (bool, error) {
		s, err := e.status()
		if err == nil && (s.Queued > 0 || s.Due > 0) {
			err = fmt.Errorf("%d queued, %d due", s.Queued, s.Due)
		}
		return err == nil, err
	})
	code, body, err := e2eGet("http://" + e.node.admin() + "/bank/dead")
	if err != nil || code != http.StatusOK || strings.TrimSpace(body) != "[]" {
		e.t.Errorf("dead letters: %d %s %v", code, body, err)
	}
	e2eUntil(e.t, e2eDrainMax, "drain", e.node.drained)
	records := e.node.parquet()
	if err := e.node.stop(); err != nil {
		e.t.Errorf("SIGTERM: %v", err)
	}
	return sumUp(records)
}

// ledgerSums are the bank transactions of a ledger: what stands, and what terminals took
// back. What a bank did not answer was never booked, and its reversal takes nothing back.
type ledgerSums struct {
	bank.Sums
	reversals map[txn.RequestID]bool // originals of approved reversals
	undone    int64                  // their amounts
}

func (l *ledgerSums) net() int64 { return l.DebitAmount - l.CreditAmount }

func sumUp(records []txn.Record) ledgerSums {
	l := ledgerSums{Sums: bank.Total(records), reversals: map[txn.RequestID]bool{}}
	for i := range records {
		r := &records[i]
		if r.Kind == txn.BankReversal && r.Outcome == txn.Approved && !l.reversals[r.Original] {
			l.reversals[r.Original] = true
			l.undone -= int64(r.Charged)
		}
	}
	return l
}

// child is a program that prints a line when it is ready and ends with its standard input.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	errs bytes.Buffer
}

func startChild(t *testing.T, name string, args ...string) (c *child, ready string) {
	t.Helper()
	c = &child{cmd: exec.CommandContext(t.Context(), name, args...)}
	c.cmd.Stderr = &c.errs
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	line, err := c.out.ReadString('\n')
	if err != nil {
		_ = c.cmd.Wait()
		t.Fatalf("%s: %v\n%s", name, err, &c.errs)
	}
	return c, strings.TrimSpace(line)
}

// end closes the standard input and returns what the program printed last. An exit code
// that is not 0 is an error.
func (c *child) end() ([]byte, error) {
	_ = c.in.Close()
	rest, err := io.ReadAll(c.out)
	return rest, errors.Join(err, c.cmd.Wait())
}

// pythonBooks are what an end of pyiso8583_terminal.py believes.
type pythonBooks struct {
	Answers  int            `json:"answers"`
	Codes    map[string]int `json:"codes"`
	Debit    int64          `json:"debit_minor"`
	Credit   int64          `json:"credit_minor"`
	Reversed int64          `json:"reversed_minor"`
	Held     int64          `json:"held_minor"`
	Net      int64          `json:"net_minor"`
}

// A terminal and an acquirer on pyiso8583, through the switch, to bank-sim.
func TestInteropPythonTerminal(t *testing.T) {
	python := interopPython(t)
	host := interopHost(t)
	e := startEdge(t, "listeners:\n"+
		"- {name: pos, address: '127.0.0.1:0', spec: cup_pos, terminals: terminals.csv}\n"+
		"- {name: acq, address: '127.0.0.1:0', spec: iso87_ascii, acquirer: '10000077'}\n"+
		cupsLink(host.Address())+route("622260", "icbc"))
	c := exec.CommandContext(t.Context(), python, "../../deploy/interop/pyiso8583_terminal.py",
		"--acquirer", e.at["acq"], "--pos", e.at["pos"])
	out, err := c.Output()
	var said struct {
		Acquirer, POS pythonBooks
		Wrong         []string
	}
	if bad := json.Unmarshal(out, &said); bad != nil || err != nil || len(said.Wrong) > 0 {
		t.Errorf("%v %v\n%s", err, bad, out)
	}
	ledger := e.finish()
	book := host.Summary()
	net := said.Acquirer.Net + said.POS.Net
	t.Logf("terminal and acquirer took %d, the bank %d, the ledger has %d; %d reversed of %d",
		net, book.Posted, ledger.net(), book.Counts.Reversed, ledger.undone)
	if net <= 0 || book.Posted != net || ledger.net() != net {
		t.Errorf("the terminals took %d, the bank %d, the ledger has %d", net, book.Posted,
			ledger.net())
	}
	reversed := said.Acquirer.Reversed + said.POS.Reversed
	if book.Counts.Reversed != 2 || len(ledger.reversals) != 2 || ledger.undone != reversed {
		t.Errorf("the bank has %d reversals, the ledger %d of %d, the terminals %d",
			book.Counts.Reversed, len(ledger.reversals), ledger.undone, reversed)
	}
	if held := said.Acquirer.Held + said.POS.Held; book.Held != held {
		t.Errorf("the bank holds %d, the terminals %d", book.Held, held)
	}
	if n := &book.Counts; n.DoubleExecuted+n.Conflicts+n.Unmarked+n.WrongOriginalMTI+n.Broken+
		n.Unasked != 0 {
		t.Errorf("what the bank saw: %+v", n)
	}
	if said.Acquirer.Codes["0200 94"] != 2 || said.POS.Codes["0200 94"] != 2 ||
		said.Acquirer.Codes["0200 30"] != 1 || said.POS.Codes["0200 30"] != 1 {
		t.Errorf("codes %v and %v", said.Acquirer.Codes, said.POS.Codes)
	}
}

// interopHost starts the bank of bank-sim, with the amounts that provoke a case.
func interopHost(t *testing.T) *bankhost.Host {
	t.Helper()
	spec, err := message.Named("cups")
	if err != nil {
		t.Fatal(err)
	}
	h, err := bankhost.Start(bankhost.Options{Spec: spec, Address: "127.0.0.1:0", Seed: 1,
		Framing:   message.Framing{Form: message.ASCII4},
		Behaviour: bankhost.Behaviour{Rules: bankhost.DefaultRules()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// runSelf runs a command of the binary and returns what it printed.
func runSelf(t *testing.T, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), e2eBinary(t), args...)
	c.Env = e2eEnv()
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", args[0], err, out, &said)
	}
	return out
}

func cupsLink(address string) string {
	return fmt.Sprintf("links:\n- {name: icbc, addresses: ['%s', '%[1]s'], spec: cups, "+
		"station: '01020000', home: '48025800', timeout: 1s, echo: 500ms}\n", address)
}

func route(bin, link string) string {
	return fmt.Sprintf("routes:\n- {name: %s, bins: ['%s'], issuer: ISSUER, links: [%[1]s]}\n",
		link, bin)
}

// Terminals of pos-sim, through the switch, to a bank on pyiso8583 that forgets answers: what
// it forgot is reversed, an advice repeated, and a reversal that was forgotten comes again.
func TestInteropPythonBank(t *testing.T) {
	python := interopPython(t)
	for _, format := range []string{"cups", "iso87_ascii"} {
		t.Run(format, func(t *testing.T) {
			c, ready := startChild(t, python, "../../deploy/interop/pyiso8583_bank.py",
				"--format", format, "--forget-every", "9")
			address := "127.0.0.1:" + strings.TrimPrefix(ready, "ready ")
			e := startEdge(t, "listeners:\n- {name: pos, address: '127.0.0.1:0', spec: cup_pos, "+
				"terminals: terminals.csv}\n"+
				strings.Replace(cupsLink(address), "spec: cups", "spec: "+format, 1)+
				route("622260", "icbc"))
			sold := runPOSSim(t, e.at["pos"])
			ledger := e.finish()
			out, err := c.end()
			var book pythonBank
			if bad := json.Unmarshal(out, &book); bad != nil || err != nil || len(book.Wrong) > 0 {
				t.Fatalf("%v %v\n%s%s", err, bad, out, &c.errs)
			}
			book.agree(t, sold, &ledger)
		})
	}
}

// posDay is the report of pos-sim.
type posDay struct {
	Kinds     map[string]struct{ Approved, Declined, Reversed, Unanswered int }
	Codes     map[string]int
	Terminals []struct {
		Debit  int64 `json:"debit_minor"`
		Credit int64 `json:"credit_minor"`
	}
}

func (d *posDay) net() (sum int64) {
	for _, t := range d.Terminals {
		sum += t.Debit - t.Credit
	}
	return sum
}

// runPOSSim lets two terminals work a day with everything in it.
func runPOSSim(t *testing.T, target string) *posDay {
	t.Helper()
	out := runSelf(t, "pos-sim", "--target", target,
		"--terminals", "2", "--transactions", "45", "--timeout", "4s", "--retry-delay", "100ms",
		"--mix", "purchase=40,void=8,refund=8,pre_auth=14,pre_auth_void=4,completion=8,"+
			"completion_void=3,completion_advice=4,offline_sale=6,balance=5", "--json")
	var day posDay
	if err := json.Unmarshal(out, &day); err != nil {
		t.Fatalf("pos-sim: %v\n%s", err, out)
	}
	return &day
}

// pythonBank are the books of pyiso8583_bank.py.
type pythonBank struct {
	Messages  map[string]int
	Standing  map[string]int
	Declined  map[string]int
	Forgotten int
	Reversals int
	Unknown   int `json:"unknown_reversals"`
	SignOns   int `json:"sign_ons"`
	Echoes    int
	OwnEchoes int `json:"own_echoes"`
	Repeats   int
	Posted    int64 `json:"posted_minor"`
	Reversed  int64 `json:"reversed_minor"`
	Wrong     []string
}

// agree holds the bank's books against those of the terminals and of the switch.
func (b *pythonBank) agree(t *testing.T, sold *posDay, ledger *ledgerSums) {
	t.Helper()
	t.Logf("the terminals took %d, the bank %d, the ledger has %d; forgotten %d, reversed %d "+
		"(%d), repeated %d", sold.net(), b.Posted, ledger.net(), b.Forgotten, b.Reversals,
		b.Reversed, b.Repeats)
	if b.Posted != sold.net() || b.Posted != ledger.net() {
		t.Errorf("the terminals took %d, the bank %d, the ledger has %d", sold.net(), b.Posted,
			ledger.net())
	}
	approved := func(kinds ...string) (n int) {
		for _, k := range kinds {
			n += sold.Kinds[k].Approved
		}
		return n
	}
	for kind, want := range map[string]int{"purchase": approved("purchase", "offline_sale"),
		"void": approved("void"), "refund": approved("refund"), "pre_auth": approved("pre_auth"),
		"pre_auth_void": approved("pre_auth_void"), "completion_void": approved("completion_void"),
		"completion": approved("completion", "completion_advice")} {
		if b.Standing[kind] != want {
			t.Errorf("%s: %d at the bank, %d at the terminals", kind, b.Standing[kind], want)
		}
	}
	for code, n := range b.Declined {
		if sold.Codes[code] != n {
			t.Errorf("code %s: %d at the bank, %d at the terminals", code, n, sold.Codes[code])
		}
	}
	if b.Forgotten == 0 || b.Reversals == 0 || b.Messages["0421"] == 0 || b.Unknown > 0 ||
		b.SignOns < 2 || b.Echoes == 0 || b.OwnEchoes != b.SignOns || sold.Codes["98"] != b.Reversals {
		t.Errorf("forgotten %d, reversed %d and unknown %d, messages %v, signed on %d times, "+
			"echoes %d and %d, terminals saw %v", b.Forgotten, b.Reversals, b.Unknown, b.Messages,
			b.SignOns, b.Echoes, b.OwnEchoes, sold.Codes)
	}
}

// A terminal and a bank on jPOS with the switch between them, in ASCII and in BCD, and from
// one to the other.
func TestInteropJPOS(t *testing.T) {
	interopJPOS(t)
	banks := map[string]*iso.JPOSBank{}
	for _, name := range []string{"ascii", "bcd"} {
		b, err := iso.StartJPOSBank(t.Context(), iso.JPOSPeer{Binary: name == "bcd"})
		if err != nil {
			t.Fatal(err)
		}
		banks[name] = b
	}
	e := startEdge(t, fmt.Sprintf("listeners:\n"+
		"- {name: ascii, address: '127.0.0.1:0', spec: iso87_ascii, acquirer: '10000001'}\n"+
		"- {name: bcd, address: '127.0.0.1:0', spec: iso87_bcd, acquirer: '10000001'}\n"+
		"links:\n- {name: ascii, addresses: ['%s'], spec: iso87_ascii, timeout: 1s}\n"+
		"- {name: bcd, addresses: ['%s'], spec: iso87_bcd, timeout: 1s}\n"+
		"routes:\n- {name: ascii, bins: ['622260'], issuer: ASCII, links: [ascii]}\n"+
		"- {name: bcd, bins: ['400000'], issuer: BCD, links: [bcd]}\n",
		banks["ascii"].Addr, banks["bcd"].Addr))
	tallies := map[string][]*iso.JPOSTally{}
	reversed, undone := 0, int64(0)
	for i, run := range []struct{ from, to string }{{"ascii", "ascii"}, {"bcd", "bcd"},
		{"ascii", "bcd"}, {"bcd", "ascii"}} {
		tally, err := iso.RunJPOSTerminal(t.Context(), iso.JPOSLoad{
			JPOSPeer: iso.JPOSPeer{Binary: run.from == "bcd", Extra: []string{"--terminal",
				"KLMN"[i : i+1], "--bin", map[string]string{"ascii": "622260", "bcd": "400000"}[run.to]}},
			Addr: e.at[run.from], Connections: 3, Requests: 200, ReverseEvery: 7, BalanceEvery: 10,
			SignOn: true, Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if len(tally.Wrong) > 0 || tally.Timeouts+tally.Late > 0 || tally.Reversed == 0 {
			t.Errorf("%s to %s: %+v", run.from, run.to, tally)
		}
		tallies[run.to] = append(tallies[run.to], &tally)
		reversed, undone = reversed+tally.Reversed, undone+tally.ReversedMinor
	}
	ledger := e.finish()
	var net int64
	for _, name := range slices.Sorted(maps.Keys(banks)) {
		books, err := banks[name].Stop()
		if err != nil {
			t.Fatal(err)
		}
		agreeJPOS(t, name, &books, tallies[name])
		net += books.NetMinor()
	}
	t.Logf("the banks took %d, the ledger has %d; %d and %d reversals of %d and %d", net,
		ledger.net(), reversed, len(ledger.reversals), undone, ledger.undone)
	if ledger.net() != net || len(ledger.reversals) != reversed || ledger.undone != undone {
		t.Error("the ledger differs")
	}
}

// agreeJPOS holds the books of a bank on jPOS against what the terminals saw.
func agreeJPOS(t *testing.T, name string, b *iso.JPOSBooks, all []*iso.JPOSTally) {
	t.Helper()
	var net int64
	reversed, declined, doubtful := 0, 0, 0
	for _, y := range all {
		net += y.ApprovedMinor - y.ReversedMinor
		reversed += y.Reversed
		declined += y.Codes["0200 51"]
		doubtful += y.Codes["0200 98"]
	}
	if net <= 0 || b.NetMinor() != net {
		t.Errorf("%s: the bank took %d, the terminals %d", name, b.NetMinor(), net)
	}
	if b.Muted == 0 || doubtful != b.Muted || b.Reversals != reversed+b.Muted {
		t.Errorf("%s: the bank has %d reversals and did not answer %d, the terminals reversed %d "+
			"and saw %d time-outs", name, b.Reversals, b.Muted, reversed, doubtful)
	}
	if b.Declined["51"] != declined || declined == 0 || b.Duplicates+b.UnknownReversals > 0 {
		t.Errorf("%s: %+v, the terminals saw %d declined", name, b, declined)
	}
}

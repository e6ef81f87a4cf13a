package iso

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// jposPeerHeapMiB is the heap of a bank or terminal on jPOS: tests run several at once.
const jposPeerHeapMiB = 64

// JPOSPeer says how a bank or terminal on jPOS speaks.
type JPOSPeer struct {
	// Dir is as in JPOSOptions.
	Dir string
	// Binary is ISO 8583:1987 in BCD behind two bytes of length, with TPDU (hexadecimal, may
	// be empty); else ASCII behind four digits.
	Binary bool
	TPDU   string
	// Extra are further options of Bank.java or Terminal.java, name and value.
	Extra []string
}

func (p *JPOSPeer) command(program string, args ...string) ([]string, error) {
	if err := JPOSAvailable(p.Dir); err != nil {
		return nil, err
	}
	if p.Binary {
		args = append(args, "--format", "bcd")
	}
	if p.TPDU != "" {
		args = append(args, "--tpdu", p.TPDU)
	}
	return JPOSCommand(p.Dir, program, jposPeerHeapMiB, append(args, p.Extra...)...)
}

// JPOSBooks are what a bank on jPOS has done. Amounts are minor units. Reversed is what
// reversals took from debits less credits.
type JPOSBooks struct {
	// Messages counts what was received by type, Declined refusals by response code.
	Messages, Declined                     map[string]int
	Approved, Muted, Duplicates, Reversals int
	UnknownReversals                       int   `json:"unknown_reversals"`
	DebitMinor                             int64 `json:"debit_minor"`
	CreditMinor                            int64 `json:"credit_minor"`
	ReversedMinor                          int64 `json:"reversed_minor"`
}

// NetMinor is what the bank took in the end.
func (b *JPOSBooks) NetMinor() int64 { return b.DebitMinor - b.CreditMinor - b.ReversedMinor }

// JPOSBank is a bank on jPOS, a process of its own. Stop it once.
type JPOSBank struct {
	// Addr is where it listens, on loopback.
	Addr string

	child *process
}

// StartJPOSBank starts a bank on jPOS on a free loopback port (Bank.java says what it answers)
// and returns when it listens. The error is an ErrNoJPOS where jPOS is not installed.
func StartJPOSBank(ctx context.Context, p JPOSPeer) (*JPOSBank, error) {
	argv, err := p.command("Bank")
	if err != nil {
		return nil, err
	}
	child, err := startProcess("jPOS bank", argv)
	if err != nil {
		return nil, err
	}
	line, err := child.firstLine(ctx)
	if err != nil {
		return nil, err
	}
	port, ok := strings.CutPrefix(line, "ready ")
	if !ok {
		child.kill()
		return nil, fmt.Errorf("%w jPOS bank is not ready: %s", errChild, line)
	}
	return &JPOSBank{Addr: net.JoinHostPort("127.0.0.1", port), child: child}, nil
}

// Stop ends the bank and returns its books.
func (b *JPOSBank) Stop() (books JPOSBooks, err error) {
	if err := b.child.end(); err != nil {
		return books, err
	}
	_, last, _ := bytes.Cut(b.child.out.bytes(), []byte("\n"))
	if err := json.Unmarshal(last, &books); err != nil {
		return books, fmt.Errorf("%w jPOS bank: books: %w", errChild, err)
	}
	return books, nil
}

// JPOSLoad says what a terminal on jPOS sends where.
type JPOSLoad struct {
	JPOSPeer
	Addr                  string
	Connections, Requests int
	// ReverseEvery and BalanceEvery choose every nth request, 0 none.
	ReverseEvery, BalanceEvery int
	// SignOn signs on and off on every connection.
	SignOn bool
	// Timeout is how long an answer is waited for, then the purchase is reversed.
	Timeout time.Duration
}

// JPOSTally is what a terminal on jPOS has seen. Amounts are minor units. Codes counts
// answers by type of the request and response code, as "0200 00". Wrong are the first answers
// that do not fit their request, and faults of connections: none in a run that went well.
type JPOSTally struct {
	Answered, Approved, Timeouts, Late, Reversed int
	Codes                                        map[string]int
	ApprovedMinor                                int64 `json:"approved_minor"`
	ReversedMinor                                int64 `json:"reversed_minor"`
	Wrong                                        []string
}

// RunJPOSTerminal sends purchases from a terminal or acquirer on jPOS (Terminal.java) and
// returns when all are answered. The error is an ErrNoJPOS where jPOS is not installed; wrong
// answers are in the tally and no error.
func RunJPOSTerminal(ctx context.Context, l JPOSLoad) (tally JPOSTally, err error) {
	signOn := "no"
	if l.SignOn {
		signOn = "yes"
	}
	argv, err := l.command("Terminal", "--connect", l.Addr,
		"--connections", strconv.Itoa(max(l.Connections, 1)),
		"--requests", strconv.Itoa(l.Requests),
		"--reverse-every", strconv.Itoa(l.ReverseEvery),
		"--balance-every", strconv.Itoa(l.BalanceEvery), "--sign-on", signOn,
		"--timeout", strconv.FormatInt(max(l.Timeout, time.Second).Milliseconds(), 10))
	if err != nil {
		return tally, err
	}
	var said output
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) { // 1: see Wrong
		return tally, fmt.Errorf("%w jPOS terminal: %w: %s", errChild, err, said.bytes())
	}
	if err := json.Unmarshal(bytes.TrimSpace(out), &tally); err != nil {
		return tally, fmt.Errorf("%w jPOS terminal: tally: %w: %s", errChild, err, said.bytes())
	}
	return tally, nil
}

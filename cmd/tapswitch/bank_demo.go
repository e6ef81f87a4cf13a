package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/bankdesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	warehouselocal "github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// bankDemoSettle bounds the wait until the banks have heard of everything.
const bankDemoSettle = 3 * time.Minute

// bankDemoRate is how many transactions a second the terminals begin: those that find a link
// down are refused at once, and would take the day to its end.
const bankDemoRate = 300

type bankDemoOptions struct {
	seed                    uint64
	terminals, transactions int
	faults                  int
	form                    cli.Output
}

func bankDemoCommand() *cobra.Command {
	o := bankDemoOptions{form: cli.Table}
	c := &cobra.Command{
		Use: "demo", Short: "A shop's day between two misbehaving banks, with a crash in the middle",
		Long: "Starts the switch as a process of its own between simulated terminals and two simulated\n" +
			"banks that answer late, twice, wrongly or not at all. Half way the switch is killed with\n" +
			"SIGKILL and started again. When the banks have heard of every reversal and advice, what\n" +
			"each bank has paid must be what the ledger says it owes, to the fen; exit code 6 otherwise.",
		Example: "  tapswitch bank demo\n  tapswitch bank demo --seed 7 --transactions 1000 --faults 300",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			report, err := runBankDemo(c.Context(), &o)
			if err != nil {
				return err
			}
			if err := report.write(c.OutOrStdout(), o.form); err != nil {
				return err
			}
			if !report.Agreed {
				return cli.WithCode(cli.ExitBreaks, errors.New("the banks' books and the ledger disagree"))
			}
			return nil
		},
	}
	c.Flags().Uint64Var(&o.seed, "seed", 1, "what the banks and terminals do")
	c.Flags().IntVar(&o.terminals, "terminals", 8, "number of terminals")
	c.Flags().IntVar(&o.transactions, "transactions", 300, "transactions a terminal")
	c.Flags().IntVar(&o.faults, "faults", 100, "rate of each fault of the banks, in 1/10,000")
	return c
}

// bankDemo is one demonstration under way.
type bankDemo struct {
	o     *bankDemoOptions
	dir   string
	banks map[string]*bankhost.Host // by issuer
	node  *demoSwitch
	pos   string
}

// bankDemoReport is what came of it. Amounts are fen.
type bankDemoReport struct {
	Seed         uint64         `json:"seed"`
	Transactions int            `json:"transactions"`
	Reversals    int            `json:"terminal_reversals"`
	Restart      string         `json:"restart"`
	Banks        []bankDemoBank `json:"banks"`
	DeadLetters  int            `json:"dead_letters"`
	Unbalanced   int            `json:"unbalanced_batches"`
	Agreed       bool           `json:"agreed"`
}

type bankDemoBank struct {
	Issuer    string `json:"issuer"`
	Paid      int64  `json:"bank_paid"`
	Ledger    int64  `json:"ledger_owes"`
	Reversed  int64  `json:"reversed"`
	Repeats   int64  `json:"repeats"`
	Effects   int64  `json:"faults"`
	Duplicate int64  `json:"executed_twice"`
}

func runBankDemo(ctx context.Context, o *bankDemoOptions) (r *bankDemoReport, err error) {
	dir, err := os.MkdirTemp("", "tapswitch-bank-demo-")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	d := &bankDemo{o: o, dir: dir, banks: map[string]*bankhost.Host{}}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	if r, err = d.play(ctx); err != nil {
		err = fmt.Errorf("%w\n%s", err, d.node.logTail())
	}
	return r, err
}

func (d *bankDemo) close() error {
	var errs []error
	if d.node != nil {
		errs = append(errs, d.node.stop())
	}
	for _, b := range d.banks {
		errs = append(errs, b.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// prepare starts the banks and the switch.
func (d *bankDemo) prepare(ctx context.Context) error {
	rates := map[bankhost.Effect]int{}
	for _, e := range bankhost.Effects() {
		if e != bankhost.None && e != bankhost.ChangeKey && e != bankhost.WrongMAC && e != bankhost.Stall {
			rates[e] = d.o.faults
		}
		if e == bankhost.Close || e == bankhost.CloseInFrame {
			rates[e] = d.o.faults / 10 // each takes all that is under way with it
		}
	}
	for issuer, name := range map[string]string{"ICBC": "cups", "CCB": "iso87_ascii"} {
		spec, err := message.Named(name)
		if err != nil {
			return err
		}
		host, err := bankhost.Start(bankhost.Options{Spec: spec, Address: "127.0.0.1:0", Seed: d.o.seed,
			Framing: message.Framing{Form: message.ASCII4}, Behaviour: bankhost.Behaviour{Decline: 300,
				Codes: []string{"51", "05", "41"}, Rates: rates, LateAfter: bankhost.Span(1500 * time.Millisecond)}})
		if err != nil {
			return err
		}
		d.banks[issuer] = host
	}
	if err := d.writeFiles(); err != nil {
		return err
	}
	var err error
	d.node, err = newDemoSwitch(filepath.Join(d.dir, "switch.log"), map[string]string{
		"data_dir": filepath.Join(d.dir, "data"), "listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0",
		"bank.file": filepath.Join(d.dir, "bank.yaml"), "log.level": "error"})
	if err != nil {
		return err
	}
	return d.node.start(ctx)
}

// bankDemoFile connects the terminals and two banks.
const bankDemoFile = `
acquirer: "48025800"
forwarder: "48025800"
reversal_after: 1s
reversal_max: 4s
listeners:
  - {name: pos, address: "%s", spec: cup_pos, terminals: terminals.csv}
links:
  - {name: icbc, addresses: ["%[2]s", "%[2]s"], spec: cups, station: "01020000", home: "48025800", timeout: 1s}
  - {name: ccb, addresses: ["%[3]s"], spec: iso87_ascii, timeout: 1s}
routes:
  - {name: icbc, bins: ["622260"], issuer: ICBC, links: [icbc]}
  - {name: ccb, bins: ["436742"], issuer: CCB, links: [ccb]}
`

func (d *bankDemo) writeFiles() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the same after the crash
	if err != nil {
		return err
	}
	d.pos = ln.Addr().String()
	if err := ln.Close(); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(d.dir, "terminals.csv"))
	if err != nil {
		return err
	}
	if err := errors.Join(pos.WriteTerminals(f, pos.Options{Terminals: d.o.terminals}, ""), f.Close()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "bank.yaml"), fmt.Appendf(nil, bankDemoFile, d.pos,
		d.banks["ICBC"].Address(), d.banks["CCB"].Address()), 0o600)
}

// play runs the day, kills the switch half way, and compares the books.
func (d *bankDemo) play(ctx context.Context) (*bankDemoReport, error) {
	cards, err := pos.Cards([]string{"622260", "436742"}, 50*d.o.terminals, d.o.seed)
	if err != nil {
		return nil, err
	}
	r := &bankDemoReport{Seed: d.o.seed, Agreed: true}
	crashed := make(chan error, 1)
	day, over := context.WithCancel(ctx)
	defer over()
	go func() { crashed <- d.crash(day, r) }()
	report, err := pos.Run(ctx, pos.Options{Target: d.pos, Terminals: d.o.terminals,
		Transactions: d.o.transactions, Cards: cards, Rate: bankDemoRate, Seed: d.o.seed, Timeout: 5 * time.Second,
		RetryDelay: 200 * time.Millisecond, RetriesMax: 600})
	over()
	if err := errors.Join(err, <-crashed); err != nil {
		return nil, err
	}
	if n := report.Failed(); n > 0 || report.Contradicted() {
		return nil, fmt.Errorf("demo: %d terminals did not end their day; findings %v", n, report.Findings)
	}
	for _, t := range report.Terminals {
		if t.Verdict != message.Balanced {
			r.Unbalanced++
		}
		r.Transactions += len(t.Rows)
	}
	for _, k := range report.Kinds {
		r.Reversals += k.Reversed
	}
	if err := d.settled(ctx, r); err != nil {
		return nil, err
	}
	return r, d.compare(ctx, r)
}

// crash kills the switch once a third of the day's transactions have reached the banks.
func (d *bankDemo) crash(ctx context.Context, r *bankDemoReport) error {
	third := int64(d.o.terminals*d.o.transactions) / 3
	ticker := time.NewTicker(demoLook)
	defer ticker.Stop()
	for {
		var seen int64
		for _, b := range d.banks {
			seen += b.Summary().Counts.Requests
		}
		if seen >= third {
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.New("demo: the day was over before the crash; ask for more transactions")
		}
	}
	if err := d.node.kill(); err != nil {
		return err
	}
	began := time.Now()
	err := d.node.start(context.WithoutCancel(ctx))
	r.Restart = time.Since(began).Round(time.Millisecond).String()
	return err
}

// settled waits until nothing is left to tell the banks.
func (d *bankDemo) settled(ctx context.Context, r *bankDemoReport) error {
	ctx, cancel := context.WithTimeout(ctx, bankDemoSettle)
	defer cancel()
	admin := bankdesk.Admin{URL: "http://" + d.node.where().Admin}
	ticker := time.NewTicker(demoPoll)
	defer ticker.Stop()
	for {
		var s bank.Status
		if err := admin.Call(ctx, http.MethodGet, "/bank", &s); err != nil {
			return err
		}
		if s.Due == 0 {
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("demo: %d transactions are still open after %s", s.Due, bankDemoSettle)
		}
	}
	var dead []bank.DeadLetter
	if err := admin.Call(ctx, http.MethodGet, "/bank/dead", &dead); err != nil {
		return err
	}
	r.DeadLetters = len(dead)
	return d.node.stop()
}

// compare holds what each bank has paid against what the ledger says that it owes.
func (d *bankDemo) compare(ctx context.Context, r *bankDemoReport) error {
	w, err := warehouselocal.Open(warehouselocal.Options{Dir: filepath.Join(d.dir, "data", "warehouse")})
	if err != nil {
		return err
	}
	owes := map[txn.Account]int64{}
	err = w.Records(ctx, warehouse.Filter{}, func(rec *txn.Record) error {
		for _, p := range rec.Postings {
			owes[p.Account] -= int64(p.Amount)
		}
		return nil
	})
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	for _, issuer := range []string{"ICBC", "CCB"} {
		s := d.banks[issuer].Summary()
		b := bankDemoBank{Issuer: issuer, Paid: s.Posted, Ledger: owes[engine.AccountIssuer+txn.Account(issuer)],
			Reversed: s.Counts.Reversed, Repeats: s.Counts.Repeats, Duplicate: s.Counts.DoubleExecuted}
		for _, n := range s.Counts.Effects {
			b.Effects += n
		}
		r.Agreed = r.Agreed && b.Paid == b.Ledger && b.Duplicate == 0
		r.Banks = append(r.Banks, b)
	}
	return nil
}

// write prints the report.
func (r *bankDemoReport) write(w io.Writer, form cli.Output) error {
	if form == cli.JSON {
		return cli.PrintJSON(w, r)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "bank\tpaid\tledger\tfaults\trepeats\treversed\texecuted twice\t")
	for _, b := range r.Banks {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t\n", b.Issuer, yuan(b.Paid), yuan(b.Ledger), b.Effects,
			b.Repeats, b.Reversed, b.Duplicate)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "every fen agrees"
	if !r.Agreed {
		verdict = "THE BOOKS DISAGREE"
	}
	_, err := fmt.Fprintf(w, "\n%d transactions, %d reversed by terminals, %d dead letters, %d batches not balanced\n"+
		"switch killed in the middle, ready again after %s\n%s\n", r.Transactions, r.Reversals,
		r.DeadLetters, r.Unbalanced, r.Restart, verdict)
	return err
}

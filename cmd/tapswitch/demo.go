package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	demoCards   = 5_000
	demoWorkers = 32
	// demoKillAt is the share of the morning after which the switch is killed.
	demoKillAt = 0.5
	// demoDrainMax bounds the wait for the last record to reach the warehouse. A consumer
	// group of Kafka takes its time to notice that a member was killed.
	demoDrainMax = 2 * time.Minute
	demoPoll     = 200 * time.Millisecond
)

// demoOptions are what a demonstration is asked to do.
type demoOptions struct {
	seed    uint64
	cards   int
	workers int
	stack   bool
	serve   bool
	data    string
	listen  string
	city    string
	lang    string
	form    cli.Output
}

func demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use: "demo", Short: "A city's morning on a real switch, with a crash in the middle",
		Long: "Starts the switch as a process of its own on an empty data directory, registers " +
			"terminals, enrols cards and plays the morning of a seed: rides, loads, purchases, " +
			"refunds, reversals, frozen cards that get used, requests sent twice, replies that are " +
			"lost. Half way the switch is killed with SIGKILL and started again. At the end what " +
			"the terminals saw, what the ledger holds and what the plan expects must be equal to " +
			"the fen; exit code 0 says that they are. With --serve the switch goes on running.\n\n" +
			"With --city a card's life is played instead, from application to cancellation, under that " +
			"city's rules: handan, zhoushan, wenzhou, shiyan or zhengzhou.",
		Example: "  tapswitch demo\n  tapswitch demo --seed 7 --cards 20000 -o json\n" +
			"  tapswitch demo --serve\n  tapswitch demo --city handan --lang zh",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.city != "" {
				return runCityDemo(c, &o)
			}
			return runDemo(c, &o)
		},
	}
	flags := c.Flags()
	flags.Uint64Var(&o.seed, "seed", 1, "the same seed gives the same figures")
	flags.IntVar(&o.cards, "cards", demoCards, "number of cards")
	flags.IntVar(&o.workers, "workers", demoWorkers, "cards served at once")
	flags.BoolVar(&o.stack, "stack", false,
		"run over Redis, Kafka and ClickHouse (make stack-up; addresses from the environment)")
	flags.BoolVar(&o.serve, "serve", false, "go on running at the end and print how to talk to it")
	flags.StringVar(&o.listen, "listen", config.Default().Listen,
		"address of the gate with --serve; without it the demo takes a free one")
	flags.StringVar(&o.data, "data", "", "keep the data here (default: a directory that is removed)")
	flags.StringVar(&o.city, "city", "", "play a card's life under the rules of this city")
	flags.StringVar(&o.lang, "lang", "en", "language of --city: en or zh")
	o.form.Add(c)
	return c
}

// demo is one demonstration under way.
type demo struct {
	o        *demoOptions
	show     *progress
	dir      string
	settings map[string]string
	plan     *sim.Plan
	node     *demoSwitch
	client   *sim.Client
	lossy    *sim.Client
	proxy    *faultproxy.Proxy
	killed   demoCrash
}

// demoCrash tells of the crash half way.
type demoCrash struct {
	happened bool
	back     time.Duration // from the kill until the switch was ready again
}

func runDemo(c *cobra.Command, o *demoOptions) (err error) {
	if o.form == cli.CSV {
		return cli.WithCode(cli.ExitUsage, errors.New("-o: the demo prints table or json"))
	}
	plan, err := sim.NewPlan(o.seed, o.cards)
	if err != nil {
		return cli.WithCode(cli.ExitUsage, fmt.Errorf("--cards: %w", err))
	}
	d := &demo{o: o, plan: plan, show: newProgress(os.Stderr)}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.prepare(c.Context()); err != nil {
		return err
	}
	report, err := d.play(c.Context())
	if err != nil {
		return fmt.Errorf("%w\n%s", err, d.node.logTail())
	}
	if err := report.write(c.OutOrStdout(), o.form); err != nil {
		return err
	}
	if !report.Held {
		return fmt.Errorf("the figures do not hold; the data is kept in %s", d.keep())
	}
	if o.serve {
		return d.serve(c.Context(), c.OutOrStdout())
	}
	return nil
}

// prepare makes the data directory and starts the switch.
func (d *demo) prepare(ctx context.Context) error {
	dir := d.o.data
	if dir == "" {
		temp, err := os.MkdirTemp("", "tapswitch-demo-")
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		dir = temp
	} else if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		return cli.WithCode(cli.ExitUsage, fmt.Errorf("--data %s: the demo wants an empty directory", dir))
	}
	d.dir = dir
	settings, err := d.makeSettings(ctx)
	if err != nil {
		return err
	}
	d.settings = settings
	if d.node, err = newDemoSwitch(filepath.Join(dir, "switch.log"), settings); err != nil {
		return err
	}
	d.show.say("starting the switch in %s", dir)
	return d.node.start(ctx)
}

// makeSettings returns the settings of the switch: free ports, the city's tariff, and a
// business day that does not end while the demo runs.
func (d *demo) makeSettings(ctx context.Context) (map[string]string, error) {
	data := filepath.Join(d.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	tariff, err := writeTariff(d.dir, d.plan.Tariff)
	if err != nil {
		return nil, err
	}
	all := map[string]string{
		"data_dir": data, "listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0",
		"log.level": "warn", "scheme.tariff_file": tariff,
		"scheme.cut_off": fmt.Sprintf("%dh", demoCutOff(time.Now())),
	}
	if d.o.serve {
		all["listen"] = d.o.listen
	}
	if d.o.stack {
		return all, d.addStack(ctx, all)
	}
	return all, nil
}

// demoCutOff returns the hour at which the business day begins: twelve hours from now.
func demoCutOff(now time.Time) int { return (now.In(time.FixedZone("", 8*60*60)).Hour() + 12) % 24 }

// play sends the morning and reads the ledger.
func (d *demo) play(ctx context.Context) (*demoReport, error) {
	desk, err := d.node.secret(adminTokenFile)
	if err != nil {
		return nil, err
	}
	second, err := d.node.secret(secondTokenFile)
	if err != nil {
		return nil, err
	}
	if err := d.connect(); err != nil {
		return nil, err
	}
	d.show.say("registering %d terminals, enrolling %d cards", len(d.plan.Terminals),
		len(d.plan.Cards))
	terminals, err := sim.RegisterAll(ctx, d.client, desk, d.plan.Terminals)
	if err != nil {
		return nil, err
	}
	if _, err := sim.EnrolAll(ctx, d.client, desk, d.plan.Enrolments()); err != nil {
		return nil, err
	}
	bar := d.show.bar("morning", d.plan.Steps)
	driver := &sim.Driver{Plan: d.plan, Client: d.client, Lossy: d.lossy, Terminals: terminals,
		Desk: desk, Second: second, Workers: d.o.workers,
		Base:  time.Now().Add(-sim.Span).Truncate(time.Second),
		Hooks: []sim.Hook{{At: demoKillAt, Do: d.crash}}, Progress: bar.set}
	outcome, err := driver.Run(ctx)
	bar.done()
	if err != nil {
		return nil, err
	}
	for range d.plan.Cards {
		outcome.Figures.Add(sim.Item{Kind: txn.Enrol, Outcome: txn.Approved})
	}
	return d.settle(ctx, outcome)
}

// connect makes the clients: one that keeps at it, and one whose replies are all cut off.
func (d *demo) connect() error {
	proxy, err := faultproxy.Start(d.node.gate())
	if err != nil {
		return err
	}
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.DropReply})
	d.proxy = proxy
	d.client = sim.NewClient(sim.ClientOptions{Addr: d.node.gate(), Connections: d.o.workers,
		RetryFor: time.Minute})
	d.lossy = sim.NewClient(sim.ClientOptions{Addr: proxy.Addr(), Connections: d.o.workers,
		RetryFor: -1})
	return nil
}

// crash kills the switch under load and starts it again on what it had made durable.
func (d *demo) crash(ctx context.Context) error {
	began := time.Now()
	d.show.say("SIGKILL to the switch, with requests under way")
	if err := d.node.kill(); err != nil {
		return err
	}
	if err := d.node.start(ctx); err != nil {
		return err
	}
	d.client.SetAddr(d.node.gate())
	d.proxy.SetTarget(d.node.gate())
	d.killed = demoCrash{happened: true, back: time.Since(began)}
	d.show.say("ready again after %s", d.killed.back.Round(time.Millisecond))
	return nil
}

// settle waits until the ledger holds as many records as the client has seen made, and
// compares.
func (d *demo) settle(ctx context.Context, outcome *sim.Outcome) (*demoReport, error) {
	loaded, err := config.Load("", d.settings)
	if err != nil {
		return nil, err
	}
	zone, err := loaded.Scheme.Location()
	if err != nil {
		return nil, err
	}
	date := txn.DateOf(time.Now(), zone, loaded.Scheme.CutOff)
	want := outcome.Figures.Count(txn.Approved) + outcome.Figures.Count(txn.Declined)
	bar := d.show.bar("records in the ledger", int(want))
	defer bar.done()
	deadline := time.Now().Add(demoDrainMax)
	for {
		ledger, err := ledgerReport(ctx, &loaded.Config, date)
		if err == nil {
			figures := figuresOf(&ledger, d.plan)
			n := figures.Count(txn.Approved) + figures.Count(txn.Declined)
			bar.set(int(n))
			if n >= want || time.Now().After(deadline) {
				return newDemoReport(d, outcome, figures, &ledger), nil
			}
		} else if time.Now().After(deadline) {
			return nil, fmt.Errorf("reading the ledger: %w", err)
		}
		if err := demoPause(ctx, demoPoll); err != nil {
			return nil, err
		}
	}
}

func demoPause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keep makes close leave the data where it is, and returns where.
func (d *demo) keep() string {
	d.o.data = d.dir
	return d.dir
}

// close stops everything that was started and removes the data, unless it is to be kept.
func (d *demo) close() error {
	var errs []error
	if d.client != nil {
		d.client.Close()
		d.lossy.Close()
	}
	if d.proxy != nil {
		errs = append(errs, d.proxy.Close())
	}
	if d.node != nil {
		errs = append(errs, d.node.stop())
	}
	if d.o.stack && d.settings != nil {
		errs = append(errs, d.removeStack())
	}
	d.show.close()
	if d.o.data == "" && d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

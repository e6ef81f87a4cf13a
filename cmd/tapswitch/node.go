package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/agency"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/ledger/console"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// tickEvery is how often due entries and the business date are looked at.
const tickEvery = time.Second

// node is one running switch: the parts of its roles, started in order and stopped in
// reverse. Only the admin server, which starts last because it shows the others, also stops
// last: whoever watches sees the whole stop.
type node struct {
	config   *config.Config
	log      *slog.Logger
	clock    clock
	hot      *hot
	engine   *engine.Engine
	works    *engine.Clockwork
	wh       warehouse.Warehouse // nil in a process without sink
	undone   txn.BusinessDate    // since when the store may have forgotten; 0: it has not
	counters *feed.Counters
	carriers []carrier
	gate     *gate.Server
	agency   *agency.Agency // nil without a city
	links    agency.Links   // by which it tells banks
	bank     *bank.Switch   // nil without a bank file
	ring     *keyring.Ring  // once it is open
	gateAddr string
	admin    *adminServer
	metrics  *gateMetrics           // nil without a gate
	figures  []prometheus.Collector // of the parts behind the gate
	console  *console.Server        // nil without an admin address

	// fail receives the first fault after which the process must stop.
	fail chan error
	// stops are the steps of an orderly stop; the last one is taken first.
	stops []stopStep
	// running counts the goroutines below, which end with their context.
	running sync.WaitGroup
}

type stopStep struct {
	name string
	stop func(ctx context.Context) error
}

// nodeOptions make a node.
type nodeOptions struct {
	Config *config.Config
	Log    *slog.Logger
	// Now is the switch's clock; nil is the machine's.
	Now func() txn.Millis
}

// newNode builds and starts the parts of the configuration's roles. When it fails it has
// stopped what it had started.
func newNode(ctx context.Context, o nodeOptions) (n *node, err error) {
	c := o.Config
	policy, err := readPolicy(c)
	if err != nil {
		return nil, err
	}
	loc, err := c.Scheme.Location()
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = wallClock
	}
	n = &node{
		config: c, log: o.Log, counters: new(feed.Counters), fail: make(chan error, 1),
		clock: clock{now: o.Now, days: engine.Calendar{Zone: loc, CutOff: c.Scheme.CutOff}},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close(context.WithoutCancel(ctx)))
			n = nil
		}
	}()
	for _, start := range []func(context.Context) error{
		n.startStore, n.keepTariff, n.startWarehouse, n.startCarriers,
		func(ctx context.Context) error { return n.startEngine(ctx, policy) },
		n.startDesk, n.startGate, n.startBank, n.startTicks, n.startConsole, n.startAdmin,
	} {
		if err := start(ctx); err != nil {
			return n, err // the deferred call stops what n has started
		}
	}
	return n, nil
}

// keepTariff refuses a tariff that changes what was charged on a day that has ended.
func (n *node) keepTariff(context.Context) error {
	c := n.config
	if err := faredesk.Adopt(c.DataDir, c.Scheme.TariffFile, n.clock.now()); err != nil {
		return fmt.Errorf("scheme.tariff_file: %w", err)
	}
	return nil
}

func (n *node) onStop(name string, stop func(context.Context) error) {
	n.stops = append(n.stops, stopStep{name, stop})
}

// fatal reports a fault after which the process must stop; the first one counts.
func (n *node) fatal(err error) {
	select {
	case n.fail <- err:
	default:
	}
}

// background runs f until its step of the stop; an error is fatal.
func (n *node) background(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	n.running.Go(func() {
		defer close(done)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			n.fatal(fmt.Errorf("%s: %w", name, err))
		}
	})
	n.onStop(name, func(stop context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stop.Done():
			return stop.Err()
		}
	})
}

func (n *node) startStore(ctx context.Context) error {
	h, err := openStore(ctx, n.config, n.clock, n.log, n.fatal)
	if err != nil {
		return err
	}
	n.hot = h
	n.onStop("store", func(context.Context) error { return h.Close() })
	if h.replica != nil {
		n.background("blacklist replica", func(ctx context.Context) error {
			h.replica.Run(ctx)
			return nil
		})
	}
	return nil
}

func (n *node) startWarehouse(ctx context.Context) error {
	if n.config.Feed.Kind == "kafka" && !n.config.Has(config.RoleSink) {
		return n.compareLedger(ctx)
	}
	wh, err := openWarehouse(ctx, n.config, n.log)
	if err != nil {
		return err
	}
	n.wh = wh
	n.onStop("warehouse", func(context.Context) error { return wh.Close() })
	return n.compareLedger(ctx)
}

func (n *node) startCarriers(ctx context.Context) error {
	if n.config.Feed.Kind == "kafka" {
		if err := feed.EnsureTopic(ctx, kafka(n.config)); err != nil {
			return cli.WithCode(cli.ExitUnavailable, fmt.Errorf("feed: %w", err))
		}
	}
	n.carriers = newCarriers(n.config, n.hot, n.wh, n.counters, n.log)
	for _, c := range n.carriers {
		n.background(c.name, c.run)
	}
	return nil
}

func (n *node) startEngine(_ context.Context, policy engine.Policy) error {
	e, err := engine.New(engine.Options{
		Cards: n.hot.cards, Blacklist: n.hot.marks, Policy: policy, Now: n.clock.now,
		Shares: runtime.GOMAXPROCS(0),
	})
	if err != nil {
		return err
	}
	n.engine = e
	n.works = engine.NewClockwork(e, n.hot, n.clock.days)
	return nil
}

// startTicks begins to do what time demands, once everything is there that may be told.
func (n *node) startTicks(context.Context) error {
	if n.config.Has(config.RoleGate) {
		n.background("clockwork", n.tick)
	}
	return nil
}

// tick does what time demands, once a second. A store that does not answer is no reason
// to stop: what is due stays due.
func (n *node) tick(ctx context.Context) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		done, err := n.works.Tick(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			n.log.Warn("clockwork", "error", err)
		case done.CutOver > 0:
			n.log.Info("business date begun", "date", n.clock.date(), "buckets", done.CutOver)
		case done.Lapsed > 0:
			n.log.Info("journeys closed that were never left", "count", done.Lapsed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (n *node) startGate(ctx context.Context) error {
	if !n.config.Has(config.RoleGate) {
		return nil
	}
	g, err := newGate(ctx, n)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", n.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	n.gate, n.gateAddr = g, ln.Addr().String()
	if err := n.bootstrap(ctx); err != nil {
		return errors.Join(err, ln.Close())
	}
	served := make(chan struct{})
	n.running.Go(func() {
		defer close(served)
		if err := g.Serve(ln); err != nil {
			n.fatal(fmt.Errorf("gate: %w", err))
		}
	})
	n.onStop("gate", func(ctx context.Context) error {
		err := g.Shutdown(ctx)
		select {
		case <-served:
		case <-ctx.Done():
			err = errors.Join(err, ctx.Err())
		}
		return err
	})
	return nil
}

func (n *node) startAdmin(context.Context) error {
	if n.config.AdminListen == "" {
		return nil
	}
	registry := prometheus.NewRegistry()
	registerMetrics(registry, n)
	a, err := newAdminServer(n.config.AdminListen, registry, n.checks(), n.serveParts)
	if err != nil {
		return err
	}
	n.admin = a
	n.stops = slices.Insert(n.stops, 0, stopStep{"admin", a.close})
	return nil
}

// checks are the conditions of readiness.
func (n *node) checks() []check {
	return []check{
		{"store", func(ctx context.Context) error {
			_, err := n.hot.Tails(ctx)
			return err
		}},
		{"blacklist", func(context.Context) error { return n.hot.fresh() }},
	}
}

// GateAddr returns the address that the gate listens on.
func (n *node) GateAddr() string { return n.gateAddr }

// Drain waits until everything committed up to now is in the warehouse.
func (n *node) Drain(ctx context.Context) error {
	for _, c := range n.carriers {
		if c.drain == nil {
			continue
		}
		if err := c.drain(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// Totals returns the figures of one business date from the warehouse.
func (n *node) Totals(ctx context.Context, date txn.BusinessDate) (warehouse.Totals, error) {
	return n.wh.Totals(ctx, date)
}

// Close stops the node in order, within the configured time: not ready at once, the gate
// serves for the drain delay, and after that everything ends within the drain timeout.
func (n *node) Close() error {
	g := &n.config.Gate
	ctx, cancel := context.WithTimeout(context.Background(), g.DrainDelay+g.DrainTimeout)
	defer cancel()
	return n.close(ctx)
}

// close stops the parts, the last step first, and logs how long each took.
func (n *node) close(ctx context.Context) error {
	if n.admin != nil {
		n.admin.drain() // the gate, whose step is the first, turns its own readyz
	}
	var errs []error
	for i := len(n.stops) - 1; i >= 0; i-- {
		step, begun := n.stops[i], time.Now()
		if err := step.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", step.name, err))
		}
		n.log.Info("stopped", "part", step.name, "took", time.Since(begun).Round(time.Millisecond))
	}
	n.stops = nil
	return errors.Join(errs...)
}

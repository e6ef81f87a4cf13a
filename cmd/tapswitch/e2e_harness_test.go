package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	warehouselocal "github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// e2eSeedEnv sets the seed of every test, to run a failure again.
	e2eSeedEnv = "TAPSWITCH_E2E_SEED"
	// e2eLongEnv lengthens the pauses of servers to those of FAULTS.md.
	e2eLongEnv = "TAPSWITCH_LONG"

	e2eWorkers  = 8
	e2eDrainMax = 60 * time.Second
	// e2eFaultsMax is how many faults of one kind a check quotes.
	e2eFaultsMax = 10
)

// e2eSeed returns the seed of a test: its own, or the one of the environment.
func e2eSeed(t testing.TB, own uint64) uint64 {
	t.Helper()
	if text := os.Getenv(e2eSeedEnv); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", e2eSeedEnv, err)
		}
		own = seed
	}
	t.Logf("seed %d (%s=%d runs it again)", own, e2eSeedEnv, own)
	return own
}

// e2eLong returns the short time, or the long one when asked for.
func e2eLong(short, long time.Duration) time.Duration {
	if os.Getenv(e2eLongEnv) == "1" {
		return long
	}
	return short
}

func e2ePlan(t testing.TB, seed uint64, cards int) *sim.Plan {
	t.Helper()
	p, err := sim.NewPlan(seed, cards)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// e2eFlags are the flags of a switch for a plan: free ports, the plan's tariff, everything
// periodic in a hurry, and a business day that does not end during the test.
func e2eFlags(t testing.TB, p *sim.Plan) []string {
	t.Helper()
	path, err := writeTariff(t.TempDir(), p.Tariff)
	if err != nil {
		t.Fatal(err)
	}
	hour := (time.Now().UTC().Add(8*time.Hour).Hour() + 12) % 24
	return []string{
		"--listen", "127.0.0.1:0", "--set", "scheme.tariff_file=" + path,
		"--set", fmt.Sprintf("scheme.cut_off=%dh", hour),
		"--set", "feed.flush_every=50ms", "--set", "store.local.checkpoint_every=100ms",
		"--set", "store.local.segment_bytes=262144",
	}
}

// e2eCity is a plan on its way through a switch.
type e2eCity struct {
	t         testing.TB
	plan      *sim.Plan
	node      *e2eNode
	client    *sim.Client
	cut       *faultproxy.Proxy // before the gate; loses every reply
	front     *faultproxy.Proxy // before the gate, where a test makes faults; may be nil
	desk      string
	driver    *sim.Driver
	terminals []*sim.Terminal
}

// newE2ECity registers the terminals and enrols the cards of a plan at a node that runs.
// With front the client goes through a proxy that is faithful until told otherwise.
func newE2ECity(t testing.TB, p *sim.Plan, n *e2eNode, front bool) *e2eCity {
	t.Helper()
	c := &e2eCity{t: t, plan: p, node: n, cut: e2eProxy(t, n.gate()), desk: n.secret(adminTokenFile)}
	c.cut.Inject(faultproxy.Fault{Kind: faultproxy.DropReply})
	addr := n.gate()
	if front {
		c.front = e2eProxy(t, n.gate())
		addr = c.front.Addr()
	}
	c.client = sim.NewClient(sim.ClientOptions{Addr: addr, RetryFor: 90 * time.Second})
	lossy := sim.NewClient(sim.ClientOptions{Addr: c.cut.Addr(), RetryFor: -1})
	t.Cleanup(func() {
		c.client.Close()
		lossy.Close()
	})
	var err error
	if c.terminals, err = sim.RegisterAll(t.Context(), c.client, c.desk, p.Terminals); err != nil {
		t.Fatal(err)
	}
	enrolled, err := sim.EnrolAll(t.Context(), c.client, c.desk, p.Enrolments())
	if err != nil || enrolled.New != len(p.Cards) {
		t.Fatalf("enrolled %+v of %d: %v", enrolled, len(p.Cards), err)
	}
	c.driver = &sim.Driver{Plan: p, Client: c.client, Lossy: lossy, Terminals: c.terminals,
		Desk: c.desk, Second: n.secret(secondTokenFile), Workers: e2eWorkers,
		Base: time.Now().Add(-sim.Span).Truncate(time.Second)}
	return c
}

func e2eProxy(t testing.TB, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Start(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// moved points everybody at the gate's present address.
func (c *e2eCity) moved() {
	addr := c.node.gate()
	c.cut.SetTarget(addr)
	if c.front != nil {
		c.front.SetTarget(addr)
		return
	}
	c.client.SetAddr(addr)
}

// restart starts the node again after its end and points everybody at it.
func (c *e2eCity) restart(env ...string) error {
	if err := c.node.start(env...); err != nil {
		return err
	}
	c.moved()
	return nil
}

// hook adds something that happens at a share of the work.
func (c *e2eCity) hook(at float64, do func(context.Context) error) {
	c.driver.Hooks = append(c.driver.Hooks, sim.Hook{At: at, Do: do})
}

// drive plays the plan to its end.
func (c *e2eCity) drive() *sim.Outcome {
	c.t.Helper()
	out, err := c.driver.Run(c.t.Context())
	if err != nil {
		c.t.Fatalf("seed %d: the driver stopped: %v", c.plan.Seed, err)
	}
	return out
}

// drain waits until everything is in the warehouse.
func (c *e2eCity) drain() {
	c.t.Helper()
	e2eUntil(c.t, e2eDrainMax, "drain", c.node.drained)
}

// e2eCard is a card as the desk sees it at the end.
type e2eCard struct {
	Token   string
	Balance txn.Minor
	Frozen  *struct{ Reason string }
}

// cards asks the desk for every card of the plan.
func (c *e2eCity) cards() []e2eCard {
	c.t.Helper()
	all := make([]e2eCard, len(c.plan.Cards))
	err := sim.Each(c.t.Context(), e2eWorkers, len(all), func(ctx context.Context, i int) error {
		body, err := json.Marshal(map[string]string{"card": c.plan.Cards[i].Number.Digits()})
		if err != nil {
			return err
		}
		r, err := c.client.Operate(ctx, c.desk, http.MethodPost, "/v1/cards:lookup", body)
		if err != nil || r.Refused != nil {
			return fmt.Errorf("lookup of card %d: %d %w", i, r.Status, errors.Join(err, asError(r.Refused)))
		}
		return json.Unmarshal(r.Body, &all[i])
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

func asError(e *sim.APIError) error {
	if e == nil {
		return nil
	}
	return e
}

// parquet reads every record of the node's own warehouse.
func (n *e2eNode) parquet() []txn.Record {
	n.t.Helper()
	r, err := warehouselocal.OpenReader(filepath.Join(n.dir, "warehouse"))
	if err != nil {
		n.t.Fatal(err)
	}
	return e2eRecords(n.t, r)
}

// e2eRecords reads everything that a warehouse holds.
func e2eRecords(t testing.TB, r warehouse.Reader) []txn.Record {
	t.Helper()
	var all []txn.Record
	err := r.Records(context.Background(), warehouse.Filter{}, func(r *txn.Record) error {
		all = append(all, *r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	letters, err := r.DeadLetters(context.Background())
	if err != nil || len(letters) > 0 {
		t.Fatalf("dead letters: %v %v", letters, err)
	}
	return all
}

// finish drains, reads what is left everywhere and checks everything. read returns the
// warehouse's records.
func (c *e2eCity) finish(out *sim.Outcome, read func() []txn.Record) {
	c.t.Helper()
	c.drain()
	e := &e2eEvidence{plan: c.plan, outcome: out, cards: c.cards(), records: read()}
	if err := c.node.stop(); err != nil {
		c.t.Errorf("seed %d: SIGTERM after the work: %v", c.plan.Seed, err)
	}
	e.require(c.t)
}

// e2eServersClose ends what tests share; the files that start such servers add to it.
func e2eServersClose() {
	e2eShared.mu.Lock()
	defer e2eShared.mu.Unlock()
	for _, end := range e2eShared.ends {
		end()
	}
	e2eShared.ends = nil
}

// e2eShared are servers that several tests use.
var e2eShared struct {
	mu   sync.Mutex // guards ends
	ends []func()
}

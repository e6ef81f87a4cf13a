package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/sim/simtest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestMain(m *testing.M) {
	// The gate's library leaves its housekeeping running after a shutdown.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

func plan(t *testing.T, seed uint64, cards int) *sim.Plan {
	t.Helper()
	p, err := sim.NewPlan(seed, cards)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanIsDeterministic(t *testing.T) {
	a, b := plan(t, 7, 200), plan(t, 7, 200)
	if a.Digest() != b.Digest() || a.Want.Digest() != b.Want.Digest() {
		t.Error("the same seed gave two plans")
	}
	other := plan(t, 8, 200)
	if other.Digest() == a.Digest() || other.Want.Digest() == a.Want.Digest() {
		t.Error("another seed gave the same plan")
	}
}

func TestPlanLimits(t *testing.T) {
	for _, n := range []int{-1, 0, sim.CardsMax + 1} {
		if _, err := sim.NewPlan(1, n); err == nil {
			t.Errorf("a plan of %d cards was made", n)
		}
	}
}

// The plan holds what it promises: every scene, times in order within the span, ids that
// are used once, test numbers only.
func TestPlanHoldsEverything(t *testing.T) {
	p := plan(t, 1, 3000)
	if _, err := fare.Compile(p.Tariff); err != nil {
		t.Fatal(err)
	}
	ids := map[txn.RequestID]bool{}
	numbers := map[pan.Number]bool{}
	actions, flaws := map[sim.Action]int{}, map[sim.Flaw]int{}
	kinds, reasons := map[txn.Kind]int{}, map[txn.Reason]int{}
	var copies, lost, late int
	for i := range p.Cards {
		c := &p.Cards[i]
		if numbers[c.Number] || !strings.HasPrefix(c.Number.Digits(), "310499") {
			t.Fatalf("card %d: number %s", i, c.Number)
		}
		numbers[c.Number] = true
		var last time.Duration
		for j, s := range c.Steps {
			if s.Index != j || s.At <= last || s.At >= sim.Span {
				t.Fatalf("card %d, step %d at %s after %s", i, j, s.At, last)
			}
			last = s.At
			actions[s.Action]++
			copies += s.Copies
			if s.Lost {
				lost++
			}
			if s.Late {
				late++
			}
			switch s.Action {
			case sim.Request:
				if ids[s.ID] {
					t.Fatalf("id %s is used twice", s.ID)
				}
				ids[s.ID] = true
				kinds[s.Kind]++
				reasons[s.Want.Reason]++
			case sim.Bad:
				flaws[s.Flaw]++
			}
		}
	}
	for _, k := range []txn.Kind{txn.MetroEntry, txn.MetroExit, txn.BusBoarding, txn.Purchase,
		txn.Load, txn.Refund, txn.Reversal, txn.Balance} {
		if kinds[k] < 50 {
			t.Errorf("only %d of %s", kinds[k], k)
		}
	}
	for _, r := range []txn.Reason{txn.ReasonNone, txn.CardFrozen, txn.CardCancelled,
		txn.ApplicationClosed, txn.OriginalUnknown, txn.OriginalDeclined, txn.OriginalReversed,
		txn.OriginalNotRefundable, txn.RefundTooLarge, txn.PassBack, txn.NoEntry,
		txn.LimitExceeded, txn.InsufficientFunds} {
		if reasons[r] < 5 {
			t.Errorf("only %d of reason %s", reasons[r], r)
		}
	}
	for a := sim.Request; a <= sim.Bad; a++ {
		if actions[a] < 20 {
			t.Errorf("only %d of action %d", actions[a], a)
		}
	}
	if len(flaws) != 6 || copies < 500 || lost < 300 || late < 10 {
		t.Errorf("flaws %v, %d copies, %d lost, %d late", flaws, copies, lost, late)
	}
	if p.Want.Purse != p.Balances() {
		t.Errorf("purses hold %d, the figures say %d", p.Balances(), p.Want.Purse)
	}
}

// The figures do not depend on how many workers there are, nor on a crash in the middle.
func TestFiguresDoNotDependOnTheWay(t *testing.T) {
	p := plan(t, 11, 250)
	for _, workers := range []int{1, 3, 16} {
		s, d, proxy := city(t, p, simtest.Options{})
		d.Workers = workers
		if workers == 16 {
			restart(s, d, proxy)
		}
		out, err := d.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Mismatches {
			t.Errorf("%d workers: %s", workers, m)
		}
		equalFigures(t, "client", seenBy(out, p), p.Want)
		equalFigures(t, "ledger", ledger(t, s), p.Want)
		if got := ledger(t, s).Digest(); got != p.Want.Digest() {
			t.Errorf("%d workers: digest %s, want %s", workers, got, p.Want.Digest())
		}
		if len(out.Approvals) == 0 || out.Absorbed != out.Copies || out.Resolved != out.Lost ||
			out.FrozenRefused != out.FrozenTried || out.BadRefused != out.BadTried {
			t.Errorf("%d workers: %+v", workers, *out)
		}
	}
}

// restart stops the gate half way, under load, and starts it on another port.
func restart(s *simtest.Switch, d *sim.Driver, proxy *faultproxy.Proxy) {
	d.Hooks = append(d.Hooks, sim.Hook{At: 0.5, Do: func(context.Context) error {
		s.Stop()
		s.Start()
		d.Client.SetAddr(s.Addr)
		proxy.SetTarget(s.Addr)
		return nil
	}})
}

// broken is an engine with a planted fault.
type broken struct {
	gate.Engine
	n    *atomic.Int64
	each int64
	do   func(gate.Engine, context.Context, *txn.Request) engine.Answer
}

// Authorize is wrong now and then.
func (b broken) Authorize(ctx context.Context, r *txn.Request) engine.Answer {
	if r.Kind.IsTap() && b.n.Add(1)%b.each == 0 {
		return b.do(b.Engine, ctx, r)
	}
	return b.Engine.Authorize(ctx, r)
}

// A switch with a fault does not pass: the three accounts disagree.
func TestFaultsAreSeen(t *testing.T) {
	p := plan(t, 5, 150)
	for name, do := range map[string]func(gate.Engine, context.Context, *txn.Request) engine.Answer{
		"approved and not booked": func(_ gate.Engine, _ context.Context, r *txn.Request) engine.Answer {
			return engine.Answer{Decision: txn.Decision{Outcome: txn.Approved,
				AuthCode: txn.AuthCodeOf(r.Fingerprint())}}
		},
		"booked twice": func(e gate.Engine, ctx context.Context, r *txn.Request) engine.Answer {
			e.Authorize(ctx, r)
			again := *r
			again.ID.Boot += 77
			return e.Authorize(ctx, &again)
		},
		"a fen too much": func(e gate.Engine, ctx context.Context, r *txn.Request) engine.Answer {
			more := *r
			if r.FareGiven {
				return e.Authorize(ctx, r)
			}
			more.FareGiven, more.FullFare, more.Amount = true, 200, 1
			return e.Authorize(ctx, &more)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, d, _ := city(t, p, simtest.Options{Engine: func(e gate.Engine) gate.Engine {
				return broken{e, new(atomic.Int64), 20, do}
			}})
			out, err := d.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if out.MismatchCount == 0 && len(p.Want.Diff(ledger(t, s))) == 0 {
				t.Error("nobody noticed")
			}
		})
	}
}

func TestHookFails(t *testing.T) {
	p := plan(t, 2, 50)
	_, d, _ := city(t, p, simtest.Options{})
	bad := errors.New("bad hook")
	d.Hooks = []sim.Hook{{At: 0.3, Do: func(context.Context) error { return bad }}}
	out, err := d.Run(t.Context())
	if !errors.Is(err, bad) || out.Answers >= p.Steps {
		t.Errorf("%d answers, %v", out.Answers, err)
	}
}

func TestDriverLimits(t *testing.T) {
	for _, n := range []int{0, -1, 1025} {
		if _, err := (&sim.Driver{Plan: plan(t, 1, 1), Workers: n}).Run(t.Context()); err == nil {
			t.Errorf("%d workers were taken", n)
		}
	}
}

func TestFigures(t *testing.T) {
	tap := sim.Item{Kind: txn.BusBoarding, Outcome: txn.Approved, Operator: "BUS",
		FullFare: 200, Charged: 160}
	refusal := sim.Item{Kind: txn.BusBoarding, Outcome: txn.Declined, Reason: txn.CardFrozen,
		Operator: "BUS"}
	load := sim.Item{Kind: txn.Load, Outcome: txn.Approved, Operator: "AGENT", Charged: -5000}
	a, b := sim.NewFigures(), sim.NewFigures()
	for _, it := range []sim.Item{tap, refusal, load, tap} {
		a.Add(it)
	}
	for _, it := range []sim.Item{load, tap} {
		b.Add(it)
	}
	if a.Digest() == b.Digest() {
		t.Error("different figures, one digest")
	}
	want := []string{"- bus_boarding approved: 2 records, full fare 400, charged 320",
		"+ bus_boarding approved: 1 records, full fare 200, charged 160",
		"- bus_boarding declined: 1 records, full fare 0, charged 0",
		"- declined card_frozen: 1",
		"- operator BUS: 2 approved, 1 declined, full fare 400, charged 320",
		"+ operator BUS: 1 approved, 0 declined, full fare 200, charged 160",
		"- purses: 4680", "+ purses: 4840"}
	got := a.Diff(b)
	slices.Sort(got)
	slices.Sort(want)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	rest := sim.NewFigures()
	rest.Add(refusal)
	rest.Add(tap)
	b.Merge(rest)
	if d := a.Diff(b); len(d) != 0 || a.Digest() != b.Digest() {
		t.Errorf("merged figures differ: %v", d)
	}
	if a.Count(txn.Approved) != 3 || a.Count(txn.Declined) != 1 || a.Charged() != -4680 ||
		fmt.Sprint(a.PartyNames()) != "[AGENT BUS]" {
		t.Errorf("%+v", a)
	}
}

package sim_test

import (
	"context"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/sim/simtest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// city starts a switch for a plan, registers its terminals and enrols its cards, and
// returns a driver that is ready to run.
func city(
	t *testing.T, p *sim.Plan, o simtest.Options,
) (*simtest.Switch, *sim.Driver, *faultproxy.Proxy) {
	t.Helper()
	o.Tariff = p.Tariff
	s := simtest.New(t, o)
	client := sim.NewClient(sim.ClientOptions{Addr: s.Addr})
	t.Cleanup(client.Close)
	terminals, err := sim.RegisterAll(t.Context(), client, s.Desk, p.Terminals)
	if err != nil {
		t.Fatal(err)
	}
	n, err := sim.EnrolAll(t.Context(), client, s.Desk, p.Enrolments())
	if err != nil || n.New != len(p.Cards) {
		t.Fatalf("%+v enrolled, %v", n, err)
	}
	proxy, err := faultproxy.Start(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Inject(faultproxy.Fault{Kind: faultproxy.DropReply})
	lossy := sim.NewClient(sim.ClientOptions{Addr: proxy.Addr(), RetryFor: -1})
	t.Cleanup(func() {
		lossy.Close()
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &sim.Driver{Plan: p, Client: client, Lossy: lossy, Terminals: terminals,
		Desk: s.Desk, Second: s.Second, Base: time.Now().Add(-sim.Span).Truncate(time.Second),
		Workers: 8}, proxy
}

// ledger sums what the switch settled.
func ledger(t *testing.T, s *simtest.Switch) *sim.Figures {
	t.Helper()
	f := sim.NewFigures()
	err := s.Records(context.Background(), func(r *txn.Record) error {
		if !r.Kind.IsMarker() {
			f.Add(sim.Item{Kind: r.Kind, Outcome: r.Outcome, Reason: r.Reason,
				Operator: r.Place.Operator, FullFare: r.FullFare, Charged: r.Charged})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// seenBy adds the enrolments to what a driver saw.
func seenBy(o *sim.Outcome, p *sim.Plan) *sim.Figures {
	f := sim.NewFigures()
	f.Merge(o.Figures)
	for range p.Cards {
		f.Add(sim.Item{Kind: txn.Enrol, Outcome: txn.Approved})
	}
	return f
}

func equalFigures(t *testing.T, what string, got, want *sim.Figures) {
	t.Helper()
	for i, line := range want.Diff(got) {
		if i == 20 {
			t.Errorf("%s: and more", what)
			return
		}
		t.Errorf("%s: %s", what, line)
	}
}

// The model, the answers and the ledger are three accounts of one morning.
func TestMorning(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		p := plan(t, seed, 400)
		s, d, _ := city(t, p, simtest.Options{})
		out, err := d.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Mismatches[:min(10, len(out.Mismatches))] {
			t.Errorf("seed %d: %s", seed, m)
		}
		equalFigures(t, "client", seenBy(out, p), p.Want)
		equalFigures(t, "ledger", ledger(t, s), p.Want)
	}
}

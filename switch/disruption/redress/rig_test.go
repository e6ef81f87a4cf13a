package redress_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/disruption/redress"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	minute txn.Millis = 60_000
	hour              = 60 * minute
)

// morning is 21 November 2026, 08:00 in Shenzhen.
var morning = txn.MillisOf(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))

// town is an engine on the reference store, with a tariff that charges 7.00 for an incomplete
// journey and 1.50 for one of more than two hours, an order, and who forgives.
type town struct {
	t       *testing.T
	clock   atomic.Int64
	memory  *storetest.Memory
	engine  *engine.Engine
	service *redress.Service
	order   disruption.Order
	counter uint32
	// between is called after the ledger was read and before the engine is asked.
	between func()
	// read is called as soon as the ledger was read.
	read    func()
	settles atomic.Int64

	mu  sync.Mutex // guards all
	all []txn.Record
	at  [txn.BucketCount]store.Cursor
}

type nobody struct{}

func (nobody) Mark(pan.Token) txn.Mark   { return txn.Mark{} }
func (nobody) Learn(pan.Token, txn.Mark) {}

func newTown(t *testing.T, mode disruption.Mode, scope string) *town {
	t.Helper()
	w := &town{t: t}
	w.clock.Store(int64(morning))
	w.memory = storetest.NewMemory(storetest.MemoryOptions{Now: w.now})
	if err := w.memory.OpenEpoch(t.Context(), morning); err != nil {
		t.Fatal(err)
	}
	for b := range txn.Bucket(txn.BucketCount) {
		if err := w.memory.CutOver(t.Context(), b, 20261121, morning); err != nil {
			t.Fatal(err)
		}
	}
	s, err := disruption.ParseScope(scope)
	if err != nil {
		t.Fatal(err)
	}
	w.order = disruption.Order{ID: "o1", Mode: mode, Scope: s, From: morning, Until: morning + 6*hour, By: "anna",
		Second: "ben", Reason: "signals"}
	w.engine = w.newEngine(w.memory)
	w.service = w.newService(w.memory, w.engine)
	return w
}

func (w *town) newEngine(cards store.Cards) *engine.Engine {
	w.t.Helper()
	most := txn.Minor(700)
	v, err := price.Compile(price.File{Tariff: "t", Version: "1", Effective: price.Effective{From: 20260101},
		Fares: []price.Fare{{Name: "metro", Mode: "metro", Pairs: &price.Pairs{Otherwise: &most,
			Fares: []price.PairFare{{From: "North", To: "South", Fare: 500}}}}},
		Overtime: &price.Overtime{After: 2 * time.Hour, Charge: 150},
		Incomplete: &price.Incomplete{MissingExit: "maximum", MissingEntry: "maximum",
			Correction: &price.Correction{Within: 24 * time.Hour, PerMonth: 9}}})
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := engine.New(engine.Options{Cards: cards, Blacklist: nobody{}, Policy: engine.DefaultPolicy(fare.Of(v)),
		Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *town) newService(m *storetest.Memory, e redress.Engine) *redress.Service {
	w.t.Helper()
	s, err := redress.New(redress.Options{Ledger: w, Engine: asked{w, e}, Cards: m, Registry: m, Now: w.now,
		Currency: txn.CNY,
		Date:     func(at txn.Millis) txn.BusinessDate { return txn.DateOf(at.Time(), time.UTC, 0) },
		Orders: func(context.Context) ([]disruption.Order, error) {
			return []disruption.Order{w.order}, nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// asked calls between before the engine.
type asked struct {
	w *town
	redress.Engine
}

func (a asked) AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer {
	if f := a.w.between; f != nil {
		a.w.between = nil
		f()
	}
	return a.Engine.AuthorizeAll(ctx, requests)
}

func (w *town) now() txn.Millis { return txn.Millis(w.clock.Load()) }

func (w *town) pass(m txn.Millis) { w.clock.Add(int64(m)) }

// Settled implements redress.Ledger: only what is in the outbox by now is shown from now on.
func (w *town) Settled(ctx context.Context) error {
	w.settles.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	infos, err := w.memory.Handle().Buckets(ctx)
	if err != nil {
		return err
	}
	for b := range w.at {
		for w.at[b].Hi < uint64(infos[b].Last.Epoch) || w.at[b].Lo <= uint64(infos[b].Last.Seq) {
			got, next, err := w.memory.Handle().Read(ctx, b, w.at[b], 100)
			if err != nil || len(got) == 0 {
				return err
			}
			for _, e := range got {
				r, err := txn.DecodeRecord(e.Record)
				if err != nil {
					return err
				}
				r.Position, r.BusinessDate = e.Position, e.Date
				w.all = append(w.all, r)
			}
			w.at[b] = next
		}
	}
	return nil
}

// Since implements redress.Ledger.
func (w *town) Since(_ context.Context, from txn.BusinessDate, yield func(*txn.Record) error) error {
	w.mu.Lock()
	all := slices.Clone(w.all)
	w.mu.Unlock()
	for i := range all {
		if all[i].BusinessDate < from {
			continue
		}
		if err := yield(&all[i]); err != nil {
			return err
		}
	}
	if f := w.read; f != nil {
		w.read = nil
		f()
	}
	return nil
}

func token(n byte) pan.Token { return pan.Token{n * 4, n, 0xca} }

func (w *town) request(n byte, kind txn.Kind, station string) *txn.Request {
	w.t.Helper()
	id, err := txn.ParseTerminalID("GATE01")
	if err != nil {
		w.t.Fatal(err)
	}
	w.counter++
	return &txn.Request{ID: txn.RequestID{Terminal: id, Boot: 1, Counter: w.counter}, Kind: kind, Card: token(n),
		Last4: pan.Last4{'1', '2', '3', '4'}, Currency: txn.CNY, ServiceAt: w.now(), ReceivedAt: w.now(),
		Place: txn.Place{Operator: "metro", Line: "M1", Station: station, Payee: "operator/metro"}}
}

func (w *town) do(q *txn.Request) txn.Decision {
	w.t.Helper()
	a := w.engine.Authorize(w.t.Context(), q)
	if a.Err != nil || a.Decision.Outcome != txn.Approved {
		w.t.Fatalf("%s: %s %v", q.Kind, a.Decision.Reason, a.Err)
	}
	return a.Decision
}

// open enrols card n with 50.00.
func (w *town) open(n byte) {
	w.t.Helper()
	q := w.request(n, txn.Enrol, "")
	q.Enrolment.Apps = txn.AppTransit | txn.AppPurse
	w.do(q)
	q = w.request(n, txn.Load, "")
	q.Amount, q.Place.Funding = 5000, "acquirer/SZT"
	w.do(q)
}

func (w *town) enter(n byte, station string) *txn.Request {
	q := w.request(n, txn.MetroEntry, station)
	w.do(q)
	return q
}

func (w *town) leave(n byte, station string) *txn.Request {
	q := w.request(n, txn.MetroExit, station)
	w.do(q)
	return q
}

// bySelf is the holder's own correction.
func (w *town) bySelf(n byte, station string) txn.Decision {
	return w.engine.Authorize(w.t.Context(), w.request(n, txn.Correction, station)).Decision
}

func (w *town) balance(n byte) txn.Minor {
	w.t.Helper()
	l, err := w.memory.Handle().Load(context.Background(), token(n), nil)
	var s card.State
	if err == nil {
		err = s.Decode(l.State)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Balance
}

func (w *town) wantBalances(what string, want ...txn.Minor) {
	w.t.Helper()
	for i, b := range want {
		if got := w.balance(byte(i + 1)); got != b {
			w.t.Errorf("%s: card %d has %d, want %d", what, i+1, got, b)
		}
	}
}

// confirmed proposes and confirms what the order forgives.
func (w *town) confirmed() *redress.Run {
	w.t.Helper()
	r, _, err := w.service.Propose(w.t.Context(), "o1", "anna")
	if err == nil {
		r, err = w.service.Confirm(w.t.Context(), "o1", "ben", redress.Confirmation{Run: r.ID, Journeys: r.Journeys,
			Sum: r.Sum})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// corrections returns the approved corrections of the office.
func (w *town) corrections() (all []txn.Record) {
	w.t.Helper()
	if err := w.Settled(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range w.all {
		if r.Kind == txn.Correction && r.Outcome == txn.Approved && r.Request.Terminal.String() == txn.GraceDesk {
			all = append(all, r)
		}
	}
	return all
}

// Package simtest runs a whole switch in the test's process: the real gate and engine on a
// loopback port over the in-memory reference store. Stop and Start again stand for a crash
// and a restart: what the store had committed stays, everything else is gone.
//
// It is for tests only. Nothing is durable; amounts are fen.
package simtest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Options make a Switch.
type Options struct {
	Tariff fare.File
	// Now is the switch's clock; nil is the machine's.
	Now func() txn.Millis
	// Policy changes the default policy; may be nil.
	Policy func(*engine.Policy)
	// Engine wraps the engine before the gate gets it, to plant a fault; may be nil.
	Engine func(gate.Engine) gate.Engine
}

// Switch is a running switch.
type Switch struct {
	// Addr is where the gate listens; it changes with Start.
	Addr string
	// Desk and Second are tokens of two persons with all roles.
	Desk, Second string
	// Store is what survives a restart.
	Store *storetest.Memory

	t      testing.TB
	o      Options
	policy engine.Policy
	server *gate.Server
	served chan struct{}
	works  *engine.Clockwork
}

// New starts a switch that ends with the test.
func New(t testing.TB, o Options) *Switch {
	t.Helper()
	tariff, err := fare.Compile(o.Tariff)
	if err != nil {
		t.Fatal(err)
	}
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	s := &Switch{t: t, o: o, policy: engine.DefaultPolicy(tariff),
		Store: storetest.NewMemory(storetest.MemoryOptions{Now: o.Now})}
	if o.Policy != nil {
		o.Policy(&s.policy)
	}
	s.Start()
	for name, to := range map[string]*string{"desk": &s.Desk, "second": &s.Second} {
		if *to, err = gate.CreateOperator(t.Context(), s.Store, name, gate.Roles()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.Stop)
	return s
}

// Start starts the gate on a new port over what the store holds.
func (s *Switch) Start() {
	s.t.Helper()
	s.Store = s.Store.Handle()
	if err := s.Store.OpenEpoch(s.t.Context(), s.o.Now()); err != nil {
		s.t.Fatal(err)
	}
	e, err := engine.New(engine.Options{Cards: s.Store, Blacklist: &marks{}, Policy: s.policy,
		Now: s.o.Now})
	if err != nil {
		s.t.Fatal(err)
	}
	s.works = engine.NewClockwork(e, s.Store, engine.Calendar{Zone: time.FixedZone("", 8*3600)})
	tokenizer, err := pan.NewTokenizer(make([]byte, 32))
	if err != nil {
		s.t.Fatal(err)
	}
	var front gate.Engine = e
	if s.o.Engine != nil {
		front = s.o.Engine(e)
	}
	s.server, err = gate.New(gate.Options{Engine: front, Registry: s.Store, Tokenizer: tokenizer,
		Cards: s.Store, Entries: s.Store, MasterKey: make([]byte, 32), Now: s.o.Now})
	if err != nil {
		s.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.Addr, s.served = ln.Addr().String(), make(chan struct{})
	go func(server *gate.Server, served chan struct{}) {
		defer close(served)
		if err := server.Serve(ln); err != nil {
			s.t.Error(err)
		}
	}(s.server, s.served)
	// The answer says that the gate serves: one that does not yet cannot be stopped.
	resp, err := http.Get("http://" + s.Addr + "/livez")
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

// Stop ends the gate; the store stays.
func (s *Switch) Stop() {
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.t.Error(err)
	}
	<-s.served
	s.server = nil
}

// Tick does what is due at the clock's present.
func (s *Switch) Tick(ctx context.Context) error {
	_, err := s.works.Tick(ctx)
	return err
}

// Records calls yield for every settled record, in order within each bucket.
func (s *Switch) Records(ctx context.Context, yield func(*txn.Record) error) error {
	infos, err := s.Store.Buckets(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		var from store.Cursor
		var at txn.Position
		for info.Pending > 0 && at != info.Last {
			entries, next, err := s.Store.Read(ctx, int(info.Bucket), from, 1000)
			if err != nil {
				return err
			}
			from = next
			for _, e := range entries {
				r, err := txn.DecodeRecord(e.Record)
				if err != nil {
					return err
				}
				at = e.Position
				r.Position, r.BusinessDate = e.Position, e.Date
				if err := yield(&r); err != nil {
					return err
				}
				if at == info.Last {
					break // what came since is not asked for
				}
			}
		}
	}
	return nil
}

// marks is the simplest blacklist: what commits have said.
type marks struct {
	mu    sync.Mutex // guards known
	known map[pan.Token]txn.Mark
}

// Mark returns the card's mark as far as it is known.
func (m *marks) Mark(card pan.Token) txn.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[card]
}

// Learn keeps what a commit said.
func (m *marks) Learn(card pan.Token, mark txn.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[pan.Token]txn.Mark{}
	}
	m.known[card] = mark
}

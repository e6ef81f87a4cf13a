package redress

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of carrying out.
const (
	// AskedMax is how long after the ledger was asked a correction may be carried out: less than
	// a card remembers every request at least (card.RecentYoung).
	AskedMax txn.Millis = 60 * 1000
	// Every is how soon what failed is tried again, and a run is taken up that another process
	// began.
	Every = 5 * time.Second
	// batchMax is how many corrections are asked for in one list.
	batchMax = 256
	// roundsMax bounds the rounds of one attempt.
	roundsMax = 4
)

// Ledger is where settled records are read.
type Ledger interface {
	// Since calls yield for every settled record from a business date on; those of a card come
	// in the order in which they were settled.
	Since(ctx context.Context, from txn.BusinessDate, yield func(*txn.Record) error) error
	// Settled returns when Since shows everything that was committed before the call.
	Settled(ctx context.Context) error
}

// Engine books corrections.
type Engine interface {
	// AuthorizeAll decides a list; a request that is sent again is answered again.
	AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer
}

// Options of New. All but Log are needed.
type Options struct {
	Ledger   Ledger
	Engine   Engine
	Cards    store.Cards
	Registry store.Registry
	// Orders returns the orders that are kept.
	Orders   func(context.Context) ([]disruption.Order, error)
	Date     func(txn.Millis) txn.BusinessDate
	Now      func() txn.Millis
	Currency txn.Currency
	Log      *slog.Logger
}

// Service finds and gives back. New makes one; Follow carries out what was confirmed.
type Service struct {
	o    Options
	kick chan struct{}
}

// errOptions reports options that are missing.
var errOptions = errors.New("redress: ledger, engine, store, orders, clock and calendar are needed")

// New returns the service.
func New(o Options) (*Service, error) {
	if o.Ledger == nil || o.Engine == nil || o.Cards == nil || o.Registry == nil || o.Orders == nil ||
		o.Date == nil || o.Now == nil {
		return nil, errOptions
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{o: o, kick: make(chan struct{}, 1)}, nil
}

// Follow carries out runs that were confirmed, here or elsewhere, until ctx ends. It returns nil
// then; what fails is tried again.
func (s *Service) Follow(ctx context.Context) error {
	ticker := time.NewTicker(Every)
	defer ticker.Stop()
	for {
		if err := s.Work(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Warn("forgiven journeys wait", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-s.kick:
		}
	}
}

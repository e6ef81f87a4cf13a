package bank

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/flight"
	"github.com/tapswitch/tapswitch/switch/bank/kept"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/notice"
	"github.com/tapswitch/tapswitch/switch/bank/rota"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
	"github.com/tapswitch/tapswitch/switch/bank/setup"
	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The bank file; package setup has its keys.
type (
	// Config is the whole file.
	Config = setup.Config
	// Listener and Link are its entries.
	Listener = setup.Listener
	// Link is a bank.
	Link = setup.Link
	// Keys are the keys of either.
	Keys = setup.Keys
)

// ErrConfig is what every refusal of a bank file is.
var ErrConfig = setup.ErrConfig

// LoadConfig reads a bank file. Paths in it are relative to it.
func LoadConfig(path string) (*Config, error) { return setup.LoadConfig(path) }

// Options make a Switch. All but Ring, Batch, Failpoint, Dial and Log are mandatory.
type Options struct {
	Config   *Config
	Engine   *engine.Engine
	Registry store.Registry
	// Clock has the due queue.
	Clock store.Clock
	// List gives the frozen cards to terminals that ask for them.
	List store.List
	// Marks is the blacklist in memory: a balance inquiry asks no store.
	Marks     engine.Blacklist
	Tokenizer *pan.Tokenizer
	// MasterKey (32 bytes) seals what must be kept of a message.
	MasterKey []byte
	// Ring holds the keys that the configuration names; nil when it names none.
	Ring *keyring.Ring
	// Calendar says where days begin, for stand-in limits and local times.
	Calendar engine.Calendar
	// Batch returns the settled records of a terminal's batch once all are in the ledger;
	// nil in a process without ledger, where terminals cannot settle.
	Batch func(ctx context.Context, terminal txn.TerminalID, batch uint32) ([]txn.Record, error)
	// Records returns settled records for the totals of acquirers and banks; nil in a process
	// without ledger, where they cannot be reconciled.
	Records tally.Records
	Now     func() txn.Millis
	// Failpoint is called where a crash test may kill the process; nil in ordinary runs.
	Failpoint func(name string)
	// Dial connects to banks; nil is the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	Log  *slog.Logger
}

// Switch is the bank edge: listeners, links, and what goes between.
type Switch struct {
	o         Options
	tokens    *pan.Tokenizer
	currency  txn.Currency
	zone      *time.Location
	aead      cipher.AEAD
	routes    *route.Table
	keys      *secure.Terminals
	listeners []*listener
	links     map[string]*outlet
	flights   *flight.Table
	recalled  flight.Recall[answer]
	seed      maphash.Seed // of what recalled answers answered
	chips     setup.Chips
	answers   *kept.Answers
	// references are the numbers in field 37: one row for all links, so that no terminal gets
	// a reference twice.
	references *link.Numbers
	teller     *teller
	trail      *audit.Trail
	letters    *notice.Box
	recons     tally.Reconciler
	rota       *rota.Rota
	stats      Stats
	log        *slog.Logger

	serving sync.WaitGroup
}

// Open makes a Switch and begins to connect to the banks. Serve takes terminals and
// acquirers.
func Open(ctx context.Context, o Options) (s *Switch, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	s = &Switch{o: o, tokens: o.Tokenizer, currency: o.Engine.Policy().Currency,
		zone: o.Calendar.Zone, links: map[string]*outlet{}, log: o.Log}
	s.flights, s.seed = flight.New(), maphash.MakeSeed()
	s.answers = &kept.Answers{Registry: o.Registry, Log: o.Log}
	if s.chips, err = o.Config.EMV.Load(); err != nil {
		return nil, err
	}
	if s.aead, err = sealer(o.MasterKey); err != nil {
		return nil, err
	}
	if s.routes, err = o.Config.Table(s.zone); err != nil {
		return nil, err
	}
	s.trail = audit.NewTrail(o.Registry, o.Now)
	s.recons = tally.Reconciler{Registry: o.Registry, Clock: o.Clock, Records: o.Records,
		Calendar: o.Calendar, Now: o.Now, Sure: s.laterBy(16) + sureAfter}
	if s.letters, err = notice.Open(ctx, o.Registry); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	if err = s.adviceBook().Sweep(ctx); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	s.keys, err = secure.NewTerminals(secure.TerminalOptions{Ring: o.Ring, Registry: o.Registry,
		Overlap: 2 * time.Minute, Now: s.clock})
	if err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	for i := range o.Config.Listeners {
		l, err := s.newListener(ctx, &o.Config.Listeners[i])
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", o.Config.Listeners[i].Name, err)
		}
		s.listeners = append(s.listeners, l)
	}
	if s.references, err = link.NewNumbers(referenceNumbers, kept.Numbers{Registry: o.Registry}, stanBlock,
		0); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	s.teller = newTeller(s)
	for i := range o.Config.Links {
		l, err := s.newOutlet(ctx, &o.Config.Links[i])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("link %s: %w", o.Config.Links[i].Name, err),
				s.Shutdown(ctx))
		}
		s.links[l.name] = l
	}
	if err = s.openRota(ctx); err != nil {
		return nil, errors.Join(err, s.Shutdown(ctx))
	}
	s.teller.start()
	s.rota.Start()
	return s, nil
}

func sealer(master []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(master)
	if err != nil || len(master) != 32 {
		return nil, fmt.Errorf("bank: master key of %d bytes, want 32", len(master))
	}
	return cipher.NewGCM(block)
}

func (s *Switch) clock() time.Time { return s.o.Now().Time() }

// Serve opens the listeners and serves them until Shutdown. It returns once they are open;
// fail is told when one breaks later.
func (s *Switch) Serve(fail func(error)) error {
	for _, l := range s.listeners {
		ln, err := net.Listen("tcp", l.cfg.Address)
		if err != nil {
			return fmt.Errorf("bank listener %s: %w", l.cfg.Name, err)
		}
		l.bound = ln.Addr().String()
		s.serving.Go(func() {
			if err := l.server.Serve(ln); err != nil && !errors.Is(err, link.ErrClosed) {
				fail(err)
			}
		})
	}
	return nil
}

// Shutdown takes no more requests, waits for those under way, tells the banks nothing more,
// and signs off. What is left to tell stands in the due queue.
func (s *Switch) Shutdown(ctx context.Context) error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.server.Shutdown(ctx))
	}
	s.serving.Wait()
	if s.rota != nil {
		s.rota.Close()
	}
	if s.teller != nil {
		s.teller.stop(ctx)
	}
	for _, l := range s.links {
		errs = append(errs, l.link.Shutdown(ctx))
	}
	if s.references != nil {
		s.references.Close()
	}
	return errors.Join(errs...)
}

// Due is told of the bank transactions that are due; see engine.Clockwork.OnBank.
func (s *Switch) Due(due []engine.BankDue) { s.teller.take(due) }

// step commits one step of a transaction.
func (s *Switch) step(ctx context.Context, r *txn.Request) engine.Answer {
	return s.o.Engine.Authorize(ctx, r)
}

// dayBegan is when the business day of now began.
func (s *Switch) dayBegan(now txn.Millis) txn.Millis {
	at := now.Time().In(s.zone).Add(-s.o.Calendar.CutOff)
	y, m, d := at.Date()
	return txn.MillisOf(time.Date(y, m, d, 0, 0, 0, 0, s.zone).Add(s.o.Calendar.CutOff))
}

// Transaction is a bank transaction as people see it.
type Transaction struct {
	Card pan.Token
	card.BankTxn
}

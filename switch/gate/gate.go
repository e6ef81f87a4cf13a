package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/quiet"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Engine decides requests; *engine.Engine is one.
type Engine interface {
	// Authorize decides one request and returns when the answer is durable.
	Authorize(ctx context.Context, r *txn.Request) engine.Answer
	// AuthorizeAll decides requests as one list, with the answers in the same order.
	AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer
}

// Cards shows the desk a card; store.Cards is one.
type Cards interface {
	// Load reads the card as store.Cards says.
	Load(ctx context.Context, card pan.Token, dst []byte) (store.Loaded, error)
}

// Entries shows the desk a blacklist entry; store.List is one.
type Entries interface {
	// Entry reads the entry as store.List says.
	Entry(ctx context.Context, card pan.Token) (e store.Entry, ok bool, err error)
}

// Options make a Server. Engine, Registry, Tokenizer, Cards, Entries and MasterKey are
// needed; the rest has defaults.
type Options struct {
	Engine    Engine
	Registry  store.Registry
	Tokenizer *pan.Tokenizer
	Cards     Cards
	Entries   Entries
	// MasterKey wraps the keys of terminals in the registry: 32 bytes, copied.
	MasterKey []byte

	Limits Limits
	// Currency of everything that terminals send; CNY by default.
	Currency txn.Currency
	// Now is the switch's wall clock.
	Now func() txn.Millis
	// Ready says why the switch is not ready, nil when it is. It must not block.
	Ready func() error
	// Logger takes operator actions and faults; none are logged without it.
	Logger *slog.Logger
	// Observer is told what happened, for metrics.
	Observer Observer
	// Mounts are the parts of the API that others serve.
	Mounts []Mount
}

// Server is the HTTP edge.
type Server struct {
	engine    Engine
	registry  store.Registry
	tokenizer *pan.Tokenizer
	cards     Cards
	entries   Entries
	currency  txn.Currency
	now       func() txn.Millis
	ready     func() error
	log       *slog.Logger
	observer  Observer
	limits    Limits
	rateEvery int64 // nanoseconds that one request of a terminal costs, 0 for no bound

	routes    *routing
	mounts    []mounted
	answers   answerTexts
	directory *directory
	operators *operators
	admission *admission
	ids       *idMemory
	deadlines *deadlines
	calls     sync.Pool // *call
	deskBoot  uint32
	deskCount atomic.Uint32

	http     *fasthttp.Server
	draining atomic.Bool
	closed   chan struct{} // closed by Shutdown: background work ends
	stop     sync.Once
	work     sync.WaitGroup

	mu        sync.Mutex // guards the fields below
	listeners []net.Listener
	ended     bool
}

// New returns a Server. It reads and writes the registry once, to number the requests of
// the desk.
func New(o Options) (*Server, error) {
	if o.Engine == nil || o.Registry == nil || o.Tokenizer == nil || o.Cards == nil ||
		o.Entries == nil {
		return nil, errors.New("gate: engine, registry, tokenizer, cards and entries are needed")
	}
	seal, err := newSealer(o.MasterKey)
	if err != nil {
		return nil, err
	}
	limits, err := o.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		engine: o.Engine, registry: o.Registry, tokenizer: o.Tokenizer,
		cards: o.Cards, entries: o.Entries, limits: limits,
		currency: o.Currency, now: o.Now, ready: o.Ready, log: o.Logger, observer: o.Observer,
		directory: newDirectory(o.Registry, seal),
		answers:   newAnswerTexts(),
		admission: newAdmission(limits),
		deadlines: newDeadlines(),
		ids:       newIDMemory(),
		closed:    make(chan struct{}),
	}
	s.operators = newOperators(o.Registry, limits.RefreshEvery)
	s.fillDefaults()
	s.routes, s.mounts = newRouting(s.routeTable()), newMounts(o.Mounts)
	s.http = s.newHTTP()
	if s.deskBoot, err = reserveBoot(o.Registry, s.now()); err != nil {
		return nil, err
	}
	s.work.Go(s.followChanges)
	return s, nil
}

func (s *Server) fillDefaults() {
	if s.currency == 0 {
		s.currency = txn.CNY
	}
	if s.now == nil {
		s.now = wallClock
	}
	if s.ready == nil {
		s.ready = func() error { return nil }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.limits.TerminalRate > 0 {
		s.rateEvery = max(1, int64(float64(time.Second)/s.limits.TerminalRate))
	}
	every := s.limits.SampleEvery
	if s.observer == nil {
		s.observer, every = noObserver{}, 0
	}
	s.calls.New = func() any { return &call{sampleEvery: every} }
}

// newHTTP configures fasthttp. Bodies are streamed, so that a declared length allocates
// no more than 8 KB before the bytes are there; the gate reads them in the handler.
func (s *Server) newHTTP() *fasthttp.Server {
	l := s.limits
	return &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.brokenRequest,
		HeaderReceived:               s.headerReceived,
		Logger:                       quietLogger{s.log},
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		Concurrency:                  l.ConnectionsMax,
		ReadBufferSize:               headerMax,
		ReadTimeout:                  l.ReadTimeout,
		WriteTimeout:                 l.WriteTimeout,
		IdleTimeout:                  l.IdleTimeout,
		MaxRequestsPerConn:           l.RequestsPerConnMax,
		MaxRequestBodySize:           bodyMax,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
		TCPKeepalive:                 true,
	}
}

// Serve takes connections from ln until Shutdown, and returns nil then. After Shutdown it
// closes ln and returns at once.
func (s *Server) Serve(ln net.Listener) error {
	ln = quiet.Listener(ln)
	if s.limits.ConnectionsPerIPMax > 0 {
		ln = newPerAddressListener(ln, s.limits.ConnectionsPerIPMax)
	}
	if !s.keepListener(ln) {
		return nil
	}
	if err := s.http.Serve(ln); err != nil {
		return fmt.Errorf("gate: serving: %w", err)
	}
	return nil
}

// keepListener remembers ln for closeListeners; after that it closes it.
func (s *Server) keepListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		_ = ln.Close()
		return false
	}
	s.listeners = append(s.listeners, ln)
	return true
}

// closeListeners ends every Serve. fasthttp forgets one that has only just begun.
func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
}

// Shutdown ends the gate in order: readyz turns to 503, after Limits.DrainDelay no new
// connections are taken, requests under way finish and are answered, idle connections are
// closed. It returns ctx's error when they do not finish in time.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	if d := s.limits.DrainDelay; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	s.closeListeners()
	err := s.http.ShutdownWithContext(ctx)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	s.stop.Do(func() { close(s.closed) })
	s.deadlines.close()
	s.work.Wait()
	if err != nil {
		return fmt.Errorf("gate: requests are still under way: %w", err)
	}
	return nil
}

// followChanges follows what other processes change in the registry, until Shutdown.
func (s *Server) followChanges() {
	ticker := time.NewTicker(s.limits.RefreshEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.limits.Budget)
		if err := s.directory.refresh(ctx); err != nil {
			s.log.Warn("changes of terminals cannot be followed", "error", err)
		}
		cancel()
	}
}

// deskTerminal is the terminal of requests that operators make.
func deskTerminal() txn.TerminalID {
	id, err := txn.ParseTerminalID("desk")
	if err != nil {
		panic("gate: internal error: " + err.Error())
	}
	return id
}

// deskBootKey holds the last boot number of a desk.
const deskBootKey = counterPrefix + "desk"

// reserveBoot returns a number for the desk's request ids that no other process and no
// earlier start has: the Unix time in seconds, or one more than the last.
func reserveBoot(registry store.Registry, now txn.Millis) (uint32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for range putTriesMax {
		value, version, err := registry.Get(ctx, deskBootKey)
		if err != nil {
			return 0, fmt.Errorf("gate: numbering the desk: %w", err)
		}
		last, ok := decodeCounter(value)
		if !ok {
			return 0, fmt.Errorf("gate: registry %s cannot be read", deskBootKey)
		}
		boot := max(uint64(now/1000), last+1)
		err = registry.Put(ctx, deskBootKey, strconv.AppendUint(nil, boot, 10), version)
		if err == nil {
			return uint32(boot), nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return 0, fmt.Errorf("gate: numbering the desk: %w", err)
		}
	}
	return 0, fmt.Errorf("gate: numbering the desk: %w", store.ErrConflict)
}

// deskID returns the next request id of the desk.
func (s *Server) deskID() txn.RequestID {
	return txn.RequestID{Terminal: deskTerminal(), Boot: s.deskBoot,
		Counter: s.deskCount.Add(1)}
}

// quietLogger takes what fasthttp says. Its arguments may hold bytes of a request, so only
// the constant format is passed on.
type quietLogger struct{ log *slog.Logger }

// Printf logs the format alone.
func (l quietLogger) Printf(format string, _ ...any) {
	l.log.Debug("http", "event", format)
}

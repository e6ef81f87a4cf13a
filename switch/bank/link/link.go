package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// lateQueueMax is how many late answers wait for the callback.
const lateQueueMax = 4096

// Balance says how requests spread over the connections of a link.
type Balance uint8

// The ways to spread.
const (
	// RoundRobin takes the connections that are up in turn, and the next one where a queue
	// is full.
	RoundRobin Balance = iota
	// Primary takes the first connection that is up in the order of Config.Addresses. A
	// full one refuses; the others stand by for its loss.
	Primary
)

// Config describes a link to one bank or network. Name, Addresses, Framing, Protocol and
// Reserver are mandatory.
type Config struct {
	// Name names the link in logs, errors and the Reserver.
	Name string
	// Addresses are host:port, one connection each, in order of preference; an address may
	// stand there several times. At most 64.
	Addresses []string
	Balance   Balance
	Framing   Framing
	Protocol  Protocol
	// Handler works on what the bank asks us. Without one such requests are dropped and
	// counted as refused.
	Handler Handler
	// TLS wraps the connections; nil for plain TCP. ServerName is taken from the address
	// unless it is set.
	TLS *tls.Config
	// TLSNext, where it is set, gives the TLS of each new connection in place of TLS.
	TLSNext func() (*tls.Config, error)
	// SignOnce says that one sign-on opens the whole link: it is made by the first
	// connection, and the last one signs off. Otherwise each connection signs on and off.
	SignOnce bool
	// Prepare is called after the sign-on of a connection and before it is up, with a way
	// to exchange over it, for the exchange of keys. An error ends the connection.
	Prepare func(ctx context.Context, exchange Exchanger) error
	Limits  Limits

	// Reserver keeps the trace numbers; NumberBlock of them are reserved at a time (0 means
	// 1000), and none is used again within NumberWindow (0 means 1 minute).
	Reserver     Reserver
	NumberBlock  int
	NumberWindow time.Duration

	// Late gets each answer whose exchange ended without it, with the key of the request;
	// those of link management and Prepare are only counted.
	// It runs on one goroutine; above 4096 waiting answers more are dropped and counted.
	Late func(frame []byte, key Key)
	// Undelivered gets each answer to a request of the bank that was not written in full.
	// It must not block.
	Undelivered func(r *Request, answer []byte)
	// Changed is told of every change of state of the connection with the given index in
	// Addresses. It must not block.
	Changed func(index int, c Change)

	// Dial connects; nil means net.Dialer. Now stamps (nil: time.Now), Rand spreads the
	// pauses (nil: math/rand/v2), Log gets events without card data (nil: none).
	Dial func(ctx context.Context, address string) (net.Conn, error)
	Now  func() time.Time
	Rand func() float64
	Log  *slog.Logger
}

// Exchanger sends a request over one connection and waits for the answer, like
// Link.Exchange.
type Exchanger func(ctx context.Context, frame []byte, key Key) ([]byte, Sent, error)

// Link is a link to one bank or network over one or more connections. It connects by
// itself, signs on, keeps the connections alive with echoes and reconnects.
type Link struct {
	cfg      Config
	st       *station
	counters *Counters
	table    *table
	numbers  *Numbers
	lines    []*line

	up   atomic.Pointer[[]*conn] // in the order of Addresses
	turn atomic.Uint32

	// soft ends when the link begins to drain, hard when it must end.
	soft, hard         context.Context
	drain, cut         context.CancelFunc
	keepers            sync.WaitGroup
	late               chan lateAnswer
	lateDone, shutDone chan struct{}
	shutOnce           sync.Once
	// signing holds one token while a connection signs on for the whole link.
	signing chan struct{}

	mu    sync.Mutex // guards the fields below
	using []*conn    // by line; nil for one that is not up
	upNow chan struct{}
}

type lateAnswer struct {
	frame []byte
	key   Key
}

// Open makes a link and begins to connect. It returns at once; WaitUp waits.
func Open(cfg Config) (*Link, error) {
	if cfg.Name == "" || len(cfg.Addresses) == 0 || cfg.Framing == nil || cfg.Protocol == nil {
		return nil, errors.New("link: Name, Addresses, Framing and Protocol must be set")
	}
	if len(cfg.Addresses) > connectionsPerLinkMax {
		return nil, fmt.Errorf("link %s: %d addresses, limit %d", cfg.Name,
			len(cfg.Addresses), connectionsPerLinkMax)
	}
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", cfg.Name, err)
	}
	cfg.Limits = limits
	cfg.fill()
	numbers, err := NewNumbers(cfg.Name, cfg.Reserver, cfg.NumberBlock, cfg.NumberWindow)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", cfg.Name, err)
	}
	l := &Link{cfg: cfg, counters: &Counters{}, numbers: numbers,
		late: make(chan lateAnswer, lateQueueMax), lateDone: make(chan struct{}),
		shutDone: make(chan struct{}), signing: make(chan struct{}, 1),
		using: make([]*conn, len(cfg.Addresses)), upNow: make(chan struct{})}
	l.st = &station{name: cfg.Name, framing: cfg.Framing, protocol: cfg.Protocol,
		handler: cfg.Handler, limits: limits, counters: l.counters, log: cfg.Log,
		now: cfg.Now, undelivered: cfg.Undelivered, crew: newCrew()}
	l.table = newTable(&l.st.limits, l.counters)
	numbers.busy = l.table.busy
	l.up.Store(new([]*conn))
	l.hard, l.cut = context.WithCancel(context.Background())
	l.soft, l.drain = context.WithCancel(l.hard)
	go l.deliverLate()
	for i, address := range cfg.Addresses {
		ln := &line{link: l, index: i, address: address}
		ln.history.add(Change{State: Down, Since: cfg.Now()})
		l.lines = append(l.lines, ln)
	}
	for _, ln := range l.lines {
		l.keepers.Go(ln.run)
	}
	return l, nil
}

func (cfg *Config) fill() {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Handler == nil {
		cfg.Handler = nobody{}
	}
	if cfg.NumberBlock == 0 {
		cfg.NumberBlock = 1000
	}
	if cfg.NumberWindow == 0 {
		cfg.NumberWindow = time.Minute
	}
	if cfg.Dial == nil {
		dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}
	}
}

// nobody handles no requests.
type nobody struct{}

// Handle drops the request.
func (nobody) Handle(r *Request) {
	r.c.st.counters.RequestsRefused.Add(1)
	_ = r.Drop()
}

// Refuse has no answer.
func (nobody) Refuse(*Request, error) []byte { return nil }

// Number returns the next free trace number of the link.
func (l *Link) Number(ctx context.Context) (uint32, error) { return l.numbers.Next(ctx) }

// Counters returns the link's counters.
func (l *Link) Counters() *Counters { return l.counters }

// InFlight returns how many exchanges wait for their answer.
func (l *Link) InFlight() int { return l.table.inFlight(nil) }

// IsUp reports whether at least one connection takes traffic.
func (l *Link) IsUp() bool { return len(*l.up.Load()) > 0 }

// WaitUp returns when at least one connection is up, or with the error of ctx, or ErrClosed
// once the link is being shut down.
func (l *Link) WaitUp(ctx context.Context) error {
	for {
		l.mu.Lock()
		changed := l.upNow
		l.mu.Unlock()
		if l.IsUp() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("link %s is not up: %w", l.st.name, ctx.Err())
		case <-l.soft.Done():
			return fmt.Errorf("link %s: %w", l.st.name, ErrClosed)
		}
	}
}

// Status describes the connections in the order of Config.Addresses.
func (l *Link) Status() []Status {
	l.mu.Lock()
	using := append([]*conn(nil), l.using...)
	l.mu.Unlock()
	all := make([]Status, len(l.lines))
	for i, ln := range l.lines {
		h := ln.history.all()
		all[i] = Status{Address: ln.address, Change: h[len(h)-1], History: h}
		if c := using[i]; c != nil {
			all[i].InFlight, all[i].Queued = l.table.inFlight(c), c.queued()
		}
	}
	return all
}

// Shutdown takes no more requests, waits for the answers to those in flight for at most
// Limits.DrainTimeout, signs off and closes. When ctx ends before, connections are closed
// as they are: what was in flight ends as Unknown. On return no goroutine of the link runs,
// unless the error says that a Handler or callback still works.
func (l *Link) Shutdown(ctx context.Context) error {
	l.shutOnce.Do(func() {
		l.table.shut(ErrDraining)
		l.drain()
		go l.end()
	})
	var late error
	select {
	case <-l.shutDone:
		return l.st.awaitHandlers(ctx)
	case <-ctx.Done():
		late = fmt.Errorf("link %s: shut down before it was drained: %w", l.st.name, ctx.Err())
	}
	l.cut()
	t := time.NewTimer(lingerMax)
	defer t.Stop()
	select {
	case <-l.shutDone:
	case <-t.C:
		return fmt.Errorf("%w; the Late callback or the Reserver still works", late)
	}
	return errors.Join(late, l.st.awaitHandlers(ctx))
}

// end waits for everything that runs, from the network inwards.
func (l *Link) end() {
	defer close(l.shutDone)
	l.keepers.Wait()
	l.table.shut(ErrClosed)
	l.cut()
	l.numbers.Close()
	close(l.late)
	<-l.lateDone
}

// awaitHandlers waits until no Handler works any more, or for the end of ctx.
func (s *station) awaitHandlers(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.handlers.Wait()
		s.crew.close()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	return fmt.Errorf("%s: handlers still work: %w", s.name, ctx.Err())
}

// use lets a connection take traffic.
func (l *Link) use(ln *line, c *conn) { l.setUsed(ln, c) }

// disuse lets it take no more; afterwards no exchange is placed on it. left is how many
// connections are still in use.
func (l *Link) disuse(ln *line, c *conn) (left int) {
	left = l.setUsed(ln, nil)
	l.table.retire(c)
	return left
}

// setUsed replaces the connection of a line and returns how many are in use.
func (l *Link) setUsed(ln *line, c *conn) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.using[ln.index] = c
	up := make([]*conn, 0, len(l.using))
	for _, c := range l.using {
		if c != nil {
			up = append(up, c)
		}
	}
	l.up.Store(&up)
	close(l.upNow)
	l.upNow = make(chan struct{})
	return len(up)
}

// admit takes requests of the bank until the link drains.
func (l *Link) admit(*conn) error {
	if l.soft.Err() != nil {
		return ErrDraining
	}
	return nil
}

// answered gives an answer to its exchange.
func (l *Link) answered(c *conn, key Key, frame []byte) {
	result, request := l.table.answer(key, frame)
	switch result {
	case matchedLate:
		select {
		case l.late <- lateAnswer{frame, request}:
			l.counters.Late.Add(1)
		default:
			l.counters.LateDropped.Add(1)
		}
	case matchedManagement:
		l.counters.LateManagement.Add(1)
	case wrongAnswer:
		l.counters.Wrong.Add(1)
		l.st.complain("wrong answer dropped", "address", c.peer.Address, "message", key.String())
	case unmatched:
		l.counters.Unmatched.Add(1)
		l.st.complain("answer without request dropped", "address", c.peer.Address,
			"message", key.String())
	}
}

// managed takes a connection out of use when the bank signs off on it, and all of them
// where one sign-on is for all.
func (l *Link) managed(c *conn, what Management) {
	if what != SignOff {
		return
	}
	c.signOff()
	if !l.cfg.SignOnce {
		return
	}
	for _, other := range *l.up.Load() {
		other.signOff()
	}
}

// deliverLate hands late answers to the callback.
func (l *Link) deliverLate() {
	defer close(l.lateDone)
	for a := range l.late {
		if l.cfg.Late != nil {
			l.cfg.Late(a.frame, a.key)
		}
	}
}

var _ owner = (*Link)(nil)

package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

// acceptPauseMax bounds the pause after a connection could not be accepted, which happens
// when descriptors run out.
const acceptPauseMax = time.Second

// ServerConfig describes the server for terminals and acquirers. Name, Framing, Protocol,
// Handler and Admit are mandatory.
type ServerConfig struct {
	// Name names the server in logs and errors.
	Name     string
	Framing  Framing
	Protocol Protocol
	Handler  Handler
	// Admit names the peer behind a remote address; false refuses the connection. The
	// address is not valid when the connection is not one of TCP. It must not block.
	Admit func(from netip.AddrPort) (peer string, ok bool)
	// TLS wraps the connections; nil for plain TCP.
	TLS *tls.Config
	// SignOnFirst refuses requests of a connection (ErrNotSignedOn) until the peer has
	// signed on over it by a management message, and after it has signed off.
	SignOnFirst bool
	Limits      Limits
	// Undelivered gets each answer that was not written in full because its connection
	// ended or its peer does not read. It must not block.
	Undelivered func(r *Request, answer []byte)
	// Now stamps (nil: time.Now), Log gets events without card data (nil: none).
	Now func() time.Time
	Log *slog.Logger
}

// Server takes connections of terminals and acquirers and hands their requests to a
// Handler.
type Server struct {
	cfg      ServerConfig
	st       *station
	counters *Counters
	work     sync.WaitGroup // one for each connection, and for each Serve

	// soft ends when the server begins to drain, hard when it must end.
	soft, hard context.Context
	drain, cut context.CancelFunc

	mu        sync.Mutex // guards the fields below
	listeners map[net.Listener]struct{}
	open      int // connections, those in a TLS handshake included
	openOf    map[string]int
	conns     map[*conn]time.Time // when each was accepted
	draining  bool
}

// Connection describes one connection of a server.
type Connection struct {
	Peer Peer
	// Since is when it was accepted, by ServerConfig.Now.
	Since time.Time
	// State is SigningOn until the peer has signed on where that is asked for, then Up,
	// and Draining during a shutdown.
	State State
	// Working is the number of requests without an answer, Queued of frames not yet
	// written.
	Working, Queued int
}

// NewServer makes a server; Serve gives it listeners.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Name == "" || cfg.Framing == nil || cfg.Protocol == nil || cfg.Handler == nil ||
		cfg.Admit == nil {
		return nil, errors.New("link server: Name, Framing, Protocol, Handler and Admit " +
			"must be set")
	}
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("link server %s: %w", cfg.Name, err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, counters: &Counters{}, listeners: make(map[net.Listener]struct{}),
		openOf: make(map[string]int), conns: make(map[*conn]time.Time)}
	s.st = &station{name: cfg.Name, framing: cfg.Framing, protocol: cfg.Protocol,
		handler: cfg.Handler, limits: limits, counters: s.counters, log: cfg.Log,
		now: cfg.Now, undelivered: cfg.Undelivered, crew: newCrew()}
	s.hard, s.cut = context.WithCancel(context.Background())
	s.soft, s.drain = context.WithCancel(s.hard)
	return s, nil
}

// Counters returns the server's counters.
func (s *Server) Counters() *Counters { return s.counters }

// Connections describes the connections that are open.
func (s *Server) Connections() []Connection {
	s.mu.Lock()
	conns := maps.Clone(s.conns)
	draining := s.draining
	s.mu.Unlock()
	all := make([]Connection, 0, len(conns))
	for c, since := range conns {
		state := Up
		switch {
		case draining:
			state = Draining
		case !c.signedOn.Load():
			state = SigningOn
		}
		all = append(all, Connection{Peer: c.peer, Since: since, State: state,
			Working: s.st.desk.busy(c), Queued: c.queued()})
	}
	return all
}

// Serve takes connections until Shutdown, and returns ErrClosed then. It closes the
// listener. Several listeners may be served at once.
func (s *Server) Serve(listener net.Listener) error {
	defer listener.Close()
	if !s.enter(listener) {
		return fmt.Errorf("link server %s: %w", s.cfg.Name, ErrClosed)
	}
	defer s.work.Done()
	pause := time.Duration(0)
	for {
		nc, err := listener.Accept()
		if err == nil {
			pause = 0
			s.take(nc)
			continue
		}
		if s.soft.Err() != nil {
			return fmt.Errorf("link server %s: %w", s.cfg.Name, ErrClosed)
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("link server %s: accept: %w", s.cfg.Name, err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), acceptPauseMax)
		s.st.complain("connection not accepted", "cause", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.soft.Done():
			t.Stop()
		}
	}
}

func (s *Server) enter(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.listeners[listener] = struct{}{}
	s.work.Add(1)
	return true
}

// take begins to serve a connection or closes it.
func (s *Server) take(nc net.Conn) {
	address := nc.RemoteAddr().String()
	from, _ := netip.ParseAddrPort(address)
	name, ok := s.cfg.Admit(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	if !ok {
		s.counters.RefusedUnknown.Add(1)
		s.st.complain("connection of an unknown address refused", "address", address)
		_ = nc.Close()
		return
	}
	if !s.reserve(name) {
		s.counters.RefusedFull.Add(1)
		s.st.complain("connection refused: too many are open", "peer", name,
			"address", address)
		_ = nc.Close()
		return
	}
	s.counters.Accepted.Add(1)
	go s.serve(nc, Peer{Name: name, Address: address})
}

// reserve counts a connection in.
func (s *Server) reserve(peer string) bool {
	l := &s.st.limits
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.open >= l.ConnectionsMax || s.openOf[peer] >= l.ConnectionsPerPeerMax {
		return false
	}
	s.open++
	s.openOf[peer]++
	s.work.Add(1)
	return true
}

// release counts a connection out.
func (s *Server) release(peer string, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.openOf[peer]--; s.openOf[peer] == 0 {
		delete(s.openOf, peer)
	}
	delete(s.conns, c)
	s.work.Done()
}

// serve reads and writes one connection until it ends.
func (s *Server) serve(nc net.Conn, peer Peer) {
	var c *conn
	defer func() { s.release(peer.Name, c) }()
	if s.cfg.TLS != nil {
		secured, err := s.secure(nc)
		if err != nil {
			s.counters.TLSBad.Add(1)
			s.st.complain("TLS handshake failed", "peer", peer.Name, "address", peer.Address,
				"cause", err)
			_ = nc.Close()
			return
		}
		nc = secured
	}
	c = newConn(s.st, s, nc, peer)
	c.inbound = true
	c.signedOn.Store(!s.cfg.SignOnFirst)
	s.register(c)
	s.cfg.Log.Info("connection open", "link", s.cfg.Name, "peer", peer.Name,
		"address", peer.Address)
	c.start()
	cause := c.wait()
	if !errors.Is(cause, errFinished) {
		s.counters.Lost.Add(1)
	}
	s.cfg.Log.Info("connection ended", "link", s.cfg.Name, "peer", peer.Name,
		"address", peer.Address, "cause", cause)
}

func (s *Server) secure(nc net.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.soft, s.st.limits.ConnectTimeout)
	defer cancel()
	secured := tls.Server(nc, s.cfg.TLS)
	return secured, secured.HandshakeContext(ctx)
}

// register lists the connection; one that came too late is emptied at once.
func (s *Server) register(c *conn) {
	s.mu.Lock()
	s.conns[c] = s.cfg.Now()
	draining := s.draining
	s.mu.Unlock()
	if draining {
		s.empty(c)
	}
}

// empty closes a connection once its requests are answered.
func (s *Server) empty(c *conn) {
	if s.st.desk.lastRequest(c) {
		c.finish()
	}
}

// Shutdown takes no more connections and requests, waits until every request that was taken
// is answered and the answers are written, and closes. When ctx ends before, connections
// are closed as they are and Undelivered hears of the answers. On return no goroutine of
// the server runs, unless the error says that a Handler still works.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.drain()
	for listener := range s.listeners {
		_ = listener.Close()
	}
	conns := maps.Clone(s.conns)
	s.mu.Unlock()
	for c := range conns {
		s.empty(c)
	}
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	var late error
	select {
	case <-done:
	case <-ctx.Done():
		late = fmt.Errorf("link server %s: shut down before it was drained: %w", s.cfg.Name,
			ctx.Err())
		s.closeAll()
		<-done
	}
	s.cut()
	return errors.Join(late, s.st.awaitHandlers(ctx))
}

// closeAll ends every connection as it is.
func (s *Server) closeAll() {
	s.cut()
	s.mu.Lock()
	conns := maps.Clone(s.conns)
	s.mu.Unlock()
	for c := range conns {
		c.close(fmt.Errorf("%w: %w", ErrLost, ErrClosed))
	}
}

// admit takes requests of peers that have signed on, until the server drains.
func (s *Server) admit(c *conn) error {
	if s.soft.Err() != nil {
		return ErrDraining
	}
	if !c.signedOn.Load() {
		return ErrNotSignedOn
	}
	return nil
}

// answered drops an answer: a server asks nothing.
func (s *Server) answered(c *conn, key Key, _ []byte) {
	s.counters.Unmatched.Add(1)
	s.st.complain("answer without request dropped", "peer", c.peer.Name, "address",
		c.peer.Address, "message", key.String())
}

func (s *Server) managed(*conn, Management) {}

var _ owner = (*Server)(nil)

package link

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// served is a server on loopback.
type served struct {
	*Server
	address     string
	mu          sync.Mutex
	undelivered []string
}

func (s *served) lost() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.undelivered...)
}

// serve starts a server that ends with the test.
func serve(t testing.TB, h Handler, change func(*ServerConfig)) *served {
	t.Helper()
	s := &served{}
	cfg := ServerConfig{Name: "acquirers", Framing: lengthFraming{}, Protocol: &testProtocol{},
		Handler: h,
		Admit:   func(netip.AddrPort) (string, bool) { return "pos", true },
		Undelivered: func(_ *Request, answer []byte) {
			m, _ := parse(answer)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.undelivered = append(s.undelivered, m.text)
		}}
	if change != nil {
		change(&cfg)
	}
	server, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Server, s.address = server, ln.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// pos is a terminal: a plain connection.
type pos struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func connect(t testing.TB, address string) *pos {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	return &pos{Conn: nc, t: t, r: bufio.NewReader(nc)}
}

func (p *pos) send(all ...message) {
	p.t.Helper()
	var out []byte
	for _, m := range all {
		out, _ = lengthFraming{}.AppendFrame(out, m.bytes())
	}
	if _, err := p.Write(out); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pos) receive() message {
	p.t.Helper()
	frame, err := lengthFraming{}.ReadFrame(p.r, 1<<16)
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := parse(frame)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// ended waits until the server has closed the connection.
func (p *pos) ended() error {
	p.t.Helper()
	_, err := p.r.ReadByte()
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatalf("the connection is open: %v", err)
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		p.t.Fatal("the connection is open")
	}
	return err
}

func TestServerAnswersOutOfOrder(t *testing.T) {
	var mu sync.Mutex
	var waiting []*Request
	h := &echoHandler{behave: func(r *Request, _ message) {
		mu.Lock()
		defer mu.Unlock()
		waiting = append(waiting, r)
	}}
	s := serve(t, h, nil)
	p := connect(t, s.address)
	for i := range 5 {
		p.send(request(uint32(i+1), itoa(i)))
	}
	eventually(t, "all have arrived", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(waiting) == 5
	})
	if c := s.Connections(); len(c) != 1 || c[0].Working != 5 || c[0].State != Up ||
		c[0].Peer.Name != "pos" || c[0].Peer.Address != p.LocalAddr().String() {
		t.Errorf("connections %+v", c)
	}
	byText := make(map[string]*Request)
	for _, r := range waiting {
		m, _ := parse(r.Frame)
		byText[m.text] = r
	}
	for i := 4; i >= 0; i-- {
		r := byText[itoa(i)]
		m, _ := parse(r.Frame)
		if err := r.Answer(m.reply("answer " + m.text).bytes()); err != nil {
			t.Fatal(err)
		}
		if err := r.Answer(r.Frame); !errors.Is(err, ErrAnswered) {
			t.Errorf("answered twice: %v", err)
		}
		if err := r.Drop(); !errors.Is(err, ErrAnswered) {
			t.Errorf("dropped after the answer: %v", err)
		}
	}
	for i := 4; i >= 0; i-- {
		if m := p.receive(); m.text != "answer "+itoa(i) || m.key.STAN != uint32(i+1) {
			t.Errorf("got %q", m.text)
		}
	}
	if f := s.Counters().Snapshot(); f.Requests != 5 || f.Answers != 5 || f.Accepted != 1 {
		t.Errorf("counted %+v", f)
	}
}

func TestServerRefusesUnknownAddresses(t *testing.T) {
	var admitted atomic.Bool
	s := serve(t, &echoHandler{}, func(cfg *ServerConfig) {
		cfg.Admit = func(from netip.AddrPort) (string, bool) {
			return "pos", admitted.Load() && from.Addr() == netip.MustParseAddr("127.0.0.1")
		}
	})
	_ = connect(t, s.address).ended()
	admitted.Store(true)
	p := connect(t, s.address)
	p.send(request(1, "x"))
	p.receive()
	if f := s.Counters().Snapshot(); f.RefusedUnknown != 1 || f.Accepted != 1 {
		t.Errorf("counted %+v", f)
	}
}

func TestServerBoundsConnections(t *testing.T) {
	for _, c := range []struct {
		name           string
		total, perPeer int
	}{{"in all", 3, 100}, {"of one peer", 100, 3}} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, &echoHandler{}, func(cfg *ServerConfig) {
				cfg.Limits.ConnectionsMax, cfg.Limits.ConnectionsPerPeerMax = c.total, c.perPeer
			})
			var open []*pos
			for i := range 3 {
				p := connect(t, s.address)
				p.send(request(uint32(i+1), "x"))
				p.receive()
				open = append(open, p)
			}
			_ = connect(t, s.address).ended()
			if f := s.Counters().Snapshot(); f.RefusedFull != 1 {
				t.Errorf("counted %+v", f)
			}
			_ = open[0].Close()
			eventually(t, "a place is free", func() bool { return len(s.Connections()) == 2 })
			eventually(t, "it is given again", func() bool {
				p := connect(t, s.address)
				var out []byte
				out, _ = lengthFraming{}.AppendFrame(out, request(9, "x").bytes())
				_, _ = p.Write(out)
				_, err := p.r.ReadByte()
				return err == nil
			})
		})
	}
}

func TestServerEndsSilentConnections(t *testing.T) {
	s := serve(t, &echoHandler{}, func(cfg *ServerConfig) {
		cfg.Limits.IdleTimeout = 30 * time.Millisecond
	})
	_ = connect(t, s.address).ended()
	eventually(t, "it is counted", func() bool {
		return s.Counters().Snapshot().IdleTimeouts == 1
	})
}

func TestServerEndsSlowFrames(t *testing.T) {
	s := serve(t, &echoHandler{}, func(cfg *ServerConfig) {
		cfg.Limits.FrameTimeout = 30 * time.Millisecond
	})
	p := connect(t, s.address)
	p.send(request(1, "a whole one"))
	p.receive()
	_, _ = p.Write([]byte{0, 50, 'Q', '2'})
	_ = p.ended()
	eventually(t, "it is counted", func() bool {
		return s.Counters().Snapshot().FrameTimeouts == 1
	})
}

// A frame that trickles in byte by byte does not live longer than one that stops.
func TestServerEndsTricklingFrames(t *testing.T) {
	s := serve(t, &echoHandler{}, func(cfg *ServerConfig) {
		cfg.Limits.FrameTimeout = 50 * time.Millisecond
	})
	p := connect(t, s.address)
	out, _ := lengthFraming{}.AppendFrame(nil, request(1, strings.Repeat("x", 5000)).bytes())
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := range out {
		if _, err := p.Write(out[i : i+1]); err != nil {
			break
		}
		<-tick.C
		if i > 1000 {
			t.Fatal("still taken after 2 s")
		}
	}
	eventually(t, "it is counted", func() bool {
		return s.Counters().Snapshot().FrameTimeouts == 1
	})
}

func TestServerReadsSplitAndJoinedFrames(t *testing.T) {
	s := serve(t, &echoHandler{}, nil)
	p := connect(t, s.address)
	_ = p.Conn.(*net.TCPConn).SetNoDelay(true)
	out, _ := lengthFraming{}.AppendFrame(nil, request(1, "split").bytes())
	for i := range out {
		if _, err := p.Write(out[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if m := p.receive(); m.text != "ok split" {
		t.Fatalf("got %q", m.text)
	}
	p.send(request(2, "a"), request(3, "b"), request(4, "c"))
	got := map[string]bool{}
	for range 3 {
		got[p.receive().text] = true
	}
	if !got["ok a"] || !got["ok b"] || !got["ok c"] {
		t.Errorf("got %v", got)
	}
}

// Length headers that lie end the connection; nothing is allocated for them above the
// limit, and other connections do not notice.
func TestServerRefusesHostileLengths(t *testing.T) {
	s := serve(t, &echoHandler{}, func(cfg *ServerConfig) { cfg.Limits.FrameMax = 1024 })
	good := connect(t, s.address)
	for _, head := range [][]byte{{0, 0}, {4, 1}, {0xFF, 0xFF}, {0x80, 0}} {
		p := connect(t, s.address)
		_, _ = p.Write(head)
		_ = p.ended()
	}
	good.send(request(1, "x"))
	good.receive()
	if f := s.Counters().Snapshot(); f.BadFrames != 4 {
		t.Errorf("%d bad frames counted, want 4", f.BadFrames)
	}
}

func TestServerDropsUnreadableMessages(t *testing.T) {
	s := serve(t, &echoHandler{}, nil)
	p := connect(t, s.address)
	garbage, _ := lengthFraming{}.AppendFrame(nil, []byte("garbage"))
	for range badMessagesMax - 1 {
		_, _ = p.Write(garbage)
	}
	p.send(request(1, "x")) // a good one starts the count again
	p.receive()
	for range badMessagesMax {
		_, _ = p.Write(garbage)
	}
	_ = p.ended()
	if f := s.Counters().Snapshot(); f.BadMessages != 2*badMessagesMax-1 {
		t.Errorf("%d counted", f.BadMessages)
	}
}

func TestServerDropsAnswers(t *testing.T) {
	s := serve(t, &echoHandler{}, nil)
	p := connect(t, s.address)
	p.send(request(1, "x").reply("I never asked"), request(2, "y"))
	if m := p.receive(); m.text != "ok y" {
		t.Errorf("got %q", m.text)
	}
	if f := s.Counters().Snapshot(); f.Unmatched != 1 {
		t.Errorf("counted %+v", f)
	}
}

func TestServerAnswersLinkManagement(t *testing.T) {
	s := serve(t, &echoHandler{}, func(cfg *ServerConfig) { cfg.SignOnFirst = true })
	p := connect(t, s.address)
	ask := func(m message) string {
		t.Helper()
		p.send(m)
		return p.receive().text
	}
	manage := func(what Management) message {
		return message{kind: 'M', key: Key{Class: 8, STAN: 1}, text: what.String()}
	}
	if got := ask(request(1, "x")); got != "refused: "+ErrNotSignedOn.Error() {
		t.Errorf("before sign-on: %q", got)
	}
	if c := s.Connections(); c[0].State != SigningOn {
		t.Errorf("state %v", c[0].State)
	}
	for _, what := range []Management{SignOn, Echo} {
		if got := ask(manage(what)); got != "00" {
			t.Errorf("%v: %q", what, got)
		}
	}
	if got := ask(request(2, "x")); got != "ok x" {
		t.Errorf("after sign-on: %q", got)
	}
	if got := ask(manage(SignOff)); got != "00" {
		t.Errorf("sign-off: %q", got)
	}
	if got := ask(request(3, "x")); got != "refused: "+ErrNotSignedOn.Error() {
		t.Errorf("after sign-off: %q", got)
	}
	if f := s.Counters().Snapshot(); f.RequestsRefused != 2 || f.PeerSignOffs != 1 {
		t.Errorf("counted %+v", f)
	}
}

// At its limit a connection is not read any further, so a peer that sends everything at
// once is served all the same.
func TestServerPausesAFullConnection(t *testing.T) {
	var now, peak atomic.Int64
	h := &echoHandler{behave: func(r *Request, m message) {
		n := now.Add(1)
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
		}
		now.Add(-1)
		_ = r.Answer(m.reply("ok").bytes())
	}}
	s := serve(t, h, func(cfg *ServerConfig) { cfg.Limits.InFlightPerConnMax = 3 })
	p := connect(t, s.address)
	for i := range 500 {
		p.send(request(uint32(i+1), "x"))
	}
	for range 500 {
		p.receive()
	}
	if peak.Load() > 3 || h.refused.Load() != 0 {
		t.Errorf("%d at once, %d refused", peak.Load(), h.refused.Load())
	}
}

func TestServerRefusesAboveItsLimit(t *testing.T) {
	release := make(chan struct{})
	h := &echoHandler{behave: func(r *Request, m message) {
		<-release
		_ = r.Answer(m.reply("ok").bytes())
	}}
	s := serve(t, h, func(cfg *ServerConfig) { cfg.Limits.InFlightMax = 4 })
	one, two := connect(t, s.address), connect(t, s.address)
	for i := range 4 {
		one.send(request(uint32(i+1), "x"))
	}
	eventually(t, "the limit is reached", func() bool { return s.Counters().Requests.Load() == 4 })
	two.send(request(1, "x"))
	if m := two.receive(); m.text != "refused: "+ErrInFlightFull.Error() {
		t.Errorf("got %q", m.text)
	}
	close(release)
	for range 4 {
		one.receive()
	}
	two.send(request(2, "x"))
	if m := two.receive(); m.text != "ok" {
		t.Errorf("got %q", m.text)
	}
}

// A Handler that forgets requests does not block the connection for ever.
func TestForgottenRequestsAreGivenUp(t *testing.T) {
	var mu sync.Mutex
	var forgotten []*Request
	h := &echoHandler{behave: func(r *Request, m message) {
		if m.text != "forget" {
			_ = r.Answer(m.reply("ok").bytes())
			return
		}
		mu.Lock()
		defer mu.Unlock()
		forgotten = append(forgotten, r)
	}}
	s := serve(t, h, func(cfg *ServerConfig) {
		cfg.Limits.InFlightPerConnMax, cfg.Limits.AnswerTimeout = 2, 50*time.Millisecond
	})
	p := connect(t, s.address)
	p.send(request(1, "forget"), request(2, "forget"), request(3, "x"))
	if m := p.receive(); m.text != "ok" {
		t.Errorf("got %q", m.text)
	}
	if f := s.Counters().Snapshot(); f.Abandoned != 2 {
		t.Errorf("%d given up, want 2", f.Abandoned)
	}
	mu.Lock()
	r := forgotten[0]
	mu.Unlock()
	if err := r.Answer(request(1, "").reply("at last").bytes()); err != nil {
		t.Fatal(err)
	}
	if m := p.receive(); m.text != "at last" {
		t.Errorf("got %q", m.text)
	}
}

func TestAnswerToAGoneConnectionIsTold(t *testing.T) {
	got := make(chan *Request, 1)
	h := &echoHandler{behave: func(r *Request, _ message) { got <- r }}
	s := serve(t, h, nil)
	p := connect(t, s.address)
	p.send(request(1, "x"))
	r := <-got
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close() // a reset
	eventually(t, "the connection is gone", func() bool { return len(s.Connections()) == 0 })
	if err := r.Answer(request(1, "").reply("money").bytes()); !errors.Is(err, ErrGone) {
		t.Errorf("Answer: %v", err)
	}
	if lost := s.lost(); len(lost) != 1 || lost[0] != "money" {
		t.Errorf("told of %v", lost)
	}
	if f := s.Counters().Snapshot(); f.Undelivered != 1 || f.Lost != 1 {
		t.Errorf("counted %+v", f)
	}
}

// A terminal that closes its sending side after the last request still gets the answers.
func TestHalfClosedConnectionGetsItsAnswers(t *testing.T) {
	got := make(chan *Request, 2)
	h := &echoHandler{behave: func(r *Request, _ message) { got <- r }}
	s := serve(t, h, nil)
	p := connect(t, s.address)
	p.send(request(1, "a"), request(2, "b"))
	_ = p.Conn.(*net.TCPConn).CloseWrite()
	for range 2 {
		r := <-got
		m, _ := parse(r.Frame)
		if err := r.Answer(m.reply("ok").bytes()); err != nil {
			t.Fatal(err)
		}
	}
	p.receive()
	p.receive()
	if err := p.ended(); !errors.Is(err, io.EOF) {
		t.Errorf("ended with %v", err)
	}
}

// A peer that does not read is cut off by the write deadline; what it did not get is told,
// and nobody else waits.
func TestZeroWindowPeer(t *testing.T) {
	s := serve(t, &echoHandler{behave: func(r *Request, m message) {
		text := "ok"
		if m.text == "much" {
			text = strings.Repeat("x", 8000)
		}
		_ = r.Answer(m.reply(text).bytes())
	}}, func(cfg *ServerConfig) {
		cfg.Limits.WriteTimeout, cfg.Limits.QueueMax = 300*time.Millisecond, 64
	})
	greedy, other := connect(t, s.address), connect(t, s.address)
	_ = greedy.Conn.(*net.TCPConn).SetReadBuffer(4096)
	var stopped atomic.Bool
	var flood sync.WaitGroup
	flood.Go(func() {
		defer stopped.Store(true)
		out, _ := lengthFraming{}.AppendFrame(nil, request(1, "much").bytes())
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := greedy.Write(out); err != nil {
				return
			}
		}
	})
	for i := 0; !stopped.Load(); i++ {
		began := time.Now()
		other.send(request(uint32(i%STANMax+1), "x"))
		other.receive()
		if took := time.Since(began); took > 250*time.Millisecond {
			t.Fatalf("the other connection waited %v", took)
		}
	}
	flood.Wait()
	eventually(t, "the peer is gone", func() bool { return len(s.Connections()) == 1 })
	if n := s.Counters().WriteTimeouts.Load(); n != 1 {
		t.Errorf("%d write timeouts", n)
	}
	eventually(t, "all that was not delivered is told", func() bool {
		n := s.Counters().Undelivered.Load()
		return n > 0 && len(s.lost()) == int(n)
	})
}

func TestServerDrains(t *testing.T) {
	got := make(chan *Request, 1)
	h := &echoHandler{behave: func(r *Request, _ message) { got <- r }}
	s := serve(t, h, nil)
	busy, idle := connect(t, s.address), connect(t, s.address)
	busy.send(request(1, "x"))
	r := <-got
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ended <- s.Shutdown(ctx)
	}()
	if err := idle.ended(); !errors.Is(err, io.EOF) {
		t.Errorf("the idle one ended with %v", err)
	}
	busy.send(request(2, "y"))
	if m := busy.receive(); m.text != "refused: "+ErrDraining.Error() {
		t.Errorf("got %q", m.text)
	}
	if err := r.Answer(request(1, "").reply("the last").bytes()); err != nil {
		t.Fatal(err)
	}
	if m := busy.receive(); m.text != "the last" {
		t.Errorf("got %q", m.text)
	}
	_ = idle.Close()
	_ = busy.ended()
	_ = busy.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.address); err == nil {
		t.Error("still listening")
	}
}

func TestServerShutdownIsBounded(t *testing.T) {
	got, release := make(chan *Request, 1), make(chan struct{})
	h := &echoHandler{behave: func(r *Request, m message) {
		got <- r
		<-release
		_ = r.Answer(m.reply("nobody hears this").bytes())
	}}
	s := serve(t, h, nil)
	p := connect(t, s.address)
	p.send(request(1, "x"))
	<-got
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "handlers") {
		t.Errorf("Shutdown: %v", err)
	}
	_ = p.ended()
	close(release)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
	if lost := s.lost(); len(lost) != 1 {
		t.Errorf("told of %v", lost)
	}
}

func TestNewServerRefusesBadConfigurations(t *testing.T) {
	for name, change := range map[string]func(*ServerConfig){
		"no name":     func(c *ServerConfig) { c.Name = "" },
		"no framing":  func(c *ServerConfig) { c.Framing = nil },
		"no protocol": func(c *ServerConfig) { c.Protocol = nil },
		"no handler":  func(c *ServerConfig) { c.Handler = nil },
		"no admit":    func(c *ServerConfig) { c.Admit = nil },
		"negative":    func(c *ServerConfig) { c.Limits.FrameMax = -1 },
	} {
		cfg := ServerConfig{Name: "x", Framing: lengthFraming{}, Protocol: &testProtocol{},
			Handler: &echoHandler{}, Admit: func(netip.AddrPort) (string, bool) { return "", true }}
		change(&cfg)
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// certificate makes a key and a certificate for 127.0.0.1.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der},
		PrivateKey: key}}}, &tls.Config{RootCAs: pool}
}

func TestLinkAndServerOverTLS(t *testing.T) {
	forServer, forClient := certificate(t)
	s := serve(t, &echoHandler{}, func(cfg *ServerConfig) {
		cfg.TLS, cfg.SignOnFirst = forServer, true
		cfg.Limits.ConnectTimeout = 50 * time.Millisecond
	})
	cfg := baseConfig(s.address, 2)
	cfg.TLS = forClient
	l := open(t, cfg)
	allUp(t, l)
	for i := range 20 {
		if text, _, err := send(l, purchase(t, l, itoa(i))); text != "ok "+itoa(i) || err != nil {
			t.Fatalf("%q, %v", text, err)
		}
	}
	// One who speaks no TLS, and one who says nothing.
	p := connect(t, s.address)
	p.send(request(1, "x"))
	silent := connect(t, s.address)
	eventually(t, "both are refused", func() bool { return s.Counters().TLSBad.Load() == 2 })
	_ = silent.ended()

	untrusting := baseConfig(s.address, 1)
	untrusting.TLS = &tls.Config{}
	u, err := Open(untrusting)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, u)
	eventually(t, "the certificate is refused", func() bool {
		return strings.Contains(u.Status()[0].Cause, "TLS") && !u.IsUp()
	})
	stop(t, l)
	if f := s.Counters().Snapshot(); f.PeerSignOffs != 2 {
		t.Errorf("%d sign-offs, want 2", f.PeerSignOffs)
	}
}

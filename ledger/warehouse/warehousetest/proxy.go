package warehousetest

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fate is what a Proxy does with a piece that a client sends.
type Fate uint8

// The fates.
const (
	// Deliver passes it on.
	Deliver Fate = iota
	// LoseAnswer passes it on and breaks the connection before the answer comes back.
	LoseAnswer
	// LoseRequest breaks the connection without passing it on.
	LoseRequest
)

// Proxy is a TCP proxy that loses answers or requests. Safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string
	judge    atomic.Pointer[func([]byte) Fate]
	lost     atomic.Int64
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// NewProxy starts a proxy to target, which ends with the test.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: make(map[net.Conn]bool)}
	p.group.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Judge makes the proxy ask judge, from many goroutines, about every piece that a client
// sends. Nil delivers everything.
func (p *Proxy) Judge(judge func(sent []byte) Fate) {
	if judge == nil {
		p.judge.Store(nil)
		return
	}
	p.judge.Store(&judge)
}

// Lost returns how many answers or requests were lost.
func (p *Proxy) Lost() int64 { return p.lost.Load() }

// accept joins every client with a connection of its own to the target.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
		if err != nil {
			_ = client.Close() // the server is down: so is the proxy
			continue
		}
		p.track(client, true)
		p.track(server, true)
		var doomed atomic.Bool
		p.group.Go(func() { p.pump(server, client, &doomed, true) })
		p.group.Go(func() { p.pump(client, server, &doomed, false) })
	}
}

// pump copies one direction until an end closes or a lost answer ends both.
func (p *Proxy) pump(to, from net.Conn, doomed *atomic.Bool, fromClient bool) {
	defer func() {
		p.track(to, false)
		p.track(from, false)
		_ = errors.Join(to.Close(), from.Close()) // the other pump closes them too
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && fromClient {
			switch p.fate(buf[:n]) {
			case LoseAnswer:
				doomed.Store(true)
			case LoseRequest:
				p.lost.Add(1)
				return
			case Deliver:
			}
		}
		if n > 0 && !fromClient && doomed.Load() {
			p.lost.Add(1)
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// fate asks the judge, if there is one.
func (p *Proxy) fate(sent []byte) Fate {
	if judge := p.judge.Load(); judge != nil {
		return (*judge)(sent)
	}
	return Deliver
}

// track remembers open connections for close.
func (p *Proxy) track(c net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.conns[c] = true
		return
	}
	delete(p.conns, c)
}

// close ends all connections and waits for the goroutines.
func (p *Proxy) close() {
	_ = p.listener.Close() // ends accept
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
}

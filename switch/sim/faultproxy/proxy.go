package faultproxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// LinksMax is how many client connections a proxy serves at once, more than any test
	// opens; one above it is closed at once.
	LinksMax = 1024
	// chunkMax is how many bytes are forwarded at a time.
	chunkMax = 64 << 10
	// dialWait bounds the connection to the target, which is on this machine.
	dialWait = 2 * time.Second
)

// Proxy forwards connections to a target and makes faults on the way.
type Proxy struct {
	listener net.Listener
	plan     *plan
	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	target string
	down   bool
	links  map[*link]struct{}
}

// Start listens on a free loopback port and forwards to target ("127.0.0.1:6379"), which
// need not be up yet.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fault proxy for %s: %w", target, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{listener: l, plan: newPlan(), ctx: ctx, stop: stop, target: target,
		links: make(map[*link]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// Addr returns the address that clients use in place of the target's.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetTarget forwards connections that are opened from now on to another address, for a
// server that came back on another port.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Inject adds a fault. Of several, the one injected first that is due takes an exchange.
func (p *Proxy) Inject(f Fault) { p.plan.inject(f) }

// Clear removes every fault and frees what is stalled.
func (p *Proxy) Clear() { p.plan.clear() }

// Count returns how many exchanges a kind of fault has taken; None counts the faithful.
func (p *Proxy) Count(k Kind) int64 { return p.plan.count(k) }

// Cut closes every connection that is open now.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Down cuts every connection and closes new ones at once, until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.Cut()
}

// Up serves new connections again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// Close stops listening, ends every connection and waits for all goroutines.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.Cut()
	p.work.Wait()
	if err != nil {
		return fmt.Errorf("fault proxy: %w", err)
	}
	return nil
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(conn.(*net.TCPConn)) })
	}
}

// serve forwards one connection until either side ends it.
func (p *Proxy) serve(client *net.TCPConn) {
	defer client.Close()
	l := &link{proxy: p, client: client, done: make(chan struct{})}
	if !p.register(l) {
		return
	}
	defer p.forget(l)
	server, err := p.dial()
	if err != nil || !l.open(server) {
		return
	}
	var down sync.WaitGroup
	down.Go(func() {
		l.forwardReplies()
		l.close()
	})
	l.forwardRequests()
	down.Wait()
	l.close()
	l.copies.Wait()
}

func (p *Proxy) register(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || len(p.links) >= LinksMax || p.ctx.Err() != nil {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) forget(l *link) {
	l.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) dial() (*net.TCPConn, error) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	d := net.Dialer{Timeout: dialWait}
	conn, err := d.DialContext(p.ctx, "tcp", target)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

package redisstore

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// loss says what a proxy does with the reply to the request that carries its mark.
type loss int

const (
	noLoss      loss = iota
	closeReply       // close the connection instead of passing the reply on
	resetReply       // the same with a reset
	swallow          // pass nothing on and keep the connection open
	repeatReply      // pass the connection's reply before that one on first
)

// proxy stands between a client and a server and loses replies. The server has executed
// the request by then: its reply was read.
type proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu    sync.Mutex // guards what follows
	mark  []byte
	loss  loss
	lost  int // replies that were lost
	conns map[net.Conn]bool
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// arm has the reply to the next request that holds mark lost.
func (p *proxy) arm(mark string, l loss) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mark, p.loss, p.lost = []byte(mark), l, 0
}

func (p *proxy) losses() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// cut closes every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		c := &proxied{p: p, client: client, server: server}
		p.wg.Go(c.requests)
		p.wg.Go(c.replies)
	}
}

// proxied is one connection.
type proxied struct {
	p              *proxy
	client, server net.Conn

	mu    sync.Mutex // guards what follows
	doom  loss       // of the next reply
	reply []byte     // the one before
}

func (c *proxied) requests() {
	defer c.server.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := c.client.Read(buf)
		if err != nil {
			return
		}
		c.p.mu.Lock()
		if c.p.loss != noLoss && bytes.Contains(buf[:n], c.p.mark) {
			c.mu.Lock()
			c.doom = c.p.loss
			c.mu.Unlock()
			c.p.loss = noLoss
			c.p.lost++
		}
		c.p.mu.Unlock()
		if _, err := c.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

var errCut = errors.New("cut")

func (c *proxied) replies() {
	defer c.client.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := c.server.Read(buf)
		if err != nil {
			return
		}
		if err := c.pass(buf[:n]); err != nil {
			return
		}
	}
}

func (c *proxied) pass(reply []byte) error {
	c.mu.Lock()
	doom, before := c.doom, c.reply
	c.doom, c.reply = noLoss, bytes.Clone(reply)
	c.mu.Unlock()
	switch doom {
	case closeReply:
		return errCut
	case resetReply:
		_ = c.client.(*net.TCPConn).SetLinger(0)
		return errCut
	case swallow:
		return nil
	case repeatReply:
		reply = append(before, reply...)
	}
	_, err := io.Copy(c.client, bytes.NewReader(reply))
	return err
}

package faultproxy

import (
	"net"
	"sync"
	"time"
)

// link is one client connection and its counterpart to the target.
type link struct {
	proxy  *Proxy
	client *net.TCPConn
	done   chan struct{} // closed with the link
	copies sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	server  *net.TCPConn
	closed  bool
	waiting bool // a request is on its way, the reply has not begun
	fault   Fault
	cleared <-chan struct{}
}

// open keeps the connection to the server, unless the link was closed meanwhile.
func (l *link) open(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = server.Close()
		return false
	}
	l.server = server
	return true
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

// begin returns the fault of the exchange that bytes from the client belong to.
func (l *link) begin() (Fault, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waiting {
		l.waiting = true
		l.fault, l.cleared = l.proxy.plan.draw()
	}
	return l.fault, l.cleared
}

// reply returns the fault that bytes from the server meet. first says that they begin a
// reply: later bytes of it are forwarded faithfully, but for Split.
func (l *link) reply() (f Fault, cleared <-chan struct{}, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, l.waiting = l.waiting, false
	return l.fault, l.cleared, first
}

// forwardRequests carries bytes from the client to the server until one of them ends.
func (l *link) forwardRequests() {
	buf := make([]byte, chunkMax)
	for {
		n, err := l.client.Read(buf)
		if n > 0 && !l.request(buf[:n]) {
			l.close()
			return
		}
		if err != nil {
			_ = l.server.CloseWrite()
			return
		}
	}
}

func (l *link) request(b []byte) bool {
	f, cleared := l.begin()
	switch f.Kind {
	case DropRequest:
		return false
	case DelayRequest:
		if !l.pause(f.Wait) {
			return false
		}
	case Duplicate:
		l.mirror(append([]byte(nil), b...), f.Wait)
	case Stall:
		select {
		case <-cleared:
		case <-l.done:
			return false
		}
	case Split:
		return l.pieces(l.server, b, f)
	}
	if _, err := l.server.Write(b); err != nil {
		return false
	}
	if f.Kind == HalfClose {
		_ = l.server.CloseWrite()
	}
	return true
}

// forwardReplies carries bytes from the server to the client until one of them ends.
func (l *link) forwardReplies() {
	buf := make([]byte, chunkMax)
	for {
		n, err := l.server.Read(buf)
		if n > 0 && !l.answer(buf[:n]) {
			return
		}
		if err != nil {
			_ = l.client.CloseWrite()
			return
		}
	}
}

func (l *link) answer(b []byte) bool {
	f, cleared, first := l.reply()
	if f.Kind == Split {
		return l.pieces(l.client, b, f)
	}
	if first {
		switch f.Kind {
		case DropReply:
			return false
		case CutReply:
			_, _ = l.client.Write(b[:len(b)/2])
			return false
		case Reset:
			_ = l.client.SetLinger(0)
			return false
		case Delay:
			if !l.pause(f.Wait) {
				return false
			}
		case Stall:
			select {
			case <-cleared:
			case <-l.done:
				return false
			}
		}
	}
	_, err := l.client.Write(b)
	return err == nil
}

// pieces writes b in pieces of f.Size bytes, f.Wait apart.
func (l *link) pieces(to *net.TCPConn, b []byte, f Fault) bool {
	size := max(f.Size, 1)
	for len(b) > 0 {
		n := min(size, len(b))
		if _, err := to.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
		if len(b) > 0 && !l.pause(f.Wait) {
			return false
		}
	}
	return true
}

// pause waits, unless the link ends before.
func (l *link) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.done:
		return false
	}
}

// mirror sends b once more over a connection of its own, which outlives the link's end
// long enough for the server to read it.
func (l *link) mirror(b []byte, wait time.Duration) {
	l.copies.Go(func() {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.proxy.ctx.Done():
			return
		}
		conn, err := l.proxy.dial()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(dialWait))
		if _, err := conn.Write(b); err != nil {
			return
		}
		// The first bytes of a reply say that the copy was taken.
		_, _ = conn.Read(make([]byte, 1))
	})
}

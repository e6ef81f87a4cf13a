package gate

import (
	"net"
	"net/netip"
	"sync"
)

// perAddressListener bounds the connections of one address: of one IPv4 address, or of
// one /64 with IPv6, which one customer gets. fasthttp's own bound knows IPv4 alone.
type perAddressListener struct {
	net.Listener
	max int

	mu   sync.Mutex // guards open
	open map[netip.Prefix]int
}

func newPerAddressListener(ln net.Listener, limit int) *perAddressListener {
	return &perAddressListener{Listener: ln, max: limit, open: make(map[netip.Prefix]int)}
}

// Accept returns the next connection of an address that has not too many; others are
// closed without a word.
func (l *perAddressListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, ok := addressOf(c.RemoteAddr())
		if !ok {
			return c, nil
		}
		if l.enter(from) {
			return &countedConn{Conn: c, done: func() { l.leave(from) }}, nil
		}
		_ = c.Close()
	}
}

// addressOf returns what connections are counted by; ok is false for addresses that are
// not of the internet.
func addressOf(a net.Addr) (netip.Prefix, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	ip := tcp.AddrPort().Addr().Unmap()
	size := 32
	if ip.Is6() {
		size = 64
	}
	p, err := ip.WithZone("").Prefix(size)
	return p, err == nil
}

func (l *perAddressListener) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= l.max {
		return false
	}
	l.open[from]++
	return true
}

func (l *perAddressListener) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] <= 0 {
		delete(l.open, from)
	}
}

// countedConn is a connection that is counted until it is closed.
type countedConn struct {
	net.Conn
	once sync.Once
	done func()
}

// Close closes the connection and stops counting it.
func (c *countedConn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}

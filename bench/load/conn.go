package load

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Conn is one connection for calls one after the other, for setup and probes. It is for
// one goroutine.
type Conn struct {
	net     net.Conn
	wire    Wire
	timeout time.Duration
	buf     []byte
	have    int
}

// Dial connects to addr. A call that takes longer than timeout fails.
func Dial(ctx context.Context, addr string, wire Wire, timeout time.Duration) (*Conn, error) {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return &Conn{net: c, wire: wire, timeout: timeout, buf: make([]byte, 16<<10)}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.net.Close() }

// Do sends one request and returns its answer, which is valid until the next call.
func (c *Conn) Do(request []byte) ([]byte, error) {
	if err := c.Send(request); err != nil {
		return nil, err
	}
	return c.Receive()
}

// Send sends requests; an answer to each must be received.
func (c *Conn) Send(requests []byte) error {
	if err := c.net.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if _, err := c.net.Write(requests); err != nil {
		return fmt.Errorf("load: send: %w", err)
	}
	return nil
}

// Receive returns the next answer, which is valid until the next call.
func (c *Conn) Receive() ([]byte, error) {
	c.have = copy(c.buf, c.buf[len(c.buf)-c.have:]) // what is left stands at the end
	for {
		size, err := c.wire.Frame(c.buf[:c.have])
		if err != nil {
			return nil, err
		}
		if size > 0 {
			return c.cut(size), nil
		}
		if c.have == len(c.buf) {
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
		n, err := c.net.Read(c.buf[c.have:])
		c.have += n
		if err != nil && n == 0 {
			return nil, fmt.Errorf("load: receive: %w", err)
		}
	}
}

// cut takes the first size bytes as the answer and moves what follows to the end of the
// buffer, where the next Receive finds it.
func (c *Conn) cut(size int) []byte {
	left := c.have - size
	if size+left > len(c.buf)-left {
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	copy(c.buf[len(c.buf)-left:], c.buf[size:c.have])
	c.have = left
	return c.buf[:size]
}

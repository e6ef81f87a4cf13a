package bankhost

import (
	"bufio"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

const (
	// queueMax is how many bytes of answers wait for a peer; then nothing more is read from
	// it until some are taken.
	queueMax = 1 << 20
	// laterMax is how many answers of a connection may be delayed at once; the next is sent
	// at once.
	laterMax = 1 << 16
	readSize = 64 << 10
)

// later is an answer whose time has not come.
type later struct {
	at   time.Time
	data []byte
}

// conn is a connection: one goroutine reads, decides and composes, one writes.
type conn struct {
	host *Host
	nc   net.Conn
	wake chan struct{} // to the writer: there is something
	room chan struct{} // to the reader: there is room again
	done chan struct{}
	once sync.Once

	// The reader's own.
	view    message.View
	writer  message.Writer
	request request
	scratch []byte
	framed  []byte

	mu    sync.Mutex
	queue []byte  // guarded by mu, as the two below
	later []later // by time
	last  bool    // close when the queue is written
}

func newConn(h *Host, nc net.Conn) *conn {
	return &conn{host: h, nc: nc, wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		done: make(chan struct{})}
}

// close ends both goroutines.
func (c *conn) close() {
	c.once.Do(func() {
		close(c.done)
		_ = c.nc.Close()
	})
}

// read serves requests until the connection ends.
func (c *conn) read() {
	r := message.NewReader(bufio.NewReaderSize(c.nc, readSize), c.host.o.Framing)
	for {
		frame, err := r.Next()
		if err != nil {
			if errors.Is(err, message.ErrFrame) {
				c.host.count(func(n *Counts) { n.Broken++ })
			}
			return
		}
		if !c.serve(frame) || !c.waitForRoom() {
			return
		}
	}
}

// waitForRoom stops the reader while the peer takes no answers.
func (c *conn) waitForRoom() bool {
	for {
		c.mu.Lock()
		full, last := len(c.queue) > queueMax, c.last
		c.mu.Unlock()
		if last {
			<-c.done
			return false
		}
		if !full {
			return true
		}
		select {
		case <-c.room:
		case <-c.done:
			return false
		}
	}
}

// send queues a frame, now or after a delay.
func (c *conn) send(frame []byte, after time.Duration) {
	framed, err := c.host.o.Framing.Append(c.framed[:0], frame)
	if err != nil {
		return // an answer that the framing cannot carry: the peer's time-out deals with it
	}
	c.framed = framed
	c.enqueue(framed, after)
}

func (c *conn) enqueue(data []byte, after time.Duration) {
	c.mu.Lock()
	if after <= 0 || len(c.later) >= laterMax {
		c.queue = append(c.queue, data...)
	} else {
		l := later{time.Now().Add(after), slices.Clone(data)}
		at, _ := slices.BinarySearchFunc(c.later, l, func(a, b later) int {
			if a.at.After(b.at) {
				return 1
			}
			return -1
		})
		c.later = slices.Insert(c.later, at, l)
	}
	c.mu.Unlock()
	signal(c.wake)
}

// cut queues the first half of a frame and closes the connection behind it.
func (c *conn) cut(frame []byte) {
	framed, err := c.host.o.Framing.Append(c.framed[:0], frame)
	if err != nil {
		return
	}
	c.mu.Lock()
	c.queue, c.last = append(c.queue, framed[:len(framed)/2]...), true
	c.mu.Unlock()
	signal(c.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write sends what is queued, all of it in one call, until the connection ends.
func (c *conn) write() {
	defer c.close()
	var spare []byte
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		out, next, last := c.take(spare)
		spare = out[:0]
		if len(out) > 0 {
			_ = c.nc.SetWriteDeadline(time.Now().Add(c.host.o.WriteTimeout))
			if _, err := c.nc.Write(out); err != nil {
				return
			}
			signal(c.room)
			if !last {
				continue
			}
		}
		if last {
			return
		}
		timer.Reset(next)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-c.done:
			return
		}
	}
}

// take swaps the queue for an empty one and says how long the next delayed answer has.
func (c *conn) take(spare []byte) (out []byte, next time.Duration, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = time.Hour
	if len(c.later) > 0 {
		now := time.Now()
		due := 0
		for due < len(c.later) && !c.later[due].at.After(now) {
			c.queue = append(c.queue, c.later[due].data...)
			due++
		}
		c.later = slices.Delete(c.later, 0, due)
		if len(c.later) > 0 {
			next = c.later[0].at.Sub(now)
		}
	}
	out, c.queue = c.queue, spare[:0]
	return out, next, c.last
}

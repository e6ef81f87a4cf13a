package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// station is what all connections of a Link or a Server share.
type station struct {
	name        string
	framing     Framing
	protocol    Protocol
	handler     Handler
	limits      Limits
	counters    *Counters
	log         *slog.Logger
	now         func() time.Time
	undelivered func(r *Request, answer []byte)
	desk        desk
	// handlers are the goroutines that run Handler.Handle.
	handlers sync.WaitGroup
	crew     *crew
	// complained is when a warning that a peer can cause at will was last logged.
	complained atomic.Int64
}

// complain logs a warning that a peer can cause at will, at most one a second: the counters
// have the numbers.
func (s *station) complain(what string, args ...any) {
	now, last := time.Now().UnixNano(), s.complained.Load()
	if now-last < int64(time.Second) || !s.complained.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn(what, append([]any{"link", s.name}, args...)...)
}

// owner is what a connection asks of the Link or Server that it belongs to.
type owner interface {
	// admit says whether a request may be taken on the connection now.
	admit(c *conn) error
	// answered takes an answer to one of our requests.
	answered(c *conn, key Key, frame []byte)
	// managed is told of a management request of the peer, after it was answered.
	managed(c *conn, what Management)
}

// item is one frame that waits for the writer.
type item struct {
	frame []byte
	// e is the exchange that the frame begins, and gen tells whether e still is it; nil
	// for answers.
	e   *entry
	gen uint64
	// req is the request that the frame answers; nil for what no Handler made.
	req *Request
	// start is where the frame begins in the batch that is being written.
	start int
}

// conn is one connection with its reader and its writer. close may be called by anyone. The
// last of reader and writer ends the exchanges that were under way here, and wait returns
// after that.
type conn struct {
	nc    net.Conn
	peer  Peer
	st    *station
	own   owner
	table *table // of our requests; nil where there are none
	// inbound connections end when they are idle, and stop reading at InFlightPerConnMax;
	// outbound ones send echoes, and refuse requests there: they must go on reading answers.
	inbound bool

	wake     chan struct{} // tells the writer of the first frame in the queue
	room     chan struct{} // tells the reader that a request left the desk
	done     chan struct{} // closed with the connection
	readDone chan struct{} // closed when the reader has ended
	off      chan struct{} // closed when the peer signs off
	ended    chan struct{} // closed when nothing of the connection is left
	running  atomic.Int32  // reader and writer

	signedOn atomic.Bool
	bowed    atomic.Bool // this side has written everything and closes
	offOnce  sync.Once
	// lastRead is when the last frame came, in Unix nanoseconds.
	lastRead atomic.Int64

	// pending is the number of exchanges in flight here, retired says that no more are
	// taken; the table's lock guards them.
	pending int
	retired bool
	// working is the number of requests at the desk, eof says that the peer sends no
	// more; the desk's lock guards them.
	working int
	eof     bool

	mu        sync.Mutex // guards the fields below
	queue     []item
	bytes     int // of the frames in queue
	closed    bool
	finishing bool // close when the queue is empty
	cause     error
}

func newConn(st *station, own owner, nc net.Conn, peer Peer) *conn {
	c := &conn{nc: nc, peer: peer, st: st, own: own,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		done: make(chan struct{}), readDone: make(chan struct{}), off: make(chan struct{}),
		ended: make(chan struct{})}
	c.lastRead.Store(time.Now().UnixNano())
	return c
}

// start begins to read and write.
func (c *conn) start() {
	c.running.Store(2)
	go c.read()
	go c.write()
}

// leave is called by reader and writer at their end.
func (c *conn) leave() {
	if c.running.Add(-1) > 0 {
		return
	}
	c.mu.Lock()
	rest, cause := c.queue, c.cause
	c.queue, c.bytes = nil, 0
	c.mu.Unlock()
	for i := range rest {
		c.unsent(&rest[i], cause)
	}
	if c.table != nil {
		c.table.lost(c, lostBy(cause))
	}
	close(c.ended)
}

// lostBy makes sure that a cause says that the connection was lost.
func lostBy(cause error) error {
	if errors.Is(cause, ErrLost) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrLost, cause)
}

// close ends the connection. Only the first cause is kept. What the kernel still holds for
// a peer that does not read is thrown away unless the end is an orderly one.
func (c *conn) close(cause error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed, c.cause = true, cause
	c.mu.Unlock()
	close(c.done)
	if tcp, ok := c.plain().(*net.TCPConn); ok && !errors.Is(cause, errFinished) {
		_ = tcp.SetLinger(0)
		_ = tcp.Close() // before TLS, which would wait to say goodbye
	}
	_ = c.nc.Close()
}

// plain returns the connection below TLS.
func (c *conn) plain() net.Conn {
	if t, ok := c.nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c.nc
}

// wait returns when nothing of the connection is left, with the cause of its end. What was
// still in the queue has been reported as not sent and not delivered then.
func (c *conn) wait() error {
	<-c.ended
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// unsent reports a frame that never left.
func (c *conn) unsent(it *item, cause error) {
	if it.e != nil {
		c.table.unsent(it, lostBy(cause))
		return
	}
	c.st.lostAnswer(it.req, it.frame)
}

// lostAnswer counts an answer that was not delivered and hands it to the callback.
func (s *station) lostAnswer(r *Request, answer []byte) {
	s.counters.Undelivered.Add(1)
	if r != nil && s.undelivered != nil {
		s.undelivered(r, answer)
	}
}

// enqueue hands a frame to the writer or says why not; nothing was sent then. reserve is
// how many frames above the limit this one may be.
func (c *conn) enqueue(it item, reserve int) error {
	if len(it.frame) == 0 || len(it.frame) > c.st.limits.FrameMax {
		return ErrFrame
	}
	c.mu.Lock()
	if c.closed || c.finishing {
		c.mu.Unlock()
		return ErrGone
	}
	if len(c.queue) >= c.st.limits.QueueMax+reserve ||
		(c.bytes >= c.st.limits.QueueBytesMax && reserve == 0) {
		c.mu.Unlock()
		return ErrQueueFull
	}
	c.queue = append(c.queue, it)
	c.bytes += len(it.frame)
	first := len(c.queue) == 1
	c.mu.Unlock()
	if first { // otherwise the writer knows already
		signal(c.wake)
	}
	return nil
}

// finish lets the writer empty its queue and then close the connection. Nothing more is
// taken from now on.
func (c *conn) finish() {
	c.mu.Lock()
	c.finishing = true
	c.mu.Unlock()
	signal(c.wake)
}

// signOff tells the owner that the peer has signed off.
func (c *conn) signOff() { c.offOnce.Do(func() { close(c.off) }) }

// settled waits until the writer does not touch the frame of an exchange any more.
func (c *conn) settled() {
	c.mu.Lock()
	//lint:ignore SA2001 the writer copies frames under this lock: passing it is the point
	c.mu.Unlock()
}

// queued returns how many frames wait.
func (c *conn) queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// silence returns how long ago the last frame came.
func (c *conn) silence() time.Duration {
	return time.Duration(time.Now().UnixNano() - c.lastRead.Load())
}

// signal leaves one token in a channel of capacity 1.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

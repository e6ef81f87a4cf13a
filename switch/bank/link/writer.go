package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// writer is what the writing goroutine of a connection owns.
type writer struct {
	c     *conn
	buf   []byte
	batch []item // what stands in buf
	bad   []item // what could not be framed
}

// write carries the queue to the network until the connection ends.
func (c *conn) write() {
	defer c.leave()
	w := &writer{c: c}
	for w.gather() {
		for i := range w.bad {
			c.unsent(&w.bad[i], ErrFrame)
		}
		if len(w.buf) > 0 && !w.flush() {
			return
		}
	}
	select {
	case <-c.done:
	default:
		c.bow()
	}
}

// gather fills the batch, waiting for the first frame. It returns false when there is
// nothing more to write.
func (w *writer) gather() bool {
	for {
		if filled, more := w.fill(); filled || !more {
			return filled
		}
		select {
		case <-w.c.wake:
			// Whoever is about to send gets into the same write: with 128 callers on 16
			// connections this halves the processor time of an exchange.
			runtime.Gosched()
		case <-w.c.done:
			return false
		}
	}
}

// fill moves frames from the queue to the batch. more is false when no frame will come.
func (w *writer) fill() (filled, more bool) {
	c := w.c
	clear(w.batch)
	clear(w.bad)
	w.buf, w.batch, w.bad = w.buf[:0], w.batch[:0], w.bad[:0]
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, false
	}
	if len(c.queue) == 0 {
		return false, !c.finishing
	}
	n := 0
	for n < len(c.queue) && len(w.buf) < writeBatchMax {
		w.add(&c.queue[n])
		c.bytes -= len(c.queue[n].frame)
		n++
	}
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	return true, true
}

// add copies one frame into the batch unless its exchange has ended meanwhile.
func (w *writer) add(it *item) {
	if it.e != nil && !it.e.state.CompareAndSwap(stateQueued, stateCopying) {
		return
	}
	start := len(w.buf)
	buf, err := w.c.st.framing.AppendFrame(w.buf, it.frame)
	if err != nil {
		w.bad = append(w.bad, *it)
		return
	}
	w.buf = buf
	it.start = start
	w.batch = append(w.batch, *it)
	if it.e != nil {
		it.e.state.Store(stateSent)
	}
}

// flush writes the batch within the write deadline and reports whether the connection is
// still good.
func (w *writer) flush() bool {
	c := w.c
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.st.limits.WriteTimeout))
	n, err := c.nc.Write(w.buf)
	c.st.counters.BytesOut.Add(uint64(n))
	if err == nil {
		c.st.counters.FramesOut.Add(uint64(len(w.batch)))
		if cap(w.buf) > 2*writeBatchMax {
			w.buf = nil
		}
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.st.counters.WriteTimeouts.Add(1)
		err = errSlowReader
	}
	err = fmt.Errorf("%w: write: %w", ErrLost, err)
	c.close(err)
	w.judge(n, err)
	return false
}

// judge tells what became of a batch of which n bytes were taken by the network: frames
// that begin behind them certainly stay here. Behind TLS n says nothing certain. An answer
// that was not taken whole is not delivered; an exchange in that state is Unknown.
func (w *writer) judge(n int, err error) {
	_, hidden := w.c.nc.(*tls.Conn)
	for i := range w.batch {
		it := &w.batch[i]
		end := len(w.buf)
		if i+1 < len(w.batch) {
			end = w.batch[i+1].start
		}
		if (it.e == nil && end > n) || (it.e != nil && it.start >= n && !hidden) {
			w.c.unsent(it, err)
		}
	}
}

// bow ends a connection in order: it closes the writing side and leaves the other side a
// moment to do the same, so that the last frames are not lost to a reset.
func (c *conn) bow() {
	c.bowed.Store(true)
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = c.nc.SetWriteDeadline(time.Now().Add(lingerMax))
		_ = half.CloseWrite()
		t := time.NewTimer(lingerMax)
		defer t.Stop()
		select {
		case <-c.readDone:
		case <-t.C:
		case <-c.done:
		}
	}
	c.close(errFinished)
}

package link

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// readBufferMax is the size of a connection's read buffer in bytes: some twenty messages.
const readBufferMax = 8 << 10

// timedReader sets the read deadline before each read: for a frame that has begun, and
// otherwise for the silence that is allowed.
type timedReader struct {
	c *conn
	// begun is when the frame that is being read began; zero between frames.
	begun time.Time
	// armed says that a deadline is set.
	armed bool
}

// Read reads from the network.
func (r *timedReader) Read(p []byte) (int, error) {
	l := &r.c.st.limits
	switch {
	case !r.begun.IsZero():
		_ = r.c.nc.SetReadDeadline(r.begun.Add(l.FrameTimeout))
		r.armed = true
	case r.c.inbound && l.IdleTimeout > 0:
		_ = r.c.nc.SetReadDeadline(time.Now().Add(l.IdleTimeout))
		r.armed = true
	case r.armed:
		_ = r.c.nc.SetReadDeadline(time.Time{})
		r.armed = false
	}
	return r.c.nc.Read(p)
}

// read takes frames from the network until the connection ends.
func (c *conn) read() {
	defer c.leave()
	timed := &timedReader{c: c}
	r := bufio.NewReaderSize(timed, readBufferMax)
	err := c.frames(r, timed)
	close(c.readDone)
	if errors.Is(err, errPeerClosed) {
		if c.bowed.Load() {
			err = errFinished // it follows us
		} else if c.inbound && c.awaitAnswers() {
			return // the writer closes after the last answer
		}
	}
	c.close(err)
}

// frames reads and dispatches frames until one cannot be read.
func (c *conn) frames(r *bufio.Reader, timed *timedReader) error {
	bad := 0
	for {
		timed.begun = time.Time{}
		if _, err := r.Peek(1); err != nil {
			return c.silent(err)
		}
		timed.begun = time.Now()
		frame, err := c.st.framing.ReadFrame(r, c.st.limits.FrameMax)
		if err != nil {
			return c.broken(err)
		}
		c.lastRead.Store(timed.begun.UnixNano())
		c.st.counters.FramesIn.Add(1)
		c.st.counters.BytesIn.Add(uint64(len(frame)))
		if c.dispatch(frame) {
			bad = 0
		} else if bad++; bad >= badMessagesMax {
			return fmt.Errorf("%w: %w", ErrLost, errGarbage)
		}
	}
}

// silent returns why no frame began.
func (c *conn) silent(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		err = errPeerClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.st.counters.IdleTimeouts.Add(1)
		err = errIdle
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// broken returns why a frame did not end.
func (c *conn) broken(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.st.counters.FrameTimeouts.Add(1)
		err = errSlowFrame
	} else {
		c.st.counters.BadFrames.Add(1)
	}
	return fmt.Errorf("%w: frame: %w", ErrLost, err)
}

// dispatch gives a frame to whom it concerns and returns false when it cannot be read.
func (c *conn) dispatch(frame []byte) bool {
	kind, key, err := c.st.protocol.Classify(frame)
	if err == nil {
		switch kind {
		case KindAnswer:
			c.own.answered(c, key, frame)
			return true
		case KindRequest:
			c.request(frame, key)
			return true
		case KindManagement:
			err = c.manage(frame)
		default:
			err = fmt.Errorf("kind %d is unknown", kind)
		}
	}
	if err != nil {
		c.st.counters.BadMessages.Add(1)
		c.st.complain("message dropped", "peer", c.peer.Name, "address", c.peer.Address,
			"bytes", len(frame), "cause", err)
		return false
	}
	return true
}

// manage answers a management request.
func (c *conn) manage(frame []byte) error {
	answer, what, err := c.st.protocol.Reply(frame)
	if err != nil {
		return err
	}
	if len(answer) > 0 {
		if err := c.enqueue(item{frame: answer}, managementReserveMax); err != nil {
			c.st.lostAnswer(nil, answer)
		}
	}
	switch what {
	case SignOn:
		c.signedOn.Store(true)
	case SignOff:
		c.signedOn.Store(false)
		c.st.counters.PeerSignOffs.Add(1)
	}
	c.own.managed(c, what)
	return nil
}

// awaitAnswers lets a peer that closed its sending side have the answers that are still
// being made. It returns false when they do not come in time.
func (c *conn) awaitAnswers() bool {
	if c.st.desk.lastRequest(c) {
		c.finish()
	}
	t := time.NewTimer(c.st.limits.AnswerTimeout)
	defer t.Stop()
	select {
	case <-c.done:
		return true
	case <-t.C:
		return false
	}
}

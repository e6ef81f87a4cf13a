package link

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// call is one exchange to be made.
type call struct {
	frame []byte
	key   Key
	// repeat says that an exchange with the same key may have ended unanswered before.
	repeat bool
	// on is the connection to use; nil lets the link choose.
	on *conn
	// management passes the limits of traffic.
	management bool
	timeout    time.Duration
}

// Exchange sends a request and waits for its answer, for the end of ctx or for
// Limits.AnswerTimeout. key is that of the request; no other with an overlapping key may be
// in flight, or have ended unanswered within Limits.LateKeep (ErrDuplicate). The key of an
// exchange that was answered must not be used again while its bank may still repeat the
// answer; Number takes care of that.
//
// With Answered the error is nil and the answer belongs to the caller. With NotSent the
// request can be sent again, here or elsewhere. With Unknown it must not be: the bank may
// have executed it, and an answer that still comes goes to Config.Late. The link does not
// touch frame after Exchange has returned.
func (l *Link) Exchange(ctx context.Context, frame []byte, key Key) ([]byte, Sent, error) {
	return l.run(ctx, call{frame: frame, key: key, timeout: l.st.limits.AnswerTimeout})
}

// Repeat is Exchange for the repeat of a request whose earlier exchange ended as Unknown
// with the same key: a reversal that is sent until it is answered. An answer to any of them
// answers the one that is in flight, and is not reported as late.
func (l *Link) Repeat(ctx context.Context, frame []byte, key Key) ([]byte, Sent, error) {
	return l.run(ctx, call{frame: frame, key: key, repeat: true,
		timeout: l.st.limits.AnswerTimeout})
}

func (l *Link) run(ctx context.Context, q call) ([]byte, Sent, error) {
	l.counters.Exchanges.Add(1)
	answer, sent, err := l.attempt(ctx, &q)
	switch sent {
	case Answered:
		l.counters.Answered.Add(1)
		return answer, sent, nil
	case NotSent:
		l.counters.NotSent.Add(1)
	default:
		l.counters.Unknown.Add(1)
	}
	switch {
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		l.counters.TimedOut.Add(1)
	case errors.Is(err, ErrQueueFull):
		l.counters.QueueFull.Add(1)
	case errors.Is(err, ErrInFlightFull):
		l.counters.InFlightFull.Add(1)
	case errors.Is(err, ErrDuplicate):
		l.counters.Duplicates.Add(1)
	}
	return nil, sent, fmt.Errorf("link %s: %v: %v: %w", l.st.name, q.key, sent, err)
}

func (l *Link) attempt(ctx context.Context, q *call) ([]byte, Sent, error) {
	if err := ctx.Err(); err != nil {
		return nil, NotSent, err
	}
	if len(q.frame) == 0 || len(q.frame) > l.st.limits.FrameMax {
		return nil, NotSent, fmt.Errorf("%w: %d bytes, limit %d", ErrFrame, len(q.frame),
			l.st.limits.FrameMax)
	}
	e, err := l.table.add(q, time.Now())
	if err != nil {
		return nil, NotSent, err
	}
	c, err := l.dispatch(e, q)
	if err != nil {
		l.table.giveUp(e, false, err)
		<-e.done
	} else {
		l.await(ctx, e, q.timeout)
	}
	answer, sent, err := e.answer, e.outcome, e.err
	if c != nil && (sent == Unknown || q.repeat) {
		c.settled()
	}
	l.table.recycle(e)
	return answer, sent, err
}

// dispatch hands the frame to the first connection that takes it. An error says that none
// did.
func (l *Link) dispatch(e *entry, q *call) (*conn, error) {
	if q.on != nil {
		return q.on, l.try(e, q, q.on)
	}
	up := *l.up.Load()
	first := 0
	if l.cfg.Balance == RoundRobin && len(up) > 1 {
		first = int(l.turn.Add(1) % uint32(len(up)))
	}
	err := ErrDown
	for i := range up {
		c := up[(first+i)%len(up)]
		tried := l.try(e, q, c)
		if tried == nil || errors.Is(tried, errEnded) {
			return c, tried
		}
		if errors.Is(err, ErrDown) { // a full connection says more than one that just went
			err = tried
		}
		if l.cfg.Balance == Primary && !errors.Is(tried, ErrDown) {
			break // the others stand by for a loss, not for slowness
		}
	}
	return nil, err
}

// try hands the frame to one connection.
func (l *Link) try(e *entry, q *call, c *conn) error {
	gen, err := l.table.place(e, c, q.management)
	if err != nil {
		return err
	}
	reserve := 0
	if q.management {
		reserve = managementReserveMax
	}
	err = c.enqueue(item{frame: q.frame, e: e, gen: gen}, reserve)
	if err == nil {
		return nil
	}
	l.table.displace(e)
	if errors.Is(err, ErrGone) {
		return ErrDown
	}
	return err
}

// await returns when the exchange has ended, by its answer, by the loss of its connection,
// or because it took too long.
func (l *Link) await(ctx context.Context, e *entry, timeout time.Duration) {
	e.timer.Reset(timeout)
	var cause error
	select {
	case <-e.done:
		return
	case <-e.timer.C:
		cause = ErrTimeout
	case <-ctx.Done():
		cause = ctx.Err()
	}
	l.table.giveUp(e, true, cause)
	<-e.done
}

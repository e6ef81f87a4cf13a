package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// line keeps one connection of a link: it connects, signs on, watches and reconnects, on
// one goroutine.
type line struct {
	link    *Link
	index   int
	address string
	history history
}

// run keeps the connection until the link is shut down.
func (l *line) run() {
	failures := 0
	for l.link.soft.Err() == nil {
		upFor, err := l.once()
		if errors.Is(err, errFinished) && l.link.soft.Err() != nil {
			l.set(Down, errFinished)
			return
		}
		l.set(Down, err)
		if upFor >= l.link.st.limits.BackoffMax {
			failures = 0
		}
		pause := l.link.st.limits.backoff(failures, l.link.cfg.Rand())
		failures++
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-l.link.soft.Done():
			t.Stop()
		}
	}
}

// set notes a change of state and tells about it.
func (l *line) set(s State, cause error) {
	change := Change{State: s, Since: l.link.cfg.Now()}
	if cause != nil {
		change.Cause = cause.Error()
	}
	l.history.add(change)
	log := l.link.cfg.Log.Info
	if s == Down && cause != nil && !errors.Is(cause, errFinished) {
		log = l.link.cfg.Log.Warn
	}
	log("link state", "link", l.link.st.name, "line", l.index, "address", l.address,
		"state", s.String(), "cause", change.Cause)
	if l.link.cfg.Changed != nil {
		l.link.cfg.Changed(l.index, change)
	}
}

// once connects, serves the connection until it ends, and returns how long it was up.
func (l *line) once() (upFor time.Duration, err error) {
	l.set(Connecting, nil)
	nc, err := l.connect()
	if err != nil {
		l.link.counters.ConnectFailures.Add(1)
		return 0, fmt.Errorf("connect: %w", err)
	}
	l.link.counters.Connects.Add(1)
	c := newConn(l.link.st, l.link, nc, Peer{Name: l.link.st.name, Address: l.address})
	c.table = l.link.table
	c.start()
	upFor, err = l.serve(c)
	if err != nil {
		c.close(err)
	}
	cause := c.wait()
	if !errors.Is(cause, errFinished) {
		l.link.counters.Lost.Add(1)
	}
	if err == nil {
		err = cause
	}
	return upFor, err
}

// connect establishes TCP and TLS.
func (l *line) connect() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.link.soft, l.link.st.limits.ConnectTimeout)
	defer cancel()
	base := l.link.cfg.TLS
	if l.link.cfg.TLSNext != nil {
		var err error
		if base, err = l.link.cfg.TLSNext(); err != nil {
			return nil, err
		}
	}
	nc, err := l.link.cfg.Dial(ctx, l.address)
	if tcp, ok := nc.(*net.TCPConn); ok && err == nil {
		_ = tcp.SetWriteBuffer(sendBufferMax) // what is refused is only larger
	}
	if err != nil || base == nil {
		return nc, err
	}
	cfg := base.Clone()
	if cfg.ServerName == "" {
		if host, _, err := net.SplitHostPort(l.address); err == nil {
			cfg.ServerName = host
		}
	}
	secured := tls.Client(nc, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		l.link.counters.TLSBad.Add(1)
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, nil
}

// serve brings the connection up and watches it until it ends or must end. With a nil error
// it was closed in order.
func (l *line) serve(c *conn) (upFor time.Duration, err error) {
	l.set(SigningOn, nil)
	if err := l.bring(c); err != nil {
		return 0, err
	}
	began := time.Now()
	err = l.watch(c)
	upFor = time.Since(began)
	if err != nil {
		l.link.disuse(l, c)
		return upFor, err
	}
	return upFor, l.empty(c)
}

// bring signs on and puts the connection to use.
func (l *line) bring(c *conn) error {
	ctx, cancel := context.WithTimeout(l.link.soft, l.link.st.limits.SignOnTimeout)
	defer cancel()
	if l.link.cfg.SignOnce {
		select {
		case l.link.signing <- struct{}{}:
			defer func() { <-l.link.signing }()
		case <-ctx.Done():
			return fmt.Errorf("sign-on: %w", ctx.Err())
		}
	}
	if !l.link.cfg.SignOnce || !l.link.IsUp() {
		if err := l.signOn(ctx, c); err != nil {
			l.link.counters.SignOnFailures.Add(1)
			return err
		}
	}
	l.set(Up, nil)
	l.link.use(l, c)
	return nil
}

func (l *line) signOn(ctx context.Context, c *conn) error {
	sent, err := l.manage(ctx, c, SignOn)
	if err != nil {
		return err
	}
	if sent {
		l.link.counters.SignOns.Add(1)
	}
	if l.link.cfg.Prepare == nil {
		return nil
	}
	err = l.link.cfg.Prepare(ctx, func(ctx context.Context, frame []byte, key Key) (
		[]byte, Sent, error) {
		return l.link.run(ctx, call{frame: frame, key: key, on: c, management: true,
			timeout: l.link.st.limits.AnswerTimeout})
	})
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return nil
}

// manage makes one exchange of link management, which ctx bounds, and judges its answer.
// sent is false when the protocol has no such message.
func (l *line) manage(ctx context.Context, c *conn, what Management) (sent bool, err error) {
	stan, err := l.link.numbers.Next(ctx)
	if err != nil {
		return false, fmt.Errorf("%v: %w", what, err)
	}
	frame, key, err := l.link.cfg.Protocol.Make(what, stan, l.link.cfg.Now())
	if err != nil {
		return false, fmt.Errorf("%v: %w", what, err)
	}
	if frame == nil {
		return false, nil
	}
	answer, _, err := l.link.run(ctx, call{frame: frame, key: key, on: c, management: true,
		timeout: time.Hour})
	if err == nil {
		err = l.link.cfg.Protocol.Accepted(what, answer)
	}
	if err != nil {
		return true, fmt.Errorf("%v: %w", what, err)
	}
	return true, nil
}

// watch returns nil when the connection is to be emptied and closed, and an error when it
// has ended or is dead.
func (l *line) watch(c *conn) error {
	after := l.link.st.limits.EchoAfter
	t := time.NewTimer(after)
	defer t.Stop()
	for {
		select {
		case <-c.done:
			return c.wait()
		case <-l.link.soft.Done():
			return nil
		case <-c.off:
			return nil
		case <-t.C:
		}
		if silence := c.silence(); silence < after {
			t.Reset(after - silence)
			continue
		}
		if err := l.echo(c); err != nil {
			return err
		}
		t.Reset(after)
	}
}

// echo asks whether the other side is there. An answer over another connection of the bank
// counts: it proves that this one carried the question.
func (l *line) echo(c *conn) error {
	ctx, cancel := context.WithTimeout(l.link.soft, l.link.st.limits.EchoTimeout)
	defer cancel()
	sent, err := l.manage(ctx, c, Echo)
	switch {
	case err == nil && sent:
		l.link.counters.Echoes.Add(1)
		return nil
	case err == nil:
		return nil
	case l.link.soft.Err() != nil:
		return nil // draining has begun, and the watch sees it next
	case errors.Is(err, ErrNumbers):
		l.link.st.complain("no echo sent", "address", l.address, "cause", err)
		return nil
	}
	l.link.counters.EchoesUnanswered.Add(1)
	return fmt.Errorf("%w: %w: %w", ErrLost, ErrEcho, err)
}

// empty takes the connection out of use, waits for the answers to what it has sent, signs
// off and closes it.
func (l *line) empty(c *conn) error {
	var cause error = errFinished
	if l.link.soft.Err() == nil {
		cause = ErrSignedOff
	}
	l.set(Draining, cause)
	left := l.link.disuse(l, c)
	last := l.link.cfg.SignOnce && left == 0
	if last {
		l.awaitEmpty(c, nil) // the others drain too
	} else {
		l.awaitEmpty(c, c)
	}
	if l.link.soft.Err() != nil && (last || !l.link.cfg.SignOnce) {
		l.signOff(c)
	}
	c.finish()
	select {
	case <-c.done:
	case <-l.link.hard.Done():
		c.close(fmt.Errorf("%w: %w", ErrLost, ErrClosed))
	}
	if errors.Is(cause, ErrSignedOff) {
		return fmt.Errorf("%w: %w", ErrLost, ErrSignedOff)
	}
	return nil
}

// awaitEmpty waits until no exchange is in flight on a connection (nil: on any), and no
// request of the bank on c.
func (l *line) awaitEmpty(c, of *conn) {
	limit := time.NewTimer(l.link.st.limits.DrainTimeout)
	defer limit.Stop()
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for l.link.table.inFlight(of) > 0 || l.link.st.desk.busy(c) > 0 {
		select {
		case <-poll.C:
		case <-limit.C:
			return
		case <-c.done:
			return
		case <-l.link.hard.Done():
			return
		}
	}
}

func (l *line) signOff(c *conn) {
	ctx, cancel := context.WithTimeout(l.link.hard, l.link.st.limits.SignOffTimeout)
	defer cancel()
	if sent, err := l.manage(ctx, c, SignOff); err == nil && sent {
		l.link.counters.SignOffs.Add(1)
	}
}

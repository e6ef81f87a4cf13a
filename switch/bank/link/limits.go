package link

import (
	"fmt"
	"time"
)

const (
	// writeBatchMax is how many bytes the writer hands to the network at once: small
	// enough that a write deadline means something, large enough for some 200 messages.
	writeBatchMax = 64 << 10
	// sendBufferMax is how much the kernel holds of what a bank has not taken. Left to itself it
	// grows to megabytes: a bank that reads nothing would swallow thousands of requests before
	// a write waits, and the write deadline would mean nothing.
	sendBufferMax = 256 << 10
	// managementReserveMax is how many frames of link management fit into a queue that is
	// full for traffic, so that an echo is not starved by it.
	managementReserveMax = 8
	// badMessagesMax is how many unreadable messages in a row end a connection.
	badMessagesMax = 100
	// historyMax is how many changes of state a connection remembers.
	historyMax = 32
	// connectionsPerLinkMax bounds the connections to one bank.
	connectionsPerLinkMax = 64
	// lingerMax is how long a connection that was closed for writing is still read, so that
	// the last answers are not destroyed by a reset.
	lingerMax = time.Second
	// drainPoll is how often a draining connection is looked at.
	drainPoll = 5 * time.Millisecond
)

// Limits bound what links and servers take on. A zero field takes the default of
// DefaultLimits, unless the field says otherwise.
type Limits struct {
	// FrameMax is the longest frame in bytes, both ways, without its length header.
	FrameMax int
	// QueueMax and QueueBytesMax bound the frames that wait for the writer of one
	// connection.
	QueueMax      int
	QueueBytesMax int
	// InFlightMax bounds the unanswered requests of a Link, or the requests that a Server
	// works on; InFlightPerConnMax those of one connection.
	InFlightMax        int
	InFlightPerConnMax int
	// ConnectionsMax bounds the connections of a Server, ConnectionsPerPeerMax those of one
	// peer name.
	ConnectionsMax        int
	ConnectionsPerPeerMax int
	// LateMax is how many exchanges that ended unanswered are remembered, LateKeep how
	// long: an answer within that time is a late one, their keys are not used again, and
	// their trace numbers are not handed out.
	LateMax  int
	LateKeep time.Duration

	// AnswerTimeout bounds an exchange whose context has no earlier end, and the time
	// after which a request that a Handler neither answered nor dropped stops counting.
	AnswerTimeout time.Duration
	// WriteTimeout bounds one write to the network; it ends connections whose peer does
	// not read.
	WriteTimeout time.Duration
	// FrameTimeout bounds the arrival of one frame from its first byte.
	FrameTimeout time.Duration
	// IdleTimeout ends an inbound connection without a frame; a Link uses echoes instead.
	IdleTimeout time.Duration

	// ConnectTimeout bounds connecting and the TLS handshake, SignOnTimeout the sign-on
	// with everything that Config.Prepare does.
	ConnectTimeout time.Duration
	SignOnTimeout  time.Duration
	// EchoAfter is the silence after which an echo is sent; EchoTimeout is how long its
	// answer may take.
	EchoAfter   time.Duration
	EchoTimeout time.Duration
	// DrainTimeout bounds the wait for answers when a connection is taken out of use;
	// SignOffTimeout bounds the sign-off after it.
	DrainTimeout   time.Duration
	SignOffTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause between attempts to connect. It doubles
	// with each, half of it is random, and it starts anew once a connection was up for
	// BackoffMax.
	BackoffMin time.Duration
	BackoffMax time.Duration
}

// DefaultLimits returns the limits that links and servers start with.
func DefaultLimits() Limits {
	return Limits{
		FrameMax: 8 << 10, QueueMax: 1024, QueueBytesMax: 1 << 20,
		InFlightMax: 8192, InFlightPerConnMax: 1024,
		ConnectionsMax: 4096, ConnectionsPerPeerMax: 1024,
		LateMax: 64 << 10, LateKeep: 10 * time.Minute,
		AnswerTimeout: 30 * time.Second, WriteTimeout: 5 * time.Second,
		FrameTimeout: 5 * time.Second, IdleTimeout: 5 * time.Minute,
		ConnectTimeout: 5 * time.Second, SignOnTimeout: 15 * time.Second,
		EchoAfter: 30 * time.Second, EchoTimeout: 10 * time.Second,
		DrainTimeout: 30 * time.Second, SignOffTimeout: 3 * time.Second,
		BackoffMin: 200 * time.Millisecond, BackoffMax: 30 * time.Second,
	}
}

// withDefaults fills what is zero and checks the rest.
func (l Limits) withDefaults() (Limits, error) {
	d := DefaultLimits()
	for _, f := range []struct {
		name            string
		value, standard *int
	}{
		{"FrameMax", &l.FrameMax, &d.FrameMax}, {"QueueMax", &l.QueueMax, &d.QueueMax},
		{"QueueBytesMax", &l.QueueBytesMax, &d.QueueBytesMax},
		{"InFlightMax", &l.InFlightMax, &d.InFlightMax},
		{"InFlightPerConnMax", &l.InFlightPerConnMax, &d.InFlightPerConnMax},
		{"ConnectionsMax", &l.ConnectionsMax, &d.ConnectionsMax},
		{"ConnectionsPerPeerMax", &l.ConnectionsPerPeerMax, &d.ConnectionsPerPeerMax},
		{"LateMax", &l.LateMax, &d.LateMax},
	} {
		if *f.value == 0 {
			*f.value = *f.standard
		}
		if *f.value < 0 {
			return l, fmt.Errorf("link limits: %s %d is negative", f.name, *f.value)
		}
	}
	if err := l.fillTimes(&d); err != nil {
		return l, err
	}
	if l.BackoffMin > l.BackoffMax {
		return l, fmt.Errorf("link limits: BackoffMin %v is above BackoffMax %v",
			l.BackoffMin, l.BackoffMax)
	}
	return l, nil
}

func (l *Limits) fillTimes(d *Limits) error {
	for _, f := range []struct {
		name            string
		value, standard *time.Duration
	}{
		{"LateKeep", &l.LateKeep, &d.LateKeep},
		{"AnswerTimeout", &l.AnswerTimeout, &d.AnswerTimeout},
		{"WriteTimeout", &l.WriteTimeout, &d.WriteTimeout},
		{"FrameTimeout", &l.FrameTimeout, &d.FrameTimeout},
		{"IdleTimeout", &l.IdleTimeout, &d.IdleTimeout},
		{"ConnectTimeout", &l.ConnectTimeout, &d.ConnectTimeout},
		{"SignOnTimeout", &l.SignOnTimeout, &d.SignOnTimeout},
		{"EchoAfter", &l.EchoAfter, &d.EchoAfter},
		{"EchoTimeout", &l.EchoTimeout, &d.EchoTimeout},
		{"DrainTimeout", &l.DrainTimeout, &d.DrainTimeout},
		{"SignOffTimeout", &l.SignOffTimeout, &d.SignOffTimeout},
		{"BackoffMin", &l.BackoffMin, &d.BackoffMin},
		{"BackoffMax", &l.BackoffMax, &d.BackoffMax},
	} {
		if *f.value == 0 {
			*f.value = *f.standard
		}
		if *f.value < 0 {
			return fmt.Errorf("link limits: %s %v is negative", f.name, *f.value)
		}
	}
	return nil
}

// backoff returns the pause before attempt n (from 0): the doubled minimum up to the
// maximum, the upper half of it at random. random is in [0, 1).
func (l *Limits) backoff(n int, random float64) time.Duration {
	d := l.BackoffMax
	if n < 30 && l.BackoffMin<<n < d && l.BackoffMin<<n > 0 {
		d = l.BackoffMin << n
	}
	return d/2 + time.Duration(random*float64(d-d/2))
}

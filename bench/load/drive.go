package load

import (
	"context"
	"time"
)

const (
	// waitMax bounds one wait, so that the end of ctx is seen.
	waitMax = 50 * time.Millisecond
	// dialMax bounds connecting.
	dialMax = 10 * time.Second
	// bufferDefault is what a connection reads at once at first.
	bufferDefault = 4 << 10
)

// Player is what a load does with its connections. Drive calls it from one thread.
type Player interface {
	// Send queues what may leave now and returns how long nothing more will. Over ends the
	// load: everything was sent, and answered or given up.
	Send(l *Lines) (wait time.Duration, over bool, err error)
	// Receive looks at what connection i has brought and returns how many bytes of it are
	// done with. It is called again when more has come, with what is left before that.
	Receive(l *Lines, i int, in []byte) (used int, err error)
}

// DriveOptions say which connections a Player plays on. Addr and Connections are needed.
type DriveOptions struct {
	Addr        string
	Connections int
	// Buffer is how much a connection reads at once, 4 KB by default; it doubles when an
	// answer needs more.
	Buffer int
}

// Cost is what a load cost the thread that drove it.
type Cost struct{ CPU, Wall time.Duration }

// Lines are the connections of a load, numbered from 0. They belong to Drive and the Player.
type Lines struct {
	all   []line
	dirty []int // those that got something to write
	base  time.Time
	poll  int // the epoll
}

// line is one connection.
type line struct {
	fd      int
	out     []byte // what is left to be sent
	in      []byte
	have    int
	dirty   bool
	writing bool // epoll watches for room to write
}

// Len returns the number of connections.
func (l *Lines) Len() int { return len(l.all) }

// Now returns the time since the load began.
func (l *Lines) Now() time.Duration { return time.Since(l.base) }

// Queue has b sent on connection i, after what was queued before. It copies b. What is queued
// in one call of the Player leaves together.
func (l *Lines) Queue(i int, b []byte) {
	c := &l.all[i]
	c.out = append(c.out, b...)
	if !c.dirty && !c.writing {
		c.dirty = true
		l.dirty = append(l.dirty, i)
	}
}

// Queued returns how many bytes wait to be sent on connection i.
func (l *Lines) Queued(i int) int { return len(l.all[i].out) }

// Drive connects, and lets p play on the connections until it is over. One thread with one
// epoll drives all of them. It closes them in the end. An error says that the load could not
// be measured.
func Drive(ctx context.Context, o DriveOptions, p Player) (Cost, error) {
	if o.Buffer == 0 {
		o.Buffer = bufferDefault
	}
	return drive(ctx, o, p)
}

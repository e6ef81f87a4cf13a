package load

import (
	"context"
	"fmt"
	"time"
)

// sampleMax is how much of an answer is kept for messages.
const sampleMax = 400

// loop is the Player of Run: one request at a time on each connection.
type loop struct {
	o     Options
	idle  []int           // ring of free connections
	due   []time.Duration // of the request that is under way, by connection
	first int             // of the ring
	free  int             // in the ring
	busy  int
	next  int           // request
	stop  time.Duration // no request is sent at or after it
	total int           // requests to send
	t     *Tally
}

func run(ctx context.Context, o Options) (*Result, error) {
	l := &loop{o: o, stop: o.Duration, total: o.Requests.Len(), t: NewTally(o.Warmup, o.Slice),
		idle: make([]int, o.Connections), due: make([]time.Duration, o.Connections)}
	if o.Rate > 0 {
		l.total = min(l.total, int(o.Rate*o.Duration.Seconds()))
		l.stop = time.Duration(1<<63 - 1) // what is due is sent, however late
	}
	for i := range l.idle {
		l.release(i)
	}
	cost, err := Drive(ctx, DriveOptions{Addr: o.Addr, Connections: o.Connections}, l)
	if err != nil {
		return nil, fmt.Errorf("%w (after %d requests)", err, l.next)
	}
	l.t.Sent, l.t.CPU = l.next, cost.CPU
	return l.t.Finish(cost.Wall), nil
}

func (l *loop) release(i int) {
	l.idle[(l.first+l.free)%len(l.idle)] = i
	l.free++
}

// ended reports whether all requests have been sent that will be.
func (l *loop) ended(now time.Duration) bool {
	return l.next >= l.total || l.o.Rate == 0 && now >= l.stop
}

// lastDue is when the last request is due.
func (l *loop) lastDue() time.Duration {
	if l.o.Rate > 0 {
		return l.dueAt(l.total)
	}
	return l.o.Duration
}

func (l *loop) dueAt(i int) time.Duration {
	return time.Duration(float64(i) / l.o.Rate * float64(time.Second))
}

// Send implements Player.
func (l *loop) Send(to *Lines) (wait time.Duration, over bool, err error) {
	wait = l.fill(to)
	now := to.Now()
	if l.busy == 0 && l.ended(now) {
		return 0, true, nil
	}
	if now > l.lastDue()+l.o.Drain {
		l.giveUp(now)
		return 0, true, nil
	}
	return wait, false, nil
}

// fill sends what is due over free connections and returns how long nothing will be.
func (l *loop) fill(to *Lines) time.Duration {
	for l.free > 0 {
		due := to.Now()
		if l.ended(due) {
			break
		}
		if l.o.Rate > 0 {
			at := l.dueAt(l.next)
			if at > due {
				return at - due
			}
			due = at
		}
		i := l.idle[l.first]
		l.first = (l.first + 1) % len(l.idle)
		l.free--
		l.start(to, i, due)
	}
	return waitMax
}

// start sends the next request over connection i.
func (l *loop) start(to *Lines, i int, due time.Duration) {
	l.due[i] = due
	to.Queue(i, l.o.Requests.At(l.next))
	l.next++
	l.busy++
}

// Receive implements Player. In a closed loop the next request leaves at once.
func (l *loop) Receive(to *Lines, i int, in []byte) (int, error) {
	size, err := l.o.Wire.Frame(in)
	if err != nil || size == 0 {
		return 0, err
	}
	if size != len(in) {
		return 0, fmt.Errorf("load: %d bytes follow an answer", len(in)-size)
	}
	v := l.o.Wire.Judge(in)
	if v != Good && l.t.Sample == "" {
		l.t.Sample = string(in[:min(size, sampleMax)])
	}
	l.t.Note(l.due[i], to.Now(), v)
	l.busy--
	if now := to.Now(); l.o.Rate == 0 && !l.ended(now) {
		l.start(to, i, now)
	} else {
		l.release(i)
	}
	return size, nil
}

// giveUp counts what was never answered as failed, and what was due and never sent for
// want of a free connection.
func (l *loop) giveUp(now time.Duration) {
	unsent := 0
	if l.o.Rate > 0 {
		unsent = l.total - l.next
	}
	if l.t.Sample == "" {
		l.t.Sample = "no answer within " + l.o.Drain.String()
	}
	for range l.busy + unsent {
		l.t.Note(l.lastDue(), now, Failed)
	}
}

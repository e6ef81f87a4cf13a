package iso

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

const (
	// eventsMax is how many ready connections are taken at once.
	eventsMax = 256
	// lookMax bounds one wait, so that the end of ctx is seen.
	lookMax = 50 * time.Millisecond
	// stanMax is the greatest trace number.
	stanMax = 999_999
	// outMax bounds what waits to be written on one connection; an open loop waits then.
	outMax = 4 << 20
)

// flight is a request without its answer.
type flight struct {
	due  time.Duration
	sent [10]byte
}

// conn is one connection.
type conn struct {
	fd      int
	out     []byte // what is left to be sent
	in      []byte
	have    int
	flights map[uint32]flight // by trace number
	quota   int               // of a closed loop
	writing bool              // epoll watches for room to write
}

// loop drives all connections of a load from one thread.
type loop struct {
	o       *Load
	spec    *message.Spec
	writer  message.Writer
	frame   []byte
	request Request
	second  int64 // of request.Sent, since o.Begin
	poll    int
	conns   []conn
	turn    int // connection of the next request of an open loop
	next    uint64
	total   uint64 // requests of an open loop
	flying  int
	base    time.Time
	t       tally
}

// tally collects the answers.
type tally struct {
	Result
	warm, grid, last time.Duration
	slice            *load.Slice
	part             load.Result // of the slice: its latency alone
}

func runLoad(ctx context.Context, o *Load, spec *message.Spec) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// A timer may fire up to the slack late: 50 µs by default.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, 1000, 0)
	l := &loop{o: o, spec: spec, second: -1, t: tally{warm: o.Warmup, grid: o.Slice}}
	l.t.Latency, l.t.part.Latency = load.NewHistogram(), load.NewHistogram()
	l.total = uint64(o.Rate * o.Duration.Seconds())
	defer l.close()
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	cpu := threadCPU()
	l.base = time.Now()
	if err := l.serve(ctx); err != nil {
		return nil, err
	}
	l.t.endSlice()
	l.t.CPU, l.t.Wall, l.t.Sent = threadCPU()-cpu, l.now(), int(l.next)
	l.t.Elapsed = max(l.t.last-l.t.warm, 0)
	return &l.t.Result, nil
}

func (l *loop) now() time.Duration { return time.Since(l.base) }

func (l *loop) connect(ctx context.Context) error {
	var err error
	if l.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("iso load: epoll: %w", err)
	}
	for i := range l.o.Connections {
		fd, err := dialRaw(ctx, l.o.Addr)
		if err != nil {
			return fmt.Errorf("iso load: connection %d of %d to %s: %w", i+1, l.o.Connections,
				l.o.Addr, err)
		}
		quota := l.o.InFlight / l.o.Connections
		if i < l.o.InFlight%l.o.Connections {
			quota++
		}
		l.conns = append(l.conns, conn{fd: fd, in: make([]byte, bufferMax), quota: quota,
			flights: map[uint32]flight{}})
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
		if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("iso load: epoll: %w", err)
		}
	}
	return nil
}

// dialRaw connects and takes the socket away from the runtime's poller, which would wake up
// for every answer as well. Go's sockets do not block and have no Nagle delay.
func dialRaw(ctx context.Context, addr string) (int, error) {
	d := net.Dialer{Timeout: dialMax}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	fd, dupErr := 0, error(nil)
	err = raw.Control(func(own uintptr) {
		fd, dupErr = syscall.Dup(int(own))
		if dupErr == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if err == nil {
		err = dupErr
	}
	return fd, err
}

func (l *loop) close() {
	for i := range l.conns {
		_ = syscall.Close(l.conns[i].fd)
	}
	if l.poll > 0 {
		_ = syscall.Close(l.poll)
	}
}

// serve sends what is due and takes answers until everything is answered.
func (l *loop) serve(ctx context.Context) error {
	events := make([]syscall.EpollEvent, eventsMax)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait, err := l.send()
		if err != nil {
			return err
		}
		now := l.now()
		switch {
		case l.flying == 0 && l.ended(now):
			return nil
		case now > l.o.Duration+l.o.Drain:
			l.giveUp(now)
			return nil
		}
		n, err := epollWait(l.poll, events, min(wait, lookMax))
		if err != nil {
			return fmt.Errorf("iso load: epoll: %w", err)
		}
		for i := range events[:n] {
			if err := l.ready(&events[i]); err != nil {
				return err
			}
		}
	}
}

// ended reports whether all requests have been sent that will be.
func (l *loop) ended(now time.Duration) bool {
	if l.o.Rate > 0 {
		return l.next >= l.total
	}
	return now >= l.o.Duration
}

// send makes and writes the requests that may leave, and returns how long none will.
func (l *loop) send() (time.Duration, error) {
	var (
		wait time.Duration
		err  error
	)
	if l.o.Rate > 0 {
		wait, err = l.fillOpen()
	} else {
		wait, err = lookMax, l.fillClosed()
	}
	if err != nil {
		return 0, err
	}
	for i := range l.conns {
		if c := &l.conns[i]; len(c.out) > 0 && !c.writing {
			if err := l.push(i); err != nil {
				return 0, err
			}
		}
	}
	return wait, nil
}

// fillClosed makes a request for each that was answered.
func (l *loop) fillClosed() error {
	now := l.now()
	if l.ended(now) {
		return nil
	}
	for i := range l.conns {
		for c := &l.conns[i]; len(c.flights) < c.quota; {
			if err := l.make(i, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillOpen makes what is due, in turns over the connections.
func (l *loop) fillOpen() (time.Duration, error) {
	for now := l.now(); l.next < l.total; {
		due := time.Duration(float64(l.next) / l.o.Rate * float64(time.Second))
		if due > now {
			if now = l.now(); due > now {
				return due - now, nil
			}
		}
		i := l.turn
		if l.flying >= InFlightMax || len(l.conns[i].out) > outMax {
			return lookMax, nil
		}
		l.turn = (i + 1) % len(l.conns)
		if err := l.make(i, due); err != nil {
			return 0, err
		}
	}
	return lookMax, nil
}

// make writes the next request into the buffer of connection i.
func (l *loop) make(i int, due time.Duration) error {
	r, c := &l.request, &l.conns[i]
	r.N, r.STAN, r.Connection = l.next, uint32(l.next%stanMax)+1, i
	putDigits(r.RRN[:], l.next+1)
	if second := int64(due / time.Second); second != l.second {
		l.second = second
		l.o.Begin.Add(due).AppendFormat(r.Sent[:0], "0102150405")
	}
	var err error
	if l.frame, err = l.o.Make(&l.writer, l.frame[:0], l.spec, r); err != nil {
		return fmt.Errorf("iso load: request: %w", err)
	}
	if c.out, err = l.o.Format.Framing.Append(c.out, l.frame); err != nil {
		return fmt.Errorf("iso load: request: %w", err)
	}
	if old, lost := c.flights[r.STAN]; lost { // a whole lap without an answer
		l.t.note(old.due, l.now(), load.Failed)
		l.flying--
	}
	c.flights[r.STAN] = flight{due: due, sent: r.Sent}
	l.flying++
	l.next++
	return nil
}

// push writes what is left, and watches for room when not all goes.
func (l *loop) push(i int) error {
	c := &l.conns[i]
	left := c.out
	for len(left) > 0 {
		n, err := syscall.Write(c.fd, left)
		if err == syscall.EAGAIN {
			break
		}
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("iso load: send: %w", err)
		}
		left = left[max(n, 0):]
	}
	c.out = c.out[:copy(c.out, left)]
	return l.watch(i, len(c.out) > 0)
}

func (l *loop) watch(i int, room bool) error {
	c := &l.conns[i]
	if c.writing == room {
		return nil
	}
	c.writing = room
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
	if room {
		event.Events |= syscall.EPOLLOUT
	}
	if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_MOD, c.fd, &event); err != nil {
		return fmt.Errorf("iso load: epoll: %w", err)
	}
	return nil
}

// ready serves a connection that can be read or written.
func (l *loop) ready(event *syscall.EpollEvent) error {
	i := int(event.Fd)
	if event.Events&syscall.EPOLLOUT != 0 {
		if err := l.push(i); err != nil {
			return err
		}
	}
	if event.Events&^syscall.EPOLLOUT == 0 {
		return nil
	}
	c := &l.conns[i]
	n, err := syscall.Read(c.fd, c.in[c.have:])
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("iso load: receive: %w", err)
	case n == 0:
		return fmt.Errorf("iso load: the other side closed a connection after %d requests", l.next)
	}
	c.have += n
	return l.take(c, l.now())
}

// take goes over the answers that stand in c.
func (l *loop) take(c *conn, now time.Duration) error {
	done := 0
	for {
		frame, size, err := l.o.Format.Framing.Next(c.in[done:c.have])
		if err != nil {
			return fmt.Errorf("iso load: answer: %w", err)
		}
		if size == 0 {
			c.have = copy(c.in, c.in[done:c.have])
			return nil
		}
		done += size
		sum, err := message.Peek(l.spec, frame)
		if err != nil {
			return fmt.Errorf("iso load: answer: %w", err)
		}
		l.match(c, &sum, now)
	}
}

// match finds the request of an answer and judges it.
func (l *loop) match(c *conn, sum *message.Summary, now time.Duration) {
	f, ok := c.flights[sum.STAN]
	if !ok || sum.Has(7) && sum.Sent != f.sent || !sum.MTI.IsResponse() {
		l.t.Stray++
		return
	}
	delete(c.flights, sum.STAN)
	l.flying--
	verdict := load.Good
	if string(sum.Response[:]) != "00" {
		verdict = load.Refused
		if l.t.Sample == "" {
			l.t.Sample = fmt.Sprintf("type %s, response code %q", sum.MTI, sum.Response[:])
		}
	}
	l.t.note(f.due, now, verdict)
}

// giveUp counts what was never answered, and what was due and never sent, as failed.
func (l *loop) giveUp(now time.Duration) {
	if l.t.Sample == "" {
		l.t.Sample = "no answer within " + l.o.Drain.String()
	}
	for i := range l.conns {
		for _, f := range l.conns[i].flights {
			l.t.note(f.due, now, load.Failed)
		}
	}
	for ; l.next < l.total; l.total-- {
		l.t.note(l.o.Duration, now, load.Failed)
	}
}

// note counts an answer that came at now to a request that was due at due.
func (t *tally) note(due, now time.Duration, v load.Verdict) {
	took := min(int64(now-due), int64(time.Minute))
	if t.grid > 0 {
		t.noteSlice(now, took)
	}
	if due < t.warm {
		return
	}
	switch v {
	case load.Good:
		t.Good++
	case load.Refused:
		t.Refused++
	default:
		t.Failed++
	}
	t.last = max(t.last, now)
	_ = t.Latency.RecordValue(took)
}

func (t *tally) noteSlice(now time.Duration, took int64) {
	if at := now.Truncate(t.grid); t.slice == nil || t.slice.At != at {
		t.endSlice()
		t.slice = &load.Slice{At: at}
	}
	t.slice.Count++
	_ = t.part.Latency.RecordValue(took)
}

func (t *tally) endSlice() {
	if t.slice == nil {
		return
	}
	t.slice.P50 = t.part.Quantile(0.5)
	t.slice.P99 = t.part.Quantile(0.99)
	t.slice.Max = time.Duration(t.part.Latency.Max())
	t.Slices = append(t.Slices, *t.slice)
	t.part.Latency.Reset()
	t.slice = nil
}

// epollWait waits for events or for d, to the nanosecond; the number of the call is the same
// on all architectures.
func epollWait(poll int, events []syscall.EpollEvent, d time.Duration) (int, error) {
	const sysEpollPwait2 = 441
	timeout := syscall.NsecToTimespec(int64(d))
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(poll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EINTR:
		return 0, nil
	case syscall.ENOSYS: // a kernel before 5.11: milliseconds
		n, err := syscall.EpollWait(poll, events, int((d+time.Millisecond-1)/time.Millisecond))
		if err == syscall.EINTR {
			return 0, nil
		}
		return n, err
	default:
		return 0, errno
	}
}

// threadCPU returns the processor time of this thread.
func threadCPU() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

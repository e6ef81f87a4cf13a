package load

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// eventsMax is how many ready connections are taken at once.
const eventsMax = 256

// sampleMax is how much of an answer is kept for messages.
const sampleMax = 400

// waitMax bounds one wait, so that the end of ctx is seen.
const waitMax = 50 * time.Millisecond

// loop drives all connections of a run from one thread.
type loop struct {
	o     Options
	poll  int // the epoll
	conns []link
	idle  []int // ring of free connections
	first int   // of the ring
	free  int   // in the ring
	busy  int
	next  int // request
	base  time.Time
	stop  time.Duration // no request is sent at or after it
	total int           // requests to send
	t     *tally
}

// link is one connection.
type link struct {
	fd      int
	out     []byte // what is left to be sent
	in      []byte
	have    int
	due     time.Duration
	writing bool // epoll watches for room to write
}

func run(ctx context.Context, o Options) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// A timer may fire up to the slack late: 50 µs by default, the time of a whole answer.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, 1000, 0)
	l := &loop{o: o, stop: o.Duration, total: o.Requests.Len(), t: newTally(&o)}
	if o.Rate > 0 {
		l.total = min(l.total, int(o.Rate*o.Duration.Seconds()))
		l.stop = time.Duration(1<<63 - 1) // what is due is sent, however late
	}
	if err := l.connect(ctx); err != nil {
		l.close()
		return nil, err
	}
	defer l.close()
	began := threadCPU()
	l.base = time.Now()
	if err := l.serve(ctx); err != nil {
		return nil, err
	}
	l.t.Sent = l.next
	l.t.CPU = threadCPU() - began
	return l.t.finish(time.Since(l.base)), nil
}

func (l *loop) connect(ctx context.Context) error {
	addr, err := net.ResolveTCPAddr("tcp", l.o.Addr)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if l.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("load: epoll: %w", err)
	}
	l.idle = make([]int, l.o.Connections)
	for i := range l.o.Connections {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fd, err := open(addr)
		if err != nil {
			return fmt.Errorf("load: connection %d of %d to %s: %w",
				i+1, l.o.Connections, l.o.Addr, err)
		}
		l.conns = append(l.conns, link{fd: fd, in: make([]byte, 4<<10)})
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
		if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("load: epoll: %w", err)
		}
		l.release(i)
	}
	return nil
}

// open connects a socket outside of the runtime's poller, which would wake up for every
// answer as well.
func open(addr *net.TCPAddr) (int, error) {
	family, to := syscall.AF_INET, syscall.Sockaddr(nil)
	if ip := addr.IP.To4(); ip != nil || addr.IP == nil {
		a := &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}
		copy(a.Addr[:], ip)
		to = a
	} else {
		a := &syscall.SockaddrInet6{Port: addr.Port}
		copy(a.Addr[:], addr.IP.To16())
		family, to = syscall.AF_INET6, a
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Connect(fd, to); err != nil {
		_ = syscall.Close(fd)
		return 0, err
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		_ = syscall.Close(fd)
		return 0, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (l *loop) close() {
	for i := range l.conns {
		_ = syscall.Close(l.conns[i].fd)
	}
	if l.poll > 0 {
		_ = syscall.Close(l.poll)
	}
}

func (l *loop) release(i int) {
	l.idle[(l.first+l.free)%len(l.idle)] = i
	l.free++
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
		if l.busy == 0 && l.ended() {
			return nil
		}
		if l.now() > l.lastDue()+l.o.Drain {
			l.giveUp()
			return nil
		}
		n, err := l.wait(events, wait)
		if err != nil {
			return fmt.Errorf("load: epoll: %w", err)
		}
		for i := range events[:n] {
			if err := l.ready(&events[i]); err != nil {
				return err
			}
		}
	}
}

func (l *loop) now() time.Duration { return time.Since(l.base) }

// ended reports whether all requests have been sent that will be.
func (l *loop) ended() bool {
	return l.next >= l.total || l.o.Rate == 0 && l.now() >= l.stop
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

// send sends what is due over free connections and returns how long nothing will be.
func (l *loop) send() (time.Duration, error) {
	for l.free > 0 && !l.ended() {
		due := l.now()
		if l.o.Rate > 0 {
			at := l.dueAt(l.next)
			if at > due {
				return at - due, nil
			}
			due = at
		}
		i := l.idle[l.first]
		l.first = (l.first + 1) % len(l.idle)
		l.free--
		if err := l.start(i, due); err != nil {
			return 0, err
		}
	}
	return waitMax, nil
}

// start sends the next request over connection i.
func (l *loop) start(i int, due time.Duration) error {
	c := &l.conns[i]
	c.due, c.out = due, l.o.Requests.At(l.next)
	l.next++
	l.busy++
	return l.push(i)
}

// push writes what is left of a request, and watches for room when not all goes.
func (l *loop) push(i int) error {
	c := &l.conns[i]
	for len(c.out) > 0 {
		n, err := syscall.Write(c.fd, c.out)
		switch {
		case err == nil:
			c.out = c.out[n:]
		case err == syscall.EAGAIN:
			return l.watch(i, true)
		case err != syscall.EINTR:
			return fmt.Errorf("load: send: %w", err)
		}
	}
	return l.watch(i, false)
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
		return fmt.Errorf("load: epoll: %w", err)
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
	return l.receive(i)
}

// receive reads an answer. In a closed loop the next request leaves at once.
func (l *loop) receive(i int) error {
	c := &l.conns[i]
	if c.have == len(c.in) {
		c.in = append(c.in, make([]byte, len(c.in))...)
	}
	n, err := syscall.Read(c.fd, c.in[c.have:])
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("load: receive: %w", err)
	case n == 0:
		return fmt.Errorf("load: the server closed a connection after %d requests", l.next)
	}
	c.have += n
	size, err := l.o.Wire.Frame(c.in[:c.have])
	if err != nil || size == 0 {
		return err
	}
	if size != c.have {
		return fmt.Errorf("load: %d bytes follow an answer", c.have-size)
	}
	l.take(c, l.now())
	l.busy--
	if l.o.Rate == 0 && !l.ended() {
		return l.start(i, l.now())
	}
	l.release(i)
	return nil
}

// take counts the answer that stands in c.
func (l *loop) take(c *link, now time.Duration) {
	v := l.o.Wire.Judge(c.in[:c.have])
	if v != Good && l.t.Sample == "" {
		l.t.Sample = string(c.in[:min(c.have, sampleMax)])
	}
	l.t.note(c.due, now, v)
	c.have = 0
}

// giveUp counts what was never answered as failed, and what was due and never sent for
// want of a free connection.
func (l *loop) giveUp() {
	unsent := 0
	if l.o.Rate > 0 {
		unsent = l.total - l.next
	}
	now := l.now()
	if l.t.Sample == "" {
		l.t.Sample = "no answer within " + l.o.Drain.String()
	}
	for range l.busy + unsent {
		l.t.note(l.lastDue(), now, Failed)
	}
}

// sysEpollPwait2 waits with nanoseconds; its number is the same on all architectures.
const sysEpollPwait2 = 441

// wait waits for events or for d.
func (l *loop) wait(events []syscall.EpollEvent, d time.Duration) (int, error) {
	d = min(d, waitMax)
	timeout := syscall.NsecToTimespec(int64(d))
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(l.poll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EINTR:
		return 0, nil
	case syscall.ENOSYS: // a kernel before 5.11: milliseconds
		n, err := syscall.EpollWait(l.poll, events, int((d+time.Millisecond-1)/time.Millisecond))
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

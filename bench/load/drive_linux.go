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

func drive(ctx context.Context, o DriveOptions, p Player) (Cost, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// A timer may fire up to the slack late: 50 µs by default, the time of a whole answer.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, 1000, 0)
	l := &Lines{}
	defer l.close()
	if err := l.connect(ctx, o); err != nil {
		return Cost{}, err
	}
	began := threadCPU()
	l.base = time.Now()
	if err := l.play(ctx, p); err != nil {
		return Cost{}, err
	}
	return Cost{CPU: threadCPU() - began, Wall: l.Now()}, nil
}

func (l *Lines) connect(ctx context.Context, o DriveOptions) error {
	var err error
	if l.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("load: epoll: %w", err)
	}
	for i := range o.Connections {
		fd, err := dialRaw(ctx, o.Addr)
		if err != nil {
			return fmt.Errorf("load: connection %d of %d to %s: %w", i+1, o.Connections, o.Addr,
				err)
		}
		l.all = append(l.all, line{fd: fd, in: make([]byte, o.Buffer)})
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
		if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("load: epoll: %w", err)
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

func (l *Lines) close() {
	for i := range l.all {
		_ = syscall.Close(l.all[i].fd)
	}
	if l.poll > 0 {
		_ = syscall.Close(l.poll)
	}
}

// play sends what is due and takes answers until the player is done.
func (l *Lines) play(ctx context.Context, p Player) error {
	events := make([]syscall.EpollEvent, eventsMax)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait, over, err := p.Send(l)
		if err == nil {
			err = l.flush()
		}
		if err != nil || over {
			return err
		}
		n, err := epollWait(l.poll, events, min(wait, waitMax))
		if err != nil {
			return fmt.Errorf("load: epoll: %w", err)
		}
		for i := range events[:n] {
			if err := l.ready(&events[i], p); err != nil {
				return err
			}
		}
	}
}

// flush writes what was queued.
func (l *Lines) flush() error {
	for _, i := range l.dirty {
		l.all[i].dirty = false
		if err := l.push(i); err != nil {
			return err
		}
	}
	l.dirty = l.dirty[:0]
	return nil
}

// push writes what is left to be sent, and watches for room when not all goes.
func (l *Lines) push(i int) error {
	c := &l.all[i]
	left := c.out
	for len(left) > 0 {
		n, err := syscall.Write(c.fd, left)
		if err == syscall.EAGAIN {
			break
		}
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("load: send: %w", err)
		}
		left = left[max(n, 0):]
	}
	c.out = c.out[:copy(c.out, left)]
	return l.watch(i, len(c.out) > 0)
}

func (l *Lines) watch(i int, room bool) error {
	c := &l.all[i]
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
func (l *Lines) ready(event *syscall.EpollEvent, p Player) error {
	i := int(event.Fd)
	if event.Events&syscall.EPOLLOUT != 0 {
		if err := l.push(i); err != nil {
			return err
		}
	}
	if event.Events&^syscall.EPOLLOUT == 0 {
		return nil
	}
	c := &l.all[i]
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
		return fmt.Errorf("load: the other side closed a connection")
	}
	c.have += n
	used, err := p.Receive(l, i, c.in[:c.have])
	if err != nil {
		return err
	}
	c.have = copy(c.in, c.in[used:c.have])
	return l.flush()
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

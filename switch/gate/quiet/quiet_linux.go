package quiet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// conn is a quiet connection.
type conn struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out half
}

// half is one direction.
type half struct {
	mu   sync.Mutex // one call at a time; it guards what follows
	call uintptr    // SYS_READ or SYS_WRITE
	all  bool       // go on until the buffer is used up
	buf  []byte
	done int
	err  syscall.Errno
	step func(fd uintptr) bool // made once, so that a call allocates nothing
}

func quieten(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	q := &conn{TCPConn: tcp, raw: raw}
	q.in.call, q.in.step = syscall.SYS_READ, q.in.try
	q.out.call, q.out.all, q.out.step = syscall.SYS_WRITE, true, q.out.try
	return q
}

// try makes the call; false asks to be called again when the socket is ready. The socket never
// makes it wait.
func (h *half) try(fd uintptr) bool {
	for {
		rest := h.buf[h.done:]
		n, _, err := syscall.RawSyscall(h.call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(rest))),
			uintptr(len(rest)))
		switch err {
		case 0:
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		default:
			h.err = err
			return true
		}
		h.done += int(n)
		if !h.all || n == 0 || h.done == len(h.buf) {
			return true
		}
	}
}

// do moves b in one direction.
func (h *half) do(b []byte, wait func(func(fd uintptr) bool) error) (int, syscall.Errno, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf, h.done, h.err = b, 0, 0
	err := wait(h.step)
	h.buf = nil
	return h.done, h.err, err
}

// Read reads what is there, at most len(b) bytes, and waits for the first.
func (c *conn) Read(b []byte) (int, error) {
	if len(b) == 0 || len(b) > SmallMax {
		return c.TCPConn.Read(b)
	}
	n, errno, err := c.in.do(b, c.raw.Read)
	switch {
	case err != nil:
		return n, err
	case errno != 0:
		return n, c.fault("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes all of b.
func (c *conn) Write(b []byte) (int, error) {
	if len(b) == 0 || len(b) > SmallMax {
		return c.TCPConn.Write(b)
	}
	n, errno, err := c.out.do(b, c.raw.Write)
	switch {
	case err != nil:
		return n, err
	case errno != 0:
		return n, c.fault("write", errno)
	case n < len(b):
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (c *conn) fault(call string, errno syscall.Errno) error {
	return &net.OpError{Op: call, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(),
		Err: os.NewSyscallError(call, errno)}
}

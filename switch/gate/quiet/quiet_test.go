package quiet_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/gate/quiet"
)

// pair returns the two ends of a connection; the first is a quiet one.
func pair(t testing.TB) (net.Conn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type accepted struct {
		c   net.Conn
		err error
	}
	got := make(chan accepted, 1)
	go func() {
		c, err := quiet.Listener(ln).Accept()
		got <- accepted{c, err}
	}()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near := <-got
	if near.err != nil {
		t.Fatal(near.err)
	}
	t.Cleanup(func() {
		_ = near.c.Close()
		_ = far.Close()
	})
	return near.c, far.(*net.TCPConn)
}

// Every byte comes through in both directions at once, by buffers of any size, however slowly
// the other end reads.
func TestAllBytesComeThrough(t *testing.T) {
	sent := make([]byte, 3<<20)
	_, _ = rand.Read(sent)
	for _, size := range []int{1 << 10, quiet.SmallMax, quiet.SmallMax + 1, len(sent)} {
		near, far := pair(t)
		var group sync.WaitGroup
		group.Go(func() {
			for rest := sent; len(rest) > 0; {
				n, err := near.Write(rest[:min(size, len(rest))])
				if err != nil {
					t.Error(err)
					break
				}
				rest = rest[n:]
			}
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
		})
		group.Go(func() {
			if _, err := far.Write(sent); err != nil {
				t.Error(err)
			}
			_ = far.CloseWrite()
		})
		for _, end := range []io.Reader{far, onlyReader{near, size}} {
			group.Go(func() {
				if got, err := io.ReadAll(end); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("size %d: %d bytes, %v", size, len(got), err)
				}
			})
		}
		group.Wait()
	}
}

// onlyReader reads by buffers of a size.
type onlyReader struct {
	c    net.Conn
	size int
}

func (r onlyReader) Read(b []byte) (int, error) { return r.c.Read(b[:min(len(b), r.size)]) }

// Deadlines, closing from here and from the other end, and a reset are as on any connection.
func TestEndsAsAnyConnection(t *testing.T) {
	buf := make([]byte, 100)
	t.Run("deadline of a read", func(t *testing.T) {
		near, _ := pair(t)
		_ = near.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := near.Read(buf)
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Error(err)
		}
		_ = near.SetReadDeadline(time.Time{})
	})
	t.Run("deadline of a write", func(t *testing.T) {
		near, _ := pair(t)
		_ = near.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		var err error
		for err == nil { // until the other end's buffers are full
			_, err = near.Write(make([]byte, quiet.SmallMax))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
	t.Run("closed here", func(t *testing.T) {
		near, _ := pair(t)
		failed := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			failed <- err
		}()
		_ = near.Close()
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := near.Write(buf); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("closed there", func(t *testing.T) {
		near, far := pair(t)
		_ = far.Close()
		if n, err := near.Read(buf); n != 0 || err != io.EOF {
			t.Error(n, err)
		}
		var err error
		for err == nil {
			_, err = near.Write(buf)
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		near, far := pair(t)
		_ = far.SetLinger(0)
		_ = far.Close()
		if _, err := near.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
}

// A request and its answer allocate nothing.
func TestAllocatesNothing(t *testing.T) {
	near, far := pair(t)
	buf := make([]byte, 100)
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := far.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Read(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// What is not TCP is passed on as it is.
func TestOtherConnections(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := quiet.Listener(ln).Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := near.(*net.UnixConn); !ok {
		t.Errorf("%T", near)
	}
	_ = near.Close()
}

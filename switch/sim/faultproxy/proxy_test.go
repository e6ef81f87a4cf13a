package faultproxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is an HTTP server that counts what it executes and answers with the number.
type counter struct {
	*httptest.Server
	executed atomic.Int64
	arrived  chan string
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{arrived: make(chan string, 100)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := c.executed.Add(1)
		c.arrived <- string(body)
		fmt.Fprintf(w, "answer %d to %s", n, body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counter) addr() string { return strings.TrimPrefix(c.URL, "http://") }

// start puts a proxy before target and an HTTP client before the proxy.
func start(t *testing.T, target string) (*faultproxy.Proxy, func(body string) (string, error)) {
	t.Helper()
	p, err := faultproxy.Start(target)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, func(body string) (string, error) {
		resp, err := client.Post("http://"+p.Addr()+"/", "text/plain", strings.NewReader(body))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
}

func TestProxyForwardsFaithfully(t *testing.T) {
	c := newCounter(t)
	p, post := start(t, c.addr())
	big := strings.Repeat("x", 300<<10) // several chunks in one exchange
	for i, body := range []string{"a", "b", big} {
		got, err := post(body)
		if want := fmt.Sprintf("answer %d to %s", i+1, body); err != nil || got != want {
			t.Fatalf("request %d: %d bytes, %v", i, len(got), err)
		}
	}
	if n := p.Count(faultproxy.None); n != 3 {
		t.Errorf("%d exchanges counted, want 3", n)
	}
}

// Each kind: is the request executed, does the client get an answer.
func TestFaultKinds(t *testing.T) {
	for _, c := range []struct {
		fault    faultproxy.Fault
		executed int64
		answered bool
	}{
		{faultproxy.Fault{Kind: faultproxy.DropRequest}, 0, false},
		{faultproxy.Fault{Kind: faultproxy.DropReply}, 1, false},
		{faultproxy.Fault{Kind: faultproxy.CutReply}, 1, false},
		{faultproxy.Fault{Kind: faultproxy.Reset}, 1, false},
		{faultproxy.Fault{Kind: faultproxy.Delay, Wait: 20 * time.Millisecond}, 1, true},
		{faultproxy.Fault{Kind: faultproxy.DelayRequest, Wait: 20 * time.Millisecond}, 1, true},
		{faultproxy.Fault{Kind: faultproxy.Split, Size: 7}, 1, true},
		{faultproxy.Fault{Kind: faultproxy.Duplicate}, 2, true},
	} {
		t.Run(c.fault.Kind.String(), func(t *testing.T) {
			server := newCounter(t)
			p, post := start(t, server.addr())
			c.fault.Times = 1
			p.Inject(c.fault)
			began := time.Now()
			got, err := post("tap")
			if (err == nil) != c.answered {
				t.Fatalf("answer %q, %v", got, err)
			}
			if took := time.Since(began); took < c.fault.Wait {
				t.Errorf("took %s, the fault holds %s", took, c.fault.Wait)
			}
			for range c.executed {
				receive(t, server.arrived)
			}
			if n := p.Count(c.fault.Kind); n != 1 {
				t.Errorf("fault counted %d times", n)
			}
			if got, err := post("next"); err != nil || !strings.HasSuffix(got, "to next") {
				t.Fatalf("after the fault: %q, %v", got, err)
			}
			if n := server.executed.Load(); n != c.executed+1 {
				t.Errorf("executed %d, want %d and the next", n, c.executed)
			}
		})
	}
}

func receive(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(5 * time.Second):
		t.Fatal("nothing arrived within 5 s")
		return ""
	}
}

func TestResetIsSeenAsReset(t *testing.T) {
	c := newCounter(t)
	p, post := start(t, c.addr())
	p.Inject(faultproxy.Fault{Kind: faultproxy.Reset, Times: 1})
	if _, err := post("tap"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("client saw %v", err)
	}
}

func TestEveryAndTimes(t *testing.T) {
	c := newCounter(t)
	p, post := start(t, c.addr())
	p.Inject(faultproxy.Fault{Kind: faultproxy.DropRequest, Every: 3, Times: 2})
	var failed []int
	for i := 1; i <= 12; i++ {
		if _, err := post("tap"); err != nil {
			failed = append(failed, i)
		}
	}
	if fmt.Sprint(failed) != "[3 6]" {
		t.Errorf("failed %v, want every third, twice", failed)
	}
}

func TestStallHoldsUntilCleared(t *testing.T) {
	c := newCounter(t)
	p, post := start(t, c.addr())
	p.Inject(faultproxy.Fault{Kind: faultproxy.Stall})
	done := make(chan string, 1)
	go func() {
		got, err := post("tap")
		if err != nil {
			got = err.Error()
		}
		done <- got
	}()
	select {
	case got := <-done:
		t.Fatalf("answered %q while stalled", got)
	case <-time.After(50 * time.Millisecond):
	}
	p.Clear()
	if got := receive(t, done); got != "answer 1 to tap" {
		t.Errorf("after clear: %q", got)
	}
}

func TestDownCutsAndRefuses(t *testing.T) {
	c := newCounter(t)
	p, post := start(t, c.addr())
	if _, err := post("a"); err != nil {
		t.Fatal(err)
	}
	p.Down()
	if got, err := post("b"); err == nil {
		t.Fatalf("answered %q while down", got)
	}
	p.Up()
	if _, err := post("c"); err != nil {
		t.Fatal(err)
	}
	if n := c.executed.Load(); n != 2 {
		t.Errorf("executed %d, want 2", n)
	}
}

func TestSetTarget(t *testing.T) {
	first, second := newCounter(t), newCounter(t)
	p, post := start(t, first.addr())
	if _, err := post("a"); err != nil {
		t.Fatal(err)
	}
	p.SetTarget(second.addr())
	p.Cut()
	// The client may meet the closed connection once before it dials again.
	for range 2 {
		if _, err := post("b"); err == nil {
			break
		}
	}
	if second.executed.Load() == 0 {
		t.Error("the new target was not asked")
	}
}

func TestTargetNotUp(t *testing.T) {
	_, post := start(t, "127.0.0.1:1")
	if got, err := post("a"); err == nil {
		t.Errorf("answered %q without a server", got)
	}
}

// A half-closed connection still brings the answer and then ends.
func TestHalfClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	defer server.Wait()
	defer l.Close()
	saw := make(chan string, 1)
	server.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		all, _ := io.ReadAll(conn) // ends only with the client's writing side
		saw <- string(all)
		_, _ = conn.Write([]byte("pong\n"))
	})
	p, err := faultproxy.Start(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Inject(faultproxy.Fault{Kind: faultproxy.HalfClose})
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("ping\n")); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, saw); got != "ping\n" {
		t.Errorf("server saw %q", got)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "pong\n" {
		t.Errorf("client got %q, %v", line, err)
	}
}

// The connection limit: one more is closed at once, and the others go on.
func TestLinksFull(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a thousand connections")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil ||
		limit.Cur < 8*faultproxy.LinksMax {
		t.Skipf("needs %d open files, the limit is %d", 8*faultproxy.LinksMax, limit.Cur)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	server.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			server.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	defer server.Wait()
	defer l.Close()
	p, err := faultproxy.Start(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	echo := func() (net.Conn, error) {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			return nil, err
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = conn.Write([]byte{1})
		_, err = io.ReadFull(conn, make([]byte, 1))
		return conn, err
	}
	for i := range faultproxy.LinksMax {
		conn, err := echo()
		if conn != nil {
			defer conn.Close()
		}
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	conn, err := echo()
	if conn != nil {
		conn.Close()
	}
	if err == nil {
		t.Error("one connection above the limit was served")
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := faultproxy.None; k.String() != "unknown"; k++ {
		if k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d has name %q", k, k)
		}
		seen[k.String()] = true
	}
	if len(seen) != 11 {
		t.Errorf("%d kinds", len(seen))
	}
}

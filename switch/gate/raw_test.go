package gate

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial opens a connection to the gate that speaks raw bytes.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// raw sends bytes and reads answers until the connection ends or n of them are there.
func (r *rig) raw(request string, n int) (answers []reply, closed bool) {
	r.t.Helper()
	c := r.dial()
	// Written beside the reading: a server that refuses a body closes while it is being
	// sent, and its answer must be read before that shows as a reset.
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(c, request) // what was not taken shows in the answers
	}()
	defer func() {
		_ = c.Close()
		<-written
	}()
	b := bufio.NewReader(c)
	for len(answers) < n {
		response, err := http.ReadResponse(b, nil)
		if err != nil {
			return answers, true
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return answers, true
		}
		answers = append(answers, reply{response.StatusCode, response.Header, body})
		if response.Close {
			return answers, true
		}
	}
	return answers, false
}

// rawSigned is a signed request as bytes.
func (r *rig) rawSigned(d *device, path, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n", path)
	for name, value := range r.signedHeaders(d, "POST", path, body) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

// TestRawRequests sends what no HTTP library would: each gets one answer, and then the
// connection is closed, so that nothing behind it is taken for a request.
func TestRawRequests(t *testing.T) {
	r := newRig(t, nil)
	smuggled := "GET /livez HTTP/1.1\r\nHost: gate\r\n\r\n"
	post := "POST /v1/balances HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n"
	for what, c := range map[string]struct {
		request, code string
	}{
		"no HTTP":          {"hello\r\n\r\n", "malformed_http"},
		"TLS to plain":     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "malformed_http"},
		"bad length":       {post + "Content-Length: x\r\n\r\n" + smuggled, "malformed_http"},
		"negative length":  {post + "Content-Length: -1\r\n\r\n" + smuggled, "malformed_http"},
		"two lengths":      {post + "Content-Length: 0\r\nContent-Length: 40\r\n\r\n" + smuggled, "malformed_http"},
		"same lengths":     {post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + smuggled, "malformed_http"},
		"length list":      {post + "Content-Length: 2, 2\r\n\r\n{}" + smuggled, "malformed_http"},
		"length and TE":    {post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "length_required"},
		"TE and length":    {post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled, "length_required"},
		"chunked":          {post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + smuggled, "length_required"},
		"two TE":           {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled, "malformed_http"},
		"odd TE":           {post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, "malformed_http"},
		"TE with HTTP/1.0": {"POST /v1/balances HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "malformed_http"},
		"blank before :":   {post + "Content-Length : 0\r\n\r\n" + smuggled, "malformed_http"},
		"two hosts":        {"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "malformed_http"},
		"huge header":      {"GET /livez HTTP/1.1\r\nHost: gate\r\nX: " + strings.Repeat("x", 8000) + "\r\n\r\n", "headers_too_large"},
		"huge path":        {"GET /" + strings.Repeat("x", 8000) + " HTTP/1.1\r\nHost: gate\r\n\r\n", "headers_too_large"},
	} {
		before := r.observer.count(c.code)
		answers, closed := r.raw(c.request, 2)
		got := ""
		if len(answers) > 0 {
			got = answers[0].code()
		}
		if got != c.code || len(answers) != 1 || !closed {
			t.Errorf("%s: %v (closed %v), want %s", what, answers, closed, c.code)
		}
		if r.observer.count(c.code) != before+1 {
			t.Errorf("%s: %s was not counted", what, c.code)
		}
		for _, a := range answers {
			if a.header.Get("Server") != "" || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: headers %v", what, a.header)
			}
		}
	}
}

// TestChunkedIsRefused sends a chunked body that is signed and would be fine otherwise.
func TestChunkedIsRefused(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	body := r.balanceBody(d)
	signed := r.rawSigned(d, "/v1/balances", body)
	head, _, _ := strings.Cut(signed, "Content-Length")
	answers, closed := r.raw(fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		head, len(body), body), 2)
	if len(answers) != 1 || answers[0].code() != "length_required" || !closed {
		t.Errorf("got %v, closed %v", answers, closed)
	}
}

// TestPipelining answers requests that come in one packet, in order; a refused one in the
// middle takes only its own body.
func TestPipelining(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	var b strings.Builder
	var want []string
	for i := range 20 {
		body := r.balanceBody(d)
		request := r.rawSigned(d, "/v1/balances", body)
		if i%5 == 3 {
			request = strings.Replace(request, HeaderSignature+": ", HeaderSignature+": x", 1)
			want = append(want, "signature_malformed")
		} else {
			want = append(want, "card_unknown")
		}
		b.WriteString(request)
	}
	answers, _ := r.raw(b.String(), 20)
	if len(answers) != 20 {
		t.Fatalf("%d answers", len(answers))
	}
	for i, a := range answers {
		got := a.code()
		if got == "" {
			got, _ = a.field("reason").(string)
		}
		if got != want[i] {
			t.Errorf("answer %d: %v, want %s", i, a, want[i])
		}
	}
}

// TestHalfClose: a client that sends and closes its side gets its answer; one that closes
// in the middle of a body executes nothing.
func TestHalfClose(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	send := func(request string) (reply, bool) {
		c := r.dial().(*net.TCPConn)
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return reply{}, false
		}
		body, _ := io.ReadAll(response.Body)
		return reply{response.StatusCode, response.Header, body}, true
	}
	whole := r.rawSigned(d, "/v1/taps", r.tapBody(d, cardA))
	if a, ok := send(whole); !ok || a.field("balance") != 9800.0 {
		t.Errorf("whole request: %v", a)
	}
	cut := r.rawSigned(d, "/v1/taps", r.tapBody(d, cardA))
	if a, ok := send(cut[:len(cut)-5]); ok && a.code() != "malformed_http" {
		t.Errorf("cut request: %v", a)
	}
	a := r.send(d, "/v1/balances", r.balanceBody(d))
	if a.field("balance") != 9800.0 {
		t.Errorf("afterwards: %v", a)
	}
}

// TestSlowBody: a body that does not come in time is told so, and the connection ends.
func TestSlowBody(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Limits.ReadTimeout, o.Limits.BatchReadTimeout = 100*time.Millisecond, 200*time.Millisecond
	})
	d := r.terminal("GATE01")
	whole := r.rawSigned(d, "/v1/balances", r.balanceBody(d))
	answers, closed := r.raw(whole[:len(whole)-3], 1)
	if len(answers) != 1 || answers[0].code() != "request_timeout" || !closed {
		t.Errorf("slow body: %v, closed %v", answers, closed)
	}
	batch := r.rawSigned(d, "/v1/taps:batch", strings.Repeat(" ", 100_000))
	answers, closed = r.raw(batch[:50_000], 1)
	if len(answers) != 1 || answers[0].code() != "request_timeout" || !closed {
		t.Errorf("slow batch: %v, closed %v", answers, closed)
	}
	if answers, closed := r.raw("GET /livez HT", 1); !closed {
		t.Errorf("slow header: %v", answers)
	}
}

// TestSlowLoris opens many connections that trickle or declare much and send little. All
// are closed, and meanwhile memory stays bounded and honest clients are served.
func TestSlowLoris(t *testing.T) {
	const sockets = 600
	r := newRig(t, func(o *Options) {
		o.Limits.ReadTimeout, o.Limits.BatchReadTimeout = time.Second, time.Second
	})
	d := r.terminal("GATE01")
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, 0, sockets)
	for i := range sockets {
		c := r.dial()
		defer c.Close()
		conns = append(conns, c)
		request := "POST /v1/taps HTTP/1.1\r\nHost: g\r\nX-Slow: "
		switch i % 3 {
		case 1:
			request = "POST /v1/taps HTTP/1.1\r\nHost: g\r\nContent-Length: 4000000\r\n\r\n{"
		case 2:
			whole := r.rawSigned(d, "/v1/taps:batch", strings.Repeat(" ", 2_000_000))
			request = whole[:len(whole)-1_990_000]
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
	}
	if a := r.send(d, "/v1/balances", r.balanceBody(d)); a.status != 200 {
		t.Errorf("an honest client: %v", a)
	}
	var during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&during)
	// 200 batches that were declared with 2 MB each would be 400 MB.
	if grown := int64(during.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("heap grew by %d MB", grown>>20)
	}
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) {
				t.Errorf("not closed: %v", err)
			}
		})
	}
	wg.Wait()
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset by peer") }

// TestSlowReader asks for much and reads nothing: the connection is closed when the write
// has waited long enough.
func TestSlowReader(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.WriteTimeout = 100 * time.Millisecond })
	c := r.dial()
	defer c.Close()
	request := strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: g\r\n\r\n", 400)
	if _, err := io.WriteString(c, request); err != nil && !isReset(err) {
		t.Fatal(err)
	}
	eventually(t, "the connection is closed", func() bool {
		return r.server.http.GetOpenConnectionsCount() <= 1
	})
}

// TestRequestsPerConnection closes a connection after its share of requests.
func TestRequestsPerConnection(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.RequestsPerConnMax = 3 })
	answers, closed := r.raw(strings.Repeat("GET /livez HTTP/1.1\r\nHost: g\r\n\r\n", 5), 5)
	if len(answers) != 3 || !closed {
		t.Errorf("%d answers, closed %v", len(answers), closed)
	}
}

// TestRefusedBodyIsNoRequest: the bytes of a body that was refused unread are never taken
// for a request.
func TestRefusedBodyIsNoRequest(t *testing.T) {
	r := newRig(t, nil)
	inner := "GET /livez HTTP/1.1\r\nHost: gate\r\n\r\n"
	for _, size := range []int{bodyMax + 1, discardMax + 100_000} {
		body := inner + strings.Repeat("x", size-2*len(inner)) + inner
		for _, path := range []string{"/v1/taps", "/nowhere", "/livez"} {
			request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gate\r\nContent-Length: %d\r\n\r\n%s",
				path, len(body), body)
			answers, _ := r.raw(request+inner, 2)
			if len(answers) == 2 && !bytes.Contains(answers[1].body, []byte("live")) ||
				len(answers) == 0 || answers[0].status < 400 {
				t.Errorf("%s with %d bytes: %v", path, size, answers)
			}
			if n := r.observer.count("malformed_http"); n != 0 {
				t.Errorf("%s with %d bytes: the body was read as a request", path, size)
			}
		}
	}
}

// TestExpectContinue accepts what curl sends with larger bodies.
func TestExpectContinue(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	body := r.balanceBody(d)
	signed := r.rawSigned(d, "/v1/balances", body)
	head, _, _ := strings.Cut(signed, "\r\n\r\n")
	c := r.dial()
	defer c.Close()
	if _, err := io.WriteString(c, head+"\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b := bufio.NewReader(c)
	line, err := b.ReadString('\n')
	if err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := b.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, body); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(b, nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.ConnectionsPerIPMax = 3 })
	r.client.CloseIdleConnections()
	ask := func(c net.Conn) bool {
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: g\r\n\r\n"); err != nil {
			return false
		}
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil
	}
	var open []net.Conn
	for range 3 {
		c := r.dial()
		defer c.Close()
		if !ask(c) {
			t.Fatal("refused below the limit")
		}
		open = append(open, c)
	}
	over := r.dial()
	defer over.Close()
	if ask(over) {
		t.Error("served above the limit")
	}
	open[0].Close()
	eventually(t, "a place gets free", func() bool {
		c := r.dial()
		defer c.Close()
		return ask(c)
	})
}

func TestAddressOf(t *testing.T) {
	f := func(ip, want string) {
		t.Helper()
		got, ok := addressOf(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1})
		if !ok || got.String() != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	f("192.0.2.7", "192.0.2.7/32")
	f("::ffff:192.0.2.7", "192.0.2.7/32")
	f("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64")
	if _, ok := addressOf(&net.UnixAddr{Name: "x"}); ok {
		t.Error("a unix socket has no address")
	}
}

// scripted is a connection that reads a script and keeps what is written.
type scripted struct {
	in  io.Reader
	out bytes.Buffer
}

func (c *scripted) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *scripted) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scripted) Close() error                     { return nil }
func (c *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

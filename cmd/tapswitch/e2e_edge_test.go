package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
)

// The hardened edge of the real binary, with plain sockets.

func e2eHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err == nil && len(b) == 0 {
		err = errors.New("empty")
	}
	return b, err
}

func e2eNow() string { return sim.FormatTime(time.Now()) }

// e2eSay writes raw bytes to the gate and reads one answer.
func e2eSay(addr, raw string) (status int, code string, err error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(e2eStartMax)); err != nil {
		return 0, "", err
	}
	if _, err := io.WriteString(conn, raw); err != nil && !errors.Is(err, syscall.EPIPE) &&
		!errors.Is(err, syscall.ECONNRESET) {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, "", err
	}
	var a struct{ Error struct{ Code string } }
	err = json.Unmarshal(body, &a)
	return resp.StatusCode, a.Error.Code, err
}

// e2eSigned is a signed request as bytes, to be sent more than once.
func e2eSigned(key []byte, counter uint64, at time.Time, path string, body []byte) string {
	signed := sim.Signed{Method: http.MethodPost, Path: path, Terminal: "GATE01",
		TimestampMS: at.UnixMilli(), Counter: counter}
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nX-Tap-Terminal: GATE01\r\nX-Tap-Timestamp: %d\r\nX-Tap-Counter: %d\r\n"+
		"X-Tap-Signature: %s\r\nConnection: close\r\n\r\n%s", path, len(body), signed.TimestampMS, counter,
		sim.Sign(key, signed, body), body)
}

// TestE2EEdge: what is no request of a terminal has its own code, is counted, and harms
// nobody; a captured request is worthless, also after a restart.
func TestE2EEdge(t *testing.T) {
	d := e2eDeskNode(t)
	r := d.as(adminTokenFile, 0, "", "terminal", "put", "GATE01", "-o", "json")
	key, err := e2eHex(e2eField(t, r.stdout, "key"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	const path = "/v1/balances"
	body := e2eBalance("GATE01-1-1")
	want := func(what, raw string, status int, code string) {
		t.Helper()
		gotStatus, gotCode, err := e2eSay(d.node.gate(), raw)
		if gotStatus != status || gotCode != code {
			t.Errorf("%s: %d %q, want %d %q: %v", what, gotStatus, gotCode, status, code, err)
		}
	}
	captured := e2eSigned(key, 100, now, path, body)
	want("the request", captured, 200, "")
	want("the same bytes again", captured, 401, "signature_replayed")
	want("a wrong key", e2eSigned(bytes.Repeat([]byte{1}, 32), 101, now, path, body), 401, "signature_invalid")
	want("another body", strings.Replace(e2eSigned(key, 102, now, path, body), "GATE01-1-1\"", "GATE01-1-2\"", 1),
		401, "signature_invalid")
	want("a clock of an hour ago", e2eSigned(key, 103, now.Add(-time.Hour), path, body), 401, "clock_skew")
	want("no signature", "POST "+path+" HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"+
		"Content-Length: 2\r\nConnection: close\r\n\r\n{}", 401, "signature_missing")
	want("a body of 1 MB", e2eSigned(key, 104, now, path, bytes.Repeat([]byte(" "), 1<<20)), 413,
		"body_too_large")
	want("a declared body of 4 GB that does not come", "POST "+path+" HTTP/1.1\r\nHost: g\r\n"+
		"Content-Type: application/json\r\nContent-Length: 4000000000\r\n\r\n", 408, "request_timeout")
	want("no JSON", e2eSigned(key, 105, now, path, []byte("{")), 400, "malformed_json")
	want("an unknown call", "GET /v2/taps HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n", 404, "not_found")
	want("a wrong method", "GET "+path+" HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n", 405,
		"method_not_allowed")
	want("headers of 64 KB", "GET /livez HTTP/1.1\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n", 431,
		"headers_too_large")
	for _, code := range []string{"signature_replayed", "signature_invalid", "clock_skew", "body_too_large"} {
		n, err := d.node.metric("tapswitch_refusals_total", `code="`+code+`"`)
		if err != nil || n < 1 {
			t.Errorf("%s was not counted: %v", code, err)
		}
	}

	d.node.kill()
	if err := d.node.start(); err != nil {
		t.Fatal(err)
	}
	want("the same bytes after a restart", captured, 401, "counter_too_low")
	next := e2eNextCounter(t, d.node.gate(), captured)
	want("the counter that it was told", e2eSigned(key, next, now, path, body), 200, "")
}

// e2eNextCounter sends a request whose counter is too low and returns the one it is told.
func e2eNextCounter(t *testing.T, addr, raw string) uint64 {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ Error sim.APIError }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Error.NextCounter == 0 {
		t.Fatalf("no next_counter: %v", err)
	}
	return a.Error.NextCounter
}

// TestE2ESlowClients: clients that send a header a byte at a time, or no body, are cut off;
// others are served meanwhile.
func TestE2ESlowClients(t *testing.T) {
	d := e2eDeskNode(t)
	const slow = 40
	ended := make(chan error, slow)
	ctx, cancel := context.WithTimeout(t.Context(), e2eStartMax)
	defer cancel()
	for i := range slow {
		head := "POST /v1/taps HTTP/1.1\r\nHost: g\r\nX: "
		if i%2 == 0 {
			head = "POST /v1/taps HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nContent-Length: 8000\r\n\r\n"
		}
		go func() { ended <- e2eDrip(ctx, d.node.gate(), head) }()
	}
	for range 20 {
		status, body, err := e2eGet("http://" + d.node.gate() + "/readyz")
		if err != nil || status != http.StatusOK {
			t.Fatalf("beside slow clients: %d %s %v", status, body, err)
		}
	}
	for range slow {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// e2eDrip sends a byte from time to time until it is cut off; that it is not is an error.
func e2eDrip(ctx context.Context, addr, head string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, head); err != nil {
		return err
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn) // an answer 408 may come first
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			return errors.New("a slow client was not cut off")
		case <-tick.C:
			if _, err := conn.Write([]byte("x")); err != nil {
				return nil
			}
		}
	}
}

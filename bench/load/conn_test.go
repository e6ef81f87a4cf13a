package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// script serves one connection with f and returns the address.
func script(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		f(c)
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func answerOf(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// Answers arrive in pieces and several at once; each is handed out whole and in order.
func TestConnTakesAnswersApart(t *testing.T) {
	var want []string
	var all strings.Builder
	for i := range 40 {
		body := strings.Repeat(string(rune('a'+i%26)), i*i*37)
		want = append(want, body)
		all.WriteString(answerOf(body))
	}
	addr := script(t, func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 4))
		for rest := all.String(); rest != ""; {
			n := min(len(rest), 7001)
			_, _ = io.WriteString(c, rest[:n])
			rest = rest[n:]
		}
	})
	c, err := Dial(t.Context(), addr, HTTP(""), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Send([]byte("go!\n")); err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		answer, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(Body(answer), []byte(w)) {
			t.Fatalf("answer %d has %d bytes, want %d", i, len(Body(answer)), len(w))
		}
	}
	if _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v, want EOF", err)
	}
}

func TestConnTimesOut(t *testing.T) {
	release := make(chan struct{})
	addr := script(t, func(net.Conn) { <-release })
	c, err := Dial(t.Context(), addr, HTTP(""), 30*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer close(release)
	var timeout net.Error
	if _, err := c.Do([]byte("x")); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a server that says nothing: %v, want a time-out", err)
	}
}

func TestConnRefusesNonsense(t *testing.T) {
	addr := script(t, func(c net.Conn) { _, _ = io.WriteString(c, "?\r\n") })
	c, err := Dial(t.Context(), addr, RESP(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Receive(); !errors.Is(err, errFrame) {
		t.Errorf("%v, want errFrame", err)
	}
	if _, err := Dial(t.Context(), "127.0.0.1:1", RESP(), time.Second); err == nil {
		t.Error("nobody listens on port 1, and Dial succeeded")
	}
}

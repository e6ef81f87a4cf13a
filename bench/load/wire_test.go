package load

import (
	"errors"
	"strings"
	"testing"
)

func TestFrameHTTPAtEveryByte(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a\r\n\r\nhello",
		"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
	} {
		for cut := range len(answer) {
			if n, err := frameHTTP([]byte(answer[:cut])); n != 0 || err != nil {
				t.Fatalf("%q of %q: size %d, %v", answer[:cut], answer, n, err)
			}
		}
		n, err := frameHTTP([]byte(answer + "HTTP/1.1 200 OK"))
		if n != len(answer) || err != nil {
			t.Errorf("%q: size %d, %v; want %d", answer, n, err, len(answer))
		}
	}
}

func TestFrameHTTPRefuses(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"nonsense\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
	} {
		if _, err := frameHTTP([]byte(answer)); !errors.Is(err, errFrame) {
			t.Errorf("%q: %v, want errFrame", answer, err)
		}
	}
}

func TestJudgeHTTP(t *testing.T) {
	judge := HTTP(`"outcome":"approved"`).Judge
	for answer, want := range map[string]Verdict{
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"outcome\":\"approved\"}": Good,
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"outcome\":\"declined\"}": Refused,
		"HTTP/1.1 200 OK\r\nX: \"outcome\":\"approved\"\r\n\r\n{}":               Refused,
		"HTTP/1.1 503 OK\r\nContent-Length: 9\r\n\r\n{\"outcome\":\"approved\"}": Failed,
		"HTTP/1.1 200": Refused,
		"":             Failed,
	} {
		if got := judge([]byte(answer)); got != want {
			t.Errorf("%q: %d, want %d", answer, got, want)
		}
	}
}

func TestFrameRESPAtEveryByte(t *testing.T) {
	for _, answer := range []string{
		"+OK\r\n", ":1\r\n", "-ERR no\r\n", "$5\r\nhello\r\n", "$-1\r\n", "_\r\n", "$0\r\n\r\n",
		"*0\r\n", "*-1\r\n", "*3\r\n:1\r\n$3\r\n\r\n!\r\n*1\r\n+a\r\n",
	} {
		for cut := range len(answer) {
			if n, err := frameRESP([]byte(answer[:cut])); n != 0 || err != nil {
				t.Fatalf("%q of %q: size %d, %v", answer[:cut], answer, n, err)
			}
		}
		n, err := frameRESP([]byte(answer + ":7\r\n"))
		if n != len(answer) || err != nil {
			t.Errorf("%q: size %d, %v; want %d", answer, n, err, len(answer))
		}
	}
	for _, answer := range []string{"?\r\n", "$x\r\n", "$99999999999\r\n", "*1\r\nhm\r\n"} {
		if _, err := frameRESP([]byte(answer)); !errors.Is(err, errFrame) {
			t.Errorf("%q: %v, want errFrame", answer, err)
		}
	}
}

func TestJudgeRESP(t *testing.T) {
	judge := RESP().Judge
	if judge([]byte(":0\r\n")) != Good || judge([]byte("-ERR\r\n")) != Failed {
		t.Error("an integer is good and an error has failed")
	}
}

func TestCommand(t *testing.T) {
	got := string(Command("SET", "k", "a\r\nb"))
	if want := "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestStatusAndBody(t *testing.T) {
	answer := []byte("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nbody\r\n\r\nmore")
	if Status(answer) != 404 || string(Body(answer)) != "body\r\n\r\nmore" {
		t.Errorf("status %d, body %q", Status(answer), Body(answer))
	}
}

func TestRequests(t *testing.T) {
	r := NewRequests(1, 4)
	if r.Size() != 0 || r.Len() != 0 {
		t.Errorf("empty row: size %d of %d", r.Size(), r.Len())
	}
	words := []string{"one", "", "three", strings.Repeat("x", 92)}
	for _, w := range words {
		b := []byte(w)
		r.Add(b)
		clear(b) // the row holds its own copy
	}
	for i, w := range words {
		if string(r.At(i)) != w {
			t.Errorf("request %d is %q, want %q", i, r.At(i), w)
		}
	}
	if r.Len() != 4 || r.Size() != 25 {
		t.Errorf("%d requests of %d bytes, want 4 of 25", r.Len(), r.Size())
	}
}

package gate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// FuzzRequestID: what is read is written back the same.
func FuzzRequestID(f *testing.F) {
	for _, seed := range []string{"GATE01-3-42", "a-0-0", "A-01-1", "A-4294967296-1", "A--1", "-1-1",
		"A.B_C-1-4294967295", "A-1-1 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := txn.ParseRequestID(s)
		if err == nil && id.String() != s {
			t.Fatalf("%q reads as %q", s, id)
		}
	})
}

// FuzzSignatureHeaders sends headers of all sorts to the authentication: nothing but the
// right signature passes, and nothing panics.
func FuzzSignatureHeaders(f *testing.F) {
	s, signer := bareGate(f, &approver{}, nil)
	good := signer.Sign("POST", "/v1/taps", nil, Stamp{At: 1, Counter: 1})
	f.Add("GATE01", "1795000000000", "1", good)
	f.Add("", "", "", "")
	f.Add("GATE01", "-1", "18446744073709551616", strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, terminal, timestamp, counter, signature string) {
		var http fasthttp.RequestCtx
		h := &http.Request.Header
		h.SetMethod("POST")
		h.SetRequestURI("/v1/taps")
		for name, value := range map[string]string{HeaderTerminal: terminal,
			HeaderTimestamp: timestamp, HeaderCounter: counter, HeaderSignature: signature} {
			h.Set(name, value)
		}
		x := &call{received: wallClock()}
		x.reset(&http)
		x.ctx = t.Context()
		c, r := s.identify(x.ctx, x)
		if r.IsSet() {
			return
		}
		if r = s.verify(x.ctx, x, &c); r.IsSet() {
			return
		}
		sum, err := hex.DecodeString(signature)
		at, _ := parseUint([]byte(timestamp))
		n, _ := parseUint([]byte(counter))
		if err != nil || len(sum) != 32 || terminal != "GATE01" ||
			signer.Sign("POST", "/v1/taps", nil, Stamp{At: txn.Millis(at), Counter: n}) != signature {
			t.Fatalf("passed: %q %q %q %q", terminal, timestamp, counter, signature)
		}
	})
}

// FuzzRawHTTP feeds bytes to the whole server: it must not panic, and whatever it answers
// is an answer of the API.
func FuzzRawHTTP(f *testing.F) {
	for _, seed := range []string{"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n",
		"POST /v1/taps HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/taps HTTP/1.1\r\nContent-Length: 9999999999\r\nTransfer-Encoding: chunked\r\n\r\n",
		"PUT /v1/terminals/a HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n"} {
		f.Add([]byte(seed))
	}
	s, _ := bareGate(f, &approver{}, nil)
	f.Fuzz(func(t *testing.T, request []byte) {
		c := &scripted{in: bytes.NewReader(request)}
		_ = s.http.ServeConn(c)
		for part := range strings.SplitSeq(c.out.String(), "HTTP/1.1 ") {
			if part == "" || strings.HasPrefix(part, "100 ") {
				continue
			}
			head, body, _ := strings.Cut(part, "\r\n\r\n")
			if !strings.Contains(head, "application/json") || !json.Valid([]byte(body)) {
				t.Fatalf("%q\nanswered with %q", request, part)
			}
		}
	})
}

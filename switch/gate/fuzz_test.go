package gate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// mirror is what encoding/json reads where it agrees with the gate's parser.
type mirror struct {
	ID             string   `json:"id"`
	Kind           string   `json:"kind"`
	Card           string   `json:"card"`
	ServiceTime    string   `json:"service_time"`
	Station        string   `json:"station"`
	FullFare       int64    `json:"full_fare"`
	Charged        int64    `json:"charged"`
	OfflineCounter int64    `json:"offline_counter"`
	Apps           []string `json:"apps"`
}

func mirrorSchema() schema {
	return schemaOf(0, setOf(fieldID, fieldKind, fieldCard, fieldServiceTime, fieldStation,
		fieldFullFare, fieldCharged, fieldOfflineCounter, fieldApps))
}

// checkObject compares the parser with encoding/json on one body.
func checkObject(t *testing.T, o *object, body []byte) {
	t.Helper()
	r := o.parse(body, mirrorSchema())
	valid := json.Valid(body)
	switch {
	case len(r.param) > wordMax:
		t.Fatalf("param %q", r.param)
	case !r.isSet():
		sameAsStandard(t, o, body)
	case !valid:
	case r.code == MalformedJSON || r.code == TrailingBytes:
		if !loneSurrogate(body) {
			t.Fatalf("%s: the standard calls this valid: %q", r.code, body)
		}
	}
}

// FuzzObject compares the parser with encoding/json: what the gate takes, the standard
// takes with the same values; what the standard calls broken, the gate refuses; and what
// the gate calls broken, the standard does too.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"id":"a"}`, `{"id":"\u00e9\n","full_fare":0}`,
		`{"id":"\ud83d\ude00","charged":9007199254740991}`, `{"full_fare":-0}`, `{"full_fare":1e2}`,
		` { "apps" : [ "a" , "b" ] , "card" : "1" } `, `{"id":"` + "\xff" + `"}`, `{"id":"\ud800"}`,
		`{"apps":[]}`, `{"apps":[[1]]}`, `{"id":{"a":[]}}`, `{"id":"a","id":"b"}`, `{"id":null}`,
		`{"station":"人民广场"}`, `{"full_fare":00}`, `{"full_fare":1.}`, `[[[[`, `{"id":"a"}x`} {
		f.Add([]byte(seed))
	}
	var o object
	f.Fuzz(func(t *testing.T, body []byte) {
		checkObject(t, &o, body)
	})
}

// TestObjectMutations does the same with many small changes of well-formed bodies.
func TestObjectMutations(t *testing.T) {
	seeds := []string{`{"id":"GATE01-3-42","kind":"metro_exit","card":"3104800000000001",` +
		`"full_fare":500,"charged":-475,"apps":["transit","purse"]}`,
		` { "station" : "\u4eba\ud83d\ude00\"\\" , "offline_counter" : 4294967295 } `,
		`{"station":"人民广场","apps":[ ],"full_fare":9007199254740991.0e+1}`, `{"id":null}`}
	const bytesUsed = "{}[]\":,\\u0019de.-+tfn \x00\x1f\x80\xff\xe4"
	random := rand.New(rand.NewPCG(3, 4))
	var o object
	for range 200_000 {
		body := []byte(seeds[random.IntN(len(seeds))])
		for range 1 + random.IntN(3) {
			at := random.IntN(len(body))
			c := bytesUsed[random.IntN(len(bytesUsed))]
			switch random.IntN(4) {
			case 0:
				body[at] = c
			case 1:
				body = append(body[:at], body[at+1:]...)
			case 2:
				body = append(body[:at], append([]byte{c}, body[at:]...)...)
			default:
				end := at + random.IntN(len(body)-at)
				body = append(body[:end:end], body[at:]...)
			}
			if len(body) == 0 {
				break
			}
		}
		checkObject(t, &o, body)
	}
}

// loneSurrogate reports what JSON's grammar allows and the gate does not: half of an
// escaped pair.
func loneSurrogate(body []byte) bool { return bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) }

func sameAsStandard(t *testing.T, o *object, body []byte) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var m mirror
	if err := decoder.Decode(&m); err != nil {
		t.Fatalf("taken, but not by the standard: %q: %v", body, err)
	}
	text := func(f field) string { return string(o.bytes(f)) }
	got := mirror{ID: text(fieldID), Kind: text(fieldKind), Card: text(fieldCard),
		ServiceTime: text(fieldServiceTime), Station: text(fieldStation),
		FullFare: o.integer(fieldFullFare), Charged: o.integer(fieldCharged),
		OfflineCounter: o.integer(fieldOfflineCounter)}
	for _, app := range o.list(fieldApps) {
		got.Apps = append(got.Apps, string(app))
	}
	a, _ := json.Marshal(got)
	if m.Apps != nil && len(m.Apps) == 0 {
		m.Apps = nil
	}
	b, _ := json.Marshal(m)
	if !bytes.Equal(a, b) {
		t.Fatalf("%q\ngate     %s\nstandard %s", body, a, b)
	}
}

// FuzzBatch: splitting never panics, entries are parts of the body, and the entries of a
// body that the standard can read are the ones that it reads.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{`{"taps":[{"id":"a"},5,"x"]}`, `{"taps":[]}`, `{"taps":[[[]]]}`,
		` { "taps" : [ { } , null ] } `, `{"taps":["\"]"]}`, `{"taps":[1,,2]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		entries, r := splitBatch(body, "taps", nil)
		var want struct {
			Taps []json.RawMessage `json:"taps"`
		}
		if err := json.Unmarshal(body, &want); err != nil || r.isSet() {
			return
		}
		if len(entries) != len(want.Taps) {
			t.Fatalf("%d entries, the standard reads %d: %q", len(entries), len(want.Taps), body)
		}
		for i := range entries {
			if got := bytes.TrimSpace(entries[i]); !bytes.Equal(got, want.Taps[i]) {
				t.Fatalf("entry %d: %q, the standard reads %q", i, got, want.Taps[i])
			}
		}
	})
}

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
		if r.isSet() {
			return
		}
		if r = s.verify(x.ctx, x, &c); r.isSet() {
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

package fields

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/tapswitch/tapswitch/switch/gate/refusal"
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

func mirrorSchema() Schema {
	return SchemaOf(0, SetOf(ID, Kind, Card, ServiceTime, Station,
		FullFare, Charged, OfflineCounter, Apps))
}

// checkObject compares the parser with encoding/json on one body.
func checkObject(t *testing.T, o *Object, body []byte) {
	t.Helper()
	r := o.Parse(body, mirrorSchema())
	valid := json.Valid(body)
	switch {
	case len(r.Param) > WordMax:
		t.Fatalf("param %q", r.Param)
	case !r.IsSet():
		sameAsStandard(t, o, body)
	case !valid:
	case r.Code == refusal.MalformedJSON || r.Code == refusal.TrailingBytes:
		if !loneSurrogate(body) {
			t.Fatalf("%s: the standard calls this valid: %q", r.Code, body)
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
	var o Object
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
	var o Object
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

func sameAsStandard(t *testing.T, o *Object, body []byte) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var m mirror
	if err := decoder.Decode(&m); err != nil {
		t.Fatalf("taken, but not by the standard: %q: %v", body, err)
	}
	text := func(f Field) string { return string(o.Bytes(f)) }
	got := mirror{ID: text(ID), Kind: text(Kind), Card: text(Card),
		ServiceTime: text(ServiceTime), Station: text(Station),
		FullFare: o.Integer(FullFare), Charged: o.Integer(Charged),
		OfflineCounter: o.Integer(OfflineCounter)}
	for _, app := range o.List(Apps) {
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
		entries, r := Split(body, "taps", nil)
		var want struct {
			Taps []json.RawMessage `json:"taps"`
		}
		if err := json.Unmarshal(body, &want); err != nil || r.IsSet() {
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

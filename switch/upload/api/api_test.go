package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

// noon is 2026-11-22 12:00 in China.
const noon txn.Millis = 1795320000000

type rig struct {
	t *testing.T
	h *Handler
}

type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// newRig serves over the real engine and the memory store, with one card that has 50 yuan.
func newRig(t *testing.T) *rig {
	t.Helper()
	now := func() txn.Millis { return noon }
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: now})
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200}})
	if err != nil || memory.OpenEpoch(t.Context(), noon) != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{Cards: memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	n, err := pan.Parse(card)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range []txn.Request{{Kind: txn.Enrol, Enrolment: txn.Enrolment{Apps: txn.AppAll}},
		{Kind: txn.Load, Amount: 5000}} {
		q.ID = txn.RequestID{Terminal: txn.TerminalID{'D'}, Boot: 1, Counter: uint32(i)}
		q.Card, q.Currency, q.ServiceAt = tokenizer.Token(n), txn.CNY, noon-4*3600_000
		if a := e.Authorize(t.Context(), &q); a.Decision.Outcome != txn.Approved {
			t.Fatal(a.Decision.Reason)
		}
	}
	b, err := book.New(book.Options{Cards: memory, Registry: memory, Engine: e, Tokenizer: tokenizer,
		SealKey: bytes.Repeat([]byte{5}, 32), Currency: txn.CNY, Zone: 8 * 3600_000, FutureMax: 300_000,
		AgeMax: 30 * 24 * 3600_000, Now: now, Log: slog.New(slog.DiscardHandler),
		Source: func(context.Context, txn.TerminalID) (book.Source, error) {
			return book.Source{Kinds: []txn.Kind{txn.BusBoarding}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, New(b, slog.New(slog.DiscardHandler))}
}

const card = "3104580000000000017"

func tap(seq uint32, counter uint16, before uint32, at string) frame.Tap {
	return frame.Tap{Kind: "bus_boarding", TTI: 9, Card: card, PSAM: "010203040506", TermSeq: seq, Counter: counter,
		Amount: 190, Fare: 200, Before: before, At: at}
}

func frameOf(taps ...frame.Tap) frame.Upload {
	n := uint64(len(taps))
	return frame.Upload{Taps: taps, Header: frame.Header{Terminal: "GATE07", Boot: 1, Batch: 1,
		BatchRecords: uint32(n), First: 1, TotalRecords: n, TotalSum: 190 * n, SentAt: int64(noon)}}
}

// ask makes a request as the gate passes it on.
func (r *rig) ask(method, path string, body []byte, headers ...string) (int, string) {
	r.t.Helper()
	q := httptest.NewRequestWithContext(r.t.Context(), method, path, bytes.NewReader(body))
	q.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, "=")
		q.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	r.h.ServeHTTP(w, q)
	return w.Code, w.Body.String()
}

func (r *rig) expect(status int, body string, wantStatus int, want ...string) {
	r.t.Helper()
	for _, part := range want {
		if !strings.Contains(body, part) {
			r.t.Errorf("%d %s\nwants %s", status, body, part)
		}
	}
	if status != wantStatus {
		r.t.Errorf("status %d, want %d: %s", status, wantStatus, body)
	}
	if strings.Contains(body, card[3:16]) {
		r.t.Error("an answer shows a card number")
	}
}

const (
	device = HeaderDevice + "=GATE07"
	desk   = HeaderActor + "=wang"
	role   = HeaderRoles + "=desk"
)

// A frame in either form is answered alike: by letter, in words, or two bytes a record.
func TestBothFormsAreTakenAlike(t *testing.T) {
	u := frameOf(tap(1, 7, 5000, "20261122113000"), tap(2, 8, 4810, "20261122114000"), tap(3, 9, 4620, "20261122130000"))
	text, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := u.Frame()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	status, body := r.ask("POST", Prefix, text, device)
	r.expect(status, body, 200, `"accepted":2`, `"held":1`, `"next":3`, `"states":"aah"`,
		`{"i":2,"state":"held","reason":"in_future"}`)
	status, body = r.ask("POST", Prefix, binary, device, "Content-Type="+Media)
	r.expect(status, body, 200, `"duplicate":3`, `"states":"ddd"`, `"reason":"in_future"`)
	status, body = r.ask("POST", Prefix, binary, device, "Content-Type="+Media, "Accept="+Media)
	want := []byte{byte(upload.Duplicate), 0, byte(upload.Duplicate), 0, byte(upload.Duplicate), byte(upload.InFuture)}
	if status != 200 || body != string(want) {
		t.Errorf("%d %x", status, body)
	}
	status, body = r.ask("GET", Prefix+"/gates/GATE07", nil, device)
	r.expect(status, body, 200, `"arrived":{"records":3,"sum":570}`, `"missing_records":0`, `"repeats":6`)
}

func TestWhoMayAsk(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		{"POST", "", "{}", nil, 401, "unauthorized"},
		{"POST", "", "{}", []string{desk, role}, 401, "unauthorized"},
		{"POST", "", `{"terminal":"GATE08","first":1}`, []string{device}, 403, "terminal_mismatch"},
		{"POST", "", "x", []string{device}, 400, "frame_invalid"},
		{"GET", "/gates/GATE07", "", nil, 401, "unauthorized"},
		{"GET", "/gates/GATE08", "", []string{device}, 401, "unauthorized"},
		{"GET", "/gates/GATE08", "", []string{desk, role}, 200, "arrived"},
		{"GET", "/gates/no-id", "", []string{desk, role}, 404, "not_found"},
		{"GET", "/held", "", []string{device}, 401, "unauthorized"},
		{"GET", "/held", "", []string{desk, HeaderRoles + "=desk_confirm"}, 403, "forbidden"},
		{"GET", "/held", "", []string{desk, HeaderRoles + "=viewer"}, 200, "held"},
		{"POST", "/held/x", `{"accept":true,"reason":"r"}`, []string{desk, HeaderRoles + "=viewer"}, 403, "forbidden"},
		{"POST", "/held/x", `{"accept":true,"reason":"r"}`, []string{desk, role}, 404, "not_found"},
		{"POST", "/held/x", `{"accept":true}`, []string{desk, role}, 400, "decision_invalid"},
		{"POST", "/held/x", `{"accept":true,"reason":"card ` + card + `"}`, []string{desk, role}, 400, "decision_invalid"},
		{"POST", "/retry", `{}`, []string{desk, role}, 200, `"decided":0`},
		{"GET", "/modules/010203040506", "", []string{desk, role}, 200, "missing"},
		{"GET", "/modules/1", "", []string{desk, role}, 404, "not_found"},
		{"GET", "/cards?suspicious=1", "", []string{desk, role}, 200, `"cards":[]`},
	} {
		t.Run(c.method+c.path+fmt.Sprint(c.status), func(t *testing.T) {
			r := &rig{t, r.h}
			status, body := r.ask(c.method, Prefix+c.path, []byte(c.body), c.headers...)
			r.expect(status, body, c.status, c.code)
		})
	}
}

// A person sees what is held and decides it, once.
func TestAPersonDecides(t *testing.T) {
	u := frameOf(tap(1, 7, 5000, "20261122130000"), tap(2, 8, 4810, "20261122131000"))
	text, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	if status, body := r.ask("POST", Prefix, text, device); status != 200 {
		t.Fatal(body)
	}
	status, body := r.ask("GET", Prefix+"/held", nil, desk, role)
	r.expect(status, body, 200, `"reason":"in_future"`, `"last4":"0017"`)
	var list struct{ Held []book.Held }
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Held) != 2 {
		t.Fatal(body)
	}
	path := Prefix + "/held/" + list.Held[0].ID
	// It still lies in the future: the engine does not book it.
	status, body = r.ask("POST", path, []byte(`{"accept":true,"reason":"seen"}`), desk, role)
	r.expect(status, body, 422, "not_booked")
	status, body = r.ask("POST", path, []byte(`{"accept":false,"reason":"gate was wrong"}`), desk, role)
	r.expect(status, body, 200, `"accepted":false`)
	status, body = r.ask("POST", path, []byte(`{"accept":false,"reason":"gate was wrong"}`), desk, role)
	r.expect(status, body, 404, "not_found")
	status, body = r.ask("GET", Prefix+"/held?after="+list.Held[0].ID, nil, desk, role)
	r.expect(status, body, 200, list.Held[1].ID)
}

func TestBodiesAreBounded(t *testing.T) {
	r := newRig(t)
	status, body := r.ask("POST", Prefix, make([]byte, bodyMax+1), device)
	r.expect(status, body, 400, "frame_invalid")
	q := httptest.NewRequestWithContext(t.Context(), "POST", Prefix, strings.NewReader(strings.Repeat(" ", bodyMax+1)))
	q.ContentLength = -1
	if _, err := bodyOf(q); err == nil {
		t.Error("a body of unknown length is not bounded")
	}
	if w := httptest.NewRecorder(); true {
		r.h.failed(w, fmt.Errorf("wrapped: %w", book.ErrBusy))
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), `"retryable":true`) {
			t.Errorf("busy: %d %s", w.Code, w.Body)
		}
	}
}

// The white list of modules is kept by operators, and binds from an instant on.
func TestWhiteList(t *testing.T) {
	r := newRig(t)
	const module, from = Prefix + "/modules/010203040506", Prefix + "/white-from"
	admin := HeaderRoles + "=admin"
	status, body := r.ask("PUT", module, []byte(`{"white":[]}`), desk, role)
	r.expect(status, body, 403, "forbidden")
	status, body = r.ask("PUT", module, []byte(`{"white":[],"other":1}`), desk, admin)
	r.expect(status, body, 400, "body_invalid")
	status, body = r.ask("PUT", module, []byte(`{"white":[{"from_ms":5,"until_ms":4}]}`), desk, admin)
	r.expect(status, body, 422, "white_list_invalid")
	status, body = r.ask("PUT", from, []byte(`{"from_ms":1}`), desk, admin)
	r.expect(status, body, 200)
	status, body = r.ask("GET", from, nil, desk, role)
	r.expect(status, body, 200, `"from_ms":1`)
	u := frameOf(tap(1, 1, 5000, "20261122115900"))
	text, err := u.Frame()
	if err != nil {
		t.Fatal(err)
	}
	status, body = r.ask("POST", Prefix, text, device, "Content-Type="+Media)
	r.expect(status, body, 200, `"held":1`, "module_not_listed")
	status, body = r.ask("PUT", module, []byte(`{"white":[{"terminal":"GATE07","from_ms":1}]}`), desk, admin)
	r.expect(status, body, 200, "GATE07")
	status, body = r.ask("POST", Prefix+"/retry", nil, desk, role)
	r.expect(status, body, 200, `"decided":1`)
	status, body = r.ask("GET", module, nil, desk, role)
	r.expect(status, body, 200, `"terminal":"GATE07"`, `"high":1`)
}

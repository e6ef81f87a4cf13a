package gate

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestTapApproved(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	a := r.send(d, "/v1/taps", r.tapBody(d, cardA))
	for name, want := range map[string]any{
		"outcome": "approved", "reason": nil, "field39": "00", "full_fare": 200.0,
		"charged": 200.0, "balance": 9800.0, "card": "****0001", "replay": nil,
	} {
		if got := a.field(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if code, _ := a.field("auth_code").(string); len(code) != 6 {
		t.Errorf("auth code %q", code)
	}
	if record, _ := a.field("record").(string); !strings.HasPrefix(record, "b0") {
		t.Errorf("record %q", record)
	}
}

// TestReplaySameBytes sends a request again with a new signature: the answer is the same
// but for the word replay and where the record stands.
func TestReplaySameBytes(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	bodies := map[string]string{
		"/v1/taps": r.tapBody(d, cardA),
		"/v1/loads": fieldsOf("id", r.id(d), "card", cardA, "amount", 500,
			"service_time", r.serviceTime(), "stan", 7, "rrn", "ABC123"),
		"/v1/purchases": fieldsOf("id", r.id(d), "card", cardA, "amount", 99999,
			"service_time", r.serviceTime()), // declined
	}
	for path, body := range bodies {
		first, second := r.send(d, path, body), r.send(d, path, body)
		if second.field("replay") != true {
			t.Errorf("%s: no replay: %v", path, second)
		}
		want := string(first.body[:bytes.Index(first.body, []byte(`,"record"`))]) + `,"replay":true}`
		if string(second.body) != want {
			t.Errorf("%s: replay\n%s\nwant\n%s", path, second.body, want)
		}
	}
	if n := r.engine.Stats().Replays.Load(); n != int64(len(bodies)) {
		t.Errorf("%d replays", n)
	}
}

func TestSameIDOtherRequest(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	id := r.id(d)
	body := func(amount int) string {
		return fieldsOf("id", id, "card", cardA, "amount", amount, "service_time", r.serviceTime())
	}
	if a := r.send(d, "/v1/purchases", body(100)); a.field("outcome") != "approved" {
		t.Fatal(a)
	}
	a := r.send(d, "/v1/purchases", body(101))
	expect(t, a, 422, "request_id_reused")
	if a.field("request_id") != id || a.field("type") != "conflict" {
		t.Errorf("got %v", a)
	}
	if log := r.log.String(); !strings.Contains(log, "request id reused") ||
		!strings.Contains(log, id) || strings.Contains(log, cardA) {
		t.Errorf("audit: %s", log)
	}
}

// TestSameIDOtherCard: the other card cannot know the id; the gate does.
func TestSameIDOtherCard(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA, cardB)
	id := r.id(d)
	buy := func(card string) reply {
		return r.send(d, "/v1/purchases", fieldsOf("id", id, "card", card, "amount", 100,
			"service_time", r.serviceTime()))
	}
	if a := buy(cardA); a.field("outcome") != "approved" {
		t.Fatal(a)
	}
	expect(t, buy(cardB), 422, "request_id_reused")
	if log := r.log.String(); !strings.Contains(log, "request id reused") || strings.Contains(log, cardB) {
		t.Errorf("audit: %s", log)
	}
}

// TestIDMemory: nearly all of as many ids as a quarter of the places are known, an id is
// never known for another card, and the oldest are forgotten.
func TestIDMemory(t *testing.T) {
	m := newIDMemory()
	id := func(n int) txn.RequestID { return txn.RequestID{Boot: 1, Counter: uint32(n)} }
	a, b := pan.Token{1}, pan.Token{2}
	const places = idShards * idSets * idWays
	for n := range places / 4 {
		if !m.claim(id(n), a) {
			t.Fatalf("id %d is not new", n)
		}
	}
	known := 0
	for n := range places / 4 {
		if !m.claim(id(n), b) {
			known++
		}
	}
	if known < places/4*98/100 {
		t.Errorf("%d of %d ids are known", known, places/4)
	}
	for n := range 6 * places {
		m.claim(id(places+n), a)
	}
	forgotten := 0
	for n := range 1000 {
		if m.claim(id(n), pan.Token{3}) {
			forgotten++
		}
	}
	if forgotten < 900 {
		t.Errorf("%d of 1000 old ids are forgotten", forgotten)
	}
}

// TestJourney rides from one station to another, asks for the balance, is given a part
// back and has the rest undone.
func TestJourney(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	at := r.serviceTime()
	approve := func(path, body string, balance float64) {
		t.Helper()
		a := r.send(d, path, body)
		if a.field("outcome") != "approved" || a.field("balance") != balance {
			t.Fatalf("%s: got %v, want balance %v", path, a, balance)
		}
	}
	tap := func(id, kind string, more ...any) string {
		return fieldsOf(append([]any{"id", id, "kind", kind, "card", cardA,
			"service_time", at}, more...)...)
	}
	approve("/v1/taps", tap(r.id(d), "metro_entry", "station", "A"), 10000)
	exit := r.id(d)
	approve("/v1/taps", tap(exit, "metro_exit", "station", "B", "full_fare", 500,
		"charged", 475, "list_epoch", 3), 9525)
	approve("/v1/balances", fieldsOf("id", r.id(d), "card", cardA, "service_time", at), 9525)
	approve("/v1/refunds", fieldsOf("id", r.id(d), "card", cardA, "amount", 75,
		"original", exit, "service_time", at), 9600)
	ride := r.id(d)
	approve("/v1/taps", tap(ride, "bus_boarding", "line", "71", "vehicle", "沪A12345"), 9400)
	approve("/v1/reversals", fieldsOf("id", r.id(d), "card", cardA, "original", ride,
		"service_time", at), 9600)
	a := r.send(d, "/v1/purchases", fieldsOf("id", r.id(d), "card", cardA, "amount", 99999,
		"service_time", at))
	expect(t, a, 200, "insufficient_funds")
	a = r.send(d, "/v1/taps", tap(r.id(d), "bus_boarding", "offline_counter", 9,
		"full_fare", 200, "charged", 200))
	if a.field("balance") != 9400.0 {
		t.Errorf("offline: %v", a)
	}
}

// recording is an engine that keeps what it was asked.
type recording struct {
	approver
	asked []txn.Request
}

func (e *recording) Authorize(ctx context.Context, r *txn.Request) engine.Answer {
	e.asked = append(e.asked, *r)
	return e.approver.Authorize(ctx, r)
}

// TestRequestFilled looks at the request that reaches the engine.
func TestRequestFilled(t *testing.T) {
	e := &recording{}
	r := newRig(t, func(o *Options) { o.Engine = e })
	d := r.terminal("GATE01")
	other := r.terminalWith(Terminal{ID: "SHOP.1", Merchant: "M9", Kinds: []string{"purchase"}})
	r.send(d, "/v1/taps", fieldsOf("id", "GATE01-4-5", "kind", "bus_boarding", "card", cardA,
		"service_time", "2026-11-21T08:00:00.250+08:00", "line", "71", "vehicle", "V12",
		"full_fare", 300, "charged", 200, "offline_counter", 17, "list_epoch", 99))
	r.send(other, "/v1/purchases", fieldsOf("id", "SHOP.1-1-1", "card", cardB, "amount", 5,
		"service_time", "2026-11-21T00:00:00Z", "stan", 123456, "rrn", "R1"))
	tap, buy := e.asked[0], e.asked[1]
	want := txn.Request{
		ID: tap.ID, Kind: txn.BusBoarding, Card: r.o.Tokenizer.Token(cardNumber(t, cardA)),
		Last4: cardNumber(t, cardA).Last4(), Currency: txn.CNY,
		Place: txn.Place{Operator: "M5", Line: "71", Station: "V12", Merchant: "M0001",
			MCC: "4111", Acquirer: "ACQ1", Payee: "operator/M5", Funding: "funds/ACQ1"},
		Amount: 200, FullFare: 300, FareGiven: true, OfflineCounter: 17, Offline: true,
		ListEpoch: 99, ServiceAt: 1795219200250,
		ReceivedAt: tap.ReceivedAt, Deadline: tap.ReceivedAt + 2000,
	}
	if tap != want {
		t.Errorf("tap\n%+v\nwant\n%+v", tap, want)
	}
	if tap.ID.String() != "GATE01-4-5" || tap.ReceivedAt == 0 {
		t.Errorf("id %s, received %d", tap.ID, tap.ReceivedAt)
	}
	if buy.STAN != 123456 || buy.RRN != "R1" || buy.Place.Payee != "merchant/M9" ||
		buy.Place.Funding != "" || buy.ServiceAt != 1795219200000 {
		t.Errorf("purchase %+v", buy)
	}
}

// TestRideFilled looks at what a tap tells of the ride itself, and that nothing of it is left for
// the next tap of the same call.
func TestRideFilled(t *testing.T) {
	e := &recording{}
	r := newRig(t, func(o *Options) { o.Engine = e })
	d := r.terminal("GATE01")
	tap := func(more ...any) string {
		return fieldsOf(append([]any{"id", r.id(d), "kind", "metro_entry", "card", cardA,
			"service_time", r.serviceTime()}, more...)...)
	}
	all := disruption.Flags(0)
	var names []string
	for _, m := range disruption.Modes() {
		all, names = all.With(m), append(names, m.String())
	}
	for _, m := range txn.Modes() {
		r.send(d, "/v1/taps", tap("mode", m.String(), "class", "business", "metres", 4200, "degraded", names))
		want := txn.Ride{Mode: m, Business: true, Metres: 4200, Degraded: uint8(all)}
		if got := e.asked[len(e.asked)-1].Ride; got != want {
			t.Errorf("%s: %+v, want %+v", m, got, want)
		}
	}
	for class, business := range map[string]bool{"first": true, "standard": false} {
		r.send(d, "/v1/taps", tap("class", class))
		if got := e.asked[len(e.asked)-1].Ride; got != (txn.Ride{Business: business}) {
			t.Errorf("%s: %+v", class, got)
		}
	}
	r.send(d, "/v1/taps", tap())
	if got := e.asked[len(e.asked)-1].Ride; got != (txn.Ride{}) {
		t.Errorf("a plain tap: %+v", got)
	}
}

// TestVehicleKeepsStation: a station that is named wins over the vehicle.
func TestVehicleKeepsStation(t *testing.T) {
	e := &recording{}
	r := newRig(t, func(o *Options) { o.Engine = e })
	d := r.terminal("GATE01")
	for _, more := range [][]any{{"vehicle", "V1", "station", "S1"}, {"station", "S1"}, {}} {
		r.send(d, "/v1/taps", fieldsOf(append([]any{"id", r.id(d), "kind", "bus_boarding",
			"card", cardA, "service_time", r.serviceTime()}, more...)...))
	}
	for i, want := range []string{"S1", "S1", "Central"} {
		if got := e.asked[i].Place.Station; got != want {
			t.Errorf("request %d: station %q, want %q", i, got, want)
		}
	}
}

// TestStoreFaults tells the terminal what it may rely on when the store fails.
func TestStoreFaults(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	body := r.tapBody(d, cardA)
	// The commit is applied and not reported, and looking again fails as well.
	committed := false
	r.setFault(func(op storetest.Op) storetest.Fault {
		switch {
		case op == storetest.OpCommit:
			committed = true
			return storetest.AppliedUnreported
		case op == storetest.OpLoad && committed:
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	a := r.send(d, "/v1/taps", body)
	expect(t, a, 503, "outcome_unknown")
	if a.field("retryable") != true {
		t.Error("not retryable")
	}
	r.setFault(nil)
	a = r.send(d, "/v1/taps", body)
	if a.field("outcome") != "approved" || a.field("replay") != true ||
		a.field("balance") != 9800.0 {
		t.Errorf("after the fault: %v", a)
	}
}

// answering is an engine that gives one answer.
type answering struct{ a engine.Answer }

func (e *answering) Authorize(context.Context, *txn.Request) engine.Answer { return e.a }

func (e *answering) AuthorizeAll(_ context.Context, requests []*txn.Request) []engine.Answer {
	all := make([]engine.Answer, len(requests))
	for i := range all {
		all[i] = e.a
	}
	return all
}

// TestVerdicts maps every way in which the engine can end to status and code.
func TestVerdicts(t *testing.T) {
	e := &answering{}
	r := newRig(t, func(o *Options) { o.Engine = e })
	d := r.terminal("GATE01")
	for _, c := range []struct {
		answer engine.Answer
		status int
		code   string
	}{
		{engine.Answer{Err: engine.ErrInDoubt}, 503, "outcome_unknown"},
		{engine.Answer{Err: store.ErrFenced}, 503, "outcome_unknown"},
		{engine.Answer{Err: store.ErrClosed}, 503, "outcome_unknown"},
		{engine.Answer{Err: engine.ErrContended}, 409, "card_contended"},
		{engine.Answer{Err: store.ErrDamaged}, 500, "internal"},
		{engine.Answer{Err: store.ErrTooLarge}, 500, "internal"},
		{declined(txn.DeadlinePassed), 503, "deadline_passed"},
		{declined(txn.StoreUnavailable), 503, "store_unavailable"},
		{declined(txn.ListStale), 503, "blacklist_stale"},
		{declined(txn.IDReused), 422, "request_id_reused"},
		{declined(txn.CardFrozen), 200, "card_frozen"},
		{declined(txn.IDTooOld), 200, "request_id_too_old"},
	} {
		e.a = c.answer
		expect(t, r.send(d, "/v1/taps", r.tapBody(d, cardA)), c.status, c.code)
		if r.observer.count(c.code) == 0 {
			t.Errorf("%s was not counted", c.code)
		}
	}
}

func declined(reason txn.Reason) engine.Answer {
	return engine.Answer{Decision: txn.Decision{Outcome: txn.Declined, Reason: reason}}
}

// TestDeclinesOfTheEngine sends well-formed requests that the card must refuse.
func TestDeclinesOfTheEngine(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	r.desk(RoleDesk, "POST", "/v1/cards", fieldsOf("card", cardB, "apps", []string{"all"},
		"rider", "senior", "expires_on", "2020-01-01", "issuer", "SZT"))
	tap := func(card, at string) string {
		return fieldsOf("id", r.id(d), "kind", "bus_boarding", "card", card, "service_time", at)
	}
	now := r.serviceTime()
	expect(t, r.send(d, "/v1/taps", tap(cardC, now)), 200, "card_unknown")
	expect(t, r.send(d, "/v1/taps", tap(cardB, now)), 200, "card_expired")
	expect(t, r.send(d, "/v1/taps", tap(cardA, "2099-01-01T00:00:00Z")), 200, "time_in_future")
	expect(t, r.send(d, "/v1/taps", tap(cardA, "2020-01-01T00:00:00Z")), 200, "time_too_old")
	expect(t, r.send(d, "/v1/loads", fieldsOf("id", r.id(d), "card", cardA, "amount", 0,
		"service_time", now)), 200, "amount_invalid")
	for _, code := range []string{"card_unknown", "card_expired", "time_in_future",
		"time_too_old", "amount_invalid"} {
		if r.observer.count(code) != 1 {
			t.Errorf("%s counted %d times", code, r.observer.count(code))
		}
	}
}

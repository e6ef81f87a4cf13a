package gate

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestAppendText compares strings with what encoding/json reads back.
func TestAppendText(t *testing.T) {
	for _, s := range []string{"", "plain", `"quoted\"`, "人民广场", "a\x00b\x1f\n\t", "😀",
		"\u2028</script>", strings.Repeat("x", 1000), "broken \xff utf8"} {
		var got string
		if err := json.Unmarshal(appendText(nil, s), &got); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want {
			t.Errorf("%q reads back as %q", s, got)
		}
	}
}

// TestAppendLikeString keeps the fast forms equal to the ones of txn.
func TestAppendLikeString(t *testing.T) {
	for _, p := range []txn.Position{{}, {Bucket: 7, Epoch: 1, Seq: 1},
		{Bucket: 63, Epoch: 1<<64 - 1, Seq: 1<<64 - 1}, {Bucket: 17, Epoch: 3, Seq: 42}} {
		if got := string(appendPosition(nil, p)); got != p.String() {
			t.Errorf("position %s, want %s", got, p)
		}
	}
	for _, d := range []txn.BusinessDate{20261121, 19700101, 99991231, 20000229} {
		if got := string(appendDate(nil, d)); got != d.String() {
			t.Errorf("date %s, want %s", got, d)
		}
	}
	for at, want := range map[txn.Millis]string{0: "1970-01-01T00:00:00.000Z",
		1795219200250: "2026-11-21T00:00:00.250Z"} {
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("time %s, want %s", got, want)
		}
	}
}

// TestEveryDecisionIsInTheContract builds the answer of every reason, with and without
// everything optional, and validates it.
func TestEveryDecisionIsInTheContract(t *testing.T) {
	c := loadContract(t)
	s := &Server{answers: newAnswerTexts()}
	schema := c.doc.Components.Schemas["Decision"].Value
	id, _ := txn.ParseRequestID("GATE01-3-42")
	r := &txn.Request{ID: id, Last4: cardNumber(t, cardA).Last4()}
	for _, reason := range append(txn.Reasons(), txn.ReasonNone) {
		for _, full := range []bool{false, true} {
			a := &engine.Answer{Decision: txn.Decision{Outcome: txn.Declined, Reason: reason}}
			if reason == txn.ReasonNone {
				a.Decision.Outcome = txn.Approved
			}
			if full {
				a.Decision.FullFare, a.Decision.Charged, a.Decision.BalanceAfter = 500, -475, -1
				a.Decision.AuthCode = txn.AuthCode{'A', 'B', 'C', '1', '2', '3'}
				a.Decision.Replay, a.Decision.Stale = true, true
				a.Position, a.Date = txn.Position{Bucket: 1, Epoch: 1, Seq: 1}, 20261121
				a.Decision.LeaseEnded = true
			}
			validate(t, schema, s.appendDecision(nil, r, a))
			for _, until := range []txn.Millis{1_795_219_200_250, txn.LeaseNone} {
				a.Decision.LeaseUntil, a.Decision.LeaseEnded = until, false
				validate(t, schema, s.appendDecision(nil, r, a))
			}
		}
	}
}

// TestEveryErrorIsInTheContract does the same with every code and reason as an error.
func TestEveryErrorIsInTheContract(t *testing.T) {
	c := loadContract(t)
	schema := c.doc.Components.Schemas["Error"].Value
	id, _ := txn.ParseRequestID("GATE01-3-42")
	for _, code := range refusal.Codes() {
		r := refusal.Value{Code: code, Param: "amount", Next: 7}
		if code == refusal.RequestRefused {
			continue
		}
		validate(t, schema, appendError(nil, r, id))
		validate(t, schema, appendError(nil, refusal.Value{Code: code, Next: 1}, txn.RequestID{}))
		if s := r.Text().Status; s < 400 || s > 599 {
			t.Errorf("%s: status %d", code, s)
		}
		if strings.ToLower(code.String()) != code.String() {
			t.Errorf("%s is not in lower case", code)
		}
	}
	for _, reason := range txn.Reasons() {
		r := refusal.Value{Code: refusal.RequestRefused, Reason: reason}
		validate(t, schema, appendError(nil, r, id))
		if s := r.Text().Status; s < 400 {
			t.Errorf("%s as an error has status %d", reason, s)
		}
	}
}

func validate(t *testing.T, schema *openapi3.Schema, body []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%v\n%s", err, body)
	}
}

// TestParseUint reads the numbers of headers: one spelling for each.
func TestParseUint(t *testing.T) {
	good := map[string]uint64{"0": 0, "1": 1, "9007199254740991": 1<<53 - 1}
	for s, want := range good {
		if got, ok := parseUint([]byte(s)); !ok || got != want {
			t.Errorf("%q: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "1e3", "0x1",
		"9007199254740992", "99999999999999999", "１"} {
		if got, ok := parseUint([]byte(s)); ok {
			t.Errorf("%q taken as %d", s, got)
		}
	}
	for _, n := range []uint64{0, 1, counterBlock, 1<<53 - 1} {
		if got, ok := decodeCounter(encodeCounter(n)); !ok || got != n {
			t.Errorf("counter %d comes back as %d", n, got)
		}
	}
	if n, ok := decodeCounter(nil); !ok || n != 0 {
		t.Error("a counter that was never reserved is zero")
	}
	if _, ok := decodeCounter([]byte("x")); ok {
		t.Error("x is no counter")
	}
}

// TestLanes: what must never be shed is named here once more.
func TestLanes(t *testing.T) {
	priority := map[string]bool{"POST /v1/freezes": true, "POST /v1/reversals": true,
		"POST /v1/terminals/{id}:revoke": true, "POST /v1/operators/{id}:revoke": true}
	for _, r := range (&Server{}).routeTable() {
		if (r.lane == lanePriority) != priority[r.String()] {
			t.Errorf("%s: lane %d", &r, r.lane)
		}
		if (r.lane == laneBatch) != (r.bodyMax == batchBodyMax) {
			t.Errorf("%s: lane %d with a body of %d", &r, r.lane, r.bodyMax)
		}
		if (r.lane == laneFree) != (r.guard == guardNone) {
			t.Errorf("%s: lane %d with guard %d", &r, r.lane, r.guard)
		}
	}
	a := newAdmission(Limits{InFlightMax: 1, QueriesMax: 1})
	for range 100 {
		if !a.enter(lanePriority) {
			t.Fatal("a freeze was shed")
		}
	}
}

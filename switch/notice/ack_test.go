package notice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// ackRig is a rig with two parties that have keys, and a notice that both got.
func ackRig(t *testing.T) *rig {
	r := newRig(t, newMemory(t), nil)
	for _, name := range []string{"icbc", "abc"} {
		r.party(bank(name))
		if err := r.svc.Roster().SetKey(t.Context(), name, "k1", keyOf(name)); err != nil {
			t.Fatal(err)
		}
	}
	r.notify(freeze("F-1", 1))
	r.notify(freeze("F-2", 2))
	r.idle()
	r.clock.Add(int64(10 * minuteMS))
	return r
}

func keyOf(name string) []byte { return []byte(fmt.Sprintf("%-32s", name)) }

// call is a call-back; empty fields are filled with what is right.
type call struct {
	method, path, body, signature string
	signedPath                    string
	key                           []byte
	kid                           string
	signedAt                      time.Time
}

func (r *rig) call(c call) (int, string) {
	r.t.Helper()
	c.method = orDefault(c.method, http.MethodPost)
	c.path = orDefault(c.path, ackPath("F-1", "icbc"))
	c.kid = orDefault(c.kid, "k1")
	c.signedPath = orDefault(c.signedPath, c.path)
	if c.key == nil {
		c.key = keyOf("icbc")
	}
	if c.signedAt.IsZero() {
		c.signedAt = r.now().Time()
	}
	q := httptest.NewRequest(c.method, c.path, bytes.NewReader([]byte(c.body)))
	if c.signature == "" {
		c.signature = Sign(c.kid, c.key, c.signedAt, c.signedPath, []byte(c.body))
	}
	q.Header.Set(SignatureHeader, c.signature)
	w := httptest.NewRecorder()
	r.svc.AckHandler().ServeHTTP(w, q)
	var answer struct{ Code, Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Message == "" {
		return w.Code, w.Body.String()
	}
	return w.Code, answer.Code
}

// times is a body with the times so many minutes after the start; negative for none.
func times(received, effective int) string {
	field := func(minutes int) string {
		if minutes < 0 {
			return "null"
		}
		return `"` + instant(startMS+txn.Millis(minutes)*minuteMS) + `"`
	}
	return fmt.Sprintf(`{"received_at":%s,"effective_at":%s}`, field(received), field(effective))
}

func TestAckEndpoint(t *testing.T) {
	r := ackRig(t)
	other := r.clockOf("F-1", "abc")
	f := func(status int, code string, c call) {
		t.Helper()
		if gotStatus, got := r.call(c); gotStatus != status || got != code {
			t.Errorf("%d %s, want %d %s", gotStatus, got, status, code)
		}
	}
	// Who is it?
	f(401, "signature", call{body: times(1, 1), signature: "none"})
	f(401, "signature", call{body: times(1, 1), signature: "t=x,kid=k1,v1=00"})
	f(401, "signature", call{body: times(1, 1), key: keyOf("abc")})
	f(401, "signature", call{body: times(1, 1), kid: "k2"})
	f(401, "signature", call{body: times(1, 1), signedPath: ackPath("F-2", "icbc")})
	f(401, "signature", call{body: times(1, 1), path: ackPath("F-1", "nobody")})
	f(401, "signature", call{body: times(1, 1), signedAt: r.now().Time().Add(-301 * time.Second)})
	f(401, "signature", call{body: times(1, 1), signedAt: r.now().Time().Add(301 * time.Second)})
	f(401, "signature", call{body: times(1, 1), signedAt: time.Unix(-1<<62, 0)})
	// What does it say?
	f(400, "body", call{body: "garbage"})
	f(400, "body", call{body: `{"received_at":"yesterday"}`})
	f(400, "body", call{body: `{"received":1}`})
	f(400, "body", call{body: times(1, 1) + "{}"})
	f(400, "body", call{body: `{"by":"` + strings.Repeat("x", ByMax+1) + `"}`})
	f(400, "body", call{body: `{"by":"` + strings.Repeat("x", AckBodyMax) + `"}`})
	f(400, "body", call{body: `{"card":"123"}`})
	f(400, "body", call{body: `{"card":"` + strings.Repeat("0", 32) + `"}`})
	f(404, "unknown_notice", call{path: ackPath("F-9", "icbc"), body: times(1, 1)})
	f(409, "other_card", call{body: `{"card":"` + card(2).String() + `"}`})
	f(422, "no_times", call{body: `{}`})
	f(422, "in_future", call{body: times(11, -1)})
	f(422, "before_notice", call{body: `{"received_at":"1969-01-01T00:00:00Z"}`})
	f(422, "no_receipt", call{body: times(-1, 2)})
	if c := r.clockOf("F-1", "icbc"); c.State != Sent || c.Row.Contradictions != 0 {
		t.Fatalf("refused answers changed %+v", c)
	}
	// Receipt first, effect later, then both again, then something else.
	f(200, "recorded", call{body: times(2, -1)})
	f(200, "recorded", call{body: times(-1, 5)})
	f(200, "recorded", call{body: times(2, 5)})
	f(409, "contradiction", call{body: times(3, -1)})
	c := r.clockOf("F-1", "icbc")
	if c.State != Effective || c.Row.Received != startMS+2*minuteMS ||
		c.Row.Effective != startMS+5*minuteMS || c.Row.Proof != ProofCallback ||
		c.Row.Contradictions != 1 {
		t.Errorf("%+v", c)
	}
	if now := r.clockOf("F-1", "abc"); now != other {
		t.Errorf("the row of another party changed: %+v", now)
	}
	if r.clockOf("F-2", "icbc").State != Sent {
		t.Error("the notice of another card changed")
	}
}

func TestAckMethodAndPath(t *testing.T) {
	r := ackRig(t)
	if status, _ := r.call(call{method: http.MethodGet}); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	if status, _ := r.call(call{path: "/v1/notices/F-1/ack"}); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
}

// Two keys while one is changed for the other; one that is dropped is nothing at once.
func TestAckWhileKeysChange(t *testing.T) {
	r := ackRig(t)
	fresh := []byte("another key of thirty-two bytes.")
	if err := r.svc.Roster().SetKey(t.Context(), "icbc", "k2", fresh); err != nil {
		t.Fatal(err)
	}
	f := func(want int, c call) {
		t.Helper()
		c.body = times(2, -1)
		if got, code := r.call(c); got != want {
			t.Errorf("%d %s, want %d", got, code, want)
		}
	}
	f(200, call{})
	f(200, call{kid: "k2", key: fresh})
	f(401, call{kid: "k1", key: fresh})
	if err := r.svc.Roster().DropKey(t.Context(), "icbc", "k1"); err != nil {
		t.Fatal(err)
	}
	f(401, call{})
	f(200, call{kid: "k2", key: fresh})
}

func TestAckBusy(t *testing.T) {
	r := ackRig(t)
	for range AcksMax {
		r.svc.acks <- struct{}{}
	}
	if status, code := r.call(call{body: times(2, -1)}); status != 503 || code != "busy" {
		t.Errorf("%d %s", status, code)
	}
	for range AcksMax {
		<-r.svc.acks
	}
	if status, _ := r.call(call{body: times(2, -1)}); status != 200 {
		t.Errorf("%d after it", status)
	}
}

// A manual party: a letter is sent, a telephone call confirms; a person is named for both.
func TestConfirm(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	r.party(Party{Name: "water", Kind: "utility", Scopes: []string{"all"}, Channel: "manual",
		Contact: "duty desk", Answer: "explicit"})
	r.notify(freeze("F-1", 1))
	r.pass(10 * time.Minute)
	if c := r.clockOf("F-1", "water"); c.State != Queued || c.Row.Tries != 0 {
		t.Fatalf("%+v", c)
	}
	f := func(c Confirmation) {
		t.Helper()
		if _, err := r.svc.Confirm(t.Context(), "F-1", "water", c); err == nil {
			t.Errorf("%+v is confirmed", c)
		}
	}
	f(Confirmation{ReceivedAt: r.now(), Note: "call"})
	f(Confirmation{ReceivedAt: r.now(), Operator: "li"})
	f(Confirmation{ReceivedAt: r.now(), Operator: "li", Note: strings.Repeat("x", NoteMax+1)})
	ok := func(c Confirmation) {
		t.Helper()
		c.Operator = "li"
		if refused, err := r.svc.Confirm(t.Context(), "F-1", "water", c); err != nil || refused != 0 {
			t.Fatal(refused, err)
		}
	}
	ok(Confirmation{SentAt: startMS + 5*minuteMS, Note: "letter 12"})
	if c := r.clockOf("F-1", "water"); c.Basis != BySending || c.AcceptedToSent != 5*minuteMS {
		t.Errorf("%+v", c)
	}
	ok(Confirmation{ReceivedAt: r.now(), EffectiveAt: r.now(), Note: "duty desk called"})
	c := r.clockOf("F-1", "water")
	if c.State != Effective || c.Row.Proof != ProofPerson || c.Row.EffectiveBy != "li" ||
		c.Row.Note != "duty desk called" {
		t.Errorf("%+v", c)
	}
	if refused, err := r.svc.Confirm(t.Context(), "F-1", "gas", Confirmation{ReceivedAt: r.now(),
		Operator: "li", Note: "x"}); refused != UnknownParty || err != nil {
		t.Errorf("a party that is not told: %s, %v", refused, err)
	}
}

func TestNamesAreStable(t *testing.T) {
	for _, s := range []fmt.Stringer{kindEnd, channelEnd, answerEnd, proofEnd, stateEnd, basisEnd,
		refusalEnd} {
		if s.String() != "unknown" {
			t.Errorf("%T beyond its end is %s", s, s)
		}
	}
	if Freeze.String() != "freeze" || Superseded.String() != "superseded" ||
		Contradiction.String() != "contradiction" || IssuerLink.String() != "issuer_link" {
		t.Error("a name has changed")
	}
}

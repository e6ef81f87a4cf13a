package gate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/engine"
)

// batchAnswer is the answer to a batch.
type batchAnswer struct {
	Results  []map[string]any `json:"results"`
	Accepted int              `json:"accepted"`
	Declined int              `json:"declined"`
	Failed   int              `json:"failed"`
}

func readBatchAnswer(t *testing.T, a reply) batchAnswer {
	t.Helper()
	var b batchAnswer
	if a.status != 200 {
		t.Fatal(a)
	}
	if err := json.Unmarshal(a.body, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// codeOf returns what became of one entry.
func codeOf(result map[string]any) string {
	if e, ok := result["error"].(map[string]any); ok {
		return e["code"].(string)
	}
	if reason, ok := result["reason"].(string); ok {
		return reason
	}
	return result["outcome"].(string)
}

// TestBatchEntriesStandAlone mixes good entries with every kind of bad one.
func TestBatchEntriesStandAlone(t *testing.T) {
	r := newRig(t, nil)
	d, other := r.terminal("GATE01"), r.terminal("GATE02")
	r.enrol(d, cardA, cardB)
	first := r.tapBody(d, cardA)
	entries := []struct{ body, want string }{
		{first, "approved"},
		{r.tapBody(d, cardB), "approved"},
		{first, "approved"}, // the same again: a replay
		{r.tapBody(d, cardC), "card_unknown"},
		{`{"id":"GATE01-1-1"}`, "missing_field"},
		{`{}`, "missing_field"},
		{`5`, "wrong_type"},
		{`"x,]}"`, "wrong_type"},
		{`{"id":"GATE01-1-1","kind":tru}`, "malformed_json"},
		{`{"id":"a,]b\"","colour":{"a":[1,2]}}`, "unknown_field"},
		{r.tapBody(other, cardA), "id_mismatch"},
		{strings.Replace(first, "GATE01-", "GATE01-0", 1), "request_id_invalid"},
		{strings.Replace(first, cardA, cardB, 1), "request_id_reused"}, // for another card
		{r.tapBody(d, cardA), "approved"},
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.body
	}
	body := "{ \"taps\" : [ " + strings.Join(list, " ,\n ") + " ] }"
	b := readBatchAnswer(t, r.send(d, "/v1/taps:batch", body))
	for i, e := range entries {
		if got := codeOf(b.Results[i]); got != e.want {
			t.Errorf("entry %d %s: %s, want %s", i, e.body, got, e.want)
		}
	}
	if b.Results[2]["replay"] != true || b.Results[0]["replay"] != nil {
		t.Errorf("replay: %v, %v", b.Results[0], b.Results[2])
	}
	if b.Accepted != 4 || b.Declined != 1 || b.Failed != 9 {
		t.Errorf("accepted %d, declined %d, failed %d", b.Accepted, b.Declined, b.Failed)
	}
	id := b.Results[10]["error"].(map[string]any)["request_id"]
	if s, _ := id.(string); !strings.HasPrefix(s, "GATE02-") {
		t.Errorf("request id of a refused entry: %v", id)
	}
	a := r.send(d, "/v1/balances", r.balanceBody(d))
	if a.field("balance") != 9600.0 {
		t.Errorf("two rides: %v", a)
	}
}

func TestBatchLimits(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	many := func(n int) string {
		return `{"taps":[` + strings.Repeat("1,", n-1) + `1]}`
	}
	b := readBatchAnswer(t, r.send(d, "/v1/taps:batch", many(BatchMax)))
	if len(b.Results) != BatchMax || b.Failed != BatchMax {
		t.Errorf("%d results, %d failed", len(b.Results), b.Failed)
	}
	for _, c := range []struct {
		body   string
		status int
		code   string
	}{
		{many(BatchMax + 1), 413, "batch_too_large"},
		{`{"taps":[]}`, 400, "batch_empty"},
		{`{"taps":[ ]}`, 400, "batch_empty"},
		{`{}`, 400, "missing_field"},
		{`{"taps":{}}`, 400, "wrong_type"},
		{`{"taps":null}`, 400, "wrong_type"},
		{`{"cards":[1]}`, 400, "unknown_field"},
		{`{"taps":[1],"taps":[1]}`, 400, "duplicate_field"},
		{`{"taps":[1],"x":[1]}`, 400, "unknown_field"},
		{`[1]`, 400, "wrong_type"},
		{`{"taps":[1]`, 400, "malformed_json"},
		{`{"taps":[1}`, 400, "malformed_json"},
		{`{"taps":[1,]}`, 400, "malformed_json"},
		{`{"taps":[{"a":"x]}`, 400, "malformed_json"},
		{`{"taps":[1]}x`, 400, "trailing_bytes"},
		{`{"taps":[` + strings.Repeat("[", 100), 400, "nesting_too_deep"},
		{``, 400, "malformed_json"},
	} {
		a := r.send(d, "/v1/taps:batch", c.body)
		if a.status != c.status || a.code() != c.code {
			t.Errorf("%.60s: %v, want %s", c.body, a, c.code)
		}
	}
}

// TestBatchAsUsual sends 5,000 taps of 500 cards; each is decided, and all add up.
func TestBatchAsUsual(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	const cards = 500
	number := func(i int) string { return fmt.Sprintf("31048000000%05d", i) }
	var b strings.Builder
	for i := range cards {
		b.WriteString(fieldsOf("card", number(i), "apps", []string{"all"}, "rider", "ordinary") + ",")
	}
	a := r.desk(RoleDesk, "POST", "/v1/cards:batch", `{"cards":[`+strings.TrimSuffix(b.String(), ",")+`]}`)
	if got := readBatchAnswer(t, a); got.Accepted != cards {
		t.Fatalf("enrolled %d", got.Accepted)
	}
	b.Reset()
	for i := range BatchMax {
		b.WriteString(fieldsOf("id", r.id(d), "kind", "bus_boarding", "card", number(i%cards),
			"service_time", r.serviceTime(), "full_fare", 0, "charged", 0) + ",")
	}
	a = r.send(d, "/v1/taps:batch", `{"taps":[`+strings.TrimSuffix(b.String(), ",")+`]}`)
	if got := readBatchAnswer(t, a); got.Accepted != BatchMax {
		t.Errorf("accepted %d, declined %d, failed %d", got.Accepted, got.Declined, got.Failed)
	}
	if n := r.observer.count("approved"); n != BatchMax+cards {
		t.Errorf("%d decisions counted", n)
	}
}

// TestBatchVerdicts: an entry whose outcome is unknown is told as an error of its own.
func TestBatchVerdicts(t *testing.T) {
	e := &answering{engine.Answer{Err: engine.ErrInDoubt}}
	r := newRig(t, func(o *Options) { o.Engine = e })
	d := r.terminal("GATE01")
	a := r.send(d, "/v1/taps:batch", `{"taps":[`+r.tapBody(d, cardA)+`]}`)
	b := readBatchAnswer(t, a)
	if codeOf(b.Results[0]) != "outcome_unknown" || b.Failed != 1 {
		t.Errorf("got %v", a)
	}
}

func TestEnrolBatchEntries(t *testing.T) {
	r := newRig(t, nil)
	card := fieldsOf("card", cardA, "apps", []string{"all"}, "rider", "ordinary")
	a := r.desk(RoleDesk, "POST", "/v1/cards:batch",
		`{"cards":[`+card+`,`+card+`,{"card":"x"}]}`)
	b := readBatchAnswer(t, a)
	if codeOf(b.Results[0]) != "approved" || codeOf(b.Results[1]) != "card_exists" ||
		codeOf(b.Results[2]) != "missing_field" {
		t.Errorf("got %v", a)
	}
}

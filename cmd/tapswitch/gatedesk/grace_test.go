package gatedesk

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

const graceAnswer = `{"run":{"id":"h2kq","phase":"done","by":"ada","second":"ben","journeys":2,"sum":850,"given":1,
 "given_sum":700,"more":3},"journeys":[{"card":"0402ca00000000000000000000000000","last4":"1234","cause":"incomplete",
 "record":"b001-1-4","date":"2026-11-21","at_ms":1800000000000,"to":"South","charged":700,"back":700,"state":"given"},
 {"last4":"9876","cause":"overtime","record":"b002-1-4","date":"2026-11-21","at_ms":1800000000000,"from":"North",
 "to":"South","charged":650,"back":150,"state":"refused","reason":"card_replaced"}],"total":2,"waits":0,"sum":0}`

func TestGrace(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		asked   string
		printed []string
	}{
		"show": {[]string{"show", "o/1"}, "GET /v1/grace/o%2F1 ", []string{"*1234", "incomplete", "b001-1-4", "?",
			"refused card_replaced", "2 journeys; 0 wait", "run h2kq: done, 2 journeys, 850 fen, by ada and ben; " +
				"given back: 1, 700 fen; 3 more"}},
		"propose": {[]string{"propose", "o1"}, "POST /v1/grace/o1/propose {}", []string{"*9876"}},
		"confirm": {[]string{"confirm", "o1", "--run", "h2kq", "--journeys", "2", "--sum", "850"},
			`POST /v1/grace/o1/confirm {"journeys":2,"run":"h2kq","sum":850}`, []string{`"phase": "done"`}},
		"drop": {[]string{"drop", "o1"}, "POST /v1/grace/o1/drop {}", nil},
		"run":  {[]string{"run", "o1"}, "GET /v1/grace/o1/run ", []string{"overtime", "150"}},
	} {
		asked, printed, err := run(t, http.StatusOK, graceAnswer, append([]string{"grace"}, c.args...)...)
		if err != nil || asked != c.asked {
			t.Errorf("%s: asked %q, want %q: %v", name, asked, c.asked, err)
		}
		for _, text := range c.printed {
			if !strings.Contains(printed, text) {
				t.Errorf("%s: no %q in %s", name, text, printed)
			}
		}
		if c.args[0] != "confirm" && c.args[0] != "drop" && strings.Contains(printed, "0402ca") {
			t.Errorf("%s: a whole card: %s", name, printed)
		}
	}
	if asked, _, err := run(t, http.StatusOK, "{}", "grace", "confirm", "o1"); err == nil || asked != "" {
		t.Errorf("without the list: asked %q, %v", asked, err)
	}
	const refused = `{"error":{"code":"second_person_needed","message":"who proposed the list cannot confirm it"}}`
	_, _, err := run(t, http.StatusConflict, refused, "grace", "confirm", "o1", "--run", "r", "--journeys", "1", "--sum", "1")
	if cli.Code(err) != cli.ExitConflict || !strings.Contains(err.Error(), "second_person_needed") {
		t.Errorf("%v", err)
	}
}

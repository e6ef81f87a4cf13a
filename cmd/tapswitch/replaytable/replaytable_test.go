package replaytable_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/replaytable"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
)

// What is not explained stands first, and a long list is cut with its count.
func TestWrite(t *testing.T) {
	r := &szt.Report{Kinds: map[string]int64{"bus_boarding": 7}, Declined: map[string]int{"pass_back": 1},
		Operators: []szt.OperatorLine{{Operator: "巴士集团", FullFare: 123456}},
		Days:      []szt.DayLine{{Date: "2018-09-01"}}, Unexplained: 1}
	for range 55 {
		r.Differences = append(r.Differences, szt.Difference{Line: 3, Cause: "row", Explained: true, OfLine: 2})
	}
	r.Differences = append(r.Differences, szt.Difference{Cause: "lost", FullFare: -205})
	var b bytes.Buffer
	if err := replaytable.Write(&b, cli.Table, r); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"1234.56", "declined pass_back  1", "bus_boarding  7", "2018-09-01",
		"unexplained: 1", "-2.05", "same as line 2", "and 6 more"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Index(text, "lost") > strings.Index(text, "same as") {
		t.Errorf("the unexplained is not first:\n%s", text)
	}
	b.Reset()
	if err := replaytable.Write(&b, cli.JSON, r); err != nil || !strings.HasPrefix(b.String(), "{") {
		t.Errorf("%v: %s", err, b.String())
	}
}

package desk

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

func drawn(draw func(*page)) string {
	var p page
	draw(&p)
	var b bytes.Buffer
	if err := p.flush(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestMoments(t *testing.T) {
	was := time.Local
	defer func() { time.Local = was }()
	time.Local = time.FixedZone("CST", 8*3600)
	for text, want := range map[string]string{"": "", "2026-03-02": "2026-03-02", "later": "later",
		"2026-03-02T01:00:00Z": "2026-03-02 09:00:00", "2026-03-02T01:00:00.125Z": "2026-03-02 09:00:00"} {
		if got := moment(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if zone() != "CST (+08:00)" || local(time.Time{}) != "" {
		t.Errorf("%s", zone())
	}
}

func TestSums(t *testing.T) {
	for fen, want := range map[int64]string{0: "0.00", 5: "0.05", 1200: "12.00", -7: "-0.07",
		-12345: "-123.45"} {
		if got := yuan(fen); got != want {
			t.Errorf("%d: %s, want %s", fen, got, want)
		}
	}
	if share(1, 0) != "no gate is registered" || share(118, 120) != "118 of 120 gates (98.3 %)" {
		t.Errorf("%s, %s", share(1, 0), share(118, 120))
	}
}

// A list without rows says so; an empty cell shows that it is empty.
func TestTables(t *testing.T) {
	out := drawn(func(p *page) {
		p.list("ONE", "none", [][]string{{"A", "B"}})
		p.list("TWO", "none", [][]string{{"A", "B"}, {"", "x"}})
	})
	if want := "ONE\n  none\n\nTWO\n  A  B\n  -  x\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// What a case waits for is said with the command that does it.
func TestNextStep(t *testing.T) {
	for _, c := range []struct{ kind, state, want string }{
		{"release", "waiting", "confirm 7 --account a"}, {"complaint", "waiting",
			"confirm 7 --account a"},
		{"complaint", "received", ""}, {"application", "accepted",
			"issue_card --set case=7 --account a"},
		{"replacement", "received", "replace accept 7"}, {"renewal", "accepted", "renew make 7"},
		{"renewal", "sent", "renew make 7"}, {"replacement", "made", "replace issue 7"},
		{"cancellation", "received", "settle fees,balance, then: tapswitch desk cancel complete 7"},
	} {
		d := done{Account: "a", Case: 7}
		d.Document.Cases = []openCase{{No: 7, Kind: c.kind, State: c.state, Left: []string{"fees",
			"balance"}}}
		if got := d.next(); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s %s: %q, want %q", c.kind, c.state, got, c.want)
		}
	}
	if (&done{Case: 8}).next() != "" {
		t.Error("a case that is not open waits for something")
	}
}

// What is in force is told with all that is known of it.
func TestInForce(t *testing.T) {
	out := drawn(func(p *page) {
		p.inForce(&document{Restrictions: []restriction{{Reason: "suspended",
			Scope: []string{"social"}, Closed: true,
			LapsesAt: "2026-03-05T00:00:00Z", Fault: "rented", Decision: "2026-17", By: "wang"}}})
	})
	for _, want := range []string{"suspended, social, since", "no. 2026-17, finding: rented",
		"lapses 2026-03-05",
		"not yet on every card", "can never be released", "taken down by wang;"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

// A party that is late stands out, and a clock without proof of receipt is marked.
func TestClocks(t *testing.T) {
	out := drawn(func(p *page) {
		p.notice(&noticeView{ID: "n1", Kind: "freeze", Card: "****0001", Clause: "HD19",
			Closed: true, Clocks: []clock{
				{Party: "bus", State: "sent", Basis: "sending", Deadline: "2026-03-02T03:00:00Z",
					Overdue: true, Alarms: 3,
					Failure: "http status 500"},
				{Party: "bank", State: "effective", Basis: "receipt", Late: true,
					Deadline: "2026-03-02T03:00:00Z"},
			}})
	})
	for _, want := range []string{"closed", "(from sending)", "OVERDUE", "LATE", "http status 500",
		"notice n1"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	n := &noticeView{Clocks: []clock{{Party: "bus", Overdue: true}, {Party: "bank",
		Effective: "x"}}}
	if got := parties(n); got != "1 of 2 effective, late: bus" || parties(nil) != "" {
		t.Errorf("%s", got)
	}
}

// How far a freeze has come: not published, published, and gates behind that are not shown.
func TestGates(t *testing.T) {
	if out := drawn(func(p *page) { p.gates(&gates{FrozenAt: "2026-03-02T01:00:00Z"}) }); !strings.Contains(out,
		"in no published list yet") {
		t.Error(out)
	}
	out := drawn(func(p *page) {
		p.gates(&gates{Epoch: 9, Covered: 2, Total: 4, Restored: 1, MoreBehind: 3,
			Behind:    []behind{{Epoch: 8}},
			Operators: []group{{"bus", 2, 4}}, Timeline: []minute{{Minutes: 30, Covered: 2,
				Total: 4}}})
	})
	for _, want := range []string{"2 of 4 gates (50.0 %)", "1 of these were not heard of",
		"and 3 more", "OPERATOR",
		"after 30 min 2/4"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	for want, g := range map[string]*gates{"": nil, "not published": {}, "2/4": {Published: true,
		Covered: 2, Total: 4}} {
		if got := brief(g); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A chain of three cards is told from its first; one that bites its tail ends.
func TestChain(t *testing.T) {
	doc := &document{Carriers: []carrier{{Token: "c", Last4: "****0003"}}, Former: []former{
		{Token: "a", Last4: "****0001", Successor: "b"}, {Token: "b", Last4: "****0002",
			Successor: "c"}}}
	out := drawn(func(p *page) { p.chain(&inForce{Document: doc}) })
	if !strings.Contains(out, "replaced: ****0001 -> ****0002 -> ****0003") || strings.Count(out,
		"replaced: ") != 1 {
		t.Error(out)
	}
	doc.Former = append(doc.Former, former{Token: "x", Successor: "y"}, former{Token: "y",
		Successor: "y"})
	if out := drawn(func(p *page) { p.chain(&inForce{Document: doc}) }); len(out) > 4*chainMax {
		t.Errorf("%d bytes", len(out))
	}
}

// Only what may have been carried out is in doubt; what is left of a cancellation is told.
func TestRefusals(t *testing.T) {
	d := &client{Client: call.Client{Lang: call.Chinese, Advise: advise}}
	err := d.Refusal(http.StatusConflict,
		[]byte(`{"error":{"code":"not_settled","message":"m","message_zh":"未办结","left":["fees","cases"]}}`))
	if got := err.Error(); !strings.HasPrefix(got, "not_settled: 未办结: fees, cases\n  办结") ||
		call.CodeOf(err) != "not_settled" {
		t.Errorf("%s", got)
	}
	for status, want := range map[int]bool{400: false, 403: false, 409: false, 500: true, 502: true,
		503: true} {
		if got := call.Doubtful(d.Refusal(status, nil)); got != want {
			t.Errorf("%d: doubtful %v", status, got)
		}
	}
	if !call.Doubtful(cli.WithCode(cli.ExitUnavailable, errors.New("broke off"))) || call.Doubtful(nil) ||
		call.Doubtful(usage("x")) {
		t.Error("doubt about a call that was never made, or none about one that broke off")
	}
}

// Nested names build objects; a name that the file gives another form is refused.
func TestPut(t *testing.T) {
	m := map[string]any{"form": "written"}
	if err := errors.Join(put(m, "who.actor", "holder"), put(m, "who.id", "passport"), put(m,
		"form", "oral")); err != nil {
		t.Fatal(err)
	}
	who, _ := m["who"].(map[string]any)
	if len(who) != 2 || who["id"] != "passport" || m["form"] != "oral" {
		t.Errorf("%v", m)
	}
	if put(m, "form.x", 1) == nil {
		t.Error("a text became an object")
	}
}

// The fields of a list of records are one field.
func TestJoined(t *testing.T) {
	got := joined([]stepField{{"fault", "text"}, {"txns[].bucket", "x"}, {"txns[].seq", "number"},
		{"undo", "true or false"}})
	if len(got) != 3 || got[1].Name != "txns" {
		t.Errorf("%v", got)
	}
	value, err := got[1].value(nil, "b017-1-42,b017-1-43")
	if list, ok := value.([]string); err != nil || !ok || len(list) != 2 {
		t.Errorf("%v, %v", value, err)
	}
}

func TestMasked(t *testing.T) {
	for number, want := range map[string]string{cardA: "****0001",
		"3104 8000 0000 0002": "****0002", "0001": "",
		testHex: "", "": ""} {
		if got := masked(number); got != want {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
}

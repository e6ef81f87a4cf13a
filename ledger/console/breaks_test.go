package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// shelf is a list of breaks as reconciliation leaves them: of every kind, in every state.
type shelf struct {
	all []Break
	at  time.Time
}

func (s *shelf) List(_ context.Context, f BreakFilter) (BreakList, error) {
	l := BreakList{Run: "clearing 2026-03-01 #3", RunAt: s.at}
	for _, b := range s.all {
		if (f.State == "" || f.State == b.State) && (f.Kind == "" || f.Kind == b.Kind) && (f.Owner == "" || f.Owner == b.Owner) {
			l.Breaks = append(l.Breaks, b)
		}
	}
	return l, nil
}

func (s *shelf) Show(_ context.Context, id string) (*Break, error) {
	for i := range s.all {
		if s.all[i].ID == id {
			return &s.all[i], nil
		}
	}
	return nil, ErrNone
}

func (s *shelf) Act(context.Context, string, BreakAction) error { return nil }

// newShelf has a break for each kind; the first is about a record of the ledger.
func newShelf(r *rig) *shelf {
	record := r.ledger.All()[0]
	for _, x := range r.ledger.All() {
		if !x.Kind.IsMarker() && x.Outcome == txn.Approved {
			record = x
			break
		}
	}
	row := []Field{{"id", record.Position.String()}, {"kind", "bank_purchase"}, {"status", "approved"}, {"last4", "1234"},
		{"terminal", "T0000001"}, {"batch", "000007"}, {"stan", "000123"}, {"rrn", "632701000016"}, {"amount", "123456"},
		{"date", day.String()}, {"time", "2026-03-01T03:15:00Z"}}
	s := &shelf{at: r.clock.now()}
	states := (&breaksPage{}).States()
	for i, kind := range (&breaksPage{}).Kinds() {
		b := Break{ID: "5f0c7b1e9a2d3c4" + string(rune('0'+i)), State: states[i%len(states)], Kind: kind, Side: "ours",
			Cause: "missing_batch", Counterparty: "clearing", Date: day, Amount: int64(-150 * (i + 1)), Currency: 156, AgeDays: i,
			Owner: []string{"li.na", "clearing-desk"}[i%2], Evidence: []string{"none of the 4 rows of terminal T0000001 arrived"},
			Ours: row, History: []BreakEvent{{r.clock.now(), "mei", "opened", "run 3: " + kind}}}
		if kind == "claim" {
			b.Side, b.Ours, b.Claim = "claims", nil, []Field{{"terminal", "T0000002"}, {"batch", "000001"}, {"amount", "4200"}}
		}
		if kind == "amount" {
			b.Theirs = row
		}
		s.all = append(s.all, b)
	}
	return s
}

// shelved is a console with content on its pages of breaks.
func shelved(t *testing.T) (*rig, *shelf) {
	t.Helper()
	var s *shelf
	r := newRig(t, func(o *Options) {
		s = newShelf(o.Trail.(*rig))
		o.Breaks = s
	})
	return r, s
}

// The list with content: every break with its words in both languages, the filters choose, and
// each row leads to its break by the first thing that Tab reaches in it.
func TestBreaksWithContent(t *testing.T) {
	r, s := shelved(t)
	b := r.signIn("finance")
	for lang, words := range map[string][]string{
		english: {"claim of totals", "missing batch", "Terminals and operators", "ours only", "−¥1.50", "li.na", "proposed"},
		chinese: {"批总额不符", "批次缺失", "终端与运营企业", "仅我方", "−¥1.50", "li.na"},
	} {
		b.lang = lang
		b.get("/console/breaks?lang=" + lang)
		a := b.get("/console/breaks")
		checkPage(t, "/console/breaks", lang, a)
		for _, word := range words {
			if !strings.Contains(a.page.text(), word) {
				t.Errorf("%s: no %q in %s", lang, word, a.page.text())
			}
		}
		rows := a.page.all("tbody")[0].all("tr")
		if len(rows) != len(s.all) {
			t.Fatalf("%d rows of %d", len(rows), len(s.all))
		}
		for i, row := range rows {
			links := row.all("a")
			if len(links) != 1 || links[0].attr["href"] != "/console/breaks/"+s.all[i].ID {
				t.Errorf("row %d leads nowhere, or to several places", i)
				continue
			}
			checkPage(t, links[0].attr["href"], lang, b.get(links[0].attr["href"])) // Enter
		}
	}
	for query, want := range map[string]int{"": 9, "?kind=claim": 1, "?state=open": 3, "?owner=li.na": 5,
		"?state=open&kind=amount": 0, "?state=open&owner=li.na&kind=ours_only": 1} {
		a := b.get("/console/breaks" + query)
		n := 0
		for _, body := range a.page.all("tbody") {
			n += len(body.all("tr"))
		}
		if n != want {
			t.Errorf("%q shows %d, want %d", query, n, want)
		}
		for _, part := range strings.Split(strings.TrimPrefix(query, "?"), "&") {
			name, value, ok := strings.Cut(part, "=")
			if ok && name != "owner" && a.page.first("option", "selected", "") == nil &&
				!strings.Contains(a.body, `value="`+value+`" selected`) {
				t.Errorf("the filter forgot %s", part)
			}
		}
	}
}

// Tab goes through a page in the order of reading: the skip link, the menu, the filters, then the
// rows; nothing has an order of its own, and nothing that a person must reach is left out.
func TestTabOrderOfBreaks(t *testing.T) {
	r, s := shelved(t)
	b := r.signIn("finance")
	var order func(n *node) []*node
	order = func(n *node) (all []*node) {
		for _, k := range n.kids {
			if slices.Contains([]string{"a", "button", "input", "select", "textarea", "summary"}, k.name) && k.attr["type"] != "hidden" {
				all = append(all, k)
			}
			all = append(all, order(k)...)
		}
		return all
	}
	at := func(all []*node, is func(n *node) bool) int { return slices.IndexFunc(all, is) }
	a := b.get("/console/breaks")
	stops := order(a.page)
	named := func(name string) func(n *node) bool {
		return func(n *node) bool { return n.attr["name"] == name }
	}
	places := []int{at(stops, func(n *node) bool { return n.attr["href"] == "#main" }),
		at(stops, func(n *node) bool { return n.attr["aria-current"] == "page" }), at(stops, named("state")),
		at(stops, named("kind")), at(stops, named("owner")),
		at(stops, func(n *node) bool { return n.attr["href"] == "/console/breaks/"+s.all[0].ID })}
	if places[0] != 0 || !slices.IsSorted(places) || places[1] < 0 {
		t.Errorf("Tab stops at %v", places)
	}
	keys := map[string]string{}
	for _, n := range stops {
		if key := n.attr["accesskey"]; key != "" {
			keys[key] = n.attr["href"]
		}
		if i := n.attr["tabindex"]; i != "" && i != "0" {
			t.Errorf("<%s> has tabindex %s", n.name, i)
		}
	}
	for _, row := range b.get("/console/help").page.all("tbody")[0].all("tr") {
		key := row.all("kbd")[0].text()
		href := "#main"
		if links := row.all("a"); len(links) > 0 {
			href = links[0].attr["href"]
		}
		if keys[key] != href {
			t.Errorf("the help promises %s for %s, the page of breaks has %q", key, href, keys[key])
		}
	}
	forms := order(b.get("/console/breaks/" + s.all[0].ID).page)
	places = []int{at(forms, named("owner")), at(forms, named("note")), at(forms, named("resolution"))}
	if places[0] < 0 || !slices.IsSorted(places) {
		t.Errorf("the forms of a break stop at %v", places)
	}
}

// From a break to the transaction and its explanation, with the purpose noted; a claim has none.
// Rows stand there as a person writes them.
func TestFromABreakToItsTransaction(t *testing.T) {
	r, s := shelved(t)
	b := r.signIn("finance")
	path := "/console/breaks/" + s.all[0].ID
	a := b.get(path)
	for _, want := range []string{"¥1,234.56", "11:15:00", "approved"} {
		if !strings.Contains(a.page.text(), want) {
			t.Errorf("no %s in %s", want, a.page.text())
		}
	}
	if strings.Contains(a.page.text(), "bank_purchase") {
		t.Errorf("codes on the page: %s", a.page.text())
	}
	var fields []string
	for _, f := range a.page.all("form") {
		if f.attr["action"] != "/console/search" {
			continue
		}
		for _, in := range f.all("input") {
			if in.attr["name"] != "csrf" {
				fields = append(fields, in.attr["name"], in.attr["value"])
			}
		}
	}
	if len(fields) != 10 {
		t.Fatalf("no way to the transaction: %v", fields)
	}
	found := b.post("/console/search", fields...)
	if found.status != http.StatusSeeOther {
		t.Fatalf("%d %s", found.status, found.page.text())
	}
	result := b.counted(found.location)
	story := b.get(found.location + "/1")
	if story.status != http.StatusOK || len(story.page.first("section", "aria-labelledby", "h-why").all("li")) == 0 ||
		!strings.Contains(story.page.text(), s.all[0].Ours[0].Value) {
		t.Errorf("%d %s\n%s", story.status, story.page.text(), result.page.text())
	}
	if lines := r.noted("record"); len(lines) != 1 || !strings.Contains(lines[0].Purpose, s.all[0].ID) {
		t.Errorf("the trail has %+v", lines)
	}
	claim := b.get("/console/breaks/" + s.all[slices.IndexFunc(s.all, func(b Break) bool { return b.Kind == "claim" })].ID)
	if strings.Contains(claim.body, `action="/console/search"`) || !strings.Contains(claim.page.text(), "¥42.00") {
		t.Errorf("a claim: %s", claim.page.text())
	}
	// Who may only read has neither the forms nor holders' records.
	for role, forms := range map[string]int{"viewer": 0, "supervisor": 1} {
		a := r.signIn(role).get(path)
		n := 0
		for _, f := range a.page.all("main")[0].all("form") {
			if f.first("input", "name", "csrf") == nil {
				t.Errorf("%s: a form without its secret", role)
			}
			n++
		}
		if a.status != http.StatusOK || n != forms {
			t.Errorf("%s: %d, %d forms", role, a.status, n)
		}
	}
}

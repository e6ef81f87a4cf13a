package console

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/ledger/console/trail"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/desk/coverage"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// day is the business date of the tests; it begins at midnight in China.
const day = warehousetest.Day

// hostile is a name that a terminal, a bank or a person could have chosen.
const hostile = `<script>alert(1)</script>"'&`

// rig is a console with everything behind it in memory.
type rig struct {
	t      *testing.T
	s      *Server
	server *httptest.Server
	ledger *book
	clock  *hands
	chain  *warehousetest.Chain

	mu       sync.Mutex // guards the fields below
	people   map[session.Sum]session.Person
	unrun    bool // nothing was reconciled yet
	peopleNo error
	lines    []trail.Line
	trailNo  error
	acts     []BreakAction
	actNo    error
}

type hands struct {
	mu sync.Mutex
	at time.Time
}

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hands) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// book is a ledger in memory that tells hours.
type book struct {
	*warehousetest.Memory
	mu   sync.Mutex
	fail error
	hold chan struct{}
}

func (b *book) Records(ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error) error {
	b.mu.Lock()
	hold, fail := b.hold, b.fail
	b.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail != nil {
		return fail
	}
	return b.Memory.Records(ctx, f, yield)
}

func (b *book) Hours(_ context.Context, date txn.BusinessDate, begin txn.Millis) (h warehouse.Hours, err error) {
	for _, r := range b.All() {
		if r.BusinessDate == date && warehouse.Volume(r.Kind) {
			h.At(r.ServiceAt, begin).Add(r.Outcome.String(), 1)
		}
	}
	return h, nil
}

// token of a role in the tests.
func tokenOf(role string) string { return "token-of-" + role }

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &hands{at: time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)}, people: map[session.Sum]session.Person{}}
	for _, role := range append([]string{"vendor", "authority"}, everyone...) {
		r.people[session.SumOf(tokenOf(role))] = session.Person{Name: "p." + role, Roles: []string{role}}
	}
	r.ledger = &book{Memory: warehousetest.NewMemory()}
	chain := warehousetest.NewChain(7)
	r.chain = chain
	records := chain.Batch(600)
	for i := range records {
		if !records[i].Kind.IsMarker() {
			records[i].ServiceAt = txn.MillisOf(time.Date(2026, 3, 1, i%24, 5, 0, 0, time.UTC)) - 8*3600*1000
		}
	}
	odd := chain.Next(3)
	odd.Place.Operator, odd.Place.Station, odd.Outcome, odd.Reason = hostile, hostile, txn.Declined, txn.CardFrozen
	odd.Postings, odd.Discounts, odd.Charged, odd.RRN = nil, nil, 0, "RRN000000001"
	if err := r.ledger.Append(t.Context(), append(records, odd, chain.Bank(3))); err != nil {
		t.Fatal(err)
	}
	o := Options{Operators: r, Trail: r, Ledger: r.ledger, Live: r, Freezes: r, Banks: fakeBanks{}, Days: fakeDays{},
		Settlements: fakeRuns{}, Breaks: r, Now: r.clock.now, City: Name{"邯郸", "Handan"},
		Parties: map[string]Name{"bank": {"银行", "Bank"}}, Today: func() txn.BusinessDate { return day },
		Begin: func(d txn.BusinessDate) txn.Millis { return txn.MillisOf(d.Time()) - 8*3600*1000 }}
	if change != nil {
		change(&o)
	}
	var err error
	if r.s, err = New(o); err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(r.s)
	t.Cleanup(func() {
		r.server.Close()
		r.s.Close()
	})
	return r
}

func (r *rig) Find(_ context.Context, token session.Sum) (session.Person, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.people[token]
	return p, ok, r.peopleNo
}

func (r *rig) Write(l trail.Line) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trailNo == nil {
		r.lines = append(r.lines, l)
	}
	return r.trailNo
}

func (r *rig) Recent(n int) []trail.Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []trail.Line
	for i := len(r.lines) - 1; i >= 0 && len(out) < n; i-- {
		out = append(out, r.lines[i])
	}
	return out
}

// noted returns the lines of an action.
func (r *rig) noted(action string) (found []trail.Line) {
	for _, l := range r.Recent(1 << 20) {
		if l.Action == action {
			found = append(found, l)
		}
	}
	return found
}

func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *rig) Live() LiveView {
	v := LiveView{Since: r.clock.now().Add(-time.Hour), Approved: 1_234_567, Declined: 89, P50: 300 * time.Microsecond,
		P95: time.Millisecond, P99: 4 * time.Millisecond, Sampled: 1000, ListKnown: true, ListAge: 2 * time.Second, Pending: 12}
	for i := range 60 {
		v.Minutes = append(v.Minutes, Minute{At: r.clock.now().Add(time.Duration(i-60) * time.Minute),
			Approved: int64(1000 + i), Declined: int64(i)})
	}
	return v
}

func (r *rig) City(context.Context) (*City, error) {
	now := r.clock.now()
	at := func(m int) *time.Time { t := now.Add(time.Duration(m) * time.Minute); return &t }
	c := &City{Lists: true, Notifies: true, Coverage: coverage.Coverage{Epoch: 7, PublishedAt: at(-5), ConfirmedAt: at(-1), Covered: 3,
		Total: 4, Operators: []coverage.Part{{Name: "M5", Covered: 3, Total: 4}}, Lines: []coverage.Part{{Name: hostile, Covered: 3, Total: 4}}}}
	var b coverage.Behind
	b.Device.Terminal, b.Device.Operator, b.Device.Station, b.Seen = "GATE04", "M5", hostile, at(-90)
	c.Coverage.Behind = []coverage.Behind{b}
	c.Notices = []Notice{{ID: "n1", Kind: "freeze", Card: "****4321", Token: "00112233445566778899aabbccddeeff",
		Reason: "lost", Accepted: at(-130), Clause: "HD19", Clocks: []NoticeClock{
			{Party: "bank", State: "effective", Start: at(-129), Deadline: at(-9), Effective: at(-100)},
			{Party: hostile, State: "sent", Start: at(-129), Deadline: at(-9), Overdue: true, Failure: hostile},
			{Party: "transit", State: "received", Start: at(-20), Deadline: at(100)}}}}
	return c, nil
}

type fakeBanks struct{}

func (fakeBanks) Status(context.Context) (*BankStatus, error) {
	b := &BankStatus{Queued: 2, Dead: 1}
	l := BankLink{Name: "ICBC", Up: true, InFlight: 3}
	l.Connections = append(l.Connections, struct {
		Address string    `json:"address"`
		State   string    `json:"state"`
		Since   time.Time `json:"since"`
		Cause   string    `json:"cause"`
	}{"127.0.0.1:9", "up", time.Time{}, hostile})
	b.Links = []BankLink{l, {Name: "CCB"}}
	return b, nil
}

type fakeDays struct{}

func (fakeDays) State(_ context.Context, d txn.BusinessDate) (DayState, bool, error) {
	return DayState{State: "certified", Since: d.Time(), By: "li"}, d == 20260228, nil
}

type fakeRuns struct{}

func (fakeRuns) Runs(_ context.Context, d txn.BusinessDate, _ int) ([]Run, error) {
	if d != 0 && d != day {
		return nil, nil
	}
	return []Run{{Number: "S20260301-2", Date: day, Made: day.Time(), By: "li", Corrects: "S20260301-1",
		Nets:  []Net{{Party: "M5", Currency: 156, Gross: 10_000, Adjusted: 465, Net: 10_465}},
		Files: []File{{Name: "summary.csv", Size: 12, SHA256: "ab"}}}}, nil
}

func (fakeRuns) Open(_ context.Context, run, file string) (io.ReadCloser, error) {
	if run != "S20260301-2" || file != "summary.csv" {
		return nil, fmt.Errorf("%s/%s: %w", run, file, ErrNone)
	}
	return io.NopCloser(strings.NewReader("a,b\n1,2\n")), nil
}

func (r *rig) List(_ context.Context, f BreakFilter) (BreakList, error) {
	b, err := r.Show(context.Background(), "B-1")
	if r.unrun {
		return BreakList{}, err
	}
	if f.State != "" && f.State != b.State {
		return BreakList{Run: "R7", RunAt: r.clock.now()}, err
	}
	return BreakList{Breaks: []Break{*b}, Next: "B-1", Run: "R7", RunAt: r.clock.now()}, err
}

func (r *rig) Show(_ context.Context, id string) (*Break, error) {
	if id != "B-1" {
		return nil, ErrNone
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &Break{ID: id, State: "open", Kind: "amount", Side: "ours", Cause: "clock_skew", Counterparty: "ICBC", Date: day,
		Amount: -150, Currency: 156, AgeDays: 3, Evidence: []string{hostile}, Ours: []Field{{"rrn", hostile}}}
	for _, a := range r.acts {
		b.History = append(b.History, BreakEvent{r.clock.now(), a.Actor, a.Step, a.Note})
		if a.Step == StepResolve {
			b.State, b.Resolution = "resolved", a.Resolution
			if a.Resolution == "written_off" {
				b.State = "proposed"
			}
		}
		if a.Step == StepReopen {
			b.State = "open"
		}
	}
	return b, nil
}

func (r *rig) Act(_ context.Context, _ string, a BreakAction) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.actNo == nil {
		r.acts = append(r.acts, a)
	}
	return r.actNo
}

// browser keeps cookies and follows nothing by itself.
type browser struct {
	r      *rig
	client *http.Client
	lang   string
	csrf   string
}

type jar struct{ all map[string]*http.Cookie }

func (j jar) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(j.all, c.Name)
			continue
		}
		j.all[c.Name] = c
	}
}

func (j jar) Cookies(*url.URL) (out []*http.Cookie) {
	for _, c := range j.all {
		out = append(out, &http.Cookie{Name: c.Name, Value: c.Value})
	}
	return out
}

func (r *rig) browser() *browser {
	return &browser{r: r, lang: "en", client: &http.Client{Jar: jar{map[string]*http.Cookie{}}, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// cookie returns a cookie as it was set.
func (b *browser) cookie(name string) *http.Cookie { return b.client.Jar.(jar).all[name] }

// answer is a page.
type answer struct {
	status   int
	location string
	header   http.Header
	body     string
	page     *node
}

func (b *browser) do(method, path, body string, header ...string) *answer {
	b.r.t.Helper()
	q, err := http.NewRequest(method, b.r.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.r.t.Fatal(err)
	}
	q.Header.Set("Accept-Language", b.lang)
	if method == http.MethodPost {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(q)
	if err != nil {
		b.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.r.t.Fatal(err)
	}
	a := &answer{status: resp.StatusCode, location: resp.Header.Get("Location"), header: resp.Header, body: string(text)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && resp.StatusCode != http.StatusSeeOther {
		a.page = parse(b.r.t, path, text)
		if f := a.page.first("input", "name", "csrf"); f != nil {
			b.csrf = f.attr["value"]
		}
	}
	return a
}

func (b *browser) get(path string) *answer {
	b.r.t.Helper()
	return b.do(http.MethodGet, path, "")
}

// post sends a form with the secret of the last page.
func (b *browser) post(path string, fields ...string) *answer {
	b.r.t.Helper()
	v := url.Values{"csrf": {b.csrf}}
	for i := 0; i+1 < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return b.do(http.MethodPost, path, v.Encode())
}

// signIn signs a role in.
func (r *rig) signIn(role string) *browser {
	r.t.Helper()
	b := r.browser()
	b.get("/console/signin")
	if a := b.post("/console/signin", "token", tokenOf(role)); a.status != http.StatusSeeOther {
		r.t.Fatalf("sign in as %s: %d %s", role, a.status, a.page.text())
	}
	b.get("/console/help") // the session's own secret
	return b
}

// counted waits until the figures of the day stand on a page.
func (b *browser) counted(path string) *answer {
	b.r.t.Helper()
	return b.until(path, func(a *answer) bool { return !strings.Contains(a.body, `http-equiv="refresh"`) })
}

// until gets a page until ok says so.
func (b *browser) until(path string, ok func(*answer) bool) *answer {
	b.r.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for {
		a := b.get(path)
		if ok(a) {
			return a
		}
		select {
		case <-deadline.C:
			b.r.t.Fatalf("%s: never: %d %s", path, a.status, a.body)
		case <-tick.C:
		}
	}
}

// node is an element of a parsed page.
type node struct {
	name  string
	attr  map[string]string
	kids  []*node
	words string // own text
}

// parse reads a page; one that does not nest fails the test.
func parse(t *testing.T, what string, text []byte) *node {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	root := &node{name: "#"}
	stack := []*node{root}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s does not parse: %v\n%s", what, err, text)
		}
		top := stack[len(stack)-1]
		switch e := tok.(type) {
		case xml.StartElement:
			n := &node{name: e.Name.Local, attr: map[string]string{}}
			for _, a := range e.Attr {
				n.attr[a.Name.Local] = a.Value
			}
			top.kids = append(top.kids, n)
			stack = append(stack, n)
		case xml.EndElement:
			if top.name != e.Name.Local {
				t.Fatalf("%s: <%s> is closed by </%s>", what, top.name, e.Name.Local)
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.words += string(e)
			top.kids = append(top.kids, &node{name: "#text", words: string(e)})
		}
	}
	return root
}

// all returns the elements of a name below n.
func (n *node) all(name string) (out []*node) {
	for _, k := range n.kids {
		if k.name == name {
			out = append(out, k)
		}
		out = append(out, k.all(name)...)
	}
	return out
}

// first returns the first element of a name with an attribute.
func (n *node) first(name, attr, value string) *node {
	for _, k := range n.all(name) {
		if k.attr[attr] == value {
			return k
		}
	}
	return nil
}

// text is all text below n.
func (n *node) text() string {
	var b strings.Builder
	n.write(&b)
	return spaces.ReplaceAllString(strings.TrimSpace(b.String()), " ")
}

var spaces = regexp.MustCompile(`\s+`)

func (n *node) write(b *strings.Builder) {
	if n.name == "#text" {
		b.WriteString(n.words)
	}
	for _, k := range n.kids {
		k.write(b)
		b.WriteByte(' ')
	}
}

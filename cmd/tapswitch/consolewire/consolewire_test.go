package consolewire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console"
	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/book"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const date txn.BusinessDate = 20260301

// registry is a store.Registry in memory.
type registry struct {
	values map[string][]byte
	fail   error
}

func (r *registry) Get(_ context.Context, key string) ([]byte, uint64, error) {
	return r.values[key], uint64(len(r.values[key])), r.fail
}

func (r *registry) Put(_ context.Context, key string, value []byte, _ uint64) error {
	r.values[key] = value
	return r.fail
}

func (r *registry) Keys(context.Context, string) ([]string, error) { return nil, r.fail }

// The console reads what the gate writes: whoever changes one must change the other.
func TestOperatorsAreTheGates(t *testing.T) {
	r := &registry{values: map[string][]byte{}}
	token, err := gate.CreateOperator(t.Context(), r, "li", []gate.Role{gate.RoleFinance, gate.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	o := Operators{Registry: r}
	p, ok, err := o.Find(t.Context(), session.SumOf(token))
	if err != nil || !ok || p.Name != "li" || !p.HasAny([]string{"finance"}) || p.HasAny([]string{"admin"}) {
		t.Errorf("%+v %v %v", p, ok, err)
	}
	if _, ok, err := o.Find(t.Context(), session.SumOf("another")); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	r.fail = store.ErrUnavailable
	if _, ok, err := o.Find(t.Context(), session.SumOf(token)); ok || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v %v", ok, err)
	}
}

func TestDeskIsAskedAsAViewer(t *testing.T) {
	now := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	at := func(m int) string { return now.Add(time.Duration(m) * time.Minute).Format(time.RFC3339) }
	status := http.StatusOK
	mux := http.NewServeMux()
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Tapswitch-Roles") != "viewer" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.WriteHeader(status)
			if err := json.NewEncoder(w).Encode(v); err != nil {
				t.Error(err)
			}
		}
	}
	mux.HandleFunc("GET /v1/desk/coverage", answer(map[string]any{"epoch": 7, "covered": 3, "total": 4,
		"published_at": at(-5), "behind": []any{map[string]any{"device": map[string]any{"terminal": "G1"}, "epoch": 6}}}))
	clock := func(party string, late bool, m int) map[string]any {
		return map[string]any{"party": party, "state": "sent", "deadline": at(m), "overdue": late}
	}
	mux.HandleFunc("GET /v1/desk/notices", answer(map[string]any{"notices": []any{
		map[string]any{"id": "later", "clocks": []any{clock("a", false, 60)}},
		map[string]any{"id": "sooner", "clocks": []any{clock("a", false, 30)}},
		map[string]any{"id": "late", "clocks": []any{clock("a", true, -3), clock("b", false, 90)}}}}))
	c, err := Desk{API: mux}.City(t.Context())
	if err != nil || !c.Lists || !c.Notifies || c.Coverage.Covered != 3 || c.Coverage.Behind[0].Device.Terminal != "G1" {
		t.Fatalf("%+v %v", c, err)
	}
	if c.Notices[0].ID != "late" || c.Notices[1].ID != "sooner" || c.Notices[2].ID != "later" {
		t.Errorf("the most urgent does not stand first: %+v", c.Notices)
	}
	status = http.StatusNotFound
	if c, err := (Desk{API: mux}).City(t.Context()); err != nil || c.Lists || c.Notifies {
		t.Errorf("%+v %v", c, err)
	}
	status = http.StatusServiceUnavailable
	if _, err := (Desk{API: mux}).City(t.Context()); err == nil {
		t.Error("a desk that is away is taken for an empty one")
	}
}

func TestBanks(t *testing.T) {
	b := Banks{Status: func(context.Context) (any, error) {
		return map[string]any{"queued": 2, "links": []any{map[string]any{"name": "ICBC", "up": true,
			"figures": map[string]any{"Answered": 9}}}}, nil
	}, Dead: func(context.Context) (int, error) { return 3, nil }}
	s, err := b.Edge().Status(t.Context())
	if err != nil || s.Queued != 2 || s.Dead != 3 || !s.Links[0].Up || s.Links[0].Figures.Answered != 9 {
		t.Errorf("%+v %v", s, err)
	}
	b.Dead = func(context.Context) (int, error) { return 0, store.ErrUnavailable }
	if _, err := b.Edge().Status(t.Context()); err == nil {
		t.Error("a fault is silent")
	}
}

// writeRun lays a run down as finance does.
func writeRun(t *testing.T, dir string, j *journal.Journal, number int) {
	t.Helper()
	at := filepath.Join(dir, "runs", date.String(), []string{"", "001", "002"}[number])
	manifest := map[string]any{"run": number, "corrects": number - 1,
		"files": []any{map[string]any{"name": "net.csv", "bytes": 4, "sha256": "ab"}}}
	files := map[string]any{"manifest.json": manifest, "net.csv": nil, "settlement.json": map[string]any{
		"net": []any{map[string]any{"party": "M5", "currency": 156, "gross": 10, "adjusted": -1, "net": 9}}}}
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, v := range files {
		text, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(at, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	note(t, j, "run", map[string]any{"run": number})
}

func note(t *testing.T, j *journal.Journal, kind string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(journal.Event{Kind: kind, Actor: "li", Date: date, At: 1000, Body: text}); err != nil {
		t.Fatal(err)
	}
}

func TestFinance(t *testing.T) {
	dir := t.TempDir()
	f := NewFinance(dir)
	if runs, err := f.Runs(t.Context(), 0, 10); err != nil || len(runs) != 0 {
		t.Fatalf("%v %v", runs, err)
	}
	if _, ok, err := f.State(t.Context(), date); ok || err != nil {
		t.Fatalf("%v %v", ok, err)
	}
	j, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	note(t, j, "day_closed", nil)
	writeRun(t, dir, j, 1)
	writeRun(t, dir, j, 2)
	s, ok, err := f.State(t.Context(), date)
	if err != nil || !ok || s.State != "closed" || s.By != "li" {
		t.Errorf("%+v %v %v", s, ok, err)
	}
	runs, err := f.Runs(t.Context(), date, 10)
	if err != nil || len(runs) != 2 || runs[0].Number != "2026-03-01-002" || runs[0].Corrects != "2026-03-01-001" ||
		runs[1].Corrects != "" || runs[0].Nets[0].Net != 9 {
		t.Fatalf("%+v %v", runs, err)
	}
	if all, err := f.Runs(t.Context(), 20260302, 10); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
	if all, err := f.Runs(t.Context(), 0, 1); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
	note(t, j, "day_certified", nil)
	if s, _, _ := f.State(t.Context(), date); s.State != "certified" || s.Certificate == "" {
		t.Errorf("%+v", s)
	}
	content, err := f.Open(t.Context(), runs[0].Number, "net.csv")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil || string(text) != "null" {
		t.Errorf("%q %v", text, err)
	}
	for _, bad := range [][2]string{{runs[0].Number, "../002/net.csv"}, {runs[0].Number, "journal"},
		{"2026-03-01-003", "net.csv"}, {"../runs", "net.csv"}} {
		if _, err := f.Open(t.Context(), bad[0], bad[1]); !errors.Is(err, console.ErrNone) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// weekdays counts Monday to Friday.
type weekdays struct{}

func (weekdays) WorkingDays(from, to txn.BusinessDate) (n int, _ error) {
	for d := from.Next(); d <= to; d = d.Next() {
		if w := d.Time().Weekday(); w != time.Saturday && w != time.Sunday {
			n++
		}
	}
	return n, nil
}

func TestBreaks(t *testing.T) {
	dir := t.TempDir()
	b := NewBreaks(BreaksOptions{Dir: dir, Work: weekdays{}, Today: func() txn.BusinessDate { return 20260306 },
		Now: func() txn.Millis { return 5000 }})
	if l, err := b.List(t.Context(), console.BreakFilter{}); err != nil || l.Run != "" || len(l.Breaks) != 0 {
		t.Fatalf("%+v %v", l, err)
	}
	keep(t, dir)
	l, err := b.List(t.Context(), console.BreakFilter{Max: 1})
	if err != nil || len(l.Breaks) != 1 || l.Next == "" || l.Run == "" {
		t.Fatalf("%+v %v", l, err)
	}
	rest, err := b.List(t.Context(), console.BreakFilter{Max: 5, After: l.Next})
	if err != nil || len(rest.Breaks) != 1 || rest.Next != "" || rest.Breaks[0].ID == l.Breaks[0].ID {
		t.Fatalf("%+v %v", rest, err)
	}
	id := l.Breaks[0].ID
	do := func(step, actor string, more func(*console.BreakAction)) error {
		a := console.BreakAction{Actor: actor, Step: step, Note: "n"}
		if more != nil {
			more(&a)
		}
		return b.Act(t.Context(), id, a)
	}
	if err := do(console.StepAssign, "li", func(a *console.BreakAction) { a.Owner = "wang" }); err != nil {
		t.Fatal(err)
	}
	s, err := b.Show(t.Context(), id)
	if err != nil || s.Owner != "wang" || s.AgeDays != 5 || s.History[len(s.History)-1].Actor != "li" {
		t.Errorf("%+v %v", s, err)
	}
	if err := do(console.StepResolve, "li", func(a *console.BreakAction) { a.Resolution = book.WrittenOff }); err != nil {
		t.Fatal(err)
	}
	var told *console.Refusal
	if err := do(console.StepConfirm, "li", nil); !errors.As(err, &told) || told.Chinese == "" {
		t.Errorf("one person wrote off alone: %v", err)
	}
	if err := do(console.StepConfirm, "wang", nil); err != nil {
		t.Error(err)
	}
	if err := do(console.StepAssign, "wang", func(a *console.BreakAction) { a.Owner = "x" }); !errors.As(err, &told) {
		t.Errorf("a resolved break is given away: %v", err)
	}
	if l, err := b.List(t.Context(), console.BreakFilter{State: "resolved"}); err != nil || len(l.Breaks) != 1 {
		t.Errorf("%+v %v", l, err)
	}
	if _, err := b.Show(t.Context(), "none"); !errors.Is(err, console.ErrNone) {
		t.Error(err)
	}
	other, err := book.OpenBook(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(console.StepComment, "li", nil); !errors.As(err, &told) {
		t.Errorf("while another process writes: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

// keep writes a run with two breaks.
func keep(t *testing.T, dir string) {
	t.Helper()
	w, err := book.OpenBook(dir)
	if err != nil {
		t.Fatal(err)
	}
	row := func(line uint64, amount int64) *recon.Row {
		r := &recon.Row{Place: recon.Place{Line: line}, Amount: amount, Currency: txn.CNY, Date: date}
		r.Text[recon.RRN], r.Text[recon.Card] = "RRN000000001", "never shown"
		return r
	}
	res := &run.Result{Plan: "icbc", Day: date, Date: date.String(), Breaks: []*recon.Break{
		{ID: "aa", Difference: recon.OursOnly, Cause: recon.LateUpload, Gap: 250, Ours: row(1, 250), Opened: date},
		{ID: "bb", Difference: recon.OtherSum, Cause: recon.Unknown, Gap: -50, Ours: row(2, 100), Theirs: row(2, 150), Opened: date}}}
	if _, err := w.Keep(res, "digest", book.Actor{Name: "li", At: 1000}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestACardIsNoFieldOfABreak(t *testing.T) {
	r := &recon.Row{}
	r.Text[recon.Card], r.Text[recon.Last4] = "00112233445566778899aabbccddeeff", "4321"
	for _, f := range fields(r) {
		if f.Value == r.Text[recon.Card] {
			t.Error(f)
		}
	}
}

// A claim that nobody else knows is a break with neither side: what was claimed is shown.
func TestAClaimIsShown(t *testing.T) {
	dir := t.TempDir()
	w, err := book.OpenBook(dir)
	if err != nil {
		t.Fatal(err)
	}
	claim := &recon.Row{Amount: 4200, Currency: txn.CNY}
	claim.Text[recon.Terminal], claim.Text[recon.Batch] = "T0000001", "000007"
	res := &run.Result{Plan: "icbc", Day: date, Date: date.String(), Breaks: []*recon.Break{{ID: "cc", Difference: recon.OtherClaim,
		Cause: recon.MissingBatch, Gap: -4200, Claim: claim, Odd: recon.Claims, Opened: date}}}
	_, err = w.Keep(res, "digest", book.Actor{Name: "li", At: 1000})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	b := NewBreaks(BreaksOptions{Dir: dir, Work: weekdays{}, Today: func() txn.BusinessDate { return date }})
	s, err := b.Show(t.Context(), "cc")
	if err != nil || s.Side != "claims" || len(s.Ours)+len(s.Theirs) != 0 || len(s.Claim) != 3 ||
		s.Kind != "claim" || s.Currency != 156 || s.Amount != -4200 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestPulse(t *testing.T) {
	at := time.Date(2026, 3, 1, 4, 0, 30, 0, time.UTC)
	var approved, declined, pending int64
	p := NewPulse(PulseOptions{Now: func() time.Time { return at },
		Counts:  func() (int64, int64) { return approved, declined },
		Pending: func(context.Context) (int64, error) { return pending, nil },
		ListAge: func() time.Duration { return time.Second }})
	approved, declined, pending = 10, 1, 4
	for range 99 {
		p.Took(time.Millisecond)
	}
	p.Took(80 * time.Millisecond)
	p.Tick(t.Context())
	v := p.Live()
	if v.Approved != 10 || len(v.Minutes) != 1 || v.Minutes[0].Approved != 10 || v.Pending != 4 || v.Sampled != 100 || !v.ListKnown {
		t.Errorf("%+v", v)
	}
	if v.P50 < time.Millisecond || v.P50 > 1250*time.Microsecond || v.P99 > 1250*time.Microsecond {
		t.Errorf("p50 %s p99 %s", v.P50, v.P99)
	}
	at, approved = at.Add(time.Minute), 15
	p.Tick(t.Context())
	approved = 18
	if v = p.Live(); len(v.Minutes) != 2 || v.Minutes[0].Approved != 15 || v.Minutes[1].Approved != 3 {
		t.Errorf("%+v", v.Minutes)
	}
	at = at.Add(10 * time.Minute)
	p.Tick(t.Context())
	if v = p.Live(); len(v.Minutes) != 12 || v.Minutes[1].Approved != 3 || v.Minutes[2].Approved != 0 {
		t.Errorf("%+v", v.Minutes)
	}
	for range 3 * minutesKept {
		at = at.Add(time.Minute)
		p.Tick(t.Context())
	}
	if v = p.Live(); len(v.Minutes) != minutesKept+1 || v.Sampled != 0 || v.P99 != 0 {
		t.Errorf("%d minutes, %d samples of long ago", len(v.Minutes), v.Sampled)
	}
}

func TestBinsHoldTheirLatencies(t *testing.T) {
	for d := time.Duration(4); d < time.Hour; d = d*5/4 + 1 {
		if top := binTop(binOf(d)); top < d || top > d*5/4 {
			t.Fatalf("%s lies in a class up to %s", d, top)
		}
	}
	if binOf(-1) != binOf(4) || binOf(1<<62) >= bins {
		t.Error("the ends")
	}
}

package run_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/plant"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// rows is a source of given rows.
type rows struct {
	name string
	all  []recon.Row
	err  error // after the rows
}

func (s *rows) Name() string { return s.name }

func (s *rows) Rows(_ recon.Context, yield func(*recon.Row) error) error {
	for i := range s.all {
		r := s.all[i]
		if err := yield(&r); err != nil {
			return err
		}
	}
	return s.err
}

func city(t *testing.T, n, planted int) (*plant.City, run.Options) {
	t.Helper()
	c, err := plant.New(n, planted)
	if err != nil {
		t.Fatal(err)
	}
	return c, run.Options{Plan: plant.Plan(), Day: plant.Day, Ours: []recon.Source{c.Ours()},
		Theirs: c.Theirs(), Dir: t.TempDir()}
}

// A thousand differences of eight causes among a hundred thousand rows: every one is found with
// its cause, and nothing else is.
func TestEveryPlantedDifferenceIsFound(t *testing.T) {
	c, o := city(t, 100_000, 1000)
	res, err := run.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	found := map[recon.Cause]int{}
	for _, b := range res.Breaks {
		found[b.Cause]++
		if len(b.Evidence) == 0 {
			t.Errorf("%s at %s: %s without evidence", b.Difference, b.Where, b.Cause)
		}
	}
	if want := c.Planted(); !maps.Equal(found, want) || len(want) != 8 {
		t.Errorf("found %v, planted %v", found, want)
	}
	kinds := map[recon.Cause]recon.Difference{recon.LateUpload: recon.OursOnly,
		recon.ListLag: recon.OtherState, recon.StanReuse: recon.OursOnly,
		recon.CutOffShift: recon.OtherDate, recon.DuplicateFile: recon.Repeated,
		recon.TariffVersion: recon.OtherSum, recon.ClockSkew: recon.OtherTime,
		recon.MissingBatch: recon.OursOnly}
	for _, b := range res.Breaks {
		if kinds[b.Cause] != b.Difference {
			t.Errorf("%s is %s, want %s", b.Cause, b.Difference, kinds[b.Cause])
		}
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("spill files stay: %v %v", left, err)
	}
}

// Sides that agree have no break.
func TestNoDifferenceIsInvented(t *testing.T) {
	_, o := city(t, 20_000, 0)
	res, err := run.Run(context.Background(), o)
	if err != nil || len(res.Breaks) != 0 {
		t.Fatalf("%d breaks, %v", len(res.Breaks), err)
	}
	for side, s := range res.Sides {
		if s.Matched != 20_000 || s.MatchedBy != s.Amount || s.Left+s.Cancelled != 0 {
			t.Errorf("side %d: %+v", side, s)
		}
	}
}

// The same run gives the same bytes, with any number of workers.
func TestTheSameRunGivesTheSameBytes(t *testing.T) {
	var first []run.File
	for _, workers := range []int{1, 1, 4, 100} {
		_, o := city(t, 20_000, 200)
		o.Workers = workers
		o.Claims = []recon.Claim{{Terminal: "T0000003", Batch: "000001"}}
		res, err := run.Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		files, err := res.Report()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = files
		}
		for i, f := range files {
			if f.Name != first[i].Name || !bytes.Equal(f.Text, first[i].Text) {
				t.Errorf("%d workers: %s differs", workers, f.Name)
			}
		}
		if run.Digest(files) != run.Digest(first) {
			t.Error("digests differ")
		}
	}
	if !bytes.HasPrefix(first[1].Text, []byte("\ufeffid,")) {
		t.Errorf("breaks.csv begins with %q", first[1].Text[:20])
	}
}

func row(terminal, rrn string, amount int64) recon.Row {
	r := recon.Row{Amount: amount, Date: plant.Day, Currency: txn.CNY, At: 1795140000000}
	r.Text[recon.Terminal], r.Text[recon.RRN] = terminal, rrn
	return r
}

func reconcile(t *testing.T, plan *recon.Plan, ours, theirs []recon.Row, change func(*run.Options),
) *run.Result {
	t.Helper()
	o := run.Options{Plan: plan, Day: plant.Day, Dir: t.TempDir(),
		Ours:   []recon.Source{&rows{name: "ledger", all: ours}},
		Theirs: []recon.Source{&rows{name: "file", all: theirs}}}
	if change != nil {
		change(&o)
	}
	res, err := run.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Who of three disagrees: by row, and by batch.
func TestThreeSides(t *testing.T) {
	ours := []recon.Row{row("T1", "a", 100), row("T1", "b", 200), row("T2", "c", 300),
		row("T3", "d", 400)}
	theirs := []recon.Row{row("T1", "a", 100), row("T1", "b", 250), row("T2", "e", 50)}
	third := []recon.Row{row("T1", "b", 250), row("T2", "c", 300), row("T2", "e", 60)}
	claims := []recon.Claim{
		{Terminal: "T1", Tally: recon.Tally{Debits: 2, Debit: 350}},
		{Terminal: "T2", Tally: recon.Tally{Debits: 1, Debit: 300}},
		{Terminal: "T3", Tally: recon.Tally{Debits: 9, Debit: 1}},
		{Terminal: "T9"},
	}
	res := reconcile(t, plant.Plan(), ours, theirs, func(o *run.Options) {
		o.Third, o.Claims = []recon.Source{&rows{name: "claims", all: third}}, claims
	})
	odd := map[string]recon.Party{}
	for _, b := range res.Breaks {
		odd[b.Row().Text[recon.RRN]+string(b.Difference)] = b.Odd
	}
	if want := (map[string]recon.Party{"bamount": recon.Ledger, "cours_only": recon.Counterparty,
		"dours_only": recon.Ledger, "etheirs_only": recon.Everyone,
		"claim": recon.Everyone}); !maps.Equal(odd, want) {
		t.Errorf("%v, want %v", odd, want)
	}
	for i, want := range []recon.Party{recon.Ledger, recon.Counterparty, recon.Everyone,
		recon.NoParty} {
		if a := res.Accounts[i]; a.Odd != want {
			t.Errorf("%+v, want %q", a, want)
		}
	}
}

// A row of a former run meets its other side, and its break closes.
func TestCarriedRowsCloseTheirBreaks(t *testing.T) {
	carried := row("T1", "old", 500)
	carried.Carried, carried.Since = "b1", 20261117
	lone := row("T1", "lone", 600)
	lone.Carried, lone.Since, lone.Text[recon.Origin] = "b2", 20261117, "file-17:4"
	res := reconcile(t, plant.Plan(), nil, []recon.Row{row("T1", "old", 500)},
		func(o *run.Options) { o.Carried[recon.Ours] = []*recon.Row{&carried, &lone} })
	if len(res.Closed) != 1 || res.Closed[0] != (run.Closing{ID: "b1", Rule: "rrn"}) {
		t.Errorf("closed %v", res.Closed)
	}
	if len(res.Breaks) != 1 {
		t.Fatalf("%d breaks", len(res.Breaks))
	}
	if b := res.Breaks[0]; b.ID != "b2" || b.Opened != 20261117 || b.Where != "file-17:4" {
		t.Errorf("%+v", b)
	}
}

// Unreadable lines are breaks of their own; a source that fails stops the run.
func TestSourcesThatFail(t *testing.T) {
	bad := recon.Row{Marks: recon.Unreadable}
	bad.Text[recon.Note] = "amount: x is no number"
	res := reconcile(t, plant.Plan(), nil, []recon.Row{bad}, nil)
	if len(res.Breaks) != 1 || res.Breaks[0].Cause != recon.UnreadableLine ||
		res.Breaks[0].Evidence[0] != bad.Text[recon.Note] || res.Sides[1].Held != 1 {
		t.Errorf("%+v", res.Breaks)
	}
	torn := errors.New("torn file")
	o := run.Options{Plan: plant.Plan(), Day: plant.Day, Dir: t.TempDir(), Theirs: []recon.Source{
		&rows{name: "file", all: []recon.Row{row("T1", "a", 1)}, err: torn}}}
	if _, err := run.Run(context.Background(), o); !errors.Is(err, torn) {
		t.Errorf("%v, want the source's error", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_, o = city(t, 50_000, 0)
	if _, err := run.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want cancelled", err)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("spill files stay: %v %v", left, err)
	}
}

// What matches nothing is bounded: a file of another day stops the run.
func TestTooManyBreaks(t *testing.T) {
	c, err := plant.New(recon.BreaksMax+1, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := run.Options{Plan: plant.Plan(), Day: plant.Day, Dir: t.TempDir(),
		Ours: []recon.Source{c.Ours()}}
	if _, err := run.Run(context.Background(), o); !errors.Is(err, recon.ErrTooManyBreaks) {
		t.Errorf("%v, want too many", err)
	}
}

// A spreadsheet must not run what a file says.
func TestReportIsHarmless(t *testing.T) {
	evil := row("=cmd()", "-1+2", -5)
	res := reconcile(t, plant.Plan(), []recon.Row{evil}, nil, nil)
	files, err := res.Report()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(files[1].Text, []byte(",'=cmd(),")) ||
		!bytes.Contains(files[1].Text, []byte(",'-1+2,")) ||
		!bytes.Contains(files[1].Text, []byte(",-5,")) {
		t.Errorf("%s", files[1].Text)
	}
}

func TestOptions(t *testing.T) {
	for name, change := range map[string]func(*run.Options){
		"day":     func(o *run.Options) { o.Day = 20261340 },
		"sources": func(o *run.Options) { o.Third = make([]recon.Source, run.SourcesMax+1) },
		"rules":   func(o *run.Options) { o.Plan.Rules = nil },
		"claims": func(o *run.Options) {
			o.Claims = []recon.Claim{{Terminal: "T1"}, {Terminal: "T1"}}
		},
		"folder": func(o *run.Options) { o.Dir += "/none" },
	} {
		_, o := city(t, 10, 0)
		change(&o)
		if _, err := run.Run(context.Background(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A batch of which nothing arrived is missing also where one of its sales was taken back, and not
// where one of them matched.
func TestMissingBatchWithASaleThatWasUndone(t *testing.T) {
	sale := func(rrn, chain string, amount int64) recon.Row {
		r := row("T1", rrn, amount)
		r.Text[recon.Batch], r.Text[recon.Chain] = "000007", chain
		return r
	}
	ours := []recon.Row{sale("a", "1", 100), sale("b", "2", 100), sale("c", "3", 100), sale("d", "4", 50),
		sale("e", "4", -50)}
	for name, tt := range map[string]struct {
		theirs []recon.Row
		cause  recon.Cause
		breaks int
	}{"missing": {nil, recon.MissingBatch, 3}, "in part": {[]recon.Row{row("T1", "a", 100)}, recon.Unknown, 2}} {
		plan := plant.Plan()
		plan.Rules = append([]recon.Rule{{Name: "undone", Key: []recon.Field{recon.Chain},
			Shape: recon.Cancel}}, plan.Rules...)
		res := reconcile(t, plan, ours, tt.theirs, nil)
		for _, b := range res.Breaks {
			if b.Cause != tt.cause {
				t.Errorf("%s: %s is %s", name, b.Where, b.Cause)
			}
		}
		if len(res.Breaks) != tt.breaks || res.Sides[0].Cancelled != 2 {
			t.Errorf("%s: %d breaks, %+v", name, len(res.Breaks), res.Sides[0])
		}
	}
}

package book_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/book"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	friday = txn.BusinessDate(20261120)
	monday = txn.BusinessDate(20261123)
)

type rows []recon.Row

func (s rows) Name() string { return "rows" }

func (s rows) Rows(_ recon.Context, yield func(*recon.Row) error) error {
	for _, r := range s {
		if err := yield(&r); err != nil {
			return err
		}
	}
	return nil
}

func row(rrn string, amount int64, date txn.BusinessDate) recon.Row {
	r := recon.Row{Amount: amount, Date: date, Currency: txn.CNY, At: 1795140000000}
	r.Text[recon.RRN], r.Text[recon.Terminal] = rrn, "T1"
	return r
}

// reconcile runs a day with what is carried into it.
func reconcile(t testing.TB, dir string, day txn.BusinessDate, ours, theirs rows) (*run.Result, string) {
	t.Helper()
	carried, err := book.Carried(dir, "p", day)
	if err != nil {
		t.Fatal(err)
	}
	plan := &recon.Plan{Name: "p", Owner: "desk", Zone: time.UTC,
		Rules:    []recon.Rule{{Name: "rrn", Key: []recon.Field{recon.RRN}, Days: 31}},
		Identity: [][]recon.Field{{recon.RRN}}}
	res, err := run.Run(context.Background(), run.Options{Plan: plan, Day: day, Carried: carried,
		Ours: []recon.Source{ours}, Theirs: []recon.Source{theirs}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	files, err := res.Report()
	if err != nil {
		t.Fatal(err)
	}
	return res, run.Digest(files)
}

func openBook(t testing.TB, dir string) *book.Book {
	t.Helper()
	b, err := book.OpenBook(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func by(name string) book.Actor { return book.Actor{Name: name, At: 1795180000000} }

func keep(t testing.TB, dir string, day txn.BusinessDate, ours, theirs rows) book.Kept {
	t.Helper()
	res, digest := reconcile(t, dir, day, ours, theirs)
	b := openBook(t, dir)
	kept, err := b.Keep(res, digest, by("mei"))
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	return kept
}

func state(t testing.TB, dir string) *book.State {
	t.Helper()
	s, err := book.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type weekdays struct{}

func (weekdays) WorkingDays(from, to txn.BusinessDate) (n int, _ error) {
	for from < to {
		from = from.Next()
		if w := from.Time().Weekday(); w != time.Saturday && w != time.Sunday {
			n++
		}
	}
	return n, nil
}

// A break is carried from run to run and closes by itself when the other side comes; a day that
// is run twice is kept once.
func TestBreaksLiveFromRunToRun(t *testing.T) {
	dir := t.TempDir()
	ours := rows{row("a", 100, friday), row("b", 200, friday), row("c", 300, friday)}
	first := keep(t, dir, friday, ours, rows{row("a", 100, friday), row("b", 250, friday)})
	if !first.Fresh || first.Opened != 2 || first.Run.Number != 1 {
		t.Errorf("%+v", first)
	}
	if again := keep(t, dir, friday, ours, rows{row("a", 100, friday), row("b", 250, friday)}); again.Fresh {
		t.Errorf("kept twice: %+v", again)
	}
	second := keep(t, dir, monday, rows{row("d", 50, monday)},
		rows{row("c", 300, monday), row("d", 50, monday)})
	if second.Closed != 1 || second.Opened != 0 {
		t.Errorf("%+v", second)
	}
	closed := state(t, dir).Breaks("p", book.Closed)
	if len(closed) != 1 || closed[0].Ours.Text[recon.RRN] != "c" {
		t.Fatalf("closed %+v", closed)
	}
	if last := closed[0].History[1]; last.Action != "closed" || !strings.Contains(last.Note, "run 2: the other side came") {
		t.Errorf("%+v", last)
	}
	open := state(t, dir).Breaks("p", book.Open)
	if len(open) != 1 || open[0].Difference != recon.OtherSum || open[0].Owner != "desk" {
		t.Fatalf("open %+v", open)
	}
	if age, err := open[0].Age(monday, weekdays{}); err != nil || age != 1 {
		t.Errorf("age %d, %v", age, err)
	}
	// The first day again gives the first day's rows, although its break is closed by now.
	if again := keep(t, dir, friday, ours, rows{row("a", 100, friday), row("b", 250, friday)}); again.Fresh {
		t.Errorf("%+v", again)
	}
	res, digest := reconcile(t, dir, friday, ours, rows{row("a", 100, friday)})
	if _, err := openBook(t, dir).Keep(res, digest, by("mei")); !errors.Is(err, book.ErrLaterRun) {
		t.Errorf("%v, want later run", err)
	}
}

// A corrected file takes its day's place: what is no longer there closes, what it had closed
// opens again.
func TestCorrectedDay(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, friday, rows{row("a", 100, friday)}, nil)
	keep(t, dir, monday, rows{row("b", 200, monday)}, rows{row("a", 100, monday)})
	if got := len(state(t, dir).Breaks("p", book.Open)); got != 1 {
		t.Fatalf("%d open", got)
	}
	keep(t, dir, monday, rows{row("b", 200, monday)}, rows{row("b", 200, monday)})
	open := state(t, dir).Breaks("p", book.Open)
	if len(open) != 1 || open[0].Ours.Text[recon.RRN] != "a" || open[0].Opened != friday {
		t.Errorf("%+v", open)
	}
	if runs := state(t, dir).Runs(); len(runs) != 3 || runs[2].Number != 3 {
		t.Errorf("%+v", runs)
	}
}

// A carried row whose other side comes with another amount goes on as a break of both.
func TestCarriedRowMeetsAnotherAmount(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, friday, rows{row("a", 100, friday)}, nil)
	keep(t, dir, monday, nil, rows{row("a", 90, monday)})
	open := state(t, dir).Breaks("p", book.Open)
	if len(open) != 1 || open[0].Gap != 10 || open[0].Opened != friday {
		t.Errorf("%+v", open)
	}
}

func TestPeopleWorkOnBreaks(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, friday, rows{row("a", 100, friday)}, nil)
	b := openBook(t, dir)
	id := b.State().Breaks("")[0].ID
	for i, c := range []struct {
		step  book.Step
		actor string
		want  error
	}{
		{book.Step{Break: "none", Action: book.Comment}, "mei", book.ErrNotFound},
		{book.Step{Break: id, Action: "forget"}, "mei", book.ErrStep},
		{book.Step{Break: id, Action: book.Assign}, "mei", book.ErrStep},
		{book.Step{Break: id, Action: book.Assign, Owner: "lan"}, "mei", nil},
		{book.Step{Break: id, Action: book.Comment, Note: "asked the bank"}, "lan", nil},
		{book.Step{Break: id, Action: book.Comment, Note: strings.Repeat("x", book.TextMax+1)}, "lan", book.ErrStep},
		{book.Step{Break: id, Action: book.Confirm}, "lan", book.ErrStanding},
		{book.Step{Break: id, Action: book.Resolve, Resolution: "gone", Note: "n"}, "lan", book.ErrStep},
		{book.Step{Break: id, Action: book.Resolve, Resolution: book.Paid}, "lan", book.ErrStep},
		{book.Step{Break: id, Action: book.Resolve, Resolution: book.WrittenOff, Note: "too small"}, "lan", nil},
		{book.Step{Break: id, Action: book.Confirm}, "lan", book.ErrSamePerson},
		{book.Step{Break: id, Action: book.Confirm}, " Lan", book.ErrSamePerson},
		{book.Step{Break: id, Action: book.Reject, Note: "ask again"}, "mei", nil},
		{book.Step{Break: id, Action: book.Resolve, Resolution: book.WrittenOff, Note: "asked"}, "lan", nil},
		{book.Step{Break: id, Action: book.Confirm}, "mei", nil},
		{book.Step{Break: id, Action: book.Resolve, Resolution: book.Paid, Note: "n"}, "lan", book.ErrStanding},
		{book.Step{Break: id, Action: book.Reopen, Note: "money came"}, "mei", nil},
		{book.Step{Break: id, Action: book.Resolve, Resolution: book.Paid, Note: "voucher 7"}, "mei", nil},
		{book.Step{Break: id, Action: book.Comment, Note: "n"}, "", book.ErrStep},
	} {
		if err := b.Do(c.step, by(c.actor)); !errors.Is(err, c.want) {
			t.Errorf("%d: %v, want %v", i, err, c.want)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	item, err := state(t, dir).Find(id)
	if err != nil || item.Standing != book.Resolved || item.Resolution != book.Paid || item.Owner != "lan" {
		t.Errorf("%+v, %v", item, err)
	}
	if n := len(item.History); n != 9 || item.History[4].Actor != "mei" {
		t.Errorf("%d steps: %+v", n, item.History)
	}
	if _, err := state(t, dir).Find("x"); !errors.Is(err, book.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// The next run does not open again what a person is done with, nor carry it.
	if kept := keep(t, dir, monday, nil, nil); kept.Opened != 0 {
		t.Errorf("%+v", kept)
	}
	// The day before it was resolved is run again with the same result.
	if kept := keep(t, dir, friday, rows{row("a", 100, friday)}, nil); kept.Fresh {
		t.Errorf("%+v", kept)
	}
}

func TestStepsAreBounded(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, friday, rows{row("a", 100, friday)}, nil)
	b := openBook(t, dir)
	step := book.Step{Break: b.State().Breaks("")[0].ID, Action: book.Comment, Note: "n"}
	for i := 1; i < book.StepsMax; i++ {
		if err := b.Do(step, by("mei")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Do(step, by("mei")); !errors.Is(err, book.ErrStep) {
		t.Errorf("%v", err)
	}
}

// Any change to the journal is found by its line; a torn last line is not a change.
func TestJournalIsAChain(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, friday, rows{row("a", 100, friday), row("b", 100, friday)}, nil)
	name := filepath.Join(dir, "breaks.jsonl")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	elsewhere := t.TempDir()
	keep(t, elsewhere, monday, rows{row("z", 1, monday)}, nil)
	other, err := os.ReadFile(filepath.Join(elsewhere, "breaks.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{
		"a line left out":   bytes.Join(append(append([][]byte{}, lines[:1]...), lines[2:]...), nil),
		"lines swapped":     bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3]}, nil),
		"a line twice":      append(append([]byte{}, whole...), lines[3]...),
		"an amount changed": bytes.Replace(whole, []byte(`"amount":100`), []byte(`"amount":101`), 1),
		"lines of another journal": append(append([]byte{}, lines[0]...),
			bytes.Join(bytes.SplitAfter(other, []byte("\n"))[1:], nil)...),
		"a space":           bytes.Replace(whole, []byte(`"seq":1`), []byte(`"seq": 1`), 1),
		"a line too long":   append(bytes.Repeat([]byte("x"), 2<<20), whole...),
		"no journal at all": []byte("hello\n"),
	}
	for what, text := range damaged {
		put(text)
		if _, err := book.Read(dir); !errors.Is(err, book.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := book.OpenBook(dir); !errors.Is(err, book.ErrDamaged) {
			t.Errorf("%s: opened: %v", what, err)
		}
	}
	for cut := range whole { // a crash at any byte of the run
		put(whole[:cut])
		if n := len(state(t, dir).Breaks("")); n != 0 {
			t.Fatalf("cut at %d: %d breaks of a run that never ended", cut, n)
		}
	}
	put(whole[:len(whole)-10])
	kept := keep(t, dir, friday, rows{row("a", 100, friday), row("b", 100, friday)}, nil)
	if !kept.Fresh || len(state(t, dir).Breaks("")) != 2 {
		t.Errorf("after a crash: %+v", kept)
	}
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	openBook(t, dir)
	if _, err := book.OpenBook(dir); !errors.Is(err, book.ErrInUse) {
		t.Errorf("%v, want in use", err)
	}
	if _, err := book.OpenBook(filepath.Join(dir, "breaks.jsonl", "x")); err == nil {
		t.Error("a file is no folder")
	}
}

// Whatever days bring, a row of ours that waits is in exactly one break that is open, or it was
// matched, and the journal read again tells the same.
func TestNothingIsLostBetweenRuns(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "book")
		if err != nil {
			rt.Fatal(err)
		}
		day := friday
		waiting := map[string]bool{}
		next := 0
		for range rapid.IntRange(1, 3).Draw(rt, "days") {
			var ours, theirs rows
			for range rapid.IntRange(0, 4).Draw(rt, "ours") {
				rrn := string(rune('a' + next))
				next++
				ours = append(ours, row(rrn, 100, day))
				waiting[rrn] = true
			}
			for _, rrn := range slices.Sorted(maps.Keys(waiting)) {
				if rapid.Bool().Draw(rt, "comes") {
					theirs = append(theirs, row(rrn, 100, day))
					delete(waiting, rrn)
				}
			}
			keep(t, dir, day, ours, theirs)
			keep(t, dir, day, ours, theirs)
			open := state(t, dir).Breaks("p", book.Open)
			if len(open) != len(waiting) {
				rt.Fatalf("%d open, %d wait", len(open), len(waiting))
			}
			for _, item := range open {
				if !waiting[item.Ours.Text[recon.RRN]] {
					rt.Fatalf("%s does not wait", item.Ours.Text[recon.RRN])
				}
			}
			day = day.Next()
		}
	})
}

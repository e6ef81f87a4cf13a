package book_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/book"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
)

// modelled is what a person would have written down of one break.
type modelled struct {
	standing          book.Standing
	owner, resolution string
	proposer          string
	actions           []string
}

// step does a step on the model and says whether it is possible.
func (m *modelled) step(s book.Step, actor string) bool {
	standing := m.standing
	switch {
	case s.Action == book.Assign && (standing == book.Open || standing == book.Proposed) && s.Owner != "":
		m.owner = s.Owner
	case s.Action == book.Comment:
	case s.Action == book.Resolve && standing == book.Open && s.Note != "" && slices.Contains(book.Resolutions(), s.Resolution):
		m.standing, m.resolution = book.Resolved, s.Resolution
		if s.Resolution == book.WrittenOff {
			m.standing, m.proposer = book.Proposed, actor
		}
	case s.Action == book.Confirm && standing == book.Proposed && actor != m.proposer:
		m.standing = book.Resolved
	case s.Action == book.Reject && standing == book.Proposed, s.Action == book.Reopen && standing == book.Resolved:
		m.standing, m.resolution, m.proposer = book.Open, "", ""
	default:
		return false
	}
	m.actions = append(m.actions, actor+" "+s.Action)
	return true
}

// heldTo compares a journal with the model, as it is read from the disk.
func heldTo(t *rapid.T, dir string, model map[string]*modelled) {
	t.Helper()
	s, err := book.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := s.Breaks("")
	if len(all) != len(model) {
		t.Fatalf("%d breaks, want %d", len(all), len(model))
	}
	for _, item := range all {
		m := model[item.ID]
		var actions []string
		for _, step := range item.History {
			actions = append(actions, step.Actor+" "+step.Action)
		}
		if m == nil || item.Standing != m.standing || item.Owner != m.owner || item.Resolution != m.resolution ||
			!slices.Equal(actions, m.actions) {
			t.Fatalf("break %s is %s of %s, %s, %v; want %+v", item.ID, item.Standing, item.Owner, item.Resolution, actions, m)
		}
	}
}

// TestAnyHistoryIsKept: persons do any steps on any breaks, wrong ones too, while the process ends
// at any moment: between steps, or in the middle of a line that nobody was told of. What was
// acknowledged is there, in order; what was refused or cut off is not; and the standing of every
// break is that of its history.
func TestAnyHistoryIsKept(t *testing.T) {
	actions := []string{book.Assign, book.Comment, book.Resolve, book.Confirm, book.Reject, book.Reopen, "forget"}
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "tapswitch-book-")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b, err := book.OpenBook(dir)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		model := map[string]*modelled{}
		res := &run.Result{Plan: "p", Day: friday, Date: friday.String()}
		for i := range 3 {
			id := fmt.Sprint("b", i)
			r := row(id, 100, friday)
			res.Breaks = append(res.Breaks, &recon.Break{ID: id, Difference: recon.OursOnly, Cause: recon.Unknown, Ours: &r,
				Opened: friday, Owner: "desk"})
			model[id] = &modelled{standing: book.Open, owner: "desk", actions: []string{"mei opened"}}
		}
		if _, err := b.Keep(res, "digest", by("mei")); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			if rapid.IntRange(0, 4).Draw(rt, "end") == 0 {
				if err := b.Close(); err != nil {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "torn") {
					tear(rt, dir)
				}
				heldTo(rt, dir, model)
				if b, err = book.OpenBook(dir); err != nil {
					rt.Fatal(err)
				}
				continue
			}
			step := book.Step{Break: fmt.Sprint("b", rapid.IntRange(0, 3).Draw(rt, "break")),
				Action: rapid.SampledFrom(actions).Draw(rt, "action"), Owner: rapid.SampledFrom([]string{"", "lan"}).Draw(rt, "owner"),
				Note:       rapid.SampledFrom([]string{"", "why"}).Draw(rt, "note"),
				Resolution: rapid.SampledFrom(append(book.Resolutions(), "")).Draw(rt, "as")}
			actor := rapid.SampledFrom([]string{"mei", "lan"}).Draw(rt, "actor")
			known := model[step.Break]
			possible := known != nil && known.step(step, actor)
			err := b.Do(step, by(actor))
			if possible != (err == nil) || known == nil && !errors.Is(err, book.ErrNotFound) {
				rt.Fatalf("%s of %s by %s: possible %v, %v", step.Action, step.Break, actor, possible, err)
			}
		}
		heldTo(rt, dir, model)
	})
}

// tear leaves the beginning of a line at the end of the journal, as a crash does.
func tear(t *rapid.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "breaks.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := text[:slices.Index(text, '\n')]
	torn := first[:rapid.IntRange(1, len(first)).Draw(t, "bytes")]
	if err := os.WriteFile(path, append(text, torn...), 0o600); err != nil {
		t.Fatal(err)
	}
}

package drill

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const start txn.Millis = 1772413200000 // 2026-03-02 09:00 in China

// hall is a service over the memory store.
type hall struct {
	t       *testing.T
	memory  *storetest.Memory
	service *Service
	now     txn.Millis
}

func newHall(t *testing.T) *hall {
	t.Helper()
	token, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{t: t, now: start}
	clock := func() txn.Millis { return h.now }
	h.memory = storetest.NewMemory(storetest.MemoryOptions{Now: clock})
	if err := h.memory.OpenEpoch(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	h.service, err = New(Options{Cards: h.memory, Registry: h.memory, Tokenizer: token, Books: deploy.Runbooks(),
		Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// records are the notes of the audit trail.
func (h *hall) notes() (notes []string) {
	h.t.Helper()
	for shard := range h.memory.Shards() {
		entries, _, err := h.memory.Read(h.t.Context(), shard, store.Cursor{}, 1000)
		if err != nil {
			h.t.Fatal(err)
		}
		for i := range entries {
			r, err := txn.DecodeRecord(entries[i].Record)
			if err != nil {
				h.t.Fatal(err)
			}
			if r.Kind == txn.Desk {
				notes = append(notes, r.Listing.Actor+": "+r.Listing.Note)
			}
		}
	}
	return notes
}

func (h *hall) standing(name string) Standing {
	h.t.Helper()
	all, err := h.service.All(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, one := range all {
		if one.Name == name {
			return one
		}
	}
	h.t.Fatalf("no runbook %s", name)
	return Standing{}
}

// SY10: for each kind of incident there is a runbook with a drill; a drill keeps who did what,
// when, with what was found, in the ledger too; who has not drilled in time is named.
func TestDuty_SY10_DrillsLeaveARecord(t *testing.T) {
	h := newHall(t)
	var names []string
	for _, b := range h.service.Runbooks() {
		names = append(names, b.Name)
		if len(b.Steps) < 4 || b.Days < 30 || b.Days > 400 {
			t.Errorf("%s: %d steps every %d days", b.Name, len(b.Steps), b.Days)
		}
	}
	if got := fmt.Sprint(names); got != "[bank-away breach lost-store stale-list wrong-tariff]" {
		t.Fatalf("runbooks %s", got)
	}
	if one := h.standing("lost-store"); !one.Overdue || one.Due != 0 {
		t.Errorf("never drilled, and not overdue: %+v", one)
	}
	d, err := h.service.Start(t.Context(), "lost-store", "wang", []string{"li", "zhao"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range d.Steps {
		h.now += 60_000
		if _, err := h.service.Do(t.Context(), d.ID, Step{No: n + 1, Result: Passed, By: "li"}); err != nil {
			t.Fatal(err)
		}
	}
	h.now += 60_000
	if d, err = h.service.Finish(t.Context(), d.ID, "wang", "12 minutes, the copy was an hour old"); err != nil || !d.Passed {
		t.Fatal(d, err)
	}
	one := h.standing("lost-store")
	if one.Overdue || one.LastPassed != h.now || len(one.Drills) != 1 || one.Drills[0].Done[0].By != "li" ||
		one.Drills[0].Done[0].At != start+60_000 {
		t.Errorf("%+v", one)
	}
	notes := h.notes()
	if len(notes) != 2+len(d.Steps) || notes[0] != "wang: drill start "+d.ID ||
		notes[len(notes)-1] != "wang: drill finish passed "+d.ID || !strings.HasPrefix(notes[1], "li: drill step 1 passed") {
		t.Errorf("%q", notes)
	}
	h.now += txn.Millis(one.Days) * dayMS
	if !h.standing("lost-store").Overdue {
		t.Error("not overdue after its days")
	}
}

// A drill with a step that failed has not passed and leaves its runbook overdue; a step that
// was repaired and repeated counts as it is in the end.
func TestADrillThatFailed(t *testing.T) {
	h := newHall(t)
	ctx := t.Context()
	run := func(repair bool) *Drill {
		h.now++
		d, err := h.service.Start(ctx, "bank-away", "wang", nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range d.Steps {
			step := Step{No: n + 1, Result: Passed, By: "li"}
			if n == 0 {
				step.Result, step.Finding = Failed, "nobody knew the number"
			}
			if _, err := h.service.Do(ctx, d.ID, step); err != nil {
				t.Fatal(err)
			}
		}
		if repair {
			if _, err := h.service.Do(ctx, d.ID, Step{No: 1, Result: Skipped, Finding: "done by letter", By: "li"}); err != nil {
				t.Fatal(err)
			}
		}
		if d, err = h.service.Finish(ctx, d.ID, "wang", "the list hangs on the wall now"); err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := run(false); d.Passed || !h.standing("bank-away").Overdue {
		t.Errorf("%+v", d)
	}
	if d := run(true); !d.Passed || h.standing("bank-away").Overdue || len(d.Done) != len(d.Steps)+1 {
		t.Errorf("%+v", d)
	}
}

// What is refused leaves nothing behind.
func TestWhatADrillRefuses(t *testing.T) {
	h := newHall(t)
	ctx := t.Context()
	if _, err := h.service.Start(ctx, "fire", "wang", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, err := h.service.Start(ctx, "breach", "wang", make([]string, PeopleMax+1)); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
	d, err := h.service.Start(ctx, "breach", "wang", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.service.Start(ctx, "breach", "li", nil); !errors.Is(err, ErrRefused) {
		t.Errorf("two of one name: %v", err)
	}
	for _, step := range []Step{{No: 0, Result: Passed}, {No: len(d.Steps) + 1, Result: Passed}, {No: 1, Result: "ok"},
		{No: 1, Result: Failed}, {No: 1, Result: Skipped}, {No: 1, Result: Passed, Finding: strings.Repeat("x", TextMax+1)},
		{No: 1, Result: Passed, Finding: "a\x07"}} {
		if _, err := h.service.Do(ctx, d.ID, step); !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", step, err)
		}
	}
	if _, err := h.service.Finish(ctx, d.ID, "wang", "done"); !errors.Is(err, ErrRefused) {
		t.Errorf("finished without its steps: %v", err)
	}
	if _, err := h.service.Do(ctx, "breach.1", Step{No: 1, Result: Passed}); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	for n := range d.Steps {
		if _, err := h.service.Do(ctx, d.ID, Step{No: n + 1, Result: Passed}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.service.Finish(ctx, d.ID, "wang", "done"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.service.Do(ctx, d.ID, Step{No: 1, Result: Passed}); !errors.Is(err, ErrRefused) {
		t.Errorf("a finished drill changed: %v", err)
	}
	if n := len(h.notes()); n != 2+len(d.Steps) {
		t.Errorf("%d notes", n)
	}
}

func TestRunbooksThatCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{
		"no days":  "# A\n\n## Drill\n\n1. one\n",
		"no steps": "# A\n\n## Drill\n\nEvery 30 days.\n",
		"order":    "# A\n\n## Drill\n\nEvery 30 days.\n\n2. two\n",
	} {
		if _, err := Books(fstest.MapFS{"a.md": {Data: []byte(text)}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	text := "# A title\n\n## Drill\n\nEvery 30 days, by two.\n\n1. one\n   and more\n2. two\n\n## After\n\n3. no\n"
	books, err := Books(fstest.MapFS{"a.md": {Data: []byte(text)}, "b.md": {Data: []byte("# B\n")}})
	if err != nil || fmt.Sprint(books) != "[{a A title 30 [one and more two]}]" {
		t.Errorf("%v %v", books, err)
	}
}

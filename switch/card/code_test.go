package card_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"pgregory.net/rapid"
)

func TestCodeWindow(t *testing.T) {
	var w card.CodeWindow
	for i := range int64(card.CodesKeep) {
		w = w.Mark(1000 + 10*i)
	}
	last := int64(1000 + 10*(card.CodesKeep-1))
	for at, want := range map[int64]card.CodeVerdict{1000: card.CodeUsed, last: card.CodeUsed,
		last + 1: card.CodeNew, 999: card.CodeNew, 1005: card.CodeNew} {
		if got := w.Check(at); got != want {
			t.Errorf("full, %d: %d, want %d", at, got, want)
		}
	}
	before := slices.Clone(w.Used)
	next := w.Mark(1005)
	for at, want := range map[int64]card.CodeVerdict{999: card.CodeTooOld, 1000: card.CodeTooOld,
		1001: card.CodeNew, 1005: card.CodeUsed} {
		if got := next.Check(at); got != want {
			t.Errorf("one more, %d: %d, want %d", at, got, want)
		}
	}
	if !slices.Equal(w.Used, before) || w.Check(1000) != card.CodeUsed {
		t.Error("Mark changed the window that it was asked of")
	}
	if again := next.Mark(1005); !reflect.DeepEqual(again, next) {
		t.Errorf("marked twice: %+v", again)
	}
	// One that is older than all of a full window goes at once, and stays refused.
	if old := w.Mark(5); old.Check(5) != card.CodeTooOld || old.Check(1000) != card.CodeUsed {
		t.Errorf("older than all: %+v", old)
	}
}

// Whatever comes in whatever order: what was used once is never new again.
func TestCodesAreNewOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w card.CodeWindow
		used := map[int64]bool{}
		for _, at := range rapid.SliceOfN(rapid.Int64Range(1, 120), 0, 300).Draw(t, "codes") {
			switch verdict := w.Check(at); {
			case verdict == card.CodeNew && used[at]:
				t.Fatalf("%d is new again", at)
			case verdict == card.CodeUsed && !used[at]:
				t.Fatalf("%d was never used", at)
			case verdict == card.CodeNew:
				w, used[at] = w.Mark(at), true
			}
			if len(w.Used) > card.CodesKeep {
				t.Fatalf("%d codes, limit %d", len(w.Used), card.CodesKeep)
			}
		}
	})
}

func TestCodesThatCannotBeRead(t *testing.T) {
	s := card.State{Status: card.Active, Codes: card.CodeWindow{Floor: 1, Used: []int64{3, 5}}}
	good := s.Append(nil)
	var back card.State
	for cut := 1; cut < 6; cut++ {
		if err := back.Decode(good[:len(good)-cut]); err == nil {
			t.Errorf("%d bytes less are read", cut)
		}
	}
	twice := slices.Clone(good)
	twice[len(twice)-1] = 0 // the second is the first again
	if err := back.Decode(twice); err == nil {
		t.Error("two codes of one second are read")
	}
}

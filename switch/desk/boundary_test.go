package desk

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Where each party has a time of its own (HD18, HD19), so has the boundary: one party's early
// freeze moves that of nobody else, and what the receipt states is what transactions are judged
// by.
func TestDuty_HD18_EachPartyHasItsOwnBoundary(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", lossReport)
	parties := r.desk.scheme().Parties
	if len(parties) < 2 {
		t.Fatalf("%d parties", len(parties))
	}
	var clocks []notice.Clock
	for i, p := range parties {
		row := notice.Row{Party: p.Name, SentFirst: morning + second, Received: morning + minute}
		if i == 0 {
			row.Effective = morning + 10*minute
		}
		clocks = append(clocks, notice.Clock{Row: row})
	}
	r.notices.clocks = map[string][]notice.Clock{"": clocks[:1]}
	boundary := func() (txn.Millis, map[string]txn.Millis) {
		losses, err := r.desk.Losses(t.Context(), token)
		if err != nil || len(losses) != 1 {
			t.Fatalf("%d losses, %v", len(losses), err)
		}
		last, own, err := r.desk.BoundaryOf(t.Context(), losses[0], losses[0].Carriers[0])
		if err != nil {
			t.Fatal(err)
		}
		return last, own
	}
	if last, own := boundary(); last != 0 || own[parties[0].Name] != morning+10*minute ||
		own[parties[1].Name] != 0 {
		t.Errorf("some are not told: last %d, own %v", last, own)
	}
	r.notices.clocks[""] = clocks
	last, own := boundary()
	if want := morning + minute + 2*hour; last != want || own[parties[1].Name] != want ||
		own[parties[0].Name] != morning+10*minute {
		t.Errorf("all are told: last %d, own %v", last, own)
	}
	city := newRig(t, "zhoushan")
	other := city.open(1)
	city.must(other, "li.lei", lossReport)
	losses, err := city.desk.Losses(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if at, own, err := city.desk.BoundaryOf(t.Context(), losses[0], losses[0].Carriers[0]); err != nil ||
		own != nil || at == 0 {
		t.Errorf("one boundary for all: %d, %v, %v", at, own, err)
	}
}

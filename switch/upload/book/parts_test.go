package book

import (
	"context"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// partly is an engine that answers only some of its calls, and knows how long they were.
type partly struct {
	Engine
	calls  []int
	broken bool // no call but the first is answered
}

func (p *partly) AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer {
	p.calls = append(p.calls, len(requests))
	if p.broken && len(p.calls) > 1 {
		answers := make([]engine.Answer, len(requests))
		for i := range answers {
			answers[i].Err = engine.ErrInDoubt
		}
		return answers
	}
	return p.Engine.AuthorizeAll(ctx, requests)
}

// A frame of more records than the engine is asked at a time is booked in parts, of which one may
// end in the middle of a card. Where the second part is not answered, what stands in the first is
// booked, the rest is to be sent again, and then each is booked once.
func TestFrameIsBookedInParts(t *testing.T) {
	const cards, each = 70, 40 // the first part ends behind the eighth record of a card
	const size, money = cards * each, 190 * each
	asked := &partly{}
	r := newRig(t, func(o *Options) { asked.Engine = o.Engine; o.Engine = asked })
	r.enrol(cards, money)
	var taps []frame.Tap
	for k := range each {
		for i := range cards {
			taps = append(taps, tap(i, uint32(1000+len(taps)), uint16(k+1), uint32(money-190*k), 500-k))
		}
	}
	var g gate
	u := g.next(taps...)
	asked.calls, asked.broken = nil, true
	a, err := r.try(u)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked.calls, []int{bookMax, size - bookMax}) {
		t.Errorf("the engine was asked for %v records", asked.calls)
	}
	if n := count(a.Fates, upload.Accepted); n != bookMax || count(a.Fates, upload.Taken) != size-n {
		t.Fatalf("%d accepted, %d taken", n, count(a.Fates, upload.Taken))
	}
	asked.broken = false
	if a, err = r.try(u); err != nil {
		t.Fatal(err)
	}
	if n := count(a.Fates, upload.Accepted); n != size-bookMax || count(a.Fates, upload.Duplicate) != bookMax {
		t.Fatalf("sent again: %d accepted, %d duplicates", n, count(a.Fates, upload.Duplicate))
	}
	for i := range cards {
		r.balance(i, 0)
	}
	r.agree(0)
}

func count(fates []upload.Fate, s upload.State) (n int) {
	for _, f := range fates {
		if f.State == s {
			n++
		}
	}
	return n
}

package main

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
)

// TestE2EGateFaults: between terminals and gate replies are lost, cut, reset and delayed,
// requests are lost, delayed, doubled, sent in pieces and half closed. Nothing is executed
// twice and nothing is lost.
func TestE2EGateFaults(t *testing.T) {
	c := e2eLocal(t, e2eSeed(t, 20), 200, true)
	faults := []faultproxy.Fault{
		{Kind: faultproxy.DropReply, Every: 23},
		{Kind: faultproxy.CutReply, Every: 29},
		{Kind: faultproxy.Reset, Every: 31},
		{Kind: faultproxy.Duplicate, Every: 11},
		{Kind: faultproxy.Duplicate, Every: 37, Wait: 30 * time.Millisecond},
		{Kind: faultproxy.DropRequest, Every: 41},
		{Kind: faultproxy.HalfClose, Every: 43},
		{Kind: faultproxy.Delay, Every: 47, Wait: 20 * time.Millisecond},
		{Kind: faultproxy.DelayRequest, Every: 53, Wait: 20 * time.Millisecond},
		{Kind: faultproxy.Split, Every: 17, Size: 7},
	}
	for _, f := range faults {
		c.front.Inject(f)
	}
	out := c.drive()
	c.front.Clear()
	for _, f := range faults {
		if c.front.Count(f.Kind) == 0 {
			t.Errorf("no %s was made: the test shows nothing of it", f.Kind)
		}
	}
	if out.Interrupted == 0 {
		t.Error("no request was interrupted: the test shows nothing")
	}
	c.finish(out, c.node.parquet)
}

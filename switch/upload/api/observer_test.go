package api

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/upload"
)

// batches keeps what an observer is told.
type batches struct {
	sizes []int
	fates []upload.Fate
}

func (b *batches) Batch(size int, fates []upload.Fate) {
	b.sizes, b.fates = append(b.sizes, size), append(b.fates, fates...)
}

// The observer is told of each batch that was decided, in either form of the answer, and of none
// that was not.
func TestObserver(t *testing.T) {
	u := frameOf(tap(1, 7, 5000, "20261122113000"), tap(2, 8, 4810, "20261122130000"))
	frame, err := u.Frame()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	var b batches
	r.h.Observe(&b)
	r.ask("POST", Prefix, frame, device, "Content-Type="+Media)
	r.ask("POST", Prefix, frame, device, "Content-Type="+Media, "Accept="+Media)
	r.ask("POST", Prefix, frame[1:], device, "Content-Type="+Media)
	r.ask("POST", Prefix, frame, "Content-Type="+Media)
	want := []upload.Fate{{State: upload.Accepted}, {State: upload.Held, Reason: upload.InFuture},
		{State: upload.Duplicate}, {State: upload.Duplicate, Reason: upload.InFuture}}
	if len(b.sizes) != 2 || b.sizes[0] != len(frame) || len(b.fates) != len(want) {
		t.Fatalf("%+v", b)
	}
	for i := range want {
		if b.fates[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, b.fates[i], want[i])
		}
	}
}

package gracewire

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// numbering answers with what is confirmed, one step further at each call.
type numbering struct {
	store.Clock
	confirmed, asked int
	err              error
}

func (n *numbering) Buckets(context.Context) ([]store.BucketInfo, error) {
	n.asked++
	last := txn.Position{Bucket: 1, Epoch: 2, Seq: txn.Seq(4 + n.asked)} // others go on working
	has := txn.Position{Bucket: 1, Epoch: 2, Seq: txn.Seq(max(0, n.confirmed+n.asked))}
	return []store.BucketInfo{{Bucket: 0}, {Bucket: 1, Last: last, Confirmed: has, Pending: 3}}, n.err
}

func TestSettledWaitsForWhatWasThere(t *testing.T) {
	n := &numbering{confirmed: 1}
	if err := (Ledger{Clock: n}).Settled(t.Context()); err != nil || n.asked != 4 {
		t.Errorf("asked %d times: %v", n.asked, err)
	}
	n = &numbering{err: store.ErrUnavailable}
	if err := (Ledger{Clock: n}).Settled(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	n = &numbering{confirmed: -1 << 30}
	if err := (Ledger{Clock: n}).Settled(ctx); !errors.Is(err, errLedgerBehind) {
		t.Errorf("%v", err)
	}
}

package blacklist

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// bulk is a source of n cards that costs nothing but making their tokens.
type bulk struct{ n int }

func (s bulk) Snapshot(_ context.Context, b txn.Bucket, yield func(pan.Token, txn.Mark)) (
	store.ListSeq, error) {
	for i := int(b); i < s.n; i += txn.BucketCount {
		yield(inBucket(tokenAt(uint64(i)), b), lost)
	}
	return 1, nil
}

func (bulk) Changes(context.Context, txn.Bucket, store.ListSeq, int) ([]store.Change, error) {
	return nil, nil
}

func (bulk) Entry(context.Context, pan.Token) (store.Entry, bool, error) {
	return store.Entry{}, false, nil
}

func (bulk) Tails(context.Context) (tails [txn.BucketCount]store.ListSeq, err error) {
	for i := range tails {
		tails[i] = 1
	}
	return tails, nil
}

// BenchmarkReplica takes snapshots of 10 million cards into an empty replica, then
// checks cards that are not listed, clock reading included.
func BenchmarkReplica(b *testing.B) {
	const n = 10_000_000
	var r *Replica
	b.Run("Load", func(b *testing.B) {
		for range b.N {
			r = NewReplica(ReplicaOptions{Source: bulk{n}})
			r.repair(b.Context())
		}
		b.ReportMetric(float64(r.Stats().Bytes)/n, "B/card")
	})
	b.Run("Check", func(b *testing.B) {
		r.poll(b.Context())
		tokens := probes(n, false)
		check := func(card pan.Token) txn.Mark {
			mark, _ := r.Check(card)
			return mark
		}
		batch := percentiles(tokens, 16, check)
		single := percentiles(tokens, 1, check)
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			check(tokens[i&(len(tokens)-1)])
		}
		b.ReportMetric(single.p50, "p50-ns")
		b.ReportMetric(single.p999, "p99.9-ns")
		b.ReportMetric(batch.p50, "p50of16-ns")
	})
}

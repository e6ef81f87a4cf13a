// Package collector sets how much room Go's garbage collector leaves itself.
//
// Most of a switch's memory is card states, which hold no pointers: collecting more often
// costs little there and saves memory, so that the room is a share of what is live. With few
// cards that share is small, and a collection every few hundred milliseconds takes half of a
// small machine's processors for ten or twenty each time, which is the p99 of a bank card.
// There the room is an amount instead.
package collector

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// share is the least room in percent of what is live.
	share = 50
	// room is the least room in bytes, and shareMax what bounds it for a tiny heap.
	room     = 128 << 20
	shareMax = 400
	// every is how often the room is looked at.
	every = time.Second
)

// Run keeps the collector's room until ctx ends. It does nothing where GOGC is set in the
// environment. Call it once in a process.
func Run(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	is := share // until it is known what a start has put into memory
	debug.SetGCPercent(is)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		// Setting it stops the world for a moment: not for every small change.
		if want := percent(live()); want < is || want > is+is/4 {
			is = want
			debug.SetGCPercent(is)
		}
	}
}

// percent returns GOGC for a heap of which live bytes are in use.
func percent(live uint64) int {
	if live == 0 {
		return shareMax
	}
	return int(min(max(room*100/live, share), shareMax))
}

// live returns what the last collection found in use.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

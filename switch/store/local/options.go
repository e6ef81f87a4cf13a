package local

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Defaults and bounds of Options.
const (
	checkpointEveryDefault = 5 * time.Second
	segmentBytesDefault    = 64 << 20
	segmentBytesMin        = 256 << 10
	segmentBytesMax        = 1 << 30
	outboxMaxDefault       = 1 << 16
	hotStatesMaxDefault    = 2 << 20
	changesKeptDefault     = 1 << 14
	hotStatesMin           = 16 // a bucket
)

// Options of Open. Only Dir and Date are needed.
type Options struct {
	// Dir is the directory of the store; it is made when it does not exist. One
	// process opens it at a time.
	Dir string
	// Date is the business date of buckets that have none yet: the current one at the
	// first start. It changes nothing later; CutOver does.
	Date txn.BusinessDate
	// Now is the store's clock, which deadlines are compared with. Default: the system
	// clock.
	Now func() txn.Millis
	// CheckpointEvery is the time between checkpoints, 5 s by default. Longer means
	// less writing and a longer start after a crash.
	CheckpointEvery time.Duration
	// SegmentBytes is the size of one journal file, 64 MiB by default. Files are
	// filled with zeros ahead of need and overwritten in place, since a sync of a
	// growing file costs half as much again.
	SegmentBytes int64
	// OutboxMax is how many unconfirmed outbox entries a bucket may hold before commits
	// with a record are refused (OutboxFull), 65,536 by default. 64 times that is what
	// the disk must hold, about 700 bytes each.
	OutboxMax int
	// HotStatesMax is how many card states stay in memory, 2,097,152 by default, shared
	// evenly by the buckets. Cards that changed since the last checkpoint stay in any
	// case, up to twice that; beyond it commits on further cards wait for a checkpoint.
	HotStatesMax int
	// ChangesKept is how many list changes of a bucket are kept for replicas and gates
	// that follow, 16,384 by default; who is further behind takes a snapshot.
	ChangesKept int
	// Logger is told of starts, cuts, faults. Default: slog.Default.
	Logger *slog.Logger
	// OnFatal is called once when the store can no longer be trusted. The process should
	// stop. It must not call the store.
	OnFatal func(error)
	// Failpoint is called at the places named by the Fail constants. Crash tests kill
	// the process there; nil in production.
	Failpoint func(name string)

	disk disk // where files are; tests put faults here
}

// The names that Options.Failpoint is called with.
const (
	FailBeforeWrite      = "before_write"      // a batch is gathered, nothing written
	FailAfterWrite       = "after_write"       // the batch is written, not synced
	FailAfterSync        = "after_sync"        // the batch is durable, nobody told
	FailBeforeReply      = "before_reply"      // Commit is about to return
	FailCheckpointBegin  = "checkpoint_begin"  // nothing of the checkpoint is written
	FailCheckpointStates = "checkpoint_states" // Pebble has the states, and nothing else yet
	FailCheckpointEnd    = "checkpoint_end"    // it is durable, no segment removed yet
	FailSegmentRotate    = "segment_rotate"    // the next batch goes to a new segment
	FailColdRead         = "cold_read"         // a cold card was read, its bucket is not locked
)

// FailNames returns all names of failpoints.
func FailNames() []string {
	return []string{FailBeforeWrite, FailAfterWrite, FailAfterSync, FailBeforeReply,
		FailCheckpointBegin, FailCheckpointStates, FailCheckpointEnd, FailSegmentRotate, FailColdRead}
}

func (o *Options) fill() error {
	if o.Dir == "" {
		return fmt.Errorf("local store: no directory given")
	}
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.OnFatal == nil {
		o.OnFatal = func(error) {}
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	o.CheckpointEvery = orDefault(o.CheckpointEvery, checkpointEveryDefault)
	o.SegmentBytes = orDefault(o.SegmentBytes, segmentBytesDefault)
	o.OutboxMax = orDefault(o.OutboxMax, outboxMaxDefault)
	o.HotStatesMax = orDefault(o.HotStatesMax, hotStatesMaxDefault)
	o.ChangesKept = orDefault(o.ChangesKept, changesKeptDefault)
	return o.check()
}

func (o *Options) check() error {
	switch {
	case o.SegmentBytes < segmentBytesMin || o.SegmentBytes > segmentBytesMax ||
		o.SegmentBytes%blockBytes != 0:
		return fmt.Errorf("local store: segment size %d: want a multiple of %d from %d to %d",
			o.SegmentBytes, blockBytes, segmentBytesMin, segmentBytesMax)
	case o.OutboxMax < 0 || o.HotStatesMax < 0 || o.CheckpointEvery < 0 ||
		o.ChangesKept < 0:
		return fmt.Errorf("local store: negative limit in options")
	}
	return nil
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

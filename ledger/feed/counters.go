package feed

import "sync/atomic"

// Counters count what the feed does; a caller publishes them. Safe for concurrent use;
// the zero value is ready.
type Counters struct {
	Relayed        atomic.Int64 // records acknowledged by Kafka, repeats included
	RelayRetries   atomic.Int64 // times that messages were sent again
	CursorSaves    atomic.Int64
	Read           atomic.Int64 // records that reached the intake
	Taken          atomic.Int64 // records accepted in sequence
	Duplicates     atomic.Int64 // records dropped because they are held
	Skipped        atomic.Int64 // records passed over while their bucket is stopped
	Gaps           atomic.Int64 // times that a bucket was stopped; any is an alarm
	StoppedBuckets atomic.Int64 // buckets stopped now
	// RestoredBuckets counts those of which the warehouse holds more than the store ever wrote;
	// any stops the feed.
	RestoredBuckets atomic.Int64
	DeadLetters     atomic.Int64 // any is an alarm
	OffsetJumps     atomic.Int64 // committed offsets outside the topic; an alarm
	Rewinds         atomic.Int64 // partitions read again from their beginning
	Rebalances      atomic.Int64
	Flushes         atomic.Int64
	FlushErrors     atomic.Int64
	FlushedRows     atomic.Int64
	Confirmed       atomic.Int64 // Confirm calls that succeeded
	ConfirmErrors   atomic.Int64
}

// Each calls yield with the name and value of every counter, in a fixed order. Names end
// in _total but for stopped_buckets and restored_buckets, which go down again.
func (c *Counters) Each(yield func(name string, value int64)) {
	for _, e := range []struct {
		name string
		v    *atomic.Int64
	}{
		{"relayed_total", &c.Relayed}, {"relay_retries_total", &c.RelayRetries},
		{"cursor_saves_total", &c.CursorSaves}, {"read_total", &c.Read},
		{"taken_total", &c.Taken}, {"duplicates_total", &c.Duplicates},
		{"skipped_total", &c.Skipped}, {"gaps_total", &c.Gaps},
		{"stopped_buckets", &c.StoppedBuckets},
		{"restored_buckets", &c.RestoredBuckets}, {"dead_letters_total", &c.DeadLetters},
		{"offset_jumps_total", &c.OffsetJumps}, {"rewinds_total", &c.Rewinds},
		{"rebalances_total", &c.Rebalances}, {"flushes_total", &c.Flushes},
		{"flush_errors_total", &c.FlushErrors}, {"flushed_rows_total", &c.FlushedRows},
		{"confirmed_total", &c.Confirmed}, {"confirm_errors_total", &c.ConfirmErrors},
	} {
		yield(e.name, e.v.Load())
	}
}

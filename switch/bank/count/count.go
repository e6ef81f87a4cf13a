// Package count holds the counters of the bank edge. They are read and written at any time, by
// anybody, and begin at zero with the process; nothing rests on them.
package count

import "sync/atomic"

// Stats count what the bank edge did. All are safe to read at any time.
type Stats struct {
	In, Out    atomic.Int64 // messages of terminals and acquirers, and answers to them
	Refused    atomic.Int64 // not taken: too many at once, or the switch stops
	Unanswered atomic.Int64 // taken and left without an answer, for the terminal to reverse
	BadFormat  atomic.Int64
	BadMAC     atomic.Int64
	Copies     atomic.Int64 // repeats that waited for the first copy
	Replays    atomic.Int64 // repeats that were answered out of the card's memory
	OldIDs     atomic.Int64 // ids of transactions too old to be repeated: refused
	Approved   atomic.Int64
	Declined   atomic.Int64
	Redirected atomic.Int64 // went another way, since nothing left on the first
	Doubts     atomic.Int64 // outcome unknown: reversed, or told again
	Expired    atomic.Int64 // pending ones that nobody concluded in time
	Reversals  atomic.Int64 // that terminals and acquirers asked for
	Late       atomic.Int64 // answers that came after their transaction was given up
	Told       atomic.Int64 // reversals and advices sent to banks
	Waiting    atomic.Int64 // times that a bank could not be told because its link is down
	Dead       atomic.Int64 // reversals and advices that a bank refused
	Signatures atomic.Int64 // signatures that were kept
	Forwarded  atomic.Int64 // notices that a bank has acknowledged
	KeyChanges atomic.Int64 // keys that came into force
	KeyFaults  atomic.Int64 // orders of keys that failed, and keys that were refused
	Reconciled atomic.Int64 // 0500 of acquirers answered, and of ours that were answered
	Unbalanced atomic.Int64 // those of them whose totals differ
	Currency   atomic.Int64 // declined because they are in another currency
	Faults     atomic.Int64 // of the switch itself
}

// Each calls f with the name and value of every counter, in one order.
func (s *Stats) Each(f func(name string, value int64)) {
	for _, c := range []struct {
		name  string
		value *atomic.Int64
	}{
		{"in", &s.In}, {"out", &s.Out}, {"refused", &s.Refused}, {"unanswered", &s.Unanswered},
		{"bad_format", &s.BadFormat}, {"bad_mac", &s.BadMAC}, {"copies", &s.Copies},
		{"replays", &s.Replays}, {"old_ids", &s.OldIDs}, {"approved", &s.Approved},
		{"declined", &s.Declined},
		{"redirected", &s.Redirected}, {"doubts", &s.Doubts}, {"expired", &s.Expired},
		{"reversals", &s.Reversals}, {"late", &s.Late}, {"told", &s.Told}, {"waiting", &s.Waiting},
		{"dead", &s.Dead}, {"signatures", &s.Signatures}, {"forwarded", &s.Forwarded},
		{"key_changes", &s.KeyChanges}, {"key_faults", &s.KeyFaults}, {"reconciled", &s.Reconciled},
		{"unbalanced", &s.Unbalanced}, {"foreign_currency", &s.Currency}, {"faults", &s.Faults},
	} {
		f(c.name, c.value.Load())
	}
}

// Package blacklist keeps the frozen cards in memory for the check that every tap
// passes before any work is done for it.
//
// Set is the table: 10 million cards in less than 16 bytes each, read without locks.
// Replica fills a Set from the store: a snapshot of each bucket, then its changes,
// and knows by a monotonic clock how old its knowledge is: FRESH, STALE or UNKNOWN.
// Live does the same for a switch whose store lives in the same process. Policy says
// what each kind of request may do at which freshness.
//
// The package decides nothing finally. The store compares a card's mark again, by the
// exact token, inside every Commit; what is checked here saves the work of a card
// that would be refused there, and guards the few approvals given while the store
// cannot be reached.
//
// Everything here is safe for concurrent use. Nothing is durable and nothing is
// written to disk: a new process starts UNKNOWN and takes a snapshot. The package
// starts no goroutine; who calls Run owns it. It never takes an empty list for
// "nobody is frozen" before it has seen a complete snapshot.
package blacklist

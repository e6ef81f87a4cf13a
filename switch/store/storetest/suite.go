package storetest

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/store"
)

// Options asks Factory.Open for limits small enough to be reached.
type Options struct {
	// OutboxMax is the high-water mark: commits are refused when about so many entries
	// (half to double) are unconfirmed in one bucket. 0 for one that the suite cannot
	// reach (100,000).
	OutboxMax int
	// ListLogMax is about how many changes of a bucket's blacklist are kept: of four
	// times as many plus 2,000 the first must be gone. 0 for one that the suite cannot
	// reach (10,000).
	ListLogMax int
}

// Factory makes stores for the suite. It registers what must be cleaned up with t; a
// store handed out may be closed by then or not.
type Factory struct {
	// Open returns a store on a new, empty database. The suite calls OpenEpoch itself.
	Open func(t testing.TB, o Options) store.Store
	// Reopen opens the data of s, which the suite has closed, with the options it had.
	Reopen func(t testing.TB, s store.Store) store.Store
	// Crash, when not nil, ends s as a kill of the process would, without Close, and
	// opens its data again.
	Crash func(t testing.TB, s store.Store) store.Store
	// Second, when not nil, opens another handle on the data of s while s is open.
	Second func(t testing.TB, s store.Store) store.Store
	// Drop, when not nil, removes the data of s, which is closed. A suite that opens hundreds of
	// stores calls it after each: the disk need not hold them all.
	Drop func(t testing.TB, s store.Store)
}

// Run runs the conformance suite.
func Run(t *testing.T, f Factory) {
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			for _, test := range g.tests {
				t.Run(test.name, func(t *testing.T) {
					w := newWorld(t, t, f, test.options)
					defer func() { w.s.Close() }()
					test.run(w)
				})
			}
		})
	}
}

// group is the tests of one part of the contract.
type group struct {
	name  string
	tests []test
}

func groups() []group {
	return []group{
		{"Commit", commitTests()},
		{"CommitList", commitListTests()},
		{"Limits", limitTests()},
		{"List", listTests()},
		{"Outbox", outboxTests()},
		{"Clock", clockTests()},
		{"Registry", registryTests()},
		{"Life", lifeTests()},
		{"Concurrent", concurrentTests()},
	}
}

// test is one test of the suite. run gets a store with its first epoch open.
type test struct {
	name    string
	run     func(w *world)
	options Options
}

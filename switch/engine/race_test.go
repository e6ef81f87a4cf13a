//go:build race

package engine_test

// raced says that the race detector is on: it makes sync.Pool forget at random, so that
// allocations cannot be counted.
const raced = true

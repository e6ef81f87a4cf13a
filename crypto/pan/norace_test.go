//go:build !race

package pan_test

// raced says whether the race detector is on: it makes sync.Pool forget at random, so that
// allocations cannot be counted.
const raced = false

//go:build !race

package mac_test

// raceEnabled says whether sync.Pool forgets at random, so that allocations cannot be counted.
const raceEnabled = false

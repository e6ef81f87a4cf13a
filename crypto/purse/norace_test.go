//go:build !race

package purse_test

// raced says whether the race detector is on: times mean nothing then.
const raced = false

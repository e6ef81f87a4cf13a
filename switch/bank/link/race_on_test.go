//go:build race

package link

// raceDetector is on: allocations and times mean nothing.
const raceDetector = true

//go:build !race

package link

// raceDetector is off.
const raceDetector = false

//go:build !race

package bankhost

const raceDetector = false

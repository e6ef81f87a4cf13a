package session

import (
	"sync"
	"time"
)

// Limits of failed tries to sign in.
const (
	// TriesMax is how many an address may make within TriesWindow.
	TriesMax = 10
	// AllTriesMax bounds those of all addresses together.
	AllTriesMax = 200
	// TriesWindow is how long they count.
	TriesWindow = 5 * time.Minute
	// addressesMax bounds the addresses that are remembered; more are counted together.
	addressesMax = 4096
)

// Throttle slows down who guesses. Only failures count, so it never stops somebody with a
// token unless his address, or everybody, has guessed too often. Safe for concurrent use.
type Throttle struct {
	now func() time.Time

	mu    sync.Mutex // guards the fields below
	began time.Time  // of the window
	all   int
	by    map[string]int
}

// NewThrottle returns a throttle; nil is the system's clock.
func NewThrottle(now func() time.Time) *Throttle {
	if now == nil {
		now = time.Now
	}
	return &Throttle{now: now, by: make(map[string]int)}
}

// Allows reports whether an address may try, and when it may again if not.
func (t *Throttle) Allows(address string) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.turnLocked()
	if t.all < AllTriesMax && t.by[t.keyLocked(address)] < TriesMax {
		return true, 0
	}
	return false, max(time.Second, TriesWindow-now.Sub(t.began))
}

// Failed counts a failure.
func (t *Throttle) Failed(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turnLocked()
	t.all++
	t.by[t.keyLocked(address)]++
}

// turnLocked begins a new window when the last is over.
func (t *Throttle) turnLocked() time.Time {
	now := t.now()
	if now.Sub(t.began) >= TriesWindow || now.Before(t.began) {
		t.began, t.all = now, 0
		clear(t.by)
	}
	return now
}

// keyLocked is the address, or one name for all that are too many.
func (t *Throttle) keyLocked(address string) string {
	if _, known := t.by[address]; !known && len(t.by) >= addressesMax {
		return ""
	}
	return address
}

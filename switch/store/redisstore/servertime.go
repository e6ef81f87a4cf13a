package redisstore

import (
	"math"
	"strconv"
	"sync/atomic"
	"time"
)

// noDeadline is a deadline that never passes: the greatest integer that Lua holds.
const noDeadline = 1<<53 - 1

// serverTime knows a server's clock from the stamps of its replies, so that a call can
// carry a deadline by that clock. A stamp was taken between sending and receiving, which
// bounds the offset between the server's clock and our monotonic one; an offset that fits
// the newest bounds is kept, another is moved to the nearer bound. Steps of the server's
// clock are followed with the next reply, steps of ours do not matter.
type serverTime struct {
	start  time.Time // the zero of our monotonic clock
	offset atomic.Int64
	known  atomic.Bool
}

func newServerTime() *serverTime { return &serverTime{start: time.Now()} }

// observe takes in a stamp in microseconds.
func (c *serverTime) observe(sent, received time.Time, stamp int64) {
	low := stamp - received.Sub(c.start).Microseconds()
	high := stamp - sent.Sub(c.start).Microseconds()
	old := c.offset.Load()
	next := min(max(old, low), high)
	if !c.known.Load() {
		next = high
	}
	if next != old {
		c.offset.Store(next)
	}
	c.known.Store(true)
}

// deadline returns the server's time in milliseconds when d from now has passed.
func (c *serverTime) deadline(d time.Duration) string {
	if !c.known.Load() {
		return strconv.FormatInt(noDeadline, 10)
	}
	at := time.Since(c.start).Microseconds() + c.offset.Load() + d.Microseconds()
	return strconv.FormatInt(int64(math.Ceil(float64(at)/1000)), 10)
}

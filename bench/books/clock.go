package books

import (
	"fmt"
	"os"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// CutOff is when the business day of the measured switch ends, in UTC.
const CutOff = 3 * time.Hour

// Clock moves the clock of one switch from day to day. The clock never goes back, and the file
// never stands half written. It is for one goroutine.
type Clock struct {
	// Path is the file that says how far the switch's clock is before the machine's.
	Path  string
	Ahead time.Duration
	ends  time.Time // of the business day, by the switch's clock
}

// Set tells the switch.
func (c *Clock) Set() error {
	fresh := c.Path + ".new"
	if err := os.WriteFile(fresh, []byte(c.Ahead.String()), 0o600); err != nil {
		return fmt.Errorf("clock of the switch: %w", err)
	}
	return os.Rename(fresh, c.Path)
}

// TurnTo moves the clock so far before the end of the day, and returns how far it is ahead. Set
// tells the switch.
func (c *Clock) TurnTo(before time.Duration) time.Duration {
	c.Ahead = time.Until(c.ends.Add(-before))
	return c.Ahead
}

// Day is the business date that ends next.
func (c *Clock) Day() txn.BusinessDate {
	return txn.DateOf(c.ends.Add(-time.Second), time.UTC, CutOff)
}

// NextDay begins the next business day to be measured: the first one that ends at least half
// an hour after the present of the switch.
func (c *Clock) NextDay() {
	now := time.Now().Add(c.Ahead).UTC()
	c.ends = now.Truncate(24 * time.Hour).Add(CutOff)
	for c.ends.Before(now.Add(30 * time.Minute)) {
		c.ends = c.ends.Add(24 * time.Hour)
	}
}

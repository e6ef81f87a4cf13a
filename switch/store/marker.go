package store

import (
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// OutboxWait bounds how long Outbox.Read waits for a first entry.
const OutboxWait = 200 * time.Millisecond

// EpochRecord returns the encoded marker that opens an epoch: its outbox entry is
// number 0 and names where the epoch before ended, so that a reader proves that
// nothing is missing between the two.
func EpochRecord(previous txn.Position, at txn.Millis) []byte {
	return txn.AppendRecord(nil, &txn.Record{
		Version: txn.RecordVersion, Kind: txn.EpochMarker, Outcome: txn.Approved,
		Position: txn.Position{Bucket: previous.Bucket},
		Previous: previous, ServiceAt: at, ReceivedAt: at,
	})
}

// DayRecord returns the encoded marker that closes a business date in one bucket.
func DayRecord(b txn.Bucket, closed txn.BusinessDate, at txn.Millis) []byte {
	return txn.AppendRecord(nil, &txn.Record{
		Version: txn.RecordVersion, Kind: txn.DayMarker, Outcome: txn.Approved,
		Position:   txn.Position{Bucket: b},
		ClosedDate: closed, ServiceAt: at, ReceivedAt: at,
	})
}

// Check returns ErrTooLarge when the commit breaks a limit, and an error when it
// contradicts itself. Implementations call it before anything else.
func (c *Commit) Check() error {
	switch {
	case len(c.State) > StateMax:
		return fmt.Errorf("%w: state of %d bytes, limit %d", ErrTooLarge, len(c.State), StateMax)
	case len(c.Record) > RecordMax:
		return fmt.Errorf("%w: record of %d bytes, limit %d", ErrTooLarge, len(c.Record), RecordMax)
	case len(c.Due) > DueChangesMax:
		return fmt.Errorf("%w: %d due changes, limit %d", ErrTooLarge, len(c.Due), DueChangesMax)
	case c.AnyVersion && len(c.State) > 0:
		return fmt.Errorf("store: a commit with a state must compare the version")
	}
	for _, d := range c.Due {
		if len(d.Key) == 0 || len(d.Key) > DueKeyMax {
			return fmt.Errorf("%w: due key of %d bytes, limit %d", ErrTooLarge, len(d.Key), DueKeyMax)
		}
	}
	return nil
}

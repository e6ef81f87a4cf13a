package tally

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A period of an acquirer or a bank goes from one cut to the next. A cut is a place in the
// sequence of every bucket of the outbox and no time of day: each record is in one period,
// also one whose transaction was under way at the cut.

// Marks are the last records before a cut, by bucket: epoch and number.
type Marks [txn.BucketCount][2]uint64

// MarksOf are the marks of now.
func MarksOf(buckets []store.BucketInfo) (m Marks) {
	for _, b := range buckets {
		m[b.Bucket] = [2]uint64{uint64(b.Last.Epoch), uint64(b.Last.Seq)}
	}
	return m
}

// Before reports whether a record is one of before the cut.
func (m *Marks) Before(p txn.Position) bool {
	at := m[p.Bucket]
	return !txn.Position{Bucket: p.Bucket, Epoch: txn.Epoch(at[0]), Seq: txn.Seq(at[1])}.Before(p)
}

// Cut is the end of a party's last period, and a reconciliation that is under way.
type Cut struct {
	// Number is that of the last period, 0 for none yet.
	Number uint32 `json:"number"`
	// At is when it ended, Marks where.
	At    txn.Millis `json:"at"`
	Marks Marks      `json:"marks"`
	// STAN and Sent are those of the message that ended it: its repeat gets its answer.
	STAN uint32 `json:"stan"`
	Sent string `json:"sent"`
	// Carried is what the ledger has of former periods and the bank had not heard of then.
	Carried []Carried `json:"carried,omitempty"`
	// Telling is what a bank is being told, with the same numbers until it answers.
	Telling *Telling `json:"telling,omitempty"`
}

// Telling is a reconciliation that a bank has not answered. It names the period after the cut.
type Telling struct {
	At    txn.Millis `json:"at"`
	Marks Marks      `json:"marks"`
	STAN  uint32     `json:"stan"`
	Sent  string     `json:"sent"`
	Ours  Gross      `json:"ours"`
	// Undone are the keys of what Ours counts that the ledger does not have.
	Undone []string `json:"undone,omitempty"`
	// Carried is what the bank has not heard of yet: it counts in a later period.
	Carried []Carried `json:"carried,omitempty"`
	// Tries counts how often it may have been sent.
	Tries int `json:"tries"`
}

// Repeats reports whether a message is a repeat of the one that ended the last period.
func (c *Cut) Repeats(stan uint32, sent string) bool {
	return c.Number > 0 && c.STAN == stan && c.Sent == sent
}

// Holds reports whether a record is of the period between the cut and marks.
func (c *Cut) Holds(p txn.Position, until *Marks) bool {
	return !c.Marks.Before(p) && until.Before(p)
}

const cutPrefix = "bank/cut/"

// LastCut returns the last cut of a party and the version to replace it with.
func LastCut(ctx context.Context, r store.Registry, party string) (c Cut, version uint64, err error) {
	value, version, err := r.Get(ctx, cutPrefix+party)
	if err != nil {
		return c, 0, fmt.Errorf("cut of %s: %w", party, err)
	}
	if len(value) == 0 {
		return c, version, nil
	}
	if err := json.Unmarshal(value, &c); err != nil {
		return c, 0, fmt.Errorf("%w: %s%s: %w", store.ErrDamaged, cutPrefix, party, err)
	}
	return c, version, nil
}

// ErrCut reports that another message ended the period meanwhile: look again.
var ErrCut = errors.New("another reconciliation came in between")

// Put replaces the cut of a party; ErrCut when somebody was faster.
func (c *Cut) Put(ctx context.Context, r store.Registry, party string, version uint64) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = r.Put(ctx, cutPrefix+party, text, version)
	}
	if errors.Is(err, store.ErrConflict) {
		return ErrCut
	}
	if err != nil {
		return fmt.Errorf("cut of %s: %w", party, err)
	}
	return nil
}

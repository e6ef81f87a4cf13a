package warehouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits; more is refused before anything is written.
const (
	// AppendMax is the greatest number of records in one Append: four batches of the
	// feed, about 200 MB of decoded records.
	AppendMax = 200_000
	// DeadLettersMax is how many dead letters are kept. A feed that makes more is
	// broken, and stopping it loses nothing.
	DeadLettersMax = 10_000
	// DeadLetterMax is how many bytes of a refused record are kept: a greater one did
	// not come from the switch.
	DeadLetterMax = 64 << 10
	// RepeatedListMax is how many request ids Totals names; it counts all.
	RepeatedListMax = 100
)

var (
	// ErrGap reports records that do not follow what the warehouse holds: one is
	// missing in between. Nothing was written. Send the missing ones first.
	ErrGap = errors.New("records are missing before this one")
	// ErrRow reports a record that no warehouse can keep: no valid business date or
	// bucket. Nothing was written.
	ErrRow = errors.New("record cannot be kept")
	// ErrTooMany reports more than a limit above. Nothing was written.
	ErrTooMany = errors.New("too many for the warehouse")
	// ErrDamaged reports stored data that cannot be what was written. It is fatal.
	ErrDamaged = errors.New("warehouse damaged")
	// ErrOverflow reports a sum that int64 minor units do not hold.
	ErrOverflow = errors.New("sum out of range")
	// ErrClosed reports a call on a closed warehouse.
	ErrClosed = errors.New("warehouse closed")
)

// Positions is a position for each bucket, by bucket number; the zero Position (epoch 0)
// stands before the first record.
type Positions [txn.BucketCount]txn.Position

// Appender is the side of the warehouse that the feed needs. Safe for concurrent use.
type Appender interface {
	// Append keeps the records and is durable on return. Those held already are
	// dropped; the rest must follow what is held in their bucket (ErrGap, nothing
	// written). It does not keep records. After any other error the outcome is unknown
	// and the same records must be sent again, in the same or other batches: that is
	// always safe.
	Append(ctx context.Context, records []txn.Record) error
	// DeadLetter keeps what could not be read as a record, durable on return. One with
	// a position takes the record's place in the sequence, so it must be the next one
	// (ErrGap); one that is held already, or whose place is, is dropped. A record sent
	// later for the place of an open dead letter is kept and closes the dead letter.
	DeadLetter(ctx context.Context, letter DeadLetter) error
	// Positions returns, for each bucket, the last position up to which nothing is
	// missing. It asks the stored data, not a memory of it, and from then on Append
	// goes by the answer.
	Positions(ctx context.Context) (Positions, error)
}

// Reader is the side that finance reads. Safe for concurrent use, also with Append.
type Reader interface {
	// Totals returns the figures of one business date as they stand now; a date without
	// records has empty figures. Lists are sorted, so equal data gives equal Totals.
	Totals(ctx context.Context, date txn.BusinessDate) (Totals, error)
	// Records calls yield for every record that matches, in order of business date,
	// bucket, epoch and seq, until yield returns an error, which it returns. The record
	// is the caller's. Memory is bounded.
	Records(ctx context.Context, f Filter, yield func(*txn.Record) error) error
	// DeadLetters returns those that are open, oldest first.
	DeadLetters(ctx context.Context) ([]DeadLetter, error)
}

// Warehouse is all of it; implementations pass warehousetest.Run.
type Warehouse interface {
	Appender
	Reader
	// Close waits for what is under way and frees everything. Later calls return
	// ErrClosed.
	Close() error
}

// Filter chooses records; zero fields choose all.
type Filter struct {
	// From and To are the first and last business date.
	From, To txn.BusinessDate
	Card     pan.Token
	Request  txn.RequestID
	// Terminal and Boot choose what one terminal sent in one boot: for terminals of banks,
	// in one batch. Boot means nothing without Terminal.
	Terminal txn.TerminalID
	Boot     uint32
	// Place chooses the one record at a position; the zero Position (epoch 0) chooses all.
	Place txn.Position
	// RRN and Operator choose by what stands in the record; Outcome by what became of it.
	RRN, Operator string
	Outcome       txn.Outcome
}

// Sifts reports whether the filter goes by more than the date.
func (f *Filter) Sifts() bool {
	return !f.Card.IsZero() || !f.Request.IsZero() || f.Terminal != txn.TerminalID{} ||
		f.Place.Epoch > 0 || f.RRN != "" || f.Operator != "" || f.Outcome != txn.OutcomeNone
}

// Matches reports whether the filter chooses r.
func (f *Filter) Matches(r *txn.Record) bool {
	return f.MatchesDate(r.BusinessDate) &&
		(f.Card.IsZero() || r.Card == f.Card) &&
		(f.Request.IsZero() || r.Request == f.Request) &&
		(f.Terminal == txn.TerminalID{} ||
			r.Request.Terminal == f.Terminal && r.Request.Boot == f.Boot) &&
		(f.Place.Epoch == 0 || r.Position == f.Place) &&
		(f.RRN == "" || r.RRN == f.RRN) && (f.Operator == "" || r.Place.Operator == f.Operator) &&
		(f.Outcome == txn.OutcomeNone || r.Outcome == f.Outcome)
}

// MatchesDate reports whether the filter may choose records of date d.
func (f *Filter) MatchesDate(d txn.BusinessDate) bool {
	return d >= f.From && (f.To == 0 || d <= f.To)
}

// DeadLetter is something that arrived as a record and could not be read as one. Its
// business date cannot be closed until a good record takes its place.
type DeadLetter struct {
	// Position is zero (epoch 0) when it is not known; then nothing is known to be
	// missing and no date is held open.
	Position txn.Position `json:"position"`
	// Date is zero when it is not known; then no date can be closed.
	Date txn.BusinessDate `json:"date"`
	// Source names where it was read, and is unique: "outbox/b017-3-42",
	// "tapswitch.records/17@1234".
	Source string `json:"source"`
	// Reason says why it could not be read. It quotes nothing of the record.
	Reason string     `json:"reason"`
	Record []byte     `json:"record"`
	At     txn.Millis `json:"at"`
}

// Placed reports whether the letter stands in the place of a record.
func (d *DeadLetter) Placed() bool { return d.Position.Epoch > 0 }

// Holds reports whether the letter, while open, keeps date from being complete.
func (d *DeadLetter) Holds(date txn.BusinessDate) bool {
	return d.Placed() && (d.Date == 0 || d.Date == date)
}

// Check refuses a letter beyond the limits.
func (d *DeadLetter) Check() error {
	if len(d.Record) > DeadLetterMax {
		return fmt.Errorf("%w: dead letter %s of %d bytes, limit %d",
			ErrTooMany, d.Source, len(d.Record), DeadLetterMax)
	}
	if d.Source == "" || d.Position.Bucket >= txn.BucketCount {
		return fmt.Errorf("%w: dead letter %q of bucket %d", ErrRow, d.Source, d.Position.Bucket)
	}
	return nil
}

// Finding is one line of a settings check, for doctor.
type Finding struct {
	Name string `json:"name"` // what was looked at: "clickhouse.version"
	OK   bool   `json:"ok"`
	Got  string `json:"got"`
	Want string `json:"want"`
	Fix  string `json:"fix,omitempty"` // what to do when not OK
}

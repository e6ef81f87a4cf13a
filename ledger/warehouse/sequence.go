package warehouse

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Verdict says how a record stands to the sequence of its bucket.
type Verdict uint8

// The verdicts.
const (
	// Next follows without a hole.
	Next Verdict = iota
	// Duplicate is held already.
	Duplicate
	// Gap means that at least one record before this one is missing.
	Gap
)

// String returns the verdict's name.
func (v Verdict) String() string {
	if v > Gap {
		return "unknown"
	}
	return [...]string{"next", "duplicate", "gap"}[v]
}

// Sequence is the proof that nothing is lost or kept twice: per bucket it takes each
// position once and in order, and goes to a new epoch only by a marker that names
// exactly the position held. It is a plain value: a copy tries something out. It is not
// safe for concurrent use.
type Sequence struct{ held Positions }

// NewSequence continues after held.
func NewSequence(held Positions) Sequence {
	for b := range held {
		held[b].Bucket = txn.Bucket(b)
	}
	return Sequence{held: held}
}

// Held returns the last position taken in each bucket.
func (s *Sequence) Held() Positions { return s.held }

// At returns the last position taken in bucket b.
func (s *Sequence) At(b txn.Bucket) txn.Position { return s.held[b] }

// Take judges the record and, when it is Next, moves on to it.
func (s *Sequence) Take(r *txn.Record) Verdict {
	v := s.Check(r)
	if v == Next {
		s.held[r.Position.Bucket] = r.Position
	}
	return v
}

// Check judges the record.
func (s *Sequence) Check(r *txn.Record) Verdict {
	p := r.Position
	held := s.held[p.Bucket]
	switch {
	case p.Epoch == 0:
		return Gap // no switch writes epoch 0
	case !held.Before(p):
		return Duplicate
	case p.Epoch == held.Epoch && p.Seq == held.Seq+1 && r.Kind != txn.EpochMarker:
		return Next
	case p.Epoch > held.Epoch && p.Seq == 0 && r.Kind == txn.EpochMarker && r.Previous == held:
		return Next
	default:
		return Gap
	}
}

// TakePlace judges a bare position, of a record that could not be read, and moves on to
// it when it is Next. It never opens an epoch: what ended before is not known without
// the marker.
func (s *Sequence) TakePlace(p txn.Position) Verdict {
	held := s.held[p.Bucket]
	switch {
	case p.Epoch == 0:
		return Gap
	case !held.Before(p):
		return Duplicate
	case p.Epoch == held.Epoch && p.Seq == held.Seq+1:
		s.held[p.Bucket] = p
		return Next
	default:
		return Gap
	}
}

// Admit chooses what an Append writes: the records that follow, and those for which
// open says that a dead letter holds their place. It advances s only when it returns no
// error. The result is nil or aliases records.
func Admit(
	s *Sequence, records []txn.Record, open func(txn.Position) bool,
) ([]*txn.Record, error) {
	if len(records) > AppendMax {
		return nil, fmt.Errorf("%w: %d records in one append, limit %d",
			ErrTooMany, len(records), AppendMax)
	}
	try := *s
	repaired := make(map[txn.Position]bool)
	kept := make([]*txn.Record, 0, len(records))
	for i := range records {
		r := &records[i]
		if err := checkRow(r); err != nil {
			return nil, err
		}
		switch try.Take(r) {
		case Next:
			kept = append(kept, r)
		case Gap:
			return nil, fmt.Errorf("%w: have %s, got %s", ErrGap, try.At(r.Position.Bucket),
				r.Position)
		case Duplicate:
			if open != nil && open(r.Position) && !repaired[r.Position] {
				repaired[r.Position] = true
				kept = append(kept, r)
			}
		}
	}
	*s = try
	return kept, nil
}

// checkRow refuses what the columns of a warehouse cannot hold.
func checkRow(r *txn.Record) error {
	if r.Position.Bucket >= txn.BucketCount || r.Position.Epoch == 0 {
		return fmt.Errorf("%w: position %s", ErrRow, r.Position)
	}
	if r.BusinessDate == 0 && r.Kind == txn.EpochMarker {
		return nil // the marker that opens a bucket precedes its first date
	}
	if !r.BusinessDate.Valid() || r.BusinessDate.Time().Year() > yearMax {
		return fmt.Errorf("%w: %s has business date %d", ErrRow, r.Position, r.BusinessDate)
	}
	return nil
}

// yearMax is the last year that ClickHouse's Date holds in full.
const yearMax = 2148

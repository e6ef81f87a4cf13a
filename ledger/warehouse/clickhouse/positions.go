package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// positions are read from the tables.
type positions struct {
	held warehouse.Positions
	day  [txn.BucketCount]int32 // business date of held
	// open are the places of dead letters without a record.
	open map[txn.Position]bool
}

// final is the word that makes a figure exact.
func (w *Warehouse) final() string {
	if w.noFinal {
		return ""
	}
	return "FINAL"
}

// each runs a query and calls scan for every row.
func (w *Warehouse) each(ctx context.Context, query string, scan func(driver.Rows) error,
	args ...any) (err error) {
	rows, err := w.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// readPositions proves from the table how far each bucket goes without a hole. It begins
// at the positions that were proven before, counts what stands behind them by bucket and
// epoch, and walks record by record only where the count does not fit.
func (w *Warehouse) readPositions(ctx context.Context) (positions, error) {
	p := positions{open: make(map[txn.Position]bool)}
	for b := range p.held {
		p.held[b].Bucket = txn.Bucket(b)
	}
	if err := w.readProven(ctx, &p); err != nil {
		return p, fmt.Errorf("cannot read the proven positions: %w", err)
	}
	letters, err := w.placedLetters(ctx, &p)
	if err != nil {
		return p, fmt.Errorf("cannot read the dead letters: %w", err)
	}
	spans, err := w.spans(ctx, &p)
	if err != nil {
		return p, fmt.Errorf("cannot read the positions: %w", err)
	}
	for b := range p.held {
		if p.follow(b, spans[b]) && len(letters[b]) == 0 {
			continue
		}
		if err := w.walk(ctx, &p, txn.Bucket(b), letters[b]); err != nil {
			return p, fmt.Errorf("cannot walk bucket %d: %w", b, err)
		}
	}
	return p, nil
}

// readProven reads where the last proof ended, by bucket.
func (w *Warehouse) readProven(ctx context.Context, p *positions) error {
	return w.each(ctx, `SELECT bucket, max((epoch, seq)).1, max((epoch, seq)).2,
		argMax(business_date, (epoch, seq)) FROM proven_positions GROUP BY bucket`,
		func(rows driver.Rows) error {
			var b uint8
			var epoch, seq uint64
			var day time.Time
			if err := rows.Scan(&b, &epoch, &seq, &day); err != nil {
				return err
			}
			if b >= txn.BucketCount {
				return fmt.Errorf("%w: bucket %d", warehouse.ErrDamaged, b)
			}
			p.held[b] = txn.Position{Bucket: txn.Bucket(b), Epoch: txn.Epoch(epoch),
				Seq: txn.Seq(seq)}
			p.day[b] = dayOf(day)
			return nil
		})
}

// placedLetters returns the dead letters behind the proven positions by bucket, and notes
// all open ones.
func (w *Warehouse) placedLetters(
	ctx context.Context, p *positions,
) (letters [txn.BucketCount][]txn.Position, err error) {
	err = w.each(ctx, `SELECT bucket, epoch, seq, (bucket, epoch, seq) IN (
			SELECT bucket, epoch, seq FROM records WHERE (bucket, epoch, seq) IN (
				SELECT bucket, epoch, seq FROM dead_letters WHERE epoch > 0)) AS repaired
		FROM dead_letters FINAL WHERE epoch > 0 ORDER BY bucket, epoch, seq`,
		func(rows driver.Rows) error {
			var b, repaired uint8
			var epoch, seq uint64
			if err := rows.Scan(&b, &epoch, &seq, &repaired); err != nil {
				return err
			}
			at := txn.Position{Bucket: txn.Bucket(b), Epoch: txn.Epoch(epoch), Seq: txn.Seq(seq)}
			if repaired == 0 {
				p.open[at] = true
			}
			if p.held[b].Before(at) {
				letters[b] = append(letters[b], at)
			}
			return nil
		})
	return letters, err
}

// span is what the table holds of one epoch of a bucket behind the proven position.
type span struct {
	epoch         txn.Epoch
	first, last   txn.Seq
	rows, markers uint64
	previous      txn.Position // that the marker names
	day           int32
}

// behind is the condition that a record stands behind the proven position of its bucket.
// The business date never goes back within a bucket, so the least proven date bounds what
// must be read.
func (p *positions) behind() string {
	epochs := make([]string, len(p.held))
	seqs := make([]string, len(p.held))
	day := slices.Min(p.day[:])
	for b := range p.held {
		epochs[b] = fmt.Sprintf("toUInt64(%d)", p.held[b].Epoch)
		seqs[b] = fmt.Sprintf("toUInt64(%d)", p.held[b].Seq)
	}
	return fmt.Sprintf(`business_date >= toDate(%d) AND
		(epoch, seq) > ([%s][bucket + 1], [%s][bucket + 1])`,
		day, strings.Join(epochs, ","), strings.Join(seqs, ","))
}

// spans counts the records behind the proven positions.
func (w *Warehouse) spans(
	ctx context.Context, p *positions,
) (spans [txn.BucketCount][]span, err error) {
	err = w.each(ctx, `SELECT bucket, epoch, min(seq), max(seq), count(),
			countIf(kind = 'epoch_marker'), anyIf(previous_epoch, kind = 'epoch_marker'),
			anyIf(previous_seq, kind = 'epoch_marker'), max(business_date)
		FROM records FINAL WHERE `+p.behind()+`
		GROUP BY bucket, epoch ORDER BY bucket, epoch`,
		func(rows driver.Rows) error {
			var s span
			var b uint8
			var epoch, first, last, previousEpoch, previousSeq uint64
			var day time.Time
			err := rows.Scan(&b, &epoch, &first, &last, &s.rows, &s.markers, &previousEpoch,
				&previousSeq, &day)
			if err != nil {
				return err
			}
			if b >= txn.BucketCount {
				return fmt.Errorf("%w: bucket %d", warehouse.ErrDamaged, b)
			}
			s.epoch, s.first, s.last, s.day = txn.Epoch(epoch), txn.Seq(first), txn.Seq(last),
				dayOf(day)
			s.previous = txn.Position{Bucket: txn.Bucket(b), Epoch: txn.Epoch(previousEpoch),
				Seq: txn.Seq(previousSeq)}
			spans[b] = append(spans[b], s)
			return nil
		})
	return spans, err
}

// follow moves the bucket to the end of its spans if there is no hole in them, and else
// leaves it and reports false.
func (p *positions) follow(b int, spans []span) bool {
	held, day := p.held[b], p.day[b]
	for _, s := range spans {
		if s.rows != uint64(s.last-s.first)+1 {
			return false
		}
		within := s.epoch == held.Epoch && s.first == held.Seq+1 && s.markers == 0
		opens := s.epoch > held.Epoch && s.first == 0 && s.markers == 1 && s.previous == held
		if !within && !opens {
			return false
		}
		held = txn.Position{Bucket: txn.Bucket(b), Epoch: s.epoch, Seq: s.last}
		day = max(day, s.day)
	}
	p.held[b], p.day[b] = held, day
	return true
}

// errHole ends a walk at the first hole.
var errHole = errors.New("hole")

// walk goes through the bucket record by record, with the dead letters in their places,
// and stops at the first hole.
func (w *Warehouse) walk(
	ctx context.Context, p *positions, b txn.Bucket, letters []txn.Position,
) error {
	seq := warehouse.NewSequence(p.held)
	takeLetters := func() {
		for len(letters) > 0 && seq.TakePlace(letters[0]) != warehouse.Gap {
			letters = letters[1:]
		}
	}
	query := fmt.Sprintf(`SELECT epoch, seq, kind, previous_epoch, previous_seq, business_date
		FROM records FINAL WHERE bucket = %d AND %s ORDER BY epoch, seq`, b, p.behind())
	err := w.each(ctx, query, func(rows driver.Rows) error {
		var epoch, number, previousEpoch, previousSeq uint64
		var kind string
		var day time.Time
		if err := rows.Scan(&epoch, &number, &kind, &previousEpoch, &previousSeq,
			&day); err != nil {
			return err
		}
		r := txn.Record{Kind: txn.Load, Position: txn.Position{Bucket: b, Epoch: txn.Epoch(epoch),
			Seq: txn.Seq(number)}}
		if kind == txn.EpochMarker.String() {
			r.Kind = txn.EpochMarker
			r.Previous = txn.Position{Bucket: b, Epoch: txn.Epoch(previousEpoch),
				Seq: txn.Seq(previousSeq)}
		}
		takeLetters()
		if seq.Take(&r) == warehouse.Gap {
			return errHole
		}
		p.day[b] = max(p.day[b], dayOf(day))
		return nil
	})
	if err != nil && !errors.Is(err, errHole) {
		return err
	}
	takeLetters()
	p.held[b] = seq.At(b)
	return nil
}

package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Totals implements warehouse.Reader: one query a list, all of them FINAL, sums in Int128.
// While records arrive the lists may be a moment apart; a complete date does not change.
func (w *Warehouse) Totals(
	ctx context.Context, date txn.BusinessDate,
) (warehouse.Totals, error) {
	if err := w.enter(ctx); err != nil {
		return warehouse.Totals{}, err
	}
	defer w.calls.Done()
	t := warehouse.Totals{Date: date}
	day := fmt.Sprintf("business_date = toDate(%d)", warehouse.DayNumber(date))
	steps := []func(context.Context, *warehouse.Totals, string) error{
		w.kindLines, w.discountLines, w.operatorLines, w.declineLines, w.accountLines,
		w.bucketLines, w.unbalanced, w.repeated,
	}
	for _, step := range steps {
		if err := step(ctx, &t, day); err != nil {
			return warehouse.Totals{}, fmt.Errorf("cannot read the totals of %s: %w", date, err)
		}
	}
	spans := t.Buckets
	joinBuckets(&t)
	t.Sort()
	if err := w.close(ctx, &t, spans); err != nil {
		return warehouse.Totals{}, fmt.Errorf("cannot tell whether %s is closed: %w", date, err)
	}
	return t, nil
}

// from is the source of every figure.
func (w *Warehouse) from() string { return " FROM records " + w.final() + " " }

// big returns the SQL of a sum that cannot overflow on the server, as text.
func big(column string) string { return "toString(sum(toInt128(" + column + ")))" }

// bigIf is big of the rows where condition holds.
func bigIf(column, condition string) string {
	return "toString(sumIf(toInt128(" + column + "), " + condition + "))"
}

// amount reads what big wrote.
func amount(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s minor units", warehouse.ErrOverflow, text)
	}
	return n, nil
}

// amounts reads several.
func amounts(texts []string, to ...*int64) error {
	for i, text := range texts {
		n, err := amount(text)
		if err != nil {
			return err
		}
		*to[i] = n
	}
	return nil
}

// kindLines sums by kind and outcome, and counts all rows of the date on the way.
func (w *Warehouse) kindLines(ctx context.Context, t *warehouse.Totals, day string) error {
	return w.each(ctx, `SELECT kind, outcome, currency, count(), `+big("full_fare")+`, `+
		big("charged")+w.from()+`WHERE `+day+` GROUP BY kind, outcome, currency`,
		func(rows driver.Rows) error {
			var l warehouse.KindLine
			var n uint64
			var full, charged string
			err := rows.Scan(&l.Kind, &l.Outcome, &l.Currency, &n, &full, &charged)
			if err == nil {
				err = amounts([]string{full, charged}, &l.FullFare, &l.Charged)
			}
			l.Count = int64(n)
			t.Rows += l.Count
			t.Kinds = append(t.Kinds, l)
			return err
		})
}

// discountLines sums the discounts by cause.
func (w *Warehouse) discountLines(ctx context.Context, t *warehouse.Totals, day string) error {
	return w.each(ctx, `SELECT kind, outcome, cause, currency, count(), `+big("amount")+
		w.from()+`ARRAY JOIN discount_causes AS cause, discount_amounts AS amount
		WHERE `+day+` GROUP BY kind, outcome, cause, currency`,
		func(rows driver.Rows) error {
			var l warehouse.DiscountLine
			var n uint64
			var sum string
			err := rows.Scan(&l.Kind, &l.Outcome, &l.Cause, &l.Currency, &n, &sum)
			if err == nil {
				err = amounts([]string{sum}, &l.Amount)
			}
			l.Count = int64(n)
			t.Discounts = append(t.Discounts, l)
			return err
		})
}

// operatorLines sums by operator; records without one (markers, the freeze desk) are left out.
func (w *Warehouse) operatorLines(ctx context.Context, t *warehouse.Totals, day string) error {
	return w.each(ctx, `SELECT operator, currency, countIf(outcome = 'approved'),
			countIf(outcome = 'declined'), `+bigIf("full_fare", "outcome = 'approved'")+`, `+
		bigIf("charged", "outcome = 'approved'")+w.from()+`WHERE `+day+` AND operator != ''
		GROUP BY operator, currency`,
		func(rows driver.Rows) error {
			var l warehouse.OperatorLine
			var approved, declined uint64
			var full, charged string
			err := rows.Scan(&l.Operator, &l.Currency, &approved, &declined, &full, &charged)
			if err == nil {
				err = amounts([]string{full, charged}, &l.FullFare, &l.Charged)
			}
			l.Approved, l.Declined = int64(approved), int64(declined)
			t.Operators = append(t.Operators, l)
			return err
		})
}

// declineLines counts the declined records by reason.
func (w *Warehouse) declineLines(ctx context.Context, t *warehouse.Totals, day string) error {
	return w.each(ctx, `SELECT reason, count()`+w.from()+`WHERE `+day+
		` AND outcome = 'declined' GROUP BY reason`,
		func(rows driver.Rows) error {
			var l warehouse.DeclineLine
			var n uint64
			err := rows.Scan(&l.Reason, &n)
			l.Count = int64(n)
			t.Declines = append(t.Declines, l)
			return err
		})
}

// accountLines sums the postings by account.
func (w *Warehouse) accountLines(ctx context.Context, t *warehouse.Totals, day string) error {
	return w.each(ctx, `SELECT account, currency, count(), `+big("amount")+w.from()+
		`ARRAY JOIN accounts AS account, amounts AS amount
		WHERE `+day+` GROUP BY account, currency`,
		func(rows driver.Rows) error {
			var l warehouse.AccountLine
			var n uint64
			var sum string
			err := rows.Scan(&l.Account, &l.Currency, &n, &sum)
			if err == nil {
				err = amounts([]string{sum}, &l.Amount)
			}
			l.Count = int64(n)
			t.Accounts = append(t.Accounts, l)
			return err
		})
}

// bucketLines gathers a line for every bucket and epoch; joinBuckets makes one a bucket.
func (w *Warehouse) bucketLines(ctx context.Context, t *warehouse.Totals, day string) error {
	return w.each(ctx, `SELECT bucket, epoch, count(), min(seq), max(seq)`+w.from()+`WHERE `+day+
		` GROUP BY bucket, epoch ORDER BY bucket, epoch`,
		func(rows driver.Rows) error {
			var b uint8
			var epoch, n, first, last uint64
			if err := rows.Scan(&b, &epoch, &n, &first, &last); err != nil {
				return err
			}
			if b >= txn.BucketCount {
				return fmt.Errorf("%w: bucket %d", warehouse.ErrDamaged, b)
			}
			at := txn.Position{Bucket: txn.Bucket(b), Epoch: txn.Epoch(epoch)}
			l := warehouse.BucketLine{Bucket: at.Bucket, Rows: int64(n), First: at, Last: at}
			l.First.Seq, l.Last.Seq = txn.Seq(first), txn.Seq(last)
			t.Buckets = append(t.Buckets, l)
			return nil
		})
}

// wholeBuckets reports, from the lines of bucketLines, which buckets have as many records
// and open dead letters as numbers: a loss inside the date shows here even behind the proven
// positions.
func wholeBuckets(
	lines []warehouse.BucketLine, letters []warehouse.DeadLetter,
) (whole [txn.BucketCount]bool) {
	for b := range whole {
		whole[b] = true
	}
	for _, l := range lines {
		places := uint64(l.Rows)
		for i := range letters {
			p := letters[i].Position
			if p.Bucket == l.Bucket && p.Epoch == l.First.Epoch && l.First.Before(p) &&
				p.Before(l.Last) {
				places++
			}
		}
		if places != uint64(l.Last.Seq-l.First.Seq)+1 {
			whole[l.Bucket] = false
		}
	}
	return whole
}

// joinBuckets makes one line a bucket of the lines by epoch.
func joinBuckets(t *warehouse.Totals) {
	var joined []warehouse.BucketLine
	for _, l := range t.Buckets {
		n := len(joined)
		if n == 0 || joined[n-1].Bucket != l.Bucket {
			joined = append(joined, l)
			continue
		}
		joined[n-1].Rows += l.Rows
		joined[n-1].Last = l.Last
	}
	t.Buckets = joined
}

// unbalanced counts the records whose own postings do not sum to zero: a sum over accounts
// alone would hide two errors that cancel out.
func (w *Warehouse) unbalanced(ctx context.Context, t *warehouse.Totals, day string) error {
	return w.each(ctx, `SELECT count()`+w.from()+`WHERE `+day+
		` AND arraySum(arrayMap(a -> toInt128(a), amounts)) != 0`,
		func(rows driver.Rows) error {
			var n uint64
			err := rows.Scan(&n)
			t.Unbalanced = int64(n)
			return err
		})
}

// repeated finds request ids on more than one record, as the double booking that it is.
func (w *Warehouse) repeated(ctx context.Context, t *warehouse.Totals, day string) error {
	ids := `SELECT concat(terminal, '-', toString(boot), '-', toString(counter)) AS id` + w.from() +
		`WHERE ` + day + ` AND terminal != '' AND reason NOT IN ('` + txn.IDReused.String() +
		`', '` +
		txn.IDTooOld.String() + `') GROUP BY terminal, boot, counter HAVING count() > 1`
	err := w.each(ctx, `SELECT count() FROM (`+ids+`)`, func(rows driver.Rows) error {
		var n uint64
		err := rows.Scan(&n)
		t.Repeated = int64(n)
		return err
	})
	if err != nil || t.Repeated == 0 {
		return err
	}
	return w.each(ctx, ids+fmt.Sprintf(` ORDER BY id LIMIT %d`, warehouse.RepeatedListMax),
		func(rows driver.Rows) error {
			var id string
			err := rows.Scan(&id)
			t.RepeatedIDs = append(t.RepeatedIDs, id)
			return err
		})
}

// close tells which buckets have closed the date: a marker that ends it, or a later one,
// stands at or before the position up to which nothing is missing, and the date itself
// has no hole.
func (w *Warehouse) close(
	ctx context.Context, t *warehouse.Totals, spans []warehouse.BucketLine,
) error {
	p, err := w.readPositions(ctx)
	if err != nil {
		return err
	}
	letters, err := w.letters(ctx)
	if err != nil {
		return err
	}
	for i := range letters {
		if letters[i].Holds(t.Date) {
			t.DeadLetters++
		}
	}
	if t.Date == 0 {
		return nil
	}
	whole := wholeBuckets(spans, letters)
	day := warehouse.DayNumber(t.Date)
	return w.each(ctx, fmt.Sprintf(`SELECT bucket, min((epoch, seq)).1, min((epoch, seq)).2
		FROM records WHERE business_date >= toDate(%d) AND kind = 'day_marker'
			AND closed_date >= toDate(%d) GROUP BY bucket`, day, day),
		func(rows driver.Rows) error {
			var b uint8
			var epoch, seq uint64
			if err := rows.Scan(&b, &epoch, &seq); err != nil {
				return err
			}
			marker := txn.Position{Bucket: txn.Bucket(b), Epoch: txn.Epoch(epoch),
				Seq: txn.Seq(seq)}
			if b < txn.BucketCount {
				t.Buckets[b].Closed = whole[b] && !p.held[b].Before(marker)
			}
			return nil
		})
}

// DeadLetters implements warehouse.Reader.
func (w *Warehouse) DeadLetters(ctx context.Context) ([]warehouse.DeadLetter, error) {
	if err := w.enter(ctx); err != nil {
		return nil, err
	}
	defer w.calls.Done()
	letters, err := w.letters(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the dead letters: %w", err)
	}
	return letters, nil
}

// letters reads the open dead letters: those without a record in their place.
func (w *Warehouse) letters(ctx context.Context) ([]warehouse.DeadLetter, error) {
	var letters []warehouse.DeadLetter
	err := w.each(ctx, `SELECT source, bucket, epoch, seq, business_date, reason, record, at_ms
		FROM dead_letters FINAL WHERE epoch = 0 OR (bucket, epoch, seq) NOT IN (
			SELECT bucket, epoch, seq FROM records WHERE (bucket, epoch, seq) IN (
				SELECT bucket, epoch, seq FROM dead_letters WHERE epoch > 0))
		ORDER BY at_ms, source`,
		func(rows driver.Rows) error {
			var d warehouse.DeadLetter
			var b uint8
			var epoch, seq uint64
			var day time.Time
			var record string
			var at int64
			if err := rows.Scan(&d.Source, &b, &epoch, &seq, &day, &d.Reason, &record,
				&at); err != nil {
				return err
			}
			d.Position = txn.Position{Bucket: txn.Bucket(b), Epoch: txn.Epoch(epoch),
				Seq: txn.Seq(seq)}
			d.Date, d.Record, d.At = warehouse.DateOfDay(dayOf(day)), []byte(record), txn.Millis(at)
			letters = append(letters, d)
			return nil
		})
	return letters, err
}

// Records implements warehouse.Reader.
func (w *Warehouse) Records(
	ctx context.Context, f warehouse.Filter, yield func(*txn.Record) error,
) error {
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer w.calls.Done()
	where, args := condition(f)
	row := &scanRow{}
	into := make([]any, len(w.columns))
	for i, c := range w.columns {
		into[i] = c.into(row)
	}
	// What yield returns goes to the caller as it is.
	err := w.each(ctx, `SELECT `+columnList(w.columns)+w.from()+`WHERE `+where+
		` ORDER BY business_date, bucket, epoch, seq`,
		func(rows driver.Rows) error {
			// The slices of the row before belong to its receiver.
			row.DiscountCauses, row.DiscountAmounts, row.Accounts, row.Amounts = nil, nil, nil, nil
			if err := rows.Scan(into...); err != nil {
				return err
			}
			row.settle()
			r, err := row.Record()
			if err != nil {
				return err
			}
			return yield(&r)
		}, args...)
	if err != nil {
		return fmt.Errorf("cannot read the records: %w", err)
	}
	return nil
}

// condition writes a filter as SQL. Texts travel as arguments, never inside the query.
func condition(f warehouse.Filter) (string, []any) {
	where := []string{fmt.Sprintf("business_date >= toDate(%d)", warehouse.DayNumber(f.From))}
	var args []any
	if f.To != 0 {
		where = append(where, fmt.Sprintf("business_date <= toDate(%d)", warehouse.DayNumber(f.To)))
	}
	if !f.Card.IsZero() {
		where, args = append(where, "card = ?"), append(args, f.Card.String())
	}
	if !f.Request.IsZero() {
		where = append(where, "terminal = ? AND boot = ? AND counter = ?")
		args = append(args, f.Request.Terminal.String(), f.Request.Boot, f.Request.Counter)
	}
	if f.Terminal != (txn.TerminalID{}) {
		where = append(where, "terminal = ? AND boot = ?")
		args = append(args, f.Terminal.String(), f.Boot)
	}
	if f.Place.Epoch > 0 {
		where = append(where, "bucket = ? AND epoch = ? AND seq = ?")
		args = append(args, uint8(f.Place.Bucket), uint64(f.Place.Epoch), uint64(f.Place.Seq))
	}
	for _, by := range []struct{ condition, want string }{
		{"rrn = ?", f.RRN}, {"operator = ?", f.Operator}, {"outcome = ?", f.Outcome.String()},
	} {
		if by.want != "" && by.want != txn.OutcomeNone.String() {
			where, args = append(where, by.condition), append(args, by.want)
		}
	}
	return strings.Join(where, " AND "), args
}

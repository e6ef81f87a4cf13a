// Package books is what the benchmark of finance looks at: a day of records and its totals, the
// same figures by bare queries, the settlement of a day held against its records, the pages of the
// console, and what a reconciliation printed.
//
// Amounts are minor units, times wall time. It measures and judges what it is given and starts
// nothing: servers and commands belong to package bench. Errors say what contradicts what, because
// a measurement of wrong figures is none. A Visitor belongs to one goroutine.
package books

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Day is the business date that MakeDay makes.
const Day = warehousetest.Day

// Operator is the one whose taps the benchmark sends.
const Operator = "operator/BENCH"

// ErrInexact reports money that two sides count differently.
var ErrInexact = errors.New("the books are not what was sent")

// MakeDay leaves a day of so many records in a new warehouse of Parquet.
func MakeDay(ctx context.Context, dir string, rows int) error {
	const list = 50_000
	w, err := local.Open(local.Options{Dir: dir})
	if err != nil {
		return err
	}
	chain := warehousetest.NewChain(1)
	for left := rows; left > 0 && err == nil; left -= list {
		err = w.Append(ctx, chain.Batch(min(list, left)))
	}
	return errors.Join(err, w.Close())
}

// Totals returns the totals of the day and how long they took, from opening the warehouse on.
func Totals(ctx context.Context, dir string) (warehouse.Totals, time.Duration, error) {
	began := time.Now()
	reader, err := local.OpenReader(dir)
	if err != nil {
		return warehouse.Totals{}, 0, err
	}
	t, err := reader.Totals(ctx, Day)
	return t, time.Since(began), err
}

// bareQueries are the figures of a day, as ClickHouse asks Parquet for them; %s is the files.
func bareQueries() []string {
	return []string{
		`SELECT kind, outcome, currency, count(), sum(full_fare), sum(charged) FROM %s GROUP BY kind, outcome, currency`,
		`SELECT kind, outcome, cause, currency, count(), sum(amount) FROM %s ARRAY JOIN discount_causes AS cause, ` +
			`discount_amounts AS amount GROUP BY kind, outcome, cause, currency`,
		`SELECT operator, currency, countIf(outcome = 'approved'), sumIf(charged, outcome = 'approved') FROM %s ` +
			`GROUP BY operator, currency`,
		`SELECT reason, count() FROM %s WHERE outcome = 'declined' GROUP BY reason`,
		`SELECT account, currency, count(), sum(amount) FROM %s ARRAY JOIN accounts AS account, amounts AS amount ` +
			`GROUP BY account, currency`,
		`SELECT bucket, epoch, count(), min(seq), max(seq) FROM %s GROUP BY bucket, epoch`,
		`SELECT count() FROM %s WHERE arraySum(amounts) != 0`,
		`SELECT count() FROM (SELECT terminal, boot, counter FROM %s WHERE terminal != '' AND ` +
			`reason NOT IN ('id_reused', 'id_too_old') GROUP BY terminal, boot, counter HAVING count() > 1)`,
	}
}

// Bare asks ClickHouse's engine for the figures of the day in the files of a warehouse, and
// returns how long that took. They must be those of the totals.
func Bare(ctx context.Context, t *Native, dir string, ours *warehouse.Totals) (took time.Duration, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return 0, err
	}
	files := fmt.Sprintf("file('%s/%s/*.parquet', 'Parquet')", dir, Day)
	for _, q := range bareQueries() {
		began := time.Now()
		text, err := t.Post(ctx, fmt.Sprintf(q, files), nil)
		if err != nil {
			return 0, err
		}
		took += time.Since(began)
		if strings.HasPrefix(q, "SELECT operator") {
			err = sameOperators(ours, text)
		}
		if err != nil {
			return 0, err
		}
	}
	return took, nil
}

// sameOperators demands that the engine found what the totals have.
func sameOperators(t *warehouse.Totals, text []byte) error {
	for _, o := range t.Operators {
		want := fmt.Appendf(nil, "%s\t%d\t%d\t%d\n", o.Operator, o.Currency, o.Approved, o.Charged)
		if !bytes.Contains(text, want) {
			return fmt.Errorf("the totals have %q, which the bare query does not: %.300s", want, text)
		}
	}
	return nil
}

// Boarded counts the approved rides of a day and what they charged.
func Boarded(t *warehouse.Totals) (taps, fen int64) {
	for _, k := range t.Kinds {
		if k.Kind == txn.BusBoarding.String() && k.Outcome == txn.Approved.String() {
			taps, fen = taps+k.Count, fen+k.Charged
		}
	}
	return taps, fen
}

// settledRun is what `tapswitch settle run` prints, as far as it is looked at.
type settledRun struct {
	Manifest struct {
		Records  int64 `json:"records"`
		Approved int64 `json:"approved"`
		Breaks   int64 `json:"breaks"`
	} `json:"manifest"`
}

// Exact holds what a settlement printed against the totals of its day: the same records and
// approvals, no break, and the operator was given what its rides charged. ErrInexact otherwise.
func Exact(t *warehouse.Totals, printed []byte) error {
	var run settledRun
	if err := json.Unmarshal(printed, &run); err != nil {
		return fmt.Errorf("run of %s: %w: %.300s", t.Date, err, printed)
	}
	var given, approvals int64
	for _, a := range t.Accounts {
		if a.Account == Operator {
			given += a.Amount
		}
	}
	for _, k := range t.Kinds {
		kind, err := txn.ParseKind(k.Kind)
		if err == nil && !kind.IsMarker() && k.Outcome == txn.Approved.String() {
			approvals += k.Count
		}
	}
	_, fen := Boarded(t)
	m := &run.Manifest
	if given != fen || m.Records != t.Rows || m.Breaks != 0 || m.Approved != approvals {
		return fmt.Errorf("%w: %s charged %d fen and gives the operator %d; %d records settled of %d, "+
			"%d approvals of %d, %d breaks", ErrInexact, t.Date, fen, given, m.Records, t.Rows, m.Approved, approvals,
			m.Breaks)
	}
	return nil
}

// Reconciled is what `tapswitch recon bench` prints.
type Reconciled struct {
	Planted  int     `json:"planted"`
	Found    int     `json:"found"`
	Exact    bool    `json:"every_cause_found_and_none_invented"`
	Seconds  float64 `json:"seconds"`
	Resident int     `json:"resident_max_mb"`
	Digest   string  `json:"report_sha256"`
}

// ReadReconciled reads it. A reconciliation that missed or invented a difference is an error.
func ReadReconciled(printed []byte) (r Reconciled, err error) {
	if err := json.Unmarshal(bytes.TrimSpace(printed), &r); err != nil {
		return r, fmt.Errorf("figures: %w: %.300s", err, printed)
	}
	if !r.Exact || r.Found != r.Planted {
		return r, fmt.Errorf("%d differences found of %d planted, causes exact: %t", r.Found, r.Planted, r.Exact)
	}
	return r, nil
}

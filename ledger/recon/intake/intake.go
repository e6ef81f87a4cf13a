// Package intake makes rows of reconciliation of what the switch itself keeps: the records of
// the ledger, from either warehouse, and the batches that terminals settled.
//
// It owns the meaning of a record for reconciliation: which are compared, with which sign, and
// what ties a reversal to its original. Only approved records that move money, and rides whose
// fare a concession took away altogether, are rows; what was declined moved none. Amounts are minor units, positive where the holder pays. A Ledger
// reads beside a switch that is running, holds one record at a time and may be read again;
// it belongs to one goroutine at a time. Nothing is written.
package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Ledger is the ledger's side of a run: the records of business dates.
type Ledger struct {
	Reader warehouse.Reader
	// From and To are the first and the last date.
	From, To txn.BusinessDate
	// Suffix is cut off terminal ids: the inlet's code, which counterparties do not know.
	Suffix string
}

var _ recon.Source = (*Ledger)(nil)

// Name implements recon.Source.
func (l *Ledger) Name() string { return "ledger" }

// Rows implements recon.Source.
func (l *Ledger) Rows(ctx recon.Context, yield func(*recon.Row) error) error {
	reading, stop := context.WithCancel(context.Background())
	defer stop()
	if c, ok := ctx.(context.Context); ok {
		reading = c
	}
	var row recon.Row
	line := uint64(0)
	err := l.Reader.Records(reading, warehouse.Filter{From: l.From, To: l.To},
		func(r *txn.Record) error {
			line++
			if !RowOf(r, &row) {
				return nil
			}
			row.Line = line
			row.Text[recon.Terminal] = strings.TrimSuffix(row.Text[recon.Terminal], l.Suffix)
			return yield(&row)
		})
	if err != nil {
		return fmt.Errorf("records of %v to %v: %w", l.From, l.To, err)
	}
	return nil
}

// RowOf makes a row of a record; false for one that is not compared.
func RowOf(r *txn.Record, row *recon.Row) bool {
	if r.Outcome != txn.Approved || r.Charged == 0 && r.FullFare <= 0 || r.Kind.IsMarker() {
		return false
	}
	*row = recon.Row{Amount: int64(r.Charged), Currency: r.Currency, At: r.ServiceAt,
		Received: r.ReceivedAt, Date: settlementDate(r)}
	if (r.Kind == txn.Load || r.Kind == txn.BankLoad) && row.Amount < 0 {
		row.Amount = -row.Amount // the holder pays for a load
	}
	t := &row.Text
	t[recon.ID], t[recon.Kind], t[recon.Status] = r.Position.String(), r.Kind.String(), r.Outcome.String()
	t[recon.Chain] = r.Request.String()
	if r.Kind == txn.Reversal || r.Kind == txn.BankReversal || r.Kind == txn.BankVoid {
		t[recon.Chain] = r.Original.String()
	}
	if !r.Card.IsZero() {
		t[recon.Card] = r.Card.String()
	}
	t[recon.Last4], t[recon.Terminal] = r.Last4.String(), r.Request.Terminal.String()
	if r.Kind.IsBank() {
		t[recon.Batch] = number(r.Request.Boot)
	}
	if r.STAN > 0 {
		t[recon.STAN] = number(r.STAN)
	}
	t[recon.RRN], t[recon.Auth] = r.RRN, r.Auth.String()
	t[recon.Merchant], t[recon.Operator], t[recon.Line] = r.Place.Merchant, r.Place.Operator, r.Place.Line
	t[recon.Acquirer], t[recon.Issuer] = r.Place.Acquirer, r.Issuer
	if r.Offline {
		row.Marks |= recon.Offline
	}
	if r.Liability == txn.LiabilityOpen {
		row.Marks |= recon.Exposed
	}
	return true
}

// number writes a batch or trace number in its six digits.
func number(n uint32) string { return fmt.Sprintf("%06d", n) }

// settlementDate is the counterparty's own date where it gave one in its answer, in the year that
// brings it nearest to ours.
func settlementDate(r *txn.Record) txn.BusinessDate {
	s := r.Settled.String()
	if s == "" {
		return r.BusinessDate
	}
	at, err := time.Parse("0102", s)
	if err != nil {
		return r.BusinessDate
	}
	year := int(r.BusinessDate / 10_000)
	switch d := int(at.Month()) - int(r.BusinessDate/100%100); {
	case d > 6:
		year--
	case d < -6:
		year++
	}
	date := txn.BusinessDate(year*10_000 + int(at.Month())*100 + at.Day())
	if !date.Valid() {
		return r.BusinessDate
	}
	return date
}

// BatchesMax is the greatest list of batches in bytes.
const BatchesMax = 256 << 20

// ErrBatches reports a list that is not the switch's.
var ErrBatches = errors.New("not a list of batches")

// batchDoc is what the switch tells of a batch, as /bank/batches gives it.
type batchDoc struct {
	Terminal string     `json:"terminal"`
	Number   uint32     `json:"batch"`
	Settled  txn.Millis `json:"settled_at"`
	Theirs   sumsDoc    `json:"terminal_totals"`
	Ours     *sumsDoc   `json:"ledger_totals"`
}

type sumsDoc struct {
	DebitAmount  int64 `json:"debit_amount"`
	DebitCount   int64 `json:"debit_count"`
	CreditAmount int64 `json:"credit_amount"`
	CreditCount  int64 `json:"credit_count"`
}

func (s *sumsDoc) tally() recon.Tally {
	return recon.Tally{Debits: s.DebitCount, Debit: s.DebitAmount, Credits: s.CreditCount,
		Credit: s.CreditAmount}
}

// Batches reads what terminals claimed in their settlements (0500), from the switch's list of
// batches in JSON. Totals of acquirers and banks, whose names hold an @, are no terminal's.
func Batches(in io.Reader, suffix string) ([]recon.Claim, error) {
	text, err := io.ReadAll(io.LimitReader(in, BatchesMax+1))
	if err == nil && len(text) > BatchesMax {
		err = fmt.Errorf("over %d bytes", BatchesMax)
	}
	var docs []batchDoc
	if err == nil {
		err = json.Unmarshal(text, &docs)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBatches, err)
	}
	claims := make([]recon.Claim, 0, len(docs))
	for i, d := range docs {
		if strings.Contains(d.Terminal, "@") {
			continue
		}
		t := d.Theirs
		if d.Terminal == "" || min(t.DebitAmount, t.DebitCount, t.CreditAmount, t.CreditCount) < 0 {
			return nil, fmt.Errorf("%w: entry %d has no terminal or a total below zero", ErrBatches, i+1)
		}
		claim := recon.Claim{Terminal: strings.TrimSuffix(d.Terminal, suffix), Batch: number(d.Number),
			Tally: t.tally()}
		if d.Ours != nil && d.Settled > 0 {
			known := d.Ours.tally()
			claim.Settled, claim.Known = d.Settled, &known
		}
		claims = append(claims, claim)
	}
	return claims, nil
}

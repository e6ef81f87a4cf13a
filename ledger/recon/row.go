package recon

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Field names a part of a row that keys, selections and layouts speak of. The order is that of
// spilled rows of one run; nothing stored for longer depends on it.
type Field uint8

// The fields. Those before TextCount are texts, the others numbers of the row.
const (
	ID       Field = iota // the owner's own number of the record
	Chain                 // what a reversal has in common with its original
	Kind                  // purchase, refund, load, as txn.Kind names it or the layout maps it
	Status                // approved, declined, reversed; empty where the side does not say
	Card                  // token, where the side knows it
	Last4                 // last four digits of the card number
	Terminal              // as the terminal is called by both sides
	Batch                 // the terminal's batch
	STAN                  // system trace audit number
	RRN                   // retrieval reference number
	Auth                  // authorization code
	Merchant              // merchant number
	Operator              // operator of the line
	Line                  // line or route
	Acquirer              // acquiring institution
	Issuer                // issuing institution
	Tariff                // version of the tariff that priced it
	Note                  // free text, and the reason of an unreadable line
	Origin                // where a carried row was read at first
	TextCount
	Amount Field = iota - 1
	Date
	Currency
	fieldEnd
)

var fieldNames = [fieldEnd]string{"id", "chain", "kind", "status", "card", "last4", "terminal",
	"batch", "stan", "rrn", "auth", "merchant", "operator", "line", "acquirer", "issuer", "tariff",
	"note", "origin", "amount", "date", "currency"}

// String returns the field's stable name, as in plans and layouts.
func (f Field) String() string {
	if f >= fieldEnd {
		return fmt.Sprintf("field(%d)", uint8(f))
	}
	return fieldNames[f]
}

// ParseField reads a stable name.
func ParseField(name string) (Field, error) {
	for i, n := range fieldNames {
		if n == name {
			return Field(i), nil
		}
	}
	return 0, fmt.Errorf("unknown field %q, known are %v", name, fieldNames[:Origin])
}

// Marks are facts of a row that need no text.
type Marks uint8

// The marks.
const (
	// Offline: the terminal decided without the switch.
	Offline Marks = 1 << iota
	// Exposed: a frozen card was served because the terminal's list did not have it yet.
	Exposed
	// Unreadable: a line that its layout holds back; Note says why, and nothing else is set.
	Unreadable
)

// Place is where a row was read: the number of its source in the run, and the line or ordinal
// in it from 1 on. It is unique within a side.
type Place struct {
	Source uint16
	Line   uint64
}

// Before orders places as they were read.
func (p Place) Before(q Place) bool {
	return p.Source < q.Source || p.Source == q.Source && p.Line < q.Line
}

// Row is one transaction as one side has it.
type Row struct {
	Place
	Text     [TextCount]string
	Amount   int64
	At       txn.Millis // service time
	Received txn.Millis // when the side got it, 0 where it does not say
	Date     txn.BusinessDate
	Currency txn.Currency
	Marks    Marks
	// Since is the day of the run that met a carried row first, 0 for a row of this run;
	// Carried is its break.
	Since   txn.BusinessDate
	Carried string

	consumed bool
}

// Free reports a row that moves no money, as of a ride that a concession pays in full. Where the
// other side does not list it, nothing is amiss.
func (r *Row) Free() bool { return r.Amount == 0 && r.Marks&Unreadable == 0 && r.Carried == "" }

// Source gives the rows of one file or one day of a ledger. Not safe for concurrent use; Rows
// may be called again and then yields the same rows.
type Source interface {
	// Name is short, stable and without a folder: it stands in reports.
	Name() string
	// Rows calls yield for every row in order until yield returns an error, which it returns.
	// A row and its texts are valid until yield returns. An error says that the source cannot
	// be used at all.
	Rows(ctx Context, yield func(*Row) error) error
}

// Context is what a source looks at to see that it shall stop; a context.Context is one.
type Context interface {
	// Err is not nil once the caller gave up.
	Err() error
}

// AppendKey appends the composite key of the fields; ok is false when a part of it is empty: such a row
// matches nothing by this key.
func (r *Row) AppendKey(dst []byte, key []Field) (_ []byte, ok bool) {
	for _, f := range key {
		switch f {
		case Amount:
			dst = strconv.AppendInt(dst, r.Amount, 10)
		case Date:
			if r.Date == 0 {
				return dst, false
			}
			dst = strconv.AppendUint(dst, uint64(r.Date), 10)
		case Currency:
			dst = strconv.AppendUint(dst, uint64(r.Currency), 10)
		default:
			if r.Text[f] == "" {
				return dst, false
			}
			dst = append(dst, r.Text[f]...)
		}
		dst = append(dst, 0)
	}
	return dst, true
}

// same reports whether two rows of one side tell of the same transaction in the same words.
func (r *Row) same(o *Row) bool {
	for f := range TextCount {
		if f != Note && f != Origin && f != ID && f != Chain && r.Text[f] != o.Text[f] {
			return false
		}
	}
	return r.Amount == o.Amount && r.Currency == o.Currency && r.Date == o.Date && r.At == o.At
}

// contentHash is equal for rows that are the same.
func (r *Row) contentHash() uint64 {
	h := uint64(hashSeed)
	for f := range TextCount {
		if f != Note && f != Origin && f != ID && f != Chain {
			h = hashText(h, r.Text[f])
		}
	}
	for _, v := range [...]uint64{uint64(r.Amount), uint64(r.At), uint64(r.Date), uint64(r.Currency)} {
		h = (h ^ v) * hashPrime
	}
	return h
}

// FNV-1a of 64 bits: a run must place rows the same way each time.
const (
	hashSeed  = 14695981039346656037
	hashPrime = 1099511628211
)

func hashText(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * hashPrime
	}
	return (h ^ 0xff) * hashPrime
}

// HashKey is the hash by which rows with equal keys come together. It is the same in every run
// and on every machine.
func HashKey(key []byte) uint64 {
	h := uint64(hashSeed)
	for _, c := range key {
		h = (h ^ uint64(c)) * hashPrime
	}
	return h ^ h>>32
}

// rowDoc is a row in JSON.
type rowDoc struct {
	Text     map[string]string `json:"fields"`
	Amount   int64             `json:"amount"`
	At       txn.Millis        `json:"at_ms,omitempty"`
	Received txn.Millis        `json:"received_ms,omitempty"`
	Date     txn.BusinessDate  `json:"date,omitempty"`
	Currency txn.Currency      `json:"currency,omitempty"`
	Marks    Marks             `json:"marks,omitempty"`
}

// MarshalJSON writes the row without its place in this run; keys are sorted.
func (r *Row) MarshalJSON() ([]byte, error) {
	d := rowDoc{Text: map[string]string{}, Amount: r.Amount, At: r.At, Received: r.Received,
		Date: r.Date, Currency: r.Currency, Marks: r.Marks}
	for f, text := range r.Text {
		if text != "" {
			d.Text[Field(f).String()] = text
		}
	}
	return json.Marshal(d)
}

var errNoText = errors.New("is no text")

// UnmarshalJSON is the inverse of MarshalJSON.
func (r *Row) UnmarshalJSON(text []byte) error {
	var d rowDoc
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	*r = Row{Amount: d.Amount, At: d.At, Received: d.Received, Date: d.Date, Currency: d.Currency,
		Marks: d.Marks}
	for name, value := range d.Text {
		f, err := ParseField(name)
		if err == nil && f >= TextCount {
			err = errNoText
		}
		if err != nil {
			return fmt.Errorf("field %q of a row: %w", name, err)
		}
		r.Text[f] = value
	}
	return nil
}

package share

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a batch; one that needs more is delivered as several.
const (
	BatchBytesMax = 4 << 20
	LinesMax      = 5000
	// textMax bounds a field of a line.
	textMax = 256
)

// Batch is what a supplier sends at once. Seq counts its batches from 1 without holes, Total
// says how many lines there are, so that a lost batch and a lost line are seen.
type Batch struct {
	Supplier string    `json:"supplier"`
	Seq      uint64    `json:"seq"`
	Kind     Kind      `json:"kind"`
	Made     time.Time `json:"made"`
	Total    int       `json:"total"`
	Lines    []Line    `json:"lines"`
}

// Line is one event in one person's life. A line that is wrong is rejected by itself.
type Line struct {
	No    int    `json:"no"`    // from 1 to Total
	ID    string `json:"id"`    // number of the ID paper
	On    string `json:"on"`    // the day of the event
	Value string `json:"value"` // a rider category or "ended"; the new name or address
	Until string `json:"until"` // last day of a concession
}

// Format is the form of a batch.
type Format string

// The formats. CSV has the batch's own columns in its first two rows, then those of lines.
const (
	JSON Format = "json"
	CSV  Format = "csv"
)

var errBatch = errors.New("batch")

// ReadBatch reads a batch strictly: a member or column that it does not know, or a limit that
// is exceeded, is an error, which holds nothing of what was read.
func ReadBatch(f Format, body []byte) (*Batch, error) {
	if len(body) > BatchBytesMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errBatch, len(body), BatchBytesMax)
	}
	var b *Batch
	var err error
	switch f {
	case JSON:
		b, err = readJSON(body)
	case CSV:
		b, err = readCSV(body)
	default:
		return nil, fmt.Errorf("%w: no format %q, choose json or csv", errBatch, f)
	}
	if err != nil {
		return nil, err
	}
	return b, b.check()
}

func (b *Batch) check() error {
	switch {
	case !plainName(b.Supplier) || b.Seq == 0 || b.Made.IsZero():
		return fmt.Errorf("%w: supplier, seq and made are needed", errBatch)
	case b.Total < len(b.Lines) || b.Total > LinesMax || len(b.Lines) == 0:
		return fmt.Errorf("%w: %d lines of %d announced, at most %d", errBatch, len(b.Lines), b.Total,
			LinesMax)
	}
	for i := range b.Lines {
		l := &b.Lines[i]
		for _, text := range []string{l.ID, l.On, l.Value, l.Until} {
			if len(text) > textMax {
				return fmt.Errorf("%w: line %d: a field is longer than %d bytes", errBatch, i+1, textMax)
			}
		}
	}
	return nil
}

func readJSON(body []byte) (*Batch, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	b := new(Batch)
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("%w: not the JSON of one", errBatch)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", errBatch)
	}
	return b, nil
}

// The columns of CSV.
var (
	batchColumns = []string{"supplier", "seq", "kind", "made", "total"}
	lineColumns  = []string{"no", "id", "on", "value", "until"}
)

func readCSV(body []byte) (*Batch, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	r.FieldsPerRecord = len(batchColumns)
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 3 {
		return nil, fmt.Errorf("%w: not the CSV of one", errBatch)
	}
	if !same(rows[0], batchColumns) || !same(rows[2], lineColumns) {
		return nil, fmt.Errorf("%w: want the columns %v, and %v in the third row", errBatch, batchColumns,
			lineColumns)
	}
	head := rows[1]
	b := &Batch{Supplier: head[0], Kind: Kind(head[2])}
	var bad [3]error
	b.Seq, bad[0] = strconv.ParseUint(head[1], 10, 64)
	b.Made, bad[1] = time.Parse(time.RFC3339, head[3])
	b.Total, bad[2] = strconv.Atoi(head[4])
	if errors.Join(bad[:]...) != nil {
		return nil, fmt.Errorf("%w: seq, made or total", errBatch)
	}
	for i, row := range rows[3:] {
		no, err := strconv.Atoi(row[0])
		if err != nil {
			return nil, fmt.Errorf("%w: number of line %d", errBatch, i+1)
		}
		b.Lines = append(b.Lines, Line{No: no, ID: row[1], On: row[2], Value: row[3], Until: row[4]})
	}
	return b, nil
}

func same(row, want []string) bool {
	for i := range want {
		if row[i] != want[i] {
			return false
		}
	}
	return true
}

// day reads a day of a line; none where it is empty.
func day(text string) (txn.BusinessDate, bool) {
	if text == "" {
		return 0, true
	}
	d, err := txn.ParseBusinessDate(text)
	return d, err == nil
}

package local

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The Go-struct reader of the library spends four microseconds a row; reading the
// values of the few columns that a figure needs is twenty times as fast.

// columnReader reads whole columns of one row group into slices that are used again
// for the next one. Not safe for concurrent use.
type columnReader struct {
	leaf   map[string]int // index of the leaf column by its first name
	group  parquet.RowGroup
	values []parquet.Value
	ints   map[string][]int64
	texts  map[string][]uint32
	names  *names
}

// names gives each distinct text a small number.
type names struct {
	number map[string]uint32
	text   []string
}

// newNames returns an empty table of texts.
func newNames() *names { return &names{number: make(map[string]uint32)} }

// of returns the number of a text, which it copies only the first time.
func (n *names) of(b []byte) uint32 {
	if i, ok := n.number[string(b)]; ok {
		return i
	}
	s := string(b)
	i := uint32(len(n.text))
	n.number[s] = i
	n.text = append(n.text, s)
	return i
}

// newColumnReader returns a reader for files of the schema.
func newColumnReader(schema *parquet.Schema, n *names) *columnReader {
	c := &columnReader{leaf: make(map[string]int), values: make([]parquet.Value, 4096), names: n,
		ints: make(map[string][]int64), texts: make(map[string][]uint32)}
	for i, path := range schema.Columns() {
		c.leaf[path[0]] = i
	}
	return c
}

// each calls visit for every value of a column of the current row group.
func (c *columnReader) each(column string, visit func(*parquet.Value)) (err error) {
	leaf, ok := c.leaf[column]
	if !ok {
		return fmt.Errorf("%w: no column %s", warehouse.ErrDamaged, column)
	}
	pages := c.group.ColumnChunks()[leaf].Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: column %s: %w", warehouse.ErrDamaged, column, err)
		}
		err = c.eachOfPage(page, visit)
		parquet.Release(page)
		if err != nil {
			return fmt.Errorf("%w: column %s: %w", warehouse.ErrDamaged, column, err)
		}
	}
}

// eachOfPage calls visit for every value of one page.
func (c *columnReader) eachOfPage(page parquet.Page, visit func(*parquet.Value)) error {
	values := page.Values()
	for {
		n, err := values.ReadValues(c.values)
		for i := range c.values[:n] {
			visit(&c.values[i])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// integers returns an integer column, one value a row, valid until the next call for
// the same column.
func (c *columnReader) integers(column string) ([]int64, error) {
	out := c.ints[column][:0]
	err := c.each(column, func(v *parquet.Value) {
		switch v.Kind() {
		case parquet.Int32:
			out = append(out, int64(v.Int32()))
		default:
			out = append(out, v.Int64())
		}
	})
	c.ints[column] = out
	return out, c.checkRows(column, len(out), err)
}

// numbers returns a text column as numbers of names, one a row, valid until the next
// call for the same column.
func (c *columnReader) numbers(column string) ([]uint32, error) {
	out := c.texts[column][:0]
	err := c.each(column, func(v *parquet.Value) { out = append(out, c.names.of(v.ByteArray())) })
	c.texts[column] = out
	return out, c.checkRows(column, len(out), err)
}

// pair is one element of two parallel lists of a row.
type pair struct {
	name   uint32
	amount int64
}

// pairs returns two parallel list columns: ends[i] is where the elements of row i end.
func (c *columnReader) pairs(nameColumn, amountColumn string) (all []pair, ends []int, err error) {
	err = c.each(nameColumn, func(v *parquet.Value) {
		if v.RepetitionLevel() == 0 {
			ends = append(ends, len(all))
		}
		if !v.IsNull() {
			all = append(all, pair{name: c.names.of(v.ByteArray())})
			ends[len(ends)-1]++
		}
	})
	if err = c.checkRows(nameColumn, len(ends), err); err != nil {
		return nil, nil, err
	}
	row, n := -1, 0
	err = c.each(amountColumn, func(v *parquet.Value) {
		if v.RepetitionLevel() == 0 {
			row++
		}
		if !v.IsNull() {
			if n < len(all) && row < len(ends) && n < ends[row] {
				all[n].amount = v.Int64()
			}
			n++
		}
	})
	if err == nil && n != len(all) {
		err = fmt.Errorf("%w: %s and %s differ in number", warehouse.ErrDamaged, nameColumn,
			amountColumn)
	}
	return all, ends, c.checkRows(amountColumn, row+1, err)
}

// checkRows refuses a column that is shorter or longer than its row group.
func (c *columnReader) checkRows(column string, got int, err error) error {
	if err == nil && int64(got) != c.group.NumRows() {
		err = fmt.Errorf("%w: column %s has %d of %d rows", warehouse.ErrDamaged, column, got,
			c.group.NumRows())
	}
	return err
}

// openFile opens a part for reading by column.
func openFile(f *os.File) (*parquet.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	pf, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true),
		parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", warehouse.ErrDamaged, f.Name(), err)
	}
	return pf, nil
}

// findRows returns the numbers of the rows that match the filter's card and request.
func findRows(f *os.File, filter warehouse.Filter) ([]int64, error) {
	pf, err := openFile(f)
	if err != nil {
		return nil, err
	}
	var found []int64
	var first int64
	c := newColumnReader(pf.Schema(), newNames())
	for _, group := range pf.RowGroups() {
		c.group = group
		match := make([]bool, group.NumRows())
		if err := c.findInGroup(filter, match); err != nil {
			return nil, err
		}
		for i, is := range match {
			if is {
				found = append(found, first+int64(i))
			}
		}
		first += group.NumRows()
	}
	return found, nil
}

// findInGroup marks the rows of the current group that the filter chooses.
func (c *columnReader) findInGroup(f warehouse.Filter, match []bool) error {
	for i := range match {
		match[i] = true
	}
	if !f.Card.IsZero() {
		if err := c.keepText("card", f.Card.String(), match); err != nil {
			return err
		}
	}
	if f.Terminal != (txn.TerminalID{}) {
		if err := c.keepText("terminal", f.Terminal.String(), match); err != nil {
			return err
		}
		if err := c.keepNumber("boot", f.Boot, match); err != nil {
			return err
		}
	}
	if err := c.findPlace(f, match); err != nil {
		return err
	}
	if f.Request.IsZero() {
		return nil
	}
	if err := c.keepText("terminal", f.Request.Terminal.String(), match); err != nil {
		return err
	}
	if err := c.keepNumber("boot", f.Request.Boot, match); err != nil {
		return err
	}
	return c.keepNumber("counter", f.Request.Counter, match)
}

// findPlace goes by position, and by the texts of which a filter may name one.
func (c *columnReader) findPlace(f warehouse.Filter, match []bool) error {
	for _, by := range []struct{ column, want string }{
		{"rrn", f.RRN}, {"operator", f.Operator}, {"outcome", f.Outcome.String()},
	} {
		if by.want == "" || by.column == "outcome" && f.Outcome == txn.OutcomeNone {
			continue
		}
		if err := c.keepText(by.column, by.want, match); err != nil {
			return err
		}
	}
	if f.Place.Epoch == 0 {
		return nil
	}
	for column, want := range map[string]uint64{"bucket": uint64(f.Place.Bucket),
		"epoch": uint64(f.Place.Epoch), "seq": uint64(f.Place.Seq)} {
		got, err := c.integers(column)
		if err != nil {
			return err
		}
		for i, n := range got {
			match[i] = match[i] && uint64(n) == want
		}
	}
	return nil
}

// keepText unmarks the rows whose text is another one.
func (c *columnReader) keepText(column, want string, match []bool) error {
	row := 0
	return c.each(column, func(v *parquet.Value) {
		if row < len(match) && match[row] {
			match[row] = string(v.ByteArray()) == want
		}
		row++
	})
}

// keepNumber unmarks the rows whose number is another one.
func (c *columnReader) keepNumber(column string, want uint32, match []bool) error {
	row := 0
	return c.each(column, func(v *parquet.Value) {
		if row < len(match) && match[row] {
			match[row] = uint32(v.Int32()) == want
		}
		row++
	})
}

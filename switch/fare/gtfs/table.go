package gtfs

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// rowsMax bounds the rows of one table; a great feed has 100,000 stops.
const rowsMax = 1_000_000

// row is one row of a table.
type row struct {
	file   string
	line   int
	header []string
	fields []string
}

// get returns a field, empty where the table has no such column.
func (r row) get(key string) string {
	i := slices.Index(r.header, key)
	if i < 0 {
		return ""
	}
	return strings.TrimSpace(r.fields[i])
}

func (r row) fail(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", r.file, r.line, fmt.Errorf(format, args...))
}

// readTable reads a file of the feed; one that may be missing has no rows then.
func readTable(fsys fs.FS, name string, optional bool) ([]row, error) {
	f, err := fsys.Open(name)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: no header: %w", name, err)
	}
	for i := range header {
		header[i] = strings.TrimSpace(strings.TrimPrefix(header[i], "\ufeff"))
	}
	var rows []row
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(rows) == rowsMax {
			return nil, fmt.Errorf("%s: more than %d rows", name, rowsMax)
		}
		line, _ := in.FieldPos(0)
		rows = append(rows, row{name, line, header, fields})
	}
}

// decimals are the currencies whose amounts have not two decimals.
var decimals = map[string]int{"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3,
	"JOD": 3, "OMR": 3, "TND": 3}

// amount returns the amount of a row in minor units.
func (r row) amount(currency string) (txn.Minor, error) {
	places, ok := decimals[currency]
	if !ok {
		places = 2
	}
	text := r.get("amount")
	whole, part, _ := strings.Cut(text, ".")
	part = strings.TrimRight(part, "0")
	if len(part) > places {
		return 0, r.fail("amount %q has more decimals than %s", text, currency)
	}
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", places-len(part)), 10, 32)
	if err != nil {
		return 0, r.fail("amount %q is no number", text)
	}
	return txn.Minor(n), nil
}

package szt

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// timeLayout is how the file writes local time.
const timeLayout = "2006-01-02 15:04:05"

// The columns. The first columnsNeeded must be there.
var columns = [...]string{"card_no", "deal_date", "deal_type", "deal_money", "deal_value",
	"equ_no", "company_name", "station", "car_no", "conn_mark", "close_date"}

const columnsNeeded = 7

// Indexes into columns.
const (
	colCard = iota
	colDate
	colType
	colMoney
	colValue
	colReader
	colCompany
	colStation
	colVehicle
	colTransfer
	colClosed
)

// ErrFormat reports a file that is not in the Shenzhen format as a whole.
var ErrFormat = errors.New("not a file of Shenzhen tap records")

// Parser reads rows. It is for one goroutine.
type Parser struct {
	r      *bufio.Reader
	line   int
	place  [len(columns)]int // field number of each column, -1 when the file has none
	fields int
	buf    []string
}

// NewParser reads the header of a file, plain or gzipped. It returns ErrFormat when
// columns are missing, and says which.
func NewParser(r io.Reader) (*Parser, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	if head, _ := in.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %w", ErrFormat, err)
		}
		in = bufio.NewReaderSize(zip, 256<<10)
	}
	if head, _ := in.Peek(3); bytes.Equal(head, []byte{0xef, 0xbb, 0xbf}) {
		_, _ = in.Discard(3)
	}
	p := &Parser{r: in}
	return p, p.header()
}

func (p *Parser) header() error {
	text, err := p.nextLine()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the file is empty", ErrFormat)
	case err != nil:
		return fmt.Errorf("%w: header: %w", ErrFormat, err)
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: the header is not UTF-8; convert the file first", ErrFormat)
	}
	names, err := split(nil, text)
	if err != nil {
		return fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSpace(names[i]))
	}
	p.fields = len(names)
	var missing []string
	for i, name := range columns {
		p.place[i] = slices.Index(names, name)
		if p.place[i] < 0 && i < columnsNeeded {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: no column %s in the header", ErrFormat, strings.Join(missing, ", "))
	}
	return nil
}

// Next returns the next row, or a Reject in its place, or io.EOF. Lines without a
// character are no rows. After another error nothing more can be read.
func (p *Parser) Next() (Row, *Reject, error) {
	for {
		text, err := p.nextLine()
		if errors.Is(err, errLine) {
			return Row{}, &Reject{Line: p.line, Reason: err.Error()}, nil
		}
		if err != nil {
			return Row{}, nil, err
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		row, reject := p.row(text)
		return row, reject, nil
	}
}

// errLine reports one line that cannot be read; the next one can.
var errLine = errors.New("line cannot be read")

// nextLine returns the next line without its end.
func (p *Parser) nextLine() (string, error) {
	var long []byte
	size := 0
	for {
		part, err := p.r.ReadSlice('\n')
		size += len(part)
		if size <= lineMax {
			long = append(long, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (size == 0 || !errors.Is(err, io.EOF)) {
			if errors.Is(err, io.EOF) {
				return "", io.EOF
			}
			return "", fmt.Errorf("after line %d: %w", p.line, err)
		}
		break
	}
	p.line++
	if size > lineMax {
		return "", fmt.Errorf("%w: %d bytes, limit %d", errLine, size, lineMax)
	}
	return strings.TrimRight(string(long), "\r\n"), nil
}

// split cuts a line at its commas; a field in quotes may hold commas and doubled quotes.
func split(fields []string, line string) ([]string, error) {
	for {
		if !strings.HasPrefix(line, `"`) {
			field, rest, more := strings.Cut(line, ",")
			if strings.Contains(field, `"`) {
				return nil, fmt.Errorf("%w: quote inside field %d", errLine, len(fields)+1)
			}
			fields = append(fields, field)
			if !more {
				return fields, nil
			}
			line = rest
			continue
		}
		field, rest, err := quoted(line[1:])
		if err != nil {
			return nil, fmt.Errorf("%w: field %d", err, len(fields)+1)
		}
		fields = append(fields, field)
		if rest == "" {
			return fields, nil
		}
		line = rest[1:]
	}
}

// quoted reads a field up to its closing quote; rest is empty or begins with a comma.
func quoted(s string) (field, rest string, err error) {
	var b strings.Builder
	for {
		text, after, closed := strings.Cut(s, `"`)
		b.WriteString(text)
		switch {
		case !closed:
			return "", "", fmt.Errorf("%w: quote without end", errLine)
		case strings.HasPrefix(after, `"`):
			b.WriteByte('"')
			s = after[1:]
		case after == "" || after[0] == ',':
			return b.String(), after, nil
		default:
			return "", "", fmt.Errorf("%w: text after a quote", errLine)
		}
	}
}

// row reads one line. Whatever is wrong first becomes the Reject.
func (p *Parser) row(text string) (Row, *Reject) {
	reject := &Reject{Line: p.line}
	fields, err := split(p.buf[:0], text)
	switch {
	case err != nil:
		reject.Reason = err.Error()
		return Row{}, reject
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		reject.Reason = "not UTF-8 text"
		return Row{}, reject
	case len(fields) != p.fields:
		reject.Reason = fmt.Sprintf("%d fields, the header has %d", len(fields), p.fields)
		return Row{}, reject
	}
	p.buf = fields
	row := Row{Line: p.line}
	column, err := p.fill(&row, fields)
	if err == nil {
		return row, nil
	}
	reject.Column, reject.Reason = column, err.Error()
	p.salvage(reject, fields)
	return Row{}, reject
}

func (p *Parser) field(fields []string, column int) string {
	if p.place[column] < 0 {
		return ""
	}
	return strings.TrimSpace(fields[p.place[column]])
}

// fill reads all columns into row; on an error it names the column.
func (p *Parser) fill(row *Row, fields []string) (column string, err error) {
	for i, name := range columns {
		value := p.field(fields, i)
		switch i {
		case colCard:
			row.Card = value
			_, err = Number(value)
		case colDate:
			row.At, err = parseTime(value)
		case colType:
			row.Kind, err = parseKind(value)
		case colMoney:
			row.Charged, err = parseAmount(value)
		case colValue:
			row.FullFare, err = parseAmount(value)
		case colReader:
			row.Reader = value
			err = checkReader(value)
		case colCompany:
			row.Company = value
			err = checkCompany(value)
		case colStation:
			row.Station = placeName(value)
		case colVehicle:
			row.Vehicle = placeName(value)
		case colTransfer:
			row.Transfer = value
		case colClosed:
			row.Closed = value
		}
		if err != nil {
			return name, err
		}
	}
	return "", nil
}

// salvage keeps the amounts of a row that cannot be replayed, if they can be read.
func (p *Parser) salvage(r *Reject, fields []string) {
	r.Company = p.field(fields, colCompany)
	amount := func(column int) txn.Minor {
		n, err := strconv.ParseInt(p.field(fields, column), 10, 64)
		if err != nil || !txn.Minor(n).Valid() {
			return 0
		}
		return txn.Minor(n)
	}
	r.Charged, r.FullFare = amount(colMoney), amount(colValue)
}

// years bound what a clock of a reader may plausibly show, and a request id can hold.
const yearMin, yearMax = 2000, 2099

func parseTime(s string) (time.Time, error) {
	t, err := time.ParseInLocation(timeLayout, s, Zone())
	if err != nil {
		return t, errors.New("want a time as 2018-08-31 22:14:50")
	}
	if t.Nanosecond() != 0 {
		return t, errors.New("fractions of a second are not expected")
	}
	if t.Year() < yearMin || t.Year() > yearMax {
		return t, fmt.Errorf("year %d is not in %d to %d", t.Year(), yearMin, yearMax)
	}
	return t, nil
}

func parseKind(s string) (txn.Kind, error) {
	switch s {
	case "地铁入站":
		return txn.MetroEntry, nil
	case "地铁出站":
		return txn.MetroExit, nil
	case "巴士":
		return txn.BusBoarding, nil
	default:
		return txn.KindNone, errors.New("not 地铁入站, 地铁出站 or 巴士")
	}
}

func parseAmount(s string) (txn.Minor, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && !txn.Minor(n).Valid():
		return 0, errors.New("amount out of range")
	case err != nil:
		return 0, errors.New("want a whole number of fen")
	case n < 0:
		return 0, errors.New("amount is negative")
	}
	return txn.Minor(n), nil
}

func checkReader(s string) error {
	if _, err := txn.ParseTerminalID(s); err != nil || len(s) > terminalMax {
		return fmt.Errorf("want a reader number of 1 to %d letters and digits", terminalMax)
	}
	return nil
}

// checkCompany refuses a name that the ledger could not keep: an operator is paid under it.
func checkCompany(s string) error {
	switch {
	case s == "":
		return errors.New("empty")
	case len(s) > nameMax:
		return fmt.Errorf("%d bytes, limit %d", len(s), nameMax)
	case placeName(s) != s:
		return errors.New("control characters, or so many digits that it may hold a card number")
	}
	return nil
}

// placeName returns the name of a station or vehicle as it is sent: without control
// characters, not longer than nameMax, and empty when it has so many digits that it may
// hold a card number. No money depends on it, so that the tap itself is kept.
func placeName(s string) string {
	digits := 0
	out := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			digits++
		}
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if digits > nameDigitsMax {
		return ""
	}
	for len(out) > nameMax {
		_, size := utf8.DecodeLastRuneInString(out)
		out = out[:len(out)-size]
	}
	return out
}

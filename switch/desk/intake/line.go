package intake

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A list is CSV in UTF-8, a line a card, with the columns
//
//	card    number of 8 to 20 digits, or token of 32 hexadecimal digits
//	reason  lost, risk, suspended, pre_reported, replaced, cancelled
//	scope   applications with blanks between, as "transit purse"; all when empty
//	since   when it was frozen elsewhere, RFC 3339 or 2006-01-02 15:04:05 in China; may be empty
//	note    a case or form number, at most 128 bytes; may be empty
//
// The last three may be missing. A first line one of whose columns is "card" or "token" is a
// head: it names the columns, in whatever order they stand. Empty lines and lines that begin
// with # are passed over.

// The codes of bad lines, beside those of the engine.
const (
	BadCSV    = "csv_invalid"
	BadLength = "line_too_long"
	BadFields = "columns_invalid"
	BadCard   = "card_invalid"
	BadReason = "reason_invalid"
	BadScope  = "scope_invalid"
	BadSince  = "since_invalid"
	BadFuture = "since_in_future"
	BadNote   = "note_invalid"
)

const (
	lineMax = 1024 // bytes
	noteMax = 128
	// numberLikeMin is how many digits in a row a note must not have: it could be a card.
	numberLikeMin = 12
	fieldsMin     = 2
	fieldsMax     = 5
)

// row is a good line, or as much of a bad one as could be read.
type row struct {
	number int // of the line, from 1
	card   pan.Token
	last4  pan.Last4
	masked string
	mark   txn.Mark
	since  txn.Millis
	note   string
}

// reader reads lines.
type reader struct {
	in    *bufio.Reader
	token *pan.Tokenizer
	now   txn.Millis
	hash  hash.Hash
	count int // lines read, all of them
	// The first at lines are to have the digest want, when want is not empty.
	at    int
	want  string
	found string
	// order tells which of the columns each column is, as the head has it; nil for the usual one.
	order []int
}

func newReader(in io.Reader, t *pan.Tokenizer, now txn.Millis) reader {
	return reader{in: bufio.NewReaderSize(in, 64<<10), token: t, now: now, hash: sha256.New()}
}

// digest identifies the lines read so far.
func (r *reader) digest() string { return hex.EncodeToString(r.hash.Sum(nil)) }

// differ reports whether the lines are not those of the journal.
func (r *reader) differ() bool { return r.found != "" && r.found != r.want }

// next returns the next line with a card; bad is the code of what is wrong with it.
func (r *reader) next() (line row, bad string, err error) {
	for {
		text, long, err := r.line()
		if err != nil {
			return row{}, "", err
		}
		if r.count++; r.count > LinesMax {
			return row{}, "", fmt.Errorf("%w: more than %d lines; divide it", ErrList, LinesMax)
		}
		if r.count == r.at {
			r.found = r.digest()
		}
		if r.count == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		trimmed := bytes.TrimSpace(text)
		switch {
		case long:
			return row{number: r.count}, BadLength, nil
		case len(trimmed) == 0, trimmed[0] == '#':
			continue
		case r.count == 1 && heading(trimmed):
			if r.order, err = orderOf(trimmed); err != nil {
				return row{}, "", err
			}
			continue
		}
		line, bad = r.parse(trimmed)
		line.number = r.count
		return line, bad, nil
	}
}

// columnNames are the columns in their usual order; the first one is also called "token".
func columnNames() []string { return []string{"card", "reason", "scope", "since", "note"} }

func namesOf(line []byte) []string {
	names, _ := columns(strings.ToLower(string(line)))
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		if names[i] == "token" {
			names[i] = "card"
		}
	}
	return names
}

func heading(line []byte) bool { return slices.Contains(namesOf(line), "card") }

// orderOf reads a head.
func orderOf(line []byte) ([]int, error) {
	names := namesOf(line)
	order := make([]int, len(names))
	for i, name := range names {
		order[i] = slices.Index(columnNames(), name)
		if order[i] < 0 || slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%w: line 1: column %d is not known or stands twice; want %s", ErrList,
				i+1, strings.Join(columnNames(), ", "))
		}
	}
	if !slices.Contains(names, "reason") {
		return nil, fmt.Errorf("%w: line 1: the head has no column reason", ErrList)
	}
	return order, nil
}

// ordered puts a line's columns into their usual order.
func (r *reader) ordered(fields []string) ([]string, bool) {
	if r.order == nil {
		return append(fields, make([]string, max(0, fieldsMax-len(fields)))...),
			len(fields) >= fieldsMin && len(fields) <= fieldsMax
	}
	if len(fields) > len(r.order) || len(fields) < fieldsMin {
		return nil, false
	}
	usual := make([]string, fieldsMax)
	for i, text := range fields {
		usual[r.order[i]] = text
	}
	return usual, true
}

// line reads one line; of one that is too long, no more than is needed to know it.
func (r *reader) line() (text []byte, long bool, err error) {
	for {
		part, err := r.in.ReadSlice('\n')
		r.hash.Write(part)
		if !long && len(text)+len(part) > lineMax {
			long = true
		}
		if !long {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(text) > 0 || long):
			return text, long, nil
		case err != nil:
			return nil, false, err
		default:
			return text, long, nil
		}
	}
}

// parse reads a line's columns.
func (r *reader) parse(text []byte) (row, string) {
	fields, ok := columns(string(text))
	if !ok {
		return row{}, BadCSV
	}
	if fields, ok = r.ordered(fields); !ok {
		return row{}, BadFields
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	var line row
	for i, read := range []func(string, *row) string{r.card, reason, scope, r.since, note} {
		if bad := read(fields[i], &line); bad != "" {
			return line, bad
		}
	}
	return line, ""
}

// columns divides a line. Few lines have quotes; the others need no parser.
func columns(text string) ([]string, bool) {
	if !strings.Contains(text, `"`) {
		return strings.Split(text, ","), true
	}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	return fields, err == nil
}

func (r *reader) card(text string, line *row) string {
	if len(text) == 2*pan.TokenSize {
		token, err := pan.ParseToken(text)
		if err != nil || token.IsZero() {
			return BadCard
		}
		line.card, line.masked = token, "token "+text[:4]+"…"
		return ""
	}
	n, err := pan.Parse(text)
	if err != nil {
		return BadCard
	}
	line.card, line.last4 = r.token.Token(n), n.Last4()
	line.masked = "****" + line.last4.String()
	return ""
}

func reason(text string, line *row) string {
	why, err := txn.ParseFreezeReason(text)
	if err != nil {
		return BadReason
	}
	line.mark = txn.Mark{Reason: why, Scope: txn.AppAll}
	return ""
}

func scope(text string, line *row) string {
	if text == "" {
		return ""
	}
	line.mark.Scope = 0
	for _, name := range strings.Fields(text) {
		app, err := txn.ParseApp(name)
		if err != nil {
			return BadScope
		}
		line.mark.Scope |= app
	}
	if line.mark.Reason.Terminal() && line.mark.Scope != txn.AppAll {
		return BadScope // a dead number is dead for everything
	}
	return ""
}

// chinaTime is what an instant without a zone is in.
const chinaTime = 8 * 3600

func (r *reader) since(text string, line *row) string {
	if text == "" {
		return ""
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		at, err = time.ParseInLocation(time.DateTime, text, time.FixedZone("", chinaTime))
	}
	line.since = txn.MillisOf(at)
	switch {
	case err != nil || line.since <= 0:
		return BadSince
	case line.since > r.now:
		return BadFuture
	default:
		return ""
	}
}

// note takes no card number: notes are kept in the ledger.
func note(text string, line *row) string {
	digits := 0
	for _, c := range text {
		switch {
		case unicode.IsControl(c):
			return BadNote
		case unicode.IsDigit(c):
			digits++
		case c != ' ' && c != '-':
			digits = 0
		}
		if digits >= numberLikeMin {
			return BadNote
		}
	}
	if len(text) > noteMax {
		return BadNote
	}
	line.note = text
	return ""
}

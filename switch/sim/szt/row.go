package szt

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a row and a file.
const (
	// RowsMax bounds a file: the published set has 1.3 million rows.
	RowsMax = 20_000_000
	// lineMax bounds one line in bytes; a real one has about 120.
	lineMax = 4 << 10
	// nameMax bounds company, station and vehicle in bytes: what a card's state holds.
	nameMax = 48
	// nameDigitsMax bounds the digits of a name, which must not hold a card number.
	nameDigitsMax = 12
	// terminalMax bounds a reader number: its terminal id has room for two more characters
	// where several operators share a number.
	terminalMax = txn.TerminalIDMax - 2
	// lettersMax bounds a pseudonym; real ones have 8 or 9 letters.
	lettersMax = 12
)

// Zone is the local time of the rows.
func Zone() *time.Location { return time.FixedZone("CST", 8*60*60) }

// Row is one tap.
type Row struct {
	Line     int // of the file, from 1; the header is line 1
	Card     string
	At       time.Time
	Kind     txn.Kind
	Charged  txn.Minor
	FullFare txn.Minor
	Reader   string
	Company  string
	Station  string // station or bus route, may be empty
	Vehicle  string // gate or vehicle, may be empty
	Transfer string
	Closed   string
}

// Reject is a row that cannot be replayed.
type Reject struct {
	Line   int    `json:"line"`
	Column string `json:"column,omitempty"` // empty when the line as a whole is malformed
	Reason string `json:"reason"`
	// What could be read of the row all the same, so that the file's sums are whole.
	Company           string    `json:"operator,omitempty"`
	FullFare, Charged txn.Minor `json:"-"`
}

// Error says what is wrong, where. It quotes no value.
func (r *Reject) Error() string {
	return fmt.Sprintf("line %d: %s", r.Line, r.why())
}

// why is the reason, after the column if there is one.
func (r *Reject) why() string {
	if r.Column == "" {
		return r.Reason
	}
	return r.Column + ": " + r.Reason
}

// digest identifies the content of a row, wherever it stands.
func (r *Row) digest() uint64 {
	h := fnv.New64a()
	write := func(s string) {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	write(r.Card)
	write(r.At.Format(timeLayout))
	write(r.Kind.String())
	write(fmt.Sprint(int64(r.Charged), int64(r.FullFare)))
	for _, s := range [...]string{r.Reader, r.Company, r.Station, r.Vehicle, r.Transfer, r.Closed} {
		write(s)
	}
	// FNV mixes its last bytes badly into the high bits; one more round of a finalizer.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

// boot is the second of the tap, as the boot number of its request id.
func boot(at time.Time) uint32 { return uint32(at.Unix()) }

// Number returns the test card number of a pseudonym. Different pseudonyms have different
// numbers: 310499, the count of letters, and a digit for each letter (A is 0), after zeros.
func Number(pseudonym string) (pan.Number, error) {
	if len(pseudonym) == 0 || len(pseudonym) > lettersMax {
		return pan.Number{}, fmt.Errorf("want 1 to %d letters A to J, got %d characters",
			lettersMax, len(pseudonym))
	}
	digits := []byte(fmt.Sprintf("310499%02d000000000000", len(pseudonym)))
	start := len(digits) - len(pseudonym)
	for i := range len(pseudonym) {
		c := pseudonym[i]
		if c < 'A' || c > 'J' {
			return pan.Number{}, fmt.Errorf("character %d is not a letter A to J", i+1)
		}
		digits[start+i] = '0' + c - 'A'
	}
	return pan.Parse(string(digits))
}

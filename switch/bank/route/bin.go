package route

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// binDigitsMax is the longest BIN: issuers number their ranges with up to twelve digits.
	binDigitsMax = 12
	// binEnd is one past the highest BIN, filled up to binDigitsMax digits.
	binEnd = 1_000_000_000_000
	// shownMax is how many digits of a BIN are shown beside the last four of a card.
	shownMax = 6
)

// ErrBIN reports text that is neither a prefix nor a range.
var ErrBIN = errors.New("not a BIN: want 1 to 12 digits, or two such numbers with '-' between")

// bin is a set of card numbers: those whose first digits, filled up with zeros to
// binDigitsMax, lie between low and high.
type bin struct {
	low, high uint64
	digits    int // how many a card number must have to be in it
}

// anyBIN is what a rule without a BIN takes.
var anyBIN = bin{high: binEnd - 1}

// parseBIN reads "622600" or "622600-622699".
func parseBIN(s string) (bin, error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, err := parseDigits(low)
	if err != nil {
		return bin{}, err
	}
	to, err := parseDigits(high)
	switch {
	case err != nil:
		return bin{}, err
	case len(low) != len(high):
		return bin{}, fmt.Errorf("%w: the ends of %q have different lengths", ErrBIN, s)
	case from > to:
		return bin{}, fmt.Errorf("%w: %q ends before it begins", ErrBIN, s)
	}
	unit := uint64(1)
	for range binDigitsMax - len(low) {
		unit *= 10
	}
	return bin{low: from * unit, high: (to+1)*unit - 1, digits: len(low)}, nil
}

func parseDigits(s string) (v uint64, err error) {
	if len(s) == 0 || len(s) > binDigitsMax {
		return 0, fmt.Errorf("%w: %d digits", ErrBIN, len(s))
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, fmt.Errorf("%w: character %d is no digit", ErrBIN, i+1)
		}
		v = v*10 + uint64(s[i]-'0')
	}
	return v, nil
}

// String returns the BIN as in configuration.
func (b bin) String() string { return b.cut(binDigitsMax) }

// shown is String with at most the first six digits, for a line that also has the last four
// digits of a card number.
func (b bin) shown() string { return b.cut(shownMax) }

func (b bin) cut(most int) string {
	if b.digits == 0 {
		return "any"
	}
	low, high := b.text(b.low, most), b.text(b.high, most)
	if low == high {
		return low
	}
	return low + "-" + high
}

func (b bin) text(v uint64, most int) string {
	all := fmt.Sprintf("%0*d", binDigitsMax, v)
	if b.digits > most {
		return all[:most] + ".."
	}
	return all[:b.digits]
}

package list

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist/list/fuse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Draft is what the maker of a file knows about it. Count, Check and BaseCheck are needed
// for a delta and for numbers; of the others they are computed.
type Draft struct {
	Scheme, KeyID    string
	Scope            txn.App
	Epoch, Base      Epoch
	MadeAt           txn.Millis
	Count            uint64
	Check, BaseCheck Check
}

func (d *Draft) header(f Format, width int) Header {
	return Header{Format: f, Width: width, Scope: d.Scope, Scheme: d.Scheme, KeyID: d.KeyID,
		Epoch: d.Epoch, Base: d.Base, MadeAt: d.MadeAt, Count: d.Count, Check: d.Check,
		BaseCheck: d.BaseCheck}
}

// Changes are the cards that came and went, both sorted, none in both.
type Changes struct{ Adds, Removes []pan.Token }

// sorted wants tokens in order, none twice.
func sorted(tokens []pan.Token) error {
	if len(tokens) > KeysMax {
		return fmt.Errorf("%w: %d cards, at most %d", ErrInput, len(tokens), KeysMax)
	}
	for i := 1; i < len(tokens); i++ {
		if bytes.Compare(tokens[i-1][:], tokens[i][:]) >= 0 {
			return fmt.Errorf("%w: tokens are not sorted or double", ErrInput)
		}
	}
	return nil
}

// EncodeExact returns the file of all tokens, sorted and none twice, as whole tokens (Wide)
// or as their different first halves (Narrow). by nil leaves it unsigned.
func EncodeExact(d Draft, width int, tokens []pan.Token, by Signer) ([]byte, error) {
	if err := sorted(tokens); err != nil {
		return nil, err
	}
	h := d.header(Exact, width)
	h.Count, h.Check = uint64(len(tokens)), checkOf(tokens)
	file := make([]byte, HeaderSize, HeaderSize+len(tokens)*width+trailerMax)
	return seal(h, appendKeys(file, width, tokens), by)
}

// appendKeys appends tokens, or each different first half once.
func appendKeys(dst []byte, width int, tokens []pan.Token) []byte {
	for i := range tokens {
		if width != Wide && i > 0 && prefix(tokens[i]) == prefix(tokens[i-1]) {
			continue
		}
		dst = append(dst, tokens[i][:min(width, Wide)]...)
	}
	return dst
}

// EncodeFilter returns the file of a binary fuse filter (Filter8 or Filter16) of all tokens.
func EncodeFilter(d Draft, f Format, tokens []pan.Token, by Signer) ([]byte, error) {
	if err := sorted(tokens); err != nil {
		return nil, err
	}
	h := d.header(f, Narrow)
	h.Count, h.Check = uint64(len(tokens)), checkOf(tokens)
	build := fuse.Build8
	if f == Filter16 {
		build = fuse.Build16
	}
	filter, err := build(prefixes(tokens))
	if err != nil {
		return nil, fmt.Errorf("list: the filter of %d cards cannot be made: %w", len(tokens), err)
	}
	file := make([]byte, HeaderSize, HeaderSize+filter.Size()+trailerMax)
	return seal(h, filter.Append(file), by)
}

// prefixes returns the different first halves of sorted tokens.
func prefixes(tokens []pan.Token) []uint64 {
	keys := make([]uint64, 0, len(tokens))
	for i := range tokens {
		if k := prefix(tokens[i]); i == 0 || k != keys[len(keys)-1] {
			keys = append(keys, k)
		}
	}
	return keys
}

// EncodeNumbers returns the file of card numbers. It is for gates that cannot make tokens
// and shows every frozen number to who reads it: use it only on a line of the card's own
// operator. Count and Check of the draft are those of the tokens.
func EncodeNumbers(d Draft, numbers []pan.Number, by Signer) ([]byte, error) {
	if uint64(len(numbers)) != d.Count || len(numbers) > KeysMax {
		return nil, fmt.Errorf("%w: %d numbers for %d cards", ErrInput, len(numbers), d.Count)
	}
	keys := make([][numberWidth]byte, len(numbers))
	for i, n := range numbers {
		keys[i] = bcd(n)
	}
	slices.SortFunc(keys, func(a, b [numberWidth]byte) int { return bytes.Compare(a[:], b[:]) })
	body := make([]byte, HeaderSize, HeaderSize+len(keys)*numberWidth+trailerMax)
	for i := range keys {
		if i > 0 && keys[i] == keys[i-1] {
			return nil, fmt.Errorf("%w: a card number is double", ErrInput)
		}
		body = append(body, keys[i][:]...)
	}
	return seal(d.header(Numbers, numberWidth), body, by)
}

// bcd returns a card number in BCD, padded on the right with F.
func bcd(n pan.Number) (b [numberWidth]byte) {
	digits := n.Digits()
	for i := range 2 * numberWidth {
		digit := byte(0xf)
		if i < len(digits) {
			digit = digits[i] - '0'
		}
		b[i/2] = b[i/2]<<4 | digit
	}
	return b
}

// EncodeDelta returns the file of what changed from Base to Epoch; Count, Check and
// BaseCheck of the draft are needed. With Narrow, the changes must be those of the
// different first halves.
func EncodeDelta(d Draft, width int, c Changes, by Signer) ([]byte, error) {
	for _, tokens := range [][]pan.Token{c.Adds, c.Removes} {
		if err := sorted(tokens); err != nil {
			return nil, err
		}
	}
	h := d.header(Delta, width)
	h.Adds, h.Removes = uint32(len(c.Adds)), uint32(len(c.Removes))
	file := make([]byte, HeaderSize, HeaderSize+(len(c.Adds)+len(c.Removes))*width+trailerMax)
	return seal(h, appendKeys(appendKeys(file, width, c.Adds), width, c.Removes), by)
}

// seal writes the header before the body, whose room is there, and signs.
func seal(h Header, file []byte, by Signer) ([]byte, error) {
	if !validName(h.Scheme) || !validName(h.KeyID) {
		return nil, fmt.Errorf("%w: scheme %q or key id %q is longer than %d or not printable",
			ErrInput, h.Scheme, h.KeyID, NameMax)
	}
	h.BodySize = uint64(len(file) - HeaderSize)
	h.BodyHash = sha256.Sum256(file[HeaderSize:])
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	h.append(file[:0])
	return appendTrailer(file, by)
}

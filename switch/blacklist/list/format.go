package list

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Epoch numbers the published states of the list. Numbers only grow and none is ever used
// twice; they have holes. 0 is no epoch. They stay below txn.MinorMax.
type Epoch uint64

// Format says what a file holds.
type Format uint8

// The formats. The numbers are written to files: append only.
const (
	// Exact is every frozen card, as sorted tokens or their first 8 bytes.
	Exact Format = iota + 1
	// Numbers is every frozen card, as sorted card numbers in BCD.
	Numbers
	// Filter8 and Filter16 are binary fuse filters of the first 8 bytes of the tokens.
	Filter8
	Filter16
	// Delta is what came and went between two epochs.
	Delta
	formatEnd
)

// String returns the format's stable name: "exact", "filter8".
func (f Format) String() string {
	if f == 0 || f >= formatEnd {
		return "unknown"
	}
	return [formatEnd]string{"", "exact", "numbers", "filter8", "filter16", "delta"}[f]
}

// Widths of a key in a file, in bytes.
const (
	// Wide is a whole token.
	Wide = pan.TokenSize
	// Narrow is the first 8 bytes of a token. A card that is not listed is taken for one of
	// n listed ones with probability n/2^64: 2e-13 for 3 million.
	Narrow = 8
	// numberWidth is a card number in BCD, padded with F.
	numberWidth = 10
)

// Limits of a file.
const (
	// HeaderSize is the length of the header.
	HeaderSize = 160
	// NameMax is the longest scheme name and token key id.
	NameMax = 16
	// KeysMax is the most cards of a file; more must be split by scheme.
	KeysMax = 16 << 20
	// FileMax is the longest file.
	FileMax = HeaderSize + KeysMax*Wide + trailerMax
)

const (
	magic   = "TAPSLIST"
	version = 1
)

var (
	// ErrDamaged reports bytes that are not a list file, or one that was changed.
	ErrDamaged = errors.New("list: file is damaged")
	// ErrUnsigned reports a file whose signature is missing, wrong or by a strange key.
	ErrUnsigned = errors.New("list: file is not signed by a trusted key")
	// ErrOther reports a delta that does not belong to the list: another scheme, scope, key,
	// width or base. Take the delta from the list's own epoch, or a full file.
	ErrOther = errors.New("list: delta does not follow this list")
	// ErrInput reports content that cannot be written: out of order, double, too much.
	ErrInput = errors.New("list: content cannot be written")
)

// Check is a number that depends on every card of a list and nothing else; two lists that
// agree in it are the same list, unless somebody made them so. Wide is over whole tokens,
// Narrow over the different first halves. It is carried on by adding and taking away, so
// that a gate can prove after every delta that it holds what the switch holds.
type Check struct{ Wide, Narrow uint64 }

// mix is the finalizer of MurmurHash3, as in the filters.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// prefix is the first half of a token as a number: what filters hold.
func prefix(t pan.Token) uint64 { return binary.BigEndian.Uint64(t[:8]) }

// wideCheck is what one token counts in Check.Wide, narrowCheck in Check.Narrow.
func wideCheck(t pan.Token) uint64    { return mix(prefix(t) + mix(binary.BigEndian.Uint64(t[8:]))) }
func narrowCheck(first uint64) uint64 { return mix(first) }

// checkOf returns the check of sorted tokens.
func checkOf(tokens []pan.Token) (c Check) {
	for i, t := range tokens {
		c.Wide += wideCheck(t)
		if i == 0 || prefix(tokens[i-1]) != prefix(t) {
			c.Narrow += narrowCheck(prefix(t))
		}
	}
	return c
}

// of returns the part of the check that keys of the width can prove.
func (c Check) of(width int) uint64 {
	if width == Wide {
		return c.Wide
	}
	return c.Narrow
}

// Header is what stands before the content of a file. See the package comment for its bytes.
type Header struct {
	Format Format
	Width  int     // bytes of a key
	Scope  txn.App // the applications of which one must be closed for a card to be listed
	Scheme string  // the scheme's name, at most NameMax printable ASCII characters
	KeyID  string  // the key that made the tokens of the card numbers
	Epoch  Epoch
	Base   Epoch      // of a delta: what it follows; else 0
	MadeAt txn.Millis // when the epoch was made
	Count  uint64     // cards listed at Epoch
	// Adds and Removes count the keys of a delta.
	Adds, Removes uint32
	Check         Check // of the list at Epoch
	BaseCheck     Check // of the list at Base
	BodySize      uint64
	BodyHash      [sha256.Size]byte
}

// append appends the header's bytes.
func (h *Header) append(dst []byte) []byte {
	dst = append(dst, magic...)
	dst = append(dst, version, byte(h.Format), byte(h.Width), 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Scope))
	dst = binary.BigEndian.AppendUint16(dst, HeaderSize)
	dst = appendName(dst, h.Scheme)
	dst = appendName(dst, h.KeyID)
	for _, v := range []uint64{uint64(h.Epoch), uint64(h.Base), uint64(h.MadeAt), h.Count} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	dst = binary.BigEndian.AppendUint32(dst, h.Adds)
	dst = binary.BigEndian.AppendUint32(dst, h.Removes)
	for _, v := range []uint64{h.Check.Wide, h.Check.Narrow, h.BaseCheck.Wide, h.BaseCheck.Narrow,
		h.BodySize} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	return append(dst, h.BodyHash[:]...)
}

func appendName(dst []byte, name string) []byte {
	var field [NameMax]byte
	copy(field[:], name)
	return append(dst, field[:]...)
}

// readName reads what appendName wrote.
func readName(b []byte) (string, bool) {
	name := bytes.TrimRight(b[:NameMax], "\x00")
	return string(name), validName(string(name))
}

func validName(name string) bool {
	if len(name) > NameMax {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

// readHeader reads the header of a file. Errors are ErrDamaged.
func readHeader(b []byte) (h Header, err error) {
	switch {
	case len(b) < HeaderSize || string(b[:8]) != magic:
		return h, fmt.Errorf("%w: no list file", ErrDamaged)
	case b[8] != version:
		return h, fmt.Errorf("%w: version %d, this reader knows %d", ErrDamaged, b[8], version)
	case b[11] != 0 || binary.BigEndian.Uint16(b[14:]) != HeaderSize:
		return h, fmt.Errorf("%w: header of another size", ErrDamaged)
	}
	var ok1, ok2 bool
	h.Format, h.Width = Format(b[9]), int(b[10])
	h.Scope = txn.App(binary.BigEndian.Uint16(b[12:]))
	h.Scheme, ok1 = readName(b[16:])
	h.KeyID, ok2 = readName(b[32:])
	if !ok1 || !ok2 {
		return h, fmt.Errorf("%w: scheme or key id is not printable", ErrDamaged)
	}
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	h.Epoch, h.Base, h.MadeAt, h.Count = Epoch(u64(48)), Epoch(u64(56)), txn.Millis(u64(64)), u64(72)
	h.Adds, h.Removes = binary.BigEndian.Uint32(b[80:]), binary.BigEndian.Uint32(b[84:])
	h.Check, h.BaseCheck = Check{u64(88), u64(96)}, Check{u64(104), u64(112)}
	h.BodySize = u64(120)
	copy(h.BodyHash[:], b[128:])
	return h, h.check()
}

// check compares what can be compared within the header.
func (h *Header) check() error {
	keys := uint64(h.Adds) + uint64(h.Removes)
	isDelta := h.Format == Delta
	switch {
	case h.Format == 0 || h.Format >= formatEnd || !h.widthFits():
		return fmt.Errorf("%w: format %d with keys of %d bytes", ErrDamaged, h.Format, h.Width)
	case h.Epoch == 0 || h.Epoch > Epoch(txn.MinorMax) || h.MadeAt < 0 || h.Count > KeysMax:
		return fmt.Errorf("%w: epoch %d with %d cards", ErrDamaged, h.Epoch, h.Count)
	case isDelta && (h.Base == 0 || h.Base >= h.Epoch || h.BodySize != keys*uint64(h.Width)):
		return fmt.Errorf("%w: delta from %d to %d of %d bytes with %d keys", ErrDamaged, h.Base,
			h.Epoch, h.BodySize, keys)
	case !isDelta && (h.Base != 0 || keys != 0 || h.BaseCheck != Check{}):
		return fmt.Errorf("%w: a full list with a base", ErrDamaged)
	case h.BodySize > KeysMax*Wide:
		return fmt.Errorf("%w: %d bytes of content", ErrDamaged, h.BodySize)
	}
	return nil
}

func (h *Header) widthFits() bool {
	switch h.Format {
	case Filter8, Filter16:
		return h.Width == Narrow
	case Numbers:
		return h.Width == numberWidth
	default:
		return h.Width == Wide || h.Width == Narrow
	}
}

// Package keyblock moves keys between parties under a key they share: TR-31 / ANSI X9.143
// key blocks, the plain ECB wrapping under zone and terminal master keys, the field 62 in
// which a UnionPay host sends a terminal its working keys, and key check values.
//
// TR-31 versions A to E are read; only B, D and E are written, since A and C bind header
// and key with a short MAC under a variant of the protection key and stay for import only.
// The MAC is compared first, in constant time, then the length of the key; nothing that a
// block says is believed before.
//
// The package is pure: no key is kept, nothing is stored, the one outside input is the
// random padding. Its functions are safe for concurrent use. Keys come out as Key, which no
// formatting prints; errors never hold key or block bytes. Parity and weak keys are not
// looked at (see crypto/block.Check), and ECB wrapping gives no integrity: only the check
// value tells a wrong key, so compare it.
package keyblock

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
)

var (
	// ErrHeader reports a block whose text, header or optional blocks are malformed.
	ErrHeader = errors.New("key block is malformed")
	// ErrVersion reports a version that is not A to E.
	ErrVersion = errors.New("key block version is unknown")
	// ErrMAC reports a block that was changed or made under another protection key.
	ErrMAC = errors.New("key block MAC does not match")
	// ErrLength reports a block whose MAC is right and whose key length cannot be.
	ErrLength = errors.New("key block holds a key of an impossible length")
	// ErrUsage reports a genuine block for another use than asked for.
	ErrUsage = errors.New("key block is for another use")
	// ErrImportOnly reports an attempt to wrap in a form that is only read.
	ErrImportOnly = errors.New("this form is for import only")
	// ErrKeyLength is block.ErrKeyLength: a protection key or a key to wrap is not of a
	// length its cipher or its protection allows.
	ErrKeyLength = block.ErrKeyLength
)

// Key is a clear key. Every verb of fmt and every text encoding prints its length only (but
// fmt asks no unexported field: a struct that hides a Key needs a Format of its own);
// convert it to []byte to use it and call Clear when done.
type Key []byte

// Format prints "key(16 bytes)".
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.mask()) }

// MarshalText returns what Format prints, for encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.mask()), nil }

// Clear overwrites the key with zeros.
func (k Key) Clear() { clear(k) }

func (k Key) mask() string { return fmt.Sprintf("key(%d bytes)", len(k)) }

// Unwrapped is a key block that has proved genuine.
type Unwrapped struct {
	Header Header
	Key    Key
}

// Unwrap opens the block text under the protection key kbpk: 16 or 24 bytes for A, B and C,
// 16, 24 or 32 for D and E. With want, a genuine block of another usage is refused. In order
// of checking: ErrVersion, ErrHeader, ErrKeyLength (of kbpk), ErrMAC, ErrLength, ErrUsage.
func Unwrap(kbpk []byte, text string, want ...Usage) (Unwrapped, error) {
	p, err := parse(text)
	if err != nil {
		return Unwrapped{}, err
	}
	clearData, err := p.open(kbpk)
	if err != nil {
		return Unwrapped{}, err
	}
	defer clear(clearData)
	key, err := cutKey(clearData, p.header.Algorithm)
	if err != nil {
		return Unwrapped{}, err
	}
	if len(want) > 0 && !slices.Contains(want, p.header.Usage) {
		key.Clear()
		return Unwrapped{}, fmt.Errorf("%w: it is %s, wanted %v", ErrUsage, p.header.Usage, want)
	}
	return Unwrapped{p.header, key}, nil
}

// open checks the MAC and returns the clear key data.
func (p parsed) open(kbpk []byte) ([]byte, error) {
	s, err := newSealer(p.header.Version, kbpk)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(p.data))
	if s.overCipher {
		if !s.mac.Verify(append([]byte(p.head), p.data...), p.tag) {
			return nil, ErrMAC
		}
		return out, block.DecryptCBC(s.cipher, out, []byte(p.head[:s.cipher.BlockSize()]), p.data)
	}
	if err := s.crypt(out, p.data, p.tag, false); err != nil {
		return nil, err
	}
	signed := append([]byte(p.head), out...)
	ok := s.mac.Verify(signed, p.tag)
	clear(signed)
	if !ok {
		clear(out)
		return nil, ErrMAC
	}
	return out, nil
}

// cutKey takes the key out of the clear key data: length in bits, key, padding.
func cutKey(data []byte, algorithm byte) (Key, error) {
	if len(data) < 3 {
		return nil, fmt.Errorf("%w: there are %d bytes in all", ErrLength, len(data))
	}
	bits := int(binary.BigEndian.Uint16(data))
	if bits%8 != 0 || bits/8 > len(data)-2 {
		return nil, fmt.Errorf("%w: %d bits in %d bytes", ErrLength, bits, len(data)-2)
	}
	if !lengthFits(algorithm, bits/8) {
		return nil, fmt.Errorf("%w: %d bits for algorithm %c", ErrLength, bits, algorithm)
	}
	return slices.Clone(Key(data[2 : 2+bits/8])), nil
}

// lengthFits reports whether a key of n bytes can be one of the block's algorithm.
func lengthFits(algorithm byte, n int) bool {
	switch algorithm {
	case 'A':
		return n == 16 || n == 24 || n == 32
	case 'D':
		return n == 8
	case 'T':
		return n == 8 || n == 16 || n == 24
	default:
		return n > 0
	}
}

// WrapOptions are the choices of Wrap that the header does not hold.
type WrapOptions struct {
	// MaskTo is the number of key bytes the block pretends to hold, so that its length does
	// not tell a short key from a long one; 0 adds no more than the cipher needs.
	MaskTo int
	// Rand gives the padding; nil is crypto/rand.
	Rand io.Reader
}

// maskMax bounds WrapOptions.MaskTo: the longest key whose length in bits has two bytes.
const maskMax = 65535 / 8

// Wrap seals key in a block with header h, of version B, D or E, and returns its text. It
// fills in the length and pads the optional blocks (PB), which h must not hold. A protection
// key weaker than the key is refused: a longer key of the same cipher, or an AES key in a
// block of TDES (ANSI X9.143 5.2).
func Wrap(kbpk []byte, h Header, key []byte, o WrapOptions) (string, error) {
	s, err := newSealer(h.Version, kbpk)
	if err != nil {
		return "", err
	}
	if s.overCipher {
		return "", fmt.Errorf("%w: version %c, wrap as B, D or E", ErrImportOnly, h.Version)
	}
	if err := checkWrap(h, kbpk, key, o); err != nil {
		return "", err
	}
	data, err := s.keyData(key, o)
	if err != nil {
		return "", err
	}
	defer clear(data)
	head, err := h.text(s.form, 2*(len(data)+s.macSize))
	if err != nil {
		return "", err
	}
	signed := append([]byte(head), data...)
	tag := s.mac.Sum(nil, signed)
	clear(signed)
	if err := s.crypt(data, data, tag, true); err != nil {
		return "", err
	}
	return head + strings.ToUpper(hex.EncodeToString(data)+hex.EncodeToString(tag)), nil
}

func checkWrap(h Header, kbpk, key []byte, o WrapOptions) error {
	if len(key) > maskMax || !lengthFits(h.Algorithm, len(key)) {
		return fmt.Errorf("%w: %d bytes of algorithm %q", ErrKeyLength, len(key), h.Algorithm)
	}
	if o.MaskTo < 0 || o.MaskTo > maskMax {
		return fmt.Errorf("%w: cannot mask to %d bytes, want 0 to %d", ErrKeyLength, o.MaskTo, maskMax)
	}
	tdes := h.Version == VersionB
	weaker := h.Algorithm == 'A' && (tdes || len(key) > len(kbpk)) ||
		h.Algorithm == 'T' && tdes && len(key) > len(kbpk)
	if weaker {
		return fmt.Errorf("%w: %d bytes of algorithm %c under %d bytes in version %c, which is weaker",
			ErrKeyLength, len(key), h.Algorithm, len(kbpk), h.Version)
	}
	return nil
}

// keyData lays out length, key and random padding.
func (s *sealer) keyData(key []byte, o WrapOptions) ([]byte, error) {
	n := 2 + max(len(key), o.MaskTo)
	n = (n + s.dataUnit - 1) / s.dataUnit * s.dataUnit
	data := make([]byte, n)
	from := o.Rand
	if from == nil {
		from = rand.Reader
	}
	if _, err := io.ReadFull(from, data[2+len(key):]); err != nil {
		return nil, fmt.Errorf("no random padding for a key block: %w", err)
	}
	binary.BigEndian.PutUint16(data, uint16(8*len(key)))
	copy(data[2:], key)
	return data, nil
}

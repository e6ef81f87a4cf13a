// Package mac computes and verifies the message authentication codes of card systems:
// ISO 9797-1 algorithms 1 (CBC-MAC), 2 (EMAC), 3 (retail MAC) and 5 (CMAC) with paddings 1
// to 3 over DES, TDES, AES and SM4, the ready forms X9.9 and X9.19, and the "CUP ECB" MAC
// of UnionPay terminals.
//
// A MAC holds expanded keys and nothing else; it is safe for concurrent use, and Sum and
// Verify allocate nothing when the destination has room. Lengths are in bytes. Comparing is
// constant time. No error and no printed form of this package contains key or data bytes.
//
// The package does not choose a scheme, does not look at key parity or weak keys (see
// crypto/block.Check), and refuses MACs of fewer than SizeMin bytes. CBC (algorithm 1) is
// safe only for messages of one fixed length or with Pad3; whoever picks it knows why.
package mac

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// Algorithm names a MAC algorithm; those of ISO 9797-1 have its numbers.
type Algorithm uint8

// The algorithms. CUPECB is UnionPay's and has no number in ISO 9797-1.
const (
	CBC    Algorithm = 1
	EMAC   Algorithm = 2
	Retail Algorithm = 3
	CMAC   Algorithm = 5
	CUPECB Algorithm = 64
)

// String returns the name as in configuration: "cbc", "emac", "retail", "cmac", "cup-ecb".
func (a Algorithm) String() string {
	switch a {
	case CBC:
		return "cbc"
	case EMAC:
		return "emac"
	case Retail:
		return "retail"
	case CMAC:
		return "cmac"
	case CUPECB:
		return "cup-ecb"
	default:
		return "unknown"
	}
}

// ParseAlgorithm reads what String prints.
func ParseAlgorithm(s string) (Algorithm, error) {
	for _, a := range [...]Algorithm{CBC, EMAC, Retail, CMAC, CUPECB} {
		if a.String() == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%w: %.16q, want cbc, emac, retail, cmac or cup-ecb", ErrScheme, s)
}

// SizeMin is the shortest MAC accepted, in bytes: a shorter one can be found by trying.
const SizeMin = 4

var (
	// ErrScheme reports a Scheme that is no MAC: an unknown algorithm, a cipher or padding
	// that does not go with it, a size that does not fit.
	ErrScheme = errors.New("not a MAC scheme")
	// ErrKeyLength is block.ErrKeyLength: the key is not of a length of the scheme.
	ErrKeyLength = block.ErrKeyLength
)

// Scheme says how a MAC is computed.
type Scheme struct {
	// Algorithm is the chaining and what is done with the last block.
	Algorithm Algorithm
	// Cipher is the block cipher; CUPECB knows DES, TDES and SM4.
	Cipher block.Algorithm
	// Padding is one of Pad1, Pad2, Pad3 for CBC, EMAC and Retail; the others pad by
	// themselves and want 0.
	Padding Padding
	// Size is how many bytes are kept from the left; 0 keeps the whole block, and for
	// CUPECB the 8 characters of field 64. The unit of CUPECB is hex characters.
	Size int
}

// The schemes that have a name of their own. Copies may be changed, these not.
var (
	// X99 is ANSI X9.9: DES CBC, padding 1, the left 4 bytes.
	X99 = Scheme{Algorithm: CBC, Cipher: block.DES, Padding: Pad1, Size: 4}
	// X919 is ANSI X9.19: retail MAC over DES, padding 1, the left 4 bytes.
	X919 = Scheme{Algorithm: Retail, Cipher: block.DES, Padding: Pad1, Size: 4}
	// CUPDES is the UnionPay terminal MAC under a MAK of 8 bytes, 8 characters.
	CUPDES = Scheme{Algorithm: CUPECB, Cipher: block.DES, Size: cupSize}
	// CUPTDES is the UnionPay terminal MAC under a MAK of 16 or 24 bytes, 8 characters.
	CUPTDES = Scheme{Algorithm: CUPECB, Cipher: block.TDES, Size: cupSize}
	// CUPSM4 is the SM4 form of the UnionPay terminal MAC, 8 characters.
	CUPSM4 = Scheme{Algorithm: CUPECB, Cipher: block.SM4, Size: cupSize}
)

// String describes the scheme, like "retail/des/pad1/4".
func (s Scheme) String() string {
	return fmt.Sprintf("%v/%v/%v/%d", s.Algorithm, s.Cipher, s.Padding, s.Size)
}

// full returns the number of bytes the scheme computes, 0 if it has no cipher.
func (s Scheme) full() int {
	if s.Algorithm == CUPECB {
		return 2 * s.Cipher.Size()
	}
	return s.Cipher.Size()
}

// check refuses what New cannot build and fills in the default size.
func (s Scheme) check() (Scheme, error) {
	full := s.full()
	if s.Size == 0 {
		s.Size = full
		if s.Algorithm == CUPECB {
			s.Size = cupSize
		}
	}
	var padded bool
	switch s.Algorithm {
	case CBC, EMAC, Retail:
		padded = true
	case CMAC:
	case CUPECB:
		if s.Cipher == block.AES {
			return s, fmt.Errorf("%w: %v has no form over %v", ErrScheme, s.Algorithm, s.Cipher)
		}
	default:
		return s, fmt.Errorf("%w: algorithm %d is unknown", ErrScheme, s.Algorithm)
	}
	if full == 0 {
		return s, fmt.Errorf("%w: cipher %v has no blocks", ErrScheme, s.Cipher)
	}
	if ok := s.Padding >= Pad1 && s.Padding <= Pad3; ok != padded || (!ok && s.Padding != 0) {
		return s, fmt.Errorf("%w: %v with padding %d", ErrScheme, s.Algorithm, s.Padding)
	}
	if s.Size < SizeMin || s.Size > full {
		return s, fmt.Errorf("%w: %d bytes, want %d to %d", ErrScheme, s.Size, SizeMin, full)
	}
	return s, nil
}

// MAC computes MACs of one scheme under one key.
type MAC struct {
	scheme Scheme
	block  int
	k1, k2 cipher.Block // k2 is nil but for EMAC and Retail
	sub    [2][blockMax]byte
	pool   sync.Pool // of *work
}

// blockMax is the longest block of the ciphers.
const blockMax = 16

// work is the memory of one computation. It is pooled because a cipher behind an interface
// makes any local buffer escape.
type work struct {
	state [blockMax]byte
	text  [2 * blockMax]byte
}

// New returns the MAC of s under key: the cipher's key for CBC, CMAC and CUPECB, and
// K1 ‖ K2 of equal length for EMAC and Retail (16 bytes for X9.19).
func New(s Scheme, key []byte) (*MAC, error) {
	if s.Algorithm == EMAC || s.Algorithm == Retail {
		if len(key)%2 != 0 {
			return nil, fmt.Errorf("%w: %d bytes are not two keys for %v", ErrKeyLength, len(key),
				s.Algorithm)
		}
		return NewTwo(s, key[:len(key)/2], key[len(key)/2:])
	}
	return build(s, key, nil)
}

// NewTwo is New for EMAC and Retail with the two keys apart.
func NewTwo(s Scheme, k1, k2 []byte) (*MAC, error) {
	if s.Algorithm != EMAC && s.Algorithm != Retail {
		return nil, fmt.Errorf("%w: %v takes one key", ErrScheme, s.Algorithm)
	}
	return build(s, k1, k2)
}

func build(s Scheme, k1, k2 []byte) (*MAC, error) {
	s, err := s.check()
	if err != nil {
		return nil, err
	}
	m := &MAC{scheme: s, block: s.Cipher.Size()}
	m.pool.New = func() any { return new(work) }
	if m.k1, err = block.New(s.Cipher, k1); err != nil {
		return nil, fmt.Errorf("MAC key for %v: %w", s.Algorithm, err)
	}
	if s.Algorithm == EMAC || s.Algorithm == Retail {
		if m.k2, err = block.New(s.Cipher, k2); err != nil {
			return nil, fmt.Errorf("second MAC key for %v: %w", s.Algorithm, err)
		}
	}
	if s.Algorithm == CMAC {
		m.subkeys()
	}
	return m, nil
}

// Scheme returns what the MAC was built with, the size filled in.
func (m *MAC) Scheme() Scheme { return m.scheme }

// Size returns the number of bytes Sum appends.
func (m *MAC) Size() int { return m.scheme.Size }

// Format prints the scheme and never the key, whatever the verb.
func (m *MAC) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "mac("+m.scheme.String()+")") }

// Sum appends the MAC of data to dst. It allocates nothing when dst has room for Size bytes
// and is safe for concurrent use.
func (m *MAC) Sum(dst, data []byte) []byte {
	w := m.work()
	dst = append(dst, m.sum(w, data)[:m.scheme.Size]...)
	m.done(w)
	return dst
}

// Verify reports whether want is the MAC of data. It takes the same time whichever byte
// differs, and is false for any length but Size. For CUPECB, want is the upper-case hex
// characters as they stand in field 64.
func (m *MAC) Verify(data, want []byte) bool {
	w := m.work()
	ok := subtle.ConstantTimeCompare(m.sum(w, data)[:m.scheme.Size], want) == 1
	m.done(w)
	return ok
}

func (m *MAC) work() *work {
	w, ok := m.pool.Get().(*work)
	if !ok {
		panic("mac: internal error: the pool holds something else")
	}
	return w
}

// done gives w back without what it held: the whole of a MAC that is sent in part.
func (m *MAC) done(w *work) {
	*w = work{}
	m.pool.Put(w)
}

// sum returns the full MAC of data in w, whose state is zero.
func (m *MAC) sum(w *work, data []byte) []byte {
	s := w.state[:m.block]
	switch m.scheme.Algorithm {
	case CUPECB:
		return m.cup(w, data)
	case CMAC:
		m.cmac(s, data)
		return s
	}
	m.chain(s, data)
	switch m.scheme.Algorithm {
	case EMAC:
		m.k2.Encrypt(s, s)
	case Retail:
		m.k2.Decrypt(s, s)
		m.k1.Encrypt(s, s)
	}
	return s
}

// chain runs the padded data through CBC with IV 0 (ISO 9797-1 6.3 to 6.5); s is the state.
func (m *MAC) chain(s, data []byte) {
	if m.scheme.Padding == Pad3 {
		putBits(s, len(data))
		m.k1.Encrypt(s, s)
	}
	empty := len(data) == 0
	for len(data) >= m.block {
		xor(s, data)
		m.k1.Encrypt(s, s)
		data = data[m.block:]
	}
	if len(data) == 0 && !empty && m.scheme.Padding != Pad2 {
		return
	}
	subtle.XORBytes(s, s[:len(data)], data)
	if m.scheme.Padding == Pad2 {
		s[len(data)] ^= 0x80
	}
	m.k1.Encrypt(s, s)
}

// cmac is ISO 9797-1 algorithm 5, NIST SP 800-38B 6.2; s is the state.
func (m *MAC) cmac(s, data []byte) {
	for len(data) > m.block {
		xor(s, data)
		m.k1.Encrypt(s, s)
		data = data[m.block:]
	}
	if len(data) == m.block {
		xor(s, data)
		xor(s, m.sub[0][:])
	} else {
		subtle.XORBytes(s, s[:len(data)], data)
		s[len(data)] ^= 0x80
		xor(s, m.sub[1][:])
	}
	m.k1.Encrypt(s, s)
}

// subkeys derives the two subkeys of CMAC from the encryption of zeros (SP 800-38B 6.1).
func (m *MAC) subkeys() {
	buf := make([]byte, m.block)
	m.k1.Encrypt(buf, buf)
	for i := range m.sub {
		double(buf)
		copy(m.sub[i][:], buf)
	}
	clear(buf)
}

// double multiplies b by x in GF(2^64) or GF(2^128), without a branch on its bits.
func double(b []byte) {
	poly := byte(0x87)
	if len(b) == 8 {
		poly = 0x1b
	}
	carry := b[0] >> 7
	for i := range len(b) - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[len(b)-1] = b[len(b)-1]<<1 ^ -carry&poly
}

// xor adds the first block of data to s; s is 8 or 16 bytes.
func xor(s, data []byte) {
	le := binary.LittleEndian
	le.PutUint64(s, le.Uint64(s)^le.Uint64(data))
	if len(s) == blockMax {
		le.PutUint64(s[8:], le.Uint64(s[8:])^le.Uint64(data[8:]))
	}
}

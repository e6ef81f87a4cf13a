package purse

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/purse/internal/fastblock"
)

// Diversify returns the key one level below key: the encryption of the factor and of its
// complement, two blocks with 3DES, one with SM4. key has 16 bytes.
func Diversify(cipher block.Algorithm, key []byte, factor [8]byte) ([]byte, error) {
	c, err := newNode(cipher, key)
	if err != nil {
		return nil, err
	}
	defer c.clear()
	hi, lo := c.derive(binary.BigEndian.Uint64(factor[:]))
	return appendKey(nil, hi, lo), nil
}

// SessionKey returns the session key of a card's key of 16 bytes: with 3DES the encryption of
// the input, 8 bytes; with SM4 that of the input and its complement, 16 bytes.
func SessionKey(cipher block.Algorithm, key []byte, input [8]byte) ([]byte, error) {
	c, err := newNode(cipher, key)
	if err != nil {
		return nil, err
	}
	defer c.clear()
	hi, lo := c.derive(binary.BigEndian.Uint64(input[:]))
	if cipher == block.TDES {
		return binary.BigEndian.AppendUint64(nil, hi), nil
	}
	return appendKey(nil, hi, lo), nil
}

// OnlineInput is what the session key of load, unload and overdraft update is made of: the
// card's random number, its online counter as INITIALIZE returned it, and 8000.
func OnlineInput(random [4]byte, counter uint16) (in [8]byte) {
	copy(in[:], random[:])
	binary.BigEndian.PutUint16(in[4:], counter)
	in[6] = 0x80
	return in
}

// OfflineInput is what the session key of purchase, compound purchase and cash is made of:
// the card's random number, its offline counter as INITIALIZE returned it, and the lower two
// bytes of the terminal's sequence number.
func OfflineInput(random [4]byte, counter uint16, termSeq uint32) (in [8]byte) {
	copy(in[:], random[:])
	binary.BigEndian.PutUint16(in[4:], counter)
	binary.BigEndian.PutUint16(in[6:], uint16(termSeq))
	return in
}

// Fold returns the XOR of the two halves of a key of 16 bytes: the TAC key of 3DES schemes.
func Fold(key []byte) ([]byte, error) {
	if len(key) != 16 {
		return nil, fmt.Errorf("%w: %d bytes, want 16", ErrKey, len(key))
	}
	out := make([]byte, 8)
	subtle.XORBytes(out, key[:8], key[8:])
	return out, nil
}

func appendKey(dst []byte, hi, lo uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, hi), lo)
}

// node is a key from which others are made, ready for use.
type node struct {
	tdes fastblock.TDES
	sm4  fastblock.SM4
	alg  block.Algorithm
}

func newNode(a block.Algorithm, key []byte) (*node, error) {
	if a != block.TDES && a != block.SM4 {
		return nil, fmt.Errorf("%w: cipher %v, want tdes or sm4", ErrScheme, a)
	}
	if len(key) != 16 {
		return nil, fmt.Errorf("%w: %d bytes, want 16", ErrKey, len(key))
	}
	if _, err := block.New(a, key); err != nil {
		return nil, err // in FIPS-only mode there is no DES: neither here
	}
	n := &node{alg: a}
	n.expand(binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:]))
	return n, nil
}

func (n *node) expand(hi, lo uint64) {
	if n.alg == block.SM4 {
		n.sm4.Expand(hi, lo)
	} else {
		n.tdes.Expand(hi, lo)
	}
}

// derive returns the key of the next level.
func (n *node) derive(factor uint64) (hi, lo uint64) {
	if n.alg == block.SM4 {
		return n.sm4.Encrypt(factor, ^factor)
	}
	return n.tdes.Encrypt2(factor, ^factor)
}

func (n *node) clear() { *n = node{alg: n.alg} }

// Deriver encrypts whole blocks in ECB under a master key that does not come out: a hardware
// security module's, say. Implementations are safe for concurrent use; an error means that
// nothing can be said now, and that a later try may work.
type Deriver interface {
	// EncryptECB encrypts src, whole blocks, to dst, which is as long and may be src.
	EncryptECB(dst, src []byte) error
}

// Master is a master key of a scheme, as an operation: card keys come out of it and nothing
// else.
type Master struct {
	scheme *Scheme
	root   *node   // nil when op is set or there are no levels
	op     Deriver // nil when root is set
	hi, lo uint64  // the card's own key, when there are no levels
}

// NewMaster returns the master key of a scheme: 16 bytes (8 with TACFolded). The key is
// copied; parity and weak keys are not looked at.
func NewMaster(s Scheme, key []byte) (*Master, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if len(key) != s.keySize() {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(key), s.keySize())
	}
	m := &Master{scheme: &s}
	if len(key) == 8 {
		_, err := block.New(block.DES, key)
		m.hi = binary.BigEndian.Uint64(key)
		return m, err
	}
	root, err := newNode(s.Cipher, key)
	if err != nil {
		return nil, err
	}
	if len(s.Levels) > 0 {
		m.root = root
		return m, nil
	}
	root.clear()
	m.hi, m.lo = binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:])
	return m, nil
}

// NewMasterOperation returns a master key that is kept elsewhere. The scheme has at least one
// level; keys below the first one are in memory.
func NewMasterOperation(s Scheme, op Deriver) (*Master, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if len(s.Levels) == 0 || op == nil {
		return nil, fmt.Errorf("%w: a master key kept elsewhere needs a level", ErrScheme)
	}
	return &Master{scheme: &s, op: op}, nil
}

// Scheme returns the scheme of the key. The caller must not change it.
func (m *Master) Scheme() *Scheme { return m.scheme }

// Clear overwrites the key in memory. The master must not be used any more: nothing may be
// using it. Card keys of it in a Verifier stay until its Purge.
func (m *Master) Clear() {
	if m.root != nil {
		m.root.clear()
	}
	m.hi, m.lo, m.op = 0, 0, nil
}

// first returns the key of the first level.
func (m *Master) first(factor uint64) (hi, lo uint64, err error) {
	if m.op == nil {
		hi, lo = m.root.derive(factor)
		return hi, lo, nil
	}
	b := appendKey(make([]byte, 0, 16), factor, ^factor)
	defer clear(b)
	if err := m.op.EncryptECB(b, b); err != nil {
		return 0, 0, fmt.Errorf("cannot diversify the master key: %w", err)
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), nil
}

// cardKey returns the card's key of the factors.
func (m *Master) cardKey(factors []uint64) (hi, lo uint64, err error) {
	if len(factors) == 0 {
		return m.hi, m.lo, nil
	}
	hi, lo, err = m.first(factors[0])
	for _, f := range factors[1:] {
		n := node{alg: m.scheme.Cipher}
		n.expand(hi, lo)
		hi, lo = n.derive(f)
		n.clear()
	}
	return hi, lo, err
}

// factors writes the factors of a card to dst and returns those of the scheme.
func (m *Master) factors(dst *[LevelsMax]uint64, c *Card) []uint64 {
	levels := m.scheme.Levels
	for i := range levels {
		dst[i] = levels[i].of(c)
	}
	return dst[:len(levels)]
}

// Card returns the key of a card. Only a Deriver can fail.
func (m *Master) Card(c *Card) (*CardKey, error) {
	var room [LevelsMax]uint64
	hi, lo, err := m.cardKey(m.factors(&room, c))
	if err != nil {
		return nil, err
	}
	return &CardKey{scheme: m.scheme, hi: hi, lo: lo}, nil
}

// CardKey is one key of one card: for load, purchase, unload, overdraft or TAC. Which, only
// the caller knows.
type CardKey struct {
	scheme *Scheme
	hi, lo uint64
}

// session returns the MAC key of a session.
func (k *CardKey) session(in [8]byte) *MACKey {
	n := node{alg: k.scheme.Cipher}
	defer n.clear()
	n.expand(k.hi, k.lo)
	hi, lo := n.derive(binary.BigEndian.Uint64(in[:]))
	out := &MACKey{scheme: k.scheme}
	out.key.expand(k.scheme.Cipher, hi, lo)
	return out
}

// Online returns the session key of load, unload or overdraft update; see OnlineInput.
func (k *CardKey) Online(random [4]byte, counter uint16) *MACKey {
	return k.session(OnlineInput(random, counter))
}

// Offline returns the session key of purchase, compound purchase or cash; see OfflineInput.
func (k *CardKey) Offline(random [4]byte, counter uint16, termSeq uint32) *MACKey {
	return k.session(OfflineInput(random, counter, termSeq))
}

// TAC returns the key of the TACs of the card, made from k as the scheme says.
func (k *CardKey) TAC() *MACKey {
	out := &MACKey{scheme: k.scheme}
	out.key.expandTAC(k.scheme, k.hi, k.lo)
	return out
}

// Clear overwrites the key.
func (k *CardKey) Clear() { k.hi, k.lo = 0, 0 }

// MACKey is a key that MACs are made with: a session's, or that of TACs.
type MACKey struct {
	scheme *Scheme
	key    macKey
}

// NewMACKey returns the MAC key of a scheme from its bytes: 8 with 3DES, 16 with SM4.
func NewMACKey(s Scheme, key []byte) (*MACKey, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	size, alg := 8, block.DES
	if s.Cipher == block.SM4 {
		size, alg = 16, block.SM4
	}
	if len(key) != size {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(key), size)
	}
	if _, err := block.New(alg, key); err != nil {
		return nil, err
	}
	var room [16]byte
	copy(room[:], key)
	k := &MACKey{scheme: &s}
	k.key.expand(s.Cipher, binary.BigEndian.Uint64(room[:]), binary.BigEndian.Uint64(room[8:]))
	clear(room[:])
	return k, nil
}

// MAC returns the MAC of a message with these values.
func (k *MACKey) MAC(m Message, v *Values) (mac [4]byte) {
	var room [DataMax + padMax]byte
	data := k.scheme.Template(m).Append(room[:0], v)
	binary.BigEndian.PutUint32(mac[:], k.key.mac(k.scheme, data))
	return mac
}

// Verify reports, in constant time, whether want is the MAC of a message with these values.
func (k *MACKey) Verify(m Message, v *Values, want [4]byte) bool {
	mac := k.MAC(m, v)
	return subtle.ConstantTimeCompare(mac[:], want[:]) == 1
}

// Sum returns the MAC of any data.
func (k *MACKey) Sum(data []byte) (mac [4]byte) {
	padded := append(make([]byte, 0, len(data)+padMax), data...)
	binary.BigEndian.PutUint32(mac[:], k.key.mac(k.scheme, padded))
	return mac
}

// Full appends the last block of the MAC of any data to dst, before truncation.
func (k *MACKey) Full(dst, data []byte) []byte {
	padded := append(make([]byte, 0, len(data)+padMax), data...)
	hi, lo := k.key.last(k.scheme.Cipher, padded)
	if k.scheme.Cipher == block.SM4 {
		return appendKey(dst, hi, lo)
	}
	return binary.BigEndian.AppendUint64(dst, hi)
}

// Clear overwrites the key.
func (k *MACKey) Clear() { k.key = macKey{} }

package keyring

import (
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// KCV is a key check value in upper-case hex. It is no secret.
type KCV string

// KCVKind says how a check value is made.
type KCVKind uint8

// The kinds: the cipher over a block of zeros (usual for DES, 3DES and SM4), CMAC over a
// block of zeros (usual for AES), SHA-256 of the key (for keys of 32 random bytes, where
// nothing can be found by trying), SHA-256 of the public key.
const (
	KCVUsual KCVKind = iota // the usual one of the algorithm
	KCVECB
	KCVCMAC
	KCVHash
	KCVPublic
	kcvKindEnd
)

// kcvSize is how many bytes of a check value are kept and shown: five for AES, four for the
// rest, as UnionPay does; kcvMin is what must be given to be compared.
const (
	kcvSize = 5
	kcvMin  = 3
)

// String returns "ecb", "cmac", "hash", "public", and "usual" for KCVUsual.
func (k KCVKind) String() string {
	if k >= kcvKindEnd {
		return "unknown"
	}
	return [kcvKindEnd]string{"usual", "ecb", "cmac", "hash", "public"}[k]
}

// ParseKCVKind reads what String prints.
func ParseKCVKind(s string) (KCVKind, error) {
	for k := KCVUsual; k < kcvKindEnd; k++ {
		if k.String() == s {
			return k, nil
		}
	}
	return KCVUsual, fmt.Errorf("%w: unknown kind %.16q", ErrKCV, s)
}

// MarshalText returns String.
func (k KCVKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// shown returns the bytes of a check value that are kept.
func (a Algorithm) shown() int {
	if a.Cipher() == block.AES {
		return kcvSize
	}
	return kcvSize - 1
}

// kcvOf returns the usual check value of a key.
func kcvOf(a Algorithm, key []byte) (KCV, error) {
	full, err := checkValue(a, KCVUsual, key)
	if err != nil {
		return "", err
	}
	return KCV(fmt.Sprintf("%X", full[:a.shown()])), nil
}

func rawMasterKCV(master []byte) (v [kcvSize]byte) {
	full, err := checkValue(AES256, KCVCMAC, master)
	if err != nil {
		panic("keyring: internal error: a master key of another length")
	}
	copy(v[:], full)
	return v
}

// checkValue returns all bytes of a check value, none of which tells the key.
func checkValue(a Algorithm, kind KCVKind, key []byte) ([]byte, error) {
	if len(key) != a.Size() {
		return nil, fmt.Errorf("%w: %d bytes for %v", block.ErrKeyLength, len(key), a)
	}
	if a.Cipher() != block.None {
		c, err := block.New(a.Cipher(), key)
		if err != nil {
			return nil, err
		}
		return cipherCheckValue(a, kind, c)
	}
	if usual := algorithms[a].kcv; kind != KCVUsual && kind != usual {
		return nil, fmt.Errorf("%w: %v has none of kind %v", ErrKCV, a, kind)
	}
	sum := sha256.Sum256(key)
	if algorithms[a].kcv == KCVPublic {
		public, err := publicOf(a, key)
		if err != nil {
			return nil, err
		}
		sum = sha256.Sum256(public)
	}
	return sum[:], nil
}

// cipherCheckValue is checkValue for a key that is there as a cipher only.
func cipherCheckValue(a Algorithm, kind KCVKind, c cipher.Block) ([]byte, error) {
	if kind == KCVUsual {
		kind = algorithms[a].kcv
	}
	zero := make([]byte, c.BlockSize())
	switch kind {
	case KCVECB:
		c.Encrypt(zero, zero)
		return zero, nil
	case KCVCMAC:
		m, err := mac.NewCiphers(mac.Scheme{Algorithm: mac.CMAC, Cipher: a.Cipher()}, c, nil)
		if err != nil {
			return nil, err
		}
		return m.Sum(nil, zero), nil
	default:
		return nil, fmt.Errorf("%w: %v has none of kind %v", ErrKCV, a, kind)
	}
}

// publicOf returns the public key of a private one: 32 bytes for Ed25519, 04‖x‖y for SM2.
func publicOf(a Algorithm, key []byte) ([]byte, error) {
	if a == Ed25519 {
		private := ed25519.NewKeyFromSeed(key)
		defer clear(private)
		return append([]byte(nil), private[ed25519.SeedSize:]...), nil
	}
	private, err := sm.NewPrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer private.Wipe()
	public := private.Public().Point()
	return public[:], nil
}

// matches refuses a key whose check value is not want: at least six hex digits, as many as
// the giver wrote down.
func (want KCV) matches(a Algorithm, kind KCVKind, key []byte) error {
	b, err := hex.DecodeString(string(want))
	full, err2 := checkValue(a, kind, key)
	if err2 != nil {
		return err2
	}
	if err != nil || len(b) < kcvMin || len(b) > len(full) {
		return fmt.Errorf("%w: want %d to %d hex digits", ErrKCV, 2*kcvMin, 2*len(full))
	}
	if subtle.ConstantTimeCompare(b, full[:len(b)]) != 1 {
		return fmt.Errorf("%w: the key has %X by kind %v", ErrKCV, full[:len(b)], kind)
	}
	return nil
}

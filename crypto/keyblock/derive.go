package keyblock

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// Version is the first character of a TR-31 block: how it is encrypted and sealed.
type Version byte

// The versions. A and C are read only.
const (
	VersionA Version = 'A' // TDES, variants
	VersionB Version = 'B' // TDES, derived keys
	VersionC Version = 'C' // TDES, variants, as A
	VersionD Version = 'D' // AES-CBC, derived keys
	VersionE Version = 'E' // AES-CTR, derived keys (ISO 20038)
)

// KeyUse is what a derived key does (ANSI X9.143 7.2, table of key usage indicators).
type KeyUse uint16

// The uses.
const (
	UseCBC KeyUse = 0 // encryption of B and D
	UseMAC KeyUse = 1 // MAC of B, D and E
	UseCTR KeyUse = 2 // encryption of E
)

// Keys are the two keys made of a key block protection key.
type Keys struct {
	Encryption, MAC Key
}

// Clear overwrites both.
func (k Keys) Clear() {
	k.Encryption.Clear()
	k.MAC.Clear()
}

// Derive returns the keys of a version: DeriveVariant for A and C, DeriveCMAC for the rest.
func Derive(v Version, kbpk []byte) (Keys, error) {
	f, err := formOf(v)
	if err != nil {
		return Keys{}, err
	}
	if f.overCipher {
		return DeriveVariant(kbpk)
	}
	enc, err := DeriveCMAC(f.cipher, kbpk, f.use)
	if err != nil {
		return Keys{}, err
	}
	auth, err := DeriveCMAC(f.cipher, kbpk, UseMAC)
	if err != nil {
		return Keys{}, err
	}
	return Keys{enc, auth}, nil
}

// DeriveVariant returns the keys of versions A and C: the protection key of 16 or 24 bytes
// with 45 ('E') and 4D ('M') added to each byte.
func DeriveVariant(kbpk []byte) (Keys, error) {
	if len(kbpk) != 16 && len(kbpk) != 24 {
		return Keys{}, fmt.Errorf("%w: protection key of %d bytes, want 16 or 24", ErrKeyLength,
			len(kbpk))
	}
	k := Keys{make(Key, len(kbpk)), make(Key, len(kbpk))}
	for i, b := range kbpk {
		k.Encryption[i], k.MAC[i] = b^'E', b^'M'
	}
	return k, nil
}

// DeriveCMAC returns a key as long as the protection key, made by CMAC in counter mode
// (ANSI X9.143 7.2.2 and 7.2.3), for TDES or AES.
func DeriveCMAC(a block.Algorithm, kbpk []byte, use KeyUse) (Key, error) {
	code, err := derivationCode(a, len(kbpk))
	if err != nil {
		return nil, err
	}
	m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: a}, kbpk)
	if err != nil {
		return nil, fmt.Errorf("protection key: %w", err)
	}
	var input [8]byte
	binary.BigEndian.PutUint16(input[1:], uint16(use))
	binary.BigEndian.PutUint16(input[4:], code)
	binary.BigEndian.PutUint16(input[6:], uint16(8*len(kbpk)))
	out := make(Key, 0, 2*blockMax+m.Size())
	for len(out) < len(kbpk) {
		input[0]++
		out = m.Sum(out, input[:])
	}
	clear(out[len(kbpk):])
	return out[:len(kbpk):len(kbpk)], nil
}

const blockMax = 16

// derivationCode returns the algorithm indicator of a protection key of n bytes.
func derivationCode(a block.Algorithm, n int) (uint16, error) {
	switch {
	case a == block.TDES && n == 16:
		return 0, nil
	case a == block.TDES && n == 24:
		return 1, nil
	case a == block.AES && n == 16:
		return 2, nil
	case a == block.AES && n == 24:
		return 3, nil
	case a == block.AES && n == 32:
		return 4, nil
	default:
		return 0, fmt.Errorf("%w: protection key of %d bytes for %v", ErrKeyLength, n, a)
	}
}

// form is what sets one version apart.
type form struct {
	cipher     block.Algorithm
	use        KeyUse
	macSize    int
	headUnit   int  // the optional blocks are a multiple of it
	dataUnit   int  // so is the key data
	overCipher bool // A and C: MAC over the ciphertext, IV from the header
}

func formOf(v Version) (form, error) {
	switch v {
	case VersionA, VersionC:
		return form{cipher: block.TDES, macSize: 4, headUnit: 8, dataUnit: 8, overCipher: true}, nil
	case VersionB:
		return form{cipher: block.TDES, macSize: 8, headUnit: 8, dataUnit: 8}, nil
	case VersionD:
		return form{cipher: block.AES, macSize: 16, headUnit: 16, dataUnit: 16}, nil
	case VersionE:
		return form{cipher: block.AES, use: UseCTR, macSize: 16, headUnit: 16, dataUnit: 1}, nil
	default:
		return form{}, ErrVersion
	}
}

// sealer encrypts and authenticates the blocks of one version under one protection key.
type sealer struct {
	form
	cipher cipher.Block
	mac    *mac.MAC
}

func newSealer(v Version, kbpk []byte) (*sealer, error) {
	f, err := formOf(v)
	if err != nil {
		return nil, err
	}
	keys, err := Derive(v, kbpk)
	if err != nil {
		return nil, err
	}
	defer keys.Clear()
	s := &sealer{form: f}
	if s.cipher, err = block.New(f.cipher, keys.Encryption); err != nil {
		return nil, fmt.Errorf("protection key: %w", err)
	}
	scheme := mac.Scheme{Algorithm: mac.CMAC, Cipher: f.cipher, Size: f.macSize}
	if f.overCipher {
		scheme.Algorithm, scheme.Padding = mac.CBC, mac.Pad1
	}
	if s.mac, err = mac.New(scheme, keys.MAC); err != nil {
		return nil, fmt.Errorf("protection key: %w", err)
	}
	return s, nil
}

// crypt encrypts or decrypts the key data of B, D and E, whose IV or counter is the MAC.
func (s *sealer) crypt(dst, src, tag []byte, encrypt bool) error {
	switch {
	case s.use == UseCTR:
		cipher.NewCTR(s.cipher, tag).XORKeyStream(dst, src)
		return nil
	case encrypt:
		return block.EncryptCBC(s.cipher, dst, tag, src)
	default:
		return block.DecryptCBC(s.cipher, dst, tag, src)
	}
}

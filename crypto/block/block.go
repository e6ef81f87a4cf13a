// Package block holds the block ciphers of card standards and what every user of them
// needs: DES, two- and three-key 3DES, AES and SM4 by name, ECB and CBC over whole blocks,
// and the checks that a DES key has to pass.
//
// It is pure: no key is kept, nothing is read or written. Ciphers are safe for concurrent
// use. No error of this package contains key or data bytes. It knows no padding, no MAC and
// no key hierarchy; crypto/mac and the packages of the standards do.
package block

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm4"
)

// Algorithm names a block cipher. Numbers are not stored; use String.
type Algorithm uint8

// The algorithms. TDES takes keys of 16 bytes (K1, K2, K1) or 24.
const (
	None Algorithm = iota
	DES
	TDES
	AES
	SM4
	algorithmEnd
)

// String returns the algorithm's name as in configuration: "des", "tdes", "aes", "sm4".
func (a Algorithm) String() string {
	if a >= algorithmEnd {
		return "unknown"
	}
	return [algorithmEnd]string{"none", "des", "tdes", "aes", "sm4"}[a]
}

// ParseAlgorithm reads what String prints.
func ParseAlgorithm(s string) (Algorithm, error) {
	for a := DES; a < algorithmEnd; a++ {
		if a.String() == s {
			return a, nil
		}
	}
	return None, fmt.Errorf("unknown cipher %.16q, want des, tdes, aes or sm4", s)
}

// Size returns the length of a block in bytes: 8 for DES and TDES, 16 for AES and SM4, 0
// for None.
func (a Algorithm) Size() int {
	switch a {
	case DES, TDES:
		return des.BlockSize
	case AES, SM4:
		return aes.BlockSize
	default:
		return 0
	}
}

var (
	// ErrKeyLength reports a key that is not of a length of its algorithm.
	ErrKeyLength = errors.New("key has a wrong length")
	// ErrDataLength reports data that is not whole blocks, or an IV that is not one.
	ErrDataLength = errors.New("data is not a whole number of blocks")
)

// New returns the cipher of a under key: 8 bytes for DES, 16 or 24 for TDES, 16, 24 or 32
// for AES, 16 for SM4. Parity and weak keys are not looked at; see Check.
func New(a Algorithm, key []byte) (cipher.Block, error) {
	var c cipher.Block
	var err error
	switch {
	case a == DES && len(key) == 8:
		c, err = des.NewCipher(key)
	case a == TDES && len(key) == 16:
		var triple [24]byte
		copy(triple[copy(triple[:], key):], key[:8])
		c, err = des.NewTripleDESCipher(triple[:])
		clear(triple[:])
	case a == TDES && len(key) == 24:
		c, err = des.NewTripleDESCipher(key)
	case a == AES && (len(key) == 16 || len(key) == 24 || len(key) == 32):
		c, err = aes.NewCipher(key)
	case a == SM4 && len(key) == 16:
		c, err = sm4.NewCipher(key)
	default:
		return nil, fmt.Errorf("%w: %d bytes for %v", ErrKeyLength, len(key), a)
	}
	if err != nil {
		// In FIPS-only mode the standard library refuses DES.
		return nil, fmt.Errorf("cipher %v cannot be used here: %w", a, err)
	}
	return c, nil
}

// EncryptECB encrypts src, whole blocks, to dst, which may be src and is as long.
func EncryptECB(c cipher.Block, dst, src []byte) error {
	return eachBlock(c, dst, src, c.Encrypt)
}

// DecryptECB decrypts src, whole blocks, to dst, which may be src and is as long.
func DecryptECB(c cipher.Block, dst, src []byte) error {
	return eachBlock(c, dst, src, c.Decrypt)
}

func eachBlock(c cipher.Block, dst, src []byte, do func(dst, src []byte)) error {
	size := c.BlockSize()
	if len(src)%size != 0 || len(dst) != len(src) {
		return fmt.Errorf("%w: %d bytes into %d", ErrDataLength, len(src), len(dst))
	}
	for i := 0; i < len(src); i += size {
		do(dst[i:i+size], src[i:i+size])
	}
	return nil
}

// EncryptCBC encrypts src, whole blocks, to dst, which may be src and is as long, under an
// IV of one block.
func EncryptCBC(c cipher.Block, dst, iv, src []byte) error {
	if err := checkCBC(c, dst, iv, src); err != nil {
		return err
	}
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(dst, src)
	return nil
}

// DecryptCBC is the inverse of EncryptCBC.
func DecryptCBC(c cipher.Block, dst, iv, src []byte) error {
	if err := checkCBC(c, dst, iv, src); err != nil {
		return err
	}
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(dst, src)
	return nil
}

func checkCBC(c cipher.Block, dst, iv, src []byte) error {
	if size := c.BlockSize(); len(src)%size != 0 || len(dst) != len(src) || len(iv) != size {
		return fmt.Errorf("%w: %d bytes into %d with an IV of %d", ErrDataLength, len(src),
			len(dst), len(iv))
	}
	return nil
}

package dukpt

import (
	"crypto/cipher"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// tdesKey is a double-length TDES key.
const tdesKey = 16

// variantMask is added to a key to make the second one of a pair (X9.24-1 A.2).
const variantMask = 0xC0

// tdesInitial derives a device's initial key (X9.24-1 A.6): the left 8 bytes of the IKSN
// under the base key and under its variant.
func tdesInitial(bdk []byte, k KSN) (Key, error) {
	ik := make(Key, tdesKey)
	varied := varyC0(bdk)
	defer varied.Clear()
	for i, key := range [...][]byte{bdk, varied} {
		c, err := block.New(block.TDES, key)
		if err != nil {
			return nil, fmt.Errorf("base derivation key: %w", err)
		}
		c.Encrypt(ik[8*i:8*i+8], k.id[:8])
	}
	return ik, nil
}

// tdesTransaction walks from the initial key to the key of the counter, one step for each
// of its one bits from the highest (X9.24-1 A.3).
func tdesTransaction(ik []byte, k KSN) (Key, error) {
	var reg [8]byte
	copy(reg[:], k.id[2:])
	key := Key(append(make([]byte, 0, tdesKey), ik...))
	for bit := uint32(1) << (counterBitsTDES - 1); bit > 0; bit >>= 1 {
		if k.counter&bit == 0 {
			continue
		}
		reg[5] |= byte(bit >> 16)
		reg[6] |= byte(bit >> 8)
		reg[7] |= byte(bit)
		next, err := tdesStep(key, reg)
		key.Clear()
		if err != nil {
			return nil, err
		}
		key = next
	}
	return key, nil
}

// tdesStep is the non-reversible key generation process of X9.24-1 A.2.
func tdesStep(key Key, reg [8]byte) (Key, error) {
	out := make(Key, tdesKey)
	varied := varyC0(key)
	defer varied.Clear()
	if err := tdesHalf(out[8:], key, reg); err != nil {
		return nil, err
	}
	return out, tdesHalf(out[:8], varied, reg)
}

func tdesHalf(dst []byte, key Key, reg [8]byte) error {
	c, err := block.New(block.DES, key[:8])
	if err != nil {
		return fmt.Errorf("DUKPT key: %w", err)
	}
	for i := range dst {
		dst[i] = reg[i] ^ key[8+i]
	}
	c.Encrypt(dst, dst)
	for i := range dst {
		dst[i] ^= key[8+i]
	}
	return nil
}

// varyC0 returns key with C0C0C0C000000000 added to each half.
func varyC0(key []byte) Key {
	out := make(Key, len(key))
	for i, b := range key {
		out[i] = b
		if i%8 < 4 {
			out[i] ^= variantMask
		}
	}
	return out
}

// tdesWorking makes a working key of X9.24-1 A.4.1: the transaction key with FF added to one
// byte of each half; a data key is then encrypted under itself, half by half.
func tdesWorking(txn Key, u Usage) (Key, error) {
	var at int
	switch u {
	case UsagePIN:
		at = 7
	case UsageMACRequest:
		at = 6
	case UsageMACResponse:
		at = 4
	case UsageDataRequest:
		at = 5
	case UsageDataResponse:
		at = 3
	default:
		return nil, fmt.Errorf("%w: %v in TDES DUKPT", ErrUsage, u)
	}
	out := append(make(Key, 0, tdesKey), txn...)
	out[at] ^= 0xff
	out[8+at] ^= 0xff
	if u != UsageDataRequest && u != UsageDataResponse {
		return out, nil
	}
	c, err := block.New(block.TDES, out)
	if err != nil {
		return nil, fmt.Errorf("DUKPT data key: %w", err)
	}
	return out, block.EncryptECB(c, out, out)
}

// newCipher is block.New with the length of the key deciding for TDES or AES.
func newCipher(kt KeyType, key []byte) (cipher.Block, error) {
	c, err := block.New(kt.cipher(), key)
	if err != nil {
		return nil, fmt.Errorf("DUKPT working key: %w", err)
	}
	return c, nil
}

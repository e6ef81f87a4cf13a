package dukpt

import (
	"encoding/binary"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// Usage says what a working key is for; the numbers are the key usage indicators of X9.24-3
// table 4. TDES DUKPT has PIN, MAC and data keys for requests and responses only.
type Usage uint16

// The usages. A request is what the device sends: it makes the MAC of a request and
// verifies that of a response, encrypts data of a request and decrypts that of a response.
const (
	UsageKEK          Usage = 0x0002
	UsagePIN          Usage = 0x1000
	UsageMACRequest   Usage = 0x2000 // MAC generation
	UsageMACResponse  Usage = 0x2001 // MAC verification
	UsageMACBoth      Usage = 0x2002
	UsageDataRequest  Usage = 0x3000 // data encryption
	UsageDataResponse Usage = 0x3001 // data decryption
	UsageDataBoth     Usage = 0x3002

	usageDerivation Usage = 0x8000
	usageInitial    Usage = 0x8001
)

// String returns the usage's number in hex, as X9.24-3 prints it.
func (u Usage) String() string { return fmt.Sprintf("%04X", uint16(u)) }

func (u Usage) working() bool {
	switch u {
	case UsageKEK, UsagePIN, UsageMACRequest, UsageMACResponse, UsageMACBoth, UsageDataRequest,
		UsageDataResponse, UsageDataBoth:
		return true
	default:
		return false
	}
}

// KeyType is the algorithm and length of a working key.
type KeyType uint8

// The key types of X9.24-3. Same is the type of the base key: TDES2 in TDES DUKPT.
const (
	Same KeyType = iota
	TDES2
	TDES3
	AES128
	AES192
	AES256
	HMAC128
	HMAC192
	HMAC256
	keyTypeEnd
)

// String returns the type's name, like "aes128".
func (t KeyType) String() string {
	if t >= keyTypeEnd {
		return "unknown"
	}
	return [keyTypeEnd]string{"same", "tdes2", "tdes3", "aes128", "aes192", "aes256", "hmac128",
		"hmac192", "hmac256"}[t]
}

// indicator returns the algorithm indicator of X9.24-3 table 5.
func (t KeyType) indicator() uint16 {
	return [keyTypeEnd]uint16{TDES2: 0, TDES3: 1, AES128: 2, AES192: 3, AES256: 4, HMAC128: 5,
		HMAC192: 5, HMAC256: 5}[t]
}

// Size returns the length of the key in bytes, 0 for Same.
func (t KeyType) Size() int {
	if t >= keyTypeEnd {
		return 0
	}
	return [keyTypeEnd]int{TDES2: 16, TDES3: 24, AES128: 16, AES192: 24, AES256: 32, HMAC128: 16,
		HMAC192: 24, HMAC256: 32}[t]
}

func (t KeyType) cipher() block.Algorithm {
	switch t {
	case TDES2, TDES3:
		return block.TDES
	case AES128, AES192, AES256:
		return block.AES
	default:
		return block.None
	}
}

// aesType returns the type of an AES base or initial key by its length.
func aesType(key []byte) (KeyType, error) {
	for _, t := range [...]KeyType{AES128, AES192, AES256} {
		if len(key) == t.Size() {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%w: AES DUKPT key of %d bytes, want 16, 24 or 32", ErrKeyLength, len(key))
}

// derivation is the input of one derivation of X9.24-3 6.3.3.
type derivation struct {
	usage Usage
	kind  KeyType
	tail  [8]byte
}

// derive returns the key of d under an AES key (X9.24-3 6.3.2).
func derive(key []byte, d derivation) (Key, error) {
	c, err := block.New(block.AES, key)
	if err != nil {
		return nil, fmt.Errorf("AES DUKPT key: %w", err)
	}
	var in [16]byte
	in[0] = 1
	binary.BigEndian.PutUint16(in[2:], uint16(d.usage))
	binary.BigEndian.PutUint16(in[4:], d.kind.indicator())
	binary.BigEndian.PutUint16(in[6:], uint16(8*d.kind.Size()))
	copy(in[8:], d.tail[:])
	out := make(Key, (d.kind.Size()+15)/16*16)
	for i := 0; i < len(out); i += 16 {
		in[1]++
		c.Encrypt(out[i:], in[:])
	}
	clear(out[d.kind.Size():])
	return out[:d.kind.Size():d.kind.Size()], nil
}

// aesInitial derives a device's initial key (X9.24-3 6.3.4).
func aesInitial(bdk []byte, id [idAES]byte) (Key, error) {
	t, err := aesType(bdk)
	if err != nil {
		return nil, err
	}
	return derive(bdk, derivation{usageInitial, t, id})
}

// counterTail is the end of derivation data: right half of the initial key id, counter.
func counterTail(k KSN, counter uint32) (tail [8]byte) {
	copy(tail[:4], k.id[4:idAES])
	binary.BigEndian.PutUint32(tail[4:], counter)
	return tail
}

// aesTransaction walks from the initial key to the intermediate key of the counter, one step
// for each of its one bits from the highest (X9.24-3 6.4).
func aesTransaction(ik []byte, k KSN) (Key, error) {
	t, err := aesType(ik)
	if err != nil {
		return nil, err
	}
	key := append(make(Key, 0, len(ik)), ik...)
	var done uint32
	for bit := uint32(1) << 31; bit > 0; bit >>= 1 {
		if k.counter&bit == 0 {
			continue
		}
		done |= bit
		next, err := derive(key, derivation{usageDerivation, t, counterTail(k, done)})
		key.Clear()
		if err != nil {
			return nil, err
		}
		key = next
	}
	return key, nil
}

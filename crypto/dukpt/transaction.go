package dukpt

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// InitialKey derives a device's initial key from the base derivation key: 16 bytes in TDES
// DUKPT, 16, 24 or 32 in AES DUKPT. The counter of k does not matter.
func InitialKey(bdk []byte, k KSN) (Key, error) {
	if k.AES() {
		return aesInitial(bdk, [idAES]byte(k.id[:idAES]))
	}
	if err := checkTDES(bdk); err != nil {
		return nil, err
	}
	return tdesInitial(bdk, k)
}

// InitialKeyOf is InitialKey of AES DUKPT by the 8 bytes of the initial key id, for loading a
// device that has no KSN yet.
func InitialKeyOf(bdk, id []byte) (Key, error) {
	if len(id) != idAES {
		return nil, fmt.Errorf("%w: initial key id of %d bytes, want %d", ErrKSN, len(id), idAES)
	}
	return aesInitial(bdk, [idAES]byte(id))
}

func checkTDES(key []byte) error {
	if len(key) != tdesKey {
		return fmt.Errorf("%w: TDES DUKPT key of %d bytes, want %d", ErrKeyLength, len(key), tdesKey)
	}
	return nil
}

// Transaction derives the working keys of one transaction. It is safe for concurrent use
// until Clear.
type Transaction struct {
	ksn  KSN
	kind KeyType
	key  Key
}

// FromBDK returns the transaction of k from the base derivation key. The working keys are of
// type kt: Same or TDES2 in TDES DUKPT; in AES DUKPT any that is not stronger than the base
// key, whose type Same stands for.
func FromBDK(bdk []byte, k KSN, kt KeyType) (*Transaction, error) {
	ik, err := InitialKey(bdk, k)
	if err != nil {
		return nil, err
	}
	defer ik.Clear()
	return FromInitialKey(ik, k, kt)
}

// FromInitialKey is FromBDK for a host that holds the device's initial key only.
func FromInitialKey(ik []byte, k KSN, kt KeyType) (*Transaction, error) {
	if k.size == 0 {
		return nil, fmt.Errorf("%w: it was not parsed", ErrKSN)
	}
	t := &Transaction{ksn: k}
	var err error
	if k.AES() {
		if t.kind, err = chooseAES(ik, kt); err == nil {
			t.key, err = aesTransaction(ik, k)
		}
		if err != nil {
			return nil, err
		}
		return t, nil
	}
	if err := checkTDES(ik); err != nil {
		return nil, err
	}
	if kt != Same && kt != TDES2 {
		return nil, fmt.Errorf("%w: %v keys in TDES DUKPT", ErrUsage, kt)
	}
	t.kind = TDES2
	t.key, err = tdesTransaction(ik, k)
	return t, err
}

// chooseAES returns the type of working keys and refuses one stronger than key (X9.24-3
// 6.2): an AES or HMAC key that is longer. TDES keys are never stronger.
func chooseAES(key []byte, kt KeyType) (KeyType, error) {
	base, err := aesType(key)
	if err != nil {
		return 0, err
	}
	switch {
	case kt == Same:
		return base, nil
	case kt == TDES2 || kt == TDES3:
		return kt, nil
	case kt >= keyTypeEnd || kt.Size() > len(key):
		return 0, fmt.Errorf("%w: %v keys under %v", ErrUsage, kt, base)
	}
	return kt, nil
}

// Format prints the KSN and never the key, whatever the verb.
func (t Transaction) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "transaction("+t.ksn.String()+")")
}

// KSN returns whose transaction it is.
func (t *Transaction) KSN() KSN { return t.ksn }

// Key returns a copy of the transaction key, from which working keys are derived. It
// protects nothing itself; it is for tests and for other hosts' checks.
func (t *Transaction) Key() Key { return append(make(Key, 0, len(t.key)), t.key...) }

// Clear overwrites the transaction key. The transaction cannot be used afterwards.
func (t *Transaction) Clear() { t.key.Clear() }

// WorkingKey derives the key of a usage.
func (t *Transaction) WorkingKey(u Usage) (Key, error) {
	if !t.ksn.AES() {
		return tdesWorking(t.key, u)
	}
	if !u.working() {
		return nil, fmt.Errorf("%w: %v", ErrUsage, u)
	}
	return derive(t.key, derivation{u, t.kind, counterTail(t.ksn, t.ksn.counter)})
}

// Cipher returns the block cipher of a usage, for PIN formats and chaining modes this package
// does not have. There is none for an HMAC key.
func (t *Transaction) Cipher(u Usage) (cipher.Block, error) {
	if t.kind.cipher() == block.None {
		return nil, fmt.Errorf("%w: %v encrypts nothing", ErrUsage, t.kind)
	}
	key, err := t.WorkingKey(u)
	if err != nil {
		return nil, err
	}
	defer key.Clear()
	return newCipher(t.kind, key)
}

// EncryptPIN encrypts a PIN from its fields of one block each. Under TDES the block is
// E(pin XOR pan), ISO 9564-1 formats 0 and 3 and, with pan nil, 1; under AES it is
// E(E(pin) XOR pan), format 4.
func (t *Transaction) EncryptPIN(pin, pan []byte) ([]byte, error) {
	c, err := t.pinCipher(pin, pan)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(pin)), pin...)
	if t.kind.cipher() == block.AES {
		c.Encrypt(out, out)
	}
	subtle.XORBytes(out, out, pan)
	c.Encrypt(out, out)
	return out, nil
}

// DecryptPIN is the inverse of EncryptPIN and returns the PIN field. Check its form before
// use: a wrong key or PAN gives noise.
func (t *Transaction) DecryptPIN(encrypted, pan []byte) ([]byte, error) {
	c, err := t.pinCipher(encrypted, pan)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(encrypted))
	c.Decrypt(out, encrypted)
	subtle.XORBytes(out, out, pan)
	if t.kind.cipher() == block.AES {
		c.Decrypt(out, out)
	}
	return out, nil
}

func (t *Transaction) pinCipher(pin, pan []byte) (cipher.Block, error) {
	n := t.kind.cipher().Size()
	needPAN := t.kind.cipher() == block.AES
	if len(pin) != n || (len(pan) != n && (needPAN || pan != nil)) {
		return nil, fmt.Errorf("%w: PIN and PAN fields of %d and %d bytes, want %d", ErrLength, len(pin),
			len(pan), n)
	}
	return t.Cipher(UsagePIN)
}

// RequestMAC returns the MAC of messages the device sends, as its standard has it: the left
// 4 bytes of the retail MAC in TDES DUKPT (X9.24-1), CMAC of a whole block in AES DUKPT.
func (t *Transaction) RequestMAC() (*mac.MAC, error) { return t.usualMAC(UsageMACRequest) }

// ResponseMAC is RequestMAC for messages the host sends.
func (t *Transaction) ResponseMAC() (*mac.MAC, error) { return t.usualMAC(UsageMACResponse) }

func (t *Transaction) usualMAC(u Usage) (*mac.MAC, error) {
	if t.ksn.AES() {
		return t.MAC(u, mac.CMAC, 0)
	}
	return t.MAC(u, mac.Retail, mac.X919.Size)
}

// MAC returns the MAC of a usage by algorithm, mac.Retail (TDES2 keys only) or mac.CMAC, and
// number of bytes kept, 0 for all.
func (t *Transaction) MAC(u Usage, a mac.Algorithm, size int) (*mac.MAC, error) {
	if u != UsageMACRequest && u != UsageMACResponse && u != UsageMACBoth {
		return nil, fmt.Errorf("%w: %v makes no MAC", ErrUsage, u)
	}
	s := mac.Scheme{Algorithm: a, Cipher: t.kind.cipher(), Size: size}
	switch {
	case a == mac.Retail && t.kind == TDES2:
		s.Cipher, s.Padding = block.DES, mac.Pad1
	case a != mac.CMAC || t.kind.cipher() == block.None:
		return nil, fmt.Errorf("%w: %v under %v keys", ErrUsage, a, t.kind)
	}
	key, err := t.WorkingKey(u)
	if err != nil {
		return nil, err
	}
	defer key.Clear()
	return mac.New(s, key)
}

// HMAC returns HMAC-SHA-256 under an HMAC key of AES DUKPT. Compare sums with hmac.Equal.
func (t *Transaction) HMAC(u Usage) (hash.Hash, error) {
	if t.kind < HMAC128 || (u != UsageMACRequest && u != UsageMACResponse && u != UsageMACBoth) {
		return nil, fmt.Errorf("%w: HMAC of usage %v under %v keys", ErrUsage, u, t.kind)
	}
	key, err := t.WorkingKey(u)
	if err != nil {
		return nil, err
	}
	defer key.Clear()
	return hmac.New(sha256.New, key), nil
}

// EncryptData encrypts whole blocks by CBC under the data key of u. An iv of nil is zeros.
func (t *Transaction) EncryptData(u Usage, iv, data []byte) ([]byte, error) {
	return t.data(u, iv, data, block.EncryptCBC)
}

// DecryptData is the inverse of EncryptData.
func (t *Transaction) DecryptData(u Usage, iv, data []byte) ([]byte, error) {
	return t.data(u, iv, data, block.DecryptCBC)
}

type chaining func(c cipher.Block, dst, iv, src []byte) error

func (t *Transaction) data(u Usage, iv, data []byte, do chaining) ([]byte, error) {
	if u != UsageDataRequest && u != UsageDataResponse && u != UsageDataBoth {
		return nil, fmt.Errorf("%w: %v is not for data", ErrUsage, u)
	}
	c, err := t.Cipher(u)
	if err != nil {
		return nil, err
	}
	if iv == nil {
		iv = make([]byte, c.BlockSize())
	}
	out := make([]byte, len(data))
	if err := do(c, out, iv, data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLength, err)
	}
	return out, nil
}

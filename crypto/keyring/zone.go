package keyring

import (
	"crypto/cipher"
	"fmt"
	"io"
	"runtime"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// ZoneKey is one working key between two hosts: a MAC key or a PIN key that one of them sent
// to the other under their exchange key (ZMK), 3DES ECB with a check value (DOMAIN.md 3.4).
// It is not in the store: whoever needs it again keeps what was sent and opens it again. It
// is safe for concurrent use. Its material is zeroed when it is closed, or some time after
// nobody holds it any more.
type ZoneKey struct {
	purpose   Purpose
	algorithm Algorithm
	// keys has the one key in the place that its purpose has with a terminal, and nothing
	// in the others: a MAC key opens no PIN block.
	keys *WorkingKeys
}

// NewZoneKey draws a key for purpose mac or pin, and returns it with what brings it to the
// other side: the key under zmk, a 3DES key of purpose key_exchange, and four bytes of check
// value. A key longer than zmk is refused.
func (r *Ring) NewZoneKey(zmk Ref, p Purpose, a Algorithm) (k *ZoneKey, wrapped, kcv []byte,
	err error) {
	v, err := r.begin(zmk, OpWrap)
	if err != nil {
		return nil, nil, nil, err
	}
	defer r.settle(v, OpWrap, &err)
	c, err := v.zoneCipher(p)
	if err != nil {
		return nil, nil, nil, err
	}
	if under := v.meta.Load().Algorithm; !isDES(a) || a.Size() > under.Size() {
		return nil, nil, nil, fmt.Errorf("%w: no %v key goes under a %v one", ErrAlgorithm, a, under)
	}
	key, err := draw(a, r.random)
	if err != nil {
		return nil, nil, nil, err
	}
	defer clear(key)
	wrapped = make([]byte, len(key))
	if err := block.EncryptECB(c, wrapped, key); err != nil {
		return nil, nil, nil, err
	}
	kcv, err = keyblock.CheckValue(keyblock.CheckECB, desOf(key), key, kcvSize-1)
	if err != nil {
		return nil, nil, nil, err
	}
	k, err = newZoneKey(p, a, key)
	return k, wrapped, kcv, err
}

// OpenZoneKey opens a key of 8, 16 or 24 bytes that came under zmk. Its check value, 3 to 8
// bytes, must be right (ErrKCV), and the key not weak; its parity is not looked at.
func (r *Ring) OpenZoneKey(zmk Ref, p Purpose, wrapped, kcv []byte) (k *ZoneKey, err error) {
	v, err := r.begin(zmk, OpUnwrap)
	if err != nil {
		return nil, err
	}
	defer r.settle(v, OpUnwrap, &err)
	c, err := v.zoneCipher(p)
	if err != nil {
		return nil, err
	}
	for _, a := range [...]Algorithm{DES, TDES2, TDES3} {
		if len(wrapped) != a.Size() {
			continue
		}
		key := make([]byte, len(wrapped))
		defer clear(key)
		if err := openWorking(c, keyblock.WrappedKey{Wrapped: wrapped, Check: kcv}, key); err != nil {
			return nil, fmt.Errorf("%v key under %v: %w", p, zmk, err)
		}
		return newZoneKey(p, a, key)
	}
	return nil, fmt.Errorf("%v key under %v: %w: %d bytes", p, zmk, block.ErrKeyLength, len(wrapped))
}

// zoneCipher returns the cipher of a zone master key.
func (v *version) zoneCipher(p Purpose) (cipher.Block, error) {
	if p != MessageMAC && p != PIN {
		return nil, fmt.Errorf("%w: a zone key is for %v or %v, not %v", ErrPurpose, MessageMAC, PIN, p)
	}
	if a := v.meta.Load().Algorithm; a.Cipher() != block.TDES {
		return nil, fmt.Errorf("%w: zone keys are under tdes2 or tdes3, not %v", ErrAlgorithm, a)
	}
	c, err := v.cipher()
	if err != nil {
		return nil, err
	}
	return c.whole, nil
}

// newZoneKey copies key.
func newZoneKey(p Purpose, a Algorithm, key []byte) (*ZoneKey, error) {
	k := keyblock.WorkingKeys{MAC: key}
	if p == PIN {
		k = keyblock.WorkingKeys{PIN: key}
	}
	w, err := newWorkingKeys(&k)
	if err != nil {
		return nil, err
	}
	runtime.AddCleanup(w, secret.wipe, w.pin)
	runtime.AddCleanup(w, secret.wipe, w.auth)
	return &ZoneKey{purpose: p, algorithm: a, keys: w}, nil
}

// Purpose returns MessageMAC or PIN.
func (k *ZoneKey) Purpose() Purpose { return k.purpose }

// Algorithm returns DES, TDES2 or TDES3.
func (k *ZoneKey) Algorithm() Algorithm { return k.algorithm }

// KCV returns the check value of the key.
func (k *ZoneKey) KCV() KCV {
	if k.purpose == PIN {
		return k.keys.kcvs[0]
	}
	return k.keys.kcvs[1]
}

// MAC appends the MAC of data to dst. It allocates nothing when dst has room, once the key was
// used with the scheme. A PIN key and a scheme of another cipher are refused.
func (k *ZoneKey) MAC(s mac.Scheme, dst, data []byte) ([]byte, error) {
	if err := k.allows(OpMAC, &s); err != nil {
		return dst, err
	}
	return k.keys.MAC(s, dst, data)
}

// VerifyMAC reports, in constant time, whether want is the MAC of data. A PIN key and a scheme
// of another cipher are refused.
func (k *ZoneKey) VerifyMAC(s mac.Scheme, data, want []byte) (bool, error) {
	if err := k.allows(OpVerifyMAC, &s); err != nil {
		return false, err
	}
	return k.keys.VerifyMAC(s, data, want)
}

func (k *ZoneKey) allows(o Operation, s *mac.Scheme) error {
	if k.purpose != MessageMAC {
		return fmt.Errorf("%w: %v with a zone key of %v", ErrPurpose, o, k.purpose)
	}
	if s.Cipher != block.DES && s.Cipher != block.TDES {
		return fmt.Errorf("%w: %v key for a MAC over %v", ErrAlgorithm, k.algorithm, s.Cipher)
	}
	return nil
}

// PINKey returns the key for TranslatePIN, which refuses a MAC key with ErrUnknown.
func (k *ZoneKey) PINKey() PINKey { return PINKey{Working: k.keys} }

// Close zeroes the key; what PINKey returned is refused from then on too.
func (k *ZoneKey) Close() { k.keys.Close() }

// String returns a fixed text: no printer shows a key.
func (k *ZoneKey) String() string { return "[zone key]" }

// GoString returns String.
func (k *ZoneKey) GoString() string { return k.String() }

// Format writes String for every verb.
func (k *ZoneKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText returns String.
func (k *ZoneKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

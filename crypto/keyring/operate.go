package keyring

import (
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

// MAC appends the MAC of data under a key of purpose mac or terminal_mac to dst. It allocates
// nothing when dst has room, once the key was used with the scheme.
func (r *Ring) MAC(ref Ref, s mac.Scheme, dst, data []byte) (out []byte, err error) {
	v, err := r.begin(ref, OpMAC)
	if err != nil {
		return dst, err
	}
	defer r.settle(v, OpMAC, &err)
	m, err := v.mac(s)
	if err != nil {
		return dst, err
	}
	if sum, err := v.deviceCMAC(m, data); !errors.Is(err, ErrUnsupported) {
		return append(dst, sum...), err
	}
	return m.Sum(dst, data), nil
}

// deviceCMAC returns a CMAC that the device computes; ErrUnsupported for all else.
func (v *version) deviceCMAC(m *mac.MAC, data []byte) ([]byte, error) {
	if v.device == nil || m.Scheme().Algorithm != mac.CMAC {
		return nil, ErrUnsupported
	}
	return v.device.cmac(v.meta.Load(), m.Size(), data)
}

// VerifyMAC reports, in constant time, whether want is the MAC of data. An error says that it
// could not be looked at.
func (r *Ring) VerifyMAC(ref Ref, s mac.Scheme, data, want []byte) (ok bool, err error) {
	v, err := r.begin(ref, OpVerifyMAC)
	if err != nil {
		return false, err
	}
	defer r.settleCheck(v, OpVerifyMAC, &ok, &err)
	m, err := v.mac(s)
	if err != nil {
		return false, err
	}
	if sum, err := v.deviceCMAC(m, data); !errors.Is(err, ErrUnsupported) {
		return err == nil && subtle.ConstantTimeCompare(sum, want) == 1, err
	}
	return m.Verify(data, want), nil
}

// settle counts how an operation ended, and turns the Fault of a device into an error. It is
// deferred.
func (r *Ring) settle(v *version, o Operation, err *error) {
	if v.device != nil {
		if fault, ok := recoverFault(recover()); ok {
			*err = fault
		}
	}
	if *err != nil {
		_ = r.fail(v, o, *err)
		return
	}
	r.good(v, o)
}

// settleCheck is settle for an operation that may come out false.
func (r *Ring) settleCheck(v *version, o Operation, ok *bool, err *error) {
	if v.device != nil {
		if fault, failed := recoverFault(recover()); failed {
			*ok, *err = false, fault
		}
	}
	if *err != nil {
		_ = r.fail(v, o, *err)
		return
	}
	r.verdict(v, o, *ok)
}

// recoverFault looks at what recover returned; what is no Fault goes on.
func recoverFault(cause any) (error, bool) {
	if cause == nil {
		return nil, false
	}
	fault, ok := cause.(Fault)
	if !ok {
		panic(cause)
	}
	return fmt.Errorf("the device failed: %w", fault.Err), true
}

// Encrypt enciphers whole blocks in CBC under a key of purpose data. iv is one block; dst is
// as long as src and may be src.
func (r *Ring) Encrypt(ref Ref, dst, iv, src []byte) error {
	return r.crypt(ref, OpEncrypt, func(c cipher.Block) error { return block.EncryptCBC(c, dst, iv, src) })
}

// Decrypt is the inverse of Encrypt.
func (r *Ring) Decrypt(ref Ref, dst, iv, src []byte) error {
	return r.crypt(ref, OpDecrypt, func(c cipher.Block) error { return block.DecryptCBC(c, dst, iv, src) })
}

func (r *Ring) crypt(ref Ref, o Operation, do func(cipher.Block) error) (err error) {
	v, err := r.begin(ref, o)
	if err != nil {
		return err
	}
	defer r.settle(v, o, &err)
	c, err := v.cipher()
	if err != nil {
		return err
	}
	return do(c.whole)
}

// Card has what a card verification value is made of.
type Card struct {
	PAN     string // the whole number, 13 to 19 digits
	Expiry  string // four digits, in the order that the card's scheme has
	Service string // three digits; pinblock.ServiceICVV, pinblock.ServiceCVV2
}

// Format shows nothing of the card.
func (c Card) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[card]")) }

// MarshalText returns what Format shows.
func (c Card) MarshalText() ([]byte, error) { return []byte("[card]"), nil }

// VerifyCVV reports, in constant time, whether cvv is the verification value of a card under
// a key of purpose cvk.
func (r *Ring) VerifyCVV(ref Ref, c Card, cvv string) (ok bool, err error) {
	v, err := r.begin(ref, OpCVV)
	if err != nil {
		return false, err
	}
	defer r.settleCheck(v, OpCVV, &ok, &err)
	err = v.withKey(func(key []byte) error {
		ok, err = pinblock.VerifyCVV(key, c.PAN, c.Expiry, c.Service, cvv)
		return err
	})
	return ok, err
}

// Tokenizer returns the tokenizer under a key of purpose card_token. It works on when the key
// is retired or the ring closed: ask for it again after a change.
func (r *Ring) Tokenizer(ref Ref) (t *pan.Tokenizer, err error) {
	v, err := r.begin(ref, OpToken)
	if err != nil {
		return nil, err
	}
	defer r.settle(v, OpToken, &err)
	err = v.withKey(func(key []byte) error {
		t, err = pan.NewTokenizer(key)
		return err
	})
	return t, err
}

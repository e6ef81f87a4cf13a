package keyring

import (
	"crypto/cipher"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/dukpt"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

// PINKey says which key a PIN block is under: one of the ring (purpose pin), that of a DUKPT
// transaction (Ref of purpose dukpt_bdk, and KSN), or a terminal's working key.
type PINKey struct {
	Ref Ref
	// KSN is the key serial number of the message, 10 or 12 bytes. Whether it was used
	// before is for a dukpt.Guard to say.
	KSN []byte
	// Working, when not nil, is whose PIN key it is; Ref and KSN are not looked at.
	Working *WorkingKeys
}

// PINBlock is an enciphered PIN block and what is known about it.
type PINBlock struct {
	Key    PINKey
	Format pinblock.Format
	PAN    string // the whole card number, where the format binds it
}

// String shows nothing of the card.
func (b PINBlock) String() string { return "[PIN block]" }

// GoString returns String.
func (b PINBlock) GoString() string { return b.String() }

// MarshalText returns String.
func (b PINBlock) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// PINTranslation says from what to what a PIN block is translated. It can be reused.
type PINTranslation struct {
	In, Out PINBlock
	// ChangePAN allows another card number in Out; see pinblock.Translation.
	ChangePAN bool
}

// TranslatePIN deciphers a PIN block under one key, and appends it to dst enciphered under
// another, in another format where ISO 9564-1 allows. The PIN does not leave the call. It
// allocates once, none besides when dst has room (more with DUKPT). A block that holds no PIN
// is ErrPINBlock, whatever is wrong with it.
func (r *Ring) TranslatePIN(dst, enciphered []byte, t *PINTranslation) (out []byte, err error) {
	in, err := r.pinCipher(&t.In.Key, OpPINFrom)
	if err != nil {
		return dst, err
	}
	defer in.settle(r, &err)
	to, err := r.pinCipher(&t.Out.Key, OpPINTo)
	if err != nil {
		return dst, err
	}
	defer to.settle(r, &err)
	out, err = pinblock.Translate(dst, enciphered, &pinblock.Translation{
		In:        pinblock.Side{Format: t.In.Format, Cipher: in.cipher, PAN: t.In.PAN},
		Out:       pinblock.Side{Format: t.Out.Format, Cipher: to.cipher, PAN: t.Out.PAN},
		ChangePAN: t.ChangePAN,
		Random:    r.random,
	})
	return out, hidden(err)
}

// hidden makes one error of all that say what a deciphered block looks like.
func hidden(err error) error {
	for _, about := range [...]error{pinblock.ErrControl, pinblock.ErrLength, pinblock.ErrDigit,
		pinblock.ErrFill} {
		if errors.Is(err, about) {
			return ErrPINBlock
		}
	}
	return err
}

// pinUse is the use of a PIN key by one operation. A working key has no version.
type pinUse struct {
	version   *version
	operation Operation
	cipher    cipher.Block
}

// settle is Ring.settle, deferred.
func (u *pinUse) settle(r *Ring, err *error) {
	// The fault may be that of the other key of a translation.
	if fault, ok := recoverFault(recover()); ok {
		*err = fault
	}
	if u.version == nil {
		return
	}
	if *err != nil {
		_ = r.fail(u.version, u.operation, *err)
		return
	}
	r.good(u.version, u.operation)
}

func (r *Ring) pinCipher(k *PINKey, o Operation) (u pinUse, err error) {
	if k.Working != nil {
		u.cipher, err = k.Working.pinCipher()
		return u, err
	}
	if k.Ref.Purpose == DUKPT {
		return r.dukptPIN(k, o)
	}
	u.operation = o
	if u.version, err = r.begin(k.Ref, o); err != nil {
		return u, err
	}
	c, err := u.version.cipher()
	if err != nil {
		return u, r.fail(u.version, o, err)
	}
	u.cipher = c.whole
	return u, nil
}

// dukptPIN returns the PIN key of a transaction. Hosts send no PINs under DUKPT.
func (r *Ring) dukptPIN(k *PINKey, o Operation) (u pinUse, err error) {
	u.operation = OpDeriveTerminal
	if u.version, err = r.begin(k.Ref, OpDeriveTerminal); err != nil {
		return u, err
	}
	if o != OpPINFrom {
		return u, r.fail(u.version, OpDeriveTerminal, fmt.Errorf("%w: %v with %v", ErrPurpose, o, k.Ref))
	}
	t, err := u.version.transaction(k.KSN)
	if err == nil {
		defer t.Clear()
		u.cipher, err = t.Cipher(dukpt.UsagePIN)
	}
	if err != nil {
		return u, r.fail(u.version, OpDeriveTerminal, err)
	}
	return u, nil
}

// PINCheck is a PIN, in an enciphered block, that is to be verified.
type PINCheck struct {
	PINBlock
	Enciphered []byte
}

// VerifyPVV reports, in constant time, whether the PIN has a PIN verification value under a
// key of purpose pvk. index is the key index, 0 to 9.
func (r *Ring) VerifyPVV(ref Ref, p *PINCheck, index int, pvv string) (bool, error) {
	return r.verifyPIN(ref, OpPVV, p, func(key, pin []byte) (bool, error) {
		return pinblock.VerifyPVV(key, index, pin, p.PAN, pvv)
	})
}

// VerifyPINOffset reports, in constant time, whether the PIN has an IBM 3624 offset under a key
// of purpose pin_offset.
func (r *Ring) VerifyPINOffset(ref Ref, p *PINCheck, how *pinblock.IBM3624, offset string) (bool,
	error) {
	return r.verifyPIN(ref, OpPINOffset, p, func(key, pin []byte) (bool, error) {
		return how.Verify(key, p.PAN, offset, pin)
	})
}

func (r *Ring) verifyPIN(ref Ref, o Operation, p *PINCheck, do func(key, pin []byte) (bool,
	error)) (ok bool, err error) {
	v, err := r.begin(ref, o)
	if err != nil {
		return false, err
	}
	defer r.settleCheck(v, o, &ok, &err)
	var room [pinblock.PINMax]byte
	defer clear(room[:])
	pin, err := r.openPIN(room[:0], p)
	if err != nil {
		return false, err
	}
	err = v.withKey(func(key []byte) error {
		ok, err = do(key, pin)
		return err
	})
	return ok, err
}

// openPIN appends the PIN of a block to dst.
func (r *Ring) openPIN(dst []byte, p *PINCheck) (pin []byte, err error) {
	u, err := r.pinCipher(&p.Key, OpPINFrom)
	if err != nil {
		return dst, err
	}
	defer u.settle(r, &err)
	if u.cipher.BlockSize() != p.Format.Size() {
		return dst, pinblock.ErrCipher
	}
	if len(p.Enciphered) != p.Format.Size() {
		return dst, fmt.Errorf("%w: %d bytes, want %d", pinblock.ErrBlock, len(p.Enciphered),
			p.Format.Size())
	}
	if p.Format == pinblock.Format4 {
		pin, err = pinblock.DecodeFormat4(dst, u.cipher, p.Enciphered, p.PAN)
		return pin, hidden(err)
	}
	var b [8]byte
	defer clear(b[:])
	if err := block.DecryptECB(u.cipher, b[:], p.Enciphered); err != nil {
		return dst, err
	}
	pin, err = pinblock.Decode(dst, p.Format, b[:], p.PAN)
	return pin, hidden(err)
}

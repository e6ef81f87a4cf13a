package keyring

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/dukpt"
)

// Device names the message of a terminal that uses DUKPT.
type Device struct {
	Ref Ref    // of purpose dukpt_bdk
	KSN []byte // 10 or 12 bytes
	// Guard refuses a KSN that was used before; nil leaves that to the caller. VerifyDUKPT
	// asks it, and has it remember the KSN once the MAC is right.
	Guard *dukpt.Guard
}

// transaction derives the keys of a DUKPT transaction. The caller clears it.
func (v *version) transaction(ksn []byte) (t *dukpt.Transaction, err error) {
	k, err := dukpt.ParseKSN(ksn)
	if err != nil {
		return nil, err
	}
	if m := v.meta.Load(); k.AES() == isDES(m.Algorithm) {
		return nil, fmt.Errorf("%w: KSN of %d bytes with %v", ErrAlgorithm, len(ksn), m.Algorithm)
	}
	err = v.withKey(func(key []byte) error {
		t, err = dukpt.FromBDK(key, k, dukpt.Same)
		return err
	})
	return t, err
}

// VerifyDUKPT reports, in constant time, whether want is the MAC of a message that the device
// sent: the left 4 bytes of the retail MAC in TDES DUKPT, CMAC in AES DUKPT. A KSN used before
// is dukpt.ErrReplay; a right MAC uses it up.
func (r *Ring) VerifyDUKPT(d *Device, data, want []byte) (ok bool, err error) {
	v, err := r.begin(d.Ref, OpDeriveTerminal)
	if err != nil {
		return false, err
	}
	defer r.settleCheck(v, OpDeriveTerminal, &ok, &err)
	t, err := v.transaction(d.KSN)
	if err != nil {
		return false, err
	}
	defer t.Clear()
	if d.Guard != nil {
		if err := d.Guard.Check(t.KSN()); err != nil {
			return false, err
		}
	}
	m, err := t.RequestMAC()
	if err != nil || !m.Verify(data, want) {
		return false, err
	}
	if d.Guard != nil {
		if err := d.Guard.Accept(t.KSN()); err != nil {
			return false, err
		}
	}
	return true, nil
}

// MACDUKPT appends the MAC of the answer to a device's message to dst. A retiring key does it
// too: the device keeps its key until it is given another.
func (r *Ring) MACDUKPT(d *Device, dst, data []byte) (out []byte, err error) {
	v, err := r.begin(d.Ref, OpDeriveTerminal)
	if err != nil {
		return dst, err
	}
	defer r.settle(v, OpDeriveTerminal, &err)
	t, err := v.transaction(d.KSN)
	if err != nil {
		return dst, err
	}
	defer t.Clear()
	m, err := t.ResponseMAC()
	if err != nil {
		return dst, err
	}
	return m.Sum(dst, data), nil
}

// DecryptDUKPT returns the data that the device sent: whole blocks in CBC under its request
// key, an iv of nil is zeros.
func (r *Ring) DecryptDUKPT(d *Device, iv, data []byte) (out []byte, err error) {
	v, err := r.begin(d.Ref, OpDeriveTerminal)
	if err != nil {
		return nil, err
	}
	defer r.settle(v, OpDeriveTerminal, &err)
	t, err := v.transaction(d.KSN)
	if err != nil {
		return nil, err
	}
	defer t.Clear()
	return t.DecryptData(dukpt.UsageDataRequest, iv, data)
}

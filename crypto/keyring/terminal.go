package keyring

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// WorkingForm is the form of a UnionPay field 62, by the lengths of its keys.
type WorkingForm uint8

// The forms.
const (
	Working24 WorkingForm = iota // PIN key of 8 bytes, MAC key of 8: old terminals
	Working40                    // PIN key of 16, MAC key of 8
	Working60                    // PIN key of 16, MAC key of 8, track key of 16
)

// WorkingKeys are the keys that a terminal got when it signed on. They are not in the store:
// whoever needs them again keeps field 62 and opens it again. They are safe for concurrent
// use, MAC and VerifyMAC as long as Close was not called.
type WorkingKeys struct {
	kcvs [3]KCV

	mu      sync.RWMutex // guards what follows against Close
	pin     secret
	auth    secret
	track   secret
	ciphers [3]cipher.Block // of the PIN, MAC and track key
	closed  bool
	macs    map[mac.Scheme]*mac.MAC
}

// NewWorkingKeys draws the working keys of a terminal, and returns them with the field 62 that
// brings them to it, under tmk: a 3DES key of purpose key_exchange.
func (r *Ring) NewWorkingKeys(tmk Ref, form WorkingForm) (w *WorkingKeys, field62 []byte, err error) {
	v, err := r.begin(tmk, OpWrap)
	if err != nil {
		return nil, nil, err
	}
	defer r.settle(v, OpWrap, &err)
	if form > Working60 {
		return nil, nil, fmt.Errorf("%w: form %d", keyblock.ErrTerminalKeys, form)
	}
	k := keyblock.WorkingKeys{}
	defer func() { k.Clear() }()
	sizes := [...]Algorithm{TDES2, DES, TDES2}
	if form == Working24 {
		sizes[0] = DES
	}
	for i, to := range [...]*keyblock.Key{&k.PIN, &k.MAC, &k.Track} {
		if i == 2 && form != Working60 {
			break
		}
		if *to, err = draw(sizes[i], r.random); err != nil {
			return nil, nil, err
		}
	}
	field62, err = v.wrapWorking(&k)
	if err != nil {
		return nil, nil, err
	}
	w, err = newWorkingKeys(&k)
	return w, field62, err
}

// wrapWorking returns field 62: 3DES ECB and four bytes of check value each.
func (v *version) wrapWorking(k *keyblock.WorkingKeys) ([]byte, error) {
	c, err := v.terminalCipher()
	if err != nil {
		return nil, err
	}
	var t keyblock.TerminalKeys
	for _, e := range [...]struct {
		from keyblock.Key
		to   *keyblock.WrappedKey
	}{{k.PIN, &t.PIN}, {k.MAC, &t.MAC}, {k.Track, &t.Track}} {
		if len(e.from) == 0 {
			continue
		}
		e.to.Wrapped = make([]byte, len(e.from))
		if err := block.EncryptECB(c, e.to.Wrapped, e.from); err != nil {
			return nil, err
		}
		e.to.Check, err = keyblock.CheckValue(keyblock.CheckECB, desOf(e.from), e.from, kcvSize-1)
		if err != nil {
			return nil, err
		}
	}
	return t.AppendTo(nil)
}

// terminalCipher returns the cipher of a terminal master key.
func (v *version) terminalCipher() (cipher.Block, error) {
	if a := v.meta.Load().Algorithm; a.Cipher() != block.TDES {
		return nil, fmt.Errorf("%w: field 62 is under tdes2 or tdes3, not %v", ErrAlgorithm, a)
	}
	c, err := v.cipher()
	if err != nil {
		return nil, err
	}
	return c.whole, nil
}

func desOf(key []byte) block.Algorithm {
	if len(key) == DES.Size() {
		return block.DES
	}
	return block.TDES
}

// OpenWorkingKeys reads a field 62 of 24, 40 or 60 bytes under tmk. Each check value must be
// right, and no key weak.
func (r *Ring) OpenWorkingKeys(tmk Ref, field62 []byte) (w *WorkingKeys, err error) {
	v, err := r.begin(tmk, OpUnwrap)
	if err != nil {
		return nil, err
	}
	defer r.settle(v, OpUnwrap, &err)
	t, err := keyblock.ParseTerminalKeys(field62)
	if err != nil {
		return nil, err
	}
	c, err := v.terminalCipher()
	if err != nil {
		return nil, err
	}
	k := keyblock.WorkingKeys{}
	defer func() { k.Clear() }()
	for _, e := range [...]struct {
		name string
		from keyblock.WrappedKey
		to   *keyblock.Key
	}{{"PIN", t.PIN, &k.PIN}, {"MAC", t.MAC, &k.MAC}, {"track", t.Track, &k.Track}} {
		if len(e.from.Wrapped) == 0 {
			continue
		}
		*e.to = make(keyblock.Key, len(e.from.Wrapped))
		if err := openWorking(c, e.from, *e.to); err != nil {
			return nil, fmt.Errorf("terminal's %s key: %w", e.name, err)
		}
	}
	return newWorkingKeys(&k)
}

// openWorking deciphers one key and checks it. Terminals get keys of any parity, so that is
// not looked at.
func openWorking(c cipher.Block, from keyblock.WrappedKey, key keyblock.Key) error {
	if err := block.DecryptECB(c, key, from.Wrapped); err != nil {
		return err
	}
	if err := keyblock.VerifyCheckValue(keyblock.CheckECB, desOf(key), key, from.Check); err != nil {
		return errors.Join(ErrKCV, err)
	}
	odd := append(make([]byte, 0, len(key)), key...)
	defer clear(odd)
	block.SetOddParity(odd)
	return block.Check(desOf(odd), odd)
}

// newWorkingKeys copies k.
func newWorkingKeys(k *keyblock.WorkingKeys) (*WorkingKeys, error) {
	w := &WorkingKeys{pin: copySecret(k.PIN), auth: copySecret(k.MAC), track: copySecret(k.Track),
		macs: map[mac.Scheme]*mac.MAC{}}
	for i, s := range [...]secret{w.pin, w.auth, w.track} {
		key := s.open()
		if len(key) == 0 {
			continue
		}
		c, err := block.New(desOf(key), key)
		if err != nil {
			w.Close()
			return nil, err
		}
		w.ciphers[i] = c
		zero := make([]byte, c.BlockSize())
		c.Encrypt(zero, zero)
		w.kcvs[i] = KCV(fmt.Sprintf("%X", zero[:kcvSize-1]))
	}
	return w, nil
}

// KCVs returns the check values of the PIN, MAC and track key; "" where there is none.
func (w *WorkingKeys) KCVs() (pin, auth, track KCV) { return w.kcvs[0], w.kcvs[1], w.kcvs[2] }

// MAC appends the MAC of data under the terminal's MAC key to dst.
func (w *WorkingKeys) MAC(s mac.Scheme, dst, data []byte) ([]byte, error) {
	m, err := w.mac(s)
	if err != nil {
		return dst, err
	}
	return m.Sum(dst, data), nil
}

// VerifyMAC reports, in constant time, whether want is the MAC of data.
func (w *WorkingKeys) VerifyMAC(s mac.Scheme, data, want []byte) (bool, error) {
	m, err := w.mac(s)
	if err != nil {
		return false, err
	}
	return m.Verify(data, want), nil
}

func (w *WorkingKeys) mac(s mac.Scheme) (*mac.MAC, error) {
	w.mu.RLock()
	m := w.macs[s]
	w.mu.RUnlock()
	if m != nil {
		return m, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.auth.open()) == 0 {
		return nil, ErrClosed
	}
	m, err := mac.New(s, w.auth.open())
	if err != nil {
		return nil, err
	}
	if len(w.macs) >= cachedMax {
		clear(w.macs)
	}
	w.macs[s] = m
	return m, nil
}

// DecryptTrack deciphers whole blocks of track data in ECB under the track key, as UnionPay
// terminals do. dst is as long as src and may be src.
func (w *WorkingKeys) DecryptTrack(dst, src []byte) error {
	c, err := w.cipher(2)
	if err != nil {
		return err
	}
	return block.DecryptECB(c, dst, src)
}

func (w *WorkingKeys) pinCipher() (cipher.Block, error) { return w.cipher(0) }

func (w *WorkingKeys) cipher(of int) (cipher.Block, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	c := w.ciphers[of]
	switch {
	case w.closed:
		return nil, ErrClosed
	case c == nil:
		return nil, fmt.Errorf("%w: the terminal has no such key", ErrUnknown)
	}
	return c, nil
}

// Close zeroes the keys.
func (w *WorkingKeys) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pin.wipe()
	w.auth.wipe()
	w.track.wipe()
	w.ciphers, w.macs, w.closed = [3]cipher.Block{}, nil, true
}

// String returns a fixed text: no printer shows a key.
func (w *WorkingKeys) String() string { return "[working keys]" }

// GoString returns String.
func (w *WorkingKeys) GoString() string { return w.String() }

// Format writes String for every verb.
func (w *WorkingKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, w.String()) }

// MarshalText returns String.
func (w *WorkingKeys) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

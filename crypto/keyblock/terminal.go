package keyblock

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// ErrTerminalKeys reports a field 62 that is no set of working keys.
var ErrTerminalKeys = errors.New("terminal keys are malformed")

// WrapECB encrypts key under kek block by block, as zone and terminal master keys do: 8, 16
// or 24 bytes under TDES, 16 or 32 under AES or SM4. A kek of single DES is refused. The
// result has no integrity of its own: send a check value with it.
func WrapECB(a block.Algorithm, kek, key []byte) ([]byte, error) {
	if a == block.DES {
		return nil, fmt.Errorf("%w: wrapping under single DES, want tdes, aes or sm4", ErrImportOnly)
	}
	c, err := block.New(a, kek)
	if err != nil {
		return nil, fmt.Errorf("wrapping key: %w", err)
	}
	if err := checkECB(a, key); err != nil {
		return nil, err
	}
	out := make([]byte, len(key))
	return out, block.EncryptECB(c, out, key)
}

// UnwrapECB is the inverse of WrapECB; it also takes a kek of single DES. Any kek gives some
// key: compare the check value before using it.
func UnwrapECB(a block.Algorithm, kek, wrapped []byte) (Key, error) {
	c, err := block.New(a, kek)
	if err != nil {
		return nil, fmt.Errorf("wrapping key: %w", err)
	}
	if err := checkECB(a, wrapped); err != nil {
		return nil, err
	}
	out := make(Key, len(wrapped))
	return out, block.DecryptECB(c, out, wrapped)
}

func checkECB(a block.Algorithm, key []byte) error {
	n, ok := len(key), false
	switch a {
	case block.DES, block.TDES:
		ok = n == 8 || n == 16 || n == 24
	case block.AES, block.SM4:
		ok = n == 16 || n == 32
	}
	if !ok {
		return fmt.Errorf("%w: %d bytes to wrap under %v", ErrKeyLength, n, a)
	}
	return nil
}

// desOf returns the cipher of a DES key by its length.
func desOf(key []byte) block.Algorithm {
	if len(key) == 8 {
		return block.DES
	}
	return block.TDES
}

const (
	slotLen  = 16 // a double-length key in field 62
	checkLen = 4  // UnionPay shows 4 bytes of check value

	singleLen = 2 * (8 + checkLen)
	doubleLen = 2 * (slotLen + checkLen)
	tripleLen = 3 * (slotLen + checkLen)
)

// WrappedKey is a key under a terminal master key, with the 4 bytes of its check value.
type WrappedKey struct {
	Wrapped []byte
	Check   []byte
}

// TerminalKeys is field 62 of a UnionPay sign-on reply: the working keys of a terminal, each
// under its TMK by TDES ECB. Track has no bytes in the forms without a track key.
type TerminalKeys struct {
	PIN, MAC, Track WrappedKey
}

// ParseTerminalKeys splits a field 62 of 24 bytes (single-length PIN and MAC key), 40
// (double-length PIN key, MAC key of 16 bytes or of 8 and 8 zeros) or 60 (and a track key).
// Anything else, as the 57 bytes some terminals get, is ErrTerminalKeys. The result shares
// no memory with field.
func ParseTerminalKeys(field []byte) (TerminalKeys, error) {
	var t TerminalKeys
	field = bytes.Clone(field)
	switch len(field) {
	case singleLen:
		t.PIN, field = cutWrapped(field, 8)
		t.MAC, _ = cutWrapped(field, 8)
		return t, nil
	case doubleLen, tripleLen:
		t.PIN, field = cutWrapped(field, slotLen)
		t.MAC, field = cutWrapped(field, slotLen)
		if bytes.Equal(t.MAC.Wrapped[8:], make([]byte, 8)) {
			t.MAC.Wrapped = t.MAC.Wrapped[:8:8]
		}
		if len(field) > 0 {
			t.Track, _ = cutWrapped(field, slotLen)
		}
		return t, nil
	default:
		return t, fmt.Errorf("%w: %d bytes, want %d, %d or %d", ErrTerminalKeys, len(field), singleLen,
			doubleLen, tripleLen)
	}
}

func cutWrapped(field []byte, n int) (WrappedKey, []byte) {
	end := n + checkLen
	return WrappedKey{field[:n:n], field[n:end:end]}, field[end:]
}

// AppendTo appends the field 62 to dst, the inverse of ParseTerminalKeys: 24, 40 or 60 bytes
// by the lengths of the keys.
func (t TerminalKeys) AppendTo(dst []byte) ([]byte, error) {
	pin, auth, track := len(t.PIN.Wrapped), len(t.MAC.Wrapped), len(t.Track.Wrapped)
	single := pin == 8 && auth == 8 && track == 0
	double := pin == slotLen && (auth == 8 || auth == slotLen) && (track == 0 || track == slotLen)
	if !single && !double {
		return dst, fmt.Errorf("%w: keys of %d, %d and %d bytes have no form", ErrTerminalKeys, pin, auth,
			track)
	}
	for _, w := range [...]WrappedKey{t.PIN, t.MAC, t.Track} {
		if len(w.Wrapped) == 0 {
			continue
		}
		if len(w.Check) != checkLen {
			return dst, fmt.Errorf("%w: check value of %d bytes, want %d", ErrTerminalKeys, len(w.Check),
				checkLen)
		}
		dst = append(dst, w.Wrapped...)
		if double && len(w.Wrapped) == 8 {
			dst = append(dst, make([]byte, 8)...)
		}
		dst = append(dst, w.Check...)
	}
	return dst, nil
}

// WorkingKeys are the clear keys of a terminal; Track has no bytes if there is none.
type WorkingKeys struct {
	PIN, MAC, Track Key
}

// Clear overwrites all three.
func (k WorkingKeys) Clear() {
	k.PIN.Clear()
	k.MAC.Clear()
	k.Track.Clear()
}

// Unwrap returns the working keys under tmk, of 16 or 24 bytes (8 are taken for import). A
// single check value that does not match refuses all of them (ErrCheckValue).
func (t TerminalKeys) Unwrap(tmk []byte) (WorkingKeys, error) {
	var k WorkingKeys
	for _, e := range [...]struct {
		name string
		from WrappedKey
		to   *Key
	}{{"PIN", t.PIN, &k.PIN}, {"MAC", t.MAC, &k.MAC}, {"track", t.Track, &k.Track}} {
		if e.name == "track" && len(e.from.Wrapped) == 0 {
			continue
		}
		key, err := e.from.open(tmk)
		if err != nil {
			k.Clear()
			return WorkingKeys{}, fmt.Errorf("terminal's %s key: %w", e.name, err)
		}
		*e.to = key
	}
	return k, nil
}

func (w WrappedKey) open(tmk []byte) (Key, error) {
	key, err := UnwrapECB(desOf(tmk), tmk, w.Wrapped)
	if err != nil {
		return nil, err
	}
	if len(w.Check) != checkLen {
		key.Clear()
		return nil, fmt.Errorf("%w: check value of %d bytes, want %d", ErrTerminalKeys, len(w.Check),
			checkLen)
	}
	if err := VerifyCheckValue(CheckECB, desOf(key), key, w.Check); err != nil {
		key.Clear()
		return nil, err
	}
	return key, nil
}

// WrapTerminalKeys wraps k under tmk, of 16 or 24 bytes, with check values. Its lengths must
// be those of a form, see AppendTo.
func WrapTerminalKeys(tmk []byte, k WorkingKeys) (TerminalKeys, error) {
	var t TerminalKeys
	for _, e := range [...]struct {
		name string
		from Key
		to   *WrappedKey
	}{{"PIN", k.PIN, &t.PIN}, {"MAC", k.MAC, &t.MAC}, {"track", k.Track, &t.Track}} {
		if e.name == "track" && len(e.from) == 0 {
			continue
		}
		w, err := WrapECB(desOf(tmk), tmk, e.from)
		if err != nil {
			return TerminalKeys{}, fmt.Errorf("terminal's %s key: %w", e.name, err)
		}
		check, err := CheckValue(CheckECB, desOf(e.from), e.from, checkLen)
		if err != nil {
			return TerminalKeys{}, fmt.Errorf("terminal's %s key: %w", e.name, err)
		}
		*e.to = WrappedKey{w, check}
	}
	if _, err := t.AppendTo(nil); err != nil {
		return TerminalKeys{}, err
	}
	return t, nil
}

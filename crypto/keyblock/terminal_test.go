package keyblock_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
)

// terminalErrors runs every function of check values and terminal keys on key.
func terminalErrors(add func(...any), key []byte) {
	for _, a := range []block.Algorithm{block.None, block.DES, block.TDES, block.AES, block.SM4} {
		for _, kind := range []keyblock.CheckKind{0, keyblock.CheckECB, keyblock.CheckCMAC} {
			_, err := keyblock.CheckValue(kind, a, key, 4)
			add(err, keyblock.VerifyCheckValue(kind, a, key, key[:len(key)/2]))
		}
		_, err := keyblock.WrapECB(a, key, key)
		add(err)
		k, err := keyblock.UnwrapECB(a, key, make([]byte, 16))
		add(k, err)
		w, err := keyblock.WrapECB(a, make([]byte, 16), key)
		if err == nil {
			k, err = keyblock.UnwrapECB(a, make([]byte, 16), w)
		}
		add(k, err)
	}
	t, err := keyblock.ParseTerminalKeys(key)
	add(err)
	k, err := t.Unwrap(make([]byte, 16))
	add(k, err)
	t, err = keyblock.WrapTerminalKeys(make([]byte, 16), keyblock.WorkingKeys{PIN: key, MAC: key, Track: key})
	add(err)
	k, err = t.Unwrap(make([]byte, 16))
	add(k, &k, err)
	_, err = keyblock.WrapTerminalKeys(key, keyblock.WorkingKeys{PIN: key, MAC: key})
	add(err)
}

// TestCheckValue: the base derivation key of ANSI X9.24-1 and the AES key of X9.143 8.1 have
// published check values; the rest is the definition.
func TestCheckValue(t *testing.T) {
	for _, c := range []struct {
		kind      keyblock.CheckKind
		alg       block.Algorithm
		key, want string
	}{
		{keyblock.CheckECB, block.TDES, "0123456789abcdeffedcba9876543210", "08d7b4"},
		{keyblock.CheckCMAC, block.AES, "3f419e1cb7079442aa37474c2efbf8b8", "08793e25ab"},
		{keyblock.CheckECB, block.AES, "00000000000000000000000000000000",
			"66e94bd4ef8a2c3b884cfa59ca342b2e"}, // FIPS 197, key and text of zeros
	} {
		got, err := keyblock.CheckValue(c.kind, c.alg, unhex(t, c.key), len(c.want)/2)
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%v: %x %v, want %s", c.alg, got, err, c.want)
		}
		if err := keyblock.VerifyCheckValue(c.kind, c.alg, unhex(t, c.key), got); err != nil {
			t.Errorf("%v: %v", c.alg, err)
		}
		got[len(got)-1] ^= 1
		if err := keyblock.VerifyCheckValue(c.kind, c.alg, unhex(t, c.key), got); !errors.Is(err,
			keyblock.ErrCheckValue) {
			t.Errorf("%v: a wrong one passes: %v", c.alg, err)
		}
	}
}

func TestCheckValueRefusals(t *testing.T) {
	for n := -1; n < 20; n++ {
		_, err := keyblock.CheckValue(keyblock.CheckECB, block.TDES, make([]byte, 16), n)
		if ok := n >= 3 && n <= 8; ok != (err == nil) || (!ok && !errors.Is(err, keyblock.ErrCheckValue)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if err := keyblock.VerifyCheckValue(keyblock.CheckECB, block.DES, make([]byte, 8), nil); err == nil {
		t.Error("no check value passes")
	}
	if _, err := keyblock.CheckValue(9, block.DES, make([]byte, 8), 4); !errors.Is(err, keyblock.ErrCheckValue) {
		t.Errorf("an unknown kind: %v", err)
	}
	if _, err := keyblock.CheckValue(keyblock.CheckCMAC, block.AES, make([]byte, 8), 4); !errors.Is(err,
		keyblock.ErrKeyLength) {
		t.Errorf("a short key: %v", err)
	}
}

// TestECB: keys of every length go there and back, block by block.
func TestECB(t *testing.T) {
	kek := unhex(t, "0123456789abcdeffedcba9876543210")
	for _, a := range []block.Algorithm{block.TDES, block.AES, block.SM4} {
		c, err := block.New(a, kek)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 40 {
			key := bytes.Repeat([]byte{7}, n)
			w, err := keyblock.WrapECB(a, kek, key)
			ok := n == 16 || a == block.TDES && (n == 8 || n == 24) || a != block.TDES && n == 32
			if ok != (err == nil) || (!ok && !errors.Is(err, keyblock.ErrKeyLength)) {
				t.Errorf("%v, %d bytes: %v", a, n, err)
			}
			if !ok {
				if _, err = keyblock.UnwrapECB(a, kek, key); !errors.Is(err, keyblock.ErrKeyLength) {
					t.Errorf("%v, back from %d bytes: %v", a, n, err)
				}
				continue
			}
			first := make([]byte, a.Size())
			c.Encrypt(first, key[:a.Size()])
			back, err := keyblock.UnwrapECB(a, kek, w)
			if err != nil || !bytes.Equal(back, key) || !bytes.Equal(w[:a.Size()], first) ||
				!bytes.Equal(w[len(w)-a.Size():], first) {
				t.Errorf("%v, %d bytes: wrong wrapping, %v", a, n, err)
			}
		}
	}
}

// TestSingleDES: it wraps nothing and still opens what it wrapped elsewhere.
func TestSingleDES(t *testing.T) {
	kek := unhex(t, "0123456789abcdef")
	if _, err := keyblock.WrapECB(block.DES, kek, kek); !errors.Is(err, keyblock.ErrImportOnly) {
		t.Error(err)
	}
	if _, err := keyblock.UnwrapECB(block.DES, kek, make([]byte, 16)); err != nil {
		t.Error(err)
	}
	if _, err := keyblock.UnwrapECB(block.DES, kek[:7], make([]byte, 16)); !errors.Is(err, keyblock.ErrKeyLength) {
		t.Error(err)
	}
	if _, err := keyblock.WrapTerminalKeys(kek, keyblock.WorkingKeys{PIN: kek, MAC: kek}); !errors.Is(err,
		keyblock.ErrImportOnly) {
		t.Error(err)
	}
}

const testTMK = "fedcba98765432100123456789abcdef"

// fields are the forms of field 62, by the lengths of PIN, MAC and track key.
var fields = []struct{ pin, mac, track, size int }{
	{8, 8, 0, 24}, {16, 8, 0, 40}, {16, 16, 0, 40}, {16, 8, 16, 60}, {16, 16, 16, 60},
}

func testKeys(t testing.TB, pin, mac, track int) keyblock.WorkingKeys {
	t.Helper()
	return keyblock.WorkingKeys{
		PIN:   unhex(t, "11223344556677881020304050607080")[:pin],
		MAC:   unhex(t, "2132435465768798a1b2c3d4e5f60718")[:mac],
		Track: unhex(t, "3142536475869708192a3b4c5d6e7f80")[:track],
	}
}

// TestTerminalKeys builds each form with the ciphers alone, and again with the package, and
// reads it back.
func TestTerminalKeys(t *testing.T) {
	tmk := unhex(t, testTMK)
	under, err := block.New(block.TDES, tmk)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		keys := testKeys(t, f.pin, f.mac, f.track)
		var want []byte
		for _, k := range []keyblock.Key{keys.PIN, keys.MAC, keys.Track} {
			if len(k) == 0 {
				continue
			}
			alg := block.TDES
			if len(k) == 8 {
				alg = block.DES
			}
			own, err := block.New(alg, k)
			if err != nil {
				t.Fatal(err)
			}
			w, check := make([]byte, len(k)), make([]byte, 8)
			if err := block.EncryptECB(under, w, k); err != nil {
				t.Fatal(err)
			}
			own.Encrypt(check, check)
			if f.size > 24 && len(k) == 8 {
				w = append(w, make([]byte, 8)...)
			}
			want = append(append(want, w...), check[:4]...)
		}
		made, err := keyblock.WrapTerminalKeys(tmk, keys)
		if err != nil {
			t.Fatal(f, err)
		}
		got, err := made.AppendTo([]byte("x"))
		if err != nil || string(got) != "x"+string(want) || len(want) != f.size {
			t.Errorf("%v: %x %v, want %x", f, got, err, want)
		}
		parsed, err := keyblock.ParseTerminalKeys(want)
		if err != nil {
			t.Fatal(f, err)
		}
		clear(want) // nothing parsed may hang on to it
		back, err := parsed.Unwrap(tmk)
		if err != nil || !bytes.Equal(back.PIN, keys.PIN) || !bytes.Equal(back.MAC, keys.MAC) ||
			!bytes.Equal(back.Track, keys.Track) {
			t.Errorf("%v: back: %v", f, err)
		}
	}
}

// TestTerminalKeysWrong: one changed bit of field 62, or another TMK, gives no key at all.
// The zeros after a short MAC key are part of the form: without them the key is a long one.
func TestTerminalKeysWrong(t *testing.T) {
	tmk := unhex(t, testTMK)
	for _, f := range fields {
		made, err := keyblock.WrapTerminalKeys(tmk, testKeys(t, f.pin, f.mac, f.track))
		if err != nil {
			t.Fatal(err)
		}
		field, _ := made.AppendTo(nil)
		for i := range 8 * len(field) {
			field[i/8] ^= 1 << (i % 8)
			p, err := keyblock.ParseTerminalKeys(field)
			if err != nil {
				t.Fatal(err)
			}
			k, err := p.Unwrap(tmk)
			if !errors.Is(err, keyblock.ErrCheckValue) || k.PIN != nil || k.MAC != nil || k.Track != nil {
				t.Fatalf("%v: bit %d: %v", f, i, err)
			}
			field[i/8] ^= 1 << (i % 8)
		}
		p, _ := keyblock.ParseTerminalKeys(field)
		if _, err := p.Unwrap(make([]byte, 16)); !errors.Is(err, keyblock.ErrCheckValue) {
			t.Errorf("another TMK: %v", err)
		}
		if _, err := p.Unwrap(tmk[:15]); !errors.Is(err, keyblock.ErrKeyLength) {
			t.Errorf("a short TMK: %v", err)
		}
	}
}

func TestTerminalKeysMalformed(t *testing.T) {
	for n := range 100 {
		_, err := keyblock.ParseTerminalKeys(make([]byte, n))
		if ok := n == 24 || n == 40 || n == 60; ok != (err == nil) ||
			(!ok && !errors.Is(err, keyblock.ErrTerminalKeys)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	w := func(n, check int) keyblock.WrappedKey {
		return keyblock.WrappedKey{Wrapped: make([]byte, n), Check: make([]byte, check)}
	}
	for _, k := range []keyblock.TerminalKeys{
		{}, {PIN: w(8, 4)}, {PIN: w(8, 4), MAC: w(16, 4)}, {PIN: w(16, 4), MAC: w(24, 4)},
		{PIN: w(8, 4), MAC: w(8, 4), Track: w(8, 4)}, {PIN: w(16, 4), MAC: w(8, 4), Track: w(8, 4)},
		{PIN: w(8, 3), MAC: w(8, 4)}, {PIN: w(8, 4), MAC: w(8, 0)},
	} {
		if got, err := k.AppendTo(nil); !errors.Is(err, keyblock.ErrTerminalKeys) {
			t.Errorf("%d and %d bytes: %x %v", len(k.PIN.Wrapped), len(k.MAC.Wrapped), got, err)
		}
		if _, err := k.Unwrap(make([]byte, 16)); err == nil {
			t.Errorf("%d and %d bytes open", len(k.PIN.Wrapped), len(k.MAC.Wrapped))
		}
	}
	keys := testKeys(t, 16, 8, 8)
	if _, err := keyblock.WrapTerminalKeys(unhex(t, testTMK), keys); !errors.Is(err, keyblock.ErrTerminalKeys) {
		t.Errorf("a short track key: %v", err)
	}
}

func FuzzTerminalKeys(f *testing.F) {
	for _, n := range []int{0, 24, 40, 57, 60} {
		f.Add(make([]byte, n))
		f.Add(bytes.Repeat([]byte{0xa5}, n))
	}
	tmk := unhex(f, testTMK)
	f.Fuzz(func(t *testing.T, field []byte) {
		p, err := keyblock.ParseTerminalKeys(field)
		if err != nil {
			return
		}
		back, err := p.AppendTo(nil)
		if err != nil || !bytes.Equal(back, field) {
			t.Fatalf("%x comes back as %x %v", field, back, err)
		}
		if k, err := p.Unwrap(tmk); err != nil && k.PIN != nil {
			t.Fatalf("%x: a key and %v", field, err)
		}
	})
}

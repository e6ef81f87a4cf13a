package keyring

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

// macFor is a scheme for keys of each algorithm.
var macFor = map[Algorithm]mac.Scheme{
	DES:   {Algorithm: mac.CBC, Cipher: block.DES, Padding: mac.Pad1, Size: 8},
	TDES2: mac.X919,
	TDES3: {Algorithm: mac.CBC, Cipher: block.TDES, Padding: mac.Pad2, Size: 8},
}

// wrapped returns a key as the other side sends it.
func wrapped(t testing.TB, zmk, key []byte) (wrapped, kcv []byte) {
	t.Helper()
	wrapped = make([]byte, len(key))
	noError(t, block.EncryptECB(must(block.New(block.TDES, zmk))(t), wrapped, key))
	return wrapped, must(keyblock.CheckValue(keyblock.CheckECB, desOf(key), key, 8))(t)
}

// TestZoneKeyMAC makes keys of all lengths on one side, and uses them on both.
func TestZoneKeyMAC(t *testing.T) {
	r, other := emptyRing(t, Options{}), emptyRing(t, Options{})
	long := kekTDES + "1f6d2a9b5738c4e0"
	zmk := put(t, r, "key_exchange/z", TDES3, long)
	theirs := put(t, other, "key_exchange/z", TDES3, long)
	for a, scheme := range macFor {
		k, sent, kcv, err := r.NewZoneKey(zmk, MessageMAC, a)
		noError(t, err)
		if len(sent) != a.Size() || len(kcv) != 4 || string(k.KCV()) != fmt.Sprintf("%X", kcv) {
			t.Errorf("%v: %d bytes, check value %x, shown %s", a, len(sent), kcv, k.KCV())
		}
		clearKey := make([]byte, len(sent))
		noError(t, block.DecryptECB(must(block.New(block.TDES, unhex(t, long)))(t), clearKey, sent))
		noError(t, block.Check(desOf(clearKey), clearKey))
		k2, err := other.OpenZoneKey(theirs, MessageMAC, sent, kcv)
		noError(t, err)
		if k2.Purpose() != MessageMAC || k2.Algorithm() != a || k2.KCV() != k.KCV() {
			t.Errorf("%v: came as %v %v %s", a, k2.Purpose(), k2.Algorithm(), k2.KCV())
		}
		sum := must(k.MAC(scheme, nil, []byte("sale")))(t)
		if want := must(mac.New(scheme, clearKey))(t).Sum(nil, []byte("sale")); !bytes.Equal(sum, want) {
			t.Errorf("%v: another MAC than that of the clear key", a)
		}
		if ok, err := k2.VerifyMAC(scheme, []byte("sale"), sum); !ok || err != nil {
			t.Errorf("%v: %v, %v", a, ok, err)
		}
		if ok, err := k2.VerifyMAC(scheme, []byte("sole"), sum); ok || err != nil {
			t.Errorf("%v, another message: %v, %v", a, ok, err)
		}
		for name, do := range map[string]func(){
			"make":   func() { _, _ = k.MAC(scheme, sum[:0], []byte("sale")) },
			"verify": func() { _, _ = k2.VerifyMAC(scheme, []byte("sale"), sum) },
		} {
			if n := testing.AllocsPerRun(100, do); n != 0 {
				t.Errorf("%v: %s allocates %v times", a, name, n)
			}
		}
		_, err = k.MAC(mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES, Size: 8}, nil, nil)
		wantError(t, err, ErrAlgorithm)
		_, err = k.VerifyMAC(mac.CUPSM4, nil, nil)
		wantError(t, err, ErrAlgorithm)
		_, err = r.TranslatePIN(nil, make([]byte, 8), &PINTranslation{In: PINBlock{Key: k.PINKey()}})
		wantError(t, err, ErrUnknown)
		k.Close()
		_, err = k.MAC(scheme, nil, nil)
		wantError(t, err, ErrClosed)
	}
}

// TestZoneKeyPIN translates a PIN from one bank's key to another's.
func TestZoneKeyPIN(t *testing.T) {
	r := emptyRing(t, Options{})
	zmk := put(t, r, "key_exchange/z", TDES2, kekTDES)
	sent, kcv := wrapped(t, unhex(t, kekTDES), unhex(t, bdkTDES))
	in := must(r.OpenZoneKey(zmk, PIN, sent, kcv[:3]))(t)
	out, sentOut, _, err := r.NewZoneKey(zmk, PIN, TDES2)
	noError(t, err)
	pin := must(pinblock.Encode(pinblock.Format0, []byte("4321"), testPAN, nil))(t)
	must(block.New(block.TDES, unhex(t, bdkTDES)))(t).Encrypt(pin[:], pin[:])
	got, err := r.TranslatePIN(nil, pin[:], &PINTranslation{
		In:  PINBlock{Key: in.PINKey(), Format: pinblock.Format0, PAN: testPAN},
		Out: PINBlock{Key: out.PINKey(), Format: pinblock.Format0, PAN: testPAN}})
	noError(t, err)
	key := make([]byte, 16)
	noError(t, block.DecryptECB(must(block.New(block.TDES, unhex(t, kekTDES)))(t), key, sentOut))
	must(block.New(block.TDES, key))(t).Decrypt(got, got)
	pinOut := must(pinblock.Decode(nil, pinblock.Format0, got, testPAN))(t)
	if string(pinOut) != "4321" {
		t.Error("another PIN")
	}
	_, err = in.MAC(mac.X919, nil, nil)
	wantError(t, err, ErrPurpose)
	_, err = in.VerifyMAC(mac.X919, nil, nil)
	wantError(t, err, ErrPurpose)
	in.Close()
	_, err = r.TranslatePIN(nil, pin[:], &PINTranslation{In: PINBlock{Key: in.PINKey()}})
	wantError(t, err, ErrClosed)
}

func TestZoneKeyRefused(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := emptyRing(t, Options{Now: func() time.Time { return clock }})
	zmk := put(t, r, "key_exchange/z", TDES2, kekTDES)
	aes := put(t, r, "key_exchange/aes", AES256, kekAES)
	pin := put(t, r, "pin/z", TDES2, bdkTDES)
	good, kcv := wrapped(t, unhex(t, kekTDES), unhex(t, bdkTDES))
	wrong := slices.Clone(kcv)
	wrong[2] ^= 1
	for _, c := range []struct {
		zmk          Ref
		purpose      Purpose
		wrapped, kcv []byte
		want         error
	}{
		{zmk, MessageMAC, good, wrong, ErrKCV},
		{zmk, MessageMAC, good, wrong[:3], ErrKCV},
		{zmk, MessageMAC, good, kcv[:2], ErrKCV},
		{zmk, MessageMAC, good, nil, ErrKCV},
		{zmk, MessageMAC, good, append(slices.Clone(kcv), 0), ErrKCV},
		{zmk, MessageMAC, good[:8], kcv, ErrKCV},
		{zmk, MessageMAC, good[:15], kcv, block.ErrKeyLength},
		{zmk, MessageMAC, nil, kcv, block.ErrKeyLength},
		{zmk, MessageMAC, make([]byte, 32), kcv, block.ErrKeyLength},
		{zmk, KeyExchange, good, kcv, ErrPurpose},
		{zmk, Data, good, kcv, ErrPurpose},
		{aes, MessageMAC, good, kcv, ErrAlgorithm},
		{pin, MessageMAC, good, kcv, ErrPurpose},
		{Ref{KeyExchange, "none", 0}, MessageMAC, good, kcv, ErrUnknown},
	} {
		k, err := r.OpenZoneKey(c.zmk, c.purpose, c.wrapped, c.kcv)
		wantError(t, err, c.want)
		if k != nil {
			t.Errorf("%v: a key came out", c.want)
		}
	}
	for text, want := range map[string]error{
		"0101010101010101":                 block.ErrWeak,
		"01fe01fe01fe01fe":                 block.ErrWeak,
		"0123456789abcdef0123456789abcdef": block.ErrHalves,
		"0123456789abcdefe0e0e0e0f1f1f1f1": block.ErrWeak,
	} {
		bad, kcv := wrapped(t, unhex(t, kekTDES), unhex(t, text))
		for _, p := range []Purpose{MessageMAC, PIN} {
			_, err := r.OpenZoneKey(zmk, p, bad, kcv)
			wantError(t, err, want)
			if found := leaks(fmt.Sprint(err), unhex(t, text), unhex(t, kekTDES)); len(found) > 0 {
				t.Errorf("the error shows %v", found)
			}
		}
	}
	for _, c := range []struct {
		zmk     Ref
		purpose Purpose
		a       Algorithm
		want    error
	}{
		{zmk, PIN, TDES3, ErrAlgorithm},
		{zmk, PIN, AES128, ErrAlgorithm},
		{zmk, PIN, SM4, ErrAlgorithm},
		{zmk, PIN, AlgorithmNone, ErrAlgorithm},
		{zmk, Receipt, TDES2, ErrPurpose},
		{aes, PIN, TDES2, ErrAlgorithm},
		{pin, PIN, TDES2, ErrPurpose},
	} {
		k, sent, kcv, err := r.NewZoneKey(c.zmk, c.purpose, c.a)
		wantError(t, err, c.want)
		if k != nil || sent != nil || kcv != nil {
			t.Errorf("%v: something came out", c.want)
		}
	}
	// A retiring exchange key opens what came under it, and wraps nothing new.
	noError(t, r.Retire(zmk, time.Hour, two))
	_, err := r.OpenZoneKey(zmk, PIN, good, kcv)
	noError(t, err)
	_, _, _, err = r.NewZoneKey(zmk, PIN, TDES2)
	wantError(t, err, ErrNotActive)
	clock = clock.Add(2 * time.Hour)
	_, err = r.OpenZoneKey(zmk, PIN, good, kcv)
	wantError(t, err, ErrExpired)
}

// TestZoneKeyCanary prints a zone key in every way.
func TestZoneKeyCanary(t *testing.T) {
	r := emptyRing(t, Options{})
	zmk := put(t, r, "key_exchange/z", TDES2, kekTDES)
	sent, kcv := wrapped(t, unhex(t, kekTDES), unhex(t, canaryKey))
	for _, p := range []Purpose{MessageMAC, PIN} {
		k := must(r.OpenZoneKey(zmk, p, sent, kcv))(t)
		for name, value := range map[string]any{"key": k, "PIN key": k.PINKey(), "slice": []*ZoneKey{k},
			"field": struct{ K, k *ZoneKey }{k, k}} {
			if found := leaks(printed(t, value), unhex(t, canaryKey), unhex(t, kekTDES)); len(found) > 0 {
				t.Errorf("%s shows %v", name, found)
			}
		}
	}
}

// TestZoneKeyForgotten looks whether the material of a key that nobody holds is zeroed.
func TestZoneKeyForgotten(t *testing.T) {
	if raceEnabled {
		t.Skip("it looks at memory that is being zeroed")
	}
	r := emptyRing(t, Options{})
	zmk := put(t, r, "key_exchange/z", TDES2, kekTDES)
	sent, kcv := wrapped(t, unhex(t, kekTDES), unhex(t, canaryKey))
	k := must(r.OpenZoneKey(zmk, MessageMAC, sent, kcv))(t)
	material := k.keys.auth.open()
	if !bytes.Equal(material, unhex(t, canaryKey)) {
		t.Fatal("the key is not there")
	}
	gone := make(chan struct{})
	runtime.AddCleanup(k.keys, func(done chan struct{}) { close(done) }, gone)
	k = nil
	for done := false; !done; {
		runtime.GC()
		select {
		case <-gone:
			done = true
		default:
			runtime.Gosched()
		}
	}
	// The cleanups of one object run in no order that is promised: wait for the other too.
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	for !bytes.Equal(material, make([]byte, len(material))) {
		select {
		case <-deadline.C:
			t.Fatal("the material is still there")
		default:
			runtime.Gosched()
		}
	}
}

func FuzzOpenZoneKey(f *testing.F) {
	r := emptyRing(f, Options{})
	zmk := put(f, r, "key_exchange/z", TDES2, kekTDES)
	good, kcv := wrapped(f, unhex(f, kekTDES), unhex(f, bdkTDES))
	f.Add(good, kcv)
	f.Add(good[:8], kcv[:3])
	f.Fuzz(func(t *testing.T, wrapped, kcv []byte) {
		if k, err := r.OpenZoneKey(zmk, MessageMAC, wrapped, kcv); err == nil {
			k.Close()
		}
	})
}

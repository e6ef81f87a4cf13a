package pinblock_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

// The PIN keys and cryptograms of the first two transactions of ANSI X9.24-1 A.4: the same
// clear block under both.
const (
	firstKey    = "042666b49184cf5c68de9628d0397b36"
	firstBlock  = "1b9c1845eb993a7a"
	secondKey   = "c46551cef9fd244faa9ad834130d3b38"
	secondBlock = "10a01c8d02c69107"
	aesKey      = "00112233445566778899aabbccddeeff"
)

func TestTranslatePublished(t *testing.T) {
	tr := pinblock.Translation{
		In:  pinblock.Side{Cipher: cipherOf(t, block.TDES, firstKey), PAN: testPAN},
		Out: pinblock.Side{Cipher: cipherOf(t, block.TDES, secondKey), PAN: testPAN},
	}
	got, err := pinblock.Translate([]byte("x"), unhex(t, firstBlock), &tr)
	if err != nil || hex.EncodeToString(got) != "78"+secondBlock {
		t.Errorf("%x %v", got, err)
	}
	tr.In, tr.Out = tr.Out, tr.In
	got, err = pinblock.Translate(nil, unhex(t, secondBlock), &tr)
	if err != nil || hex.EncodeToString(got) != firstBlock {
		t.Errorf("back: %x %v", got, err)
	}
}

// side returns one side of a translation with a key that fits the format.
func side(tb testing.TB, f pinblock.Format, sm bool) pinblock.Side {
	switch {
	case f != pinblock.Format4:
		return pinblock.Side{Format: f, Cipher: cipherOf(tb, block.TDES, firstKey), PAN: longPAN}
	case sm:
		return pinblock.Side{Format: f, Cipher: cipherOf(tb, block.SM4, aesKey), PAN: longPAN}
	default:
		return pinblock.Side{Format: f, Cipher: cipherOf(tb, block.AES, aesKey), PAN: longPAN}
	}
}

// seal returns the enciphered block of a PIN.
func seal(tb testing.TB, s pinblock.Side, pin string) []byte {
	if s.Format == pinblock.Format4 {
		b, err := pinblock.EncodeFormat4(s.Cipher, []byte(pin), s.PAN, nil)
		if err != nil {
			tb.Fatal(err)
		}
		return b[:]
	}
	b, err := pinblock.Encode(s.Format, []byte(pin), s.PAN, nil)
	if err != nil {
		tb.Fatal(err)
	}
	s.Cipher.Encrypt(b[:], b[:])
	return b[:]
}

// open returns the PIN of an enciphered block.
func open(tb testing.TB, s pinblock.Side, b []byte) string {
	var pin []byte
	var err error
	if s.Format == pinblock.Format4 {
		pin, err = pinblock.DecodeFormat4(nil, s.Cipher, b, s.PAN)
	} else {
		var clearBlock [8]byte
		s.Cipher.Decrypt(clearBlock[:], b)
		pin, err = pinblock.Decode(nil, s.Format, clearBlock[:], s.PAN)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return string(pin)
}

// TestTranslateTable goes through every pair of formats: those of ISO 9564-1 carry the PIN
// over, all others are refused.
func TestTranslateTable(t *testing.T) {
	rows := map[string]string{ // from: to
		"iso0": "iso0 iso3 iso4",
		"iso1": "iso0 iso1 iso3 iso4",
		"iso2": "",
		"iso3": "iso0 iso3 iso4",
		"iso4": "iso0 iso3 iso4",
		"cup":  "iso0 iso3 iso4 cup",
	}
	for from := pinblock.Format0; from <= pinblock.FormatCUP; from++ {
		for to := pinblock.Format0; to <= pinblock.FormatCUP; to++ {
			in, out := side(t, from, false), side(t, to, true)
			got, err := pinblock.Translate(nil, seal(t, in, "90210"), &pinblock.Translation{In: in,
				Out: out})
			allowed := strings.Contains(" "+rows[from.String()]+" ", " "+to.String()+" ")
			if allowed != pinblock.Allowed(from, to) {
				t.Errorf("%v to %v: allowed is %v", from, to, !allowed)
			}
			switch {
			case !allowed && (!errors.Is(err, pinblock.ErrTranslation) || got != nil):
				t.Errorf("%v to %v: %v", from, to, err)
			case allowed && err != nil:
				t.Errorf("%v to %v: %v", from, to, err)
			case allowed && open(t, out, got) != "90210":
				t.Errorf("%v to %v: another PIN", from, to)
			}
		}
	}
	if pinblock.Allowed(99, 0) || pinblock.Allowed(0, 99) {
		t.Error("an unknown format may be translated")
	}
}

func TestTranslatePANChange(t *testing.T) {
	in, out := side(t, pinblock.Format0, false), side(t, pinblock.Format4, false)
	out.PAN = testPAN
	tr := pinblock.Translation{In: in, Out: out}
	b := seal(t, in, "1234")
	if _, err := pinblock.Translate(nil, b, &tr); !errors.Is(err, pinblock.ErrPANChange) {
		t.Errorf("card number changed: %v", err)
	}
	tr.ChangePAN = true
	got, err := pinblock.Translate(nil, b, &tr)
	if err != nil || open(t, out, got) != "1234" {
		t.Errorf("asked for: %v", err)
	}
	// Format 1 binds no card number: there is none to change.
	in = side(t, pinblock.Format1, false)
	in.PAN = ""
	tr = pinblock.Translation{In: in, Out: out}
	if got, err = pinblock.Translate(nil, seal(t, in, "1234"), &tr); err != nil || open(t, out,
		got) != "1234" {
		t.Errorf("from format 1: %v", err)
	}
}

func TestTranslateErrors(t *testing.T) {
	in, out := side(t, pinblock.Format0, false), side(t, pinblock.Format3, false)
	good := seal(t, in, "1234")
	f := func(b []byte, change func(*pinblock.Translation), want error) {
		t.Helper()
		tr := pinblock.Translation{In: in, Out: out}
		change(&tr)
		if got, err := pinblock.Translate(nil, b, &tr); !errors.Is(err, want) || got != nil {
			t.Errorf("%v, want %v", err, want)
		}
	}
	none := func(*pinblock.Translation) {}
	f(good[:7], none, pinblock.ErrBlock)
	f(nil, none, pinblock.ErrBlock)
	f(good, func(tr *pinblock.Translation) { tr.In.Cipher = nil }, pinblock.ErrCipher)
	f(good, func(tr *pinblock.Translation) { tr.Out.Cipher = cipherOf(t, block.AES, aesKey) },
		pinblock.ErrCipher)
	f(good, func(tr *pinblock.Translation) { tr.Out.Format = pinblock.Format4 }, pinblock.ErrCipher)
	f(good, func(tr *pinblock.Translation) { tr.In.PAN, tr.Out.PAN = "1", "1" }, pinblock.ErrPAN)
	f(good, func(tr *pinblock.Translation) { tr.Random = strings.NewReader("") }, pinblock.ErrRandom)
	f(good, func(tr *pinblock.Translation) { tr.In.Cipher = cipherOf(t, block.TDES, secondKey) },
		pinblock.ErrControl)
	wrong := bytes.Clone(good)
	wrong[0] ^= 1
	f(wrong, none, pinblock.ErrControl)
}

// TestAllocations: a translation is one allocation at most, also between formats.
func TestAllocations(t *testing.T) {
	for _, c := range [][2]pinblock.Format{
		{pinblock.Format0, pinblock.Format0}, {pinblock.Format0, pinblock.Format4},
		{pinblock.Format4, pinblock.Format3}, {pinblock.Format1, pinblock.Format0},
	} {
		tr := pinblock.Translation{In: side(t, c[0], false), Out: side(t, c[1], false)}
		b, dst := seal(t, tr.In, "123456"), make([]byte, 0, 16)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := pinblock.Translate(dst, b, &tr); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%v to %v: %v allocations", c[0], c[1], n)
		}
	}
}

func BenchmarkTranslate(b *testing.B) {
	for _, c := range [][2]pinblock.Format{
		{pinblock.Format0, pinblock.Format0}, {pinblock.Format0, pinblock.Format4},
	} {
		b.Run(c[0].String()+"-"+c[1].String(), func(b *testing.B) {
			tr := pinblock.Translation{In: side(b, c[0], false), Out: side(b, c[1], false)}
			in, dst := seal(b, tr.In, "123456"), make([]byte, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pinblock.Translate(dst, in, &tr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add(uint8(0), uint8(0), unhex(f, firstBlock), testPAN, testPAN)
	f.Add(uint8(4), uint8(0), bytes.Repeat([]byte{9}, 16), longPAN, longPAN)
	f.Add(uint8(1), uint8(3), []byte{}, "", "")
	f.Fuzz(func(t *testing.T, from, to uint8, b []byte, inPAN, outPAN string) {
		tr := pinblock.Translation{
			In: side(t, pinblock.Format(from%8), false), Out: side(t, pinblock.Format(to%8), false),
		}
		tr.In.PAN, tr.Out.PAN = inPAN, outPAN
		got, err := pinblock.Translate(nil, b, &tr)
		if (err == nil) != (len(got) == tr.Out.Format.Size()) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

package pinblock_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"pgregory.net/rapid"
)

const (
	testPAN = "4012345678909" // ANSI X9.24-1 A.4
	longPAN = "6224242300000069"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func cipherOf(tb testing.TB, a block.Algorithm, key string) cipher.Block {
	tb.Helper()
	c, err := block.New(a, unhex(tb, key))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// reference makes a clear block from text, nibble by nibble; fill is one character.
func reference(control int, pin, fill, pan string) string {
	field := fmt.Sprintf("%X%X%s", control, len(pin), pin)
	field += strings.Repeat(fill, 16-len(field))
	if pan == "" {
		return field
	}
	bound := "0000" + pan[len(pan)-13:len(pan)-1]
	return xorHex(field, bound)
}

func xorHex(a, b string) string {
	x, _ := hex.DecodeString(a)
	y, _ := hex.DecodeString(b)
	for i := range min(len(x), len(y)) {
		x[i] ^= y[i]
	}
	return strings.ToUpper(hex.EncodeToString(x))
}

func TestPublishedFormat0(t *testing.T) {
	got, err := pinblock.Encode(pinblock.Format0, []byte("1234"), testPAN, nil)
	if err != nil || hex.EncodeToString(got[:]) != "041274edcba9876f" { // ANSI X9.24-1 A.4
		t.Errorf("%x %v", got, err)
	}
}

// TestFixedFill: formats with fixed fill are exactly what the reference writes, for PINs of
// every length and card numbers of every length.
func TestFixedFill(t *testing.T) {
	const digits = "907856341290"
	for length := pinblock.PINMin; length <= pinblock.PINMax; length++ {
		pin := digits[:length]
		for n := 13; n <= 19; n++ {
			pan := "6200123456789012345"[:n]
			for f, want := range map[pinblock.Format]string{
				pinblock.Format0:   reference(0, pin, "F", pan),
				pinblock.Format2:   reference(2, pin, "F", ""),
				pinblock.FormatCUP: reference(0, pin, "F", ""),
			} {
				got, err := pinblock.Encode(f, []byte(pin), pan, nil)
				if err != nil || strings.ToUpper(hex.EncodeToString(got[:])) != want {
					t.Errorf("%v, %d and %d digits: %X %v, want %s", f, length, n, got, err, want)
				}
			}
		}
	}
}

func TestRandomFill(t *testing.T) {
	seen := map[[8]byte]bool{}
	nibbles := map[byte]bool{}
	for range 200 {
		got, err := pinblock.Encode(pinblock.Format3, []byte("5678"), testPAN, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[got] = true
		field := xorHex(hex.EncodeToString(got[:]), "0000"+testPAN[:12])
		for _, c := range []byte(field[6:]) {
			nibbles[c] = true
		}
	}
	if len(seen) < 199 || len(nibbles) != 6 || nibbles['9'] {
		t.Errorf("%d different blocks of 200, fill %v", len(seen), nibbles)
	}
	a, _ := pinblock.Encode(pinblock.Format1, []byte("5678"), "", nil)
	b, _ := pinblock.Encode(pinblock.Format1, []byte("5678"), "", nil)
	if a == b || !bytes.Equal(a[:3], unhex(t, "145678")) {
		t.Errorf("format 1: %x %x", a, b)
	}
	fixed, err := pinblock.Encode(pinblock.Format1, []byte("5678"), "",
		bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 0x89}))
	if err != nil || hex.EncodeToString(fixed[:]) != "1456789870605040" {
		t.Errorf("format 1 with known noise: %x %v", fixed, err)
	}
}

// TestDecodeErrors: each thing that can be wrong has its own error.
func TestDecodeErrors(t *testing.T) {
	f := func(f pinblock.Format, field string, want error) {
		t.Helper()
		if f.BindsPAN() && f != pinblock.Format4 {
			field = xorHex(field, "0000"+testPAN[:12])
		}
		dst := []byte("kept")
		got, err := pinblock.Decode(dst, f, unhex(t, field), testPAN)
		if !errors.Is(err, want) || string(got[:4]) != "kept" || (err != nil && len(got) != 4) {
			t.Errorf("%v %s: %q %v, want %v", f, field, got, err, want)
		}
	}
	f(pinblock.Format0, "041234FFFFFFFFFF", nil)
	f(pinblock.Format0, "141234FFFFFFFFFF", pinblock.ErrControl)
	f(pinblock.Format0, "341234FFFFFFFFFF", pinblock.ErrControl)
	f(pinblock.Format0, "03123FFFFFFFFFFF", pinblock.ErrLength)
	f(pinblock.Format0, "0D1234567890123F", pinblock.ErrLength)
	f(pinblock.Format0, "0012345678901234", pinblock.ErrLength)
	f(pinblock.Format0, "051234FFFFFFFFFF", pinblock.ErrDigit)
	f(pinblock.Format0, "04A234FFFFFFFFFF", pinblock.ErrDigit)
	f(pinblock.Format0, "0412345FFFFFFFFF", pinblock.ErrFill)
	f(pinblock.Format0, "041234FFFFFFFFFE", pinblock.ErrFill)
	f(pinblock.Format1, "1412340123456789", nil)
	f(pinblock.Format1, "1F12340123456789", pinblock.ErrLength)
	f(pinblock.Format1, "0412340123456789", pinblock.ErrControl)
	f(pinblock.Format2, "241234FFFFFFFFFF", nil)
	f(pinblock.Format2, "241234FFFFFFFFF0", pinblock.ErrFill)
	f(pinblock.Format3, "341234ABCDEFABCD", nil)
	f(pinblock.Format3, "341234ABCDEFABC9", pinblock.ErrFill)
	f(pinblock.Format3, "34123CABCDEFABCD", pinblock.ErrDigit)
	f(pinblock.Format3, "041234ABCDEFABCD", pinblock.ErrControl)
	f(pinblock.FormatCUP, "06123456FFFFFFFF", nil)
	f(pinblock.FormatCUP, "06123456FFFFFFF5", pinblock.ErrFill)
	f(pinblock.Format4, "441234AAAAAAAAAA", pinblock.ErrFormat)
	f(pinblock.Format(99), "041234FFFFFFFFFF", pinblock.ErrFormat)
	f(pinblock.Format0, "041234FFFFFFFF", pinblock.ErrBlock)
	f(pinblock.Format0, "041234FFFFFFFFFFFF", pinblock.ErrBlock)
}

func TestPAN(t *testing.T) {
	block := unhex(t, "041234FFFFFFFFFF")
	for _, pan := range []string{"", "123456789012", "12345678901234567890", "401234567890x",
		"4012345-78909", "٤٠١٢٣٤٥"} {
		if _, err := pinblock.Decode(nil, pinblock.Format0, block, pan); !errors.Is(err,
			pinblock.ErrPAN) {
			t.Errorf("%d characters: %v", len(pan), err)
		}
		if _, err := pinblock.Encode(pinblock.Format3, []byte("1234"), pan, nil); !errors.Is(err,
			pinblock.ErrPAN) {
			t.Errorf("%d characters: %v", len(pan), err)
		}
	}
	// The wrong card's number does not give the PIN.
	right, _ := pinblock.Encode(pinblock.Format0, []byte("1234"), testPAN, nil)
	if _, err := pinblock.Decode(nil, pinblock.Format0, right[:], "4012345678808"); err == nil {
		t.Error("read with another card's number")
	}
}

func TestEncodeErrors(t *testing.T) {
	f := func(f pinblock.Format, pin string, random io.Reader, want error) {
		t.Helper()
		if got, err := pinblock.Encode(f, []byte(pin), testPAN, random); !errors.Is(err, want) ||
			got != [8]byte{} {
			t.Errorf("%v: %x %v, want %v", f, got, err, want)
		}
	}
	f(pinblock.Format0, "", nil, pinblock.ErrLength)
	f(pinblock.Format0, "123", nil, pinblock.ErrLength)
	f(pinblock.Format0, "1234567890123", nil, pinblock.ErrLength)
	f(pinblock.Format0, "12a4", nil, pinblock.ErrDigit)
	f(pinblock.Format4, "1234", nil, pinblock.ErrFormat)
	f(pinblock.Format(7), "1234", nil, pinblock.ErrFormat)
	f(pinblock.Format1, "1234", strings.NewReader("short"), pinblock.ErrRandom)
	f(pinblock.Format3, "1234", strings.NewReader(""), pinblock.ErrRandom)
}

// referencePAN is the card number field of format 4 as text.
func referencePAN(pan string) string {
	m := 0
	if len(pan) > 12 {
		m = len(pan) - 12
	}
	for len(pan) < 12 {
		pan = "0" + pan
	}
	s := fmt.Sprintf("%X%s", m, pan)
	return s + strings.Repeat("0", 32-len(s))
}

// TestFormat4 compares with the two encryptions done step by step.
func TestFormat4(t *testing.T) {
	c := cipherOf(t, block.AES, "c1d0f8fb4958670dba40ab1f3752ef0d")
	noise := []byte("noise123")
	for n := 1; n <= 19; n++ {
		pan := "6200123456789012345"[:n]
		want := unhex(t, "4612345"+"6AAAAAAAA"+hex.EncodeToString(noise))
		c.Encrypt(want, want)
		want = unhex(t, xorHex(hex.EncodeToString(want), referencePAN(pan)))
		c.Encrypt(want, want)
		got, err := pinblock.EncodeFormat4(c, []byte("123456"), pan, bytes.NewReader(noise))
		if err != nil || !bytes.Equal(got[:], want) {
			t.Errorf("%d digits: %x %v, want %x", n, got, err, want)
		}
		pin, err := pinblock.DecodeFormat4(nil, c, got[:], pan)
		if err != nil || string(pin) != "123456" {
			t.Errorf("%d digits: decoded to %d digits, %v", n, len(pin), err)
		}
	}
}

func TestFormat4Errors(t *testing.T) {
	c := cipherOf(t, block.AES, "c1d0f8fb4958670dba40ab1f3752ef0d")
	f := func(field, pan string, want error) {
		t.Helper()
		b := unhex(t, field+"0011223344556677")
		c.Encrypt(b, b)
		b = unhex(t, xorHex(hex.EncodeToString(b), referencePAN(longPAN)))
		c.Encrypt(b, b)
		if _, err := pinblock.DecodeFormat4(nil, c, b, pan); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", field, err, want)
		}
	}
	f("441234AAAAAAAAAA", longPAN, nil)
	f("341234AAAAAAAAAA", longPAN, pinblock.ErrControl)
	f("43123AAAAAAAAAAA", longPAN, pinblock.ErrLength)
	f("44123BAAAAAAAAAA", longPAN, pinblock.ErrDigit)
	f("441234AAAAAAAAAB", longPAN, pinblock.ErrFill)
	f("441234AAAAAAAAAA", "", pinblock.ErrPAN)
	f("441234AAAAAAAAAA", "62242423000000690000", pinblock.ErrPAN)
	f("441234AAAAAAAAAA", "622424230000006x", pinblock.ErrPAN)
	small := cipherOf(t, block.TDES, "0123456789abcdeffedcba9876543210")
	for _, bad := range []cipher.Block{nil, small} {
		if _, err := pinblock.DecodeFormat4(nil, bad, make([]byte, 16), longPAN); !errors.Is(err,
			pinblock.ErrCipher) {
			t.Errorf("cipher: %v", err)
		}
		if _, err := pinblock.EncodeFormat4(bad, []byte("1234"), longPAN, nil); !errors.Is(err,
			pinblock.ErrCipher) {
			t.Errorf("cipher: %v", err)
		}
	}
	if _, err := pinblock.DecodeFormat4(nil, c, make([]byte, 15), longPAN); !errors.Is(err,
		pinblock.ErrBlock) {
		t.Errorf("block: %v", err)
	}
	if _, err := pinblock.EncodeFormat4(c, []byte("12"), longPAN, nil); !errors.Is(err,
		pinblock.ErrLength) {
		t.Errorf("PIN: %v", err)
	}
	if _, err := pinblock.EncodeFormat4(c, []byte("1234"), longPAN,
		strings.NewReader("x")); !errors.Is(err, pinblock.ErrRandom) {
		t.Errorf("random: %v", err)
	}
}

// TestRoundTrip: what is encoded is decoded, for every format, PIN and card number.
func TestRoundTrip(t *testing.T) {
	aes := cipherOf(t, block.AES, "c1d0f8fb4958670dba40ab1f3752ef0d")
	rapid.Check(t, func(t *rapid.T) {
		pin := rapid.StringMatching(`[0-9]{4,12}`).Draw(t, "pin")
		pan := rapid.StringMatching(`[0-9]{13,19}`).Draw(t, "pan")
		f := pinblock.Format(rapid.IntRange(0, int(pinblock.FormatCUP)).Draw(t, "format"))
		var got []byte
		var err error
		if f == pinblock.Format4 {
			var b [16]byte
			b, err = pinblock.EncodeFormat4(aes, []byte(pin), pan, nil)
			if err == nil {
				got, err = pinblock.DecodeFormat4(nil, aes, b[:], pan)
			}
		} else {
			var b [8]byte
			b, err = pinblock.Encode(f, []byte(pin), pan, nil)
			if err == nil {
				got, err = pinblock.Decode(nil, f, b[:], pan)
			}
		}
		if err != nil || string(got) != pin {
			t.Fatalf("%v: %v", f, err)
		}
	})
}

func TestFormatNames(t *testing.T) {
	for f := pinblock.Format0; f <= pinblock.FormatCUP; f++ {
		if got, err := pinblock.ParseFormat(f.String()); got != f || err != nil {
			t.Errorf("%v: %v %v", f, got, err)
		}
		if want := 8 + 8*btoi(f == pinblock.Format4); f.Size() != want {
			t.Errorf("%v has %d bytes", f, f.Size())
		}
	}
	for _, s := range []string{"", "iso5", "0", "unknown"} {
		if _, err := pinblock.ParseFormat(s); !errors.Is(err, pinblock.ErrFormat) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if pinblock.Format(99).String() != "unknown" {
		t.Error("an unknown format has a name")
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// FuzzDecode: any bytes give a PIN of 4 to 12 digits or an error, and what can be decoded
// and has no random fill is what Encode makes.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(0), []byte{4, 0x12, 0x74, 0xed, 0xcb, 0xa9, 0x87, 0x6f}, testPAN)
	f.Add(uint8(2), []byte{0x24, 0x12, 0x34, 0xff, 0xff, 0xff, 0xff, 0xff}, "")
	f.Add(uint8(4), bytes.Repeat([]byte{7}, 16), longPAN)
	f.Add(uint8(200), []byte{}, "")
	f.Fuzz(func(t *testing.T, n uint8, b []byte, pan string) {
		format := pinblock.Format(n % 8)
		pin, err := pinblock.Decode(nil, format, b, pan)
		if err == nil && (len(pin) < 4 || len(pin) > 12) {
			t.Errorf("PIN of %d digits", len(pin))
		}
		if err == nil && format != pinblock.Format1 && format != pinblock.Format3 {
			again, err := pinblock.Encode(format, pin, pan, nil)
			if err != nil || !bytes.Equal(again[:], b) {
				t.Errorf("%v comes back as another block: %v", format, err)
			}
		}
		c := cipherOf(t, block.AES, "c1d0f8fb4958670dba40ab1f3752ef0d")
		if pin, err := pinblock.DecodeFormat4(nil, c, b, pan); err == nil && len(pin) < 4 {
			t.Errorf("PIN of %d digits", len(pin))
		}
	})
}

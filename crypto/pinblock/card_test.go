package pinblock_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

const pair = "0123456789abcdeffedcba9876543210"

// decimalize is Visa's rule, on text.
func decimalize(s string, n int) string {
	var digits, letters string
	for _, c := range s {
		if c <= '9' {
			digits += string(c)
		} else {
			letters += string('0' + c - 'a')
		}
	}
	return (digits + letters)[:n]
}

// referenceCVV follows the steps of the CVV on text.
func referenceCVV(t *testing.T, pan, expiry, service string) string {
	data := pan + expiry + service
	data += strings.Repeat("0", 32-len(data))
	one := unhex(t, data[:16])
	cipherOf(t, block.DES, pair[:16]).Encrypt(one, one)
	two := unhex(t, xorHex(hex.EncodeToString(one), data[16:]))
	cipherOf(t, block.DES, pair[:16]).Encrypt(two, two)
	cipherOf(t, block.DES, pair[16:]).Decrypt(two, two)
	cipherOf(t, block.DES, pair[:16]).Encrypt(two, two)
	return decimalize(hex.EncodeToString(two), 3)
}

func TestCVV(t *testing.T) {
	key := unhex(t, pair)
	// The example of Visa's own manual, which the manuals of HSMs repeat.
	got, err := pinblock.CVV(key, "4123456789012345", "8701", "101")
	if err != nil || string(got[:]) != "561" {
		t.Errorf("%s %v", got, err)
	}
	for n := 13; n <= 19; n++ {
		pan := "6200123456789012345"[:n]
		for _, service := range []string{"220", pinblock.ServiceICVV, pinblock.ServiceCVV2} {
			want := referenceCVV(t, pan, "2712", service)
			got, err := pinblock.CVV(key, pan, "2712", service)
			if err != nil || string(got[:]) != want {
				t.Errorf("%d digits, %s: %s %v, want %s", n, service, got, err, want)
			}
			ok, err := pinblock.VerifyCVV(key, pan, "2712", service, want)
			if !ok || err != nil {
				t.Errorf("%d digits: not verified, %v", n, err)
			}
			for _, wrong := range []string{"", want + "0", want[:2], "x" + want[1:]} {
				if ok, _ := pinblock.VerifyCVV(key, pan, "2712", service, wrong); ok {
					t.Errorf("%q passes for %s", wrong, want)
				}
			}
		}
	}
}

func TestCVVErrors(t *testing.T) {
	f := func(key, pan, expiry, service string, want error) {
		t.Helper()
		if _, err := pinblock.VerifyCVV(unhex(t, key), pan, expiry, service, "000"); !errors.Is(err,
			want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	f(pair[:16], longPAN, "2712", "220", block.ErrKeyLength)
	f(pair, "123456789012", "2712", "220", pinblock.ErrPAN)
	f(pair, "622424230000006a", "2712", "220", pinblock.ErrPAN)
	f(pair, longPAN, "271", "220", pinblock.ErrExpiry)
	f(pair, longPAN, "27x2", "220", pinblock.ErrExpiry)
	f(pair, longPAN, "2712", "22", pinblock.ErrService)
}

func TestPVV(t *testing.T) {
	key := unhex(t, pair)
	for i := range 50 {
		pan := fmt.Sprintf("62242423%08d", i*7919)
		pin := fmt.Sprintf("%04d", i*197%10000) + "88"[:i%3]
		b := unhex(t, pan[len(pan)-12:len(pan)-1]+fmt.Sprint(i%10)+pin[:4])
		cipherOf(t, block.TDES, pair).Encrypt(b, b)
		want := decimalize(hex.EncodeToString(b), 4)
		got, err := pinblock.PVV(key, i%10, []byte(pin), pan)
		if err != nil || string(got[:]) != want {
			t.Errorf("%d: %s %v, want %s", i, got, err, want)
		}
		if ok, err := pinblock.VerifyPVV(key, i%10, []byte(pin), pan, want); !ok || err != nil {
			t.Errorf("%d: not verified, %v", i, err)
		}
		if ok, _ := pinblock.VerifyPVV(key, i%10, []byte(pin), pan, want[:3]); ok {
			t.Errorf("%d: three digits pass", i)
		}
	}
}

func TestPVVErrors(t *testing.T) {
	f := func(key string, index int, pin, pan string, want error) {
		t.Helper()
		if _, err := pinblock.VerifyPVV(unhex(t, key), index, []byte(pin), pan,
			"0000"); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	f(pair[:16], 1, "1234", longPAN, block.ErrKeyLength)
	f(pair, -1, "1234", longPAN, pinblock.ErrPVKI)
	f(pair, 10, "1234", longPAN, pinblock.ErrPVKI)
	f(pair, 1, "123", longPAN, pinblock.ErrLength)
	f(pair, 1, "123x", longPAN, pinblock.ErrDigit)
	f(pair, 1, "1234", "12345678901", pinblock.ErrPAN)
	f(pair, 1, "1234", "1234567890x12", pinblock.ErrPAN)
}

// referenceIBM follows the steps of IBM 3624 on text.
func referenceIBM(t *testing.T, p pinblock.IBM3624, key, pan, offset string) string {
	data := pan[p.Start : p.Start+p.Length]
	for len(data) < 16 {
		data += string(p.Pad)
	}
	alg := block.TDES
	if len(key) == 16 {
		alg = block.DES
	}
	b := unhex(t, data)
	cipherOf(t, alg, key).Encrypt(b, b)
	pin := ""
	for i, c := range hex.EncodeToString(b)[:len(offset)] {
		d := p.Table[strings.IndexRune("0123456789abcdef", c)]
		pin += fmt.Sprint((int(d-'0') + int(offset[i]-'0')) % 10)
	}
	return pin
}

func TestIBM3624(t *testing.T) {
	for i, p := range []pinblock.IBM3624{
		{Table: "1234567890123456", Start: 0, Length: 16, Pad: 'F'},
		{Table: "0123456789012345", Start: 2, Length: 11, Pad: 'D'},
		{Table: "9182736450192837", Start: 5, Length: 1, Pad: '7'},
		{Table: "0123456789012345", Start: 15, Length: 1, Pad: '0'},
	} {
		for _, key := range []string{pair, pair[:16], pair + "00112233445566ff"} {
			for _, offset := range []string{"0000", "1290", "987654", "123456789012"} {
				want := referenceIBM(t, p, key, longPAN, offset)
				k := unhex(t, key)
				pin, err := p.PIN(nil, k, longPAN, offset)
				if err != nil || string(pin) != want {
					t.Errorf("%d: PIN differs, %v", i, err)
				}
				got, err := p.Offset([]byte("x"), k, longPAN, pin)
				if err != nil || string(got) != "x"+offset {
					t.Errorf("%d: offset %q %v, want %s", i, got, err, offset)
				}
				if ok, err := p.Verify(k, longPAN, offset, pin); !ok || err != nil {
					t.Errorf("%d: not verified, %v", i, err)
				}
				pin[0] = '0' + (pin[0]-'0'+1)%10
				if ok, _ := p.Verify(k, longPAN, offset, pin); ok {
					t.Errorf("%d: wrong PIN passes", i)
				}
				if ok, _ := p.Verify(k, longPAN, offset, append(pin[:3:3], '1', '1')); ok {
					t.Errorf("%d: PIN of another length passes", i)
				}
			}
		}
	}
}

func TestIBM3624Errors(t *testing.T) {
	good := pinblock.IBM3624{Table: "1234567890123456", Length: 16, Pad: 'F'}
	f := func(key, pan, offset, pin string, change func(*pinblock.IBM3624), want error) {
		t.Helper()
		p := good
		change(&p)
		if ok, err := p.Verify(unhex(t, key), pan, offset, []byte(pin)); ok || !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	none := func(*pinblock.IBM3624) {}
	table := func(s string) func(*pinblock.IBM3624) { return func(p *pinblock.IBM3624) { p.Table = s } }
	f(pair[:8], longPAN, "0000", "1234", none, block.ErrKeyLength)
	f(pair, longPAN, "000", "1234", none, pinblock.ErrOffset)
	f(pair, longPAN, "00x0", "1234", none, pinblock.ErrOffset)
	f(pair, longPAN, "0000", "12x4", none, pinblock.ErrDigit)
	f(pair, longPAN, "0000", "", none, pinblock.ErrLength)
	f(pair, longPAN[:15], "0000", "1234", none, pinblock.ErrPAN)
	f(pair, longPAN+"1234", "0000", "1234", none, pinblock.ErrPAN)
	f(pair, longPAN[:15]+"x", "0000", "1234", none, pinblock.ErrPAN)
	f(pair, longPAN, "0000", "1234", func(p *pinblock.IBM3624) { p.Start = 1 }, pinblock.ErrPAN)
	f(pair, longPAN, "0000", "1234", func(p *pinblock.IBM3624) { p.Start = -1 }, pinblock.ErrPAN)
	f(pair, longPAN, "0000", "1234", func(p *pinblock.IBM3624) { p.Length = 0 }, pinblock.ErrPAN)
	f(pair, longPAN, "0000", "1234", func(p *pinblock.IBM3624) { p.Length = 17 }, pinblock.ErrPAN)
	f(pair, longPAN, "0000", "1234", func(p *pinblock.IBM3624) { p.Pad = 'f' }, pinblock.ErrTable)
	f(pair, longPAN, "0000", "1234", table("123456789012345"), pinblock.ErrTable)
	f(pair, longPAN, "0000", "1234", table("0000000000000000"), pinblock.ErrTable)
	f(pair, longPAN, "0000", "1234", table("0123456012345612"), pinblock.ErrTable)
	f(pair, longPAN, "0000", "1234", table("0000012345678912"), pinblock.ErrTable)
	if _, err := good.Natural(nil, unhex(t, pair), longPAN, 13); !errors.Is(err, pinblock.ErrLength) {
		t.Errorf("13 digits: %v", err)
	}
	if _, err := good.Offset(nil, unhex(t, pair), longPAN, []byte("1")); !errors.Is(err,
		pinblock.ErrLength) {
		t.Errorf("one digit: %v", err)
	}
}

// TestCanary runs the error paths with recognizable keys, PINs and card numbers and looks for
// them in the texts.
func TestCanary(t *testing.T) {
	const pin, pan = "739164", "6271828182845904"
	key := unhex(t, "c0ffeec0ffee00c0deadbeefdeadbeef")
	var texts []string
	add := func(err error) {
		if err == nil {
			t.Error("no error")
			return
		}
		texts = append(texts, err.Error())
	}
	tail := func(s string) string { return s + "x" }
	tr := pinblock.Translation{In: side(t, 0, false), Out: side(t, 1, false)}
	_, err := pinblock.Translate(nil, key[:8], &tr)
	add(err)
	tr.Out = side(t, 3, false)
	tr.In.PAN = pan
	_, err = pinblock.Translate(nil, key[:8], &tr)
	add(err)
	tr.Out.PAN = pan
	_, err = pinblock.Translate(nil, key[:8], &tr)
	add(err)
	for f := pinblock.Format0; f <= 7; f++ {
		_, err = pinblock.Encode(f, []byte(tail(pin)), pan, nil)
		add(err)
		_, err = pinblock.Encode(pinblock.Format0, []byte(pin), tail(pan), nil)
		add(err)
		_, err = pinblock.Decode(nil, f, key[:8], pan)
		add(err)
	}
	aes := cipherOf(t, block.AES, aesKey)
	_, err = pinblock.DecodeFormat4(nil, aes, key, pan)
	add(err)
	_, err = pinblock.EncodeFormat4(aes, []byte(pin), tail(pan), nil)
	add(err)
	_, err = pinblock.CVV(key[:15], pan, "2712", "220")
	add(err)
	_, err = pinblock.CVV(key, tail(pan), "2712", "220")
	add(err)
	_, err = pinblock.PVV(key[:15], 1, []byte(pin), pan)
	add(err)
	_, err = pinblock.PVV(key, 1, []byte(tail(pin)), pan)
	add(err)
	p := pinblock.IBM3624{Table: "1234567890123456", Length: 16, Pad: 'F'}
	_, err = p.Offset(nil, key[:15], pan, []byte(pin))
	add(err)
	_, err = p.Offset(nil, key, tail(pan), []byte(tail(pin)))
	add(err)
	all := strings.ToLower(strings.Join(texts, "\n"))
	for _, secret := range []string{pin, pin[:4], pan, pan[:6], pan[10:], "c0ffee", "deadbeef",
		string(key[:4]), "ÿ"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q stands in an error text:\n%s", secret, all)
		}
	}
}

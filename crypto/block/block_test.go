package block_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPublished checks one published value of each cipher: FIPS 81 and NIST SP 800-17 for
// DES, NIST SP 800-67 B.1 for TDES, FIPS 197 appendix C for AES, GM/T 0002 for SM4.
func TestPublished(t *testing.T) {
	for _, c := range []struct {
		alg               block.Algorithm
		key, plain, crypt string
	}{
		{block.DES, "0123456789abcdef", "4e6f772069732074", "3fa40e8a984d4815"},
		{block.TDES, "0123456789abcdef23456789abcdef01456789abcdef0123",
			"5468652071756663", "a826fd8ce53b855f"},
		{block.AES, "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
			"69c4e0d86a7b0430d8cdb78070b4c55a"},
		{block.SM4, "0123456789abcdeffedcba9876543210", "0123456789abcdeffedcba9876543210",
			"681edf34d206965e86b3e94f536e4246"},
	} {
		b, err := block.New(c.alg, unhex(t, c.key))
		if err != nil {
			t.Fatal(c.alg, err)
		}
		plain, got := unhex(t, c.plain), make([]byte, b.BlockSize())
		if err := block.EncryptECB(b, got, plain); err != nil || hex.EncodeToString(got) != c.crypt {
			t.Errorf("%v: %x %v, want %s", c.alg, got, err, c.crypt)
		}
		if err := block.DecryptECB(b, got, got); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v: back to %x %v", c.alg, got, err)
		}
		if c.alg.Size() != b.BlockSize() {
			t.Errorf("%v has blocks of %d", c.alg, c.alg.Size())
		}
	}
}

// TestTwoKeys: two-key 3DES is K1, K2, K1, and with equal parts plain DES.
func TestTwoKeys(t *testing.T) {
	k := unhex(t, "0123456789abcdeffedcba9876543210")
	two, _ := block.New(block.TDES, k)
	three, _ := block.New(block.TDES, append(slices.Clone(k), k[:8]...))
	one, _ := block.New(block.DES, k[:8])
	same, _ := block.New(block.TDES, append(slices.Clone(k[:8]), k[:8]...))
	in := []byte("8 bytes!")
	enc := func(c cipher.Block) string {
		out := make([]byte, 8)
		c.Encrypt(out, in)
		return string(out)
	}
	if enc(two) != enc(three) || enc(one) != enc(same) || enc(one) == enc(two) {
		t.Error("two-key 3DES is not K1, K2, K1")
	}
}

func TestLengths(t *testing.T) {
	for a, good := range map[block.Algorithm][]int{
		block.None: {}, block.DES: {8}, block.TDES: {16, 24}, block.AES: {16, 24, 32}, block.SM4: {16},
	} {
		for n := range 40 {
			_, err := block.New(a, make([]byte, n))
			if ok := slices.Contains(good, n); ok != (err == nil) || (!ok && !errors.Is(err, block.ErrKeyLength)) {
				t.Errorf("%v with %d bytes: %v", a, n, err)
			}
			if !slices.Contains(good, n) && !errors.Is(block.Check(a, make([]byte, n)), block.ErrKeyLength) {
				t.Errorf("%v: %d bytes pass the check", a, n)
			}
		}
	}
	c, _ := block.New(block.DES, make([]byte, 8))
	for _, err := range []error{
		block.EncryptECB(c, make([]byte, 8), make([]byte, 9)),
		block.DecryptECB(c, make([]byte, 16), make([]byte, 8)),
		block.EncryptCBC(c, make([]byte, 8), make([]byte, 7), make([]byte, 8)),
		block.DecryptCBC(c, make([]byte, 7), make([]byte, 8), make([]byte, 7)),
	} {
		if !errors.Is(err, block.ErrDataLength) {
			t.Errorf("got %v", err)
		}
	}
}

func TestCBC(t *testing.T) {
	c, _ := block.New(block.AES, unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	iv := unhex(t, "000102030405060708090a0b0c0d0e0f")
	plain := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
	want := "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2" // SP 800-38A F.2.1
	got := make([]byte, len(plain))
	if err := block.EncryptCBC(c, got, iv, plain); err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%x %v", got, err)
	}
	if err := block.DecryptCBC(c, got, iv, got); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%x %v", got, err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		alg  block.Algorithm
		key  string
		want error
	}{
		{block.DES, "0123456789abcdef", nil},
		{block.DES, "0023456789abcdef", block.ErrParity},
		{block.DES, "0101010101010101", block.ErrWeak},
		{block.DES, "1fe01fe00ef10ef1", block.ErrWeak},
		{block.TDES, "0123456789abcdeffedcba9876543210", nil},
		{block.TDES, "0123456789abcdef0123456789abcdef", block.ErrHalves},
		{block.TDES, "0123456789abcdeffedcba98765432100123456789abcdef", block.ErrHalves},
		{block.TDES, "0123456789abcdeffefefefefefefefe", block.ErrWeak},
		{block.AES, "000102030405060708090a0b0c0d0e0f", nil},
		{block.AES, "00000000000000000000000000000000", block.ErrWeak},
		{block.SM4, "ffffffffffffffffffffffffffffffff", block.ErrWeak},
	} {
		err := block.Check(c.alg, unhex(t, c.key))
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%v %s: %v, want %v", c.alg, c.key, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), c.key[:6]) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestParity(t *testing.T) {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	block.SetOddParity(all[:])
	for i, b := range all {
		if b&^1 != byte(i)&^1 {
			t.Fatalf("parity changed %02x to %02x", i, b)
		}
	}
	if !block.OddParity(all[:]) || block.OddParity([]byte{3}) {
		t.Error("parity is told wrong")
	}
}

func TestNames(t *testing.T) {
	for a := block.DES; a <= block.SM4; a++ {
		if got, err := block.ParseAlgorithm(a.String()); got != a || err != nil {
			t.Errorf("%v: %v %v", a, got, err)
		}
	}
	for _, s := range []string{"", "none", "DES", "unknown"} {
		if _, err := block.ParseAlgorithm(s); err == nil {
			t.Errorf("%q is a cipher", s)
		}
	}
	if block.Algorithm(99).String() != "unknown" || block.Algorithm(99).Size() != 0 {
		t.Error("an unknown cipher has a name")
	}
}

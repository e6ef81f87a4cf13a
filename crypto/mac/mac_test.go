package mac_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	des1  = "0123456789abcdef"
	des2  = "0123456789abcdeffedcba9876543210"
	tdes2 = "0123456789abcdef23456789abcdef01"
	tdes3 = "0123456789abcdef23456789abcdef01456789abcdef0123"
	aes1  = "2b7e151628aed2a6abf7158809cf4f3c"
	aes2  = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"
	aes3  = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
	sm4a  = "0123456789abcdeffedcba9876543210"
	sm4b  = "4149d2aded9456681ec8b511d9e7ee04"

	nist = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
	all  = "Now is the time for all "
	it   = "Now is the time for it"
	gb25 = "This is the test message "
	gb32 = "This is the test message for mac"
)

// TestPublished checks values printed in standards: ISO/IEC 9797-1 annex B, FIPS 113, NIST
// SP 800-38B appendix D, GB/T 15852.1 annex B.
func TestPublished(t *testing.T) {
	p := func(h string, n int) string { return string(unhex(t, h)[:n]) }
	for _, c := range []struct {
		alg         mac.Algorithm
		cipher      block.Algorithm
		pad         mac.Padding
		key, msg, w string
	}{
		{mac.CBC, block.DES, mac.Pad1, des1, all, "70a30640cc76dd8b"},
		{mac.CBC, block.DES, mac.Pad3, des1, all, "2c58fb8ff12aaeac"},
		{mac.CBC, block.DES, mac.Pad1, des1, it, "e45b3ad2b7cc0856"},
		{mac.CBC, block.DES, mac.Pad3, des1, it, "b1ecd6fc8b37c392"},
		{mac.Retail, block.DES, mac.Pad1, des2, all, "a1c72e74ea3fa9b6"},
		{mac.Retail, block.DES, mac.Pad2, des2, all, "e9086230ca3be796"},
		{mac.Retail, block.DES, mac.Pad3, des2, all, "ab059463d7a7d170"},
		{mac.Retail, block.DES, mac.Pad1, des2, it, "2e2b1428cc78254f"},
		{mac.Retail, block.DES, mac.Pad3, des2, it, "c59f7eed328ddd69"},
		{mac.CBC, block.DES, mac.Pad1, des1, "7654321 Now is the time for ", "f1d30f6849312ca4"},
		{mac.CMAC, block.AES, 0, aes1, "", "bb1d6929e95937287fa37d129b756746"},
		{mac.CMAC, block.AES, 0, aes1, p(nist, 16), "070a16b46b4d4144f79bdd9dd04a287c"},
		{mac.CMAC, block.AES, 0, aes1, p(nist, 20), "7d85449ea6ea19c823a7bf78837dfade"},
		{mac.CMAC, block.AES, 0, aes1, p(nist, 40), "dfa66747de9ae63030ca32611497c827"},
		{mac.CMAC, block.AES, 0, aes1, p(nist, 64), "51f0bebf7e3b9d92fc49741779363cfe"},
		{mac.CMAC, block.AES, 0, aes2, p(nist, 20), "3d75c194ed96070444a9fa7ec740ecf8"},
		{mac.CMAC, block.AES, 0, aes3, p(nist, 16), "28a7023f452e8f82bd4bf28d8c37c35c"},
		{mac.CMAC, block.TDES, 0, tdes3, p(nist, 16), "30239cf1f52e6609"},
		{mac.CMAC, block.TDES, 0, tdes3, p(nist, 20), "6c9f3ee4923f6be2"},
		{mac.CMAC, block.TDES, 0, tdes2, p(nist, 16), "cc18a0b79af2413b"},
		{mac.CMAC, block.TDES, 0, tdes2, p(nist, 20), "c06d377ecd101969"},
		{mac.CMAC, block.TDES, 0, tdes2, p(nist, 32), "9cd33580f9b64dfb"},
		{mac.CBC, block.SM4, mac.Pad2, sm4a, gb25, "421ad1690aa152e2846fa2a5d83445a9"},
		{mac.CBC, block.SM4, mac.Pad3, sm4a, gb25, "6a4a86f5b5e468dad27df25fb9d9be16"},
		{mac.Retail, block.SM4, mac.Pad2, sm4a + sm4b, gb32, "51e9928c2238330c3231b8752a9afd7f"},
		{mac.Retail, block.SM4, mac.Pad2, sm4a + sm4b, "", "b4736be9a174faa34db1e9f1dacd5d62"},
		{mac.Retail, block.SM4, mac.Pad3, sm4a + sm4b, gb32, "7cd48c4242e45575e51aaf0dcc7a208c"},
		{mac.EMAC, block.SM4, mac.Pad2, sm4a + sm4b, gb32, "e423e35599afd948aec50bdee838e9ea"},
		{mac.CMAC, block.SM4, 0, sm4a, "", "29e154322e5c7bd8ee6a25ba549b24bc"},
		{mac.CMAC, block.SM4, 0, sm4a, gb25, "4738a6c760b280fc0c8a8af3886e9f5d"},
	} {
		s := mac.Scheme{Algorithm: c.alg, Cipher: c.cipher, Padding: c.pad}
		m, err := mac.New(s, unhex(t, c.key))
		if err != nil {
			t.Fatal(s, err)
		}
		want := unhex(t, c.w)
		if got := m.Sum(nil, []byte(c.msg)); !bytes.Equal(got, want) {
			t.Errorf("%v of %q: %x, want %x", s, c.msg, got, want)
		}
		if !m.Verify([]byte(c.msg), want) || m.Verify([]byte(c.msg+"x"), want) {
			t.Errorf("%v of %q is verified wrong", s, c.msg)
		}
	}
}

// TestNamed: X9.9 and X9.19 are the left 4 bytes of their algorithms.
func TestNamed(t *testing.T) {
	for _, c := range []struct {
		scheme    mac.Scheme
		key, want string
	}{{mac.X99, des1, "70a30640"}, {mac.X919, des2, "a1c72e74"}} {
		m, err := mac.New(c.scheme, unhex(t, c.key))
		if err != nil {
			t.Fatal(err)
		}
		got := m.Sum([]byte{9}, []byte(all))
		if hex.EncodeToString(got) != "09"+c.want || m.Size() != 4 || m.Scheme() != c.scheme {
			t.Errorf("%v: %x", c.scheme, got)
		}
	}
}

var keyBytes = map[block.Algorithm][]int{
	block.DES: {8}, block.TDES: {16, 24}, block.AES: {16, 24, 32}, block.SM4: {16},
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestAgainstDefinition computes algorithms 1 to 3 another way, by padding a copy and taking
// the last block of the library's CBC, for every cipher, key length, padding and length of
// message up to five blocks.
func TestAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for c, lengths := range keyBytes {
		for _, n := range lengths {
			k1, k2 := randomBytes(r, n), randomBytes(r, n)
			c1, err1 := block.New(c, k1)
			c2, err2 := block.New(c, k2)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			for pad := mac.Pad1; pad <= mac.Pad3; pad++ {
				for size := range 5*c.Size() + 1 {
					data := randomBytes(r, size)
					checkDefinition(t, definition{c, pad, k1, k2, c1, c2}, data)
				}
			}
		}
	}
}

type definition struct {
	cipher block.Algorithm
	pad    mac.Padding
	k1, k2 []byte
	c1, c2 cipher.Block
}

func checkDefinition(t *testing.T, d definition, data []byte) {
	t.Helper()
	padded := mac.Pad(d.pad, d.cipher.Size(), data)
	cipher.NewCBCEncrypter(d.c1, make([]byte, d.cipher.Size())).CryptBlocks(padded, padded)
	last := padded[len(padded)-d.cipher.Size():]
	for _, alg := range []mac.Algorithm{mac.CBC, mac.EMAC, mac.Retail} {
		want := bytes.Clone(last)
		s := mac.Scheme{Algorithm: alg, Cipher: d.cipher, Padding: d.pad}
		var m *mac.MAC
		var err error
		switch alg {
		case mac.EMAC:
			d.c2.Encrypt(want, want)
			m, err = mac.NewTwo(s, d.k1, d.k2)
		case mac.Retail:
			d.c2.Decrypt(want, want)
			d.c1.Encrypt(want, want)
			m, err = mac.New(s, append(bytes.Clone(d.k1), d.k2...))
		default:
			m, err = mac.New(s, d.k1)
		}
		if err != nil {
			t.Fatal(s, err)
		}
		if got := m.Sum(nil, data); !bytes.Equal(got, want) {
			t.Fatalf("%v of %d bytes: %x, want %x", s, len(data), got, want)
		}
	}
}

func TestPad(t *testing.T) {
	for _, c := range []struct {
		pad        mac.Padding
		block      int
		data, want string
	}{
		{mac.Pad1, 8, "", "0000000000000000"},
		{mac.Pad1, 4, "1234", "12340000"},
		{mac.Pad1, 4, "12345678", "12345678"},
		{mac.Pad2, 4, "", "80000000"},
		{mac.Pad2, 4, "123456", "12345680"},
		{mac.Pad2, 4, "12345678", "1234567880000000"},
		{mac.Pad3, 4, "", "0000000000000000"},
		{mac.Pad3, 4, "12", "0000000812000000"},
		{mac.Pad3, 4, "12345678", "0000002012345678"},
		{mac.Pad3, 16, "ff", "00000000000000000000000000000008ff000000000000000000000000000000"},
	} {
		in := unhex(t, c.data)
		got := mac.Pad(c.pad, c.block, in)
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%v of %s in blocks of %d: %x, want %s", c.pad, c.data, c.block, got, c.want)
		}
		if len(in) > 0 && len(got) > 0 && &got[0] == &in[0] {
			t.Errorf("%v shares memory with its input", c.pad)
		}
	}
	if mac.Pad(0, 8, nil) != nil || mac.Pad(4, 8, nil) != nil || mac.Pad(mac.Pad1, 0, nil) != nil ||
		mac.Pad(mac.Pad1, 256, nil) != nil {
		t.Error("a padding or block that does not exist pads")
	}
}

// TestCUP follows the steps of the UnionPay terminal MAC with the ciphers alone and compares
// every value, for message lengths about the block's.
func TestCUP(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		scheme mac.Scheme
		key    string
	}{
		{mac.CUPDES, des1}, {mac.CUPTDES, des2}, {mac.CUPTDES, tdes3}, {mac.CUPSM4, sm4a},
	} {
		key := unhex(t, c.key)
		bare, err := block.New(c.scheme.Cipher, key)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mac.New(c.scheme, key)
		if err != nil {
			t.Fatal(err)
		}
		n := bare.BlockSize()
		for size := range 4*n + 1 {
			data := randomBytes(r, size)
			folded := make([]byte, n)
			for i, b := range data {
				folded[i%n] ^= b
			}
			text := []byte(strings.ToUpper(hex.EncodeToString(folded)))
			first, last := make([]byte, n), make([]byte, n)
			bare.Encrypt(first, text[:n])
			for i := range last {
				last[i] = first[i] ^ text[n+i]
			}
			bare.Encrypt(last, last)
			full := strings.ToUpper(hex.EncodeToString(last))
			if got := m.Sum(nil, data); string(got) != full[:8] || !m.Verify(data, []byte(full[:8])) {
				t.Fatalf("%v of %d bytes: %q, want %q", c.scheme, size, got, full[:8])
			}
			tr, err := mac.TraceCUP(c.scheme.Cipher, key, data)
			if err != nil || tr.Full != full || !bytes.Equal(tr.First, first) ||
				!bytes.Equal(tr.Last, last) || tr.Left+tr.Right != string(text) ||
				!bytes.Equal(tr.Folded, folded) {
				t.Fatalf("%v of %d bytes: trace %+v %v", c.scheme, size, tr, err)
			}
			if want := max((size+n-1)/n-1, 0); len(tr.Running) != want {
				t.Fatalf("%d running values of %d bytes, want %d", len(tr.Running), size, want)
			}
		}
	}
}

// TestCUPFull: Size 16 gives all characters, which begin with field 64.
func TestCUPFull(t *testing.T) {
	s := mac.CUPDES
	s.Size = 16
	m, err := mac.New(s, unhex(t, des1))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := mac.TraceCUP(block.DES, unhex(t, des1), []byte("0200 something"))
	if got := string(m.Sum(nil, []byte("0200 something"))); err != nil || got != tr.Full {
		t.Errorf("%q, want %q %v", got, tr.Full, err)
	}
}

func TestXORSteps(t *testing.T) {
	running, final := mac.XORSteps(block.DES, unhex(t, "0102030405060708"+"1010101010101010"+"ff"))
	if len(running) != 2 || hex.EncodeToString(running[0]) != "1112131415161718" ||
		hex.EncodeToString(running[1]) != "ee12131415161718" || !bytes.Equal(final, running[1]) {
		t.Errorf("%x %x", running, final)
	}
	if running, final = mac.XORSteps(block.DES, nil); running != nil || !bytes.Equal(final, make([]byte, 8)) {
		t.Errorf("of nothing: %x %x", running, final)
	}
	if running, final = mac.XORSteps(block.None, []byte("x")); running != nil || final != nil {
		t.Errorf("without a cipher: %x %x", running, final)
	}
}

// TestVerify: one changed bit anywhere, and any other length, is refused.
func TestVerify(t *testing.T) {
	m, err := mac.New(mac.X919, unhex(t, des2))
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(it)
	sum := m.Sum(nil, data)
	for i := range 8 * len(sum) {
		sum[i/8] ^= 1 << (i % 8)
		if m.Verify(data, sum) {
			t.Errorf("bit %d may be wrong", i)
		}
		sum[i/8] ^= 1 << (i % 8)
	}
	for n := range len(sum) {
		if m.Verify(data, sum[:n]) {
			t.Errorf("%d bytes are enough", n)
		}
	}
	if m.Verify(data, append(sum, 0)) || m.Verify(data, nil) || !m.Verify(data, sum[:4]) {
		t.Error("the length is judged wrong")
	}
}

// TestCiphers: a MAC over ciphers is the MAC over their keys, and ciphers that do not go with
// the scheme are refused.
func TestCiphers(t *testing.T) {
	k1, k2 := unhex(t, sm4a), unhex(t, sm4b)
	c1, err1 := block.New(block.SM4, k1)
	c2, err2 := block.New(block.SM4, k2)
	small, err3 := block.New(block.DES, k1[:8])
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scheme mac.Scheme
		second cipher.Block
		key    []byte
	}{
		{mac.Scheme{Algorithm: mac.CBC, Cipher: block.SM4, Padding: mac.Pad1}, nil, k1},
		{mac.Scheme{Algorithm: mac.CMAC, Cipher: block.SM4}, nil, k1},
		{mac.CUPSM4, nil, k1},
		{mac.Scheme{Algorithm: mac.EMAC, Cipher: block.SM4, Padding: mac.Pad2}, c2, append(k1[:16:16], k2...)},
		{mac.Scheme{Algorithm: mac.Retail, Cipher: block.SM4, Padding: mac.Pad3}, c2, append(k1[:16:16], k2...)},
	} {
		m, err1 := mac.NewCiphers(c.scheme, c1, c.second)
		same, err2 := mac.New(c.scheme, c.key)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(c.scheme, err)
		}
		if !m.Verify([]byte(all), same.Sum(nil, []byte(all))) || m.Scheme() != same.Scheme() {
			t.Errorf("%v over ciphers is another", c.scheme)
		}
		for _, bad := range [][2]cipher.Block{{nil, c.second}, {small, c.second}, {c1, small}} {
			if _, err := mac.NewCiphers(c.scheme, bad[0], bad[1]); err == nil {
				t.Errorf("%v takes ciphers that do not go with it", c.scheme)
			}
		}
	}
	if _, err := mac.NewCiphers(mac.Scheme{}, c1, nil); !errors.Is(err, mac.ErrScheme) {
		t.Errorf("no scheme: %v", err)
	}
}

func TestRefusedSchemes(t *testing.T) {
	for _, s := range []mac.Scheme{
		{},
		{Algorithm: 4, Cipher: block.DES, Padding: mac.Pad1},
		{Algorithm: mac.CBC, Cipher: block.None, Padding: mac.Pad1},
		{Algorithm: mac.CBC, Cipher: block.Algorithm(77), Padding: mac.Pad1},
		{Algorithm: mac.CBC, Cipher: block.DES},
		{Algorithm: mac.CBC, Cipher: block.DES, Padding: 4},
		{Algorithm: mac.CMAC, Cipher: block.DES, Padding: mac.Pad2},
		{Algorithm: mac.CMAC, Cipher: block.DES, Padding: 9},
		{Algorithm: mac.CUPECB, Cipher: block.DES, Padding: mac.Pad1},
		{Algorithm: mac.CUPECB, Cipher: block.AES},
		{Algorithm: mac.CBC, Cipher: block.DES, Padding: mac.Pad1, Size: 3},
		{Algorithm: mac.CBC, Cipher: block.DES, Padding: mac.Pad1, Size: 9},
		{Algorithm: mac.CBC, Cipher: block.DES, Padding: mac.Pad1, Size: -1},
		{Algorithm: mac.CUPECB, Cipher: block.DES, Size: 17},
	} {
		for n := range 33 {
			if _, err := mac.New(s, make([]byte, n)); !errors.Is(err, mac.ErrScheme) {
				t.Errorf("%v with a key of %d bytes: %v", s, n, err)
			}
		}
	}
	if _, err := mac.NewTwo(mac.X99, make([]byte, 8), make([]byte, 8)); !errors.Is(err, mac.ErrScheme) {
		t.Errorf("two keys for one: %v", err)
	}
}

// TestKeyLengths: every key of a wrong length is refused, every right one taken.
func TestKeyLengths(t *testing.T) {
	for c, lengths := range keyBytes {
		for alg, times := range map[mac.Algorithm]int{mac.CBC: 1, mac.EMAC: 2, mac.Retail: 2, mac.CMAC: 1} {
			s := mac.Scheme{Algorithm: alg, Cipher: c, Padding: mac.Pad2}
			if alg == mac.CMAC {
				s.Padding = 0
			}
			for n := range 70 {
				want := false
				for _, l := range lengths {
					want = want || n == l*times
				}
				_, err := mac.New(s, make([]byte, n))
				if (err == nil) != want || (!want && !errors.Is(err, mac.ErrKeyLength)) {
					t.Errorf("%v with %d bytes: %v", s, n, err)
				}
			}
		}
	}
	s := mac.X919
	if _, err := mac.NewTwo(s, make([]byte, 8), make([]byte, 7)); !errors.Is(err, mac.ErrKeyLength) {
		t.Errorf("a short second key: %v", err)
	}
}

// TestSilence runs every error and every verb with keys that are easy to find and looks for
// them.
func TestSilence(t *testing.T) {
	secret := []byte("\xca\xfeKEY5\xbe\xef")
	var out []string
	for n := range 40 {
		key := bytes.Repeat(secret, 5)[:n]
		for _, s := range []mac.Scheme{mac.X99, mac.X919, mac.CUPDES, mac.CUPTDES, mac.CUPSM4, {},
			{Algorithm: mac.CMAC, Cipher: block.AES}, {Algorithm: mac.EMAC, Cipher: block.SM4, Padding: 1}} {
			m, err := mac.New(s, key)
			out = append(out, fmt.Sprint(err))
			if err != nil {
				continue
			}
			out = append(out, fmt.Sprintf("%v %+v %#v %s %x %d", m, m, m, m, m, m))
		}
		_, err := mac.TraceCUP(block.AES, key, key)
		out = append(out, fmt.Sprint(err))
	}
	assertSilent(t, strings.Join(out, "\n"), secret)
}

func assertSilent(t *testing.T, text string, secret []byte) {
	t.Helper()
	for _, s := range []string{
		string(secret[:4]), hex.EncodeToString(secret[:3]), strings.ToUpper(hex.EncodeToString(secret[:3])),
		fmt.Sprint(secret[:3])[1:8], string(secret[2:6]),
	} {
		if strings.Contains(text, s) {
			t.Errorf("%q is printed", s)
		}
	}
}

func TestNames(t *testing.T) {
	for _, a := range []mac.Algorithm{mac.CBC, mac.EMAC, mac.Retail, mac.CMAC, mac.CUPECB} {
		if got, err := mac.ParseAlgorithm(a.String()); got != a || err != nil {
			t.Errorf("%v: %v %v", a, got, err)
		}
	}
	if _, err := mac.ParseAlgorithm("unknown"); !errors.Is(err, mac.ErrScheme) {
		t.Errorf("unknown: %v", err)
	}
	if s := mac.X919.String(); s != "retail/des/pad1/4" || mac.Padding(0).String() != "none" ||
		mac.Algorithm(0).String() != "unknown" {
		t.Error(s)
	}
}

// TestConcurrent uses one MAC from many goroutines at once.
func TestConcurrent(t *testing.T) {
	m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES}, unhex(t, aes1))
	if err != nil {
		t.Fatal(err)
	}
	want := m.Sum(nil, []byte(all))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if !bytes.Equal(m.Sum(nil, []byte(all)), want) || m.Verify([]byte(it), want) {
					t.Error("a MAC depends on its neighbour")
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestAllocations: with room in the destination nothing is allocated.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops pooled memory at random")
	}
	data := make([]byte, 150)
	dst := make([]byte, 0, 32)
	for _, c := range []struct {
		scheme mac.Scheme
		key    string
	}{{mac.X99, des1}, {mac.X919, des2}, {mac.CUPTDES, des2}, {mac.CUPSM4, sm4a},
		{mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES}, aes3}} {
		m, err := mac.New(c.scheme, unhex(t, c.key))
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			m.Sum(dst, data)
			m.Verify(data, dst[:m.Size()])
		}); n != 0 {
			t.Errorf("%v allocates %v times", c.scheme, n)
		}
	}
}

// FuzzSum: any data gives a MAC of the right length that verifies, under every scheme.
func FuzzSum(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(all))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range []mac.Scheme{mac.X99, mac.X919, mac.CUPDES, mac.CUPSM4,
			{Algorithm: mac.CMAC, Cipher: block.SM4}, {Algorithm: mac.EMAC, Cipher: block.DES, Padding: mac.Pad3}} {
			key := unhex(t, sm4a)
			if s.Cipher == block.DES && s.Algorithm != mac.Retail && s.Algorithm != mac.EMAC {
				key = key[:8]
			}
			m, err := mac.New(s, key)
			if err != nil {
				t.Fatal(err)
			}
			if sum := m.Sum(nil, data); len(sum) != m.Size() || !m.Verify(data, sum) {
				t.Fatalf("%v of %x: %x", s, data, sum)
			}
		}
	})
}

// BenchmarkSum measures each scheme over a message of 192 bytes and, beside it, the bare
// cipher calls it needs; ratio is the bare time over ours.
func BenchmarkSum(b *testing.B) {
	data, dst := make([]byte, 192), make([]byte, 0, 32)
	for _, c := range []struct {
		scheme mac.Scheme
		key    string
		calls  int
	}{
		{mac.X99, des1, 24}, {mac.X919, des2, 26}, {mac.CUPDES, des1, 2}, {mac.CUPTDES, des2, 2},
		{mac.Scheme{Algorithm: mac.CBC, Cipher: block.TDES, Padding: mac.Pad1}, des2, 24},
		{mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES}, aes1, 12},
		{mac.Scheme{Algorithm: mac.CMAC, Cipher: block.SM4}, sm4a, 12},
	} {
		b.Run(c.scheme.String(), func(b *testing.B) {
			key := unhex(b, c.key)
			m, err := mac.New(c.scheme, key)
			if err != nil {
				b.Fatal(err)
			}
			if c.scheme.Algorithm == mac.Retail {
				key = key[:len(key)/2]
			}
			bare, err := block.New(c.scheme.Cipher, key)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, bare.BlockSize())
			const rounds = 20_000
			start := time.Now()
			for range rounds * c.calls {
				bare.Encrypt(buf, buf)
			}
			alone := float64(time.Since(start).Nanoseconds()) / rounds
			b.ReportAllocs()
			for b.Loop() {
				m.Sum(dst, data)
			}
			ours := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(alone/ours, "ratio")
		})
	}
}

package keyblock_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
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
	isoKBPK   = "3235362d62697420414553207772617070696e67202849534f20323030333829"
	isoKey    = "777261707065642033444553206b6579"
	isoBlockE = "E0084B0TV16N0000B2AE5E26BBA7F246E84D5EA24167E208A6B66EF2E27E55A52DB52F0AEACB94C57547"
	x9KBPK    = "88e1ab2a2e3dd38c1fa039a536500cc8a87ab9d62dc92c01058fa79f44657de6"
)

// published are the sample blocks of TR-31:2018 A.7, ANSI X9.143:2021 8 and ISO 20038:2017
// B that are not misprinted.
var published = []struct {
	name, kbpk, text, key string
	header                keyblock.Header
}{
	{
		"TR-31 A.7.2.1", "89e88cf7931444f334bd7547fc3f380c",
		"A0072P0TE00E0000F5161ED902807AF26F1D62263644BD24192FDB3193C730301CEE8701",
		"f039121bec83d26b169bdcd5b22aaf8f",
		keyblock.Header{Version: 'A', Usage: "P0", Algorithm: 'T', Mode: 'E', KeyVersion: "00",
			Export: 'E', Context: '0'},
	}, {
		"TR-31 A.7.2.2", "dd7515f2bfc17f85ce48f3ca25cb21f6",
		"B0080P0TE00E000094B420079CC80BA3461F86FE26EFC4A3B8E4FA4C5F5341176EED7B727B8A248E",
		"3f419e1cb7079442aa37474c2efbf8b8",
		keyblock.Header{Version: 'B', Usage: "P0", Algorithm: 'T', Mode: 'E', KeyVersion: "00",
			Export: 'E', Context: '0'},
	}, {
		"TR-31 A.7.3.1", "b8ed59e0a279a295e9f5ed7944fd06b9",
		"C0096B0TX12S0100KS1800604B120F9292800000BFB9B689CB567E66FC3FEE5AD5F52161FC6545B9D60989015D02155C",
		"edb380dd340bc2620247d445f5b8d678",
		keyblock.Header{Version: 'C', Usage: "B0", Algorithm: 'T', Mode: 'X', KeyVersion: "12",
			Export: 'S', Context: '0', Count: 1,
			Optional: []keyblock.Optional{{ID: "KS", Data: "00604B120F9292800000"}}},
	}, {
		"TR-31 A.7.3.2", "1d22bf32387c600ad97f9b97a51311ac",
		"B0104B0TX12S0100KS1800604B120F9292800000" +
			"BB68BE8680A400D9191AD4ECE45B6E6C0D21C4738A52190E248719E24B433627",
		"e8bc63e5479455e26577f715d587fe68",
		keyblock.Header{Version: 'B', Usage: "B0", Algorithm: 'T', Mode: 'X', KeyVersion: "12",
			Export: 'S', Context: '0', Count: 1,
			Optional: []keyblock.Optional{{ID: "KS", Data: "00604B120F9292800000"}}},
	}, {
		"TR-31 A.7.4", x9KBPK,
		"D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D2" +
			"07E2E417C07156A27E8E31DA05F7425509593D03A457DC34",
		"3f419e1cb7079442aa37474c2efbf8b8",
		keyblock.Header{Version: 'D', Usage: "P0", Algorithm: 'A', Mode: 'E', KeyVersion: "00",
			Export: 'E', Context: '0'},
	}, {
		"X9.143 8.1", x9KBPK,
		"D0144P0AE00E00002C77FA3F4A553BED6E88AE5C172A4166E3D4ACA8E2AC71C158A476FAC12C13C3" +
			"829DE55D3AB54C48F4C4FEF7AC75E90FC47F1B77E7B19A73ED46E64410082557",
		"3f419e1cb7079442aa37474c2efbf8b8",
		keyblock.Header{Version: 'D', Usage: "P0", Algorithm: 'A', Mode: 'E', KeyVersion: "00",
			Export: 'E', Context: '0'},
	}, {
		"X9.143 8.4.1", "b8ed59e0a279a295e9f5ed7944fd06b9",
		"C0112B0TX12S0100KS1800604B120F929280000042B758A2400AB598AE37782823DAF0BA" +
			"4BDB0DAFF34915345CA169AE1F976A429EB139E5",
		"edb380dd340bc2620247d445f5b8d678",
		keyblock.Header{Version: 'C', Usage: "B0", Algorithm: 'T', Mode: 'X', KeyVersion: "12",
			Export: 'S', Context: '0', Count: 1,
			Optional: []keyblock.Optional{{ID: "KS", Data: "00604B120F9292800000"}}},
	}, {
		"X9.143 8.4.2", "1d22bf32387c600ad97f9b97a51311ac",
		"B0120B0TX12S0100KS1800604B120F929280000015CEB14B76D551F21EC43A75390FA118" +
			"A98C6CB049E3B9E864A5F4A8B9A5108A6DB5635C95B042D7",
		"e8bc63e5479455e26577f715d587fe68",
		keyblock.Header{Version: 'B', Usage: "B0", Algorithm: 'T', Mode: 'X', KeyVersion: "12",
			Export: 'S', Context: '0', Count: 1,
			Optional: []keyblock.Optional{{ID: "KS", Data: "00604B120F9292800000"}}},
	}, {
		"ISO 20038 B.2", isoKBPK, isoBlockE, isoKey,
		keyblock.Header{Version: 'E', Usage: "B0", Algorithm: 'T', Mode: 'V', KeyVersion: "16",
			Export: 'N', Context: '0'},
	}, {
		"ISO 20038 B.3", isoKBPK,
		"D0112M3TV16N000018462FA5903B8D2B82FEE26B29713C0BE7ED81601087F122" +
			"52093D06FC0A012C1CF769AD0E3E9E4877166AB013FC22B4",
		"767361707064642032454552206b6479",
		keyblock.Header{Version: 'D', Usage: "M3", Algorithm: 'T', Mode: 'V', KeyVersion: "16",
			Export: 'N', Context: '0'},
	},
}

func TestPublished(t *testing.T) {
	for _, c := range published {
		u, err := keyblock.Unwrap(unhex(t, c.kbpk), c.text)
		if err != nil || hex.EncodeToString(u.Key) != c.key {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !reflect.DeepEqual(u.Header, c.header) {
			t.Errorf("%s: %+v, want %+v", c.name, u.Header, c.header)
		}
		if h, err := keyblock.ParseHeader(c.text); err != nil || !reflect.DeepEqual(h, c.header) {
			t.Errorf("%s: header alone %+v %v", c.name, h, err)
		}
	}
}

// TestWrapPublished: the sample of version E has no padding, so it comes out to the letter.
func TestWrapPublished(t *testing.T) {
	h := keyblock.Header{Version: 'E', Usage: "B0", Algorithm: 'T', Mode: 'V', KeyVersion: "16",
		Export: 'N'}
	got, err := keyblock.Wrap(unhex(t, isoKBPK), h, unhex(t, isoKey), keyblock.WrapOptions{})
	if err != nil || got != isoBlockE {
		t.Errorf("%s %v, want %s", got, err, isoBlockE)
	}
}

// TestDerive checks the keys printed in ISO 20038 and, for the rest, the definition: CMAC of
// the counter, usage, algorithm and length.
func TestDerive(t *testing.T) {
	k, err := keyblock.Derive('E', unhex(t, isoKBPK))
	if err != nil ||
		hex.EncodeToString(k.Encryption) != "3a3d93e513cb591dcac550c1554194f08ed9676770d25b727ad628e21b85d5cc" ||
		hex.EncodeToString(k.MAC) != "97ac0955a4b883ce77cbea0620e8542c6df7e9afb4cf8f115e00d4d67fea1e06" {
		t.Errorf("ISO 20038: %v", err)
	}
	for _, c := range []struct {
		alg    block.Algorithm
		length int
		inputs []string
	}{
		{block.TDES, 16, []string{"0100010000000080", "0200010000000080"}},
		{block.TDES, 24, []string{"01000100000100c0", "02000100000100c0", "03000100000100c0"}},
		{block.AES, 16, []string{"0100010000020080"}},
		{block.AES, 24, []string{"01000100000300c0", "02000100000300c0"}},
		{block.AES, 32, []string{"0100010000040100", "0200010000040100"}},
	} {
		kbpk := bytes.Repeat([]byte("ab"), c.length/2)
		m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: c.alg}, kbpk)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, in := range c.inputs {
			want = m.Sum(want, unhex(t, in))
		}
		got, err := keyblock.DeriveCMAC(c.alg, kbpk, keyblock.UseMAC)
		if err != nil || !bytes.Equal(got, want[:c.length]) {
			t.Errorf("%v of %d bytes: wrong key, %v", c.alg, c.length, err)
		}
	}
}

func TestDeriveVariant(t *testing.T) {
	k, err := keyblock.Derive('C', unhex(t, "b8ed59e0a279a295e9f5ed7944fd06b9"))
	if err != nil || hex.EncodeToString(k.Encryption) != "fda81ca5e73ce7d0acb0a83c01b843fc" ||
		hex.EncodeToString(k.MAC) != "f5a014adef34efd8a4b8a03409b04bf4" {
		t.Errorf("TR-31 A.7.3.1: %v", err)
	}
	k.Clear()
	if !bytes.Equal(k.MAC, make([]byte, 16)) || !bytes.Equal(k.Encryption, make([]byte, 16)) {
		t.Error("cleared keys are not zero")
	}
}

// TestProtectionKeys: each version takes the key lengths of its cipher and no others.
func TestProtectionKeys(t *testing.T) {
	for v, lengths := range map[keyblock.Version]string{'A': "16 24", 'B': "16 24", 'C': "16 24",
		'D': "16 24 32", 'E': "16 24 32"} {
		for n := range 40 {
			_, err := keyblock.Derive(v, make([]byte, n))
			want := n > 9 && strings.Contains(lengths, fmt.Sprint(n))
			if (err == nil) != want || (!want && !errors.Is(err, keyblock.ErrKeyLength)) {
				t.Errorf("%c with %d bytes: %v", v, n, err)
			}
		}
	}
	if _, err := keyblock.Derive('F', make([]byte, 16)); !errors.Is(err, keyblock.ErrVersion) {
		t.Error(err)
	}
	if _, err := keyblock.DeriveCMAC(block.SM4, make([]byte, 16), 0); !errors.Is(err, keyblock.ErrKeyLength) {
		t.Error(err)
	}
}

var optionalSets = [][]keyblock.Optional{
	nil,
	{{ID: "KS", Data: "00604B120F9292800000"}},
	{{ID: "TS", Data: "2018-06-18T20:42:39.22"}, {ID: "01", Data: ""}},
	{{ID: "CT", Data: strings.Repeat("QUJD+/==", 40)}},
	{{ID: "L1", Data: strings.Repeat("x", 251)}, {ID: "L2", Data: strings.Repeat("y", 252)}},
}

// TestRoundTrip wraps and unwraps keys of every algorithm with every protection key, set of
// optional blocks and masking that goes together.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for _, v := range []keyblock.Version{'B', 'D', 'E'} {
		for _, n := range []int{16, 24, 32} {
			if v == 'B' && n == 32 {
				continue
			}
			kbpk := random(n)
			for _, alg := range "ATDHR" {
				for _, size := range map[rune][]int{'A': {16, 24, 32}, 'T': {8, 16, 24}, 'D': {8},
					'H': {1, 20, 33}, 'R': {1192}}[alg] {
					if alg == 'A' && (v == 'B' || size > n) || alg == 'T' && v == 'B' && size > n {
						continue
					}
					for i, set := range optionalSets {
						h := keyblock.Header{Version: v, Usage: "D0", Algorithm: byte(alg), Mode: 'B',
							KeyVersion: "c1", Export: 'E', Context: '2', Optional: set}
						checkRoundTrip(t, kbpk, h, random(size), keyblock.WrapOptions{MaskTo: 40 * (i % 2)})
					}
				}
			}
		}
	}
}

func checkRoundTrip(t *testing.T, kbpk []byte, h keyblock.Header, key []byte, o keyblock.WrapOptions) {
	t.Helper()
	text, err := keyblock.Wrap(kbpk, h, key, o)
	if err != nil {
		t.Fatalf("%+v: %v", h, err)
	}
	u, err := keyblock.Unwrap(kbpk, text, "K0", "D0")
	if err != nil || !bytes.Equal(u.Key, key) {
		t.Fatalf("%+v: back: %v", h, err)
	}
	h.Count = u.Header.Count
	if !reflect.DeepEqual(u.Header, h) || h.Count < len(h.Optional) || h.Count > len(h.Optional)+1 {
		t.Fatalf("header %+v, want %+v", u.Header, h)
	}
	unit := map[keyblock.Version]int{'B': 8, 'D': 16, 'E': 2}[h.Version]
	if len(text)%unit != 0 || fmt.Sprintf("%04d", len(text)) != text[1:5] {
		t.Errorf("%c block of %d characters says %s", h.Version, len(text), text[1:5])
	}
	other := bytes.Clone(kbpk)
	other[3] ^= 0x10
	if _, err := keyblock.Unwrap(other, text); !errors.Is(err, keyblock.ErrMAC) {
		t.Errorf("under another key: %v", err)
	}
}

// TestMasking: keys of any length give blocks of one length when masked.
func TestMasking(t *testing.T) {
	for v, want := range map[keyblock.Version]int{'B': 96, 'D': 144, 'E': 116} {
		for _, n := range []int{8, 16, 24} {
			mask := map[keyblock.Version]int{'B': 24, 'D': 32, 'E': 32}[v]
			h := keyblock.Header{Version: v, Usage: "P0", Algorithm: 'T', Mode: 'E', KeyVersion: "00",
				Export: 'N'}
			text, err := keyblock.Wrap(make([]byte, 24), h, make([]byte, n), keyblock.WrapOptions{MaskTo: mask})
			if err != nil || len(text) != want {
				t.Errorf("%c with %d bytes: %d characters, want %d %v", v, n, len(text), want, err)
			}
		}
	}
}

// TestChanged changes every character of a block of each version in turn to others: all must
// be refused, and what still has the form of a block by its MAC.
func TestChanged(t *testing.T) {
	for _, c := range published {
		kbpk := unhex(t, c.kbpk)
		for i := range len(c.text) {
			for _, ch := range []byte("0123456789ABCDEFKNPSTX~ \x00\xff") {
				if c.text[i] == ch {
					continue
				}
				text := c.text[:i] + string([]byte{ch}) + c.text[i+1:]
				u, err := keyblock.Unwrap(kbpk, text)
				_, formErr := keyblock.ParseHeader(text)
				// Another version may want another length of protection key.
				ok := errors.Is(err, keyblock.ErrMAC) ||
					i == 0 && errors.Is(err, keyblock.ErrKeyLength)
				if formErr == nil && !ok || formErr != nil && err == nil || u.Key != nil {
					t.Fatalf("%s: character %d changed to %q: %v", c.name, i, ch, err)
				}
			}
		}
	}
}

// seal makes a block of any version from its header and clear key data, written apart from
// the package so that data no Wrap makes can be sealed.
func seal(t testing.TB, kbpk []byte, head string, data []byte) string {
	t.Helper()
	keys, err := keyblock.Derive(keyblock.Version(head[0]), kbpk)
	if err != nil {
		t.Fatal(err)
	}
	cipher, scheme := block.TDES, mac.Scheme{Algorithm: mac.CMAC, Cipher: block.TDES}
	switch head[0] {
	case 'A', 'C':
		scheme = mac.Scheme{Algorithm: mac.CBC, Cipher: block.TDES, Padding: mac.Pad1, Size: 4}
	case 'D':
		cipher, scheme.Cipher = block.AES, block.AES
	}
	m, err := mac.New(scheme, keys.MAC)
	if err != nil {
		t.Fatal(err)
	}
	c, err := block.New(cipher, keys.Encryption)
	if err != nil {
		t.Fatal(err)
	}
	head = head[:1] + fmt.Sprintf("%04d", len(head)+2*(len(data)+m.Size())) + head[5:]
	out := make([]byte, len(data))
	iv := []byte(head[:c.BlockSize()])
	tag := m.Sum(nil, append([]byte(head), data...))
	if scheme.Algorithm == mac.CMAC {
		iv = tag
	}
	if err := block.EncryptCBC(c, out, iv, data); err != nil {
		t.Fatal(err)
	}
	if scheme.Algorithm == mac.CBC {
		tag = m.Sum(nil, append([]byte(head), out...))
	}
	return head + strings.ToUpper(hex.EncodeToString(out)+hex.EncodeToString(tag))
}

// TestLengthField: a block with a right MAC is still refused if its key cannot have the
// length it says.
func TestLengthField(t *testing.T) {
	kbpk := bytes.Repeat([]byte("ab"), 8)
	for _, v := range "ABCD" {
		for _, c := range []struct {
			bits int
			alg  byte
			ok   bool
		}{
			{128, 'T', true}, {64, 'T', true}, {192, 'T', true}, {128, 'A', true}, {192, 'A', true},
			{64, 'D', true}, {240, 'H', true}, {8, 'H', true},
			{0, 'T', false}, {0, 'H', false}, {1, 'H', false}, {127, 'T', false}, {136, 'T', false},
			{240, 'T', false}, {64, 'A', false}, {128, 'D', false}, {248, 'H', false}, {65535, 'H', false},
			{65528, 'H', false}, {256, 'A', false},
		} {
			data := make([]byte, 32)
			binary.BigEndian.PutUint16(data, uint16(c.bits))
			text := seal(t, kbpk, fmt.Sprintf("%c0000P0%cE00N0000", v, c.alg), data)
			u, err := keyblock.Unwrap(kbpk, text)
			if c.ok && (err != nil || 8*len(u.Key) != c.bits) ||
				!c.ok && (!errors.Is(err, keyblock.ErrLength) || u.Key != nil) {
				t.Errorf("version %c, %d bits of %c: %v", v, c.bits, c.alg, err)
			}
		}
	}
}

// TestUsage: a genuine block for another use is told from a forged one.
func TestUsage(t *testing.T) {
	c := published[1]
	kbpk := unhex(t, c.kbpk)
	if _, err := keyblock.Unwrap(kbpk, c.text, keyblock.UsageMAC3, keyblock.UsagePIN); err != nil {
		t.Error(err)
	}
	u, err := keyblock.Unwrap(kbpk, c.text, keyblock.UsageMAC3)
	if !errors.Is(err, keyblock.ErrUsage) || u.Key != nil {
		t.Error(err)
	}
	forged := c.text[:len(c.text)-1] + "F"
	if _, err := keyblock.Unwrap(kbpk, forged, keyblock.UsageMAC3); !errors.Is(err, keyblock.ErrMAC) {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	h := published[2].header
	if d, ok := h.Find("KS"); !ok || d != "00604B120F9292800000" {
		t.Error(d, ok)
	}
	if _, ok := h.Find("PB"); ok {
		t.Error("a block that is not there is found")
	}
}

// body is key data and MAC of the right lengths for B.
var body = strings.Repeat("0", 2*(24+8))

// withLength sets the length field of a block.
func withLength(text string) string { return text[:1] + fmt.Sprintf("%04d", len(text)) + text[5:] }

func TestMalformed(t *testing.T) {
	for _, text := range []string{
		"", "B", "B0016P0TE00N0000", "A0000P0TE00N000", "B0017P0TE00N00000",
		"B0081P0TE00N0000" + body, "B 080P0TE00N0000" + body, "B+080P0TE00N0000" + body,
		withLength("B0000p0TE00N0000" + body), withLength("B0000P_TE00N0000" + body),
		withLength("B0000P0*E00N0000" + body), withLength("B0000P0T-00N0000" + body),
		withLength("B0000P0TE0cN0000" + body), withLength("B0000P0TE0?N0000" + body),
		withLength("B0000P0TE00X0000" + body), withLength("B0000P0TE00N0X00" + body),
		withLength("B0000P0TE00N-100" + body), withLength("B0000P0TE00N0001" + body),
		withLength("B0000P0TE00N0030" + body), withLength("B0000P0TE00N00A0" + body),
		withLength("B0000P0TE00N0000" + body + "0"), withLength("B0000P0TE00N0000" + body + "00"),
		withLength("B0000P0TE00N0000" + body[:16]), withLength("B0000P0TE00N0000" + body[:18]),
		withLength("B0000P0TE00N0000" + body[:63] + "a"), withLength("B0000P0TE00N0000" + body[:63] + "G"),
		withLength("D0000P0TE00N0000" + body[:48]), withLength("E0000P0TE00N0000" + body[:36]),
		withLength("B0000P0TE00N0000" + strings.Repeat("0", 10000)),
	} {
		if _, err := keyblock.ParseHeader(text); !errors.Is(err, keyblock.ErrHeader) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	for _, text := range []string{"F", "X0016P0TE00N0000", "b0016P0TE00N0000", "\x00", "0"} {
		if _, err := keyblock.ParseHeader(text); !errors.Is(err, keyblock.ErrVersion) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestOptional reads optional blocks, count and characters, of version B before a body.
func TestOptional(t *testing.T) {
	long := strings.Repeat("P", 256)
	for _, c := range []struct {
		opt  string
		want string // ids and lengths of data, "" for refused
	}{
		{"01 KS1800604B120F9292800000", "KS20"},
		{"02 KS1200604B120F9292PB0600", "KS14"},
		{"04 KS1800604B120F9292800000T104T20600PB0600", "KS20 T10 T22"},
		{"01 KS08ABCD", "KS4"},
		{"01 KS08 ~.:", "KS4"},
		{"02 KS0002010A" + long + "PB0600", "KS256"},         // length of the length in bytes
		{"02 KS00011600604B120F9292PB0A000000", "KS14"},      // longer than needed, still one value
		{"02 KS0004010A" + long + "PB0600", "KS256"},         // X9.143 8.6 counts characters
		{"02 KS00040000010E" + long + "PB0A000000", "KS256"}, // and so would four bytes
		{"02 KS000300010C" + long + "PB0400", ""},            // two characters after the end
		{"02 KS000300010C" + long + "PB04", "KS256"},
		{"01 ", ""}, {"01 K", ""}, {"01 KS", ""}, {"01 KS1", ""}, {"01 KS1Y", ""}, {"01 KS02", ""},
		{"01 KS071", ""}, {"01 KS00", ""}, {"01 KS001", ""}, {"01 KS001S", ""}, {"01 KS0000", ""},
		{"01 KS0001", ""}, {"01 KS00010", ""}, {"01 KS00010H", ""}, {"01 KS000101", ""},
		{"01 KS0001FF", ""}, {"01 KS0005000000001800000000", ""}, {"01 KS00FF", ""}, {"01 KS0004FFFFFFFF", ""},
		{"01 KS00047FFFFFFF", ""}, {"01 **08ABCD", ""}, {"01 ks08ABCD", ""}, {"01 KS08AB\x03D", ""},
		{"01 KS08AB\x7fD", ""}, {"01 KS08AB\xffD", ""}, {"01 KS0aABCDEF", ""},
		{"02 KS08ABCDKS08ABCD", ""},              // twice the same
		{"02 PB08ABCDKS08ABCD", ""},              // padding in front
		{"01 KS07ABC", ""},                       // no multiple of 8
		{"99 KS08ABCD", ""}, {"00 KS08ABCD", ""}, // count too high; too low leaves no hex
	} {
		text := withLength("B0000P0TE00N" + c.opt[:2] + "00" + c.opt[3:] + body)
		h, err := keyblock.ParseHeader(text)
		var got []string
		for _, o := range h.Optional {
			got = append(got, fmt.Sprint(o.ID, len(o.Data)))
		}
		if c.want == "" && !errors.Is(err, keyblock.ErrHeader) ||
			c.want != "" && (err != nil || strings.Join(got, " ") != c.want) {
			t.Errorf("%.40q: %v %v, want %q", c.opt, got, err, c.want)
		}
	}
}

// TestAlignment: optional blocks fill whole cipher blocks, but in E.
func TestAlignment(t *testing.T) {
	data := strings.Repeat("0", 2*(16+16))
	for v, want := range map[string]bool{"D": false, "E": true} {
		_, err := keyblock.ParseHeader(withLength(v + "0000P0AE00N0100KS08ABCD" + data))
		if (err == nil) != want {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestWrapRefusals(t *testing.T) {
	type header = keyblock.Header
	good := keyblock.Header{Version: 'D', Usage: "P0", Algorithm: 'A', Mode: 'E', KeyVersion: "00",
		Export: 'N'}
	change := func(f func(*header)) header {
		h := good
		f(&h)
		return h
	}
	many := make([]keyblock.Optional, 100)
	for i := range many {
		many[i] = keyblock.Optional{ID: fmt.Sprintf("%02d", i), Data: "0123456789AB"}
	}
	opt := func(o ...keyblock.Optional) keyblock.Header {
		return change(func(h *header) { h.Optional = o })
	}
	for name, c := range map[string]struct {
		header keyblock.Header
		sizes  [3]int // protection key, key, mask
		want   error
	}{
		"version A": {change(func(h *header) { h.Version = 'A' }),
			[3]int{16, 16, 0}, keyblock.ErrImportOnly},
		"version C": {change(func(h *header) { h.Version = 'C' }),
			[3]int{16, 16, 0}, keyblock.ErrImportOnly},
		"version 0": {change(func(h *header) { h.Version = 0 }),
			[3]int{16, 16, 0}, keyblock.ErrVersion},
		"AES under B": {change(func(h *header) { h.Version = 'B' }),
			[3]int{16, 16, 0}, keyblock.ErrKeyLength},
		"long AES":       {good, [3]int{16, 24, 0}, keyblock.ErrKeyLength},
		"odd AES":        {good, [3]int{32, 20, 0}, keyblock.ErrKeyLength},
		"no key":         {good, [3]int{32, 0, 0}, keyblock.ErrKeyLength},
		"protection":     {good, [3]int{31, 16, 0}, keyblock.ErrKeyLength},
		"negative mask":  {good, [3]int{32, 16, -1}, keyblock.ErrKeyLength},
		"mask too long":  {good, [3]int{32, 16, 9000}, keyblock.ErrKeyLength},
		"block too long": {good, [3]int{32, 16, 6000}, keyblock.ErrHeader},
		"huge key": {change(func(h *header) { h.Algorithm = 'H' }),
			[3]int{32, 9000, 0}, keyblock.ErrKeyLength},
		"long TDES under B": {change(func(h *header) { h.Version, h.Algorithm = 'B', 'T' }),
			[3]int{16, 24, 0}, keyblock.ErrKeyLength},
		"usage": {change(func(h *header) { h.Usage = "P" }), [3]int{32, 16, 0}, keyblock.ErrHeader},
		"usage letters": {change(func(h *header) { h.Usage = "p0" }),
			[3]int{32, 16, 0}, keyblock.ErrHeader},
		"mode": {change(func(h *header) { h.Mode = 0 }), [3]int{32, 16, 0}, keyblock.ErrHeader},
		"key version": {change(func(h *header) { h.KeyVersion = "0" }),
			[3]int{32, 16, 0}, keyblock.ErrHeader},
		"export": {change(func(h *header) { h.Export = 0 }), [3]int{32, 16, 0}, keyblock.ErrHeader},
		"context": {change(func(h *header) { h.Context = '3' }),
			[3]int{32, 16, 0}, keyblock.ErrHeader},
		"padding block": {opt(keyblock.Optional{ID: "PB", Data: "0000"}),
			[3]int{32, 16, 0}, keyblock.ErrHeader},
		"name":         {opt(keyblock.Optional{ID: "K"}), [3]int{32, 16, 0}, keyblock.ErrHeader},
		"name letters": {opt(keyblock.Optional{ID: "k1"}), [3]int{32, 16, 0}, keyblock.ErrHeader},
		"data": {opt(keyblock.Optional{ID: "K1", Data: "a\nb"}),
			[3]int{32, 16, 0}, keyblock.ErrHeader},
		"long data": {opt(keyblock.Optional{ID: "K1", Data: strings.Repeat("0", 10000)}),
			[3]int{32, 16, 0}, keyblock.ErrHeader},
		"twice": {opt(keyblock.Optional{ID: "K1"}, keyblock.Optional{ID: "K1"}),
			[3]int{32, 16, 0}, keyblock.ErrHeader},
		"too many": {opt(many...), [3]int{32, 16, 0}, keyblock.ErrHeader},
	} {
		got, err := keyblock.Wrap(make([]byte, c.sizes[0]), c.header, make([]byte, c.sizes[1]),
			keyblock.WrapOptions{MaskTo: c.sizes[2]})
		if !errors.Is(err, c.want) || got != "" {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := keyblock.Wrap(make([]byte, 32), opt(many[:99]...), make([]byte, 16),
		keyblock.WrapOptions{}); err != nil {
		t.Errorf("99 optional blocks: %v", err)
	}
}

// TestPaddingSource: the padding is what Rand gives, and no block is made when it fails.
func TestPaddingSource(t *testing.T) {
	h := keyblock.Header{Version: 'D', Usage: "P0", Algorithm: 'A', Mode: 'E', KeyVersion: "00",
		Export: 'N'}
	wrap := func(r io.Reader) (string, error) {
		return keyblock.Wrap(make([]byte, 16), h, make([]byte, 16), keyblock.WrapOptions{Rand: r})
	}
	text, err := wrap(strings.NewReader("fourteen bytes and more"))
	var data [32]byte
	data[1] = 128
	copy(data[18:], "fourteen bytes")
	if want := seal(t, make([]byte, 16), "D0000P0AE00N0000", data[:]); err != nil || text != want {
		t.Errorf("%s %v, want %s", text, err, want)
	}
	if text, err = wrap(strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) || text != "" {
		t.Errorf("%q %v", text, err)
	}
	a, _ := wrap(nil)
	b, _ := wrap(nil)
	if a == b {
		t.Error("padding is the same twice")
	}
}

// TestSilence runs the errors of both directions with keys that are easy to find, prints all
// results with all verbs, and looks for the keys.
func TestSilence(t *testing.T) {
	secret := []byte("\xca\xfeKEY5\xbe\xef")
	var out []string
	add := func(v ...any) {
		for _, v := range v {
			js, _ := json.Marshal(v)
			out = append(out, fmt.Sprintf("%v %+v %#v %x %d %s %q %s", v, v, v, v, v, v, v, js))
		}
	}
	for n := range 70 {
		key := bytes.Repeat(secret, 9)[:n]
		upper := strings.ToUpper(hex.EncodeToString(key))
		for _, v := range "ABCDEX" {
			h := keyblock.Header{Version: keyblock.Version(v), Usage: "P0", Algorithm: 'H', Mode: 'E',
				KeyVersion: "00",
				Export:     'N'}
			text, err := keyblock.Wrap(bytes.Repeat(secret, 2), h, key, keyblock.WrapOptions{})
			add(err)
			u, err := keyblock.Unwrap(bytes.Repeat(secret, 2), text, "K0")
			add(u, err)
			u, err = keyblock.Unwrap(bytes.Repeat(secret, 2), text)
			add(u, u.Key, &u, []any{u.Key}, err)
			_, err = keyblock.Unwrap(key, text)
			add(err)
			_, err = keyblock.Unwrap(key, withLength(fmt.Sprintf("%c0000P0TE00N0100", v)+upper))
			add(err)
			_, err = keyblock.ParseHeader(withLength(fmt.Sprintf("%c0000", v) + upper))
			add(err)
			k, err := keyblock.Derive(keyblock.Version(v), key)
			add(k, err)
		}
		_, err := keyblock.ParseHeader(upper)
		add(err)
		terminalErrors(add, key)
	}
	text := strings.Join(out, "\n")
	for _, s := range []string{string(secret[:4]), "cafe4b", "CAFE4B", "202 254", "KEY5", "4b4559", "4B4559",
		"0xca, 0xfe"} {
		if strings.Contains(text, s) {
			t.Errorf("%q is printed", s)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, c := range published {
		f.Add(c.text)
	}
	f.Add(withLength("B0000P0TE00N0200KS0002010A" + strings.Repeat("P", 256) + "PB0600" + body))
	f.Add("D0016P0AE00N9900")
	kbpk := make([]byte, 16)
	f.Fuzz(func(t *testing.T, text string) {
		h, formErr := keyblock.ParseHeader(text)
		u, err := keyblock.Unwrap(kbpk, text)
		if formErr != nil && err == nil || err != nil && u.Key != nil {
			t.Fatalf("%q: %v, then %v", text, formErr, err)
		}
		if formErr != nil {
			return
		}
		for _, o := range h.Optional {
			if len(o.ID) != 2 || len(o.Data) > len(text) {
				t.Fatalf("%q: optional block %+v", text, o)
			}
		}
	})
}

func BenchmarkUnwrap(b *testing.B) {
	for _, c := range published {
		b.Run(c.name, func(b *testing.B) {
			kbpk := unhex(b, c.kbpk)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := keyblock.Unwrap(kbpk, c.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package sm_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// The example of GM/T 0003.5-2012 A.2.
const (
	standardKey   = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"
	standardNonce = "59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21"
	standardX     = "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
	standardY     = "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
	standardZA    = "B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3"
	standardE     = "F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640"
	standardR     = "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
	standardS     = "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
	message       = "message digest"
)

const order = "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func private(t testing.TB, d string) *sm.PrivateKey {
	t.Helper()
	k, err := sm.NewPrivateKey(unhex(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func upper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// TestSM3 is GM/T 0004-2012 A.1 and A.2, and the empty message.
func TestSM3(t *testing.T) {
	for _, c := range []struct{ message, want string }{
		{"abc", "66C7F0F462EEEDD9D1F2D46BDC10E4E24167C4875CF2F7A2297DA02B8F4BA8E0"},
		{strings.Repeat("abcd", 16),
			"DEBE9FF92275B8A138604889C18E5A4D6FDB70E5387E5765293DCBA39C0C5732"},
		{"", "1AB21D8355CFA17F8E61194831E81A8F22BEC8C728FEFB747ED035EB5082AA2B"},
	} {
		sum := sm.SM3([]byte(c.message))
		h := sm.NewSM3()
		_, _ = io.WriteString(h, c.message)
		if upper(sum[:]) != c.want || upper(h.Sum(nil)) != c.want {
			t.Errorf("SM3 of %q: %X, running %X, want %s", c.message, sum, h.Sum(nil), c.want)
		}
	}
}

// TestStandardSignature is GM/T 0003.5-2012 A.2: key, ZA, e and signature.
func TestStandardSignature(t *testing.T) {
	k := private(t, standardKey)
	p := k.Public()
	if point := p.Point(); upper(point[:]) != "04"+standardX+standardY {
		t.Errorf("public key %X", point)
	}
	if za := p.ZA(); upper(za[:]) != standardZA {
		t.Errorf("ZA %X", za)
	}
	if e := p.Digest([]byte(message)); upper(e[:]) != standardE {
		t.Errorf("e %X", e)
	}
	raw, err := k.SignWithNonceForVectors(unhex(t, standardNonce), []byte(message))
	if err != nil || upper(raw[:]) != standardR+standardS {
		t.Errorf("signature %X, %v", raw, err)
	}
	if !p.Verify([]byte(message), raw[:]) || !p.VerifyDigest(unhex(t, standardE), raw[:]) {
		t.Error("the standard's signature is refused")
	}
}

// TestForms: the three forms of a key are one key, and Compressed leads back.
func TestForms(t *testing.T) {
	want := private(t, standardKey).Public()
	compressed := want.Compressed()
	for _, form := range []string{hex.EncodeToString(compressed[:]), standardX + standardY,
		"04" + standardX + standardY, "03" + standardX} {
		p, err := sm.ParsePublicKey(unhex(t, form))
		if err != nil || !p.Equal(want) || p.Point() != want.Point() ||
			p.Compressed() != compressed || p.Fingerprint() != want.Fingerprint() {
			t.Errorf("%s: %v", form, err)
		}
	}
	other, err := sm.ParsePublicKey(unhex(t, "02"+standardX))
	if err != nil || other.Equal(want) {
		t.Errorf("the other root: equal, or %v", err)
	}
	if c := other.Compressed(); c[0] != 2 {
		t.Errorf("the other root compresses to %X", c)
	}
}

func TestPublicKeyRefuses(t *testing.T) {
	field := "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF"
	zero := strings.Repeat("00", 32)
	for name, form := range map[string]string{
		"nothing":                 "",
		"infinity":                "00",
		"compressed, wrong tag":   "04" + standardX,
		"compressed, no root":     "02" + strings.Repeat("00", 31) + "05",
		"compressed, x too large": "02" + field,
		"not on the curve":        "04" + standardX + standardX,
		"bare, not on the curve":  standardY + standardX,
		"x too large":             "04" + field + standardY,
		"zeros":                   "04" + zero + zero,
		"bare zeros":              zero + zero,
		"hybrid":                  "06" + standardX + standardY,
		"too long":                "04" + standardX + standardY + "00",
		"too short":               standardX,
	} {
		if p, err := sm.ParsePublicKey(unhex(t, form)); !errors.Is(err, sm.ErrPublicKey) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPrivateKeyRange: 1 … n-2 are keys, as GM/T 0003.1 says.
func TestPrivateKeyRange(t *testing.T) {
	n, _ := new(big.Int).SetString(order, 16)
	scalar := func(d *big.Int) []byte { return d.FillBytes(make([]byte, 32)) }
	minus := func(i int64) *big.Int { return new(big.Int).Sub(n, big.NewInt(i)) }
	for _, c := range []struct {
		name string
		d    []byte
		ok   bool
	}{
		{"one", scalar(big.NewInt(1)), true}, {"n-2", scalar(minus(2)), true},
		{"zero", scalar(new(big.Int)), false}, {"n-1", scalar(minus(1)), false},
		{"n", scalar(n), false}, {"all ones", bytes.Repeat([]byte{0xFF}, 32), false},
		{"short", make([]byte, 31), false}, {"long", make([]byte, 33), false}, {"none", nil, false},
	} {
		k, err := sm.NewPrivateKey(c.d)
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, sm.ErrPrivateKey) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok {
			roundTrip(t, k)
		}
	}
}

// roundTrip signs and verifies, and looks that a changed byte anywhere is seen.
func roundTrip(t *testing.T, k *sm.PrivateKey) {
	t.Helper()
	raw, err := k.Sign(rand.Reader, []byte(message))
	if err != nil || !k.Public().Verify([]byte(message), raw[:]) {
		t.Fatalf("own signature is refused: %v", err)
	}
	if k.Public().Verify([]byte(message+"s"), raw[:]) {
		t.Error("another message is accepted")
	}
	for i := range raw {
		wrong := raw
		wrong[i] ^= 1
		if k.Public().Verify([]byte(message), wrong[:]) {
			t.Errorf("byte %d of the signature does not count", i)
		}
	}
}

// TestVerifyRefuses: r and s outside 1 … n-1, r+s = n, other lengths.
func TestVerifyRefuses(t *testing.T) {
	p := private(t, standardKey).Public()
	n, _ := new(big.Int).SetString(order, 16)
	r, _ := new(big.Int).SetString(standardR, 16)
	rest := fmt.Sprintf("%064X", new(big.Int).Sub(n, r))
	zero := strings.Repeat("00", 32)
	over := fmt.Sprintf("%064X", new(big.Int).Add(n, big.NewInt(1)))
	for name, raw := range map[string]string{
		"r zero": zero + standardS, "s zero": standardR + zero, "both zero": zero + zero,
		"r = n": order + standardS, "s = n": standardR + order, "r > n": over + standardS,
		"t = 0": standardR + rest, "short": standardR + standardS[2:],
		"long": standardR + standardS + "00", "none": "", "swapped": standardS + standardR,
	} {
		if p.Verify([]byte(message), unhex(t, raw)) {
			t.Errorf("%s is accepted", name)
		}
	}
	good := unhex(t, standardR+standardS)
	if p.VerifyDigest(unhex(t, standardE)[1:], good) || p.VerifyDigest(nil, good) {
		t.Error("a digest of another length is accepted")
	}
	if new(sm.PublicKey).Verify([]byte(message), good) {
		t.Error("the zero key verifies")
	}
}

func TestUserID(t *testing.T) {
	k := private(t, standardKey)
	other, err := k.WithID([]byte("ALICE123@YAHOO.COM"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := other.Sign(rand.Reader, []byte(message))
	if err != nil || !other.Public().Verify([]byte(message), raw[:]) {
		t.Fatalf("refused under its own id: %v", err)
	}
	if k.Public().Verify([]byte(message), raw[:]) || other.Public().Equal(k.Public()) {
		t.Error("the user id does not count")
	}
	same, err := other.Public().WithID([]byte(sm.DefaultID))
	if err != nil || !same.Equal(k.Public()) {
		t.Errorf("back to the default id: %v", err)
	}
	none, err := k.Public().WithID(nil)
	if err != nil || none.Equal(k.Public()) {
		t.Errorf("no id is the default id, or %v", err)
	}
	if _, err := k.WithID(make([]byte, sm.IDMax)); err != nil {
		t.Errorf("longest id: %v", err)
	}
	if _, err := k.WithID(make([]byte, sm.IDMax+1)); !errors.Is(err, sm.ErrID) {
		t.Errorf("id above the limit: %v", err)
	}
}

// TestZAIsTheLibrarys compares ZA with the library's own for several ids.
func TestZAIsTheLibrarys(t *testing.T) {
	key, err := sm2.NewPrivateKey(unhex(t, standardKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 16, 31, 32, 55, 200, sm.IDMax} {
		id := bytes.Repeat([]byte{'x'}, n)
		want, err := sm2.CalculateZA(&key.PublicKey, id)
		if err != nil {
			t.Fatal(err)
		}
		p, err := private(t, standardKey).Public().WithID(id)
		if err != nil {
			t.Fatal(err)
		}
		if za := p.ZA(); !bytes.Equal(za[:], want) {
			t.Errorf("id of %d bytes: %X, the library says %X", n, za, want)
		}
	}
}

func TestDER(t *testing.T) {
	for _, raw := range []string{
		standardR + standardS,
		strings.Repeat("00", 31) + "01" + strings.Repeat("00", 31) + "80",
		strings.Repeat("7F", 32) + strings.Repeat("80", 32),
		"00" + strings.Repeat("FF", 31) + "0000" + strings.Repeat("01", 30),
	} {
		der, err := sm.AppendDER([]byte("x"), unhex(t, raw))
		if err != nil || der[0] != 'x' {
			t.Fatal(err)
		}
		back, err := sm.ParseDER(der[1:])
		if err != nil || upper(back[:]) != raw {
			t.Errorf("%s: %X, %v", raw, back, err)
		}
	}
	der, _ := sm.AppendDER(nil, unhex(t, standardR+standardS))
	p := private(t, standardKey).Public()
	if !p.VerifyDER([]byte(message), der) || p.VerifyDER([]byte(message), der[:len(der)-1]) {
		t.Error("VerifyDER accepts a cut signature, or refuses a good one")
	}
}

func TestDERRefuses(t *testing.T) {
	for name, der := range map[string]string{
		"nothing": "", "tag only": "30", "no sequence": "31060201010201" + "01",
		"length too long": "3007020101020101", "length too short": "3005020101020101",
		"trailing": "300602010102010100", "inside trailing": "300802010102010105" + "00",
		"zero r": "3006020100020101", "zero s": "3006020101020100",
		"negative": "3006020181020101", "padded": "300702020001020101",
		"empty integer": "30050200020101", "one integer": "3003020101",
		"long form":         "308106020101020101",
		"integer too big":   "3026022101" + strings.Repeat("00", 32) + "020101",
		"integer runs over": "3006020901020101",
	} {
		if _, err := sm.ParseDER(unhex(t, der)); !errors.Is(err, sm.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, raw := range [][]byte{nil, make([]byte, 63), make([]byte, 64),
		append(make([]byte, 32), bytes.Repeat([]byte{1}, 32)...)} {
		if _, err := sm.AppendDER(nil, raw); !errors.Is(err, sm.ErrSignature) {
			t.Errorf("AppendDER of %x: %v", raw, err)
		}
	}
}

func FuzzParseDER(f *testing.F) {
	for _, s := range []string{"", "3006020101020101", "30070202008002017F", "30"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		raw, err := sm.ParseDER(der)
		if err != nil {
			return
		}
		back, err := sm.AppendDER(nil, raw[:])
		if err != nil || !bytes.Equal(back, der) {
			t.Errorf("%x parses to %x, which is %x in DER: %v", der, raw, back, err)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(unhex(f, "04"+standardX+standardY))
	f.Add(unhex(f, standardX+standardY))
	f.Add(unhex(f, "02"+standardX))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sm.ParsePublicKey(b)
		if err != nil {
			return
		}
		c := p.Compressed()
		again, err := sm.ParsePublicKey(c[:])
		if err != nil || !again.Equal(p) {
			t.Errorf("%x is another key when compressed: %v", b, err)
		}
		p.Verify(b, append(b, b...))
	})
}

// TestGenerate: the bytes decide the key, bad draws are drawn again but not for ever.
func TestGenerate(t *testing.T) {
	good := bytes.Repeat([]byte{0x42}, 32)
	bad := bytes.Repeat([]byte{0xFF}, 32)
	k, err := sm.GenerateKey(bytes.NewReader(append(bad, good...)))
	if err != nil || !k.Public().Equal(private(t, hex.EncodeToString(good)).Public()) {
		t.Errorf("%v", err)
	}
	if _, err := sm.GenerateKey(bytes.NewReader(good[1:])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short source: %v", err)
	}
	if _, err := sm.GenerateKey(bytes.NewReader(bytes.Repeat(bad, 20))); !errors.Is(err,
		sm.ErrPrivateKey) {
		t.Errorf("source without a key: %v", err)
	}
}

func TestNonceRefused(t *testing.T) {
	k := private(t, standardKey)
	for _, nonce := range [][]byte{nil, make([]byte, 32), make([]byte, 31), unhex(t, order),
		bytes.Repeat([]byte{0xFF}, 32)} {
		if _, err := k.SignWithNonceForVectors(nonce, []byte(message)); !errors.Is(err, sm.ErrNonce) {
			t.Errorf("nonce %x: %v", nonce, err)
		}
	}
}

func TestSignFailures(t *testing.T) {
	k := private(t, standardKey)
	if _, err := k.Sign(bytes.NewReader(nil), []byte(message)); !errors.Is(err, io.EOF) {
		t.Errorf("no random bytes: %v", err)
	}
	if _, err := k.SignDigest(rand.Reader, make([]byte, 31)); err == nil {
		t.Error("a short digest is signed")
	}
}

// TestKeysCannotBePrinted: no verb, encoder or logger and no error shows a scalar, a nonce or
// a signature, as raw bytes, in hex of either case, in base 10 or byte by byte.
func TestKeysCannotBePrinted(t *testing.T) {
	d, nonce := bytes.Repeat([]byte{0xA7, 0x5C}, 16), bytes.Repeat([]byte{0xB3, 0x5D}, 16)
	copy(nonce, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF") // above n
	k := private(t, hex.EncodeToString(d))
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%T"} {
		fmt.Fprintf(&out, verb+"\n", k)
		fmt.Fprintf(&out, verb+"\n", struct{ Key *sm.PrivateKey }{k})
		fmt.Fprintf(&out, verb+"\n", []*sm.PrivateKey{k})
		fmt.Fprintf(&out, verb+"\n", struct{ key *sm.PrivateKey }{k})
	}
	j, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", k)
	signature := append(bytes.Clone(d), 0)
	for _, err := range []error{
		second(sm.NewPrivateKey(append(bytes.Clone(d), 1))),
		second(sm.NewPrivateKey(nonce)),
		second(sm.ParsePublicKey(append([]byte{2}, nonce...))),
		second(sm.ParsePublicKey(append(bytes.Clone(d), d...))),
		second(k.SignWithNonceForVectors(nonce, d)), second(k.SignWithNonceForVectors(d[1:], d)),
		second(k.SignDigest(rand.Reader, signature)), second(k.Sign(bytes.NewReader(d[1:]), d)),
		second(sm.ParseDER(signature)), second(sm.AppendDER(nil, signature)),
		second(sm.GenerateKey(bytes.NewReader(d[1:]))),
		second(k.WithID(bytes.Repeat(d, 300))),
	} {
		if err == nil {
			t.Error("a bad input is no error")
			continue
		}
		out.WriteString(err.Error())
	}
	for _, secret := range [][]byte{d[:6], nonce[8:14]} {
		for _, form := range []string{string(secret), hex.EncodeToString(secret), upper(secret),
			strings.Trim(fmt.Sprint(secret), "[]"), new(big.Int).SetBytes(d).String()} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%q is printed", form)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestWipe(t *testing.T) {
	k := private(t, standardKey)
	k.Wipe()
	if _, err := k.Sign(rand.Reader, []byte(message)); err == nil {
		t.Error("a wiped key signs")
	}
}

func TestInParallel(t *testing.T) {
	k := private(t, standardKey)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			text := fmt.Appendf(nil, "message %d", i)
			for range 20 {
				raw, err := k.Sign(rand.Reader, text)
				if err != nil || !k.Public().Verify(text, raw[:]) {
					t.Errorf("message %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkVerify gives the cost of a verification with a parsed key as a ratio to the
// library's, and that of parsing a compressed key.
func BenchmarkVerify(b *testing.B) {
	k := private(b, standardKey)
	text := make([]byte, 195)
	raw, err := k.Sign(rand.Reader, text)
	if err != nil {
		b.Fatal(err)
	}
	der, _ := sm.AppendDER(nil, raw[:])
	key, err := sm2.NewPrivateKey(unhex(b, standardKey))
	if err != nil {
		b.Fatal(err)
	}
	e := k.Public().Digest(text)
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !sm2.VerifyASN1(&key.PublicKey, e[:], der) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("parsed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !k.Public().Verify(text, raw[:]) {
				b.Fatal("refused")
			}
		}
	})
	compressed := k.Public().Compressed()
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := sm.ParsePublicKey(compressed[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Sign(rand.Reader, text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

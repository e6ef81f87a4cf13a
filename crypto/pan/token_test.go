package pan_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

func tokenizer(t testing.TB, key []byte) *pan.Tokenizer {
	t.Helper()
	tk, err := pan.NewTokenizer(key)
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// The HMAC that tokens rest on is that of RFC 4231: test case 5 is the published example
// of an output truncated to 128 bits. Its key is shorter than ours may be and its data no
// digits, so it is shown of the function, and the token against the function.
func TestTokenIsTruncatedHMACSHA256(t *testing.T) {
	mac := hmac.New(sha256.New, bytes.Repeat([]byte{0x0c}, 20))
	mac.Write([]byte("Test With Truncation"))
	if got := hex.EncodeToString(mac.Sum(nil)[:pan.TokenSize]); got !=
		"a3b6167473100ee06e0c796c2955552b" {
		t.Fatalf("RFC 4231 test case 5: %s", got)
	}
	key := bytes.Repeat([]byte{0xaa}, 131) // the key of test cases 6 and 7
	tk := tokenizer(t, key)
	mac = hmac.New(sha256.New, key)
	mac.Write([]byte(secret))
	want := hex.EncodeToString(mac.Sum(nil)[:pan.TokenSize])
	if got := tk.Token(number(t)).String(); got != want {
		t.Errorf("token %s, want %s", got, want)
	}
}

// Tokens stand in every state and record: the same key and number give the same token in
// every version of this program.
func TestTokenIsStable(t *testing.T) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	const want = "625820fecf4a7b8676b9ecb345348d91"
	if got := tokenizer(t, key).Token(number(t)).String(); got != want {
		t.Errorf("token %s, was %s", got, want)
	}
	kept := tokenizer(t, key)
	key[0]++
	if got := kept.Token(number(t)).String(); got != want {
		t.Error("the tokenizer's key changed with the caller's")
	}
	if tokenizer(t, key).Token(number(t)).String() == want {
		t.Error("another key gives the same token")
	}
}

func TestTokenKeys(t *testing.T) {
	for n, ok := range map[int]bool{0: false, 31: false, 32: true, 64: true, 200: true} {
		tk, err := pan.NewTokenizer(make([]byte, n))
		if ok != (err == nil) || !ok && (!errors.Is(err, pan.ErrTokenKey) || tk != nil) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestTokenText(t *testing.T) {
	tok := pan.Token{0xab, 1}
	if tok.String() != "ab010000000000000000000000000000" {
		t.Errorf("%s", tok)
	}
	back, err := pan.ParseToken(tok.String())
	if err != nil || back != tok {
		t.Errorf("%s, %v", back, err)
	}
	if b, err := json.Marshal(tok); err != nil || string(b) != `"`+tok.String()+`"` {
		t.Errorf("%s, %v", b, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("g", 32), strings.Repeat("0", 33)} {
		if got, err := pan.ParseToken(bad); err == nil || !got.IsZero() {
			t.Errorf("%q: %s, %v", bad, got, err)
		}
	}
	if !(pan.Token{}).IsZero() || tok.IsZero() {
		t.Error("zero tokens")
	}
}

// The first bits choose the bucket: they are uniform over any run of numbers.
func TestTokensSpread(t *testing.T) {
	tk := tokenizer(t, make([]byte, 32))
	const cards = 64 * 200
	var buckets [64]int
	var ones int
	for i := range cards {
		n, err := pan.Parse("31047700" + leftPad(i))
		if err != nil {
			t.Fatal(err)
		}
		tok := tk.Token(n)
		buckets[tok[0]>>2]++
		ones += bits.OnesCount8(tok[15])
	}
	for b, n := range buckets {
		if n < 120 || n > 280 {
			t.Errorf("bucket %d has %d of %d cards, 200 expected", b, n, cards)
		}
	}
	if ones < cards*4*98/100 || ones > cards*4*102/100 {
		t.Errorf("%d bits set in the last bytes of %d tokens", ones, cards)
	}
}

func leftPad(i int) string {
	s := strconv.Itoa(i)
	return strings.Repeat("0", 8-len(s)) + s
}

func TestTokenizerInParallel(t *testing.T) {
	tk := tokenizer(t, make([]byte, 32))
	var all sync.WaitGroup
	for part := range 8 {
		all.Go(func() {
			n, err := pan.Parse("3104770" + strconv.Itoa(part))
			if err != nil {
				t.Error(err)
				return
			}
			want := tokenizer(t, make([]byte, 32)).Token(n)
			for range 500 {
				if got := tk.Token(n); got != want {
					t.Errorf("%s, want %s", got, want)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestTokenAllocates(t *testing.T) {
	if raced {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	tk, n := tokenizer(t, make([]byte, 32)), number(t)
	if got := testing.AllocsPerRun(200, func() { tk.Token(n) }); got != 0 {
		t.Errorf("%.1f allocations, want none", got)
	}
}

func BenchmarkToken(b *testing.B) {
	tk, n := tokenizer(b, make([]byte, 32)), number(b)
	b.ReportAllocs()
	for b.Loop() {
		tk.Token(n)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pan.Parse(secret); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDerivedTokensAreKeptApart(t *testing.T) {
	key := bytes.Repeat([]byte{9}, 32)
	a, err := pan.NewTokenizer(key)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pan.NewTokenizer(bytes.Repeat([]byte{8}, 32))
	number, err := pan.Parse("3104800000000001")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[pan.Token]string{a.Token(number): "card"}
	for _, in := range [][2]string{{"account", "x"}, {"holder", "x"}, {"account", "y"}, {"accountx", ""},
		{"card", "3104800000000001"}} {
		tok := a.Derive(in[0], in[1])
		if other, ok := seen[tok]; ok {
			t.Errorf("%v and %s have one token", in, other)
		}
		seen[tok] = in[0]
		if tok != a.Derive(in[0], in[1]) || tok == b.Derive(in[0], in[1]) {
			t.Errorf("%v: not a function of key and text alone", in)
		}
	}
}

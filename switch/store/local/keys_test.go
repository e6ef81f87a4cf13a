package local

import (
	"bytes"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestTokenRange: every token of a bucket lies in its range, and no other.
func TestTokenRange(t *testing.T) {
	for b := range txn.Bucket(txn.BucketCount) {
		lower, upper := tokenRange(keyState, b)
		for first := range 256 {
			for _, rest := range []byte{0, 255} {
				token := pan.Token(bytes.Repeat([]byte{rest}, pan.TokenSize))
				token[0] = byte(first)
				key := tokenKey(nil, keyState, &token)
				inside := bytes.Compare(lower, key) <= 0 && bytes.Compare(key, upper) < 0
				if inside != (txn.BucketOf(token) == b) {
					t.Fatalf("token %v of %v: in the range of %v is %v", token,
						txn.BucketOf(token), b, inside)
				}
			}
		}
	}
}

func TestKeyAfter(t *testing.T) {
	f := func(prefix, want string) {
		t.Helper()
		if got := string(keyAfter([]byte(prefix))); got != want {
			t.Errorf("after %q comes %q, want %q", prefix, got, want)
		}
	}
	f("r", "s")
	f("rab", "rac")
	f("ra\xff", "rb")
	f("r\xff\xff", "s")
}

// TestRegistryPrefix: keys that end with the greatest bytes belong to their prefix, and
// nothing else in Pebble is taken for a key.
func TestRegistryPrefix(t *testing.T) {
	s := opened(t, testOptions(t))
	for _, key := range []string{"a\xff", "a\xff\xff", "a", "b", "\xff\xff"} {
		if err := s.Put(t.Context(), key, []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
	}
	f := func(prefix string, want int) {
		t.Helper()
		if keys, err := s.Keys(t.Context(), prefix); err != nil || len(keys) != want {
			t.Errorf("prefix %q: %q, %v", prefix, keys, err)
		}
	}
	f("", 5)
	f("a", 3)
	f("a\xff", 2)
	f("\xff", 1)
	f("c", 0)
}

// TestCutOverToNoDay: a date that is no day would be in every record from then on.
func TestCutOverToNoDay(t *testing.T) {
	s := opened(t, testOptions(t))
	for _, date := range []txn.BusinessDate{20261301, 20260229, 99999999} {
		if err := s.CutOver(t.Context(), 3, date, 1); err == nil {
			t.Errorf("cut over to %d", date)
		}
	}
	if is := must(s.Buckets(t.Context()))[3]; is.Date != testDate || is.Last.Seq != 0 {
		t.Errorf("bucket %+v", is)
	}
}

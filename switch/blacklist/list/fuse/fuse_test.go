package fuse_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tapswitch/tapswitch/switch/blacklist/list/fuse"
)

type buildFunc func([]uint64) (*fuse.Filter, error)

func both() map[int]buildFunc {
	return map[int]buildFunc{8: fuse.Build8, 16: fuse.Build16}
}

func randomKeys(n int, seed uint64) []uint64 {
	r := rand.New(rand.NewPCG(seed, 1))
	keys := make([]uint64, n)
	for i := range keys {
		keys[i] = r.Uint64()
	}
	return keys
}

func must(t testing.TB, f *fuse.Filter, err error) *fuse.Filter {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A filter never misses a key, at any size, and its encoded form does not either.
func TestNoKeyIsMissed(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 100, 255, 1000, 4096, 70_000}
	for n := range 200 {
		sizes = append(sizes, n)
	}
	for width, build := range both() {
		for _, n := range sizes {
			keys := randomKeys(n, uint64(n))
			f, err := build(keys)
			built := must(t, f, err)
			f, err = fuse.Decode(built.Append(nil))
			decoded := must(t, f, err)
			for _, k := range keys {
				if !built.Contains(k) || !decoded.Contains(k) {
					t.Fatalf("%d bits, %d keys: %x is missed", width, n, k)
				}
			}
			if built.Bits() != width || built.Size() != len(built.Append(nil)) {
				t.Fatalf("%d bits, %d keys: bits %d, size %d", width, n, built.Bits(), built.Size())
			}
		}
	}
}

// Keys that follow one another, and keys that come twice, are no worse than others.
func TestPlainKeys(t *testing.T) {
	keys := make([]uint64, 0, 20_000)
	for i := range uint64(10_000) {
		keys = append(keys, i<<40, i<<40)
	}
	for _, build := range both() {
		f, err := build(keys)
		f = must(t, f, err)
		for _, k := range keys {
			if !f.Contains(k) {
				t.Fatalf("%x is missed", k)
			}
		}
	}
}

func TestFalsePositives(t *testing.T) {
	const listed, asked = 200_000, 2_000_000
	most := map[int]float64{8: 0.005, 16: 0.00002}
	keys := randomKeys(listed, 7)
	others := randomKeys(asked, 8)
	for width, build := range both() {
		f, err := build(keys)
		f = must(t, f, err)
		wrong := 0
		for _, k := range others {
			if f.Contains(k) {
				wrong++
			}
		}
		rate := float64(wrong) / asked
		perKey := float64(8*f.Size()) / listed
		t.Logf("%d bits: false positives %.5f %%, %.2f bits a key", width, 100*rate, perKey)
		if rate > most[width] || wrong == 0 {
			t.Errorf("%d bits: rate %g of wrong answers, want above 0 and up to %g", width, rate,
				most[width])
		}
		if perKey > 1.2*float64(width) {
			t.Errorf("%d bits: %.2f bits a key", width, perKey)
		}
	}
}

func TestEmptyFilterHasNothing(t *testing.T) {
	for _, build := range both() {
		f, err := build(nil)
		f = must(t, f, err)
		for _, k := range append(randomKeys(1000, 3), 0) {
			if f.Contains(k) {
				t.Fatalf("%x is in the empty filter", k)
			}
		}
		if f.Size() != fuse.HeaderSize {
			t.Errorf("size %d", f.Size())
		}
	}
}

// The order of keys does not matter: the same set gives the same bytes.
func TestDeterministic(t *testing.T) {
	keys := randomKeys(5000, 5)
	f, err := fuse.Build8(keys)
	first := must(t, f, err).Append(nil)
	before := fmt.Sprint(keys[:50])
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(keys), func(i, j int) {
		keys[i], keys[j] = keys[j], keys[i]
	})
	shuffled := fmt.Sprint(keys[:50])
	f, err = fuse.Build8(keys)
	if !bytes.Equal(first, must(t, f, err).Append(nil)) {
		t.Error("another order gave another filter")
	}
	if fmt.Sprint(keys[:50]) != shuffled || shuffled == before {
		t.Error("Build changed the caller's keys")
	}
}

// The vector is what a reader in another language must agree with.
func TestVector(t *testing.T) {
	f, err := fuse.Build8([]uint64{1, 2, 3, 0xdeadbeef})
	got := hex.EncodeToString(must(t, f, err).Append(nil))
	const want = "e5fdc025e13eeed5000000080000000100000018000000080" +
		"03f00000000000000000000000000007b008b00002e0000"
	if got != want {
		t.Errorf("filter %s, want %s", got, want)
	}
}

func TestTooManyKeys(t *testing.T) {
	if _, err := fuse.Build8(make([]uint64, fuse.KeysMax+1)); !errors.Is(err, fuse.ErrKeys) {
		t.Errorf("error %v, want ErrKeys", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	f, err := fuse.Build16(randomKeys(100, 1))
	good := must(t, f, err).Append(nil)
	change := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "short header": good[:23], "cut": good[:len(good)-1],
		"long": append(bytes.Clone(good), 0), "segment not a power of two": change(11, 3),
		"segment too long": change(8, 0x80), "no segments": change(15, 0),
		"many segments": change(12, 0xff), "other slots": change(19, good[19]+1),
		"width": change(23, 12), "empty with bytes": append(make([]byte, 23), 8, 1),
		"empty with a seed": append(append([]byte{1}, make([]byte, 22)...), 8),
	} {
		if _, err := fuse.Decode(b); !errors.Is(err, fuse.ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", name, err)
		}
	}
}

// FuzzDecode: no bytes make a reader panic, whatever it is asked.
func FuzzDecode(f *testing.F) {
	for _, n := range []int{0, 1, 50, 300} {
		for _, build := range both() {
			filter, err := build(randomKeys(n, 9))
			f.Add(must(f, filter, err).Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		filter, err := fuse.Decode(b)
		if err != nil {
			return
		}
		for _, k := range append(randomKeys(100, 2), 0, ^uint64(0)) {
			filter.Contains(k)
		}
		if !bytes.Equal(filter.Append(nil), b) {
			t.Error("encoding again gives other bytes")
		}
	})
}

func BenchmarkBuild3M(b *testing.B) {
	keys := randomKeys(3_000_000, 1)
	for _, width := range []int{8, 16} {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := both()[width](keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkContains(b *testing.B) {
	keys := randomKeys(3_000_000, 1)
	f, err := fuse.Build8(keys)
	f = must(b, f, err)
	i := 0
	for b.Loop() {
		f.Contains(keys[i%len(keys)] + uint64(i&1))
		i++
	}
}

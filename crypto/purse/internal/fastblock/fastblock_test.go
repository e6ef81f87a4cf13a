package fastblock

import (
	"crypto/cipher"
	"crypto/des"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
)

func must(t testing.TB, a block.Algorithm, key ...uint64) cipher.Block {
	t.Helper()
	var b []byte
	for _, k := range key {
		b = binary.BigEndian.AppendUint64(b, k)
	}
	c, err := block.New(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encrypt(c cipher.Block, words ...uint64) string {
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	c.Encrypt(b, b)
	return hex.EncodeToString(b)
}

func text(words ...uint64) string {
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return hex.EncodeToString(b)
}

// TestPublishedDES checks values of NIST SP 800-17 (appendix A and B) and of FIPS 81.
func TestPublishedDES(t *testing.T) {
	f := func(key, plain, want uint64) {
		t.Helper()
		var d DES
		d.Expand(key)
		if got := d.Encrypt(plain); got != want {
			t.Errorf("key %016x, block %016x: %016x, want %016x", key, plain, got, want)
		}
	}
	f(0x0123456789abcdef, 0x4e6f772069732074, 0x3fa40e8a984d4815)
	f(0x0101010101010101, 0x8000000000000000, 0x95f8a5e5dd31d900)
	f(0x0101010101010101, 0x0000000000000001, 0x166b40b44aba4bd6)
	f(0x8001010101010101, 0x0000000000000000, 0x95a8d72813daa94d)
	f(0x0101010101010102, 0x0000000000000000, 0x869efd7f9f265a09)
	f(0x7ca110454a1a6e57, 0x01a1d6d039776742, 0x690f5b0d9a26939b)
	f(0x1c587f1c13924fef, 0x305532286d6f295a, 0x63fac0d034d9f793)
}

// TestPublishedSM4 checks example 1 of GB/T 32907 appendix A.
func TestPublishedSM4(t *testing.T) {
	var s SM4
	s.Expand(0x0123456789abcdef, 0xfedcba9876543210)
	if s[0] != 0xf12186f9 || s[31] != 0x9124a012 {
		t.Errorf("round keys %08x %08x", s[0], s[31])
	}
	if got := text(s.Encrypt(0x0123456789abcdef, 0xfedcba9876543210)); got !=
		"681edf34d206965e86b3e94f536e4246" {
		t.Errorf("got %s", got)
	}
}

// TestSingleBits compares with crypto/des for every single bit of key and block, which goes
// through every entry of every permutation.
func TestSingleBits(t *testing.T) {
	for i := range 64 {
		var d DES
		d.Expand(1 << i)
		c := must(t, block.DES, 1<<i)
		for j := range 64 {
			if got, want := text(d.Encrypt(1<<j)), encrypt(c, 1<<j); got != want {
				t.Fatalf("key bit %d, block bit %d: %s, want %s", i, j, got, want)
			}
		}
	}
}

func FuzzDES(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint64(0), uint64(0))
	f.Add(uint64(0x0123456789abcdef), uint64(0xfedcba9876543210), uint64(1), uint64(1)<<63)
	f.Fuzz(func(t *testing.T, k1, k2, x, y uint64) {
		var d DES
		d.Expand(k1)
		if got, want := text(d.Encrypt(x)), encrypt(must(t, block.DES, k1), x); got != want {
			t.Errorf("DES: %s, want %s", got, want)
		}
		var tr TDES
		tr.Expand(k1, k2)
		triple := must(t, block.TDES, k1, k2)
		a, b := tr.Encrypt2(x, y)
		if text(a) != encrypt(triple, x) || text(b) != encrypt(triple, y) {
			t.Errorf("3DES: %016x %016x", a, b)
		}
		var s SM4
		s.Expand(k1, k2)
		if got, want := text(s.Encrypt(x, y)), encrypt(must(t, block.SM4, k1, k2), x, y); got != want {
			t.Errorf("SM4: %s, want %s", got, want)
		}
	})
}

// TestRandom compares many keys and blocks, each made of the result before.
func TestRandom(t *testing.T) {
	k, x := uint64(0x123456789), uint64(0x987654321)
	for i := range 20000 {
		var d DES
		d.Expand(k)
		got := d.Encrypt(x)
		if want := encrypt(must(t, block.DES, k), x); text(got) != want {
			t.Fatalf("round %d: %016x, want %s", i, got, want)
		}
		k, x = got, k
	}
}

func TestParityBits(t *testing.T) {
	var a, b DES
	a.Expand(0x0022446688aaccee)
	b.Expand(0x0123456789abcdef)
	if a != b {
		t.Error("parity bits change the schedule")
	}
}

func TestAllocations(t *testing.T) {
	var d DES
	var tr TDES
	var s SM4
	sink := uint64(0)
	if n := testing.AllocsPerRun(100, func() {
		d.Expand(sink)
		tr.Expand(sink, sink)
		s.Expand(sink, sink)
		a, b := tr.Encrypt2(sink, d.Encrypt(sink))
		a, b = s.Encrypt(a, b)
		sink += a ^ b
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDES(b *testing.B) {
	b.Run("std-expand", func(b *testing.B) {
		key := make([]byte, 8)
		for i := 0; b.Loop(); i++ {
			key[3] = byte(i)
			_, _ = des.NewCipher(key)
		}
	})
	b.Run("std-block", func(b *testing.B) {
		c, _ := des.NewCipher(make([]byte, 8))
		x := make([]byte, 8)
		for b.Loop() {
			c.Encrypt(x, x)
		}
	})
	b.Run("expand", func(b *testing.B) {
		var d DES
		for i := uint64(0); b.Loop(); i++ {
			d.Expand(i << 20)
		}
	})
	b.Run("block", func(b *testing.B) {
		var d DES
		d.Expand(1)
		x := uint64(0)
		for b.Loop() {
			x = d.Encrypt(x)
		}
	})
	b.Run("two-3des-blocks", func(b *testing.B) {
		var tr TDES
		tr.Expand(1, 2)
		x, y := uint64(0), uint64(0)
		for b.Loop() {
			x, y = tr.Encrypt2(x, y)
		}
	})
	b.Run("sm4-expand", func(b *testing.B) {
		var s SM4
		for i := uint64(0); b.Loop(); i++ {
			s.Expand(i, i)
		}
	})
	b.Run("sm4-block", func(b *testing.B) {
		var s SM4
		s.Expand(1, 2)
		x, y := uint64(0), uint64(0)
		for b.Loop() {
			x, y = s.Encrypt(x, y)
		}
	})
}

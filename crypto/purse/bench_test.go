package purse_test

import (
	"crypto/des"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/purse"
)

// batchOf returns n good records of n cards under master keys of two levels.
func batchOf(tb testing.TB, s purse.Scheme, n int) (purse.KeyTable, []purse.Record) {
	tb.Helper()
	m, err := purse.NewMaster(s, masterKey)
	if err != nil {
		tb.Fatal(err)
	}
	records := make([]purse.Record, n)
	for i := range records {
		r := &records[i]
		*r = purse.Record{
			Card:       purse.Card{Issuer: [8]byte{1, 1, 0x10, 0, byte(i % 7)}, Serial: serialOf(i)},
			KeyVersion: 1,
			Values: purse.Values{
				Type: purse.Compound, Amount: uint32(i), TermSeq: uint32(7 * i),
				Terminal: [6]byte{0x30, 0, 0x89, 0, 3, 0x40},
				Date:     [4]byte{0x20, 0x26, 0x11, 0x22}, Time: [3]byte{0x08, 0x15, 0x30},
			},
		}
		key, err := m.Card(&r.Card)
		if err != nil {
			tb.Fatal(err)
		}
		r.TAC = key.TAC().MAC(purse.PurchaseTAC, &r.Values)
	}
	return purse.KeyTable{{Version: 1}: m}, records
}

// serialOf returns a serial number of 20 digits that ends with i.
func serialOf(i int) (s purse.Serial) {
	s = purse.Serial{0x03, 0x10, 0x48, 0x11}
	for at := 9; at > 3; at-- {
		s[at] = byte(i%10 | i/10%10<<4)
		i /= 100
	}
	return s
}

// bareDES does n blocks of DES one after the other and returns how long they took.
func bareDES(n int) time.Duration {
	c, _ := des.NewCipher([]byte("8 bytes!"))
	var x [8]byte
	return timed(func() {
		for range n {
			c.Encrypt(x[:], x[:])
		}
	})
}

func timed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

// blocksPerCard are the DES blocks that the TAC of a card never seen takes: two of 3DES for
// its key, three for the MAC over 22 bytes and padding.
const blocksPerCard = 2*3 + 3

// BenchmarkDistinctCards verifies 100,000 records of as many cards, none of which is kept,
// and reports the time that crypto/des needs for the same blocks as a share of the time
// that it took, both on one core: "of-bare-DES". The bare blocks run right before and after,
// so that both see the same machine.
func BenchmarkDistinctCards(b *testing.B) {
	const n = 100_000
	for _, c := range []struct {
		name   string
		levels []purse.Factor
	}{
		{"one-level", []purse.Factor{purse.SerialFactor()}},
		{"two-levels", []purse.Factor{purse.IssuerFactor(), purse.SerialFactor()}},
	} {
		keys, records := batchOf(b, purse.TDES(c.levels...), n)
		verdicts := make([]purse.Verdict, n)
		v := purse.NewVerifier(keys, purse.Options{Workers: 1})
		b.Run(c.name, func(b *testing.B) {
			var bare, took time.Duration
			b.ReportAllocs()
			for b.Loop() {
				bare += bareDES(n * blocksPerCard / 2)
				v.Purge()
				start := time.Now()
				counts, err := v.VerifyAll(records, verdicts)
				took += time.Since(start)
				bare += bareDES(n * blocksPerCard / 2)
				if err != nil || counts[purse.Good] != n {
					b.Fatal(counts, err)
				}
			}
			b.ReportMetric(float64(bare)/float64(took), "of-bare-DES")
			b.ReportMetric(float64(took)/float64(b.N)/n, "ns/record")
		})
	}
}

// BenchmarkVerifyAll verifies 100,000 records with all cores: distinct cards, and cards whose
// keys are kept.
func BenchmarkVerifyAll(b *testing.B) {
	const n = 100_000
	for _, c := range []struct {
		name   string
		scheme purse.Scheme
		kept   bool
	}{
		{"tdes-distinct", purse.TDES(purse.SerialFactor()), false},
		{"tdes-kept", purse.TDES(purse.SerialFactor()), true},
		{"sm4-distinct", purse.SM4(purse.TruncLeft4, purse.SerialFactor()), false},
		{"sm4-kept", purse.SM4(purse.TruncLeft4, purse.SerialFactor()), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			keys, records := batchOf(b, c.scheme, n)
			verdicts := make([]purse.Verdict, n)
			v := purse.NewVerifier(keys, purse.Options{Cards: 4 * n})
			b.ReportAllocs()
			for b.Loop() {
				if !c.kept {
					b.StopTimer()
					v.Purge()
					b.StartTimer()
				}
				if counts, err := v.VerifyAll(records, verdicts); err != nil || counts[purse.Good] != n {
					b.Fatal(counts, err)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkCardKey compares the derivation of a card's key with the standard library's
// ciphers and with ours.
func BenchmarkCardKey(b *testing.B) {
	b.Run("crypto-des", func(b *testing.B) {
		var f [8]byte
		b.ReportAllocs()
		for i := uint64(0); b.Loop(); i++ {
			binary.BigEndian.PutUint64(f[:], i)
			reference(b, block.TDES, masterKey, f)
		}
	})
	b.Run("ours", func(b *testing.B) {
		m, _ := purse.NewMaster(purse.TDES(purse.SerialFactor()), masterKey)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_, _ = m.Card(&purse.Card{Serial: serialOf(i)})
		}
	})
}

package purse_test

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"pgregory.net/rapid"
)

var twoLevels = []purse.Factor{purse.IssuerFactor(), purse.SerialFactor()}

// TestVerdicts: each thing wrong with a record has its verdict.
func TestVerdicts(t *testing.T) {
	for _, s := range []purse.Scheme{purse.TDES(twoLevels...), purse.SM4(purse.TruncXorFold4,
		twoLevels...)} {
		keys, records := batchOf(t, s, 1)
		v := purse.NewVerifier(keys, purse.Options{})
		f := func(change func(*purse.Record), want purse.Verdict) {
			t.Helper()
			r := records[0]
			change(&r)
			for _, how := range []string{"first", "kept"} {
				if got := v.Verify(&r); got != want {
					t.Errorf("%v, %s: %v, want %v", s.Cipher, how, got, want)
				}
			}
		}
		f(func(r *purse.Record) {}, purse.Good)
		f(func(r *purse.Record) { r.TAC[3] ^= 1 }, purse.WrongTAC)
		f(func(r *purse.Record) { r.TAC[0] ^= 0x80 }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Amount++ }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Type = purse.PurchaseEP }, purse.WrongTAC)
		f(func(r *purse.Record) { r.TermSeq++ }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Terminal[5]++ }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Time[0] = 0x09 }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Date[3] = 0x21 }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Serial[9] ^= 1 }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Issuer[7]++ }, purse.WrongTAC)
		f(func(r *purse.Record) { r.Balance++; r.Counter++; r.Algorithm = 0x40 }, purse.Good)
		f(func(r *purse.Record) { r.KeyVersion = 2 }, purse.UnknownKey)
		f(func(r *purse.Record) { r.KeyIndex = 1 }, purse.UnknownKey)
		f(func(r *purse.Record) { r.Serial[9] = 0x1a }, purse.Malformed)
		f(func(r *purse.Record) { r.Serial[0] = 0xff }, purse.Malformed)
		f(func(r *purse.Record) { r.Serial = purse.Serial{3, 0x10} }, purse.Malformed)
		f(func(r *purse.Record) { r.Date[1] = 0x2a }, purse.Malformed)
		f(func(r *purse.Record) { r.Date[2] = 0x13 }, purse.Malformed)
		f(func(r *purse.Record) { r.Date[2], r.Date[3] = 0x02, 0x29 }, purse.Malformed)
		f(func(r *purse.Record) { r.Date = [4]byte{} }, purse.Malformed)
		f(func(r *purse.Record) { r.Time[0] = 0x24 }, purse.Malformed)
		f(func(r *purse.Record) { r.Time[2] = 0x60 }, purse.Malformed)
		f(func(r *purse.Record) { r.Type = 0 }, purse.Malformed)
		f(func(r *purse.Record) { r.Type = purse.UnloadED }, purse.Malformed)
		f(func(r *purse.Record) { r.Type = 0x0a }, purse.Malformed)
		f(func(r *purse.Record) { r.OldLimit = 1 << 24 }, purse.Malformed)
		// Malformed comes before the key: nothing is looked up for it.
		f(func(r *purse.Record) { r.Type, r.KeyVersion = 0, 9 }, purse.Malformed)
	}
}

// TestLeapDays: the calendar knows them.
func TestLeapDays(t *testing.T) {
	keys, records := batchOf(t, purse.TDES(twoLevels...), 1)
	v := purse.NewVerifier(keys, purse.Options{})
	for date, good := range map[uint32]bool{0x20240229: true, 0x20230229: false, 0x20000229: true,
		0x21000229: false, 0x20260430: true, 0x20260431: false, 0x20261231: true, 0x20260100: false} {
		r := records[0]
		binary.BigEndian.PutUint32(r.Date[:], date)
		if got := v.Verify(&r); (got == purse.WrongTAC) != good {
			t.Errorf("%x: %v", date, got)
		}
	}
}

// TestOtherTACs: load and overdraft update have TACs of their own.
func TestOtherTACs(t *testing.T) {
	keys, records := batchOf(t, purse.TDES(twoLevels...), 1)
	v := purse.NewVerifier(keys, purse.Options{})
	r := records[0]
	key, _ := keys[purse.KeyID{Version: 1}].Card(&r.Card)
	for typ, m := range map[purse.Type]purse.Message{
		purse.LoadED: purse.LoadTAC, purse.LoadEP: purse.LoadTAC, purse.Overdraft: purse.OverdraftTAC,
		purse.CashED: purse.PurchaseTAC, purse.Credit: purse.PurchaseTAC,
	} {
		r.Type, r.NewBalance, r.Counter, r.NewLimit = typ, 77, 5, 100
		r.TAC = key.TAC().MAC(m, &r.Values)
		if got := v.Verify(&r); got != purse.Good {
			t.Errorf("type %d: %v", typ, got)
		}
		r.Counter++
		want := purse.WrongTAC
		if m == purse.PurchaseTAC {
			want = purse.Good // does not cover the card's counter
		}
		if got := v.Verify(&r); got != want {
			t.Errorf("type %d with another counter: %v", typ, got)
		}
	}
}

// TestKeyTable: an issuer's own key goes before that of all issuers.
func TestKeyTable(t *testing.T) {
	a, _ := purse.NewMaster(purse.TDES(), masterKey)
	b, _ := purse.NewMaster(purse.TDES(), masterKey)
	id := purse.KeyID{Issuer: [8]byte{1}, Version: 3}
	keys := purse.KeyTable{id: a, {Version: 3}: b}
	other := id
	other.Issuer[0] = 2
	if keys.TACMaster(id) != a || keys.TACMaster(other) != b || keys.TACMaster(purse.KeyID{}) != nil {
		t.Error("the wrong key")
	}
}

// TestUndecided: when the master key's holder fails, nothing is said, and later it is.
func TestUndecided(t *testing.T) {
	_, records := batchOf(t, purse.TDES(twoLevels...), 1)
	f := func(levels []purse.Factor, e elsewhere, want purse.Verdict) {
		t.Helper()
		m, err := purse.NewMasterOperation(purse.TDES(levels...), e)
		if err != nil {
			t.Fatal(err)
		}
		v := purse.NewVerifier(purse.KeyTable{{Version: 1}: m}, purse.Options{})
		if got := v.Verify(&records[0]); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	f(twoLevels, elsewhere{err: errors.New("gone")}, purse.Undecided)
	f(twoLevels[1:], elsewhere{err: errors.New("gone")}, purse.Undecided)
	f(twoLevels, elsewhere{alg: block.TDES}, purse.Good)
}

// TestBatch: 100,000 records with every verdict among them, with one worker and with several,
// with all keys kept, few and none: always the same.
func TestBatch(t *testing.T) {
	n := 100_000
	if raced {
		n = 10_000
	}
	keys, records := batchOf(t, purse.TDES(twoLevels...), n)
	want := make([]purse.Verdict, n)
	var counts purse.Counts
	for i := range records {
		want[i] = purse.Good
		switch i % 1000 {
		case 1:
			records[i].TAC[i%4] ^= 1 << (i / 1000 % 8)
			want[i] = purse.WrongTAC
		case 2:
			records[i].KeyVersion = 9
			want[i] = purse.UnknownKey
		case 3:
			records[i].Time[1] = 0x60
			want[i] = purse.Malformed
		}
		counts[want[i]]++
	}
	for _, o := range []purse.Options{{}, {Workers: 1}, {Workers: 3, Cards: 8}, {Workers: 2,
		Cards: -1}} {
		v := purse.NewVerifier(keys, o)
		for range 2 {
			got := make([]purse.Verdict, n)
			sum, err := v.VerifyAll(records, got)
			if err != nil || sum != counts {
				t.Errorf("%+v: %v %v, want %v", o, sum, err, counts)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%+v: record %d is %v, want %v", o, i, got[i], want[i])
				}
			}
		}
	}
}

// TestBatchLimits: sizes around the chunk, none at all, and those that are refused.
func TestBatchLimits(t *testing.T) {
	keys, records := batchOf(t, purse.TDES(twoLevels...), 1030)
	v := purse.NewVerifier(keys, purse.Options{Workers: 4})
	for _, n := range []int{0, 1, 15, 16, 17, 255, 256, 257, 511, 512, 513, 1030} {
		got := make([]purse.Verdict, n)
		if counts, err := v.VerifyAll(records[:n], got); err != nil || counts[purse.Good] != n {
			t.Errorf("%d records: %v %v", n, counts, err)
		}
	}
	for _, n := range []int{0, 1029, 1031} {
		if _, err := v.VerifyAll(records, make([]purse.Verdict, n)); !errors.Is(err, purse.ErrBatch) {
			t.Errorf("%d verdicts: %v", n, err)
		}
	}
	small := purse.NewVerifier(purse.KeyTable{}, purse.Options{Cards: -1})
	full := make([]purse.Record, purse.BatchMax+1)
	verdicts := make([]purse.Verdict, purse.BatchMax+1)
	if counts, err := small.VerifyAll(full[1:], verdicts[1:]); err != nil ||
		counts[purse.Malformed] != purse.BatchMax {
		t.Errorf("BatchMax: %v %v", counts, err)
	}
	if _, err := small.VerifyAll(full, verdicts); !errors.Is(err, purse.ErrBatch) {
		t.Errorf("more than BatchMax: %v", err)
	}
}

// TestRotation: the same card under another master key, and after a key was replaced, gets
// the key of the master that is asked for, whatever the table keeps.
func TestRotation(t *testing.T) {
	keys, records := batchOf(t, purse.TDES(twoLevels...), 3)
	v := purse.NewVerifier(keys, purse.Options{})
	next, _ := purse.NewMaster(purse.TDES(twoLevels...), unhex("00112233445566778899aabbccddeeff"))
	old := keys[purse.KeyID{Version: 1}]
	keys[purse.KeyID{Version: 2}] = next
	for range 2 {
		for i := range records {
			r := records[i]
			key, _ := next.Card(&r.Card)
			r.KeyVersion = 2
			if v.Verify(&records[i]) != purse.Good || v.Verify(&r) != purse.WrongTAC {
				t.Error("one version's key serves the other")
			}
			r.TAC = key.TAC().MAC(purse.PurchaseTAC, &r.Values)
			if v.Verify(&r) != purse.Good {
				t.Error("the new version's TAC is wrong")
			}
		}
	}
	keys[purse.KeyID{Version: 1}] = next
	if v.Verify(&records[0]) != purse.WrongTAC {
		t.Error("a replaced key still serves")
	}
	keys[purse.KeyID{Version: 1}] = old
	v.Purge()
	if v.Verify(&records[0]) != purse.Good {
		t.Error("nothing works after a purge")
	}
}

// TestKept: a second record of a card does not ask the master key again, and after a purge
// it does.
func TestKept(t *testing.T) {
	_, records := batchOf(t, purse.TDES(twoLevels...), 1)
	asked := &counting{elsewhere: elsewhere{alg: block.TDES}}
	m, _ := purse.NewMasterOperation(purse.TDES(twoLevels...), asked)
	v := purse.NewVerifier(purse.KeyTable{{Version: 1}: m}, purse.Options{})
	for i, want := range []int{1, 1, 1, 2} {
		if i == 3 {
			v.Purge()
		}
		if got := v.Verify(&records[0]); got != purse.Good || asked.n != want {
			t.Errorf("time %d: %v, asked %d times", i, got, asked.n)
		}
	}
	other := records[0]
	other.Serial[9] ^= 1
	if v.Verify(&other) != purse.WrongTAC || asked.n != 2 {
		t.Errorf("another card of the issuer: asked %d times", asked.n)
	}
}

// counting counts how often the master key is used.
type counting struct {
	elsewhere
	n int
}

func (c *counting) EncryptECB(dst, src []byte) error {
	c.n++
	return c.elsewhere.EncryptECB(dst, src)
}

// TestConcurrent: several batches at once over one small table, with purges between.
func TestConcurrent(t *testing.T) {
	keys, records := batchOf(t, purse.SM4(purse.TruncLeft4, twoLevels...), 3000)
	v := purse.NewVerifier(keys, purse.Options{Workers: 2, Cards: 64})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 3 {
				got := make([]purse.Verdict, len(records))
				if counts, err := v.VerifyAll(records, got); err != nil || counts[purse.Good] != len(records) {
					t.Errorf("%v %v", counts, err)
				}
				v.Purge()
			}
		})
	}
	wg.Wait()
}

// TestVerifierAllocations: none per record, whether the card is known or not.
func TestVerifierAllocations(t *testing.T) {
	for _, s := range []purse.Scheme{purse.TDES(twoLevels...), purse.SM4(0, twoLevels...)} {
		keys, records := batchOf(t, s, 5000)
		v := purse.NewVerifier(keys, purse.Options{Cards: 64, Workers: 2})
		verdicts := make([]purse.Verdict, len(records))
		run := func() {
			if _, err := v.VerifyAll(records, verdicts); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(5, run); n > 20 {
			t.Errorf("%v: %v allocations for %d records", s.Cipher, n, len(records))
		}
		i := 0
		if n := testing.AllocsPerRun(1000, func() { v.Verify(&records[i%len(records)]); i++ }); n != 0 {
			t.Errorf("%v: %v allocations a record", s.Cipher, n)
		}
	}
}

// TestAgainstReference: TACs that the reference makes of random records are good.
func TestAgainstReference(t *testing.T) {
	master, _ := purse.NewMaster(purse.TDES(twoLevels...), masterKey)
	v := purse.NewVerifier(purse.KeyTable{{}: master}, purse.Options{})
	rapid.Check(t, func(rt *rapid.T) {
		r := purse.Record{Card: purse.Card{Serial: serialOf(rapid.IntRange(1, 1e9).Draw(rt, "serial"))}}
		binary.BigEndian.PutUint64(r.Issuer[:], rapid.Uint64().Draw(rt, "issuer"))
		r.Type = rapid.SampledFrom([]purse.Type{4, 5, 6, 8, 9}).Draw(rt, "type")
		r.Amount, r.TermSeq = rapid.Uint32().Draw(rt, "amount"), rapid.Uint32().Draw(rt, "seq")
		copy(r.Terminal[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(rt, "terminal"))
		r.Date, r.Time = sample.Date, sample.Time
		data := binary.BigEndian.AppendUint32(nil, r.Amount)
		data = append(append(data, byte(r.Type)), r.Terminal[:]...)
		data = binary.BigEndian.AppendUint32(data, r.TermSeq)
		data = append(append(data, r.Date[:]...), r.Time[:]...)
		key := reference(t, block.TDES, reference(t, block.TDES, masterKey, r.Issuer),
			[8]byte(r.Serial[2:]))
		r.TAC = [4]byte(referenceMAC(t, block.TDES, referenceFold(key), data))
		if got := v.Verify(&r); got != purse.Good {
			rt.Fatalf("%v", got)
		}
	})
}

func TestVerdictNames(t *testing.T) {
	for v, want := range []string{"undecided", "good", "wrong-tac", "unknown-key", "malformed",
		"unknown"} {
		if got := purse.Verdict(v).String(); got != want {
			t.Errorf("%d is %s, want %s", v, got, want)
		}
	}
}

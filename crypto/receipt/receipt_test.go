package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

var issued = time.Date(2026, 11, 21, 8, 0, 1, 5e6, time.UTC)

// freeze returns a receipt that uses every field.
func freeze() *receipt.Freeze {
	return &receipt.Freeze{Issuer: "City Card", Number: "FR-20261121-17", IssuedAt: issued,
		Token: [16]byte{1, 2, 0xFF}, Masked: "***************1234", Reason: "lost",
		Scope: []string{"all"}, ReceivedAt: issued.Add(-time.Second),
		Parties: []receipt.Party{{Name: "metro", ReceivedAt: issued, EffectiveAt: issued},
			{Name: "公交 \"bus\""}},
		Gates:     []receipt.Coverage{{At: issued, Covered: 98, Total: 100}},
		ListEpoch: 3, ListSeq: 1 << 50,
		Boundary: receipt.Boundary{Rule: "freeze_actual", At: issued}, Actor: "desk/7"}
}

// day returns the first certificate of a chain.
func day() *receipt.Day {
	return &receipt.Day{Issuer: "City Card", Chain: "city-a", Number: 1, BusinessDate: 20261121,
		IssuedAt: issued,
		Buckets: []receipt.Bucket{
			{Bucket: 0, Epoch: 1, First: 1, Last: 10, Count: 10, Head: [32]byte{1}},
			{Bucket: 0, Epoch: 2, First: 1, Last: 5, Count: 5, Head: [32]byte{2}},
			{Bucket: 7, Epoch: 1, First: 4, Last: 3, Count: 0, Head: [32]byte{3}}},
		Totals: []receipt.Total{{Name: "loads", Count: 2, AmountFen: -5000},
			{Name: "taps", Count: 13, AmountFen: 2600}},
		Counts: receipt.Counts{Store: 15, Stream: 15, Warehouse: 15, Settlement: 15}}
}

// next returns the certificate after before.
func next(t *testing.T, before *receipt.Day) *receipt.Day {
	t.Helper()
	h, err := receipt.Hash(before)
	if err != nil {
		t.Fatal(err)
	}
	return &receipt.Day{Issuer: "City Card", Chain: "city-a", Number: before.Number + 1,
		BusinessDate: 20261122, IssuedAt: issued.AddDate(0, 0, 1), Previous: h,
		Buckets: []receipt.Bucket{{Bucket: 0, Epoch: 2, First: 6, Last: 6, Count: 1},
			{Bucket: 0, Epoch: 3, First: 1, Last: 1, Count: 1},
			{Bucket: 7, Epoch: 1, First: 4, Last: 4, Count: 1}, {Bucket: 8, Epoch: 1, First: 1, Last: 0}}}
}

// zeros is a random source that makes the same signatures in every process: the processes of
// a fuzz run must agree on what was signed.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// signers returns one of each algorithm, and the keys that verify them.
func signers(t testing.TB) ([]receipt.Signer, []receipt.Key) {
	t.Helper()
	smKey, err := sm.NewPrivateKey(bytes.Repeat([]byte{0x42}, 32))
	if err != nil {
		t.Fatal(err)
	}
	one, err := receipt.NewSM2Signer("city:2026/sm2", smKey, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := receipt.NewEd25519Signer("city-ed",
		ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0x43}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	list := []receipt.Signer{one, two}
	var keys []receipt.Key
	for _, s := range list {
		keys = append(keys, receipt.Key{ID: s.KeyID(), Algorithm: s.Algorithm(),
			Public: s.PublicKey(), NotBefore: issued.Add(-time.Hour), NotAfter: issued.Add(time.Hour)})
	}
	return list, keys
}

func trust(t testing.TB, list ...receipt.Key) *receipt.Keys {
	t.Helper()
	k, err := receipt.NewKeys(list...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, s receipt.Statement, by receipt.Signer) []byte {
	t.Helper()
	e, err := receipt.Seal(s, by)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRoundTrip: each statement with each algorithm verifies to what was signed.
func TestRoundTrip(t *testing.T) {
	by, list := signers(t)
	keys := trust(t, list...)
	for _, s := range by {
		f, err := keys.VerifyFreeze(seal(t, freeze(), s))
		if err != nil || !reflect.DeepEqual(f, freeze()) {
			t.Errorf("%s: %+v, %v", s.Algorithm(), f, err)
		}
		d, err := keys.VerifyDay(seal(t, day(), s))
		if err != nil || !reflect.DeepEqual(d, day()) {
			t.Errorf("%s: %+v, %v", s.Algorithm(), d, err)
		}
	}
}

// TestEncoding pins the bytes, which receipts given out years ago depend on.
func TestEncoding(t *testing.T) {
	b, err := receipt.Canonical(freeze())
	const want = `{"actor":"desk/7",` +
		`"boundary":{"at":"2026-11-21T08:00:01.005Z","rule":"freeze_actual"},` +
		`"card":{"masked":"***************1234","token":"0102ff00000000000000000000000000"},` +
		`"gates":[{"at":"2026-11-21T08:00:01.005Z","covered":98,"total":100}],` +
		`"issued_at":"2026-11-21T08:00:01.005Z","issuer":"City Card","kind":"freeze_receipt",` +
		`"list":{"epoch":3,"sequence":1125899906842624},"number":"FR-20261121-17",` +
		`"parties":[{"effective_at":"2026-11-21T08:00:01.005Z","party":"metro",` +
		`"received_at":"2026-11-21T08:00:01.005Z"},{"effective_at":"","party":"公交 \"bus\"",` +
		`"received_at":""}],"reason":"lost","received_at":"2026-11-21T08:00:00.005Z",` +
		`"scope":["all"],"version":1}`
	if err != nil || string(b) != want {
		t.Errorf("%s\n%v", b, err)
	}
	b, err = receipt.Canonical(&receipt.Day{Issuer: "a", Chain: "c", Number: 1,
		BusinessDate: 20261121, IssuedAt: issued, Buckets: day().Buckets[2:], Totals: day().Totals[:1]})
	const wantDay = `{"buckets":[{"bucket":7,"count":0,"epoch":1,"first":4,` +
		`"head":"0300000000000000000000000000000000000000000000000000000000000000","last":3}],` +
		`"business_date":"2026-11-21","chain":"c",` +
		`"counts":{"settlement":0,"store":0,"stream":0,"warehouse":0},` +
		`"issued_at":"2026-11-21T08:00:01.005Z","issuer":"a","kind":"day_certificate","number":1,` +
		`"previous":"0000000000000000000000000000000000000000000000000000000000000000",` +
		`"totals":[{"amount_fen":-5000,"count":2,"name":"loads"}],"version":1}`
	if err != nil || string(b) != wantDay {
		t.Errorf("%s\n%v", b, err)
	}
}

// TestSignedBytes verifies by hand, as somebody without this package would: purpose,
// algorithm and key id as lines, then the statement as it stands in the envelope.
func TestSignedBytes(t *testing.T) {
	by, _ := signers(t)
	b := seal(t, freeze(), by[1])
	_, statement, _ := strings.Cut(string(b), `"statement":`)
	e, err := receipt.ParseEnvelope(b)
	if err != nil || string(e.Statement)+"}" != statement {
		t.Fatalf("%v: the statement does not stand in the envelope", err)
	}
	message := "tapswitch statement v1\ned25519\ncity-ed\n" + string(e.Statement)
	if !ed25519.Verify(by[1].PublicKey(), []byte(message), e.Signature) {
		t.Error("the signature is over other bytes")
	}
	if e.Fingerprint != sm.SM3(by[1].PublicKey()) {
		t.Error("the fingerprint is another")
	}
}

// TestEveryByteCounts: no change of an envelope, by any bit, verifies.
func TestEveryByteCounts(t *testing.T) {
	by, list := signers(t)
	keys := trust(t, list...)
	good := seal(t, freeze(), by[1])
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if s, err := keys.Verify(b); err == nil || s != nil {
				t.Errorf("bit %d of byte %d does not count", bit, i)
			}
		}
		if _, err := keys.Verify(good[:i]); !errors.Is(err, receipt.ErrNotCanonical) {
			t.Errorf("the first %d bytes: %v", i, err)
		}
	}
}

// edit returns the envelope of s with one text replaced by another.
func edit(t *testing.T, b []byte, from, to string) []byte {
	t.Helper()
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("no %s in %s", from, b)
	}
	return bytes.Replace(b, []byte(from), []byte(to), 1)
}

// TestVerifyErrors: each error for its own cause.
func TestVerifyErrors(t *testing.T) {
	by, list := signers(t)
	keys := trust(t, list...)
	good := seal(t, freeze(), by[0])
	swapped := []receipt.Key{list[0], list[1]}
	swapped[0].Public, swapped[0].Algorithm = list[1].Public, list[1].Algorithm
	late, early := list[0], list[0]
	late.NotBefore, late.NotAfter = issued.Add(time.Millisecond), time.Time{}
	early.NotBefore, early.NotAfter = time.Time{}, issued.Add(-time.Millisecond)
	open, exact := list[0], list[0]
	open.NotBefore, open.NotAfter = time.Time{}, time.Time{}
	exact.NotBefore, exact.NotAfter = issued, issued
	for _, c := range []struct {
		name string
		keys *receipt.Keys
		in   []byte
		want error
	}{
		{"good", keys, good, nil},
		{"open validity", trust(t, open), good, nil},
		{"just valid", trust(t, exact), good, nil},
		{"space", keys, append(bytes.Clone(good), ' '), receipt.ErrNotCanonical},
		{"no key", trust(t), good, receipt.ErrUnknownKey},
		{"another key id", keys, edit(t, good, "city:2026/sm2", "city-ed"), receipt.ErrUnknownKey},
		{"another algorithm", keys, edit(t, good, "sm2-sm3", "ed25519"), receipt.ErrUnknownKey},
		{"the id is another key's", trust(t, swapped[0]), good, receipt.ErrUnknownKey},
		{"another amount of words", keys, edit(t, good, `"lost"`, `"risk"`), receipt.ErrSignature},
		{"not yet valid", trust(t, late), good, receipt.ErrKeyTime},
		{"no longer valid", trust(t, early), good, receipt.ErrKeyTime},
	} {
		s, err := c.keys.Verify(c.in)
		if !errors.Is(err, c.want) || (err == nil) != (s != nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := keys.VerifyDay(good); !errors.Is(err, receipt.ErrKind) {
		t.Errorf("a receipt as a day certificate: %v", err)
	}
	if _, err := keys.VerifyFreeze(seal(t, day(), by[0])); !errors.Is(err, receipt.ErrKind) {
		t.Errorf("a day certificate as a receipt: %v", err)
	}
}

// TestSignatureOfAnotherKeyID: a signature under one id is none under another of the same key.
func TestSignatureOfAnotherKeyID(t *testing.T) {
	by, list := signers(t)
	other := list[0]
	other.ID = "city:2027/sm2"
	b := edit(t, seal(t, freeze(), by[0]), list[0].ID, other.ID)
	if _, err := trust(t, list[0], other).Verify(b); !errors.Is(err, receipt.ErrSignature) {
		t.Errorf("%v", err)
	}
}

// TestStatementsRefused: limits and contradictions, each above its limit and, where it
// matters, at it.
func TestStatementsRefused(t *testing.T) {
	long := strings.Repeat("x", 257)
	for name, change := range map[string]func(*receipt.Freeze){
		"no token":     func(f *receipt.Freeze) { f.Token = [16]byte{} },
		"no issuer":    func(f *receipt.Freeze) { f.Issuer = "" },
		"long reason":  func(f *receipt.Freeze) { f.Reason = long },
		"control":      func(f *receipt.Freeze) { f.Actor = "a\nb" },
		"card number":  func(f *receipt.Freeze) { f.Actor = "card 6212345678901232" },
		"card scope":   func(f *receipt.Freeze) { f.Scope = []string{"3104123456789012345"} },
		"card party":   func(f *receipt.Freeze) { f.Parties[0].Name = "3104123456789012345" },
		"unmasked":     func(f *receipt.Freeze) { f.Masked = "3104123456789012345" },
		"half masked":  func(f *receipt.Freeze) { f.Masked = "**12345" },
		"mask inside":  func(f *receipt.Freeze) { f.Masked = "*1*2" },
		"only digits":  func(f *receipt.Freeze) { f.Masked = "1234" },
		"no time":      func(f *receipt.Freeze) { f.ReceivedAt = time.Time{} },
		"old time":     func(f *receipt.Freeze) { f.IssuedAt = time.Unix(-1, 0) },
		"no boundary":  func(f *receipt.Freeze) { f.Boundary = receipt.Boundary{} },
		"no scope":     func(f *receipt.Freeze) { f.Scope = nil },
		"scopes":       func(f *receipt.Freeze) { f.Scope = strings.Split(strings.Repeat("a", 17), "") },
		"parties":      func(f *receipt.Freeze) { f.Parties = make([]receipt.Party, 257) },
		"gates":        func(f *receipt.Freeze) { f.Gates = make([]receipt.Coverage, 65) },
		"coverage":     func(f *receipt.Freeze) { f.Gates[0].Covered = 101 },
		"no gate time": func(f *receipt.Freeze) { f.Gates[0].At = time.Time{} },
		"54 bits":      func(f *receipt.Freeze) { f.ListSeq = 1 << 53 },
		"bad UTF-8":    func(f *receipt.Freeze) { f.Reason = "\xff" },
		"no party":     func(f *receipt.Freeze) { f.Parties[1].Name = "" },
	} {
		f := freeze()
		change(f)
		if _, err := receipt.Canonical(f); !errors.Is(err, receipt.ErrStatement) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := freeze()
	f.Reason, f.Masked, f.ListSeq = long[:256], "", 1<<53-1
	if _, err := receipt.Canonical(f); err != nil {
		t.Errorf("at the limits: %v", err)
	}
}

func TestDaysRefused(t *testing.T) {
	for name, change := range map[string]func(*receipt.Day){
		"no chain":        func(d *receipt.Day) { d.Chain = "" },
		"number 0":        func(d *receipt.Day) { d.Number = 0 },
		"first with past": func(d *receipt.Day) { d.Previous[0] = 1 },
		"second without":  func(d *receipt.Day) { d.Number = 2 },
		"date":            func(d *receipt.Day) { d.BusinessDate = 20261131 },
		"no date":         func(d *receipt.Day) { d.BusinessDate = 0 },
		"hole":            func(d *receipt.Day) { d.Buckets[0].Count = 9 },
		"from 0":          func(d *receipt.Day) { d.Buckets[0].First, d.Buckets[0].Count = 0, 11 },
		"backwards":       func(d *receipt.Day) { d.Buckets[2].Last = 1 },
		"order":           func(d *receipt.Day) { d.Buckets[0].Bucket = 1 },
		"double":          func(d *receipt.Day) { d.Buckets[1].Epoch = 1 },
		"total order":     func(d *receipt.Day) { d.Totals[0].Name = "x" },
		"total double":    func(d *receipt.Day) { d.Totals[0].Name = "taps" },
		"total unnamed":   func(d *receipt.Day) { d.Totals[0].Name = "" },
		"amount":          func(d *receipt.Day) { d.Totals[0].AmountFen = 1 << 53 },
		"count":           func(d *receipt.Day) { d.Counts.Stream = 1 << 53 },
		"last above 53 bits": func(d *receipt.Day) {
			d.Buckets[0] = receipt.Bucket{Epoch: 1, First: 1, Last: 1 << 53, Count: 1 << 53}
		},
		"wraps round": func(d *receipt.Day) {
			d.Buckets[0] = receipt.Bucket{Epoch: 1, First: 1, Last: 1<<64 - 1, Count: 1<<64 - 1}
		},
		"sum": func(d *receipt.Day) {
			d.Buckets[0].Last, d.Buckets[0].Count = 1<<53-1, 1<<53-1
		},
	} {
		d := day()
		change(d)
		if _, err := receipt.Canonical(d); !errors.Is(err, receipt.ErrStatement) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLargestDay: a day at every limit, with the longest numbers, fits and verifies.
func TestLargestDay(t *testing.T) {
	d := day()
	d.Buckets, d.Totals = nil, nil
	for i := range uint64(receipt.BucketsMax) {
		d.Buckets = append(d.Buckets, receipt.Bucket{Bucket: receipt.IntegerMax - 1<<20 + i,
			Epoch: receipt.IntegerMax, First: receipt.IntegerMax - 1<<36, Last: receipt.IntegerMax,
			Count: 1<<36 + 1})
	}
	for i := range receipt.TotalsMax {
		d.Totals = append(d.Totals, receipt.Total{Name: fmt.Sprintf("%04d%s", i,
			strings.Repeat("x", 252)), AmountFen: -receipt.IntegerMax})
	}
	by, list := signers(t)
	got, err := trust(t, list...).VerifyDay(seal(t, d, by[0]))
	if err != nil || got.Records() != d.Records() || got.Complete() {
		t.Errorf("%v", err)
	}
}

// TestChain: a certificate follows the one before in all that links them.
func TestChain(t *testing.T) {
	first := day()
	if err := next(t, first).Follows(first); err != nil {
		t.Fatal(err)
	}
	if b, err := receipt.Canonical(next(t, first)); err != nil {
		t.Errorf("%s: %v", b, err)
	}
	for name, change := range map[string]func(d *receipt.Day){
		"chain":          func(d *receipt.Day) { d.Chain = "city-b" },
		"number":         func(d *receipt.Day) { d.Number++ },
		"hash":           func(d *receipt.Day) { d.Previous[31] ^= 1 },
		"date":           func(d *receipt.Day) { d.BusinessDate = 20261121 },
		"hole":           func(d *receipt.Day) { d.Buckets[0].First++ },
		"overlap":        func(d *receipt.Day) { d.Buckets[2].First-- },
		"epoch back":     func(d *receipt.Day) { d.Buckets[0].Epoch = 1 },
		"bucket missing": func(d *receipt.Day) { d.Buckets = d.Buckets[:2] },
	} {
		d := next(t, first)
		change(d)
		if err := d.Follows(first); !errors.Is(err, receipt.ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
	changed := day()
	changed.Totals[0].AmountFen++
	if err := next(t, first).Follows(changed); !errors.Is(err, receipt.ErrChain) {
		t.Errorf("the day before has changed: %v", err)
	}
	if err := next(t, first).Follows(&receipt.Day{}); !errors.Is(err, receipt.ErrChain) {
		t.Errorf("no day before: %v", err)
	}
}

func TestComplete(t *testing.T) {
	if d := day(); !d.Complete() || d.Records() != 15 {
		t.Error("a complete day is not")
	}
	for i, change := range []func(*receipt.Day){
		func(d *receipt.Day) { d.Counts.Store++ }, func(d *receipt.Day) { d.Counts.Stream++ },
		func(d *receipt.Day) { d.Counts.Warehouse-- }, func(d *receipt.Day) { d.Counts.Settlement-- },
	} {
		d := day()
		change(d)
		if d.Complete() {
			t.Errorf("count %d does not matter", i)
		}
	}
}

// broken is a signer that is wrong in one way.
type broken struct {
	receipt.Signer
	id     string
	public []byte
	sign   func([]byte) ([]byte, error)
}

func (b broken) KeyID() string                 { return b.id }
func (b broken) PublicKey() []byte             { return b.public }
func (b broken) Sign(m []byte) ([]byte, error) { return b.sign(m) }
func refuses([]byte) ([]byte, error)           { return nil, errOffline }
func silentlyWrong([]byte) ([]byte, error)     { return make([]byte, 64), nil }
func tooShort([]byte) ([]byte, error)          { return []byte{1}, nil }

var errOffline = errors.New("module off line")

// TestBrokenSigners: a signer that fails, lies or has a bad id makes no envelope.
func TestBrokenSigners(t *testing.T) {
	by, _ := signers(t)
	for _, s := range by {
		for _, c := range []struct {
			name string
			b    broken
			want error
		}{
			{"fails", broken{s, "id", s.PublicKey(), refuses}, errOffline},
			{"wrong", broken{s, "id", s.PublicKey(), silentlyWrong}, receipt.ErrSignature},
			{"short", broken{s, "id", s.PublicKey(), tooShort}, receipt.ErrSignature},
			{"id", broken{s, "a\nb", s.PublicKey(), s.Sign}, receipt.ErrKey},
			{"key", broken{s, "id", []byte{1}, s.Sign}, receipt.ErrKey},
		} {
			if e, err := receipt.Seal(freeze(), c.b); !errors.Is(err, c.want) || e != nil {
				t.Errorf("%s %s: %v", s.Algorithm(), c.name, err)
			}
		}
		if _, err := receipt.Seal(&receipt.Freeze{}, s); !errors.Is(err, receipt.ErrStatement) {
			t.Errorf("an empty receipt: %v", err)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	_, list := signers(t)
	good := list[0]
	for name, change := range map[string]func(k *receipt.Key){
		"no id":     func(k *receipt.Key) { k.ID = "" },
		"long id":   func(k *receipt.Key) { k.ID = strings.Repeat("a", 129) },
		"space":     func(k *receipt.Key) { k.ID = "a b" },
		"algorithm": func(k *receipt.Key) { k.Algorithm = "rsa" },
		"point":     func(k *receipt.Key) { k.Public = make([]byte, 65) },
		"ed25519":   func(k *receipt.Key) { k.Algorithm = receipt.Ed25519 },
		"backwards": func(k *receipt.Key) { k.NotBefore, k.NotAfter = k.NotAfter, k.NotBefore },
	} {
		k := good
		change(&k)
		if _, err := receipt.NewKeys(k); !errors.Is(err, receipt.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := receipt.NewKeys(good, good); !errors.Is(err, receipt.ErrKey) {
		t.Errorf("double: %v", err)
	}
	if _, err := receipt.NewKeys(make([]receipt.Key, receipt.KeysMax+1)...); !errors.Is(err,
		receipt.ErrKey) {
		t.Errorf("above the limit: %v", err)
	}
	key, err := sm.NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	own, err := key.WithID([]byte("own"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{second(receipt.NewSM2Signer("id", own, rand.Reader)),
		second(receipt.NewSM2Signer("", key, rand.Reader)),
		second(receipt.NewEd25519Signer("id", make([]byte, 32))),
		second(receipt.NewEd25519Signer("a b", make([]byte, 64)))} {
		if !errors.Is(err, receipt.ErrKey) {
			t.Errorf("signer: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestKeyFile: a set of keys goes through its file, compressed points too.
func TestKeyFile(t *testing.T) {
	by, list := signers(t)
	p, err := sm.ParsePublicKey(list[0].Public)
	if err != nil {
		t.Fatal(err)
	}
	compressed := p.Compressed()
	list[0].Public = compressed[:]
	list[1].NotAfter = time.Time{}
	b, err := receipt.EncodeKeys(list)
	if err != nil {
		t.Fatal(err)
	}
	back, err := receipt.ParseKeys(b)
	if err != nil || !reflect.DeepEqual(back, list) {
		t.Fatalf("%+v, %v", back, err)
	}
	if _, err := trust(t, back...).Verify(seal(t, day(), by[0])); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{``, `{}`, `{"keys":{}}`, `{"keys":[{}]}`, string(b) + " ",
		strings.Replace(string(b), `"id"`, `"ie"`, 1)} {
		if _, err := receipt.ParseKeys([]byte(bad)); !errors.Is(err, receipt.ErrNotCanonical) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	list[0].NotBefore = time.Unix(-1, 0)
	if _, err := receipt.EncodeKeys(list); !errors.Is(err, receipt.ErrKey) {
		t.Errorf("time before 1970: %v", err)
	}
	if _, err := receipt.EncodeKeys(append(list, list[0])); !errors.Is(err, receipt.ErrKey) {
		t.Errorf("double: %v", err)
	}
}

// TestShapes: canonical JSON of another shape is refused, with the reason, not the content.
func TestShapes(t *testing.T) {
	good, err := receipt.Canonical(freeze())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"text": {`"x"`, receipt.ErrKind}, "array": {`[]`, receipt.ErrKind},
		"empty":         {`{}`, receipt.ErrKind},
		"other kind":    {`{"kind":"receipt"}`, receipt.ErrKind},
		"kind a number": {`{"kind":1}`, receipt.ErrKind},
		"kind alone":    {`{"kind":"freeze_receipt"}`, receipt.ErrNotCanonical},
		"day alone":     {`{"kind":"day_certificate"}`, receipt.ErrNotCanonical},
		"version":       {replace(good, `"version":1`, `"version":2`), receipt.ErrNotCanonical},
		"negative":      {replace(good, `"epoch":3`, `"epoch":-3`), receipt.ErrNotCanonical},
		"another type":  {replace(good, `"epoch":3`, `"epoch":"3"`), receipt.ErrNotCanonical},
		"time":          {replace(good, `08:00:00.005Z`, `08:00:00.005+`), receipt.ErrNotCanonical},
		"hour 24":       {replace(good, `T08:00:00`, `T24:00:00`), receipt.ErrNotCanonical},
		"zero time": {replace(good, `"effective_at":""`, `"effective_at":"0001-01-01T00:00:00.000Z"`),
			receipt.ErrNotCanonical},
		"token":         {replace(good, `0102ff`, `0102FF`), receipt.ErrNotCanonical},
		"short token":   {replace(good, `0102ff`, `01`), receipt.ErrNotCanonical},
		"scope":         {replace(good, `["all"]`, `[1]`), receipt.ErrNotCanonical},
		"more":          {replace(good, `"version":1`, `"version":1,"x":1`), receipt.ErrNotCanonical},
		"less":          {replace(good, `,"version":1`, ``), receipt.ErrNotCanonical},
		"contradiction": {replace(good, `"covered":98`, `"covered":198`), receipt.ErrStatement},
		"no scope":      {replace(good, `["all"]`, `[]`), receipt.ErrStatement},
	} {
		if _, err := receipt.ParseStatement([]byte(c.in)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func replace(b []byte, from, to string) string { return strings.Replace(string(b), from, to, 1) }

// TestErrorsHoldNoContent: no error text holds a card number, a key or a scalar.
func TestErrorsHoldNoContent(t *testing.T) {
	by, list := signers(t)
	keys := trust(t, list...)
	const card = "6212345678901232"
	var out strings.Builder
	for _, s := range []string{card, `"` + card, `{"actor":"` + card + `"`, `{"` + card + `":1}`,
		`{"kind":"` + card + `"}`, `{"kind":"freeze_receipt","z":"` + card + `"}`} {
		for _, err := range []error{second(receipt.ParseStatement([]byte(s))),
			second(keys.Verify([]byte(s))), second(receipt.ParseKeys([]byte(s))),
			second(receipt.ParseEnvelope([]byte(s)))} {
			fmt.Fprintln(&out, err)
		}
	}
	f := freeze()
	f.Actor, f.Masked = card, card
	fmt.Fprintln(&out, second(receipt.Canonical(f)), second(receipt.Seal(f, by[0])))
	f.Actor = "a"
	fmt.Fprintln(&out, second(receipt.Canonical(f)))
	scalar := bytes.Repeat([]byte{0xA7, 0x5C}, 16)
	fmt.Fprintln(&out, second(receipt.NewEd25519Signer("id", scalar)),
		second(receipt.NewKeys(receipt.Key{ID: "id", Algorithm: receipt.SM2, Public: scalar})))
	for _, s := range by {
		fmt.Fprintf(&out, "%v %+v %#v\n", s, s, s)
	}
	for _, secret := range []string{card, hex.EncodeToString(scalar[:6]), "A75CA75C",
		string(scalar[:6]),
		strings.Repeat("42", 6), "0x42, 0x42, 0x42", "66 66 66 66", "67 67 67 67", "0x43, 0x43"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is printed", secret)
		}
	}
}

// FuzzVerify: any bytes are refused, but those that a key signed.
func FuzzVerify(f *testing.F) {
	by, list := signers(f)
	keys := trust(f, list...)
	sealed := map[string]bool{}
	for _, s := range by {
		for _, statement := range []receipt.Statement{freeze(), day()} {
			b := seal(f, statement, s)
			sealed[string(b)] = true
			f.Add(b)
		}
	}
	f.Add([]byte(`{"algorithm":"ed25519","fingerprint":"","key_id":"","signature":"","statement":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := keys.Verify(b)
		if err == nil && !sealed[string(b)] {
			t.Errorf("%q verifies to %v", b, s)
		}
		if e, err := receipt.ParseEnvelope(b); err == nil {
			if out, err := e.Encode(); err != nil || !bytes.Equal(out, b) {
				t.Errorf("%q becomes %q, %v", b, out, err)
			}
		}
	})
}

// FuzzStatement: what parses has the encoding that it was parsed from.
func FuzzStatement(f *testing.F) {
	for _, s := range []receipt.Statement{freeze(), day()} {
		b, err := receipt.Canonical(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := receipt.ParseStatement(b)
		if err != nil {
			return
		}
		if out, err := receipt.Canonical(s); err != nil || !bytes.Equal(out, b) {
			t.Errorf("%q becomes %q, %v", b, out, err)
		}
	})
}

// FuzzKeys: what parses and is accepted has the encoding that it was parsed from.
func FuzzKeys(f *testing.F) {
	_, list := signers(f)
	b, err := receipt.EncodeKeys(list)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := receipt.ParseKeys(b)
		if err != nil {
			return
		}
		if out, err := receipt.EncodeKeys(list); err == nil && !bytes.Equal(out, b) {
			t.Errorf("%q becomes %q", b, out)
		}
	})
}

// BenchmarkVerify is a freeze receipt under each algorithm, and a day of 1,024 buckets.
func BenchmarkVerify(b *testing.B) {
	by, list := signers(b)
	keys := trust(b, list...)
	big := day()
	big.Buckets = nil
	for i := range uint64(1024) {
		big.Buckets = append(big.Buckets,
			receipt.Bucket{Bucket: i, Epoch: 1, First: 1, Last: 9, Count: 9})
	}
	for _, s := range by {
		for name, statement := range map[string]receipt.Statement{"freeze": freeze(), "day": big} {
			in := seal(b, statement, s)
			b.Run(string(s.Algorithm())+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := keys.Verify(in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

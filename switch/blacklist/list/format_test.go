package list_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var rewrite = flag.Bool("rewrite", false, "write the test vectors anew")

// vectors are for the maker of a terminal: files in hexadecimal and what they say of cards.
type vectors struct {
	Note      string            `json:"note"`
	PublicKey string            `json:"ed25519_public_key"`
	KeyID     string            `json:"signing_key_id"`
	Cards     []string          `json:"cards_at_epoch_7"`
	Later     []string          `json:"cards_at_epoch_9"`
	Others    []string          `json:"cards_never_listed"`
	Files     map[string]string `json:"files"`
}

func draft() list.Draft {
	return list.Draft{Scheme: "testcity", KeyID: "tok-1", Scope: txn.AppTransit, Epoch: 7,
		MadeAt: 1_772_352_000_000}
}

func hexes(tokens []pan.Token) (texts []string) {
	for _, t := range tokens {
		texts = append(texts, t.String())
	}
	return texts
}

// deltaOf returns the file that leads from one list to the other.
func deltaOf(t testing.TB, from, to *list.List, width int, c list.Changes,
	by list.Signer) []byte {
	t.Helper()
	d := draft()
	d.Epoch, d.Base = to.Epoch(), from.Epoch()
	d.Count, d.Check, d.BaseCheck = to.Header().Count, to.Header().Check, from.Header().Check
	file, err := list.EncodeDelta(d, width, c, by)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// files makes every format of two small lists, signed.
func files(t testing.TB) (map[string][]byte, []pan.Token, []pan.Token) {
	t.Helper()
	by, _ := testSigner(t)
	before := sortedTokens(12)
	after := append(slices.Clone(before[2:]), spread(100), spread(101), spread(102))
	slices.SortFunc(after, compareTokens)
	all := map[string][]byte{}
	keep := func(name string, file []byte, err error) {
		if err != nil {
			t.Fatal(name, err)
		}
		all[name] = file
	}
	for name, tokens := range map[string][]pan.Token{"": before, "-later": after} {
		d := draft()
		if name != "" {
			d.Epoch = 9
		}
		exact, err := list.EncodeExact(d, list.Wide, tokens, by)
		keep("exact16"+name, exact, err)
		exact, err = list.EncodeExact(d, list.Narrow, tokens, by)
		keep("exact8"+name, exact, err)
		filter, err := list.EncodeFilter(d, list.Filter8, tokens, by)
		keep("filter8"+name, filter, err)
		filter, err = list.EncodeFilter(d, list.Filter16, tokens, by)
		keep("filter16"+name, filter, err)
	}
	changes := list.Changes{Adds: []pan.Token{spread(100), spread(101), spread(102)},
		Removes: before[:2]}
	slices.SortFunc(changes.Adds, compareTokens)
	from, to := open(t, all["exact16"]), open(t, all["exact16-later"])
	all["delta16"] = deltaOf(t, from, to, list.Wide, changes, by)
	all["delta8"] = deltaOf(t, from, to, list.Narrow, changes, by)
	return all, before, after
}

// TestVectors keeps the files that makers of terminals test their readers with.
func TestVectors(t *testing.T) {
	all, before, after := files(t)
	by, _ := testSigner(t)
	v := vectors{Note: "Formats: package list. delta16 follows exact16, delta8 follows exact8, " +
		"filter8 and filter16; after it they hold cards_at_epoch_9.",
		PublicKey: hex.EncodeToString(by.(receipt.Signer).PublicKey()), KeyID: by.KeyID(),
		Cards: hexes(before), Later: hexes(after), Files: map[string]string{}}
	for i := range uint64(4) {
		v.Others = append(v.Others, spread(1000+i).String())
	}
	for name, file := range all {
		v.Files[name] = hex.EncodeToString(file)
	}
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	name := filepath.Join("testdata", "vectors.json")
	if *rewrite {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the vectors have changed: old terminals could not read such files")
	}
}

// A gate reads each format, follows the delta, and never misses a card.
func TestReadEveryFormat(t *testing.T) {
	all, before, after := files(t)
	_, keys := testSigner(t)
	for name, delta := range map[string]string{"exact16": "delta16", "exact8": "delta8",
		"filter8": "delta8", "filter16": "delta8"} {
		l, err := list.Open(all[name], keys)
		if err != nil {
			t.Fatal(name, err)
		}
		h := l.Header()
		if h.Epoch != 7 || h.Count != 12 || h.Scheme != "testcity" || h.KeyID != "tok-1" ||
			h.Scope != txn.AppTransit || h.MadeAt != draft().MadeAt {
			t.Errorf("%s: header %+v", name, h)
		}
		next, err := l.Apply(all[delta], keys)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, c := range before {
			if !l.Contains(c) {
				t.Errorf("%s misses %s", name, c)
			}
		}
		for _, c := range after {
			if !next.Contains(c) {
				t.Errorf("%s misses %s after the delta", name, c)
			}
		}
		for _, c := range before[:2] {
			if next.Contains(c) {
				t.Errorf("%s still has %s", name, c)
			}
		}
		if next.Epoch() != 9 || next.Header().Count != uint64(len(after)) || l.Epoch() != 7 {
			t.Errorf("%s: epoch %d count %d", name, next.Epoch(), next.Header().Count)
		}
		for i := range uint64(50) {
			if strings.HasPrefix(name, "exact") && l.Contains(spread(2000+i)) {
				t.Errorf("%s has a card that was never listed", name)
			}
		}
	}
}

// A list with its deltas worked in is the same file as the full list of the epoch.
func TestCompactIsTheFullList(t *testing.T) {
	all, _, after := files(t)
	for name, delta := range map[string]string{"exact16": "delta16", "exact8": "delta8"} {
		next, err := open(t, all[name]).Apply(all[delta], nil)
		if err != nil {
			t.Fatal(err)
		}
		later := open(t, all[name+"-later"])
		packed := next.Compact()
		if packed.Overlay() != 0 || next.Overlay() != 5 || packed.Compact() != packed {
			t.Errorf("%s: overlay %d, then %d", name, next.Overlay(), packed.Overlay())
		}
		want := slices.Collect(later.All())
		if !slices.Equal(slices.Collect(packed.All()), want) ||
			!slices.Equal(slices.Collect(next.All()), want) || len(want) != len(after) {
			t.Errorf("%s: the lists differ", name)
		}
	}
}

func TestSignatures(t *testing.T) {
	all, tokens, _ := files(t)
	_, keys := testSigner(t)
	strange, err := list.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := list.EncodeExact(draft(), list.Wide, tokens, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := all["exact16"]
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	later := bytes.Clone(good)
	later[55]++ // the epoch, which the signature covers
	for name, c := range map[string]struct {
		file []byte
		keys *list.Keys
		want error
	}{
		"good": {good, keys, nil}, "trusted way": {good, nil, nil},
		"unsigned on a trusted way": {unsigned, nil, nil},
		"unsigned":                  {unsigned, keys, list.ErrUnsigned},
		"strange key":               {good, strange, list.ErrUnsigned},
		"forged":                    {forged, keys, list.ErrUnsigned},
		"another epoch":             {later, keys, list.ErrUnsigned},
	} {
		if _, err := list.Open(c.file, c.keys); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestSM2Signature(t *testing.T) {
	private, err := sm.NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	by, err := receipt.NewSM2Signer("gates/sm2", private, strings.NewReader(strings.Repeat("r", 4096)))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := list.NewKeys(receipt.Key{ID: "gates/sm2", Algorithm: receipt.SM2,
		Public: by.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	file, err := list.EncodeExact(draft(), list.Narrow, sortedTokens(3), by)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list.Open(file, keys); err != nil {
		t.Error(err)
	}
	file[60] ^= 1
	if _, err := list.Open(file, keys); err == nil {
		t.Error("a changed header was taken")
	}
	if _, err := list.NewKeys(receipt.Key{ID: "short", Algorithm: receipt.SM2}); err == nil {
		t.Error("a key without its point was taken")
	}
}

type badSigner struct {
	id        string
	algorithm receipt.Algorithm
	signature []byte
	err       error
}

func (s badSigner) KeyID() string                { return s.id }
func (s badSigner) Algorithm() receipt.Algorithm { return s.algorithm }
func (s badSigner) Sign([]byte) ([]byte, error)  { return s.signature, s.err }

func TestSignerFaults(t *testing.T) {
	broken := errors.New("module is gone")
	for name, c := range map[string]struct {
		by   badSigner
		want error
	}{
		"fault":     {badSigner{"k", receipt.SM2, nil, broken}, broken},
		"short":     {badSigner{"k", receipt.SM2, make([]byte, 63), nil}, list.ErrInput},
		"algorithm": {badSigner{"k", "rsa", make([]byte, 64), nil}, list.ErrInput},
		"no id":     {badSigner{"", receipt.SM2, make([]byte, 64), nil}, list.ErrInput},
		"long id":   {badSigner{strings.Repeat("k", 129), receipt.SM2, make([]byte, 64), nil}, list.ErrInput},
	} {
		if _, err := list.EncodeExact(draft(), list.Wide, nil, c.by); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	two := sortedTokens(2)
	swapped := []pan.Token{two[1], two[0]}
	for name, encode := range map[string]func(list.Draft) ([]byte, error){
		"order":        func(d list.Draft) ([]byte, error) { return list.EncodeExact(d, 16, swapped, nil) },
		"filter order": func(d list.Draft) ([]byte, error) { return list.EncodeFilter(d, list.Filter8, swapped, nil) },
		"width":        func(d list.Draft) ([]byte, error) { return list.EncodeExact(d, 12, two, nil) },
		"no epoch": func(d list.Draft) ([]byte, error) {
			d.Epoch = 0
			return list.EncodeExact(d, 16, two, nil)
		},
		"base of a full list": func(d list.Draft) ([]byte, error) {
			d.Base = 3
			return list.EncodeExact(d, 16, two, nil)
		},
		"long scheme": func(d list.Draft) ([]byte, error) {
			d.Scheme = "a name of more than sixteen"
			return list.EncodeExact(d, 16, two, nil)
		},
		"delta backwards": func(d list.Draft) ([]byte, error) {
			d.Base = 8
			return list.EncodeDelta(d, 16, list.Changes{}, nil)
		},
		"delta order": func(d list.Draft) ([]byte, error) {
			d.Base = 6
			return list.EncodeDelta(d, 16, list.Changes{Removes: swapped}, nil)
		},
		"numbers short": func(d list.Draft) ([]byte, error) {
			d.Count = 2
			return list.EncodeNumbers(d, nil, nil)
		},
	} {
		if _, err := encode(draft()); !errors.Is(err, list.ErrInput) {
			t.Errorf("%s: error %v, want ErrInput", name, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	var numbers []pan.Number
	for _, s := range []string{"3104123456789012", "31041234567890123", "6200000000000005"} {
		n, err := pan.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	d := draft()
	d.Count = 2
	file, err := list.EncodeNumbers(d, []pan.Number{numbers[1], numbers[0]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, file)
	if !l.ContainsNumber(numbers[0]) || !l.ContainsNumber(numbers[1]) || l.ContainsNumber(numbers[2]) {
		t.Error("the numbers are not told apart")
	}
	if !l.Contains(spread(1)) {
		t.Error("a list of numbers says that a token is not frozen")
	}
	all, _, _ := files(t)
	if !open(t, all["exact16"]).ContainsNumber(numbers[2]) {
		t.Error("a list of tokens says that a number is not frozen")
	}
	if _, err := l.Apply(all["delta16"], nil); !errors.Is(err, list.ErrOther) {
		t.Errorf("delta on numbers: %v", err)
	}
	if _, err := list.EncodeNumbers(d, []pan.Number{numbers[0], numbers[0]}, nil); err == nil {
		t.Error("a double number was written")
	}
}

// A delta is taken only by the list that it was made for.
func TestApplyRefuses(t *testing.T) {
	all, before, _ := files(t)
	other := func(change func(*list.Draft)) []byte {
		d := draft()
		change(&d)
		file, err := list.EncodeExact(d, list.Wide, before, nil)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	fewer, err := list.EncodeExact(draft(), list.Wide, before[1:], nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, full := range map[string][]byte{
		"narrow": all["exact8"], "later": all["exact16-later"], "other content": fewer,
		"other scheme": other(func(d *list.Draft) { d.Scheme = "elsewhere" }),
		"other key":    other(func(d *list.Draft) { d.KeyID = "tok-2" }),
		"other scope":  other(func(d *list.Draft) { d.Scope = txn.AppPurse }),
		"other epoch":  other(func(d *list.Draft) { d.Epoch = 6 }),
	} {
		if _, err := open(t, full).Apply(all["delta16"], nil); !errors.Is(err, list.ErrOther) {
			t.Errorf("%s: error %v, want ErrOther", name, err)
		}
	}
	l := open(t, all["exact16"])
	if _, err := l.Apply(all["exact16-later"], nil); !errors.Is(err, list.ErrOther) {
		t.Errorf("full list as delta: %v", err)
	}
	if _, err := list.Open(all["delta16"], nil); !errors.Is(err, list.ErrDamaged) {
		t.Errorf("delta as full list: %v", err)
	}
	// A delta with a card less does not add up.
	d := draft()
	to := open(t, all["exact16-later"]).Header()
	d.Epoch, d.Base, d.Count = 9, 7, to.Count
	d.Check, d.BaseCheck = to.Check, l.Header().Check
	short, err := list.EncodeDelta(d, list.Wide, list.Changes{Removes: before[:2]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Apply(short, nil); !errors.Is(err, list.ErrDamaged) {
		t.Errorf("short delta: %v", err)
	}
}

// An overlay does not grow without end.
func TestOverlayMax(t *testing.T) {
	tokens := sortedTokens(list.OverlayMax + 1)
	empty, err := list.EncodeExact(draft(), list.Wide, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := draft()
	d.Epoch = 9
	for _, n := range []int{list.OverlayMax, list.OverlayMax + 1} {
		full, err := list.EncodeExact(d, list.Wide, tokens[:n], nil)
		if err != nil {
			t.Fatal(err)
		}
		from, to := open(t, empty), open(t, full)
		_, err = from.Apply(deltaOf(t, from, to, list.Wide, list.Changes{Adds: tokens[:n]}, nil), nil)
		if (err != nil) != (n > list.OverlayMax) || err != nil && !errors.Is(err, list.ErrOther) {
			t.Errorf("%d changes: %v", n, err)
		}
	}
}

// Every byte counts: a file that differs in any place is refused.
func TestEveryByteIsChecked(t *testing.T) {
	all, _, _ := files(t)
	_, keys := testSigner(t)
	for name, file := range all {
		for i := range file {
			changed := bytes.Clone(file)
			changed[i] ^= 0x10
			_, err := list.Open(changed, keys)
			if strings.HasPrefix(name, "delta") {
				_, err = open(t, all["exact"+name[5:]]).Apply(changed, keys)
			}
			if err == nil {
				t.Errorf("%s with byte %d changed was taken", name, i)
			}
		}
		for _, n := range []int{0, 8, list.HeaderSize - 1, list.HeaderSize, len(file) - 1} {
			if _, err := list.Open(file[:n], nil); !errors.Is(err, list.ErrDamaged) {
				t.Errorf("%s cut to %d: %v", name, n, err)
			}
		}
	}
}

// reseal gives a body and a header of any content the hash that they need, so that fuzzing
// gets behind it.
func reseal(header, body []byte) []byte {
	file := append(make([]byte, 0, list.HeaderSize+len(body)+2), make([]byte, list.HeaderSize)...)
	copy(file, header)
	file = append(file, body...)
	size := uint64(len(body))
	for i := range 8 {
		file[127-i] = byte(size >> (8 * i))
	}
	sum := sha256.Sum256(body)
	copy(file[128:], sum[:])
	return append(file, 0, 0)
}

// FuzzOpen: whatever a file says, a reader answers or refuses; it does not panic, and takes
// no more memory than the file is long.
func FuzzOpen(f *testing.F) {
	all, before, _ := files(f)
	for _, file := range all {
		f.Add(file[:list.HeaderSize], file[list.HeaderSize:len(file)-2-7-64])
	}
	f.Fuzz(func(t *testing.T, header, body []byte) {
		l, err := list.Open(reseal(header, body), nil)
		if err != nil {
			return
		}
		for _, c := range before {
			l.Contains(c)
		}
		n := 0
		for c := range l.All() {
			if !l.Contains(c) {
				t.Errorf("%s is in the list and not contained", c)
			}
			n++
		}
		if n > len(body) {
			t.Error("more cards than bytes")
		}
		l.Compact()
	})
}

// FuzzApply: the same for deltas.
func FuzzApply(f *testing.F) {
	all, before, _ := files(f)
	for _, name := range []string{"delta16", "delta8"} {
		f.Add(all[name][:list.HeaderSize], all[name][list.HeaderSize:len(all[name])-2-7-64])
	}
	bases := []string{"exact16", "exact8", "filter8", "filter16"}
	f.Fuzz(func(t *testing.T, header, body []byte) {
		file := reseal(header, body)
		for _, name := range bases {
			l := open(t, all[name])
			next, err := l.Apply(file, nil)
			if err != nil {
				continue
			}
			for _, c := range before {
				next.Contains(c)
			}
			if next.Epoch() <= l.Epoch() {
				t.Errorf("epoch %d after %d", next.Epoch(), l.Epoch())
			}
			next.Compact()
		}
	})
}

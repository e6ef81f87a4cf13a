package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// TestImportAlgorithms imports a key of every algorithm, of two and of three components, and
// looks at what is in the ring.
func TestImportAlgorithms(t *testing.T) {
	r := emptyRing(t, Options{})
	for _, c := range []struct {
		ref string
		a   Algorithm
		key string
	}{
		{"terminal_mac/des", DES, bdkTDES[:16]},
		{"pin/tdes2", TDES2, bdkTDES},
		{"pin/tdes3", TDES3, bdkTDES + kekTDES[:16]},
		{"pin/aes128", AES128, bdkAES},
		{"pin/aes192", AES192, bdkAES + "0011223344556677"},
		{"pin/aes256", AES256, kekAES},
		{"pin/sm4", SM4, sm4Key},
		{"card_token/hmac", HMACSHA256, tokenKey},
		{"receipt/sm2", SM2, tokenKey},
		{"receipt/ed25519", Ed25519, tokenKey},
	} {
		ref := put(t, r, c.ref, c.a, c.key)
		v := r.table.Load().byRef[ref]
		if !bytes.Equal(v.key.open(), unhex(t, c.key)) {
			t.Errorf("%s: another key", c.ref)
		}
		info := must(r.Info(ref))(t)
		if info.Algorithm != c.a || info.KCVKind != algorithms[c.a].kcv || info.Origin != "components" {
			t.Errorf("%s: %+v", c.ref, info)
		}
		if want := c.a == SM2 || c.a == Ed25519; (len(info.Public) > 0) != want {
			t.Errorf("%s: public key of %d bytes", c.ref, len(info.Public))
		}
		// Three components: two of the split, of which the second is split again.
		whole := parts(t, c.a, c.key)
		rest := whole[1].value.open()
		again := []KeyComponent{whole[0]}
		mask := bytes.Repeat([]byte{0x5a, 0x21}, len(rest)/2)
		for i := range rest {
			rest[i] ^= mask[i]
		}
		kind := c.a
		if algorithms[c.a].kcv == KCVPublic {
			kind = HMACSHA256
		}
		for _, part := range [][]byte{rest, mask} {
			again = append(again, NewKeyComponent(part, must(kcvOf(kind, part))(t)))
		}
		three := must(r.Import(ClearKey{Ref: Ref{ref.Purpose, ref.Scheme, 7}, Algorithm: c.a,
			Components: again, KCV: info.KCV}, two))(t)
		if three.KCV != info.KCV {
			t.Errorf("%s of three components: KCV %s, want %s", c.ref, three.KCV, info.KCV)
		}
	}
}

// TestImportParity imports keys whose components have this or that parity.
func TestImportParity(t *testing.T) {
	r := emptyRing(t, Options{})
	odd := func(s string) []byte {
		b := unhex(t, s)
		block.SetOddParity(b)
		return b
	}
	one, two2 := odd("3152467983a4c7d80f1e2d3c4b5a6978"), odd("e6d5c4b3a29180f76e5d4c3b2a190817")
	xor := func(a, b []byte) []byte {
		out := bytes.Clone(a)
		for i := range out {
			out[i] ^= b[i]
		}
		return out
	}
	key, ones, bit := odd(bdkTDES), bytes.Repeat([]byte{1}, 16), make([]byte, 16)
	bit[0] = 1
	for name, c := range map[string]struct {
		parts [][]byte
		err   error
	}{
		"two odd ones, whose XOR is even":  {[][]byte{one, two2}, nil},
		"the rest of an odd key":           {[][]byte{one, xor(key, one)}, nil},
		"three odd ones":                   {[][]byte{one, two2, xor(xor(key, one), two2)}, nil},
		"one bit wrong in one component":   {[][]byte{one, xor(xor(key, one), bit)}, block.ErrParity},
		"even ones, whose XOR is even too": {[][]byte{xor(one, ones), xor(two2, ones)}, block.ErrParity},
	} {
		var in []KeyComponent
		for _, p := range c.parts {
			in = append(in, NewKeyComponent(bytes.Clone(p), must(kcvOf(TDES2, p))(t)))
		}
		info, err := r.Import(ClearKey{Ref: Ref{Purpose: PIN, Scheme: "p"}, Algorithm: TDES2,
			Components: in}, two)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if err == nil && !block.OddParity(r.table.Load().byRef[info.Ref].key.open()) {
			t.Errorf("%s: the key has even parity", name)
		}
	}
}

// TestImportNeedsAlgorithm leaves the algorithm out.
func TestImportNeedsAlgorithm(t *testing.T) {
	r := emptyRing(t, Options{})
	_, err := r.Import(ClearKey{Ref: Ref{PIN, "x", 1}}, two)
	wantError(t, err, ErrAlgorithm)
	for _, p := range Purposes() {
		for a := DES; a < algorithmEnd; a++ {
			fits := p.fits(a) == nil
			_, err := r.Import(ClearKey{Ref: Ref{p, "x", 1}, Algorithm: a}, two)
			if errors.Is(err, ErrAlgorithm) == fits {
				t.Errorf("%v for %v: %v, fits is %v", a, p, err, fits)
			}
		}
	}
}

// TestGenerateAll makes a key of every purpose and algorithm.
func TestGenerateAll(t *testing.T) {
	r := emptyRing(t, Options{})
	seen := map[string]string{}
	for _, p := range Purposes() {
		for _, a := range append(p.Algorithms(), AlgorithmNone) {
			ref := Ref{Purpose: p, Scheme: "g"}
			info := must(r.Generate(NewKey{Ref: ref, Algorithm: a}, two))(t)
			if a == AlgorithmNone && info.Algorithm != p.Algorithms()[0] {
				t.Errorf("%v: usual algorithm %v", p, info.Algorithm)
			}
			key := r.table.Load().byRef[info.Ref].key.open()
			if err := check(info.Algorithm, key); err != nil {
				t.Errorf("%v: %v", info.Ref, err)
			}
			if other, twice := seen[string(key)]; twice {
				t.Errorf("%v and %s are the same key", info.Ref, other)
			}
			seen[string(key)] = info.Ref.String()
		}
	}
	r.Close()
	a, b := twoComponents(t)
	again := must(Open(r.path, a, b, Options{}))(t)
	defer again.Close()
	if p := must(again.Verify())(t); p.Checked != len(seen) || len(p.Problems) != 0 {
		t.Errorf("report %+v, want %d keys", p, len(seen))
	}
}

// TestVerifyFinds has a store whose metadata is wrong behind good seals.
func TestVerifyFinds(t *testing.T) {
	r := emptyRing(t, Options{})
	ref := put(t, r, "pin/x", TDES2, bdkTDES)
	m := r.table.Load().image(kindSoftware)
	wrong := *m.records[0].meta
	wrong.KCV = "00000000"
	m.records[0].meta = &wrong
	noError(t, os.WriteFile(r.path, must(r.vault.seal(m, zeros{}))(t), 0o600))
	p := must(r.Verify())(t)
	if p.Checked != 0 || len(p.Problems) != 1 || !strings.HasPrefix(p.Problems[0], ref.String()) {
		t.Errorf("report %+v", p)
	}
	noError(t, os.WriteFile(r.path, []byte("nothing"), 0o600))
	_, err := r.Verify()
	wantError(t, err, ErrTampered)
}

// TestExportStates exports a key in each of its states.
func TestExportStates(t *testing.T) {
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	r := emptyRing(t, Options{Now: func() time.Time { return clock }})
	kek := put(t, r, "key_exchange/k", TDES2, kekTDES)
	info := must(r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "x"}, Exportable: true}, two))(t)
	export := func(state State, want error) {
		t.Helper()
		if got := must(r.Info(info.Ref))(t).State; got != state {
			t.Errorf("state %v, want %v", got, state)
		}
		text, err := r.ExportBlock(info.Ref, kek, two)
		if !errors.Is(err, want) || (text == "") != (want != nil) {
			t.Errorf("%v: %v, want %v", state, err, want)
		}
	}
	export(Pending, nil)
	noError(t, r.Activate(info.Ref, two))
	export(Active, nil)
	noError(t, r.Retire(info.Ref, time.Hour, two))
	export(Retiring, nil)
	clock = clock.Add(time.Hour)
	export(Retired, ErrState)
	noError(t, r.Destroy(info.Ref, two))
	export(Destroyed, ErrDestroyed)
	noError(t, r.Retire(kek, time.Hour, two))
	other := must(r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "y"}, Exportable: true}, two))(t)
	_, err := r.ExportBlock(other.Ref, kek, two)
	wantError(t, err, ErrNotActive) // a retiring key wraps nothing new
}

// TestDisk looks at the disk of the machine by itself.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	d := osDisk{}
	_, err := d.Read(path)
	wantError(t, err, fs.ErrNotExist)
	noError(t, d.Write(path, []byte("one")))
	noError(t, d.Write(path, []byte("2"))) // over it
	if got := must(d.Read(path))(t); string(got) != "2" {
		t.Errorf("read %q", got)
	}
	noError(t, os.Chmod(path, 0o644))
	noError(t, d.Write(path, []byte("3")))
	if mode := must(os.Stat(path))(t).Mode().Perm(); mode != 0o600 {
		t.Errorf("written over a file of mode 0644, it has %04o", mode)
	}
	wantError(t, writeFile(path, nil, os.O_EXCL), fs.ErrExist)
	noError(t, d.Replace(path, path+"2"))
	_, err = d.Read(path)
	wantError(t, err, fs.ErrNotExist)
	wantError(t, d.Replace(path, path+"2"), fs.ErrNotExist)
	wantError(t, d.Write(filepath.Join(dir, "no", "file"), nil), fs.ErrNotExist)
	if _, err := d.Lock(filepath.Join(dir, "no", "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lock: %v", err)
	}
	noError(t, os.Truncate(path+"2", fileMax+1))
	if _, err := d.Read(path + "2"); err == nil {
		t.Error("a file beyond the limit was read")
	}
	noError(t, os.Symlink(path+"2", path))
	if err := d.Write(path, nil); err == nil {
		t.Error("written through a symbolic link")
	}
}

// TestLock holds the lock while another waits for it.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock := must(osDisk{}.Lock(path))(t)
	got := make(chan error)
	var held atomic.Bool
	held.Store(true)
	started := make(chan struct{})
	go func() {
		close(started)
		other, err := osDisk{}.Lock(path)
		if err == nil {
			if held.Load() {
				err = errors.New("two have the lock")
			}
			other()
		}
		got <- err
	}()
	<-started
	held.Store(false)
	unlock()
	noError(t, <-got)
}

// TestOldTemporary finds what a crash left beside the store.
func TestOldTemporary(t *testing.T) {
	r, path := newStore(t, Options{})
	defer r.Close()
	noError(t, os.WriteFile(path+".new", []byte(strings.Repeat("left by a crash", 1000)), 0o644))
	must(r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "x"}}, two))(t)
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file is still there: %v", err)
	}
	if p := must(r.Verify())(t); len(p.Problems) != 0 {
		t.Errorf("report %+v", p)
	}
}

// TestSecret wipes one of two copies.
func TestSecret(t *testing.T) {
	source := []byte{1, 2, 3}
	s := copySecret(source)
	other := s
	source[0] = 9
	if !bytes.Equal(s.open(), []byte{1, 2, 3}) {
		t.Error("a copy changed with its source")
	}
	held := s.open()
	other.wipe()
	if len(s.open()) != 0 || !bytes.Equal(held, make([]byte, 3)) {
		t.Error("wiping one copy left the other")
	}
	s.wipe()
	var none secret
	none.wipe()
	if none.open() != nil || fmt.Sprint(none) != masked {
		t.Error("the zero secret")
	}
}

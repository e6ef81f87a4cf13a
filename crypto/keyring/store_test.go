package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var two = Actor{Name: "wang", Second: "li"}

// twoComponents returns two components of fixed bytes.
func twoComponents(t testing.TB) (a, b *Component) {
	t.Helper()
	return fixedComponent(t, 0x11), fixedComponent(t, 0x75)
}

func fixedComponent(t testing.TB, seed byte) *Component {
	t.Helper()
	b := make([]byte, componentSize)
	for i := range b {
		b[i] = seed + byte(i*i)
	}
	c, _, err := NewComponent(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want %v", err, target)
	}
}

// newStore makes a store with three keys, one of them destroyed, and returns its path.
func newStore(t testing.TB, o Options) (*Ring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	a, b := twoComponents(t)
	o.Actor = two
	r := must(CreateStore(path, a, b, o))(t)
	for _, ref := range []string{"mac/link", "pin/zone", "data/x"} {
		must(r.Generate(NewKey{Ref: must(ParseRef(ref))(t)}, two))(t)
	}
	noError(t, r.Activate(Ref{MessageMAC, "link", 1}, two))
	noError(t, r.Destroy(Ref{Data, "x", 1}, two))
	return r, path
}

// reseal puts a right HMAC under a file that was changed, to get at what is behind it.
func reseal(t testing.TB, file []byte) []byte {
	t.Helper()
	a, b := twoComponents(t)
	master := must(combine(a, b))(t)
	v := must(newVault(kindSoftware, master.open(), [saltSize]byte(file[len(magic)+1+kcvSize:])))(t)
	body := file[:len(file)-sha256.Size]
	return append(slices.Clone(body), v.sum(body)...)
}

// TestEveryByte changes each byte of a store: it must be refused each time.
func TestEveryByte(t *testing.T) {
	r, path := newStore(t, Options{})
	r.Close()
	file := must(os.ReadFile(path))(t)
	a, b := twoComponents(t)
	kcv, kind := len(magic)+1, len(magic)
	for i := range file {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := slices.Clone(file)
			bad[i] ^= flip
			noError(t, os.WriteFile(path, bad, 0o600))
			r, err := Open(path, a, b, Options{})
			expected := ErrTampered
			switch {
			case i == kind:
				expected = ErrKind
			case i >= kcv && i < kcv+kcvSize:
				expected = ErrMaster
			}
			if r != nil || !errors.Is(err, expected) {
				t.Fatalf("byte %d ^ %02x: %v, want %v", i, flip, err, expected)
			}
		}
	}
}

// TestTruncated cuts a store at every length.
func TestTruncated(t *testing.T) {
	r, path := newStore(t, Options{})
	r.Close()
	file := must(os.ReadFile(path))(t)
	a, b := twoComponents(t)
	for n := range file {
		noError(t, os.WriteFile(path, file[:n], 0o600))
		_, err := Open(path, a, b, Options{})
		wantError(t, err, ErrTampered)
	}
	noError(t, os.WriteFile(path, append(slices.Clone(file), 0), 0o600))
	_, err := Open(path, a, b, Options{})
	wantError(t, err, ErrTampered)
}

// TestBehindTheMAC changes entries as somebody could who has the key of the file's HMAC but
// not that of the entries: seals must hold by themselves.
func TestBehindTheMAC(t *testing.T) {
	r, path := newStore(t, Options{})
	r.Close()
	file := must(os.ReadFile(path))(t)
	a, b := twoComponents(t)
	try := func(name string, change func([]byte) []byte) {
		t.Helper()
		noError(t, os.WriteFile(path, reseal(t, change(slices.Clone(file))), 0o600))
		_, err := Open(path, a, b, Options{})
		if !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v, want %v", name, err, ErrTampered)
		}
	}
	for i := headerSize; i < len(file)-sha256.Size; i++ {
		try("a byte of an entry", func(f []byte) []byte { f[i] ^= 0x20; return f })
	}
	count := headerSize - 4
	try("one entry less", func(f []byte) []byte { f[count+3]--; return f })
	try("one entry more", func(f []byte) []byte { f[count+3]++; return f })
	try("too many entries", func(f []byte) []byte {
		binary.BigEndian.PutUint32(f[count:], entriesMax+1)
		return f
	})
	try("an entry twice", func(f []byte) []byte {
		first := firstEntry(f)
		f[count+3]++
		return slices.Insert(f, headerSize, first...)
	})
	try("bytes after the entries", func(f []byte) []byte {
		return slices.Insert(f, len(f)-sha256.Size, 1, 2, 3)
	})
	noError(t, os.WriteFile(path, reseal(t, file), 0o600))
	again := must(Open(path, a, b, Options{}))(t)
	again.Close()
}

func firstEntry(file []byte) []byte {
	b := file[headerSize:]
	n := 4 + int(binary.BigEndian.Uint32(b))
	n += 4 + int(binary.BigEndian.Uint32(b[n:]))
	return slices.Clone(b[:n])
}

// TestForeignEntry seals entries that this program would not write.
func TestForeignEntry(t *testing.T) {
	a, b := twoComponents(t)
	master := must(combine(a, b))(t)
	v := must(newVault(kindSoftware, master.open(), [saltSize]byte{1}))(t)
	good := meta{Ref: Ref{PIN, "x", 1}, Algorithm: AES128}
	for name, change := range map[string]func(*meta){
		"version 0":     func(m *meta) { m.Ref.Version = 0 },
		"purpose":       func(m *meta) { m.Algorithm = SM2 },
		"scheme":        func(m *meta) { m.Ref.Scheme = "a/b" },
		"length":        func(m *meta) { m.Algorithm = AES256 },
		"not destroyed": func(m *meta) { m.State = Destroyed },
	} {
		m := good
		change(&m)
		file, err := v.seal(&image{kind: kindSoftware, generation: 1,
			records: []record{{&m, copySecret(make([]byte, 16))}}}, zeros{})
		noError(t, err)
		if _, _, err := openFile(kindSoftware, master.open(), file); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := good
	long.Origin = strings.Repeat("x", metaMax)
	if _, err := v.seal(&image{records: []record{{&long, secret{}}}}, zeros{}); err == nil {
		t.Error("metadata beyond the limit was written")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestWrongMaster(t *testing.T) {
	r, path := newStore(t, Options{})
	kcv := r.MasterKCV()
	r.Close()
	a, b := twoComponents(t)
	c := fixedComponent(t, 0x42)
	_, err := Open(path, a, c, Options{})
	wantError(t, err, ErrMaster)
	wrong := must(CombinedKCV(a, c))(t)
	if !strings.Contains(err.Error(), string(kcv)) || !strings.Contains(err.Error(), string(wrong)) {
		t.Errorf("%v does not show both check values", err)
	}
	for name, pair := range map[string][2]*Component{"equal": {a, a}, "missing": {a, nil},
		"copies": {a, fixedComponent(t, 0x11)}} {
		if _, err := Open(path, pair[0], pair[1], Options{}); !errors.Is(err, ErrComponents) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if right := must(CombinedKCV(b, a))(t); right != kcv {
		t.Errorf("combined KCV %s, the store's is %s", right, kcv)
	}
	c.Close()
	_, err = Open(path, a, c, Options{})
	wantError(t, err, ErrClosed)
	_, err = OpenOnToken(path, brokenToken{}, Options{})
	if err == nil {
		t.Error("opened on a broken token")
	}
}

func TestGenerations(t *testing.T) {
	r, path := newStore(t, Options{})
	old := must(os.ReadFile(path))(t)
	last := r.Generation()
	must(r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "x"}}, two))(t)
	if got := r.Generation(); got != last+1 {
		t.Errorf("generation %d after %d", got, last)
	}
	last = r.Generation()
	r.Close()
	noError(t, os.WriteFile(path, old, 0o600))
	a, b := twoComponents(t)
	_, err := Open(path, a, b, Options{Generation: last})
	wantError(t, err, ErrRollback)
	again := must(Open(path, a, b, Options{Generation: last - 1}))(t)
	again.Close()
}

func TestChangeMaster(t *testing.T) {
	r, path := newStore(t, Options{})
	a, b := twoComponents(t)
	c, d := fixedComponent(t, 0x42), fixedComponent(t, 0x99)
	wantError(t, r.ChangeMaster(a, b, two), ErrComponents)
	wantError(t, r.ChangeMaster(c, c, two), ErrComponents)
	before, old := r.List(), must(os.ReadFile(path))(t)
	noError(t, r.ChangeMaster(c, d, two))
	if r.MasterKCV() != must(CombinedKCV(c, d))(t) {
		t.Error("the ring shows the old master key")
	}
	must(r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "x"}}, two))(t) // under the new one
	r.Close()
	_, err := Open(path, a, b, Options{})
	wantError(t, err, ErrMaster)
	again := must(Open(path, c, d, Options{}))(t)
	defer again.Close()
	if got := again.List(); len(got) != len(before)+1 {
		t.Errorf("%d keys, want %d", len(got), len(before)+1)
	}
	if bytes.Equal(old[len(magic)+1+kcvSize:][:saltSize],
		must(os.ReadFile(path))(t)[len(magic)+1+kcvSize:][:saltSize]) {
		t.Error("the salt is the old one")
	}
}

// TestAccess opens files and directories to others: they must be refused.
func TestAccess(t *testing.T) {
	r, path := newStore(t, Options{})
	r.Close()
	a, b := twoComponents(t)
	dir := filepath.Dir(path)
	part := filepath.Join(dir, "part")
	noError(t, a.WriteFile(part))
	for mode := fs.FileMode(0); mode <= 0o777; mode++ {
		noError(t, os.Chmod(path, mode))
		noError(t, os.Chmod(part, mode))
		expected := error(nil)
		if mode&0o077 != 0 {
			expected = ErrOpenToOthers
		} else if mode&0o400 == 0 && os.Geteuid() != 0 {
			expected = fs.ErrPermission
		}
		r, err := Open(path, a, b, Options{})
		_, err2 := ReadComponent(part)
		if !errors.Is(err, expected) || !errors.Is(err2, expected) {
			t.Fatalf("mode %04o: %v and %v, want %v", mode, err, err2, expected)
		}
		if r != nil {
			r.Close()
		}
	}
	noError(t, os.Chmod(path, 0o600))
	noError(t, os.Chmod(dir, 0o777))
	_, err := Open(path, a, b, Options{})
	wantError(t, err, ErrOpenToOthers)
	wantError(t, a.WriteFile(filepath.Join(dir, "other")), ErrOpenToOthers)
	_, err = CreateStore(filepath.Join(dir, "new"), a, b, Options{Actor: two})
	wantError(t, err, ErrOpenToOthers)
	_, err = OpenFileSink(filepath.Join(dir, "trail"))
	wantError(t, err, ErrOpenToOthers)
	noError(t, os.Chmod(dir, 0o700))
	link := filepath.Join(dir, "link")
	noError(t, os.Symlink(path, link))
	if _, err := Open(link, a, b, Options{}); err == nil {
		t.Error("a store behind a symbolic link was opened")
	}
	if _, err := Open(dir, a, b, Options{}); err == nil {
		t.Error("a directory was opened")
	}
}

func TestModes(t *testing.T) {
	r, path := newStore(t, Options{})
	defer r.Close()
	for _, name := range []string{path, path + ".lock"} {
		if mode := must(os.Stat(name))(t).Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %04o", name, mode)
		}
	}
	a, b := twoComponents(t)
	_, err := CreateStore(path, a, b, Options{Actor: two})
	wantError(t, err, ErrExists)
	_, err = CreateStore(path+"2", a, b, Options{Actor: Actor{Name: "wang"}})
	wantError(t, err, ErrTwoPersons)
	if _, err := os.Stat(path + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a refused store was made")
	}
}

func TestComponentFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "part")
	c, kcv, err := NewComponent(nil)
	noError(t, err)
	noError(t, c.WriteFile(path))
	wantError(t, c.WriteFile(path), ErrExists)
	if mode := must(os.Stat(path))(t).Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %04o", mode)
	}
	again := must(ReadComponent(path))(t)
	if again.KCV() != kcv || !bytes.Equal(again.secret.open(), c.secret.open()) {
		t.Error("another component came back")
	}
	text := string(must(os.ReadFile(path))(t))
	lines := strings.Split(text, "\n")
	for name, bad := range map[string]string{
		"empty": "", "title": "x" + text, "no KCV": lines[0] + "\n" + lines[1] + "\n",
		"wrong KCV":  strings.Replace(text, "KCV "+string(kcv), "KCV 0000000000", 1),
		"short KCV":  strings.Replace(text, string(kcv), string(kcv[:6]), 1),
		"digit":      strings.Replace(text, lines[1][len(lines[1])-1:]+"\nKCV", "G\nKCV", 1),
		"short key":  strings.Replace(text, lines[1], lines[1][:len(lines[1])-2], 1),
		"line after": text + "x\n", "long": text + strings.Repeat("\n", componentFileMax),
	} {
		if got, err := ParseComponent([]byte(bad)); err == nil || got != nil {
			t.Errorf("%s: taken", name)
		} else if !errors.Is(err, ErrComponentFile) && !errors.Is(err, ErrKCV) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range text {
		bad := []byte(text)
		bad[i] ^= 1
		if _, err := ParseComponent(bad); err == nil {
			t.Errorf("byte %d changed: taken", i)
		}
	}
	c.Close()
	wantError(t, c.WriteFile(path+"2"), ErrClosed)
	if c.KCV() != "" {
		t.Error("a closed component has a check value")
	}
	if _, _, err := NewComponent(zeros{}); err == nil {
		t.Error("a component of zeros was taken")
	}
	if _, _, err := NewComponent(strings.NewReader("short")); err == nil {
		t.Error("a source that ends gave a component")
	}
}

// memory is a disk that crashes at a step, and keeps what a real one would.
type memory struct {
	mu    sync.Mutex // guards what follows
	files map[string][]byte
	step  int // the step at which it crashes, 0 for none; counted down
	// late makes the step happen and then be reported as failed; half makes a write leave a
	// part.
	late, half bool
	down       bool
}

var errCrash = errors.New("the machine went down")

// crash reports whether this step is the last, which is done when late.
func (m *memory) crash() (fails, done bool) {
	if m.down {
		return true, false
	}
	if m.step > 0 {
		if m.step--; m.step == 0 {
			m.down = true
			return true, m.late
		}
	}
	return false, true
}

func (m *memory) Read(path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errCrash
	}
	b, ok := m.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(b), nil
}

func (m *memory) Write(path string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fails, done := m.crash()
	switch {
	case done:
		m.files[path] = slices.Clone(data)
	case fails && m.half:
		m.files[path] = slices.Clone(data[:len(data)/2])
	}
	if fails {
		return errCrash
	}
	return nil
}

func (m *memory) Replace(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fails, done := m.crash()
	if done {
		m.files[to] = m.files[from]
		delete(m.files, from)
	}
	if fails {
		return errCrash
	}
	return nil
}

func (m *memory) Lock(string) (func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fails, _ := m.crash(); fails {
		return nil, errCrash
	}
	return func() {}, nil
}

// TestCrash stops the machine at every step of every management call: what is there afterwards
// is the store before or after it, and it opens.
func TestCrash(t *testing.T) {
	a, b := twoComponents(t)
	c, d := fixedComponent(t, 0x42), fixedComponent(t, 0x99)
	calls := map[string]func(*Ring) error{
		"generate": func(r *Ring) error {
			_, err := r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "new"}}, two)
			return err
		},
		"activate": func(r *Ring) error { return r.Activate(Ref{PIN, "zone", 2}, two) },
		"rotate":   func(r *Ring) error { return r.Rotate(Ref{PIN, "zone", 2}, time.Hour, two) },
		"retire":   func(r *Ring) error { return r.Retire(Ref{PIN, "zone", 1}, 0, two) },
		"destroy":  func(r *Ring) error { return r.Destroy(Ref{PIN, "zone", 2}, two) },
		"master":   func(r *Ring) error { return r.ChangeMaster(c, d, two) },
	}
	for name, call := range calls {
		for step := 1; step <= 3; step++ {
			for _, how := range []struct{ late, half bool }{{}, {late: true}, {half: true}} {
				m := &memory{files: map[string][]byte{}}
				r := must(CreateStore("/keys", a, b, Options{Actor: two, disk: m}))(t)
				must(r.Generate(NewKey{Ref: Ref{PIN, "zone", 1}}, two))(t)
				noError(t, r.Activate(Ref{PIN, "zone", 1}, two))
				must(r.Generate(NewKey{Ref: Ref{PIN, "zone", 2}}, two))(t)
				before := maps.Clone(m.files)["/keys"]
				list, generation := r.List(), r.Generation()
				m.step, m.late, m.half = step, how.late, how.half
				err := call(r)
				if !errors.Is(err, errCrash) {
					t.Fatalf("%s, crash at step %d: %v", name, step, err)
				}
				if got := r.List(); !slices.EqualFunc(got, list, sameInfo) || r.Generation() != generation {
					t.Errorf("%s, crash at step %d: the ring changed", name, step)
				}
				r.Close()
				m.down = false
				checkAfterCrash(t, m, name, before, [4]*Component{a, b, c, d})
			}
		}
	}
}

func sameInfo(a, b Info) bool { return a.Ref == b.Ref && a.State == b.State && a.KCV == b.KCV }

// checkAfterCrash opens what a crash left, and makes a call on it.
func checkAfterCrash(t *testing.T, m *memory, name string, before []byte, of [4]*Component) {
	t.Helper()
	r, err := Open("/keys", of[0], of[1], Options{disk: m})
	if errors.Is(err, ErrMaster) && name == "master" {
		r, err = Open("/keys", of[2], of[3], Options{disk: m})
	}
	if err != nil {
		t.Fatalf("%s: after the crash: %v", name, err)
	}
	defer r.Close()
	if generation := r.Generation(); !bytes.Equal(before, m.files["/keys"]) && generation != 5 {
		t.Errorf("%s: generation %d after the crash", name, generation)
	}
	if _, err := r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "after"}}, two); err != nil {
		t.Errorf("%s: a call after the crash: %v", name, err)
	}
}

// TestNotDurable has the disk fail after the rename, and live on: the ring follows the disk,
// and says so.
func TestNotDurable(t *testing.T) {
	a, b := twoComponents(t)
	m := &memory{files: map[string][]byte{}}
	r := must(CreateStore("/keys", a, b, Options{Actor: two, disk: &survivor{memory: m}}))(t)
	defer r.Close()
	r.disk.(*survivor).fail = true
	info, err := r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "x"}}, two)
	wantError(t, err, ErrDurable)
	r.disk.(*survivor).fail = false
	if info.Ref.Version != 1 || len(r.List()) != 1 || r.Generation() != 2 {
		t.Errorf("the ring does not follow the disk: %+v, generation %d", info, r.Generation())
	}
	noError(t, r.Activate(Ref{PIN, "x", 1}, two))
}

// survivor reports a replacement that was done as failed.
type survivor struct {
	*memory
	fail bool
}

func (s *survivor) Replace(from, to string) error {
	err := s.memory.Replace(from, to)
	if s.fail {
		return errCrash
	}
	return err
}

// TestTwoProcesses changes a store through two rings.
func TestTwoProcesses(t *testing.T) {
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := func() time.Time { return clock }
	one, path := newStore(t, Options{Now: now})
	defer one.Close()
	a, b := twoComponents(t)
	other := must(Open(path, a, b, Options{Now: now}))(t)
	defer other.Close()
	if changed, err := other.Reload(); changed || err != nil {
		t.Errorf("nothing to reload: %v, %v", changed, err)
	}
	must(one.Generate(NewKey{Ref: Ref{MessageMAC, "link", 2}}, two))(t)
	noError(t, one.Rotate(Ref{MessageMAC, "link", 2}, time.Hour, two))
	noError(t, one.Destroy(Ref{PIN, "zone", 1}, two))
	wantError(t, other.Activate(Ref{PIN, "zone", 1}, two), ErrConflict)
	if err := other.crypt(Ref{Purpose: Data, Scheme: "x"}, OpEncrypt, nil); err == nil {
		t.Error("no key encrypted")
	}
	before := other.Uses()
	if changed, err := other.Reload(); !changed || err != nil {
		t.Fatalf("reload: %v, %v", changed, err)
	}
	if got := other.List(); !slices.EqualFunc(got, one.List(), sameInfo) {
		t.Errorf("after reload %v", got)
	}
	if !slices.Equal(other.Uses(), before) {
		t.Error("counters did not outlive the reload")
	}
	if info := must(other.Info(Ref{Purpose: MessageMAC, Scheme: "link"}))(t); info.Ref.Version != 2 {
		t.Errorf("active version %d", info.Ref.Version)
	}
	if v := other.table.Load().byRef[Ref{PIN, "zone", 1}]; len(v.key.open()) != 0 {
		t.Error("the material of a key destroyed elsewhere is still here")
	}
	noError(t, other.Retire(Ref{MessageMAC, "link", 1}, 0, two))
	wantError(t, one.Retire(Ref{MessageMAC, "link", 1}, 0, two), ErrConflict)
	p := must(one.Verify())(t)
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0], "reload") {
		t.Errorf("report %+v", p)
	}
}

// TestReloadRefuses reloads files that cannot be the next ones.
func TestReloadRefuses(t *testing.T) {
	r, path := newStore(t, Options{})
	defer r.Close()
	first := must(os.ReadFile(path))(t)
	must(r.Generate(NewKey{Ref: Ref{PIN, "zone", 2}}, two))(t)
	second := must(os.ReadFile(path))(t)
	put := func(b []byte) { t.Helper(); noError(t, os.WriteFile(path, b, 0o600)) }
	reload := func(target error) {
		t.Helper()
		before := r.Generation()
		changed, err := r.Reload()
		if changed || !errors.Is(err, target) || r.Generation() != before {
			t.Errorf("reload: %v, %v, want %v", changed, err, target)
		}
	}
	put(first)
	reload(ErrRollback)
	wantError(t, r.Activate(Ref{PIN, "zone", 2}, two), ErrConflict)
	bad := slices.Clone(second)
	bad[len(bad)-1] ^= 1
	put(bad)
	reload(ErrTampered)
	wantError(t, r.Activate(Ref{PIN, "zone", 2}, two), ErrTampered)
	put(second[:20])
	reload(ErrTampered)
	wantError(t, r.Activate(Ref{PIN, "zone", 2}, two), ErrTampered)
	noError(t, os.Remove(path))
	reload(fs.ErrNotExist)
	// A higher generation with a key gone, or with another in its place.
	m := r.table.Load().image(kindSoftware)
	m.generation += 5
	m.records = m.records[1:]
	put(must(r.vault.seal(m, zeros{}))(t))
	reload(ErrTampered)
	m = r.table.Load().image(kindSoftware)
	m.generation += 5
	m.records[0].key = copySecret(bytes.Repeat([]byte{7}, 16))
	put(must(r.vault.seal(m, zeros{}))(t))
	reload(ErrTampered)
	// Another master key.
	put(second)
	a, b := twoComponents(t)
	other := must(Open(path, a, b, Options{}))(t)
	noError(t, other.ChangeMaster(fixedComponent(t, 0x42), b, two))
	other.Close()
	reload(ErrMaster)
	wantError(t, r.Activate(Ref{PIN, "zone", 2}, two), ErrConflict)
}

// TestOnDisk looks for key bytes in the files.
func TestOnDisk(t *testing.T) {
	a, b := twoComponents(t)
	path := filepath.Join(t.TempDir(), "keys")
	r := must(CreateStore(path, a, b, Options{Actor: two}))(t)
	defer r.Close()
	must(r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "x"}}, two))(t)
	v := r.table.Load().order[0]
	file := must(os.ReadFile(path))(t)
	for name, b := range map[string][]byte{"the key": v.key.open(), "a component": a.secret.open(),
		"the MAC key": r.vault.mac.open()} {
		if len(b) == 0 || bytes.Contains(file, b) || bytes.Contains(file, b[:8]) {
			t.Errorf("%s is in the file", name)
		}
	}
}

// TestNonces seals one image twice: no two nonces are the same.
func TestNonces(t *testing.T) {
	r, path := newStore(t, Options{})
	defer r.Close()
	one := firstEntry(must(os.ReadFile(path))(t))
	must(r.Generate(NewKey{Ref: Ref{Purpose: PIN, Scheme: "x"}}, two))(t)
	two := firstEntry(must(os.ReadFile(path))(t))
	meta := 4 + int(binary.BigEndian.Uint32(one))
	if !bytes.Equal(one[:meta], two[:meta]) {
		t.Fatal("other metadata")
	}
	if bytes.Equal(one[meta+4:meta+4+nonceSize], two[meta+4:meta+4+nonceSize]) {
		t.Error("a nonce was used twice")
	}
}

// TestZeroing closes a ring and destroys keys: the bytes must be gone from memory.
func TestZeroing(t *testing.T) {
	r, _ := newStore(t, Options{})
	v := r.table.Load().byRef[Ref{MessageMAC, "link", 1}]
	p := r.table.Load().byRef[Ref{PIN, "zone", 1}]
	mac, pin, seal := v.key.open(), p.key.open(), r.vault.mac.open()
	noError(t, r.Destroy(Ref{PIN, "zone", 1}, two))
	if !bytes.Equal(pin, make([]byte, len(pin))) {
		t.Error("a destroyed key is still in memory")
	}
	if bytes.Equal(mac, make([]byte, len(mac))) {
		t.Error("another key was zeroed")
	}
	r.Close()
	for _, b := range [][]byte{mac, seal} {
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Error("a closed ring has left a key in memory")
		}
	}
	a, _ := twoComponents(t)
	b := a.secret.open()
	a.Close()
	if !bytes.Equal(b, make([]byte, len(b))) {
		t.Error("a closed component is still in memory")
	}
}

func FuzzOpenFile(f *testing.F) {
	// The workers are processes of their own: all must make the same store.
	r, path := newStore(f, Options{Rand: rand.NewChaCha8([32]byte{1}),
		Now: func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }})
	r.Close()
	file := must(os.ReadFile(path))(f)
	f.Add(file)
	f.Add(file[:headerSize])
	f.Add([]byte(magic))
	a, b := twoComponents(f)
	master := must(combine(a, b))(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, m, err := openFile(kindSoftware, master.open(), data); err == nil && !bytes.Equal(data, file) {
			t.Errorf("another file opened: %v", m)
		}
		if h, err := parseHeader(data); err == nil && h.kind == kindSoftware && len(data) > headerSize {
			copy(data[len(magic)+1:], file[len(magic)+1:headerSize-12]) // our KCV and salt
			_, _, _ = openFile(kindSoftware, master.open(), reseal(t, data))
		}
	})
}

func FuzzComponent(f *testing.F) {
	a, _ := twoComponents(f)
	f.Add(a.text())
	f.Add([]byte(componentTitle + "\nKEY 00\nKCV 00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseComponent(text)
		if err == nil && c.KCV() == "" {
			t.Error("a component without check value")
		}
	})
}

func FuzzRef(f *testing.F) {
	f.Add("mac/link/1")
	f.Add("pin/x")
	f.Add("purse_tac/t-union_2.0/4294967295")
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseRef(s)
		if err != nil {
			return
		}
		again, err := ParseRef(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q: %v, %v", s, again, err)
		}
	})
}

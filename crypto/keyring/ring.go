package keyring

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a ring. The zero value is good, but keeps no audit trail.
type Options struct {
	// Actor is who makes the store (CreateStore needs both names) or opens it (may be
	// empty).
	Actor Actor
	// Audit takes the audit trail; nil keeps none.
	Audit Sink
	// Generation is the least that the store may have: that of the last time, kept
	// elsewhere. An older store is a copy put in its place (ErrRollback).
	Generation uint64
	// Now is the clock, time.Now when nil. Rand draws keys, salts, nonces and fill,
	// crypto/rand when nil. Both are for tests.
	Now  func() time.Time
	Rand io.Reader

	disk disk
}

// Ring holds the keys of a store. It is safe for concurrent use; its operations take no lock
// that a management call holds while it writes.
type Ring struct {
	path   string
	disk   disk
	device *device // nil: keys in the file
	now    func() time.Time
	random io.Reader
	sink   Sink

	table   atomic.Pointer[table] // nil when closed
	strays  [len(classes) + 1]watch
	dropped atomic.Uint64 // events that the sink did not take

	// mu orders management calls; it is held while the store is written.
	mu    sync.Mutex
	vault *vault
}

// table is what operations look keys up in. It is replaced, never changed.
type table struct {
	generation uint64
	byRef      map[Ref]*version
	active     map[slot]*version
	order      []*version // as in the file
}

// CreateStore makes a store under the master key of two components, and opens it. The path
// must not be there yet. o.Actor names the two custodians.
func CreateStore(path string, a, b *Component, o Options) (*Ring, error) {
	master, err := combine(a, b)
	if err != nil {
		return nil, fmt.Errorf("cannot make key store: %w", err)
	}
	defer master.wipe()
	return create(path, newRing(path, nil, o), master, o)
}

// CreateOnToken makes a store whose keys are in a device, and opens it. The device must not
// have one yet.
func CreateOnToken(path string, t Token, o Options) (*Ring, error) {
	r := newRing(path, &device{t}, o)
	if err := o.Actor.check(true); err != nil {
		return nil, fmt.Errorf("cannot make key store: %w", err)
	}
	if err := t.Put(rootLabel, AES256, nil); err != nil {
		return nil, fmt.Errorf("cannot make the key of the store in the device: %w", err)
	}
	master, err := r.device.root()
	if err == nil {
		defer master.wipe()
		r, err = create(path, r, master, o)
	}
	if err != nil {
		return nil, errors.Join(err, t.Destroy(rootLabel))
	}
	return r, nil
}

// Open opens a store with the two components of its master key.
func Open(path string, a, b *Component, o Options) (*Ring, error) {
	master, err := combine(a, b)
	if err != nil {
		return nil, fmt.Errorf("cannot open key store %s: %w", path, err)
	}
	defer master.wipe()
	return open(newRing(path, nil, o), master, o)
}

// OpenOnToken opens a store whose keys are in a device.
func OpenOnToken(path string, t Token, o Options) (*Ring, error) {
	r := newRing(path, &device{t}, o)
	master, err := r.device.root()
	if err != nil {
		return nil, fmt.Errorf("cannot open key store %s: %w", path, err)
	}
	defer master.wipe()
	return open(r, master, o)
}

func newRing(path string, d *device, o Options) *Ring {
	r := &Ring{path: path, disk: o.disk, device: d, now: o.Now, random: o.Rand, sink: o.Audit}
	if r.disk == nil {
		r.disk = osDisk{}
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.random == nil {
		r.random = rand.Reader
	}
	return r
}

func (r *Ring) kind() byte {
	if r.device != nil {
		return kindToken
	}
	return kindSoftware
}

func create(path string, r *Ring, master secret, o Options) (*Ring, error) {
	fail := func(err error) (*Ring, error) {
		r.Close()
		return nil, fmt.Errorf("cannot make key store %s: %w", path, err)
	}
	c := call{action: "create_store", actor: o.Actor, two: true}
	if err := c.actor.check(true); err != nil {
		return fail(r.refuse(&c, err))
	}
	salt, err := newSalt(r.random)
	if err != nil {
		return fail(err)
	}
	if r.vault, err = newVault(r.kind(), master.open(), salt); err != nil {
		return fail(err)
	}
	unlock, err := r.disk.Lock(r.lockPath())
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if _, err := r.disk.Read(path); !errors.Is(err, fs.ErrNotExist) {
		return fail(errors.Join(fmt.Errorf("%w: %s", ErrExists, path), err))
	}
	if err := r.tell(&c); err != nil {
		return fail(err)
	}
	t := newTable(1, nil, nil)
	if err := r.write(r.vault, t.image(r.kind())); err != nil {
		return fail(r.failed(&c, err))
	}
	r.table.Store(t)
	if err := r.done(&c); err != nil {
		return fail(err)
	}
	return r, nil
}

func open(r *Ring, master secret, o Options) (*Ring, error) {
	v, m, err := r.load(master.open(), o.Generation)
	c := call{action: "open_store", actor: o.Actor}
	if err != nil {
		return nil, fmt.Errorf("cannot open key store %s: %w", r.path, r.refuse(&c, err))
	}
	r.vault = v
	versions := make([]*version, len(m.records))
	for i, e := range m.records {
		versions[i] = newVersion(e.meta, e.key, r.device)
	}
	r.table.Store(newTable(m.generation, versions, nil))
	if err := r.done(&c); err != nil {
		r.Close()
		return nil, fmt.Errorf("cannot open key store %s: %w", r.path, err)
	}
	return r, nil
}

// load reads the file. least is the generation that it must have reached.
func (r *Ring) load(master []byte, least uint64) (*vault, *image, error) {
	file, err := r.disk.Read(r.path)
	if err != nil {
		return nil, nil, err
	}
	v, m, err := openFile(r.kind(), master, file)
	if err != nil {
		return nil, nil, err
	}
	if err := m.check(least); err != nil {
		m.wipe()
		v.wipe()
		return nil, nil, err
	}
	return v, m, nil
}

// check refuses an old image, and one with a key twice.
func (m *image) check(least uint64) error {
	if m.generation < least {
		return fmt.Errorf("%w: generation %d, there was %d", ErrRollback, m.generation, least)
	}
	seen := make(map[Ref]bool, len(m.records))
	for _, e := range m.records {
		if seen[e.meta.Ref] {
			return fmt.Errorf("%w: %v is there twice", ErrTampered, e.meta.Ref)
		}
		seen[e.meta.Ref] = true
	}
	return nil
}

// newTable returns the table of versions, by the states that they have or are to have.
func newTable(generation uint64, versions []*version, changed map[*version]*meta) *table {
	t := &table{generation: generation, order: versions,
		byRef: make(map[Ref]*version, len(versions)), active: map[slot]*version{}}
	newest := map[slot]*meta{}
	for _, v := range versions {
		m := cmp.Or(changed[v], v.meta.Load())
		t.byRef[m.Ref] = v
		at := m.Ref.slot()
		if m.State == Active && (newest[at] == nil || later(m, newest[at])) {
			newest[at], t.active[at] = m, v
		}
	}
	return t
}

// later reports whether a was activated after b, the higher version where at once.
func later(a, b *meta) bool {
	return cmp.Or(a.Activated.Compare(b.Activated), cmp.Compare(a.Ref.Version, b.Ref.Version)) > 0
}

// image returns the table for the file.
func (t *table) image(kind byte) *image {
	m := &image{kind: kind, generation: t.generation}
	for _, v := range t.order {
		m.records = append(m.records, record{v.meta.Load(), v.key})
	}
	return m
}

func (r *Ring) lockPath() string { return r.path + ".lock" }

// write seals an image and puts it in the place of the store.
func (r *Ring) write(v *vault, m *image) error {
	file, err := v.seal(m, r.random)
	if err != nil {
		return err
	}
	next := r.path + ".new"
	if err := r.disk.Write(next, file); err != nil {
		return fmt.Errorf("cannot write key store: %w", err)
	}
	if err := r.disk.Replace(next, r.path); err != nil {
		return fmt.Errorf("cannot replace key store: %w", err)
	}
	return nil
}

// Close zeroes all keys of the ring. Operations that are running finish or fail; later ones
// are refused with ErrClosed.
func (r *Ring) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.table.Swap(nil); t != nil {
		for _, v := range t.order {
			v.wipe()
		}
	}
	if r.vault != nil {
		r.vault.wipe()
		r.vault = nil
	}
}

// Generation returns the store's generation number, for Options.Generation next time; 0 of a
// closed ring.
func (r *Ring) Generation() uint64 {
	if t := r.table.Load(); t != nil {
		return t.generation
	}
	return 0
}

// MasterKCV returns the check value of the store's master key, which is no secret.
func (r *Ring) MasterKCV() KCV {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.vault == nil {
		return ""
	}
	return KCV(fmt.Sprintf("%X", r.vault.kcv))
}

// List returns all keys by purpose, scheme and version.
func (r *Ring) List() []Info {
	t := r.table.Load()
	if t == nil {
		return nil
	}
	now := r.now()
	all := make([]Info, len(t.order))
	for i, v := range t.order {
		all[i] = v.info(now)
	}
	slices.SortFunc(all, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Ref.Purpose, b.Ref.Purpose), cmp.Compare(a.Ref.Scheme, b.Ref.Scheme),
			cmp.Compare(a.Ref.Version, b.Ref.Version))
	})
	return all
}

// Info returns what may be known about a key, ErrUnknown if there is none.
func (r *Ring) Info(ref Ref) (Info, error) {
	t := r.table.Load()
	if t == nil {
		return Info{}, ErrClosed
	}
	v, err := t.find(ref)
	if err != nil {
		return Info{}, err
	}
	return v.info(r.now()), nil
}

func (v *version) info(now time.Time) Info {
	i := v.meta.Load().info(now)
	for o := range v.uses {
		i.Used += v.uses[o].ok.Load()
		i.Failed += v.uses[o].failed.Load()
	}
	return i
}

// find returns a version, the active one for version 0.
func (t *table) find(ref Ref) (*version, error) {
	v := t.byRef[ref]
	if ref.Version == 0 {
		v = t.active[ref.slot()]
	}
	if v != nil {
		return v, nil
	}
	if err := ref.check(); err != nil {
		return nil, err
	}
	if ref.Version == 0 {
		return nil, fmt.Errorf("%w: %v has no active version", ErrUnknown, ref)
	}
	return nil, fmt.Errorf("%w: %v", ErrUnknown, ref)
}

// String returns a fixed text: no printer shows a key.
func (r *Ring) String() string { return "[key ring]" }

// GoString returns String.
func (r *Ring) GoString() string { return r.String() }

// Format writes String for every verb.
func (r *Ring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// MarshalText returns String.
func (r *Ring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

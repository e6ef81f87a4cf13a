package list

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Kind names a full file of one scope.
type Kind struct {
	Format Format
	Width  int // bytes of a key: Wide or Narrow for Exact; 0 for the format's own
}

// normal returns the kind with its width set; false for what is no full file.
func (k Kind) normal() (Kind, bool) {
	switch {
	case k.Format == Exact && k.Width == 0:
		k.Width = Wide
	case (k.Format == Filter8 || k.Format == Filter16) && k.Width == 0:
		k.Width = Narrow
	case k.Format == Numbers && k.Width == 0:
		k.Width = numberWidth
	}
	h := Header{Format: k.Format, Width: k.Width}
	return k, k.Format > 0 && k.Format < Delta && h.widthFits()
}

// Full is a full file, ready to be sent. It never changes.
type Full struct {
	Kind
	Scope  txn.App
	Epoch  Epoch
	MadeAt txn.Millis
	Count  uint64
	Size   int64
	Hash   [sha256.Size]byte // of the whole file
	ETag   string            // strong, with its quotes

	data []byte // nil when it is in a file
	path string
}

// Open returns a reader of the file. A file in a directory may be gone when a later one has
// taken its place; who has it open reads on.
func (f *Full) Open() (io.ReadSeekCloser, error) {
	if f.path == "" {
		return closer{bytes.NewReader(f.data)}, nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("list: the full file of epoch %d cannot be opened: %w", f.Epoch, err)
	}
	return file, nil
}

// closer is a reader in memory with nothing to close.
type closer struct{ *bytes.Reader }

// Close does nothing.
func (closer) Close() error { return nil }

type fullKey struct {
	scope txn.App
	kind  Kind
}

// fulls keeps the newest full file of each kind.
type fulls struct {
	dir    string
	builds atomic.Int64
	// building holds a token for who builds: one at a time, so that memory is bounded.
	building chan struct{}

	mu   sync.Mutex
	kept map[fullKey]*Full
}

func (s *fulls) init(dir string) {
	s.dir, s.kept, s.building = dir, map[fullKey]*Full{}, make(chan struct{}, 1)
}

const (
	fileEnd = ".list"
	partEnd = ".part"
)

// sweep empties the directory of files from before and returns the greatest epoch in their
// names: a witness for what was used.
func (s *fulls) sweep() (greatest Epoch, err error) {
	if s.dir == "" {
		return 0, nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return 0, fmt.Errorf("list: the directory of full files cannot be made: %w", err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("list: the directory of full files cannot be read: %w", err)
	}
	for _, e := range entries {
		name, end := strings.TrimSuffix(e.Name(), fileEnd), filepath.Ext(e.Name())
		if end != fileEnd && end != partEnd {
			continue
		}
		n, err := strconv.ParseUint(name[strings.LastIndexByte(name, '-')+1:], 10, 64)
		if err == nil && end == fileEnd && n <= uint64(txn.MinorMax) {
			greatest = max(greatest, Epoch(n))
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
			return 0, fmt.Errorf("list: an old full file cannot be removed: %w", err)
		}
	}
	return greatest, nil
}

func (s *fulls) get(k fullKey) *Full {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[k]
}

// put keeps a new file in place of the one before.
func (s *fulls) put(f *Full, data []byte) error {
	if s.dir == "" {
		f.data = data
	} else if err := s.write(f, data); err != nil {
		return err
	}
	s.builds.Add(1)
	s.mu.Lock()
	old := s.kept[fullKey{f.Scope, f.Kind}]
	s.kept[fullKey{f.Scope, f.Kind}] = f
	s.mu.Unlock()
	if old != nil && old.path != "" && old.path != f.path {
		return os.Remove(old.path)
	}
	return nil
}

// write puts the file under its name when it is whole. It is not synced: after a crash it is
// swept away.
func (s *fulls) write(f *Full, data []byte) error {
	f.path = filepath.Join(s.dir, fmt.Sprintf("%d-%s%d-%d%s", f.Scope, f.Format, f.Width, f.Epoch,
		fileEnd))
	part := f.path + partEnd
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return fmt.Errorf("list: the full file cannot be written: %w", err)
	}
	if err := os.Rename(part, f.path); err != nil {
		return fmt.Errorf("list: the full file cannot be put in place: %w", err)
	}
	return nil
}

// Full returns a full file of the kind: the kept one while deltas from it are at hand, few
// and young, else one of the current epoch, which is made now. One is made at a time; the
// others wait or end with ctx. When it cannot be made, the kept one does as long as deltas
// lead on from it. Errors: ErrNotReady, ErrScope, ErrFormat.
func (p *Publisher) Full(ctx context.Context, scope txn.App, kind Kind) (*Full, error) {
	k, err := p.offered(scope, kind)
	if err != nil {
		return nil, err
	}
	if f := p.fulls.get(k); f != nil && p.young(f) {
		return f, nil
	}
	select {
	case p.fulls.building <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("list: waiting for a full file: %w", ctx.Err())
	}
	defer func() { <-p.fulls.building }()
	kept := p.fulls.get(k)
	if kept != nil && p.young(kept) {
		return kept, nil
	}
	f, err := p.build(k)
	if err == nil {
		return f, nil
	}
	if kept != nil && p.reaches(kept.Epoch) {
		p.o.Report(err)
		return kept, nil
	}
	return nil, err
}

// offered checks what is asked for.
func (p *Publisher) offered(scope txn.App, kind Kind) (fullKey, error) {
	kind, ok := kind.normal()
	switch {
	case p.view.Load() == nil:
		return fullKey{}, ErrNotReady
	case !slices.Contains(p.o.Scopes, scope):
		return fullKey{}, fmt.Errorf("%w: %v", ErrScope, scope.Names())
	case !ok:
		return fullKey{}, fmt.Errorf("%w: %s with keys of %d bytes", ErrFormat, kind.Format, kind.Width)
	case kind.Format == Numbers && p.o.Resolver == nil:
		return fullKey{}, fmt.Errorf("%w: the switch keeps tokens and no card numbers; "+
			"numbers need a resolver", ErrFormat)
	}
	return fullKey{scope, kind}, nil
}

// stepsMin is how many changes since a full file are few at any size.
const stepsMin = 10_000

// young reports whether a gate had better take this file and a delta than wait for another.
func (p *Publisher) young(f *Full) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	i, ok := p.history.find(f.Epoch)
	if !ok {
		return false
	}
	since := p.history.since(i)
	age := time.Duration(p.o.Now().UnixMilli()-int64(f.MadeAt)) * time.Millisecond
	return i == len(p.history.states)-1 ||
		age <= p.o.FullEvery && since <= max(stepsMin, int(f.Count/10)) && since <= DeltaMax
}

func (p *Publisher) reaches(e Epoch) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, ok := p.history.find(e)
	return ok
}

// build makes a file of the current epoch. Only the copy of the tokens holds up publishing.
func (p *Publisher) build(k fullKey) (*Full, error) {
	p.mu.RLock()
	now := p.history.states[len(p.history.states)-1]
	sum := now.summaries[slices.Index(p.o.Scopes, k.scope)]
	tokens := p.master.tokens(k.scope, sum.count)
	p.mu.RUnlock()
	d := p.draft(k.scope, now, sum)
	var data []byte
	var err error
	switch k.kind.Format {
	case Exact:
		data, err = EncodeExact(d, k.kind.Width, tokens, p.o.Signer)
	case Numbers:
		data, err = p.numbers(d, tokens)
	default:
		data, err = EncodeFilter(d, k.kind.Format, tokens, p.o.Signer)
	}
	if err != nil {
		return nil, err
	}
	h, err := readHeader(data)
	if err != nil || h.Check != sum.check || h.Count != sum.count {
		panic(fmt.Sprintf("list: internal error: epoch %d has check %x, its file %x (%v)", now.epoch,
			sum.check, h.Check, err))
	}
	f := &Full{Kind: k.kind, Scope: k.scope, Epoch: now.epoch, MadeAt: now.at, Count: sum.count,
		Size: int64(len(data)), Hash: sha256.Sum256(data)}
	f.ETag = tagOf(f.Hash)
	return f, p.fulls.put(f, data)
}

func tagOf(hash [sha256.Size]byte) string { return `"` + hex.EncodeToString(hash[:16]) + `"` }

func (p *Publisher) draft(scope txn.App, s state, sum summary) Draft {
	return Draft{Scheme: p.o.Scheme, KeyID: p.o.KeyID, Scope: scope, Epoch: s.epoch, MadeAt: s.at,
		Count: sum.count, Check: sum.check}
}

// numbers resolves every token; a card whose number is not known must not be left out.
func (p *Publisher) numbers(d Draft, tokens []pan.Token) ([]byte, error) {
	numbers := make([]pan.Number, len(tokens))
	for i, t := range tokens {
		n, ok := p.o.Resolver(t)
		if !ok {
			return nil, fmt.Errorf("%w: the number of card %s is not known", ErrFormat, t)
		}
		numbers[i] = n
	}
	return EncodeNumbers(d, numbers, p.o.Signer)
}

// Delta returns the file that leads from an epoch to the current one, nil when that is the
// same. The bytes must not be changed. Errors: ErrNotReady, ErrScope, ErrFormat (width),
// ErrTooOld, ErrUnknownEpoch; the last two ask for a full file.
func (p *Publisher) Delta(scope txn.App, width int, from Epoch) ([]byte, Epoch, error) {
	d, epoch, err := p.deltaFile(scope, width, from)
	if d == nil {
		return nil, epoch, err
	}
	return d.data, epoch, err
}

func (p *Publisher) deltaFile(scope txn.App, width int, from Epoch) (*deltaFile, Epoch, error) {
	v := p.view.Load()
	switch {
	case v == nil:
		return nil, 0, ErrNotReady
	case !slices.Contains(p.o.Scopes, scope):
		return nil, 0, fmt.Errorf("%w: %v", ErrScope, scope.Names())
	case width != Wide && width != Narrow:
		return nil, 0, fmt.Errorf("%w: deltas with keys of %d bytes", ErrFormat, width)
	case from == v.epoch:
		return nil, v.epoch, nil
	}
	k := deltaKey{scope, width, from}
	d := v.delta(k)
	d.once.Do(func() {
		if d.data, d.err = p.compose(k, v.epoch); d.err == nil {
			d.tag = tagOf(sha256.Sum256(d.data))
		}
		v.made(k, d)
	})
	return d, v.epoch, d.err
}

// delta returns the kept delta of the key, or one to be made by the first who asks.
func (v *view) delta(k deltaKey) *deltaFile {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.deltas[k]
	if d == nil {
		d = &deltaFile{}
		v.deltas[k] = d
	}
	return d
}

// made accounts for a delta. What failed, and what is too much, is forgotten, so that
// strange epochs fill nothing.
func (v *view) made(k deltaKey, d *deltaFile) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if d.err != nil || v.bytes+len(d.data) > deltaBytesMax {
		delete(v.deltas, k)
		return
	}
	v.bytes += len(d.data)
}

// compose makes a delta between two epochs of the history.
func (p *Publisher) compose(k deltaKey, to Epoch) ([]byte, error) {
	p.mu.RLock()
	j, ok := p.history.find(to)
	i, known := p.history.find(k.from)
	oldest := p.history.states[0].epoch
	switch {
	case !ok || k.from < oldest || !known && k.from < p.began:
		p.mu.RUnlock() // made by another process, if ever
		return nil, fmt.Errorf("%w: epoch %d, the oldest is %d", ErrTooOld, k.from, oldest)
	case !known || k.from > to:
		p.mu.RUnlock()
		return nil, fmt.Errorf("%w: epoch %d, the current is %d", ErrUnknownEpoch, k.from, to)
	}
	base, target := p.history.states[i], p.history.states[j]
	if n := target.total - base.total; n > DeltaMax {
		p.mu.RUnlock()
		return nil, fmt.Errorf("%w: %d changes since epoch %d, at most %d", ErrTooOld, n, k.from,
			DeltaMax)
	}
	ops := p.history.collect(i, j)
	p.mu.RUnlock()
	scope := slices.Index(p.o.Scopes, k.scope)
	d := p.draft(k.scope, target, target.summaries[scope])
	d.Base, d.BaseCheck = k.from, base.summaries[scope].check
	return EncodeDelta(d, k.width, split(net(ops, k.width, k.scope), k.width), p.o.Signer)
}

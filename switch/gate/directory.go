package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// directory keeps the terminals in memory. A terminal is read from the registry when it
// is first seen and again when it was changed; changes are announced under one registry
// key, which every process reads once in Limits.RefreshEvery.
type directory struct {
	registry store.Registry
	seal     sealer

	mu        sync.RWMutex // guards the fields below
	terminals map[txn.TerminalID]*terminal
	// unknown holds ids that the registry does not know, so that asking for them costs
	// nothing; at most unknownMax.
	unknown map[txn.TerminalID]struct{}
	// seq is the number of the last announced change that was followed.
	seq uint64
}

const (
	unknownMax = 4096
	// announcedMax is how many changes the announcement names. Who is further behind
	// reads every terminal again.
	announcedMax = 256
	announceKey  = "terminals/changes"
	// putTriesMax bounds how often a registry value is changed again after a conflict.
	putTriesMax = 16
)

func newDirectory(registry store.Registry, seal sealer) *directory {
	return &directory{registry: registry, seal: seal,
		terminals: make(map[txn.TerminalID]*terminal),
		unknown:   make(map[txn.TerminalID]struct{})}
}

// errUnknownTerminal reports a terminal that is not registered.
var errUnknownTerminal = errors.New("terminal not registered")

// find returns the terminal and its setup, or errUnknownTerminal, or a fault of the
// registry.
func (d *directory) find(ctx context.Context, id txn.TerminalID) (*terminal, *setup, error) {
	d.mu.RLock()
	t := d.terminals[id]
	d.mu.RUnlock()
	if t != nil {
		if s := t.setup.Load(); s != nil {
			return t, s, nil
		}
	}
	return d.load(ctx, id)
}

// load reads the terminal from the registry.
func (d *directory) load(ctx context.Context, id txn.TerminalID) (*terminal, *setup, error) {
	d.mu.RLock()
	_, unknown := d.unknown[id]
	seq := d.seq
	d.mu.RUnlock()
	if unknown {
		return nil, nil, errUnknownTerminal
	}
	r, version, err := d.read(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if version == 0 {
		d.keepUnknown(id, seq)
		return nil, nil, errUnknownTerminal
	}
	s, err := d.prepare(&r)
	if err != nil {
		return nil, nil, err
	}
	return d.keep(id, s, seq), s, nil
}

// keepUnknown remembers that the registry did not know id when the directory stood at
// seq. A change that was followed since may have registered it.
func (d *directory) keepUnknown(id txn.TerminalID, seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seq != seq {
		return
	}
	if len(d.unknown) >= unknownMax {
		clear(d.unknown)
	}
	d.unknown[id] = struct{}{}
}

// keep puts a setup in force that was read when the directory stood at seq, unless a
// change was followed since: then it serves the caller alone. There is one terminal an id
// for ever, because it holds the window of used counters.
func (d *directory) keep(id txn.TerminalID, s *setup, seq uint64) *terminal {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.terminals[id]
	if t == nil {
		t = &terminal{id: id}
		d.terminals[id] = t
	}
	if d.seq == seq {
		t.setup.Store(s)
	}
	return t
}

// prepare makes a record ready for use.
func (d *directory) prepare(r *terminalRecord) (*setup, error) {
	kinds, err := parseKinds(r.Kinds)
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", r.ID, err)
	}
	s := &setup{place: r.Place(), kinds: kinds, revoked: r.Revoked}
	for _, k := range []struct {
		wrapped []byte
		until   txn.Millis
	}{{r.Key, 0}, {r.OldKey, r.OldUntil}} {
		if len(k.wrapped) == 0 {
			continue
		}
		key, err := d.seal.open(r.ID, k.wrapped)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, newSigningKey(key, k.until))
		clear(key)
	}
	return s, nil
}

// announcement names the last changes: Recent[len-1] is number Seq.
type announcement struct {
	Seq    uint64   `json:"seq"`
	Recent []string `json:"recent"`
}

// readAnnouncement returns the announcement and its registry version.
func (d *directory) readAnnouncement(ctx context.Context) (a announcement, version uint64,
	err error) {
	value, version, err := d.registry.Get(ctx, announceKey)
	if err != nil || version == 0 {
		return a, version, err
	}
	if err := json.Unmarshal(value, &a); err != nil {
		return a, 0, fmt.Errorf("registry %s cannot be read: %w", announceKey, err)
	}
	return a, version, nil
}

// announce tells every process, this one included, that terminal id was changed.
func (d *directory) announce(ctx context.Context, id txn.TerminalID) error {
	for range putTriesMax {
		a, version, err := d.readAnnouncement(ctx)
		if err != nil {
			return err
		}
		a.Seq++
		a.Recent = append(a.Recent, id.String())
		if n := len(a.Recent); n > announcedMax {
			a.Recent = a.Recent[n-announcedMax:]
		}
		value, err := json.Marshal(a)
		if err != nil {
			return err
		}
		err = d.registry.Put(ctx, announceKey, value, version)
		if err == nil {
			d.follow(a)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("announcing terminal %s: %w", id, store.ErrConflict)
}

// refresh follows what other processes announced.
func (d *directory) refresh(ctx context.Context) error {
	a, _, err := d.readAnnouncement(ctx)
	if err == nil {
		d.follow(a)
	}
	return err
}

// follow forgets what the announcement says was changed; it is read again on next use.
func (d *directory) follow(a announcement) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.Seq <= d.seq {
		return
	}
	behind := a.Seq - d.seq
	d.seq = a.Seq
	if behind > uint64(len(a.Recent)) {
		clear(d.unknown)
		for _, t := range d.terminals {
			t.setup.Store(nil)
		}
		return
	}
	for _, name := range a.Recent[uint64(len(a.Recent))-behind:] {
		id, err := txn.ParseTerminalID(name)
		if err != nil {
			continue
		}
		delete(d.unknown, id)
		if t := d.terminals[id]; t != nil {
			t.setup.Store(nil)
		}
	}
}

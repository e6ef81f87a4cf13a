package list

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Where a tracker saves: a value for each part of the devices, and one for the epochs with
// freezes, for each node.
const (
	devicesPrefix = "list/devices/"
	watchesPrefix = "list/watches/"
)

const (
	savedVersion = 1
	deviceSize   = txn.TerminalIDMax + 3*8
	// partMax is how many devices one value holds, watchesMax how many epochs.
	partMax    = (store.RegistryMax - 1) / deviceSize
	watchSize  = 2 * 8
	watchesMax = (store.RegistryMax - 1) / watchSize
)

// savedValue is a value of the registry as it was read or written last.
type savedValue struct {
	value   []byte
	version uint64
}

// Save writes what every device holds, and which epochs are followed, to the registry. Parts
// that did not change are not written. What became effective when is not saved; Load makes
// an upper bound of it.
func (t *Tracker) Save(ctx context.Context) error {
	if t.o.Registry == nil {
		return nil
	}
	parts, watches := t.encode()
	var first error
	for i, part := range parts {
		key := fmt.Sprintf("%s%s/%04d", devicesPrefix, t.o.Node, i)
		first = cmpErr(first, t.put(ctx, key, part))
	}
	for i := len(parts); ; i++ { // parts of a time with more devices
		key := fmt.Sprintf("%s%s/%04d", devicesPrefix, t.o.Node, i)
		if _, ok := t.lastSaved(key); !ok {
			break
		}
		first = cmpErr(first, t.put(ctx, key, nil))
	}
	return cmpErr(first, t.put(ctx, watchesPrefix+t.o.Node, watches))
}

// cmpErr returns the first of two faults.
func cmpErr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func (t *Tracker) encode() (parts [][]byte, watches []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, d := range t.all {
		if d == nil || d.epoch.Load() == 0 {
			continue
		}
		if n%partMax == 0 {
			parts = append(parts, []byte{savedVersion})
		}
		b := append(parts[n/partMax], d.terminal[:]...)
		b = binary.BigEndian.AppendUint64(b, d.epoch.Load())
		b = binary.BigEndian.AppendUint64(b, uint64(d.since.Load()))
		parts[n/partMax] = binary.BigEndian.AppendUint64(b, uint64(d.seen.Load()))
		n++
	}
	return parts, t.encodeWatchesLocked()
}

func (t *Tracker) encodeWatchesLocked() []byte {
	watches := []byte{savedVersion}
	for _, w := range t.watches[max(0, len(t.watches)-watchesMax):] {
		watches = binary.BigEndian.AppendUint64(watches, uint64(w.epoch))
		watches = binary.BigEndian.AppendUint64(watches, uint64(w.at))
	}
	return watches
}

// saveWatches writes which epochs are followed, and nothing of the devices: a process that
// ends a moment later still knows which freezes it has to tell the coverage of.
func (t *Tracker) saveWatches(ctx context.Context) error {
	if t.o.Registry == nil {
		return nil
	}
	t.mu.Lock()
	watches := t.encodeWatchesLocked()
	t.mu.Unlock()
	return t.put(ctx, watchesPrefix+t.o.Node, watches)
}

func (t *Tracker) lastSaved(key string) (savedValue, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.saved[key]
	return s, ok
}

func (t *Tracker) noteSaved(key string, s savedValue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(s.value) == 0 {
		delete(t.saved, key)
		return
	}
	t.saved[key] = s
}

// put writes a value, over whatever another process of the node wrote.
func (t *Tracker) put(ctx context.Context, key string, value []byte) error {
	last, _ := t.lastSaved(key)
	if bytes.Equal(last.value, value) {
		return nil
	}
	err := t.o.Registry.Put(ctx, key, value, last.version)
	if errors.Is(err, store.ErrConflict) {
		if _, last.version, err = t.o.Registry.Get(ctx, key); err == nil {
			err = t.o.Registry.Put(ctx, key, value, last.version)
		}
	}
	if err != nil {
		return fmt.Errorf("list: what the devices hold cannot be saved as %s: %w", key, err)
	}
	t.noteSaved(key, savedValue{value, last.version + 1})
	return nil
}

// Load brings back what any node saved. It must be called before the first epoch is
// published. Devices are marked as restored until they are heard of. A value that cannot be
// read is reported and left out: the devices will show themselves.
func (t *Tracker) Load(ctx context.Context) error {
	if t.o.Registry == nil {
		return nil
	}
	var watched []watch
	for _, prefix := range []string{devicesPrefix, watchesPrefix} {
		keys, err := t.o.Registry.Keys(ctx, prefix)
		if err != nil {
			return fmt.Errorf("list: what the devices held cannot be found: %w", err)
		}
		for _, key := range keys {
			value, version, err := t.o.Registry.Get(ctx, key)
			if err != nil {
				return fmt.Errorf("list: what the devices held cannot be read from %s: %w", key, err)
			}
			node, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
			if node == t.o.Node {
				t.noteSaved(key, savedValue{value, version})
			}
			if prefix == watchesPrefix {
				watched = append(watched, t.readWatches(key, value)...)
			} else {
				t.readDevices(key, value)
			}
		}
	}
	t.rewatch(watched)
	return nil
}

// body returns a saved value without its version, when it has the right form.
func (t *Tracker) body(key string, value []byte, size int) []byte {
	if len(value) == 0 || value[0] != savedVersion || (len(value)-1)%size != 0 {
		t.o.Report(fmt.Errorf("%w: registry value %s of %d bytes", ErrDamaged, key, len(value)))
		return nil
	}
	return value[1:]
}

func (t *Tracker) readDevices(key string, value []byte) {
	for b := t.body(key, value, deviceSize); len(b) > 0; b = b[deviceSize:] {
		d := t.admit(txn.TerminalID(b[:txn.TerminalIDMax]))
		at := b[txn.TerminalIDMax:]
		seen := int64(binary.BigEndian.Uint64(at[16:]))
		if d == nil || d.seen.Load() >= seen {
			continue
		}
		t.mu.Lock()
		d.epoch.Store(binary.BigEndian.Uint64(at))
		d.since.Store(int64(binary.BigEndian.Uint64(at[8:])))
		d.seen.Store(seen)
		d.restored.Store(true)
		t.mu.Unlock()
	}
}

func (t *Tracker) readWatches(key string, value []byte) (watched []watch) {
	for b := t.body(key, value, watchSize); len(b) > 0; b = b[watchSize:] {
		watched = append(watched, watch{epoch: Epoch(binary.BigEndian.Uint64(b)),
			at: txn.Millis(binary.BigEndian.Uint64(b[8:])), restored: true})
	}
	return watched
}

// rewatch follows saved epochs again. A device that holds a later one had it at the latest
// when it first showed what it holds.
func (t *Tracker) rewatch(watched []watch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range watched {
		i := t.watchLocked(w.epoch)
		if i < len(t.watches) && t.watches[i].epoch == w.epoch {
			continue
		}
		for _, d := range t.all {
			if d != nil && Epoch(d.epoch.Load()) >= w.epoch {
				w.set(d.index, txn.Millis(d.since.Load()))
			}
		}
		t.watches = append(t.watches[:i], append([]*watch{&w}, t.watches[i:]...)...)
	}
	t.trimLocked()
}

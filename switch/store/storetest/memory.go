package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// MemoryOptions sets up a Memory. The zero value is usable.
type MemoryOptions struct {
	// Now is the clock that deadlines are compared with; nil for the system's.
	Now func() txn.Millis
	// OutboxMax is the high-water mark: unconfirmed entries of a bucket at which
	// commits are refused; 0 for none.
	OutboxMax int
	// ListLogMax is how many changes of a bucket's blacklist are kept; 0 for all.
	ListLogMax int
	// Fault, when not nil, is asked before each operation, with no lock held and from
	// many goroutines at once.
	Fault func(Op) Fault
}

// Memory is the reference store: the contract in maps under one lock. A handle writes
// only after its OpenEpoch; before it, and after that of another handle, commits fail
// with store.ErrFenced. Safe for concurrent use.
type Memory struct {
	data  *memoryData
	o     MemoryOptions
	fault atomic.Pointer[func(Op) Fault]

	closed bool // under data.mu
}

var _ store.Store = (*Memory)(nil)

// memoryData outlives its handles, as a disk does.
type memoryData struct {
	mu       sync.Mutex
	writer   *Memory
	buckets  [txn.BucketCount]memoryBucket
	registry map[string]memoryValue
	appended chan struct{} // closed and made anew when an outbox grows or a handle closes
}

type memoryBucket struct {
	cards     map[pan.Token]memoryCard
	entries   map[pan.Token]store.Entry
	log       []store.Change // the kept changes, the last is number listSeq
	listSeq   store.ListSeq
	due       map[string]txn.Millis
	outbox    []store.OutboxEntry // not yet confirmed
	last      txn.Position
	confirmed txn.Position
	date      txn.BusinessDate
}

type memoryCard struct {
	state   []byte
	version uint64
}

type memoryValue struct {
	value   []byte
	version uint64
}

// NewMemory returns an empty store.
func NewMemory(o MemoryOptions) *Memory {
	d := &memoryData{registry: map[string]memoryValue{}, appended: make(chan struct{})}
	for i := range d.buckets {
		p := txn.Position{Bucket: txn.Bucket(i)}
		d.buckets[i] = memoryBucket{cards: map[pan.Token]memoryCard{},
			entries: map[pan.Token]store.Entry{}, due: map[string]txn.Millis{}, last: p, confirmed: p}
	}
	return (&Memory{data: d, o: o}).Handle()
}

// Handle returns another open handle on the same data, as a second process would have
// or the same one after a restart.
func (m *Memory) Handle() *Memory {
	o := m.o
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	handle := &Memory{data: m.data, o: o}
	handle.SetFault(o.Fault)
	return handle
}

// SetFault replaces the fault hook of this handle; nil ends all faults.
func (m *Memory) SetFault(fault func(Op) Fault) { m.fault.Store(&fault) }

// do runs an operation under the lock, or fails it as the fault hook says.
func (m *Memory) do(ctx context.Context, op Op, run func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("storetest: %s: %w", op, err)
	}
	fault := NoFault
	if ask := *m.fault.Load(); ask != nil {
		fault = ask(op)
	}
	m.data.mu.Lock()
	defer m.data.mu.Unlock()
	if m.closed {
		return fmt.Errorf("storetest: %s: %w", op, store.ErrClosed)
	}
	if fault == NotApplied {
		return unavailable(op)
	}
	if err := run(); err != nil {
		return err
	}
	if fault == AppliedUnreported {
		return unavailable(op)
	}
	return nil
}

func (m *Memory) bucket(card pan.Token) *memoryBucket { return &m.data.buckets[txn.BucketOf(card)] }

func (m *Memory) fencedLocked() error {
	if m.data.writer != m {
		return fmt.Errorf("storetest: this handle is not the writer: %w", store.ErrFenced)
	}
	return nil
}

// Load implements store.Cards.
func (m *Memory) Load(ctx context.Context, card pan.Token, dst []byte) (store.Loaded, error) {
	var l store.Loaded
	err := m.do(ctx, OpLoad, func() error {
		l = m.bucket(card).load(card, dst)
		return nil
	})
	if err != nil {
		return store.Loaded{}, err
	}
	return l, nil
}

func (b *memoryBucket) load(card pan.Token, dst []byte) store.Loaded {
	c := b.cards[card]
	return store.Loaded{State: append(dst[:0], c.state...), Version: c.version,
		Mark: b.entries[card].Mark}
}

// Snapshot implements store.List.
func (m *Memory) Snapshot(ctx context.Context, b txn.Bucket,
	yield func(pan.Token, txn.Mark)) (store.ListSeq, error) {
	var seq store.ListSeq
	var listed map[pan.Token]store.Entry
	err := m.do(ctx, OpSnapshot, func() error {
		seq, listed = m.data.buckets[b].listSeq, maps.Clone(m.data.buckets[b].entries)
		return nil
	})
	if err != nil {
		return 0, err
	}
	for card, e := range listed {
		yield(card, e.Mark)
	}
	return seq, nil
}

// Changes implements store.List.
func (m *Memory) Changes(ctx context.Context, b txn.Bucket, after store.ListSeq,
	max int) (changes []store.Change, err error) {
	err = m.do(ctx, OpChanges, func() error {
		k := &m.data.buckets[b]
		first := k.listSeq - store.ListSeq(len(k.log)) // the change before the oldest kept
		if after < first || after > k.listSeq {
			return fmt.Errorf("storetest: bucket %s after %d: %w", b, after, store.ErrGap)
		}
		kept := k.log[after-first:]
		changes = slices.Clone(kept[:min(max, len(kept))])
		return nil
	})
	return changes, err
}

// Entry implements store.List.
func (m *Memory) Entry(ctx context.Context, card pan.Token) (e store.Entry, ok bool, err error) {
	err = m.do(ctx, OpEntry, func() error {
		e, ok = m.bucket(card).entries[card]
		return nil
	})
	return e, ok, err
}

// Tails implements store.List.
func (m *Memory) Tails(ctx context.Context) (tails [txn.BucketCount]store.ListSeq, err error) {
	err = m.do(ctx, OpTails, func() error {
		for i := range tails {
			tails[i] = m.data.buckets[i].listSeq
		}
		return nil
	})
	return tails, err
}

// Get implements store.Registry.
func (m *Memory) Get(ctx context.Context, key string) (value []byte, version uint64, err error) {
	err = m.do(ctx, OpGet, func() error {
		v := m.data.registry[key]
		value, version = slices.Clone(v.value), v.version
		return nil
	})
	return value, version, err
}

// Put implements store.Registry.
func (m *Memory) Put(ctx context.Context, key string, value []byte, version uint64) error {
	if len(key) > store.RegistryKeyMax || len(value) > store.RegistryMax {
		return fmt.Errorf("storetest: key of %d bytes with value of %d: %w",
			len(key), len(value), store.ErrTooLarge)
	}
	return m.do(ctx, OpPut, func() error {
		if m.data.registry[key].version != version {
			return fmt.Errorf("storetest: key %q: %w", key, store.ErrConflict)
		}
		if len(value) == 0 {
			delete(m.data.registry, key)
			return nil
		}
		m.data.registry[key] = memoryValue{value: slices.Clone(value), version: version + 1}
		return nil
	})
}

// Keys implements store.Registry.
func (m *Memory) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	err = m.do(ctx, OpKeys, func() error {
		for key := range m.data.registry {
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		sort.Strings(keys)
		return nil
	})
	return keys, err
}

// Close implements store.Store. The data stay for other handles.
func (m *Memory) Close() error {
	m.data.mu.Lock()
	defer m.data.mu.Unlock()
	if m.closed {
		return fmt.Errorf("storetest: Close: %w", store.ErrClosed)
	}
	m.closed = true
	m.data.wakeLocked()
	return nil
}

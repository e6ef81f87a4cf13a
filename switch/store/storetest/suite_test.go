package storetest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestMemoryModel(t *testing.T) { RunModel(t, memoryFactory()) }

func TestMemoryLinearizable(t *testing.T) { RunLinearizable(t, memoryFactory()) }

// TestMemoryLinearizableWithFaults fails one operation in five, half of them after
// they were applied.
func TestMemoryLinearizableWithFaults(t *testing.T) {
	f := memoryFactory()
	f.Open = func(testing.TB, Options) store.Store {
		m := NewMemory(MemoryOptions{})
		if err := m.OpenEpoch(t.Context(), testAt); err != nil {
			t.Fatal(err)
		}
		var n atomic.Uint64
		m.SetFault(func(op Op) Fault {
			switch k := n.Add(1) * 0x9e3779b97f4a7c15 >> 32 % 10; {
			case op == OpOpenEpoch || k > 1:
				return NoFault
			case k == 0:
				return NotApplied
			default:
				return AppliedUnreported
			}
		})
		return m
	}
	RunLinearizable(t, f)
}

// verdict collects what a test of the suite reports, so that the suite can be tested.
type verdict struct {
	name string

	mu     sync.Mutex
	failed string // the first failure
}

func (v *verdict) Helper()      {}
func (v *verdict) Name() string { return v.name }
func (v *verdict) Skip(...any)  { runtime.Goexit() }

func (v *verdict) Errorf(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed == "" {
		v.failed = fmt.Sprintf(format, args...)
	}
}

func (v *verdict) Error(args ...any) { v.Errorf("%s", fmt.Sprint(args...)) }

func (v *verdict) Fatalf(format string, args ...any) {
	v.Errorf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Fatal(args ...any) {
	v.Error(args...)
	runtime.Goexit()
}

// judge runs one test against a store and returns its first failure.
func judge(t *testing.T, f Factory, o Options, run func(*world)) string {
	v := &verdict{name: t.Name()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w := newWorld(v, t, f, o)
		defer func() { w.s.Close() }()
		w.wait = 500 * time.Millisecond
		run(w)
	}()
	<-ended
	return v.failed
}

// broken is a Memory with a planted fault.
type broken struct {
	*Memory
	commit func(b *broken, ctx context.Context, commits []*store.Commit) error
	load   func(card pan.Token, l *store.Loaded)
	read   func(entries []store.OutboxEntry) []store.OutboxEntry

	changes func(err error) error
}

func (b *broken) Commit(ctx context.Context, commits []*store.Commit) error {
	if b.commit != nil {
		return b.commit(b, ctx, commits)
	}
	return b.Memory.Commit(ctx, commits)
}

func (b *broken) Load(ctx context.Context, card pan.Token, dst []byte) (store.Loaded, error) {
	l, err := b.Memory.Load(ctx, card, dst)
	if b.load != nil {
		b.load(card, &l)
	}
	return l, err
}

func (b *broken) Read(ctx context.Context, shard int, after store.Cursor,
	max int) ([]store.OutboxEntry, store.Cursor, error) {
	entries, next, err := b.Memory.Read(ctx, shard, after, max)
	if b.read != nil {
		entries = b.read(entries)
	}
	return entries, next, err
}

func (b *broken) Changes(ctx context.Context, k txn.Bucket, after store.ListSeq,
	max int) ([]store.Change, error) {
	changes, err := b.Memory.Changes(ctx, k, after, max)
	if b.changes != nil {
		err = b.changes(err)
	}
	return changes, err
}

// mutate returns commits as change made them, committed by the reference store, with
// the answers in the caller's.
func mutate(change func(*Memory, *store.Commit)) func(*broken, context.Context,
	[]*store.Commit) error {
	return func(b *broken, ctx context.Context, commits []*store.Commit) error {
		copies := make([]*store.Commit, len(commits))
		for i, c := range commits {
			twin := *c
			change(b.Memory, &twin)
			copies[i] = &twin
		}
		err := b.Memory.Commit(ctx, copies)
		for i, c := range commits {
			k := copies[i]
			c.Status, c.Err, c.Current, c.Position, c.Date, c.ListSeq = k.Status, k.Err, k.Current,
				k.Position, k.Date, k.ListSeq
		}
		return err
	}
}

// TestSuiteFindsBrokenStores plants faults of the kind that lose money, and expects the
// suite to find each.
func TestSuiteFindsBrokenStores(t *testing.T) {
	for name, plant := range map[string]func(*broken){
		"version not compared": func(b *broken) {
			b.commit = mutate(func(m *Memory, c *store.Commit) {
				l, _ := m.Load(context.Background(), c.Card, nil)
				c.Version = l.Version
			})
		},
		"mark not compared": func(b *broken) { b.commit = mutate(currentMark) },
		"deadline ignored": func(b *broken) {
			b.commit = mutate(func(_ *Memory, c *store.Commit) { c.Deadline = 0 })
		},
		"record lost": func(b *broken) {
			b.commit = mutate(func(_ *Memory, c *store.Commit) { c.Record = nil })
		},
		"due lost": func(b *broken) {
			b.commit = mutate(func(_ *Memory, c *store.Commit) { c.Due = nil })
		},
		"list change lost": func(b *broken) {
			b.commit = mutate(func(_ *Memory, c *store.Commit) { c.List = nil })
		},
		"reserve ignored": func(b *broken) {
			b.commit = mutate(func(_ *Memory, c *store.Commit) { c.Reserve = false })
		},
		"outbox without a mark": func(b *broken) {
			b.commit = mutate(func(_ *Memory, c *store.Commit) { c.Reserve = true })
		},
		"version one behind": func(b *broken) {
			b.load = func(_ pan.Token, l *store.Loaded) { l.Version = max(l.Version, 1) - 1 }
		},
		"mark not loaded": func(b *broken) {
			b.load = func(_ pan.Token, l *store.Loaded) { l.Mark = txn.Mark{} }
		},
		"entry skipped": func(b *broken) {
			b.read = func(e []store.OutboxEntry) []store.OutboxEntry {
				if len(e) > 3 {
					return append(e[:1], e[2:]...)
				}
				return e
			}
		},
		"order changed": func(b *broken) {
			b.read = func(e []store.OutboxEntry) []store.OutboxEntry {
				if len(e) > 2 {
					e[1], e[2] = e[2], e[1]
				}
				return e
			}
		},
		"date changed": func(b *broken) {
			b.read = func(e []store.OutboxEntry) []store.OutboxEntry {
				for i := range e {
					e[i].Date = 20260301
				}
				return e
			}
		},
		"gap hidden": func(b *broken) {
			b.changes = func(error) error { return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := memoryFactory()
			open := f.Open
			f.Open = func(t testing.TB, o Options) store.Store {
				b := &broken{Memory: open(t, o).(*Memory)}
				plant(b)
				return b
			}
			f.Reopen, f.Crash, f.Second = nil, nil, nil
			t.Logf("found by %s", suiteFinds(t, f))
		})
	}
}

// suiteFinds runs the suite until a test fails, and returns which; tests that close or
// reopen are left out.
func suiteFinds(t *testing.T, f Factory) string {
	for _, g := range groups() {
		for _, test := range g.tests {
			if g.name == "Life" || g.name == "Concurrent" || test.name == "SnapshotWhileChanging" {
				continue
			}
			if failure := judge(t, f, test.options, test.run); failure != "" {
				return g.name + "/" + test.name + ": " + failure
			}
		}
	}
	t.Error("the suite found nothing")
	return ""
}

// TestCrashLosingACommit: a crash that forgets what was answered is found.
func TestCrashLosingACommit(t *testing.T) {
	for _, loses := range []string{"Reopen", "Crash"} {
		f := memoryFactory()
		lose := func(_ testing.TB, s store.Store) store.Store {
			m := s.(*Memory).Handle()
			clear(m.data.buckets[contentBucket].cards)
			return m
		}
		run := reopenKeepsEverything
		if f.Reopen = lose; loses == "Crash" {
			f.Crash, run = lose, crashKeepsWhatWasAnswered
		}
		if judge(t, f, Options{}, run) == "" {
			t.Errorf("cards lost in %s was not found", loses)
		}
	}
}

// TestUnfencedHandleIsFound: a first handle that goes on writing is found.
func TestUnfencedHandleIsFound(t *testing.T) {
	f := memoryFactory()
	f.Second = func(_ testing.TB, s store.Store) store.Store {
		other := NewMemory(MemoryOptions{})
		other.data.buckets = s.(*Memory).data.buckets
		return other
	}
	for _, run := range []func(*world){openEpochFencesOthers} {
		if judge(t, f, Options{}, run) == "" {
			t.Error("a handle that was not fenced was not found")
		}
	}
}

// TestLinearizableFindsStaleMark: marks loaded from a copy that lags behind, and not
// compared in the commit, approve a debit after a freeze; the history shows it.
func TestLinearizableFindsStaleMark(t *testing.T) {
	f := memoryFactory()
	f.Open = func(testing.TB, Options) store.Store {
		b := &broken{Memory: NewMemory(MemoryOptions{})}
		var mu sync.Mutex
		marks, loads := map[pan.Token]txn.Mark{}, 0
		b.load = func(card pan.Token, l *store.Loaded) {
			mu.Lock()
			defer mu.Unlock()
			if loads++; loads%8 == 0 {
				marks[card] = l.Mark
			}
			l.Mark = marks[card]
		}
		b.commit = mutate(currentMark)
		return b
	}
	for seed := range uint64(20) {
		if judge(t, f, Options{}, func(w *world) { w.linearizable(seed) }) != "" {
			return
		}
	}
	t.Error("no history showed a debit approved on a frozen card")
}

// currentMark makes a commit that assumes whatever mark there is.
func currentMark(m *Memory, c *store.Commit) {
	l, err := m.Load(context.Background(), c.Card, nil)
	if err == nil {
		c.Mark = l.Mark
	}
}

package storetest

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// memoryFactory opens Memory stores; a handle that is left is a crash.
func memoryFactory() Factory {
	open := func(_ testing.TB, o Options) store.Store {
		return NewMemory(MemoryOptions{OutboxMax: o.OutboxMax, ListLogMax: o.ListLogMax})
	}
	handle := func(_ testing.TB, s store.Store) store.Store { return s.(*Memory).Handle() }
	return Factory{Open: open, Reopen: handle, Crash: handle, Second: handle}
}

func TestMemory(t *testing.T) { Run(t, memoryFactory()) }

func TestOpsNamesEveryMethod(t *testing.T) {
	var want []string
	for m := range reflect.TypeFor[store.Store]().Methods() {
		if m.Name != "Close" && m.Name != "Shards" {
			want = append(want, m.Name)
		}
	}
	var got []string
	for _, op := range Ops() {
		got = append(got, string(op))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("Ops has %v, the store has %v", got, want)
	}
	m := NewMemory(MemoryOptions{})
	named := slices.Sorted(maps.Keys(calls(t.Context(), m, tokenOf(t.Name(), 1))))
	if !slices.Equal(named, want) {
		t.Fatalf("calls has %v, the store has %v", named, want)
	}
}

// TestEveryOperationFails proves for each operation that both faults are reported and
// that only AppliedUnreported leaves an effect.
func TestEveryOperationFails(t *testing.T) {
	card := tokenOf(t.Name(), 1)
	for _, op := range Ops() {
		for _, fault := range []Fault{NotApplied, AppliedUnreported} {
			m := NewMemory(MemoryOptions{Now: func() txn.Millis { return testAt }})
			if err := m.OpenEpoch(t.Context(), testAt); err != nil {
				t.Fatal(err)
			}
			before := fingerprint(t, m)
			m.SetFault(func(asked Op) Fault {
				if asked == op {
					return fault
				}
				return NoFault
			})
			err := calls(t.Context(), m, card)[string(op)]()
			m.SetFault(nil)
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s with fault %d gave %v, want ErrUnavailable", op, fault, err)
			}
			writes := op == OpCommit || op == OpOpenEpoch || op == OpPut || op == OpCutOver
			changed := fingerprint(t, m) != before
			if want := writes && fault == AppliedUnreported; changed != want {
				t.Errorf("%s with fault %d: changed %v, want %v", op, fault, changed, want)
			}
		}
	}
}

// fingerprint tells whether anything was written.
func fingerprint(t *testing.T, m *Memory) string {
	t.Helper()
	loaded, err := m.Load(t.Context(), tokenOf("TestEveryOperationFails", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := m.Buckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := m.Keys(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return string(loaded.State) + infos[0].Last.String() + infos[0].Date.String() +
		string(rune('0'+len(keys)))
}

// TestMemoryNeedsAnEpoch: a handle that opened no epoch writes nothing.
func TestMemoryNeedsAnEpoch(t *testing.T) {
	c := &store.Commit{Card: tokenOf(t.Name(), 1), State: []byte("x")}
	m := NewMemory(MemoryOptions{})
	if err := m.Commit(t.Context(), []*store.Commit{c}); !errors.Is(err, store.ErrFenced) {
		t.Fatalf("commit without an epoch gave %v, want ErrFenced", err)
	}
}

func TestMemoryEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := NewMemory(MemoryOptions{})
	for name, call := range calls(ctx, m, tokenOf(t.Name(), 1)) {
		if err := call(); name != "Read" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context gave %v", name, err)
		}
	}
}

// TestMemoryReadWakes: Read returns when an entry comes, not at the end of its wait.
func TestMemoryReadWakes(t *testing.T) {
	m := NewMemory(MemoryOptions{})
	read := make(chan int)
	go func() {
		entries, _, _ := m.Read(t.Context(), 0, store.Cursor{}, 10)
		read <- len(entries)
	}()
	if err := m.OpenEpoch(t.Context(), txn.MillisOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	if n := <-read; n != 1 {
		t.Fatalf("Read gave %d entries, want the epoch marker", n)
	}
}

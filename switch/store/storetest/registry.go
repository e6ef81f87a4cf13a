package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tapswitch/tapswitch/switch/store"
)

func registryTests() []test {
	return []test{
		{name: "PutGet", run: registryPutGet},
		{name: "CompareAndSet", run: registryCompareAndSet},
		{name: "Remove", run: registryRemove},
		{name: "Keys", run: registryKeys},
		{name: "Limits", run: registryLimits},
		{name: "OneWinner", run: registryOneWinner},
	}
}

func (w *world) get(key, want string, version uint64) {
	w.Helper()
	value, got, err := w.s.Get(w.ctx, key)
	w.check(err)
	if string(value) != want || got != version {
		w.Fatalf("key %q has %q of version %d, want %q of %d", key, value, got, want, version)
	}
}

func (w *world) put(key, value string, version uint64) {
	w.Helper()
	w.check(w.s.Put(w.ctx, key, []byte(value), version))
}

func (w *world) putConflict(key, value string, version uint64) {
	w.Helper()
	if err := w.s.Put(w.ctx, key, []byte(value), version); !errors.Is(err, store.ErrConflict) {
		w.Fatalf("Put of %q at version %d gave %v, want ErrConflict", key, version, err)
	}
}

func registryPutGet(w *world) {
	value, version, err := w.s.Get(w.ctx, "absent")
	if value != nil || version != 0 || err != nil {
		w.Fatalf("an absent key has %q of version %d, error %v", value, version, err)
	}
	w.put("k", "one", 0)
	w.get("k", "one", 1)
	w.put("k", "two\x00\xff\n", 1)
	w.get("k", "two\x00\xff\n", 2)
	buffer := []byte("mine")
	w.check(w.s.Put(w.ctx, "buffer", buffer, 0))
	clear(buffer)
	got, _, err := w.s.Get(w.ctx, "buffer")
	w.check(err)
	clear(got)
	w.get("buffer", "mine", 1)
}

func registryCompareAndSet(w *world) {
	w.putConflict("k", "x", 1)
	w.put("k", "one", 0)
	w.putConflict("k", "x", 0)
	w.putConflict("k", "x", 2)
	w.get("k", "one", 1)
}

func registryRemove(w *world) {
	w.put("k", "one", 0)
	w.putConflict("k", "", 5)
	w.put("k", "", 1)
	w.get("k", "", 0)
	keys, err := w.s.Keys(w.ctx, "k")
	w.check(err)
	if len(keys) != 0 {
		w.Fatalf("a removed key is listed: %q", keys)
	}
	w.put("k", "again", 0)
	w.get("k", "again", 1)
}

func registryKeys(w *world) {
	all := []string{"a", "a*", "a*b", "a/1", "a/10", "a/2", "a[x]", "ab", "b", "term/中"}
	for i := range all {
		w.put(all[i*7%len(all)], "v", 0)
	}
	for _, prefix := range []string{"", "a", "a*", "a/", "a/1", "a[", "a?", "term/", "zz"} {
		var want []string
		for _, key := range all {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		got, err := w.s.Keys(w.ctx, prefix)
		w.check(err)
		if !slices.Equal(got, want) {
			w.Errorf("prefix %q: %q, want %q", prefix, got, want)
		}
	}
}

func registryLimits(w *world) {
	key := strings.Repeat("k", store.RegistryKeyMax)
	value := bytes.Repeat([]byte("v"), store.RegistryMax)
	w.put(key, string(value), 0)
	w.get(key, string(value), 1)
	if err := w.s.Put(w.ctx, key+"k", []byte("v"), 0); !errors.Is(err, store.ErrTooLarge) {
		w.Errorf("a key of %d bytes gave %v, want ErrTooLarge", len(key)+1, err)
	}
	if err := w.s.Put(w.ctx, "k", append(value, 'v'), 0); !errors.Is(err, store.ErrTooLarge) {
		w.Errorf("a value of %d bytes gave %v, want ErrTooLarge", len(value)+1, err)
	}
	w.get("k", "", 0)
}

// registryOneWinner: of many who put at one version, one succeeds.
func registryOneWinner(w *world) {
	const writers, rounds = 16, 5
	for round := range uint64(rounds) {
		won := make(chan string, writers)
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				value := fmt.Sprintf("%d of %d", i, round)
				switch err := w.s.Put(w.ctx, "shared", []byte(value), round); {
				case err == nil:
					won <- value
				case !errors.Is(err, store.ErrConflict):
					w.Errorf("Put gave %v", err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			w.Fatalf("round %d has %d winners", round, len(won))
		}
		w.get("shared", <-won, round+1)
	}
}

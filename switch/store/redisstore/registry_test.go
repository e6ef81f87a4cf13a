package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/store"
)

func registryBehaviours() []behaviour {
	return []behaviour{
		{"registry values have versions", testRegistry},
		{"registry keys by prefix", testKeys},
	}
}

func testRegistry(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx := context.Background()
	check := func(want string, wantVersion uint64) {
		t.Helper()
		v, version, err := s.Get(ctx, "terminal/1")
		if err != nil || string(v) != want || version != wantVersion {
			t.Fatalf("got %q version %d, %v; want %q %d", v, version, err, want, wantVersion)
		}
	}
	check("", 0)
	wantErr(t, s.Put(ctx, "terminal/1", []byte("x"), 1), store.ErrConflict)
	for v := range uint64(3) {
		if err := s.Put(ctx, "terminal/1", fmt.Append(nil, v), v); err != nil {
			t.Fatal(err)
		}
		wantErr(t, s.Put(ctx, "terminal/1", []byte("again"), v), store.ErrConflict)
	}
	check("2", 3)
	if err := s.Put(ctx, "terminal/1", nil, 3); err != nil {
		t.Fatal(err)
	}
	check("", 0)
	big := []byte(strings.Repeat("v", store.RegistryMax))
	if err := s.Put(ctx, strings.Repeat("k", store.RegistryKeyMax), big, 0); err != nil {
		t.Fatal(err)
	}
	wantErr(t, s.Put(ctx, "k", append(big, 'v'), 0), store.ErrTooLarge)
	long := strings.Repeat("k", store.RegistryKeyMax+1)
	wantErr(t, s.Put(ctx, long, nil, 0), store.ErrTooLarge)
	_, _, err := s.Get(ctx, long)
	wantErr(t, err, store.ErrTooLarge)
	_, _, err = s.Get(ctx, "")
	wantErr(t, err, errKey)
}

func testKeys(t *testing.T, newOptions func() Options) {
	s := open(t, newOptions())
	ctx := context.Background()
	want := []string{"a*[b]?\\/1", "a*[b]?\\/2"}
	others := []string{"aXb?\\/3", "b"}
	for i := range 2 * keysPage {
		others = append(others, fmt.Sprintf("terminal/%04d", i))
	}
	for _, k := range slices.Concat(others, want) {
		if err := s.Put(ctx, k, []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Keys(ctx, `a*[b]?\`)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("keys %q, %v; want %q", got, err, want)
	}
	if got, err = s.Keys(ctx, ""); err != nil || len(got) != len(others)+2 || !slices.IsSorted(got) {
		t.Fatalf("%d keys in all, %v", len(got), err)
	}
	if got, err = s.Keys(ctx, "none"); err != nil || len(got) != 0 {
		t.Fatalf("keys %q, %v", got, err)
	}
}

package redisstore

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

// TestConformance runs the suite that every store passes, on one node and on a cluster.
func TestConformance(t *testing.T) {
	onBoth(t, func(t *testing.T, f storetest.Factory) { storetest.Run(t, f) })
}

// TestModel compares random operations with a plain model.
func TestModel(t *testing.T) {
	onBoth(t, func(t *testing.T, f storetest.Factory) { storetest.RunModel(t, f) })
}

// TestLinearizable checks the histories of freezes and debits of the same cards.
func TestLinearizable(t *testing.T) {
	onBoth(t, func(t *testing.T, f storetest.Factory) { storetest.RunLinearizable(t, f) })
}

func onBoth(t *testing.T, test func(*testing.T, storetest.Factory)) {
	t.Run("single", func(t *testing.T) {
		s := startSingle(t)
		test(t, newFactory([]string{s.Addr()}, func(ctx context.Context) error {
			return killAndStart(ctx, s)
		}))
	})
	t.Run("cluster", func(t *testing.T) {
		c := startCluster(t)
		test(t, newFactory(c.Addrs(), func(ctx context.Context) error {
			for _, s := range c.Nodes {
				if err := killAndStart(ctx, s); err != nil {
					return err
				}
			}
			return c.WaitOK(ctx)
		}))
	})
}

func killAndStart(ctx context.Context, s *stack.Server) error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// newFactory makes stores for the suite, each on a key prefix of its own. A crash kills
// the servers as well as the handle.
func newFactory(addrs []string, crash func(context.Context) error) storetest.Factory {
	var mu sync.Mutex
	opts := map[store.Store]Options{}
	n := 0
	openAs := func(t testing.TB, opt Options) store.Store {
		s := open(t, opt)
		mu.Lock()
		defer mu.Unlock()
		opts[s] = opt
		return s
	}
	optionsOf := func(s store.Store) Options {
		mu.Lock()
		defer mu.Unlock()
		return opts[s]
	}
	again := func(t testing.TB, s store.Store) store.Store { return openAs(t, optionsOf(s)) }
	return storetest.Factory{
		Open: func(t testing.TB, o storetest.Options) store.Store {
			mu.Lock()
			n++
			opt := options(addrs...)
			opt.Prefix, opt.Date = fmt.Sprintf("s%d", n), 0
			mu.Unlock()
			opt.OutboxMax, opt.ChangesKept = o.OutboxMax, o.ListLogMax
			return openAs(t, opt)
		},
		Reopen: again,
		Second: again,
		Crash: func(t testing.TB, s store.Store) store.Store {
			if err := crash(context.Background()); err != nil {
				t.Fatalf("crash: %v", err)
			}
			return again(t, s)
		},
	}
}

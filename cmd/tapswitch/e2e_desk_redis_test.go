package main

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/stack"
)

// TestE2EDeskRedis: the same loss where the state is in a redis-server: a killed switch leaves
// nothing but what Redis has, and clocks, lists and epochs go on from there.
func TestE2EDeskRedis(t *testing.T) {
	t.Parallel()
	stack.Require(t, stack.Redis)
	server, err := stack.StartRedis(context.Background(),
		stack.RedisOptions{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c := newDeskCity(t, "--store", "redis", "--set", "store.redis.addrs="+server.Addr())
	c.party("transit", "operator")
	c.party("utility", "utility")
	l := c.begin()
	epoch := l.held.Epoch()
	c.node.kill()
	c.restart()
	if n := len(c.notices(l)); n != 2 {
		t.Errorf("%d notices after the restart", n)
	}
	if a := c.tap(0, deskChip, 0); a.Reason != lostReason {
		t.Errorf("after the restart: %+v", a)
	}
	c.answers(l)
	c.late(l)
	c.coverage(l)
	if now, err := c.node.metric("tapswitch_list_epoch", ""); err != nil || now <= float64(epoch) {
		t.Errorf("the epoch is %s after %d: %v", fmt.Sprint(now), epoch, err)
	}
	c.receipt(l)
}

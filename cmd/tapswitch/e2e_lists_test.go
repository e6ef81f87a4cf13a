package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
)

// listCity is a city whose gates follow the list over the deaths of the switch.
type listCity struct {
	*deskCity
	keys   *list.Keys
	lost   []pan.Token
	opened int
}

// newListCity begins with one lost card and a gate that holds the list.
func newListCity(t *testing.T, args ...string) (*listCity, *list.List) {
	t.Helper()
	c := &listCity{deskCity: newDeskCity(t, args...)}
	var err error
	if c.keys, err = list.NewKeys(c.publicKey()); err != nil {
		t.Fatal(err)
	}
	held := c.gateBegins(c.keys)
	c.lose()
	return c, c.follow(held)
}

// lose opens an account and reports its card's loss.
func (c *listCity) lose() {
	c.t.Helper()
	c.opened++
	chip := fmt.Sprintf("31048000000001%02d", c.opened)
	account := c.open(fmt.Sprintf("1101011990010112%02d", c.opened), chip, "")
	c.report(chip)
	c.lost = append(c.lost, c.tokensOf(account)...)
}

// delta asks what followed an epoch.
func (c *listCity) delta(from *list.List) (int, []byte) {
	c.t.Helper()
	status, _, body := c.list(0, fmt.Sprintf("/v1/lists/transit/delta?from=%d", from.Epoch()))
	return status, body
}

// follow brings a gate by deltas alone to where it holds every lost card, and compares its list
// with the full one of its epoch or a later one.
func (c *listCity) follow(held *list.List) *list.List {
	c.t.Helper()
	c.until("the losses in deltas", func() (bool, error) {
		held = c.next(held)
		for _, card := range c.lost {
			if !held.Contains(card) {
				return false, fmt.Errorf("%d losses, epoch %d", len(c.lost), held.Epoch())
			}
		}
		return true, nil
	})
	_, _, body := c.list(1, "/v1/lists/transit/full?format=exact")
	full, err := list.Open(body, c.keys)
	if err != nil {
		c.t.Fatal(err)
	}
	c.until("the same epoch", func() (bool, error) {
		held, full = c.next(held), c.next(full) // the full file may be one of some epochs before
		return held.Epoch() == full.Epoch(), fmt.Errorf("%d and %d", held.Epoch(), full.Epoch())
	})
	if full.Header().Check != held.Header().Check || full.Header().Count != held.Header().Count {
		c.t.Errorf("by deltas %+v, in full %+v", held.Header(), full.Header())
	}
	return held
}

// next takes the delta from what a gate holds, which may be no news.
func (c *listCity) next(held *list.List) *list.List {
	c.t.Helper()
	status, body := c.delta(held)
	switch status {
	case http.StatusServiceUnavailable, http.StatusNoContent: // no epoch yet, or no other
		return held
	case http.StatusOK:
	default:
		c.t.Fatalf("delta from %d: %d %s", held.Epoch(), status, body)
	}
	next, err := held.Apply(body, c.keys)
	if err != nil {
		c.t.Fatalf("delta from %d: %v", held.Epoch(), err)
	}
	return next
}

// dies kills the switch and starts it anew.
func (c *listCity) dies() {
	c.t.Helper()
	c.node.kill()
	c.restart()
}

// survives shows that gates go on with deltas over kill -9, right after a loss as well, and that
// those of every epoch of before do.
func (c *listCity) survives(first *list.List) {
	c.t.Helper()
	held := first
	for range 3 {
		c.lose()
		c.dies()
		held = c.follow(held)
	}
	c.dies()
	c.follow(first)
	c.follow(held)
}

// TestE2EListsOutliveKill: a killed switch goes on with the deltas from where its gates are. One
// whose history is gone, or is that of another, refuses them and gives no wrong one.
func TestE2EListsOutliveKill(t *testing.T) {
	t.Parallel()
	c, first := newListCity(t)
	c.survives(first)
	history := filepath.Join(c.node.dir, "lists", "gates.past")
	old, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	c.node.kill()
	if err := os.Remove(history); err != nil {
		t.Fatal(err)
	}
	c.restart()
	c.refused(first)
	held := c.gateBegins(c.keys)
	c.node.kill()
	if err := os.WriteFile(history, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c.restart()
	c.refused(first)
	c.refused(held)
	held = c.gateBegins(c.keys)
	c.lose()
	c.dies()
	c.follow(held)
}

// refused shows that a delta is refused once there is an epoch, so that a full file is taken.
func (c *listCity) refused(held *list.List) {
	c.t.Helper()
	c.until("an epoch", func() (bool, error) {
		status, body := c.delta(held)
		if status == http.StatusServiceUnavailable {
			return false, fmt.Errorf("%d", status)
		}
		if status != http.StatusGone {
			c.t.Fatalf("delta from %d: %d %s", held.Epoch(), status, body)
		}
		return true, nil
	})
}

// TestE2EListsOutliveKillRedis: the same where the state is in a redis-server.
func TestE2EListsOutliveKillRedis(t *testing.T) {
	t.Parallel()
	stack.Require(t, stack.Redis)
	server, err := stack.StartRedis(context.Background(),
		stack.RedisOptions{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c, first := newListCity(t, "--store", "redis", "--set", "store.redis.addrs="+server.Addr())
	c.survives(first)
}

// TestE2EListsOutliveKillCluster: the same over a Redis Cluster.
func TestE2EListsOutliveKillCluster(t *testing.T) {
	t.Parallel()
	stack.Require(t, stack.Redis)
	cluster, err := stack.StartRedisCluster(context.Background(),
		stack.RedisClusterOptions{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	c, first := newListCity(t, "--store", "redis", "--set", "store.redis.cluster=true", "--set",
		"store.redis.addrs="+strings.Join(cluster.Addrs(), ","))
	c.survives(first)
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/sim"
)

// Power cuts. The data lies on ext4 in a file; the process that owns it is stopped, the file
// is copied as it is, and the copy is mounted: what was not synced is not there. A kill
// would show nothing, since the kernel keeps what a dead process wrote.

// e2ePower is a disk whose power can be cut.
type e2ePower struct {
	t     testing.TB
	image string
	dir   string // where it is mounted
}

// newE2EPower makes and mounts the disk, or skips the test where that is not possible.
func newE2EPower(t testing.TB) *e2ePower {
	t.Helper()
	for _, tool := range []string{"mkfs.ext4", "mount", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("not run: a power cut needs %s", tool)
		}
	}
	base := t.TempDir()
	p := &e2ePower{t: t, image: filepath.Join(base, "disk"), dir: filepath.Join(base, "mnt")}
	f, err := os.Create(p.image)
	if err == nil {
		err = errors.Join(f.Truncate(128<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", p.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs: %v %s", err, out)
	}
	e2eMount(t, p.dir, "-o", "loop", p.image)
	return p
}

// cut returns the disk as a power cut at this moment would leave it. Nobody may write while
// it copies.
func (p *e2ePower) cut() (*e2ePower, error) {
	base, err := os.MkdirTemp(filepath.Dir(p.image), "cut")
	if err != nil {
		return nil, err
	}
	q := &e2ePower{t: p.t, image: filepath.Join(base, "disk"), dir: filepath.Join(base, "mnt")}
	out, err := exec.Command("cp", "--sparse=always", p.image, q.image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("cp: %w: %s", err, out)
	}
	return q, nil
}

// on mounts the disk after a cut; ext4 replays its journal.
func (p *e2ePower) on() { e2eMount(p.t, p.dir, "-o", "loop", p.image) }

// e2eRedisSay sends commands to Redis, one a line, and returns the first line of each reply.
func e2eRedisSay(addr string, commands ...string) ([]string, error) {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	var replies []string
	for _, c := range commands {
		if _, err := fmt.Fprintf(conn, "%s\r\n", c); err != nil {
			return nil, err
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(line, "-") {
			return nil, fmt.Errorf("%s: %s", c, strings.TrimSpace(line))
		}
		replies = append(replies, strings.TrimSpace(line))
	}
	return replies, nil
}

// TestE2EPowerCutLocal: the power of the local store's disk is cut under load. Nothing that
// was answered is missing.
func TestE2EPowerCutLocal(t *testing.T) {
	c, after := e2eCutLocal(t, e2eSeed(t, 50), func(*e2eNode) error { return nil }, false)
	if after == nil {
		t.Fatal("the power was not cut")
	}
	c.finish(c.outcome, after.parquet)
}

// TestE2EPlantedNoSync: the same with syncs that do nothing. Were it green, the test above
// would show nothing.
func TestE2EPlantedNoSync(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("not run: planting a sync that does nothing needs strace")
	}
	unsynced := func(n *e2eNode) error {
		n.mu.Lock()
		pid := n.cmd.Process.Pid
		n.mu.Unlock()
		s := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-p", strconv.Itoa(pid),
			"-e", "trace=fsync,fdatasync,sync_file_range",
			"-e", "inject=fsync,fdatasync,sync_file_range:retval=0")
		s.SysProcAttr = e2eAttributes()
		if err := s.Start(); err != nil {
			return err
		}
		go func() { _ = s.Wait() }() // ends with the switch
		return e2eAwait(e2eStartMax, func() (bool, error) {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			return strings.Contains(string(status), "TracerPid:\t"+strconv.Itoa(s.Process.Pid)), err
		})
	}
	c, after := e2eCutLocal(t, e2eSeed(t, 51), unsynced, true)
	if after == nil {
		t.Log("the store refused to start: seen")
		return
	}
	e := &e2eEvidence{plan: c.plan, outcome: c.outcome, records: after.parquet()}
	lost := e.lost()
	t.Logf("%d of %d approvals are lost", len(lost), len(c.outcome.Approvals))
	if len(lost) == 0 {
		t.Error("syncs did nothing, the power was cut, and the check is green: it sees nothing")
	}
}

// e2eCityAfter is a city with what the client saw.
type e2eCityAfter struct {
	*e2eCity
	outcome *sim.Outcome
}

// errE2ECut ends a driver at a power cut.
var errE2ECut = errors.New("power cut")

// e2eCutLocal drives a plan over a local store whose power is cut half way, after plant did
// something to the process. It returns the node that goes on with the cut disk, nil when it
// refuses to start. With end the driver ends at the cut.
func e2eCutLocal(
	t *testing.T, seed uint64, plant func(*e2eNode) error, end bool,
) (*e2eCityAfter, *e2eNode) {
	t.Helper()
	power := newE2EPower(t)
	p := e2ePlan(t, seed, 150)
	n := newE2ENode(t, filepath.Join(power.dir, "switch"), e2eFlags(t, p)...)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	c := &e2eCityAfter{e2eCity: newE2ECity(t, p, n, false)}
	var after *e2eNode
	c.hook(0.1, func(context.Context) error { return plant(n) })
	c.hook(0.6, func(context.Context) error {
		if err := n.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		q, err := power.cut()
		n.kill()
		if err != nil {
			return err
		}
		q.on()
		after = newE2ENode(t, filepath.Join(q.dir, "switch"), n.args...)
		c.node = after
		if err := c.restart(); err != nil {
			after = nil
			if !end {
				return err
			}
		}
		if end {
			return errE2ECut
		}
		return nil
	})
	var err error
	if c.outcome, err = c.driver.Run(t.Context()); err != nil && !(end && errors.Is(err, errE2ECut)) {
		t.Fatalf("seed %d: the driver stopped: %v", seed, err)
	}
	if end && after != nil {
		c.drain()
	}
	return c, after
}

// lost returns the approvals that the client saw and the ledger does not hold, for runs that
// were not driven to their end.
func (e *e2eEvidence) lost() []string {
	var lost []string
	for _, fault := range e.approvalFaults() {
		if strings.Contains(fault, "is not in the ledger") {
			lost = append(lost, fault)
		}
	}
	return lost
}

// TestE2EPowerCutRedis: the power of Redis' disk is cut under load. Nothing that was answered
// is missing.
func TestE2EPowerCutRedis(t *testing.T) {
	c := e2eCutRedis(t, e2eSeed(t, 52), "always", false)
	c.finish(c.outcome, c.node.parquet)
}

// TestE2EPlantedEverysec: the same with a Redis that was told to sync every second, behind
// the back of the switch, which would not have started with it.
func TestE2EPlantedEverysec(t *testing.T) {
	c := e2eCutRedis(t, e2eSeed(t, 53), "everysec", true)
	e := &e2eEvidence{plan: c.plan, outcome: c.outcome, records: c.node.parquet()}
	lost := e.lost()
	t.Logf("%d of %d approvals are lost", len(lost), len(c.outcome.Approvals))
	if len(lost) == 0 {
		t.Error("everysec, a power cut, and the check is green: it sees nothing")
	}
}

// e2eCutRedis drives a plan over Redis whose power is cut half way. Records stay in the
// outbox until after the cut, so that the ledger tells what Redis kept.
func e2eCutRedis(t *testing.T, seed uint64, fsync string, end bool) *e2eCityAfter {
	t.Helper()
	stack.Require(t, stack.Redis)
	power := newE2EPower(t)
	dir := filepath.Join(power.dir, "redis")
	redis, err := stack.StartRedis(context.Background(), stack.RedisOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	p := e2ePlan(t, seed, 150)
	base := t.TempDir()
	flags := append(e2eFlags(t, p), "--store", "redis", "--set",
		"keys.token_file="+filepath.Join(base, "token.key"), "--set",
		"keys.master_file="+filepath.Join(base, "master.key"), "--set",
		"keys.signing_file="+filepath.Join(base, "signing.key"))
	n := newE2ENode(t, filepath.Join(base, "before"), append(flags, "--set",
		"store.redis.addrs="+redis.Addr(), "--set", "feed.flush_every=1h")...)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	c := &e2eCityAfter{e2eCity: newE2ECity(t, p, n, false)}
	if _, err := e2eRedisSay(redis.Addr(), "CONFIG SET appendfsync "+fsync); err != nil {
		t.Fatal(err)
	}
	c.hook(0.6, func(context.Context) error {
		if err := redis.Pause(); err != nil {
			return err
		}
		q, err := power.cut()
		err = errors.Join(err, redis.Kill())
		n.kill()
		if err != nil {
			return err
		}
		q.on()
		kept, err := stack.StartRedis(context.Background(), stack.RedisOptions{
			Dir: filepath.Join(q.dir, "redis")})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = kept.Close() })
		c.node = newE2ENode(t, filepath.Join(base, "after"), append(flags, "--set",
			"store.redis.addrs="+kept.Addr())...)
		if err := c.restart(); err != nil {
			return err
		}
		c.desk = c.node.secret(adminTokenFile)
		if end {
			return errE2ECut
		}
		return nil
	})
	if c.outcome, err = c.driver.Run(t.Context()); err != nil && !(end && errors.Is(err, errE2ECut)) {
		t.Fatalf("seed %d: the driver stopped: %v", seed, err)
	}
	if end {
		c.drain()
	}
	return c
}

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// e2eMount mounts something for the length of the test, or skips the test where that is not
// allowed.
func e2eMount(t testing.TB, dir string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not run: mounting a small disk needs root")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mount", append(args, dir)...).CombinedOutput()
	if err != nil {
		t.Skipf("not run: mount %v: %v %s", args, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
}

// e2eFill writes a file until the disk is full.
func e2eFill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		n, err := f.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			return err
		case n == 0:
			return errors.New("nothing written")
		}
	}
	return nil
}

// e2eStarved is how the gate tells that the store takes nothing for want of room.
const e2eStarved = `code="outcome_unknown"`

// starve fills the disk, again and again since the switch frees some of it, until the switch
// refuses work or has stopped.
func (c *e2eCity) starve(ballast string) error {
	before, _ := c.node.metric("tapswitch_refusals_total", e2eStarved)
	lives := c.node.life()
	err := e2eAwait(e2eStartMax, func() (bool, error) {
		if err := e2eFill(ballast); err != nil {
			return false, err
		}
		if c.node.life() != lives {
			return true, nil // it stopped, and was started again
		}
		refused, err := c.node.metric("tapswitch_refusals_total", e2eStarved)
		return err == nil && refused > before, errors.Join(errE2EGoesOn, err)
	})
	if err != nil {
		return errors.Join(err, c.node.signal(syscall.SIGQUIT))
	}
	return nil
}

var errE2EGoesOn = errors.New("the switch goes on with a full disk")

// e2eFullStart is how long starts on a full disk are looked at.
const e2eFullStart = time.Second

// TestE2EDiskFull: on a full disk the switch refuses, or stops, rather than approve what it
// cannot keep; with space again it goes on, started again or not. Killed and started on a
// full disk it does no harm either.
func TestE2EDiskFull(t *testing.T) {
	p := e2ePlan(t, e2eSeed(t, 30), 300)
	dir := filepath.Join(t.TempDir(), "switch")
	e2eMount(t, dir, "-t", "tmpfs", "-o", "size=256m", "tapswitch-e2e")
	n := newE2ENode(t, dir, e2eFlags(t, p)...)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	c := newE2ECity(t, p, n, false)
	c.driver.Workers = 3 // small batches: the journal needs room often
	ballast := filepath.Join(dir, "ballast")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	supervised := make(chan error, 1)
	go func() { supervised <- c.supervise(ctx) }()
	first := make(chan struct{}) // closed when the disk has room again: one ballast at a time
	c.hook(0.1, func(context.Context) error {
		defer close(first)
		return errors.Join(c.starve(ballast), os.Remove(ballast))
	})
	c.hook(0.5, func(ctx context.Context) error {
		<-first
		err := c.starve(ballast)
		n.kill()
		err = errors.Join(err, e2ePause(ctx, e2eFullStart))
		return errors.Join(err, os.Remove(ballast))
	})
	out := c.drive()
	e2eUntil(t, e2eDrainMax, "drain", n.drained)
	stop()
	if err := <-supervised; err != nil {
		t.Error(err)
	}
	c.finish(out, n.parquet)
}

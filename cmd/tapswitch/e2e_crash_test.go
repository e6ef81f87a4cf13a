package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/store/local"
)

// The switch on one machine, killed in every way. Each test ends with the one check of
// e2eEvidence.

// e2eLocal starts a switch with the local store for a plan, and the plan's city.
func e2eLocal(t *testing.T, seed uint64, cards int, front bool) *e2eCity {
	t.Helper()
	p := e2ePlan(t, seed, cards)
	n := newE2ENode(t, filepath.Join(t.TempDir(), "switch"), e2eFlags(t, p)...)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	return newE2ECity(t, p, n, front)
}

// e2eRand is the randomness of a test: when to kill.
func e2eRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0xe2e)) }

// supervise starts the node again whenever it ends, as a supervisor would, until ctx ends.
// A node that ends before it is ready is started again after a moment.
func (c *e2eCity) supervise(ctx context.Context) error {
	for {
		select {
		case <-c.node.done():
		case <-ctx.Done():
			return nil
		}
		err := c.restart()
		switch {
		case errors.Is(err, errE2EEnded):
			_ = e2ePause(ctx, 20*time.Millisecond)
		case err != nil:
			return err
		}
	}
}

// e2eLives kills a node at failpoints: whenever it ends, it is started again with the next.
type e2eLives struct {
	c      *e2eCity
	points []string
	killed map[string]int // by failpoint
	lived  int
}

// run starts the node again and again until ctx ends. It returns an error when the node
// ended otherwise than by its failpoint.
func (l *e2eLives) run(ctx context.Context) error {
	armed := ""
	for {
		select {
		case <-l.c.node.done():
		case <-ctx.Done():
			return nil
		}
		if !l.c.node.killed() {
			return fmt.Errorf("armed with %q the switch ended otherwise: %w", armed, l.c.node.end())
		}
		if armed != "" {
			name, _, _ := strings.Cut(armed, ":")
			l.killed[name]++
		}
		armed = ""
		if l.lived < len(l.points) {
			armed = l.points[l.lived]
		}
		l.lived++
		var env []string
		if armed != "" {
			env = []string{failpointEnv + "=" + armed}
		}
		if err := l.c.restart(env...); err != nil && !errors.Is(err, errE2EEnded) {
			return err
		}
	}
}

// drive plays the plan while the lives go by.
func (l *e2eLives) drive(begin float64) {
	t := l.c.t
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan error, 1)
	l.c.hook(begin, func(context.Context) error {
		l.c.node.kill()
		go func() { result <- l.run(ctx) }()
		return nil
	})
	out := l.c.drive()
	drained := l.c.node.drained
	if err := e2eAwait(e2eDrainMax, drained); err != nil {
		t.Errorf("drain: %v", err)
	}
	stop()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	l.c.finish(out, l.c.node.parquet)
}

// TestE2EMorning: without any fault the four accounts of a morning agree; and the check
// would see if they did not.
func TestE2EMorning(t *testing.T) {
	c := e2eLocal(t, e2eSeed(t, 1), 300, false)
	out := c.drive()
	c.drain()
	e := &e2eEvidence{plan: c.plan, outcome: out, cards: c.cards(), records: c.node.parquet()}
	if err := c.node.stop(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	e.require(t)
	e2eCheckSees(t, e)
}

// TestE2EFailpoints: the switch kills itself at every named point of its store, twice each,
// under load.
func TestE2EFailpoints(t *testing.T) {
	seed := e2eSeed(t, 2)
	c := e2eLocal(t, seed, 1200, false)
	rng := e2eRand(seed)
	l := &e2eLives{c: c, killed: map[string]int{}}
	for range 2 {
		for _, name := range local.FailNames() {
			count := 1 + rng.IntN(40) // a batch, or a commit
			switch name {
			case local.FailCheckpointBegin, local.FailCheckpointStates, local.FailCheckpointEnd,
				local.FailSegmentRotate:
				count = 1 + rng.IntN(2)
			}
			l.points = append(l.points, fmt.Sprintf("%s:%d", name, count))
		}
	}
	rng.Shuffle(len(l.points), func(i, j int) { l.points[i], l.points[j] = l.points[j], l.points[i] })
	l.drive(0.05)
	for _, name := range local.FailNames() {
		if l.killed[name] != 2 {
			t.Errorf("killed %d times at %s, want 2; the order was %v", l.killed[name], name, l.points)
		}
	}
}

// TestE2ERandomKills: SIGKILL at moments that nobody chose.
func TestE2ERandomKills(t *testing.T) {
	for _, own := range []uint64{3, 4} {
		t.Run(fmt.Sprint(own), func(t *testing.T) {
			seed := e2eSeed(t, own)
			c := e2eLocal(t, seed, 200, false)
			rng := e2eRand(seed)
			for i := range 5 {
				c.hook((float64(i)+0.1+0.8*rng.Float64())/5, func(context.Context) error {
					c.node.kill()
					return c.restart()
				})
			}
			c.finish(c.drive(), c.node.parquet)
		})
	}
}

// TestE2EKilledStarts: a switch that is killed while it recovers, at random and at named
// points, recovers the next time.
func TestE2EKilledStarts(t *testing.T) {
	seed := e2eSeed(t, 5)
	c := e2eLocal(t, seed, 200, false)
	rng := e2eRand(seed)
	early := 0
	c.hook(0.5, func(ctx context.Context) error {
		c.node.kill()
		for range 6 {
			if err := c.node.launch(); err != nil {
				return err
			}
			if err := e2ePause(ctx, time.Duration(rng.IntN(60_000))*time.Microsecond); err != nil {
				return err
			}
			if ready, _ := c.node.readyNow(); !ready {
				early++
			}
			c.node.kill()
		}
		for _, point := range []string{local.FailBeforeWrite, local.FailAfterWrite,
			local.FailAfterSync, local.FailCheckpointBegin, local.FailCheckpointStates,
			local.FailCheckpointEnd} {
			err := c.node.start(failpointEnv + "=" + point + ":1")
			if err == nil {
				<-c.node.done() // dies at its first checkpoint, with or without work
			} else if !errors.Is(err, errE2EEnded) {
				return err
			}
			if !c.node.killed() {
				return fmt.Errorf("armed with %s the switch ended otherwise: %w", point, c.node.end())
			}
		}
		return c.restart()
	})
	c.finish(c.drive(), c.node.parquet)
	t.Logf("%d of 6 were killed before they were ready", early)
	if early == 0 {
		t.Error("no start was killed before it was ready: the test shows nothing")
	}
}

// TestE2EDrainUnderLoad: SIGTERM in the middle of the work answers what was begun, ends with
// exit code 0 and loses nothing.
func TestE2EDrainUnderLoad(t *testing.T) {
	c := e2eLocal(t, e2eSeed(t, 6), 200, false)
	for _, at := range []float64{0.3, 0.6} {
		c.hook(at, func(context.Context) error {
			begun := time.Now()
			if err := c.node.stop(); err != nil {
				return fmt.Errorf("SIGTERM under load: %w", err)
			}
			t.Logf("stopped in %s", time.Since(begun).Round(time.Millisecond))
			return c.restart()
		})
	}
	c.finish(c.drive(), c.node.parquet)
}

// TestE2EStopped: a switch that was stopped for seconds goes on where it was.
func TestE2EStopped(t *testing.T) {
	c := e2eLocal(t, e2eSeed(t, 7), 100, false)
	c.hook(0.5, func(ctx context.Context) error {
		if err := c.node.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		err := e2ePause(ctx, e2eLong(3*time.Second, 30*time.Second))
		return errors.Join(err, c.node.signal(syscall.SIGCONT))
	})
	c.finish(c.drive(), c.node.parquet)
}

// TestE2ETwoOnOneDirectory: a second switch on the same data is refused and says why; the
// first one is not disturbed.
func TestE2ETwoOnOneDirectory(t *testing.T) {
	c := e2eLocal(t, e2eSeed(t, 8), 50, false)
	c.hook(0.5, func(context.Context) error {
		args := append([]string{"run", "--data", c.node.dir, "--admin-listen", ""}, c.node.args...)
		r := e2eCommand(t, nil, "", args...)
		if r.code != cli.ExitFailed || !strings.Contains(r.stderr, "another process") {
			t.Errorf("second switch: exit code %d, said %q", r.code, r.stderr)
		}
		return nil
	})
	c.finish(c.drive(), c.node.parquet)
}

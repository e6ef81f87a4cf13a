package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// childEnv says to a copy of the test program that it is to work on a store until it is
// killed: directory, failpoint ("-" for none) and at which call of it to die.
const childEnv = "LOCAL_STORE_CHILD"

// childMain runs the child; it reports false in any other process.
func childMain() bool {
	spec := os.Getenv(childEnv)
	if spec == "" {
		return false
	}
	var dir, failpoint string
	var hit int64
	if _, err := fmt.Sscan(spec, &dir, &failpoint, &hit); err != nil {
		panic(err)
	}
	if err := childWork(dir, failpoint, hit); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	return true
}

// childWork opens the store and works on it. Each answer goes to standard output in one
// write, so what the parent reads is what was answered.
func childWork(dir, failpoint string, hit int64) error {
	ctx := context.Background()
	var hits atomic.Int64
	s, err := Open(ctx, Options{
		Dir: dir, Date: testDate, SegmentBytes: segmentBytesMin,
		CheckpointEvery: 15 * time.Millisecond, HotStatesMax: 1,
		Failpoint: func(name string) {
			if name == failpoint && hits.Add(1) == hit {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // the signal may take a moment
			}
		},
	})
	if err != nil {
		return err
	}
	if err := s.OpenEpoch(ctx, 1); err != nil {
		return err
	}
	const workers = 6
	errs := make(chan error, workers+1)
	for i := range workers {
		go func() {
			errs <- work(ctx, s, i, workers, func(card int, c *store.Commit) {
				fmt.Printf("a %d %d\n", card, c.Version+1)
			})
		}()
	}
	go func() { errs <- childConfirm(ctx, s) }()
	return <-errs
}

// childConfirm confirms one bucket after the other, now and then.
func childConfirm(ctx context.Context, s *Store) error {
	for range time.Tick(3 * time.Millisecond) {
		infos, err := s.Buckets(ctx)
		if err != nil {
			return err
		}
		for _, is := range infos {
			fmt.Printf("c %d %d %d\n", is.Bucket, is.Last.Epoch, is.Last.Seq)
			if err := s.Confirm(ctx, []txn.Position{is.Last}); err != nil {
				return err
			}
		}
	}
	return nil
}

// answersMax is how many answers a child gives that never comes to its failpoint: no
// card may be cold, for one.
const answersMax = 3000

// crash runs a child until it dies of the failpoint or, with none, until it has given
// so many answers.
func (w *truth) crash(t *testing.T, dir, failpoint string, hit int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", childEnv, dir, failpoint, hit))
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	answers := w.listen(t, out, func(n int) {
		if failpoint == "-" && n == hit || n == answersMax {
			_ = child.Process.Kill()
		}
	})
	err = child.Wait()
	status, _ := child.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v after %d answers: %s", err, answers, stderr.String())
	}
}

// listen reads what the child says until its end, and returns how many answers it gave.
func (w *truth) listen(t *testing.T, out io.Reader, answer func(n int)) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var card int
		var version uint64
		var p txn.Position
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "a %d %d", &card, &version); err == nil {
			w.versions[card] = max(w.versions[card], version)
			n++
			answer(n)
			continue
		}
		if _, err := fmt.Sscanf(line, "c %d %d %d", &p.Bucket, &p.Epoch, &p.Seq); err == nil {
			if w.confirmed[p.Bucket].Before(p) {
				w.confirmed[p.Bucket] = p
			}
		} else {
			t.Errorf("the child said %q", line)
		}
	}
	return n
}

// TestKill kills a process at every failpoint and at random, again and again on one
// directory, and proves each time that everything it answered is there.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	w := &truth{}
	for round := range 3 {
		for _, name := range append(FailNames(), "-") {
			hit := 1 + round + random.IntN(3)
			switch name {
			case FailBeforeWrite, FailAfterWrite, FailAfterSync, FailBeforeReply, "-":
				hit = 1 + random.IntN(400)
			}
			t.Run(fmt.Sprintf("%s-%d", name, hit), func(t *testing.T) {
				w.crash(t, dir, name, hit)
				o := testOptions(t)
				o.Dir = dir
				s := open(t, o)
				w.check(t, s)
				if random.IntN(2) == 0 {
					mustClose(t, s)
				} else {
					abandon(t, s)
				}
			})
		}
	}
}

// TestKillWhileIdle: what was answered is there even when nothing came after it.
func TestKillWhileIdle(t *testing.T) {
	o := testOptions(t)
	s := opened(t, o)
	w := &truth{}
	var done sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 4 {
		done.Go(func() {
			_ = work(ctx, s, i, 4, func(card int, c *store.Commit) {
				if w.acked(card, c); c.Version > 20 {
					cancel()
				}
			})
		})
	}
	done.Wait()
	cancel()
	o = abandon(t, s)
	w.check(t, open(t, o))
}

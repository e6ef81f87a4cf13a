package stack

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

var errNotYet = errors.New("not yet")

// sleeper is a server whose readiness the test decides.
func sleeper(t *testing.T, ready func(context.Context) error) *Server {
	t.Helper()
	s := &Server{addr: "127.0.0.1:1", ready: ready, launch: launch{kind: Redis, dir: t.TempDir(),
		argv: []string{"sh", "-c", "echo started; exec sleep 600"}}}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStartWaitsUntilTheServerAnswers(t *testing.T) {
	asked := 0
	s := sleeper(t, func(context.Context) error {
		if asked++; asked < 5 {
			return errNotYet
		}
		return nil
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked != 5 {
		t.Errorf("asked %d times, want 5", asked)
	}
}

func TestStartThatIsNotAnsweredKillsTheProcess(t *testing.T) {
	s := sleeper(t, func(context.Context) error { return errNotYet })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := s.Start(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errNotYet) {
		t.Errorf("%v, want the deadline and the last answer", err)
	}
	if err == nil || !strings.Contains(err.Error(), "started") {
		t.Errorf("%v does not quote the log", err)
	}
	if s.Running() {
		t.Error("the process still runs")
	}
}

func TestServerThatEndsEarlyIsNotWaitedFor(t *testing.T) {
	s := sleeper(t, func(context.Context) error { return errNotYet })
	s.launch.argv = []string{"sh", "-c", "echo no such port; exit 1"}
	err := s.Start(t.Context())
	if !errors.Is(err, ErrDied) || !strings.Contains(err.Error(), "no such port") {
		t.Errorf("%v, want ErrDied with the log", err)
	}
}

// TestAnswerOfAnotherServerDoesNotCount: the port answers, but our process is gone.
func TestAnswerOfAnotherServerDoesNotCount(t *testing.T) {
	var s *Server
	s = sleeper(t, func(context.Context) error {
		s.process.waitEnd(killMax)
		return nil
	})
	s.launch.argv = []string{"sh", "-c", "echo address in use; exit 1"}
	if err := s.Start(t.Context()); !errors.Is(err, ErrDied) {
		t.Errorf("%v, want ErrDied", err)
	}
}

func TestCallsFromManyGoroutines(t *testing.T) {
	s := sleeper(t, func(context.Context) error { return nil })
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5 {
				if err := s.Restart(t.Context()); err != nil {
					t.Errorf("restart: %v", err)
				}
				if err := s.Kill(); err != nil {
					t.Errorf("kill: %v", err)
				}
				_ = s.PID()
			}
		})
	}
	group.Wait()
	if s.Running() {
		t.Error("the last kill left it running")
	}
}

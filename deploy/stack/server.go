package stack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Kind names one of the programs of the stack.
type Kind string

// The programs of the stack.
const (
	Redis      Kind = "redis"
	Kafka      Kind = "kafka"
	ClickHouse Kind = "clickhouse"
)

// Kinds returns all programs in the order in which they are installed and started.
func Kinds() []Kind { return []Kind{Redis, Kafka, ClickHouse} }

const (
	// startMax bounds the wait for a server when the caller's context has no deadline.
	startMax = 60 * time.Second
	// stopMax bounds a graceful stop; then the server is killed and Stop says so.
	stopMax = 30 * time.Second
	// killMax bounds the wait for a killed process; the kernel may be writing its pages.
	killMax = 10 * time.Second
	// pollEvery is the pause between two questions whether a server answers.
	pollEvery = 20 * time.Millisecond
)

// Faults that callers may want to tell apart.
var (
	// ErrNotRunning says that the server has no live process.
	ErrNotRunning = errors.New("stack: the server is not running")
	// ErrDied says that the process ended before it answered.
	ErrDied = errors.New("stack: the server ended before it answered")
	// ErrStopTimeout says that a graceful stop took too long and the server was killed.
	ErrStopTimeout = errors.New("stack: the server did not stop in time and was killed")
)

// Server is one real server program under control. Its methods may be called from any goroutine;
// each waits for the one under way.
type Server struct {
	addr   string
	launch launch
	ready  func(context.Context) error
	ports  []*port // held until Close or the end of this process

	stopLimit time.Duration // 0 means stopMax

	mu      sync.Mutex // guards process, held over signals and waits: calls are one after another
	process *process
}

// Addr returns host:port for clients; it stays the same over kills and restarts.
func (s *Server) Addr() string { return s.addr }

// Dir returns the folder of the server's data and of its log, server.log.
func (s *Server) Dir() string { return s.launch.dir }

// PID returns the process id, or 0 while the server is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.runningLocked() {
		return 0
	}
	return s.process.os.Pid
}

// Running reports whether the process lives; a paused one does.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runningLocked()
}

// runningLocked looks at the process without waiting.
func (s *Server) runningLocked() bool { return s.process != nil && !s.process.ended() }

// Start starts a server that is down, on its old port and data, and returns once it answers. A
// server that does not answer before ctx ends (or a minute, if ctx has no deadline) is killed.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startLocked(ctx)
}

// startLocked leaves no process behind if it fails.
func (s *Server) startLocked(ctx context.Context) error {
	if s.runningLocked() {
		return nil
	}
	process, err := startProcess(s.launch)
	if err != nil {
		return err
	}
	s.process = process
	if err := s.awaitLocked(ctx); err != nil {
		return errors.Join(err, s.killLocked())
	}
	return nil
}

// awaitLocked asks until the server answers, the process ends or the time is over.
func (s *Server) awaitLocked(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startMax)
		defer cancel()
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := s.ready(ctx)
		if s.process.ended() {
			return fmt.Errorf("%w: %s at %s; its log ends:\n%s", ErrDied, s.launch.kind, s.addr,
				logTail(s.launch.dir))
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stack: %s at %s gave no answer: %w (last: %w); its log ends:\n%s",
				s.launch.kind, s.addr, ctx.Err(), err, logTail(s.launch.dir))
		case <-s.process.done:
		case <-tick.C:
		}
	}
}

// Kill sends SIGKILL and returns when the process is gone; also from a pause. A server that is
// down stays so.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killLocked()
}

// killLocked waits for the end, so that the port and the folder are free when it returns.
func (s *Server) killLocked() error {
	if !s.runningLocked() {
		return nil
	}
	if err := s.process.signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !s.process.waitEnd(killMax) {
		return fmt.Errorf("stack: %s process %d survived SIGKILL for %v", s.launch.kind,
			s.process.os.Pid, killMax)
	}
	return nil
}

// Stop asks the server to end (SIGTERM, waking it from a pause) and returns when it is gone. After
// half a minute it is killed and the error is ErrStopTimeout. A server that is down stays so.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.runningLocked() {
		return nil
	}
	err := errors.Join(s.process.signal(syscall.SIGTERM), s.process.signal(syscall.SIGCONT))
	if err != nil {
		return err
	}
	limit := s.stopLimit
	if limit == 0 {
		limit = stopMax
	}
	if s.process.waitEnd(limit) {
		return nil
	}
	return errors.Join(fmt.Errorf("%w: %s at %s", ErrStopTimeout, s.launch.kind, s.addr),
		s.killLocked())
}

// Pause freezes the process (SIGSTOP): connections stay open and nothing answers. What clients
// send meanwhile waits in the kernel and is executed after Resume.
func (s *Server) Pause() error { return s.signalRunning(syscall.SIGSTOP) }

// Resume continues a paused process (SIGCONT).
func (s *Server) Resume() error { return s.signalRunning(syscall.SIGCONT) }

// signalRunning refuses where nothing runs: a pause that hit nothing would make a test green.
func (s *Server) signalRunning(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.runningLocked() {
		return fmt.Errorf("%w: %s at %s", ErrNotRunning, s.launch.kind, s.addr)
	}
	return s.process.signal(sig)
}

// Restart stops the server gracefully if it runs, starts it on the same port and data, and returns
// once it answers. After a Kill it is the recovery from a crash.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Close kills the server and gives its port back; the data stay. For the end of a test, where Stop
// would only cost time.
func (s *Server) Close() error {
	err := s.Kill()
	for _, p := range s.ports {
		p.release()
	}
	return err
}

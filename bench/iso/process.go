package iso

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

const (
	// startMax is how long a child may take to be ready, endMax to end when its input does.
	startMax = 2 * time.Minute
	endMax   = 10 * time.Second
	// pollEvery is how often a child is looked at for being ready.
	pollEvery = 2 * time.Millisecond
	// outputMax is how much of the end of what a child prints is kept.
	outputMax = 8 << 10
)

var errChild = errors.New("child process")

// process is a child that ends when its input does. End or kill it.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   output // standard output
	said  output // standard error
	ended chan struct{}
	err   error // its end, after ended
}

func startProcess(name string, argv []string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	// No Pdeathsig: the system sends it when the thread ends that started the child, not the
	// process, and threads end with goroutines that were locked to them.
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.said
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errChild, name, err)
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", errChild, name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// firstLine waits until the child has printed a line and returns it. A child that does not
// within startMax, or before ctx or the child ends, is killed.
func (p *process) firstLine(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if line, _, ok := bytes.Cut(p.out.bytes(), []byte("\n")); ok {
			return string(line), nil
		}
		select {
		case <-ticker.C:
		case <-p.ended:
			return "", fmt.Errorf("%w %s ended: %w: %s", errChild, p.name, p.err, p.said.bytes())
		case <-ctx.Done():
			p.kill()
			return "", fmt.Errorf("%w %s is not ready: %w: %s", errChild, p.name, ctx.Err(),
				p.said.bytes())
		}
	}
}

// end ends the child's input and returns when it is gone.
func (p *process) end() error {
	_ = p.stdin.Close()
	timer := time.NewTimer(endMax)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.kill()
		return fmt.Errorf("%w %s did not end within %s", errChild, p.name, endMax)
	}
	if p.err != nil {
		return fmt.Errorf("%w %s: %w: %s", errChild, p.name, p.err, p.said.bytes())
	}
	return nil
}

// kill ends the child at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// output keeps the end of what is written to it.
type output struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	if over := len(o.buf) - outputMax; over > 0 {
		o.buf = append(o.buf[:0], o.buf[over:]...)
	}
	return len(b), nil
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf)
}

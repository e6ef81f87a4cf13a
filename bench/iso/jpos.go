package iso

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/deploy/stack"
)

// ErrNoJPOS says that jPOS cannot be run here; the text names what is missing and what to do.
var ErrNoJPOS = errors.New("jPOS is not installed: run deploy/interop/jpos_install.sh")

// JPOSOptions say which program of jPOS is run against what.
type JPOSOptions struct {
	// Dir is where deploy/interop/jpos_install.sh installed, by default the folder jpos of
	// the stack's folder.
	Dir string
	// Bank is the address that requests are forwarded to.
	Bank string
	// Binary chooses ISO 8583 in BCD behind two bytes of length instead of ASCII behind four
	// digits; TPDU is then the header of channels, hexadecimal, none by default.
	Binary bool
	TPDU   string
	// Nagle leaves jPOS's own setting of connections on, which gathers small writes: NagleBank,
	// NagleFront or NagleBoth; NagleNone, the zero value, switches it off.
	Nagle JPOSNagle
	// HeapMiB is the heap of the Java machine, fixed from the start; 512 by default.
	HeapMiB int
}

// JPOSNagle says on which side of jPOS small writes wait for the acknowledgement of those
// before. jPOS alone leaves that on for both. It makes for more messages a second at full
// load and for milliseconds at a light one.
type JPOSNagle string

// The sides.
const (
	NagleNone  JPOSNagle = ""
	NagleBank  JPOSNagle = "bank"
	NagleFront JPOSNagle = "front"
	NagleBoth  JPOSNagle = "both"
)

// JPOSDir returns the folder of jPOS when dir names none: that of the stack's servers, which
// TAPSWITCH_STACK_DIR may move.
func JPOSDir(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	base, err := stack.Dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "jpos"), nil
}

// JPOSAvailable reports whether jPOS can be run from dir (see JPOSDir): nil, or why not, an
// ErrNoJPOS.
func JPOSAvailable(dir string) error {
	dir, err := JPOSDir(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoJPOS, err)
	}
	for _, need := range []struct{ file, what string }{
		{"installed", "the installation is not complete"},
		{"java/bin/java", "no Java of version 24 or newer"},
		{"classes/Forwarder.class", "the programs are not compiled"},
		{"forwarder/30_front.xml", "the descriptors are missing"},
	} {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(need.file))); err != nil {
			return fmt.Errorf("%w (%s)", ErrNoJPOS, need.what)
		}
	}
	return nil
}

// JPOSCommand returns the command of a program of deploy/interop/jpos/src. It may be used
// after JPOSAvailable returned nil for the same folder.
func JPOSCommand(dir, program string, heapMiB int, args ...string) ([]string, error) {
	dir, err := JPOSDir(dir)
	if err != nil {
		return nil, err
	}
	if heapMiB == 0 {
		heapMiB = 512
	}
	heap := strconv.Itoa(heapMiB) + "m"
	return append([]string{filepath.Join(dir, "java", "bin", "java"), "-Xms" + heap, "-Xmx" + heap,
		"-XX:+UseParallelGC", "-cp", filepath.Join(dir, "classes") + string(os.PathListSeparator) +
			filepath.Join(dir, "libs", "*"), program}, args...), nil
}

// JPOS is a jPOS that forwards, a process of its own. Stop it.
type JPOS struct {
	// Addr is where it takes requests, on loopback.
	Addr string

	child *process
	dir   string // scratch, removed by Stop
}

// StartJPOS starts jPOS as a switch in front of a bank and returns when it forwards. The
// error is an ErrNoJPOS where it is not installed. It keeps no state and writes no log: see
// Forwarder.java.
func StartJPOS(ctx context.Context, o JPOSOptions) (*JPOS, error) {
	if err := JPOSAvailable(o.Dir); err != nil {
		return nil, err
	}
	home, err := JPOSDir(o.Dir)
	if err != nil {
		return nil, err
	}
	addr, err := freeLoopback()
	if err != nil {
		return nil, err
	}
	j := &JPOS{Addr: addr}
	if j.dir, err = os.MkdirTemp("", "tapswitch-jpos-"); err != nil {
		return nil, fmt.Errorf("jPOS: %w", err)
	}
	if err := os.CopyFS(j.dir, os.DirFS(filepath.Join(home, "forwarder"))); err != nil {
		return nil, errors.Join(fmt.Errorf("jPOS: %w", err), os.RemoveAll(j.dir))
	}
	if err := j.start(ctx, o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(j.dir))
	}
	return j, nil
}

func (j *JPOS) start(ctx context.Context, o JPOSOptions) error {
	_, port, err := net.SplitHostPort(j.Addr)
	if err != nil {
		return fmt.Errorf("jPOS: %w", err)
	}
	args := []string{"--listen", port, "--bank", o.Bank, "--deploy", j.dir}
	if o.Binary {
		args = append(args, "--format", "bcd")
	}
	if o.Nagle != NagleNone {
		args = append(args, "--nagle", string(o.Nagle))
	}
	if o.TPDU != "" {
		args = append(args, "--tpdu", o.TPDU)
	}
	argv, err := JPOSCommand(o.Dir, "Forwarder", o.HeapMiB, args...)
	if err != nil {
		return err
	}
	if j.child, err = startProcess("jPOS", argv); err != nil {
		return err
	}
	line, err := j.child.firstLine(ctx)
	if err == nil && line != "ready" {
		j.child.kill()
		return fmt.Errorf("%w jPOS is not ready: %s", errChild, line)
	}
	return err
}

// Stop ends the process and returns when it is gone. Its connections break.
func (j *JPOS) Stop() error {
	return errors.Join(j.child.end(), os.RemoveAll(j.dir))
}

// JPOSVersion returns the version of jPOS that is installed in dir, "" when none is.
func JPOSVersion(dir string) string {
	dir, err := JPOSDir(dir)
	if err != nil {
		return ""
	}
	found, err := filepath.Glob(filepath.Join(dir, "libs", "jpos-*.jar"))
	if err != nil || len(found) != 1 {
		return ""
	}
	name := strings.TrimSuffix(filepath.Base(found[0]), ".jar")
	return strings.TrimPrefix(name, "jpos-")
}

// freeLoopback returns a loopback address that nobody listens on. Another process may take
// it before it is used, and then the start fails.
func freeLoopback() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}

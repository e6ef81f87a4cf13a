package stack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	// Free ports are taken below the kernel's ephemeral range (32768 and up): a client that keeps
	// dialing a killed server inside that range can connect to itself and hold the port.
	freePortMin = 20000
	freePortMax = 32000
	// portTriesMax bounds the search for a free port; a machine that fails so often is broken.
	portTriesMax = 200
)

var errNoPort = errors.New("stack: no free loopback port found")

// port is a loopback port that no other process of this package takes while it is held, also
// between a kill and a restart of its server.
type port struct {
	number int
	lock   *os.File // holds the flock; nil for a port that the caller chose
}

// holdPort returns the wanted port, or a free one for 0. The reservation is a lock file that the
// kernel releases when this process ends.
func holdPort(wanted int) (*port, error) {
	if wanted != 0 {
		return &port{number: wanted}, nil
	}
	dir := filepath.Join(os.TempDir(), "tapswitch-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("stack: make the folder of port locks %s: %w", dir, err)
	}
	for range portTriesMax {
		number := freePortMin + rand.IntN(freePortMax-freePortMin)
		lock, err := lockFile(filepath.Join(dir, strconv.Itoa(number)), syscall.LOCK_NB)
		if err != nil {
			continue
		}
		if portIsFree(number) {
			return &port{number: number, lock: lock}, nil
		}
		_ = lock.Close()
	}
	return nil, fmt.Errorf("%w after %d tries in %d-%d", errNoPort, portTriesMax,
		freePortMin, freePortMax)
}

// release gives a held port back; the lock file stays, an empty file for each port ever used.
func (p *port) release() {
	if p.lock != nil {
		_ = p.lock.Close()
	}
}

// lockFile opens path and takes an exclusive flock; how is 0 to wait or LOCK_NB not to.
func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, fmt.Errorf("stack: open lock file: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|how); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("stack: lock %s: %w", path, err)
	}
	return file, nil
}

// loopback is the only host that anything here listens on.
func loopback(number int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
}

// portIsFree binds the port for a moment. Go sets SO_REUSEADDR, as the servers do, so a port in
// TIME_WAIT counts as free.
func portIsFree(number int) bool {
	listener, err := net.Listen("tcp", loopback(number))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

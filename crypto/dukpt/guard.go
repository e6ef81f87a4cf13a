package dukpt

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
)

var (
	// ErrReplay reports a KSN whose counter is not above the last one of its device.
	ErrReplay = errors.New("KSN was used before")
	// ErrGuardFull reports a device beyond the number a Guard keeps.
	ErrGuardFull = errors.New("too many DUKPT devices")
)

// Guard remembers the last counter of each device and refuses one that is not above it. It
// is safe for concurrent use. It lives in memory: a host that restarts must Restore what All
// gave, or it takes every message once more.
type Guard struct {
	devicesMax int

	mu   sync.Mutex // guards last
	last map[DeviceID]uint32
}

// NewGuard returns an empty Guard for at most devicesMax devices; the number bounds its
// memory (about 100 bytes a device), and a new device beyond it is ErrGuardFull.
func NewGuard(devicesMax int) *Guard {
	return &Guard{devicesMax: devicesMax, last: make(map[DeviceID]uint32)}
}

// Check reports whether Accept would take k now, without remembering it. Ask it before the
// costly work, and Accept after the MAC: a forged KSN must not use up a device's counters.
func (g *Guard) Check(k KSN) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.checkLocked(k.Device(), k)
}

// Accept takes k once: of any number of callers with the same KSN, one gets nil and the
// others ErrReplay. Counters may skip ahead, as devices do, but not back.
func (g *Guard) Accept(k KSN) error {
	id := k.Device()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.checkLocked(id, k); err != nil {
		return err
	}
	g.last[id] = k.counter
	return nil
}

func (g *Guard) checkLocked(id DeviceID, k KSN) error {
	if k.size == 0 {
		return fmt.Errorf("%w: it was not parsed", ErrKSN)
	}
	last, known := g.last[id]
	switch {
	case known && k.counter <= last:
		return fmt.Errorf("%w: counter %d of device %s, last was %d", ErrReplay, k.counter, id, last)
	case !known && len(g.last) >= g.devicesMax:
		return fmt.Errorf("%w: device %s, the limit is %d", ErrGuardFull, id, g.devicesMax)
	}
	return nil
}

// Restore sets the last counter of a device from storage; it never lowers one.
func (g *Guard) Restore(id DeviceID, last uint32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.last[id]; !known && len(g.last) >= g.devicesMax {
		return fmt.Errorf("%w: device %s, the limit is %d", ErrGuardFull, id, g.devicesMax)
	}
	g.last[id] = max(g.last[id], last)
	return nil
}

// Forget drops a device that was given a new initial key or taken out of service. With the
// same initial key in service, it would take old messages again.
func (g *Guard) Forget(id DeviceID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.last, id)
}

// All returns the devices and their last counters as they are now, to be stored.
func (g *Guard) All() iter.Seq2[DeviceID, uint32] {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.All(maps.Clone(g.last))
}

package dukpt_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/dukpt"
)

// TestGuard follows one device and a second beside it.
func TestGuard(t *testing.T) {
	g := dukpt.NewGuard(2)
	for i, c := range []struct {
		ksn  string
		want error
	}{
		{"FFFF9876543210E00001", nil},
		{"FFFF9876543210E00001", dukpt.ErrReplay},
		{"FFFF9876543210E00002", nil},
		{"FFFF9876543210E00001", dukpt.ErrReplay},
		{"FFFF9876543210E00010", nil}, // a device may skip
		{"FFFF9876543210E0000F", dukpt.ErrReplay},
		{"FFFF9876543220E00001", nil}, // another device counts for itself
		{"FFFF9876543210F00000", nil}, // the highest counter bit is no part of the device
		{"FFFF9876543210E00011", dukpt.ErrReplay},
		{"FFFF9876543230E00001", dukpt.ErrGuardFull},
		{"123456789012345600000001", dukpt.ErrGuardFull},
		{"FFFF9876543220E00002", nil}, // a full guard still serves those it knows
	} {
		k := ksn(t, c.ksn)
		for range 2 { // asking changes nothing
			if err := g.Check(k); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("step %d: check: %v, want %v", i, err, c.want)
			}
		}
		if err := g.Accept(k); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("step %d: %v, want %v", i, err, c.want)
		}
	}
	if err := g.Accept(dukpt.KSN{}); !errors.Is(err, dukpt.ErrKSN) {
		t.Errorf("a KSN of nothing: %v", err)
	}
}

// TestGuardRestore: what All gave makes a new Guard refuse the same.
func TestGuardRestore(t *testing.T) {
	old := dukpt.NewGuard(10)
	for _, s := range []string{"FFFF9876543210E00005", "123456789012345600000007"} {
		if err := old.Accept(ksn(t, s)); err != nil {
			t.Fatal(err)
		}
	}
	g := dukpt.NewGuard(2)
	n := 0
	for id, last := range old.All() {
		n++
		// Two at once: the later must not take the higher back.
		if err := errors.Join(g.Restore(id, last), g.Restore(id, last-1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Restore("FFFF", 1); n != 2 || !errors.Is(err, dukpt.ErrGuardFull) {
		t.Errorf("%d devices, one more: %v", n, err)
	}
	for _, c := range []struct {
		ksn  string
		want error
	}{
		{"FFFF9876543210E00005", dukpt.ErrReplay}, {"FFFF9876543210E00006", nil},
		{"123456789012345600000007", dukpt.ErrReplay}, {"123456789012345600000008", nil},
	} {
		if err := g.Accept(ksn(t, c.ksn)); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", c.ksn, err, c.want)
		}
	}
	k := ksn(t, "123456789012345600000001")
	g.Forget(k.Device())
	if err := g.Accept(k); err != nil {
		t.Errorf("a forgotten device: %v", err)
	}
}

// TestGuardRace: of many callers with the same KSN, one is accepted.
func TestGuardRace(t *testing.T) {
	g := dukpt.NewGuard(1)
	for i := range 50 {
		k := ksn(t, fmt.Sprintf("1234567890123456%08X", i+1))
		var taken atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if g.Accept(k) == nil {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 {
			t.Fatalf("%v was accepted %d times", k, taken.Load())
		}
	}
}

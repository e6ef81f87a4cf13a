package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
)

// demoNode makes a switch of the real binary on free ports.
func demoNode(t *testing.T, settings map[string]string) *demoSwitch {
	t.Helper()
	all := map[string]string{"data_dir": t.TempDir(), "listen": "127.0.0.1:0",
		"admin_listen": "127.0.0.1:0"}
	for key, value := range settings {
		all[key] = value
	}
	s, err := newDemoSwitch(filepath.Join(t.TempDir(), "switch.log"), all)
	if err != nil {
		t.Fatal(err)
	}
	s.binary = e2eBinary(t)
	t.Cleanup(func() {
		if err := s.kill(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestDemoSwitchLives(t *testing.T) {
	s := demoNode(t, nil)
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := s.where()
	if first.PID == 0 || first.Gate == "" {
		t.Fatalf("%+v", first)
	}
	if token, err := s.secret(adminTokenFile); err != nil || token == "" {
		t.Errorf("token: %v", err)
	}
	if err := s.kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.kill(); err != nil {
		t.Errorf("a switch that is gone is killed once more: %v", err)
	}
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := s.where(); again.PID == first.PID {
		t.Error("the run file of the life before was believed")
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// A switch that cannot start says so at once, with its log.
func TestDemoSwitchCannotStart(t *testing.T) {
	s := demoNode(t, map[string]string{"scheme.tariff_file": "/nowhere/tariff.yaml"})
	began := time.Now()
	err := s.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "nowhere") || time.Since(began) > demoStartMax/2 {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = demoNode(t, nil)
	if err := s.start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// The tariff that the demo writes is read back as it was.
func TestDemoTariff(t *testing.T) {
	p, err := sim.NewPlan(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	path, err := writeTariff(t.TempDir(), p.Tariff)
	if err != nil {
		t.Fatal(err)
	}
	tariff, err := readTariff(path)
	if err != nil || len(tariff.Versions()) != 1 || tariff.Versions()[0].Version() != p.Tariff.Version {
		t.Errorf("%v, %v", tariff, err)
	}
	if _, err := writeTariff("/nowhere/at/all", p.Tariff); err == nil {
		t.Error("a tariff was written to nowhere")
	}
}

// The business day begins about twelve hours from now, so that it does not end meanwhile.
func TestDemoCutOff(t *testing.T) {
	zone := time.FixedZone("", 8*60*60)
	for hour := range 24 {
		now := time.Date(2026, 11, 21, hour, 59, 0, 0, zone)
		if got := demoCutOff(now); (got-hour+24)%24 != 12 {
			t.Errorf("at %d the day begins at %d", hour, got)
		}
	}
}

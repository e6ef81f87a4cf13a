package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/consolewire"
	"github.com/tapswitch/tapswitch/ledger/console"
	"github.com/tapswitch/tapswitch/ledger/console/trail"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Folders below DataDir that the console reads and writes.
const (
	consoleDir = "console"
	financeDir = "finance"
	reconDir   = "recon"
)

// startConsole makes the console of the admin address out of what this process has. A console
// that cannot start, as with a damaged audit trail, is logged and missing: it must not keep a
// switch from serving cards.
func (n *node) startConsole(context.Context) error {
	if n.config.AdminListen == "" {
		return nil
	}
	if err := n.openConsole(); err != nil {
		n.log.Error("no console: see to the cause and start again", "error", err)
	}
	return nil
}

// openConsole is startConsole with its error.
func (n *node) openConsole() error {
	kept, err := trail.Open(filepath.Join(n.config.DataDir, consoleDir, "audit.jsonl"))
	if err != nil {
		return err
	}
	o, err := n.consoleOptions()
	if err != nil {
		return errors.Join(err, kept.Close())
	}
	o.Trail = kept
	made, err := console.New(o)
	if err != nil {
		return errors.Join(err, kept.Close())
	}
	n.console = made
	n.onStop("console", func(context.Context) error {
		made.Close()
		return kept.Close()
	})
	return nil
}

// consoleOptions puts behind the console what this process has.
func (n *node) consoleOptions() (console.Options, error) {
	c := n.config
	zone, err := c.Scheme.Location()
	if err != nil {
		return console.Options{}, err
	}
	work, err := scheme.BuiltInCalendar()
	if err != nil {
		return console.Options{}, fmt.Errorf("console: %w", err)
	}
	o := console.Options{Operators: consolewire.Operators{Registry: n.hot}, Zone: zone, Log: n.log,
		Today: n.clock.date, Secure: c.Console.SecureCookies, Idle: c.Console.SessionIdle,
		Absolute: c.Console.SessionMax, Dir: filepath.Join(c.DataDir, consoleDir),
		Now: func() time.Time { return n.clock.now().Time() },
		Begin: func(d txn.BusinessDate) txn.Millis {
			y, m, day := d.Time().Date()
			return txn.MillisOf(time.Date(y, m, day, 0, 0, 0, 0, zone).Add(c.Scheme.CutOff))
		}}
	if n.wh != nil {
		o.Ledger = n.wh
	}
	finance := consolewire.NewFinance(filepath.Join(c.DataDir, financeDir))
	o.Days, o.Settlements = finance, finance
	o.Breaks = consolewire.NewBreaks(consolewire.BreaksOptions{Dir: breaksDir(c), Work: work,
		Today: n.clock.date, Now: n.clock.now})
	if n.agency != nil {
		o.Freezes = consolewire.Desk{API: n.agency}
		o.City, o.Parties = n.cityNames()
	}
	if edge := n.bank; edge != nil {
		o.Banks = consolewire.Banks{
			Status: func(ctx context.Context) (any, error) { return edge.Status(ctx) },
			Dead: func(ctx context.Context) (int, error) {
				dead, err := edge.Dead(ctx)
				return len(dead), err
			}}.Edge()
	}
	if n.metrics != nil && c.Has(config.RoleGate) {
		pulse := n.newPulse()
		n.metrics.pulse.Store(pulse)
		n.background("console pulse", pulse.Run)
		o.Live = pulse
	}
	return o, nil
}

// breaksDir is the folder of the breaks that the console shows and "recon" works on.
func breaksDir(c *config.Config) string {
	return cmp.Or(c.Console.BreaksDir, filepath.Join(c.DataDir, reconDir))
}

// cityNames are the names of the city's card and of its parties.
func (n *node) cityNames() (console.Name, map[string]console.Name) {
	policy := n.agency.Policy
	parties := map[string]console.Name{}
	for i := range policy.Parties {
		p := &policy.Parties[i]
		parties[p.ID] = console.Name{Chinese: p.Name.ZH, English: p.Name.EN}
	}
	return console.Name{Chinese: policy.Name.ZH, English: policy.Name.EN}, parties
}

// newPulse counts what the gate decides, for the first page.
func (n *node) newPulse() *consolewire.Pulse {
	return consolewire.NewPulse(consolewire.PulseOptions{
		Now:    func() time.Time { return n.clock.now().Time() },
		Counts: func() (approved, declined int64) { return n.metrics.decisions(n.gate.Routes()) },
		Pending: func(ctx context.Context) (pending int64, err error) {
			all, err := n.hot.Buckets(ctx)
			for _, b := range all {
				pending += int64(b.Pending)
			}
			return pending, err
		},
		ListAge: func() time.Duration {
			if n.hot.replica == nil {
				return 0 // the store owns the list
			}
			return n.hot.replica.Stats().Age
		}})
}

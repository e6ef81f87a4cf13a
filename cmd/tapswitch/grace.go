package main

import (
	"github.com/tapswitch/tapswitch/cmd/tapswitch/gracewire"
	"github.com/tapswitch/tapswitch/switch/disruption/redress"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
)

// graceMount gives back what orders forgive that were confirmed after journeys were charged. A
// process without a warehouse has no ledger to look at and leaves it to one that has.
func (n *node) graceMount(s *provision.Service) ([]gate.Mount, error) {
	if n.wh == nil {
		return nil, nil
	}
	r, err := redress.New(redress.Options{Ledger: gracewire.Ledger{Reader: n.wh, Clock: n.hot}, Engine: n.engine,
		Cards: n.hot, Registry: n.hot, Orders: s.Orders, Date: n.clock.days.Date, Now: n.clock.now,
		Currency: n.engine.Policy().Currency, Log: n.log})
	if err != nil {
		return nil, err
	}
	n.background("forgiven journeys", r.Follow)
	return []gate.Mount{gracewire.Mount(r)}, nil
}

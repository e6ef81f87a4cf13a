package main

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TestE2EBankRoomForOthers: one connection that sends more than the listener may work on, all of
// it for a bank that is silent, takes half of the listener's room: the others reach their bank.
func TestE2EBankRoomForOthers(t *testing.T) {
	t.Parallel()
	const room = 20
	w := newBankTown(t, bankPlan{hosts: 2,
		host: func(i int, o *bankhost.Options) {
			if i == 0 {
				o.Behaviour.Rules = []bankhost.Rule{{Kind: "purchase", Effect: bankhost.LoseRequest}}
			}
		},
		file: func(f *bankFile) {
			f.listeners[0]["in_flight"] = room
			f.links[0]["timeout"] = "3s"
			f.routes[0]["links"] = []string{"b0"}
			f.routes = append(f.routes, bankDoc{"name": "others", "bins": []string{bankOtherBIN},
				"issuer": "OTHER", "links": []string{"b1"}})
		}})
	flood, other := w.till(1), w.till(2)
	other.signOnPlain()
	var frames []byte
	for i := range room + 5 {
		m := flood.request(flood.sale(pos.Purchase, i, 1_000, nil))
		frames = append(frames, wire(t, message.Framing{}, flood.frame(m))...)
	}
	flood.no(flood.raw(frames))
	w.eventually("the silent bank to be asked", func() bool { return w.link("b0").InFlight >= room/2 })
	for i := range 3 {
		s := other.sale(pos.Purchase, 0, 1_000, nil)
		s.card = w.other[i]
		other.want(s, "00")
	}
	if n := w.link("b0").InFlight; n > room/2 {
		t.Errorf("one connection has %d in flight, of %d for all", n, room)
	}
	flood.hangUp()
	w.reconcile()
}

package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Degraded modes: what confirmed orders forgive is not charged, and the record says so under the
// cause "grace".

const causeGrace = "grace"

// here is where the request was made.
func (d *decider) here() disruption.Place {
	return disruption.Place{Line: d.r.Place.Line, Station: d.r.Place.Station,
		Terminal: d.gate().String()}
}

func began(j *card.Journey) disruption.Stop {
	return disruption.Stop{At: j.EnteredAt, Place: disruption.Place{Line: j.Line, Station: j.Station,
		Terminal: j.Request.Terminal.String()}}
}

// graceOfExit returns what is forgiven at an exit: of the journey j, or of one without an entry.
func (d *decider) graceOfExit(j *card.Journey, ended bool) disruption.Grace {
	if len(d.p.Orders) == 0 {
		return disruption.Grace{}
	}
	ridden := disruption.Journey{Exit: disruption.Stop{At: d.orderedAt(), Place: d.here()}}
	if ended {
		ridden.Entry = began(j)
	}
	return disruption.Forgive(d.p.Orders, ridden)
}

// graceOfGivingUp reports whether the journey j, which is closed without an exit, costs nothing.
func (d *decider) graceOfGivingUp(j *card.Journey, at txn.Millis) bool {
	return len(d.p.Orders) > 0 &&
		disruption.Forgive(d.p.Orders, disruption.Journey{Entry: began(j), GivenUp: at}).Incomplete
}

// orderWaived reports whether entries and exits need no order where and when the card is tapped.
func (d *decider) orderWaived() bool {
	return len(d.p.Orders) > 0 &&
		disruption.FlagsAt(d.p.Orders, d.here(), d.orderedAt()).Has(disruption.EntryExitWaived)
}

// orderedAt returns the instant by which orders judge the tap: its service time. Where the gate
// says under which modes it took the tap, and they held within what clocks may differ, it is the
// instant at which they did: the gate knows better than its clock.
func (d *decider) orderedAt() txn.Millis {
	claimed := disruption.Flags(d.r.Degraded)
	if claimed == 0 {
		return d.r.ServiceAt
	}
	for _, off := range [...]txn.Millis{0, -d.p.FutureMax, d.p.FutureMax} {
		if at := d.r.ServiceAt + off; claimed&^disruption.FlagsAt(d.p.Orders, d.here(), at) == 0 {
			return at
		}
	}
	return d.r.ServiceAt
}

// claim compares the modes under which a gate says that it took the tap with the orders. A claim
// without an order changes nothing: the tap is decided without it, and the record tells the desk.
func (d *decider) claim() {
	claimed := disruption.Flags(d.r.Degraded)
	if claimed&^disruption.FlagsAt(d.p.Orders, d.here(), d.orderedAt()) != 0 {
		d.note(txn.CauseUnordered)
	}
}

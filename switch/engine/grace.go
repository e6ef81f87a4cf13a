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
		Terminal: d.r.ID.Terminal.String()}
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
	ridden := disruption.Journey{Exit: disruption.Stop{At: d.r.ServiceAt, Place: d.here()}}
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
		disruption.FlagsAt(d.p.Orders, d.here(), d.r.ServiceAt).Has(disruption.EntryExitWaived)
}

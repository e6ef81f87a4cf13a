package gatesim

import (
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// verdict is what a gate does with a card. The order is that of precedence.
type verdict string

const (
	serve verdict = "served"
	// released: the gates stand open, no card is read.
	released verdict = "released"
	// ask: only the switch can say; without a network the reason is the refusal's.
	askLease verdict = "lease_ended"
	askFloor verdict = "floor_limit"
	askCard  verdict = "card_limit"

	refuseQueue   verdict = "queue_full"
	refuseClosed  verdict = "station_closed"
	refuseListed  verdict = "listed"
	refuseUnknown verdict = "list_too_old"
	refuseNoList  verdict = "no_list" // the gate never got one
	refuseTap     verdict = "tap_limit"
	refuseGate    verdict = "gate_limit"
	refusePass    verdict = "pass_back"
	refuseBalance verdict = "balance_short"
	refuseCounter verdict = "counter_at_end"
	refuseOnline  verdict = "refused_on_line"
)

// asks reports whether the switch can turn the verdict.
func (v verdict) asks() bool { return v == askLease || v == askFloor || v == askCard }

// moment is what a gate knows when a card is shown.
type moment struct {
	at      txn.Millis // of the gate's clock
	age     provision.Age
	listed  bool
	modes   disruption.Flags
	given   txn.Minor // off line since the gate was on line last
	waiting int       // records in the queue
	noList  bool
	// seen: the switch has just said that the card is good.
	seen bool
}

// judge decides about a card: what a gate serves by itself. charge is what the chip would be
// debited. It is pure.
func judge(p *provision.Parameters, c *chip, m moment, charge txn.Minor) verdict {
	switch {
	case m.modes.Has(disruption.EmergencyRelease):
		return released
	case int64(m.waiting) >= p.QueueMax:
		return refuseQueue
	case m.modes.Has(disruption.StationClosed):
		return refuseClosed
	case m.listed:
		return refuseListed
	case c.Counter == 0xffff:
		return refuseCounter
	case p.PassBackS > 0 && c.LastAt != 0 && m.at-c.LastAt >= 0 &&
		m.at-c.LastAt < txn.Millis(p.PassBackS)*1000 && !m.modes.Has(disruption.EntryExitWaived):
		return refusePass
	case charge > txn.Minor(c.Balance):
		return refuseBalance
	}
	return judgeLimits(p, c, m, charge)
}

// judgeLimits decides by the class's limits. What the switch has just seen needs none but that
// of one tap.
func judgeLimits(p *provision.Parameters, c *chip, m moment, charge txn.Minor) verdict {
	limit, ok := p.Limit(provision.ClassPurse, m.age)
	if m.seen {
		limit, ok = p.Limit(provision.ClassPurse, provision.Fresh)
	}
	switch {
	case !ok && m.noList:
		return refuseNoList
	case !ok:
		return refuseUnknown
	case charge > limit.TapMax:
		return refuseTap
	case m.seen:
		return serve
	case c.LeaseUntil < m.at:
		return askLease
	case charge > 0 && p.Floor > 0 && charge >= p.Floor:
		return askFloor
	case txn.Minor(c.Total)+charge > limit.CardMax || int64(c.Taps) >= limit.CardTapsMax:
		return askCard
	case m.given+charge > limit.GateMax:
		return refuseGate
	}
	return serve
}

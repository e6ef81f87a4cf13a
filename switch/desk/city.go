package desk

import (
	"time"

	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Pauses between two tries of a notice: the first is short, since the parties are to know at
// once, and a party that is down for a day is still tried.
const (
	tryFirst = time.Second
	tryMax   = 2 * time.Minute
)

// City returns the scheme of a city's policy for Options.
func City(p *scheme.Policy, c *scheme.Calendar) func(at txn.Millis) (*Scheme, error) {
	return func(at txn.Millis) (*Scheme, error) {
		rules, err := p.Rules(c, (scheme.LocalDays{Calendar: c}).Date(at))
		if err != nil {
			return nil, err
		}
		s := &Scheme{City: p.City, Rules: rules,
			Notice: notice.Policy{Window: p.Freeze.Window.V, Alarms: p.Freeze.Alarms.V,
				RetryFirst: tryFirst, RetryMax: tryMax, Clause: p.Freeze.Window.Clause},
			Release: notice.Policy{Window: p.Release.Window.V, RetryFirst: tryFirst, RetryMax: tryMax,
				Clause: p.Release.Window.Clause},
			Liability: liability.Rules{Boundary: p.Liability.Boundary.V, Before: bearerOf(p.Liability.Before.V),
				After: bearerOf(p.Liability.After.V), Otherwise: bearerOf(p.Liability.Otherwise.V),
				Window: txn.Millis(p.Freeze.Window.V.Milliseconds())},
		}
		for i := range p.Parties {
			party := &p.Parties[i]
			s.Parties = append(s.Parties, Party{Name: party.ID, Kind: liable(party.Kind),
				Contract: party.Contract.V})
		}
		s.PartyOf = func(r *txn.Record) string { return servedBy(p, r) }
		return s, nil
	}
}

func bearerOf(b scheme.Bearer) liability.Bearer {
	switch b {
	case scheme.BearerHolder:
		return liability.Holder
	case scheme.LateParty:
		return liability.LateParty
	case scheme.BearerAgency:
		return liability.Agency
	default:
		return liability.NoBearer
	}
}

func liable(k scheme.PartyKind) txn.Liability {
	switch k {
	case scheme.PartyBank:
		return txn.LiabilityIssuer
	case scheme.PartyTransit:
		return txn.LiabilityOperator
	default:
		return txn.LiabilityAcquirer
	}
}

// servedBy names the party of the scheme that served a transaction: the bank where the money
// came from an account, the transport operators where it was a ride, and the one that runs
// the terminals otherwise.
func servedBy(p *scheme.Policy, r *txn.Record) string {
	want := scheme.PartyTransit
	if r.Kind.IsBank() {
		want = scheme.PartyBank
	}
	for i := range p.Parties {
		if p.Parties[i].Kind == want {
			return p.Parties[i].ID
		}
	}
	return ""
}

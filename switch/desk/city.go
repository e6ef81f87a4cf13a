package desk

import (
	"slices"
	"strings"
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
		s.PartyOf = func(r *txn.Record) (string, bool) { return servedBy(p, r) }
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
// came from an account, else the transport operator, as the terminal's registry calls it. Where
// no party of the scheme names the operator or bears its name it is the one that answers for
// all the others.
func servedBy(p *scheme.Policy, r *txn.Record) (name string, own bool) {
	want := scheme.PartyTransit
	if r.Kind.IsBank() {
		want = scheme.PartyBank
	}
	by := server(r)
	for i := range p.Parties {
		party := &p.Parties[i]
		same := func(operator string) bool { return strings.EqualFold(operator, by) }
		named := by != "" && slices.ContainsFunc(party.Operators, same) &&
			(party.Kind == scheme.PartyBank) == r.Kind.IsBank()
		switch {
		case named, len(party.Operators) == 0 && party.Kind == want && same(party.ID):
			return party.ID, true
		case name == "" && party.Kind == want && len(party.Operators) == 0:
			name = party.ID
		}
	}
	return name, false
}

// server is who served a transaction: the issuer of a bank card, else the terminal's operator.
func server(r *txn.Record) string {
	if r.Kind.IsBank() {
		return r.Issuer
	}
	return r.Place.Operator
}

package share

import (
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// field is a datum that can be agreed on. of is that of a record, person that of an account;
// either may be nil.
type field struct {
	name   string
	of     func(*txn.Record) any
	person func(*account.Account) any
}

// subject is the field that tells persons apart within what one unit is told: a pseudonym
// that means nothing to another unit.
const subject = "subject"

var fieldTable = [...]field{
	{name: subject},
	{name: "record", of: func(r *txn.Record) any { return r.Position.String() }},
	{name: "kind", of: func(r *txn.Record) any { return r.Kind.String() }},
	{name: "outcome", of: func(r *txn.Record) any { return r.Outcome.String() }},
	{name: "reason", of: func(r *txn.Record) any { return r.Reason.String() }},
	{name: "applications", of: func(r *txn.Record) any { return r.Application.Names() },
		person: func(a *account.Account) any { return a.Apps().Names() }},
	{name: "rider", of: func(r *txn.Record) any { return r.Rider.String() },
		person: func(a *account.Account) any { return a.Rider.Category.String() }},
	{name: "amount", of: func(r *txn.Record) any { return int64(r.Charged) }},
	{name: "balance", of: func(r *txn.Record) any { return int64(r.BalanceAfter) }},
	{name: "operator", of: func(r *txn.Record) any { return r.Place.Operator }},
	{name: "line", of: func(r *txn.Record) any { return r.Place.Line }},
	{name: "station", of: func(r *txn.Record) any { return r.Place.Station }},
	{name: "merchant", of: func(r *txn.Record) any { return r.Place.Merchant }},
	{name: "offline", of: func(r *txn.Record) any { return r.Offline }},
	{name: "service_at", of: func(r *txn.Record) any { return instant(r.ServiceAt) }},
	{name: "business_date", of: func(r *txn.Record) any { return r.BusinessDate.String() }},
	{name: "issuer", of: func(r *txn.Record) any { return r.Issuer }},
	{name: "alive", person: func(a *account.Account) any { return a.Alive() }},
	{name: "expires_on", person: func(a *account.Account) any { return a.ExpiresOn.String() }},
	{name: "trust", person: func(a *account.Account) any { return a.Trust.Widen != 0 }},
	{name: "frozen", person: func(a *account.Account) any { return a.Mark().Reason != txn.NotFrozen }},
}

// FieldNames lists what can be agreed on. Card numbers, tokens, names and numbers of persons
// are none of it: they never leave.
func FieldNames() []string {
	all := make([]string, len(fieldTable))
	for i, f := range fieldTable {
		all[i] = f.name
	}
	return all
}

// pseudonym is what a unit knows a person by.
func (s *Service) pseudonym(consumer string, of pan.Token) string {
	return s.o.Tokenizer.Derive("share/"+consumer, of.String()).String()
}

// minimise returns the agreed fields of a record or of an account, whichever is not nil.
func minimise(names []string, r *txn.Record, a *account.Account) map[string]any {
	out := make(map[string]any, len(names))
	for _, f := range fieldTable {
		if !contains(names, f.name) {
			continue
		}
		if r != nil && f.of != nil {
			out[f.name] = f.of(r)
		}
		if a != nil && f.person != nil {
			out[f.name] = f.person(a)
		}
	}
	return out
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

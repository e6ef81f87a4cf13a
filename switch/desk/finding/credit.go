package finding

import "github.com/tapswitch/tapswitch/switch/txn"

// Trust is an incentive of the city's trust file (ZZ14): it widens the limit of post-paid
// riding and does nothing else.
type Trust struct {
	Widen  txn.Minor // what comes on top; never negative in effect
	Until  txn.BusinessDate
	Source string // who granted it
}

// Limit is the limit of post-paid riding on a day. Trust can only widen it: none, one that
// has ended, one without a source or with a negative amount leaves it as it is, and a scheme
// without post-paid riding has none to widen.
func Limit(base txn.Minor, t *Trust, today txn.BusinessDate) txn.Minor {
	if base <= 0 || t == nil || t.Source == "" || t.Widen <= 0 || today > t.Until {
		return base
	}
	wide, err := base.Add(t.Widen)
	if err != nil {
		return txn.MinorMax
	}
	return wide
}

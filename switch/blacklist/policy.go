package blacklist

import "github.com/tapswitch/tapswitch/switch/txn"

// Class is a group of requests that are treated alike when the store cannot be reached.
type Class uint8

// The classes.
const (
	// PrepaidDebit takes money that stands in the store: purse and bank debits.
	PrepaidDebit Class = iota
	// PostpaidTap is a ride that is paid later: open-loop cards and post-paid accounts.
	PostpaidTap
	// Credit gives money or rights: load, refund, release, change of keys.
	Credit
	// Protection only makes things safer: freeze and reversal.
	Protection
	// Inquiry moves nothing: balance query.
	Inquiry
	classEnd
)

// String returns the class's stable name.
func (c Class) String() string {
	if c >= classEnd {
		return "unknown"
	}
	return [classEnd]string{"prepaid_debit", "postpaid_tap", "credit", "protection", "inquiry"}[c]
}

// Permission is what a request may do.
type Permission uint8

// The permissions. The zero Permission refuses.
const (
	// Refuse: answer with the reason that goes with it; nothing is executed.
	Refuse Permission = iota
	// Commit: go on; the store decides in Commit.
	Commit
	// Limited: approve without the store, within the limits per tap, per card and per
	// gate, and record it for posting later.
	Limited
	// Later: accept, keep durably and apply when the store is back.
	Later
	// Marked: answer from what is known here, marked as stale.
	Marked
)

// String returns the permission's stable name.
func (p Permission) String() string {
	names := [...]string{"refuse", "commit", "limited", "later", "marked"}
	if int(p) >= len(names) {
		return "unknown"
	}
	return names[p]
}

// Permit says what a request of the class may do: with the store reachable Commit
// decides about everything; without it the freshness of the replica counts. The reason
// is set when the permission is Refuse. An emergency mode signed by an operator is not
// part of it. A class that is not known is refused.
func Permit(c Class, f Freshness, reachable bool) (Permission, txn.Reason) {
	switch {
	case c >= classEnd:
		return Refuse, txn.StoreUnavailable
	case reachable:
		return Commit, txn.ReasonNone
	case c == Protection:
		return Later, txn.ReasonNone
	case c == Inquiry:
		return Marked, txn.ReasonNone
	case c == PostpaidTap && f == Fresh:
		return Limited, txn.ReasonNone
	case c == PostpaidTap:
		return Refuse, txn.ListStale
	default:
		return Refuse, txn.StoreUnavailable
	}
}

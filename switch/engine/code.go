package engine

import (
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// QR codes: each is used once, in the commit that moves its money, and pays for one trip of at
// most its limit. What a refused tap showed may be shown again.

// useCode marks the request's code as used, or returns why it cannot be.
func (d *decider) useCode() txn.Reason {
	if d.r.Code.IsZero() {
		return txn.ReasonNone
	}
	c, at := &d.out.Next.Codes, int64(d.r.Code.GeneratedAt)/1000
	switch c.Check(at) {
	case card.CodeUsed:
		return txn.CodeUsed
	case card.CodeTooOld:
		return txn.CodeForgotten
	default:
		*c = c.Mark(at)
		return txn.ReasonNone
	}
}

// withinCode refuses a trip that costs more than the code allows. What an entry charges is for
// the journey before.
func (d *decider) withinCode() txn.Reason {
	if d.r.Code.IsZero() || d.r.Kind == txn.MetroEntry || d.charged <= d.r.Code.Limit {
		return txn.ReasonNone
	}
	return txn.CodeOverLimit
}

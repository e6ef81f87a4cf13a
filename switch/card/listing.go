package card

import "github.com/tapswitch/tapswitch/switch/txn"

// rank orders the reasons of a freeze by how little may undo them.
func rank(r txn.FreezeReason) int {
	switch r {
	case txn.Suspended:
		return 1
	case txn.PreReported:
		return 2
	case txn.Risk:
		return 3
	case txn.Lost:
		return 4
	case txn.Cancelled:
		return 5
	case txn.Replaced:
		return 6
	default:
		return 0
	}
}

// Merge returns the mark of a card that bears old and is frozen with more: a second
// freeze never opens what the first closed, and never weakens its reason. A freeze that
// names no scope closes everything; one without a reason is none.
func Merge(old, more txn.Mark) txn.Mark {
	if more.Reason == txn.NotFrozen {
		return old
	}
	if more.Scope == 0 {
		more.Scope = txn.AppAll
	}
	merged := txn.Mark{Reason: old.Reason, Scope: old.Scope | more.Scope}
	if rank(more.Reason) > rank(old.Reason) {
		merged.Reason = more.Reason
	}
	if merged.Reason.Terminal() {
		merged.Scope = txn.AppAll
	}
	return merged
}

// Release tells whether a card that bears mark may be released, ReasonNone if so.
func Release(mark txn.Mark) txn.Reason {
	switch {
	case mark.Reason == txn.NotFrozen:
		return txn.NotListed
	case mark.Reason.Terminal():
		return txn.ReleaseClosed
	default:
		return txn.ReasonNone
	}
}

// Refusal returns the reason why a card that bears mark may not use app, ReasonNone
// if it may.
func Refusal(mark txn.Mark, app txn.App) txn.Reason {
	switch {
	case !mark.Frozen(app):
		return txn.ReasonNone
	case mark.Reason == txn.Replaced:
		return txn.CardReplaced
	case mark.Reason == txn.Cancelled:
		return txn.CardCancelled
	default:
		return txn.CardFrozen
	}
}

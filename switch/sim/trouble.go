package sim

import (
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The rarer scenes: frozen cards that get used, ids used twice, requests that overtake
// each other, and requests that are no requests.

// releaseOneIn is how many frozen cards there are to each that is released again: a card
// that was lost is rarely found.
const releaseOneIn = 8

// freeze puts the card on the blacklist and uses it all the same; some are released by
// two persons and used again.
func (w *writer) freeze() {
	if w.model.frozen != txn.NotFrozen {
		w.use()
		return
	}
	w.pass(time.Minute, 3*time.Minute)
	reasons := [...]txn.FreezeReason{txn.Lost, txn.Lost, txn.PreReported, txn.Suspended, txn.Risk,
		txn.Cancelled}
	reason, scope := reasons[w.rng.IntN(len(reasons))], txn.AppAll
	if reason == txn.Suspended {
		scope = [...]txn.App{txn.AppTransit, txn.AppPurse}[w.rng.IntN(2)]
	}
	s := w.step(Step{Action: Freeze, Kind: txn.Freeze, Reason: reason, Scope: scope})
	s.Want = Want{Outcome: txn.Approved, Recorded: true, Status: 200}
	w.model.frozen, w.model.scope = reason, scope
	for range 1 + w.rng.IntN(3) {
		w.use()
	}
	if reason.Terminal() || w.rng.IntN(releaseOneIn) != 0 {
		return
	}
	w.pass(time.Minute, 3*time.Minute)
	s = w.step(Step{Action: Release, Kind: txn.Release})
	s.Want = Want{Outcome: txn.Approved, Recorded: true, Status: 200}
	w.model.frozen, w.model.scope = txn.NotFrozen, 0
	w.use()
}

// use is any one use of the card.
func (w *writer) use() {
	switch w.rng.IntN(4) {
	case 0:
		w.bus()
	case 1:
		w.shop()
	case 2:
		w.topUp()
	default:
		from := w.pick(useMetro)
		s := w.request(txn.MetroEntry, from)
		w.done(s, w.model.enter(s, w.station(from)))
	}
}

// reused sends another request under an id that was used before.
func (w *writer) reused() {
	old := w.recent()
	if old == nil {
		return
	}
	kind, terminal, id, amount := old.Kind, old.Terminal, old.ID, old.Amount
	if kind != txn.Purchase && kind != txn.Load || old.Want.Reason == txn.OriginalReversed {
		return // an id that was reversed before it came is answered as such
	}
	s := w.step(Step{Action: Bad, Kind: kind, Terminal: terminal, ID: id, Amount: amount + 7})
	s.Flaw = flawEnd // nothing is wrong but the id
	s.Want = Want{Code: txn.IDReused.String(), Status: 422}
}

// overtaken is a reversal that arrives before the request that it undoes; the request
// must not be executed then.
func (w *writer) overtaken() {
	if w.model.transitOnly {
		return
	}
	shop := w.pick(useShop)
	late := w.nextID(shop)
	later := len(w.card.Steps) + 1
	s := w.request(txn.Reversal, shop)
	s.Original, s.OriginalID = later, late
	s.Want = w.model.settle(s, w.model.reverse(later))
	s = w.step(Step{Kind: txn.Purchase, Terminal: shop, ID: late, Amount: 500})
	s.Want = Want{Outcome: txn.Declined, Reason: txn.OriginalReversed, Status: 200,
		Balance: w.model.balance}
}

// late sends a request again so late that the card may have forgotten it: it is absorbed
// or refused as too old, and in no case executed as new.
func (w *writer) late() {
	m := w.model.memory
	if len(m) <= modelForgotten {
		return
	}
	old := &w.card.Steps[m[w.rng.IntN(len(m)-modelForgotten)].step]
	if old.Action != Request || !old.Want.Recorded || old.Kind == txn.Reversal {
		return // a reversal is judged by its original, not by its age
	}
	s := w.step(Step{Action: Again, Kind: old.Kind, Terminal: old.Terminal, Original: old.Index,
		Late: true})
	s.Want = w.card.Steps[s.Original].Want
	s.Want.Recorded = false
}

// bad sends what the gate must refuse.
func (w *writer) bad() {
	shop := w.pick(useShop)
	s := w.step(Step{Action: Bad, Kind: txn.Purchase, Terminal: shop, ID: w.nextID(shop),
		Amount: 100, Flaw: Flaw(w.rng.IntN(int(flawEnd)))})
	switch s.Flaw {
	case FlawUnknownField:
		s.Want = Want{Code: "unknown_field", Status: 400}
	case FlawSignature:
		s.Want = Want{Code: "signature_invalid", Status: 401}
	case FlawNegative:
		s.Amount = -100
		s.Want = Want{Code: "amount_negative", Status: 400}
	case FlawUnknownCard:
		s.Want = Want{Outcome: txn.Declined, Reason: txn.UnknownCard, Status: 200}
	case FlawFuture:
		s.Want = Want{Outcome: txn.Declined, Reason: txn.TimeInFuture, Status: 200,
			Balance: w.model.balance}
	}
}

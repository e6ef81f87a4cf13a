// Package engine decides. Decide is pure: a view of the card, a request, a policy and
// an instant give a decision, the card's next state and the settled record, with no
// network, disk, clock, goroutine or randomness. Engine is the small loop around it:
// load, decide, commit, and once more when the card changed in between.
//
// An answer is given only after Commit is durable. The decision was made on a version
// of the card and on a blacklist mark; Commit compares both, so a stale cache or
// replica costs a retry and never a wrong answer, and a freeze is ordered with every
// transaction of its card.
//
// An error of the engine means that nothing could be decided or that the outcome is in
// doubt; the same request may always be sent again. The engine does not authenticate,
// does not parse, and does not talk to anybody but the store.
package engine

// Package account decides the life of an account, which is a holder's card with all its
// carriers, and of its cases: application, loss and release, replacement, renewal,
// cancellation, suspension, correction, complaint, claim.
//
// It is pure: Apply takes a document, a command, the scheme's rules and an instant and
// returns the next document with the effects that follow from it, or a refusal. No clock,
// network, disk or goroutine; nothing is shared, so everything may be called from many
// goroutines as long as each has its own document. Amounts are minor units, instants Unix
// milliseconds, legal dates whole days of the scheme's calendar.
//
// A document holds no name, no number of a person and no text about one: the holder is a
// keyed token, as are the carriers and the other printed identifiers. It keeps all
// restrictions that are in force; the mark of a carrier is their union, so that the end
// of one never opens what another closes. The mark of a replaced or cancelled carrier is
// for ever. Effects stand in the document as a list until they are reported done; those
// on one carrier are carried out in order.
//
// What differs from city to city is a value of Rules, and none has a default here. The
// package does not carry effects out, keeps no papers, tells no time, and does not judge
// who somebody is: a command states what was checked and by whom.
package account

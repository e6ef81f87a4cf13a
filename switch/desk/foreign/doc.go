// Package foreign takes in the freeze lists of other cities' institutions (ZZ4) and tells what
// the switch and each institution owe each other.
//
// A source is an institution that is registered with a key or a checksum. It sends its whole
// list, numbered by epochs that only grow, with an end of validity. Import freezes every card
// of the list through the engine, so that the freeze holds on line and stands in the lists of
// our gates, and lifts what the list names no more. Only the source's next list lifts its
// freeze: an operator's release is refused (Held), and what others closed stays closed. A list
// that has ended stays in force and is told as stale: silence opens nothing.
//
// An institution freezes its own cards: one of our accounts, or one that is enrolled for
// another institution, is refused and named by its line.
//
// An import that broke off is finished by the same list, given again: which cards a source
// holds is written before they are frozen, and taken away after they are released. What a
// source holds stands in the registry, in 256 parts, and in memory; every change is a
// compare-and-set, so that several processes may serve one registry. Card numbers are not
// kept. Instants are Unix milliseconds, amounts minor units. A Service is safe for concurrent
// use; one import a source runs at a time.
package foreign

// Package fields reads the bodies of calls to the gate: flat JSON objects over one vocabulary of
// fields, and batches of such objects. It says of each field which form and size it takes, and
// of each body which fields it may and must have; the first thing that is wrong is the refusal.
//
// Amounts are minor units. Reading allocates nothing once an Object was used; texts point into
// the body and die with it, and an Object belongs to one call at a time. Nothing is kept. What a
// value means (a kind, a time, a card number) is not decided here, and no refusal holds a value.
package fields

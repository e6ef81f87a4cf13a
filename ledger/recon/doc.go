// Package recon compares what the switch booked with what others say: clearing houses and
// banks by their files, operators and terminals by their claims.
//
// It owns the words of reconciliation (Row, Plan, Rule, Break, Cause), the matching of rows
// that share a key, the search for the cause of what does not match, and the verdict on which
// of three sides disagrees. Files are read by package layout, the ledger by package intake;
// package run carries millions of rows through with bounded memory, and package book keeps the
// breaks from run to run.
//
// Amounts are int64 minor units with a currency, signed as in the ledger: what a holder pays is
// positive, what he gets back negative. Instants are Unix milliseconds UTC, 0 where unknown.
//
// A row of amount 0 is a ride that a concession paid in full. It is matched like any other, and a
// pair that differs is a break; but a side that does not list free rides lacks nothing, so one
// that only the other side has is counted and is none.
//
// A claim of totals is held against the rows of its batch. One that no row explains is a break of
// its own, "claim", to be worked on like the others; nothing of it is carried into the next run.
//
// Everything here is pure: no disk, network, clock or goroutine, and the same rows give the
// same result in whatever order partitions are looked at. A Matcher and an Inquiry belong to
// one goroutine, but each side of an Inquiry may be shown its rows by a goroutine of its own.
//
// It consumes a row at most once, never nets two differences against each other, never guesses
// which part of a sum is meant (a one-to-many match takes a whole key), and names no cause
// without the evidence for it: what it cannot tell is "unknown".
package recon

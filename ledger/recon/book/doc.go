// Package book keeps the breaks of reconciliation from run to run, and what people do about
// them.
//
// It owns one journal in a folder: a line of JSON for each event, only ever appended to, each
// with the SHA-256 of itself and the line before, so that a line that is changed, added or left
// out is found by its number. The state is what the journal tells, folded from its beginning:
// which breaks are open, who owns them, who did what. An event is durable when the call that
// made it returns. A run is written as a whole: one that was cut short counts for nothing.
//
// One process writes at a time (a lock on the folder); any number read, without it. Money is in
// the breaks only, in minor units, and is never changed here: a write-off is a decision of two
// people, whose posting is an adjustment in the ledger.
//
// It refuses to run a day again once later days were run, unless the result is the same: what
// was carried into the later days would no longer be true.
package book

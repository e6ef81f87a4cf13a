// Package settle turns the figures of a business date into what finance reads.
//
// It owns the totals report: the same bytes for equal figures, whichever warehouse they
// come from. Amounts are int64 minor units in JSON and CSV; the table shows them with the
// decimals of their currency. Everything here is pure: no network, disk or clock; writers
// are the caller's. The package never rounds, never adds amounts of two currencies, and
// does not hide figures that contradict each other: it reports them.
package settle

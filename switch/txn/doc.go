// Package txn holds the words of the switch: requests, decisions, reasons,
// identifiers, money, business dates and the settled record.
//
// Everything else speaks in these types. Amounts are int64 minor units (fen),
// instants are Unix milliseconds UTC, business dates are calendar days of the
// scheme. All types are values without locks; a Record's slices belong to whoever
// made it.
//
// The package imports nothing of the project but crypto/pan, and neither network,
// disk, clock nor any third-party module. It decides nothing.
package txn

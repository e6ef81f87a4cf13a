// Package day takes a business day from open to certified: closing and closed when the markers
// of the cut-off are in the warehouse, settled in numbered runs, certified and signed.
//
// A Desk works on one directory: the finance journal (ledger/settle/journal), runs in
// runs/DATE/NUMBER, certificates in certificates. The warehouse is read, never written. A run is
// immutable: it is written beside, synced and renamed, so that there is a whole run or none; a
// second run of the same day that comes to the same bytes is the first, and one that differs is
// a correction with the next number. A certificate is given for the last run, once, and only
// when all counts agree and nothing contradicts itself.
//
// Late off-line taps are booked on the business date that is open when they come, which is their
// own until the cut-off has passed their bucket: the store decides it with the record and never
// goes back. A run shows them apart, by the date of the service.
//
// An order without a bank account is held. Once its day is certified no run of that day can order
// it: the next day that is settled carries it, once.
//
// Amounts are int64 minor units. A Desk that writes holds the journal's lock and is for one
// goroutine; everything is durable on return. The clock is the caller's. The package never edits
// a record, a run or a certificate, and never settles a day that is not closed.
package day

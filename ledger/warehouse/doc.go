// Package warehouse declares where settled records end up, and the figures that are
// read from there.
//
// It owns the words of the ledger's store: the Warehouse interface, the flat Row with
// the column names of both implementations, the Sequence that proves that nothing is
// missing and nothing is kept twice, and Totals, the figures of a business date. Two
// implementations pass one conformance suite (warehousetest): local, Parquet files a
// business date, and clickhouse.
//
// A record is known by its position (bucket, epoch, seq). Positions have no holes: an
// Append that would leave one is refused with ErrGap and writes nothing. A record that
// is held already is dropped without an error, so everything before the warehouse may
// repeat itself and must never skip.
//
// The markers that open a bucket for the first time precede its first business date and
// have none: they are kept under date 0 (1970-01-01 in the columns).
//
// Amounts are int64 minor units; sums are integers and checked for overflow; figures
// are kept by currency and never mixed. Everything in this package itself is pure: no
// network, disk, clock or goroutine. It refuses to correct a record: corrections are
// new records.
package warehouse

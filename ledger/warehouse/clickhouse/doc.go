// Package clickhouse keeps the ledger in ClickHouse 24.8 or newer, over the native
// protocol or HTTP.
//
// It owns the tables of deploy/clickhouse and brings them up to date (Migrate). Records are
// inserted in batches with explicit columns, synchronously, and are on disk when the server
// confirms (the tables ask for fsync). The outcome of an insert whose answer was lost is
// unknown; the same records are then inserted again and ReplacingMergeTree absorbs them, so
// every figure reads FINAL. After such an insert the positions are proven from the table
// before anything is confirmed.
//
// Append believes the positions that it proved last; one process at a time writes a
// bucket, and Positions asks the table again after a change of writers. Amounts are Int64
// minor units, sums are computed in Int128 and refused when int64 does not hold them.
//
// It is the only package that imports clickhouse-go. It never deletes, updates or uses
// materialized views for figures, and it refuses a database whose migrations are not
// exactly those of this binary.
package clickhouse

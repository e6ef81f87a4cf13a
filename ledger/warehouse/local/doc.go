// Package local keeps the ledger as Parquet files on local disk, a folder a business
// date, for one machine. Any tool that reads Parquet reads them: the columns are those
// of warehouse.Row, the same as in ClickHouse.
//
//	DIR/LOCK                                 held while the warehouse is open
//	DIR/MANIFEST                             the log that says which files count
//	DIR/2026-03-01/part-00000012.parquet     records of one date, never changed
//
// One Append writes a part for each business date in it, syncs them, gives them their
// names, syncs the folders, and then appends one line with a checksum to the manifest
// and syncs that: the line is what makes the records held, all or none. What no line
// names is removed at start. A line cut short at the end of the manifest was never
// confirmed and is cut off; damage anywhere else is ErrDamaged and the warehouse stays
// shut, since the outbox behind it was trimmed by what the manifest confirmed.
//
// Within a part the records are in order of bucket, epoch and seq. A goroutine of the
// warehouse joins small parts of a date into larger ones by tiers; Close waits for it.
//
// Lock order: writer before mu. No file is written under mu; reads take parts by
// reference, so a part that is joined away lives until its last reader is done.
//
// The package refuses two processes on one folder, and deletes no record.
package local

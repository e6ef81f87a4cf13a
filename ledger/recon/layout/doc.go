// Package layout reads the files of counterparties by descriptions in YAML, and the plans by
// which they are reconciled.
//
// It owns the language of layouts: fixed width, CSV and camt.053; UTF-8, GBK and GB18030;
// headers and trailers whose counts and totals are checked; signs, implied decimals, dates and
// times with an offset from UTC. A layout is checked as a whole when it is read, and every
// fault is told with its line (Read). The language stands in the package's examples, which are
// those of deploy/recon.
//
// A file is read as a stream with bounded memory, line by line. What cannot be read is refused
// with the whole file, or held back line by line, as the layout says; nothing is skipped in
// silence, and a trailer that does not fit what was read refuses the file. CSV fields do not
// hold line ends: a quote that is never closed spoils one line and not the file.
//
// Amounts are int64 minor units. Of card numbers only the last four digits are ever kept: a
// column with a card number has to say so. Layouts and plans are immutable and safe for
// concurrent use; a File belongs to one goroutine at a time. The package reads no clock, opens
// no file by itself and knows no named time zones, whose rules depend on the machine.
package layout

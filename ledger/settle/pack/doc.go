// Package pack makes the files that finance takes home for a business day: tables as CSV and
// XLSX, the settlement as JSON and Parquet, statements and notifications of ISO 20022 (camt.053
// and camt.054), the journal for the general ledger, and a manifest with the SHA-256 of every
// file and the control totals.
//
// An order whose column "carries" names another one stands for it: that one was held on a day that
// is certified by now. The control totals of the manifest tell carried orders from those of the
// day's own net, so that a reader can add them up (see Control); so does the file README.txt.
//
// Build is pure: the same content gives the same bytes, in whatever process and at whatever
// time; no file holds the moment when it was made, but the end of the day that it tells of.
// Amounts in JSON and Parquet are int64 minor units; CSV, XLSX and XML show them with the
// decimals of their currency, from integers and never by floats. CSV begins with a byte order
// mark, because spreadsheets ask for one. Formulas cannot be smuggled in: cells are texts or
// numbers. The package writes no disk and adds up nothing that clearing has not.
package pack

// Package certificate proves what a business day holds: a hash chain over every record of the
// day, bucket by bucket, whose heads stand in a signed day certificate (crypto/receipt).
//
// A Chain is written from the records in their order (bucket, epoch, seq). It refuses holes,
// repeats and records of another date, so that what it counts is what the store numbered. The
// file holds every record with the link of the chain after it; Verify needs the file and the
// certificate and nothing else, and names the first bad record: one that was changed, is
// missing, stands twice or in another's place. Where a file was rewritten from some record on
// with links that fit, the file cannot tell the record: Compare holds it against another source,
// such as the warehouse, and can.
//
// A link is the SM3 of the link before and the record's encoding (switch/txn); the first link of
// a bucket follows from date and bucket. Markers of epochs (seq 0) are chained and not counted.
// Amounts are fen. Everything is streamed; memory does not grow with the day. Nothing here asks
// a clock or keeps a file open; a Chain is for one goroutine. The package repairs nothing.
package certificate

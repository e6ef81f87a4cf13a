// Package szt reads the tap records that the Shenzhen municipal open-data platform
// publishes (data set 29200_00403601) and replays them through the switch.
//
// A Parser reads the CSV, plain or gzipped, row by row: columns by name in any order, with
// or without a byte order mark, with either line end. A row that cannot be understood is
// returned as a Reject with line, column and reason; none is dropped. Sort brings any
// number of rows into the order of time with bounded memory. Replay enrols the cards, loads
// what they need and sends the taps in batches signed by their readers, with the clock that
// the rows dictate; Report holds the file against the ledger, row by row.
//
// The request id of a tap is made from its row: the reader, the second, and a digest of
// all columns. So a row that stands twice in a file, or in two files, is one tap, however
// often it is sent. The pseudonym of a card, letters A to J, becomes a test number of 20
// digits, one for each pseudonym.
//
// Amounts are fen, times are local time of Shenzhen (UTC+8, no daylight saving). Memory
// grows by about 60 bytes for each row and card; RowsMax bounds both. A replay does not price
// rides: amounts come from the file. Reprice holds those amounts against a tariff instead and
// says for each which rider, class and transfer make it, or that none does.
package szt

// Package pos is a shop's worth of card terminals for tests, drills and benchmarks: each signs
// on, sells, voids, refunds, reserves and completes, sends what it sold offline, reverses what
// was not answered, and settles its batch at the end of its day.
//
// It is the independent check of the switch from the cashier's side. A terminal keeps a book
// of its own, of what its cashier believes, checks the MAC and the echo of every answer, and
// calls it a contradiction when an answer cannot be squared with the book: another amount, a
// repeat that is answered otherwise, a settlement that does not balance. It shares the codec
// and the ciphers with the switch and nothing else.
//
// What a terminal does follows from the seed and its number; what it is told may change what
// it does next, the time does not. Amounts are minor units. A terminal makes one transaction
// at a time, as a till does; Run keeps one goroutine and one connection for each and waits
// for all. Nothing is kept on disk.
//
// Only made-up card numbers and test keys belong here: see Cards.
package pos

// Package receipt makes and verifies signed statements that prove something to somebody who
// has nothing but the statement and a public key: a freeze receipt, which says when a loss
// was reported and when the card was refused where, and a day certificate, which says what a
// business day holds and chains to the one before.
//
// A statement is canonical JSON: RFC 8785 restricted to objects, arrays, strings, integers of
// at most 53 bits, true and false. One statement has one encoding, and other input is
// refused, so the bytes that were signed can be made again from the parsed statement by
// anybody. An Envelope carries the statement, the algorithm (SM2 with SM3, or Ed25519), the
// key id, the key's fingerprint and the signature, and is canonical JSON itself. What is
// signed begins with a line of its own, the algorithm and the key id, so that a signature is
// good for nothing else.
//
// Amounts are in fen. Times are in UTC to the millisecond. Hashes are SM3; only that of a
// day's books is SHA-256, like those of the files in the manifest that it names. All types are
// values or unchanging, safe for concurrent use. The package asks no clock and stores nothing.
// It makes statements of what it is told: that the figures are true is for the ledger to see
// to. No full card number fits in a statement; what looks like one is refused.
package receipt

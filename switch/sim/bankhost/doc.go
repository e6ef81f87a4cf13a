// Package bankhost is a bank, or the network in front of banks, for tests, drills and
// benchmarks: it listens, signs terminals and switches on, approves and declines, keeps the
// accounts of its cards in a Book, and misbehaves as it is told.
//
// It is the independent check of the switch: it shares the codec and the ciphers with it and
// nothing else, and does its own framing loop, matching, reversal and MAC logic. At the end
// its Book can be held against the switch's ledger: every request with its answer, how often
// it was seen, what was reversed, what every card owes.
//
// What it does is decided by its seed and the request (trace number, acquirer, terminal,
// class, and how often it has been seen), not by the clock or by the order in which
// connections are served: the same seed and the same requests give the same behaviour. Rules
// provoke one case exactly; DefaultRules lists the amounts that do.
//
// Amounts are minor units, rates are in 1/10,000. A Host is safe for concurrent use; one
// goroutine reads and one writes a connection, and Close waits for all. Nothing is kept on
// disk. Card numbers stand in the Book as keyed hashes.
//
// It is no issuer: it checks no track, expiry, chip data or limits but a card's funds, and
// believes a PIN only where it is given the key. Never give it a key of a live system.
package bankhost

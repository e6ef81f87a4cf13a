// Package bank switches bank-card transactions: terminals and acquirers on one side, issuing
// banks and networks on the other, the engine between.
//
// A message comes in over a listener (listener.go), is read as an order (order.go: which
// transaction, of which terminal, under which id), and takes one of few ways: money goes
// through transact.go, what a terminal asks about itself through manage.go, the end of its
// day through settle.go. Money is committed by the engine before it leaves the switch and
// again before the answer does, so that every transaction ends in exactly one of approved,
// declined and reversed, whatever fails in between. What the bank must still be told after
// that, deliver.go tells it until it answers.
//
// Frames are read and written through switch/bank/message, carried by switch/bank/link,
// routed by switch/bank/route, and authenticated by keys that switch/bank/secure looks
// after. Amounts are minor units. A Switch is safe for concurrent use. Card numbers live as
// long as their message; what is stored of one is its token, and, sealed, what a reversal or
// advice needs. Tracks, PIN blocks and chip data are never stored.
package bank

// Package link carries ISO 8583 frames over TCP: managed connections to banks and networks
// (Link), a server for terminals and acquirers (Server), and the matching of answers to
// requests. It knows no message format: a Framing cuts the stream into frames, a Protocol
// says what a frame is and which key it carries.
//
// An exchange ends in exactly one of three ways, and Sent says which: Answered, NotSent
// (nothing of the frame left this process: it may go another way) or Unknown (it was
// handed to the network and no answer came: the bank may have executed it, so only a
// reversal is right). What is not known for certain is Unknown. No answer reaches two
// callers: keys in flight are unique, an answer that comes after its exchange ended goes to
// the Late callback, and what fits nothing is counted and dropped.
//
// Every connection has one reader, one writer and a bounded queue between them and the
// rest, so that a peer that stops reading costs its queue and its write deadline, and
// nobody else waits. A full queue refuses at once. Every limit is a field of Limits.
//
// All exported types are safe for concurrent use. Time is that of package time, so tests
// run on the clock of testing/synctest; Config.Now and Config.Rand are used for the stamps
// and the jitter. Nothing here is durable except what the Reserver keeps: blocks of trace
// numbers. Locks nest nowhere: Link, table, connection and Numbers each have one of their
// own, and no callback runs under any of them.
//
// The package reads no field of a message, keeps no frame after its exchange ended, writes
// none into logs or errors, never sends a frame twice by itself, and decides nothing about
// money: what to do about Unknown is the business of the caller.
package link

// Package secure has the keys that change while the switch runs: the MAC and PIN keys of the
// links to banks (LinkKeys) and the working keys of POS terminals (Terminals). It says which
// key is in force, which former one still verifies, and keeps that through a restart.
//
// # Keys
//
// A link starts with keys of the key ring, where it has any. A change of key brings a new one
// under the link's exchange key (DOMAIN.md 2.3, 3.4); from then on that one is in force. A
// terminal gets a new set at each sign-on, under its master key. What is kept, in the store's
// registry, is the enciphered form as it travelled, so nothing there is of use without the key
// ring; the keys themselves are opened inside the ring's package and no byte of them comes out.
//
// # Overlap
//
// After a change the former key goes on to verify for a bounded time: messages that were
// under way lose nothing. A former key makes nothing new, but for the answer to a request that
// came under it (LinkKeys.Match, TerminalKey): whoever asked may not have heard of the change,
// and would take an answer under another key for a forgery and reverse. That holds for requests
// that were taken up before the change, and until they are answered, however short the overlap.
// A key that the switch orders for a link verifies
// from the order on, as the bank may use it before its answer is here, and makes MACs when the
// order is committed. A key that a link had before is refused: it is an old message played
// again, or a key known to somebody.
//
// # Durability and concurrency
//
// A change is durable when the call returns without error. After an error it is not in force
// here and may come into force with a restart, with the key before as the former one: ask for
// another change, or for the same once more. One process serves a link; of several that serve
// a terminal, each finds out when a MAC does not fit.
//
// Everything is safe for concurrent use. LinkKeys.Check, LinkKeys.Make and their like for a
// terminal whose keys are in memory allocate nothing and take no lock of this package that is
// held during input or output. MACs are compared in constant time. No error, no printed form
// and no record shows a key, PIN or card number.
//
// The package does not know messages: it is given the bytes that a MAC covers and the content
// of the MAC field (message.Spec.MACField). It does not start key changes or sign-ons, does
// not fall back to an older key when a stored one cannot be opened, and does not keep keys
// apart from each other better than the key ring does. Whoever can write the registry can put
// an old state there. Keys that are not needed any more are left to the garbage collector.
package secure

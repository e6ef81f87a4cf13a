// Package finding finds uses of a card that are not the holder's own, or not honest, among
// its settled records: pass-back, impossible travel, concession misuse, a frozen card that
// was used, a forged TAC, a cloned counter, and of the gates' own conduct a degraded mode that
// nobody ordered (HD12, ZS13, SY12; HD31, ZS23, WZ21, SY13, ZZ14).
//
// A finding is sealed evidence and nothing else: no card is barred and nobody is charged by
// one. Each is canonical JSON that holds the hash of the one before, so that none can be
// changed or taken out unseen, signed where there is a key. A person, who is named, files it
// against the holder or dismisses it. What a lost card was used for after its report can not
// be filed against the holder at all: that was not he.
//
// Detect is pure. A Service keeps evidence in the registry below "finding/", is
// durable on return and safe for concurrent use by several processes. Hashes are SM3,
// instants Unix milliseconds, travel times minutes. Evidence holds tokens, places and times,
// no name and no card number. The package reads no ledger by itself and judges no guilt.
package finding

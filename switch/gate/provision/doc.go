// Package provision gives gates what they work by: parameters and tariffs by version and
// effective instant, and the orders of degraded modes; and it knows which gate runs which.
//
// # Documents
//
// A document is of one Kind, has a version, a scope (all, a line, a station, a terminal) and an
// effective instant. It never changes: what is to be different gets another version. For a gate
// the narrowest scope counts that has a document in force, and in it the one that took effect
// last. A document that takes effect in the past, contradicts itself or another one is refused
// with its field and the reason.
//
// # What a gate asks
//
//	GET  /v1/terminal/parameters             the plan: what is in force, what comes next, orders
//	GET  /v1/terminal/tariff                 the plan: what is in force, what comes next
//	GET  /v1/terminal/tariff/{version}       the tariff file itself, with ranges
//	GET  /v1/terminal/keys                   the public keys, as of crypto/receipt
//	POST /v1/terminal/ack                    {"kind":"tariff","version":"2026-2"}: the gate runs it
//
// A plan is an Envelope: a statement, and an Ed25519 or SM2 signature of the 27 characters
// "tapswitch terminal plan v1", a zero byte and the statement's bytes as they stand. A statement
// names its terminal and the serial number of the last change, so that a plan is no use to
// another gate, and an older one is known as older. A tariff file is bound to its plan by
// SHA-256. Everything has a strong ETag and answers If-None-Match with 304.
//
// # What an operator asks (roles admin and vendor; orders also desk and desk-confirm)
//
//	POST /v1/provision/documents                              publish
//	GET  /v1/provision/documents[?kind=tariff]                all, with how many gates run each
//	GET  /v1/provision/documents/{kind}/{version}             one, with its content
//	POST /v1/provision/documents/{kind}/{version}/withdraw    before it takes effect
//	GET  /v1/provision/terminals[?behind=true]                what each gate runs and should run
//	GET  /v1/provision/terminals/{id}                         one
//	GET  /v1/provision/orders, POST /v1/provision/orders      degraded modes
//	POST /v1/provision/orders/{id}/confirm, …/end             by a second person; by anybody
//
// # Units, limits, durability
//
// Instants are Unix milliseconds and end in _ms, durations are seconds and end in _s, amounts
// are fen and end in _fen. Index and contents stand in the store's registry, each change is one
// compare-and-set and durable before it is answered; other processes see it within RefreshEvery.
// All exported types are safe for concurrent use. The limits are the constants named …Max.
//
// The package authenticates nobody (its caller does), prices nothing, and changes no gate: a
// gate that does not ask is only shown as behind.
package provision

// Package gate is the HTTP edge of the switch: terminals send taps, loads, purchases,
// refunds, reversals and balance queries, operators enrol, freeze and release cards and
// keep the terminals.
//
// The gate owns who may ask (signatures of terminals, tokens and roles of operators),
// what a well-formed question is, and how many are worked on at once. It decides nothing
// about money: a question that passed goes to the Engine, and the answer leaves as it
// came back, after it is durable. Amounts are minor units, instants Unix milliseconds.
//
// A signature is checked over the raw bytes before any business field is read, and its
// counter is used up before the request is executed; the counters that a terminal may
// have used survive a restart because they are reserved in the registry in blocks. An
// outcome that is not known is said to be unknown (outcome_unknown): the terminal sends
// the same request again and gets the stored answer.
//
// All exported types are safe for concurrent use. Card numbers exist between the parser
// and the token only; no error, log line or answer holds one. No bytes of a request are
// kept after its answer. Every limit is a field of Limits.
//
// The gate does not terminate TLS, does not resolve names of other switches, does not
// serve metrics or profiles, and does not recover from a broken invariant: a panic ends
// the process, and the store says afterwards what was done.
package gate

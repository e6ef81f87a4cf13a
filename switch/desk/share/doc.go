// Package share is where data about holders enters and leaves the card desk: units that may
// ask, departments that supply, the city's exchange platform, and the rights of the person
// whom the data is about.
//
// A unit (consumer) needs an approval, an agreement on secrecy that is in force, and purposes
// and fields that were agreed; it is refused without, told nothing but those fields, and
// every access is a settled record before anything is told. Consent is the account's, where
// the scheme's policy wants one for a purpose. A department (supplier) sends signed batches;
// each line becomes a command on one account or a reject with its reason, and a batch sent
// twice is one. Retention and erasure follow the scheme's periods, counted from the end of an
// account; the ledger holds tokens only and is never edited.
//
// Consumers, suppliers, batches and what terminals read stand in the registry below "share/".
// Instants are Unix milliseconds, days those of the scheme's calendar. A Service is safe for
// concurrent use; its answers are durable on return. Refusals are values; an error that wraps
// desk.ErrStore leaves the outcome unknown, and asking again is safe.
//
// The package opens no connection, reads no file, and holds no name, number or text about a
// person longer than a call lasts. It does not judge whether an approval is lawful.
package share

// Package notice tells every party of a freeze or a release, and keeps the proof: when it
// was accepted, sent, received and effective, for each party, and who was late.
//
// A party is a department, a bank, an operator, an agency or a utility; parties are kept
// in the registry below "party/". A notice is one or several documents in the hot store
// (RowsMax parties each, opaque states below tokens of their own), each with a row a
// party. Part 0 is the head: it is committed last, and without it no other part does
// anything, so that a notice exists whole or not at all.
//
// The clock of a party starts at its receipt; without proof of receipt it starts at the
// sending and is shown apart (HD19, HD20). How long it runs and when alarms come stands in
// the notice, since it is the scheme's policy; a scheme that sets no hours has a window of
// zero and no late party. Apply is the pure core: document, event and instant give the next
// document. An event about one party changes the row of that party and no other.
//
// Durability. Notify returns when the notice is durable. What is to be tried, alarmed or
// judged next is a due entry of the same commit ("n" and the document's token), so a
// restart loses no clock; a try is claimed by moving its due time on before it is made. A
// notice is sent at least once, always with the same idempotency key. An error of Notify
// leaves it in doubt, and it is safe to call again with the same id.
//
// Order. A notice that makes an older one void (Supersedes) is sent only after the older
// one is stopped, and one process never sends two notices of a card to one party at once.
//
// Indexes. Open notices and late ones are listed in the registry ("notice/open/",
// "notice/late/"), written before the documents: supersets that readers check against the
// documents, and that the sweep heals.
//
// Concurrency. All methods of Service and Roster are safe for concurrent use. Each party
// has its own queue and workers, so a slow one delays nobody else. Locks: those of the
// outlets, the scribe and the roster, never two at once, none held during I/O but the
// roster's while it reads the registry. Units: instants in Unix milliseconds, lengths of
// time as time.Duration.
//
// The package does not freeze cards, does not decide who bears a loss, follows no
// redirects, and reads nothing from the body of a party's answer.
package notice

// Package drill keeps the record of incident drills (SY10): who went through which runbook,
// when, step by step, with what was found, and which drills are overdue.
//
// A drill is a document in the store's cards; every change is committed together with a settled
// record of kind desk, so that the audit trail cannot say less than the drill. Who starts a
// drill, does a step or finishes it is an operator's name. A drill that is finished never
// changes. The steps are those of the runbook that the binary carries, numbered from 1, and a
// drill can be finished only when something stands at each of them; one with a step that failed
// has not passed, whatever is said.
//
// Instants are Unix milliseconds. Safe for concurrent use; every change is a compare-and-set.
// The package does not act on the switch: a drill is people's work.
package drill

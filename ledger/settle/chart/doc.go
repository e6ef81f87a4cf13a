// Package chart is the double entry of the scheme: the classes of its accounts, the posting
// rule of every kind of record, and books that are kept by them.
//
// Classes and rules are data (deploy/finance/chart.yaml, read by ledger/settle/terms); New
// refuses a chart in which a rule does not sum to zero or names no account; Missing tells the kinds
// that no rule covers. The switch writes the postings of a record; Check says whether they are the ones that
// the rule of its kind gives, and names the record when they are not.
//
// Amounts are int64 minor units; credits are positive, debits negative; currencies are never
// added. Everything is pure: no network, disk, clock or goroutine. A Chart never changes and is
// safe for concurrent use, a Book is for one goroutine. The package corrects nothing: what is
// wrong is told, and put right by a new entry.
package chart

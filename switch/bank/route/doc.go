// Package route decides who answers for a bank card transaction: it finds the rule with the
// longest BIN that takes the card, the class of transaction, the amount and the time, and
// with it the issuer, the links in the order of failover and what may be approved when none
// of them is up.
//
// A Table is built once from rules and does not change; a new configuration is a new Table.
// It is safe for concurrent use. Route is a binary search and a short walk: it allocates
// nothing and takes well under a microsecond with 10,000 BINs.
//
// # Which rule
//
// Of the rules that take a transaction the one whose BIN covers the fewest numbers wins: the
// longest prefix, or the narrowest range. Rules without a BIN come last. Among rules of one
// BIN, one that names a family wins, then the one with more restrictions (card number length,
// class, amount, time), then the one that stands first.
//
// New refuses what cannot be meant: ranges that cross, a rule that another one of the same BIN
// always precedes, links that do not exist, a stand-in without limits.
//
// Amounts are minor units. The package holds no clock, connection or counter: the time comes
// with the query, and what was approved in stand-in before is counted by the caller. It does
// not look at currencies, and does not say where a reversal goes: to where its original went.
// Errors and Explain never show a card number.
package route

// Package storetest proves that a hot store keeps the contract of package store.
//
// Run is the conformance suite: one test for each sentence of the contract. RunModel
// runs random operations against a plain model. RunLinearizable runs freezes, releases
// and debits of the same cards at once and has the history checked for an order in
// which every answer is right. Every implementation passes all three; what an
// implementation cannot do (two handles, a crash) its Factory leaves out.
//
// Memory is the contract as short as it can be written: everything in maps under one
// lock, nothing durable. It passes the suite and is the fake for whoever uses a store;
// its fault hook makes each operation fail as "not applied" or as "applied but reported
// failed".
//
// The package is for tests only. Times are milliseconds as in package txn. It does not
// measure speed and does not prove that data survive a power cut.
package storetest

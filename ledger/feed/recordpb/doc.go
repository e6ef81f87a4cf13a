// Package recordpb holds the protobuf schema of the settled record for readers that
// are not the switch: other languages, and Kafka tools that want a schema.
//
// The switch itself writes and reads the same bytes by hand (txn.AppendRecord and
// txn.DecodeRecord), since it does so once for every commit; the tests of this
// package hold both against each other. Amounts are minor units, instants Unix
// milliseconds UTC. Nothing here checks what a record says: txn.DecodeRecord does,
// and it also refuses records of a later version.
//
// The generated file is committed. To make it again, with protoc 3.21 or newer and
// protoc-gen-go v1.36.12 in PATH: go generate ./ledger/feed/recordpb
package recordpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative record.proto

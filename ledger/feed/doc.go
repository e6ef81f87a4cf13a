// Package feed brings settled records from the outbox of the hot store to the warehouse,
// exactly once in effect.
//
// Two ways, one code for what counts. Direct hands the outbox straight to the warehouse
// on one machine. Relay writes the outbox to a Kafka topic with one partition a bucket,
// and Sink writes the topic to the warehouse. Everything on the way may repeat itself
// after a fault and nothing may skip: the intake drops by (bucket, epoch, seq) what the
// warehouse holds and accepts only what follows without a hole. A hole stops its bucket
// with an alarm while the others go on, and the bucket heals by itself when the missing
// records arrive; until then nothing of it is confirmed and the outbox keeps it.
//
// The order of effects is always: records durable in the warehouse, then the Kafka offset,
// then Outbox.Confirm. A record that cannot be read becomes a dead letter, durable in the
// warehouse in the record's place, and the rest goes on; a record of a later version stops
// its bucket, because skipping it would lose money.
//
// A store that was restored from an older copy gives numbers out again. The feed compares the
// two when it begins and while it runs, and stops with ErrRestored where the warehouse holds
// more: neither is a record then dropped as a duplicate, nor is a hole passed over.
//
// Amounts are not looked at here except that postings must sum to zero. Run methods own
// their goroutines and return when these have ended. Counters are safe to read at any
// time. The package never trims, edits or reorders a record, and never creates a topic
// by accident.
package feed

// Package local is the hot store on one machine: a journal on local disk, card states
// in memory, and Pebble as their checkpoint and the home of cold cards. It needs no
// server.
//
// Why a journal. Writing every commit into a key-value store and syncing it gave half
// of what the disk can do, since each record was written three times. Here a commit
// is one entry (bucket, epoch, sequence, record, state after, changes of blacklist
// and due queue) in the buffer that is being gathered. One committer writes whatever
// has gathered, makes one fdatasync, and wakes everybody. The journal is at once the
// outbox. Every few seconds the states that changed go to Pebble; the start is the
// last checkpoint and the journal after it.
//
// What is durable when: an answer leaves Commit only after the sync that covers its
// entry; an answer without an entry of its own waits for everything that its bucket
// appended before, so nobody is told what a power cut could take back. Nothing gets
// into a checkpoint before the journal holds it. After a failed write or sync nobody
// knows what is on disk: the store is dead, every waiter gets an error, and the
// process must start again, which reads what is really there.
//
// What a start accepts: batches of entries carry a number without holes and a
// CRC-32C. What follows the last good batch is a torn tail, never acknowledged, and is
// cut. Anything else, a bad batch with a good one after it, a batch or segment that
// is missing, a journal that ends before the checkpoint, is ErrDamaged. Two things
// look alike to any reader: the last batch torn by a power cut and the last batch
// damaged later by a bad disk. After a clean Close they are told apart, because the
// checkpoint knows where the journal ended; after a crash damage to the very last
// batch is taken for a torn tail.
//
// Locks. One mutex a bucket guards its states, numbering, list and due queue; the
// journal's mutex guards the gathering buffer and is taken inside a bucket's, never
// the other way round. No I/O is done under either; a commit may wait under its
// bucket's lock for room in the gathering buffer, which is one write at most. The
// outbox lock guards the reading of segments against their removal, and is taken
// with no other held.
//
// Units: sizes in bytes, instants in Unix milliseconds, positions as in txn. All
// methods of Store are safe for concurrent use. The package does not copy itself to
// another machine, does not know what states and records say, and does not try to
// live with a disk that lost a write.
package local

// Package redisstore is the hot store on Redis 7 or Redis Cluster.
//
// It owns the keys {b000}: to {b063}: and {reg}:registry of a database: card states,
// blacklist, blacklist log, outbox, due queue and numbering of each bucket, and the
// registry (keys.go). Instants are milliseconds, by the clock of the Redis server where a
// deadline is compared. Values are binary: versions are compared as bytes and never pass
// through Lua's numbers.
//
// # One commit
//
// Every change is one Lua script call. Commits that gather while the last call is under
// way travel as one list in one call, each checked and answered on its own; a list shares
// one fsync. Commits that came in one call of Commit wait for the one worker of their
// bucket, which has one call under way, so they keep their order. On one node a list spans
// buckets; in a cluster a call is a pipeline of one list a bucket, since a script may touch
// one slot only. A script
// checks a commit whole, including the types of its keys, before its first write, because
// Redis does not roll a script back.
//
// # Durability and doubt
//
// Redis runs with appendfsync always, so an answer follows the fsync of what it says; Open
// refuses other settings. With Options.Replicas each call is followed by WAIT in the same
// pipeline, and too few acknowledgements make its commits errors. The client never retries
// by itself. A call that failed is in doubt and its commits say ErrUnavailable; it carries a
// deadline by the server's clock, so that the server refuses it once its caller has gone.
// A list that was not executed for certain (NOSCRIPT, MOVED, ASK) is sent again where it
// belongs, within the same time limit. Every reply echoes a nonce; a reply of another call
// is refused and the connections are replaced.
//
// Several processes may share a database: compare-and-set keeps them right. Opening joins
// the current epoch; OpenEpoch opens the next and fences all others.
//
// The outbox is trimmed by id, up to what Confirm was told, never by length. The blacklist
// log is trimmed to Options.ChangesKept, since a replica that falls behind takes a
// snapshot.
//
// Locks: crew.flight is a gate, held while calls are under way; below it stand router.mu,
// crew.mu and nudge.mu, none of which is held while another is taken or while the network is
// waited for.
//
// The package refuses to evict, to expire, to choose between conflicting writers, to retry
// a commit in doubt, to move slots and to promote replicas.
package redisstore

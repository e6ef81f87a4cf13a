// Package store declares the hot store: card states, the blacklist, the outbox of
// settled records and the due queue, in 64 buckets that each commit alone.
//
// The one write is Commit, a compare-and-set: in one atomic step it checks version,
// blacklist mark, epoch and deadline, then writes the next state, appends the
// settled record to the outbox with the next sequence number, changes the blacklist
// and the due queue. When it reports Committed, all of that is durable. Two
// implementations pass one conformance suite (storetest): local, a journal with
// checkpoints on local disk, and redisstore, Redis 7 or Redis Cluster.
//
// A commit that failed with an error is in doubt: it may have been applied. It is
// always safe to load and try again, because a commit that was applied changed the
// version that the second try compares.
//
// The package holds types only: no network, no disk, no clock. It does not know what
// a state or a record says beyond the markers that it makes itself.
package store

import (
	"context"
	"errors"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of one commit and of one call; more is a programmer's error and panics in
// the implementation or is refused with ErrTooLarge, before anything is written.
const (
	StateMax       = 12 << 10 // bytes of one encoded card state
	RecordMax      = 4 << 10  // bytes of one encoded record
	DueKeyMax      = 128      // bytes of one due key
	DueChangesMax  = 8        // due changes in one commit
	CommitListMax  = 8192     // commits in one call: a batch of taps, with room
	RegistryKeyMax = 256      // bytes of one registry key
	RegistryMax    = 64 << 10 // bytes of one registry value
)

var (
	// ErrUnavailable reports that the store did not answer in time. The commit is in
	// doubt; the request may be tried again with the same id.
	ErrUnavailable = errors.New("store unavailable")
	// ErrFenced reports that another writer opened a later epoch. It is fatal: the
	// process must stop and start again, its caches may be stale.
	ErrFenced = errors.New("store fenced: a later epoch is open")
	// ErrDamaged reports stored data that cannot be what was written. It is fatal.
	ErrDamaged = errors.New("store damaged")
	// ErrTooLarge reports a commit or value beyond the limits above.
	ErrTooLarge = errors.New("store: value too large")
	// ErrGap reports that the changes asked for are no longer kept: take a snapshot.
	ErrGap = errors.New("store: list changes no longer kept")
	// ErrConflict reports a registry value that changed since it was read.
	ErrConflict = errors.New("store: registry value changed")
	// ErrClosed reports a call on a closed store.
	ErrClosed = errors.New("store closed")
)

// Status says what became of a commit that was answered.
type Status uint8

// The statuses. Everything but Committed means that nothing was written.
const (
	// Unanswered is the status before an answer, and of a commit with an error.
	Unanswered Status = iota
	// Committed: all checks held and everything is durable.
	Committed
	// VersionConflict: the card changed since it was loaded; Current says to what.
	VersionConflict
	// MarkConflict: the blacklist says otherwise than the decision assumed; Current
	// says what.
	MarkConflict
	// DeadlinePassed: the deadline passed before the commit was reached.
	DeadlinePassed
	// ListClosed: the blacklist entry is terminal (replaced, cancelled) and the
	// change would undo it.
	ListClosed
	// OutboxFull: the unconfirmed outbox reached its high-water mark.
	OutboxFull
)

// String returns the status's name.
func (s Status) String() string {
	names := [...]string{"unanswered", "committed", "version_conflict", "mark_conflict",
		"deadline_passed", "list_closed", "outbox_full"}
	if int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Loaded is a card as the store has it.
type Loaded struct {
	// State is the encoded state, empty when the card is absent. It is the caller's.
	State []byte
	// Version is 0 when the card is absent and grows by one with every commit that
	// writes a state.
	Version uint64
	// Mark is the card's blacklist mark at the same moment.
	Mark txn.Mark
}

// Commit is one compare-and-set on one card and its bucket. The caller fills the
// upper part and must not touch it until Cards.Commit returns; the store fills
// the answer. A commit that changes nothing (no State, Record, List, Due) only
// checks; its Committed answer proves that what the caller saw is current and durable.
type Commit struct {
	Card pan.Token
	// Version is what State replaces; 0 for a card that must be absent.
	Version uint64
	// AnyVersion skips the comparison of the version. Only a commit without State
	// may set it: a freeze, which must not lose against a stream of taps.
	AnyVersion bool
	// Mark is the blacklist mark that the decision assumed.
	Mark txn.Mark
	// Deadline is the last instant, by the store's clock, at which the commit may be
	// applied; 0 for none.
	Deadline txn.Millis
	// State is the next state, of version Version+1; empty leaves the card as it is.
	State []byte
	// Record is the encoded settled record without position and business date; empty
	// appends nothing.
	Record []byte
	// Reserve lets the commit pass the outbox high-water mark: freezes, reversals and
	// markers are never refused for want of room.
	Reserve bool
	// List, when not nil, changes the card's blacklist entry.
	List *ListChange
	// Due adds and removes due entries of the card's bucket.
	Due []DueChange

	// The answer.
	Status   Status
	Err      error        // a fault: the commit is in doubt unless it is ErrTooLarge
	Current  Loaded       // on VersionConflict and MarkConflict: the card now
	Position txn.Position // of the record, when Committed with one
	Date     txn.BusinessDate
	ListSeq  ListSeq // of the list change, when Committed with one
}

// Bucket returns the bucket that the commit touches.
func (c *Commit) Bucket() txn.Bucket { return txn.BucketOf(c.Card) }

// ListSeq numbers the changes of one bucket's blacklist without holes, from 1.
type ListSeq uint64

// Entry is a blacklist entry.
type Entry struct {
	Mark  txn.Mark
	Since txn.Millis // when the freeze took effect
	Actor string     // at most 64 bytes
	Note  string     // at most 128 bytes
}

// ListChange sets the entry of a card (Entry.Mark frozen) or removes it (Entry.Mark
// zero). A terminal entry is never removed nor replaced by one that is not terminal.
type ListChange struct {
	Entry Entry
}

// Removes reports whether the change takes the card off the list.
func (c *ListChange) Removes() bool { return c.Entry.Mark == txn.Mark{} }

// Allowed reports whether a change from mark old keeps what is terminal. Stores ask
// it, or do the same in their script.
func (c *ListChange) Allowed(old txn.Mark) bool {
	return !old.Reason.Terminal() || c.Entry.Mark.Reason.Terminal()
}

// Change is one entry of a bucket's blacklist log.
type Change struct {
	Seq  ListSeq
	Card pan.Token
	Mark txn.Mark // zero: the card was taken off the list
}

// DueChange adds (or moves) a due entry, or removes it.
type DueChange struct {
	Key    []byte
	At     txn.Millis
	Remove bool
}

// Due is an entry of the due queue. Key is the engine's and unique in the bucket.
type Due struct {
	Bucket txn.Bucket
	Key    []byte
	At     txn.Millis
}

// OutboxEntry is one settled record in its place.
type OutboxEntry struct {
	Position txn.Position
	Date     txn.BusinessDate
	Record   []byte
}

// Cursor marks a place in a shard of the outbox; the zero Cursor is before the oldest
// entry kept. Only the store that made it can read it.
type Cursor struct{ Hi, Lo uint64 }

// BucketInfo is the state of one bucket's numbering.
type BucketInfo struct {
	Bucket    txn.Bucket
	Last      txn.Position // the last durable outbox entry
	Confirmed txn.Position // the last entry that the warehouse confirmed
	Date      txn.BusinessDate
	ListSeq   ListSeq
	Frozen    int // cards on the list
	Due       int // entries in the due queue
	Pending   int // outbox entries kept and not yet confirmed
}

// Cards loads and commits. Safe for concurrent use.
type Cards interface {
	// Load reads one card, appending its state to dst[:0]; an absent card is no error.
	Load(ctx context.Context, card pan.Token, dst []byte) (Loaded, error)
	// Commit applies each commit of the list on its own, in order for commits of one
	// bucket, and returns when all are answered: Status or Err of each is set. It
	// returns the first fault. It does not retry. Nil and empty lists are no error.
	Commit(ctx context.Context, commits []*Commit) error
}

// List is the blacklist as the store has it. Safe for concurrent use.
type List interface {
	// Snapshot calls yield for every listed card of the bucket and returns the list
	// sequence that the snapshot is at least as new as: applying the changes after it
	// again gives the current list. Memory is bounded; yield must not keep calls.
	Snapshot(ctx context.Context, b txn.Bucket, yield func(pan.Token, txn.Mark)) (ListSeq, error)
	// Changes returns up to max changes of the bucket after seq in order, none when
	// there are none, ErrGap when they are no longer kept.
	Changes(ctx context.Context, b txn.Bucket, after ListSeq, max int) ([]Change, error)
	// Entry returns a card's entry; ok is false when it is not listed.
	Entry(ctx context.Context, card pan.Token) (e Entry, ok bool, err error)
	// Tails returns the current list sequence of every bucket in one cheap call: the
	// replica's heartbeat.
	Tails(ctx context.Context) ([txn.BucketCount]ListSeq, error)
}

// Outbox hands the settled records on. Safe for concurrent use.
type Outbox interface {
	// Shards returns how many independent sequences the outbox is read in: one for the
	// local journal, one a bucket for Redis.
	Shards() int
	// Read returns up to max durable entries of the shard after cursor, in sequence
	// within each bucket, and the cursor after them. With nothing to return it waits a
	// bounded time (at most OutboxWait or until ctx ends) and returns none. A cursor of
	// entries already trimmed continues at the oldest kept.
	Read(ctx context.Context, shard int, after Cursor, max int) ([]OutboxEntry, Cursor, error)
	// Confirm says that the warehouse holds everything up to and including each
	// position; the store may trim up to there, never further. A position beyond the
	// last entry is refused; an older one than confirmed before is no error.
	Confirm(ctx context.Context, upTo []txn.Position) error
}

// Page is a part of a list: up to Max entries after the first Skip. Entries may come and go
// between two pages, so that pages neither overlap nor join exactly.
type Page struct{ Skip, Max int }

// Clock is the due queue, the business date and the numbering. Safe for concurrent use.
type Clock interface {
	// DueBefore returns a page of the due entries of the bucket at or before now, oldest
	// first. They stay until a commit removes them.
	DueBefore(ctx context.Context, b txn.Bucket, now txn.Millis, p Page) ([]Due, error)
	// CutOver sets the bucket's business date to date and appends a day marker
	// (Reserve) that closes the one before, in one durable step. A date that is not
	// later than the bucket's is no error and changes nothing. The marker itself bears
	// the date it closes.
	CutOver(ctx context.Context, b txn.Bucket, date txn.BusinessDate, at txn.Millis) error
	// Buckets returns the numbering of every bucket.
	Buckets(ctx context.Context) ([]BucketInfo, error)
	// OpenEpoch opens the next epoch of every bucket, writing its marker, and makes
	// this handle its writer; all other open handles are fenced from then on.
	OpenEpoch(ctx context.Context, at txn.Millis) error
}

// Successor is a Clock that can go on where a ledger holds more than it does: it was restored
// from an older copy. Every store of this module is one.
type Successor interface {
	// OpenEpochAfter is OpenEpoch for such a copy. In a bucket where held is later than what the
	// store has, the marker names held as what came before it and the epoch is beyond both, so
	// that no number that was given out since the copy comes again, and the ledger sees no hole.
	// Nothing else of the undone time comes back. No record may have been written to the copy
	// since it was restored.
	OpenEpochAfter(ctx context.Context, at txn.Millis, held []txn.Position) error
}

// Furthest returns the later of bucket b's last position and what held names for it.
func Furthest(b txn.Bucket, last txn.Position, held []txn.Position) txn.Position {
	for _, p := range held {
		if p.Bucket == b && last.Before(p) {
			last = p
		}
	}
	return last
}

// Registry keeps small things that are neither cards nor records: terminals, operators,
// pending releases, cursors. Durable on return. Safe for concurrent use.
type Registry interface {
	// Get returns the value and its version; nil and 0 when there is none.
	Get(ctx context.Context, key string) (value []byte, version uint64, err error)
	// Put writes value when the key's version is still version (0: absent) and returns
	// nil, else ErrConflict. The new version is version+1; an empty value removes the
	// key.
	Put(ctx context.Context, key string, value []byte, version uint64) error
	// Keys returns all keys with the prefix in order.
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// Store is all of it; implementations also pass storetest.Run.
type Store interface {
	Cards
	List
	Outbox
	Clock
	Registry
	// Close waits for what is under way and frees everything. Later calls return
	// ErrClosed.
	Close() error
}

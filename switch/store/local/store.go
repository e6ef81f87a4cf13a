package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var _ store.Store = (*Store)(nil)

// listing is what the store needs of the set of frozen cards.
type listing interface {
	Put(pan.Token, txn.Mark)
	Get(pan.Token) txn.Mark
}

// Store is the local store. Open makes one, Close ends it.
type Store struct {
	opts    Options
	lock    *os.File
	db      *pebble.DB
	pebble  *pebble.Options
	journal *journal
	listed  *blacklist.Set
	buckets [txn.BucketCount]bucket

	fault atomic.Pointer[fault] // set once, when the store can no longer be trusted
	dead  chan struct{}         // closed after fault was set
	shut  atomic.Bool           // Close has begun

	writer atomic.Bool // OpenEpoch was called: commits may come

	life    sync.RWMutex  // held for reading during a call, for writing by Close
	ended   bool          // guarded by life
	ending  chan struct{} // closed when Close begins
	endOnce sync.Once

	checkpoints checkpointer
	reader      outboxReader
	registryMu  sync.Mutex // one Put at a time: read, compare, write
}

// fault is why a store is dead.
type fault struct{ err error }

// Open opens the store in o.Dir, makes it when there is none, and recovers what the
// last process left. It refuses a directory that another process has open, one with
// another bucket count or format, and one whose files cannot be what was written
// (store.ErrDamaged). Commits are possible after OpenEpoch.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("local store: cannot make directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: o, lock: lock, listed: blacklist.NewSet(),
		ending: make(chan struct{}), dead: make(chan struct{})}
	s.checkpoints.init(s)
	for i := range s.buckets {
		s.buckets[i] = newBucket(&o)
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	is, err := openIdentity(s.opts.disk, s.opts.Dir)
	if err != nil {
		return err
	}
	if err := s.openPebble(filepath.Join(s.opts.Dir, "cards")); err != nil {
		return err
	}
	covered, err := s.loadCheckpoint(ctx)
	if err != nil {
		return err
	}
	if err := s.firstDates(); err != nil {
		return err
	}
	if err := s.recoverJournal(ctx, is.id, covered); err != nil {
		return err
	}
	go s.checkpoints.run()
	return nil
}

// firstDates gives the buckets of a new store their business date.
func (s *Store) firstDates() error {
	for i := range s.buckets {
		b := &s.buckets[i]
		if b.date != 0 {
			continue
		}
		if !s.opts.Date.Valid() {
			return fmt.Errorf("local store: a new store needs a business date, got %d", s.opts.Date)
		}
		b.date = s.opts.Date
	}
	return nil
}

// Listed returns the set of frozen cards that Commit checks, exact at every moment. A
// switch on the same machine uses it as its replica; it must not change it. It may
// show a change an instant before that is durable.
func (s *Store) Listed() *blacklist.Set { return s.listed }

// enter begins a call: the store stays open until leave.
func (s *Store) enter() error {
	s.life.RLock()
	if s.ended {
		s.life.RUnlock()
		return store.ErrClosed
	}
	if f := s.fault.Load(); f != nil {
		s.life.RUnlock()
		return f.err
	}
	return nil
}

func (s *Store) leave() { s.life.RUnlock() }

// fail declares the store dead and tells the owner.
func (s *Store) fail(err error) { s.condemn(err)() }

// condemn declares the store dead; what it returns tells the owner, of the first cause
// only.
func (s *Store) condemn(err error) (tell func()) {
	if !errors.Is(err, store.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if !s.fault.CompareAndSwap(nil, &fault{err}) {
		return func() {}
	}
	close(s.dead)
	s.journal.refuse(err)
	return func() {
		s.opts.Logger.Error("local store: stopped for good, restart the process", "error", err)
		s.opts.OnFatal(err)
	}
}

// Close waits for calls under way, makes a last checkpoint and frees everything. A
// dead store is closed without the checkpoint: the next start reads the journal.
func (s *Store) Close() error {
	s.endOnce.Do(func() {
		s.shut.Store(true)
		close(s.ending)
	})
	s.life.Lock()
	defer s.life.Unlock()
	if s.ended {
		return store.ErrClosed
	}
	s.ended = true
	var errs []error
	s.checkpoints.stop()
	if s.fault.Load() == nil {
		errs = append(errs, s.checkpoint())
	}
	errs = append(errs, s.journal.stop(), s.release())
	return errors.Join(errs...)
}

// release closes what Open opened first; once.
func (s *Store) release() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
		s.db = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

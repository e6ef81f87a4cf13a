package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Store is an open database. Make one with Open. It is safe for concurrent use.
type Store struct {
	opt      Options
	keys     *keySpace
	scripts  scripts
	terminal string // reason bytes that no change may undo
	router   *router
	clocks   [placeCount]*serverTime

	id    string // begins every nonce
	calls atomic.Uint64
	items atomic.Uint64

	epochs [txn.BucketCount]atomic.Uint64 // that this handle writes in
	nudges [txn.BucketCount]nudge
	crews  []*crew
	owner  [txn.BucketCount]*worker // of commits that keep an order

	stop       chan struct{}  // ends background and waiting readers
	background sync.WaitGroup // workers and the refresher

	mu      sync.RWMutex // guards closed against calls that begin
	closed  bool
	calling sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// Open connects, refuses a server whose settings can lose commits (CheckSettings), and joins
// the current epoch of every bucket; in a new database it opens epoch 1. It does not fence
// others: call OpenEpoch for that. It returns ErrUnavailable when a bucket cannot be
// reached and ErrDamaged when one cannot be what this package wrote. ctx limits opening
// only. go-redis, which has one logger in a process, logs to the last store's from then on.
func Open(ctx context.Context, opt Options) (*Store, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opt: opt, keys: newKeySpace(opt.Prefix), scripts: newScripts(),
		terminal: terminalReasons(), id: newStoreID(), stop: make(chan struct{}),
	}
	redis.SetLogger(clientLog{opt.Logger})
	s.router = newRouter(&s.opt)
	s.setClocks()
	if err := s.join(ctx); err != nil {
		return nil, errors.Join(err, s.router.close())
	}
	s.startWorkers()
	if opt.Cluster {
		s.background.Go(func() { s.router.follow(s.stop) })
	}
	return s, nil
}

// setClocks gives every place the clock of its server: one in all without a cluster.
func (s *Store) setClocks() {
	s.clocks[0] = newServerTime()
	for p := 1; p < placeCount; p++ {
		s.clocks[p] = s.clocks[0]
		if s.opt.Cluster {
			s.clocks[p] = newServerTime()
		}
	}
}

func (s *Store) join(ctx context.Context) error {
	if err := s.router.find(ctx); err != nil {
		return fmt.Errorf("redisstore: open: %w", err)
	}
	if !s.opt.SkipServerCheck {
		findings, err := checkNodes(ctx, s.router.masters(), &s.opt)
		if err != nil {
			return err
		}
		if err := refuse(findings); err != nil {
			return err
		}
	}
	if err := s.readClocks(ctx); err != nil {
		return err
	}
	return s.joinBuckets(ctx)
}

// readClocks asks every server for its time, so that all later calls carry deadlines.
func (s *Store) readClocks(ctx context.Context) error {
	reqs := make([]*request, placeCount)
	for p := range reqs {
		reqs[p] = s.ask(place(p), s.scripts.stamp, []string{s.keys.key(place(p))})
	}
	return s.query(ctx, reqs...)
}

func (s *Store) joinBuckets(ctx context.Context) error {
	at := txn.MillisOf(s.opt.Now())
	date := strconv.FormatUint(uint64(s.opt.Date), 10)
	reqs := make([]*request, txn.BucketCount)
	for b := range reqs {
		k := &s.keys.bucket[b]
		marker := store.EpochRecord(txn.Position{Bucket: txn.Bucket(b)}, at)
		reqs[b] = s.ask(place(b), s.scripts.open,
			[]string{k.meta, k.out, k.frozen, k.freezes, k.due}, date, marker)
	}
	if err := s.query(ctx, reqs...); err != nil {
		return err
	}
	for b, r := range reqs {
		if err := r.refusal(); err != nil {
			return err
		}
		epoch, err := strconv.ParseUint(r.text(1), 10, 53)
		if err != nil || epoch == 0 {
			return fmt.Errorf("redisstore: %s: %w: epoch %q", r.place, store.ErrDamaged, r.text(1))
		}
		s.epochs[b].Store(epoch)
	}
	return nil
}

// errChanged reports that what a script compared had changed since it was read.
var errChanged = errors.New("changed meanwhile")

// refusal turns the status of a script's reply into an error, nil for "ok".
func (r *request) refusal() error {
	switch status := r.status(); status {
	case "ok":
		return nil
	case "changed":
		return fmt.Errorf("redisstore: %s: %w", r.place, errChanged)
	case "damaged":
		return fmt.Errorf("redisstore: %s: %w: %s", r.place, store.ErrDamaged, r.text(1))
	default:
		return fmt.Errorf("redisstore: %s: %w: script answered %q", r.place, store.ErrDamaged,
			status)
	}
}

// begin counts a call in, or refuses it on a closed store; end counts it out.
func (s *Store) begin() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calling.Add(1)
	return nil
}

func (s *Store) end() { s.calling.Done() }

// Close waits for the calls under way, which all end within their time limits, then frees
// connections and goroutines. Closing again is no error.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.calling.Wait()
	for _, c := range s.crews {
		c.end()
	}
	s.background.Wait()
	return s.router.close()
}

package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The keys in Pebble: one letter, then as follows. A token begins with the bits of
// its bucket, so the cards of a bucket stand together.
//
//	s token           version u64, state
//	l token           blacklist entry
//	d bucket key      due instant u64
//	c bucket seq      list change: token, mark u32; seq u64 big-endian
//	m bucket          meta of the bucket
//	j                 number of the journal batch that is covered
//	r key             registry: version u64, value
const (
	keyState    = 's'
	keyListed   = 'l'
	keyDue      = 'd'
	keyChange   = 'c'
	keyBucket   = 'm'
	keyCovered  = 'j'
	keyRegistry = 'r'
)

const (
	pebbleCache    = 32 << 20
	pebbleMemTable = 16 << 20
)

// openPebble opens the checkpoint database.
func (s *Store) openPebble(dir string) error {
	if err := checkRoom(s.opts.Dir); err != nil {
		return err
	}
	cache := pebble.NewCache(pebbleCache)
	defer cache.Unref()
	o := &pebble.Options{
		Cache: cache, MemTableSize: pebbleMemTable, FormatMajorVersion: pebble.FormatNewest,
		Logger: pebbleLog{s.opts.Logger, new(atomic.Int64)},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.EnsureDefaults()
	db, err := pebble.Open(dir, o)
	if err != nil {
		if pebble.IsCorruptionError(err) {
			err = fmt.Errorf("%w: %w", store.ErrDamaged, err)
		}
		return fmt.Errorf("local store: cannot open the checkpoint in %s: %w", dir, err)
	}
	s.db, s.pebble = db, o
	return nil
}

// pebbleLog passes Pebble's words on, errors at most once in errorEvery: on a full disk
// Pebble tries again and says so a thousand times a second.
type pebbleLog struct {
	log  *slog.Logger
	last *atomic.Int64 // when an error was passed on, in Unix nanoseconds
}

const errorEvery = time.Second

// Infof drops Pebble's notes on flushes and compactions to the debug level.
func (l pebbleLog) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}

// Errorf passes an error on.
func (l pebbleLog) Errorf(format string, args ...any) {
	now, last := time.Now().UnixNano(), l.last.Load()
	if now-last < int64(errorEvery) || !l.last.CompareAndSwap(last, now) {
		return
	}
	l.log.Warn("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is called when Pebble cannot go on, mostly because its log cannot be written.
// It must not return.
func (l pebbleLog) Fatalf(format string, args ...any) {
	panic(pebbleFault(fmt.Sprintf(format, args...)))
}

// pebbleFault is what Fatalf panics with; write turns it back into an error.
type pebbleFault string

// write applies a batch. When Pebble dies of it, that is an error here.
func (s *Store) write(batch *pebble.Batch, o *pebble.WriteOptions) (err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case pebbleFault:
			err = fmt.Errorf("cannot write the checkpoint: %s", string(cause))
		default:
			panic(cause)
		}
	}()
	return s.db.Apply(batch, o)
}

// get calls use with the value of a key; it reports whether there is one. What use
// gets is valid only until it returns.
func (s *Store) get(key []byte, use func(value []byte) error) (bool, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, damagedIf(err)
	}
	return true, errors.Join(use(value), closer.Close())
}

// scan calls use for every key from lower (inclusive) to upper (exclusive), in order.
func (s *Store) scan(from pebble.Reader, lower, upper []byte,
	use func(k, v []byte) error) (err error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return damagedIf(err)
	}
	defer func() { err = errors.Join(err, closeWith(it)) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := use(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return damagedIf(it.Error())
}

func closeWith(c io.Closer) error { return damagedIf(c.Close()) }

// damagedIf tells corruption from other errors of Pebble.
func damagedIf(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: checkpoint: %w", store.ErrDamaged, err)
	}
	return err
}

func tokenKey(dst []byte, kind byte, t *pan.Token) []byte {
	return append(append(dst, kind), t[:]...)
}

// tokenRange returns the range of keys of one kind that belong to a bucket.
func tokenRange(kind byte, b txn.Bucket) (lower, upper []byte) {
	if b == txn.BucketCount-1 {
		return []byte{kind, byte(b) << 2}, []byte{kind + 1}
	}
	return []byte{kind, byte(b) << 2}, []byte{kind, byte(b+1) << 2}
}

// bucketRange returns the range of keys of one kind that begin with the bucket.
func bucketRange(kind byte, b txn.Bucket) (lower, upper []byte) {
	return []byte{kind, byte(b)}, []byte{kind, byte(b) + 1}
}

func changeKey(b txn.Bucket, seq store.ListSeq) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyChange, byte(b)}, uint64(seq))
}

// fetch reads a card that is not in memory; version 0 means that there is none.
func (s *Store) fetch(token *pan.Token, dst []byte) (state []byte, version uint64, err error) {
	var key [1 + pan.TokenSize]byte
	_, err = s.get(tokenKey(key[:0], keyState, token), func(value []byte) error {
		if len(value) <= 8 || len(value) > 8+store.StateMax {
			return fmt.Errorf("%w: checkpoint: card state of %d bytes", store.ErrDamaged,
				len(value))
		}
		version = binary.LittleEndian.Uint64(value)
		state = append(dst[:0], value[8:]...)
		return nil
	})
	s.opts.Failpoint(FailColdRead)
	return state, version, err
}

// bucketMeta is what a checkpoint says of a bucket.
type bucketMeta struct {
	outbox  numbering
	date    txn.BusinessDate
	listSeq store.ListSeq
	frozen  int
}

// metaHead is the size of an encoded bucketMeta without spans, spanSize of each span.
const (
	metaHead = 1 + 8*6 + 4 + 8 + 4 + 4
	spanSize = 16
)

func (m *bucketMeta) append(dst []byte) []byte {
	le, n := binary.LittleEndian, &m.outbox
	dst = append(dst, formatVersion)
	for _, v := range [...]uint64{uint64(n.last.Epoch), uint64(n.last.Seq),
		uint64(n.confirmed.Epoch), uint64(n.confirmed.Seq), n.appended, n.settled} {
		dst = le.AppendUint64(dst, v)
	}
	dst = le.AppendUint32(dst, uint32(m.date))
	dst = le.AppendUint64(dst, uint64(m.listSeq))
	dst = le.AppendUint32(dst, uint32(m.frozen))
	dst = le.AppendUint32(dst, uint32(len(n.spans)))
	for _, sp := range n.spans {
		dst = le.AppendUint64(le.AppendUint64(dst, uint64(sp.epoch)), sp.before)
	}
	return dst
}

func decodeMeta(b txn.Bucket, v []byte) (bucketMeta, error) {
	le := binary.LittleEndian
	if len(v) < metaHead || v[0] != formatVersion ||
		len(v) != metaHead+spanSize*int(le.Uint32(v[metaHead-4:])) {
		return bucketMeta{}, fmt.Errorf("%w: checkpoint: meta of %v has %d bytes",
			store.ErrDamaged, b, len(v))
	}
	u := func(i int) uint64 { return le.Uint64(v[1+8*i:]) }
	m := bucketMeta{outbox: numbering{
		last:      txn.Position{Bucket: b, Epoch: txn.Epoch(u(0)), Seq: txn.Seq(u(1))},
		confirmed: txn.Position{Bucket: b, Epoch: txn.Epoch(u(2)), Seq: txn.Seq(u(3))},
		appended:  u(4), settled: u(5),
	}}
	m.date = txn.BusinessDate(le.Uint32(v[49:]))
	m.listSeq = store.ListSeq(le.Uint64(v[53:]))
	m.frozen = int(le.Uint32(v[61:]))
	for v = v[metaHead:]; len(v) > 0; v = v[spanSize:] {
		m.outbox.spans = append(m.outbox.spans, span{txn.Epoch(le.Uint64(v)), le.Uint64(v[8:])})
	}
	if m.outbox.settled > m.outbox.appended || !m.date.Valid() {
		return bucketMeta{}, fmt.Errorf("%w: checkpoint: meta of %v contradicts itself",
			store.ErrDamaged, b)
	}
	return m, nil
}

// loadCheckpoint reads everything of the checkpoint but the cards, which are read when
// they are needed, and returns the number of the journal batch that it covers.
func (s *Store) loadCheckpoint(ctx context.Context) (covered uint64, err error) {
	_, err = s.get([]byte{keyCovered}, func(v []byte) error {
		if len(v) != 8 {
			return fmt.Errorf("%w: checkpoint: journal number of %d bytes", store.ErrDamaged,
				len(v))
		}
		covered = binary.LittleEndian.Uint64(v)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return covered, s.eachBucket(ctx, s.loadBucket)
}

// loadWorkers is how many buckets are loaded at once.
const loadWorkers = 4

// eachBucket calls f for every bucket, a few at once, and returns the errors.
func (s *Store) eachBucket(ctx context.Context, f func(txn.Bucket) error) error {
	var next atomic.Int32
	errs := make([]error, loadWorkers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil && ctx.Err() == nil {
				b := next.Add(1) - 1
				if b >= txn.BucketCount {
					return
				}
				errs[i] = f(txn.Bucket(b))
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

package list

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Source is the list that is published; a store.List is one. Each method is as described
// there.
type Source interface {
	// Snapshot yields every listed card of the bucket.
	Snapshot(ctx context.Context, b txn.Bucket, yield func(pan.Token, txn.Mark)) (store.ListSeq, error)
	// Changes returns what followed after; store.ErrGap asks for a snapshot.
	Changes(ctx context.Context, b txn.Bucket, after store.ListSeq, max int) ([]store.Change, error)
	// Tails returns the list sequence of every bucket.
	Tails(ctx context.Context) ([txn.BucketCount]store.ListSeq, error)
}

// Limits of a publisher.
const (
	// ScopesMax is the most scopes, each of which is a list of its own.
	ScopesMax = 8
	// IntervalMin and IntervalMax bound Options.Interval. An epoch may be counted from the
	// clock in tenths of a second, so that none may be made more often.
	IntervalMin = 100 * time.Millisecond
	IntervalMax = time.Minute
	// changesMax is how many changes are asked for at once; pendingMax how many may wait to
	// be published, beyond which no more are asked for.
	changesMax = 1000
	pendingMax = 200_000
	// DeltaMax is the most changes that one delta is made from; a full file is shorter work.
	DeltaMax = 1 << 18
	// HistoryEpochsMax, HistoryChangesMax and HistoryAgeMax are the defaults of what deltas are
	// made from: a day of an epoch a second, 48 MB in memory and on disk, and a long weekend, after
	// which a gate that was away takes a full file.
	HistoryEpochsMax  = 100_000
	HistoryChangesMax = 2_000_000
	HistoryAgeMax     = 96 * time.Hour
	// deltaBytesMax bounds the deltas that are kept for the current epoch; more are made
	// again for each request.
	deltaBytesMax = 64 << 20
)

var (
	// ErrNotReady reports that no epoch has been published yet.
	ErrNotReady = errors.New("list: no epoch published yet")
	// ErrTooOld reports an epoch whose delta is no longer kept: take a full file.
	ErrTooOld = errors.New("list: deltas from this epoch are no longer kept")
	// ErrUnknownEpoch reports an epoch that this publisher never made: take a full file.
	ErrUnknownEpoch = errors.New("list: epoch is not known")
	// ErrScope reports a scope for which no list is published.
	ErrScope = errors.New("list: no list of this scope")
	// ErrFormat reports a format that is not offered.
	ErrFormat = errors.New("list: format is not offered")
)

// Options set up a Publisher. Source and Registry are needed.
type Options struct {
	Source   Source
	Registry store.Registry // keeps the last epoch, under RegistryKey
	// Scheme and KeyID are written to every file: the scheme's name and the id of the key
	// that makes tokens, at most NameMax characters each.
	Scheme, KeyID string
	// Scopes are the applications that have a list each; nil for transit alone.
	Scopes []txn.App
	// Signer signs every file; nil leaves them unsigned, which is for tests and trials.
	Signer Signer
	// Resolver returns a token's card number, for the format Numbers; nil refuses it. The
	// switch itself keeps no numbers.
	Resolver func(pan.Token) (pan.Number, bool)
	// Dir is a directory of the publisher's own for full files, which it empties at start
	// and which may be lost; "" keeps them in memory.
	Dir string
	// Interval is the least time between two epochs; 0 for 1 s. Poll is how often the source
	// is asked; 0 for 200 ms. A freeze is in a published delta after both and the time of one
	// call to the source and one to the registry.
	Interval, Poll time.Duration
	// FullEvery is how old a full file may get before it is made anew; 0 for 10 minutes.
	FullEvery time.Duration
	// HistoryEpochs and HistoryChanges bound what deltas are made from; 0 for HistoryEpochsMax
	// and HistoryChangesMax.
	HistoryEpochs, HistoryChanges int
	// HistoryAge is the age at which an epoch is dropped from them; 0 for HistoryAgeMax.
	HistoryAge time.Duration
	// HistoryDir is a directory of the publisher's own where the history outlives the process, so
	// that a gate gets a delta from an epoch of the process before; "" forgets it, and each gate
	// takes a full file after a restart. It may be lost. It holds tokens, as the store does.
	HistoryDir string
	// CallMax bounds a call to source or registry, SnapshotMax one of a bucket's snapshot; 0
	// for 1 s and 30 s.
	CallMax, SnapshotMax time.Duration
	// Now is the clock; nil for the system's.
	Now func() time.Time
	// Report, when not nil, is told each fault of Run.
	Report func(error)
	// Published, when not nil, is called with every epoch before a gate can see it.
	Published func(Publication)
}

// Publication tells of a new epoch.
type Publication struct {
	Epoch   Epoch
	At      txn.Millis
	Freezes int // cards that a list of any scope gained
}

// Publisher follows the list and publishes its states as epochs, as full files and deltas.
// Methods are safe for concurrent use; Run may be called once.
//
// Two publishers may work on one registry, as in a failover: every epoch is taken from the
// registry by compare-and-set after the list was read, so that a greater epoch is never an
// older list, whoever made it.
type Publisher struct {
	o     Options
	wake  chan struct{}
	view  atomic.Pointer[view]
	fulls fulls

	// claimed is the greatest epoch that a gate showed and that was never made here.
	claimed   atomic.Uint64
	confirmed atomic.Int64 // when the source last said that all is published, or will be

	step     sync.Mutex // one follows and publishes at a time; it guards what follows
	follow   [txn.BucketCount]follower
	version  uint64 // of the registry's value, as read or written last
	last     Epoch  // the greatest epoch known to be used
	started  bool
	lastAt   time.Time
	recovery record // what the process before published last
	doubt    bool   // a new epoch is needed though nothing changed
	past     past   // keeps the history for the next process

	mu      sync.RWMutex // guards the content at the current epoch
	master  master
	history history
	index   index
	began   Epoch // the first epoch of this process
}

// follower is where one bucket stands.
type follower struct {
	loaded  bool
	applied store.ListSeq // published or pending up to here
	pending []store.Change
	fresh   []entry // a snapshot that waits to be published in place of all before it
	resync  bool    // fresh is set
}

// view is what requests see of the current epoch.
type view struct {
	epoch   Epoch
	at      txn.Millis
	changed chan struct{} // closed when a later view is there

	mu       sync.Mutex // guards what was made so far
	deltas   map[deltaKey]*deltaFile
	bytes    int
	currents map[txn.App]*currentFile
}

type deltaKey struct {
	scope txn.App
	width int
	from  Epoch
}

// deltaFile is a delta to the view's epoch, made once.
type deltaFile struct {
	once sync.Once
	data []byte
	tag  string // strong, with its quotes
	err  error
}

// NewPublisher checks the options and prepares the directory. Nothing is published before
// Run or Step.
func NewPublisher(o Options) (*Publisher, error) {
	o.defaults()
	switch {
	case o.Source == nil || o.Registry == nil:
		return nil, errors.New("list: a publisher needs a source and a registry")
	case !validName(o.Scheme) || !validName(o.KeyID):
		return nil, fmt.Errorf("list: scheme %q and key id %q must be printable, at most %d characters",
			o.Scheme, o.KeyID, NameMax)
	case len(o.Scopes) > ScopesMax || slices.Contains(o.Scopes, 0):
		return nil, fmt.Errorf("list: %d scopes, at most %d and none empty", len(o.Scopes), ScopesMax)
	case o.Interval < IntervalMin || o.Interval > IntervalMax:
		return nil, fmt.Errorf("list: interval %v, want %v to %v", o.Interval, IntervalMin, IntervalMax)
	}
	p := &Publisher{o: o, wake: make(chan struct{}, 1),
		history: history{epochsMax: o.HistoryEpochs, opsMax: o.HistoryChanges, ageMax: o.HistoryAge}}
	if err := p.past.init(&o); err != nil {
		return nil, err
	}
	p.fulls.init(o.Dir)
	last, err := p.fulls.sweep()
	if err != nil {
		return nil, err
	}
	p.last = last
	return p, nil
}

func (o *Options) defaults() {
	o.Interval = cmp.Or(o.Interval, time.Second)
	o.Poll = cmp.Or(o.Poll, 200*time.Millisecond)
	o.FullEvery = cmp.Or(o.FullEvery, 10*time.Minute)
	o.CallMax = cmp.Or(o.CallMax, time.Second)
	o.SnapshotMax = cmp.Or(o.SnapshotMax, 30*time.Second)
	o.HistoryEpochs = cmp.Or(o.HistoryEpochs, HistoryEpochsMax)
	o.HistoryChanges = cmp.Or(o.HistoryChanges, HistoryChangesMax)
	o.HistoryAge = cmp.Or(o.HistoryAge, HistoryAgeMax)
	if len(o.Scopes) == 0 {
		o.Scopes = []txn.App{txn.AppTransit}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	if o.Published == nil {
		o.Published = func(Publication) {}
	}
}

// Run follows and publishes until ctx ends. A fault is reported and tried again at the next
// poll.
func (p *Publisher) Run(ctx context.Context) {
	tick := time.NewTicker(p.o.Poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := p.Step(ctx); err != nil && ctx.Err() == nil {
			p.o.Report(err)
		}
		select {
		case <-tick.C:
		case <-p.wake:
		case <-ctx.Done():
		}
	}
}

// Wake makes Run look at once: a card was frozen here. It never blocks.
func (p *Publisher) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Current returns the current epoch and when it was made; 0 before the first.
func (p *Publisher) Current() (Epoch, txn.Millis) {
	v := p.view.Load()
	if v == nil {
		return 0, 0
	}
	return v.epoch, v.at
}

// Confirmed returns when the source last said that nothing more was to be had; what it had
// then is published one interval later. 0 before the first time.
func (p *Publisher) Confirmed() txn.Millis { return txn.Millis(p.confirmed.Load()) }

// Wait returns when an epoch after the given one is published, or ctx ends.
func (p *Publisher) Wait(ctx context.Context, after Epoch) {
	for {
		v := p.view.Load()
		if v == nil || v.epoch > after {
			return
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return
		}
	}
}

// EpochOf returns the first epoch that holds change seq of bucket b; false while it is not
// published. A gate that holds the epoch or a later one knows of the freeze.
func (p *Publisher) EpochOf(b txn.Bucket, seq store.ListSeq) (First, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.index.find(b, seq)
}

// claimSlack is how far beyond the clock an epoch that a gate shows is believed: a day.
const claimSlack = 10 * 86_400

// Claimed tells of an epoch that a gate showed. One beyond the current says that another
// publisher is ahead, or that the registry was lost; a new epoch beyond it is then made, so
// that no epoch comes to stand for two lists. What cannot be an epoch is ignored.
func (p *Publisher) Claimed(e Epoch) {
	current, _ := p.Current()
	if current == 0 || e <= current || e > p.clockEpoch()+claimSlack {
		return
	}
	for {
		old := p.claimed.Load()
		if uint64(e) <= old {
			return
		}
		if p.claimed.CompareAndSwap(old, uint64(e)) {
			p.Wake()
			return
		}
	}
}

// clockStart is 2020-01-01 UTC in milliseconds.
const clockStart = 1_577_836_800_000

// clockEpoch is the epoch that the clock would give: no publisher whose clock was right can
// have come beyond it.
func (p *Publisher) clockEpoch() Epoch {
	return Epoch(max(0, p.o.Now().UnixMilli()-clockStart) / 100)
}

// Stats are figures for metrics.
type Stats struct {
	Epoch     Epoch
	At        txn.Millis
	Confirmed txn.Millis
	Cards     int   // frozen for anything
	Epochs    int   // from which a delta can be made
	Oldest    Epoch // of them
	Changes   int   // kept for deltas
	Builds    int64 // full files made
}

// Stats returns the figures as they are now.
func (p *Publisher) Stats() Stats {
	s := Stats{Confirmed: p.Confirmed(), Builds: p.fulls.builds.Load()}
	s.Epoch, s.At = p.Current()
	p.mu.RLock()
	defer p.mu.RUnlock()
	s.Cards, s.Epochs = p.master.len(), len(p.history.states)
	if s.Epochs > 0 {
		s.Oldest, s.Changes = p.history.states[0].epoch, p.history.since(0)
	}
	return s
}

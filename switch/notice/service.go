package notice

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Defaults and bounds of Options.
const (
	perPartyDefault   = 4
	PerPartyMax       = 64
	timeoutDefault    = 10 * time.Second
	timeoutMax        = time.Minute
	sweepEveryDefault = time.Minute
	stopGrace         = 2 * time.Second // for tries under way when the service closes
)

var (
	// ErrClosed reports a call on a service that is closed or was never started.
	ErrClosed = errors.New("notice service closed")
	// ErrNoNotice reports an id that no notice has.
	ErrNoNotice = errors.New("no such notice")
	// ErrBusy reports that too much waits already; the call may be repeated.
	ErrBusy = errors.New("notice service busy")
)

// Message is a notice on its way to a topic or a link.
type Message struct {
	// Card orders the messages of one card: the key of a Kafka message.
	Card pan.Token
	Body []byte
	// ID is the same for every try: who got it before drops it.
	ID string
	// Signature is the value of SignatureHeader, empty when the party has no key.
	Signature string
}

// Publisher writes to Kafka.
type Publisher interface {
	// Publish returns nil when the broker has acknowledged. It keeps to ctx, and may be
	// called from many goroutines with one message more than once.
	Publish(ctx context.Context, topic string, m Message) error
}

// LinkNotifier tells a bank over its link.
type LinkNotifier interface {
	// NotifyLink returns nil when the bank has answered. It keeps to ctx, and may be called
	// from many goroutines with one message more than once.
	NotifyLink(ctx context.Context, link string, m Message) error
}

// Fact is what a settled record is to say about a document: the audit trail.
type Fact struct {
	At       txn.Millis
	Document *Document // not to be changed
	Token    pan.Token // where it is stored, and so whose bucket the record is in
	Version  uint64    // of the document after it
	Created  bool
	// Late and Lifted name the parties that became late, and those found not to be.
	Late, Lifted []string
	Completed    bool
}

// Options of New. Cards, Registry and Key are needed.
type Options struct {
	Cards    store.Cards
	Registry store.Registry
	// Key wraps the secrets of parties and derives the tokens of documents: at least
	// KeyMin bytes, the same for ever and for every process.
	Key []byte
	// Now is the clock, the system's by default.
	Now func() txn.Millis
	// Logger is told of faults and of parties that are given up. Default: slog.Default.
	Logger *slog.Logger
	// PerParty is how many tries to one party go on at once: 4 by default, at most
	// PerPartyMax.
	PerParty int
	// Timeout bounds one try, 10 s by default, at most a minute.
	Timeout time.Duration
	// PlainHTTP allows webhooks without TLS: tests, and links that are secured otherwise.
	PlainHTTP bool
	// RootCAs verify webhooks; nil for the system's.
	RootCAs *x509.CertPool
	// Publisher and Links are needed for parties of those channels only; without them a
	// try fails and says so.
	Publisher Publisher
	Links     LinkNotifier
	// Record makes the settled record of a fact; nil for none. It is called in a commit
	// and must be quick and pure.
	Record func(*Fact) []byte
	// OnAlarm is told of every alarm once it is durable. It must not block.
	OnAlarm func(Alarm)
	// SweepEvery is how often the index of open notices is healed and counted.
	SweepEvery time.Duration
}

func (o *Options) fill() error {
	if o.Cards == nil || o.Registry == nil {
		return errors.New("notice: no store given")
	}
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Record == nil {
		o.Record = func(*Fact) []byte { return nil }
	}
	if o.OnAlarm == nil {
		o.OnAlarm = func(Alarm) {}
	}
	o.PerParty = orDefault(o.PerParty, perPartyDefault)
	o.Timeout = orDefault(o.Timeout, timeoutDefault)
	o.SweepEvery = orDefault(o.SweepEvery, sweepEveryDefault)
	if o.PerParty < 0 || o.PerParty > PerPartyMax || o.Timeout < 0 || o.Timeout > timeoutMax ||
		o.SweepEvery < 0 {
		return fmt.Errorf("notice: %d tries a party (at most %d), %s a try (at most %s), sweep %s",
			o.PerParty, PerPartyMax, o.Timeout, timeoutMax, o.SweepEvery)
	}
	return nil
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Service sends notices and keeps their clocks. Several processes may run one each on the
// same store: every change is a compare-and-set, and every try is claimed.
type Service struct {
	o       Options
	log     *slog.Logger
	vault   vault
	roster  *Roster
	channel *channels
	scribe  *scribe
	outlets *outlets
	dues    *dues
	figures figures

	proposals chan *proposal
	acks      chan struct{} // a token for every answer under way
	ctx       context.Context
	cancel    context.CancelFunc
	work      sync.WaitGroup // makers, due workers and the sweep
	state     struct {
		sync.Mutex
		started, closed bool
	}
}

// New returns a service that does nothing yet; Start lets it work, and Close must follow.
func New(o Options) (*Service, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	v, err := newVault(o.Key)
	if err != nil {
		return nil, err
	}
	o.Key = nil
	s := &Service{o: o, log: o.Logger, vault: v,
		roster: &Roster{registry: o.Registry, vault: v, plainHTTP: o.PlainHTTP, now: o.Now},
		acks:   make(chan struct{}, AcksMax), proposals: make(chan *proposal, NotifyWaitMax)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.channel = newChannels(&s.o)
	s.scribe = newScribe(s)
	s.outlets = &outlets{s: s, parties: map[string]*outlet{}}
	s.dues = &dues{s: s, known: map[pan.Token]bool{}, queue: make(chan pan.Token, DuesMax)}
	return s, nil
}

// Roster returns the parties.
func (s *Service) Roster() *Roster { return s.roster }

// Start reads the parties and begins to work. What is due after a restart comes with the
// first Due.
func (s *Service) Start(ctx context.Context) error {
	if _, err := s.roster.current(ctx); err != nil {
		return fmt.Errorf("notices cannot start: %w", err)
	}
	s.state.Lock()
	defer s.state.Unlock()
	if s.state.started || s.state.closed {
		return ErrClosed
	}
	s.state.started = true
	s.scribe.start()
	s.work.Go(s.make)
	for range dueWorkers {
		s.work.Go(s.dues.run)
	}
	s.work.Go(s.sweeps)
	return nil
}

// Close lets tries under way end for a short while, cuts them off, and waits for all that
// the service started. What was not done is still due.
func (s *Service) Close(ctx context.Context) error {
	s.state.Lock()
	started, closed := s.state.started, s.state.closed
	s.state.closed = true
	s.state.Unlock()
	if closed {
		return nil
	}
	idle := s.outlets.stop()
	if started {
		grace := time.NewTimer(stopGrace)
		defer grace.Stop()
		select {
		case <-idle:
		case <-grace.C:
		case <-ctx.Done():
		}
	}
	s.cancel()
	<-idle
	s.work.Wait()
	s.scribe.stop(ctx)
	s.channel.close()
	return nil
}

// usable returns ErrClosed unless the service runs.
func (s *Service) usable() error {
	s.state.Lock()
	defer s.state.Unlock()
	if !s.state.started || s.state.closed {
		return ErrClosed
	}
	return nil
}

// load reads a document and its version; nil and 0 when there is none.
func (s *Service) load(ctx context.Context, token pan.Token) (*Document, uint64, error) {
	is, err := s.o.Cards.Load(ctx, token, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read notice document %s: %w", token, err)
	}
	if is.Version == 0 {
		return nil, 0, nil
	}
	d, err := DecodeDocument(is.State)
	if err != nil {
		return nil, 0, fmt.Errorf("notice document %s: %w", token, err)
	}
	return d, is.Version, nil
}

// parts reads all documents of a notice, the head first, or ErrNoNotice.
func (s *Service) parts(ctx context.Context, id string) ([]*Document, error) {
	if !validID(id) {
		return nil, fmt.Errorf("%w: %q", ErrNoNotice, id)
	}
	head, _, err := s.load(ctx, s.vault.token(id, 0))
	if err != nil {
		return nil, err
	}
	if head == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoNotice, id)
	}
	all := []*Document{head}
	for part := uint8(1); part < head.Parts; part++ {
		d, _, err := s.load(ctx, s.vault.token(id, part))
		if err != nil {
			return nil, err
		}
		if d == nil {
			return nil, fmt.Errorf("%w: part %d of notice %s is missing", store.ErrDamaged, part, id)
		}
		all = append(all, d)
	}
	return all, nil
}

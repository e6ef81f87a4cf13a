// Package desk is the card agency's service: it decides commands on accounts by package
// account, commits each with its record and its due entry, and carries out what follows from
// it through the engine: marks on the blacklist, card states, transfers to successors, fees,
// notices, liability.
//
// A document is committed before anything that follows from it is done, so a call either
// failed and left nothing, or holds for ever: what was left undone by a crash is done out of
// the due queue. Effects are idempotent by request ids made of the document and the number
// of the effect. Nothing here is on the way of a tap.
//
// Accounts, their index and cases are documents in the store's cards, under derived tokens;
// the list of open cases is an index in the registry that may name too many and heals.
// Instants are Unix milliseconds, amounts minor units. Everything is safe for concurrent
// use; several processes may serve one store, since every change is a compare-and-set.
package desk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Engine decides requests about cards; *engine.Engine is one.
type Engine interface {
	// Authorize decides one request; durable on return.
	Authorize(ctx context.Context, r *txn.Request) engine.Answer
	// AuthorizeAll decides a list, with the answers in the same order.
	AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer
}

// Notices tells the parties; *notice.Service is one.
type Notices interface {
	// Notify makes a notice known; durable on return, and the same notice again changes nothing.
	Notify(ctx context.Context, n notice.Notice) error
	// Status tells a notice with the clock of every party.
	Status(ctx context.Context, id string) (*notice.Status, error)
}

// History reads the ledger. A desk without one judges no liability and tells no
// transactions.
type History interface {
	// Records calls yield for every settled record of the card from business date from on.
	Records(ctx context.Context, card pan.Token, from txn.BusinessDate, yield func(*txn.Record) error) error
}

// Scheme is what the desk needs of a city's policy.
type Scheme struct {
	City  string
	Rules account.Rules
	// Notice is the clock of a freeze's parties, Release that of a release's.
	Notice, Release notice.Policy
	Liability       liability.Rules
	// Parties are those that may bear a loss, by the name that notices know.
	Parties []Party
	// PartyOf tells which of them served a transaction; own is false for one that answers for
	// all whom nobody names.
	PartyOf func(*txn.Record) (name string, own bool)
}

// Party is a party of the scheme as far as losses go.
type Party struct {
	Name     string
	Kind     txn.Liability
	Contract string // the clause by which later losses are booked to it; "" for none
}

// Options of New. Cards, List, Registry, Engine, Tokenizer and Scheme are needed.
type Options struct {
	Cards     store.Cards
	List      store.List
	Registry  store.Registry
	Engine    Engine
	Tokenizer *pan.Tokenizer
	// Scheme is the policy as it is at an instant; it is asked once a local day.
	Scheme   func(at txn.Millis) (*Scheme, error)
	Currency txn.Currency // CNY by default
	// TrustMax is the most that a trust flag may widen post-paid riding by; 0: none is set.
	TrustMax txn.Minor
	// Notices tells the parties; without it a notice waits in the document.
	Notices Notices
	History History
	Now     func() txn.Millis
	Logger  *slog.Logger
}

// Service is the desk.
type Service struct {
	o     Options
	log   *slog.Logger
	locks [lockStripes]sync.Mutex // one worker of this process at a document
	work  sync.WaitGroup
	queue chan dueDocument
	ctx   context.Context
	stop  context.CancelFunc
	busy  sync.Map // documents and cards that wait in the queue
	// listSeqs holds the number of a freeze from when it is made until the loss notes it.
	listSeqs sync.Map // pan.Token of a carrier → store.ListSeq

	schemeMu sync.Mutex // guards the two below
	current  *Scheme
	day      txn.Millis
}

// ErrStore reports that the store did not answer: what was asked for may have been done, and
// asking again with the same id is safe.
var ErrStore = errors.New("the store does not answer")

// Bounds of the work that is due.
const (
	queueMax   = 4096
	dueWorkers = 2
	// carryMax bounds one go at the effects of a document.
	carryMax = 30 * time.Second
)

// New returns a service whose workers run until Close.
func New(o Options) (*Service, error) {
	if o.Cards == nil || o.List == nil || o.Registry == nil || o.Engine == nil || o.Tokenizer == nil ||
		o.Scheme == nil {
		return nil, errors.New("desk: cards, list, registry, engine, tokenizer and scheme are needed")
	}
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Currency == 0 {
		o.Currency = txn.CNY
	}
	s := &Service{o: o, log: o.Logger, queue: make(chan dueDocument, queueMax)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if s.scheme() == nil {
		s.stop()
		return nil, errors.New("desk: the scheme cannot be used; the log says why")
	}
	for range dueWorkers {
		s.work.Go(s.workDue)
	}
	return s, nil
}

// localDay is how long a scheme is used before it is asked for anew, from local midnight.
const (
	dayMS     txn.Millis = 24 * 3600 * 1000
	chinaTime txn.Millis = 8 * 3600 * 1000
)

// scheme returns the policy as it is today. One that cannot be made leaves yesterday's in
// force and says so in the log.
func (s *Service) scheme() *Scheme {
	now := s.o.Now()
	day := (now + chinaTime) / dayMS
	s.schemeMu.Lock()
	defer s.schemeMu.Unlock()
	if s.current != nil && s.day == day {
		return s.current
	}
	next, err := s.o.Scheme(now)
	if err == nil {
		next.Rules.TrustMax = s.o.TrustMax
		err = errors.Join(next.Rules.Check(), next.Liability.Check())
	}
	if err != nil {
		s.log.Error("the scheme of today cannot be used", "error", err)
		return s.current
	}
	s.current, s.day = next, day
	return next
}

// Close ends the workers; what they had not done is still due.
func (s *Service) Close() {
	s.stop()
	s.work.Wait()
}

// Answer is what a command did.
type Answer struct {
	Token   pan.Token // the account's document
	Outcome account.Outcome
	// Account is the document after what followed from the command, as far as it is done.
	Account *account.Account
	// Left is how many effects are still to be done, by the due queue.
	Left int
}

// Do decides a command on the account of a document, commits it, and does what follows from
// it. A refusal is an answer; an error wraps ErrStore when the outcome is not known. While a
// carrier is not closed that the document closes, by this command or by one before whose call
// failed, no answer is given as if it were: "reported already" must mean closed already.
func (s *Service) Do(ctx context.Context, token pan.Token, cmd account.Command) (Answer, error) {
	unlock := s.lock(token)
	defer unlock()
	out, err := s.commit(ctx, token, cmd)
	a := Answer{Token: token, Outcome: out, Account: out.Next}
	if err != nil || out.Refusal != account.RefusalNone && !s.owing(ctx, token) {
		return a, err
	}
	// The document is committed: what follows is owed, whatever becomes of the caller.
	carry, cancel := context.WithTimeout(context.WithoutCancel(ctx), carryMax)
	defer cancel()
	doc, err := s.carry(carry, token)
	if err != nil {
		s.log.Warn("effects of a command are left to the due queue", "document", token.String(),
			"step", cmd.Step.Name(), "error", err)
	}
	if doc != nil && out.Refusal == account.RefusalNone {
		a.Account = doc
	}
	if a.Account != nil {
		a.Left = len(a.Account.ToDo)
	}
	if err != nil && (doc == nil || unclosed(doc)) {
		return a, fmt.Errorf("%w: a card may not be closed yet: %w", ErrStore, err)
	}
	return a, nil
}

// owing reports whether a document has effects that close something, or cannot be read.
func (s *Service) owing(ctx context.Context, token pan.Token) bool {
	doc, _, err := s.Load(ctx, token)
	return err != nil || doc != nil && unclosed(doc)
}

// unclosed reports whether the document closes a carrier whose blacklist entry does not say
// so yet.
func unclosed(doc *account.Account) bool {
	return slices.ContainsFunc(doc.ToDo, func(e account.Effect) bool {
		return e.Kind == account.SetMark && e.Mark.Reason != txn.NotFrozen
	})
}

// Try decides a command and writes nothing: what would become of it now.
func (s *Service) Try(ctx context.Context, token pan.Token, cmd account.Command) (account.Outcome, error) {
	doc, _, err := s.Load(ctx, token)
	if err != nil {
		return account.Outcome{}, err
	}
	if doc == nil {
		doc = new(account.Account)
	}
	out := account.Apply(doc, cmd, &s.scheme().Rules, s.o.Now())
	if out.Refusal != account.RefusalNone || out.Replay {
		return out, nil
	}
	if refusal, err := s.frozenCarrier(ctx, doc, cmd); err != nil || refusal != account.RefusalNone {
		return account.Outcome{Refusal: refusal}, err
	}
	for _, of := range borne(out.Next) {
		at, _, err := s.indexed(ctx, of)
		if err != nil {
			return account.Outcome{}, err
		}
		if other, _, err := s.Load(ctx, at); !at.IsZero() && at != token && (err != nil || other != nil && bears(other, of)) {
			return account.Outcome{Refusal: account.CarrierExists}, err
		}
	}
	return out, nil
}

// lockStripes is how many documents can be worked at side by side, at best. Tokens are keyed
// hashes, so any two bytes of one choose evenly.
const lockStripes = 1024

// lock lets one worker of this process at a document; those of other processes are told apart
// by versions. Who holds one must not ask for another: two documents may share it.
func (s *Service) lock(token pan.Token) (unlock func()) {
	mu := &s.locks[(int(token[0])<<8|int(token[1]))%lockStripes]
	mu.Lock()
	return mu.Unlock
}

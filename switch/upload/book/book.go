// Package book takes uploaded off-line records in and books their money: it runs the rules of
// package upload against the store, the engine and the TAC keys.
//
// A frame is taken in three durable steps. First the page of each record says Taken, with the
// digest of its content; then the engine books the money under an id made of security module
// and sequence number, some 2,000 records at a time; then the pages say what became of it. A process that dies between two
// steps leaves records Taken: sent again they are the engine's replay, so that no record is
// booked twice or lost, by whatever link it comes. Where the card can no longer tell, the
// record is held for a person.
//
// A record is held too whose security module was not on the white list, in that terminal, when it
// was served; Retry takes it once the list says otherwise. The money of a card that was frozen by
// then has been taken, so its record is booked, and the ledger says that it is to be judged.
//
// It owns the tokens derived under "uploads/" and the registry keys below uploads/. What
// Take and Decide return nil for is durable. Amounts are fen, instants Unix milliseconds. Safe
// for concurrent use; frames of one terminal are taken one after the other. Several processes
// may share a store: a page that another one changed meanwhile is ErrBusy, and the same frame
// sent again is taken. A held record is kept sealed, since it has the card's number.
package book

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of one frame and of what is asked for.
const (
	// PagesMax bounds the pages that a frame touches: sequence numbers come in rows.
	PagesMax = 64
	// HeldMax bounds the records that one answer lists.
	HeldMax = 1000
	// namesMax bounds the names of lines and stations that are kept for sharing.
	namesMax = 1 << 16
	// stripes is how many terminals are served side by side, at best.
	stripes = 256
)

// Errors of the service.
var (
	// ErrBusy reports that another process changed the same pages: send again.
	ErrBusy = errors.New("uploads of the same terminal elsewhere, send again")
	// ErrScattered reports a frame whose sequence numbers lie too far apart.
	ErrScattered = errors.New("sequence numbers too far apart, send fewer records a frame")
	// ErrTerminal reports a frame of another terminal than the one that signed it.
	ErrTerminal = errors.New("the frame names another terminal than the one that sent it")
	// ErrUnknown reports a held record that does not exist.
	ErrUnknown = errors.New("no such held record")
	// ErrNotBooked reports that a held record cannot be accepted; the text has the reason.
	ErrNotBooked = errors.New("cannot be accepted")
)

// Engine is what books money.
type Engine interface {
	// AuthorizeAll decides a list, one durable write for all of it; a request that is sent again
	// is answered again and not booked twice.
	AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer
}

// Source is a terminal as it is registered.
type Source struct {
	Place txn.Place
	Kinds []txn.Kind
}

// Options of a Service. All but Verifier are needed.
type Options struct {
	Cards     store.Cards
	Registry  store.Registry
	Engine    Engine
	Tokenizer *pan.Tokenizer
	// Verifier verifies TACs; nil takes records without.
	Verifier *purse.Verifier
	// SealKey (32 bytes) seals held records.
	SealKey []byte
	// Source returns a registered terminal.
	Source   func(ctx context.Context, id txn.TerminalID) (Source, error)
	Currency txn.Currency
	// Zone is the scheme's local time less UTC.
	Zone txn.Millis
	// FutureMax and AgeMax bound the corrected time of a record.
	FutureMax, AgeMax txn.Millis
	// HoldBroken holds records whose balance does not follow from the card's others.
	HoldBroken bool
	Now        func() txn.Millis
	Log        *slog.Logger
}

// Service takes frames in.
type Service struct {
	o       Options
	seal    cipher.AEAD
	workers int
	lines   lineBook
	works   sync.Pool // *work
	locks   [stripes]sync.Mutex

	namesMu sync.RWMutex // guards names
	names   map[string]string
}

// New returns a Service.
func New(o Options) (*Service, error) {
	block, err := aes.NewCipher(o.SealKey)
	if err != nil {
		return nil, fmt.Errorf("key that seals held records: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key that seals held records: %w", err)
	}
	s := &Service{o: o, seal: seal, workers: runtime.GOMAXPROCS(0), names: map[string]string{}}
	s.lines.cards, s.lines.tokenizer = o.Cards, o.Tokenizer
	s.works.New = func() any { return new(work) }
	return s, nil
}

// lock lets one frame or decision of a terminal through.
func (s *Service) lock(id txn.TerminalID) (unlock func()) {
	h := uint32(2166136261)
	for _, c := range id {
		h = (h ^ uint32(c)) * 16777619
	}
	mu := &s.locks[h%stripes]
	mu.Lock()
	return mu.Unlock
}

// name returns a shared copy of a name.
func (s *Service) name(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	s.namesMu.RLock()
	name, ok := s.names[string(b)]
	s.namesMu.RUnlock()
	if ok {
		return name
	}
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	if len(s.names) >= namesMax {
		clear(s.names)
	}
	name = string(b)
	s.names[name] = name
	return name
}

// split calls f for parts of 0 to n side by side, each part but the last a multiple of grain.
func (s *Service) split(n, grain int, f func(from, to int)) {
	size := max(grain, (n+s.workers-1)/s.workers)
	if n <= size {
		f(0, n)
		return
	}
	var group sync.WaitGroup
	for from := 0; from < n; from += size {
		group.Go(func() { f(from, min(n, from+size)) })
	}
	group.Wait()
}

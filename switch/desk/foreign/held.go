package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Engine decides freezes and releases; *engine.Engine is one.
type Engine interface {
	// AuthorizeAll decides a list, with the answers in the same order.
	AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer
}

// Local is what this switch itself knows of a card.
type Local struct {
	Home   bool     // an account of ours bears it
	Issuer string   // the institution that it is enrolled for; "" for none
	Mark   txn.Mark // what the account closes
}

// Options of New. All but Currency, Now and Pause are needed.
type Options struct {
	Engine    Engine
	Registry  store.Registry
	List      store.List
	Tokenizer *pan.Tokenizer
	// Local tells what is known of a card.
	Local    func(ctx context.Context, card pan.Token) (Local, error)
	Currency txn.Currency // CNY by default
	Now      func() txn.Millis
	// Pause waits between two lists of the engine; nil for a timer.
	Pause func(ctx context.Context, d time.Duration) error
}

// Service keeps the lists of the sources.
type Service struct {
	o        Options
	terminal txn.TerminalID

	mu   sync.Mutex // guards held
	held map[string]*holding
}

// holding is what a source holds, as far as this process knows. Its cards never change.
type holding struct {
	version uint64 // of the head
	cards   map[pan.Token]struct{}
}

// head says where a source's list stands.
type head struct {
	Epoch   uint64     `json:"epoch"`
	Made    txn.Millis `json:"made"`
	Expires txn.Millis `json:"expires"`
	Taken   txn.Millis `json:"taken"`
	Digest  string     `json:"digest"`
	Cards   int        `json:"cards"`
	Taking  bool       `json:"taking,omitempty"` // an import is under way, or broke off
	Lease   txn.Millis `json:"lease,omitempty"`  // until when no other may begin
	By      string     `json:"by"`
	Refused []BadLine  `json:"refused,omitempty"`
}

// New returns a service.
func New(o Options) (*Service, error) {
	if o.Engine == nil || o.Registry == nil || o.List == nil || o.Tokenizer == nil || o.Local == nil {
		return nil, errors.New("foreign: engine, registry, list, tokenizer and what is known of cards are needed")
	}
	if o.Currency == 0 {
		o.Currency = txn.CNY
	}
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	if o.Pause == nil {
		o.Pause = wait
	}
	terminal, err := txn.ParseTerminalID("FOREIGN")
	if err != nil {
		panic("foreign: internal error: " + err.Error())
	}
	return &Service{o: o, terminal: terminal, held: map[string]*holding{}}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// frozen is what every card of a list bears: a source says lost or stolen and no more, and its
// word closes everything until it takes it back.
var frozen = txn.Mark{Reason: txn.Risk, Scope: txn.AppAll}

// Held tells which sources hold which of the cards, none for most.
func (s *Service) Held(ctx context.Context, cards ...pan.Token) (map[pan.Token][]string, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[pan.Token][]string{}
	for name, h := range s.held {
		for _, c := range cards {
			if _, ok := h.cards[c]; ok {
				by[c] = append(by[c], name)
			}
		}
	}
	for _, names := range by {
		slices.Sort(names)
	}
	return by, nil
}

// refresh reads the sources whose list has changed.
func (s *Service) refresh(ctx context.Context) error {
	keys, err := s.o.Registry.Keys(ctx, headPrefix)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	for _, key := range keys {
		name := key[len(headPrefix):]
		var h head
		version, err := s.get(ctx, key, &h)
		if err != nil {
			return err
		}
		if s.known(name, version) != nil {
			continue
		}
		cards := map[pan.Token]struct{}{}
		if err := s.eachPart(ctx, name, func(_ byte, tokens []pan.Token, _ uint64) {
			for _, t := range tokens {
				cards[t] = struct{}{}
			}
		}); err != nil {
			return err
		}
		s.mu.Lock()
		s.held[name] = &holding{version, cards}
		s.mu.Unlock()
	}
	return nil
}

// known returns what is in memory for a version of the head, nil when that is another.
func (s *Service) known(name string, version uint64) *holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[name]; h != nil && h.version == version {
		return h
	}
	return nil
}

func partKey(name string, n byte) string { return fmt.Sprintf("%s%s/%02x", partPrefix, name, n) }

// PartMax bounds the cards of a part: far beyond what LinesMax gives any of 256.
const PartMax = store.RegistryMax / pan.TokenSize

// eachPart reads every part of a source.
func (s *Service) eachPart(ctx context.Context, name string, yield func(byte, []pan.Token, uint64)) error {
	for n := range 256 {
		value, version, err := s.o.Registry.Get(ctx, partKey(name, byte(n)))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		tokens := make([]pan.Token, 0, len(value)/pan.TokenSize)
		for ; len(value) >= pan.TokenSize; value = value[pan.TokenSize:] {
			tokens = append(tokens, pan.Token(value))
		}
		yield(byte(n), tokens, version)
	}
	return nil
}

// putPart writes a part that stands at version, unless it says so already.
func (s *Service) putPart(ctx context.Context, name string, n byte, tokens []pan.Token, version uint64) error {
	if len(tokens) > PartMax {
		return fmt.Errorf("%w: %d cards in one part of 256, at most %d", ErrList, len(tokens), PartMax)
	}
	if len(tokens) == 0 && version == 0 {
		return nil
	}
	value := make([]byte, 0, len(tokens)*pan.TokenSize)
	for i := range tokens {
		value = append(value, tokens[i][:]...)
	}
	if err := s.o.Registry.Put(ctx, partKey(name, n), value, version); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// claim is what others than sources closed on a card that a source holds.
func (s *Service) claim(ctx context.Context, of pan.Token) (txn.Mark, uint64, error) {
	var packed uint32
	version, err := s.get(ctx, localPrefix+of.String(), &packed)
	return txn.MarkOf(packed), version, err
}

// Claim notes that somebody here freezes a card that a source holds: the source's removal then
// leaves that. It is to be called before the freeze.
func (s *Service) Claim(ctx context.Context, of pan.Token, mark txn.Mark) error {
	for range triesMax {
		old, version, err := s.claim(ctx, of)
		if err != nil {
			return err
		}
		merged := card.Merge(old, mark)
		if version > 0 && merged == old {
			return nil
		}
		err = s.put(ctx, localPrefix+of.String(), merged.Uint32(), version)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%w: the claim on a card changes too often", ErrStore)
}

// dropClaim forgets a claim: the card is no source's any more.
func (s *Service) dropClaim(ctx context.Context, of pan.Token) error {
	_, version, err := s.claim(ctx, of)
	if err != nil || version == 0 {
		return err
	}
	if err := s.o.Registry.Put(ctx, localPrefix+of.String(), nil, version); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// RefreshEvery is how old the index in memory may be: what another process publishes is served
// here after it.
const RefreshEvery = time.Second

// putTriesMax bounds how often a change is tried again after a conflict.
const putTriesMax = 16

// Registry keys of this package, and of the terminals, which the gate keeps.
const (
	indexKey       = "provision/index"
	contentPrefix  = "provision/content/"
	runsPrefix     = "provision/runs/"
	terminalPrefix = "terminal/"
)

// Options of New. Registry, Signer, Now, Device and Operator are needed.
type Options struct {
	Registry store.Registry
	// Signer signs plans; its public key is served to gates.
	Signer receipt.Signer
	Now    func() txn.Millis
	// CheckTariff refuses a tariff file, with its line and the reason. nil takes any.
	CheckTariff func(d *Document, content []byte) error
	Log         *slog.Logger
	// Who says who asks; see Who.
	Who Who
}

// Service keeps documents and orders and knows what gates run. Safe for concurrent use.
type Service struct {
	o    Options
	keys []byte // as gates get them

	mu    sync.Mutex // guards the fields below
	index *index     // never changed once it is here
	read  time.Time
}

// ErrOptions reports options that are missing.
var ErrOptions = errors.New("provision: registry, signer, clock and who asks are needed")

// New returns the service. It reads nothing before it is asked.
func New(o Options) (*Service, error) {
	if o.Registry == nil || o.Signer == nil || o.Now == nil || o.Who.Device == nil ||
		o.Who.Operator == nil {
		return nil, ErrOptions
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	keys, err := receipt.EncodeKeys([]receipt.Key{{ID: o.Signer.KeyID(),
		Algorithm: o.Signer.Algorithm(), Public: o.Signer.PublicKey()}})
	if err != nil {
		return nil, fmt.Errorf("provision: public key: %w", err)
	}
	return &Service{o: o, keys: keys}, nil
}

// load reads the index and its version from the registry.
func (s *Service) load(ctx context.Context) (*index, uint64, error) {
	value, version, err := s.o.Registry.Get(ctx, indexKey)
	if err != nil {
		return nil, 0, fmt.Errorf("provision: index: %w", err)
	}
	x := new(index)
	if version == 0 {
		return x, 0, nil
	}
	if err := json.Unmarshal(value, x); err != nil {
		return nil, 0, fmt.Errorf("provision: index cannot be read: %w", err)
	}
	return x, version, nil
}

// current returns the index, at most RefreshEvery old.
func (s *Service) current(ctx context.Context) (*index, error) {
	s.mu.Lock()
	x, read := s.index, s.read
	s.mu.Unlock()
	if x != nil && time.Since(read) < RefreshEvery {
		return x, nil
	}
	began := time.Now()
	x, _, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	return s.keep(x, began), nil
}

// keep puts an index in memory that was read at an instant, unless there is a later one.
func (s *Service) keep(x *index, read time.Time) *index {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index == nil || x.Serial >= s.index.Serial {
		s.index, s.read = x, read
	}
	return s.index
}

// change applies f to the index by compare-and-set. f is called again after a conflict. It
// returns nil and whether anything is to be written, or why not.
func (s *Service) change(ctx context.Context, f func(*index) (write bool, r *Refusal)) error {
	for range putTriesMax {
		began := time.Now()
		x, version, err := s.load(ctx)
		if err != nil {
			return err
		}
		write, r := f(x)
		switch {
		case r != nil:
			return r
		case !write:
			return nil
		}
		x.Serial++
		value, err := json.Marshal(x)
		if err != nil {
			return fmt.Errorf("provision: index: %w", err)
		}
		err = s.o.Registry.Put(ctx, indexKey, value, version)
		if err == nil {
			s.keep(x, began)
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("provision: index: %w", err)
		}
	}
	return fmt.Errorf("provision: index: %w", store.ErrConflict)
}

// Publish keeps a document and its content for ever. The same one twice is one. A *Refusal
// says what is wrong with it.
func (s *Service) Publish(ctx context.Context, d Document, content []byte) (Document, error) {
	now := s.o.Now()
	if r := checkName("version", d.Version, VersionMax); r != nil {
		return d, r
	}
	if len(content) == 0 || len(content) > ContentMax {
		return d, invalid(string(d.Kind), "%d bytes, want 1 to %d", len(content), ContentMax)
	}
	content, err := s.checkContent(&d, content)
	if err != nil {
		return d, err
	}
	sum := sha256.Sum256(content)
	d.SHA256, d.Size, d.PublishedAt = hex.EncodeToString(sum[:]), len(content), now
	// The content is there before anything names it; one that nothing names does no harm.
	err = s.o.Registry.Put(ctx, contentPrefix+d.SHA256, content, 0)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return d, fmt.Errorf("provision: content of %s: %w", d.Version, err)
	}
	return d, s.change(ctx, func(x *index) (bool, *Refusal) {
		again, r := x.publish(d, now)
		return !again && r == nil, r
	})
}

// checkContent refuses a content that contradicts itself, and returns it as it is kept.
func (s *Service) checkContent(d *Document, content []byte) ([]byte, error) {
	switch d.Kind {
	case KindParameters:
		p, r := ReadParameters(content)
		if r != nil {
			return nil, r
		}
		return json.Marshal(p)
	case KindTariff:
		if s.o.CheckTariff == nil {
			return content, nil
		}
		if err := s.o.CheckTariff(d, content); err != nil {
			return nil, invalid("tariff", "%v", err)
		}
		return content, nil
	default:
		return nil, invalid("kind", "%.32q, want parameters or tariff", d.Kind)
	}
}

// content reads the content of a document.
func (s *Service) content(ctx context.Context, d *Document) ([]byte, error) {
	value, version, err := s.o.Registry.Get(ctx, contentPrefix+d.SHA256)
	if err == nil && version == 0 {
		err = errors.New("it is not in the registry")
	}
	if err != nil {
		return nil, fmt.Errorf("provision: content of %s %s: %w", d.Kind, d.Version, err)
	}
	return value, nil
}

// place returns where a registered terminal stands; ok is false for one that is not.
func (s *Service) place(ctx context.Context, terminal string) (p disruption.Place, ok bool, err error) {
	value, version, err := s.o.Registry.Get(ctx, terminalPrefix+terminal)
	if err != nil {
		return p, false, fmt.Errorf("provision: terminal %s: %w", terminal, err)
	}
	if version == 0 {
		return p, false, nil
	}
	var r struct {
		Line, Station string
		Revoked       bool
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return p, false, fmt.Errorf("provision: terminal %s cannot be read: %w", terminal, err)
	}
	return disruption.Place{Line: r.Line, Station: r.Station, Terminal: terminal}, !r.Revoked, nil
}

// plan makes the statement for a terminal.
func (s *Service) plan(ctx context.Context, terminal string, kind Kind) ([]byte, error) {
	place, ok, err := s.place(ctx, terminal)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound("terminal")
	}
	x, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	p := Plan{Terminal: terminal, Kind: kind, Serial: x.Serial}
	for _, f := range []struct {
		from *Document
		to   **Part
	}{{x.at(kind, place, now), &p.InForce}, {x.next(kind, place, now), &p.Next}} {
		if *f.to, err = s.part(ctx, f.from); err != nil {
			return nil, err
		}
	}
	for i := range x.Orders {
		o := &x.Orders[i]
		if kind == KindParameters && o.Binds() && now < o.Until && o.Scope.Covers(place) {
			p.Orders = append(p.Orders, *o)
		}
	}
	return json.Marshal(p)
}

func (s *Service) part(ctx context.Context, d *Document) (*Part, error) {
	if d == nil {
		return nil, nil
	}
	p := &Part{Version: d.Version, Scope: d.Scope, Effective: d.Effective, SHA256: d.SHA256,
		Size: d.Size}
	if d.Kind != KindParameters {
		return p, nil
	}
	var err error
	p.Parameters, err = s.content(ctx, d)
	return p, err
}

// Orders returns all orders that are kept, for whoever settles journeys: see
// disruption.Forgive. They are at most RefreshEvery old and must not be changed.
func (s *Service) Orders(ctx context.Context) ([]disruption.Order, error) {
	x, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	return x.Orders, nil
}

// terminalIDs returns all registered terminals in order.
func (s *Service) terminalIDs(ctx context.Context) ([]string, error) {
	keys, err := s.o.Registry.Keys(ctx, terminalPrefix)
	if err != nil {
		return nil, fmt.Errorf("provision: registered terminals: %w", err)
	}
	for i, key := range keys {
		keys[i] = strings.TrimPrefix(key, terminalPrefix)
	}
	return keys, nil
}

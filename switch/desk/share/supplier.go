package share

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Kind is what a line of a batch says about a person.
type Kind string

// The kinds (HD9, ZS7, ZZ11).
const (
	Death       Kind = "death"
	Residence   Kind = "residence"
	NameChange  Kind = "name"
	Eligibility Kind = "eligibility"
)

// Kinds lists all of them.
func Kinds() []Kind { return []Kind{Death, Residence, NameChange, Eligibility} }

// Supplier is a department that supplies data about persons.
type Supplier struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Kinds []Kind `json:"kinds"`
	// Algorithm is sm2-sm3 or ed25519, PublicKey its key in hexadecimal: we hold no secret of a
	// supplier.
	Algorithm string `json:"algorithm"`
	PublicKey string `json:"public_key"`
	// Every is how often a batch is due; none late without it.
	Every time.Duration `json:"every"`
}

// The algorithms of a supplier's signature.
const (
	SM2     = "sm2-sm3"
	Ed25519 = "ed25519"
)

// SuppliersMax bounds the registered suppliers.
const SuppliersMax = 1000

const supplierPrefix = "share/supplier/"

// PutSupplier registers a supplier or changes it. The error wraps ErrConfig where the key
// cannot be one.
func (s *Service) PutSupplier(ctx context.Context, p Supplier) error {
	if !plainName(p.Name) {
		return fmt.Errorf("%w: name: want 1 to 24 of a-z, 0-9, _ and dot", ErrConfig)
	}
	for _, k := range p.Kinds {
		if !slices.Contains(Kinds(), k) {
			return fmt.Errorf("%w: %s: no kind %q, choose from %v", ErrConfig, p.Name, k, Kinds())
		}
	}
	if len(p.Kinds) == 0 || p.Every < 0 {
		return fmt.Errorf("%w: %s: kinds are needed, and no negative interval", ErrConfig, p.Name)
	}
	if _, err := p.verifier(); err != nil {
		return err
	}
	keys, err := s.keys(ctx, supplierPrefix)
	if err != nil {
		return err
	}
	if len(keys) >= SuppliersMax && !slices.Contains(keys, supplierPrefix+p.Name) {
		return fmt.Errorf("%w: %d suppliers are registered, remove one first", ErrConfig, len(keys))
	}
	return s.replace(ctx, supplierPrefix+p.Name, &p)
}

// RemoveSupplier takes a supplier's batches no more; what it delivered stays.
func (s *Service) RemoveSupplier(ctx context.Context, name string) error {
	return s.remove(ctx, supplierPrefix+name)
}

// supplier reads a supplier; nil when there is none.
func (s *Service) supplier(ctx context.Context, name string) (*Supplier, error) {
	if !plainName(name) {
		return nil, nil
	}
	p := new(Supplier)
	version, err := s.read(ctx, supplierPrefix+name, p)
	if err != nil || version == 0 {
		return nil, err
	}
	return p, nil
}

// verifier returns the check of a signature by the supplier's key.
func (p *Supplier) verifier() (func(body, signature []byte) bool, error) {
	raw, err := hex.DecodeString(p.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: the public key is not hexadecimal", ErrConfig, p.Name)
	}
	switch p.Algorithm {
	case Ed25519:
		if len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: %s: an ed25519 key has %d bytes", ErrConfig, p.Name,
				ed25519.PublicKeySize)
		}
		return func(body, signature []byte) bool {
			return ed25519.Verify(raw, body, signature)
		}, nil
	case SM2:
		key, err := sm.ParsePublicKey(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, p.Name, err)
		}
		return key.Verify, nil
	default:
		return nil, fmt.Errorf("%w: %s: algorithm %q, choose %s or %s", ErrConfig, p.Name, p.Algorithm,
			SM2, Ed25519)
	}
}

// Figures are what a supplier is assessed by (HD9: timely, accurate, complete).
type Figures struct {
	Supplier string `json:"supplier"`
	Title    string `json:"title"`
	Batches  int    `json:"batches"`
	Lines    int    `json:"lines"`    // announced
	Accepted int    `json:"accepted"` // in force, or in force before
	Rejected int    `json:"rejected"`
	Missing  int    `json:"missing"` // announced, and not in the batch
	// Gaps are numbers of batches below the last that never came, GapsMax at most.
	Gaps []uint64 `json:"gaps,omitempty"`
	// LagMS is the longest time from a batch's making to its receipt, LagDays the longest from
	// an event to the receipt of its line.
	LagMS   int64      `json:"lag_ms"`
	LagDays int        `json:"lag_days"`
	Last    txn.Millis `json:"last"`
	// Late says that the next batch is overdue.
	Late bool `json:"late"`
}

// GapsMax bounds the gaps that figures name.
const GapsMax = 100

// Completeness is the share of announced lines that came and were accepted, in percent.
func (f *Figures) Completeness() float64 {
	if f.Lines == 0 {
		return 100
	}
	return 100 * float64(f.Accepted) / float64(f.Lines)
}

// Suppliers tells the figures of every supplier.
func (s *Service) Suppliers(ctx context.Context) ([]Figures, error) {
	keys, err := s.keys(ctx, supplierPrefix)
	if err != nil {
		return nil, err
	}
	var all []Figures
	for _, key := range keys {
		var p Supplier
		if _, err := s.read(ctx, key, &p); err != nil {
			return nil, err
		}
		f, err := s.figures(ctx, &p)
		if err != nil {
			return nil, err
		}
		all = append(all, *f)
	}
	return all, nil
}

func (s *Service) figures(ctx context.Context, p *Supplier) (*Figures, error) {
	f := &Figures{Supplier: p.Name, Title: p.Title}
	keys, err := s.keys(ctx, deliveryPrefix+p.Name+"/")
	if err != nil {
		return nil, err
	}
	expected := uint64(1)
	for _, key := range keys {
		var d delivery
		if _, err := s.read(ctx, key, &d); err != nil {
			return nil, err
		}
		f.add(&d.Report)
		for ; expected < d.Report.Seq && len(f.Gaps) < GapsMax; expected++ {
			f.Gaps = append(f.Gaps, expected)
		}
		expected = d.Report.Seq + 1
	}
	since := s.now() - f.Last
	f.Late = p.Every > 0 && since > txn.Millis(p.Every.Milliseconds())
	return f, nil
}

func (f *Figures) add(r *Report) {
	f.Batches++
	f.Lines += r.Total
	f.Accepted += r.Accepted
	f.Rejected += r.Rejected
	f.Missing += r.Missing
	f.LagMS = max(f.LagMS, int64(r.Lag))
	f.LagDays = max(f.LagDays, r.LagDays)
	f.Last = max(f.Last, r.Received)
}

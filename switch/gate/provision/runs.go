package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// run is what a gate said that it runs, and since when.
type run struct {
	Version string     `json:"version"`
	Since   txn.Millis `json:"since_ms"`
}

// runs are a gate's versions by kind: one value of the registry a gate, written when it
// changes.
type runs map[Kind]run

func (s *Service) runsOf(ctx context.Context, terminal string) (runs, uint64, error) {
	value, version, err := s.o.Registry.Get(ctx, runsPrefix+terminal)
	if err != nil {
		return nil, 0, fmt.Errorf("provision: what %s runs: %w", terminal, err)
	}
	r := runs{}
	if version == 0 {
		return r, 0, nil
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, 0, fmt.Errorf("provision: what %s runs cannot be read: %w", terminal, err)
	}
	return r, version, nil
}

// Acknowledge notes that a terminal runs a version. It is durable on return.
func (s *Service) Acknowledge(ctx context.Context, terminal string, kind Kind, version string) error {
	x, err := s.current(ctx)
	if err != nil {
		return err
	}
	if x.find(kind, version) == nil {
		return notFound("document")
	}
	for range putTriesMax {
		r, at, err := s.runsOf(ctx, terminal)
		if err != nil {
			return err
		}
		if r[kind].Version == version {
			return nil
		}
		r[kind] = run{version, s.o.Now()}
		value, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("provision: what %s runs: %w", terminal, err)
		}
		err = s.o.Registry.Put(ctx, runsPrefix+terminal, value, at)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("provision: what %s runs: %w", terminal, store.ErrConflict)
}

// Running is what a terminal runs and should run, of one kind.
type Running struct {
	Kind    Kind       `json:"kind"`
	Runs    string     `json:"runs"` // "" when it never said
	Since   txn.Millis `json:"since_ms,omitempty"`
	Should  string     `json:"should"` // "" when nothing was published for it
	Behind  bool       `json:"behind"`
	Overdue txn.Millis `json:"overdue_ms,omitempty"` // since what it should run is in force
	Next    string     `json:"next,omitempty"`
	NextAt  txn.Millis `json:"next_ms,omitempty"`
}

// TerminalState is one terminal as operators see it.
type TerminalState struct {
	Terminal  string    `json:"terminal"`
	Line      string    `json:"line,omitempty"`
	Station   string    `json:"station,omitempty"`
	Behind    bool      `json:"behind"`
	Documents []Running `json:"documents"`
	Modes     string    `json:"modes,omitempty"` // that are ordered for it now
	place     disruption.Place
}

// Terminal returns the state of one terminal; a *Refusal when it is not registered.
func (s *Service) Terminal(ctx context.Context, id string) (*TerminalState, error) {
	x, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	place, ok, err := s.place(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound("terminal")
	}
	r, _, err := s.runsOf(ctx, id)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	t := &TerminalState{Terminal: id, Line: place.Line, Station: place.Station, place: place,
		Modes: disruption.FlagsAt(x.Orders, place, now).String()}
	for _, kind := range Kinds() {
		d := Running{Kind: kind, Runs: r[kind].Version, Since: r[kind].Since}
		if should := x.at(kind, place, now); should != nil {
			d.Should, d.Behind = should.Version, should.Version != d.Runs
			if d.Behind {
				d.Overdue = now - should.Effective
			}
		}
		if next := x.next(kind, place, now); next != nil {
			d.Next, d.NextAt = next.Version, next.Effective
		}
		t.Behind = t.Behind || d.Behind
		t.Documents = append(t.Documents, d)
	}
	return t, nil
}

// Terminals returns the state of all registered terminals that are not revoked.
func (s *Service) Terminals(ctx context.Context) ([]*TerminalState, error) {
	ids, err := s.terminalIDs(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*TerminalState, 0, len(ids))
	for _, id := range ids {
		t, err := s.Terminal(ctx, id)
		var gone *Refusal
		if errors.As(err, &gone) {
			continue // revoked
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

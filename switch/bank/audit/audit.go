// Package audit keeps who changed what at the bank edge: changes of key, dead letters that were
// resolved, reconciliations that were ordered. It owns the registry keys below bank/audit/.
//
// A line is written before its deed with the outcome Begun, and again after it: a process that
// dies in between leaves a line too many, never one too few. Lines hold check values, never
// keys, and no card numbers. Times are txn.Millis. What Begin and End return nil for is
// durable. At most LinesMax lines are kept, the oldest are removed first. Safe for concurrent
// use; several processes may share a registry.
//
// It is no proof against whoever can write the registry, and does not decide who may do what.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// LinesMax is how many lines are kept: with the keys of ten links changed every day, those of
// more than a year.
const LinesMax = 10_000

// lookMax is how many lines of one instant there may be.
const lookMax = 64

// Begun is the outcome of a deed that is under way, or in which its process died.
const Begun = "begun"

// Actor is on whose behalf something is done.
type Actor struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

// Itself is the switch, by its schedule or because of what it saw.
func Itself(why string) Actor { return Actor{Name: "tapswitch", Role: why} }

// Line is one deed.
type Line struct {
	At    txn.Millis `json:"at"`
	Actor Actor      `json:"actor"`
	// Action says what is done, Subject with what: a link, a request.
	Action  string `json:"action"`
	Subject string `json:"subject"`
	Outcome string `json:"outcome"`
	// KCV is the check value of the key that came into force.
	KCV string `json:"kcv,omitempty"`
}

const prefix = "bank/audit/"

// Trail writes and reads lines.
type Trail struct {
	registry store.Registry
	now      func() txn.Millis

	mu    sync.Mutex // guards lines
	lines int        // kept, as far as this process knows; -1 before it has counted
}

// NewTrail returns the trail of a registry.
func NewTrail(registry store.Registry, now func() txn.Millis) *Trail {
	return &Trail{registry: registry, now: now, lines: -1}
}

// Entry is a line whose deed is under way.
type Entry struct {
	trail *Trail
	key   string
	line  Line
}

// Begin writes a line; At and Outcome are set here.
func (t *Trail) Begin(ctx context.Context, l Line) (*Entry, error) {
	l.At, l.Outcome = t.now(), Begun
	text, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	for n := range lookMax {
		key := fmt.Sprintf("%s%013d-%02d", prefix, l.At, n)
		err = t.registry.Put(ctx, key, text, 0)
		if errors.Is(err, store.ErrConflict) {
			continue // another one of the same millisecond
		}
		if err == nil {
			err = t.trim(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("audit: %s of %s not noted, and not done: %w", l.Action, l.Subject, err)
		}
		return &Entry{t, key, l}, nil
	}
	return nil, fmt.Errorf("audit: more than %d lines in a millisecond: %w", lookMax, err)
}

// End says what came of the deed; kcv is "" where no key changed.
func (e *Entry) End(ctx context.Context, outcome, kcv string) error {
	e.line.Outcome, e.line.KCV = outcome, kcv
	text, err := json.Marshal(e.line)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	_, version, err := e.trail.registry.Get(ctx, e.key)
	if err == nil {
		err = e.trail.registry.Put(ctx, e.key, text, version)
	}
	if err != nil {
		return fmt.Errorf("audit: outcome %q of %s of %s not noted: %w", outcome, e.line.Action,
			e.line.Subject, err)
	}
	return nil
}

// trim removes the oldest lines above LinesMax. It reads the keys seldom: a process counts its
// own lines.
func (t *Trail) trim(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines++; t.lines > 0 && t.lines <= LinesMax {
		return nil
	}
	keys, err := t.registry.Keys(ctx, prefix)
	if err != nil {
		t.lines = -1
		return err
	}
	// Some more than need be, so that not every line pays for this.
	surplus := 0
	if len(keys) > LinesMax {
		surplus = len(keys) - LinesMax + LinesMax/100
	}
	for _, key := range keys[:surplus] {
		_, version, err := t.registry.Get(ctx, key)
		if err == nil && version > 0 {
			err = t.registry.Put(ctx, key, nil, version)
		}
		if err != nil && !errors.Is(err, store.ErrConflict) {
			t.lines = -1
			return err
		}
	}
	t.lines = len(keys) - surplus
	return nil
}

// Lines returns the last lines, the newest first, at most most.
func (t *Trail) Lines(ctx context.Context, most int) ([]Line, error) {
	keys, err := t.registry.Keys(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	slices.Reverse(keys)
	keys = keys[:min(most, len(keys))]
	all := make([]Line, 0, len(keys))
	for _, key := range keys {
		value, version, err := t.registry.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		if version == 0 {
			continue // removed meanwhile
		}
		var l Line
		if err := json.Unmarshal(value, &l); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
		}
		all = append(all, l)
	}
	return all, nil
}

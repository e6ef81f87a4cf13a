// Package citydemo plays a card's life under one city's rules against a running switch:
// application, use, a loss at a bad moment, replacement, cancellation. It is what
// `tapswitch demo --city` runs.
//
// Everything goes over the ways that the real ones take: operators with tokens and signed
// terminals over HTTP, parties that get webhooks and answer them signed, gates that open lists
// with the agency's public key, a bank over ISO 8583, for its purchases and for its notices.
// The package decides nothing: what it prints is what the switch answered, and each claim is
// held against the rules; one that does not hold is told and makes the whole not hold. Days
// pass by the switch's clock file, which the package moves on; within a scene time runs as
// everywhere.
//
// Amounts are fen, instants local time of the cities (UTC+8). One Run at a time a directory;
// it ends every process and server that it started. It keeps no data and prints no card number.
package citydemo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/scheme"
)

// Options of Run.
type Options struct {
	// City is one of Cities.
	City string
	// Dir is an empty directory, which the caller removes.
	Dir string
	// Start starts a switch with settings and more environment, and returns when it is ready.
	Start func(ctx context.Context, settings map[string]string, env []string) (*Switch, error)
}

// Switch is a running one.
type Switch struct {
	// Gate is its address, Bank those of its listeners for terminals of banks, by name.
	Gate string
	Bank map[string]string
	// AdminToken is the file of the first operator's token, which Secret reads.
	AdminToken string
	Secret     func(file string) (string, error)
	Stop       func() error
	// Log is the end of its log.
	Log func() string
}

// scenes are what each city's rules are shown by, beyond what all have in common.
func scenes() map[string]func(*story) {
	return map[string]func(*story){"handan": handan, "zhoushan": zhoushan, "wenzhou": wenzhou,
		"shiyan": shiyan, "zhengzhou": zhengzhou}
}

// Cities returns the cities that can be played, sorted.
func Cities() []string { return slices.Sorted(maps.Keys(scenes())) }

// Run plays the life of a card. An error means that it could not be played to its end; a duty
// that does not hold is told by the report.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	play, ok := scenes()[o.City]
	if !ok {
		return nil, fmt.Errorf("demo: no city %q, there are %s", o.City, strings.Join(Cities(),
			", "))
	}
	policy, err := scheme.Load(o.City)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	t, err := newTown(ctx, &o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	s := newStory(ctx, t, policy)
	s.play(func() {
		s.open()
		play(s)
		s.finish()
	})
	if s.fault != nil {
		return nil, fmt.Errorf("demo: %s, %s: %w\n%s", o.City,
			t.clock.now().Format("2006-01-02 15:04"),
			s.fault, t.node.Log())
	}
	return s.report, nil
}

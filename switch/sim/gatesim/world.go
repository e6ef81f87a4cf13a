package gatesim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a world.
const (
	// GatesMax is how many gates one world has; CardsMax how many cards each gate.
	GatesMax = 999
	CardsMax = 10_000
	// TapsMax is how many taps one gate has in its plan.
	TapsMax = 10_000_000

	// seedsMax is how many worlds one switch can have: names and numbers hold so much of the seed.
	seedsMax = 1_000_000

	// Operator is whom the rides of a simulated gate pay.
	Operator = "GATESIM"

	worldName = "world.json"
)

// Setup says what a world is made of. Seed, gates, cards and the rest decide everything in it
// but the keys that the switch gives out.
type Setup struct {
	Seed  uint64 `json:"seed"`
	Gates int    `json:"gates"`
	// Cards is the number of cards of each gate.
	Cards int `json:"cards"`
	// Base is when the first tap happens; Interval is between two taps of a gate.
	Base     txn.Millis `json:"base_ms"`
	Interval txn.Millis `json:"interval_ms"`
	// Balance is on every card at the beginning, here and at the switch.
	Balance txn.Minor `json:"balance_fen"`
	// Skew is the most that a gate's clock is off at first, Drift the most that it drifts, in
	// millionths.
	Skew  txn.Millis `json:"skew_ms"`
	Drift int64      `json:"drift_ppm"`
	// OutageEvery is how many taps pass on the average from one loss of the network to the
	// next, 0 for none; OutageTaps how many it lasts at most.
	OutageEvery int `json:"outage_every"`
	OutageTaps  int `json:"outage_taps"`
	// Repeats is how many of 10,000 batches are sent a second time on purpose.
	Repeats int `json:"repeats"`
	// Metro is how many of the gates, the last ones, are the city's: gates of metro stations, and
	// of buses and trams between them, with cards in common. 0 for none.
	Metro int `json:"metro,omitempty"`
	// Tears is how many of 10,000 debits of the city's gates are torn: the card is away before it
	// answers.
	Tears int `json:"tears,omitempty"`
}

// ErrSetup reports a setup that cannot be; the error names the field.
var ErrSetup = errors.New("gate simulation cannot be set up")

func (s *Setup) check() error {
	for _, f := range []struct {
		name          string
		value, lo, hi int64
	}{
		{"gates", int64(s.Gates), 1, GatesMax}, {"cards", int64(s.Cards), 1, CardsMax},
		{"interval", int64(s.Interval), 1, int64(time.Hour / time.Millisecond)},
		{"balance", int64(s.Balance), 0, 200_000}, {"skew", int64(s.Skew), 0, 24 * 3_600_000},
		{"drift", s.Drift, 0, 1000}, {"outage every", int64(s.OutageEvery), 0, TapsMax},
		{"outage taps", int64(s.OutageTaps), 0, TapsMax}, {"repeats", int64(s.Repeats), 0, 10_000},
		{"metro", int64(s.Metro), 0, int64(s.Gates)}, {"tears", int64(s.Tears), 0, 10_000},
		{"base", int64(s.Base), 1, int64(txn.MinorMax)},
	} {
		if f.value < f.lo || f.value > f.hi {
			return fmt.Errorf("%w: %s %d, want %d to %d", ErrSetup, f.name, f.value, f.lo, f.hi)
		}
	}
	return nil
}

// Identity is a gate as the switch knows it.
type Identity struct {
	ID      string `json:"id"`
	Line    string `json:"line"`
	Station string `json:"station"`
	// Key signs its calls. The file that it stands in is for its owner only.
	Key string `json:"key"`
}

// World is what provisioning leaves behind: the setup, who the gates are, and by which tokens
// the cards stand in lists. It is only read afterwards.
type World struct {
	Setup
	Identities []Identity `json:"identities"`
	// Keys are the public keys that sign lists and plans, as of crypto/receipt.
	Keys json.RawMessage `json:"keys"`
	// Tokens are those of the cards, gate by gate.
	Tokens []string `json:"tokens"`
}

// number returns the card number of card i of the world: a test number of 19 digits.
func (s *Setup) number(i int) pan.Number {
	n, err := pan.Parse(fmt.Sprintf("310498%06d%07d", s.Seed%seedsMax, i))
	if err != nil {
		panic("gatesim: internal error: " + err.Error())
	}
	return n
}

// random returns numbers that depend on the seed, a gate and a purpose alone.
func (s *Setup) random(gate int, purpose string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(s.Seed, h.Sum64()+uint64(gate)))
}

// identity returns gate i without its key: gates of three lines, two at each station.
// The last ones are the city's.
func (s *Setup) identity(i int) Identity {
	if s.inCity(i) {
		return s.cityIdentity(i)
	}
	return Identity{ID: fmt.Sprintf("GS%06d%03d", s.Seed%seedsMax, i+1), Line: fmt.Sprintf("GL%d", i%3+1),
		Station: fmt.Sprintf("GL%d Stop %02d", i%3+1, i/6+1)}
}

// Provision registers the gates of a world at a switch, enrols and loads the cards, and keeps
// what the gates need in a directory. A switch takes the world of a seed once: its gates and
// cards would begin to count again.
func Provision(ctx context.Context, addr, token, dir string, s Setup) (*World, error) {
	c := sim.NewClient(sim.ClientOptions{Addr: bare(addr)})
	defer c.Close()
	if err := s.check(); err != nil {
		return nil, err
	}
	w := &World{Setup: s}
	specs := make([]sim.TerminalSpec, s.Gates)
	for i := range specs {
		id := s.identity(i)
		specs[i] = sim.TerminalSpec{ID: id.ID, Operator: Operator, Line: id.Line, Station: id.Station,
			Kinds: []string{"bus_boarding", "metro_entry", "metro_exit", "balance"}}
		w.Identities = append(w.Identities, id)
	}
	err := sim.Each(ctx, 8, s.Gates, func(ctx context.Context, i int) (err error) {
		w.Identities[i].Key, err = register(ctx, c, token, specs[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	l, err := newLink(addr, &w.Identities[0])
	if err != nil {
		return nil, err
	}
	defer l.close()
	if w.Keys, err = publicKeys(ctx, l); err != nil {
		return nil, err
	}
	if err := w.enrol(ctx, c, token); err != nil {
		return nil, err
	}
	return w, w.write(dir)
}

// register registers a terminal and returns its key. One that is there already is refused.
func register(ctx context.Context, c *sim.Client, token string, spec sim.TerminalSpec) (string, error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	r, err := c.Operate(ctx, token, http.MethodPut, "/v1/terminals/"+url.PathEscape(spec.ID), body)
	if err == nil && r.Refused != nil {
		err = r.Refused
	}
	var a struct{ Key string }
	if err == nil {
		err = json.Unmarshal(r.Body, &a)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("terminal %s: %w", spec.ID, err)
	case a.Key == "":
		return "", fmt.Errorf("%w: the switch has terminal %s: take another seed, or the directory "+
			"of before", ErrSetup, spec.ID)
	}
	return a.Key, nil
}

// publicKeys asks for the keys that plans and lists are signed with.
func publicKeys(ctx context.Context, l *link) (json.RawMessage, error) {
	a, err := l.ask(ctx, question{path: "/v1/terminal/keys"})
	if err == nil {
		_, err = receipt.ParseKeys(a.body)
	}
	if err != nil {
		return nil, fmt.Errorf("public keys: %w", err)
	}
	return a.body, nil
}

// enrol opens and loads all cards and asks for their tokens.
func (w *World) enrol(ctx context.Context, c *sim.Client, token string) error {
	cards := make([]sim.Enrolment, w.Gates*w.Cards)
	for i := range cards {
		cards[i] = sim.Enrolment{Number: w.number(i).Digits(), Apps: []string{"transit", "purse"},
			Rider: "ordinary"}
	}
	if _, err := sim.EnrolAll(ctx, c, token, cards); err != nil {
		return err
	}
	loader, err := sim.Register(ctx, c, token, sim.TerminalSpec{ID: w.loader(), Operator: "AGENT",
		Acquirer: "48440001", Kinds: []string{"load"}})
	if err != nil {
		return err
	}
	w.Tokens = make([]string, len(cards))
	return sim.Each(ctx, 8, len(cards), func(ctx context.Context, i int) error {
		if err := w.load(ctx, c, loader, i); err != nil {
			return fmt.Errorf("loading card %d: %w", i, err)
		}
		return w.lookUp(ctx, c, token, i)
	})
}

// loader is the terminal that loads the cards.
func (s *Setup) loader() string { return fmt.Sprintf("GSL%06d", s.Seed%seedsMax) }

// load puts the beginning balance on card i at the switch.
func (w *World) load(ctx context.Context, c *sim.Client, loader *sim.Terminal, i int) error {
	if w.Balance == 0 {
		return nil
	}
	body, err := json.Marshal(sim.Money{ID: fmt.Sprintf("%s-1-%d", w.loader(), i+1),
		Card: w.number(i).Digits(), Amount: w.Balance, ServiceTime: sim.FormatTime(time.Now().In(local()))})
	if err != nil {
		return err
	}
	r, err := c.Send(ctx, loader, "/v1/loads", body)
	switch {
	case err != nil:
		return err
	case r.Refused != nil:
		return r.Refused
	}
	a, err := sim.ParseAnswer(r.Body)
	if err == nil && !a.Approved() {
		err = fmt.Errorf("%w: %s", ErrSetup, a.Reason)
	}
	return err
}

// lookUp asks for the token of card i.
func (w *World) lookUp(ctx context.Context, c *sim.Client, token string, i int) error {
	body, err := json.Marshal(map[string]string{"card": w.number(i).Digits()})
	if err != nil {
		return err
	}
	r, err := c.Operate(ctx, token, http.MethodPost, "/v1/cards:lookup", body)
	if err == nil && r.Refused != nil {
		err = r.Refused
	}
	if err != nil {
		return fmt.Errorf("token of card %d: %w", i, err)
	}
	var a struct{ Token string }
	if err := json.Unmarshal(r.Body, &a); err != nil {
		return fmt.Errorf("token of card %d: %w", i, err)
	}
	if _, err := pan.ParseToken(a.Token); err != nil {
		return fmt.Errorf("token of card %d: %w", i, err)
	}
	w.Tokens[i] = a.Token
	return nil
}

// write keeps the world in a directory, for its owner only.
func (w *World) write(dir string) error {
	text, err := json.Marshal(w)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, worldName), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("gate simulation: %w", err)
	}
	return nil
}

// OpenWorld reads what Provision has left in a directory. The error wraps os.ErrNotExist where
// there is nothing.
func OpenWorld(dir string) (*World, error) {
	f, err := os.Open(filepath.Join(dir, worldName))
	if err != nil {
		return nil, fmt.Errorf("gate simulation: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("gate simulation: %w", err)
	}
	w := new(World)
	if err := json.Unmarshal(text, w); err != nil {
		return nil, fmt.Errorf("gate simulation: %s: %w", worldName, err)
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	if len(w.Identities) != w.Gates || len(w.Tokens) != w.Gates*w.Cards {
		return nil, fmt.Errorf("%w: %s has %d gates and %d cards", ErrSetup, worldName,
			len(w.Identities), len(w.Tokens))
	}
	return w, nil
}

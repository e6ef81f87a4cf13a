package gate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/switch/gate/counter"
	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Registry keys of this package. One counter a terminal stands apart from its record, so
// that a change of the record never collides with traffic.
const (
	terminalPrefix = "terminal/"
	counterPrefix  = "counter/"
)

// Terminal says who a terminal is: where it stands, for whom it takes money, and what it
// may send. Empty strings are allowed everywhere but in ID and Kinds.
type Terminal struct {
	ID       string   `json:"-"`
	Operator string   `json:"operator,omitempty"`
	Line     string   `json:"line,omitempty"`
	Station  string   `json:"station,omitempty"`
	Merchant string   `json:"merchant,omitempty"`
	MCC      string   `json:"mcc,omitempty"`
	Acquirer string   `json:"acquirer,omitempty"`
	Kinds    []string `json:"kinds"`
}

// terminalRecord is a terminal as it stands in the registry.
type terminalRecord struct {
	Terminal
	Key        []byte     `json:"key,omitempty"` // wrapped
	KeyVersion int        `json:"key_version"`
	OldKey     []byte     `json:"old_key,omitempty"` // wrapped
	OldUntil   txn.Millis `json:"old_until,omitempty"`
	Revoked    bool       `json:"revoked,omitempty"`
	ChangedAt  txn.Millis `json:"changed_at"`
}

// ErrTerminal reports a terminal that cannot be registered; the error says why.
var ErrTerminal = errors.New("terminal cannot be registered")

// kindSet is a set of kinds, one bit each.
type kindSet uint32

func (s kindSet) has(k txn.Kind) bool { return s&(1<<k) != 0 }

// terminalKind reports whether a terminal may ever send kind.
func terminalKind(k txn.Kind) bool {
	switch k {
	case txn.MetroEntry, txn.MetroExit, txn.BusBoarding, txn.Purchase, txn.Load, txn.Refund,
		txn.Reversal, txn.Balance:
		return true
	default:
		return false
	}
}

// parseKinds reads the kinds that a terminal may send.
func parseKinds(names []string) (kindSet, error) {
	var set kindSet
	for _, name := range names {
		k, err := txn.ParseKind(name)
		if err != nil || !terminalKind(k) {
			return 0, fmt.Errorf("%w: %q is no kind that a terminal sends", ErrTerminal, name)
		}
		set |= 1 << k
	}
	if set == 0 {
		return 0, fmt.Errorf("%w: kinds: none", ErrTerminal)
	}
	return set, nil
}

// check verifies t and returns its id.
func (t *Terminal) check() (txn.TerminalID, error) {
	id, err := txn.ParseTerminalID(t.ID)
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrTerminal, err)
	}
	if id == deskTerminal() || t.ID == txn.RideDesk || t.ID == txn.GraceDesk {
		return id, fmt.Errorf("%w: the id %q is the desk's own", ErrTerminal, t.ID)
	}
	for _, f := range []struct {
		name, value string
		max         int64
	}{
		{"operator", t.Operator, fields.PlaceMax}, {"line", t.Line, fields.PlaceMax},
		{"station", t.Station, fields.PlaceMax}, {"merchant", t.Merchant, 15},
		{"mcc", t.MCC, 4}, {"acquirer", t.Acquirer, 11},
	} {
		if int64(len(f.value)) > f.max || holdsNumber([]byte(f.value)) {
			return id, fmt.Errorf("%w: %s: more than %d bytes, or a card number",
				ErrTerminal, f.name, f.max)
		}
	}
	_, err = parseKinds(t.Kinds)
	return id, err
}

// Place is that of requests from t, with its accounts.
func (t *Terminal) Place() txn.Place {
	p := txn.Place{Operator: t.Operator, Line: t.Line, Station: t.Station,
		Merchant: t.Merchant, MCC: t.MCC, Acquirer: t.Acquirer}
	switch {
	case t.Operator != "":
		p.Payee = txn.Account("operator/" + t.Operator)
	case t.Merchant != "":
		p.Payee = txn.Account("merchant/" + t.Merchant)
	}
	switch {
	case t.Acquirer != "":
		p.Funding = txn.Account("funds/" + t.Acquirer)
	case t.Operator != "":
		p.Funding = txn.Account("funds/" + t.Operator)
	}
	return p
}

// CreateTerminal registers a new terminal and returns its key, which is stored only
// wrapped under master (32 bytes) and cannot be shown again. It returns
// store.ErrConflict when the terminal exists, ErrTerminal when t is not acceptable.
func CreateTerminal(ctx context.Context, registry store.Registry, master []byte,
	t Terminal) (key []byte, err error) {
	seal, err := newSealer(master)
	if err != nil {
		return nil, err
	}
	d := &directory{registry: registry, seal: seal}
	return d.create(ctx, t, wallClock())
}

// create writes a new terminal with a new key.
func (d *directory) create(ctx context.Context, t Terminal, now txn.Millis) ([]byte, error) {
	id, err := t.check()
	if err != nil {
		return nil, err
	}
	key := newKey()
	r := terminalRecord{Terminal: t, Key: d.seal.seal(t.ID, key), KeyVersion: 1, ChangedAt: now}
	return key, d.write(ctx, id, &r, 0)
}

func newKey() []byte {
	key := make([]byte, terminalKeySize)
	_, _ = rand.Read(key) // never fails: the runtime ends the process instead
	return key
}

// write puts the record in place of version and tells the other processes.
func (d *directory) write(ctx context.Context, id txn.TerminalID, r *terminalRecord,
	version uint64) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("terminal %s: %w", id, err)
	}
	if err := d.registry.Put(ctx, terminalPrefix+id.String(), value, version); err != nil {
		return fmt.Errorf("terminal %s: %w", id, err)
	}
	return d.announce(ctx, id)
}

// read returns the record and its version; version is 0 when there is none.
func (d *directory) read(ctx context.Context, id txn.TerminalID) (r terminalRecord,
	version uint64, err error) {
	value, version, err := d.registry.Get(ctx, terminalPrefix+id.String())
	if err != nil {
		return r, 0, fmt.Errorf("terminal %s: %w", id, err)
	}
	if version == 0 {
		return r, 0, nil
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return r, 0, fmt.Errorf("terminal %s: registry value cannot be read: %w", id, err)
	}
	r.ID = id.String()
	return r, version, nil
}

// terminal is a registered terminal at work.
type terminal struct {
	id    txn.TerminalID
	setup atomic.Pointer[setup]

	mu     sync.Mutex // guards the fields below; held while a block is reserved
	window counter.Window
	// counterVersion is the registry version of the reservation, 0 before the first.
	counterVersion uint64
	rate           counter.Rate
	names          map[string]string
}

// setup is what the registry says about a terminal, ready for use and never changed.
type setup struct {
	place   txn.Place
	kinds   kindSet
	revoked bool
	keys    []*signingKey // the present one first
}

// namesMax bounds the station and line names kept for one terminal, which repeat with
// every tap.
const namesMax = 64

// name returns b as a string that is shared between requests; ok is false when it may
// hold a card number.
func (t *terminal) name(b []byte) (s string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.names[string(b)]; ok {
		return s, true
	}
	if holdsNumber(b) {
		return "", false
	}
	s = string(b)
	if len(t.names) < namesMax {
		if t.names == nil {
			t.names = make(map[string]string)
		}
		t.names[s] = s
	}
	return s, true
}

// numberLikeMin is how many digits in a row, with single blanks or dashes between, are
// taken for a card number in a text that is kept.
const numberLikeMin = 13

// holdsNumber reports whether a text may hold a card number, which must not get into a
// ledger through a note or a name.
func holdsNumber(b []byte) bool {
	digits, gap := 0, false
	for _, c := range b {
		switch {
		case isDigit(c):
			digits, gap = digits+1, false
		case (c == ' ' || c == '-') && !gap:
			gap = true
		default:
			digits, gap = 0, false
		}
		if digits >= numberLikeMin {
			return true
		}
	}
	return false
}

package notice

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// partyPrefix is where parties stand in the registry.
const partyPrefix = "party/"

// RosterMax is how many parties the registry may hold. One notice goes to PartiesMax of
// them at most.
const RosterMax = 1024

// rosterAgeMax is how old the list in memory may get before it is read again: so soon a
// change by another process holds here.
const rosterAgeMax = 5 * time.Second

// casTriesMax bounds how often a change of the registry is tried against other writers.
const casTriesMax = 8

// Errors of Roster.
var (
	// ErrNoParty reports a name that the registry does not have.
	ErrNoParty = errors.New("no such party")
	// ErrRosterFull reports that RosterMax parties are registered.
	ErrRosterFull = errors.New("too many parties")
	// ErrKey reports a key that cannot be: too short, or an id that is taken or missing.
	ErrKey = errors.New("not a key of a party")
)

// Roster keeps the parties in the registry. A list of them never shows a secret.
type Roster struct {
	registry  store.Registry
	vault     vault
	plainHTTP bool
	now       func() txn.Millis

	mu     sync.Mutex
	known  map[string]*member // never changed once set
	readAt txn.Millis
}

// member is a party with its open keys. It is not changed once made.
type member struct {
	Party
	keys []key
}

// key is an open secret.
type key struct {
	id     string
	secret []byte
}

// stored is a party as the registry has it.
type stored struct {
	Party
	Wrapped []wrappedKey `json:"wrapped,omitempty"`
}

// wrappedKey is a secret under the key of the switch.
type wrappedKey struct {
	ID     string `json:"id"`
	Secret []byte `json:"secret"`
}

// Put stores a party, a new one or in place of the one with its name. Its keys stay. It
// returns ErrParty, ErrRosterFull, or a fault of the registry.
func (r *Roster) Put(ctx context.Context, p Party) error {
	if err := p.check(r.plainHTTP); err != nil {
		return err
	}
	return r.change(ctx, p.Name, func(is *stored, found bool) error {
		if !found {
			names, err := r.registry.Keys(ctx, partyPrefix)
			if err != nil {
				return fmt.Errorf("cannot count the parties: %w", err)
			}
			if len(names) >= RosterMax {
				return fmt.Errorf("%w: %d", ErrRosterFull, len(names))
			}
		}
		p.Keys = nil
		is.Party = p
		return nil
	})
}

// Get returns one party, or ErrNoParty.
func (r *Roster) Get(ctx context.Context, name string) (Party, error) {
	m, err := r.member(ctx, name)
	if err != nil {
		return Party{}, err
	}
	return m.Party, nil
}

// List returns all parties in order of their names.
func (r *Roster) List(ctx context.Context) ([]Party, error) {
	known, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Party, 0, len(known))
	for _, m := range known {
		all = append(all, m.Party)
	}
	slices.SortFunc(all, func(a, b Party) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Remove takes a party out. Its rows in open notices stay and can no longer be sent, so a
// party that leaves is better given an ActiveTo. It returns ErrNoParty.
func (r *Roster) Remove(ctx context.Context, name string) error {
	defer r.forget()
	for range casTriesMax {
		value, version, err := r.registry.Get(ctx, partyPrefix+name)
		switch {
		case err != nil:
			return fmt.Errorf("cannot read party %s: %w", name, err)
		case value == nil:
			return fmt.Errorf("%w: %q", ErrNoParty, name)
		}
		err = r.registry.Put(ctx, partyPrefix+name, nil, version)
		if err == nil || !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("cannot remove party %s: %w", name, store.ErrConflict)
}

// SetKey gives a party a key: it signs from now on, and the one before it still verifies
// until the next SetKey or DropKey. secret is SecretMin to SecretMax bytes and is copied.
func (r *Roster) SetKey(ctx context.Context, name, id string, secret []byte) error {
	switch {
	case !validName(strings.ToLower(id)) || len(id) > KeyIDMax:
		return fmt.Errorf("%w: id %q", ErrKey, id)
	case len(secret) < SecretMin || len(secret) > SecretMax:
		return fmt.Errorf("%w: want %d to %d bytes, got %d", ErrKey, SecretMin, SecretMax,
			len(secret))
	}
	return r.change(ctx, name, func(is *stored, found bool) error {
		if !found {
			return fmt.Errorf("%w: %q", ErrNoParty, name)
		}
		taken := func(k wrappedKey) bool { return k.ID == id }
		if slices.ContainsFunc(is.Wrapped, taken) {
			return fmt.Errorf("%w: id %q is taken", ErrKey, id)
		}
		fresh := wrappedKey{id, r.vault.seal(name, id, secret)}
		is.Wrapped = append([]wrappedKey{fresh}, is.Wrapped...)
		is.Wrapped = is.Wrapped[:min(len(is.Wrapped), KeysMax)]
		return nil
	})
}

// DropKey ends the use of a key at once. It returns ErrKey when the party has no such key.
func (r *Roster) DropKey(ctx context.Context, name, id string) error {
	return r.change(ctx, name, func(is *stored, found bool) error {
		before := len(is.Wrapped)
		is.Wrapped = slices.DeleteFunc(is.Wrapped, func(k wrappedKey) bool { return k.ID == id })
		if !found || len(is.Wrapped) == before {
			return fmt.Errorf("%w: party %q has no key %q", ErrKey, name, id)
		}
		return nil
	})
}

// change reads a party, changes it and writes it back, against other writers.
func (r *Roster) change(
	ctx context.Context, name string, edit func(is *stored, found bool) error,
) error {
	defer r.forget()
	for range casTriesMax {
		value, version, err := r.registry.Get(ctx, partyPrefix+name)
		if err != nil {
			return fmt.Errorf("cannot read party %s: %w", name, err)
		}
		var is stored
		if value != nil {
			if err := json.Unmarshal(value, &is); err != nil {
				return fmt.Errorf("%w: party %s in the registry: %w", store.ErrDamaged, name, err)
			}
		}
		if err := edit(&is, value != nil); err != nil {
			return err
		}
		next, err := json.Marshal(&is)
		if err != nil {
			return fmt.Errorf("cannot write party %s: %w", name, err)
		}
		err = r.registry.Put(ctx, partyPrefix+name, next, version)
		if err == nil || !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("cannot change party %s: %w", name, store.ErrConflict)
}

// forget has the next reader read the registry again.
func (r *Roster) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readAt = 0
}

// member returns a party with its keys.
func (r *Roster) member(ctx context.Context, name string) (*member, error) {
	known, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	m := known[name]
	if m == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoParty, name)
	}
	return m, nil
}

// current returns the parties, at most rosterAgeMax old. When the registry does not answer,
// what was known holds on: a notice is not held up by it.
func (r *Roster) current(ctx context.Context) (map[string]*member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.known != nil && r.readAt != 0 && now-r.readAt < millis(rosterAgeMax) && now >= r.readAt {
		return r.known, nil
	}
	fresh, err := r.read(ctx)
	switch {
	case err == nil:
		r.known, r.readAt = fresh, now
	case r.known == nil || errors.Is(err, store.ErrDamaged):
		return nil, err
	}
	return r.known, nil
}

func (r *Roster) read(ctx context.Context) (map[string]*member, error) {
	keys, err := r.registry.Keys(ctx, partyPrefix)
	if err != nil {
		return nil, fmt.Errorf("cannot list the parties: %w", err)
	}
	known := make(map[string]*member, len(keys))
	for _, k := range keys {
		value, _, err := r.registry.Get(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", k, err)
		}
		if value == nil {
			continue // removed meanwhile
		}
		m, err := r.open(value)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", store.ErrDamaged, k, err)
		}
		known[m.Name] = m
	}
	return known, nil
}

// open unwraps the keys of a stored party.
func (r *Roster) open(value []byte) (*member, error) {
	var is stored
	if err := json.Unmarshal(value, &is); err != nil {
		return nil, err
	}
	m := &member{Party: is.Party}
	m.Keys = nil
	for _, w := range is.Wrapped {
		secret, err := r.vault.open(is.Name, w.ID, w.Secret)
		if err != nil {
			return nil, err
		}
		m.keys = append(m.keys, key{w.ID, secret})
		m.Keys = append(m.Keys, w.ID)
	}
	return m, nil
}

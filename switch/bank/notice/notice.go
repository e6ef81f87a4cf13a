// Package notice keeps what terminals and acquirers tell that moves no money (results of an
// issuer's script on a card's chip, cut-overs), and what of it a bank must still hear. It owns
// the registry keys below bank/notice/ and bank/forward/.
//
// A Letter is durable before its notice is acknowledged, and stays until its bank has answered:
// a Box that is opened again has every letter that was waiting. Times are txn.Millis. Safe for
// concurrent use; one process tells the banks.
//
// It does not send. A letter's text is sealed by the caller; a card is its token here.
package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Notice is what was told.
type Notice struct {
	// Request is the id of the message: its repeat has the same.
	Request  string     `json:"request,omitempty"`
	Terminal string     `json:"terminal"`
	MTI      string     `json:"mti"`
	Network  string     `json:"network,omitempty"`
	STAN     uint32     `json:"stan"`
	RRN      string     `json:"rrn,omitempty"`
	Card     string     `json:"card,omitempty"` // the token
	Chip     string     `json:"chip,omitempty"` // field 55 of a script result in hex
	At       txn.Millis `json:"at"`
	// Link is the bank that is told, ToldAt when it had heard of it, Said its answer.
	Link   string     `json:"link,omitempty"`
	ToldAt txn.Millis `json:"told_at,omitempty"`
	Said   string     `json:"said,omitempty"`
}

// Letter is what a bank must hear.
type Letter struct {
	Request txn.RequestID `json:"-"`
	ID      string        `json:"request"`
	Card    string        `json:"card"`
	// Key is where the notice stands.
	Key    string `json:"notice"`
	Link   string `json:"link"`
	RRN    string `json:"rrn"`
	Sealed []byte `json:"sealed"`
	// STAN and Sent are the same in every repeat; STAN is 0 before it was sent.
	STAN  uint32     `json:"stan"`
	Sent  string     `json:"sent"`
	Tries uint16     `json:"tries"`
	Due   txn.Millis `json:"due"`
	// Dead says that the bank has refused it: a person must decide.
	Dead bool `json:"dead,omitempty"`
}

// ErrFull reports a bank for which too many letters wait.
var ErrFull = errors.New("too many notices wait for the bank")

// ErrNone reports a letter that there is not.
var ErrNone = errors.New("no notice waits under this id")

const letterPrefix = "bank/forward/"

// Box has the letters that wait.
type Box struct {
	registry store.Registry

	mu      sync.Mutex // guards the fields below
	letters map[txn.RequestID]*kept
	waiting map[string]int // by link, dead ones not counted
}

type kept struct {
	Letter
	version uint64
}

// Open reads the letters that wait.
func Open(ctx context.Context, registry store.Registry) (*Box, error) {
	b := &Box{registry: registry, letters: map[txn.RequestID]*kept{}, waiting: map[string]int{}}
	keys, err := registry.Keys(ctx, letterPrefix)
	if err != nil {
		return nil, fmt.Errorf("notices: %w", err)
	}
	for _, key := range keys {
		value, version, err := registry.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("notices: %w", err)
		}
		if len(value) == 0 {
			continue
		}
		k := &kept{version: version}
		if err := json.Unmarshal(value, &k.Letter); err == nil {
			k.Request, err = txn.ParseRequestID(k.ID)
		}
		if err != nil || k.Request.IsZero() {
			return nil, fmt.Errorf("%w: %s", store.ErrDamaged, key)
		}
		b.letters[k.Request] = k
		b.countLocked(&k.Letter, +1)
	}
	return b, nil
}

func (b *Box) countLocked(l *Letter, by int) {
	if !l.Dead {
		b.waiting[l.Link] += by
	}
}

// Add puts a letter into the box, durably when it returns nil. One that is there already is left
// as it is. most is how many may wait for its bank; one more is ErrFull.
func (b *Box) Add(ctx context.Context, l Letter, most int) error {
	l.ID = l.Request.String()
	b.mu.Lock()
	_, there := b.letters[l.Request]
	full := b.waiting[l.Link] >= most
	if !there && !full { // its place is taken before it is written
		b.letters[l.Request] = nil
		b.waiting[l.Link]++
	}
	b.mu.Unlock()
	switch {
	case there:
		return nil
	case full:
		return fmt.Errorf("%w: %d for %s", ErrFull, most, l.Link)
	}
	version, err := b.put(ctx, &l, 0)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		delete(b.letters, l.Request)
		b.waiting[l.Link]--
		return err
	}
	b.letters[l.Request] = &kept{l, version}
	return nil
}

func (b *Box) put(ctx context.Context, l *Letter, version uint64) (uint64, error) {
	text, err := json.Marshal(l)
	if err == nil {
		err = b.registry.Put(ctx, letterPrefix+l.ID, text, version)
	}
	if err != nil {
		return version, fmt.Errorf("notice %s: %w", l.ID, err)
	}
	return version + 1, nil
}

// Find returns a letter; ok is false when it is not there (any more).
func (b *Box) Find(id txn.RequestID) (l Letter, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.letters[id]
	if k == nil {
		return l, false
	}
	return k.Letter, true
}

// Change changes a letter durably. Whoever calls it for a letter does so one at a time.
func (b *Box) Change(ctx context.Context, id txn.RequestID, change func(*Letter)) (Letter, error) {
	b.mu.Lock()
	k := b.letters[id]
	if k == nil {
		b.mu.Unlock()
		return Letter{}, ErrNone
	}
	next, version := k.Letter, k.version
	b.mu.Unlock()
	change(&next)
	version, err := b.put(ctx, &next, version)
	if err != nil {
		return next, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.countLocked(&k.Letter, -1)
	k.Letter, k.version = next, version
	b.countLocked(&k.Letter, +1)
	return next, nil
}

// Remove takes a letter out of the box: its bank has heard of it, or a person has closed it.
func (b *Box) Remove(ctx context.Context, id txn.RequestID) error {
	b.mu.Lock()
	k := b.letters[id]
	b.mu.Unlock()
	if k == nil {
		return ErrNone
	}
	if err := b.registry.Put(ctx, letterPrefix+k.ID, nil, k.version); err != nil {
		return fmt.Errorf("notice %s: %w", k.ID, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.letters, id)
	b.countLocked(&k.Letter, -1)
	return nil
}

// Due returns the letters that are due, the oldest first, at most most.
func (b *Box) Due(now txn.Millis, most int) (due []Letter) {
	b.mu.Lock()
	for _, k := range b.letters {
		if k != nil && !k.Dead && k.Due <= now {
			due = append(due, k.Letter)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(due, func(x, y Letter) int {
		if x.Due != y.Due {
			return int(x.Due - y.Due)
		}
		return strings.Compare(x.ID, y.ID)
	})
	return due[:min(most, len(due))]
}

// Waiting returns how many letters wait for a bank, those not counted that it has refused.
func (b *Box) Waiting(link string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting[link]
}

// Key is where the notice with a trace number of a terminal's day (YYYYMMDD) stands.
func Key(terminal, day string, stan uint32) string {
	return fmt.Sprintf("bank/notice/%s/%s/%06d", terminal, day, stan)
}

// Keep writes a notice. One that is kept already is given to change, and what that returns takes
// its place.
func Keep(ctx context.Context, r store.Registry, key string, change func(old Notice) Notice) error {
	for {
		value, version, err := r.Get(ctx, key)
		var n Notice
		if err == nil && len(value) > 0 {
			if err := json.Unmarshal(value, &n); err != nil {
				return fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
			}
		}
		if err != nil {
			return err
		}
		text, err := json.Marshal(change(n))
		if err == nil {
			err = r.Put(ctx, key, text, version)
		}
		if !errors.Is(err, store.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// Read returns the notice at key; the zero Notice when there is none.
func Read(ctx context.Context, r store.Registry, key string) (n Notice, err error) {
	value, _, err := r.Get(ctx, key)
	if err == nil && len(value) > 0 {
		if err = json.Unmarshal(value, &n); err != nil {
			err = fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
		}
	}
	return n, err
}

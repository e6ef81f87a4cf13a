// Package advice is what a bank is told of freezes and releases of the scheme's cards: the
// text of the message, and the numbers that make every repeat the same message. It owns the
// registry keys below bank/advice/.
//
// Numbers are durable before they are used. Times are txn.Millis. Safe for concurrent use. It
// sends nothing, and keeps no advice: who wants a bank told asks until it has answered.
package advice

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Card says what became of a card. The switch keeps no card number: token and last digits
// name it.
type Card struct {
	// ID names the advice for ever, in characters of a registry key: every repeat has the
	// same numbers.
	ID   string
	Kind string // freeze or release
	// Notice is what the bank acknowledges by, where it also calls back.
	Notice string
	Card   pan.Token
	Last4  string
	Scope  []string // the applications
	Reason string
	// AcceptedAt is when the report was accepted, RFC 3339.
	AcceptedAt string
}

// Text is the private field: names and values, divided by semicolons. Names are only ever
// added, behind those that are there.
func (c *Card) Text() string {
	return "card=" + c.Card.String() + ";last4=" + c.Last4 + ";kind=" + c.Kind + ";scope=" +
		strings.Join(c.Scope, "+") + ";reason=" + c.Reason + ";accepted=" + c.AcceptedAt +
		";notice=" + c.Notice
}

// Numbers are what makes repeats of an advice the same message to a bank.
type Numbers struct {
	STAN uint32     `json:"stan"`
	Sent string     `json:"sent"` // field 7
	At   txn.Millis `json:"at"`

	// Again says that it may have been sent before: it goes as a repeat.
	Again bool `json:"-"`

	key     string
	version uint64
}

const prefix = "bank/advice/"

// Book keeps numbers.
type Book struct {
	Registry store.Registry
	Now      func() txn.Millis
}

// Of returns the numbers of an advice for a link, durably. One that has none yet gets those
// of fresh. An error means that nothing may be sent; asking again is safe.
func (b Book) Of(ctx context.Context, link, id string, fresh func() (Numbers, error)) (Numbers, error) {
	key := prefix + link + "/" + id
	value, version, err := b.Registry.Get(ctx, key)
	if err != nil {
		return Numbers{}, fmt.Errorf("numbers of advice %s: %w", id, err)
	}
	if len(value) > 0 {
		n := Numbers{Again: true, key: key, version: version}
		if err := json.Unmarshal(value, &n); err != nil {
			return n, fmt.Errorf("%w: %s: %w", store.ErrDamaged, key, err)
		}
		return n, nil
	}
	n, err := fresh()
	if err != nil {
		return n, err
	}
	text, err := json.Marshal(&n)
	if err == nil {
		err = b.Registry.Put(ctx, key, text, version)
	}
	if err != nil {
		return n, fmt.Errorf("numbers of advice %s: %w", id, err)
	}
	n.key, n.version = key, version+1
	return n, nil
}

// Done forgets numbers: the bank has answered.
func (b Book) Done(ctx context.Context, n *Numbers) error {
	if err := b.Registry.Put(ctx, n.key, nil, n.version); err != nil {
		return fmt.Errorf("%s: %w", n.key, err)
	}
	return nil
}

// keep is how long numbers are kept of what was never answered: it was given up, or became
// void.
const keep txn.Millis = 45 * 24 * 3600 * 1000

// Sweep forgets old numbers. It is done when the edge starts.
func (b Book) Sweep(ctx context.Context) error {
	keys, err := b.Registry.Keys(ctx, prefix)
	if err != nil {
		return fmt.Errorf("numbers of advices: %w", err)
	}
	for _, key := range keys {
		value, version, err := b.Registry.Get(ctx, key)
		var n Numbers
		if err != nil || json.Unmarshal(value, &n) != nil || n.At >= b.Now()-keep {
			continue
		}
		if err := b.Registry.Put(ctx, key, nil, version); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

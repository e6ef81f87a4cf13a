package list_test

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// clock is a clock that stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Millis() txn.Millis { return txn.MillisOf(c.Now()) }

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// city is a store with a publisher.
type city struct {
	t     testing.TB
	mem   *storetest.Memory
	clock *clock
	pub   *list.Publisher
	marks map[pan.Token]txn.Mark // what the store must hold
}

func newCity(t testing.TB, m storetest.MemoryOptions, o list.Options) *city {
	t.Helper()
	c := &city{t: t, clock: newClock(), marks: map[pan.Token]txn.Mark{}}
	c.mem = storetest.NewMemory(m)
	if err := c.mem.OpenEpoch(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c.restart(o)
	return c
}

// restart puts another publisher in place of the one before.
func (c *city) restart(o list.Options) {
	c.t.Helper()
	if o.Source == nil {
		o.Source = c.mem
	}
	if o.Registry == nil {
		o.Registry = c.mem
	}
	o.Now, o.Scheme, o.KeyID = c.clock.Now, "testcity", "tok-1"
	pub, err := list.NewPublisher(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.pub = pub
}

// set gives a card a mark, zero to release it, and returns the number of the change.
func (c *city) set(card pan.Token, m txn.Mark) store.ListSeq {
	c.t.Helper()
	commit := &store.Commit{Card: card, AnyVersion: true, Mark: c.marks[card],
		List: &store.ListChange{Entry: store.Entry{Mark: m, Actor: "test"}}}
	err := c.mem.Commit(context.Background(), []*store.Commit{commit})
	if err != nil || commit.Status != store.Committed {
		c.t.Fatalf("freeze of %s: %v %v", card, commit.Status, err)
	}
	if c.marks[card] = m; m == (txn.Mark{}) {
		delete(c.marks, card)
	}
	return commit.ListSeq
}

func lost(scope txn.App) txn.Mark { return txn.Mark{Reason: txn.Lost, Scope: scope} }

// step publishes what is there.
func (c *city) step() list.Epoch {
	c.t.Helper()
	c.clock.move(time.Second)
	if err := c.pub.Step(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	e, _ := c.pub.Current()
	return e
}

// frozen returns the tokens of the model in order.
func (c *city) frozen(scope txn.App) []pan.Token {
	var all []pan.Token
	for _, card := range slices.SortedFunc(maps.Keys(c.marks), compareTokens) {
		if c.marks[card].Frozen(scope) {
			all = append(all, card)
		}
	}
	return all
}

func compareTokens(a, b pan.Token) int { return slices.Compare(a[:], b[:]) }

// card is a token with a first half and a second half.
func card(first, second uint64) (t pan.Token) {
	binary.BigEndian.PutUint64(t[:], first)
	binary.BigEndian.PutUint64(t[8:], second)
	return t
}

// spread is a token that is as evenly spread as those of cards.
func spread(i uint64) pan.Token {
	return card((i+1)*0x9e3779b97f4a7c15, (i+7)*0xd6e8feb86659fd93)
}

func sortedTokens(n int) []pan.Token {
	tokens := make([]pan.Token, n)
	for i := range tokens {
		tokens[i] = spread(uint64(i))
	}
	slices.SortFunc(tokens, compareTokens)
	return tokens
}

func testSigner(t testing.TB) (list.Signer, *list.Keys) {
	t.Helper()
	private := ed25519.NewKeyFromSeed([]byte("a seed of 32 bytes for test keys"))
	s, err := receipt.NewEd25519Signer("gates/1", private)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := list.NewKeys(receipt.Key{ID: "gates/1", Algorithm: receipt.Ed25519,
		Public: s.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	return s, keys
}

// full returns the bytes of a full file.
func (c *city) full(scope txn.App, k list.Kind) ([]byte, *list.Full) {
	c.t.Helper()
	f, err := c.pub.Full(c.t.Context(), scope, k)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := f.Open()
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Close()
	data := make([]byte, f.Size)
	if _, err := r.Read(data); err != nil {
		c.t.Fatal(err)
	}
	return data, f
}

func open(t testing.TB, data []byte) *list.List {
	t.Helper()
	l, err := list.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func terminal(t testing.TB, n int) txn.TerminalID {
	t.Helper()
	id, err := txn.ParseTerminalID(fmt.Sprintf("GATE%06d", n))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

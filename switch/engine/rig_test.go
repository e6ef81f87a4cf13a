package engine_test

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// replica is the blacklist of the tests: it knows what it was told.
type replica struct {
	mu    sync.Mutex
	marks map[pan.Token]txn.Mark // guarded by mu
}

func (r *replica) Mark(card pan.Token) txn.Mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks[card]
}

func (r *replica) Learn(card pan.Token, mark txn.Mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mark == (txn.Mark{}) {
		delete(r.marks, card)
	} else {
		r.marks[card] = mark
	}
}

// tapped is a store.Cards with hooks around each call.
type tapped struct {
	store.Cards
	loads   atomic.Int64
	commits atomic.Int64 // commits, not lists
	calls   atomic.Int64
	// beforeCommit, when not nil, is called before each list.
	beforeCommit func([]*store.Commit)
}

func (c *tapped) Load(ctx context.Context, card pan.Token, dst []byte) (store.Loaded, error) {
	c.loads.Add(1)
	return c.Cards.Load(ctx, card, dst)
}

func (c *tapped) Commit(ctx context.Context, commits []*store.Commit) error {
	c.calls.Add(1)
	c.commits.Add(int64(len(commits)))
	if c.beforeCommit != nil {
		c.beforeCommit(commits)
	}
	return c.Cards.Commit(ctx, commits)
}

// rig is an engine on the reference store.
type rig struct {
	shares int // of long lists
	t      testing.TB
	clock  atomic.Int64
	store  *storetest.Memory
	cards  *tapped
	cache  *engine.Cache
	list   *replica
	engine *engine.Engine
	maker  *wallet // makes requests
}

func newRig(t testing.TB, o storetest.MemoryOptions) *rig {
	t.Helper()
	r := &rig{t: t, maker: newWallet(t)}
	r.clock.Store(int64(morning))
	o.Now = r.now
	r.store = storetest.NewMemory(o)
	if err := r.store.OpenEpoch(t.Context(), morning); err != nil {
		t.Fatal(err)
	}
	r.open()
	return r
}

func (r *rig) now() txn.Millis { return txn.Millis(r.clock.Load()) }

func (r *rig) pass(m txn.Millis) {
	r.clock.Add(int64(m))
	r.maker.now = r.now()
}

// open makes a fresh engine on the same store, as after a restart.
func (r *rig) open() {
	r.t.Helper()
	r.cards = &tapped{Cards: r.store}
	r.cache = engine.NewCache(r.cards, 1<<16)
	r.list = &replica{marks: map[pan.Token]txn.Mark{}}
	r.engine = r.engineOn(r.cache, r.list)
}

func (r *rig) engineOn(cards store.Cards, list engine.Blacklist) *engine.Engine {
	r.t.Helper()
	e, err := engine.New(engine.Options{Cards: cards, Blacklist: list, Policy: policy(r.t),
		Now: r.now, Shares: r.shares})
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// enrol opens card number n with the balance.
func (r *rig) enrol(n byte, balance txn.Minor) {
	r.t.Helper()
	r.maker.token = token(n)
	r.must(r.maker.request(txn.Enrol, func(q *txn.Request) {
		q.Enrolment.Apps = txn.AppTransit | txn.AppPurse
	}))
	if balance > 0 {
		r.must(r.maker.load(balance))
	}
}

func (r *rig) must(q *txn.Request) engine.Answer {
	r.t.Helper()
	a := r.engine.Authorize(r.t.Context(), q)
	if a.Err != nil || a.Decision.Outcome != txn.Approved {
		r.t.Fatalf("%s %s: %s, %v; want approved", q.Kind, q.ID, a.Decision.Reason, a.Err)
	}
	return a
}

func (r *rig) refused(q *txn.Request, reason txn.Reason) engine.Answer {
	r.t.Helper()
	a := r.engine.Authorize(r.t.Context(), q)
	if a.Err != nil || a.Decision.Reason != reason {
		r.t.Fatalf("%s %s: %s, %v; want %s", q.Kind, q.ID, a.Decision.Reason, a.Err, reason)
	}
	return a
}

// state returns the card as the store has it.
func (r *rig) state(card pan.Token) (card.State, store.Loaded) {
	r.t.Helper()
	return stateOf(r.t, r.store, card)
}

func stateOf(t testing.TB, s store.Cards, token pan.Token) (card.State, store.Loaded) {
	t.Helper()
	l, err := s.Load(context.Background(), token, nil)
	if err != nil {
		t.Fatal(err)
	}
	var state card.State
	if l.Version > 0 {
		if err := state.Decode(l.State); err != nil {
			t.Fatal(err)
		}
	}
	return state, l
}

// records returns the settled records of the outbox, markers left out.
func (r *rig) records() []txn.Record {
	r.t.Helper()
	var all []txn.Record
	for shard := range r.store.Shards() {
		entries, _, err := r.store.Read(context.Background(), shard, store.Cursor{}, 1<<20)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range entries {
			rec, err := txn.DecodeRecord(e.Record)
			if err != nil {
				r.t.Fatalf("%s: %v", e.Position, err)
			}
			if !rec.Kind.IsMarker() {
				all = append(all, rec)
			}
		}
	}
	return all
}

// checkAll proves over the whole store that no approval was lost or counted twice.
func (r *rig) checkAll() {
	r.t.Helper()
	balances := map[pan.Token]txn.Minor{}
	executed := map[txn.RequestID]int{}
	last := map[pan.Token]txn.Record{}
	for _, rec := range r.records() {
		if err := rec.CheckPostings(); err != nil {
			r.t.Fatal(err)
		}
		balances[rec.Card] += purseSum(&rec)
		if rec.Outcome == txn.Approved && !rec.Request.IsZero() {
			executed[rec.Request]++
		}
		if wrote(rec.Kind) {
			if before := last[rec.Card]; rec.CardVersion != before.CardVersion+1 {
				r.t.Fatalf("card %s: version %d settled after %d", rec.Card, rec.CardVersion,
					before.CardVersion)
			}
			if rec.BalanceAfter != balances[rec.Card] {
				r.t.Fatalf("%s: balance after %d, postings sum to %d", rec.Request,
					rec.BalanceAfter, balances[rec.Card])
			}
			last[rec.Card] = rec
		}
	}
	for id, n := range executed {
		if n != 1 {
			r.t.Fatalf("%s was executed %d times", id, n)
		}
	}
	for card, sum := range balances {
		if state, l := r.state(card); state.Balance != sum || l.Version != last[card].CardVersion {
			r.t.Fatalf("card %s: balance %d in version %d, records say %d in %d", card,
				state.Balance, l.Version, sum, last[card].CardVersion)
		}
	}
}

// wrote reports whether a record of the kind comes with a new state.
func wrote(k txn.Kind) bool { return k != txn.Freeze && k != txn.Release }

// same reports whether b is the answer a, given again.
func same(a, b txn.Decision) bool {
	a.Replay, b.Replay = false, false
	return reflect.DeepEqual(a, b)
}

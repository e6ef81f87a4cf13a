package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestAuthorize(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	buy := r.maker.purchase(300)
	first := r.must(buy)
	if first.Decision.BalanceAfter != 700 || first.Position.Seq != 3 || first.Position.Epoch != 1 {
		t.Fatalf("%+v", first)
	}
	loads := r.cards.loads.Load()
	again := r.must(buy)
	if !again.Decision.Replay || !same(first.Decision, again.Decision) || again.Position.Seq != 0 {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	if r.cards.loads.Load() != loads {
		t.Error("a card in the cache was loaded")
	}
	r.refused(r.maker.purchase(701), txn.InsufficientFunds)
	r.maker.token = token(9)
	commits := r.cards.commits.Load()
	r.refused(r.maker.purchase(1), txn.UnknownCard)
	if r.cards.commits.Load() != commits {
		t.Error("an unknown card was committed")
	}
	if n := r.engine.Stats().Replays.Load(); n != 1 {
		t.Errorf("%d replays counted, want 1", n)
	}
	r.checkAll()
}

func TestPolicyIsChecked(t *testing.T) {
	good := policy(t)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*engine.Policy){
		"tariff":          func(p *engine.Policy) { p.Tariff = nil },
		"currency":        func(p *engine.Policy) { p.Currency = 0 },
		"future_max":      func(p *engine.Policy) { p.FutureMax = 0 },
		"age_max":         func(p *engine.Policy) { p.AgeMax = -1 },
		"offline_age_max": func(p *engine.Policy) { p.OfflineAgeMax = 1 << 60 },
		"purchase_max":    func(p *engine.Policy) { p.PurchaseMax = 0 },
		"load_max":        func(p *engine.Policy) { p.LoadMax = txn.MinorMax + 1 },
		"balance_max":     func(p *engine.Policy) { p.BalanceMax = -1 },
		"journey_max":     func(p *engine.Policy) { p.JourneyMax = 0 },
		"journey_lapse":   func(p *engine.Policy) { p.JourneyLapse = p.JourneyMax - 1 },
	} {
		bad := good
		change(&bad)
		err := bad.Check()
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := engine.New(engine.Options{Policy: bad}); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	r := newRig(t, storetest.MemoryOptions{})
	changed := good
	changed.PurchaseMax = 5
	if err := r.engine.SetPolicy(changed); err != nil {
		t.Fatal(err)
	}
	if err := r.engine.SetPolicy(engine.Policy{}); err == nil {
		t.Error("an empty policy was put in force")
	}
	r.enrol(1, 100)
	r.refused(r.maker.purchase(6), txn.LimitExceeded)
	if got := r.engine.Policy().PurchaseMax; got != 5 {
		t.Errorf("policy in force has %d", got)
	}
}

// Two switches with a cache each: what the other committed costs a retry, no more.
func TestStaleCache(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	other := r.engineOn(engine.NewCache(r.store, 100), &replica{marks: map[pan.Token]txn.Mark{}})
	for range 5 {
		for _, e := range []*engine.Engine{r.engine, other} {
			q := r.maker.purchase(100)
			if a := e.Authorize(t.Context(), q); a.Err != nil || a.Decision.Outcome != txn.Approved {
				t.Fatalf("%+v", a)
			}
		}
	}
	if n := r.engine.Stats().Conflicts.Load(); n != 4 {
		t.Errorf("%d conflicts, want 4", n)
	}
	// A decline is compared like an approval: the stale balance is 0, the true one 50.
	if a := other.Authorize(t.Context(), r.maker.load(50)); a.Err != nil {
		t.Fatal(a.Err)
	}
	r.must(r.maker.purchase(50))
	r.refused(r.maker.purchase(1), txn.InsufficientFunds)
	r.checkAll()
}

// The balance, a replay and a refusal of the request itself are compared as well.
func TestChecksOnlyCommitsAreCompared(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	other := r.engineOn(engine.NewCache(r.store, 100), &replica{marks: map[pan.Token]txn.Mark{}})
	if a := other.Authorize(t.Context(), r.maker.purchase(1)); a.Err != nil {
		t.Fatal(a.Err)
	}
	if a := r.must(r.maker.request(txn.Balance)); a.Decision.BalanceAfter != 999 {
		t.Fatalf("balance %d from a stale cache, want 999", a.Decision.BalanceAfter)
	}
	buy := r.maker.purchase(9)
	r.must(buy)
	used := *buy
	used.Amount = 10
	if a := other.Authorize(t.Context(), &used); a.Decision.Reason != txn.IDReused {
		t.Fatalf("%+v, want %s", a, txn.IDReused)
	}
}

// The card is frozen by another switch between load and commit: Commit sees it, in both
// directions.
func TestMarkConflict(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	desk := r.engineOn(r.store, &replica{marks: map[pan.Token]txn.Mark{}})
	freeze := r.maker.freeze(txn.Lost, txn.AppAll)
	var once sync.Once
	r.cards.beforeCommit = func([]*store.Commit) {
		once.Do(func() {
			if a := desk.Authorize(t.Context(), freeze); a.Decision.Outcome != txn.Approved {
				t.Errorf("freeze: %+v", a)
			}
		})
	}
	r.refused(r.maker.purchase(100), txn.CardFrozen)
	if n := r.engine.Stats().Marks.Load(); n != 1 {
		t.Errorf("%d mark conflicts, want 1", n)
	}
	if !r.list.Mark(token(1)).Frozen(txn.AppPurse) {
		t.Error("the replica was not told")
	}
	// Released elsewhere: the replica still says frozen, the store says otherwise.
	if a := desk.Authorize(t.Context(), r.maker.request(txn.Release)); a.Err != nil {
		t.Fatal(a.Err)
	}
	r.must(r.maker.purchase(100))
	if r.list.Mark(token(1)) != (txn.Mark{}) {
		t.Error("the replica was not told of the release")
	}
	r.checkAll()
}

// What is answered about the list itself rests on the store, also for a card that is not
// enrolled: a stale replica must not say "already frozen" of an open card.
func TestFreezeWithAStaleReplica(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	for _, enrolled := range []bool{false, true} {
		n := byte(20)
		if enrolled {
			n = 21
			r.enrol(n, 0)
		}
		r.maker.token = token(n)
		r.list.Learn(token(n), txn.Mark{Reason: txn.Lost, Scope: txn.AppAll})
		r.must(r.maker.freeze(txn.Lost, txn.AppAll))
		if _, l := r.state(token(n)); !l.Mark.Frozen(txn.AppAll) {
			t.Fatalf("enrolled %v: the store has %+v", enrolled, l.Mark)
		}
		r.list.Learn(token(n), txn.Mark{})
		r.refused(r.maker.freeze(txn.Lost, txn.AppAll), txn.AlreadyListed)
		r.list.Learn(token(n), txn.Mark{})
		r.must(r.maker.request(txn.Release))
	}
}

// A freeze does not lose against a stream of taps: it compares no version.
func TestFreezeDoesNotCompareTheVersion(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	r.must(r.maker.board("FREE")) // in the cache
	other := r.engineOn(r.store, &replica{marks: map[pan.Token]txn.Mark{}})
	if a := other.Authorize(t.Context(), r.maker.board("FREE")); a.Err != nil {
		t.Fatal(a.Err)
	}
	calls := r.cards.calls.Load()
	a := r.must(r.maker.freeze(txn.Lost, txn.AppAll))
	if a.Position.Seq == 0 || r.cards.calls.Load() != calls+1 {
		t.Fatalf("%+v after %d calls", a, r.cards.calls.Load()-calls)
	}
	r.refused(r.maker.board("FREE"), txn.CardFrozen)
	r.checkAll()
}

// FAULTS.md row 2: many copies of one request at once; one is executed, all get the same.
func TestRaceOfCopies(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	second := r.engineOn(engine.NewCache(r.store, 100), &replica{marks: map[pan.Token]txn.Mark{}})
	const copies = 64
	for round := range 20 {
		q := r.maker.purchase(10)
		answers := make([]engine.Answer, copies)
		var start, all sync.WaitGroup
		start.Add(1)
		for i := range copies {
			all.Go(func() {
				start.Wait()
				mine := *q
				e := r.engine
				if i%2 == 1 {
					e = second
				}
				answers[i] = e.Authorize(t.Context(), &mine)
			})
		}
		start.Done()
		all.Wait()
		executed := 0
		for i, a := range answers {
			if a.Err != nil || !same(a.Decision, answers[0].Decision) {
				t.Fatalf("copy %d: %+v, copy 0: %+v", i, a, answers[0])
			}
			if !a.Decision.Replay {
				executed++
			}
		}
		if executed != 1 {
			t.Fatalf("round %d: executed %d times", round, executed)
		}
	}
	if state, _ := r.state(token(1)); state.Balance != 800 {
		t.Fatalf("balance %d, want 800", state.Balance)
	}
	r.checkAll()
}

// Freezes race with purchases: once the freeze has returned nothing is approved.
func TestRaceOfFreezeAndPurchase(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 100_000)
	stale := r.engineOn(engine.NewCache(r.store, 100), &replica{marks: map[pan.Token]txn.Mark{}})
	for range 20 {
		r.pass(card.RecentYoung) // a card remembers so many requests of one moment and no more
		var frozen, all sync.WaitGroup
		frozen.Add(1)
		late := make([]*txn.Request, 8)
		for i := range late {
			late[i] = r.maker.purchase(1)
		}
		early := make([]*txn.Request, 8)
		for i := range early {
			early[i] = r.maker.purchase(1)
		}
		freeze, release := r.maker.freeze(txn.Lost, txn.AppAll), r.maker.request(txn.Release)
		all.Go(func() {
			defer frozen.Done()
			if a := r.engine.Authorize(t.Context(), freeze); a.Decision.Outcome != txn.Approved {
				t.Errorf("freeze: %+v", a)
			}
		})
		for i := range early {
			all.Go(func() { stale.Authorize(t.Context(), early[i]) })
			all.Go(func() {
				frozen.Wait()
				if a := stale.Authorize(t.Context(), late[i]); a.Decision.Reason != txn.CardFrozen {
					t.Errorf("after the freeze: %+v", a)
				}
			})
		}
		all.Wait()
		r.must(release)
	}
	r.checkAll()
}

// Many places use one card at once: all are served, each once.
func TestContendedCard(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	var all sync.WaitGroup
	for range 40 {
		q := r.maker.purchase(10)
		all.Go(func() {
			a := r.engine.Authorize(t.Context(), q)
			if a.Err != nil || a.Decision.Outcome != txn.Approved {
				t.Errorf("%+v", a)
			}
		})
	}
	all.Wait()
	if state, _ := r.state(token(1)); state.Balance != 600 {
		t.Fatalf("balance %d, want 600", state.Balance)
	}
	r.checkAll()
}

// A card that never stops changing gives up, undecided and not executed.
func TestCardThatNeverStopsChanging(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	r.cards.beforeCommit = func([]*store.Commit) {
		_, l := r.state(token(1))
		c := &store.Commit{Card: token(1), Version: l.Version, State: l.State}
		if err := r.store.Commit(t.Context(), []*store.Commit{c}); err != nil {
			t.Error(err)
		}
	}
	q := r.maker.purchase(10)
	a := r.engine.Authorize(t.Context(), q)
	if !errors.Is(a.Err, engine.ErrContended) || errors.Is(a.Err, engine.ErrInDoubt) {
		t.Fatalf("%+v, want %v", a, engine.ErrContended)
	}
	if a.Decision != (txn.Decision{}) {
		t.Fatalf("a decision beside the error: %+v", a.Decision)
	}
	r.cards.beforeCommit = nil
	if state, _ := r.state(token(1)); state.Balance != 1000 || state.Find(q.ID) >= 0 {
		t.Fatal("it was executed after all")
	}
}

func TestDeadline(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	q := r.maker.purchase(10)
	q.Deadline = r.now() - 1
	a := r.refused(q, txn.DeadlinePassed)
	if !a.Decision.Reason.Retryable() || a.Position != (txn.Position{}) {
		t.Fatalf("%+v", a)
	}
	if state, _ := r.state(token(1)); state.Balance != 1000 {
		t.Fatal("executed after its deadline")
	}
	q.Deadline = r.now()
	r.must(q)
	r.checkAll()
}

// At the outbox's high-water mark approvals and declines stop; freezes, releases and
// reversals pass, and what leaves no record still answers.
func TestOutboxFull(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{OutboxMax: 4})
	r.enrol(1, 1000)
	buy := r.maker.purchase(10)
	r.must(buy)
	blocked := r.maker.purchase(10)
	r.refused(blocked, txn.StoreUnavailable)
	r.refused(r.maker.purchase(5000), txn.StoreUnavailable)
	r.must(buy) // a replay
	r.must(r.maker.request(txn.Balance))
	r.must(r.maker.reversal(buy))
	r.must(r.maker.freeze(txn.Lost, txn.AppAll))
	r.must(r.maker.request(txn.Release))
	if state, _ := r.state(token(1)); state.Balance != 1000 || state.Find(blocked.ID) >= 0 {
		t.Fatalf("%+v", state)
	}
	r.checkAll()
}

// A state that cannot be read is damage: nothing is decided on it and nothing overwrites it.
func TestDamagedState(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.maker.token = token(1)
	bad := []byte{99, 1, 2, 3}
	c := &store.Commit{Card: token(1), State: bad}
	if err := r.store.Commit(t.Context(), []*store.Commit{c}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []*txn.Request{r.maker.purchase(1), r.maker.request(txn.Enrol)} {
		a := r.engine.Authorize(t.Context(), q)
		if !errors.Is(a.Err, store.ErrDamaged) || errors.Is(a.Err, engine.ErrInDoubt) {
			t.Fatalf("%s: %+v", q.Kind, a)
		}
	}
	if l, err := r.store.Load(t.Context(), token(1), nil); err != nil || string(l.State) != string(bad) {
		t.Fatalf("state %v, %v", l.State, err)
	}
}

func TestAuthorizeAll(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	for n := range byte(10) {
		r.enrol(n, 100)
	}
	var list []*txn.Request
	for n := range byte(10) {
		r.maker.token = token(n)
		list = append(list, r.maker.purchase(10))
	}
	calls := r.cards.calls.Load()
	for i, a := range r.engine.AuthorizeAll(t.Context(), list) {
		if a.Err != nil || a.Decision.BalanceAfter != 90 || a.Position.Seq != 3 {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	if n := r.cards.calls.Load() - calls; n != 1 {
		t.Errorf("%d commit calls for 10 cards, want 1", n)
	}
	if got := r.engine.AuthorizeAll(t.Context(), nil); len(got) != 0 {
		t.Errorf("an empty list gave %v", got)
	}
	r.checkAll()
}

// The requests of one card keep their order in a list: the load pays for what follows it,
// a copy replays, an unknown card and a refusal stand between them.
func TestAuthorizeAllKeepsTheOrderOfACard(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 0)
	r.enrol(2, 100)
	first, second := &wallet{t: t, token: token(1), now: morning, counter: 500},
		&wallet{t: t, token: token(2), now: morning, counter: 600}
	stranger := &wallet{t: t, token: token(3), now: morning, counter: 700}
	buy := first.purchase(60)
	list := []*txn.Request{
		first.purchase(1), second.purchase(50), first.load(100), stranger.purchase(1), buy,
		second.purchase(51), buy, first.entry("Futian"), first.exit("Luohu"),
		first.reversal(buy), second.purchase(50),
	}
	want := []txn.Reason{txn.InsufficientFunds, 0, 0, txn.UnknownCard, 0, txn.InsufficientFunds, 0,
		0, txn.InsufficientFunds, 0, 0}
	for i, a := range r.engine.AuthorizeAll(t.Context(), list) {
		if a.Err != nil || a.Decision.Reason != want[i] || a.Decision.Replay != (i == 6) {
			t.Errorf("request %d, %s: %+v, want %s", i, list[i].Kind, a, want[i])
		}
	}
	for n, balance := range map[byte]txn.Minor{1: 100, 2: 0} {
		if state, _ := r.state(token(n)); state.Balance != balance {
			t.Errorf("card %d: balance %d, want %d", n, state.Balance, balance)
		}
	}
	r.checkAll()
}

// Lists longer than a store call are cut; lists race with each other and with single
// requests on the same cards.
func TestAuthorizeAllInParallel(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	const cards = 8
	for n := range byte(cards) {
		r.enrol(n, 10_000)
	}
	var all sync.WaitGroup
	for part := range 6 {
		w := &wallet{t: t, now: morning, counter: uint32(10_000 * (part + 1))}
		var list []*txn.Request
		for i := range 5 * cards {
			w.token = token(byte(i % cards))
			list = append(list, w.purchase(10))
		}
		all.Go(func() {
			if part == 0 {
				for _, q := range list {
					if a := r.engine.Authorize(t.Context(), q); a.Err != nil {
						t.Errorf("%+v", a)
					}
				}
				return
			}
			for i, a := range r.engine.AuthorizeAll(t.Context(), list) {
				if a.Err != nil || a.Decision.Outcome != txn.Approved {
					t.Errorf("request %d: %+v", i, a)
				}
			}
		})
	}
	all.Wait()
	for n := range byte(cards) {
		if state, _ := r.state(token(n)); state.Balance != 10_000-6*5*10 {
			t.Errorf("card %d: balance %d", n, state.Balance)
		}
	}
	r.checkAll()
}

func TestAuthorizeAllBeyondOneStoreCall(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	w := &wallet{t: t, now: morning}
	list := make([]*txn.Request, store.CommitListMax+3)
	for i := range list {
		w.token = pan.Token{byte(i), byte(i >> 8), 1}
		list[i] = w.request(txn.Enrol)
	}
	r.cards.beforeCommit = func(commits []*store.Commit) {
		if len(commits) > store.CommitListMax {
			t.Errorf("%d commits in a call", len(commits))
		}
	}
	for i, a := range r.engine.AuthorizeAll(t.Context(), list) {
		if a.Err != nil || a.Decision.Outcome != txn.Approved {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	if n := r.cards.calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// A long list shared among goroutines: every card's requests keep their order, and every
// answer stands at its request.
func TestAuthorizeAllShared(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.shares = 4
	r.open()
	const cards, each = 150, 20
	for n := range byte(cards) {
		r.enrol(n, 10_000)
	}
	w := &wallet{t: t, now: morning, counter: 1_000_000}
	list := make([]*txn.Request, cards*each)
	for i := range list {
		w.token = token(byte(i % cards))
		list[i] = w.purchase(txn.Minor(1 + i/cards))
	}
	answers := r.engine.AuthorizeAll(t.Context(), list)
	for i, a := range answers {
		round := i / cards
		want := txn.Minor(10_000 - (round+1)*(round+2)/2)
		if a.Err != nil || a.Decision.Outcome != txn.Approved || a.Decision.BalanceAfter != want {
			t.Fatalf("request %d: %+v, want balance %d", i, a, want)
		}
		if round > 0 && !answers[i-cards].Position.Before(a.Position) {
			t.Fatalf("request %d is at %v, the one before it at %v", i, a.Position,
				answers[i-cards].Position)
		}
	}
	r.checkAll()
}

// One card five thousand times in a list costs time in proportion, not more.
func TestAuthorizeAllOfOneCard(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 0)
	list := make([]*txn.Request, 5000)
	for i := range list {
		list[i] = r.maker.board("FREE")
		list[i].ServiceAt += txn.Millis(i)
	}
	for i, a := range r.engine.AuthorizeAll(t.Context(), list) {
		if a.Err != nil || a.Decision.Outcome != txn.Approved {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
}

func TestEndedContext(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := r.maker.purchase(10)
	for _, a := range append(r.engine.AuthorizeAll(ctx, []*txn.Request{q, q}),
		r.engine.Authorize(ctx, q)) {
		if !errors.Is(a.Err, engine.ErrInDoubt) || a.Decision != (txn.Decision{}) {
			t.Fatalf("%+v, want %v", a, engine.ErrInDoubt)
		}
	}
	r.must(q)
	r.checkAll()
}

// A later epoch is fatal for this process and no doubt about the request.
func TestFencedStore(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	if err := r.store.Handle().OpenEpoch(t.Context(), morning); err != nil {
		t.Fatal(err)
	}
	calls := r.cards.calls.Load()
	a := r.engine.Authorize(t.Context(), r.maker.purchase(10))
	if !errors.Is(a.Err, store.ErrFenced) {
		t.Fatalf("%+v, want %v", a, store.ErrFenced)
	}
	if n := r.cards.calls.Load() - calls; n != 1 {
		t.Errorf("tried %d times", n)
	}
	r.checkAll()
}

func ExampleEngine_Authorize() {
	// A card that is not enrolled is refused, not an error.
	d := txn.Decision{Outcome: txn.Declined, Reason: txn.UnknownCard}
	fmt.Println(d.Outcome, d.Reason, d.Reason.Text().Field39)
	// Output: declined card_unknown 14
}

// A store that answers with a status that does not exist breaks an invariant.
func TestUnansweredCommitPanics(t *testing.T) {
	w := inUse(t)
	e, err := engine.New(engine.Options{Cards: &mute{still{store.Loaded{State: w.state,
		Version: w.version}}}, Blacklist: nobody{}, Policy: w.policy,
		Now: func() txn.Millis { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if text := fmt.Sprint(recover()); !strings.HasPrefix(text, "engine: internal error: ") {
			t.Errorf("got %s", text)
		}
	}()
	e.Authorize(t.Context(), w.board("M1"))
}

type mute struct{ still }

func (*mute) Commit(context.Context, []*store.Commit) error { return nil }

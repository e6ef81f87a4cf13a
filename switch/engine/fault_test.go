package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The store's operations that the engine and its clockwork use. The others are used by
// others; the table names all, so that a new one is seen.
var usedOps = map[storetest.Op]bool{
	storetest.OpLoad: true, storetest.OpCommit: true,
	storetest.OpDueBefore: true, storetest.OpBuckets: true, storetest.OpCutOver: true,

	storetest.OpSnapshot: false, storetest.OpChanges: false, storetest.OpEntry: false,
	storetest.OpTails: false, storetest.OpRead: false, storetest.OpConfirm: false,
	storetest.OpOpenEpoch: false, storetest.OpGet: false, storetest.OpPut: false,
	storetest.OpKeys: false,
}

func TestFaultTableNamesEveryOperation(t *testing.T) {
	for _, op := range storetest.Ops() {
		if _, ok := usedOps[op]; !ok {
			t.Errorf("operation %s is not in the table", op)
		}
	}
}

// failing fails the nth operation of a kind, counted from 1, and the ones after it up to
// times in all.
func failing(op storetest.Op, nth, times int, fault storetest.Fault) func(storetest.Op) storetest.Fault {
	seen := 0
	return func(o storetest.Op) storetest.Fault {
		if o != op {
			return storetest.NoFault
		}
		seen++
		if seen >= nth && seen < nth+times {
			return fault
		}
		return storetest.NoFault
	}
}

var bothFaults = map[string]storetest.Fault{
	"not applied": storetest.NotApplied, "applied": storetest.AppliedUnreported,
}

// effects are the requests that change something, each with what it does to the purse.
var effects = []struct {
	name  string
	make  func(*rig) *txn.Request
	moved txn.Minor
	// retried is the reason of the second copy where the card does not remember requests
	// of the kind.
	retried txn.Reason
}{
	{name: "purchase", moved: -100, make: func(r *rig) *txn.Request { return r.maker.purchase(100) }},
	{name: "decline", make: func(r *rig) *txn.Request { return r.maker.purchase(99_000) }},
	{name: "load", moved: 70, make: func(r *rig) *txn.Request { return r.maker.load(70) }},
	{name: "bus", moved: -300, make: func(r *rig) *txn.Request { return r.maker.board("M1") }},
	{name: "entry", make: func(r *rig) *txn.Request { return r.maker.entry("Futian") }},
	{name: "refund", moved: 40, make: func(r *rig) *txn.Request {
		bought := r.maker.purchase(40)
		r.must(bought)
		return r.maker.refund(bought, 40)
	}},
	{name: "reversal", moved: 40, make: func(r *rig) *txn.Request {
		bought := r.maker.purchase(40)
		r.must(bought)
		return r.maker.reversal(bought)
	}},
	{name: "tombstone", make: func(r *rig) *txn.Request {
		return r.maker.reversal(r.maker.purchase(1))
	}},
	{name: "balance", make: func(r *rig) *txn.Request { return r.maker.request(txn.Balance) }},
	{name: "freeze", retried: txn.AlreadyListed, make: func(r *rig) *txn.Request {
		return r.maker.freeze(txn.Lost, txn.AppLibrary)
	}},
	{name: "release", retried: txn.NotListed, make: func(r *rig) *txn.Request {
		r.must(r.maker.freeze(txn.Lost, txn.AppLibrary))
		return r.maker.request(txn.Release)
	}},
}

// Every effect fails in both ways, once and as often as the engine tries, in Load and in
// Commit. The client sends the same request until it has an answer. Afterwards it was
// executed exactly once, all its answers agree, and the books hold.
func TestFaultTable(t *testing.T) {
	for name, fault := range bothFaults {
		for _, op := range []storetest.Op{storetest.OpLoad, storetest.OpCommit} {
			for _, times := range []int{1, 2, 3, 4, 9} {
				for _, effect := range effects {
					t.Run(fmt.Sprintf("%s/%s/%d/%s", op, name, times, effect.name), func(t *testing.T) {
						r := newRig(t, storetest.MemoryOptions{})
						r.enrol(1, 1000)
						q := effect.make(r)
						before, _ := r.state(token(1))
						if op == storetest.OpLoad {
							r.open() // a cold cache
							r.list.Learn(token(1), r.mark())
						}
						r.store.SetFault(failing(op, 1, times, fault))
						answer := r.untilAnswered(q)
						r.store.SetFault(nil)
						state, _ := r.state(token(1))
						if state.Balance != before.Balance+effect.moved {
							t.Fatalf("balance %d, before %d, want %d moved", state.Balance,
								before.Balance, effect.moved)
						}
						again := r.engine.Authorize(t.Context(), q)
						if effect.retried != txn.ReasonNone {
							if again.Decision.Reason != effect.retried {
								t.Fatalf("again: %+v, want %s", again, effect.retried)
							}
						} else if again.Err != nil || !same(again.Decision, answer.Decision) {
							t.Fatalf("first %+v, again %+v", answer, again)
						}
						r.checkAll()
						r.open()
						r.list.Learn(token(1), r.mark())
						if late := r.engine.Authorize(t.Context(), q); !same(late.Decision, again.Decision) {
							t.Fatalf("after a restart %+v, before it %+v", late, again)
						}
					})
				}
			}
		}
	}
}

func (r *rig) mark() txn.Mark {
	_, l := r.state(token(1))
	return l.Mark
}

// untilAnswered sends q as a terminal does that gets no answer.
func (r *rig) untilAnswered(q *txn.Request) engine.Answer {
	r.t.Helper()
	for range 10 {
		a := r.engine.Authorize(r.t.Context(), q)
		if a.Err == nil {
			return a
		}
		if !errors.Is(a.Err, engine.ErrInDoubt) || a.Decision != (txn.Decision{}) {
			r.t.Fatalf("%+v, want %v", a, engine.ErrInDoubt)
		}
	}
	r.t.Fatal("never answered")
	return engine.Answer{}
}

// In an outage a request asks the store a few times and no more, and says that it does not
// know: never that nothing was executed.
func TestOutage(t *testing.T) {
	for name, fault := range bothFaults {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, storetest.MemoryOptions{})
			r.enrol(1, 1000)
			r.store.SetFault(func(op storetest.Op) storetest.Fault {
				if op == storetest.OpCommit {
					return fault
				}
				return storetest.NoFault
			})
			commits := r.cards.commits.Load()
			q := r.maker.purchase(10)
			a := r.engine.Authorize(t.Context(), q)
			if !errors.Is(a.Err, engine.ErrInDoubt) || errors.Is(a.Err, engine.ErrContended) {
				t.Fatalf("%+v, want %v", a, engine.ErrInDoubt)
			}
			if n := r.cards.commits.Load() - commits; n > 5 {
				t.Errorf("%d commits for one request in an outage", n)
			}
			r.store.SetFault(nil)
			r.must(q)
			if state, _ := r.state(token(1)); state.Balance != 990 {
				t.Fatalf("balance %d, want 990", state.Balance)
			}
			r.checkAll()
		})
	}
}

// In a list some commits fail in either way, some Loads too; each request is still executed
// once, and the requests of a card keep their order.
func TestFaultsInAList(t *testing.T) {
	const cards, each = 5, 4
	for name, fault := range bothFaults {
		for nth := 1; nth <= cards*each; nth++ {
			for _, op := range []storetest.Op{storetest.OpCommit, storetest.OpLoad} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, op, nth), func(t *testing.T) {
					r := newRig(t, storetest.MemoryOptions{})
					for n := range byte(cards) {
						r.enrol(n, 50)
					}
					r.open()
					var list []*txn.Request
					for range each {
						for n := range byte(cards) {
							r.maker.token = token(n)
							list = append(list, r.maker.purchase(20))
						}
					}
					r.store.SetFault(failing(op, nth, 2, fault))
					answers := r.engine.AuthorizeAll(t.Context(), list)
					r.store.SetFault(nil)
					for i := range answers {
						if answers[i].Err != nil {
							answers[i] = r.untilAnswered(list[i])
						}
					}
					approved := 0
					for _, a := range answers {
						if a.Decision.Outcome == txn.Approved {
							approved++
						}
					}
					if approved != 2*cards {
						t.Fatalf("%d approved, want %d", approved, 2*cards)
					}
					r.checkAll()
				})
			}
		}
	}
}

// The clockwork goes on after every fault; what is due is done once.
func TestFaultsOfTheClockwork(t *testing.T) {
	ops := []storetest.Op{storetest.OpDueBefore, storetest.OpBuckets, storetest.OpCutOver,
		storetest.OpCommit, storetest.OpLoad}
	for op, used := range usedOps {
		if used && !slices.Contains(ops, op) {
			t.Errorf("operation %s fails in no test", op)
		}
	}
	for name, fault := range bothFaults {
		for _, op := range ops {
			for nth := 1; nth <= 3; nth++ {
				t.Run(fmt.Sprintf("%s/%s/%d", op, name, nth), func(t *testing.T) {
					r := newRig(t, storetest.MemoryOptions{})
					for n := range byte(3) {
						r.enrol(n, 0)
						r.must(r.maker.entry("Futian"))
					}
					r.open()
					r.pass(20 * hour) // over midnight
					clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
					r.store.SetFault(failing(op, nth, 5, fault))
					lapsed, failed := 0, false
					for range 20 {
						done, err := clockwork.Tick(t.Context())
						lapsed += done.Lapsed
						failed = failed || err != nil
						if err == nil && failed {
							break
						}
					}
					r.store.SetFault(nil)
					if _, err := clockwork.Tick(t.Context()); err != nil {
						t.Fatal(err)
					}
					if lapsed > 3 {
						t.Errorf("%d journeys closed, want 3 at most", lapsed)
					}
					r.checkClockwork(3)
					r.checkAll()
				})
			}
		}
	}
}

// A commit in doubt, and then a card that never stops changing: the first may have been
// executed, so nobody may say that nothing was.
func TestContendedAfterADoubt(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 1000)
	failed := false
	r.store.SetFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpCommit && !failed {
			failed = true
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	r.cards.beforeCommit = func(commits []*store.Commit) {
		if failed {
			commits[0].Version += 1000 // as if the card had changed
		}
	}
	a := r.engine.Authorize(t.Context(), r.maker.purchase(10))
	if !errors.Is(a.Err, engine.ErrInDoubt) || !errors.Is(a.Err, engine.ErrContended) {
		t.Fatalf("%+v, want %v", a, engine.ErrInDoubt)
	}
}

package engine_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// bankLives are the lives that a purchase of 100 can have, each a commit a step, with its
// end and what the bank owes then.
var bankLives = []struct {
	name  string
	begin []func(*txn.Request)
	steps []txn.BankStep
	end   card.Phase
	owed  txn.Minor
}{
	{"approved", nil, []txn.BankStep{txn.BankRedirect, txn.BankApprove}, card.Approved, 100},
	{"declined", nil, []txn.BankStep{txn.BankDecline}, card.Declined, 0},
	{"doubted", nil, []txn.BankStep{txn.BankDoubt, txn.BankAgain, txn.BankAgain, txn.BankDone},
		card.Reversed, 0},
	{"taken back", nil, []txn.BankStep{txn.BankApprove, reversalStep, txn.BankAgain, txn.BankDone},
		card.Reversed, 0},
	{"taken back in time", nil, []txn.BankStep{reversalStep, txn.BankApprove, txn.BankDone},
		card.Reversed, 0},
	{"stood in", nil, []txn.BankStep{txn.BankAccept, txn.BankAgain, txn.BankApprove},
		card.Approved, 100},
	{"advised", []func(*txn.Request){accepted}, []txn.BankStep{txn.BankAgain, txn.BankApprove},
		card.Approved, 100},
	{"advised in vain", []func(*txn.Request){accepted}, []txn.BankStep{txn.BankDecline}, card.Dead, 0},
	{"advised again", []func(*txn.Request){accepted}, []txn.BankStep{txn.BankDecline, txn.BankRetry,
		txn.BankAgain, txn.BankApprove}, card.Approved, 100},
	{"reversed in vain", nil, []txn.BankStep{txn.BankDoubt, txn.BankGiveUp, txn.BankClose},
		card.Reversed, 0},
}

// reversalStep stands for the terminal's own reversal.
const reversalStep txn.BankStep = 200

// life makes the requests of a life.
func (r *rig) life(begin []func(*txn.Request), steps []txn.BankStep) []*txn.Request {
	first := r.maker.bank(txn.BankPurchase, begin...)
	all := []*txn.Request{first}
	for _, s := range steps {
		switch s {
		case reversalStep:
			all = append(all, r.maker.bankReversal(first))
		case txn.BankAccept:
			all = append(all, r.maker.bankStep(first, s, standIn))
		default:
			all = append(all, r.maker.bankStep(first, s))
		}
	}
	return all
}

// Every commit of every life fails, in both ways, once and more often than the engine
// tries. Whoever wanted the step wants it again: the end is the same, and the money moved
// once.
func TestBankFaultTable(t *testing.T) {
	for name, fault := range bothFaults {
		for _, life := range bankLives {
			for nth := range len(life.steps) + 1 {
				for _, times := range []int{1, 4, 9} {
					t.Run(fmt.Sprintf("%s/%s/%d/%d", life.name, name, nth, times), func(t *testing.T) {
						r := newRig(t, storetest.MemoryOptions{})
						all := r.life(life.begin, life.steps)
						for i, q := range all {
							if i == nth {
								r.store.SetFault(failing(storetest.OpCommit, 1, times, fault))
							}
							r.untilAnswered(q)
							r.store.SetFault(nil)
						}
						r.checkBank(all[0], life.end, life.owed)
						again := r.engine.Authorize(t.Context(), all[0])
						r.open()
						late := r.engine.Authorize(t.Context(), all[0])
						if again.Err != nil || !again.Decision.Replay || !same(again.Decision, late.Decision) {
							t.Fatalf("again %+v, after a restart %+v", again, late)
						}
						r.checkBank(all[0], life.end, life.owed)
					})
				}
			}
		}
	}
}

// The process dies at every step of every life, with the commit done or not. The due queue
// alone brings the transaction to an end.
func TestBankCrashTable(t *testing.T) {
	for name, fault := range bothFaults {
		for _, life := range bankLives {
			for nth := range len(life.steps) + 1 {
				t.Run(fmt.Sprintf("%s/%s/%d", life.name, name, nth), func(t *testing.T) {
					r := newRig(t, storetest.MemoryOptions{})
					all := r.life(life.begin, life.steps)
					for i, q := range all[:nth+1] {
						if i == nth {
							r.store.SetFault(failing(storetest.OpCommit, 1, 9, fault))
						}
						if a := r.engine.Authorize(t.Context(), q); (a.Err != nil) != (i == nth) {
							t.Fatalf("step %d: %v", i, a.Err)
						}
					}
					r.store.SetFault(nil)
					r.open()
					r.deliver(all[0])
					state, _ := r.state(token(1))
					i := state.FindBank(all[0].ID)
					if i < 0 {
						if nth != 0 || fault != storetest.NotApplied {
							t.Fatal("lost")
						}
						return
					}
					end, owed := state.Bank[i].Phase, txn.Minor(0)
					if end == card.Approved {
						owed = 100
					}
					r.checkBank(all[0], end, owed)
				})
			}
		}
	}
}

// deliver is what the switch does about what is due: a reversal where nobody concluded, and
// then the bank is told, and takes it.
func (r *rig) deliver(first *txn.Request) {
	r.t.Helper()
	for range 5 {
		r.pass(hour)
		var due []engine.BankDue
		clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
		clockwork.OnBank(func(d []engine.BankDue) { due = append(due, d...) })
		if _, err := clockwork.Tick(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		if len(due) == 0 {
			return
		}
		if len(due) > 1 || due[0].ID != first.ID || due[0].Card != first.Card || due[0].At > r.now() {
			r.t.Fatalf("due: %+v", due)
		}
		steps := []txn.BankStep{txn.BankDoubt}
		state, _ := r.state(first.Card)
		switch state.Bank[state.FindBank(first.ID)].Phase {
		case card.Reversing:
			steps = []txn.BankStep{txn.BankAgain, txn.BankDone}
		case card.Advising:
			steps = []txn.BankStep{txn.BankAgain, txn.BankApprove}
		}
		for _, s := range steps {
			r.untilAnswered(r.maker.bankStep(first, s))
		}
	}
	r.t.Fatal("never delivered")
}

// checkBank proves that the transaction ended there and that the ledger says so once.
func (r *rig) checkBank(first *txn.Request, end card.Phase, owed txn.Minor) {
	r.t.Helper()
	state, loaded := r.state(first.Card)
	i := state.FindBank(first.ID)
	if i < 0 || state.Bank[i].Phase != end {
		r.t.Fatalf("want one that is %s: %+v", end, state.Bank)
	}
	approved := map[txn.RequestID]int{}
	declined, reversed, sum, version := 0, 0, txn.Minor(0), uint64(0)
	for _, rec := range r.records() {
		if rec.Card != first.Card {
			continue
		}
		if rec.CardVersion <= version || rec.CardVersion > loaded.Version {
			r.t.Fatalf("%s in version %d after %d, the card has %d", rec.Kind, rec.CardVersion, version,
				loaded.Version)
		}
		version = rec.CardVersion
		sum -= sumOf(&rec, icbc)
		switch {
		case rec.Outcome == txn.Approved:
			approved[rec.Request]++
			if rec.Kind == txn.BankReversal && rec.Original == first.ID {
				reversed++
			}
		case rec.Request == first.ID:
			declined++
		}
	}
	for id, n := range approved {
		if n != 1 {
			r.t.Fatalf("%s approved %d times", id, n)
		}
	}
	stands := end == card.Approved || end == card.Advising ||
		end == card.Dead && state.Bank[i].Reason == txn.ReasonNone
	if sum != owed || approved[first.ID]+declined != 1 || stands && approved[first.ID] != 1 ||
		!stands && approved[first.ID] != reversed {
		r.t.Fatalf("%s: the bank owes %d, want %d; %d approved, %d declined, %d reversed", end, sum,
			owed, approved[first.ID], declined, reversed)
	}
	due, err := r.store.DueBefore(r.t.Context(), txn.BucketOf(first.Card), 1<<60, store.Page{Max: 100})
	if err != nil || len(due) != count(end.Open()) {
		r.t.Fatalf("%s with %d due entries, %v", end, len(due), err)
	}
}

// The bank's answer, the terminal's reversal and the time-out of one transaction come at the
// same moment, in two processes: it has one end, and everybody is told the same one.
func TestBankRaces(t *testing.T) {
	for round := range 200 {
		r := newRig(t, storetest.MemoryOptions{})
		first := r.maker.bank(txn.BankPurchase)
		if a := r.engine.Authorize(t.Context(), first); a.Err != nil || a.Bank.Phase != card.Pending {
			t.Fatalf("%+v", a)
		}
		contenders := []*txn.Request{r.maker.bankStep(first, txn.BankApprove),
			r.maker.bankStep(first, txn.BankDoubt), r.maker.bankStep(first, txn.BankDecline),
			r.maker.bankStep(first, txn.BankAccept, standIn),
			r.maker.bankStep(first, txn.BankApprove), first}
		if round%2 == 0 {
			contenders = append(contenders, r.maker.bankReversal(first), r.maker.bankReversal(first))
		}
		other := r.engineOn(engine.NewCache(r.cards, 100), r.list)
		answers := make([]engine.Answer, len(contenders))
		var all sync.WaitGroup
		for i, q := range contenders {
			all.Go(func() {
				e := r.engine
				if i%2 == 1 {
					e = other
				}
				answers[i] = e.Authorize(t.Context(), q)
			})
		}
		all.Wait()
		r.checkRace(first, contenders, answers)
	}
}

func (r *rig) checkRace(first *txn.Request, asked []*txn.Request, answers []engine.Answer) {
	r.t.Helper()
	state, _ := r.state(first.Card)
	end := state.Bank[state.FindBank(first.ID)].Phase
	approvals, withdrawn := 0, false
	for i, a := range answers {
		if a.Err != nil {
			r.t.Fatal(a.Err)
		}
		if asked[i].Kind == txn.BankReversal {
			withdrawn = true
			if a.Decision.Outcome != txn.Approved && end != card.Dead {
				r.t.Fatalf("a reversal was refused: %+v", a.Decision)
			}
		} else if a.Decision.Outcome == txn.Approved {
			approvals++
		}
	}
	owed := txn.Minor(0)
	if end == card.Approved || end == card.Advising {
		owed = 100
	}
	if withdrawn && owed != 0 || !withdrawn && approvals > 0 && owed == 0 && end != card.Dead {
		r.t.Fatalf("%s after %d approvals, reversed %v", end, approvals, withdrawn)
	}
	r.checkBank(first, end, owed)
}

// Refunds and voids of one purchase at the same moment never give back more than it was.
func TestBankRefundsRace(t *testing.T) {
	for range 100 {
		r := newRig(t, storetest.MemoryOptions{})
		bought := r.maker.bank(txn.BankPurchase)
		r.untilAnswered(bought)
		r.untilAnswered(r.maker.bankStep(bought, txn.BankApprove))
		back := []*txn.Request{r.maker.bank(txn.BankRefund, about(bought, 60)),
			r.maker.bank(txn.BankRefund, about(bought, 60)), r.maker.bank(txn.BankVoid, about(bought, 100)),
			r.maker.bank(txn.BankRefund, about(bought, 40))}
		var all sync.WaitGroup
		for _, q := range back {
			all.Go(func() {
				a := r.engine.Authorize(t.Context(), q)
				if a.Err == nil && a.Bank.Phase == card.Pending {
					a = r.engine.Authorize(t.Context(), r.maker.bankStep(q, txn.BankApprove))
				}
				if a.Err != nil || a.Decision.Outcome == txn.OutcomeNone {
					t.Errorf("%+v", a)
				}
			})
		}
		all.Wait()
		sum := txn.Minor(0)
		for _, rec := range r.records() {
			sum -= sumOf(&rec, icbc)
		}
		if sum < 0 || sum == 100 {
			t.Fatalf("of 100 paid, %d are left", sum)
		}
	}
}

// A freeze that comes between decision and commit is seen: nothing leaves for the bank.
func TestBankFreezeBeforeTheCommit(t *testing.T) {
	for _, step := range []txn.BankStep{txn.BankBegin, txn.BankAccept, txn.BankApprove} {
		r := newRig(t, storetest.MemoryOptions{})
		first := r.maker.bank(txn.BankPurchase)
		q := first
		if step != txn.BankBegin {
			r.untilAnswered(first)
			q = r.maker.bankStep(first, step, standIn)
		}
		frozen := false
		r.cards.beforeCommit = func([]*store.Commit) {
			if !frozen {
				frozen = true
				mark := txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
				list := &store.Commit{Card: token(1), AnyVersion: true,
					List: &store.ListChange{Entry: store.Entry{Mark: mark, Since: r.now()}}}
				if err := r.store.Commit(t.Context(), []*store.Commit{list}); err != nil || list.Err != nil {
					t.Error(err, list.Err)
				}
			}
		}
		r.refused(q, txn.CardFrozen)
		end := card.Declined
		if step == txn.BankApprove {
			end = card.Reversing
		}
		r.checkBank(first, end, 0)
	}
}

// A full outbox executes nothing, keeps the due entry, and lets reversals through.
func TestBankWithAFullOutbox(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{OutboxMax: 2})
	first := r.maker.bank(txn.BankPurchase)
	r.untilAnswered(first)
	r.untilAnswered(r.maker.bankStep(r.maker.bank(txn.BankPurchase), txn.BankDecline))
	paid := r.maker.bank(txn.BankPurchase, accepted)
	r.untilAnswered(paid) // the last that has room
	for _, s := range []txn.BankStep{txn.BankApprove, txn.BankDoubt, txn.BankDecline} {
		r.refused(r.maker.bankStep(first, s), txn.StoreUnavailable)
	}
	r.refused(r.maker.bank(txn.BankPurchase, accepted), txn.StoreUnavailable)
	state, _ := r.state(first.Card)
	if b := state.Bank[state.FindBank(first.ID)]; b.Phase != card.Pending || b.Due == 0 {
		t.Fatalf("%+v", b)
	}
	r.must(r.maker.bankReversal(first))
	r.must(r.maker.bankReversal(paid))
	due, _ := r.store.DueBefore(t.Context(), txn.BucketOf(first.Card), 1<<60, store.Page{Max: 10})
	if len(due) != 2 {
		t.Fatalf("%d due", len(due))
	}
}

// The clockwork hands over what is due, and only that, until a commit moves it; journeys
// lapse beside it. Without banks it leaves them alone.
func TestClockworkBesideBanks(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.maker.token = token(1)
	r.must(r.maker.request(txn.Enrol, func(q *txn.Request) { q.Enrolment.Apps = txn.AppAll }))
	r.must(r.maker.entry("Futian"))
	soon, late := r.maker.bank(txn.BankPurchase), r.maker.bank(txn.BankPurchase)
	late.Bank.Due = r.now() + 2*day
	guest := pan.Token{token(1)[0], 99} // of the same bucket
	other := r.maker.bank(txn.BankPurchase, func(q *txn.Request) { q.Card = guest })
	for _, q := range []*txn.Request{soon, late, other} {
		if a := r.untilAnswered(q); a.Bank.Phase != card.Pending {
			t.Fatalf("%+v", a)
		}
	}
	clockwork := engine.NewClockwork(r.engine, r.store, shenzhen)
	r.pass(6 * hour)
	if done, err := clockwork.Tick(t.Context()); err != nil || done.Lapsed != 1 || done.Dropped != 0 {
		t.Fatalf("without banks: %+v, %v", done, err)
	}
	var due []engine.BankDue
	clockwork.OnBank(func(d []engine.BankDue) { due = d })
	for range 2 {
		due = nil
		if done, err := clockwork.Tick(t.Context()); err != nil || done != (engine.Ticked{}) {
			t.Fatalf("%+v, %v", done, err)
		}
		if len(due) != 2 {
			t.Fatalf("due: %+v", due)
		}
		for _, d := range due {
			if d.At != soon.Bank.Due || d.ID != soon.ID && d.ID != other.ID ||
				(d.ID == other.ID) != (d.Card == guest) {
				t.Fatalf("due: %+v", d)
			}
		}
	}
	r.untilAnswered(r.maker.bankStep(soon, txn.BankDecline))
	r.untilAnswered(r.maker.bankStep(other, txn.BankDoubt, func(q *txn.Request) {
		q.Bank.Due = r.now() + minute
	}))
	due = nil
	if _, err := clockwork.Tick(t.Context()); err != nil || len(due) != 0 {
		t.Fatalf("due: %+v, %v", due, err)
	}
}

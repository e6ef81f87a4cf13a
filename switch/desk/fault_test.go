package desk

import (
	"fmt"
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// life is the story of one account up to a step, and what must hold when the step was done.
type life struct {
	name    string
	prepare func(r *rig) [16]byte
	step    func(r *rig, token [16]byte) account.Step
	by      string
	// holds checks the end that the step promises.
	holds func(r *rig, token [16]byte) error
}

func lives() []life {
	lost := func(r *rig) [16]byte {
		token := r.open(1)
		r.must(token, "li.lei", account.BindCarrier{Who: atDesk, Carrier: account.NewCarrier{
			Token: cardToken(3), Kind: account.ECard, Family: "e_card", Ready: true}})
		r.wants(r.request(txn.Load, cardToken(1), 1000), txn.ReasonNone)
		return token
	}
	return []life{
		{"freeze", lost, func(*rig, [16]byte) account.Step { return lossReport }, "li.lei",
			func(r *rig, _ [16]byte) error {
				for _, n := range []byte{1, 3} {
					if got := r.listed(cardToken(n)); got.Reason != txn.Lost {
						return fmt.Errorf("carrier %d bears %+v", n, got)
					}
				}
				if len(r.notices.told) != 2 {
					return fmt.Errorf("%d notices", len(r.notices.told))
				}
				return nil
			}},
		{"release", func(r *rig) [16]byte {
			token := lost(r)
			r.must(token, "li.lei", lossReport)
			r.must(token, "li.lei", account.RequestRelease{Who: atDesk})
			return token
		}, func(r *rig, token [16]byte) account.Step {
			return account.ConfirmRelease{Case: r.account(token).Cases[0].No}
		}, "han.mei", func(r *rig, _ [16]byte) error {
			for _, n := range []byte{1, 3} {
				if got := r.listed(cardToken(n)); got != (txn.Mark{}) {
					return fmt.Errorf("carrier %d bears %+v", n, got)
				}
			}
			return nil
		}},
		{"replacement", func(r *rig) [16]byte {
			token := lost(r)
			r.must(token, "li.lei", lossReport)
			r.must(token, "li.lei", account.ApplyReplacement{Who: atDesk, Old: cardToken(1), Accept: true})
			return token
		}, func(r *rig, token [16]byte) account.Step {
			return account.MakeCard{Case: r.account(token).Cases[0].No, Carrier: account.NewCarrier{
				Token: cardToken(2), Kind: account.Chip, Family: "t_union", Ready: true}}
		}, "li.lei", func(r *rig, _ [16]byte) error {
			old, next := r.card(cardToken(1)), r.card(cardToken(2))
			if old.Balance != 0 || next.Balance != 1000 || r.sum("transfer") != 0 {
				return fmt.Errorf("old %d, new %d, on its way %d", old.Balance, next.Balance, r.sum("transfer"))
			}
			if got := r.listed(cardToken(1)); got.Reason != txn.Replaced {
				return fmt.Errorf("the old card bears %+v", got)
			}
			if got := r.listed(cardToken(2)); got != (txn.Mark{}) {
				return fmt.Errorf("the new card bears %+v", got)
			}
			return nil
		}},
		{"cancellation", func(r *rig) [16]byte {
			token := lost(r)
			r.must(token, "li.lei", account.RequestCancellation{Who: atDesk})
			return token
		}, func(r *rig, token [16]byte) account.Step {
			return account.CompleteCancellation{Case: r.account(token).Cases[0].No, Outlet: "d1"}
		}, "han.mei", func(r *rig, _ [16]byte) error {
			if got := r.sum("cash/d1"); got != 1000 {
				return fmt.Errorf("paid out %d", got)
			}
			if got := r.listed(cardToken(1)); got.Reason != txn.Cancelled {
				return fmt.Errorf("bears %+v", got)
			}
			return nil
		}},
	}
}

// Every call of the store fails once, as not done and as done and not told, in every step of
// every story: the call either failed and left nothing, or what it promises holds in the end,
// by the due queue and by asking again with the same id.
func TestEveryEffectFailsBothWays(t *testing.T) {
	for _, l := range lives() {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
			t.Run(fmt.Sprintf("%s/%d", l.name, fault), func(t *testing.T) {
				failed := 0
				for n := 0; ; n++ {
					reached := failAt(t, &l, fault, n)
					if !reached {
						break
					}
					failed++
				}
				if failed < 8 {
					t.Fatalf("only %d calls of the store were failed", failed)
				}
			})
		}
	}
}

// failAt lets the n-th call of the store fail, and every one after it until the process is
// started anew when n is odd: a short fault and a dead process.
func failAt(t *testing.T, l *life, fault storetest.Fault, n int) (reached bool) {
	r := newRig(t, "handan")
	token := l.prepare(r)
	r.settle()
	r.notices.told = nil
	step := l.step(r, token)
	calls := 0
	r.memory.SetFault(func(storetest.Op) storetest.Fault {
		calls++
		if calls-1 == n || calls-1 > n && n%2 == 1 {
			reached = true
			return fault
		}
		return storetest.NoFault
	})
	cmd := r.command(l.by, step)
	a, err := r.desk.Do(t.Context(), token, cmd)
	r.memory.SetFault(nil)
	r.desk.Close()
	r.start()
	if err == nil && a.Outcome.Refusal != account.RefusalNone {
		t.Fatalf("call %d: refused with %s", n, a.Outcome.Refusal)
	}
	r.pass(20 * minute) // whatever was put off is due
	r.settle()
	if err != nil { // in doubt: the caller asks again with the same id
		again, err := r.desk.Do(t.Context(), token, cmd)
		if err != nil || again.Outcome.Refusal != account.RefusalNone {
			t.Fatalf("call %d, asked again: %v %v", n, again.Outcome.Refusal, err)
		}
		r.settle()
	}
	if err := l.holds(r, token); err != nil {
		t.Fatalf("call %d: %v", n, err)
	}
	if doc := r.account(token); len(doc.ToDo) != 0 {
		t.Fatalf("call %d: effects left %+v", n, doc.ToDo)
	}
	return reached
}

package desk

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// keepOnly commits a command and does nothing of what follows from it, as a process does that
// dies then.
func (r *rig) keepOnly(token pan.Token, step account.Step) uint32 {
	r.t.Helper()
	out, err := r.desk.commit(r.t.Context(), token, r.command("li.lei", step))
	if err != nil || out.Refusal != account.RefusalNone {
		r.t.Fatalf("%s: %v, %v", step.Name(), out.Refusal, err)
	}
	return out.Case
}

// dies closes a number for ever without the desk.
func (r *rig) dies(carrier pan.Token, how txn.FreezeReason) {
	r.t.Helper()
	r.wants(r.request(txn.Freeze, carrier, 0, func(q *txn.Request) {
		q.Listing = txn.Listing{Mark: txn.Mark{Reason: how, Scope: txn.AppAll}, Actor: "risk.team"}
	}), txn.ReasonNone)
}

func chip(n byte, ready bool) account.NewCarrier {
	return account.NewCarrier{Token: cardToken(n), Kind: account.Chip, Family: "t_union", Ready: ready}
}

// holds checks that the account owes nothing more and what its cards hold.
func (r *rig) holds(token pan.Token, want map[pan.Token]txn.Minor) {
	r.t.Helper()
	r.pass(hour)
	r.settle()
	if left := r.account(token).ToDo; len(left) != 0 {
		r.t.Fatalf("left to do: %+v", left)
	}
	for carrier, sum := range want {
		if got := r.card(carrier).Balance; got != sum {
			r.t.Errorf("card %s holds %d, want %d", carrier, got, sum)
		}
	}
}

func (r *rig) waits() []Waiting {
	r.t.Helper()
	all, err := r.desk.WaitingMoney(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// A new card whose number is closed for ever before it is made, by somebody else than the desk:
// nothing fails for ever, its order is open again, and the card that is made instead gets what
// the lost one held, what a journey gave back, and what comes to any of the numbers later.
func TestANewCardThatDiesBeforeItIsMade(t *testing.T) {
	for _, how := range []txn.FreezeReason{txn.Replaced, txn.Cancelled} {
		for _, made := range []bool{false, true} {
			r := newRig(t, "handan")
			token := r.open(1)
			r.wants(r.request(txn.Load, cardToken(1), 1000), txn.ReasonNone)
			sale := r.request(txn.Purchase, cardToken(1), 300)
			r.wants(sale, txn.ReasonNone)
			r.must(token, "li.lei", lossReport)
			no := r.must(token, "li.lei", account.ApplyReplacement{Who: atDesk, Old: cardToken(1), Accept: true}).Outcome.Case
			make4 := account.MakeCard{Case: no, Carrier: chip(4, false)}
			if made {
				r.must(token, "li.lei", make4)
			} else {
				r.keepOnly(token, make4)
			}
			r.dies(cardToken(4), how)
			r.pass(hour)
			r.settle()
			if amiss, err := r.desk.Reconcile(t.Context(), token); err != nil || amiss != made {
				t.Fatalf("%s, made %v: amiss %v, %v", how, made, amiss, err)
			}
			r.wants(r.request(txn.Purchase, cardToken(4), 1), refusalOf(how))
			r.must(token, "li.lei", account.MakeCard{Case: no, Carrier: chip(5, true)})
			r.holds(token, map[pan.Token]txn.Minor{cardToken(1): 0, cardToken(4): 0, cardToken(5): 700})
			r.wants(r.request(txn.Refund, cardToken(1), 300, func(q *txn.Request) { q.Original = sale.ID }), txn.ReasonNone)
			r.holds(token, map[pan.Token]txn.Minor{cardToken(1): 0, cardToken(4): 0, cardToken(5): 1000})
			r.wants(r.request(txn.Purchase, cardToken(5), 1), txn.ReasonNone)
		}
	}
}

func refusalOf(how txn.FreezeReason) txn.Reason {
	if how == txn.Cancelled {
		return txn.CardCancelled
	}
	return txn.CardReplaced
}

// A bound e-card whose number dies before its card is made stops nothing of the account.
func TestAnECardThatDiesBeforeItIsMade(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.keepOnly(token, account.BindCarrier{Who: atDesk, Carrier: account.NewCarrier{Token: cardToken(3),
		Kind: account.ECard, Family: "e_card", Ready: true}})
	r.dies(cardToken(3), txn.Replaced)
	r.holds(token, nil)
	if f := r.account(token).Gone(cardToken(3)); f == nil || f.Status != account.Replaced {
		t.Fatalf("the document says %+v", f)
	}
	r.wants(r.request(txn.Purchase, cardToken(3), 1), txn.CardReplaced)
	r.must(token, "li.lei", lossReport)
}

// A number that died without its account holds money; the next card that is made for the
// account, for whatever number, gets it.
func TestTheNextCardGetsWhatADeadNumberHolds(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", account.BindCarrier{Who: atDesk, Carrier: account.NewCarrier{Token: cardToken(3),
		Kind: account.ECard, Family: "e_card", Ready: true}})
	r.wants(r.request(txn.Load, cardToken(3), 500), txn.ReasonNone)
	r.dies(cardToken(3), txn.Replaced)
	if _, err := r.desk.Reconcile(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if got := r.waits(); len(got) != 1 || got[0].Document != token || got[0].Card != cardToken(3) ||
		got[0].Balance != 500 || got[0].Since != r.now() {
		t.Fatalf("waits: %+v", got)
	}
	r.must(token, "li.lei", lossReport)
	no := r.must(token, "li.lei", account.ApplyReplacement{Who: atDesk, Old: cardToken(1), Accept: true}).Outcome.Case
	r.must(token, "li.lei", account.MakeCard{Case: no, Carrier: chip(4, true)})
	r.holds(token, map[pan.Token]txn.Minor{cardToken(1): 0, cardToken(3): 0, cardToken(4): 500})
	for range 2 {
		if got := r.waits(); len(got) != 0 {
			t.Fatalf("waits still: %+v", got)
		}
	}
}

// What a number holds that somebody else cancelled goes to the living card of its account at
// once: there is nothing to decide.
func TestACancelledNumbersMoneyGoesToTheLivingCard(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", account.BindCarrier{Who: atDesk, Carrier: account.NewCarrier{Token: cardToken(3),
		Kind: account.ECard, Family: "e_card", Ready: true}})
	r.wants(r.request(txn.Load, cardToken(3), 500), txn.ReasonNone)
	r.dies(cardToken(3), txn.Cancelled)
	if _, err := r.desk.Reconcile(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	r.holds(token, map[pan.Token]txn.Minor{cardToken(3): 0, cardToken(1): 500})
}

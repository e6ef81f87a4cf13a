package engine_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// bankStates bring a fresh card to each state that a bank transaction can be in, and return
// the request that began it.
var bankStates = []struct {
	name string
	make func(*wallet) *txn.Request
}{
	{"unknown", func(w *wallet) *txn.Request { return w.bank(txn.BankPurchase) }},
	{"tombstone", func(w *wallet) *txn.Request {
		r := w.bank(txn.BankPurchase)
		w.doBank(w.bankReversal(r))
		return r
	}},
	{"pending", func(w *wallet) *txn.Request { return w.begun(txn.BankPurchase) }},
	{"pending refund", func(w *wallet) *txn.Request {
		return w.begun(txn.BankRefund, about(w.paid(txn.BankPurchase), 60))
	}},
	{"approved", func(w *wallet) *txn.Request { return w.paid(txn.BankPurchase) }},
	{"approved void", func(w *wallet) *txn.Request {
		return w.paid(txn.BankVoid, about(w.paid(txn.BankPurchase), 100))
	}},
	{"declined", func(w *wallet) *txn.Request {
		return w.then(w.begun(txn.BankPurchase), txn.BankDecline)
	}},
	{"reversing in doubt", func(w *wallet) *txn.Request {
		return w.then(w.begun(txn.BankPurchase), txn.BankDoubt)
	}},
	{"reversing approved", func(w *wallet) *txn.Request {
		r := w.paid(txn.BankPurchase)
		w.doBank(w.bankReversal(r))
		return r
	}},
	{"reversed", func(w *wallet) *txn.Request {
		return w.then(w.begun(txn.BankPurchase), txn.BankDoubt, txn.BankDone)
	}},
	{"advising", func(w *wallet) *txn.Request { return w.begun(txn.BankPurchase, accepted) }},
	{"advising refund", func(w *wallet) *txn.Request {
		r := w.begun(txn.BankRefund, about(w.paid(txn.BankPurchase), 60))
		return w.then(r, txn.BankDoubt)
	}},
	{"dead advice", func(w *wallet) *txn.Request {
		return w.then(w.begun(txn.BankPurchase, accepted), txn.BankDecline)
	}},
	{"retried advice", func(w *wallet) *txn.Request {
		r := w.begun(txn.BankPurchase, accepted)
		return w.then(r, txn.BankDecline, txn.BankRetry)
	}},
	{"dead reversal", func(w *wallet) *txn.Request {
		return w.then(w.begun(txn.BankPurchase), txn.BankDoubt, txn.BankGiveUp)
	}},
	{"dead refund", func(w *wallet) *txn.Request {
		r := w.begun(txn.BankRefund, about(w.paid(txn.BankPurchase), 60))
		return w.then(r, txn.BankDoubt, txn.BankGiveUp)
	}},
}

func (w *wallet) begun(k txn.Kind, change ...func(*txn.Request)) *txn.Request {
	r := w.bank(k, change...)
	w.doBank(r)
	return r
}

func (w *wallet) then(r *txn.Request, steps ...txn.BankStep) *txn.Request {
	for _, s := range steps {
		w.doBank(w.bankStep(r, s))
	}
	return r
}

// bankSteps are what may happen to a transaction, in the order of the table's columns.
var bankSteps = []struct {
	name string
	make func(*wallet, *txn.Request) *txn.Request
}{
	{"begin", func(_ *wallet, r *txn.Request) *txn.Request { return r }},
	{"other", func(w *wallet, r *txn.Request) *txn.Request {
		return w.bankStep(r, txn.BankBegin, amountOf(r.Amount+1))
	}},
	{"reversal", func(w *wallet, r *txn.Request) *txn.Request { return w.bankReversal(r) }},
	{"redirect", stepOf(txn.BankRedirect)}, {"approve", stepOf(txn.BankApprove)},
	{"decline", stepOf(txn.BankDecline)}, {"doubt", stepOf(txn.BankDoubt)},
	{"accept", func(w *wallet, r *txn.Request) *txn.Request {
		return w.bankStep(r, txn.BankAccept, standIn)
	}},
	{"accept without", stepOf(txn.BankAccept)},
	{"again", stepOf(txn.BankAgain)}, {"done", stepOf(txn.BankDone)},
	{"give up", stepOf(txn.BankGiveUp)}, {"retry", stepOf(txn.BankRetry)},
	{"close", stepOf(txn.BankClose)},
}

func stepOf(s txn.BankStep) func(*wallet, *txn.Request) *txn.Request {
	return func(w *wallet, r *txn.Request) *txn.Request { return w.bankStep(r, s) }
}

// Every step in every state does what the table says, and nothing else: the other
// transactions of the card stay as they are, and a step that writes nothing leaves no
// record. A step made twice does nothing the second time.
func TestBankTransitions(t *testing.T) {
	want := parseTransitions(t)
	for _, state := range bankStates {
		for _, step := range bankSteps {
			t.Run(state.name+"/"+step.name, func(t *testing.T) {
				w := newWallet(t)
				r := state.make(w)
				w.now += second
				got := w.transition(step.make(w, r), r)
				key := state.name + "/" + step.name
				if got != want[key] {
					t.Errorf("\n got %s\nwant %s", got, want[key])
				}
				delete(want, key)
				records := len(w.records)
				phase := w.phaseOf(r)
				w.doBank(step.make(w, r))
				if begins := step.name == "begin" || step.name == "other"; len(w.records) != records &&
					!begins || w.phaseOf(r) != phase && !begins {
					t.Errorf("again: %s after %s, %d records after %d", w.phaseOf(r), phase,
						len(w.records), records)
				}
			})
		}
	}
	for key := range want {
		t.Errorf("the table names %q, which is no state and step", key)
	}
}

func (w *wallet) phaseOf(r *txn.Request) card.Phase {
	s := w.card()
	if i := s.FindBank(r.ID); i >= 0 {
		return s.Bank[i].Phase
	}
	return card.PhaseNone
}

// transition does the step and tells what it did: phase, answer, record, due entry.
func (w *wallet) transition(step, r *txn.Request) string {
	w.t.Helper()
	before, version := w.card(), w.version
	key := bankKey(w, r.ID)
	dueBefore, wasDue := w.due[key]
	s := w.doBank(step)
	after := w.card()
	if s.wrote != (w.version != version) || !s.wrote && !reflect.DeepEqual(before, after) {
		w.t.Fatal("the card changed without a write")
	}
	w.checkOthers(before, after, r)
	answer := "-"
	switch {
	case s.Outcome == txn.Approved:
		answer = fmt.Sprintf("yes %d", s.Charged)
	case s.Outcome == txn.Declined:
		answer = "no " + s.Reason.String()
	}
	if s.Replay {
		answer += " again"
	}
	record := "-"
	if s.settled {
		rec := s.record
		record = fmt.Sprintf("%s %s %d", rec.Kind, rec.Outcome, sumOf(&rec, icbc))
		if rec.Reason != s.Reason {
			record += " " + rec.Reason.String()
		}
	}
	due, isDue := w.due[key]
	change := "="
	switch {
	case wasDue && !isDue:
		change = "off"
	case !wasDue && isDue:
		change = "on"
	case due != dueBefore:
		change = "moved"
	}
	return fmt.Sprintf("%s | %s | %s | %s", w.phaseOf(r), answer, record, change)
}

// checkOthers proves that a step changes no other transaction, but what it takes of its
// original.
func (w *wallet) checkOthers(before, after card.State, r *txn.Request) {
	w.t.Helper()
	for _, old := range before.Bank {
		i := after.FindBank(old.ID)
		if i < 0 {
			w.t.Fatalf("%s was forgotten", old.ID)
		}
		now := after.Bank[i]
		if old.ID == r.ID {
			continue
		}
		if old.ID == r.Original {
			old.Used, old.Voided = now.Used, now.Voided
		}
		if !reflect.DeepEqual(now, old) {
			w.t.Fatalf("another transaction changed:\n got %+v\nwant %+v", now, old)
		}
	}
}

func parseTransitions(t *testing.T) map[string]string {
	t.Helper()
	want := map[string]string{}
	state := ""
	for _, line := range strings.Split(transitions, "\n") {
		line = strings.TrimSpace(line)
		step, does, isStep := strings.Cut(line, ": ")
		switch {
		case line == "":
		case isStep:
			want[state+"/"+step] = strings.TrimSpace(does)
		default:
			state = line
		}
	}
	return want
}

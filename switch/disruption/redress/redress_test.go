package redress_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/disruption/redress"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// charged makes the charges that an order of a train fault forgives: card 1 left without an
// entry, card 2 never left and entered again, card 3 was closed by the switch, card 4 stayed too
// long; and card 5, which rode as usual.
func charged(t *testing.T) *town {
	w := newTown(t, disruption.TrainFault, "all")
	for n := byte(1); n <= 5; n++ {
		w.open(n)
	}
	w.pass(minute)
	w.leave(1, "South")
	w.enter(2, "North")
	third := w.enter(3, "North")
	w.enter(4, "North")
	w.enter(5, "North")
	w.pass(30 * minute)
	w.leave(5, "South")
	w.pass(150 * minute)
	w.leave(4, "South")
	w.enter(2, "South")
	w.pass(3 * hour)
	lapse := &txn.Request{Kind: txn.JourneyLapse, Card: token(3), Original: third.ID, Currency: txn.CNY,
		ServiceAt: w.now(), ReceivedAt: w.now()}
	w.do(lapse)
	w.wantBalances("charged", 4300, 4300, 4300, 4350, 4500)
	return w
}

func TestShownFirst(t *testing.T) {
	w := charged(t)
	all, run, err := w.service.Show(t.Context(), "o1")
	if err != nil || run != nil || len(all) != 4 {
		t.Fatalf("%+v %v %v", all, run, err)
	}
	for i, want := range []struct {
		card       byte
		cause      redress.Cause
		back       txn.Minor
		from, to   string
		lapsed     bool
		known      string
		wantCharge txn.Minor
	}{
		{1, redress.Incomplete, 700, "", "South", false, "South", 700},
		{2, redress.Incomplete, 700, "North", "", false, "North", 700},
		{4, redress.Overtime, 150, "North", "South", false, "", 650},
		{3, redress.Incomplete, 700, "North", "", true, "North", 700},
	} {
		j := all[i]
		if j.Card != token(want.card).String() || j.Last4 != "1234" || j.Cause != want.cause || j.Back != want.back ||
			j.From != want.from || j.To != want.to || j.Lapsed != want.lapsed || j.Known != want.known ||
			j.Charged != want.wantCharge || j.Payee != "operator/metro" || j.State != redress.Waits ||
			j.Date != "2026-11-21" {
			t.Errorf("%d: %+v", i, j)
		}
	}
	w.wantBalances("nothing is done", 4300, 4300, 4300, 4350, 4500)
}

// Two persons, one entry each on the open day that names the charge, the order and both.
func TestGivenBackOnce(t *testing.T) {
	w := charged(t)
	for b := range txn.Bucket(txn.BucketCount) { // the day has ended, and is certified
		if err := w.memory.CutOver(t.Context(), b, 20261122, w.now()); err != nil {
			t.Fatal(err)
		}
	}
	r, list, err := w.service.Propose(t.Context(), "o1", "anna")
	if err != nil || r.Journeys != 4 || r.Sum != 2250 || len(list) != 4 {
		t.Fatalf("%+v %v", r, err)
	}
	seen := redress.Confirmation{Run: r.ID, Journeys: 4, Sum: 2250}
	w.notBy(seen)
	for range 2 { // a copy
		if _, err := w.service.Confirm(t.Context(), "o1", "ben", seen); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := w.service.Work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.wantBalances("given back", 5000, 5000, 5000, 4500, 4500)
	done, all, err := w.service.List(t.Context(), "o1")
	if err != nil || done.Phase != redress.Done || done.Given != 4 || done.GivenSum != 2250 || done.Refused != 0 {
		t.Errorf("%+v %v", done, err)
	}
	w.checkRecords(r, len(all))
	for n := byte(1); n <= 3; n++ {
		if d := w.bySelf(n, "South"); d.Outcome == txn.Approved {
			t.Errorf("card %d corrected it once more: %+v", n, d)
		}
	}
	if _, _, err := w.service.Propose(t.Context(), "o1", "anna"); err == nil || !strings.Contains(err.Error(), "nothing_to_forgive") {
		t.Errorf("again: %v", err)
	}
}

// What the holder has corrected is not given back on top, whenever he did.
func TestCorrectedByTheHolder(t *testing.T) {
	w := charged(t)
	if d := w.bySelf(1, "North"); d.Charged != -200 {
		t.Fatalf("%+v", d)
	}
	all, _, err := w.service.Show(t.Context(), "o1")
	if err != nil || all[0].State != redress.BySelf {
		t.Fatalf("%+v %v", all, err)
	}
	w.confirmed()
	w.between = func() { // after the ledger was read
		if d := w.bySelf(3, "South"); d.Charged != -200 {
			t.Errorf("%+v", d)
		}
	}
	if err := w.service.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantBalances("each once", 4500, 5000, 4500, 4500, 4500)
	r, all, err := w.service.List(t.Context(), "o1")
	if err != nil || r.Given != 2 || r.Phase != redress.Done {
		t.Errorf("%+v %+v %v", r, all, err)
	}
}

// Two orders forgive the same journeys, and their runs go at the same time: each once.
func TestTwoRunsAtOnce(t *testing.T) {
	w := charged(t)
	second := charged2(w)
	a := w.confirmed()
	w.order = second
	b, _, err := w.service.Propose(t.Context(), "o2", "carl")
	if err == nil {
		_, err = w.service.Confirm(t.Context(), "o2", "dora", redress.Confirmation{Run: b.ID, Journeys: b.Journeys, Sum: b.Sum})
	}
	if err != nil || a.Journeys != b.Journeys {
		t.Fatal(err)
	}
	other := w.newService(w.memory, w.engine)
	w.between = func() {
		if err := other.Work(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for range 3 {
		_ = w.service.Work(t.Context()) // the other one may have changed the run
	}
	w.wantBalances("each once", 5000, 5000, 5000, 4500, 4500)
	if n := len(w.corrections()); n != 4 {
		t.Errorf("%d corrections", n)
	}
	for _, order := range []string{"o1", "o2"} {
		if r, _, err := w.service.List(t.Context(), order); err != nil || r.Phase != redress.Done {
			t.Errorf("%s: %+v %v", order, r, err)
		}
	}
}

func charged2(w *town) disruption.Order {
	o := w.order
	o.ID, o.By, o.Second = "o2", "carl", "dora"
	return o
}

// Each effect fails in both ways at each step; after restarts every journey is given back once.
func TestFaults(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpLoad, storetest.OpCommit, storetest.OpGet, storetest.OpPut, storetest.OpKeys} {
		for _, kind := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
			for at := range 6 {
				w := charged(t)
				w.confirmed()
				m := w.memory.Handle()
				if err := m.OpenEpoch(t.Context(), w.now()); err != nil {
					t.Fatal(err)
				}
				w.memory = m
				n := 0
				m.SetFault(func(o storetest.Op) storetest.Fault {
					if o != op {
						return storetest.NoFault
					}
					if n++; n-1 == at {
						return kind
					}
					return storetest.NoFault
				})
				first := w.newService(m, w.newEngine(m)).Work(t.Context())
				m.SetFault(nil)
				w.engine = w.newEngine(m) // a restart
				again := w.newService(m, w.engine)
				var err error
				for range 3 {
					if err = again.Work(t.Context()); err == nil {
						break
					}
				}
				w.wantBalances(string(op), 5000, 5000, 5000, 4500, 4500)
				r, _, errList := again.List(t.Context(), "o1")
				if err != nil || errList != nil || r.Phase != redress.Done || r.Given != 4 || len(w.corrections()) != 4 {
					t.Fatalf("%s %d at %d: %v, then %v: %+v", op, kind, at, first, err, r)
				}
			}
		}
	}
}

// What the card has forgotten the ledger knows: a run that was done is not done again by a
// process that had been stopped, and what it asks too late is not carried out.
func TestLongAfterTheLedgerWasAsked(t *testing.T) {
	w := charged(t)
	w.confirmed()
	w.read = func() {
		if err := w.newService(w.memory, w.engine).Work(t.Context()); err != nil {
			t.Error(err)
		}
		for range 12 { // more than the card remembers
			w.pass(11 * minute)
			w.enter(4, "North")
			w.pass(minute)
			w.leave(4, "South")
			w.open1(4)
		}
	}
	before := w.balance(4)
	_ = w.service.Work(t.Context()) // the other one has changed the run
	if err := w.service.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.balance(4); got != before+150 || len(w.corrections()) != 4 {
		t.Errorf("balance %d, before %d; %d corrections", got, before, len(w.corrections()))
	}
}

// open1 loads the price of a ride.
func (w *town) open1(n byte) {
	q := w.request(n, txn.Load, "")
	q.Amount, q.Place.Funding = 500, "acquirer/SZT"
	w.do(q)
}

// What was reversed, refunded or frozen since.
func TestWhatBecameOfTheCharge(t *testing.T) {
	w := newTown(t, disruption.EntryExitWaived, "station:South")
	for n := byte(1); n <= 3; n++ {
		w.open(n)
	}
	w.pass(minute)
	first, second := w.leave(1, "South"), w.leave(2, "South")
	w.leave(3, "North") // elsewhere
	q := w.request(1, txn.Reversal, "South")
	q.Original = first.ID
	w.do(q)
	q = w.request(2, txn.Refund, "South")
	q.Original, q.Amount = second.ID, 300
	w.do(q)
	all, _, err := w.service.Show(t.Context(), "o1")
	if err != nil || len(all) != 2 || all[0].State != redress.Undone || all[1].State != redress.Waits || all[1].Back != 400 {
		t.Fatalf("%+v %v", all, err)
	}
	w.confirmed()
	if err := w.service.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantBalances("the rest", 5000, 5000, 4300)
}

// A card that was replaced is for a person, and so it stays.
func TestRefused(t *testing.T) {
	w := charged(t)
	w.confirmed()
	q := w.request(1, txn.Amend, "")
	q.Change = &txn.CardChange{Set: txn.ChangeSuccessor, Successor: token(9)}
	w.do(q)
	if err := w.service.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, all, err := w.service.List(t.Context(), "o1")
	if err != nil || r.Refused != 1 || r.Given != 3 || all[0].State != redress.Refused || all[0].Reason != "card_replaced" {
		t.Fatalf("%+v %+v %v", r, all, err)
	}
	all, _, err = w.service.Show(t.Context(), "o1")
	if err != nil || all[0].State != redress.Refused || all[0].Reason != "card_replaced" {
		t.Errorf("%+v %v", all[0], err)
	}
}

func TestWhatIsNotConfirmed(t *testing.T) {
	w := charged(t)
	w.order.Second = ""
	if _, _, err := w.service.Propose(t.Context(), "o1", "anna"); err == nil || !strings.Contains(err.Error(), "order_not_confirmed") {
		t.Errorf("%v", err)
	}
	if _, _, err := w.service.Show(t.Context(), "o9"); err == nil || !strings.Contains(err.Error(), "order_unknown") {
		t.Errorf("%v", err)
	}
	w.order.Second = "ben"
	if _, _, err := w.service.Propose(t.Context(), "o1", "anna"); err != nil {
		t.Fatal(err)
	}
	if err := w.service.Drop(t.Context(), "o1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.service.List(t.Context(), "o1"); err == nil || !strings.Contains(err.Error(), "run_unknown") {
		t.Errorf("%v", err)
	}
	w.confirmed()
	for name, err := range map[string]error{"drop": w.service.Drop(t.Context(), "o1")} {
		if err == nil || !strings.Contains(err.Error(), "run_confirmed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := w.service.Propose(t.Context(), "o1", "anna"); err == nil || !strings.Contains(err.Error(), "run_under_way") {
		t.Errorf("%v", err)
	}
}

// notBy proves that neither the same person nor one who saw another list has it given back.
func (w *town) notBy(seen redress.Confirmation) {
	t := w.t
	t.Helper()
	for name, c := range map[string]struct {
		actor string
		seen  redress.Confirmation
	}{
		"the same person": {"anna", seen},
		"another sum":     {"ben", redress.Confirmation{Run: seen.Run, Journeys: 4, Sum: 2251}},
		"another list":    {"ben", redress.Confirmation{Run: "x", Journeys: 4, Sum: 2250}},
	} {
		var refused *redress.Refusal
		if _, err := w.service.Confirm(t.Context(), "o1", c.actor, c.seen); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.service.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantBalances("not confirmed", 4300, 4300, 4300, 4350, 4500)
}

// checkRecords proves what the four corrections of a run say.
func (w *town) checkRecords(r *redress.Run, rows int) {
	t := w.t
	t.Helper()
	for i, c := range w.corrections() {
		if c.BusinessDate != 20261122 || c.Listing.Actor != "anna+ben" || c.Postings[1].Account != "operator/metro" ||
			!strings.HasPrefix(c.Listing.Note, "grace o1:"+r.ID+" ") || !strings.Contains(c.Listing.Note, "of 2026-11-21 b") ||
			c.Original.IsZero() || len(c.Discounts) != 1 || c.Discounts[0].Cause != "grace" {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if n := len(w.corrections()); n != 4 || rows != 4 {
		t.Errorf("%d corrections, %d rows", n, rows)
	}
}

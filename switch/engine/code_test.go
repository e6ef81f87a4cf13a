package engine_test

import (
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// code is a QR code that was generated at an instant, for trips up to 20.00.
func code(at txn.Millis) func(*txn.Request) {
	return func(r *txn.Request) { r.Code = txn.Code{GeneratedAt: at, Limit: 2000} }
}

// without is a record of a code that was served off line.
func without(r *txn.Request) { r.Offline = true }

func (w *wallet) shown(at txn.Millis, change ...func(*txn.Request)) *txn.Request {
	return w.request(txn.BusBoarding, append([]func(*txn.Request){place(bus), code(at)}, change...)...)
}

func TestCodeIsUsedOnce(t *testing.T) {
	w := enrolled(t, 5000)
	first := w.shown(morning)
	w.must(first)
	w.wantBalance(4700)
	if d := w.must(first); !d.Replay {
		t.Errorf("the same request again: %+v", d)
	}
	w.refused(w.shown(morning), txn.CodeUsed)
	w.refused(w.shown(morning+999), txn.CodeUsed) // the same second
	w.must(w.shown(morning + second))
	w.refused(w.shown(morning, without), txn.CodeUsed) // whoever tells of it
	w.wantBalance(4400)

	// A reversed trip's code stays used; a card in the hand is none of its business.
	w.must(w.reversal(first))
	w.refused(w.shown(morning), txn.CodeUsed)
	w.must(w.board("M1"))
}

func TestRefusedTapLeavesItsCode(t *testing.T) {
	w := enrolled(t, 100)
	w.refused(w.shown(morning), txn.InsufficientFunds)
	w.must(w.load(5000))
	w.must(w.shown(morning))
}

func TestCodeOpensAndEndsAJourney(t *testing.T) {
	w := enrolled(t, 5000)
	w.must(w.request(txn.MetroEntry, place(at(metro, "Futian")), code(morning)))
	w.refused(w.request(txn.MetroExit, place(at(metro, "Luohu")), code(morning)), txn.CodeUsed)
	w.now += 20 * minute
	w.must(w.request(txn.MetroExit, place(at(metro, "Luohu")), code(w.now)))
	w.wantBalance(4500)
}

// A copy gets the answer that the first got, although its code has expired since.
func TestCodeThatWasRefused(t *testing.T) {
	w := enrolled(t, 5000)
	expired := func(r *txn.Request) { r.Code.Refused = txn.CodeExpired }
	first := w.shown(morning)
	late := *first
	expired(&late)
	before := len(w.records)
	w.refused(&late, txn.CodeExpired)
	if len(w.records) != before {
		t.Error("a code that is not taken leaves a record")
	}
	w.must(first)
	if d := w.must(&late); !d.Replay {
		t.Errorf("%+v", d)
	}
	w.wantBalance(4700)
}

func TestCodeLimit(t *testing.T) {
	w := enrolled(t, 5000)
	limit := func(m txn.Minor) func(*txn.Request) { return func(r *txn.Request) { r.Code.Limit = m } }
	w.refused(w.shown(morning, limit(299)), txn.CodeOverLimit)
	w.must(w.shown(morning, limit(300)))
	w.refused(w.shown(morning+second, limit(100), fareGiven(200, 101)), txn.CodeOverLimit)
	w.wantBalance(4700)
}

// What a validator served off line is booked below zero, frozen or not, and once.
func TestCodeServedOffLine(t *testing.T) {
	w := enrolled(t, 100)
	w.must(w.shown(morning-hour, without, serviceAt(morning-hour)))
	w.wantBalance(-200)
	if rec := w.last(); !rec.Offline || rec.TAC != txn.TACNone {
		t.Errorf("record: offline %v, TAC %s", rec.Offline, rec.TAC)
	}
	w.must(w.freeze(txn.Lost, txn.AppTransit))
	w.refused(w.shown(morning), txn.CardFrozen)
	w.must(w.shown(morning-minute, without, serviceAt(morning-minute)))
	if rec := w.last(); rec.Liability != txn.LiabilityOpen {
		t.Errorf("liability %s", rec.Liability)
	}
}

func TestForgottenCodes(t *testing.T) {
	w := enrolled(t, 90_000)
	for i := range txn.Millis(card.CodesKeep + 1) {
		w.must(w.shown(morning+i*second, without))
	}
	w.refused(w.shown(morning, without), txn.CodeForgotten)
	w.refused(w.shown(morning-second, without), txn.CodeForgotten)
	w.refused(w.shown(morning+second, without), txn.CodeUsed)
}

// Whatever is shown where and in whatever order, each code pays once.
func TestCodesPayOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := enrolled(rt, 200_000)
		paid := map[txn.Millis]int{}
		for range rapid.IntRange(1, 120).Draw(rt, "taps") {
			made := morning + second*txn.Millis(rapid.IntRange(0, 60).Draw(rt, "made"))
			r := w.shown(made)
			r.Offline = rapid.Bool().Draw(rt, "off line")
			if w.do(r).Outcome == txn.Approved {
				paid[made]++
			}
			if paid[made] > 1 {
				rt.Fatalf("code of %d paid %d times", made-morning, paid[made])
			}
		}
		w.wantBalance(200_000 - 300*txn.Minor(len(paid)))
	})
}

// Many gates at the same instant, two switches: one approval.
func TestCodeAtManyGates(t *testing.T) {
	r := newRig(t, storetest.MemoryOptions{})
	r.enrol(1, 50_000)
	other := r.engineOn(r.cards, &replica{})
	const gates = 16
	var group sync.WaitGroup
	approved := make([]bool, gates)
	for i := range gates {
		q, e := r.maker.shown(morning), r.engine
		if i%2 == 1 {
			e = other
		}
		group.Go(func() { approved[i] = e.Authorize(t.Context(), q).Decision.Outcome == txn.Approved })
	}
	group.Wait()
	n := 0
	for _, ok := range approved {
		if ok {
			n++
		}
	}
	if state, _ := r.state(token(1)); n != 1 || state.Balance != 49_700 {
		t.Errorf("%d approvals, balance %d", n, state.Balance)
	}
	r.open() // after a restart
	r.refused(r.maker.shown(morning), txn.CodeUsed)
	r.checkAll()
}

func TestTACVerdictStandsInTheRecord(t *testing.T) {
	for given, want := range map[txn.TACVerdict]txn.TACVerdict{
		txn.TACNone: txn.TACUnchecked, txn.TACValid: txn.TACValid, txn.TACKeyUnknown: txn.TACKeyUnknown} {
		w := enrolled(t, 5000)
		w.must(w.request(txn.BusBoarding, place(bus), offline(7), func(r *txn.Request) { r.TAC = given }))
		if got := w.last().TAC; got != want {
			t.Errorf("%s became %s", given, got)
		}
	}
	w := enrolled(t, 5000)
	w.must(w.request(txn.BusBoarding, place(bus), func(r *txn.Request) { r.TAC = txn.TACValid }))
	if got := w.last().TAC; got != txn.TACNone {
		t.Errorf("on line: %s", got)
	}
}

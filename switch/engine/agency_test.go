package engine_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// wallet2 is the successor of the card of enrolled.
func wallet2(t tb) *wallet {
	w := newWallet(t)
	w.token = token(2)
	w.must(w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse}
	}))
	return w
}

func (w *wallet) change(c txn.CardChange) *txn.Request {
	return w.request(txn.Amend, func(r *txn.Request) {
		r.Change = &c
		r.Listing = txn.Listing{Actor: "desk/7", Note: "case 12"}
	})
}

// replaced makes next the successor of w, whose number is dead from then on.
func replaced(w, next *wallet) {
	w.must(w.freeze(txn.Replaced, txn.AppAll))
	next.must(next.change(txn.CardChange{Set: txn.ChangeAccount, Predecessor: w.token}))
	w.must(w.change(txn.CardChange{Set: txn.ChangeSuccessor, Successor: next.token}))
}

func (w *wallet) out(seq uint32, next *wallet) *txn.Request {
	return w.request(txn.TransferOut, func(r *txn.Request) {
		r.Place = txn.Place{}
		r.Move = &txn.Move{Seq: seq, Other: next.token}
	})
}

func (w *wallet) arrived(seq uint32, next *wallet) *txn.Request {
	r := w.out(seq, next)
	r.Move.Arrived = true
	return r
}

// in is the request that brings to w what is on its way from old.
func (w *wallet) in(old *wallet) *txn.Request {
	s := old.card()
	return w.request(txn.TransferIn, func(r *txn.Request) {
		r.Place = txn.Place{}
		r.Amount = s.Life.Moving.Amount
		r.Move = &txn.Move{Seq: s.Life.MovedOut, Other: old.token, EnteredAt: s.Journey.EnteredAt,
			Station: s.Journey.Station, Line: s.Journey.Line, Operator: s.Journey.Operator,
			Entry: s.Journey.Request, Rides: s.Rides}
	})
}

// got is the last transfer that came from old.
func (w *wallet) got(old *wallet) uint32 {
	s := w.card()
	return s.Life.Arrival(old.token).Seq
}

// dueMoves counts the transfers that are due.
func (w *wallet) dueMoves() (n int) {
	for key := range w.due {
		if from, ok := engine.ParseMoveKey([]byte(key)); ok && from == w.token {
			n++
		}
	}
	return n
}

// The balance and the open journey of a replaced card go to its successor, each once, however
// often each step is asked for.
func TestTransferToTheSuccessor(t *testing.T) {
	old, next := enrolled(t, 1000), wallet2(t)
	old.must(old.entry("Futian"))
	if old.dueMoves() != 0 {
		t.Fatal("a card in use has a transfer due")
	}
	replaced(old, next)
	if old.dueMoves() != 1 {
		t.Fatal("the transfer of a replaced card is not due")
	}
	for range 3 {
		old.must(old.out(1, next))
	}
	old.wantBalance(0)
	bring := next.in(old)
	for range 3 {
		next.must(bring)
	}
	next.must(next.in(old)) // another id, the same transfer
	next.wantBalance(1000)
	if j := next.card().Journey; j.Station != "Futian" {
		t.Fatalf("journey %+v", j)
	}
	old.must(old.arrived(1, next))
	if s := old.card(); s.Journey.Open() || s.Life.Moving != (card.Moving{}) || len(old.due) != 0 {
		t.Fatalf("left behind: %+v, %d due", s, len(old.due))
	}
	old.refused(old.arrived(1, next), txn.NothingToMove)
	old.refused(old.out(2, next), txn.NothingToMove)
	d := next.must(next.exit("Luohu"))
	if d.Charged == 0 {
		t.Fatal("the journey that went along cost nothing")
	}
	sum := txn.Minor(0)
	for _, w := range []*wallet{old, next} {
		for i := range w.records {
			for _, p := range w.records[i].Postings {
				if p.Account == engine.AccountTransfer {
					sum += p.Amount
				}
			}
		}
	}
	if sum != 0 {
		t.Fatalf("%d is still on its way", sum)
	}
}

// Money that is owed to a frozen card reaches its successor: a refund after the replacement
// is accepted and due to be moved.
func TestRefundOfAReplacedCardGoesToItsSuccessor(t *testing.T) {
	old, next := enrolled(t, 1000), wallet2(t)
	bought := old.purchase(300)
	old.must(bought)
	replaced(old, next)
	old.must(old.out(1, next))
	next.must(next.in(old))
	old.must(old.refund(bought, 200)) // while the first transfer is under way
	old.refused(old.out(2, next), txn.NothingToMove)
	old.must(old.arrived(1, next))
	if old.dueMoves() != 1 {
		t.Fatal("the refund is not due to be moved")
	}
	old.must(old.out(2, next))
	next.must(next.in(old))
	old.must(old.arrived(2, next))
	old.wantBalance(0)
	next.wantBalance(900)
	old.refused(old.purchase(1), txn.CardReplaced)
}

// A successor is for ever, and nobody gives a transfer to a card that is not one.
func TestSuccessorIsForEver(t *testing.T) {
	old, next := enrolled(t, 1000), wallet2(t)
	replaced(old, next)
	for _, other := range []pan.Token{{}, token(3), old.token} {
		old.refused(old.change(txn.CardChange{Set: txn.ChangeSuccessor, Successor: other}),
			txn.ReleaseClosed)
	}
	stray := old.out(1, next)
	stray.Move.Other = token(3)
	old.refused(stray, txn.NothingToMove)
	foreign := next.request(txn.TransferIn, amountOf(5), func(r *txn.Request) {
		r.Place = txn.Place{}
		r.Move = &txn.Move{Seq: 1, Other: token(3)}
	})
	next.refused(foreign, txn.NothingToMove)
	next.wantBalance(0)
}

// Several carriers of an account may have one successor: each arrives once.
func TestSeveralCardsWithOneSuccessor(t *testing.T) {
	next := wallet2(t)
	var olds []*wallet
	for i := range card.ArrivalsMax {
		old := enrolled(t, 100)
		old.token = token(byte(10 + i))
		replaced(old, next)
		old.must(old.out(1, next))
		olds = append(olds, old)
	}
	for range 2 {
		for _, old := range olds {
			next.must(next.in(old))
		}
	}
	next.wantBalance(100 * card.ArrivalsMax)
	next.refused(next.change(txn.CardChange{Set: txn.ChangeAccount, Predecessor: token(99)}),
		txn.LimitExceeded)
}

// Whatever order steps come in, and however often, money is neither lost nor made.
func TestTransfersKeepTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, next := enrolled(t, 1000), wallet2(t)
		bought := old.purchase(300)
		old.must(bought)
		replaced(old, next)
		refunded := txn.Minor(0)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			seq := uint32(rapid.IntRange(1, 4).Draw(t, "seq"))
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				old.do(old.out(seq, next))
			case 1:
				if old.card().Life.Moving.Open {
					next.do(next.in(old))
				}
			case 2:
				// The desk says so only when it has seen the answer.
				if old.card().Life.Moving.Open && next.got(old) == old.card().Life.MovedOut {
					old.do(old.arrived(seq, next))
				}
			case 3:
				if old.do(old.refund(bought, 10)).Outcome == txn.Approved {
					refunded += 10
				}
			default:
				r := old.in(next) // the wrong way round
				old.refused(r, txn.NothingToMove)
			}
			way := txn.Minor(0)
			if s := old.card(); s.Life.Moving.Open && next.got(old) < s.Life.MovedOut {
				way = s.Life.Moving.Amount
			}
			if sum := old.card().Balance + next.card().Balance + way; sum != 700+refunded {
				t.Fatalf("%d, want %d", sum, 700+refunded)
			}
			if s := old.card(); s.Owed() && old.dueMoves() == 0 {
				t.Fatal("something is owed and nothing is due")
			}
		}
	})
}

// An off-line record of a frozen card is kept, with who bears it still open: the terminal
// has served the card, and refusing the record would lose that.
func TestOfflineRecordOfAFrozenCard(t *testing.T) {
	for _, reason := range []txn.FreezeReason{txn.Lost, txn.Replaced} {
		w := enrolled(t, 1000)
		w.must(w.freeze(reason, txn.AppAll))
		w.must(w.request(txn.BusBoarding, place(bus), fareGiven(200, 200), offline(7)))
		if r := w.last(); r.Liability != txn.LiabilityOpen || r.Charged != 200 {
			t.Fatalf("%s: record %+v", reason, r)
		}
		w.must(w.request(txn.Purchase, amountOf(900), offline(8)))
		w.wantBalance(-100)
		w.refused(w.request(txn.Purchase, amountOf(1), offline(8)), txn.CounterSeen)
		if w.do(w.board("M1")).Outcome == txn.Approved {
			t.Fatalf("%s: an on-line ride was approved", reason)
		}
		if r := w.last(); r.Liability != txn.LiabilityNone {
			t.Fatalf("%s: a decline has a liability", reason)
		}
	}
	w := enrolled(t, 1000)
	w.must(w.request(txn.Purchase, amountOf(9), offline(1)))
	if r := w.last(); r.Liability != txn.LiabilityNone {
		t.Fatal("a card that is not frozen: the liability is open")
	}
}

func TestAmendedCard(t *testing.T) {
	w := enrolled(t, 1000)
	w.must(w.change(txn.CardChange{Set: txn.ChangeApps, Apps: txn.AppTransit}))
	w.refused(w.purchase(1), txn.ApplicationClosed)
	w.must(w.change(txn.CardChange{Set: txn.ChangeApps, Apps: txn.AppTransit | txn.AppPurse}))
	w.must(w.purchase(1))
	w.must(w.change(txn.CardChange{Set: txn.ChangeStatus}))
	w.refused(w.purchase(1), txn.CardNotActive)
	w.must(w.change(txn.CardChange{Set: txn.ChangeStatus | txn.ChangeExpiry, Active: true,
		ExpiresAt: morning}))
	w.refused(w.purchase(1), txn.CardExpired)
	w.must(w.change(txn.CardChange{Set: txn.ChangeServed, ServedUntil: morning + hour}))
	w.must(w.purchase(1))
	w.now += hour
	w.refused(w.purchase(1), txn.CardExpired)
	w.must(w.change(txn.CardChange{Set: txn.ChangeRider, Rider: txn.RiderSenior,
		RiderUntil: w.now + hour}))
	if s := w.card(); s.RiderAt(w.now) != txn.RiderSenior || s.RiderAt(w.now+hour) != txn.RiderOrdinary {
		t.Fatalf("rider %+v", s)
	}
	if r := w.last(); r.Kind != txn.Amend || r.Listing.Actor != "desk/7" || r.Listing.Note != "case 12" ||
		r.Listing.Mark != (txn.Mark{}) {
		t.Fatalf("record %+v", r)
	}
}

func TestVerifyUsesAnApplicationWithoutMoney(t *testing.T) {
	w := enrolled(t, 1000)
	verify := func(app txn.App) *txn.Request {
		return w.request(txn.Verify, func(r *txn.Request) { r.App = app })
	}
	w.refused(verify(txn.AppLibrary), txn.ApplicationClosed)
	w.must(w.change(txn.CardChange{Set: txn.ChangeApps, Apps: txn.AppLibrary | txn.AppPurse}))
	w.must(verify(txn.AppLibrary))
	if r := w.last(); r.Application != txn.AppLibrary || len(r.Postings) != 0 || r.Charged != 0 {
		t.Fatalf("record %+v", r)
	}
	w.must(w.freeze(txn.Suspended, txn.AppLibrary))
	w.refused(verify(txn.AppLibrary), txn.CardFrozen)
	w.must(w.purchase(1))
}

// A release can leave what stays in force, and refuses when the entry is not the one that
// the desk saw.
func TestReleaseLeavesWhatStaysInForce(t *testing.T) {
	w := enrolled(t, 1000)
	social := txn.Mark{Reason: txn.Suspended, Scope: txn.AppSocial}
	w.must(w.freeze(txn.Suspended, txn.AppSocial))
	w.must(w.freeze(txn.Lost, txn.AppAll))
	w.refused(w.purchase(1), txn.CardFrozen)
	release := func(left, from txn.Mark) *txn.Request {
		return w.request(txn.Release, func(r *txn.Request) {
			r.Listing = txn.Listing{Mark: left, From: from}
		})
	}
	w.must(release(social, w.mark))
	if w.mark != social {
		t.Fatalf("mark %+v", w.mark)
	}
	w.must(w.purchase(1))
	w.refused(release(social, social), txn.AlreadyListed)
	w.refused(release(txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}, social), txn.ReleaseClosed)
	w.must(release(txn.Mark{}, social))
	w.refused(release(txn.Mark{}, social), txn.NotListed)
}

func TestReleaseOfWhatTheDeskDidNotSee(t *testing.T) {
	w := enrolled(t, 1000)
	w.must(w.freeze(txn.Lost, txn.AppAll))
	saw := w.mark
	w.must(w.request(txn.Release))
	w.must(w.freeze(txn.Risk, txn.AppAll))
	w.refused(w.request(txn.Release, func(r *txn.Request) { r.Listing.From = saw }), txn.ListChanged)
	if w.mark.Reason != txn.Risk {
		t.Fatal("a freeze that the desk did not see was lifted")
	}
}

// Money of the agency: the postings name both sides and sum to zero, and a repeat moves
// nothing again.
func TestMoneyOfTheAgency(t *testing.T) {
	for _, c := range []struct {
		kind    txn.Kind
		amount  txn.Minor
		place   txn.Place
		balance txn.Minor
		own     txn.Account
	}{
		{txn.Fee, 1500, txn.Place{Payee: "income/fees", Funding: "cash/d1"}, 1000, "cash/d1"},
		{txn.Payout, 1000, txn.Place{Payee: "cash/d1"}, 0, engine.AccountPurse},
		{txn.Liable, 200, txn.Place{Payee: "loss/operator/bus"}, 1200, engine.AccountPurse},
		{txn.Liable, -1200, txn.Place{Payee: "loss/operator/bus"}, -200, engine.AccountPurse},
		{txn.Compensation, 50, txn.Place{Payee: "loss/agency"}, 1050, engine.AccountPurse},
	} {
		w := enrolled(t, 1000)
		w.must(w.freeze(txn.Lost, txn.AppAll)) // none of it is closed by a freeze
		r := w.request(c.kind, place(c.place), amountOf(c.amount), func(r *txn.Request) {
			if c.kind == txn.Liable || c.kind == txn.Compensation {
				r.Liability = txn.LiabilityOperator
			}
		})
		w.must(r)
		rec := w.last()
		if len(rec.Postings) != 2 || rec.Postings[0].Account != c.own ||
			rec.Postings[1].Account != c.place.Payee || rec.Liability != r.Liability {
			t.Errorf("%s: record %+v", c.kind, rec)
		}
		if d := w.must(r); !d.Replay {
			t.Errorf("%s: made twice", c.kind)
		}
		w.wantBalance(c.balance)
	}
	w := enrolled(t, 1000)
	w.refused(w.request(txn.Payout, amountOf(1001)), txn.InsufficientFunds)
	w.refused(w.request(txn.Fee, amountOf(-1)), txn.InvalidAmount)
	w.refused(w.request(txn.Liable, amountOf(0)), txn.InvalidAmount)
}

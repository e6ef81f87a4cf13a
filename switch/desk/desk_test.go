package desk

import (
	"errors"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var lossReport = account.ReportLoss{Who: atDesk, Form: account.Written, FormNo: "f-12", BankTold: true}

func TestAnAccountIsOpenedAndUsed(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	if s := r.card(cardToken(1)); s.Status != card.Active || s.Life.Account != token || s.ExpiresAt == 0 {
		t.Fatalf("card %+v", s)
	}
	r.wants(r.request(txn.Load, cardToken(1), 1000), txn.ReasonNone)
	r.wants(r.request(txn.Purchase, cardToken(1), 300), txn.ReasonNone)
	if found, _, err := r.desk.Find(t.Context(), cardToken(1)); err != nil || found != token {
		t.Fatalf("found %v, %v", found, err)
	}
	if _, _, err := r.desk.Find(t.Context(), cardToken(2)); !errors.Is(err, ErrNoAccount) {
		t.Fatalf("an unknown card: %v", err)
	}
	other := r.desk.HolderToken("somebody else")
	doc, _, _ := r.desk.AccountOf(t.Context(), other)
	r.refused(doc, "li.lei", account.OpenAccount{Holder: other, Who: atDesk, Checked: true,
		Carrier: account.NewCarrier{Token: cardToken(1), Kind: account.Chip, Family: "t_union", Ready: true}},
		account.CarrierExists)
}

// One report freezes every carrier of the account, tells the parties, and the call returns
// when that is so (HD19; one fate of all carriers is a product rule).
func TestDuty_HD19_OneReportFreezesEveryCarrierAtOnce(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", account.BindCarrier{Who: atDesk, Carrier: account.NewCarrier{Token: cardToken(2),
		Kind: account.ECard, Family: "e_card", Ready: true}})
	r.wants(r.request(txn.Load, cardToken(1), 1000), txn.ReasonNone)
	a := r.must(token, "li.lei", lossReport)
	if a.Left != 0 {
		t.Fatalf("%d effects left", a.Left)
	}
	lost := txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	for n := range byte(2) {
		if got := r.listed(cardToken(n + 1)); got != lost {
			t.Errorf("carrier %d bears %+v", n+1, got)
		}
		r.wants(r.request(txn.Purchase, cardToken(n+1), 1), txn.CardFrozen)
	}
	if kinds := r.notices.kinds(); !slices.Equal(kinds, []notice.Kind{notice.Freeze, notice.Freeze}) {
		t.Errorf("notices %v", kinds)
	}
	if n := r.notices.told[0]; n.Policy.Window.Hours() != 2 || n.Policy.Clause != "HD19" || n.AcceptedAt != morning {
		t.Errorf("notice %+v", n)
	}
	r.refused(token, "li.lei", lossReport, account.AlreadyReported)
}

// A release takes two persons, and what stays in force stays (HD20; the second person is a
// product rule, the wait is part of what is measured).
func TestDuty_HD20_ReleaseTakesTwoPersonsAndNotifies(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", lossReport)
	r.pass(hour)
	a := r.must(token, "li.lei", account.RequestRelease{Who: atDesk})
	if r.listed(cardToken(1)).Reason != txn.Lost {
		t.Fatal("one person released the card")
	}
	r.refused(token, "li.lei", account.ConfirmRelease{Case: a.Outcome.Case}, account.SamePerson)
	r.pass(minute)
	r.must(token, "han.mei", account.ConfirmRelease{Case: a.Outcome.Case})
	if got := r.listed(cardToken(1)); got != (txn.Mark{}) {
		t.Fatalf("released, and bears %+v", got)
	}
	last := r.notices.told[len(r.notices.told)-1]
	if last.Kind != notice.Release || last.Supersedes != r.notices.told[0].ID || last.AcceptedAt > r.now()-minute {
		t.Fatalf("notice %+v: the wait for the second person counts", last)
	}
	r.wants(r.request(txn.Load, cardToken(1), 100), txn.ReasonNone)
}

// A freeze by risk control on one card is taken into the account: it reaches the other
// carriers, and the release of a loss does not lift it.
func TestAForeignFreezeIsTakenIn(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	q := r.request(txn.Freeze, cardToken(1), 0)
	q.Listing = txn.Listing{Mark: txn.Mark{Reason: txn.Risk, Scope: txn.AppAll}, Actor: "risk.team"}
	r.wants(q, txn.ReasonNone)
	r.must(token, "li.lei", lossReport)
	a := r.must(token, "li.lei", account.RequestRelease{Who: atDesk})
	r.must(token, "han.mei", account.ConfirmRelease{Case: a.Outcome.Case})
	if got := r.listed(cardToken(1)); got.Reason != txn.Risk {
		t.Fatalf("bears %+v", got)
	}
	r.must(token, "han.mei", account.LiftRisk{Why: "checked"})
	if got := r.listed(cardToken(1)); got != (txn.Mark{}) {
		t.Fatalf("bears %+v", got)
	}
}

// The same freeze, made again in the millisecond in which the first one was lifted, is another
// one: it is taken in, and a release of something else does not lift it.
func TestAForeignFreezeComesAgain(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	freeze := func() {
		q := r.request(txn.Freeze, cardToken(1), 0)
		q.Listing = txn.Listing{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}, Actor: "risk.team"}
		r.wants(q, txn.ReasonNone)
		if _, err := r.desk.Reconcile(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if mark := r.account(token).MarkOf(cardToken(1)); mark.Reason != txn.Risk {
			t.Fatalf("the document says %+v", mark)
		}
	}
	freeze()
	r.must(token, "han.mei", account.LiftRisk{Why: "checked"})
	if got := r.listed(cardToken(1)); got != (txn.Mark{}) {
		t.Fatalf("bears %+v", got)
	}
	freeze()
}

// replace replaces the lost card 1 of an account by card 2.
func (r *rig) replace(token [16]byte) uint32 {
	r.t.Helper()
	a := r.must(token, "li.lei", account.ApplyReplacement{Who: atDesk, Old: cardToken(1), Accept: true})
	no := a.Outcome.Case
	r.must(token, "li.lei", account.MakeCard{Case: no, Carrier: account.NewCarrier{Token: cardToken(2),
		Last4: [4]byte{'0', '0', '0', '2'}, Kind: account.Chip, Family: "t_union", Ready: true}})
	r.settle()
	return no
}

// The old number is dead for ever; balance and open journey, and money that comes later,
// are the successor's (HD21, HD20; the move is a product rule).
func TestDuty_HD21_ReplacementMovesEverythingAndKillsTheNumber(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 1000), txn.ReasonNone)
	bought := r.request(txn.Purchase, cardToken(1), 300)
	r.wants(bought, txn.ReasonNone)
	r.wants(r.request(txn.MetroEntry, cardToken(1), 0, func(q *txn.Request) { q.Place.Station = "Futian" }), txn.ReasonNone)
	r.must(token, "li.lei", lossReport)
	r.replace(token)
	if old, next := r.card(cardToken(1)), r.card(cardToken(2)); old.Balance != 0 || next.Balance != 700 ||
		old.Journey.Open() || next.Journey.Station != "Futian" || next.Status != card.Active {
		t.Fatalf("old %+v\nnew %+v", old, next)
	}
	if got := r.listed(cardToken(1)); got != (txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}) {
		t.Fatalf("old card bears %+v", got)
	}
	if got := r.listed(cardToken(2)); got != (txn.Mark{}) {
		t.Fatalf("new card bears %+v", got)
	}
	r.wants(r.request(txn.Refund, cardToken(1), 200, func(q *txn.Request) { q.Original = bought.ID }), txn.ReasonNone)
	r.settle()
	if old, next := r.card(cardToken(1)), r.card(cardToken(2)); old.Balance != 0 || next.Balance != 900 {
		t.Fatalf("after the refund: old %d, new %d", old.Balance, next.Balance)
	}
	r.wants(r.request(txn.Purchase, cardToken(1), 1), txn.CardReplaced)
	r.wants(r.request(txn.Release, cardToken(1), 0), txn.ReleaseClosed)
	if got := r.sum(engine.AccountTransfer); got != 0 {
		t.Fatalf("%d is on its way for ever", got)
	}
}

// Off-line rides of a lost card are booked to whom the boundary says, by their service time,
// and moved by findings in new entries only (HD18, HD19, HD30).
func TestDuty_HD18_HD30_LiabilityByServiceTime(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 5000), txn.ReasonNone)
	r.must(token, "li.lei", lossReport)
	r.notices.clocks = map[string][]notice.Clock{"": {{Row: notice.Row{Party: "transit",
		SentFirst: morning + second, Received: morning + minute}}}}
	r.pass(5 * hour)
	ride := func(n uint32, at txn.Millis) *txn.Request {
		return r.request(txn.BusBoarding, cardToken(1), 200, func(q *txn.Request) {
			q.FullFare, q.FareGiven, q.Offline, q.OfflineCounter, q.ServiceAt = 200, true, true, n, at
		})
	}
	early, late := ride(1, morning+hour), ride(2, morning+3*hour)
	r.wants(early, txn.ReasonNone)
	r.wants(late, txn.ReasonNone)
	for range 3 { // judging again books nothing again
		if _, err := r.desk.JudgeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.sum("loss/transit"); got != -200 {
		t.Fatalf("the late party bears %d, want 200", -got)
	}
	if got := r.card(cardToken(1)).Balance; got != 4800 {
		t.Fatalf("balance %d: the holder pays the ride before the boundary only", got)
	}
	losses, err := r.desk.Losses(t.Context(), token)
	if err != nil || len(losses) != 1 {
		t.Fatalf("%d losses, %v", len(losses), err)
	}
	all, err := r.desk.Judgement(t.Context(), losses[0])
	if err != nil || len(all) != 2 {
		t.Fatalf("%d verdicts, %v", len(all), err)
	}
	for _, v := range all {
		want := liability.WhyBefore
		if v.Record.Request == late.ID {
			want = liability.WhyLate
		}
		if v.Verdict.Why != want {
			t.Errorf("%s: %+v", v.Record.Request, v.Verdict)
		}
	}
	// A finding moves the late ride to the holder; taking it back moves it to the party.
	at := all[slices.IndexFunc(all, func(v Verdict) bool { return v.Record.Request == late.ID })].Record.Position
	for i, want := range []txn.Minor{0, -200} {
		a := r.must(token, "li.lei", account.OpenFinding{Fault: account.Lent, Evidence: "e-7",
			Txns: []txn.Position{at}, Undo: i == 1})
		r.refused(token, "li.lei", account.ConfirmCase{Case: a.Outcome.Case}, account.SamePerson)
		b := r.must(token, "han.mei", account.ConfirmCase{Case: a.Outcome.Case})
		if b.Left != 0 {
			t.Fatalf("left: %+v", b.Account.ToDo)
		}
		if _, err := r.desk.JudgeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.sum("loss/transit"); got != want {
			t.Fatalf("finding %d: the party bears %d, want %d", i, -got, -want)
		}
	}
}

// Cancellation pays the balance out, books the fee and kills every number (HD24; paying the
// balance out is a product rule).
func TestDuty_HD24_CancellationSettlesAndPaysOut(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 1000), txn.ReasonNone)
	a := r.must(token, "li.lei", account.RequestCancellation{Who: atDesk})
	r.must(token, "han.mei", account.CompleteCancellation{Case: a.Outcome.Case, Outlet: "d1"})
	r.settle()
	if doc := r.account(token); doc.Closed == 0 || len(doc.ToDo) != 0 {
		t.Fatalf("account %+v", doc)
	}
	if got := r.sum("cash/d1"); got != 1000 {
		t.Fatalf("paid out %d", got)
	}
	r.wants(r.request(txn.Purchase, cardToken(1), 1), txn.CardCancelled)
	// The holder may open another account with another card.
	holder := r.desk.HolderToken("id-1")
	next, doc, err := r.desk.AccountOf(t.Context(), holder)
	if err != nil || doc != nil || next == token {
		t.Fatalf("next account %v %v %v", next == token, doc, err)
	}
}

// Open cases are listed by kind and owner, the overdue ones apart, and leave the list when
// they end.
func TestCasesAndTheirDates(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", lossReport)
	a := r.must(token, "li.lei", account.ApplyReplacement{Who: atDesk, Old: cardToken(1), Accept: true})
	all, err := r.desk.Cases(t.Context(), CaseFilter{})
	if err != nil || len(all) != 1 || all[0].Case.No != a.Outcome.Case || all[0].Overdue {
		t.Fatalf("%+v, %v", all, err)
	}
	if all, _ := r.desk.Cases(t.Context(), CaseFilter{Kind: account.CaseComplaint}); len(all) != 0 {
		t.Fatalf("complaints: %+v", all)
	}
	r.pass(30 * day)
	r.settle()
	if all, _ := r.desk.Cases(t.Context(), CaseFilter{Overdue: true, Owner: "d1"}); len(all) != 1 {
		t.Fatalf("overdue: %+v", all)
	}
	r.must(token, "li.lei", account.RefuseCase{Case: a.Outcome.Case, Paper: account.Paper{No: "L-1",
		Facts: "f", Reasons: "r", Remedies: "s"}})
	if all, _ := r.desk.Cases(t.Context(), CaseFilter{}); len(all) != 0 {
		t.Fatalf("ended and listed: %+v", all)
	}
}

// A number that is on the list of frozen cards is given to nobody: not with a new account, not in
// addition, not in place of a lost card. A card that was given out before is drawn in with its
// freeze, unless it is dead.
func TestAFrozenNumberIsNotGivenOut(t *testing.T) {
	r := newRig(t, "handan")
	freeze := func(n byte, why txn.FreezeReason) {
		t.Helper()
		q := r.request(txn.Freeze, cardToken(n), 0)
		q.Listing = txn.Listing{Mark: txn.Mark{Reason: why, Scope: txn.AppAll}, Actor: "risk.team"}
		r.wants(q, txn.ReasonNone)
	}
	freeze(8, txn.Risk)
	freeze(9, txn.Replaced)
	carrier := func(n byte, existing bool) account.NewCarrier {
		return account.NewCarrier{Token: cardToken(n), Kind: account.Chip, Family: "t_union", Ready: true,
			Existing: existing}
	}
	holder := r.desk.HolderToken("id-8")
	at, _, err := r.desk.AccountOf(t.Context(), holder)
	if err != nil {
		t.Fatal(err)
	}
	opening := func(n byte, existing bool) account.OpenAccount {
		return account.OpenAccount{Holder: holder, Who: atDesk, Checked: true, Carrier: carrier(n, existing)}
	}
	r.refused(at, "li.lei", opening(8, false), account.CarrierFrozen)
	r.refused(at, "li.lei", opening(9, true), account.CarrierFrozen)
	if out, err := r.desk.Try(t.Context(), at, r.command("li.lei", opening(8, false))); err != nil ||
		out.Refusal != account.CarrierFrozen {
		t.Errorf("a dry run says %v, %v", out.Refusal, err)
	}
	token := r.open(1)
	r.refused(token, "li.lei", account.BindCarrier{Who: atDesk, Carrier: carrier(8, false)}, account.CarrierFrozen)
	r.must(token, "li.lei", lossReport)
	no := r.must(token, "li.lei", account.ApplyReplacement{Who: atDesk, Old: cardToken(1), Accept: true}).Outcome.Case
	r.refused(token, "li.lei", account.MakeCard{Case: no, Carrier: carrier(8, false)}, account.CarrierFrozen)
	r.must(token, "li.lei", account.MakeCard{Case: no, Carrier: carrier(2, false)})
	r.must(at, "li.lei", opening(8, true))
	if got := r.listed(cardToken(8)); got.Reason != txn.Risk {
		t.Errorf("drawn in, it bears %+v", got)
	}
}

package desk

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var dead = txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}

// restoreTo puts a copy in the store's place, as people do with a backup.
func (r *rig) restoreTo(copied *storetest.Memory) {
	r.t.Helper()
	r.desk.Close()
	r.memory = copied.Backup()
	if err := r.memory.OpenEpoch(r.t.Context(), r.now()); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

// A store that was restored from a copy older than a replacement has the old card alive. What
// the ledger says since closes it again before anybody is served, and the account takes in
// that the number is dead; the holder gets another card, and his money.
func TestRestoreRevivesNoReplacedCard(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 1000), txn.ReasonNone)
	copied := r.memory.Backup()
	r.must(token, "li.lei", lossReport)
	r.replace(token)
	ledger := wholeLedger(r.records())

	r.restoreTo(copied)
	r.wants(r.request(txn.Purchase, cardToken(1), 1), txn.ReasonNone) // the danger
	done, err := r.desk.Reclose(t.Context(), ledger, 0)
	if err != nil || done.Cards != 1 || done.Dead != 1 || done.Accounts != 1 || !slices.Contains(done.Lost, token) {
		t.Fatalf("%+v, %v", done, err)
	}
	r.wants(r.request(txn.Purchase, cardToken(1), 1), txn.CardReplaced)
	if got := r.account(token).MarkOf(cardToken(1)); got != dead {
		t.Fatalf("the document says %+v", got)
	}
	if done, err = r.desk.Reclose(t.Context(), ledger, 0); err != nil || done.Cards != 0 {
		t.Fatalf("again: %+v, %v", done, err)
	}
	a := r.must(token, "li.lei", account.ApplyReplacement{Who: atDesk, Old: cardToken(1), Accept: true})
	r.must(token, "li.lei", account.MakeCard{Case: a.Outcome.Case, Carrier: account.NewCarrier{Token: cardToken(4),
		Kind: account.Chip, Family: "t_union", Ready: true}})
	r.settle()
	if got := r.card(cardToken(4)).Balance; got != 999 {
		t.Fatalf("the third card holds %d", got)
	}
}

// A loss that the restored store has forgotten closes the account again, all carriers, and
// stands in the document as a freeze that two persons must lift.
func TestRestoreForgetsNoLoss(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	copied := r.memory.Backup()
	r.must(token, "li.lei", lossReport)
	ledger := wholeLedger(r.records())
	r.restoreTo(copied)
	if _, err := r.desk.Reclose(t.Context(), ledger, 0); err != nil {
		t.Fatal(err)
	}
	r.settle()
	if got, want := r.listed(cardToken(1)), r.account(token).MarkOf(cardToken(1)); got != want || !got.Frozen(txn.AppAll) {
		t.Fatalf("listed as %+v, the document says %+v", got, want)
	}
	r.must(token, "han.mei", account.LiftRisk{Why: "the holder has it"})
	if got := r.listed(cardToken(1)); got != (txn.Mark{}) {
		t.Fatalf("lifted, and bears %+v", got)
	}
}

// A freeze by risk control that the restored store has forgotten, on a card that the store closes
// for a loss anyway: when the loss is lifted, risk control's stays.
func TestRestoreForgetsNoFreezeBehindAnother(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", lossReport)
	a := r.must(token, "li.lei", account.RequestRelease{Who: atDesk})
	confirm := account.ConfirmRelease{Case: a.Outcome.Case}
	copied := r.memory.Backup()
	r.must(token, "han.mei", confirm)
	r.settle()
	r.wants(r.request(txn.Freeze, cardToken(1), 0, func(q *txn.Request) {
		q.Listing = txn.Listing{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}, Actor: "risk.team"}
	}), txn.ReasonNone)
	ledger := wholeLedger(r.records())
	r.restoreTo(copied)
	for range 2 {
		if _, err := r.desk.Reclose(t.Context(), ledger, 0); err != nil {
			t.Fatal(err)
		}
	}
	r.must(token, "han.mei", confirm)
	r.settle()
	if got := r.listed(cardToken(1)); !got.Frozen(txn.AppAll) {
		t.Fatalf("the release of the loss opened what risk control closed: %+v", got)
	}
	r.must(token, "han.mei", account.LiftRisk{Why: "examined"})
	r.settle()
	if got := r.listed(cardToken(1)); got != (txn.Mark{}) {
		t.Fatalf("lifted, and bears %+v", got)
	}
}

// A ledger that cannot be read lets nothing pass as done.
func TestRecloseTellsThatTheLedgerFailed(t *testing.T) {
	r := newRig(t, "handan")
	if _, err := r.desk.Reclose(t.Context(), brokenLedger{}, 0); !errors.Is(err, errBroken) {
		t.Fatalf("%v", err)
	}
}

// A freeze by somebody else for loss is lifted with the desk's own once both are: it does not
// stick to the card for ever.
func TestAForeignFreezeForLossIsLiftedInTheEnd(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	q := r.request(txn.Freeze, cardToken(1), 0)
	q.Listing = txn.Listing{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}, Actor: "hotline"}
	r.wants(q, txn.ReasonNone)
	r.must(token, "li.lei", lossReport)
	a := r.must(token, "li.lei", account.RequestRelease{Who: atDesk})
	r.must(token, "han.mei", account.ConfirmRelease{Case: a.Outcome.Case})
	if got := r.listed(cardToken(1)); !got.Frozen(txn.AppPurse) {
		t.Fatalf("the freeze of another was lifted: %+v", got)
	}
	r.must(token, "han.mei", account.LiftRisk{Why: "checked"})
	if got := r.listed(cardToken(1)); got != (txn.Mark{}) {
		t.Fatalf("bears %+v", got)
	}
}

// A number that somebody else closed for ever dies in its account, at the next word about it.
func TestANumberThatDiedElsewhereDiesInTheAccount(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	q := r.request(txn.Freeze, cardToken(1), 0)
	q.Listing = txn.Listing{Mark: dead, Actor: "import"}
	r.wants(q, txn.ReasonNone)
	r.must(token, "li.lei", lossReport)
	if doc := r.account(token); doc.Gone(cardToken(1)) == nil || len(doc.ToDo) != 0 {
		t.Fatalf("%+v", doc)
	}
	if amiss, err := r.desk.Reconcile(t.Context(), token); amiss || err != nil {
		t.Fatalf("%v, %v", amiss, err)
	}
}

// Reconcile closes what was opened behind the desk's back.
func TestReconcileClosesWhatWasOpenedBehindTheDesk(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.must(token, "li.lei", lossReport)
	q := r.request(txn.Release, cardToken(1), 0)
	q.Listing.Actor = "a+b"
	r.wants(q, txn.ReasonNone)
	if amiss, err := r.desk.Reconcile(t.Context(), token); !amiss || err != nil {
		t.Fatalf("%v, %v", amiss, err)
	}
	if got := r.listed(cardToken(1)); got.Reason != txn.Lost {
		t.Fatalf("bears %+v", got)
	}
}

// A report whose marks could not be set is no success, and neither is one after it that finds
// the account reported already: "already" means closed.
func TestNoAnswerSaysClosedBeforeItIs(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	failing := func(op storetest.Op) storetest.Fault {
		if op == storetest.OpEntry {
			return storetest.NotApplied
		}
		return storetest.NoFault
	}
	r.memory.SetFault(failing)
	for range 2 {
		if _, err := r.desk.Do(t.Context(), token, r.command("li.lei", lossReport)); !errors.Is(err, ErrStore) {
			t.Fatalf("%v", err)
		}
	}
	r.memory.SetFault(nil)
	r.refused(token, "li.lei", lossReport, account.AlreadyReported)
	if got := r.listed(cardToken(1)); got.Reason != txn.Lost {
		t.Fatalf("already reported, and bears %+v", got)
	}
}

// What a report by telephone and the written one after it both cover is judged once, by the
// written one (ZS17).
func TestAConfirmedPreReportIsJudgedOnce(t *testing.T) {
	r := newRig(t, "zhoushan")
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 5000), txn.ReasonNone)
	r.notices.clocks = map[string][]notice.Clock{"": {{Row: notice.Row{Party: "transit",
		SentFirst: morning + second, Received: morning + minute}}}}
	phone := account.Who{Actor: account.Holder, Channel: account.ByPhone}
	r.must(token, "li.lei", account.PreReport{Who: phone, Why: "abroad"})
	r.pass(day)
	ride := func(n uint32) {
		r.wants(r.request(txn.BusBoarding, cardToken(1), 200, func(q *txn.Request) {
			q.FullFare, q.FareGiven, q.Offline, q.OfflineCounter = 200, true, true, n
		}), txn.ReasonNone)
	}
	ride(1)
	r.must(token, "li.lei", lossReport)
	r.pass(day)
	ride(2)
	for range 2 {
		if _, err := r.desk.JudgeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	losses, err := r.desk.Losses(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	by := map[uint32][]liability.Verdict{}
	for _, l := range losses {
		all, err := r.desk.Judgement(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range all {
			by[l.Case] = append(by[l.Case], v.Verdict)
		}
	}
	if len(losses) != 2 || len(by) != 1 || len(by[losses[1].Case]) != 2 {
		t.Fatalf("%d losses, judged %+v", len(losses), by)
	}
}

var errBroken = errors.New("the ledger is broken")

type brokenLedger struct{}

func (brokenLedger) RecordsSince(context.Context, txn.BusinessDate, func(*txn.Record) error) error {
	return errBroken
}

// A store is behind when the ledger holds a record that it does not know of.
func TestBehind(t *testing.T) {
	r := newRig(t, "handan")
	held := func() (all [txn.BucketCount]txn.Position) {
		infos, err := r.memory.Buckets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			all[i.Bucket] = i.Last
		}
		return all
	}
	r.open(1)
	for b := range txn.Bucket(txn.BucketCount) {
		if err := r.memory.CutOver(t.Context(), b, 20260302, r.now()); err != nil {
			t.Fatal(err)
		}
	}
	copied := r.memory.Backup()
	before, err := copied.Buckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, behind := Behind(before, held()); behind {
		t.Error("a store that is as far as the ledger is behind")
	}
	if _, behind := Behind(before, [txn.BucketCount]txn.Position{}); behind {
		t.Error("a store is behind an empty ledger")
	}
	r.wants(r.request(txn.Load, cardToken(1), 100), txn.ReasonNone)
	if from, behind := Behind(before, held()); !behind || from != 20260302 {
		t.Errorf("%v, %v", from, behind)
	}
}

// What the desk writes opens nothing of what somebody else closed, not for a moment: wherever
// the store stops answering on the way, the card is refused.
func TestAForeignFreezeIsNotOpenedOnTheWay(t *testing.T) {
	for n, reached := 0, true; reached; n++ {
		r := newRig(t, "shiyan")
		token := r.open(1)
		q := r.request(txn.Freeze, cardToken(1), 0)
		q.Listing = txn.Listing{Mark: txn.Mark{Reason: txn.Risk, Scope: txn.AppAll}, Actor: "risk.team"}
		r.wants(q, txn.ReasonNone)
		cmd := r.command("hr_social_security.wang", account.Suspend{App: txn.AppSocial, Decision: "D-1", Fault: account.Lent})
		cmd.By.Role = "hr_social_security"
		calls := 0
		reached = false
		r.memory.SetFault(func(storetest.Op) storetest.Fault {
			if calls++; calls <= n {
				return storetest.NoFault
			}
			reached = true
			return storetest.NotApplied
		})
		_, err := r.desk.Do(t.Context(), token, cmd)
		r.memory.SetFault(nil)
		r.wants(r.request(txn.Purchase, cardToken(1), 1), txn.CardFrozen)
		if !reached && (err != nil || n < 8 || r.listed(cardToken(1)).Scope != txn.AppAll) {
			t.Fatalf("after %d calls: %v, %+v", n, err, r.listed(cardToken(1)))
		}
	}
}

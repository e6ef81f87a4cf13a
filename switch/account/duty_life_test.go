package account_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// HD13, ZS26: renewal is open well before expiry and overdue from the lead on; after it the
// card is expired.
func TestDuty_HD13_RenewalIsOpenThenOverdueThenExpired(t *testing.T) {
	d := opened(t, plain())
	if d.doc.ExpiresOn != 20360301 {
		t.Fatalf("expires on %s", d.doc.ExpiresOn)
	}
	for _, stage := range []struct {
		from   txn.Millis
		stage  account.Stage
		notice account.Notice
	}{
		{at("2035-12-02 00:00"), account.RenewalOpen, account.NoticeRenewalOpen},
		{at("2036-02-01 00:00"), account.RenewalOverdue, account.NoticeRenewalOverdue},
		{at("2036-03-02 00:00"), account.StageExpired, account.NoticeExpired},
	} {
		due, ok := d.doc.NextDue(d.rules)
		if !ok || due != stage.from {
			t.Fatalf("%s: due %s", stage.stage, due.Time().In(east))
		}
		if d.doc.StageAt(d.rules, due-1) == stage.stage || d.doc.StageAt(d.rules, due) != stage.stage {
			t.Errorf("%s: stage at the boundary", stage.stage)
		}
		d.now = due
		d.must(account.Tick{})
		d.settle()
		if !d.noticed(stage.notice) {
			t.Errorf("%s: no notice", stage.stage)
		}
	}
	if d.doc.Carrier(chip).Status != account.Expired {
		t.Error("not expired")
	}
	if _, ok := d.doc.NextDue(d.rules); ok {
		t.Error("something is due after the end")
	}
}

func TestDuty_HD13_ASchemeWithoutLeadHasNoOverdue(t *testing.T) {
	rules := plain()
	rules.Validity.LeadDays = 0
	d := opened(t, rules)
	if s := d.doc.StageAt(rules, at("2036-02-28 12:00")); s != account.RenewalOpen {
		t.Errorf("%s", s)
	}
}

// HD16: the production data of a first application is sent within 30 days of acceptance.
func TestDuty_HD16_ProductionDataIsDueThirtyDaysAfterAcceptance(t *testing.T) {
	d := newDesk(t, plain())
	open := d.openAccount()
	open.Carrier.Ready = false
	out := d.must(open)
	k := d.doc.Case(out.Case)
	if k.Due != at("2026-04-02 00:00") || k.Overdue(k.Due-1) || !k.Overdue(k.Due) {
		t.Errorf("due %s", k.Due.Time().In(east))
	}
	d.now = k.Due
	d.must(account.Tick{})
	d.settle()
	if n := d.notices[len(d.notices)-1]; n.Kind != account.Alarm || n.Name != "outlet-1" ||
		n.Case != out.Case {
		t.Errorf("%+v", n)
	}
	if again := d.must(account.Tick{}); !again.Replay {
		t.Error("alarmed twice")
	}
	d.must(account.SendProduction{Case: out.Case})
	if k := d.doc.Case(out.Case); k.Sent != d.now || k.Due != at("2026-05-02 00:00") || k.Alarmed {
		t.Errorf("%+v", k)
	}
	d.refused(account.SendProduction{Case: out.Case}, account.CaseNotReady)
	d.must(account.IssueCard{Case: out.Case})
	d.settle()
	if d.cards[chip].Status != account.Active || d.doc.Carrier(chip).Status != account.Active {
		t.Errorf("%+v", d.cards[chip])
	}
}

// HD22: the new card within 15 working days of acceptance, holidays not counted.
func TestDuty_HD22_NewCardWithinFifteenWorkingDays(t *testing.T) {
	rules := plain()
	rules.Calendar = week{holidays: []txn.BusinessDate{20260305, 20260306}}
	d := opened(t, rules)
	out := d.must(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged})
	if k := d.doc.Case(out.Case); k.Due != at("2026-03-08 00:00") {
		t.Errorf("an answer is due %s", k.Due.Time().In(east))
	}
	d.now = at("2026-03-04 10:00")
	d.must(account.AcceptCase{Case: out.Case})
	if k := d.doc.Case(out.Case); k.Due != at("2026-03-28 00:00") || k.Accepted != d.now {
		t.Errorf("due %s", k.Due.Time().In(east))
	}
	d.must(account.SendProduction{Case: out.Case})
	d.must(account.MakeCard{Case: out.Case, Carrier: account.NewCarrier{Token: second,
		Kind: account.Chip, Family: "t-union", Issuer: "city"}})
	if k := d.doc.Case(out.Case); k.Due != at("2026-03-28 00:00") || k.Made != d.now {
		t.Error("the date goes with the card in the holder's hands")
	}
	d.must(account.IssueCard{Case: out.Case})
	d.settle()
	if d.doc.EndedCase(out.Case).State != account.Completed || d.cards[second].Status != account.Active {
		t.Errorf("%+v", d.doc.Ended)
	}
}

// HD23: refusal in writing within 5 days of receipt, with facts, reasons and remedies.
func TestDuty_HD23_RefusalInWritingWithinFiveDays(t *testing.T) {
	d := opened(t, plain())
	cmd := d.command(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged})
	cmd.Received = at("2026-03-01 23:59")
	out := d.send(cmd)
	if k := d.doc.Case(out.Case); k.Due != at("2026-03-07 00:00") {
		t.Errorf("due %s", k.Due.Time().In(east))
	}
	for _, p := range []account.Paper{{}, {No: "1", Facts: "f", Reasons: "r"},
		{Facts: "f", Reasons: "r", Remedies: "m"}} {
		d.refused(account.RefuseCase{Case: out.Case, Paper: p}, account.PaperIncomplete)
	}
	d.must(account.RefuseCase{Case: out.Case, Paper: letter})
	d.refused(account.AcceptCase{Case: out.Case}, account.CaseHasEnded)
}

// HD17, ZS16, WZ15: grounds per scheme.
func TestDuty_HD17_RenewalGroundsArePolicy(t *testing.T) {
	d := opened(t, plain())
	renew := account.ApplyRenewal{Who: holder, Old: chip}
	for _, g := range []account.Ground{account.GroundNone, account.AfterLoss, account.Unreadable,
		account.OtherInvalid} {
		renew.Ground = g
		d.refused(renew, account.GroundNotAllowed)
	}
	renew.Ground = account.BeforeExpiry
	d.refused(renew, account.CaseNotReady)
	renew.Ground = account.NameChanged
	d.must(renew)
	d.refused(renew, account.CaseOpen)
}

// Product rule with HD17: balance and journey move, the old number is dead for ever, the
// social-security number lives on and is never frozen.
func TestDuty_HD17_RenewalMovesTheBalanceAndEndsTheNumber(t *testing.T) {
	d := newDesk(t, plain())
	open := d.openAccount()
	open.Numbers = []account.Number{{Kind: account.SocialSecurityNumber, Token: token(90)}}
	d.must(open)
	d.settle()
	d.balance[chip] = 700
	out := d.must(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged, Accept: true})
	made := d.must(account.MakeCard{Case: out.Case, Carrier: carrierOf(account.Chip, second)})
	var order []account.EffectKind
	for _, e := range made.Effects {
		if e.Carrier == chip || e.Carrier == second {
			order = append(order, e.Kind)
		}
	}
	want := []account.EffectKind{account.SetMark, account.Enrol, account.Transfer, account.Amend,
		account.Amend}
	if len(order) != len(want) {
		t.Fatalf("%v", order)
	}
	for i := range want {
		if order[i] != want[i] {
			t.Fatalf("%v, want %v", order, want)
		}
	}
	for _, e := range d.doc.Ready() {
		if e.Kind == account.Transfer || e.Kind == account.Amend && e.Carrier == second {
			t.Errorf("%s may come before the old number is dead", e.Kind)
		}
	}
	d.settle()
	if d.balance[second] != 700 || d.balance[chip] != 0 || d.successor[chip] != second ||
		d.marks[chip].Reason != txn.Replaced || d.cards[second].Status != account.Active {
		t.Errorf("%v %v", d.balance, d.marks)
	}
	if len(d.doc.Numbers) != 1 || d.marks[token(90)] != (txn.Mark{}) {
		t.Error("the social-security number did not live on")
	}
	d.refused(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged},
		account.UnknownCarrier)
	d.refused(account.BindCarrier{Who: holder, Carrier: carrierOf(account.Chip, chip)},
		account.CarrierExists)
}

// HD21, ZS19: replacement only from the reported-lost state.
func TestDuty_HD21_ReplacementOnlyAfterALossReport(t *testing.T) {
	d := opened(t, plain())
	apply := account.ApplyReplacement{Who: holder, Old: chip}
	d.refused(apply, account.NotReported)
	d.must(account.PreReport{Who: phoned, Why: "abroad"})
	d.refused(apply, account.NotReported)
	d.lose()
	d.refused(account.ApplyReplacement{Who: holder, Old: bankCard}, account.CarrierKindNotAllowed)
	d.refused(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged}, account.Frozen)
	d.must(apply)
}

// HD24, ZS20, WZ18: cancellation after related affairs are settled.
func TestDuty_HD24_CancellationAfterEverythingIsSettled(t *testing.T) {
	d := opened(t, plain())
	d.must(account.ActivateBank{})
	ask := account.RequestCancellation{Who: holder,
		Open: account.SetOf(account.OpenJourney, account.OfflineRecords, account.PurseBalance)}
	d.refused(account.RequestCancellation{Who: agent}, account.ActorNotAllowed)
	out := d.must(ask)
	if k := d.doc.Case(out.Case); k.Left != ask.Open|account.SetOf(account.BankFunction) {
		t.Errorf("%v", k.Left.Values())
	}
	done := account.CompleteCancellation{Case: out.Case, Open: ask.Open, Outlet: "outlet-1"}
	if o := d.do(done); o.Refusal != account.NotSettled || o.Left != account.SetOf(
		account.OpenJourney, account.OfflineRecords, account.BankFunction) {
		t.Errorf("%s %v", o.Refusal, o.Left.Values())
	}
	d.refused(account.WaiveAffair{Case: out.Case, Affair: account.OpenJourney, Why: "w"},
		account.NotWaivable)
	d.refused(account.WaiveAffair{Case: out.Case, Affair: account.OfflineRecords}, account.NoReason)
	d.must(account.WaiveAffair{Case: out.Case, Affair: account.OfflineRecords, Why: "gates polled"})
	d.must(account.ActivateBank{Off: true})
	d.must(account.OpenComplaint{Who: holder})
	done.Open = account.SetOf(account.PurseBalance)
	d.refused(done, account.NotSettled)
	d.must(account.AnswerComplaint{Case: d.doc.LastCase, Paper: letter, ProofNo: "P-1"})
	d.must(done)
	d.settle()
	if d.paidOut != 500 || d.doc.Alive() || !d.noticed(account.NoticeCancelled) {
		t.Errorf("paid out %d", d.paidOut)
	}
	for _, token := range []pan.Token{chip, ecard, qr, bankCard} {
		if d.marks[token] != (txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll}) {
			t.Errorf("%v", d.marks[token])
		}
	}
	d.refused(account.RequestRelease{Who: holder, Carrier: chip}, account.ReleaseClosed)
	d.lostNothing()
}

// lostNothing proves that a cancelled account still takes complaints, and nothing else.
func (d *desk) lostNothing() {
	d.t.Helper()
	d.refused(account.ReportLoss{Who: holder, Form: account.Written}, account.AccountClosed)
	d.refused(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, token(77))},
		account.AccountClosed)
	d.must(account.OpenComplaint{Who: holder})
}

// HD24, WZ18: ex officio only where the scheme has it, with a decision.
func TestDuty_HD24_ExOfficioIsPolicy(t *testing.T) {
	rules := plain()
	d := opened(t, rules)
	agency := account.Who{Actor: account.Agency, Channel: account.AtAgency}
	d.refused(account.RequestCancellation{Who: agency}, account.NoDecision)
	out := d.must(account.RequestCancellation{Who: agency, Decision: "D-1"})
	d.must(account.WithdrawCase{Case: out.Case})
	rules.Cancellation.ExOfficio = false
	d.refused(account.RequestCancellation{Who: agency, Decision: "D-1"}, account.ActorNotAllowed)
}

// HD25: a temporary credential serves while the card is replaced, and ends with the new one.
func TestDuty_HD25_TemporaryCredentialWhileACardIsReplaced(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip})
	bind := account.BindTemporary{Case: out.Case, As: account.QR,
		Carrier: carrierOf(account.Temporary, temporary)}
	d.refused(bind, account.CaseNotReady)
	d.must(account.AcceptCase{Case: out.Case})
	d.refused(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, token(60))},
		account.Frozen)
	d.refused(account.BindTemporary{Case: out.Case, As: account.Chip, Carrier: bind.Carrier},
		account.CarrierKindNotAllowed)
	d.must(bind)
	d.refused(account.BindTemporary{Case: out.Case, As: account.QR,
		Carrier: carrierOf(account.Temporary, token(61))}, account.CarrierExists)
	d.settle()
	if !d.free(temporary) || !d.frozen(txn.AppAll, chip, ecard) {
		t.Errorf("%v", d.marks)
	}
	d.balance[temporary] = 40
	next := carrierOf(account.Chip, second)
	next.Ready = false
	d.must(account.MakeCard{Case: out.Case, Carrier: next})
	d.settle()
	if !d.free(temporary) || d.cards[second].Status != account.InProduction {
		t.Error("the temporary credential ended before the new card was there")
	}
	d.must(account.IssueCard{Case: out.Case})
	d.settle()
	if d.marks[temporary].Reason != txn.Cancelled || d.balance[second] != 540 ||
		d.cards[second].Status != account.Active {
		t.Errorf("%v %v", d.marks, d.balance)
	}
}

func TestDuty_HD25_ALostTemporaryCredentialIsFrozenToo(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip, Accept: true})
	d.must(account.BindTemporary{Case: out.Case, As: account.QR,
		Carrier: carrierOf(account.Temporary, temporary)})
	d.lose()
	d.settle()
	if !d.frozen(txn.AppAll, temporary) {
		t.Error("a later loss spared it")
	}
	d.must(account.MakeCard{Case: out.Case, Carrier: carrierOf(account.Chip, second)})
	d.settle()
	if d.marks[temporary].Reason != txn.Cancelled || !d.frozen(txn.AppAll, ecard, second) {
		t.Errorf("the later loss ended with the replacement of the first: %v", d.marks)
	}
	d.release()
	d.settle()
	if !d.free(second, ecard) || d.marks[chip].Reason != txn.Replaced {
		t.Errorf("%v", d.marks)
	}
}

func TestDuty_HD25_ATemporaryCredentialEndsByItself(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip, Accept: true})
	d.must(account.BindTemporary{Case: out.Case, As: account.QR,
		Carrier: carrierOf(account.Temporary, temporary)})
	d.settle()
	d.balance[temporary] = 40
	d.now = d.doc.Carrier(temporary).EndsAt
	d.must(account.Tick{})
	d.settle()
	if d.marks[temporary].Reason != txn.Cancelled || d.balance[chip] != 540 {
		t.Errorf("%v %v", d.marks, d.balance)
	}
}

// HD25: an open renewal keeps service beyond the expiry.
func TestDuty_HD25_AnOpenRenewalKeepsService(t *testing.T) {
	for _, serves := range []bool{true, false} {
		rules := plain()
		rules.Validity.ServesRenewing = serves
		d := opened(t, rules)
		d.now = at("2036-01-10 10:00")
		d.must(account.Tick{})
		out := d.must(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.BeforeExpiry,
			Accept: true})
		d.settle()
		want := txn.BusinessDate(20360301)
		if serves {
			want = 0
		}
		if d.cards[chip].ExpiresOn != want {
			t.Errorf("serves %v: %s", serves, d.cards[chip].ExpiresOn)
		}
		d.must(account.WithdrawCase{Case: out.Case})
		d.settle()
		if d.cards[chip].ExpiresOn != 20360301 {
			t.Error("a withdrawn renewal keeps the card alive")
		}
	}
}

// WZ11, ZS14, HD10, WZ12: functions at the holder's wish, by the channels and outlets and
// from the date of the scheme.
func TestDuty_WZ11_FunctionsByChannelOutletAndDate(t *testing.T) {
	d := opened(t, plain())
	if d.doc.Apps() != txn.AppTransit|txn.AppPurse|txn.AppSocial {
		t.Errorf("%v", d.doc.Apps().Names())
	}
	library := account.OpenFunction{App: txn.AppLibrary, Channel: account.Online}
	d.refused(library, account.ChannelNotAllowed)
	library.Channel = account.AtOutlet
	d.staff.Outlet = "outlet-2"
	d.refused(library, account.OutletNotAllowed)
	d.staff.Outlet = "outlet-1"
	d.must(library)
	d.refused(library, account.FunctionOpen)
	d.refused(account.OpenFunction{App: txn.AppCampus, Channel: account.Online}, account.NotOffered)
	d.refused(account.OpenFunction{App: txn.AppParking, Channel: account.Online},
		account.FunctionUnknown)
	d.settle()
	if !d.cards[chip].Apps.Has(txn.AppLibrary) || !d.cards[qr].Apps.Has(txn.AppLibrary) {
		t.Error("the cards were not told")
	}
	d.must(account.CloseFunction{App: txn.AppLibrary, Channel: account.AtOutlet})
	d.refused(account.CloseFunction{App: txn.AppLibrary, Channel: account.AtOutlet},
		account.FunctionClosed)
	d.settle()
	if d.cards[chip].Apps.Has(txn.AppLibrary) {
		t.Error("still open")
	}
	d.now = at("2027-09-01 00:00")
	d.must(account.OpenFunction{App: txn.AppCampus, Channel: account.Online})
}

// ZZ19: financial functions only after the bank account is activated.
func TestDuty_ZZ19_BankFunctionOnlyAfterActivation(t *testing.T) {
	rules := plain()
	d := opened(t, rules)
	open := account.OpenFunction{App: txn.AppBank, Channel: account.AtOutlet}
	d.refused(open, account.BankNotActivated)
	d.must(account.ActivateBank{})
	d.refused(account.ActivateBank{}, account.BankActivated)
	d.must(open)
	d.settle()
	if !d.cards[chip].Apps.Has(txn.AppBank) {
		t.Error("not open")
	}
	d.must(account.ActivateBank{Off: true})
	d.settle()
	if d.cards[chip].Apps.Has(txn.AppBank) || d.doc.Awaiting() != txn.AppBank {
		t.Error("open without an activated account")
	}
}

// HD33, ZS24, WZ23, SY7, ZZ9: families side by side, to issue or only to accept, with an end.
func TestDuty_HD33_OldFamiliesAreDrawnIn(t *testing.T) {
	d := newDesk(t, plain())
	open := d.openAccount()
	open.Carrier.Family = "unheard"
	d.refused(open, account.FamilyUnknown)
	open.Carrier.Family = "old"
	d.refused(open, account.FamilyClosed)
	open.Carrier.Existing = true
	d.now = at("2029-01-01 00:00")
	d.refused(open, account.FamilyClosed)
	d.now = at("2028-12-31 23:59")
	d.must(open)
}

// HD28, ZS21, WZ19: first card free, otherwise the tariff; waiver with a reason of it.
func TestDuty_HD28_FeesAreThoseOfTheTariff(t *testing.T) {
	d := opened(t, plain())
	if len(d.doc.Fees) != 0 {
		t.Error("the first card is not free")
	}
	d.lose()
	d.replace(chip, second)
	f := d.doc.Fees[0]
	if f.Amount != 2000 || f.Event != account.Replacement || f.State != account.FeeDue {
		t.Errorf("%+v", f)
	}
	d.refused(account.WaiveFee{No: f.No, Why: "friend"}, account.WaiverNotAllowed)
	d.refused(account.WaiveFee{No: f.No}, account.NoReason)
	d.refused(account.PayFee{No: 99}, account.UnknownFee)
	d.must(account.PayFee{No: f.No})
	d.refused(account.PayFee{No: f.No}, account.FeeSettled)
	d.settle()
	if len(d.booked) != 1 || d.booked[0].Amount != 2000 || d.booked[0].Outlet != "outlet-1" ||
		d.booked[0].Name != "income/fees" {
		t.Errorf("%+v", d.booked)
	}
	out := d.must(account.ApplyRenewal{Who: holder, Old: second, Ground: account.Damaged, Accept: true})
	d.must(account.WaiveFee{No: d.doc.LastFee, Why: "hardship"})
	d.settle()
	if len(d.booked) != 1 || d.doc.Fees[1].State != account.FeeWaived || d.doc.Fees[1].Case != out.Case {
		t.Errorf("%+v", d.doc.Fees)
	}
}

// HD27: wrong data goes to its department; printed data needs a new card.
func TestDuty_HD27_CorrectionGoesToItsOwnerAndTheSurfaceToANewCard(t *testing.T) {
	d := opened(t, plain())
	name := account.OpenCorrection{Who: holder, Field: account.HolderName, Old: account.Digest{1},
		New: account.Digest{2}}
	d.refused(account.OpenCorrection{Who: holder, Field: account.Address, New: account.Digest{1}},
		account.NotOffered)
	d.refused(account.OpenCorrection{Who: holder, Field: account.HolderName}, account.InvalidCommand)
	out := d.must(name)
	if out.Record.Note != "name police 0100000000000000 0200000000000000" ||
		d.doc.Case(out.Case).Owner != "police" || d.doc.Case(out.Case).Due == 0 {
		t.Errorf("%q", out.Record.Note)
	}
	d.refused(account.CloseCorrection{Case: out.Case, Corrected: true}, account.NotTheOwner)
	d.as("officer", "police", func() {
		d.refused(account.CloseCorrection{Case: out.Case}, account.PaperIncomplete)
		closed := d.must(account.CloseCorrection{Case: out.Case, Corrected: true})
		if closed.Case != out.Case || len(closed.Opened) != 1 {
			t.Errorf("%+v", closed)
		}
	})
	k := d.doc.Case(out.Case + 1)
	if k == nil || k.Kind != account.CaseRenewal || k.Ground != account.NameChanged ||
		k.Carrier != chip || k.Due == 0 {
		t.Fatalf("%+v", k)
	}
	name.Field = account.Telephone
	out = d.must(name)
	d.as("officer", "agency", func() {
		if c := d.must(account.CloseCorrection{Case: out.Case, Corrected: true}); len(c.Opened) != 0 {
			t.Error("a telephone number needs no new card")
		}
	})
}

// ZS15, HD14, HD15, WZ14: by the person or the employer, with checked data; nothing about
// the person is kept but tokens.
func TestDuty_HD14_ApplicationByPersonOrEmployerWithCheckedData(t *testing.T) {
	d := newDesk(t, plain())
	open := d.openAccount()
	open.Checked = false
	d.refused(open, account.NotChecked)
	open.Who.Actor = account.Heir
	open.Checked = true
	d.refused(open, account.ActorNotAllowed)
	open.Who = account.Who{Actor: account.Employer, Channel: account.InBulk}
	open.Unit = "unit-5"
	open.Carrier.Ready = false
	out := d.must(open)
	if d.doc.Unit != "unit-5" || d.doc.Holder != person ||
		d.doc.Case(out.Case).Actor != account.Employer {
		t.Errorf("%+v", d.doc)
	}
	d.refused(open, account.AccountExists)
	d.settle()
	if d.cards[chip].Status != account.InProduction {
		t.Error("a card in production can be used")
	}
}

// SY6: an e-card may be bound while the card is in production, by policy.
func TestDuty_SY6_ECardWhileTheCardIsInProduction(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		rules := plain()
		rules.Application.ECardMeanwhile = allowed
		d := newDesk(t, rules)
		open := d.openAccount()
		open.Carrier.Ready = false
		d.must(open)
		want := account.RefusalNone
		if !allowed {
			want = account.CarrierNotActive
		}
		d.refused(account.BindCarrier{Who: holder, Carrier: carrierOf(account.ECard, ecard)}, want)
	}
}

// ZZ2, WZ20, SY5, ZZ5: every value comes from the policy; rules that lack one do not start.
func TestDuty_ZZ2_RulesWithoutAValueAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(r *account.Rules){
		"calendar":      func(r *account.Rules) { r.Calendar = nil },
		"boundary":      func(r *account.Rules) { r.Loss.Boundary = account.BoundaryNone },
		"closing":       func(r *account.Rules) { r.Release.Closes = account.ClosingNone },
		"after refusal": func(r *account.Rules) { r.Release.AfterRefusal = account.AfterRefusalNone },
		"contradiction": func(r *account.Rules) { r.Release.Closes = account.ClosedWhenApplied },
		"limit":         func(r *account.Rules) { r.Limits.Claim.N = 0 },
		"long limit":    func(r *account.Rules) { r.Limits.Claim.N = account.DaysMax + 1 },
		"takes":         func(r *account.Rules) { r.Replacement.Takes = account.SetOf(account.ECard) },
		"lapse":         func(r *account.Rules) { r.PreReport.Lapse.N = -1 },
		"written":       func(r *account.Rules) { r.PreReport.Written.N = 0 },
		"validity":      func(r *account.Rules) { r.Validity.OpenDays = 10 },
		"temporary":     func(r *account.Rules) { r.Replacement.TemporaryDays.N = 0 },
		"tariff":        func(r *account.Rules) { r.Tariff[1].Income = "" },
		"fields":        func(r *account.Rules) { r.Fields[0].Ground = account.GroundNone },
		"functions":     func(r *account.Rules) { r.Functions[1].App = txn.AppTransit },
		"suspensions":   func(r *account.Rules) { r.Suspensions[0].App = txn.AppAll },
	} {
		rules := plain()
		spoil(rules)
		if rules.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// HD11, ZS10, WZ8: the other printed identifiers are kept as tokens.
func TestDuty_HD11_PrintedIdentifiersAreTokens(t *testing.T) {
	d := newDesk(t, plain())
	open := d.openAccount()
	for kind := account.SocialSecurityNumber; kind <= account.PrintedCardNumber; kind++ {
		open.Numbers = append(open.Numbers, account.Number{Kind: kind, Token: token(80 + uint32(kind))})
	}
	d.must(open)
	if len(d.doc.Numbers) != 4 {
		t.Errorf("%v", d.doc.Numbers)
	}
	d = newDesk(t, plain())
	open.Numbers = append(open.Numbers, account.Number{Kind: account.SerialNumber})
	d.refused(open, account.InvalidCommand)
}

// HD3: a concession has a source and an end.
func TestDuty_HD3_ConcessionHasASourceAndAnEnd(t *testing.T) {
	d := opened(t, plain())
	veteran := account.Rider{Category: txn.RiderVeteran, Source: "veterans", Until: 20261231}
	d.refused(account.SetRider{Rider: account.Rider{Category: txn.RiderSenior}}, account.NoReason)
	d.must(account.SetRider{Rider: veteran})
	d.settle()
	if d.cards[chip].Rider != txn.RiderVeteran || d.cards[qr].Rider != txn.RiderVeteran {
		t.Error("the cards were not told")
	}
	d.now = at("2027-01-01 00:00")
	d.must(account.Tick{})
	d.settle()
	if d.cards[chip].Rider != txn.RiderOrdinary {
		t.Error("the concession goes on")
	}
}

// SY14, ZZ16, HD29: complaints are answered with proof, linked to transactions.
func TestDuty_SY14_ComplaintOutcomeIsFedBackWithProof(t *testing.T) {
	d := opened(t, plain())
	out := d.must(account.OpenComplaint{Who: holder, Owner: "bus", Txns: txns(3)})
	k := d.doc.Case(out.Case)
	if k.Owner != "bus" || len(k.Txns) != 3 || k.Due != at("2026-03-18 00:00") {
		t.Errorf("%+v", k)
	}
	d.refused(account.AnswerComplaint{Case: out.Case, Paper: letter}, account.ProofMissing)
	d.refused(account.AnswerComplaint{Case: out.Case, ProofNo: "P-1"}, account.PaperIncomplete)
	d.must(account.AnswerComplaint{Case: out.Case, Upheld: true, Paper: letter, ProofNo: "P-1"})
	if e := d.doc.EndedCase(out.Case); e.State != account.Completed || e.Paper != letter.Digest() {
		t.Errorf("%+v", e)
	}
}

// HD26, HD32, ZZ13: a query has a purpose, and where the scheme says so a consent; the
// access is recorded.
func TestDuty_HD32_QueryHasAPurposeAndConsent(t *testing.T) {
	d := opened(t, plain())
	own := account.Query{Who: account.Who{Actor: account.Holder, Channel: account.Online}}
	d.refused(own, account.IDNotAllowed)
	own.CardSeen = true
	if out := d.must(own); out.Record.Step != "query" || out.Record.Actor != "clerk-1" {
		t.Errorf("%+v", out.Record)
	}
	d.refused(account.Query{Who: agent, Purpose: "curiosity"}, account.PurposeNotAllowed)
	d.must(account.Query{Who: agent, Purpose: "dispute"})
	research := account.Query{Who: account.Who{Actor: account.Authority}, Purpose: "research",
		Party: "university"}
	d.refused(research, account.PurposeNotAllowed)
	d.as("reader", "data_user", func() {
		d.refused(research, account.ConsentMissing)
		d.must(account.GiveConsent{Party: "university", Purpose: "research", Scope: txn.AppTransit,
			Until: 20260401})
		d.must(research)
		d.now = at("2026-04-02 00:00")
		d.refused(research, account.ConsentMissing)
		d.must(account.GiveConsent{Party: "university", Purpose: "research", Scope: txn.AppTransit})
		d.must(research)
		d.must(account.WithdrawConsent{No: 2})
		d.refused(account.WithdrawConsent{No: 2}, account.UnknownConsent)
		d.refused(research, account.ConsentMissing)
	})
}

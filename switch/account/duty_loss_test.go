package account_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// HD18, ZS17, WZ16: who reports, where, how and with which paper is scheme policy, and the
// report is kept with its times.
func TestDuty_HD18_LossReportKeepsItsFacts(t *testing.T) {
	rules := plain()
	rules.Loss.Outlets = []string{"outlet-1"}
	d := opened(t, rules)
	d.now = at("2026-03-03 10:00")
	cmd := d.command(account.ReportLoss{Who: agent, Form: account.Written, FormNo: "A-7",
		BankTold: true})
	cmd.Received = d.now - 5*minute
	if out := d.send(cmd); out.Refusal != account.RefusalNone || out.Case == 0 ||
		out.Record.Note != "agent outlet resident_id written bank_told" {
		t.Fatalf("%+v", out)
	}
	r := d.doc.Restrictions[0]
	if r.Actor != account.Agent || r.ID != account.ResidentID || r.Channel != account.AtOutlet ||
		r.Outlet != "outlet-1" || r.Form != account.Written || r.Decision != "A-7" || !r.BankTold ||
		r.Received != d.now-5*minute || r.Since != d.now || r.By != "clerk-1" || r.Effective != 0 {
		t.Errorf("%+v", r)
	}
	d.now += 40
	d.settle()
	if r := d.doc.Restrictions[0]; r.Effective != d.now {
		t.Errorf("effective %d, want %d", r.Effective, d.now)
	}
}

func TestDuty_HD18_WhoMayReportIsPolicy(t *testing.T) {
	rules := plain()
	rules.Loss.Actors = account.SetOf(account.Holder)
	rules.Loss.Outlets = []string{"outlet-9"}
	d := opened(t, rules)
	report := account.ReportLoss{Who: agent, Form: account.Written, FormNo: "A-7", BankTold: true}
	d.refused(report, account.ActorNotAllowed)
	report.Who = holder
	d.refused(report, account.OutletNotAllowed)
	report.Who.Channel = account.ByPhone
	d.refused(report, account.ChannelNotAllowed)
	report.Who = account.Who{Actor: account.Holder, Channel: account.AtAgency}
	d.refused(report, account.IDNotAllowed)
	report.Who.ID = account.Passport
	d.must(report)
	d.refused(report, account.AlreadyReported)
}

func TestDuty_HD18_AnAgentShowsHisAuthority(t *testing.T) {
	d := opened(t, plain())
	d.refused(account.ReportLoss{Who: agent, Form: account.Written, BankTold: true},
		account.NoDecision)
}

// HD18, HD19 with HD7: a holder with an opened bank function reports to the bank himself,
// and the desk says so to him.
func TestDuty_HD18_HolderIsToldToCallTheBank(t *testing.T) {
	d := opened(t, plain())
	d.must(account.ActivateBank{})
	d.refused(account.ReportLoss{Who: holder, Form: account.Written}, account.BankNotTold)
	d.must(account.ReportLoss{Who: holder, Form: account.Written, BankTold: true})
	if !d.doc.Restrictions[0].BankTold {
		t.Error("not recorded")
	}
}

// HD19: one call freezes every carrier and tells the parties; the measure begins when the
// report was received.
func TestDuty_HD19_OneReportFreezesAllCarriersAndNotifies(t *testing.T) {
	d := opened(t, plain())
	cmd := d.command(account.ReportLoss{Who: holder, Form: account.Written, BankTold: true})
	cmd.Received = d.now - 3*minute
	out := d.send(cmd)
	marks, notices := 0, 0
	for _, e := range out.Effects {
		switch e.Kind {
		case account.SetMark:
			marks++
		case account.Notify:
			notices++
			if e.Notice != account.NoticeFreeze || e.Since != cmd.Received || e.Case != out.Case {
				t.Errorf("%+v", e)
			}
		}
	}
	if marks != 4 || notices != 1 || len(d.doc.Ready()) != 5 {
		t.Errorf("%d marks, %d notices, %d ready", marks, notices, len(d.doc.Ready()))
	}
	d.settle()
	if !d.frozen(txn.AppAll, chip, ecard, qr, bankCard) {
		t.Errorf("%v", d.marks)
	}
}

// HD20: the holder in person, with his own paper; a second person confirms, and the wait is
// part of the measure.
func TestDuty_HD20_ReleaseByTheHolderAndASecondPerson(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	d.settle()
	d.refused(account.RequestRelease{Who: agent}, account.ActorNotAllowed)
	d.refused(account.RequestRelease{Who: phoned}, account.ChannelNotAllowed)
	asked := d.now
	out := d.must(account.RequestRelease{Who: holder})
	d.settle()
	if !d.frozen(txn.AppAll, chip, ecard) {
		t.Error("released before the second person")
	}
	d.now += 20 * minute
	d.refused(account.ConfirmRelease{Case: out.Case}, account.SamePerson)
	d.as("clerk-2", "desk", func() {
		d.must(account.ConfirmRelease{Case: out.Case})
		d.refused(account.ConfirmRelease{Case: out.Case}, account.CaseHasEnded)
	})
	d.settle()
	last := d.notices[len(d.notices)-1]
	if !d.free(chip, ecard, qr, bankCard) || last.Notice != account.NoticeRelease ||
		last.Since != asked {
		t.Errorf("%v, %+v", d.marks, last)
	}
	if d.doc.Carrier(chip).Status != account.Active {
		t.Error("not active again")
	}
}

func TestDuty_HD20_DeniedReleaseKeepsTheFreeze(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	out := d.must(account.RequestRelease{Who: holder})
	d.as("clerk-2", "desk", func() { d.must(account.ConfirmRelease{Case: out.Case, Deny: true}) })
	d.settle()
	if !d.frozen(txn.AppAll, chip) || d.doc.EndedCase(out.Case).State != account.Refused {
		t.Error("a denied release opened")
	}
	d.release()
}

// HD20: release is open until the replacement procedure is done.
func TestDuty_HD20_ReleaseClosesWhenTheReplacementIsDone(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip, Accept: true})
	d.release()
	d.settle()
	if !d.free(chip) || d.doc.EndedCase(out.Case).State != account.Withdrawn {
		t.Error("an application closed the release")
	}
	d.lose()
	d.replace(chip, second)
	d.refused(account.RequestRelease{Who: holder, Carrier: chip}, account.ReleaseClosed)
	d.refused(account.RequestRelease{Who: holder}, account.NotReported)
	if d.marks[chip] != (txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}) || !d.free(second) {
		t.Errorf("%v", d.marks)
	}
}

// applied are the rules of a scheme that closes the release when applied.
func applied() *account.Rules {
	rules := plain()
	rules.Release.Closes, rules.Release.AfterRefusal = account.ClosedWhenApplied,
		account.ReleaseStaysClosed
	return rules
}

// ZS18: release is closed from the application for a new card.
func TestDuty_ZS18_ReleaseClosesWhenAppliedFor(t *testing.T) {
	d := opened(t, applied())
	d.lose()
	asked := d.must(account.RequestRelease{Who: holder})
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip})
	d.refused(account.ConfirmRelease{Case: asked.Case}, account.CaseHasEnded)
	for _, token := range []pan.Token{chip, ecard, {}} {
		d.refused(account.RequestRelease{Who: holder, Carrier: token}, account.ReleaseClosed)
	}
	d.settle()
	if d.marks[chip].Reason != txn.Replaced || d.marks[bankCard].Reason != txn.Replaced ||
		d.marks[ecard].Reason != txn.Lost {
		t.Errorf("%v", d.marks)
	}
	d.must(account.AcceptCase{Case: out.Case})
	d.must(account.MakeCard{Case: out.Case, Carrier: carrierOf(account.Chip, second)})
	d.settle()
	if !d.free(second, ecard, qr) || d.balance[second] != 500 || d.successor[chip] != second {
		t.Errorf("%v %v", d.marks, d.balance)
	}
}

// HD23: a refused replacement. Where release closes when applied, it stays closed and a
// new application goes on from the dead number; elsewhere the policy says.
func TestDuty_HD23_RefusedReplacementIsACaseOfItsOwn(t *testing.T) {
	d := opened(t, applied())
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip})
	d.refused(account.RefuseCase{Case: out.Case, Paper: account.Paper{No: "L-1", Facts: "f"}},
		account.PaperIncomplete)
	answer := d.must(account.RefuseCase{Case: out.Case, Paper: letter})
	if *answer.Paper != letter || d.doc.EndedCase(out.Case).Paper != letter.Digest() {
		t.Errorf("%+v", answer.Paper)
	}
	d.refused(account.RequestRelease{Who: holder}, account.ReleaseClosed)
	d.settle()
	d.replace(chip, second)
	if d.balance[second] != 500 || d.doc.Gone(chip).Successor != second {
		t.Error("the money did not follow")
	}

	for after, want := range map[account.AfterRefusal]account.Refusal{
		account.ReleaseReopens: account.RefusalNone, account.ReleaseStaysClosed: account.ReleaseClosed} {
		rules := plain()
		rules.Release.AfterRefusal = after
		d := opened(t, rules)
		d.lose()
		out := d.must(account.ApplyReplacement{Who: holder, Old: chip})
		d.must(account.RefuseCase{Case: out.Case, Paper: letter})
		d.refused(account.RequestRelease{Who: holder}, want)
	}
}

// The replacement of an e-card is no release of the chip card that was lost with it.
func TestDuty_HD21_ReplacingOneCarrierReleasesNoOther(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: ecard, Accept: true})
	d.must(account.MakeCard{Case: out.Case, Carrier: carrierOf(account.ECard, second)})
	d.settle()
	if !d.frozen(txn.AppAll, chip, qr, bankCard) || !d.free(second) ||
		d.marks[ecard].Reason != txn.Replaced {
		t.Errorf("%v", d.marks)
	}
	d.replace(chip, token(8))
	if !d.free(second, token(8), qr) {
		t.Errorf("%v", d.marks)
	}
}

// What stands on a number that died for a card that never came is paid out in the end.
func TestDuty_ZS20_CancellationPaysOutADeadNumber(t *testing.T) {
	d := opened(t, applied())
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip})
	d.must(account.RefuseCase{Case: out.Case, Paper: letter})
	d.settle()
	out = d.must(account.RequestCancellation{Who: holder})
	d.must(account.CompleteCancellation{Case: out.Case, Outlet: "outlet-1"})
	d.settle()
	if d.paidOut != 500 {
		t.Errorf("paid out %d", d.paidOut)
	}
}

// ZS17: a report by telephone only where writing is impossible; the written one takes over.
func TestDuty_ZS17_PreReportFreezesUntilTheWrittenReport(t *testing.T) {
	d := opened(t, plain())
	d.refused(account.PreReport{Who: holder, Why: "abroad"}, account.ChannelNotAllowed)
	d.refused(account.PreReport{Who: phoned}, account.NoReason)
	out := d.must(account.PreReport{Who: phoned, Why: "abroad"})
	d.settle()
	if d.marks[chip] != (txn.Mark{Reason: txn.PreReported, Scope: txn.AppAll}) {
		t.Errorf("%v", d.marks[chip])
	}
	d.refused(account.PreReport{Who: phoned, Why: "abroad"}, account.AlreadyReported)
	d.now += 400 * day // no lapse in these rules
	d.must(account.Tick{})
	d.settle()
	if !d.frozen(txn.AppAll, chip, ecard) {
		t.Error("a pre-report lapsed although no rule says so")
	}
	d.lose()
	d.settle()
	if d.marks[chip].Reason != txn.Lost || d.doc.EndedCase(out.Case).State != account.Completed ||
		len(d.doc.Restrictions) != 1 {
		t.Errorf("%+v", d.doc.Restrictions)
	}
}

func TestDuty_ZS17_PreReportLapsesOnlyByPolicy(t *testing.T) {
	rules := plain()
	rules.PreReport.Lapse = account.Days{N: 3}
	d := opened(t, rules)
	out := d.must(account.PreReport{Who: phoned, Why: "abroad"})
	d.settle()
	due, ok := d.doc.NextDue(rules)
	if !ok || due != at("2026-03-06 00:00") {
		t.Fatalf("due %v", due.Time())
	}
	d.now = due - 1
	if early := d.must(account.Tick{}); !early.Replay {
		t.Error("lapsed early")
	}
	d.now = due
	d.must(account.Tick{})
	d.settle()
	if !d.free(chip, ecard) || !d.noticed(account.NoticeLapse) ||
		d.doc.EndedCase(out.Case).State != account.Lapsed {
		t.Errorf("%v", d.marks)
	}
}

// ZS17, HD19: whether the pre-report moves the boundary of liability is policy.
func TestDuty_ZS17_BoundaryOfAPreReportIsPolicy(t *testing.T) {
	for _, moves := range []bool{true, false} {
		rules := plain()
		rules.PreReport.MovesBoundary = moves
		d := opened(t, rules)
		called := d.now
		d.must(account.PreReport{Who: phoned, Why: "abroad"})
		d.settle()
		d.now += day
		d.lose()
		d.settle()
		want := d.now
		if moves {
			want = called
		}
		if r := d.doc.Restrictions[0]; r.Counts != want || r.Effective != want || r.Since != d.now {
			t.Errorf("moves %v: %+v", moves, r)
		}
	}
}

// SY17: the social-security application alone, by that authority's role alone, with the
// number of its decision; everything else stays open, and a release of a loss leaves it.
func TestDuty_SY17_SuspensionOfTheSocialApplicationOnly(t *testing.T) {
	d := opened(t, plain())
	suspend := account.Suspend{App: txn.AppSocial, Decision: "SY-2026-4", Fault: account.Rented}
	d.refused(suspend, account.RoleNotAllowed)
	d.as("officer", "social_dept", func() {
		d.refused(account.Suspend{App: txn.AppSocial, Fault: account.Rented}, account.NoDecision)
		d.refused(account.Suspend{App: txn.AppSocial, Decision: "SY-2026-4", Fault: account.Careless},
			account.GroundNotAllowed)
		d.refused(account.Suspend{App: txn.AppPurse, Decision: "SY-2026-4"}, account.NotOffered)
		d.must(suspend)
		d.refused(suspend, account.AlreadySuspended)
	})
	d.settle()
	open := txn.AppTransit | txn.AppPurse | txn.AppBank
	for _, token := range []pan.Token{chip, ecard, qr, bankCard} {
		if d.marks[token].Frozen(open) || !d.marks[token].Frozen(txn.AppSocial) {
			t.Errorf("%v", d.marks[token])
		}
	}
	d.lose()
	d.settle()
	d.release()
	d.settle()
	if d.marks[chip] != (txn.Mark{Reason: txn.Suspended, Scope: txn.AppSocial}) {
		t.Errorf("after the release: %v", d.marks[chip])
	}
	d.lose()
	d.replace(chip, second)
	if d.marks[second] != (txn.Mark{Reason: txn.Suspended, Scope: txn.AppSocial}) {
		t.Errorf("the new card: %v", d.marks[second])
	}
	out := d.must(account.ApplyRenewal{Who: holder, Old: second, Ground: account.Damaged,
		Accept: true})
	d.must(account.BindTemporary{Case: out.Case, As: account.QR,
		Carrier: carrierOf(account.Temporary, temporary)})
	d.lose()
	d.settle()
	if !d.frozen(txn.AppAll, temporary) {
		t.Error("a loss spared the credential of a renewal")
	}
	d.release()
	d.must(account.WithdrawCase{Case: out.Case})
	restore := account.Restore{App: txn.AppSocial, Decision: "SY-2026-9"}
	d.refused(restore, account.RoleNotAllowed)
	d.as("officer", "social_dept", func() {
		d.must(restore)
		d.refused(restore, account.NotSuspended)
	})
	d.settle()
	if !d.free(second, ecard) || !d.noticed(account.NoticeRestored) {
		t.Errorf("%v", d.marks)
	}
}

// A suspension reaches a credential that stands in for a lost card, although the loss does
// not.
func TestDuty_SY17_SuspensionReachesATemporaryCredential(t *testing.T) {
	d := opened(t, plain())
	d.as("officer", "social_dept", func() {
		d.must(account.Suspend{App: txn.AppSocial, Decision: "SY-1", Fault: account.Lent})
	})
	d.lose()
	out := d.must(account.ApplyReplacement{Who: holder, Old: chip, Accept: true})
	d.must(account.BindTemporary{Case: out.Case, As: account.QR,
		Carrier: carrierOf(account.Temporary, temporary)})
	d.settle()
	if d.marks[temporary] != (txn.Mark{Reason: txn.Suspended, Scope: txn.AppSocial}) {
		t.Errorf("%v", d.marks[temporary])
	}
}

// HD30, ZS13, WZ17, SY12: a finding with ground, evidence, author and second person moves
// the loss to the holder; a new entry undoes it.
func TestDuty_HD30_FindingNeedsEvidenceAndASecondPerson(t *testing.T) {
	d := opened(t, plain())
	finding := account.OpenFinding{Fault: account.Lent, Evidence: "E-1", Txns: txns(2)}
	d.refused(account.OpenFinding{Fault: account.HandedOver, Evidence: "E-1", Txns: txns(1)},
		account.GroundNotAllowed)
	d.refused(account.OpenFinding{Fault: account.Lent, Txns: txns(1)}, account.ProofMissing)
	d.refused(account.OpenFinding{Fault: account.Lent, Evidence: "E-1"}, account.TxnsMissing)
	for _, undo := range []bool{false, true} {
		finding.Undo = undo
		out := d.must(finding)
		d.settle()
		d.refused(account.ConfirmCase{Case: out.Case}, account.SamePerson)
		d.booked = nil
		d.as("clerk-2", "desk", func() { d.must(account.ConfirmCase{Case: out.Case}) })
		d.settle()
		if len(d.booked) != 2 || d.booked[1].Txn != txns(2)[1] || d.booked[0].Undo != undo ||
			d.booked[0].Fault != account.Lent {
			t.Errorf("%+v", d.booked)
		}
	}
	out := d.must(finding)
	d.booked = nil
	d.as("clerk-2", "desk", func() { d.must(account.ConfirmCase{Case: out.Case, Deny: true}) })
	d.settle()
	if len(d.booked) != 0 || d.doc.EndedCase(out.Case).State != account.Refused {
		t.Errorf("%+v", d.booked)
	}
}

// SY15: a claim against named transactions; what is approved by two persons is booked from
// the liable party to the holder.
func TestDuty_SY15_ClaimIsPaidByTheLiableParty(t *testing.T) {
	d := opened(t, plain())
	claim := account.OpenClaim{Who: holder, Party: "bus", Amount: 600, Txns: txns(1)}
	for bad, want := range map[account.Refusal]account.OpenClaim{
		account.PartyUnknown:  {Who: holder, Party: "taxi", Amount: 600, Txns: txns(1)},
		account.AmountInvalid: {Who: holder, Party: "bus", Amount: 1000_01, Txns: txns(1)},
		account.TxnsMissing:   {Who: holder, Party: "bus", Amount: 600},
	} {
		d.refused(want, bad)
	}
	out := d.must(claim)
	d.as("clerk-2", "desk", func() {
		d.refused(account.ConfirmCase{Case: out.Case}, account.CaseNotReady)
		d.must(account.ProposeClaim{Case: out.Case, Amount: 400, Party: "bank"})
		d.refused(account.ConfirmCase{Case: out.Case}, account.SamePerson)
	})
	d.must(account.ConfirmCase{Case: out.Case, Deny: true})
	d.must(account.ProposeClaim{Case: out.Case, Amount: 450})
	d.as("clerk-3", "desk", func() { d.must(account.ConfirmCase{Case: out.Case}) })
	d.settle()
	if len(d.booked) != 1 || d.booked[0].Amount != 450 || d.booked[0].Name != "bank" ||
		d.booked[0].Carrier != chip || d.booked[0].Txn != txns(1)[0] {
		t.Errorf("%+v", d.booked)
	}
}

func TestDuty_SY15_ClaimThatIsNotPaidIsAnsweredInWriting(t *testing.T) {
	d := opened(t, plain())
	out := d.must(account.OpenClaim{Who: holder, Party: "bus", Amount: 600, Txns: txns(1)})
	d.must(account.ProposeClaim{Case: out.Case})
	d.as("clerk-3", "desk", func() {
		d.refused(account.ConfirmCase{Case: out.Case}, account.PaperIncomplete)
		if a := d.must(account.ConfirmCase{Case: out.Case, Paper: letter}); a.Paper == nil {
			t.Error("no letter")
		}
	})
	if len(d.booked) != 0 || d.doc.EndedCase(out.Case).State != account.Refused {
		t.Errorf("%+v", d.booked)
	}
}

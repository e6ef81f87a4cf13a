package account_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// guard is one refusal and the way there. A way gets an open account under plain rules, which
// it may change, and returns the step that must be refused.
type guard struct {
	want account.Refusal
	way  func(d *desk) account.Step
}

func given(step account.Step) func(*desk) account.Step {
	return func(*desk) account.Step { return step }
}

// on opens a case and returns its number.
func (d *desk) on(step account.Step) uint32 { return d.must(step).Case }

// guards are the refusals that a step alone meets.
func guards() []guard {
	nobody := account.Who{}
	return []guard{
		{account.AccountExists, func(d *desk) account.Step { return d.openAccount() }},
		{account.ActorNotAllowed, given(account.ReportLoss{Who: nobody})},
		{account.ActorNotAllowed, given(account.UnbindCarrier{Who: nobody, Token: qr})},
		{account.ActorNotAllowed, given(account.BindCarrier{Who: nobody})},
		{account.ActorNotAllowed, given(account.PreReport{Who: account.Who{Actor: account.Heir}})},
		{account.ActorNotAllowed, given(account.OpenClaim{Who: nobody})},
		{account.ActorNotAllowed, given(account.ApplyRenewal{Who: nobody})},
		{account.ChannelNotAllowed, given(account.CloseFunction{App: txn.AppSocial})},
		{account.InvalidCommand, given(account.ReportLoss{Who: account.Who{Actor: account.Holder,
			Channel: 99}})},
		{account.InvalidCommand, given(account.RequestCancellation{Who: holder, Open: 1 << 31})},
		{account.InvalidCommand, given(account.RequestCancellation{Who: account.Who{
			Actor: account.Agency, Channel: 99}, Decision: "D"})},
		{account.InvalidCommand, given(account.OpenComplaint{})},
		{account.InvalidCommand, given(account.Query{})},
		{account.InvalidCommand, given(account.FreezeRisk{Ground: "cloned"})},
		{account.InvalidCommand, given(account.SetRider{Rider: account.Rider{Until: 20260230}})},
		{account.RiderEnded, given(account.SetRider{Rider: account.Rider{
			Category: txn.RiderSenior, Source: "civil", Until: 20200101}})},
		{account.InvalidCommand, given(account.UnbindCarrier{Who: holder, Token: qr, Outlet: long})},
		{account.InvalidCommand, given(account.OpenFinding{Fault: account.Lent, Evidence: long,
			Txns: txns(1)})},
		{account.NotOffered, func(d *desk) account.Step {
			d.rules.PreReport.Allowed = false
			return account.PreReport{Who: phoned, Why: "abroad"}
		}},
		{account.NotOffered, func(d *desk) account.Step {
			d.rules.Claims.Parties = nil
			return account.OpenClaim{Who: holder}
		}},
		{account.FormNotAllowed, given(account.ReportLoss{Who: holder, Form: account.Oral})},
		{account.UnknownCarrier, given(account.UnbindCarrier{Who: holder})},
		{account.UnknownCarrier, given(account.ApplyReplacement{Who: holder, Old: token(99)})},
		{account.CarrierExists, given(account.BindCarrier{Who: holder,
			Carrier: carrierOf(account.QR, qr)})},
		{account.CarrierKindNotAllowed, given(account.BindCarrier{Who: holder,
			Carrier: carrierOf(account.Temporary, second)})},
		{account.CarrierKindNotAllowed, given(account.UnbindCarrier{Who: holder, Token: chip})},
		{account.CarrierKindNotAllowed, given(account.ApplyRenewal{Who: holder, Old: bankCard,
			Ground: account.Damaged})},
		{account.FunctionUnknown, func(d *desk) account.Step {
			d.rules.Functions = nil
			return account.CloseFunction{App: txn.AppTransit, Channel: account.Online}
		}},
		{account.FunctionClosed, given(account.CloseFunction{App: txn.AppBank})},
		{account.FunctionUnknown, given(account.OpenFunction{App: txn.AppTransit | txn.AppPurse})},
		{account.BankNotActivated, given(account.ActivateBank{Off: true})},
		{account.NotReported, given(account.LiftRisk{Why: "checked"})},
		{account.NoReason, given(account.FreezeRisk{Scope: txn.AppAll})},
		{account.UnknownCase, given(account.ConfirmRelease{Case: 99})},
		{account.UnknownCase, given(account.MakeCard{Case: 99})},
		{account.UnknownCase, given(account.IssueCard{Case: 99})},
		{account.UnknownCase, given(account.SendProduction{Case: 99})},
		{account.UnknownCase, given(account.RefuseCase{Case: 99})},
		{account.UnknownCase, given(account.WithdrawCase{Case: 99})},
		{account.UnknownCase, given(account.BindTemporary{Case: 99})},
		{account.UnknownCase, given(account.WaiveAffair{Case: 99})},
		{account.UnknownCase, given(account.CompleteCancellation{Case: 99})},
		{account.UnknownCase, given(account.ConfirmCase{Case: 99})},
		{account.UnknownCase, given(account.ProposeClaim{Case: 99})},
		{account.UnknownCase, given(account.CloseCorrection{Case: 99})},
		{account.UnknownFee, given(account.WaiveFee{No: 99, Why: "hardship"})},
		{account.PurposeNotAllowed, given(account.Query{Who: agent, Purpose: "gossip"})},
	}
}

// deeper are the refusals that something must come before.
func deeper() []guard {
	renewal := account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged, Accept: true}
	made := account.MakeCard{Carrier: carrierOf(account.Chip, second)}
	made.Carrier.Ready = false
	return []guard{
		{account.Frozen, func(d *desk) account.Step {
			d.lose()
			return account.UnbindCarrier{Who: holder, Token: qr}
		}},
		{account.Frozen, func(d *desk) account.Step {
			no := d.on(renewal)
			d.lose()
			return account.MakeCard{Case: no, Carrier: made.Carrier}
		}},
		{account.Frozen, func(d *desk) account.Step {
			no := d.on(renewal)
			d.must(account.FreezeRisk{Scope: txn.AppAll, Ground: "cloned"})
			return account.BindTemporary{Case: no, As: account.QR,
				Carrier: carrierOf(account.Temporary, temporary)}
		}},
		{account.AlreadyReported, func(d *desk) account.Step {
			d.must(account.FreezeRisk{Scope: txn.AppAll, Ground: "cloned"})
			return account.FreezeRisk{Scope: txn.AppPurse, Ground: "cloned"}
		}},
		{account.SamePerson, func(d *desk) account.Step {
			d.must(account.FreezeRisk{Scope: txn.AppAll, Ground: "cloned"})
			return account.LiftRisk{Why: "checked"}
		}},
		{account.NoReason, func(d *desk) account.Step {
			d.must(account.FreezeRisk{Scope: txn.AppAll, Ground: "cloned"})
			return account.LiftRisk{}
		}},
		{account.CaseOpen, func(d *desk) account.Step {
			d.lose()
			d.must(account.RequestRelease{Who: holder})
			return account.RequestRelease{Who: holder}
		}},
		{account.CaseOpen, func(d *desk) account.Step {
			d.must(account.RequestCancellation{Who: holder})
			return account.RequestCancellation{Who: holder}
		}},
		{account.CaseNotReady, func(d *desk) account.Step {
			return account.IssueCard{Case: d.on(renewal)}
		}},
		{account.CaseNotReady, func(d *desk) account.Step {
			return account.AcceptCase{Case: d.on(renewal)}
		}},
		{account.CaseNotReady, func(d *desk) account.Step {
			no := d.on(renewal)
			d.must(account.MakeCard{Case: no, Carrier: made.Carrier})
			return account.WithdrawCase{Case: no}
		}},
		{account.CaseNotReady, func(d *desk) account.Step {
			no := d.on(renewal)
			d.must(account.MakeCard{Case: no, Carrier: made.Carrier})
			return account.RefuseCase{Case: no, Paper: letter}
		}},
		{account.CaseNotReady, func(d *desk) account.Step {
			no := d.on(account.OpenClaim{Who: holder, Party: "bus", Amount: 1, Txns: txns(1)})
			d.must(account.ProposeClaim{Case: no, Amount: 1})
			return account.ProposeClaim{Case: no, Amount: 1}
		}},
		{account.AmountInvalid, func(d *desk) account.Step {
			no := d.on(account.OpenClaim{Who: holder, Party: "bus", Amount: 1, Txns: txns(1)})
			return account.ProposeClaim{Case: no, Amount: -1}
		}},
		{account.PartyUnknown, func(d *desk) account.Step {
			no := d.on(account.OpenClaim{Who: holder, Party: "bus", Amount: 1, Txns: txns(1)})
			return account.ProposeClaim{Case: no, Amount: 1, Party: "taxi"}
		}},
		{account.CarrierKindNotAllowed, func(d *desk) account.Step {
			return account.MakeCard{Case: d.on(renewal), Carrier: carrierOf(account.BankPAN, second)}
		}},
		{account.CarrierExists, func(d *desk) account.Step {
			return account.MakeCard{Case: d.on(renewal), Carrier: carrierOf(account.Chip, chip)}
		}},
		{account.UnknownCarrier, func(d *desk) account.Step {
			renew := renewal
			renew.Old = bankCard
			d.must(account.UnbindCarrier{Who: holder, Token: bankCard})
			return renew
		}},
		{account.CarrierNotActive, func(d *desk) account.Step {
			d.lose()
			d.replace(chip, second)
			d.lose()
			return account.ApplyReplacement{Who: holder, Old: chip}
		}},
		{account.InvalidCommand, func(d *desk) account.Step {
			no := d.on(account.RequestCancellation{Who: holder})
			return account.WaiveAffair{Case: no, Affair: account.OpenFees, Why: long}
		}},
		{account.InvalidCommand, func(d *desk) account.Step {
			no := d.on(account.RequestCancellation{Who: holder})
			return account.CompleteCancellation{Case: no, Outlet: long}
		}},
		{account.InvalidCommand, func(d *desk) account.Step {
			no := d.on(account.OpenComplaint{Who: holder})
			return account.AnswerComplaint{Case: no, Paper: letter, ProofNo: long}
		}},
		{account.InvalidCommand, func(d *desk) account.Step {
			d.must(renewal)
			d.staff.Outlet = ""
			return account.PayFee{No: 1}
		}},
	}
}

// Every guard refuses, and leaves the account as it was.
func TestGuards(t *testing.T) {
	for i, g := range append(guards(), deeper()...) {
		d := opened(t, plain())
		d.staff.Role = "desk"
		step := g.way(d)
		before := d.doc
		if out := d.do(step); out.Refusal != g.want || d.doc != before {
			t.Errorf("%d, %s: %s, want %s", i, step.Name(), out.Refusal, g.want)
		}
	}
}

// TestNothingRevivesADeadNumber sends every step that names a carrier or a case to an account
// with a replaced card, under both moments: no effect names the dead number again but to
// name its successor or move its money.
func TestNothingRevivesADeadNumber(t *testing.T) {
	for _, rules := range []*account.Rules{plain(), applied()} {
		d := opened(t, rules)
		d.lose()
		d.replace(chip, second)
		for _, who := range []account.Who{holder, agent, {Actor: account.Agency,
			Channel: account.AtAgency, ID: account.ResidentID}} {
			for no := range d.doc.LastCase + 2 {
				for _, step := range attempts(who, no) {
					d.as("clerk-9", "desk", func() { d.attempt(step) })
				}
			}
		}
	}
}

func attempts(who account.Who, no uint32) []account.Step {
	return []account.Step{
		account.RequestRelease{Who: who, Carrier: chip}, account.ConfirmRelease{Case: no},
		account.BindCarrier{Who: who, Carrier: carrierOf(account.Chip, chip)},
		account.UnbindCarrier{Who: who, Token: chip}, account.LiftRisk{Why: "checked"},
		account.ApplyReplacement{Who: who, Old: chip, Accept: true}, account.AcceptCase{Case: no},
		account.ApplyRenewal{Who: who, Old: chip, Ground: account.Damaged, Accept: true},
		account.MakeCard{Case: no, Carrier: carrierOf(account.Chip, chip)},
		account.BindTemporary{Case: no, As: account.QR, Carrier: carrierOf(account.Temporary, chip)},
		account.IssueCard{Case: no}, account.WithdrawCase{Case: no},
		account.RefuseCase{Case: no, Paper: letter}, account.ConfirmCase{Case: no}, account.Tick{},
		account.ReportLoss{Who: who, Form: account.Written, FormNo: "A", BankTold: true},
		account.RequestRelease{Who: who},
	}
}

func (d *desk) attempt(step account.Step) {
	d.t.Helper()
	out := d.do(step)
	for _, e := range out.Effects {
		if e.Carrier == chip && (e.Kind == account.SetMark || e.Kind == account.Enrol) {
			d.t.Errorf("%s: %s of a dead number", step.Name(), e.Kind)
		}
	}
	d.settle()
	if m := d.doc.MarkOf(chip); m != (txn.Mark{Reason: txn.Replaced, Scope: txn.AppAll}) ||
		d.marks[chip] != m {
		d.t.Errorf("%s: the dead number bears %v, the list %v", step.Name(), m, d.marks[chip])
	}
}

// A carrier of another account bears no mark of this one.
func TestMarkOfAStranger(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	if d.doc.MarkOf(token(99)) != (txn.Mark{}) || d.doc.MarkOf(pan.Token{}) != (txn.Mark{}) ||
		d.doc.Mark().Reason != txn.Lost {
		t.Error("marks")
	}
	id := account.CommandID{0xab}
	if id.String() != "ab000000000000000000000000000000" {
		t.Errorf("%s", id)
	}
}

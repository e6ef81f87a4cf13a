package account_test

import (
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var long = strings.Repeat("x", account.NameMax+1)

func TestCarriersMax(t *testing.T) {
	d := opened(t, plain())
	for n := len(d.doc.Carriers); n < account.CarriersMax; n++ {
		d.must(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, token(50+uint32(n)))})
	}
	d.refused(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, token(99))},
		account.AccountFull)
	d.settle()
	d.lose()
	if len(d.doc.ToDo) != account.CarriersMax+1 || len(d.doc.ToDo) > account.EffectsReserve {
		t.Errorf("a freeze has %d effects, %d are in reserve", len(d.doc.ToDo), account.EffectsReserve)
	}
}

// A number is remembered for ever, so an account takes so many in its life; all that live
// can still die.
func TestFormerMax(t *testing.T) {
	d := opened(t, plain())
	next := uint32(1000)
	for len(d.doc.Carriers)+len(d.doc.Former) < account.FormerMax {
		d.must(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, token(next))})
		d.must(account.UnbindCarrier{Who: holder, Token: token(next)})
		d.settle()
		next++
	}
	d.refused(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, token(next))},
		account.AccountFull)
	out := d.must(account.RequestCancellation{Who: holder})
	d.must(account.CompleteCancellation{Case: out.Case})
	d.settle()
	if len(d.doc.Former) != account.FormerMax || d.marks[chip].Reason != txn.Cancelled {
		t.Errorf("%d dead", len(d.doc.Former))
	}
}

func TestNumbersMax(t *testing.T) {
	d := newDesk(t, plain())
	open := d.openAccount()
	for n := range account.NumbersMax + 1 {
		open.Numbers = append(open.Numbers, account.Number{Kind: account.SerialNumber,
			Token: token(uint32(70 + n))})
	}
	d.refused(open, account.InvalidCommand)
	open.Numbers = open.Numbers[1:]
	d.must(open)
}

func TestFunctionsMaxIsEveryApplication(t *testing.T) {
	rules := plain()
	rules.Functions = nil
	for i := range account.FunctionsMax {
		rules.Functions = append(rules.Functions, account.FunctionRule{App: 1 << i, AtIssue: i%2 == 0,
			Channels: all})
	}
	d := opened(t, rules)
	for i := range account.FunctionsMax {
		d.do(account.OpenFunction{App: 1 << i, Channel: account.Online})
		d.must(account.CloseFunction{App: 1 << i, Channel: account.Online})
		d.must(account.OpenFunction{App: 1 << i, Channel: account.Online})
		d.settle()
	}
	if d.doc.Apps() != txn.AppAll || len(d.doc.Functions) != account.FunctionsMax {
		t.Errorf("%d functions", len(d.doc.Functions))
	}
}

func TestRestrictionsMax(t *testing.T) {
	rules := plain()
	rules.Suspensions = nil
	for i := range account.RestrictionsMax + 1 {
		rules.Suspensions = append(rules.Suspensions, account.SuspensionRule{App: 1 << i,
			Role: "social_dept"})
	}
	d := opened(t, rules)
	d.as("officer", "social_dept", func() {
		for i := range account.CasesMax {
			d.must(account.Suspend{App: 1 << i, Decision: "D"})
			d.settle()
		}
		d.refused(account.Suspend{App: 1 << account.CasesMax, Decision: "D"}, account.TooManyCases)
	})
	d.must(account.FreezeRisk{Scope: txn.AppAll, Ground: "cloned"})
	d.lose()
	if len(d.doc.Restrictions) != account.RestrictionsMax {
		t.Errorf("%d restrictions", len(d.doc.Restrictions))
	}
}

// The last places for cases are for those that protect.
func TestCasesMax(t *testing.T) {
	d := opened(t, plain())
	for range account.CasesMax - 2 {
		d.must(account.OpenComplaint{Who: holder})
	}
	d.refused(account.OpenComplaint{Who: holder}, account.TooManyCases)
	d.refused(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged},
		account.TooManyCases)
	d.must(account.PreReport{Who: phoned, Why: "abroad"})
	d.must(account.RequestRelease{Who: holder})
	if len(d.doc.Cases) != account.CasesMax {
		t.Errorf("%d cases", len(d.doc.Cases))
	}
	d.lose()
}

// Of ended cases the latest are kept.
func TestEndedMax(t *testing.T) {
	d := opened(t, plain())
	for range account.EndedMax + 3 {
		out := d.must(account.OpenComplaint{Who: holder})
		d.must(account.AnswerComplaint{Case: out.Case, Paper: letter, ProofNo: "P"})
	}
	if len(d.doc.Ended) != account.EndedMax || d.doc.EndedCase(3) != nil ||
		d.doc.EndedCase(d.doc.LastCase) == nil {
		t.Errorf("%+v", d.doc.Ended)
	}
	d.refused(account.AnswerComplaint{Case: d.doc.LastCase}, account.CaseHasEnded)
	d.refused(account.AnswerComplaint{Case: 1}, account.UnknownCase)
}

// The history of a case keeps its first line and the latest.
func TestLinesMax(t *testing.T) {
	d := opened(t, plain())
	out := d.must(account.OpenClaim{Who: holder, Party: "bus", Amount: 1, Txns: txns(1)})
	opened := d.now
	for range account.LinesMax {
		d.now += minute
		d.must(account.ProposeClaim{Case: out.Case, Amount: 1})
		d.as("clerk-2", "desk", func() { d.must(account.ConfirmCase{Case: out.Case, Deny: true}) })
	}
	lines := d.doc.Case(out.Case).Lines
	if len(lines) != account.LinesMax || lines[0].At != opened || lines[0].State != account.Received ||
		lines[account.LinesMax-1].At != d.now || lines[account.LinesMax-1].By != "clerk-2" {
		t.Errorf("%+v", lines)
	}
}

func TestTxnsMax(t *testing.T) {
	d := opened(t, plain())
	many := txns(account.TxnsMax + 1)
	d.refused(account.OpenComplaint{Who: holder, Txns: many}, account.InvalidCommand)
	d.refused(account.OpenClaim{Who: holder, Party: "bus", Amount: 1, Txns: many}, account.TxnsMissing)
	d.refused(account.OpenFinding{Fault: account.Lent, Evidence: "E", Txns: many}, account.TxnsMissing)
	d.must(account.OpenFinding{Fault: account.Lent, Evidence: "E", Txns: many[1:]})
}

// Consents that ended make room; those in force do not.
func TestConsentsMax(t *testing.T) {
	d := opened(t, plain())
	give := account.GiveConsent{Party: "university", Purpose: "research", Scope: txn.AppTransit}
	for range account.ConsentsMax {
		d.must(give)
	}
	d.refused(give, account.AccountFull)
	d.must(account.WithdrawConsent{No: 3})
	d.must(give)
	d.refused(account.WithdrawConsent{No: 3}, account.UnknownConsent)
}

// Fees that are due do not make room, and hold no freeze up.
func TestFeesMax(t *testing.T) {
	rules := plain()
	rules.Tariff = append(rules.Tariff, account.FeeRule{Event: account.LossReport, Amount: 100,
		Income: "income/fees"})
	d := opened(t, rules)
	for range account.FeesMax {
		out := d.must(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged, Accept: true})
		d.must(account.WithdrawCase{Case: out.Case})
		d.settle()
	}
	renew := account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged, Accept: true}
	d.refused(renew, account.TooManyFees)
	if out := d.lose(); !strings.HasPrefix(out.Record.Note, "no_fee") {
		t.Errorf("%q", out.Record.Note)
	}
	d.release()
	d.must(account.PayFee{No: 2})
	d.must(renew)
	if len(d.doc.Fees) != account.FeesMax || d.doc.Fees[0].No != 1 || d.doc.Fees[1].No != 3 {
		t.Errorf("%+v", d.doc.Fees)
	}
}

// Effects pile up while nothing is carried out. What protects has room in reserve.
func TestEffectsMax(t *testing.T) {
	d := opened(t, plain())
	refused := false
	for i := 0; i < account.EffectsMax && !refused; i++ {
		out := d.do(account.SetRider{Rider: account.Rider{Category: txn.RiderOrdinary}})
		rider := account.Rider{Category: txn.RiderSenior, Source: "civil"}
		if d.doc.Rider.Category == txn.RiderSenior {
			rider = account.Rider{}
		}
		out = d.do(account.SetRider{Rider: rider})
		refused = out.Refusal == account.TooManyEffects
	}
	if !refused || len(d.doc.ToDo) > account.EffectsMax-account.EffectsReserve {
		t.Fatalf("%d effects, refused %v", len(d.doc.ToDo), refused)
	}
	d.lose()
	if len(d.doc.ToDo) > account.EffectsMax {
		t.Errorf("%d effects", len(d.doc.ToDo))
	}
	d.settle()
	if !d.frozen(txn.AppAll, chip, ecard, qr, bankCard) {
		t.Errorf("%v", d.marks)
	}
}

// Beyond RecentMax an id is forgotten, and the command refused rather than repeated.
func TestRecentMax(t *testing.T) {
	d := opened(t, plain())
	first := d.command(account.GiveConsent{Party: "p", Purpose: "q", Scope: txn.AppPurse})
	if out := d.send(first); out.Refusal != account.RefusalNone || out.Replay {
		t.Fatalf("%+v", out)
	}
	for range account.RecentMax - 1 {
		d.now += minute
		d.must(account.Query{Who: holder})
	}
	if out := d.send(first); !out.Replay {
		t.Errorf("%s", out.Refusal)
	}
	d.now += minute
	d.must(account.Query{Who: holder})
	if out := d.send(first); out.Refusal != account.CommandTooOld {
		t.Errorf("%s", out.Refusal)
	}
	if len(d.doc.Consents) != 1 || len(d.doc.Recent) != account.RecentMax {
		t.Errorf("%d consents", len(d.doc.Consents))
	}
}

func TestCommandsThatAreNoCommands(t *testing.T) {
	d := opened(t, plain())
	query := account.Query{Who: holder}
	for name, spoil := range map[string]func(c *account.Command){
		"no id":     func(c *account.Command) { c.ID = account.CommandID{} },
		"no time":   func(c *account.Command) { c.Made = 0 },
		"no clerk":  func(c *account.Command) { c.By.ID = "" },
		"no step":   func(c *account.Command) { c.Step = nil },
		"received":  func(c *account.Command) { c.Received = -1 },
		"long name": func(c *account.Command) { c.By.Role = long },
	} {
		cmd := d.command(query)
		spoil(&cmd)
		if out := d.send(cmd); out.Refusal != account.InvalidCommand {
			t.Errorf("%s: %s", name, out.Refusal)
		}
	}
	cmd := d.command(query)
	cmd.Made = d.now + account.AheadMax
	if out := d.send(cmd); out.Refusal != account.RefusalNone {
		t.Errorf("at AheadMax: %s", out.Refusal)
	}
	cmd = d.command(query)
	cmd.Made = d.now + account.AheadMax + 1
	if out := d.send(cmd); out.Refusal != account.CommandFromFuture {
		t.Errorf("beyond AheadMax: %s", out.Refusal)
	}
	none := newDesk(t, plain())
	none.refused(query, account.UnknownAccount)
}

func TestNameMax(t *testing.T) {
	d := opened(t, plain())
	d.as("officer", "social_dept", func() {
		d.refused(account.Suspend{App: txn.AppSocial, Decision: long, Fault: account.Lent},
			account.InvalidCommand)
	})
	d.refused(account.PreReport{Who: phoned, Why: long}, account.InvalidCommand)
	d.refused(account.ReportLoss{Who: holder, Form: account.Written, FormNo: long},
		account.InvalidCommand)
	d.refused(account.FreezeRisk{Scope: txn.AppAll, Ground: long}, account.InvalidCommand)
	d.refused(account.OpenComplaint{Who: holder, Owner: long}, account.InvalidCommand)
	d.refused(account.GiveConsent{Party: long, Purpose: "p", Scope: txn.AppPurse},
		account.InvalidCommand)
	d.refused(account.RequestCancellation{Who: holder, Decision: long}, account.InvalidCommand)
	d.refused(account.SetRider{Rider: account.Rider{Source: long}}, account.InvalidCommand)
	c := carrierOf(account.QR, token(50))
	c.Issuer = strings.Repeat("i", account.IssuerMax+1)
	d.refused(account.BindCarrier{Who: holder, Carrier: c}, account.InvalidCommand)
}

func TestPaperMax(t *testing.T) {
	d := opened(t, plain())
	out := d.must(account.OpenComplaint{Who: holder})
	p := letter
	p.Facts = strings.Repeat("f", account.PaperMax+1)
	d.refused(account.AnswerComplaint{Case: out.Case, Paper: p, ProofNo: "P"}, account.PaperIncomplete)
	p.Facts = p.Facts[1:]
	d.must(account.AnswerComplaint{Case: out.Case, Paper: p, ProofNo: "P"})
}

// A failed effect stays, with its reason cut to WhyMax and its tries counted to TriesMax.
func TestTriesMaxAndWhyMax(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	seq := d.doc.ToDo[0].Seq
	for range account.TriesMax + 5 {
		d.do(account.Failed{Seq: seq, Why: strings.Repeat("w", account.WhyMax+1)})
	}
	if e := d.doc.ToDo[0]; e.Tries != account.TriesMax || len(e.Why) != account.WhyMax {
		t.Errorf("%+v", e)
	}
	if out := d.do(account.Failed{Seq: 9999}); !out.Replay {
		t.Error("an unknown effect failed")
	}
	d.doc.Append(nil)
}

// What cannot be done does not hold a freeze up: a mark goes around a failed enrolment.
func TestAMarkWaitsForNothingThatFailed(t *testing.T) {
	d := newDesk(t, plain())
	d.must(d.openAccount())
	enrol := d.doc.ToDo[0]
	d.lose()
	ready := func() bool {
		for _, e := range d.doc.Ready() {
			if e.Kind == account.SetMark {
				return true
			}
		}
		return false
	}
	if ready() {
		t.Error("the mark does not wait for the enrolment at all")
	}
	d.do(account.Failed{Seq: enrol.Seq, Why: "store_unavailable"})
	if !ready() {
		t.Error("the mark waits behind a failure")
	}
}

// A calendar without working days ends the search.
type closed struct{ week }

func (closed) Working(txn.BusinessDate) bool { return false }

func TestDaysMaxEndsASearchForWorkingDays(t *testing.T) {
	rules := plain()
	rules.Calendar = closed{}
	d := opened(t, rules)
	out := d.must(account.ApplyRenewal{Who: holder, Old: chip, Ground: account.Damaged, Accept: true})
	if d.doc.Case(out.Case).Due <= d.now+account.DaysMax*day {
		t.Error("a date was found among no working days")
	}
}

// Marks on one carrier are written in order: a release never overtakes the freeze before it.
func TestMarksOfOneCarrierKeepTheirOrder(t *testing.T) {
	d := opened(t, plain())
	d.lose()
	d.release()
	seen := map[string]uint32{}
	for _, e := range d.doc.Ready() {
		if e.Kind != account.SetMark {
			continue
		}
		if first, twice := seen[e.Carrier.String()]; twice || e.Mark.Reason != txn.Lost {
			t.Errorf("%v is ready beside %d", e.Mark, first)
		}
		seen[e.Carrier.String()] = e.Seq
	}
	if len(seen) != 4 {
		t.Errorf("%d marks are ready", len(seen))
	}
}

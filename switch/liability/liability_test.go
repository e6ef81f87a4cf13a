package liability_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	minute = 60_000
	hour   = 60 * minute
	window = 2 * hour
	noon   = 12 * hour
)

func rules(b account.Boundary) *liability.Rules {
	return &liability.Rules{Boundary: b, Before: liability.Holder, After: liability.LateParty,
		Otherwise: liability.Agency, Window: window}
}

// told is a party that got the notice at noon + 10 min.
func told() *liability.Party {
	return &liability.Party{Name: "transit", Kind: txn.LiabilityOperator, Contract: "clause 7",
		Sent: noon + minute, Received: noon + 10*minute}
}

func report() *liability.Freeze {
	return &liability.Freeze{Accepted: noon, Effective: noon + 2*minute, Frozen: noon + 3*minute,
		Sent: noon + minute}
}

// The two hours run from receipt, so what a party serves within them is the holder's, and
// what it serves after them is its own (HD19); an earlier freeze ends the holder's part.
func TestDuty_HD19_BoundaryIsTheEarlierOfFreezeAndTwoHours(t *testing.T) {
	r, f := rules(account.FreezeDue), report()
	for _, c := range []struct {
		name  string
		froze txn.Millis
		at    txn.Millis
		want  txn.Liability
		why   string
	}{
		{"before the end of its time", 0, noon + 10*minute + window - 1, txn.LiabilityHolder, liability.WhyBefore},
		{"at the end of its time", 0, noon + 10*minute + window, txn.LiabilityOperator, liability.WhyLate},
		{"before its early freeze", noon + hour, noon + hour - 1, txn.LiabilityHolder, liability.WhyBefore},
		{"after its early freeze", noon + hour, noon + hour, txn.LiabilityOperator, liability.WhyLate},
		{"its late freeze changes nothing", noon + 5*hour, noon + 3*hour, txn.LiabilityOperator, liability.WhyLate},
		{"before the report", 0, noon - 1, txn.LiabilityHolder, liability.WhyBefore},
	} {
		p := told()
		p.Froze = c.froze
		if v := liability.Judge(r, f, p, c.at); v.Bears != c.want || v.Why != c.why {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

// Which rule wins for one service, the freeze's boundary or the lease, in every case of both.
func TestTheLeaseGoesBeforeTheBoundary(t *testing.T) {
	late := func(*liability.Party) {}
	inTime := func(p *liability.Party) { p.Froze = 0; p.Received = noon + 9*hour }
	untold := func(p *liability.Party) { p.Sent, p.Received = 0, 0 }
	unbound := func(p *liability.Party) { p.Contract = "" }
	for _, c := range []struct {
		name  string
		party func(*liability.Party)
		at    txn.Millis
		rule  txn.Liability // the lease in force
		why   string
	}{
		{"before the report", late, noon - hour, txn.LiabilityHolder, liability.WhyBefore},
		{"the party is late", late, noon + 5*hour, txn.LiabilityOperator, liability.WhyLate},
		{"the party is in time", inTime, noon + 5*hour, txn.LiabilityAgency, liability.WhyInTime},
		{"the party was not told", untold, noon + 5*hour, txn.LiabilityAgency, liability.WhyNotTold},
		{"no contract", unbound, noon + 5*hour, txn.LiabilityAgency, liability.WhyNoContract},
	} {
		p := told()
		c.party(p)
		r := rules(account.ReportAccepted)
		if v := liability.JudgeUse(r, report(), p, liability.Use{At: c.at}); v.Bears != c.rule || v.Why != c.why {
			t.Errorf("%s, lease in force: %+v", c.name, v)
		}
		v := liability.JudgeUse(r, report(), p, liability.Use{At: c.at, LeaseEnded: true})
		if v.Bears != txn.LiabilityOperator || v.Why != liability.WhyLease || v.Account() != "loss/transit" ||
			v.Boundary != noon {
			t.Errorf("%s, lease ended: %+v", c.name, v)
		}
	}
	v := liability.JudgeUse(rules(account.FreezeDue), &liability.Freeze{}, &liability.Party{},
		liability.Use{At: noon, LeaseEnded: true})
	if v.Bears != txn.LiabilityOperator || v.Account() != "loss/operator" {
		t.Errorf("a party that nobody knows: %+v", v)
	}
}

// Only an off-line record says that a lease had ended.
func TestUseOfARecord(t *testing.T) {
	r := &txn.Record{ServiceAt: noon, Offline: true, Reason: txn.LeaseEnded}
	if got := liability.UseOf(r); got != (liability.Use{At: noon, LeaseEnded: true}) {
		t.Errorf("%+v", got)
	}
	r.Offline = false
	if got := liability.UseOf(r); got != (liability.Use{At: noon}) {
		t.Errorf("on line: %+v", got)
	}
}

// Without proof of receipt the time runs from the sending.
func TestDuty_HD19_WithoutReceiptTheClockRunsFromSending(t *testing.T) {
	p := told()
	p.Received = 0
	if got, want := p.Due(window), txn.Millis(noon+minute+window); got != want {
		t.Errorf("due %d, want %d", got, want)
	}
	p.Sent = 0
	v := liability.Judge(rules(account.ReportAccepted), report(), p, noon+9*hour)
	if v.Bears != txn.LiabilityAgency || v.Why != liability.WhyNotTold {
		t.Errorf("a party that was never told: %+v", v)
	}
}

// Where losses are the holder's until the report took effect, the next second is not.
func TestDuty_ZS17_WZ17_BoundaryIsTheReport(t *testing.T) {
	for b, at := range map[account.Boundary]txn.Millis{
		account.ReportAccepted: noon, account.ReportEffective: noon + 2*minute,
		account.FreezeActual: noon + 3*minute,
	} {
		r, f := rules(b), report()
		if v := liability.Judge(r, f, told(), at-1); v.Bears != txn.LiabilityHolder {
			t.Errorf("%s: a moment before: %+v", b, v)
		}
		if v := liability.Judge(r, f, told(), at); v.Bears != txn.LiabilityAgency ||
			v.Why != liability.WhyInTime || v.Boundary != at {
			t.Errorf("%s: the moment, its time not over: %+v", b, v)
		}
		if v := liability.Judge(r, f, told(), noon+3*hour); v.Bears != txn.LiabilityOperator ||
			v.Clause != "clause 7" || v.Account() != "loss/transit" {
			t.Errorf("%s: late: %+v", b, v)
		}
	}
}

// No text names who bears later losses: without a clause of a contract it is not the party.
func TestLaterLossesRestOnAContract(t *testing.T) {
	p := told()
	p.Contract = ""
	v := liability.Judge(rules(account.FreezeDue), report(), p, noon+5*hour)
	if v.Bears != txn.LiabilityAgency || v.Why != liability.WhyNoContract || v.Account() != "loss/agency" {
		t.Errorf("%+v", v)
	}
	r := rules(account.ReportAccepted)
	r.After = liability.Holder
	if v := liability.Judge(r, report(), told(), noon+5*hour); v.Bears != txn.LiabilityHolder || v.Why != liability.WhyRule {
		t.Errorf("%+v", v)
	}
	if v := liability.Judge(rules(account.ReportEffective), &liability.Freeze{Accepted: noon}, told(), noon+5*hour); v.Bears !=
		txn.LiabilityHolder || v.Why != liability.WhyNoBoundary {
		t.Errorf("boundary not reached: %+v", v)
	}
}

func TestRulesThatJudgeNothing(t *testing.T) {
	for name, change := range map[string]func(*liability.Rules){
		"boundary":  func(r *liability.Rules) { r.Boundary = 0 },
		"before":    func(r *liability.Rules) { r.Before = 0 },
		"after":     func(r *liability.Rules) { r.After = 0 },
		"otherwise": func(r *liability.Rules) { r.Otherwise = liability.LateParty },
		"window":    func(r *liability.Rules) { r.Window = 0 },
	} {
		r := rules(account.FreezeDue)
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		change(r)
		if r.Check() == nil {
			t.Errorf("%s is not missed", name)
		}
	}
}

// However a transaction moves between parties, its entries leave it with the last of them,
// once: the loss accounts and the holder's credit say the same.
func TestMovesLeaveItWithTheLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		verdicts := []liability.Verdict{{Bears: txn.LiabilityHolder}, {Bears: txn.LiabilityAgency},
			{Bears: txn.LiabilityOperator, Party: "bus"}, {Bears: txn.LiabilityIssuer, Party: "icbc"}}
		amount := txn.Minor(rapid.Int64Range(1, 100_000).Draw(t, "amount"))
		at := &verdicts[0]
		sums := map[txn.Account]txn.Minor{}
		var credit txn.Minor
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, 3), 0, 12).Draw(t, "moves") {
			for _, e := range liability.Move(at, &verdicts[i], amount) {
				sums[e.Against] += e.Amount
				credit += e.Amount
			}
			at = &verdicts[i]
		}
		want := map[txn.Account]txn.Minor{}
		if a := at.Account(); a != "" {
			want[a] = amount
		}
		total := txn.Minor(0)
		for a, sum := range sums {
			if sum != want[a] {
				t.Fatalf("%s bears %d, want %d", a, sum, want[a])
			}
			total += sum
		}
		if credit != total || credit != want[at.Account()] {
			t.Fatalf("the holder got %d, want %d", credit, want[at.Account()])
		}
	})
}

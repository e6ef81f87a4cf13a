package terms

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

const goodTerms = `
scheme: city
lag: 2
fees:
  - {name: f, classes: [operator], kinds: [metro_exit], per: item, bps: 10, tiers: [{upto: 5, bps: 1}, {upto: 0, bps: 2}], to: income/x}
concessions:
  - {cause: rider, riders: [student], funder: subsidy/x, bps: 5000}
agreements:
  - name: a
    kinds: [metro_exit]
    between: [operator/A, operator/B]
    routes: [{from: S1, to: S2, weights: [{account: operator/A, parts: 3}, {account: operator/B, parts: 4}]}]
    residual: operator/A
parties:
  - {name: p, accounts: [operator/A], zone: "+08:00", cut_off: 23h, lag: 0, bank: {name: B, number: "1", holder: H}}
  - {name: q, accounts: [operator/B]}
`

// TestBuiltIn: what the binary carries is whole: a rule for every kind of record, and terms that
// fit the chart.
func TestBuiltIn(t *testing.T) {
	of, err := BuiltIn(ChartFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Chart(of)
	if err != nil {
		t.Fatal(err)
	}
	if missing := c.Missing(); len(missing) > 0 {
		t.Errorf("deploy/finance/chart.yaml has no rule for %v; one that posts nothing has no variants",
			missing)
	}
	with, err := BuiltIn(TermsFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Terms(with, c); err != nil {
		t.Error(err)
	}
	if Hash(of, with) == Hash(with, of) {
		t.Error("the hash does not tell the files")
	}
	if _, err := BuiltIn("x"); !errors.Is(err, ErrFile) {
		t.Errorf("no such file: %v", err)
	}
}

func TestTerms(t *testing.T) {
	of, _ := BuiltIn(ChartFile)
	c, err := Chart(of)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Terms(Source{"x", []byte(goodTerms)}, c)
	if err != nil {
		t.Fatal(err)
	}
	if got.Lag != 2 || !got.Fees[0].PerItem || got.Fees[0].Tiers[0].UpTo != 5 ||
		got.Fees[0].Kinds[0] != txn.MetroExit || got.Concessions[0].Riders[0] != txn.RiderStudent ||
		got.Agreements[0].Routes[0].Weights[1].Parts != 4 || got.Parties[0].CutOff != 23*time.Hour ||
		got.Parties[0].Lag != 0 || got.Parties[1].Lag != -1 || got.Parties[1].Zone != nil ||
		got.Parties[0].Bank.Number != "1" {
		t.Errorf("%+v", got)
	}
	for _, change := range [][2]string{{"scheme: city", "schema: city"}, {"lag: 2", "lag: two"},
		{"per: item", "per: month"}, {"metro_exit", "metro_exits"}, {"student", "pupil"}, {"+08:00", "Beijing"},
		{"23h", "11pm"}, {"bps: 10,", "bps: 1.5,"}, {"operator/B]", "operator/C]"}, {"income/x", "profit/x"},
		{`zone: "+08:00", `, ""}, {"bps: 5000", "bps: 50000"}} {
		text := strings.Replace(goodTerms, change[0], change[1], 1)
		if text == goodTerms {
			t.Errorf("%v changes nothing", change)
		}
		if _, err := Terms(Source{"x.yaml", []byte(text)}, c); !errors.Is(err, ErrFile) ||
			!strings.Contains(err.Error(), "x.yaml") {
			t.Errorf("%v: %v", change, err)
		}
	}
	if _, err := Terms(Source{"x", make([]byte, FileMax+1)}, c); !errors.Is(err, ErrFile) {
		t.Errorf("too long: %v", err)
	}
}

func TestChartRefuses(t *testing.T) {
	of, _ := BuiltIn(ChartFile)
	for _, change := range [][2]string{{"classes:", "class:"}, {"kind: load", "kind: loads"},
		{"amount: any", "amount: all"}, {"times: -1", "times: -2"}, {"type: asset, role: bank", "type: debit, role: bank"},
		{"of: [issuer]", "of: [bank2]"}} {
		text := strings.Replace(string(of.Text), change[0], change[1], 1)
		if text == string(of.Text) {
			t.Errorf("%v changes nothing", change)
		}
		if _, err := Chart(Source{"c.yaml", []byte(text)}); !errors.Is(err, ErrFile) {
			t.Errorf("%v: %v", change, err)
		}
	}
}

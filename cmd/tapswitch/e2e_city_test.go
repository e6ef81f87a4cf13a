package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/citydemo"
)

// cityRun plays a city on the real binary and holds what all cities have in common: nothing
// approved on line after the report, every purse to the fen, the bank's book, the receipt.
func cityRun(t *testing.T, city string) *citydemo.Report {
	t.Helper()
	c := exec.Command(e2eBinary(t), "demo", "--city", city, "-o", "json")
	c.Env = e2eEnv()
	var out, log bytes.Buffer
	c.Stdout, c.Stderr = &out, &log
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.Bytes(), log.Bytes())
	}
	r := new(citydemo.Report)
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		t.Fatalf("%v in %q", err, out.Bytes())
	}
	for _, k := range r.Checks {
		if !k.Held {
			t.Errorf("%s: %s", k.What.EN, k.Detail)
		}
	}
	if !r.Held || r.City != city || len(r.Checks) < 60 || len(r.Timeline) < 20 {
		t.Errorf("held %v, %d checks, %d lines", r.Held, len(r.Checks), len(r.Timeline))
	}
	if r.AfterReport.Approved != 0 || r.AfterReport.Asked < 7 {
		t.Errorf("after the report: %+v", r.AfterReport)
	}
	p := r.Purses
	if p.Left != 0 || p.PaidOut <= 0 || p.Loaded+p.Credited != p.Spent+p.PaidOut {
		t.Errorf("purses: %+v", p)
	}
	if r.Bank.Posted != r.Bank.Approved || r.Bank.Reversed != 2 {
		t.Errorf("bank: %+v", r.Bank)
	}
	if !r.Receipt.Verified || !r.Receipt.Forged || r.Receipt.Parties != 5 ||
		r.Receipt.Received.IsZero() {
		t.Errorf("receipt: %+v", r.Receipt)
	}
	last := r.Coverage[len(r.Coverage)-1]
	if len(r.Coverage) != 3 || r.Coverage[0].Covered != 0 || last.Covered != last.Total ||
		last.Total != 2 {
		t.Errorf("coverage: %+v", r.Coverage)
	}
	cityClocks(t, r)
	return r
}

// cityClocks: the operator alone was late, by its own clock.
func cityClocks(t *testing.T, r *citydemo.Report) {
	t.Helper()
	if len(r.Clocks) != 5 {
		t.Fatalf("clocks: %+v", r.Clocks)
	}
	for _, c := range r.Clocks {
		if c.Late != (c.Party == "transit") || c.Late != c.Effective.After(c.Deadline) ||
			c.Received.IsZero() {
			t.Errorf("clock: %+v", c)
		}
	}
}

// cityBorne is who bears the rides after the report, in their order: bearer, reason, account.
func cityBorne(t *testing.T, r *citydemo.Report, want ...[3]string) {
	t.Helper()
	if len(r.Liability) != len(want) {
		t.Fatalf("liability: %+v", r.Liability)
	}
	for i, b := range r.Liability {
		account := ""
		for a, fen := range b.Booked {
			if account = a; fen != b.Amount {
				t.Errorf("ride %d: %d booked of %d", i, fen, b.Amount)
			}
		}
		if got := [3]string{b.Bears, b.Why, account}; got != want[i] {
			t.Errorf("ride %d: %v, want %v", i, got, want[i])
		}
		if !b.Offline || !b.Uploaded.After(b.Served) {
			t.Errorf("ride %d: %+v", i, b)
		}
		if contract := b.Clause != ""; contract != (b.Why == "party_was_late") {
			t.Errorf("ride %d is booked under %q", i, b.Clause)
		}
	}
}

func cityClauses(t *testing.T, r *citydemo.Report, want string) {
	t.Helper()
	for _, c := range strings.Fields(want) {
		if !slices.Contains(r.Clauses, c) {
			t.Errorf("clause %s is not shown; shown are %v", c, r.Clauses)
		}
	}
}

var (
	cityHolder = [3]string{"holder", "served_before_the_boundary", ""}
	cityAgency = [3]string{"agency", "party_was_in_time", "loss/agency"}
	cityLate   = [3]string{"operator", "party_was_late", "loss/transit"}
)

func TestE2ECityHandan(t *testing.T) {
	r := cityRun(t, "handan")
	cityBorne(t, r, cityHolder, cityLate)
	cityClauses(t, r, "HD7 HD13 HD14 HD16 HD18 HD19 HD20 HD21 HD22 HD23 HD24 HD25 HD26 HD28")
	if len(r.Fees) != 3 || r.Fees[0].State != "waived" || r.Fees[2].State != "paid" ||
		r.Fees[2].Amount != 2000 {
		t.Errorf("fees: %+v", r.Fees)
	}
	if r.Receipt.Rule != "freeze_due" {
		t.Errorf("boundary: %s", r.Receipt.Rule)
	}
}

func TestE2ECityZhoushan(t *testing.T) {
	r := cityRun(t, "zhoushan")
	cityBorne(t, r, cityHolder, cityAgency, cityLate)
	cityClauses(t, r, "ZS11 ZS14 ZS15 ZS16 ZS17 ZS18 ZS19 ZS20 ZS21")
	if r.Receipt.Rule != "report_effective" || len(r.Fees) != 2 {
		t.Errorf("%+v %+v", r.Receipt, r.Fees)
	}
}

func TestE2ECityWenzhou(t *testing.T) {
	r := cityRun(t, "wenzhou")
	cityBorne(t, r, cityAgency, cityLate)
	cityClauses(t, r, "WZ7 WZ10 WZ11 WZ14 WZ16 WZ17 WZ18 WZ19")
}

func TestE2ECityShiyan(t *testing.T) {
	r := cityRun(t, "shiyan")
	cityBorne(t, r, cityAgency, cityLate)
	cityClauses(t, r, "SY3 SY6 SY14 SY15 SY17")
	if r.Purses.Credited != 750 { // two rides and the claim
		t.Errorf("credited %d", r.Purses.Credited)
	}
}

func TestE2ECityZhengzhou(t *testing.T) {
	r := cityRun(t, "zhengzhou")
	cityBorne(t, r, cityAgency, cityLate)
	cityClauses(t, r, "ZZ7 ZZ8 ZZ19")
}

// A switch whose clock stands elsewhere than the machine's must be out of everybody's reach.
func TestE2EClockFileIsForLoopbackOnly(t *testing.T) {
	path := t.TempDir() + "/clock"
	c := exec.Command(e2eBinary(t), "run", "--data", t.TempDir(), "--listen", "0.0.0.0:0")
	c.Env = append(e2eEnv(), clockFileEnv+"="+path)
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "loopback") {
		t.Errorf("%v: %s", err, out)
	}
}

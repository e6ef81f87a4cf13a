package day

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// tableOf reads a table of a pack: each line by the names of its columns.
func tableOf(t *testing.T, files map[string]string, name string) []map[string]string {
	t.Helper()
	text, ok := strings.CutPrefix(files[name], "\ufeff")
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if !ok || err != nil || len(lines) == 0 {
		t.Fatalf("%s: %v", name, err)
	}
	var all []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, cell := range line {
			row[lines[0][i]] = cell
		}
		all = append(all, row)
	}
	return all
}

// total sums a column of a table in minor units, as a receiver does who has the file alone.
func total(t *testing.T, rows []map[string]string, column string, only ...string) (sum int64) {
	t.Helper()
	for _, row := range rows {
		if len(only) == 2 && row[only[0]] != only[1] {
			continue
		}
		cell, there := row[column]
		n, err := strconv.ParseInt(strings.Replace(cell, ".", "", 1), 10, 64)
		if !there || err != nil {
			t.Fatalf("column %s: %q", column, cell)
		}
		sum += n
	}
	return sum
}

// TestControlTotalsAreThoseOfTheFiles: over days of any records, the control totals of the
// manifest are the sums of the columns of the files, the tables' own summary repeats them, and
// the records are those of the warehouse.
func TestControlTotalsAreThoseOfTheFiles(t *testing.T) {
	for seed := range uint64(6) {
		o := newOffice(t, 100+seed, 300+int(seed)*211)
		o.close(theDay)
		run := o.settle(theDay)
		files := tree(t, run.Dir)
		m := run.Manifest
		if len(m.Control) != 1 || m.Control[0].Currency != txn.CNY {
			t.Fatalf("%d currencies", len(m.Control))
		}
		c := m.Control[0]
		trial := tableOf(t, files, "trial_balance.csv")
		fees := tableOf(t, files, "fees.csv")
		orders := tableOf(t, files, "orders.csv")
		got := pack.Control{Currency: txn.CNY, Debit: total(t, trial, "debit"), Credit: total(t, trial, "credit"),
			Gross: total(t, tableOf(t, files, "gross.csv"), "amount"), Fees: total(t, fees, "amount"),
			Tax: total(t, fees, "tax"), Net: total(t, tableOf(t, files, "net.csv"), "net"),
			OrderedPay: total(t, orders, "amount", "direction", "pay"),
			Collected:  total(t, orders, "amount", "direction", "collect"), Orders: int64(len(orders)),
			Late: total(t, tableOf(t, files, "late.csv"), "amount"), LateCount: total(t, tableOf(t, files, "late.csv"), "count")}
		if got != c {
			t.Errorf("seed %d: the files sum to %+v, the manifest says %+v", seed, got, c)
		}
		if c.Debit != c.Credit || c.Net != c.OrderedPay-c.Collected {
			t.Errorf("seed %d: %+v does not balance", seed, c)
		}
		totals, err := o.memory.Totals(t.Context(), theDay)
		if err != nil || totals.Rows != m.Records {
			t.Errorf("seed %d: %d records of %d, %v", seed, m.Records, totals.Rows, err)
		}
		for _, f := range m.Files {
			if f.Rows > 0 && strings.HasSuffix(f.Name, ".csv") && len(tableOf(t, files, f.Name)) != f.Rows {
				t.Errorf("seed %d: %s has not %d rows", seed, f.Name, f.Rows)
			}
			if int64(len(files[f.Name])) != f.Bytes {
				t.Errorf("seed %d: %s has not %d bytes", seed, f.Name, f.Bytes)
			}
		}
	}
}

// TestVouchersBalance: each voucher of the journal for the general ledger has as much on one side
// as on the other, and all of them move the accounts as the trial balance says.
func TestVouchersBalance(t *testing.T) {
	o := newOffice(t, 120, 900)
	o.close(theDay)
	files := tree(t, o.settle(theDay).Dir)
	gl := tableOf(t, files, "gl_journal.csv")
	if len(gl) == 0 {
		t.Fatal("no voucher")
	}
	var voucher, debit, credit string
	for column := range gl[0] {
		switch {
		case strings.Contains(column, "voucher"):
			voucher = column
		case strings.Contains(column, "debit"):
			debit = column
		case strings.Contains(column, "credit"):
			credit = column
		}
	}
	for _, row := range gl {
		if d, c := total(t, gl, debit, voucher, row[voucher]), total(t, gl, credit, voucher, row[voucher]); d != c {
			t.Errorf("voucher %s: %d against %d", row[voucher], d, c)
		}
	}
}

// TestDaysFollowWithoutALoss: over several days, with and without runs between, the trial balance
// of the last is what all records and all entries of settlement gave.
func TestDaysFollowWithoutALoss(t *testing.T) {
	for _, skip := range []int{-1, 0, 1} {
		o := newOffice(t, 130, 300)
		date := theDay
		entries := map[txn.Account]int64{}
		var last *Run
		for n := range 3 {
			o.close(date)
			if n != skip {
				last = o.settle(date)
				var s clearing.Statement
				if err := readJSON(filepath.Join(last.Dir, pack.StatementName), &s); err != nil {
					t.Fatal(err)
				}
				for _, e := range s.Entries {
					for _, p := range e.Postings {
						entries[p.Account] += int64(p.Amount)
					}
				}
			}
			if n < 2 {
				o.append(o.chain.Batch(300))
				date = date.Next()
			}
		}
		for _, r := range o.memory.All() {
			for _, p := range r.Postings {
				entries[p.Account] += int64(p.Amount)
			}
		}
		var trial []chart.Balance
		if err := readJSON(filepath.Join(last.Dir, pack.TrialName), &trial); err != nil {
			t.Fatal(err)
		}
		got := map[txn.Account]int64{}
		for _, l := range trial {
			got[l.Account] += l.Closing
			if l.Closing != l.Opening-l.Debit+l.Credit {
				t.Errorf("%+v does not add up", l)
			}
		}
		maps.DeleteFunc(entries, func(_ txn.Account, n int64) bool { return n == 0 })
		maps.DeleteFunc(got, func(_ txn.Account, n int64) bool { return n == 0 })
		if !reflect.DeepEqual(got, entries) {
			t.Errorf("without a run of day %d: %v, want %v", skip, got, entries)
		}
	}
}

// dearRuns is how often a property of whole days is tried: each try settles days of its own.
const dearRuns = "8"

// dear bounds the tries of a property.
func dear(t *testing.T) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	before := f.Value.String()
	if before != f.DefValue {
		return // somebody asks for more
	}
	if err := f.Value.Set(dearRuns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(before); err != nil {
			t.Error(err)
		}
	})
}

// TestAnyOrderOfWorkGivesTheSameDay: steps in any order and any number: what is not allowed yet
// is refused and changes nothing, and in the end the day has one run and one certificate with the
// same bytes.
func TestAnyOrderOfWorkGivesTheSameDay(t *testing.T) {
	want := newOffice(t, 140, 200)
	want.append(want.chain.CloseDay())
	if err := want.life(); err != nil {
		t.Fatal(err)
	}
	whole := want.withoutJournal()
	dear(t)
	rapid.Check(t, func(rt *rapid.T) {
		o := newOffice(t, 140, 200)
		defer o.desk.Close()
		markers := o.chain.CloseDay()
		n := rapid.IntRange(0, len(markers)-1).Draw(rt, "markers")
		o.append(markers[:n])
		arrived := false
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			var err error
			step := rapid.SampledFrom([]string{"close", "settle", "certify", "arrive", "reopen"}).Draw(rt, "step")
			state := stateOf(o.desk.journal.Events(), theDay)
			switch step {
			case "close":
				_, err = o.desk.CloseDay(t.Context(), theDay, "a")
				if (err == nil) != (arrived || state == Closed || state == Certified) {
					rt.Fatalf("closing with the markers there %t: %v", arrived, err)
				}
			case "settle":
				_, err = o.desk.Settle(t.Context(), theDay, "a")
				if (err == nil) != (state == Closed || state == Certified) {
					rt.Fatalf("settling a day that is %s: %v", state, err)
				}
			case "certify":
				_, _, err = o.desk.Certify(t.Context(), theDay, certifier(t))
				if err == nil && state != Closed && state != Certified {
					rt.Fatalf("certified a day that is %s", state)
				}
			case "arrive":
				if !arrived {
					o.append(markers[n:])
				}
				arrived = true
			case "reopen":
				_ = o.desk.Close()
				if o.desk, err = OpenDesk(o.o); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if !arrived {
			o.append(markers[n:])
		}
		if err := o.life(); err != nil {
			rt.Fatal(err)
		}
		if got := o.withoutJournal(); !reflect.DeepEqual(got, whole) {
			rt.Fatal("the day has other files")
		}
		counted := map[string]int{}
		for _, kind := range o.events() {
			counted[kind]++
		}
		for kind, n := range counted {
			if n != 1 {
				rt.Fatalf("%s is noted %d times", kind, n)
			}
		}
	})
}

// TestCertificatesAreAChain: the certificates of several days follow each other, every record is
// in one of them, and none can be left out or put in another place.
func TestCertificatesAreAChain(t *testing.T) {
	o := newOffice(t, 150, 400)
	var days []*receipt.Day
	date := theDay
	for range 4 {
		o.close(date)
		o.settle(date)
		day, _, err := o.desk.Certify(t.Context(), date, certifier(t))
		if err != nil {
			t.Fatal(err)
		}
		days = append(days, day)
		o.append(o.chain.Batch(150))
		date = date.Next()
	}
	for i := range days {
		for k := range days {
			err := days[i].Follows(days[k])
			if (err == nil) != (i == k+1) {
				t.Errorf("certificate %d after %d: %v", i+1, k+1, err)
			}
		}
	}
	var certified, numbered uint64
	for _, day := range days {
		certified += day.Records()
	}
	for _, r := range o.memory.All() {
		if r.BusinessDate < date && r.Position.Seq > 0 && r.BusinessDate != 0 {
			numbered++
		}
	}
	if certified != numbered {
		t.Errorf("%d records certified, %d are there", certified, numbered)
	}
}

// TestProposalsSurviveARestart: adjustments and their decisions in any order, over restarts, are
// listed as they were made, and only approved ones are in the books.
func TestProposalsSurviveARestart(t *testing.T) {
	dear(t)
	rapid.Check(t, func(rt *rapid.T) {
		o := newOffice(t, 160, 40)
		defer func() { _ = o.desk.Close() }()
		o.close(theDay)
		states, amounts := map[uint64]string{}, map[uint64]int64{}
		for i := range rapid.IntRange(1, 6).Draw(rt, "proposals") {
			amount := rapid.Int64Range(1, 999).Draw(rt, "amount")
			a, err := o.desk.Propose(t.Context(), Adjustment{Date: theDay, Maker: "li.na", Text: fmt.Sprint("form ", i),
				Currency: txn.CNY, Postings: []txn.Posting{{Account: "suspense", Amount: -txn.Minor(amount)},
					{Account: "operator/M5", Amount: txn.Minor(amount)}}})
			if err != nil {
				rt.Fatal(err)
			}
			states[a.Seq], amounts[a.Seq] = "proposed", amount
			if rapid.Bool().Draw(rt, "restart") {
				_ = o.desk.Close()
				if o.desk, err = OpenDesk(o.o); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.Bool().Draw(rt, "decided") {
				approve := rapid.Bool().Draw(rt, "approved")
				if _, err := o.desk.Decide(a.Seq, "wang.wei", approve); err != nil {
					rt.Fatal(err)
				}
				states[a.Seq] = map[bool]string{true: "approved", false: "rejected"}[approve]
			}
		}
		var want int64
		for seq, state := range states {
			if state == "approved" {
				want += amounts[seq]
			}
		}
		for _, a := range Adjustments(o.desk.journal.Events()) {
			if a.State != states[a.Seq] {
				rt.Fatalf("adjustment %d is %s, want %s", a.Seq, a.State, states[a.Seq])
			}
		}
		run, err := o.desk.Settle(t.Context(), theDay, "a")
		if err != nil {
			rt.Fatal(err)
		}
		var s clearing.Statement
		text := []byte(tree(t, run.Dir)[pack.StatementName])
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&s); err != nil {
			rt.Fatal(err)
		}
		var booked int64
		for _, e := range s.Entries {
			for _, p := range e.Postings {
				if p.Account == "suspense" {
					booked -= int64(p.Amount)
				}
			}
		}
		if booked != want {
			rt.Fatalf("%d booked, %d approved", booked, want)
		}
	})
}

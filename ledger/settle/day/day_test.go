package day

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/person"
	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/fund"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/ledger/settle/terms"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const theDay = warehousetest.Day

// everyDay has no holidays.
type everyDay struct{}

// AddWorkingDays implements clearing.WorkDays.
func (everyDay) AddWorkingDays(d txn.BusinessDate, n int) (txn.BusinessDate, error) {
	for ; n > 0; n-- {
		d = d.Next()
	}
	return d, nil
}

func builtIn(t testing.TB) (*chart.Chart, *clearing.Terms) {
	t.Helper()
	of, err := terms.BuiltIn(terms.ChartFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := terms.Chart(of)
	if err != nil {
		t.Fatal(err)
	}
	if of, err = terms.BuiltIn(terms.TermsFile); err != nil {
		t.Fatal(err)
	}
	with, err := terms.Terms(of, c)
	if err != nil {
		t.Fatal(err)
	}
	return c, with
}

// banked gives the parties of the generated records bank accounts, so that no order is held.
func banked(terms *clearing.Terms) {
	for _, a := range []txn.Account{"operator/M1", "operator/M5", "operator/BUS-E", "merchant/1",
		"issuer/ICBC", "subsidy/education"} {
		terms.Parties = append(terms.Parties, clearing.Party{Name: string(a), Lag: -1,
			Accounts: []txn.Account{a},
			Bank:     clearing.BankAccount{Bank: "ICBC", Number: "62" + string(a), Name: string(a)}})
	}
}

// office is a desk on a warehouse in memory.
type office struct {
	t      *testing.T
	desk   *Desk
	o      Options
	memory *warehousetest.Memory
	chain  *warehousetest.Chain
}

func newOffice(t *testing.T, seed uint64, n int) *office {
	t.Helper()
	o := &office{t: t, memory: warehousetest.NewMemory(), chain: warehousetest.NewChain(seed)}
	o.append(o.chain.Batch(n))
	c, with := builtIn(t)
	banked(with)
	o.o = Options{Dir: filepath.Join(t.TempDir(), "finance"), Reader: o.memory, Chart: c, Terms: with,
		TermsHash: "test", Work: everyDay{},
		DateOf: func(at txn.Millis) txn.BusinessDate { return txn.DateOf(at.Time(), time.UTC, 0) },
		EndOf:  func(d txn.BusinessDate) time.Time { return d.Next().Time() },
		Now:    func() time.Time { return time.Unix(1_800_000_000, 0) }}
	o.open()
	return o
}

func (o *office) append(records []txn.Record) {
	o.t.Helper()
	if err := o.memory.Append(context.Background(), records); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) open() {
	o.t.Helper()
	var err error
	if o.desk, err = OpenDesk(o.o); err != nil {
		o.t.Fatal(err)
	}
	desk := o.desk
	o.t.Cleanup(func() { _ = desk.Close() })
}

func (o *office) reopen() {
	o.t.Helper()
	_ = o.desk.Close()
	o.open()
}

func (o *office) close(date txn.BusinessDate) {
	o.t.Helper()
	o.append(o.chain.CloseDay())
	if s, err := o.desk.CloseDay(o.t.Context(), date, "li.na"); err != nil || s.State != Closed {
		o.t.Fatalf("closing: %+v %v", s, err)
	}
}

func (o *office) settle(date txn.BusinessDate) *Run {
	o.t.Helper()
	run, err := o.desk.Settle(o.t.Context(), date, "li.na")
	if err != nil {
		o.t.Fatal(err)
	}
	return run
}

func certifier(t *testing.T) Certifier {
	t.Helper()
	signer, err := receipt.NewEd25519Signer("k", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := receipt.NewKeys(receipt.Key{ID: "k", Algorithm: receipt.Ed25519,
		Public: signer.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	return Certifier{Issuer: "city", Chain: "city", Actor: "wang.wei", Signer: signer, Keys: keys}
}

// tree reads every file of a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestLifeOfADay: open, closing, closed, settled, certified, and what each state refuses.
func TestLifeOfADay(t *testing.T) {
	o := newOffice(t, 1, 2000)
	ctx := t.Context()
	if _, err := o.desk.CloseDay(ctx, theDay, "a"); !errors.Is(err, ErrOpen) {
		t.Errorf("closing an open day: %v", err)
	}
	if _, err := o.desk.Settle(ctx, theDay, "a"); !errors.Is(err, ErrOpen) {
		t.Errorf("settling an open day: %v", err)
	}
	half := o.chain.CloseBuckets(txn.BucketCount / 2)
	o.append(half)
	s, err := o.desk.CloseDay(ctx, theDay, "a")
	if !errors.Is(err, ErrOpen) || s.State != Closing || s.Buckets != txn.BucketCount/2 {
		t.Errorf("half the buckets: %+v %v", s, err)
	}
	o.reopen()
	if got := stateOf(o.desk.journal.Events(), theDay); got != Closing {
		t.Errorf("closing is not durable: %s", got)
	}
	for b := txn.Bucket(txn.BucketCount / 2); b < txn.BucketCount; b++ {
		if o.chain.Last(b).Epoch == 0 {
			o.append([]txn.Record{o.chain.Epoch(b)})
		}
		o.append([]txn.Record{o.chain.CutOver(b)})
	}
	if _, err := o.desk.CloseDay(ctx, theDay, "a"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.desk.Certify(ctx, theDay, certifier(t)); !errors.Is(err, ErrState) {
		t.Errorf("certifying before settling: %v", err)
	}
	run := o.settle(theDay)
	if !run.Fresh || run.Manifest.Run != 1 || run.Manifest.Breaks != 0 || run.Manifest.Approved == 0 {
		t.Errorf("run %+v", run.Manifest)
	}
	day, path, err := o.desk.Certify(ctx, theDay, certifier(t))
	if err != nil {
		t.Fatal(err)
	}
	if !day.Complete() || day.Number != 1 || filepath.Base(path) != theDay.String()+".json" {
		t.Errorf("certificate %+v in %s", day.Counts, path)
	}
	f, err := os.Open(filepath.Join(run.Dir, certificate.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := certificate.Verify(f, day); err != nil {
		t.Error(err)
	}
	before := tree(t, o.o.Dir)
	again, _, err := o.desk.Certify(ctx, theDay, certifier(t))
	if err != nil || !reflect.DeepEqual(again.Buckets, day.Buckets) || !reflect.DeepEqual(before,
		tree(t, o.o.Dir)) {
		t.Errorf("a second certificate: %v", err)
	}
	st, err := StatusOf(ctx, &o.o, o.desk.journal.Events(), theDay)
	if err != nil || st.State != Certified || st.Run != 1 || st.Certificate != 1 {
		t.Errorf("status %+v %v", st, err)
	}
}

// TestSecondRunIsTheFirst: the same bytes, also after a restart and from another directory.
func TestSecondRunIsTheFirst(t *testing.T) {
	o := newOffice(t, 2, 1500)
	o.close(theDay)
	first := o.settle(theDay)
	before := tree(t, first.Dir)
	o.reopen()
	second := o.settle(theDay)
	if second.Fresh || second.Dir != first.Dir || !reflect.DeepEqual(before, tree(t, first.Dir)) {
		t.Errorf("second run %+v", second)
	}
	other := newOffice(t, 2, 1500)
	other.close(theDay)
	if got := tree(t, other.settle(theDay).Dir); !reflect.DeepEqual(got, before) {
		for name, text := range before {
			if got[name] != text {
				t.Errorf("%s differs between two offices", name)
			}
		}
	}
	if len(before) < 18 {
		t.Errorf("%d files in a pack", len(before))
	}
}

// TestCorrection: an approved adjustment makes a correction run that orders the difference only,
// and the first run stays as it was.
func TestCorrection(t *testing.T) {
	o := newOffice(t, 3, 1500)
	o.close(theDay)
	first := o.settle(theDay)
	before := tree(t, first.Dir)
	a, err := o.desk.Propose(t.Context(), Adjustment{Date: theDay, Maker: "li.na", Text: "form 12", Currency: txn.CNY,
		Postings: []txn.Posting{{Account: "suspense", Amount: -120}, {Account: "operator/M5", Amount: 120}}})
	if err != nil {
		t.Fatal(err)
	}
	if run := o.settle(theDay); run.Fresh {
		t.Error("a proposal alone changed the settlement")
	}
	if _, err := o.desk.Decide(a.Seq, "li.na", true); !errors.Is(err, ErrSamePerson) {
		t.Errorf("the maker approves: %v", err)
	}
	if _, err := o.desk.Decide(a.Seq, "wang.wei", true); err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Decide(a.Seq, "wang.wei", true); !errors.Is(err, ErrUnknown) {
		t.Errorf("approved twice: %v", err)
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); !errors.Is(err, ErrState) {
		t.Errorf("certified without the adjustment: %v", err)
	}
	second := o.settle(theDay)
	if !second.Fresh || second.Manifest.Run != 2 || second.Manifest.Corrects != 1 {
		t.Fatalf("correction %+v", second.Manifest)
	}
	var s clearing.Statement
	if err := readJSON(filepath.Join(second.Dir, "settlement.json"), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Orders) != 1 || s.Orders[0].Amount != 120 || s.Orders[0].Party != "operator/M5" ||
		s.Orders[0].Direction != clearing.Pay {
		t.Errorf("orders %+v", s.Orders)
	}
	if !reflect.DeepEqual(before, tree(t, first.Dir)) {
		t.Error("the first run was changed")
	}
	if run := o.settle(theDay); run.Fresh || run.Manifest.Run != 2 {
		t.Errorf("third run %+v", run.Manifest)
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Propose(t.Context(), a); !errors.Is(err, ErrState) {
		t.Errorf("an adjustment of a certified day: %v", err)
	}
}

// TestAdjustmentsRefused: what does not sum to zero, has no account, or no maker.
func TestAdjustmentsRefused(t *testing.T) {
	o := newOffice(t, 4, 10)
	good := Adjustment{Date: theDay, Maker: "a", Text: "t", Currency: txn.CNY, Postings: []txn.Posting{
		{Account: "suspense", Amount: -1}, {Account: "purse", Amount: 1}}}
	for name, tt := range map[string]struct {
		alter func(*Adjustment)
		want  error
	}{
		"sum":     {func(a *Adjustment) { a.Postings[0].Amount = -2 }, chart.ErrUnbalanced},
		"account": {func(a *Adjustment) { a.Postings[0].Account = "nobody" }, chart.ErrAccount},
		"maker":   {func(a *Adjustment) { a.Maker = "" }, person.ErrName},
		"blank":   {func(a *Adjustment) { a.Maker = " \u3000" }, person.ErrName},
		"text":    {func(a *Adjustment) { a.Text = "" }, ErrAdjustment},
		"to come": {func(a *Adjustment) { a.Date = 20280301 }, ErrAdjustment},
		"no work": {func(a *Adjustment) { a.Date = 20260219 }, ErrAdjustment},
		"one":     {func(a *Adjustment) { a.Postings = a.Postings[:0] }, chart.ErrUnbalanced},
	} {
		a := good
		a.Postings = append([]txn.Posting(nil), good.Postings...)
		tt.alter(&a)
		if _, err := o.desk.Propose(t.Context(), a); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, err := o.desk.Propose(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "A", " a ", "ａ"} {
		if _, err := o.desk.Decide(a.Seq, name, true); !errors.Is(err, ErrSamePerson) {
			t.Errorf("the maker approves as %q: %v", name, err)
		}
	}
	if _, err := o.desk.Decide(a.Seq, " ", true); !errors.Is(err, person.ErrName) {
		t.Errorf("nobody approves: %v", err)
	}
	if _, err := o.desk.CloseDay(t.Context(), 20260219, "li.na"); !errors.Is(err, ErrState) {
		t.Errorf("a day without work closes: %v", err)
	}
	if r, err := o.desk.Decide(a.Seq, "b", false); err != nil || r.State != "rejected" {
		t.Errorf("rejected: %+v %v", r, err)
	}
	if got := adjustmentsOf(o.desk.journal.Events(), theDay); len(got) != 0 {
		t.Errorf("a rejected adjustment counts: %v", got)
	}
	if list := Adjustments(o.desk.journal.Events()); len(list) != 1 || list[0].Checker != "b" {
		t.Errorf("list %+v", list)
	}
}

// TestTwoDays: the second day opens where the first closed, its certificate follows, and a day
// is not certified before the ones that come earlier.
func TestTwoDays(t *testing.T) {
	o := newOffice(t, 5, 1500)
	o.close(theDay)
	o.append(o.chain.Batch(1500))
	next := theDay.Next()
	o.close(next)
	first := o.settle(theDay)
	second := o.settle(next)
	var one, two []chart.Balance
	if err := errors.Join(readJSON(filepath.Join(first.Dir, "trial_balance.json"), &one),
		readJSON(filepath.Join(second.Dir, "trial_balance.json"), &two)); err != nil {
		t.Fatal(err)
	}
	opening := map[txn.Account]int64{}
	for _, l := range two {
		opening[l.Account] = l.Opening
	}
	for _, l := range one {
		if opening[l.Account] != l.Closing {
			t.Errorf("%s closed at %d and opens at %d", l.Account, l.Closing, opening[l.Account])
		}
	}
	day1, _, err := o.desk.Certify(t.Context(), theDay, certifier(t))
	if err != nil {
		t.Fatal(err)
	}
	day2, _, err := o.desk.Certify(t.Context(), next, certifier(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := day2.Follows(day1); err != nil {
		t.Error(err)
	}
	trial, err := Trial(o.o.Dir, o.desk.journal.Events(), next)
	if err != nil || !reflect.DeepEqual(trial, two) {
		t.Errorf("trial balance: %v", err)
	}
}

// TestOutOfOrder: an earlier day is not certified after a later one.
func TestOutOfOrder(t *testing.T) {
	o := newOffice(t, 6, 500)
	o.close(theDay)
	o.append(o.chain.Batch(500))
	o.close(theDay.Next())
	o.settle(theDay)
	o.settle(theDay.Next())
	if _, _, err := o.desk.Certify(t.Context(), theDay.Next(), certifier(t)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); !errors.Is(err, ErrState) {
		t.Errorf("an earlier day: %v", err)
	}
}

// TestBreaks: a record whose postings disagree with its kind is named, the orders are held, and
// the day is not certified.
func TestBreaks(t *testing.T) {
	o := newOffice(t, 7, 500)
	bad := o.chain.Next(3)
	for len(bad.Postings) == 0 || bad.Kind == txn.Load {
		o.append([]txn.Record{bad})
		bad = o.chain.Next(3)
	}
	bad.Postings = []txn.Posting{{Account: "purse", Amount: -bad.Charged - 1},
		{Account: bad.Postings[1].Account, Amount: bad.Charged + 1}}
	o.append([]txn.Record{bad})
	o.close(theDay)
	run := o.settle(theDay)
	text := tree(t, run.Dir)
	if run.Manifest.Breaks != 1 || !strings.Contains(text["breaks.csv"], bad.Position.String()) {
		t.Errorf("%d breaks: %s", run.Manifest.Breaks, text["breaks.csv"])
	}
	if !strings.Contains(text["orders.csv"], "the day has breaks") {
		t.Error("orders of a day with breaks are not held")
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); !errors.Is(err, ErrBreaks) {
		t.Errorf("certified: %v", err)
	}
}

// TestCountsMustAgree: a stream that counted otherwise keeps the day from being certified.
func TestCountsMustAgree(t *testing.T) {
	o := newOffice(t, 8, 500)
	o.close(theDay)
	o.settle(theDay)
	by := certifier(t)
	by.Stream = func(context.Context, txn.BusinessDate) (uint64, error) { return 1, nil }
	if _, _, err := o.desk.Certify(t.Context(), theDay, by); !errors.Is(err, ErrBreaks) {
		t.Errorf("certified: %v", err)
	}
	if got := stateOf(o.desk.journal.Events(), theDay); got != Closed {
		t.Errorf("the day is %s", got)
	}
}

// crash ends the work of a test at a point, as a killed process ends there.
type crash struct{ point string }

// TestKilledAnywhere ends a run and a certificate at each point that they pass, opens the desk
// again and goes on: whole runs or none, and always the same bytes in the end.
func TestKilledAnywhere(t *testing.T) {
	want := newOffice(t, 9, 800)
	want.close(theDay)
	run := want.settle(theDay)
	whole := tree(t, run.Dir)
	if _, _, err := want.desk.Certify(t.Context(), theDay, certifier(t)); err != nil {
		t.Fatal(err)
	}
	points := []string{"finance_file", "finance_written", "finance_renamed", "finance_noted",
		"finance_signed", "finance_certificate"}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			o := newOffice(t, 9, 800)
			o.close(theDay)
			o.killedAt(t, point)
			if dir, n := LastRun(o.o.Dir, o.desk.journal.Events(), theDay); n > 0 {
				if _, err := ReadRun(dir); err != nil {
					t.Errorf("half a run: %v", err)
				}
			}
			left, err := filepath.Glob(filepath.Join(o.o.Dir, "runs", "*", unfinished+"*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
			again := o.settle(theDay)
			if again.Manifest.Run != 1 || !reflect.DeepEqual(tree(t, again.Dir), whole) {
				t.Errorf("run %d after %s", again.Manifest.Run, point)
			}
			if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// killedAt runs the day until the point and leaves the desk as a kill does.
func (o *office) killedAt(t *testing.T, point string) {
	t.Helper()
	defer func() {
		if c, ok := recover().(crash); !ok || c.point != point {
			t.Errorf("the point %s was not passed: %v", point, c)
		}
		o.desk.Passed = func(string) {}
		o.reopen()
	}()
	o.desk.Passed = func(passed string) {
		if passed == point {
			panic(crash{point})
		}
	}
	o.settle(theDay)
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsTold: a file of a run that was changed is no run any more.
func TestDamageIsTold(t *testing.T) {
	o := newOffice(t, 10, 300)
	o.close(theDay)
	run := o.settle(theDay)
	if err := os.WriteFile(filepath.Join(run.Dir, "net.csv"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRun(run.Dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("ReadRun: %v", err)
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); !errors.Is(err, ErrDamaged) {
		t.Errorf("Certify: %v", err)
	}
	if err := os.RemoveAll(run.Dir); err != nil {
		t.Fatal(err)
	}
	_ = o.desk.Close()
	if _, err := OpenDesk(o.o); !errors.Is(err, ErrDamaged) {
		t.Errorf("a run that is gone: %v", err)
	}
}

// TestLateTaps: what was served before the business date is shown apart, and settled with it.
func TestLateTaps(t *testing.T) {
	o := newOffice(t, 11, 300)
	late := o.chain.Next(5)
	for late.Kind != txn.MetroExit {
		o.append([]txn.Record{late})
		late = o.chain.Next(5)
	}
	late.ServiceAt = txn.MillisOf(theDay.Time()) - 3_600_000
	o.append([]txn.Record{late})
	o.close(theDay)
	var s clearing.Statement
	if err := readJSON(filepath.Join(o.settle(theDay).Dir, "settlement.json"), &s); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, l := range s.Late {
		found = found || l.ServiceDate == "2026-02-28" && string(l.Account) == "operator/"+
			late.Place.Operator && l.Amount >= int64(late.Charged)
	}
	if !found {
		t.Errorf("late lines %+v", s.Late)
	}
}

// TestReversedRides: what others give to a ride is taken back with the ride, on its own day and when
// it is reversed on the next. A reversal of a ride that no record tells of takes its money alone.
func TestReversedRides(t *testing.T) {
	o := newOffice(t, 12, 300)
	o.o.Terms.Concessions = []clearing.Concession{{Cause: "school", Funder: "subsidy/test", BPS: 10_000}}
	o.reopen()
	record := func(kind txn.Kind, of *txn.Record) txn.Record {
		next := o.chain.Next(5)
		r := txn.Record{Position: next.Position, BusinessDate: next.BusinessDate, Request: next.Request,
			Card: next.Card, Kind: kind, Outcome: txn.Approved, Currency: txn.CNY, Application: txn.AppTransit,
			ServiceAt: next.ServiceAt, ReceivedAt: next.ReceivedAt, Rider: txn.RiderStudent, FullFare: 400, Charged: 100,
			Discounts: []txn.Discount{{Cause: "school", Amount: 300}}}
		if of != nil {
			r.Original, r.FullFare, r.Charged = of.Request, -400, -100
			r.Discounts = []txn.Discount{{Cause: "reversal", Amount: -300}}
		}
		r.Postings = []txn.Posting{{Account: "purse", Amount: -r.Charged}, {Account: "operator/TEST", Amount: r.Charged}}
		o.append([]txn.Record{r})
		return r
	}
	given := func(date txn.BusinessDate) map[string]int64 {
		o.close(date)
		var s clearing.Statement
		if err := readJSON(filepath.Join(o.settle(date).Dir, "settlement.json"), &s); err != nil {
			t.Fatal(err)
		}
		net := map[string]int64{}
		for _, l := range s.Net {
			net[l.Party] += l.Net
		}
		return net
	}
	rides := []txn.Record{record(txn.MetroExit, nil), record(txn.MetroExit, nil), record(txn.BusBoarding, nil)}
	record(txn.Reversal, &rides[0])
	// The clearing fee of 30 bps on 200 fen is one fen.
	if got := given(theDay); got["operator/TEST"] != 2*400-1 || got["subsidy/test"] != -2*300 {
		t.Errorf("three rides, one reversed: %v", got)
	}
	record(txn.Reversal, &rides[1])
	record(txn.Reversal, &txn.Record{Request: txn.RequestID{Terminal: rides[0].Request.Terminal, Boot: 9, Counter: 9}})
	if got := given(theDay.Next()); got["operator/TEST"] != -400-100+1 || got["subsidy/test"] != 300 {
		t.Errorf("one reversed on the next day, one of nothing: %v", got)
	}
}

// TestBalancesAtAnyMoment compares balances at instants and positions with a count by hand.
func TestBalancesAtAnyMoment(t *testing.T) {
	o := newOffice(t, 12, 600)
	all := o.memory.All()
	for _, i := range []int{0, 100, len(all) / 2, len(all) - 1} {
		at := all[i]
		for name, m := range map[string]Moment{"instant": {At: at.ReceivedAt},
			"position": {Position: at.Position}} {
			got, err := o.books().BalancesAt(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			var purse int64
			for _, r := range all {
				if r.ReceivedAt > at.ReceivedAt {
					continue
				}
				for _, p := range r.Postings {
					if p.Account == "purse" {
						purse += int64(p.Amount)
					}
				}
			}
			var have int64
			for _, l := range got {
				if l.Account == "purse" {
					have = l.Closing
				}
			}
			if have != purse {
				t.Errorf("%s of record %d: purse %d, want %d", name, i, have, purse)
			}
		}
	}
	unknown := Moment{Position: txn.Position{Bucket: 1, Epoch: 99, Seq: 1}}
	if _, err := o.books().BalancesAt(t.Context(), unknown); !errors.Is(err, ErrUnknown) {
		t.Errorf("a record that is not there: %v", err)
	}
}

// statement writes the bank's statement as CSV.
func statement(date string, opening, closing int64, entries ...string) []byte {
	var b bytes.Buffer
	line := func(kind, ref string, amount int64) {
		fmt.Fprintf(&b, "6217,%s,CNY,%s,%s,%d.%02d,\n", date, kind, ref, amount/100, amount%100)
	}
	fmt.Fprintln(&b, "account,date,currency,type,ref,amount,info")
	line("opening", "", opening)
	for _, e := range entries {
		var ref string
		var amount int64
		_, _ = fmt.Sscanf(e, "%s %d", &ref, &amount)
		line("entry", ref, amount)
	}
	line("closing", "", closing)
	return b.Bytes()
}

// TestDuty_SY11_PurseLiabilityEqualsTheMoneyAtTheBank: the daily proof (SY11, ZZ12): what cards are
// owed is at the bank or on its way; a difference of one fen, a statement that is missing and one
// that does not follow are told.
func TestDuty_SY11_PurseLiabilityEqualsTheMoneyAtTheBank(t *testing.T) {
	o := newOffice(t, 13, 800)
	o.close(theDay)
	prove := func() ([]fund.Proof, error) {
		o.settle(theDay)
		return Prove(o.o.Dir, o.desk.journal.Events(), o.o.Chart, theDay)
	}
	if _, err := prove(); !errors.Is(err, fund.ErrShort) {
		t.Errorf("without a statement: %v", err)
	}
	text := statement("2026-03-01", 0, 5000, "cash/AGENT1 4000", "nobody 1000")
	s, err := o.desk.Bank(text, "li.na")
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := Prove(o.o.Dir, o.desk.journal.Events(), o.o.Chart, theDay)
	if !errors.Is(err, fund.ErrShort) || len(proofs) != 1 || proofs[0].Proven || proofs[0].Unsettled != 2 {
		t.Errorf("a statement that is in no run: %+v %v", proofs, err)
	}
	proofs, err = prove()
	if err != nil || len(proofs) != 1 || !proofs[0].Proven || proofs[0].Held != 5000 ||
		proofs[0].Purse != proofs[0].Held+proofs[0].DueIn-proofs[0].Owed-proofs[0].Suspense.Balance ||
		proofs[0].Purse == 0 || proofs[0].Suspense.In != 1000 || proofs[0].Suspense.Named[0].Ref != "nobody" {
		t.Errorf("%s: %+v %v", s.Account, proofs, err)
	}
	n := len(o.desk.journal.Events())
	if _, err := o.desk.Bank(text, "li.na"); err != nil || len(o.desk.journal.Events()) != n {
		t.Errorf("the same statement again: %v", err)
	}
	if _, err := o.desk.Bank(statement("2026-03-01", 0, 1, "x 1"), "a"); !errors.Is(err, ErrState) {
		t.Errorf("another statement of the day: %v", err)
	}
	if _, err := o.desk.Bank(statement("2026-03-02", 4999, 4999), "a"); !errors.Is(err, ErrBreaks) {
		t.Errorf("an opening that does not follow: %v", err)
	}
	// A person says whose it is, the day is settled again, and nothing lies in suspense.
	a, err := o.desk.Propose(t.Context(), Adjustment{Date: theDay, Maker: "li.na", Text: "form 3",
		Currency: txn.CNY, Postings: []txn.Posting{{Account: "suspense", Amount: -1000},
			{Account: "operator/M5", Amount: 1000}}})
	if err == nil {
		_, err = o.desk.Decide(a.Seq, "wang.wei", true)
	}
	if err != nil {
		t.Fatal(err)
	}
	if proofs, err := Prove(o.o.Dir, o.desk.journal.Events(), o.o.Chart, theDay); err == nil ||
		proofs[0].Unsettled != 1 {
		t.Errorf("an adjustment that is in no run: %+v %v", proofs, err)
	}
	if proofs, err = prove(); err != nil || proofs[0].Suspense.In != 0 || len(proofs[0].Suspense.Named) != 0 {
		t.Errorf("placed: %+v %v", proofs, err)
	}
	// One fen is gone: the books say 5000, the bank 4999.
	var trial []chart.Balance
	dir, _ := LastRun(o.o.Dir, o.desk.journal.Events(), theDay)
	if err := readJSON(filepath.Join(dir, "trial_balance.json"), &trial); err != nil {
		t.Fatal(err)
	}
	short := *s
	short.Closing--
	proofs, err = fund.Prove(theDay, o.o.Chart, trial, fund.Booked{Statements: []fund.Statement{short}})
	if !errors.Is(err, fund.ErrShort) || proofs[0].Difference != -1 {
		t.Errorf("one fen gone: %+v %v", proofs, err)
	}
}

// TestTwoDesks: one writes, others wait their turn; status is read beside it.
func TestTwoDesks(t *testing.T) {
	o := newOffice(t, 14, 100)
	if _, err := OpenDesk(o.o); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second desk: %v", err)
	}
	if _, err := journal.Read(o.o.Dir); err != nil {
		t.Error(err)
	}
}

var _ warehouse.Reader = (*warehousetest.Memory)(nil)

// ordersOf are the orders of a run, those that carry others apart. The control totals must add up
// with them.
func ordersOf(t *testing.T, run *Run) (of, carries []clearing.Order) {
	t.Helper()
	var s clearing.Statement
	if err := readJSON(filepath.Join(run.Dir, pack.StatementName), &s); err != nil {
		t.Fatal(err)
	}
	var amount int64
	for _, order := range s.Orders {
		if order.Carries != "" {
			carries = append(carries, order)
			amount += order.Amount
		} else {
			of = append(of, order)
		}
	}
	// The control totals add up with them.
	if c := run.Manifest.Control[0]; c.Short() != 0 || c.Carried != int64(len(carries)) ||
		c.Orders != int64(len(s.Orders)) || c.CarriedPay+c.CarriedCollect != amount {
		t.Errorf("control totals %+v of %d orders, %d carried", c, len(s.Orders), len(carries))
	}
	return of, carries
}

// TestHeldOrdersAreCarried: what a certified day held is ordered by the next day that is settled, held
// again while the account is missing, and sent once, by one day, when it is known.
func TestHeldOrdersAreCarried(t *testing.T) {
	o := newOffice(t, 5, 600)
	known := o.o.Terms.Parties
	o.o.Terms.Parties = nil
	orders := func(run *Run) (of, carries []clearing.Order) {
		t.Helper()
		return ordersOf(t, run)
	}
	day2, day3, day4 := theDay.Next(), theDay.Next().Next(), theDay.Next().Next().Next()
	for i, date := range []txn.BusinessDate{theDay, day2, day3, day4} {
		if i > 0 {
			o.append(o.chain.Batch(300))
		}
		o.close(date)
	}
	first, none := orders(o.settle(theDay))
	if len(first) == 0 || len(none) != 0 || first[0].Held == "" {
		t.Fatalf("%+v %+v", first, none)
	}
	if _, carries := orders(o.settle(day2)); len(carries) != 0 {
		t.Errorf("%d orders of a day that may be settled again are carried", len(carries))
	}
	certify := func(date txn.BusinessDate) {
		t.Helper()
		if _, _, err := o.desk.Certify(t.Context(), date, certifier(t)); err != nil {
			t.Fatal(err)
		}
	}
	certify(theDay)
	if run := o.settle(day2); run.Fresh {
		t.Error("the day was settled before and differs")
	}
	second, _ := orders(o.settle(day2))
	third, carries := orders(o.settle(day3)) // carries the first day's, held again
	if len(carries) != len(first) || carries[0].Carries != first[0].Number || carries[0].Held == "" ||
		carries[0].Amount != first[0].Amount || carries[0].Party != first[0].Party {
		t.Fatalf("%+v, want %+v", carries, first)
	}
	certify(day2)
	certify(day3)
	o.o.Terms.Parties = known
	o.reopen()
	own := slices.Concat(third, carries)
	_, carries = orders(o.settle(day4))
	want := map[string]bool{} // the second day's, the third's, and the first's by way of the third
	for _, order := range second {
		want[order.Number] = true
	}
	for _, order := range own {
		want[order.Number] = true
	}
	for _, order := range carries {
		if order.Held != "" || order.Bank.Number == "" || !want[order.Carries] {
			t.Errorf("%+v", order)
		}
		delete(want, order.Carries)
	}
	if len(want) != 0 {
		t.Errorf("lost: %v", want)
	}
	if run := o.settle(day4); run.Fresh {
		t.Error("settled twice")
	}
	// A correction of the day orders the difference alone: what it carried was sent.
	a, err := o.desk.Propose(t.Context(), Adjustment{Date: day4, Maker: "li.na", Text: "form 4",
		Currency: txn.CNY, Postings: []txn.Posting{{Account: "suspense", Amount: -7}, {Account: "operator/M5", Amount: 7}}})
	if err == nil {
		_, err = o.desk.Decide(a.Seq, "wang.wei", true)
	}
	if err != nil {
		t.Fatal(err)
	}
	correction := o.settle(day4)
	if of, carries := orders(correction); len(carries) != 0 || len(of) != 1 {
		t.Errorf("a correction orders %d and carries %d", len(of), len(carries))
	}
	if c := correction.Manifest.Control[0]; c.OrderedBefore == 0 || c.Net-c.OrderedBefore != c.OrderedPay-c.Collected {
		t.Errorf("control totals of a correction: %+v", c)
	}
}

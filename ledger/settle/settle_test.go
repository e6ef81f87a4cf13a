package settle

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func totals(t *testing.T, close bool) warehouse.Totals {
	t.Helper()
	chain := warehousetest.NewChain(1)
	records := chain.Batch(1000)
	if close {
		records = append(records, chain.CloseDay()...)
	}
	got, err := warehousetest.Expected(records, warehousetest.Day)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func report(t *testing.T, of warehouse.Totals) Report {
	t.Helper()
	r, err := NewReport(of)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGolden(t *testing.T) {
	bad := totals(t, false)
	bad.Unbalanced, bad.Repeated, bad.RepeatedIDs, bad.DeadLetters = 2, 1,
		[]string{"GATE001-7-9"}, 3
	bad.Accounts[0].Amount += 5
	for name, of := range map[string]warehouse.Totals{
		"day": totals(t, true), "bad": bad, "empty": {Date: warehousetest.Day}} {
		for _, format := range []string{"table", "json", "csv"} {
			var b bytes.Buffer
			if err := Write(&b, format, report(t, of)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+"."+format)
			if *rewrite {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s changed:\n%s\nwant\n%s", path, b.Bytes(), want)
			}
		}
	}
}

// TestOrderDoesNotMatter: the same figures gathered in another order give the same bytes.
func TestOrderDoesNotMatter(t *testing.T) {
	a, b := totals(t, true), totals(t, true)
	slices.Reverse(b.Kinds)
	slices.Reverse(b.Accounts)
	slices.Reverse(b.Buckets)
	slices.Reverse(b.Discounts)
	slices.Reverse(b.Declines)
	slices.Reverse(b.Operators)
	for _, format := range []string{"table", "json", "csv"} {
		var x, y bytes.Buffer
		if err := errors.Join(Write(&x, format, report(t, a)), Write(&y, format, report(t,
			b))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x.Bytes(), y.Bytes()) {
			t.Errorf("%s depends on the order", format)
		}
	}
}

// TestSettlement: what operators get is the sum of the postings to their accounts, which is
// what was charged for their approved rides.
func TestSettlement(t *testing.T) {
	r := report(t, totals(t, true))
	if !r.Complete || !r.Clean || r.Closed() != txn.BucketCount || len(r.Settlement) == 0 {
		t.Fatalf("report: complete %v, clean %v, %d parties", r.Complete, r.Clean,
			len(r.Settlement))
	}
	for _, party := range r.Settlement {
		var charged int64
		for _, a := range r.Accounts {
			if a.Account == OperatorAccount+party.Party {
				charged += a.Amount
			}
		}
		if party.Amount != charged || party.Amount <= 0 {
			t.Errorf("%s is owed %d, its account says %d", party.Party, party.Amount, charged)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	var b bytes.Buffer
	want := report(t, totals(t, true))
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v, %v", got, err)
	}
	if bytes.Contains(b.Bytes(), []byte("null")) || bytes.Contains(b.Bytes(), []byte("e+")) {
		t.Error("the report has null lists or floats")
	}
}

// TestCSVAddsUp adds the lines of the file up again, as a clerk would.
func TestCSVAddsUp(t *testing.T) {
	var b bytes.Buffer
	r := report(t, totals(t, true))
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows, accounts int64
	for _, l := range lines[1:] {
		n, _ := strconv.ParseInt(l[6], 10, 64)
		amount, _ := strconv.ParseInt(l[9], 10, 64)
		switch l[1] {
		case "kind":
			rows += n
		case "account":
			accounts += amount
		}
	}
	if rows != r.Rows || accounts != 0 {
		t.Errorf("kinds add up to %d of %d, accounts to %d", rows, r.Rows, accounts)
	}
}

func TestMoney(t *testing.T) {
	for _, tt := range []struct {
		amount   int64
		currency uint16
		want     string
	}{
		{0, 156, "0.00"}, {5, 156, "0.05"}, {-5, 156, "-0.05"}, {100, 156, "1.00"}, {-12345, 344,
			"-123.45"},
		{12345, 392, "12345"}, {7, 0, "7"}, {math.MinInt64, 156, "-92233720368547758.08"},
		{math.MaxInt64, 840, "92233720368547758.07"},
	} {
		if got := money(tt.amount, tt.currency); got != tt.want {
			t.Errorf("money(%d, %d) = %s, want %s", tt.amount, tt.currency, got, tt.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	if err := Write(&bytes.Buffer{}, "pdf", Report{}); !errors.Is(err, ErrFormat) {
		t.Errorf("Write pdf: %v", err)
	}
	huge := warehouse.Totals{Accounts: []warehouse.AccountLine{{Amount: math.MaxInt64},
		{Amount: 1}}}
	if _, err := NewReport(huge); !errors.Is(err, warehouse.ErrOverflow) {
		t.Errorf("NewReport of too much: %v", err)
	}
	for _, format := range []string{"table", "json", "csv"} {
		if err := Write(full{}, format, report(t, totals(t, true))); !errors.Is(err, errFull) {
			t.Errorf("%s to a full disk: %v", format, err)
		}
	}
}

var errFull = errors.New("disk full")

type full struct{}

// Write implements io.Writer.
func (full) Write([]byte) (int, error) { return 0, errFull }

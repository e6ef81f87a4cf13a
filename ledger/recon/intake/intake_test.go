package intake_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/intake"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const day = txn.BusinessDate(20261120)

func record(t *testing.T, seq int, kind txn.Kind, charged txn.Minor) txn.Record {
	t.Helper()
	terminal, err := txn.ParseTerminalID("T0000001A1")
	if err != nil {
		t.Fatal(err)
	}
	card, err := pan.ParseToken(strings.Repeat("ab", len(pan.Token{})))
	if err != nil {
		t.Fatal(err)
	}
	r := txn.Record{Version: txn.RecordVersion, Position: txn.Position{Epoch: 1, Seq: txn.Seq(seq)},
		BusinessDate: day, Kind: kind, Outcome: txn.Approved, Charged: charged, Currency: txn.CNY,
		Request: txn.RequestID{Terminal: terminal, Boot: 7, Counter: uint32(seq)}, Card: card,
		Application: txn.AppBank, STAN: uint32(seq), RRN: fmt.Sprintf("%012d", seq),
		ServiceAt: 1795140000000, ReceivedAt: 1795140000300,
		Place: txn.Place{Merchant: "M1", Operator: "OP", Line: "1", Acquirer: "ACQ"}, Issuer: "BANK"}
	copy(r.Last4[:], "1234")
	return r
}

// The records of a day in the local warehouse come out as rows, each once and in order.
func TestLedger(t *testing.T) {
	purchase := record(t, 1, txn.BankPurchase, 500)
	declined := record(t, 2, txn.BankPurchase, 600)
	declined.Outcome, declined.Reason = txn.Declined, txn.InsufficientFunds
	undo := record(t, 3, txn.BankReversal, -500)
	undo.Original = purchase.Request
	held := record(t, 4, txn.BankPreAuth, 0)
	late := record(t, 5, txn.BankPurchase, 700)
	late.Offline, late.Liability = true, txn.LiabilityOpen
	copy(late.Settled[:], "1121")
	load := record(t, 6, txn.BankLoad, -800)
	free := record(t, 7, txn.MetroExit, 0) // a senior's ride: the concession pays all of it
	free.FullFare = 400

	w, err := local.Open(local.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	marker := txn.Record{Version: txn.RecordVersion, Kind: txn.EpochMarker, Outcome: txn.Approved,
		Position: txn.Position{Epoch: 1}}
	all := []txn.Record{marker, purchase, declined, undo, held, late, load, free}
	if err := w.Append(context.Background(), all); err != nil {
		t.Fatal(err)
	}
	l := &intake.Ledger{Reader: w, From: day, To: day, Suffix: "A1"}
	var rows []recon.Row
	if err := l.Rows(context.Background(), func(r *recon.Row) error {
		rows = append(rows, *r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	amounts := []int64{}
	for _, r := range rows {
		amounts = append(amounts, r.Amount)
	}
	if !slices.Equal(amounts, []int64{500, -500, 700, 800, 0}) {
		t.Fatalf("%v", amounts)
	}
	if a, b := rows[0], rows[1]; a.Text[recon.Chain] != b.Text[recon.Chain] || a.Text[recon.Chain] == "" ||
		a.Text[recon.Terminal] != "T0000001" || a.Text[recon.Batch] != "000007" ||
		a.Text[recon.STAN] != "000001" || a.Text[recon.Last4] != "1234" || a.Date != day {
		t.Errorf("%+v\n%+v", a, b)
	}
	if r := rows[2]; r.Marks != recon.Offline|recon.Exposed || r.Date != day.Next() {
		t.Errorf("%+v", r)
	}
	full := errors.New("disk full")
	if err := l.Rows(context.Background(), func(*recon.Row) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := l.Rows(ctx, func(*recon.Row) error { return nil }); err == nil {
		t.Error("read on after the end")
	}
}

// The bank's date has no year; it is the one that brings it nearest.
func TestSettlementDateAtTheTurnOfTheYear(t *testing.T) {
	for _, c := range []struct {
		ours txn.BusinessDate
		said string
		want txn.BusinessDate
	}{{20261231, "0101", 20270101}, {20270101, "1231", 20261231}, {20261120, "1119", 20261119},
		{20261120, "", 20261120}, {20261120, "9999", 20261120}, {20270228, "0229", 20270228}} {
		r := record(t, 1, txn.BankPurchase, 1)
		r.BusinessDate = c.ours
		copy(r.Settled[:], c.said)
		var row recon.Row
		if !intake.RowOf(&r, &row) || row.Date != c.want {
			t.Errorf("%v said %q: %v, want %v", c.ours, c.said, row.Date, c.want)
		}
	}
}

func TestBatches(t *testing.T) {
	claims, err := intake.Batches(strings.NewReader(`[
		{"terminal":"T0000001A1","batch":7,"terminal_totals":{"debit_amount":500,"debit_count":2,
		"credit_amount":50,"credit_count":1},"ledger_totals":{"debit_amount":1}},
		{"terminal":"bank@gd","batch":1,"terminal_totals":{}}]`), "A1")
	if err != nil || len(claims) != 1 || claims[0] != (recon.Claim{Terminal: "T0000001", Batch: "000007",
		Tally: recon.Tally{Debits: 2, Debit: 500, Credits: 1, Credit: 50}}) {
		t.Errorf("%+v %v", claims, err)
	}
	claims, err = intake.Batches(strings.NewReader(`[{"terminal":"T1","batch":7,"settled_at":5,
		"terminal_totals":{"debit_amount":500,"debit_count":2},
		"ledger_totals":{"debit_amount":300,"debit_count":1,"credit_amount":40,"credit_count":3}}]`), "")
	want := recon.Tally{Debits: 1, Debit: 300, Credits: 3, Credit: 40}
	if err != nil || claims[0].Settled != 5 || claims[0].Known == nil || *claims[0].Known != want {
		t.Errorf("what the store had: %+v %v", claims, err)
	}
	for _, text := range []string{"", "{}", `[{"batch":1}]`,
		`[{"terminal":"T","terminal_totals":{"debit_count":-1}}]`} {
		if _, err := intake.Batches(strings.NewReader(text), ""); !errors.Is(err, intake.ErrBatches) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

var _ warehouse.Reader = (*local.Reader)(nil)

func FuzzBatches(f *testing.F) {
	f.Add(`[{"terminal":"T0000001A1","batch":7,"terminal_totals":{"debit_amount":500}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		claims, err := intake.Batches(strings.NewReader(text), "A1")
		if err != nil && (!errors.Is(err, intake.ErrBatches) || claims != nil) {
			t.Fatalf("%v with %v", err, claims)
		}
		for _, c := range claims {
			if min(c.Debit, c.Credit, c.Debits, c.Credits) < 0 {
				t.Fatalf("%+v", c)
			}
		}
	})
}

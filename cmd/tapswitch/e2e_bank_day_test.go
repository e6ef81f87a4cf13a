package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// dayRow is a row of a terminal's book, by what both sides know it by.
type dayRow struct {
	terminal    string
	batch, stan uint32
}

// dayLedger adds up what each transaction of a terminal has moved: purses' loads in what they
// put into the purse, all else in what the card's bank pays.
func (w *bankTown) dayLedger() map[dayRow]int64 {
	w.t.Helper()
	const reversal, load = 1 << 31, 1 << 29
	moved := map[dayRow]int64{}
	paid := map[dayRow]bool{}
	all := w.node.parquet()
	row := func(id txn.RequestID) dayRow {
		terminal, _, _ := strings.Cut(id.Terminal.String(), ".")
		return dayRow{terminal, id.Boot, id.Counter &^ (reversal | load)}
	}
	for _, r := range all {
		paid[row(r.Request)] = paid[row(r.Request)] || r.Kind == txn.BankLoad
	}
	for _, r := range all {
		of := row(r.Request)
		switch {
		case r.Outcome != txn.Approved || r.Kind.IsMarker() || r.Kind == txn.Enrol:
			continue
		case r.Kind == txn.BankReversal:
			of = row(r.Original)
		case r.Kind == txn.Load && paid[of]:
			continue // the bank's side of it is compared
		}
		amount := int64(r.Charged)
		if r.Kind == txn.Load || r.Kind == txn.Reversal {
			amount = -amount
		}
		if r.Kind == txn.Reversal && paid[of] {
			continue
		}
		moved[of] += amount
	}
	return moved
}

// dayAgrees holds the terminals' books against the ledger, row by row.
func (w *bankTown) dayAgrees(report *pos.Report) (rows map[pos.Kind]int) {
	w.t.Helper()
	moved := w.dayLedger()
	rows = map[pos.Kind]int{}
	for _, d := range report.Terminals {
		if d.Failed != "" || d.Verdict != message.Balanced {
			w.t.Errorf("terminal %s: %q, settlement %d", d.Terminal, d.Failed, d.Verdict)
		}
		for i := range d.Rows {
			r := &d.Rows[i]
			if r.State == pos.Approved {
				rows[r.Kind]++
			}
			var batch uint32
			_, _ = fmt.Sscanf(r.Batch, "%d", &batch)
			key := dayRow{d.Terminal, batch, r.STAN}
			if moved[key] != r.Moved() {
				w.t.Errorf("terminal %s number %d, %v of %d, %v %s: the book has %d, the ledger %d",
					d.Terminal, r.STAN, r.Kind, r.Minor, r.State, r.Code, r.Moved(), moved[key])
			}
			delete(moved, key)
		}
	}
	for key, amount := range moved {
		if amount != 0 {
			w.t.Errorf("the ledger has %d for %+v, which no terminal knows", amount, key)
		}
	}
	for _, finding := range report.Findings {
		w.t.Error(finding)
	}
	return rows
}

// TestE2EBankDay: terminals get what they need, do a day's work with loads, adjustments and
// tips under working keys, tell the results of issuers' scripts and settle. In the end their books are the ledger.
func TestE2EBankDay(t *testing.T) {
	t.Parallel()
	example, err := filepath.Abs("../../deploy/bank")
	if err != nil {
		t.Fatal(err)
	}
	fake := newFakeBank(t)
	w, purses := loadTown(t, bankPlan{key: "tills", args: bankRing(t), file: func(f *bankFile) {
		f.links[0]["addresses"] = []string{fake.address, fake.address}
		f.links[0]["timeout"] = "5s"
		f.whole["emv"] = bankDoc{"ca_keys": filepath.Join(example, "ca_keys.yaml"),
			"aids": filepath.Join(example, "aids.yaml")}
		f.listeners[0]["parameters"] = bankDoc{"12": "60", "13": "3"}
	}})
	fake.answer(func(m *message.Message) []byte {
		amount, _ := m.Amount()
		return fake.reply(m, func(a *message.Message) error {
			switch {
			case amount%10 == 3 && m.MTI() == message.FinancialRequest:
				return a.SetText(39, "51")
			case amount%10 == 5 && m.MTI() == message.FinancialRequest:
				return a.SetBytes(55, []byte("\x91\x0a0123456789\x72\x04\x86\x02\x01\x02"))
			case m.ProcessingCode() == "310000":
				return a.SetText(54, "1002156C000000012345")
			}
			return a.SetText(38, "123456")
		})
	})
	o := pos.Options{Target: "pos", Terminals: 4, Transactions: 100, Cards: w.cards, Seed: 11,
		Purses: purses, MasterKey: keyringtest.Bytes(t, keyringtest.KeyA), LoadMax: 3_000, Mix: pos.CityMix(), Downloads: true,
		Timeout: 10 * time.Second, RetryDelay: 50 * time.Millisecond, Dial: w.dial,
		Faults: pos.Faults{DropConnection: 200, Repeat: 1_500, Duplicate: 300}}
	report, err := pos.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.settled()
	rows := w.dayAgrees(report)
	for _, k := range []pos.Kind{pos.Purchase, pos.Void, pos.Refund, pos.PreAuth, pos.Completion,
		pos.OfflineSale, pos.Adjust, pos.Tip, pos.Load, pos.CashLoad} {
		if rows[k] == 0 {
			t.Errorf("no %v was approved: %v", k, rows)
		}
	}
	if report.Total.Scripts == 0 || report.Total.RepeatsSent == 0 || report.Total.Reversals == 0 {
		t.Errorf("%+v", report.Total)
	}
	for _, d := range report.Terminals {
		if g := d.Downloads; g == nil || g.Keys != 3 || g.Applications != 3 || g.Parameters == 0 ||
			len(g.NotOffered) != 0 {
			t.Errorf("downloads %+v", g)
		}
	}
	t.Logf("%v, %+v", rows, report.Total)
}

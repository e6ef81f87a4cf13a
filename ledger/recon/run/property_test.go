package run_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/layout"
	"github.com/tapswitch/tapswitch/ledger/recon/plant"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// morning is nine o'clock of the day in China, in milliseconds.
const morning = txn.Millis(1795136400000)

// drawDay makes rows that both sides agree on: terminals with a batch each, purchases and
// refunds, every trace number and retrieval reference once.
func drawDay(t *rapid.T) []recon.Row {
	n := rapid.IntRange(8, 60).Draw(t, "rows")
	terminals := rapid.IntRange(1, 4).Draw(t, "terminals")
	all := make([]recon.Row, n)
	for i := range all {
		amount := rapid.Int64Range(1, 5000).Draw(t, "amount")
		kind := txn.BankPurchase
		if rapid.IntRange(0, 9).Draw(t, "refund") == 0 {
			kind, amount = txn.BankRefund, -amount
		}
		r := &all[i]
		*r = recon.Row{Amount: amount, Date: plant.Day, Currency: txn.CNY,
			At: morning + txn.Millis(i)*60_000, Received: morning + txn.Millis(i)*60_000 + 200}
		for f, text := range map[recon.Field]string{recon.RRN: fmt.Sprintf("R%011d", i),
			recon.Terminal: fmt.Sprintf("T%07d", i%terminals), recon.Batch: "000001",
			recon.STAN: fmt.Sprintf("%06d", i), recon.Last4: fmt.Sprintf("%04d", i*7),
			recon.Status: "approved", recon.Kind: kind.String(), recon.Merchant: "M00000000000001",
			recon.Operator: "OP1", recon.Line: "7"} {
			r.Text[f] = text
		}
	}
	return all
}

// day is the rows that a run is given.
type day struct{ ours, theirs []recon.Row }

// damage is one thing that goes wrong with a day, and the breaks that must come of it.
type damage struct {
	name string
	do   func(d *day, i int)
	want []string // "difference cause" in order
}

func remove(rows []recon.Row, i int) []recon.Row {
	return slices.Delete(slices.Clone(rows), i, i+1)
}

// nearCutOff serves row i three minutes before the counterparty's day ends.
func nearCutOff(rows []recon.Row, i int) {
	rows[i].At = morning + txn.Millis((14*time.Hour-3*time.Minute)/time.Millisecond)
	rows[i].Received = rows[i].At + 200
}

// damages are all that a person could do to one row; each is found, with its cause where the
// rows show one.
func damages() []damage {
	return []damage{
		{"nothing", func(*day, int) {}, nil},
		{"theirs is missing", func(d *day, i int) { d.theirs = remove(d.theirs, i) }, []string{"ours_only unknown"}},
		{"ours is missing", func(d *day, i int) { d.ours = remove(d.ours, i) }, []string{"theirs_only unknown"}},
		{"late upload", func(d *day, i int) {
			d.ours[i].Received = d.ours[i].At + 7*60*60*1000
			d.theirs = remove(d.theirs, i)
		}, []string{"ours_only late_upload"}},
		{"twice", func(d *day, i int) { d.theirs = append(d.theirs, d.theirs[i]) }, []string{"duplicate repeated_row"}},
		{"twice in ours", func(d *day, i int) { d.ours = append(d.ours, d.ours[i]) }, []string{"duplicate repeated_row"}},
		{"another amount", func(d *day, i int) { d.theirs[i].Amount += 7 }, []string{"amount unknown"}},
		{"another tariff", func(d *day, i int) {
			d.ours[i].Text[recon.Tariff], d.theirs[i].Text[recon.Tariff] = "2026b", "2026a"
			d.theirs[i].Amount -= 9
		}, []string{"amount tariff_version"}},
		{"declined there", func(d *day, i int) { d.theirs[i].Text[recon.Status] = "declined" }, []string{"status unknown"}},
		{"an old list", func(d *day, i int) {
			d.ours[i].Marks |= recon.Exposed
			d.theirs[i].Text[recon.Status] = "declined"
		}, []string{"status list_lag"}},
		{"another day", func(d *day, i int) { d.theirs[i].Date = plant.Day.Next() }, []string{"date unknown"}},
		{"shifted over the cut-off", func(d *day, i int) {
			nearCutOff(d.ours, i)
			nearCutOff(d.theirs, i)
			d.theirs[i].Date = plant.Day.Next()
		}, []string{"date cut_off_shift"}},
		{"another time", func(d *day, i int) { d.theirs[i].At += 11 * 60_000 }, []string{"time unknown"}},
		{"amounts swapped", func(d *day, i int) {
			k := (i + 1) % len(d.theirs)
			d.theirs[i].Amount, d.theirs[k].Amount = d.ours[i].Amount+13, d.ours[k].Amount-13
		}, []string{"amount unknown", "amount unknown"}},
	}
}

func names(breaks []*recon.Break) (all []string) {
	for _, b := range breaks {
		all = append(all, string(b.Difference)+" "+string(b.Cause))
	}
	return all
}

// balanced demands of every result that nothing was lost or counted twice.
func balanced(t *rapid.T, res *run.Result) {
	t.Helper()
	for side, s := range res.Sides {
		if s.Rows-s.Held != s.Matched+s.Cancelled+s.Left+s.Free {
			t.Fatalf("side %d: %+v: rows are not those matched, cancelled and left", side, s)
		}
		if s.Cancelled == 0 && s.Amount != s.MatchedBy+s.LeftBy {
			t.Fatalf("side %d: %+v: the amount is not that matched and left", side, s)
		}
	}
	var gap, within int64
	for _, b := range res.Breaks {
		gap += b.Gap
		if b.Difference == recon.Repeated && b.Ours == nil && b.Gap != -b.Theirs.Amount {
			t.Fatalf("a repeated row of %d has the gap %d", b.Theirs.Amount, b.Gap)
		}
	}
	for _, r := range res.Rules {
		within += r.Gap
	}
	if want := res.Sides[0].Amount - res.Sides[1].Amount; gap+within != want {
		t.Fatalf("the sides differ by %d, the breaks by %d and tolerances by %d", want, gap, within)
	}
}

// TestOneDamageIsOneBreak: whatever the day and the row, what goes wrong with it is found as
// exactly that, with its cause where there is evidence, and nothing else is.
func TestOneDamageIsOneBreak(t *testing.T) {
	for _, c := range damages() {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				d := day{ours: drawDay(rt)}
				d.theirs = slices.Clone(d.ours)
				i := rapid.IntRange(0, len(d.ours)-1).Draw(rt, "row")
				rrn := d.ours[i].Text[recon.RRN]
				c.do(&d, i)
				res := reconcile(t, plant.Plan(), d.ours, d.theirs, nil)
				balanced(rt, res)
				if got := names(res.Breaks); !slices.Equal(got, c.want) {
					rt.Fatalf("row %d: %v, want %v", i, got, c.want)
				}
				for _, b := range res.Breaks {
					if len(c.want) == 1 && !strings.Contains(fmt.Sprint(textOf(b, recon.RRN)), rrn) {
						rt.Fatalf("the break is of %s, want %s", textOf(b, recon.RRN), rrn)
					}
					if b.Cause != recon.Unknown && len(b.Evidence) == 0 {
						rt.Fatalf("%s without evidence", b.Cause)
					}
				}
			})
		})
	}
}

func textOf(b *recon.Break, f recon.Field) string {
	if b.Ours != nil {
		return b.Ours.Text[f]
	}
	return b.Theirs.Text[f]
}

// TestSplitRowsMatchByTheirSum: a row that they book in parts is one of ours to many of theirs
// under a rule for that, and an amount and a row too many without.
func TestSplitRowsMatchByTheirSum(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := day{ours: drawDay(rt)}
		i := rapid.IntRange(0, len(d.ours)-1).Draw(rt, "row")
		d.ours[i].Amount = rapid.Int64Range(10, 9999).Draw(rt, "whole")
		d.theirs = slices.Clone(d.ours)
		part := rapid.Int64Range(1, d.ours[i].Amount/2-1).Draw(rt, "part")
		half := d.theirs[i]
		half.Amount, half.Text[recon.STAN] = part, "900001"
		d.theirs[i].Amount -= part
		d.theirs = append(d.theirs, half)
		plan := plant.Plan()
		plan.Rules = append(plan.Rules, recon.Rule{Name: "parts", Key: []recon.Field{recon.RRN},
			Shape: recon.OneToMany})
		res := reconcile(t, plan, d.ours, d.theirs, nil)
		if balanced(rt, res); len(res.Breaks) != 0 || res.Rules[2].Ours != 1 || res.Rules[2].Theirs != 2 {
			rt.Fatalf("%v, rules %+v", names(res.Breaks), res.Rules)
		}
		res = reconcile(t, plant.Plan(), d.ours, d.theirs, nil)
		balanced(rt, res)
		if got := names(res.Breaks); len(got) != 2 || !strings.HasPrefix(got[0], "amount") ||
			!strings.HasPrefix(got[1], "theirs_only") {
			rt.Fatalf("without the rule: %v", got)
		}
	})
}

// TestAnyDisorderBalances: rows dropped, doubled, changed and shuffled on both sides at will:
// every row is matched, cancelled or in a break once, the breaks explain the difference to the
// fen, and a second run over the same rows, whatever its workers, gives the same bytes.
func TestAnyDisorderBalances(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		base := drawDay(rt)
		mess := func(side string) (rows []recon.Row) {
			for _, r := range base {
				switch rapid.IntRange(0, 9).Draw(rt, side) {
				case 0:
					continue
				case 1:
					rows = append(rows, r)
				case 2:
					r.Amount += rapid.Int64Range(-50, 50).Draw(rt, "off")
				case 3:
					r.Text[recon.RRN] = ""
				case 4:
					r.Date = r.Date.Next()
				}
				rows = append(rows, r)
			}
			return rapid.Permutation(rows).Draw(rt, side+" order")
		}
		ours, theirs := mess("ours"), mess("theirs")
		plan := plant.Plan()
		plan.Rules[0].Amount = rapid.Int64Range(0, 5).Draw(rt, "tolerance")
		res := reconcile(t, plan, ours, theirs, nil)
		balanced(rt, res)
		inBreaks := map[string]int{}
		for _, b := range res.Breaks {
			for side, r := range []*recon.Row{b.Ours, b.Theirs} {
				if r != nil {
					inBreaks[fmt.Sprint(side, r.Place)]++
				}
			}
		}
		for place, n := range inBreaks {
			if n != 1 {
				rt.Fatalf("row %s is in %d breaks", place, n)
			}
		}
		if int64(len(inBreaks)) != res.Sides[0].Left+res.Sides[1].Left {
			rt.Fatalf("%d rows in breaks, %d and %d left", len(inBreaks), res.Sides[0].Left, res.Sides[1].Left)
		}
		again := reconcile(t, plan, ours, theirs, func(o *run.Options) {
			o.Workers = rapid.IntRange(1, 8).Draw(rt, "workers")
		})
		if a, b := digest(rt, res), digest(rt, again); a != b {
			rt.Fatal("a second run gave other bytes")
		}
	})
}

func digest(t *rapid.T, res *run.Result) string {
	t.Helper()
	files, err := res.Report()
	if err != nil {
		t.Fatal(err)
	}
	return run.Digest(files)
}

const csvLayout = `layout: drawn
format: csv
encoding: gb18030
zone: "+08:00"
on_error: refuse
header: true
negative: [bank_refund]
records:
  - role: detail
    columns:
      - {to: rrn, name: 参考号}
      - {to: terminal, name: 终端}
      - {to: stan, name: 流水}
      - {to: last4, name: 卡号}
      - {to: kind, name: 类型}
      - {to: amount, name: 金额, point: true, group: ","}
      - {to: date, name: 日期, format: YYYYMMDD}
      - {to: note, name: 摘要, optional: true}
`

const camtLayout = `layout: drawn
format: camt.053
encoding: utf-8
zone: "+08:00"
on_error: refuse
balance: true
records:
  - role: detail
    columns:
      - {to: amount, path: Amt, point: true}
      - {to: sign, path: CdtDbtInd, map: {CRDT: "+", DBIT: "-"}}
      - {to: currency, path: Amt@Ccy, map: {CNY: "156"}}
      - {to: date, path: BookgDt/Dt, format: YYYY-MM-DD}
      - {to: rrn, path: NtryDtls/TxDtls/Refs/EndToEndId}
      - {to: terminal, path: NtryDtls/TxDtls/Refs/InstrId}
`

// written is how rows of the counterparty become a file.
type written struct {
	layout string
	write  func(rows []recon.Row) ([]byte, error)
}

func writeFixed(rows []recon.Row) ([]byte, error) {
	var b bytes.Buffer
	err := plant.WriteFile(context.Background(), &b, &rowsSource{rows})
	return b.Bytes(), err
}

// rowsSource is rows as a source.
type rowsSource struct{ all []recon.Row }

func (*rowsSource) Name() string { return "rows" }

func (s *rowsSource) Rows(_ recon.Context, yield func(*recon.Row) error) error {
	for i := range s.all {
		if err := yield(&s.all[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeCSV(rows []recon.Row) ([]byte, error) {
	var b strings.Builder
	b.WriteString("参考号,终端,流水,卡号,类型,金额,日期,摘要\n")
	for _, r := range rows {
		amount := max(r.Amount, -r.Amount)
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s,\"%d.%02d\",%d,%s\n", r.Text[recon.RRN], r.Text[recon.Terminal],
			r.Text[recon.STAN], r.Text[recon.Last4], r.Text[recon.Kind], amount/100, amount%100, uint32(r.Date),
			"深圳地铁㐀𠮷")
	}
	text, err := simplifiedchinese.GB18030.NewEncoder().String(b.String())
	return []byte(text), err
}

func writeCamt(rows []recon.Row) ([]byte, error) {
	var b, entries strings.Builder
	var sum int64
	for _, r := range rows {
		sum += r.Amount
		sign, amount := "CRDT", r.Amount
		if amount < 0 {
			sign, amount = "DBIT", -amount
		}
		fmt.Fprintf(&entries, `<Ntry><Amt Ccy="CNY">%d.%02d</Amt><CdtDbtInd>%s</CdtDbtInd><BookgDt><Dt>%s</Dt></BookgDt>`+
			`<NtryDtls><TxDtls><Refs><InstrId>%s</InstrId><EndToEndId>%s</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>`,
			amount/100, amount%100, sign, r.Date, r.Text[recon.Terminal], r.Text[recon.RRN])
	}
	side := "CRDT"
	if sum < 0 {
		side, sum = "DBIT", -sum
	}
	balance := `<Bal><Tp><CdOrPrtry><Cd>%s</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">%d.%02d</Amt><CdtDbtInd>%s</CdtDbtInd></Bal>`
	b.WriteString(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>1</Id>`)
	fmt.Fprintf(&b, balance, "OPBD", 0, 0, "CRDT")
	fmt.Fprintf(&b, balance, "CLBD", sum/100, sum%100, side)
	fmt.Fprintf(&b, "%s</Stmt></BkToCstmrStmt></Document>", entries.String())
	return []byte(b.String()), nil
}

// TestAnyLayoutReconciles: random rows, written as a file of fixed width, as CSV in GB18030 and
// as camt.053, and read back by a description: each row is consumed once, and one that is cut
// out of the file is the one break.
func TestAnyLayoutReconciles(t *testing.T) {
	for name, w := range map[string]written{"fixed": {plant.Layout, writeFixed}, "csv": {csvLayout, writeCSV},
		"camt.053": {camtLayout, writeCamt}} {
		t.Run(name, func(t *testing.T) {
			l, err := layout.Read(name+".yaml", []byte(w.layout))
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(rt *rapid.T) {
				rows := drawDay(rt)
				for i := range rows { // the fixed width has no sign
					rows[i].Amount, rows[i].Text[recon.Kind] = max(rows[i].Amount, 1), txn.BankPurchase.String()
				}
				cut := rapid.IntRange(-1, len(rows)-1).Draw(rt, "cut")
				theirs := rows
				if cut >= 0 {
					theirs = remove(rows, cut)
				}
				text, err := w.write(theirs)
				if err != nil {
					rt.Fatal(err)
				}
				plan := plant.Plan()
				plan.Rules = plan.Rules[:1]
				res := reconcile(t, plan, rows, nil, func(o *run.Options) {
					o.Theirs = []recon.Source{&layout.File{Layout: l, Day: plant.Day, Path: "in/f",
						Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}}
				})
				balanced(rt, res)
				switch {
				case cut < 0 && len(res.Breaks) > 0:
					rt.Fatalf("breaks %v", names(res.Breaks))
				case cut >= 0 && (len(res.Breaks) != 1 || res.Breaks[0].Difference != recon.OursOnly ||
					res.Breaks[0].Ours.Text[recon.RRN] != rows[cut].Text[recon.RRN]):
					rt.Fatalf("row %d was cut out, breaks %v", cut, names(res.Breaks))
				}
			})
		})
	}
}

// TestReversalsNeverMatch: an original and its reversal in one side cancel, are counted as that,
// and leave the other side alone.
func TestReversalsNeverMatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := drawDay(rt)
		i := rapid.IntRange(0, len(rows)-1).Draw(rt, "row")
		original := rows[i]
		original.Text[recon.Chain], original.Text[recon.RRN] = "c1", "RX"
		reversal := original
		reversal.Amount, reversal.At = -original.Amount, original.At+60_000
		ours := append(slices.Clone(rows), original, reversal)
		plan := plant.Plan()
		plan.Rules = append([]recon.Rule{{Name: "reversed", Key: []recon.Field{recon.Chain},
			Shape: recon.Cancel}}, plan.Rules...)
		res := reconcile(t, plan, ours, rows, nil)
		if balanced(rt, res); len(res.Breaks) != 0 || res.Sides[0].Cancelled != 2 ||
			res.Sides[0].Matched != int64(len(rows)) {
			rt.Fatalf("%v, %+v", names(res.Breaks), res.Sides)
		}
	})
}

package szt_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
)

const repriceHeader = "card_no,deal_date,deal_type,deal_money,deal_value,equ_no,company_name," +
	"station,car_no,conn_mark,close_date\n"

func shenzhen(t *testing.T) *price.Tariff {
	t.Helper()
	text, err := fs.ReadFile(deploy.Tariffs(), "shenzhen.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tariff, err := tariff.Compile(tariff.Source{Name: "shenzhen.yaml", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return tariff
}

func reprice(t *testing.T, text string) *szt.Repriced {
	t.Helper()
	sorted, err := szt.Sort(t.Context(), strings.NewReader(repriceHeader+text), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sorted.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := szt.Reprice(t.Context(), sorted, shenzhen(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tapRow is a row of card at a minute of the day.
func tapRow(card string, minute int, kind string, charged, full int, company, place, mark string) string {
	return fmt.Sprintf("%s,2018-09-01 %02d:%02d:00,%s,%d,%d,2630%02d,%s,%s,1,%s,x\n", card,
		6+minute/60, minute%60, kind, charged, full, minute%90, company, place, mark)
}

func in(card string, minute int, station string) string {
	return tapRow(card, minute, "地铁入站", 0, 0, "地铁五号线", station, "0")
}

func out(card string, minute, charged, full int, mark string) string {
	return tapRow(card, minute, "地铁出站", charged, full, "地铁五号线", "布吉", mark)
}

func bus(card string, minute, charged, full int, line, mark string) string {
	return tapRow(card, minute, "巴士", charged, full, "巴士集团", line, mark)
}

func TestReprice(t *testing.T) {
	for name, c := range map[string]struct {
		rows string
		want string // explained of charges, explanations and causes
	}{
		"ordinary":   {out("A", 1, 475, 500, "0"), "1/1 ordinary"},
		"rounding":   {out("A", 1, 190, 200, "0") + out("B", 1, 191, 200, "0"), "1/2 ordinary; no_category_pays_this"},
		"bus slices": {bus("A", 1, 725, 1000, "M1", "0"), "1/1 ordinary"},
		"student":    {out("A", 1, 250, 500, "0") + bus("B", 2, 100, 200, "M1", "0"), "2/2 student"},
		"free":       {out("A", 1, 0, 500, "0"), "1/1 free"},
		"business":   {out("A", 1, 1400, 1400, "0"), "1/1 business"},
		"no business so cheap": {out("A", 1, 500, 500, "0"),
			"0/1 ; no_category_pays_this"},
		"operator": {tapRow("A", 1, "巴士", 200, 200, "华程交通", "K1", "0"), "1/1 no discount"},
		"other operators give a discount": {bus("A", 1, 200, 200, "K1", "0"),
			"0/1 ; no_category_pays_this"},
		"transfer in the file": {bus("A", 1, 160, 200, "M1", "0") + bus("A", 91, 120, 200, "M2", "1"),
			"2/2 ordinary; ordinary, transfer"},
		"transfer out of time": {bus("A", 1, 160, 200, "M1", "0") + bus("A", 92, 160, 200, "M2", "0"),
			"2/2 ordinary"},
		"transfer not given": {bus("A", 1, 160, 200, "M1", "0") + bus("A", 91, 160, 200, "M2", "0"),
			"1/2 ordinary; transfer_not_given"},
		"the same line is none": {bus("A", 1, 160, 200, "M1", "0") + bus("A", 31, 160, 200, "M1", "0"),
			"2/2 ordinary"},
		"transfer to the metro by its entry": {bus("A", 1, 160, 200, "M1", "0") + in("A", 90, "长龙") +
			out("A", 130, 435, 500, "1"), "2/2 ordinary; ordinary, transfer"},
		"ride before outside the file": {bus("A", 1, 120, 200, "M1", "1"),
			"1/1 ordinary, transfer from outside the file"},
		"not marked": {bus("A", 1, 120, 200, "M1", "0"),
			"1/1 ordinary, transfer from outside the file, not marked"},
		"marked, not given":  {bus("A", 1, 160, 200, "M1", "1"), "0/1 ; transfer_marked_not_given"},
		"students have none": {bus("A", 1, 60, 200, "M1", "1"), "0/1 ; no_category_pays_this"},
		"marked student":     {bus("A", 1, 100, 200, "M1", "1"), "1/1 student"},
		"above the full fare": {bus("A", 1, 201, 200, "M1", "0"),
			"0/1 ; charged_above_full_fare"},
		"no such full fare": {out("A", 1, 237, 250, "0"), "0/1 ; full_fare_impossible"},
		"an entry charged":  {strings.Replace(in("A", 1, "长龙"), ",0,0,", ",200,200,", 1), "0/1 ; entry_charged"},
		"unreadable":        {bus("A", 1, -160, 200, "M1", "0"), "0/1 ; row_unreadable"},
		"not in force":      {strings.Replace(bus("A", 1, 160, 200, "M1", "0"), "2018", "2028", 1), "0/1 ; tariff_not_in_force"},
		"a row that stands twice": {bus("A", 1, 160, 200, "M1", "0") + bus("A", 1, 160, 200, "M1", "0"),
			"1/1 ordinary"},
	} {
		r := reprice(t, c.rows)
		keys := append(slices.Sorted(maps.Keys(r.By)), slices.Sorted(maps.Keys(r.Differences))...)
		if len(r.By) == 0 {
			keys = append([]string{""}, keys...)
		}
		got := fmt.Sprintf("%d/%d %s", r.Explained, r.Charges, strings.Join(keys, "; "))
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRepriceFigures(t *testing.T) {
	r := reprice(t, in("A", 1, "长龙站")+out("A", 20, 475, 500, "0")+in("B", 2, "长龙")+
		out("B", 30, 475, 500, "0")+in("C", 3, "长龙")+out("C", 31, 665, 700, "0")+
		out("D", 4, 1, 700, "0")+"bad\n")
	if r.Rows != 8 || r.Entries != 3 || r.RejectedRows != 1 || r.Charges != 5 || r.Explained != 3 ||
		r.Share != 0.6 || r.Charged != 1616 || r.ExplainedCharged != 1615 ||
		r.StationPairs != (szt.StationPairs{Pairs: 1, Same: 1, Differ: 1}) {
		t.Errorf("%+v", r)
	}
	if rows := r.Differences[szt.CauseNoCategory].Rows; len(rows) != 1 || rows[0].Want != 665 ||
		rows[0].Charged != 1 || rows[0].Line != 8 {
		t.Errorf("%+v", rows)
	}
	for cause, want := range map[string]string{
		szt.CauseUnreadable: "deal_money: amount is negative",
		szt.CauseNotInForce: "the tariff does not hold on this day",
		szt.CauseNoCategory: "",
	} {
		rows := reprice(t, bus("A", 1, -1, 200, "M1", "0")+bus("A", 1, 161, 200, "M1", "0")+
			strings.Replace(bus("A", 1, 160, 200, "M1", "0"), "2018", "2028", 1)).Differences[cause].Rows
		if len(rows) != 1 || rows[0].Reason != want {
			t.Errorf("%s: %+v, want reason %q", cause, rows, want)
		}
	}
	if r := reprice(t, ""); r.Share != 1 || r.Charges != 0 {
		t.Errorf("%+v", r)
	}
	var many strings.Builder
	for i := range szt.RepricedRowsMax + 1 {
		many.WriteString(bus("A", i, 1, 200, "M1", "0"))
	}
	if u := reprice(t, many.String()).Differences[szt.CauseNoCategory]; u.Count !=
		szt.RepricedRowsMax+1 || len(u.Rows) != szt.RepricedRowsMax {
		t.Errorf("%d counted, %d listed", u.Count, len(u.Rows))
	}
}

// Nearly all charges of the published file are those of the tariff, to the fen.
func TestRepriceRealFile(t *testing.T) {
	const path = "../../../../shared/data/shenzhen-taps.csv.gz"
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("not run: the Shenzhen file is not at %s", path)
	}
	defer f.Close()
	sorted, err := szt.Sort(t.Context(), f, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sorted.Close()
	r, err := szt.Reprice(t.Context(), sorted, shenzhen(t))
	if err != nil {
		t.Fatal(err)
	}
	unclear := 0
	for _, u := range r.Differences {
		unclear += u.Count
	}
	if r.Charges != 14633 || r.Share < 0.995 || r.Explained+unclear != r.Charges {
		t.Errorf("%+v", r)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := szt.Reprice(stopped, sorted, shenzhen(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped repricing returned %v", err)
	}
}

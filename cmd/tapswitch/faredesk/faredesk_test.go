package faredesk_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/switch/sim/szt"
)

const small = "tariff: small\nversion: '1'\neffective: {from: 2026-01-01}\nutc_offset: 8h\n" +
	"fares:\n  - {name: bus, mode: bus, flat: 200}\npasses:\n  - {name: day pass, price: 300, period: day}\n"

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run executes a fare command and returns its output and exit code.
func run(t *testing.T, args ...string) (out string, code int, err error) {
	t.Helper()
	var b bytes.Buffer
	c := faredesk.Fare(&noLedger{})
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(&b)
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	return b.String(), cli.Code(err), err
}

func TestLint(t *testing.T) {
	good := file(t, "good.yaml", small)
	other := file(t, "other.yaml", strings.Replace(small, "200", "210", 1))
	bad := file(t, "bad.yaml", strings.Replace(small, "flat: 200", "flat: 200, colour: red", 1))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"shenzhen"}, 0, "shenzhen.yaml: ok: tariff shenzhen, version 2018, 2018-01-01 2019-12-31"},
		{[]string{"example"}, 0, "from"},
		{[]string{good}, 0, "2026-01-01 on"},
		{[]string{bad}, cli.ExitBreaks, "bad.yaml:6: fares[0].colour: is not a known key"},
		{[]string{good, other}, cli.ExitBreaks, `version "1" is that of`},
		{[]string{"--closed", "2026-03-01", "--was", good, good}, 0, "ok"},
		{[]string{"--closed", "2026-03-01", "--was", good, other}, cli.ExitBreaks,
			"other.yaml:6: fares: changes fares of version 1"},
		{[]string{"--closed", "2026-03-01", good}, cli.ExitBreaks, "but 2026-03-01 is closed"},
		{[]string{"--closed", "March", good}, cli.ExitUsage, "--closed"},
		{[]string{"--was", good, good}, cli.ExitUsage, "--was needs"},
		{[]string{"--closed", "2026-03-01", "--was", bad, good}, cli.ExitBreaks, "--was: "},
		{[]string{"paris"}, cli.ExitNotFound, `no tariff is called "paris"`},
		{[]string{"./none.yaml"}, cli.ExitNotFound, "none.yaml"},
		{nil, cli.ExitUsage, "requires"},
	} {
		out, code, err := run(t, append([]string{"lint"}, c.args...)...)
		if err != nil {
			out += err.Error()
		}
		if code != c.code || c.want != "from" && !strings.Contains(out, c.want) {
			t.Errorf("%v: code %d, want %d: %s", c.args, code, c.code, out)
		}
	}
}

func TestExplain(t *testing.T) {
	out, code, err := run(t, "explain", "--tariff", "shenzhen",
		"2018-09-01 08:00 board bus line=M313 given=1000",
		"2018-09-01 08:30:15 exit metro station=布吉 given=500 class=standard")
	out = strings.Join(strings.Fields(out), " ")
	want := []string{"full 1000 fare bus (line", "rider -275 ordinary riders pay 80% up to 300, " +
		"75% up to 600, 65% above (line", "charged 725", "transfer -40 transfer bus-metro within 1h30m0s",
		"charged 435"}
	for _, w := range want {
		if code != 0 || !strings.Contains(out, w) {
			t.Errorf("no %q in\n%s%v", w, out, err)
		}
	}
	path := file(t, "good.yaml", small)
	taps := file(t, "taps", "# a day\n2026-09-01 08:00 buy pass=day pass\n\n2026-09-01 09:00 board bus "+
		"line=M 1 operator=x metres=5 rider=student\n2025-09-01 09:00 board bus\n"+
		"2026-09-01 09:30 exit metro class=business\n")
	out, code, err = run(t, "explain", "--tariff", path, "--file", taps, "-o", "json")
	var all []struct {
		Refused string `json:"refused"`
		Charged int    `json:"charged_minor"`
	}
	if e := json.Unmarshal([]byte(out), &all); e != nil || code != cli.ExitBreaks || len(all) != 4 ||
		all[0].Charged != 300 || all[1].Charged != 0 || all[2].Refused == "" ||
		all[3].Refused == "" || all[1].Refused != "" {
		t.Errorf("%v, %v\n%s", e, err, out)
	}
}

// A history has ends that were told late: they give the incomplete fare back as the switch does,
// or say that they came too late.
func TestExplainToldEnds(t *testing.T) {
	charges := func(taps ...string) (sums []int, steps string) {
		t.Helper()
		out, _, err := run(t, append([]string{"explain", "--tariff", "example", "-o", "json"}, taps...)...)
		var all []struct {
			Charged int `json:"charged_minor"`
			Parts   []struct {
				What   string
				Amount int `json:"amount_minor"`
			}
		}
		if e := json.Unmarshal([]byte(out), &all); e != nil || err != nil {
			t.Fatalf("%v, %v\n%s", e, err, out)
		}
		for _, a := range all {
			sum := 0
			for i, p := range a.Parts {
				if i < len(a.Parts)-1 {
					sum += p.Amount
				}
				steps += fmt.Sprint(p.What, p.Amount, " ")
			}
			if sums = append(sums, a.Charged); sum != a.Charged {
				t.Errorf("the steps of %+v make %d", a, sum)
			}
		}
		return sums, steps
	}
	const enter = "2026-09-01 08:00 enter metro station=North Gate"
	exit := func(told string) string { return "2026-09-01 08:25 exit metro station=Lake told=" + told }
	for name, c := range map[string]struct {
		taps []string
		want []int
		step string
	}{
		"lapsed":     {[]string{enter, "2026-09-01 13:00 lapse", exit("2026-09-02 09:00")}, []int{0, 700, -400}, "incomplete-700"},
		"next entry": {[]string{enter, "2026-09-01 09:00 enter metro station=Lake", exit("2026-09-01 10:00"), "2026-09-01 10:30 exit metro station=Market"}, []int{0, 700, -400, 200}, "incomplete-700"},
		"transfer": {[]string{enter, "2026-09-01 08:30 board bus", "2026-09-01 13:00 lapse", exit("2026-09-02 09:00")},
			[]int{0, 200, 700, -600}, "retold-200"},
		"still open": {[]string{enter, exit("2026-09-01 10:00")}, []int{0, 300}, "full300"},
		"entry told": {[]string{"2026-09-01 08:25 exit metro station=Lake", enter + " told=2026-09-02 07:00"}, []int{700, -400}, "incomplete-700"},
		"too late":   {[]string{enter, "2026-09-01 13:00 lapse", exit("2026-09-04 09:00")}, []int{0, 700, 700}, "told_late0"},
	} {
		if got, steps := charges(c.taps...); !slices.Equal(got, c.want) || !strings.Contains(steps, c.step) {
			t.Errorf("%s: %v, %s; want %v with %s", name, got, steps, c.want, c.step)
		}
	}
	for _, told := range []string{"soon", "2026-08-31 09:00"} {
		if _, code, err := run(t, "explain", exit(told)); code != cli.ExitUsage || !strings.Contains(err.Error(), "told") {
			t.Errorf("told=%s: %v", told, err)
		}
	}
}

// A sheet has a line for each step; names may stand in quotes.
func TestExplainCSV(t *testing.T) {
	out, code, err := run(t, "explain", "--tariff", file(t, "good.yaml", small), "-o", "csv",
		`2026-09-01 08:00 buy pass="day pass"`, "2025-09-01 09:00 board bus")
	rows, e := csv.NewReader(strings.NewReader(out)).ReadAll()
	if code != cli.ExitBreaks || e != nil || len(rows) != 4 || rows[0][2] != "amount_minor" ||
		rows[1][2] != "300" || rows[2][1] != "charged" || rows[3][1] != "refused" {
		t.Errorf("%v, %v\n%s", e, err, out)
	}
}

func TestTapsThatCannotBeRead(t *testing.T) {
	for tap, want := range map[string]string{
		"now": "want a date", "2026-09-01 8am board bus": "want a time", "2026-09-01 08:00 fly": "is not board",
		"2026-09-01 08:00 board canoe":           "is no mode",
		"2026-09-01 08:00 board bus 7":           "is no key",
		"2026-09-01 08:00 board bus colour=red":  "is not a key",
		"2026-09-01 08:00 board bus given=two":   "no whole number",
		"2026-09-01 08:00 board bus metres=-1":   "no whole number",
		"2026-09-01 08:00 board bus class=first": "not standard or business",
		"2026-09-01 08:00 board bus rider=king":  "no category",
	} {
		if _, code, err := run(t, "explain", tap); code != cli.ExitUsage ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: code %d, %v", tap, code, err)
		}
	}
	if _, code, err := run(t, "explain"); code != cli.ExitUsage {
		t.Error(err)
	}
	if _, code, err := run(t, "explain", "--file", "./none"); code != cli.ExitNotFound {
		t.Error(err)
	}
	many := file(t, "many", strings.Repeat("2026-09-01 08:00 board bus\n", 1001))
	if _, code, err := run(t, "explain", "--file", many); code != cli.ExitUsage {
		t.Error(err)
	}
}

const header = "card_no,deal_date,deal_type,deal_money,deal_value,equ_no,company_name\n"

func TestReprice(t *testing.T) {
	row := "A,2018-09-01 08:00:00,巴士,160,200,1,巴士集团\n"
	bad := "B,2018-09-01 08:00:00,巴士,161,200,1,巴士集团\n"
	for _, c := range []struct {
		tariff, text string
		code         int
	}{
		{"shenzhen", header + row, 0}, {"shenzhen", header + row + bad, cli.ExitBreaks},
		{"shenzhen", header, cli.ExitFailed}, {"shenzhen", "a,b\n", cli.ExitFailed},
		{"paris", header + row, cli.ExitNotFound},
	} {
		path := file(t, "taps.csv", c.text)
		for _, form := range []cli.Output{cli.JSON, cli.Table} {
			var b bytes.Buffer
			err := faredesk.Reprice(t.Context(), c.tariff, path, form, &b)
			if cli.Code(err) != c.code {
				t.Errorf("%s %q: %v, want code %d", c.tariff, c.text, err, c.code)
			}
			var r szt.Repriced
			if form == cli.JSON && c.code == cli.ExitBreaks && (json.Unmarshal(b.Bytes(), &r) != nil ||
				r.Charges != 2 || r.Explained != 1 || r.Share != 0.5 || r.Differences["no_category_pays_this"].Count != 1) {
				t.Errorf("%s", b.String())
			}
			if form == cli.Table && c.code == cli.ExitBreaks && !strings.Contains(b.String(),
				"full 200, charged 161, an ordinary rider 160") {
				t.Errorf("%s", b.String())
			}
		}
	}
	if err := faredesk.Reprice(t.Context(), "shenzhen", "./none", cli.JSON, &bytes.Buffer{}); cli.Code(err) != cli.ExitNotFound {
		t.Error(err)
	}
}

package scheme

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files; review the difference")

const today txn.BusinessDate = 20261122

func load(t *testing.T, city string) *Policy {
	t.Helper()
	p, err := Load(city)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCities(t *testing.T) {
	want := []string{"handan", "shiyan", "wenzhou", "zhengzhou", "zhoushan"}
	if got := Cities(); !slices.Equal(got, want) {
		t.Fatalf("cities %v, want %v", got, want)
	}
	for _, city := range want {
		p := load(t, city)
		if p.City != city || len(p.Version) != 16 {
			t.Errorf("%s names itself %q, version %q", city, p.City, p.Version)
		}
	}
	if _, err := Load("atlantis"); !errors.Is(err, ErrUnknownCity) ||
		!strings.Contains(err.Error(), "handan") {
		t.Errorf("unknown city: %v", err)
	}
}

// Where the late party bears what came after the boundary, the window decides who is late, also
// where it is the product's own: its rule must not say that nothing hangs on it.
func TestWindowSaysWhatHangsOnIt(t *testing.T) {
	for _, city := range Cities() {
		p := load(t, city)
		if p.Liability.After.V != LateParty || !p.Freeze.Window.IsProductRule() {
			continue
		}
		if rule := p.Freeze.Window.ProductRule; strings.Contains(rule, "moves no loss") ||
			!strings.Contains(rule, "late") {
			t.Errorf("%s: the window's rule does not say that it tells who is late: %s", city, rule)
		}
	}
}

// What DUTIES.md says about each city, value by value: a changed file has to be changed here
// by somebody who means it. "" for a clause is a product rule.
func TestValuesOfTheTexts(t *testing.T) {
	all := map[string]map[string]Setting{}
	for _, city := range Cities() {
		all[city] = map[string]Setting{}
		for _, s := range load(t, city).Settings() {
			all[city][s.Key] = s
		}
	}
	for _, want := range []struct{ city, key, value, clause string }{
		{"handan", "report.actors", "holder, agent", "HD18"},
		{"handan", "report.channels", "agency, outlet", "HD18"},
		{"handan", "report.bank_report", "true", "HD18"},
		{"zhoushan", "report.actors", "holder", "ZS17"},
		{"zhoushan", "report.forms", "written", "ZS17"},
		{"wenzhou", "report.actors", "holder", "WZ16"},
		{"wenzhou", "report.channels", "agency", "WZ16"},
		{"handan", "freeze.window", "2h", "HD19"},
		{"handan", "freeze.from", "receipt", "HD19"},
		{"zhoushan", "freeze.window", "4h", ""},
		{"wenzhou", "freeze.window", "4h", ""},
		{"shiyan", "freeze.window", "4h", ""},
		{"zhengzhou", "freeze.window", "4h", ""},
		{"handan", "release.window", "2h", "HD20"},
		{"handan", "release.actors", "holder", "HD20"},
		{"handan", "release.release_closes", "done", "HD20"},
		{"zhoushan", "release.release_closes", "applied", "ZS18"},
		{"handan", "release.refused_replacement", "reopens", ""},
		{"zhoushan", "release.refused_replacement", "stays_closed", ""},
		{"handan", "liability.boundary", "freeze_due", "HD18, HD19"},
		{"handan", "freeze.lease", "72h", ""},
		{"handan", "freeze.lease_renewed_by", "tap, purchase, load, verify, balance, issue", ""},
		{"wenzhou", "freeze.lease", "24h", ""},
		{"shiyan", "freeze.lease", "0s", ""},
		{"zhoushan", "liability.boundary", "report_effective", "ZS17"},
		{"wenzhou", "liability.boundary", "report_effective", "WZ17"},
		{"shiyan", "liability.boundary", "report_accepted", ""},
		{"zhengzhou", "liability.boundary", "report_accepted", ""},
		{"handan", "liability.after", "late_party", ""},
		{"shiyan", "liability.findings", "lent, rented, handed_over, careless", "SY12"},
		{"shiyan", "claims.compensation", "true", "SY15"},
		{"zhoushan", "pre_report.allowed", "true", "ZS17"},
		{"zhoushan", "pre_report.terms.only_when_writing_is_impossible", "true", "ZS17"},
		{"zhoushan", "pre_report.terms.lapse", "never", ""},
		{"zhoushan", "pre_report.terms.moves_boundary", "false", ""},
		{"handan", "pre_report.allowed", "false", ""},
		{"shiyan", "suspension.terms.app", "social", "SY17"},
		{"shiyan", "suspension.terms.role", "hr_social_security", "SY17"},
		{"shiyan", "suspension.terms.for_gain", "true", "SY17"},
		{"handan", "suspension.allowed", "false", ""},
		{"handan", "life.validity_years", "10", "HD13"},
		{"zhoushan", "life.validity_years", "10", "ZS26"},
		{"handan", "life.renewal_lead", "30 days", "HD13"},
		{"handan", "life.renewal_open", "90 days", ""},
		{"handan", "life.service_goes_on", "true", "HD25"},
		{"zhoushan", "life.grounds[name_or_id_changed]", "ground name_or_id_changed, must true",
			"ZS16"},
		{"wenzhou", "life.grounds[surface_changed]", "ground surface_changed, must false", "WZ15"},
		{"wenzhou", "life.grounds[other_invalid]", "ground other_invalid, must false", "WZ15"},
		{"handan", "deadlines.production_data", "30 days", "HD16"},
		{"handan", "deadlines.replacement", "15 working days", "HD22"},
		{"handan", "deadlines.renewal", "15 working days", "HD22"},
		{"handan", "deadlines.refusal", "5 days", "HD23"},
		{"handan", "replacement.only_after_loss_report", "true", "HD21"},
		{"zhoushan", "replacement.only_after_loss_report", "true", "ZS19"},
		{"handan", "cancellation.actors", "holder, relative", "HD24"},
		{"handan", "cancellation.ex_officio", "true", "HD24"},
		{"zhoushan", "cancellation.actors", "holder, relative", "ZS20"},
		{"zhoushan", "cancellation.ex_officio", "false", ""},
		{"wenzhou", "cancellation.actors", "holder, agent, heir", "WZ18"},
		{"wenzhou", "cancellation.ex_officio", "true", "WZ18"},
		{"shiyan", "cancellation.ex_officio", "false", ""},
		{"handan", "cancellation.refund", "true", ""},
		{"wenzhou", "applications[transit].channels", "outlet", "WZ11"},
		{"zhengzhou", "applications[bank].needs_bank_activation", "true", "ZZ19"},
		{"zhoushan", "tariffs[zhoushan-1].fees[first_issue]", "event first_issue, amount 0 fen",
			"ZS21"},
		{"wenzhou", "tariffs[wenzhou-1].fees[first_issue]", "event first_issue, amount 0 fen",
			"WZ19"},
		{"handan", "tariffs[handan-1].fees[replacement].waivers",
			"hardship, production_fault, agency_error", "HD28"},
		{"shiyan", "applying.e_card_meanwhile", "true", "SY6"},
		{"shiyan", "query.pick_up_basis", "", "SY11, SY16"},
		{"handan", "retention[transactions]", "data transactions, days 1825", ""},
	} {
		got, ok := all[want.city][want.key]
		if !ok || got.Value != want.value || got.Clause != want.clause {
			t.Errorf("%s %s: %q from %v, want %q from %q", want.city, want.key, got.Value,
				got.Source, want.value, want.clause)
		}
	}
}

// The five cities side by side: the values in which they differ, then where each comes from.
func TestFiveCitiesDiffer(t *testing.T) {
	cities := []string{"handan", "zhoushan", "wenzhou", "shiyan", "zhengzhou"}
	cells := map[string]map[string]Setting{}
	var keys []string
	for _, city := range cities {
		for _, s := range load(t, city).Settings() {
			key := strings.ReplaceAll(s.Key, city, "*")
			if cells[key] == nil {
				cells[key] = map[string]Setting{}
				keys = append(keys, key)
			}
			cells[key][city] = s
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Values in which the five cities differ.\n")
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, key := range keys {
		values := map[string]bool{}
		for _, city := range cities {
			values[cells[key][city].Value] = true
		}
		if len(values) == 1 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", key)
		for _, city := range cities {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", city, sourceCell(cells[key], city), cells[key][city].Value)
		}
	}
	_ = w.Flush()
	fmt.Fprintf(&b, "\nThe clause of every value that has one in some city; rule: a product rule, "+
		"-: not there.\n\n")
	fmt.Fprintf(w, "key\t%s\n", strings.Join(cities, "\t"))
	for _, key := range keys {
		row, any := key, false
		for _, city := range cities {
			row += "\t" + sourceCell(cells[key], city)
			any = any || cells[key][city].Clause != ""
		}
		if any {
			fmt.Fprintln(w, row)
		}
	}
	_ = w.Flush()
	golden(t, "five-cities.txt", regexp.MustCompile(` +\n`).ReplaceAll(b.Bytes(), []byte("\n")))
}

func sourceCell(row map[string]Setting, city string) string {
	s, ok := row[city]
	switch {
	case !ok:
		return "-"
	case s.IsProductRule():
		return "rule"
	}
	return s.Clause
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -rewrite and review the difference", file)
	}
}

// Every word of a policy stands in a Value or in a record with a Source, so that none can be
// added that needs no source.
func TestEveryValueNeedsASource(t *testing.T) {
	exempt := []string{"City", "Version"}
	var walk func(typ reflect.Type, path string, sourced bool)
	walk = func(typ reflect.Type, path string, sourced bool) {
		if reflect.PointerTo(typ).Implements(reflect.TypeFor[sourcedValue]()) ||
			typ == reflect.TypeFor[Text]() {
			return
		}
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			walk(typ.Elem(), path, sourced)
		case reflect.Struct:
			_, here := typ.FieldByName("Source")
			for i := range typ.NumField() {
				f := typ.Field(i)
				if f.Type != reflect.TypeFor[Source]() && !slices.Contains(exempt, f.Name) {
					walk(f.Type, path+"."+f.Name, sourced || here)
				}
			}
		default:
			if !sourced {
				t.Errorf("%s bears no source", path)
			}
		}
	}
	walk(reflect.TypeFor[Policy](), "policy", false)
}

type sourcedValue = sourced

// ZZ2, WZ20, SY5, ZZ5: no value loads without its source. Each source of each file is taken away in turn.
func TestDuty_ZZ2_NoValueWithoutItsSource(t *testing.T) {
	source := regexp.MustCompile(`, clause: ("[^"]*"|\w+), date: [0-9-]+|, product_rule: "[^"]*"`)
	for _, city := range Cities() {
		text := fileOf(t, city)
		places := source.FindAllIndex(text, -1)
		if len(places) < 150 {
			t.Fatalf("%s: %d sources found", city, len(places))
		}
		for _, at := range places {
			cut := slices.Concat(text[:at[0]], text[at[1]:])
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			_, err := Read(city, cut)
			if err == nil || !strings.Contains(err.Error(), "source") {
				t.Errorf("%s:%d without %s: %v", city, line, text[at[0]:at[1]], err)
			}
		}
	}
}

func fileOf(t *testing.T, city string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "schemes", city+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each refusal names file, line and key, and says what to do.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ city, old, new, key, what string }{
		"unknown key": {"zhoushan", "freeze:\n", "freeze:\n  colour: red\n", "freeze.colour",
			"not a known key"},
		"unknown key beside a value": {"zhoushan", "{value: 4h, ", "{value: 4h, unit: h, ",
			"freeze.window.unit", "not a known key"},
		"missing": {"handan", "  window: {value: 2h, clause: HD19, date: 2015-02-01}\n", "",
			"freeze.window", "there is no default"},
		"no value": {"handan", "{value: 2h, clause: HD19", "{clause: HD19", "freeze.window",
			"value is missing"},
		"bare value": {"handan", "{value: 2h, clause: HD19, date: 2015-02-01}", "2h",
			"freeze.window", "has no source"},
		"two sources": {"handan", "{value: 2h, clause: HD19",
			"{value: 2h, product_rule: \"x\", clause: HD19", "freeze.window", "keep the one"},
		"no date": {"handan", "{value: 2h, clause: HD19, date: 2015-02-01}",
			"{value: 2h, clause: HD19}", "freeze.window", "no date"},
		"product rule with a date": {"handan", "product_rule: \"no text knows alarms",
			"date: 2015-02-01, product_rule: \"no text knows alarms", "freeze.alarms", "leave it out"},
		"clause of another text": {"handan", "{value: 2h, clause: HD19", "{value: 2h, clause: ZS17",
			"freeze.window", "of no text of this file"},
		"no clause": {"handan", "{value: 2h, clause: HD19", "{value: 2h, clause: HD0",
			"freeze.window", "of no text of this file"},
		"before the text": {"handan", "{value: 2h, clause: HD19, date: 2015-02-01}",
			"{value: 2h, clause: HD19, date: 2015-01-31}", "freeze.window", "came into force"},
		"twice": {"handan", "city: handan\n", "city: handan\ncity: handan\n", "city",
			"stands twice"},
		"no word": {"handan", "{value: done, clause: HD20", "{value: soon, clause: HD20",
			"release.release_closes", "known: [applied done]"},
		"no word of ours": {"handan", "{value: receipt,", "{value: whenever,", "freeze.from",
			"choose one of"},
		"no span": {"handan", "{value: 2h, clause: HD19", "{value: two, clause: HD19",
			"freeze.window", "write 2h"},
		"no number": {"handan", "{value: 10, clause: HD13", "{value: ten, clause: HD13",
			"life.validity_years", "whole number"},
		"no truth": {"handan", "bank_report: {value: true", "bank_report: {value: maybe",
			"report.bank_report", "neither true nor false"},
		"no period": {"handan", "{value: 15 working days, clause: HD22", "{value: 15, clause: HD22",
			"deadlines.renewal", "write \"30 days\""},
		"no date at all": {"handan", "in_force: 2015-02-01", "in_force: spring",
			"texts[0].in_force",
			"YYYY-MM-DD"},
		"empty text": {"handan", "basis: older cards are drawn in", "basis: \"\"",
			"families[1].basis", "is empty"},
		"null": {"handan", "{value: 2h, clause: HD19", "{value: ~, clause: HD19", "freeze.window",
			"want one value"},
		"no list": {"handan", "{value: [30m, 60m, 90m],", "{value: 30m,", "freeze.alarms",
			"want a list"},
		"no mapping": {"handan", "city: handan", "life: 3\ncity: handan", "life", "stands twice"},
		"alias":      {"handan", "city: handan", "city: &x handan", "", ""},
		"alarm late": {"handan", "[30m, 60m, 90m]", "[30m, 60m, 120m]", "freeze.alarms",
			"within the window"},
		"alarm order": {"handan", "[30m, 60m, 90m]", "[60m, 30m]", "freeze.alarms", "rise"},
		"no alarm":    {"handan", "[30m, 60m, 90m]", "[]", "freeze.alarms", "no alarm"},
		"no window": {"handan", "{value: 2h, clause: HD19", "{value: 0s, clause: HD19",
			"freeze.window", "longer than nothing"},
		"lease of a moment": {"handan", "lease: {value: 72h,", "lease: {value: 2s,", "freeze.lease",
			"a length of"},
		"lease for ever": {"handan", "lease: {value: 72h,", "lease: {value: 721h,", "freeze.lease",
			"a length of"},
		"margin": {"wenzhou", "lease_margin: {value: 5m,", "lease_margin: {value: 24h1m,", "freeze.lease",
			"a margin of"},
		"margin of no lease": {"shiyan", "lease_margin: {value: 0s,", "lease_margin: {value: 5m,",
			"freeze.lease", "a length of"},
		"nothing renews": {"handan", "[tap, purchase, load, verify, balance, issue]", "[]",
			"freeze.lease", "nothing renews"},
		"no contact": {"handan", "[tap, purchase, load, verify, balance, issue]", "[tap, thought]",
			"freeze.lease_renewed_by[1]", "no contact"},
		"nobody bears": {"handan", "{value: \"Access agreement for transit operators, clause 7\",",
			"{value: \"\",", "freeze.lease", "nobody bears"},
		"reopens": {"zhoushan", "{value: stays_closed,", "{value: reopens,",
			"release.refused_replacement", "cannot reopen"},
		"no terms": {"zhoushan", "allowed: {value: true, clause: ZS17",
			"allowed: {value: false, clause: ZS17", "pre_report.allowed", "add or remove"},
		"all frozen": {"shiyan", "{value: social,", "{value: all,", "suspension.terms.app",
			"one application"},
		"own boundary": {"shiyan", "{value: report_accepted,", "{value: freeze_due,",
			"liability.boundary", "with a clause"},
		"holder pays": {"handan", "{value: late_party,", "{value: holder,", "liability.after",
			"bears nothing"},
		"lead": {"handan", "{value: 90 days,", "{value: 30 days,", "life.renewal_open",
			"no earlier"},
		"chip lives": {"handan", "{value: [chip],", "{value: [qr],", "replacement.takes",
			"name chip"},
		"fee on first": {"handan", "event: first_issue, amount: 0",
			"event: first_issue, amount: 1", "tariffs[0].fees[0].amount", "free"},
		"no fee": {"handan", "event: renewal,", "event: release,", "tariffs[0].fees",
			"not priced"},
		"two fees": {"handan", "event: renewal,", "event: replacement,", "tariffs[0].fees[2]",
			"stands twice"},
		"party twice": {"handan", "id: utility,", "id: transit,", "parties[2]", "stands at"},
		"agency":      {"handan", "id: utility,", "id: agency,", "parties[2].id", "choose another"},
		"long name": {"handan", "id: utility,", "id: abcdefghijklmnopqrstuvwxyz,",
			"parties[2].id", "at most 24"},
		"bank's way": {"handan", "{value: issuer_link,", "{value: topic,", "parties[1].via",
			"issuer link"},
		"no such text": {"handan",
			"{value: true, product_rule: \"no text knows it: the balance is the holder's money\"}",
			"{value: true, clause: HD24, date: 2015-02-01}", "cancellation.refund",
			"no text says this"},
		"retention": {"handan",
			"days: 365, product_rule: \"no text sets a period; counted from the end of the account\"",
			"days: 365, clause: HD32, date: 2015-02-01", "retention[5]", "no text says this"},
		"never due": {"handan", "{value: 15 working days, clause: HD22",
			"{value: never, clause: HD22", "deadlines.renewal", "without a date"},
		"lost": {"handan", "{ground: damaged,", "{ground: lost,", "life.grounds[1]",
			"a loss is replaced"},
		"no ground": {"zhoushan", "{ground: surface_changed,", "{ground: other_invalid,",
			"corrections[2]", "add it there"},
		"waivable": {"handan", "offline_records, bank_function,", "bank_function,",
			"cancellation.waivable", "cannot be waived"},
		"two apps": {"handan", "{app: parking,", "{app: campus,", "applications[6]", "stands at"},
		"every app": {"handan", "{app: parking,", "{app: all,", "applications[6].app",
			"name one"},
		"issued end": {"handan", "mode: accept_only, basis: older", "mode: issue, basis: older",
			"families[1].until", "has no end"},
		"not YAML": {"handan", "city: handan", "city: [", "", "not YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			text := string(fileOf(t, c.city))
			if !strings.Contains(text, c.old) {
				t.Fatalf("the file does not hold %q", c.old)
			}
			_, err := Read("x.yaml", []byte(strings.Replace(text, c.old, c.new, 1)))
			if c.what == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkRefusal(t, err, c.key, c.what)
		})
	}
}

// checkRefusal looks for one error of a file with the key and the text.
func checkRefusal(t *testing.T, err error, key, what string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was read")
	}
	all, _ := err.(interface{ Unwrap() []error })
	for _, e := range all.Unwrap() {
		var f *FileError
		if !errors.As(e, &f) || f.File != "x.yaml" {
			t.Errorf("%v is no error of the file", e)
			continue
		}
		if f.Key == key && strings.Contains(f.What, what) && (f.Line > 0 || key == "") {
			return
		}
	}
	t.Errorf("no error at %q about %q:\n%v", key, what, err)
}

// A file with many errors tells the first and how many there are; a file too great is not
// looked at.
func TestErrorsMax(t *testing.T) {
	text := regexp.MustCompile(`product_rule: "[^"]*"`).ReplaceAll(fileOf(t, "handan"), []byte(`colour: red`))
	_, err := Read("x.yaml", text)
	if err == nil {
		t.Fatal("it was read")
	}
	all := err.(interface{ Unwrap() []error }).Unwrap()
	if len(all) != errorsMax+1 || !strings.Contains(all[errorsMax].Error(), "more") {
		t.Errorf("%d errors, the last %v", len(all), all[len(all)-1])
	}
	_, err = Read("x.yaml", bytes.Repeat([]byte("#\n"), fileMax/2+1))
	if err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a great file: %v", err)
	}
	if _, err := Read("x.yaml", nil); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty file: %v", err)
	}
	long := strings.Replace(string(fileOf(t, "handan")), "[30m, 60m, 90m]",
		"["+strings.Repeat("1m, ", entriesMax)+"1m]", 1)
	_, err = Read("x.yaml", []byte(long))
	checkRefusal(t, err, "freeze.alarms", "at most 400")
	long = strings.Replace(string(fileOf(t, "handan")), "no text knows alarms",
		strings.Repeat("x", textMax), 1)
	_, err = Read("x.yaml", []byte(long))
	checkRefusal(t, err, "freeze.alarms.product_rule", "at most 1000")
}

func TestTerms(t *testing.T) {
	for _, s := range []string{"1 day", "30 days", "15 working days", "1 working day", "never"} {
		term, err := ParseTerm(s)
		if err != nil || term.String() != s {
			t.Errorf("%q: %v, %v", s, term, err)
		}
	}
	for _, s := range []string{"", "0 days", "-1 days", "1 days", "2 day", "02 days", "2 weeks",
		"367 days", "days", "2  days", "1e2 days"} {
		if term, err := ParseTerm(s); err == nil {
			t.Errorf("%q was read as %v", s, term)
		}
	}
}

// Rules hold what the file says, for each city, and refuse a day from which a period would
// leave the calendar.
func TestRules(t *testing.T) {
	c := calendar(t)
	for _, city := range Cities() {
		r, err := load(t, city).Rules(c, today)
		if err != nil {
			t.Fatal(err)
		}
		if r.Scheme != city || len(r.Tariff) != 3 || len(r.Functions) != 8 || len(r.Families) != 4 ||
			len(r.Claims.Parties) != 6 || len(r.Fields) != 10 {
			t.Errorf("%s: %+v", city, r)
		}
	}
	hd, _ := load(t, "handan").Rules(c, today)
	zs, _ := load(t, "zhoushan").Rules(c, today)
	wz, _ := load(t, "wenzhou").Rules(c, today)
	sy, _ := load(t, "shiyan").Rules(c, today)
	zz, _ := load(t, "zhengzhou").Rules(c, today)
	for name, ok := range map[string]bool{
		"HD18 agent":          hd.Loss.Actors.Has(account.Agent) && hd.Loss.TellBank,
		"ZS17 holder only":    zs.Loss.Actors == account.SetOf(account.Holder),
		"ZS17 written":        zs.Loss.Forms == account.SetOf(account.Written),
		"WZ16 agency only":    wz.Loss.Channels == account.SetOf(account.AtAgency),
		"HD20 done":           hd.Release.Closes == account.ClosedWhenDone,
		"ZS18 applied":        zs.Release.Closes == account.ClosedWhenApplied,
		"HD19 due":            hd.Loss.Boundary == account.FreezeDue,
		"ZS17 telephone":      zs.PreReport.Allowed && zs.PreReport.Impossible && zs.PreReport.Lapse.N == 0,
		"no telephone":        !hd.PreReport.Allowed && !sy.PreReport.Allowed,
		"SY17":                len(sy.Suspensions) == 1 && sy.Suspensions[0].App == txn.AppSocial,
		"only SY17":           len(hd.Suspensions)+len(zs.Suspensions)+len(wz.Suspensions)+len(zz.Suspensions) == 0,
		"HD22":                hd.Limits.Replacement == account.Days{N: 15, Working: true},
		"HD23":                hd.Limits.RefuseWithin == account.Days{N: 5},
		"ZS16 must":           zs.Replacement.Duties == account.SetOf(account.NameChanged),
		"WZ15 may":            wz.Replacement.Duties == 0 && wz.Replacement.Grounds.Has(account.OtherInvalid),
		"HD24 ex officio":     hd.Cancellation.ExOfficio && wz.Cancellation.ExOfficio && !zs.Cancellation.ExOfficio,
		"WZ11 outlet":         wz.Functions[0].Channels == account.SetOf(account.AtOutlet),
		"ZZ19 bank first":     zz.Functions[2].AfterBank,
		"SY6 e-card":          sy.Application.ECardMeanwhile && !hd.Application.ECardMeanwhile,
		"HD28 hardship":       slices.Contains(hd.Tariff[2].Waivers, "hardship"),
		"name opens its own":  zs.Fields[0].Ground == account.NameChanged,
		"photograph: surface": zs.Fields[2].Ground == account.SurfaceChanged,
	} {
		if !ok {
			t.Error(name)
		}
	}
	_, last := c.Years()
	end := txn.BusinessDate(last*10000 + 1220)
	if _, err := load(t, "handan").Rules(c, end); !errors.Is(err, ErrBeyondCalendar) {
		t.Errorf("rules at the end of the calendar: %v", err)
	}
}

func TestRulesOfAnEmployer(t *testing.T) {
	text := bytes.Replace(fileOf(t, "handan"), []byte("employer: {value: true"),
		[]byte("employer: {value: false"), 1)
	p, err := Read("x.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Rules(calendar(t), today)
	if err != nil || r.Application.Actors.Has(account.Employer) {
		t.Errorf("%v, %v", r.Application.Actors.Values(), err)
	}
}

// Midnight is Chinese, wherever the switch stands.
func TestLocalDays(t *testing.T) {
	l := LocalDays{calendar(t)}
	midnight := txn.MillisOf(time.Date(2026, 2, 27, 16, 0, 0, 0, time.UTC))
	if d := l.Date(midnight); d != 20260228 {
		t.Errorf("local day %v", d)
	}
	if d := l.Date(midnight - 1); d != 20260227 {
		t.Errorf("local day before midnight %v", d)
	}
	if at := l.Start(20260228); at != midnight {
		t.Errorf("start %v", at.Time())
	}
	if !l.Working(20260228) || l.Working(20260223) || !l.Working(20991231) {
		t.Error("a made-up Saturday works, a holiday rests, an unknown day counts")
	}
}

// A tariff has versions; nothing beyond it can be booked.
func TestFees(t *testing.T) {
	text := string(fileOf(t, "handan"))
	at := strings.Index(text, "  - version: handan-1")
	end := strings.Index(text, "complaints:")
	second := strings.NewReplacer("handan-1", "handan-2", "2015-02-01\n    income", "2027-01-01\n    income",
		"amount: 2000", "amount: 2500").Replace(text[at:end])
	p, err := Read("x.yaml", []byte(text[:end]+second+text[end:]))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		event  account.Event
		at     txn.BusinessDate
		amount txn.Minor
		tariff string
	}{
		{account.FirstIssue, today, 0, "handan-1"},
		{account.Replacement, 20261231, 2000, "handan-1"},
		{account.Replacement, 20270101, 2500, "handan-2"},
	} {
		f, err := p.FeeOf(c.event, c.at)
		if err != nil || f.Amount != c.amount || f.Tariff != c.tariff || f.Income != "income/fees" {
			t.Errorf("%v on %v: %+v, %v", c.event, c.at, f, err)
		}
	}
	if _, err := p.FeeOf(account.LossReport, today); !errors.Is(err, ErrNoFee) {
		t.Errorf("a loss report costs: %v", err)
	}
	if _, err := p.FeeOf(account.FirstIssue, 20150131); !errors.Is(err, ErrNoFee) {
		t.Errorf("before the first tariff: %v", err)
	}
	f, _ := p.FeeOf(account.Replacement, today)
	if w, err := f.Waive(WaiverHardship); err != nil || w.Amount != 0 || f.Amount != 2000 {
		t.Errorf("hardship: %+v, %v", w, err)
	}
	if w, err := f.Waive("whim"); !errors.Is(err, ErrNoWaiver) || w.Amount != 2000 {
		t.Errorf("a whim: %+v, %v", w, err)
	}
	// The wrong order is refused.
	_, err = Read("x.yaml", []byte(text[:at]+second+text[at:]))
	checkRefusal(t, err, "tariffs[1].from", "sort by date")
}

// The published list follows the catalogue and its version follows the list.
func TestServiceList(t *testing.T) {
	p := load(t, "zhengzhou")
	l := p.ServiceList()
	if l.Version == "" || l.Version != p.ServiceList().Version || len(l.Functions) != 8 ||
		len(l.Services) != 8 || len(l.Fees) != 3 {
		t.Fatalf("%+v", l)
	}
	for _, s := range l.Services {
		if s.Conditions.ZH == "" || s.TimeLimit.EN == "" || len(s.Steps) == 0 {
			t.Errorf("%s lacks conditions, steps or time limit", s.ID)
		}
	}
	p.Applications = append(p.Applications, p.Applications[0])
	p.Applications[8].Name.EN = "Canteen"
	if m := p.ServiceList(); m.Version == l.Version || len(m.Functions) != 9 {
		t.Errorf("a new function changed nothing: %+v", m)
	}
}

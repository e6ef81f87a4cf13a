package inspect

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// sample is a good value of every field that a rule needs.
func sample() map[int]string {
	return map[int]string{2: "4000000000000002", 3: "000000", 4: "000000000250", 7: "0615083100",
		11: "000002", 12: "083105", 13: "0615", 14: "3012", 18: "4111", 22: "051", 25: "00",
		32: "03060000", 33: "03080000", 35: "4000000000000002=30122010000012345",
		37: "150615000002",
		38: "123456", 39: "00", 41: "00000001", 42: "898310041110001",
		48: strings.Repeat("0000000002500010000000000000000", 2), 49: "156", 53: "2600000000000000",
		55: "9A03260615", 60: "22000001000", 61: "0000010000010615", 63: "303031", 70: "301",
		90: "020000000206150831000000306000000003080000"}
}

// packed packs a message.
func packed(t testing.TB, spec, mti string, fields map[int]string) string {
	t.Helper()
	named := map[string]string{}
	for n, value := range fields {
		named[fmt.Sprint(n)] = value
	}
	doc, err := json.Marshal(map[string]any{"mti": mti, "fields": named})
	if err != nil {
		t.Fatal(err)
	}
	out, err := packedBy(Packer{Spec: formatOf(t, spec).Spec}, string(doc))
	if err != nil {
		t.Fatalf("%s %v: %v", mti, fields, err)
	}
	return strings.TrimSpace(out)
}

// findingsOf lints the frames of a text. readable is whether all are messages.
func findingsOf(t testing.TB, spec, text string) (all []Finding, readable bool) {
	t.Helper()
	out, readable := linted(t, formatOf(t, spec), text, true)
	dec := json.NewDecoder(strings.NewReader(out))
	for dec.More() {
		var f Finding
		if err := dec.Decode(&f); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all, readable
}

// linted is what is written of the frames of a text.
func linted(t testing.TB, o *Format, text string, asJSON bool) (out string, readable bool) {
	t.Helper()
	var b bytes.Buffer
	readable = true
	err := o.Frames(Auto, strings.NewReader(text), "stdin", func(f Frame) error {
		all, ok := o.Lint(f)
		readable = readable && ok
		return WriteFindings(&b, f, all, asJSON)
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), readable
}

// ruleFields is a good request of a rule.
func ruleFields(r rule) map[int]string {
	fields := map[int]string{}
	for _, n := range r.needs {
		fields[n] = sample()[n]
	}
	if r.card {
		fields[2] = sample()[2]
	}
	kind, network := "22", "000"
	if len(r.kinds) > 0 {
		kind = r.kinds[0]
	}
	if len(r.network) > 0 {
		network = r.network[0]
	}
	fields[60] = kind + "000001" + network
	if r.code != "" {
		fields[3] = r.code
	}
	if r.condition != "" {
		fields[25] = r.condition
	}
	if r.original {
		fields[39] = "98"
	}
	return fields
}

// Every kind of message is clean as it should be, also sent again, and each of its fields is
// missed.
func TestLintRules(t *testing.T) {
	for _, r := range posRules() {
		fields := ruleFields(r)
		for _, mti := range []message.MTI{r.mti, r.mti.Repeat()} {
			if all, _ := findingsOf(t, "cup_pos", packed(t, "cup_pos", mti.String(),
				fields)); len(all) > 0 {
				t.Errorf("%s: %+v", r.name, all)
			}
		}
		described, _ := describe(t, formatOf(t, "cup_pos"), show{}, packed(t, "cup_pos",
			r.mti.String(), fields))
		if !strings.Contains(described, ": "+r.name+"\n") {
			t.Errorf("%s is described as %.200s", r.name, described)
		}
		for _, n := range r.needs {
			if n == 60 {
				continue
			}
			less := maps.Clone(fields)
			delete(less, n)
			all, readable := findingsOf(t, "cup_pos", packed(t, "cup_pos", r.mti.String(), less))
			if !readable || !slices.ContainsFunc(all, func(f Finding) bool {
				return f.Field == n && f.Rule == "mandatory"
			}) {
				t.Errorf("%s without field %d: %+v", r.name, n, all)
			}
		}
		if r.card {
			less := maps.Clone(fields)
			delete(less, 2)
			if all, _ := findingsOf(t, "cup_pos", packed(t, "cup_pos", r.mti.String(),
				less)); len(all) != 1 {
				t.Errorf("%s without a card: %+v", r.name, all)
			}
		}
	}
}

// The table is the one of the domain reference: type, 3, 25, 60.1 and 60.3, and what a message
// needs besides what all of money have.
func TestRulesAreThoseOfTheReference(t *testing.T) {
	want := []string{
		"0200 310000 00 01", "0200 000000 00 22", "0200 200000 00 23 +37 +61",
		"0220 200000 00 25 +37 +61", "0100 030000 06 10", "0100 200000 06 11 +38 +61",
		"0200 000000 06 20 +38 +61", "0200 200000 06 21 +61", "0220 000000 06 24 +38 +61",
		"0220 000000 00 30", "0220 000000 00 32", "0220 000000 00 34", "0200 600000 91 45",
		"0200 620000 91 47", "0200 630000 91 46",
	}
	money := []int{3, 4, 11, 22, 25, 41, 42, 49, 60}
	var got []string
	for _, r := range posRules() {
		if r.code == "" {
			continue
		}
		text := fmt.Sprintf("%v %s %s %s", r.mti, r.code, r.condition, strings.Join(r.kinds, ","))
		for _, n := range r.needs {
			if !slices.Contains(money, n) {
				text += fmt.Sprintf(" +%d", n)
			}
		}
		if amount := slices.Contains(r.needs, 4); amount == (r.code == "310000") || !r.card {
			t.Errorf("%s: amount %v, card %v", r.name, amount, r.card)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("rules\n%q, want\n%q", got, want)
	}
	for network, name := range map[string]string{"0800 001": "sign-on", "0800 003": "sign-on",
		"0800 004": "sign-on", "0820 002": "sign-off", "0820 301": "echo", "0500 201": "settlement",
		"0320 201": "batch upload", "0320 207": "end of the batch upload",
		"0320 202": "end of the batch upload", "0620 951": "script result",
		"0800 360": "parameter download", "0800 390": "black list", "0800 391": "black list"} {
		mti, code, _ := strings.Cut(network, " ")
		out, _ := describe(t, formatOf(t, "cup_pos"), show{}, packed(t, "cup_pos", mti,
			map[int]string{11: "000001", 60: "00000001" + code}))
		if !strings.Contains(out, ": "+name+"\n") {
			t.Errorf("%s is not a %s:\n%s", network, name, out)
		}
	}
}

// Each thing that lint knows is found, alone, where it is.
func TestLintFinds(t *testing.T) {
	purchase := func(change map[int]string) map[int]string {
		fields := ruleFields(posRules()[1])
		for n, value := range change {
			if fields[n] = value; value == "" {
				delete(fields, n)
			}
		}
		return fields
	}
	answer := map[int]string{12: "083105", 13: "0615", 37: "150615000002", 39: "00", 15: "0615"}
	with := func(m map[int]string, n int, value string) map[int]string {
		m = maps.Clone(m)
		m[n] = value
		return m
	}
	for name, c := range map[string]struct {
		mti    string
		change map[int]string
		want   string // field and rule; "" is clean
	}{
		"clean":        {"0200", map[int]string{35: sample()[35], 14: "3012"}, ""},
		"clean answer": {"0210", answer, ""},
		"transit card": {"0200", map[int]string{2: "3104000000000000001"}, ""},
		"check digit":  {"0200", map[int]string{2: "4000000000000003"}, "2 luhn"},
		"other track": {"0200", map[int]string{35: "4000000000000010=30122010000012345"},
			"35 track2"},
		"other expiry":      {"0200", map[int]string{35: sample()[35], 14: "3011"}, "35 track2"},
		"no track":          {"0200", map[int]string{35: "4000000000000002"}, "35 track2"},
		"encrypted track":   {"0200", map[int]string{35: "1234567890", 53: "2610000000000000"}, ""},
		"time sent":         {"0200", map[int]string{7: "0615240000"}, "7 time"},
		"date sent":         {"0200", map[int]string{7: "0230100000"}, "7 time"},
		"local time":        {"0210", with(answer, 12, "236000"), "12 time"},
		"local date":        {"0210", with(answer, 13, "1301"), "13 time"},
		"settlement date":   {"0210", with(answer, 15, "0631"), "15 time"},
		"leap day":          {"0210", with(answer, 13, "0229"), ""},
		"month of expiry":   {"0200", map[int]string{14: "3013"}, "14 time"},
		"no expiry":         {"0200", map[int]string{14: "0000"}, ""},
		"unknown code":      {"0210", with(answer, 39, "ZZ"), "39 code"},
		"declined":          {"0210", map[int]string{12: "083105", 13: "0615", 39: "51"}, ""},
		"approved, no RRN":  {"0210", with(answer, 37, ""), "37 mandatory"},
		"code in a request": {"0200", map[int]string{39: "00"}, "39 code"},
		"amount":            {"0200", map[int]string{4: "000000000000"}, "4 amount"},
		"short 60":          {"0200", map[int]string{60: "2200000100"}, "60 layout"},
		"long 60":           {"0200", map[int]string{60: "220000010006010010"}, "60 layout"},
		"short 61":          {"0200", map[int]string{61: "00000100000"}, "61 layout"},
		"date in 61":        {"0200", map[int]string{61: "0000010000010632"}, "61 time"},
		"kind":              {"0200", map[int]string{60: "99000001000"}, "60 combination"},
		"code of a void":    {"0200", map[int]string{3: "200000"}, "3 combination"},
		"condition":         {"0200", map[int]string{25: "06"}, "25 combination"},
		"type":              {"0600", nil, "0 combination"},
		"reversal's reason": {"0400", map[int]string{39: "51", 61: sample()[61]}, "39 code"},
		"reversal of none": {"0400", map[int]string{39: "98", 61: sample()[61], 25: "08"},
			"3 combination"},
	} {
		all, readable := findingsOf(t, "cup_pos", packed(t, "cup_pos", c.mti, purchase(c.change)))
		got := ""
		for _, f := range all {
			if f.Text == "" || f.Line != 1 || f.Source != "stdin" {
				t.Errorf("%s: %+v", name, f)
			}
			got += fmt.Sprintf("%d %s;", f.Field, f.Rule)
		}
		want := c.want
		if want != "" {
			want += ";"
		}
		// A layout that cannot be read has no kind either.
		if got = strings.TrimPrefix(got, "60 combination;"); name == "kind" {
			want = ""
		}
		if got != want || (len(all) == 0) != (c.want == "") || !readable {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Filler nibbles, lower-case hex and fields behind the MAC are things of bytes.
func TestLintBytes(t *testing.T) {
	fields := ruleFields(posRules()[1])
	fields[2] = "6222600000000000001"
	for d := range 10 {
		fields[2] = fmt.Sprintf("622260000000000000%d", d)
		if all, _ := findingsOf(t, "cup_pos", packed(t, "cup_pos", "0200",
			fields)); len(all) == 0 {
			break
		}
	}
	frame := packed(t, "cup_pos", "0200", fields)
	at := strings.Index(frame, fields[2]) + 19
	filled := frame[:at] + "F" + frame[at+1:]
	all, readable := findingsOf(t, "cup_pos", frame+"\n"+filled+"\n")
	if !readable || len(all) != 1 || all[0].Field != 2 || all[0].Rule != "filler" ||
		all[0].Line != 2 {
		t.Errorf("%v %+v", readable, all)
	}
	bank := maps.Clone(sample())
	maps.DeleteFunc(bank, func(n int, _ string) bool {
		return !slices.Contains([]int{2, 3, 4, 7, 11, 12, 13, 18, 22, 25, 32, 33, 37, 41, 42, 49,
			53}, n)
	})
	for _, spec := range []string{"cups", "iso87_ascii", "iso87_bcd"} {
		clean := packed(t, spec, "0200", bank)
		if all, _ := findingsOf(t, spec, clean); len(all) > 0 {
			t.Errorf("%s: %+v", spec, all)
		}
	}
	bank[52] = "ABCDEF0123456789"
	lower := packed(t, "iso87_ascii", "0200", bank)
	lower = strings.Replace(lower, "414243444546", "616263646566", 1)
	all, _ = findingsOf(t, "iso87_ascii", lower)
	if len(all) != 1 || all[0].Field != 52 || all[0].Rule != "canonical" {
		t.Errorf("%+v", all)
	}
	delete(bank, 52)
	bank[64], bank[70] = "0011223344556677", "301"
	all, _ = findingsOf(t, "iso87_ascii", packed(t, "iso87_ascii", "0200", bank))
	if len(all) != 1 || all[0].Field != -1 || all[0].Rule != "mac" {
		t.Errorf("%+v", all)
	}
}

// Between banks: what is missing, and the original of a reversal.
func TestLintBanks(t *testing.T) {
	sample := sample()
	pick := func(numbers ...int) map[int]string {
		m := map[int]string{}
		for _, n := range numbers {
			m[n] = sample[n]
		}
		return m
	}
	reversal := pick(2, 3, 4, 7, 11, 32, 33, 37, 41, 42, 49, 90)
	wrong := maps.Clone(reversal)
	for value, rule := range map[string]string{
		sample[90]: "",
		"021000000206150831000000306000000003080000": "layout",
		"020000000006150831000000306000000003080000": "layout",
		"020000000206310831000000306000000003080000": "time",
		"009900000206150831000000306000000003080000": "layout",
	} {
		wrong[90] = value
		all, _ := findingsOf(t, "cups", packed(t, "cups", "0420", wrong))
		if rule == "" && len(all) > 0 || rule != "" && (len(all) != 1 || all[0].Field != 90 ||
			all[0].Rule != rule) {
			t.Errorf("%s: %+v", rule, all)
		}
	}
	delete(wrong, 90)
	for _, c := range []struct {
		mti    string
		fields map[int]string
		missed int
	}{
		{"0420", wrong, 90}, {"0800", pick(7, 11), 70}, {"0810", pick(7, 11, 70), 39},
		{"0210", pick(3, 4, 7, 11), 39}, {"0210", pick(3, 7, 11, 39), 4}, {"0620", pick(7), 11},
	} {
		all, readable := findingsOf(t, "cups", packed(t, "cups", c.mti, c.fields))
		if !readable || len(all) != 1 || all[0].Field != c.missed ||
			all[0].Rule != "mandatory" {
			t.Errorf("%s without %d: %+v", c.mti, c.missed, all)
		}
	}
	balance := pick(3, 7, 11, 41, 49)
	balance[3] = "310000"
	if all, _ := findingsOf(t, "iso87_bcd", packed(t, "iso87_bcd", "0200",
		balance)); len(all) > 0 {
		t.Errorf("balance: %+v", all)
	}
}

// A settlement and an upload are read to the last digit; an unreadable frame is a finding.
func TestLintSettlement(t *testing.T) {
	rules := posRules()
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == "settlement" })
	fields := ruleFields(rules[i])
	for value, n := range map[string]int{sample()[48]: 0, sample()[48][1:]: 1,
		sample()[48][:61] + "1": 1, sample()[48][:61] + "9": 1} {
		fields[48] = value
		all, _ := findingsOf(t, "cup_pos", packed(t, "cup_pos", "0500", fields))
		if len(all) != n || n > 0 && (all[0].Field != 48 || all[0].Rule != "layout") {
			t.Errorf("%d findings wanted: %+v", n, all)
		}
	}
	upload := map[int]string{11: "000001", 41: "00000001", 42: "898310041110001", 60: "00000001201",
		48: "0122000002000040000000000000020000000002500"}
	all, _ := findingsOf(t, "cup_pos", packed(t, "cup_pos", "0320", upload))
	if len(all) != 1 || all[0].Field != 48 {
		t.Errorf("upload: %+v", all)
	}
	out, readable := linted(t, formatOf(t, "cup_pos"), "6000030000603100310003\n", false)
	if readable || !strings.Contains(out, "stdin:1: frame: unreadable") {
		t.Errorf("%v %s", readable, out)
	}
}

// Findings show no content: neither of good fields nor of bad ones.
func TestLintShowsNothing(t *testing.T) {
	secrets := []string{"4000000000000003", "4000000000000010", "30122010000012345",
		"A1B2C3D4E5F60718"}
	fields := ruleFields(posRules()[1])
	fields[2], fields[35], fields[52], fields[14] = secrets[0], secrets[1]+"="+secrets[2],
		secrets[3], "3013"
	frame := packed(t, "cup_pos", "0200", fields)
	for cut := 30; cut <= len(frame); cut += 2 {
		for _, asJSON := range []bool{true, false} {
			out, _ := linted(t, formatOf(t, "cup_pos"), frame[:cut]+"\n", asJSON)
			for _, secret := range secrets {
				if strings.Contains(out, secret) {
					t.Fatalf("%s is shown", secret[:4])
				}
			}
		}
	}
}

// With a key the MAC is verified, described as right or wrong, and a wrong one is a finding.
func TestMAC(t *testing.T) {
	const key = "0123456789ABCDEFFEDCBA9876543210"
	seen := 0
	for _, g := range goldens(t) {
		if g.MAK != key {
			continue
		}
		seen++
		for text, want := range map[string]string{key: "right",
			strings.Repeat("11", 16): "wrong"} {
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			o := formatOf(t, g.Spec)
			if o.MAC, err = mac.New(mac.CUPTDES, raw); err != nil {
				t.Fatal(err)
			}
			out, _ := describe(t, o, show{json: true}, g.Hex)
			findings, readable := linted(t, o, g.Hex, false)
			if !strings.Contains(out, `"mac":"`+want+`"`) || !readable ||
				strings.Contains(findings, "does not hold") != (want == "wrong") {
				t.Errorf("%s: want %s: %s", g.ID, want, findings)
			}
		}
	}
	if seen == 0 {
		t.Error("no message with a MAC")
	}
}

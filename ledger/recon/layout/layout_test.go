package layout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/layout"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const day = txn.BusinessDate(20261120)

func example(t testing.TB, name string) *layout.Layout {
	t.Helper()
	text, err := fs.ReadFile(deploy.Recon(), name+".yaml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := layout.Read(name+".yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func file(l *layout.Layout, text []byte) *layout.File {
	return &layout.File{Layout: l, Path: "in/file.txt", Day: day,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}
}

func read(f *layout.File) (rows []recon.Row, err error) {
	err = f.Rows(context.Background(), func(r *recon.Row) error {
		rows = append(rows, *r)
		return nil
	})
	return rows, err
}

func gb(s string) []byte {
	b, err := simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(s))
	if err != nil {
		panic("layout_test: internal error: " + err.Error())
	}
	return b
}

// ride is one line of the clearing file, of exactly 160 bytes.
func ride(n int, kind, status string, amount int) []byte {
	b := fmt.Appendf(nil, "10%-4s%06d1120083000%-19s%012d%-8s%-15s", kind, n, "622848*********1234",
		amount, fmt.Sprintf("T%07d", n/10), "M00000000000001")
	note := gb("深圳地铁㐀")
	b = append(b, note...)
	b = append(b, bytes.Repeat([]byte{' '}, 40-len(note))...)
	b = fmt.Appendf(b, "%012d%-6s20261120%-6s%s", n, "A1", "000001", status)
	return append(b, bytes.Repeat([]byte{' '}, 160-len(b))...)
}

// clearing is a clearing file of n purchases and one refund.
func clearing(n int) [][]byte {
	lines := [][]byte{[]byte("0020261120")}
	for i := range n {
		lines = append(lines, ride(i+1, "S22", "00", 100+i))
	}
	lines = append(lines, ride(n+1, "E84", "00", 50))
	return append(lines, fmt.Appendf(nil, "99%010d%016d%016d", n+1, 100*n+n*(n-1)/2, 50))
}

func join(lines [][]byte) []byte { return append(bytes.Join(lines, []byte("\r\n")), '\r', '\n') }

func TestFixedWidth(t *testing.T) {
	f := file(example(t, "clearing-fixed"), join(clearing(3)))
	rows, err := read(f)
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	r := rows[1]
	if r.Amount != 101 || r.Place.Line != 3 || r.Text[recon.Last4] != "1234" || r.Text[recon.STAN] != "000002" ||
		r.Text[recon.Note] != "深圳地铁㐀" || r.Text[recon.Kind] != "bank_purchase" || r.Date != day ||
		r.At.Time().Format("2006-01-02T15:04:05Z") != "2026-11-20T00:30:00Z" {
		t.Errorf("%+v", r)
	}
	if rows[3].Amount != -50 {
		t.Errorf("the refund is %d", rows[3].Amount)
	}
	if len(f.SHA256()) != 64 || f.Name() != "file.txt" {
		t.Errorf("%s %s", f.SHA256(), f.Name())
	}
}

// What is wrong with a file, and what becomes of it: nothing of it is ever lost in silence.
func TestFaultsOfAFile(t *testing.T) {
	good := clearing(3)
	at := func(line int, change func([]byte) []byte) [][]byte {
		lines := clearing(3)
		lines[line] = change(lines[line])
		return lines
	}
	for _, c := range []struct {
		name  string
		lines [][]byte
		want  error
	}{
		{"whole", good, nil},
		{"cut off before the trailer", good[:4], layout.ErrControl},
		{"cut off in a line", append(clearing(3)[:3], good[3][:80]), layout.ErrRefused},
		{"empty", nil, layout.ErrControl},
		{"header only", good[:1], layout.ErrControl},
		{"no header", good[1:], layout.ErrControl},
		{"a header in the middle", append(clearing(3)[:3], good...), layout.ErrControl},
		{"a line after the trailer", append(clearing(3), good[1]), layout.ErrControl},
		{"a line is lost", append(clearing(3)[:2], good[3:]...), layout.ErrControl},
		{"a line twice", append(clearing(3)[:2], good[1:]...), layout.ErrControl},
		{"garbage in the middle", at(2, func([]byte) []byte { return []byte("\x00\xff\xfe garbage") }),
			layout.ErrRefused},
		{"another day", at(0, func([]byte) []byte { return []byte("0020261119") }), layout.ErrControl},
		{"an amount changed", at(2, func(b []byte) []byte {
			b[52] = '9'
			return b
		}), layout.ErrControl},
		{"an amount with a letter", at(2, func(b []byte) []byte {
			b[52] = 'O'
			return b
		}), layout.ErrRefused},
		{"a trailer with a letter", at(5, func(b []byte) []byte {
			b[4] = 'x'
			return b
		}), layout.ErrControl},
		{"half a character", at(2, func(b []byte) []byte {
			b[76] = 0xff
			return b
		}), layout.ErrRefused},
		{"an unknown kind", at(2, func(b []byte) []byte {
			b[2] = 'Z'
			return b
		}), layout.ErrRefused},
		{"a line too long", at(2, func(b []byte) []byte { return append(b, ' ') }), layout.ErrRefused},
		{"a line far too long", at(2, func(b []byte) []byte {
			return append(b, bytes.Repeat([]byte{' '}, 600<<10)...)
		}), layout.ErrRefused},
	} {
		_, err := read(file(example(t, "clearing-fixed"), join(c.lines)))
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

const statement = "交易日期,交易时间,贷方发生额,借方发生额,流水号,商户号,摘要\n" +
	"2026-11-20,08:30:00,\"1,234.50\",,A1,M1,\"a \"\"b\"\", c\"\n" +
	"2026-11-20,,,50.00,A2,,手续费\n"

func TestCSV(t *testing.T) {
	l := example(t, "bank-csv")
	rows, err := read(file(l, gb(statement+"合计,,1234.50,50.00,,,\n")))
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if r := rows[0]; r.Amount != 123450 || r.Text[recon.Note] != `a "b", c` ||
		r.At.Time().Hour() != 0 || r.Date != day || r.Place.Line != 2 {
		t.Errorf("%+v", r)
	}
	if r := rows[1]; r.Amount != -5000 || r.Text[recon.Note] != "手续费" || r.At != 0 {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"no trailer":        {statement, layout.ErrControl},
		"wrong trailer":     {statement + "合计,,1.00,50.00,,,\n", layout.ErrControl},
		"a column is gone":  {strings.Replace(statement, "流水号", "号", 1), layout.ErrControl},
		"only a name line":  {statement[:strings.Index(statement, "\n")], layout.ErrControl},
		"nothing":           {"", layout.ErrControl},
		"trailer, then row": {statement + "合计,,1234.50,50.00,,,\n2026-11-20,,1.00,,A3,,\n", layout.ErrControl},
	} {
		if _, err := read(file(l, gb(c.text))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Lines that are held back come in their place, each with its reason, and the trailer tells
// what they must make.
func TestHeldLines(t *testing.T) {
	text := statement + "2026-11-20,,x,,A3,,\n2026-11-20,\"never closed\n\x00\n" +
		"2026-11-20,,1.00,,A4,,\n合计,,1335.50,50.00,,,\n"
	rows, err := read(file(example(t, "bank-csv"), gb(text)))
	if err != nil {
		t.Fatal(err)
	}
	held, good := 0, 0
	for _, r := range rows {
		if r.Marks&recon.Unreadable == 0 {
			good++
			continue
		}
		held++
		if r.Text[recon.Note] == "" {
			t.Errorf("line %d is held without a reason", r.Place.Line)
		}
	}
	if good != 3 || held != 4 || !strings.Contains(rows[len(rows)-1].Text[recon.Note], "must be 10000 ") {
		t.Errorf("%d good, %d held: %v", good, held, rows[len(rows)-1].Text[recon.Note])
	}
	many := statement + strings.Repeat("x\n", layout.HeldMax+1)
	if _, err := read(file(example(t, "bank-csv"), gb(many))); !errors.Is(err, layout.ErrRefused) {
		t.Errorf("%v, want refused", err)
	}
}

// Lines that are held back count among those that the trailer names.
func TestHeldLinesCount(t *testing.T) {
	l, err := layout.Read("x.yaml", []byte("layout: x\nformat: csv\nencoding: utf-8\non_error: hold\nrecords:\n"+
		"  - {role: detail, columns: [{to: amount, at: 1}]}\n"+
		"  - {role: trailer, when: {at: 1, is: T}, columns: [{to: count, at: 2}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for count, want := range map[string]error{"3": nil, "2": layout.ErrControl, "4": layout.ErrControl} {
		if _, err := read(file(l, []byte("1\nx\n2\nT,"+count+"\n"))); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("count %s: %v, want %v", count, err, want)
		}
	}
}

func camt(entries string, closing string) []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
<BkToCstmrStmt><Stmt><Id>1</Id>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">100.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">` + closing + `</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<TxsSummry><TtlNtries><NbOfNtries>3</NbOfNtries></TtlNtries></TxsSummry>` + entries + `</Stmt></BkToCstmrStmt></Document>`)
}

const entries = `
<Ntry><Amt Ccy="CNY">12.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-20</Dt></BookgDt>
<AcctSvcrRef>B1</AcctSvcrRef><NtryDtls>
<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><Amt Ccy="CNY">10.00</Amt></TxDtls>
<TxDtls><Refs><EndToEndId>E2</EndToEndId></Refs><Amt Ccy="CNY">2.5</Amt></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="CNY">3.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><BookgDt><DtTm>2026-11-20T08:00:00.25+01:00</DtTm></BookgDt></Ntry>
<Ntry><Amt Ccy="CNY">9.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>PDNG</Sts></Ntry>`

func TestCamt053(t *testing.T) {
	l := example(t, "camt053")
	rows, err := read(file(l, camt(entries, "109.50")))
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if a, b := rows[0], rows[1]; a.Amount != 1000 || b.Amount != 250 || a.Text[recon.RRN] != "E1" ||
		b.Text[recon.RRN] != "E2" || b.Text[recon.ID] != "B1" || a.Date != day || a.Currency != 156 {
		t.Errorf("%+v %+v", a, b)
	}
	if r := rows[2]; r.Amount != -300 || r.At.Time().Format("15:04:05.000") != "07:00:00.250" {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		text []byte
		want error
	}{
		"wrong balance": {camt(entries, "110.00"), layout.ErrControl},
		"cut off":       {camt(entries, "109.50")[:900], layout.ErrRefused},
		"entry lost":    {camt(entries[:strings.LastIndex(entries, "<Ntry>")], "109.50"), layout.ErrControl},
		"details differ": {camt(strings.Replace(entries, ">2.5<", ">2.6<", 1), "109.50"),
			layout.ErrRefused},
		"no direction": {camt(strings.Replace(entries, "DBIT", "DEBT", 1), "109.50"), layout.ErrRefused},
		"entities": {append([]byte(`<!DOCTYPE a [<!ENTITY b "c">]>`), camt(entries, "109.50")...),
			layout.ErrRefused},
		"nested":    {[]byte(strings.Repeat("<a>", 100)), layout.ErrRefused},
		"a text":    {[]byte("<Ntry><Amt>" + strings.Repeat("1", 100_000) + "</Amt></Ntry>"), layout.ErrRefused},
		"one token": {[]byte("<a b='" + strings.Repeat("1", 3<<20) + "'/>"), layout.ErrRefused},
		"nothing":   {nil, layout.ErrControl},
	} {
		if _, err := read(file(l, c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestClaims(t *testing.T) {
	l := example(t, "batch-claims")
	head := "terminal,batch,debits,debit_minor,credits,credit_minor\n"
	claims, err := file(l, []byte(head+"T1,000001,2,350,1,50\n")).Claims(context.Background())
	if err != nil || len(claims) != 1 || claims[0] != (recon.Claim{Terminal: "T1", Batch: "000001",
		Tally: recon.Tally{Debits: 2, Debit: 350, Credits: 1, Credit: 50}}) {
		t.Errorf("%v %v", claims, err)
	}
	_, err = file(l, []byte(head+"T1,000001,2,x,1,50\n")).Claims(context.Background())
	if !errors.Is(err, layout.ErrRefused) {
		t.Errorf("%v, want refused", err)
	}
}

// Every file that the binary carries is a layout or a plan without a fault.
func TestExamples(t *testing.T) {
	names, err := fs.Glob(deploy.Recon(), "*.yaml")
	if err != nil || len(names) < 7 {
		t.Fatalf("%v %v", names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(deploy.Recon(), name)
		if err != nil {
			t.Fatal(err)
		}
		kind, called, err := layout.Lint(name, text)
		if err != nil {
			t.Error(err)
		}
		if want := "layout"; strings.HasPrefix(name, "plan-") {
			want = "plan"
			if kind != want {
				t.Errorf("%s is a %s", name, kind)
			}
		}
		if called != strings.TrimPrefix(strings.TrimSuffix(name, ".yaml"), "plan-") {
			t.Errorf("%s calls itself %s", name, called)
		}
	}
}

// Faults of descriptions are told with their line and what to do.
func TestLintNamesLineAndReason(t *testing.T) {
	head := "layout: x\nformat: fixed\nencoding: gbk\non_error: refuse\n"
	detail := "records:\n  - role: detail\n    columns:\n"
	for text, want := range map[string]string{
		"":                             "x.yaml:1: want a mapping",
		"a: [":                         "x.yaml:1: not YAML",
		"layout: x\n":                  "format is missing",
		head + "colour: red\n":         `x.yaml:5: a layout has no "colour"`,
		head + "length: 0\n":           `x.yaml:5: "0": want a number`,
		head + "zone: Asia/Shanghai\n": `x.yaml:5: "Asia/Shanghai": want an offset`,
		head + "name: y\n":             "known are",
		head + detail + "      - {to: amount, at: 3}\n":                                                "x.yaml:8: column to amount needs at and width",
		head + detail + "      - {to: money, at: 3, width: 2}\n":                                       `x.yaml:8: column to "money"`,
		head + detail + "      - {to: stan, at: 3, width: 2}\n":                                        `has no amount`,
		head + detail + "      - {to: amount, at: 3, width: 2, format: YYYY}\n":                        "x.yaml:8: column to amount has no format",
		head + detail + "      - {to: at, at: 3, width: 2, format: YYYYQQ}\n":                          `x.yaml:8: format "YYYYQQ"`,
		head + detail + "      - {to: at, at: 3, width: 2, format: DDDD}\n":                            "DD stands twice",
		head + detail + "      - {to: date, at: 3, width: 2}\n":                                        "is missing; write YYYYMMDD",
		head + detail + "      - {to: count, at: 3, width: 2}\n":                                       "x.yaml:8: column to count belongs to a header",
		head + detail + "      - {to: card, at: 3, width: 19}\n":                                       "give last4 instead",
		head + detail + "      - {to: amount, at: 3, width: 4}\n      - {to: stan, at: 5, width: 6}\n": "x.yaml:9: column to stan overlaps",
		head + "length: 5\n" + detail + "      - {to: amount, at: 3, width: 4}\n":                      "beyond the line of 5",
		head + "records:\n  - role: trailer\n    columns: [{to: amount, at: 1, width: 2}]\n":           "belongs to a detail",
		head + "records: []\n": "no record is a detail",
		head + "layout: y\n":   "x.yaml:",
		"plan: p\nrules: []\n": "rules",
		"plan: p\nrules:\n  - {name: a, key: [rrn], shape: round}\n": `x.yaml:3: unknown shape`,
		"plan: p\nidentity: [[nothing]]\n":                           `x.yaml:2: unknown field "nothing"`,
		"plan: p\ncut_off: 25\n":                                     `x.yaml:2: "25": want a time of day`,
		"plan: p\nselect: {note: [1], other: [2]}\n":                 `select has no "other"`,
		strings.Repeat("#", layout.DescriptionMax+1):                 "at most",
	} {
		_, _, err := layout.Lint("x.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// Any amount that is written down is read as it was, in each way of writing it.
func TestAmountsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(-999_999_999_999, 999_999_999_999).Draw(t, "amount")
		sign, abs := "", v
		if v < 0 {
			sign, abs = "-", -v
		}
		shape := rapid.SampledFrom([]string{"point", "implied", "behind"}).Draw(t, "shape")
		column, text := "{to: amount, name: a, point: true}", fmt.Sprintf("%s%d.%02d", sign, abs/100, abs%100)
		switch shape {
		case "implied":
			column, text = "{to: amount, name: a}", fmt.Sprintf("%s%d", sign, abs)
		case "behind":
			column, text = "{to: amount, name: a}", fmt.Sprintf("%d%s", abs, sign)
		}
		l, err := layout.Read("x.yaml", []byte("layout: x\nformat: csv\nencoding: utf-8\non_error: refuse\n"+
			"header: true\nrecords: [{role: detail, columns: ["+column+"]}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := read(file(l, []byte("a\n"+text+"\n")))
		if err != nil || len(rows) != 1 || rows[0].Amount != v {
			t.Fatalf("%s of %d: %v %v", text, v, rows, err)
		}
	})
}

// Amounts of French and German banks have a decimal comma; what is no amount is told with what is
// wanted, and nothing that may be a card number is shown.
func TestDecimalComma(t *testing.T) {
	for _, tt := range []struct{ column, text, want string }{
		{`mark: ","`, `"1,60"`, "160"}, {`mark: ","`, `"-1,6"`, "-160"}, {`mark: ","`, `12`, "1200"},
		{`mark: ",", group: "."`, `"1.234.567,89"`, "123456789"}, {`mark: "."`, `1.60`, "160"},
		{`mark: ","`, `1.60`, `amount is no amount: "1.60", want digits with "," before up to 2 decimals (mark: ",")`},
		{`point: true`, `"1,60"`, `"1,60", want digits with "." before up to 2 decimals (point: true; mark: "," for`},
		{`decimals: 2`, `1.60`, `"1.60", want digits alone, the last 2`},
		{`mark: ","`, `6222 0212 3456 7890`, "a text of 19 bytes, want"},
		{`mark: ",", group: ","`, `1`, "stands before the decimals and between groups"},
		{`mark: ";"`, `1`, "want one of ., ,"},
	} {
		l, err := layout.Read("x.yaml", []byte("layout: x\nformat: csv\nencoding: utf-8\non_error: refuse\n"+
			"header: true\nrecords: [{role: detail, columns: [{to: amount, name: a, "+tt.column+"}]}]\n"))
		got := fmt.Sprint(err)
		if err == nil {
			rows, err := read(file(l, []byte("a\n"+tt.text+"\n")))
			if got = fmt.Sprint(err); err == nil {
				got = fmt.Sprint(rows[0].Amount)
			}
		}
		if !strings.Contains(got, tt.want) || strings.Contains(got, "7890") {
			t.Errorf("%s of %s: %s, want %s", tt.text, tt.column, got, tt.want)
		}
	}
}

// A stopped run stops the file.
func TestFileStops(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	f := file(example(t, "clearing-fixed"), join(clearing(3000)))
	err := f.Rows(ctx, func(*recon.Row) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	full := errors.New("disk full")
	err = f.Rows(context.Background(), func(*recon.Row) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("%v, want the caller's", err)
	}
}

func fuzzFile(f *testing.F, name string, seeds ...[]byte) {
	l := example(f, name)
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := read(file(l, text))
		again, errAgain := read(file(l, text))
		if (err == nil) != (errAgain == nil) || len(rows) != len(again) {
			t.Fatalf("read twice: %v and %v", err, errAgain)
		}
		if err != nil && !errors.Is(err, layout.ErrRefused) && !errors.Is(err, layout.ErrControl) {
			t.Fatalf("%v is neither refused nor a control", err)
		}
		for _, r := range rows {
			if len(r.Text[recon.Last4]) > 4 {
				t.Fatalf("more of a card number is kept than its last four digits")
			}
		}
	})
}

func FuzzFixed(f *testing.F) { fuzzFile(f, "clearing-fixed", join(clearing(2)), []byte("99")) }

func FuzzCSV(f *testing.F) { fuzzFile(f, "bank-csv", gb(statement), gb("合计,")) }

func FuzzOperatorCSV(f *testing.F) {
	fuzzFile(f, "operator-csv", []byte("device,trace,card,fare,tapped_at,operator\n1,2,3,4,5,6\n"))
}

func FuzzCamt(f *testing.F) { fuzzFile(f, "camt053", camt(entries, "109.50")) }

func FuzzDescription(f *testing.F) {
	names, err := fs.Glob(deploy.Recon(), "*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(deploy.Recon(), name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := layout.Read("x.yaml", text); err == nil {
			_, _ = read(file(l, join(clearing(1)))) // whatever it says, it does not panic
		}
		_, _ = layout.ReadPlan("x.yaml", text)
	})
}

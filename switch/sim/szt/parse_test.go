package szt_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim/szt"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// parse returns all rows and rejects of a file.
func parse(t *testing.T, file []byte) (rows []szt.Row, rejects []szt.Reject) {
	t.Helper()
	p, err := szt.NewParser(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, reject, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return rows, rejects
		case err != nil:
			t.Fatal(err)
		case reject != nil:
			rejects = append(rejects, *reject)
		default:
			rows = append(rows, row)
		}
	}
}

const exampleRow = "CBEHFCFCG,2018-08-31 22:14:50,地铁出站,475,500,263032105,地铁五号线,布吉," +
	"IGT-105,1,2018-09-01 00:00:00"

// The same two rows in every form that the source is passed around in.
func TestForms(t *testing.T) {
	plain := header + exampleRow + "\n" + exampleRow + "\n"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, plain)
	_ = z.Close()
	names := strings.Split(strings.TrimSpace(header), ",")
	values := strings.Split(exampleRow, ",")
	swapped := func(s []string) string {
		s = append([]string(nil), s...)
		s[0], s[9], s[3], s[4] = s[9], s[0], s[4], s[3]
		return strings.Join(s, ",") + "\n"
	}
	for name, file := range map[string][]byte{
		"plain":          []byte(plain),
		"gzip":           zipped.Bytes(),
		"two members":    append(zipped.Bytes(), gzipped(exampleRow+"\n")...),
		"BOM":            []byte("\ufeff" + plain),
		"CRLF":           []byte(strings.ReplaceAll(plain, "\n", "\r\n")),
		"no last end":    []byte(strings.TrimRight(plain, "\n")),
		"blank lines":    []byte(header + "\n" + exampleRow + "\n  \n\r\n" + exampleRow + "\n\n"),
		"other order":    []byte(swapped(names) + swapped(values) + swapped(values)),
		"more columns":   []byte("x," + header + "1," + exampleRow + "\n2," + exampleRow + "\n"),
		"spaces":         []byte(strings.ReplaceAll(plain, ",", " , ")),
		"upper case":     []byte(strings.ToUpper(header) + exampleRow + "\n" + exampleRow + "\n"),
		"quotes":         []byte(header + quotedRow() + "\n" + exampleRow + "\n"),
		"quoted header":  []byte(`"card_no"` + plain[len("card_no"):]),
		"fraction of 0":  []byte(strings.ReplaceAll(plain, "22:14:50", "22:14:50.0")),
		"BOM and gzip":   gzipped("\ufeff" + plain),
		"amount with 00": []byte(strings.ReplaceAll(plain, ",475,", ",0475,")),
	} {
		t.Run(name, func(t *testing.T) {
			rows, rejects := parse(t, file)
			if len(rejects) != 0 {
				t.Fatalf("rejected: %v", rejects)
			}
			if name == "two members" {
				rows = rows[:2]
			}
			if len(rows) != 2 {
				t.Fatalf("%d rows", len(rows))
			}
			want := szt.Row{Line: rows[0].Line, Card: "CBEHFCFCG", Kind: txn.MetroExit,
				At:      time.Date(2018, 8, 31, 22, 14, 50, 0, szt.Zone()),
				Charged: 475, FullFare: 500, Reader: "263032105", Company: "地铁五号线",
				Station: "布吉", Vehicle: "IGT-105", Transfer: "1", Closed: "2018-09-01 00:00:00"}
			if fmt.Sprint(rows[0]) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", rows[0], want)
			}
		})
	}
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.Bytes()
}

func quotedRow() string {
	parts := strings.Split(exampleRow, ",")
	for i := range parts {
		parts[i] = `"` + parts[i] + `"`
	}
	return strings.Join(parts, ",")
}

func TestFileRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"empty":     {"", "the file is empty"},
		"no header": {exampleRow + "\n", "no column card_no, deal_date"},
		"missing columns": {"card_no,deal_date,deal_type,station\n",
			"no column deal_money, deal_value, equ_no, company_name"},
		"other encoding": {"card_no,\xbf\xa8\xba\xc5\n", "not UTF-8"},
		"long header":    {strings.Repeat("x,", szt.LineMax) + "\n", "header"},
		"bad gzip":       {"\x1f\x8b\x00\x00", "gzip"},
	} {
		_, err := szt.NewParser(strings.NewReader(c.file))
		if !errors.Is(err, szt.ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := szt.NewParser(strings.NewReader("card_no,deal_date,deal_type,deal_money," +
		"deal_value,equ_no,company_name\n")); err != nil {
		t.Errorf("the columns that are needed are not enough: %v", err)
	}
}

func TestCutGzip(t *testing.T) {
	file := gzipped(header + strings.Repeat(exampleRow+"\n", 1000))
	p, err := szt.NewParser(bytes.NewReader(file[:len(file)-20]))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, _, err = p.Next()
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that was cut short ended with %v", err)
	}
}

// Every malformed row is reported with line, column and reason, and the next row is read.
func TestRejects(t *testing.T) {
	change := func(column int, value string) string {
		parts := strings.Split(exampleRow, ",")
		parts[column] = value
		return strings.Join(parts, ",")
	}
	for name, c := range map[string]struct{ row, column, reason string }{
		"digits for letters": {change(0, "123456789"), "card_no", "not a letter A to J"},
		"letter K":           {change(0, "ABCK"), "card_no", "character 4"},
		"no card":            {change(0, ""), "card_no", "1 to 12 letters"},
		"long card":          {change(0, "ABCDEFGHIJABC"), "card_no", "got 13"},
		"no time":            {change(1, ""), "deal_date", "want a time"},
		"slashes":            {change(1, "2018/08/31 22:14"), "deal_date", "want a time"},
		"31 June":            {change(1, "2018-06-31 22:14:50"), "deal_date", "want a time"},
		"fraction":           {change(1, "2018-08-31 22:14:50.5"), "deal_date", "fraction"},
		"year 1018":          {change(1, "1018-08-31 22:14:50"), "deal_date", "year 1018"},
		"unknown kind":       {change(2, "出租车"), "deal_type", "not 地铁入站"},
		"no kind":            {change(2, ""), "deal_type", "not 地铁入站"},
		"amount with point":  {change(3, "4.75"), "deal_money", "whole number"},
		"no amount":          {change(3, ""), "deal_money", "whole number"},
		"negative charge":    {change(3, "-1"), "deal_money", "negative"},
		"negative fare":      {change(4, "-500"), "deal_value", "negative"},
		"beyond 2^53":        {change(4, "9007199254740992"), "deal_value", "out of range"},
		"beyond 2^64":        {change(4, "99999999999999999999"), "deal_value", "out of range"},
		"no reader":          {change(5, ""), "equ_no", "1 to 10"},
		"long reader":        {change(5, "12345678901"), "equ_no", "1 to 10"},
		"odd reader":         {change(5, "26 03"), "equ_no", "1 to 10"},
		"no company":         {change(6, " "), "company_name", "empty"},
		"long company":       {change(6, strings.Repeat("司", 17)), "company_name", "51 bytes"},
		"control character":  {change(6, "a\x01b"), "company_name", "control"},
		"number in a name":   {change(6, "6222021234567890"), "company_name", "card number"},
		"too few fields":     {"CBEHFCFCG,2018-08-31 22:14:50", "", "2 fields, the header has 11"},
		"too many fields":    {exampleRow + ",x", "", "12 fields"},
		"open quote":         {`"` + exampleRow, "", "quote without end"},
		"quote inside":       {change(7, `a"b`), "", "quote inside field 8"},
		"text after quote":   {change(7, `"a"b`), "", "text after a quote"},
		"not UTF-8":          {change(7, "\xff"), "", "not UTF-8"},
		"NUL":                {change(7, "a\x00b"), "", "not UTF-8"},
		"long line":          {exampleRow + strings.Repeat("x", szt.LineMax), "", "limit 4096"},
		"header again":       {strings.TrimSpace(header), "card_no", "not a letter"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, rejects := parse(t, []byte(header+exampleRow+"\n"+c.row+"\n"+exampleRow+"\n"))
			if len(rows) != 2 || len(rejects) != 1 {
				t.Fatalf("%d rows, rejects %v", len(rows), rejects)
			}
			r := rejects[0]
			if r.Line != 3 || r.Column != c.column || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("line %d, column %q: %s", r.Line, r.Column, r.Reason)
			}
			if !strings.HasPrefix(r.Error(), "line 3: ") {
				t.Errorf("error text %q", r.Error())
			}
		})
	}
}

// What is odd about a station or a vehicle does not cost the tap.
func TestPlaceNames(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "布吉": "布吉", "粤B12345": "粤B12345", "a\x01b\x7f": "ab",
		strings.Repeat("站", 17): strings.Repeat("站", 16), "6222021234567890": "",
		strings.Repeat("x", 47) + "站": strings.Repeat("x", 47),
	} {
		row := strings.Replace(exampleRow, "布吉,IGT-105", in+","+in, 1)
		rows, rejects := parse(t, []byte(header+row+"\n"))
		if len(rows) != 1 || len(rejects) != 0 || rows[0].Station != want || rows[0].Vehicle != want {
			t.Errorf("%q: %v %v", in, rows, rejects)
		}
	}
}

// The amounts of a rejected row count in the file's own sums as far as they can be read.
func TestRejectKeepsAmounts(t *testing.T) {
	_, rejects := parse(t, []byte(header+strings.Replace(exampleRow, "地铁出站", "?", 1)+"\n"+
		strings.Replace(exampleRow, ",475,", ",x,", 1)+"\n"))
	if len(rejects) != 2 || rejects[0].Charged != 475 || rejects[0].FullFare != 500 ||
		rejects[1].Charged != 0 || rejects[1].FullFare != 500 ||
		rejects[0].Company != "地铁五号线" {
		t.Errorf("%+v", rejects)
	}
}

func TestNumbersAreDistinctAndValid(t *testing.T) {
	seen := map[string]string{}
	for _, card := range []string{"A", "AA", "AAA", "B", "AB", "BA", "AAAAAAAAAAAA", "CBEHFCFCG",
		"BEHFCFCG", "ACBEHFCFCG", "JJJJJJJJJJJJ", "J"} {
		n, err := szt.Number(card)
		if err != nil {
			t.Fatal(err)
		}
		d := n.Digits()
		if len(d) != 20 || !strings.HasPrefix(d, "310499") {
			t.Errorf("%s: %d digits", card, len(d))
		}
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one number", card, other)
		}
		seen[d] = card
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte(header + exampleRow))
	f.Add([]byte("\ufeff" + header + quotedRow() + "\r\n,,,\n"))
	f.Add(gzipped(header + exampleRow))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := szt.NewParser(bytes.NewReader(file))
		if err != nil {
			if !errors.Is(err, szt.ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		line := 1
		for {
			row, reject, err := p.Next()
			if err != nil {
				return
			}
			at := row.Line
			if reject != nil {
				at = reject.Line
				if reject.Reason == "" {
					t.Fatal("rejected without a reason")
				}
			}
			if at <= line {
				t.Fatalf("line %d after line %d", at, line)
			}
			line = at
			if reject != nil {
				continue
			}
			if _, err := szt.Number(row.Card); err != nil || row.Charged < 0 || row.FullFare < 0 ||
				!row.Kind.IsTap() || row.Company == "" || row.At.Unix() < 0 {
				t.Fatalf("row %+v: %v", row, err)
			}
		}
	})
}

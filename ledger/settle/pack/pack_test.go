package pack

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func content(t testing.TB) *Content {
	t.Helper()
	c, err := chart.New([]chart.Class{
		{Name: "purse", Type: chart.Liability, Role: chart.Purse, GL: "2241"},
		{Name: "operator", Type: chart.Liability, Role: chart.Others, Party: true, Settle: true, GL: "2202"},
		{Name: "income", Type: chart.Income, Role: chart.Others, Party: true, GL: "6021"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &clearing.Statement{Date: 20260301, Records: 12, Approved: 10,
		Gross: []clearing.GrossLine{{Account: "operator/=M5", Kind: "metro_exit", Currency: 156, Count: 10,
			Amount: 12345}},
		Fees: []clearing.FeeLine{{Fee: "service", Account: "operator/=M5", Currency: 156, Count: 10,
			Base: 12345, Amount: 37, Tax: 0}},
		Entries: []clearing.Entry{{ID: "fee-0001", Text: "service & more", Currency: 156,
			Postings: []txn.Posting{{Account: "operator/=M5", Amount: -37}, {Account: "income/fees",
				Amount: 37}}}},
		Net: []clearing.NetLine{{Party: "=M5", Currency: 156, PartyDay: "2026-03-01", Gross: 12345,
			Adjusted: -37, Net: 12308}},
		Orders: []clearing.Order{{Number: "20260301-001-0001", Direction: clearing.Pay, Party: "=M5",
			PartyDay: "2026-03-01", Currency: 156, Amount: 12308, ValueDate: "2026-03-02"}}}
	return &Content{Scheme: "city <example>", Date: 20260301, Run: 1, Chart: c, Statement: s,
		End: time.Date(2026, 3, 2, 0, 0, 0, 0, time.FixedZone("", 8*3600)),
		Trial: []chart.Balance{
			{Account: "income/fees", Currency: 156, Credit: 37, Postings: 1, Closing: 37},
			{Account: "operator/=M5", Currency: 156, Opening: 100, Debit: 37, Credit: 12345, Closing: 12408},
			{Account: "purse", Currency: 156, Opening: -100, Debit: 12345, Closing: -12445}},
		Breaks: []string{"a break"}, BreakCount: 1}
}

func built(t testing.TB) map[string]File {
	t.Helper()
	files, err := Build(content(t))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]File{}
	for _, f := range files {
		all[f.Name] = f
	}
	return all
}

func TestSameBytes(t *testing.T) {
	first := built(t)
	if len(first) != 21 {
		t.Errorf("%d files", len(first))
	}
	for range 5 {
		for name, f := range built(t) {
			if !bytes.Equal(f.Data, first[name].Data) {
				t.Errorf("%s differs", name)
			}
		}
	}
}

// TestCSV: a byte order mark, no formulas, and a journal whose vouchers balance.
func TestCSV(t *testing.T) {
	files := built(t)
	for name, f := range files {
		if !strings.HasSuffix(name, ".csv") {
			continue
		}
		text, ok := bytes.CutPrefix(f.Data, []byte("\ufeff"))
		lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if !ok || err != nil || len(lines) != f.Rows+1 {
			t.Fatalf("%s: %v, %d lines of %d", name, err, len(lines), f.Rows)
		}
		sums := map[string]int64{}
		for _, line := range lines[1:] {
			for i, cell := range line {
				if _, err := strconv.ParseFloat(cell, 64); err != nil && strings.HasPrefix(cell, "=") {
					t.Errorf("%s: column %s has a formula %q", name, lines[0][i], cell)
				}
			}
			if name == "gl_journal.csv" {
				sums[line[0]] += fen(t, line[6]) - fen(t, line[7])
			}
		}
		for voucher, sum := range sums {
			if sum != 0 {
				t.Errorf("voucher %s is off by %d", voucher, sum)
			}
		}
	}
	if !bytes.Contains(files["orders.csv"].Data, []byte("123.08")) {
		t.Error("amounts have no decimals")
	}
}

func fen(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.Replace(s, ".", "", 1), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWorkbook opens the XLSX as a reader does: parts, relations, well-formed XML, a sheet a table.
func TestWorkbook(t *testing.T) {
	data := built(t)["settlement.xlsx"].Data
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	sheets := 0
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(r)
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
		if strings.HasPrefix(f.Name, "xl/worksheets/") {
			sheets++
		}
	}
	if sheets != 11 || z.File[0].Name != "[Content_Types].xml" {
		t.Errorf("%d sheets, first part %s", sheets, z.File[0].Name)
	}
}

func TestLongTablesAreSplit(t *testing.T) {
	long := &table{Name: "long", Head: []string{"n"}, Rows: make([][]cell, rowsMax)}
	if parts := split([]*table{long}); len(parts) != 2 || len(parts[0].Rows) != rowsMax-1 ||
		len(parts[1].Rows) != 1 || parts[1].Name != "long 2" {
		t.Errorf("%d parts", len(parts))
	}
}

// order lists the elements below one in their order.
func order(t *testing.T, text []byte, of string) []string {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	var path, found []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if len(path) > 0 && path[len(path)-1] == of {
				found = append(found, e.Name.Local)
			}
			path = append(path, e.Name.Local)
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

// TestCAMT: elements stand in the order of the schemas, and a statement adds up.
func TestCAMT(t *testing.T) {
	files := built(t)
	statement, notice := files["camt053.xml"].Data, files["camt054.xml"].Data
	for of, want := range map[string]string{
		"Document": "BkToCstmrStmt", "BkToCstmrStmt": "GrpHdr Stmt", "GrpHdr": "MsgId CreDtTm",
		"Stmt": "Id ElctrncSeqNb CreDtTm FrToDt Acct Bal Bal Ntry Ntry", "Acct": "Id Ccy Nm",
		"Ntry": "NtryRef Amt CdtDbtInd Sts BookgDt ValDt AcctSvcrRef BkTxCd AddtlNtryInf NtryRef Amt " +
			"CdtDbtInd Sts BookgDt ValDt AcctSvcrRef BkTxCd AddtlNtryInf",
		"Bal": "Tp Amt CdtDbtInd Dt Tp Amt CdtDbtInd Dt",
	} {
		if got := strings.Join(order(t, statement, of), " "); got != want {
			t.Errorf("%s has %s, want %s", of, got, want)
		}
	}
	if got := strings.Join(order(t, notice, "Ntfctn"), " "); got != "Id ElctrncSeqNb CreDtTm Acct Ntry" {
		t.Errorf("Ntfctn has %s", got)
	}
	for _, want := range []string{"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08",
		`<Amt Ccy="CNY">124.08</Amt>`, "2026-03-02T00:00:00+08:00", "service &amp; more"} {
		if !bytes.Contains(statement, []byte(want)) {
			t.Errorf("no %s in the statement", want)
		}
	}
	empty := content(t)
	empty.Trial, empty.Statement.Orders = nil, nil
	files2, err := Build(empty)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files2 {
		if strings.HasPrefix(f.Name, "camt") {
			t.Errorf("%s without a statement", f.Name)
		}
	}
}

func TestParquet(t *testing.T) {
	rows, err := parquet.Read[netRow](bytes.NewReader(built(t)["net.parquet"].Data),
		int64(len(built(t)["net.parquet"].Data)))
	want := []netRow{{"2026-03-01", 1, "=M5", "2026-03-01", 156, 12345, -37, 12308}}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%+v %v", rows, err)
	}
}

func TestManifest(t *testing.T) {
	c := content(t)
	files, err := Build(c)
	if err != nil {
		t.Fatal(err)
	}
	var described []ManifestFile
	for _, f := range files {
		described = append(described, Describe(f))
	}
	m := ManifestOf(c, described)
	want := []Control{{Currency: 156, Debit: 12382, Credit: 12382, Gross: 12345, Fees: 37, Net: 12308,
		OrderedPay: 12308, Orders: 1}}
	if len(m.Files) != len(files) || !reflect.DeepEqual(m.Control, want) || m.Breaks != 1 {
		t.Errorf("%+v", m)
	}
	var s clearing.Statement
	if err := json.Unmarshal(built(t)[StatementName].Data, &s); err != nil || len(s.Orders) != 1 {
		t.Errorf("the statement cannot be read again: %v", err)
	}
}

func TestDecimal(t *testing.T) {
	for _, tt := range []struct {
		amount   int64
		currency txn.Currency
		want     string
	}{{0, 156, "0.00"}, {5, 156, "0.05"}, {-5, 156, "-0.05"}, {-12345, 344, "-123.45"}, {7, 392, "7"},
		{7, 1, "7"}, {math.MinInt64, 156, "-92233720368547758.08"}} {
		if got := Decimal(tt.amount, tt.currency); got != tt.want {
			t.Errorf("%d of %d: %s, want %s", tt.amount, tt.currency, got, tt.want)
		}
	}
}

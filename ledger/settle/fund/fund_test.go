package fund

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const goodCSV = "\ufeffaccount,date,currency,type,ref,amount,info\n" +
	"6217,2026-03-01,CNY,opening,,100.00,\n" +
	"6217,2026-03-01,CNY,entry,funds/A1,20.5,load\n" +
	"6217,2026-03-01,CNY,entry,20260228-001-0001,-0.50,\n" +
	"6217,2026-03-01,CNY,closing,,120.00,\n"

const goodCAMT = `<?xml version="1.0"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr/>
<Stmt><Acct><Id><Othr><Id>6217</Id></Othr></Id></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">100.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<Dt><Dt>2026-03-01</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">120.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<Dt><Dt>2026-03-01</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLAV</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<Dt><Dt>2026-03-01</Dt></Dt></Bal>
<Ntry><NtryRef>funds/A1</NtryRef><Amt Ccy="CNY">20.5</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<AddtlNtryInf>load</AddtlNtryInf></Ntry>
<Ntry><NtryRef>other</NtryRef><Amt Ccy="CNY">0.50</Amt><CdtDbtInd>DBIT</CdtDbtInd>
<NtryDtls><TxDtls><Refs><EndToEndId>20260228-001-0001</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>
</Stmt></BkToCstmrStmt></Document>`

func TestParse(t *testing.T) {
	want := &Statement{Account: "6217", Date: 20260301, Currency: 156, Opening: 10000, Closing: 12000,
		Entries: []Entry{{"funds/A1", 2050, "load"}, {"20260228-001-0001", -50, ""}}}
	for _, text := range []string{goodCSV, goodCAMT} {
		if got, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v %v", got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"sum": {"20.5,", "20.51,"}, "decimals": {"20.5,", "20.555,"}, "text": {"20.5,", "2O.5,"},
		"exponent": {"20.5,", "2e1,"}, "no digits": {"20.5,", ".5,"}, "point": {"20.5,", "20.,"},
		"huge": {"20.5,", "99999999999999999999,"}, "currency": {"CNY,entry,f", "USD,entry,f"},
		"unknown currency": {"CNY", "ZZZ"}, "date": {"2026-03-01", "2026-02-30"}, "head": {"info\n", "x\n"},
		"type": {"opening", "closing"}, "account": {"6217,2026-03-01,CNY,closing", "1,2026-03-01,CNY,closing"},
	} {
		text := strings.Replace(goodCSV, change[0], change[1], -1)
		if text == goodCSV {
			t.Errorf("%s changes nothing", name)
		}
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrStatement) {
			t.Errorf("CSV %s: %v", name, err)
		}
	}
	for name, change := range map[string][2]string{
		"sum": {"20.5<", "20.4<"}, "direction": {"DBIT", "X"}, "opening": {"OPBD", "OPAV"},
		"twice": {"CLAV", "CLBD"}, "negative": {">0.50<", ">-0.50<"}, "cut off": {"</Document>", ""},
		"two": {"</Stmt>", "</Stmt><Stmt/>"}, "currency": {`Ccy="CNY">0.50`, `Ccy="USD">0.50`},
	} {
		text := strings.Replace(goodCAMT, change[0], change[1], 1)
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrStatement) {
			t.Errorf("camt.053 %s: %v", name, err)
		}
	}
	for _, text := range []string{"", "<", "x", "a,b\n1,2\n3,4\n"} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrStatement) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Parse(make([]byte, FileMax+1)); !errors.Is(err, ErrStatement) {
		t.Errorf("too long: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goodCSV))
	f.Add([]byte(goodCAMT))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrStatement) {
				t.Error(err)
			}
			return
		}
		if err := s.check(); err != nil {
			t.Error(err)
		}
	})
}

func testChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := chart.New([]chart.Class{
		{Name: "purse", Type: chart.Liability, Role: chart.Purse, GL: "1"},
		{Name: "bank", Type: chart.Asset, Role: chart.Bank, Party: true, GL: "2"},
		{Name: "funds", Type: chart.Asset, Role: chart.Others, Party: true, GL: "3"},
		{Name: "transit", Type: chart.Liability, Role: chart.Others, Party: true, GL: "4"},
		{Name: "suspense", Type: chart.Liability, Role: chart.Others, GL: "5"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPosting(t *testing.T) {
	s := &Statement{Account: "6217"}
	parties := map[string]string{"20260228-001-0001": "metro"}
	for ref, want := range map[string]txn.Account{"funds/A1": "funds/A1", "20260228-001-0001": "transit/metro", "nobody": "suspense", "": "suspense", "purse": "suspense", "bank/6217": "suspense"} {
		got := Posting(s, Entry{Ref: ref, Amount: 7}, testChart(t), parties)
		if got[0] != (txn.Posting{Account: "bank/6217", Amount: -7}) ||
			got[1] != (txn.Posting{Account: want, Amount: 7}) {
			t.Errorf("%q: %v, want %s", ref, got, want)
		}
	}
}

func TestProve(t *testing.T) {
	trial := []chart.Balance{{Account: "purse", Currency: 156, Closing: 700},
		{Account: "bank/6217", Currency: 156, Closing: -900}, {Account: "funds/A1", Currency: 156,
			Closing: -100}, {Account: "transit/metro", Currency: 156, Closing: 300}}
	good := Statement{Account: "6217", Currency: 156, Closing: 900}
	proofs, err := Prove(20260301, testChart(t), trial, Booked{Statements: []Statement{good}})
	want := Proof{Date: "2026-03-01", Currency: 156, Purse: 700, Held: 900, Books: 900, DueIn: 100, Owed: 300,
		Missing: []string{}, Suspense: Parked{Named: []Unplaced{}}, Proven: true}
	if err != nil || len(proofs) != 1 || !reflect.DeepEqual(proofs[0], want) {
		t.Errorf("%+v %v", proofs, err)
	}
	less := good
	less.Closing = 899
	other := good
	other.Account = "1"
	for name, statements := range map[string][]Statement{"less": {less}, "none": nil, "other": {other}} {
		if proofs, err := Prove(20260301, testChart(t), trial, Booked{Statements: statements}); !errors.Is(err, ErrShort) ||
			proofs[0].Proven {
			t.Errorf("%s: %+v %v", name, proofs, err)
		}
	}
	trial[0].Account = "nobody"
	if _, err := Prove(20260301, testChart(t), trial, Booked{}); !errors.Is(err, chart.ErrAccount) {
		t.Errorf("an account of no chart: %v", err)
	}
}

// What lies in suspense is named and is neither theirs nor ours; what went out of it, an account
// that the books do not have, and entries after the run leave nothing proven.
func TestProveSuspense(t *testing.T) {
	parked := func(in, out int64) map[txn.Currency]Parked {
		var s Parked
		day := &Statement{Account: "6217", Date: 20260301}
		if in != 0 && s.Place(day, "who", in) != nil || out != 0 && s.Place(day, "what", out) != nil {
			t.Fatal("not placed")
		}
		return map[txn.Currency]Parked{156: s}
	}
	for name, tt := range map[string]struct {
		suspense int64 // in the books
		booked   Booked
		want     string // of the error, empty for proven
	}{
		"came in":       {50, Booked{Suspense: parked(50, 0)}, ""},
		"went out":      {-50, Booked{Suspense: parked(0, -50)}, "0.50 went out"},
		"both":          {0, Booked{Suspense: parked(50, -50)}, "0.50 went out"},
		"of records":    {-20, Booked{}, "0.20 went out"},
		"unsettled":     {0, Booked{Unsettled: 2}, "2 entries came after the run"},
		"other account": {0, Booked{Statements: []Statement{{Account: "9", Currency: 156, Closing: 1}}}, "differ"},
	} {
		trial := []chart.Balance{{Account: "purse", Currency: 156, Closing: 700},
			{Account: "bank/6217", Currency: 156, Closing: -700 - tt.suspense},
			{Account: "suspense", Currency: 156, Closing: tt.suspense}}
		tt.booked.Statements = append(tt.booked.Statements,
			Statement{Account: "6217", Currency: 156, Closing: 700 + tt.suspense})
		proofs, err := Prove(20260301, testChart(t), trial, tt.booked)
		if len(proofs) != 1 {
			t.Fatal(name, err)
		}
		p := proofs[0]
		if p.Proven != (tt.want == "") || (err == nil) != p.Proven || err != nil &&
			(!errors.Is(err, ErrShort) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %+v %v", name, p, err)
		}
		if p.Suspense.Balance != tt.suspense || p.Owed != 0 || p.DueIn != 0 ||
			len(p.Suspense.Named) != p.Suspense.Count {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A proof names so many entries and counts all; what a person placed is named no more.
func TestParked(t *testing.T) {
	var s Parked
	day := &Statement{Account: "6217", Date: 20260301}
	for range NamedMax + 1 {
		if err := s.Place(day, "who", 2); err != nil {
			t.Fatal(err)
		}
	}
	if s.In != 2*(NamedMax+1) || s.Count != NamedMax+1 || len(s.Named) != NamedMax ||
		s.Named[0] != (Unplaced{"2026-03-01", "6217", Entry{Ref: "who", Amount: 2}}) {
		t.Errorf("%d of %d: %+v", len(s.Named), s.Count, s.Named[0])
	}
	if s.Settle(-2, 9); s.In != 2*NamedMax || s.Out != 0 || s.Count == 0 {
		t.Errorf("one placed: %+v", s)
	}
	if s.Settle(-9999, 0); s.In != 0 || s.Count != 0 || s.Named != nil {
		t.Errorf("all placed: %+v", s)
	}
	if err := errors.Join(s.Place(day, "", math.MaxInt64), s.Place(day, "", 1)); !errors.Is(err, chart.ErrOverflow) {
		t.Error(err)
	}
	for amount, want := range map[int64]string{0: "0.00", 5: "0.05", -5: "-0.05", 123456: "1234.56"} {
		if got := decimal(amount, 156); got != want {
			t.Errorf("%d: %s", amount, got)
		}
	}
	if got := decimal(-7, 392); got != "-7" {
		t.Error(got)
	}
}

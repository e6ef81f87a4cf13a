package fund

import (
	"errors"
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
	proofs, err := Prove(20260301, testChart(t), trial, []Statement{good})
	want := Proof{Date: "2026-03-01", Currency: 156, Purse: 700, Held: 900, Books: 900, DueIn: 100, Owed: 300,
		Missing: []string{}, Proven: true}
	if err != nil || len(proofs) != 1 || !reflect.DeepEqual(proofs[0], want) {
		t.Errorf("%+v %v", proofs, err)
	}
	less := good
	less.Closing = 899
	other := good
	other.Account = "1"
	for name, statements := range map[string][]Statement{"less": {less}, "none": nil, "other": {other}} {
		if proofs, err := Prove(20260301, testChart(t), trial, statements); !errors.Is(err, ErrShort) ||
			proofs[0].Proven {
			t.Errorf("%s: %+v %v", name, proofs, err)
		}
	}
	trial[0].Account = "nobody"
	if _, err := Prove(20260301, testChart(t), trial, nil); !errors.Is(err, chart.ErrAccount) {
		t.Errorf("an account of no chart: %v", err)
	}
}

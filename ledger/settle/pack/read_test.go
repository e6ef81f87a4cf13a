package pack

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
)

// heard is what deploy/analyst/read_pack.py says of a pack.
type heard struct {
	Sheets map[string]struct {
		Rows, Numbers int
		Head          []string
	}
	CAMT053, CAMT054 struct {
		Elements int
		Wrong    []string
	}
	Orders struct {
		Orders, Carried int
		Wrong           []string
	}
}

// readPacks has programs that we did not write read the files of packs.
func readPacks(t *testing.T, packs ...map[string]File) (all []heard) {
	t.Helper()
	python := os.Getenv("TAPSWITCH_ANALYST_PYTHON")
	if python == "" {
		const text = "not run: TAPSWITCH_ANALYST_PYTHON names no Python with openpyxl and pyiso20022 " +
			"(bash deploy/analyst/install.sh DIR makes one)"
		if os.Getenv("TAPSWITCH_REQUIRE_ANALYST") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	args := []string{"../../../deploy/analyst/read_pack.py"}
	for _, files := range packs {
		dir := t.TempDir()
		for name, f := range files {
			if err := os.WriteFile(filepath.Join(dir, name), f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, dir)
	}
	var told bytes.Buffer
	c := exec.CommandContext(t.Context(), python, args...)
	c.Stderr = &told
	out, err := c.Output()
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil || len(all) != len(packs) {
		t.Fatalf("%v: %s", err, told.String())
	}
	return all
}

// The workbook opens in openpyxl, and both messages hold against the schemas of ISO 20022 as
// another project has them. So that this can fail, broken ones are told.
func TestOthersReadThePack(t *testing.T) {
	packs := []map[string]File{built(t)}
	packs[0][ManifestName] = manifestFile(t, content(t))
	statement := string(packs[0]["camt053.xml"].Data)
	for _, change := range [][]string{{"<ValDt>", "<ValDay>", "</ValDt>", "</ValDay>"},
		{`Ccy="CNY"`, `Ccy="cny"`}, {"<CdtDbtInd>CRDT", "<CdtDbtInd>CREDIT"},
		{"<NtryRef>", "<NtryRef>a reference that is longer than the schema allows "}} {
		bad := maps.Clone(packs[0])
		bad["camt053.xml"] = File{Name: "camt053.xml",
			Data: []byte(strings.NewReplacer(change...).Replace(statement))}
		packs = append(packs, bad)
	}
	all := readPacks(t, packs...)
	h := all[0]
	if len(h.Sheets) < 5 || len(h.CAMT053.Wrong)+len(h.CAMT054.Wrong) > 0 ||
		h.CAMT053.Elements < 30 || h.CAMT054.Elements < 10 {
		t.Errorf("%+v", h)
	}
	for name, s := range h.Sheets {
		if s.Rows < 1 || len(s.Head) == 0 || s.Rows > 1 && s.Numbers == 0 && name != "breaks" {
			t.Errorf("sheet %s: %+v", name, s)
		}
	}
	for i, h := range all[1:] {
		if len(h.CAMT053.Wrong) == 0 {
			t.Errorf("broken statement %d is taken", i)
		}
	}
}

// manifestFile is the manifest of a content as a run writes it.
func manifestFile(t *testing.T, c *Content) File {
	t.Helper()
	text, err := json.MarshalIndent(ManifestOf(c, nil), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return File{Name: ManifestName, Data: text}
}

// carrying is a correction that carries an order to pay and one to collect of days before.
func carrying(t *testing.T) *Content {
	t.Helper()
	c := content(t)
	s := c.Statement
	c.Run, c.Corrects = 2, 1
	s.Before = []clearing.NetLine{{Party: "=M5", Currency: 156, PartyDay: "2026-03-01", Net: 12300}}
	s.Orders[0].Amount = 8
	for i, o := range []clearing.Order{{Direction: clearing.Pay, Amount: 500, Carries: "20260226-001-0003"},
		{Direction: clearing.Collect, Amount: 70, Carries: "20260227-002-0001", Held: "no bank account is known"}} {
		o.Number, o.Party, o.PartyDay = fmt.Sprintf("20260301-002-%04d", i+2), "M9", "2026-02-26"
		o.Currency, o.ValueDate = 156, "2026-03-02"
		s.Orders = append(s.Orders, o)
	}
	return c
}

// A reader adds the control totals up with carried orders and with runs before, and finds the
// order that each stands for in every format.
func TestCarriedOrdersAddUp(t *testing.T) {
	c := carrying(t)
	got := c.control()
	if len(got) != 1 || got[0].Short() != 0 || got[0].Orders != 3 || got[0].Carried != 2 ||
		got[0].OrderedPay != 508 || got[0].Collected != 70 || got[0].CarriedPay != 500 ||
		got[0].CarriedCollect != 70 || got[0].OrderedBefore != 12300 {
		t.Fatalf("%+v", got)
	}
	files, err := Build(c)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]byte{}
	for _, f := range files {
		rows[f.Name] = f.Data
	}
	lines, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(rows["orders.csv"], []byte("\ufeff")))).ReadAll()
	if err != nil || lines[0][11] != "carries" || lines[1][11] != "" || lines[2][11] != "20260226-001-0003" {
		t.Errorf("%v %v", lines, err)
	}
	columns, err := parquet.Read[orderRow](bytes.NewReader(rows["orders.parquet"]), int64(len(rows["orders.parquet"])))
	if err != nil || len(columns) != 3 || columns[2].Carries != "20260227-002-0001" || columns[2].Held == "" ||
		columns[0].Amount != 8 {
		t.Errorf("%+v %v", columns, err)
	}
	for _, word := range []string{"carries", "carried_pay", "ordered_before", "late.csv"} {
		if !strings.Contains(string(rows[ReadmeName]), word) {
			t.Errorf("the readme does not tell of %s", word)
		}
	}
}

// Others add it up too, and see it where an order is left out or claims to carry nothing.
func TestOthersAddTheOrdersUp(t *testing.T) {
	good := map[string]File{}
	files, err := Build(carrying(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		good[f.Name] = f
	}
	good[ManifestName] = manifestFile(t, carrying(t))
	other, lost, late := carrying(t), maps.Clone(good), maps.Clone(good)
	other.Statement.Orders[1].Carries = ""
	lost[ManifestName] = manifestFile(t, other)
	late["orders.csv"] = File{Name: "orders.csv",
		Data: bytes.ReplaceAll(good["orders.csv"].Data, []byte("20260226-001"), []byte("20260301-001"))}
	all := readPacks(t, good, lost, late)
	if o := all[0].Orders; o.Orders != 3 || o.Carried != 2 || len(o.Wrong) > 0 {
		t.Errorf("%+v", o)
	}
	for i, h := range all[1:] {
		if len(h.Orders.Wrong) == 0 {
			t.Errorf("wrong orders %d are taken", i)
		}
	}
}

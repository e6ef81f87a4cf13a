package pack

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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

package faredesk_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
)

// A feed becomes the same tariff file from its directory and from its zip file.
func TestImportGTFS(t *testing.T) {
	dir := t.TempDir()
	packed := filepath.Join(t.TempDir(), "feed.zip")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, text := range map[string]string{
		"fare_products.txt":  "fare_product_id,amount,currency\none,2.50,EUR\n",
		"routes.txt":         "route_id,route_short_name,route_type\nr,7,3\n",
		"fare_leg_rules.txt": "leg_group_id,fare_product_id\nall,one\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(text))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for _, feed := range []string{dir, packed} {
		out, code, err := run(t, "import-gtfs", "--from", "2027-01-01", "--tariff", "city", feed)
		if err != nil || code != 0 {
			t.Fatal(err)
		}
		compiled, err := tariff.Compile(tariff.Source{Name: "x", Text: []byte(out)})
		if err != nil || *compiled.File().Fares[0].Flat != 250 || compiled.Name() != "city" {
			t.Errorf("%v\n%s", err, out)
		}
	}
	empty := t.TempDir()
	for want, args := range map[int][]string{cli.ExitUsage: {"import-gtfs", dir},
		cli.ExitBreaks:   {"import-gtfs", "--from", "2027-01-01", empty},
		cli.ExitNotFound: {"import-gtfs", "--from", "2027-01-01", filepath.Join(empty, "none")}} {
		if _, code, err := run(t, args...); code != want {
			t.Errorf("%v: %v, want code %d", args, err, want)
		}
	}
}

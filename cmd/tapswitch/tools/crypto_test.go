package tools

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

const vectorFiles = "../../../crypto/vector/testdata/"

// TestCryptoCheck: exit code, the table, and the members that scripts read.
func TestCryptoCheck(t *testing.T) {
	standards, synthetic := vectorFiles+"standards.json", vectorFiles+"synthetic.json"
	out, code := command(t, Crypto(), "check", standards, synthetic)
	if code != 0 || !strings.Contains(out, "tr31-derivation") && !strings.Contains(out, "tr31") {
		t.Fatalf("code %d:\n%s", code, out)
	}
	text, err := os.ReadFile(synthetic)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	spoilt := filepath.Join(dir, "spoilt.json")
	text = bytes.Replace(text, []byte(`"MAC1": "`), []byte(`"MAC1": "F`), 1)
	text = append(bytes.TrimRight(text, "]\n"), `,{"id":"m","area":"iso8583"},{"id":"x","area":"rsa"}]`...)
	if err := os.WriteFile(spoilt, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code = command(t, Crypto(), "check", "-o", "json", spoilt)
	var report struct {
		Areas map[string]struct {
			Passed, Failed, Unsupported int
			IDs                         []string
		}
		Passed, Failed, Unsupported, Elsewhere int
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&report); err != nil {
		t.Fatal(err, out)
	}
	purse := report.Areas["epurse"]
	if code != cli.ExitFailed || report.Failed != 1 || report.Unsupported != 1 || report.Elsewhere != 1 ||
		purse.Failed != 1 || len(purse.IDs) != 1 || report.Passed == 0 {
		t.Errorf("code %d, %+v", code, report)
	}
}

func TestCryptoCheckRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"key":"0123456789ABCDEF"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{bad, filepath.Join(dir, "none.json")} {
		out, code := command(t, Crypto(), "check", file)
		if code != cli.ExitUsage || strings.Contains(out, "0123456789ABCDEF") {
			t.Errorf("%s: code %d, %s", file, code, out)
		}
	}
}

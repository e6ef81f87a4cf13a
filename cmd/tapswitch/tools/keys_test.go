package tools

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// vault is a key store in a directory of its own.
type vault struct {
	t    *testing.T
	dir  string
	seen strings.Builder // everything that was printed
}

func newVault(t *testing.T) *vault {
	v := &vault{t: t, dir: t.TempDir()}
	for _, name := range []string{"a", "b"} {
		v.ok("component", "--out", v.path(name))
	}
	return v
}

func (v *vault) path(name string) string { return filepath.Join(v.dir, name) }

// run runs a command and remembers what it printed.
func (v *vault) run(args ...string) (string, int) {
	v.t.Helper()
	out, code := command(v.t, Keys(), args...)
	v.seen.WriteString(out)
	return out, code
}

// ok is run for a command that must succeed.
func (v *vault) ok(args ...string) string {
	v.t.Helper()
	out, code := v.run(args...)
	if code != 0 {
		v.t.Fatalf("keys %v: code %d: %s", args, code, out)
	}
	return out
}

// on adds the store, its components and the persons.
func (v *vault) on(second string, args ...string) []string {
	args = append(args, "--store", v.path("keys"), "--component", v.path("a"),
		"--component", v.path("b"), "--actor", "wang")
	if second != "" {
		args = append(args, "--second", second)
	}
	return args
}

func (v *vault) write(name, text string, mode os.FileMode) string {
	if err := os.WriteFile(v.path(name), []byte(text), mode); err != nil {
		v.t.Fatal(err)
	}
	return v.path(name)
}

// TestKeysCeremony goes from two components to keys in use, and never prints a key.
func TestKeysCeremony(t *testing.T) {
	v := newVault(t)
	v.ok(v.on("chen", "init")...)
	v.ok(v.on("", "generate", "purse_tac/city", "--activate")...)
	v.ok(v.on("", "generate", "purse_tac/city")...)
	if out := v.ok(v.on("", "rotate", "purse_tac/city", "--overlap", "72h")...); !regexp.MustCompile(
		`city/1 .* retiring [\s\S]*city/2 .* active`).MatchString(out) {
		t.Errorf("after the rotation:\n%s", out)
	}
	one := v.write("one", "0123456789ABCDEFFEDCBA9876543210 08D7B4", 0o600)
	two := v.write("two", "D91CAB40323D01B5D068BA26854A1CF2 4A169B", 0o600)
	v.ok(v.on("chen", "import", "purse_load/city", "--algorithm", "tdes2", "--part", one, "--part", two)...)
	v.ok(v.on("", "generate", "key_exchange/bank", "--activate")...)
	v.ok(v.on("", "generate", "pin/bank", "--exportable", "--activate")...)
	block := v.ok(v.on("chen", "export-block", "pin/bank", "--under", "key_exchange/bank")...)
	file := v.write("block", block, 0o600)
	v.ok(v.on("chen", "import-block", "pin/other", "--under", "key_exchange/bank", "--block", file)...)
	v.ok(v.on("chen", "destroy", "pin/other/1")...)
	for _, name := range []string{"c", "d"} {
		v.ok("component", "--out", v.path(name))
	}
	v.ok(v.on("chen", "change-master", "--new", v.path("c"), "--new", v.path("d"))...)
	if out, code := v.run(v.on("", "verify")...); code == 0 || !strings.Contains(out, "another master key") {
		t.Errorf("the old master key opens the store: %s", out)
	}
	out := v.ok("list", "-o", "json", "--store", v.path("keys"), "--component", v.path("c"), "--component", v.path("d"))
	if !strings.Contains(out, `"destroyed"`) || !strings.Contains(out, `"retiring"`) {
		t.Error(out)
	}
	for _, secret := range []string{"0123456789ABCDEF", "D91CAB40323D01B5"} {
		if strings.Contains(strings.ToUpper(v.seen.String()), secret) {
			t.Error("a key was printed")
		}
	}
	audit, err := os.ReadFile(v.path("keys.audit"))
	if err != nil || !strings.Contains(string(audit), `"second":"chen"`) {
		t.Errorf("audit trail: %v", err)
	}
}

// TestKeysRefuse: what the commands refuse, with the exit codes of scripts.
func TestKeysRefuse(t *testing.T) {
	v := newVault(t)
	open := v.write("open", "0123456789ABCDEFFEDCBA9876543210 08D7B4", 0o644)
	junk := v.write("junk", "0123456789ABCDEFFEDCBA987654321", 0o600)
	part := v.write("part", "0123456789ABCDEFFEDCBA9876543210 08D7B4", 0o600)
	if out, code := v.run(v.on("", "init")...); code != cli.ExitUsage || !strings.Contains(out, "two persons") {
		t.Errorf("one person made a store: %d %s", code, out)
	}
	v.ok(v.on("chen", "init")...)
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{"exists already", cli.ExitConflict, v.on("chen", "init")},
		{"two persons", cli.ExitUsage, v.on("Wang", "destroy", "pin/x/1")},
		{"no such key", cli.ExitNotFound, v.on("chen", "destroy", "pin/x/1")},
		{"no such key", cli.ExitNotFound, v.on("", "activate", "pin/x/1")},
		{"not the name of a key", cli.ExitUsage, v.on("", "generate", "pin")},
		{"not the name of a key", cli.ExitUsage, v.on("", "generate", "sesame/x")},
		{"does not fit the purpose", cli.ExitUsage, v.on("", "generate", "purse_tac/x", "--algorithm", "ed25519")},
		{"others have access", cli.ExitUsage, v.on("chen", "import", "pin/x", "--algorithm", "tdes2", "--part", open, "--part", part)},
		{"its check value", cli.ExitUsage, v.on("chen", "import", "pin/x", "--algorithm", "tdes2", "--part", junk, "--part", part)},
		{"at least two different", cli.ExitFailed, v.on("chen", "import", "pin/x", "--algorithm", "tdes2", "--part", part, "--part", part)},
		{"at least two different", cli.ExitFailed, v.on("chen", "import", "pin/x", "--algorithm", "tdes2", "--part", part)},
		{"two components", cli.ExitUsage, []string{"verify", "--store", v.path("keys"), "--component", v.path("a")}},
		{"old copy", cli.ExitFailed, v.on("", "verify", "--generation", "99")},
	} {
		out, code := v.run(c.args...)
		if code != c.code || !strings.Contains(out, c.says) || strings.Contains(out, "0123456789ABCDEF") {
			t.Errorf("%v: code %d, want %d (%s): %s", c.args[:2], code, c.code, c.says, out)
		}
	}
	if err := os.Chmod(v.path("a"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, code := v.run(v.on("", "verify")...); code == 0 || !strings.Contains(out, "others have access") {
		t.Errorf("a component that others can read opens the store: %s", out)
	}
}

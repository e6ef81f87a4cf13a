package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// leaves returns the commands that do something.
func leaves(c *cobra.Command) []*cobra.Command {
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	var all []*cobra.Command
	for _, sub := range c.Commands() {
		all = append(all, leaves(sub)...)
	}
	return all
}

// A command that is called without its arguments names them, with an example that can be copied.
func TestCommandsNameTheirArguments(t *testing.T) {
	count := 0
	for _, c := range leaves(rootCommand()) {
		path := strings.Fields(c.CommandPath())[1:]
		line, err := io.ReadAll(strings.NewReader(cli.Example(c)))
		if example := string(line); err != nil || example != strings.TrimSpace(example) ||
			strings.Contains(example, "  ") {
			t.Errorf("%v: the example %q lacks a value: name a sample in package cli", path, example)
		}
		_, words, _ := strings.Cut(c.Use, " ")
		if words == "" || strings.HasPrefix(words, "[") {
			continue
		}
		count++
		out, code := command(t, path...)
		first, _, _ := strings.Cut(strings.TrimRight(strings.Fields(words)[0], "."), "...")
		if code != cli.ExitUsage || !strings.Contains(out, first) || !strings.Contains(out, "is missing") ||
			!strings.Contains(out, "for example: tapswitch "+strings.Join(path, " ")) {
			t.Errorf("%v: code %d: %s", path, code, out)
		}
	}
	if count < 40 {
		t.Errorf("%d commands with arguments", count)
	}
}

// httpLocal are the commands below a flag of an address that make no call, or only with files
// that fit; the tests of their own packages run them.
var httpLocal = map[string]bool{
	"tapswitch bank check": true, "tapswitch bank demo": true, "tapswitch bank route": true,
	"tapswitch bench load": true, "tapswitch gate-sim": true, "tapswitch desk receipt-keys": true,
}

// httpFaults are what may answer at an address, and what a command makes of it.
var httpFaults = []struct {
	name, contentType, body string
	status, code            int
	want                    []string
}{
	{"nobody", "", "", 0, cli.ExitUnavailable, []string{"does not answer", "\n  is it running"}},
	{"token refused", "application/json", `{"error":{"code":"token_invalid","message":"unknown token"}}`,
		401, cli.ExitFailed, []string{"token_invalid: unknown token\n  ", call.TokenEnv}},
	{"not found", "application/json", `{"error":{"code":"thing_unknown","message":"no such thing"}}`,
		404, cli.ExitNotFound, []string{"thing_unknown: no such thing\n  "}},
	{"another server", "text/html", "<html>", 404, cli.ExitNotFound, []string{"answered 404 Not Found\n  "}},
	{"fault", "application/json", `{"error":{"code":"internal","message":"failed"}}`,
		500, cli.ExitFailed, []string{"internal: failed\n  "}},
	{"broken", "application/json", `{"cut`, 200, cli.ExitFailed, []string{"cannot be read", "\n  is http://"}},
	{"a page", "text/html", "<html>", 200, cli.ExitFailed, []string{"cannot be read", "\n  is http://"}},
}

// Every command that speaks to a switch tells the same mistake in the same way, with what to do
// and the exit code that scripts rely on; asked for JSON it prints nothing that is none.
func TestCommandsTellFaultsAlike(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(call.TokenEnv, "secret-of-a-test")
	commands := 0
	for _, c := range leaves(rootCommand()) {
		flag := "url"
		if c.Flag(flag) == nil {
			flag = "admin-url"
		}
		if path := c.CommandPath(); c.Flag(flag) == nil || httpLocal[path] {
			continue
		}
		commands++
		for i := range httpFaults {
			for _, form := range []string{"table", "json"} {
				httpFault(t, c, i, "--"+flag, form)
			}
		}
	}
	if commands < 60 {
		t.Errorf("%d commands", commands)
	}
}

func httpFault(t *testing.T, c *cobra.Command, i int, flag, form string) {
	f := &httpFaults[i]
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Content-Type", f.contentType)
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, f.body)
	}))
	defer server.Close()
	if f.status == 0 {
		server.Close()
	}
	args := append(httpArgs(t, c), flag, server.URL, "-o", form)
	root := rootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetIn(strings.NewReader("3104000000000000001\n6222600000000000001\n3104000000000000002\n"))
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if cli.Code(err) == cli.ExitUsage || err == nil {
		t.Errorf("%v with %s: made %d calls: %v", args, f.name, calls, err)
		return
	}
	text := err.Error()
	for _, want := range f.want {
		if !strings.Contains(text, want) {
			t.Errorf("%v with %s: no %q in %s", args, f.name, want, text)
		}
	}
	if cli.Code(err) != f.code || strings.Contains(text, "secret-of") ||
		form == "json" && out.Len() > 0 && !json.Valid(out.Bytes()) {
		t.Errorf("%v with %s: code %d, want %d: %s\nprinted %s", args, f.name, cli.Code(err), f.code, text, &out)
	}
}

// shellWords splits a line as a shell does, as far as the examples need it.
func shellWords(line string) []string {
	var all []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		all = append(all, strings.Fields(part)...)
	}
	return all
}

// httpArgs returns the arguments of a command's example, with an account and the files that it
// names.
func httpArgs(t *testing.T, c *cobra.Command) []string {
	args := shellWords(cli.Example(c))[1:]
	for i, arg := range args {
		text := "{}"
		switch {
		case arg == "T" || arg == "ACCOUNT":
			args[i] = "00112233445566778899aabbccddeeff"
			continue
		case strings.HasSuffix(arg, ".token"):
			text = "secret-of-a-test"
		case arg == "freezes.csv":
			text = "card,reason\n3104000000000000001,lost\n"
		case arg == "people.csv":
			text = "holder,card\n330106199003071234,3104000000000000001\n"
		case !strings.HasSuffix(arg, ".json") && !strings.HasSuffix(arg, ".csv") &&
			!strings.HasSuffix(arg, ".txt") && !strings.HasSuffix(arg, ".sig"):
			continue
		}
		if err := os.WriteFile(arg, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return args
}

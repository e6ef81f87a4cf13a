package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// findings checks a tree of files and returns what was found as "line rule", warnings with
// a "~" before them.
func findings(t *testing.T, files map[string]string) []string {
	t.Helper()
	root := fstest.MapFS{}
	for name, content := range files {
		root[name] = &fstest.MapFile{Data: []byte(content)}
	}
	tree, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	tree.check()
	var all []string
	for _, f := range tree.sorted() {
		s := fmt.Sprintf("%d %s", f.line, f.rule)
		if f.warning {
			s = "~" + s
		}
		all = append(all, s)
	}
	return all
}

// Words that this file must not contain in one piece.
const (
	toDo  = "TO" + "DO"
	fixMe = "FIX" + "ME"
)

// lines returns n lines of a function body.
func body(n int) string { return strings.Repeat("\tprintln()\n", n) }

func branches(n int) string { return strings.Repeat("\tif x && y { println() }\n", n) }

const head = "// Package p is for tests.\npackage p\n\n"

func TestRules(t *testing.T) {
	for _, tt := range []struct {
		name string
		file string // default p/p.go
		code string // after head, which has three lines
		want []string
	}{
		{name: "clean", code: "// F does.\nfunc F() {}\n"},
		// Pure packages.
		{name: "clock", file: "switch/txn/p.go", want: []string{"6 pure"},
			code: "import \"time\"\n\nvar _ = time.Now\n"},
		{name: "clock by another name", file: "switch/card/p.go", want: []string{"6 pure"},
			code: "import clock \"time\"\n\nfunc f() { clock.AfterFunc(1, f) }\n"},
		{name: "clock elsewhere", file: "switch/gate/p.go",
			code: "import \"time\"\n\nvar _ = time.Now\n"},
		{name: "clock in a test", file: "switch/txn/p_test.go",
			code: "import \"time\"\n\nvar _ = time.Now\n"},
		{name: "types of time", file: "switch/engine/p.go",
			code: "import \"time\"\n\nfunc f(d time.Duration) time.Time { return time.UnixMilli(0) }\n"},
		{name: "goroutine", file: "switch/engine/p.go", want: []string{"4 pure"},
			code: "func f() { go f() }\n"},
		{name: "network", file: "switch/fare/p.go", want: []string{"4 pure"},
			code: "import _ \"net/http\"\n"},
		{name: "disk", file: "crypto/pan/p.go", want: []string{"4 pure"}, code: "import _ \"os\"\n"},
		// Tests.
		{name: "sleep", file: "p/p_test.go", want: []string{"6 sleep"},
			code: "import \"time\"\n\nfunc f() { time.Sleep(1) }\n"},
		{name: "somebody else's sleep", file: "p/p_test.go",
			code: "import time \"other\"\n\nfunc f() { time.Sleep(1) }\n"},
		{name: "sleep outside tests", code: "import \"time\"\n\nfunc f() { time.Sleep(1) }\n"},
		// Settings.
		{name: "environment", want: []string{"6 settings"},
			code: "import \"os\"\n\nfunc f() { os.Getenv(\"X\") }\n"},
		{name: "flags", want: []string{"6 settings"},
			code: "import \"flag\"\n\nfunc f() { flag.Parse() }\n"},
		{name: "environment in cmd", file: "cmd/x/p.go",
			code: "import \"os\"\n\nfunc f() { os.Getenv(\"X\") }\n"},
		{name: "environment in a test", file: "p/p_test.go",
			code: "import \"os\"\n\nfunc f() { os.Getenv(\"X\") }\n"},
		// Panics.
		{name: "panic", want: []string{"4 panic"}, code: "func f() { panic(\"oops\") }\n"},
		{name: "panic of another package", want: []string{"4 panic"},
			code: "func f() { panic(\"q: internal error: x\") }\n"},
		{name: "panic with an error", want: []string{"4 panic"},
			code: "func f(err error) { panic(err) }\n"},
		{name: "panics in form", code: "func f() {\n\tpanic(\"p: internal error: x\")\n" +
			"\tpanic(\"p: internal error: \" + f.String())\n" +
			"\tpanic(fmt.Sprintf(\"p: internal error: %d\", 1))\n}\n"},
		{name: "panic in a test", file: "p/p_test.go", code: "func f() { panic(1) }\n"},
		// Debris.
		{name: "debris", want: []string{"4 debris"}, code: "// " + toDo + ": later\n"},
		{name: "debris in a test", file: "p/p_test.go", want: []string{"5 debris"},
			code: "func f() {\n\t// " + fixMe + "\n}\n"},
		{name: "a word that only begins so", code: "// " + toDo + "S and m" + toDo + "\n"},
		{name: "debris in a script", file: "run.sh", want: []string{"4 debris"}, code: "# " + toDo},
		{name: "nolint", want: []string{"4 nolint"}, code: "func f() {} //nolint\n"},
		{name: "nolint without a reason", want: []string{"4 nolint"},
			code: "func f() {} //nolint:errcheck\n"},
		{name: "nolint with a reason",
			code: "func f() {} //nolint:errcheck // the caller has gone\n"},
		// Places.
		{name: "home", want: []string{"4 place"}, code: "const x = \"/ro" + "ot/x\"\n"},
		{name: "home in a script", file: "run.sh", want: []string{"4 place"}, code: "cd /ho" + "me/me"},
		{name: "registry", file: "README.md", want: []string{"4 place"},
			code: "get https://pro" + "xy.example.org/x"},
		{name: "host of an artefact store", file: "x.yaml", want: []string{"4 place"},
			code: "url: http://eu.repo" + "1.example.org/maven"},
		{name: "other paths", file: "README.md", code: "/var/lib/tapswitch https://example.org/repo " +
			"network/work/x"},
		// Init and variables.
		{name: "init", want: []string{"4 init"}, code: "func init() {}\n"},
		{name: "init method", code: "type t int\n\nfunc (t) init() {}\n"},
		{name: "tables", code: "var table = [...]string{\"a\"}\n\nvar m = map[string]int{}\n\n" +
			"var errX = errors.New(\"x\")\n\nvar _ = 1\n"},
		{name: "assigned", want: []string{"4 variable"},
			code: "var count = 1\n\nfunc f() { count = 2 }\n"},
		{name: "counted", want: []string{"4 variable"},
			code: "var count = 1\n\nfunc f() { count++ }\n"},
		{name: "written entry", want: []string{"4 variable"},
			code: "var table = [2]int{}\n\nfunc f() { table[0] = 2 }\n"},
		{name: "read entry", code: "var table = [2]int{}\n\nfunc f() *int { return &table[0] }\n"},
		{name: "address", want: []string{"4 variable"},
			code: "var table = [2]int{}\n\nfunc f() { g(&table) }\n"},
		{name: "no value", want: []string{"4 variable"}, code: "var count int\n"},
		{name: "lock", want: []string{"6 variable"},
			code: "import \"sync\"\n\nvar pool = sync.Pool{}\n"},
		{name: "pointer", want: []string{"4 variable"}, code: "var x = &struct{}{}\n"},
		{name: "made", want: []string{"4 variable"}, code: "var x = make(map[string]int)\n"},
		{name: "embedded", code: "//go:embed x.lua\nvar x string\n"},
		{name: "in a test", file: "p/p_test.go", code: "var count int\n"},
		// Documentation.
		{name: "function", want: []string{"4 doc"}, code: "func F() {}\n"},
		{name: "method", want: []string{"7 doc"}, code: "// T is.\ntype T int\n\nfunc (*T) F() {}\n"},
		{name: "method of a hidden type", code: "type t int\n\nfunc (t) F() {}\n"},
		{name: "type", want: []string{"4 doc"}, code: "type T int\n"},
		{name: "constant", want: []string{"4 doc"}, code: "const C = 1\n"},
		{name: "group", code: "// The colours.\nconst (\n\tRed = 1\n\tBlue = 2\n)\n"},
		{name: "interface method", want: []string{"6 doc"},
			code: "// I is.\ntype I interface {\n\tF()\n\t// G does.\n\tG()\n}\n"},
		{name: "test helpers", file: "p/p_test.go", code: "func F() {}\n"},
		{name: "vague name", file: "switch/util/p.go", want: []string{"2 name", "2 name"}},
		// Size.
		{name: "five methods", want: []string{"~5 interface"},
			code: "// I is.\ntype I interface {\n" + strings.Repeat("\t// M does.\n\tM()\n", 5) + "}\n"},
		{name: "seventy lines with a reason", code: "// f has a reason.\nfunc f() {\n" + body(80) + "}\n"},
		{name: "seventy lines", want: []string{"4 size"}, code: "func f() {\n" + body(80) + "}\n"},
		{name: "120 lines", want: []string{"~5 size"}, code: "// f.\nfunc f() {\n" + body(125) + "}\n"},
		{name: "150 lines", want: []string{"5 size"}, code: "// f.\nfunc f() {\n" + body(150) + "}\n"},
		{name: "150 lines in a test", file: "p/p_test.go", want: []string{"4 size"},
			code: "func f() {\n" + body(150) + "}\n"},
		{name: "complex", want: []string{"~4 size"}, code: "func f() {\n" + branches(10) + "}\n"},
		{name: "too complex", want: []string{"4 size"}, code: "func f() {\n" + branches(15) + "}\n"},
		{name: "six parameters", want: []string{"4 size"}, code: "func f(a, b, c int, d, e, g string) {}\n"},
		{name: "five parameters", code: "func f(a, b, c int, d, e string) {}\n"},
		{name: "long file", want: []string{"~2 size"}, code: strings.Repeat("\n", 750)},
		{name: "too long file", want: []string{"2 size"}, code: strings.Repeat("\n", 1010)},
		{name: "wide", want: []string{"4 width"}, code: "// " + strings.Repeat("x", 100) + "\n"},
		{name: "wide by tabs", want: []string{"5 width"},
			code: "func f() {\n\t\t\t// " + strings.Repeat("x", 88) + "\n}\n"},
		{name: "a hundred columns of Chinese", code: "// " + strings.Repeat("卡", 97) + "\n"},
		{name: "one wide line of many", want: []string{"~4 width"},
			code: "// " + strings.Repeat("x", 100) + "\n" + strings.Repeat("\n", 60)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := tt.file
			if name == "" {
				name = "p/p.go"
			}
			got := findings(t, map[string]string{name: head + tt.code,
				filepath.Join(filepath.Dir(name), "doc.go"): head})
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPackageComment(t *testing.T) {
	got := findings(t, map[string]string{"p/a.go": "package p\n", "p/b.go": "package p\n",
		"q/a.go": "package q\n", "q/b.go": "// Package q is.\npackage q\n",
		"q/q_test.go": "package q\n"})
	if !slices.Equal(got, []string{"1 doc"}) {
		t.Errorf("got %q", got)
	}
}

func TestPackageSize(t *testing.T) {
	files := map[string]string{}
	for i := range 5 {
		files[fmt.Sprintf("p/%d.go", i)] = head + strings.Repeat("var _ = 1\n\n", 850)
	}
	if got := findings(t, files); !slices.Contains(got, "2 size") {
		t.Errorf("got %q", got)
	}
}

// What is generated, made by running, or no text is left alone.
func TestWhatIsNotJudged(t *testing.T) {
	bad := "package p\n\nfunc init() {}\n"
	got := findings(t, map[string]string{
		"p/doc.go":       head,
		"p/x.pb.go":      "// Code generated by protoc. DO NOT EDIT.\n\n" + bad,
		"p/made.go":      "// Code generated by hand. DO NOT EDIT.\n\n" + bad,
		".stack/x.go":    bad,
		"bin/x.go":       bad,
		"p/x.bin":        "\xff\xfe " + toDo,
		"p/large.csv":    strings.Repeat("x", sizeMax) + toDo,
		"go.sum":         toDo,
		"p/testdata/.gz": "\x1f\x8b\xff",
	})
	if len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestWorkplaceHosts(t *testing.T) {
	got := workplaceHosts([]string{"GOPROXY=http://user:pw@cache.example.org:3000/go,direct",
		"NPM_CONFIG_REGISTRY=https://npm.example.org/", "PIP_INDEX_URL=http://10.0.0.9/simple",
		"HOME=https://no.example.org", "GOFLAGS="})
	want := []string{"cache.example.org", "npm.example.org", "10.0.0.9"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Setenv("GOPROXY", "http://cache.example.org/go")
	if got := findings(t, map[string]string{"README.md": "x\nfrom cache.example.org\n"}); !slices.Equal(
		got, []string{"2 place"}) {
		t.Errorf("got %q", got)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("p.go", head)
	var out, problems bytes.Buffer
	if code := run(dir, &out, &problems); code != 0 || out.String() !=
		"tidy: 1 Go files, 0 findings\n" {
		t.Errorf("clean: %d, %s", code, out.String())
	}
	write("q.go", "package p\n\nfunc init() {}\n")
	out.Reset()
	if code := run(dir, &out, &problems); code != 1 || !strings.HasPrefix(out.String(),
		"q.go:3: init: ") {
		t.Errorf("with a finding: %d, %s", code, out.String())
	}
	write("q.go", "package p\n\n// F is long.\nfunc F() {\n"+body(130)+"}\n")
	out.Reset()
	if code := run(dir, &out, &problems); code != 0 || !strings.HasPrefix(out.String(),
		"warn: q.go:4: size: ") {
		t.Errorf("with a warning: %d, %s", code, out.String())
	}
	write("r.go", "no Go")
	if code := run(dir, &out, &problems); code != 2 || !strings.Contains(problems.String(), "r.go") {
		t.Errorf("not Go: %d, %s", code, problems.String())
	}
	if code := run(filepath.Join(dir, "missing"), &out, &problems); code != 2 {
		t.Errorf("no tree: %d", code)
	}
}

package duty_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/scheme/duty"
)

// clauses are all that the duties rest on: those of the five texts that oblige the switch or
// the people around it. A clause that is missing from the register fails.
const clauses = `
HD3 HD5 HD7 HD8 HD9 HD10 HD11 HD12 HD13 HD14 HD15 HD16 HD17 HD18 HD19 HD20 HD21 HD22 HD23 HD24
HD25 HD26 HD27 HD28 HD29 HD30 HD31 HD32 HD33
ZS4 ZS5 ZS7 ZS8 ZS9 ZS10 ZS11 ZS13 ZS14 ZS15 ZS16 ZS17 ZS18 ZS19 ZS20 ZS21 ZS22 ZS23 ZS24 ZS25
ZS26
WZ5 WZ7 WZ8 WZ9 WZ10 WZ11 WZ12 WZ13 WZ14 WZ15 WZ16 WZ17 WZ18 WZ19 WZ20 WZ21 WZ22 WZ23
SY3 SY5 SY6 SY7 SY8 SY9 SY10 SY11 SY12 SY13 SY14 SY15 SY16 SY17
ZZ2 ZZ4 ZZ5 ZZ6 ZZ7 ZZ8 ZZ9 ZZ10 ZZ11 ZZ12 ZZ13 ZZ14 ZZ15 ZZ16 ZZ18 ZZ19`

func TestEveryClauseIsRegistered(t *testing.T) {
	want := strings.Fields(clauses)
	seen := map[string]bool{}
	for _, d := range duty.All() {
		for _, c := range d.Clauses {
			seen[c] = true
			if !slices.Contains(want, c) {
				t.Errorf("%s rests on %s, which is no clause of the list", d.ID, c)
			}
		}
	}
	for _, c := range want {
		if !seen[c] {
			t.Errorf("clause %s is missing from the register", c)
		}
	}
}

// What the policies cite is registered too.
func TestPoliciesCiteRegisteredClauses(t *testing.T) {
	want := strings.Fields(clauses)
	for _, city := range scheme.Cities() {
		p, err := scheme.Load(city)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Settings() {
			for _, c := range s.Clauses() {
				if !slices.Contains(want, c) {
					t.Errorf("%s: %s cites %s", city, s.Key, c)
				}
			}
		}
	}
	if !slices.Equal(scheme.Cities(), duty.Cities()) {
		t.Errorf("policies of %v, duties of %v", scheme.Cities(), duty.Cities())
	}
}

func TestEntriesAreComplete(t *testing.T) {
	id := regexp.MustCompile(`^((HD|ZS|WZ|SY|ZZ)\d+|rule)(-[a-z]+)+$`)
	seen := map[string]bool{}
	for _, d := range duty.All() {
		if !id.MatchString(d.ID) || seen[d.ID] {
			t.Errorf("id %q", d.ID)
		}
		seen[d.ID] = true
		first, _, _ := strings.Cut(d.ID, "-")
		switch {
		case first == "rule" && !d.ProductRule():
			t.Errorf("%s is no product rule", d.ID)
		case first != "rule" && !slices.Contains(d.Clauses, first):
			t.Errorf("%s does not rest on %s", d.ID, first)
		}
		if d.EN == "" || d.How == "" || !strings.ContainsFunc(d.ZH, func(r rune) bool {
			return unicode.Is(unicode.Han, r)
		}) {
			t.Errorf("%s: text missing: %q, %q, %q", d.ID, d.EN, d.ZH, d.How)
		}
		if (d.Test != "" || d.Pending != "") && d.Outside != "" {
			t.Errorf("%s is outside the switch and has a test or is pending", d.ID)
		}
		if d.Status() == duty.NotYet && d.Pending == "" {
			t.Errorf("%s is not met and does not say what is pending", d.ID)
		}
	}
	if n := len(duty.All()); n < 59 {
		t.Errorf("%d duties", n)
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		d    duty.Duty
		want duty.Status
	}{
		{duty.Duty{Test: "x.TestY"}, duty.Met},
		{duty.Duty{Outside: "people"}, duty.Outside},
		{duty.Duty{}, duty.NotYet},
		{duty.Duty{Pending: "a part"}, duty.NotYet},
		{duty.Duty{Test: "x.TestY", Pending: "a part"}, duty.NotYet},
	} {
		if got := c.d.Status(); got != c.want {
			t.Errorf("%+v is %s", c.d, got)
		}
	}
}

func TestOf(t *testing.T) {
	all := 0
	for _, city := range duty.Cities() {
		some, ok := duty.Of(city)
		if !ok || len(some) < 10 || len(some) >= len(duty.All()) {
			t.Errorf("%s has %d duties", city, len(some))
		}
		all += len(some)
	}
	some, _ := duty.Of("handan")
	if slices.ContainsFunc(some, func(d duty.Duty) bool { return d.ID == "ZS17-pre-report" }) {
		t.Error("Handan has a duty of Zhoushan")
	}
	if some, ok := duty.Of("atlantis"); ok || some != nil {
		t.Errorf("Atlantis has %d duties", len(some))
	}
	duty.All()[0].ID = "changed"
	if duty.All()[0].ID == "changed" {
		t.Error("the register can be written to")
	}
}

// The tests that the register names exist and do something.
func TestNamedTestsExist(t *testing.T) {
	found, err := testsOf(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 500 {
		t.Fatalf("%d tests found in the module", len(found))
	}
	for _, d := range duty.All() {
		if d.Test == "" {
			continue
		}
		switch does, ok := found[d.Test]; {
		case !ok:
			t.Errorf("%s: no test %s", d.ID, d.Test)
		case !does:
			t.Errorf("%s: %s does nothing", d.ID, d.Test)
		}
	}
	// A test that is named for a clause is named for one that exists.
	clause := regexp.MustCompile(`TestDuty_((?:HD|ZS|WZ|SY|ZZ)\d+)_`)
	for name := range found {
		m := clause.FindStringSubmatch(name)
		if m != nil && !slices.Contains(strings.Fields(clauses), m[1]) {
			t.Errorf("%s is named for %s, which no duty rests on", name, m[1])
		}
	}
}

// What the search for tests takes for one.
func TestEmptyTestsShowNothing(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "x_test.go", `package x
func TestEmpty(t *testing.T) {}
func TestSkips(t *testing.T) { t.Skip("later") }
func TestSkipsNow(t *testing.T) { t.SkipNow() }
func TestLogs(t *testing.T) { t.Log("x") }
func TestDoes(t *testing.T) { if f() { t.Error() } }
func TestCalls(t *testing.T) { t.Helper(); check(t) }
func (s suite) TestMethod(t *testing.T) { check(t) }
func TestNothing() { check() }
func Test(t *testing.T) { check(t) }
`, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	collect("x", f, found)
	want := map[string]bool{"x.TestEmpty": false, "x.TestSkips": false, "x.TestSkipsNow": false,
		"x.TestLogs": false, "x.TestDoes": true, "x.TestCalls": true, "x.Test": true}
	for name, does := range want {
		if got, ok := found[name]; !ok || got != does {
			t.Errorf("%s: found %v, does %v", name, ok, got)
		}
	}
	if len(found) != len(want) {
		t.Errorf("found %v", found)
	}
}

// testsOf returns every test of the module as "directory.Name", and whether it does anything.
func testsOf(root fs.FS) (map[string]bool, error) {
	found := map[string]bool{}
	err := fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed by somebody meanwhile
		case err != nil:
			return err
		case e.IsDir() && name != "." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata"):
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		collect(path.Dir(name), f, found)
		return nil
	})
	return found, err
}

func collect(dir string, f *ast.File, found map[string]bool) {
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") &&
			fn.Type.Params.NumFields() == 1 {
			found[dir+"."+fn.Name.Name] = slices.ContainsFunc(fn.Body.List, does)
		}
	}
}

// does reports whether a statement is more than a call of the test that shows nothing.
func does(s ast.Stmt) bool {
	e, ok := s.(*ast.ExprStmt)
	if !ok {
		return true
	}
	call, ok := e.X.(*ast.CallExpr)
	if !ok {
		return true
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return true
	}
	id, ok := sel.X.(*ast.Ident)
	idle := []string{"Skip", "Skipf", "SkipNow", "Helper", "Parallel", "Log", "Logf"}
	return !ok || id.Name != "t" || !slices.Contains(idle, sel.Sel.Name)
}

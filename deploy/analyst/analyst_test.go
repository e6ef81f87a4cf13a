package analyst

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestContract(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Contract() {
		if seen[v.Name] || len(v.Columns) < 5 || !strings.HasPrefix(v.Name, "analyst_") {
			t.Errorf("view %q: twice, or %d columns", v.Name, len(v.Columns))
		}
		seen[v.Name] = true
		for _, c := range v.Columns {
			if slices.Contains(Hidden(), c.Name) {
				t.Errorf("%s shows %s", v.Name, c.Name)
			}
			amount := c.Type == "Int64" && c.Name != "rrn"
			if amount && !slices.Contains(v.Columns, Column{c.Name + "_decimal", "Decimal(38, 2)"}) {
				t.Errorf("%s has the amount %s and no decimal beside it", v.Name, c.Name)
			}
		}
	}
	if len(seen) < 6 {
		t.Errorf("%d views", len(seen))
	}
}

// Every view is somebody's, nobody reads what is hidden, and finance reads no card.
func TestRoles(t *testing.T) {
	names := map[string]bool{}
	for _, v := range Contract() {
		names[v.Name] = true
	}
	for _, r := range Roles() {
		for _, v := range r.Views {
			if !names[v] {
				t.Errorf("%s reads %s, which is not of the contract", r.Name, v)
			}
		}
		for _, c := range append(Hidden(), "card") {
			if slices.Contains(r.Columns, c) && (c != "card" || r.Name == FinanceReader) {
				t.Errorf("%s reads %s", r.Name, c)
			}
		}
		if r.Name == OperatorReader && (r.Letters || slices.Contains(r.Views, "analyst_freezes")) {
			t.Error("an operator reads dead letters or freezes")
		}
	}
}

func position(t *testing.T, all []string, part string) int {
	t.Helper()
	at := slices.IndexFunc(all, func(s string) bool { return strings.Contains(s, part) })
	if at < 0 {
		t.Fatalf("no statement with %q in\n%s", part, strings.Join(all, "\n"))
	}
	return at
}

// There is no moment in which an operator has a grant and no policy.
func TestPoliciesComeFirst(t *testing.T) {
	base, err := Base("ledger")
	if err != nil {
		t.Fatal(err)
	}
	grant := position(t, base, "GRANT SELECT")
	for _, part := range []string{"USING 0 TO operator_reader", "USING 1 TO ALL EXCEPT operator_reader",
		"readonly = 2 CONST"} {
		if at := position(t, base, part); at > grant {
			t.Errorf("%q comes after the first grant", part)
		}
	}
	one := Reader{Database: "ledger", Operator: "M1", User: "m1_reader",
		PasswordSHA256: strings.Repeat("ab", 32)}
	all, err := one.Statements()
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, part := range []string{"CREATE USER IF NOT EXISTS m1_reader", "REVOKE ALL", "REVOKE analyst",
		"USING operator = 'M1' TO m1_reader", "GRANT operator_reader TO m1_reader"} {
		at := position(t, all, part)
		if at <= last {
			t.Errorf("%q comes too early", part)
		}
		last = at
	}
	one.PasswordSHA256 = ""
	if all, err = one.Statements(); err != nil || strings.Contains(strings.Join(all, ";"), "CREATE USER") {
		t.Errorf("a user without a password would be made: %v %v", all, err)
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	good := Reader{Database: "ledger", Operator: "邯郸公交 1", User: "bus"}
	if _, err := good.Statements(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Reader){
		"quote":     func(r *Reader) { r.Operator = "M1' OR '1'='1" },
		"backslash": func(r *Reader) { r.Operator = `M1\` },
		"line":      func(r *Reader) { r.Operator = "M1\nGRANT" },
		"nobody":    func(r *Reader) { r.Operator = "" },
		"long":      func(r *Reader) { r.Operator = strings.Repeat("x", nameMax+1) },
		"user":      func(r *Reader) { r.User = "a; DROP" },
		"line user": func(r *Reader) { r.User = "a\n" },
		"default":   func(r *Reader) { r.User = "Default" },
		"role":      func(r *Reader) { r.User = Analyst },
		"database":  func(r *Reader) { r.Database = "ledger.records" },
		"password":  func(r *Reader) { r.PasswordSHA256 = "secret" },
	} {
		r := good
		spoil(&r)
		if all, err := r.Statements(); !errors.Is(err, ErrName) || all != nil {
			t.Errorf("%s: %v %v", name, all, err)
		}
	}
	if _, err := Base("ledger; DROP"); !errors.Is(err, ErrName) {
		t.Errorf("%v", err)
	}
}

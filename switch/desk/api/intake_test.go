package api

import (
	"net/http"
	"testing"

	"github.com/tapswitch/tapswitch/switch/desk/intake"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

const importPath = "/v1/desk/freezes:import"

// A list of freezes is imported by the desk or the administrator, with a dry run before, and
// again without harm; bad lines come back masked.
func TestImportOfFreezes(t *testing.T) {
	c := newCounter(t, "handan")
	list := cardA + ",lost\n" + cardB + ",stolen\n" + cardC + ",risk,purse,,F-3\n"
	want := map[string]any{"lines": 3.0, "refused": 1.0, "resumed": 0.0}
	check := func(r *reply, frozen, already float64) {
		t.Helper()
		for name, v := range want {
			if r.body[name] != v {
				t.Fatalf("%s: %v, want %v: %s", name, r.body[name], v, r.raw)
			}
		}
		bad := r.body["bad"].([]any)[0].(map[string]any)
		if r.body["frozen"] != frozen || r.body["already"] != already || bad["line"] != 2.0 ||
			bad["code"] != intake.BadReason || bad["card"] != "****0002" {
			t.Fatal(r.raw)
		}
	}
	check(c.must("wang", roleDesk, "POST", importPath+"?dry_run=true", list), 0, 0)
	check(c.must("wang", roleDesk, "POST", importPath, list), 2, 0)
	want["resumed"] = 2.0
	check(c.must("wang", roleAdmin, "POST", importPath, list), 2, 0)
	want["resumed"] = 0.0
	check(c.must("wang", roleAdmin, "POST", importPath+"?id=other", list), 0, 2)
}

func TestImportRefusals(t *testing.T) {
	c := newCounter(t, "handan")
	for _, a := range []struct {
		who, role, path, list string
		status                int
		code                  string
	}{
		{"-", "", importPath, "", http.StatusUnauthorized, "token_missing"},
		{"wang", roleViewer, importPath, "", http.StatusForbidden, "role_not_permitted"},
		{"wang", roleDesk, importPath + "?dry_run=perhaps", "", http.StatusBadRequest, "dry_run_invalid"},
		{"wang", roleDesk, importPath + "?id=a%2Fb", "", http.StatusBadRequest, "list_invalid"},
	} {
		if r := c.ask(a.who, a.role, "POST", a.path, a.list); r.status != a.status || r.code() != a.code {
			t.Errorf("%s: %d %s, want %s", a.path, r.status, r.raw, a.code)
		}
	}
	c.must("wang", roleDesk, "POST", importPath+"?id=x", cardA+",lost\n")
	if r := c.ask("wang", roleDesk, "POST", importPath+"?id=x", cardB+",lost\n"); r.code() != "import_other" {
		t.Errorf("another list: %s", r.raw)
	}
	c.memory.SetFault(everyCommit)
	r := c.ask("wang", roleDesk, "POST", importPath, cardC+",lost\n")
	if r.status != http.StatusServiceUnavailable || r.code() != "import_unfinished" {
		t.Errorf("a store that is away: %d %s", r.status, r.raw)
	}
}

func everyCommit(op storetest.Op) storetest.Fault {
	if op == storetest.OpCommit {
		return storetest.NotApplied
	}
	return storetest.NoFault
}

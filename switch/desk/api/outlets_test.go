package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/desk"
)

const office = `{"title":"开发区网点","party":"agency","address":"东环路1号","hours":"Mon-Fri 9-17","services":["report_loss"]}`

// HD18, HD10: a loss is reported at the agency or at a designated outlet. Once an outlet is
// registered every command names one that is, by the name of the field that holds it; what was
// written before stays readable, and the published list shows where to go.
func TestDuty_HD18_OutletsAreRegistered(t *testing.T) {
	c := newCounter(t, "handan")
	before := c.must("li.lei", "desk", "GET", "/public/services", "")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA)) // at "d1"
	report := func(outlet string) *reply {
		return c.ask("li.lei", "desk", "POST", "/v1/desk/commands", `{"card":"`+cardA+`","outlet":"`+outlet+
			`","step":"report_loss","with":{`+who+`,"form":"written","form_no":"f-1","bank_told":true}}`)
	}
	c.must("root", "admin", "PUT", "/v1/desk/outlets/dev-zone", office)
	for _, name := range []string{"d1", "no/such", "dev-zone2"} {
		a := report(name)
		if a.status != 400 || a.code() != "outlet_unknown" || !strings.Contains(a.raw, "field outlet:") ||
			!strings.Contains(a.raw, `"fields":["outlet"]`) {
			t.Fatalf("%s: %d %s", name, a.status, a.raw)
		}
	}
	inner := c.ask("li.lei", "desk", "POST", "/v1/desk/commands",
		`{"card":"`+cardA+`","outlet":"dev-zone","step":"unbind_carrier","with":{"outlet":"d1"}}`)
	if inner.code() != "outlet_unknown" || !strings.Contains(inner.raw, "with.outlet") {
		t.Fatalf("%d %s", inner.status, inner.raw)
	}
	for _, path := range []string{"/v1/desk/accounts", "/v1/desk/accounts:bulk"} {
		body := opening("110101199001011237", cardB)
		if strings.HasSuffix(path, "bulk") {
			body = `{"unit":"u","outlet":"d1","people":[` + body + `]}`
		}
		if a := c.ask("li.lei", "desk", "POST", path, body); a.code() != "outlet_unknown" {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts:find", `{"card":"`+cardA+`"}`)
	if a := report("dev-zone"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	list := c.must("li.lei", "desk", "GET", "/public/services", "")
	if !strings.Contains(list.raw, "东环路1号") || !strings.Contains(list.raw, `"hours":"Mon-Fri 9-17"`) ||
		list.body["version"] == before.body["version"] {
		t.Fatalf("published: %s", list.raw)
	}
	c.must("root", "admin", "DELETE", "/v1/desk/outlets/dev-zone", "")
	if a := report("dev-zone"); a.code() != "outlet_unknown" {
		t.Fatalf("a closed outlet serves: %s", a.raw)
	}
	all := c.must("li.lei", "desk", "GET", "/v1/desk/outlets", "")
	list = c.must("li.lei", "desk", "GET", "/public/services", "")
	if !strings.Contains(all.raw, `"closed":true`) || strings.Contains(list.raw, "dev-zone") {
		t.Fatalf("closed: %s\n%s", all.raw, list.raw)
	}
}

// What an outlet lacks is told at once, field by field, and nobody but an admin registers one.
func TestOutletsAreChecked(t *testing.T) {
	c := newCounter(t, "handan")
	if a := c.ask("li.lei", "desk", "PUT", "/v1/desk/outlets/a", office); a.status != 403 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	a := c.ask("root", "admin", "PUT", "/v1/desk/outlets/bad%20name", `{"services":["fortune"]}`)
	for _, field := range []string{"name", "title", "party", "address", "hours", "services"} {
		if a.status != 400 || !strings.Contains(a.raw, field+" (") {
			t.Errorf("%s is not named: %d %s", field, a.status, a.raw)
		}
	}
	if a := c.ask("root", "admin", "DELETE", "/v1/desk/outlets/none", ""); a.status != 404 || a.code() != "outlet_unknown" {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// There are as many outlets as the bound says, and a registered one can still be changed then.
func TestOutletsAreBounded(t *testing.T) {
	c := newCounter(t, "handan")
	for n := range desk.OutletsMax {
		err := c.memory.Put(t.Context(), fmt.Sprintf("outlet/o%d", n), []byte(`{"name":"o"}`), 0)
		if err != nil {
			t.Fatal(err)
		}
	}
	if a := c.ask("root", "admin", "PUT", "/v1/desk/outlets/more", office); a.status != 409 || a.code() != "outlets_full" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	c.must("root", "admin", "PUT", "/v1/desk/outlets/o7", office)
	all, err := c.desk.Outlets(t.Context())
	if err != nil || len(all) != desk.OutletsMax ||
		!slices.ContainsFunc(all, func(o desk.Outlet) bool { return o.Name == "o7" && o.Party == "agency" }) {
		t.Fatalf("%d outlets, %v", len(all), err)
	}
}

package api

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/desk/share"
)

// described is what the API's description says of the desk.
type described struct {
	Paths map[string]map[string]struct {
		Roles       []string       `json:"x-roles"`
		Responses   map[string]any `json:"responses"`
		Body        map[string]any `json:"requestBody"`
		OperationID string         `json:"operationId"`
	}
	Components struct {
		Schemas map[string]struct {
			Steps map[string]struct {
				Roles []string
				With  map[string]string
			} `json:"x-steps"`
			With map[string]string `json:"x-with"`
		}
	}
}

func description(t *testing.T) *described {
	t.Helper()
	text, err := os.ReadFile("../../gate/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	d := new(described)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The description has every call of the desk with its roles, a body where one is sent and the
// errors, and none that is not served.
func TestOpenAPIHasTheDesk(t *testing.T) {
	o := newCounter(t, "handan").options
	o.Share, o.Findings, o.Foreign, o.Drills = new(share.Service), new(finding.Service), new(foreign.Service), new(drill.Service)
	served := map[string][]string{}
	for _, r := range newServer(o).routes {
		served[r.pattern] = r.roles
	}
	d, ids := description(t), map[string]bool{}
	for path, operations := range d.Paths {
		for method, op := range operations {
			pattern := strings.ToUpper(method) + " " + path
			if ids[op.OperationID] {
				t.Errorf("%s: operation %s stands twice", pattern, op.OperationID)
			}
			ids[op.OperationID] = true
			if !strings.HasPrefix(path, "/v1/desk/") {
				continue
			}
			roles, ok := served[pattern]
			delete(served, pattern)
			if !ok || !slices.Equal(roles, op.Roles) {
				t.Errorf("%s: described for %q, served for %q", pattern, op.Roles, roles)
			}
			for _, status := range []string{"200", "400", "401", "403", "404", "409", "503"} {
				if op.Responses[status] == nil {
					t.Errorf("%s does not describe %s", pattern, status)
				}
			}
			if method == "put" && op.Body == nil {
				t.Errorf("%s has no body", pattern)
			}
		}
	}
	for pattern := range served {
		t.Errorf("%s is served and not described", pattern)
	}
}

// The description has the fields of every step, as the desk reads them.
func TestOpenAPIHasTheSteps(t *testing.T) {
	d, table := description(t), stepTable()
	steps := d.Components.Schemas["DeskCommand"].Steps
	for name, e := range table {
		want := map[string]string{}
		for _, f := range form.Fields(value(e.make())) {
			want[f.Name] = f.Want
		}
		if got := steps[name]; !reflect.DeepEqual(got.With, want) || !slices.Equal(got.Roles, e.roles) {
			t.Errorf("%s: described %v, is %v", name, got, want)
		}
	}
	if len(steps) != len(table) || len(d.Components.Schemas["DeskOpening"].With) < 12 {
		t.Errorf("%d steps described, %d are there", len(steps), len(table))
	}
}

// The codes that the runbooks and the description explain are there by name.
func TestCodesAreExplained(t *testing.T) {
	for _, file := range []string{"../../gate/openapi.json", "../../../deploy/runbooks/freeze.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []string{"carrier_frozen", "rider_until_past", "expires_on_past", "outlet_unknown"} {
			if !strings.Contains(string(text), code) {
				t.Errorf("%s does not explain %s", file, code)
			}
		}
	}
}

package gate

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// contract is the OpenAPI file as the tests use it.
type contract struct {
	doc     *openapi3.T
	routing *routing

	mu   sync.Mutex
	seen map[string]bool // "POST /v1/taps 200"
}

func loadContract(t testing.TB) *contract {
	t.Helper()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		t.Fatal(err)
	}
	return &contract{doc: doc, routing: newRouting((&Server{}).routeTable()),
		seen: map[string]bool{}}
}

// check validates an answer against the file. Answers outside every route (404, 405) must
// be errors as the file describes them.
func (c *contract) check(t testing.TB, method, path string, a reply) {
	t.Helper()
	schema := c.doc.Components.Schemas["Error"].Value
	route, _, why := c.routing.find([]byte(method), []byte(path))
	if !why.IsSet() {
		response := c.operation(route).Responses.Value(strconv.Itoa(a.status))
		if response == nil {
			t.Fatalf("%s: status %d is not in the file: %s", route, a.status, a.body)
		}
		schema = response.Value.Content["application/json"].Schema.Value
		c.mu.Lock()
		c.seen[route.String()+" "+strconv.Itoa(a.status)] = true
		c.mu.Unlock()
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Fatalf("%s %s: content type %q", method, path, got)
	}
	var value any
	if err := json.Unmarshal(a.body, &value); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
	}
	if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020(),
		openapi3.EnableFormatValidation()); err != nil {
		t.Fatalf("%s %s %d: %v\n%s", method, path, a.status, err, a.body)
	}
}

func (c *contract) operation(r *route) *openapi3.Operation {
	return c.doc.Paths.Value(r.path).GetOperation(r.method)
}

// TestOpenAPICoversRoutes compares file and routes in both directions.
func TestOpenAPICoversRoutes(t *testing.T) {
	c := loadContract(t)
	if !strings.HasPrefix(c.doc.OpenAPI, "3.1") {
		t.Errorf("version %s", c.doc.OpenAPI)
	}
	served := map[string]*route{}
	for i := range c.routing.table {
		served[c.routing.table[i].String()] = &c.routing.table[i]
	}
	described := 0
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if _, ok := operation.Extensions["x-part"]; ok {
				continue // of a part that is mounted: compared with it in package main
			}
			described++
			r := served[method+" "+path]
			if r == nil {
				t.Errorf("%s %s is in the file and not served", method, path)
				continue
			}
			checkOperationOf(t, r, operation)
		}
	}
	if described != len(served) {
		t.Errorf("%d calls served, %d described", len(served), described)
	}
}

// checkOperationOf compares security, roles and body fields of one call.
func checkOperationOf(t *testing.T, r *route, o *openapi3.Operation) {
	t.Helper()
	want := map[guard]string{guardTerminal: "signature", guardOperator: "token"}[r.guard]
	got := ""
	for _, s := range *o.Security {
		for name := range s {
			got = name
		}
	}
	if got != want {
		t.Errorf("%s: security %q, want %q", r, got, want)
	}
	var roles []string
	for _, role := range r.roles {
		roles = append(roles, string(role))
	}
	var described []string
	if list, ok := o.Extensions["x-roles"].([]any); ok {
		for _, role := range list {
			described = append(described, role.(string))
		}
	}
	if strings.Join(roles, " ") != strings.Join(described, " ") {
		t.Errorf("%s: roles %v, the file says %v", r, roles, described)
	}
	if (o.RequestBody != nil) != r.takesBody() {
		t.Errorf("%s: body in the file: %v", r, o.RequestBody != nil)
	}
	if o.RequestBody == nil || r.bodyMax == batchBodyMax {
		return
	}
	schema := o.RequestBody.Value.Content["application/json"].Schema.Value
	for f := range fields.End {
		may, _ := r.schema.Takes(f)
		if _, ok := schema.Properties[f.String()]; ok != may {
			t.Errorf("%s: field %s: file %v, served %v", r, f, ok, may)
		}
	}
	for _, name := range schema.Required {
		f, ok := fields.Named([]byte(name))
		if _, must := r.schema.Takes(f); !ok || !must {
			t.Errorf("%s: field %s is required in the file alone", r, name)
		}
	}
}

// TestOpenAPILimits compares lengths and bounds of the fields with the file's.
func TestOpenAPILimits(t *testing.T) {
	c := loadContract(t)
	for i := range c.routing.table {
		r := &c.routing.table[i]
		if !r.schema.Allows() || r.bodyMax == batchBodyMax {
			continue
		}
		body := c.operation(r).RequestBody.Value.Content["application/json"].Schema.Value
		for f := range fields.End {
			p := body.Properties[f.String()]
			if p == nil {
				continue
			}

			switch {
			case f.IsText() && p.Value.MaxLength != nil:
				if int64(*p.Value.MaxLength) != f.Most() {
					t.Errorf("%s %s: length %d, file %d", r, f, f.Most(), *p.Value.MaxLength)
				}
			case f.IsNumber():
				if p.Value.Max == nil || int64(*p.Value.Max) != f.Most() || *p.Value.Min != 0 {
					t.Errorf("%s %s: bounds differ from the file's", r, f)
				}
			}
		}
	}
}

// TestServedDocuments fetches what anybody may see.
func TestServedDocuments(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/openapi.json", "/v1/errors", "/livez", "/readyz"} {
		if a := r.do("GET", path, "", nil); a.status != 200 {
			t.Errorf("%s: %v", path, a)
		}
	}
	var catalogue struct {
		Errors []struct {
			Code      string `json:"code"`
			Status    int    `json:"status"`
			Message   string `json:"message"`
			MessageZH string `json:"message_zh"`
		} `json:"errors"`
	}
	a := r.do("GET", "/v1/errors", "", nil)
	if err := json.Unmarshal(a.body, &catalogue); err != nil {
		t.Fatal(err)
	}
	listed := map[string]int{}
	for _, e := range catalogue.Errors {
		listed[e.Code]++
		if e.Message == "" || e.MessageZH == "" || e.Status < 200 {
			t.Errorf("incomplete: %+v", e)
		}
	}
	for _, code := range refusal.Codes() {
		if code != refusal.RequestRefused && listed[code.String()] == 0 {
			t.Errorf("%s is not in the catalogue", code)
		}
	}
	for _, reason := range txn.Reasons() {
		if listed[reason.String()] == 0 {
			t.Errorf("%s is not in the catalogue", reason)
		}
	}
}

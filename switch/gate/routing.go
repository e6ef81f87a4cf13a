package gate

import (
	"bytes"
	"strings"

	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
)

// guard says who may make a call.
type guard uint8

const (
	guardNone     guard = iota // anybody
	guardTerminal              // a signature
	guardOperator              // a token with one of the roles
)

// route is one call of the API.
type route struct {
	number Route
	method string
	// path as in the OpenAPI file; one {parameter} stands for what is between the slash
	// and the end or a colon.
	path    string
	guard   guard
	roles   []Role
	lane    lane
	bodyMax int
	// schema is what the body's object, or each entry of a batch, must look like; a route
	// without allowed fields takes no body.
	schema fields.Schema
	media  string // of a body that is no JSON, for what is mounted
	serve  func(*Server, *call) refusal.Value
}

func (r *route) takesBody() bool { return r.schema.Allows() }

// String returns method and path.
func (r *route) String() string { return r.method + " " + r.path }

// The schemas of bodies.
func tapSchema() fields.Schema {
	return fields.SchemaOf(fields.SetOf(fields.ID, fields.Kind, fields.Card, fields.ServiceTime),
		fields.SetOf(fields.Station, fields.Line, fields.FullFare, fields.Charged, fields.OfflineCounter,
			fields.ListEpoch, fields.Vehicle, fields.Class, fields.Metres, fields.Mode, fields.Degraded))
}

func moneySchema() fields.Schema {
	return fields.SchemaOf(fields.SetOf(fields.ID, fields.Card, fields.Amount, fields.ServiceTime),
		fields.SetOf(fields.STAN, fields.RRN))
}

func cardSchema() fields.Schema {
	return fields.SchemaOf(fields.SetOf(fields.Card, fields.Apps, fields.Rider),
		fields.SetOf(fields.ExpiresOn, fields.Issuer))
}

func terminalSchema() fields.Schema {
	return fields.SchemaOf(fields.SetOf(fields.Kinds),
		fields.SetOf(fields.Operator, fields.Line, fields.Station,
			fields.Merchant, fields.MCC, fields.Acquirer))
}

// routeTable is the whole API. The order gives the routes their numbers.
func (s *Server) routeTable() []route {
	table := append(terminalRoutes(), deskRoutes()...)
	table = append(table, keeperRoutes()...)
	table = append(table, openRoutes()...)
	for i := range table {
		table[i].number = Route(i)
		if table[i].bodyMax == 0 {
			table[i].bodyMax = bodyMax
		}
	}
	return table
}

// terminalRoutes are the calls that terminals sign.
func terminalRoutes() []route {
	return []route{
		{method: "POST", path: "/v1/taps", guard: guardTerminal, lane: laneMoney,
			schema: tapSchema(), serve: (*Server).tap},
		{method: "POST", path: "/v1/taps:batch", guard: guardTerminal, lane: laneBatch,
			bodyMax: batchBodyMax, schema: tapSchema(), serve: (*Server).tapBatch},
		{method: "POST", path: "/v1/loads", guard: guardTerminal, lane: laneMoney,
			schema: moneySchema(), serve: (*Server).load},
		{method: "POST", path: "/v1/purchases", guard: guardTerminal, lane: laneMoney,
			schema: moneySchema(), serve: (*Server).purchase},
		{method: "POST", path: "/v1/refunds", guard: guardTerminal, lane: laneMoney,
			schema: fields.SchemaOf(fields.SetOf(fields.ID, fields.Card, fields.Amount, fields.Original,
				fields.ServiceTime), 0), serve: (*Server).refund},
		{method: "POST", path: "/v1/reversals", guard: guardTerminal, lane: lanePriority,
			schema: fields.SchemaOf(fields.SetOf(fields.ID, fields.Card, fields.Original,
				fields.ServiceTime), 0),
			serve: (*Server).reverse},
		{method: "POST", path: "/v1/balances", guard: guardTerminal, lane: laneQuery,
			schema: fields.SchemaOf(fields.SetOf(fields.ID, fields.Card, fields.ServiceTime), 0),
			serve:  (*Server).balance},
	}
}

// deskRoutes are the calls about cards that operators make.
func deskRoutes() []route {
	choice := fields.SetOf(fields.Card, fields.Token)
	return []route{
		{method: "POST", path: "/v1/cards", guard: guardOperator, lane: laneMoney,
			roles: []Role{RoleDesk, RoleAdmin}, schema: cardSchema(), serve: (*Server).enrol},
		{method: "POST", path: "/v1/cards:batch", guard: guardOperator, lane: laneBatch,
			roles: []Role{RoleDesk, RoleAdmin}, bodyMax: batchBodyMax, schema: cardSchema(),
			serve: (*Server).enrolBatch},
		{method: "POST", path: "/v1/cards:lookup", guard: guardOperator, lane: laneQuery,
			roles:  []Role{RoleDesk, RoleDeskConfirm, RoleViewer},
			schema: fields.SchemaOf(fields.SetOf(fields.Card), 0), serve: (*Server).lookupCard},
		{method: "GET", path: "/v1/cards/{token}", guard: guardOperator, lane: laneQuery,
			roles: []Role{RoleDesk, RoleDeskConfirm, RoleViewer}, serve: (*Server).showCard},
		{method: "POST", path: "/v1/freezes", guard: guardOperator, lane: lanePriority,
			roles: []Role{RoleDesk},
			schema: fields.SchemaOf(fields.SetOf(fields.Reason),
				choice|fields.SetOf(fields.Scope, fields.Note)),
			serve: (*Server).freeze},
		{method: "POST", path: "/v1/releases", guard: guardOperator, lane: laneMoney,
			roles: []Role{RoleDesk}, schema: fields.SchemaOf(fields.SetOf(fields.Note), choice),
			serve: (*Server).requestRelease},
		{method: "GET", path: "/v1/releases", guard: guardOperator, lane: laneQuery,
			roles: []Role{RoleDesk, RoleDeskConfirm, RoleViewer},
			serve: (*Server).listReleases},
		{method: "POST", path: "/v1/releases/{id}/confirm", guard: guardOperator,
			lane: laneMoney, roles: []Role{RoleDeskConfirm}, serve: (*Server).confirmRelease},
	}
}

// keeperRoutes are the calls about terminals and operators that operators make.
func keeperRoutes() []route {
	keepers := []Role{RoleVendor, RoleAdmin}
	return []route{
		{method: "PUT", path: "/v1/terminals/{id}", guard: guardOperator, lane: laneQuery,
			roles: keepers, schema: terminalSchema(), serve: (*Server).putTerminal},
		{method: "GET", path: "/v1/terminals/{id}", guard: guardOperator, lane: laneQuery,
			roles: []Role{RoleVendor, RoleAdmin, RoleViewer}, serve: (*Server).showTerminal},
		{method: "POST", path: "/v1/terminals/{id}:rotate", guard: guardOperator,
			lane: laneQuery, roles: keepers, serve: (*Server).rotateTerminal},
		{method: "POST", path: "/v1/terminals/{id}:revoke", guard: guardOperator,
			lane: lanePriority, roles: keepers, serve: (*Server).revokeTerminal},
		{method: "PUT", path: "/v1/operators/{id}", guard: guardOperator, lane: laneQuery,
			roles: []Role{RoleAdmin}, schema: fields.SchemaOf(fields.SetOf(fields.Roles), 0),
			serve: (*Server).putOperator},
		{method: "POST", path: "/v1/operators/{id}:revoke", guard: guardOperator,
			lane: lanePriority, roles: []Role{RoleAdmin}, serve: (*Server).revokeOperator},
	}
}

// openRoutes are the calls that anybody may make.
func openRoutes() []route {
	return []route{
		{method: "GET", path: "/v1/errors", serve: (*Server).showErrors},
		{method: "GET", path: "/openapi.json", serve: (*Server).showOpenAPI},
		{method: "GET", path: "/livez", serve: (*Server).livez},
		{method: "GET", path: "/readyz", serve: (*Server).readyz},
	}
}

// routing finds routes. Paths are compared as sent, byte for byte: what is not exactly a
// path of the API, be it escaped, doubled or with a query, is not found.
type routing struct {
	table  []route
	plain  map[string][]*route // by path, without parameters
	nested []*pattern
}

// pattern is a path with one parameter.
type pattern struct {
	before, after string
	routes        []*route
}

func newRouting(table []route) *routing {
	rt := &routing{table: table, plain: make(map[string][]*route)}
	for i := range table {
		r := &table[i]
		before, rest, nested := strings.Cut(r.path, "{")
		if !nested {
			rt.plain[r.path] = append(rt.plain[r.path], r)
			continue
		}
		_, after, _ := strings.Cut(rest, "}")
		p := rt.pattern(before, after)
		p.routes = append(p.routes, r)
	}
	return rt
}

func (rt *routing) pattern(before, after string) *pattern {
	for _, p := range rt.nested {
		if p.before == before && p.after == after {
			return p
		}
	}
	p := &pattern{before: before, after: after}
	rt.nested = append(rt.nested, p)
	return p
}

// find returns the route of a request and the parameter of its path.
func (rt *routing) find(method, path []byte) (r *route, param []byte, why refusal.Value) {
	candidates := rt.plain[string(path)]
	if candidates == nil {
		candidates, param = rt.findNested(path)
	}
	for _, r := range candidates {
		if r.method == string(method) {
			return r, param, refusal.Value{}
		}
	}
	if len(candidates) == 0 {
		return nil, nil, refusal.For(refusal.NotFound)
	}
	return nil, nil, refusal.Value{Code: refusal.MethodNotAllowed, Allow: allowed(candidates)}
}

func (rt *routing) findNested(path []byte) ([]*route, []byte) {
	for _, p := range rt.nested {
		param, ok := bytes.CutPrefix(path, []byte(p.before))
		if !ok {
			continue
		}
		if param, ok = bytes.CutSuffix(param, []byte(p.after)); ok && plainParam(param) {
			return p.routes, param
		}
	}
	return nil, nil
}

// paramMax bounds a parameter of a path.
const paramMax = 64

// plainParam reports whether a path parameter consists of what ids are made of.
func plainParam(b []byte) bool {
	if len(b) == 0 || len(b) > paramMax {
		return false
	}
	for _, c := range b {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// allowed lists the methods of a path as in the Allow header.
func allowed(routes []*route) string {
	var methods []string
	for _, r := range routes {
		methods = append(methods, r.method)
	}
	return strings.Join(methods, ", ")
}

// Routes returns the names of all calls, "POST /v1/taps" and so on, by Route number.
func (s *Server) Routes() []string {
	names := make([]string, len(s.routes.table))
	for i := range names {
		names[i] = s.routes.table[i].String()
	}
	return names
}

// noRoute is the number of requests that reached no route.
const noRoute Route = 255

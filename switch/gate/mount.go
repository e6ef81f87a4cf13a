package gate

import (
	"bytes"
	"context"
	"net/http"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/switch/gate/adapt"
	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Mount is a part of the API that Handler serves: every path that begins with Prefix and is
// none of the gate's own. The gate says who asks, in headers that no client can set; a
// request without credentials reaches the handler with none of them.
type Mount struct {
	Prefix  string
	Handler http.Handler
	// Media is a type of body that it takes beside JSON.
	Media string
}

// Headers by which a mounted handler knows who asks.
const (
	HeaderActor  = "Tapswitch-Actor"  // name of an operator
	HeaderRoles  = "Tapswitch-Roles"  // his roles, with commas
	HeaderDevice = "Tapswitch-Device" // id of a terminal
)

// mounted is a mount and the route by which it is admitted.
type mounted struct {
	prefix []byte
	route  route
	serve  fasthttp.RequestHandler
}

func newMounts(all []Mount) []mounted {
	out := make([]mounted, 0, len(all))
	for _, m := range all {
		out = append(out, mounted{prefix: []byte(m.Prefix), route: route{number: noRoute, path: m.Prefix,
			roles: Roles(), bodyMax: batchBodyMax, schema: cardSchema(), media: m.Media},
			serve: adapt.Handler(m.Handler)})
	}
	return out
}

// mountOf returns the mount that serves a path, nil for the gate's own.
func (s *Server) mountOf(path []byte) *mounted {
	for i := range s.mounts {
		if bytes.HasPrefix(path, s.mounts[i].prefix) {
			return &s.mounts[i]
		}
	}
	return nil
}

// passOn admits the request as far as it has credentials and hands it over.
func (s *Server) passOn(x *call, m *mounted) refusal.Value {
	h, admitted := &x.http.Request.Header, m.route
	if h.ContentLength() <= 0 {
		admitted.schema = fields.Schema{}
	}
	switch {
	case len(h.Peek("Authorization")) > 0:
		admitted.guard = guardOperator
	case readCredentials(h).terminal != nil:
		admitted.guard = guardTerminal
	}
	x.route, x.ctx = &admitted, context.Background()
	if r := s.admit(x); r.IsSet() {
		return r
	}
	for _, own := range [...]string{HeaderActor, HeaderRoles, HeaderDevice} {
		h.Del(own)
	}
	if x.actor != nil {
		h.Set(HeaderActor, x.actor.Name)
		for _, role := range x.actor.Roles {
			h.Add(HeaderRoles, string(role))
		}
	}
	if x.claim.from != nil {
		h.Set(HeaderDevice, x.claim.from.id.String())
	}
	x.http.Request.SetBodyRaw(x.body)
	m.serve(x.http)
	return refusal.Value{}
}

// TerminalOf returns the terminal that a mounted request comes from.
func TerminalOf(r *http.Request) (txn.TerminalID, bool) {
	id, err := txn.ParseTerminalID(r.Header.Get(HeaderDevice))
	return id, err == nil
}

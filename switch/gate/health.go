package gate

import (
	_ "embed"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// openAPI is the description of the API, OpenAPI 3.1. A test compares it with the routes
// in both directions and validates answers against it.
//
//go:embed openapi.json
var openAPI []byte

// livez serves GET /livez: the process answers.
func (s *Server) livez(x *call) refusal.Value {
	x.out = append(x.out, `{"status":"live"}`...)
	return refusal.Value{}
}

// readyz serves GET /readyz: whether a load balancer should send requests here. The cause
// goes to the log, since anybody may ask.
func (s *Server) readyz(x *call) refusal.Value {
	if s.draining.Load() {
		return refusal.For(refusal.NotReady)
	}
	if err := s.ready(); err != nil {
		s.log.Warn("not ready", "cause", err)
		return refusal.For(refusal.NotReady)
	}
	x.out = append(x.out, `{"status":"ready"}`...)
	return refusal.Value{}
}

// showOpenAPI serves GET /openapi.json.
func (s *Server) showOpenAPI(x *call) refusal.Value {
	x.out = append(x.out, openAPI...)
	return refusal.Value{}
}

// showErrors serves GET /v1/errors: every code that an answer may hold, the gate's own and
// the reasons of declines.
func (s *Server) showErrors(x *call) refusal.Value {
	x.out = append(x.out, `{"errors":[`...)
	for i, c := range refusal.Codes() {
		if c == refusal.RequestRefused {
			continue
		}
		if i > 0 {
			x.out = append(x.out, ',')
		}
		x.out = append(appendCatalogue(x.out, refusal.For(c).Text()), '}')
	}
	for _, r := range txn.Reasons() {
		x.out = appendCatalogue(append(x.out, ','), refusal.ReasonText(r))
		x.out = appendMember(x.out, "field39", r.Text().Field39)
		x.out = append(x.out, '}')
	}
	x.out = append(x.out, `]}`...)
	return refusal.Value{}
}

// appendCatalogue appends one line of the catalogue, up to its closing brace.
func appendCatalogue(dst []byte, t refusal.Text) []byte {
	dst = appendText(append(dst, `{"code":`...), t.Name)
	dst = appendMember(dst, "type", t.Kind)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(t.Status), 10)
	dst = strconv.AppendBool(append(dst, `,"retryable":`...), t.Retryable)
	dst = appendMember(dst, "message", t.English)
	return appendMember(dst, "message_zh", t.Chinese)
}

package gate

import (
	_ "embed"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// openAPI is the description of the API, OpenAPI 3.1. A test compares it with the routes
// in both directions and validates answers against it.
//
//go:embed openapi.json
var openAPI []byte

// livez serves GET /livez: the process answers.
func (s *Server) livez(x *call) refusal {
	x.out = append(x.out, `{"status":"live"}`...)
	return refusal{}
}

// readyz serves GET /readyz: whether a load balancer should send requests here. The cause
// goes to the log, since anybody may ask.
func (s *Server) readyz(x *call) refusal {
	if s.draining.Load() {
		return refuse(NotReady)
	}
	if err := s.ready(); err != nil {
		s.log.Warn("not ready", "cause", err)
		return refuse(NotReady)
	}
	x.out = append(x.out, `{"status":"ready"}`...)
	return refusal{}
}

// showOpenAPI serves GET /openapi.json.
func (s *Server) showOpenAPI(x *call) refusal {
	x.out = append(x.out, openAPI...)
	return refusal{}
}

// showErrors serves GET /v1/errors: every code that an answer may hold, the gate's own and
// the reasons of declines.
func (s *Server) showErrors(x *call) refusal {
	x.out = append(x.out, `{"errors":[`...)
	for i, c := range Codes() {
		if c == RequestRefused {
			continue
		}
		if i > 0 {
			x.out = append(x.out, ',')
		}
		x.out = append(appendCatalogue(x.out, codeTexts[c]), '}')
	}
	for _, r := range txn.Reasons() {
		x.out = appendCatalogue(append(x.out, ','), reasonText(r))
		x.out = appendMember(x.out, "field39", r.Text().Field39)
		x.out = append(x.out, '}')
	}
	x.out = append(x.out, `]}`...)
	return refusal{}
}

// appendCatalogue appends one line of the catalogue, up to its closing brace.
func appendCatalogue(dst []byte, t codeText) []byte {
	dst = appendText(append(dst, `{"code":`...), t.name)
	dst = appendMember(dst, "type", t.kind)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(t.status), 10)
	dst = strconv.AppendBool(append(dst, `,"retryable":`...), t.retryable)
	dst = appendMember(dst, "message", t.english)
	return appendMember(dst, "message_zh", t.chinese)
}

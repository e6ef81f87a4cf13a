package provision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The paths that Handler serves.
const (
	TerminalPrefix = "/v1/terminal/"
	OfficePrefix   = "/v1/provision/"
)

// Limits of a call.
const (
	bodyMax = ContentMax*2 + 4096 // a tariff file as a JSON text
	ackMax  = 1024
	callMax = 15 * time.Second
)

// Who says who asks, from a request that has been authenticated. Both are called from many
// goroutines and return nothing for a request without credentials of their kind.
type Who struct {
	Device   func(*http.Request) (terminal string)
	Operator func(*http.Request) (name string, roles []string)
}

// The roles that may make calls.
const (
	roleAdmin      = "admin"
	roleVendor     = "vendor"
	roleDesk       = "desk"
	roleConfirm    = "desk-confirm"
	roleViewer     = "viewer"
	roleSupervisor = "supervisor"
)

// Handler returns the handler of TerminalPrefix and OfficePrefix.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*call) error{
		"GET /v1/terminal/parameters":       func(x *call) error { return s.servePlan(x, KindParameters) },
		"GET /v1/terminal/tariff":           func(x *call) error { return s.servePlan(x, KindTariff) },
		"GET /v1/terminal/tariff/{version}": s.serveTariff,
		"GET /v1/terminal/keys":             s.serveKeys,
		"POST /v1/terminal/ack":             s.serveAck,
	} {
		mux.HandleFunc(pattern, s.terminal(serve))
	}
	keepers := []string{roleAdmin, roleVendor}
	givers := []string{roleAdmin, roleVendor, roleDesk, roleConfirm}
	readers := append([]string{roleViewer, roleSupervisor}, givers...)
	for _, r := range []struct {
		pattern string
		roles   []string
		serve   func(*call) error
	}{
		{"POST /v1/provision/documents", keepers, s.postDocument},
		{"GET /v1/provision/documents", readers, s.listDocuments},
		{"GET /v1/provision/documents/{kind}/{version}", readers, s.showDocument},
		{"POST /v1/provision/documents/{kind}/{version}/withdraw", keepers, s.withdrawDocument},
		{"GET /v1/provision/terminals", readers, s.listTerminals},
		{"GET /v1/provision/terminals/{id}", readers, s.showTerminal},
		{"GET /v1/provision/orders", readers, s.listOrders},
		{"POST /v1/provision/orders", givers, s.postOrder},
		{"POST /v1/provision/orders/{id}/confirm", givers, s.confirmOrder},
		{"POST /v1/provision/orders/{id}/end", givers, s.endOrder},
	} {
		mux.HandleFunc(r.pattern, s.office(r.roles, r.serve))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(&call{w: w, r: r}, notFound("call"))
	})
	return mux
}

// call is one request. Texts of r may be gone after it: what is kept is copied.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context
	actor string // an operator
	gate  string // a terminal
}

func (s *Service) terminal(serve func(*call) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := &call{w: w, r: r, gate: strings.Clone(s.o.Who.Device(r))}
		if x.gate == "" {
			s.fail(x, &Refusal{http.StatusUnauthorized, "device_unknown", "",
				"a terminal's signature is needed"})
			return
		}
		s.run(x, serve)
	}
}

func (s *Service) office(roles []string, serve func(*call) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, has := s.o.Who.Operator(r)
		x := &call{w: w, r: r, actor: strings.Clone(name)}
		switch {
		case name == "":
			s.fail(x, &Refusal{http.StatusUnauthorized, "token_missing", "", "a token is needed"})
		case !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(has, role) }):
			s.fail(x, &Refusal{http.StatusForbidden, "role_not_permitted", "",
				"the operator's role does not permit this call"})
		default:
			s.run(x, serve)
		}
	}
}

// run serves a call. What a change began is done although its caller has gone.
func (s *Service) run(x *call, serve func(*call) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), callMax)
	defer cancel()
	x.ctx = ctx
	if err := serve(x); err != nil {
		s.fail(x, err)
	}
}

func (s *Service) fail(x *call, err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		s.o.Log.Error("provision", "call", x.r.Pattern, "error", err)
		r = &Refusal{http.StatusServiceUnavailable, "unavailable", "", "cannot be done now: try again"}
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.WriteHeader(r.Status)
	type inner struct {
		*Refusal
		Retryable bool `json:"retryable"`
	}
	_ = json.NewEncoder(x.w).Encode(map[string]inner{
		"error": {r, r.Status == http.StatusServiceUnavailable}})
}

// answer writes v as JSON.
func (x *call) answer(status int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(text) // the caller may have gone
	return nil
}

// read reads the body strictly into v.
func (x *call) read(most int64, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(x.w, x.r.Body, most))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		_, err = d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("more than one value")
	}
	return &Refusal{http.StatusBadRequest, "body_invalid", "", err.Error()}
}

// serveContent answers with content under a strong tag: If-None-Match, ranges and length are
// net/http's.
func (x *call) serveContent(kind, tag string, content []byte) {
	h := x.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", `"`+tag+`"`)
	http.ServeContent(x.w, x.r, "", time.Time{}, bytes.NewReader(content))
}

// servePlan answers what a gate works by. It is signed only when it is sent.
func (s *Service) servePlan(x *call, kind Kind) error {
	statement, err := s.plan(x.ctx, x.gate, kind)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(statement)
	tag := hex.EncodeToString(sum[:16])
	if x.r.Header.Get("If-None-Match") == `"`+tag+`"` {
		x.serveContent("application/json", tag, nil)
		return nil
	}
	envelope, err := seal(statement, s.o.Signer)
	if err == nil {
		x.serveContent("application/json", tag, envelope)
	}
	return err
}

func (s *Service) serveTariff(x *call) error {
	index, err := s.current(x.ctx)
	if err != nil {
		return err
	}
	d := index.find(KindTariff, x.r.PathValue("version"))
	if d == nil {
		return notFound("document")
	}
	content, err := s.content(x.ctx, d)
	if err == nil {
		x.serveContent("application/yaml", d.SHA256, content)
	}
	return err
}

func (s *Service) serveKeys(x *call) error {
	sum := sha256.Sum256(s.keys)
	x.serveContent("application/json", hex.EncodeToString(sum[:16]), s.keys)
	return nil
}

func (s *Service) serveAck(x *call) error {
	var body struct {
		Kind    Kind   `json:"kind"`
		Version string `json:"version"`
	}
	if err := x.read(ackMax, &body); err != nil {
		return err
	}
	if err := s.Acknowledge(x.ctx, x.gate, body.Kind, body.Version); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// Package api is the HTTP side of the card desk: commands on accounts, lists of cases,
// coverage and clocks of a freeze, liability, parties, receipts, and the published list of
// services.
//
// Handler serves below /v1/desk/, /v1/verifications and /public/. Who asks stands in headers
// that the gate sets after it has checked a token or a signature; the package trusts them and
// must not be reached but through it. Every answer is JSON; a refusal is {"error": {"code",
// "message", "message_zh", …}} with a code that never changes. Safe for concurrent use.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/desk/intake"
	"github.com/tapswitch/tapswitch/switch/desk/share"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The roles of operators, as the gate knows them.
const (
	roleDesk       = "desk"
	roleConfirm    = "desk_confirm"
	roleFinance    = "finance"
	roleAdmin      = "admin"
	roleViewer     = "viewer"
	roleAuthority  = "authority"
	roleSupervisor = "supervisor"
)

// Headers by which the gate says who asks.
const (
	HeaderActor  = "Tapswitch-Actor"
	HeaderRoles  = "Tapswitch-Roles"
	HeaderDevice = "Tapswitch-Device"
)

// Options of New. Desk, Policy and Tokenizer are needed.
type Options struct {
	Desk      *desk.Service
	Policy    *scheme.Policy
	Tokenizer *pan.Tokenizer
	// Engine decides verifications.
	Engine desk.Engine
	// Notices, Lists and Tracker tell clocks and coverage; without them these are not told.
	Notices *notice.Service
	Lists   *list.Publisher
	Tracker *list.Tracker
	// Signer signs freeze receipts; none are given without it.
	Signer receipt.Signer
	// Importer imports lists of freezes; none are without it.
	Importer *intake.Importer
	// Share and Findings serve data consumers, suppliers, persons' rights and evidence; Days is
	// the ledger by days that they look through, Up says whether a terminal was heard of. What
	// is missing is not served.
	Share    *share.Service
	Findings *finding.Service
	Days     share.Days
	Up       func(terminal string) bool
	// Foreign takes other cities' freeze lists in, Drills keeps the record of incident drills.
	Foreign *foreign.Service
	Drills  *drill.Service
	// Lags tells how late the topics of the exchange platform are.
	Lags   func() []share.Lag
	Logger *slog.Logger
}

type server struct {
	o   Options
	log *slog.Logger
	mux *http.ServeMux
	// routes are the operators' calls, as they are served.
	routes []route
}

// bodyMax bounds a request's body: a bulk list of a unit.
const bodyMax = 8 << 20

// New returns the handler.
func New(o Options) http.Handler { return newServer(o).mux }

func newServer(o Options) *server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{o: o, log: o.Logger, mux: http.NewServeMux()}
	everyone := []string{roleDesk, roleConfirm, roleFinance, roleAdmin, roleViewer, roleAuthority, roleSupervisor}
	readers := []string{roleDesk, roleConfirm, roleFinance, roleViewer, roleSupervisor}
	s.mount([]route{
		{"GET /v1/desk/steps", everyone, s.steps},
		{"POST /v1/desk/commands", everyone, s.command},
		{"POST /v1/desk/accounts", []string{roleDesk, roleAdmin}, s.openAccount},
		{"POST /v1/desk/accounts:bulk", []string{roleDesk, roleAdmin}, s.bulk},
		{"POST /v1/desk/accounts:find", readers, s.find},
		{"POST /v1/desk/accounts:query", []string{roleDesk, roleSupervisor, roleAuthority}, s.query},
		{"GET /v1/desk/cases", readers, s.cases},
		{"GET /v1/desk/waiting", readers, s.waiting},
		{"GET /v1/desk/cards/{token}/status", readers, s.cardStatus},
		{"GET /v1/desk/freezes", readers, s.freezes},
		{"POST /v1/desk/freezes:import", []string{roleDesk, roleAdmin}, s.importFreezes},
		{"GET /v1/desk/coverage", readers, s.coverage},
		{"GET /v1/desk/accounts/{token}/liability", readers, s.liability},
		{"GET /v1/desk/accounts/{token}/receipts/{case}", readers, s.receipt},
		{"GET /v1/desk/liability", readers, s.liabilityReport},
		{"POST /v1/desk/liability:judge", []string{roleFinance, roleAdmin}, s.judge},
		{"GET /v1/desk/figures", []string{roleSupervisor, roleViewer, roleAdmin}, s.figures},
		{"GET /v1/desk/parties", append([]string{roleAdmin}, readers...), s.parties},
		{"PUT /v1/desk/parties/{name}", []string{roleAdmin}, s.putParty},
		{"DELETE /v1/desk/parties/{name}", []string{roleAdmin}, s.removeParty},
		{"POST /v1/desk/parties/{name}/keys/{id}", []string{roleAdmin}, s.setKey},
		{"GET /v1/desk/notices", readers, s.notices},
		{"GET /v1/desk/notices/{id}", readers, s.notice},
		{"POST /v1/desk/notices/{id}/parties/{party}/confirm", []string{roleDesk, roleAdmin}, s.confirmNotice},
		{"POST /v1/desk/notices/{id}/parties/{party}/revive", []string{roleDesk, roleAdmin}, s.reviveNotice},
	})
	s.mountSharing()
	s.mux.HandleFunc("POST /v1/verifications", s.open(s.verify))
	s.mux.HandleFunc("GET /public/services", s.open(s.services))
	s.mux.HandleFunc("GET /public/keys", s.open(s.keys))
	s.mux.HandleFunc("/", s.open(func(*call) error {
		return refuse(http.StatusNotFound, "not_found", "no such call", "无此接口")
	}))
	return s
}

// route is a call of operators with one of the roles.
type route struct {
	pattern string
	roles   []string
	serve   func(*call) error
}

func (s *server) mount(routes []route) {
	s.routes = append(s.routes, routes...)
	for _, r := range routes {
		s.mux.HandleFunc(r.pattern, s.guarded(r.roles, r.serve))
	}
}

// call is one request.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	actor  string
	roles  []string
	role   string // the first of the actor's roles that the call takes
	status int
}

// refusal is an answer that is none of the wanted.
type refusal struct {
	status            int
	code, text, text2 string
	more              map[string]any
}

func (r *refusal) Error() string { return r.code + ": " + r.text }

func refuse(status int, code, english, chinese string) error {
	return &refusal{status: status, code: code, text: english, text2: chinese}
}

// badBody refuses a body; fields names every one that is bad or missing.
func badBody(err error) error {
	r := &refusal{status: http.StatusBadRequest, code: "body_invalid", text: err.Error(), text2: "请求内容有误"}
	var faults form.Faults
	if errors.As(err, &faults) {
		fields := make([]string, len(faults))
		for i := range faults {
			fields[i] = faults[i].Field
		}
		r.text2 = "请求内容有误: " + strings.Join(fields, ", ")
		r.more = map[string]any{"fields": fields}
	}
	return r
}

// guarded serves a call of operators with one of the roles.
func (s *server) guarded(roles []string, serve func(*call) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := newCall(w, r)
		if i := slices.IndexFunc(roles, func(role string) bool { return slices.Contains(x.roles, role) }); i >= 0 {
			x.role = roles[i]
		}
		switch {
		case x.actor == "":
			s.fail(x, refuse(http.StatusUnauthorized, "token_missing", "a token is needed", "缺少令牌"))
		case x.role == "":
			s.log.Warn("operator refused", "actor", x.actor, "call", r.Pattern)
			s.fail(x, refuse(http.StatusForbidden, "role_not_permitted",
				"the operator's role does not permit this call", "操作员无此权限"))
		default:
			s.run(x, serve)
		}
	}
}

// open serves a call that the handler itself guards.
func (s *server) open(serve func(*call) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.run(newCall(w, r), serve) }
}

func newCall(w http.ResponseWriter, r *http.Request) *call {
	return &call{w: w, r: r, ctx: context.WithoutCancel(r.Context()), actor: r.Header.Get(HeaderActor),
		roles: r.Header.Values(HeaderRoles), status: http.StatusOK}
}

// callMax bounds the work of one call.
const callMax = 30 * time.Second

func (s *server) run(x *call, serve func(*call) error) {
	ctx, cancel := context.WithTimeout(x.ctx, callMax)
	defer cancel()
	x.ctx = ctx
	if err := serve(x); err != nil {
		s.fail(x, err)
	}
}

// fail answers with an error. What is not a refusal is a fault of ours or of the store.
func (s *server) fail(x *call, err error) {
	var f *refusal
	switch {
	case errors.As(err, &f):
	case errors.Is(err, desk.ErrNoAccount):
		f = &refusal{status: http.StatusNotFound, code: "account_unknown", text: "no account bears this",
			text2: "无此账户"}
	case errors.Is(err, desk.ErrStore):
		f = &refusal{status: http.StatusServiceUnavailable, code: "store_unavailable",
			text: "the store does not answer; asking again with the same id is safe", text2: "系统暂不可用,请用同一请求号重试"}
	case errors.Is(err, notice.ErrNoNotice):
		f = &refusal{status: http.StatusNotFound, code: "notice_unknown", text: "no such notice", text2: "无此通知"}
	case errors.Is(err, notice.ErrCursor):
		f = &refusal{status: http.StatusBadRequest, code: "cursor_invalid", text: err.Error(), text2: "分页标记有误"}
	case errors.Is(err, notice.ErrParty), errors.Is(err, notice.ErrNotice):
		f = &refusal{status: http.StatusBadRequest, code: "party_invalid", text: err.Error(), text2: "参数有误"}
	default:
		s.log.Error("desk call failed", "call", x.r.Pattern, "error", err)
		f = &refusal{status: http.StatusInternalServerError, code: "internal",
			text: "the call failed; the log says why", text2: "系统错误"}
	}
	body := map[string]any{"code": f.code, "message": f.text, "message_zh": f.text2}
	for name, value := range f.more {
		body[name] = value
	}
	x.status = f.status
	x.answer(map[string]any{"error": body})
}

// answer writes v as JSON.
func (x *call) answer(v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("api: internal error: " + err.Error())
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	x.w.WriteHeader(x.status)
	_, _ = x.w.Write(append(body, '\n')) // the client has gone
}

// body reads the request's body.
func (x *call) body() ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, bodyMax))
	if err != nil {
		return nil, refuse(http.StatusRequestEntityTooLarge, "body_too_large", "the body is too large", "请求过大")
	}
	return b, nil
}

// resolve turns a card number into its token.
func (s *server) resolve(text string) (pan.Token, pan.Last4, error) {
	n, err := pan.Parse(text)
	if err != nil {
		return pan.Token{}, pan.Last4{}, err
	}
	return s.o.Tokenizer.Token(n), n.Last4(), nil
}

// fill fills dst from the body, or from a part of it.
func (s *server) fill(dst any, data []byte) error {
	if err := form.Fill(dst, data, s.resolve); err != nil {
		return badBody(err)
	}
	return nil
}

// pathToken reads the token in a path.
func pathToken(x *call, name string) (pan.Token, error) {
	token, err := pan.ParseToken(x.r.PathValue(name))
	if err != nil || token.IsZero() {
		return token, refuse(http.StatusBadRequest, "token_invalid", "want a token of 32 hexadecimal digits", "令牌格式有误")
	}
	return token, nil
}

func instant(at txn.Millis) any {
	if at == 0 {
		return nil
	}
	return at.Time().UTC().Format(time.RFC3339Nano)
}

// refused is the answer to a command that was not carried out.
func refused(out *account.Outcome) error {
	t := out.Refusal.Text()
	r := &refusal{status: http.StatusConflict, code: t.Code, text: t.English, text2: t.Chinese}
	if out.Left != 0 {
		var left []string
		for _, a := range out.Left.Values() {
			left = append(left, a.String())
		}
		r.more = map[string]any{"left": left}
	}
	return r
}

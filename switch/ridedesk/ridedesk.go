// Package ridedesk is the HTTP side of what holders ask for about their rides: the correction of
// a journey of which one end is missing, and passes.
//
// Handler serves POST /v1/rides/corrections and POST /v1/rides/passes. Who asks stands in
// headers that the gate sets after it has checked a token; the package trusts them and must not
// be reached but through it. A request has an id of its own and a service time: sent again with
// both it gets the stored answer, and is never carried out twice. Amounts are minor units. The
// money moves in an ordinary settled record; an answer is durable. Safe for concurrent use. The
// package prices nothing and keeps nothing; passes that gates sell are theirs.
package ridedesk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Prefix is that of all paths.
const Prefix = "/v1/rides/"

const (
	bodyMax = 4 << 10
	callMax = 10 * time.Second
	textMax = 48 // bytes of a station, operator or pass
)

// Engine decides. It is safe for concurrent use, and its answers are durable.
type Engine interface {
	// Authorize decides one request; Answer.Err is set when nothing is known of its outcome.
	Authorize(ctx context.Context, r *txn.Request) engine.Answer
}

// Options of New; all but Log are needed.
type Options struct {
	Engine    Engine
	Tokenizer *pan.Tokenizer
	// Now is the switch's clock.
	Now func() txn.Millis
	// Operator says which operator asks, "" for none, with his roles; Roles are those that may.
	Operator func(*http.Request) (name string, roles []string)
	Roles    []string
	Currency txn.Currency
	Log      *slog.Logger
}

type server struct{ o Options }

// New returns the handler.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{o}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Prefix+"corrections", s.serve(txn.Correction))
	mux.HandleFunc("POST "+Prefix+"passes", s.serve(txn.PassSale))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "not_found", "no such call", "无此接口")
	})
	return mux
}

// asked is the body of both calls.
type asked struct {
	ID          string // boot-counter, of the client's making
	Card        pan.Token
	ServiceTime txn.Millis
	Operator    string // who ran the journey, or sells the pass
	Station     string // of a correction: the one that is missing
	Pass        string
	Amount      int64 // of a pass: the price that the holder was told, or 0
}

func (s *server) serve(kind txn.Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, roles := s.o.Operator(r)
		switch {
		case name == "":
			fail(w, http.StatusUnauthorized, "token_missing", "a token is needed", "缺少令牌")
			return
		case !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(s.o.Roles, role) }):
			s.o.Log.Warn("operator refused", "actor", name, "call", r.Pattern)
			fail(w, http.StatusForbidden, "role_not_permitted",
				"the operator's role does not permit this call", "操作员无此权限")
			return
		}
		request, err := s.read(w, r, kind)
		if err != nil {
			fail(w, http.StatusBadRequest, "body_invalid", err.Error(), "请求内容有误")
			return
		}
		request.Listing.Actor = name
		s.decide(w, r, request)
	}
}

// read makes the request of a body.
func (s *server) read(w http.ResponseWriter, r *http.Request, kind txn.Kind) (*txn.Request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		return nil, fmt.Errorf("more than %d bytes, or cut off", bodyMax)
	}
	var in asked
	if err := form.Fill(&in, body, s.token); err != nil {
		return nil, err
	}
	terminal, err := txn.ParseTerminalID(txn.RideDesk)
	if err != nil {
		panic("ridedesk: internal error: " + err.Error())
	}
	id := txn.RequestID{Terminal: terminal}
	if n, err := fmt.Sscanf(in.ID, "%d-%d", &id.Boot, &id.Counter); n != 2 || err != nil ||
		in.ID != fmt.Sprintf("%d-%d", id.Boot, id.Counter) {
		return nil, fmt.Errorf("id: want boot-counter, as 3-42")
	}
	need := in.Station
	if kind == txn.PassSale {
		need = in.Pass
	}
	switch {
	case in.Card.IsZero() || in.ServiceTime == 0 || need == "":
		return nil, fmt.Errorf("want id, card, service_time and what is asked for: station or pass")
	case kind == txn.Correction && (in.Pass != "" || in.Amount != 0), kind == txn.PassSale && in.Station != "":
		return nil, fmt.Errorf("want station for a correction, pass and amount for a pass")
	case max(len(in.Operator), len(in.Station), len(in.Pass)) > textMax:
		return nil, fmt.Errorf("a name is longer than %d bytes", textMax)
	}
	out := &txn.Request{ID: id, Kind: kind, Card: in.Card, Currency: s.o.Currency,
		Place: txn.Place{Operator: in.Operator, Station: in.Station}, Pass: in.Pass,
		Amount: txn.Minor(in.Amount), ServiceAt: in.ServiceTime, ReceivedAt: s.o.Now()}
	if in.Operator != "" {
		out.Place.Payee = txn.Account("operator/" + in.Operator)
	}
	return out, nil
}

// token turns a card number into its token.
func (s *server) token(text string) (pan.Token, pan.Last4, error) {
	n, err := pan.Parse(text)
	if err != nil {
		return pan.Token{}, pan.Last4{}, err
	}
	return s.o.Tokenizer.Token(n), n.Last4(), nil
}

func (s *server) decide(w http.ResponseWriter, r *http.Request, request *txn.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callMax)
	defer cancel()
	a := s.o.Engine.Authorize(ctx, request)
	if a.Err != nil {
		s.o.Log.Error("ride call failed", "call", r.Pattern, "error", a.Err)
		fail(w, http.StatusServiceUnavailable, "store_unavailable",
			"the store does not answer; asking again with the same id is safe", "系统暂不可用,请用同一请求号重试")
		return
	}
	d := &a.Decision
	text := d.Reason.Text()
	status := http.StatusOK
	if d.Outcome != txn.Approved {
		status = http.StatusConflict
	}
	answer(w, status, map[string]any{"id": request.ID.String(), "outcome": d.Outcome.String(),
		"code": text.Code, "message": text.English, "message_zh": text.Chinese,
		"charged": d.Charged, "balance": d.BalanceAfter, "replay": d.Replay})
}

func fail(w http.ResponseWriter, status int, code, english, chinese string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": english,
		"message_zh": chinese}})
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("ridedesk: internal error: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client has gone
}

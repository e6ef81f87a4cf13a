package qrtap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Prefix is that of both paths.
const Prefix = "/v1/qr-taps"

// Limits of a request.
const (
	// BodyMax bounds a body in bytes: a batch of the longest codes.
	BodyMax = 1 << 20
	// BatchMax is how many taps one batch may hold.
	BatchMax = 500
	// NameMax bounds a station, line or vehicle in bytes.
	NameMax = 48

	numberMin = 12 // digits in a row that may be a card number
	callMax   = 30 * time.Second
)

// Engine decides. It is safe for concurrent use, and its answers are durable.
type Engine interface {
	// Authorize decides one request; Answer.Err is set when nothing is known of its outcome.
	Authorize(ctx context.Context, r *txn.Request) engine.Answer
}

// Observer is told of taps. It must not wait; calls come at once from several.
type Observer interface {
	// Verified is told how long the verification of one code took, whatever it said.
	Verified(took time.Duration)
	// Decided is told of one answer: its reason, txn.ReasonNone for an approval, and whether
	// it is that of an earlier request with the same id.
	Decided(reason txn.Reason, replay bool)
}

// Source is what is registered of a gate.
type Source struct {
	Place txn.Place
	Kinds []txn.Kind
}

// Options of New; all but Budget, Observer and Log are needed.
type Options struct {
	Engine    Engine
	Tokenizer *pan.Tokenizer
	// Verifier returns what verifies codes now; it is asked for each tap.
	Verifier func() *qr.Verifier
	// Device says which gate asks, false for none; Source what is registered of it.
	Device   func(*http.Request) (txn.TerminalID, bool)
	Source   func(context.Context, txn.TerminalID) (Source, error)
	Currency txn.Currency
	// Now is the switch's clock.
	Now func() txn.Millis
	// Budget is after how long an on-line tap must not be executed any more; 0 for no bound.
	Budget   txn.Millis
	Observer Observer
	Log      *slog.Logger
}

// Handler serves the taps of QR codes.
type Handler struct {
	http.Handler
	o Options
}

// New returns the handler.
func New(o Options) *Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	s := &Handler{Handler: mux, o: o}
	mux.HandleFunc("POST "+Prefix, s.one)
	mux.HandleFunc("POST "+Prefix+"/batches", s.batch)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, fault{http.StatusNotFound, "not_found", "no such call", "无此接口"})
	})
	return s
}

// fault is an answer that decides nothing.
type fault struct {
	status                 int
	code, english, chinese string
}

var (
	errDevice = fault{http.StatusUnauthorized, "terminal_signature_missing",
		"a gate's signature is needed", "缺少终端签名"}
	errStore = fault{http.StatusServiceUnavailable, "outcome_unknown",
		"the outcome is not known; asking again with the same id is safe", "结果未知,请用同一请求号重试"}
)

func invalid(err error) fault {
	return fault{http.StatusBadRequest, "body_invalid", err.Error(), "请求内容有误"}
}

// one serves a single tap.
func (s *Handler) one(w http.ResponseWriter, r *http.Request) {
	var in asked
	device, source, ok := s.begin(w, r, &in)
	if !ok {
		return
	}
	request, err := s.request(&in, device, source)
	if err != nil {
		fail(w, invalid(err))
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callMax)
	defer cancel()
	a, err := s.decide(ctx, request, in.Code)
	if err != nil {
		fail(w, errStore)
		return
	}
	status := http.StatusOK
	if a.reason == txn.IDReused {
		status = http.StatusUnprocessableEntity
	} else if a.reason.Retryable() {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, a)
}

// batch serves taps that were taken off line, each answered by itself. What has no outcome is
// asked again with the same id.
func (s *Handler) batch(w http.ResponseWriter, r *http.Request) {
	var in struct{ Taps []asked }
	device, source, ok := s.begin(w, r, &in)
	if !ok {
		return
	}
	if n := len(in.Taps); n == 0 || n > BatchMax {
		fail(w, invalid(&badInput{"taps", fmt.Sprintf("1 to %d taps", BatchMax)}))
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callMax)
	defer cancel()
	out := struct {
		Answers []*answered `json:"answers"`
	}{}
	for i := range in.Taps {
		tap := &in.Taps[i]
		tap.Offline = true
		out.Answers = append(out.Answers, s.ofBatch(ctx, tap, device, source))
	}
	answer(w, http.StatusOK, out)
}

func (s *Handler) ofBatch(ctx context.Context, in *asked, device txn.TerminalID, source *Source) *answered {
	request, err := s.request(in, device, source)
	if err != nil {
		return &answered{ID: in.ID, Outcome: "invalid", Message: err.Error(), MessageZH: "请求内容有误"}
	}
	a, err := s.decide(ctx, request, in.Code)
	if err != nil {
		return &answered{ID: in.ID, Outcome: "unknown", Message: errStore.english, MessageZH: errStore.chinese}
	}
	return a
}

// begin reads who asks and what; when it returns false the answer is given.
func (s *Handler) begin(w http.ResponseWriter, r *http.Request, in any) (txn.TerminalID, *Source, bool) {
	device, ok := s.o.Device(r)
	if !ok {
		fail(w, errDevice)
		return device, nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, BodyMax))
	if err != nil {
		fail(w, invalid(fmt.Errorf("more than %d bytes, or cut off", BodyMax)))
		return device, nil, false
	}
	if err := form.Fill(in, body, nil); err != nil {
		fail(w, invalid(err))
		return device, nil, false
	}
	source, err := s.o.Source(r.Context(), device)
	if err != nil {
		s.o.Log.Error("gate cannot be read", "terminal", device.String(), "error", err)
		fail(w, errStore)
		return device, nil, false
	}
	return device, &source, true
}

// answered is what became of a tap. Its names are those of the answer to a card's tap.
type answered struct {
	ID        string `json:"id"`
	Outcome   string `json:"outcome"`
	Reason    string `json:"reason,omitempty"`
	Field39   string `json:"field39,omitempty"`
	Message   string `json:"message"`
	MessageZH string `json:"message_zh"`
	// ValidatorCode is what a validator's library shows, Detail what exactly is wrong.
	ValidatorCode int       `json:"validator_code,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	FullFare      txn.Minor `json:"full_fare"`
	Charged       txn.Minor `json:"charged"`
	Balance       txn.Minor `json:"balance"`
	AuthCode      string    `json:"auth_code,omitempty"`
	Card          string    `json:"card,omitempty"` // masked
	Replay        bool      `json:"replay"`
	Record        string    `json:"record,omitempty"`
	BusinessDate  string    `json:"business_date,omitempty"`

	reason txn.Reason
}

// decide verifies and asks; the error says that nobody knows the outcome.
func (s *Handler) decide(ctx context.Context, r *txn.Request, code string) (*answered, error) {
	ask, why := s.fillTimed(r, code)
	a := engine.Answer{Decision: txn.Decision{Outcome: txn.Declined, Reason: ReasonOf(why)}}
	if ask {
		a = s.o.Engine.Authorize(ctx, r)
	} else {
		s.o.Log.Warn("QR code refused", "terminal", r.ID.Terminal.String(), "request", r.ID.String(),
			"reason", a.Decision.Reason.String(), "error", why)
	}
	if a.Err != nil {
		s.o.Log.Error("QR tap has no outcome", "request", r.ID.String(), "error", a.Err)
		return nil, a.Err
	}
	if s.o.Observer != nil {
		s.o.Observer.Decided(a.Decision.Reason, a.Decision.Replay)
	}
	return tell(r, &a, why), nil
}

// fillTimed is fill, and tells how long it took.
func (s *Handler) fillTimed(r *txn.Request, code string) (ask bool, why error) {
	if s.o.Observer == nil {
		return s.fill(r, code)
	}
	began := time.Now()
	defer func() { s.o.Observer.Verified(time.Since(began)) }()
	return s.fill(r, code)
}

// tell makes the answer. why is what the verification said, where that was the reason.
func tell(r *txn.Request, a *engine.Answer, why error) *answered {
	d := &a.Decision
	text := d.Reason.Text()
	out := &answered{ID: r.ID.String(), Outcome: d.Outcome.String(), Field39: text.Field39,
		Message: text.English, MessageZH: text.Chinese, ValidatorCode: ValidatorCode(d.Reason),
		FullFare: d.FullFare, Charged: d.Charged, Balance: d.BalanceAfter, AuthCode: d.AuthCode.String(),
		Replay: d.Replay, reason: d.Reason}
	if d.Reason != txn.ReasonNone {
		out.Reason = d.Reason.String()
	}
	var refusal qr.Refusal
	if errors.As(why, &refusal) && d.Reason == ReasonOf(why) {
		out.Detail = refusal.Error()
	}
	if !r.Card.IsZero() {
		out.Card = "****" + r.Last4.String()
	}
	if a.Position != (txn.Position{}) {
		out.Record = a.Position.String()
	}
	if a.Date != 0 {
		out.BusinessDate = a.Date.String()
	}
	return out
}

func fail(w http.ResponseWriter, f fault) {
	answer(w, f.status, map[string]any{"error": map[string]any{"code": f.code, "message": f.english,
		"message_zh": f.chinese, "retryable": f.status == http.StatusServiceUnavailable}})
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("qrtap: internal error: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client has gone
}

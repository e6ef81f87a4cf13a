// Package api serves the calls about uploads of off-line records: terminals send frames and
// ask how far they have come, operators see what is held, missing and suspicious, and decide.
//
//	POST /v1/uploads                     a frame (application/vnd.tapswitch.frame) or its JSON form
//	GET  /v1/uploads/gates/{terminal}    what has arrived and where to go on
//	GET  /v1/uploads/modules/{psam}      missing numbers of a security module, and its white list
//	PUT  /v1/uploads/modules/{psam}      {"white":[{"terminal":"G1","from_ms":1,"until_ms":0}]}
//	GET  /v1/uploads/white-from          from when on the white list binds; PUT sets it
//	GET  /v1/uploads/held?after=ID       held records
//	POST /v1/uploads/held/{id}           {"accept":true,"reason":"..."}
//	GET  /v1/uploads/cards?suspicious=1  cards with gaps or a broken chain
//	POST /v1/uploads/retry               look again at what waits for a key or the white list
//
// Who asks is told by the gate in headers that no client can set. The package keeps nothing
// and is safe for concurrent use. It shows tokens and last digits, never a card number.
package api

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

// Prefix is what all paths begin with, Media the type of a binary frame, and of the answer
// to it where it is accepted: two bytes a record, state and reason.
const (
	Prefix = "/v1/uploads"
	Media  = "application/vnd.tapswitch.frame"
	// bodyMax bounds a frame in JSON; the gate's own limit stands before it.
	bodyMax = 4 << 20
	// noteMax is the longest reason of a decision.
	noteMax = 200
)

// Headers by which the gate tells who asks.
const (
	HeaderActor  = "Tapswitch-Actor"
	HeaderRoles  = "Tapswitch-Roles"
	HeaderDevice = "Tapswitch-Device"
)

// Observer is told of what was decided. It must not wait; calls come at once from several.
type Observer interface {
	// Batch is told of one batch: its size in bytes, and the fate of each record.
	Batch(size int, fates []upload.Fate)
}

// Handler serves the calls.
type Handler struct {
	book     *book.Service
	log      *slog.Logger
	mux      *http.ServeMux
	observer Observer
}

// New returns a Handler.
func New(b *book.Service, log *slog.Logger) *Handler {
	h := &Handler{book: b, log: log, mux: http.NewServeMux()}
	look := []string{"desk", "admin", "finance", "vendor", "viewer", "supervisor"}
	decide := []string{"desk", "finance"}
	h.mux.HandleFunc("POST "+Prefix, h.take)
	h.mux.HandleFunc("GET "+Prefix+"/gates/{terminal}", h.gate)
	h.mux.HandleFunc("GET "+Prefix+"/modules/{psam}", h.by(look, h.module))
	h.mux.HandleFunc("PUT "+Prefix+"/modules/{psam}", h.by([]string{"admin", "vendor"}, h.setModule))
	h.mux.HandleFunc("GET "+Prefix+"/white-from", h.by(look, h.whiteFrom))
	h.mux.HandleFunc("PUT "+Prefix+"/white-from", h.by([]string{"admin"}, h.setWhiteFrom))
	h.mux.HandleFunc("GET "+Prefix+"/held", h.by(look, h.held))
	h.mux.HandleFunc("POST "+Prefix+"/held/{id}", h.by(decide, h.decide))
	h.mux.HandleFunc("GET "+Prefix+"/cards", h.by(look, h.cards))
	h.mux.HandleFunc("POST "+Prefix+"/retry", h.by(decide, h.retry))
	return h
}

// Observe says who is told of batches; before the first is served.
func (h *Handler) Observe(o Observer) { h.observer = o }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// fault is an error answer, in the form of the gate's.
type fault struct {
	status int
	code   string
	text   string
}

// refuse writes an error answer; a refusal of the same request later is no other.
func refuse(w http.ResponseWriter, f fault) {
	answer(w, f.status, map[string]any{"error": map[string]any{"code": f.code, "message": f.text,
		"retryable": f.status >= http.StatusInternalServerError || f.status == http.StatusConflict}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // into memory
}

// by serves operators with one of the roles.
func (h *Handler) by(roles []string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		has := slices.ContainsFunc(r.Header.Values(HeaderRoles), func(role string) bool {
			return slices.Contains(roles, role)
		})
		switch {
		case r.Header.Get(HeaderActor) == "":
			refuse(w, fault{http.StatusUnauthorized, "unauthorized", "an operator's token is needed"})
		case !has:
			refuse(w, fault{http.StatusForbidden, "forbidden", "one of the roles " +
				strings.Join(roles, ", ") + " is needed"})
		default:
			serve(w, r)
		}
	}
}

// failed writes what an error of the service means.
func (h *Handler) failed(w http.ResponseWriter, err error) {
	f := fault{http.StatusServiceUnavailable, "outcome_unknown",
		"the outcome is not known; send the same again"}
	switch {
	case errors.Is(err, book.ErrBusy):
		f = fault{http.StatusConflict, "busy", err.Error()}
	case errors.Is(err, book.ErrScattered), errors.Is(err, frame.ErrFrame):
		f = fault{http.StatusBadRequest, "frame_invalid", err.Error()}
	case errors.Is(err, book.ErrWhite):
		f = fault{http.StatusUnprocessableEntity, "white_list_invalid", err.Error()}
	case errors.Is(err, book.ErrTerminal):
		f = fault{http.StatusForbidden, "terminal_mismatch", err.Error()}
	case errors.Is(err, book.ErrUnknown):
		f = fault{http.StatusNotFound, "not_found", err.Error()}
	case errors.Is(err, book.ErrNotBooked):
		f = fault{http.StatusUnprocessableEntity, "not_booked", err.Error()}
	case errors.Is(err, store.ErrUnavailable):
	default:
		h.log.Error("upload", "error", err)
	}
	refuse(w, f)
}

// take serves POST /v1/uploads.
func (h *Handler) take(w http.ResponseWriter, r *http.Request) {
	device, err := txn.ParseTerminalID(r.Header.Get(HeaderDevice))
	if err != nil {
		refuse(w, fault{http.StatusUnauthorized, "unauthorized", "a terminal's signature is needed"})
		return
	}
	body, err := bodyOf(r)
	if err == nil && !strings.HasPrefix(r.Header.Get("Content-Type"), Media) {
		body, err = frame.ParseJSON(body)
	}
	var f frame.Frame
	if err == nil {
		f, err = frame.Parse(body)
	}
	if err != nil {
		h.failed(w, err)
		return
	}
	a, err := h.book.Take(r.Context(), device, &f)
	if err != nil {
		h.failed(w, err)
		return
	}
	if h.observer != nil {
		h.observer.Batch(len(body), a.Fates)
	}
	if r.Header.Get("Accept") == Media {
		w.Header().Set("Content-Type", Media)
		out := make([]byte, 0, 2*len(a.Fates))
		for _, fate := range a.Fates {
			out = append(out, byte(fate.State), byte(fate.Reason))
		}
		_, _ = w.Write(out)
		return
	}
	answer(w, http.StatusOK, compact(a))
}

// errBody reports a body that cannot be read.
var errBody = errors.Join(frame.ErrFrame, errors.New("the body is too long or broke off"))

// bodyOf returns the body; one of a known length is read in one piece.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.ContentLength > bodyMax {
		return nil, errBody
	}
	if r.ContentLength < 0 {
		body, err := io.ReadAll(io.LimitReader(r.Body, bodyMax+1))
		if err != nil || len(body) > bodyMax {
			return nil, errBody
		}
		return body, nil
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, errBody
	}
	return body, nil
}

// exception is a record that is neither plainly accepted nor a plain repeat: one that was accepted
// stands here where the gate should have refused it.
type exception struct {
	Index  int    `json:"i"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// result is the JSON answer to a frame: a letter for each record, and the exceptions in words.
type result struct {
	Accepted   int          `json:"accepted"`
	Duplicate  int          `json:"duplicate"`
	Rejected   int          `json:"rejected"`
	Held       int          `json:"held"`
	Again      int          `json:"again"` // to be sent again: nobody knows yet
	Next       uint32       `json:"next"`
	Batch      upload.Batch `json:"batch"`
	States     string       `json:"states"`
	Exceptions []exception  `json:"exceptions,omitempty"`
}

func compact(a *book.Answer) result {
	out := result{Next: a.Batch.Next, Batch: a.Batch}
	letters := make([]byte, 0, len(a.Fates))
	for i, f := range a.Fates {
		letters = append(letters, f.State.Letter())
		switch f.State {
		case upload.Accepted:
			out.Accepted++
		case upload.Duplicate:
			out.Duplicate++
		case upload.Rejected:
			out.Rejected++
		case upload.Held:
			out.Held++
		default:
			out.Again++
		}
		if f != (upload.Fate{State: upload.Accepted}) && f != (upload.Fate{State: upload.Duplicate}) {
			out.Exceptions = append(out.Exceptions, exception{i, f.State.String(), f.Reason.String()})
		}
	}
	out.States = string(letters)
	return out
}

// gate serves GET /v1/uploads/gates/{terminal}, to the terminal itself and to operators.
func (h *Handler) gate(w http.ResponseWriter, r *http.Request) {
	id, err := txn.ParseTerminalID(r.PathValue("terminal"))
	own := r.Header.Get(HeaderDevice) == id.String() && err == nil
	switch {
	case err != nil:
		refuse(w, fault{http.StatusNotFound, "not_found", err.Error()})
		return
	case !own && r.Header.Get(HeaderActor) == "":
		refuse(w, fault{http.StatusUnauthorized, "unauthorized", "the terminal or an operator may ask"})
		return
	}
	g, err := h.book.Gate(r.Context(), id)
	if err != nil {
		h.failed(w, err)
		return
	}
	records, sum := g.Missing()
	answer(w, http.StatusOK, struct {
		*upload.Gate
		Arrived        upload.Tally `json:"arrived"`
		MissingRecords int64        `json:"missing_records"`
		MissingSum     txn.Minor    `json:"missing_sum"`
	}{g, g.Arrived(), records, sum})
}

func (h *Handler) module(w http.ResponseWriter, r *http.Request) {
	q, err := h.book.Module(r.Context(), r.PathValue("psam"))
	if err != nil {
		h.failed(w, err)
		return
	}
	white, err := h.book.White(r.Context(), r.PathValue("psam"))
	if err != nil {
		h.failed(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"psam": r.PathValue("psam"), "high": q.High,
		"missing": q.Missing(), "gaps": q.Gaps, "given_up": q.Lost, "white": white.Windows})
}

func (h *Handler) held(w http.ResponseWriter, r *http.Request) {
	list, err := h.book.List(r.Context(), r.URL.Query().Get("after"), book.HeldMax)
	if err != nil {
		h.failed(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"held": list})
}

func (h *Handler) cards(w http.ResponseWriter, r *http.Request) {
	suspicious, _ := strconv.ParseBool(r.URL.Query().Get("suspicious"))
	list, err := h.book.Cards(r.Context(), suspicious)
	if err != nil {
		h.failed(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"cards": list})
}

// decide serves POST /v1/uploads/held/{id}.
func (h *Handler) decide(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Accept *bool  `json:"accept"`
		Reason string `json:"reason"`
	}
	body, err := bodyOf(r)
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil || q.Accept == nil || q.Reason == "" || len(q.Reason) > noteMax || digits(q.Reason) {
		refuse(w, fault{http.StatusBadRequest, "decision_invalid",
			`want {"accept":true or false,"reason":"..."}, without card numbers`})
		return
	}
	d := book.Decision{ID: r.PathValue("id"), Accept: *q.Accept, Actor: r.Header.Get(HeaderActor), Note: q.Reason}
	if err := h.book.Decide(r.Context(), d); err != nil {
		h.failed(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"id": d.ID, "accepted": d.Accept})
}

// digits reports whether a text may hold a card number: eight digits in a row.
func digits(s string) bool {
	row := 0
	for _, c := range s {
		if row++; c < '0' || c > '9' {
			row = 0
		}
		if row == 8 {
			return true
		}
	}
	return false
}

func (h *Handler) retry(w http.ResponseWriter, r *http.Request) {
	n, err := h.book.Retry(r.Context())
	if err != nil {
		h.failed(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"decided": n})
}

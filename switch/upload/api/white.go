package api

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// setModule serves PUT /v1/uploads/modules/{psam}: when the security module was on the white
// list, and in which terminal.
func (h *Handler) setModule(w http.ResponseWriter, r *http.Request) {
	var q struct {
		White []upload.Window `json:"white"`
	}
	if !h.body(w, r, &q) {
		return
	}
	psam, actor := r.PathValue("psam"), r.Header.Get(HeaderActor)
	err := h.book.SetWhite(r.Context(), psam, upload.White{Windows: q.White, By: actor})
	if err != nil {
		h.failed(w, err)
		return
	}
	h.log.Info("operator", "actor", actor, "action", "white list", "psam", psam, "windows", len(q.White))
	answer(w, http.StatusOK, map[string]any{"psam": psam, "white": q.White})
}

func (h *Handler) whiteFrom(w http.ResponseWriter, r *http.Request) {
	from, err := h.book.WhiteFrom(r.Context())
	if err != nil {
		h.failed(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"from_ms": from})
}

// setWhiteFrom serves PUT /v1/uploads/white-from: from when on the white list binds.
func (h *Handler) setWhiteFrom(w http.ResponseWriter, r *http.Request) {
	var q struct {
		From txn.Millis `json:"from_ms"`
	}
	if !h.body(w, r, &q) {
		return
	}
	actor := r.Header.Get(HeaderActor)
	if err := h.book.SetWhiteFrom(r.Context(), q.From, actor); err != nil {
		h.failed(w, err)
		return
	}
	h.log.Info("operator", "actor", actor, "action", "white list binds", "from", int64(q.From))
	answer(w, http.StatusOK, map[string]any{"from_ms": q.From})
}

// body reads a body strictly; false when it was refused.
func (h *Handler) body(w http.ResponseWriter, r *http.Request, v any) bool {
	text, err := bodyOf(r)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(v)
	}
	if err != nil {
		refuse(w, fault{http.StatusBadRequest, "body_invalid", err.Error()})
	}
	return err == nil
}

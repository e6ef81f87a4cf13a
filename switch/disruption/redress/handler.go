package redress

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Prefix is that of all paths.
const Prefix = "/v1/grace/"

const (
	bodyMax = 1 << 10
	callMax = 40 * time.Second // the ledger may be behind
	// shownMax is how many journeys one answer lists; totals count all.
	shownMax = 1000
)

// Who says which operator asks, "" for none, with his roles.
type Who func(*http.Request) (name string, roles []string)

// Handler serves the calls. Who has the role of a reader may look; who has that of a giver may
// propose, confirm and drop.
func (s *Service) Handler(who Who, readers, givers []string) http.Handler {
	mux := http.NewServeMux()
	for _, c := range []struct {
		pattern string
		roles   []string
		serve   func(*asked) (any, error)
	}{
		{"GET " + Prefix + "{order}", readers, s.getOrder},
		{"GET " + Prefix + "{order}/run", readers, s.getRun},
		{"POST " + Prefix + "{order}/propose", givers, s.postPropose},
		{"POST " + Prefix + "{order}/confirm", givers, s.postConfirm},
		{"POST " + Prefix + "{order}/drop", givers, s.postDrop},
	} {
		mux.HandleFunc(c.pattern, func(w http.ResponseWriter, r *http.Request) {
			name, has := who(r)
			switch {
			case name == "":
				fail(w, &Refusal{http.StatusUnauthorized, "token_missing", "a token is needed", "缺少令牌"})
				return
			case !slices.ContainsFunc(c.roles, func(role string) bool { return slices.Contains(has, role) }):
				fail(w, &Refusal{http.StatusForbidden, "role_not_permitted",
					"the operator's role does not permit this call", "操作员无此权限"})
				return
			}
			s.serve(w, r, strings.Clone(name), c.serve)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, &Refusal{http.StatusNotFound, "not_found", "no such call", "无此接口"})
	})
	return mux
}

// asked is one call of an operator.
type asked struct {
	ctx          context.Context
	order, actor string
	body         *json.Decoder
}

// serve serves a call. What a change began is done although its caller has gone.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, actor string, do func(*asked) (any, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callMax)
	defer cancel()
	x := &asked{ctx: ctx, order: strings.Clone(r.PathValue("order")), actor: actor,
		body: json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMax))}
	x.body.DisallowUnknownFields()
	out, err := do(x)
	if err == nil {
		if r.Method == http.MethodPost {
			s.o.Log.Info("operator", "actor", actor, "action", r.Pattern, "order", x.order)
		}
		answer(w, http.StatusOK, out)
		return
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		s.o.Log.Error("grace", "call", r.Pattern, "order", x.order, "error", err)
		refusal = &Refusal{http.StatusServiceUnavailable, "unavailable", "cannot be done now: try again",
			"暂不可用,请重试"}
		if errors.Is(err, errTooMany) {
			refusal = &Refusal{http.StatusUnprocessableEntity, "order_too_wide", err.Error(), "指令范围过大"}
		}
	}
	fail(w, refusal)
}

// shown is what answers show: the journeys with the card masked, at most shownMax.
type shown struct {
	Run      *Run          `json:"run,omitempty"`
	Journeys []Journey     `json:"journeys"`
	Total    int           `json:"total"`
	Waits    int           `json:"waits"`
	Sum      txn.Minor     `json:"sum"` // of those that wait
	States   map[State]int `json:"states"`
}

func show(r *Run, all []Journey) *shown {
	out := &shown{Run: r, Journeys: all[:min(len(all), shownMax)], Total: len(all), States: map[State]int{}}
	if out.Journeys == nil {
		out.Journeys = []Journey{}
	}
	for i := range all {
		out.States[all[i].State]++
		if all[i].State.open() {
			out.Waits++
			out.Sum += all[i].Back
		}
	}
	return out
}

func (s *Service) getOrder(x *asked) (any, error) {
	all, run, err := s.Show(x.ctx, x.order)
	return show(run, all), err
}

func (s *Service) getRun(x *asked) (any, error) {
	run, all, err := s.List(x.ctx, x.order)
	return show(run, all), err
}

func (s *Service) postPropose(x *asked) (any, error) {
	run, all, err := s.Propose(x.ctx, x.order, x.actor)
	return show(run, all), err
}

func (s *Service) postConfirm(x *asked) (any, error) {
	var seen Confirmation
	if err := x.body.Decode(&seen); err != nil {
		return nil, &Refusal{http.StatusBadRequest, "body_invalid", "want run, journeys and sum: " + err.Error(),
			"请求内容有误"}
	}
	run, err := s.Confirm(x.ctx, x.order, x.actor, seen)
	return map[string]*Run{"run": run}, err
}

func (s *Service) postDrop(x *asked) (any, error) { return struct{}{}, s.Drop(x.ctx, x.order) }

func fail(w http.ResponseWriter, r *Refusal) {
	answer(w, r.Status, map[string]any{"error": r})
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("redress: internal error: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may have gone
}

package provision

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The calls of operators.

func (s *Service) postDocument(x *call) error {
	var body struct {
		Kind       Kind              `json:"kind"`
		Version    string            `json:"version"`
		Scope      *disruption.Scope `json:"scope"`
		Effective  txn.Millis        `json:"effective_ms"`
		Parameters json.RawMessage   `json:"parameters"`
		Tariff     string            `json:"tariff"`
	}
	if err := x.read(bodyMax, &body); err != nil {
		return err
	}
	d := Document{Kind: body.Kind, Version: body.Version, Effective: body.Effective,
		PublishedBy: x.actor}
	if body.Scope != nil {
		d.Scope = *body.Scope
	}
	content := []byte(body.Tariff)
	switch {
	case body.Kind == KindParameters && body.Tariff != "":
		return invalid("tariff", "this document is parameters")
	case body.Kind == KindTariff && body.Parameters != nil:
		return invalid("parameters", "this document is a tariff")
	case body.Kind == KindParameters:
		content = body.Parameters
	}
	d, err := s.Publish(x.ctx, d, content)
	if err != nil {
		return err
	}
	s.o.Log.Info("operator", "actor", x.actor, "action", "publish", "kind", d.Kind,
		"version", d.Version, "scope", d.Scope.String(), "effective", d.Effective.Time())
	return x.answer(http.StatusCreated, d)
}

// listed is a document with the number of gates that run it.
type listed struct {
	Document
	InEffect bool `json:"in_effect"`
	Running  int  `json:"running"`
}

func (s *Service) listDocuments(x *call) error {
	kind := Kind(x.r.URL.Query().Get("kind"))
	if kind != "" && !kind.known() {
		return invalid("kind", "%.32q, want parameters or tariff", kind)
	}
	index, err := s.current(x.ctx)
	if err != nil {
		return err
	}
	terminals, err := s.Terminals(x.ctx)
	if err != nil {
		return err
	}
	now, all := s.o.Now(), []listed{}
	for _, d := range index.Documents {
		if kind != "" && kind != d.Kind {
			continue
		}
		l := listed{Document: d, InEffect: d.Effective <= now}
		for _, t := range terminals {
			if slices.ContainsFunc(t.Documents, func(r Running) bool {
				return r.Kind == d.Kind && r.Runs == d.Version
			}) {
				l.Running++
			}
		}
		all = append(all, l)
	}
	return x.answer(http.StatusOK, map[string]any{"serial": index.Serial, "documents": all})
}

func (s *Service) showDocument(x *call) error {
	index, err := s.current(x.ctx)
	if err != nil {
		return err
	}
	d := index.find(Kind(x.r.PathValue("kind")), x.r.PathValue("version"))
	if d == nil {
		return notFound("document")
	}
	content, err := s.content(x.ctx, d)
	if err != nil {
		return err
	}
	out := struct {
		Document
		Parameters json.RawMessage `json:"parameters,omitempty"`
		Tariff     string          `json:"tariff,omitempty"`
	}{Document: *d}
	if d.Kind == KindParameters {
		out.Parameters = content
	} else {
		out.Tariff = string(content)
	}
	return x.answer(http.StatusOK, out)
}

func (s *Service) withdrawDocument(x *call) error {
	kind, version := Kind(x.r.PathValue("kind")), x.r.PathValue("version")
	err := s.change(x.ctx, func(i *index) (bool, *Refusal) {
		r := i.withdraw(kind, version, s.o.Now())
		return r == nil, r
	})
	if err != nil {
		return err
	}
	s.o.Log.Info("operator", "actor", x.actor, "action", "withdraw", "kind", kind,
		"version", version)
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Service) listTerminals(x *call) error {
	all, err := s.Terminals(x.ctx)
	if err != nil {
		return err
	}
	total, behind := len(all), 0
	for _, t := range all {
		if t.Behind {
			behind++
		}
	}
	if x.r.URL.Query().Get("behind") == "true" {
		all = slices.DeleteFunc(all, func(t *TerminalState) bool { return !t.Behind })
	}
	return x.answer(http.StatusOK,
		map[string]any{"terminals": all, "total": total, "behind": behind})
}

func (s *Service) showTerminal(x *call) error {
	t, err := s.Terminal(x.ctx, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, t)
}

func (s *Service) listOrders(x *call) error {
	orders, err := s.Orders(x.ctx)
	if err != nil {
		return err
	}
	now := s.o.Now()
	type shown struct {
		disruption.Order
		Holds bool `json:"holds"` // now, and gates obey it
		Grace bool `json:"grace"` // it forgives journeys
	}
	all := []shown{}
	for _, o := range orders {
		all = append(all, shown{o, o.Binds() && o.Holds(now), o.Confirmed()})
	}
	return x.answer(http.StatusOK, map[string]any{"orders": all})
}

// postOrder takes an order. One that begins now names no from_ms.
func (s *Service) postOrder(x *call) error {
	var body struct {
		Mode   disruption.Mode   `json:"mode"`
		Scope  *disruption.Scope `json:"scope"`
		From   txn.Millis        `json:"from_ms"`
		Until  txn.Millis        `json:"until_ms"`
		Reason string            `json:"reason"`
	}
	if err := x.read(ackMax, &body); err != nil {
		return err
	}
	now := s.o.Now()
	o := disruption.Order{ID: "o" + rand.Text()[:10], Mode: body.Mode, From: body.From,
		Until: body.Until, Reason: body.Reason, By: x.actor, At: now}
	if o.From == 0 {
		o.From = now
	}
	if body.Scope == nil {
		return &Refusal{http.StatusUnprocessableEntity, "order_invalid", "scope", "missing"}
	}
	o.Scope = *body.Scope
	if err := s.change(x.ctx, func(i *index) (bool, *Refusal) {
		r := i.order(o, now)
		return r == nil, r
	}); err != nil {
		return err
	}
	s.o.Log.Info("operator", "actor", x.actor, "action", "order", "order", o.ID,
		"mode", o.Mode.String(), "scope", o.Scope.String(), "until", o.Until.Time())
	return x.answer(http.StatusCreated, o)
}

func (s *Service) confirmOrder(x *call) error {
	return s.changeOrder(x, "confirm", (*index).confirm)
}

func (s *Service) endOrder(x *call) error { return s.changeOrder(x, "end", (*index).end) }

func (s *Service) changeOrder(x *call, action string,
	do func(*index, string, string, txn.Millis) *Refusal) error {
	id := x.r.PathValue("id")
	var is *disruption.Order
	if err := s.change(x.ctx, func(i *index) (bool, *Refusal) {
		r := do(i, id, x.actor, s.o.Now())
		is = i.orderOf(id)
		return r == nil, r
	}); err != nil {
		return err
	}
	s.o.Log.Info("operator", "actor", x.actor, "action", action, "order", id)
	if is == nil { // taken back before it began
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return x.answer(http.StatusOK, is)
}

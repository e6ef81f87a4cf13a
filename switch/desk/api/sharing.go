package api

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/desk/share"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// mountSharing serves data consumers, suppliers, the rights of a person, service places and
// findings, as far as they are configured.
func (s *server) mountSharing() {
	admin := []string{roleAdmin}
	readers := []string{roleDesk, roleConfirm, roleFinance, roleViewer, roleSupervisor, roleAdmin}
	routes := s.outletRoutes()
	if s.o.Share != nil {
		routes = append(routes, []route{
			{"GET /v1/desk/consumers", readers, s.consumers},
			{"PUT /v1/desk/consumers/{name}", admin, s.putConsumer},
			{"DELETE /v1/desk/consumers/{name}", admin, s.removeConsumer},
			{"POST /v1/desk/consumers/{name}/query", []string{roleDesk, roleAuthority}, s.consumerQuery},
			{"GET /v1/desk/suppliers", readers, s.suppliers},
			{"PUT /v1/desk/suppliers/{name}", admin, s.putSupplier},
			{"DELETE /v1/desk/suppliers/{name}", admin, s.removeSupplier},
			{"POST /v1/desk/suppliers/{name}/batches", []string{roleDesk, roleAuthority, roleAdmin}, s.deliver},
			{"GET /v1/desk/exchange", readers, s.exchange},
			{"PUT /v1/desk/exchange", admin, s.putExchange},
			{"POST /v1/desk/accounts:copy", []string{roleDesk}, s.copyOf},
			{"POST /v1/desk/retention", []string{roleAdmin, roleSupervisor}, s.retention},
			{"PUT /v1/desk/terminals/{id}/equipment", admin, s.putEquipment},
			{"GET /v1/desk/places/lacking", readers, s.lacking},
			{"GET /v1/desk/acceptance", readers, s.acceptance},
		}...)
		s.mux.HandleFunc("GET /public/catalogue", s.open(s.catalogue))
		s.mux.HandleFunc("GET /public/collected", s.open(s.collected))
	}
	if s.o.Findings != nil {
		routes = append(routes, s.findingRoutes()...)
	}
	if s.o.Foreign != nil {
		routes = append(routes, s.foreignRoutes()...)
	}
	if s.o.Drills != nil {
		routes = append(routes, s.drillRoutes()...)
	}
	s.mount(routes)
}

// notShared is the answer to what was not shared.
func notShared(r share.Refusal, why string) error {
	t := r.Text()
	status := http.StatusForbidden
	switch r {
	case share.ConsumerUnknown, share.SupplierUnknown:
		status = http.StatusNotFound
	case share.BatchInvalid:
		status = http.StatusBadRequest
	case share.BatchReused:
		status = http.StatusConflict
	}
	f := &refusal{status: status, code: t.Code, text: t.English, text2: t.Chinese}
	if why != "" {
		f.more = map[string]any{"why": why}
	}
	return f
}

// configured turns what cannot be registered into an answer.
func configured(err error) error {
	if errors.Is(err, share.ErrConfig) {
		return refuse(http.StatusBadRequest, "registration_invalid", err.Error(), "登记内容有误")
	}
	return err
}

// done answers a change that was made.
func (s *server) done(x *call, action, name string, err error) error {
	if err != nil {
		return configured(err)
	}
	s.log.Info("operator", "actor", x.actor, "action", action, "name", name)
	x.answer(map[string]any{"name": name})
	return nil
}

// filled reads the body into dst.
func (s *server) filled(x *call, dst any) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	return s.fill(dst, body)
}

func (s *server) consumers(x *call) error {
	all, err := s.o.Share.Consumers(x.ctx)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"consumers": form.Tell(all), "fields": share.FieldNames()})
	return nil
}

func (s *server) putConsumer(x *call) error {
	var c share.Consumer
	if err := s.filled(x, &c); err != nil {
		return err
	}
	c.Name = x.r.PathValue("name")
	return s.done(x, "put_consumer", c.Name, s.o.Share.PutConsumer(x.ctx, c))
}

func (s *server) removeConsumer(x *call) error {
	name := x.r.PathValue("name")
	return s.done(x, "remove_consumer", name, s.o.Share.RemoveConsumer(x.ctx, name))
}

// consumerQuery tells a unit about one person: what was agreed, for the purpose that was
// agreed (ZS8, HD32, SY11). An operator of an authority asks for his own unit only: his name
// begins with the unit's, as in transport_office.zhao.
func (s *server) consumerQuery(x *call) error {
	name, operator := x.r.PathValue("name"), x.actor
	if x.role == roleAuthority {
		unit, person, _ := strings.Cut(x.actor, ".")
		if unit != name {
			return refuse(http.StatusForbidden, "role_not_permitted", "the operator belongs to another unit",
				"操作员不属于该单位")
		}
		operator = person
	}
	w, err := s.wish(x)
	if err != nil {
		return err
	}
	var in struct {
		Purpose string
		Fields  []string
	}
	if w.with != nil {
		if err := s.fill(&in, w.with); err != nil {
			return err
		}
	}
	token, _, err := s.target(x, w)
	if err != nil {
		return err
	}
	told, err := s.o.Share.Query(x.ctx, share.Ask{Consumer: name, Purpose: in.Purpose, Operator: operator,
		Fields: in.Fields}, w.ID, token)
	switch {
	case err != nil:
		return err
	case told.Refusal == share.ByAccount:
		return refused(&account.Outcome{Refusal: told.Account})
	case told.Refusal != share.RefusalNone:
		return notShared(told.Refusal, "")
	}
	x.answer(map[string]any{"person": told.Person, "records": told.Records})
	return nil
}

func (s *server) suppliers(x *call) error {
	all, err := s.o.Share.Suppliers(x.ctx)
	if err != nil {
		return err
	}
	rows := make([]map[string]any, len(all))
	for i := range all {
		f := &all[i]
		rows[i] = map[string]any{"figures": f, "completeness": f.Completeness(), "last": instant(f.Last)}
	}
	x.answer(map[string]any{"suppliers": rows})
	return nil
}

func (s *server) putSupplier(x *call) error {
	var p share.Supplier
	if err := s.filled(x, &p); err != nil {
		return err
	}
	p.Name = x.r.PathValue("name")
	return s.done(x, "put_supplier", p.Name, s.o.Share.PutSupplier(x.ctx, p))
}

func (s *server) removeSupplier(x *call) error {
	name := x.r.PathValue("name")
	return s.done(x, "remove_supplier", name, s.o.Share.RemoveSupplier(x.ctx, name))
}

// BatchSignatureHeader bears the supplier's signature over the body, in hexadecimal.
const BatchSignatureHeader = "Tapswitch-Batch-Signature"

// deliver takes a supplier's batch (HD9, ZS7, ZZ11). What counts is its signature.
func (s *server) deliver(x *call) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	signature, err := hex.DecodeString(x.r.Header.Get(BatchSignatureHeader))
	if err != nil {
		return notShared(share.SignatureWrong, "")
	}
	d := share.Delivery{Supplier: x.r.PathValue("name"), Format: share.JSON, Body: body, Signature: signature}
	if x.r.Header.Get("Content-Type") == "text/csv" {
		d.Format = share.CSV
	}
	rep, err := s.o.Share.Deliver(x.ctx, d)
	switch {
	case err != nil:
		return err
	case rep.Refusal != share.RefusalNone:
		return notShared(rep.Refusal, rep.Why)
	}
	x.answer(map[string]any{"replay": rep.Replay, "report": rep})
	return nil
}

// copyOf gives a person everything that is kept of him (ZZ13, SY10).
func (s *server) copyOf(x *call) error {
	w, err := s.wish(x)
	if err != nil {
		return err
	}
	var step account.Query
	if w.with != nil {
		if err := s.fill(&step, w.with); err != nil {
			return err
		}
	}
	token, _, err := s.target(x, w)
	if err != nil {
		return err
	}
	c, err := s.o.Share.Copy(x.ctx, token, account.Command{ID: w.ID, Made: w.Made, By: x.staff(w.Outlet), Step: step})
	if err != nil {
		return err
	}
	if c.Refusal != account.RefusalNone {
		return refused(&account.Outcome{Refusal: c.Refusal})
	}
	x.answer(c)
	return nil
}

// retention runs the retention job; a dry run unless dry_run=false says otherwise. A
// supervisor may only look.
func (s *server) retention(x *call) error {
	dry := x.r.URL.Query().Get("dry_run") != "false"
	if !dry && !slices.Contains(x.roles, roleAdmin) {
		return refuse(http.StatusForbidden, "role_not_permitted", "only an admin forgets", "操作员无此权限")
	}
	rep, err := s.o.Share.Retain(x.ctx, dry, x.actor)
	if err != nil {
		return err
	}
	x.answer(rep)
	return nil
}

func (s *server) putEquipment(x *call) error {
	id, err := txn.ParseTerminalID(x.r.PathValue("id"))
	if err != nil {
		return badBody(err)
	}
	var e share.Equipment
	if err := s.filled(x, &e); err != nil {
		return err
	}
	return s.done(x, "put_equipment", id.String(), s.o.Share.PutEquipment(x.ctx, id, e))
}

// lacking lists service places where card or code is not read (SY9, ZZ8).
func (s *server) lacking(x *call) error {
	terminals, err := s.o.Share.Terminals(x.ctx)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"terminals": len(terminals), "places": share.Lacking(terminals)})
	return nil
}

// acceptance tells refusals outside the reasons of a rule book, and terminals that were up
// and took nothing (WZ7), from the ledger of some days.
func (s *server) acceptance(x *call) error {
	from, to, err := s.span(x)
	if err != nil {
		return err
	}
	var a share.Acceptance
	if err := s.o.Days.Between(x.ctx, from, to, func(r *txn.Record) error { a.Add(r); return nil }); err != nil {
		return err
	}
	terminals, err := s.o.Share.Terminals(x.ctx)
	if err != nil {
		return err
	}
	up := map[string]bool{}
	for i := range terminals {
		up[terminals[i].ID] = s.o.Up == nil || s.o.Up(terminals[i].ID)
	}
	x.answer(map[string]any{"from": from.String(), "to": to.String(), "terminals": a.Report(terminals, up),
		"units": a.Units()})
	return nil
}

// span reads the days that a call is about, today without any.
func (s *server) span(x *call) (from, to txn.BusinessDate, err error) {
	if s.o.Days == nil {
		return 0, 0, refuse(http.StatusNotFound, "ledger_off", "this process has no ledger", "本进程无账本")
	}
	from = s.o.Desk.Today()
	to = from
	for name, d := range map[string]*txn.BusinessDate{"from": &from, "to": &to} {
		if text := x.r.URL.Query().Get(name); text != "" {
			if *d, err = txn.ParseBusinessDate(text); err != nil {
				return 0, 0, refuse(http.StatusBadRequest, "day_invalid", name+": want a day as 2026-03-02", "日期有误")
			}
		}
	}
	return from, to, nil
}

// catalogue serves GET /public/catalogue: what the card is good for, and where.
func (s *server) catalogue(x *call) error {
	c, err := s.o.Share.Catalogue(x.ctx)
	if err != nil {
		return err
	}
	x.w.Header().Set("Etag", `"`+c.Version+`"`)
	x.answer(c)
	return nil
}

// collected serves GET /public/collected: what is kept, how long, and who may be told it.
func (s *server) collected(x *call) error {
	all, err := s.o.Share.Collected(x.ctx)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"city": s.o.Desk.City(), "collected": all})
	return nil
}

// exchange tells the topics of the city's exchange platform and how late each is.
func (s *server) exchange(x *call) error {
	e, err := s.o.Share.Exchange(x.ctx)
	if err != nil {
		return err
	}
	lags := []share.Lag{}
	if s.o.Lags != nil {
		lags = s.o.Lags()
	}
	x.answer(map[string]any{"exchange": e, "lags": lags})
	return nil
}

// putExchange registers the topics, for the next start.
func (s *server) putExchange(x *call) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	var e share.Exchange
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return badBody(errors.New("want inbound and outbound, objects by topic"))
	}
	return s.done(x, "put_exchange", "exchange", s.o.Share.PutExchange(x.ctx, e))
}

package api

import (
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func (s *server) foreignRoutes() []route {
	readers := []string{roleDesk, roleConfirm, roleFinance, roleViewer, roleSupervisor, roleAdmin}
	return []route{
		{"GET /v1/desk/foreign", readers, s.foreignSources},
		{"PUT /v1/desk/foreign/{name}", []string{roleAdmin}, s.putForeign},
		{"DELETE /v1/desk/foreign/{name}", []string{roleAdmin}, s.removeForeign},
		{"POST /v1/desk/foreign/{name}/lists", []string{roleDesk, roleAuthority, roleAdmin}, s.importForeign},
		{"GET /v1/desk/netting", []string{roleFinance, roleSupervisor, roleViewer, roleAdmin}, s.netting},
	}
}

// foreignSources tells each source and where its list stands.
func (s *server) foreignSources(x *call) error {
	all, err := s.o.Foreign.Sources(x.ctx)
	if err != nil {
		return unanswered(err, foreign.ErrStore)
	}
	rows := make([]map[string]any, len(all))
	for i := range all {
		one := &all[i]
		rows[i] = map[string]any{"source": one, "made_at": instant(one.Made), "expires_at": instant(one.Expires),
			"taken_at": instant(one.Taken)}
	}
	x.answer(map[string]any{"sources": rows})
	return nil
}

func (s *server) putForeign(x *call) error {
	var in foreign.Source
	if err := s.filled(x, &in); err != nil {
		return err
	}
	in.Name = x.r.PathValue("name")
	return s.done(x, "put_foreign_source", in.Name, sourceError(s.o.Foreign.PutSource(x.ctx, in)))
}

func (s *server) removeForeign(x *call) error {
	name := x.r.PathValue("name")
	return s.done(x, "remove_foreign_source", name, sourceError(s.o.Foreign.RemoveSource(x.ctx, name)))
}

// sourceError turns what cannot be registered or removed into an answer.
func sourceError(err error) error {
	if errors.Is(err, foreign.ErrSource) {
		return refuse(http.StatusConflict, "source_refused", err.Error(), "来源机构登记有误或仍持有冻结")
	}
	return unanswered(err, foreign.ErrStore)
}

// unanswered turns a package's fault of the store into an answer.
func unanswered(err, fault error) error {
	if errors.Is(err, fault) {
		return refuse(http.StatusServiceUnavailable, "store_unavailable",
			"the store does not answer; asking again is safe", "系统暂不可用,请重试")
	}
	return err
}

// ListProofHeader bears the source's signature over the body, or its SHA-256, in hexadecimal.
const ListProofHeader = "Tapswitch-List-Proof"

// importForeign takes a source's list in (ZZ4). What counts is its proof.
func (s *server) importForeign(x *call) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	name := x.r.PathValue("name")
	proof, err := hex.DecodeString(x.r.Header.Get(ListProofHeader))
	if err != nil {
		proof = nil // no proof: refused as such
	}
	r, err := s.o.Foreign.Import(x.ctx, foreign.Offer{Source: name, Body: body, Proof: proof, By: x.actor})
	s.log.Info("operator", "actor", x.actor, "action", "import_foreign_list", "source", name, "epoch", r.Epoch,
		"refusal", string(r.Refusal), "frozen", r.Frozen, "released", r.Released, "bad", len(r.Bad), "failed", err != nil)
	switch {
	case errors.Is(err, foreign.ErrList):
		return refuse(http.StatusBadRequest, "list_invalid", err.Error(), "名单有误")
	case errors.Is(err, foreign.ErrBusy):
		return refuse(http.StatusConflict, "import_busy", err.Error(), "该来源的名单正在导入")
	case err != nil:
		return refuse(http.StatusServiceUnavailable, "import_unfinished",
			"the import stopped; send the same list again and it goes on", "导入未完成,请重新提交同一名单继续")
	case r.Refusal != "":
		english, chinese := r.Refusal.Text()
		status := http.StatusConflict
		if r.Refusal == foreign.Unknown {
			status = http.StatusNotFound
		}
		return refuse(status, string(r.Refusal), english, chinese)
	}
	x.answer(map[string]any{"report": r, "bad": r.Bad})
	return nil
}

// netting tells what each institution and we owe each other by day, from the ledger.
func (s *server) netting(x *call) error {
	from, to, err := s.span(x)
	if err != nil {
		return err
	}
	all, err := s.o.Foreign.Sources(x.ctx)
	if err != nil {
		return unanswered(err, foreign.ErrStore)
	}
	var institutions []string
	for i := range all {
		institutions = append(institutions, all[i].Institution)
	}
	n := foreign.NewNetting(institutions)
	if err := s.o.Days.Between(x.ctx, from, to, n.Add); err != nil {
		return err
	}
	rows := n.Rows()
	if x.r.URL.Query().Get("format") == "csv" {
		x.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		x.w.Header().Set("Cache-Control", "no-store")
		_, _ = x.w.Write(foreign.CSV(rows)) // the client has gone
		return nil
	}
	out := make([]map[string]any, len(rows))
	due := map[string]txn.Minor{}
	for i := range rows {
		out[i] = map[string]any{"day": rows[i].Day.String(), "net": rows[i]}
		due[rows[i].Institution] += rows[i].Due
	}
	x.answer(map[string]any{"from": from.String(), "to": to.String(), "rows": out, "due": due})
	return nil
}

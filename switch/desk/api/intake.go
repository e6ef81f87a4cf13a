package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/tapswitch/tapswitch/switch/desk/intake"
)

// importFreezes serves POST /v1/desk/freezes:import: the body is a list as package intake reads
// it. The id, a digest of the list when none is given, lets a list that was cut short go on:
// sent again it changes nothing that was done. With dry_run every line is checked and none is
// frozen.
func (s *server) importFreezes(x *call) error {
	if s.o.Importer == nil {
		return refuse(http.StatusNotFound, "import_off", "no import is configured", "未配置导入")
	}
	query := x.r.URL.Query()
	dry := query.Get("dry_run")
	if dry != "" && dry != "true" && dry != "false" {
		return refuse(http.StatusBadRequest, "dry_run_invalid", "dry_run: want true or false", "dry_run 应为 true 或 false")
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	id := query.Get("id")
	if id == "" {
		sum := sha256.Sum256(body)
		id = hex.EncodeToString(sum[:16])
	}
	r, err := s.o.Importer.Import(x.ctx, intake.Job{ID: id, Actor: x.actor, List: bytes.NewReader(body),
		DryRun: dry == "true"})
	s.log.Info("operator", "actor", x.actor, "action", "import_freezes", "import", id, "dry_run", dry == "true",
		"frozen", r.Frozen, "already", r.Already, "refused", r.Refused, "failed", err != nil)
	switch {
	case errors.Is(err, intake.ErrList):
		return refuse(http.StatusBadRequest, "list_invalid", err.Error(), "名单有误")
	case errors.Is(err, intake.ErrOther):
		return refuse(http.StatusConflict, "import_other", err.Error(), "该导入编号已用于另一名单")
	case err != nil:
		return &refusal{status: http.StatusServiceUnavailable, code: "import_unfinished",
			text: "the import stopped; send the same list again and it goes on", text2: "导入未完成,请重新提交同一名单继续",
			more: map[string]any{"id": id, "lines": r.Lines, "frozen": r.Frozen, "already": r.Already}}
	}
	if r.Bad == nil {
		r.Bad = []intake.BadLine{}
	}
	x.answer(map[string]any{"id": id, "dry_run": dry == "true", "lines": r.Lines, "frozen": r.Frozen,
		"already": r.Already, "refused": r.Refused, "refused_listed": len(r.Bad),
		"resumed": r.Resumed, "bad": r.Bad})
	return nil
}

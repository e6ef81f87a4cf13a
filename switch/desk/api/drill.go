package api

import (
	"errors"
	"net/http"

	"github.com/tapswitch/tapswitch/switch/desk/drill"
)

func (s *server) drillRoutes() []route {
	workers := []string{roleDesk, roleConfirm, roleFinance, roleAdmin}
	readers := append([]string{roleViewer, roleSupervisor}, workers...)
	return []route{
		{"GET /v1/desk/drills", readers, s.drills},
		{"GET /v1/desk/drills/{id}", readers, s.drill},
		{"POST /v1/desk/drills", workers, s.startDrill},
		{"POST /v1/desk/drills/{id}/steps", workers, s.drillStep},
		{"POST /v1/desk/drills/{id}/finish", workers, s.finishDrill},
	}
}

// drillError turns a refusal of a drill into an answer.
func drillError(err error) error {
	switch {
	case errors.Is(err, drill.ErrUnknown):
		return refuse(http.StatusNotFound, "drill_unknown", err.Error(), "无此演练或预案")
	case errors.Is(err, drill.ErrRefused):
		return refuse(http.StatusConflict, "drill_refused", err.Error(), "演练状态不允许此操作或内容有误")
	default:
		return unanswered(err, drill.ErrStore)
	}
}

func told(d *drill.Drill) map[string]any {
	done := make([]map[string]any, len(d.Done))
	for i, step := range d.Done {
		done[i] = map[string]any{"no": step.No, "result": step.Result, "finding": step.Finding, "by": step.By,
			"at": instant(step.At)}
	}
	return map[string]any{"id": d.ID, "runbook": d.Book, "steps": d.Steps, "people": d.People, "done": done,
		"started_by": d.StartedBy, "started_at": instant(d.StartedAt), "finished_by": d.FinishedBy,
		"finished_at": instant(d.FinishedAt), "conclusion": d.Conclusion, "passed": d.Passed}
}

// drills lists runbooks with their drills and what is overdue.
func (s *server) drills(x *call) error {
	all, err := s.o.Drills.All(x.ctx)
	if err != nil {
		return drillError(err)
	}
	rows := make([]map[string]any, len(all))
	for i := range all {
		one := &all[i]
		drills := make([]map[string]any, len(one.Drills))
		for k, d := range one.Drills {
			drills[k] = told(d)
		}
		rows[i] = map[string]any{"runbook": one.Name, "title": one.Title, "days": one.Days, "steps": one.Steps,
			"last_passed": instant(one.LastPassed), "due": instant(one.Due), "overdue": one.Overdue, "drills": drills}
	}
	x.answer(map[string]any{"runbooks": rows})
	return nil
}

func (s *server) drill(x *call) error {
	d, err := s.o.Drills.Get(x.ctx, x.r.PathValue("id"))
	return s.drilled(x, "", d, err)
}

func (s *server) drilled(x *call, action string, d *drill.Drill, err error) error {
	if err != nil {
		return drillError(err)
	}
	if action != "" {
		s.log.Info("operator", "actor", x.actor, "action", action, "drill", d.ID)
	}
	x.answer(told(d))
	return nil
}

func (s *server) startDrill(x *call) error {
	var in struct {
		Runbook string
		People  []string
	}
	if err := s.filled(x, &in); err != nil {
		return err
	}
	d, err := s.o.Drills.Start(x.ctx, in.Runbook, x.actor, in.People)
	return s.drilled(x, "start_drill", d, err)
}

func (s *server) drillStep(x *call) error {
	var in struct {
		No              uint32
		Result, Finding string
	}
	if err := s.filled(x, &in); err != nil {
		return err
	}
	d, err := s.o.Drills.Do(x.ctx, x.r.PathValue("id"), drill.Step{No: int(in.No), Result: drill.Result(in.Result),
		Finding: in.Finding, By: x.actor})
	return s.drilled(x, "drill_step", d, err)
}

func (s *server) finishDrill(x *call) error {
	var in struct{ Conclusion string }
	if err := s.filled(x, &in); err != nil {
		return err
	}
	d, err := s.o.Drills.Finish(x.ctx, x.r.PathValue("id"), x.actor, in.Conclusion)
	return s.drilled(x, "finish_drill", d, err)
}

package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
)

func (s *server) findingRoutes() []route {
	readers := []string{roleDesk, roleConfirm, roleFinance, roleViewer, roleSupervisor, roleAdmin}
	deciders := []string{roleConfirm, roleFinance}
	return []route{
		{"GET /v1/desk/findings", readers, s.findings},
		{"GET /v1/desk/findings:verify", readers, s.verifyFindings},
		{"POST /v1/desk/findings:scan", []string{roleFinance, roleAdmin}, s.scanFindings},
		{"GET /v1/desk/findings/{n}", readers, s.finding},
		{"GET /v1/desk/travel", readers, s.travel},
		{"PUT /v1/desk/travel", []string{roleAdmin}, s.putTravel},
		{"POST /v1/desk/findings/{n}/decisions", deciders, s.decideFinding},
		{"POST /v1/desk/findings/{n}/liability", deciders, s.proposeFinding},
	}
}

// findings serves GET /v1/desk/findings?after=: evidence with where it stands.
func (s *server) findings(x *call) error {
	var after uint64
	if text := x.r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 48); err != nil {
			return unknownEvidence()
		}
	}
	all, err := s.o.Findings.List(x.ctx, after, finding.PageMax)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"findings": all})
	return nil
}

func unknownEvidence() error {
	return refuse(http.StatusNotFound, "evidence_unknown", "no such evidence", "无此证据")
}

func (s *server) verifyFindings(x *call) error {
	n, err := s.o.Findings.Verify(x.ctx)
	out := map[string]any{"verified": n, "whole": err == nil}
	if errors.Is(err, finding.ErrEvidence) {
		out["why"] = err.Error()
	} else if err != nil {
		return err
	}
	x.answer(out)
	return nil
}

// scanFindings looks through days of the ledger.
func (s *server) scanFindings(x *call) error {
	from, to, err := s.span(x)
	if err != nil {
		return err
	}
	found, made, err := s.o.Findings.Scan(x.ctx, s.o.Days, from, to)
	if err != nil {
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", "scan_findings", "found", found, "made", made)
	x.answer(map[string]any{"found": found, "new": made})
	return nil
}

func (s *server) evidence(x *call) (uint64, *finding.Sealed, *finding.Evidence, error) {
	n, err := finding.ParseNumber(x.r.PathValue("n"))
	if err != nil {
		return 0, nil, nil, unknownEvidence()
	}
	sealed, e, err := s.o.Findings.Get(x.ctx, n)
	if errors.Is(err, finding.ErrUnknown) {
		err = unknownEvidence()
	}
	return n, sealed, e, err
}

// finding serves sealed evidence as a body and its seal.
func (s *server) finding(x *call) error {
	n, sealed, e, err := s.evidence(x)
	if err != nil {
		return err
	}
	state, err := s.o.Findings.State(x.ctx, n)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"evidence": e, "sealed": sealed, "state": state})
	return nil
}

// decideFinding keeps what a person made of evidence: filed, dismissed, withdrawn.
func (s *server) decideFinding(x *call) error {
	n, _, _, err := s.evidence(x)
	if err != nil {
		return err
	}
	var in struct{ State, Body, Decision, Why string }
	if err := s.filled(x, &in); err != nil {
		return err
	}
	r, err := s.o.Findings.Decide(x.ctx, n, finding.Act{State: finding.State(in.State), By: x.actor,
		Body: in.Body, Decision: in.Decision, Why: in.Why})
	if err != nil {
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", "decide_finding", "number", n, "state", in.State,
		"refusal", string(r))
	if r != "" {
		return notDecided(r)
	}
	x.answer(map[string]any{"number": n, "state": in.State})
	return nil
}

func notDecided(r finding.Refusal) error {
	english, chinese := r.Text()
	return refuse(http.StatusConflict, string(r), english, chinese)
}

// proposeFinding opens the account's finding of liability from evidence; a second person
// confirms it there.
func (s *server) proposeFinding(x *call) error {
	_, _, e, err := s.evidence(x)
	if err != nil {
		return err
	}
	w, err := s.wish(x)
	if err != nil {
		return err
	}
	var in struct{ Fault account.Fault }
	if w.with != nil {
		if err := s.fill(&in, w.with); err != nil {
			return err
		}
	}
	step, r := e.Step(in.Fault)
	if r != "" {
		return notDecided(r)
	}
	token, _, err := s.target(x, w)
	if err != nil {
		return err
	}
	return s.do(x, token, w, step)
}

// travel tells the least travel times between stations.
func (s *server) travel(x *call) error {
	table, err := s.o.Findings.Travel(x.ctx)
	if err != nil {
		return err
	}
	x.answer(table)
	return nil
}

func (s *server) putTravel(x *call) error {
	var table finding.TravelTable
	if err := s.filled(x, &table); err != nil {
		return err
	}
	err := s.o.Findings.PutTravel(x.ctx, table)
	if errors.Is(err, finding.ErrTravel) {
		return badBody(err)
	}
	if err != nil {
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", "put_travel", "legs", len(table.Legs))
	x.answer(map[string]any{"legs": len(table.Legs)})
	return nil
}

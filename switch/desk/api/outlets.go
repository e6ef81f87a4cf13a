package api

import (
	"errors"
	"net/http"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
)

// outletRoutes are the calls about the registry of outlets (HD18, HD10: designated outlets).
func (s *server) outletRoutes() []route {
	return []route{
		{"GET /v1/desk/outlets", []string{roleDesk, roleConfirm, roleFinance, roleAdmin, roleViewer, roleSupervisor},
			s.outlets},
		{"PUT /v1/desk/outlets/{name}", []string{roleAdmin}, s.putOutlet},
		{"DELETE /v1/desk/outlets/{name}", []string{roleAdmin}, s.closeOutlet},
	}
}

// outlets serves GET /v1/desk/outlets, the closed ones too.
func (s *server) outlets(x *call) error {
	all, err := s.o.Desk.Outlets(x.ctx)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"outlets": all})
	return nil
}

// putOutlet serves PUT /v1/desk/outlets/{name}.
func (s *server) putOutlet(x *call) error {
	var o desk.Outlet
	if err := s.filled(x, &o); err != nil {
		return err
	}
	o.Name = x.r.PathValue("name")
	var services []string
	for i := range s.o.Policy.Services {
		services = append(services, s.o.Policy.Services[i].ID)
	}
	if err := o.Check(services); err != nil {
		return refuse(http.StatusBadRequest, "outlet_invalid", err.Error(), "网点信息有误")
	}
	if err := s.o.Desk.PutOutlet(x.ctx, o); err != nil {
		return outletFault(err)
	}
	s.log.Info("operator", "actor", x.actor, "action", "put_outlet", "outlet", o.Name)
	x.answer(map[string]any{"outlet": o})
	return nil
}

// closeOutlet serves DELETE /v1/desk/outlets/{name}: it serves no more, and its name stays
// readable.
func (s *server) closeOutlet(x *call) error {
	o, err := s.o.Desk.OutletOf(x.ctx, x.r.PathValue("name"))
	if err != nil {
		return outletFault(err)
	}
	o.Closed = true
	if err := s.o.Desk.PutOutlet(x.ctx, *o); err != nil {
		return outletFault(err)
	}
	s.log.Info("operator", "actor", x.actor, "action", "close_outlet", "outlet", o.Name)
	x.answer(map[string]any{"outlet": o})
	return nil
}

func outletFault(err error) error {
	switch {
	case errors.Is(err, desk.ErrOutletUnknown):
		return refuse(http.StatusNotFound, "outlet_unknown", "no such outlet", "无此网点")
	case errors.Is(err, desk.ErrOutlet):
		return refuse(http.StatusConflict, "outlets_full", err.Error(), "网点过多")
	default:
		return err
	}
}

// serves refuses an outlet that is not registered, by the name of the field that holds it.
func (s *server) serves(x *call, field, outlet string) error {
	err := s.o.Desk.MayServe(x.ctx, outlet)
	if !errors.Is(err, desk.ErrOutletUnknown) {
		return err
	}
	return &refusal{status: http.StatusBadRequest, code: "outlet_unknown",
		text:  "field " + field + ": no registered outlet that is open; GET /v1/desk/outlets lists them",
		text2: "网点未登记或已停用", more: map[string]any{"fields": []string{field}}}
}

// outletOf is the outlet that a step itself names.
func outletOf(step account.Step) string {
	switch c := step.(type) {
	case account.UnbindCarrier:
		return c.Outlet
	case account.CompleteCancellation:
		return c.Outlet
	default:
		return ""
	}
}

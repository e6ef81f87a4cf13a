package day

import (
	"slices"

	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// carried returns the orders that days certified before date held, such as for want of a bank
// account: no run of their own day can order them any more, so a run of a later day does. Each is
// carried by one day only; where that day holds it too, its own order is carried on once that day
// is certified. A run that is there already is made again from what was known when it was made.
func (d *Desk) carried(date txn.BusinessDate, number int) ([]clearing.Order, error) {
	events := d.journal.Events()
	if i := slices.IndexFunc(events, func(e journal.Event) bool {
		return e.Kind == eventRun && e.Date == date && runOf(e).Run == number
	}); i >= 0 {
		events = events[:i]
	}
	taken := map[string]bool{}
	var held []clearing.Order
	for _, e := range events {
		run := 0
		switch {
		case e.Kind == eventRun && e.Date != date:
			run = runOf(e).Run
		case e.Kind == eventCertified && e.Date < date:
			run = certifiedOf(e).Run
		default:
			continue
		}
		var s clearing.Statement
		if err := d.readOf(e.Date, run, pack.StatementName, &s); err != nil {
			return nil, err
		}
		for _, o := range s.Orders {
			switch {
			case e.Kind == eventRun && o.Carries != "":
				taken[o.Carries] = true
			case e.Kind == eventCertified && o.Held != "":
				held = append(held, o)
			}
		}
	}
	return slices.DeleteFunc(held, func(o clearing.Order) bool { return taken[o.Number] }), nil
}

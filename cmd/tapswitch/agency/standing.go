package agency

import (
	"context"
	"strconv"
	"sync"

	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var (
	pastDesc = describe("notice_past_mark",
		"Parties of open notices whose clock is past a mark and that have not acted; above 0 is an alarm.", "mark")
	staleDesc = describe("foreign_list_stale",
		"1 where another city's list has ended and no later one came; it stays in force.", "source")
	leftDesc = describe("foreign_list_left_seconds",
		"Time until another city's list ends; below 0 it has.", "source")
	unfinishedDesc = describe("foreign_import_unfinished",
		"1 where the import of another city's list broke off.", "source")
	foreignDesc = describe("foreign_cards", "Cards that another city's list holds.", "source")
	moneyDesc   = describe("desk_money_waiting",
		"Dead numbers that hold money for which a person must act; above 0 is an alarm.")
	drillDesc  = describe("drill_overdue", "1 where a runbook was not drilled in time.", "runbook")
	officeDesc = describe("office_age_seconds",
		"Time since other cities' lists and the drills were looked at.")
)

// watch is what was last seen of other cities' lists and of the drills.
type watch struct {
	mu      sync.Mutex // guards the fields below
	sources []foreign.Standing
	drills  []drill.Standing
	money   int // dead numbers whose money waits for a person
	at      txn.Millis
}

// look counts what alarms are made of: open cases, other cities' lists, drills. What the store
// does not tell stays as it was, and its age grows.
func (a *Agency) look(ctx context.Context) error {
	cases, err := a.Desk.Cases(ctx, desk.CaseFilter{})
	if err != nil {
		return err
	}
	a.figures.take(cases)
	sources, err := a.foreign.Sources(ctx)
	if err != nil {
		return err
	}
	drills, err := a.drills.All(ctx)
	if err != nil {
		return err
	}
	money, err := a.Desk.WaitingMoney(ctx)
	if err != nil {
		return err
	}
	w := &a.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sources, w.drills, w.money, w.at = sources, drills, len(money), a.now()
	return nil
}

// collect judges by the clock of the asking: a list that has ended since the last look is stale.
func (w *watch) collect(m *meter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sources {
		s := &w.sources[i]
		m.gauge(foreignDesc, float64(s.Cards), s.Name)
		m.gauge(unfinishedDesc, truth(s.Unfinished), s.Name)
		m.gauge(staleDesc, truth(s.Expires != 0 && s.Expires <= m.now), s.Name)
		if s.Expires != 0 {
			m.gauge(leftDesc, float64(s.Expires-m.now)/1000, s.Name)
		}
	}
	for i := range w.drills {
		m.gauge(drillDesc, truth(w.drills[i].Due <= m.now), w.drills[i].Name)
	}
	if w.at != 0 {
		m.gauge(moneyDesc, float64(w.money))
	}
	m.age(officeDesc, w.at)
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// collectMarks tells how many parties are past the first mark of their clock, the second, …
func collectMarks(m *meter, past []int) {
	for i, n := range past {
		m.gauge(pastDesc, float64(n), strconv.Itoa(i+1))
	}
}

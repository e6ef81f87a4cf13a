package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/figures"
	"github.com/tapswitch/tapswitch/ledger/console/trail"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// todayPage is the first page.
type todayPage struct {
	*frame
	Date txn.BusinessDate
	*dayView
	Live    *LiveView
	Minutes *chart
	City    *City
	// Urgent are the clocks that run, the next deadline first; Running is how many.
	Urgent        []urgent
	Running, Late int
}

// urgent is a clock that runs.
type urgent struct {
	Notice *Notice
	Clock  *NoticeClock
}

// urgentMax is how many clocks the first page names.
const urgentMax = 6

// home leads to the first page.
func (s *Server) home(x *visit) error {
	http.Redirect(x.w, x.r, "/console/today", http.StatusSeeOther)
	return nil
}

// today serves GET /console/today.
func (s *Server) today(x *visit) error {
	p := &todayPage{frame: x.frame, Date: s.o.Today()}
	p.dayView = x.dayView(p.Date)
	if s.o.Live != nil {
		l := s.o.Live.Live()
		p.Live, p.Minutes = &l, x.minutes(l.Minutes)
	}
	city, err := x.city()
	if err != nil {
		return err
	}
	p.City = city
	p.Urgent = urgencies(city, x.now)
	p.Running = len(p.Urgent)
	for _, u := range p.Urgent {
		if u.Clock.IsLate() || u.Clock.Deadline != nil && u.Clock.Deadline.Before(x.now) {
			p.Late++
		}
	}
	p.Urgent = p.Urgent[:min(len(p.Urgent), urgentMax)]
	return x.render(http.StatusOK, "today.html", p)
}

// city reads the card desk; nil where there is none.
func (x *visit) city() (*City, error) {
	if x.s.o.Freezes == nil {
		return nil, nil
	}
	ctx, cancel := x.bounded()
	defer cancel()
	c, err := x.s.o.Freezes.City(ctx)
	if errors.Is(err, ErrNone) {
		return nil, nil
	}
	return c, err
}

// urgencies returns the clocks that run, the next deadline first.
func urgencies(c *City, now time.Time) []urgent {
	if c == nil {
		return nil
	}
	var all []urgent
	for i := range c.Notices {
		n := &c.Notices[i]
		for j := range n.Clocks {
			if k := &n.Clocks[j]; k.Effective == nil && k.State != "superseded" {
				all = append(all, urgent{n, k})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b urgent) int {
		return deadline(a.Clock, now).Compare(deadline(b.Clock, now))
	})
	return all
}

// deadline is when a clock ends; one that has not begun comes last.
func deadline(c *NoticeClock, now time.Time) time.Time {
	if c.Deadline == nil {
		return now.AddDate(100, 0, 0)
	}
	return *c.Deadline
}

// Left says how long a clock has, or by how much it is late.
func (f *frame) Left(c *NoticeClock) string {
	switch {
	case c.Effective != nil && c.IsLate():
		return f.F("clock.done_late", f.Time(c.Effective))
	case c.Effective != nil:
		return f.F("clock.done", f.Time(c.Effective))
	case c.Deadline == nil:
		return f.T("clock.not_begun")
	case c.Deadline.Before(f.now):
		return f.F("clock.late", f.Long(f.now.Sub(*c.Deadline)))
	}
	return f.F("clock.left", f.Long(c.Deadline.Sub(f.now)))
}

// ClockClass is late, runs or done.
func (f *frame) ClockClass(c *NoticeClock) string {
	switch {
	case c.Effective == nil && (c.IsLate() || c.Deadline != nil && c.Deadline.Before(f.now)):
		return "bad"
	case c.Effective != nil && c.IsLate():
		return "warn"
	case c.Effective != nil:
		return "good"
	}
	return "plain"
}

// dayView is a date as pages show it.
type dayView struct {
	Day      *figures.Day // nil until it was counted
	Counting bool
	Problem  bool
	NoLedger bool
	Approved int64
	Declined int64
	Charged  []sum
	Loaded   []sum
	Chart    *chart
	HourRows []hourRow
	Reasons  []reasonRow
}

// sum is an amount in a currency.
type sum struct {
	Currency uint16
	Amount   int64
}

// reasonRow is a reason of declines with its share.
type reasonRow struct {
	Code  string
	Count int64
}

// waitRefresh is how soon a page that waits for figures looks again, in seconds.
const waitRefresh = 3

// dayView reads the figures of a date; a page that has none yet looks again soon.
func (x *visit) dayView(date txn.BusinessDate) *dayView {
	v := &dayView{NoLedger: x.s.figures == nil}
	if v.NoLedger {
		return v
	}
	day, counting, err := x.s.figures.Day(date)
	v.Day, v.Counting, v.Problem = day, counting, err != nil
	if day == nil {
		x.RefreshAfter = waitRefresh
		return v
	}
	volume := volumeOf(day.Report.Kinds)
	v.Approved, v.Declined = volume.Approved, volume.Declined
	v.Charged, v.Loaded = amounts(day.Report.Kinds)
	for _, d := range day.Report.Declines {
		v.Reasons = append(v.Reasons, reasonRow{d.Reason, d.Count})
	}
	slices.SortStableFunc(v.Reasons, func(a, b reasonRow) int { return cmp.Compare(b.Count, a.Count) })
	if day.HasHours {
		begin := x.s.o.Begin(date).Time().In(x.s.o.Zone).Hour()
		v.Chart, v.HourRows = x.hours(&day.Hours, begin)
	}
	return v
}

// volumeOf counts what the chart of hours counts.
func volumeOf(kinds []warehouse.KindLine) (n warehouse.HourCount) {
	for _, k := range kinds {
		if kind, err := txn.ParseKind(k.Kind); err == nil && warehouse.Volume(kind) {
			n.Add(k.Outcome, k.Count)
		}
	}
	return n
}

// amounts sums what was charged, and apart what was loaded, which a record holds as a charge
// below zero.
func amounts(kinds []warehouse.KindLine) (charged, loaded []sum) {
	in, out := map[uint16]int64{}, map[uint16]int64{}
	for _, k := range kinds {
		switch {
		case k.Outcome != txn.Approved.String() || k.Charged == 0:
		case k.Kind == txn.Load.String() || k.Kind == txn.BankLoad.String():
			in[k.Currency] -= k.Charged
		default:
			out[k.Currency] += k.Charged
		}
	}
	return sums(out), sums(in)
}

// sums lists amounts by currency.
func sums(by map[uint16]int64) (all []sum) {
	for currency, amount := range by {
		all = append(all, sum{currency, amount})
	}
	slices.SortFunc(all, func(a, b sum) int { return cmp.Compare(a.Currency, b.Currency) })
	return all
}

// Outside is how many records of the date were served outside its 24 hours.
func (v *dayView) Outside() int64 {
	return v.Day.Hours.Outside.Approved + v.Day.Hours.Outside.Declined
}

// All is the volume, approved and declined.
func (v *dayView) All() int64 { return v.Approved + v.Declined }

// DeclinedAll is the number of declined records of all kinds.
func (v *dayView) DeclinedAll() (n int64) {
	for _, r := range v.Reasons {
		n += r.Count
	}
	return n
}

// live serves GET /console/live: the numbers that the script renews.
func (s *Server) live(x *visit) error {
	out := map[string]string{}
	if s.o.Live != nil {
		l := s.o.Live.Live()
		out["approved"], out["declined"] = x.Count(l.Approved), x.Count(l.Declined)
		out["p50"], out["p99"] = x.Short(l.P50), x.Short(l.P99)
		out["pending"] = x.Count(l.Pending)
		if l.ListKnown {
			out["list_age"] = x.Long(l.ListAge)
		}
	}
	out["at"] = x.Time(x.now)
	x.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	return json.NewEncoder(x.w).Encode(out)
}

// help serves GET /console/help.
func (s *Server) help(x *visit) error { return x.render(http.StatusOK, "help.html", x.frame) }

// Glossary are the words that the help explains.
func (f *frame) Glossary() []string {
	return []string{"business_date", "record", "token", "owed", "break", "list_age", "coverage", "pending"}
}

// IdleAfter is after how long without use a session ends.
func (f *frame) IdleAfter() string { return f.Long(f.s.sessions.Idle()) }

// auditShown is how many lines of the trail a page holds.
const auditShown = 200

// auditPage shows the trail.
type auditPage struct {
	*frame
	Lines []trail.Line
	Max   int
}

// audit serves GET /console/audit; looking is noted too.
func (s *Server) audit(x *visit) error {
	if err := x.note(trail.Line{Action: "audit"}); err != nil {
		return err
	}
	return x.render(http.StatusOK, "audit.html", &auditPage{x.frame, s.o.Trail.Recent(auditShown), auditShown})
}

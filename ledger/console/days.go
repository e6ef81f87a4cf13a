package console

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/console/figures"
	"github.com/tapswitch/tapswitch/ledger/console/trail"
	"github.com/tapswitch/tapswitch/ledger/settle"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// daysShown is how many dates the list of days has.
const daysShown = 14

// dayRow is a date of the list.
type dayRow struct {
	Date txn.BusinessDate
	*dayView
	state
}

// state is how far a date is.
type state struct {
	// Name is open, closing, closed or certified, empty for a past date without records, or
	// counting while nothing is known.
	Name string
	// Closed is in how many buckets of txn.BucketCount the date is closed.
	Closed int
	Known  DayState
}

// Class is how a state looks.
func (s state) Class() string {
	switch s.Name {
	case "certified", "closed":
		return "good"
	case "closing":
		return "warn"
	}
	return "plain"
}

// state tells how far a date is: what was recorded of it, else what the ledger shows.
func (x *visit) state(date txn.BusinessDate, v *dayView) (state, error) {
	st := state{Name: "counting"}
	if v.Day != nil {
		st.Closed = v.Day.Report.Closed()
		switch {
		case v.Day.Report.Complete:
			st.Name = "closed"
		case v.Day.Report.Rows == 0 && date < x.s.o.Today():
			st.Name = "empty"
		case st.Closed > 0:
			st.Name = "closing"
		default:
			st.Name = "open"
		}
	}
	if x.s.o.Days == nil {
		return st, nil
	}
	ctx, cancel := x.bounded()
	defer cancel()
	recorded, ok, err := x.s.o.Days.State(ctx, date)
	if err == nil && ok {
		st.Name, st.Known = recorded.State, recorded
	}
	return st, err
}

// daysPage is the list of days.
type daysPage struct {
	*frame
	NoLedger bool
	Rows     []dayRow
}

// days serves GET /console/days.
func (s *Server) days(x *visit) error {
	p := &daysPage{frame: x.frame, NoLedger: s.figures == nil}
	if p.NoLedger {
		return x.render(http.StatusOK, "days.html", p)
	}
	for _, date := range figures.Last(s.o.Today(), daysShown) {
		v := x.dayView(date)
		st, err := x.state(date, v)
		if err != nil {
			return err
		}
		p.Rows = append(p.Rows, dayRow{date, v, st})
	}
	return x.render(http.StatusOK, "days.html", p)
}

// dayPage is one date.
type dayPage struct {
	*frame
	Date txn.BusinessDate
	*dayView
	state
	Runs    []Run
	Settles bool
}

// Late is what the last run of the date shows apart.
func (p *dayPage) Late() []Late {
	if len(p.Runs) == 0 {
		return nil
	}
	return p.Runs[0].Late
}

// date reads the date of a path.
func (x *visit) date() (txn.BusinessDate, error) {
	d, err := txn.ParseBusinessDate(x.r.PathValue("date"))
	if err != nil || d.String() != x.r.PathValue("date") {
		return 0, notFound()
	}
	return d, nil
}

// day serves GET /console/days/{date}.
func (s *Server) day(x *visit) error {
	date, err := x.date()
	if err != nil {
		return err
	}
	p := &dayPage{frame: x.frame, Date: date, dayView: x.dayView(date)}
	if p.state, err = x.state(date, p.dayView); err != nil {
		return err
	}
	if p.Runs, p.Settles, err = x.runs(date); err != nil {
		return err
	}
	return x.render(http.StatusOK, "day.html", p)
}

// runsMax is how many runs a page lists.
const runsMax = 50

// runs reads the runs of a date; none where this process settles nothing.
func (x *visit) runs(date txn.BusinessDate) ([]Run, bool, error) {
	if x.s.o.Settlements == nil {
		return nil, false, nil
	}
	ctx, cancel := x.bounded()
	defer cancel()
	all, err := x.s.o.Settlements.Runs(ctx, date, runsMax)
	if errors.Is(err, ErrNone) {
		return nil, false, nil
	}
	return all, true, err
}

// dayFile serves GET /console/days/{date}/{file}: the totals as they were last counted.
func (s *Server) dayFile(x *visit) error {
	date, err := x.date()
	if err != nil {
		return err
	}
	format, ok := strings.CutPrefix(x.r.PathValue("file"), "totals.")
	if !ok || !slices.Contains([]string{"csv", "json"}, format) || s.figures == nil {
		return notFound()
	}
	day, _, err := s.figures.Day(date)
	if err != nil || day == nil {
		return refuse(http.StatusServiceUnavailable, "error.counting")
	}
	if err := x.note(trail.Line{Action: "download", Subject: date.String() + " totals." + format}); err != nil {
		return err
	}
	x.attach("tapswitch-" + date.String() + "-totals." + format)
	if format == "csv" {
		_, _ = io.WriteString(x.w, "\ufeff") // spreadsheets take it for UTF-8 then
	}
	return settle.Write(x.w, format, day.Report)
}

// attach sets the headers of a file to keep.
func (x *visit) attach(name string) {
	h := x.w.Header()
	kind := "application/octet-stream"
	switch {
	case strings.HasSuffix(name, ".csv"):
		kind = "text/csv; charset=utf-8"
	case strings.HasSuffix(name, ".json"):
		kind = "application/json"
	case strings.HasSuffix(name, ".xml"):
		kind = "application/xml"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}

// settlement serves GET /console/settlement: the latest date that is closed, else today.
func (s *Server) settlement(x *visit) error {
	date := s.o.Today()
	if text := x.r.URL.Query().Get("date"); text != "" {
		d, err := txn.ParseBusinessDate(text)
		if err != nil {
			return refuse(http.StatusBadRequest, "error.date")
		}
		date = d
	}
	http.Redirect(x.w, x.r, "/console/settlement/"+date.String(), http.StatusSeeOther)
	return nil
}

// settlementPage is the operators of a date.
type settlementPage struct {
	*frame
	Date txn.BusinessDate
	*dayView
	state
	Rows    []operatorRow
	Runs    []Run
	Settles bool
	// Latest is when today's date is, the bound of the form.
	Latest txn.BusinessDate
}

// operatorRow is an operator with what it served and what it is owed.
type operatorRow struct {
	warehouse.OperatorLine
	Owed int64
}

// Fares reports whether the operator charges by a tariff: a shop has no full fare.
func (o operatorRow) Fares() bool { return o.FullFare != 0 }

// Discount is what riders did not pay.
func (o operatorRow) Discount() int64 { return o.FullFare - o.Charged }

// settlementDay serves GET /console/settlement/{date}.
func (s *Server) settlementDay(x *visit) error {
	date, err := x.date()
	if err != nil {
		return err
	}
	p := &settlementPage{frame: x.frame, Date: date, dayView: x.dayView(date), Latest: s.o.Today()}
	if p.state, err = x.state(date, p.dayView); err != nil {
		return err
	}
	if p.Day != nil {
		p.Rows = operatorRows(&p.Day.Report)
	}
	if p.Runs, p.Settles, err = x.runs(date); err != nil {
		return err
	}
	return x.render(http.StatusOK, "settlement.html", p)
}

// operatorRows joins what operators served with what the postings give them.
func operatorRows(r *settle.Report) []operatorRow {
	type key struct {
		party    string
		currency uint16
	}
	owed := map[key]int64{}
	for _, p := range r.Settlement {
		owed[key{p.Party, p.Currency}] += p.Amount
	}
	var rows []operatorRow
	for _, o := range r.Operators {
		k := key{o.Operator, o.Currency}
		rows = append(rows, operatorRow{o, owed[k]})
		delete(owed, k)
	}
	for k, amount := range owed { // owed without a record of its own: a share, a correction
		rows = append(rows, operatorRow{warehouse.OperatorLine{Operator: k.party, Currency: k.currency}, amount})
	}
	slices.SortFunc(rows, func(a, b operatorRow) int {
		return cmp.Or(cmp.Compare(b.Owed, a.Owed), cmp.Compare(a.Operator, b.Operator),
			cmp.Compare(a.Currency, b.Currency))
	})
	return rows
}

// operatorPage is one operator on a date.
type operatorPage struct {
	*frame
	Date     txn.BusinessDate
	Operator string
	*dayView
	Rows []operatorRow
	Nets []Net
	// Purpose and Details are empty in a new form.
	Purpose, Details string
}

// Purposes are the choices of the form.
func (p *operatorPage) Purposes() []string { return purposes() }

// operator serves GET /console/settlement/{date}/{operator}.
func (s *Server) operator(x *visit) error {
	date, err := x.date()
	if err != nil {
		return err
	}
	p := &operatorPage{frame: x.frame, Date: date, Operator: x.r.PathValue("operator"), dayView: x.dayView(date)}
	if p.Day != nil {
		p.Rows = slices.DeleteFunc(operatorRows(&p.Day.Report),
			func(o operatorRow) bool { return o.Operator != p.Operator })
		if len(p.Rows) == 0 {
			return notFound()
		}
	}
	runs, _, err := x.runs(date)
	if err != nil {
		return err
	}
	if len(runs) > 0 {
		p.Nets = slices.DeleteFunc(slices.Clone(runs[0].Nets), func(n Net) bool { return n.Party != p.Operator })
	}
	return x.render(http.StatusOK, "operator.html", p)
}

// downloadsPage lists what may be taken away.
type downloadsPage struct {
	*frame
	Settles  bool
	Runs     []Run
	Dates    []txn.BusinessDate
	NoLedger bool
}

// downloads serves GET /console/downloads.
func (s *Server) downloads(x *visit) error {
	p := &downloadsPage{frame: x.frame, NoLedger: s.figures == nil}
	var err error
	if p.Runs, p.Settles, err = x.runs(0); err != nil {
		return err
	}
	if !p.NoLedger {
		p.Dates = figures.Last(s.o.Today(), daysShown)
	}
	return x.render(http.StatusOK, "downloads.html", p)
}

// download serves GET /console/downloads/{run}/{file}.
func (s *Server) download(x *visit) error {
	if s.o.Settlements == nil {
		return notFound()
	}
	run, file := x.r.PathValue("run"), x.r.PathValue("file")
	content, err := s.o.Settlements.Open(x.r.Context(), run, file)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := x.note(trail.Line{Action: "download", Subject: run + " " + file}); err != nil {
		return err
	}
	x.attach(run + "-" + file)
	_, err = io.Copy(x.w, content)
	if err != nil {
		s.o.Log.Warn("console download broken off", "run", run, "file", file, "error", err)
	}
	return nil
}

package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tapswitch/tapswitch/ledger/console/trail"
	"github.com/tapswitch/tapswitch/switch/desk/coverage"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// breaksShown is how many breaks a page has.
const breaksShown = 50

// noteMax bounds what a person writes to a break, in characters.
const noteMax = 300

// breaksPage is the list of breaks.
type breaksPage struct {
	*frame
	None   bool
	Filter BreakFilter
	List   BreakList
}

// States are the choices of the filter.
func (p *breaksPage) States() []string { return []string{"open", "proposed", "resolved", "closed"} }

// Kinds are what a difference may be, also for the filter.
func (p *breaksPage) Kinds() []string {
	return []string{"ours_only", "theirs_only", "amount", "status", "date", "time", "duplicate", "claim", "unreadable"}
}

// breaks serves GET /console/breaks?state=&kind=&owner=&after=.
func (s *Server) breaks(x *visit) error {
	q := x.r.URL.Query()
	p := &breaksPage{frame: x.frame, None: s.o.Breaks == nil, Filter: BreakFilter{State: q.Get("state"),
		Kind: q.Get("kind"), Owner: q.Get("owner"), After: q.Get("after"), Max: breaksShown}}
	if p.None {
		return x.render(http.StatusOK, "breaks.html", p)
	}
	ctx, cancel := x.bounded()
	defer cancel()
	var err error
	p.List, err = s.o.Breaks.List(ctx, p.Filter)
	if p.None = errors.Is(err, ErrNone); err != nil && !p.None {
		return err
	}
	return x.render(http.StatusOK, "breaks.html", p)
}

// breakPage is one break.
type breakPage struct {
	*frame
	B       *Break
	Problem string
}

// Resolutions are the ways to end a break; written_off is a proposal that a second person
// confirms.
func (p *breakPage) Resolutions() []string {
	return []string{"explained", "corrected", "paid", "written_off"}
}

// Can reports whether a step is possible as the break stands.
func (p *breakPage) Can(step string) bool {
	return p.May("work") && slices.Contains(map[string][]string{StepAssign: {"open", "proposed"},
		StepComment: {"open", "proposed", "resolved", "closed"}, StepResolve: {"open"}, StepConfirm: {"proposed"},
		StepReject: {"proposed"}, StepReopen: {"resolved"}}[step], p.B.State)
}

// Side is what one side has of the break.
func (p *breakPage) Side(which string, fields []Field) *sidePart {
	return &sidePart{p.frame, which, p.B.Currency, fields}
}

// sidePart hands a side to its template.
type sidePart struct {
	*frame
	Which    string
	Currency uint16
	Fields   []Field
}

// Value is a field in the words of the page: amounts come in minor units and times in UTC.
func (p *sidePart) Value(f Field) string {
	switch f.Name {
	case "amount":
		if n, err := strconv.ParseInt(f.Value, 10, 64); err == nil {
			return p.Money(n, p.Currency)
		}
	case "time":
		if at, err := time.Parse(time.RFC3339, f.Value); err == nil {
			return p.Time(at)
		}
	case "kind":
		return p.Word("kind", f.Value)
	case "status":
		return p.Word("outcome", f.Value)
	}
	return f.Value
}

// drill is a search for the transaction of a break.
type drill struct{ What, From, To string }

// drillDays is how far a counterparty's date of a transaction may be from ours.
const drillDays = 3

// Drill finds the transaction by the ledger's own number, or by the reference that both sides
// have; nil where a row has neither, or no date.
func (p *breakPage) Drill() *drill {
	if !p.May("holders") || p.s.finder == nil {
		return nil
	}
	for _, side := range [][]Field{p.B.Ours, p.B.Theirs} {
		of := map[string]string{}
		for _, f := range side {
			of[f.Name] = f.Value
		}
		date, err := txn.ParseBusinessDate(of["date"])
		if err != nil {
			continue
		}
		for _, what := range []string{of["id"], of["rrn"]} {
			if _, _, err := queryOf(what); err == nil {
				at := date.Time()
				return &drill{what, txn.DateOf(at.AddDate(0, 0, -drillDays), time.UTC, 0).String(),
					txn.DateOf(at.AddDate(0, 0, drillDays), time.UTC, 0).String()}
			}
		}
	}
	return nil
}

// showBreak serves GET /console/breaks/{id}.
func (s *Server) showBreak(x *visit) error { return s.breakNow(x, http.StatusOK, "") }

func (s *Server) breakNow(x *visit, status int, problem string) error {
	if s.o.Breaks == nil {
		return notFound()
	}
	ctx, cancel := x.bounded()
	defer cancel()
	b, err := s.o.Breaks.Show(ctx, x.r.PathValue("id"))
	if err != nil {
		return err
	}
	return x.render(status, "break.html", &breakPage{x.frame, b, problem})
}

// actBreak serves POST /console/breaks/{id}.
func (s *Server) actBreak(x *visit) error {
	if s.o.Breaks == nil {
		return notFound()
	}
	a := BreakAction{Actor: x.who.Person.Name, Step: x.r.PostFormValue("step"),
		Owner:      strings.TrimSpace(x.r.PostFormValue("owner")),
		Resolution: x.r.PostFormValue("resolution"), Note: strings.TrimSpace(x.r.PostFormValue("note"))}
	if key := problemOf(&a); key != "" {
		return s.breakNow(x, http.StatusBadRequest, x.T(key))
	}
	id := x.r.PathValue("id")
	if err := x.note(trail.Line{Action: "break_" + a.Step, Subject: id,
		Detail: strings.TrimSpace(a.Owner + " " + a.Resolution + " " + a.Note)}); err != nil {
		return err
	}
	ctx, cancel := x.bounded()
	defer cancel()
	err := s.o.Breaks.Act(ctx, id, a)
	var told *Refusal
	if errors.As(err, &told) {
		text := told.English
		if x.Lang == chinese {
			text = told.Chinese
		}
		return s.breakNow(x, http.StatusConflict, text)
	}
	if err != nil {
		return err
	}
	http.Redirect(x.w, x.r, "/console/breaks/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

// problemOf says what is wrong with a step, empty for nothing.
func problemOf(a *BreakAction) string {
	known := slices.Contains((&breakPage{}).Resolutions(), a.Resolution)
	switch n := utf8.RuneCountInString(a.Note); {
	case n > noteMax || utf8.RuneCountInString(a.Owner) > noteMax || isNumber(a.Note):
		return "break.note_bad"
	case a.Step == StepAssign && a.Owner == "":
		return "break.owner_missing"
	case a.Step == StepComment && n == 0, a.Step == StepResolve && n == 0:
		return "break.note_missing"
	case a.Step == StepResolve && !known:
		return "break.resolution_missing"
	case !slices.Contains([]string{StepAssign, StepComment, StepResolve, StepConfirm, StepReject, StepReopen}, a.Step):
		return "error.form"
	}
	return ""
}

// freezesPage is the card desk.
type freezesPage struct {
	*frame
	Desk *City
	Late int
}

// Part hands a part of the gates to its template.
func (p *freezesPage) Part(key string, rows []coverage.Part) *groupsPart {
	return &groupsPart{p.frame, key, rows}
}

// At is a clock by its address.
func (p *freezesPage) At(c NoticeClock) *NoticeClock { return &c }

// groupsPart is a table of parts of the gates.
type groupsPart struct {
	*frame
	Key  string
	Rows []coverage.Part
}

// freezes serves GET /console/freezes.
func (s *Server) freezes(x *visit) error {
	c, err := x.city()
	if err != nil {
		return err
	}
	p := &freezesPage{frame: x.frame, Desk: c}
	for _, u := range urgencies(c, x.now) {
		if x.ClockClass(u.Clock) == "bad" {
			p.Late++
		}
	}
	return x.render(http.StatusOK, "freezes.html", p)
}

// terminals serves GET /console/terminals.
func (s *Server) terminals(x *visit) error {
	c, err := x.city()
	if err != nil {
		return err
	}
	return x.render(http.StatusOK, "terminals.html", &freezesPage{frame: x.frame, Desk: c})
}

// banksPage is the edge of bank cards.
type banksPage struct {
	*frame
	Bank *BankStatus
}

// banks serves GET /console/banks.
func (s *Server) banks(x *visit) error {
	p := &banksPage{frame: x.frame}
	if s.o.Banks != nil {
		ctx, cancel := x.bounded()
		defer cancel()
		b, err := s.o.Banks.Status(ctx)
		if err != nil && !errors.Is(err, ErrNone) {
			return err
		}
		p.Bank = b
	}
	return x.render(http.StatusOK, "banks.html", p)
}

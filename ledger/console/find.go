package console

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/console/lookup"
	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/ledger/console/trail"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// quickWait is how long a page waits for a search, so that a quick one needs no second.
	quickWait = 120 * time.Millisecond
	// searchDays is the span that the form proposes.
	searchDays = 7
	// purposeMin and purposeMax bound a purpose in characters.
	purposeMin, purposeMax = 4, 200
)

// purposes are the reasons that the form proposes; a detail may be added.
func purposes() []string {
	return []string{"complaint", "reconciliation", "dispute", "settlement", "incident", "audit"}
}

// searchPage is the form.
type searchPage struct {
	*frame
	NoLedger         bool
	Problem          string
	What, From, To   string
	Purpose, Details string
}

// Purposes are the choices.
func (p *searchPage) Purposes() []string { return purposes() }

// search serves GET /console/search.
func (s *Server) search(x *visit) error {
	today := s.o.Today()
	return x.render(http.StatusOK, "search.html", &searchPage{frame: x.frame, NoLedger: s.finder == nil,
		From: txn.DateOf(today.Time().AddDate(0, 0, 1-searchDays), time.UTC, 0).String(), To: today.String()})
}

// searchNow serves POST /console/search: what is looked for stands in the body, never in an
// address, and leads to a job.
func (s *Server) searchNow(x *visit) error {
	if s.finder == nil {
		return refuse(http.StatusNotFound, "error.no_ledger")
	}
	p := &searchPage{frame: x.frame, From: x.r.PostFormValue("from"), To: x.r.PostFormValue("to"),
		Purpose: x.r.PostFormValue("purpose"), Details: x.r.PostFormValue("details")}
	what := strings.TrimSpace(x.r.PostFormValue("what"))
	q, kind, err := queryOf(what)
	if err == nil {
		p.What = what // what may be a card number is not written back
		q.Filter.From, q.Filter.To, err = span(p.From, p.To)
	}
	var purpose string
	if err == nil {
		purpose, err = x.purpose()
	}
	if err == nil {
		err = s.startSearch(x, lookup.Job{Title: x.Word("find", kind) + " " + what, Purpose: purpose}, q)
	}
	var no *refusal
	if errors.As(err, &no) && no.status == http.StatusBadRequest {
		p.Problem = x.T(no.key)
		return x.render(no.status, "search.html", p)
	}
	return err
}

// queryOf tells what a text is: a record id, a request id, a token, or a retrieval reference.
func queryOf(what string) (q lookup.Query, kind string, err error) {
	if at, err := txn.ParsePosition(what); err == nil {
		q.Filter.Place = at
		return q, "record", nil
	}
	if id, err := txn.ParseRequestID(what); err == nil {
		q.Filter.Request = id
		return q, "request", nil
	}
	if len(what) == 2*len(pan.Token{}) {
		if t, err := pan.ParseToken(strings.ToLower(what)); err == nil {
			q.Filter.Card = t
			return q, "token", nil
		}
	}
	if isRRN(what) {
		q.Filter.RRN = what
		return q, "rrn", nil
	}
	if isNumber(what) {
		return q, "", refuse(http.StatusBadRequest, "search.number")
	}
	return q, "", refuse(http.StatusBadRequest, "search.unknown")
}

// isRRN reports whether a text may be field 37 of ISO 8583: twelve letters or digits.
func isRRN(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return false
		}
	}
	return true
}

// isNumber reports whether a text may be a card number, however it is grouped.
func isNumber(s string) bool {
	digits := 0
	for _, c := range s {
		if c >= '0' && c <= '9' {
			digits++
		} else if c != ' ' && c != '-' {
			return false
		}
	}
	return digits >= 13
}

// span reads the dates of a form.
func span(from, to string) (a, b txn.BusinessDate, err error) {
	a, bad1 := txn.ParseBusinessDate(from)
	b, bad2 := txn.ParseBusinessDate(to)
	if bad1 != nil || bad2 != nil {
		return 0, 0, refuse(http.StatusBadRequest, "error.date")
	}
	return a, b, nil
}

// purpose reads why a holder's records are looked at.
func (x *visit) purpose() (string, error) {
	kind, details := x.r.PostFormValue("purpose"), strings.TrimSpace(x.r.PostFormValue("details"))
	known := false
	for _, p := range purposes() {
		known = known || p == kind
	}
	if n := len([]rune(details)); !known || n < purposeMin || n > purposeMax || isNumber(details) {
		return "", refuse(http.StatusBadRequest, "search.purpose")
	}
	return kind + ": " + details, nil
}

// startSearch notes the search, begins it, and leads to its page.
func (s *Server) startSearch(x *visit, job lookup.Job, q lookup.Query) error {
	job.ID, job.Owner = session.Secret()[:16], x.who.Person.Name
	if err := x.note(trail.Line{Action: "search", Subject: job.Title + " " + q.Filter.From.String() + "–" +
		q.Filter.To.String(), Purpose: job.Purpose}); err != nil {
		return err
	}
	err := s.finder.Start(job, q)
	switch {
	case errors.Is(err, lookup.ErrSpan):
		return refuse(http.StatusBadRequest, "search.span")
	case errors.Is(err, lookup.ErrBusy):
		return refuse(http.StatusServiceUnavailable, "search.busy")
	case err != nil:
		return err
	}
	http.Redirect(x.w, x.r, "/console/search/"+job.ID, http.StatusSeeOther)
	return nil
}

// operatorRecords serves POST /console/settlement/{date}/{operator}: its records of the date.
func (s *Server) operatorRecords(x *visit) error {
	date, err := x.date()
	if err != nil {
		return err
	}
	if s.finder == nil {
		return refuse(http.StatusNotFound, "error.no_ledger")
	}
	purpose, err := x.purpose()
	if err != nil {
		return err
	}
	operator := x.r.PathValue("operator")
	q := lookup.Query{Filter: warehouse.Filter{From: date, To: date, Operator: operator}}
	switch x.r.PostFormValue("outcome") {
	case txn.Approved.String():
		q.Filter.Outcome = txn.Approved
	case txn.Declined.String():
		q.Filter.Outcome = txn.Declined
	}
	return s.startSearch(x, lookup.Job{Title: x.F("find.operator", operator), Purpose: purpose}, q)
}

// resultPage is what a search found.
type resultPage struct {
	*frame
	Job lookup.Job
}

// ResultMax is how many records a search returns at most.
func (p *resultPage) ResultMax() int { return lookup.ResultMax }

// result serves GET /console/search/{job}.
func (s *Server) result(x *visit) error {
	job, err := s.job(x)
	if err != nil {
		return err
	}
	if !job.Done {
		x.RefreshAfter = 1
	}
	return x.render(http.StatusOK, "result.html", &resultPage{x.frame, job})
}

// job finds a search of the visitor.
func (s *Server) job(x *visit) (lookup.Job, error) {
	if s.finder == nil {
		return lookup.Job{}, notFound()
	}
	job, ok := s.finder.Get(x.r.Context(), x.r.PathValue("job"), x.who.Person.Name, quickWait)
	if !ok {
		return job, refuse(http.StatusNotFound, "search.gone")
	}
	return job, nil
}

// recordPage is one transaction with its explanation.
type recordPage struct {
	*frame
	Job   lookup.Job
	R     *txn.Record
	Story []string
	// Freezes says that the card desk has a page of the card.
	Freezes bool
}

// record serves GET /console/search/{job}/{record}; each look is noted.
func (s *Server) record(x *visit) error {
	job, err := s.job(x)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(x.r.PathValue("record"))
	if err != nil || n < 1 || n > len(job.Records) {
		return notFound()
	}
	r := &job.Records[n-1]
	if err := x.note(trail.Line{Action: "record", Subject: r.Position.String(), Purpose: job.Purpose}); err != nil {
		return err
	}
	return x.render(http.StatusOK, "record.html", &recordPage{frame: x.frame, Job: job, R: r,
		Story: x.story(r), Freezes: s.o.Freezes != nil && !r.Card.IsZero()})
}

// story explains a record in sentences: what was decided and why, what was charged and why so
// much. The reason is the same that gate, desk and holder are told.
func (f *frame) story(r *txn.Record) []string {
	cur := uint16(r.Currency)
	var all []string
	say := func(key string, values ...any) { all = append(all, f.F(key, values...)) }
	if r.Outcome == txn.Declined {
		say("story.declined", f.Reason(r.Reason.String()))
		if code := r.Response.String(); code != "" {
			say("story.bank_code", code)
		}
		say("story.nothing_moved")
	} else {
		say("story.approved")
	}
	if r.Outcome == txn.Approved && r.Reason != txn.ReasonNone {
		say("story.although", f.Reason(r.Reason.String()))
	}
	if r.EntryStation != "" {
		say("story.journey", r.EntryStation, f.Time(r.EntryAt), f.Or(r.Place.Station), f.Time(r.ServiceAt))
	}
	if r.Outcome != txn.Declined {
		f.storyOfMoney(r, cur, say)
	}
	if !r.Original.IsZero() {
		say("story.original", r.Original.String())
	}
	if r.Offline {
		say("story.offline", f.Word("tac", r.TAC.String()), f.Long(r.ReceivedAt.Time().Sub(r.ServiceAt.Time())))
	}
	if r.ListEpoch != 0 {
		say("story.list", r.ListEpoch)
	}
	if r.Liability != txn.LiabilityNone {
		say("story.liability", f.Word("liability", r.Liability.String()))
	}
	return all
}

// storyOfMoney explains what was charged.
func (f *frame) storyOfMoney(r *txn.Record, cur uint16, say func(string, ...any)) {
	switch {
	case r.Charged < 0:
		say("story.credited", f.Money(-r.Charged, cur))
	case r.FullFare > 0:
		say("story.fare", f.Money(r.FullFare, cur))
		for _, d := range r.Discounts {
			say("story.discount", f.Word("discount", d.Cause), f.Money(d.Amount, cur))
		}
		say("story.charged", f.Money(r.Charged, cur))
	case r.Charged > 0:
		say("story.charged", f.Money(r.Charged, cur))
	}
	if r.Kind.IsTap() || r.Kind == txn.Load || r.Kind == txn.Purchase || r.Kind == txn.Refund {
		say("story.balance", f.Money(r.BalanceAfter, cur))
	}
}

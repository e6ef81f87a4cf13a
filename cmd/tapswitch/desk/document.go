package desk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// document is an account as the gate tells it: no numbers, no name.
type document struct {
	Unit         string        `json:"unit"`
	Opened       string        `json:"opened"`
	Closed       string        `json:"closed"`
	ExpiresOn    string        `json:"expires_on"`
	BankSince    string        `json:"bank_since"`
	Rider        rider         `json:"rider"`
	Carriers     []carrier     `json:"carriers"`
	Former       []former      `json:"former"`
	Functions    []function    `json:"functions"`
	Restrictions []restriction `json:"restrictions"`
	Cases        []openCase    `json:"cases"`
	Ended        []endedCase   `json:"ended"`
	Fees         []fee         `json:"fees"`
	Consents     []consent     `json:"consents"`
	Trust        trust         `json:"trust"`
}

type rider struct{ Category, Source, Until string }

type trust struct {
	Widen                            int64
	Purpose, Source, Decision, Until string
}

type carrier struct {
	Token   string `json:"token"`
	Last4   string `json:"last4"`
	Kind    string `json:"kind"`
	Status  string `json:"status"`
	Family  string `json:"family"`
	BoundAt string `json:"bound_at"`
	EndsAt  string `json:"ends_at"`
	Case    uint32 `json:"case"`
}

type former struct {
	Token, Last4, Kind, Status, At, Successor string
}

type function struct {
	App      []string `json:"app"`
	OpenedAt string   `json:"opened_at"`
	ClosedAt string   `json:"closed_at"`
}

type restriction struct {
	Reason    string   `json:"reason"`
	Scope     []string `json:"scope"`
	Case      uint32   `json:"case"`
	Received  string   `json:"received"`
	Since     string   `json:"since"`
	Effective string   `json:"effective"`
	LapsesAt  string   `json:"lapses_at"`
	Closed    bool     `json:"closed"`
	Actor     string   `json:"actor"`
	Channel   string   `json:"channel"`
	Form      string   `json:"form"`
	BankTold  bool     `json:"bank_told"`
	Fault     string   `json:"fault"`
	By        string   `json:"by"`
	Outlet    string   `json:"outlet"`
	Decision  string   `json:"decision"`
}

type openCase struct {
	No       uint32   `json:"no"`
	Kind     string   `json:"kind"`
	State    string   `json:"state"`
	Received string   `json:"received"`
	Due      string   `json:"due"`
	Owner    string   `json:"owner"`
	Ground   string   `json:"ground"`
	Carrier  string   `json:"carrier"`
	Next     string   `json:"next"`
	Left     []string `json:"left"`
	Waived   []string `json:"waived"`
	Decision string   `json:"decision"`
}

type endedCase struct {
	No                    uint32
	Kind, State, From, At string
}

type fee struct {
	No           uint32
	Event, State string
	Case         uint32
	Amount       int64
	Outlet, At   string
}

type consent struct {
	No                               uint32
	Party, Purpose, Until, Withdrawn string
}

// found is the answer to a question for an account.
type found struct {
	Account  string
	Document document
}

// done is the answer to a command.
type done struct {
	ID, Step, Account string
	Case              uint32
	Replay            bool
	Left              int
	Document          document
}

func (doc *document) open(no uint32) *openCase {
	i := slices.IndexFunc(doc.Cases, func(k openCase) bool { return k.No == no })
	if i < 0 {
		return nil
	}
	return &doc.Cases[i]
}

// last4 returns the masked number of a carrier, living or dead.
func (doc *document) last4(token string) string {
	for i := range doc.Carriers {
		if doc.Carriers[i].Token == token {
			return doc.Carriers[i].Last4
		}
	}
	for i := range doc.Former {
		if doc.Former[i].Token == token {
			return doc.Former[i].Last4
		}
	}
	return ""
}

// done tells a command's outcome and what comes next.
func (p *page) done(a *done) {
	state := "done"
	if a.Replay {
		state = "done before, under the same id"
	}
	p.line("%s: %s", a.Step, state)
	rows := [][]string{{"account", a.Account}, {"command id", a.ID}}
	if a.Case != 0 {
		rows = append(rows, []string{"case", strconv.Itoa(int(a.Case))})
	}
	p.table(rows)
	if a.Left > 0 {
		p.line("  %d more steps are carried out in the background", a.Left)
	}
	if next := a.next(); next != "" {
		p.line("  next: %s", next)
	}
	p.document(&a.Document)
}

// next says what a case waits for.
func (a *done) next() string {
	k := a.Document.open(a.Case)
	if k == nil {
		return ""
	}
	what := "renew"
	if k.Kind == "replacement" {
		what = "replace"
	}
	at := fmt.Sprintf("%d --account %s", k.No, a.Account)
	switch {
	case k.State == "waiting":
		return "a second person: tapswitch desk confirm " + at
	case k.Kind == "application":
		return "when it is handed out: tapswitch desk do issue_card --set case=" + at
	case k.Kind == "cancellation":
		if len(k.Left) > 0 {
			return "settle " + words(k.Left) + ", then: tapswitch desk cancel complete " + at
		}
		return "tapswitch desk cancel complete " + at
	case k.Kind != "replacement" && k.Kind != "renewal":
		return ""
	case k.State == "received":
		return "tapswitch desk " + what + " accept " + at
	case k.State == "made":
		return "when it is handed out: tapswitch desk " + what + " issue " + at
	default:
		return "with the new card: tapswitch desk " + what + " make " + at + " --new -"
	}
}

// document tells an account.
func (p *page) document(doc *document) {
	p.head("ACCOUNT")
	rows := [][]string{{"opened", moment(doc.Opened)}, {"valid to", doc.ExpiresOn}}
	for name, value := range map[string]string{"closed": moment(doc.Closed), "unit": doc.Unit,
		"bank function since": moment(doc.BankSince)} {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if doc.Rider.Category != "" {
		rows = append(rows, []string{"rider", strings.TrimSpace(doc.Rider.Category + " " +
			doc.Rider.Source)})
	}
	if t := &doc.Trust; t.Widen != 0 {
		rows = append(rows, []string{"trust flag", fmt.Sprintf("%s yuan more, to %s, by %s %s", yuan(t.Widen), t.Until,
			t.Source, t.Decision)})
	}
	rows = append(rows, []string{"applications", doc.applications()})
	slices.SortStableFunc(rows[2:], func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	p.table(rows)
	p.carriers(doc)
	p.inForce(doc)
	p.cases(doc)
	p.fees(doc)
}

func (doc *document) applications() string {
	var open []string
	for _, f := range doc.Functions {
		if f.ClosedAt == "" {
			open = append(open, f.App...)
		}
	}
	return words(open)
}

func (p *page) carriers(doc *document) {
	rows := [][]string{{"NUMBER", "KIND", "STATUS", "SINCE", "SUCCESSOR", "TOKEN"}}
	for i := range doc.Carriers {
		c := &doc.Carriers[i]
		rows = append(rows, []string{c.Last4, c.Kind, c.Status, moment(c.BoundAt), "", c.Token})
	}
	for i := range doc.Former {
		f := &doc.Former[i]
		rows = append(rows, []string{f.Last4, f.Kind, f.Status, moment(f.At),
			doc.last4(f.Successor), f.Token})
	}
	p.list("CARDS", "none", rows)
}

// inForce tells what is in force, since when, and why.
func (p *page) inForce(doc *document) {
	if len(doc.Restrictions) == 0 {
		return
	}
	p.head("IN FORCE")
	for i := range doc.Restrictions {
		r := &doc.Restrictions[i]
		p.line("  %s, %s, since %s", r.Reason, scope(r.Scope), moment(r.Since))
		p.line("    case %d, taken down by %s%s; received %s", r.Case, r.By, inBrackets(r.Outlet),
			moment(r.Received))
		p.line("    %s", r.why())
		effective := moment(r.Effective)
		if effective == "" {
			effective = "not yet on every card"
		}
		p.line("    effective in the switch: %s", effective)
		if r.LapsesAt != "" {
			p.line("    lapses %s unless the written report comes", moment(r.LapsesAt))
		}
		if r.Closed {
			p.line("    can never be released: a procedure has closed it")
		}
	}
}

func scope(apps []string) string {
	if len(apps) == 0 || apps[0] == "all" {
		return "all applications"
	}
	return words(apps)
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func (r *restriction) why() string {
	var parts []string
	for _, s := range []struct{ name, value string }{{"by ", r.Actor}, {"through ", r.Channel}, {"",
		r.Form},
		{"no. ", r.Decision}, {"finding: ", r.Fault}} {
		if s.value != "" {
			parts = append(parts, s.name+s.value)
		}
	}
	if r.BankTold {
		parts = append(parts, "told to report to the bank")
	}
	return strings.Join(parts, ", ")
}

func (p *page) cases(doc *document) {
	if len(doc.Cases)+len(doc.Ended) == 0 {
		return
	}
	rows := [][]string{{"CASE", "KIND", "STATE", "RECEIVED", "DUE", "OWNER"}}
	for i := range doc.Cases {
		k := &doc.Cases[i]
		rows = append(rows, []string{strconv.Itoa(int(k.No)), k.Kind, k.State, moment(k.Received),
			moment(k.Due), k.Owner})
	}
	for _, k := range doc.Ended {
		rows = append(rows, []string{strconv.Itoa(int(k.No)), k.Kind, k.State, moment(k.From),
			"ended " + moment(k.At), ""})
	}
	p.list("CASES", "none", rows)
}

func (p *page) fees(doc *document) {
	if len(doc.Fees) == 0 {
		return
	}
	rows := [][]string{{"FEE", "FOR", "YUAN", "STATE", "CASE", "AT"}}
	for _, f := range doc.Fees {
		rows = append(rows, []string{strconv.Itoa(int(f.No)), f.Event, yuan(f.Amount), f.State,
			strconv.Itoa(int(f.Case)), moment(f.At)})
	}
	p.list("FEES", "none", rows)
}

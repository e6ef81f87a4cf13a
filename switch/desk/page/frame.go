package page

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/desk/coverage"
)

// frame is what every page has: language, clock, and the ways to say things.
type frame struct {
	Lang    string
	Refresh bool
	City    Name
	Path    string

	now     time.Time
	zone    *time.Location
	parties map[string]Name
	words   map[string]Name
}

// The languages.
const (
	chinese = "zh"
	english = "en"
)

// frame reads how a page is wanted: ?lang= first, then what the browser prefers.
func (s *server) frame(r *http.Request) *frame {
	q := r.URL.Query()
	f := &frame{Lang: q.Get("lang"), Refresh: q.Get("refresh") != "0", City: s.o.City,
		Path: r.URL.Path, now: s.o.Now(), zone: s.o.Zone, parties: s.o.Parties,
		words: s.words}
	if f.Lang != chinese && f.Lang != english {
		f.Lang = chinese
		if strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), english) {
			f.Lang = english
		}
	}
	return f
}

// HTMLLang is the language for the html element.
func (f *frame) HTMLLang() string {
	if f.Lang == chinese {
		return "zh-CN"
	}
	return english
}

// RefreshSeconds is how often the page refreshes itself.
func (f *frame) RefreshSeconds() int { return refreshSeconds }

// query is the query of a link in a language.
func (f *frame) query(lang string, refresh bool) string {
	if refresh {
		return "?lang=" + lang
	}
	return "?lang=" + lang + "&refresh=0"
}

// Keep is the query that keeps how the page is shown.
func (f *frame) Keep() string { return f.query(f.Lang, f.Refresh) }

// Other is the query of the same page in the other language.
func (f *frame) Other() string {
	if f.Lang == chinese {
		return f.query(english, f.Refresh)
	}
	return f.query(chinese, f.Refresh)
}

// Toggle is the query that stops or starts the refresh.
func (f *frame) Toggle() string { return f.query(f.Lang, !f.Refresh) }

// T returns the text of a key; a key without text is shown as it is, and a test finds it.
func (f *frame) T(key string) string {
	texts, ok := f.words[key]
	if !ok {
		return key
	}
	return f.of(texts)
}

// F is T with values for its verbs.
func (f *frame) F(key string, values ...any) string { return fmt.Sprintf(f.T(key), values...) }

func (f *frame) of(n Name) string {
	if f.Lang == chinese {
		return n.Chinese
	}
	return n.English
}

// Title is the city's name.
func (f *frame) Title() string { return f.of(f.City) }

// Word is the text of a stable word of the API, such as a state or a reason; one that has
// none is shown as it is.
func (f *frame) Word(kind, word string) string {
	if texts, ok := f.words[kind+"."+word]; ok {
		return f.of(texts)
	}
	return word
}

// Words is Word of several.
func (f *frame) Words(kind string, all []string) string {
	out := make([]string, len(all))
	for i, w := range all {
		out[i] = f.Word(kind, w)
	}
	return strings.Join(out, f.T("comma"))
}

// Party is the name of a party.
func (f *frame) Party(id string) string {
	if n, ok := f.parties[id]; ok {
		return f.of(n)
	}
	return id
}

// Or is a text, or a dash where there is none.
func (f *frame) Or(text string) string {
	if text == "" {
		return "—"
	}
	return text
}

// Now is when the page was made.
func (f *frame) Now() string { return f.now.In(f.zone).Format("15:04:05") }

// When is an instant in the city's time: today's by its time alone.
func (f *frame) When(t *time.Time) string {
	if t == nil {
		return "—"
	}
	at, today := t.In(f.zone), f.now.In(f.zone)
	if at.Year() == today.Year() && at.YearDay() == today.YearDay() {
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02 15:04:05")
}

// Machine is an instant for the datetime attribute.
func (f *frame) Machine(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Ago is how long ago an instant was.
func (f *frame) Ago(t *time.Time) string {
	if t == nil {
		return f.T("never")
	}
	return f.F("ago", f.Long(f.now.Sub(*t)))
}

// Long is a length of time in words.
func (f *frame) Long(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return f.F("seconds", int(d.Seconds()))
	case d < 3*time.Hour:
		return f.F("minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return f.F("hours", int(d.Hours()), int(d.Minutes())%60)
	default:
		return f.F("days", int(d.Hours())/24)
	}
}

// Percent is a share, never rounded up to all.
func (f *frame) Percent(covered, total int) string {
	switch {
	case total == 0:
		return "—"
	case covered == total:
		return "100 %"
	}
	return strconv.FormatFloat(float64(covered*1000/total)/10, 'f', 1, 64) + " %"
}

// Minutes is a point of a timeline.
func (f *frame) Minutes(m float64) string { return f.F("minutes", int(m)) }

// Yuan is an amount.
func (f *frame) Yuan(fen int64) string { return fmt.Sprintf("¥%d.%02d", fen/100, max(fen, -fen)%100) }

// cityPage, cardPage and errorPage are what the templates get.
type cityPage struct {
	*frame
	City *cityView
}

// Behind are the gates that are named.
func (p *cityPage) Behind() []coverage.Behind {
	return p.City.Gates.Behind[:min(len(p.City.Gates.Behind), behindMax)]
}

// Unnamed is how many gates are behind and not named.
func (p *cityPage) Unnamed() int { return p.City.Gates.Missing() - len(p.Behind()) }

// Stale reports whether the list has not been confirmed for too long.
func (p *cityPage) Stale() bool {
	at := p.City.Gates.ConfirmedAt
	return at == nil || p.now.Sub(*at) > staleAfter
}

// staleAfter is when a list that nobody has confirmed is called old.
const staleAfter = 30 * time.Second

// LateNow counts the parties that are late and have not acted.
func (p *cityPage) LateNow() (n int) {
	for _, o := range p.City.Notices {
		for i := range o.Clocks {
			if c := &o.Clocks[i]; c.isLate() && c.Effective == nil {
				n++
			}
		}
	}
	return n
}

type cardPage struct {
	*frame
	Card *cardView
}

type errorPage struct {
	*frame
	Code, Text string
}

// noticePart and gatesPart hand a part of a page to a template of its own.
type noticePart struct {
	*frame
	N *notice
	// Card says that the part stands on the card's own page.
	Card bool
}

// Part prepares a notice.
func (f *frame) Part(n *notice, card bool) *noticePart { return &noticePart{f, n, card} }

// gatesPart is where a freeze is effective.
type gatesPart struct {
	*frame
	G *gates
}

// Where prepares the gates.
func (f *frame) Where(g *gates) *gatesPart { return &gatesPart{f, g} }

// Meter is a share as a bar; its words stand beside it.
func (f *frame) Meter(covered, total int) *bar {
	b := &bar{Class: "runs", Label: f.F("covered", covered, total), Filled: "0%"}
	if total > 0 {
		b.Filled = fmt.Sprintf("%.2f%%", 100*float64(covered)/float64(total))
	}
	if covered == total {
		b.Class = "done"
	}
	return b
}

// groupsPart is a table of parts of the gates.
type groupsPart struct {
	*frame
	Key  string
	Rows []coverage.Part
}

// Groups prepares a table.
func (f *frame) Groups(key string, rows []coverage.Part) *groupsPart {
	return &groupsPart{f, key, rows}
}

// Minus is a difference.
func (f *frame) Minus(a, b int) int { return a - b }

// Days is how far back late parties are listed.
func (p *cityPage) Days() int { return lateDays }

// LateBy says how late a party was, or is.
func (p *cityPage) LateBy(l lateParty) string {
	until := p.now
	if l.Effective != nil {
		until = *l.Effective
	}
	if l.Deadline == nil {
		return p.F("late_by", "—")
	}
	return p.F("late_by", p.Long(until.Sub(*l.Deadline)))
}

// Bearer names who bears a transaction.
func (p *cardPage) Bearer(b bearing) string {
	if b.Finding {
		return p.T("bears.holder")
	}
	if b.Party != "" {
		return p.Party(b.Party)
	}
	return p.Word("bears", b.Bears)
}

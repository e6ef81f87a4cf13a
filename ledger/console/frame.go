package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The pages of the menu.
const (
	pageToday      = "today"
	pageDays       = "days"
	pageSettlement = "settlement"
	pageSearch     = "search"
	pageBreaks     = "breaks"
	pageFreezes    = "freezes"
	pageTerminals  = "terminals"
	pageBanks      = "banks"
	pageDownloads  = "downloads"
	pageAudit      = "audit"
	pageHelp       = "help"
)

// MenuItem is a page of the menu, with its access key.
type MenuItem struct {
	Page, Path, Key string
	roles           []string
}

// menu returns the pages in their order.
func menu() []MenuItem {
	return []MenuItem{
		{pageToday, "/console/today", "1", everyone},
		{pageDays, "/console/days", "2", books},
		{pageSettlement, "/console/settlement", "3", books},
		{pageBreaks, "/console/breaks", "4", books},
		{pageSearch, "/console/search", "5", holders},
		{pageFreezes, "/console/freezes", "6", everyone},
		{pageTerminals, "/console/terminals", "7", everyone},
		{pageBanks, "/console/banks", "8", everyone},
		{pageDownloads, "/console/downloads", "9", filing},
		{pageAudit, "/console/audit", "0", auditing},
		{pageHelp, "/console/help", "h", everyone},
	}
}

// frame is what every page has: its language and how to write things in it.
type frame struct {
	Lang, Page, Path string
	CSRF             string
	Who              string
	Menu             []MenuItem
	// RefreshAfter reloads a page that waits for something, in seconds; 0 for none.
	RefreshAfter int

	person session.Person
	s      *Server
	now    time.Time
}

// frame makes the frame of a request: the language is asked for, remembered, or the browser's.
func (s *Server) frame(w http.ResponseWriter, r *http.Request) *frame {
	f := &frame{Path: r.URL.EscapedPath(), s: s, now: s.o.Now()}
	asked := r.URL.Query().Get("lang")
	if known(asked) {
		f.Lang = asked
		http.SetCookie(w, &http.Cookie{Name: cookieLang, Value: asked, Path: "/console", HttpOnly: true,
			MaxAge: int(langKeep.Seconds()), SameSite: http.SameSiteStrictMode, Secure: s.o.Secure || r.TLS != nil})
		return f
	}
	if c, err := r.Cookie(cookieLang); err == nil && known(c.Value) {
		f.Lang = c.Value
		return f
	}
	f.Lang = preferred(r.Header.Get("Accept-Language"))
	return f
}

func known(lang string) bool { return lang == chinese || lang == english }

// preferred returns the first language of a browser's list that there is; Chinese when none.
func preferred(accepted string) string {
	best, weight := chinese, -1.0
	for _, part := range strings.Split(accepted, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		name, _, _ = strings.Cut(strings.ToLower(name), "-")
		q := 1.0
		if text, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			q, _ = strconv.ParseFloat(text, 64)
		}
		if known(name) && q > weight {
			best, weight = name, q
		}
	}
	return best
}

// enter fills in what a page for a signed-in person has.
func (x *visit) enter(page string) {
	x.Page, x.CSRF, x.Who, x.person = page, x.who.CSRF, x.who.Person.Name, x.who.Person
	for _, m := range menu() {
		if x.who.Person.HasAny(m.roles) {
			x.Menu = append(x.Menu, m)
		}
	}
}

// May reports whether the person may do something: a name of who.
func (f *frame) May(what string) bool {
	roles, ok := map[string][]string{"holders": holders, "work": working, "books": books,
		"files": filing}[what]
	return ok && f.person.HasAny(roles)
}

// HTMLLang is the language for the html element.
func (f *frame) HTMLLang() string {
	if f.Lang == chinese {
		return "zh-CN"
	}
	return english
}

// OtherLang is the language that a page is not in.
func (f *frame) OtherLang() string {
	if f.Lang == chinese {
		return english
	}
	return chinese
}

// OtherHTMLLang is OtherLang for the lang attribute.
func (f *frame) OtherHTMLLang() string {
	if f.Lang == chinese {
		return english
	}
	return "zh-CN"
}

// T returns the text of a key; a key without text is shown as it is, and a test finds it.
func (f *frame) T(key string) string {
	if text, ok := f.s.words[f.Lang][key]; ok {
		return text
	}
	return key
}

// F is T with values for its verbs.
func (f *frame) F(key string, values ...any) string { return fmt.Sprintf(f.T(key), values...) }

// Word is the text of a stable word, such as a state; one that has none is shown as it is.
func (f *frame) Word(kind, word string) string {
	if text, ok := f.s.words[f.Lang][kind+"."+word]; ok {
		return text
	}
	return word
}

// Reason is why something was declined, in words.
func (f *frame) Reason(code string) string {
	r, err := txn.ParseReason(code)
	if err != nil {
		return code
	}
	if f.Lang == chinese {
		return r.Text().Chinese
	}
	return r.Text().English
}

func (f *frame) of(n Name) string {
	if f.Lang == chinese {
		return cmp.Or(n.Chinese, n.English)
	}
	return cmp.Or(n.English, n.Chinese)
}

// CityName is the scheme's name.
func (f *frame) CityName() string { return f.of(f.s.o.City) }

// Party is the name of a party.
func (f *frame) Party(id string) string {
	if n, ok := f.s.o.Parties[id]; ok {
		return f.of(n)
	}
	return id
}

// Or is a text, or a dash where there is none.
func (f *frame) Or(text string) string { return cmp.Or(text, "—") }

// Count is a number with its thousands apart.
func (f *frame) Count(n any) string {
	digits := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "−", digits[1:]
	}
	return sign + grouped(digits)
}

// grouped sets commas between thousands.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// twoDecimals are the currencies that the scheme meets whose minor unit is a hundredth.
func twoDecimals(currency uint16) bool {
	return slices.Contains([]uint16{uint16(txn.CNY), 344, 446, 702, 840, 978}, currency)
}

// Money is an amount: "¥1,204.50", and the ISO number where it is not yuan.
func (f *frame) Money(amount, of any) string {
	minor, currency := toInt64(amount), uint16(toInt64(of))
	sign := ""
	magnitude := uint64(minor)
	if minor < 0 {
		sign, magnitude = "−", -magnitude
	}
	text := grouped(strconv.FormatUint(magnitude, 10))
	if twoDecimals(currency) {
		text = fmt.Sprintf("%s.%02d", grouped(strconv.FormatUint(magnitude/100, 10)), magnitude%100)
	}
	switch currency {
	case uint16(txn.CNY):
		return sign + "¥" + text
	case 0:
		return sign + text
	}
	return sign + text + " (" + fmt.Sprintf("%03d", currency) + ")"
}

// toInt64 takes the integers of templates.
func toInt64(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case txn.Minor:
		return int64(n)
	case int:
		return int64(n)
	case uint16:
		return int64(n)
	case txn.Currency:
		return int64(n)
	}
	return 0
}

// Time is an instant in the scheme's time: today's by its time alone.
func (f *frame) Time(v any) string {
	t, ok := instant(v)
	if !ok {
		return "—"
	}
	at, today := t.In(f.s.o.Zone), f.now.In(f.s.o.Zone)
	if at.Year() == today.Year() && at.YearDay() == today.YearDay() {
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02 15:04:05")
}

// Machine is an instant for the datetime attribute.
func (f *frame) Machine(v any) string {
	t, ok := instant(v)
	if !ok {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// instant takes the instants of templates; none is false.
func instant(v any) (t time.Time, ok bool) {
	switch at := v.(type) {
	case time.Time:
		return at, !at.IsZero()
	case *time.Time:
		if at == nil {
			return t, false
		}
		return *at, true
	case txn.Millis:
		return at.Time(), at != 0
	}
	return t, false
}

// Long is a length of time in words.
func (f *frame) Long(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return f.F("long.seconds", int(d.Seconds()))
	case d < 3*time.Hour:
		return f.F("long.minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return f.F("long.hours", int(d.Hours()), int(d.Minutes())%60)
	default:
		return f.F("long.days", int(d.Hours())/24)
	}
}

// Ago is how long ago an instant was.
func (f *frame) Ago(v any) string {
	t, ok := instant(v)
	if !ok {
		return f.T("never")
	}
	return f.F("ago", f.Long(f.now.Sub(t)))
}

// Short is a latency: "0.42 ms".
func (f *frame) Short(d time.Duration) string {
	switch {
	case d <= 0:
		return "—"
	case d < time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64) + " ms"
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// Percent is a share with one decimal, never rounded up to all nor down to nothing.
func (f *frame) Percent(part, whole any) string {
	p, w := toInt64(part), toInt64(whole)
	switch {
	case w == 0:
		return "—"
	case p == w:
		return "100 %"
	case p > 0 && p*1000/w == 0:
		return "< 0.1 %"
	}
	return strconv.FormatFloat(float64(p*1000/w)/10, 'f', 1, 64) + " %"
}

// Clock is the time of day of an instant, for a column beside its date.
func (f *frame) Clock(at txn.Millis) string {
	if at == 0 {
		return ""
	}
	return at.Time().In(f.s.o.Zone).Format("15:04:05")
}

// Now is when the page was made.
func (f *frame) Now() string { return f.now.In(f.s.o.Zone).Format("2006-01-02 15:04:05") }

// Minus is a difference.
func (f *frame) Minus(a, b int) int { return a - b }

// Seg is a name as one segment of a path.
func (f *frame) Seg(name string) string { return url.PathEscape(name) }

// Plus counts from one what a template counts from zero.
func (f *frame) Plus(i int) int { return i + 1 }

// Negate is an amount the other way.
func (f *frame) Negate(amount txn.Minor) txn.Minor { return -amount }

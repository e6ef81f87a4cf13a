package route_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var links = []string{"a1", "a2", "b1", "c1", "net"}

// zone is UTC+8 without a file of zones.
var zone = time.FixedZone("CST", 8*3600)

// saturday is a Saturday at midnight.
var saturday = time.Date(2026, 11, 21, 0, 0, 0, 0, zone)

func card(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func table(t testing.TB, rules ...route.Rule) *route.Table {
	t.Helper()
	got, err := route.New(rules, route.Options{Links: links, Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// to returns a rule that leads to link.
func to(name, link string, bins ...string) route.Rule {
	return route.Rule{Name: name, BINs: bins, Issuer: "issuer-" + name, Links: []string{link}}
}

func chosen(t testing.TB, r *route.Table, q route.Query) string {
	t.Helper()
	c, ok := r.Route(q)
	if !ok {
		return ""
	}
	return c.Rule
}

func TestLongestBIN(t *testing.T) {
	r := table(t, to("all", "net"), to("6", "net", "6"), to("bank a", "a1", "622600", "621700"),
		to("range", "b1", "622601-622604", "62260500-62260509"), to("inner", "c1", "622602"),
		to("long", "a2", "622600123456"))
	for digits, want := range map[string]string{
		"6226000000000003":     "bank a",
		"6217000000000007":     "bank a",
		"6226010000000002":     "range",
		"6226020000000001":     "inner",
		"6226040000000009":     "range",
		"6226050000000008":     "range",
		"6226050900000000":     "range",
		"6226051000000000":     "6",
		"6226001234560000003":  "long",
		"6226001234550000003":  "bank a",
		"62260012":             "bank a",
		"4000000000000002":     "all",
		"00000000":             "all",
		"99999999999999999999": "all",
	} {
		if got := chosen(t, r, route.Query{PAN: card(t, digits), Class: route.Purchase}); got != want {
			t.Errorf("%s goes to %q, want %q", digits, got, want)
		}
	}
	if got := chosen(t, r, route.Query{}); got != "all" {
		t.Errorf("no card number goes to %q", got)
	}
}

// A number that is shorter than a BIN is not in it, even where it continues with zeros.
func TestShortNumber(t *testing.T) {
	r := table(t, to("long", "a1", "622600000000"), to("short", "b1", "6226000"))
	if got := chosen(t, r, route.Query{PAN: card(t, "62260000")}); got != "short" {
		t.Fatalf("went to %q", got)
	}
	if got := chosen(t, r, route.Query{PAN: card(t, "622600000000")}); got != "long" {
		t.Fatalf("went to %q", got)
	}
}

func TestOrderWithinABIN(t *testing.T) {
	plain, first := to("plain", "net", "6226"), to("first", "a1", "6226")
	second := to("second", "a1", "6226")
	first.AmountMax, second.AmountMin = 1000, 500
	family := to("family", "b1", "6226")
	family.Family = "bank"
	both := to("both", "c1", "6226")
	both.Classes, both.AmountMax = []route.Class{route.Refund}, 400
	r := table(t, plain, second, first, both, family)
	bank, other := card(t, "6226000000000005"), card(t, "6226000000000006")
	for _, c := range []struct {
		card   pan.Number
		class  route.Class
		amount txn.Minor
		want   string
	}{
		{bank, route.Refund, 100, "family"},
		{other, route.Refund, 100, "both"},
		{other, route.Refund, 400, "both"},
		{other, route.Refund, 401, "first"},
		{other, route.Purchase, 100, "first"},
		{other, route.Purchase, 499, "first"},
		{other, route.Purchase, 500, "second"},
		{other, route.Purchase, 1001, "second"},
		{other, route.Purchase, -1, "plain-negative"},
	} {
		got := chosen(t, r, route.Query{PAN: c.card, Class: c.class, Amount: c.amount})
		if c.amount < 0 {
			if got != "" {
				t.Errorf("a negative amount went to %q", got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%v of %d went to %q, want %q", c.class, c.amount, got, c.want)
		}
	}
}

func TestMidnight(t *testing.T) {
	night, late, all := to("night", "a1"), to("late", "b1"), to("all", "net")
	night.From, night.To = 22*time.Hour+30*time.Minute, 2*time.Hour
	night.Weekdays = []time.Weekday{time.Friday, time.Saturday}
	late.From, late.To = 20*time.Hour, 24*time.Hour
	r := table(t, night, late, all)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "night"}, // still Friday's
		{2*time.Hour - time.Nanosecond, "night"},
		{2 * time.Hour, "all"},
		{20*time.Hour - time.Nanosecond, "all"},
		{20 * time.Hour, "late"},
		{22*time.Hour + 29*time.Minute, "late"},
		{22*time.Hour + 30*time.Minute, "night"},
		{25 * time.Hour, "night"}, // Saturday's
		{26 * time.Hour, "all"},
		{47 * time.Hour, "late"}, // Sunday has none
		{49 * time.Hour, "all"},
		{-time.Nanosecond, "night"},
		{-2 * time.Hour, "late"},
		{-24*time.Hour + time.Minute, "all"}, // Thursday has none
	} {
		at := saturday.Add(c.after)
		for _, at := range []time.Time{at, at.UTC()} {
			if got := chosen(t, r, route.Query{At: at}); got != c.want {
				t.Errorf("%v goes to %q, want %q", at, got, c.want)
			}
		}
	}
}

func TestChoice(t *testing.T) {
	rule := to("a", "a1", "6226")
	rule.Links = []string{"a2", "a1"}
	rule.StandIn = &route.StandIn{Classes: []route.Class{route.Purchase}, AmountMax: 100, CountMax: 2,
		TotalMax: 150}
	rules := []route.Rule{rule}
	r := table(t, rules...)
	rule.Links[0], rule.StandIn.Classes[0], rule.StandIn.AmountMax = "gone", route.Refund, 1e6
	c, ok := r.Route(route.Query{PAN: card(t, "6226000000000003"), Class: route.Purchase})
	if !ok || c.Issuer != "issuer-a" || strings.Join(c.Links, " ") != "a2 a1" ||
		c.StandIn.AmountMax != 100 || c.StandIn.Classes[0] != route.Purchase {
		t.Fatalf("got %+v, %v", c, ok)
	}
	if c, ok := r.Route(route.Query{PAN: card(t, "4000000000000002")}); ok {
		t.Fatalf("a card without a rule goes to %+v", c)
	}
}

func TestStandIn(t *testing.T) {
	s := &route.StandIn{Classes: []route.Class{route.Purchase, route.Advice}, AmountMax: 100,
		CountMax: 3, TotalMax: 250}
	for _, c := range []struct {
		class  route.Class
		amount txn.Minor
		count  int
		total  txn.Minor
		want   bool
	}{
		{route.Purchase, 100, 0, 0, true},
		{route.Advice, 0, 2, 250, true},
		{route.Purchase, 101, 0, 0, false},
		{route.Purchase, 1, 3, 0, false},
		{route.Purchase, 100, 2, 150, true},
		{route.Purchase, 100, 2, 151, false},
		{route.Purchase, 0, 1, 251, false},
		{route.Refund, 1, 0, 0, false},
		{route.ClassNone, 1, 0, 0, false},
		{route.Purchase, -1, 0, 0, false},
		{route.Purchase, 1, -1, 0, false},
		{route.Purchase, 1, 0, -1, false},
		{route.Purchase, 100, 0, math.MaxInt64, false},
		{route.Purchase, math.MaxInt64, 0, 200, false},
	} {
		ok, why := s.Allows(c.class, c.amount, c.count, c.total)
		if ok != c.want || (why == "") != ok {
			t.Errorf("%+v: %v, %q", c, ok, why)
		}
	}
	var none *route.StandIn
	if ok, why := none.Allows(route.Purchase, 1, 0, 0); ok || why == "" {
		t.Error("a nil StandIn allows a purchase")
	}
	if ok, _ := new(route.StandIn).Allows(route.Purchase, 0, 0, 0); ok {
		t.Error("the zero StandIn allows a purchase")
	}
}

// with returns a rule with a change.
func with(change func(*route.Rule)) []route.Rule {
	r := to("r", "a1", "6226")
	change(&r)
	return []route.Rule{r}
}

func TestRefused(t *testing.T) {
	type (
		rule    = route.Rule
		standIn = route.StandIn
		class   = route.Class
		words   = []string
	)
	stand := func(change func(*route.StandIn)) []route.Rule {
		s := &route.StandIn{Classes: []class{route.Purchase}, AmountMax: 1, CountMax: 1,
			TotalMax: 1}
		change(s)
		return with(func(r *route.Rule) { r.StandIn = s })
	}
	small := to("small", "a1", "6226")
	small.AmountMax = 10
	smaller := to("smaller", "a1", "6226")
	smaller.AmountMax = 9
	night, evening := to("night", "a1"), to("evening", "a1")
	night.From, night.To = 20*time.Hour, 4*time.Hour
	evening.From, evening.To = 21*time.Hour, 24*time.Hour
	for what, c := range map[string]struct {
		rules []route.Rule
		names []string
	}{
		"no name": {with(func(r *rule) { r.Name = "" }), words{"number 1"}},
		"name twice": {[]rule{to("r", "a1", "1"), to("r", "a1", "2")},
			words{"number 2", `"r"`}},
		"unknown link": {with(func(r *rule) { r.Links = []string{"a1", "x9"} }),
			words{`"r"`, `"x9"`}},
		"link twice": {with(func(r *rule) { r.Links = []string{"a1", "a1"} }),
			words{`"a1" twice`}},
		"no link":     {with(func(r *rule) { r.Links = nil }), words{`"r"`, "no link"}},
		"many links":  {with(func(r *rule) { r.Links = make([]string, 17) }), words{"16"}},
		"no issuer":   {with(func(r *rule) { r.Issuer = "" }), words{`"r"`, "issuer"}},
		"family":      {with(func(r *rule) { r.Family = "visa" }), words{`"visa"`}},
		"class":       {with(func(r *rule) { r.Classes = []class{200} }), words{"200"}},
		"class none":  {with(func(r *rule) { r.Classes = []class{0} }), words{"class"}},
		"class twice": {with(func(r *rule) { r.Classes = []class{1, 1} }), words{"twice"}},
		"length 7":    {with(func(r *rule) { r.PANLengths = []int{7} }), words{"7 digits"}},
		"length 21":   {with(func(r *rule) { r.PANLengths = []int{21} }), words{"21 digits"}},
		"amounts": {with(func(r *rule) { r.AmountMin, r.AmountMax = 2, 1 }),
			words{"2 and 1"}},
		"negative": {with(func(r *rule) { r.AmountMin = -1 }), words{"-1"}},
		"huge":     {with(func(r *rule) { r.AmountMax = math.MaxInt64 }), words{`"r"`}},
		"same times": {with(func(r *rule) { r.From, r.To = time.Hour, time.Hour }),
			words{"no time"}},
		"seconds":    {with(func(r *rule) { r.To = time.Second }), words{"1s"}},
		"after 24 h": {with(func(r *rule) { r.To = 25 * time.Hour }), words{"25h"}},
		"from 24 h":  {with(func(r *rule) { r.From = 24 * time.Hour }), words{"24h"}},
		"weekday":    {with(func(r *rule) { r.Weekdays = []time.Weekday{7} }), words{"7"}},
		"empty BIN":  {with(func(r *rule) { r.BINs = []string{""} }), words{"0 digits"}},
		"13 digits": {with(func(r *rule) { r.BINs = []string{"6226000000000"} }),
			words{"13 digits"}},
		"letter": {with(func(r *rule) { r.BINs = []string{"62a6"} }), words{"character 3"}},
		"range lengths": {with(func(r *rule) { r.BINs = []string{"622-6229"} }),
			words{"lengths"}},
		"range turned": {with(func(r *rule) { r.BINs = []string{"6229-6221"} }),
			words{"ends before"}},
		"three ends": {with(func(r *rule) { r.BINs = []string{"1-2-3"} }),
			words{"no digit"}},
		"own overlap": {with(func(r *rule) { r.BINs = []string{"6226", "622600"} }),
			words{"overlap"}},
		"same twice": {[]rule{to("r", "a1", "6226"), to("s", "b1", "6226")},
			words{`"r"`, `"s"`, "6226"}},
		"no BIN twice": {[]rule{to("r", "a1"), to("s", "b1")}, words{`"r"`, `"s"`, "any"}},
		"prefix, range": {[]rule{to("r", "a1", "6226"), to("s", "b1", "622600-622699")},
			words{`"s"`}},
		"crossing": {[]rule{to("r", "a1", "6220-6225"), to("s", "b1", "6223-6229")},
			words{`"r"`, `"s"`, "6223-6229"}},
		"never reached":  {[]rule{small, smaller}, words{`"small"`, `"smaller"`}},
		"night, evening": {[]rule{night, evening}, words{`"night"`, `"evening"`}},
		"no class":       {stand(func(s *standIn) { s.Classes = nil }), words{"stand-in"}},
		"balance": {stand(func(s *standIn) { s.Classes = []class{route.Balance} }),
			words{"balance"}},
		"load":           {stand(func(s *standIn) { s.Classes = []class{route.Load} }), words{"load"}},
		"no amount":      {stand(func(s *standIn) { s.AmountMax = 0 }), words{"limit"}},
		"no count":       {stand(func(s *standIn) { s.CountMax = 0 }), words{"limit"}},
		"no total":       {stand(func(s *standIn) { s.TotalMax = 0 }), words{"limit"}},
		"total":          {stand(func(s *standIn) { s.AmountMax = 2 }), words{"2", "1"}},
		"endless":        {stand(func(s *standIn) { s.TotalMax = math.MaxInt64 }), words{"total"}},
		"stand-in class": {stand(func(s *standIn) { s.Classes = []class{99} }), words{"99"}},
	} {
		_, err := route.New(c.rules, route.Options{Links: links, Zone: zone})
		if !errors.Is(err, route.ErrRule) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, name := range c.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %q does not name %q", what, err, name)
			}
		}
	}
	timed := with(func(r *route.Rule) { r.To = time.Hour })
	if _, err := route.New(timed, route.Options{Links: links}); !errors.Is(err, route.ErrRule) {
		t.Errorf("times without a zone: %v", err)
	}
}

// What is not a contradiction is accepted: the first refuses less than the second, or the two
// never hold at once.
func TestNotRefused(t *testing.T) {
	small, smaller := to("small", "a1", "6226"), to("smaller", "a1", "6226")
	small.AmountMax, smaller.AmountMax = 10, 9
	table(t, smaller, small)
	refunds := to("refunds", "a1", "6226")
	refunds.Classes = []route.Class{route.Refund}
	table(t, to("plain", "a1", "6226"), refunds)
	friday, saturday := to("friday", "a1"), to("saturday", "a1")
	friday.Weekdays, saturday.Weekdays = []time.Weekday{time.Friday}, []time.Weekday{time.Saturday}
	table(t, friday, saturday, to("touching", "a1", "6220-6222"), to("next", "a1", "6223-6225"))
	table(t)
}

func TestLimits(t *testing.T) {
	o := route.Options{Links: links}
	nested := func(n int) []route.Rule {
		rules := make([]route.Rule, n)
		for i := range rules {
			rules[i] = to(fmt.Sprint(i), "a1", fmt.Sprintf("%06d-%06d", 100000+i, 999999-i))
		}
		return rules
	}
	if _, err := route.New(nested(route.CandidatesMax), o); err != nil {
		t.Errorf("as many nested BINs as allowed: %v", err)
	}
	if _, err := route.New(nested(route.CandidatesMax+1), o); !errors.Is(err, route.ErrRule) {
		t.Errorf("one nested BIN too many: %v", err)
	}
	same := make([]route.Rule, route.CandidatesMax+1)
	for i := range same {
		same[i] = to(fmt.Sprint(i), "a1", "6226")
		same[i].AmountMin, same[i].AmountMax = txn.Minor(i), txn.Minor(i+1)
	}
	if _, err := route.New(same, o); !errors.Is(err, route.ErrRule) {
		t.Errorf("one rule too many of a BIN: %v", err)
	}
	if _, err := route.New(same[1:], o); err != nil {
		t.Errorf("as many rules of a BIN as allowed: %v", err)
	}
	if _, err := route.New(make([]route.Rule, route.RulesMax+1), o); !errors.Is(err, route.ErrRule) {
		t.Errorf("one rule too many: %v", err)
	}
	bins := make([]string, route.BINsMax)
	for i := range bins {
		bins[i] = fmt.Sprintf("%06d", i)
	}
	if _, err := route.New([]route.Rule{to("r", "a1", bins...)}, o); !errors.Is(err, route.ErrRule) {
		t.Errorf("one BIN too many: %v", err)
	}
	if _, err := route.New([]route.Rule{to("r", "a1", bins[1:]...)}, o); err != nil {
		t.Errorf("as many BINs as allowed: %v", err)
	}
}

func TestExplain(t *testing.T) {
	refunds, night := to("refunds", "a1", "622600123456"), to("night", "b1", "6226")
	refunds.Classes = []route.Class{route.Refund}
	night.From, night.To = 22*time.Hour, 2*time.Hour
	plain := to("plain", "net", "6226", "621700-621799")
	plain.StandIn = &route.StandIn{Classes: []route.Class{route.Purchase}, AmountMax: 100, CountMax: 2,
		TotalMax: 150}
	r := table(t, refunds, night, plain)
	q := route.Query{PAN: card(t, "6226001234567896"), Class: route.Purchase, Amount: 99,
		At: saturday.Add(12 * time.Hour)}
	want := `card ************7896 (16 digits), purchase, amount 99, Sat 12:00 CST
1. "refunds", BIN 622600..: not for this class of transaction
2. "night", BIN 6226: not at this time
3. "plain", BIN 6226: taken
=> issuer issuer-plain, links net; stand-in for [purchase]: 100 each, 150 a day in 2 transactions
`
	if got := r.Explain(q); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got := r.Explain(route.Query{PAN: card(t, "4000000000000002"), At: saturday})
	if !strings.Contains(got, "no rule takes it") {
		t.Errorf("got\n%s", got)
	}
}

func TestClassNames(t *testing.T) {
	for c := route.Purchase; c <= route.Advice; c++ {
		text, _ := c.MarshalText()
		var back route.Class
		if err := back.UnmarshalText(text); err != nil || back != c {
			t.Errorf("%v reads as %v, %v", c, back, err)
		}
	}
	for _, s := range []string{"", "none", "sale", "unknown"} {
		if c, err := route.ParseClass(s); !errors.Is(err, route.ErrClass) {
			t.Errorf("%q is %v, %v", s, c, err)
		}
	}
	if got := route.Class(99).String(); got != "unknown" {
		t.Errorf("got %q", got)
	}
}

func TestRouteAllocatesNothing(t *testing.T) {
	r, queries := large(t)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		r.Route(queries[i%len(queries)])
		i++
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// large returns a table with 10,000 BINs that looks at everything, and queries.
func large(t testing.TB) (*route.Table, []route.Query) {
	t.Helper()
	rules := []route.Rule{to("all", "net"), to("62", "net", "62")}
	for i := range 100 {
		r := to(fmt.Sprintf("bank %d", i), "a1")
		for j := range 100 {
			r.BINs = append(r.BINs, fmt.Sprint(62000000+i*10000+j*97))
		}
		timed := r
		timed.Name += " at night"
		timed.Family, timed.Classes = "bank", []route.Class{route.Purchase}
		timed.AmountMax, timed.From, timed.To = 1000, 22*time.Hour, 6*time.Hour
		timed.BINs = timed.BINs[:50]
		rules = append(rules, r, timed)
	}
	var queries []route.Query
	for i := range 1000 {
		queries = append(queries, route.Query{PAN: card(t, fmt.Sprintf("%d00000003", 62000000+i*997)),
			Class: route.Purchase, Amount: txn.Minor(i), At: saturday.Add(time.Duration(i) * time.Minute)})
	}
	return table(t, rules...), queries
}

func BenchmarkRoute10000BINs(b *testing.B) {
	r, queries := large(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Route(queries[i%len(queries)])
	}
}

func BenchmarkNew10000BINs(b *testing.B) {
	for b.Loop() {
		large(b)
	}
}

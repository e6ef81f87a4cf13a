package route_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// width returns how many numbers of twelve digits a BIN covers when the card number is in it,
// the slow way.
func width(bin, digits string) (int, bool) {
	low, high, isRange := strings.Cut(bin, "-")
	if !isRange {
		high = low
	}
	if len(digits) < len(low) || digits[:len(low)] < low || digits[:len(low)] > high {
		return 0, false
	}
	from, _ := strconv.Atoi(low)
	to, _ := strconv.Atoi(high)
	n := to - from + 1
	for range 12 - len(low) {
		n *= 10
	}
	return n, true
}

// open reports whether the minute of at lies in the rule's window, by going through the days
// on which it may have opened.
func open(r *route.Rule, at time.Time) bool {
	at = at.In(zone)
	midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, zone)
	for _, opens := range []time.Time{midnight, midnight.AddDate(0, 0, -1)} {
		if len(r.Weekdays) > 0 && !slices.Contains(r.Weekdays, opens.Weekday()) {
			continue
		}
		until := r.To
		if until <= r.From {
			until += 24 * time.Hour
		}
		if since := at.Sub(opens); since >= r.From && since < until {
			return true
		}
	}
	return false
}

func familyFits(r *route.Rule, n pan.Number) bool {
	if r.Family == "" {
		return true
	}
	f, _ := pan.ParseFamily(r.Family)
	return f.Check(n) == nil
}

// fits reports whether a rule takes the query, its BIN apart.
func fits(r *route.Rule, q route.Query) bool {
	return (len(r.PANLengths) == 0 || slices.Contains(r.PANLengths, len(q.PAN.Digits()))) &&
		familyFits(r, q.PAN) &&
		(len(r.Classes) == 0 || slices.Contains(r.Classes, q.Class)) &&
		q.Amount >= r.AmountMin && (r.AmountMax == 0 || q.Amount <= r.AmountMax) && open(r, q.At)
}

// rank is what decides between rules that take a query; less wins.
func rank(r *route.Rule, digits string) (rank [3]int, ok bool) {
	rank[0] = 1e12
	ok = len(r.BINs) == 0
	for _, b := range r.BINs {
		if n, in := width(b, digits); in {
			rank[0], ok = n, true
		}
	}
	if r.Family == "" {
		rank[1] = 1
	}
	for _, yes := range []bool{len(r.PANLengths) > 0, len(r.Classes) > 0,
		r.AmountMin > 0 || r.AmountMax > 0,
		r.From != r.To && r.To-r.From != 24*time.Hour || len(r.Weekdays)%7 > 0} {
		if yes {
			rank[2]--
		}
	}
	return rank, ok
}

// naive is Route by going through all rules.
func naive(rules []route.Rule, q route.Query) string {
	best, name := [3]int{1 << 60}, ""
	for i := range rules {
		at, ok := rank(&rules[i], q.PAN.Digits())
		if ok && slices.Compare(at[:], best[:]) < 0 && fits(&rules[i], q) {
			best, name = at, rules[i].Name
		}
	}
	return name
}

// digitsOf returns n digits of few kinds, so that BINs meet.
func digitsOf(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte("0169"[rng.IntN(4)])
	}
	return b.String()
}

func anyRange(rng *rand.Rand) string {
	n := 1 + rng.IntN(5)
	low, high := digitsOf(rng, n), digitsOf(rng, n)
	if rng.IntN(2) == 0 {
		return low
	}
	return min(low, high) + "-" + max(low, high)
}

func subset[T any](rng *rand.Rand, all ...T) []T {
	if rng.IntN(2) == 0 {
		return nil
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+rng.IntN(len(all)-1)]
}

func anyRule(rng *rand.Rand, name string) route.Rule {
	r := to(name, "a1")
	for range rng.IntN(3) {
		r.BINs = append(r.BINs, anyRange(rng))
	}
	if rng.IntN(3) == 0 {
		r.Family = []string{"bank", "t_union", "cjt_166", "e_card"}[rng.IntN(4)]
	}
	r.PANLengths = subset(rng, 8, 16, 19)
	r.Classes = subset(rng, route.Purchase, route.Refund, route.Void)
	if rng.IntN(2) == 0 {
		r.AmountMin = txn.Minor(rng.IntN(5))
		r.AmountMax = r.AmountMin + txn.Minor(rng.IntN(5))
	}
	if rng.IntN(2) == 0 {
		r.From = time.Duration(rng.IntN(24)) * time.Hour
		r.To = time.Duration(rng.IntN(25)) * time.Hour
	}
	r.Weekdays = subset(rng, time.Sunday, time.Monday, time.Friday, time.Saturday)
	return r
}

func anyQuery(t *testing.T, rng *rand.Rand) route.Query {
	digits := digitsOf(rng, []int{8, 9, 16, 19, 20}[rng.IntN(5)])
	if rng.IntN(4) == 0 {
		digits = "3105" + digitsOf(rng, 15)
	}
	classes := []route.Class{route.ClassNone, route.Purchase, route.Refund, route.Void}
	return route.Query{PAN: card(t, digits), Class: classes[rng.IntN(4)],
		Amount: txn.Minor(rng.IntN(10)),
		At:     saturday.Add(time.Duration(rng.IntN(14*24*60)) * time.Minute)}
}

// The table says what going through all rules says.
func TestRouteAgainstAllRules(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	compared, found := 0, 0
	for range 60 {
		var rules []route.Rule
		var r *route.Table
		for i := range 40 {
			more := append(slices.Clone(rules), anyRule(rng, fmt.Sprint(i)))
			if made, err := route.New(more, route.Options{Links: links, Zone: zone}); err == nil {
				rules, r = more, made
			} else if !errors.Is(err, route.ErrRule) {
				t.Fatal(err)
			}
		}
		for range 300 {
			q := anyQuery(t, rng)
			want := naive(rules, q)
			c, ok := r.Route(q)
			if c.Rule != want || ok != (want != "") {
				t.Fatalf("seed %d: %d rules: got %q, want %q\n%s", seed, len(rules), c.Rule, want,
					r.Explain(q))
			}
			compared++
			if ok {
				found++
				if !strings.Contains(r.Explain(q), fmt.Sprintf("%q", want)) {
					t.Fatalf("seed %d: the explanation does not name %q", seed, want)
				}
			}
		}
	}
	if found < compared/10 {
		t.Fatalf("only %d of %d queries found a rule: the test proves little", found, compared)
	}
}

// A rule is refused as unreachable only if really no query reaches it.
func TestRefusedRulesAreUnreachable(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 2))
	refused := 0
	for range 8000 {
		a, b := anyRule(rng, "a"), anyRule(rng, "b")
		a.BINs, b.BINs, a.Family, b.Family = nil, nil, "", ""
		if rng.IntN(2) == 0 {
			a.PANLengths, b.Weekdays = nil, nil
		}
		rules := []route.Rule{a, b}
		o := route.Options{Links: links, Zone: zone}
		_, err := route.New(rules, o)
		if err == nil || !strings.Contains(err.Error(), "takes all that it would") {
			continue
		}
		refused++
		blocked := "b"
		if strings.Contains(err.Error(), `rule "a"`) {
			blocked = "a"
		}
		for range 200 {
			if q := anyQuery(t, rng); naive(rules, q) == blocked {
				t.Fatalf("seed %d: %v, but a query reaches it", seed, err)
			}
		}
	}
	if refused < 20 {
		t.Fatalf("only %d pairs were refused: the test proves little", refused)
	}
}

// Two BINs are refused exactly when they cross.
func TestCrossingBINs(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 3))
	crossed := 0
	for range 5000 {
		a, b := to("a", "a1", anyRange(rng)), to("b", "a1", anyRange(rng))
		b.AmountMin = 1 // so that equal BINs are allowed
		low, high := ends(a.BINs[0])
		low2, high2 := ends(b.BINs[0])
		apart := high < low2 || high2 < low
		within := low <= low2 && high2 <= high || low2 <= low && high <= high2
		_, err := route.New([]route.Rule{a, b}, route.Options{Links: links})
		if (err == nil) != (apart || within) {
			t.Fatalf("seed %d: %s and %s: %v", seed, a.BINs[0], b.BINs[0], err)
		}
		if err != nil {
			crossed++
		}
	}
	if crossed == 0 {
		t.Fatal("no pair crossed")
	}
}

// ends returns a BIN's lowest and highest number of twelve digits.
func ends(bin string) (low, high string) {
	low, high, isRange := strings.Cut(bin, "-")
	if !isRange {
		high = low
	}
	return low + strings.Repeat("0", 12-len(low)), high + strings.Repeat("9", 12-len(high))
}

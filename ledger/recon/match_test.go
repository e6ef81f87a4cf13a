package recon_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	day = txn.BusinessDate(20261120)
	// noon of that day in China.
	noon = txn.Millis(1795147200000)
)

// row makes a row of terminal T1; change may make it another.
func row(line uint64, rrn string, amount int64, change ...func(*recon.Row)) *recon.Row {
	r := &recon.Row{Place: recon.Place{Line: line}, Amount: amount, Date: day, At: noon,
		Received: noon + 300, Currency: txn.CNY}
	r.Text[recon.RRN], r.Text[recon.Terminal] = rrn, "T1"
	for _, c := range change {
		c(r)
	}
	return r
}

func at(d time.Duration) func(*recon.Row) {
	return func(r *recon.Row) { r.At += txn.Millis(d.Milliseconds()); r.Received = r.At + 300 }
}

func on(d txn.BusinessDate) func(*recon.Row) { return func(r *recon.Row) { r.Date = d } }

func with(f recon.Field, text string) func(*recon.Row) {
	return func(r *recon.Row) { r.Text[f] = text }
}

type rowsOf = []*recon.Row

func match(t testing.TB, rule recon.Rule, ours, theirs rowsOf) (matches int, left [2]rowsOf) {
	t.Helper()
	if rule.Key == nil {
		rule.Key = []recon.Field{recon.RRN}
	}
	m := recon.Matcher{Rule: &rule, Matched: func(rowsOf, rowsOf) { matches++ }}
	left, err := m.Match(ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	return matches, left
}

// What a rule matches, and what it leaves.
func TestRules(t *testing.T) {
	declined := with(recon.Status, "declined")
	approved := with(recon.Status, "approved")
	for name, c := range map[string]struct {
		rule               recon.Rule
		ours, theirs       rowsOf
		matches, our, thei int
	}{
		"equal":             {recon.Rule{}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5)}, 1, 0, 0},
		"another key":       {recon.Rule{}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "b", 5)}, 0, 1, 1},
		"no key":            {recon.Rule{}, rowsOf{row(1, "", 5)}, rowsOf{row(1, "", 5)}, 0, 1, 1},
		"another amount":    {recon.Rule{}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 6)}, 0, 1, 1},
		"within tolerance":  {recon.Rule{Amount: 1}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 6)}, 1, 0, 0},
		"beyond it":         {recon.Rule{Amount: 1}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 7)}, 0, 1, 1},
		"far apart":         {recon.Rule{Amount: 1}, rowsOf{row(1, "a", math.MaxInt64)}, rowsOf{row(1, "a", math.MinInt64)}, 0, 1, 1},
		"time not compared": {recon.Rule{}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5, at(time.Hour))}, 1, 0, 0},
		"time within":       {recon.Rule{Time: time.Hour}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5, at(time.Hour))}, 1, 0, 0},
		"time beyond":       {recon.Rule{Time: time.Hour}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5, at(time.Hour+time.Millisecond))}, 0, 1, 1},
		"no time there":     {recon.Rule{Time: time.Hour}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5, func(r *recon.Row) { r.At = 0 })}, 1, 0, 0},
		"another day":       {recon.Rule{}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5, on(20261121))}, 0, 1, 1},
		"days within":       {recon.Rule{Days: 1}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5, on(20261121))}, 1, 0, 0},
		"another status":    {recon.Rule{}, rowsOf{row(1, "a", 5, approved)}, rowsOf{row(1, "a", 5, declined)}, 0, 1, 1},
		"another currency":  {recon.Rule{}, rowsOf{row(1, "a", 5)}, rowsOf{row(1, "a", 5, func(r *recon.Row) { r.Currency = 344 })}, 0, 1, 1},
		"two and one":       {recon.Rule{}, rowsOf{row(1, "a", 5), row(2, "a", 5)}, rowsOf{row(1, "a", 5)}, 1, 1, 0},
		"composite": {recon.Rule{Key: []recon.Field{recon.Terminal, recon.Amount, recon.Date, recon.Currency}},
			rowsOf{row(1, "a", 5)}, rowsOf{row(1, "b", 5)}, 1, 0, 0},
		"exact before near": {recon.Rule{Amount: 10}, rowsOf{row(1, "a", 6), row(2, "a", 5)},
			rowsOf{row(1, "a", 5)}, 1, 1, 0},
		"one to many": {recon.Rule{Shape: recon.OneToMany}, rowsOf{row(1, "a", 11)},
			rowsOf{row(1, "a", 5), row(2, "a", 6)}, 1, 0, 0},
		"one to many, other sum": {recon.Rule{Shape: recon.OneToMany}, rowsOf{row(1, "a", 12)},
			rowsOf{row(1, "a", 5), row(2, "a", 6)}, 0, 1, 2},
		"one to many, within": {recon.Rule{Shape: recon.OneToMany, Amount: 1}, rowsOf{row(1, "a", 12)},
			rowsOf{row(1, "a", 5), row(2, "a", 6)}, 1, 0, 0},
		"two to many": {recon.Rule{Shape: recon.OneToMany}, rowsOf{row(1, "a", 5), row(2, "a", 6)},
			rowsOf{row(1, "a", 5), row(2, "a", 6)}, 0, 2, 2},
		"many to one": {recon.Rule{Shape: recon.ManyToOne}, rowsOf{row(1, "a", 5), row(2, "a", 6)},
			rowsOf{row(1, "a", 11)}, 1, 0, 0},
		"a sum of two days": {recon.Rule{Shape: recon.ManyToOne}, rowsOf{row(1, "a", 5), row(2, "a", 6, on(20261121))},
			rowsOf{row(1, "a", 11)}, 0, 2, 1},
		"cancelled": {recon.Rule{Shape: recon.Cancel}, rowsOf{row(1, "a", 5), row(2, "a", -5)},
			rowsOf{row(1, "a", 5)}, 1, 0, 1},
		"not cancelled": {recon.Rule{Shape: recon.Cancel}, rowsOf{row(1, "a", 5), row(2, "a", -4)},
			rowsOf{row(1, "b", 0)}, 0, 2, 1},
	} {
		n, left := match(t, c.rule, c.ours, c.theirs)
		if n != c.matches || len(left[0]) != c.our || len(left[1]) != c.thei {
			t.Errorf("%s: %d matches, %d of ours and %d of theirs left", name, n, len(left[0]), len(left[1]))
		}
	}
}

// The nearest in time is taken, and the tolerance never takes the row of an exact pair.
func TestTheNearestIsTaken(t *testing.T) {
	ours := rowsOf{row(1, "a", 100), row(2, "a", 100, at(5*time.Minute))}
	theirs := rowsOf{row(1, "a", 101, at(time.Minute)), row(2, "a", 100, at(6*time.Minute)),
		row(3, "a", 100, at(4*time.Minute))}
	var pairs [][2]uint64
	m := recon.Matcher{Rule: &recon.Rule{Key: []recon.Field{recon.RRN}, Amount: 1, Time: time.Hour},
		Matched: func(o, t rowsOf) { pairs = append(pairs, [2]uint64{o[0].Place.Line, t[0].Place.Line}) }}
	left, err := m.Match(ours, theirs)
	if err != nil || len(pairs) != 2 || pairs[0] != [2]uint64{1, 3} || pairs[1] != [2]uint64{2, 2} {
		t.Errorf("%v %v", pairs, err)
	}
	if len(left[1]) != 1 || left[1][0].Place.Line != 1 {
		t.Errorf("left %v", left[1])
	}
}

// An exact pair is found before a tolerance takes one of its rows.
func TestExactPairsComeFirst(t *testing.T) {
	_, left := match(t, recon.Rule{Amount: 10}, rowsOf{row(1, "a", 6), row(2, "a", 5)}, rowsOf{row(1, "a", 5)})
	if len(left[0]) != 1 || left[0][0].Amount != 6 {
		t.Errorf("left %v", left[0])
	}
}

func TestWeakKeyAndOverflow(t *testing.T) {
	var ours, theirs rowsOf
	for i := range uint64(4097) {
		ours, theirs = append(ours, row(i, "a", 1)), append(theirs, row(i, "a", 2))
	}
	m := recon.Matcher{Rule: &recon.Rule{Name: "r", Key: []recon.Field{recon.RRN}}}
	if _, err := m.Match(ours, theirs); !errors.Is(err, recon.ErrWeakKey) {
		t.Errorf("%v, want weak key", err)
	}
	for _, shape := range []recon.Shape{recon.OneToMany, recon.Cancel} {
		m = recon.Matcher{Rule: &recon.Rule{Key: []recon.Field{recon.RRN}, Shape: shape}}
		_, err := m.Match(rowsOf{row(1, "a", 1)}, rowsOf{row(1, "a", math.MaxInt64), row(2, "a", 1)})
		if !errors.Is(err, recon.ErrOverflow) {
			t.Errorf("%v: %v, want overflow", shape, err)
		}
	}
}

// Whatever the rows: each is consumed once or left, sums balance, and both orders of the rows of
// a side give the same rows left.
func TestEachRowIsConsumedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := recon.Rule{Name: "r", Key: []recon.Field{recon.RRN},
			Shape:  recon.Shape(rapid.IntRange(0, 3).Draw(t, "shape")),
			Amount: rapid.Int64Range(0, 2).Draw(t, "tolerance")}
		if rule.Shape == recon.Cancel {
			rule.Amount = 0
		}
		draw := func(what string) (all rowsOf) {
			for i := range rapid.IntRange(0, 12).Draw(t, what) {
				all = append(all, row(uint64(i), rapid.StringMatching("[ab]?").Draw(t, "key"),
					rapid.Int64Range(-3, 3).Draw(t, "amount"),
					at(time.Duration(rapid.IntRange(0, 3).Draw(t, "at"))*time.Minute)))
			}
			return all
		}
		sides := [2]rowsOf{draw("ours"), draw("theirs")}
		taken := map[*recon.Row]int{}
		m := recon.Matcher{Rule: &rule, Matched: func(o, th rowsOf) {
			var sums [2]int64
			for side, rows := range [2]rowsOf{o, th} {
				for _, r := range rows {
					taken[r]++
					sums[side] += r.Amount
				}
			}
			if gap := sums[0] - sums[1]; max(gap, -gap) > rule.Amount {
				t.Fatalf("%v matched a gap of %d", rule.Shape, gap)
			}
		}}
		left, err := m.Match(sides[0], sides[1])
		if err != nil {
			t.Fatal(err)
		}
		for side := range sides {
			for _, r := range left[side] {
				taken[r]++
			}
			for _, r := range sides[side] {
				if taken[r] != 1 {
					t.Fatalf("row %v was consumed %d times", r.Place, taken[r])
				}
			}
		}
	})
}

// A row in a journal comes back as it was, but for its place.
func TestRowsSurviveJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := recon.Row{Amount: rapid.Int64().Draw(t, "amount"), At: txn.Millis(rapid.Int64().Draw(t, "at")),
			Date: 20261120, Currency: 156, Marks: recon.Offline | recon.Exposed}
		for f := range recon.TextCount {
			r.Text[f] = rapid.String().Draw(t, "text")
		}
		text, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		var back recon.Row
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(&back)
		if err != nil || string(again) != string(text) {
			t.Fatalf("%s\n%s %v", text, again, err)
		}
	})
	for _, text := range []string{`{"fields":{"colour":"red"}}`, `{"fields":{"amount":"1"}}`, `[]`} {
		if err := json.Unmarshal([]byte(text), &recon.Row{}); err == nil {
			t.Errorf("%s is a row", text)
		}
	}
}

func TestPlansThatCannotBeFollowed(t *testing.T) {
	key := []recon.Field{recon.RRN}
	good := func() *recon.Plan {
		return &recon.Plan{Name: "p", Rules: []recon.Rule{{Name: "r", Key: key}}, Identity: [][]recon.Field{key}}
	}
	if p := good(); p.Check() != nil || p.LateAfter != recon.DefaultLateAfter || p.Zone == nil {
		t.Errorf("%+v", p)
	}
	for name, change := range map[string]func(*recon.Plan){
		"no name":        func(p *recon.Plan) { p.Name = "" },
		"no rule":        func(p *recon.Plan) { p.Rules = nil },
		"too many rules": func(p *recon.Plan) { p.Rules = make([]recon.Rule, recon.RulesMax+1) },
		"two of a name":  func(p *recon.Plan) { p.Rules = append(p.Rules, p.Rules[0]) },
		"no identity":    func(p *recon.Plan) { p.Identity = nil },
		"empty key":      func(p *recon.Plan) { p.Rules[0].Key = nil },
		"long key":       func(p *recon.Plan) { p.Rules[0].Key = make([]recon.Field, recon.KeyMax+1) },
		"note in a key":  func(p *recon.Plan) { p.Identity[0] = []recon.Field{recon.Note} },
		"twice in a key": func(p *recon.Plan) { p.Identity[0] = []recon.Field{recon.RRN, recon.RRN} },
		"below zero":     func(p *recon.Plan) { p.Rules[0].Amount = -1 },
		"cancel within":  func(p *recon.Plan) { p.Rules[0].Shape, p.Rules[0].Amount = recon.Cancel, 1 },
		"cut-off":        func(p *recon.Plan) { p.CutOff = 25 * time.Hour },
		"late":           func(p *recon.Plan) { p.LateAfter = -1 },
		"cluster of one": func(p *recon.Plan) { p.ClusterMin = 1 },
	} {
		p := good()
		p.Identity = [][]recon.Field{{recon.RRN}}
		change(p)
		if err := p.Check(); !errors.Is(err, recon.ErrPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package recon_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// inquire asks about rows that are left; others were matched.
type inquire struct {
	left, matched [2]rowsOf
	claims        rowsOf
	asked         bool
}

func (q *inquire) breaks(t *testing.T) []*recon.Break {
	t.Helper()
	plan := &recon.Plan{Name: "p", Zone: time.FixedZone("", 8*3600), CutOff: 23 * time.Hour,
		Rules:    []recon.Rule{{Name: "r", Key: []recon.Field{recon.RRN}, Time: 10 * time.Minute}},
		Identity: [][]recon.Field{{recon.RRN}, {recon.Terminal, recon.STAN, recon.Last4}}}
	if err := plan.Check(); err != nil {
		t.Fatal(err)
	}
	i := recon.NewInquiry(recon.Facts{Plan: plan, Day: day, Left: q.left,
		Names: [2][]string{{"ledger", "carried"}, {"a.txt", "b.txt", "carried"}}})
	for side := range q.left {
		for _, r := range append(append(rowsOf{}, q.matched[side]...), q.left[side]...) {
			if r.Marks&recon.Unreadable == 0 {
				i.See(recon.Side(side), r)
			}
		}
	}
	if q.asked {
		i.Asked()
	}
	for _, c := range q.claims {
		i.SeeClaim(c)
	}
	breaks, err := i.Conclude()
	if err != nil {
		t.Fatal(err)
	}
	return breaks
}

func in(source uint16) func(*recon.Row) { return func(r *recon.Row) { r.Source = source } }

func marked(m recon.Marks) func(*recon.Row) { return func(r *recon.Row) { r.Marks = m } }

func late(d time.Duration) func(*recon.Row) {
	return func(r *recon.Row) { r.Received = r.At + txn.Millis(d.Milliseconds()) }
}

// many repeats a row with other references, lines and traces.
func many(n int, amount int64, change ...func(*recon.Row)) (all rowsOf) {
	for i := range n {
		all = append(all, row(uint64(i+1), fmt.Sprint("r", i), amount,
			append([]func(*recon.Row){with(recon.STAN, fmt.Sprint(i)), at(time.Duration(i) * time.Minute)}, change...)...))
	}
	return all
}

// Each cause is found with its evidence, and what looks like it but is not is told from it.
func TestCauses(t *testing.T) {
	stan := with(recon.STAN, "7")
	for name, c := range map[string]struct {
		q          inquire
		difference recon.Difference
		cause      recon.Cause
		evidence   string
	}{
		"late upload": {inquire{left: [2]rowsOf{{row(1, "a", 5, late(7*time.Hour))}, nil}},
			recon.OursOnly, recon.LateUpload, "7h0m0s later"},
		"late at them": {inquire{left: [2]rowsOf{nil, {row(1, "a", 5, late(7*time.Hour))}}},
			recon.TheirsOnly, recon.LateUpload, "7h0m0s later"},
		"not late enough": {inquire{left: [2]rowsOf{{row(1, "a", 5, late(5*time.Hour))}, nil}},
			recon.OursOnly, recon.Unknown, ""},
		"list lag, absent": {inquire{left: [2]rowsOf{{row(1, "a", 5, marked(recon.Exposed))}, nil}},
			recon.OursOnly, recon.ListLag, "frozen"},
		"list lag, refused": {inquire{left: [2]rowsOf{{row(1, "a", 5, marked(recon.Exposed), with(recon.Status, "approved"))},
			{row(1, "a", 5, with(recon.Status, "declined"))}}}, recon.OtherState, recon.ListLag, "frozen"},
		"refused for another reason": {inquire{left: [2]rowsOf{{row(1, "a", 5, with(recon.Status, "approved"))},
			{row(1, "a", 5, with(recon.Status, "declined"))}}}, recon.OtherState, recon.Unknown, ""},
		"trace reused": {inquire{left: [2]rowsOf{{row(1, "a", 5, stan)}, nil},
			matched: [2]rowsOf{{row(2, "b", 6, stan, at(time.Hour))}, nil}}, recon.OursOnly, recon.StanReuse, "used trace number 7 also"},
		"trace of another batch": {inquire{left: [2]rowsOf{{row(1, "a", 5, stan, with(recon.Batch, "1"))}, nil},
			matched: [2]rowsOf{{row(2, "b", 6, stan, with(recon.Batch, "2"))}, nil}}, recon.OursOnly, recon.Unknown, ""},
		"trace of another week": {inquire{left: [2]rowsOf{{row(1, "a", 5, stan)}, nil},
			matched: [2]rowsOf{{row(2, "b", 6, stan, at(170*time.Hour))}, nil}}, recon.OursOnly, recon.Unknown, ""},
		"trace of the reversal": {inquire{left: [2]rowsOf{{row(1, "a", 5, stan, with(recon.Chain, "c"))}, nil},
			matched: [2]rowsOf{{row(2, "b", -5, stan, with(recon.Chain, "c"))}, nil}}, recon.OursOnly, recon.Unknown, ""},
		"cut-off": {inquire{left: [2]rowsOf{{row(1, "a", 5, at(11*time.Hour+time.Minute))}, nil}},
			recon.OursOnly, recon.CutOffShift, "1m0s from the counterparty's cut-off, its day is 2026-11-21"},
		"cut-off, both": {inquire{left: [2]rowsOf{{row(1, "a", 5, at(11*time.Hour-time.Minute))},
			{row(1, "a", 5, at(11*time.Hour-time.Minute), on(20261121))}}}, recon.OtherDate, recon.CutOffShift, "-1m0s"},
		"another day at noon": {inquire{left: [2]rowsOf{{row(1, "a", 5)}, {row(1, "a", 5, on(20261121))}}},
			recon.OtherDate, recon.Unknown, ""},
		"a tariff named": {inquire{left: [2]rowsOf{{row(1, "a", 5, with(recon.Tariff, "1"))},
			{row(1, "a", 6, with(recon.Tariff, "2"))}}}, recon.OtherSum, recon.TariffVersion, "tariff 1 here and 2 there"},
		"one other amount": {inquire{left: [2]rowsOf{{row(1, "a", 5, with(recon.Line, "1"))}, {row(1, "a", 6)}}},
			recon.OtherSum, recon.Unknown, ""},
		"three other amounts, no line": {inquire{left: [2]rowsOf{many(3, 5), many(3, 6)}}, recon.OtherSum, recon.Unknown, ""},
		"three of a line":              {inquire{left: [2]rowsOf{many(3, 5, with(recon.Line, "9")), many(3, 6)}}, recon.OtherSum, recon.TariffVersion, "3 charges of operator , line 9 are 5 here and 6 there"},
		"a clock":                      {inquire{left: [2]rowsOf{many(3, 5), many(3, 5, at(40*time.Minute))}}, recon.OtherTime, recon.ClockSkew, "3 times of terminal T1 are apart by 40m0s"},
		"a clock over midnight":        {inquire{left: [2]rowsOf{many(3, 5), many(3, 5, at(14*time.Hour), on(20261121))}}, recon.OtherDate, recon.ClockSkew, "14h0m0s"},
		"two times apart":              {inquire{left: [2]rowsOf{many(2, 5), many(2, 5, at(40*time.Minute))}}, recon.OtherTime, recon.Unknown, ""},
		"a missing batch":              {inquire{left: [2]rowsOf{many(3, 5, with(recon.Batch, "4")), nil}}, recon.OursOnly, recon.MissingBatch, `none of the 3 rows of terminal T1, batch "4" arrived, 15 in all`},
		"a batch of ours missing":      {inquire{left: [2]rowsOf{nil, many(3, 5, with(recon.Batch, "4"))}}, recon.TheirsOnly, recon.MissingBatch, "none of the 3"},
		"a part of a batch": {inquire{left: [2]rowsOf{many(3, 5, with(recon.Batch, "4")), nil},
			matched: [2]rowsOf{{row(9, "z", 1, with(recon.Batch, "4"))}, {row(9, "z", 1)}}}, recon.OursOnly, recon.Unknown, ""},
		"a batch that they know": {inquire{left: [2]rowsOf{many(3, 5, with(recon.Batch, "4")), nil},
			matched: [2]rowsOf{nil, {row(9, "z", 1, with(recon.Batch, "4"))}}}, recon.OursOnly, recon.Unknown, ""},
		"a clock that wanders": {inquire{left: [2]rowsOf{many(3, 5), {row(1, "r0", 5, at(40*time.Minute)),
			row(2, "r1", 5, at(50*time.Minute)), row(3, "r2", 5, at(60*time.Minute))}}}, recon.OtherTime, recon.Unknown, ""},
		"two rows": {inquire{left: [2]rowsOf{many(2, 5, with(recon.Batch, "4")), nil}}, recon.OursOnly, recon.Unknown, ""},
		"a file twice": {inquire{left: [2]rowsOf{nil, {row(1, "a", 5, in(1)), row(2, "b", 5, in(1))}},
			matched: [2]rowsOf{nil, {row(7, "a", 5), row(8, "b", 5)}}}, recon.Repeated, recon.DuplicateFile, "2 of 2 rows of b.txt"},
		"a row twice": {inquire{left: [2]rowsOf{nil, {row(2, "a", 5)}}, matched: [2]rowsOf{nil, {row(1, "a", 5)}}},
			recon.Repeated, recon.RepeatedRow, "the same as a.txt:1"},
		"a row of another file": {inquire{left: [2]rowsOf{nil, {row(1, "a", 5, in(1))}},
			matched: [2]rowsOf{nil, {row(1, "a", 5), row(2, "c", 5, in(1))}}}, recon.Repeated, recon.RepeatedRow, "a.txt:1"},
		"unreadable": {inquire{left: [2]rowsOf{nil, {row(1, "", 0, marked(recon.Unreadable), with(recon.Note, "why"))}}},
			recon.HeldLine, recon.UnreadableLine, "why"},
	} {
		breaks := c.q.breaks(t)
		if len(breaks) == 0 {
			t.Errorf("%s: no break", name)
		}
		for _, b := range breaks {
			said := strings.Join(b.Evidence, "; ")
			if b.Difference != c.difference || b.Cause != c.cause || !strings.Contains(said, c.evidence) {
				t.Errorf("%s: %s, %s: %q", name, b.Difference, b.Cause, said)
			}
			if (b.Cause == recon.Unknown) != (said == "") {
				t.Errorf("%s: %s with evidence %q", name, b.Cause, said)
			}
		}
	}
}

// Two unmatched copies are one row that nobody has and one that is too many.
func TestTwoCopiesAreOneRow(t *testing.T) {
	q := inquire{left: [2]rowsOf{nil, {row(1, "a", 5), row(2, "a", 5)}}}
	breaks := q.breaks(t)
	if len(breaks) != 2 || breaks[0].Difference != recon.Repeated || breaks[0].Where != "a.txt:2" ||
		breaks[1].Difference != recon.TheirsOnly || breaks[0].ID == breaks[1].ID {
		t.Errorf("%+v", breaks)
	}
}

// Rows of different cards are never taken for one transaction.
func TestOtherCardsAreOtherTransactions(t *testing.T) {
	q := inquire{left: [2]rowsOf{{row(1, "a", 5, with(recon.Last4, "1111"))}, {row(1, "a", 6, with(recon.Last4, "2222"))}}}
	if breaks := q.breaks(t); len(breaks) != 2 {
		t.Errorf("%+v", breaks)
	}
}

// The id of a break does not depend on where its rows stood, but on what they say.
func TestBreakIDs(t *testing.T) {
	a := (&inquire{left: [2]rowsOf{{row(1, "a", 5)}, nil}}).breaks(t)[0]
	b := (&inquire{left: [2]rowsOf{{row(77, "a", 5)}, nil}}).breaks(t)[0]
	c := (&inquire{left: [2]rowsOf{{row(1, "a", 6)}, nil}}).breaks(t)[0]
	if a.ID != b.ID || a.ID == c.ID || len(a.ID) != 16 {
		t.Errorf("%s %s %s", a.ID, b.ID, c.ID)
	}
	if a.Gap != 5 || a.Opened != day || a.Where != "ledger:1" || a.Currency() != txn.CNY || !a.Carries() {
		t.Errorf("%+v", a)
	}
}

// Who stands alone among three.
func TestThirdSide(t *testing.T) {
	for name, c := range map[string]struct {
		ours, theirs, claim int64 // 0 for none
		want                recon.Party
	}{
		"ledger": {5, 6, 6, recon.Ledger}, "counterparty": {5, 6, 5, recon.Counterparty},
		"all": {5, 6, 7, recon.Everyone}, "they lack it": {5, 0, 5, recon.Counterparty},
		"we lack it": {0, 5, 5, recon.Ledger}, "only we": {5, 0, 0, recon.Ledger},
		"only they": {0, 5, 0, recon.Counterparty},
	} {
		q := inquire{asked: true}
		if c.ours != 0 {
			q.left[recon.Ours] = rowsOf{row(1, "a", c.ours)}
		}
		if c.theirs != 0 {
			q.left[recon.Theirs] = rowsOf{row(1, "a", c.theirs)}
		}
		if c.claim != 0 {
			q.claims = rowsOf{row(9, "z", 1), row(1, "a", c.claim)}
		}
		breaks := q.breaks(t)
		if len(breaks) != 1 || breaks[0].Odd != c.want || (breaks[0].Claim != nil) != (c.claim != 0) {
			t.Errorf("%s: %+v", name, breaks[0])
		}
	}
}

func TestAccounts(t *testing.T) {
	a, err := recon.NewAccounts([]recon.Claim{{Terminal: "T1", Batch: "1",
		Tally: recon.Tally{Debits: 3, Debit: 30, Credits: 1, Credit: 5}}})
	if err != nil {
		t.Fatal(err)
	}
	b := with(recon.Batch, "1")
	for _, m := range [][2]rowsOf{
		{{row(1, "a", 10, b)}, {row(1, "a", 10)}},
		{{row(2, "b", 10, b), row(3, "c", 10, b)}, {row(2, "b", 20)}},
		{{row(4, "d", -5, b)}, {row(4, "d", -5)}},
		{{row(5, "e", 7, b), row(6, "e", -7, b)}, nil},
		{{row(7, "f", 9, with(recon.Terminal, "T2"))}, {row(7, "f", 9)}},
	} {
		if err := a.Matched(m[0], m[1]); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.All()[0]; got.Odd != recon.NoParty || got.Ledger != got.Claimed || got.Theirs != got.Claimed {
		t.Errorf("%+v", got)
	}
	if err := a.Break(&recon.Break{Ours: row(8, "g", 1, b)}); err != nil {
		t.Fatal(err)
	}
	if got := a.All()[0]; got.Odd != recon.Ledger || got.Ledger.Debits != 4 {
		t.Errorf("%+v", got)
	}
	if _, err := recon.NewAccounts(make([]recon.Claim, recon.ClaimsMax+1)); err == nil {
		t.Error("too many claims")
	}
}

package upload

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Every number is counted once, in whatever order numbers come, and what is missing is what
// has not come.
func TestSequenceKnowsWhatIsMissing(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var s Sequence
		const numbers = 60
		order := rng.Perm(numbers)
		order = append([]int{0}, order...)
		come := map[int]bool{}
		for _, n := range order {
			place := s.See(uint32(n), 1000)
			if again := come[n]; again != (place == Counted) {
				t.Fatalf("seed %d: %d came again %v: place %d", seed, n, again, place)
			}
			come[n] = true
			missing := 0
			for i := range int(s.High) {
				if !come[i] {
					missing++
				}
			}
			if s.Missing() != missing || s.Lost != 0 {
				t.Fatalf("seed %d: %d missing, the sequence says %d (%+v)", seed, missing, s.Missing(), s)
			}
		}
		if len(s.Gaps) != 0 {
			t.Fatalf("seed %d: gaps left: %+v", seed, s.Gaps)
		}
	}
}

// A number too low for its time went back; one that fits its gap's time is late.
func TestSequenceTellsLateFromRolledBack(t *testing.T) {
	hour := txn.Millis(3600_000)
	s := Sequence{Known: true, High: 100, HighAt: 10 * hour}
	if p := s.See(104, 12*hour); p != Jump {
		t.Errorf("place %d", p)
	}
	for _, c := range []struct {
		n    uint32
		at   txn.Millis
		want Place
	}{{102, 13 * hour, Rolled}, {102, 11 * hour, Late}, {102, 11 * hour, Counted}, {50, 9 * hour, Counted},
		{50, 13 * hour, Rolled}, {105, 13 * hour, Next}} {
		if got := s.See(c.n, c.at); got != c.want {
			t.Errorf("%d at %d: place %d, want %d", c.n, c.at/hour, got, c.want)
		}
	}
	if want := []Gap{{101, 101, 12 * hour}, {103, 103, 12 * hour}}; !reflect.DeepEqual(s.Gaps, want) {
		t.Errorf("gaps %+v", s.Gaps)
	}
}

// A sequence has room for GapsMax ranges; what it gives up is counted.
func TestSequenceGivesUpTheOldestGaps(t *testing.T) {
	s := Sequence{Known: true}
	for i := range uint32(GapsMax + 5) {
		s.See(2*i+2, 0)
	}
	if len(s.Gaps) != GapsMax || s.Lost != 5 || s.Gaps[0].From != 11 {
		t.Errorf("%d gaps from %d, %d lost", len(s.Gaps), s.Gaps[0].From, s.Lost)
	}
	wide := Sequence{Known: true}
	wide.See(1000, 0)
	for i := range uint32(GapsMax + 3) {
		wide.See(10*i+5, 0)
	}
	if len(wide.Gaps) != GapsMax || wide.Lost == 0 {
		t.Errorf("split: %d gaps, %d lost", len(wide.Gaps), wide.Lost)
	}
}

// Each record of a number is answered by what its page knows.
func TestPageClaims(t *testing.T) {
	var p Page
	if f, fresh := p.Claim(513, 7); !fresh || f.State != Taken || !p.Dirty {
		t.Errorf("new: %v %v", f, fresh)
	}
	if _, fresh := p.Claim(513, 7); !fresh {
		t.Error("a record that was taken only goes on")
	}
	p.Set(513, Entry{7, Fate{Rejected, TACWrong}})
	if f, fresh := p.Claim(513, 7); fresh || f != (Fate{Duplicate, TACWrong}) {
		t.Errorf("again: %v %v", f, fresh)
	}
	if f, fresh := p.Claim(513, 8); fresh || f != (Fate{Held, Dispute}) {
		t.Errorf("other content: %v %v", f, fresh)
	}
	var q Page
	if err := q.Read(p.Append(nil), 3); err != nil || q.At(513) != p.At(513) || q.Version != 3 || q.Dirty {
		t.Errorf("stored: %+v %v", q.At(513), err)
	}
	if err := q.Read([]byte{1, 2}, 1); !errors.Is(err, ErrStored) {
		t.Errorf("damaged: %v", err)
	}
	if err := q.Read(nil, 0); err != nil || q.At(513) != (Entry{}) {
		t.Errorf("empty: %v", err)
	}
}

// life is a card that boards and is charged as it uploads in any order.
type life struct {
	line    Line
	account Account
}

func (l *life) see(counter, before, amount int) (Place, txn.Minor) {
	f := Fact{Counter: uint32(counter), Before: txn.Minor(before), Amount: txn.Minor(amount), At: txn.Millis(counter)}
	place, off := l.line.See(&f, &l.account, 0)
	l.account.Balance -= f.Amount
	l.account.Seen, l.account.High = true, max(l.account.High, f.Counter)
	return place, off
}

// An honest card is never said to be broken, in whatever order its records come, and nothing
// is to be said about it when all have come.
func TestHonestCardsAreNeverBroken(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 11))
		l := life{account: Account{Balance: 10_000}}
		n := 2 + rng.IntN(20)
		for _, i := range rng.Perm(n) {
			if _, off := l.see(i, 10_000-100*i, 100); off != 0 {
				t.Fatalf("seed %d: counter %d of %d: off by %d: %+v", seed, i, n, off, l.line)
			}
		}
		if !l.line.Quiet() {
			t.Fatalf("seed %d: at the end: %+v", seed, l.line)
		}
	}
}

// A card that has more than it should, or less than its records took, is broken once, and its
// next record is no second break.
func TestBrokenChainIsToldOnce(t *testing.T) {
	l := life{account: Account{Balance: 1000}}
	l.see(0, 1000, 100)
	if _, off := l.see(1, 5000, 100); off != 4100 {
		t.Errorf("too rich: off by %d", off)
	}
	if _, off := l.see(2, 4900, 100); off != 0 {
		t.Errorf("the next: off by %d", off)
	}
	if l.line.Breaks != 1 || l.line.Broken != 4100 || l.line.Delta != 4100 {
		t.Errorf("%+v", l.line)
	}
	l = life{account: Account{Balance: 1000}}
	l.see(0, 1000, 100)
	l.see(2, 500, 100) // counter 1 took 400, it seems
	if _, off := l.see(1, 900, 100); off != -300 {
		t.Errorf("the missing record took less: off by %d", off)
	}
	if l.line.Quiet() {
		t.Error("nothing is said")
	}
}

func TestRecordThatIsNotBookedLeavesTheCardOff(t *testing.T) {
	l := life{account: Account{Balance: 1000}}
	l.see(0, 1000, 100)
	l.account.Balance += 100 // declined after all
	l.line.NotBooked(100)
	if _, off := l.see(1, 900, 50); off != 0 || l.line.Delta != -100 {
		t.Errorf("off by %d, delta %d", off, l.line.Delta)
	}
}

// The next good record of a card tells what became of a torn one, where it can be told.
func TestTornRecordIsResolved(t *testing.T) {
	g := Grey{Fact: Fact{Counter: 7, Before: 1000, Amount: 200}}
	for _, c := range []struct {
		counter  uint32
		before   txn.Minor
		credited txn.Minor
		want     Fate
	}{{8, 800, 0, Fate{State: Accepted}}, {7, 1000, 0, Fate{Rejected, NotDebited}}, {8, 1000, 0, Fate{Held, Torn}},
		{9, 800, 0, Fate{Held, Torn}}, {8, 1800, 1000, Fate{State: Accepted}}, {7, 2000, 1000, Fate{Rejected, NotDebited}}} {
		if got := g.Resolve(&Fact{Counter: c.counter, Before: c.before}, c.credited); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestLinesAreStored(t *testing.T) {
	lines := []Line{{Card: pan.Token{1}, Last4: pan.Last4{'1', '2', '3', '4'},
		Seq: Sequence{Known: true, High: 9, HighAt: 5, Gaps: []Gap{{1, 2, 3}, {5, 7, 8}}, Lost: 2}, Delta: -5, Broken: 3,
		Breaks: 1, At: 77}, {Card: pan.Token{2}, Grey: &Grey{Fact: Fact{1, 2, 3, 4}, PSAM: [6]byte{9}, Seq: 5,
		Digest: 1<<63 + 5}}}
	stored := AppendLines(nil, lines)
	got, err := ReadLines(stored)
	if err != nil || !reflect.DeepEqual(got, lines) {
		t.Errorf("%+v %v", got, err)
	}
	for cut := 2; cut < len(stored); cut++ {
		if got, err := ReadLines(stored[:cut]); err == nil && len(got) == len(lines) {
			t.Errorf("cut to %d of %d bytes reads", cut, len(stored))
		}
	}
	if _, err := ReadLines([]byte{9}); !errors.Is(err, ErrStored) {
		t.Errorf("another version: %v", err)
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add(AppendLines(nil, []Line{{Card: pan.Token{1}, Seq: Sequence{Gaps: []Gap{{1, 2, 3}}}, Grey: &Grey{}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if lines, err := ReadLines(b); err == nil {
			if again, err := ReadLines(AppendLines(nil, lines)); err != nil || len(again) != len(lines) {
				t.Errorf("%d lines become %d: %v", len(lines), len(again), err)
			}
		}
	})
}

// LaterOf joins loads by time: what came after an instant, and was not declined.
func TestLaterOf(t *testing.T) {
	s := card.State{Recent: []card.Recent{{ServiceAt: 10, Charged: 5}, {ServiceAt: 20, Charged: -100},
		{ServiceAt: 30, Charged: 7}, {ServiceAt: 40, Charged: 9, Reason: txn.CounterSeen},
		{ServiceAt: 50, Charged: 9, Tombstone: true}}}
	if got := LaterOf(&s, 15); got != -93 {
		t.Errorf("%d", got)
	}
}

func record(t *testing.T, at string, offset *int32) frame.Record {
	t.Helper()
	x := frame.Tap{Kind: "purchase", Card: "3104580000000001", PSAM: "000000000001", At: at, ClockOffset: offset}
	b, err := x.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Local times are as the calendar has them, leap days included.
func TestLocalTimes(t *testing.T) {
	c := Clock{Zone: 8 * 3600_000}
	for _, day := range []string{"2026-11-22T12:00:00+08:00", "2024-02-29T00:00:01+08:00", "2000-03-01T23:59:59+08:00",
		"2027-01-01T00:00:00+08:00", "1999-12-31T08:00:00+08:00"} {
		want, err := time.Parse(time.RFC3339, day)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := c.At(record(t, want.Format("20060102150405"), nil))
		if !ok || got != txn.MillisOf(want) {
			t.Errorf("%s: %v %v", day, got.Time(), ok)
		}
	}
}

// A clock that is off is corrected, by the record's own estimate first; one off by more than a
// day tells nothing, and one off by little is left alone.
func TestClocksAreCorrected(t *testing.T) {
	const minute = 60
	own := func(s int32) *int32 { return &s }
	for _, c := range []struct {
		ahead txn.Millis // of the header, s
		own   *int32
		off   txn.Millis // of the time, s
		sure  bool
	}{{0, nil, 0, true}, {2 * 3600, nil, 2 * 3600, true}, {-3 * 3600, nil, -3 * 3600, true}, {minute, nil, 0, true},
		{2 * 3600, own(0), 0, true}, {0, own(600), 600, true}, {25 * 3600, nil, 0, false}, {0, own(-90000), 0, false}} {
		clock := Clock{Ahead: c.ahead * 1000}
		at, sure := clock.At(record(t, "20261122120000", c.own))
		want := txn.MillisOf(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)) - c.off*1000
		if at != want || sure != c.sure {
			t.Errorf("%+v: %v %v", c, at.Time(), sure)
		}
	}
}

// A gate's state counts each record in the state that it is in, and knows how far a batch has
// come without a hole.
func TestGateCountsAndResumes(t *testing.T) {
	g := Gate{}
	h := frame.Header{Boot: 1, Batch: 4, BatchRecords: 30, TotalRecords: 10, TotalSum: 1000}
	if g.Frame(&h, 10, 0) {
		t.Error("the first frame went back")
	}
	h.Offset, h.TotalRecords, h.TotalSum = 20, 30, 3000
	g.Frame(&h, 10, 0)
	if g.Batches[0].Next != 10 {
		t.Errorf("a hole is passed over: %+v", g.Batches)
	}
	h.Offset, h.TotalRecords, h.TotalSum = 10, 20, 2000
	if g.Frame(&h, 10, 0) || g.Batches[0].Next != 20 || g.Own.Records != 30 {
		t.Errorf("a late part: %+v", g)
	}
	h.Batch, h.Offset, h.TotalRecords = 5, 0, 7
	if !g.Frame(&h, 7, 0) || !g.Back || g.Own.Records != 30 {
		t.Errorf("a later batch that says less: %+v", g)
	}
	g.Count(Fate{}, Fate{Held, Torn}, 50)
	g.Count(Fate{Held, Torn}, Fate{State: Accepted}, 50)
	g.Count(Fate{}, Fate{Rejected, TACWrong}, 30)
	if g.Accepted != (Tally{1, 50}) || g.Held != (Tally{}) || g.Arrived() != (Tally{2, 80}) {
		t.Errorf("%+v", g)
	}
	for i := range uint32(BatchesMax + 3) {
		h.Batch = 10 + i
		g.Frame(&h, 1, 0)
	}
	if len(g.Batches) != BatchesMax || g.Batches[BatchesMax-1].Number != 10+BatchesMax+2 {
		t.Errorf("%d batches are remembered", len(g.Batches))
	}
}

// Every state and reason has a code of its own, which never changes.
func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for r := Malformed; r < reasonEnd; r++ {
		if r > CardUnknown && r < Dispute {
			continue
		}
		if code := r.String(); code == "unknown" || seen[code] {
			t.Errorf("reason %d is %q", r, code)
		} else {
			seen[code] = true
		}
	}
	if got := fmt.Sprint(Held, Dispute, Torn, KeyUnknown, State(99), Reason(31), Reason(99)); got !=
		"held dispute torn key_unknown unknown unknown unknown" {
		t.Error(got)
	}
	if string([]byte{Accepted.Letter(), Duplicate.Letter(), Rejected.Letter(), Held.Letter(), Taken.Letter(), Unknown.Letter()}) != "adrht?" {
		t.Error("letters")
	}
}

package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const now txn.Millis = 1772413200000 // 2026-03-02 09:00 in China

// hall is an importer over the real engine and the memory store.
type hall struct {
	t        *testing.T
	memory   *storetest.Memory
	token    *pan.Tokenizer
	importer *Importer
	pauses   []time.Duration
	stopAt   int // the pause that ends the context; 0 for none
}

type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

var errStopped = errors.New("the process ended")

func newHall(t *testing.T) *hall {
	t.Helper()
	token, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	clock := func() txn.Millis { return now }
	h := &hall{t: t, token: token, memory: storetest.NewMemory(storetest.MemoryOptions{Now: clock})}
	if err := h.memory.OpenEpoch(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{Cards: h.memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	h.importer = New(Options{Engine: e, Registry: h.memory, Tokenizer: token, Now: clock,
		Pause: func(_ context.Context, d time.Duration) error {
			h.pauses = append(h.pauses, d)
			if len(h.pauses) == h.stopAt {
				return errStopped
			}
			return nil
		}})
	return h
}

func (h *hall) run(id, list string, change ...func(*Job)) (Result, error) {
	job := Job{ID: id, Actor: "li.lei", List: strings.NewReader(list)}
	for _, c := range change {
		c(&job)
	}
	return h.importer.Import(h.t.Context(), job)
}

func (h *hall) must(id, list string, change ...func(*Job)) Result {
	h.t.Helper()
	r, err := h.run(id, list, change...)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *hall) tokenOf(number string) pan.Token {
	n, err := pan.Parse(number)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.token.Token(n)
}

func (h *hall) mark(token pan.Token) txn.Mark {
	e, _, err := h.memory.Entry(h.t.Context(), token)
	if err != nil {
		h.t.Fatal(err)
	}
	return e.Mark
}

func number(i int) string { return fmt.Sprintf("3104%012d", i) }

// many is a list of n lost cards.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(number(i) + ",lost\n")
	}
	return b.String()
}

func TestAListIsFrozen(t *testing.T) {
	h := newHall(t)
	token := h.tokenOf("3104000000000077")
	list := "\ufeffcard,reason,scope,since,note\r\n" +
		"3104000000000001,lost,all,2026-03-01 12:00:00,F-17\r\n" +
		"\n# from the old system\n" +
		"3104000000000002,risk,transit purse,2026-03-01T12:00:00Z,\"two, notes\"\n" +
		token.String() + ",replaced\n" +
		"3104000000000001,lost"
	r := h.must("day-1", list)
	if r.Lines != 4 || r.Frozen != 3 || r.Already != 1 || r.Refused != 0 {
		t.Fatalf("%+v", r)
	}
	for of, want := range map[pan.Token]txn.Mark{
		h.tokenOf(number(1)): {Reason: txn.Lost, Scope: txn.AppAll},
		h.tokenOf(number(2)): {Reason: txn.Risk, Scope: txn.AppTransit | txn.AppPurse},
		token:                {Reason: txn.Replaced, Scope: txn.AppAll},
	} {
		if got := h.mark(of); got != want {
			t.Errorf("bears %+v, want %+v", got, want)
		}
	}
	e, _, _ := h.memory.Entry(t.Context(), h.tokenOf(number(1)))
	if e.Actor != "li.lei" || e.Note != "F-17" || e.Since != now {
		t.Errorf("entry %+v", e)
	}
}

// Bad lines are reported by their numbers, masked, and hold up nothing.
func TestBadLinesAreReportedMasked(t *testing.T) {
	h := newHall(t)
	for _, c := range []struct{ line, code, card string }{
		{"310400000000000x,lost", BadCard, ""},
		{"3104,lost", BadCard, ""},
		{strings.Repeat("0", 32) + ",lost", BadCard, ""},
		{strings.Repeat("g", 32) + ",lost", BadCard, ""},
		{"3104000000000009", BadFields, ""},
		{"3104000000000009,lost,all,,n,more", BadFields, ""},
		{"3104000000000009,stolen", BadReason, "****0009"},
		{"3104000000000009,not_frozen", BadReason, "****0009"},
		{"3104000000000009,lost,metro", BadScope, "****0009"},
		{"3104000000000009,replaced,purse", BadScope, "****0009"},
		{"3104000000000009,lost,,yesterday", BadSince, "****0009"},
		{"3104000000000009,lost,,2026-03-02 09:00:01", BadFuture, "****0009"},
		{"3104000000000009,lost,,,see 3104 0000 0000 0001", BadNote, "****0009"},
		{"3104000000000009,lost,,," + strings.Repeat("n", 129), BadNote, "****0009"},
		{"3104000000000009,lost,,,a\tb", BadNote, "****0009"},
		{`3104000000000009,"lost`, BadCSV, ""},
		{"3104000000000009,lost,,," + strings.Repeat("n", lineMax), BadLength, ""},
		{"3104000000000009,lost,,," + strings.Repeat("n", 200_000), BadLength, ""},
	} {
		var told []BadLine
		r := h.must("bad", "# first\n"+c.line+"\n"+number(1)+",lost\n", func(j *Job) {
			j.Bad, j.DryRun = func(b BadLine) { told = append(told, b) }, true
		})
		want := []BadLine{{Line: 2, Code: c.code, Card: c.card}}
		if r.Lines != 2 || r.Refused != 1 || !slices.Equal(r.Bad, want) || !slices.Equal(told, want) {
			t.Errorf("%.40q: %+v, want %+v", c.line, r, want)
		}
	}
	if got := h.mark(h.tokenOf(number(1))); got != (txn.Mark{}) {
		t.Errorf("a dry run froze: %+v", got)
	}
}

// The lines of a Result are bounded; every bad line is told all the same.
func TestManyBadLines(t *testing.T) {
	h := newHall(t)
	told := 0
	r := h.must("bad", strings.Repeat("nonsense\n", BadMax+10), func(j *Job) { j.Bad = func(BadLine) { told++ } })
	if r.Refused != BadMax+10 || len(r.Bad) != BadMax || told != BadMax+10 {
		t.Fatalf("%d refused, %d listed, %d told", r.Refused, len(r.Bad), told)
	}
}

func TestListsThatAreTooLong(t *testing.T) {
	h := newHall(t)
	list := strings.Repeat("#\n", LinesMax)
	if r, err := h.run("max", list); err != nil || r.Lines != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := h.run("more", list+"#\n"); !errors.Is(err, ErrList) {
		t.Fatalf("%v", err)
	}
	for _, id := range []string{"", "a/b", "a b", strings.Repeat("x", IDMax+1)} {
		if _, err := h.run(id, ""); !errors.Is(err, ErrList) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

// An import that was stopped goes on where it stood under the same id; what was done after
// the last note is done again and changes nothing. In the end every card is closed.
func TestAnImportGoesOn(t *testing.T) {
	const n = 40 * ListMax
	list := "nonsense\n" + many(n) + "more nonsense\n"
	for _, stopAt := range []int{1, 15, 16, 17, 33, 40} {
		h := newHall(t)
		h.stopAt = stopAt
		if _, err := h.run("x", list); !errors.Is(err, errStopped) {
			t.Fatalf("stop at %d: %v", stopAt, err)
		}
		r := h.must("x", list)
		noted := (stopAt - 1) / journalEvery * journalEvery * ListMax
		if r.Resumed != noted || r.Frozen+r.Already != n || r.Refused != 2 || len(r.Bad) != 2 || r.Lines != n+2 {
			t.Fatalf("stop at %d: %+v, want %d resumed", stopAt, r, noted)
		}
		for i := range n {
			if got := h.mark(h.tokenOf(number(i))); got.Reason != txn.Lost {
				t.Fatalf("stop at %d: card %d bears %+v", stopAt, i, got)
			}
		}
		if again := h.must("x", list); again.Resumed != n || again.Frozen != r.Frozen || again.Already != r.Already {
			t.Fatalf("given again: %+v", again)
		}
	}
}

// Another list under the same id is no continuation.
func TestAnotherListUnderTheSameID(t *testing.T) {
	h := newHall(t)
	list := many(20 * ListMax)
	h.must("x", list)
	for name, other := range map[string]string{"changed": strings.Replace(list, "lost", "risk", 1),
		"shorter": many(19 * ListMax), "empty": ""} {
		if _, err := h.run("x", other); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := h.must("x", list+number(999_999)+",lost\n"); r.Resumed != 20*ListMax || r.Frozen != 20*ListMax+1 {
		t.Errorf("a list that was added to: %+v", r)
	}
}

// A store that fails for a moment is asked again; one that stays away stops the import, and
// nothing is lost or told wrongly.
func TestFaultsOfTheStore(t *testing.T) {
	list := many(3 * ListMax)
	for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
		h := newHall(t)
		calls := 0
		h.memory.SetFault(func(op storetest.Op) storetest.Fault {
			if op == storetest.OpCommit {
				if calls++; calls%7 == 0 {
					return fault
				}
			}
			return storetest.NoFault
		})
		r := h.must("x", list)
		if r.Frozen+r.Already != 3*ListMax || r.Refused != 0 {
			t.Fatalf("%+v", r)
		}
		h = newHall(t)
		h.memory.SetFault(func(op storetest.Op) storetest.Fault {
			if op == storetest.OpCommit {
				return fault
			}
			return storetest.NoFault
		})
		if _, err := h.run("x", list); !errors.Is(err, ErrStore) {
			t.Fatalf("%v", err)
		}
		h.memory.SetFault(nil)
		if r := h.must("x", list); r.Frozen+r.Already != 3*ListMax {
			t.Fatalf("%+v", r)
		}
	}
}

// What is closed for ever stays so, and what is closed further keeps that.
func TestAnImportOpensNothing(t *testing.T) {
	h := newHall(t)
	h.must("a", number(1)+",replaced\n"+number(2)+",lost\n")
	r := h.must("b", number(1)+",lost\n"+number(2)+",risk,purse\n")
	if r.Already != 2 || h.mark(h.tokenOf(number(1))).Reason != txn.Replaced ||
		h.mark(h.tokenOf(number(2))) != (txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}) {
		t.Fatalf("%+v", r)
	}
}

// Lists are spread over time at the rate, rest at least as long as they worked, and longer when
// taps need the machine.
func TestPace(t *testing.T) {
	for _, run := range [][]struct{ took, want time.Duration }{
		{{4, 6}, {2, 8}, {3, 7}},     // at the rate
		{{7, 7}, {2, 4}, {2, 8}},     // more than half of the time: made up for
		{{1, 9}, {8, 16}, {100, 60}}, // taps are about; but an import must end
	} {
		p := pace{every: 10 * time.Millisecond}
		for i, c := range run {
			if got := p.rest(c.took * time.Millisecond); got != c.want*time.Millisecond {
				t.Errorf("%v, list %d: %s", run, i, got)
			}
		}
	}
	h := newHall(t)
	h.must("x", many(50*ListMax))
	var all time.Duration
	for _, d := range h.pauses {
		all += d
	}
	if len(h.pauses) != 50 || all > 4*50*time.Second*ListMax/perSecondDefault {
		t.Errorf("%d pauses, %s in all", len(h.pauses), all)
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"3104000000000001,lost", "\"a\",\"b\"", "\ufeff#", ",,,,"} {
		f.Add(s)
	}
	token, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := newReader(strings.NewReader(text), token, now)
		for range 100 {
			line, bad, err := r.next()
			if err != nil {
				return
			}
			if bad == "" && (line.card.IsZero() || line.mark.Reason == txn.NotFrozen || line.mark.Scope == 0) {
				t.Fatalf("%q became %+v", text, line)
			}
		}
	})
}

// The head names the columns in whatever order; one that cannot be right refuses the list.
func TestColumnsByTheirHead(t *testing.T) {
	h := newHall(t)
	list := "Note,scope,TOKEN,reason\nform 7,transit,3104000000000077,risk\n,,3104000000000078,lost\n" +
		"x,y\nform 8,,3104000000000079,stolen\n"
	r, err := h.importer.Import(t.Context(), Job{ID: "head", Actor: "li.lei", List: strings.NewReader(list)})
	if err != nil || r.Frozen != 2 || r.Refused != 2 || r.Bad[0].Line != 4 || r.Bad[1].Code != BadReason {
		t.Fatalf("%v: %+v", err, r)
	}
	if got := h.mark(h.tokenOf("3104000000000077")); got != (txn.Mark{Reason: txn.Risk, Scope: txn.AppTransit}) {
		t.Errorf("bears %+v", got)
	}
	for _, head := range []string{"card,reason,colour", "card,reason,card", "card,scope"} {
		_, err := h.importer.Import(t.Context(), Job{ID: "bad", Actor: "li.lei",
			List: strings.NewReader(head + "\n3104000000000077,lost,x\n")})
		if !errors.Is(err, ErrList) || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v", head, err)
		}
	}
}

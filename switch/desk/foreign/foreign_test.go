package foreign

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const start txn.Millis = 1772413200000 // 2026-03-02 09:00 in China

// marks is the engine's blacklist in front of the store's.
type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// town is a service over the real engine and the memory store.
type town struct {
	t       *testing.T
	memory  *storetest.Memory
	token   *pan.Tokenizer
	engine  *engine.Engine
	service *Service
	now     txn.Millis
	local   map[pan.Token]Local
	count   uint32
	key     ed25519.PrivateKey
	pauses  int
	stopAt  int
}

var errStopped = errors.New("the process ended")

func newTown(t *testing.T) *town {
	t.Helper()
	token, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	c := &town{t: t, token: token, now: start, local: map[pan.Token]Local{},
		key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))}
	clock := func() txn.Millis { return c.now }
	c.memory = storetest.NewMemory(storetest.MemoryOptions{Now: clock})
	if err := c.memory.OpenEpoch(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200}})
	if err != nil {
		t.Fatal(err)
	}
	c.engine, err = engine.New(engine.Options{Cards: c.memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	c.service = c.another()
	c.source("luoyang", Ed25519)
	return c
}

// another is a second process on the same store.
func (c *town) another() *Service {
	s, err := New(Options{Engine: c.engine, Registry: c.memory, List: c.memory, Tokenizer: c.token,
		Local: func(_ context.Context, card pan.Token) (Local, error) { return c.local[card], nil },
		Now:   func() txn.Millis { return c.now }, Pause: c.pause})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *town) pause(context.Context, time.Duration) error {
	if c.pauses++; c.pauses == c.stopAt {
		return errStopped
	}
	return nil
}

func (c *town) source(name, algorithm string) {
	c.t.Helper()
	in := Source{Name: name, Institution: strings.ToUpper(name), City: name, Algorithm: algorithm}
	if algorithm == Ed25519 {
		in.PublicKey = fmt.Sprintf("%x", c.key.Public())
	}
	if err := c.service.PutSource(c.t.Context(), in); err != nil {
		c.t.Fatal(err)
	}
}

func number(i int) string { return fmt.Sprintf("3104%012d", i) }

func (c *town) tokenOf(i int) pan.Token {
	n, err := pan.Parse(number(i))
	if err != nil {
		c.t.Fatal(err)
	}
	return c.token.Token(n)
}

// body is a list that ends in a day.
func (c *town) body(source string, epoch int, cards ...int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "source,%s\nepoch,%d\nmade,%s\nexpires,%s\ncards,%d\n", source, epoch,
		c.now.Time().Format(time.RFC3339), (c.now + 86_400_000).Time().Format(time.RFC3339), len(cards))
	for _, i := range cards {
		b.WriteString(number(i) + "\n")
	}
	return b.Bytes()
}

func (c *town) offer(source string, body []byte) (Report, error) {
	proof := ed25519.Sign(c.key, body)
	if source == "kaifeng" {
		sum := sha256.Sum256(body)
		proof = sum[:]
	}
	return c.service.Import(c.t.Context(), Offer{Source: source, Body: body, Proof: proof, By: "zhao"})
}

func (c *town) must(source string, epoch int, cards ...int) Report {
	c.t.Helper()
	r, err := c.offer(source, c.body(source, epoch, cards...))
	if err != nil || r.Refusal != "" {
		c.t.Fatal(r, err)
	}
	return r
}

func (c *town) entry(i int) store.Entry {
	c.t.Helper()
	e, _, err := c.memory.Entry(c.t.Context(), c.tokenOf(i))
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// ask has the engine decide something about a card.
func (c *town) ask(kind txn.Kind, i int, change func(*txn.Request)) engine.Answer {
	c.t.Helper()
	terminal, err := txn.ParseTerminalID("T1")
	if err != nil {
		c.t.Fatal(err)
	}
	c.count++
	r := &txn.Request{ID: txn.RequestID{Terminal: terminal, Counter: c.count}, Kind: kind, Card: c.tokenOf(i),
		Currency: txn.CNY, ServiceAt: c.now, ReceivedAt: c.now}
	if change != nil {
		change(r)
	}
	a := c.engine.Authorize(c.t.Context(), r)
	if a.Err != nil {
		c.t.Fatal(a.Err)
	}
	return a
}

// gates is the list that a gate would have now.
func (c *town) gates() *list.List {
	c.t.Helper()
	p, err := list.NewPublisher(list.Options{Source: c.memory, Registry: c.memory, Scheme: "test", KeyID: "k",
		Now: func() time.Time { return c.now.Time() }})
	if err == nil {
		err = p.Step(c.t.Context())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	tracker := list.NewTracker(list.TrackerOptions{Registry: c.memory, Node: "n"})
	h, err := list.NewHandler(list.HandlerOptions{Publisher: p, Tracker: tracker,
		Device: func(*http.Request) (string, bool) { return "G1", true }})
	if err != nil {
		c.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/lists/transit/full?format=exact", nil))
	l, err := list.Open(w.Body.Bytes(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// ZZ4: another city's list refuses its cards on line and at the gates, whatever happens here,
// until that city's own next list names them no more.
func TestDuty_ZZ4_ForeignListsHoldUntilTheirSourceLifts(t *testing.T) {
	c := newTown(t)
	c.ask(txn.Enrol, 1, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse, Issuer: "LUOYANG"}
		c.local[r.Card] = Local{Issuer: "LUOYANG"}
	})
	c.ask(txn.Load, 1, func(r *txn.Request) { r.Amount = 5000 })
	if a := c.ask(txn.BusBoarding, 1, nil); a.Decision.Outcome != txn.Approved {
		t.Fatal(a.Decision.Reason)
	}
	if r := c.must("luoyang", 7, 1, 2); r.Frozen != 2 || r.Cards != 2 {
		t.Fatalf("%+v", r)
	}
	c.now += 60_000
	if a := c.ask(txn.BusBoarding, 1, nil); a.Decision.Reason != txn.CardFrozen {
		t.Errorf("a frozen guest rides: %s", a.Decision.Reason)
	}
	if l := c.gates(); !l.Contains(c.tokenOf(1)) || !l.Contains(c.tokenOf(2)) || l.Contains(c.tokenOf(3)) {
		t.Error("the gates' list does not say the same")
	}
	if held, err := c.another().Held(t.Context(), c.tokenOf(1), c.tokenOf(3)); err != nil || len(held) != 1 ||
		fmt.Sprint(held[c.tokenOf(1)]) != "[luoyang]" {
		t.Errorf("held %v, %v", held, err)
	}
	c.now += 2 * 86_400_000 // the list has ended
	all, err := c.service.Sources(t.Context())
	if err != nil || len(all) != 1 || !all[0].Stale || all[0].Cards != 2 || all[0].Epoch != 7 {
		t.Errorf("%+v, %v", all, err)
	}
	if c.entry(1).Mark != frozen {
		t.Error("silence opened a card")
	}
	if r := c.must("luoyang", 8, 2); r.Released != 1 || r.Already != 1 || r.Frozen != 0 {
		t.Errorf("%+v", r)
	}
	if a := c.ask(txn.BusBoarding, 1, nil); a.Decision.Outcome != txn.Approved {
		t.Errorf("lifted by its source: %s", a.Decision.Reason)
	}
	if l := c.gates(); l.Contains(c.tokenOf(1)) || !l.Contains(c.tokenOf(2)) {
		t.Error("the gates' list does not follow")
	}
}

// A source lifts its own freeze only: what we or another source closed stays.
func TestASourceLiftsOnlyItsOwn(t *testing.T) {
	c := newTown(t)
	c.source("kaifeng", Checksum)
	lost := txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	transit := txn.Mark{Reason: txn.Suspended, Scope: txn.AppTransit}
	freeze := func(i int, m txn.Mark) {
		c.ask(txn.Freeze, i, func(r *txn.Request) { r.Listing = txn.Listing{Mark: m, Actor: "zhao"} })
	}
	freeze(1, lost)    // before the list
	freeze(2, transit) // widened by the list
	c.must("luoyang", 1, 1, 2, 3, 4, 5)
	if err := c.service.Claim(t.Context(), c.tokenOf(3), lost); err != nil {
		t.Fatal(err)
	}
	freeze(3, lost) // after it
	if r := c.must("kaifeng", 1, 4); r.Already != 1 {
		t.Fatalf("%+v", r)
	}
	r := c.must("luoyang", 2)
	if r.Released != 1 || r.Kept != 4 {
		t.Errorf("%+v", r)
	}
	for i, want := range map[int]txn.Mark{1: lost, 2: transit, 3: lost, 4: frozen, 5: {}} {
		if got := c.entry(i).Mark; got != want {
			t.Errorf("card %d bears %+v, want %+v", i, got, want)
		}
	}
	if r := c.must("kaifeng", 2); r.Released != 1 {
		t.Errorf("%+v", r)
	}
	// What was kept is ours again: a list that comes and goes leaves it.
	c.must("luoyang", 3, 1, 2)
	c.must("luoyang", 4)
	if c.entry(1).Mark != lost || c.entry(2).Mark != transit {
		t.Errorf("%+v %+v", c.entry(1).Mark, c.entry(2).Mark)
	}
	if keys, err := c.memory.Keys(t.Context(), localPrefix); err != nil || len(keys) != 0 {
		t.Errorf("claims left: %v %v", keys, err)
	}
}

// An institution freezes its own cards, and proves its list; a list is in force once.
func TestListsThatAreNotTaken(t *testing.T) {
	c := newTown(t)
	c.local[c.tokenOf(1)] = Local{Home: true}
	c.local[c.tokenOf(2)] = Local{Issuer: "KAIFENG"}
	r := c.must("luoyang", 5, 3, 1, 2)
	if fmt.Sprint(r.Bad) != "[{7 card_home ****0001} {8 card_other ****0002}]" || r.Frozen != 1 {
		t.Errorf("%+v", r)
	}
	body := c.body("luoyang", 5, 3, 1, 2)
	if again, err := c.offer("luoyang", body); err != nil || !again.Replay || len(again.Bad) != 2 {
		t.Errorf("%+v, %v", again, err)
	}
	for name, one := range map[string]struct {
		source string
		body   []byte
		want   Refusal
	}{
		"old":     {"luoyang", c.body("luoyang", 4), EpochOld},
		"reused":  {"luoyang", c.body("luoyang", 5), EpochReused},
		"other":   {"luoyang", c.body("kaifeng", 6), OtherSource},
		"unknown": {"xinxiang", c.body("xinxiang", 6), Unknown},
		"ended": {"luoyang", bytes.Replace(c.body("luoyang", 6), []byte("expires,2026-03-03"),
			[]byte("expires,2026-03-01"), 1), Expired},
		"future": {"luoyang", bytes.Replace(c.body("luoyang", 6), []byte("made,2026-03-02"),
			[]byte("made,2026-03-09"), 1), MadeInFuture},
	} {
		if r, err := c.offer(one.source, one.body); err != nil || r.Refusal != one.want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	r, err := c.service.Import(t.Context(), Offer{Source: "luoyang", Body: c.body("luoyang", 6), Proof: make([]byte, 64)})
	if err != nil || r.Refusal != ProofWrong {
		t.Errorf("%+v, %v", r, err)
	}
	for _, text := range []string{"", "source,luoyang\n", string(c.body("luoyang", 6, 1, 1)),
		strings.Replace(string(c.body("luoyang", 6, 1)), "3104", "31x4", 1),
		strings.Replace(string(c.body("luoyang", 6, 1)), "cards,1", "cards,2", 1),
		strings.Replace(string(c.body("luoyang", 6)), "epoch,6", "epoch,-1", 1)} {
		if _, err := c.offer("luoyang", []byte(text)); !errors.Is(err, ErrList) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := c.service.RemoveSource(t.Context(), "luoyang"); !errors.Is(err, ErrSource) {
		t.Errorf("a source that holds cards was removed: %v", err)
	}
	c.must("luoyang", 9)
	if err := c.service.RemoveSource(t.Context(), "luoyang"); err != nil || c.entry(3).Mark != (txn.Mark{}) {
		t.Errorf("%v", err)
	}
	for _, bad := range []Source{{Name: "a/b", Institution: "X", Algorithm: Checksum}, {Name: "a", Algorithm: Checksum},
		{Name: "a", Institution: "X", Algorithm: Ed25519}, {Name: "a", Institution: "X", Algorithm: "md5"},
		{Name: "a", Institution: "X", Algorithm: Checksum, PublicKey: "zz"}} {
		if err := c.service.PutSource(t.Context(), bad); !errors.Is(err, ErrSource) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// An import that ended at any point is finished by the same list, or a later one; no card is
// left frozen that no source holds.
func TestAnImportThatBrokeOffIsFinished(t *testing.T) {
	first, second := make([]int, 200), make([]int, 200)
	for i := range first {
		first[i], second[i] = i, i+100
	}
	for calls := 1; ; calls += 37 {
		c := newTown(t)
		c.must("luoyang", 1, first...)
		n := 0
		c.memory.SetFault(func(op storetest.Op) storetest.Fault {
			if n++; n > calls && (op == storetest.OpPut || op == storetest.OpCommit) {
				return storetest.NotApplied
			}
			return storetest.NoFault
		})
		body := c.body("luoyang", 2, second...)
		_, err := c.offer("luoyang", body)
		c.memory.SetFault(nil)
		if err == nil {
			return
		}
		c.now += leaseMax
		c.service = c.another()
		if calls%2 == 0 {
			body = c.body("luoyang", 3, second...)
		}
		if r, err := c.offer("luoyang", body); err != nil || r.Refusal != "" || r.Cards != 200 {
			t.Fatalf("stop after %d calls: %+v, %v", calls, r, err)
		}
		for i := range 300 {
			if got := c.entry(i).Mark == frozen; got != (i >= 100) {
				t.Fatalf("stop after %d calls: card %d frozen %v", calls, i, got)
			}
		}
	}
}

// While one list of a source is taken in, another waits; after a crash only for the lease.
func TestOneListAtATime(t *testing.T) {
	c := newTown(t)
	c.must("luoyang", 1, 1)
	var h head
	version, err := c.service.get(t.Context(), headPrefix+"luoyang", &h)
	if err != nil {
		t.Fatal(err)
	}
	h.Taking, h.Lease = true, c.now+leaseMax
	if err := c.service.put(t.Context(), headPrefix+"luoyang", h, version); err != nil {
		t.Fatal(err)
	}
	body := c.body("luoyang", 2)
	if _, err := c.offer("luoyang", body); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	c.now += leaseMax
	if r, err := c.offer("luoyang", body); err != nil || r.Released != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The netting is what the ledger moved: by institution and day, ours and banks' left out.
func TestNettingIsTheLedgers(t *testing.T) {
	day := txn.BusinessDate(20260302)
	record := func(issuer string, kind txn.Kind, purse txn.Minor, more ...func(*txn.Record)) *txn.Record {
		r := &txn.Record{Kind: kind, Outcome: txn.Approved, Issuer: issuer, BusinessDate: day,
			Postings: []txn.Posting{{Account: "purse", Amount: purse}, {Account: "operator/M5", Amount: -purse}}}
		for _, change := range more {
			change(r)
		}
		return r
	}
	n := NewNetting([]string{"LUOYANG", "KAIFENG"})
	for _, r := range []*txn.Record{
		record("LUOYANG", txn.BusBoarding, -200), record("LUOYANG", txn.MetroExit, -400),
		record("LUOYANG", txn.Load, 5000), record("LUOYANG", txn.Reversal, 200),
		record("LUOYANG", txn.BusBoarding, -300, func(r *txn.Record) { r.BusinessDate = 20260303 }),
		record("LUOYANG", txn.BusBoarding, -900, func(r *txn.Record) { r.Outcome, r.Postings = txn.Declined, nil }),
		record("KAIFENG", txn.Purchase, -150), record("", txn.BusBoarding, -1), record("ICBC", txn.BusBoarding, -1),
		record("KAIFENG", txn.TransferOut, -70), record("LUOYANG", txn.BusBoarding, 0),
	} {
		if err := n.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	want := "institution,day,count,used,given,due,declined\n" +
		"KAIFENG,2026-03-02,1,150,0,150,0\nLUOYANG,2026-03-02,4,600,5200,-4600,1\nLUOYANG,2026-03-03,1,300,0,300,0\n"
	if got := string(CSV(n.Rows())); got != want {
		t.Errorf("%s", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("source,a\nepoch,1\nmade,2026-03-02T09:00:00Z\nexpires,2026-03-03T09:00:00Z\ncards,1\n3104000000000001\n")
	f.Add("source\n\n\n\n\n")
	token, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := read([]byte(text), token)
		if err != nil && !errors.Is(err, ErrList) {
			t.Fatal(err)
		}
		for i := 1; err == nil && i < len(w.cards); i++ {
			if bytes.Compare(w.cards[i-1].card[:], w.cards[i].card[:]) >= 0 {
				t.Fatal("out of order")
			}
		}
	})
}

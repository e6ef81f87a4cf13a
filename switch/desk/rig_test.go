package desk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	second txn.Millis = 1000
	minute            = 60 * second
	hour              = 60 * minute
	day               = 24 * hour
	// morning is 2026-03-02 09:00 in China, a Monday.
	morning txn.Millis = 1772413200000
)

// rig is a desk over the real engine, the memory store and the scheme of a city.
type rig struct {
	t       testing.TB
	memory  *storetest.Memory
	engine  *engine.Engine
	desk    *Service
	works   *engine.Clockwork
	notices *fakeNotices
	token   *pan.Tokenizer
	mu      sync.Mutex
	at      txn.Millis
	ids     uint64
	city    string
}

func newRig(t testing.TB, city string) *rig {
	t.Helper()
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, at: morning, token: tokenizer, city: city, notices: &fakeNotices{}}
	r.memory = storetest.NewMemory(storetest.MemoryOptions{Now: r.now})
	if err := r.memory.OpenEpoch(t.Context(), r.now()); err != nil {
		t.Fatal(err)
	}
	r.start()
	return r
}

// marks is the engine's blacklist in front of the store's.
type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// start makes engine and desk anew on the same store, as a restart does.
func (r *rig) start() {
	r.t.Helper()
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200},
		Metro: fare.MetroFares{Default: 500}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.engine, err = engine.New(engine.Options{Cards: r.memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: r.now})
	if err != nil {
		r.t.Fatal(err)
	}
	policy, err := scheme.Load(r.city)
	if err != nil {
		r.t.Fatal(err)
	}
	calendar, err := scheme.BuiltInCalendar()
	if err != nil {
		r.t.Fatal(err)
	}
	r.desk, err = New(Options{Cards: r.memory, List: r.memory, Registry: r.memory, Engine: r.engine,
		Tokenizer: r.token, Scheme: City(policy, calendar), Notices: r.notices, History: &ledger{r},
		Now: r.now})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.desk.Close)
	r.works = engine.NewClockwork(r.engine, r.memory, engine.Calendar{Zone: time.FixedZone("", 8*3600)})
}

func (r *rig) now() txn.Millis {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *rig) pass(d txn.Millis) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at += d
}

// settle does everything that is due, one round after the other, until nothing is.
func (r *rig) settle() {
	r.t.Helper()
	for range 50 {
		var due []store.Due
		for b := range txn.Bucket(txn.BucketCount) {
			entries, err := r.memory.DueBefore(r.t.Context(), b, r.now(), store.Page{Max: 1000})
			if err != nil {
				r.t.Fatal(err)
			}
			due = append(due, entries...)
		}
		due = slices.DeleteFunc(due, func(d store.Due) bool {
			return d.Key[0] != engine.DueDocument && d.Key[0] != engine.DueMove
		})
		if len(due) == 0 {
			return
		}
		for _, d := range due {
			item := dueDocument{token: pan.Token(d.Key[1:]), move: d.Key[0] == engine.DueMove}
			if err := r.desk.doDue(r.t.Context(), item); err != nil {
				r.t.Fatalf("due %q: %v", d.Key[0], err)
			}
		}
	}
	r.t.Fatal("something is always due")
}

// command makes a command of staff.
func (r *rig) command(by string, step account.Step) account.Command {
	r.ids++
	var id account.CommandID
	binary.BigEndian.PutUint64(id[:], r.ids)
	return account.Command{ID: id, Made: r.now(), By: account.Staff{ID: by, Role: "desk", Outlet: "d1"},
		Step: step}
}

// must carries a command out that has to be accepted.
func (r *rig) must(token pan.Token, by string, step account.Step) Answer {
	r.t.Helper()
	a, err := r.desk.Do(r.t.Context(), token, r.command(by, step))
	if err != nil || a.Outcome.Refusal != account.RefusalNone {
		r.t.Fatalf("%s: %v, %v", step.Name(), a.Outcome.Refusal, err)
	}
	return a
}

func (r *rig) refused(token pan.Token, by string, step account.Step, want account.Refusal) {
	r.t.Helper()
	a, err := r.desk.Do(r.t.Context(), token, r.command(by, step))
	if err != nil || a.Outcome.Refusal != want {
		r.t.Fatalf("%s: %v, %v, want %v", step.Name(), a.Outcome.Refusal, err, want)
	}
}

var atDesk = account.Who{Actor: account.Holder, Channel: account.AtAgency, ID: account.ResidentID}

func cardToken(n byte) pan.Token { return pan.Token{n * 4, n, 0xca} }

// open enrols a holder with chip card n.
func (r *rig) open(n byte) pan.Token {
	r.t.Helper()
	holder := r.desk.HolderToken(fmt.Sprintf("id-%d", n))
	token, _, err := r.desk.AccountOf(r.t.Context(), holder)
	if err != nil {
		r.t.Fatal(err)
	}
	a := r.must(token, "li.lei", account.OpenAccount{Holder: holder, Who: atDesk, Checked: true,
		Carrier: account.NewCarrier{Token: cardToken(n), Last4: pan.Last4{'0', '0', '0', '0' + n},
			Kind: account.Chip, Family: "t_union", Ready: true}})
	if a.Left != 0 {
		r.t.Fatalf("effects left: %+v", a.Account.ToDo)
	}
	return token
}

func (r *rig) request(kind txn.Kind, card pan.Token, amount txn.Minor, change ...func(*txn.Request)) *txn.Request {
	r.ids++
	gate, err := txn.ParseTerminalID("GATE01")
	if err != nil {
		r.t.Fatal(err)
	}
	q := &txn.Request{ID: txn.RequestID{Terminal: gate, Boot: 1, Counter: uint32(r.ids)}, Kind: kind,
		Card: card, Amount: amount, Currency: txn.CNY, ServiceAt: r.now(), ReceivedAt: r.now(),
		Place: txn.Place{Operator: "bus", Line: "M1", Payee: "operator/bus", Funding: "acquirer/SZT"}}
	for _, c := range change {
		c(q)
	}
	return q
}

// ask sends a request to the engine and returns its reason.
func (r *rig) ask(q *txn.Request) txn.Reason {
	r.t.Helper()
	a := r.engine.Authorize(r.t.Context(), q)
	if a.Err != nil {
		r.t.Fatalf("%s: %v", q.Kind, a.Err)
	}
	return a.Decision.Reason
}

func (r *rig) wants(q *txn.Request, want txn.Reason) {
	r.t.Helper()
	if got := r.ask(q); got != want {
		r.t.Fatalf("%s of %s: %s, want %s", q.Kind, q.Card, got, want)
	}
}

func (r *rig) card(token pan.Token) card.State {
	r.t.Helper()
	s, err := r.desk.card(r.t.Context(), token)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) account(token pan.Token) *account.Account {
	r.t.Helper()
	doc, _, err := r.desk.Load(r.t.Context(), token)
	if err != nil || doc == nil {
		r.t.Fatalf("account %s: %v", token, err)
	}
	return doc
}

// listed returns a carrier's mark in the store.
func (r *rig) listed(card pan.Token) txn.Mark {
	r.t.Helper()
	e, ok, err := r.memory.Entry(r.t.Context(), card)
	if err != nil {
		r.t.Fatal(err)
	}
	if !ok {
		return txn.Mark{}
	}
	return e.Mark
}

// records returns every settled record, in order within each bucket.
func (r *rig) records() []txn.Record {
	r.t.Helper()
	var all []txn.Record
	for shard := range r.memory.Shards() {
		var after store.Cursor
		for {
			entries, next, err := r.memory.Read(r.t.Context(), shard, after, 1000)
			if err != nil {
				r.t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			after = next
			for _, e := range entries {
				rec, err := txn.DecodeRecord(e.Record)
				if err != nil {
					continue // markers
				}
				rec.Position, rec.BusinessDate = e.Position, e.Date
				all = append(all, rec)
			}
			if len(entries) < 1000 {
				break
			}
		}
	}
	return all
}

// ledger is the desk's history over the store's outbox.
type ledger struct{ r *rig }

func (l *ledger) Records(_ context.Context, card pan.Token, _ txn.BusinessDate, yield func(*txn.Record) error) error {
	for _, rec := range l.r.records() {
		if rec.Card == card {
			if err := yield(&rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum adds the postings to an account.
func (r *rig) sum(a txn.Account) (sum txn.Minor) {
	for _, rec := range r.records() {
		for _, p := range rec.Postings {
			if p.Account == a {
				sum += p.Amount
			}
		}
	}
	return sum
}

// fakeNotices keeps what it was told and tells the clocks that a test sets.
type fakeNotices struct {
	mu     sync.Mutex
	told   []notice.Notice
	clocks map[string][]notice.Clock // by party, set by the test, the same for all notices
	fail   error
}

func (f *fakeNotices) Notify(_ context.Context, n notice.Notice) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	for _, t := range f.told {
		if t.ID == n.ID {
			return nil
		}
	}
	f.told = append(f.told, n)
	return nil
}

func (f *fakeNotices) Status(_ context.Context, id string) (*notice.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.told {
		if t.ID == id {
			return &notice.Status{Notice: t, Clocks: f.clocks[""]}, nil
		}
	}
	return nil, notice.ErrNoNotice
}

func (f *fakeNotices) kinds() (kinds []notice.Kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.told {
		kinds = append(kinds, t.Kind)
	}
	return kinds
}

package book

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

const (
	second txn.Millis = 1000
	hour              = 3600 * second
	// noon is 2026-11-22 12:00 in China.
	noon txn.Millis = 1795320000000
)

// rig is the service over the real engine and the memory store.
type rig struct {
	t       *testing.T
	memory  *storetest.Memory
	cards   *flaky
	engine  *engine.Engine
	s       *Service
	token   *pan.Tokenizer
	at      txn.Millis
	ids     uint32
	options func(*Options)
	keys    purse.KeyTable
}

// flaky lets a commit fail, before or after it was made.
type flaky struct {
	store.Cards
	mu    sync.Mutex // guards the fields below
	left  int        // commits until the fault; below zero never
	after bool
}

var errCut = errors.New("cut off")

func (f *flaky) Commit(ctx context.Context, list []*store.Commit) error {
	f.mu.Lock()
	f.left--
	hit, after := f.left == 0, f.after
	f.mu.Unlock()
	if hit && !after {
		return errCut
	}
	err := f.Cards.Commit(ctx, list)
	if hit {
		return errCut
	}
	return err
}

func newRig(t *testing.T, options func(*Options)) *rig {
	t.Helper()
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, token: tokenizer, at: noon, options: options, keys: purse.KeyTable{}}
	r.memory = storetest.NewMemory(storetest.MemoryOptions{Now: func() txn.Millis { return r.at }})
	if err := r.memory.OpenEpoch(t.Context(), r.at); err != nil {
		t.Fatal(err)
	}
	r.start()
	return r
}

type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// start makes engine and service anew on the same store, as a restart does.
func (r *rig) start() {
	r.t.Helper()
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cards = &flaky{Cards: r.memory, left: -1}
	policy := engine.DefaultPolicy(tariff)
	policy.OfflineAgeMax = 45 * 24 * hour
	now := func() txn.Millis { return r.at }
	r.engine, err = engine.New(engine.Options{Cards: r.memory, Blacklist: marks{blacklist.NewSet()},
		Policy: policy, Now: now})
	if err != nil {
		r.t.Fatal(err)
	}
	o := Options{Cards: r.cards, Registry: r.memory, Engine: r.engine, Tokenizer: r.token,
		SealKey: bytes.Repeat([]byte{5}, 32), Currency: txn.CNY, Zone: 8 * hour, FutureMax: 300 * second,
		AgeMax: 40 * 24 * hour, Now: now, Log: slog.New(slog.DiscardHandler),
		Source: func(context.Context, txn.TerminalID) (Source, error) {
			return Source{Place: txn.Place{Operator: "BUS", Payee: "operator/BUS"},
				Kinds: []txn.Kind{txn.BusBoarding, txn.Purchase}}, nil
		}}
	if r.options != nil {
		r.options(&o)
	}
	if r.s, err = New(o); err != nil {
		r.t.Fatal(err)
	}
}

func number(i int) string { return fmt.Sprintf("3104580000000%06d", i) }

func (r *rig) tokenOf(i int) pan.Token {
	n, err := pan.Parse(number(i))
	if err != nil {
		r.t.Fatal(err)
	}
	return r.token.Token(n)
}

// enrol opens cards with money in the purse.
func (r *rig) enrol(cards int, money txn.Minor) {
	r.t.Helper()
	for i := range cards {
		for _, q := range []txn.Request{
			{Kind: txn.Enrol, Enrolment: txn.Enrolment{Apps: txn.AppAll}},
			{Kind: txn.Load, Amount: money},
		} {
			r.ids++
			q.ID = txn.RequestID{Terminal: txn.TerminalID{'D'}, Boot: 1, Counter: r.ids}
			q.Card, q.Currency, q.ServiceAt, q.ReceivedAt = r.tokenOf(i), txn.CNY, r.at-23*hour, r.at
			if a := r.engine.Authorize(r.t.Context(), &q); a.Decision.Outcome != txn.Approved || a.Err != nil {
				r.t.Fatalf("%s: %s %v", q.Kind, a.Decision.Reason, a.Err)
			}
		}
	}
}

// tap is one off-line boarding, minutes before noon.
func tap(i int, seq uint32, counter uint16, before uint32, minutes int) frame.Tap {
	at := (noon + 8*hour - txn.Millis(minutes)*60*second).Time()
	return frame.Tap{Kind: "bus_boarding", TTI: 9, Card: frame.Digits(number(i)), PSAM: "010203040506",
		TermSeq: seq, Counter: counter, Amount: 190, Fare: 200, Before: before,
		At: at.Format("20060102150405"), KeyVersion: 1, KeyIndex: 1, Line: "M1"}
}

// gate is what a gate counts; it makes frames.
type gate struct {
	batch   uint32
	records uint64
	sum     uint64
	sentAt  int64
}

func (g *gate) next(taps ...frame.Tap) *frame.Upload {
	g.batch++
	u := &frame.Upload{Taps: taps}
	u.Header = frame.Header{Terminal: "GATE07", Boot: 1, Batch: g.batch, BatchRecords: uint32(len(taps)),
		First: g.records + 1, SentAt: int64(noon) + g.sentAt}
	for _, t := range taps {
		g.records++
		g.sum += uint64(t.Amount)
	}
	u.TotalRecords, u.TotalSum = g.records, g.sum
	return u
}

func device() txn.TerminalID {
	id, err := txn.ParseTerminalID("GATE07")
	if err != nil {
		panic(err)
	}
	return id
}

func (r *rig) try(u *frame.Upload) (*Answer, error) {
	r.t.Helper()
	b, err := u.Frame()
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := frame.Parse(b)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.s.Take(r.t.Context(), device(), &f)
}

// take sends a frame and returns the fates as "accepted held/torn …".
func (r *rig) take(u *frame.Upload) string {
	r.t.Helper()
	a, err := r.try(u)
	if err != nil {
		r.t.Fatal(err)
	}
	return told(a.Fates)
}

func told(fates []upload.Fate) string {
	var words []string
	for _, f := range fates {
		word := f.State.String()
		if f.Reason != upload.NoReason {
			word += "/" + f.Reason.String()
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (r *rig) expect(got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("fates: %s\nwant:  %s", got, want)
	}
}

func (r *rig) balance(i int, want txn.Minor) {
	r.t.Helper()
	l, err := r.memory.Load(r.t.Context(), r.tokenOf(i), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	var s card.State
	if err := s.Decode(l.State); err != nil {
		r.t.Fatal(err)
	}
	if s.Balance != want {
		r.t.Errorf("card %d: balance %d, want %d", i, s.Balance, want)
	}
}

// agree checks that every record of the gate is in one state, and the sums are its own.
func (r *rig) agree(missing int64) *upload.Gate {
	r.t.Helper()
	g, err := r.s.Gate(r.t.Context(), device())
	if err != nil {
		r.t.Fatal(err)
	}
	if n, sum := g.Missing(); n != missing || missing == 0 && sum != 0 {
		r.t.Errorf("%d records and %d fen are missing, want %d: %+v", n, sum, missing, g)
	}
	return g
}

func (r *rig) held() []Held {
	r.t.Helper()
	list, err := r.s.List(r.t.Context(), "", HeldMax)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func (r *rig) cardsSaid(suspicious bool) []CardLine {
	r.t.Helper()
	list, err := r.s.Cards(r.t.Context(), suspicious)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// A record is booked once; the same again is a duplicate, other content under its number and
// another record with its card's counter are held, and none of them moves money.
func TestEachRecordIsBookedOnce(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(2, 5000)
	var g gate
	u := g.next(tap(0, 100, 7, 5000, 60), tap(0, 101, 8, 4810, 50), tap(1, 102, 1, 5000, 40))
	r.expect(r.take(u), "accepted accepted accepted")
	r.expect(r.take(u), "duplicate duplicate duplicate")
	r.balance(0, 4620)
	r.balance(1, 4810)
	r.agree(0)

	other := tap(0, 100, 7, 5000, 60)
	other.Amount = 150
	twin := tap(0, 103, 8, 4810, 50)
	v := g.next(other, twin)
	r.expect(r.take(v), "held/dispute held/counter_used")
	r.expect(r.take(v), "duplicate/dispute duplicate/counter_used")
	r.balance(0, 4620)
	if got := r.agree(0); got.Held.Records != 2 {
		t.Errorf("gate: %+v", got)
	}
	if list := r.held(); len(list) != 2 {
		t.Errorf("held: %+v", list)
	}
	if said := r.cardsSaid(false); len(said) != 0 {
		t.Errorf("something is said about cards: %+v", said)
	}
}

// Twice in one frame is a duplicate too.
func TestTwiceInOneFrame(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(1, 5000)
	a := tap(0, 100, 7, 5000, 60)
	var g gate
	r.expect(r.take(g.next(a, a)), "accepted duplicate")
	r.balance(0, 4810)
}

// A missing counter is kept as a range, of the card and of the module, until it comes late.
func TestGapsCloseWhenTheRecordComesLate(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(1, 5000)
	var g gate
	first, late, last := tap(0, 100, 7, 5000, 60), tap(0, 101, 8, 4810, 50), tap(0, 102, 9, 4620, 40)
	r.expect(r.take(g.next(first, last)), "accepted accepted")
	said := r.cardsSaid(false)
	if len(said) != 1 || len(said[0].Gaps) != 1 || said[0].Gaps[0].From != 8 || said[0].Delta != -190 ||
		said[0].Breaks != 0 {
		t.Fatalf("said about the card: %+v", said)
	}
	m, err := r.s.Module(t.Context(), "010203040506")
	if err != nil || m.Missing() != 1 || m.Gaps[0].From != 101 {
		t.Fatalf("module: %+v %v", m, err)
	}
	r.start() // what is known survives
	r.expect(r.take(g.next(late)), "accepted")
	if said := r.cardsSaid(false); len(said) != 0 {
		t.Errorf("said about the card at the end: %+v", said)
	}
	if m, err = r.s.Module(t.Context(), "010203040506"); err != nil || m.Missing() != 0 {
		t.Errorf("module at the end: %+v %v", m, err)
	}
	r.balance(0, 4430)
}

// A balance that does not follow is booked and told, or held where the scheme says so. A load
// between, which another counter counts, is no break.
func TestBalanceChain(t *testing.T) {
	for _, hold := range []bool{false, true} {
		r := newRig(t, func(o *Options) { o.HoldBroken = hold })
		r.enrol(2, 5000)
		var g gate
		r.expect(r.take(g.next(tap(0, 100, 7, 5000, 60), tap(1, 101, 3, 5000, 60))), "accepted accepted")
		r.ids++
		load := txn.Request{ID: txn.RequestID{Terminal: txn.TerminalID{'D'}, Boot: 1, Counter: r.ids}, Kind: txn.Load,
			Card: r.tokenOf(1), Currency: txn.CNY, Amount: 1000, ServiceAt: noon - 50*60*second, ReceivedAt: noon}
		if a := r.engine.Authorize(t.Context(), &load); a.Decision.Outcome != txn.Approved {
			t.Fatal(a.Decision.Reason)
		}
		want := "accepted accepted accepted"
		if hold {
			want = "held/chain_broken accepted accepted"
		}
		// Card 1 was used before the load, told after it, and once more after it.
		r.expect(r.take(g.next(tap(0, 102, 8, 9000, 50), tap(1, 103, 4, 4810, 55), tap(1, 104, 5, 5620, 45))), want)
		said := r.cardsSaid(true)
		if len(said) != 1 || said[0].Last4 != number(0)[15:] || said[0].Broken != 4190 {
			t.Errorf("hold %v: suspicious %+v", hold, said)
		}
		r.agree(0)
	}
}

// A clock two hours off is corrected by what the header shows; one beyond all measure, and
// a record of the future, are held; a record from before the window is rejected.
func TestClocks(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(1, 5000)
	g := gate{sentAt: int64(2 * hour)}
	ahead := tap(0, 100, 7, 5000, -115) // by its own clock, 1 h 55 from now
	r.expect(r.take(g.next(ahead)), "accepted")
	r.expect(r.take(g.next(ahead)), "duplicate")
	g = gate{batch: 9, records: 2, sum: 380}
	offset := int32(48 * 3600)
	wild, future := tap(0, 102, 8, 4810, 30), tap(0, 103, 9, 4620, -30)
	wild.ClockOffset = &offset
	old := tap(0, 104, 10, 4430, 41*24*60)
	r.expect(r.take(g.next(wild, future, old)), "held/clock_off held/in_future rejected/too_old")
	r.balance(0, 4810)
	for _, record := range r.memoryRecords() {
		if record.Offline && record.ServiceAt != noon-5*60*second {
			t.Errorf("booked for %v", record.ServiceAt.Time())
		}
	}
}

func (r *rig) memoryRecords() (all []txn.Record) {
	for shard := range r.memory.Shards() {
		entries, _, err := r.memory.Read(r.t.Context(), shard, store.Cursor{}, 1<<20)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range entries {
			record, err := txn.DecodeRecord(e.Record)
			if err != nil {
				r.t.Fatal(err)
			}
			all = append(all, record)
		}
	}
	return all
}

// A module whose numbers go back, and a gate whose own counters do, are held.
func TestSequencesThatGoBack(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(3, 5000)
	var g gate
	r.expect(r.take(g.next(tap(0, 1000, 7, 5000, 300), tap(0, 1001, 8, 4810, 290))), "accepted accepted")
	r.expect(r.take(g.next(tap(1, 5, 1, 5000, 60))), "held/rolled_back")
	back := gate{batch: g.batch, records: 0}
	r.expect(r.take(back.next(tap(1, 1002, 1, 5000, 50))), "held/totals_back")
	if got, err := r.s.Gate(t.Context(), device()); err != nil || !got.Back {
		t.Errorf("gate: %+v %v", got, err)
	}
	// A card's counter that stands in a gap and comes too late for it is another card's.
	g = gate{batch: 5, records: 4, sum: 760}
	r.expect(r.take(g.next(tap(2, 1003, 10, 5000, 200), tap(2, 1004, 12, 4620, 190))), "accepted accepted")
	r.expect(r.take(g.next(tap(2, 1005, 11, 4430, 20))), "held/rolled_back")
	r.balance(1, 5000)
}

// A torn record is held, and resolved by its proof or by the card's next record.
func TestTornRecords(t *testing.T) {
	torn := func(i int, seq uint32, counter uint16, before uint32, minutes int) frame.Tap {
		x := tap(i, seq, counter, before, minutes)
		x.Flags = []string{"grey"}
		return x
	}
	r := newRig(t, nil)
	r.enrol(4, 5000)
	var g gate
	r.expect(r.take(g.next(torn(0, 100, 7, 5000, 60), torn(1, 101, 7, 5000, 60), torn(2, 102, 7, 5000, 60),
		torn(3, 103, 7, 5000, 60))), "held/torn held/torn held/torn held/torn")
	proof := tap(0, 100, 7, 5000, 60)
	proof.Flags, proof.TAC = []string{"proved"}, "01020304"
	u := g.next(proof)
	u.TotalRecords, u.TotalSum, u.First = 4, 760, 4 // a proof is no new record
	g.records, g.sum = 4, 760
	r.expect(r.take(u), "accepted")
	r.balance(0, 4810)
	// Card 1 had paid, card 2 had not, and of card 3 it cannot be told.
	r.expect(r.take(g.next(tap(1, 104, 8, 4810, 50), tap(2, 105, 7, 5000, 50), tap(3, 106, 9, 4500, 50))),
		"accepted accepted accepted")
	late := tap(1, 101, 7, 5000, 60) // the proof of what is known comes after all, and is no dispute
	late.Flags, late.TAC = []string{"proved"}, "01020304"
	records, sum := g.records, g.sum
	u = g.next(late)
	u.TotalRecords, u.TotalSum, u.First = records, sum, records
	g.records, g.sum = records, sum
	r.expect(r.take(u), "duplicate")
	r.balance(1, 4620)
	r.balance(2, 4810)
	r.balance(3, 4810)
	if list := r.held(); len(list) != 1 || list[0].TermSeq != 103 {
		t.Errorf("held at the end: %+v", list)
	}
	got := r.agree(0)
	if got.Accepted.Records != 5 || got.Rejected.Records != 1 || got.Held.Records != 1 {
		t.Errorf("gate: %+v", got)
	}
	if said := r.cardsSaid(false); len(said) != 1 || !said[0].Torn {
		t.Errorf("said: %+v", said)
	}
}

// A person accepts or rejects what is held; either leaves an audit record, and neither can be
// done twice.
func TestDecide(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(1, 5000)
	var g gate
	r.expect(r.take(g.next(tap(0, 100, 7, 5000, 30), tap(0, 101, 8, 4810, -30), tap(0, 102, 9, 4620, -40))),
		"accepted held/in_future held/in_future")
	r.at += hour
	list := r.held()
	if len(list) != 2 || list[0].Card != r.tokenOf(0).String() || list[0].Reason != "in_future" {
		t.Fatalf("held: %+v", list)
	}
	for i, accept := range []bool{true, false} {
		d := Decision{ID: list[i].ID, Accept: accept, Actor: "wang", Note: "clock seen on site"}
		if err := r.s.Decide(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := r.s.Decide(t.Context(), d); !errors.Is(err, ErrUnknown) {
			t.Errorf("twice: %v", err)
		}
	}
	r.balance(0, 4620)
	got := r.agree(0)
	if got.Accepted.Records != 2 || got.Rejected.Records != 1 || got.Held.Records != 0 {
		t.Errorf("gate: %+v", got)
	}
	audits := 0
	for _, record := range r.memoryRecords() {
		if record.Kind == txn.Desk && record.Listing.Actor == "wang" &&
			strings.Contains(record.Listing.Note, "clock seen on site") {
			audits++
		}
	}
	if audits != 2 {
		t.Errorf("%d audit records", audits)
	}
	dispute := tap(0, 100, 7, 5000, 29)
	r.expect(r.take(g.next(dispute)), "held/dispute")
	err := r.s.Decide(t.Context(), Decision{ID: r.held()[0].ID, Accept: true, Actor: "wang"})
	if !errors.Is(err, ErrNotBooked) || len(r.held()) != 1 {
		t.Errorf("a dispute over a booked counter: %v", err)
	}
}

// Whatever step a fault hits, and whether it was made or not: sent again, every record is
// booked once, and all counts agree.
func TestFaultAtEveryStepHealsBySendingAgain(t *testing.T) {
	for step := 1; step <= 3; step++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/%v", step, after), func(t *testing.T) {
				r := newRig(t, nil)
				r.enrol(3, 5000)
				var g gate
				u := g.next(tap(0, 100, 7, 5000, 60), tap(1, 102, 9, 5000, 50), tap(1, 103, 11, 4620, 40),
					tap(9, 104, 1, 5000, 30), tap(0, 105, 8, 4810, -30))
				r.cards.left, r.cards.after = step, after
				_, first := r.try(u)
				if step <= 2 && first == nil {
					t.Fatal("the fault was not seen")
				}
				r.start()
				a, err := r.try(u)
				if err != nil {
					t.Fatal(err)
				}
				for i, f := range a.Fates {
					if f.State == upload.Taken || f.State == upload.Unknown || f.Reason == upload.Unclear {
						t.Errorf("record %d: %v", i, told(a.Fates))
					}
				}
				r.balance(0, 4810)
				r.balance(1, 4620)
				got := r.agree(0)
				if got.Accepted.Records != 3 || got.Rejected.Records != 1 || got.Held.Records != 1 {
					t.Errorf("gate: %+v", got)
				}
				r.expect(r.take(u), "duplicate duplicate duplicate duplicate/card_unknown duplicate/in_future")
			})
		}
	}
}

// Two links that send the same frame at once book it once.
func TestTwoLinksAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(20, 5000)
	var g gate
	var taps []frame.Tap
	for i := range 20 {
		taps = append(taps, tap(i, uint32(100+i), 1, 5000, 60))
	}
	u := g.next(taps...)
	b, err := u.Frame()
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			f, err := frame.Parse(b)
			if err == nil {
				_, err = r.s.Take(t.Context(), device(), &f)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := r.agree(0); got.Accepted.Records != 20 || got.Repeats != 80 {
		t.Errorf("gate: %+v", got)
	}
}

// ZS11: off-line records are verified in full when they are uploaded: a wrong TAC is refused and
// never booked, a right one is; with a key that is not loaded the record waits, and is decided
// when it is, by sending again or by itself.
func TestDuty_ZS11_TACOfOfflineRecords(t *testing.T) {
	keys := purse.KeyTable{}
	scheme := purse.TDES(purse.SerialFactor())
	masters := map[byte]*purse.Master{}
	for version := range byte(3) {
		m, err := purse.NewMaster(scheme, bytes.Repeat([]byte{version + 1, 0x23, 0x45, 0x67}, 4))
		if err != nil {
			t.Fatal(err)
		}
		masters[version+1] = m
	}
	keys[purse.KeyID{Version: 1, Index: 1}] = masters[1]
	r := newRig(t, func(o *Options) { o.Verifier = purse.NewVerifier(keys, purse.Options{}) })
	r.enrol(1, 5000)
	sign := func(x frame.Tap, version byte) frame.Tap {
		x.KeyVersion = version
		b, err := x.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		record := purseRecord(b)
		c, err := masters[version].Card(&record.Card)
		if err != nil {
			t.Fatal(err)
		}
		tac := c.TAC().MAC(purse.PurchaseTAC, &record.Values)
		x.TAC = fmt.Sprintf("%x", tac[:])
		return x
	}
	var g gate
	wrong := sign(tap(0, 101, 8, 4810, 50), 1)
	wrong.Amount = 100 // other than what the card signed
	two, three := sign(tap(0, 102, 9, 4710, 40), 2), sign(tap(0, 103, 10, 4520, 30), 3)
	forged := sign(tap(0, 104, 11, 4330, 20), 3)
	forged.TAC = "00000001"
	u := g.next(sign(tap(0, 100, 7, 5000, 60), 1), wrong, two, three, forged)
	r.expect(r.take(u), "accepted rejected/tac_wrong held/key_unknown held/key_unknown held/key_unknown")
	r.balance(0, 4810)
	keys[purse.KeyID{Version: 2, Index: 1}] = masters[2]
	r.expect(r.take(u), "duplicate duplicate/tac_wrong accepted held/key_unknown held/key_unknown")
	r.balance(0, 4620)
	if list := r.held(); len(list) != 2 {
		t.Errorf("held: %+v", list)
	}
	keys[purse.KeyID{Version: 3, Index: 1}] = masters[3]
	if n, err := r.s.Retry(t.Context()); n != 2 || err != nil {
		t.Errorf("%d decided: %v", n, err)
	}
	r.balance(0, 4430)
	got := r.agree(0)
	if got.Accepted.Records != 3 || got.Rejected.Records != 2 || got.Held.Records != 0 || len(r.held()) != 0 {
		t.Errorf("gate: %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(1, 5000)
	var g gate
	exit := tap(0, 1, 1, 5000, 60)
	exit.Kind = "metro_exit"
	refused := tap(0, 2, 1, 5000, 60)
	refused.Verdict = 3
	r.expect(r.take(g.next(exit, refused)), "rejected/not_permitted rejected/gate_declined")
	u := g.next()
	u.Terminal = "GATE08"
	if _, err := r.try(u); !errors.Is(err, ErrTerminal) {
		t.Errorf("another terminal's frame: %v", err)
	}
	var far []frame.Tap
	for i := range PagesMax + 1 {
		far = append(far, tap(0, uint32(i*upload.PageSize), uint16(i), 5000, 60))
	}
	if _, err := r.try(g.next(far...)); !errors.Is(err, ErrScattered) {
		t.Errorf("scattered numbers: %v", err)
	}
	if _, err := r.s.Module(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("module: %v", err)
	}
}

// The number of a held card stands nowhere in the store in clear.
func TestHeldRecordsAreSealed(t *testing.T) {
	r := newRig(t, nil)
	r.enrol(1, 5000)
	var g gate
	r.expect(r.take(g.next(tap(0, 101, 8, 4810, -30))), "held/in_future")
	value, _, err := r.memory.Get(t.Context(), heldPrefix+r.held()[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	bcd := []byte{0x03, 0x10, 0x45, 0x80}
	if bytes.Contains(value, bcd) || bytes.Contains(value, []byte("310458")) {
		t.Error("the registry holds the number in clear")
	}
}

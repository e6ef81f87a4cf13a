package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/local"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startMS is when every test begins.
const startMS txn.Millis = 1_780_000_000_000

const minuteMS txn.Millis = 60_000

var testKey = []byte("a key of thirty-two bytes, no more")

// rig is a service on a store with a clock that the test moves.
type rig struct {
	t     testing.TB
	store store.Store
	svc   *Service
	clock atomic.Int64
	o     Options
	links *fakeLinks

	mu     sync.Mutex
	alarms []Alarm
	facts  []Fact
}

func newMemory(t testing.TB) *storetest.Memory {
	t.Helper()
	m := storetest.NewMemory(storetest.MemoryOptions{Now: func() txn.Millis { return startMS }})
	if err := m.OpenEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func newLocal(t testing.TB) *local.Store {
	t.Helper()
	s, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Date: 20260601,
		CheckpointEvery: 50 * time.Millisecond, SegmentBytes: 4 << 20, OutboxMax: 1 << 20,
		Now: func() txn.Millis { return startMS }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.OpenEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return s
}

// newRig starts a service. edit, when not nil, changes its options first.
func newRig(t testing.TB, s store.Store, edit func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, store: s, links: &fakeLinks{}}
	r.clock.Store(int64(startMS))
	r.o = Options{Cards: s, Registry: s, Key: testKey, Now: r.now, PlainHTTP: true,
		Logger: slog.New(slog.DiscardHandler), Links: r.links, Timeout: 2 * time.Second,
		SweepEvery: time.Hour,
		OnAlarm: func(a Alarm) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.alarms = append(r.alarms, a)
		},
		Record: func(f *Fact) []byte {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.facts = append(r.facts, *f)
			return txn.AppendRecord(nil, &txn.Record{Version: txn.RecordVersion, Kind: txn.Freeze,
				Card: f.Token, CardVersion: f.Version, ServiceAt: f.At, ReceivedAt: f.At})
		}}
	if edit != nil {
		edit(&r.o)
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) now() txn.Millis { return txn.Millis(r.clock.Load()) }

func (r *rig) start() {
	r.t.Helper()
	svc, err := New(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := svc.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.svc = svc
}

// stop closes the service without grace.
func (r *rig) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.svc.Close(ctx); err != nil {
		r.t.Error(err)
	}
}

// restart is another process on the same store.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// pass moves the clock and does what is due by then.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.clock.Add(int64(d / time.Millisecond))
	r.tick()
}

// tick hands over what is due, and waits until it is done.
func (r *rig) tick() {
	r.t.Helper()
	r.svc.Due(r.t.Context(), r.due())
	r.idle()
}

// due returns the entries that are due now.
func (r *rig) due() []store.Due {
	r.t.Helper()
	var all []store.Due
	for b := range txn.Bucket(txn.BucketCount) {
		due, err := r.store.DueBefore(r.t.Context(), b, r.now(), store.Page{Max: 1 << 20})
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, due...)
	}
	return all
}

// idle waits until nothing is under way.
func (r *rig) idle() {
	r.t.Helper()
	r.until("idle", func() bool {
		f := r.svc.Figures()
		return f.DuesWaiting == 0 && f.Waiting == 0 && f.Pending == 0
	})
}

// until polls a condition for a minute at most.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("not %s after a minute: %+v", what, r.svc.Figures())
		}
	}
}

func (r *rig) party(p Party) {
	r.t.Helper()
	if err := r.svc.Roster().Put(r.t.Context(), p); err != nil {
		r.t.Fatal(err)
	}
}

// bank is a party behind the fake links.
func bank(name string) Party {
	return Party{Name: name, Kind: "bank", Scopes: []string{"all"}, Channel: "issuer_link",
		Link: name, Answer: "explicit", Clause: "contract 4.2"}
}

// handan is the policy of a scheme with two hours (HD19).
func handan() Policy {
	return Policy{Window: 2 * time.Hour, Clause: "HD19",
		Alarms:     []time.Duration{30 * time.Minute, 60 * time.Minute, 90 * time.Minute},
		RetryFirst: 10 * time.Second, RetryMax: 5 * time.Minute, GiveUp: 24 * time.Hour}
}

func card(i int) pan.Token { return pan.Token{byte(i * 37), byte(i >> 8), byte(i), 1} }

func freeze(id string, i int) Notice {
	return Notice{ID: id, Kind: Freeze, Card: card(i), Last4: pan.Last4{'0', '1', '9', '5'},
		Scope: txn.AppAll, Reason: txn.Lost, Case: "CASE-1", ListEpoch: 7, AcceptedAt: startMS,
		Policy: handan()}
}

func (r *rig) notify(n Notice) {
	r.t.Helper()
	if err := r.svc.Notify(r.t.Context(), n); err != nil {
		r.t.Fatal(err)
	}
}

// clockOf returns the clock of a party in a notice.
func (r *rig) clockOf(id, party string) Clock {
	r.t.Helper()
	st, err := r.svc.Status(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range st.Clocks {
		if c.Row.Party == party {
			return c
		}
	}
	r.t.Fatalf("notice %s has no party %s", id, party)
	return Clock{}
}

// ack records an answer and wants it accepted.
func (r *rig) ack(id, party string, received, effective txn.Millis) {
	r.t.Helper()
	a := Ack{Received: received, Effective: effective, Proof: ProofCallback, By: "system"}
	if refused, err := r.svc.Acknowledge(r.t.Context(), id, party, a); err != nil || refused != Accepted {
		r.t.Fatalf("answer of %s to %s: %s, %v", party, id, refused, err)
	}
}

func (r *rig) alarmCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.alarms)
}

// fakeLinks are the links to banks, in memory. It keeps what it was told in order and fails
// as its hook says; a message that came twice with one id must be the same.
type fakeLinks struct {
	fault func(link string) error

	mu   sync.Mutex
	got  []told
	body map[string]string
}

type told struct{ link, id string }

var _ LinkNotifier = (*fakeLinks)(nil)

func (f *fakeLinks) NotifyLink(_ context.Context, link string, m Message) error {
	f.mu.Lock()
	if f.body == nil {
		f.body = map[string]string{}
	}
	if was := f.body[m.ID]; was != "" && was != string(m.Body) {
		panic(fmt.Sprintf("notice: internal error: %s sent with two bodies", m.ID))
	}
	f.body[m.ID] = string(m.Body)
	f.got = append(f.got, told{link, m.ID})
	fault := f.fault
	f.mu.Unlock()
	if fault != nil {
		return fault(link)
	}
	return nil
}

func (f *fakeLinks) setFault(fault func(string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// count returns how often a message was sent; "" counts all.
func (f *fakeLinks) count(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, g := range f.got {
		if id == "" || g.id == id {
			n++
		}
	}
	return n
}

var errLink = errors.New("link is down")

// fakeTopic is a Kafka topic in memory.
type fakeTopic struct {
	mu  sync.Mutex
	got []Message
}

var _ Publisher = (*fakeTopic)(nil)

func (f *fakeTopic) Publish(_ context.Context, topic string, m Message) error {
	if topic == "" || m.Card.IsZero() {
		return errors.New("no topic or no key")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, m)
	return nil
}

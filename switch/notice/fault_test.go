package notice

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

// mortal is a store as a process sees it that dies at its n-th write: that write is applied
// or not, nobody is told, and every call after it fails.
type mortal struct {
	store.Store

	mu      sync.Mutex
	left    int  // writes before death; negative for immortal
	applied bool // the last write is applied
	dead    bool
	writes  int
	fails   int // writes that fail before the next, without death
}

// allow reports whether a write is applied, and whether its caller hears of it.
func (m *mortal) allow() (apply, told bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	switch {
	case m.dead:
		return false, false
	case m.left == 0:
		m.dead = true
		return m.applied, false
	case m.fails > 0:
		m.fails--
		return m.applied, false
	}
	m.left--
	return true, true
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

func (m *mortal) Commit(ctx context.Context, commits []*store.Commit) error {
	var first error
	for _, c := range commits { // one by one: a process may die within a list
		apply, told := m.allow()
		if apply {
			if err := m.Store.Commit(ctx, []*store.Commit{c}); err != nil {
				first = err
			}
		}
		if !told {
			c.Status, c.Err = store.Unanswered, store.ErrUnavailable
			first = store.ErrUnavailable
		}
	}
	return first
}

func (m *mortal) Put(ctx context.Context, key string, value []byte, version uint64) error {
	apply, told := m.allow()
	if apply {
		if err := m.Store.Put(ctx, key, value, version); err != nil {
			return err
		}
	}
	if !told {
		return store.ErrUnavailable
	}
	return nil
}

func (m *mortal) Load(ctx context.Context, card pan.Token, dst []byte) (store.Loaded, error) {
	if m.isDead() {
		return store.Loaded{}, store.ErrUnavailable
	}
	return m.Store.Load(ctx, card, dst)
}

// drama plays one freeze and its release, with parties in two documents, until the process
// dies: notify, send, answer, be late, release.
func drama(ctx context.Context, r *rig) {
	svc := r.svc
	_ = svc.Notify(ctx, freeze("F-1", 1))
	r.settle()
	got := r.now()
	_, _ = svc.Acknowledge(ctx, "F-1", "p00", Ack{Received: got, Proof: ProofCallback})
	_, _ = svc.Acknowledge(ctx, "F-1", "p00", Ack{Effective: got, Proof: ProofCallback})
	r.clock.Add(int64(121 * minuteMS))
	svc.Due(ctx, r.due())
	r.settle()
	release := freeze("R-1", 1)
	release.Kind, release.Supersedes, release.AcceptedAt = Release, "F-1", r.now()
	_ = svc.Notify(ctx, release)
	r.settle()
}

// settle is idle for a process that may be dead.
func (r *rig) settle() {
	m := r.o.Cards.(*mortal)
	r.until("idle or dead", func() bool {
		f := r.svc.Figures()
		return m.isDead() || f.DuesWaiting == 0 && f.Waiting == 0 && f.Pending == 0
	})
}

// dramaParties is one more than a document holds.
const dramaParties = RowsMax + 1

func newDrama(t *testing.T, s store.Store) (*rig, *mortal) {
	m := &mortal{Store: s, left: -1}
	r := newRig(t, s, func(o *Options) { o.Cards, o.Registry = m, m })
	for i := range dramaParties {
		r.party(bank(fmt.Sprintf("p%02d", i)))
	}
	return r, m
}

// A process that dies at any write, applied or not: after a restart the same calls and the
// due queue lead to the same end, whatever was left.
func TestDeathAtEveryWrite(t *testing.T) {
	r, m := newDrama(t, newMemory(t))
	m.writes = 0
	drama(t.Context(), r)
	writes := m.writes
	r.checkDrama()
	t.Logf("%d writes at which to die", writes)
	if writes < 15 {
		t.Fatalf("only %d writes: the drama is not played", writes)
	}
	for n := range writes {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("write%d/applied=%v", n, applied), func(t *testing.T) {
				t.Parallel()
				deathAt(t, newMemory(t), n, applied)
			})
		}
	}
}

// The same on the real store, at the writes that make a notice and its first sending.
func TestDeathOnTheLocalStore(t *testing.T) {
	for n := range 10 {
		t.Run(fmt.Sprintf("write%d", n), func(t *testing.T) {
			t.Parallel()
			deathAt(t, newLocal(t), n, n%2 == 0)
		})
	}
}

func deathAt(t *testing.T, s store.Store, n int, applied bool) {
	r, m := newDrama(t, s)
	m.mu.Lock()
	m.left, m.applied = n, applied
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	drama(ctx, r)
	m.mu.Lock()
	m.dead = true
	m.mu.Unlock()
	r.stop()

	alive := &mortal{Store: s, left: -1}
	r.o.Cards, r.o.Registry = alive, alive
	r.start()
	r.checkWholeOrNothing("F-1")
	// Whoever was not told repeats, as a saga does.
	r.clock.Store(int64(startMS + 122*minuteMS))
	_ = r.svc.Notify(ctx, freeze("F-1", 1))
	for range 4 {
		r.pass(time.Minute)
	}
	_, _ = r.svc.Acknowledge(ctx, "F-1", "p00", Ack{Received: r.now(), Effective: r.now()})
	release := freeze("R-1", 1)
	release.Kind, release.Supersedes = Release, "F-1"
	if st, err := r.svc.Status(ctx, "R-1"); err == nil {
		release.AcceptedAt = st.Notice.AcceptedAt
	}
	r.notify(release)
	for range 4 {
		r.pass(time.Minute)
	}
	r.checkDrama()
}

// checkWholeOrNothing wants a notice either absent, with nothing sent, or complete.
func (r *rig) checkWholeOrNothing(id string) {
	r.t.Helper()
	st, err := r.svc.Status(r.t.Context(), id)
	if err != nil {
		if n := r.links.count(id + "/p00"); n > 0 {
			r.t.Errorf("%s was sent %d times and does not exist", id, n)
		}
		return
	}
	if len(st.Clocks) != dramaParties {
		r.t.Errorf("%s has %d parties, want %d", id, len(st.Clocks), dramaParties)
	}
}

// checkDrama re-proves every invariant at the end.
func (r *rig) checkDrama() {
	r.t.Helper()
	for _, id := range []string{"F-1", "R-1"} {
		st, err := r.svc.Status(r.t.Context(), id)
		if err != nil || len(st.Clocks) != dramaParties {
			r.t.Fatalf("%s: %v", id, err)
		}
		for _, c := range st.Clocks {
			sent := r.links.count(id + "/" + c.Row.Party)
			if id == "R-1" && (c.State != Sent || sent == 0) {
				r.t.Errorf("release: %s is %s, sent %d times", c.Row.Party, c.State, sent)
			}
			if id == "F-1" && c.State != Superseded && c.State != Effective {
				r.t.Errorf("freeze: %s is %s", c.Row.Party, c.State)
			}
			if c.Row.SentFirst != 0 && sent == 0 {
				r.t.Errorf("%s: %s is recorded as told, and was not", id, c.Row.Party)
			}
		}
	}
	r.links.mu.Lock()
	defer r.links.mu.Unlock()
	released := map[string]bool{}
	for _, g := range r.links.got {
		released[g.link] = released[g.link] || g.id[0] == 'R'
		if g.id[0] == 'F' && released[g.link] {
			r.t.Errorf("%s got the freeze after its release", g.link)
		}
	}
}

// Every operation of the store that the service uses fails for a while, in both forms: what
// was promised is done when it works again.
func TestStoreInTrouble(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpLoad, storetest.OpCommit, storetest.OpGet,
		storetest.OpPut, storetest.OpKeys} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
			t.Run(fmt.Sprintf("%s/%d", op, fault), func(t *testing.T) { trouble(t, op, fault) })
		}
	}
}

func trouble(t *testing.T, op storetest.Op, fault storetest.Fault) {
	s := newMemory(t)
	r := newRig(t, s, nil)
	r.party(bank("icbc"))
	r.notify(freeze("F-0", 0))
	r.idle()
	var mu sync.Mutex
	failures := 2
	s.SetFault(func(asked storetest.Op) storetest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if asked != op || failures == 0 {
			return storetest.NoFault
		}
		failures--
		return fault
	})
	var err error
	for range 5 {
		if err = r.svc.Notify(t.Context(), freeze("F-1", 1)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("still failing: %v", err)
	}
	r.idle()
	r.ack("F-0", "icbc", r.now(), r.now())
	for range 3 {
		r.pass(time.Minute)
	}
	if c := r.clockOf("F-1", "icbc"); c.State != Sent || r.links.count("F-1/icbc") == 0 {
		t.Errorf("%+v", c)
	}
	for range 3 {
		err = r.svc.Sweep(t.Context())
	}
	if err != nil || r.svc.Figures().Open != 1 {
		t.Errorf("%v: %+v", err, r.svc.Figures())
	}
}

// Two processes on one store: each notice is sent, and seldom twice; answers at either hold.
func TestTwoProcesses(t *testing.T) {
	s := newMemory(t)
	r := newRig(t, s, nil)
	r.party(bank("icbc"))
	other := newRig(t, s, nil)
	other.links, other.o.Links = r.links, r.links
	other.restart()
	r.links.setFault(func(string) error { return errLink })
	for i := range 20 {
		r.notify(freeze(fmt.Sprintf("F-%d", i), i))
	}
	r.idle()
	r.links.setFault(nil)
	for range 3 {
		r.clock.Add(int64(minuteMS))
		other.clock.Store(r.clock.Load())
		due := r.due()
		r.svc.Due(t.Context(), due)
		other.svc.Due(t.Context(), due)
		r.idle()
		other.idle()
	}
	for i := range 20 {
		id := fmt.Sprintf("F-%d", i)
		if got := r.links.count(id + "/icbc"); got < 2 || got > 3 {
			t.Errorf("%s sent %d times", id, got)
		}
		other.ack(id, "icbc", r.now(), 0)
		r.ack(id, "icbc", r.now(), r.now())
	}
	if n := len(r.dueEver()); n != 0 {
		t.Errorf("%d due entries left", n)
	}
}

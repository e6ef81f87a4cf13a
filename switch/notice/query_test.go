package notice

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
)

func TestOpenIsPagedAndHeals(t *testing.T) {
	onBothStores(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s, nil)
		r.party(bank("icbc"))
		const all = 300
		var work sync.WaitGroup
		for i := range all {
			work.Go(func() {
				if err := r.svc.Notify(t.Context(), freeze(fmt.Sprintf("F-%d", i), i)); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		r.idle()
		r.wantOpen(all)
		keys, _ := s.Keys(t.Context(), openPrefix)
		t.Logf("%d notices in %d index entries", all, len(keys))
		for i := range all {
			if i%10 != 0 {
				r.ack(fmt.Sprintf("F-%d", i), "icbc", r.now(), r.now())
			}
		}
		r.wantOpen(all / 10)
		if err := r.svc.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wantOpen(all / 10)
		f := r.svc.Figures()
		if f.Open != all/10 || f.Parties != all/10 || f.BySending != all/10 || f.OldestAt != startMS {
			t.Errorf("%+v", f)
		}
		for i := 0; i < all; i += 10 {
			r.ack(fmt.Sprintf("F-%d", i), "icbc", r.now(), r.now())
		}
		if err := r.svc.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if keys, _ := s.Keys(t.Context(), openPrefix); len(keys) != 0 {
			t.Errorf("%d index entries of nothing: %v", len(keys), keys)
		}
		if h := r.svc.Figures().AcceptanceToSent; h.Counts[0] != all {
			t.Errorf("acceptance to sent: %v", h.Counts)
		}
	})
}

// wantOpen reads all pages and wants so many notices, each once.
func (r *rig) wantOpen(want int) {
	r.t.Helper()
	seen, cursor := map[string]bool{}, ""
	for {
		page, next, err := r.svc.Open(r.t.Context(), cursor, 7)
		if err != nil || len(page) > 7 {
			r.t.Fatalf("page of %d: %v", len(page), err)
		}
		for _, st := range page {
			if seen[st.Notice.ID] {
				r.t.Errorf("%s is listed twice", st.Notice.ID)
			}
			seen[st.Notice.ID] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	if len(seen) != want {
		r.t.Errorf("%d open notices, want %d", len(seen), want)
	}
}

// What is listed and was never made is dropped, but not while it may still be made.
func TestIndexOfWhatNeverWas(t *testing.T) {
	s := newMemory(t)
	r := newRig(t, s, nil)
	key := fmt.Sprintf("%s%013d-F-1", openPrefix, r.now())
	if err := s.Put(t.Context(), key, []byte("F-1"), 0); err != nil {
		t.Fatal(err)
	}
	sweep := func(want int) {
		t.Helper()
		if err := r.svc.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wantOpen(0)
		if keys, _ := s.Keys(t.Context(), openPrefix); len(keys) != want {
			t.Errorf("%d entries, want %d", len(keys), want)
		}
	}
	sweep(1)
	r.clock.Add(orphanAfter.Milliseconds())
	sweep(1)
	r.clock.Add(1)
	sweep(0)
}

// A part without a head sends nothing, ever, and leaves nothing due.
func TestOrphanIsClosed(t *testing.T) {
	s := newMemory(t)
	r := newRig(t, s, nil)
	d := document(2)
	d.Part, d.Parts, d.Ready = 1, 2, false
	token := r.svc.vault.token(d.ID, 1)
	c := &store.Commit{Card: token, State: AppendDocument(nil, d), Due: dueChange(token, d)}
	if err := s.Commit(t.Context(), []*store.Commit{c}); err != nil || c.Status != store.Committed {
		t.Fatal(c.Status, err)
	}
	for range 40 {
		r.pass(time.Minute)
	}
	if n := len(r.dueEver()); n != 0 || r.links.count("") != 0 {
		t.Errorf("%d due, %d sent", n, r.links.count(""))
	}
	if _, err := r.svc.Status(t.Context(), d.ID); !errors.Is(err, ErrNoNotice) {
		t.Errorf("%v", err)
	}
}

func TestLatePartiesArePaged(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	for i := range 30 {
		r.party(bank(fmt.Sprintf("bank-%02d", i)))
	}
	for i := range 10 {
		r.notify(freeze(fmt.Sprintf("F-%d", i), i))
	}
	r.idle()
	r.pass(3 * time.Hour)
	read := func(p Period, max int) (rows, pages int) {
		t.Helper()
		for cursor := ""; ; pages++ {
			page, next, err := r.svc.LateParties(t.Context(), p, cursor, max)
			if err != nil {
				t.Fatal(err)
			}
			if rows += len(page); next == "" {
				return rows, pages + 1
			}
			cursor = next
		}
	}
	deadline := startMS + 120*minuteMS
	if rows, pages := read(Period{startMS, deadline + 1}, 50); rows != 300 || pages < 5 {
		t.Errorf("%d rows on %d pages", rows, pages)
	}
	if rows, _ := read(Period{startMS, deadline}, 50); rows != 0 {
		t.Errorf("%d rows before the deadline", rows)
	}
	if rows, _ := read(Period{deadline + 1, deadline + 9}, 50); rows != 0 {
		t.Errorf("%d rows after the deadline", rows)
	}
	if _, _, err := r.svc.LateParties(t.Context(), Period{2, 1}, "", 1); err == nil {
		t.Error("a period that ends before it begins")
	}
	for _, cursor := range []string{"x", "#1", "x#-1"} {
		if _, _, err := r.svc.LateParties(t.Context(), Period{1, 2}, cursor, 1); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
		if _, _, err := r.svc.Open(t.Context(), cursor, 1); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if n, err := r.svc.ForgetLate(t.Context(), r.now()); n != 0 || err != nil {
		t.Errorf("forgot %d of today: %v", n, err)
	}
	if n, err := r.svc.ForgetLate(t.Context(), r.now()+24*60*minuteMS); n == 0 || err != nil {
		t.Errorf("forgot %d: %v", n, err)
	}
	if rows, _ := read(Period{startMS, deadline + 1}, 50); rows != 0 {
		t.Errorf("%d rows after they were forgotten", rows)
	}
}

// volume notifies so many parties of so many freezes and has each answer.
func volume(t testing.TB, parties, freezes int) {
	r := newRig(t, newLocal(t), func(o *Options) { o.Timeout = time.Minute })
	for i := range parties {
		r.party(bank(fmt.Sprintf("bank-%03d", i)))
	}
	begin := time.Now()
	each(freezes, func(i int) {
		if err := r.svc.Notify(t.Context(), freeze(fmt.Sprintf("F-%d", i), i)); err != nil {
			t.Error(err)
		}
	})
	notified := time.Since(begin)
	r.idle()
	sent := time.Since(begin)
	if got := r.links.count(""); got != parties*freezes {
		t.Errorf("%d sent, want %d", got, parties*freezes)
	}
	begin = time.Now()
	r.clock.Add(int64(31 * minuteMS))
	for len(r.due()) > 0 { // a tick takes DuesMax documents at most
		r.tick()
	}
	if r.alarmCount() != parties*freezes {
		t.Errorf("%d alarms, want %d", r.alarmCount(), parties*freezes)
	}
	alarmed := time.Since(begin)
	if err := r.svc.Sweep(t.Context()); err != nil || r.svc.Figures().Parties != parties*freezes {
		t.Errorf("%v: %+v", err, r.svc.Figures())
	}
	t.Logf("%d parties, %d freezes: durable after %s, all told after %s, alarms in %s", parties,
		freezes, notified, sent, alarmed)
}

// each runs f for 0 to n-1, some side by side.
func each(n int, f func(int)) {
	next := make(chan int)
	var work sync.WaitGroup
	for range 64 {
		work.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	work.Wait()
}

func TestVolume(t *testing.T) {
	if testing.Short() {
		volume(t, 50, 50)
		return
	}
	volume(t, 200, 1000)
}

func BenchmarkNotify(b *testing.B) {
	r := newRig(b, newLocal(b), nil)
	for i := range 10 {
		r.party(bank(fmt.Sprintf("bank-%02d", i)))
	}
	b.ResetTimer()
	each(b.N, func(i int) {
		if err := r.svc.Notify(b.Context(), freeze(fmt.Sprintf("F-%d", i), i)); err != nil {
			b.Error(err)
		}
	})
	b.StopTimer()
	r.idle()
}

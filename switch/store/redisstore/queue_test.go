package redisstore

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestFifo compares the queue with a plain slice.
func TestFifo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q fifo
		var model []*item
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") {
				for range rapid.IntRange(1, 9).Draw(t, "many") {
					it := &item{}
					q.push(it)
					model = append(model, it)
				}
			} else {
				n := rapid.IntRange(0, 12).Draw(t, "take")
				got := q.take(nil, n)
				if len(got) != min(n, len(model)) {
					t.Fatalf("took %d of %d, want %d", len(got), len(model), n)
				}
				for i := range got {
					if got[i] != model[i] {
						t.Fatalf("item %d is out of order", i)
					}
				}
				model = model[len(got):]
			}
			if q.len() != len(model) {
				t.Fatalf("length %d, want %d", q.len(), len(model))
			}
		}
	})
}

// testCrew is a crew of two whose workers do not run.
func testCrew(listMax int) *crew {
	s := &Store{opt: Options{ListMax: listMax}}
	c := &crew{store: s}
	for range 2 {
		c.workers = append(c.workers, &worker{crew: c, store: s, wake: make(chan struct{}, 1)})
	}
	return c
}

func someItems(n int) []*item {
	b := &batch{items: make([]item, n), done: make(chan struct{})}
	b.left.Store(int32(n))
	all := make([]*item, n)
	for i := range all {
		all[i] = &b.items[i]
		all[i].owner = b
	}
	return all
}

// TestCutShares: a long batch does not keep single commits waiting, nor they it.
func TestCutShares(t *testing.T) {
	c := testCrew(8)
	w, other := c.workers[0], c.workers[1]
	long, single := someItems(20), someItems(6)
	c.add(w, long...)
	w.cut()
	if len(w.list) != 8 || w.list[0] != long[0] {
		t.Fatalf("alone, the batch got %d places", len(w.list))
	}
	for _, it := range single {
		c.add(nil, it)
	}
	w.cut()
	if len(w.list) != 8 || w.list[0] != long[8] || w.list[4] != single[0] {
		t.Fatalf("the list is not shared: %d items", len(w.list))
	}
	if other.cut(); len(other.list) != 0 {
		t.Fatalf("the other worker took %d beside a young call", len(other.list))
	}
	c.called = c.called.Add(-2 * spillAfter)
	if other.cut(); len(other.list) != 2 || other.list[0] != single[4] {
		t.Fatalf("the other worker took %d", len(other.list))
	}
	w.cut()
	if len(w.list) != 8 || w.list[0] != long[12] || c.waiting != 0 {
		t.Fatalf("last list has %d items, %d wait", len(w.list), c.waiting)
	}
}

// TestSpill: single commits that come while a call is under way wait for it and go in one
// list, unless they are many; nobody is woken for nothing, and nothing is left behind.
func TestSpill(t *testing.T) {
	c := testCrew(128)
	first, second := c.workers[0], c.workers[1]
	woken := func() bool {
		select {
		case <-second.wake:
			return true
		default:
			return false
		}
	}
	c.add(nil, someItems(1)...)
	if !woken() {
		t.Fatal("nobody was woken for the first commit")
	}
	if first.cut(); len(first.list) != 1 || c.calls != 1 {
		t.Fatalf("%d items, %d calls", len(first.list), c.calls)
	}
	for range spillItems - 1 {
		c.add(nil, someItems(1)...)
	}
	if woken() {
		t.Error("the second worker was woken for a few")
	}
	if second.cut(); len(second.list) != 0 || c.calls != 1 {
		t.Errorf("the second worker took %d", len(second.list))
	}
	c.add(nil, someItems(1)...)
	if !woken() {
		t.Error("the second worker was not woken for many")
	}
	if second.cut(); len(second.list) != spillItems || c.calls != 2 {
		t.Errorf("the second worker took %d, %d calls", len(second.list), c.calls)
	}
	c.add(nil, someItems(3)...)
	if first.cut(); len(first.list) != 0 || c.calls != 1 {
		t.Errorf("the first worker took %d, %d calls", len(first.list), c.calls)
	}
	if second.cut(); len(second.list) != 3 || c.waiting != 0 || c.calls != 1 {
		t.Errorf("the last worker under way left %d behind", c.waiting)
	}
	if second.cut(); c.calls != 0 {
		t.Errorf("%d calls are counted at rest", c.calls)
	}
}

// TestCrewFull: what would pass the limit is refused as a whole; what waits stays.
func TestCrewFull(t *testing.T) {
	c := testCrew(8)
	c.add(c.workers[0], someItems(queueMax-1)...)
	refused := someItems(2)
	c.add(c.workers[1], refused...)
	<-refused[0].owner.done
	wantErr(t, refused[1].err, store.ErrUnavailable)
	fits := someItems(1)
	c.add(nil, fits...)
	if c.waiting != queueMax || fits[0].answered.Load() {
		t.Fatalf("%d wait, limit %d", c.waiting, queueMax)
	}
}

// TestGroups: a list is sorted by bucket, in order within each, without what was given up.
func TestGroups(t *testing.T) {
	c := testCrew(8)
	w := c.workers[0]
	items, gone := someItems(5), someItems(1)
	for i, b := range []txn.Bucket{7, 3, 7, 3, 9} {
		items[i].bucket = b
	}
	gone[0].owner.abandoned.Store(true)
	w.list = append(append(w.list, items[:2]...), append(gone, items[2:]...)...)
	groups := w.groups()
	want := [][]*item{{items[0], items[2]}, {items[1], items[3]}, {items[4]}}
	if len(groups) != len(want) {
		t.Fatalf("%d groups, want %d", len(groups), len(want))
	}
	for i := range want {
		for j := range want[i] {
			if len(groups[i]) != len(want[i]) || groups[i][j] != want[i][j] {
				t.Fatalf("group %d is %v", i, groups[i])
			}
		}
	}
	<-gone[0].owner.done
	wantErr(t, gone[0].err, store.ErrUnavailable)
}

func TestNudge(t *testing.T) {
	var n nudge
	n.wake() // nobody waits
	first, second := n.wait(), n.wait()
	select {
	case <-first:
		t.Fatal("woken before anything happened")
	default:
	}
	n.wake()
	for _, ch := range []<-chan struct{}{first, second} {
		select {
		case <-ch:
		case <-time.After(patient):
			t.Fatal("not woken")
		}
	}
	select {
	case <-n.wait():
		t.Fatal("an old wake woke a new wait")
	default:
	}
}

// TestJobWaits: a job runs while no call is under way, and commits wait for it.
func TestJobWaits(t *testing.T) {
	s := open(t, options(startSingle(t).Addr()))
	c := s.owner[0].crew
	began, end := make(chan struct{}), make(chan struct{})
	result := make(chan error)
	go func() {
		result <- c.do(context.Background(), func(context.Context) error {
			close(began)
			<-end
			return nil
		})
	}()
	<-began
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	wantErr(t, s.Commit(ctx, []*store.Commit{write(card(1), 0, "a")}), store.ErrUnavailable)
	close(end)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, write(card(2), 0, "b"))
	if l := load(t, s, card(1)); l.Version != 0 {
		t.Fatalf("a commit went past a job: %+v", l)
	}
}

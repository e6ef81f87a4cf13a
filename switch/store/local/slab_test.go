package local

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestClassOfIsSmallestThatFits(t *testing.T) {
	for n := 1; n <= classSize(classCount-1); n++ {
		c := classOf(n)
		if classSize(c) < n || c > 0 && classSize(c-1) >= n {
			t.Fatalf("classOf(%d) = %d, of size %d", n, c, classSize(c))
		}
	}
	if classSize(classCount-1) < stateHead+store.StateMax {
		t.Fatalf("greatest slot of %d bytes cannot hold a state", classSize(classCount-1))
	}
}

// TestStatesAgainstMap drives the states of a bucket and a map with the same random
// operations: put in all sizes, drop, compact.
func TestStatesAgainstMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s states
	type kept struct {
		version uint64
		state   []byte
	}
	want := map[pan.Token]kept{}
	for round := range 200_000 {
		// Half of the tokens differ in their last bytes only, as those of tests may.
		token := tokenAt(random.IntN(3000))
		if random.IntN(2) == 0 {
			token = pan.Token{14: byte(random.IntN(8)), 15: byte(random.IntN(256))}
		}
		switch k := random.IntN(100); {
		case k < 55:
			w := kept{random.Uint64(), bytes.Repeat([]byte{byte(round)}, 1+random.IntN(700))}
			s.put(&token, w.version, w.state, slotDirty)
			want[token] = w
		case k < 99:
			s.drop(token)
			delete(want, token)
		default:
			s.compact(random.IntN(classCount))
		}
		w, ok := want[token]
		c := s.find(&token)
		if (c != nil) != ok ||
			ok && (c.version() != w.version || !bytes.Equal(c.state(), w.state)) {
			t.Fatalf("round %d: card %v is %v", round, token, c)
		}
	}
	if s.count() != len(want) {
		t.Fatalf("%d cards, want %d", s.count(), len(want))
	}
	for token, w := range want {
		c := s.find(&token)
		if c == nil || c.token() != token || c.version() != w.version ||
			!bytes.Equal(c.state(), w.state) {
			t.Fatalf("card %v is %v", token, c)
		}
	}
}

// TestCompactGivesBack: cards that outgrow their slots leave no memory behind.
func TestCompactGivesBack(t *testing.T) {
	var s states
	const cards = 2000
	for size := 100; size <= 1000; size += 50 {
		for i := range cards {
			token := tokenAt(i)
			s.put(&token, 1, make([]byte, size), 0)
		}
		for class := range classCount {
			for s.compact(class) {
			}
		}
		if most := cards*(size+stateHead)*5/4 + 8*slabBlock; s.slab.bytes() > most {
			t.Fatalf("cards of %d bytes take %d, want at most %d", size, s.slab.bytes(), most)
		}
	}
}

// TestEvictTakesCleanCards: dirty and captured cards stay, seen ones stay one round.
func TestEvictTakesCleanCards(t *testing.T) {
	var s states
	flags := []byte{0, slotDirty, slotCaptured}
	for i := range 300 {
		token := tokenAt(i)
		s.put(&token, 1, []byte("state"), flags[i%3])
	}
	for range 10 {
		s.evict(1000)
	}
	for i := range 300 {
		token := tokenAt(i)
		if got := s.find(&token) != nil; got != (i%3 != 0) {
			t.Fatalf("card %d with flags %d is there: %v", i, flags[i%3], got)
		}
	}
	var empty states
	if n := empty.evict(5); n != 0 {
		t.Fatalf("evicted %d of none", n)
	}
}

// TestDueAgainstMap drives the due queue and a map with the same random changes.
func TestDueAgainstMap(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	q := newBucket(&Options{HotStatesMax: 1}).due
	want := map[string]txn.Millis{}
	check := func(now txn.Millis, limit int) {
		t.Helper()
		var list []store.Due
		for key, at := range want {
			if at <= now {
				list = append(list, store.Due{Bucket: 9, Key: []byte(key), At: at})
			}
		}
		slices.SortFunc(list, func(a, b store.Due) int {
			return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Key, b.Key))
		})
		got := q.before(9, now, store.Page{Max: limit})
		if len(got) != min(limit, len(list)) || q.count() != len(want) {
			t.Fatalf("%d due of %d, want %d, limit %d", len(got), q.count(), len(list), limit)
		}
		for i, d := range got {
			if d.At != list[i].At || !bytes.Equal(d.Key, list[i].Key) || d.Bucket != 9 {
				t.Fatalf("due %d is %v, want %v", i, d, list[i])
			}
		}
	}
	for round := range 30_000 {
		key := bytes.Repeat([]byte{byte(random.IntN(250))}, 1+random.IntN(store.DueKeyMax))
		c := store.DueChange{Key: key, At: txn.Millis(random.IntN(500)), Remove: random.IntN(5) < 2}
		q.apply(&c)
		if want[string(key)] = c.At; c.Remove {
			delete(want, string(key))
		}
		if round%500 == 0 {
			q.compact(random.IntN(classCount))
			check(txn.Millis(random.IntN(500)), random.IntN(100))
		}
	}
	check(1000, 1<<20)
}

func TestChangeLog(t *testing.T) {
	l := changeLog{kept: 10, last: 5}
	for seq := store.ListSeq(6); seq <= 40; seq++ {
		l.add(store.Change{Seq: seq})
		oldest := max(6, int(seq)-9)
		for after := range int(seq) + 2 {
			got, ok := l.after(store.ListSeq(after), 7)
			if wantOK := after >= oldest-1 && after <= int(seq); ok != wantOK {
				t.Fatalf("at %d: after %d is kept: %v", seq, after, ok)
			}
			if ok && len(got) != min(7, int(seq)-after) {
				t.Fatalf("at %d: %d changes after %d", seq, len(got), after)
			}
			for i, c := range got {
				if c.Seq != store.ListSeq(after+1+i) {
					t.Fatalf("at %d: change %d after %d is %d", seq, i, after, c.Seq)
				}
			}
		}
	}
	if got := l.latest(3); len(got) != 3 || got[2].Seq != 40 {
		t.Fatalf("latest: %v", got)
	}
	if got := l.latest(100); len(got) != 10 || got[0].Seq != 31 {
		t.Fatalf("latest: %v", got)
	}
	var none changeLog
	if got := none.latest(3); got != nil {
		t.Fatalf("latest of none: %v", got)
	}
}

func TestNumbering(t *testing.T) {
	at := func(e txn.Epoch, s txn.Seq) txn.Position {
		return txn.Position{Bucket: 3, Epoch: e, Seq: s}
	}
	n := numbering{last: at(0, 0), confirmed: at(0, 0)}
	refuse := func(p txn.Position) {
		t.Helper()
		was := n
		if err := n.advance(p); err == nil {
			t.Errorf("%v follows %v", p, was.last)
		}
	}
	take := func(p txn.Position) {
		t.Helper()
		if err := n.advance(p); err != nil {
			t.Error(err)
		}
	}
	refuse(at(0, 1))
	refuse(at(1, 1))
	take(at(1, 0))
	refuse(at(1, 0))
	refuse(at(1, 2))
	take(at(1, 1))
	take(at(1, 2))
	refuse(at(2, 1))
	take(at(4, 0))
	take(at(4, 1))
	confirm := func(p txn.Position, ok bool, pending int) {
		t.Helper()
		if err := n.confirm(p); (err == nil) != ok || n.pending() != pending {
			t.Errorf("confirm %v: %v, %d pending", p, err, n.pending())
		}
	}
	confirm(at(1, 3), false, 5)
	confirm(at(2, 0), false, 5)
	confirm(at(1, 1), true, 3)
	confirm(at(1, 0), true, 3)
	confirm(at(4, 2), false, 3)
	confirm(at(4, 1<<63), false, 3)
	confirm(at(5, 0), false, 3)
	confirm(at(4, 0), true, 1)
	confirm(at(1, 2), true, 1)
	confirm(at(4, 1), true, 0)
	take(at(4, 2))
	confirm(at(4, 2), true, 0)
}

// TestDueCaptured drives a due queue and captures it now and then, in parts, with changes in
// between: what the checkpoint has been told is the queue, and nothing is told of what came
// and went meanwhile.
func TestDueCaptured(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	b := newBucket(&Options{HotStatesMax: 1})
	checkpoint, told := map[string]txn.Millis{}, 0
	set := func(key []byte, at txn.Millis) error {
		checkpoint[string(key)], told = at, told+1
		return nil
	}
	remove := func(key []byte) error {
		if _, ok := checkpoint[string(key)]; !ok {
			t.Fatalf("%s is removed and was never there", key)
		}
		delete(checkpoint, string(key))
		told++
		return nil
	}
	change := func() {
		c := store.DueChange{Key: fmt.Appendf(nil, "k%d", random.IntN(400)),
			At: txn.Millis(random.IntN(1000)), Remove: random.IntN(2) == 0}
		b.changeDueLocked([]store.DueChange{c})
	}
	take := func() (noted []byte) {
		noted, b.fresh.due = b.fresh.due, nil
		return noted
	}
	for range 300 {
		for range random.IntN(600) {
			change()
		}
		for noted := take(); len(noted) > 0; change() {
			var err error
			if noted, err = b.due.capture(noted, set, remove); err != nil {
				t.Fatal(err)
			}
		}
		for noted := take(); len(noted) > 0; { // what came during the capture
			noted, _ = b.due.capture(noted, set, remove)
		}
		due := b.due.before(0, 1000, store.Page{Max: 1000})
		if len(due) != len(checkpoint) {
			t.Fatalf("the checkpoint has %d of %d", len(checkpoint), len(due))
		}
		for _, d := range due {
			if at, ok := checkpoint[string(d.Key)]; !ok || at != d.At {
				t.Fatalf("%s is due at %d, the checkpoint says %d, %v", d.Key, d.At, at, ok)
			}
		}
	}
	told = 0
	for i := range 1000 {
		key := fmt.Appendf(nil, "passing%d", i)
		b.changeDueLocked([]store.DueChange{{Key: key, At: 1}, {Key: key, Remove: true}})
	}
	for noted := take(); len(noted) > 0; {
		noted, _ = b.due.capture(noted, set, remove)
	}
	if told != 0 {
		t.Errorf("the checkpoint was told %d times of what came and went", told)
	}
}

package blacklist

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// tokenAt returns the i-th of a fixed sequence of evenly spread tokens.
func tokenAt(i uint64) pan.Token {
	var t pan.Token
	r := rand.NewPCG(i, 0x7461707377697463)
	binary.BigEndian.PutUint64(t[:8], r.Uint64())
	binary.BigEndian.PutUint64(t[8:], r.Uint64())
	return t
}

// inBucket returns token moved to bucket b.
func inBucket(token pan.Token, b txn.Bucket) pan.Token {
	token[0] = byte(b)<<2 | token[0]&3
	return token
}

var (
	lost = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	risk = txn.Mark{Reason: txn.Risk, Scope: txn.AppPurse}
)

// checkTable proves what every table promises between two writes: each card is found,
// displaced cards are counted (a counter may stay at 15), no card is displaced past a
// free slot, and the number of cards is right.
func checkTable(t interface{ Fatalf(string, ...any) }, tab *table) {
	over := make([][8]uint32, len(tab.lines))
	passed := make([]bool, len(tab.lines))
	used := 0
	for i := range tab.lines {
		for s := range slotCount {
			meta := tab.lines[i].meta[s].Load()
			if meta>>8 == 0 {
				continue
			}
			used++
			word := tab.lines[i].word[s].Load()
			for j := tab.home(word); j != i; j = tab.next(j) {
				over[j][meta&7]++
				passed[j] = true
			}
			if got := tab.find(key{word: word, tag: uint8(meta)}); got != meta>>8 {
				t.Fatalf("line %d slot %d: the card there is found with mark %#x, want %#x",
					i, s, got, meta>>8)
			}
		}
	}
	if used != tab.len() {
		t.Fatalf("table counts %d cards, holds %d", tab.len(), used)
	}
	for i := range tab.lines {
		l := &tab.lines[i]
		for class, want := range over[i] {
			if got := l.over.Load() >> (4 * class) & 15; got != want && got != 15 {
				t.Fatalf("line %d counts %d displaced cards of class %d, has %d", i, got, class, want)
			}
		}
		for s := range slotCount {
			if l.meta[s].Load() == 0 && passed[i] {
				t.Fatalf("line %d has a free slot and a card of its own elsewhere", i)
			}
		}
	}
}

func checkSet(t interface{ Fatalf(string, ...any) }, s *Set, want map[pan.Token]txn.Mark) {
	for token, mark := range want {
		if got := s.Get(token); got != mark {
			t.Fatalf("Get(%v) = %v, want %v", token, got, mark)
		}
	}
	if s.Len() != len(want) {
		t.Fatalf("Len = %d, want %d", s.Len(), len(want))
	}
	for i := range s.shards {
		checkTable(t, s.shards[i].table.Load())
	}
}

func TestSetPutGetDelete(t *testing.T) {
	s := NewSet()
	a, b := tokenAt(1), tokenAt(2)
	s.Put(a, lost)
	if s.Get(a) != lost || s.Get(b) != (txn.Mark{}) || s.Len() != 1 {
		t.Fatalf("a %v, b %v, len %d", s.Get(a), s.Get(b), s.Len())
	}
	s.Put(a, risk)
	if s.Get(a) != risk || s.Len() != 1 {
		t.Fatalf("after a second Put: %v, len %d", s.Get(a), s.Len())
	}
	s.Delete(b)
	s.Delete(a)
	s.Put(b, txn.Mark{})
	if s.Get(a) != (txn.Mark{}) || s.Len() != 0 {
		t.Fatalf("after Delete: %v, len %d", s.Get(a), s.Len())
	}
}

// TestSetUnevenTokens uses tokens that no HMAC would give: counters in each byte.
func TestSetUnevenTokens(t *testing.T) {
	s := NewSet()
	want := map[pan.Token]txn.Mark{}
	for i := range uint64(200) {
		for at := range pan.TokenSize {
			var token pan.Token
			token[at], token[(at+1)%pan.TokenSize] = byte(i), byte(i>>3)
			s.Put(token, lost)
			want[token] = lost
		}
	}
	for i := range uint64(5000) {
		var token pan.Token
		binary.BigEndian.PutUint64(token[8:], i)
		s.Put(token, risk)
		want[token] = risk
	}
	checkSet(t, s, want)
}

// TestSetAgainstMap runs random operations against a map, in one or all buckets and
// with few different cards, so that deletes, growth and overflow chains are common.
func TestSetAgainstMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := NewSet()
		want := map[pan.Token]txn.Mark{}
		oneBucket := rapid.Bool().Draw(rt, "oneBucket")
		cards := rapid.Uint64Range(1, 2000)
		draw := func(rt *rapid.T) pan.Token {
			token := tokenAt(cards.Draw(rt, "card"))
			if oneBucket {
				token = inBucket(token, 7)
			}
			return token
		}
		putMany := func(rt *rapid.T, mark txn.Mark) {
			from := cards.Draw(rt, "from")
			for i := range rapid.Uint64Range(1, 300).Draw(rt, "n") {
				token := tokenAt(from + i)
				if oneBucket {
					token = inBucket(token, 7)
				}
				s.Put(token, mark)
				delete(want, token)
				if mark != (txn.Mark{}) {
					want[token] = mark
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				token := draw(rt)
				mark := rapid.SampledFrom([]txn.Mark{lost, risk}).Draw(rt, "mark")
				s.Put(token, mark)
				want[token] = mark
			},
			"putMany":    func(rt *rapid.T) { putMany(rt, lost) },
			"deleteMany": func(rt *rapid.T) { putMany(rt, txn.Mark{}) },
			"delete": func(rt *rapid.T) {
				token := draw(rt)
				s.Delete(token)
				delete(want, token)
			},
			"reserve": func(rt *rapid.T) { s.Reserve(7, rapid.IntRange(0, 3000).Draw(rt, "n")) },
			"": func(rt *rapid.T) {
				if token := draw(rt); s.Get(token) != want[token] {
					rt.Fatalf("Get(%v) = %v, want %v", token, s.Get(token), want[token])
				}
				checkSet(rt, s, want)
			},
		})
	})
}

// TestTableAtFullLoad fills a table of few lines to its last slot and empties it in
// random order, so that chains go around its end.
func TestTableAtFullLoad(t *testing.T) {
	for seed := range uint64(50) {
		tab := newTable(8)
		r := rand.New(rand.NewPCG(seed, 1))
		var keys []key
		for len(keys) < len(tab.lines)*slotCount {
			k := key{word: r.Uint64() >> (seed % 3), tag: uint8(r.Uint32())}
			keys = append(keys, k)
			tab.insert(k, 1)
			checkTable(t, tab)
		}
		r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for i, k := range keys {
			tab.remove(k)
			if got := tab.find(k); got != 0 {
				t.Fatalf("seed %d: removed card %d is found with mark %d", seed, i, got)
			}
			checkTable(t, tab)
		}
	}
}

func FuzzSet(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 201, 1, 2, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		s := NewSet()
		want := map[pan.Token]txn.Mark{}
		for len(ops) >= 2 {
			token := inBucket(tokenAt(uint64(ops[1])), 3)
			mark := txn.Mark{Reason: txn.FreezeReason(ops[0] & 7), Scope: txn.App(ops[0] >> 3)}
			s.Put(token, mark)
			delete(want, token)
			if mark != (txn.Mark{}) {
				want[token] = mark
			}
			ops = ops[2:]
		}
		checkSet(t, s, want)
	})
}

func TestReplaceShard(t *testing.T) {
	s := NewSet()
	old, kept, fresh := inBucket(tokenAt(1), 5), inBucket(tokenAt(2), 6), inBucket(tokenAt(3), 5)
	s.Put(old, lost)
	s.Put(kept, lost)
	b := NewBuilder(0)
	for i := range uint64(1000) {
		b.Put(inBucket(tokenAt(100+i), 5), lost)
	}
	b.Put(fresh, risk)
	b.Put(inBucket(tokenAt(100), 5), txn.Mark{})
	if b.Len() != 1000 {
		t.Fatalf("builder holds %d cards, want 1000", b.Len())
	}
	if s.Get(old) != lost {
		t.Fatal("old entry gone before the replacement")
	}
	s.ReplaceShard(5, b)
	if s.Get(old) != (txn.Mark{}) || s.Get(kept) != lost || s.Get(fresh) != risk || s.Len() != 1001 {
		t.Fatalf("old %v, kept %v, fresh %v, len %d",
			s.Get(old), s.Get(kept), s.Get(fresh), s.Len())
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a builder could be used twice")
		}
	}()
	s.ReplaceShard(6, b)
}

// TestSetReadersNeverMiss reads cards that stay listed while others in the same
// bucket come and go, the table grows and whole shards are replaced.
func TestSetReadersNeverMiss(t *testing.T) {
	s := NewSet()
	const stay = 500
	for i := range uint64(stay) {
		s.Put(inBucket(tokenAt(i), 0), lost)
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for i := uint64(0); !stop.Load(); i++ {
				if got := s.Get(inBucket(tokenAt(i%stay), 0)); got != lost {
					t.Errorf("card %d: mark %v while others changed, want %v", i%stay, got, lost)
					return
				}
				if got := s.Get(inBucket(tokenAt(1<<40+i), 0)); got != (txn.Mark{}) {
					t.Errorf("card %d was never listed and has mark %v", 1<<40+i, got)
					return
				}
			}
		})
	}
	for round := range uint64(20) {
		for i := range uint64(300) {
			s.Put(inBucket(tokenAt(1000+round*150+i), 0), risk)
		}
		for i := range uint64(150) {
			s.Delete(inBucket(tokenAt(1000+round*150+i), 0))
		}
		b := NewBuilder(stay)
		for i := range uint64(stay) {
			b.Put(inBucket(tokenAt(i), 0), lost)
		}
		if round%5 == 4 {
			s.ReplaceShard(0, b)
		}
	}
	stop.Store(true)
	readers.Wait()
	checkTable(t, s.shards[0].table.Load())
}

func TestSetAllocations(t *testing.T) {
	s := NewSet()
	s.Reserve(0, 1000)
	token := inBucket(tokenAt(1), 0)
	var mark txn.Mark
	if n := testing.AllocsPerRun(1000, func() {
		s.Put(token, lost)
		mark = s.Get(token)
		s.Delete(token)
	}); n != 0 || mark != lost {
		t.Fatalf("Put, Get and Delete allocate %v times, want 0", n)
	}
}

// TestSetBytesPerCard holds the memory target at sizes where tables grow on their own.
func TestSetBytesPerCard(t *testing.T) {
	s, built := NewSet(), NewBuilder(0)
	for i := 1; i <= 60_000; i++ {
		card := inBucket(tokenAt(uint64(i)), 9)
		s.Put(card, lost)
		built.Put(card, lost)
		lines := len(s.shards[9].table.Load().lines)
		if per := float64(lines*lineSize) / float64(i); i >= 10_000 && per > 16 {
			t.Fatalf("%d cards grown one by one: %.2f bytes each, want at most 16", i, per)
		}
	}
	before := s.Bytes()
	s.ReplaceShard(9, built)
	if s.Bytes() > before {
		t.Fatalf("a built shard has %d bytes, one that grew %d", s.Bytes(), before)
	}
}

// TestSetReaderWhileCardMoves looks for a card that is moved to another line again and
// again, by the deletion of one before it.
func TestSetReaderWhileCardMoves(t *testing.T) {
	var cards []pan.Token // all with the same home in a table of the smallest size
	for i := uint64(0); len(cards) < slotCount+1; i++ {
		card := inBucket(tokenAt(i), 0)
		if newTable(0).home(keyOf(card).word) == 1 {
			cards = append(cards, card)
		}
	}
	s := NewSet()
	moved := cards[slotCount]
	replace := func() {
		b := NewBuilder(0)
		for _, card := range cards {
			b.Put(card, lost)
		}
		s.ReplaceShard(0, b)
	}
	replace()
	var stop atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		for !stop.Load() {
			if got := s.Get(moved); got != lost {
				t.Errorf("a card that was moved has mark %v, want %v", got, lost)
				return
			}
		}
	})
	for range 30_000 {
		replace()
		s.Delete(cards[0])
	}
	stop.Store(true)
	reader.Wait()
}

// TestTableManyDisplaced puts more cards with one home and class into a table than a
// counter can count.
func TestTableManyDisplaced(t *testing.T) {
	tab := newTable(8)
	keys := make([]key, 30)
	for i := range keys {
		keys[i] = key{word: uint64(i), tag: uint8(i) << 3}
		tab.insert(keys[i], 1)
		checkTable(t, tab)
	}
	for i, k := range keys {
		tab.remove(k)
		if tab.find(k) != 0 {
			t.Fatalf("removed card %d is found", i)
		}
		checkTable(t, tab)
	}
	if fresh := tab.resized(8); fresh.lines[0].over.Load() != 0 {
		t.Fatal("a copied table counts displaced cards and has none")
	}
}

package blacklist

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

const (
	slotCount = 5
	lineSize  = 64
	hintSize  = 4
	// loadPercent is how full a table gets before it grows: fuller, chains of full
	// lines get long; emptier, memory is wasted.
	loadPercent = 88
)

// line is one cache line: five cards of 12 bytes (9 bytes of key, 3 of mark) and a
// count. All fields are atomic because readers take no lock; on amd64 and arm64
// their loads cost no more than plain ones.
type line struct {
	word [slotCount]atomic.Uint64
	meta [slotCount]atomic.Uint32 // mark<<8 | tag; a slot is free when the mark is 0
	// over counts, in eight counters of four bits chosen by the key's class, the cards
	// that should stand in this line or one before it and stand in a later one. A
	// reader goes on to the next line only when the counter of its class is not zero.
	// A counter that reached 15 stays there until the table is copied: it then costs
	// time, never a card.
	over atomic.Uint32
}

// table is the content of one bucket: lines filled by linear probing, the first line
// to try chosen by scaling the key to the number of lines, which therefore need not
// be a power of two. It grows by a copy a little larger, made from the keys alone.
type table struct {
	lines []line
	// hints has a word for each line: two bits for every card whose first line it is. A
	// card that is not listed, which is nearly every card that is asked for, is mostly
	// told from these words alone, and they are small enough for the processor's cache
	// where ten million cards are not.
	hints []atomic.Uint32
	seq   atomic.Uint64 // odd while a writer is at work
	used  atomic.Int64  // cards
}

// key is what a table keeps of a token.
type key struct {
	word uint64
	tag  uint8
}

// hint returns the key's two bits (or one) in the word of its first line. They come from
// bits of the word that do not choose the line.
func (k key) hint() uint32 { return 1<<(k.word>>8&31) | 1<<(k.word>>13&31) }

// class returns the mask of the key's counter in line.over.
func (k key) class() uint32 { return 0xf << (k.tag & 7 * 4) }

// count adds d, 1 or -1, to the counter of the class.
func (l *line) count(class uint32, d int) {
	v := l.over.Load()
	unit := class & (class >> 3)
	switch {
	case v&class == class:
	case d > 0:
		l.over.Store(v + unit)
	default:
		l.over.Store(v - unit)
	}
}

// keyOf mixes the token into 72 bits. The tokens of cards are evenly spread already;
// the mixing makes tokens that are not, such as counters in tests, spread as well.
func keyOf(token pan.Token) key {
	hi := binary.BigEndian.Uint64(token[:8])
	lo := binary.BigEndian.Uint64(token[8:])
	word := (lo ^ bits.RotateLeft64(hi*0x9e3779b97f4a7c15, 32)) * 0xd6e8feb86659fd93
	word ^= word >> 32
	tag := ((hi ^ lo>>7) * 0xa0761d6478bd642f) >> 56
	return key{word: word * 0xe7037ed1a0b428db, tag: uint8(tag)}
}

// linesFor returns how many lines n cards need.
func linesFor(n int) int { return (n*100+slotCount*loadPercent-1)/(slotCount*loadPercent) + 1 }

func newTable(lines int) *table {
	lines = max(lines, 4)
	return &table{lines: make([]line, lines), hints: make([]atomic.Uint32, lines)}
}

// bytes returns the memory that the table occupies.
func (t *table) bytes() int64 { return int64(len(t.lines)) * (lineSize + hintSize) }

func (t *table) len() int { return int(t.used.Load()) }

// full reports whether the table must grow before one more card.
func (t *table) full() bool {
	return int64(t.len())*100 >= int64(len(t.lines))*slotCount*loadPercent
}

// growth is the part by which a large table grows: it then holds 82 to 88 %, which
// keeps a card below 16 bytes at every size.
const growth = 14

// grown returns how many lines a full table gets: small ones grow by half.
func (t *table) grown() int {
	n := len(t.lines)
	if n < 512 {
		return n + n/2
	}
	return n + n/growth
}

// home returns the first line to try for a key.
func (t *table) home(word uint64) int {
	hi, _ := bits.Mul64(word, uint64(len(t.lines)))
	return int(hi)
}

func (t *table) next(i int) int {
	if i++; i < len(t.lines) {
		return i
	}
	return 0
}

// find returns the mark of the key, 0 when it is not there. A reader without the lock
// may see a table in change, so that the walk is bounded; its answer is then thrown
// away.
func (t *table) find(k key) uint32 {
	i := t.home(k.word)
	if hint := k.hint(); t.hints[i].Load()&hint != hint {
		return 0
	}
	for range len(t.lines) {
		l := &t.lines[i]
		for s := range slotCount {
			if l.word[s].Load() != k.word {
				continue
			}
			if meta := l.meta[s].Load(); meta>>8 != 0 && uint8(meta) == k.tag {
				return meta >> 8
			}
		}
		if l.over.Load()&k.class() == 0 {
			return 0
		}
		i = t.next(i)
	}
	return 0
}

// write runs a change of a table that readers see.
func (t *table) write(change func()) {
	t.seq.Add(1)
	change()
	t.seq.Add(1)
}

// locate returns where the key stands.
func (t *table) locate(k key) (at, slot int, ok bool) {
	at = t.home(k.word)
	for {
		l := &t.lines[at]
		for s := range slotCount {
			meta := l.meta[s].Load()
			if meta>>8 != 0 && uint8(meta) == k.tag && l.word[s].Load() == k.word {
				return at, s, true
			}
		}
		if l.over.Load()&k.class() == 0 {
			return 0, 0, false
		}
		at = t.next(at)
	}
}

// put sets the mark of the key. The table must not be full.
func (t *table) put(k key, mark uint32) {
	if at, s, ok := t.locate(k); ok {
		t.lines[at].meta[s].Store(mark<<8 | uint32(k.tag))
		return
	}
	t.insert(k, mark)
}

// insert places a key that is not there in the first line with a free slot.
func (t *table) insert(k key, mark uint32) {
	home := t.home(k.word)
	t.hints[home].Store(t.hints[home].Load() | k.hint())
	for at := home; ; at = t.next(at) {
		l := &t.lines[at]
		for s := range slotCount {
			if l.meta[s].Load() == 0 {
				l.word[s].Store(k.word)
				l.meta[s].Store(mark<<8 | uint32(k.tag))
				t.used.Add(1)
				return
			}
		}
		l.count(k.class(), 1)
	}
}

// remove takes the key out and fills its slot from the lines behind.
func (t *table) remove(k key) {
	at, s, ok := t.locate(k)
	if !ok {
		return
	}
	for i := t.home(k.word); i != at; i = t.next(i) {
		t.lines[i].count(k.class(), -1)
	}
	t.lines[at].meta[s].Store(0)
	t.used.Add(-1)
	t.refill(at, s)
	t.rehint(t.home(k.word))
}

// rehint makes the hint word of a line anew, from the cards whose first line it is: they
// stand in it or, as far as cards have passed on, behind it.
func (t *table) rehint(home int) {
	hint := uint32(0)
	for i := home; ; i = t.next(i) {
		l := &t.lines[i]
		for s := range slotCount {
			k := key{word: l.word[s].Load()}
			if l.meta[s].Load() != 0 && t.home(k.word) == home {
				hint |= k.hint()
			}
		}
		if l.over.Load() == 0 || t.next(i) == home {
			break
		}
	}
	t.hints[home].Store(hint)
}

// refill moves the first card behind line at that should stand in it or before into
// its free slot, and goes on with the slot that became free. Without it a line could
// have a free slot and cards of its own elsewhere, and chains would only grow.
func (t *table) refill(at, slot int) {
	for {
		from, s, ok := t.displaced(at)
		if !ok {
			return
		}
		l, f := &t.lines[at], &t.lines[from]
		meta := f.meta[s].Load()
		l.word[slot].Store(f.word[s].Load())
		l.meta[slot].Store(meta)
		f.meta[s].Store(0)
		class := key{tag: uint8(meta)}.class()
		for i := at; i != from; i = t.next(i) {
			t.lines[i].count(class, -1)
		}
		at, slot = from, s
	}
}

// displaced finds a card behind line at whose home is at or before it. No card has
// passed a line whose counters are all zero.
func (t *table) displaced(at int) (from, slot int, ok bool) {
	n := len(t.lines)
	from = at
	for distance := 1; distance < n && t.lines[from].over.Load() != 0; distance++ {
		from = t.next(from)
		l := &t.lines[from]
		for s := range slotCount {
			if l.meta[s].Load() == 0 {
				continue
			}
			if back := (from - t.home(l.word[s].Load()) + n) % n; back >= distance {
				return from, s, true
			}
		}
	}
	return 0, 0, false
}

// resized returns a copy with the given number of lines.
func (t *table) resized(lines int) *table {
	grown := newTable(lines)
	for i := range t.lines {
		l := &t.lines[i]
		for s := range slotCount {
			if meta := l.meta[s].Load(); meta != 0 {
				grown.insert(key{word: l.word[s].Load(), tag: uint8(meta)}, meta>>8)
			}
		}
	}
	return grown
}

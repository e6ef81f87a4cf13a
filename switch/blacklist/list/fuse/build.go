package fuse

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Build8 makes a filter of 8 bits a slot. Keys may be in any order and double; they are
// not changed. Errors are ErrKeys.
func Build8(keys []uint64) (*Filter, error) { return build(keys, 8) }

// Build16 makes a filter of 16 bits a slot, as Build8 does.
func Build16(keys []uint64) (*Filter, error) { return build(keys, 16) }

func build(keys []uint64, width int) (*Filter, error) {
	if len(keys) > KeysMax {
		return nil, fmt.Errorf("%w: %d keys, at most %d", ErrKeys, len(keys), KeysMax)
	}
	if keys = distinct(keys); len(keys) == 0 {
		return &Filter{bits: width, empty: true}, nil
	}
	b := newBuilder(len(keys))
	for try := range uint64(seedsMax) {
		b.seed = mix(try+1, 0x9e3779b97f4a7c15)
		if !b.peel(keys) {
			continue
		}
		f := b.fill(width)
		for _, k := range keys {
			if !f.Contains(k) {
				panic("fuse: internal error: a key of the set is not in its filter")
			}
		}
		return f, nil
	}
	return nil, fmt.Errorf("%w: %d seeds failed for %d keys", ErrKeys, seedsMax, len(keys))
}

// distinct returns keys in order without doubles: keys itself when it is so already.
func distinct(keys []uint64) []uint64 {
	for i := 1; i < len(keys); i++ {
		if keys[i-1] >= keys[i] {
			keys = slices.Clone(keys)
			slices.Sort(keys)
			return slices.Compact(keys)
		}
	}
	return keys
}

// shapeFor returns the shape for n keys without its seed; the constants are the paper's.
// A reader takes the shape from the file, so that only builders compute with floats.
func shapeFor(n int) shape {
	large := math.Log(float64(max(n, 2)))
	segment := min(uint32(1)<<int(large/math.Log(3.33)+2.25), segmentMax)
	factor := max(1.125, 0.875+0.25*math.Log(1e6)/large)
	segments := (uint32(float64(n)*factor) + segment - 1) / segment
	return shape{segment: segment, segments: max(segments, 3) - 2}
}

// builder finds an order in which every key has a slot of its own when its turn comes.
type builder struct {
	shape
	mixed []uint64 // the keys, mixed, in the order of their first places
	order []uint64 // the keys, mixed, in the order in which they were peeled
	where []uint8  // which of its places each peeled key owns: 0, 1 or 2
	count []uint8  // keys of a slot, times 4, and in the low bits the xor of which places
	sum   []uint64 // xor of the mixed keys of a slot
	alone []uint32 // slots with one key
}

func newBuilder(n int) *builder {
	s := shapeFor(n)
	return &builder{shape: s, mixed: make([]uint64, n), order: make([]uint64, 0, n),
		where: make([]uint8, 0, n), count: make([]uint8, s.slots()), sum: make([]uint64, s.slots()),
		alone: make([]uint32, 0, s.slots())}
}

// peel takes away, again and again, a key that has a slot for itself. It reports whether
// none was left over.
func (b *builder) peel(keys []uint64) bool {
	if !b.place(keys) {
		return false
	}
	b.alone, b.order, b.where = b.alone[:0], b.order[:0], b.where[:0]
	for i, c := range b.count {
		if c>>2 == 1 {
			b.alone = append(b.alone, uint32(i))
		}
	}
	for len(b.alone) > 0 {
		slot := b.alone[len(b.alone)-1]
		b.alone = b.alone[:len(b.alone)-1]
		if b.count[slot]>>2 != 1 {
			continue
		}
		h, which := b.sum[slot], b.count[slot]&3
		b.order, b.where = append(b.order, h), append(b.where, which)
		b.take(h, which)
	}
	return len(b.order) == len(keys)
}

// place puts every key on its three slots. It fails when too many share one slot for the
// counter to hold.
func (b *builder) place(keys []uint64) bool {
	b.sorted(keys)
	clear(b.count)
	clear(b.sum)
	overflow := uint8(0)
	for _, h := range b.mixed {
		x, y, z := b.places(h)
		b.sum[x] ^= h
		b.sum[y] ^= h
		b.sum[z] ^= h
		b.count[x] += 4
		b.count[y] = (b.count[y] + 4) ^ 1
		b.count[z] = (b.count[z] + 4) ^ 2
		overflow |= spilled(b.count[x]) | spilled(b.count[y]) | spilled(b.count[z])
	}
	return overflow == 0
}

// spilled is not 0 when a counter that was just raised went over its end.
func spilled(count uint8) uint8 {
	if count < 4 {
		return 1
	}
	return 0
}

// sorted mixes the keys and puts them roughly in the order of their first places, so that
// placing them runs through memory once instead of jumping about.
func (b *builder) sorted(keys []uint64) {
	blocks := bits.Len32(b.segments) + 1 // bits of the mixed key that choose a block
	shift := 64 - blocks
	at := make([]uint32, 1<<blocks+1)
	for _, k := range keys {
		at[mix(k, b.seed)>>shift+1]++
	}
	for i := 1; i < len(at); i++ {
		at[i] += at[i-1]
	}
	for _, k := range keys {
		h := mix(k, b.seed)
		b.mixed[at[h>>shift]] = h
		at[h>>shift]++
	}
}

// take removes a key from the slots that it does not own.
func (b *builder) take(h uint64, owned uint8) {
	x, y, z := b.places(h)
	for which, slot := range [3]uint32{x, y, z} {
		if uint8(which) == owned {
			b.count[slot] -= 4
			continue
		}
		b.sum[slot] ^= h
		b.count[slot] = (b.count[slot] - 4) ^ uint8(which)
		if b.count[slot]>>2 == 1 {
			b.alone = append(b.alone, slot)
		}
	}
}

// fill writes the slots in the reverse of the order of peeling: the slot that a key owns
// is not read by any key written before it.
func (b *builder) fill(width int) *Filter {
	f := &Filter{shape: b.shape, bits: width, slots: make([]byte, b.slots()*width/8)}
	for i := len(b.order) - 1; i >= 0; i-- {
		h := b.order[i]
		x, y, z := b.places(h)
		own := [3]uint32{x, y, z}[b.where[i]]
		if width == 8 {
			f.slots[own] = uint8(fingerprint(h)) ^ f.slots[x] ^ f.slots[y] ^ f.slots[z]
			continue
		}
		binary.BigEndian.PutUint16(f.slots[2*own:],
			fingerprint(h)^f.at(x)^f.at(y)^f.at(z))
	}
	return f
}

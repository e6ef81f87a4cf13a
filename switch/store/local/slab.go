package local

import "fmt"

// slab holds byte slots of fixed sizes in blocks without pointers, so that the
// garbage collector neither scans nor counts a million card states. A slot is named
// by a reference of 32 bits: size class above, number below. It is not safe for
// concurrent use; a bucket's mutex guards it.
type slab struct {
	classes []slabClass // classCount of them, or none before the first slot
}

const (
	slotBits  = 26 // slots of one class of one bucket: 67 million
	slotMask  = 1<<slotBits - 1
	slabBlock = 32 << 10 // bytes of a block, about

	// Slots grow by 16 bytes up to 128, then by an eighth of each power of two: a state
	// wastes 6 % on average.
	classSmall = 7
	classCount = classSmall + 7*8 + 1
)

// slabClass is the slots of one size.
type slabClass struct {
	blocks [][]byte
	free   []uint32 // numbers of slots given back
	next   uint32   // slots never used are from here to the end of the blocks
}

// classSize returns the size of slots of class c: 32, 48, … 128, 144, … 16384, 18432.
func classSize(c int) int {
	if c < classSmall {
		return 32 + 16*c
	}
	c -= classSmall
	return (9 + c%8) << (c / 8) * 16
}

// classOf returns the smallest class with slots of at least n bytes.
func classOf(n int) int {
	if n <= 128 {
		return max(0, (n-17)/16)
	}
	c := classSmall
	for limit := 256; n > limit; limit *= 2 {
		c += 8
	}
	step := 16 << ((c - classSmall) / 8)
	return c + (n-8*step-1)/step
}

// classLayout is the size of a class's slots and, as a power of two, how many of them
// make a block.
type classLayout struct {
	size  int
	shift uint8
}

// layouts is the layout of every class; nobody changes it.
var layouts = func() (all [classCount]classLayout) {
	for c := range all {
		size, shift := classSize(c), uint8(0)
		for size<<(shift+1) <= slabBlock {
			shift++
		}
		all[c] = classLayout{size, shift}
	}
	return all
}()

// slot returns the bytes of a slot.
func (s *slab) slot(ref uint32) []byte {
	is := &layouts[ref>>slotBits]
	n := ref & slotMask
	at := int(n&(1<<is.shift-1)) * is.size
	return s.classes[ref>>slotBits].blocks[n>>is.shift][at : at+is.size : at+is.size]
}

// take returns a slot of at least n bytes with undefined content.
func (s *slab) take(n int) uint32 {
	if s.classes == nil {
		s.classes = make([]slabClass, classCount)
	}
	c := classOf(n)
	k, is := &s.classes[c], &layouts[c]
	if last := len(k.free) - 1; last >= 0 {
		slot := k.free[last]
		k.free = k.free[:last]
		return uint32(c)<<slotBits | slot
	}
	if int(k.next) == len(k.blocks)<<is.shift {
		if k.next > slotMask {
			panic(fmt.Sprintf("local: internal error: %d slots of %d bytes", k.next, is.size))
		}
		k.blocks = append(k.blocks, make([]byte, is.size<<is.shift))
	}
	k.next++
	return uint32(c)<<slotBits | (k.next - 1)
}

// give gives a slot back.
func (s *slab) give(ref uint32) {
	s.slot(ref)[0] = 0
	k := &s.classes[ref>>slotBits]
	k.free = append(k.free, ref&slotMask)
}

// fits reports whether n bytes belong into the slot's class.
func (s *slab) fits(ref uint32, n int) bool { return classOf(n) == int(ref>>slotBits) }

// compact gives up one block of a class that has more free slots than two blocks,
// moving what lives in it, and reports whether it did. moved is told of each move,
// after the bytes have been copied. A slot is in use when its first byte is not zero.
func (s *slab) compact(class int, moved func(from, to uint32)) bool {
	if s.classes == nil {
		return false
	}
	k, is := &s.classes[class], &layouts[class]
	perBlock := uint32(1) << is.shift
	unused := uint32(len(k.blocks))<<is.shift - k.next + uint32(len(k.free))
	if unused < 2*perBlock {
		return false
	}
	base := uint32(len(k.blocks)-1) << is.shift
	kept := k.free[:0]
	for _, slot := range k.free {
		if slot < base {
			kept = append(kept, slot)
		}
	}
	k.free = kept
	top := k.next
	k.next = min(k.next, base)
	for slot := base; slot < top; slot++ {
		from := uint32(class)<<slotBits | slot
		old := s.slot(from)
		if old[0] == 0 {
			continue
		}
		to := s.take(is.size)
		copy(s.slot(to), old)
		moved(from, to)
	}
	k.blocks[len(k.blocks)-1] = nil
	k.blocks = k.blocks[:len(k.blocks)-1]
	if cap(k.free) > 4*len(k.free)+64 {
		k.free = append([]uint32(nil), k.free...)
	}
	return true
}

// bytes returns the memory of the blocks.
func (s *slab) bytes() int {
	n := 0
	for c := range s.classes {
		n += len(s.classes[c].blocks) * layouts[c].size << layouts[c].shift
	}
	return n
}

// each calls visit for every slot in use of one block and reports whether there is
// such a block; visit may give back the slot it is called with.
func (s *slab) each(class, block int, visit func(ref uint32, slot []byte)) bool {
	if s.classes == nil || block >= len(s.classes[class].blocks) {
		return false
	}
	k := &s.classes[class]
	shift := layouts[class].shift
	base := uint32(block) << shift
	for n := base; n < min(k.next, base+1<<shift); n++ {
		ref := uint32(class)<<slotBits | n
		if slot := s.slot(ref); slot[0] != 0 {
			visit(ref, slot)
		}
	}
	return true
}

// index finds slots by a hash of 32 bits: open addressing with linear probing, eight
// bytes an entry, no pointers. It is guarded as its slab is.
type index struct {
	table []uint64 // hash above, reference+1 below; 0 is empty
	used  int
}

// find returns where the slot that match accepts stands.
func (x *index) find(hash uint32, match func(ref uint32) bool) (at int, ref uint32, ok bool) {
	if len(x.table) == 0 {
		return 0, 0, false
	}
	mask := uint32(len(x.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := x.table[i]
		if e == 0 {
			return 0, 0, false
		}
		if uint32(e>>32) == hash && match(uint32(e)-1) {
			return int(i), uint32(e) - 1, true
		}
	}
}

// add enters a reference that is not in the index.
func (x *index) add(hash, ref uint32) {
	if x.used*8 >= len(x.table)*7 {
		x.grow()
	}
	x.place(uint64(hash)<<32 | uint64(ref+1))
	x.used++
}

func (x *index) place(e uint64) {
	mask := uint32(len(x.table) - 1)
	i := uint32(e>>32) & mask
	for x.table[i] != 0 {
		i = (i + 1) & mask
	}
	x.table[i] = e
}

func (x *index) grow() {
	old := x.table
	x.table = make([]uint64, max(16, 2*len(old)))
	for _, e := range old {
		if e != 0 {
			x.place(e)
		}
	}
}

// set changes the reference at a place that find returned.
func (x *index) set(at int, ref uint32) {
	x.table[at] = x.table[at]>>32<<32 | uint64(ref+1)
}

// remove empties a place that find returned and moves up what would not be found any
// more behind it.
func (x *index) remove(at int) {
	mask := len(x.table) - 1
	hole := at
	for i := (at + 1) & mask; x.table[i] != 0; i = (i + 1) & mask {
		home := int(x.table[i]>>32) & mask
		if (i-home)&mask >= (i-hole)&mask {
			x.table[hole] = x.table[i]
			hole = i
		}
	}
	x.table[hole] = 0
	x.used--
}

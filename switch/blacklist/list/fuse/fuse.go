// Package fuse makes and reads binary fuse filters of 64-bit keys: a set in about 9 (or
// 18) bits a key that never misses a key of the set, and takes one that is not in it for
// a member with probability 1/256 (or 1/65536).
//
// A filter is three overlapping segments of fingerprints; a key is in it when the
// fingerprints at its three places combine to its own (Graf and Lemire, "Binary Fuse
// Filters", 2022). Build is deterministic: the same keys give the same filter, byte for
// byte. It takes at most BytesPerKey bytes of memory a key beside the result, tries a
// bounded number of seeds and looks every key up before it returns.
//
// Filters never change and are safe for concurrent use. The package reads no clock and
// no random source; keys chosen by an enemy who knows the seeds could make Build fail, so
// keys must be outputs of a keyed function, as card tokens are.
package fuse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Limits of a filter.
const (
	// KeysMax is the most keys of a filter: beyond it a city has its lists split.
	KeysMax = 16 << 20
	// BytesPerKey is the memory that Build takes for each key while it works.
	BytesPerKey = 40
	// HeaderSize is the length of the encoded parameters before the fingerprints.
	HeaderSize = 24
	// segmentMax is the longest segment; more is of no use.
	segmentMax = 1 << 18
	// slotsMax bounds the fingerprints of a filter that is read.
	slotsMax = KeysMax + KeysMax/2
	// seedsMax is how many seeds are tried. One fails with a probability below 1 % for
	// large sets and of some percent for small ones.
	seedsMax = 100
)

var (
	// ErrKeys reports keys that no filter can be made of: too many, or (beyond all
	// probability) every seed failed.
	ErrKeys = errors.New("fuse: no filter can be made")
	// ErrDamaged reports bytes that are not an encoded filter.
	ErrDamaged = errors.New("fuse: not a filter")
)

// shape is where a filter looks.
type shape struct {
	seed     uint64
	segment  uint32 // slots of a segment: a power of two
	segments uint32 // segments that a first place may lie in; there are two more
}

func (s shape) slots() int { return int(s.segments+2) * int(s.segment) }

// Filter is a set of keys in 8 or 16 bits a slot. The zero Filter is not usable.
type Filter struct {
	shape
	bits  int    // 8 or 16
	slots []byte // big-endian when bits is 16
	empty bool   // no keys: nothing is a member
}

// mix spreads a key over 64 bits under a seed: the finalizer of MurmurHash3.
func mix(key, seed uint64) uint64 {
	h := key + seed
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// places returns the three slots of a mixed key.
func (s shape) places(h uint64) (a, b, c uint32) {
	hi, _ := bits.Mul64(h, uint64(s.segments)*uint64(s.segment))
	a = uint32(hi)
	b = (a + s.segment) ^ uint32(h>>18)&(s.segment-1)
	c = (a + 2*s.segment) ^ uint32(h)&(s.segment-1)
	return a, b, c
}

// fingerprint is what the three slots of a mixed key combine to, cut to the filter's bits.
func fingerprint(h uint64) uint16 { return uint16(h ^ h>>32) }

// Contains reports whether key is in the set, or seems to be.
func (f *Filter) Contains(key uint64) bool {
	if f.empty {
		return false
	}
	h := mix(key, f.seed)
	a, b, c := f.places(h)
	want := fingerprint(h)
	if f.bits == 8 {
		return uint8(want) == f.slots[a]^f.slots[b]^f.slots[c]
	}
	return want == f.at(a)^f.at(b)^f.at(c)
}

func (f *Filter) at(i uint32) uint16 { return binary.BigEndian.Uint16(f.slots[2*i:]) }

// Bits returns 8 or 16.
func (f *Filter) Bits() int { return f.bits }

// Size returns the length of the encoded filter in bytes.
func (f *Filter) Size() int { return HeaderSize + len(f.slots) }

// Append appends the encoded filter: the seed in 8 bytes, the slots of a segment, the
// segments for first places, the number of slots and the bits of a slot in 4 bytes each,
// then the slots; all big-endian. A filter without keys has no slots and zeros.
func (f *Filter) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, f.seed)
	dst = binary.BigEndian.AppendUint32(dst, f.segment)
	dst = binary.BigEndian.AppendUint32(dst, f.segments)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.slots)*8/f.bits))
	dst = binary.BigEndian.AppendUint32(dst, uint32(f.bits))
	return append(dst, f.slots...)
}

// Decode reads an encoded filter and keeps b, which must not change afterwards. Every
// place that a key can have lies inside what it accepts. Errors are ErrDamaged.
func Decode(b []byte) (*Filter, error) {
	if len(b) < HeaderSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d and more", ErrDamaged, len(b), HeaderSize)
	}
	s := shape{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]),
		binary.BigEndian.Uint32(b[12:])}
	slots, width := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if width != 8 && width != 16 {
		return nil, fmt.Errorf("%w: slots of %d bits, want 8 or 16", ErrDamaged, width)
	}
	f := &Filter{shape: s, bits: int(width), slots: b[HeaderSize:], empty: slots == 0}
	switch {
	case f.empty && (s != shape{} || len(f.slots) != 0):
		return nil, fmt.Errorf("%w: no slots, and yet a shape or bytes", ErrDamaged)
	case f.empty:
		return f, nil
	case s.segment == 0 || s.segment > segmentMax || s.segment&(s.segment-1) != 0:
		return nil, fmt.Errorf("%w: segments of %d slots", ErrDamaged, s.segment)
	case s.segments == 0 || s.segments > slotsMax || s.slots() > slotsMax ||
		s.slots() != int(slots):
		return nil, fmt.Errorf("%w: %d slots in %d+2 segments of %d", ErrDamaged, slots, s.segments,
			s.segment)
	case len(f.slots) != int(slots)*int(width)/8:
		return nil, fmt.Errorf("%w: %d bytes for %d slots of %d bits", ErrDamaged, len(f.slots),
			slots, width)
	}
	return f, nil
}

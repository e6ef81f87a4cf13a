package fastblock

import "math/bits"

// SM4 is the key schedule of an SM4 key (GB/T 32907).
type SM4 [32]uint32

// Expand makes s the schedule of the key of 16 bytes, hi before lo.
func (s *SM4) Expand(hi, lo uint64) {
	a, b := uint32(hi>>32)^0xa3b1bac6, uint32(hi)^0x56aa3350
	c, d := uint32(lo>>32)^0x677d9197, uint32(lo)^0xb27022dc
	for i := range s {
		t := b ^ c ^ d ^ constant(i)
		t = uint32(sm4Box[t>>24])<<24 | uint32(sm4Box[t>>16&255])<<16 |
			uint32(sm4Box[t>>8&255])<<8 | uint32(sm4Box[t&255])
		a ^= t ^ bits.RotateLeft32(t, 13) ^ bits.RotateLeft32(t, 23)
		s[i] = a
		a, b, c, d = b, c, d, a
	}
}

// constant returns CK of round i: four multiples of seven.
func constant(i int) uint32 {
	first := uint32(28 * i)
	return first&255<<24 | (first+7)&255<<16 | (first+14)&255<<8 | (first+21)&255
}

// Encrypt returns the block of 16 bytes, hi before lo, encrypted under s.
func (s *SM4) Encrypt(hi, lo uint64) (uint64, uint64) {
	a, b, c, d := uint32(hi>>32), uint32(hi), uint32(lo>>32), uint32(lo)
	for i := 0; i < 32; i += 4 {
		a ^= mix(b ^ c ^ d ^ s[i])
		b ^= mix(c ^ d ^ a ^ s[i+1])
		c ^= mix(d ^ a ^ b ^ s[i+2])
		d ^= mix(a ^ b ^ c ^ s[i+3])
	}
	return uint64(d)<<32 | uint64(c), uint64(b)<<32 | uint64(a)
}

// mix is the transformation T of a round.
func mix(x uint32) uint32 {
	return sm4Mix[0][x>>24] ^ sm4Mix[1][x>>16&255] ^ sm4Mix[2][x>>8&255] ^ sm4Mix[3][x&255]
}

// sm4Mix has what each byte of a word contributes to T; nothing changes it.
var sm4Mix = newSM4Mix()

func newSM4Mix() (t [4][256]uint32) {
	for in, out := range sm4Box {
		for i := range t {
			b := uint32(out) << (24 - 8*i)
			t[i][in] = b ^ bits.RotateLeft32(b, 2) ^ bits.RotateLeft32(b, 10) ^
				bits.RotateLeft32(b, 18) ^ bits.RotateLeft32(b, 24)
		}
	}
	return t
}

// sm4Box is the S-box of SM4. It is an inversion between two affine maps, and computed as
// that: both maps multiply by the same circulant matrix and add the same constant.
var sm4Box = newSM4Box()

func newSM4Box() (t [256]byte) {
	for in := range t {
		t[in] = affine(invert(affine(byte(in))))
	}
	return t
}

// affine is the map x -> A x + d3, where row i of A is row 0 turned by i.
func affine(x byte) (out byte) {
	for i := range 8 {
		if bits.OnesCount8(x&bits.RotateLeft8(0xa7, i))%2 == 1 {
			out |= 1 << i
		}
	}
	return out ^ 0xd3
}

// invert returns the inverse of x in the field of 256 elements of SM4, 0 for 0: x^254.
func invert(x byte) byte {
	out := byte(1)
	for i := 7; i >= 0; i-- {
		out = times(out, out)
		if 254>>i&1 == 1 {
			out = times(out, x)
		}
	}
	return out
}

// times multiplies modulo x^8+x^7+x^6+x^5+x^4+x^2+1.
func times(x, y byte) (out byte) {
	for ; y > 0; y >>= 1 {
		if y&1 == 1 {
			out ^= x
		}
		carry := x >> 7
		x = x<<1 ^ carry*0xf5
	}
	return out
}

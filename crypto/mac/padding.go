package mac

import "fmt"

// Padding is a padding method of ISO 9797-1.
type Padding uint8

// The padding methods. Pad1 appends zeros to a whole block (one block of zeros to an empty
// message, nothing to an aligned one), Pad2 appends 80 and zeros, always, Pad3 puts a block
// with the length in bits in front and then does as Pad1.
const (
	Pad1 Padding = 1 + iota
	Pad2
	Pad3
)

// String returns "pad1", "pad2", "pad3", and "none" for 0.
func (p Padding) String() string {
	if p == 0 {
		return "none"
	}
	return fmt.Sprintf("pad%d", uint8(p))
}

// Pad returns a padded copy of data for a cipher with blocks of the given size. It is nil
// for a padding or block size (1 to 255) that does not exist. New's MACs do not need it: they
// pad without copying.
func Pad(p Padding, block int, data []byte) []byte {
	if p < Pad1 || p > Pad3 || block < 1 || block > 255 {
		return nil
	}
	front := 0
	if p == Pad3 {
		front = block
	}
	body := len(data)
	if p == Pad2 {
		body++
	}
	body = max(body+block-1, block) / block * block
	out := make([]byte, front+body)
	putBits(out[:front], len(data))
	copy(out[front:], data)
	if p == Pad2 {
		out[len(data)] = 0x80
	}
	return out
}

// putBits writes the length of n bytes in bits to dst, right-aligned, high bits lost.
func putBits(dst []byte, n int) {
	bits := uint64(n) * 8
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte(bits)
		bits >>= 8
	}
}

package fastblock

import "math/bits"

// The tables below are computed from those of FIPS 46-3 when the program starts. Nothing
// changes them.
var (
	// substitute has, for each S-box and its six bits of input, the 32 bits that it
	// contributes after the permutation P, turned left by one bit.
	substitute = newSubstitute()
	// choice1 has the 56 bits that the upper seven bits of each key byte become.
	choice1 = newChoice1()
	// choice2 has what each seven of the 56 bits, high bits first, contribute to a round:
	// bytes of the S-boxes 2, 4, 1, 3 from the first half, 6, 8, 5, 7 from the second.
	choice2 = newChoice2()
)

// shifts has a one for each round whose key halves turn by two bits, the first round last.
const shifts = 0b0111111011111100

// sbox are the S-boxes, each as four rows of sixteen hex digits.
var sbox = [8][4]uint64{
	{0xe4d12fb83a6c5907, 0x0f74e2d1a6cb9538, 0x41e8d62bfc973a50, 0xfc8249175b3ea06d},
	{0xf18e6b34972dc05a, 0x3d47f28ec01a69b5, 0x0e7ba4d158c6932f, 0xd8a13f42b67c05e9},
	{0xa09e63f51dc7b428, 0xd709346a285ecbf1, 0xd6498f30b12c5ae7, 0x1ad069874fe3b52c},
	{0x7de3069a1285bc4f, 0xd8b56f03472c1ae9, 0xa690cb7df13e5284, 0x3f06a1d8945bc72e},
	{0x2c417ab6853fd0e9, 0xeb2c47d150fa3986, 0x421bad78f9c5630e, 0xb8c71e2d6f09a453},
	{0xc1af92680d34e75b, 0xaf427c9561de0b38, 0x9ef528c3704a1db6, 0x432c95fabe17608d},
	{0x4b2ef08d3c975a61, 0xd0b7491ae35c2f86, 0x14bdc37eaf680592, 0x6bd814a7950fe23c},
	{0xd2846fb1a93e50c7, 0x1fd8a374c56b0e92, 0x7b419ce206adf358, 0x21e74a8dfc90356b},
}

// permutation is P: the S-box output bit, 1 to 32 from the left, of each bit.
var permutation = [32]uint8{
	16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
	2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
}

// permuted1 is PC-1, permuted2 is PC-2: the input bit, from 1 on the left, of each bit.
var permuted1 = [56]uint8{
	57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18,
	10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
	63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22,
	14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
}

var permuted2 = [48]uint8{
	14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10,
	23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
	41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48,
	44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
}

// permute returns the bits of x, whose width is given, that table names.
func permute(x uint64, width int, table []uint8) (out uint64) {
	for _, from := range table {
		out = out<<1 | x>>(width-int(from))&1
	}
	return out
}

func newSubstitute() (t [8][64]uint32) {
	for box := range t {
		for in := range t[box] {
			row := in>>4&2 | in&1
			column := in >> 1 & 15
			out := sbox[box][row] >> (60 - 4*column) & 15
			p := permute(out<<(28-4*box), 32, permutation[:])
			t[box][in] = bits.RotateLeft32(uint32(p), 1)
		}
	}
	return t
}

func newChoice1() (t [8][128]uint64) {
	for i := range t {
		for in := range t[i] {
			t[i][in] = permute(uint64(in)<<(57-8*i), 64, permuted1[:])
		}
	}
	return t
}

func newChoice2() (t [8][128]uint32) {
	for i := range t {
		for in := range t[i] {
			p := permute(uint64(in)<<(49-7*i), 56, permuted2[:])
			half := p >> (24 * (1 - i/4)) // four boxes of six bits
			box := func(n int) uint32 { return uint32(half >> (18 - 6*n) & 63) }
			t[i][in] = box(1)<<24 | box(3)<<16 | box(0)<<8 | box(2)
		}
	}
	return t
}

// Package fastblock holds DES, two-key 3DES in encryption, and SM4 with round keys that are
// plain arrays: a key is expanded without an allocation, and can be kept in a table, copied
// and cleared. That is what the verification of many records of as many cards needs: the
// standard library spends more on the key schedule of a DES key than on the MAC made with
// it, and every cipher.Block is an allocation.
//
// Blocks and keys are big-endian numbers. Values are not safe for concurrent change; a
// schedule that nobody changes may be used at once. Like crypto/des, the code looks up
// tables by secret values and so does not hide its timing from another program on the same
// core. It is for the MACs of card transactions and nothing else.
package fastblock

import "math/bits"

// DES is the key schedule of a DES key: sixteen rounds of two words. The first word of a
// round has the key bits of the S-boxes 2, 4, 6, 8 in its four bytes, the second those of
// the S-boxes 1, 3, 5, 7.
type DES [32]uint32

// Expand makes d the schedule of key. Parity bits have no effect.
func (d *DES) Expand(key uint64) {
	var cd uint64
	for i := range choice1 {
		cd |= choice1[i][key>>(57-8*i)&127]
	}
	c, e := uint32(cd>>28), uint32(cd&(1<<28-1))
	for i := range 16 {
		by := shifts >> i & 1
		c = (c<<(1+by) | c>>(27-by)) & (1<<28 - 1)
		e = (e<<(1+by) | e>>(27-by)) & (1<<28 - 1)
		x := choice2[0][c>>21] | choice2[1][c>>14&127] | choice2[2][c>>7&127] | choice2[3][c&127]
		y := choice2[4][e>>21] | choice2[5][e>>14&127] | choice2[6][e>>7&127] | choice2[7][e&127]
		d[2*i] = x&^0xffff | y>>16
		d[2*i+1] = x<<16 | y&0xffff
	}
}

// Encrypt returns the block x encrypted under d.
func (d *DES) Encrypt(x uint64) uint64 {
	l, r := initial(x)
	l, r = d.rounds(l, r)
	return final(l, r)
}

// rounds does the sixteen rounds on halves that initial made.
func (d *DES) rounds(l, r uint32) (uint32, uint32) {
	for i := 0; i < 32; i += 4 {
		l ^= even(r, d[i]) ^ odd(r, d[i+1])
		r ^= even(l, d[i+2]) ^ odd(l, d[i+3])
	}
	return l, r
}

// even and odd are the two parts of the cipher function of FIPS 46-3, for the S-boxes 2, 4,
// 6, 8 and 1, 3, 5, 7: of a half that is turned left by one bit, so that the six bits of
// every second S-box stand in one byte each. Two, because the compiler inlines two small
// functions but not one large.
func even(r, k uint32) uint32 {
	r ^= k
	return substitute[7][r&63] ^ substitute[5][r>>8&63] ^
		substitute[3][r>>16&63] ^ substitute[1][r>>24&63]
}

func odd(r, k uint32) uint32 {
	r = bits.RotateLeft32(r, -4) ^ k
	return substitute[6][r&63] ^ substitute[4][r>>8&63] ^
		substitute[2][r>>16&63] ^ substitute[0][r>>24&63]
}

// initial is the initial permutation, done by exchanging bits between the halves; both come
// out turned left by one bit.
func initial(x uint64) (l, r uint32) {
	l, r = uint32(x>>32), uint32(x)
	w := (l>>4 ^ r) & 0x0f0f0f0f
	r, l = r^w, l^w<<4
	w = (l>>16 ^ r) & 0x0000ffff
	r, l = r^w, l^w<<16
	w = (r>>2 ^ l) & 0x33333333
	l, r = l^w, r^w<<2
	w = (r>>8 ^ l) & 0x00ff00ff
	l, r = l^w, r^w<<8
	r = bits.RotateLeft32(r, 1)
	w = (l ^ r) & 0xaaaaaaaa
	return bits.RotateLeft32(l^w, 1), r ^ w
}

// final undoes initial, after the halves changed places.
func final(r, l uint32) uint64 {
	l = bits.RotateLeft32(l, -1)
	w := (l ^ r) & 0xaaaaaaaa
	l, r = l^w, bits.RotateLeft32(r^w, -1)
	w = (r>>8 ^ l) & 0x00ff00ff
	l, r = l^w, r^w<<8
	w = (r>>2 ^ l) & 0x33333333
	l, r = l^w, r^w<<2
	w = (l>>16 ^ r) & 0x0000ffff
	r, l = r^w, l^w<<16
	w = (l>>4 ^ r) & 0x0f0f0f0f
	r, l = r^w, l^w<<4
	return uint64(l)<<32 | uint64(r)
}

// TDES is the key schedule of a two-key 3DES key: K1, K2 backwards, K1.
type TDES [3]DES

// Expand makes t the schedule of the key k1, k2.
func (t *TDES) Expand(k1, k2 uint64) {
	t[0].Expand(k1)
	t[2] = t[0]
	t[1].Expand(k2)
	for i, j := 0, 30; i < j; i, j = i+2, j-2 {
		t[1][i], t[1][j] = t[1][j], t[1][i]
		t[1][i+1], t[1][j+1] = t[1][j+1], t[1][i+1]
	}
}

// Encrypt2 returns two blocks encrypted under t. The rounds of a block wait for each other,
// those of two blocks do not: both together cost little more than one.
func (t *TDES) Encrypt2(x, y uint64) (uint64, uint64) {
	l, r := initial(x)
	m, s := initial(y)
	for i := range t {
		d := &t[i]
		for j := 0; j < 32; j += 4 {
			l ^= even(r, d[j]) ^ odd(r, d[j+1])
			m ^= even(s, d[j]) ^ odd(s, d[j+1])
			r ^= even(l, d[j+2]) ^ odd(l, d[j+3])
			s ^= even(m, d[j+2]) ^ odd(m, d[j+3])
		}
		l, r, m, s = r, l, s, m
	}
	return final(r, l), final(s, m)
}

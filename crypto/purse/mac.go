package purse

import (
	"encoding/binary"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/purse/internal/fastblock"
)

// macKey is the key schedule of a MAC key: DES in 3DES schemes, else SM4. Both are as large.
type macKey [32]uint32

// padMax is the most bytes that padding adds.
const padMax = 16

func (k *macKey) expand(a block.Algorithm, hi, lo uint64) {
	if a == block.SM4 {
		(*fastblock.SM4)(k).Expand(hi, lo)
	} else {
		(*fastblock.DES)(k).Expand(hi)
	}
}

// expandTAC makes k the TAC key of a card's key.
func (k *macKey) expandTAC(s *Scheme, hi, lo uint64) {
	if s.TACKey == TACFold {
		hi ^= lo
	}
	k.expand(s.Cipher, hi, lo)
}

// last returns the last block of the CBC-MAC (ISO 9797-1 algorithm 1) of data with padding
// method 2, which is written after data: data has room for it.
func (k *macKey) last(a block.Algorithm, data []byte) (hi, lo uint64) {
	size := 8
	if a == block.SM4 {
		size = 16
	}
	for data = append(data, 0x80); len(data)%size != 0; {
		data = append(data, 0)
	}
	if a == block.SM4 {
		for ; len(data) > 0; data = data[16:] {
			hi, lo = (*fastblock.SM4)(k).Encrypt(hi^binary.BigEndian.Uint64(data),
				lo^binary.BigEndian.Uint64(data[8:]))
		}
		return hi, lo
	}
	for ; len(data) > 0; data = data[8:] {
		hi = (*fastblock.DES)(k).Encrypt(hi ^ binary.BigEndian.Uint64(data))
	}
	return hi, 0
}

// mac returns the MAC of data, truncated as the scheme says. data has room for padding.
func (k *macKey) mac(s *Scheme, data []byte) uint32 {
	hi, lo := k.last(s.Cipher, data)
	if s.Truncation == TruncXorFold4 {
		hi ^= lo
		return uint32(hi>>32) ^ uint32(hi)
	}
	return uint32(hi >> 32)
}

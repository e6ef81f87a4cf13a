package local

import (
	"encoding/binary"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// The layout of a card's slot: flags u8, zero u8, state length u16, version u64,
// token, state.
const stateHead = 12 + pan.TokenSize

// The flags of a card in memory.
const (
	slotLive     = 1 << iota // the slot is in use
	slotDirty                // changed since it was last copied to a checkpoint
	slotCaptured             // copied to a checkpoint that is not durable yet
	slotSeen                 // read or written since the evictor last came by
)

// states are the cards of one bucket that are in memory.
type states struct {
	slab  slab
	index index
	hand  struct{ class, block int } // where the evictor looks next
}

// card is a view of a card in memory, valid until the bucket is unlocked.
type card []byte

func (c card) flags() byte      { return c[0] }
func (c card) version() uint64  { return binary.LittleEndian.Uint64(c[4:]) }
func (c card) state() []byte    { return c[stateHead : stateHead+int(c.size())] }
func (c card) size() uint16     { return binary.LittleEndian.Uint16(c[2:]) }
func (c card) token() pan.Token { return pan.Token(c[12:stateHead]) }

// hashToken spreads tokens over 32 bits. Real tokens are uniform already; those of
// tests need not be.
func hashToken(t *pan.Token) uint32 {
	hi, lo := binary.LittleEndian.Uint64(t[:]), binary.LittleEndian.Uint64(t[8:])
	h := (hi ^ lo*0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
	h ^= h >> 32
	return uint32((h * 0xd6e8feb86659fd93) >> 32)
}

func (s *states) locate(token *pan.Token) (at int, ref uint32, ok bool) {
	return s.index.find(hashToken(token), func(ref uint32) bool {
		return pan.Token(s.slab.slot(ref)[12:stateHead]) == *token
	})
}

// find returns the card, nil when it is not in memory.
func (s *states) find(token *pan.Token) card {
	_, ref, ok := s.locate(token)
	if !ok {
		return nil
	}
	c := s.slab.slot(ref)
	c[0] |= slotSeen
	return c
}

// put sets a card's state and version; flags say whether it is dirty.
func (s *states) put(token *pan.Token, version uint64, state []byte, flags byte) {
	size := stateHead + len(state)
	at, ref, ok := s.locate(token)
	switch {
	case !ok:
		ref = s.slab.take(size)
		s.slab.slot(ref)[0] = 0
		s.index.add(hashToken(token), ref)
	case !s.slab.fits(ref, size):
		s.slab.give(ref)
		ref = s.slab.take(size)
		s.slab.slot(ref)[0] = 0
		s.index.set(at, ref)
	}
	c := s.slab.slot(ref)
	c[0] = c[0]&slotCaptured | slotLive | slotSeen | flags
	c[1] = 0
	binary.LittleEndian.PutUint16(c[2:], uint16(len(state)))
	binary.LittleEndian.PutUint64(c[4:], version)
	copy(c[12:], token[:])
	copy(c[stateHead:], state)
}

func (s *states) count() int { return s.index.used }

// drop forgets a card.
func (s *states) drop(token pan.Token) {
	if at, ref, ok := s.locate(&token); ok {
		s.slab.give(ref)
		s.index.remove(at)
	}
}

// evict forgets up to want clean cards of one block, those first that nobody has seen
// since it last came by, and moves on to the next block. It returns how many.
func (s *states) evict(want int) int {
	s.step()
	gone := 0
	s.slab.each(s.hand.class, s.hand.block, func(_ uint32, slot []byte) {
		switch {
		case slot[0]&(slotDirty|slotCaptured) != 0 || gone == want:
		case slot[0]&slotSeen != 0:
			slot[0] &^= slotSeen
		default:
			s.drop(card(slot).token())
			gone++
		}
	})
	return gone
}

// step moves the hand to the next block, round and round.
func (s *states) step() {
	if s.slab.classes == nil {
		return
	}
	s.hand.block++
	for range classCount + 1 {
		if s.hand.block < len(s.slab.classes[s.hand.class].blocks) {
			return
		}
		s.hand.class, s.hand.block = (s.hand.class+1)%classCount, 0
	}
}

// compact gives memory back that is no longer needed, one block at most.
func (s *states) compact(class int) bool {
	return s.slab.compact(class, func(from, to uint32) {
		token := card(s.slab.slot(to)).token()
		at, _, ok := s.index.find(hashToken(&token), func(r uint32) bool { return r == from })
		if ok {
			s.index.set(at, to)
		}
	})
}

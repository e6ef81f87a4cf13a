package mac

import (
	"bytes"
	"crypto/subtle"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// cupSize is the length of a UnionPay terminal MAC: field 64 holds 8 hex characters.
const cupSize = 8

const upperHex = "0123456789ABCDEF"

// cup computes the UnionPay terminal MAC in w and returns all its hex characters: XOR of the
// blocks, written as hex; the first half encrypted, the second added, encrypted again,
// written as hex.
func (m *MAC) cup(w *work, data []byte) []byte {
	s, text := w.state[:m.block], w.text[:2*m.block]
	fold(s, data)
	appendHex(text[:0], s)
	m.k1.Encrypt(s, text[:m.block])
	xor(s, text[m.block:])
	m.k1.Encrypt(s, s)
	return appendHex(text[:0], s)
}

// fold adds the blocks of data, the last padded with zeros, to s.
func fold(s, data []byte) {
	for len(data) >= len(s) {
		xor(s, data)
		data = data[len(s):]
	}
	subtle.XORBytes(s, s[:len(data)], data)
}

func appendHex(dst, src []byte) []byte {
	for _, b := range src {
		dst = append(dst, upperHex[b>>4], upperHex[b&15])
	}
	return dst
}

// XORSteps returns what the UnionPay terminal MAC does before any key is used: the running
// XOR after each block that was added to the first, and the last of them, which for a single
// block is that block. It is for finding out why a host and a terminal disagree, and is nil
// for a cipher without blocks.
func XORSteps(c block.Algorithm, data []byte) (running [][]byte, final []byte) {
	size := c.Size()
	if size == 0 {
		return nil, nil
	}
	final = make([]byte, size)
	for first := true; len(data) > 0; first = false {
		n := min(size, len(data))
		fold(final, data[:n])
		data = data[n:]
		if !first {
			running = append(running, bytes.Clone(final))
		}
	}
	return running, final
}

// CUPTrace holds every intermediate value of a UnionPay terminal MAC. It is as secret as the
// MAC is: log no trace of a live key.
type CUPTrace struct {
	// Running is the XOR after each block but the first, Folded the last one.
	Running [][]byte
	Folded  []byte
	// Left and Right are the halves of Folded in hex.
	Left, Right string
	// First is E(Left), Added is First XOR Right, Last is E(Added).
	First, Added, Last []byte
	// Full is Last in hex; field 64 is its first 8 characters.
	Full string
}

// TraceCUP computes the UnionPay terminal MAC of data step by step, for DES, TDES and SM4.
func TraceCUP(c block.Algorithm, key, data []byte) (CUPTrace, error) {
	m, err := New(Scheme{Algorithm: CUPECB, Cipher: c}, key)
	if err != nil {
		return CUPTrace{}, err
	}
	var t CUPTrace
	t.Running, t.Folded = XORSteps(c, data)
	text := appendHex(nil, t.Folded)
	t.Left, t.Right = string(text[:m.block]), string(text[m.block:])
	t.First, t.Last = make([]byte, m.block), make([]byte, m.block)
	m.k1.Encrypt(t.First, text[:m.block])
	t.Added = bytes.Clone(t.First)
	xor(t.Added, text[m.block:])
	m.k1.Encrypt(t.Last, t.Added)
	t.Full = string(appendHex(nil, t.Last))
	return t, nil
}

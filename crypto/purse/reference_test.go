package purse_test

import (
	"crypto/cipher"
	"encoding/hex"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// masterKey is a synthetic key; its bytes are easy to find in an error text.
var masterKey = unhex("c0ffeec0ffee00c0deadbeefdeadbeef")

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("purse: internal error: " + err.Error())
	}
	return b
}

// What follows computes everything a second time, with the ciphers of crypto/block, step by
// step as the standards say it.

func cipherOf(tb testing.TB, a block.Algorithm, key []byte) cipher.Block {
	tb.Helper()
	c, err := block.New(a, key)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// reference is one level of diversification.
func reference(tb testing.TB, a block.Algorithm, key []byte, f [8]byte) []byte {
	out := append([]byte(nil), f[:]...)
	for _, b := range f {
		out = append(out, ^b)
	}
	c := cipherOf(tb, a, key)
	for i := 0; i < 16; i += c.BlockSize() {
		c.Encrypt(out[i:], out[i:])
	}
	return out
}

// referenceSession is a session key.
func referenceSession(tb testing.TB, a block.Algorithm, key []byte, in [8]byte) []byte {
	out := reference(tb, a, key, in)
	if a == block.TDES {
		return out[:8]
	}
	return out
}

// referenceMAC is the last block of a CBC-MAC with padding method 2.
func referenceMAC(tb testing.TB, a block.Algorithm, key, data []byte) []byte {
	if a == block.TDES {
		a = block.DES
	}
	c := cipherOf(tb, a, key)
	padded := append(append([]byte(nil), data...), 0x80)
	for len(padded)%c.BlockSize() != 0 {
		padded = append(padded, 0)
	}
	mac := make([]byte, c.BlockSize())
	for i := 0; i < len(padded); i += len(mac) {
		for j := range mac {
			mac[j] ^= padded[i+j]
		}
		c.Encrypt(mac, mac)
	}
	return mac
}

// referenceFold is the TAC key of 3DES schemes.
func referenceFold(key []byte) []byte {
	out := make([]byte, 8)
	for i := range out {
		out[i] = key[i] ^ key[8+i]
	}
	return out
}

package mac

import (
	"crypto/cipher"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// NewCiphers is New for keys that are there as ciphers only, in a hardware security module
// say. k1 and k2 encrypt under the keys that New takes; k2 is nil but for EMAC and Retail. A
// cipher that panics does so through Sum and Verify, which stay usable.
func NewCiphers(s Scheme, k1, k2 cipher.Block) (*MAC, error) {
	s, err := s.check()
	if err != nil {
		return nil, err
	}
	two := s.Algorithm == EMAC || s.Algorithm == Retail
	if k1 == nil || (k2 != nil) != two {
		return nil, fmt.Errorf("%w: %v with another number of keys", ErrScheme, s.Algorithm)
	}
	if k1.BlockSize() != s.Cipher.Size() || two && k2.BlockSize() != s.Cipher.Size() {
		return nil, fmt.Errorf("%w: blocks of another size than those of %v", block.ErrKeyLength,
			s.Cipher)
	}
	m := &MAC{scheme: s, block: s.Cipher.Size(), k1: k1, k2: k2}
	m.pool.New = func() any { return new(work) }
	if s.Algorithm == CMAC {
		m.subkeys()
	}
	return m, nil
}

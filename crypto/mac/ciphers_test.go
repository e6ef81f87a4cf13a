package mac_test

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// TestNewCiphers makes every scheme from ciphers and from the key's bytes: both are the same.
func TestNewCiphers(t *testing.T) {
	key := []byte("\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10")
	for _, s := range []mac.Scheme{mac.X99, mac.X919, mac.CUPDES, mac.CUPTDES, mac.CUPSM4,
		{Algorithm: mac.CMAC, Cipher: block.AES}, {Algorithm: mac.CMAC, Cipher: block.TDES, Size: 5},
		{Algorithm: mac.EMAC, Cipher: block.DES, Padding: mac.Pad2},
		{Algorithm: mac.CBC, Cipher: block.SM4, Padding: mac.Pad3}} {
		use, two := key, s.Algorithm == mac.Retail || s.Algorithm == mac.EMAC
		if s.Cipher == block.DES && !two {
			use = key[:8]
		}
		want, err := mac.New(s, use)
		if err != nil {
			t.Fatal(err)
		}
		if two {
			use = key[:8]
		}
		k1, err := block.New(s.Cipher, use)
		if err != nil {
			t.Fatal(err)
		}
		var k2 cipher.Block
		if two {
			if k2, err = block.New(s.Cipher, key[8:]); err != nil {
				t.Fatal(err)
			}
		}
		got, err := mac.NewCiphers(s, k1, k2)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		for n := range 40 {
			data := bytes.Repeat([]byte{7}, n)
			if !bytes.Equal(got.Sum(nil, data), want.Sum(nil, data)) {
				t.Errorf("%v of %d bytes: another MAC", s, n)
			}
		}
		for _, bad := range [][2]cipher.Block{{nil, nil}, {nil, k1}, {k1, map[bool]cipher.Block{
			false: k1}[two]}} {
			if _, err := mac.NewCiphers(s, bad[0], bad[1]); !errors.Is(err, mac.ErrScheme) {
				t.Errorf("%v with another number of ciphers: %v", s, err)
			}
		}
	}
	aes, err := block.New(block.AES, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mac.NewCiphers(mac.X99, aes, nil); !errors.Is(err, mac.ErrKeyLength) {
		t.Errorf("AES for DES: %v", err)
	}
	if _, err := mac.NewCiphers(mac.Scheme{}, aes, nil); !errors.Is(err, mac.ErrScheme) {
		t.Errorf("the zero scheme: %v", err)
	}
}

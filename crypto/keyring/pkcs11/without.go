//go:build !pkcs11

package pkcs11

import (
	"crypto/cipher"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/keyring"
)

// Token is a device; there is none in this build.
type Token struct{}

var _ keyring.Token = (*Token)(nil)

func absent() error {
	return fmt.Errorf("%w: built without PKCS#11; build with CGO_ENABLED=1 and -tags pkcs11",
		keyring.ErrUnsupported)
}

// Open returns keyring.ErrUnsupported.
func Open(Config) (*Token, error) { return nil, absent() }

// Put implements keyring.Token.
func (*Token) Put(string, keyring.Algorithm, []byte) error { return absent() }

// Cipher implements keyring.Token.
func (*Token) Cipher(string, keyring.Algorithm) (cipher.Block, error) { return nil, absent() }

// Destroy implements keyring.Token.
func (*Token) Destroy(string) error { return absent() }

// List implements keyring.Token.
func (*Token) List() ([]string, error) { return nil, absent() }

// Close does nothing.
func (*Token) Close() error { return nil }

package iso

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// MACScheme is the scheme of the loads with MACs as a bank file names it: AES-CMAC, cut to the
// eight bytes of field 64.
const MACScheme = "cmac-aes"

// AcquirerKey and BankKey return the keys of the two sides of a switch. They stand here for
// everybody to read, and protect nothing.
func AcquirerKey() []byte { return []byte("bench, acquirer:") }

// BankKey is the bank's; see AcquirerKey.
func BankKey() []byte { return []byte("bench, the bank:") }

// NewMAC returns the MAC of a side.
func NewMAC(key []byte) (*mac.MAC, error) {
	m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES, Size: 8}, key)
	if err != nil {
		return nil, fmt.Errorf("MAC of the benchmark: %w", err)
	}
	return m, nil
}

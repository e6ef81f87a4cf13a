// Package pkcs11 keeps the keys of a key ring in a device that speaks PKCS#11: a hardware
// security module, a smart card, SoftHSM. It needs cgo and the build tag pkcs11; without the
// tag Open says so and nothing else is there.
//
// Keys are made in the device, or brought to it once (C_CreateObject), as CKA_SENSITIVE and not
// CKA_EXTRACTABLE, and are found by their label: purpose/scheme/version. The device does block
// ciphers (ECB) and, where it can, CMAC; chaining, MACs and purses are computed here with
// them. It knows 3DES and AES. SM4, SM2, Ed25519 and HMAC keys are refused: few devices have
// them and none the same. A single DES key is kept as a 3DES key of three equal parts, because
// devices drop single DES.
//
// A Token is safe for concurrent use, and uses at most sessionsMax sessions. When the device
// fails, its ciphers panic with keyring.Fault, which the ring turns into an error. The package
// does not log in again after a device was taken out, and forgets the PIN after the login.
package pkcs11

import "fmt"

// Config says which device to open.
type Config struct {
	// Module is the path of the vendor's library.
	Module string
	// Token is the label of the token, as it was initialised.
	Token string
	// PIN is the user's. It is not shown by any printer.
	PIN string
}

// Format shows all but the PIN.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("pkcs11(" + c.Module + ", " + c.Token + ")"))
}

// MarshalText returns what Format shows.
func (c Config) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }

package gate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
)

// masterKeySize is the length of the key that wraps the terminals' keys: AES-256.
const masterKeySize = 32

// terminalKeySize is the length of a terminal's key in bytes.
const terminalKeySize = 32

// errSealed reports a wrapped key that the master key does not open.
var errSealed = errors.New("terminal key cannot be unwrapped: another master key, or damaged")

// sealer wraps terminals' keys under the master key (AES-256-GCM), bound to the terminal
// and to what the key is for, so that no wrapped key can be moved elsewhere.
type sealer struct{ aead cipher.AEAD }

func newSealer(master []byte) (sealer, error) {
	if len(master) != masterKeySize {
		return sealer{}, fmt.Errorf("gate: master key: want %d bytes, got %d",
			masterKeySize, len(master))
	}
	block, err := aes.NewCipher(master)
	if err != nil {
		return sealer{}, fmt.Errorf("gate: master key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return sealer{}, fmt.Errorf("gate: master key: %w", err)
	}
	return sealer{aead}, nil
}

// seal wraps key for terminal; nonce and ciphertext are one string.
func (s sealer) seal(terminal string, key []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: the runtime ends the process instead
	return s.aead.Seal(nonce, nonce, key, sealFor(terminal))
}

// open unwraps what seal wrapped for the same terminal.
func (s sealer) open(terminal string, wrapped []byte) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(wrapped) < n {
		return nil, fmt.Errorf("terminal %s: %w", terminal, errSealed)
	}
	key, err := s.aead.Open(nil, wrapped[:n], wrapped[n:], sealFor(terminal))
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", terminal, errSealed)
	}
	return key, nil
}

func sealFor(terminal string) []byte { return []byte("tapswitch terminal key " + terminal) }

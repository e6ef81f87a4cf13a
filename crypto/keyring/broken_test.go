package keyring

import (
	"crypto/cipher"
	"errors"
)

// brokenToken is a device that does nothing.
type brokenToken struct{}

var errBroken = errors.New("broken")

func (brokenToken) Put(string, Algorithm, []byte) error            { return errBroken }
func (brokenToken) Cipher(string, Algorithm) (cipher.Block, error) { return nil, errBroken }
func (brokenToken) Destroy(string) error                           { return errBroken }
func (brokenToken) List() ([]string, error)                        { return nil, errBroken }

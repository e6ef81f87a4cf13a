package keyringtest

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
)

// Token is a device in memory that fails when it is told to. It has no CMAC of its own.
type Token struct {
	// Down makes everything fail, ciphers that were given out too.
	Down atomic.Bool
	// PutMax is how many keys fit; 0 for any number. It is set before use.
	PutMax int

	mu   sync.Mutex // guards keys
	keys map[string]cipher.Block
}

var _ keyring.Token = (*Token)(nil)

// ErrDown is how a Token fails.
var ErrDown = fmt.Errorf("the device is down")

// NewToken returns an empty Token.
func NewToken() *Token { return &Token{keys: map[string]cipher.Block{}} }

// Put implements keyring.Token.
func (t *Token) Put(label string, a keyring.Algorithm, material []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.Down.Load():
		return ErrDown
	case t.keys[label] != nil:
		return fmt.Errorf("%w: %s", keyring.ErrExists, label)
	case t.PutMax > 0 && len(t.keys) >= t.PutMax:
		return fmt.Errorf("the device is full")
	}
	if material == nil {
		material = make([]byte, a.Size())
		_, _ = rand.Read(material)
	}
	c, err := block.New(a.Cipher(), material)
	if err != nil {
		return err
	}
	t.keys[label] = c
	return nil
}

// Cipher implements keyring.Token.
func (t *Token) Cipher(label string, _ keyring.Algorithm) (cipher.Block, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Down.Load() {
		return nil, ErrDown
	}
	c := t.keys[label]
	if c == nil {
		return nil, fmt.Errorf("%w: %s", keyring.ErrUnknown, label)
	}
	return &fragile{c, t}, nil
}

// Destroy implements keyring.Token.
func (t *Token) Destroy(label string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Down.Load() {
		return ErrDown
	}
	delete(t.keys, label)
	return nil
}

// List implements keyring.Token.
func (t *Token) List() ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Down.Load() {
		return nil, ErrDown
	}
	return slices.Collect(maps.Keys(t.keys)), nil
}

// fragile is a cipher that fails with its device.
type fragile struct {
	cipher.Block
	token *Token
}

// Encrypt implements cipher.Block.
func (f *fragile) Encrypt(dst, src []byte) {
	f.check()
	f.Block.Encrypt(dst, src)
}

// Decrypt implements cipher.Block.
func (f *fragile) Decrypt(dst, src []byte) {
	f.check()
	f.Block.Decrypt(dst, src)
}

func (f *fragile) check() {
	if f.token.Down.Load() {
		panicFault(ErrDown)
	}
}

// panicFault fails as the ring expects of a device.
func panicFault(err error) { panic(deviceFault(err)) }

func deviceFault(err error) keyring.Fault { return keyring.Fault{Err: err} }

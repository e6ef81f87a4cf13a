package keyring

import (
	"crypto/ed25519"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

func verifySM2(t *testing.T, public, message, signature []byte) bool {
	t.Helper()
	return must(sm.ParsePublicKey(public))(t).Verify(message, signature)
}

func verifyEd25519(public, message, signature []byte) bool {
	return ed25519.Verify(public, message, signature)
}

func errWeak() error { return block.ErrWeak }

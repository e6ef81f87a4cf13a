//go:build !pkcs11

package pkcs11

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/keyring"
)

func TestWithoutTag(t *testing.T) {
	c := Config{Module: "/lib/hsm.so", Token: "t", PIN: "27182818"}
	token, err := Open(c)
	if !errors.Is(err, keyring.ErrUnsupported) || token != nil {
		t.Errorf("got %v, %v", token, err)
	}
	if text, err := c.MarshalText(); err != nil ||
		strings.Contains(fmt.Sprintf("%v %+v %#v %s", c, c, c, text), c.PIN) {
		t.Error("the PIN is in the text")
	}
	none := &Token{}
	_, err1 := none.Cipher("", keyring.AES128)
	_, err2 := none.List()
	for _, err := range []error{err1, err2, none.Put("", keyring.AES128, nil), none.Destroy("")} {
		if !errors.Is(err, keyring.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	}
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}

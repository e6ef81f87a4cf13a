package keyring_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
)

func components(t testing.TB) (a, b *keyring.Component) {
	t.Helper()
	var err error
	if a, _, err = keyring.NewComponent(nil); err == nil {
		b, _, err = keyring.NewComponent(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestConformanceSoftware(t *testing.T) {
	a, b := components(t)
	keyringtest.Run(t, keyringtest.Backend{
		Create: func(t *testing.T, path string, o keyring.Options) *keyring.Ring {
			r, err := keyring.CreateStore(path, a, b, o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Open: func(t *testing.T, path string, o keyring.Options) *keyring.Ring {
			r, err := keyring.Open(path, b, a, o) // the order does not matter
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	})
}

func TestConformanceDevice(t *testing.T) {
	devices := map[string]*keyringtest.Token{}
	keyringtest.Run(t, keyringtest.Backend{
		Device: true,
		Create: func(t *testing.T, path string, o keyring.Options) *keyring.Ring {
			devices[path] = keyringtest.NewToken()
			r, err := keyring.CreateOnToken(path, devices[path], o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Open: func(t *testing.T, path string, o keyring.Options) *keyring.Ring {
			r, err := keyring.OpenOnToken(path, devices[path], o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	})
}

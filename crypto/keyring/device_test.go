package keyring_test

import (
	"crypto/cipher"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/crypto/purse"
)

func onDevice(t *testing.T) (*keyring.Ring, *keyringtest.Token, string) {
	t.Helper()
	device := keyringtest.NewToken()
	path := filepath.Join(t.TempDir(), "keys")
	r, err := keyring.CreateOnToken(path, device, keyring.Options{Actor: keyringtest.Two})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, device, path
}

// TestDeviceDown takes the device away: every operation gives an error, no MAC is right, and
// all goes on when it is back.
func TestDeviceDown(t *testing.T) {
	r, device, path := onDevice(t)
	for _, ref := range []string{"mac/x", "pin/x", "data/x", "key_exchange/x", "purse_tac/x"} {
		keyringtest.Import(t, r, ref, keyring.TDES2, keyringtest.KeyA)
	}
	s, card, values := keyringtest.Load()
	pins := keyring.PINBlock{Key: keyring.PINKey{Ref: keyringtest.Ref(t, "pin/x")},
		Format: pinblock.Format0, PAN: "6225880137706868"}
	var eight [8]byte
	_, field, err := r.NewWorkingKeys(keyringtest.Ref(t, "key_exchange/x"), keyring.Working40)
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]func() (bool, error){
		"MAC": func() (bool, error) {
			_, err := r.MAC(keyringtest.Ref(t, "mac/x"), mac.X919, nil, nil)
			return false, err
		},
		"verify": func() (bool, error) {
			return r.VerifyMAC(keyringtest.Ref(t, "mac/x"), mac.X919, nil, eight[:4])
		},
		"translate": func() (bool, error) {
			_, err := r.TranslatePIN(nil, eight[:], &keyring.PINTranslation{In: pins, Out: pins})
			if errors.Is(err, keyring.ErrPINBlock) {
				err = nil // zeros are no PIN block
			}
			return false, err
		},
		"encrypt": func() (bool, error) {
			return false, r.Encrypt(keyringtest.Ref(t, "data/x"), make([]byte, 8), eight[:], eight[:])
		},
		"wrap": func() (bool, error) {
			_, _, err := r.NewWorkingKeys(keyringtest.Ref(t, "key_exchange/x"), keyring.Working40)
			return false, err
		},
		"unwrap": func() (bool, error) {
			_, err := r.OpenWorkingKeys(keyringtest.Ref(t, "key_exchange/x"), field)
			return false, err
		},
		"TAC": func() (bool, error) {
			return r.VerifyPurseMAC(&keyring.PurseMAC{Ref: keyringtest.Ref(t, "purse_tac/x"), Scheme: s,
				Card: card, Message: purse.LoadTAC, Values: values}, [4]byte{})
		},
	}
	keys, err := r.TACKeys([]keyring.CardKeys{{Keys: "x", Cards: *s}})
	if err != nil {
		t.Fatal(err)
	}
	verifier := purse.NewVerifier(keys, purse.Options{Cards: -1})
	values.Type = purse.PurchaseEP
	tap := &purse.Record{Card: card, KeyVersion: 1, Values: values}
	for _, down := range []bool{false, true, false} {
		device.Down.Store(down)
		for name, do := range operations {
			ok, err := do()
			if ok || errors.Is(err, keyringtest.ErrDown) != down || (err != nil) != down {
				t.Errorf("%s with the device down %v: %v, %v", name, down, ok, err)
			}
		}
		if down {
			verifier.Purge()
		}
		if got := verifier.Verify(tap); (got == purse.Undecided) != down {
			t.Errorf("verdict with the device down %v: %v", down, got)
		}
	}
	device.Down.Store(true)
	_, err = r.Generate(keyring.NewKey{Ref: keyringtest.Ref(t, "pin/new")}, keyringtest.Two)
	if !errors.Is(err, keyringtest.ErrDown) {
		t.Errorf("generate: %v", err)
	}
	if _, err = keyring.OpenOnToken(path, device, keyring.Options{}); !errors.Is(err, keyringtest.ErrDown) {
		t.Errorf("open: %v", err)
	}
	if p, err := r.Verify(); err != nil || len(p.Problems) != 6 {
		t.Errorf("report %+v, %v", p, err)
	}
}

// TestDeviceFull stops in the middle of an import: nothing of it stays.
func TestDeviceFull(t *testing.T) {
	r, device, _ := onDevice(t)
	device.PutMax = 3 // the root, the key, one half
	_, err := r.Import(keyring.ClearKey{Ref: keyringtest.Ref(t, "mac/x"), Algorithm: keyring.TDES2,
		Components: keyringtest.Parts(t, keyring.TDES2, keyringtest.KeyA)}, keyringtest.Two)
	if err == nil {
		t.Fatal("it fitted")
	}
	if labels, err := device.List(); err != nil || len(labels) != 1 {
		t.Errorf("the device has %q, %v", labels, err)
	}
	if len(r.List()) != 0 {
		t.Error("the store has the key")
	}
}

// TestDeviceDestroy destroys a key while the device is away, and again when it is back.
func TestDeviceDestroy(t *testing.T) {
	r, device, _ := onDevice(t)
	ref := keyringtest.Import(t, r, "mac/x", keyring.TDES2, keyringtest.KeyA).Ref
	if err := r.Retire(ref, 0, keyringtest.Two); err != nil {
		t.Fatal(err)
	}
	device.Down.Store(true)
	if err := r.Destroy(ref, keyringtest.Two); !errors.Is(err, keyringtest.ErrDown) {
		t.Errorf("destroy: %v", err)
	}
	device.Down.Store(false)
	p, err := r.Verify()
	if err != nil || len(p.Problems) != 3 || !strings.Contains(p.Problems[0], "mac/x/1") {
		t.Errorf("report %+v, %v: want the key and its halves as strays", p, err)
	}
	if err := r.Destroy(ref, keyringtest.Two); err != nil {
		t.Errorf("destroy again: %v", err)
	}
	if p, err := r.Verify(); err != nil || len(p.Problems) != 0 {
		t.Errorf("report %+v, %v", p, err)
	}
}

// TestDeviceKinds opens stores of one kind as the other, and on another device.
func TestDeviceKinds(t *testing.T) {
	r, device, path := onDevice(t)
	a, b := components(t)
	if _, err := keyring.Open(path, a, b, keyring.Options{}); !errors.Is(err, keyring.ErrKind) {
		t.Errorf("as a software store: %v", err)
	}
	soft := filepath.Join(t.TempDir(), "soft")
	s, err := keyring.CreateStore(soft, a, b, keyring.Options{Actor: keyringtest.Two})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := keyring.OpenOnToken(soft, device, keyring.Options{}); !errors.Is(err, keyring.ErrKind) {
		t.Errorf("a software store on a device: %v", err)
	}
	if _, err := keyring.OpenOnToken(path, keyringtest.NewToken(), keyring.Options{}); !errors.Is(err,
		keyring.ErrUnknown) {
		t.Errorf("on an empty device: %v", err)
	}
	other := keyringtest.NewToken()
	o, err := keyring.CreateOnToken(filepath.Join(t.TempDir(), "k"), other,
		keyring.Options{Actor: keyringtest.Two})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := keyring.OpenOnToken(path, other, keyring.Options{}); !errors.Is(err, keyring.ErrMaster) {
		t.Errorf("on another device: %v", err)
	}
	if err := r.ChangeMaster(a, b, keyringtest.Two); !errors.Is(err, keyring.ErrUnsupported) {
		t.Errorf("change of master on a device: %v", err)
	}
	// A device has one store, and a refused one leaves nothing there.
	if _, err := keyring.CreateOnToken(path+"2", device, keyring.Options{Actor: keyringtest.Two}); !errors.Is(
		err, keyring.ErrExists) {
		t.Errorf("a second store: %v", err)
	}
	third := keyringtest.NewToken()
	if _, err := keyring.CreateOnToken(path, third, keyring.Options{Actor: keyringtest.Two}); !errors.Is(
		err, keyring.ErrExists) {
		t.Errorf("over a store: %v", err)
	}
	if labels, err := third.List(); err != nil || len(labels) != 0 {
		t.Errorf("the refused store left %q, %v", labels, err)
	}
	if _, err := keyring.CreateOnToken(path+"3", third, keyring.Options{}); !errors.Is(err,
		keyring.ErrActor) {
		t.Errorf("without names: %v", err)
	}
}

// TestDeviceMaterial asks for what would need the material.
func TestDeviceMaterial(t *testing.T) {
	r, _, _ := onDevice(t)
	kek := keyringtest.Import(t, r, "key_exchange/k", keyring.AES256,
		keyringtest.KeyAES+keyringtest.KeyA).Ref
	pin := keyringtest.Import(t, r, "pin/p", keyring.TDES2, keyringtest.KeyA).Ref
	if _, err := r.ExportBlock(pin, kek, keyringtest.Two); !errors.Is(err, keyring.ErrNotExportable) {
		t.Errorf("export: %v", err)
	}
	if _, err := r.ImportBlock(keyring.KeyBlock{Ref: keyringtest.Ref(t, "pin/q"), Under: kek},
		keyringtest.Two); !errors.Is(err, keyring.ErrUnsupported) {
		t.Errorf("import of a block: %v", err)
	}
	_, err := r.Import(keyring.ClearKey{Ref: keyringtest.Ref(t, "cvk/c"), Algorithm: keyring.TDES2,
		Components: keyringtest.Parts(t, keyring.TDES2, keyringtest.KeyA)}, keyringtest.Two)
	if !errors.Is(err, keyring.ErrUnsupported) {
		t.Errorf("a CVK: %v", err)
	}
}

// cmacToken is a device with CMACs of its own, which are told from ours.
type cmacToken struct {
	*keyringtest.Token
	err error
}

func (c *cmacToken) CMAC(label string, _ keyring.Algorithm, _ []byte) ([]byte, error) {
	return []byte(label + "                ")[:16], c.err
}

var _ keyring.CMACer = (*cmacToken)(nil)

func TestDeviceCMAC(t *testing.T) {
	device := &cmacToken{Token: keyringtest.NewToken()}
	r, err := keyring.CreateOnToken(filepath.Join(t.TempDir(), "keys"), device,
		keyring.Options{Actor: keyringtest.Two})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ref := keyringtest.Import(t, r, "mac/aes", keyring.AES128, keyringtest.KeyAES).Ref
	scheme := mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES, Size: 8}
	got, err := r.MAC(ref, scheme, nil, nil)
	if err != nil || string(got) != "mac/aes/" {
		t.Errorf("the device's CMAC was not taken: %q, %v", got, err)
	}
	if ok, err := r.VerifyMAC(ref, scheme, nil, []byte("mac/aes/")); !ok || err != nil {
		t.Errorf("verify: %v, %v", ok, err)
	}
	if ok, err := r.VerifyMAC(ref, scheme, nil, []byte("mac/aes")); ok || err != nil {
		t.Errorf("verify of a short one: %v, %v", ok, err)
	}
	device.err = keyringtest.ErrDown
	if ok, err := r.VerifyMAC(ref, scheme, nil, []byte("mac/aes/")); ok || !errors.Is(err,
		keyringtest.ErrDown) {
		t.Errorf("verify with the device down: %v, %v", ok, err)
	}
	device.err = keyring.ErrUnsupported
	m, err := mac.New(scheme, keyringtest.Bytes(t, keyringtest.KeyAES))
	if err != nil {
		t.Fatal(err)
	}
	if got, err = r.MAC(ref, scheme, nil, nil); err != nil || !m.Verify(nil, got) {
		t.Errorf("without CMAC in the device: %v", err)
	}
}

// panicking is a device whose ciphers panic with something that is no Fault.
type panicking struct{ *keyringtest.Token }

func (p panicking) Cipher(label string, a keyring.Algorithm) (cipher.Block, error) {
	c, err := p.Token.Cipher(label, a)
	return bad{c}, err
}

type bad struct{ cipher.Block }

func (b bad) Encrypt(dst, src []byte) {
	if len(src) == 8 {
		panic("keyring: internal error: a test's own")
	}
	b.Block.Encrypt(dst, src)
}

// TestForeignPanic does not swallow what is no Fault.
func TestForeignPanic(t *testing.T) {
	r, err := keyring.CreateOnToken(filepath.Join(t.TempDir(), "keys"),
		panicking{keyringtest.NewToken()}, keyring.Options{Actor: keyringtest.Two})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("the panic was swallowed")
		}
	}()
	_, _ = r.Import(keyring.ClearKey{Ref: keyringtest.Ref(t, "pin/p"), Algorithm: keyring.TDES2,
		Components: keyringtest.Parts(t, keyring.TDES2, keyringtest.KeyA)}, keyringtest.Two)
}

// TestRotationOnDevice keeps the keys of a device through a rotation and a reload.
func TestRotationOnDevice(t *testing.T) {
	r, device, path := onDevice(t)
	keyringtest.Import(t, r, "pin/p", keyring.TDES2, keyringtest.KeyA)
	other, err := keyring.OpenOnToken(path, device, keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ref := keyringtest.Ref(t, "pin/p")
	if _, err := r.Generate(keyring.NewKey{Ref: ref}, keyringtest.Two); err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(ref, time.Hour, keyringtest.Two); err != nil {
		t.Fatal(err)
	}
	if changed, err := other.Reload(); !changed || err != nil {
		t.Fatalf("reload: %v, %v", changed, err)
	}
	info, err := other.Info(ref)
	if err != nil || info.Ref.Version != 2 || len(other.List()) != 2 {
		t.Errorf("after reload: %+v, %v", info, err)
	}
	if p, err := other.Verify(); err != nil || p.Checked != 2 || len(p.Problems) != 0 {
		t.Errorf("report %+v, %v", p, err)
	}
}

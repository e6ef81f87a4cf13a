package keyring

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// Token is a device that holds keys and does block ciphers with them; package pkcs11 has
// one. Implementations are safe for concurrent use.
type Token interface {
	// Put makes a key with a label that is not there yet (ErrExists), which can be used to
	// encrypt and decrypt and never leaves the device: of the material, or one that the
	// device draws where it is nil. It keeps no copy of the material, and returns
	// ErrUnsupported for what the device does not know.
	Put(label string, a Algorithm, material []byte) error
	// Cipher returns the block cipher of a key, ErrUnknown if there is none. When the
	// device fails later, the cipher panics with a Fault.
	Cipher(label string, a Algorithm) (cipher.Block, error)
	// Destroy destroys a key; one that is not there is destroyed.
	Destroy(label string) error
	// List returns the labels of all keys, in any order.
	List() ([]string, error)
}

// CMACer is a Token that also computes CMACs, of whole blocks. The ring asks it first, and
// computes CMAC with Cipher where it returns ErrUnsupported.
type CMACer interface {
	// CMAC returns the CMAC of data under a key, a whole block.
	CMAC(label string, a Algorithm, data []byte) ([]byte, error)
}

// rootLabel is the key of the device that seals the store's file.
const rootLabel = "keyring/store/1"

// The labels of the halves of a two-key 3DES key, for MACs that use them apart.
const (
	leftSuffix  = "/left"
	rightSuffix = "/right"
)

// onDevice are the purposes whose operations need block ciphers only.
var onDevice = []Purpose{PurseLoad, PursePurchase, PurseTAC, PurseUnload, PurseOverdraft,
	MessageMAC, TerminalMAC, PIN, Data, KeyExchange}

// device is a Token as the ring uses it.
type device struct{ token Token }

// supports refuses what cannot be done with block ciphers in the device.
func (d *device) supports(p Purpose, a Algorithm) error {
	if a == SM4 || a == SM2 || !slices.Contains(onDevice, p) {
		return fmt.Errorf("%w: %v for %v", ErrUnsupported, a, p)
	}
	return nil
}

// put makes a key. A 3DES key for MACs that comes from outside also gets its halves, for the
// retail MAC.
func (d *device) put(ref Ref, a Algorithm, material []byte) error {
	label := ref.String()
	if err := d.token.Put(label, a, material); err != nil {
		return err
	}
	if a != TDES2 || material == nil || !slices.Contains(purposes[ref.Purpose].operations, OpMAC) {
		return nil
	}
	err := d.token.Put(label+leftSuffix, DES, material[:8])
	if err == nil {
		err = d.token.Put(label+rightSuffix, DES, material[8:])
	}
	if err != nil {
		return errors.Join(err, d.destroy(ref))
	}
	return nil
}

func (d *device) destroy(ref Ref) error {
	label := ref.String()
	return errors.Join(d.token.Destroy(label), d.token.Destroy(label+leftSuffix),
		d.token.Destroy(label+rightSuffix))
}

func (d *device) ciphers(ref Ref, a Algorithm) (*cipherSet, error) {
	label := ref.String()
	c := &cipherSet{}
	var err error
	if c.whole, err = d.token.Cipher(label, a); err != nil {
		return nil, fmt.Errorf("key %v in the device: %w", ref, err)
	}
	if a != TDES2 {
		return c, nil
	}
	left, err := d.token.Cipher(label+leftSuffix, DES)
	if errors.Is(err, ErrUnknown) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("key %v in the device: %w", ref, err)
	}
	right, err := d.token.Cipher(label+rightSuffix, DES)
	if err != nil {
		return nil, fmt.Errorf("key %v in the device: %w", ref, err)
	}
	c.left, c.right = left, right
	return c, nil
}

// cmac returns the first size bytes of a CMAC that the device computes; ErrUnsupported where
// it does not.
func (d *device) cmac(m *meta, size int, data []byte) ([]byte, error) {
	c, ok := d.token.(CMACer)
	if !ok {
		return nil, ErrUnsupported
	}
	sum, err := c.CMAC(m.Ref.String(), m.Algorithm, data)
	if err != nil {
		return nil, fmt.Errorf("the device failed: %w", err)
	}
	return sum[:min(size, len(sum))], nil
}

// kcv returns the check value of a key.
func (d *device) kcv(ref Ref, a Algorithm) (v KCV, err error) {
	defer rescue(&err)
	c, err := d.token.Cipher(ref.String(), a)
	if err != nil {
		return "", err
	}
	full, err := cipherCheckValue(a, KCVUsual, c)
	if err != nil {
		return "", err
	}
	return KCV(fmt.Sprintf("%X", full[:a.shown()])), nil
}

// root returns the master key of the store's file: what the root key makes of two fixed
// blocks. It opens the file, which holds no key material, and is wiped after use.
func (d *device) root() (master secret, err error) {
	defer rescue(&err)
	c, err := d.token.Cipher(rootLabel, AES256)
	if err != nil {
		return secret{}, fmt.Errorf("the key of the store in the device: %w", err)
	}
	b := make([]byte, componentSize)
	copy(b, "tapswitch store tapswitch store2")
	if err := block.EncryptECB(c, b, b); err != nil {
		return secret{}, err
	}
	return newSecret(b), nil
}

// orphans returns the labels of the device that no key of the store goes by.
func (d *device) orphans(t *table) ([]string, error) {
	labels, err := d.token.List()
	if err != nil {
		return nil, fmt.Errorf("cannot list the keys of the device: %w", err)
	}
	var out []string
	for _, label := range labels {
		name := strings.TrimSuffix(strings.TrimSuffix(label, leftSuffix), rightSuffix)
		ref, err := ParseRef(name)
		v := t.byRef[ref]
		known := err == nil && v != nil && v.meta.Load().State != Destroyed
		if !known && label != rootLabel {
			out = append(out, label)
		}
	}
	slices.Sort(out)
	return out, nil
}

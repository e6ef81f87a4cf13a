package keyring

import (
	"crypto/cipher"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/purse"
)

// cachedMax bounds the ready-made operations that a version keeps: MACs and masters of more
// schemes than these are made anew each time the oldest was dropped.
const cachedMax = 8

// version is one key. What is known about it is replaced as a whole; its counters and
// ready-made operations live as long as it does.
type version struct {
	meta  atomic.Pointer[meta]
	uses  [operationEnd]counter
	used  atomic.Bool // the first use has been reported
	fails [len(classes) + 1]watch

	device *device // nil: the material is here

	// mu keeps the material from being wiped while it is read.
	mu     sync.RWMutex
	key    secret
	signer signer

	// Ready-made operations; lists are replaced, never changed.
	ciphers atomic.Pointer[cipherSet]
	macs    atomic.Pointer[[]readyMAC]
	masters atomic.Pointer[[]readyMaster]
}

type counter struct{ ok, failed atomic.Uint64 }

// watch counts failures of one class and says when they were last reported.
type watch struct {
	count    atomic.Uint64
	reported atomic.Int64 // nanoseconds of Unix time; 0 never
}

type readyMAC struct {
	scheme mac.Scheme
	mac    *mac.MAC
}

type readyMaster struct {
	scheme *purse.Scheme
	master *purse.Master
}

// cipherSet has the block ciphers of a key: under the whole of it and, of a two-key 3DES key,
// DES under each half.
type cipherSet struct{ whole, left, right cipher.Block }

func newVersion(m *meta, key secret, d *device) *version {
	v := &version{key: key, device: d}
	v.meta.Store(m)
	return v
}

// wipe zeroes the material and drops what was made of it.
func (v *version) wipe() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.key.wipe()
	v.signer.wipe()
	v.ciphers.Store(nil)
	v.macs.Store(nil)
	v.masters.Store(nil)
}

// withKey calls do with the material, which do must not keep. The key of a device has none.
func (v *version) withKey(do func(key []byte) error) error {
	if v.device != nil {
		return fmt.Errorf("%w: its material does not leave the device", ErrUnsupported)
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	key := v.key.open()
	if len(key) == 0 {
		return ErrDestroyed
	}
	return do(key)
}

// cipher returns the block ciphers of the key.
func (v *version) cipher() (*cipherSet, error) {
	if c := v.ciphers.Load(); c != nil {
		return c, nil
	}
	c, err := v.makeCiphers()
	if err != nil {
		return nil, err
	}
	return keep(v, &v.ciphers, c)
}

// keep stores something made of the key, unless it was wiped meanwhile.
func keep[T any](v *version, at *atomic.Pointer[T], made *T) (*T, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.device == nil && len(v.key.open()) == 0 || v.meta.Load().State == Destroyed {
		return nil, ErrDestroyed
	}
	at.Store(made)
	return made, nil
}

func (v *version) makeCiphers() (*cipherSet, error) {
	m := v.meta.Load()
	if v.device != nil {
		return v.device.ciphers(m.Ref, m.Algorithm)
	}
	c := &cipherSet{}
	err := v.withKey(func(key []byte) (err error) {
		if c.whole, err = block.New(m.Algorithm.Cipher(), key); err != nil || m.Algorithm != TDES2 {
			return err
		}
		if c.left, err = block.New(block.DES, key[:8]); err != nil {
			return err
		}
		c.right, err = block.New(block.DES, key[8:])
		return err
	})
	return c, err
}

// mac returns the MAC of a scheme under the key.
func (v *version) mac(s mac.Scheme) (*mac.MAC, error) {
	list := v.macs.Load()
	if list != nil {
		for i := range *list {
			if (*list)[i].scheme == s {
				return (*list)[i].mac, nil
			}
		}
	}
	made, err := v.makeMAC(s)
	if err != nil {
		return nil, err
	}
	_, err = keep(v, &v.macs, extend(list, readyMAC{s, made}))
	return made, err
}

// extend returns a copy of a list with one more, without the oldest of a full one.
func extend[T any](list *[]T, one T) *[]T {
	var next []T
	if list != nil {
		next = append(next, (*list)[max(0, len(*list)+1-cachedMax):]...)
	}
	next = append(next, one)
	return &next
}

// macOf are the MAC algorithms that a key from a key block of a usage may be used with;
// those that are not here may be used with all.
var macOf = map[string]mac.Algorithm{"M0": mac.CBC, "M1": mac.CBC, "M3": mac.Retail,
	"M5": mac.CMAC, "M6": mac.CMAC}

func (v *version) makeMAC(s mac.Scheme) (*mac.MAC, error) {
	m := v.meta.Load()
	if a, bound := macOf[m.Usage]; bound && a != s.Algorithm {
		return nil, fmt.Errorf("%w: it came in a key block for %v", ErrPurpose, a)
	}
	c, err := v.cipher()
	if err != nil {
		return nil, err
	}
	if s.Algorithm != mac.EMAC && s.Algorithm != mac.Retail {
		if s.Cipher != m.Algorithm.Cipher() {
			return nil, fmt.Errorf("%w: %v key for a MAC over %v", ErrAlgorithm, m.Algorithm, s.Cipher)
		}
		return mac.NewCiphers(s, c.whole, nil)
	}
	if s.Cipher != block.DES || m.Algorithm != TDES2 {
		return nil, fmt.Errorf("%w: %v over %v wants a key tdes2 and cipher des", ErrAlgorithm,
			s.Algorithm, s.Cipher)
	}
	if c.left == nil || c.right == nil {
		return nil, fmt.Errorf("%w: a key generated in the device has no halves for %v; import it",
			ErrUnsupported, s.Algorithm)
	}
	return mac.NewCiphers(s, c.left, c.right)
}

// master returns the master key of cards of a scheme, which is told by its address: nobody
// changes it once it is in use.
func (v *version) master(s *purse.Scheme) (*purse.Master, error) {
	list := v.masters.Load()
	if list != nil {
		for i := range *list {
			if (*list)[i].scheme == s {
				return (*list)[i].master, nil
			}
		}
	}
	made, err := v.makeMaster(s)
	if err != nil {
		return nil, err
	}
	_, err = keep(v, &v.masters, extend(list, readyMaster{s, made}))
	return made, err
}

func (v *version) makeMaster(s *purse.Scheme) (made *purse.Master, err error) {
	m := v.meta.Load()
	folded := s.TACKey == purse.TACFolded && s.Cipher == block.TDES && m.Algorithm == DES
	if s.Cipher != m.Algorithm.Cipher() && !folded {
		return nil, fmt.Errorf("%w: %v key for cards of %v", ErrAlgorithm, m.Algorithm, s.Cipher)
	}
	if v.device != nil {
		c, err := v.cipher()
		if err != nil {
			return nil, err
		}
		return purse.NewMasterOperation(*s, deriver{c.whole})
	}
	err = v.withKey(func(key []byte) error {
		made, err = purse.NewMaster(*s, key)
		return err
	})
	return made, err
}

// deriver gives the cipher of a device to package purse.
type deriver struct{ cipher cipher.Block }

// EncryptECB implements purse.Deriver.
func (d deriver) EncryptECB(dst, src []byte) (err error) {
	defer rescue(&err)
	return block.EncryptECB(d.cipher, dst, src)
}

// rescue turns the Fault of a device into an error.
func rescue(err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	fault, ok := cause.(Fault)
	if !ok {
		panic(cause)
	}
	*err = fmt.Errorf("the device failed: %w", fault.Err)
}

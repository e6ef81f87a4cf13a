//go:build pkcs11

package pkcs11

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"sync"

	p11 "github.com/miekg/pkcs11"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
)

// sessionsMax bounds the sessions of a Token: devices have few, and more do not make one
// faster.
const sessionsMax = 16

// owner is the CKA_ID of our keys, which tells them from those of others on the device.
const owner = "tapswitch keyring"

// findMax is how many objects are asked for at a time.
const findMax = 64

// Token is an open device.
type Token struct {
	ctx  *p11.Ctx
	slot uint
	base p11.SessionHandle // stays open: the login lasts as long as a session

	gate chan struct{} // one place a session in use

	mu      sync.Mutex // guards what follows
	free    []p11.SessionHandle
	handles map[string]p11.ObjectHandle // of labels that were used
	closed  bool

	// objects is held by whoever makes, destroys or looks for keys, and shared by ciphers:
	// SoftHSM 2.6.1 crashes where one session uses a key while another changes the objects.
	objects sync.RWMutex
}

var (
	_ keyring.Token  = (*Token)(nil)
	_ keyring.CMACer = (*Token)(nil)
)

// Open loads the module and logs in. One process opens a module once.
func Open(c Config) (*Token, error) {
	ctx := p11.New(c.Module)
	if ctx == nil {
		return nil, fmt.Errorf("cannot load PKCS#11 module %s", c.Module)
	}
	fail := func(err error) (*Token, error) {
		_ = ctx.Finalize()
		ctx.Destroy()
		return nil, fmt.Errorf("cannot open PKCS#11 token %q of %s: %w", c.Token, c.Module, err)
	}
	if err := ctx.Initialize(); err != nil {
		return fail(err)
	}
	slot, err := findSlot(ctx, c.Token)
	if err != nil {
		return fail(err)
	}
	t := &Token{ctx: ctx, slot: slot, gate: make(chan struct{}, sessionsMax),
		handles: map[string]p11.ObjectHandle{}}
	if t.base, err = t.newSession(); err != nil {
		return fail(err)
	}
	if err := ctx.Login(t.base, p11.CKU_USER, c.PIN); err != nil {
		return fail(fmt.Errorf("login: %w", err))
	}
	return t, nil
}

// findSlot returns the slot of the token with a label.
func findSlot(ctx *p11.Ctx, label string) (uint, error) {
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	found, at := 0, uint(0)
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		if err == nil && info.Label == label {
			found, at = found+1, slot
		}
	}
	if found != 1 {
		return 0, fmt.Errorf("%w: %d tokens have the label", keyring.ErrUnknown, found)
	}
	return at, nil
}

func (t *Token) newSession() (p11.SessionHandle, error) {
	return t.ctx.OpenSession(t.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
}

// Close logs out and unloads the module. Nothing may be using the token or its ciphers.
func (t *Token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	err := errors.Join(t.ctx.Logout(t.base), t.ctx.CloseAllSessions(t.slot), t.ctx.Finalize())
	t.ctx.Destroy()
	return err
}

// alone is with for what changes or looks for objects.
func (t *Token) alone(do func(p11.SessionHandle) error) error {
	t.objects.Lock()
	defer t.objects.Unlock()
	return t.with(do)
}

// shared is with for what uses a key.
func (t *Token) shared(do func(p11.SessionHandle) error) error {
	t.objects.RLock()
	defer t.objects.RUnlock()
	return t.with(do)
}

// with lends a session to do. One in which something failed is not used again.
func (t *Token) with(do func(p11.SessionHandle) error) error {
	t.gate <- struct{}{}
	defer func() { <-t.gate }()
	s, err := t.take()
	if err != nil {
		return err
	}
	if err := do(s); err != nil {
		_ = t.ctx.CloseSession(s)
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free = append(t.free, s)
	return nil
}

func (t *Token) take() (p11.SessionHandle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, keyring.ErrClosed
	}
	if n := len(t.free); n > 0 {
		s := t.free[n-1]
		t.free = t.free[:n-1]
		return s, nil
	}
	return t.newSession()
}

// kind is how an algorithm is known to the device.
type kind struct {
	keyType, generate, ecb, cmac uint
	block                        int
}

func kindOf(a keyring.Algorithm) (kind, error) {
	switch a {
	case keyring.DES, keyring.TDES3:
		return kind{p11.CKK_DES3, p11.CKM_DES3_KEY_GEN, p11.CKM_DES3_ECB, p11.CKM_DES3_CMAC, 8}, nil
	case keyring.TDES2:
		return kind{p11.CKK_DES2, p11.CKM_DES2_KEY_GEN, p11.CKM_DES3_ECB, p11.CKM_DES3_CMAC, 8}, nil
	case keyring.AES128, keyring.AES192, keyring.AES256:
		return kind{p11.CKK_AES, p11.CKM_AES_KEY_GEN, p11.CKM_AES_ECB, p11.CKM_AES_CMAC, 16}, nil
	default:
		return kind{}, fmt.Errorf("%w: %v has no PKCS#11 mechanism here", keyring.ErrUnsupported, a)
	}
}

// template is what all our keys have.
func template(label string, k kind) []*p11.Attribute {
	return []*p11.Attribute{
		p11.NewAttribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY),
		p11.NewAttribute(p11.CKA_KEY_TYPE, k.keyType),
		p11.NewAttribute(p11.CKA_LABEL, label),
		p11.NewAttribute(p11.CKA_ID, owner),
		p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_PRIVATE, true),
		p11.NewAttribute(p11.CKA_SENSITIVE, true),
		p11.NewAttribute(p11.CKA_EXTRACTABLE, false),
		p11.NewAttribute(p11.CKA_ENCRYPT, true),
		p11.NewAttribute(p11.CKA_DECRYPT, true),
		p11.NewAttribute(p11.CKA_SIGN, true),
		p11.NewAttribute(p11.CKA_VERIFY, true),
		p11.NewAttribute(p11.CKA_WRAP, false),
		p11.NewAttribute(p11.CKA_UNWRAP, false),
		p11.NewAttribute(p11.CKA_DERIVE, false),
	}
}

// Put implements keyring.Token.
func (t *Token) Put(label string, a keyring.Algorithm, material []byte) error {
	k, err := kindOf(a)
	if err != nil {
		return err
	}
	if material == nil && a == keyring.DES {
		return fmt.Errorf("%w: a single DES key is not generated in a device", keyring.ErrUnsupported)
	}
	if material != nil && len(material) != a.Size() {
		return fmt.Errorf("%w: %d bytes for %v", block.ErrKeyLength, len(material), a)
	}
	return t.alone(func(s p11.SessionHandle) error {
		handles, err := t.find(s, label)
		if err != nil {
			return err
		}
		if len(handles) > 0 {
			return fmt.Errorf("%w: key %s in the device", keyring.ErrExists, label)
		}
		h, err := t.make(s, template(label, k), a, material)
		if err != nil {
			return fmt.Errorf("cannot make key %s: %w", label, err)
		}
		if err := t.checkSealed(s, h); err != nil {
			return errors.Join(fmt.Errorf("key %s: %w", label, err), t.ctx.DestroyObject(s, h))
		}
		return nil
	})
}

func (t *Token) make(s p11.SessionHandle, attributes []*p11.Attribute, a keyring.Algorithm,
	material []byte) (p11.ObjectHandle, error) {
	k, err := kindOf(a)
	if err != nil {
		return 0, err
	}
	if material == nil {
		if k.keyType == p11.CKK_AES {
			attributes = append(attributes, p11.NewAttribute(p11.CKA_VALUE_LEN, a.Size()))
		}
		return t.ctx.GenerateKey(s, []*p11.Mechanism{p11.NewMechanism(k.generate, nil)}, attributes)
	}
	value := slices.Clone(material)
	if a == keyring.DES {
		value = slices.Concat(material, material, material)
	}
	defer clear(value)
	return t.ctx.CreateObject(s, append(attributes, p11.NewAttribute(p11.CKA_VALUE, value)))
}

// checkSealed refuses a key that the device would give away in spite of what it was told.
func (t *Token) checkSealed(s p11.SessionHandle, h p11.ObjectHandle) error {
	got, err := t.ctx.GetAttributeValue(s, h, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_SENSITIVE, nil), p11.NewAttribute(p11.CKA_EXTRACTABLE, nil)})
	if err != nil {
		return err
	}
	if len(got) != 2 || len(got[0].Value) != 1 || got[0].Value[0] == 0 ||
		len(got[1].Value) != 1 || got[1].Value[0] != 0 {
		return fmt.Errorf("%w: it could be taken out of the device", keyring.ErrUnsupported)
	}
	return nil
}

// find returns our keys with a label, all of them for "".
func (t *Token) find(s p11.SessionHandle, label string) (all []p11.ObjectHandle, err error) {
	want := []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY),
		p11.NewAttribute(p11.CKA_ID, owner)}
	if label != "" {
		want = append(want, p11.NewAttribute(p11.CKA_LABEL, label))
	}
	if err := t.ctx.FindObjectsInit(s, want); err != nil {
		return nil, err
	}
	for {
		some, _, err := t.ctx.FindObjects(s, findMax)
		if err != nil {
			return nil, errors.Join(err, t.ctx.FindObjectsFinal(s))
		}
		if len(some) == 0 {
			return all, t.ctx.FindObjectsFinal(s)
		}
		all = append(all, some...)
	}
}

// handle returns the one key with a label.
func (t *Token) handle(label string) (h p11.ObjectHandle, err error) {
	t.mu.Lock()
	h, known := t.handles[label]
	t.mu.Unlock()
	if known {
		return h, nil
	}
	err = t.alone(func(s p11.SessionHandle) error {
		handles, err := t.find(s, label)
		switch {
		case err != nil:
			return err
		case len(handles) == 0:
			return fmt.Errorf("%w: %s in the device", keyring.ErrUnknown, label)
		case len(handles) > 1:
			return fmt.Errorf("%w: %d keys %s in the device", keyring.ErrDuplicate, len(handles), label)
		}
		h = handles[0]
		t.mu.Lock()
		defer t.mu.Unlock()
		t.handles[label] = h
		return nil
	})
	return h, err
}

// Destroy implements keyring.Token.
func (t *Token) Destroy(label string) error {
	return t.alone(func(s p11.SessionHandle) error {
		t.mu.Lock()
		delete(t.handles, label)
		t.mu.Unlock()
		handles, err := t.find(s, label)
		for _, h := range handles {
			err = errors.Join(err, t.ctx.DestroyObject(s, h))
		}
		if err != nil {
			return fmt.Errorf("cannot destroy key %s in the device: %w", label, err)
		}
		return nil
	})
}

// List implements keyring.Token.
func (t *Token) List() (labels []string, err error) {
	err = t.alone(func(s p11.SessionHandle) error {
		handles, err := t.find(s, "")
		if err != nil {
			return err
		}
		for _, h := range handles {
			got, err := t.ctx.GetAttributeValue(s, h, []*p11.Attribute{
				p11.NewAttribute(p11.CKA_LABEL, nil)})
			if err != nil {
				return err
			}
			labels = append(labels, string(got[0].Value))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the keys of the device: %w", err)
	}
	return labels, nil
}

// CMAC implements keyring.CMACer.
func (t *Token) CMAC(label string, a keyring.Algorithm, data []byte) (sum []byte, err error) {
	k, err := kindOf(a)
	if err != nil {
		return nil, err
	}
	h, err := t.handle(label)
	if err != nil {
		return nil, err
	}
	err = t.shared(func(s p11.SessionHandle) error {
		err := t.ctx.SignInit(s, []*p11.Mechanism{p11.NewMechanism(k.cmac, nil)}, h)
		if errors.Is(err, p11.Error(p11.CKR_MECHANISM_INVALID)) {
			return fmt.Errorf("%w: the device has no CMAC", keyring.ErrUnsupported)
		}
		if err == nil {
			sum, err = t.ctx.Sign(s, data)
		}
		return err
	})
	if err == nil && len(sum) != k.block {
		return nil, fmt.Errorf("%w: CMAC of %d bytes", keyring.ErrUnsupported, len(sum))
	}
	return sum, err
}

// Cipher implements keyring.Token.
func (t *Token) Cipher(label string, a keyring.Algorithm) (cipher.Block, error) {
	k, err := kindOf(a)
	if err != nil {
		return nil, err
	}
	h, err := t.handle(label)
	if err != nil {
		return nil, err
	}
	return &blockCipher{token: t, handle: h, kind: k, label: label}, nil
}

// blockCipher is a key of the device as a cipher.Block.
type blockCipher struct {
	token  *Token
	handle p11.ObjectHandle
	kind   kind
	label  string
}

// BlockSize implements cipher.Block.
func (c *blockCipher) BlockSize() int { return c.kind.block }

// Encrypt implements cipher.Block.
func (c *blockCipher) Encrypt(dst, src []byte) {
	c.do(dst, src, c.token.ctx.EncryptInit, c.token.ctx.Encrypt)
}

// Decrypt implements cipher.Block.
func (c *blockCipher) Decrypt(dst, src []byte) {
	c.do(dst, src, c.token.ctx.DecryptInit, c.token.ctx.Decrypt)
}

// do runs one block through the device.
func (c *blockCipher) do(dst, src []byte,
	start func(p11.SessionHandle, []*p11.Mechanism, p11.ObjectHandle) error,
	run func(p11.SessionHandle, []byte) ([]byte, error)) {
	if len(src) < c.kind.block || len(dst) < c.kind.block {
		panic("pkcs11: internal error: not a whole block")
	}
	err := c.token.shared(func(s p11.SessionHandle) error {
		if err := start(s, []*p11.Mechanism{p11.NewMechanism(c.kind.ecb, nil)}, c.handle); err != nil {
			return err
		}
		out, err := run(s, src[:c.kind.block])
		if err == nil && len(out) != c.kind.block {
			err = fmt.Errorf("%d bytes came back", len(out))
		}
		copy(dst, out)
		clear(out)
		return err
	})
	if err != nil {
		panic(deviceFault(c.label, err))
	}
}

// deviceFault is what the ring recovers.
func deviceFault(label string, err error) keyring.Fault {
	return keyring.Fault{Err: fmt.Errorf("key %s: %w", label, err)}
}

package keyring

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
)

// KeyBlock says what ImportBlock takes.
type KeyBlock struct {
	Ref Ref
	// Under is the key_exchange key that the block is under.
	Under Ref
	// Block is the TR-31 block, version A to E.
	Block string
	// KCV is the key's check value; "" where it is not known.
	KCV  KCV
	Kind KCVKind
	// Exportable allows ExportBlock; a block that says "not exportable" forbids it.
	Exportable bool
}

// ImportBlock makes a pending key of a TR-31 block. Usage, algorithm and mode of the block must
// fit the purpose (ErrUsage); they bind the key here too: one whose mode is "verify only"
// makes no MAC. Two persons are needed.
func (r *Ring) ImportBlock(k KeyBlock, who Actor) (Info, error) {
	c := call{action: "import_block", actor: who, two: true, ref: k.Ref}
	return r.add(&c, func(ch *change) (m *meta, key []byte, err error) {
		u, err := r.openBlock(&k)
		if err != nil {
			return nil, nil, err
		}
		a, err := algorithmOf(u.Header.Algorithm, len(u.Key))
		if err == nil {
			m, err = ch.newMeta(k.Ref, a, k.Exportable)
		}
		if err == nil {
			err = fitsBlock(&k, u)
		}
		if err == nil {
			err = check(a, u.Key)
		}
		if err == nil && k.KCV != "" {
			err = k.KCV.matches(a, k.Kind, u.Key)
		}
		if err != nil {
			u.Key.Clear()
			return nil, nil, err
		}
		m.Origin, m.Usage, m.Mode = originBlock, string(u.Header.Usage), string(u.Header.Mode)
		return m, u.Key, nil
	})
}

// openBlock unwraps a block; the wrapping key's use counts.
func (r *Ring) openBlock(k *KeyBlock) (u keyblock.Unwrapped, err error) {
	v, err := r.begin(k.Under, OpUnwrap)
	if err != nil {
		return u, err
	}
	defer r.settle(v, OpUnwrap, &err)
	err = v.withKey(func(key []byte) error {
		if a := v.meta.Load().Algorithm; a == SM4 {
			return fmt.Errorf("%w: TR-31 knows no %v", ErrAlgorithm, a)
		}
		u, err = keyblock.Unwrap(key, k.Block)
		return err
	})
	return u, err
}

// algorithmOf returns the algorithm of a key of n bytes in a block.
func algorithmOf(letter byte, n int) (Algorithm, error) {
	for a := DES; a < algorithmEnd; a++ {
		same := algorithms[a].letter == letter || a == DES && letter == 'T'
		if algorithms[a].letter != 0 && same && a.Size() == n {
			return a, nil
		}
	}
	return AlgorithmNone, fmt.Errorf("%w: algorithm %q with %d bytes", ErrUsage, letter, n)
}

// fitsBlock refuses a block for something else than the purpose.
func fitsBlock(k *KeyBlock, u keyblock.Unwrapped) error {
	p := purposes[k.Ref.Purpose]
	h := u.Header
	if !slices.Contains(p.usages, string(h.Usage)) {
		return fmt.Errorf("%w: usage %s, %v wants one of %v", ErrUsage, h.Usage, k.Ref.Purpose, p.usages)
	}
	if !strings.Contains(p.modes, string(h.Mode)) {
		return fmt.Errorf("%w: mode %q, %v wants one of %s", ErrUsage, h.Mode, k.Ref.Purpose, p.modes)
	}
	if k.Exportable && h.Export == 'N' {
		return fmt.Errorf("%w: the block forbids it", ErrNotExportable)
	}
	return nil
}

// ExportBlock returns a TR-31 block of a key that was made exportable, under a key_exchange
// key: version D under AES, B under 3DES. Two persons are needed. The other side may not
// export it further.
func (r *Ring) ExportBlock(ref, under Ref, who Actor) (text string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := call{action: "export_block", actor: who, two: true, ref: ref}
	t := r.table.Load()
	if t == nil {
		return "", ErrClosed
	}
	if err := who.check(true); err != nil {
		return "", r.refuse(&c, err)
	}
	v, err := t.find(ref)
	if err != nil {
		return "", r.refuse(&c, err)
	}
	m := v.meta.Load()
	c.ref, c.kcv = m.Ref, m.KCV
	if err := m.exportable(r.now()); err != nil {
		return "", r.refuse(&c, err)
	}
	if err := r.tell(&c); err != nil {
		return "", err
	}
	if text, err = r.sealBlock(v, under); err != nil {
		return "", r.refuse(&c, err)
	}
	return text, r.done(&c)
}

func (m *meta) exportable(now time.Time) error {
	switch state := m.stateAt(now); {
	case state == Destroyed:
		return fmt.Errorf("%w: %v", ErrDestroyed, m.Ref)
	case state == Retired:
		return fmt.Errorf("%w: %v is %v", ErrState, m.Ref, state)
	case !m.Exportable:
		return fmt.Errorf("%w: %v", ErrNotExportable, m.Ref)
	case algorithms[m.Algorithm].letter == 0:
		return fmt.Errorf("%w: TR-31 knows no %v", ErrAlgorithm, m.Algorithm)
	default:
		return nil
	}
}

// sealBlock wraps the key of v.
func (r *Ring) sealBlock(v *version, under Ref) (text string, err error) {
	kek, err := r.begin(under, OpWrap)
	if err != nil {
		return "", err
	}
	defer r.settle(kek, OpWrap, &err)
	if kek == v {
		return "", fmt.Errorf("%w: a key cannot wrap itself", ErrPurpose)
	}
	m, p := v.meta.Load(), purposes[v.meta.Load().Ref.Purpose]
	h := keyblock.Header{Version: keyblock.VersionD, Usage: keyblock.Usage(p.usages[0]),
		Algorithm: algorithms[m.Algorithm].letter, Mode: p.modes[0], KeyVersion: "00", Export: 'N'}
	if m.Usage != "" {
		h.Usage, h.Mode = keyblock.Usage(m.Usage), m.Mode[0]
	}
	switch kek.meta.Load().Algorithm.Cipher() {
	case block.AES:
	case block.TDES:
		h.Version = keyblock.VersionB
	default:
		return "", fmt.Errorf("%w: TR-31 knows no %v", ErrAlgorithm, kek.meta.Load().Algorithm)
	}
	err = kek.withKey(func(kbpk []byte) error {
		return v.withKey(func(key []byte) error {
			text, err = keyblock.Wrap(kbpk, h, key, keyblock.WrapOptions{Rand: r.random})
			return err
		})
	})
	return text, err
}

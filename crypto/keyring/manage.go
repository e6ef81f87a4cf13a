package keyring

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// overlapMax bounds an overlap: no key lives longer than a card.
const overlapMax = 20 * 365 * 24 * time.Hour

// drawsMax bounds the draws of a key that passes the checks: a good source fails one in 2^40.
const drawsMax = 8

// NewKey says what Generate makes.
type NewKey struct {
	// Ref names the key; version 0 takes the next number.
	Ref       Ref
	Algorithm Algorithm // AlgorithmNone for the purpose's usual one
	// Exportable allows ExportBlock, now or never. Not on a token.
	Exportable bool
}

// ClearKey says what Import takes.
type ClearKey struct {
	Ref        Ref
	Algorithm  Algorithm
	Exportable bool
	// Components are at least two, at most nine, each as long as the key.
	Components []KeyComponent
	// KCV is the check value of the whole key; "" where it is not known. Kind is the kind
	// of all check values.
	KCV  KCV
	Kind KCVKind
}

// KeyComponent is one custodian's part of a key. It cannot be printed.
type KeyComponent struct {
	value secret
	kcv   KCV
}

// NewKeyComponent takes value over: Import zeroes it. kcv is the check value of the component
// as a key, at least six hex digits; of a part of a private key, SHA-256.
func NewKeyComponent(value []byte, kcv KCV) KeyComponent { return KeyComponent{newSecret(value), kcv} }

// Format shows the check value only.
func (c KeyComponent) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, masked+" "+string(c.kcv))
}

// MarshalText returns what Format shows.
func (c KeyComponent) MarshalText() ([]byte, error) { return []byte(masked + " " + string(c.kcv)), nil }

// componentsMax bounds the components of one key.
const componentsMax = 9

// Generate makes a pending key from the ring's random source, in the device where there is
// one, and returns what may be known about it.
func (r *Ring) Generate(k NewKey, who Actor) (Info, error) {
	c := call{action: "generate", actor: who, ref: k.Ref}
	return r.add(&c, func(ch *change) (*meta, []byte, error) {
		m, err := ch.newMeta(k.Ref, k.Algorithm, k.Exportable)
		if err != nil || r.device != nil {
			return m, nil, err
		}
		m.Origin = originGenerated
		material, err := draw(m.Algorithm, r.random)
		return m, material, err
	})
}

// Import makes a pending key of components, which are zeroed whatever comes of it. Two
// persons are needed. The parity of a DES key is set where all components have odd parity, as
// their XOR may not.
func (r *Ring) Import(k ClearKey, who Actor) (Info, error) {
	defer func() {
		for _, part := range k.Components {
			part.value.wipe()
		}
	}()
	c := call{action: "import", actor: who, two: true, ref: k.Ref}
	return r.add(&c, func(ch *change) (*meta, []byte, error) {
		if k.Algorithm == AlgorithmNone {
			return nil, nil, fmt.Errorf("%w: a clear key needs one", ErrAlgorithm)
		}
		m, err := ch.newMeta(k.Ref, k.Algorithm, k.Exportable)
		if err != nil {
			return nil, nil, err
		}
		m.Origin = originComponents
		material, err := k.assemble()
		return m, material, err
	})
}

// assemble checks the components and returns the key.
func (k *ClearKey) assemble() ([]byte, error) {
	if n := len(k.Components); n < 2 || n > componentsMax {
		return nil, fmt.Errorf("%w: %d, want 2 to %d", ErrComponents, n, componentsMax)
	}
	key := make([]byte, k.Algorithm.Size())
	odd := true
	for i, part := range k.Components {
		if err := k.checkPart(i); err != nil {
			clear(key)
			return nil, fmt.Errorf("component %d: %w", i+1, err)
		}
		subtle.XORBytes(key, key, part.value.open())
		odd = odd && block.OddParity(part.value.open())
	}
	if isDES(k.Algorithm) && odd {
		block.SetOddParity(key)
	}
	err := check(k.Algorithm, key)
	if err == nil && k.KCV != "" {
		err = k.KCV.matches(k.Algorithm, k.Kind, key)
	}
	if err != nil {
		clear(key)
		return nil, err
	}
	return key, nil
}

// checkPart looks at one component: its length, that it is not one byte over and over (the
// others would hold the key alone), no copy of another, and its check value.
func (k *ClearKey) checkPart(i int) error {
	part, kcv := k.Components[i].value.open(), k.Components[i].kcv
	if len(part) != k.Algorithm.Size() {
		return fmt.Errorf("%w: %d bytes, want %d", block.ErrKeyLength, len(part), k.Algorithm.Size())
	}
	if slices.IndexFunc(part, func(b byte) bool { return b != part[0] }) < 0 {
		return block.ErrWeak
	}
	for _, other := range k.Components[:i] {
		if subtle.ConstantTimeCompare(part, other.value.open()) == 1 {
			return fmt.Errorf("%w: it is the same as another", ErrComponents)
		}
	}
	if algorithms[k.Algorithm].kcv == KCVPublic {
		// A component of a private key is no private key itself.
		return kcv.matches(HMACSHA256, KCVHash, part)
	}
	return kcv.matches(k.Algorithm, k.Kind, part)
}

func isDES(a Algorithm) bool { return a == DES || a == TDES2 || a == TDES3 }

// check refuses material that is no good key of a.
func check(a Algorithm, key []byte) error {
	switch {
	case len(key) != a.Size():
		return fmt.Errorf("%w: %d bytes for %v", block.ErrKeyLength, len(key), a)
	case a.Cipher() != block.None:
		return block.Check(a.Cipher(), key)
	case slices.IndexFunc(key, func(b byte) bool { return b != key[0] }) < 0:
		return block.ErrWeak
	case a == SM2:
		_, err := publicOf(a, key)
		return err
	default:
		return nil
	}
}

// draw returns a random key that passes the checks.
func draw(a Algorithm, random io.Reader) ([]byte, error) {
	key := make([]byte, a.Size())
	for range drawsMax {
		if _, err := io.ReadFull(random, key); err != nil {
			return nil, fmt.Errorf("cannot draw a key: %w", err)
		}
		if isDES(a) {
			block.SetOddParity(key)
		}
		if check(a, key) == nil {
			return key, nil
		}
	}
	clear(key)
	return nil, fmt.Errorf("cannot draw a key: %w in %d draws", block.ErrWeak, drawsMax)
}

// newMeta returns what is known about a key to be made.
func (ch *change) newMeta(ref Ref, a Algorithm, exportable bool) (*meta, error) {
	ref, err := ch.place(ref)
	if err != nil {
		return nil, err
	}
	if a == AlgorithmNone {
		a = purposes[ref.Purpose].algorithms[0]
	}
	if err := ref.Purpose.fits(a); err != nil {
		return nil, err
	}
	if d := ch.ring.device; d != nil {
		if err := d.supports(ref.Purpose, a); err != nil {
			return nil, err
		}
		if exportable {
			return nil, fmt.Errorf("%w: keys of a device never are", ErrNotExportable)
		}
	}
	if exportable && len(purposes[ref.Purpose].usages) == 0 {
		return nil, fmt.Errorf("%w: there are no key blocks for %v", ErrNotExportable, ref.Purpose)
	}
	return &meta{Ref: ref, Algorithm: a, Exportable: exportable, Created: ch.now,
		Origin: originGenerated}, nil
}

// add is a management call that makes a key of what prepare returns. Material of nil is drawn
// by the device.
func (r *Ring) add(c *call, prepare func(*change) (*meta, []byte, error)) (Info, error) {
	var m *meta
	err := r.manage(c, func(ch *change) (err error) {
		var material []byte
		if m, material, err = prepare(ch); err != nil {
			clear(material)
			return err
		}
		c.ref = m.Ref
		v, err := ch.take(m, material)
		if err != nil {
			return err
		}
		ch.added = append(ch.added, v)
		c.kcv = m.KCV
		return nil
	})
	if m == nil || !isDone(err) {
		return Info{}, err
	}
	return m.info(r.now()), err
}

// isDone reports whether a call was done in spite of err.
func isDone(err error) bool {
	return err == nil || errors.Is(err, ErrUnaudited) || errors.Is(err, ErrDurable)
}

// take makes a version of material, which it owns from now on.
func (ch *change) take(m *meta, material []byte) (v *version, err error) {
	d := ch.ring.device
	if d == nil {
		key := newSecret(material)
		if m.KCV, err = kcvOf(m.Algorithm, material); err == nil && algorithms[m.Algorithm].kcv == KCVPublic {
			m.Public, err = publicOf(m.Algorithm, material)
		}
		if err != nil {
			key.wipe()
			return nil, err
		}
		return newVersion(m, key, nil), nil
	}
	err = d.put(m.Ref, m.Algorithm, material)
	clear(material)
	if err != nil {
		return nil, fmt.Errorf("key %v in the device: %w", m.Ref, err)
	}
	if m.KCV, err = d.kcv(m.Ref, m.Algorithm); err != nil {
		return nil, errors.Join(err, d.destroy(m.Ref))
	}
	return newVersion(m, secret{}, d), nil
}

// Activate puts a pending key to use, beside those that are active: cards of several key
// versions are in the field at once. Version 0 of a ref stands for it from now on, here and
// in operations; here, version 0 is the pending key of the highest number.
func (r *Ring) Activate(ref Ref, who Actor) error {
	c := call{action: "activate", actor: who, ref: ref}
	return r.manage(&c, func(ch *change) error { return ch.activate(&c) })
}

func (ch *change) activate(c *call) error {
	v, m, err := ch.find(c.ref, true)
	if err != nil {
		return err
	}
	c.ref, c.kcv = m.Ref, m.KCV
	if m.State != Pending {
		return fmt.Errorf("%w: %v is %v, want pending", ErrState, m.Ref, m.stateAt(ch.now))
	}
	m = ch.edit(v)
	m.State, m.Activated = Active, ch.now
	return nil
}

// Rotate activates a pending key (the highest for version 0) and makes all other active keys
// of its purpose and scheme retire: they verify and decipher for the overlap, at most twenty
// years, 0 for not at all. The turn is one step: there is always an active key.
func (r *Ring) Rotate(ref Ref, overlap time.Duration, who Actor) error {
	c := call{action: "rotate", actor: who, ref: ref}
	return r.manage(&c, func(ch *change) error {
		if err := ch.activate(&c); err != nil {
			return err
		}
		for _, v := range ch.table.order {
			m := v.meta.Load()
			if m.State == Active && m.Ref.slot() == c.ref.slot() {
				if err := ch.retire(v, overlap); err != nil {
					return err
				}
			}
		}
		return checkOverlap(overlap)
	})
}

// Retire takes a key out of use: for an overlap of 0 at once, else it retires as in Rotate. A
// retiring key's overlap can be made longer or shorter until it has ended.
func (r *Ring) Retire(ref Ref, overlap time.Duration, who Actor) error {
	c := call{action: "retire", actor: who, ref: ref}
	return r.manage(&c, func(ch *change) error {
		v, m, err := ch.find(ref, false)
		if err != nil {
			return err
		}
		c.ref, c.kcv = m.Ref, m.KCV
		return ch.retire(v, overlap)
	})
}

func checkOverlap(overlap time.Duration) error {
	if overlap < 0 || overlap > overlapMax {
		return fmt.Errorf("%w: overlap of %v, want 0 to %v", ErrState, overlap, overlapMax)
	}
	return nil
}

func (ch *change) retire(v *version, overlap time.Duration) error {
	if err := checkOverlap(overlap); err != nil {
		return err
	}
	state := v.meta.Load().stateAt(ch.now)
	if state == Retired || state == Pending && overlap > 0 {
		return fmt.Errorf("%w: %v is %v", ErrState, v.meta.Load().Ref, state)
	}
	m := ch.edit(v)
	if overlap == 0 {
		m.State, m.Retired, m.Until = Retired, ch.now, time.Time{}
		return nil
	}
	m.State, m.Until = Retiring, ch.now.Add(overlap)
	return nil
}

// Destroy zeroes the material of a key that is pending or retired; what is known about it
// stays, and its version is never used again. Two persons are needed. On a token the key goes
// after the store is written: when that fails, Destroy can be called again.
func (r *Ring) Destroy(ref Ref, who Actor) error {
	c := call{action: "destroy", actor: who, two: true, ref: ref}
	if ref.Version == 0 {
		return r.refuse(&c, fmt.Errorf("%w: %v: destroy wants a version", ErrRef, ref))
	}
	err := r.manage(&c, func(ch *change) error {
		v, m, err := ch.find(ref, false)
		if errors.Is(err, ErrDestroyed) && r.device != nil {
			return nil // again
		}
		if err != nil {
			return err
		}
		c.kcv = m.KCV
		if state := m.stateAt(ch.now); state != Pending && state != Retired {
			return fmt.Errorf("%w: %v is %v; retire it first", ErrState, ref, state)
		}
		m = ch.edit(v)
		m.State, m.Destroyed = Destroyed, ch.now
		ch.wiped = append(ch.wiped, v)
		return nil
	})
	if r.device == nil || !isDone(err) {
		return err
	}
	if gone := r.device.destroy(ref); gone != nil {
		return errors.Join(err, fmt.Errorf("%v is destroyed in the store, not in the device: %w", ref,
			gone))
	}
	return err
}

// ChangeMaster seals the store under another master key, of two new components. Two persons
// are needed. A copy of the old file can still be opened with the old components: destroy
// both.
func (r *Ring) ChangeMaster(a, b *Component, who Actor) error {
	c := call{action: "change_master", actor: who, two: true}
	return r.manage(&c, func(ch *change) error {
		if r.device != nil {
			return fmt.Errorf("%w: the store is sealed by a key of the device", ErrUnsupported)
		}
		master, err := combine(a, b)
		if err != nil {
			return err
		}
		defer master.wipe()
		if rawMasterKCV(master.open()) == r.vault.kcv {
			return fmt.Errorf("%w: the new master key is the old one", ErrComponents)
		}
		salt, err := newSalt(r.random)
		if err != nil {
			return err
		}
		c.kcv = masterKCV(master.open())
		ch.vault, err = newVault(kindSoftware, master.open(), salt)
		return err
	})
}

package secure

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/store"
)

const (
	// OverlapMax bounds how long a former key verifies: whatever is under way by then has
	// timed out.
	OverlapMax = time.Hour
	// fieldSize is the length of a MAC field.
	fieldSize = 8
	// linkNameMax bounds the name of a link in bytes.
	linkNameMax = 64
)

// Kind is what a key of a link is for.
type Kind uint8

// The kinds.
const (
	MACKey Kind = iota
	PINKey
	kindEnd
)

// String returns "mac" or "pin".
func (k Kind) String() string {
	if k >= kindEnd {
		return "unknown"
	}
	return [kindEnd]string{"mac", "pin"}[k]
}

// purpose returns the purpose of the kind in the key ring.
func (k Kind) purpose() keyring.Purpose {
	if k == PINKey {
		return keyring.PIN
	}
	return keyring.MessageMAC
}

// LinkOptions say which keys a link has.
type LinkOptions struct {
	// Ring may be nil for a link without keys.
	Ring *keyring.Ring
	// Registry keeps what changes; it may be nil for a link without ZMK.
	Registry store.Registry
	// Link is the link's name, letters, digits, '.', '_' and '-'.
	Link string
	// Scheme is how MACs are made, of at most 8 bytes; the zero Scheme is a link without
	// MACs.
	Scheme mac.Scheme
	// MAC and PIN are keys of the ring, in force until a change of key brings others. The
	// zero Ref is none. Version 0 follows the ring's active version.
	MAC, PIN keyring.Ref
	// ZMK is the exchange key that changes of key come under; the zero Ref for a link whose
	// keys do not change this way.
	ZMK keyring.Ref
	// PINFormat is the format of PIN blocks to the bank, ISO 0 unless said otherwise.
	PINFormat pinblock.Format
	// Overlap is how long the former key verifies after a change, at most OverlapMax.
	Overlap time.Duration
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// LinkKeys are the keys of one link.
type LinkKeys struct {
	o    LinkOptions
	size int // of a MAC; 0 for a link without MACs

	// changing holds one token while a change is written: changes come one after the other.
	changing chan struct{}
	state    atomic.Pointer[linkState]
	// coming are keys that were ordered and not yet committed or given up.
	coming [kindEnd]atomic.Pointer[Pending]
}

// linkState is replaced as a whole, never changed.
type linkState struct {
	record linkRecord
	slots  [kindEnd]slot
}

// slot has the keys of one kind.
type slot struct {
	current key
	// problem is why there is no current key.
	problem error
	former  key
	until   time.Time // of former
}

// key is one of the ring, or one that came under the exchange key. The zero key is none.
type key struct {
	ref  keyring.Ref
	zone *keyring.ZoneKey
}

func (k *key) none() bool { return k.zone == nil && k.ref == keyring.Ref{} }

// OpenLink returns the keys of a link as they were when the process stopped. A stored key that
// cannot be opened any more, as when its exchange key is retired, is no error: Status names
// it, the link has no key of that kind, and a change of key repairs that.
func OpenLink(ctx context.Context, o LinkOptions) (*LinkKeys, error) {
	l := &LinkKeys{o: o, changing: make(chan struct{}, 1)}
	if l.o.Now == nil {
		l.o.Now = time.Now
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("link %.64q: %w", o.Link, err)
	}
	var r linkRecord
	if o.ZMK != (keyring.Ref{}) {
		value, _, err := o.Registry.Get(ctx, linkKey(o.Link))
		if err == nil {
			err = decode(value, linkKey(o.Link), &r, &r.Version)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the keys of link %s: %w", o.Link, err)
		}
	}
	l.state.Store(l.open(r))
	return l, nil
}

// check refuses options that do not fit each other, and notes the length of a MAC.
func (l *LinkKeys) check() error {
	o := &l.o
	keyed := o.Scheme != (mac.Scheme{}) || o.MAC != (keyring.Ref{}) || o.PIN != (keyring.Ref{}) ||
		o.ZMK != (keyring.Ref{})
	switch {
	case !nameOK(o.Link):
		return fmt.Errorf("%w: the name wants 1 to %d letters, digits, '.', '_' or '-'", ErrOptions,
			linkNameMax)
	case keyed && o.Ring == nil:
		return fmt.Errorf("%w: keys are named and there is no key ring", ErrOptions)
	case o.ZMK != (keyring.Ref{}) && o.Registry == nil:
		return fmt.Errorf("%w: keys that change want a registry", ErrOptions)
	case o.Overlap < 0 || o.Overlap > OverlapMax:
		return fmt.Errorf("%w: overlap %v is not in 0 to %v", ErrOptions, o.Overlap, OverlapMax)
	case o.PINFormat.Size() != fieldSize || o.PINFormat == pinblock.Format2:
		return fmt.Errorf("%w: no host takes PIN blocks of format %v under 3DES", ErrOptions,
			o.PINFormat)
	}
	if err := l.checkRefs(); err != nil {
		return err
	}
	return l.checkScheme()
}

func (l *LinkKeys) checkRefs() error {
	for _, c := range [...]struct {
		what string
		ref  keyring.Ref
		want keyring.Purpose
	}{{"MAC key", l.o.MAC, keyring.MessageMAC}, {"PIN key", l.o.PIN, keyring.PIN},
		{"exchange key", l.o.ZMK, keyring.KeyExchange}} {
		if c.ref == (keyring.Ref{}) {
			continue
		}
		if c.ref.Purpose != c.want {
			return fmt.Errorf("%w: the %s is %v and not of purpose %v", ErrOptions, c.what, c.ref, c.want)
		}
		if _, err := l.o.Ring.Info(c.ref); err != nil {
			return fmt.Errorf("%w: the %s: %w", ErrOptions, c.what, err)
		}
	}
	return nil
}

// checkScheme learns the length of a MAC from one under a key of zeros, which protects nothing.
func (l *LinkKeys) checkScheme() error {
	s := l.o.Scheme
	if s == (mac.Scheme{}) {
		if l.o.MAC != (keyring.Ref{}) {
			return fmt.Errorf("%w: there is a MAC key and no MAC scheme", ErrOptions)
		}
		return nil
	}
	if (l.o.MAC == keyring.Ref{}) && (l.o.ZMK == keyring.Ref{}) {
		return fmt.Errorf("%w: there is a MAC scheme, and neither a MAC key nor an exchange key",
			ErrOptions)
	}
	for _, length := range [...]int{8, 16, 24, 32} {
		m, err := mac.New(s, make([]byte, length))
		if err != nil {
			continue
		}
		if m.Size() > fieldSize {
			return fmt.Errorf("%w: a MAC of %d bytes does not fit its field of %d", ErrOptions, m.Size(),
				fieldSize)
		}
		l.size = m.Size()
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOptions, mac.ErrScheme)
}

func nameOK(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' &&
			c != '_' && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= linkNameMax
}

// open opens the keys of a record.
func (l *LinkKeys) open(r linkRecord) *linkState {
	r.Version = recordVersion
	s := &linkState{record: r}
	now := l.o.Now()
	for k := range kindEnd {
		to, from := &s.slots[k], s.record.slot(k)
		to.current, to.problem = l.openKey(k, from.Current)
		if until := timeOf(from.Until); from.Former != nil && now.Before(until) {
			// One that cannot be opened is as good as expired.
			if former, err := l.openKey(k, from.Former); err == nil {
				to.former, to.until = former, until
			}
		}
	}
	return s
}

// openKey opens one key; nil stands for that of the ring.
func (l *LinkKeys) openKey(k Kind, s *stored) (key, error) {
	switch {
	case s == nil && l.base(k) == keyring.Ref{}:
		return key{}, fmt.Errorf("link %s has %w for %v: it wants a change of key", l.o.Link, ErrNoKey,
			k)
	case s == nil:
		return key{ref: l.base(k)}, nil
	case s.Ref != "":
		ref, err := keyring.ParseRef(s.Ref)
		return key{ref: ref}, err
	}
	under, err := keyring.ParseRef(s.Under)
	if err == nil {
		var zone *keyring.ZoneKey
		if zone, err = l.o.Ring.OpenZoneKey(under, k.purpose(), s.Wrapped, s.KCV); err == nil {
			return key{zone: zone}, nil
		}
	}
	return key{}, fmt.Errorf("link %s has %w for %v, the stored one cannot be opened: %w", l.o.Link,
		ErrNoKey, k, err)
}

func (l *LinkKeys) base(k Kind) keyring.Ref {
	if k == PINKey {
		return l.o.PIN
	}
	return l.o.MAC
}

// MACs reports whether messages of the link have MACs.
func (l *LinkKeys) MACs() bool { return l.size > 0 }

// Make appends the content of a MAC field to dst: 8 bytes, a shorter MAC at the left and zeros
// behind it, as message.Verify expects. On a link without MACs it appends nothing. It allocates
// nothing when dst has room.
func (l *LinkKeys) Make(dst, covered []byte) ([]byte, error) {
	if l.size == 0 {
		return dst, nil
	}
	s := &l.state.Load().slots[MACKey]
	if s.current.none() {
		return dst, s.problem
	}
	return l.makeWith(&s.current, dst, covered)
}

func (l *LinkKeys) makeWith(k *key, dst, covered []byte) ([]byte, error) {
	out, err := l.sum(k, dst, covered)
	if err != nil {
		return dst, fmt.Errorf("cannot make a MAC for link %s: %w", l.o.Link, err)
	}
	for len(out) < len(dst)+fieldSize {
		out = append(out, 0)
	}
	return out, nil
}

func (l *LinkKeys) sum(k *key, dst, covered []byte) ([]byte, error) {
	if k.zone != nil {
		return k.zone.MAC(l.o.Scheme, dst, covered)
	}
	return l.o.Ring.MAC(k.ref, l.o.Scheme, dst, covered)
}

// Check reports whether field is the content of a MAC field for the bytes that it covers, under
// the key in force, the former one while the overlap lasts, or one that was ordered. It is
// message.ErrNoMAC for an empty field and message.ErrMAC for a wrong one; another error says
// that it could not be looked at. On a link without MACs every field will do. It allocates
// nothing unless it refuses.
func (l *LinkKeys) Check(covered, field []byte) error {
	_, err := l.match(covered, field)
	return err
}

// Maker makes the content of a MAC field, as LinkKeys.Make does; nil makes none.
type Maker func(dst, covered []byte) ([]byte, error)

// Match is Check that also returns what the answer's MAC is made with: the key of the request,
// so that a peer that has not heard of a change yet can verify it. The Maker keeps to that key
// whatever changes until the answer is made, and after the overlap as well; only where the ring
// makes nothing more under its version does the key in force take its place. After an error the
// Maker is of the key in force; nil where there is none.
func (l *LinkKeys) Match(covered, field []byte) (Maker, error) {
	if l.size == 0 {
		return l.Make, nil
	}
	used, err := l.match(covered, field)
	if err != nil {
		if l.state.Load().slots[MACKey].current.none() {
			return nil, err
		}
		return l.Make, err
	}
	return func(dst, covered []byte) ([]byte, error) {
		out, err := l.makeWith(&used, dst, covered)
		if err != nil && used.zone == nil {
			return l.Make(dst, covered)
		}
		return out, err
	}, nil
}

// match returns the key that a MAC is under; one of the ring with its version.
func (l *LinkKeys) match(covered, field []byte) (used key, err error) {
	if l.size == 0 {
		return key{}, nil
	}
	want, err := trim(field, l.size)
	if err != nil {
		return key{}, err
	}
	// In this order: a commit puts the ordered key into the state before it takes it away.
	ordered := l.coming[MACKey].Load()
	s := &l.state.Load().slots[MACKey]
	failed := s.problem
	if !s.current.none() {
		used, ok, err := l.verifyCurrent(s.current, covered, want)
		if ok {
			return used, nil
		}
		failed = err
	}
	if other, ok := l.verifyOther(s, ordered, covered, want); ok {
		return other, nil
	}
	if failed != nil {
		return key{}, fmt.Errorf("cannot check a MAC of link %s: %w", l.o.Link, failed)
	}
	return key{}, message.ErrMAC
}

// verifyCurrent tries the key in force, and returns it with the version that it had then. A
// ring that goes on to another version meanwhile is asked once more.
func (l *LinkKeys) verifyCurrent(k key, covered, want []byte) (used key, ok bool, err error) {
	for range 2 {
		tried := l.versioned(k)
		if ok, err = l.verify(&tried, covered, want); ok || l.versioned(k) == tried {
			return tried, ok, err
		}
	}
	return key{}, false, err
}

// versioned returns k with the version that the ring has active now, k itself when it has none.
func (l *LinkKeys) versioned(k key) key {
	if k.zone == nil {
		if ref, err := pin(l.o.Ring, k.ref); err == nil {
			k.ref = ref
		}
	}
	return k
}

// verifyOther tries the keys that are not in force: former, ordered, and the ring's former
// version. It returns the one that fits.
func (l *LinkKeys) verifyOther(s *slot, ordered *Pending, covered, want []byte) (k key, ok bool) {
	now := l.o.Now()
	if !s.former.none() && now.Before(s.until) {
		if ok, err := l.verify(&s.former, covered, want); err == nil && ok {
			return s.former, true
		}
	}
	if ordered != nil && now.Before(ordered.until) {
		if ok, err := l.verify(&ordered.key, covered, want); err == nil && ok {
			return ordered.key, true
		}
	}
	before, ok := l.before(s.current.ref)
	if !ok {
		return key{}, false
	}
	other := key{ref: before}
	ok, err := l.verify(&other, covered, want)
	return other, err == nil && ok
}

// before returns the version of a ring's key before the active one. The ring lets it verify
// while its own overlap lasts.
func (l *LinkKeys) before(ref keyring.Ref) (keyring.Ref, bool) {
	if ref == (keyring.Ref{}) || ref.Version != 0 {
		return ref, false
	}
	active, err := pin(l.o.Ring, ref)
	if err != nil || active.Version <= 1 {
		return ref, false
	}
	active.Version--
	return active, true
}

func (l *LinkKeys) verify(k *key, covered, want []byte) (bool, error) {
	if k.zone != nil {
		return k.zone.VerifyMAC(l.o.Scheme, covered, want)
	}
	return l.o.Ring.VerifyMAC(k.ref, l.o.Scheme, covered, want)
}

// trim returns the MAC of size bytes that stands in a MAC field.
func trim(field []byte, size int) ([]byte, error) {
	if len(field) == 0 {
		return nil, message.ErrNoMAC
	}
	var rest byte
	for _, b := range field[min(size, len(field)):] {
		rest |= b
	}
	if len(field) != fieldSize || rest != 0 {
		return nil, message.ErrMAC
	}
	return field[:size], nil
}

// KeyStatus is what people may know about the keys of one kind.
type KeyStatus struct {
	Kind Kind
	// KCV is the check value of the key in force, "" when there is none.
	KCV keyring.KCV
	// Since is when it came; zero for a key of the ring.
	Since time.Time
	// Former is the check value of the key before, while it still verifies, until Until.
	Former keyring.KCV
	Until  time.Time
	// Ordered is the check value of a key that was ordered and is not in force.
	Ordered keyring.KCV
	// Problem is why there is no key in force; nil when there is one, or none is wanted.
	Problem error
}

// Status returns the status of both kinds.
func (l *LinkKeys) Status() [2]KeyStatus {
	s, now := l.state.Load(), l.o.Now()
	var all [kindEnd]KeyStatus
	for k := range kindEnd {
		from, to := &s.slots[k], &all[k]
		to.Kind, to.KCV = k, l.kcv(&from.current)
		if c := s.record.slot(k).Current; c != nil {
			to.Since = timeOf(c.Since)
		}
		if !from.former.none() && now.Before(from.until) {
			to.Former, to.Until = l.kcv(&from.former), from.until
		}
		if p := l.coming[k].Load(); p != nil && now.Before(p.until) {
			to.Ordered = p.zone.KCV()
		}
		if l.o.ZMK != (keyring.Ref{}) && (k == PINKey || l.size > 0) {
			to.Problem = from.problem
		}
	}
	return all
}

func (l *LinkKeys) kcv(k *key) keyring.KCV {
	if k.zone != nil {
		return k.zone.KCV()
	}
	if k.none() {
		return ""
	}
	info, err := l.o.Ring.Info(k.ref)
	if err != nil {
		return ""
	}
	return info.KCV
}

// KCVs returns the check values of the keys in force, "" where there is none.
func (l *LinkKeys) KCVs() (auth, pin keyring.KCV) {
	s := l.state.Load()
	return l.kcv(&s.slots[MACKey].current), l.kcv(&s.slots[PINKey].current)
}

// String names the link and shows nothing of its keys.
func (l *LinkKeys) String() string { return "[keys of link " + l.o.Link + "]" }

// GoString returns String.
func (l *LinkKeys) GoString() string { return l.String() }

// Format writes String for every verb.
func (l *LinkKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// MarshalText returns String.
func (l *LinkKeys) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// usual is the algorithm of a new key that the switch orders: for a MAC what the scheme works
// with, for PINs 3DES.
func (l *LinkKeys) usual(k Kind) keyring.Algorithm {
	s := l.o.Scheme
	if k == MACKey && s.Cipher == block.DES && s.Algorithm != mac.Retail && s.Algorithm != mac.EMAC {
		return keyring.DES
	}
	return keyring.TDES2
}

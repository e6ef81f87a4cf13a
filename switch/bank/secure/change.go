package secure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/store"
)

// Transfer is a key as it came from a bank, under the link's exchange key.
type Transfer struct {
	Kind Kind
	// Algorithm is DES, TDES2 or TDES3, as the message says; a PIN key is not DES.
	Algorithm keyring.Algorithm
	Wrapped   []byte
	KCV       []byte // 3 to 8 bytes
}

// Pending is a key that is there and not yet in force. It is safe for concurrent use.
type Pending struct {
	key
	link   *LinkKeys
	kind   Kind
	stored stored
	until  time.Time // of an order: how long it verifies without being committed
}

// Change puts the key of a Transfer into force at once: Receive and Commit.
func (l *LinkKeys) Change(ctx context.Context, t Transfer) error {
	p, err := l.Receive(t)
	if err != nil {
		return err
	}
	return p.Commit(ctx)
}

// Receive opens a key that came from the bank and changes nothing. Refused are a wrong check
// value (keyring.ErrKCV), a weak key (block.ErrWeak, block.ErrHalves), one that does not fit
// the MAC scheme (keyring.ErrAlgorithm), and one that the link had before, for MACs or PINs
// (ErrReplayed). The key in force is not refused: the bank repeats a change whose answer it
// did not get.
func (l *LinkKeys) Receive(t Transfer) (*Pending, error) {
	p, err := l.receive(t)
	if err != nil {
		return nil, fmt.Errorf("link %s: change of the %v key refused: %w", l.o.Link, t.Kind, err)
	}
	return p, nil
}

func (l *LinkKeys) receive(t Transfer) (*Pending, error) {
	zmk, err := l.exchange(t.Kind)
	if err != nil {
		return nil, err
	}
	if d := t.Algorithm; d != keyring.DES && d != keyring.TDES2 && d != keyring.TDES3 ||
		len(t.Wrapped) != d.Size() {
		return nil, fmt.Errorf("%w: %d bytes, called a %v key", keyring.ErrAlgorithm, len(t.Wrapped), d)
	}
	p := &Pending{link: l, kind: t.Kind, stored: stored{Under: zmk.String(),
		Wrapped: append([]byte(nil), t.Wrapped...), KCV: append([]byte(nil), t.KCV...)}}
	p.zone, err = l.o.Ring.OpenZoneKey(zmk, t.Kind.purpose(), t.Wrapped, t.KCV)
	if err != nil {
		return nil, err
	}
	if s := l.state.Load(); !p.inForce(s) && s.record.seen(&p.stored) {
		return nil, ErrReplayed
	}
	if err := p.fits(); err != nil {
		return nil, err
	}
	return p, nil
}

// Issued returns the key in force of a kind as it travelled, and when it came: for a peer that
// asks again because it lost the answer. ok is false for a key of the ring and for none.
func (l *LinkKeys) Issued(k Kind) (t Transfer, since time.Time, ok bool) {
	if k >= kindEnd {
		return t, since, false
	}
	s := l.state.Load()
	c := s.record.slot(k).Current
	if c == nil || c.Ref != "" || s.slots[k].current.zone == nil {
		return t, since, false
	}
	return Transfer{Kind: k, Algorithm: s.slots[k].current.zone.Algorithm(),
			Wrapped: append([]byte(nil), c.Wrapped...), KCV: append([]byte(nil), c.KCV...)},
		timeOf(c.Since), true
}

// Changeable reports whether keys of a kind can change on this link: there is an exchange key,
// and something to use them for.
func (l *LinkKeys) Changeable(k Kind) bool {
	return l.o.ZMK != (keyring.Ref{}) && (k == PINKey || k == MACKey && l.size > 0)
}

// exchange returns the active version of the link's exchange key.
func (l *LinkKeys) exchange(k Kind) (keyring.Ref, error) {
	switch {
	case k >= kindEnd:
		return keyring.Ref{}, fmt.Errorf("%w: no such kind of key", ErrOptions)
	case l.o.ZMK == keyring.Ref{}:
		return keyring.Ref{}, fmt.Errorf("%w to exchange keys under", ErrNoKey)
	case k == MACKey && l.size == 0:
		return keyring.Ref{}, fmt.Errorf("%w: the link has no MACs", ErrOptions)
	}
	return pin(l.o.Ring, l.o.ZMK)
}

// fits refuses a key of a length that it cannot be used with.
func (p *Pending) fits() error {
	if p.kind == PINKey {
		if p.zone.Algorithm() == keyring.DES {
			return fmt.Errorf("%w: single DES does not protect PINs", keyring.ErrAlgorithm)
		}
		return nil
	}
	if _, err := p.zone.MAC(p.link.o.Scheme, nil, nil); err != nil {
		return fmt.Errorf("%w: a %v key for MACs of %v: %w", keyring.ErrAlgorithm, p.zone.Algorithm(),
			p.link.o.Scheme, err)
	}
	return nil
}

// New orders a change of key: it draws one, which is in force for MACs of ours and for PINs
// when it is committed. Until then Check takes MACs under it, for as long as an overlap lasts.
// A second order of the kind takes the place of the first.
func (l *LinkKeys) New(k Kind) (*Pending, error) {
	p, err := l.order(k)
	if err != nil {
		return nil, fmt.Errorf("link %s: cannot order a change of the %v key: %w", l.o.Link, k, err)
	}
	l.coming[k].Store(p)
	return p, nil
}

func (l *LinkKeys) order(k Kind) (*Pending, error) {
	zmk, err := l.exchange(k)
	if err != nil {
		return nil, err
	}
	p := &Pending{link: l, kind: k, until: l.o.Now().Add(l.o.Overlap)}
	p.stored.Under = zmk.String()
	p.zone, p.stored.Wrapped, p.stored.KCV, err = l.o.Ring.NewZoneKey(zmk, k.purpose(), l.usual(k))
	if err != nil {
		return nil, err
	}
	if err := p.fits(); err != nil {
		return nil, err
	}
	return p, nil
}

// Kind returns what the key is for, Algorithm its length.
func (p *Pending) Kind() Kind { return p.kind }

// Algorithm returns DES, TDES2 or TDES3.
func (p *Pending) Algorithm() keyring.Algorithm { return p.zone.Algorithm() }

// Wrapped returns the key under the exchange key, as it travels.
func (p *Pending) Wrapped() []byte { return append([]byte(nil), p.stored.Wrapped...) }

// KCV returns the check value as it travels with the key.
func (p *Pending) KCV() []byte { return append([]byte(nil), p.stored.KCV...) }

// Check is LinkKeys.Check with this key alone: the message that brings a MAC key may have its
// MAC under it already. A PIN key is refused.
func (p *Pending) Check(covered, field []byte) error {
	want, err := trim(field, p.link.size)
	if err != nil {
		return err
	}
	ok, err := p.zone.VerifyMAC(p.link.o.Scheme, covered, want)
	if err != nil {
		return fmt.Errorf("cannot check a MAC of link %s: %w", p.link.o.Link, err)
	}
	if !ok {
		return message.ErrMAC
	}
	return nil
}

// Commit puts the key into force. When it returns nil that is durable; the former key verifies
// for the overlap from now on. To commit the key in force again does nothing.
func (p *Pending) Commit(ctx context.Context) error {
	l := p.link
	select {
	case l.changing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("link %s: change of the %v key: %w", l.o.Link, p.kind, ctx.Err())
	}
	defer func() { <-l.changing }()
	if err := p.commit(ctx); err != nil {
		return fmt.Errorf("link %s: change of the %v key is not in force: %w", l.o.Link, p.kind, err)
	}
	l.coming[p.kind].CompareAndSwap(p, nil)
	return nil
}

// inForce reports whether the key is the current one already.
func (p *Pending) inForce(s *linkState) bool {
	return s.record.slot(p.kind).Current.same(&p.stored) && s.slots[p.kind].current.zone != nil
}

// commit writes the record. What is in force in memory is what the bank knows of; the registry
// may be ahead of it by a change whose outcome was not known.
func (p *Pending) commit(ctx context.Context) error {
	l := p.link
	now := l.o.Now()
	s := l.state.Load()
	if p.inForce(s) {
		return nil
	}
	at := linkKey(l.o.Link)
	for range triesMax {
		value, version, err := l.o.Registry.Get(ctx, at)
		if err != nil {
			return err
		}
		var kept linkRecord
		if err := decode(value, at, &kept, &kept.Version); err != nil {
			return err
		}
		if kept.seen(&p.stored) && !kept.slot(p.kind).Current.same(&p.stored) {
			return ErrReplayed
		}
		next := l.next(s, p, now)
		next.record.Seen = kept.Seen
		next.record.remember(&p.stored)
		if value, err = json.Marshal(&next.record); err != nil {
			return err
		}
		err = l.o.Registry.Put(ctx, at, value, version)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			l.state.Store(next)
		}
		return err
	}
	return errBusy
}

// next returns the state after p.
func (l *LinkKeys) next(s *linkState, p *Pending, now time.Time) *linkState {
	n := *s
	from, to, record := &s.slots[p.kind], &n.slots[p.kind], n.record.slot(p.kind)
	*to = slot{current: p.key}
	before := record.Current
	*record = storedSlot{Current: &stored{Under: p.stored.Under, Wrapped: p.stored.Wrapped,
		KCV: p.stored.KCV, Since: millis(now)}}
	if from.current.none() || l.o.Overlap == 0 {
		return &n
	}
	to.former, to.until = from.current, now.Add(l.o.Overlap)
	if before == nil {
		ref, err := pin(l.o.Ring, from.current.ref)
		if err != nil {
			return &n
		}
		to.former, before = key{ref: ref}, &stored{Ref: ref.String()}
	}
	record.Former, record.Until = before, millis(to.until)
	return &n
}

// String shows nothing of the key.
func (p *Pending) String() string { return "[new key of link " + p.link.o.Link + "]" }

// GoString returns String.
func (p *Pending) GoString() string { return p.String() }

// Format writes String for every verb.
func (p *Pending) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// MarshalText returns String.
func (p *Pending) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

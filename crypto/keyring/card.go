package keyring

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/purse"
)

// PurseMAC says which MAC of a purse transaction is meant.
type PurseMAC struct {
	// Ref is of the purpose that the message belongs to; its version is the key version
	// that the card named, which is not always the active one.
	Ref Ref
	// Scheme of the issuer's cards. It is known by its address: make one a scheme, keep it,
	// and do not change it.
	Scheme  *purse.Scheme
	Card    purse.Card
	Message purse.Message
	// Random is the card's random number, as INITIALIZE returned it; TACs do not need it.
	Random [4]byte
	Values purse.Values
}

// purseMessages are the messages of each purpose; a host makes few of them.
var purseMessages = [...]struct {
	purpose Purpose
	makes   bool
}{
	purse.LoadMAC1:      {PurseLoad, false},
	purse.LoadMAC2:      {PurseLoad, true},
	purse.LoadTAC:       {PurseTAC, false},
	purse.PurchaseMAC1:  {PursePurchase, true},
	purse.PurchaseMAC2:  {PursePurchase, false},
	purse.PurchaseTAC:   {PurseTAC, false},
	purse.UnloadMAC1:    {PurseUnload, false},
	purse.UnloadMAC2:    {PurseUnload, true},
	purse.UnloadMAC3:    {PurseUnload, false},
	purse.OverdraftMAC1: {PurseOverdraft, false},
	purse.OverdraftMAC2: {PurseOverdraft, true},
	purse.OverdraftTAC:  {PurseTAC, false},
}

// MakePurseMAC returns a MAC that the host sends to the card: MAC2 of a load, an unload or an
// overdraft update, or MAC1 of a purchase in the place of a terminal's security module. A
// retiring key makes none: a host whose cards have several key versions keeps all of them
// active.
func (r *Ring) MakePurseMAC(p *PurseMAC) (out [4]byte, err error) {
	v, err := r.begin(p.Ref, OpPurseMake)
	if err != nil {
		return out, err
	}
	defer r.settle(v, OpPurseMake, &err)
	if err := p.check(); err != nil {
		return out, err
	}
	if !purseMessages[p.Message].makes {
		return out, fmt.Errorf("%w: only the card makes this MAC", ErrPurpose)
	}
	key, err := v.purseKey(p)
	if err != nil {
		return out, err
	}
	defer key.Clear()
	return key.MAC(p.Message, &p.Values), nil
}

// VerifyPurseMAC reports, in constant time, whether want is a MAC or a TAC that the card (or
// the terminal) made.
func (r *Ring) VerifyPurseMAC(p *PurseMAC, want [4]byte) (ok bool, err error) {
	v, err := r.begin(p.Ref, OpPurseVerify)
	if err != nil {
		return false, err
	}
	defer r.settleCheck(v, OpPurseVerify, &ok, &err)
	if err := p.check(); err != nil {
		return false, err
	}
	key, err := v.purseKey(p)
	if err != nil {
		return false, err
	}
	defer key.Clear()
	return key.Verify(p.Message, &p.Values, want), nil
}

func (p *PurseMAC) check() error {
	if int(p.Message) >= len(purseMessages) || p.Scheme == nil {
		return fmt.Errorf("%w: message %d", purse.ErrScheme, p.Message)
	}
	if of := purseMessages[p.Message].purpose; of != p.Ref.Purpose {
		return fmt.Errorf("%w: this MAC is of %v, not of %v", ErrPurpose, of, p.Ref.Purpose)
	}
	return nil
}

// purseKey derives the key of a MAC. The caller clears it.
func (v *version) purseKey(p *PurseMAC) (*purse.MACKey, error) {
	m, err := v.master(p.Scheme)
	if err != nil {
		return nil, err
	}
	card, err := m.Card(&p.Card)
	if err != nil {
		return nil, err
	}
	defer card.Clear()
	switch p.Ref.Purpose {
	case PurseTAC:
		return card.TAC(), nil
	case PursePurchase:
		return card.Offline(p.Random, p.Values.Counter, p.Values.TermSeq), nil
	default:
		return card.Online(p.Random, p.Values.Counter), nil
	}
}

// CardKeys says which keys of the ring verify the TACs of an issuer's cards.
type CardKeys struct {
	// Issuer id, zero for all issuers that have no entry; Index is the key index that the
	// cards name.
	Issuer [8]byte
	Index  uint8
	// Keys is the scheme of the refs, of purpose purse_tac.
	Keys string
	// Versions has the ring's version for each key version of the cards. Empty, the numbers
	// are the same, and a card's version 0 is unknown.
	Versions map[uint8]uint32
	// Cards is how the cards compute.
	Cards purse.Scheme
}

// cardKeysMax bounds the entries of TACKeys: every issuer of the country, several times.
const cardKeysMax = 10_000

// tacKeys is purse.Keys over a ring.
type tacKeys struct {
	ring *Ring
	of   map[purse.KeyID]*CardKeys // Version is 0

	mu      sync.RWMutex // guards masters
	masters map[tacMaster]*purse.Master
}

type tacMaster struct {
	version *version
	keys    *CardKeys
}

// TACKeys returns the keys for a purse.Verifier. A key that is pending, retired, expired or
// destroyed is not there, so that its records are suspended; after one was withdrawn, Purge
// the Verifier, which keeps card keys. Uses count as verifications of which the outcome is the
// Verifier's to tell.
func (r *Ring) TACKeys(list []CardKeys) (purse.Keys, error) {
	if len(list) > cardKeysMax {
		return nil, fmt.Errorf("%w: %d entries of card keys, limit %d", ErrFull, len(list), cardKeysMax)
	}
	k := &tacKeys{ring: r, of: make(map[purse.KeyID]*CardKeys, len(list)),
		masters: map[tacMaster]*purse.Master{}}
	for i := range list {
		c := list[i]
		c.Versions = maps.Clone(c.Versions)
		id := purse.KeyID{Issuer: c.Issuer, Index: c.Index}
		err := errors.Join(Ref{Purpose: PurseTAC, Scheme: c.Keys}.check(), c.Cards.Check())
		if k.of[id] != nil {
			err = errors.Join(err, ErrDuplicate)
		}
		if err != nil {
			return nil, fmt.Errorf("card keys of entry %d: %w", i+1, err)
		}
		k.of[id] = &c
	}
	return k, nil
}

// TACMaster implements purse.Keys.
func (k *tacKeys) TACMaster(id purse.KeyID) *purse.Master {
	c := k.of[purse.KeyID{Issuer: id.Issuer, Index: id.Index}]
	if c == nil {
		c = k.of[purse.KeyID{Index: id.Index}]
	}
	if c == nil {
		return nil
	}
	ref := Ref{Purpose: PurseTAC, Scheme: c.Keys, Version: uint32(id.Version)}
	if len(c.Versions) > 0 {
		ref.Version = c.Versions[id.Version]
	}
	if ref.Version == 0 {
		return nil
	}
	v, err := k.ring.begin(ref, OpPurseVerify)
	if err != nil {
		return nil
	}
	m, err := k.master(tacMaster{v, c})
	if err != nil {
		_ = k.ring.fail(v, OpPurseVerify, err)
		return nil
	}
	k.ring.good(v, OpPurseVerify)
	return m
}

// master returns the same master for the same key each time.
func (k *tacKeys) master(id tacMaster) (*purse.Master, error) {
	k.mu.RLock()
	m := k.masters[id]
	k.mu.RUnlock()
	if m != nil {
		return m, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if m = k.masters[id]; m != nil {
		return m, nil
	}
	m, err := id.version.makeMaster(&id.keys.Cards)
	if err != nil {
		return nil, err
	}
	for old := range k.masters {
		if old.version.meta.Load().State == Destroyed {
			delete(k.masters, old)
		}
	}
	k.masters[id] = m
	return m, nil
}

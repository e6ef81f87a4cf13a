package qr

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// Limits of a Verifier.
const (
	// IssuersMax is the default of Options.Issuers: about 400 issuers exist.
	IssuersMax = 1024
	// AuthorisationsMax is the default of Options.Authorisations: the cards of a rush hour
	// at one switch, about 20 MB.
	AuthorisationsMax = 16384
	// CacheMax bounds both.
	CacheMax = 1 << 20
	// RevokedMax is the longest revocation list.
	RevokedMax = 1 << 20
)

// ErrTooMany reports a list or a cache above its limit.
var ErrTooMany = errors.New("too many entries")

// Options make a Verifier.
type Options struct {
	// Profile is the scheme's; the zero Profile is the standard.
	Profile Profile
	// Issuers is how many issuer certificates are kept verified: 0 for IssuersMax, negative
	// for none, at most CacheMax.
	Issuers int
	// Authorisations is how many cards' authorisations are kept verified, about 1.2 kB each:
	// 0 for AuthorisationsMax, negative for none, at most CacheMax.
	Authorisations int
}

// Verifier verifies codes under the CAs that it was told to trust. It is safe for concurrent
// use; a change of trust counts for every verification that begins after it.
type Verifier struct {
	profile        Profile
	zone           *time.Location
	issuers        *cache // proof of the certificate's bytes: the issuer's key
	authorisations *cache // proof of the authorisation's bytes: the user's key

	trust atomic.Pointer[trust] // read without a lock, replaced under mu
	mu    sync.Mutex            // one change of trust at a time
}

// trust is one unchanging state of what is trusted.
type trust struct {
	cas     [256]*CA
	revoked map[CertificateID]struct{}
}

// Tap is what a code is verified against.
type Tap struct {
	Now time.Time
	// AmountFen is the price of the trip, 0 at an entry.
	AmountFen int64
}

// NewVerifier returns a Verifier that trusts no CA yet.
func NewVerifier(o Options) (*Verifier, error) {
	if err := o.Profile.check(); err != nil {
		return nil, err
	}
	issuers, err := cacheSize(o.Issuers, IssuersMax)
	if err != nil {
		return nil, fmt.Errorf("issuer cache: %w", err)
	}
	authorisations, err := cacheSize(o.Authorisations, AuthorisationsMax)
	if err != nil {
		return nil, fmt.Errorf("authorisation cache: %w", err)
	}
	v := &Verifier{profile: o.Profile.clone(), issuers: newCache(issuers),
		authorisations: newCache(authorisations)}
	v.zone = v.profile.zone()
	v.trust.Store(&trust{})
	return v, nil
}

func cacheSize(n, standard int) (int, error) {
	switch {
	case n == 0:
		return standard, nil
	case n > CacheMax:
		return 0, fmt.Errorf("%w: %d, at most %d", ErrTooMany, n, CacheMax)
	}
	return max(n, 0), nil
}

// Trust makes ca the CA of its index, in place of an earlier one, whose certificates count no
// more. The caller vouches for it: ParseCA proves only that a file is whole. ca must not
// change after.
func (v *Verifier) Trust(ca *CA) error {
	if ca == nil || ca.Key == nil {
		return errors.New("cannot trust a CA without a key")
	}
	if (ca.Expires != Month{}) && !ca.Expires.valid() {
		return fmt.Errorf("cannot trust a CA that expires in month %v, want MMYY", ca.Expires)
	}
	own := *ca // another pointer: what was proven under an earlier one is forgotten
	v.change(func(t *trust) { t.cas[ca.Index] = &own })
	return nil
}

// Distrust takes out the CA of an index.
func (v *Verifier) Distrust(index byte) {
	v.change(func(t *trust) { t.cas[index] = nil })
}

// SetRevoked replaces the revocation list, which beats both caches. It returns ErrTooMany
// above RevokedMax entries and changes nothing then.
func (v *Verifier) SetRevoked(list []CertificateID) error {
	if len(list) > RevokedMax {
		return fmt.Errorf("%w: revocation list of %d, at most %d", ErrTooMany, len(list), RevokedMax)
	}
	revoked := make(map[CertificateID]struct{}, len(list))
	for _, id := range list {
		revoked[id] = struct{}{}
	}
	v.change(func(t *trust) { t.revoked = revoked })
	return nil
}

// Revoke adds one certificate to the revocation list. It returns ErrTooMany at RevokedMax.
func (v *Verifier) Revoke(id CertificateID) error {
	var err error
	v.change(func(t *trust) {
		if len(t.revoked) >= RevokedMax {
			err = fmt.Errorf("%w: revocation list of %d", ErrTooMany, len(t.revoked))
			return
		}
		revoked := make(map[CertificateID]struct{}, len(t.revoked)+1)
		maps.Copy(revoked, t.revoked)
		revoked[id] = struct{}{}
		t.revoked = revoked
	})
	return err
}

func (v *Verifier) change(do func(*trust)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := *v.trust.Load()
	do(&next)
	v.trust.Store(&next)
}

// Verify parses and verifies a code. The error is a Refusal or, for Malformed, wraps it. A code
// that could be parsed is returned also when it is refused, so that the refusal can be
// recorded. Whether the code was used before is the caller's to check, by ReplayKey.
func (v *Verifier) Verify(b []byte, tap Tap) (*Code, error) {
	c, err := v.profile.Parse(b)
	if err != nil {
		return nil, err
	}
	if r := v.chain(c, tap.Now); r != 0 {
		return c, r
	}
	if r := v.limits(c, tap); r != 0 {
		return c, r
	}
	return c, nil
}

// VerifyChain is Verify for a record that was taken off line: signatures, certificates and
// times as of the tap, but neither amount nor account type.
func (v *Verifier) VerifyChain(b []byte, at time.Time) (*Code, error) {
	c, err := v.profile.Parse(b)
	if err != nil {
		return nil, err
	}
	if r := v.chain(c, at); r != 0 {
		return c, r
	}
	if r := v.times(c, at); r != 0 {
		return c, r
	}
	return c, nil
}

// chain verifies CA, certificate, issuer and user in this order; 0 when all hold.
func (v *Verifier) chain(c *Code, now time.Time) Refusal {
	t, id := v.trust.Load(), c.certificate.ID
	ca := t.cas[c.certificate.CAIndex]
	if ca == nil {
		return UnknownCA
	}
	if ca.Expires.over(now, v.zone) {
		return CAExpired
	}
	known := proof(sha256.Sum256(c.authorisation()))
	user := v.authorisations.get(known, ca)
	var issuer *sm.PublicKey
	if user == nil {
		if issuer = v.issuer(&c.certificate, ca); issuer == nil {
			return CertificateWrong
		}
	}
	if _, revoked := t.revoked[id]; revoked {
		return CertificateRevoked
	}
	if c.certificate.Expires.over(now, v.zone) {
		return CertificateExpired
	}
	if !v.profile.allowsIssuer(id.Issuer, c.Institution()) {
		return IssuerMismatch
	}
	if user == nil {
		if !c.VerifyIssuer(issuer) {
			return IssuerSignatureWrong
		}
		key := c.UserKey()
		var err error
		if user, err = sm.ParsePublicKey(key[:]); err != nil {
			return UserSignatureWrong
		}
		v.authorisations.put(known, proven{ca, user})
	}
	if !c.VerifyUser(user) {
		return UserSignatureWrong
	}
	return 0
}

// issuer returns the key of a certificate that ca signed, or nil.
func (v *Verifier) issuer(c *Certificate, ca *CA) *sm.PublicKey {
	known := proof(sha256.Sum256(c.raw[:]))
	if key := v.issuers.get(known, ca); key != nil {
		return key
	}
	if !c.VerifyUnder(ca.Key) {
		return nil
	}
	key, err := sm.ParsePublicKey(c.Key[:])
	if err != nil {
		return nil
	}
	v.issuers.put(known, proven{ca, key})
	return key
}

// limits checks times, amount and account type; 0 when all hold.
func (v *Verifier) limits(c *Code, tap Tap) Refusal {
	if r := v.times(c, tap.Now); r != 0 {
		return r
	}
	if tap.AmountFen < 0 || tap.AmountFen > c.LimitFen() {
		return AmountOverLimit
	}
	if !v.profile.allowsAccount(c.AccountType()) {
		return AccountTypeRefused
	}
	return 0
}

// times checks the authorisation's end and the age of the code. The zone tolerance moves the
// moment of generation by exactly so much either way.
func (v *Verifier) times(c *Code, now time.Time) Refusal {
	zone := v.profile.ZoneTolerance
	if now.After(c.AuthorisedUntil().Add(zone)) {
		return AuthorisationExpired
	}
	age, window := now.Sub(c.GeneratedAt()), c.Validity()+v.profile.Skew
	for _, shift := range [3]time.Duration{0, zone, -zone} {
		if (age + shift).Abs() <= window {
			return 0
		}
	}
	if age > 0 {
		return CodeExpired
	}
	return NotYetValid
}

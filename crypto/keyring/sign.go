package keyring

import (
	"crypto/ed25519"
	"io"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// signer is a private key made ready; one of the two, or none yet.
type signer struct {
	sm2     *sm.PrivateKey
	ed25519 ed25519.PrivateKey
}

func (s *signer) wipe() {
	if s.sm2 != nil {
		s.sm2.Wipe()
	}
	clear(s.ed25519)
	*s = signer{}
}

// makeSignerLocked makes the private key ready.
func (v *version) makeSignerLocked() (err error) {
	key := v.key.open()
	switch {
	case len(key) == 0:
		return ErrDestroyed
	case v.signer.sm2 != nil || v.signer.ed25519 != nil:
	case v.meta.Load().Algorithm == SM2:
		v.signer.sm2, err = sm.NewPrivateKey(key)
	default:
		v.signer.ed25519 = ed25519.NewKeyFromSeed(key)
	}
	return err
}

// sign returns the signature of a message: r‖s for SM2.
func (v *version) sign(random io.Reader, message []byte) ([]byte, error) {
	v.mu.RLock()
	ready := v.signer.sm2 != nil || v.signer.ed25519 != nil
	v.mu.RUnlock()
	if !ready {
		v.mu.Lock()
		err := v.makeSignerLocked()
		v.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	switch {
	case v.signer.sm2 != nil:
		raw, err := v.signer.sm2.Sign(random, message)
		return raw[:], err
	case v.signer.ed25519 != nil:
		return ed25519.Sign(v.signer.ed25519, message), nil
	default:
		return nil, ErrDestroyed
	}
}

// ringSigner is a receipt.Signer whose key is in a ring.
type ringSigner struct {
	ring      *Ring
	ref       Ref
	algorithm receipt.Algorithm
	public    []byte
}

var _ receipt.Signer = (*ringSigner)(nil)

// Signer returns a signer of statements with a key of purpose receipt, which stays in the
// ring. It keeps to the version that ref stands for now: its key id is the ref with the
// version, and once the key is not active it refuses. Verifiers need its public key only.
func (r *Ring) Signer(ref Ref) (receipt.Signer, error) {
	v, err := r.begin(ref, OpSign)
	if err != nil {
		return nil, err
	}
	m := v.meta.Load()
	s := &ringSigner{ring: r, ref: m.Ref, algorithm: receipt.Ed25519, public: m.Public}
	if m.Algorithm == SM2 {
		s.algorithm = receipt.SM2
	}
	return s, nil
}

// KeyID implements receipt.Signer.
func (s *ringSigner) KeyID() string { return s.ref.String() }

// Algorithm implements receipt.Signer.
func (s *ringSigner) Algorithm() receipt.Algorithm { return s.algorithm }

// PublicKey implements receipt.Signer.
func (s *ringSigner) PublicKey() []byte { return append([]byte(nil), s.public...) }

// Sign implements receipt.Signer.
func (s *ringSigner) Sign(message []byte) (signature []byte, err error) {
	v, err := s.ring.begin(s.ref, OpSign)
	if err != nil {
		return nil, err
	}
	defer s.ring.settle(v, OpSign, &err)
	return v.sign(s.ring.random, message)
}

package qr

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// limitFenMax is the most that three bytes hold.
const limitFenMax = 1<<24 - 1

// Spec is what an issuer puts into a card's authorisation.
type Spec struct {
	Version         byte   // 0 means 81h
	PayAccount      string // 16 digits
	CardAccount     string // 20 digits
	Institution     IssuerID
	Platform        [4]byte
	AccountType     byte
	LimitFen        int64 // at most 16,777,215
	AuthorisedUntil time.Time
	Validity        time.Duration // whole seconds, at most 65,535
	Custom          []byte        // at most 255
}

// Authorisation is what an issuer signs for a card; the phone makes codes of it.
type Authorisation struct {
	profile Profile
	bytes   []byte // from the version to before the generation time
}

// Authorise makes the authorisation of a user's key under an issuer's certificate and key.
func (p Profile) Authorise(s *Spec, certificate []byte, user *sm.PublicKey,
	issuer Signer) (*Authorisation, error) {
	b, err := p.head(s, certificate, user)
	if err != nil {
		return nil, fmt.Errorf("cannot make a QR authorisation: %w", err)
	}
	custom := append([]byte{byte(len(s.Custom))}, s.Custom...)
	if p.Order == CustomFirst {
		b = append(b, custom...)
	}
	signature, err := issuer.Key.Sign(issuer.Random, b[atCertificate:])
	if err != nil {
		return nil, fmt.Errorf("cannot make a QR authorisation: %w", err)
	}
	b = append(append(b, signatureTag), signature[:]...)
	if p.Order == SignatureFirst {
		b = append(b, custom...)
	}
	return &Authorisation{profile: p.clone(), bytes: b}, nil
}

// Signer is a key with its source of random nonces, crypto/rand.Reader but in tests.
type Signer struct {
	Key    *sm.PrivateKey
	Random io.Reader
}

// head writes the fields up to where the orders part.
func (p *Profile) head(s *Spec, certificate []byte, user *sm.PublicKey) ([]byte, error) {
	card, err := hex.DecodeString(s.CardAccount)
	if err != nil || len(card) != atInstitution-atCard || len(s.PayAccount) != atCard-atPayAccount {
		return nil, fmt.Errorf("%w: want a card account of 20 and a payment account of 16 digits",
			Malformed)
	}
	seconds := s.Validity / time.Second
	if len(certificate) != CertificateSize || len(s.Custom) > customMax || s.LimitFen < 0 ||
		s.LimitFen > limitFenMax || seconds < 0 || seconds > 0xFFFF {
		return nil, fmt.Errorf("%w: certificate of %d bytes, custom data of %d, limit of %d fen or "+
			"validity %v is out of range", Malformed, len(certificate), len(s.Custom), s.LimitFen,
			s.Validity)
	}
	until, err := p.stamp(s.AuthorisedUntil)
	if err != nil {
		return nil, err
	}
	version, limit, key := s.Version, s.LimitFen, user.Compressed()
	if version == 0 {
		version = version81
	}
	b := make([]byte, 0, CodeMin+len(s.Custom))
	b = append(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(CodeMin-atCertificate+len(s.Custom)))
	b = append(append(append(b, certificate...), s.PayAccount...), card...)
	b = append(append(b, s.Institution[:]...), s.Platform[:]...)
	b = append(b, s.AccountType, byte(limit>>16), byte(limit>>8), byte(limit))
	b = append(b, key[:]...)
	b = binary.BigEndian.AppendUint32(b, until)
	return binary.BigEndian.AppendUint16(b, uint16(seconds)), nil
}

// stamp writes a time in the profile's epoch.
func (p *Profile) stamp(t time.Time) (uint32, error) {
	n := t.Unix() - p.Epoch
	if n < 0 || n > 1<<32-1 {
		return 0, fmt.Errorf("%w: time %v does not fit the epoch", Malformed, t)
	}
	return uint32(n), nil
}

// Code makes the code of one moment, signed with the user's key. The result is parsed once,
// so that what does not fit the layout is an error here.
func (a *Authorisation) Code(at time.Time, user Signer) ([]byte, error) {
	stamp, err := a.profile.stamp(at)
	if err != nil {
		return nil, fmt.Errorf("cannot make a QR code: %w", err)
	}
	b := make([]byte, 0, len(a.bytes)+timeSize+taggedSize)
	b = binary.BigEndian.AppendUint32(append(b, a.bytes...), stamp)
	signature, err := user.Key.Sign(user.Random, b)
	if err != nil {
		return nil, fmt.Errorf("cannot make a QR code: %w", err)
	}
	b = append(append(b, signatureTag), signature[:]...)
	if _, err := a.profile.Parse(b); err != nil {
		return nil, fmt.Errorf("cannot make a QR code: %w", err)
	}
	return b, nil
}

// seedReader is a stream of SM3(seed ‖ counter).
type seedReader struct {
	seed    []byte
	counter uint64
	rest    []byte
}

// NewSeedReader returns an endless stream that the seed decides, for keys of tests and the
// demo that are the same each time. It is not safe for concurrent use, and not for keys
// that guard anything.
func NewSeedReader(seed []byte) io.Reader {
	return &seedReader{seed: append([]byte(nil), seed...)}
}

// Read fills b; it never fails.
func (r *seedReader) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(r.rest) == 0 {
			r.counter++
			block := sm.SM3(binary.BigEndian.AppendUint64(r.seed[:len(r.seed):len(r.seed)], r.counter))
			r.rest = block[:]
		}
		taken := copy(b[n:], r.rest)
		n, r.rest = n+taken, r.rest[taken:]
	}
	return len(b), nil
}

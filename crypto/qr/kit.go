package qr

import (
	"fmt"
	"io"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// The CAs of a Kit: one to trust, one whose month is over, one that nobody trusts.
const (
	kitCA        = 2
	kitExpiredCA = 3
	kitUnknownCA = 4
)

// kitInstitution is the issuer of a Kit.
var kitInstitution = IssuerID{0x01, 0x01, 0x00, 0x00}

// Kit is a whole scheme with synthetic keys and cards, for tests, the demo and drills: CAs,
// an issuer and cards that make valid codes and one of each invalid kind. It is not safe for
// concurrent use.
type Kit struct {
	// CAFile and CertificateFile are the trusted CA's and the issuer's files.
	CAFile, CertificateFile []byte

	profile Profile
	random  io.Reader
	now     time.Time
	cas     [kitUnknownCA + 1]*CA
	issuer  *sm.PrivateKey
	keys    [kitUnknownCA + 1]*sm.PrivateKey
}

// Serials of a Kit's certificates.
var (
	kitGood    = Serial{0, 0, 1}
	kitRevoked = Serial{0, 0, 2}
	kitExpired = Serial{0, 0, 3}
)

// NewKit makes a scheme whose certificates hold at now. Keys and nonces come from random:
// NewSeedReader for the same scheme each time, crypto/rand.Reader otherwise.
func NewKit(p Profile, random io.Reader, now time.Time) (*Kit, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	k := &Kit{profile: p.clone(), random: random, now: now}
	for index := kitCA; index <= kitUnknownCA; index++ {
		file, err := k.makeCA(byte(index))
		if err != nil {
			return nil, err
		}
		if index == kitCA {
			k.CAFile = file
		}
	}
	var err error
	if k.issuer, err = sm.GenerateKey(random); err != nil {
		return nil, err
	}
	k.CertificateFile, err = k.certificate(kitCA, kitGood)
	return k, err
}

func (k *Kit) makeCA(index byte) ([]byte, error) {
	key, err := sm.GenerateKey(k.random)
	if err != nil {
		return nil, err
	}
	expires, err := k.month(index == kitExpiredCA)
	if err != nil {
		return nil, err
	}
	ca := &CA{Service: ServiceID(kitInstitution), RID: TransitRID, Index: index,
		Expires: expires}
	file, err := AppendCA(nil, ca, key, k.random)
	if err != nil {
		return nil, err
	}
	k.cas[index], k.keys[index] = ca, key
	return file, nil
}

// month returns last month, or one in some years.
func (k *Kit) month(past bool) (Month, error) {
	local := k.now.In(k.profile.zone())
	if past {
		before := local.AddDate(0, 0, -local.Day())
		return MakeMonth(before.Year(), before.Month())
	}
	return MakeMonth(min(local.Year()+10, 2099), time.December)
}

func (k *Kit) certificate(ca byte, serial Serial) ([]byte, error) {
	expires, err := k.month(serial == kitExpired)
	if err != nil {
		return nil, err
	}
	key := k.issuer.Public().Compressed()
	return AppendCertificate(nil, &Certificate{Service: ServiceID(kitInstitution), CAIndex: ca,
		ID: CertificateID{kitInstitution, serial}, Expires: expires, Key: key},
		k.keys[ca], k.random)
}

// Install makes v trust the kit's CAs (but the one that nobody trusts) and revoke its revoked
// certificate, in place of v's revocation list.
func (k *Kit) Install(v *Verifier) error {
	for _, index := range []byte{kitCA, kitExpiredCA} {
		if err := v.Trust(k.cas[index]); err != nil {
			return err
		}
	}
	return v.SetRevoked([]CertificateID{{kitInstitution, kitRevoked}})
}

// Spec returns what the issuer writes for its n-th synthetic card: a limit of 20 yuan, 5
// minutes a code, 30 days of authorisation from the kit's now.
func (k *Kit) Spec(n int) Spec {
	s := Spec{PayAccount: fmt.Sprintf("%016d", n), CardAccount: fmt.Sprintf("03104%015d", n),
		Institution: kitInstitution, Platform: [4]byte{0, 0, 0, 1}, LimitFen: 2000,
		AuthorisedUntil: k.now.Add(30 * 24 * time.Hour), Validity: 5 * time.Minute}
	if len(k.profile.Versions) > 0 {
		s.Version = k.profile.Versions[0]
	}
	if len(k.profile.AccountTypes) > 0 {
		s.AccountType = k.profile.AccountTypes[0]
	}
	return s
}

// Card is a card on a phone that makes codes. It is not safe for concurrent use.
type Card struct {
	authorisation *Authorisation
	user          Signer
}

// Issue makes the card of a Spec with a key of its own.
func (k *Kit) Issue(s Spec) (*Card, error) { return k.issue(&s, k.CertificateFile, k.issuer) }

func (k *Kit) issue(s *Spec, certificate []byte, issuer *sm.PrivateKey) (*Card, error) {
	user, err := sm.GenerateKey(k.random)
	if err != nil {
		return nil, err
	}
	a, err := k.profile.Authorise(s, certificate, user.Public(), Signer{issuer, k.random})
	if err != nil {
		return nil, err
	}
	return &Card{a, Signer{user, k.random}}, nil
}

// Code makes the card's code of one moment.
func (c *Card) Code(at time.Time) ([]byte, error) { return c.authorisation.Code(at, c.user) }

// Refused makes a code, and the tap to verify it with, that a Verifier with the kit's profile
// and Install refuses for the reason want, at the kit's now. Reason 0 makes a valid one.
// AccountTypeRefused needs a profile that lists types.
func (k *Kit) Refused(want Refusal, n int) ([]byte, Tap, error) {
	s, tap := k.Spec(n), Tap{Now: k.now, AmountFen: 200}
	at, file, issuer, err := k.now, k.CertificateFile, k.issuer, error(nil)
	far := s.Validity + k.profile.Skew + k.profile.ZoneTolerance + time.Minute
	switch want {
	case UnknownCA:
		file, err = k.certificate(kitUnknownCA, kitGood)
	case CAExpired:
		file, err = k.certificate(kitExpiredCA, kitGood)
	case CertificateRevoked:
		file, err = k.certificate(kitCA, kitRevoked)
	case CertificateExpired:
		file, err = k.certificate(kitCA, kitExpired)
	case CertificateWrong:
		file = append([]byte(nil), file...)
		file[certSerial] ^= 0xFF // the CA signed another serial
	case IssuerMismatch:
		s.Institution = IssuerID{0xFF, 0xFE, 0xFD, 0xFC}
	case IssuerSignatureWrong:
		issuer, err = sm.GenerateKey(k.random)
	case AuthorisationExpired:
		s.AuthorisedUntil = k.now.Add(-k.profile.ZoneTolerance - time.Minute)
	case CodeExpired:
		at = k.now.Add(-far)
	case NotYetValid:
		at = k.now.Add(far)
	case AmountOverLimit:
		tap.AmountFen = s.LimitFen + 1
	case AccountTypeRefused:
		s.AccountType, err = k.otherType()
	}
	if err != nil {
		return nil, tap, err
	}
	card, err := k.issue(&s, file, issuer)
	if err != nil {
		return nil, tap, err
	}
	code, err := card.Code(at)
	if err == nil && want == UserSignatureWrong {
		code[len(code)-1] ^= 1
	}
	if err == nil && want == Malformed {
		code = append(code, 0)
	}
	return code, tap, err
}

// otherType returns an account type that the profile does not list.
func (k *Kit) otherType() (byte, error) {
	for kind := range 256 {
		if !k.profile.allowsAccount(byte(kind)) {
			return byte(kind), nil
		}
	}
	return 0, fmt.Errorf("the profile allows every account type")
}

package qr

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// Sizes of a code in bytes: without custom data, and with the most that its one length byte
// can tell.
const (
	CodeMin = 332
	CodeMax = CodeMin + customMax
)

const customMax = 255

// version81 is the version of codes that carry the issuer certificate.
const version81 = 0x81

// signatureTag stands before both signatures.
const signatureTag = 0x15

// Offsets in a code, up to where the orders part (DOMAIN.md section 5.1).
const (
	atLength      = 1
	atCertificate = 3
	atPayAccount  = 120
	atCard        = 136
	atInstitution = 146
	atPlatform    = 150
	atAccountType = 154
	atLimit       = 155
	atUserKey     = 158
	atAuthorised  = 191
	atValidity    = 195
	atRest        = 197
)

// Lengths of what follows atRest.
const (
	taggedSize = 1 + sm.SignatureSize
	timeSize   = 4
)

// Code is a parsed transit code. It owns its bytes and never changes. It holds a card
// number: no printer shows it, and CardAccount, PayAccount and Bytes are the ways out.
type Code struct {
	*body // a pointer within: fmt follows one for a verb that it refuses
}

type body struct {
	profile     *Profile
	certificate Certificate
	raw         [CodeMax]byte
	size        int
	custom      int // offset of the custom data
	issuerTag   int // offset of the tag before the issuer's signature
	issuerEnd   int // the issuer signs from atCertificate to here
}

// Parse reads a code of p's layout. It checks every length, tag, fixed byte and digit, and
// refuses bytes after the end; signatures, times and limits are Verifier's. Errors wrap
// Malformed.
func (p *Profile) Parse(b []byte) (*Code, error) {
	if len(b) < CodeMin || len(b) > CodeMax {
		return nil, fmt.Errorf("%w: %d bytes, want %d to %d", Malformed, len(b), CodeMin, CodeMax)
	}
	if !p.knowsVersion(b[0]) {
		return nil, fmt.Errorf("%w: version %02x is not accepted", Malformed, b[0])
	}
	if n := int(binary.BigEndian.Uint16(b[atLength:])); n != len(b)-atCertificate {
		return nil, fmt.Errorf("%w: %d bytes after the length, which says %d", Malformed,
			len(b)-atCertificate, n)
	}
	c := &Code{&body{profile: p, size: len(b)}}
	copy(c.raw[:], b)
	if err := c.place(); err != nil {
		return nil, err
	}
	return c, c.checkFields()
}

// place finds the parts whose place depends on the order and on the custom data.
func (c *Code) place() error {
	lengthAt := atRest
	c.issuerTag, c.issuerEnd = atRest, atRest
	if c.profile.Order == SignatureFirst {
		lengthAt += taggedSize
	}
	n := int(c.raw[lengthAt])
	c.custom = lengthAt + 1
	if c.size != CodeMin+n {
		return fmt.Errorf("%w: %d bytes with %d of custom data, want %d", Malformed, c.size, n,
			CodeMin+n)
	}
	if c.profile.Order == CustomFirst {
		c.issuerTag, c.issuerEnd = c.custom+n, c.custom+n
	}
	return nil
}

// checkFields checks what has a fixed value or digits only. It tells no digit.
func (c *Code) checkFields() error {
	var err error
	if c.certificate, err = ParseCertificate(c.raw[atCertificate:atPayAccount]); err != nil {
		return err
	}
	if c.raw[c.issuerTag] != signatureTag || c.raw[c.userTag()] != signatureTag {
		return fmt.Errorf("%w: no tag %02x before a signature", Malformed, signatureTag)
	}
	for i, d := range c.raw[atPayAccount:atCard] {
		if d < '0' || d > '9' {
			return fmt.Errorf("%w: character %d of the payment account is no digit", Malformed, i+1)
		}
	}
	for i, d := range c.raw[atCard:atInstitution] {
		if d>>4 > 9 || d&0xF > 9 {
			return fmt.Errorf("%w: byte %d of the card account is not two digits", Malformed, i+1)
		}
	}
	if !compressed(c.raw[atUserKey]) {
		return fmt.Errorf("%w: the user key is not compressed", Malformed)
	}
	return nil
}

// userTag is the offset of the tag before the user's signature, which ends the code.
func (c *Code) userTag() int { return c.size - taggedSize }

// Bytes returns the code.
func (c *Code) Bytes() []byte { return append([]byte(nil), c.raw[:c.size]...) }

// Version returns the version byte.
func (c *Code) Version() byte { return c.raw[0] }

// Length returns the length field: the count of bytes after it.
func (c *Code) Length() int { return c.size - atCertificate }

// Certificate returns the issuer's certificate in the code.
func (c *Code) Certificate() *Certificate { return &c.certificate }

// PayAccount returns the payment account in clear, 16 digits.
func (c *Code) PayAccount() string { return string(c.raw[atPayAccount:atCard]) }

// CardAccount returns the card account in clear, 20 digits. Use Card where it will do.
func (c *Code) CardAccount() string { return hex.EncodeToString(c.raw[atCard:atInstitution]) }

// Card returns the card account as a card number, which has the token of the same card's
// chip: a T-Union number loses the leading zero of its 20 digits.
func (c *Code) Card() pan.Number {
	n, err := pan.Parse(c.CardAccount())
	if err != nil {
		panic("qr: internal error: 20 digits are no card number")
	}
	return n
}

// Institution returns the issuing institution.
func (c *Code) Institution() IssuerID { return IssuerID(c.raw[atInstitution:]) }

// Platform returns the issuing platform.
func (c *Code) Platform() [4]byte { return [4]byte(c.raw[atPlatform:]) }

// AccountType returns the type of the account.
func (c *Code) AccountType() byte { return c.raw[atAccountType] }

// LimitFen returns the most that one trip may cost, in fen.
func (c *Code) LimitFen() int64 {
	l := c.raw[atLimit:]
	return int64(l[0])<<16 | int64(l[1])<<8 | int64(l[2])
}

// UserKey returns the user's public key, compressed. It may be no point of the curve.
func (c *Code) UserKey() [sm.CompressedSize]byte {
	return [sm.CompressedSize]byte(c.raw[atUserKey:])
}

// AuthorisedUntil returns the last moment of the user key's authorisation.
func (c *Code) AuthorisedUntil() time.Time { return c.timeAt(atAuthorised) }

// Validity returns how long one code is good after it was made.
func (c *Code) Validity() time.Duration {
	return time.Duration(binary.BigEndian.Uint16(c.raw[atValidity:])) * time.Second
}

// Custom returns the custom data, at most 255 bytes.
func (c *Code) Custom() []byte {
	return append([]byte(nil), c.raw[c.custom:c.custom+c.size-CodeMin]...)
}

// GeneratedAt returns when the phone made the code.
func (c *Code) GeneratedAt() time.Time { return c.timeAt(c.userTag() - timeSize) }

func (c *Code) timeAt(offset int) time.Time {
	return time.Unix(c.profile.unix(binary.BigEndian.Uint32(c.raw[offset:])), 0).UTC()
}

// IssuerSigned returns the bytes that the issuer signs, from the certificate on.
func (c *Code) IssuerSigned() []byte {
	return append([]byte(nil), c.raw[atCertificate:c.issuerEnd]...)
}

// IssuerSignature returns the issuer's signature, raw.
func (c *Code) IssuerSignature() [sm.SignatureSize]byte {
	return [sm.SignatureSize]byte(c.raw[c.issuerTag+1:])
}

// UserSigned returns the bytes that the user signs: everything before the last tag.
func (c *Code) UserSigned() []byte { return append([]byte(nil), c.raw[:c.userTag()]...) }

// UserSignature returns the user's signature, raw.
func (c *Code) UserSignature() [sm.SignatureSize]byte {
	return [sm.SignatureSize]byte(c.raw[c.userTag()+1:])
}

// VerifyIssuer reports whether the issuer's key signed the authorisation.
func (c *Code) VerifyIssuer(issuer *sm.PublicKey) bool {
	return issuer.Verify(c.raw[atCertificate:c.issuerEnd],
		c.raw[c.issuerTag+1:c.issuerTag+taggedSize])
}

// VerifyUser reports whether the user's key signed the code.
func (c *Code) VerifyUser(user *sm.PublicKey) bool {
	return user.Verify(c.raw[:c.userTag()], c.raw[c.userTag()+1:c.size])
}

// authorisation returns what stays the same from code to code of one card: what the issuer
// signs, with the signature.
func (c *Code) authorisation() []byte {
	return c.raw[atCertificate : c.issuerTag+taggedSize]
}

// ReplayKey names one use of one card: two codes with the same key are the same use, also
// when the phone signed twice. It is comparable; its card cannot be printed. To store it,
// store the card's token and the time.
type ReplayKey struct {
	Card      pan.Number
	Generated int64 // Unix seconds
}

// ReplayKey returns the code's. Whoever accepts codes remembers it until the code has
// expired (its validity, the skew, and the zone tolerance) and refuses the second.
func (c *Code) ReplayKey() ReplayKey { return ReplayKey{c.Card(), c.GeneratedAt().Unix()} }

// Hash returns the SM3 hash of the whole code. It does not give the card away, since the
// signatures are in it; a phone that signs twice makes two hashes.
func (c *Code) Hash() [sm.HashSize]byte { return sm.SM3(c.raw[:c.size]) }

// String returns a fixed text with the institution and the masked card.
func (c *Code) String() string {
	if c == nil || c.body == nil {
		return "[no QR code]"
	}
	return fmt.Sprintf("[QR code of institution %v, card %v]", c.Institution(), c.Card())
}

// GoString returns String.
func (c *Code) GoString() string { return c.String() }

// Format writes String for every verb.
func (c *Code) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// MarshalText returns String, so that encoders mask too.
func (c *Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue returns String for slog.
func (c *Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

package qr

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// Sizes of the two files in bytes.
const (
	CASize          = 144
	CertificateSize = 117
)

// Fixed bytes of the two files (DOMAIN.md section 5.2).
const (
	caFormat          = 0x21
	certificateFormat = 0x24
	issuerFormat      = 0x12
	algorithmSM2      = 0x04
	caParameter       = 0x11
	issuerParameter   = 0x00
	caKeyLength       = 0x40
	issuerKeyLength   = sm.CompressedSize
)

// Offsets in the CA file.
const (
	caService   = 1
	caRID       = 5
	caIndex     = 10
	caExpiry    = 11
	caAlgorithm = 13
	caKey       = 16
	caSignature = 80
)

// Offsets in the issuer certificate.
const (
	certService   = 1
	certCA        = 5
	certSigned    = 6 // the CA signs from here …
	certIssuer    = 7
	certExpiry    = 11
	certSerial    = 13
	certAlgorithm = 16
	certKey       = 20
	certSignature = 53 // … to here
)

// ServiceID is the id of the service that a certificate is for. The signatures do not
// cover it.
type ServiceID [4]byte

// String returns 8 hex digits.
func (s ServiceID) String() string { return hex.EncodeToString(s[:]) }

// IssuerID is the id of an issuing institution.
type IssuerID [4]byte

// String returns 8 hex digits.
func (i IssuerID) String() string { return hex.EncodeToString(i[:]) }

// RID is the registered id of the scheme.
type RID [5]byte

// TransitRID is the RID of the national transit scheme.
var TransitRID = RID{0xA0, 0x00, 0x00, 0x06, 0x32}

// Month is the last month of validity: month and year in BCD, the year after 2000. The
// zero Month never ends; it occurs in no file.
type Month [2]byte

// MakeMonth returns the Month of a year (2000 to 2099) and a month.
func MakeMonth(year int, month time.Month) (Month, error) {
	if year < 2000 || year > 2099 || month < time.January || month > time.December {
		return Month{}, fmt.Errorf("month %d of year %d cannot be written as MMYY", month, year)
	}
	bcd := func(n int) byte { return byte(n/10<<4 | n%10) }
	return Month{bcd(int(month)), bcd(year - 2000)}, nil
}

// String returns four digits, MMYY.
func (m Month) String() string { return hex.EncodeToString(m[:]) }

func (m Month) valid() bool {
	digits := m[0]&0xF < 10 && m[1]&0xF < 10 && m[1]>>4 < 10
	return digits && (m[0] >= 0x01 && m[0] <= 0x09 || m[0] >= 0x10 && m[0] <= 0x12)
}

// Ends returns the first moment after the month in zone.
func (m Month) Ends(zone *time.Location) time.Time {
	month, year := int(m[0]>>4)*10+int(m[0]&0xF), int(m[1]>>4)*10+int(m[1]&0xF)
	return time.Date(2000+year, time.Month(month)+1, 1, 0, 0, 0, 0, zone)
}

// over reports whether the month is past at now.
func (m Month) over(now time.Time, zone *time.Location) bool {
	return m != Month{} && !now.Before(m.Ends(zone))
}

// CA is the root of the scheme: a key that signs issuer certificates.
type CA struct {
	Service ServiceID
	RID     RID
	Index   byte
	Expires Month // the zero Month for a bare key that never expires
	Key     *sm.PublicKey
	// Signature is the CA's own over its file; zero for a bare key.
	Signature [sm.SignatureSize]byte
}

// ParseCA reads a CA file of CASize bytes and verifies its own signature. The file proves
// only that it is whole: whether to trust it is for who brings it to decide.
func ParseCA(b []byte) (*CA, error) {
	if len(b) != CASize {
		return nil, fmt.Errorf("%w: CA file of %d bytes, want %d", Malformed, len(b), CASize)
	}
	if b[0] != caFormat || b[caAlgorithm] != algorithmSM2 ||
		b[caAlgorithm+1] != caParameter || b[caAlgorithm+2] != caKeyLength {
		return nil, fmt.Errorf("%w: CA file of a format, algorithm or key length that is unknown",
			Malformed)
	}
	ca := &CA{Service: ServiceID(b[caService:]), RID: RID(b[caRID:]), Index: b[caIndex],
		Expires: Month(b[caExpiry:]), Signature: [sm.SignatureSize]byte(b[caSignature:])}
	if !ca.Expires.valid() {
		return nil, fmt.Errorf("%w: CA file expires in month %v, want MMYY", Malformed, ca.Expires)
	}
	var err error
	if ca.Key, err = sm.ParsePublicKey(b[caKey:caSignature]); err != nil {
		return nil, fmt.Errorf("%w: CA key: %w", Malformed, err)
	}
	if !ca.Key.Verify(b[:caSignature], ca.Signature[:]) {
		return nil, fmt.Errorf("%w: the CA file is not signed by its own key", CertificateWrong)
	}
	return ca, nil
}

// AppendCA appends the CA file of ca, signed by its private key, to dst and stores the
// signature in ca. The key must be the one of ca.Key; a nil ca.Key is set.
func AppendCA(dst []byte, ca *CA, key *sm.PrivateKey, random io.Reader) ([]byte, error) {
	if ca.Key == nil {
		ca.Key = key.Public()
	}
	if !ca.Key.Equal(key.Public()) || !ca.Expires.valid() {
		return nil, fmt.Errorf("cannot make a CA file: its key is another, or month %v is not MMYY",
			ca.Expires)
	}
	from := len(dst)
	point := ca.Key.Point()
	dst = append(append(append(dst, caFormat), ca.Service[:]...), ca.RID[:]...)
	dst = append(dst, ca.Index, ca.Expires[0], ca.Expires[1],
		algorithmSM2, caParameter, caKeyLength)
	dst = append(dst, point[1:]...)
	var err error
	if ca.Signature, err = key.Sign(random, dst[from:]); err != nil {
		return nil, fmt.Errorf("cannot make a CA file: %w", err)
	}
	return append(dst, ca.Signature[:]...), nil
}

// Serial is the number of a certificate of one issuer.
type Serial [3]byte

// String returns 6 hex digits.
func (s Serial) String() string { return hex.EncodeToString(s[:]) }

// CertificateID names an issuer certificate, as on a revocation list.
type CertificateID struct {
	Issuer IssuerID
	Serial Serial
}

// Certificate is an issuer certificate: its parsed fields and its bytes.
type Certificate struct {
	Service ServiceID // not covered by a signature of the CA
	CAIndex byte      // not covered by a signature of the CA
	ID      CertificateID
	Expires Month
	Key     [sm.CompressedSize]byte
	raw     [CertificateSize]byte
}

// ParseCertificate reads an issuer certificate of CertificateSize bytes. It checks the
// form; VerifyUnder checks the signature.
func ParseCertificate(b []byte) (Certificate, error) {
	if len(b) != CertificateSize {
		return Certificate{}, fmt.Errorf("%w: issuer certificate of %d bytes, want %d",
			Malformed, len(b), CertificateSize)
	}
	if b[0] != certificateFormat || b[certSigned] != issuerFormat {
		return Certificate{}, fmt.Errorf("%w: issuer certificate of format %02x, issuer id of "+
			"format %02x, want %02x and %02x", Malformed, b[0], b[certSigned],
			certificateFormat, issuerFormat)
	}
	if b[certAlgorithm] != algorithmSM2 || b[certAlgorithm+1] != algorithmSM2 ||
		b[certAlgorithm+2] != issuerParameter || b[certAlgorithm+3] != issuerKeyLength ||
		!compressed(b[certKey]) {
		return Certificate{}, fmt.Errorf("%w: issuer certificate with an algorithm or key form "+
			"that is unknown", Malformed)
	}
	c := Certificate{Service: ServiceID(b[certService:]), CAIndex: b[certCA],
		ID:      CertificateID{IssuerID(b[certIssuer:]), Serial(b[certSerial:])},
		Expires: Month(b[certExpiry:]), Key: [sm.CompressedSize]byte(b[certKey:]),
		raw: [CertificateSize]byte(b)}
	if !c.Expires.valid() {
		return Certificate{}, fmt.Errorf("%w: issuer certificate expires in month %v, want MMYY",
			Malformed, c.Expires)
	}
	return c, nil
}

// compressed reports whether a point that begins with b is compressed.
func compressed(b byte) bool { return b == 2 || b == 3 }

// Bytes returns the certificate's CertificateSize bytes.
func (c *Certificate) Bytes() []byte { return append([]byte(nil), c.raw[:]...) }

// SignedBytes returns what the CA signs: from the format of the issuer id to the key.
func (c *Certificate) SignedBytes() []byte {
	return append([]byte(nil), c.raw[certSigned:certSignature]...)
}

// Signature returns the CA's signature, raw.
func (c *Certificate) Signature() [sm.SignatureSize]byte {
	return [sm.SignatureSize]byte(c.raw[certSignature:])
}

// VerifyUnder reports whether the CA's key signed the certificate.
func (c *Certificate) VerifyUnder(ca *sm.PublicKey) bool {
	return ca.Verify(c.raw[certSigned:certSignature], c.raw[certSignature:])
}

// AppendCertificate appends the certificate of c's fields, signed by the CA's key, to dst.
func AppendCertificate(dst []byte, c *Certificate, ca *sm.PrivateKey,
	random io.Reader) ([]byte, error) {
	if !c.Expires.valid() || !compressed(c.Key[0]) {
		return nil, fmt.Errorf("cannot make a certificate: month %v is not MMYY, or the key is "+
			"not compressed", c.Expires)
	}
	from := len(dst)
	dst = append(append(dst, certificateFormat), c.Service[:]...)
	dst = append(append(dst, c.CAIndex, issuerFormat), c.ID.Issuer[:]...)
	dst = append(append(dst, c.Expires[:]...), c.ID.Serial[:]...)
	dst = append(dst, algorithmSM2, algorithmSM2, issuerParameter, issuerKeyLength)
	dst = append(dst, c.Key[:]...)
	signature, err := ca.Sign(random, dst[from+certSigned:])
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	return append(dst, signature[:]...), nil
}

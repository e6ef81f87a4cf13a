package qr

// Refusal says why a code is not accepted. It is an error, so that errors.Is finds it in
// what Verify returns. Numbers are in the order of precedence: the first that applies is
// told. They are append-only within a release and not stored.
type Refusal uint8

// The refusals.
const (
	// Malformed: the bytes are not the layout. The error that wraps it says where.
	Malformed Refusal = iota + 1
	// UnknownCA: no CA of the certificate's index is trusted.
	UnknownCA
	// CAExpired: the month of the CA is over.
	CAExpired
	// CertificateWrong: the CA did not sign the issuer's certificate, or it holds no key.
	CertificateWrong
	// CertificateRevoked: the issuer's certificate is on the revocation list.
	CertificateRevoked
	// CertificateExpired: the month of the issuer's certificate is over.
	CertificateExpired
	// IssuerMismatch: the code names an institution that the certificate is not for.
	IssuerMismatch
	// IssuerSignatureWrong: the issuer did not sign the card and the user's key.
	IssuerSignatureWrong
	// UserSignatureWrong: the user's key did not sign the code, or it is no key.
	UserSignatureWrong
	// AuthorisationExpired: the user's key is no longer authorised.
	AuthorisationExpired
	// CodeExpired: the code was made too long ago.
	CodeExpired
	// NotYetValid: the code was made in the future.
	NotYetValid
	// AmountOverLimit: the amount is above the limit for one trip, or negative.
	AmountOverLimit
	// AccountTypeRefused: the profile does not allow the account type.
	AccountTypeRefused
	refusalEnd
)

// The codes of a validator's library (DOMAIN.md section 5.3).
const (
	sdkNoCA            = -101
	sdkCertificate     = -102
	sdkIssuerSignature = -103
	sdkUserSignature   = -104
	sdkExpired         = -105
	sdkAmount          = -106
)

// refusals has one line for each Refusal: its name and the library's code, 0 where that
// has none.
var refusals = [refusalEnd]struct {
	name string
	code int
}{
	0:                    {"accepted", 0},
	Malformed:            {"code is malformed", 0},
	UnknownCA:            {"no CA with this index", sdkNoCA},
	CAExpired:            {"CA has expired", sdkExpired},
	CertificateWrong:     {"issuer certificate is wrong", sdkCertificate},
	CertificateRevoked:   {"issuer certificate is revoked", sdkCertificate},
	CertificateExpired:   {"issuer certificate has expired", sdkExpired},
	IssuerMismatch:       {"issuing institution is not the certificate's", sdkCertificate},
	IssuerSignatureWrong: {"issuer signature is wrong", sdkIssuerSignature},
	UserSignatureWrong:   {"user signature is wrong", sdkUserSignature},
	AuthorisationExpired: {"authorisation of the user key has expired", sdkExpired},
	CodeExpired:          {"code has expired", sdkExpired},
	NotYetValid:          {"code is not yet valid", 0},
	AmountOverLimit:      {"amount is above the limit", sdkAmount},
	AccountTypeRefused:   {"account type is not allowed", 0},
}

// Error returns what is wrong, without any value of the code.
func (r Refusal) Error() string {
	if r >= refusalEnd {
		return "code is refused"
	}
	return refusals[r].name
}

// SDKCode returns the code that a validator's library shows for r, -101 to -106, or 0
// where it has none (Malformed, NotYetValid, AccountTypeRefused).
func (r Refusal) SDKCode() int {
	if r >= refusalEnd {
		return 0
	}
	return refusals[r].code
}

// Refusals returns all refusals in the order of precedence.
func Refusals() []Refusal {
	all := make([]Refusal, 0, refusalEnd-1)
	for r := Malformed; r < refusalEnd; r++ {
		all = append(all, r)
	}
	return all
}

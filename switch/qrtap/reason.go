package qrtap

import (
	"errors"

	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ReasonOf returns the reason of a refused code, as gate, desk and holder are told; ReasonNone
// for an error that is no refusal of a code.
func ReasonOf(err error) txn.Reason {
	var r qr.Refusal
	if !errors.As(err, &r) {
		return txn.ReasonNone
	}
	switch r {
	case qr.UnknownCA:
		return txn.CodeNoCA
	case qr.CertificateWrong, qr.CertificateRevoked, qr.IssuerMismatch:
		return txn.CodeCertificate
	case qr.IssuerSignatureWrong:
		return txn.CodeIssuerSignature
	case qr.UserSignatureWrong:
		return txn.CodeUserSignature
	case qr.CAExpired, qr.CertificateExpired, qr.AuthorisationExpired, qr.CodeExpired:
		return txn.CodeExpired
	case qr.NotYetValid:
		return txn.CodeNotYetValid
	case qr.AmountOverLimit:
		return txn.CodeOverLimit
	case qr.AccountTypeRefused:
		return txn.CodeAccountType
	default:
		return txn.CodeMalformed
	}
}

// ValidatorCode returns the code that a validator's library shows for a reason, -101 to -106
// (DOMAIN.md section 5.3), 0 where it has none.
func ValidatorCode(r txn.Reason) int {
	switch r {
	case txn.CodeNoCA:
		return -101
	case txn.CodeCertificate:
		return -102
	case txn.CodeIssuerSignature:
		return -103
	case txn.CodeUserSignature:
		return -104
	case txn.CodeExpired:
		return -105
	case txn.CodeOverLimit:
		return -106
	default:
		return 0
	}
}

// authentic reports whether Verify refuses for err only after it has proven every signature: what
// the code says is its issuer's and its holder's word, and only the moment or the price is wrong.
func authentic(err error) bool {
	for _, r := range [...]qr.Refusal{qr.AuthorisationExpired, qr.CodeExpired, qr.NotYetValid,
		qr.AmountOverLimit, qr.AccountTypeRefused} {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

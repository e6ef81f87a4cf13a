package receipt_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/receipt"
)

// withoutBooks is a certificate as they were given before books were in them.
const withoutBooks = `{"algorithm":"ed25519","fingerprint":"7d0d3094a93a4eac59736d65dbd169133d21d299deb08b` +
	`1d80a886f370f0f76e","key_id":"city-ed","signature":"234d76ded6614a24969b8c27952b9f78` +
	`cf7b0b8f75375315be223664ec610b2ce559cfd4e935f9efc327a68fd245acc7a913abd9cebcab6f0eea` +
	`238a83b15609","statement":{"buckets":[{"bucket":0,"count":10,"epoch":1,"first":1,"he` +
	`ad":"0100000000000000000000000000000000000000000000000000000000000000","last":10},{"` +
	`bucket":0,"count":5,"epoch":2,"first":1,"head":"020000000000000000000000000000000000` +
	`0000000000000000000000000000","last":5},{"bucket":7,"count":0,"epoch":1,"first":4,"h` +
	`ead":"0300000000000000000000000000000000000000000000000000000000000000","last":3}],"` +
	`business_date":"2026-11-21","chain":"city-a","counts":{"settlement":15,"store":15,"s` +
	`tream":15,"warehouse":15},"issued_at":"2026-11-21T08:00:01.005Z","issuer":"City Card` +
	`","kind":"day_certificate","number":1,"previous":"0000000000000000000000000000000000` +
	`000000000000000000000000000000","totals":[{"amount_fen":-5000,"count":2,"name":"load` +
	`s"},{"amount_fen":2600,"count":13,"name":"taps"}],"version":1}}`

// TestCertificatesWithoutBooks: one that was given before books were certified is read, verified
// and followed, and its bytes stay as they were.
func TestCertificatesWithoutBooks(t *testing.T) {
	by, list := signers(t)
	got, err := trust(t, list...).VerifyDay([]byte(withoutBooks))
	if err != nil {
		t.Fatal(err)
	}
	if got.Books != [32]byte{} || string(seal(t, got, by[1])) != withoutBooks {
		t.Errorf("%+v", got)
	}
	after := next(t, got)
	after.Books = [32]byte{9}
	if err := after.Follows(got); err != nil {
		t.Error(err)
	}
}

// TestBooksAreSigned: the hash of the books is in the bytes, is read back, and cannot be changed,
// left out or emptied.
func TestBooksAreSigned(t *testing.T) {
	const field = `"books":"abcd000000000000000000000000000000000000000000000000000000000000",`
	by, list := signers(t)
	keys := trust(t, list...)
	d := day()
	d.Books = [32]byte{0xab, 0xcd}
	b, err := receipt.Canonical(d)
	if err != nil || !strings.HasPrefix(string(b), "{"+field+`"buckets":[`) {
		t.Fatalf("%s\n%v", b, err)
	}
	empty := bytes.Replace(b, []byte("abcd"), []byte("0000"), 1)
	if _, err := receipt.ParseStatement(empty); !errors.Is(err, receipt.ErrNotCanonical) {
		t.Errorf("empty books: %v", err)
	}
	for _, signer := range by {
		good := seal(t, d, signer)
		if got, err := keys.VerifyDay(good); err != nil || got.Books != d.Books {
			t.Errorf("%s: %+v %v", signer.Algorithm(), got, err)
		}
		for name, with := range map[string]string{"left out": "",
			"changed": strings.Replace(field, "ab", "ac", 1)} {
			_, err := keys.VerifyDay([]byte(edit(t, good, field, with)))
			if !errors.Is(err, receipt.ErrSignature) {
				t.Errorf("%s of %s: %v", name, signer.Algorithm(), err)
			}
		}
	}
}

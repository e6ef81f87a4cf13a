package qr_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// TestLayout reads a code by the offsets of DOMAIN.md section 5.1, written here once more, and
// compares with what the methods say.
func TestLayout(t *testing.T) {
	for _, n := range []int{0, 9} {
		k := kit(t, qr.Profile{})
		s := k.Spec(3)
		s.AccountType, s.Platform, s.Custom = 5, [4]byte{9, 8, 7, 6}, bytes.Repeat([]byte{0xC0}, n)
		b := code(t, issue(t, k, s), now)
		c, err := new(qr.Profile).Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		cert, user := c.Certificate(), c.UserKey()
		issuerSig, userSig, caSig := c.IssuerSignature(), c.UserSignature(), cert.Signature()
		institution, platform := c.Institution(), c.Platform()
		unix := func(at time.Time) []byte {
			return binary.BigEndian.AppendUint32(nil, uint32(at.Unix()))
		}
		for _, f := range []struct {
			name     string
			from, to int
			got      []byte
		}{
			{"version", 0, 1, []byte{c.Version()}},
			{"length", 1, 3, binary.BigEndian.AppendUint16(nil, uint16(c.Length()))},
			{"certificate", 3, 120, cert.Bytes()},
			{"certificate format", 3, 4, []byte{0x24}},
			{"service", 4, 8, cert.Service[:]},
			{"CA index", 8, 9, []byte{cert.CAIndex}},
			{"signed by the CA", 9, 56, cert.SignedBytes()},
			{"certificate issuer", 10, 14, cert.ID.Issuer[:]},
			{"certificate expiry", 14, 16, cert.Expires[:]},
			{"serial", 16, 19, cert.ID.Serial[:]},
			{"algorithms", 19, 23, []byte{4, 4, 0, 33}},
			{"issuer key", 23, 56, cert.Key[:]},
			{"CA signature", 56, 120, caSig[:]},
			{"payment account", 120, 136, []byte(c.PayAccount())},
			{"card account", 136, 146, unhex(t, c.CardAccount())},
			{"institution", 146, 150, institution[:]},
			{"platform", 150, 154, platform[:]},
			{"account type", 154, 155, []byte{c.AccountType()}},
			{"limit", 155, 158, []byte{0, byte(c.LimitFen() >> 8), byte(c.LimitFen())}},
			{"user key", 158, 191, user[:]},
			{"authorised until", 191, 195, unix(c.AuthorisedUntil())},
			{"validity", 195, 197, binary.BigEndian.AppendUint16(nil, uint16(c.Validity().Seconds()))},
			{"custom length", 197, 198, []byte{byte(n)}},
			{"custom data", 198, 198 + n, c.Custom()},
			{"signed by the issuer", 3, 198 + n, c.IssuerSigned()},
			{"tag", 198 + n, 199 + n, []byte{0x15}},
			{"issuer signature", 199 + n, 263 + n, issuerSig[:]},
			{"generated", 263 + n, 267 + n, unix(c.GeneratedAt())},
			{"signed by the user", 0, 267 + n, c.UserSigned()},
			{"second tag", 267 + n, 268 + n, []byte{0x15}},
			{"user signature", 268 + n, 332 + n, userSig[:]},
		} {
			if !bytes.Equal(b[f.from:f.to], f.got) {
				t.Errorf("%s: %X, bytes %d to %d are %X", f.name, f.got, f.from, f.to, b[f.from:f.to])
			}
		}
	}
}

// TestSignatureFirstLayout: with this order the signature stands at 197 and covers what is
// before it, and the custom data comes after it.
func TestSignatureFirstLayout(t *testing.T) {
	p := qr.Profile{Order: qr.SignatureFirst}
	k := kit(t, p)
	s := k.Spec(3)
	s.Custom = []byte("custom")
	b := code(t, issue(t, k, s), now)
	c, err := p.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	signature := c.IssuerSignature()
	if b[197] != 0x15 || !bytes.Equal(b[198:262], signature[:]) || b[262] != 6 ||
		string(b[263:269]) != "custom" || !bytes.Equal(b[3:197], c.IssuerSigned()) {
		t.Errorf("%X", b)
	}
	issuer, err := sm.ParsePublicKey(c.Certificate().Key[:])
	if err != nil || !issuer.Verify(c.IssuerSigned(), signature[:]) {
		t.Errorf("the issuer's signature: %v", err)
	}
	b[264] ^= 1 // only the user signs the custom data
	if _, err := verifier(t, k, qr.Options{Profile: p}).Verify(b, qr.Tap{Now: now}); !errors.Is(err,
		qr.UserSignatureWrong) {
		t.Errorf("changed custom data: %v", err)
	}
}

// TestEveryMonth tries all two-byte months: 1200 are months.
func TestEveryMonth(t *testing.T) {
	k := kit(t, qr.Profile{})
	b, good := bytes.Clone(k.CertificateFile), 0
	for m := range 1 << 16 {
		b[11], b[12] = byte(m>>8), byte(m)
		digits := fmt.Sprintf("%04X", m)
		month, year := digits[:2], digits[2:]
		want := month >= "01" && month <= "12" && strings.Trim(digits, "0123456789") == "" &&
			year <= "99"
		c, err := qr.ParseCertificate(b)
		if want != (err == nil) || err != nil && !errors.Is(err, qr.Malformed) {
			t.Fatalf("%s: %v", digits, err)
		}
		if !want {
			continue
		}
		good++
		if made, err := qr.MakeMonth(2000+atoi(year), time.Month(atoi(month))); err != nil ||
			made != c.Expires || made.String() != digits {
			t.Fatalf("%s is made as %v, %v", digits, made, err)
		}
		if end := c.Expires.Ends(time.UTC).Add(-time.Second); end.Format("0106") != digits {
			t.Fatalf("%s ends at %v", digits, end)
		}
	}
	if good != 1200 {
		t.Errorf("%d months", good)
	}
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

// TestEveryDigit tries all values of one byte of each account.
func TestEveryDigit(t *testing.T) {
	k := kit(t, qr.Profile{})
	b := code(t, issue(t, k, k.Spec(1)), now)
	p := &qr.Profile{}
	for v := range 256 {
		card, pay := bytes.Clone(b), bytes.Clone(b)
		card[140], pay[130] = byte(v), byte(v)
		_, err := p.Parse(card)
		if decimal := strings.Trim(fmt.Sprintf("%02X", v), "0123456789") == ""; decimal != (err == nil) {
			t.Errorf("card byte %02X: %v", v, err)
		}
		if _, err = p.Parse(pay); (v >= '0' && v <= '9') != (err == nil) {
			t.Errorf("payment byte %02X: %v", v, err)
		}
	}
}

// TestAnySpec: what any issuer may write is made, read and verified under any profile.
func TestAnySpec(t *testing.T) {
	digits := func(n int) *rapid.Generator[string] {
		return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), n, n, -1)
	}
	rapid.Check(t, func(r *rapid.T) {
		p := qr.Profile{Order: qr.Order(rapid.IntRange(0, 1).Draw(r, "order")),
			Epoch:    rapid.SampledFrom([]int64{0, qr.Epoch2000}).Draw(r, "epoch"),
			Versions: []byte{0x81, 0xFF}}
		k, err := qr.NewKit(p, qr.NewSeedReader([]byte{rapid.Byte().Draw(r, "seed")}), now)
		if err != nil {
			r.Fatal(err)
		}
		s := k.Spec(1)
		s.Version = rapid.SampledFrom(p.Versions).Draw(r, "version")
		s.PayAccount, s.CardAccount = digits(16).Draw(r, "pay"), digits(20).Draw(r, "card")
		s.AccountType = rapid.Byte().Draw(r, "type")
		s.LimitFen = rapid.Int64Range(0, 1<<24-1).Draw(r, "limit")
		s.Validity = time.Duration(rapid.IntRange(0, 65535).Draw(r, "validity")) * time.Second
		s.Custom = rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(r, "custom")
		card, err := k.Issue(s)
		if err != nil {
			r.Fatal(err)
		}
		b, err := card.Code(now)
		if err != nil {
			r.Fatal(err)
		}
		v, err := qr.NewVerifier(qr.Options{Profile: p})
		if err != nil {
			r.Fatal(err)
		}
		if err := k.Install(v); err != nil {
			r.Fatal(err)
		}
		c, err := v.Verify(b, qr.Tap{Now: now, AmountFen: s.LimitFen})
		if err != nil {
			r.Fatal(err)
		}
		if c.PayAccount() != s.PayAccount || c.CardAccount() != s.CardAccount ||
			c.AccountType() != s.AccountType || c.LimitFen() != s.LimitFen ||
			c.Validity() != s.Validity || !bytes.Equal(c.Custom(), s.Custom) ||
			c.Version() != s.Version || !c.GeneratedAt().Equal(now) {
			r.Fatalf("%+v became %X", s, c.Bytes())
		}
		if _, err := v.Verify(b, qr.Tap{Now: now, AmountFen: s.LimitFen + 1}); !errors.Is(err,
			qr.AmountOverLimit) {
			r.Fatal(err)
		}
	})
}

// TestRevocationListFull: at RevokedMax nothing more gets in, and the list that is there holds.
func TestRevocationListFull(t *testing.T) {
	k := kit(t, qr.Profile{})
	v := verifier(t, k, qr.Options{})
	cert, err := qr.ParseCertificate(k.CertificateFile)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]qr.CertificateID, qr.RevokedMax)
	for i := range list {
		binary.BigEndian.PutUint32(list[i].Issuer[:], uint32(i)|1<<31)
	}
	list[0] = cert.ID
	if err := v.SetRevoked(list); err != nil {
		t.Fatal(err)
	}
	if err := v.Revoke(qr.CertificateID{}); !errors.Is(err, qr.ErrTooMany) {
		t.Errorf("one above the limit: %v", err)
	}
	if _, err := v.Verify(code(t, issue(t, k, k.Spec(1)), now), qr.Tap{Now: now}); !errors.Is(err,
		qr.CertificateRevoked) {
		t.Errorf("%v", err)
	}
}

// TestIssuerKeyThatIsNone: a certificate that the CA signed over bytes that are no point, and a
// user key that the issuer signed likewise.
func TestIssuerKeyThatIsNone(t *testing.T) {
	caKey, err := sm.GenerateKey(qr.NewSeedReader([]byte("ca")))
	if err != nil {
		t.Fatal(err)
	}
	random := qr.NewSeedReader([]byte("nonce"))
	cert := &qr.Certificate{CAIndex: 9, ID: qr.CertificateID{Issuer: qr.IssuerID{1, 1}},
		Expires: qr.Month{0x12, 0x40}, Key: [33]byte{2, 32: 5}}
	k := kit(t, qr.Profile{})
	file, err := qr.AppendCertificate(nil, cert, caKey, random)
	if err != nil {
		t.Fatal(err)
	}
	s := k.Spec(1)
	a, err := qr.Profile{}.Authorise(&s, file, caKey.Public(), qr.Signer{Key: caKey, Random: random})
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Code(now, qr.Signer{Key: caKey, Random: random})
	if err != nil {
		t.Fatal(err)
	}
	v, err := qr.NewVerifier(qr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Trust(&qr.CA{Index: 9, Key: caKey.Public()}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(b, qr.Tap{Now: now}); !errors.Is(err, qr.CertificateWrong) {
		t.Errorf("an issuer key that is no point: %v", err)
	}
}

// TestMakingFilesRefuses: files that could not be read back are not made.
func TestMakingFilesRefuses(t *testing.T) {
	random := qr.NewSeedReader([]byte("x"))
	key, err := sm.GenerateKey(random)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sm.GenerateKey(random)
	if err != nil {
		t.Fatal(err)
	}
	good := qr.Month{0x12, 0x40}
	for name, ca := range map[string]*qr.CA{"no month": {}, "month": {Expires: qr.Month{0x13, 0x40}},
		"another key": {Expires: good, Key: other.Public()}} {
		if b, err := qr.AppendCA(nil, ca, key, random); err == nil {
			t.Errorf("%s: %X", name, b)
		}
	}
	for name, c := range map[string]*qr.Certificate{"no month": {Key: key.Public().Compressed()},
		"no key": {Expires: good}} {
		if b, err := qr.AppendCertificate(nil, c, key, random); err == nil {
			t.Errorf("%s: %X", name, b)
		}
	}
	empty := bytes.NewReader(nil)
	if _, err := qr.AppendCA(nil, &qr.CA{Expires: good}, key, empty); err == nil {
		t.Error("a CA file without random bytes")
	}
	c := &qr.Certificate{Expires: good, Key: key.Public().Compressed()}
	if _, err := qr.AppendCertificate(nil, c, key, empty); err == nil {
		t.Error("a certificate without random bytes")
	}
	if _, err := qr.NewKit(qr.Profile{}, empty, now); err == nil {
		t.Error("a kit without random bytes")
	}
	if _, err := qr.NewKit(qr.Profile{Skew: -1}, random, now); err == nil {
		t.Error("a kit of a wrong profile")
	}
}

// TestCALives: a CA that comes in by its file verifies like one that comes in as a bare key.
func TestCALives(t *testing.T) {
	k := kit(t, qr.Profile{})
	ca, err := qr.ParseCA(k.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	b := code(t, issue(t, k, k.Spec(1)), now)
	for name, trusted := range map[string]*qr.CA{"file": ca, "key": {Index: ca.Index, Key: ca.Key}} {
		v, err := qr.NewVerifier(qr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Trust(trusted); err != nil {
			t.Fatal(err)
		}
		c, err := v.Verify(b, qr.Tap{Now: now})
		if err != nil || hex.EncodeToString(c.Bytes()) != hex.EncodeToString(b) {
			t.Errorf("%s: %v", name, err)
		}
		bad := *trusted
		bad.Expires = qr.Month{0x20, 0x40}
		if v.Trust(&bad) == nil {
			t.Errorf("%s: trusted with a month that is none", name)
		}
	}
}

// TestAllocations: a known card costs the parsed code and the library's own.
func TestAllocations(t *testing.T) {
	k := kit(t, qr.Profile{})
	v := verifier(t, k, qr.Options{})
	b := code(t, issue(t, k, k.Spec(1)), now)
	if n := testing.AllocsPerRun(50, func() {
		if _, err := v.Verify(b, qr.Tap{Now: now}); err != nil {
			t.Fatal(err)
		}
	}); n > 16 {
		t.Errorf("%v allocations", n)
	}
}

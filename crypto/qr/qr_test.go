package qr_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// now is within every synthetic validity.
var now = time.Date(2026, 11, 22, 8, 0, 0, 0, time.FixedZone("UTC+8", 8*3600))

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func kit(t testing.TB, p qr.Profile) *qr.Kit {
	t.Helper()
	k, err := qr.NewKit(p, qr.NewSeedReader([]byte(t.Name())), now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// verifier trusts the kit.
func verifier(t testing.TB, k *qr.Kit, o qr.Options) *qr.Verifier {
	t.Helper()
	v, err := qr.NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Install(v); err != nil {
		t.Fatal(err)
	}
	return v
}

func issue(t testing.TB, k *qr.Kit, s qr.Spec) *qr.Card {
	t.Helper()
	c, err := k.Issue(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func code(t testing.TB, c *qr.Card, at time.Time) []byte {
	t.Helper()
	b, err := c.Code(at)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// profiles are all that the tests run under.
func profiles() map[string]qr.Profile {
	return map[string]qr.Profile{
		"standard": {AccountTypes: []byte{0, 1}},
		"metro": {Versions: []byte{0x82, 0x81}, Order: qr.SignatureFirst, Epoch: qr.Epoch2000,
			AccountTypes: []byte{7}},
		"tolerant": {Skew: time.Minute, ZoneTolerance: 8 * time.Hour, AccountTypes: []byte{0},
			Zone: time.UTC},
	}
}

// TestEveryRefusal: under every profile, the kit's code of each kind is refused for just that
// reason, first from cold caches and then from warm ones, and a valid one is accepted.
func TestEveryRefusal(t *testing.T) {
	for name, p := range profiles() {
		k := kit(t, p)
		for _, caches := range []int{0, -1} {
			v := verifier(t, k, qr.Options{Profile: p, Issuers: caches, Authorisations: caches})
			for i, want := range append(qr.Refusals(), 0) {
				b, tap, err := k.Refused(want, i)
				if err != nil {
					t.Fatalf("%s: %v: %v", name, want, err)
				}
				for range 2 {
					c, err := v.Verify(b, tap)
					if want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
						t.Errorf("%s: want %v, got %v", name, want, err)
					}
					if (c == nil) != (want == qr.Malformed) {
						t.Errorf("%s: %v: code %v", name, want, c)
					}
				}
			}
		}
	}
}

// TestSDKCodes pins the codes of DOMAIN.md section 5.3.
func TestSDKCodes(t *testing.T) {
	want := map[qr.Refusal]int{qr.UnknownCA: -101, qr.CAExpired: -105,
		qr.CertificateWrong: -102, qr.CertificateRevoked: -102, qr.CertificateExpired: -105,
		qr.IssuerMismatch: -102, qr.IssuerSignatureWrong: -103, qr.UserSignatureWrong: -104,
		qr.AuthorisationExpired: -105, qr.CodeExpired: -105, qr.AmountOverLimit: -106}
	names := map[string]bool{}
	for _, r := range qr.Refusals() {
		if r.SDKCode() != want[r] {
			t.Errorf("%v: %d, want %d", r, r.SDKCode(), want[r])
		}
		names[r.Error()] = true
	}
	if len(names) != len(qr.Refusals()) {
		t.Error("two refusals have one text")
	}
	if r := qr.Refusal(200); r.SDKCode() != 0 || r.Error() == "" {
		t.Error("an unknown refusal has a code or no text")
	}
}

// TestPrecedence: of two reasons the earlier is told.
func TestPrecedence(t *testing.T) {
	p := profiles()["standard"]
	k := kit(t, p)
	v := verifier(t, k, qr.Options{Profile: p})
	b, _, err := k.Refused(qr.UserSignatureWrong, 1)
	if err != nil {
		t.Fatal(err)
	}
	late := qr.Tap{Now: now.AddDate(0, 2, 0), AmountFen: -1}
	if _, err := v.Verify(b, late); !errors.Is(err, qr.UserSignatureWrong) {
		t.Errorf("wrong signature and late: %v", err)
	}
	good, _, err := k.Refused(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(good, late); !errors.Is(err, qr.AuthorisationExpired) {
		t.Errorf("authorisation and code expired: %v", err)
	}
	late.Now = now.Add(time.Hour)
	if _, err := v.Verify(good, late); !errors.Is(err, qr.CodeExpired) {
		t.Errorf("code expired and amount negative: %v", err)
	}
}

// TestFields: what a Spec says is what Parse reads.
func TestFields(t *testing.T) {
	for name, p := range profiles() {
		for _, n := range []int{0, 1, 255} {
			k := kit(t, p)
			s := k.Spec(7)
			s.Custom, s.LimitFen, s.Validity = bytes.Repeat([]byte{0x15}, n), 1<<24-1, 65535*time.Second
			c, err := p.Parse(code(t, issue(t, k, s), now))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkFields(t, c, s)
			if p.Order == qr.CustomFirst && len(c.IssuerSigned()) != 195+n ||
				p.Order == qr.SignatureFirst && len(c.IssuerSigned()) != 194 {
				t.Errorf("%s: the issuer signs %d bytes", name, len(c.IssuerSigned()))
			}
			if len(c.UserSigned()) != 267+n || c.Length() != 329+n || len(c.Bytes()) != 332+n {
				t.Errorf("%s: the user signs %d bytes of %d", name, len(c.UserSigned()), c.Length())
			}
			key, err := sm.ParsePublicKey(c.Certificate().Key[:])
			if err != nil || !c.VerifyIssuer(key) || c.VerifyUser(key) {
				t.Errorf("%s: issuer signature: %v", name, err)
			}
		}
	}
}

func checkFields(t *testing.T, c *qr.Code, s qr.Spec) {
	t.Helper()
	if c.PayAccount() != s.PayAccount || c.CardAccount() != s.CardAccount ||
		c.Card().Digits() != s.CardAccount[1:] {
		t.Error("another account")
	}
	if c.Institution() != s.Institution || c.Platform() != s.Platform ||
		c.AccountType() != s.AccountType || c.LimitFen() != s.LimitFen {
		t.Error("another institution, platform, account type or limit")
	}
	if !c.AuthorisedUntil().Equal(s.AuthorisedUntil) || c.Validity() != s.Validity ||
		!c.GeneratedAt().Equal(now) || !bytes.Equal(c.Custom(), s.Custom) {
		t.Error("another time, validity or custom data")
	}
	id := c.Certificate().ID
	if id.Issuer != s.Institution || id.Serial.String() != "000001" {
		t.Errorf("certificate %v", id)
	}
}

// TestSynthetic is a code of the layout with published test keys, so that a change of the
// layout cannot hide in a generator that changes with it. The CA is the key of GM/T 0003.5.
func TestSynthetic(t *testing.T) {
	b := unhex(t, syntheticCode)
	ca, err := sm.ParsePublicKey(unhex(t, "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF"+
		"356F35020CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := qr.NewVerifier(qr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Trust(&qr.CA{Index: 0, Key: ca}); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1767225700, 0)
	c, err := v.Verify(b, qr.Tap{Now: at, AmountFen: 2000})
	if err != nil {
		t.Fatal(err)
	}
	if c.CardAccount() != "03104000000000000001" || c.Certificate().Expires.String() != "1299" ||
		c.GeneratedAt().Unix() != 1767225600 || c.AuthorisedUntil().Unix() != 1893456000 ||
		c.Validity() != 300*time.Second || c.LimitFen() != 2000 {
		t.Error("another field")
	}
	if _, err := v.Verify(b, qr.Tap{Now: at, AmountFen: 2001}); !errors.Is(err, qr.AmountOverLimit) {
		t.Errorf("amount over the limit: %v", err)
	}
	for i := range b {
		wrong := bytes.Clone(b)
		wrong[i] ^= 0x01
		if _, err := v.Verify(wrong, qr.Tap{Now: at}); err == nil {
			t.Errorf("byte %d does not count", i)
		}
	}
}

const syntheticCode = "810149240101000000120101000012990000010404002102FF6712D3A7FC0D1B9E01FF47" +
	"1A87EA87525E47C7775039D19304E554DEFE09131F7D01C301AE1A0618E53EA6903BBDA69AC51A6D4336596A43" +
	"DCEAB6D9A868B930F22932A77F7D85F7F3751652CBBD1E6D651700BB73817523967C71493EC4F7303030303030" +
	"30303030303030303031031040000000000000010101000000000001000007D0021E5F89A574082C8B3611FBA8" +
	"D065F308B48F64EEEF71303C75BA8E95D5BE894270DBD880012C001593BD93D7D95592333D70C099C52BE4685B" +
	"A1B02F7D80DDBAE4BF07844FDF3A33DA69CEC2A95858D3C2B149C15A905DC93395C2D53B36AB8AC0D0703715B9" +
	"7BE96955B900159482C7E022749CFCDD665629F9642A1A95D989F00620ADD263CEA4409A1ED6A1E6DDDFCE565A" +
	"5FDF3F2C510005BCDDAFE7C8D40B5E03CF4E8065D645122B9180"

// TestTimes walks over both ends of every window.
func TestTimes(t *testing.T) {
	const skew = 30 * time.Second
	standard, tolerant := qr.Profile{Skew: skew}, qr.Profile{Skew: skew, ZoneTolerance: 8 * time.Hour}
	window := 5*time.Minute + skew
	for _, c := range []struct {
		name  string
		p     qr.Profile
		after time.Duration // from the generation to the tap
		want  error
	}{
		{"at once", standard, 0, nil}, {"last moment", standard, window, nil},
		{"too late", standard, window + time.Second, qr.CodeExpired},
		{"clock behind", standard, -window, nil},
		{"future", standard, -window - time.Second, qr.NotYetValid},
		{"8 h late", standard, 8 * time.Hour, qr.CodeExpired},
		{"8 h late, tolerated", tolerant, 8 * time.Hour, nil},
		{"8 h early, tolerated", tolerant, -8*time.Hour + window, nil},
		{"4 h late, not tolerated", tolerant, 4 * time.Hour, qr.CodeExpired},
		{"past the tolerance", tolerant, 8*time.Hour + window + time.Second, qr.CodeExpired},
		{"before the tolerance", tolerant, -8*time.Hour - window - time.Second, qr.NotYetValid},
		{"last day", standard, 30 * 24 * time.Hour, qr.CodeExpired},
		{"after the last day", standard, 30*24*time.Hour + time.Second, qr.AuthorisationExpired},
		{"after, tolerated", tolerant, 30*24*time.Hour + time.Second, qr.CodeExpired},
	} {
		k := kit(t, c.p)
		v := verifier(t, k, qr.Options{Profile: c.p})
		b := code(t, issue(t, k, k.Spec(1)), now)
		if _, err := v.VerifyChain(b, now.Add(c.after)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestMonthEnds: a certificate holds to the last moment of its month in the profile's zone.
func TestMonthEnds(t *testing.T) {
	m, err := qr.MakeMonth(2026, time.December)
	if err != nil || m.String() != "1226" {
		t.Fatalf("%v, %v", m, err)
	}
	if want := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC); !m.Ends(time.UTC).Equal(want) {
		t.Errorf("ends at %v", m.Ends(time.UTC))
	}
	k := kit(t, qr.Profile{})
	v := verifier(t, k, qr.Options{})
	b := code(t, issue(t, k, k.Spec(1)), now)
	end := time.Date(2037, 1, 1, 0, 0, 0, 0, now.Location())
	if _, err := v.VerifyChain(b, end.Add(-time.Second)); !errors.Is(err, qr.AuthorisationExpired) {
		t.Errorf("last second of the month: %v", err)
	}
	if _, err := v.VerifyChain(b, end); !errors.Is(err, qr.CAExpired) {
		t.Errorf("month over: %v", err)
	}
	for _, bad := range [][2]int{{1999, 1}, {2100, 1}, {2026, 0}, {2026, 13}} {
		if _, err := qr.MakeMonth(bad[0], time.Month(bad[1])); err == nil {
			t.Errorf("month %v is made", bad)
		}
	}
}

// TestParseRefuses changes one thing at a time.
func TestParseRefuses(t *testing.T) {
	k := kit(t, qr.Profile{})
	s := k.Spec(1)
	s.Custom = []byte{1, 2, 3}
	good := code(t, issue(t, k, s), now)
	p := &qr.Profile{}
	if _, err := p.Parse(good); err != nil {
		t.Fatal(err)
	}
	set := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "one byte": {0x81}, "cut": good[:len(good)-1],
		"trailing": append(bytes.Clone(good), 0), "version": set(0, 0x80), "length": set(2, 0x4A),
		"certificate format": set(3, 0x25), "issuer id format": set(9, 0x13),
		"expiry month 00": set(14, 0x00), "expiry month 13": set(14, 0x13),
		"expiry month 0A": set(14, 0x0A), "expiry year": set(15, 0x9A), "signature algorithm": set(19, 5),
		"key algorithm": set(20, 5), "parameter": set(21, 1), "key length": set(22, 0x40),
		"issuer key form": set(23, 4), "payment account": set(120, 'A'), "card account": set(136, 0xA0),
		"card account, low digit": set(145, 0x0F), "user key form": set(158, 4),
		"custom length": set(197, 2), "issuer tag": set(201, 0x14), "user tag": set(270, 0x16),
	} {
		if c, err := p.Parse(b); !errors.Is(err, qr.Malformed) || c != nil && err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	metro := &qr.Profile{Order: qr.SignatureFirst}
	if _, err := metro.Parse(good); !errors.Is(err, qr.Malformed) {
		t.Errorf("the other order: %v", err)
	}
}

func TestCAFile(t *testing.T) {
	k := kit(t, qr.Profile{})
	ca, err := qr.ParseCA(k.CAFile)
	if err != nil || ca.Index != 2 || ca.RID != qr.TransitRID || ca.Service.String() != "01010000" {
		t.Fatalf("%v, %v", ca, err)
	}
	cert, err := qr.ParseCertificate(k.CertificateFile)
	if err != nil || !cert.VerifyUnder(ca.Key) || !bytes.Equal(cert.Bytes(), k.CertificateFile) {
		t.Fatalf("certificate: %v", err)
	}
	signed, s := cert.SignedBytes(), cert.Signature()
	if !ca.Key.Verify(signed, s[:]) || len(signed) != 47 {
		t.Error("the signed bytes are others")
	}
	for i := range k.CAFile {
		b := bytes.Clone(k.CAFile)
		b[i] ^= 1
		if _, err := qr.ParseCA(b); err == nil {
			t.Errorf("byte %d of the CA file does not count", i)
		}
	}
	b := bytes.Clone(k.CAFile)
	b[143] ^= 1
	if _, err := qr.ParseCA(b); !errors.Is(err, qr.CertificateWrong) {
		t.Errorf("wrong signature of the CA file: %v", err)
	}
	for _, b := range [][]byte{nil, k.CAFile[:143], append(bytes.Clone(k.CAFile), 0)} {
		if _, err := qr.ParseCA(b); !errors.Is(err, qr.Malformed) {
			t.Errorf("CA file of %d bytes: %v", len(b), err)
		}
	}
	if _, err := qr.ParseCertificate(k.CertificateFile[1:]); !errors.Is(err, qr.Malformed) {
		t.Errorf("short certificate: %v", err)
	}
}

// TestRevocationBeatsTheCaches, and taking a CA out does.
func TestRevocationBeatsTheCaches(t *testing.T) {
	k := kit(t, qr.Profile{})
	v := verifier(t, k, qr.Options{})
	card := issue(t, k, k.Spec(1))
	tap := qr.Tap{Now: now}
	verify := func(want error) {
		t.Helper()
		if _, err := v.Verify(code(t, card, now), tap); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	verify(nil)
	cert, err := qr.ParseCertificate(k.CertificateFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Revoke(cert.ID); err != nil {
		t.Fatal(err)
	}
	verify(qr.CertificateRevoked)
	if err := v.SetRevoked(nil); err != nil {
		t.Fatal(err)
	}
	verify(nil)
	v.Distrust(2)
	verify(qr.UnknownCA)
	if err := k.Install(v); err != nil {
		t.Fatal(err)
	}
	verify(nil)
	// Another CA of the same index: what the first proved does not count.
	other, err := qr.NewKit(qr.Profile{}, qr.NewSeedReader([]byte("other")), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Install(v); err != nil {
		t.Fatal(err)
	}
	verify(qr.CertificateWrong)
}

// TestCachedAuthorisationStillChecks: what is the card's own each time is checked with warm
// caches too.
func TestCachedAuthorisationStillChecks(t *testing.T) {
	k := kit(t, qr.Profile{})
	v := verifier(t, k, qr.Options{})
	card := issue(t, k, k.Spec(1))
	b := code(t, card, now)
	for range 2 {
		if _, err := v.Verify(b, qr.Tap{Now: now}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range b {
		wrong := bytes.Clone(b)
		wrong[i] ^= 1
		if _, err := v.Verify(wrong, qr.Tap{Now: now}); err == nil {
			t.Errorf("byte %d does not count once the card is known", i)
		}
	}
	if _, err := v.Verify(b, qr.Tap{Now: now.AddDate(11, 0, 0)}); !errors.Is(err, qr.CAExpired) {
		t.Errorf("the CA's end: %v", err)
	}
}

func TestAliases(t *testing.T) {
	p := qr.Profile{Aliases: []qr.IssuerAlias{{Certificate: qr.IssuerID{1, 1, 0, 0},
		Institution: qr.IssuerID{0xFF, 0xFE, 0xFD, 0xFC}}}}
	k := kit(t, p)
	b, tap, err := k.Refused(qr.IssuerMismatch, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier(t, k, qr.Options{Profile: p}).Verify(b, tap); err != nil {
		t.Errorf("an allowed institution: %v", err)
	}
	if _, err := verifier(t, k, qr.Options{}).Verify(b, tap); !errors.Is(err, qr.IssuerMismatch) {
		t.Errorf("without the alias: %v", err)
	}
}

// TestReplayKey: the same use twice has one key; another second or card has another.
func TestReplayKey(t *testing.T) {
	k := kit(t, qr.Profile{})
	p := &qr.Profile{}
	card, other := issue(t, k, k.Spec(1)), issue(t, k, k.Spec(2))
	parse := func(b []byte) *qr.Code {
		t.Helper()
		c, err := p.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := parse(code(t, card, now))
	again := parse(code(t, card, now)) // signed twice
	if first.ReplayKey() != again.ReplayKey() || first.Hash() == again.Hash() {
		t.Error("signing twice is two uses")
	}
	for _, c := range []*qr.Code{parse(code(t, card, now.Add(time.Second))),
		parse(code(t, other, now))} {
		if c.ReplayKey() == first.ReplayKey() {
			t.Error("two uses are one")
		}
	}
}

// TestSeed: one seed is one scheme.
func TestSeed(t *testing.T) {
	scheme := func(seed string) []byte {
		k, err := qr.NewKit(qr.Profile{}, qr.NewSeedReader([]byte(seed)), now)
		if err != nil {
			t.Fatal(err)
		}
		return append(k.CAFile, code(t, issue(t, k, k.Spec(1)), now)...)
	}
	if !bytes.Equal(scheme("a"), scheme("a")) || bytes.Equal(scheme("a"), scheme("b")) {
		t.Error("the seed does not decide")
	}
}

func TestGeneratorRefuses(t *testing.T) {
	k := kit(t, qr.Profile{})
	for name, change := range map[string]func(*qr.Spec){
		"card":       func(s *qr.Spec) { s.CardAccount = "123" },
		"letters":    func(s *qr.Spec) { s.CardAccount = strings.Repeat("x", 20) },
		"pay":        func(s *qr.Spec) { s.PayAccount = "" },
		"limit":      func(s *qr.Spec) { s.LimitFen = 1 << 24 },
		"negative":   func(s *qr.Spec) { s.LimitFen = -1 },
		"validity":   func(s *qr.Spec) { s.Validity = 65536 * time.Second },
		"custom":     func(s *qr.Spec) { s.Custom = make([]byte, 256) },
		"epoch":      func(s *qr.Spec) { s.AuthorisedUntil = time.Unix(-1, 0) },
		"far future": func(s *qr.Spec) { s.AuthorisedUntil = time.Unix(1<<32, 0) },
	} {
		s := k.Spec(1)
		change(&s)
		if _, err := k.Issue(s); !errors.Is(err, qr.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := k.Spec(1)
	s.PayAccount = strings.Repeat("x", 16) // seen when the code is made
	if _, err := issue(t, k, s).Code(now); !errors.Is(err, qr.Malformed) {
		t.Errorf("letters: %v", err)
	}
	if _, err := issue(t, k, k.Spec(1)).Code(time.Unix(-1, 0)); !errors.Is(err, qr.Malformed) {
		t.Error("a time before the epoch is written")
	}
	if _, _, err := k.Refused(qr.AccountTypeRefused, 1); err == nil {
		t.Error("an account type is refused where all are allowed")
	}
}

// TestLimits: each named limit, at it and above.
func TestLimits(t *testing.T) {
	for name, o := range map[string]qr.Options{
		"issuers":        {Issuers: qr.CacheMax + 1},
		"authorisations": {Authorisations: qr.CacheMax + 1},
		"order":          {Profile: qr.Profile{Order: 2}},
		"skew":           {Profile: qr.Profile{Skew: 24*time.Hour + 1}},
		"negative skew":  {Profile: qr.Profile{Skew: -1}},
		"zone":           {Profile: qr.Profile{ZoneTolerance: 25 * time.Hour}},
		"versions":       {Profile: qr.Profile{Versions: make([]byte, 17)}},
		"aliases":        {Profile: qr.Profile{Aliases: make([]qr.IssuerAlias, 1025)}},
		"epoch":          {Profile: qr.Profile{Epoch: 1 << 40}},
	} {
		if _, err := qr.NewVerifier(o); err == nil {
			t.Errorf("%s: accepted above the limit", name)
		}
	}
	v, err := qr.NewVerifier(qr.Options{Profile: qr.Profile{Skew: 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetRevoked(make([]qr.CertificateID, qr.RevokedMax+1)); !errors.Is(err,
		qr.ErrTooMany) {
		t.Errorf("revocation list: %v", err)
	}
	if v.Trust(nil) == nil || v.Trust(&qr.CA{}) == nil {
		t.Error("a CA without a key is trusted")
	}
}

// TestCardCannotBePrinted: no verb, encoder, logger or error shows the accounts or the bytes.
func TestCardCannotBePrinted(t *testing.T) {
	k := kit(t, qr.Profile{})
	s := k.Spec(1)
	s.CardAccount, s.PayAccount = "03104987654321098765", "8765432109876543"
	good := code(t, issue(t, k, s), now)
	c, err := new(qr.Profile).Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		for _, v := range []any{c, []*qr.Code{c}, struct{ C *qr.Code }{c}, struct{ c *qr.Code }{c},
			c.ReplayKey(), &struct{ k qr.ReplayKey }{c.ReplayKey()}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	j, err := json.Marshal([]any{c, c.ReplayKey()})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	slog.New(slog.NewTextHandler(&out, nil)).Info("tap", "code", c)
	v := verifier(t, k, qr.Options{})
	for i := range good { // every error path that a changed byte reaches
		for _, x := range []byte{0x01, 0xF0} {
			b := bytes.Clone(good)
			b[i] ^= x
			if _, err := v.Verify(b, qr.Tap{Now: now}); err != nil {
				out.WriteString(err.Error() + "\n")
			}
		}
	}
	for i := range good {
		if _, err := v.Verify(good[:i], qr.Tap{Now: now}); err == nil {
			t.Errorf("%d bytes are accepted", i)
		} else {
			out.WriteString(err.Error() + "\n")
		}
	}
	text := out.String()
	for _, secret := range []string{"98765432109", "8765432109876", "4987654321",
		strings.Trim(fmt.Sprint(good[138:144]), "[]"), hex.EncodeToString(good[170:180]),
		strings.ToUpper(hex.EncodeToString(good[170:180])), string(good[138:144])} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is printed", secret)
		}
	}
	if c.String() == "" || (*qr.Code)(nil).String() == "" {
		t.Error("no text")
	}
}

func TestInParallel(t *testing.T) {
	k := kit(t, qr.Profile{})
	v := verifier(t, k, qr.Options{Issuers: 1, Authorisations: 2})
	var codes [][]byte
	for i := range 4 {
		codes = append(codes, code(t, issue(t, k, k.Spec(i)), now))
	}
	cert, err := qr.ParseCertificate(k.CertificateFile)
	if err != nil {
		t.Fatal(err)
	}
	cert.ID.Serial[0]++
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 20 {
				if _, err := v.Verify(codes[i%len(codes)], qr.Tap{Now: now}); err != nil {
					t.Error(err)
				}
				if err := v.Revoke(cert.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

package qr

import (
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// benchKit returns a kit and a verifier that trusts it.
func benchKit(t testing.TB, o Options) (*Kit, *Verifier) {
	t.Helper()
	k, err := NewKit(o.Profile, NewSeedReader([]byte("bench")), time.Unix(1795305600, 0))
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Install(v); err != nil {
		t.Fatal(err)
	}
	return k, v
}

// BenchmarkVerify measures, in one run, a verification with nothing cached against the three
// bare SM2 verifications that it needs (ratio/3, target 0.8), with the issuer cached
// against two (ratio/2), and with the card's authorisation cached against one (ratio/1).
// Bare means parsed keys and nothing but sm.PublicKey.Verify, taken in turn with ours so that
// both see the same machine.
func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct {
		name                    string
		issuers, authorisations int
		needs                   int
	}{{"cold/3", -1, -1, 3}, {"issuer/2", 0, -1, 2}, {"card/1", 0, 0, 1}} {
		b.Run(c.name, func(b *testing.B) {
			k, v := benchKit(b, Options{Issuers: c.issuers, Authorisations: c.authorisations})
			card, err := k.Issue(k.Spec(1))
			if err != nil {
				b.Fatal(err)
			}
			code, err := card.Code(k.now)
			if err != nil {
				b.Fatal(err)
			}
			parsed, err := v.Verify(code, Tap{Now: k.now})
			if err != nil {
				b.Fatal(err)
			}
			bare := bareVerifications(b, k, card, parsed)[3-c.needs:]
			var ours, theirs time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				if _, err := v.Verify(code, Tap{Now: k.now}); err != nil {
					b.Fatal(err)
				}
				middle := time.Now()
				for _, do := range bare {
					if !do() {
						b.Fatal("refused")
					}
				}
				ours, theirs = ours+middle.Sub(start), theirs+time.Since(middle)
			}
			b.ReportMetric(float64(theirs)/float64(ours), "ratio")
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ours-ns/op")
			b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "bare-ns/op")
		})
	}
}

// bareVerifications returns the three: the CA's, the issuer's and the user's.
func bareVerifications(b *testing.B, k *Kit, card *Card, c *Code) []func() bool {
	b.Helper()
	certificate, issuerSigned, userSigned := c.Certificate().SignedBytes(), c.IssuerSigned(),
		c.UserSigned()
	bySig := func(key *sm.PublicKey, signed []byte, sig [sm.SignatureSize]byte) func() bool {
		return func() bool { return key.Verify(signed, sig[:]) }
	}
	return []func() bool{
		bySig(k.cas[kitCA].Key, certificate, c.Certificate().Signature()),
		bySig(k.issuer.Public(), issuerSigned, c.IssuerSignature()),
		bySig(card.user.Key.Public(), userSigned, c.UserSignature()),
	}
}

// BenchmarkParse is the parser alone.
func BenchmarkParse(b *testing.B) {
	k, _ := benchKit(b, Options{})
	code, _, err := k.Refused(0, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.profile.Parse(code); err != nil {
			b.Fatal(err)
		}
	}
}

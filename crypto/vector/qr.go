package vector

import (
	"encoding/json"
	"time"

	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// checkQR does area qr: a CA file, or an issuer certificate under a CA's key.
func checkQR(e *entry) {
	switch {
	case e.has("ca_cert"):
		e.caFile()
	case e.has("issuer_cert"):
		e.issuerCertificate()
	default:
		e.unsupported("neither ca_cert nor issuer_cert")
	}
}

// caFile compares the fields of a CA file. One whose own signature is wrong is no CA.
func (e *entry) caFile() {
	ca, err := qr.ParseCA(e.hex("ca_cert"))
	e.expectBool("self_signature_valid", err == nil)
	if !e.ok() || err != nil {
		return
	}
	e.expect("service", ca.Service[:])
	e.expect("rid", ca.RID[:])
	e.expect("ca_index", []byte{ca.Index})
	e.expect("expiry_MMYY", ca.Expires[:])
	point := ca.Key.Point()
	e.expect("pub", point[1:])
}

func (e *entry) issuerCertificate() {
	key, err := sm.ParsePublicKey(e.hex("ca_pub"))
	if !e.must("ca_pub", err) {
		return
	}
	c, err := qr.ParseCertificate(e.hex("issuer_cert"))
	if !e.must("issuer_cert", err) {
		return
	}
	e.expectBool("ca_signature_valid", c.VerifyUnder(key))
	e.expect("issuer", c.ID.Issuer[:])
	e.expect("expiry_MMYY", c.Expires[:])
	e.expect("serial", c.ID.Serial[:])
	e.expect("pub_compressed", c.Key[:])
}

// checkQRCode does area qr-synthetic: every field of a code, its three signatures, and
// the whole verification at "now_unix_valid".
func checkQRCode(e *entry) {
	b := e.hex("qr_hex")
	if !e.ok() {
		return
	}
	var profile qr.Profile
	if len(b) > 0 {
		profile.Versions = b[:1]
	}
	code, err := profile.Parse(b)
	if !e.must("code", err) {
		return
	}
	e.certificateFields(code.Certificate())
	e.codeFields(code)
	issuer, err := sm.ParsePublicKey(code.Certificate().Key[:])
	if !e.must("issuer_pub", err) {
		return
	}
	userKey := code.UserKey()
	user, err := sm.ParsePublicKey(userKey[:])
	if !e.must("user_pub", err) {
		return
	}
	byIssuer, byUser := code.VerifyIssuer(issuer), code.VerifyUser(user)
	e.expectBool("issuer_sig_valid", byIssuer)
	e.expectBool("user_sig_valid", byUser)
	if byIssuer && byUser && e.has("ca_pub") && e.has("now_unix_valid") {
		e.wholeCode(profile, b, code)
	}
}

// wholeCode verifies the code as a gate would.
func (e *entry) wholeCode(p qr.Profile, b []byte, code *qr.Code) {
	key, err := sm.ParsePublicKey(e.hex("ca_pub"))
	if !e.must("ca_pub", err) {
		return
	}
	v, err := qr.NewVerifier(qr.Options{Profile: p})
	if !e.must("verifier", err) {
		return
	}
	if !e.must("ca_pub", v.Trust(&qr.CA{Index: code.Certificate().CAIndex, Key: key})) {
		return
	}
	_, err = v.Verify(b, qr.Tap{Now: time.Unix(e.number("now_unix_valid"), 0)})
	e.must("verification", err)
}

// certificateFields compares the fields of the certificate in a code; DOMAIN 5.2 has their
// places.
func (e *entry) certificateFields(c *qr.Certificate) {
	b, signature := c.Bytes(), c.Signature()
	e.expect("cert_hex", b)
	e.expect("cert_format", b[:1])
	e.expect("cert_service_id", c.Service[:])
	e.expect("ca_index", []byte{c.CAIndex})
	e.expect("issuer_id_format", b[6:7])
	e.expect("cert_issuer", c.ID.Issuer[:])
	e.expect("cert_expiry_MMYY", c.Expires[:])
	e.expect("cert_serial", c.ID.Serial[:])
	e.expect("sig_alg", b[16:17])
	e.expect("enc_alg", b[17:18])
	e.expect("param", b[18:19])
	e.expectNumber("pub_len", int64(b[19]))
	e.expect("issuer_pub", c.Key[:])
	e.expect("ca_signature", signature[:])
	e.expect("cert_signed_data", c.SignedBytes())
}

func (e *entry) codeFields(c *qr.Code) {
	institution, platform, userKey := c.Institution(), c.Platform(), c.UserKey()
	issuerSignature, userSignature := c.IssuerSignature(), c.UserSignature()
	b := c.Bytes()
	e.expect("version", b[:1])
	e.expectNumber("length", int64(c.Length()))
	e.expectText("pay_account", c.PayAccount())
	e.expectText("card_account", c.CardAccount())
	e.expect("issuer", institution[:])
	e.expect("platform", platform[:])
	e.expect("account_type", []byte{c.AccountType()})
	e.expectNumber("limit_fen", c.LimitFen())
	e.expect("user_pub", userKey[:])
	e.expectNumber("auth_expiry_unix", c.AuthorisedUntil().Unix())
	e.expectNumber("validity_s", int64(c.Validity()/time.Second))
	e.expectNumber("custom_len", int64(len(c.Custom())))
	e.expect("custom", c.Custom())
	e.expect("issuer_signature", issuerSignature[:])
	e.expectNumber("gen_time_unix", c.GeneratedAt().Unix())
	e.expect("user_signature", userSignature[:])
	// Both tags stand right behind what they sign.
	issuerEnd, userEnd := 3+len(c.IssuerSigned()), len(c.UserSigned())
	e.expect("sig_tag1", b[issuerEnd:issuerEnd+1])
	e.expect("sig_tag2", b[userEnd:userEnd+1])
	e.expectRange("issuer_signed_range", 3, issuerEnd)
	e.expectRange("user_signed_range", 0, userEnd)
}

// expectRange compares [from, to).
func (e *entry) expectRange(name string, from, to int) {
	raw, ok := e.Expected[name]
	if !ok {
		return
	}
	e.compared[name] = true
	var want []int
	if json.Unmarshal(raw, &want) != nil || len(want) != 2 {
		e.fail("expected value %q is not two numbers", name)
	} else if want[0] != from || want[1] != to {
		e.fail("%s differs", name)
	}
}

package qr

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

// FuzzCode: any bytes are refused or parse to what they were, under both orders.
func FuzzCode(f *testing.F) {
	k, _ := benchKit(f, Options{})
	for i, r := range append(Refusals(), 0) {
		if r == AccountTypeRefused {
			continue
		}
		b, _, err := k.Refused(r, i)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	metro, _ := benchKit(f, Options{Profile: Profile{Order: SignatureFirst}})
	b, _, err := metro.Refused(0, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0x81}, CodeMax))
	_, v := benchKit(f, Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, order := range []Order{CustomFirst, SignatureFirst} {
			c, err := (&Profile{Order: order}).Parse(b)
			if err != nil {
				continue
			}
			if !bytes.Equal(c.Bytes(), b) || len(c.Custom()) != len(b)-CodeMin {
				t.Errorf("%x parses to other bytes", b)
			}
			if c.Card().IsZero() || c.Length() != len(b)-3 || len(c.IssuerSigned()) < 194 {
				t.Errorf("%x has odd fields", b)
			}
		}
		_, _ = v.Verify(b, Tap{Now: time.Unix(1795305600, 0)})
	})
}

// FuzzCA: any bytes are refused or are a CA file that holds.
func FuzzCA(f *testing.F) {
	k, _ := benchKit(f, Options{})
	f.Add(k.CAFile)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		ca, err := ParseCA(b)
		if err == nil && (ca.Key == nil || !ca.Expires.valid()) {
			t.Errorf("%x is a CA without a key or a month", b)
		}
	})
}

// FuzzCertificate: any bytes are refused or parse to what they were.
func FuzzCertificate(f *testing.F) {
	k, _ := benchKit(f, Options{})
	f.Add(k.CertificateFile)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Bytes(), b) || c.Expires.Ends(time.UTC).Year() < 2000 {
			t.Errorf("%s parses to other bytes", hex.EncodeToString(b))
		}
		c.VerifyUnder(k.cas[kitCA].Key)
	})
}

package notice

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// KeyMin is the least length of Options.Key in bytes.
const KeyMin = 32

// The headers of a notice, and of an acknowledgement.
const (
	SignatureHeader   = "Tapswitch-Signature"
	IdempotencyHeader = "Idempotency-Key"
)

// signatureAgeMax is how old a signed call-back may be, or how far its clock ahead: enough
// for a bad clock, too little to keep a copy for later. A copy within it changes nothing,
// since the same answer twice does not.
const signatureAgeMax = 300 * time.Second

// errSealed reports a wrapped secret that the key does not open.
var errSealed = errors.New("secret cannot be unwrapped: another key, or damaged")

// errSignature reports a signature that is missing, malformed, too old or wrong.
var errSignature = errors.New("signature missing, too old or wrong")

// vault wraps the secrets of parties (AES-256-GCM), bound to party and key id, and derives
// the tokens of documents. Both keys come from one, apart by their purpose.
type vault struct {
	aead   cipher.AEAD
	tokens []byte
}

func newVault(master []byte) (vault, error) {
	if len(master) < KeyMin {
		return vault{}, fmt.Errorf("notice: key of %d bytes, want at least %d", len(master), KeyMin)
	}
	block, err := aes.NewCipher(derive(master, "notice secrets"))
	if err != nil {
		return vault{}, fmt.Errorf("notice: key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return vault{}, fmt.Errorf("notice: key: %w", err)
	}
	return vault{aead, derive(master, "notice documents")}, nil
}

// derive returns the key for a purpose: HMAC-SHA256 of its name.
func derive(master []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, master)
	_, _ = mac.Write([]byte("tapswitch " + purpose))
	return mac.Sum(nil)
}

// token returns where a part of a notice is stored. Its domain is its own: no card has it.
func (v vault) token(id string, part uint8) pan.Token {
	mac := hmac.New(sha256.New, v.tokens)
	_, _ = mac.Write(append([]byte(id), 0, part))
	var t pan.Token
	copy(t[:], mac.Sum(nil))
	return t
}

func (v vault) seal(party, id string, secret []byte) []byte {
	nonce := make([]byte, v.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: the runtime ends the process instead
	return v.aead.Seal(nonce, nonce, secret, sealedFor(party, id))
}

func (v vault) open(party, id string, wrapped []byte) ([]byte, error) {
	n := v.aead.NonceSize()
	if len(wrapped) < n {
		return nil, fmt.Errorf("key %s of party %s: %w", id, party, errSealed)
	}
	secret, err := v.aead.Open(nil, wrapped[:n], wrapped[n:], sealedFor(party, id))
	if err != nil {
		return nil, fmt.Errorf("key %s of party %s: %w", id, party, errSealed)
	}
	return secret, nil
}

func sealedFor(party, id string) []byte { return []byte("tapswitch party " + party + " " + id) }

// Sign returns the value of SignatureHeader: "t=<Unix seconds>,kid=<key id>,v1=<hex>", the
// last being HMAC-SHA256 over "<t>.<path>.<body>". A notice has no path in it, "<t>..<body>":
// its body names it. An acknowledgement has the path that it is posted to, so that it
// stands for no other notice and no other party.
func Sign(id string, secret []byte, at time.Time, path string, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",kid=" + id + ",v1=" + hex.EncodeToString(digest(secret, t, path, body))
}

func digest(secret []byte, t, path string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(t + "." + path + "."))
	_, _ = mac.Write(body)
	return mac.Sum(nil)
}

// verify checks a signature against the keys of a party, the newest first. All keys are
// compared in constant time; which part was wrong is not told.
func verify(keys []key, header, path string, body []byte, now time.Time) error {
	var t, id, sum string
	for field := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "t":
			t = value
		case "kid":
			id = value
		case "v1":
			sum = value
		}
	}
	seconds, err := strconv.ParseInt(t, 10, 64)
	got, errSum := hex.DecodeString(sum)
	if err != nil || errSum != nil || now.Sub(time.Unix(seconds, 0)).Abs() > signatureAgeMax {
		return errSignature
	}
	for _, k := range keys {
		if k.id == id && hmac.Equal(got, digest(k.secret, t, path, body)) {
			return nil
		}
	}
	return errSignature
}

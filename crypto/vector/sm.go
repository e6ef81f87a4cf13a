package vector

import (
	"bytes"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/sm"
)

// checkSM3 does area sm3.
func checkSM3(e *entry) {
	message := e.data("message")
	if !e.ok() {
		return
	}
	if e.has("repeat") {
		n := e.number("repeat")
		if n < 1 || n*int64(len(message)) > repeatMax {
			e.unsupported("repeat is out of range")
			return
		}
		message = bytes.Repeat(message, int(n))
	}
	h := sm.SM3(message)
	e.expect("hash", h[:])
}

// repeatMax bounds the work that a vector may ask for: bytes hashed or blocks encrypted.
const repeatMax = 10_000_000

// checkSM4 does area sm4: ECB, a number of rounds one after the other, and CBC with whole
// blocks or PKCS #7.
func checkSM4(e *entry) {
	key, text := e.hex("key"), e.data("plaintext")
	if !e.ok() {
		return
	}
	c, err := block.New(block.SM4, key)
	if !e.must("key", err) {
		return
	}
	mode := "ecb"
	if e.has("mode") {
		mode = strings.ToLower(e.text("mode"))
	}
	if strings.Contains(mode, "pkcs") {
		fill := c.BlockSize() - len(text)%c.BlockSize()
		text = append(text, bytes.Repeat([]byte{byte(fill)}, fill)...)
	}
	out := make([]byte, len(text))
	switch {
	case strings.HasPrefix(mode, "cbc"):
		err = block.EncryptCBC(c, out, e.hex("iv"), text)
	case strings.HasPrefix(mode, "ecb"):
		copy(out, text)
		for n := e.rounds(); n > 0 && err == nil; n-- {
			err = block.EncryptECB(c, out, out)
		}
	default:
		e.unsupported("unknown mode")
	}
	if e.must("SM4", err) {
		e.expect("ciphertext", out)
	}
}

func (e *entry) rounds() int64 {
	if !e.has("rounds") {
		return 1
	}
	n := e.number("rounds")
	if n < 1 || n > repeatMax {
		e.unsupported("rounds is out of range")
		return 0
	}
	return n
}

// checkSM2 does area sm2: a signature with a given nonce ("k"), or the verification of r
// and s, or of sig_der, over a message or its digest "e".
func checkSM2(e *entry) {
	pub := e.sm2Public()
	if !e.ok() {
		return
	}
	point, za := pub.Point(), pub.ZA()
	e.expect("pub", point[:])
	e.expect("ZA", za[:])
	if e.has("k") {
		e.sm2Sign(pub)
		return
	}
	signature := e.sm2Signature()
	if !e.ok() {
		return
	}
	e.expect("sig_raw", signature)
	e.expectBool("valid", e.sm2Verify(pub, signature))
}

func (e *entry) sm2Verify(pub *sm.PublicKey, signature []byte) bool {
	switch {
	case e.has("e"):
		return pub.VerifyDigest(e.hex("e"), signature)
	case e.has("sig_der"):
		return pub.Verify(e.data("message"), signature) && pub.VerifyDER(e.data("message"), e.hex("sig_der"))
	default:
		return pub.Verify(e.data("message"), signature)
	}
}

// sm2Private reads "d" with the user id.
func (e *entry) sm2Private() *sm.PrivateKey {
	d := e.hex("d")
	if !e.ok() {
		return nil
	}
	k, err := sm.NewPrivateKey(d)
	e.must("d", err)
	return k
}

// sm2Public reads "pub", which must be that of "d" where there is one.
func (e *entry) sm2Public() *sm.PublicKey {
	var own, pub *sm.PublicKey
	var err error
	if e.has("d") {
		if k := e.sm2Private(); e.ok() {
			own = k.Public()
		}
	}
	if e.has("pub") {
		pub, err = sm.ParsePublicKey(e.hex("pub"))
		e.must("pub", err)
	}
	switch {
	case !e.ok():
		return nil
	case own == nil && pub == nil:
		e.unsupported("neither pub nor d")
		return nil
	case pub == nil:
		pub = own
	case own != nil && !own.Equal(pub):
		e.fail("pub is not the key of d")
		return nil
	}
	if e.has("id_ascii") || e.has("id") {
		pub, err = pub.WithID(e.data("id"))
		e.must("id", err)
	}
	return pub
}

func (e *entry) sm2Signature() []byte {
	if e.has("sig_der") {
		raw, err := sm.ParseDER(e.hex("sig_der"))
		e.must("sig_der", err)
		return raw[:]
	}
	if e.has("sig_raw") {
		return e.hex("sig_raw")
	}
	return append(e.hex("r"), e.hex("s")...)
}

func (e *entry) sm2Sign(pub *sm.PublicKey) {
	k := e.sm2Private()
	if !e.ok() {
		return
	}
	defer k.Wipe()
	message := e.data("message")
	if e.has("id_ascii") || e.has("id") {
		var err error
		k, err = k.WithID(e.data("id"))
		if !e.must("id", err) {
			return
		}
	}
	nonce := e.hex("k")
	if !e.ok() {
		return
	}
	signature, err := k.SignWithNonceForVectors(nonce, message)
	if !e.must("signature", err) {
		return
	}
	if !pub.Verify(message, signature[:]) {
		e.fail("the own signature does not verify")
	}
	e.expect("r", signature[:32])
	e.expect("s", signature[32:])
	e.expect("sig_raw", signature[:])
}

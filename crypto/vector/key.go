package vector

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
)

// checkTR31 does area tr31: the block is opened, and header, key and check value compared.
func checkTR31(e *entry) {
	kbpk, text := e.hex("KBPK"), e.text("key_block")
	if !e.ok() {
		return
	}
	u, err := keyblock.Unwrap(kbpk, text)
	if !e.must("key block", err) {
		return
	}
	defer u.Key.Clear()
	e.expect("key", u.Key)
	e.expectText("version", string(rune(u.Header.Version)))
	e.expectText("usage", string(u.Header.Usage))
	e.expectText("algorithm", string(rune(u.Header.Algorithm)))
	e.expectText("mode", string(rune(u.Header.Mode)))
	e.expectText("key_version", u.Header.KeyVersion)
	e.expectText("exportability", string(rune(u.Header.Export)))
	if n, err := strconv.Atoi(text[12:14]); err == nil { // with the padding block
		e.expectNumber("opt_blocks", int64(n))
	}
	e.expectKCV("kcv", u.Header.Algorithm, u.Key)
}

// expectKCV compares a check value of the usual kind: zeros under ECB for DES and TDES,
// CMAC for AES. What is expected says how many bytes.
func (e *entry) expectKCV(name string, algorithm byte, key []byte) {
	if !e.wants(name) {
		return
	}
	kind, cipher := keyblock.CheckECB, block.TDES
	switch {
	case algorithm == 'A':
		kind, cipher = keyblock.CheckCMAC, block.AES
	case algorithm != 'T' && algorithm != 'D':
		e.unsupported("check value of another algorithm")
		return
	case len(key) == 8:
		cipher = block.DES
	}
	e.expectCheckValue(name, kind, cipher, key)
}

func (e *entry) expectCheckValue(name string, kind keyblock.CheckKind, cipher block.Algorithm, key []byte) {
	want, err := plain(e.Expected[name])
	if err != nil || len(want)%2 != 0 {
		e.fail("expected value %q is not hexadecimal", name)
		return
	}
	kcv, err := keyblock.CheckValue(kind, cipher, key, len(want)/2)
	if e.must(name, err) {
		e.expect(name, kcv)
	}
}

// checkTR31Negative does area tr31-negative.
func checkTR31Negative(e *entry) {
	kbpk, text := e.hex("KBPK"), e.text("key_block")
	if !e.ok() {
		return
	}
	_, err := keyblock.Unwrap(kbpk, text)
	e.expectError(err, []errorKind{
		{"length field", keyblock.ErrLength}, {"mac mismatch", keyblock.ErrMAC},
		{"version", keyblock.ErrVersion}, {"header", keyblock.ErrHeader},
	})
}

// checkTR31Derivation does area tr31-derivation.
func checkTR31Derivation(e *entry) {
	kbpk, method := e.hex("KBPK"), strings.ToLower(e.text("method"))
	if !e.ok() {
		return
	}
	var keys keyblock.Keys
	var err error
	switch {
	case strings.Contains(method, "variant"):
		keys, err = keyblock.DeriveVariant(kbpk)
	case strings.Contains(method, "tdes"):
		keys, err = e.deriveCMAC(block.TDES, kbpk)
	case strings.Contains(method, "aes"):
		keys, err = e.deriveCMAC(block.AES, kbpk)
	default:
		e.unsupported("unknown method")
	}
	if e.must("derivation", err) {
		e.expect("KBEK", keys.Encryption)
		e.expect("KBAK", keys.MAC)
	}
	keys.Clear()
}

func (e *entry) deriveCMAC(a block.Algorithm, kbpk []byte) (k keyblock.Keys, err error) {
	if k.Encryption, err = keyblock.DeriveCMAC(a, kbpk, e.keyUse("enc_usage", keyblock.UseCBC)); err != nil {
		return k, err
	}
	k.MAC, err = keyblock.DeriveCMAC(a, kbpk, e.keyUse("mac_usage", keyblock.UseMAC))
	return k, err
}

// keyUse reads a usage of two bytes.
func (e *entry) keyUse(name string, otherwise keyblock.KeyUse) keyblock.KeyUse {
	if !e.has(name) {
		return otherwise
	}
	b := e.hex(name)
	if len(b) != 2 {
		e.fail("input %q is not two bytes", name)
		return otherwise
	}
	return keyblock.KeyUse(binary.BigEndian.Uint16(b))
}

// checkKCV does area kcv: kcv3 to kcv16 or kcv, of the cipher and kind that "algorithm"
// names; without it the key is a DES or TDES key.
func checkKCV(e *entry) {
	key := e.hex("key")
	if !e.ok() {
		return
	}
	kind, cipher := keyblock.CheckECB, block.TDES
	if len(key) == 8 {
		cipher = block.DES
	}
	if e.has("algorithm") {
		words := strings.ToLower(e.text("algorithm"))
		switch {
		case strings.Contains(words, "sm4"):
			cipher = block.SM4
		case strings.Contains(words, "aes"):
			cipher = block.AES
		}
		if strings.Contains(words, "cmac") {
			kind = keyblock.CheckCMAC
		}
	}
	for name := range e.Expected {
		if strings.HasPrefix(name, "kcv") {
			e.expectCheckValue(name, kind, cipher, key)
		}
	}
}

// checkKeyExchange does area key-exchange: field 62 of a UnionPay sign-on, with the TMK or
// its structure alone, or single keys under a TMK (NAME_enc becomes NAME).
func checkKeyExchange(e *entry) {
	if e.has("F62") {
		e.terminalKeys()
		return
	}
	tmk := e.hex("TMK")
	for name := range e.Inputs {
		clearName, wrapped := strings.CutSuffix(name, "_enc")
		if !wrapped || !e.ok() {
			continue
		}
		key, err := keyblock.UnwrapECB(cipherOf(tmk), tmk, e.hex(name))
		if !e.must(clearName, err) {
			return
		}
		e.expect(clearName, key)
		e.expectBlock(clearName+"_kcv_block", key)
		if e.wants(clearName + "_kcv") {
			e.expectCheckValue(clearName+"_kcv", keyblock.CheckECB, cipherOf(key), key)
		}
		key.Clear()
	}
}

func (e *entry) terminalKeys() {
	t, err := keyblock.ParseTerminalKeys(e.hex("F62"))
	if !e.must("field 62", err) {
		return
	}
	for name, k := range map[string]keyblock.WrappedKey{"PIK": t.PIN, "MAK": t.MAC, "TDK": t.Track} {
		e.expect(name+"_enc", k.Wrapped)
		e.expect(name+"_kcv", k.Check)
	}
	if !e.has("TMK") {
		return
	}
	keys, err := t.Unwrap(e.hex("TMK"))
	if !e.must("working keys", err) {
		return
	}
	defer keys.Clear()
	for name, k := range map[string]keyblock.Key{"PIK": keys.PIN, "MAK": keys.MAC, "TDK": keys.Track} {
		e.expect(name, k)
		e.expectBlock(name+"_kcv_block", k)
	}
}

// expectBlock compares a block of zeros under a DES or TDES key.
func (e *entry) expectBlock(name string, key []byte) {
	if !e.wants(name) {
		return
	}
	c, err := block.New(cipherOf(key), key)
	if e.must(name, err) {
		var b [8]byte
		c.Encrypt(b[:], b[:])
		e.expect(name, b[:])
	}
}

// cipherOf is DES for keys of single length, else TDES.
func cipherOf(key []byte) block.Algorithm {
	if len(key) == 8 {
		return block.DES
	}
	return block.TDES
}

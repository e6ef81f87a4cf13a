package vector

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// checkMAC does areas mac and mac-sm4: the scheme stands in words in "algorithm" or as a
// number of ISO 9797-1, keys as "key", "K", or "K1" (or "K") and "K2".
func checkMAC(e *entry) {
	s := e.macScheme()
	k1, k2 := e.macKeys()
	message := e.data("message")
	if !e.ok() {
		return
	}
	m, err := newMAC(s, k1, k2)
	if !e.must("MAC", err) {
		return
	}
	full := m.Sum(nil, message)
	e.expect("full_block", full)
	e.expect("mac16", full)
	e.expect("cmac", full)
	e.expect("mac", full)
	e.expect("mac4", full[:4])
	if len(full) >= 8 {
		e.expect("mac8", full[:8])
	}
}

func newMAC(s mac.Scheme, k1, k2 []byte) (*mac.MAC, error) {
	if k2 != nil {
		return mac.NewTwo(s, k1, k2)
	}
	return mac.New(s, k1)
}

func (e *entry) macKeys() (k1, k2 []byte) {
	switch {
	case e.has("key"):
		k1 = e.hex("key")
	case e.has("K"):
		k1 = e.hex("K")
	default:
		k1 = e.hex("K1")
	}
	if e.has("K2") {
		k2 = e.hex("K2")
	}
	return k1, k2
}

// macScheme reads what kind of MAC is meant. The cipher follows from the words, else from
// the keys: retail MACs are over DES unless their keys are longer.
func (e *entry) macScheme() mac.Scheme {
	words := strings.ToLower(e.text("algorithm"))
	s := mac.Scheme{Algorithm: macAlgorithm(words), Cipher: e.macCipher(words)}
	switch {
	case s.Algorithm == 0:
		e.unsupported("unknown MAC algorithm")
	case s.Algorithm == mac.CMAC:
	case e.has("padding"):
		n := e.number("padding")
		if n < 1 || n > 3 {
			e.unsupported("unknown padding")
		}
		s.Padding = mac.Padding(n)
	default:
		s.Padding = paddingIn(words)
	}
	return s
}

// macAlgorithm finds the algorithm in the words, most telling first.
func macAlgorithm(words string) mac.Algorithm {
	for _, w := range []struct {
		word string
		is   mac.Algorithm
	}{
		{"cmac", mac.CMAC}, {"alg 5", mac.CMAC}, {"alg5", mac.CMAC},
		{"emac", mac.EMAC}, {"alg 2", mac.EMAC}, {"alg2", mac.EMAC},
		{"retail", mac.Retail}, {"x9.19", mac.Retail}, {"alg 3", mac.Retail}, {"alg3", mac.Retail},
		{"x9.9", mac.CBC}, {"alg 1", mac.CBC}, {"alg1", mac.CBC}, {"cbc", mac.CBC},
	} {
		if strings.Contains(words, w.word) {
			return w.is
		}
	}
	switch words {
	case "1":
		return mac.CBC
	case "2":
		return mac.EMAC
	case "3":
		return mac.Retail
	case "5":
		return mac.CMAC
	default:
		return 0
	}
}

func (e *entry) macCipher(words string) block.Algorithm {
	k1, k2 := e.macKeys()
	retail := macAlgorithm(words) == mac.Retail || macAlgorithm(words) == mac.EMAC
	switch {
	case strings.Contains(words, "sm4"):
		return block.SM4
	case strings.Contains(words, "aes"):
		return block.AES
	case len(k1) == 8, retail && k2 == nil && len(k1) == 16:
		return block.DES
	default:
		return block.TDES
	}
}

// paddingIn finds a padding method in the words; without one it is method 1, as in X9.9
// and X9.19.
func paddingIn(words string) mac.Padding {
	for i, p := range []mac.Padding{mac.Pad1, mac.Pad2, mac.Pad3} {
		digit := string(rune('1' + i))
		for _, word := range []string{"pad" + digit, "pad " + digit, "padding " + digit, "method " + digit} {
			if strings.Contains(words, word) {
				return p
			}
		}
	}
	return mac.Pad1
}

// checkPadding does area mac-padding.
func checkPadding(e *entry) {
	method, size, data := e.number("method"), e.number("block"), e.hex("data")
	if !e.ok() {
		return
	}
	var padded []byte
	if method > 0 && method < 4 && size > 0 && size < 256 {
		padded = mac.Pad(mac.Padding(method), int(size), data)
	}
	if padded == nil {
		e.unsupported("unknown padding method or block size")
		return
	}
	e.expect("padded", padded)
}

// checkCMAC does area cmac: the cipher is named in "algorithm", else in the id, else
// follows from the length of key and MAC.
func checkCMAC(e *entry) {
	key, message := e.hex("key"), e.data("message")
	if !e.ok() {
		return
	}
	m, err := mac.New(mac.Scheme{Algorithm: mac.CMAC, Cipher: e.cmacCipher(len(key))}, key)
	if !e.must("CMAC", err) {
		return
	}
	e.expect("cmac", m.Sum(nil, message))
}

func (e *entry) cmacCipher(key int) block.Algorithm {
	words := strings.ToLower(e.ID)
	if e.has("algorithm") {
		words = strings.ToLower(e.text("algorithm"))
	}
	size := 0
	if want, err := plain(e.Expected["cmac"]); err == nil {
		size = len(want) / 2
	}
	switch {
	case strings.Contains(words, "sm4"):
		return block.SM4
	case strings.Contains(words, "tdes"), strings.Contains(words, "3des"), strings.Contains(words, "tdea"):
		return block.TDES
	case strings.Contains(words, "aes"):
		return block.AES
	case key == 8:
		return block.DES
	case size == 8:
		return block.TDES
	default:
		return block.AES
	}
}

// checkCUP does area mac-cup-ecb.
func checkCUP(e *entry) {
	data := e.hex("mac_input")
	if !e.ok() {
		return
	}
	if e.has("message") {
		e.cupInput(data)
	}
	cipher := block.TDES
	if e.has("algorithm") && strings.Contains(strings.ToLower(e.text("algorithm")), "sm4") {
		cipher = block.SM4
	}
	if !e.has("MAK") {
		running, final := mac.XORSteps(cipher, data)
		e.expectSteps("running_xor", running)
		e.expect("final_xor", final)
		return
	}
	key := e.hex("MAK")
	if len(key) == 8 {
		cipher = block.DES
	}
	trace, err := mac.TraceCUP(cipher, key, data)
	if !e.must("CUP MAC", err) {
		return
	}
	e.expectSteps("running_xor", trace.Running)
	e.expect("final_xor", trace.Folded)
	e.expect("mac8", trace.Last)
	field := trace.Full[:8]
	e.expectText("F64_ascii", field)
	e.expect("F64_hex", []byte(field))
}

// cupInput checks that the MAC's input is a part of the message: from the message type up
// to the byte before field 64.
func (e *entry) cupInput(data []byte) {
	message := e.hex("message")
	if e.ok() && !strings.Contains(string(message), string(data)) {
		e.fail("mac_input is no part of message")
	}
}

// expectSteps compares the XORs after some of the blocks, in order.
func (e *entry) expectSteps(name string, got [][]byte) {
	raw, ok := e.Expected[name]
	if !ok {
		return
	}
	e.compared[name] = true
	var want []string
	if json.Unmarshal(raw, &want) != nil {
		e.fail("expected value %q is not a list of texts", name)
		return
	}
	for _, w := range want {
		found := -1
		for i, g := range got {
			if strings.EqualFold(hex.EncodeToString(g), w) {
				found = i
				break
			}
		}
		if found < 0 {
			e.fail("%s differs", name)
			return
		}
		got = got[found+1:]
	}
}

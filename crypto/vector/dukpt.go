package vector

import (
	"strings"

	"github.com/tapswitch/tapswitch/crypto/dukpt"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

// checkDUKPT does area dukpt-tdes: the transaction key, the PIN block, both MACs of both
// directions, and the encrypted request.
func checkDUKPT(e *entry) {
	bdk, ksn := e.hex("BDK"), e.ksn()
	if !e.ok() {
		return
	}
	e.initialKey(bdk, ksn)
	t, err := dukpt.FromBDK(bdk, ksn, dukpt.Same)
	if !e.must("transaction key", err) {
		return
	}
	defer t.Clear()
	e.expect("txn_key", t.Key())
	if e.wants("enc_pin_block") {
		clearBlock, err := pinblock.Encode(pinblock.Format0, []byte(e.text("pin")), e.text("pan"), nil)
		if e.must("PIN block", err) {
			enciphered, err := t.EncryptPIN(clearBlock[:], nil)
			e.must("PIN block", err)
			e.expect("enc_pin_block", enciphered)
		}
	}
	e.dukptMACs(t)
	if e.wants("enc_request_cbc") {
		enciphered, err := t.EncryptData(dukpt.UsageDataRequest, nil, e.hex("request_plain"))
		e.must("request", err)
		e.expect("enc_request_cbc", enciphered)
	}
	if e.wants("enc_response_cbc") {
		enciphered, err := t.EncryptData(dukpt.UsageDataResponse, nil, e.hex("response_plain"))
		e.must("response", err)
		e.expect("enc_response_cbc", enciphered)
	}
}

func (e *entry) ksn() dukpt.KSN {
	b := e.hex("KSN")
	if !e.ok() {
		return dukpt.KSN{}
	}
	k, err := dukpt.ParseKSN(b)
	e.must("KSN", err)
	return k
}

// initialKey compares the initial key where it is expected.
func (e *entry) initialKey(bdk []byte, ksn dukpt.KSN) {
	if e.wants("IK") {
		ik, err := dukpt.InitialKey(bdk, ksn)
		e.must("initial key", err)
		e.expect("IK", ik)
	}
}

func (e *entry) dukptMACs(t *dukpt.Transaction) {
	for _, m := range []struct {
		name  string
		usage dukpt.Usage
		alg   mac.Algorithm
		size  int
	}{
		{"request_mac4", dukpt.UsageMACRequest, mac.Retail, 4},
		{"response_mac4", dukpt.UsageMACResponse, mac.Retail, 4},
		{"request_cmac8", dukpt.UsageMACRequest, mac.CMAC, 8},
		{"response_cmac8", dukpt.UsageMACResponse, mac.CMAC, 8},
	} {
		if !e.wants(m.name) {
			continue
		}
		sum, err := t.MAC(m.usage, m.alg, m.size)
		data := e.data("mac_data")
		if e.must(m.name, err) {
			e.expect(m.name, sum.Sum(nil, data))
		}
	}
}

// dukptUses are the names that expected working keys begin with.
var dukptUses = map[string]dukpt.Usage{
	"kek": dukpt.UsageKEK, "pin": dukpt.UsagePIN, "mac_gen": dukpt.UsageMACRequest,
	"mac_ver": dukpt.UsageMACResponse, "mac_both": dukpt.UsageMACBoth, "mac": dukpt.UsageMACBoth,
	"data_enc": dukpt.UsageDataRequest, "data_dec": dukpt.UsageDataResponse,
	"data_both": dukpt.UsageDataBoth, "data": dukpt.UsageDataBoth,
}

// dukptTypes are the names that they end with.
var dukptTypes = map[string]dukpt.KeyType{
	"TDES2": dukpt.TDES2, "2TDEA": dukpt.TDES2, "TDES3": dukpt.TDES3, "3TDEA": dukpt.TDES3,
	"AES128": dukpt.AES128, "AES192": dukpt.AES192, "AES256": dukpt.AES256,
	"HMAC128": dukpt.HMAC128, "HMAC192": dukpt.HMAC192, "HMAC256": dukpt.HMAC256,
}

// checkAESDUKPT does area dukpt-aes: the initial key, the transaction key, working keys
// (USE_key_TYPE), and the PIN block of format 4.
func checkAESDUKPT(e *entry) {
	bdk := e.hex("BDK")
	if !e.ok() {
		return
	}
	if !e.has("KSN") {
		ik, err := dukpt.InitialKeyOf(bdk, e.hex("IKID"))
		if e.must("initial key", err) {
			e.expect("IK", ik)
		}
		return
	}
	ksn := e.ksn()
	if !e.ok() {
		return
	}
	e.initialKey(bdk, ksn)
	for name := range e.Expected {
		if use, kind, ok := strings.Cut(name, "_key_"); ok {
			e.workingKey(name, bdk, ksn, use, kind)
		}
	}
	t, err := dukpt.FromBDK(bdk, ksn, pinKeyType(len(bdk)))
	if !e.must("transaction key", err) {
		return
	}
	defer t.Clear()
	e.expect("txn_key", t.Key())
	if e.wants("enc_pin_block_fmt4") {
		enciphered, err := t.EncryptPIN(e.hex("pin_field"), panField(e.text("pan")))
		if e.must("PIN block", err) {
			e.expect("enc_pin_block_fmt4", enciphered)
		}
	}
}

// pinKeyType is the type of the PIN key that a vector means: as strong as the base key.
func pinKeyType(bdk int) dukpt.KeyType {
	switch bdk {
	case 24:
		return dukpt.AES192
	case 32:
		return dukpt.AES256
	default:
		return dukpt.AES128
	}
}

func (e *entry) workingKey(name string, bdk []byte, ksn dukpt.KSN, use, kind string) {
	usage, known := dukptUses[use]
	keyType, typed := dukptTypes[kind]
	if !known || !typed {
		return // stays unsupported
	}
	t, err := dukpt.FromBDK(bdk, ksn, keyType)
	if !e.must(name, err) {
		return
	}
	defer t.Clear()
	key, err := t.WorkingKey(usage)
	if e.must(name, err) {
		e.expect(name, key)
	}
}

// panField is the card number's field of PIN block format 4 (ISO 9564-1): the number of
// digits beyond twelve, the digits, zeros.
func panField(pan string) []byte {
	for len(pan) < 12 {
		pan = "0" + pan
	}
	field := make([]byte, 16)
	put := func(i int, nibble byte) {
		if i < 2*len(field) {
			field[i/2] |= nibble << (4 * (1 - i%2))
		}
	}
	put(0, byte(len(pan)-12))
	for i := range len(pan) {
		put(i+1, pan[i]&15)
	}
	return field
}

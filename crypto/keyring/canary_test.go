package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/crypto/purse"
)

// What must not be seen anywhere: keys that are easy to find, a PIN and a card number.
const (
	canaryKey   = "c1d0c2ceb094a1b5e5c8ef7976dcfe98" // tdes2, odd parity
	canaryOther = "a1b5c1d0ef79c2ce94b0dc7698e5fec8" // tdes2, odd parity
	canaryLong  = "deadbeefc0ffee11deadbeefc0ffee22deadbeefc0ffee33deadbeefc0ffee44"
	canaryPIN   = "739164852071"
	canaryPAN   = "6228480402564890018"
)

// leaks returns what of the secrets stands in a text: four bytes of a key in a row, in hex of
// both cases, raw or base64, the PIN, or seven digits of the card number's middle.
func leaks(text string, keys ...[]byte) []string {
	var found []string
	see := func(what, s string) {
		if strings.Contains(text, s) {
			found = append(found, what)
		}
	}
	for i, key := range keys {
		for at := 0; at+4 <= len(key); at++ {
			part := key[at : at+4]
			name := fmt.Sprintf("key %d", i)
			see(name+" in hex", hex.EncodeToString(part))
			see(name+" in HEX", strings.ToUpper(hex.EncodeToString(part)))
			see(name+" raw", string(part))
			see(name+" in decimal", strings.Trim(fmt.Sprint(part), "[]"))
			see(name+" as Go", strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"))
		}
		see(fmt.Sprintf("key %d in base64", i), base64.StdEncoding.EncodeToString(key)[:12])
	}
	see("PIN", canaryPIN)
	see("PAN", canaryPAN[6:13])
	return found
}

// verbs are what fmt can be asked for.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%b", "%o", "%e", "%p",
	"%T", "%U", "%c", "%z", "% x", "%#x", "%08v"}

// printed returns everything that printers make of a value.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range verbs {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	fmt.Fprintln(&b, v)
	if text, err := json.Marshal(v); err == nil {
		b.Write(text)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	return b.String()
}

type wrapping struct {
	secret secret
	Shown  secret
	part   KeyComponent
	ring   *Ring
	Ring   *Ring
	c      *Component
	C      *Component
}

// TestCanaryPrinters prints everything that holds a secret, by itself and in other things.
func TestCanaryPrinters(t *testing.T) {
	a, b := fixedComponent(t, 0x11), fixedComponent(t, 0x75)
	path := filepath.Join(t.TempDir(), "keys")
	r := must(CreateStore(path, a, b, Options{Actor: two}))(t)
	defer r.Close()
	key := unhex(t, canaryKey)
	put(t, r, "mac/link", TDES2, canaryKey)
	tmk := put(t, r, "key_exchange/t", TDES2, canaryOther)
	field := must(must(keyblock.WrapTerminalKeys(unhex(t, canaryOther),
		keyblock.WorkingKeys{PIN: unhex(t, canaryKey), MAC: unhex(t, canaryKey[:16])}))(t).AppendTo(nil))(t)
	w := must(r.OpenWorkingKeys(tmk, field))(t)
	s := copySecret(key)
	part := NewKeyComponent(unhex(t, canaryKey), "AABBCC")
	v := r.table.Load().byRef[Ref{MessageMAC, "link", 1}]
	if !bytes.Equal(v.key.open(), key) {
		t.Fatal("the canary is not there")
	}
	card := Card{PAN: canaryPAN, Expiry: "2912", Service: "201"}
	side := PINBlock{Key: PINKey{Working: w}, PAN: canaryPAN}
	// What the caller puts together of its own strings shows them where fmt looks past methods.
	plain := []string{"card", "side", "translation", "check", "pointer to check"}
	all := wrapping{s, s, part, r, r, a, a}
	keys := [][]byte{key, unhex(t, canaryOther), a.secret.open(), b.secret.open(), r.vault.mac.open()}
	for name, value := range map[string]any{"secret": s, "pointer": &s, "slice": []secret{s},
		"map": map[string]secret{"k": s}, "component": a, "component value": *a, "part": part,
		"pointer to part": &part, "parts": []KeyComponent{part},
		"clear key": ClearKey{Components: []KeyComponent{part}}, "ring": r, "all": all, "pointer to all": &all,
		"working keys": w, "version list": r.List(), "uses": r.Uses(), "card": card, "side": side,
		"translation": PINTranslation{In: side, Out: side}, "check": PINCheck{PINBlock: side},
		"pointer to check": &PINCheck{PINBlock: side}, "record": record{v.meta.Load(), v.key},
		"vault": r.vault} {
		text := printed(t, value)
		if slices.Contains(plain, name) {
			text = fmt.Sprintf("%v %+v %#v %s %q %x", value, value, value, value, value, value)
			encoded, err := json.Marshal(value)
			noError(t, err)
			text += string(encoded)
		}
		if found := leaks(text, keys...); len(found) > 0 {
			t.Errorf("%s shows %v", name, found)
		}
	}
	for name, value := range map[string]any{"secret": s, "component": a} {
		for _, verb := range verbs {
			if got := fmt.Sprintf(verb, value); got != masked && verb != "%T" && verb != "%p" {
				t.Errorf("%s with %s is %q", name, verb, got)
			}
		}
	}
}

// TestCanaryErrors goes through the ways to fail with the canaries in hand, and looks for them
// in errors, in the audit trail, and in the file.
func TestCanaryErrors(t *testing.T) {
	var trail bytes.Buffer
	a, b := fixedComponent(t, 0x11), fixedComponent(t, 0x75)
	path := filepath.Join(t.TempDir(), "keys")
	r := must(CreateStore(path, a, b, Options{Actor: two, Audit: NewWriterSink(&trail)}))(t)
	defer r.Close()
	link := put(t, r, "mac/link", TDES2, canaryKey)
	zone := put(t, r, "pin/zone", TDES2, canaryKey)
	kek := put(t, r, "key_exchange/k", TDES2, canaryOther)
	aes := put(t, r, "key_exchange/aes", AES256, canaryLong)
	bdk := put(t, r, "dukpt_bdk/b", TDES2, canaryKey)
	cvk := put(t, r, "cvk/c", TDES2, canaryKey)
	pvk := put(t, r, "pvk/c", TDES2, canaryKey)
	load := put(t, r, "purse_load/p", TDES2, canaryKey)
	receipts := put(t, r, "receipt/r", Ed25519, canaryLong)
	tokens := put(t, r, "card_token/c", HMACSHA256, canaryLong)
	blockText := must(r.ExportBlock(zone, kek, two))(t)
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	note2 := func(_ any, err error) { errs = append(errs, err) }
	importing := func(change func(*ClearKey)) {
		k := ClearKey{Ref: Ref{PIN, "new", 0}, Algorithm: TDES2, Components: parts(t, TDES2, canaryKey)}
		change(&k)
		note2(r.Import(k, two))
	}
	for _, a := range []Algorithm{DES, TDES3, AES128, SM4, SM2, HMACSHA256} {
		importing(func(k *ClearKey) { k.Algorithm = a })
	}
	importing(func(k *ClearKey) { k.KCV = "AABBCC" })
	importing(func(k *ClearKey) { k.KCV = "xyz" })
	importing(func(k *ClearKey) { k.Kind = KCVHash })
	importing(func(k *ClearKey) { k.Components[1].kcv = "AABBCC" })
	importing(func(k *ClearKey) { k.Components[1].value.open()[0] ^= 1 })
	importing(func(k *ClearKey) { k.Components = k.Components[:1] })
	importing(func(k *ClearKey) { k.Components[0].value = k.Components[1].value })
	importing(func(k *ClearKey) { k.Components = parts(t, TDES2, canaryKey[:16]+canaryKey[:16]) })
	importing(func(k *ClearKey) { k.Ref = zone })
	for _, k := range []KeyBlock{{Ref: Ref{MessageMAC, "x", 0}, Under: kek, Block: blockText},
		{Ref: Ref{PIN, "x", 0}, Under: aes, Block: blockText},
		{Ref: Ref{PIN, "x", 0}, Under: zone, Block: blockText},
		{Ref: Ref{PIN, "x", 0}, Under: kek, Block: blockText, KCV: "AABBCC"},
		{Ref: Ref{PIN, "x", 0}, Under: kek, Block: blockText[:40]},
		{Ref: Ref{PIN, "x", 0}, Under: kek, Block: strings.ToLower(blockText)}} {
		note2(r.ImportBlock(k, two))
	}
	note2(r.ExportBlock(zone, zone, two))
	note2(r.ExportBlock(tokens, kek, two))
	note2(r.MAC(zone, mac.X919, nil, unhex(t, canaryKey)))
	note2(r.MAC(link, mac.CUPSM4, nil, unhex(t, canaryKey)))
	note2(r.MAC(Ref{MessageMAC, "x\n", 0}, mac.X919, nil, unhex(t, canaryKey)))
	note(r.Encrypt(zone, nil, nil, unhex(t, canaryKey)))
	failPIN(t, r, zone, pvk, bdk, note2)
	note2(r.VerifyCVV(cvk, Card{PAN: canaryPAN + canaryPIN}, canaryPIN))
	note2(r.VerifyCVV(cvk, Card{PAN: canaryPAN, Expiry: canaryPIN}, canaryPIN))
	note2(r.VerifyDUKPT(&Device{Ref: bdk, KSN: unhex(t, canaryKey)}, nil, nil))
	note2(r.DecryptDUKPT(&Device{Ref: bdk, KSN: unhex(t, ksnTDES)}, nil, unhex(t, canaryKey)[1:]))
	s := purse.SM4(purse.TruncLeft4, purse.SerialFactor())
	note2(r.MakePurseMAC(&PurseMAC{Ref: load, Scheme: &s, Message: purse.LoadMAC2}))
	note2(r.OpenWorkingKeys(kek, unhex(t, canaryLong)))
	note2(r.OpenWorkingKeys(kek, append(unhex(t, canaryLong), unhex(t, canaryKey)[:8]...)))
	note(r.ChangeMaster(a, a, two))
	note(r.ChangeMaster(a, b, two))
	note(r.Destroy(link, two))
	note2(r.Signer(link))
	noError(t, r.Retire(receipts, time.Hour, two))
	note2(r.Signer(receipts))
	note2(Open(path, a, fixedComponent(t, 0x42), Options{}))
	note2(Open(path, a, a, Options{}))
	text := string(a.text())
	note2(ParseComponent([]byte(strings.Replace(text, "KCV ", "KCV 0", 1))))
	note2(ParseComponent([]byte(strings.Replace(text, "KEY", "KEX", 1))))
	note2(ParseComponent([]byte(strings.Replace(text, " ", " g", 2))))
	master := must(combine(a, b))(t)
	keys := [][]byte{unhex(t, canaryKey), unhex(t, canaryOther), unhex(t, canaryLong),
		a.secret.open(), b.secret.open(), master.open(), r.vault.mac.open()}
	for _, p := range parts(t, TDES2, canaryKey) {
		keys = append(keys, p.value.open())
	}
	for i, err := range errs {
		if err == nil {
			t.Errorf("path %d did not fail", i)
			continue
		}
		if found := leaks(err.Error()+printed(t, err), keys...); len(found) > 0 {
			t.Errorf("error %d shows %v", i, found)
		}
	}
	if found := leaks(trail.String(), keys...); len(found) > 0 || trail.Len() == 0 {
		t.Errorf("the audit trail shows %v", found)
	}
	if found := leaks(string(must(os.ReadFile(path))(t)), keys...); len(found) > 0 {
		t.Errorf("the file shows %v", found)
	}
}

// failPIN fails with PIN blocks in all ways.
func failPIN(t *testing.T, r *Ring, zone, pvk, bdk Ref, note func(any, error)) {
	t.Helper()
	clearBlock := must(pinblock.Encode(pinblock.Format0, []byte(canaryPIN), canaryPAN, nil))(t)
	c := must(block.New(block.TDES, unhex(t, canaryKey)))(t)
	c.Encrypt(clearBlock[:], clearBlock[:])
	side := func(f pinblock.Format, pan string) PINBlock {
		return PINBlock{Key: PINKey{Ref: zone}, Format: f, PAN: pan}
	}
	for _, tr := range []PINTranslation{
		{In: side(pinblock.Format0, canaryPAN), Out: side(pinblock.Format1, canaryPAN)},
		{In: side(pinblock.Format0, canaryPAN), Out: side(pinblock.Format4, canaryPAN)},
		{In: side(pinblock.Format0, canaryPAN), Out: side(pinblock.Format0, testPAN)},
		{In: side(pinblock.Format3, canaryPAN), Out: side(pinblock.Format0, canaryPAN)},
		{In: side(pinblock.Format0, testPAN), Out: side(pinblock.Format0, testPAN)},
		{In: side(pinblock.Format0, canaryPAN+"12345"), Out: side(pinblock.Format0, canaryPAN+"12345")},
		{In: side(pinblock.Format0, canaryPAN), Out: PINBlock{Key: PINKey{Ref: pvk}}},
		{In: PINBlock{Key: PINKey{Ref: bdk, KSN: unhex(t, canaryKey)}}, Out: side(0, canaryPAN)},
	} {
		note(r.TranslatePIN(nil, clearBlock[:], &tr))
	}
	for _, p := range []PINCheck{{PINBlock: side(pinblock.Format0, testPAN), Enciphered: clearBlock[:]},
		{PINBlock: side(pinblock.Format4, canaryPAN), Enciphered: clearBlock[:]},
		{PINBlock: side(pinblock.Format0, canaryPAN), Enciphered: clearBlock[1:]},
		{PINBlock: side(pinblock.Format0, canaryPAN+"x"), Enciphered: clearBlock[:]}} {
		note(r.VerifyPVV(pvk, &p, 1, canaryPIN))
	}
	good := PINCheck{PINBlock: side(pinblock.Format0, canaryPAN), Enciphered: clearBlock[:]}
	note(r.VerifyPVV(pvk, &good, 11, canaryPIN))
	note(r.VerifyPINOffset(pvk, &good, &pinblock.IBM3624{}, canaryPIN))
}

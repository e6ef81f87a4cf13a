package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/dukpt"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/crypto/receipt"
)

// Keys of published examples (ANSI X9.24-1 and -3) and synthetic ones.
const (
	bdkTDES  = "0123456789abcdeffedcba9876543210"
	ksnTDES  = "ffff9876543210e00001"
	bdkAES   = "fedcba9876543210f1f1f1f1f1f1f1f1"
	ksnAES   = "123456789012345600000001"
	kekTDES  = "89b07a34a1b3f47f4c76ea6d0d2f0e13"
	kekAES   = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcde0"
	cardCVK  = "0123456789abcdeffedcba9876543210"
	testPAN  = "6225880137706868"
	testPIN  = "1234"
	sm4Key   = "0123456789abcdeffedcba9876543210"
	tokenKey = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	noError(t, err)
	return b
}

// parts splits a key for Import: the second component is what is left.
func parts(t testing.TB, a Algorithm, key string) []KeyComponent {
	t.Helper()
	whole := unhex(t, key)
	one, rest := make([]byte, len(whole)), make([]byte, len(whole))
	for i, b := range whole {
		one[i] = 0x13 + byte(i*29)
		rest[i] = b ^ one[i]
	}
	kind := a
	if algorithms[a].kcv == KCVPublic {
		kind = HMACSHA256
	}
	return []KeyComponent{NewKeyComponent(one, must(kcvOf(kind, one))(t)),
		NewKeyComponent(rest, must(kcvOf(kind, rest))(t))}
}

// put imports a key and activates it.
func put(t testing.TB, r *Ring, ref string, a Algorithm, key string) Ref {
	t.Helper()
	info, err := r.Import(ClearKey{Ref: must(ParseRef(ref))(t), Algorithm: a, Exportable: true,
		Components: parts(t, a, key)}, two)
	if errors.Is(err, ErrNotExportable) {
		info, err = r.Import(ClearKey{Ref: must(ParseRef(ref))(t), Algorithm: a,
			Components: parts(t, a, key)}, two)
	}
	noError(t, err)
	noError(t, r.Activate(info.Ref, two))
	return info.Ref
}

func emptyRing(t testing.TB, o Options) *Ring {
	t.Helper()
	a, b := twoComponents(t)
	o.Actor = two
	r := must(CreateStore(filepath.Join(t.TempDir(), "keys"), a, b, o))(t)
	t.Cleanup(r.Close)
	return r
}

// TestDUKPT verifies MACs, deciphers data and translates PINs of DUKPT terminals, of both
// standards.
func TestDUKPT(t *testing.T) {
	r := emptyRing(t, Options{})
	zone := put(t, r, "pin/zone", TDES2, kekTDES)
	for _, c := range []struct {
		ref, bdk, ksn string
		a             Algorithm
		format        pinblock.Format
	}{{"dukpt_bdk/tdes", bdkTDES, ksnTDES, TDES2, pinblock.Format0},
		{"dukpt_bdk/aes", bdkAES, ksnAES, AES128, pinblock.Format4}} {
		ref := put(t, r, c.ref, c.a, c.bdk)
		ksn := unhex(t, c.ksn)
		tx := must(dukpt.FromBDK(unhex(t, c.bdk), must(dukpt.ParseKSN(ksn))(t), dukpt.Same))(t)
		d := &Device{Ref: ref, KSN: ksn, Guard: dukpt.NewGuard(10)}
		data := []byte("sixteen bytes in")
		sum := must(tx.RequestMAC())(t).Sum(nil, data)
		if ok, err := r.VerifyDUKPT(d, data[1:], sum); ok || err != nil {
			t.Errorf("%s: a wrong MAC is %v, %v", c.ref, ok, err)
		}
		if ok, err := r.VerifyDUKPT(d, data, sum); !ok || err != nil {
			t.Errorf("%s: the device's MAC is %v, %v", c.ref, ok, err)
		}
		_, err := r.VerifyDUKPT(d, data, sum)
		wantError(t, err, dukpt.ErrReplay)
		answer := must(r.MACDUKPT(d, nil, data))(t)
		if !must(tx.ResponseMAC())(t).Verify(data, answer) {
			t.Errorf("%s: the device does not take the answer", c.ref)
		}
		enciphered := must(tx.EncryptData(dukpt.UsageDataRequest, nil, data))(t)
		if got := must(r.DecryptDUKPT(d, nil, enciphered))(t); !bytes.Equal(got, data) {
			t.Errorf("%s: other data", c.ref)
		}
		pinCipher := must(tx.Cipher(dukpt.UsagePIN))(t)
		pinFromDevice(t, r, zone, PINBlock{Key: PINKey{Ref: ref, KSN: ksn}, Format: c.format,
			PAN: testPAN}, encipherPIN(t, pinCipher, c.format))
		for _, bad := range [][]byte{nil, ksn[1:], make([]byte, len(ksn)), unhex(t, ksnTDES+ksnAES)} {
			if _, err := r.MACDUKPT(&Device{Ref: ref, KSN: bad}, nil, data); err == nil {
				t.Errorf("%s: KSN of %d bytes was taken", c.ref, len(bad))
			}
		}
	}
	_, err := r.MACDUKPT(&Device{Ref: Ref{DUKPT, "tdes", 1}, KSN: unhex(t, ksnAES)}, nil, nil)
	wantError(t, err, ErrAlgorithm)
	side := PINBlock{Key: PINKey{Ref: Ref{DUKPT, "tdes", 1}, KSN: unhex(t, ksnTDES)}, PAN: testPAN}
	_, err = r.TranslatePIN(nil, make([]byte, 8), &PINTranslation{In: side, Out: side})
	wantError(t, err, ErrPurpose) // no host sends PINs under DUKPT
}

func encipherPIN(t testing.TB, c interface {
	Encrypt(dst, src []byte)
	Decrypt(dst, src []byte)
	BlockSize() int
}, f pinblock.Format) []byte {
	t.Helper()
	if f == pinblock.Format4 {
		b := must(pinblock.EncodeFormat4(c, []byte(testPIN), testPAN, nil))(t)
		return b[:]
	}
	b := must(pinblock.Encode(f, []byte(testPIN), testPAN, nil))(t)
	c.Encrypt(b[:], b[:])
	return b[:]
}

func pinFromDevice(t *testing.T, r *Ring, zone Ref, in PINBlock, enciphered []byte) {
	t.Helper()
	got, err := r.TranslatePIN(nil, enciphered, &PINTranslation{In: in,
		Out: PINBlock{Key: PINKey{Ref: zone}, Format: pinblock.Format0, PAN: testPAN}})
	noError(t, err)
	must(block.New(block.TDES, unhex(t, kekTDES)))(t).Decrypt(got, got)
	if pin, err := pinblock.Decode(nil, pinblock.Format0, got, testPAN); string(pin) != testPIN {
		t.Errorf("another PIN arrived, error %v", err)
	}
}

// TestCardChecks verifies CVV, PVV and IBM 3624 offsets of what package pinblock makes.
func TestCardChecks(t *testing.T) {
	r := emptyRing(t, Options{})
	cvk := put(t, r, "cvk/bank", TDES2, cardCVK)
	pvk := put(t, r, "pvk/bank", TDES2, kekTDES)
	offset := put(t, r, "pin_offset/bank", TDES2, cardCVK)
	pinKey := put(t, r, "pin/in", TDES2, bdkTDES)
	card := Card{PAN: testPAN, Expiry: "2912", Service: "201"}
	cvv := must(pinblock.CVV(unhex(t, cardCVK), card.PAN, card.Expiry, card.Service))(t)
	for value, expected := range map[string]bool{string(cvv[:]): true, "": false,
		string(cvv[:2]): false, string([]byte{cvv[0] ^ 1, cvv[1], cvv[2]}): false} {
		if ok, err := r.VerifyCVV(cvk, card, value); ok != expected || err != nil {
			t.Errorf("CVV: %v, %v, want %v", ok, err, expected)
		}
	}
	_, err := r.VerifyCVV(cvk, Card{PAN: "1"}, "123")
	wantError(t, err, pinblock.ErrPAN)
	check := &PINCheck{PINBlock: PINBlock{Key: PINKey{Ref: pinKey}, Format: pinblock.Format0,
		PAN: testPAN}}
	check.Enciphered = encipherPIN(t, must(block.New(block.TDES, unhex(t, bdkTDES)))(t),
		pinblock.Format0)
	pvv := must(pinblock.PVV(unhex(t, kekTDES), 1, []byte(testPIN), testPAN))(t)
	how := &pinblock.IBM3624{Table: "0123456789012345", Start: 0, Length: 16, Pad: 'F'}
	right := string(must(how.Offset(nil, unhex(t, cardCVK), testPAN, []byte(testPIN)))(t))
	for range 2 {
		expected := check.Format == pinblock.Format0 && check.PAN == testPAN
		ok, err := r.VerifyPVV(pvk, check, 1, string(pvv[:]))
		ok2, err2 := r.VerifyPINOffset(offset, check, how, right)
		if ok != expected || ok2 != expected || (err == nil) != expected || (err2 == nil) != expected {
			t.Errorf("PVV %v, %v and offset %v, %v, want %v", ok, err, ok2, err2, expected)
		}
		if !expected && !errors.Is(err, ErrPINBlock) {
			t.Errorf("of another card: %v", err)
		}
		check.PAN = "6225880137706876"
	}
	check.PAN = testPAN
	if ok, err := r.VerifyPVV(pvk, check, 2, string(pvv[:])); ok || err != nil {
		t.Errorf("PVV of another index: %v, %v", ok, err)
	}
	if ok, err := r.VerifyPINOffset(offset, check, how, "0000"); ok || err != nil {
		t.Errorf("another offset: %v, %v", ok, err)
	}
	check.Format = pinblock.Format4
	_, err = r.VerifyPVV(pvk, check, 1, string(pvv[:]))
	wantError(t, err, pinblock.ErrCipher)
	check.Format, check.Enciphered = pinblock.Format0, check.Enciphered[1:]
	_, err = r.VerifyPVV(pvk, check, 1, string(pvv[:]))
	wantError(t, err, pinblock.ErrBlock)
	check.Key.Ref = cvk
	_, err = r.VerifyPVV(pvk, check, 1, string(pvv[:]))
	wantError(t, err, ErrPurpose)
	_, err = r.VerifyPVV(cvk, check, 1, string(pvv[:]))
	wantError(t, err, ErrPurpose)
	aes := put(t, r, "pin/aes", AES128, bdkAES)
	check = &PINCheck{PINBlock: PINBlock{Key: PINKey{Ref: aes}, Format: pinblock.Format4, PAN: testPAN},
		Enciphered: encipherPIN(t, must(block.New(block.AES, unhex(t, bdkAES)))(t), pinblock.Format4)}
	if ok, err := r.VerifyPVV(pvk, check, 1, string(pvv[:])); !ok || err != nil {
		t.Errorf("PVV of a block of format 4: %v, %v", ok, err)
	}
}

func TestTokenizer(t *testing.T) {
	r := emptyRing(t, Options{})
	ref := put(t, r, "card_token/city", HMACSHA256, tokenKey)
	got := must(r.Tokenizer(ref))(t)
	number := must(pan.Parse(testPAN))(t)
	if got.Token(number) != must(pan.NewTokenizer(unhex(t, tokenKey)))(t).Token(number) {
		t.Error("another token")
	}
	noError(t, r.Retire(ref, time.Hour, two))
	_, err := r.Tokenizer(ref)
	wantError(t, err, ErrNotActive)
}

// TestSigner seals a statement with both algorithms, and has a verifier with the public key
// look at it.
func TestSigner(t *testing.T) {
	r := emptyRing(t, Options{})
	for _, a := range []Algorithm{Ed25519, SM2} {
		for _, from := range []string{"generated", "imported"} {
			ref := Ref{Purpose: Receipt, Scheme: a.String() + "-" + from, Version: 1}
			if from == "generated" {
				must(r.Generate(NewKey{Ref: ref, Algorithm: a}, two))(t)
				noError(t, r.Activate(ref, two))
			} else {
				put(t, r, ref.String(), a, tokenKey)
			}
			s := must(r.Signer(Ref{Purpose: Receipt, Scheme: ref.Scheme}))(t)
			if s.KeyID() != ref.String() {
				t.Errorf("key id %s, want %v", s.KeyID(), ref)
			}
			info := must(r.Info(ref))(t)
			if !bytes.Equal(info.Public, s.PublicKey()) || len(info.Public) == 0 {
				t.Error("another public key in the info")
			}
			message := []byte("the card was refused at 12:00")
			signature := must(s.Sign(message))(t)
			if !verifySignature(t, s, message, signature) {
				t.Errorf("%v: the signature is wrong", ref)
			}
			s.PublicKey()[0] ^= 1
			if !bytes.Equal(info.Public, s.PublicKey()) {
				t.Error("the signer's public key can be changed")
			}
			noError(t, r.Retire(ref, time.Hour, two))
			_, err := s.Sign(message)
			wantError(t, err, ErrNotActive)
			_, err = r.Signer(ref)
			wantError(t, err, ErrNotActive)
			if got := must(r.Info(ref))(t).Public; !bytes.Equal(got, info.Public) {
				t.Error("the public key of a retiring key is gone")
			}
		}
	}
}

func verifySignature(t *testing.T, s receipt.Signer, message, signature []byte) bool {
	t.Helper()
	if len(signature) != 64 {
		return false
	}
	switch s.Algorithm() {
	case receipt.SM2:
		return verifySM2(t, s.PublicKey(), message, signature)
	default:
		return verifyEd25519(s.PublicKey(), message, signature)
	}
}

// TestSignWhileDestroyed signs while the ring is closed: a signature or ErrClosed or
// ErrDestroyed, never a wrong signature.
func TestSignWhileDestroyed(t *testing.T) {
	for _, a := range []Algorithm{Ed25519, SM2} {
		r := emptyRing(t, Options{})
		ref := Ref{Purpose: Receipt, Scheme: "x", Version: 1}
		must(r.Generate(NewKey{Ref: ref, Algorithm: a}, two))(t)
		noError(t, r.Activate(ref, two))
		s := must(r.Signer(ref))(t)
		signed := make(chan struct{}, 100)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				signature, err := s.Sign([]byte("m"))
				if err != nil {
					if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrDestroyed) {
						t.Errorf("%v: %v", a, err)
					}
					return
				}
				if !verifySignature(t, s, []byte("m"), signature) {
					t.Errorf("%v: a wrong signature", a)
				}
				select {
				case signed <- struct{}{}:
				default:
				}
			}
		}()
		<-signed
		<-signed
		r.Close()
		<-done
	}
}

// TestSM4 uses SM4 keys where they are allowed.
func TestSM4(t *testing.T) {
	r := emptyRing(t, Options{})
	ref := put(t, r, "terminal_mac/sm4", SM4, sm4Key)
	m := must(mac.New(mac.CUPSM4, unhex(t, sm4Key)))(t)
	got := must(r.MAC(ref, mac.CUPSM4, nil, []byte("sale")))(t)
	if !bytes.Equal(got, m.Sum(nil, []byte("sale"))) {
		t.Error("another MAC")
	}
	tac := put(t, r, "purse_tac/sm4", SM4, sm4Key)
	s := purse.SM4(purse.TruncXorFold4, purse.SerialFactor())
	call := &PurseMAC{Ref: tac, Scheme: &s, Message: purse.PurchaseTAC,
		Values: purse.Values{Type: purse.PurchaseEP, Amount: 200}}
	card := must(must(purse.NewMaster(s, unhex(t, sm4Key)))(t).Card(&call.Card))(t)
	if ok, err := r.VerifyPurseMAC(call, card.TAC().MAC(call.Message, &call.Values)); !ok || err != nil {
		t.Errorf("TAC under SM4: %v, %v", ok, err)
	}
	kek := put(t, r, "key_exchange/sm4", SM4, sm4Key)
	_, err := r.ExportBlock(ref, kek, two)
	wantError(t, err, ErrAlgorithm)
	_, _, err = r.NewWorkingKeys(kek, Working40)
	wantError(t, err, ErrAlgorithm)
	_, err = r.ImportBlock(KeyBlock{Ref: Ref{PIN, "x", 1}, Under: kek, Block: "x"}, two)
	wantError(t, err, ErrAlgorithm)
}

// TestFoldedTAC has a TAC key of eight bytes, which was folded when it was loaded.
func TestFoldedTAC(t *testing.T) {
	r := emptyRing(t, Options{})
	ref := put(t, r, "purse_tac/psam", DES, kekTDES[:16])
	s := purse.TDES()
	s.TACKey = purse.TACFolded
	call := &PurseMAC{Ref: ref, Scheme: &s, Message: purse.PurchaseTAC,
		Values: purse.Values{Type: purse.PurchaseEP, Amount: 200}}
	card := must(must(purse.NewMaster(s, unhex(t, kekTDES[:16])))(t).Card(&call.Card))(t)
	if ok, err := r.VerifyPurseMAC(call, card.TAC().MAC(call.Message, &call.Values)); !ok || err != nil {
		t.Errorf("folded TAC: %v, %v", ok, err)
	}
}

// TestPurseOther makes and verifies the MACs of purchases, unloads and overdraft updates.
func TestPurseOther(t *testing.T) {
	r := emptyRing(t, Options{})
	s := purse.TDES(purse.SerialFactor())
	random := [4]byte{1, 2, 3, 4}
	values := purse.Values{Type: purse.PurchaseEP, Amount: 200, Counter: 7, TermSeq: 99}
	for _, c := range []struct {
		purpose Purpose
		message purse.Message
		makes   bool
		offline bool
	}{{PursePurchase, purse.PurchaseMAC1, true, true}, {PursePurchase, purse.PurchaseMAC2, false, true},
		{PurseUnload, purse.UnloadMAC1, false, false}, {PurseUnload, purse.UnloadMAC2, true, false},
		{PurseUnload, purse.UnloadMAC3, false, false}, {PurseOverdraft, purse.OverdraftMAC1, false, false},
		{PurseOverdraft, purse.OverdraftMAC2, true, false}} {
		ref := put(t, r, c.purpose.String()+"/city", TDES2, kekTDES)
		call := &PurseMAC{Ref: ref, Scheme: &s, Message: c.message, Random: random, Values: values}
		card := must(must(purse.NewMaster(s, unhex(t, kekTDES)))(t).Card(&call.Card))(t)
		session := card.Online(random, values.Counter)
		if c.offline {
			session = card.Offline(random, values.Counter, values.TermSeq)
		}
		expected := session.MAC(c.message, &values)
		if ok, err := r.VerifyPurseMAC(call, expected); !ok || err != nil {
			t.Errorf("message %d: %v, %v", c.message, ok, err)
		}
		got, err := r.MakePurseMAC(call)
		if c.makes && (err != nil || got != expected) || !c.makes && !errors.Is(err, ErrPurpose) {
			t.Errorf("message %d: %v, want made %v", c.message, err, c.makes)
		}
	}
}

func TestTACKeys(t *testing.T) {
	r := emptyRing(t, Options{})
	ref := put(t, r, "purse_tac/city", TDES2, kekTDES)
	s := purse.TDES(purse.SerialFactor())
	issuer := [8]byte{1}
	keys := must(r.TACKeys([]CardKeys{
		{Keys: "city", Cards: s, Versions: map[uint8]uint32{0: 1, 5: 1}},
		{Issuer: issuer, Keys: "nobody", Cards: s},
	}))(t)
	m := keys.TACMaster(purse.KeyID{})
	if m == nil || keys.TACMaster(purse.KeyID{Version: 5}) != m ||
		keys.TACMaster(purse.KeyID{Issuer: [8]byte{9}, Version: 5}) != m {
		t.Error("not the same master each time")
	}
	for _, id := range []purse.KeyID{{Version: 1}, {Index: 1}, {Issuer: issuer, Version: 5}} {
		if keys.TACMaster(id) != nil {
			t.Errorf("%+v has a key", id)
		}
	}
	_, err := r.TACKeys([]CardKeys{{Keys: "a", Cards: s}, {Keys: "b", Cards: s}})
	wantError(t, err, ErrDuplicate)
	_, err = r.TACKeys([]CardKeys{{Keys: "a/b", Cards: s}})
	wantError(t, err, ErrRef)
	_, err = r.TACKeys([]CardKeys{{Keys: "a"}})
	wantError(t, err, purse.ErrScheme)
	_, err = r.TACKeys(make([]CardKeys, cardKeysMax+1))
	wantError(t, err, ErrFull)
	bad := must(r.TACKeys([]CardKeys{{Keys: "city", Cards: purse.SM4(purse.TruncLeft4)}}))(t)
	if bad.TACMaster(purse.KeyID{Version: 1}) != nil {
		t.Error("a 3DES key for SM4 cards")
	}
	noError(t, r.Retire(ref, 0, two))
	noError(t, r.Destroy(ref, two))
	if keys.TACMaster(purse.KeyID{Version: 5}) != nil {
		t.Error("a destroyed key is there")
	}
	put(t, r, "purse_tac/city/6", TDES2, bdkTDES)
	if k := keys.(*tacKeys); keys.TACMaster(purse.KeyID{Version: 5}) != nil || len(k.masters) != 1 {
		t.Errorf("%d masters", len(k.masters))
	}
	again := must(r.TACKeys([]CardKeys{{Keys: "city", Cards: s}}))(t)
	if again.TACMaster(purse.KeyID{Version: 6}) == nil || again.TACMaster(purse.KeyID{Version: 1}) != nil {
		t.Error("versions are not the card's")
	}
}

// TestKeyBlocks exports keys and imports them into another ring.
func TestKeyBlocks(t *testing.T) {
	from, to := emptyRing(t, Options{}), emptyRing(t, Options{})
	for _, r := range []*Ring{from, to} {
		put(t, r, "key_exchange/tdes", TDES2, kekTDES)
		put(t, r, "key_exchange/aes", AES256, kekAES)
	}
	for _, c := range []struct {
		ref, under string
		a          Algorithm
		key, head  string
	}{
		{"pin/z", "key_exchange/aes", TDES2, bdkTDES, "D0144P0TB00N0000"},
		{"pin/z4", "key_exchange/aes", AES128, bdkAES, "D0112P0AB00N0000"},
		{"mac/z", "key_exchange/tdes", TDES2, bdkTDES, "B0"},
		{"mac/single", "key_exchange/tdes", DES, bdkTDES[:16], "B0"},
		{"dukpt_bdk/z", "key_exchange/tdes", TDES2, bdkTDES, "B0"},
		{"cvk/z", "key_exchange/tdes", TDES2, bdkTDES, "B0"},
		{"pvk/z", "key_exchange/aes", TDES2, bdkTDES, "D0"},
		{"purse_load/z", "key_exchange/aes", TDES2, bdkTDES, "D0"},
	} {
		ref, under := put(t, from, c.ref, c.a, c.key), must(ParseRef(c.under))(t)
		text, err := from.ExportBlock(ref, under, two)
		if err != nil {
			t.Errorf("%s: %v", c.ref, err)
			continue
		}
		if !strings.HasPrefix(text, c.head[:1]) || text[5:7] != purposes[ref.Purpose].usages[0] {
			t.Errorf("%s: block %.16s", c.ref, text)
		}
		info, err := to.ImportBlock(KeyBlock{Ref: Ref{ref.Purpose, ref.Scheme, 9}, Under: under,
			Block: text, KCV: must(from.Info(ref))(t).KCV}, two)
		if err != nil {
			t.Errorf("%s: %v", c.ref, err)
			continue
		}
		if info.KCV != must(from.Info(ref))(t).KCV || info.Algorithm != c.a || info.Exportable ||
			info.Origin != "block" || info.Ref.Version != 9 {
			t.Errorf("%s came as %+v", c.ref, info)
		}
		_, err = to.ExportBlock(info.Ref, under, two)
		wantError(t, err, ErrNotExportable)
	}
}

// TestKeyBlockRefusals imports blocks that do not fit.
func TestKeyBlockRefusals(t *testing.T) {
	r := emptyRing(t, Options{})
	under := put(t, r, "key_exchange/aes", AES256, kekAES)
	wrap := func(usage, mode string, letter byte, export byte, key string) string {
		t.Helper()
		return must(keyblock.Wrap(unhex(t, kekAES), keyblock.Header{Version: keyblock.VersionD,
			Usage: keyblock.Usage(usage), Algorithm: letter, Mode: mode[0], KeyVersion: "00",
			Export: export}, unhex(t, key), keyblock.WrapOptions{}))(t)
	}
	good := wrap("P0", "B", 'T', 'E', bdkTDES)
	for _, c := range []struct {
		name string
		k    KeyBlock
		err  error
	}{
		{"usage", KeyBlock{Ref: Ref{MessageMAC, "x", 0}, Block: good}, ErrUsage},
		{"mode", KeyBlock{Ref: Ref{PIN, "x", 0}, Block: wrap("P0", "X", 'T', 'E', bdkTDES)}, ErrUsage},
		{"letter", KeyBlock{Ref: Ref{PIN, "x", 0}, Block: wrap("P0", "B", 'H', 'E', bdkTDES)}, ErrUsage},
		{"algorithm", KeyBlock{Ref: Ref{CVK, "x", 0}, Block: wrap("C0", "C", 'A', 'E', bdkAES)},
			ErrAlgorithm},
		{"single DES PIN key", KeyBlock{Ref: Ref{PIN, "x", 0},
			Block: wrap("P0", "B", 'T', 'E', bdkTDES[:16])}, ErrAlgorithm},
		{"no key blocks", KeyBlock{Ref: Ref{CardToken, "x", 0}, Block: wrap("D0", "B", 'A', 'E', bdkAES)},
			ErrAlgorithm},
		{"weak", KeyBlock{Ref: Ref{PIN, "x", 0},
			Block: wrap("P0", "B", 'T', 'E', bdkTDES[:16]+bdkTDES[:16])}, block.ErrHalves},
		{"parity", KeyBlock{Ref: Ref{PIN, "x", 0},
			Block: wrap("P0", "B", 'T', 'E', bdkTDES[:31]+"1")}, block.ErrParity},
		{"KCV", KeyBlock{Ref: Ref{PIN, "x", 0}, Block: good, KCV: "AABBCC"}, ErrKCV},
		{"exportable", KeyBlock{Ref: Ref{PIN, "x", 0}, Block: wrap("P0", "B", 'T', 'N', bdkTDES),
			Exportable: true}, ErrNotExportable},
		{"changed", KeyBlock{Ref: Ref{PIN, "x", 0}, Block: strings.Replace(good, "P0", "D0", 1)},
			keyblock.ErrMAC},
		{"no block", KeyBlock{Ref: Ref{PIN, "x", 0}, Block: "D00"}, keyblock.ErrHeader},
		{"purpose of the wrapping key", KeyBlock{Ref: Ref{PIN, "x", 0}, Block: good,
			Under: put(t, r, "pin/other", AES256, kekAES)}, ErrPurpose},
		{"duplicate", KeyBlock{Ref: Ref{PIN, "other", 1}, Block: good}, ErrDuplicate},
	} {
		if c.k.Under == (Ref{}) {
			c.k.Under = under
		}
		before := r.Generation()
		if _, err := r.ImportBlock(c.k, two); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if r.Generation() != before {
			t.Errorf("%s: the store changed", c.name)
		}
	}
	_, err := r.ExportBlock(under, under, two)
	wantError(t, err, ErrPurpose)
	_, err = r.ExportBlock(Ref{PIN, "nobody", 1}, under, two)
	wantError(t, err, ErrUnknown)
	_, err = r.Generate(NewKey{Ref: Ref{CardToken, "x", 1}, Exportable: true}, two)
	wantError(t, err, ErrNotExportable)
}

// TestBlockBinds imports keys whose blocks allow less than their purpose.
func TestBlockBinds(t *testing.T) {
	r := emptyRing(t, Options{})
	under := put(t, r, "key_exchange/aes", AES256, kekAES)
	load := func(ref Ref, usage, mode string) Ref {
		t.Helper()
		text := must(keyblock.Wrap(unhex(t, kekAES), keyblock.Header{Version: keyblock.VersionD,
			Usage: keyblock.Usage(usage), Algorithm: 'T', Mode: mode[0], KeyVersion: "00", Export: 'E'},
			unhex(t, bdkTDES), keyblock.WrapOptions{}))(t)
		info := must(r.ImportBlock(KeyBlock{Ref: ref, Under: under, Block: text, Exportable: true}, two))(t)
		noError(t, r.Activate(info.Ref, two))
		return info.Ref
	}
	verifies := load(Ref{MessageMAC, "v", 1}, "M3", "V")
	_, err := r.MAC(verifies, mac.X919, nil, nil)
	wantError(t, err, ErrPurpose)
	_, err = r.VerifyMAC(verifies, mac.X919, nil, nil)
	noError(t, err)
	_, err = r.VerifyMAC(verifies, mac.CUPTDES, nil, nil)
	wantError(t, err, ErrPurpose) // M3 is the retail MAC
	makes := load(Ref{MessageMAC, "g", 1}, "M6", "G")
	_, err = r.MAC(makes, mac.Scheme{Algorithm: mac.CMAC, Cipher: block.TDES}, nil, nil)
	noError(t, err)
	_, err = r.VerifyMAC(makes, mac.Scheme{Algorithm: mac.CMAC, Cipher: block.TDES}, nil, nil)
	wantError(t, err, ErrPurpose)
	text := must(r.ExportBlock(verifies, under, two))(t)
	if text[5:7] != "M3" || text[8] != 'V' {
		t.Errorf("exported as %.16s, came as M3 and V", text)
	}
}

// TestAllocations counts what hot operations allocate.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := emptyRing(t, Options{})
	ref := Ref{Purpose: MessageMAC, Scheme: "link"}
	put(t, r, "mac/link", TDES2, kekTDES)
	put(t, r, "pin/in", TDES2, bdkTDES)
	put(t, r, "pin/out", TDES2, kekTDES)
	data, dst := make([]byte, 100), make([]byte, 0, 16)
	sum := must(r.MAC(ref, mac.X919, nil, data))(t)
	in := encipherPIN(t, must(block.New(block.TDES, unhex(t, bdkTDES)))(t), pinblock.Format0)
	tr := &PINTranslation{In: PINBlock{Key: PINKey{Ref: Ref{Purpose: PIN, Scheme: "in"}}, PAN: testPAN},
		Out: PINBlock{Key: PINKey{Ref: Ref{Purpose: PIN, Scheme: "out"}}, PAN: testPAN}}
	for name, c := range map[string]struct {
		most float64
		do   func()
	}{
		"MAC":       {0, func() { _, _ = r.MAC(ref, mac.X919, dst, data) }},
		"verify":    {0, func() { _, _ = r.VerifyMAC(ref, mac.X919, data, sum) }},
		"translate": {1, func() { _, _ = r.TranslatePIN(dst, in, tr) }},
	} {
		if got := testing.AllocsPerRun(200, c.do); got > c.most {
			t.Errorf("%s allocates %v times, limit %v", name, got, c.most)
		}
	}
}

// TestCaches uses a key with more schemes than are kept.
func TestCaches(t *testing.T) {
	r := emptyRing(t, Options{})
	ref := put(t, r, "mac/link", TDES2, kekTDES)
	for range 2 {
		for size := 4; size <= 8; size++ {
			for _, p := range []mac.Padding{mac.Pad1, mac.Pad2, mac.Pad3} {
				s := mac.Scheme{Algorithm: mac.CBC, Cipher: block.TDES, Padding: p, Size: size}
				m := must(mac.New(s, unhex(t, kekTDES)))(t)
				if got := must(r.MAC(ref, s, nil, []byte("m")))(t); !m.Verify([]byte("m"), got) {
					t.Errorf("%v: another MAC", s)
				}
			}
		}
	}
	v := r.table.Load().byRef[ref]
	if n := len(*v.macs.Load()); n != cachedMax {
		t.Errorf("%d MACs are kept, want %d", n, cachedMax)
	}
	tac := put(t, r, "purse_tac/city", TDES2, kekTDES)
	for range 3 * cachedMax {
		s := purse.TDES(purse.SerialFactor())
		_, err := r.VerifyPurseMAC(&PurseMAC{Ref: tac, Scheme: &s, Message: purse.LoadTAC}, [4]byte{})
		noError(t, err)
	}
	if n := len(*r.table.Load().byRef[tac].masters.Load()); n != cachedMax {
		t.Errorf("%d masters are kept, want %d", n, cachedMax)
	}
	w, _, err := r.NewWorkingKeys(put(t, r, "key_exchange/t", TDES2, kekTDES), Working40)
	noError(t, err)
	for size := 4; size <= 8; size++ {
		for _, p := range []mac.Padding{mac.Pad1, mac.Pad2, mac.Pad3} {
			_, err := w.MAC(mac.Scheme{Algorithm: mac.CBC, Cipher: block.DES, Padding: p, Size: size}, nil, nil)
			noError(t, err)
		}
	}
	if n := len(w.macs); n > cachedMax {
		t.Errorf("%d MACs of a terminal are kept, limit %d", n, cachedMax)
	}
}

func TestTrack(t *testing.T) {
	r := emptyRing(t, Options{})
	tmk := put(t, r, "key_exchange/t", TDES2, kekTDES)
	w, field, err := r.NewWorkingKeys(tmk, Working60)
	noError(t, err)
	keys := must(must(keyblock.ParseTerminalKeys(field))(t).Unwrap(unhex(t, kekTDES)))(t)
	track := []byte("sixteen bytes in")
	sent := make([]byte, len(track))
	noError(t, block.EncryptECB(must(block.New(block.TDES, keys.Track))(t), sent, track))
	noError(t, w.DecryptTrack(sent, sent))
	if !bytes.Equal(sent, track) {
		t.Error("another track")
	}
	pin, auth, third := w.KCVs()
	if len(pin) != 8 || len(auth) != 8 || len(third) != 8 || pin == third {
		t.Errorf("check values %s %s %s", pin, auth, third)
	}
	small, _, err := r.NewWorkingKeys(tmk, Working40)
	noError(t, err)
	wantError(t, small.DecryptTrack(sent, sent), ErrUnknown)
	small.Close()
	wantError(t, small.DecryptTrack(sent, sent), ErrClosed)
	// A weak key in a genuine field.
	weak := keyblock.WorkingKeys{PIN: unhex(t, bdkTDES), MAC: unhex(t, "0101010101010101")}
	bad := must(must(keyblock.WrapTerminalKeys(unhex(t, kekTDES), weak))(t).AppendTo(nil))(t)
	_, err = r.OpenWorkingKeys(tmk, bad)
	wantError(t, err, block.ErrWeak)
}

func FuzzOpenWorkingKeys(f *testing.F) {
	r := emptyRing(f, Options{})
	tmk := put(f, r, "key_exchange/t", TDES2, kekTDES)
	_, field, err := r.NewWorkingKeys(tmk, Working60)
	noError(f, err)
	f.Add(field)
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := r.OpenWorkingKeys(tmk, b); err == nil {
			w.Close()
		}
	})
}

func FuzzImportBlock(f *testing.F) {
	r := emptyRing(f, Options{})
	under := put(f, r, "key_exchange/aes", AES256, kekAES)
	f.Add(must(r.ExportBlock(put(f, r, "pin/z", TDES2, bdkTDES), under, two))(f))
	f.Add("D0112P0AB00E0000")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = r.openBlock(&KeyBlock{Under: under, Block: text})
	})
}

// FuzzOperations gives arbitrary lengths to everything that takes bytes.
func FuzzOperations(f *testing.F) {
	r := emptyRing(f, Options{})
	link := put(f, r, "mac/link", TDES2, kekTDES)
	zone := put(f, r, "pin/zone", TDES2, kekTDES)
	bdk := put(f, r, "dukpt_bdk/x", TDES2, bdkTDES)
	track := put(f, r, "data/x", AES128, bdkAES)
	cvk := put(f, r, "cvk/x", TDES2, cardCVK)
	f.Add([]byte("12345678"), []byte("0000000000000000"), testPAN)
	f.Fuzz(func(t *testing.T, a, b []byte, s string) {
		_, _ = r.VerifyMAC(link, mac.X919, a, b)
		side := PINBlock{Key: PINKey{Ref: zone}, PAN: s}
		_, _ = r.TranslatePIN(nil, a, &PINTranslation{In: side, Out: side})
		_, _ = r.VerifyDUKPT(&Device{Ref: bdk, KSN: a}, b, b)
		_, _ = r.DecryptDUKPT(&Device{Ref: bdk, KSN: a}, b, b)
		_ = r.Decrypt(track, slices.Clone(a), b, a)
		_, _ = r.VerifyCVV(cvk, Card{PAN: s, Expiry: s, Service: s}, s)
	})
}

func BenchmarkMAC(b *testing.B) {
	r := emptyRing(b, Options{})
	put(b, r, "mac/link", TDES2, kekTDES)
	m := must(mac.New(mac.X919, unhex(b, kekTDES)))(b)
	ref, data, dst := Ref{Purpose: MessageMAC, Scheme: "link"}, make([]byte, 200), make([]byte, 0, 8)
	_, _ = rand.Read(data)
	b.Run("ring", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = r.MAC(ref, mac.X919, dst, data)
		}
	})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			_ = m.Sum(dst, data)
		}
	})
}

func BenchmarkTranslatePIN(b *testing.B) {
	r := emptyRing(b, Options{})
	put(b, r, "pin/in", TDES2, bdkTDES)
	put(b, r, "pin/out", TDES2, kekTDES)
	in := encipherPIN(b, must(block.New(block.TDES, unhex(b, bdkTDES)))(b), pinblock.Format0)
	tr := &PINTranslation{In: PINBlock{Key: PINKey{Ref: Ref{Purpose: PIN, Scheme: "in"}}, PAN: testPAN},
		Out: PINBlock{Key: PINKey{Ref: Ref{Purpose: PIN, Scheme: "out"}}, PAN: testPAN}}
	dst := make([]byte, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.TranslatePIN(dst, in, tr); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleParseRef() {
	ref, err := ParseRef("purse_tac/t-union/3")
	fmt.Println(ref.Purpose, ref.Scheme, ref.Version, err)
	// Output: purse_tac t-union 3 <nil>
}

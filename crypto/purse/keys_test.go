package purse_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"pgregory.net/rapid"
)

// sample are values that are all different, so that a field in the wrong place shows.
var sample = purse.Values{
	Type: purse.LoadEP, Amount: 0xa1a2a3a4, Balance: 0xb1b2b3b4, NewBalance: 0xc1c2c3c4,
	Counter: 0xd1d2, TermSeq: 0xe1e2e3e4, Terminal: [6]byte{1, 2, 3, 4, 5, 6},
	Date: [4]byte{0x20, 0x26, 0x11, 0x22}, Time: [3]byte{0x23, 0x59, 0x58},
	OldLimit: 0x112233, NewLimit: 0x445566, AuthCode: [9]byte{9, 8, 7, 6, 5, 4, 3, 2, 1},
}

// TestStandardData writes out the data of every MAC, as PBOC 2.0 part 1 has it.
func TestStandardData(t *testing.T) {
	const (
		amount, balance, after = "a1a2a3a4", "b1b2b3b4", "c1c2c3c4"
		tti, terminal, when    = "02", "010203040506", "20261122235958"
		counter, seq           = "d1d2", "e1e2e3e4"
	)
	for m, want := range map[purse.Message]string{
		purse.LoadMAC1:      balance + amount + tti + terminal,
		purse.LoadMAC2:      amount + tti + terminal + when,
		purse.LoadTAC:       after + counter + amount + tti + terminal + when,
		purse.PurchaseMAC1:  amount + tti + terminal + when,
		purse.PurchaseMAC2:  amount,
		purse.PurchaseTAC:   amount + tti + terminal + seq + when,
		purse.UnloadMAC1:    balance + amount + tti + terminal,
		purse.UnloadMAC2:    amount + tti + terminal + when,
		purse.UnloadMAC3:    after + counter + amount + tti + terminal + when,
		purse.OverdraftMAC1: balance + "112233" + tti + terminal,
		purse.OverdraftMAC2: "445566" + tti + terminal + when,
		purse.OverdraftTAC:  balance + counter + "445566" + tti + terminal + when,
	} {
		tpl := purse.Standard(m)
		got := hex.EncodeToString(tpl.Append(nil, &sample))
		if got != want || tpl.Size() != len(want)/2 {
			t.Errorf("message %d: %s, want %s", m, got, want)
		}
		back, err := purse.ParseTemplate(tpl.String())
		if err != nil || back.String() != tpl.String() {
			t.Errorf("message %d: %v %v", m, back, err)
		}
	}
	if purse.Standard(99) != nil {
		t.Error("an unknown message has a template")
	}
}

func TestTemplateErrors(t *testing.T) {
	for _, s := range []string{"", "amount,", "Amount", "amount type",
		strings.Repeat("authcode,", 7) + "date"} {
		if _, err := purse.ParseTemplate(s); !errors.Is(err, purse.ErrScheme) {
			t.Errorf("%q: %v", s, err)
		}
	}
	s := purse.TDES()
	for _, tpl := range []purse.Template{{0}, {200}, bytesOf(purse.FieldAuthCode, 8)} {
		s.Templates[purse.LoadTAC] = tpl
		if err := s.Check(); !errors.Is(err, purse.ErrScheme) {
			t.Errorf("%v: %v", tpl, err)
		}
	}
	if (purse.Template{200}).String() != "" || (purse.Template{200}).Size() != 0 {
		t.Error("an unknown field has a name")
	}
}

func bytesOf(f purse.Field, n int) purse.Template {
	return slices.Repeat(purse.Template{f}, n)
}

// TestDiversify compares levels with the reference: one block of 3DES for each half.
func TestDiversify(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "key")
		f := [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(r, "factor"))
		for _, a := range []block.Algorithm{block.TDES, block.SM4} {
			got, err := purse.Diversify(a, key, f)
			if want := reference(t, a, key, f); err != nil || !bytes.Equal(got, want) {
				r.Fatalf("%v: %x %v, want %x", a, got, err, want)
			}
			got, err = purse.SessionKey(a, key, f)
			if want := referenceSession(t, a, key, f); err != nil || !bytes.Equal(got, want) {
				r.Fatalf("%v session: %x %v, want %x", a, got, err, want)
			}
		}
	})
	for _, n := range []int{0, 8, 15, 17, 24} {
		if _, err := purse.Diversify(block.TDES, make([]byte, n), [8]byte{}); !errors.Is(err,
			purse.ErrKey) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := purse.SessionKey(block.SM4, make([]byte, n), [8]byte{}); !errors.Is(err,
			purse.ErrKey) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := purse.Fold(make([]byte, n)); !errors.Is(err, purse.ErrKey) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := purse.Diversify(block.AES, make([]byte, 16), [8]byte{}); !errors.Is(err,
		purse.ErrScheme) {
		t.Errorf("AES: %v", err)
	}
}

// TestInputs: what session keys are made of.
func TestInputs(t *testing.T) {
	random := [4]byte{0x11, 0x22, 0x33, 0x44}
	if got := purse.OnlineInput(random, 0xabcd); hex.EncodeToString(got[:]) != "11223344abcd8000" {
		t.Errorf("online: %x", got)
	}
	if got := purse.OfflineInput(random, 0xabcd,
		0x01020304); hex.EncodeToString(got[:]) != "11223344abcd0304" {
		t.Errorf("offline: %x", got)
	}
	k, err := purse.Fold(unhex("00112233445566770123456789abcdef"))
	if err != nil || hex.EncodeToString(k) != "01326754cdfeab98" {
		t.Errorf("fold: %x %v", k, err)
	}
}

// TestFactors: each kind of factor on a card, its text, and the refusals.
func TestFactors(t *testing.T) {
	card := purse.Card{
		Issuer: [8]byte{1, 1, 0x10, 0, 0xff, 0xfe, 0xfd, 0xfc}, Region: [4]byte{0xbd, 0xf0, 0xd2, 0xe7},
		Serial: purse.Serial{0x03, 0x10, 0x48, 0x70, 0x26, 0x12, 0x34, 0x56, 0x78, 0x90},
	}
	f := func(text, want string) {
		t.Helper()
		factor, err := purse.ParseFactor(text)
		if err != nil || factor.String() != text {
			t.Errorf("%s: %v %v", text, factor, err)
			return
		}
		m, err := purse.NewMaster(purse.TDES(factor), masterKey)
		if err != nil {
			t.Fatal(err)
		}
		key, err := m.Card(&card)
		if err != nil {
			t.Fatal(err)
		}
		ref := reference(t, block.TDES, masterKey, [8]byte(unhex(want)))
		tac := referenceMAC(t, block.TDES, referenceFold(ref), []byte("data"))
		if got := key.TAC().Full(nil, []byte("data")); !bytes.Equal(got, tac) {
			t.Errorf("%s is not %s", text, want)
		}
	}
	f("issuer", "01011000fffefdfc")
	f("region", "bdf0d2e7bdf0d2e7")
	f("serial", "4870261234567890")
	f("fixed:0123456789abcdef", "0123456789abcdef")
	f("issuer[2:4]", "1000100010001000")
	f("issuer[0:1]", "0101010101010101")
	f("serial[0:8]", "0310487026123456")
	f("serial[6:10]", "3456789034567890")
	for _, s := range []string{"", "card", "issuer[", "issuer[2:4", "issuer[2-4]", "issuer[-1:4]",
		"issuer[4:2]", "issuer[2:5]", "issuer[6:14]", "region[0:8]", "serial[4:12]", "serial[2:10]x",
		"fixed:0123", "fixed:xx23456789abcdef", "fixed[0:8]", "pan[0:8]", "issuer[0:300]"} {
		if got, err := purse.ParseFactor(s); !errors.Is(err, purse.ErrScheme) {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
}

// TestLevels: the levels are applied one after the other, for both ciphers.
func TestLevels(t *testing.T) {
	card := purse.Card{Issuer: [8]byte{1, 2, 3}, Region: [4]byte{4, 5, 6, 7}, Serial: serialOf(4711)}
	levels := []purse.Factor{purse.FixedFactor([8]byte{0xaa}), purse.RegionFactor(),
		purse.IssuerFactor(), purse.SerialFactor()}
	values := [][8]byte{{0xaa}, {4, 5, 6, 7, 4, 5, 6, 7}, card.Issuer, [8]byte(card.Serial[2:])}
	for n := range len(levels) + 1 {
		for _, s := range []purse.Scheme{purse.TDES(levels[:n]...), purse.SM4(0, levels[:n]...)} {
			m, err := purse.NewMaster(s, masterKey)
			if err != nil {
				t.Fatal(err)
			}
			key, err := m.Card(&card)
			if err != nil {
				t.Fatal(err)
			}
			want := masterKey
			for _, v := range values[:n] {
				want = reference(t, s.Cipher, want, v)
			}
			random := [4]byte{1, 2, 3, 4}
			in := [8]byte{1, 2, 3, 4, 0, 9, 0x80, 0}
			session := referenceSession(t, s.Cipher, want, in)
			full := referenceMAC(t, s.Cipher, session, []byte("some data"))
			if got := key.Online(random, 9).Full(nil, []byte("some data")); !bytes.Equal(got, full) {
				t.Errorf("%v, %d levels: %x, want %x", s.Cipher, n, got, full)
			}
		}
	}
}

// TestMAC compares MACs of every message with the reference, for all schemes.
func TestMAC(t *testing.T) {
	for _, c := range []struct {
		s    purse.Scheme
		fold bool
	}{
		{purse.TDES(), false}, {purse.CJT166(), false},
		{purse.SM4(purse.TruncLeft4), false}, {purse.SM4(purse.TruncXorFold4), true},
		{purse.Scheme{Cipher: block.TDES, Truncation: purse.TruncXorFold4}, true},
	} {
		key := masterKey
		if c.s.Cipher == block.TDES {
			key = masterKey[:8]
		}
		k, err := purse.NewMACKey(c.s, key)
		if err != nil {
			t.Fatal(err)
		}
		for m := purse.LoadMAC1; m <= purse.OverdraftTAC; m++ {
			full := referenceMAC(t, c.s.Cipher, key, c.s.Template(m).Append(nil, &sample))
			want := [4]byte(full)
			for i := 4; c.fold && i < len(full); i++ {
				want[i%4] ^= full[i]
			}
			got := k.MAC(m, &sample)
			if got != want || !k.Verify(m, &sample, want) {
				t.Errorf("%v message %d: %x, want %x", c.s.Cipher, m, got, want)
			}
			want[3] ^= 1
			if k.Verify(m, &sample, want) {
				t.Errorf("%v message %d: a wrong MAC passes", c.s.Cipher, m)
			}
			if sum := k.Sum(c.s.Template(m).Append(nil, &sample)); sum != got {
				t.Errorf("%v message %d: Sum is %x", c.s.Cipher, m, sum)
			}
		}
	}
}

// TestPadding: an aligned message and an empty one get a block of padding.
func TestPadding(t *testing.T) {
	for _, s := range []purse.Scheme{purse.TDES(), purse.SM4(0)} {
		key := masterKey[:8]
		if s.Cipher == block.SM4 {
			key = masterKey
		}
		k, _ := purse.NewMACKey(s, key)
		for n := range 50 {
			data := bytes.Repeat([]byte{7}, n)
			if got, want := k.Full([]byte{1}, data), referenceMAC(t, s.Cipher, key,
				data); !bytes.Equal(got[1:], want) {
				t.Errorf("%v, %d bytes: %x, want %x", s.Cipher, n, got[1:], want)
			}
		}
	}
}

// TestCJT166: the authentication code follows the time in MAC1 of purchase, and nowhere else.
func TestCJT166(t *testing.T) {
	s, plain := purse.CJT166(), purse.TDES()
	for m := purse.LoadMAC1; m <= purse.OverdraftTAC; m++ {
		got, want := s.Template(m).String(), plain.Template(m).String()
		if m == purse.PurchaseMAC1 {
			want += ",authcode"
		}
		if got != want {
			t.Errorf("message %d: %s, want %s", m, got, want)
		}
	}
	if s.Template(99) != nil {
		t.Error("an unknown message has a template")
	}
}

func TestSchemeErrors(t *testing.T) {
	f := func(s purse.Scheme) {
		t.Helper()
		if _, err := purse.NewMaster(s, masterKey); !errors.Is(err, purse.ErrScheme) {
			t.Errorf("%+v: %v", s, err)
		}
		if _, err := purse.NewMACKey(s, masterKey); !errors.Is(err, purse.ErrScheme) {
			t.Errorf("%+v: %v", s, err)
		}
		if _, err := purse.NewMasterOperation(s, elsewhere{}); !errors.Is(err, purse.ErrScheme) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	f(purse.Scheme{})
	f(purse.Scheme{Cipher: block.AES})
	f(purse.Scheme{Cipher: block.SM4})
	f(purse.Scheme{Cipher: block.TDES, TACKey: purse.TACWhole})
	f(purse.Scheme{Cipher: block.TDES, TACKey: 9})
	f(purse.Scheme{Cipher: block.TDES, Truncation: 9})
	f(purse.TDES(make([]purse.Factor, purse.LevelsMax+1)...))
	f(purse.TDES(purse.Factor{Source: 9}))
	f(purse.TDES(purse.Factor{Source: purse.SourceIssuer, Length: 3}))
	f(purse.Scheme{Cipher: block.TDES, TACKey: purse.TACFolded,
		Levels: []purse.Factor{purse.IssuerFactor()}})
	if _, err := purse.NewMasterOperation(purse.TDES(), elsewhere{}); !errors.Is(err,
		purse.ErrScheme) {
		t.Errorf("no level: %v", err)
	}
	if _, err := purse.NewMasterOperation(purse.TDES(purse.IssuerFactor()), nil); !errors.Is(err,
		purse.ErrScheme) {
		t.Errorf("no operation: %v", err)
	}
	names := fmt.Sprint(purse.TruncLeft4, purse.TruncXorFold4, purse.Truncation(9), purse.TACFold,
		purse.TACWhole, purse.TACFolded, purse.TACKey(9), purse.Factor{Source: 9})
	if names != "left4 xorfold4 unknown fold whole folded unknown unknown" {
		t.Error(names)
	}
}

func TestKeyLengths(t *testing.T) {
	folded := purse.Scheme{Cipher: block.TDES, TACKey: purse.TACFolded}
	for n := range 33 {
		key := make([]byte, n)
		for _, c := range []struct {
			s           purse.Scheme
			master, mac int
		}{{purse.TDES(), 16, 8}, {purse.SM4(0), 16, 16}, {folded, 8, 8}} {
			if _, err := purse.NewMaster(c.s, key); (err == nil) != (n == c.master) || err != nil &&
				!errors.Is(err, purse.ErrKey) {
				t.Errorf("%v master of %d: %v", c.s.Cipher, n, err)
			}
			if _, err := purse.NewMACKey(c.s, key); (err == nil) != (n == c.mac) || err != nil &&
				!errors.Is(err, purse.ErrKey) {
				t.Errorf("%v MAC key of %d: %v", c.s.Cipher, n, err)
			}
		}
	}
}

// TestFolded: a key that was folded when loaded is the TAC key itself.
func TestFolded(t *testing.T) {
	m, err := purse.NewMaster(purse.Scheme{Cipher: block.TDES, TACKey: purse.TACFolded},
		referenceFold(masterKey))
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := purse.NewMaster(purse.TDES(), masterKey)
	a, _ := m.Card(&purse.Card{})
	b, _ := whole.Card(&purse.Card{})
	if a.TAC().MAC(purse.PurchaseTAC, &sample) != b.TAC().MAC(purse.PurchaseTAC, &sample) {
		t.Error("folded before is not folded here")
	}
}

// elsewhere is a master key in another place: a Deriver that can be made to fail.
type elsewhere struct {
	alg block.Algorithm
	err error
}

func (e elsewhere) EncryptECB(dst, src []byte) error {
	if e.err != nil {
		return e.err
	}
	c, err := block.New(e.alg, masterKey)
	if err != nil {
		return err
	}
	return block.EncryptECB(c, dst, src)
}

// TestElsewhere: a master key that only encrypts gives the same card keys.
func TestElsewhere(t *testing.T) {
	card := purse.Card{Issuer: [8]byte{1, 2, 3}, Serial: serialOf(99)}
	levels := []purse.Factor{purse.IssuerFactor(), purse.SerialFactor()}
	for _, s := range []purse.Scheme{purse.TDES(levels...), purse.SM4(0, levels...),
		purse.TDES(levels[1])} {
		here, _ := purse.NewMaster(s, masterKey)
		there, err := purse.NewMasterOperation(s, elsewhere{alg: s.Cipher})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := here.Card(&card)
		b, err := there.Card(&card)
		if err != nil || a.TAC().MAC(purse.LoadTAC, &sample) != b.TAC().MAC(purse.LoadTAC, &sample) {
			t.Errorf("%v: %v", s.Cipher, err)
		}
	}
	gone := errors.New("gone")
	m, _ := purse.NewMasterOperation(purse.TDES(levels...), elsewhere{err: gone})
	if _, err := m.Card(&card); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// TestClear: cleared keys are other keys.
func TestClear(t *testing.T) {
	m, _ := purse.NewMaster(purse.TDES(purse.SerialFactor()), masterKey)
	card := purse.Card{Serial: serialOf(1)}
	key, _ := m.Card(&card)
	tac := key.TAC()
	want := tac.MAC(purse.LoadTAC, &sample)
	tac.Clear()
	if tac.MAC(purse.LoadTAC, &sample) == want {
		t.Error("the MAC key is still there")
	}
	key.Clear()
	if key.TAC().MAC(purse.LoadTAC, &sample) == want {
		t.Error("the card's key is still there")
	}
	if m.Scheme().Cipher != block.TDES {
		t.Error("another scheme")
	}
	m.Clear()
	if key, _ = m.Card(&card); key.TAC().MAC(purse.LoadTAC, &sample) == want {
		t.Error("the master key is still there")
	}
}

// TestSerialHides: no verb shows more than the last four digits.
func TestSerialHides(t *testing.T) {
	r := purse.Record{Card: purse.Card{Serial: purse.Serial{3, 0x10, 0x48, 0x71, 0x82, 0x81, 0x82,
		0x84, 0x59, 0x04}}}
	text := fmt.Sprintf("%v %+v %#v %s %x %d %q", r.Serial, r, r, r.Serial, r.Serial, r.Serial,
		r.Serial)
	m, _ := r.Serial.MarshalText()
	text += string(m) + r.Serial.LogValue().String() + r.Serial.String() + r.Serial.GoString()
	for _, secret := range []string{"7182", "113", "130", "0x71", "0x82", "8184"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows in %s", secret, text)
		}
	}
	if !strings.Contains(text, "****5904") {
		t.Errorf("no mask in %s", text)
	}
}

// TestSessions: a whole load and a whole purchase, the card's side by the reference.
func TestSessions(t *testing.T) {
	m, _ := purse.NewMaster(purse.TDES(purse.IssuerFactor(), purse.SerialFactor()), masterKey)
	card := purse.Card{Issuer: [8]byte{1, 1, 0x10}, Serial: serialOf(31415)}
	key, _ := m.Card(&card)
	dk := reference(t, block.TDES, reference(t, block.TDES, masterKey, card.Issuer),
		[8]byte(card.Serial[2:]))

	initCmd := purse.Init{Operation: purse.OpLoad, Purse: purse.EP, KeyIndex: 1, Amount: 5000,
		Terminal: [6]byte{0, 0, 0, 0, 0, 7}}
	reply := purse.InitReply{Balance: 1234, Counter: 41, KeyVersion: 1, Random: [4]byte{0xca, 0xfe,
		0x12, 0x34}}
	session := referenceSession(t, block.TDES, dk, purse.OnlineInput(reply.Random, reply.Counter))
	data := binary.BigEndian.AppendUint32(nil, 1234)
	data = append(binary.BigEndian.AppendUint32(data, 5000), 2, 0, 0, 0, 0, 0, 7)
	reply.MAC1 = [4]byte(referenceMAC(t, block.TDES, session, data))
	v := initCmd.Values(&reply)
	if !key.Online(reply.Random, reply.Counter).Verify(purse.LoadMAC1, &v, reply.MAC1) {
		t.Error("MAC1 of load is wrong")
	}
	if v.NewBalance != 6234 || v.Counter != 41 || v.Type != purse.LoadEP {
		t.Errorf("values %+v", v)
	}

	session = referenceSession(t, block.TDES, dk, purse.OfflineInput(reply.Random, 7, 0xabcd0102))
	v = purse.Values{Type: purse.Compound, Amount: 300}
	want := [4]byte(referenceMAC(t, block.TDES, session, []byte{0, 0, 1, 0x2c}))
	if got := key.Offline(reply.Random, 7, 0xabcd0102).MAC(purse.PurchaseMAC2, &v); got != want {
		t.Errorf("MAC2 of purchase: %x, want %x", got, want)
	}
}

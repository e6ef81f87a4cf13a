// Package keyringtest is the conformance suite of key rings: what a ring does is the same
// whether its keys are in a file or in a device, and Run says what that is. It also has a
// device in memory.
//
// It is for tests. All keys in it are synthetic.
package keyringtest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyblock"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/crypto/purse"
)

// Backend makes the rings that Run looks at.
type Backend struct {
	// Create makes a store, Open opens one that Create made at the same path.
	Create, Open func(t *testing.T, path string, o keyring.Options) *keyring.Ring
	// Device says that keys are in a device: nothing is exportable, and only block ciphers
	// are there.
	Device bool
}

// Two are two persons, as most calls want them.
var Two = keyring.Actor{Name: "wang", Second: "li"}

// Synthetic keys, with odd parity.
const (
	KeyA   = "0123456789abcdeffedcba9876543210"
	KeyB   = "89b07a34a1b3f47f4c76ea6d0d2f0e13"
	KeyC   = "1f6d2a9b5738c4e0b5d6f8a71c3e5d70"
	KeyAES = "603deb1015ca71be2b73aef0857d7781"
)

// Clock is a clock that stands until it is moved.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewClock returns a clock at some noon.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Trail is a Sink in memory, which refuses events when it is told to.
type Trail struct {
	mu     sync.Mutex // guards what follows
	events []keyring.Event
	refuse func(keyring.Event) bool
}

// ErrTrail is how a Trail refuses.
var ErrTrail = errors.New("the trail is full")

// Append implements keyring.Sink.
func (s *Trail) Append(e keyring.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil && s.refuse(e) {
		return ErrTrail
	}
	s.events = append(s.events, e)
	return nil
}

// Refuse makes the trail refuse the events that which is true of; nil for none.
func (s *Trail) Refuse(which func(keyring.Event) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = which
}

// Events returns a copy of the trail.
func (s *Trail) Events() []keyring.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Lines returns the trail as "action outcome ref reason".
func (s *Trail) Lines() []string {
	var lines []string
	for _, e := range s.Events() {
		lines = append(lines, strings.TrimSpace(strings.Join([]string{e.Action, e.Outcome, e.Ref,
			e.Reason}, " ")))
	}
	return lines
}

// Bytes returns the bytes of hex digits.
func Bytes(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Ref reads a ref.
func Ref(t testing.TB, s string) keyring.Ref {
	t.Helper()
	ref, err := keyring.ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// Part is a component of a key in clear.
type Part struct {
	Value []byte
	KCV   keyring.KCV
}

// Parts returns a key of hex digits as Import takes it.
func Parts(t testing.TB, a keyring.Algorithm, key string) []keyring.KeyComponent {
	t.Helper()
	return Components(Split(t, a, key))
}

// Components returns parts as Import takes them.
func Components(parts []Part) []keyring.KeyComponent {
	var out []keyring.KeyComponent
	for _, p := range parts {
		out = append(out, keyring.NewKeyComponent(p.Value, p.KCV))
	}
	return out
}

// Split splits a key of hex digits into two components with their check values, both of odd
// parity for a DES key.
func Split(t testing.TB, a keyring.Algorithm, key string) []Part {
	t.Helper()
	whole := Bytes(t, key)
	one := make([]byte, len(whole))
	for i := range one {
		one[i] = byte(0x35 + 37*i)
	}
	des := a.Cipher() == block.DES || a.Cipher() == block.TDES
	if des {
		block.SetOddParity(one)
	}
	two := make([]byte, len(whole))
	for i := range two {
		two[i] = one[i] ^ whole[i]
	}
	if des {
		block.SetOddParity(two)
	}
	return []Part{{one, KCV(t, a, one)}, {two, KCV(t, a, two)}}
}

// KCV returns the usual check value of a block cipher's key.
func KCV(t testing.TB, a keyring.Algorithm, key []byte) keyring.KCV {
	t.Helper()
	kind := keyblock.CheckECB
	if a.Cipher() == block.AES {
		kind = keyblock.CheckCMAC
	}
	b, err := keyblock.CheckValue(kind, a.Cipher(), key, 4)
	if err != nil {
		t.Fatal(err)
	}
	return keyring.KCV(fmt.Sprintf("%X", b))
}

// Import imports a key of hex digits and activates it. The ref may leave the version out.
func Import(t testing.TB, r *keyring.Ring, ref string, a keyring.Algorithm, key string) keyring.Info {
	t.Helper()
	info, err := r.Import(keyring.ClearKey{Ref: Ref(t, ref), Algorithm: a, Components: Parts(t, a, key),
		KCV: KCV(t, a, Bytes(t, key))}, Two)
	if err != nil {
		t.Fatalf("import %s: %v", ref, err)
	}
	if err := r.Activate(info.Ref, Two); err != nil {
		t.Fatalf("activate %s: %v", ref, err)
	}
	return info
}

// Run looks at everything that rings of all kinds do.
func Run(t *testing.T, b Backend) {
	for _, c := range []struct {
		name string
		do   func(*testing.T, *fixture)
	}{
		{"MAC", testMAC}, {"Data", testData}, {"PIN", testPIN}, {"Purse", testPurse},
		{"PurseBatch", testPurseBatch}, {"Terminal", testTerminal}, {"Generated", testGenerated},
		{"Purposes", testPurposes}, {"Life", testLife}, {"Rotation", testRotation},
		{"Reopen", testReopen}, {"Names", testNames}, {"Duplicates", testDuplicates},
		{"Weak", testWeak}, {"Uses", testUses}, {"Verify", testVerify}, {"Parallel", testParallel},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{backend: b, clock: NewClock(), trail: &Trail{},
				path: filepath.Join(t.TempDir(), "keys")}
			f.ring = b.Create(t, f.path, f.options())
			defer func() { f.ring.Close() }()
			c.do(t, f)
		})
	}
}

type fixture struct {
	backend Backend
	ring    *keyring.Ring
	clock   *Clock
	trail   *Trail
	path    string
}

func (f *fixture) options() keyring.Options {
	return keyring.Options{Actor: Two, Audit: f.trail, Now: f.clock.Now}
}

func (f *fixture) reopen(t *testing.T) {
	t.Helper()
	generation := f.ring.Generation()
	f.ring.Close()
	o := f.options()
	o.Generation = generation
	f.ring = f.backend.Open(t, f.path, o)
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want %v", err, target)
	}
}

func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testMAC compares MACs with those that package mac makes of the clear key.
func testMAC(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyB)
	Import(t, f.ring, "terminal_mac/old", keyring.DES, KeyB[:16])
	Import(t, f.ring, "mac/aes", keyring.AES128, KeyAES)
	data := []byte("0200 a message of some length, not whole blocks")
	for _, c := range []struct {
		ref, key string
		scheme   mac.Scheme
	}{
		{"mac/link", KeyB, mac.X919},
		{"mac/link/1", KeyB, mac.Scheme{Algorithm: mac.EMAC, Cipher: block.DES, Padding: mac.Pad2}},
		{"mac/link", KeyB, mac.Scheme{Algorithm: mac.CMAC, Cipher: block.TDES}},
		{"mac/link", KeyB, mac.Scheme{Algorithm: mac.CBC, Cipher: block.TDES, Padding: mac.Pad3, Size: 5}},
		{"mac/link", KeyB, mac.CUPTDES},
		{"terminal_mac/old", KeyB[:16], mac.X99},
		{"terminal_mac/old", KeyB[:16], mac.CUPDES},
		{"mac/aes", KeyAES, mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES, Size: 8}},
	} {
		m, err := mac.New(c.scheme, Bytes(t, c.key))
		no(t, err)
		ref := Ref(t, c.ref)
		got, err := f.ring.MAC(ref, c.scheme, []byte("x"), data)
		if err != nil || !bytes.Equal(got, m.Sum([]byte("x"), data)) {
			t.Errorf("%v of %v: error %v, or another MAC", c.scheme, ref, err)
			continue
		}
		ok, err := f.ring.VerifyMAC(ref, c.scheme, data, got[1:])
		if err != nil || !ok {
			t.Errorf("%v of %v: the ring's own MAC is %v, error %v", c.scheme, ref, ok, err)
		}
		got[2] ^= 1
		ok, err = f.ring.VerifyMAC(ref, c.scheme, data, got[1:])
		if err != nil || ok {
			t.Errorf("%v of %v: a wrong MAC is %v, error %v", c.scheme, ref, ok, err)
		}
	}
	for _, s := range []mac.Scheme{mac.X99, mac.CUPSM4, {Algorithm: mac.CMAC, Cipher: block.AES},
		{Algorithm: mac.Retail, Cipher: block.AES, Padding: mac.Pad1}} {
		_, err := f.ring.MAC(Ref(t, "mac/link"), s, nil, data)
		want(t, err, keyring.ErrAlgorithm)
	}
	_, err := f.ring.MAC(Ref(t, "mac/link"), mac.Scheme{}, nil, data)
	if err == nil {
		t.Error("the zero scheme made a MAC")
	}
}

func testData(t *testing.T, f *fixture) {
	Import(t, f.ring, "data/track", keyring.TDES2, KeyA)
	c, err := block.New(block.TDES, Bytes(t, KeyA))
	no(t, err)
	src, iv := []byte("0123456789abcdef"), []byte("vectorIV")
	ref, got, expected := Ref(t, "data/track"), make([]byte, 16), make([]byte, 16)
	no(t, block.EncryptCBC(c, expected, iv, src))
	no(t, f.ring.Encrypt(ref, got, iv, src))
	if !bytes.Equal(got, expected) {
		t.Error("other ciphertext than package block's")
	}
	no(t, f.ring.Decrypt(ref, got, iv, got))
	if !bytes.Equal(got, src) {
		t.Error("decrypted is not what was encrypted")
	}
	want(t, f.ring.Encrypt(ref, got[:15], iv, src[:15]), block.ErrDataLength)
}

const (
	testPAN  = "6225880137706868"
	otherPAN = "6225880137706876"
)

// testPIN translates a PIN from one key and format to another.
func testPIN(t *testing.T, f *fixture) {
	Import(t, f.ring, "pin/in", keyring.TDES2, KeyA)
	Import(t, f.ring, "pin/out", keyring.TDES2, KeyB)
	Import(t, f.ring, "pin/aes", keyring.AES128, KeyAES)
	clearBlock, err := pinblock.Encode(pinblock.Format0, []byte("1234"), testPAN, nil)
	no(t, err)
	in, err := block.New(block.TDES, Bytes(t, KeyA))
	no(t, err)
	enciphered := make([]byte, 8)
	in.Encrypt(enciphered, clearBlock[:])
	side := func(ref string, format pinblock.Format, pan string) keyring.PINBlock {
		return keyring.PINBlock{Key: keyring.PINKey{Ref: Ref(t, ref)}, Format: format, PAN: pan}
	}
	tr := &keyring.PINTranslation{In: side("pin/in", pinblock.Format0, testPAN),
		Out: side("pin/out", pinblock.Format3, testPAN)}
	got, err := f.ring.TranslatePIN(nil, enciphered, tr)
	no(t, err)
	out, err := block.New(block.TDES, Bytes(t, KeyB))
	no(t, err)
	out.Decrypt(got, got)
	pin, err := pinblock.Decode(nil, pinblock.Format3, got, testPAN)
	if err != nil || string(pin) != "1234" {
		t.Errorf("PIN after translation is wrong, error %v", err)
	}
	tr.Out = side("pin/aes", pinblock.Format4, testPAN)
	got, err = f.ring.TranslatePIN(nil, enciphered, tr)
	no(t, err)
	aes, err := block.New(block.AES, Bytes(t, KeyAES))
	no(t, err)
	if pin, err = pinblock.DecodeFormat4(nil, aes, got, testPAN); err != nil || string(pin) != "1234" {
		t.Errorf("PIN after translation to format 4 is wrong, error %v", err)
	}
	refusePIN(t, f, enciphered, side)
}

func refusePIN(t *testing.T, f *fixture, enciphered []byte,
	side func(string, pinblock.Format, string) keyring.PINBlock) {
	for _, c := range []struct {
		name    string
		in, out keyring.PINBlock
		err     error
	}{
		{"other PAN", side("pin/in", pinblock.Format0, otherPAN),
			side("pin/out", pinblock.Format0, otherPAN), keyring.ErrPINBlock},
		{"PAN change", side("pin/in", pinblock.Format0, testPAN),
			side("pin/out", pinblock.Format0, otherPAN), pinblock.ErrPANChange},
		{"downgrade", side("pin/in", pinblock.Format0, testPAN),
			side("pin/out", pinblock.Format1, testPAN), pinblock.ErrTranslation},
		{"wrong key", side("pin/out", pinblock.Format0, testPAN),
			side("pin/in", pinblock.Format0, testPAN), keyring.ErrPINBlock},
		{"cipher", side("pin/in", pinblock.Format0, testPAN),
			side("pin/aes", pinblock.Format0, testPAN), pinblock.ErrCipher},
		{"unknown", side("pin/in", pinblock.Format0, testPAN),
			side("pin/nobody", pinblock.Format0, testPAN), keyring.ErrUnknown},
	} {
		_, err := f.ring.TranslatePIN(nil, enciphered, &keyring.PINTranslation{In: c.in, Out: c.out})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.err)
		}
	}
}

// Load returns a load of a purse and the scheme of its card.
func Load() (*purse.Scheme, purse.Card, purse.Values) {
	s := purse.TDES(purse.IssuerFactor(), purse.SerialFactor())
	card := purse.Card{Issuer: [8]byte{1, 1, 0x10, 0, 0xff, 0xff, 0xff, 0xff},
		Serial: purse.Serial{0x03, 0x10, 0x45, 0x81, 0, 1, 0x23, 0x45, 0x67, 0x89}}
	v := purse.Values{Type: purse.LoadEP, Amount: 5000, Balance: 1200, NewBalance: 6200, Counter: 17,
		Terminal: [6]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66}, Date: [4]byte{0x20, 0x26, 0x03, 0x01},
		Time: [3]byte{0x12, 0x30, 0x00}}
	return &s, card, v
}

// cardKey derives a card's key with package purse.
func cardKey(t *testing.T, s *purse.Scheme, card purse.Card, key string) *purse.CardKey {
	t.Helper()
	m, err := purse.NewMaster(*s, Bytes(t, key))
	no(t, err)
	k, err := m.Card(&card)
	no(t, err)
	return k
}

func testPurse(t *testing.T, f *fixture) {
	Import(t, f.ring, "purse_load/city/3", keyring.TDES2, KeyA)
	Import(t, f.ring, "purse_tac/city/3", keyring.TDES2, KeyB)
	s, card, v := Load()
	random := [4]byte{9, 8, 7, 6}
	session := cardKey(t, s, card, KeyA).Online(random, v.Counter)
	call := &keyring.PurseMAC{Ref: Ref(t, "purse_load/city/3"), Scheme: s, Card: card,
		Message: purse.LoadMAC1, Random: random, Values: v}
	check := func(mac [4]byte, expected bool) {
		t.Helper()
		ok, err := f.ring.VerifyPurseMAC(call, mac)
		if err != nil || ok != expected {
			t.Errorf("message %d: %v, error %v, want %v", call.Message, ok, err, expected)
		}
	}
	check(session.MAC(purse.LoadMAC1, &v), true)
	check([4]byte{1}, false)
	_, err := f.ring.MakePurseMAC(call)
	want(t, err, keyring.ErrPurpose) // MAC1 is the card's
	call.Message = purse.LoadMAC2
	got, err := f.ring.MakePurseMAC(call)
	if err != nil || got != session.MAC(purse.LoadMAC2, &v) {
		t.Errorf("MAC2: error %v, or another MAC", err)
	}
	call.Message = purse.LoadTAC
	_, err = f.ring.VerifyPurseMAC(call, got)
	want(t, err, keyring.ErrPurpose) // of another key
	call.Ref = Ref(t, "purse_tac/city/3")
	check(cardKey(t, s, card, KeyB).TAC().MAC(purse.LoadTAC, &v), true)
	check([4]byte{2}, false)
	_, err = f.ring.MakePurseMAC(call)
	want(t, err, keyring.ErrPurpose) // no host makes a TAC
	call.Message = 200
	_, err = f.ring.VerifyPurseMAC(call, got)
	want(t, err, purse.ErrScheme)
	other := purse.SM4(purse.TruncLeft4, purse.SerialFactor())
	call.Message, call.Scheme = purse.LoadTAC, &other
	_, err = f.ring.VerifyPurseMAC(call, got)
	want(t, err, keyring.ErrAlgorithm)
}

// testPurseBatch gives the ring's keys to a purse.Verifier.
func testPurseBatch(t *testing.T, f *fixture) {
	Import(t, f.ring, "purse_tac/city/3", keyring.TDES2, KeyB)
	s, card, v := Load()
	v.Type = purse.PurchaseEP
	good := purse.Record{Card: card, KeyVersion: 3, Values: v,
		TAC: cardKey(t, s, card, KeyB).TAC().MAC(purse.PurchaseTAC, &v)}
	wrong, unknown, zero, index := good, good, good, good
	wrong.TAC[0] ^= 1
	unknown.KeyVersion, zero.KeyVersion, index.KeyIndex = 4, 0, 1
	keys, err := f.ring.TACKeys([]keyring.CardKeys{{Keys: "city", Cards: *s}})
	no(t, err)
	verifier := purse.NewVerifier(keys, purse.Options{})
	records := []purse.Record{good, wrong, unknown, zero, index}
	verdicts := make([]purse.Verdict, len(records))
	_, err = verifier.VerifyAll(records, verdicts)
	no(t, err)
	expected := []purse.Verdict{purse.Good, purse.WrongTAC, purse.UnknownKey, purse.UnknownKey,
		purse.UnknownKey}
	if !slices.Equal(verdicts, expected) {
		t.Errorf("verdicts %v, want %v", verdicts, expected)
	}
	no(t, f.ring.Retire(Ref(t, "purse_tac/city/3"), time.Hour, Two))
	if got := verifier.Verify(&good); got != purse.Good {
		t.Errorf("with a retiring key: %v", got)
	}
	f.clock.Add(time.Hour)
	if got := verifier.Verify(&good); got != purse.UnknownKey {
		t.Errorf("with an expired key: %v", got)
	}
}

// testTerminal signs a terminal on and uses its keys.
func testTerminal(t *testing.T, f *fixture) {
	Import(t, f.ring, "key_exchange/t1", keyring.TDES2, KeyA)
	Import(t, f.ring, "pin/zone", keyring.TDES2, KeyB)
	tmk := Ref(t, "key_exchange/t1")
	for form, length := range map[keyring.WorkingForm]int{keyring.Working24: 24,
		keyring.Working40: 40, keyring.Working60: 60} {
		w, field, err := f.ring.NewWorkingKeys(tmk, form)
		no(t, err)
		if len(field) != length {
			t.Errorf("form %d: field 62 of %d bytes, want %d", form, len(field), length)
		}
		parsed, err := keyblock.ParseTerminalKeys(field)
		no(t, err)
		keys, err := parsed.Unwrap(Bytes(t, KeyA))
		no(t, err) // as the terminal does
		scheme := mac.CUPDES
		m, err := mac.New(scheme, keys.MAC)
		no(t, err)
		got, err := w.MAC(scheme, nil, []byte("sale"))
		if err != nil || !bytes.Equal(got, m.Sum(nil, []byte("sale"))) {
			t.Errorf("form %d: MAC differs from the terminal's, error %v", form, err)
		}
		again, err := f.ring.OpenWorkingKeys(tmk, field)
		no(t, err)
		ok, err := again.VerifyMAC(scheme, []byte("sale"), got)
		if err != nil || !ok {
			t.Errorf("form %d: after opening again the MAC is %v, error %v", form, ok, err)
		}
		pinFromTerminal(t, f, again, keys.PIN)
		again.Close()
		_, err = again.MAC(mac.CUPTDES, nil, nil)
		want(t, err, keyring.ErrClosed)
		keys.Clear()
		w.Close()
		field[length-1] ^= 1
		_, err = f.ring.OpenWorkingKeys(tmk, field)
		want(t, err, keyring.ErrKCV)
		_, err = f.ring.OpenWorkingKeys(tmk, field[1:])
		want(t, err, keyblock.ErrTerminalKeys)
	}
	_, _, err := f.ring.NewWorkingKeys(tmk, 9)
	want(t, err, keyblock.ErrTerminalKeys)
	_, _, err = f.ring.NewWorkingKeys(Ref(t, "pin/zone"), keyring.Working40)
	want(t, err, keyring.ErrPurpose)
}

func pinFromTerminal(t *testing.T, f *fixture, w *keyring.WorkingKeys, pinKey keyblock.Key) {
	t.Helper()
	alg := block.TDES
	if len(pinKey) == 8 {
		alg = block.DES
	}
	c, err := block.New(alg, pinKey)
	no(t, err)
	b, err := pinblock.Encode(pinblock.FormatCUP, []byte("654321"), "", nil)
	no(t, err)
	c.Encrypt(b[:], b[:])
	got, err := f.ring.TranslatePIN(nil, b[:], &keyring.PINTranslation{
		In: keyring.PINBlock{Key: keyring.PINKey{Working: w}, Format: pinblock.FormatCUP},
		Out: keyring.PINBlock{Key: keyring.PINKey{Ref: Ref(t, "pin/zone")}, Format: pinblock.Format0,
			PAN: testPAN}})
	no(t, err)
	zone, err := block.New(block.TDES, Bytes(t, KeyB))
	no(t, err)
	zone.Decrypt(got, got)
	pin, err := pinblock.Decode(nil, pinblock.Format0, got, testPAN)
	if err != nil || string(pin) != "654321" {
		t.Errorf("the terminal's PIN did not arrive, error %v", err)
	}
}

// testGenerated looks at keys that nobody has seen.
func testGenerated(t *testing.T, f *fixture) {
	seen := map[keyring.KCV]bool{}
	for _, c := range []struct {
		ref string
		a   keyring.Algorithm
	}{{"pin/g", keyring.TDES2}, {"pin/g", keyring.TDES3}, {"pin/g", keyring.AES128},
		{"data/g", keyring.AES192}, {"key_exchange/g", keyring.AES256}, {"mac/g", keyring.AlgorithmNone},
		{"purse_load/g", keyring.AlgorithmNone}} {
		info, err := f.ring.Generate(keyring.NewKey{Ref: Ref(t, c.ref), Algorithm: c.a},
			keyring.Actor{Name: "wang"})
		no(t, err)
		if info.State != keyring.Pending || info.Origin != "generated" || seen[info.KCV] ||
			len(info.KCV) < 8 || c.a != keyring.AlgorithmNone && info.Algorithm != c.a {
			t.Errorf("%s: %+v", c.ref, info)
		}
		seen[info.KCV] = true
	}
	if info, err := f.ring.Info(Ref(t, "pin/g/3")); err != nil || info.Algorithm != keyring.AES128 {
		t.Errorf("versions do not count up: %+v, %v", info, err)
	}
	ref := Ref(t, "mac/g/1")
	_, err := f.ring.MAC(ref, mac.CUPTDES, nil, []byte("x"))
	want(t, err, keyring.ErrNotActive)
	no(t, f.ring.Activate(ref, Two))
	_, err = f.ring.MAC(ref, mac.CUPTDES, nil, []byte("x"))
	no(t, err)
	_, err = f.ring.MAC(ref, mac.X919, nil, []byte("x"))
	if f.backend.Device {
		want(t, err, keyring.ErrUnsupported) // its halves are nowhere
	} else {
		no(t, err)
	}
	if f.backend.Device {
		for _, c := range []keyring.NewKey{{Ref: Ref(t, "cvk/g")}, {Ref: Ref(t, "card_token/g")},
			{Ref: Ref(t, "receipt/g")}, {Ref: Ref(t, "dukpt_bdk/g")},
			{Ref: Ref(t, "pin/g"), Algorithm: keyring.SM4}} {
			_, err := f.ring.Generate(c, Two)
			want(t, err, keyring.ErrUnsupported)
		}
		_, err := f.ring.Generate(keyring.NewKey{Ref: Ref(t, "pin/g"), Exportable: true}, Two)
		want(t, err, keyring.ErrNotExportable)
	}
}

// testPurposes tries each operation with a key of each purpose.
func testPurposes(t *testing.T, f *fixture) {
	refs := []string{"mac/p", "terminal_mac/p", "pin/p", "data/p", "key_exchange/p", "purse_load/p",
		"purse_tac/p"}
	for _, ref := range refs {
		Import(t, f.ring, ref, keyring.TDES2, KeyA)
	}
	s, card, v := Load()
	eight := make([]byte, 8)
	operations := map[string]func(keyring.Ref) error{
		"mac": func(r keyring.Ref) error { _, err := f.ring.MAC(r, mac.X919, nil, eight); return err },
		"verify": func(r keyring.Ref) error {
			_, err := f.ring.VerifyMAC(r, mac.X919, eight, eight)
			return err
		},
		"encrypt": func(r keyring.Ref) error { return f.ring.Encrypt(r, eight, eight, eight) },
		"decrypt": func(r keyring.Ref) error { return f.ring.Decrypt(r, eight, eight, eight) },
		"wrap": func(r keyring.Ref) error {
			_, _, err := f.ring.NewWorkingKeys(r, keyring.Working40)
			return err
		},
		"pin": func(r keyring.Ref) error {
			side := keyring.PINBlock{Key: keyring.PINKey{Ref: r}, PAN: testPAN}
			_, err := f.ring.TranslatePIN(nil, eight, &keyring.PINTranslation{In: side, Out: side})
			return err
		},
		"load": func(r keyring.Ref) error {
			_, err := f.ring.MakePurseMAC(&keyring.PurseMAC{Ref: r, Scheme: s, Card: card,
				Message: purse.LoadMAC2, Values: v})
			return err
		},
		"tac": func(r keyring.Ref) error {
			_, err := f.ring.VerifyPurseMAC(&keyring.PurseMAC{Ref: r, Scheme: s, Card: card,
				Message: purse.LoadTAC, Values: v}, [4]byte{})
			return err
		},
		"cvv":    func(r keyring.Ref) error { _, err := f.ring.VerifyCVV(r, keyring.Card{}, ""); return err },
		"sign":   func(r keyring.Ref) error { _, err := f.ring.Signer(r); return err },
		"tokens": func(r keyring.Ref) error { _, err := f.ring.Tokenizer(r); return err },
		"dukpt":  func(r keyring.Ref) error { _, err := f.ring.VerifyDUKPT(&keyring.Device{Ref: r}, nil, nil); return err },
	}
	allowed := map[string]string{"mac": "mac/p terminal_mac/p", "verify": "mac/p terminal_mac/p",
		"encrypt": "data/p", "decrypt": "data/p", "wrap": "key_exchange/p", "pin": "pin/p",
		"load": "purse_load/p", "tac": "purse_tac/p"}
	for name, do := range operations {
		for _, ref := range refs {
			err := do(Ref(t, ref))
			ok := slices.Contains(strings.Fields(allowed[name]), ref)
			if errors.Is(err, keyring.ErrPurpose) == ok {
				t.Errorf("%s with %s: %v, allowed is %v", name, ref, err, ok)
			}
		}
	}
}

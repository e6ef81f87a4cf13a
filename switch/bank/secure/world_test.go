package secure

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

// Synthetic keys with odd parity.
const (
	zmkHex   = keyringtest.KeyA
	baseHex  = keyringtest.KeyB
	otherHex = keyringtest.KeyC
	thirdHex = "c1d0c2ceb094a1b5e5c8ef7976dcfe98"
	desHex   = "a1b5c1d0ef79c2ce"
	testPIN  = "482915"
	testPAN  = "6226005719382644"
)

// overlap is that of the tests' links and terminals.
const overlap = 5 * time.Minute

// retail is X9.19 with all 8 bytes, a whole MAC field.
var retail = mac.Scheme{Algorithm: mac.Retail, Cipher: block.DES, Padding: mac.Pad1, Size: 8}

var text = []byte("0200 a message")

// world is a key ring, a store and a clock, and what the other side knows.
type world struct {
	testing.TB
	ctx   context.Context
	ring  *keyring.Ring
	clock *keyringtest.Clock
	mem   *storetest.Memory
	trail *keyringtest.Trail
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, ctx: t.Context(), clock: keyringtest.NewClock(), trail: &keyringtest.Trail{},
		mem: storetest.NewMemory(storetest.MemoryOptions{})}
	a, _, err := keyring.NewComponent(nil)
	w.no(err)
	b, _, err := keyring.NewComponent(nil)
	w.no(err)
	w.ring, err = keyring.CreateStore(filepath.Join(t.TempDir(), "keys"), a, b,
		keyring.Options{Actor: keyringtest.Two, Now: w.clock.Now, Audit: w.trail})
	w.no(err)
	t.Cleanup(w.ring.Close)
	keyringtest.Import(t, w.ring, "key_exchange/bank", keyring.TDES2, zmkHex)
	keyringtest.Import(t, w.ring, "mac/bank", keyring.TDES2, baseHex)
	keyringtest.Import(t, w.ring, "pin/bank", keyring.TDES2, otherHex)
	return w
}

func (w *world) no(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) want(err, target error) {
	w.Helper()
	if !errors.Is(err, target) {
		w.Errorf("got error %v, want %v", err, target)
	}
}

func (w *world) ref(s string) keyring.Ref { return keyringtest.Ref(w, s) }

// options are those of a link with all keys.
func (w *world) options() LinkOptions {
	return LinkOptions{Ring: w.ring, Registry: w.mem, Link: "bank-a", Scheme: retail,
		MAC: w.ref("mac/bank"), PIN: w.ref("pin/bank"), ZMK: w.ref("key_exchange/bank"),
		Overlap: overlap, Now: w.clock.Now}
}

// link opens a link as a process that starts does; change may be nil.
func (w *world) link(change func(*LinkOptions)) *LinkKeys {
	w.Helper()
	o := w.options()
	if change != nil {
		change(&o)
	}
	l, err := OpenLink(w.ctx, o)
	w.no(err)
	return l
}

// transfer returns a key of hex digits as the bank sends it under zmkHex.
func transfer(t testing.TB, k Kind, key string) Transfer {
	t.Helper()
	return transferUnder(t, k, key, zmkHex)
}

func transferUnder(t testing.TB, k Kind, key, zmk string) Transfer {
	t.Helper()
	clearKey := keyringtest.Bytes(t, key)
	c, err := block.New(block.TDES, keyringtest.Bytes(t, zmk))
	if err != nil {
		t.Fatal(err)
	}
	tr := Transfer{Kind: k, Wrapped: make([]byte, len(clearKey)), KCV: make([]byte, 8)}
	if err := block.EncryptECB(c, tr.Wrapped, clearKey); err != nil {
		t.Fatal(err)
	}
	alg := block.TDES
	tr.Algorithm = keyring.TDES2
	if len(clearKey) == 8 {
		alg, tr.Algorithm = block.DES, keyring.DES
	}
	check, err := block.New(alg, clearKey)
	if err != nil {
		t.Fatal(err)
	}
	check.Encrypt(tr.KCV, tr.KCV)
	return tr
}

// open returns the clear key of a pending one, as the bank gets it.
func open(t testing.TB, p *Pending) []byte {
	t.Helper()
	c, err := block.New(block.TDES, keyringtest.Bytes(t, zmkHex))
	if err != nil {
		t.Fatal(err)
	}
	key := p.Wrapped()
	if err := block.DecryptECB(c, key, key); err != nil {
		t.Fatal(err)
	}
	return key
}

// sum returns a MAC field as the other side makes it.
func sum(t testing.TB, s mac.Scheme, key []byte, covered []byte) []byte {
	t.Helper()
	m, err := mac.New(s, key)
	if err != nil {
		t.Fatal(err)
	}
	field := make([]byte, 8)
	m.Sum(field[:0], covered)
	return field
}

func under(t testing.TB, key string) []byte {
	t.Helper()
	return sum(t, retail, keyringtest.Bytes(t, key), text)
}

// makes reports whether the link's MACs are under a key of hex digits.
func (w *world) makes(l *LinkKeys, key string) {
	w.Helper()
	field, err := l.Make(nil, text)
	w.no(err)
	if !bytes.Equal(field, under(w, key)) {
		w.Error("the MAC is under another key")
	}
}

// takes reports whether the link takes MACs under keys of hex digits, and under no others of
// the tests' keys.
func (w *world) takes(l *LinkKeys, keys ...string) {
	w.Helper()
	for _, key := range []string{baseHex, otherHex, thirdHex, zmkHex} {
		want := false
		for _, k := range keys {
			want = want || k == key
		}
		if err := l.Check(text, under(w, key)); (err == nil) != want {
			w.Errorf("a MAC under %s...: %v, want it taken: %v", key[:4], err, want)
		}
	}
}

func number(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// leaks returns which of the secrets stand in a text, four bytes of them in a row, in hex,
// raw, or in decimal as fmt prints bytes; and the tests' PIN and card number, its middle.
func leaks(text string, secrets ...[]byte) (found []string) {
	for _, digits := range []string{testPIN, testPAN[6:12]} {
		if strings.Contains(text, digits) {
			found = append(found, digits)
		}
	}
	for i, s := range secrets {
		for at := 0; at+4 <= len(s); at++ {
			part := s[at : at+4]
			for _, form := range []string{hex.EncodeToString(part), fmt.Sprintf("%X", part),
				string(part), strings.Trim(fmt.Sprint(part), "[]")} {
				if strings.Contains(text, form) {
					found = append(found, fmt.Sprintf("secret %d at %d", i, at))
				}
			}
		}
		if strings.Contains(text, base64.StdEncoding.EncodeToString(s)[:8]) {
			found = append(found, fmt.Sprintf("secret %d in base64", i))
		}
	}
	return found
}

// printed returns everything that printers make of a value.
func printed(v any) string {
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "% x",
		"%z"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	if encoded, err := json.Marshal(v); err == nil {
		b.Write(encoded)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	return b.String()
}

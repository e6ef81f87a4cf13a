package bank

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
	"github.com/tapswitch/tapswitch/switch/bank/setup"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

// A bank's request that came before its key changed is answered under the key of before, though
// the key in force is another; when the overlap is over as well it has no answer.
func TestABankIsAnsweredUnderTheKeyOfItsRequest(t *testing.T) {
	clock := keyringtest.NewClock()
	l := keyedOutlet(t, clock)
	first, err := mac.New(mac.X919, keyringtest.Bytes(t, keyringtest.KeyB))
	m := message.New(l.spec, message.FinancialRequest)
	err = errors.Join(err, m.SetDigits(3, "000000"), m.SetAmount(100), m.SetSTAN(7),
		m.SetDigits(7, "0301120000"), m.SetText(41, "BANK0001"))
	if err != nil {
		t.Fatal(err)
	}
	frame, err := m.AppendMAC(nil, first)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.keys.New(secure.MACKey)
	if err == nil {
		err = p.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	answer := func() ([]byte, error) {
		var v message.View
		if err := v.Open(l.spec, frame); err != nil {
			t.Fatal(err)
		}
		sum, err := v.Summary()
		if err != nil {
			t.Fatal(err)
		}
		return l.answer(&v, &sum, frame, codeInvalid)
	}
	said, err := answer()
	if err != nil {
		t.Fatal(err)
	}
	if err := message.Verify(l.spec, said, first); err != nil {
		t.Errorf("the answer is not under the key of the request: %v", err)
	}
	clock.Add(time.Hour)
	if said, err = answer(); said != nil || err == nil {
		t.Errorf("a request under a key that is out of force has an answer of %d bytes", len(said))
	}
}

// keyedOutlet is a link's outlet with a MAC key of the ring, an overlap of a minute and no
// connection.
func keyedOutlet(t *testing.T, clock *keyringtest.Clock) *outlet {
	t.Helper()
	a, _, err := keyring.NewComponent(nil)
	b, _, other := keyring.NewComponent(nil)
	if err = errors.Join(err, other); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.CreateStore(filepath.Join(t.TempDir(), "keys"), a, b,
		keyring.Options{Actor: keyringtest.Two, Now: clock.Now, Audit: &keyringtest.Trail{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	keyringtest.Import(t, ring, "key_exchange/zone", keyring.TDES2, keyringtest.KeyA)
	keyringtest.Import(t, ring, "mac/bank", keyring.TDES2, keyringtest.KeyB)
	l := &outlet{writers: sync.Pool{New: func() any { return new(message.Writer) }}}
	l.spec, err = setup.OpenSpec("iso87_ascii", "")
	if err != nil {
		t.Fatal(err)
	}
	l.keys, err = secure.OpenLink(t.Context(), secure.LinkOptions{Ring: ring, Link: "b0",
		Registry: storetest.NewMemory(storetest.MemoryOptions{}), Scheme: mac.X919,
		MAC: keyringtest.Ref(t, "mac/bank"), ZMK: keyringtest.Ref(t, "key_exchange/zone"),
		Overlap: time.Minute, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// FAULTS.md rows 20 and 21: MACs and changes of key. All keys are those of keyringtest.

const bankPIN = "482915"

// bankRing makes a key ring with a zone key, a MAC key and a PIN key of the bank and a
// master key of the terminals, and returns the flags that name it.
func bankRing(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	var parts [2]*keyring.Component
	args := []string{"--set", "keys.ring_file=" + filepath.Join(dir, "ring")}
	names := ""
	for i := range parts {
		c, _, err := keyring.NewComponent(nil)
		if err == nil {
			err = c.WriteFile(filepath.Join(dir, fmt.Sprint(i)))
		}
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = c
		names += "," + filepath.Join(dir, fmt.Sprint(i))
	}
	args = append(args, "--set", "keys.ring_components="+names[1:])
	ring, err := keyring.CreateStore(filepath.Join(dir, "ring"), parts[0], parts[1],
		keyring.Options{Actor: keyringtest.Two, Audit: &keyringtest.Trail{}})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	keyringtest.Import(t, ring, "key_exchange/zone", keyring.TDES2, keyringtest.KeyA)
	keyringtest.Import(t, ring, "mac/bank", keyring.TDES2, keyringtest.KeyB)
	keyringtest.Import(t, ring, "pin/bank", keyring.TDES2, keyringtest.KeyC)
	keyringtest.Import(t, ring, "key_exchange/tills", keyring.TDES2, keyringtest.KeyA)
	return args
}

// bankKeyed is a town in which every message has a MAC and sales have PINs.
func bankKeyed(t testing.TB, b bankhost.Behaviour) *bankTown {
	t.Helper()
	retail, err := mac.New(mac.X919, keyringtest.Bytes(t, keyringtest.KeyB))
	if err != nil {
		t.Fatal(err)
	}
	return newBankTown(t, bankPlan{behaviour: b, key: "tills", args: bankRing(t),
		host: func(_ int, o *bankhost.Options) {
			o.MAC, o.MasterKey = retail, keyringtest.Bytes(t, keyringtest.KeyA)
			o.PIN, o.PINKey = bankPIN, keyringtest.Bytes(t, keyringtest.KeyC)
		},
		file: func(f *bankFile) {
			f.links[0]["keys"] = bankDoc{"mac": "x9.19", "mac_key": "mac/bank",
				"pin_key": "pin/bank", "zone": "key_exchange/zone"}
		}})
}

// signOn signs the till on and takes its working keys.
func (l *till) signOn() {
	l.t.Helper()
	l.stan++
	l.mac = nil
	m := l.message(message.NetworkRequest, l.stan, message.Private{Type: "00", Network: "003"})
	a := l.ask(m)
	if a.ResponseCode() != "00" {
		l.t.Fatalf("sign-on: %s", a.ResponseCode())
	}
	digits, _ := a.Digits(60)
	p, err := message.ParsePrivate(digits)
	l.no(err)
	l.batch = p.Batch
	field, _ := a.Bytes(62)
	keys, err := message.ParseWorkingKeys(field)
	l.no(err)
	master, err := block.New(block.TDES, keyringtest.Bytes(l.t, keyringtest.KeyA))
	l.no(err)
	key := make([]byte, len(keys.MAC.Key))
	l.no(block.DecryptECB(master, key, keys.MAC.Key))
	scheme := mac.CUPTDES
	if len(key) == 8 {
		scheme = mac.CUPDES
	}
	l.mac, err = mac.New(scheme, key)
	l.no(err)
}

// TestFault20MAC: a message without its MAC, or with any byte of the MAC or of what it covers
// changed, is refused with A0 and goes nowhere. The same bytes again are answered alike and
// carried out once. An answer of the bank with a wrong MAC is not believed.
func TestFault20MAC(t *testing.T) {
	t.Parallel()
	w := bankKeyed(t, bankRules())
	l := w.till(1)
	l.signOn()
	s := l.sale(pos.Purchase, 1, 5_000, nil)
	l.want(s, "00")
	frame := l.frame(l.request(s))
	requests := w.counts().Requests
	// Replayed, over another connection too.
	for range 3 {
		l.no(l.raw(wire(t, message.Framing{}, frame)))
		a := l.hear(tillMax)
		auth, _ := a.Text(38)
		if a.ResponseCode() != "00" || a.RRN() != s.rrn || auth != s.auth {
			t.Errorf("a replay is answered %s %s", a.ResponseCode(), a.RRN())
		}
		l.hangUp()
	}
	if now := w.counts().Requests; now != requests {
		t.Errorf("replays were sent to the bank %d times", now-requests)
	}
	refused := func(what string, frame []byte) {
		t.Helper()
		l.no(l.raw(wire(t, message.Framing{}, frame)))
		if a := l.hear(tillMax); a == nil || a.ResponseCode() != "A0" {
			t.Errorf("%s: not refused with A0: %v", what, a)
		}
	}
	n := l.sale(pos.Purchase, 2, 6_000, nil)
	fresh := l.frame(l.request(n))
	for i := range 8 {
		bad := bytes.Clone(fresh)
		bad[len(bad)-1-i] ^= 1
		refused(fmt.Sprintf("byte %d of the MAC", 8-i), bad)
	}
	at := bytes.Index(fresh, []byte("\x00\x00\x00\x00\x60\x00"))
	bad := bytes.Clone(fresh)
	bad[at+4] = 0x61
	refused("another amount", bad)
	plain, err := l.request(n).Append(nil)
	l.no(err)
	refused("no MAC", plain)
	key := l.mac
	if l.mac, err = mac.New(mac.CUPTDES, keyringtest.Bytes(t, keyringtest.KeyC)); err != nil {
		t.Fatal(err)
	}
	stranger := l.frame(l.request(n))
	l.mac = key
	refused("a MAC under another key", stranger)
	if now := w.counts().Requests; now != requests {
		t.Errorf("%d messages with a bad MAC went to the bank", now-requests)
	}
	l.want(n, "00") // none of them was taken for this
	up := w.link("b0").Connections
	l.want(l.sale(pos.Purchase, 3, 7_080, nil), "98") // the bank's MAC is wrong
	w.reconcile()
	for i, c := range w.link("b0").Connections {
		if c.Since != up[i].Since {
			t.Error("a wrong MAC of the bank ended its connection")
		}
	}
	if c := w.counts(); c.Reversed != 1 || c.BadMAC != 0 {
		t.Errorf("%d reversed, %d MACs of the switch were wrong", c.Reversed, c.BadMAC)
	}
}

// TestFault21KeyChange: the bank changes its key and terminals sign on again in the middle of
// the traffic. The old key is good for what is under way: no message is lost or refused.
func TestFault21KeyChange(t *testing.T) {
	t.Parallel()
	w := bankKeyed(t, bankhost.Behaviour{})
	ctx, stop := context.WithCancel(t.Context())
	var changes sync.WaitGroup
	changes.Go(func() {
		for ctx.Err() == nil {
			if !w.banks[0].ChangeKey() {
				t.Error("no connection to change the key over")
			}
			_ = e2ePause(ctx, 100*time.Millisecond)
		}
	})
	// A till that signs on again and again, while what it sent before is under way: what has
	// the MAC of the former key is still good.
	changes.Go(func() {
		l := w.till(8)
		l.signOn()
		for i := 0; ctx.Err() == nil && i < 200; i++ {
			s := l.sale(pos.Purchase, 200+i%50, 100, nil)
			former, key := l.frame(l.request(s)), l.mac
			l.signOn()
			l.no(l.raw(wire(t, message.Framing{}, former)))
			l.mac = key // the answer is under the key of the request
			if a := l.hear(tillMax); a == nil || a.ResponseCode() != "00" {
				t.Errorf("a sale under the former key: %v", a)
			}
			l.signOn()
		}
	})
	r, err := pos.Run(t.Context(), pos.Options{Target: "the switch:1", Terminals: 6, Transactions: 100,
		Rate: 300, Cards: w.cards[:180], Seed: 21, MasterKey: keyringtest.Bytes(t, keyringtest.KeyA),
		PIN: bankPIN, Timeout: 5 * time.Second, RetryDelay: 100 * time.Millisecond,
		Dial: func(ctx context.Context, _ string) (net.Conn, error) { return w.dial(ctx, "pos") }})
	stop()
	changes.Wait()
	if err != nil {
		t.Fatal(err)
	}
	lost := r.Total.Timeouts + r.Total.Reversals + r.Total.MACFailures
	if r.Contradicted() || r.Failed() > 0 || lost > 0 {
		t.Errorf("failed %d, %+v %v", r.Failed(), r.Total, r.Findings)
	}
	for _, tr := range r.Terminals {
		if tr.Failed != "" || tr.Verdict != message.Balanced {
			t.Errorf("terminal %s: %s, settlement %v", tr.Terminal, tr.Failed, tr.Verdict)
		}
	}
	for code, n := range r.Codes {
		// A processor that is busy with other tests may let the link miss a turn: 91, and
		// nothing left. A key that is wrong shows as another code and in the bank's counts.
		if code != "00" && (code != "91" || n > 2) {
			t.Errorf("%d answers %s", n, code)
		}
	}
	w.reconcile()
	if c := w.counts(); c.KeyChanges < 5 || c.BadMAC > 0 || c.BadPIN > 0 || c.Reversed > 0 {
		t.Errorf("changes %d, wrong MACs %d, wrong PINs %d, reversed %d", c.KeyChanges, c.BadMAC,
			c.BadPIN, c.Reversed)
	}
}

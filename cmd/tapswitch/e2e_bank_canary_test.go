package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TestE2EBankCanary: after a day with PINs, tracks, faults and a restart no card number, no
// track, no PIN and no key stands in logs, journal, checkpoints, registry or ledger.
func TestE2EBankCanary(t *testing.T) {
	t.Parallel()
	b := bankBadDay()
	w := bankKeyed(t, b)
	r, err := pos.Run(t.Context(), pos.Options{Target: "the switch:1", Terminals: 6, Transactions: 30,
		Rate: 60, Cards: w.cards[:100], Seed: 31, MasterKey: keyringtest.Bytes(t, keyringtest.KeyA),
		PIN: bankPIN, Timeout: 2 * time.Second, RetryDelay: 100 * time.Millisecond, RetriesMax: 200,
		Dial: func(ctx context.Context, _ string) (net.Conn, error) { return w.dial(ctx, "pos") }})
	if err != nil || r.Failed() > 0 {
		t.Fatalf("%d failed: %v %v", r.Failed(), err, r.Findings)
	}
	l := w.till(7)
	l.signOn()
	track := w.cards[200].Digits() + "D30122010000012345678"
	s := l.sale(pos.Purchase, 200, 5_000, nil)
	s.change = func(m *message.Message) { l.no(m.SetDigits(35, track)) }
	if _, ok := w.spec.Field(35); ok {
		s.change = func(m *message.Message) { l.no(m.SetText(35, track)) }
	}
	l.do(s)
	chip := l.sale(pos.Purchase, 201, 5_100, nil)
	chip.change = func(m *message.Message) {
		l.no(m.SetBytes(55, append([]byte("\x5a\x08"), bankPacked(w.cards[201].Digits())...)))
	}
	l.do(chip)
	// What cannot be read: the log must not quote it.
	frame := l.frame(l.request(l.sale(pos.Purchase, 202, 5_200, nil)))
	l.no(l.raw(wire(t, message.Framing{}, frame[:len(frame)-11])))
	_ = l.hear(tillMax)
	w.settled()
	w.node.kill()
	if err := w.node.start(); err != nil {
		t.Fatal(err)
	}
	if err := w.node.stop(); err != nil {
		t.Error(err)
	}
	secrets := map[string][]byte{"track 2": []byte(track[16:]), "PIN": []byte(`"` + bankPIN + `"`)}
	for name, key := range map[string]string{"zone key": keyringtest.KeyA, "MAC key": keyringtest.KeyB,
		"PIN key": keyringtest.KeyC} {
		secrets[name+" in hex"] = []byte(key)
		secrets[name] = keyringtest.Bytes(t, key)
	}
	for _, c := range w.cards {
		secrets["card number "+c.String()] = []byte(c.Digits())
		secrets["packed card number "+c.String()] = bankPacked(c.Digits())
	}
	w.leaks(secrets)
	if c := w.counts(); c.Approved[bankhost.Purchase] == 0 || c.BadPIN > 0 {
		t.Errorf("%d sales, %d wrong PINs: the test shows nothing", c.Kinds[bankhost.Purchase], c.BadPIN)
	}
}

// bankPacked is digits in BCD.
func bankPacked(digits string) []byte {
	b, _ := hex.DecodeString(digits)
	return b
}

// leaks looks for secrets in everything that the switch has written.
func (w *bankTown) leaks(secrets map[string][]byte) {
	w.t.Helper()
	files, size := 0, 0
	look := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		files++
		size += len(text)
		for name, s := range secrets {
			if bytes.Contains(text, s) {
				w.t.Errorf("%s stands in %s", name, filepath.Base(path))
			}
		}
	}
	look(w.node.logPath())
	err := filepath.WalkDir(w.node.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			look(path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%d files with %d bytes", files, size)
}

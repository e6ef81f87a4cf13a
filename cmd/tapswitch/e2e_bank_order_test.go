package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/rota"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// Keys that the switch orders, and those that acquirers ask for.

// command runs a command of the real binary against the town's switch with the token of its
// first operator, and returns what it printed.
func (w *bankTown) command(args ...string) (out string, err error) {
	w.t.Helper()
	return w.commandAs(filepath.Join(w.node.dir, adminTokenFile), args...)
}

func (w *bankTown) commandAs(token string, args ...string) (out string, err error) {
	w.t.Helper()
	args = append(append([]string{"bank"}, args...), "--admin-url", "http://"+w.node.admin())
	if token != "" {
		args = append(args, "--token-file", token)
	}
	c := exec.Command(e2eBinary(w.t), args...)
	c.Env = e2eEnv()
	text, err := c.CombinedOutput()
	return string(text), err
}

// audited returns the audit trail, the newest line first.
func (w *bankTown) audited() (all []audit.Line) {
	w.t.Helper()
	if err := w.ask("/bank/audit", &all); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// metric returns the value of a metric with its labels as they stand in the page.
func (w *bankTown) metric(name string) string {
	w.t.Helper()
	_, page, err := e2eGet("http://" + w.node.admin() + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return m[1]
}

// ordering is a keyed town whose bank meets orders of keys in a way.
func ordering(t *testing.T, b bankhost.Behaviour, keys bankDoc) *bankTown {
	t.Helper()
	retail, err := mac.New(mac.X919, keyringtest.Bytes(t, keyringtest.KeyB))
	if err != nil {
		t.Fatal(err)
	}
	all := bankDoc{"mac": "x9.19", "mac_key": "mac/bank", "pin_key": "pin/bank",
		"zone": "key_exchange/zone"}
	for k, v := range keys {
		all[k] = v
	}
	return newBankTown(t, bankPlan{behaviour: b, key: "tills", args: bankRing(t),
		host: func(_ int, o *bankhost.Options) {
			o.MAC, o.MasterKey = retail, keyringtest.Bytes(t, keyringtest.KeyA)
			o.PIN, o.PINKey = bankPIN, keyringtest.Bytes(t, keyringtest.KeyC)
		},
		file: func(f *bankFile) { f.links[0]["keys"] = all }})
}

// TestE2EBankOrdersKeys: on command the bank gives new keys, whichever way it has; a wrong check
// value, a late answer, none and a refusal leave the old keys in force, are told, and are put
// right by the next try.
func TestE2EBankOrdersKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		way     bankhost.KeyOrder
		problem string // "" when the first order succeeds
	}{
		{bankhost.KeyOffered, ""}, {bankhost.KeyAnswered, ""},
		{bankhost.KeyWrongKCV, "check value"}, {bankhost.KeyLate, "no new key"},
		{bankhost.KeyNever, "no new key"}, {bankhost.KeyRefused, `"96"`},
	} {
		t.Run("way "+string(c.way), func(t *testing.T) {
			t.Parallel()
			b := bankRules()
			b.KeyOrder = c.way
			if c.problem != "" {
				b.KeyOrderTimes = 1
			}
			w := ordering(t, b, nil)
			l := w.till(1)
			l.signOn()
			l.want(l.sale(pos.Purchase, 1, 1_000, nil), "00")
			before := w.link("b0")
			out, err := w.command("keys", "b0", "-o", "json")
			if c.problem == "" {
				w.ordered(out, err, before)
			} else {
				if err == nil || !strings.Contains(out, c.problem) {
					t.Errorf("%v: %s", err, out)
				}
				failed := w.audited()
				if last := failed[len(failed)-1]; !strings.HasPrefix(last.Outcome, "not changed") ||
					last.Actor != (audit.Actor{Name: "admin", Role: "admin"}) {
					t.Errorf("the trail has %+v", last)
				}
				l.want(l.sale(pos.Purchase, 2, 2_000, nil), "00") // the old keys are good
			}
			w.eventually("new keys", func() bool {
				s := w.link("b0")
				return s.MACKey != before.MACKey && s.PINKey != before.PINKey && s.Tasks["keys"].Tries == 0
			})
			l.want(l.sale(pos.Purchase, 3, 3_000, nil), "00")
			w.reconcile()
			n := w.counts()
			if n.BadMAC > 0 || n.BadPIN > 0 || n.Reversed > 0 || n.KeyOrders < 2 {
				t.Errorf("%+v", n)
			}
			want := int64(2)
			if c.problem != "" {
				want++
			}
			if n.KeyOrders != want {
				t.Errorf("%d orders, want %d", n.KeyOrders, want)
			}
			if v := w.metric(`tapswitch_bank_task_failures{link="b0",task="keys"}`); v != "0" {
				t.Errorf("the metric of failures is %q", v)
			}
			faults := w.metric(`tapswitch_bank_total{event="key_faults"}`)
			if (faults == "0") != (c.problem == "") {
				t.Errorf("%s faults", faults)
			}
		})
	}
}

// ordered checks what `bank keys` says of an order that succeeded.
func (w *bankTown) ordered(out string, err error, before bank.LinkStatus) {
	w.t.Helper()
	var l bank.LinkStatus
	if err == nil {
		err = json.Unmarshal([]byte(out), &l)
	}
	if err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	if l.MACKey == before.MACKey || l.PINKey == before.PINKey || l.MACKey == "" || l.PINKey == "" {
		w.t.Errorf("the keys are %s and %s, were %s and %s", l.MACKey, l.PINKey, before.MACKey,
			before.PINKey)
	}
	kcvs := map[string]bool{}
	for _, line := range w.audited() {
		if line.Actor == (audit.Actor{Name: "admin", Role: "admin"}) && line.Outcome == "in force" {
			kcvs[line.KCV] = true
		}
	}
	if !kcvs[l.MACKey] || !kcvs[l.PINKey] {
		w.t.Errorf("the trail has %v, want %s and %s", kcvs, l.MACKey, l.PINKey)
	}
}

// TestE2EBankKeysByTheClock: keys change by the schedule in the middle of traffic with PINs, and
// nothing is lost; the due time outlives a kill.
func TestE2EBankKeysByTheClock(t *testing.T) {
	t.Parallel()
	w := ordering(t, bankhost.Behaviour{KeyOrder: bankhost.KeyAnswered},
		bankDoc{"change_every": "500ms"})
	r, err := pos.Run(t.Context(), pos.Options{Target: "the switch:1", Terminals: 6, Transactions: 60,
		Rate: 120, Cards: w.cards[:180], Seed: 22, MasterKey: keyringtest.Bytes(t, keyringtest.KeyA),
		PIN: bankPIN, Timeout: 5 * time.Second, RetryDelay: 100 * time.Millisecond,
		Dial: func(ctx context.Context, _ string) (net.Conn, error) { return w.dial(ctx, "pos") }})
	if err != nil {
		t.Fatal(err)
	}
	if lost := r.Total.Timeouts + r.Total.Reversals + r.Total.MACFailures; r.Failed() > 0 || lost > 0 {
		t.Errorf("failed %d, %+v %v", r.Failed(), r.Total, r.Findings)
	}
	w.reconcile()
	if n := w.counts(); n.KeyOrders < 4 || n.BadMAC > 0 || n.BadPIN > 0 || n.Reversed > 0 {
		t.Errorf("%+v", n)
	}
	for _, line := range w.audited() {
		if line.Actor != audit.Itself("schedule") || line.Outcome != "in force" || line.KCV == "" {
			t.Errorf("the trail has %+v", line)
		}
	}
}

// TestE2EBankKeysAreDueAfterAKill: what is due when stands on disk.
func TestE2EBankKeysAreDueAfterAKill(t *testing.T) {
	t.Parallel()
	w := ordering(t, bankhost.Behaviour{KeyOrder: bankhost.KeyAnswered},
		bankDoc{"change_every": "6s"})
	task := func() rota.State { return w.link("b0").Tasks["keys"] }
	first := task()
	if first.Due == 0 || w.counts().KeyOrders != 0 {
		t.Fatalf("%+v", first)
	}
	w.node.kill()
	w.start()
	if again := task(); again.Due != first.Due {
		t.Errorf("due %v, was %v", again.Due, first.Due)
	}
	w.eventually("the change", func() bool { return task().DoneAt != 0 })
	if done := task(); done.DoneAt < first.Due || done.Due <= done.DoneAt {
		t.Errorf("%+v, was due %v", done, first.Due)
	}
}

// TestE2EBankKeysAfterBadMACs: after so many wrong MACs in a row, and not after fewer, new keys
// are ordered.
func TestE2EBankKeysAfterBadMACs(t *testing.T) {
	t.Parallel()
	b := bankRules()
	b.KeyOrder = bankhost.KeyAnswered
	w := ordering(t, b, bankDoc{"change_after_bad_macs": 3})
	l := w.till(1)
	l.signOn()
	for i, minor := range []int64{1_080, 2_080, 3_000, 4_080, 5_080} { // …80: a wrong MAC
		want := "98"
		if minor == 3_000 {
			want = "00"
		}
		l.want(l.sale(pos.Purchase, i, minor, nil), want)
		w.settled() // its reversal is answered with a right MAC
	}
	if n := w.counts().KeyOrders; n != 0 {
		t.Fatalf("%d orders after single failures", n)
	}
	// Three in a row, before anything of theirs is reversed.
	for i := range 3 {
		m := w.till(2 + i)
		m.signOn()
		m.say(m.request(m.sale(pos.Purchase, 10+i, 6_080, nil)))
	}
	w.eventually("an order", func() bool { return w.counts().KeyOrders > 0 })
	w.settled()
	l.want(l.sale(pos.Purchase, 20, 7_000, nil), "00")
	last := w.audited()[0]
	if last.Actor != audit.Itself("bad MACs") || last.Outcome != "in force" {
		t.Errorf("the trail has %+v", last)
	}
}

// TestE2EBankAcquirerAsksForKeys: an acquirer without a key gets one, uses it, gets the same one
// when it asks again at once, and nothing goes through without a MAC.
func TestE2EBankAcquirerAsksForKeys(t *testing.T) {
	t.Parallel()
	retail, err := mac.New(mac.X919, keyringtest.Bytes(t, keyringtest.KeyB))
	if err != nil {
		t.Fatal(err)
	}
	w := newBankTown(t, bankPlan{args: bankRing(t),
		host: func(_ int, o *bankhost.Options) { o.MAC = retail },
		file: func(f *bankFile) {
			f.links[0]["keys"] = bankDoc{"mac": "x9.19", "mac_key": "mac/bank"}
			f.listeners = append(f.listeners, bankDoc{"name": "acq", "address": "127.0.0.1:0",
				"spec": "iso87_ascii", "acquirer": "10000001",
				"keys": bankDoc{"mac": "x9.19", "zone": "key_exchange/zone"}})
		}})
	a := w.institution("acq")
	if code := a.sell(1_000); code != "A0" {
		t.Errorf("a sale without a key: %s", code)
	}
	first := a.newKey()
	if again := a.newKey(); !bytes.Equal(first, again) {
		t.Error("an acquirer that asks again at once gets another key")
	}
	if code := a.sell(2_000); code != "00" {
		t.Errorf("a sale under the new key: %s", code)
	}
	good := a.mac
	if a.mac, err = mac.New(mac.X919, keyringtest.Bytes(t, keyringtest.KeyC)); err != nil {
		t.Fatal(err)
	}
	if code := a.sell(3_000); code != "A0" {
		t.Errorf("a sale under a strange key: %s", code)
	}
	a.mac = good
	w.node.kill()
	w.start()
	a.hangUp()
	if code := a.sell(4_000); code != "00" {
		t.Errorf("a sale after a restart: %s", code)
	}
	w.reconcile()
	line := w.audited()[0]
	if line.Actor != audit.Itself("asked by acq") || line.Subject != "in.acq mac" || line.KCV == "" {
		t.Errorf("the trail has %+v", line)
	}
	w.absent(first)
}

// TestE2EBankAnswersUnderTheKeyOfTheRequest: an acquirer's key changes while the bank works on its
// sale. The answer is under the key of the sale, though the overlap is over by then; the next
// sale under it is refused, and under the new one it is good.
func TestE2EBankAnswersUnderTheKeyOfTheRequest(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{args: bankRing(t),
		behaviour: bankhost.Behaviour{
			Rules:     []bankhost.Rule{{Kind: "purchase", Effect: bankhost.Delay}},
			DelayFrom: bankhost.Span(bankTimeout), DelayTo: bankhost.Span(bankTimeout)},
		file: func(f *bankFile) {
			f.links[0]["timeout"] = "20s"
			f.listeners = append(f.listeners, bankDoc{"name": "acq", "address": "127.0.0.1:0",
				"spec": "iso87_ascii", "acquirer": "10000001", "keys": bankDoc{"mac": "x9.19",
					"zone": "key_exchange/zone", "mac_key": "mac/bank", "overlap": "1ms"}})
		}})
	a, manager := w.institution("acq"), w.institution("acq")
	var err error
	if a.mac, err = mac.New(mac.X919, keyringtest.Bytes(t, keyringtest.KeyB)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // a key of the ring, and one that was given
		told := make(chan string, 1)
		go func() { told <- a.sell(1_000) }()
		w.eventually("the sale at the bank", func() bool {
			return w.counts().Kinds[bankhost.Purchase] == int64(i+1)
		})
		manager.stan = 500 * uint32(i+1)
		manager.newKey()
		if code := <-told; code != "00" {
			t.Errorf("the sale under the key of before: %s", code)
		}
		if code := a.sell(2_000); code != "A0" {
			t.Errorf("a sale under the key of before, after the overlap: %s", code)
		}
		a.mac = manager.mac
	}
	if code := a.sell(3_000); code != "00" {
		t.Errorf("a sale under the new key: %s", code)
	}
	w.reconcile()
}

// absent looks for a key in everything that the switch has written, as bytes and in hex.
func (w *bankTown) absent(key []byte) {
	w.t.Helper()
	forms := [][]byte{key, []byte(hex.EncodeToString(key)),
		[]byte(strings.ToUpper(hex.EncodeToString(key)))}
	err := filepath.WalkDir(w.node.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the switch at work renames and removes
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, form := range forms {
			if bytes.Contains(text, form) {
				w.t.Errorf("a key stands in %s", filepath.Base(path))
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// institution is an acquirer that a test plays by hand, in iso87_ascii.
type institution struct {
	t        testing.TB
	w        *bankTown
	listener string
	spec     *message.Spec
	stan     uint32
	mac      *mac.MAC
	dial     func() (net.Conn, error)
	nc       net.Conn
	r        *message.Reader
}

func (w *bankTown) institution(listener string) *institution {
	a := &institution{t: w.t, w: w, listener: listener, spec: bankSpec(w.t, "iso87_ascii")}
	a.dial = func() (net.Conn, error) { return w.dial(w.t.Context(), listener) }
	w.t.Cleanup(a.hangUp)
	return a
}

func (a *institution) hangUp() {
	if a.nc != nil {
		_ = a.nc.Close()
		a.nc = nil
	}
}

func (a *institution) no(errs ...error) {
	a.t.Helper()
	if err := errors.Join(errs...); err != nil {
		a.t.Fatal(err)
	}
}

// message begins a message with the next trace number.
func (a *institution) message(mti message.MTI) *message.Message {
	a.t.Helper()
	a.stan++
	m := message.New(a.spec, mti)
	a.no(m.SetDigits(7, time.Now().UTC().Format("0102150405")), m.SetSTAN(a.stan),
		m.SetDigits(32, "10000001"))
	return m
}

// ask sends a message and returns its answer, whose MAC is verified where the acquirer has a key
// and the answer is no refusal of it.
func (a *institution) ask(m *message.Message) *message.Message {
	a.t.Helper()
	if a.nc == nil {
		nc, err := a.dial()
		a.no(err)
		a.nc, a.r = nc, message.NewReader(nc, message.Framing{Form: message.ASCII4})
	}
	var frame []byte
	var err error
	if a.mac != nil && m.MTI().Class() != message.Network {
		frame, err = m.AppendMAC(nil, a.mac)
	} else {
		frame, err = m.Append(nil)
	}
	a.no(err)
	_, err = a.nc.Write(wire(a.t, message.Framing{Form: message.ASCII4}, frame))
	a.no(err, a.nc.SetReadDeadline(time.Now().Add(tillMax)))
	frame, err = a.r.Next()
	a.no(err)
	answer, err := message.Parse(a.spec, frame)
	a.no(err)
	if a.mac != nil && answer.ResponseCode() == "00" && m.MTI().Class() != message.Network {
		if err := message.Verify(a.spec, frame, a.mac); err != nil {
			a.t.Errorf("the answer %v: %v", answer.MTI(), err)
		}
	}
	return answer
}

// money begins a message about a card.
func (a *institution) money(mti message.MTI, code string, card int, minor int64) *message.Message {
	a.t.Helper()
	m := a.message(mti)
	a.no(m.SetPAN(a.w.cards[card]), m.SetDigits(3, code), m.SetAmount(minor), m.SetDigits(25, "00"),
		m.SetText(37, strings.Repeat("7", 6)+pad(a.stan)), m.SetText(41, "ACQ00001"),
		m.SetText(42, "898310041110001"), m.SetText(49, "156"))
	return m
}

func pad(n uint32) string { return fmt.Sprintf("%06d", n) }

// sell makes a sale and returns its response code.
func (a *institution) sell(minor int64) string {
	a.t.Helper()
	return a.ask(a.money(message.FinancialRequest, "000000", int(a.stan%100), minor)).ResponseCode()
}

// newKey asks for a MAC key, takes it, and returns it.
func (a *institution) newKey() []byte {
	a.t.Helper()
	m := a.message(message.NetworkRequest)
	a.no(m.SetDigits(53, "2600000000000000"), m.SetDigits(70, "101"))
	answer := a.ask(m)
	f48, _ := answer.Text(48)
	f96, _ := answer.Bytes(96)
	key, ok := bankhost.ParseKeyField(f48, f96)
	if !ok || answer.ResponseCode() != "00" {
		a.t.Fatalf("%s, field 48 of %d characters", answer.ResponseCode(), len(f48))
	}
	zone, err := block.New(block.TDES, keyringtest.Bytes(a.t, keyringtest.KeyA))
	a.no(err)
	clearKey := make([]byte, len(key.Key))
	a.no(block.DecryptECB(zone, clearKey, key.Key))
	a.mac, err = mac.New(mac.X919, clearKey)
	a.no(err)
	return clearKey
}

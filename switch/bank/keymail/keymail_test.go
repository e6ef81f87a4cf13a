package keymail

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const overlap = time.Minute

var li = audit.Actor{Name: "li", Role: "admin"}

// world is a link with a zone key, keyringtest.KeyA, and a MAC key, KeyB.
type world struct {
	*testing.T
	desk  *Desk
	clock *keyringtest.Clock
	spec  *message.Spec
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, clock: keyringtest.NewClock()}
	var parts [2]*keyring.Component
	for i := range parts {
		c, _, err := keyring.NewComponent(nil)
		w.no(err)
		parts[i] = c
	}
	ring, err := keyring.CreateStore(filepath.Join(t.TempDir(), "keys"), parts[0], parts[1],
		keyring.Options{Actor: keyringtest.Two, Now: w.clock.Now, Audit: &keyringtest.Trail{}})
	w.no(err)
	t.Cleanup(ring.Close)
	keyringtest.Import(t, ring, "key_exchange/bank", keyring.TDES2, keyringtest.KeyA)
	keyringtest.Import(t, ring, "mac/bank", keyring.TDES2, keyringtest.KeyB)
	m := storetest.NewMemory(storetest.MemoryOptions{})
	keys, err := secure.OpenLink(t.Context(), secure.LinkOptions{Ring: ring, Registry: m, Link: "bank",
		Scheme: mac.X919, MAC: keyringtest.Ref(t, "mac/bank"), ZMK: keyringtest.Ref(t, "key_exchange/bank"),
		Overlap: overlap, Now: w.clock.Now})
	w.no(err)
	w.desk = NewDesk(Options{Keys: keys, Subject: "link bank", Overlap: overlap, Now: w.clock.Now,
		Trail: audit.NewTrail(m, func() txn.Millis { return txn.MillisOf(w.clock.Now()) })})
	w.spec, err = message.Named("iso87_ascii")
	w.no(err)
	return w
}

func (w *world) no(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// mail is a message of the bank with a key of hex digits under the zone key; spoil edits it.
func (w *world) mail(mti message.MTI, kind secure.Kind, key string, spoil func(*message.Message)) Message {
	w.Helper()
	clearKey := keyringtest.Bytes(w.T, key)
	t := secure.Transfer{Kind: kind, Algorithm: keyring.TDES2, Wrapped: make([]byte, len(clearKey)),
		KCV: make([]byte, 8)}
	zone, err := block.New(block.TDES, keyringtest.Bytes(w.T, keyringtest.KeyA))
	w.no(err)
	w.no(block.EncryptECB(zone, t.Wrapped, clearKey))
	check, err := block.New(block.TDES, clearKey)
	w.no(err)
	check.Encrypt(t.KCV, t.KCV)
	m := message.New(w.spec, mti)
	w.no(errors.Join(m.SetDigits(7, "1122040000"), m.SetSTAN(1), m.SetDigits(70, "101"),
		m.SetText(39, "00")))
	for _, f := range Fields(t) {
		w.no(m.SetBytes(f.Number, f.Value))
	}
	if spoil != nil {
		spoil(m)
	}
	frame, err := m.Append(nil)
	w.no(err)
	return w.read(frame)
}

func (w *world) read(frame []byte) Message {
	w.Helper()
	v := new(message.View)
	w.no(v.Open(w.spec, frame))
	sum, err := v.Summary()
	w.no(err)
	return Message{Spec: w.spec, View: v, Sum: &sum, Frame: frame}
}

// lines are the outcomes in the trail, the newest first.
func (w *world) lines() (all []audit.Line) {
	w.Helper()
	all, err := w.desk.Trail.Lines(w.Context(), 100)
	w.no(err)
	return all
}

// answers makes an Ask that answers with a message.
func answers(m Message) Ask {
	return func(context.Context, string) (Message, func(), error) { return m, func() {}, nil }
}

func TestTake(t *testing.T) {
	w := newWorld(t)
	before, _ := w.desk.Keys.KCVs()
	for _, c := range []struct {
		what  string
		spoil func(*message.Message)
		err   error
	}{
		{"no field 53", func(m *message.Message) { m.Unset(53) }, ErrFormat},
		{"a key cut short", func(m *message.Message) { w.no(m.SetText(48, "NK0123")) }, ErrFormat},
		{"another check value", func(m *message.Message) {
			text, _ := m.Text(48)
			w.no(m.SetText(48, text[:len(text)-8]+"00000000"))
		}, ErrRefused},
		{"a wrong MAC", func(m *message.Message) { w.no(m.SetBytes(128, make([]byte, 8))) }, ErrMAC},
	} {
		m := w.mail(message.NetworkRequest, secure.MACKey, keyringtest.KeyC, c.spoil)
		if err := w.desk.Take(t.Context(), m, li); !errors.Is(err, c.err) || Code(err) == "00" {
			t.Errorf("%s: %v, code %s", c.what, err, Code(err))
		}
	}
	if now, _ := w.desk.Keys.KCVs(); now != before || len(w.lines()) != 0 {
		t.Error("a refused key came into force, or stands in the trail as a change")
	}
	w.no(w.desk.Take(t.Context(), w.mail(message.NetworkRequest, secure.MACKey, keyringtest.KeyC, nil), li))
	now, _ := w.desk.Keys.KCVs()
	all := w.lines()
	if now == before || len(all) != 1 || all[0].Outcome != "in force" || all[0].KCV != string(now) ||
		all[0].Actor != li || all[0].Subject != "link bank mac" {
		t.Errorf("%s, %+v", now, all)
	}
	if strings.Contains(strings.ToUpper(all[0].KCV), keyringtest.KeyC[:16]) {
		t.Error("a key stands in the trail")
	}
}

// An order is over when its key is in force, whichever way it came; otherwise the old one stays
// and the trail says why.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	order := func(ask Ask) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return w.desk.Order(ctx, secure.MACKey, ask, li)
	}
	kcv := func() keyring.KCV {
		auth, _ := w.desk.Keys.KCVs()
		return auth
	}
	first := kcv()
	plain := w.mail(message.NetworkResponse, secure.MACKey, keyringtest.KeyC, func(m *message.Message) {
		m.Unset(48, 53)
	})
	for what, c := range map[string]struct {
		ask Ask
		err error
	}{
		"no answer": {func(ctx context.Context, _ string) (Message, func(), error) {
			<-ctx.Done()
			return Message{}, nil, ctx.Err()
		}, context.DeadlineExceeded},
		"refused": {answers(w.mail(message.NetworkResponse, secure.MACKey, keyringtest.KeyC,
			func(m *message.Message) { w.no(m.SetText(39, "96")) })), ErrAnswer},
		"taken, and no key comes": {answers(plain), ErrAnswer},
		"a key of the other kind": {answers(w.mail(message.NetworkResponse, secure.PINKey,
			keyringtest.KeyC, nil)), ErrRefused},
		"a wrong check value": {answers(w.mail(message.NetworkResponse, secure.MACKey,
			keyringtest.KeyC, func(m *message.Message) {
				text, _ := m.Text(48)
				w.no(m.SetText(48, text[:len(text)-8]+"00000000"))
			})), keyring.ErrKCV},
	} {
		if err := order(c.ask); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", what, err)
		}
		if line := w.lines()[0]; !strings.HasPrefix(line.Outcome, "not changed") || line.KCV != "" {
			t.Errorf("%s: the trail has %+v", what, line)
		}
	}
	if kcv() != first {
		t.Fatal("the key changed")
	}
	w.no(order(answers(w.mail(message.NetworkResponse, secure.MACKey, keyringtest.KeyC, nil))))
	second := kcv()
	if line := w.lines()[0]; second == first || line.Outcome != "in force" || line.KCV != string(second) {
		t.Errorf("%s, %+v", second, line)
	}
	// The key comes in a message of the bank's own, before its answer to the order.
	const fresh = "23456789ABCDEF0113579BDF02468ACE"
	w.no(order(func(ctx context.Context, control string) (Message, func(), error) {
		if control != "2600000000000000" {
			t.Errorf("field 53 is %s", control)
		}
		w.no(w.desk.Take(ctx, w.mail(message.NetworkRequest, secure.MACKey, fresh, nil),
			audit.Itself("bank")))
		return plain, func() {}, nil
	}))
	if kcv() == second {
		t.Error("the key did not change")
	}
	if err := w.desk.Order(t.Context(), secure.PINKey+7, nil, li); !errors.Is(err, secure.ErrNoKey) {
		t.Errorf("a kind that there is not: %v", err)
	}
}

// A peer that asks again within the overlap has lost the answer; later it gets another key.
func TestIssue(t *testing.T) {
	w := newWorld(t)
	issue := func() secure.Transfer {
		t.Helper()
		key, err := w.desk.Issue(t.Context(), secure.MACKey, audit.Itself("acquirer"))
		w.no(err)
		return key
	}
	first := issue()
	if again := issue(); !bytes.Equal(again.Wrapped, first.Wrapped) || len(w.lines()) != 1 {
		t.Errorf("asked twice: %d changes", len(w.lines()))
	}
	w.clock.Add(overlap)
	second := issue()
	if bytes.Equal(second.Wrapped, first.Wrapped) || len(w.lines()) != 2 {
		t.Errorf("asked after the overlap: %d changes", len(w.lines()))
	}
	fields := Fields(second)
	want := "NK" + strings.ToUpper(hex.EncodeToString(second.Wrapped)+hex.EncodeToString(second.KCV[:4]))
	if len(fields) != 2 || fields[0].Number != 48 || string(fields[0].Value) != want ||
		fields[1].Number != 53 || string(fields[1].Value) != "2600000000000000" {
		t.Errorf("%d fields", len(fields))
	}
	single := Fields(secure.Transfer{Kind: secure.PINKey, Algorithm: keyring.DES,
		Wrapped: make([]byte, 8), KCV: make([]byte, 3)})
	if len(single) != 3 || single[2].Number != 96 || string(single[1].Value) != "1000000000000000" {
		t.Errorf("%v", single)
	}
}

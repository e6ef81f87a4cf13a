package main

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/tlv"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What terminals load down and send up beside their transactions.

// network sends a message about the link with field 62, and returns the answer.
func (l *till) network(mti message.MTI, kind, code string, field62 []byte) *message.Message {
	l.t.Helper()
	l.stan++
	m := l.message(mti, l.stan, message.Private{Type: kind, Network: code})
	if len(field62) > 0 {
		l.no(m.SetBytes(62, field62))
	}
	return l.ask(m)
}

// loads gets a list and then each entry of it, as a chip terminal does.
func (l *till) loads(list, item, end string, entry int) (all [][]tlv.Element) {
	l.t.Helper()
	names, _ := l.network(message.NetworkAdvice, "00", list, []byte("100")).Bytes(62)
	if len(names) == 0 || names[0] != '1' || (len(names)-1)%entry != 0 {
		l.t.Fatalf("list %s: %x", list, names)
	}
	for names = names[1:]; len(names) > 0; names = names[entry:] {
		full, _ := l.network(message.NetworkRequest, "00", item, names[:entry]).Bytes(62)
		elements, err := tlv.Parse(nil, full[1:])
		l.no(err)
		all = append(all, elements)
	}
	if code := l.network(message.NetworkRequest, "00", end, nil).ResponseCode(); code != "00" {
		l.t.Errorf("end %s: %s", end, code)
	}
	return all
}

// TestE2EBankDownloads: public keys and applications come entry by entry from the files of the
// bank file; what is not there or not asked for rightly is refused.
func TestE2EBankDownloads(t *testing.T) {
	t.Parallel()
	example, err := filepath.Abs("../../deploy/bank")
	if err != nil {
		t.Fatal(err)
	}
	w := newBankTown(t, bankPlan{file: func(f *bankFile) {
		f.whole["emv"] = bankDoc{"ca_keys": filepath.Join(example, "ca_keys.yaml")}
		f.listeners[0]["parameters"] = bankDoc{"12": "60"}
	}})
	l := w.till(1)
	keys := l.loads("372", "370", "371", 19)
	for _, e := range keys {
		modulus, _ := tlv.Find(e, 0xDF02)
		check, _ := tlv.Find(e, 0xDF03)
		if len(modulus) < 128 || len(check) != 20 {
			t.Errorf("a key of %d bytes with a check value of %d", len(modulus), len(check))
		}
	}
	if len(keys) != 3 {
		t.Errorf("%d keys", len(keys))
	}
	if text, _ := l.network(message.NetworkRequest, "00", "360", nil).Bytes(62); string(text) != "1260" {
		t.Errorf("parameters %q", text)
	}
	for _, c := range []struct {
		mti     message.MTI
		code    string
		field62 string
		want    string
	}{
		{message.NetworkAdvice, "372", "1", "30"}, {message.NetworkRequest, "370", "", "30"},
		{message.NetworkRequest, "370", "\x9f\x06\x09", "30"},
		{message.NetworkAdvice, "382", "100", "40"}, // no file
		{message.NetworkRequest, "380", "\x9f\x06\x05\xd1\x56\x00\x00\x01", "40"},
		{message.NetworkRequest, "374", "", "40"}, {message.NetworkRequest, "952", "", "40"},
		{message.NetworkRequest, "800", "x", "40"},
	} {
		if got := l.network(c.mti, "00", c.code, []byte(c.field62)).ResponseCode(); got != c.want {
			t.Errorf("%v %s %q: %s, want %s", c.mti, c.code, c.field62, got, c.want)
		}
	}
}

// TestE2EBankSignature: a signature is kept with its transaction, once, and counted; also over
// a crash.
func TestE2EBankSignature(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{})
	l := w.till(1)
	l.stan = 6
	sold := l.sale(pos.Purchase, 1, 1_000, nil)
	l.want(sold, "00")
	send := func(stan uint32, kind string, image []byte) string {
		t.Helper()
		m := l.message(message.NetworkAdvice, stan, message.Private{Type: kind, Network: "800"})
		if len(image) > 0 {
			l.no(m.SetBytes(62, image))
		}
		l.no(m.SetText(37, sold.rrn), m.SetAmount(sold.minor))
		return l.ask(m).ResponseCode()
	}
	image := bytes.Repeat([]byte{0x42}, 999)
	for _, c := range []struct {
		stan  uint32
		kind  string
		image []byte
		want  string
	}{{7, "07", image, "00"}, {7, "07", image, "00"}, {8, "07", image[:10], "00"},
		{9, "07", nil, "30"}, {9, "00", image, "40"}} {
		if got := send(c.stan, c.kind, c.image); got != c.want {
			t.Errorf("%d %s: %s, want %s", c.stan, c.kind, got, c.want)
		}
	}
	count := func() int {
		s, err := w.status()
		l.no(err)
		return s.Signatures
	}
	if n := count(); n != 2 {
		t.Errorf("%d signatures, want 2", n)
	}
	w.node.kill()
	l.hangUp()
	w.start()
	if n := count(); n != 2 {
		t.Errorf("%d signatures after a crash, want 2", n)
	}
	w.settled()
	for _, r := range w.node.parquet() {
		if r.Kind != txn.BankPurchase {
			continue
		}
		var kept bank.Signature
		if err := w.ask("/bank/signatures/"+r.Request.String(), &kept); err != nil {
			t.Fatal(err)
		}
		if kept.RRN != sold.rrn || kept.Amount != 1_000 || kept.Image != hex.EncodeToString(image) {
			t.Errorf("kept %s, %d, %d bytes", kept.RRN, kept.Amount, len(kept.Image)/2)
		}
	}
}

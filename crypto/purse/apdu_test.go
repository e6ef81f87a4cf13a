package purse_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/purse"
)

// TestInit reads synthetic INITIALIZE commands of every kind, writes them again, with and
// without Le.
func TestInit(t *testing.T) {
	terminal := [6]byte{0x30, 0, 0x89, 0, 3, 0x40}
	f := func(command, le string, want purse.Init, typ purse.Type) {
		t.Helper()
		for _, tail := range []string{"", le} {
			b := unhex(command + tail)
			want.Le = tail != ""
			got, err := purse.ParseInit(b)
			if err != nil || got != want || got.Type() != typ {
				t.Errorf("%x: %+v %v, want %+v", b, got, err, want)
			}
			if again := got.Append([]byte{1}); !bytes.Equal(again[1:], b) {
				t.Errorf("%x comes back as %x", b, again[1:])
			}
		}
	}
	const data = "01" + "00001388" + "300089000340"
	i := purse.Init{KeyIndex: 1, Amount: 5000, Terminal: terminal}
	with := func(o purse.Operation, p purse.Purse) purse.Init {
		i.Operation, i.Purse = o, p
		return i
	}
	f("805000010b"+data, "10", with(purse.OpLoad, purse.ED), purse.LoadED)
	f("805000020b"+data, "10", with(purse.OpLoad, purse.EP), purse.LoadEP)
	f("805001010b"+data, "0f", with(purse.OpPurchase, purse.ED), purse.PurchaseED)
	f("805001020b"+data, "0f", with(purse.OpPurchase, purse.EP), purse.PurchaseEP)
	f("805003020b"+data, "0f", with(purse.OpCompound, purse.EP), purse.Compound)
	f("805005010b"+data, "10", with(purse.OpUnload, purse.ED), purse.UnloadED)
	i.Amount = 0
	f("805004010701300089000340", "13", with(purse.OpOverdraft, purse.ED), purse.Overdraft)
}

func TestInitErrors(t *testing.T) {
	const data = "01" + "00001388" + "300089000340"
	for _, s := range []string{"", "80", "80500002", "805000020b", "805000020b" + data[2:],
		"805000020b" + data + "1000", "805000020a" + data, "005000020b" + data, "805200020b" + data,
		"805002020b" + data, "805006020b" + data, "805000030b" + data, "805000000b" + data,
		"805003010b" + data, "805005020b" + data, "805004020701300089000340",
		"8050040107013000890003", "805004010b" + data} {
		if got, err := purse.ParseInit(unhex(s)); !errors.Is(err, purse.ErrCommand) ||
			got != (purse.Init{}) {
			t.Errorf("%s: %+v %v", s, got, err)
		}
	}
}

func TestInitReply(t *testing.T) {
	f := func(o purse.Operation, reply string, want purse.InitReply) {
		t.Helper()
		b := unhex(reply)
		got, err := purse.ParseInitReply(o, b)
		if err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", reply, got, err, want)
		}
		if again := got.Append(nil, o); !bytes.Equal(again, b) {
			t.Errorf("%s comes back as %x", reply, again)
		}
		for n := range 25 {
			_, err := purse.ParseInitReply(o, make([]byte, n))
			if (err == nil) != (n == len(b)) || err != nil && !errors.Is(err, purse.ErrReply) {
				t.Errorf("operation %d, %d bytes: %v", o, n, err)
			}
		}
	}
	r := purse.InitReply{Balance: 0x01020304, Counter: 0x0506, KeyVersion: 7, Algorithm: 8,
		Random: [4]byte{0xca, 0xfe, 0xba, 0xbe}, MAC1: [4]byte{1, 1, 2, 3}}
	f(purse.OpLoad, "010203040506"+"0708"+"cafebabe"+"01010203", r)
	f(purse.OpUnload, "010203040506"+"0708"+"cafebabe"+"01010203", r)
	r.Limit = 0x0a0b0c
	f(purse.OpOverdraft, "010203040506"+"0a0b0c"+"0708"+"cafebabe"+"01010203", r)
	r.MAC1 = [4]byte{}
	f(purse.OpPurchase, "010203040506"+"0a0b0c"+"0708"+"cafebabe", r)
	f(purse.OpCompound, "010203040506"+"0a0b0c"+"0708"+"cafebabe", r)
	if _, err := purse.ParseInitReply(2, make([]byte, 16)); !errors.Is(err, purse.ErrReply) {
		t.Errorf("unknown operation: %v", err)
	}
}

// TestValues: what a command and its reply say about the balance after.
func TestValues(t *testing.T) {
	r := purse.InitReply{Balance: 1000, Counter: 3, Limit: 50}
	for o, after := range map[purse.Operation]uint32{
		purse.OpLoad: 1300, purse.OpPurchase: 700, purse.OpCompound: 700, purse.OpUnload: 700,
		purse.OpOverdraft: 1000,
	} {
		c := purse.Init{Operation: o, Purse: purse.ED, Amount: 300}
		v := c.Values(&r)
		if v.Balance != 1000 || v.NewBalance != after || v.Counter != 3 || v.OldLimit != 50 {
			t.Errorf("operation %d: %+v", o, v)
		}
	}
}

func TestCommit(t *testing.T) {
	f := func(command, le string, want purse.Commit) {
		t.Helper()
		want.Date, want.Time = [4]byte{0x20, 0x26, 0x11, 0x22}, [3]byte{0x08, 0x15, 0x30}
		want.MAC = [4]byte{0xde, 0xad, 0xbe, 0xef}
		for _, tail := range []string{"", le} {
			b := unhex(command + "20261122081530deadbeef" + tail)
			want.Le = tail != ""
			got, err := purse.ParseCommit(b)
			if err != nil || got != want {
				t.Errorf("%x: %+v %v, want %+v", b, got, err, want)
			}
			if again := got.Append(nil); !bytes.Equal(again, b) {
				t.Errorf("%x comes back as %x", b, again)
			}
		}
		if _, err := purse.ParseCommit(unhex(command)); !errors.Is(err, purse.ErrCommand) {
			t.Errorf("short: %v", err)
		}
	}
	f("805200000b", "04", purse.Commit{Operation: purse.OpLoad})
	f("805401000f"+"0a0b0c0d", "08", purse.Commit{Operation: purse.OpPurchase, TermSeq: 0x0a0b0c0d})
	f("805403000b", "04", purse.Commit{Operation: purse.OpUnload})
	f("805800000e"+"010203", "04", purse.Commit{Operation: purse.OpOverdraft, NewLimit: 0x010203})
	compound := purse.Commit{Operation: purse.OpCompound}
	if got := compound.Append(nil); hex.EncodeToString(got[:5]) != "805401000f" {
		t.Errorf("compound: %x", got)
	}
	for _, s := range []string{"", "8052", "8053000000", "805400000b20261122081530deadbeef"} {
		if _, err := purse.ParseCommit(unhex(s)); !errors.Is(err, purse.ErrCommand) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// TestProof: TAC before MAC2 in the answer to DEBIT, after it in that to GET TRANSACTION
// PROVE.
func TestProof(t *testing.T) {
	tac, mac := [4]byte{0xaa, 0xbb, 0xcc, 0xdd}, [4]byte{1, 2, 3, 4}
	both := purse.Proof{TAC: tac, MAC: mac}
	for o, want := range map[purse.Operation]string{
		purse.OpPurchase: "aabbccdd01020304", purse.OpCompound: "aabbccdd01020304",
		purse.OpLoad: "aabbccdd", purse.OpUnload: "aabbccdd", purse.OpOverdraft: "aabbccdd",
	} {
		b := both.Append(nil, o)
		p, err := purse.ParseProof(o, b)
		if hex.EncodeToString(b) != want || err != nil || p.TAC != tac ||
			(len(b) == 8) != (p.MAC == mac) {
			t.Errorf("operation %d: %x, %+v %v", o, b, p, err)
		}
		if _, err := purse.ParseProof(o, b[1:]); !errors.Is(err, purse.ErrReply) {
			t.Errorf("short: %v", err)
		}
	}
	if _, err := purse.ParseProof(2, make([]byte, 4)); !errors.Is(err, purse.ErrReply) {
		t.Errorf("unknown operation: %v", err)
	}
	p, err := purse.ParseGetProofReply(unhex("01020304aabbccdd"))
	if err != nil || p != both {
		t.Errorf("%+v %v", p, err)
	}
	p, err = purse.ParseGetProofReply(unhex("aabbccdd"))
	if err != nil || p != (purse.Proof{TAC: tac}) {
		t.Errorf("%+v %v", p, err)
	}
	if _, err = purse.ParseGetProofReply(make([]byte, 5)); !errors.Is(err, purse.ErrReply) {
		t.Errorf("5 bytes: %v", err)
	}
}

func TestGetProof(t *testing.T) {
	for _, s := range []string{"805a0009021234", "805a000902123408", "805a000102ffff"} {
		c, err := purse.ParseGetProof(unhex(s))
		if err != nil || hex.EncodeToString(c.Append(nil)) != s {
			t.Errorf("%s: %+v %v", s, c, err)
		}
	}
	if c, _ := purse.ParseGetProof(unhex("805a0009021234")); c.Type != purse.Compound ||
		c.Counter != 0x1234 {
		t.Errorf("%+v", c)
	}
	for _, s := range []string{"", "805a00", "805a0000021234", "805a000a021234", "805a00090212",
		"805a00090312345678", "805a01090212340800", "805b0009021234"} {
		if _, err := purse.ParseGetProof(unhex(s)); !errors.Is(err, purse.ErrCommand) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestSupportCommands(t *testing.T) {
	if got := purse.AppendGetBalance(nil, purse.EP); hex.EncodeToString(got) != "805c000204" {
		t.Errorf("GET BALANCE %x", got)
	}
	if got := purse.AppendReadRecord(nil, purse.DetailSFI,
		3); hex.EncodeToString(got) != "00b203c400" {
		t.Errorf("READ RECORD %x", got)
	}
	if b, err := purse.ParseBalance([]byte{0, 0, 4, 1}); b != 1025 || err != nil {
		t.Errorf("balance %d %v", b, err)
	}
	if _, err := purse.ParseBalance(nil); !errors.Is(err, purse.ErrReply) {
		t.Errorf("no balance: %v", err)
	}
}

func TestStatus(t *testing.T) {
	data, s, err := purse.SplitReply(unhex("aabbccdd9000"))
	if err != nil || s != purse.StatusOK || hex.EncodeToString(data) != "aabbccdd" {
		t.Errorf("%x %v %v", data, s, err)
	}
	for text, want := range map[string]string{
		"9302": "MAC", "9401": "balance", "9402": "counter", "9403": "key index", "9406": "proof",
		"6985": "conditions", "6988": "messaging", "63c2": "2 tries", "9000": "done", "6a82": "6a82",
	} {
		if _, s, err := purse.SplitReply(unhex(text)); err != nil || !strings.Contains(s.String(), want) {
			t.Errorf("%s: %v %v", text, s, err)
		}
	}
	if _, _, err := purse.SplitReply([]byte{0x90}); !errors.Is(err, purse.ErrReply) {
		t.Errorf("one byte: %v", err)
	}
}

// detail and trip are synthetic records.
const (
	detail = "0007" + "000064" + "000000c8" + "06" + "300089000340" + "20261122" + "081530"
	trip   = "03" + "0000300089000340" + "01" + "01020304050607" + "00000000" + "000004d2" +
		"20261122081530" + "1000" + "0101100000000001" + "ffffffffffff"
)

func TestDetail(t *testing.T) {
	d, err := purse.ParseDetail(unhex(detail))
	want := purse.Detail{Counter: 7, Overdraft: 100, Amount: 200, Type: purse.PurchaseEP,
		Terminal: [6]byte{0x30, 0, 0x89, 0, 3, 0x40}, Date: [4]byte{0x20, 0x26, 0x11, 0x22},
		Time: [3]byte{8, 0x15, 0x30}}
	if err != nil || d != want {
		t.Errorf("%+v %v, want %+v", d, err, want)
	}
	if got := d.Append(nil); hex.EncodeToString(got) != detail {
		t.Errorf("comes back as %x", got)
	}
}

func TestTrip(t *testing.T) {
	r, err := purse.ParseTrip(unhex(trip))
	want := purse.Trip{Type: purse.TripEntry, Terminal: [8]byte{0, 0, 0x30, 0, 0x89, 0, 3, 0x40},
		Mode: purse.ModeMetro, Line: [7]byte{1, 2, 3, 4, 5, 6, 7}, Balance: 1234,
		Date: [4]byte{0x20, 0x26, 0x11, 0x22}, Time: [3]byte{8, 0x15, 0x30}, City: [2]byte{0x10, 0},
		Acquirer: [8]byte{1, 1, 0x10, 0, 0, 0, 0, 1}, Reserved: [6]byte{255, 255, 255, 255, 255, 255}}
	if err != nil || r != want {
		t.Errorf("%+v %v, want %+v", r, err, want)
	}
	if got := r.Append(nil); hex.EncodeToString(got) != trip {
		t.Errorf("comes back as %x", got)
	}
}

func TestCardFileErrors(t *testing.T) {
	f := func(b []byte, want error) {
		t.Helper()
		var err error
		if len(b) > purse.DetailSize+5 {
			_, err = purse.ParseTrip(b)
		} else {
			_, err = purse.ParseDetail(b)
		}
		if !errors.Is(err, want) {
			t.Errorf("%x: %v, want %v", b, err, want)
		}
	}
	for _, n := range []int{0, 22, 24, 47, 49} {
		f(make([]byte, n), purse.ErrRecord)
	}
	for _, n := range []int{purse.DetailSize, purse.TripSize} {
		f(make([]byte, n), purse.ErrEmpty)
		f(bytes.Repeat([]byte{0xff}, n), purse.ErrEmpty)
		f(bytes.Repeat([]byte{0x33}, n), purse.ErrRecord)
	}
	f(unhex(strings.Replace(detail, "20261122", "20261322", 1)), purse.ErrRecord)
	f(unhex(strings.Replace(trip, "081530", "0815a0", 1)), purse.ErrRecord)
}

// FuzzCard: any bytes are read or refused by every parser, and what is read comes back.
func FuzzCard(f *testing.F) {
	for _, s := range []string{"805000020b0100001388300089000340", "805004010701300089000340",
		"805401000f0a0b0c0d20261122081530deadbeef08", "805a000902123408", detail, trip, "", "9000",
		"010203040506cafebabe010203040506"} {
		f.Add(unhex(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(what string, err error, again []byte) {
			if err == nil && !bytes.Equal(again[:min(len(again), len(b))], b[:min(len(again), len(b))]) {
				t.Errorf("%s: %x comes back as %x", what, b, again)
			}
		}
		le := func(b []byte, has bool) []byte { // the value of Le is not kept
			if has && len(b) > 0 {
				return b[:len(b)-1]
			}
			return b
		}
		i, err := purse.ParseInit(b)
		same("init", err, le(i.Append(nil), i.Le))
		for o := purse.Operation(0); o < 7; o++ {
			r, err := purse.ParseInitReply(o, b)
			same("reply", err, r.Append(nil, o))
			p, err := purse.ParseProof(o, b)
			same("proof", err, p.Append(nil, o))
		}
		c, err := purse.ParseCommit(b)
		same("commit", err, le(c.Append(nil), c.Le))
		g, err := purse.ParseGetProof(b)
		same("get proof", err, le(g.Append(nil), g.Le))
		d, err := purse.ParseDetail(b)
		same("detail", err, d.Append(nil))
		r, err := purse.ParseTrip(b)
		same("trip", err, r.Append(nil))
		_, _ = purse.ParseGetProofReply(b)
		_, _ = purse.ParseBalance(b)
		_, _, _ = purse.SplitReply(b)
	})
}

// FuzzConfig: any text of a factor or a template is read or refused, and what is read comes
// back as it was and can be used.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"issuer", "serial[2:10]", "fixed:0123456789abcdef", "amount,type",
		"[:]", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if factor, err := purse.ParseFactor(s); err == nil {
			again, err := purse.ParseFactor(factor.String())
			if err != nil || again != factor {
				t.Errorf("factor %q comes back as %q, %v", s, factor, err)
			}
			m, err := purse.NewMaster(purse.TDES(factor), masterKey)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = m.Card(&purse.Card{})
		}
		if tpl, err := purse.ParseTemplate(s); err == nil && (tpl.String() != s ||
			tpl.Size() > purse.DataMax) {
			t.Errorf("template %q comes back as %q", s, tpl)
		}
	})
}

// TestCanary runs the error paths with a recognizable key and card and looks for them.
func TestCanary(t *testing.T) {
	var texts []string
	add := func(err error) {
		if err == nil {
			t.Error("no error")
			return
		}
		texts = append(texts, err.Error())
	}
	for n := range 40 {
		key := bytes.Repeat(masterKey, 3)[:n]
		if n != 16 {
			_, err := purse.NewMaster(purse.TDES(), key)
			add(err)
			_, err = purse.Diversify(1, key, [8]byte(masterKey))
			add(err)
			_, err = purse.NewMACKey(purse.SM4(0), key)
			add(err)
			_, err = purse.Fold(key)
			add(err)
		}
		_, err := purse.ParseInit(key)
		add(err)
		_, err = purse.ParseCommit(key)
		add(err)
		_, err = purse.ParseGetProof(key)
		add(err)
		_, err = purse.ParseDetail(key)
		add(err)
		_, err = purse.ParseTrip(key)
		add(err)
		_, err = purse.ParseInitReply(2, key)
		add(err)
		_, err = purse.ParseProof(2, key)
		add(err)
	}
	_, err := purse.ParseFactor("fixed:c0ffee")
	if err == nil {
		t.Error("a short factor is read")
	}
	all := strings.ToLower(strings.Join(texts, "\n"))
	for _, secret := range []string{"c0ff", "ffee", "dead", "beef", "192 255", string(masterKey[:2])} {
		if strings.Contains(all, secret) {
			t.Errorf("%q stands in an error text", secret)
		}
	}
}

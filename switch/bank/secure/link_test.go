package secure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

func TestRingKeys(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	w.makes(l, baseHex)
	w.takes(l, baseHex)
	auth, pin := l.KCVs()
	if auth != keyringtest.KCV(t, keyring.TDES2, keyringtest.Bytes(t, baseHex)) ||
		pin != keyringtest.KCV(t, keyring.TDES2, keyringtest.Bytes(t, otherHex)) {
		t.Errorf("check values %s and %s", auth, pin)
	}
	if !l.MACs() {
		t.Error("a link with a scheme has no MACs")
	}
}

// A MAC of fewer bytes stands at the left and zeros follow, as package message has it.
func TestShortMAC(t *testing.T) {
	w := newWorld(t)
	l := w.link(func(o *LinkOptions) { o.Scheme = mac.X919 })
	field, err := l.Make([]byte("before"), text)
	w.no(err)
	want := append([]byte("before"), sum(t, mac.X919, keyringtest.Bytes(t, baseHex), text)...)
	if !bytes.Equal(field, want) || !bytes.Equal(field[10:], make([]byte, 4)) {
		t.Fatalf("got %x", field)
	}
	field = field[6:]
	w.no(l.Check(text, field))
	for i := range field {
		bad := bytes.Clone(field)
		bad[i] ^= 0x40
		w.want(l.Check(text, bad), message.ErrMAC)
	}
	w.want(l.Check(text, field[:4]), message.ErrMAC)
	w.want(l.Check(text, append(field, 0)), message.ErrMAC)
	w.want(l.Check(text, nil), message.ErrNoMAC)
	w.want(l.Check(text[1:], field), message.ErrMAC)
}

// Check takes what Message.AppendMAC writes, and Verify what Make makes.
func TestSameAsMessage(t *testing.T) {
	w := newWorld(t)
	spec, err := message.Named("cups")
	w.no(err)
	m, err := mac.New(retail, keyringtest.Bytes(t, baseHex))
	w.no(err)
	msg := message.New(spec, message.FinancialRequest)
	msg.CUPS, err = message.NewCUPSHeader("00010000", "01020000")
	w.no(err)
	w.no(msg.SetAmount(1250))
	w.no(msg.SetSTAN(7))
	frame, err := msg.AppendMAC(nil, m)
	w.no(err)
	s, err := message.Peek(spec, frame)
	w.no(err)
	l := w.link(nil)
	w.no(l.Check(s.Covered.Of(frame), s.MAC.Of(frame)))
	made, err := l.Make(nil, s.Covered.Of(frame))
	w.no(err)
	w.no(message.Verify(spec, append(frame[:s.MAC.From:s.MAC.From], made...), m))
}

func TestNoMACs(t *testing.T) {
	w := newWorld(t)
	l, err := OpenLink(w.ctx, LinkOptions{Link: "plain"})
	w.no(err)
	if out, err := l.Make([]byte("x"), text); err != nil || string(out) != "x" || l.MACs() {
		t.Errorf("%q, %v", out, err)
	}
	w.no(l.Check(text, nil))
	w.no(l.Check(text, []byte("whatever")))
	_, err = l.PINKey()
	w.want(err, ErrNoKey)
	_, err = l.TranslatePIN(nil, &PINBlock{Form: PINWithPAN})
	w.want(err, ErrNoKey)
	_, err = l.New(MACKey)
	w.want(err, ErrNoKey)
	w.want(l.Change(w.ctx, transfer(t, PINKey, thirdHex)), ErrNoKey)
	for _, s := range l.Status() {
		if s.KCV != "" || s.Problem != nil {
			t.Errorf("%+v", s)
		}
	}
}

func TestOverlap(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	w.makes(l, thirdHex)
	w.takes(l, thirdHex, baseHex)
	s := l.Status()[MACKey]
	kcv := func(key string) keyring.KCV {
		return keyringtest.KCV(t, keyring.TDES2, keyringtest.Bytes(t, key))
	}
	if now := w.clock.Now(); s.KCV != kcv(thirdHex) || s.Former != kcv(baseHex) ||
		!s.Until.Equal(now.Add(overlap)) || !s.Since.Equal(now) {
		t.Errorf("%+v", s)
	}
	w.clock.Add(overlap - time.Millisecond)
	w.takes(l, thirdHex, baseHex)
	w.clock.Add(time.Millisecond)
	w.takes(l, thirdHex)
	if s := l.Status()[MACKey]; s.Former != "" {
		t.Errorf("%+v", s)
	}
	// Two changes in one overlap: the first key of the three is gone.
	w.no(l.Change(w.ctx, transfer(t, MACKey, otherHex)))
	w.takes(l, otherHex, thirdHex)
	w.no(l.Change(w.ctx, transfer(t, MACKey, zmkHex)))
	w.takes(l, zmkHex, otherHex)
}

func TestNoOverlap(t *testing.T) {
	w := newWorld(t)
	l := w.link(func(o *LinkOptions) { o.Overlap = 0 })
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	w.takes(l, thirdHex)
}

func TestRestart(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	w.no(l.Change(w.ctx, transfer(t, PINKey, baseHex)))
	auth, pin := l.KCVs()
	l = w.link(nil)
	w.makes(l, thirdHex)
	w.takes(l, thirdHex, baseHex)
	if auth2, pin2 := l.KCVs(); auth2 != auth || pin2 != pin || auth == pin {
		t.Errorf("check values %s %s, before %s %s", auth2, pin2, auth, pin)
	}
	if _, ok := l.FormerPINKey(); !ok {
		t.Error("the former PIN key is gone")
	}
	w.clock.Add(time.Minute)
	w.no(l.Change(w.ctx, transfer(t, MACKey, otherHex)))
	l = w.link(nil)
	w.takes(l, otherHex, thirdHex)
	w.clock.Add(overlap)
	w.takes(l, otherHex)
	l = w.link(nil)
	w.takes(l, otherHex)
	if _, ok := l.FormerPINKey(); ok {
		t.Error("the former PIN key is still there")
	}
}

// The key of the ring that was in force before the first change stays that key when the ring
// goes on to another version.
func TestRingRotates(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	next := keyringtest.Import(t, w.ring, "mac/bank", keyring.TDES2, otherHex)
	w.makes(l, otherHex)
	w.takes(l, otherHex, baseHex) // both are active in the ring
	first := next.Ref
	first.Version = 1
	w.no(w.ring.Retire(first, time.Minute, keyringtest.Two))
	w.takes(l, otherHex, baseHex)
	w.clock.Add(time.Minute)
	w.takes(l, otherHex)
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	keyringtest.Import(t, w.ring, "mac/bank", keyring.TDES2, zmkHex)
	w.takes(l, thirdHex, otherHex)
	w.takes(w.link(nil), thirdHex, otherHex)
}

func TestRefusedChange(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	before, version, err := w.mem.Get(w.ctx, linkKey("bank-a"))
	w.no(err)
	type tr = Transfer
	changed := func(t Transfer, change func(*Transfer)) Transfer { change(&t); return t }
	unfit := keyring.ErrAlgorithm
	good := transfer(t, MACKey, otherHex)
	for what, c := range map[string]struct {
		transfer Transfer
		want     error
	}{
		"wrong KCV":    {changed(good, func(t *tr) { t.KCV = []byte{1, 2, 3} }), keyring.ErrKCV},
		"no KCV":       {changed(good, func(t *tr) { t.KCV = nil }), keyring.ErrKCV},
		"short KCV":    {changed(good, func(t *tr) { t.KCV = t.KCV[:2] }), keyring.ErrKCV},
		"cut":          {changed(good, func(t *tr) { t.Wrapped = t.Wrapped[:15] }), unfit},
		"none":         {Transfer{}, unfit},
		"wrong length": {changed(good, func(t *tr) { t.Algorithm = keyring.DES }), unfit},
		"AES":          {changed(good, func(t *tr) { t.Algorithm = keyring.AES128 }), unfit},
		"another ZMK":  {transferUnder(t, MACKey, otherHex, thirdHex), keyring.ErrKCV},
		"weak":         {transfer(t, MACKey, "01010101010101010123456789abcdef"), block.ErrWeak},
		"equal halves": {transfer(t, MACKey, desHex+desHex), block.ErrHalves},
		"DES MAC key":  {transfer(t, MACKey, desHex), unfit},
		"DES PIN key":  {transfer(t, PINKey, desHex), unfit},
		"as PIN key":   {transfer(t, PINKey, thirdHex), ErrReplayed},
		"no kind":      {changed(good, func(t *tr) { t.Kind = 7 }), ErrOptions},
	} {
		err := l.Change(w.ctx, c.transfer)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "bank-a") {
			t.Errorf("%s: %q does not name the link", what, err)
		}
	}
	w.makes(l, thirdHex)
	w.takes(l, thirdHex, baseHex)
	after, version2, err := w.mem.Get(w.ctx, linkKey("bank-a"))
	w.no(err)
	if version != version2 || !bytes.Equal(before, after) {
		t.Error("a refused change was written")
	}
	w.no(l.Change(w.ctx, good))
}

// A message with an old key, played again, changes nothing, also after a restart.
func TestReplay(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	first, second := transfer(t, MACKey, thirdHex), transfer(t, MACKey, otherHex)
	w.no(l.Change(w.ctx, first))
	w.no(l.Change(w.ctx, second))
	w.want(l.Change(w.ctx, first), ErrReplayed)
	l = w.link(nil)
	w.want(l.Change(w.ctx, first), ErrReplayed)
	first.Kind = PINKey
	w.want(l.Change(w.ctx, first), ErrReplayed)
	w.makes(l, otherHex)
}

// A key that was ready before another one came into force, and one whose change had an unknown
// outcome, are old by then as well.
func TestReplayOfPending(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	first, err := l.Receive(transfer(t, MACKey, thirdHex))
	w.no(err)
	again, err := l.Receive(transfer(t, MACKey, thirdHex))
	w.no(err)
	w.no(first.Commit(w.ctx))
	w.no(l.Change(w.ctx, transfer(t, MACKey, otherHex)))
	w.want(again.Commit(w.ctx), ErrReplayed)
	w.makes(l, otherHex)

	w.mem.SetFault(func(o storetest.Op) storetest.Fault {
		if o == storetest.OpPut {
			return storetest.AppliedUnreported
		}
		return storetest.NoFault
	})
	unknown := transfer(t, MACKey, zmkHex)
	w.want(l.Change(w.ctx, unknown), store.ErrUnavailable)
	w.mem.SetFault(nil)
	p, err := l.New(MACKey)
	w.no(err)
	w.no(p.Commit(w.ctx))
	w.want(l.Change(w.ctx, unknown), ErrReplayed)
	w.takes(l, otherHex)
}

// The bank repeats a change whose answer it did not get: it is answered, and the overlap does
// not start again.
func TestRepeatedChange(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	tr := transfer(t, MACKey, thirdHex)
	w.no(l.Change(w.ctx, tr))
	w.clock.Add(overlap - time.Second)
	w.no(l.Change(w.ctx, tr))
	w.no(w.link(nil).Change(w.ctx, tr))
	_, version, err := w.mem.Get(w.ctx, linkKey("bank-a"))
	w.no(err)
	if version != 1 {
		t.Errorf("it was written %d times", version)
	}
	w.takes(l, thirdHex, baseHex)
	w.clock.Add(time.Second)
	w.takes(l, thirdHex)
}

func TestSeenMax(t *testing.T) {
	var r linkRecord
	key := func(i int) *stored { return &stored{Wrapped: fmt.Append(nil, i)} }
	for i := range SeenMax + 3 {
		r.remember(key(i))
		r.remember(key(i))
	}
	if len(r.Seen) != SeenMax || r.seen(key(2)) || !r.seen(key(3)) || !r.seen(key(SeenMax+2)) {
		t.Errorf("%d are remembered", len(r.Seen))
	}
	w := newWorld(t)
	l := w.link(func(o *LinkOptions) { o.MAC = keyring.Ref{} })
	for range SeenMax + 5 {
		p, err := l.New(PINKey)
		w.no(err)
		w.no(p.Commit(w.ctx))
	}
	value, _, err := w.mem.Get(w.ctx, linkKey("bank-a"))
	w.no(err)
	if len(value) > store.RegistryMax/2 {
		t.Errorf("a full record has %d bytes, the registry takes %d", len(value), store.RegistryMax)
	}
	w.link(nil)
}

func TestOrdered(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	p, err := l.New(MACKey)
	w.no(err)
	if p.Kind() != MACKey || p.Algorithm() != keyring.TDES2 || len(p.KCV()) != 4 {
		t.Errorf("%v %v %x", p.Kind(), p.Algorithm(), p.KCV())
	}
	key := open(t, p)
	field := sum(t, retail, key, text)
	w.makes(l, baseHex)
	w.no(l.Check(text, field)) // the bank uses it before its answer is here
	w.no(p.Check(text, field))
	w.want(p.Check(text, under(t, baseHex)), message.ErrMAC)
	w.want(p.Check(text, nil), message.ErrNoMAC)
	if s := l.Status()[MACKey]; s.Ordered == "" || s.Ordered == s.KCV {
		t.Errorf("%+v", s)
	}
	w.no(p.Commit(w.ctx))
	w.no(p.Commit(w.ctx))
	got, err := l.Make(nil, text)
	w.no(err)
	if !bytes.Equal(got, field) {
		t.Error("the new key is not in force")
	}
	w.takes(l, baseHex)
	if s := l.Status()[MACKey]; s.Ordered != "" {
		t.Errorf("%+v", s)
	}
	w.no(w.link(nil).Check(text, field))

	// An order that nobody commits is given up.
	p, err = l.New(MACKey)
	w.no(err)
	field = sum(t, retail, open(t, p), text)
	w.clock.Add(overlap - time.Millisecond)
	w.no(l.Check(text, field))
	w.clock.Add(time.Millisecond)
	w.want(l.Check(text, field), message.ErrMAC)

	// A second order takes the place of the first.
	first, err := l.New(MACKey)
	w.no(err)
	_, err = l.New(MACKey)
	w.no(err)
	w.want(l.Check(text, sum(t, retail, open(t, first), text)), message.ErrMAC)
	w.no(first.Commit(w.ctx)) // and yet the bank may have taken the first
	w.no(l.Check(text, sum(t, retail, open(t, first), text)))
}

func TestOrderedAlgorithms(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		scheme mac.Scheme
		want   keyring.Algorithm
	}{{retail, keyring.TDES2}, {mac.X99, keyring.DES}, {mac.CUPDES, keyring.DES},
		{mac.CUPTDES, keyring.TDES2},
		{mac.Scheme{Algorithm: mac.CMAC, Cipher: block.TDES, Size: 4}, keyring.TDES2}} {
		l := w.link(func(o *LinkOptions) { o.Scheme, o.MAC = c.scheme, keyring.Ref{} })
		_, err := l.Make(nil, text)
		w.want(err, ErrNoKey)
		w.want(l.Check(text, make([]byte, 8)), ErrNoKey)
		p, err := l.New(MACKey)
		w.no(err)
		w.no(p.Commit(w.ctx))
		field, err := l.Make(nil, text)
		w.no(err)
		w.no(l.Check(text, field))
		if p.Algorithm() != c.want || !bytes.Equal(field, sum(t, c.scheme, open(t, p), text)) {
			t.Errorf("%v: a key of %v", c.scheme, p.Algorithm())
		}
		w.no(w.mem.Put(w.ctx, linkKey("bank-a"), nil, 1))
	}
}

// TestChangeInTraffic changes the key again and again while both sides send: no message is
// lost to a change, in either direction.
func TestChangeInTraffic(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	var bank atomic.Pointer[mac.MAC] // the key that the bank sends under
	set := func(key []byte) {
		m, err := mac.New(retail, key)
		w.no(err)
		bank.Store(m)
	}
	set(keyringtest.Bytes(t, baseHex))
	ctx, stop := context.WithCancel(w.ctx)
	var senders sync.WaitGroup
	var checked [4]atomic.Int64
	for i := range checked {
		senders.Go(func() {
			covered := fmt.Append(nil, "message of sender ", i)
			for ctx.Err() == nil {
				if err := l.Check(covered, bank.Load().Sum(nil, covered)); err != nil {
					t.Errorf("a message is lost: %v", err)
					return
				}
				field, err := l.Make(nil, covered)
				if err != nil || l.Check(covered, field) != nil {
					t.Errorf("our own MAC is not taken: %v", err)
					return
				}
				checked[i].Add(1)
				runtime.Gosched()
			}
		})
	}
	for i := range 100 {
		for j := range checked { // nobody holds a message under the key before the last
			for before := checked[j].Load(); checked[j].Load() < before+2 && !t.Failed(); {
				runtime.Gosched()
			}
		}
		p, err := l.New(MACKey)
		w.no(err)
		if i%2 == 0 { // the bank uses the key before we know that it has it
			set(open(t, p))
			w.no(p.Commit(w.ctx))
			continue
		}
		w.no(p.Commit(w.ctx))
		set(open(t, p))
	}
	stop()
	senders.Wait()
}

// TestStoreFaults fails the store at each step, with the change applied and not: what is in
// force does not change, the change can be made again, and a restart has one of the two keys
// in force and takes both.
func TestStoreFaults(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpGet, storetest.OpPut} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported} {
			t.Run(fmt.Sprint(op, fault), func(t *testing.T) {
				w := newWorld(t)
				l := w.link(nil)
				w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
				w.clock.Add(overlap)
				w.mem.SetFault(func(o storetest.Op) storetest.Fault {
					if o == op {
						return fault
					}
					return storetest.NoFault
				})
				tr := transfer(t, MACKey, otherHex)
				w.want(l.Change(w.ctx, tr), store.ErrUnavailable)
				w.makes(l, thirdHex)
				w.takes(l, thirdHex)
				w.mem.SetFault(nil)
				again := w.link(nil)
				w.no(again.Check(text, under(t, thirdHex)))
				if op == storetest.OpPut && fault == storetest.AppliedUnreported {
					w.makes(again, otherHex)
				} else {
					w.makes(again, thirdHex)
				}
				// Another key, and the bank still uses the first.
				w.no(l.Change(w.ctx, transfer(t, MACKey, zmkHex)))
				w.takes(l, zmkHex, thirdHex)
				w.takes(w.link(nil), zmkHex, thirdHex)
			})
		}
	}
	w := newWorld(t)
	l := w.link(nil)
	w.mem.SetFault(func(o storetest.Op) storetest.Fault {
		if o == storetest.OpPut {
			return storetest.AppliedUnreported
		}
		return storetest.NoFault
	})
	tr := transfer(t, MACKey, thirdHex)
	w.want(l.Change(w.ctx, tr), store.ErrUnavailable)
	w.mem.SetFault(nil)
	w.no(l.Change(w.ctx, tr)) // the same once more
	w.takes(l, thirdHex, baseHex)
}

// conflicts is a registry in which others are ahead of a number of writes.
type conflicts struct {
	store.Registry
	left int
}

func (c *conflicts) Put(ctx context.Context, key string, value []byte, version uint64) error {
	if c.left > 0 {
		c.left--
		return store.ErrConflict
	}
	return c.Registry.Put(ctx, key, value, version)
}

func TestConflicts(t *testing.T) {
	w := newWorld(t)
	for n, want := range map[int]error{triesMax - 1: nil, triesMax: errBusy} {
		r := &conflicts{w.mem, n}
		l := w.link(func(o *LinkOptions) { o.Registry, o.Link = r, fmt.Sprint("bank-", n) })
		w.want(l.Change(w.ctx, transfer(t, MACKey, thirdHex)), want)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	l := w.link(nil)
	l.changing <- struct{}{}
	w.want(l.Change(ctx, transfer(t, MACKey, thirdHex)), context.Canceled)
}

func TestDamagedRecord(t *testing.T) {
	w := newWorld(t)
	for i, value := range []string{"x", "{}", `{"version":2}`, `{"version":1,"more":1}`, `[1]`,
		`{"version":1,"seen":"x"}`} {
		link := fmt.Sprint("bank-", i)
		w.no(w.mem.Put(w.ctx, linkKey(link), []byte(value), 0))
		o := w.options()
		o.Link = link
		_, err := OpenLink(w.ctx, o)
		w.want(err, store.ErrDamaged)
		o.Link = fmt.Sprint("other-", i)
		l, err := OpenLink(w.ctx, o)
		w.no(err)
		w.no(w.mem.Put(w.ctx, linkKey(o.Link), []byte(value), 0))
		w.want(l.Change(w.ctx, transfer(t, MACKey, thirdHex)), store.ErrDamaged)
		w.takes(l, baseHex)
	}
	w.mem.SetFault(func(storetest.Op) storetest.Fault { return storetest.NotApplied })
	_, err := OpenLink(w.ctx, w.options())
	w.want(err, store.ErrUnavailable)
}

// A stored key whose exchange key is retired is not replaced by an older one: the link says so
// and waits for a change.
func TestExchangeKeyRetired(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	keyringtest.Import(t, w.ring, "key_exchange/bank", keyring.TDES2, otherHex)
	w.takes(w.link(nil), thirdHex, baseHex)
	old := w.ref("key_exchange/bank/1")
	w.no(w.ring.Retire(old, time.Minute, keyringtest.Two))
	w.takes(w.link(nil), thirdHex, baseHex)
	w.clock.Add(overlap)
	w.takes(l, thirdHex) // a running process has it
	l = w.link(nil)
	_, err := l.Make(nil, text)
	w.want(err, ErrNoKey)
	w.want(l.Check(text, under(t, thirdHex)), ErrNoKey)
	w.want(l.Check(text, under(t, baseHex)), ErrNoKey)
	if s := l.Status()[MACKey]; !errors.Is(s.Problem, keyring.ErrExpired) || s.KCV != "" {
		t.Errorf("%+v", s)
	}
	w.no(l.Change(w.ctx, transferUnder(t, MACKey, zmkHex, otherHex)))
	w.makes(l, zmkHex)
	w.takes(l, zmkHex)
	if s := l.Status()[MACKey]; s.Problem != nil {
		t.Errorf("%+v", s)
	}
	w.takes(w.link(nil), zmkHex)
}

func TestOptionsRefused(t *testing.T) {
	w := newWorld(t)
	for what, change := range map[string]func(*LinkOptions){
		"no name":     func(o *LinkOptions) { o.Link = "" },
		"slash":       func(o *LinkOptions) { o.Link = "a/b" },
		"long name":   func(o *LinkOptions) { o.Link = strings.Repeat("x", linkNameMax+1) },
		"no ring":     func(o *LinkOptions) { o.Ring = nil },
		"no registry": func(o *LinkOptions) { o.Registry = nil },
		"overlap":     func(o *LinkOptions) { o.Overlap = OverlapMax + 1 },
		"negative":    func(o *LinkOptions) { o.Overlap = -1 },
		"purpose":     func(o *LinkOptions) { o.MAC = w.ref("pin/bank") },
		"unknown":     func(o *LinkOptions) { o.PIN = w.ref("pin/nobody") },
		"long MAC": func(o *LinkOptions) {
			o.Scheme = mac.Scheme{Algorithm: mac.CMAC, Cipher: block.AES}
		},
		"no scheme":    func(o *LinkOptions) { o.Scheme = mac.Scheme{} },
		"half scheme":  func(o *LinkOptions) { o.Scheme = mac.Scheme{Algorithm: mac.CBC} },
		"no MAC key":   func(o *LinkOptions) { o.MAC, o.ZMK = keyring.Ref{}, keyring.Ref{} },
		"PIN format 4": func(o *LinkOptions) { o.PINFormat = pinblock.Format4 },
		"PIN format 2": func(o *LinkOptions) { o.PINFormat = pinblock.Format2 },
	} {
		o := w.options()
		change(&o)
		if _, err := OpenLink(w.ctx, o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := Kind(9).String(); got != "unknown" {
		t.Error(got)
	}
}

func TestLinkAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	w := newWorld(t)
	l := w.link(nil)
	room, former := make([]byte, 0, 8), under(t, baseHex)
	for _, key := range []string{baseHex, thirdHex} {
		field := under(t, key)
		if key == thirdHex {
			w.no(l.Change(w.ctx, transfer(t, MACKey, key)))
		}
		for name, do := range map[string]func(){
			"Make":          func() { _, _ = l.Make(room, text) },
			"Check":         func() { _ = l.Check(text, field) },
			"Check, former": func() { _ = l.Check(text, former) },
		} {
			if n := testing.AllocsPerRun(100, do); n != 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	}
}

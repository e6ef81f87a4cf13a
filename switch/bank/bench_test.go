package bank

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/intent"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/setup"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// shelf is a store of cards and a registry in memory.
type shelf struct {
	mu     sync.Mutex
	cards  map[pan.Token]store.Loaded
	values map[string]string
	counts map[string]uint64
}

func (s *shelf) Load(_ context.Context, card pan.Token, dst []byte) (store.Loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.cards[card]
	l.State = append(dst[:0], l.State...)
	return l, nil
}

func (s *shelf) Commit(_ context.Context, commits []*store.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range commits {
		l := s.cards[c.Card]
		l.State, l.Version = append(l.State[:0], c.State...), c.Version+1
		s.cards[c.Card] = l
		c.Status, c.Position = store.Committed, txn.Position{Epoch: 1, Seq: 1}
	}
	return nil
}

func (s *shelf) Get(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []byte(s.values[key]), s.counts[key], nil
}

func (s *shelf) Put(_ context.Context, key string, value []byte, _ uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = string(value)
	s.counts[key]++
	return nil
}

func (s *shelf) Keys(_ context.Context, prefix string) (keys []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

type nobody struct{}

func (nobody) Mark(pan.Token) txn.Mark   { return txn.Mark{} }
func (nobody) Learn(pan.Token, txn.Mark) {}

// counterBank approves everything that comes over a connection.
func counterBank(nc net.Conn, spec *message.Spec) {
	defer nc.Close()
	framing := message.Framing{Form: message.ASCII4}
	r := message.NewReader(nc, framing)
	var v message.View
	var w message.Writer
	var frame, out []byte
	for {
		in, err := r.Next()
		if err != nil || v.Open(spec, in) != nil {
			return
		}
		mti, _ := v.MTI().Answer()
		copy(w.CUPS[:], in)
		w.CUPS = w.CUPS.Reply()
		w.Begin(frame[:0], spec, mti)
		for _, n := range [...]int{2, 3, 4, 7, 11, 32, 33, 37, 39, 41, 42, 49} {
			if n == 39 {
				w.Put(38, []byte("123456"))
				w.Put(39, []byte("00"))
				continue
			}
			w.Copy(&v, n)
		}
		if frame, err = w.Finish(); err != nil {
			return
		}
		if out, err = framing.Append(out[:0], frame); err != nil {
			return
		}
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

// counter is a Switch with one terminal, one bank in this process and a store in memory: what
// is left is the switch's own work.
type counter struct {
	sw    *Switch
	in    *listener
	frame []byte
	stan  int // offset of field 11
	n     uint32
	now   txn.Millis
}

const counterConfig = `
acquirer: "48025800"
forwarder: "48025800"
listeners: [{name: pos, address: "127.0.0.1:0", spec: cup_pos, terminals: TERMINALS}]
links: [{name: b, addresses: ["bank:1"], spec: cups, station: "01020000", home: "48025800", sign_on: none}]
routes: [{name: all, issuer: ICBC, links: [b]}]
`

func newCounter(t testing.TB) *counter {
	t.Helper()
	no := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "terminals.csv")
	no(os.WriteFile(path, []byte("terminal,merchant,mcc,payee,master_key\n00000001,898310041110001,5411,,\n"), 0o600))
	config, err := setup.ParseConfig(strings.NewReader(strings.Replace(counterConfig, "TERMINALS", path, 1)))
	no(err)
	cups, err := message.Named("cups")
	no(err)
	tokens, err := pan.NewTokenizer([]byte("the token key of the tests: 32 b"))
	no(err)
	c := &counter{now: txn.MillisOf(time.Now())}
	shelf := &shelf{cards: map[pan.Token]store.Loaded{}, values: map[string]string{},
		counts: map[string]uint64{}}
	clock := func() txn.Millis { return c.now }
	e, err := engine.New(engine.Options{Cards: shelf, Blacklist: nobody{},
		Policy: engine.DefaultPolicy(new(fare.Tariff)), Now: clock})
	no(err)
	var work sync.WaitGroup
	c.sw, err = Open(t.Context(), Options{Config: config, Engine: e, Registry: shelf, Marks: nobody{},
		Tokenizer: tokens, MasterKey: make([]byte, 32), Calendar: engine.Calendar{Zone: time.UTC},
		Now: clock, Dial: func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			work.Go(func() { counterBank(far, cups) })
			return near, nil
		}})
	no(err)
	t.Cleanup(func() {
		_ = c.sw.Shutdown(context.Background())
		work.Wait()
	})
	c.in = c.sw.listeners[0]
	c.prepare(t)
	for until := time.Now().Add(10 * time.Second); !c.sw.links["b"].usable(); {
		if time.Now().After(until) {
			t.Fatal("the link does not come up")
		}
	}
	return c
}

// prepare writes the purchase that is sent again and again under another number.
func (c *counter) prepare(t testing.TB) {
	t.Helper()
	m := message.New(c.in.spec, message.FinancialRequest)
	m.TPDU = message.NewTPDU(3, 0)
	number, err := pan.Parse("6222600000000000008")
	if err != nil {
		t.Fatal(err)
	}
	digits, _ := message.Private{Type: "22", Batch: "000001", Network: "000"}.Digits()
	for _, err := range []error{m.SetPAN(number), m.SetDigits(3, "000000"), m.SetAmount(1234),
		m.SetSTAN(987_654), m.SetDigits(14, "3012"), m.SetDigits(22, "072"), m.SetDigits(25, "00"),
		m.SetText(41, "00000001"), m.SetText(42, "898310041110001"), m.SetText(49, "156"),
		m.SetDigits(60, digits)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if c.frame, err = m.Append(nil); err != nil {
		t.Fatal(err)
	}
	c.stan = strings.Index(string(c.frame), "\x98\x76\x54")
}

// sell makes one purchase and returns its answer.
func (c *counter) sell(t testing.TB) []byte {
	c.n = c.n%999_999 + 1
	c.now += 3 * 60 * 1000 // so that the card may forget the last ones
	var bcd [4]byte
	var n uint32
	for rest, shift := c.n, 0; rest > 0; rest, shift = rest/10, shift+4 {
		n |= rest % 10 << shift
	}
	binary.BigEndian.PutUint32(bcd[:], n)
	copy(c.frame[c.stan:], bcd[1:])
	o := c.in.orders.Get().(*order)
	defer c.in.orders.Put(o)
	o.orderOf = orderOf{sw: c.sw, in: c.in, frame: c.frame, received: c.now.Time(), now: c.now}
	if err := o.view.Open(c.in.spec, c.frame); err != nil {
		t.Fatal(err)
	}
	defer o.view.Close()
	o.sum, _ = o.view.Summary()
	o.ask = intent.Of(c.in.spec.Dialect(), &o.sum)
	if code := o.identify(); code != "" {
		t.Fatal(code)
	}
	a := o.act(context.Background())
	answer, err := o.reply(a)
	if err != nil || a.code != codeApproved {
		t.Fatal(a.code, err)
	}
	return answer
}

// BenchmarkPurchase is a purchase from the terminal's bytes to the answer's, with both commits
// and the bank, which are in memory.
func BenchmarkPurchase(b *testing.B) {
	c := newCounter(b)
	for range 20 {
		c.sell(b)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.sell(b)
	}
}

// purchaseAllocs is how many allocations a purchase may make, the ones of the line and the bank
// in this process included: a measured 15, with room for a pool that was emptied.
const purchaseAllocs = 20

func TestPurchaseAllocates(t *testing.T) {
	c := newCounter(t)
	for range 20 {
		c.sell(t)
	}
	n := testing.AllocsPerRun(200, func() { c.sell(t) })
	t.Logf("%.0f allocations", n)
	if n > purchaseAllocs && !raced {
		t.Errorf("%.0f allocations, want %d at most", n, purchaseAllocs)
	}
}

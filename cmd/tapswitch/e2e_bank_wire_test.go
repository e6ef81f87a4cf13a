package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// FAULTS.md rows 15 to 19: lines that break and split, hostile bytes, peers that stop.

// TestFault15Framing: frames that come byte by byte, two at once or by halves are the same
// frames, on the listener and on the link; half a frame is never half a message.
func TestFault15Framing(t *testing.T) {
	t.Parallel()
	var line *faultproxy.Proxy
	w := newBankTown(t, bankPlan{via: func(_ int, address string) string {
		line = e2eProxy(t, address)
		return line.Addr()
	}})
	l := w.till(1)
	a, b := l.sale(pos.Purchase, 1, 100, nil), l.sale(pos.Purchase, 2, 200, nil)
	both := append(wire(t, message.Framing{}, l.frame(l.request(a))),
		wire(t, message.Framing{}, l.frame(l.request(b)))...)
	l.no(l.raw(both))
	for range 2 {
		if m := l.hear(tillMax); m == nil || m.ResponseCode() != "00" {
			t.Fatalf("two in one write: %v", m)
		}
	}
	line.Inject(faultproxy.Fault{Kind: faultproxy.Split}) // the link, a byte at a time
	for i := range 5 {
		s := l.sale(pos.Purchase, i, 300, nil)
		for _, c := range wire(t, message.Framing{}, l.frame(l.request(s))) {
			l.no(l.raw([]byte{c}))
		}
		if m := l.hear(tillMax); m == nil || m.ResponseCode() != "00" {
			t.Fatalf("byte by byte: %v", m)
		}
	}
	line.Clear()
	// The terminal's line drops in mid-frame: nothing has been said.
	half := wire(t, message.Framing{}, l.frame(l.request(l.sale(pos.Purchase, 3, 400, nil))))
	before := w.counts().Requests
	for _, n := range []int{1, 2, 3, 13, len(half) - 1} {
		l.no(l.raw(half[:n]))
		l.hangUp()
	}
	if now := w.counts().Requests; now != before {
		t.Errorf("%d requests went out of half a frame", now-before)
	}
	// The bank's line drops in mid-answer: nobody knows, so it is reversed.
	line.Inject(faultproxy.Fault{Kind: faultproxy.CutReply, Times: 1})
	l.want(l.sale(pos.Purchase, 4, 500, nil), "98")
	if err := w.up(); err != nil {
		t.Fatal(err)
	}
	l.want(l.sale(pos.Purchase, 4, 600, nil), "00")
	w.reconcile()
	if c := w.counts(); c.Reversed != 1 || c.Broken != 0 {
		t.Errorf("%d reversed, %d broken frames at the bank", c.Reversed, c.Broken)
	}
}

// bankLengths are lengths that no frame may have.
var bankLengths = map[message.LengthForm][]string{
	message.Binary2: {"\x00\x00", "\x00\x01", "\xff\xff", "\x80\x00", "\x7f\xff"},
	message.ASCII4:  {"0000", "0001", "9999", "-001", "+010", " 100", "0x20", "12.0"},
}

// TestFault16Lengths: a length that makes no sense ends the connection before anything is
// allocated for it; everybody else goes on.
func TestFault16Lengths(t *testing.T) {
	t.Parallel()
	fake := newFakeBank(t)
	w := newBankTown(t, bankPlan{file: func(f *bankFile) {
		f.listeners = append(f.listeners, bankDoc{"name": "cups", "address": "127.0.0.1:0",
			"spec": "cups", "acquirer": "48021234"})
		f.links = append(f.links, bankDoc{"name": "fake", "addresses": []string{fake.address},
			"spec": "cups", "timeout": bankTimeout.String()})
		f.routes = append(f.routes, bankDoc{"name": "fake", "bins": []string{bankOtherBIN},
			"issuer": "FAKE", "links": []string{"fake"}})
	}})
	l := w.till(1)
	l.want(l.sale(pos.Purchase, 1, 100, nil), "00")
	before := w.memory()
	for form, heads := range bankLengths {
		name := map[message.LengthForm]string{message.Binary2: "pos", message.ASCII4: "cups"}[form]
		for _, head := range heads {
			for range 20 {
				nc, err := w.dial(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(nc, head+strings.Repeat("\x00", 100))
				_ = nc.SetReadDeadline(time.Now().Add(3 * time.Second))
				if n, err := nc.Read(make([]byte, 1)); n > 0 || err == nil || os.IsTimeout(err) {
					t.Errorf("%s: length %q: the connection stays open: %v", name, head, err)
				}
				_ = nc.Close()
			}
		}
	}
	l.want(l.sale(pos.Purchase, 2, 200, nil), "00") // over the connection of before
	// The same from a bank: the link is closed and made anew, what was asked is reversed.
	heads := []string{"0000", "9999", "-001", "12.0"}
	for i, head := range heads {
		fake.answer(func(m *message.Message) []byte {
			if m.MTI().Class() == message.Reversal {
				return fake.approve(m)
			}
			return []byte(head + strings.Repeat("0", 60))
		})
		w.eventually("the link to come back", func() bool { return w.link("fake").Up })
		s := l.sale(pos.Purchase, i, int64(300+i), nil)
		s.card = w.other[i]
		l.want(s, "98")
	}
	l.want(l.sale(pos.Purchase, 3, 500, nil), "00")
	w.settled()
	if after := w.memory(); after > before+100<<20 { // it warms up meanwhile
		t.Errorf("the switch grew from %d to %d MB", before>>20, after>>20)
	}
	if n := fake.seen(message.Reversal); n < len(heads) {
		t.Errorf("%d reversals reached the bank, want %d", n, len(heads))
	}
}

// memory returns the resident memory of the switch in bytes.
func (w *bankTown) memory() int {
	w.t.Helper()
	w.node.mu.Lock()
	pid := w.node.cmd.Process.Pid
	w.node.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		w.t.Skip("no /proc: ", err)
	}
	field := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	kb, err := strconv.Atoi(string(field[1]))
	if err != nil {
		w.t.Fatal(err)
	}
	return kb << 10
}

// TestFault17HostileBytes: what is no message is answered 30 or dropped, within the time of
// any other message; the connection, the link and everybody else go on.
func TestFault17HostileBytes(t *testing.T) {
	t.Parallel()
	fake := newFakeBank(t)
	w := newBankTown(t, bankPlan{file: func(f *bankFile) {
		f.links[0]["addresses"] = []string{fake.address}
	}})
	l := w.till(1)
	chip := func(text string) func(*message.Message) {
		return func(m *message.Message) { l.no(m.SetBytes(55, []byte(text))) }
	}
	hostile := []string{"\x9f\x26\xf5", "\x9f\x36\x84\xff\xff\xff\xff\x01", "\x5f", "\xff\xff\xff",
		strings.Repeat("\x70\x80", 100), "\x82\x88\x80\x00\x00\x00\x00\x00\x00\x00"}
	fake.answer(fake.approve)
	for i, text := range hostile {
		s := l.sale(pos.Purchase, i, int64(1000+i), nil)
		s.change = chip(text)
		l.want(s, "00", "30") // raw to the bank, or refused; never a fault
	}
	base := l.frame(l.request(l.sale(pos.Purchase, 1, 2_000, nil)))
	signed := slices.Clone(base)
	at := strings.Index(string(signed), "\x00\x00\x00\x00\x20\x00")
	signed[at] = 0xD0 // a sign where the first digits of the amount are
	for what, frame := range map[string][]byte{"trailing bytes": append(slices.Clone(base), 0, 1, 2),
		"a signed amount": signed, "a cut field": base[:len(base)-3]} {
		before := fake.seen(message.Financial)
		l.no(l.raw(wire(t, message.Framing{}, frame)))
		if a := l.hear(tillMax); a == nil || a.ResponseCode() != "30" {
			t.Errorf("%s: not refused with 30: %v", what, a)
		}
		if fake.seen(message.Financial) != before {
			t.Errorf("%s: something went to the bank", what)
		}
	}
	w.mutants(l, base)
	// From the bank: dropped, and the link stays up.
	up := w.link("b0").Connections[0].Since
	for i, spoil := range []func([]byte) []byte{
		func(f []byte) []byte { return append(f, "999"...) },
		func(f []byte) []byte { return f[:len(f)-2] },
		func(f []byte) []byte {
			return []byte(strings.Replace(string(f), "000000003000", "-00000003000", 1))
		},
		func(f []byte) []byte { return []byte(strings.Repeat("F", len(f))) },
		func(f []byte) []byte { f[50], f[51] = 0xff, 0xff; return f },
	} {
		fake.answer(func(m *message.Message) []byte {
			if m.MTI().Class() == message.Reversal {
				return fake.approve(m)
			}
			frame := fake.approve(m)
			return wire(t, message.Framing{Form: message.ASCII4}, spoil(frame[4:]))
		})
		l.want(l.sale(pos.Purchase, 10+i, 3_000, nil), "98")
	}
	fake.answer(fake.approve)
	l.want(l.sale(pos.Purchase, 20, 3_100, nil), "00")
	if c := w.link("b0").Connections[0]; c.Since != up || c.State != "up" {
		t.Errorf("the link did not stay up: %+v", c)
	}
	w.settled()
}

// mutants sends frames with bytes changed at random. Each is answered or dropped at once.
func (w *bankTown) mutants(l *till, base []byte) {
	random := rand.New(rand.NewPCG(17, 17))
	slowest := time.Duration(0)
	for range 400 {
		frame := slices.Clone(base)
		for range 1 + random.IntN(4) {
			frame[11+random.IntN(len(frame)-11)] ^= byte(1 << random.IntN(8))
		}
		l.no(l.raw(wire(w.t, message.Framing{}, frame)))
		from := time.Now()
		probe := l.message(message.NetworkAdvice, 999_999, message.Private{Type: "00", Network: "301"})
		l.no(l.raw(wire(w.t, message.Framing{}, l.frame(probe))))
		for {
			a := l.hear(tillMax)
			if a == nil {
				w.t.Fatalf("the connection is gone after %x", frame)
			}
			if n, _ := a.STAN(); n == 999_999 {
				break
			}
		}
		slowest = max(slowest, time.Since(from))
	}
	w.t.Logf("the slowest message behind a mutant took %s", slowest)
	if slowest > time.Second {
		w.t.Errorf("a mutant held its connection up for %s", slowest)
	}
	l.hangUp() // answers to mutants may still come
}

// TestFault18BankStopsReading: a bank that is stopped answers nothing and reads nothing. What
// it was asked is reversed once it goes on; another bank's traffic does not notice.
func TestFault18BankStopsReading(t *testing.T) {
	t.Parallel()
	slow := startBankProcess(t)
	w := newBankTown(t, bankPlan{terminals: 40, file: func(f *bankFile) {
		f.links = append(f.links, bankDoc{"name": "slow", "addresses": []string{slow.address,
			slow.address}, "spec": "cups", "timeout": "1s", "in_flight": 32})
		f.routes = append(f.routes, bankDoc{"name": "slow", "bins": []string{bankOtherBIN},
			"issuer": "SLOW", "links": []string{"slow"}})
	}})
	l := w.till(1)
	round := func() []time.Duration {
		var all []time.Duration
		for i := range 150 {
			from := time.Now()
			l.want(l.sale(pos.Purchase, i, 1_000, nil), "00")
			all = append(all, time.Since(from))
		}
		slices.Sort(all)
		return all
	}
	round() // warm
	free := round()
	slow.stop()
	var tills sync.WaitGroup
	var codes [256]atomic.Int32
	for i := range 30 {
		tills.Go(func() {
			m := w.till(i + 2)
			for n := range 2 {
				s := m.sale(pos.Purchase, 0, int64(1+n), nil)
				s.card = w.other[i]
				code := m.do(s)
				codes[code[0]&0xf<<4|code[1]&0xf].Add(1)
			}
		})
	}
	busy := round()
	tills.Wait()
	t.Logf("p50 %s and p95 %s beside a free bank, %s and %s beside a stopped one", free[75], free[142],
		busy[75], busy[142])
	if busy[75] > 4*free[75]+20*time.Millisecond {
		t.Errorf("the stopped bank slows another one's traffic: p50 %s, was %s", busy[75], free[75])
	}
	if n := codes[0x98].Load(); n == 0 || n+codes[0x91].Load() != 60 {
		t.Errorf("98 was answered %d times, 91 %d times, want 60 together", n, codes[0x91].Load())
	}
	slow.signal(syscall.SIGCONT)
	w.settled()
	book := slow.end()
	for _, e := range book.Entries {
		if e.Kind != bankhost.Reversal && e.Approved() {
			t.Errorf("the stopped bank carried out %+v, and the terminal was told 98", e)
		}
	}
	w.reconcile()
}

// TestFault18WriteDeadline: a bank whose window stays shut gets no more than the buffers hold.
// The write deadline of the link ends its connection, what was asked is in doubt and reversed
// when it reads again, and another bank's traffic does not notice.
func TestFault18WriteDeadline(t *testing.T) {
	t.Parallel()
	shut := newShutBank(t)
	w := newBankTown(t, bankPlan{terminals: 40, file: func(f *bankFile) {
		f.links = append(f.links, bankDoc{"name": "shut", "addresses": []string{shut.address},
			"spec": "cups", "timeout": "20s", "write_timeout": "1s", "echo": "1m"})
		f.routes = append(f.routes, bankDoc{"name": "shut", "bins": []string{bankOtherBIN},
			"issuer": "SHUT", "links": []string{"shut"}})
	}})
	l := w.till(1)
	round := func() []time.Duration {
		var all []time.Duration
		for i := range 100 {
			from := time.Now()
			l.want(l.sale(pos.Purchase, i, 1_000, nil), "00")
			all = append(all, time.Since(from))
		}
		slices.Sort(all)
		return all
	}
	round() // warm
	free := round()
	shut.shut(true)
	// The sale is on its way before the link is too full to take it.
	doubtful := w.till(6)
	sale := doubtful.sale(pos.Purchase, 0, 5_000, nil)
	sale.card = w.other[60]
	doubtful.say(doubtful.request(sale))
	e2eUntil(t, tillMax, "the sale to be forwarded", func() (bool, error) {
		s := w.link("shut")
		return s.InFlight > 0, fmt.Errorf("%d in flight", s.InFlight)
	})
	// Balance inquiries fill the buffers: they are long, and leave nothing to be reversed.
	filler := strings.Repeat("\xdf\x7f\x40"+strings.Repeat("f", 64), 3)
	stop := make(chan struct{})
	var tills sync.WaitGroup
	for i := range 4 {
		tills.Go(func() {
			m := w.till(i + 2)
			for n := 0; n < 4_000; n++ {
				select {
				case <-stop:
					return
				default:
				}
				s := m.sale(pos.Balance, 0, 0, nil)
				s.card = w.other[(4*n+i)%len(w.other)]
				q := m.request(s)
				if q.SetBytes(55, []byte(filler)) != nil ||
					m.raw(wire(t, message.Framing{}, m.frame(q))) != nil {
					return
				}
			}
		})
	}
	busy := round()
	e2eUntil(t, 15*time.Second, "the write deadline", func() (bool, error) {
		s := w.link("shut")
		return s.Figures.WriteTimeouts > 0, fmt.Errorf("%d in flight, %+v %+v", s.InFlight,
			s.Connections, s.Figures)
	})
	close(stop)
	tills.Wait()
	if a := doubtful.hear(tillMax); a == nil || a.ResponseCode() != "98" {
		t.Errorf("the sale is answered %v, want 98 long before its time-out", a)
	}
	t.Logf("p50 %s and p90 %s beside a free bank, %s and %s beside a shut one", free[50], free[90],
		busy[50], busy[90])
	if busy[50] > 4*free[50]+20*time.Millisecond {
		t.Errorf("the shut bank slows another one's traffic: p50 %s, was %s", busy[50], free[50])
	}
	if v := w.metric(`tapswitch_bank_link_total{event="write_timeout",link="shut"}`); v == "" || v == "0" {
		t.Errorf("the metric is %q", v)
	}
	shut.shut(false)
	w.settled()
	if n := shut.seen(message.Reversal); n == 0 {
		t.Error("the sale was not reversed")
	}
}

// shutBank is a fakeBank that can stop reading, with small buffers.
type shutBank struct {
	*fakeBank
	gate chan struct{} // holds a token while the bank reads nothing
}

// shut stops or resumes the reading of all connections.
func (b *shutBank) shut(on bool) {
	if on {
		b.gate <- struct{}{}
	} else {
		<-b.gate
	}
}

// shutConn reads only while the gate is open.
type shutConn struct {
	net.Conn
	gate chan struct{}
	done chan struct{}
	once *sync.Once
}

func (c shutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case c.gate <- struct{}{}:
		<-c.gate
	case <-c.done:
	}
	return n, err
}

func (c shutConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

// shutListener gives its connections a small receive buffer, and the gate.
type shutListener struct {
	net.Listener
	gate chan struct{}
}

func (l shutListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	return shutConn{nc, l.gate, make(chan struct{}), new(sync.Once)}, nil
}

func newShutBank(t testing.TB) *shutBank {
	t.Helper()
	gate := make(chan struct{}, 1)
	return &shutBank{newFakeBankOn(t, func(ln net.Listener) net.Listener {
		return shutListener{ln, gate}
	}), gate}
}

// bankProcess is a bank in a process of its own.
type bankProcess struct {
	t       testing.TB
	cmd     *exec.Cmd
	address string
	report  string
	ended   chan struct{}
}

func startBankProcess(t testing.TB) *bankProcess {
	t.Helper()
	b := &bankProcess{t: t, report: filepath.Join(t.TempDir(), "book.json"),
		ended: make(chan struct{})}
	b.cmd = exec.Command(e2eBinary(t), "bank-sim", "--listen", "127.0.0.1:0", "--spec", "cups",
		"--report", b.report)
	b.cmd.Env = e2eEnv()
	out, err := b.cmd.StderrPipe()
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		<-b.ended
	})
	r := bufio.NewReader(out)
	text, err := r.ReadString('\n')
	b.address = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(text)
	go func() {
		_, _ = io.Copy(io.Discard, r)
		_ = b.cmd.Wait()
		close(b.ended)
	}()
	if b.address == "" {
		t.Fatalf("bank-sim says %q: %v", text, err)
	}
	return b
}

func (b *bankProcess) signal(s syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatal(err)
	}
}

// stop stops the process and returns when the kernel has done so.
func (b *bankProcess) stop() {
	b.t.Helper()
	b.signal(syscall.SIGSTOP)
	e2eUntil(b.t, 5*time.Second, "the bank to stand still", func() (bool, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
		if errors.Is(err, os.ErrNotExist) {
			return true, nil // no /proc here: it stops soon
		}
		return strings.Contains(string(text), ") T "), err
	})
}

// end stops the process and returns its book.
func (b *bankProcess) end() (book bankhost.Book) {
	b.t.Helper()
	b.signal(syscall.SIGINT)
	select {
	case <-b.ended:
	case <-time.After(e2eStopMax):
		b.t.Fatal("bank-sim does not stop")
	}
	text, err := os.ReadFile(b.report)
	if err == nil {
		err = json.Unmarshal(text, &book)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return book
}

// fakeBank answers with what a test writes. It speaks cups.
type fakeBank struct {
	t       testing.TB
	spec    *message.Spec
	framing message.Framing
	address string

	mu   sync.Mutex // guards the fields below
	say  func(m *message.Message) []byte
	got  map[message.Class]int
	open map[net.Conn]bool
}

func newFakeBank(t testing.TB) *fakeBank {
	return newFakeBankOn(t, func(ln net.Listener) net.Listener { return ln })
}

// newFakeBankOn is newFakeBank on what wrap makes of its listener.
func newFakeBankOn(t testing.TB, wrap func(net.Listener) net.Listener) *fakeBank {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln = wrap(ln)
	b := &fakeBank{t: t, spec: bankSpec(t, "cups"), address: ln.Addr().String(),
		framing: message.Framing{Form: message.ASCII4},
		got:     map[message.Class]int{}, open: map[net.Conn]bool{}}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.open[nc] = true
			b.mu.Unlock()
			work.Go(func() { b.serve(nc) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		b.mu.Lock()
		for nc := range b.open {
			_ = nc.Close()
		}
		b.mu.Unlock()
		work.Wait()
	})
	return b
}

func (b *fakeBank) serve(nc net.Conn) {
	defer nc.Close()
	r := message.NewReader(nc, b.framing)
	for {
		frame, err := r.Next()
		if err != nil {
			return
		}
		m, err := message.Parse(b.spec, frame)
		if err != nil {
			b.t.Errorf("the switch sent what is no message: %v", err)
			return
		}
		b.mu.Lock()
		b.got[m.MTI().Class()]++
		say := b.say
		b.mu.Unlock()
		if say == nil || m.MTI().Class() == message.Network {
			say = b.approve
		}
		if out := say(m); out != nil {
			if _, err := nc.Write(out); err != nil {
				return
			}
		}
	}
}

// answer has all but management answered with what say returns.
func (b *fakeBank) answer(say func(m *message.Message) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.say = say
}

// seen returns how many messages of a class have come.
func (b *fakeBank) seen(c message.Class) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[c]
}

// approve is the answer 00 with its length.
func (b *fakeBank) approve(m *message.Message) []byte {
	a, ok := m.Reply()
	if !ok {
		return nil
	}
	err := a.Copy(m, 2, 3, 4, 7, 11, 32, 33, 37, 41, 42, 49, 70)
	if err == nil {
		err = a.SetText(39, "00")
	}
	if m.MTI().Class() == message.Financial && err == nil {
		err = a.SetText(38, "123456")
	}
	frame, err2 := a.Append(nil)
	if err != nil || err2 != nil {
		b.t.Errorf("answer of the fake bank: %v %v", err, err2)
		return nil
	}
	return wire(b.t, b.framing, frame)
}

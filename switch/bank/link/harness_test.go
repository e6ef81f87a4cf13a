package link

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lengthFraming is a big-endian two-byte length before each frame.
type lengthFraming struct{}

func (lengthFraming) ReadFrame(r *bufio.Reader, limit int) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n == 0 || n > limit {
		return nil, fmt.Errorf("length %d is not in 1 to %d", n, limit)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}

func (lengthFraming) AppendFrame(dst, body []byte) ([]byte, error) {
	if len(body) > 0xFFFF || (len(body) > 0 && body[0] == 0xEE) {
		return nil, errors.New("cannot be framed")
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(body))), body...), nil
}

// The messages of the tests: kind (Q request, A answer, M management request, R its
// answer), class, STAN 6, terminal 8, RRN 12, time 10, text. Absent fields are zero bytes.
const headLen = 1 + 1 + 6 + 8 + 12 + 10

type message struct {
	kind byte
	key  Key
	text string
}

func (m message) bytes() []byte {
	b := append(make([]byte, 0, headLen+len(m.text)), m.kind, '0'+m.key.Class)
	for div := uint32(100000); div > 0; div /= 10 {
		b = append(b, byte('0'+m.key.STAN/div%10))
	}
	b = append(b, m.key.Terminal[:]...)
	b = append(b, m.key.RRN[:]...)
	b = append(b, m.key.Time[:]...)
	return append(b, m.text...)
}

func parse(b []byte) (message, error) {
	if len(b) < headLen {
		return message{}, fmt.Errorf("%d bytes are too few", len(b))
	}
	m := message{kind: b[0], text: string(b[headLen:])}
	stan := uint32(0)
	for _, d := range b[2:8] {
		if d < '0' || d > '9' {
			return m, errors.New("STAN is not a number")
		}
		stan = stan*10 + uint32(d-'0')
	}
	m.key.Class, m.key.STAN = b[1]-'0', stan
	copy(m.key.Terminal[:], b[8:])
	copy(m.key.RRN[:], b[16:])
	copy(m.key.Time[:], b[28:])
	return m, nil
}

// reply is the answer of the same key.
func (m message) reply(text string) message {
	if m.kind == 'M' {
		return message{kind: 'R', key: m.key, text: text}
	}
	return message{kind: 'A', key: m.key, text: text}
}

// testProtocol is the Protocol of these messages.
type testProtocol struct {
	silent [SignOff + 1]bool // messages that the protocol does not have
}

func (p *testProtocol) Make(what Management, stan uint32, _ time.Time) ([]byte, Key, error) {
	if p.silent[what] {
		return nil, Key{}, nil
	}
	key := Key{Class: 8, STAN: stan}
	return message{kind: 'M', key: key, text: what.String()}.bytes(), key, nil
}

func (p *testProtocol) Accepted(what Management, answer []byte) error {
	m, err := parse(answer)
	if err != nil {
		return err
	}
	if m.text != "00" {
		return fmt.Errorf("%v was answered with %s", what, m.text)
	}
	return nil
}

func (p *testProtocol) Classify(frame []byte) (Kind, Key, error) {
	m, err := parse(frame)
	switch {
	case err != nil:
		return 0, Key{}, err
	case m.kind == 'Q':
		return KindRequest, m.key, nil
	case m.kind == 'A', m.kind == 'R':
		return KindAnswer, m.key, nil
	case m.kind == 'M':
		return KindManagement, m.key, nil
	}
	return 0, Key{}, errors.New("unknown kind")
}

func (p *testProtocol) Reply(frame []byte) ([]byte, Management, error) {
	m, err := parse(frame)
	if err != nil {
		return nil, 0, err
	}
	what := OtherManagement
	for _, w := range []Management{SignOn, Echo, SignOff} {
		if m.text == w.String() {
			what = w
		}
	}
	return m.reply("00").bytes(), what, nil
}

// circle is a Reserver in memory.
type circle struct {
	mu    sync.Mutex
	next  uint32
	top   uint32 // 0 for STANMax
	err   error
	calls int
}

func (c *circle) Reserve(_ context.Context, _ string, n int) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.err != nil {
		return 0, c.err
	}
	top := c.top
	if top == 0 {
		top = STANMax
	}
	first := c.next + 1
	c.next = (c.next + uint32(n)) % top
	return first, nil
}

func (c *circle) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// bank is the other side of a Link: it signs on, answers echoes, and answers requests as
// behave says. It is written without the connections of this package on purpose.
type bank struct {
	// behave gets each request and a way to write to its connection; nil answers "ok" with
	// the request's text.
	behave func(c *bankConn, m message)
	// manage gets each management request; nil answers 00.
	manage func(c *bankConn, m message)

	work  sync.WaitGroup
	ln    net.Listener
	mu    sync.Mutex
	conns map[*bankConn]struct{}
	order []*bankConn // in the order of their arrival
	seen  map[uint32]int
	got   []string // texts of management messages
}

// bankConn is one connection to the bank.
type bankConn struct {
	net.Conn
	bank *bank
	mu   sync.Mutex
}

func newBank() *bank {
	return &bank{conns: make(map[*bankConn]struct{}), seen: make(map[uint32]int)}
}

// listen serves a loopback port until the test ends.
func (b *bank) listen(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.ln = ln
	b.work.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			b.serve(nc)
		}
	})
	t.Cleanup(b.close)
	return ln.Addr().String()
}

// dial is a Config.Dial over pipes in memory, for tests on a virtual clock.
func (b *bank) dial(context.Context, string) (net.Conn, error) {
	near, far := net.Pipe()
	b.serve(far)
	return near, nil
}

func (b *bank) close() {
	if b.ln != nil {
		_ = b.ln.Close()
	}
	b.cut()
	b.work.Wait()
}

// cut closes every connection.
func (b *bank) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close()
	}
}

func (b *bank) serve(nc net.Conn) {
	c := &bankConn{Conn: nc, bank: b}
	b.mu.Lock()
	b.conns[c] = struct{}{}
	b.order = append(b.order, c)
	b.mu.Unlock()
	b.work.Go(func() {
		defer func() {
			_ = nc.Close()
			b.mu.Lock()
			delete(b.conns, c)
			b.mu.Unlock()
		}()
		r := bufio.NewReader(nc)
		for {
			frame, err := lengthFraming{}.ReadFrame(r, 1<<16)
			if err != nil {
				return
			}
			if m, err := parse(frame); err == nil {
				b.take(c, m)
			}
		}
	})
}

func (b *bank) take(c *bankConn, m message) {
	switch m.kind {
	case 'M':
		b.mu.Lock()
		b.got = append(b.got, m.text)
		b.mu.Unlock()
		if b.manage != nil {
			b.manage(c, m)
			return
		}
		c.send(m.reply("00"))
	case 'Q':
		b.mu.Lock()
		b.seen[m.key.STAN]++
		b.mu.Unlock()
		if b.behave != nil {
			b.behave(c, m)
			return
		}
		c.send(m.reply("ok " + m.text))
	}
}

// send writes messages in one piece.
func (c *bankConn) send(all ...message) {
	var out []byte
	for _, m := range all {
		out, _ = lengthFraming{}.AppendFrame(out, m.bytes())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Write(out)
}

// conn returns the n-th connection that was opened, counted from 0.
func (b *bank) conn(n int) *bankConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n >= len(b.order) {
		return nil
	}
	return b.order[n]
}

func (b *bank) opened() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.order)
}

// sawSTAN returns how often a request with the number came.
func (b *bank) sawSTAN(stan uint32) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[stan]
}

// managed returns how often a management message came.
func (b *bank) managed(what Management) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, text := range b.got {
		if text == what.String() {
			n++
		}
	}
	return n
}

// baseConfig is a Config with n connections to one address.
func baseConfig(address string, n int) Config {
	cfg := Config{Name: "issuer", Framing: lengthFraming{}, Protocol: &testProtocol{},
		Reserver: &circle{}, Limits: Limits{AnswerTimeout: 5 * time.Second,
			BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
			DrainTimeout: 2 * time.Second}}
	for range n {
		cfg.Addresses = append(cfg.Addresses, address)
	}
	return cfg
}

// open opens a link, waits until it is up, and shuts it down with the test.
func open(t testing.TB, cfg Config) *Link {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, l) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

func stop(t testing.TB, l *Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// allUp waits until every connection is up.
func allUp(t testing.TB, l *Link) {
	t.Helper()
	eventually(t, "all connections are up", func() bool {
		return len(*l.up.Load()) == len(l.lines)
	})
}

// purchase makes a request with the next number of the link.
func purchase(t testing.TB, l *Link, text string) message {
	t.Helper()
	stan, err := l.Number(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return request(stan, text)
}

func request(stan uint32, text string) message {
	m := message{kind: 'Q', key: Key{Class: 2, STAN: stan}, text: text}
	copy(m.key.Terminal[:], "TERM0001")
	copy(m.key.Time[:], "1122021500")
	return m
}

// send makes an exchange.
func send(l *Link, m message) (string, Sent, error) {
	answer, sent, err := l.Exchange(context.Background(), m.bytes(), m.key)
	if err != nil {
		return "", sent, err
	}
	got, err := parse(answer)
	if err != nil || got.key != m.key {
		return "", sent, fmt.Errorf("answer %v to %v: %w", got.key, m.key, err)
	}
	return got.text, sent, nil
}

// outcome is the end of an exchange that runs in the background.
type outcome struct {
	text string
	sent Sent
	err  error
}

func begin(l *Link, m message) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		text, sent, err := send(l, m)
		ch <- outcome{text, sent, err}
	}()
	return ch
}

// want waits for an outcome and compares it.
func want(t testing.TB, ch <-chan outcome, sent Sent, cause error) outcome {
	t.Helper()
	o := <-ch
	if o.sent != sent || !errors.Is(o.err, cause) {
		t.Fatalf("the exchange ended as %v with %v, want %v with %v", o.sent, o.err, sent, cause)
	}
	return o
}

// eventually polls until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// hold is a behaviour that keeps requests until they are let go.
type hold struct {
	mu   sync.Mutex
	held []held
}

type held struct {
	c *bankConn
	m message
}

func (h *hold) take(c *bankConn, m message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, held{c, m})
}

// release returns what was held and forgets it.
func (h *hold) release() []held {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.held
	h.held = nil
	return all
}

// echoHandler answers every request with its text, as told by behave.
type echoHandler struct {
	behave  func(r *Request, m message)
	refused atomic.Int64
	mute    bool // refuse without an answer
}

func (h *echoHandler) Handle(r *Request) {
	m, _ := parse(r.Frame)
	if h.behave != nil {
		h.behave(r, m)
		return
	}
	_ = r.Answer(m.reply("ok " + m.text).bytes())
}

func (h *echoHandler) Refuse(r *Request, why error) []byte {
	h.refused.Add(1)
	if h.mute {
		return nil
	}
	m, _ := parse(r.Frame)
	return m.reply("refused: " + why.Error()).bytes()
}

func itoa(n int) string { return strconv.Itoa(n) }

package iso

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Format is how ISO 8583 is spoken on a connection of the benchmark.
type Format struct {
	// Spec is the name of a built-in message format, such as iso87_ascii.
	Spec string
	// Envelope stands in front of messages when it is not Bare; Bare leaves what the format
	// has by itself.
	Envelope message.Envelope
	// Framing cuts the stream into frames.
	Framing message.Framing
}

func (f Format) spec() (*message.Spec, error) {
	s, err := message.Named(f.Spec)
	if err == nil && f.Envelope != message.Bare {
		s = s.WithEnvelope(f.Envelope)
	}
	return s, err
}

// ASCII is what the plain comparisons speak: ISO 8583:1987 in ASCII behind four digits
// of length, jPOS's ISO87APackager and ASCIIChannel.
func ASCII() Format {
	return Format{Spec: "iso87_ascii", Framing: message.Framing{Form: message.ASCII4}}
}

// bufferMax bounds what one connection of the bank reads at once and the answers to it.
const bufferMax = 64 << 10

// approval is the authorization code of every answer.
var approval = []byte("B00001")

// ServeBank serves a bank on a loopback port that approves whatever it is asked: requests
// and advices of the classes 1, 2, 4 and 8. It keeps nothing, checks nothing but the format and
// MACs where there are any (those of BankKey; the answers then have theirs), and is faster than
// anything that stands before it. It prints its address to out and ends with ctx or when in ends.
func ServeBank(ctx context.Context, in io.Reader, out io.Writer, f Format) error {
	bank, err := startBank(f)
	if err != nil {
		return err
	}
	defer bank.stop()
	if _, err := fmt.Fprintln(out, bank.addr()); err != nil {
		return fmt.Errorf("bank: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, in)
	}()
	select {
	case <-ctx.Done():
	case <-gone:
	}
	return nil
}

// bankServer is a bank in this process. Stop it.
type bankServer struct {
	spec    *message.Spec
	framing message.Framing
	mac     *mac.MAC
	ln      net.Listener
	done    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	ended bool
}

// startBank starts a bank on a free loopback port.
func startBank(f Format) (*bankServer, error) {
	spec, err := f.spec()
	if err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	key, err := NewMAC(BankKey())
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	b := &bankServer{spec: spec, framing: f.Framing, mac: key, ln: ln, conns: map[net.Conn]bool{}}
	b.done.Add(1)
	go b.accept()
	return b, nil
}

func (b *bankServer) addr() string { return b.ln.Addr().String() }

// stop closes everything and returns when no goroutine is left.
func (b *bankServer) stop() {
	_ = b.ln.Close()
	b.mu.Lock()
	b.ended = true
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.done.Wait()
}

func (b *bankServer) accept() {
	defer b.done.Done()
	for {
		c, err := b.ln.Accept()
		if err != nil {
			return
		}
		if !b.add(c) {
			_ = c.Close()
			return
		}
		go func() {
			defer b.done.Done()
			defer b.remove(c)
			_ = b.serve(c) // whoever sent nonsense sees the connection close
		}()
	}
}

func (b *bankServer) add(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return false
	}
	b.conns[c] = true
	b.done.Add(1)
	return true
}

func (b *bankServer) remove(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
	_ = c.Close()
}

// errBank reports what the bank cannot answer.
var errBank = errors.New("the bank does not answer this")

// serve answers all frames that one read brought with one write.
func (b *bankServer) serve(c net.Conn) error {
	var (
		in, out = make([]byte, bufferMax), make([]byte, 0, bufferMax)
		have    = 0
		teller  = clerk{spec: b.spec, mac: b.mac}
	)
	for {
		n, err := c.Read(in[have:])
		if err != nil {
			return err
		}
		have += n
		done := 0
		for {
			frame, size, err := b.framing.Next(in[done:have])
			if err != nil {
				return err
			}
			if size == 0 {
				break
			}
			answer, err := teller.answer(frame)
			if err != nil {
				return err
			}
			if out, err = b.framing.Append(out, answer); err != nil {
				return err
			}
			done += size
		}
		have = copy(in, in[done:have])
		if _, err := c.Write(out); err != nil {
			return err
		}
		out = out[:0]
	}
}

// clerk makes answers. It belongs to one goroutine.
type clerk struct {
	spec *message.Spec
	mac  *mac.MAC // of messages that have one
	view message.View
	w    message.Writer
	buf  []byte
	time [10]byte // of field 7
}

// echoed are the fields that an answer repeats, in order, with those that it adds.
var echoed = []int{2, 3, 4, 7, 11, 12, 13, 15, 25, 32, 37, 38, 39, 41, 42, 49, 60, 70}

// answer returns the answer to a frame, valid until the next call.
func (t *clerk) answer(frame []byte) ([]byte, error) {
	if err := t.view.Open(t.spec, frame); err != nil {
		return nil, err
	}
	mti, ok := t.view.MTI().Answer()
	if !ok {
		return nil, errBank
	}
	signed := t.view.Has(64) || t.view.Has(128)
	if signed {
		if err := message.Verify(t.spec, frame, t.mac); err != nil {
			return nil, err
		}
	}
	t.envelope(frame)
	t.w.Begin(t.buf[:0], t.spec, mti)
	network := mti.Class() == message.Network
	for _, n := range echoed {
		switch {
		case n == 39:
			t.w.Put(n, []byte("00"))
		case n == 38 && !network:
			t.w.Put(n, approval)
		case n == 15 && !network && t.view.Has(7):
			t.w.Put(n, t.view.Append(t.time[:0], 7)[:4])
		case n != 15 && t.view.Has(n):
			t.w.Copy(&t.view, n)
		}
	}
	var err error
	if signed {
		t.buf, err = t.w.FinishMAC(t.mac)
	} else {
		t.buf, err = t.w.Finish()
	}
	return t.buf, err
}

// envelope turns what stands in front of a frame that was opened.
func (t *clerk) envelope(frame []byte) {
	var (
		tpdu = len(message.TPDU{})
		head = tpdu + len(message.Header{})
	)
	switch t.spec.Envelope() {
	case message.TPDUOnly:
		t.w.TPDU = message.TPDU(frame[:tpdu]).Reply()
	case message.TPDUHeader:
		t.w.TPDU = message.TPDU(frame[:tpdu]).Reply()
		t.w.Header = message.Header(frame[tpdu:head])
	case message.CUPSHead:
		t.w.CUPS = message.CUPSHeader(frame[:len(message.CUPSHeader{})]).Reply()
	}
}

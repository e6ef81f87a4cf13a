package link

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// leanProtocol reads the key and nothing else, as a codec on a hot path does.
type leanProtocol struct{ testProtocol }

func (p *leanProtocol) Classify(frame []byte) (Kind, Key, error) {
	if len(frame) < headLen {
		return 0, Key{}, errors.New("too short")
	}
	var k Key
	k.Class = frame[1] - '0'
	for _, d := range frame[2:8] {
		k.STAN = k.STAN*10 + uint32(d-'0')
	}
	copy(k.Terminal[:], frame[8:])
	copy(k.RRN[:], frame[16:])
	copy(k.Time[:], frame[28:])
	switch frame[0] {
	case 'Q':
		return KindRequest, k, nil
	case 'M':
		return KindManagement, k, nil
	}
	return KindAnswer, k, nil
}

// mirror is a bank that turns requests into answers where they stand and sends them back:
// the cheapest other side there can be.
func mirror(b testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			work.Go(func() { reflect(nc) })
		}
	})
	b.Cleanup(func() {
		_ = ln.Close()
		work.Wait()
	})
	return ln.Addr().String()
}

// reflect answers whole frames in place.
func reflect(nc net.Conn) {
	defer nc.Close()
	buf := make([]byte, 128<<10)
	have := 0
	for {
		n, err := nc.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		whole := 0
		for have-whole >= 2 {
			size := 2 + int(binary.BigEndian.Uint16(buf[whole:]))
			if have-whole < size {
				break
			}
			buf[whole+2] = 'A'
			whole += size
		}
		if _, err := nc.Write(buf[:whole]); err != nil {
			return
		}
		have = copy(buf, buf[whole:have])
	}
}

// leanConfig has n connections without sign-on to address.
func leanConfig(address string, n int) Config {
	cfg := baseConfig(address, n)
	cfg.Protocol = &leanProtocol{testProtocol{silent: [SignOff + 1]bool{SignOn: true, Echo: true,
		SignOff: true}}}
	cfg.NumberBlock, cfg.NumberWindow = 10_000, time.Nanosecond
	return cfg
}

// run makes count exchanges from so many callers, each of 200 bytes.
func run(tb testing.TB, l *Link, callers, count int) {
	var left atomic.Int64
	left.Store(int64(count))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			m := request(1, string(make([]byte, 200-headLen)))
			frame := m.bytes()
			for left.Add(-1) >= 0 {
				stan, err := l.Number(context.Background())
				if err != nil {
					tb.Error(err)
					return
				}
				m.key.STAN = stan
				for i, v := 7, stan; i >= 2; i, v = i-1, v/10 {
					frame[i] = byte('0' + v%10)
				}
				if _, _, err := l.Exchange(context.Background(), frame, m.key); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkExchange counts exchanges over 16 connections with 8 in flight each, with a bank
// that costs nothing, and with a Server of this package as the bank. Both ends run in this
// process.
func BenchmarkExchange(b *testing.B) {
	lean := func(cfg *ServerConfig) { cfg.Protocol = &leanProtocol{} }
	h := &turn{}
	for _, c := range []struct {
		name    string
		address func() string
	}{
		{"mirror", func() string { return mirror(b) }},
		{"server", func() string { return serve(b, h, lean).address }},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := open(b, leanConfig(c.address(), 16))
			allUp(b, l)
			run(b, l, 128, 1000)
			b.ReportAllocs()
			b.ResetTimer()
			run(b, l, 128, b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
		})
	}
}

// turn answers requests in place.
type turn struct{}

func (*turn) Handle(r *Request) {
	r.Frame[0] = 'A'
	_ = r.Answer(r.Frame)
}

func (*turn) Refuse(*Request, error) []byte { return nil }

// The hot path allocates the answer, and now and then a buffer.
func TestExchangeAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	l := open(t, leanConfig(mirror(t), 1))
	m := request(1, string(make([]byte, 150)))
	frame := m.bytes()
	got := testing.AllocsPerRun(2000, func() {
		if _, _, err := l.Exchange(t.Context(), frame, m.key); err != nil {
			t.Fatal(err)
		}
	})
	if got > 2 {
		t.Errorf("%v allocations an exchange, want at most 2", got)
	}
}

// The same for a request that a Server answers: the frame, the Request, its goroutine.
func TestServerAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	s := serve(t, &turn{}, func(cfg *ServerConfig) { cfg.Protocol = &leanProtocol{} })
	p := connect(t, s.address)
	out := stream(request(1, string(make([]byte, 150))))
	back := make([]byte, len(out))
	got := testing.AllocsPerRun(2000, func() {
		if _, err := p.Write(out); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(p.r, back); err != nil {
			t.Fatal(err)
		}
	})
	if got > 4 {
		t.Errorf("%v allocations a request, want at most 4", got)
	}
}

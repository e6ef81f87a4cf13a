package bankhost

import (
	"bufio"
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// pump sends count purchases over one connection as fast as the host takes them and reads
// the answers. Trace number and reference number are written into one frame.
func pump(tb testing.TB, h *Host, first, count int) {
	p := connect(tb, h)
	frame, err := p.o.Framing.Append(nil, p.frame(p.message(purchase(999_999, 100))))
	if err != nil {
		tb.Fatal(err)
	}
	stan := bytes.Index(frame, []byte("999999"))
	rrn := bytes.Index(frame, []byte("000000999999"))
	sent := bytes.Index(frame, []byte(testSent))
	var work sync.WaitGroup
	work.Go(func() {
		w := bufio.NewWriterSize(p.nc, 64<<10)
		for i := range count {
			n := uint64(first + i)
			putDigits(frame[stan:stan+6], n)
			putDigits(frame[rrn:rrn+12], n)
			putDigits(frame[sent:sent+10], 1_100_000_000+n/1_000_000)
			if _, err := w.Write(frame); err != nil {
				tb.Error(err)
				return
			}
		}
		_ = w.Flush()
	})
	r := message.NewReader(bufio.NewReaderSize(p.nc, 64<<10), p.o.Framing)
	_ = p.nc.SetReadDeadline(time.Now().Add(time.Minute))
	for range count {
		if _, err := r.Next(); err != nil {
			tb.Error(err)
			break
		}
	}
	work.Wait()
}

// BenchmarkApprove counts purchases that a bank approves over 4 connections; both ends run in
// this process.
func BenchmarkApprove(b *testing.B) {
	const conns = 4
	h := start(b, nil)
	b.ReportAllocs()
	b.ResetTimer()
	var work sync.WaitGroup
	share := b.N/conns + 1
	for i := range conns {
		work.Go(func() { pump(b, h, 1+i*share, share) })
	}
	work.Wait()
	b.ReportMetric(float64(share*conns)/b.Elapsed().Seconds(), "requests/s")
	if s := h.Summary(); s.Counts.Approved[Purchase] != int64(share*conns) {
		b.Errorf("%d approved of %d: %+v", s.Counts.Approved[Purchase], share*conns, s.Counts)
	}
}

// sink is a connection that takes everything.
type sink struct{ net.Conn }

func (sink) Close() error { return nil }

// Answering a purchase allocates nothing but what the book keeps.
func TestAnswerAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	h := start(t, func(o *Options) { o.EntriesMax = 64 })
	p := connect(t, h)
	frame := p.frame(p.message(purchase(999_999, 100)))
	at := bytes.Index(frame, []byte("999999"))
	c := newConn(h, sink{})
	n := uint64(0)
	serve := func() {
		n++
		putDigits(frame[at:at+6], n)
		if !c.serve(frame) {
			t.Fatal("ended")
		}
		c.queue = c.queue[:0]
	}
	for range 200 {
		serve()
	}
	if got := testing.AllocsPerRun(2000, serve); got > 1 {
		t.Errorf("%v allocations a request, want at most 1", got)
	}
}

// FuzzServe: whatever arrives, the host neither panics nor answers what it cannot have read,
// and its book adds up.
func FuzzServe(f *testing.F) {
	for _, name := range []string{"cups", "iso87_ascii", "cup_pos"} {
		h := start(f, func(o *Options) { o.Spec = named(f, name) })
		p := connect(f, h)
		if name != "cup_pos" {
			f.Add(p.frame(p.message(purchase(1, 1070))))
			f.Add(p.frame(p.message(reversal(2, 1, 1070))))
			f.Add(p.frame(p.network(3, "101")))
			continue
		}
		m := message.New(h.o.Spec, message.SettlementRequest)
		_ = m.SetSTAN(1)
		_ = m.SetText(41, testTerminal)
		frame, err := m.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, name := range []string{"cups", "iso87_ascii", "cup_pos"} {
			o := Options{Spec: named(t, name), Seed: 1, MasterKey: make([]byte, 16), MAC: nil}
			h := &Host{o: o}
			h.defaults()
			var err error
			if h.plan, err = (Behaviour{StallFor: 1, LateAfter: 1,
				Rules: DefaultRules()}).compile(); err != nil {
				t.Fatal(err)
			}
			h.o.MasterKey = nil
			if h.vault, err = newVault(&h.o); err != nil {
				t.Fatal(err)
			}
			h.tokenizer = tokenizer(t, h.o.TokenKey)
			h.book = newBook(&h.o)
			c := newConn(h, sink{})
			for range 2 {
				c.serve(frame)
			}
			for _, e := range h.Book().Entries {
				if e.Seen == 0 && !e.Forestalled || e.Code == "" && !e.Forestalled {
					t.Errorf("%+v", e)
				}
			}
		}
	})
}

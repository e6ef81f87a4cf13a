package iso

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// The formats that the load and the bank speak among themselves.
var formats = map[string]Format{
	"ascii": ASCII(),
	"bcd":   {Spec: "iso87_bcd", Framing: message.Framing{Form: message.Binary2}},
	"bcd with a TPDU": {Spec: "iso87_bcd", Envelope: message.TPDUOnly,
		Framing: message.Framing{Form: message.Binary2}},
	"cups": {Spec: "cups", Framing: message.Framing{Form: message.ASCII4}},
	"pos":  {Spec: "cup_pos"},
}

func needLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("not run: the generator needs Linux")
	}
}

func startTestBank(t *testing.T, f Format) *bankServer {
	t.Helper()
	b, err := startBank(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	return b
}

func testLoad(addr string) Load {
	return Load{Addr: addr, Format: ASCII(), Connections: 3,
		Duration: 200 * time.Millisecond}
}

func TestLoadInEveryFormat(t *testing.T) {
	needLinux(t)
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			o := testLoad(startTestBank(t, f).addr())
			o.Format, o.InFlight = f, 10
			if f.Spec == "cup_pos" {
				o.Make = TerminalPurchase
			}
			r, err := RunLoad(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.AllGood(); err != nil {
				t.Error(err)
			}
			if r.Good < 100 || r.Good != int64(r.Sent) || r.Latency.TotalCount() != r.Good {
				t.Errorf("%d good of %d sent, %d latencies", r.Good, r.Sent, r.Latency.TotalCount())
			}
			if r.CPU <= 0 || r.PerSecond() <= 0 {
				t.Errorf("generator %s, %f/s", r.CPU, r.PerSecond())
			}
		})
	}
}

func TestLoadKeepsTheRate(t *testing.T) {
	needLinux(t)
	o := testLoad(startTestBank(t, ASCII()).addr())
	o.Rate, o.Duration, o.Warmup, o.Slice = 2000, 500*time.Millisecond, 100*time.Millisecond,
		100*time.Millisecond
	r, err := RunLoad(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 1000 || r.Good != 800 || r.AllGood() != nil {
		t.Errorf("%d sent, %d good after the warm-up: %v", r.Sent, r.Good, r.AllGood())
	}
	if len(r.Slices) < 5 || r.Slices[0].Count == 0 {
		t.Errorf("slices %+v", r.Slices)
	}
}

// A closed loop never has more in flight than it was told, and a load of fewer requests than
// connections leaves connections idle.
func TestLoadInFlight(t *testing.T) {
	needLinux(t)
	for _, inFlight := range []int{1, 7} {
		greatest := 0
		addr := serveFrames(t, func(_ int, frames [][]byte) [][]byte {
			greatest = max(greatest, len(frames))
			return answersTo(t, frames, "00")
		})
		o := testLoad(addr)
		o.Connections, o.InFlight = 1, inFlight
		r, err := RunLoad(t.Context(), o)
		if err != nil || r.AllGood() != nil {
			t.Fatal(err, r)
		}
		if greatest > inFlight {
			t.Errorf("%d requests at once, told %d", greatest, inFlight)
		}
	}
	o := testLoad(startTestBank(t, ASCII()).addr())
	o.Connections, o.InFlight = 8, 3
	if r, err := RunLoad(t.Context(), o); err != nil || r.AllGood() != nil {
		t.Error(err, r)
	}
}

// Requests differ in what identifies them, and are what a bank reads.
func TestRequests(t *testing.T) {
	needLinux(t)
	spec, _ := message.Named("iso87_ascii")
	seen := map[string]bool{}
	addr := serveFrames(t, func(_ int, frames [][]byte) [][]byte {
		for _, f := range frames {
			sum, err := message.Peek(spec, f)
			if err != nil {
				t.Error(err)
			}
			key := fmt.Sprint(sum.STAN, string(sum.Sent[:]), string(sum.RRN[:]))
			if seen[key] {
				t.Errorf("%s twice", key)
			}
			seen[key] = true
			if sum.STAN == 1 && string(sum.Sent[:]) != "0229235959" {
				t.Errorf("first sent at %s", sum.Sent[:])
			}
		}
		return answersTo(t, frames, "00")
	})
	o := testLoad(addr)
	o.Connections, o.Begin = 1, time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC)
	r, err := RunLoad(t.Context(), o)
	if err != nil || r.AllGood() != nil || len(seen) != r.Sent {
		t.Fatal(err, r, len(seen))
	}
}

func TestCardNumbers(t *testing.T) {
	var to [16]byte
	for n := range uint64(1000) {
		number, err := pan.Parse(string(cardNumber(&to, n)))
		if err != nil {
			t.Fatalf("card %d: %v", n, err)
		}
		if err := pan.Bank.Check(number); err != nil {
			t.Fatalf("card %d: %v", n, err)
		}
	}
}

// serveFrames serves ISO 8583 in ASCII: answer gets the frames that one read brought, with a
// count of reads.
func serveFrames(t *testing.T, answer func(read int, frames [][]byte) [][]byte) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serveConn(c, answer)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// serveConn serves one connection at a time, until it ends.
func serveConn(c net.Conn, answer func(int, [][]byte) [][]byte) {
	defer func() { _ = c.Close() }()
	framing, buf, have := ASCII().Framing, make([]byte, 1<<20), 0
	for read := 0; ; read++ {
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		var frames [][]byte
		done := 0
		for {
			frame, size, err := framing.Next(buf[done:have])
			if err != nil || size == 0 {
				break
			}
			frames = append(frames, bytes.Clone(frame))
			done += size
		}
		have = copy(buf, buf[done:have])
		var out []byte
		for _, a := range answer(read, frames) {
			if out, err = framing.Append(out, a); err != nil {
				return
			}
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// answersTo answers frames with a response code.
func answersTo(t *testing.T, frames [][]byte, code string) (all [][]byte) {
	spec, _ := message.Named("iso87_ascii")
	for _, f := range frames {
		m, err := message.Parse(spec, f)
		if err != nil {
			t.Error(err)
			continue
		}
		a, _ := m.Reply()
		_ = a.Copy(m, 4, 7, 11)
		_ = a.SetText(39, code)
		b, err := a.Append(nil)
		if err != nil {
			t.Error(err)
		}
		all = append(all, b)
	}
	return all
}

// Each way of answering wrongly is told apart.
func TestLoadJudges(t *testing.T) {
	needLinux(t)
	alter := func(t *testing.T, frames [][]byte, field int, digit int, to string) [][]byte {
		spec, _ := message.Named("iso87_ascii")
		var all [][]byte
		for _, a := range answersTo(t, frames, "00") {
			m, _ := message.Parse(spec, a)
			old, _ := m.Text(field)
			text := []byte(old)
			text[digit] = to[0]
			_ = m.SetText(field, string(text))
			b, _ := m.Append(nil)
			all = append(all, b)
		}
		return all
	}
	for name, test := range map[string]struct {
		answer func(t *testing.T, frames [][]byte) [][]byte
		want   func(r *Result) bool
	}{
		"declined": {func(t *testing.T, f [][]byte) [][]byte { return answersTo(t, f, "51") },
			func(r *Result) bool {
				return r.Good == 0 && r.Refused > 0 && r.Failed == 0 && r.Stray == 0 &&
					strings.Contains(r.Sample, "51")
			}},
		"another trace number": {func(t *testing.T, f [][]byte) [][]byte {
			return alter(t, f, 11, 0, "9")
		}, func(r *Result) bool { return r.Good == 0 && r.Failed == 2 && r.Stray == 2 }},
		"another time": {func(t *testing.T, f [][]byte) [][]byte {
			return alter(t, f, 7, 9, "0")
		}, func(r *Result) bool { return r.Good == 0 && r.Failed == 2 && r.Stray == 2 }},
		"the request comes back": {func(_ *testing.T, f [][]byte) [][]byte { return f },
			func(r *Result) bool { return r.Good == 0 && r.Failed == 2 && r.Stray == 2 }},
		"answered twice": {func(t *testing.T, f [][]byte) [][]byte {
			return append(answersTo(t, f, "00"), answersTo(t, f, "00")...)
		}, func(r *Result) bool { return r.Good > 0 && r.Stray > 0 && r.AllGood() != nil }},
		"never": {func(*testing.T, [][]byte) [][]byte { return nil },
			func(r *Result) bool {
				return r.Good == 0 && r.Failed == 2 && strings.Contains(r.Sample, "no answer")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			o := testLoad(serveFrames(t, func(_ int, f [][]byte) [][]byte { return test.answer(t, f) }))
			o.Connections, o.InFlight, o.Drain = 1, 2, 50*time.Millisecond
			o.Begin = time.Date(2028, 2, 29, 12, 0, 1, 0, time.UTC) // ends in 1, altered to 0
			r, err := RunLoad(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if !test.want(r) {
				t.Errorf("good %d, refused %d, failed %d, stray %d, sample %q", r.Good, r.Refused,
					r.Failed, r.Stray, r.Sample)
			}
			if r.AllGood() == nil {
				t.Error("all good")
			}
		})
	}
}

// A server that stalls is charged for every request that had to wait, not for one.
func TestLoadCountsFromWhenDue(t *testing.T) {
	needLinux(t)
	const stall = 200 * time.Millisecond
	addr := serveFrames(t, func(read int, frames [][]byte) [][]byte {
		if read == 20 {
			timer := time.NewTimer(stall)
			<-timer.C
		}
		return answersTo(t, frames, "00")
	})
	o := testLoad(addr)
	o.Connections, o.Rate, o.Duration = 1, 1000, 500*time.Millisecond
	r, err := RunLoad(t.Context(), o)
	if err != nil || r.AllGood() != nil {
		t.Fatal(err, r)
	}
	waited := int64(0)
	for _, bar := range r.Latency.Distribution() {
		if bar.From > int64(stall/4) {
			waited += bar.Count
		}
	}
	if waited < 100 { // of the 200 that were due meanwhile, those of its first three quarters
		t.Errorf("%d requests of %d waited", waited, r.Good)
	}
}

// What a peer that reads late does not take waits here, and leaves when it can.
func TestLoadAgainstAFullSocket(t *testing.T) {
	needLinux(t)
	addr := serveFrames(t, func(read int, frames [][]byte) [][]byte {
		if read == 0 {
			timer := time.NewTimer(400 * time.Millisecond)
			<-timer.C
		}
		return answersTo(t, frames, "00")
	})
	o := testLoad(addr)
	o.Connections, o.Rate, o.Drain = 1, 200_000, time.Minute
	r, err := RunLoad(t.Context(), o)
	if err != nil || r.AllGood() != nil || r.Sent != 40_000 {
		t.Fatal(err, r)
	}
}

// A request that cannot be written ends the load.
func TestLoadMakes(t *testing.T) {
	needLinux(t)
	broken := errors.New("broken")
	o := testLoad(startTestBank(t, ASCII()).addr())
	for want, make := range map[error]func(*message.Writer, []byte, *message.Spec, *Request) (
		[]byte, error){
		broken: func(*message.Writer, []byte, *message.Spec, *Request) ([]byte, error) {
			return nil, broken
		},
		message.ErrFrame: func(*message.Writer, []byte, *message.Spec, *Request) ([]byte, error) {
			return bytes.Repeat([]byte("0"), message.FrameMax+1), nil
		},
		message.ErrFormat: func(w *message.Writer, dst []byte, s *message.Spec, _ *Request) (
			[]byte, error) {
			w.Begin(dst, s, message.FinancialRequest)
			w.Put(11, []byte("4"))
			return w.Finish()
		},
	} {
		o.Make = make
		if _, err := RunLoad(t.Context(), o); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestLoadRefusesNonsense(t *testing.T) {
	good := testLoad("127.0.0.1:1")
	for name, change := range map[string]func(*Load){
		"no connections":    func(o *Load) { o.Connections = 0 },
		"connections":       func(o *Load) { o.Connections = ConnectionsMax + 1 },
		"in flight":         func(o *Load) { o.InFlight = InFlightMax + 1 },
		"nothing in flight": func(o *Load) { o.InFlight = -1 },
		"rate":              func(o *Load) { o.Rate = -1 },
		"no time":           func(o *Load) { o.Duration = 0 },
		"warm-up":           func(o *Load) { o.Warmup = o.Duration },
		"format":            func(o *Load) { o.Format.Spec = "none" },
	} {
		o := good
		change(&o)
		if _, err := RunLoad(t.Context(), o); !errors.Is(err, ErrLoad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadEndsWithItsContextAndItsServer(t *testing.T) {
	needLinux(t)
	o := testLoad(startTestBank(t, ASCII()).addr())
	o.Duration = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := RunLoad(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := ln.Addr().String()
	_ = ln.Close()
	if _, err := RunLoad(t.Context(), testLoad(closed)); err == nil {
		t.Error("nobody listens and all is well")
	}
	o = testLoad(startTestBank(t, formats["bcd"]).addr()) // does not understand ASCII
	if _, err := RunLoad(t.Context(), o); err == nil ||
		!strings.Contains(err.Error(), "iso load: ") {
		t.Errorf("bank that hangs up: %v", err)
	}
}

// The open loop waits at its bound, and what it then never sends has failed.
func TestLoadInFlightFull(t *testing.T) {
	needLinux(t)
	o := testLoad(serveFrames(t, func(int, [][]byte) [][]byte { return nil }))
	o.Connections, o.Rate, o.Drain = 1, 1_000_000, time.Second
	r, err := RunLoad(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != InFlightMax || r.Failed != 200_000 {
		t.Errorf("%d sent, %d failed", r.Sent, r.Failed)
	}
}

func TestBankAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		format, mti, want string
		fields            map[int]string
		answer            map[int]string
	}{
		"purchase": {"iso87_ascii", "0200", "0210", map[int]string{3: "000000", 4: "000000000123",
			7: "0229120001", 11: "000042", 32: "10000001", 41: "T0000001"},
			map[int]string{4: "000000000123", 7: "0229120001", 11: "000042", 15: "0229",
				32: "10000001", 38: "B00001", 39: "00", 41: "T0000001"}},
		"sign-on": {"iso87_bcd", "0800", "0810", map[int]string{7: "0229120001", 11: "000043",
			70: "001"}, map[int]string{11: "000043", 39: "00", 70: "001"}},
		"repeated reversal": {"cups", "0421", "0430", map[int]string{7: "0229120001", 11: "000044"},
			map[int]string{11: "000044", 39: "00"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := message.Named(test.format)
			if err != nil {
				t.Fatal(err)
			}
			mti, err := message.ParseMTI(test.mti)
			if err != nil {
				t.Fatal(err)
			}
			m := message.New(spec, mti)
			if m.CUPS, err = message.NewCUPSHeader("1", "2"); err != nil {
				t.Fatal(err)
			}
			for n, v := range test.fields {
				if err := m.SetText(n, v); err != nil {
					t.Fatal(err)
				}
			}
			frame, err := m.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			teller := clerk{spec: spec}
			out, err := teller.answer(frame)
			if err != nil {
				t.Fatal(err)
			}
			a, err := message.Parse(spec, out)
			if err != nil || a.MTI().String() != test.want {
				t.Fatal(err, a)
			}
			for n, v := range test.answer {
				if got, _ := a.Text(n); got != v {
					t.Errorf("field %d: %q, want %q", n, got, v)
				}
			}
			if _, err := teller.answer(out); !errors.Is(err, errBank) {
				t.Errorf("an answer is answered: %v", err)
			}
			if _, err := teller.answer(frame[:len(frame)-1]); !errors.Is(err, message.ErrFormat) {
				t.Errorf("a short frame is answered: %v", err)
			}
		})
	}
}

// The server of the command prints its address, ends with its input, and breaks connections.
func TestServeBank(t *testing.T) {
	in, stop := io.Pipe()
	read, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- ServeBank(t.Context(), in, out, ASCII()) }()
	var addr string
	if _, err := fmt.Fscanln(read, &addr); err != nil {
		t.Fatal(err)
	}
	c, err := load.Dial(t.Context(), addr, load.HTTP(""), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Send([]byte("00")); err != nil { // half a length
		t.Fatal(err)
	}
	_ = stop.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(); err == nil {
		t.Error("the connection lives on")
	}
	if err := ServeBank(t.Context(), in, out, Format{Spec: "none"}); err == nil {
		t.Error("a bank without a format")
	}
}

func BenchmarkClerk(b *testing.B) {
	spec, _ := message.Named("iso87_ascii")
	var w message.Writer
	frame, err := Purchase(&w, nil, spec, &Request{STAN: 1, Sent: [10]byte([]byte("0229120001")),
		RRN: [12]byte([]byte("000000000001"))})
	if err != nil {
		b.Fatal(err)
	}
	teller := clerk{spec: spec}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := teller.answer(frame); err != nil {
			b.Fatal(err)
		}
	}
}

package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// collector gathers late answers.
type collector struct {
	mu    sync.Mutex
	late  []message
	asked []Key
}

func (l *collector) take(frame []byte, key Key) {
	m, _ := parse(frame)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late, l.asked = append(l.late, m), append(l.asked, key)
}

func (l *collector) all() []message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]message(nil), l.late...)
}

func TestTimeoutIsUnknownAndItsAnswerIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		var late collector
		b.behave = h.take
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Late = late.take })
		asked := purchase(t, l, "a")
		began := time.Now()
		want(t, begin(l, asked), Unknown, ErrTimeout)
		if took := time.Since(began); took != DefaultLimits().AnswerTimeout {
			t.Errorf("took %v", took)
		}
		other := begin(l, purchase(t, l, "b"))
		synctest.Wait()
		held := h.release()
		answer := held[0].m.reply("late")
		copy(answer.key.RRN[:], "000000000042") // given by the bank
		held[0].c.send(answer, answer)
		held[1].c.send(held[1].m.reply("mine"))
		if o := want(t, other, Answered, nil); o.text != "mine" {
			t.Errorf("the other caller got %q", o.text)
		}
		synctest.Wait()
		if got := late.all(); len(got) != 1 || got[0].text != "late" || late.asked[0] != asked.key {
			t.Errorf("late %v for %v", got, late.asked)
		}
		f := l.Counters().Snapshot()
		if f.Late != 1 || f.Unmatched != 1 || f.TimedOut != 1 || f.Unknown != 1 {
			t.Errorf("counted %+v", f)
		}
	})
}

func TestContextEndsAnExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.behave = func(*bankConn, message) {}
		l := virtual(t, b, 1, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m := purchase(t, l, "a")
		_, sent, err := l.Exchange(ctx, m.bytes(), m.key)
		if sent != Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("in flight: %v, %v", sent, err)
		}
		m = purchase(t, l, "b")
		_, sent, err = l.Exchange(ctx, m.bytes(), m.key)
		if sent != NotSent || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended before: %v, %v", sent, err)
		}
		synctest.Wait()
		if b.sawSTAN(m.key.STAN) != 0 {
			t.Error("it was sent all the same")
		}
	})
}

func TestKeysInFlightAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		b.behave = h.take
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Limits.LateKeep = 10 * time.Minute })
		m := request(77, "a")
		first := begin(l, m)
		synctest.Wait()
		blank, other, reversal := m, m, m
		blank.key.Terminal = [8]byte{} // would take the answer to m
		copy(other.key.Terminal[:], "TERM0002")
		reversal.key.Class = 4
		refused := func(name string, m message) {
			t.Helper()
			if _, sent, err := send(l, m); sent != NotSent || !errors.Is(err, ErrDuplicate) {
				t.Errorf("%s: %v, %v", name, sent, err)
			}
		}
		refused("the same", m)
		refused("one that overlaps", blank)
		second, third := begin(l, other), begin(l, reversal)
		synctest.Wait()
		for _, r := range h.release() {
			if r.m.key == m.key {
				continue
			}
			r.c.send(r.m.reply("ok"))
		}
		want(t, second, Answered, nil)
		want(t, third, Answered, nil)
		want(t, first, Unknown, ErrTimeout)
		refused("one whose answer may still come", m)
		<-time.After(10 * time.Minute)
		again := begin(l, m)
		synctest.Wait()
		h.release()[0].c.send(m.reply("ok"))
		want(t, again, Answered, nil)
		f := l.Counters().Snapshot()
		if f.Duplicates != 3 || f.LateForgotten != 1 {
			t.Errorf("counted %+v", f)
		}
	})
}

// A reversal is repeated with the same key until it is answered; any answer will do.
func TestRepeatTakesTheAnswerToAnEarlierAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		var late collector
		b.behave = h.take
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Late = late.take })
		m := request(5, "reversal")
		m.key.Class = 4
		want(t, begin(l, m), Unknown, ErrTimeout)
		repeat := make(chan outcome, 1)
		go func() {
			answer, sent, err := l.Repeat(t.Context(), m.bytes(), m.key)
			got, _ := parse(answer)
			repeat <- outcome{got.text, sent, err}
		}()
		synctest.Wait()
		held := h.release()
		if len(held) != 2 {
			t.Fatalf("the bank has %d", len(held))
		}
		if _, sent, err := l.Repeat(t.Context(), m.bytes(), m.key); sent != NotSent ||
			!errors.Is(err, ErrDuplicate) {
			t.Errorf("two repeats at once: %v, %v", sent, err)
		}
		held[0].c.send(m.reply("first"), m.reply("second"))
		if o := want(t, repeat, Answered, nil); o.text != "first" {
			t.Errorf("got %q", o.text)
		}
		synctest.Wait()
		if len(late.all()) != 0 {
			t.Error("reported as late too")
		}
		if f := l.Counters().Snapshot(); f.Unmatched != 1 {
			t.Errorf("%d unmatched, want the second answer", f.Unmatched)
		}
	})
}

// A repeat that could not be sent does not make the switch forget the first attempt.
func TestRepeatThatWasNotSentKeepsTheLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		var late collector
		b.behave = h.take
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Late = late.take })
		m := request(5, "reversal")
		want(t, begin(l, m), Unknown, ErrTimeout)
		long := append(m.bytes(), 0xEE)
		long[0] = 0xEE // cannot be framed
		for range 3 {
			if _, sent, err := l.Repeat(t.Context(), long, m.key); sent != NotSent ||
				!errors.Is(err, ErrFrame) {
				t.Fatalf("%v, %v", sent, err)
			}
		}
		r := h.release()[0]
		r.c.send(r.m.reply("late"), r.m.reply("again"))
		synctest.Wait()
		if got := late.all(); len(got) != 1 || got[0].text != "late" {
			t.Errorf("late %v", got)
		}
		if n := len(l.table.by); n != 0 {
			t.Errorf("%d keys left", n)
		}
	})
}

func TestWrongAnswersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		b.behave = h.take
		l := virtual(t, b, 1, nil)
		m := request(9, "a")
		copy(m.key.RRN[:], "000000000001")
		ch := begin(l, m)
		synctest.Wait()
		c := h.release()[0].c
		wrong := func(change func(*Key)) message {
			w := m.reply("not yours")
			change(&w.key)
			return w
		}
		c.send(
			wrong(func(k *Key) { copy(k.Terminal[:], "TERM9999") }),
			wrong(func(k *Key) { copy(k.RRN[:], "000000000002") }),
			wrong(func(k *Key) { k.RRN = [12]byte{} }),
			wrong(func(k *Key) { copy(k.Time[:], "1122021501") }),
			wrong(func(k *Key) { k.STAN = 10 }),
			wrong(func(k *Key) { k.Class = 1 }),
		)
		synctest.Wait()
		if f := l.Counters().Snapshot(); f.Wrong != 4 || f.Unmatched != 2 {
			t.Errorf("%d wrong and %d unmatched, want 4 and 2", f.Wrong, f.Unmatched)
		}
		c.send(m.reply("yours"))
		if o := want(t, ch, Answered, nil); o.text != "yours" {
			t.Errorf("got %q", o.text)
		}
	})
}

func TestAnswerMayComeOverAnotherConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.behave = func(c *bankConn, m message) {
			for i := range 2 {
				if other := b.conn(i); other != c {
					other.send(m.reply("ok"))
				}
			}
		}
		l := virtual(t, b, 2, nil)
		for range 10 {
			want(t, begin(l, purchase(t, l, "x")), Answered, nil)
		}
		for i, s := range l.Status() {
			if s.InFlight != 0 {
				t.Errorf("connection %d has %d in flight", i, s.InFlight)
			}
		}
	})
}

func TestLostConnectionIsUnknownOnlyForWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		var late collector
		b.behave = h.take
		l := virtual(t, b, 2, func(cfg *Config) { cfg.Late = late.take })
		one, two := begin(l, purchase(t, l, "a")), begin(l, purchase(t, l, "b"))
		synctest.Wait()
		held := h.release()
		_ = held[0].c.Close()
		lost, kept := one, two
		if held[0].m.text == "b" {
			lost, kept = two, one
		}
		want(t, lost, Unknown, ErrLost)
		// The bank answers over the other connection: late for the first.
		held[1].c.send(held[0].m.reply("too late"), held[1].m.reply("in time"))
		want(t, kept, Answered, nil)
		synctest.Wait()
		if got := late.all(); len(got) != 1 || got[0].text != "too late" {
			t.Errorf("late %v", got)
		}
	})
}

// stalled is a link to a bank that takes the sign-on and then reads n more bytes.
func stalled(t *testing.T, n int, change func(*Config)) (*Link, net.Conn) {
	t.Helper()
	var far net.Conn
	read := make(chan struct{})
	b := newBank()
	l := virtual(t, b, 1, func(cfg *Config) {
		cfg.Protocol = &testProtocol{silent: [SignOff + 1]bool{SignOn: true, Echo: true}}
		cfg.Limits.BackoffMin, cfg.Limits.BackoffMax = time.Hour, time.Hour
		cfg.Dial = func(context.Context, string) (net.Conn, error) {
			var near net.Conn
			near, far = net.Pipe()
			go func() {
				defer close(read)
				_, _ = io.ReadFull(far, make([]byte, n))
			}()
			return near, nil
		}
		if change != nil {
			change(cfg)
		}
	})
	t.Cleanup(func() {
		_ = far.Close()
		<-read
	})
	return l, far
}

// The frames of a batch that the peer has not begun to get were not sent; those that it
// got in part or whole are unknown.
func TestBrokenWriteTellsWhatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := 2 + len(request(1, "x").bytes())
		l, far := stalled(t, size+size/2, nil)
		first := begin(l, request(1, "x"))
		synctest.Wait() // one batch, of which all is read; the next is read in part
		second := begin(l, request(2, "x"))
		synctest.Wait()
		third := begin(l, request(3, "x"))
		synctest.Wait()
		_ = far.Close()
		want(t, first, Unknown, ErrLost)
		want(t, second, Unknown, ErrLost)
		want(t, third, NotSent, ErrLost)
	})
}

// The same within one batch, of which the peer gets one frame and a half.
func TestBrokenBatchTellsWhatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := 2 + len(request(1, "x").bytes())
		l, far := stalled(t, 0, nil)
		var ends []<-chan outcome
		for i := range 5 { // the first is being written, four wait and become one batch
			ends = append(ends, begin(l, request(uint32(i+1), "x")))
			synctest.Wait()
		}
		for _, n := range []int{size, size + size/2} {
			if _, err := io.ReadFull(far, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
		_ = far.Close()
		for i, ch := range ends {
			expected := NotSent
			if i < 3 {
				expected = Unknown
			}
			want(t, ch, expected, ErrLost)
		}
	})
}

func TestPeerThatDoesNotReadFillsOnlyItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := stalled(t, 0, func(cfg *Config) { cfg.Limits.QueueMax = 4 })
		var waiting []<-chan outcome
		for i := range 5 { // one is with the writer, four wait
			waiting = append(waiting, begin(l, request(uint32(i+1), "x")))
			synctest.Wait()
		}
		began := time.Now()
		if _, sent, err := send(l, request(9, "x")); sent != NotSent || !errors.Is(err, ErrQueueFull) {
			t.Fatalf("above the limit: %v, %v", sent, err)
		}
		if time.Since(began) != 0 {
			t.Error("the refusal took time")
		}
		if s := l.Status()[0]; s.Queued != 4 || s.InFlight != 5 {
			t.Errorf("%d queued, %d in flight", s.Queued, s.InFlight)
		}
		for i, ch := range waiting {
			// No byte of the first left either: the pipe takes none.
			o := want(t, ch, NotSent, ErrLost)
			if !strings.Contains(o.err.Error(), "does not read") {
				t.Errorf("exchange %d: %v", i, o.err)
			}
		}
		if took := time.Since(began); took != DefaultLimits().WriteTimeout {
			t.Errorf("the write deadline took %v", took)
		}
		synctest.Wait()
		if f := l.Counters().Snapshot(); f.QueueFull != 1 || f.WriteTimeouts != 1 || f.Lost != 1 {
			t.Errorf("counted %+v", f)
		}
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := stalled(t, 0, func(cfg *Config) { cfg.Limits.QueueBytesMax = 1000 })
		text := strings.Repeat("x", 600)
		for i := range 3 {
			begin(l, request(uint32(i+1), text))
			synctest.Wait()
		}
		if _, sent, err := send(l, request(9, text)); sent != NotSent || !errors.Is(err, ErrQueueFull) {
			t.Fatalf("above the limit: %v, %v", sent, err)
		}
	})
}

// What waits behind a stalled write is taken back when its caller gives up.
func TestQueuedRequestIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := stalled(t, 10, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ends := make(chan outcome, 3)
		for i := range 3 {
			m := request(uint32(i+1), "x")
			go func() {
				_, sent, err := l.Exchange(ctx, m.bytes(), m.key)
				ends <- outcome{itoa(i), sent, err}
			}()
			synctest.Wait()
		}
		for range 3 {
			o := <-ends
			expected := NotSent
			if o.text == "0" {
				expected = Unknown // the writer has it
			}
			if o.sent != expected || !errors.Is(o.err, context.DeadlineExceeded) {
				t.Errorf("exchange %s: %v, %v", o.text, o.sent, o.err)
			}
		}
	})
}

func TestInFlightIsBounded(t *testing.T) {
	for _, c := range []struct {
		name           string
		total, perConn int
		want           int
	}{{"of the link", 3, 100, 3}, {"of each connection", 100, 2, 4}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank()
				var h hold
				b.behave = h.take
				l := virtual(t, b, 2, func(cfg *Config) {
					cfg.Limits.InFlightMax, cfg.Limits.InFlightPerConnMax = c.total, c.perConn
				})
				var all []<-chan outcome
				for range c.want {
					all = append(all, begin(l, purchase(t, l, "x")))
				}
				synctest.Wait()
				_, sent, err := send(l, purchase(t, l, "x"))
				if sent != NotSent || !errors.Is(err, ErrInFlightFull) {
					t.Fatalf("above the limit: %v, %v", sent, err)
				}
				for _, r := range h.release() {
					r.c.send(r.m.reply("ok"))
				}
				for _, ch := range all {
					want(t, ch, Answered, nil)
				}
				again := begin(l, purchase(t, l, "x"))
				synctest.Wait()
				for _, r := range h.release() {
					r.c.send(r.m.reply("ok"))
				}
				want(t, again, Answered, nil)
			})
		})
	}
}

func TestLateMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		var late collector
		b.behave = h.take
		l := virtual(t, b, 1, func(cfg *Config) {
			cfg.Late, cfg.Limits.LateMax = late.take, 3
			cfg.Limits.EchoAfter = time.Hour
		})
		for range 5 {
			want(t, begin(l, purchase(t, l, "x")), Unknown, ErrTimeout)
		}
		for _, r := range h.release() {
			r.c.send(r.m.reply("late"))
		}
		synctest.Wait()
		f := l.Counters().Snapshot()
		if len(late.all()) != 3 || f.LateForgotten != 2 || f.Unmatched != 2 {
			t.Errorf("%d late, counted %+v", len(late.all()), f)
		}
		if n := len(l.table.by); n != 0 {
			t.Errorf("%d keys left", n)
		}
	})
}

// A callback that does not return costs late answers, and nothing else.
func TestSlowLateCallbackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		release := make(chan struct{})
		var l *Link
		taken := 0
		l = virtual(t, b, 1, func(cfg *Config) {
			cfg.Late = func([]byte, Key) { <-release; taken++ }
		})
		now := time.Now()
		for i := range lateQueueMax + 10 {
			q := call{key: Key{Class: 2, STAN: uint32(1000 + i)}}
			e, err := l.table.add(&q, now)
			if err != nil {
				t.Fatal(err)
			}
			e.state.Store(stateSent)
			l.table.giveUp(e, true, ErrTimeout)
			l.answered((*l.up.Load())[0], q.key, []byte("late"))
			synctest.Wait()
		}
		f := l.Counters().Snapshot()
		if f.Late != lateQueueMax+1 || f.LateDropped != 9 {
			t.Errorf("%d late, %d dropped", f.Late, f.LateDropped)
		}
		close(release)
		stop(t, l)
		if taken != lateQueueMax+1 {
			t.Errorf("%d taken", taken)
		}
	})
}

func TestFramesThatCannotBeSent(t *testing.T) {
	b := newBank()
	cfg := baseConfig(b.listen(t), 1)
	cfg.Limits.FrameMax = 100
	l := open(t, cfg)
	for name, frame := range map[string][]byte{"empty": nil, "long": make([]byte, 101),
		"not to be framed": {0xEE}} {
		_, sent, err := l.Exchange(t.Context(), frame, Key{Class: 2, STAN: 1})
		if sent != NotSent || !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v, %v", name, sent, err)
		}
	}
	want(t, begin(l, request(1, "x")), Answered, nil)
}

// The memory of ended exchanges is used again, and never with a rest of the last one.
func TestEntriesAreUsedAgain(t *testing.T) {
	b := newBank()
	l := open(t, baseConfig(b.listen(t), 1))
	for i := range 1000 {
		m := purchase(t, l, itoa(i))
		if text, _, err := send(l, m); err != nil || text != "ok "+itoa(i) {
			t.Fatalf("%q, %v", text, err)
		}
		if _, _, err := l.Exchange(t.Context(), nil, m.key); !errors.Is(err, ErrFrame) {
			t.Fatal(err)
		}
	}
	if l.table.freeLen != 1 || len(l.table.by) != 0 {
		t.Errorf("%d free, %d known", l.table.freeLen, len(l.table.by))
	}
}

// Errors and log lines never hold bytes of a message.
func TestNothingOfAMessageIsTold(t *testing.T) {
	const canary = "6222020000000000"
	var out syncBuilder
	b := newBank()
	b.behave = func(c *bankConn, m message) {
		w := m.reply(canary)
		w.key.Terminal[0] = 'X'
		c.send(w, message{kind: 'A', text: canary}, message{kind: '?', text: canary})
	}
	cfg := baseConfig(b.listen(t), 1)
	cfg.Log = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Limits.AnswerTimeout = 20 * time.Millisecond
	l := open(t, cfg)
	var texts []string
	for range 3 {
		_, _, err := send(l, purchase(t, l, canary))
		texts = append(texts, fmt.Sprint(err))
	}
	m := request(1, canary)
	_, _, err := l.Exchange(t.Context(), append(m.bytes(), make([]byte, 9000)...), m.key)
	texts = append(texts, fmt.Sprint(err))
	stop(t, l)
	all := strings.Join(texts, "\n") + out.String()
	if strings.Contains(all, canary) {
		t.Errorf("told: %s", all)
	}
	if !strings.Contains(all, "dropped") || !strings.Contains(all, "no answer in time") {
		t.Errorf("nothing told: %s", all)
	}
}

// syncBuilder is a strings.Builder for several writers.
type syncBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write appends.
func (s *syncBuilder) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns what was written.
func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

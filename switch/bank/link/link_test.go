package link

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// states returns the states of a history in order.
func states(h []Change) (s []State) {
	for _, c := range h {
		s = append(s, c.State)
	}
	return s
}

// virtual makes a link whose connections are pipes to b, for a bubble of virtual time.
func virtual(t *testing.T, b *bank, n int, change func(*Config)) *Link {
	t.Helper()
	t.Cleanup(b.close)
	cfg := baseConfig("bank", n)
	cfg.Dial = b.dial
	cfg.Limits = Limits{}
	if change != nil {
		change(&cfg)
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, l) })
	synctest.Wait()
	return l
}

func TestExchangeIsAnswered(t *testing.T) {
	b := newBank()
	l := open(t, baseConfig(b.listen(t), 1))
	for i := range 10 {
		m := purchase(t, l, itoa(i))
		if text, sent, err := send(l, m); text != "ok "+itoa(i) || sent != Answered || err != nil {
			t.Fatalf("got %q, %v, %v", text, sent, err)
		}
	}
	if b.managed(SignOn) != 1 {
		t.Errorf("%d sign-ons, want 1", b.managed(SignOn))
	}
	eventually(t, "the last write is counted", func() bool {
		return l.Counters().FramesOut.Load() == 11
	})
	f := l.Counters().Snapshot()
	if f.Exchanges != 11 || f.Answered != 11 || f.FramesIn != 11 ||
		f.Connects != 1 || f.SignOns != 1 || f.BytesOut == 0 || f.BytesIn == 0 {
		t.Errorf("counted %+v", f)
	}
	if l.InFlight() != 0 {
		t.Errorf("%d in flight", l.InFlight())
	}
	stop(t, l)
	if f := l.Counters().Snapshot(); f.Lost != 0 || f.SignOffs != 1 {
		t.Errorf("after an orderly end: %d lost, %d sign-offs", f.Lost, f.SignOffs)
	}
	if s := l.Status()[0]; s.Cause != errFinished.Error() {
		t.Errorf("ended because %q", s.Cause)
	}
}

func TestLinkStatesAreVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var told []State
		l := virtual(t, b, 1, func(cfg *Config) {
			cfg.Changed = func(_ int, c Change) { told = append(told, c.State) }
		})
		if !l.IsUp() {
			t.Fatal("not up")
		}
		b.cut()
		synctest.Wait()
		s := l.Status()[0]
		if s.State != Down || !strings.Contains(s.Cause, "closed the connection") &&
			!strings.Contains(s.Cause, "closed pipe") {
			t.Fatalf("after the cut: %v because %q", s.State, s.Cause)
		}
		if _, sent, err := send(l, request(1, "x")); sent != NotSent || !errors.Is(err, ErrDown) {
			t.Fatalf("while down: %v, %v", sent, err)
		}
		if err := l.WaitUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop(t, l)
		want := []State{Down, Connecting, SigningOn, Up, Down, Connecting, SigningOn, Up,
			Draining, Down}
		s = l.Status()[0]
		if got := states(s.History); !slices.Equal(got, want) {
			t.Errorf("history %v, want %v", got, want)
		}
		if !slices.Equal(told, want[1:]) {
			t.Errorf("told %v", told)
		}
		for i, c := range s.History[1:] {
			if c.Since.Before(s.History[i].Since) {
				t.Errorf("change %d is older than the one before", i+1)
			}
		}
		if _, sent, err := send(l, request(1, "x")); sent != NotSent || !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v, %v", sent, err)
		}
		if err := l.WaitUp(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("WaitUp after the end: %v", err)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	for i := range 3 * historyMax {
		h.add(Change{Cause: itoa(i)})
	}
	all := h.all()
	if len(all) != historyMax || all[historyMax-1].Cause != itoa(3*historyMax-1) {
		t.Fatalf("%d changes, last %q", len(all), all[len(all)-1].Cause)
	}
}

func TestNoTrafficBeforeSignOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var asked []message
		b.manage = func(_ *bankConn, m message) { asked = append(asked, m) }
		l := virtual(t, b, 1, nil)
		if got := l.Status()[0].State; got != SigningOn {
			t.Fatalf("state %v", got)
		}
		if _, sent, err := send(l, request(999, "x")); sent != NotSent || !errors.Is(err, ErrDown) {
			t.Fatalf("before sign-on: %v, %v", sent, err)
		}
		b.conn(0).send(asked[0].reply("00"))
		synctest.Wait()
		if !l.IsUp() || b.sawSTAN(999) != 0 {
			t.Fatal("not up, or traffic came first")
		}
	})
}

func TestRefusedSignOnIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var refuse atomic.Bool
		refuse.Store(true)
		b.manage = func(c *bankConn, m message) {
			if refuse.Load() {
				c.send(m.reply("57"))
				return
			}
			c.send(m.reply("00"))
		}
		l := virtual(t, b, 1, nil)
		s := l.Status()[0]
		if s.State != Down || !strings.Contains(s.Cause, "57") {
			t.Fatalf("%v because %q", s.State, s.Cause)
		}
		refuse.Store(false)
		if err := l.WaitUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := l.Counters().Snapshot(); f.SignOnFailures != 1 || f.SignOns != 1 {
			t.Errorf("counted %+v", f)
		}
	})
}

func TestSignOnThatIsNotAnsweredEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.manage = func(*bankConn, message) {}
		l := virtual(t, b, 1, nil)
		<-time.After(DefaultLimits().SignOnTimeout + time.Millisecond)
		synctest.Wait()
		if s := l.Status()[0]; s.State != Down || !strings.Contains(s.Cause, "sign-on") {
			t.Fatalf("%v because %q", s.State, s.Cause)
		}
	})
}

func TestBackoffIsCappedAndRandom(t *testing.T) {
	l := Limits{BackoffMin: 100 * time.Millisecond, BackoffMax: 10 * time.Second}
	for _, c := range []struct {
		n      int
		random float64
		want   time.Duration
	}{
		{0, 0, 50 * time.Millisecond}, {0, 0.5, 75 * time.Millisecond},
		{1, 0, 100 * time.Millisecond}, {3, 0, 400 * time.Millisecond},
		{7, 0, 5 * time.Second}, {1000, 0, 5 * time.Second}, {62, 0.5, 7500 * time.Millisecond},
	} {
		if got := l.backoff(c.n, c.random); got != c.want {
			t.Errorf("pause %d with %v is %v, want %v", c.n, c.random, got, c.want)
		}
	}
	if got := l.backoff(9, 0.999999); got > 10*time.Second {
		t.Errorf("pause %v is above the maximum", got)
	}
}

// A bank that takes every sign-on and hangs up at once is not stormed: the back-off starts
// anew only after a connection was up for long.
func TestReconnectsDoNotStorm(t *testing.T) {
	for _, kind := range []string{"refuses", "hangs up", "hangs up after sign-on"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank()
				dials := 0
				l := virtual(t, b, 1, func(cfg *Config) {
					cfg.Rand = func() float64 { return 0 }
					cfg.Dial = func(context.Context, string) (net.Conn, error) {
						dials++
						if kind == "refuses" {
							return nil, errors.New("connection refused")
						}
						near, far := net.Pipe()
						if kind == "hangs up" {
							_ = far.Close()
							return near, nil
						}
						b.serve(far)
						return near, nil
					}
					b.manage = func(c *bankConn, m message) {
						c.send(m.reply("00"))
						if m.text == SignOn.String() {
							_ = c.Close()
						}
					}
				})
				<-time.After(10 * time.Minute)
				synctest.Wait()
				// 0.1 + 0.2 + … + 12.8 s, then 15 s each.
				if dials < 30 || dials > 60 {
					t.Errorf("%d attempts in 10 minutes, want about 45", dials)
				}
				if l.IsUp() {
					t.Error("up")
				}
			})
		})
	}
}

func TestBackoffStartsAnewAfterALongConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Rand = func() float64 { return 0 } })
		for range 5 {
			<-time.After(DefaultLimits().BackoffMax)
			synctest.Wait()
			began := time.Now()
			b.cut()
			synctest.Wait()
			if err := l.WaitUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != 100*time.Millisecond {
				t.Fatalf("up again after %v, want 100ms", took)
			}
		}
	})
}

func TestEchoKeepsAnIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		l := virtual(t, b, 1, nil)
		<-time.After(5*time.Minute + time.Second)
		synctest.Wait()
		if n := b.managed(Echo); n != 10 {
			t.Errorf("%d echoes in 5 minutes, want 10", n)
		}
		if !l.IsUp() || b.opened() != 1 {
			t.Errorf("up %v, %d connections", l.IsUp(), b.opened())
		}
		// Traffic makes echoes unnecessary.
		for range 30 {
			<-time.After(10 * time.Second)
			if _, _, err := send(l, purchase(t, l, "x")); err != nil {
				t.Fatal(err)
			}
		}
		if n := b.managed(Echo); n != 10 {
			t.Errorf("%d echoes after 5 minutes of traffic, want 10", n)
		}
		if f := l.Counters().Snapshot(); f.Echoes != 10 {
			t.Errorf("%d counted", f.Echoes)
		}
	})
}

// A half-open connection: the bank is gone and no packet says so.
func TestUnansweredEchoTakesTheConnectionDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var mute atomic.Bool
		b.manage = func(c *bankConn, m message) {
			if !mute.Load() {
				c.send(m.reply("00"))
			}
		}
		var h hold
		b.behave = h.take
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Limits.AnswerTimeout = 10 * time.Minute })
		mute.Store(true)
		pending := begin(l, purchase(t, l, "x"))
		d := DefaultLimits()
		<-time.After(d.EchoAfter + d.EchoTimeout - time.Millisecond)
		synctest.Wait()
		if !l.IsUp() {
			t.Fatal("down too early")
		}
		<-time.After(2 * time.Millisecond)
		synctest.Wait()
		if s := l.Status()[0]; s.State != Down || !strings.Contains(s.Cause, "echo") {
			t.Fatalf("%v because %q", s.State, s.Cause)
		}
		want(t, pending, Unknown, ErrLost)
		if f := l.Counters().Snapshot(); f.EchoesUnanswered != 1 || f.Lost != 1 {
			t.Errorf("counted %+v", f)
		}
	})
}

// A loss is noticed at once also while the line itself waits for an echo or a sign-on.
func TestLossDuringLinkManagement(t *testing.T) {
	for _, what := range []Management{SignOn, Echo} {
		t.Run(what.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank()
				b.manage = func(c *bankConn, m message) {
					if m.text != what.String() {
						c.send(m.reply("00"))
					}
				}
				var h hold
				b.behave = h.take
				l := virtual(t, b, 1, func(cfg *Config) { cfg.Limits.AnswerTimeout = time.Hour })
				pending := begin(l, request(1, "x"))
				if what == Echo {
					<-time.After(DefaultLimits().EchoAfter + time.Second)
				}
				synctest.Wait()
				began := time.Now()
				b.cut()
				synctest.Wait()
				if s := l.Status()[0]; s.State != Down {
					t.Errorf("still %v", s.State)
				}
				o := <-pending
				if what == Echo && (o.sent != Unknown || !errors.Is(o.err, ErrLost)) {
					t.Errorf("%v, %v", o.sent, o.err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("noticed after %v", took)
				}
			})
		})
	}
}

func TestProtocolWithoutLinkManagement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		l := virtual(t, b, 1, func(cfg *Config) {
			cfg.Protocol = &testProtocol{silent: [SignOff + 1]bool{SignOn: true, Echo: true,
				SignOff: true}}
		})
		<-time.After(10 * time.Minute)
		if _, _, err := send(l, purchase(t, l, "x")); err != nil {
			t.Fatal(err)
		}
		stop(t, l)
		if b.managed(SignOn)+b.managed(Echo)+b.managed(SignOff) != 0 {
			t.Error("management messages came")
		}
	})
}

func TestPeerSignOffDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		b.behave = h.take
		l := virtual(t, b, 1, nil)
		pending := begin(l, purchase(t, l, "x"))
		synctest.Wait()
		b.conn(0).send(message{kind: 'M', key: Key{Class: 8, STAN: 7}, text: SignOff.String()})
		synctest.Wait()
		if s := l.Status()[0]; s.State != Draining || !strings.Contains(s.Cause, "signed off") {
			t.Fatalf("%v because %q", s.State, s.Cause)
		}
		if _, sent, err := send(l, purchase(t, l, "y")); sent != NotSent || !errors.Is(err, ErrDown) {
			t.Fatalf("while draining: %v, %v", sent, err)
		}
		for _, r := range h.release() {
			r.c.send(r.m.reply("late but fine"))
		}
		want(t, pending, Answered, nil)
		if err := l.WaitUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b.opened() != 2 || b.managed(SignOn) != 2 || b.managed(SignOff) != 0 {
			t.Errorf("%d connections, %d sign-ons, %d sign-offs", b.opened(), b.managed(SignOn),
				b.managed(SignOff))
		}
	})
}

func TestShutdownDrainsAndSignsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		b.behave = h.take
		l := virtual(t, b, 2, nil)
		first, second := begin(l, purchase(t, l, "a")), begin(l, purchase(t, l, "b"))
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- l.Shutdown(t.Context()) }()
		synctest.Wait()
		if _, sent, err := send(l, purchase(t, l, "c")); sent != NotSent ||
			!errors.Is(err, ErrDraining) {
			t.Fatalf("while draining: %v, %v", sent, err)
		}
		for _, r := range h.release() {
			r.c.send(r.m.reply("ok"))
		}
		want(t, first, Answered, nil)
		want(t, second, Answered, nil)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if b.managed(SignOff) != 2 {
			t.Errorf("%d sign-offs, want 2", b.managed(SignOff))
		}
	})
}

func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.behave = func(*bankConn, message) {} // never answers
		b.manage = func(c *bankConn, m message) {
			if m.text != SignOff.String() {
				c.send(m.reply("00"))
			}
		}
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Limits.AnswerTimeout = time.Hour })
		pending := begin(l, purchase(t, l, "a"))
		synctest.Wait()
		began := time.Now()
		if err := l.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := DefaultLimits()
		if took := time.Since(began); took > d.DrainTimeout+d.SignOffTimeout+2*time.Second {
			t.Errorf("took %v", took)
		}
		want(t, pending, Unknown, ErrLost)
	})
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		b.behave = func(*bankConn, message) {}
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Limits.AnswerTimeout = time.Hour })
		pending := begin(l, purchase(t, l, "a"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := l.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		want(t, pending, Unknown, ErrLost)
	})
}

func TestShutdownWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := virtual(t, newBank(), 1, func(cfg *Config) {
			cfg.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		began := time.Now()
		if err := l.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

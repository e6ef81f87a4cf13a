package link

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
)

// end is how one exchange of a fault test ended.
type end struct {
	stan uint32
	outcome
}

// drive makes exchanges from several goroutines and returns how they ended.
func drive(t *testing.T, l *Link, workers, each int) []end {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var ends []end
	for w := range workers {
		all.Go(func() {
			for i := range each {
				stan, err := l.Number(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				text, sent, err := send(l, request(stan, itoa(w*each+i)))
				if sent == Answered && (err != nil || text != "ok "+itoa(w*each+i)) {
					t.Errorf("exchange %d was answered with %q, %v", stan, text, err)
				}
				if (sent == Answered) != (err == nil) {
					t.Errorf("exchange %d: %v with error %v", stan, sent, err)
				}
				mu.Lock()
				ends = append(ends, end{stan, outcome{text, sent, err}})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return ends
}

// honest checks what was said about each exchange against what the bank saw.
func honest(t *testing.T, b *bank, l *Link, ends []end) map[Sent]int {
	t.Helper()
	counts := make(map[Sent]int)
	for _, e := range ends {
		counts[e.sent]++
		saw := b.sawSTAN(e.stan)
		if e.sent == NotSent && saw != 0 {
			t.Errorf("exchange %d was said to be not sent, and the bank saw it %d times: %v",
				e.stan, saw, e.err)
		}
		if e.sent == Answered && saw == 0 {
			t.Errorf("exchange %d was answered, and the bank did not see it", e.stan)
		}
	}
	f := l.Counters().Snapshot()
	if f.Exchanges != f.Answered+f.NotSent+f.Unknown {
		t.Errorf("%d exchanges, %d answered, %d not sent, %d unknown", f.Exchanges, f.Answered,
			f.NotSent, f.Unknown)
	}
	if n := l.InFlight(); n != 0 {
		t.Errorf("%d in flight at the end", n)
	}
	return counts
}

// proxied is a link with n connections to a bank behind a fault proxy.
func proxied(t *testing.T, n int, change func(*Config)) (*bank, *faultproxy.Proxy, *Link) {
	t.Helper()
	b := newBank()
	p, err := faultproxy.Start(b.listen(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := baseConfig(p.Addr(), n)
	cfg.Limits.AnswerTimeout = 250 * time.Millisecond
	cfg.Limits.SignOnTimeout, cfg.Limits.SignOffTimeout = time.Second, 100*time.Millisecond
	cfg.Limits.DrainTimeout = 500 * time.Millisecond
	cfg.Limits.EchoAfter, cfg.Limits.EchoTimeout = 300*time.Millisecond, 200*time.Millisecond
	cfg.Limits.BackoffMin, cfg.Limits.BackoffMax = time.Millisecond, 5*time.Millisecond
	if change != nil {
		change(&cfg)
	}
	l := open(t, cfg)
	allUp(t, l)
	return b, p, l
}

func TestFaultsOfTheNetwork(t *testing.T) {
	for _, f := range []faultproxy.Fault{
		{Kind: faultproxy.None},
		{Kind: faultproxy.DropRequest, Every: 5},
		{Kind: faultproxy.DropReply, Every: 5},
		{Kind: faultproxy.CutReply, Every: 5},
		{Kind: faultproxy.Reset, Every: 5},
		{Kind: faultproxy.Delay, Every: 5, Wait: 30 * time.Millisecond},
		{Kind: faultproxy.Delay, Every: 8, Wait: 251 * time.Millisecond},
		{Kind: faultproxy.DelayRequest, Every: 5, Wait: 30 * time.Millisecond},
		{Kind: faultproxy.Duplicate, Every: 3, Wait: time.Millisecond},
		{Kind: faultproxy.HalfClose, Every: 5},
		{Kind: faultproxy.Split, Size: 1},
		{Kind: faultproxy.Split, Size: 7, Wait: 100 * time.Microsecond},
		{Kind: faultproxy.Stall, Every: 20, Times: 2},
	} {
		t.Run(f.Kind.String()+" "+f.Wait.String(), func(t *testing.T) {
			b, p, l := proxied(t, 2, nil)
			p.Inject(f)
			ends := drive(t, l, 4, 25)
			if f.Kind != faultproxy.None && p.Count(f.Kind) == 0 {
				t.Error("the fault did not happen")
			}
			p.Clear()
			eventually(t, "the link works again", func() bool {
				_, sent, _ := send(l, purchase(t, l, "again"))
				return sent == Answered
			})
			stop(t, l)
			counts := honest(t, b, l, ends)
			t.Logf("%v", counts)
			switch f.Kind {
			case faultproxy.None, faultproxy.Duplicate, faultproxy.Split:
				if counts[Answered] != len(ends) {
					t.Errorf("outcomes %v, want all answered", counts)
				}
			case faultproxy.DropReply, faultproxy.CutReply, faultproxy.Reset:
				if counts[Unknown] == 0 {
					t.Errorf("outcomes %v, want some unknown", counts)
				}
			}
		})
	}
}

// The bank answers right around the moment at which the caller gives up: the answer goes
// to the caller or to Late, never to both, never to neither.
func TestAnswerAtTheTimeout(t *testing.T) {
	var late collector
	b := newBank()
	b.behave = func(c *bankConn, m message) {
		b.work.Go(func() {
			wait := 10*time.Millisecond + time.Duration(int(m.key.STAN%41)-20)*50*time.Microsecond
			<-time.After(wait)
			c.send(m.reply("ok"))
		})
	}
	cfg := baseConfig(b.listen(t), 4)
	cfg.Late, cfg.Limits.AnswerTimeout = late.take, 10*time.Millisecond
	l := open(t, cfg)
	allUp(t, l)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 30 {
				_, _, _ = send(l, purchase(t, l, "x"))
			}
		})
	}
	all.Wait()
	eventually(t, "all answers have come", func() bool {
		return l.Counters().Late.Load() == l.Counters().Unknown.Load()
	})
	stop(t, l)
	f := l.Counters().Snapshot()
	if int(f.Late) != len(late.all()) || f.Late != f.Unknown || f.Unmatched+f.Wrong != 0 {
		t.Errorf("%d unknown, %d late, %d told, %d unmatched", f.Unknown, f.Late,
			len(late.all()), f.Unmatched)
	}
	t.Logf("%d answered, %d late", f.Answered, f.Late)
}

// Connections are cut again and again under load.
func TestReconnectStorm(t *testing.T) {
	before := runtime.NumGoroutine()
	b, p, l := proxied(t, 4, nil)
	var ends []end
	var work sync.WaitGroup
	var over atomic.Bool
	work.Go(func() {
		for !over.Load() {
			ends = append(ends, drive(t, l, 8, 20)...)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 60 {
		<-tick.C
		p.Cut()
	}
	over.Store(true)
	work.Wait()
	eventually(t, "all are up again", func() bool { return len(*l.up.Load()) == 4 })
	stop(t, l)
	counts := honest(t, b, l, ends)
	if counts[Answered] == 0 {
		t.Errorf("outcomes %v", counts)
	}
	b.close()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+2 })
	t.Logf("%v, %d connects", counts, l.Counters().Connects.Load())
}

func TestBankIsAwayForAWhile(t *testing.T) {
	_, p, l := proxied(t, 2, nil)
	p.Down()
	eventually(t, "the link is down", func() bool { return !l.IsUp() })
	if _, sent, err := send(l, purchase(t, l, "x")); sent != NotSent || !errors.Is(err, ErrDown) {
		t.Errorf("while away: %v, %v", sent, err)
	}
	p.Up()
	allUp(t, l)
	want(t, begin(l, purchase(t, l, "x")), Answered, nil)
}

// A bank that sends what nobody asked for does not stop the answers.
func TestFloodOfAnswers(t *testing.T) {
	b := newBank()
	b.behave = func(c *bankConn, m message) {
		flood := slices.Repeat([]message{m.reply("?")}, 200)
		for i := range flood {
			flood[i].key.STAN = uint32(500_000 + i)
		}
		c.send(append(flood, m.reply("ok "+m.text))...)
	}
	l := open(t, baseConfig(b.listen(t), 1))
	ends := drive(t, l, 4, 50)
	counts := honest(t, b, l, ends)
	if counts[Answered] != 200 {
		t.Errorf("outcomes %v", counts)
	}
	if n := l.Counters().Unmatched.Load(); n != 200*200 {
		t.Errorf("%d unmatched", n)
	}
}

// One of two banks reads nothing: the exchanges with the other are not slower for it.
func TestSlowBankDoesNotSlowAnother(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var taken []net.Conn
	var accept sync.WaitGroup
	accept.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			taken = append(taken, nc)
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		accept.Wait()
		for _, nc := range taken {
			_ = nc.Close()
		}
	})
	slow := baseConfig(ln.Addr().String(), 1)
	slow.Protocol = &testProtocol{silent: [SignOff + 1]bool{SignOn: true, Echo: true, SignOff: true}}
	slow.Limits.WriteTimeout, slow.Limits.QueueMax = 500*time.Millisecond, 16
	slow.Limits.AnswerTimeout, slow.Limits.DrainTimeout = time.Minute, 10*time.Millisecond
	bad := open(t, slow)
	b := newBank()
	good := open(t, baseConfig(b.listen(t), 1))

	filler := string(make([]byte, 8000))
	cutOff := func() bool { return bad.Counters().WriteTimeouts.Load() > 0 }
	var flood sync.WaitGroup
	flood.Go(func() {
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for i := uint32(1); !cutOff(); i++ {
			begin(bad, request(i, filler))
			<-tick.C
		}
	})
	worst := time.Duration(0)
	for !cutOff() {
		began := time.Now()
		want(t, begin(good, purchase(t, good, "x")), Answered, nil)
		worst = max(worst, time.Since(began))
	}
	flood.Wait()
	if worst > 300*time.Millisecond {
		t.Errorf("an exchange with the good bank took %v", worst)
	}
	stop(t, bad)
	eventually(t, "every exchange has ended", func() bool {
		f := bad.Counters().Snapshot()
		return f.Exchanges == f.NotSent+f.Unknown && f.QueueFull > 0
	})
}

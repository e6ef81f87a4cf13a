package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRoundRobinSpreads(t *testing.T) {
	b := newBank()
	counts := make([]int, 4)
	b.behave = func(c *bankConn, m message) {
		for i := range counts {
			if b.conn(i) == c {
				b.mu.Lock()
				counts[i]++
				b.mu.Unlock()
			}
		}
		c.send(m.reply("ok"))
	}
	l := open(t, baseConfig(b.listen(t), 4))
	allUp(t, l)
	for range 100 {
		if _, _, err := send(l, purchase(t, l, "x")); err != nil {
			t.Fatal(err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, n := range counts {
		if n != 25 {
			t.Errorf("connection %d had %d of 100", i, n)
		}
	}
}

func TestPrimaryCarriesAllUntilItIsLost(t *testing.T) {
	primary, secondary := newBank(), newBank()
	cfg := baseConfig(primary.listen(t), 1)
	cfg.Addresses = append(cfg.Addresses, secondary.listen(t))
	cfg.Balance = Primary
	cfg.Limits.BackoffMin, cfg.Limits.BackoffMax = time.Hour, time.Hour
	l := open(t, cfg)
	allUp(t, l)
	made := 0
	count := func(b *bank) int {
		n := 0
		for stan := range uint32(made + 10) {
			n += b.sawSTAN(stan)
		}
		return n
	}
	for range 20 {
		made++
		if _, _, err := send(l, purchase(t, l, "x")); err != nil {
			t.Fatal(err)
		}
	}
	if count(primary) != 20 || count(secondary) != 0 {
		t.Fatalf("primary %d, secondary %d", count(primary), count(secondary))
	}
	primary.cut()
	eventually(t, "the primary is down", func() bool { return l.Status()[0].State == Down })
	for range 20 {
		made++
		if _, _, err := send(l, purchase(t, l, "x")); err != nil {
			t.Fatal(err)
		}
	}
	if count(secondary) != 20 {
		t.Fatalf("secondary %d", count(secondary))
	}
}

func TestSignOnceForTheWholeLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		l := virtual(t, b, 4, func(cfg *Config) { cfg.SignOnce = true })
		if b.managed(SignOn) != 1 || len(*l.up.Load()) != 4 {
			t.Fatalf("%d sign-ons, %d up", b.managed(SignOn), len(*l.up.Load()))
		}
		_ = b.conn(0).Close()
		<-time.After(time.Minute)
		synctest.Wait()
		if b.managed(SignOn) != 1 || len(*l.up.Load()) != 4 {
			t.Fatalf("after a loss: %d sign-ons, %d up", b.managed(SignOn), len(*l.up.Load()))
		}
		b.cut()
		<-time.After(time.Minute)
		synctest.Wait()
		if b.managed(SignOn) != 2 {
			t.Fatalf("after the loss of all: %d sign-ons", b.managed(SignOn))
		}
		stop(t, l)
		if b.managed(SignOff) != 1 {
			t.Errorf("%d sign-offs, want 1", b.managed(SignOff))
		}
	})
}

// Where one sign-on opens the link, one sign-off of the bank closes all of it.
func TestPeerSignOffForTheWholeLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		l := virtual(t, b, 3, func(cfg *Config) { cfg.SignOnce = true })
		b.conn(1).send(message{kind: 'M', key: Key{Class: 8, STAN: 7}, text: SignOff.String()})
		synctest.Wait()
		<-time.After(10 * time.Millisecond)
		synctest.Wait()
		for i, s := range l.Status() {
			if s.State != Down || !strings.Contains(s.Cause, "signed off") {
				t.Errorf("connection %d: %v because %q", i, s.State, s.Cause)
			}
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if b.managed(SignOn) != 2 || len(*l.up.Load()) != 3 {
			t.Errorf("%d sign-ons, %d up", b.managed(SignOn), len(*l.up.Load()))
		}
	})
}

func TestShutdownDoesNotWaitForAStuckCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var h hold
		b.behave = h.take
		release := make(chan struct{})
		l := virtual(t, b, 1, func(cfg *Config) { cfg.Late = func([]byte, Key) { <-release } })
		want(t, begin(l, purchase(t, l, "x")), Unknown, ErrTimeout)
		r := h.release()[0]
		r.c.send(r.m.reply("late"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "callback") {
			t.Errorf("Shutdown: %v", err)
		}
		close(release)
		stop(t, l)
	})
}

func TestPrepareComesBeforeTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var ready, fail atomic.Bool
		fail.Store(true)
		l := virtual(t, b, 1, func(cfg *Config) {
			cfg.Prepare = func(ctx context.Context, exchange Exchanger) error {
				m := request(500000, "keys, please")
				answer, sent, err := exchange(ctx, m.bytes(), m.key)
				if sent != Answered {
					return err
				}
				if fail.Load() {
					return errors.New("check value differs")
				}
				got, err := parse(answer)
				ready.Store(got.text == "ok keys, please")
				return err
			}
		})
		if s := l.Status()[0]; l.IsUp() || !strings.Contains(s.Cause, "check value") {
			t.Fatalf("up %v because %q", l.IsUp(), s.Cause)
		}
		fail.Store(false)
		if err := l.WaitUp(t.Context()); err != nil || !ready.Load() {
			t.Fatal(ready.Load(), err)
		}
	})
}

func TestOpenRefusesBadConfigurations(t *testing.T) {
	many := make([]string, connectionsPerLinkMax+1)
	for name, change := range map[string]func(*Config){
		"no name":        func(c *Config) { c.Name = "" },
		"no address":     func(c *Config) { c.Addresses = nil },
		"many addresses": func(c *Config) { c.Addresses = many },
		"no framing":     func(c *Config) { c.Framing = nil },
		"no protocol":    func(c *Config) { c.Protocol = nil },
		"no reserver":    func(c *Config) { c.Reserver = nil },
		"negative":       func(c *Config) { c.Limits.QueueMax = -1 },
		"negative time":  func(c *Config) { c.Limits.EchoAfter = -1 },
		"big block":      func(c *Config) { c.NumberBlock = numberBlockMax + 1 },
		"back-off":       func(c *Config) { c.Limits.BackoffMin = time.Hour },
	} {
		cfg := baseConfig("127.0.0.1:1", 1)
		change(&cfg)
		if l, err := Open(cfg); err == nil {
			stop(t, l)
			t.Errorf("%s: accepted", name)
		}
	}
}

// A bank may ask too: its requests reach the Handler, and never stop the reading of answers.
func TestRequestsOfTheBank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		var answers []message
		b.behave = func(c *bankConn, m message) { c.send(m.reply("ok")) }
		var l *Link
		release := make(chan struct{})
		h := &echoHandler{}
		h.behave = func(r *Request, m message) {
			<-release
			_, _, err := send(l, purchase(t, l, "asked back"))
			_ = r.Answer(m.reply(fmt.Sprint(err)).bytes())
		}
		l = virtual(t, b, 1, func(cfg *Config) {
			cfg.Handler = h
			cfg.Limits.InFlightPerConnMax = 4
			cfg.Dial = func(context.Context, string) (net.Conn, error) {
				near, far := net.Pipe()
				b.serve(&listener{Conn: far, heard: func(m message) { answers = append(answers, m) }})
				return near, nil
			}
		})
		for i := range 6 {
			b.conn(0).send(request(uint32(i+1), "notice"))
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		counts := make(map[string]int)
		for _, m := range answers {
			counts[m.text]++
		}
		if counts["<nil>"] != 4 || counts["refused: "+ErrInFlightFull.Error()] != 2 {
			t.Errorf("answers %v", counts)
		}
		f := l.Counters().Snapshot()
		if f.Requests != 4 || f.RequestsRefused != 2 || f.Answers != 6 {
			t.Errorf("counted %+v", f)
		}
	})
}

func TestLinkWithoutHandlerDropsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		l := virtual(t, b, 1, nil)
		for i := range 5 {
			b.conn(0).send(request(uint32(i+1), "notice"))
		}
		synctest.Wait()
		if f := l.Counters().Snapshot(); f.RequestsRefused != 5 {
			t.Errorf("%d refused, want 5", f.RequestsRefused)
		}
		if busy := l.st.desk.total; busy != 0 {
			t.Errorf("%d still on the desk", busy)
		}
	})
}

// listener hands the answers that are read from a connection to heard as well.
type listener struct {
	net.Conn
	heard func(m message)
	rest  []byte
}

// Read reads and listens.
func (l *listener) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.rest = append(l.rest, p[:n]...)
	for len(l.rest) >= 2 {
		size := int(l.rest[0])<<8 | int(l.rest[1])
		if len(l.rest) < 2+size {
			break
		}
		if m, err := parse(l.rest[2 : 2+size]); err == nil && m.kind == 'A' {
			l.heard(m)
		}
		l.rest = l.rest[2+size:]
	}
	return n, err
}

var _ io.Reader = (*listener)(nil)

package link

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// chaos is a bank that does everything wrong, from a seed.
type chaos struct {
	bank *bank
	mu   sync.Mutex
	rng  *rand.Rand
	sent int // answers made so far: each has a text of its own
}

func (c *chaos) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

// answer makes an answer with a text that no other has.
func (c *chaos) answer(m message) message {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	return m.reply(fmt.Sprintf("%s#%d", m.text, c.sent))
}

// any returns some connection.
func (c *chaos) any() *bankConn {
	return c.bank.conn(c.draw(c.bank.opened()))
}

func (c *chaos) later(d time.Duration, f func()) {
	c.bank.work.Go(func() {
		<-time.After(d)
		f()
	})
}

func (c *chaos) behave(from *bankConn, m message) {
	reply := c.answer(m)
	switch c.draw(12) {
	case 0: // nothing
	case 1: // twice
		from.send(reply, c.answer(m))
	case 2: // twice, the second much later
		from.send(reply)
		c.later(time.Duration(c.draw(60))*time.Second, func() { c.any().send(c.answer(m)) })
	case 3: // another terminal's, then the right one
		wrong := c.answer(m)
		wrong.key.Terminal[0] ^= 0x20
		from.send(wrong, reply)
	case 4: // around the time-out
		c.later(29*time.Second+time.Duration(c.draw(2000))*time.Millisecond,
			func() { from.send(reply) })
	case 5: // late, somewhere
		c.later(time.Duration(31+c.draw(30))*time.Second, func() { c.any().send(reply) })
	case 6: // over another connection
		c.any().send(reply)
	case 7: // cut, without or with an answer on the way
		if c.draw(3) == 0 {
			from.send(reply)
		}
		if c.draw(10) == 0 {
			_ = from.Close()
		}
	case 8: // garbage before it
		from.send(message{kind: '?', text: "garbage"}, message{kind: 'A'}, reply)
	default:
		from.send(reply)
	}
}

// ledger notes who got which answer.
type ledger struct {
	mu   sync.Mutex
	got  map[string]string
	errs []string
}

func (l *ledger) note(text, who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.got[text]; ok {
		l.errs = append(l.errs, fmt.Sprintf("answer %s reached %s and %s", text, before, who))
	}
	l.got[text] = who
}

func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, fmt.Sprintf(format, args...))
}

// caller makes exchanges and repeats what ended as unknown, like a reversal.
func caller(l *Link, book *ledger, rng *rand.Rand, name string, rounds int) {
	for i := range rounds {
		stan, err := l.Number(context.Background())
		if err != nil {
			book.fault("%v", err)
			return
		}
		m := request(stan, fmt.Sprintf("%s/%d", name, i))
		exchange := l.Exchange
		for attempt := range 3 {
			ctx, cancel := context.WithTimeout(context.Background(),
				time.Duration(1+rng.IntN(60_000))*time.Millisecond)
			answer, sent, err := exchange(ctx, m.bytes(), m.key)
			cancel()
			who := fmt.Sprintf("%s/%d attempt %d", name, i, attempt)
			if (sent == Answered) != (err == nil) {
				book.fault("%s: %v with %v", who, sent, err)
			}
			if sent == Answered {
				got, _ := parse(answer)
				if !strings.HasPrefix(got.text, m.text+"#") || got.key != m.key {
					book.fault("%s got %q", who, got.text)
				}
				book.note(got.text, who)
				break
			}
			if sent == Unknown {
				exchange = l.Repeat
			}
			<-time.After(time.Duration(rng.IntN(5000)) * time.Millisecond)
		}
	}
}

// Every exchange ends in exactly one outcome, and no answer reaches two callers, or a
// caller and the late callback, whatever the bank does.
func TestEveryExchangeEndsOnceWhateverTheBankDoes(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 5
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaosRun(t, seed) })
		})
	}
}

func chaosRun(t *testing.T, seed uint64) {
	book := &ledger{got: make(map[string]string)}
	b := newBank()
	c := &chaos{bank: b, rng: rand.New(rand.NewPCG(seed, 0))}
	b.behave = c.behave
	l := virtual(t, b, 3, func(cfg *Config) {
		cfg.Balance = Balance(seed % 2)
		cfg.Limits.QueueMax = 8
		cfg.Limits.InFlightMax = 20
		cfg.Late = func(frame []byte, key Key) {
			m, _ := parse(frame)
			if m.key != key {
				book.fault("late answer %v for %v", m.key, key)
			}
			book.note(m.text, "late")
		}
	})
	var callers sync.WaitGroup
	for i := range 24 {
		callers.Go(func() {
			caller(l, book, rand.New(rand.NewPCG(seed, uint64(i+1))), itoa(i), 20)
		})
	}
	callers.Wait()
	<-time.After(2 * time.Minute) // what is late comes
	stop(t, l)
	for _, e := range book.errs {
		t.Error(e)
	}
	f := l.Counters().Snapshot()
	if f.Exchanges != f.Answered+f.NotSent+f.Unknown || l.InFlight() != 0 {
		t.Errorf("%d in flight; counted %+v", l.InFlight(), f)
	}
	late := 0
	for _, who := range book.got {
		if who == "late" {
			late++
		}
	}
	if late != int(f.Late) || f.Answered == 0 || f.Unknown == 0 || f.Late == 0 {
		t.Errorf("%d late told; counted %+v", late, f)
	}
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// FAULTS.md row 13: kill -9 in the middle of bank transactions, at named points and at
// random. Each test ends with the banks' books against the ledger.

// bankVictim is a transaction in the middle of which the switch dies.
type bankVictim struct {
	name string
	kind pos.Kind
	// reverses: the terminal takes it back after the restart, else it says it again.
	reverses bool
}

var bankVictims = []bankVictim{
	{"purchase, said again", pos.Purchase, false},
	{"purchase, reversed", pos.Purchase, true},
	{"void, reversed", pos.Void, true},
	{"refund, said again", pos.Refund, false},
	{"offline sale, said again", pos.OfflineSale, false},
}

// bankPoint is a failpoint of the bank edge.
type bankPoint struct {
	name string
	// doubtful: only what the bank does not answer passes it. advices pass it too.
	doubtful, advices bool
	// again is the answer to a purchase that is said again after the restart.
	again string
}

var bankPoints = []bankPoint{
	{name: "bank_begun", again: "98"},
	{name: "bank_forwarded", again: "98"},
	{name: "bank_committed", again: "00"},
	{name: "bank_doubted", doubtful: true, again: "98"},
	{name: "bank_told", doubtful: true, advices: true, again: "98"},
	{name: "bank_done", doubtful: true, advices: true, again: "98"},
}

// TestFault13Killed: the switch kills itself at each named point of a transaction's life,
// for each kind of transaction. After the restart all that is due is done, the terminal gets
// the right answer, and nothing is executed twice.
func TestFault13Killed(t *testing.T) {
	t.Parallel()
	for _, p := range bankPoints {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.kill(t)
		})
	}
}

func (p *bankPoint) kill(t *testing.T) {
	var b bankhost.Behaviour
	if p.doubtful {
		b.Rules = []bankhost.Rule{{Kind: "purchase", AmountEnds: "74", Times: 1,
			Effect: bankhost.LoseAnswer},
			{Kind: "void", Times: 1, Effect: bankhost.LoseAnswer},
			{Kind: "refund", Times: 1, Effect: bankhost.LoseAnswer}}
	}
	w := newBankTown(t, bankPlan{behaviour: b})
	l := w.till(1)
	var sales []*sale
	for i, v := range bankVictims {
		if v.kind != pos.OfflineSale || p.advices {
			s := l.victim(v.kind, i)
			sales = append(sales, s)
			p.strike(w, l, s, v.name)
		} else {
			sales = append(sales, nil)
		}
	}
	w.start()
	for i, v := range bankVictims {
		if sales[i] != nil {
			p.afterwards(l, sales[i], v)
		}
	}
	w.reconcile()
	ours, _ := w.ours()
	for i, s := range sales {
		if s == nil || s.rrn == "" {
			continue
		}
		want := 0
		if s.code == "00" && !bankVictims[i].reverses {
			want = 1
		}
		if ours[s.rrn].Stands != want {
			t.Errorf("%s: answered %s, in the ledger %+v", bankVictims[i].name, s.code, ours[s.rrn])
		}
	}
}

// victim makes the transaction, and before it what it refers to.
func (l *till) victim(kind pos.Kind, card int) *sale {
	var original *sale
	minor := int64(7_074)
	if kind == pos.Void || kind == pos.Refund {
		if !l.w.alive() {
			l.w.start()
		}
		original = l.sale(pos.Purchase, card, 5_000, nil)
		l.want(original, "00")
		minor = 5_000
	}
	return l.sale(kind, card, minor, original)
}

// strike lets the switch die in the middle of a sale.
func (p *bankPoint) strike(w *bankTown, l *till, s *sale, name string) {
	w.t.Helper()
	if p.doubtful { // or the next life dies of what this one left
		if !w.alive() {
			w.start()
		}
		w.settled()
	}
	w.node.kill()
	l.hangUp()
	if err := w.tryStart(failpointEnv + "=" + p.name + ":1"); err != nil {
		w.t.Fatal(err)
	}
	l.say(l.request(s))
	select {
	case <-w.node.done():
	case <-time.After(tillMax):
		w.t.Fatalf("%s: the switch does not pass %s", name, p.name)
	}
	if !w.node.killed() {
		w.t.Fatalf("%s: the switch ended otherwise: %v", name, w.node.end())
	}
	l.hangUp()
}

// afterwards is what the terminal does about a sale that was not answered.
func (p *bankPoint) afterwards(l *till, s *sale, v bankVictim) {
	l.t.Helper()
	m, want := l.request(s), "00"
	switch {
	case v.reverses:
		m = l.reversal(s)
	case s.kind == pos.Purchase:
		want = p.again
	default: // an advice is repeated as such
		m.SetMTI(m.MTI().Repeat())
	}
	a := l.insist(m)
	if s.code, s.rrn = a.ResponseCode(), a.RRN(); s.code != want {
		l.t.Errorf("%s: %s after the restart, want %s", v.name, s.code, want)
	}
}

// insist sends a message until it is answered.
func (l *till) insist(m *message.Message) (a *message.Message) {
	l.t.Helper()
	frame := wire(l.t, message.Framing{}, l.frame(m))
	stan, _ := m.STAN()
	e2eUntil(l.t, bankSettleMax, fmt.Sprintf("an answer to %v", m.MTI()), func() (bool, error) {
		if err := l.raw(frame); err != nil {
			l.hangUp()
			return false, err
		}
		a = l.hear(300 * time.Millisecond)
		for a != nil {
			if got, _ := a.STAN(); got == stan && a.MTI().Class() == m.MTI().Class() {
				return true, nil
			}
			a = l.hear(300 * time.Millisecond)
		}
		return false, nil
	})
	return a
}

// bankBadDay is a bank that does everything wrong now and then.
func bankBadDay() bankhost.Behaviour {
	b := bankRules()
	b.Rules, b.Decline, b.Codes = nil, 300, []string{"51", "05", "61"}
	b.Rates = map[bankhost.Effect]int{}
	for _, e := range bankhost.Effects() {
		b.Rates[e] = 150
	}
	b.Rates[bankhost.Stall], b.Rates[bankhost.Close], b.Rates[bankhost.CloseInFrame] = 50, 100, 100
	return b
}

// TestE2EBankFaultyDay: a day of eight terminals with a bank, lines and cashiers that do
// everything wrong now and then, and a switch that is killed twice. In the end terminals,
// ledger and bank say the same of every transaction, to the fen.
func TestE2EBankFaultyDay(t *testing.T) {
	t.Parallel()
	for _, own := range []uint64{11, 12, 13} {
		t.Run(fmt.Sprint(own), func(t *testing.T) {
			t.Parallel()
			bankFaultyDay(t, e2eSeed(t, own))
		})
	}
}

func bankFaultyDay(t *testing.T, seed uint64) {
	w := newBankTown(t, bankPlan{behaviour: bankBadDay(),
		host: func(_ int, o *bankhost.Options) { o.Seed = seed }})
	type outcome struct {
		report *pos.Report
		err    error
	}
	done := make(chan outcome, 1)
	mix := pos.DefaultMix()
	delete(mix, pos.Balance) // moves nothing, and a repeat of it is asked anew
	o := pos.Options{Target: "the switch:1", Terminals: 8, Transactions: 60, Rate: 80, Cards: w.cards,
		Seed: seed, Timeout: 2 * time.Second, RetryDelay: 100 * time.Millisecond, RetriesMax: 300,
		Mix:    mix,
		Faults: pos.Faults{DropConnection: 150, Repeat: 150, Duplicate: 150},
		Dial:   func(ctx context.Context, _ string) (c net.Conn, err error) { return w.dial(ctx, "pos") }}
	go func() {
		r, err := pos.Run(t.Context(), o)
		done <- outcome{r, err}
	}()
	random := rand.New(rand.NewPCG(seed, 0xba4c))
	for range 2 {
		pause := 800*time.Millisecond + time.Duration(random.Int64N(int64(1500*time.Millisecond)))
		if err := e2ePause(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		w.node.kill()
		if err := w.node.start(); err != nil {
			t.Fatal(err)
		}
	}
	day := <-done
	if day.err != nil {
		t.Fatal(day.err)
	}
	if day.report.Contradicted() || day.report.Failed() > 0 {
		t.Errorf("%d terminals failed; %v", day.report.Failed(), day.report.Findings)
	}
	w.reconcile()
	w.cashiers(day.report)
	c := w.counts()
	t.Logf("bank: %d requests, %d reversed, %d repeats, effects %v", c.Requests, c.Reversed, c.Repeats,
		c.Effects)
	if c.Reversed == 0 || c.Repeats == 0 {
		t.Error("nothing went wrong: the test shows nothing")
	}
}

// cashiers compares what the cashiers believe with the ledger.
func (w *bankTown) cashiers(r *pos.Report) {
	w.t.Helper()
	ours, _ := w.ours()
	believed := map[string]bool{}
	unsure, explained := 0, map[string]bool{}
	for _, d := range w.dead() { // advices that the bank refused: adjusted
		explained[d.RRN] = d.Was == "advising"
	}
	for _, tr := range r.Terminals {
		for _, row := range tr.Rows {
			switch {
			case row.Kind == pos.Balance:
			case row.State == pos.Unanswered:
				unsure++
			case row.State == pos.Approved:
				believed[row.RRN] = true
				if ours[row.RRN].Stands != 1 && !explained[row.RRN] {
					w.t.Errorf("terminal %s: %v with number %d is approved at the till, in the ledger %+v",
						tr.Terminal, row.Kind, row.STAN, ours[row.RRN])
				}
			}
		}
	}
	standing := []string{}
	for rrn, s := range ours {
		if s.Stands == 1 && !believed[rrn] {
			standing = append(standing, rrn)
		}
	}
	slices.Sort(standing)
	if len(standing) > 0 || unsure > 0 {
		w.t.Errorf("%v stand in the ledger and at no till; %d were never answered", standing, unsure)
	}
}

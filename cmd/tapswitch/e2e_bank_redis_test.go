package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The bank edge on a real redis-server: there a commit is a script on another machine, whose
// answer may be lost with the switch, and nothing of a killed switch is left but what Redis has.

// redisTown is a bankTown whose switch keeps its state in a redis-server of its own.
func redisTown(t *testing.T, p bankPlan) *bankTown {
	t.Helper()
	stack.Require(t, stack.Redis)
	server, err := stack.StartRedis(context.Background(),
		stack.RedisOptions{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	p.args = append(p.args, "--store", "redis", "--set", "store.redis.addrs="+server.Addr())
	return newBankTown(t, p)
}

// TestE2EBankRedisByHand: purchases, voids, reversals, refusals and late answers one by one, with
// kills between them and in the middle of one. Each has the end that the terminal was told, the
// bank's book and the ledger agree to the fen, and the ledger quotes the bank.
func TestE2EBankRedisByHand(t *testing.T) {
	t.Parallel()
	w := redisTown(t, bankPlan{behaviour: bankRules()})
	l := w.till(1)
	kill := func(env ...string) {
		t.Helper()
		w.node.kill()
		l.hangUp()
		w.start(env...)
	}
	kept := l.sale(pos.Purchase, 0, 5_000, nil)
	l.want(kept, "00")
	voided := l.sale(pos.Purchase, 1, 6_000, nil)
	l.want(voided, "00")
	reversed := l.sale(pos.Purchase, 2, 7_000, nil)
	l.want(reversed, "00")
	refused := l.sale(pos.Purchase, 3, 8_005, nil) // by a rule of the bank: code 51
	l.want(refused, "51")
	late := l.sale(pos.Purchase, 4, 30_071, nil) // the bank approves after the time-out
	l.want(late, "98")
	kill()
	l.want(kept, "00") // out of the memory of a switch that is gone
	void := l.sale(pos.Void, 1, 6_000, voided)
	l.want(void, "00")
	l.undo(reversed, "00")
	kill()
	l.undo(reversed, "00")
	l.want(late, "98")
	// Killed when the bank has approved and nothing is committed: nobody was told, so that it is
	// reversed, and the repeat is told so.
	kill(failpointEnv + "=bank_forwarded:1")
	lost := l.sale(pos.Purchase, 5, 9_000, nil)
	l.say(l.request(lost))
	select {
	case <-w.node.done():
	case <-time.After(tillMax):
		t.Fatal("the switch does not pass the failpoint")
	}
	l.hangUp()
	w.start()
	if code := l.insist(l.request(lost)).ResponseCode(); code != "98" {
		t.Errorf("what nobody concluded is answered %s, want 98", code)
	}
	w.reconcile()
	ours, _ := w.ours()
	for _, s := range []struct {
		name   string
		sale   *sale
		stands int
	}{{"kept", kept, 1}, {"voided", voided, 1}, {"void", void, 1}, {"reversed", reversed, 0},
		{"refused", refused, 0}, {"late", late, 0}} {
		if got := ours[s.sale.rrn].Stands; got != s.stands {
			t.Errorf("%s: stands %d times, want %d", s.name, got, s.stands)
		}
	}
	w.quoted(map[string]txn.ResponseCode{kept.rrn: {'0', '0'}, void.rrn: {'0', '0'},
		refused.rrn: {'5', '1'}, late.rrn: {}})
	if c := w.counts(); c.Reversed != 3 || c.Approved[bankhost.Purchase] != 5 {
		t.Errorf("the bank reversed %d and approved %d purchases, want 3 and 5", c.Reversed,
			c.Approved[bankhost.Purchase])
	}
}

// quoted holds the first record of each reference number against what the bank said.
func (w *bankTown) quoted(want map[string]txn.ResponseCode) {
	w.t.Helper()
	seen := map[string]bool{}
	for _, r := range w.node.parquet() {
		code, ok := want[r.RRN]
		if !ok || seen[r.RRN] {
			continue
		}
		seen[r.RRN] = true
		if r.Response != code {
			w.t.Errorf("%s, %s: the ledger says that the bank answered %q, want %q", r.RRN, r.Kind,
				r.Response, code)
		}
	}
	if len(seen) != len(want) {
		w.t.Errorf("%d of %d in the ledger", len(seen), len(want))
	}
}

// TestE2EBankRedisFaultyDay: a day of terminals with a bank and lines that do everything wrong
// now and then, and a switch that is killed in the middle. In the end terminals, ledger and bank
// say the same of every transaction, to the fen.
func TestE2EBankRedisFaultyDay(t *testing.T) {
	t.Parallel()
	seed := e2eSeed(t, 21)
	w := redisTown(t, bankPlan{behaviour: bankBadDay(),
		host: func(_ int, o *bankhost.Options) { o.Seed = seed }})
	mix := pos.DefaultMix()
	delete(mix, pos.Balance) // moves nothing, and a repeat of it is asked anew
	type outcome struct {
		report *pos.Report
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := pos.Run(t.Context(), pos.Options{Target: "the switch:1", Terminals: 8,
			Transactions: 30, Rate: 80, Cards: w.cards, Seed: seed, Mix: mix,
			Timeout: 2 * time.Second, RetryDelay: 100 * time.Millisecond, RetriesMax: 300,
			Faults: pos.Faults{DropConnection: 150, Repeat: 150, Duplicate: 150},
			Dial: func(ctx context.Context, _ string) (net.Conn, error) {
				return w.dial(ctx, "pos")
			}})
		done <- outcome{r, err}
	}()
	w.eventually("the middle of the day", func() bool { return w.counts().Requests > 60 })
	w.node.kill()
	if err := w.node.start(); err != nil {
		t.Fatal(err)
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
	t.Logf("bank: %d requests, %d reversed, %d repeats", c.Requests, c.Reversed, c.Repeats)
	if c.Reversed == 0 || c.Repeats == 0 || c.Approved[bankhost.Void] == 0 {
		t.Error("nothing went wrong, or nothing was voided: the test shows nothing")
	}
}

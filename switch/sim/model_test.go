package sim

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// say describes an expected answer in a word and two amounts.
func say(w Want) string {
	if w.Outcome == txn.Declined {
		return fmt.Sprintf("%s %d", w.Reason, w.Balance)
	}
	return fmt.Sprintf("charged %d of %d, left %d", w.Charged, w.FullFare, w.Balance)
}

// The yardstick itself, case by case from the rules that passengers are told.
func TestModel(t *testing.T) {
	const full = txn.AppTransit | txn.AppPurse
	m := modelCard{share: 9500}
	n := 0
	now := time.Duration(0)
	do := func(kind txn.Kind, after time.Duration, f func(*Step) Want) string {
		now += after
		s := &Step{Index: n, At: now, Kind: kind}
		n++
		return say(m.settle(s, f(s)))
	}
	buy := func(amount txn.Minor) func(*Step) Want {
		return func(*Step) Want { return m.purchase(amount) }
	}
	load := func(amount txn.Minor) func(*Step) Want {
		return func(*Step) Want { return m.load(amount) }
	}
	enter := func(s *Step) Want { return m.enter(s, "A") }
	leave := func(*Step) Want { return m.leave(func(string) txn.Minor { return 500 }) }
	bus := func(*Step) Want { return m.board(200, false, 0) }
	given := func(*Step) Want { return m.board(300, true, 240) }
	ask := func(*Step) Want { return m.ask() }
	refund := func(step int, amount txn.Minor) func(*Step) Want {
		return func(*Step) Want { return m.refund(step, amount) }
	}
	reverse := func(step int) func(*Step) Want {
		return func(s *Step) Want {
			s.Original = step
			return m.reverse(step)
		}
	}
	freeze := func(r txn.FreezeReason, scope txn.App) { m.frozen, m.scope = r, scope }

	for i, c := range []struct{ got, want string }{
		{do(txn.BusBoarding, 0, bus), "insufficient_funds 0"},                    // 0
		{do(txn.Load, 0, load(200_001)), "limit_exceeded 0"},                     // 1
		{do(txn.Load, 0, load(5000)), "charged -5000 of 0, left 5000"},           // 2
		{do(txn.BusBoarding, 0, bus), "charged 190 of 200, left 4810"},           // 3
		{do(txn.BusBoarding, 0, given), "charged 240 of 300, left 4570"},         // 4
		{do(txn.MetroExit, 0, leave), "journey_no_entry 4570"},                   // 5
		{do(txn.MetroEntry, 0, enter), "charged 0 of 0, left 4570"},              // 6
		{do(txn.MetroEntry, 9*time.Minute, enter), "journey_open 4570"},          // 7
		{do(txn.MetroEntry, time.Minute, enter), "charged 0 of 0, left 4570"},    // 8: a new ride
		{do(txn.MetroExit, time.Minute, leave), "charged 475 of 500, left 4095"}, // 9
		{do(txn.MetroExit, 0, leave), "journey_no_entry 4095"},                   // 10
		{do(txn.Purchase, 0, buy(100_001)), "limit_exceeded 4095"},               // 11
		{do(txn.Purchase, 0, buy(4096)), "insufficient_funds 4095"},              // 12
		{do(txn.Purchase, 0, buy(1000)), "charged 1000 of 0, left 3095"},         // 13
		{do(txn.Refund, 0, refund(13, 400)), "charged -400 of 0, left 3495"},     // 14
		{do(txn.Refund, 0, refund(13, 601)), "refund_too_large 3495"},            // 15
		{do(txn.Refund, 0, refund(13, 600)), "charged -600 of 0, left 4095"},     // 16
		{do(txn.Reversal, 0, reverse(13)), "original_not_refundable 4095"},       // 17: it was refunded
		{do(txn.Refund, 0, refund(9, 475)), "charged -475 of 0, left 4570"},      // 18: a ride
		{do(txn.Refund, 0, refund(2, 1)), "original_not_refundable 4570"},        // 19: a load
		{do(txn.Refund, 0, refund(12, 1)), "original_declined 4570"},             // 20
		{do(txn.Refund, 0, refund(99, 1)), "original_unknown 4570"},              // 21
		{do(txn.Reversal, 0, reverse(3)), "charged -190 of -200, left 4760"},     // 22
		{do(txn.Reversal, 0, reverse(3)), "original_reversed 4760"},              // 23
		{do(txn.Reversal, 0, reverse(22)), "original_not_refundable 4760"},       // 24
		{do(txn.Reversal, 0, reverse(99)), "original_unknown 4760"},              // 25
		{do(txn.Refund, 0, refund(99, 1)), "original_reversed 4760"},             // 26: known by now
		{do(txn.MetroEntry, 0, enter), "charged 0 of 0, left 4760"},              // 27
		{do(txn.Reversal, 0, reverse(27)), "charged 0 of 0, left 4760"},          // 28
		{do(txn.MetroExit, 0, leave), "journey_no_entry 4760"},                   // 29
		{do(txn.Purchase, 0, buy(4760)), "charged 4760 of 0, left 0"},            // 30
		{do(txn.Reversal, 0, reverse(2)), "charged 5000 of 0, left -5000"},       // 31: load undone
		{do(txn.Load, 0, load(200_000)), "charged -200000 of 0, left 195000"},
	} {
		if c.got != c.want {
			t.Errorf("step %d: %s, want %s", i, c.got, c.want)
		}
	}

	for _, c := range []struct {
		reason txn.FreezeReason
		scope  txn.App
		ride   string
		shop   string
	}{
		{txn.Lost, txn.AppAll, "card_frozen 195000", "card_frozen 195000"},
		{txn.Cancelled, txn.AppAll, "card_cancelled 195000", "card_cancelled 195000"},
		{txn.Replaced, txn.AppAll, "card_replaced 195000", "card_replaced 195000"},
		{txn.Suspended, txn.AppTransit, "card_frozen 195000", "charged 0 of 0, left 195000"},
		{txn.Suspended, txn.AppPurse, "card_frozen 195000", "card_frozen 195000"},
		{txn.Suspended, txn.AppLibrary, "charged 0 of 200, left 195000", "charged 0 of 0, left 195000"},
		{txn.NotFrozen, full, "charged 0 of 200, left 195000", "charged 0 of 0, left 195000"},
	} {
		m.share = 0
		freeze(c.reason, c.scope)
		if got := do(txn.BusBoarding, 0, bus); got != c.ride {
			t.Errorf("%s %v: a ride is %s, want %s", c.reason, c.scope.Names(), got, c.ride)
		}
		if got := do(txn.Balance, 0, ask); got != c.shop {
			t.Errorf("%s %v: the purse is %s, want %s", c.reason, c.scope.Names(), got, c.shop)
		}
	}
	m.transitOnly = true
	if got := do(txn.Load, 0, load(100)); got != "application_not_open 195000" {
		t.Errorf("a card without purse: %s", got)
	}
	if got := do(txn.BusBoarding, 0, bus); got != "charged 0 of 200, left 195000" {
		t.Errorf("a free ride without purse: %s", got)
	}
	m.transitOnly, m.balance = false, modelBalanceMax-100
	if got := do(txn.Load, 0, load(101)); got != "balance_too_high 999900" {
		t.Errorf("a full purse: %s", got)
	}
}

// The bodies are what the API's description asks for, to the byte.
func TestBodies(t *testing.T) {
	base := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	terminal, err := txn.ParseTerminalID("G1")
	if err != nil {
		t.Fatal(err)
	}
	id := txn.RequestID{Terminal: terminal, Boot: 1, Counter: 2}
	const rest = `"service_time":"2026-11-21T08:00:01.000+08:00"`
	for _, c := range []struct {
		step       Step
		path, want string
	}{
		{Step{Kind: txn.MetroEntry}, "/v1/taps",
			`{"id":"G1-1-2","kind":"metro_entry","card":"310499","service_time":` + rest[15:] + `}`},
		{Step{Kind: txn.BusBoarding, Given: true, Full: 200, Amount: 0}, "/v1/taps",
			`{"id":"G1-1-2","kind":"bus_boarding","card":"310499",` + rest +
				`,"full_fare":200,"charged":0}`},
		{Step{Kind: txn.Load, Amount: 5}, "/v1/loads",
			`{"id":"G1-1-2","card":"310499","amount":5,` + rest + `}`},
		{Step{Kind: txn.Purchase, Amount: -5}, "/v1/purchases",
			`{"id":"G1-1-2","card":"310499","amount":-5,` + rest + `}`},
		{Step{Kind: txn.Refund, Amount: 5, OriginalID: id}, "/v1/refunds",
			`{"id":"G1-1-2","card":"310499","amount":5,"original":"G1-1-2",` + rest + `}`},
		{Step{Kind: txn.Reversal, OriginalID: id}, "/v1/reversals",
			`{"id":"G1-1-2","card":"310499","original":"G1-1-2",` + rest + `}`},
		{Step{Kind: txn.Balance}, "/v1/balances", `{"id":"G1-1-2","card":"310499",` + rest + `}`},
	} {
		c.step.ID, c.step.At = id, time.Second
		if got := string(c.step.encode("310499", base)); got != c.want {
			t.Errorf("%s:\n%s\n%s", c.step.Kind, got, c.want)
		}
		if got := pathOf(c.step.Kind); got != c.path {
			t.Errorf("%s goes to %s", c.step.Kind, got)
		}
	}
	e, err := json.Marshal(Enrolment{Number: "1", Apps: []string{"transit"}, Rider: "student"})
	if err != nil || string(e) != `{"card":"1","apps":["transit"],"rider":"student"}` {
		t.Errorf("%s, %v", e, err)
	}
}

// The city's registration fits the limits of ids and names, and its tariff prices every
// pair of stations both ways.
func TestCity(t *testing.T) {
	c := newCity()
	f := newFares(c.tariff)
	seen := map[string]bool{}
	for _, spec := range c.terminals {
		if _, err := txn.ParseTerminalID(spec.ID); err != nil || seen[spec.ID] || len(spec.Kinds) == 0 {
			t.Errorf("terminal %+v: %v", spec, err)
		}
		seen[spec.ID] = true
		if strings.Contains(spec.Operator+spec.Merchant, "  ") || spec.Operator == "" {
			t.Errorf("terminal %s of %q", spec.ID, spec.Operator)
		}
	}
	for _, a := range c.byUse[useMetro] {
		for _, b := range c.byUse[useMetro] {
			from, to := c.terminals[a].Station, c.terminals[b].Station
			there, back := f.pairs[[2]string{from, to}], f.pairs[[2]string{to, from}]
			if there < 200 || there != back {
				t.Fatalf("%s to %s costs %d, back %d", from, to, there, back)
			}
		}
	}
	for _, b := range c.byUse[useBus] {
		if f.bus[c.terminals[b].Line] == 0 {
			t.Errorf("line %s has no fare", c.terminals[b].Line)
		}
	}
}

package bankhost

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// The arithmetic of the book: each line is a request, the code it gets, and what the card owes
// and has reserved afterwards.
func TestMoney(t *testing.T) {
	h := start(t, func(o *Options) { o.Funds = 10_000 })
	p := connect(t, h)
	of := func(o order, stan uint32, mti message.MTI) order {
		o.of, o.ofMT = stan, mti
		return o
	}
	void := func(stan uint32, amount int64, held bool) order {
		return order{mti: 0x0200, code: "200000", stan: stan, amount: amount, held: held}
	}
	refund := func(stan uint32, amount int64) order {
		return order{mti: 0x0220, code: "200000", stan: stan, amount: amount}
	}
	preAuth := func(stan uint32, amount int64) order {
		return order{mti: 0x0100, code: "030000", held: true, stan: stan, amount: amount}
	}
	preAuthVoid := func(stan uint32, amount int64) order {
		return order{mti: 0x0100, code: "200000", held: true, stan: stan, amount: amount}
	}
	completion := func(stan uint32, amount int64) order {
		return order{mti: 0x0200, code: "000000", held: true, stan: stan, amount: amount}
	}
	for i, step := range []struct {
		what         string
		o            order
		code         string
		posted, held int64
	}{
		{"purchase", purchase(1, 4000), "00", 4000, 0},
		{"not enough funds", purchase(2, 6001), "51", 4000, 0},
		{"no amount", purchase(3, 0), "13", 4000, 0},
		{"void of another amount", of(void(4, 3999, false), 1, 0x0200), "64", 4000, 0},
		{"void of nothing", of(void(5, 4000, false), 999, 0x0200), "25", 4000, 0},
		{"void of another MTI", of(void(6, 4000, false), 1, 0x0100), "25", 4000, 0},
		{"void of a declined one", of(void(7, 6001, false), 2, 0x0200), "25", 4000, 0},
		{"void", of(void(8, 4000, false), 1, 0x0200), "00", 0, 0},
		{"void of a voided one", of(void(9, 4000, false), 1, 0x0200), "12", 0, 0},
		{"refund of a voided one", of(refund(10, 100), 1, 0x0200), "12", 0, 0},
		{"reversal of the void", reversal(11, 8, 4000), "00", 4000, 0},
		{"void again", of(void(12, 4000, false), 1, 0x0200), "00", 0, 0},
		{"reversal of what is voided", reversal(13, 1, 4000), "12", 0, 0},
		{"purchase", purchase(20, 5000), "00", 5000, 0},
		{"refund of a part", of(refund(21, 2000), 20, 0x0200), "00", 3000, 0},
		{"refund of too much", of(refund(22, 3001), 20, 0x0200), "64", 3000, 0},
		{"void after a refund", of(void(23, 5000, false), 20, 0x0200), "12", 3000, 0},
		{"reversal after a refund", reversal(24, 20, 5000), "12", 3000, 0},
		{"refund of the rest", of(refund(25, 3000), 20, 0x0200), "00", 0, 0},
		{"refund without an original", refund(26, 10), "00", -10, 0},
		{"offline sale", order{mti: 0x0220, code: "000000", stan: 27, amount: 10}, "00", 0, 0},
		{"pre-authorization", preAuth(30, 6000), "00", 0, 6000},
		{"held funds are not there", purchase(31, 4001), "51", 0, 6000},
		{"balance", order{mti: 0x0200, code: "310000", stan: 32}, "00", 0, 6000},
		{"completion of too much", of(completion(33, 6901), 30, 0x0100), "64", 0, 6000},
		{"completion", of(completion(34, 6900), 30, 0x0100), "00", 6900, 0},
		{"completion again", of(completion(35, 100), 30, 0x0100), "12", 6900, 0},
		{"void of a completed one", of(preAuthVoid(36, 6000), 30, 0x0100), "12", 6900, 0},
		{"void of the completion", of(void(37, 6900, true), 34, 0x0200), "00", 0, 6000},
		{"completion by advice", of(order{mti: 0x0220, code: "000000", held: true, stan: 38,
			amount: 5000}, 30, 0x0100), "00", 5000, 0},
		{"reversal of the completion", of(reversal(39, 38, 5000), 38, 0x0220), "00", 0, 6000},
		{"void of the pre-authorization", of(preAuthVoid(40, 6000), 30, 0x0100), "00", 0, 0},
		{"reversal of that void", of(reversal(41, 40, 6000), 40, 0x0100), "00", 0, 6000},
		{"reversal of the pre-authorization", of(reversal(42, 30, 6000), 30, 0x0100), "00", 0, 0},
		{"load through the bank", order{mti: 0x0200, code: "600000", stan: 43, amount: 700}, "00", 700,
			0},
		{"nothing known", order{mti: 0x0200, code: "990000", stan: 44, amount: 700}, "40", 700, 0},
	} {
		if got := p.code(step.o); got != step.code {
			t.Errorf("%d %s: code %s, want %s", i, step.what, got, step.code)
		}
		p.money(h, step.posted, step.held)
	}
	if n := h.Summary().Counts.DoubleExecuted; n != 0 {
		t.Errorf("%d executed twice", n)
	}
}

func TestBalance(t *testing.T) {
	h := start(t, func(o *Options) { o.Funds = 10_000 })
	p := connect(t, h)
	p.code(purchase(1, 2500))
	a := p.ask(order{mti: 0x0200, code: "310000", stan: 2})
	text, _ := a.Text(54)
	all, err := message.ParseBalances(text)
	if err != nil || len(all) != 1 || all[0].Minor != 7500 {
		t.Errorf("%v %v", all, err)
	}
}

// A repeat gets the first answer and moves nothing; other content under the number gets 94.
func TestRepeats(t *testing.T) {
	h := start(t, nil)
	p := connect(t, h)
	first := p.ask(purchase(1, 100))
	again := purchase(1, 100)
	again.mti = 0x0201
	for _, o := range []order{again, again, purchase(1, 100)} {
		a := p.ask(o)
		want, _ := first.Text(38)
		if auth, _ := a.Text(38); a.ResponseCode() != "00" || auth != want {
			t.Errorf("answer %s %s", a.ResponseCode(), auth)
		}
	}
	if c := p.code(purchase(1, 101)); c != "94" {
		t.Errorf("other amount: %s", c)
	}
	p.money(h, 100, 0)
	c := h.Summary().Counts
	if c.Repeats != 3 || c.Unmarked != 1 || c.Conflicts != 1 || c.Requests != 5 ||
		c.DoubleExecuted != 0 {
		t.Errorf("%+v", c)
	}
	if e := h.Book().Find(1, testTerminal, false); e == nil || e.Seen != 4 ||
		e.Card != h.Token(p.card).String() {
		t.Errorf("%+v", e)
	}
}

// The blind retry: the same sale under another trace number is carried out, and seen.
func TestDoubleExecutionIsSeen(t *testing.T) {
	h := start(t, nil)
	p := connect(t, h)
	one, two := purchase(1, 100), purchase(2, 100)
	two.rrn = "000000000001"
	p.code(one)
	p.code(reversal(3, 1, 100))
	p.code(two)
	if n := h.Summary().Counts.DoubleExecuted; n != 0 {
		t.Errorf("a new try after a reversal counts: %d", n)
	}
	two.stan = 4
	p.code(two)
	if n := h.Summary().Counts.DoubleExecuted; n != 1 {
		t.Errorf("seen %d times", n)
	}
}

// Reversals: once, again, of a declined one, of nothing, and before what they reverse.
func TestReversals(t *testing.T) {
	h := start(t, func(o *Options) { o.Behaviour.Rules = DefaultRules() })
	p := connect(t, h)
	p.code(purchase(1, 100))
	p.code(purchase(2, 105))
	repeat := reversal(10, 1, 100)
	repeat.mti = 0x0421
	for i, step := range []struct {
		o    order
		code string
	}{
		{reversal(10, 1, 100), "00"}, {repeat, "00"}, {reversal(11, 1, 100), "00"},
		{reversal(12, 2, 105), "00"}, {reversal(13, 77, 100), "25"}, {purchase(77, 100), "12"},
		{purchase(77, 100), "12"}, {reversal(14, 77, 100), "00"},
		{order{mti: 0x0400, code: "000000", stan: 15, amount: 100}, "30"},
	} {
		if got := p.code(step.o); got != step.code {
			t.Errorf("%d: %s, want %s", i, got, step.code)
		}
		p.money(h, 0, 0)
	}
	c := h.Summary().Counts
	if c.Reversed != 1 || c.ReversalsOfUnknown != 1 || c.Forestalled != 1 || c.Repeats != 2 {
		t.Errorf("%+v", c)
	}
	other := connect(t, h)
	p.code(purchase(80, 100))
	other.card = card(t, "6222600000000017")
	if got := other.code(reversal(81, 80, 100)); got != "25" {
		t.Errorf("another card's reversal: %s", got)
	}
	p.money(h, 100, 0)
}

// Whatever is asked in whatever order, what the cards owe is what the standing entries say,
// and taking everything back leaves nothing.
func TestMoneyAddsUp(t *testing.T) {
	for seed := range uint64(20) {
		b := newBook(&Options{Spec: named(t, "cups"), EntriesMax: 1000, Seed: seed, Funds: 50_000})
		random := rand.New(rand.NewPCG(seed, 1))
		shapes := []order{{mti: 0x0200, code: "000000"}, {mti: 0x0200, code: "200000"},
			{mti: 0x0220, code: "200000"}, {mti: 0x0100, code: "030000", held: true},
			{mti: 0x0100, code: "200000", held: true}, {mti: 0x0200, code: "000000", held: true},
			{mti: 0x0200, code: "200000", held: true}, {mti: 0x0420, code: "000000"}}
		for stan := uint32(1); stan <= 500; stan++ {
			o := shapes[random.IntN(len(shapes))]
			q := &request{sum: message.Summary{MTI: o.mti}, amount: 100 * (1 + random.Int64N(3))}
			copy(q.sum.ProcessingCode[:], o.code)
			if o.held {
				copy(q.sum.Condition[:], "06")
			}
			q.kind, q.key = kindOf(&q.sum), Key{STAN: stan, Reversal: o.mti == 0x0420}
			q.card[0] = byte(random.IntN(2))
			if n, of := b.find(&Key{STAN: 1 + uint32(random.IntN(int(stan)))}); of != nil {
				q.refers, q.original = n > 0, of.key
				if random.IntN(4) > 0 {
					q.card, q.amount = of.card, of.amount
				}
			}
			b.decide(q, "", time.Time{})
		}
		checkBook(t, seed, b)
	}
}

// checkBook adds the entries up and compares the sums with the accounts.
func checkBook(t *testing.T, seed uint64, b *book) {
	t.Helper()
	var posted, held, wantPosted, wantHeld int64
	approved := 0
	for n := uint64(1); n <= b.count; n++ {
		e := b.at(n)
		if !e.approved() || e.reversed {
			continue
		}
		approved++
		switch e.kind {
		case Purchase, Completion, OfflineSale, Load:
			if !e.closed {
				wantPosted += e.amount
			}
		case Refund:
			wantPosted -= e.amount
		case PreAuth:
			if !e.closed {
				wantHeld += e.amount
			}
		}
	}
	for _, a := range b.cards {
		posted, held = posted+a.posted, held+a.held
		if a.held < 0 {
			t.Errorf("seed %d: held %d", seed, a.held)
		}
	}
	if posted != wantPosted || held != wantHeld || approved < 20 {
		t.Errorf("seed %d: posted %d held %d, entries say %d and %d (%d stand)", seed, posted, held,
			wantPosted, wantHeld, approved)
	}
}

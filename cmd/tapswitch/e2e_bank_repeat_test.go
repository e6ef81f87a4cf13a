package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What terminals send again, and what they send about an earlier transaction: repeats,
// adjustments and tips; and approvals of a part.

// reply is the approval of a message, changed.
func (b *fakeBank) reply(m *message.Message, change func(a *message.Message) error) []byte {
	a, ok := m.Reply()
	if !ok {
		return nil
	}
	err := a.Copy(m, 2, 3, 4, 7, 11, 32, 33, 37, 41, 42, 49, 70)
	if err == nil {
		err = a.SetText(39, "00")
	}
	if err == nil {
		err = change(a)
	}
	frame, err2 := a.Append(nil)
	if err != nil || err2 != nil {
		b.t.Errorf("answer of the fake bank: %v %v", err, err2)
		return nil
	}
	return wire(b.t, message.Framing{Form: message.ASCII4}, frame)
}

// newFakeTown is a switch whose only bank is played by the test.
func newFakeTown(t testing.TB, file func(*bankFile)) (*bankTown, *fakeBank) {
	t.Helper()
	fake := newFakeBank(t)
	w := prepareBankTown(t, bankPlan{file: func(f *bankFile) {
		f.links[0]["addresses"] = []string{fake.address}
		f.links[0]["timeout"] = "5s"
		if file != nil {
			file(f)
		}
	}})
	return w, fake
}

// frames sends a message and returns the answer's bytes.
func (l *till) frames(m *message.Message) []byte {
	l.t.Helper()
	l.say(m)
	_ = l.nc.SetReadDeadline(time.Now().Add(tillMax))
	frame, err := l.r.Next()
	l.no(err)
	return bytes.Clone(frame)
}

// nextSecond waits until answers that tell the time of now tell another one.
func (w *bankTown) nextSecond() {
	w.t.Helper()
	from := time.Now().Unix()
	w.eventually("the next second", func() bool { return time.Now().Unix() != from })
}

// TestE2EBankRepeat: a request that comes again, as a copy or as 0201, gets the answer of the
// first time to the byte, whatever the bank said in it; also after kill -9. The bank is asked
// once.
func TestE2EBankRepeat(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, nil)
	w.start()
	script := func(n int) []byte { // an issuer's answer and a script of n bytes
		return append([]byte("\x91\x0a0123456789"), append([]byte{0x72, 0x81, byte(n)},
			bytes.Repeat([]byte{0xA5}, n)...)...)
	}
	const balance = "1002156C000000012345"
	says := map[int64]func(*message.Message) error{
		100: func(a *message.Message) error { return a.SetText(38, "AAAAAA") },
		200: func(a *message.Message) error { return a.SetDigits(15, "1123") },
		300: func(a *message.Message) error { return a.SetText(54, balance) },
		400: func(a *message.Message) error { return a.SetBytes(55, script(140)) },
		500: func(a *message.Message) error { return a.SetBytes(55, script(239)) },
		600: func(a *message.Message) error {
			if err := a.SetText(39, "51"); err != nil {
				return err
			}
			return a.SetBytes(55, script(239))
		},
	}
	fake.answer(func(m *message.Message) []byte {
		amount, _ := m.Amount()
		return fake.reply(m, says[amount])
	})
	l := w.till(1)
	type asked struct {
		s     *sale
		first []byte
	}
	var all []asked
	for amount := int64(100); amount <= 600; amount += 100 {
		s := l.sale(pos.Purchase, 1, amount, nil)
		all = append(all, asked{s, l.frames(l.request(s))})
	}
	again := func(when string, repeat bool) {
		t.Helper()
		w.nextSecond()
		for _, a := range all {
			m := l.request(a.s)
			if repeat {
				m.SetMTI(m.MTI().Repeat())
			}
			if got := l.frames(m); !bytes.Equal(got, a.first) {
				t.Errorf("%s: the answer to %d was %x, is %x", when, a.s.minor, a.first, got)
			}
		}
		if n := fake.seen(message.Financial); n != len(all) {
			t.Errorf("%s: the bank was asked %d times, want %d", when, n, len(all))
		}
	}
	for _, a := range all[3:5] {
		m, err := message.Parse(w.spec, a.first)
		l.no(err)
		if chip, _ := m.Bytes(55); len(chip) < 140 {
			t.Errorf("the answer to %d has no script", a.s.minor)
		}
	}
	again("a copy", false)
	again("0201", true)
	w.node.kill()
	l.hangUp()
	w.start()
	again("after kill -9", true)
	l.undo(all[2].s, "00")
	if m, err := message.Parse(w.spec, l.frames(l.request(all[2].s))); err != nil ||
		m.ResponseCode() == "00" || m.Has(54) {
		t.Errorf("a sale that was reversed is answered %v, %v", m, err)
	}
}

// TestE2EBankBalanceRepeat: a balance inquiry that is under way is not asked a second time;
// one that was answered gets the answer again, unless it is another one under the same number.
func TestE2EBankBalanceRepeat(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, nil)
	w.start()
	held, asked := make(chan struct{}), make(chan struct{}, 8)
	hold := true
	fake.answer(func(m *message.Message) []byte {
		asked <- struct{}{}
		if hold {
			<-held
		}
		return fake.reply(m, func(a *message.Message) error {
			return a.SetText(54, "1002156C000000012345")
		})
	})
	l, copied := w.till(1), w.till(1)
	s := l.sale(pos.Balance, 1, 0, nil)
	l.say(l.request(s))
	<-asked
	if code := copied.ask(copied.request(s)).ResponseCode(); code != "94" {
		t.Errorf("a copy of an inquiry under way: %s, want 94", code)
	}
	hold = false
	close(held)
	_ = l.nc.SetReadDeadline(time.Now().Add(tillMax))
	first, err := l.r.Next()
	l.no(err)
	first = bytes.Clone(first)
	w.nextSecond()
	repeat := l.request(s)
	repeat.SetMTI(repeat.MTI().Repeat())
	for _, m := range []*message.Message{l.request(s), repeat} {
		if got := l.frames(m); !bytes.Equal(got, first) {
			t.Errorf("again: %x, was %x", got, first)
		}
	}
	if n := fake.seen(message.Financial); n != 1 {
		t.Errorf("the bank was asked %d times", n)
	}
	other := l.request(s) // another entry mode: not the same message
	l.no(other.SetDigits(22, "021"))
	l.ask(other)
	if n := fake.seen(message.Financial); n != 2 {
		t.Errorf("the bank was asked %d times about two inquiries", n)
	}
	w.node.kill()
	l.hangUp()
	w.start()
	if a := l.ask(l.request(s)); a.ResponseCode() != "00" || fake.seen(message.Financial) != 3 {
		t.Errorf("after a restart: %s, asked %d times", a.ResponseCode(), fake.seen(message.Financial))
	}
}

var (
	tillAdjust = tillForm{0x0220, "000000", "00", "32"}
	tillTip    = tillForm{0x0220, "000000", "00", "34"}
)

// amend makes an adjustment or tip of a sale.
func (l *till) amend(form *tillForm, of *sale, minor int64) *sale {
	s := l.sale(pos.Purchase, 0, minor, of)
	s.form = form
	return s
}

// TestE2EBankAdjust: an adjustment or tip books and tells the difference, links it to its
// original, and counts in the settlement; what cannot be adjusted is told why.
func TestE2EBankAdjust(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{file: func(f *bankFile) { f.listeners[0]["tip_percent"] = 20 }})
	l := w.till(1)
	l.signOnPlain()
	meal, shop := l.sale(pos.Purchase, 1, 5_000, nil), l.sale(pos.Purchase, 2, 3_000, nil)
	l.want(meal, "00")
	l.want(shop, "00")
	w.settled()
	tip := l.amend(&tillTip, meal, 5_600)
	l.want(tip, "00")
	l.want(tip, "00") // said again: booked once
	l.want(l.amend(&tillTip, meal, 6_001), "61")
	l.want(l.amend(&tillTip, meal, 4_000), "13")
	l.want(l.amend(&tillAdjust, shop, 2_500), "00")
	l.want(l.amend(&tillAdjust, shop, 3_500), "00")
	unknown := l.sale(pos.Purchase, 1, 100, nil)
	unknown.rrn = "999999999999"
	l.want(l.amend(&tillTip, unknown, 100), "25")
	byReference := l.amend(&tillAdjust, &sale{stan: 999_999, card: shop.card, rrn: shop.rrn}, 3_200)
	l.want(byReference, "00")
	w.settled()
	l.want(l.sale(pos.Void, 1, 5_000, meal), "12") // it has come to more
	w.reconcile()
	differences := map[int64]int{}
	for _, r := range w.node.parquet() {
		if r.Kind != txn.BankAdjustment || r.Outcome != txn.Approved {
			continue
		}
		differences[int64(r.Charged)]++
		if n := r.Original.Counter; n != meal.stan && n != shop.stan {
			t.Errorf("a difference of %d is linked to %s", r.Charged, r.Original)
		}
	}
	if want := map[int64]int{600: 1, -500: 1, 1_000: 1, -300: 1}; fmt.Sprint(differences) != fmt.Sprint(want) {
		t.Errorf("differences %v, want %v", differences, want)
	}
	if v := l.settle(message.Totals{DebitAmount: 8_800, DebitCount: 2}); v != message.Balanced {
		t.Errorf("verdict %v, want balanced", v)
	}
	l.want(l.amend(&tillTip, meal, 5_700), "22") // its batch is closed
	l.signOnPlain()
	late := l.amend(&tillTip, meal, 5_700)
	late.change = func(m *message.Message) { // from the next batch, with the batch of the sale
		digits, err := message.Original{Batch: "000001", STAN: fmt.Sprintf("%06d", meal.stan),
			Date: "1122"}.Digits()
		l.no(err, m.SetDigits(61, digits))
	}
	l.want(late, "22")
}

// TestE2EBankPartial: a bank that approves less is believed where the terminal or its listener
// takes that, and the ledger has the lower amount; for others it is reversed and declined.
func TestE2EBankPartial(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		listens bool   // the listener takes parts
		column  string // of the terminals
		able    bool
	}{{"terminal", false, "yes", true}, {"other terminal", false, "no", false},
		{"listener", true, "", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, fake := newFakeTown(t, func(f *bankFile) { f.listeners[0]["partial"] = c.listens })
			w.partialColumn(c.column)
			w.start()
			fake.answer(func(m *message.Message) []byte {
				amount, _ := m.Amount()
				if m.MTI().Class() == message.Reversal || amount == 1_000 {
					return fake.approve(m)
				}
				return fake.reply(m, func(a *message.Message) error {
					if err := a.SetText(39, "10"); err != nil {
						return err
					}
					return a.SetAmount(600)
				})
			})
			l := w.till(1)
			s := l.sale(pos.Purchase, 1, 2_500, nil)
			first := l.frames(l.request(s))
			a, err := message.Parse(w.spec, first)
			l.no(err)
			amount, _ := a.Amount()
			if c.able && (a.ResponseCode() != "10" || amount != 600) ||
				!c.able && (a.ResponseCode() != "51" || amount != 2_500) {
				t.Errorf("answered %s with %d", a.ResponseCode(), amount)
			}
			w.nextSecond()
			if again := l.frames(l.request(s)); !bytes.Equal(again, first) {
				t.Errorf("again: %x, was %x", again, first)
			}
			l.want(l.sale(pos.Purchase, 2, 1_000, nil), "00")
			w.settled()
			booked := int64(0)
			for _, r := range w.node.parquet() {
				if r.Outcome == txn.Approved {
					booked += int64(r.Charged)
				}
			}
			want, reversals := int64(1_000), 1
			if c.able {
				want, reversals = 1_600, 0
			}
			if n := fake.seen(message.Reversal); booked != want || n != reversals {
				t.Errorf("booked %d, %d reversals; want %d and %d", booked, n, want, reversals)
			}
			if c.able { // the whole of it, by the amount that was asked for
				l.undo(s, "00")
				w.settled()
				if n := fake.seen(message.Reversal); n != 1 {
					t.Errorf("%d reversals reached the bank", n)
				}
			}
		})
	}
}

// partialColumn adds the column of partial approvals to the terminals file.
func (w *bankTown) partialColumn(value string) {
	w.t.Helper()
	path := filepath.Join(w.dir, "terminals.csv")
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i := range rows {
		rows[i] += "," + value
	}
	rows[0] = strings.TrimSuffix(rows[0], ","+value) + ",partial"
	if err := os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// loadTown is a switch with the purses of a small city behind a bank that approves everything.
func loadTown(t testing.TB, p bankPlan) (*bankTown, []pan.Number) {
	t.Helper()
	plan := e2ePlan(t, 1, 8)
	file := p.file
	p.file = func(f *bankFile) {
		f.whole["purse_bins"] = []string{"31"}
		if file != nil {
			file(f)
		}
	}
	w := newBankTown(t, p)
	c := sim.NewClient(sim.ClientOptions{Addr: w.node.gate()})
	defer c.Close()
	if _, err := sim.EnrolAll(t.Context(), c, w.node.secret(adminTokenFile),
		plan.Enrolments()); err != nil {
		t.Fatal(err)
	}
	var purses []pan.Number
	for _, card := range plan.Cards {
		if strings.HasPrefix(card.Number.Digits(), "31") {
			purses = append(purses, card.Number)
		}
	}
	if len(purses) == 0 {
		t.Fatal("the plan has no purse")
	}
	return w, purses
}

// TestE2EBankCashLoad: a load against cash is repeated, reversed, and reversed before it came;
// however often its purse was loaded the same day; and counts once in the settlement, as does
// one that a bank pays for.
func TestE2EBankCashLoad(t *testing.T) {
	t.Parallel()
	w, purses := loadTown(t, bankPlan{})
	l, purse := w.till(1), purses[0]
	l.signOnPlain()
	before := w.purse(purse)
	want := func(when string, delta int64) {
		t.Helper()
		if got := w.purse(purse) - before; got != delta {
			t.Errorf("%s: the purse has %d more, want %d", when, got, delta)
		}
	}
	for range 60 { // more than a card remembers
		l.want(l.load(&tillCashLoad, 1, 10, purse), "00")
	}
	s := l.load(&tillCashLoad, 1, 2_000, purse)
	first := l.frames(l.request(s))
	w.nextSecond()
	if again := l.frames(l.request(s)); !bytes.Equal(again, first) {
		t.Errorf("again: %x, was %x", again, first)
	}
	want("loaded", 2_600)
	l.undo(s, "00")
	l.undo(s, "00") // said again
	want("reversed", 600)
	early := l.load(&tillCashLoad, 1, 500, purse)
	l.undo(early, "25")
	if code := l.do(early); code == "00" {
		t.Error("a load whose reversal came first is approved")
	}
	want("reversed first", 600)
	l.want(l.load(&tillBankLoad, 2, 700, purse), "00")
	want("loaded from a bank", 1_300)
	w.settled()
	if v := l.settle(message.Totals{DebitAmount: 1_300, DebitCount: 61}); v != message.Balanced {
		t.Errorf("verdict %v, want balanced", v)
	}
	w.reconcile()
}

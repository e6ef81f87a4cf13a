package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// Every dialect in, every dialect out.

// bankDialects are the specs of the banks of a dialectTown, the bank of each behind a BIN of its
// own.
var bankDialects = []string{"cups", "iso87_ascii", "iso87_bcd", "cup_pos"}

// dialectBIN begins the cards of the bank that speaks the i-th dialect.
func dialectBIN(i int) string { return "62226" + string(rune('1'+i)) }

// dialectFraming is how frames of a spec follow each other here.
func dialectFraming(spec string) message.Framing {
	if spec == "cups" || spec == "iso87_ascii" {
		return message.Framing{Form: message.ASCII4}
	}
	return message.Framing{Form: message.Binary2}
}

// newDialectTown has a bank of every dialect, terminals, and an acquirer of every other dialect.
func newDialectTown(t *testing.T, b bankhost.Behaviour) (*bankTown, [][]pan.Number) {
	t.Helper()
	w := newBankTown(t, bankPlan{hosts: len(bankDialects), behaviour: b,
		host: func(i int, o *bankhost.Options) {
			o.Spec, o.Framing = bankSpec(t, bankDialects[i]), dialectFraming(bankDialects[i])
		},
		file: func(f *bankFile) {
			f.routes = nil
			for i, name := range bankDialects {
				f.links[i]["spec"] = name
				f.routes = append(f.routes, bankDoc{"name": name, "bins": []string{dialectBIN(i)},
					"issuer": "BANK" + string(rune('0'+i)), "links": []string{f.links[i]["name"].(string)}})
				if name != "cup_pos" {
					f.listeners = append(f.listeners, bankDoc{"name": "in" + string(rune('0'+i)),
						"address": "127.0.0.1:0", "spec": name, "acquirer": "48021234"})
				}
			}
		}})
	cards := make([][]pan.Number, len(bankDialects))
	for i := range bankDialects {
		var err error
		if cards[i], err = pos.Cards([]string{dialectBIN(i)}, 64, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return w, cards
}

// TestE2EBankDialects: every message about money goes from terminals and from acquirers of every
// dialect to banks of every dialect, also one whose answer is lost, and every side's money agrees.
func TestE2EBankDialects(t *testing.T) {
	t.Parallel()
	w, cards := newDialectTown(t, bankhost.Behaviour{Rules: []bankhost.Rule{
		{Kind: "purchase", AmountEnds: "74", Effect: bankhost.LoseAnswer},
		{Kind: "reversal", AmountEnds: "74", Times: 1, Effect: bankhost.LoseAnswer}}})
	for i, name := range bankDialects {
		t.Run("pos to "+name, func(t *testing.T) {
			w.cards = cards[i]
			l := w.till(i + 1)
			l.t = t
			l.dialectDay(name)
		})
		for j, from := range bankDialects {
			if from == "cup_pos" {
				continue // the terminals
			}
			t.Run(from+" to "+name, func(t *testing.T) {
				w.cards = cards[i][20+10*j:]
				a := acquirer{t: t, w: w, spec: bankSpec(t, from), framing: dialectFraming(from),
					listener: fmt.Sprintf("in%d", j)}
				a.dialectDay(uint32(20*i) + 1)
			})
		}
	}
	w.settled()
	for i := range w.banks {
		// What a terminal's bank was told after the fact bears its own number there.
		if n := w.banks[i].Summary().Counts; n.ReversalsOfUnknown+n.ReversalsRefused+n.Conflicts > 0 {
			t.Errorf("%s: %+v", bankDialects[i], n)
		}
	}
	w.reconcile()
}

// dialectDay does one of everything at a terminal.
func (l *till) dialectDay(bank string) {
	sold := l.sale(pos.Purchase, 1, 1_000, nil)
	l.want(sold, "00")
	l.want(l.sale(pos.Purchase, 2, 5_074, nil), "98")
	l.want(l.sale(pos.Void, 1, 1_000, sold), "00")
	back := l.sale(pos.Purchase, 3, 2_000, nil)
	l.want(back, "00")
	l.undo(back, "00")
	l.want(l.sale(pos.Balance, 4, 0, nil), "00")
	hold := l.sale(pos.PreAuth, 5, 3_000, nil)
	l.want(hold, "00")
	done := l.sale(pos.Completion, 5, 2_500, hold)
	l.want(done, "00")
	l.want(l.sale(pos.CompletionVoid, 5, 2_500, done), "00")
	hold = l.sale(pos.PreAuth, 6, 3_000, nil)
	l.want(hold, "00")
	l.want(l.sale(pos.PreAuthVoid, 6, 3_000, hold), "00")
	if bank != "cup_pos" { // which numbers what it is told of itself
		l.want(l.sale(pos.OfflineSale, 7, 4_000, nil), "00")
	}
	stands := l.sale(pos.Purchase, 8, 8_000, nil)
	l.want(stands, "00")
	l.want(l.sale(pos.Refund, 8, 700, stands), "00")
}

// dialectDay does one of everything at an acquirer, with trace numbers from stan.
func (a *acquirer) dialectDay(stan uint32) {
	sold := a.message(0x0200, stan, "000000", 0, 5_000)
	a.want(sold, "00")
	sold.SetMTI(0x0201)
	a.want(sold, "00") // once
	lost := a.message(0x0200, stan+1, "000000", 1, 600)
	a.want(lost, "00")
	a.want(a.undo(0x0420, stan+2, lost), "00")
	a.want(a.undo(0x0421, stan+2, lost), "00")
	a.want(a.message(0x0200, stan+3, "000000", 2, 6_074), "98")
	a.want(a.message(0x0100, stan+4, "030000", 3, 900), "00")
	a.want(a.message(0x0200, stan+5, "310000", 4, 0), "00")
	a.want(a.message(0x0800, stan+6, "", 0, 0), "00")
}

// TestE2EBankOfTerminals: what a bank that speaks as terminals do receives: the refund of a sale
// that the switch does not remember names it as the terminal did, an acquirer's by its field 90;
// a reversal has number and batch of its original, and so have its repeats.
func TestE2EBankOfTerminals(t *testing.T) {
	t.Parallel()
	w, fake := newFakeTown(t, func(f *bankFile) {
		f.links[0]["spec"], f.links[0]["timeout"] = "cup_pos", "1s"
		f.listeners = append(f.listeners, bankDoc{"name": "in0", "address": "127.0.0.1:0",
			"spec": "iso87_ascii", "acquirer": "48021234"})
	})
	fake.spec, fake.framing = bankSpec(t, "cup_pos"), message.Framing{}
	told := make(chan *message.Message, 16)
	silent := map[message.Class]int{message.Reversal: 1}
	fake.answer(func(m *message.Message) []byte {
		told <- m
		if amount, _ := m.Amount(); amount == 5_074 && m.MTI().Class() == message.Financial {
			return nil
		}
		if silent[m.MTI().Class()]--; silent[m.MTI().Class()] >= 0 {
			return nil
		}
		return fake.approve(m)
	})
	next := func(mti message.MTI) *message.Message {
		t.Helper()
		select {
		case m := <-told:
			if m.MTI() != mti {
				t.Fatalf("the bank got %v, want %v", m.MTI(), mti)
			}
			for _, n := range []int{7, 18, 32, 33} {
				if _, ok := m.Text(n); ok {
					t.Errorf("%v has field %d", mti, n)
				}
			}
			return m
		case <-time.After(tillMax):
			t.Fatalf("the bank got no %v", mti)
			return nil
		}
	}
	named := func(m *message.Message) string {
		original, _ := m.Digits(61)
		return m.RRN() + "/" + original
	}
	w.start()
	l := w.till(1)
	s := l.sale(pos.Refund, 1, 1_000, nil)
	s.change = func(m *message.Message) {
		digits, err := message.Original{Batch: "000042", STAN: "000317", Date: "0301"}.Digits()
		l.no(err, m.SetText(37, "506009000317"), m.SetDigits(61, digits))
	}
	l.want(s, "00")
	if got := named(next(0x0220)); got != "506009000317/0000420003170301" {
		t.Errorf("the terminal's refund names %q", got)
	}
	a := acquirer{t: t, w: w, spec: bankSpec(t, "iso87_ascii"), listener: "in0",
		framing: dialectFraming("iso87_ascii")}
	m := a.message(0x0220, 7, "200000", 2, 900)
	digits, err := message.OriginalElements{MTI: "0200", STAN: "000317", Sent: "0301101112",
		Acquirer: "00048021234", Forwarder: "00000000000"}.Digits()
	a.no(err)
	a.no(m.SetDigits(90, digits))
	a.want(m, "00")
	if got := named(next(0x0220)); got != "/0000000003170301" {
		t.Errorf("the acquirer's refund names %q", got)
	}
	l.want(l.sale(pos.Purchase, 3, 5_074, nil), "98")
	sale := next(0x0200)
	stan, _ := sale.STAN()
	private, _ := sale.Digits(60)
	for _, mti := range []message.MTI{0x0400, 0x0401} {
		back := next(mti)
		again, _ := back.STAN()
		if p, _ := back.Digits(60); again != stan || p != private || back.ResponseCode() != "98" ||
			named(back) != fmt.Sprintf("/%s%06d%s", private[2:8], stan, private[4:8]) {
			t.Errorf("%v: number %d of %d, field 60 %s, names %s", mti, again, stan, p, named(back))
		}
	}
	w.settled()
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// What a day at the bank edge has besides faults: frozen cards, settlement, loads of purses,
// acquirers of other dialects.

// desk makes an operator's call and reads the answer into v, which may be nil.
func (w *bankTown) desk(path string, body, v any) {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	c := sim.NewClient(sim.ClientOptions{Addr: w.node.gate()})
	defer c.Close()
	r, err := c.Operate(w.t.Context(), w.node.secret(adminTokenFile), http.MethodPost, path, text)
	if err != nil || r.Refused != nil {
		w.t.Fatalf("%s: %d %v %v", path, r.Status, r.Refused, err)
	}
	if v != nil {
		if err := json.Unmarshal(r.Body, v); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestE2EBankFrozen: a card that is frozen at the gate moves no money at a bank: nothing of it
// leaves the switch. What was sold before can still be reversed.
func TestE2EBankFrozen(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{})
	l := w.till(1)
	sold, undone := l.sale(pos.Purchase, 1, 5_000, nil), l.sale(pos.Purchase, 1, 600, nil)
	held := l.sale(pos.PreAuth, 1, 7_000, nil)
	for _, s := range []*sale{sold, undone, held} {
		l.want(s, "00")
	}
	w.desk("/v1/freezes", map[string]any{"card": w.cards[1].Digits(), "reason": "lost",
		"scope": []string{"all"}, "note": "test"}, nil)
	requests := w.counts().Requests
	for _, s := range []*sale{
		l.sale(pos.Purchase, 1, 100, nil), l.sale(pos.PreAuth, 1, 100, nil),
		l.sale(pos.Void, 1, 5_000, sold), l.sale(pos.Refund, 1, 100, sold),
		l.sale(pos.Balance, 1, 0, nil), l.sale(pos.Completion, 1, 7_000, held),
	} {
		l.want(s, "62", "41", "43")
	}
	if now := w.counts().Requests; now != requests {
		t.Errorf("%d messages about a frozen card reached the bank", now-requests)
	}
	l.undo(undone, "00")
	w.eventually("the reversal to reach the bank", func() bool { return w.counts().Reversed == 1 })
	l.want(l.sale(pos.Purchase, 2, 100, nil), "00") // other cards go on
	w.reconcile()
}

// settle sends the totals of the till's batch and returns the verdict.
func (l *till) settle(own message.Totals) message.Verdict {
	l.t.Helper()
	l.stan++
	digits, err := message.Settlement{Domestic: own}.Digits()
	m := l.message(message.SettlementRequest, l.stan, message.Private{Type: "00", Network: "201"})
	l.no(err, m.SetDigits(48, digits), m.SetText(49, "156"), m.SetBytes(63, []byte("01 ")))
	a := l.ask(m)
	text, _ := a.Digits(48)
	s, err := message.ParseSettlement(text)
	l.no(err)
	if a.ResponseCode() != "00" {
		l.t.Errorf("settlement: %s", a.ResponseCode())
	}
	return s.Domestic.Verdict
}

// TestE2EBankSettlement: a batch balances with what the ledger has of it; one that does not is
// uploaded and kept; the next sign-on begins the next batch. All of it survives a restart.
func TestE2EBankSettlement(t *testing.T) {
	t.Parallel()
	w := newBankTown(t, bankPlan{behaviour: bankRules()})
	l := w.till(1)
	l.signOnPlain()
	day := func() {
		sold := l.sale(pos.Purchase, 1, 5_000, nil)
		l.want(sold, "00")
		l.want(l.sale(pos.Refund, 1, 700, sold), "00")
		l.want(l.sale(pos.OfflineSale, 2, 300, nil), "00")
		held := l.sale(pos.PreAuth, 3, 9_000, nil)
		l.want(held, "00")
		l.want(l.sale(pos.Completion, 3, 8_000, held), "00")
		voided := l.sale(pos.Purchase, 4, 400, nil)
		l.want(voided, "00")
		l.want(l.sale(pos.Void, 4, 400, voided), "00")
		l.want(l.sale(pos.Purchase, 5, 1_074, nil), "98")
		undone := l.sale(pos.Purchase, 6, 1_000, nil)
		l.want(undone, "00")
		l.undo(undone, "00")
	}
	right := message.Totals{DebitAmount: 13_300, DebitCount: 3, CreditAmount: 700, CreditCount: 1}
	day()
	if v := l.settle(right); v != message.Balanced {
		t.Errorf("verdict %v, want balanced", v)
	}
	first := l.batch
	l.signOnPlain()
	if l.batch <= first {
		t.Errorf("batch %s follows %s", l.batch, first)
	}
	day()
	wrong := right
	wrong.DebitAmount++
	if v := l.settle(wrong); v != message.Unbalanced {
		t.Errorf("verdict %v, want unbalanced", v)
	}
	rows := []message.UploadRow{{Type: "22", STAN: 20, PAN: w.cards[1], Amount: 5_001},
		{Type: "25", STAN: 21, PAN: w.cards[1], Amount: 700}}
	digits, err := message.UploadDigits(rows)
	l.no(err)
	for range 2 { // sent again: kept once
		m := l.message(message.FileAdvice, 500, message.Private{Type: "00", Network: "201"})
		l.no(m.SetDigits(48, digits))
		if a := l.ask(m); a.ResponseCode() != "00" {
			t.Errorf("upload: %s", a.ResponseCode())
		}
	}
	end := l.ask(l.message(message.FileAdvice, 501, message.Private{Type: "00", Network: "202"}))
	if end.ResponseCode() != "00" {
		t.Errorf("end of the upload: %s", end.ResponseCode())
	}
	w.node.kill()
	l.hangUp()
	w.start()
	var all []bank.Batch
	if err := w.ask("/bank/batches", &all); err != nil {
		t.Fatal(err)
	}
	ours := bank.Sums{DebitAmount: 13_300, DebitCount: 3, CreditAmount: 700, CreditCount: 1}
	if len(all) != 2 || all[0].Verdict != "balanced" || all[1].Verdict != "unbalanced" ||
		all[0].Ours != ours || all[1].Ours != ours || all[1].Theirs.DebitAmount != 13_301 ||
		all[1].Uploaded != 2 || !all[1].Complete {
		t.Errorf("kept: %+v", all)
	}
	second := l.batch
	l.signOnPlain()
	if l.batch <= second {
		t.Errorf("batch %s follows %s", l.batch, second)
	}
	w.reconcile()
}

// signOnPlain signs on without keys and takes the batch number.
func (l *till) signOnPlain() {
	l.t.Helper()
	l.stan++
	a := l.ask(l.message(message.NetworkRequest, l.stan, message.Private{Type: "00", Network: "001"}))
	digits, _ := a.Digits(60)
	p, err := message.ParsePrivate(digits)
	l.no(err)
	if a.ResponseCode() != "00" || len(p.Batch) != 6 {
		l.t.Fatalf("sign-on: %s, batch %q", a.ResponseCode(), p.Batch)
	}
	l.batch = p.Batch
}

// The forms of loads: from a bank card onto a purse, and for cash.
var (
	tillBankLoad = tillForm{0x0200, "600000", "91", "45"}
	tillCashLoad = tillForm{0x0200, "630000", "91", "46"}
)

// load makes a load of the purse that a bank card pays, or the purse's own for cash.
func (l *till) load(form *tillForm, card int, minor int64, purse pan.Number) *sale {
	s := l.sale(pos.Purchase, card, minor, nil)
	s.form = form
	if form == &tillCashLoad {
		s.card = purse
		return s
	}
	s.change = func(m *message.Message) { l.no(m.SetBytes(62, []byte(purse.Digits()))) }
	return s
}

// purse asks the desk for the balance of a purse.
func (w *bankTown) purse(n pan.Number) int64 {
	w.t.Helper()
	var c struct{ Balance int64 }
	w.desk("/v1/cards:lookup", map[string]string{"card": n.Digits()}, &c)
	return c.Balance
}

// TestE2EBankLoad: a load moves money out of the bank's account and into the purse, or
// neither: when the purse refuses, when the bank does not answer, and when the switch dies
// between the two.
func TestE2EBankLoad(t *testing.T) {
	t.Parallel()
	plan := e2ePlan(t, 1, 4)
	b := bankRules()
	b.Rules = append([]bankhost.Rule{{Kind: "load", AmountEnds: "74", Times: 1,
		Effect: bankhost.LoseAnswer}}, b.Rules...)
	w := newBankTown(t, bankPlan{behaviour: b, file: func(f *bankFile) {
		f.whole["purse_bins"] = []string{"31"}
	}})
	c := sim.NewClient(sim.ClientOptions{Addr: w.node.gate()})
	defer c.Close()
	token := w.node.secret(adminTokenFile)
	if _, err := sim.EnrolAll(t.Context(), c, token, plan.Enrolments()); err != nil {
		t.Fatal(err)
	}
	purse := plan.Cards[0].Number
	for _, card := range plan.Cards {
		if strings.HasPrefix(card.Number.Digits(), "31") {
			purse = card.Number
		}
	}
	before := w.purse(purse)
	want := func(delta int64) {
		t.Helper()
		if got := w.purse(purse) - before; got != delta {
			t.Errorf("the purse has %d more, want %d", got, delta)
		}
	}
	l := w.till(1)
	loaded := l.load(&tillBankLoad, 1, 5_000, purse)
	l.want(loaded, "00")
	want(5_000)
	l.want(loaded, "00") // said again
	want(5_000)
	cash := l.load(&tillCashLoad, 1, 2_000, purse)
	l.want(cash, "00")
	l.want(cash, "00")
	want(7_000)
	if got := w.counts().Kinds[bankhost.Load]; got != 1 {
		t.Errorf("%d loads at the bank, want 1", got)
	}
	tooMuch := l.load(&tillBankLoad, 2, 9_000_000, purse)
	if code := l.do(tooMuch); code == "00" {
		t.Error("a load above the limit of the purse is approved")
	}
	l.want(l.load(&tillBankLoad, 3, 1_074, purse), "98")
	w.settled()
	want(7_000)
	if got := w.counts().Reversed; got != 2 {
		t.Errorf("%d loads were reversed at the bank, want 2", got)
	}
	// Dead between the bank's answer, the purse and the approval.
	for i, point := range []string{"bank_forwarded", "bank_committed"} {
		w.node.kill()
		l.hangUp()
		if err := w.tryStart(fmt.Sprintf("%s=%s:1", failpointEnv, point)); err != nil {
			t.Fatal(err)
		}
		s := l.load(&tillBankLoad, 4+i, 300, purse)
		l.say(l.request(s))
		<-w.node.done()
		l.hangUp()
		w.start()
		a := l.insist(l.reversal(s))
		if a.ResponseCode() != "00" {
			t.Errorf("%s: the reversal gets %s", point, a.ResponseCode())
		}
	}
	w.settled()
	want(7_000)
	w.reconcile()
	// The bank pays once: what all records together take from it is what it has booked.
	var issuer int64
	for _, r := range w.node.parquet() {
		for _, p := range r.Postings {
			if strings.HasPrefix(string(p.Account), "issuer/") {
				issuer -= int64(p.Amount)
			}
		}
	}
	if posted := w.banks[0].Summary().Posted; issuer != posted {
		t.Errorf("the ledger has %d from the bank, the bank %d", issuer, posted)
	}
}

// TestE2EBankAcquirers: acquirers that speak ISO 8583:1987 in ASCII and BCD sell, void with
// field 90 and reverse with 0420 through the same switch.
func TestE2EBankAcquirers(t *testing.T) {
	t.Parallel()
	specs := []string{"iso87_ascii", "iso87_bcd", "cups"}
	w := newBankTown(t, bankPlan{file: func(f *bankFile) {
		for i, name := range specs {
			f.listeners = append(f.listeners, bankDoc{"name": fmt.Sprintf("in%d", i),
				"address": "127.0.0.1:0", "spec": name, "acquirer": "48021234"})
		}
	}})
	for i, name := range specs {
		t.Run(name, func(t *testing.T) {
			a := acquirer{t: t, w: w, spec: bankSpec(t, name), listener: fmt.Sprintf("in%d", i)}
			a.framing.Form = message.ASCII4
			if name == "iso87_bcd" {
				a.framing.Form = message.Binary2
			}
			sold := a.message(0x0200, 1, "000000", 10+i, 5_000)
			a.want(sold, "00")
			a.want(sold, "00") // once
			lost := a.message(0x0200, 2, "000000", 10+i, 600)
			a.want(lost, "00")
			a.want(a.undo(0x0420, 3, lost), "00")
			a.want(a.undo(0x0421, 3, lost), "00")
			a.want(a.undo(0x0420, 4, a.message(0x0200, 99, "000000", 10+i, 1)), "25")
			a.want(a.message(0x0100, 5, "030000", 10+i, 900), "00")
			a.want(a.message(0x0200, 6, "310000", 10+i, 0), "00")
			a.want(a.message(0x0800, 7, "", 0, 0), "00")
		})
	}
	w.reconcile()
	_, theirs := w.theirs()
	for _, n := range theirs {
		if n != 5_000 && n != 0 {
			t.Errorf("a card owes %d, want 5000", n)
		}
	}
	if c := w.counts(); c.Reversed != int64(len(specs)) {
		t.Errorf("%d reversed, want %d", c.Reversed, len(specs))
	}
}

// acquirer is a host that speaks for its terminals.
type acquirer struct {
	t        testing.TB
	w        *bankTown
	spec     *message.Spec
	framing  message.Framing
	listener string
}

func (a *acquirer) no(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *acquirer) message(mti message.MTI, stan uint32, processing string, card int,
	minor int64) *message.Message {
	a.t.Helper()
	m := message.New(a.spec, mti)
	head, err := message.NewCUPSHeader("48025800", "48021234")
	a.no(err)
	m.CUPS = head
	a.no(m.SetSTAN(stan))
	a.no(m.SetDigits(7, fmt.Sprintf("1122%06d", stan)))
	if processing == "" {
		a.no(m.SetDigits(70, "301"))
		return m
	}
	a.no(m.SetPAN(a.w.cards[card]))
	a.no(m.SetDigits(3, processing))
	if minor > 0 {
		a.no(m.SetAmount(minor))
	}
	if mti.Class() == message.Authorization {
		a.no(m.SetDigits(25, "06"))
	} else {
		a.no(m.SetDigits(25, "00"))
	}
	a.no(m.SetDigits(32, "48021234"))
	a.no(m.SetText(37, fmt.Sprintf("%s%09d", "326", int(stan)+1000*int(a.listener[2]))))
	a.no(m.SetText(41, "ACQ00001"))
	a.no(m.SetText(42, "848290041116000"))
	a.no(m.SetText(49, "156"))
	return m
}

// undo is the reversal of a message.
func (a *acquirer) undo(mti message.MTI, stan uint32, of *message.Message) *message.Message {
	a.t.Helper()
	m := message.New(a.spec, mti)
	m.CUPS = of.CUPS
	a.no(m.Copy(of, 2, 3, 4, 25, 32, 37, 41, 42, 49))
	a.no(m.SetSTAN(stan))
	a.no(m.SetDigits(7, fmt.Sprintf("1122%06d", stan)))
	original, _ := of.STAN()
	sent, _ := of.Digits(7)
	digits, err := message.OriginalElements{MTI: of.MTI().String(),
		STAN: fmt.Sprintf("%06d", original), Sent: sent, Acquirer: "00048021234",
		Forwarder: "00000000000"}.Digits()
	a.no(err)
	a.no(m.SetDigits(90, digits))
	return m
}

// want sends a message over a connection of its own and checks the answer.
func (a *acquirer) want(m *message.Message, code string) {
	a.t.Helper()
	nc, err := a.w.dial(a.t.Context(), a.listener)
	a.no(err)
	defer nc.Close()
	frame, err := m.Append(nil)
	a.no(err)
	_, err = nc.Write(wire(a.t, a.framing, frame))
	a.no(err)
	reply, err := message.NewReader(nc, a.framing).Next()
	a.no(err)
	r, err := message.Parse(a.spec, reply)
	a.no(err)
	want, _ := m.MTI().Answer()
	got, _ := r.STAN()
	stan, _ := m.STAN()
	if r.MTI() != want || got != stan || r.ResponseCode() != code {
		a.t.Errorf("%v with number %d: %v with %d says %s, want %s", m.MTI(), stan, r.MTI(), got,
			r.ResponseCode(), code)
	}
}

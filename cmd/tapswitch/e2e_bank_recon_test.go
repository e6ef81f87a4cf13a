package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Reconciliation by totals, who may order it, and the one currency.

// reconTown has an acquirer on iso87_ascii and a bank that speaks it too.
func reconTown(t *testing.T, b bankhost.Behaviour) *bankTown {
	t.Helper()
	return newBankTown(t, bankPlan{behaviour: b,
		host: func(_ int, o *bankhost.Options) { o.Spec = bankSpec(t, "iso87_ascii") },
		file: func(f *bankFile) {
			f.links[0]["spec"] = "iso87_ascii"
			f.links[0]["reconcile"] = bankDoc{"at": "03:00"}
			f.listeners = append(f.listeners, bankDoc{"name": "acq", "address": "127.0.0.1:0",
				"spec": "iso87_ascii", "acquirer": "10000001"})
		}})
}

// totals sends an acquirer's 0500 with totals and returns the answer.
func (a *institution) totals(m *message.Message, g tally.Gross) *message.Message {
	a.t.Helper()
	for _, f := range g.Fields() {
		if f.Number == 97 {
			a.no(m.SetText(97, f.Digits))
			continue
		}
		a.no(m.SetDigits(f.Number, f.Digits))
	}
	return a.ask(m)
}

// TestE2EBankAcquirerReconciles: an acquirer's totals are compared with the ledger; what it is
// answered is kept and listed, a repeat is answered alike, and the next period begins where this
// one ended.
func TestE2EBankAcquirerReconciles(t *testing.T) {
	t.Parallel()
	w := reconTown(t, bankhost.Behaviour{})
	l := w.till(1)
	l.want(l.sale(pos.Purchase, 90, 77_700, nil), "00") // not the acquirer's
	a := w.institution("acq")
	for i, minor := range []int64{1_000, 2_000, 3_000} {
		if code := a.ask(a.money(message.FinancialRequest, "000000", i, minor)).ResponseCode(); code != "00" {
			t.Fatalf("sale: %s", code)
		}
	}
	undone := a.money(message.FinancialRequest, "000000", 5, 4_000)
	a.ask(undone)
	sent, _ := undone.Digits(7)
	back := a.money(message.ReversalRequest, "000000", 5, 4_000)
	digits, err := message.OriginalElements{MTI: "0200", STAN: pad(a.stan - 1), Sent: sent,
		Acquirer: "00010000001", Forwarder: "00000000000"}.Digits()
	a.no(err, back.SetDigits(90, digits))
	if code := a.ask(back).ResponseCode(); code != "00" {
		t.Fatalf("reversal: %s", code)
	}
	refund := a.money(message.FinancialAdvice, "200000", 6, 500)
	if code := a.ask(refund).ResponseCode(); code != "00" {
		t.Fatalf("refund: %s", code)
	}
	w.settled()
	mine := tally.Gross{Debits: tally.Side{Count: 4, Amount: 10_000, ReversedCount: 1,
		ReversedAmount: 4_000}, Credits: tally.Side{Count: 1, Amount: 500}}
	m := a.message(message.SettlementRequest)
	for _, mti := range []message.MTI{0x0500, 0x0501} {
		m.SetMTI(mti)
		answer := a.totals(m, mine)
		if v, _ := answer.Digits(66); v != "1" || answer.MTI() != 0x0510 || answer.ResponseCode() != "00" {
			t.Errorf("%v: code %s, field 66 %s", mti, answer.ResponseCode(), v)
		}
		if n, _ := answer.Digits(88); n != "0000000000010000" {
			t.Errorf("%v: our debits are %s", mti, n)
		}
	}
	w.node.kill() // the cut is durable
	w.start()
	a.hangUp()
	a.sell(250)
	w.settled()
	answer := a.totals(a.message(message.SettlementRequest), tally.Gross{Debits: tally.Side{Count: 1,
		Amount: 240}})
	if v, _ := answer.Digits(66); v != "2" {
		t.Errorf("10 fen less: field 66 %s", v)
	}
	if v, _ := answer.Digits(88); v != "0000000000000250" {
		t.Errorf("our debits of the second period are %s", v)
	}
	if code := a.ask(a.message(message.SettlementRequest)).ResponseCode(); code != "30" {
		t.Errorf("an 0500 without totals: %s", code)
	}
	var all []bank.Batch
	if err := w.ask("/bank/batches?terminal=acquirer@10000001", &all); err != nil || len(all) != 2 ||
		all[0].Verdict != tally.Balanced || all[1].Verdict != tally.Unbalanced ||
		all[0].Ours.DebitAmount != 6_000 || all[1].Theirs.DebitAmount != 240 {
		t.Errorf("%v %+v", err, all)
	}
	out, err := w.command("batches")
	if err != nil || !strings.Contains(out, "acquirer@10000001") || !strings.Contains(out, "unbalanced") {
		t.Errorf("%v: %s", err, out)
	}
	if v := w.metric(`tapswitch_bank_total{event="unbalanced"}`); v != "1" {
		t.Errorf("the metric of totals that differ is %q", v)
	}
}

// TestE2EBankIsReconciled: the bank is told our totals on command. One that does not answer is
// told the same again, over a kill too, and one whose totals differ is out of balance.
func TestE2EBankIsReconciled(t *testing.T) {
	t.Parallel()
	w := reconTown(t, bankhost.Behaviour{LoseReconciliations: 2})
	l := w.till(1)
	first := l.sale(pos.Purchase, 1, 1_000, nil)
	l.want(first, "00")
	l.want(l.sale(pos.Purchase, 2, 2_000, nil), "00")
	l.want(l.sale(pos.Void, 1, 1_000, first), "00")
	w.settled()
	if s := w.link("b0").Tasks["reconcile"]; s.Due == 0 {
		t.Errorf("nothing is due: %+v", s)
	}
	if out, err := w.command("reconcile", "b0"); err == nil {
		t.Errorf("a bank that does not answer: %s", out)
	}
	l.want(l.sale(pos.Purchase, 3, 9_000, nil), "00") // of the next period
	w.node.kill()
	w.start()
	l.hangUp()
	batches := func() (all []bank.Batch) {
		if err := w.ask("/bank/batches?terminal=bank@b0", &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	w.eventually("an answer", func() bool { return len(batches()) == 1 })
	b := batches()[0]
	if b.Verdict != tally.Balanced || b.Ours.DebitAmount != 2_000 || b.Said != "1" ||
		b.OurGross.Debits.ReversedAmount != 1_000 {
		t.Errorf("%+v", b)
	}
	if n := w.counts().Reconciled; n != 1 {
		t.Errorf("the bank worked on %d reconciliations", n)
	}
	w.settled()
	out, err := w.command("reconcile", "b0", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &b)
	}
	if err != nil || b.Number != 2 || b.Verdict != tally.Balanced || b.Ours.DebitAmount != 9_000 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestE2EBankCountsGross: a sale whose answer was lost and that the bank undid is in its totals,
// gross and reversed, and in ours; one that never reached it is in neither. Of the next period
// nothing is left.
func TestE2EBankCountsGross(t *testing.T) {
	t.Parallel()
	w := reconTown(t, bankhost.Behaviour{Rules: []bankhost.Rule{
		{Kind: "purchase", AmountEnds: "74", Effect: bankhost.LoseAnswer},
		{Kind: "purchase", AmountEnds: "73", Effect: bankhost.LoseRequest}}})
	l := w.till(1)
	l.want(l.sale(pos.Purchase, 1, 1_000, nil), "00")
	l.want(l.sale(pos.Purchase, 2, 5_074, nil), "98")
	l.want(l.sale(pos.Purchase, 3, 7_073, nil), "98")
	back := l.sale(pos.Purchase, 4, 3_000, nil)
	l.want(back, "00")
	l.undo(back, "00")
	w.settled()
	reconciled := func(want tally.Side) {
		t.Helper()
		var b bank.Batch
		out, err := w.command("reconcile", "b0", "-o", "json")
		if err == nil {
			err = json.Unmarshal([]byte(out), &b)
		}
		if err != nil || b.Verdict != tally.Balanced || b.OurGross.Debits != want {
			t.Errorf("%v: want %+v: %s", err, want, out)
		}
	}
	reconciled(tally.Side{Count: 3, Amount: 9_074, ReversedCount: 2, ReversedAmount: 8_074})
	reconciled(tally.Side{})
}

// TestE2EBankTotalsDiffer: a bank that has other totals is out of balance, and that is told.
func TestE2EBankTotalsDiffer(t *testing.T) {
	t.Parallel()
	w := reconTown(t, bankhost.Behaviour{ReconcileOff: 7})
	l := w.till(1)
	l.want(l.sale(pos.Purchase, 1, 1_000, nil), "00")
	w.settled()
	out, err := w.command("reconcile", "b0")
	if err == nil || !strings.Contains(out, tally.Unbalanced) || !strings.Contains(out, "1/1007 there") {
		t.Errorf("%v: %s", err, out)
	}
	if v := w.metric(`tapswitch_bank_total{event="unbalanced"}`); v != "1" {
		t.Errorf("the metric of totals that differ is %q", v)
	}
	if line := w.audited()[0]; line.Action != "reconciliation" || line.Outcome != tally.Unbalanced ||
		line.Actor.Name != "admin" {
		t.Errorf("the trail has %+v", line)
	}
}

// TestE2EBankOperators: what changes something wants the token of an operator with the role;
// what only reads wants none. Who did it is written down.
func TestE2EBankOperators(t *testing.T) {
	t.Parallel()
	b := bankhost.Behaviour{KeyOrder: bankhost.KeyAnswered,
		Rules: []bankhost.Rule{{Kind: "offline_sale", Code: "05"}}}
	w := ordering(t, b, nil)
	l := w.till(1)
	l.signOn()
	l.want(l.sale(pos.OfflineSale, 1, 1_000, nil), "00") // the bank refuses it: a dead letter
	w.eventually("a dead letter", func() bool { return len(w.dead()) == 1 })
	request := w.dead()[0].Request
	token := func(name string, role gate.Role) string {
		t.Helper()
		code, body := w.asOperator(http.MethodPut, "/v1/operators/"+name,
			fmt.Sprintf(`{"roles":[%q]}`, role))
		var made struct{ Token string }
		if err := json.Unmarshal([]byte(body), &made); err != nil || made.Token == "" {
			t.Fatalf("%d %s: %v", code, body, err)
		}
		path := filepath.Join(w.dir, name+".token")
		if err := os.WriteFile(path, []byte(made.Token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wang, chen := token("wang", gate.RoleDesk), token("chen", gate.RoleFinance)
	strange := filepath.Join(w.dir, "strange.token")
	if err := os.WriteFile(strange, []byte("tapswitch_nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ token, want string }{{"", "no token"},
		{strange, "no operator has this token"}, {wang, "none of the roles"}} {
		for _, args := range [][]string{{"close", request}, {"retry", request}, {"keys", "b0"},
			{"reconcile", "b0"}} {
			if out, err := w.commandAs(c.token, args...); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v with token %q: %v %s", args, filepath.Base(c.token), err, out)
			}
		}
	}
	resp, err := http.Post("http://"+w.node.admin()+"/bank/dead/"+request+"/close", "", nil)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a call without a token: %v %v", resp.Status, err)
	}
	_ = resp.Body.Close()
	if out, err := w.commandAs(chen, "keys", "b0"); err == nil || !strings.Contains(out, "none of the roles") {
		t.Errorf("finance orders keys: %s", out)
	}
	if n := w.counts().KeyOrders; n != 0 || len(w.dead()) != 1 || len(w.audited()) != 0 {
		t.Errorf("a refused call did something: %d orders, %v", n, w.audited())
	}
	if out, err := w.commandAs(chen, "close", request); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	line := w.audited()[0]
	if line.Actor.Name != "chen" || line.Actor.Role != "finance" || line.Action != "close" ||
		line.Subject != request || len(w.dead()) != 0 {
		t.Errorf("the trail has %+v", line)
	}
	if out, err := w.commandAs("", "status"); err != nil {
		t.Errorf("status wants a token: %s", out)
	}
	if out, err := w.command("keys", "nowhere"); err == nil || !strings.Contains(out, "no such link") {
		t.Errorf("a link that there is not: %s", out)
	}
	if out, err := w.command("audit"); err != nil || !strings.Contains(out, "chen") {
		t.Errorf("%v: %s", err, out)
	}
	w.absent(keyringtest.Bytes(t, keyringtest.KeyB))
}

// asOperator makes a call of the gate with the token of its first operator.
func (w *bankTown) asOperator(method, path, body string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.node.gate()+path,
		strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.node.secret(adminTokenFile))
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestE2EBankOneCurrency: what is in another currency is declined with 12 and its reason, and no
// bank hears of it, from terminals and acquirers, asked for or advised.
func TestE2EBankOneCurrency(t *testing.T) {
	t.Parallel()
	w := reconTown(t, bankhost.Behaviour{})
	l, a := w.till(1), w.institution("acq")
	before := w.counts().Requests
	for i, c := range []struct {
		kind pos.Kind
		code string
	}{{pos.Purchase, "840"}, {pos.PreAuth, "344"}, {pos.OfflineSale, "840"}, {pos.Purchase, "USD"},
		{pos.Balance, "840"}} {
		s := l.sale(c.kind, i, 1_000, nil)
		s.change = func(m *message.Message) { l.no(m.SetText(49, c.code)) }
		l.want(s, "12")
	}
	m := a.money(message.FinancialRequest, "000000", 7, 1_000)
	a.no(m.SetText(49, "978"))
	if code := a.ask(m).ResponseCode(); code != "12" {
		t.Errorf("an acquirer's: %s", code)
	}
	l.want(l.sale(pos.Purchase, 8, 1_000, nil), "00")
	w.settled()
	if now := w.counts().Requests; now != before+1 {
		t.Errorf("%d requests went to the bank", now-before)
	}
	foreign := 0
	for _, r := range w.node.parquet() {
		if r.Reason == txn.UnknownCurrency && r.Outcome == txn.Declined {
			foreign++
		}
	}
	if foreign != 5 { // a balance inquiry leaves no record
		t.Errorf("%d records with the reason, want 5", foreign)
	}
	if v := w.metric(`tapswitch_bank_total{event="foreign_currency"}`); v != "6" {
		t.Errorf("the metric is %q", v)
	}
	w.reconcile()
}

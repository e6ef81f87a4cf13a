package account_test

import (
	"bytes"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// town drives one account at random and checks after every step what must always hold.
type town struct {
	*desk
	r     *rapid.T
	sent  []account.Command // accepted, as long as they are remembered
	cases []uint32          // of the accepted ones
	fresh uint32            // tokens given out

	dead map[pan.Token]txn.FreezeReason
	fees map[uint32]account.Fee
}

// schemes are rules that differ where the life of a card does.
func schemes() []*account.Rules {
	lapsing := plain()
	lapsing.PreReport.Lapse = account.Days{N: 2}
	lapsing.Release.AfterRefusal = account.ReleaseStaysClosed
	lapsing.Release.SecondPerson = false
	taking := applied()
	taking.Replacement.Takes = account.SetOf(account.Chip, account.ECard, account.QR)
	taking.Tariff = append(taking.Tariff, account.FeeRule{Event: account.LossReport, Amount: 300,
		Income: "income/fees", Waivers: []string{"hardship"}})
	return []*account.Rules{plain(), applied(), lapsing, taking}
}

// TestRandomHistories drives random commands, copies of commands, failures and times
// through Apply while effects are carried out now and then.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rules := schemes()[rapid.IntRange(0, len(schemes())-1).Draw(r, "scheme")]
		w := &town{desk: newDesk(t, rules), r: r, fresh: 100, dead: map[pan.Token]txn.FreezeReason{},
			fees: map[uint32]account.Fee{}}
		for range rapid.IntRange(1, 80).Draw(r, "steps") {
			w.turn()
			w.check()
		}
		w.desk.settle()
		w.check()
		w.quiet()
	})
}

func (w *town) pick(n int, what string) int { return rapid.IntRange(0, n-1).Draw(w.r, what) }

// turn does one thing.
func (w *town) turn() {
	switch w.pick(10, "turn") {
	case 0:
		w.now += txn.Millis(rapid.SampledFrom([]int64{1, int64(minute), int64(day), 20 * int64(day),
			400 * int64(day)}).Draw(w.r, "later"))
		w.tick()
	case 1, 2:
		w.work()
	case 3:
		w.repeat()
	default:
		w.now++
		w.try(w.step())
	}
}

// work carries out a few effects, fails some, and reports one twice.
func (w *town) work() {
	for range w.pick(6, "effects") {
		ready := w.doc.Ready()
		if len(ready) == 0 {
			return
		}
		e := ready[w.pick(len(ready), "effect")]
		if w.pick(5, "fails") == 0 {
			w.do(account.Failed{Seq: e.Seq, Why: "store_unavailable"})
			continue
		}
		w.carryOut(&e)
		w.do(account.Done{Seq: e.Seq})
		if out := w.do(account.Done{Seq: e.Seq}); !out.Replay {
			w.r.Fatalf("effect %d was done twice", e.Seq)
		}
	}
}

func (w *town) tick() {
	if w.doc.Opened == 0 {
		return
	}
	out := w.do(account.Tick{})
	if out.Refusal == account.TooManyEffects {
		return
	}
	if due, ok := w.doc.NextDue(w.rules); out.Refusal != account.RefusalNone || ok && due <= w.now {
		w.r.Fatalf("%s; due %s at %s", out.Refusal, due.Time(), w.now.Time())
	}
}

// repeat sends a remembered command again, or another under its id.
func (w *town) repeat() {
	if len(w.sent) == 0 {
		return
	}
	i := w.pick(len(w.sent), "copy")
	before := w.doc.Append(nil)
	out := w.send(w.sent[i])
	if !out.Replay || out.Case != w.cases[i] || len(out.Effects) != 0 {
		w.r.Fatalf("%s again: %s, case %d, first %d", w.sent[i].Step.Name(), out.Refusal, out.Case,
			w.cases[i])
	}
	other := w.sent[i]
	other.Step = account.WaiveFee{No: 4711, Why: "another"}
	if out := account.Apply(w.doc, other, w.rules, w.now); out.Refusal != account.CommandReused {
		w.r.Fatalf("another command under the same id: %s", out.Refusal)
	}
	if !bytes.Equal(before, w.doc.Append(nil)) {
		w.r.Fatal("a copy changed the document")
	}
}

// try sends a new command; a refusal leaves nothing behind, and Apply never changes what it
// was given.
func (w *town) try(step account.Step) {
	w.staff = account.Staff{ID: []string{"clerk-1", "clerk-2", "clerk-3"}[w.pick(3, "clerk")],
		Role: []string{"desk", "social_dept", "police"}[w.pick(3, "role")], Outlet: "outlet-1"}
	cmd := w.command(step)
	given, before := w.doc, w.doc.Append(nil)
	out := w.send(cmd)
	if !bytes.Equal(before, given.Append(nil)) {
		w.r.Fatalf("%s changed the document that it was given", step.Name())
	}
	if out.Refusal != account.RefusalNone {
		if out.Next != nil || len(out.Effects) != 0 || w.doc != given {
			w.r.Fatalf("%s: refused with %s, but left something", step.Name(), out.Refusal)
		}
		return
	}
	w.sent, w.cases = append(w.sent, cmd), append(w.cases, out.Case)
	if len(w.sent) > account.RecentMax {
		w.sent, w.cases = w.sent[1:], w.cases[1:]
	}
	w.moment(step)
}

// moment proves that the old number is dead from the moment that the scheme names.
func (w *town) moment(step account.Step) {
	var old pan.Token
	switch s := step.(type) {
	case account.ApplyReplacement:
		if w.rules.Release.Closes == account.ClosedWhenApplied {
			old = s.Old
		}
	case account.MakeCard:
		k := w.doc.EndedCase(s.Case)
		if open := w.doc.Case(s.Case); k == nil {
			old = open.Carrier
		}
	}
	if !old.IsZero() && w.doc.MarkOf(old).Reason != txn.Replaced {
		w.r.Fatalf("%s: the old card bears %v", step.Name(), w.doc.MarkOf(old))
	}
}

func (w *town) newCarrier(kind account.CarrierKind) account.NewCarrier {
	t := token(w.fresh)
	w.fresh++
	if w.pick(8, "reuse") == 0 {
		t = w.token()
	}
	c := carrierOf(kind, t)
	c.Ready = w.pick(3, "ready") > 0
	return c
}

// token returns one of this account, living or dead, or of none.
func (w *town) token() pan.Token {
	tokens := []pan.Token{token(9999)}
	for i := range w.doc.Carriers {
		tokens = append(tokens, w.doc.Carriers[i].Token)
	}
	for i := range w.doc.Former {
		tokens = append(tokens, w.doc.Former[i].Token)
	}
	return tokens[w.pick(len(tokens), "token")]
}

func (w *town) caseNo() uint32 {
	if len(w.doc.Cases) > 0 && w.pick(6, "known") > 0 {
		return w.doc.Cases[w.pick(len(w.doc.Cases), "case")].No
	}
	return uint32(w.pick(20, "number"))
}

// step draws a command. Those of the life of a card come more often.
func (w *town) step() account.Step {
	if w.doc.Opened == 0 {
		open := w.openAccount()
		open.Carrier.Ready = w.pick(2, "ready") == 0
		return open
	}
	no, yes := w.caseNo(), w.pick(2, "flag") == 0
	kinds := []account.CarrierKind{account.ECard, account.QR, account.BankPAN, account.Chip}
	switch w.pick(30, "step") {
	case 0, 1, 2:
		return account.ReportLoss{Who: holder, Form: account.Written, BankTold: true}
	case 3:
		return account.PreReport{Who: phoned, Why: "abroad"}
	case 4, 5:
		return account.RequestRelease{Who: holder}
	case 6, 7:
		return account.ConfirmRelease{Case: no, Deny: w.pick(4, "deny") == 0}
	case 8, 9, 10:
		return account.ApplyReplacement{Who: holder, Old: w.token(), Accept: yes}
	case 11:
		return account.ApplyRenewal{Who: holder, Old: w.token(), Ground: account.Damaged, Accept: yes}
	case 12:
		return account.AcceptCase{Case: no}
	case 13, 14, 15:
		return account.MakeCard{Case: no, Carrier: w.newCarrier(account.Chip)}
	case 16:
		return account.RefuseCase{Case: no, Paper: letter}
	case 17:
		return account.WithdrawCase{Case: no}
	case 18:
		return account.BindTemporary{Case: no, As: account.QR,
			Carrier: w.newCarrier(account.Temporary)}
	case 19, 20:
		return account.IssueCard{Case: no}
	case 21, 22:
		return account.BindCarrier{Who: holder, Carrier: w.newCarrier(kinds[w.pick(4, "kind")])}
	case 23:
		return account.UnbindCarrier{Who: holder, Token: w.token()}
	default:
		return w.other(no, yes)
	}
}

func (w *town) other(no uint32, yes bool) account.Step {
	fee := uint32(w.pick(8, "fee"))
	switch w.pick(17, "other") {
	case 0, 1:
		return account.Suspend{App: txn.AppSocial, Decision: "D-1", Fault: account.Lent}
	case 2:
		return account.Restore{App: txn.AppSocial, Decision: "D-2"}
	case 3:
		return account.FreezeRisk{Scope: txn.AppPurse, Ground: "cloned"}
	case 4:
		return account.LiftRisk{Why: "checked"}
	case 5:
		return account.PayFee{No: fee}
	case 6:
		return account.WaiveFee{No: fee, Why: "hardship"}
	case 7:
		return account.OpenFunction{App: txn.AppLibrary, Channel: account.AtOutlet}
	case 8:
		return account.CloseFunction{App: txn.AppLibrary, Channel: account.AtOutlet}
	case 9:
		return account.ActivateBank{Off: yes}
	case 10:
		return account.SetRider{Rider: account.Rider{Category: txn.RiderSenior, Source: "civil"}}
	case 11:
		return account.OpenComplaint{Who: holder, Txns: txns(2)}
	case 12:
		return account.AnswerComplaint{Case: no, Paper: letter, ProofNo: "P"}
	case 13:
		return account.OpenCorrection{Who: holder, Field: account.HolderName, New: account.Digest{1}}
	case 14:
		return account.CloseCorrection{Case: no, Corrected: yes, Paper: letter}
	case 15:
		return account.RequestCancellation{Who: holder}
	default:
		return account.CompleteCancellation{Case: no, Outlet: "outlet-1"}
	}
}

// check proves what holds after every step.
func (w *town) check() {
	w.terminal()
	w.projected()
	w.fate()
	for i := range w.doc.Cases {
		if k := &w.doc.Cases[i]; k.State.Ended() || k.Due == 0 {
			w.r.Fatalf("case %d, %s, %s has no date", k.No, k.Kind, k.State)
		}
	}
	encoded := w.doc.Append(nil)
	back, err := account.Decode(encoded)
	if err != nil || !bytes.Equal(back.Append(nil), encoded) || len(encoded) > account.EncodedMax {
		w.r.Fatalf("%d bytes: %v", len(encoded), err)
	}
}

// terminal: a replaced or cancelled number is dead from then on, and its mark the same.
func (w *town) terminal() {
	for i := range w.doc.Former {
		f := &w.doc.Former[i]
		reason := txn.Cancelled
		if f.Status == account.Replaced {
			reason = txn.Replaced
		}
		if _, known := w.dead[f.Token]; !known {
			w.dead[f.Token] = reason
		}
	}
	for t, reason := range w.dead {
		if m := w.doc.MarkOf(t); m != (txn.Mark{Reason: reason, Scope: txn.AppAll}) ||
			w.doc.Carrier(t) != nil {
			w.r.Fatalf("%s, once %s, bears %v", t, reason, m)
		}
	}
}

// projected: what the effects done and still to be done make of each carrier is what the
// document says, and none is written after a terminal one.
func (w *town) projected() {
	marks, cards := map[pan.Token]txn.Mark{}, map[pan.Token]account.CardState{}
	for t, m := range w.marks {
		marks[t] = m
	}
	for t, c := range w.cards {
		cards[t] = c
	}
	for i := range w.doc.ToDo {
		switch e := &w.doc.ToDo[i]; e.Kind {
		case account.SetMark:
			if marks[e.Carrier].Reason.Terminal() {
				w.r.Fatalf("a mark is to be set after %v", marks[e.Carrier])
			}
			marks[e.Carrier] = e.Mark
		case account.Enrol, account.Amend:
			cards[e.Carrier] = e.Card
		}
	}
	for i := range w.doc.Carriers {
		c := &w.doc.Carriers[i]
		if m := w.doc.MarkOf(c.Token); marks[c.Token] != m {
			w.r.Fatalf("%s: effects make %v, the union is %v", c.Token, marks[c.Token], m)
		}
		if c.Kind != account.BankPAN && cards[c.Token] != w.doc.Card(c, w.rules) {
			w.r.Fatalf("%s: effects make %+v", c.Token, cards[c.Token])
		}
	}
	for t := range w.dead {
		if m := w.doc.MarkOf(t); marks[t] != m {
			w.r.Fatalf("%s: effects make %v, the document says %v", t, marks[t], m)
		}
	}
}

// fate: whatever freezes one carrier freezes all, but for the credential that was bound
// for the sake of that very loss.
func (w *town) fate() {
	for i := range w.doc.Restrictions {
		r := &w.doc.Restrictions[i]
		for j := range w.doc.Carriers {
			c := &w.doc.Carriers[j]
			loss := r.Reason == txn.Lost || r.Reason == txn.PreReported
			if loss && c.Spared >= r.Case {
				if c.BoundAt < r.Since {
					w.r.Fatalf("%s was there before the loss that spares it", c.Kind)
				}
				continue
			}
			if m := w.doc.MarkOf(c.Token); m.Scope&r.Scope != r.Scope {
				w.r.Fatalf("%s freezes %v, but %s bears %v", r.Reason, r.Scope.Names(), c.Kind, m)
			}
			if loss && c.Status != account.ReportedLost && c.Status != account.InProduction {
				w.r.Fatalf("%s is %s under a loss", c.Kind, c.Status)
			}
		}
	}
	w.sum()
}

// sum: a fee is charged once, keeps its amount, and what was posted is what was paid.
func (w *town) sum() {
	for _, f := range w.doc.Fees {
		if old, ok := w.fees[f.No]; ok && (old.Amount != f.Amount || old.State != account.FeeDue &&
			old.State != f.State) {
			w.r.Fatalf("fee %+v became %+v", old, f)
		}
		w.fees[f.No] = f
	}
	if len(w.fees) != int(w.doc.LastFee) {
		w.r.Fatalf("%d fees seen, %d charged", len(w.fees), w.doc.LastFee)
	}
}

// quiet: with everything carried out, nothing is left, and the books agree.
func (w *town) quiet() {
	var paid, booked txn.Minor
	for _, f := range w.fees {
		if f.State == account.FeePaid {
			paid += f.Amount
		}
	}
	for _, e := range w.booked {
		booked += e.Amount
	}
	if paid != booked || len(w.doc.ToDo) != 0 {
		w.r.Fatalf("%d paid, %d booked, %d to do", paid, booked, len(w.doc.ToDo))
	}
}

package bank

import (
	"context"
	"errors"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/intent"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// doubtAfter is how long after the time-out of an answer a pending transaction is due: time
// for the process that asked to commit what came of it. Later, nobody does.
const doubtAfter = 5 * time.Second

// Failpoints, in the order of a transaction's life.
const (
	failBegun     = "bank_begun"     // pending is durable, nothing has left
	failForwarded = "bank_forwarded" // the bank has answered, nothing is committed
	failCommitted = "bank_committed" // the outcome is durable, the terminal has no answer
	failDoubted   = "bank_doubted"   // reversing is durable, the bank has not been told
	failTold      = "bank_told"      // the bank has taken the reversal, nothing is committed
	failDone      = "bank_done"      // reversed is durable
)

// transact takes money through the switch: route, commit as pending, ask the bank, commit
// what it said, answer.
func (o *order) transact(ctx context.Context) answer {
	if code := o.read(); code != "" {
		return answer{code: code}
	}
	if !o.sw.flights.First(o.id, o.token) {
		o.sw.stats.Declined.Add(1)
		return answer{code: txn.IDReused.Text().Field39}
	}
	if waited := o.waitForCopy(); waited != nil {
		return *waited
	}
	defer o.sw.flights.Leave(o.id)
	return o.transactOnce(ctx)
}

// waitForCopy enters the order into the flights. When a copy of it is under way it waits for
// that and returns its answer: one is executed, the other repeats what it said.
func (o *order) waitForCopy() *answer {
	for {
		under := o.sw.flights.Enter(o.id)
		if under == nil {
			return nil
		}
		o.sw.stats.Copies.Add(1)
		timer := time.NewTimer(requestMax)
		select {
		case <-under:
			timer.Stop()
		case <-timer.C:
			return &answer{none: true}
		}
	}
}

func (o *order) transactOnce(ctx context.Context) answer {
	if o.ask.Kind == txn.BankAdjustment {
		if err := o.amend(ctx); err != nil {
			o.sw.fault("adjustment", err)
			return answer{code: codeMalfunction}
		}
	}
	way := o.route()
	a := o.begin(ctx, way)
	o.noteOld(a)
	if a.Bank != nil {
		o.taken = a.Bank.At
	}
	switch {
	case a.Err != nil && errors.Is(a.Err, engine.ErrInDoubt):
		return answer{none: true} // it may be pending; then it is reversed when it is due
	case a.Err != nil:
		o.sw.fault("begin", a.Err)
		return answer{code: codeMalfunction}
	case a.Decision.Replay:
		return o.replay(ctx, a)
	case a.Decision.Outcome != txn.OutcomeNone:
		if a.Decision.Outcome == txn.Approved && a.Bank != nil && a.Bank.Phase == card.Advising {
			o.sw.teller.soon(o.token, a.Bank)
		}
		return o.result(a)
	}
	o.sw.o.Failpoint(failBegun)
	return o.ask1(ctx, way, a)
}

// way is where a transaction goes.
type way struct {
	choice route.Choice
	known  bool // a rule was found
	next   int  // index in choice.Links of the one to try next
	out    *outlet
}

// route finds where the order goes.
func (o *order) route() *way {
	w := &o.way
	*w = way{}
	w.choice, w.known = o.sw.routes.Route(route.Query{PAN: o.number, Class: o.ask.Class,
		Amount: txn.Minor(o.sum.Amount), At: o.received})
	return w
}

// take finds the next link that can be asked, nil when there is none.
func (w *way) take(s *Switch) *outlet {
	for w.next < len(w.choice.Links) {
		l := s.links[w.choice.Links[w.next]]
		w.next++
		if l != nil && l.usable() {
			w.out = l
			return l
		}
	}
	w.out = nil
	return nil
}

// begin commits the order as pending (or as declined, advised or approved in stand-in).
func (o *order) begin(ctx context.Context, w *way) engine.Answer {
	work := o.work
	work.Issuer = w.choice.Issuer
	work.Accept = o.ask.Advice
	work.OriginalElsewhere = o.ask.Kind == txn.BankRefund
	if !w.known {
		work.Reason = txn.NoRoute
	} else if out := w.take(o.sw); out != nil {
		if err := o.place7(ctx, &work, out); err != nil {
			work.Reason = txn.IssuerUnavailable
		}
		work.Due = o.now + txn.Millis((out.cfg.Timeout+doubtAfter)/time.Millisecond)
	} else {
		work.Link = w.choice.Links[0]
		o.standIn(&work, w)
	}
	if work.Accept || work.StandIn != nil {
		work.Due = o.now + txn.Millis(o.sw.o.Config.ReversalAfter/time.Millisecond)
		work.STAN, work.Sent = 0, [10]byte{} // the teller gives it its own
	}
	if o.rrn == [12]byte{} {
		rrn, err := o.sw.reference(ctx, o.now)
		if err != nil {
			return engine.Answer{Err: err}
		}
		o.rrn = rrn
	}
	work.RRN = o.rrn
	work.Sealed = o.seal()
	if work.Sealed == nil {
		work.Reason = txn.InvalidAmount
	}
	o.work = work
	r := o.request(o.ask.Kind, work)
	r.Deadline = o.now + txn.Millis(requestMax/time.Millisecond)
	return o.sw.step(ctx, r)
}

// place7 gives the transaction its trace number and time on a link.
func (o *order) place7(ctx context.Context, work *txn.BankWork, out *outlet) error {
	stan, err := out.link.Number(ctx)
	if err != nil {
		o.sw.fault("trace number", err)
		return err
	}
	work.Link, work.STAN, work.Sent = out.name, stan, sentAt(o.sw.o.Now())
	return nil
}

// standIn asks for an approval in the bank's place where the rule allows one.
func (o *order) standIn(work *txn.BankWork, w *way) {
	if work.Accept {
		return // an advice is accepted in any case
	}
	in := w.choice.StandIn
	if ok, _ := in.Allows(o.ask.Class, txn.Minor(o.sum.Amount), 0, 0); !ok {
		work.Reason = txn.IssuerUnavailable
		return
	}
	work.StandIn = &txn.StandInLimit{CountMax: in.CountMax, TotalMax: in.TotalMax,
		Since: o.sw.dayBegan(o.now)}
}

// ask1 asks the bank, by the next link where nothing left on the one before, and commits
// what came of it.
func (o *order) ask1(ctx context.Context, w *way, begun engine.Answer) answer {
	for {
		reply, sent, err := o.forward(ctx, w.out, begun)
		switch sent {
		case link.Answered:
			o.sw.o.Failpoint(failForwarded)
			return o.conclude(ctx, w.out, reply)
		case link.Unknown:
			return o.doubt(ctx, err)
		}
		next, a := o.redirect(ctx, w, err)
		if !next {
			return a
		}
	}
}

// redirect takes the order another way, since nothing left on the last one.
func (o *order) redirect(ctx context.Context, w *way, cause error) (again bool, a answer) {
	work := o.work
	work.Step = txn.BankRedirect
	var code *codeError
	if errors.As(cause, &code) {
		work.Step, work.Reason = txn.BankDecline, code.reason
		done := o.sw.step(ctx, o.request(o.ask.Kind, work))
		return false, o.committed(done)
	}
	out := w.take(o.sw)
	if out == nil || o.place7(ctx, &work, out) != nil {
		return false, o.unreachable(ctx, w)
	}
	work.Due = o.sw.o.Now() + txn.Millis((out.cfg.Timeout+doubtAfter)/time.Millisecond)
	o.work = work
	o.sw.stats.Redirected.Add(1)
	done := o.sw.step(ctx, o.request(o.ask.Kind, work))
	if done.Err != nil || done.Bank == nil || done.Bank.Phase != card.Pending {
		return false, o.committed(done)
	}
	return true, answer{}
}

// unreachable ends an order that no link took: approved in stand-in, or declined.
func (o *order) unreachable(ctx context.Context, w *way) answer {
	work := o.work
	work.Step, work.Reason, work.StandIn = txn.BankAccept, txn.ReasonNone, nil
	o.standIn(&work, w)
	if work.StandIn == nil {
		work.Step, work.Reason = txn.BankDecline, txn.IssuerUnavailable
	}
	work.Due = o.sw.o.Now()
	done := o.sw.step(ctx, o.request(o.ask.Kind, work))
	if done.Err == nil && done.Bank != nil && done.Bank.Phase == card.Advising {
		o.sw.teller.soon(o.token, done.Bank)
	}
	return o.committed(done)
}

// conclude commits the bank's answer.
func (o *order) conclude(ctx context.Context, out *outlet, reply *message.View) answer {
	work := o.work
	work.Step = txn.BankDecline
	said := out.read(reply)
	work.Code, work.Auth, o.extra = said.code, said.auth, said.extra
	if said.rrn != [12]byte{} {
		work.RRN = said.rrn
	}
	out.views.Put(reply)
	if string(said.code[:]) == codePartial && said.amount != txn.Minor(o.sum.Amount) {
		if !o.takesPart(said.amount) {
			o.work.Reason = txn.InsufficientFunds
			return o.doubt(ctx, errPartial)
		}
		work.Partial, o.extra.amount = said.amount, said.amount
	}
	meaning := message.MeaningOf(string(said.code[:]))
	if !meaning.Known {
		o.sw.log.Warn("unknown response code taken as a refusal", "link", out.name,
			"code", string(said.code[:]))
	}
	if meaning.Approved {
		work.Step = txn.BankApprove
	}
	if work.Step == txn.BankApprove && o.loadsOwnPurse() {
		if a := o.loadPurse(ctx); a != nil {
			return *a
		}
	}
	o.keepAnswer(ctx, &work)
	done := o.sw.step(ctx, o.request(o.ask.Kind, work))
	if done.Err == nil && done.Decision.Reason == txn.StoreUnavailable {
		// The outbox is full: what cannot be booked is not approved, and must be undone.
		return o.doubt(ctx, errOutboxFull)
	}
	o.sw.o.Failpoint(failCommitted)
	return o.committed(done)
}

var (
	errOutboxFull = errors.New("the outbox is full")
	errPurse      = errors.New("the purse was not loaded")
	errPartial    = errors.New("the bank approved another amount, and the terminal takes none")
)

// takesPart reports whether the terminal takes an approval of amount in place of what it asked
// for. A bank that approves more, or a part of what cannot be parted, is not believed.
func (o *order) takesPart(amount txn.Minor) bool {
	able := o.in.cfg.Partial || o.terminal != nil && o.terminal.Partial
	parts := o.ask.Kind == txn.BankPurchase || o.ask.Kind == txn.BankPreAuth
	return able && parts && amount > 0 && amount < txn.Minor(o.sum.Amount)
}

// amend says what the order may do to the transaction that it adjusts.
func (o *order) amend(ctx context.Context) error {
	t, err := o.sw.terminalState(ctx, o.id.Terminal)
	o.work.Amend = txn.Amendment{RaiseMax: o.in.cfg.AdjustPercent, OpenBatch: t.Batch}
	if string(o.sum.POSType[:]) == intent.TypeTip {
		o.work.Amend.RaiseMax, o.work.Amend.RaiseOnly = o.in.cfg.TipPercent, true
	}
	return err
}

// doubt has the order reversed: nobody knows what the bank did.
func (o *order) doubt(ctx context.Context, cause error) answer {
	o.sw.stats.Doubts.Add(1)
	o.sw.log.Warn("outcome of a bank transaction unknown", "request", o.id.String(),
		"link", o.work.Link, "cause", cause)
	work := o.work
	work.Step, work.Due = txn.BankDoubt, o.sw.o.Now()
	done := o.sw.step(context.WithoutCancel(ctx), o.request(o.ask.Kind, work))
	if done.Err != nil {
		o.sw.fault("doubt", done.Err)
		return answer{none: true} // still pending, and reversed when it is due
	}
	o.sw.o.Failpoint(failDoubted)
	if done.Bank != nil && done.Bank.Phase.Open() {
		o.sw.teller.soon(o.token, done.Bank)
	}
	if done.Decision.Outcome == txn.OutcomeNone { // a refund: the bank is told again
		return answer{none: true}
	}
	return o.result(done)
}

// committed answers with what a step left behind. Without a durable step there is no answer.
func (o *order) committed(a engine.Answer) answer {
	if a.Err != nil {
		o.sw.fault("commit", a.Err)
		return answer{none: true}
	}
	if a.Decision.Outcome == txn.OutcomeNone {
		return answer{none: true}
	}
	return o.result(a)
}

// result is the answer that a decision makes.
func (o *order) result(a engine.Answer) answer {
	out := answer{extra: o.extra, rrn: o.rrn}
	var bank [2]byte
	if a.Bank != nil {
		out.auth, out.at = a.Bank.Auth, a.Bank.At
		if !a.Bank.Advised { // of one that is, the code came after the terminal's answer
			bank = a.Bank.Code
		}
		if a.Bank.RRN != [12]byte{} {
			out.rrn = a.Bank.RRN
		}
	}
	if a.Bank == nil || a.Bank.Phase == card.Reversing || a.Bank.Phase == card.Reversed {
		out.extra = extra{} // what the bank said stands no more
	}
	out.code = codeFor(a.Decision, bank)
	if a.Decision.Outcome != txn.Approved {
		out.auth, out.extra.amount = txn.AuthCode{}, 0
		o.sw.stats.Declined.Add(1)
	} else {
		o.sw.stats.Approved.Add(1)
	}
	return out
}

// replay answers a repeat out of the card's memory, as it was answered first.
func (o *order) replay(ctx context.Context, a engine.Answer) answer {
	o.sw.stats.Replays.Add(1)
	if a.Decision.Outcome == txn.OutcomeNone {
		// Another process works on it, or the refund is still being told.
		return answer{none: true}
	}
	if o.extra = o.keptAnswer(ctx, a.Bank); a.Bank.Asked != 0 {
		o.extra.amount = a.Bank.Amount
	}
	return o.result(a)
}

// reverse undoes a transaction. It is durable, and the bank's turn, before the answer.
func (o *order) reverse(ctx context.Context) answer {
	if code := o.read(); code != "" {
		return answer{code: code}
	}
	if string(o.sum.ProcessingCode[:2]) == intent.CodeCashLoad {
		return o.reverseCash(ctx)
	}
	work := o.work
	if o.sum.Has(37) && o.original.Counter == 0 {
		work.OriginalRRN = o.sum.RRN
	}
	work.Due = o.now
	work.Sealed = o.seal()
	r := o.request(txn.BankReversal, work)
	a := o.sw.step(ctx, r)
	o.noteOld(a)
	if a.Err != nil {
		o.sw.fault("reversal", a.Err)
		return answer{none: true} // the terminal says it again
	}
	o.sw.stats.Reversals.Add(1)
	if a.Bank != nil && a.Bank.Phase == card.Reversing {
		o.sw.teller.soon(o.token, a.Bank)
	}
	out := answer{code: codeFor(a.Decision, [2]byte{})}
	if a.Bank != nil {
		out.rrn = a.Bank.RRN
	}
	return out
}

// reverseCash takes back a load against cash, or makes sure that it never happens. No bank is
// told: there was none.
func (o *order) reverseCash(ctx context.Context) answer {
	if _, ok := o.purse(); !ok {
		return answer{code: codeUnknown}
	}
	r := o.purseRequest(txn.Reversal) // its id is that of the reversal
	r.Original, r.Amount, r.Untimed = o.original, 0, true
	r.Original.Counter |= counterLoad
	a := o.sw.step(ctx, r)
	if a.Err != nil || a.Decision.Reason.Retryable() {
		o.sw.fault("reversal of a cash load", a.Err)
		return answer{none: true} // the terminal says it again
	}
	o.sw.stats.Reversals.Add(1)
	return answer{code: codeFor(a.Decision, [2]byte{})}
}

// noteOld tells the operator what 94 cannot tell the shop: which terminal counts from the
// beginning again.
func (o *order) noteOld(a engine.Answer) {
	if a.Err != nil || a.Decision.Reason != txn.IDTooOld {
		return
	}
	o.sw.stats.OldIDs.Add(1)
	o.sw.log.Warn("terminal uses the number of an old transaction again: refused with 94, not "+
		"repeated; settle and begin the terminal's next batch, with a batch number above all "+
		"before", "request", o.id.String(), "stan", o.sum.STAN)
}

// fault notes that something of the switch itself failed.
func (s *Switch) fault(what string, err error) {
	s.stats.Faults.Add(1)
	s.log.Error("bank: "+what, "error", err)
}

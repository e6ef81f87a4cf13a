package bank

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Reconciliation by totals (0500): acquirers tell theirs and are answered with ours; banks are
// told ours and answer with theirs. Both are kept beside the batches of terminals.

// hasTotals reports whether messages of a spec can carry totals.
func hasTotals(s *message.Spec) bool {
	for _, f := range append(new(tally.Gross).Fields(), tally.Field{Number: tally.FieldOfVerdict}) {
		if _, ok := s.Field(f.Number); !ok {
			return false
		}
	}
	return s.Dialect() != message.POS
}

// reconcile answers an acquirer's totals with ours.
func (o *order) reconcile(ctx context.Context) answer {
	if !hasTotals(o.in.spec) || o.in.cfg.Acquirer == "" {
		return answer{code: codeUnsupported}
	}
	claim := tally.Claim{STAN: o.sum.STAN, Sent: string(o.sum.Sent[:]),
		Date: string(o.view.Append(nil, 15))}
	var ok bool
	claim.Gross, ok, claim.Agrees = tally.ReadGross(func(n int) string {
		return string(o.view.Append(nil, n))
	})
	if !ok || o.sum.STAN == 0 {
		return answer{code: codeFormat}
	}
	b, err := o.sw.recons.Settle(ctx, tally.AcquirerParty(o.in.cfg.Acquirer), claim,
		func(r *txn.Record) bool { return r.Place.Acquirer == o.in.cfg.Acquirer })
	switch {
	case errors.Is(err, tally.ErrDate):
		return answer{code: codeFormat}
	case err != nil:
		o.sw.fault("reconciliation", err)
		return answer{code: codeMalfunction}
	}
	o.sw.reconciled(&b)
	verdict := "2"
	if b.Verdict == tally.Balanced {
		verdict = "1"
	}
	a := answer{code: codeApproved, fields: []field{{tally.FieldOfVerdict, []byte(verdict)}}}
	copy(a.extra.settled[:], claim.Date)
	for _, f := range b.OurGross.Fields() {
		a.fields = append(a.fields, field{f.Number, []byte(f.Digits)})
	}
	return a
}

// reconciled counts a reconciliation and tells of one that does not balance.
func (s *Switch) reconciled(b *Batch) {
	s.stats.Reconciled.Add(1)
	if b.Verdict == tally.Balanced || b.Verdict == tally.Explained {
		s.log.Info("reconciled", "party", b.Terminal, "number", b.Number, "verdict", b.Verdict)
		return
	}
	s.stats.Unbalanced.Add(1)
	s.log.Error("totals differ: see tapswitch bank batches", "party", b.Terminal, "number", b.Number,
		"verdict", b.Verdict)
}

func (l *outlet) reconciles() bool { return hasTotals(l.spec) }

// issuers are those whose totals the link has.
func (l *outlet) issuers() []string {
	if len(l.cfg.Reconcile.Issuers) > 0 {
		return l.cfg.Reconcile.Issuers
	}
	var all []string
	for _, r := range l.sw.o.Config.Routes {
		if len(r.Links) > 0 && r.Links[0] == l.name && r.Issuer != "" {
			all = append(all, r.Issuer)
		}
	}
	return all
}

// Reconcile tells a bank the totals of its link at once and returns what came of it. After an
// error the same totals are told again by themselves until the bank answers.
func (s *Switch) Reconcile(ctx context.Context, name string, by audit.Actor) (Batch, error) {
	if _, err := s.now(ctx, taskReconcile, name, by); err != nil {
		return Batch{}, err
	}
	party := tally.BankParty(name)
	cut, _, err := tally.LastCut(ctx, s.o.Registry, party)
	if err != nil {
		return Batch{}, err
	}
	b, _, err := tally.Find(ctx, s.o.Registry, party, cut.Number)
	return b, err
}

// sureAfter is how long after a start, in milliseconds and beyond the longest pause, every bank
// transaction that is open has come out of the due queue at least once.
const sureAfter = 5_000

// errTotals reports a bank that does not answer its totals.
var errTotals = errors.New("the bank does not take the totals")

// tellTotals is one try to tell the bank its totals.
func (l *outlet) tellTotals(ctx context.Context, by audit.Actor) error {
	s, party := l.sw, tally.BankParty(l.name)
	line, err := s.trail.Begin(ctx, audit.Line{Actor: by, Action: "reconciliation", Subject: l.name})
	if err != nil {
		return err
	}
	b, err := l.tellTotalsOnce(ctx, party)
	outcome := b.Verdict
	if err != nil {
		outcome = "not told: " + err.Error()
	}
	return errors.Join(err, line.End(context.WithoutCancel(ctx), outcome, ""))
}

func (l *outlet) tellTotalsOnce(ctx context.Context, party string) (b Batch, err error) {
	s, issuers := l.sw, l.issuers()
	t, err := s.recons.Tell(ctx, party, tally.Asking{
		Of:   func(r *txn.Record) bool { return slices.Contains(issuers, r.Issuer) },
		Open: func() tally.Open { return s.teller.open(l) },
		Number: func() (uint32, string, error) {
			stan, err := l.link.Number(ctx)
			sent := sentAt(s.o.Now())
			return stan, string(sent[:]), err
		}})
	if err != nil {
		return b, err
	}
	frame, key, err := l.writeTotals(&t)
	if err != nil {
		return b, err
	}
	v, sum, _, err := l.ask(ctx, frame, key, t.Tries > 1)
	if err != nil {
		return b, fmt.Errorf("%w: %w", errTotals, err)
	}
	defer l.views.Put(v)
	if code := string(sum.Response[:]); !message.MeaningOf(code).Approved {
		return b, fmt.Errorf("%w: code %q", errTotals, code)
	}
	reply := tally.Reply{Said: string(v.Append(nil, tally.FieldOfVerdict))}
	reply.Gross, reply.Known, reply.Agrees = tally.ReadGross(func(n int) string {
		return string(v.Append(nil, n))
	})
	if b, err = s.recons.Told(ctx, party, t, reply); err == nil {
		s.reconciled(&b)
	}
	return b, err
}

// writeTotals makes the message of the totals, the same in every repeat but for its type.
func (l *outlet) writeTotals(t *tally.Telling) ([]byte, link.Key, error) {
	w := l.writers.Get().(*message.Writer)
	defer l.writers.Put(w)
	w.CUPS = l.header
	mti := message.SettlementRequest
	if t.Tries > 1 {
		mti = mti.Repeat()
	}
	w.Begin(make([]byte, 0, replyMax), l.spec, mti)
	key := link.Key{Class: uint8(message.Reconciliation), STAN: t.STAN}
	copy(key.Time[:], t.Sent)
	acquirer := []byte(l.sw.o.Config.Acquirer)
	w.Put(7, key.Time[:])
	w.PutNumber(11, int64(t.STAN))
	l.putIf(w, 32, acquirer)
	l.putIf(w, 33, []byte(l.sw.o.Config.Forwarder))
	w.Put(tally.FieldOfVerdict, []byte("0"))
	for _, f := range t.Ours.Fields() {
		w.Put(f.Number, []byte(f.Digits))
	}
	key.Rest = l.rest(acquirer, 0)
	frame, err := l.finish(w)
	return frame, key, err
}

// finish ends a message with its MAC where the link has one.
func (l *outlet) finish(w *message.Writer) ([]byte, error) {
	if l.keys.MACs() {
		return w.FinishSum(l.keys.Make)
	}
	return w.Finish()
}

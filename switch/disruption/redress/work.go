package redress

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// actorMax is how much of the two names a record takes.
const actorMax = 64

// errLeft reports journeys that could not be given back yet.
var errLeft = errors.New("redress: journeys are left for the next attempt")

// Work carries out every run that was confirmed and is not done, once. It returns the first
// failure; what is left is the next call's.
func (s *Service) Work(ctx context.Context) error {
	keys, err := s.o.Registry.Keys(ctx, keyPrefix)
	if err != nil {
		return fmt.Errorf("redress: runs: %w", err)
	}
	var first error
	for _, key := range keys {
		order, ok := strings.CutSuffix(strings.TrimPrefix(key, keyPrefix), runSuffix)
		if !ok {
			continue
		}
		if err := s.carryOut(ctx, order); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// carryOut gives back what is left of an order's run.
func (s *Service) carryOut(ctx context.Context, order string) error {
	r, version, err := s.run(ctx, order)
	if err != nil || r == nil || r.Phase != Running {
		return err
	}
	rows := make([]Journey, 0, r.Journeys)
	versions := make([]uint64, r.Parts)
	for n := range versions {
		var part []Journey
		if versions[n], err = s.read(ctx, partKey(r, n), &part); err != nil {
			return err
		}
		rows = append(rows, part...)
	}
	for n := 0; n < roundsMax && anyOpen(rows); n++ {
		if err := s.round(ctx, r, rows); err != nil {
			return err
		}
	}
	for n := range versions {
		part := rows[n*partRows : min(len(rows), (n+1)*partRows)]
		if err := s.write(ctx, partKey(r, n), part, versions[n]); err != nil {
			return err
		}
	}
	return s.finish(ctx, r, version, rows)
}

// finish counts, and closes a run of which nothing is left.
func (s *Service) finish(ctx context.Context, r *Run, version uint64, rows []Journey) error {
	left := 0
	r.Given, r.GivenSum, r.Refused = 0, 0, 0
	for i := range rows {
		switch j := &rows[i]; {
		case j.State.open():
			left++
		case j.State == Given:
			r.Given++
			r.GivenSum += j.Back
		case j.State == Refused:
			r.Refused++
		}
	}
	if left == 0 {
		r.Phase, r.DoneAt = Done, s.o.Now()
	}
	if err := s.write(ctx, runKey(r.Order.ID), r, version); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%w: %d of order %s", errLeft, left, r.Order.ID)
	}
	s.o.Log.Info("journeys forgiven", "order", r.Order.ID, "run", r.ID, "by", r.By, "second", r.Second,
		"given", r.Given, "sum", int64(r.GivenSum), "refused", r.Refused)
	return nil
}

func anyOpen(rows []Journey) bool {
	for i := range rows {
		if rows[i].State.open() {
			return true
		}
	}
	return false
}

// round asks the ledger what became of the open journeys, and the engine for what is left.
func (s *Service) round(ctx context.Context, r *Run, rows []Journey) error {
	cards := map[pan.Token]*trail{}
	for i := range rows {
		if rows[i].State.open() {
			cards[rows[i].token()] = &trail{}
		}
	}
	l, err := s.look(ctx, cards, r.Order.From)
	if err != nil {
		return err
	}
	var wanted []*Journey
	for i := range rows {
		j := &rows[i]
		if !j.State.open() {
			continue
		}
		if l.settle(r, j); j.State.open() {
			wanted = append(wanted, j)
		}
	}
	for len(wanted) > 0 {
		most := min(len(wanted), batchMax)
		s.ask(ctx, r, l, wanted[:most])
		wanted = wanted[most:]
	}
	return nil
}

// settle takes over what the ledger shows of an open journey.
func (l *look) settle(r *Run, j *Journey) {
	t := l.trails[j.token()]
	for i := range t.charges {
		if c := &t.charges[i]; c.Record == j.Record {
			var back txn.Minor
			if j.State, back, j.Reason = t.judge(i, r.name()); j.State == Waits && back < j.Back {
				j.State = Undone // a part was refunded since the second person saw the list
			}
			return
		}
	}
	j.State, j.Reason = Refused, "charge_unknown"
}

// ask has the engine give journeys back.
func (s *Service) ask(ctx context.Context, r *Run, l *look, wanted []*Journey) {
	now := s.o.Now()
	requests := make([]*txn.Request, len(wanted))
	for i, j := range wanted {
		requests[i] = s.request(r, l, j, now)
	}
	for i, a := range s.o.Engine.AuthorizeAll(ctx, requests) {
		wanted[i].answered(&a)
	}
}

func (s *Service) request(r *Run, l *look, j *Journey, now txn.Millis) *txn.Request {
	original, err := txn.ParseRequestID(j.Request)
	if err != nil {
		panic("redress: internal error: " + err.Error()) // it was written by String
	}
	actor := r.By + "+" + r.Second
	return &txn.Request{ID: j.id(), Kind: txn.Correction, Card: j.token(), Currency: s.o.Currency,
		Amount: j.Back, Original: original, ServiceAt: now, ReceivedAt: now, Deadline: l.at + AskedMax,
		Place:    txn.Place{Operator: j.Operator, Payee: j.Payee},
		Listing:  txn.Listing{Actor: actor[:min(len(actor), actorMax)], Note: j.note(r.name())},
		Forgiven: &txn.Forgiven{At: j.At, Station: j.Known, Lapsed: j.Lapsed, Open: l.isOpen(j)}}
}

// answered takes over an answer of the engine. What is not clear the next round finds in the
// ledger.
func (j *Journey) answered(a *engine.Answer) {
	reason := a.Decision.Reason
	switch {
	case a.Err != nil || a.Decision.Outcome == txn.OutcomeNone || reason.Retryable(),
		reason == txn.IDReused, reason == txn.IDTooOld, reason == txn.OriginalNotRefundable:
		j.State = Doubtful
	case a.Decision.Outcome == txn.Approved:
		j.State = Given
	default:
		j.State, j.Reason = Refused, reason.Text().Code
	}
}

package desk

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// roundsMax bounds how often carry looks for effects that became ready.
const roundsMax = 64

// carry does the effects of a document that are ready, until there are none or none
// succeeds, and returns the document as it is then. The caller holds the document's lock.
func (s *Service) carry(ctx context.Context, token pan.Token) (*account.Account, error) {
	for range roundsMax {
		doc, _, err := s.Load(ctx, token)
		if err != nil || doc == nil {
			return nil, err
		}
		ready := doc.Ready()
		if len(ready) == 0 {
			return doc, nil
		}
		cmds, progress := s.performAll(ctx, token, doc, ready)
		out, err := s.commit(ctx, token, cmds...)
		if err != nil {
			return doc, err
		}
		if out.Next != nil {
			doc = out.Next
		}
		if !progress {
			return doc, fmt.Errorf("desk: %d effects failed: %s", len(doc.ToDo), doc.ToDo[0].Why)
		}
	}
	return nil, fmt.Errorf("desk: internal error: document %s has effects without end", token)
}

// performAll does effects and returns what the document is to be told of each. Marks go
// first and as one list: they are what the caller waits for.
func (s *Service) performAll(ctx context.Context, token pan.Token, doc *account.Account,
	ready []account.Effect) (cmds []account.Command, progress bool) {
	tell := func(e *account.Effect, err error) {
		var step account.Step = account.Done{Seq: e.Seq}
		if err != nil {
			step = account.Failed{Seq: e.Seq, Why: err.Error()}
			s.log.Warn("effect failed", "document", token.String(), "effect", e.Kind.String(),
				"seq", e.Seq, "error", err)
		} else {
			progress = true
		}
		cmds = append(cmds, account.Command{Step: step})
	}
	var marks, rest []*account.Effect
	for i := range ready {
		if ready[i].Kind == account.SetMark {
			marks = append(marks, &ready[i])
		} else {
			rest = append(rest, &ready[i])
		}
	}
	for i, err := range s.setMarks(ctx, token, doc, marks) {
		tell(marks[i], err)
	}
	for _, e := range rest {
		tell(e, s.perform(ctx, token, doc, e))
	}
	return cmds, progress
}

// dueDocument is a document or a card in the queue of what is due.
type dueDocument struct {
	token pan.Token
	move  bool // a transfer from the card
}

// Due takes due entries of documents; see engine.Clockwork.OnDue with engine.DueDocument.
func (s *Service) Due(entries []store.Due) {
	for _, e := range entries {
		if len(e.Key) == 1+pan.TokenSize && e.Key[0] == engine.DueDocument {
			s.enqueue(dueDocument{token: pan.Token(e.Key[1:])})
		}
	}
}

// DueMoves takes the due transfers of replaced cards; see engine.DueMove.
func (s *Service) DueMoves(entries []store.Due) {
	for _, e := range entries {
		if from, ok := engine.ParseMoveKey(e.Key); ok {
			s.enqueue(dueDocument{token: from, move: true})
		}
	}
}

// enqueue has work done by the workers; what finds no room is told of again at the next
// tick.
func (s *Service) enqueue(d dueDocument) {
	if _, waits := s.busy.LoadOrStore(d, true); waits {
		return
	}
	select {
	case s.queue <- d:
	default:
		s.busy.Delete(d)
	}
}

// workDue does what is due until Close.
func (s *Service) workDue() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case d := <-s.queue:
			s.busy.Delete(d)
			ctx, cancel := context.WithTimeout(s.ctx, carryMax)
			if err := s.doDue(ctx, d); err != nil && s.ctx.Err() == nil {
				s.log.Warn("what is due was not done", "token", d.token.String(), "transfer", d.move,
					"error", err)
			}
			cancel()
		}
	}
}

func (s *Service) doDue(ctx context.Context, d dueDocument) error {
	if d.move {
		return s.transfer(ctx, d.token)
	}
	defer s.lock(d.token)()
	out, err := s.commit(ctx, d.token, account.Command{By: account.Staff{ID: clockActor}, Step: account.Tick{}})
	if err != nil {
		return err
	}
	doc, err := s.carry(ctx, d.token)
	if err != nil || doc == nil {
		return err
	}
	if out.Replay {
		return s.putOff(ctx, d.token)
	}
	return nil
}

// clockActor is who acts when time does.
const clockActor = "clock"

// putOff moves the due entry of a document that had nothing to do to when it will have.
func (s *Service) putOff(ctx context.Context, token pan.Token) error {
	doc, version, err := s.Load(ctx, token)
	if err != nil || doc == nil {
		return err
	}
	change := store.DueChange{Key: dueKey(token), Remove: true}
	if at, ok := s.nextDue(doc, s.o.Now()); ok {
		change.At, change.Remove = at, false
	}
	c := &store.Commit{Card: token, Version: version, Due: []store.DueChange{change}}
	if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// transfer brings what a replaced card holds to its successor: off the card, onto the
// successor, and then the card is told that it has arrived. Each step can be repeated.
func (s *Service) transfer(ctx context.Context, from pan.Token) error {
	for range roundsMax {
		old, err := s.card(ctx, from)
		if err != nil {
			return err
		}
		l := &old.Life
		if l.Successor.IsZero() || !old.Owed() {
			return s.dropMove(ctx, from)
		}
		seq := l.MovedOut
		if !l.Moving.Open {
			seq++
			if err := s.ask(ctx, s.moveRequest(txn.TransferOut, from, seq, txn.Move{Other: l.Successor})); err != nil {
				return err
			}
			continue
		}
		in := s.moveRequest(txn.TransferIn, l.Successor, seq, txn.Move{Other: from,
			EnteredAt: old.Journey.EnteredAt, Station: old.Journey.Station, Line: old.Journey.Line,
			Operator: old.Journey.Operator, Entry: old.Journey.Request, Rides: old.Rides})
		in.ID = requestID('T', from, seq, 2)
		in.Amount = l.Moving.Amount
		if err := s.ask(ctx, in); err != nil {
			return err
		}
		if err := s.ask(ctx, s.moveRequest(txn.TransferOut, from, seq,
			txn.Move{Other: l.Successor, Arrived: true})); err != nil {
			return err
		}
	}
	return fmt.Errorf("desk: card %s always has something to move", from)
}

func (s *Service) moveRequest(kind txn.Kind, card pan.Token, seq uint32, m txn.Move) *txn.Request {
	m.Seq = seq
	r := s.request(kind, card, requestID('T', card, seq, 1))
	r.Move = &m
	return r
}

// dropMove takes the due entry of a card away that has nothing to move.
func (s *Service) dropMove(ctx context.Context, from pan.Token) error {
	l, err := s.o.Cards.Load(ctx, from, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	c := &store.Commit{Card: from, Version: l.Version, Mark: l.Mark, Due: []store.DueChange{{
		Key: append([]byte{engine.DueMove}, from[:]...), Remove: true}}}
	if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

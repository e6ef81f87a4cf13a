package gate

import (
	"strconv"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// batch is a list of requests on its way. An entry that cannot be read has a refusal and
// no request; it never concerns the others.
type batch struct {
	requests []txn.Request // one an entry; zero where refused
	refusals []refusal.Value
	ids      []txn.RequestID
	answers  []engine.Answer // of the entries that were read, in order
}

// readEntry reads one entry of a batch into r.
type readEntry func(x *call, entry []byte, r *txn.Request) refusal.Value

// tapBatch serves POST /v1/taps:batch.
func (s *Server) tapBatch(x *call) refusal.Value {
	return s.serveBatch(x, "taps", s.readTap, s.appendDecision)
}

// serveBatch reads all entries, executes those that could be read as one list, and answers
// each.
func (s *Server) serveBatch(x *call, name string, read readEntry,
	answer func([]byte, *txn.Request, *engine.Answer) []byte) refusal.Value {
	entries, r := fields.Split(x.body, name, nil)
	if r.IsSet() {
		return r
	}
	if !s.admission.workOnBatch(x.ctx) {
		return refusal.For(refusal.Overloaded)
	}
	defer s.admission.leaveBatch()
	b := s.readBatch(x, entries, read)
	x.mark(StageParse)
	list := make([]*txn.Request, 0, len(entries))
	for i := range b.requests {
		if !b.refusals[i].IsSet() {
			b.refusals[i] = s.claimed(&b.requests[i])
		}
		if !b.refusals[i].IsSet() {
			list = append(list, &b.requests[i])
		}
	}
	b.answers = s.engine.AuthorizeAll(x.ctx, list)
	x.mark(StageDecide)
	s.answerBatch(x, b, answer)
	return refusal.Value{}
}

func (s *Server) readBatch(x *call, entries [][]byte, read readEntry) *batch {
	b := &batch{requests: make([]txn.Request, len(entries)),
		refusals: make([]refusal.Value, len(entries)), ids: make([]txn.RequestID, len(entries))}
	for i, entry := range entries {
		x.id = txn.RequestID{}
		b.refusals[i] = read(x, entry, &b.requests[i])
		b.ids[i] = x.id
	}
	x.id = txn.RequestID{}
	return b
}

// answerBatch appends {"results":[…],"accepted":n,"declined":n,"failed":n}.
func (s *Server) answerBatch(x *call, b *batch,
	answer func([]byte, *txn.Request, *engine.Answer) []byte) {
	x.out = append(x.out, `{"results":[`...)
	accepted, declined, failed, decided := 0, 0, 0, 0
	for i := range b.requests {
		if i > 0 {
			x.out = append(x.out, ',')
		}
		r := b.refusals[i]
		var a *engine.Answer
		if !r.IsSet() {
			a = &b.answers[decided]
			decided++
			r = s.verdict(&b.requests[i], a)
		}
		switch {
		case r.IsSet():
			failed++
			s.observeRefusal(x.route.number, r)
			x.out = appendError(x.out, r, b.ids[i])
			continue
		case a.Decision.Outcome == txn.Approved:
			accepted++
		default:
			declined++
		}
		s.observer.Decided(x.route.number, a.Decision.Reason)
		x.out = answer(x.out, &b.requests[i], a)
	}
	x.out = strconv.AppendInt(append(x.out, `],"accepted":`...), int64(accepted), 10)
	x.out = strconv.AppendInt(append(x.out, `,"declined":`...), int64(declined), 10)
	x.out = strconv.AppendInt(append(x.out, `,"failed":`...), int64(failed), 10)
	x.out = append(x.out, '}')
}

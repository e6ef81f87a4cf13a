package book

import (
	"context"
	"encoding/hex"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// book has the engine book what is Taken, bookMax records at a time: what the engine works on
// stays in the processors' caches, and a frame still costs few writes.
func (w *work) book(ctx context.Context) {
	w.names = lately{place: w.source.Place, gate: w.terminal}
	for rest := w.order; len(rest) > 0; {
		rest = w.bookSome(ctx, rest)
	}
}

// bookMax bounds the records that one call of the engine books.
const bookMax = 2048

// bookSome has the first of the order booked and returns the others. A card's records are told
// in the order of their counters, whether one call has them all or two.
func (w *work) bookSome(ctx context.Context, order []int32) (rest []int32) {
	w.list, w.listed = w.list[:0], w.listed[:0]
	for len(order) > 0 && len(w.list) < bookMax {
		i := order[0]
		order = order[1:]
		if it := &w.items[i]; it.fate.State == upload.Taken {
			r := &w.requests[len(w.list)]
			*r = txn.Request{}
			w.request(r, it)
			w.list, w.listed = append(w.list, r), append(w.listed, i)
		}
	}
	if len(w.list) == 0 {
		return nil
	}
	answers := w.s.o.Engine.AuthorizeAll(ctx, w.list)
	for k, i := range w.listed {
		w.items[i].fate = fateOf(&answers[k], w.items[i].retry)
	}
	return order
}

// request makes the engine's request of a record.
func (w *work) request(r *txn.Request, it *item) {
	w.s.fill(r, it.record, &w.names)
	r.Card, r.Last4, r.ServiceAt, r.ReceivedAt = it.token, it.last4, it.at, w.now
	if w.s.o.Verifier != nil { // a record whose TAC is not good is not booked here
		r.TAC = txn.TACValid
	}
}

// bootOfRecords stands in the ids of off-line records for the boot number: they are named by
// security module and sequence number, whatever gate and boot sent them.
const bootOfRecords = 1<<32 - 1

// lately is what the record before had in common with this one: records of a gate come from one
// module, line and station, in rows.
type lately struct {
	place         txn.Place // of the terminal
	gate          txn.TerminalID
	line, station string
	psam          [6]byte
	terminal      txn.TerminalID
}

// same returns a name that is the last one, most times, or a shared copy.
func (s *Service) same(last *string, b []byte) string {
	if string(b) != *last {
		*last = s.name(b)
	}
	return *last
}

// fill makes the engine's request of a record, but for its card and times. r is zero.
func (s *Service) fill(r *txn.Request, rec frame.Record, l *lately) {
	if psam := rec.PSAM(); psam != l.psam || l.terminal == (txn.TerminalID{}) {
		l.psam, l.terminal = psam, txn.TerminalID{}
		hex.Encode(l.terminal[:], psam[:])
	}
	r.ID = txn.RequestID{Terminal: l.terminal, Boot: bootOfRecords, Counter: rec.TermSeq()}
	r.Kind, r.Place, r.Currency, r.Amount = kindOf(rec), l.place, s.o.Currency, txn.Minor(rec.Amount())
	r.Offline, r.OfflineCounter, r.ListEpoch = true, uint32(rec.Counter()), rec.ListEpoch()
	r.Untimed, r.Gate = true, l.gate
	if r.Kind != txn.Purchase {
		r.FareGiven, r.FullFare = true, txn.Minor(rec.Fare())
		r.Ride = txn.Ride{Mode: txn.Mode(rec.Mode()), Business: rec.Business(),
			Metres: int64(rec.Metres()), Degraded: rec.Degraded()}
	}
	if line := rec.Line(); len(line) > 0 {
		r.Place.Line = s.same(&l.line, line)
	}
	if station := rec.Station(); len(station) > 0 {
		r.Place.Station = s.same(&l.station, station)
	}
}

// fateOf reads the engine's answer. Taken means that nobody knows yet: send again.
func fateOf(a *engine.Answer, retry bool) upload.Fate {
	held := func(why upload.Reason) upload.Fate {
		if retry && !a.Decision.Replay {
			why = upload.Unclear
		}
		return upload.Fate{State: upload.Held, Reason: why}
	}
	switch reason := a.Decision.Reason; {
	case a.Err != nil || reason.Retryable() || a.Decision.Outcome == txn.OutcomeNone:
		return upload.Fate{State: upload.Taken}
	case a.Decision.LeaseEnded:
		return upload.Fate{State: upload.Accepted, Reason: upload.LeaseEnded}
	case a.Decision.Outcome == txn.Approved:
		return upload.Fate{State: upload.Accepted}
	case reason == txn.CounterSeen:
		return held(upload.CounterUsed)
	case reason == txn.IDTooOld:
		return held(upload.CounterOld)
	case reason == txn.IDReused:
		return upload.Fate{State: upload.Held, Reason: upload.Dispute}
	case reason == txn.TimeInFuture:
		return upload.Fate{State: upload.Held, Reason: upload.InFuture}
	case reason == txn.TimeTooOld:
		return upload.Fate{State: upload.Rejected, Reason: upload.TooOld}
	case reason == txn.CardExpired || reason == txn.CardNotActive:
		return upload.Fate{State: upload.Rejected, Reason: upload.CardInvalid}
	case reason == txn.UnknownCard:
		return upload.Fate{State: upload.Rejected, Reason: upload.CardUnknown}
	default:
		return upload.Fate{State: upload.Rejected, Reason: upload.Declined}
	}
}

package gate

import (
	"errors"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/flat"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The calls of terminals: from a body to a txn.Request, and its answer.

// tap serves POST /v1/taps.
func (s *Server) tap(x *call) refusal {
	if r := s.readTap(x, x.body, &x.request); r.isSet() {
		return r
	}
	return s.authorize(x)
}

// readTap reads one tap of the call's terminal into r.
func (s *Server) readTap(x *call, body []byte, r *txn.Request) refusal {
	o := &x.object
	if why := o.parse(body, x.route.schema); why.isSet() {
		return why
	}
	kind, ok := tapKind(o.bytes(fieldKind))
	if !ok {
		return refuseField(KindInvalid, fieldKind.String())
	}
	if why := s.readCommon(x, r, kind); why.isSet() {
		return why
	}
	return s.readRide(x, r)
}

func tapKind(b []byte) (txn.Kind, bool) {
	switch string(b) {
	case "metro_entry":
		return txn.MetroEntry, true
	case "metro_exit":
		return txn.MetroExit, true
	case "bus_boarding":
		return txn.BusBoarding, true
	default:
		return txn.KindNone, false
	}
}

// readCommon starts r with what every request of a terminal has.
func (s *Server) readCommon(x *call, r *txn.Request, kind txn.Kind) refusal {
	o := &x.object
	id, err := txn.ParseRequestID(string(o.bytes(fieldID)))
	if err != nil {
		return refuseField(RequestIDInvalid, fieldID.String())
	}
	x.id = id
	if id.Terminal != x.claim.from.id {
		return refuseField(IDMismatch, fieldID.String())
	}
	if !x.claim.setup.kinds.has(kind) {
		return refuse(KindNotPermitted)
	}
	at, ok := flat.ParseTime(o.bytes(fieldServiceTime))
	if !ok {
		return refuseField(TimeInvalid, fieldServiceTime.String())
	}
	*r = txn.Request{
		ID: id, Kind: kind, Place: x.claim.setup.place, Currency: s.currency,
		ServiceAt: at, ReceivedAt: x.received,
		Deadline: s.deadlineOf(x.route.lane, x.received),
	}
	return s.readCard(o, r)
}

// readCard turns the card number into a token. The number lives here and nowhere else.
func (s *Server) readCard(o *object, r *txn.Request) refusal {
	number, err := pan.Parse(string(o.bytes(fieldCard)))
	if err != nil {
		return refuseField(CardNumberInvalid, fieldCard.String())
	}
	r.Card, r.Last4 = s.tokenizer.Token(number), number.Last4()
	return refusal{}
}

// readRide reads what only taps have.
func (s *Server) readRide(x *call, r *txn.Request) refusal {
	o := &x.object
	if o.has(fieldFullFare) != o.has(fieldCharged) {
		missing := fieldCharged
		if o.has(fieldCharged) {
			missing = fieldFullFare
		}
		return refuseField(MissingField, missing.String())
	}
	r.FareGiven = o.has(fieldCharged)
	r.FullFare, r.Amount = o.amount(fieldFullFare), o.amount(fieldCharged)
	r.Offline = o.has(fieldOfflineCounter)
	r.OfflineCounter = uint32(o.integer(fieldOfflineCounter))
	r.ListEpoch = uint64(o.integer(fieldListEpoch))
	// A bus has no station; its number plate stands there, so that the ledger can tell
	// vehicles apart.
	for _, n := range [...]struct {
		from field
		to   *string
	}{{fieldLine, &r.Place.Line}, {fieldVehicle, &r.Place.Station},
		{fieldStation, &r.Place.Station}} {
		if !o.has(n.from) {
			continue
		}
		name, ok := x.claim.from.name(o.text[n.from])
		if !ok {
			return refuseField(FieldInvalid, n.from.String())
		}
		*n.to = name
	}
	return refusal{}
}

// load serves POST /v1/loads.
func (s *Server) load(x *call) refusal { return s.money(x, txn.Load) }

// purchase serves POST /v1/purchases.
func (s *Server) purchase(x *call) refusal { return s.money(x, txn.Purchase) }

// money serves a load or a purchase.
func (s *Server) money(x *call, kind txn.Kind) refusal {
	o, r := &x.object, &x.request
	if why := o.parse(x.body, x.route.schema); why.isSet() {
		return why
	}
	if why := s.readCommon(x, r, kind); why.isSet() {
		return why
	}
	r.Amount = o.amount(fieldAmount)
	r.STAN = uint32(o.integer(fieldSTAN))
	if rrn := o.bytes(fieldRRN); rrn != nil {
		if !alphanumeric(rrn) {
			return refuseField(FieldInvalid, fieldRRN.String())
		}
		r.RRN = string(rrn)
	}
	return s.authorize(x)
}

// alphanumeric reports whether b consists of digits and letters, as field 37 must.
func alphanumeric(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return len(b) > 0
}

// refund serves POST /v1/refunds.
func (s *Server) refund(x *call) refusal { return s.undo(x, txn.Refund) }

// reverse serves POST /v1/reversals.
func (s *Server) reverse(x *call) refusal { return s.undo(x, txn.Reversal) }

// undo serves a refund or a reversal. The money moves between the accounts of the
// original, so the place is that of the original's terminal.
func (s *Server) undo(x *call, kind txn.Kind) refusal {
	o, r := &x.object, &x.request
	if why := o.parse(x.body, x.route.schema); why.isSet() {
		return why
	}
	if why := s.readCommon(x, r, kind); why.isSet() {
		return why
	}
	r.Amount = o.amount(fieldAmount)
	original, err := txn.ParseRequestID(string(o.bytes(fieldOriginal)))
	if err != nil {
		return refuseField(RequestIDInvalid, fieldOriginal.String())
	}
	r.Original = original
	if original.Terminal != r.ID.Terminal {
		if why := s.placeOfOriginal(x, r); why.isSet() {
			return why
		}
	}
	return s.authorize(x)
}

// placeOfOriginal sets the place of another terminal's original, where that is permitted.
func (s *Server) placeOfOriginal(x *call, r *txn.Request) refusal {
	name := fieldOriginal.String()
	if !s.limits.ForeignOriginals {
		return refuseField(OriginalNotPermitted, name)
	}
	_, setup, err := s.directory.find(x.ctx, r.Original.Terminal)
	switch {
	case errors.Is(err, errUnknownTerminal):
		return refuseField(OriginalTerminalUnknown, name)
	case err != nil:
		return s.registryFault(err)
	}
	r.Place = setup.place
	return refusal{}
}

// balance serves POST /v1/balances.
func (s *Server) balance(x *call) refusal {
	if why := x.object.parse(x.body, x.route.schema); why.isSet() {
		return why
	}
	if why := s.readCommon(x, &x.request, txn.Balance); why.isSet() {
		return why
	}
	return s.authorize(x)
}

// authorize asks the engine and makes its answer the call's.
func (s *Server) authorize(x *call) refusal {
	if r := s.claimed(&x.request); r.isSet() {
		return r
	}
	x.mark(StageParse)
	a := s.engine.Authorize(x.ctx, &x.request)
	x.mark(StageDecide)
	if r := s.verdict(&x.request, &a); r.isSet() {
		return r
	}
	s.observer.Decided(x.route.number, a.Decision.Reason)
	x.out = s.appendDecision(x.out, &x.request, &a)
	return refusal{}
}

// verdict tells an answer from a failure to decide. What is not known to have failed is
// told as unknown: the same request, sent again, finds out.
func (s *Server) verdict(r *txn.Request, a *engine.Answer) refusal {
	switch {
	case a.Err == nil && declines(a.Decision.Reason):
		return refusal{}
	case a.Err == nil:
		if a.Decision.Reason == txn.IDReused {
			s.noteReuse(r)
		}
		return refusal{code: RequestRefused, reason: a.Decision.Reason}
	case errors.Is(a.Err, engine.ErrContended):
		return refuse(CardContended)
	case errors.Is(a.Err, engine.ErrInDoubt), errors.Is(a.Err, store.ErrUnavailable),
		errors.Is(a.Err, store.ErrFenced), errors.Is(a.Err, store.ErrClosed):
		return refuse(OutcomeUnknown)
	default:
		s.log.Error("request could not be decided", "error", a.Err)
		return refuse(Internal)
	}
}

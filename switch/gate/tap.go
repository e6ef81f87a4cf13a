package gate

import (
	"errors"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/flat"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The calls of terminals: from a body to a txn.Request, and its answer.

// tap serves POST /v1/taps.
func (s *Server) tap(x *call) refusal.Value {
	if r := s.readTap(x, x.body, &x.request); r.IsSet() {
		return r
	}
	return s.authorize(x)
}

// readTap reads one tap of the call's terminal into r.
func (s *Server) readTap(x *call, body []byte, r *txn.Request) refusal.Value {
	o := &x.object
	if why := o.Parse(body, x.route.schema); why.IsSet() {
		return why
	}
	kind, ok := tapKind(o.Bytes(fields.Kind))
	if !ok {
		return refusal.Field(refusal.KindInvalid, fields.Kind.String())
	}
	if why := s.readCommon(x, r, kind); why.IsSet() {
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
func (s *Server) readCommon(x *call, r *txn.Request, kind txn.Kind) refusal.Value {
	o := &x.object
	id, err := txn.ParseRequestID(string(o.Bytes(fields.ID)))
	if err != nil {
		return refusal.Field(refusal.RequestIDInvalid, fields.ID.String())
	}
	x.id = id
	if id.Terminal != x.claim.from.id {
		return refusal.Field(refusal.IDMismatch, fields.ID.String())
	}
	if !x.claim.setup.kinds.has(kind) {
		return refusal.For(refusal.KindNotPermitted)
	}
	at, ok := flat.ParseTime(o.Bytes(fields.ServiceTime))
	if !ok {
		return refusal.Field(refusal.TimeInvalid, fields.ServiceTime.String())
	}
	*r = txn.Request{
		ID: id, Kind: kind, Place: x.claim.setup.place, Currency: s.currency,
		ServiceAt: at, ReceivedAt: x.received,
		Deadline: s.deadlineOf(x.route.lane, x.received),
	}
	return s.readCard(o, r)
}

// readCard turns the card number into a token. The number lives here and nowhere else.
func (s *Server) readCard(o *fields.Object, r *txn.Request) refusal.Value {
	number, err := pan.Parse(string(o.Bytes(fields.Card)))
	if err != nil {
		return refusal.Field(refusal.CardNumberInvalid, fields.Card.String())
	}
	r.Card, r.Last4 = s.tokenizer.Token(number), number.Last4()
	return refusal.Value{}
}

// readRide reads what only taps have.
func (s *Server) readRide(x *call, r *txn.Request) refusal.Value {
	o := &x.object
	if o.Has(fields.FullFare) != o.Has(fields.Charged) {
		missing := fields.Charged
		if o.Has(fields.Charged) {
			missing = fields.FullFare
		}
		return refusal.Field(refusal.MissingField, missing.String())
	}
	r.FareGiven = o.Has(fields.Charged)
	r.FullFare, r.Amount = o.Amount(fields.FullFare), o.Amount(fields.Charged)
	r.Offline = o.Has(fields.OfflineCounter)
	r.OfflineCounter = uint32(o.Integer(fields.OfflineCounter))
	r.ListEpoch = uint64(o.Integer(fields.ListEpoch))
	if why := readTold(o, &r.Ride); why.IsSet() {
		return why
	}
	// A bus has no station; its number plate stands there, so that the ledger can tell
	// vehicles apart.
	for _, n := range [...]struct {
		from fields.Field
		to   *string
	}{{fields.Line, &r.Place.Line}, {fields.Vehicle, &r.Place.Station},
		{fields.Station, &r.Place.Station}} {
		if !o.Has(n.from) {
			continue
		}
		name, ok := x.claim.from.name(o.Bytes(n.from))
		if !ok {
			return refusal.Field(refusal.FieldInvalid, n.from.String())
		}
		*n.to = name
	}
	return refusal.Value{}
}

// readTold reads what the terminal tells of the ride itself.
func readTold(o *fields.Object, to *txn.Ride) refusal.Value {
	switch class := o.Bytes(fields.Class); string(class) {
	case "business", "first": // two names for the dearer class
		to.Business = true
	case "standard":
	default:
		if class != nil {
			return refusal.Field(refusal.FieldInvalid, fields.Class.String())
		}
	}
	to.Metres = o.Integer(fields.Metres)
	if mode := o.Bytes(fields.Mode); mode != nil {
		var ok bool
		if to.Mode, ok = txn.ParseMode(string(mode)); !ok {
			return refusal.Field(refusal.FieldInvalid, fields.Mode.String())
		}
	}
	var under disruption.Flags
	for _, name := range o.List(fields.Degraded) {
		m, err := disruption.ParseMode(string(name))
		if err != nil {
			return refusal.Field(refusal.FieldInvalid, fields.Degraded.String())
		}
		under = under.With(m)
	}
	to.Degraded = uint8(under)
	return refusal.Value{}
}

// load serves POST /v1/loads.
func (s *Server) load(x *call) refusal.Value { return s.money(x, txn.Load) }

// purchase serves POST /v1/purchases.
func (s *Server) purchase(x *call) refusal.Value { return s.money(x, txn.Purchase) }

// money serves a load or a purchase.
func (s *Server) money(x *call, kind txn.Kind) refusal.Value {
	o, r := &x.object, &x.request
	if why := o.Parse(x.body, x.route.schema); why.IsSet() {
		return why
	}
	if why := s.readCommon(x, r, kind); why.IsSet() {
		return why
	}
	r.Amount = o.Amount(fields.Amount)
	r.STAN = uint32(o.Integer(fields.STAN))
	if rrn := o.Bytes(fields.RRN); rrn != nil {
		if !alphanumeric(rrn) {
			return refusal.Field(refusal.FieldInvalid, fields.RRN.String())
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
func (s *Server) refund(x *call) refusal.Value { return s.undo(x, txn.Refund) }

// reverse serves POST /v1/reversals.
func (s *Server) reverse(x *call) refusal.Value { return s.undo(x, txn.Reversal) }

// undo serves a refund or a reversal. The money moves between the accounts of the
// original, so the place is that of the original's terminal.
func (s *Server) undo(x *call, kind txn.Kind) refusal.Value {
	o, r := &x.object, &x.request
	if why := o.Parse(x.body, x.route.schema); why.IsSet() {
		return why
	}
	if why := s.readCommon(x, r, kind); why.IsSet() {
		return why
	}
	r.Amount = o.Amount(fields.Amount)
	original, err := txn.ParseRequestID(string(o.Bytes(fields.Original)))
	if err != nil {
		return refusal.Field(refusal.RequestIDInvalid, fields.Original.String())
	}
	r.Original = original
	if original.Terminal != r.ID.Terminal {
		if why := s.placeOfOriginal(x, r); why.IsSet() {
			return why
		}
	}
	return s.authorize(x)
}

// placeOfOriginal sets the place of another terminal's original, where that is permitted.
func (s *Server) placeOfOriginal(x *call, r *txn.Request) refusal.Value {
	name := fields.Original.String()
	if !s.limits.ForeignOriginals {
		return refusal.Field(refusal.OriginalNotPermitted, name)
	}
	_, setup, err := s.directory.find(x.ctx, r.Original.Terminal)
	switch {
	case errors.Is(err, errUnknownTerminal):
		return refusal.Field(refusal.OriginalTerminalUnknown, name)
	case err != nil:
		return s.registryFault(err)
	}
	r.Place = setup.place
	return refusal.Value{}
}

// balance serves POST /v1/balances.
func (s *Server) balance(x *call) refusal.Value {
	if why := x.object.Parse(x.body, x.route.schema); why.IsSet() {
		return why
	}
	if why := s.readCommon(x, &x.request, txn.Balance); why.IsSet() {
		return why
	}
	return s.authorize(x)
}

// authorize asks the engine and makes its answer the call's.
func (s *Server) authorize(x *call) refusal.Value {
	if r := s.claimed(&x.request); r.IsSet() {
		return r
	}
	x.mark(StageParse)
	a := s.engine.Authorize(x.ctx, &x.request)
	x.mark(StageDecide)
	if r := s.verdict(&x.request, &a); r.IsSet() {
		return r
	}
	s.observer.Decided(x.route.number, a.Decision.Reason)
	x.out = s.appendDecision(x.out, &x.request, &a)
	return refusal.Value{}
}

// verdict tells an answer from a failure to decide. What is not known to have failed is
// told as unknown: the same request, sent again, finds out.
func (s *Server) verdict(r *txn.Request, a *engine.Answer) refusal.Value {
	switch {
	case a.Err == nil && refusal.Declines(a.Decision.Reason):
		return refusal.Value{}
	case a.Err == nil:
		if a.Decision.Reason == txn.IDReused {
			s.noteReuse(r)
		}
		return refusal.Value{Code: refusal.RequestRefused, Reason: a.Decision.Reason}
	case errors.Is(a.Err, engine.ErrContended):
		return refusal.For(refusal.CardContended)
	case errors.Is(a.Err, engine.ErrInDoubt), errors.Is(a.Err, store.ErrUnavailable),
		errors.Is(a.Err, store.ErrFenced), errors.Is(a.Err, store.ErrClosed):
		return refusal.For(refusal.OutcomeUnknown)
	default:
		s.log.Error("request could not be decided", "error", a.Err)
		return refusal.For(refusal.Internal)
	}
}

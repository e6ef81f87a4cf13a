package gate

import (
	"errors"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The calls of the card desk.

// deskRequest starts a request that an operator makes.
func (s *Server) deskRequest(x *call, r *txn.Request, kind txn.Kind) {
	*r = txn.Request{
		ID: s.deskID(), Kind: kind, Currency: s.currency,
		ServiceAt: x.received, ReceivedAt: x.received,
		Deadline: s.deadlineOf(x.route.lane, x.received),
		Listing:  txn.Listing{Actor: x.actor.Name},
	}
	x.id = r.ID
}

// enrol serves POST /v1/cards.
func (s *Server) enrol(x *call) refusal.Value {
	if r := s.readCardholder(x, x.body, &x.request); r.IsSet() {
		return r
	}
	x.mark(StageParse)
	a := s.engine.Authorize(x.ctx, &x.request)
	x.mark(StageDecide)
	if r := s.verdict(&x.request, &a); r.IsSet() {
		return r
	}
	s.observer.Decided(x.route.number, a.Decision.Reason)
	if a.Decision.Outcome == txn.Approved {
		x.status = fasthttp.StatusCreated
	}
	s.audit(x, "enrol", &x.request, a.Decision.Reason)
	x.out = s.appendEnrolment(x.out, &x.request, &a)
	return refusal.Value{}
}

// enrolBatch serves POST /v1/cards:batch.
func (s *Server) enrolBatch(x *call) refusal.Value {
	r := s.serveBatch(x, "cards", s.readCardholder, s.appendEnrolment)
	if !r.IsSet() {
		s.log.Info("operator", "actor", x.actor.Name, "action", "enrol_batch")
	}
	return r
}

// readCardholder reads one card to enrol.
func (s *Server) readCardholder(x *call, body []byte, r *txn.Request) refusal.Value {
	o := &x.object
	if why := o.Parse(body, x.route.schema); why.IsSet() {
		return why
	}
	s.deskRequest(x, r, txn.Enrol)
	if why := s.readCard(o, r); why.IsSet() {
		return why
	}
	var why refusal.Value
	if r.Enrolment.Apps, why = parseApps(o, fields.Apps); why.IsSet() {
		return why
	}
	var ok bool
	if r.Enrolment.Rider, ok = txn.ParseRiderCategory(string(o.Bytes(fields.Rider))); !ok {
		return refusal.Field(refusal.FieldInvalid, fields.Rider.String())
	}
	if day := o.Bytes(fields.ExpiresOn); day != nil {
		date, err := txn.ParseBusinessDate(string(day))
		if err != nil || len(day) != len("2006-01-02") {
			return refusal.Field(refusal.TimeInvalid, fields.ExpiresOn.String())
		}
		r.Enrolment.ExpiresOn = date
	}
	if issuer := o.Bytes(fields.Issuer); issuer != nil {
		if !plainParam(issuer) || holdsNumber(issuer) {
			return refusal.Field(refusal.FieldInvalid, fields.Issuer.String())
		}
		r.Enrolment.Issuer = string(issuer)
	}
	return refusal.Value{}
}

// parseApps reads a list of applications; it must name one at least.
func parseApps(o *fields.Object, f fields.Field) (txn.App, refusal.Value) {
	var apps txn.App
	for _, name := range o.List(f) {
		app, err := txn.ParseApp(string(name))
		if err != nil {
			return 0, refusal.Field(refusal.FieldInvalid, f.String())
		}
		apps |= app
	}
	if apps == 0 {
		return 0, refusal.Field(refusal.FieldInvalid, f.String())
	}
	return apps, refusal.Value{}
}

// appendEnrolment appends the answer to an enrolment.
func (s *Server) appendEnrolment(dst []byte, r *txn.Request, a *engine.Answer) []byte {
	dst = appendToken(append(dst, `{"token":`...), r.Card)
	dst = appendMasked(append(dst, `,"card":`...), r.Last4)
	dst = append(dst, s.answers.decision[a.Decision.Reason]...)
	return append(appendRecord(dst, a), '}')
}

func appendToken(dst []byte, t pan.Token) []byte { return appendText(dst, t.String()) }

// chosenCard reads the card of a desk call, given by number or by token.
func (s *Server) chosenCard(o *fields.Object, r *txn.Request) refusal.Value {
	switch {
	case o.Has(fields.Card) && o.Has(fields.Token):
		return refusal.Field(refusal.FieldConflict, fields.Token.String())
	case o.Has(fields.Card):
		return s.readCard(o, r)
	case !o.Has(fields.Token):
		return refusal.Field(refusal.MissingField, fields.Card.String())
	}
	token, err := pan.ParseToken(string(o.Bytes(fields.Token)))
	if err != nil || token.IsZero() {
		return refusal.Field(refusal.CardNumberInvalid, fields.Token.String())
	}
	r.Card = token
	return refusal.Value{}
}

// lookupCard serves POST /v1/cards:lookup.
func (s *Server) lookupCard(x *call) refusal.Value {
	if r := x.object.Parse(x.body, x.route.schema); r.IsSet() {
		return r
	}
	var r txn.Request
	if why := s.readCard(&x.object, &r); why.IsSet() {
		return why
	}
	return s.tellCard(x, r.Card)
}

// showCard serves GET /v1/cards/{token}.
func (s *Server) showCard(x *call) refusal.Value {
	token, err := pan.ParseToken(string(x.param))
	if err != nil || token.IsZero() {
		return refusal.Field(refusal.CardNumberInvalid, fields.Token.String())
	}
	return s.tellCard(x, token)
}

// tellCard answers with everything that the desk may know of a card.
func (s *Server) tellCard(x *call, token pan.Token) refusal.Value {
	entry, frozen, err := s.entries.Entry(x.ctx, token)
	if err != nil {
		return s.storeFault(err)
	}
	loaded, err := s.cards.Load(x.ctx, token, nil)
	if err != nil {
		return s.storeFault(err)
	}
	var state card.State
	if loaded.Version > 0 {
		if err := state.Decode(loaded.State); err != nil {
			s.log.Error("card cannot be read", "token", token.String(), "error", err)
			return refusal.For(refusal.Internal)
		}
	} else if !frozen {
		return refusal.For(refusal.CardUnknown)
	}
	s.log.Info("operator", "actor", x.actor.Name, "action", "lookup",
		"token", token.String(), "last4", state.Last4.String())
	x.out = appendToken(append(x.out, `{"token":`...), token)
	x.out = appendCardState(x.out, &state, loaded.Version)
	if frozen {
		x.out = appendEntry(append(x.out, `,"frozen":`...), &entry)
	}
	x.out = append(x.out, '}')
	return refusal.Value{}
}

func (s *Server) storeFault(err error) refusal.Value {
	s.log.Warn("store does not answer", "error", err)
	return refusal.Value{Code: refusal.RequestRefused, Reason: txn.StoreUnavailable}
}

// appendCardState appends the fields of a card; an unknown card says so and no more.
func appendCardState(dst []byte, c *card.State, version uint64) []byte {
	if version == 0 {
		return append(dst, `,"known":false`...)
	}
	dst = appendMasked(append(dst, `,"known":true,"card":`...), c.Last4)
	dst = appendMember(dst, "status", c.Status.String())
	dst = appendTexts(append(dst, `,"apps":`...), c.Apps.Names())
	dst = appendMember(dst, "rider", c.Rider.String())
	dst = appendMember(dst, "issuer", c.Issuer)
	dst = strconv.AppendInt(append(dst, `,"balance":`...), int64(c.Balance), 10)
	dst = strconv.AppendUint(append(dst, `,"currency":`...), uint64(c.Currency), 10)
	dst = strconv.AppendUint(append(dst, `,"version":`...), version, 10)
	if c.ExpiresAt != 0 {
		dst = appendInstant(append(dst, `,"expires_at":`...), c.ExpiresAt)
	}
	if c.Journey.Open() {
		dst = appendInstant(append(dst, `,"journey":{"entered_at":`...), c.Journey.EnteredAt)
		dst = appendMember(dst, "station", c.Journey.Station)
		dst = appendMember(dst, "line", c.Journey.Line)
		dst = appendMember(dst, "operator", c.Journey.Operator)
		dst = append(dst, '}')
	}
	return dst
}

func appendInstant(dst []byte, at txn.Millis) []byte {
	return append(appendTime(append(dst, '"'), at), '"')
}

// appendEntry appends a blacklist entry.
func appendEntry(dst []byte, e *store.Entry) []byte {
	dst = appendText(append(dst, `{"reason":`...), e.Mark.Reason.String())
	dst = appendTexts(append(dst, `,"scope":`...), e.Mark.Scope.Names())
	dst = appendInstant(append(dst, `,"since":`...), e.Since)
	dst = appendMember(dst, "actor", e.Actor)
	dst = appendMember(dst, "note", e.Note)
	return append(dst, '}')
}

// freeze serves POST /v1/freezes. One person suffices, and a repeat is no error.
func (s *Server) freeze(x *call) refusal.Value {
	r := &x.request
	if why := s.readFreeze(x, r); why.IsSet() {
		return why
	}
	x.mark(StageParse)
	a := s.engine.Authorize(x.ctx, r)
	x.mark(StageDecide)
	if why := s.verdict(&x.request, &a); why.IsSet() {
		s.log.Warn("operator", "actor", x.actor.Name, "action", "freeze",
			"token", r.Card.String(), "failed", why.Text().Name)
		return why
	}
	s.observer.Decided(x.route.number, a.Decision.Reason)
	s.audit(x, "freeze", r, a.Decision.Reason)
	already := a.Decision.Reason == txn.AlreadyListed
	if !already && a.Decision.Outcome != txn.Approved {
		return refusal.Value{Code: refusal.RequestRefused, Reason: a.Decision.Reason}
	}
	x.out = appendToken(append(x.out, `{"token":`...), r.Card)
	x.out = strconv.AppendBool(append(x.out, `,"frozen":true,"already":`...), already)
	// The freeze is done; when the entry cannot be told, nothing else is wrong.
	if e, ok, err := s.entries.Entry(x.ctx, r.Card); err == nil && ok {
		x.out = appendText(append(x.out, `,"reason":`...), e.Mark.Reason.String())
		x.out = appendTexts(append(x.out, `,"scope":`...), e.Mark.Scope.Names())
		x.out = appendInstant(append(x.out, `,"since":`...), e.Since)
	}
	x.out = append(appendRecord(x.out, &a), '}')
	return refusal.Value{}
}

func (s *Server) readFreeze(x *call, r *txn.Request) refusal.Value {
	o := &x.object
	if why := o.Parse(x.body, x.route.schema); why.IsSet() {
		return why
	}
	s.deskRequest(x, r, txn.Freeze)
	if why := s.chosenCard(o, r); why.IsSet() {
		return why
	}
	reason, err := txn.ParseFreezeReason(string(o.Bytes(fields.Reason)))
	if err != nil {
		return refusal.Field(refusal.FieldInvalid, fields.Reason.String())
	}
	r.Listing.Mark = txn.Mark{Reason: reason, Scope: txn.AppAll}
	if o.Has(fields.Scope) {
		var why refusal.Value
		if r.Listing.Mark.Scope, why = parseApps(o, fields.Scope); why.IsSet() {
			return why
		}
	}
	r.Listing.Note, err = readNote(o)
	if err != nil {
		return refusal.Field(refusal.FieldInvalid, fields.Note.String())
	}
	return refusal.Value{}
}

var errNote = errors.New("a note must not hold a card number or control characters")

// readNote reads a case or form number. Notes are kept in the ledger, so a card number in
// one is refused.
func readNote(o *fields.Object) (string, error) {
	note := o.Bytes(fields.Note)
	if holdsNumber(note) || slices.ContainsFunc(note, func(c byte) bool { return c < ' ' }) {
		return "", errNote
	}
	return string(note), nil
}

// audit logs what an operator did to a card.
func (s *Server) audit(x *call, action string, r *txn.Request, reason txn.Reason) {
	s.log.Info("operator", "actor", x.actor.Name, "action", action,
		"request", r.ID.String(), "token", r.Card.String(), "last4", r.Last4.String(),
		"outcome", reason.String(), "note", r.Listing.Note)
}

package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of the acknowledgement endpoint.
const (
	AckBodyMax = 4 << 10 // bytes of a call-back
	AcksMax    = 256     // call-backs at once; more are told to come again
)

// Acknowledge records what a party said. A refusal is a value and changes nothing but the
// count of contradictions; an error means that it is in doubt, and the same answer may be
// given again. It is durable on return. ErrNoNotice when there is no such notice.
func (s *Service) Acknowledge(ctx context.Context, id, party string, a Ack) (Refusal, error) {
	if err := s.usable(); err != nil {
		return Accepted, err
	}
	return s.write(ctx, id, Event{Kind: Acknowledged, Party: party, At: s.o.Now(), Ack: a})
}

// Confirmation is what a person learnt by telephone or letter.
type Confirmation struct {
	// SentAt is when a letter went out or a call was made; each may be 0.
	SentAt, ReceivedAt, EffectiveAt txn.Millis
	// Operator confirms, by his name in the system.
	Operator string
	// Note says how: the number of the letter, the office that was called.
	Note string
}

// Confirm records what a person learnt about a party. Like Acknowledge; ErrNotice when the
// operator or the note is missing or too long.
func (s *Service) Confirm(ctx context.Context, id, party string, c Confirmation) (Refusal, error) {
	switch {
	case c.Operator == "" || !validText(c.Operator, ByMax):
		return Accepted, fmt.Errorf("%w: operator: want 1 to %d bytes of text", ErrNotice, ByMax)
	case c.Note == "" || !validText(c.Note, NoteMax):
		return Accepted, fmt.Errorf("%w: note: want 1 to %d bytes of text", ErrNotice, NoteMax)
	}
	return s.Acknowledge(ctx, id, party, Ack{Sent: c.SentAt, Received: c.ReceivedAt,
		Effective: c.EffectiveAt, Proof: ProofPerson, By: c.Operator, Note: c.Note})
}

// Revive has a party that was given up tried again at once.
func (s *Service) Revive(ctx context.Context, id, party string) (Refusal, error) {
	if err := s.usable(); err != nil {
		return Accepted, err
	}
	return s.write(ctx, id, Event{Kind: Revived, Party: party, At: s.o.Now()})
}

// write finds the document of a party and has an event written to it.
func (s *Service) write(ctx context.Context, id string, e Event) (Refusal, error) {
	parts, err := s.parts(ctx, id)
	if err != nil {
		return Accepted, err
	}
	for _, d := range parts {
		if d.row(e.Party) >= 0 {
			token := s.vault.token(id, d.Part)
			o, err := s.scribe.write(ctx, token, []Event{e})
			if err == nil && e.Kind == Revived {
				s.dues.add(token)
			}
			return o.changes.Refused, err
		}
	}
	return UnknownParty, nil
}

// ackPath is where a party acknowledges; it is also what the signature covers.
func ackPath(id, party string) string { return "/v1/notices/" + id + "/parties/" + party + "/ack" }

// ackBody is the body of a call-back. Times are RFC 3339 with an offset.
type ackBody struct {
	ReceivedAt  *time.Time `json:"received_at"`
	EffectiveAt *time.Time `json:"effective_at"`
	// Card, when given, must be the token of the notice's card.
	Card string `json:"card"`
	// By says which of the party's systems or desks answers.
	By string `json:"by"`
}

// AckHandler serves POST /v1/notices/{id}/parties/{party}/ack. The call is signed with a
// key of the party as Sign says. It answers 200 when the times are recorded, also for the
// second time, and a JSON object with "code" and "message" otherwise: 400 for a body that is
// none, 401 for a signature, 404 for a notice, 409 for what contradicts it, 422 for a time
// that cannot be, 503 when it is to be sent again. Time limits for reading are the server's.
func (s *Service) AckHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/notices/{id}/parties/{party}/ack", s.serveAck)
	return mux
}

func (s *Service) serveAck(w http.ResponseWriter, r *http.Request) {
	select {
	case s.acks <- struct{}{}:
		defer func() { <-s.acks }()
	default:
		reply(w, http.StatusServiceUnavailable, "busy", "too many answers at once: send again")
		return
	}
	id, party := r.PathValue("id"), r.PathValue("party")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, AckBodyMax))
	if err != nil {
		reply(w, http.StatusBadRequest, "body", "the body could not be read, or is too long")
		return
	}
	if err := s.authenticate(r, id, party, body); err != nil {
		s.figures.refused.Add(1)
		if !errors.Is(err, errSignature) {
			s.log.Error("acknowledgement not checked", "error", err)
			reply(w, http.StatusServiceUnavailable, "unavailable", "send again")
			return
		}
		reply(w, http.StatusUnauthorized, "signature", err.Error())
		return
	}
	ack, err := parseAck(body)
	if err != nil {
		s.figures.refused.Add(1)
		reply(w, http.StatusBadRequest, "body", err.Error())
		return
	}
	refused, err := s.Acknowledge(r.Context(), id, party, ack)
	s.answerAck(w, refused, err)
}

// authenticate checks the signature of a call-back. An unknown party fails like a wrong
// signature.
func (s *Service) authenticate(r *http.Request, id, party string, body []byte) error {
	m, err := s.roster.member(r.Context(), party)
	var keys []key
	switch {
	case err == nil:
		keys = m.keys
	case !errors.Is(err, ErrNoParty):
		return err
	}
	now := s.o.Now().Time()
	return verify(keys, r.Header.Get(SignatureHeader), ackPath(id, party), body, now)
}

func parseAck(body []byte) (Ack, error) {
	var b ackBody
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return Ack{}, errors.New("want {\"received_at\": …, \"effective_at\": …} with RFC 3339 times")
	}
	if d.More() {
		return Ack{}, errors.New("more than one JSON value")
	}
	if !validText(b.By, ByMax) {
		return Ack{}, fmt.Errorf("by: want at most %d bytes of text", ByMax)
	}
	a := Ack{Proof: ProofCallback, By: b.By, Received: millisOf(b.ReceivedAt),
		Effective: millisOf(b.EffectiveAt)}
	if b.Card != "" {
		card, err := pan.ParseToken(b.Card)
		if err != nil || card == (pan.Token{}) { // the zero one means that none is given
			return Ack{}, errors.New("card: want the token of the notice")
		}
		a.Card = card
	}
	return a, nil
}

// millisOf returns an instant, 0 when it is missing. One before 1970 is no time that a
// notice could have, and stays before it.
func millisOf(t *time.Time) txn.Millis {
	if t == nil {
		return 0
	}
	return max(1, txn.MillisOf(*t))
}

// refusalTexts say what is wrong and what to do.
var refusalTexts = [refusalEnd]string{
	UnknownParty:  "the notice was not sent to this party",
	OtherCard:     "the notice is about another card: answer to its own notice",
	NoTimes:       "neither received_at nor effective_at is given",
	InFuture:      "a time lies in the future: check the clock",
	BeforeNotice:  "a time lies before the notice: check the clock",
	NoReceipt:     "effective_at without received_at, and no receipt is known",
	Contradiction: "another time was recorded before and stays: ask the card agency",
}

func (s *Service) answerAck(w http.ResponseWriter, refused Refusal, err error) {
	s.figures.answers.Add(1)
	if err != nil || refused != Accepted {
		s.figures.refused.Add(1)
	}
	switch {
	case errors.Is(err, ErrNoNotice):
		reply(w, http.StatusNotFound, "unknown_notice", "there is no such notice")
	case err != nil:
		s.log.Error("acknowledgement in doubt", "error", err)
		reply(w, http.StatusServiceUnavailable, "unavailable", "not recorded for certain: send again")
	case refused == Accepted:
		reply(w, http.StatusOK, "recorded", "recorded")
	case refused == UnknownParty:
		reply(w, http.StatusNotFound, refused.String(), refusalTexts[refused])
	case refused == OtherCard || refused == Contradiction:
		reply(w, http.StatusConflict, refused.String(), refusalTexts[refused])
	default:
		reply(w, http.StatusUnprocessableEntity, refused.String(), refusalTexts[refused])
	}
}

// reply writes the one form of answer that the endpoint has.
func reply(w http.ResponseWriter, status int, code, message string) {
	body, _ := json.Marshal(struct { // two strings always encode
		Code    string `json:"code"`
		Message string `json:"message"`
	}{code, message})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

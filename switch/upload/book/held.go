package book

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

const heldPrefix = "uploads/held/"

// Held is a record that waits, as a person sees it.
type Held struct {
	ID       string     `json:"id"`
	Terminal string     `json:"terminal"`
	Reason   string     `json:"reason"`
	Card     string     `json:"card"` // token
	Last4    string     `json:"last4"`
	Kind     string     `json:"kind"`
	PSAM     string     `json:"psam"`
	TermSeq  uint32     `json:"term_seq"`
	Counter  uint16     `json:"counter"`
	Amount   uint32     `json:"amount"`
	Before   uint32     `json:"before"`
	At       txn.Millis `json:"at"`
	Since    txn.Millis `json:"since"`
}

// heldRecord is what the registry has.
type heldRecord struct {
	Terminal string        `json:"terminal"`
	Reason   upload.Reason `json:"reason"`
	At       txn.Millis    `json:"at"`
	Since    txn.Millis    `json:"since"`
	Sealed   []byte        `json:"sealed"`
}

// heldID names a held record: security module, sequence number and digest.
func heldID(psam [6]byte, seq uint32, d upload.Digest) string {
	return fmt.Sprintf("%x-%d-%016x", psam, seq, uint64(d))
}

// hold keeps a record for a person.
func (s *Service) hold(ctx context.Context, from txn.TerminalID, it *item, now txn.Millis) error {
	id := heldID(it.record.PSAM(), it.record.TermSeq(), it.digest)
	nonce := make([]byte, s.seal.NonceSize())
	_, _ = rand.Read(nonce) // never fails: the process ends first
	h := heldRecord{Terminal: from.String(), Reason: it.fate.Reason, At: it.at, Since: now,
		Sealed: s.seal.Seal(nonce, nonce, it.record, []byte(id))}
	value, err := json.Marshal(h)
	if err == nil {
		err = s.o.Registry.Put(ctx, heldPrefix+id, value, 0)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) { // it is there already
		return fmt.Errorf("record %s could not be held: %w", id, err)
	}
	return nil
}

// readHeld opens a held record.
func (s *Service) readHeld(ctx context.Context, id string) (h heldRecord, r frame.Record, version uint64, err error) {
	value, version, err := s.o.Registry.Get(ctx, heldPrefix+id)
	if err != nil {
		return h, nil, 0, fmt.Errorf("held record %s: %w", id, err)
	}
	if version == 0 {
		return h, nil, 0, fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	n := s.seal.NonceSize()
	if err = json.Unmarshal(value, &h); err == nil && len(h.Sealed) >= n {
		r, err = s.seal.Open(nil, h.Sealed[:n], h.Sealed[n:], []byte(id))
	}
	if err != nil || len(r) != frame.RecordSize {
		return h, nil, 0, fmt.Errorf("%w: held record %s", upload.ErrStored, id)
	}
	return h, r, version, nil
}

// knownDispute reports whether a disputed record is held, or was decided.
func (s *Service) knownDispute(ctx context.Context, id string) (bool, error) {
	_, version, err := s.o.Registry.Get(ctx, heldPrefix+id)
	if err != nil || version > 0 {
		return version > 0, err
	}
	l, err := s.o.Cards.Load(ctx, s.decisionToken(id), nil)
	return l.Version > 0, err
}

// List returns held records in the order of their ids, those after one, at most most.
func (s *Service) List(ctx context.Context, after string, most int) ([]Held, error) {
	keys, err := s.o.Registry.Keys(ctx, heldPrefix)
	if err != nil {
		return nil, fmt.Errorf("held records: %w", err)
	}
	list := []Held{}
	for _, key := range keys {
		id := strings.TrimPrefix(key, heldPrefix)
		if id <= after {
			continue
		}
		if len(list) == min(most, HeldMax) {
			break
		}
		h, r, _, err := s.readHeld(ctx, id)
		if errors.Is(err, ErrUnknown) {
			continue // decided meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s.show(id, &h, r))
	}
	return list, nil
}

func (s *Service) show(id string, h *heldRecord, r frame.Record) Held {
	shown := Held{ID: id, Terminal: h.Terminal, Reason: h.Reason.String(), Kind: kindOf(r).String(),
		TermSeq: r.TermSeq(), Counter: r.Counter(), Amount: r.Amount(), Before: r.Before(), At: h.At,
		Since: h.Since}
	psam := r.PSAM()
	shown.PSAM = hex.EncodeToString(psam[:])
	if number, err := r.Number(); err == nil {
		shown.Card, shown.Last4 = s.o.Tokenizer.Token(number).String(), number.Last4().String()
	}
	return shown
}

// Decision is what is to become of a held record.
type Decision struct {
	ID     string
	Accept bool
	Actor  string // name of an operator
	Note   string // why, at most noteMax bytes; never a card number
	Reason upload.Reason
}

// noteMax is how much of a note the audit record takes.
const noteMax = 60

// decided is the document that a decision leaves.
type decided struct {
	Accepted bool       `json:"accepted"`
	Actor    string     `json:"actor"`
	Note     string     `json:"note"`
	At       txn.Millis `json:"at"`
}

// Decide carries a decision out: an accepted record is booked first. Then the page, the
// terminal's counts and the audit record are committed together, and the record is not held
// any more. Asked for again after a crash it goes on where it was.
func (s *Service) Decide(ctx context.Context, d Decision) error {
	h, r, _, err := s.readHeld(ctx, d.ID)
	if err != nil {
		return err
	}
	terminal, err := txn.ParseTerminalID(h.Terminal)
	if err != nil {
		return fmt.Errorf("%w: terminal of %s", upload.ErrStored, d.ID)
	}
	defer s.lock(terminal)()
	to := upload.Fate{State: upload.Rejected, Reason: upload.ByPerson}
	if d.Reason != upload.NoReason {
		to.Reason = d.Reason
	}
	var lines []upload.Line
	if d.Accept {
		if to, lines, err = s.bookHeld(ctx, terminal, &h, r); err != nil {
			return err
		}
		if d.Actor == itself && h.Reason == upload.Torn {
			lines = nil // the record that told of it has been counted after it
		}
	}
	v := verdict{Decision: d, terminal: terminal, record: r, was: h.Reason, to: to, lines: lines}
	if err := s.commitDecision(ctx, &v); err != nil {
		return err
	}
	return s.drop(ctx, d.ID)
}

// tacOf returns what a record's TAC says now.
func (s *Service) tacOf(r frame.Record) txn.TACVerdict {
	if s.o.Verifier == nil {
		return txn.TACUnchecked
	}
	record := purseRecord(r)
	switch s.o.Verifier.Verify(&record) {
	case purse.Good:
		return txn.TACValid
	case purse.WrongTAC, purse.Malformed:
		return txn.TACWrong
	default:
		return txn.TACKeyUnknown
	}
}

// bookHeld has the engine book a held record, and returns its fate and its card's line as it is
// then. One that was served after the end of its card's lease says so, as if it had not been held.
func (s *Service) bookHeld(ctx context.Context, from txn.TerminalID, h *heldRecord, r frame.Record) (
	to upload.Fate, lines []upload.Line, err error) {
	source, err := s.o.Source(ctx, from)
	if err != nil {
		return to, nil, err
	}
	number, err := r.Number()
	if err != nil {
		return to, nil, fmt.Errorf("%w: %w", ErrNotBooked, err)
	}
	token := s.o.Tokenizer.Token(number)
	var q txn.Request
	s.fill(&q, r, &lately{place: source.Place, gate: from})
	q.Card, q.Last4, q.ServiceAt, q.ReceivedAt = token, number.Last4(), h.At, s.o.Now()
	q.TAC = s.tacOf(r)
	if h.Reason == upload.Dispute { // its number is another record's
		q.ID.Boot = uint32(upload.DigestOf(r)) &^ (1 << 31)
	}
	line, err := s.lines.find(ctx, token)
	if err != nil {
		return to, nil, err
	}
	a := s.o.Engine.AuthorizeAll(ctx, []*txn.Request{&q})[0]
	switch {
	case a.Err != nil:
		return to, nil, fmt.Errorf("record %s is held still, ask again: %w", q.ID, a.Err)
	case a.Decision.Outcome != txn.Approved:
		return to, nil, fmt.Errorf("%w: the engine answers %s", ErrNotBooked, a.Decision.Reason)
	}
	if g := line.Grey; g != nil && g.Seq == r.TermSeq() && g.PSAM == r.PSAM() {
		line.Grey = nil
	}
	if !a.Decision.Replay && line.Seq.Known {
		switch line.Seq.See(uint32(r.Counter()), h.At) {
		case upload.Late, upload.Counted:
			line.Delta += txn.Minor(r.Amount())
		}
	}
	if to.State = upload.Accepted; a.Decision.LeaseEnded {
		to.Reason = upload.LeaseEnded
	}
	return to, []upload.Line{line}, nil
}

func (s *Service) decisionToken(id string) pan.Token {
	return s.o.Tokenizer.Derive("uploads/decision", id)
}

// verdict is a decision with what it is about and what comes of it.
type verdict struct {
	Decision
	terminal txn.TerminalID
	record   frame.Record
	was      upload.Reason
	to       upload.Fate
	lines    []upload.Line
}

// commitDecision writes page, counts and audit in one list.
func (s *Service) commitDecision(ctx context.Context, v *verdict) error {
	gate, version, err := s.readGate(ctx, v.terminal)
	if err != nil {
		return err
	}
	l, err := s.o.Cards.Load(ctx, s.decisionToken(v.ID), nil)
	if err != nil || l.Version > 0 {
		return err // decided before, and only the registry does not know
	}
	page, superseded, err := s.decidePage(ctx, v.record, v.was, v.to)
	if err != nil {
		return err
	}
	if !superseded {
		gate.Count(upload.Fate{State: upload.Held, Reason: v.was}, v.to, txn.Minor(v.record.Amount()))
	}
	c, err := document(s.gateToken(v.terminal), version, gate)
	if err != nil {
		return err
	}
	audit, err := s.audit(&v.Decision, v.record)
	if err != nil {
		return err
	}
	list := []*store.Commit{c, audit}
	if page != nil {
		list = append(list, page)
	}
	return s.lines.commit(ctx, v.lines, list)
}

// decidePage makes the commit of the page of a decided record; nil for a dispute, whose number
// is another record's. superseded: the number has met its fate by another record meanwhile.
func (s *Service) decidePage(ctx context.Context, r frame.Record, was upload.Reason, to upload.Fate) (
	c *store.Commit, superseded bool, err error) {
	if was == upload.Dispute {
		return nil, false, nil
	}
	token := s.pageToken(r.PSAM(), upload.PageOf(r.TermSeq()))
	l, err := s.o.Cards.Load(ctx, token, nil)
	if err != nil {
		return nil, false, err
	}
	p := new(upload.Page)
	if err := p.Read(l.State, l.Version); err != nil {
		return nil, false, err
	}
	e := p.At(r.TermSeq())
	if e.Digest != upload.DigestOf(r) || e.State == upload.Accepted || e.State == upload.Rejected {
		return nil, true, nil
	}
	p.Set(r.TermSeq(), upload.Entry{Digest: e.Digest, Fate: to})
	return &store.Commit{Card: token, Version: p.Version, State: p.Append(nil), Reserve: true}, false, nil
}

// audit makes the commit of the decision and its record in the ledger.
func (s *Service) audit(d *Decision, r frame.Record) (*store.Commit, error) {
	token, now := s.decisionToken(d.ID), s.o.Now()
	c, err := document(token, 0, decided{d.Accept, d.Actor, d.Note, now})
	if err != nil {
		return nil, err
	}
	name := base32.StdEncoding.EncodeToString(token[:])[:11]
	terminal, err := txn.ParseTerminalID("U" + name)
	if err != nil {
		panic("book: internal error: " + err.Error())
	}
	word := "reject"
	if d.Accept {
		word = "accept"
	}
	note := d.Note[:min(len(d.Note), noteMax)]
	record := &txn.Record{
		Version: txn.RecordVersion, Position: txn.Position{Bucket: txn.BucketOf(token)},
		Request: txn.RequestID{Terminal: terminal, Boot: bootOfRecords, Counter: r.TermSeq()},
		Kind:    txn.Desk, Outcome: txn.Approved, Card: token, CardVersion: 1, Currency: s.o.Currency,
		ServiceAt: now, ReceivedAt: now,
		Listing: txn.Listing{Actor: d.Actor, Note: "upload " + word + " " + d.ID + " " + note},
	}
	c.Record = txn.AppendRecord(nil, record)
	return c, nil
}

// Retry looks again at records whose TAC key was unknown and at those whose module was not on
// the white list, and returns how many were decided. What has no key yet, or is not listed yet,
// stays.
func (s *Service) Retry(ctx context.Context) (int, error) {
	keys, err := s.o.Registry.Keys(ctx, heldPrefix)
	if err != nil {
		return 0, fmt.Errorf("held records: %w", err)
	}
	done := 0
	for _, key := range keys {
		id := strings.TrimPrefix(key, heldPrefix)
		h, r, _, err := s.readHeld(ctx, id)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return done, err
		}
		d, decided, err := s.again(ctx, id, &h, r)
		if err == nil && decided {
			err = s.Decide(ctx, d)
		}
		switch {
		case errors.Is(err, ErrNotBooked):
			s.o.Log.Warn("a held record is left for a person", "record", id, "error", err)
		case err != nil:
			return done, err
		case decided:
			done++
		}
	}
	return done, nil
}

// again decides a held record by what is known now; decided is false for one that waits still.
func (s *Service) again(ctx context.Context, id string, h *heldRecord, r frame.Record) (
	d Decision, decided bool, err error) {
	d = Decision{ID: id, Actor: itself, Note: "key loaded"}
	switch {
	case h.Reason == upload.NotListed:
		if decided, err = s.listed(ctx, r.PSAM(), h.Terminal, h.At); !decided || err != nil {
			return d, false, err
		}
		d.Note = "security module listed"
	case h.Reason != upload.KeyUnknown || s.o.Verifier == nil:
		return d, false, nil
	}
	switch s.tacOf(r) {
	case txn.TACValid, txn.TACUnchecked:
		d.Accept = true
	case txn.TACWrong:
		d.Reason = upload.TACWrong
	default:
		return d, false, nil
	}
	return d, true, nil
}
